//! The committing thread: takes what waits, writes it, syncs it, says so.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    disk, format,
    queue::{Attention, Batch},
    segment::Segment,
    shared::{NO_PANIC, Shared},
};

/// A buffer that one burst has blown up beyond this is given back.
const KEPT_BUFFER_BYTES: usize = 1024 * 1024;
/// How often a write that found no space is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) struct Committer {
    shared: Arc<Shared>,
    segment: Segment,
    file: File,
    /// Where in the segment the next batch goes.
    offset: u64,
}

/// Why a batch did not become durable.
enum Failure {
    /// The disk failed: the journal is poisoned.
    Disk(io::Error),
    /// The journal closes while no space can be had.
    Closing,
}

/// Poisons the journal should the thread ever panic: nobody may wait for it for ever.
struct PanicGuard<'a>(&'a Shared);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(&"the committing thread has panicked");
        }
    }
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, segment: Segment, file: File, end: u64) -> Committer {
        Committer {
            shared,
            segment,
            file,
            offset: end - segment.base,
        }
    }

    /// Runs until the journal is closed or fails.
    pub(crate) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let _guard = PanicGuard(&shared);
        let mut batch = Batch::default();
        let mut last_start = None;
        while wait_for_batch(&shared, &mut batch, last_start) {
            last_start = Some(Instant::now());
            let outcome = self.commit(&mut batch);
            let failed = outcome.is_err();
            match outcome {
                Ok(()) => publish(&shared, &batch),
                Err(Failure::Disk(error)) => {
                    let file = self.segment.file_name();
                    shared.poison(&format_args!(
                        "writing {file} failed: {error}; check the disk, then restart"
                    ));
                }
                Err(Failure::Closing) => shared.end(),
            }
            batch.waiters.drain(..).for_each(|waiter| waiter.notify_one());
            if failed {
                return;
            }
            batch.rolls.clear();
            batch.bytes.clear();
            batch.bytes.shrink_to(KEPT_BUFFER_BYTES);
        }
        shared.end();
    }

    /// Writes the batch, each segment's part synced before the next segment is touched.
    fn commit(&mut self, batch: &mut Batch) -> Result<(), Failure> {
        let mut from = 0;
        for &roll in &batch.rolls {
            self.write(&mut batch.bytes[from..roll])?;
            self.enter_next_segment()?;
            from = roll;
        }
        self.write(&mut batch.bytes[from..])
    }

    fn write(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        format::seal(bytes, format::seed(self.segment.base));
        while let Err(error) = self.shared.disk.write_at(&self.file, bytes, self.offset) {
            // Nothing was synced: the same bytes may be written again. (Segments are preallocated, so only a
            // copy-on-write or thinly provisioned disk comes here.)
            if !disk::is_out_of_space(&error) {
                return Err(Failure::Disk(error));
            }
            self.wait_for_space()?;
        }
        let begun = Instant::now();
        self.shared.disk.sync_data(&self.file).map_err(Failure::Disk)?;
        let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.sync_micros.fetch_add(micros, Ordering::Relaxed);
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn wait_for_space(&self) -> Result<(), Failure> {
        let mut queue = self.shared.queue();
        if !queue.stalled {
            tracing::error!("The disk is full; the journal takes no more records until there is space");
        }
        queue.stalled = true;
        let waited = self
            .shared
            .work
            .wait_timeout_while(queue, RETRY_INTERVAL, |queue| !queue.closing);
        let (queue, _) = waited.expect(NO_PANIC);
        if queue.closing {
            Err(Failure::Closing)
        } else {
            Ok(())
        }
    }

    /// Goes on in the segment that was prepared: no record was taken for one that was not.
    fn enter_next_segment(&mut self) -> Result<(), Failure> {
        let base = self.segment.end();
        let next = self
            .shared
            .table()
            .all
            .iter()
            .find(|segment| segment.base == base)
            .copied();
        let next = next.expect("a record is taken only where its segment exists");
        self.file = next
            .open_for_writing(&self.shared.options.dir)
            .map_err(Failure::Disk)?;
        self.segment = next;
        self.offset = next.data_start() - next.base;
        self.shared.table().active = next.base;
        self.shared.room.notify_all();
        Ok(())
    }
}

/// Sleeps until a batch is due and takes it. False when the journal closes and nothing is left.
fn wait_for_batch(shared: &Shared, batch: &mut Batch, last_start: Option<Instant>) -> bool {
    let mut queue = shared.queue();
    loop {
        if queue.pending.bytes.is_empty() {
            if queue.closing {
                return false;
            }
            queue.attention = Attention::FirstRecord;
            queue = shared.work.wait(queue).expect(NO_PANIC);
            continue;
        }
        let since_last = last_start.map_or(Duration::MAX, |start| start.elapsed());
        let left = shared.options.commit_interval.saturating_sub(since_last);
        if left.is_zero() || queue.closing || queue.pending.bytes.len() >= shared.options.commit_bytes {
            queue.attention = Attention::Nothing;
            queue.take(batch);
            return true;
        }
        queue.attention = Attention::FullBatch;
        queue = shared.work.wait_timeout(queue, left).expect(NO_PANIC).0;
    }
}

/// Makes a commit known. The batch's own writers are woken by the caller.
fn publish(shared: &Shared, batch: &Batch) {
    if shared.has_ended() {
        // The preparing thread has met a failing disk meanwhile: nothing is acknowledged after that.
        return;
    }
    shared.durable.store(batch.end, Ordering::Release);
    {
        let mut queue = shared.queue();
        queue.in_flight = 0;
        queue.stalled = false;
    }
    shared.tell_readers();
}
