//! The day of a kitchen: when it cooks, serves and opens doors, in the district's own time of day.

use domain::UtcMillis;

use crate::noise::{Dice, key};

pub(crate) const SECOND: i64 = 1_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// China keeps one time zone, eight hours ahead of UTC, without summer time.
const ZONE_MS: i64 = 8 * HOUR;

/// A local calendar day, counted since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalDay(i64);

impl LocalDay {
    pub(crate) fn of(at: UtcMillis) -> LocalDay {
        LocalDay((at.0.saturating_add(ZONE_MS)).div_euclid(DAY))
    }

    pub(crate) fn start(self) -> UtcMillis {
        UtcMillis(self.0 * DAY - ZONE_MS)
    }

    pub(crate) fn next(self) -> LocalDay {
        LocalDay(self.0 + 1)
    }

    /// A key for this day's chances of whatever `seed` stands for.
    pub(crate) fn key(self, seed: u64) -> u64 {
        key(seed, self.0.cast_unsigned())
    }
}

/// Milliseconds since local midnight.
pub(crate) fn time_of_day(at: UtcMillis) -> i64 {
    at.0.saturating_add(ZONE_MS).rem_euclid(DAY)
}

/// A span of the day in minutes since local midnight.
pub(crate) type Window = (i64, i64);

/// When meals are prepared: breakfast, lunch, supper.
pub(crate) const COOKING: [Window; 3] = [(330, 450), (570, 750), (930, 1110)];
/// When meals are served.
pub(crate) const SERVING: [Window; 3] = [(400, 490), (660, 780), (1010, 1120)];
/// When dishes are washed.
pub(crate) const WASHING: [Window; 3] = [(480, 560), (760, 880), (1100, 1200)];

/// How busy the kitchen is with something, 0 to 1: rises and falls smoothly within each window.
pub(crate) fn busy(windows: &[Window], at: UtcMillis) -> f64 {
    let now = time_of_day(at);
    let inside = windows
        .iter()
        .find(|(from, to)| (from * MINUTE..to * MINUTE).contains(&now));
    inside.map_or(0.0, |(from, to)| {
        let part = share(now - from * MINUTE, (to - from) * MINUTE);
        // A quarter of the window to get going, a quarter to come to rest.
        (part.min(1.0 - part) * 4.0).min(1.0)
    })
}

/// `part` of `whole` as a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "spans of days in milliseconds are far below 2^53"
)]
pub(crate) fn share(part: i64, whole: i64) -> f64 {
    part as f64 / whole as f64
}

/// The warmth of the day, −1 (before dawn) to 1 (mid-afternoon).
pub(crate) fn warmth(at: UtcMillis) -> f64 {
    let turn = share(time_of_day(at) - 9 * HOUR, DAY) * std::f64::consts::TAU;
    turn.sin()
}

/// A door stands open from the first moment up to the second.
pub(crate) type Opening = (UtcMillis, UtcMillis);

/// How a door is used: openings per window, and how long each lasts in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoorUse {
    pub(crate) windows: &'static [Window],
    pub(crate) per_window: (u32, u32),
    pub(crate) open_s: (u32, u32),
}

/// The openings of one day, in order. They do not overlap: each has its own slot of the window.
pub(crate) fn openings(day: LocalDay, seed: u64, usage: &DoorUse) -> Vec<Opening> {
    let mut dice = Dice::new(day.key(seed));
    let mut made = Vec::with_capacity(usage.windows.len() * usage.per_window.1 as usize);
    for (from, to) in usage.windows {
        let count = dice.whole(usage.per_window.0, usage.per_window.1);
        let slot_s = u32::try_from((to - from) * 60).unwrap_or(0) / count.max(1);
        for n in 0..count {
            let begin_s = from * 60 + i64::from(n * slot_s + dice.whole(0, slot_s / 2));
            let begin = day.start() + begin_s * SECOND;
            made.push((
                begin,
                begin + i64::from(dice.whole(usage.open_s.0, usage.open_s.1)) * SECOND,
            ));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_ordered_and_apart() {
        let usage = DoorUse {
            windows: &COOKING,
            per_window: (5, 8),
            open_s: (10, 110),
        };
        for n in 0..200 {
            let made = openings(LocalDay(20_000 + n), 5, &usage);
            assert!((15..=24).contains(&made.len()));
            for (from, to) in &made {
                assert!(from < to);
                assert!(busy(&[(330, 1110)], *from) > 0.0 || time_of_day(*from) == 330 * MINUTE);
            }
            assert!(made.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }

    #[test]
    fn the_day_begins_at_local_midnight() {
        // 2026-11-21T00:00:00+08:00.
        let midnight = UtcMillis(1_795_190_400_000);
        assert_eq!(time_of_day(midnight), 0);
        assert_eq!(LocalDay::of(midnight).start(), midnight);
        assert_eq!(LocalDay::of(midnight - 1).next().start(), midnight);
        assert!(warmth(midnight + 15 * HOUR) > 0.99);
        assert!(warmth(midnight + 3 * HOUR) < -0.99);
        assert!((busy(&COOKING, midnight + 11 * HOUR) - 1.0).abs() < 1e-9);
        assert!(busy(&COOKING, midnight + 2 * HOUR).abs() < 1e-9);
    }
}
