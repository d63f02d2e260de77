//! One measurement that counts by itself.

use serde::{Deserialize, Serialize};

use super::Bits;
use crate::{rule::Comparison, time::UtcMillis};

/// How many bad measurements are remembered, so that one that is delivered again is not another. The record store
/// knows all of them: a case is named by its moment.
const REMEMBERED: usize = 16;

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) op: Comparison,
    pub(super) limit: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    told: Vec<UtcMillis>,
    pub(super) shown: Option<Bits>,
}

impl Memory {
    /// Whether this measurement is a breach that was not told before.
    pub(in crate::judge) fn is_new_breach(&mut self, spec: &Spec, at: UtcMillis, value: f64) -> bool {
        if !spec.op.holds(value, spec.limit) || self.told.contains(&at) {
            return false;
        }
        if self.told.len() == REMEMBERED {
            self.told.remove(0);
        }
        self.told.push(at);
        self.shown = Some(Bits::of(value));
        true
    }
}
