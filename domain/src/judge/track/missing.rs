//! What has to be there by a time of day.

use serde::{Deserialize, Serialize};

use super::Said;
use crate::{
    judge::condition::Verdict,
    rule::{Comparison, DayMinute},
    time::UtcMillis,
    zone::Zone,
};

/// Stretches of the day that are remembered, the latest ones: an outage of eight days at eight times a day.
const REMEMBERED: usize = 64;

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) op: Comparison,
    pub(super) limit: f64,
    pub(super) by: Vec<DayMinute>,
    pub(super) within_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    /// When it was there, as far as that can still count: of each stretch between two times of day, named by its
    /// end, the latest moment.
    there: Vec<(UtcMillis, UtcMillis)>,
    /// By when it must be there next; `None` before the log begins.
    pub(super) next: Option<UtcMillis>,
    /// By when it was missing, if it still is.
    missed: Option<UtcMillis>,
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

    /// A reading, in whatever order: one that is delivered late was there all the same.
    pub(in crate::judge) fn on_reading(
        &mut self,
        (spec, zone): (&Spec, &Zone),
        at: UtcMillis,
        value: f64,
    ) -> Said {
        if !spec.op.holds(value, spec.limit) {
            return [None, None];
        }
        self.note(spec.next(zone, at - 1).unwrap_or(at), at);
        match self.missed {
            Some(due) if at > due - spec.within_ms => {
                self.missed = None;
                [Some((Verdict::Safe, at.max(due))), None]
            }
            _ => [None, None],
        }
    }

    fn note(&mut self, end: UtcMillis, at: UtcMillis) {
        if let Some((_, latest)) = self.there.iter_mut().find(|(known, _)| *known == end) {
            *latest = at.max(*latest);
            return;
        }
        if self.there.len() == REMEMBERED {
            self.there.remove(0);
        }
        self.there.push((end, at));
    }

    /// True when it is missing.
    pub(super) fn on_due(&mut self, spec: &Spec, zone: &Zone, due: UtcMillis) -> bool {
        let begin = due - spec.within_ms;
        let was_there = self.there.iter().any(|(_, at)| *at > begin && *at <= due);
        self.there.retain(|(_, at)| *at > begin);
        self.next = spec.next(zone, due);
        if !was_there {
            self.missed = Some(due);
        }
        !was_there
    }
}
