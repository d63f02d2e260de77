//! Cooling in steps, each within its time.

use serde::{Deserialize, Serialize};

use crate::{judge::condition::Verdict, rule::StageStep, time::UtcMillis};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) from: f64,
    pub(super) steps: Vec<StageStep>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    /// It was hot and has not begun to cool.
    hot: bool,
    /// The step that is being cooled through.
    step: Option<u8>,
    began: UtcMillis,
    last: UtcMillis,
    pub(super) late: bool,
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, at: UtcMillis, value: f64) -> Verdict {
        self.last = at;
        if value >= spec.from {
            *self = Memory {
                hot: true,
                last: at,
                ..Memory::default()
            };
            return Verdict::Safe;
        }
        if std::mem::take(&mut self.hot) {
            self.step = Some(0);
            self.began = at;
        }
        while let Some(step) = self.step {
            let Some(goal) = spec.steps.get(usize::from(step)) else {
                self.step = None;
                break;
            };
            if value > goal.to {
                break;
            }
            self.step = Some(step + 1);
            self.began = at;
            self.late = false;
        }
        if self.deadline(spec).is_some_and(|deadline| at >= deadline) {
            self.late = true;
        }
        if self.late { Verdict::Breach } else { Verdict::Safe }
    }

    /// When the step's time is over, if the last value can still be relied on then.
    pub(super) fn due(&self, spec: &Spec, gap_ms: i64) -> Option<UtcMillis> {
        let deadline = self.deadline(spec).filter(|_| !self.late)?;
        (deadline.ms_since(self.last) <= gap_ms).then_some(deadline)
    }

    /// What the step that it is in must reach.
    pub(super) fn goal(&self, spec: &Spec) -> Option<f64> {
        let step = self.step?;
        spec.steps.get(usize::from(step)).map(|s| s.to)
    }

    /// One millisecond more than is allowed.
    fn deadline(&self, spec: &Spec) -> Option<UtcMillis> {
        let within_s = spec.steps.get(usize::from(self.step?))?.within_s?;
        Some(self.began + (i64::from(within_s) * 1000 + 1))
    }
}
