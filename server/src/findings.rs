//! What cameras say they saw, on its way from the log into the records.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use domain::{Batch, LogPosition, Observation};
use store::Records;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Observations that may wait for the records before ingest waits too.
const WAITING: usize = 10_000;

/// How long a failed write waits before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Observations between ingest and the records. The log is not freed below the oldest one that waits.
#[derive(Clone, Default)]
pub(crate) struct FindingQueue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    room: Condvar,
    came: Notify,
}

#[derive(Default)]
struct Waiting {
    observations: VecDeque<(LogPosition, Observation)>,
    closed: bool,
}

impl FindingQueue {
    /// Takes the observations of a batch. Blocks while [`WAITING`] of them wait already: the log holds the rest.
    pub(crate) fn take(&self, batch: &Batch) {
        if batch.observations.is_empty() {
            return;
        }
        let mut waiting = self.lock();
        while waiting.observations.len() >= WAITING && !waiting.closed {
            waiting = self
                .0
                .room
                .wait(waiting)
                .expect("no code panics while it holds the queue");
        }
        waiting.observations.extend(batch.observations.iter().cloned());
        drop(waiting);
        self.0.came.notify_one();
    }

    /// The log is still needed from here on; `None` when nothing waits.
    pub(crate) fn floor(&self) -> Option<LogPosition> {
        self.lock().observations.front().map(|(position, _)| *position)
    }

    /// Writes what waits into the records until told to stop and nothing waits any more, or until a write fails
    /// after that: the log gives it again. What cannot be written is tried again; nothing overtakes it.
    pub(crate) async fn run(self, records: Records, stop: CancellationToken) -> anyhow::Result<()> {
        let mut failing = false;
        loop {
            let next = self.lock().observations.front().cloned();
            let Some((position, observation)) = next else {
                if stop.is_cancelled() {
                    self.close();
                    return Ok(());
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.0.came.notified() => {}
                }
                continue;
            };
            match records.enter_observation(&observation, position).await {
                Ok(_) => {
                    failing = false;
                    self.lock().observations.pop_front();
                    self.0.room.notify_all();
                }
                Err(why) => {
                    if !failing {
                        error!(camera = %observation.camera, "Findings wait in the log until this ends: {why}");
                    }
                    failing = true;
                    if stop.is_cancelled() {
                        self.close();
                        return Ok(());
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Ingest no longer waits for room: what it offers from now on comes from the log again after the next start.
    fn close(&self) {
        self.lock().closed = true;
        self.0.room.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .expect("no code panics while it holds the queue")
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        CameraKey, Check, DeviceId, FacilityId, Sighted, UtcMillis,
        observation::{ObservedState, Origin, Tally},
    };

    use super::*;

    fn batch(positions: &[u64]) -> Batch {
        let observation = |n: u64| Observation {
            camera: CameraKey {
                facility: FacilityId::new("f").unwrap(),
                camera: DeviceId::new("c").unwrap(),
            },
            said: Sighted {
                check: Check::NoMask,
                state: ObservedState::Began,
                at: UtcMillis(n as i64),
                since: None,
                zone: None,
                score: None,
                threshold: None,
                tally: Tally::default(),
                model: None,
                boxes: Vec::new(),
                evidence: None,
                origin: Origin::Own,
                detail: String::new(),
            },
            received: UtcMillis(n as i64),
        };
        let observations = positions
            .iter()
            .map(|n| (LogPosition(*n), observation(*n)))
            .collect();
        Batch {
            observations,
            ..Batch::default()
        }
    }

    #[test]
    fn the_log_is_needed_from_the_oldest_that_waits() {
        let queue = FindingQueue::default();
        assert_eq!(queue.floor(), None);
        queue.take(&batch(&[]));
        queue.take(&batch(&[7, 8]));
        queue.take(&batch(&[9]));
        assert_eq!(queue.floor(), Some(LogPosition(7)));
    }

    #[test]
    fn a_full_queue_makes_ingest_wait_until_there_is_room() {
        let queue = FindingQueue::default();
        let full: Vec<u64> = (0..WAITING as u64).collect();
        queue.take(&batch(&full));
        let other = queue.clone();
        let ingest = std::thread::spawn(move || other.take(&batch(&[99_999])));
        // Whether the thread waits already or comes later: it ends only because room was made.
        queue.lock().observations.pop_front();
        queue.0.room.notify_all();
        ingest.join().unwrap();
        assert_eq!(queue.lock().observations.len(), WAITING);
        assert_eq!(queue.floor(), Some(LogPosition(1)));
    }
}
