//! What a server's answer to a write means for the lines that were sent.

use std::time::Duration;

/// The most characters of a server's words that are kept.
const MOST_CHARACTERS: usize = 300;

/// The longest pause that a server can ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// What a server says to lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has them.
    Taken,
    /// At least one of them makes no sense to it; others of them may have been taken.
    Malformed(String),
    /// They are too many bytes at a time.
    TooLarge(String),
    /// It does not let us in: 401 and 403.
    Denied(String),
    /// There is no such bucket, organisation or address: 404.
    NoPlace(String),
    /// Not now.
    Busy {
        /// When it wants to be asked again.
        after: Option<Duration>,
        /// Its words.
        detail: String,
    },
    /// It did not answer in time: it may have them or not, and may do better with less at a time.
    TooSlow(String),
    /// It cannot be reached.
    Unreachable(String),
}

impl Answer {
    /// Sorts a status by what can be done about it. A status that nobody foresaw is taken for a fault that passes:
    /// waiting loses nothing.
    pub(super) fn of(status: u16, words: &str, after: Option<Duration>) -> Answer {
        let detail = bounded(&format!("{status}: {words}"));
        if denies(status, words) {
            return Answer::Denied(detail);
        }
        match status {
            200..=299 => Answer::Taken,
            // 422 is InfluxDB's word for points beyond the retention.
            400 | 422 => Answer::Malformed(detail),
            404 => Answer::NoPlace(detail),
            413 => Answer::TooLarge(detail),
            _ => Answer::Busy { after, detail },
        }
    }
}

/// Whether a server lets us not in. `vmauth` 1.79 says so with a 400.
pub(super) fn denies(status: u16, words: &str) -> bool {
    matches!(status, 401 | 403)
        || (status == 400
            && words
                .trim_start()
                .starts_with("cannot find the provided auth token"))
}

/// How long a `Retry-After` of so many seconds asks to wait. A date, which no server here sends, asks for nothing.
pub(super) fn retry_after(header: Option<&str>) -> Option<Duration> {
    let seconds: u64 = header?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_ASKED))
}

/// The beginning of a server's words, printable and on one line.
pub(super) fn bounded(words: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut kept: String = words
        .trim()
        .chars()
        .take(MOST_CHARACTERS + 1)
        .map(printable)
        .collect();
    if let Some((cut, _)) = kept.char_indices().nth(MOST_CHARACTERS) {
        kept.truncate(cut);
        kept.push('…');
    }
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_sorted_by_what_can_be_done() {
        let busy = |after| Answer::Busy {
            after,
            detail: "503: later".into(),
        };
        const NO_TOKEN: &str = "cannot find the provided auth token \"Bearer …\" in config";
        let minute = Some(Duration::from_secs(60));
        let cases = [
            (204, "", None, Answer::Taken),
            (200, "", None, Answer::Taken),
            (400, "x", None, Answer::Malformed("400: x".into())),
            (422, "x", None, Answer::Malformed("422: x".into())),
            (401, "x", None, Answer::Denied("401: x".into())),
            (403, "x", None, Answer::Denied("403: x".into())),
            (400, NO_TOKEN, None, Answer::Denied(format!("400: {NO_TOKEN}"))),
            (404, "x", None, Answer::NoPlace("404: x".into())),
            (413, "x", None, Answer::TooLarge("413: x".into())),
            (503, "later", minute, busy(minute)),
            (503, "later", None, busy(None)),
        ];
        for (status, words, after, want) in cases {
            assert_eq!(Answer::of(status, words, after), want, "{status}");
        }
        for status in [100, 302, 405, 408, 418, 429, 500, 502, 504, 599] {
            assert!(
                matches!(Answer::of(status, "", None), Answer::Busy { .. }),
                "{status} passes"
            );
        }
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_and_has_an_end() {
        let cases = [
            (None, None),
            (Some("7"), Some(Duration::from_secs(7))),
            (Some(" 0 "), Some(Duration::ZERO)),
            (Some("99999999"), Some(LONGEST_ASKED)),
            (Some("-1"), None),
            (Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
        ];
        for (header, want) in cases {
            assert_eq!(retry_after(header), want, "{header:?}");
        }
    }

    #[test]
    fn a_servers_words_are_bounded_and_printable() {
        assert_eq!(bounded(" a\nb\u{1b} "), "a b");
        assert_eq!(bounded(&"x".repeat(5000)).chars().count(), MOST_CHARACTERS + 1);
    }
}
