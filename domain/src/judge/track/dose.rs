//! What adds up while a value lies within a band.

use serde::{Deserialize, Serialize};

use super::{Bits, Moment};
use crate::{
    judge::condition::Verdict,
    rule::{ResetSide, RuleKind, Weigh},
    time::UtcMillis,
};

const MINUTE_MS: f64 = 60_000.0;

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    low: f64,
    high: f64,
    weigh: Weigh,
    /// In milliseconds, or the metric's unit times milliseconds.
    limit: f64,
    reset: ResetSide,
    reset_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    sum: Bits,
    last: Option<(UtcMillis, Bits)>,
    /// Since when it is where a new sum begins.
    away_since: Option<UtcMillis>,
    /// The sum has reached the limit.
    pub(super) over: bool,
}

impl Spec {
    pub(super) fn of(kind: &RuleKind) -> Option<Spec> {
        let RuleKind::Dose {
            low,
            high,
            weigh,
            limit,
            reset,
            reset_s,
        } = kind
        else {
            return None;
        };
        Some(Spec {
            low: low.unwrap_or(f64::NEG_INFINITY),
            high: high.unwrap_or(f64::INFINITY),
            weigh: *weigh,
            limit: limit * MINUTE_MS,
            reset: *reset,
            reset_ms: i64::from(*reset_s) * 1000,
        })
    }

    pub(super) fn limit_minutes(&self) -> f64 {
        self.limit / MINUTE_MS
    }

    /// What one millisecond at `value` adds.
    fn weight(&self, value: f64) -> f64 {
        match self.weigh {
            _ if value < self.low || value > self.high => 0.0,
            Weigh::Time => 1.0,
            Weigh::Value => value.max(0.0),
        }
    }

    fn is_away(&self, value: f64) -> bool {
        match self.reset {
            ResetSide::Above => value > self.high,
            ResetSide::Below => value < self.low,
            ResetSide::Outside => value > self.high || value < self.low,
        }
    }
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, moment: Moment, value: f64) -> Verdict {
        let at = moment.at;
        if let Some((then, before)) = self.last {
            let held_ms = at.ms_since(then).clamp(0, moment.gap_ms);
            self.sum = Bits::of(self.sum.get() + spec.weight(before.get()) * float(held_ms));
        }
        self.last = Some((at, Bits::of(value)));
        if self.sum.get() >= spec.limit {
            self.over = true;
        }
        if spec.is_away(value) {
            let since = *self.away_since.get_or_insert(at);
            if at.ms_since(since) >= spec.reset_ms {
                self.sum = Bits::of(0.0);
                self.over = false;
            }
        } else {
            self.away_since = None;
        }
        if self.over { Verdict::Breach } else { Verdict::Safe }
    }

    /// When the limit is reached if the value stays what it is.
    pub(super) fn due(&self, spec: &Spec, gap_ms: i64) -> Option<UtcMillis> {
        let (then, value) = self.last.filter(|_| !self.over)?;
        let weight = spec.weight(value.get());
        if weight <= 0.0 {
            return None;
        }
        let wait = ((spec.limit - self.sum.get()) / weight).ceil().max(0.0);
        if wait > float(gap_ms) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "not above the gap, a whole number of milliseconds"
        )]
        Some(then + wait as i64)
    }

    pub(super) fn minutes(&self, spec: &Spec) -> f64 {
        // What was reached by holding is not in the sum before the next value.
        let sum = self.sum.get();
        (if self.over { sum.max(spec.limit) } else { sum }) / MINUTE_MS
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "days in milliseconds fit a double exactly"
)]
fn float(ms: i64) -> f64 {
    ms as f64
}
