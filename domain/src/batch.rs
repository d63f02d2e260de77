//! What the log holds, decoded: the unit in which readings travel from ingest to storage and judgement.

use crate::{
    id::{DeviceId, FacilityId},
    reading::{LogPosition, Reading},
    status::{Reject, Sighting},
    time::UtcMillis,
};

/// A run of decoded log records, in log order.
///
/// Time passes in the log too: the server appends a tick every second, so that timers fire without new
/// messages and a replay sees exactly the time the live run saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Where the run begins.
    pub from: LogPosition,
    /// Where it ends: everything before this position is in this batch or an earlier one.
    pub upto: LogPosition,
    /// Readings in log order.
    pub readings: Vec<Reading>,
    /// Ticks, each standing before the reading of that index (or after the last one).
    pub ticks: Vec<Tick>,
    /// Devices heard in this run, one entry each, with what they said last.
    pub sightings: Vec<Sighting>,
    /// Payloads that could not be understood.
    pub rejects: Vec<Reject>,
    /// Devices that said they are, or were found to be, off line (`status` topic).
    pub presence: Vec<Presence>,
}

/// A moment noted in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The index in [`Batch::readings`] before which it stands.
    pub before: usize,
    /// The moment.
    pub at: UtcMillis,
}

/// A device's word on its own connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The facility.
    pub facility: FacilityId,
    /// The device.
    pub device: DeviceId,
    /// Whether it is connected.
    pub online: bool,
    /// When the log took it in.
    pub received: UtcMillis,
}

/// One thing that happened, as judgement sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogEvent {
    /// Time passed.
    Tick(UtcMillis),
    /// Something was measured.
    Reading(Reading),
}

impl Batch {
    /// Readings and ticks, interleaved as they stand in the log.
    pub fn events(&self) -> impl Iterator<Item = LogEvent> + '_ {
        let mut ticks = self.ticks.iter().peekable();
        let mut next = 0;
        std::iter::from_fn(move || {
            if let Some(tick) = ticks.next_if(|t| t.before <= next) {
                return Some(LogEvent::Tick(tick.at));
            }
            let reading = self.readings.get(next)?;
            next += 1;
            Some(LogEvent::Reading(*reading))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Quality, SeriesId};

    #[test]
    fn events_keep_the_order_of_the_log() {
        let reading = |n: i64| Reading {
            series: SeriesId(1),
            at: UtcMillis(n),
            received: UtcMillis(n),
            value: 0.0,
            quality: Quality::Good,
        };
        let batch = Batch {
            readings: vec![reading(1), reading(2)],
            ticks: vec![
                Tick { before: 0, at: UtcMillis(0) },
                Tick { before: 1, at: UtcMillis(1) },
                Tick { before: 2, at: UtcMillis(3) },
            ],
            ..Batch::default()
        };
        let order: Vec<i64> = batch
            .events()
            .map(|e| match e {
                LogEvent::Tick(at) => at.0 * 10,
                LogEvent::Reading(r) => r.at.0,
            })
            .collect();
        assert_eq!(order, [0, 1, 10, 2, 30]);
    }
}
