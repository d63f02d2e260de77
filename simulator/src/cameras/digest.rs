//! Digest authentication with MD5, as cameras ask for it (RFC 2617 without quality of protection).

use domain::Credentials;
use md5::{Digest, Md5};

/// What the cameras call themselves.
pub(crate) const REALM: &str = "Sunshine simulated camera";

/// The challenge of a connection whose nonce is `nonce`.
pub(crate) fn challenge(nonce: &str) -> String {
    format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=MD5")
}

/// Whether `header`, an `Authorization`, proves that its sender knows `credentials`, for this `method` and
/// under this `nonce`.
pub(crate) fn proves(header: &str, credentials: &Credentials, method: &str, nonce: &str) -> bool {
    let Some(fields) = header.trim().strip_prefix("Digest ") else {
        return false;
    };
    let claims = |name: &str, value: &str| field(fields, name) == Some(value);
    let (Some(uri), Some(response)) = (field(fields, "uri"), field(fields, "response")) else {
        return false;
    };
    claims("username", &credentials.user)
        && claims("realm", REALM)
        && claims("nonce", nonce)
        && response == answer(credentials, method, uri, nonce)
}

/// The right `response`.
pub(crate) fn answer(credentials: &Credentials, method: &str, uri: &str, nonce: &str) -> String {
    let who = hash(&format!("{}:{REALM}:{}", credentials.user, credentials.password));
    let what = hash(&format!("{method}:{uri}"));
    hash(&format!("{who}:{nonce}:{what}"))
}

fn hash(text: &str) -> String {
    hex::encode(Md5::digest(text.as_bytes()))
}

/// The value of `name="value"` in a list parted by commas. A comma inside quotes parts too: no value of ours
/// holds one.
fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields.split(',').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        let value = value.trim();
        let bare = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        (found.trim() == name).then_some(bare)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_to_this_question_proves_anything() {
        let right = Credentials {
            user: "viewer".into(),
            password: "sunshine".into(),
        };
        let header = |password: &str, nonce: &str, method: &str| {
            let credentials = Credentials {
                user: "viewer".into(),
                password: password.into(),
            };
            let response = answer(&credentials, method, "rtsp://h/cam/a", nonce);
            format!(
                "Digest username=\"viewer\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"rtsp://h/cam/a\", response=\"{response}\""
            )
        };
        // Pinned: computed with Python's hashlib.
        assert!(header("sunshine", "n1", "DESCRIBE").contains("79f34ccf2a451e1d4e1fdfcaaf05dee8"));
        assert!(proves(
            &header("sunshine", "n1", "DESCRIBE"),
            &right,
            "DESCRIBE",
            "n1"
        ));
        let refused = [
            (header("moonshine", "n1", "DESCRIBE"), "DESCRIBE", "n1"),
            (header("sunshine", "n1", "DESCRIBE"), "DESCRIBE", "n2"),
            (header("sunshine", "n1", "DESCRIBE"), "PLAY", "n1"),
            ("Basic dmlld2VyOnN1bnNoaW5l".into(), "DESCRIBE", "n1"),
            ("Digest".into(), "DESCRIBE", "n1"),
            (String::new(), "DESCRIBE", "n1"),
        ];
        for (header, method, nonce) in refused {
            assert!(!proves(&header, &right, method, nonce), "{header}");
        }
    }
}
