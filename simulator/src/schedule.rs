//! What is said live, and when.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use domain::{TimeRange, UtcMillis};

use crate::{
    district::District,
    model::{CLOCK_AHEAD_MS, DeviceModel},
    noise::key,
    payload,
    script::{Scenario, Script},
};

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimMessage {
    /// When it is due. The payload carries its own idea of time, which may be wrong on purpose.
    pub at: UtcMillis,
    /// Which device says it: an index of [`District::devices`].
    pub device: usize,
    /// The topic.
    pub topic: String,
    /// The payload, which may be garbage on purpose.
    pub payload: Vec<u8>,
}

/// Everything that the district says within `range`, one report at a time as in the live part, in order of
/// time and then of device. Pure: the same arguments give the same messages.
///
/// ```
/// use domain::{TimeRange, UtcMillis};
/// use sunshine_simulator::{Scenario, district, messages};
///
/// let start = UtcMillis(1_795_250_000_000);
/// let scenario = Scenario { facilities: 2, ..Scenario::new(7, start) };
/// let district = district(7, 2);
/// let minute = TimeRange { from: start, to: start + 60_000 };
/// assert!(messages(&scenario, &district, minute).count() > 60);
/// ```
pub fn messages(
    scenario: &Scenario,
    district: &District,
    range: TimeRange,
) -> impl Iterator<Item = SimMessage> + use<> {
    let script = Arc::new(Script::new(scenario, district));
    let mut speakers: Vec<Live> = (0..district.devices.len())
        .map(|index| Live::from(DeviceModel::new(scenario, district, &script, index), range.from))
        .collect();
    let mut due: BinaryHeap<Reverse<(UtcMillis, usize)>> = speakers
        .iter()
        .enumerate()
        .map(|(index, live)| Reverse((live.next_at, index)))
        .collect();
    std::iter::from_fn(move || {
        let Reverse((at, index)) = due.pop()?;
        if at >= range.to {
            return None;
        }
        let message = speakers[index].next_message();
        due.push(Reverse((speakers[index].next_at, index)));
        Some(message)
    })
}

/// One device's endless live speech.
#[derive(Debug)]
pub(crate) struct Live {
    model: DeviceModel,
    phase_ms: i64,
    next_at: UtcMillis,
}

impl Live {
    /// Speech from `from` on, which may itself be the first moment.
    pub(crate) fn from(model: DeviceModel, from: UtcMillis) -> Live {
        let interval = model.interval_ms;
        let phase_ms = i64::try_from(key(model.key, 1) % interval.unsigned_abs()).unwrap_or(0);
        let mut live = Live {
            model,
            phase_ms,
            next_at: from - 1,
        };
        live.advance();
        live
    }

    /// When the next message is due.
    pub(crate) fn next_at(&self) -> UtcMillis {
        self.next_at
    }

    /// How often the device reports.
    pub(crate) fn interval_ms(&self) -> i64 {
        self.model.interval_ms
    }

    /// Passes over everything due before `to`.
    pub(crate) fn skip_to(&mut self, to: UtcMillis) {
        if self.next_at < to {
            self.next_at = to - 1;
            self.advance();
        }
    }

    /// The next message.
    pub(crate) fn next_message(&mut self) -> SimMessage {
        let at = self.next_at;
        let (topic, payload) = self.say(at);
        self.advance();
        SimMessage {
            at,
            device: self.model.index,
            topic,
            payload,
        }
    }

    fn say(&mut self, at: UtcMillis) -> (String, Vec<u8>) {
        let stamp = if self.model.clock_is_ahead(at) {
            at + CLOCK_AHEAD_MS
        } else {
            at
        };
        let garbled = self.model.is_garbled(at);
        let form = self.model.form;
        let (leaf, text) = payload::report(form, stamp, &self.model.measure(at));
        let payload = if garbled {
            payload::garbage(key(self.model.key, at.0.cast_unsigned()))
        } else {
            text.into_bytes()
        };
        (format!("{}{leaf}", self.model.root), payload)
    }

    fn advance(&mut self) {
        let interval = self.model.interval_ms;
        self.next_at = self.model.next_moment(self.next_at, interval, self.phase_ms);
        while let Some(until) = self.model.silent_until(self.next_at) {
            self.next_at = self.model.next_moment(until, interval, self.phase_ms);
        }
    }
}
