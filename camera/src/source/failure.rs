//! Why no picture comes, in words that hold no secret.

use domain::{camera::Credentials, sight::CameraFault};

/// The longest detail, in bytes.
pub const MAX_DETAIL_BYTES: usize = 200;

/// Why a camera gives no picture: one fault, which has one remedy, and what exactly was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ({detail})", fault.advice().1)]
pub struct CameraFailure {
    /// Which fault. [`CameraFault::advice`] says cause and remedy.
    pub fault: CameraFault,
    /// What was seen, in English, for whoever knows the camera: one line of at most [`MAX_DETAIL_BYTES`] bytes,
    /// without URL, user name and password.
    pub detail: String,
}

impl CameraFailure {
    /// A failure. Of `detail` the first line is kept, as far as it fits.
    #[must_use]
    pub fn new(fault: CameraFault, detail: impl AsRef<str>) -> CameraFailure {
        CameraFailure {
            fault,
            detail: one_line(detail.as_ref()),
        }
    }

    /// The same failure; a detail in which a camera echoes what it was sent is replaced.
    pub(crate) fn without(mut self, credentials: Option<&Credentials>) -> CameraFailure {
        let told = |secret: &str| !secret.is_empty() && self.detail.contains(secret);
        let echoes = credentials.is_some_and(|secret| told(&secret.password) || told(&secret.user));
        if echoes || self.detail.contains("://") {
            self.detail = "the camera's answer is withheld: it repeats what it was asked".into();
        }
        self
    }
}

/// The first line of `text`, without control characters, cut between characters.
fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let mut kept = String::with_capacity(line.len().min(MAX_DETAIL_BYTES));
    for c in line.chars().filter(|c| !c.is_control()) {
        if kept.len() + c.len_utf8() > MAX_DETAIL_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_bounded_line() {
        let failure = CameraFailure::new(CameraFault::Protocol, "first\u{7} line\nsecond");
        assert_eq!(failure.detail, "first line");
        let long = CameraFailure::new(CameraFault::Protocol, "像".repeat(100));
        assert_eq!(long.detail, "像".repeat(66));
        assert!(
            failure
                .to_string()
                .starts_with("Something answers, but not as a camera does.")
        );
    }

    #[test]
    fn a_detail_tells_neither_password_nor_url() {
        let secret = Credentials {
            user: "admin".into(),
            password: "hunter2".into(),
        };
        for told in ["wrong: hunter2", "hello admin", "moved to rtsp://other/"] {
            let failure = CameraFailure::new(CameraFault::Auth, told).without(Some(&secret));
            assert!(failure.detail.contains("withheld"), "{told}");
        }
        let kept = CameraFailure::new(CameraFault::Auth, "status 401").without(Some(&secret));
        assert_eq!(kept.detail, "status 401");
    }
}
