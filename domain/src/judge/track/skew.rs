//! A device's clock beside ours.

use serde::{Deserialize, Serialize};

use super::Bits;
use crate::{
    judge::condition::Verdict,
    reading::{Quality, Reading},
    time::UtcMillis,
};

#[derive(Debug)]
pub(in crate::judge) struct Spec {
    pub(super) limit_s: f64,
    pub(super) clear_s: f64,
    pub(super) for_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(in crate::judge) struct Memory {
    /// The receipt of the first reading of an unbroken run that shows it.
    since: Option<UtcMillis>,
    /// The latest difference, in seconds; `None` when the device's time was beyond belief.
    pub(super) shown: Option<Bits>,
}

/// What a reading shows of its device's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::judge) enum Shown {
    /// So many seconds between the two clocks.
    Apart(f64),
    /// The device's time could not be believed at all.
    Beyond,
    /// The device gave no time.
    Nothing,
}

impl Shown {
    pub(in crate::judge) fn of(reading: &Reading) -> Shown {
        match reading.quality {
            Quality::NoDeviceTime => Shown::Nothing,
            Quality::ClockAhead | Quality::ClockUnset => Shown::Beyond,
            Quality::Good => {
                let apart_ms = reading.received.ms_since(reading.at).unsigned_abs();
                #[expect(clippy::cast_precision_loss, reason = "for show and against seconds")]
                Shown::Apart(apart_ms as f64 / 1000.0)
            }
        }
    }
}

impl Memory {
    pub(in crate::judge) fn on_reading(
        &mut self,
        spec: &Spec,
        received: UtcMillis,
        shown: Shown,
    ) -> Option<Verdict> {
        let apart_s = match shown {
            Shown::Nothing => return None,
            Shown::Beyond => f64::INFINITY,
            Shown::Apart(seconds) => seconds,
        };
        self.shown = apart_s.is_finite().then(|| Bits::of(apart_s));
        if apart_s > spec.limit_s {
            let since = *self.since.get_or_insert(received);
            let long = received.ms_since(since) >= spec.for_ms;
            return Some(if long { Verdict::Breach } else { Verdict::Between });
        }
        self.since = None;
        Some(if apart_s <= spec.clear_s {
            Verdict::Safe
        } else {
            Verdict::Between
        })
    }
}
