//! How fast a value changes, per minute.

use serde::{Deserialize, Serialize};

use super::{Bits, minutes};
use crate::{
    judge::condition::{Limits, Verdict},
    time::UtcMillis,
};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) limits: Limits,
    pub(super) over_ms: i64,
}

/// From one base to the next, each at least `over_ms` after the one before, so that noise of close readings is not
/// taken for a change.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    base: Option<(UtcMillis, Bits)>,
    pub(super) rate: Bits,
    verdict: Verdict,
}

impl Memory {
    pub(super) fn on_value(&mut self, spec: &Spec, at: UtcMillis, value: f64) -> Verdict {
        if let Some(rate) = measure(&mut self.base, spec.over_ms, at, value) {
            self.rate = Bits::of(rate);
            self.verdict = spec.limits.verdict(rate);
        }
        self.verdict
    }
}

/// The change per minute since the base, once that is `over_ms` old; moves the base on.
pub(super) fn measure(
    base: &mut Option<(UtcMillis, Bits)>,
    over_ms: i64,
    at: UtcMillis,
    value: f64,
) -> Option<f64> {
    let Some((then, before)) = *base else {
        *base = Some((at, Bits::of(value)));
        return None;
    };
    let span_ms = at.ms_since(then);
    if span_ms == 0 {
        // A correction of the base itself.
        *base = Some((at, Bits::of(value)));
    }
    if span_ms < over_ms.max(1) {
        return None;
    }
    *base = Some((at, Bits::of(value)));
    Some((value - before.get()) / minutes(span_ms))
}
