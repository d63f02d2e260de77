//! What was found while a camera is being attached: kept for a while in memory, so that nobody types a password
//! twice and no page has to carry one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use domain::{Credentials, ProbeReport, UtcMillis, sight::StreamProfile};

use crate::sight::{Discovered, ProbeFailure};

/// The most drafts; the oldest gives way.
const MAX_DRAFTS: usize = 32;
/// How long a draft is kept, in milliseconds.
const KEPT_MS: i64 = 30 * 60_000;

/// What was found so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// As last typed in. Sent to the camera, never to a visitor.
    pub(crate) credentials: Option<Credentials>,
    /// What discovery found; `None` before it ran.
    pub(crate) discovered: Option<Vec<Discovered>>,
    /// The streams that the device offers, or why that is not known.
    pub(crate) profiles: Option<Result<Vec<StreamProfile>, ProbeFailure>>,
    /// What the test said.
    pub(crate) tested: Option<Result<ProbeReport, ProbeFailure>>,
}

impl Draft {
    /// The picture that the test took.
    pub(crate) fn picture(&self) -> Option<Bytes> {
        let report = self.tested.as_ref()?.as_ref().ok()?;
        (!report.picture.is_empty()).then(|| Bytes::copy_from_slice(&report.picture))
    }
}

struct Kept {
    token: String,
    at: UtcMillis,
    draft: Arc<Draft>,
}

/// Drafts by token, the oldest first.
#[derive(Default)]
pub(crate) struct Drafts(Mutex<VecDeque<Kept>>);

impl Drafts {
    /// The draft of this token, or an empty one.
    pub(crate) fn get(&self, token: &str, now: UtcMillis) -> Arc<Draft> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept
            .iter()
            .find(|k| k.token == token && now.ms_since(k.at) <= KEPT_MS);
        found.map_or_else(Arc::default, |k| Arc::clone(&k.draft))
    }

    /// Keeps `draft` under `token`, in place of what it was.
    pub(crate) fn put(&self, token: &str, draft: Draft, now: UtcMillis) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|k| k.token != token && now.ms_since(k.at) <= KEPT_MS);
        if kept.len() >= MAX_DRAFTS {
            kept.pop_front();
        }
        kept.push_back(Kept {
            token: token.to_owned(),
            at: now,
            draft: Arc::new(draft),
        });
    }

    /// Forgets the draft: the camera is attached.
    pub(crate) fn forget(&self, token: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|k| k.token != token);
    }
}

/// A token that nobody can guess; `None` when the system gives no random numbers.
pub(crate) fn new_token() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

/// Whether `text` has the form of a token.
pub(crate) fn is_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(user: &str) -> Draft {
        Draft {
            credentials: Some(Credentials {
                user: user.into(),
                password: "p".into(),
            }),
            ..Draft::default()
        }
    }

    fn user(drafts: &Drafts, token: &str, now: i64) -> Option<String> {
        let draft = drafts.get(token, UtcMillis(now));
        draft.credentials.as_ref().map(|c| c.user.clone())
    }

    #[test]
    fn drafts_are_bounded_and_pass() {
        let drafts = Drafts::default();
        for i in 0..40 {
            drafts.put(&format!("t{i}"), draft(&format!("u{i}")), UtcMillis(i));
        }
        assert_eq!(user(&drafts, "t7", 40), None, "the oldest gave way");
        assert_eq!(user(&drafts, "t8", 40), Some("u8".into()));
        assert_eq!(user(&drafts, "t39", KEPT_MS + 40), None, "half an hour is over");
        drafts.put("t39", draft("new"), UtcMillis(50));
        assert_eq!(user(&drafts, "t39", 50), Some("new".into()));
        drafts.forget("t39");
        assert_eq!(user(&drafts, "t39", 50), None);
        assert!(!format!("{:?}", draft("root")).contains("root"));
    }

    #[test]
    fn tokens_are_told_from_other_texts() {
        let token = new_token().unwrap();
        assert!(is_token(&token) && Some(token) != new_token());
        assert!(!is_token("") && !is_token("../../../../../../../../../../x"));
    }
}
