//! A run that must have kept its limit long enough before it ends.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::{judge::condition::Verdict, time::UtcMillis};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) begin: f64,
    pub(super) limit: f64,
    pub(super) for_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    running: bool,
    /// The limit is kept: since when, and when that was last seen.
    kept: Option<(UtcMillis, UtcMillis)>,
    /// The longest time of this run, or of the last one.
    pub(super) best_ms: i64,
    done: bool,
    failed: bool,
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, moment: Moment, value: f64) -> Verdict {
        let at = moment.at;
        if value >= spec.begin && !self.running {
            *self = Memory {
                running: true,
                failed: self.failed,
                ..Memory::default()
            };
        }
        if let Some((since, seen)) = self.kept {
            let until = at.min(seen + moment.gap_ms);
            self.best_ms = self.best_ms.max(until.ms_since(since));
            if until < at {
                // Nothing was known for a while: what is kept now is kept anew.
                self.kept = None;
            }
        }
        self.kept = (value >= spec.limit).then(|| (self.kept.map_or(at, |(since, _)| since), at));
        if self.running && self.best_ms >= spec.for_ms && (spec.for_ms > 0 || self.kept.is_some()) {
            self.done = true;
        }
        if value < spec.begin && self.running {
            self.running = false;
            self.failed = !self.done;
        }
        self.failed &= !self.done;
        if self.failed {
            Verdict::Breach
        } else {
            Verdict::Safe
        }
    }
}
