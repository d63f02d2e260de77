//! A server whose certificate is refused is told apart from one that is away: what is wrong with it, and what to do.

use std::error::Error;

use super::{
    answer::{Answer, bounded},
    options::RemoteError,
    victoria::causes,
};

/// What both versions of the TLS library say before their reason.
const REFUSED: &str = "invalid peer certificate";

/// Their reasons, and what they come to. The older version says a name, the newer one a name or a sentence.
const REASONS: [(&str, &str); 9] = [
    ("UnknownIssuer", UNKNOWN),
    // An authority of the same name with another key: one that was made anew.
    ("BadSignature", UNKNOWN),
    ("UnknownCA", UNKNOWN),
    ("NotValidForName", OTHER_NAME),
    ("not valid for name", OTHER_NAME),
    ("xpired", EXPIRED),
    ("NotValidYet", NOT_YET),
    ("not valid yet", NOT_YET),
    ("", "it cannot be used; have the server given another one"),
];

const UNKNOWN: &str = "no authority that is trusted here has signed it; put the certificate of the one that has into \
                       timeseries.ca_file";
const OTHER_NAME: &str = "it was made out for another host; use the name that stands in it in timeseries.url, or have \
                          it made out for this one as well";
const EXPIRED: &str = "it has expired; have it renewed, and see that the clock of this machine is right";
const NOT_YET: &str = "it is not valid yet; see that the clocks of both machines are right";

/// Why a request came to no answer.
pub(super) fn unanswered(error: &dyn Error) -> RemoteError {
    let detail = causes(error);
    match problem(&detail) {
        Some(problem) => RemoteError::Certificate {
            problem,
            detail: bounded(&detail),
        },
        None => RemoteError::Unreachable {
            detail: bounded(&detail),
        },
    }
}

/// The same of lines that were sent.
pub(super) fn lines_unanswered(error: &(dyn Error + 'static)) -> Answer {
    match unanswered(error) {
        RemoteError::Unreachable { detail } if timed_out(error) => Answer::TooSlow(detail),
        RemoteError::Unreachable { detail } => Answer::Unreachable(detail),
        refused => Answer::Unreachable(bounded(&refused.to_string())),
    }
}

/// Whether a server that was reached did not answer in time, by either client.
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        let ours = error.downcast_ref::<reqwest::Error>();
        let older = error.downcast_ref::<reqwest11::Error>();
        if ours.is_some_and(|e| e.is_timeout() && !e.is_connect())
            || older.is_some_and(|e| e.is_timeout() && !e.is_connect())
        {
            return true;
        }
        at = error.source();
    }
    false
}

fn problem(detail: &str) -> Option<&'static str> {
    let (_, reason) = detail.split_once(REFUSED)?;
    let known = REASONS.iter().find(|(word, _)| reason.contains(word));
    known.map(|(_, problem)| *problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_either_library_says_has_a_remedy() {
        let cases = [
            ("invalid peer certificate: UnknownIssuer", Some(UNKNOWN)),
            (
                "error: invalid peer certificate: NotValidForName",
                Some(OTHER_NAME),
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"",
                Some(OTHER_NAME),
            ),
            ("invalid peer certificate: Expired", Some(EXPIRED)),
            (
                "invalid peer certificate: certificate expired: verification time 3",
                Some(EXPIRED),
            ),
            (
                "invalid peer certificate: certificate not valid yet: verification",
                Some(NOT_YET),
            ),
            ("invalid peer certificate: NotValidYet", Some(NOT_YET)),
            ("invalid peer certificate: BadEncoding", Some(REASONS[8].1)),
            ("connection refused (NotValidYet)", None),
        ];
        for (detail, want) in cases {
            assert_eq!(problem(detail), want, "{detail}");
        }
    }
}
