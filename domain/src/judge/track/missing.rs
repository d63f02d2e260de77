//! What has to be there by a time of day.

use serde::{Deserialize, Serialize};

use crate::{
    judge::condition::{NEVER, Verdict},
    rule::{Comparison, DayMinute},
    time::UtcMillis,
    zone::Zone,
};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) op: Comparison,
    pub(super) limit: f64,
    pub(super) by: Vec<DayMinute>,
    pub(super) within_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    /// When it was last there.
    last: UtcMillis,
    /// By when it must be there next; `None` before the log begins.
    pub(super) next: Option<UtcMillis>,
    missed: bool,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            last: NEVER,
            next: None,
            missed: false,
        }
    }
}

impl Spec {
    /// The first moment after `after` by which it must be there.
    fn next(&self, zone: &Zone, after: UtcMillis) -> Option<UtcMillis> {
        self.by.iter().map(|by| zone.next(*by, after)).min()
    }
}

impl Memory {
    /// Watches from `from` on: what was due before the whole time was watched is not asked for.
    pub(in crate::judge) fn arm(&mut self, spec: &Spec, zone: &Zone, from: UtcMillis) {
        if self.next.is_none() {
            self.next = spec.next(zone, from + (spec.within_ms - 1));
        }
    }

    pub(super) fn on_value(&mut self, spec: &Spec, at: UtcMillis, value: f64) -> Verdict {
        if spec.op.holds(value, spec.limit) {
            self.last = self.last.max(at);
            self.missed = false;
        }
        if self.missed {
            Verdict::Breach
        } else {
            Verdict::Safe
        }
    }

    /// True when it is missing.
    pub(super) fn on_due(&mut self, spec: &Spec, zone: &Zone, due: UtcMillis) -> bool {
        self.next = spec.next(zone, due);
        let was_there = self.last > due - spec.within_ms;
        self.missed |= !was_there;
        !was_there
    }
}
