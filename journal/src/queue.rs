//! What waits for a commit: one buffer under one lock.
//!
//! An append serialises straight into the buffer; the committing thread swaps the buffer for its own emptied
//! one. A writer enters its waker once per batch, so that a commit wakes only those with something to learn.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::{
    AppendError, Envelope, Position, Receipt,
    format::{self, MARK_BYTES},
    segment::Segment,
};

/// Records that become durable together. Lies in the file exactly as in `bytes`, but for the CRCs.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Counts batches, from 1 on.
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where in `bytes` a new segment begins.
    pub(crate) rolls: Vec<usize>,
    /// The position after the last record.
    pub(crate) end: u64,
    /// Writers with a record in this batch.
    pub(crate) waiters: Vec<Arc<Notify>>,
}

/// What the committing thread sleeps for, so that nobody pays for a wake-up that is not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attention {
    /// It is not asleep.
    Nothing,
    /// The first record.
    FirstRecord,
    /// A full batch; it wakes up by itself a little later.
    FullBatch,
}

/// The limits of the queue, fixed at opening.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) record_bytes: u64,
    pub(crate) queue_bytes: usize,
    pub(crate) commit_bytes: usize,
    /// Bytes of each new segment.
    pub(crate) segment_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) pending: Batch,
    /// Bytes that the committing thread has taken and not yet made durable.
    pub(crate) in_flight: usize,
    pub(crate) attention: Attention,
    /// No more records are taken.
    pub(crate) closing: bool,
    /// The committing thread waits for disk space.
    pub(crate) stalled: bool,
    /// The last append was refused for want of space.
    pub(crate) refused: bool,
    pub(crate) appended_records: u64,
    pub(crate) appended_bytes: u64,
    limits: Limits,
    next: u64,
    segment: Segment,
    last_time_ms: i64,
}

/// Where segments exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Where the last one ends.
    pub(crate) end: u64,
    /// No further one can be had for now; otherwise it is being made.
    pub(crate) blocked: bool,
}

/// A writer's place in the queue.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    pub(crate) notify: Arc<Notify>,
    /// The newest batch that the waker was entered in.
    batch: u64,
}

impl Queue {
    pub(crate) fn new(limits: Limits, segment: Segment, next: u64, last_time_ms: Option<i64>) -> Queue {
        Queue {
            pending: Batch {
                number: 1,
                end: next,
                ..Batch::default()
            },
            in_flight: 0,
            attention: Attention::Nothing,
            closing: false,
            stalled: false,
            refused: false,
            appended_records: 0,
            appended_bytes: 0,
            limits,
            next,
            segment,
            last_time_ms: last_time_ms.unwrap_or(i64::MIN),
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.pending.bytes.len() + self.in_flight
    }

    /// Takes a record, but only where its segment exists already: what is taken waits for a sync, never for space.
    /// Returns the receipt and whether the committing thread is to be woken.
    pub(crate) fn append(
        &mut self,
        envelope: &Envelope<'_>,
        time_ms: i64,
        space: Space,
        ticket: &mut Ticket,
    ) -> Result<(Receipt, bool), AppendError> {
        let len = format::record_bytes(envelope).ok_or(AppendError::TooLarge)?;
        let bytes = len as u64;
        if bytes > self.limits.record_bytes {
            return Err(AppendError::TooLarge);
        }
        if self.closing {
            return Err(AppendError::Closed);
        }
        let rolls = self.next + bytes + MARK_BYTES as u64 > self.segment.end();
        let lacks_segment = rolls && self.segment.end() >= space.end;
        if self.stalled || (lacks_segment && space.blocked) {
            self.refused = true;
            return Err(AppendError::Full);
        }
        if lacks_segment || self.queued_bytes() + len > self.limits.queue_bytes {
            return Err(AppendError::Busy);
        }
        self.refused = false;
        if rolls {
            self.roll();
        }
        self.last_time_ms = self.last_time_ms.max(time_ms);
        format::push_record(&mut self.pending.bytes, envelope, self.last_time_ms, len);
        let receipt = Receipt {
            position: Position(self.next),
            next: Position(self.next + bytes),
        };
        self.next += bytes;
        self.pending.end = self.next;
        self.appended_records += 1;
        self.appended_bytes += bytes;
        if ticket.batch != self.pending.number {
            ticket.batch = self.pending.number;
            self.pending.waiters.push(Arc::clone(&ticket.notify));
        }
        Ok((receipt, self.wants_waking()))
    }

    /// Seals the segment and goes on in the next one.
    fn roll(&mut self) {
        if self.next + MARK_BYTES as u64 <= self.segment.end() {
            format::push_mark(&mut self.pending.bytes);
        }
        self.pending.rolls.push(self.pending.bytes.len());
        self.segment = Segment {
            base: self.segment.end(),
            bytes: self.limits.segment_bytes,
        };
        self.next = self.segment.data_start();
    }

    fn wants_waking(&mut self) -> bool {
        let wanted = match self.attention {
            Attention::Nothing => false,
            Attention::FirstRecord => true,
            Attention::FullBatch => self.pending.bytes.len() >= self.limits.commit_bytes,
        };
        if wanted {
            self.attention = Attention::Nothing;
        }
        wanted
    }

    /// Swaps the waiting records for the emptied `batch`.
    pub(crate) fn take(&mut self, batch: &mut Batch) {
        batch.number = self.pending.number + 1;
        batch.end = self.pending.end;
        std::mem::swap(&mut self.pending, batch);
        self.in_flight = batch.bytes.len();
    }
}
