//! Local time as data: by how much a place's clocks differ from UTC, and from when on.

use crate::{rule::DayMinute, time::UtcMillis};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The offsets of one time zone, handed in by whoever knows the zones of the world. Judgement reads no clock and no
/// zone file: the same offsets give the same verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Minutes to add to UTC before the first step.
    first_min: i32,
    /// From when on how many, in order of time.
    steps: Vec<(UtcMillis, i32)>,
}

impl Default for Zone {
    /// China's: eight hours ahead, all year.
    fn default() -> Zone {
        Zone::fixed(8 * 60)
    }
}

impl Zone {
    /// Always this many minutes ahead of UTC.
    #[must_use]
    pub fn fixed(offset_min: i32) -> Zone {
        Zone {
            first_min: offset_min,
            steps: Vec::new(),
        }
    }

    /// `offset_min` until the first of `steps`, and from each step's moment on its own.
    #[must_use]
    pub fn stepped(offset_min: i32, mut steps: Vec<(UtcMillis, i32)>) -> Zone {
        steps.sort_unstable();
        Zone {
            first_min: offset_min,
            steps,
        }
    }

    /// Milliseconds to add to `at` to read a local clock.
    #[must_use]
    pub fn offset_ms(&self, at: UtcMillis) -> i64 {
        let passed = self.steps.partition_point(|(from, _)| *from <= at);
        let minutes = match passed.checked_sub(1) {
            Some(last) => self.steps[last].1,
            None => self.first_min,
        };
        i64::from(minutes) * MINUTE_MS
    }

    /// The first moment after `after` at which a local clock shows `minute`. Where the clock skips that minute it
    /// is the moment that the clock before the step would have shown it.
    #[must_use]
    pub fn next(&self, minute: DayMinute, after: UtcMillis) -> UtcMillis {
        let local = after.0.saturating_add(self.offset_ms(after));
        let midnight = local.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let shown = midnight.saturating_add(i64::from(minute.minute()) * MINUTE_MS);
        // Yesterday's too: a step back may show it again.
        let candidates = [-DAY_MS, 0, DAY_MS, 2 * DAY_MS];
        let moment = |days: i64| {
            let local = shown.saturating_add(days);
            let guess = UtcMillis(local.saturating_sub(self.offset_ms(after)));
            UtcMillis(local.saturating_sub(self.offset_ms(guess)))
        };
        let found = candidates.into_iter().map(moment).find(|at| *at > after);
        found.unwrap_or(after + DAY_MS)
    }

    /// The local day that `at` lies in, as its first moment.
    #[must_use]
    pub fn midnight(&self, at: UtcMillis) -> UtcMillis {
        let local = at.0.saturating_add(self.offset_ms(at));
        let midnight = local.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let guess = UtcMillis(midnight.saturating_sub(self.offset_ms(at)));
        UtcMillis(midnight.saturating_sub(self.offset_ms(guess)))
    }

    /// The day of the week of `at` by a local clock: 0 is Monday.
    #[must_use]
    pub fn weekday(&self, at: UtcMillis) -> u8 {
        let local = at.0.saturating_add(self.offset_ms(at));
        // The epoch was a Thursday.
        let day = (local.div_euclid(DAY_MS) + 3).rem_euclid(7);
        u8::try_from(day).expect("a remainder of seven")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_found_by_the_local_clock_also_across_a_step() {
        let nine = DayMinute::parse("09:00").unwrap();
        let hour = 60 * MINUTE_MS;
        let china = Zone::default();
        // 2026-11-25T00:00:00Z is 08:00 there.
        let at = UtcMillis(1_795_564_800_000);
        assert_eq!(china.next(nine, at), at + hour);
        assert_eq!(china.next(nine, at + hour), at + hour + DAY_MS, "strictly after");
        assert_eq!(china.weekday(at), 2, "a Wednesday");
        assert_eq!(china.midnight(at), at - 8 * hour);
        // Clocks go back by an hour in the night: nine o'clock comes an hour later.
        let europe = Zone::stepped(120, vec![(at + 12 * hour, 60)]);
        let first = europe.next(nine, at);
        assert_eq!(first, at + 7 * hour);
        assert_eq!(europe.next(nine, first), first + DAY_MS + hour);
    }

    #[test]
    fn a_minute_is_written_one_way() {
        for (text, minute) in [("00:00", Some(0)), ("09:30", Some(570)), ("23:59", Some(1439))] {
            assert_eq!(DayMinute::parse(text).map(DayMinute::minute), minute);
            assert_eq!(DayMinute::parse(text).unwrap().to_string(), text);
        }
        for text in ["24:00", "9:30", "09:60", "0930", "+9:00", ""] {
            assert_eq!(DayMinute::parse(text), None, "{text}");
        }
    }
}
