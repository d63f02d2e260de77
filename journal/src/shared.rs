//! What the handles and the two threads of a journal share.
//!
//! Locks are never nested, but for `cursors`, which is taken first. Positions that many threads look at (`durable`,
//! `start`, `space_end`) are atomics, so that asking costs one load.

use std::{
    collections::VecDeque,
    fmt::Display,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    AppendError, Envelope, JournalError, Position, Receipt,
    cursor::Cursors,
    disk::Disk,
    options::{Options, TimeSource},
    queue::{Queue, Space, Ticket},
    segment::Segment,
};

/// Why a lock cannot be poisoned: a panic under one is a bug that no caller can mend.
pub(crate) const NO_PANIC: &str = "nothing panics while it holds a lock of the journal";

/// The segments, and what the preparing and the committing thread tell each other.
#[derive(Debug)]
pub(crate) struct Table {
    /// In order: full ones, the active one, the one prepared ahead.
    pub(crate) all: VecDeque<Segment>,
    /// Base of the segment that the committing thread writes to.
    pub(crate) active: u64,
    /// The preparing thread ends.
    pub(crate) stop: bool,
}

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    time: TimeSource,
    queue: Mutex<Queue>,
    /// The committing thread waits here for records.
    pub(crate) work: Condvar,
    table: Mutex<Table>,
    /// The preparing thread waits here for a change of the table.
    pub(crate) room: Condvar,
    cursors: Mutex<Cursors>,
    /// Readers wait here for `durable` to move.
    news: Mutex<()>,
    news_came: Condvar,
    pub(crate) durable: AtomicU64,
    pub(crate) start: AtomicU64,
    /// Where the last segment ends. Written under the table's lock.
    pub(crate) space_end: AtomicU64,
    /// No further segment can be had for now. Written under the table's lock.
    pub(crate) space_blocked: AtomicBool,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_micros: AtomicU64,
    pub(crate) skipped_bytes: AtomicU64,
    /// Nothing more becomes durable: closed or failed.
    ended: AtomicBool,
    fault: OnceLock<String>,
}

impl Shared {
    pub(crate) fn new(options: Options, time: TimeSource, disk: Arc<dyn Disk>, state: State) -> Shared {
        let start = state.table.all.front().map_or(0, Segment::data_start);
        let space_end = state.table.all.back().map_or(0, Segment::end);
        Shared {
            options,
            disk,
            time,
            durable: AtomicU64::new(state.queue.pending.end),
            queue: Mutex::new(state.queue),
            work: Condvar::new(),
            table: Mutex::new(state.table),
            room: Condvar::new(),
            cursors: Mutex::new(state.cursors),
            news: Mutex::new(()),
            news_came: Condvar::new(),
            start: AtomicU64::new(start),
            space_end: AtomicU64::new(space_end),
            space_blocked: AtomicBool::new(false),
            syncs: AtomicU64::new(0),
            sync_micros: AtomicU64::new(0),
            skipped_bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            fault: OnceLock::new(),
        }
    }

    pub(crate) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect(NO_PANIC)
    }

    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect(NO_PANIC)
    }

    pub(crate) fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().expect(NO_PANIC)
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    pub(crate) fn space(&self) -> Space {
        Space {
            end: self.space_end.load(Ordering::Acquire),
            blocked: self.space_blocked.load(Ordering::Acquire),
        }
    }

    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    pub(crate) fn append(
        &self,
        envelope: &Envelope<'_>,
        ticket: &mut Ticket,
    ) -> Result<Receipt, AppendError> {
        let time_ms = (self.time)();
        let space = self.space();
        let (receipt, wake) = {
            let mut queue = self.queue();
            // Under the lock: after the last look of a failing commit nothing enters the queue.
            self.check_alive()?;
            queue.append(envelope, time_ms, space, ticket)?
        };
        if wake {
            self.work.notify_one();
        }
        Ok(receipt)
    }

    /// Whether everything before `next` is on disk.
    pub(crate) fn is_durable(&self, next: Position) -> Result<bool, AppendError> {
        if self.durable() >= next.0 {
            return Ok(true);
        }
        // The end is marked after the last commit, so look once more behind it.
        match self.check_alive() {
            Ok(()) => Ok(false),
            Err(_) if self.durable() >= next.0 => Ok(true),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn check_alive(&self) -> Result<(), AppendError> {
        if !self.has_ended() {
            return Ok(());
        }
        Err(if self.fault().is_some() {
            AppendError::Poisoned
        } else {
            AppendError::Closed
        })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The first failure ends the journal for good; later ones follow from it and are not told.
    pub(crate) fn poison(&self, cause: &dyn Display) {
        if self.fault.set(cause.to_string()).is_ok() {
            tracing::error!(journal.fault = %cause, "The journal has failed; nothing is acknowledged until a restart");
        }
        self.end();
    }

    /// Nothing more becomes durable: tells everyone who waits.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let waiters = {
            let mut queue = self.queue();
            queue.closing = true;
            queue.pending.bytes = Vec::new();
            queue.in_flight = 0;
            std::mem::take(&mut queue.pending.waiters)
        };
        waiters.iter().for_each(|waiter| waiter.notify_one());
        self.work.notify_all();
        self.table().stop = true;
        self.room.notify_all();
        self.tell_readers();
    }

    pub(crate) fn tell_readers(&self) {
        drop(self.news.lock().expect(NO_PANIC));
        self.news_came.notify_all();
    }

    /// Waits until something lies behind `position`, the journal has ended, or `timeout` has passed.
    pub(crate) fn wait_for_news(&self, position: u64, timeout: Duration) {
        let idle = |(): &mut ()| self.durable() <= position && !self.has_ended();
        let guard = self.news.lock().expect(NO_PANIC);
        drop(
            self.news_came
                .wait_timeout_while(guard, timeout, idle)
                .expect(NO_PANIC),
        );
    }

    /// Moves a cursor and frees what nobody needs any more.
    pub(crate) fn advance_cursor(&self, name: &str, to: Position) -> Result<(), JournalError> {
        let durable = self.durable();
        if to.0 > durable {
            return Err(JournalError::BeyondEnd {
                to,
                durable: Position(durable),
            });
        }
        let mut cursors = self.cursors();
        cursors.advance(name, to.0, self.disk.as_ref())?;
        self.free_below(cursors.lowest());
        Ok(())
    }

    /// Removes segments that end at or before `lowest`. The newest record is always kept, for its time.
    pub(crate) fn free_below(&self, lowest: Option<u64>) {
        let Some(lowest) = lowest else { return };
        let durable = self.durable();
        let mut freed = Vec::new();
        {
            let mut table = self.table();
            while let (Some(first), Some(second)) = (table.all.front(), table.all.get(1)) {
                if first.end() > lowest || durable <= second.data_start() || first.base >= table.active {
                    break;
                }
                self.start.store(second.data_start(), Ordering::Release);
                freed.extend(table.all.pop_front());
            }
        }
        if freed.is_empty() {
            return;
        }
        for segment in freed {
            if let Err(error) = segment.remove(&self.options.dir) {
                tracing::warn!(segment.file = segment.file_name(), %error, "A freed journal segment stays on disk until the next start");
            }
        }
        self.room.notify_all();
    }
}

/// What recovery hands over.
pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) table: Table,
    pub(crate) cursors: Cursors,
}
