//! What the log holds, decoded: the unit in which readings travel from ingest to storage and judgement.

use crate::{
    camera::CameraKey,
    id::{DeviceId, FacilityId},
    observation::Observation,
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
    /// Where the record stands that each reading came from: one entry per reading, never decreasing.
    /// A replay may cut the log into other batches than the live run did; with this, who has seen
    /// everything before a position takes up in the middle of a batch (see [`Batch::events_from`]).
    pub positions: Vec<LogPosition>,
    /// Ticks, each standing before the reading of that index (or after the last one).
    pub ticks: Vec<Tick>,
    /// Devices heard in this run, one entry each, with what they said last.
    pub sightings: Vec<Sighting>,
    /// Payloads that could not be understood.
    pub rejects: Vec<Reject>,
    /// Devices that said they are, or were found to be, off line (`status` topic).
    pub presence: Vec<Presence>,
    /// What cameras say they saw, each with the position of its record. Each has a reading of its check's metric
    /// among [`Batch::readings`] too: 1 where it begins, 0 where it ends.
    pub observations: Vec<(LogPosition, Observation)>,
    /// The newest picture of each device that published any (`image` topic).
    pub pictures: Vec<Picture>,
    /// Messages that later ones cannot be read without: whoever reads the log from the middle needs them.
    pub births: Vec<Birth>,
    /// What a device should be told, because otherwise its messages cannot be read.
    pub wishes: Vec<Wish>,
    /// Profiles that hold from their place in the log on: whoever reads it from the middle needs those before.
    pub profiles: Vec<ProfileChange>,
}

/// An operator's profile, as it holds from a place in the log on. What stands before is read as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileChange {
    /// Where its record stands.
    pub position: LogPosition,
    /// When the log took it in.
    pub received: UtcMillis,
    /// The profile's name.
    pub id: String,
    /// Its text.
    pub text: String,
}

/// A Sparkplug B birth certificate: it gives names to the numbers by which later messages call their metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Birth {
    /// Where its record stands.
    pub position: LogPosition,
    /// When the log took it in.
    pub received: UtcMillis,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A command that ingest wants published. It cannot do so itself: it only reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// When the log took in the message that gave rise to it. An old one, read again, need not be heeded.
    pub at: UtcMillis,
    /// The topic of the command.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A picture that a device published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Which device.
    pub camera: CameraKey,
    /// When the log took it in.
    pub received: UtcMillis,
    /// The JPEG as it came: nobody has looked at it yet.
    pub jpeg: Vec<u8>,
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

    /// The events of this batch for someone who has seen everything before `position`: readings of
    /// earlier records are left out. Ticks are not: one that is heard twice changes nothing, because
    /// time in the log never goes back.
    ///
    /// `None` when the batch straddles `position` and does not say where its readings stand.
    pub fn events_from(&self, position: LogPosition) -> Option<impl Iterator<Item = LogEvent> + '_> {
        let seen = if self.from >= position {
            0
        } else if self.upto <= position {
            self.readings.len()
        } else if self.positions.len() == self.readings.len() {
            self.positions.partition_point(|p| *p < position)
        } else {
            return None;
        };
        let mut index = 0;
        Some(self.events().filter(move |event| {
            let is_reading = matches!(event, LogEvent::Reading(_));
            index += usize::from(is_reading);
            !is_reading || index > seen
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Quality, SeriesId};

    fn reading(n: i64) -> Reading {
        Reading {
            series: SeriesId(1),
            at: UtcMillis(n),
            received: UtcMillis(n),
            value: 0.0,
            quality: Quality::Good,
        }
    }

    fn order(events: impl Iterator<Item = LogEvent>) -> Vec<i64> {
        events
            .map(|e| match e {
                LogEvent::Tick(at) => at.0 * 10,
                LogEvent::Reading(r) => r.at.0,
            })
            .collect()
    }

    #[test]
    fn events_keep_the_order_of_the_log() {
        let batch = Batch {
            readings: vec![reading(1), reading(2)],
            ticks: vec![
                Tick {
                    before: 0,
                    at: UtcMillis(0),
                },
                Tick {
                    before: 1,
                    at: UtcMillis(1),
                },
                Tick {
                    before: 2,
                    at: UtcMillis(3),
                },
            ],
            ..Batch::default()
        };
        assert_eq!(order(batch.events()), [0, 1, 10, 2, 30]);
    }

    #[test]
    fn a_batch_is_taken_up_at_any_record() {
        let batch = Batch {
            from: LogPosition(100),
            upto: LogPosition(400),
            readings: vec![reading(1), reading(2), reading(3), reading(4)],
            positions: [100, 200, 200, 300].map(LogPosition).to_vec(),
            ticks: vec![Tick {
                before: 3,
                at: UtcMillis(9),
            }],
            ..Batch::default()
        };
        let cases: [(u64, &[i64]); 6] = [
            (0, &[1, 2, 3, 90, 4]),
            (100, &[1, 2, 3, 90, 4]),
            (200, &[2, 3, 90, 4]),
            (201, &[90, 4]),
            (300, &[90, 4]),
            (400, &[90]),
        ];
        for (position, want) in cases {
            let events = batch.events_from(LogPosition(position)).unwrap();
            assert_eq!(order(events), want, "from {position}");
        }
    }

    #[test]
    fn a_straddling_batch_without_positions_is_refused() {
        let batch = Batch {
            from: LogPosition(100),
            upto: LogPosition(400),
            readings: vec![reading(1)],
            ..Batch::default()
        };
        assert!(batch.events_from(LogPosition(200)).is_none());
        assert!(batch.events_from(LogPosition(100)).is_some());
        assert!(batch.events_from(LogPosition(400)).is_some());
    }
}
