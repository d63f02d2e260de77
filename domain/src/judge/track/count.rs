//! How often something happened lately.

use serde::{Deserialize, Serialize};

use crate::{judge::condition::Verdict, rule::Comparison, time::UtcMillis};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) op: Comparison,
    pub(super) limit: f64,
    pub(super) at_least: usize,
    pub(super) within_ms: i64,
}

/// The latest occurrences, at most `at_least` of them: as many are a breach.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    times: Vec<UtcMillis>,
    inside: bool,
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, at: UtcMillis, value: f64) -> Verdict {
        let inside = spec.op.holds(value, spec.limit);
        if inside && !self.inside {
            self.times.retain(|then| at.ms_since(*then) < spec.within_ms);
            if self.times.len() == spec.at_least {
                self.times.remove(0);
            }
            self.times.push(at);
        }
        self.inside = inside;
        if self.times.len() == spec.at_least {
            Verdict::Breach
        } else {
            Verdict::Safe
        }
    }

    /// When the oldest of a breach's occurrences no longer counts.
    pub(super) fn due(&self, spec: &Spec) -> Option<UtcMillis> {
        let oldest = self.times.first().filter(|_| self.times.len() == spec.at_least)?;
        Some(*oldest + spec.within_ms)
    }

    pub(super) fn drop_oldest(&mut self) {
        self.times.remove(0);
    }

    pub(super) fn occurrences(&self) -> usize {
        self.times.len()
    }
}
