//! A time zone as judgement takes it: as a list of offsets.

use domain::UtcMillis;
use jiff::{Timestamp, tz::TimeZone};

/// The steps of a zone's clocks that are taken along: a century of two a year.
const MAX_STEPS: usize = 200;

/// The offsets of `zone` from 2020 on; what was before has the first of them.
#[must_use]
pub fn offsets(zone: &TimeZone) -> domain::Zone {
    let begin = Timestamp::from_second(1_577_836_800).unwrap_or(Timestamp::UNIX_EPOCH);
    let steps = zone.following(begin).take(MAX_STEPS).map(|step| {
        (
            UtcMillis(step.timestamp().as_millisecond()),
            step.offset().seconds() / 60,
        )
    });
    domain::Zone::stepped(zone.to_offset(begin).seconds() / 60, steps.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_known_with_its_summers() {
        let at = |text: &str| UtcMillis(text.parse::<Timestamp>().unwrap().as_millisecond());
        let london = offsets(&TimeZone::get("Europe/London").unwrap());
        assert_eq!(london.offset_ms(at("2026-01-15T12:00:00Z")), 0);
        assert_eq!(london.offset_ms(at("2026-07-15T12:00:00Z")), 3_600_000);
        let shanghai = offsets(&TimeZone::get("Asia/Shanghai").unwrap());
        assert_eq!(shanghai, domain::Zone::default());
    }
}
