//! Event time: when a value was measured, as far as its device can be believed.

use domain::{Quality, UtcMillis};

/// Reads RFC 3339, such as `2026-11-21T20:00:00+08:00`.
pub(crate) fn parse_rfc3339(text: &str) -> Option<UtcMillis> {
    // Longer texts are no moments: jiff also reads time zone annotations, which no device needs.
    const MAX_BYTES: usize = 40;
    if text.len() > MAX_BYTES {
        return None;
    }
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(|at| UtcMillis(at.as_millisecond()))
}

/// A number of milliseconds as a moment, held at the ends of the range; `None` when it is no number.
pub(crate) fn from_millis(ms: f64) -> Option<UtcMillis> {
    // `as` holds at the ends of the range, which lie far outside of what is believed anyhow.
    (!ms.is_nan()).then_some(UtcMillis(ms as i64))
}

/// What a device said of the time, against the moment of receipt.
pub(crate) fn believe(said: Option<UtcMillis>, received: UtcMillis, future_ms: i64) -> (UtcMillis, Quality) {
    match said {
        None => (received, Quality::NoDeviceTime),
        Some(at) if at < UtcMillis::EARLIEST => (received, Quality::ClockUnset),
        Some(at) if at > received + future_ms => (received, Quality::ClockAhead),
        Some(at) => (at, Quality::Good),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_believed_within_bounds() {
        let received = UtcMillis(1_795_000_000_000);
        let cases = [
            (None, received, Quality::NoDeviceTime),
            (Some(received), received, Quality::Good),
            (
                Some(received - 86_400_000 * 30),
                received - 86_400_000 * 30,
                Quality::Good,
            ),
            (Some(received + 300_000), received + 300_000, Quality::Good),
            (Some(received + 300_001), received, Quality::ClockAhead),
            (Some(UtcMillis(i64::MAX)), received, Quality::ClockAhead),
            (Some(UtcMillis::EARLIEST), UtcMillis::EARLIEST, Quality::Good),
            (Some(UtcMillis::EARLIEST - 1), received, Quality::ClockUnset),
            (Some(UtcMillis(0)), received, Quality::ClockUnset),
            (Some(UtcMillis(i64::MIN)), received, Quality::ClockUnset),
        ];
        for (said, at, quality) in cases {
            assert_eq!(believe(said, received, 300_000), (at, quality), "{said:?}");
        }
    }

    #[test]
    fn moments_are_read_from_text() {
        let at = Some(UtcMillis(1_795_000_000_000));
        let cases = [
            ("2026-11-18T11:06:40Z", at),
            ("2026-11-18T19:06:40+08:00", at),
            ("2026-11-18t11:06:40.000z", at),
            ("2026-11-18T11:06:40", None),
            ("2026-13-18T11:06:40Z", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_rfc3339(text), want, "{text}");
        }
    }
}
