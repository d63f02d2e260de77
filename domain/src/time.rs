//! Time as a parameter: nothing in the product reads the wall clock except through a [`Clock`].

use std::{
    fmt,
    ops::{Add, Sub},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z, leap seconds ignored. Stored and compared in UTC;
/// shown in the facility's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UtcMillis(pub i64);

impl UtcMillis {
    /// The earliest moment that is taken from a device: 2000-01-01T00:00:00Z. Anything before is a clock
    /// that was never set.
    pub const EARLIEST: UtcMillis = UtcMillis(946_684_800_000);

    /// This moment moved by `ms` milliseconds, held at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> UtcMillis {
        UtcMillis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    #[must_use]
    pub const fn ms_since(self, earlier: UtcMillis) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<i64> for UtcMillis {
    type Output = UtcMillis;
    fn add(self, ms: i64) -> UtcMillis {
        self.plus_ms(ms)
    }
}

impl Sub<i64> for UtcMillis {
    type Output = UtcMillis;
    fn sub(self, ms: i64) -> UtcMillis {
        UtcMillis(self.0.saturating_sub(ms))
    }
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// A half-open span of time: `from` is inside, `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First moment inside.
    pub from: UtcMillis,
    /// First moment after it.
    pub to: UtcMillis,
}

impl TimeRange {
    /// The span of `length_ms` that ends at `to`.
    #[must_use]
    pub fn ending_at(to: UtcMillis, length_ms: i64) -> TimeRange {
        TimeRange {
            from: to - length_ms,
            to,
        }
    }

    /// Whether `at` lies inside.
    #[must_use]
    pub fn contains(&self, at: UtcMillis) -> bool {
        self.from <= at && at < self.to
    }

    /// Length in milliseconds; 0 when the span is empty or reversed.
    #[must_use]
    pub fn length_ms(&self) -> i64 {
        self.to.ms_since(self.from).max(0)
    }
}

/// Where the time of day comes from. Cheap to clone; all clones of a simulated clock move together.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Simulated(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::set`] moves it.
    #[must_use]
    pub fn simulated(start: UtcMillis) -> Clock {
        Clock(Source::Simulated(Arc::new(AtomicI64::new(start.0))))
    }

    /// What time it is.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the wall clock"
    )]
    pub fn now(&self) -> UtcMillis {
        match &self.0 {
            Source::Simulated(ms) => UtcMillis(ms.load(Ordering::Acquire)),
            Source::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                // A machine whose clock stands before 1970 has no usable time: it reads as the epoch.
                UtcMillis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
            }
        }
    }

    /// Moves a simulated clock. The machine's clock cannot be moved: it stays as it is.
    pub fn set(&self, to: UtcMillis) {
        if let Source::Simulated(ms) = &self.0 {
            ms.store(to.0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_of_a_simulated_clock_move_together() {
        let clock = Clock::simulated(UtcMillis(5));
        let other = clock.clone();
        clock.set(UtcMillis(9));
        assert_eq!(other.now(), UtcMillis(9));
        assert!(Clock::system().now() > UtcMillis::EARLIEST);
    }
}
