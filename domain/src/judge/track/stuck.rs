//! A value that does not move although readings come.

use serde::{Deserialize, Serialize};

use super::{Bits, Moment};
use crate::{judge::condition::Verdict, time::UtcMillis};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) for_ms: i64,
    pub(super) tolerance: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    base: Option<(UtcMillis, Bits)>,
    last: UtcMillis,
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, moment: Moment, value: f64) -> Verdict {
        let at = moment.at;
        // What was not heard for a while may have moved meanwhile.
        let heard = at.ms_since(self.last) <= moment.gap_ms;
        self.last = at;
        match self.base {
            Some((since, base)) if heard && (value - base.get()).abs() <= spec.tolerance => {
                if at.ms_since(since) >= spec.for_ms {
                    Verdict::Breach
                } else {
                    Verdict::Safe
                }
            }
            _ => {
                self.base = Some((at, Bits::of(value)));
                Verdict::Safe
            }
        }
    }
}
