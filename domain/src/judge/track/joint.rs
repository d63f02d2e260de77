//! Several things at once: the part of a correlation that its own point remembers.

use serde::{Deserialize, Serialize};

use super::{Bits, rate};
use crate::{
    judge::condition::NEVER,
    rule::{Clause, Comparison, Near},
    time::UtcMillis,
};

#[derive(Debug)]
pub(in crate::judge) struct JointSpec {
    pub(super) op: Comparison,
    pub(super) limit: f64,
    pub(super) over_ms: Option<i64>,
    pub(in crate::judge) window_ms: i64,
    pub(super) clauses: Vec<Clause>,
    pub(super) near: Near,
}

/// Something that is so, or was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::judge) struct Term {
    pub(in crate::judge) on: bool,
    /// When it last ceased to be so.
    pub(in crate::judge) off_at: UtcMillis,
    base: Option<(UtcMillis, Bits)>,
    rate: Option<Bits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::judge) struct Joint {
    pub(in crate::judge) own: Term,
    /// Everything is so, or was within the window.
    pub(in crate::judge) holds: bool,
    /// The latest moment looked at: it never goes back, although several points have several times.
    pub(in crate::judge) at: UtcMillis,
    /// Add to `at` to get the listening time at which it was known.
    pub(in crate::judge) offset_ms: i64,
}

impl Default for Term {
    fn default() -> Term {
        Term {
            on: false,
            off_at: NEVER,
            base: None,
            rate: None,
        }
    }
}

impl Default for Joint {
    fn default() -> Joint {
        Joint {
            own: Term::default(),
            holds: false,
            at: NEVER,
            offset_ms: 0,
        }
    }
}

impl Term {
    /// Whether it counts at `at`, when it counts for `window_ms` after it was so.
    pub(in crate::judge) fn counts(&self, at: UtcMillis, window_ms: i64) -> bool {
        self.on || self.expires(window_ms).is_some_and(|end| at < end)
    }

    /// When it ceases to count, if it is not so now.
    pub(in crate::judge) fn expires(&self, window_ms: i64) -> Option<UtcMillis> {
        (!self.on && self.off_at > NEVER).then(|| self.off_at + window_ms)
    }

    pub(in crate::judge) fn turn(&mut self, on: bool, at: UtcMillis) {
        if self.on && !on {
            self.off_at = at;
        }
        self.on = on;
    }

    /// The value of the correlation's own point.
    pub(in crate::judge) fn on_value(&mut self, spec: &JointSpec, at: UtcMillis, value: f64) {
        let Some(over_ms) = spec.over_ms else {
            return self.turn(spec.op.holds(value, spec.limit), at);
        };
        if let Some(rate) = rate::measure(&mut self.base, over_ms, at, value) {
            self.rate = Some(Bits::of(rate));
            self.turn(spec.op.holds(rate, spec.limit), at);
        }
    }

    pub(super) fn shown(&self, latest: Option<f64>) -> Option<f64> {
        self.rate.map(Bits::get).or(latest)
    }
}
