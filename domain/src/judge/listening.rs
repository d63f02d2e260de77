//! Listening time: log time without the gaps in which the product was down.

use super::GAP_MS;
use crate::time::UtcMillis;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Listening {
    log_time: Option<UtcMillis>,
    /// The length of all gaps so far.
    deaf_ms: i64,
    /// The listening time at which the last gap lay.
    resumed: Option<i64>,
}

/// How log time moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advance {
    /// The log began.
    First,
    /// By a step, or not at all.
    Step,
    /// The product had been down.
    Gap,
}

impl Listening {
    pub(super) fn new(log_time: Option<UtcMillis>, deaf_ms: i64, resumed: Option<i64>) -> Listening {
        Listening {
            log_time,
            deaf_ms,
            resumed,
        }
    }

    /// Moves log time on to `to`.
    pub(super) fn advance(&mut self, to: UtcMillis) -> Advance {
        let Some(now) = self.log_time else {
            self.log_time = Some(to);
            return Advance::First;
        };
        let step = to.ms_since(now);
        if step <= 0 {
            return Advance::Step;
        }
        self.log_time = Some(to);
        if step <= GAP_MS {
            return Advance::Step;
        }
        self.deaf_ms = self.deaf_ms.saturating_add(step);
        self.resumed = Some(self.now());
        Advance::Gap
    }

    pub(super) fn resumed(&self) -> Option<i64> {
        self.resumed
    }

    pub(super) fn log_time(&self) -> Option<UtcMillis> {
        self.log_time
    }

    pub(super) fn deaf_ms(&self) -> i64 {
        self.deaf_ms
    }

    /// Listening time, in milliseconds.
    pub(super) fn now(&self) -> i64 {
        self.log_time
            .map_or(i64::MIN, |t| t.0.saturating_sub(self.deaf_ms))
    }

    /// The log time of a moment in listening time that lies after the last gap.
    pub(super) fn log_time_of(&self, listening_ms: i64) -> UtcMillis {
        UtcMillis(listening_ms.saturating_add(self.deaf_ms))
    }
}
