//! The handle: opening, closing, and everything that is asked of a journal as a whole.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    thread::{self, JoinHandle},
};

use crate::{
    AppendError, Envelope, JournalError, Options, Position, Reader, TimeSource, Writer,
    commit::Committer,
    cursor::Cursors,
    disk::{Disk, RealDisk},
    prepare,
    queue::{Limits, Queue},
    recovery, scan,
    segment::Segment,
    shared::{NO_PANIC, Shared, State, Table},
};

const LOCK_FILE: &str = "lock";

/// An open journal. Cheap to clone; all clones are the same journal. It owns two threads, a committing and a
/// preparing one, which [`Journal::close`], or dropping the last clone, ends.
#[derive(Clone)]
pub struct Journal {
    core: Arc<Core>,
}

struct Core {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held as long as the journal is open: one process per directory.
    _lock: File,
}

/// What a journal is doing, for metrics and alarms.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Records taken since opening.
    pub appended_records: u64,
    /// Their bytes on disk.
    pub appended_bytes: u64,
    /// Commits since opening.
    pub syncs: u64,
    /// Time spent in them, in microseconds.
    pub sync_micros: u64,
    /// Bytes taken and not yet durable.
    pub queued_bytes: u64,
    /// Bytes that the segments occupy.
    pub disk_bytes: u64,
    /// The most that they may.
    pub capacity_bytes: u64,
    /// Damaged bytes that readers have passed over since opening.
    pub skipped_bytes: u64,
    /// The oldest position still held.
    pub start: Position,
    /// Everything before this is on disk.
    pub durable: Position,
    /// Why nothing is acknowledged any more; `None` while all is well.
    pub fault: Option<String>,
    /// Appends are refused until there is disk space or a cursor moves on.
    pub full: bool,
}

impl Journal {
    /// Opens the journal in `options.dir`, or begins one there. Finds the end of the log, cuts what is torn, and
    /// frees what lies below the lowest cursor. `time` is asked once per record and must be quick; should it go
    /// back, records keep the newest time seen.
    ///
    /// # Errors
    /// [`JournalError::InvalidOption`], [`JournalError::Locked`], [`JournalError::UnknownVersion`] and
    /// [`JournalError::Io`]. Damage is no error.
    pub fn open(options: Options, time: TimeSource) -> Result<Journal, JournalError> {
        Journal::open_on(options, time, Arc::new(RealDisk))
    }

    pub(crate) fn open_on(
        options: Options,
        time: TimeSource,
        disk: Arc<dyn Disk>,
    ) -> Result<Journal, JournalError> {
        options.check()?;
        let dir = options.dir.clone();
        create_directory(&dir, disk.as_ref())?;
        let lock = lock(&dir)?;
        let cursors = Cursors::load(&dir)?;
        let recovered = recovery::recover(&options, disk.as_ref(), cursors.highest().unwrap_or(0))?;
        let limits = Limits {
            record_bytes: scan::payload_bytes(options.segment_bytes).min(options.queue_bytes as u64),
            queue_bytes: options.queue_bytes,
            commit_bytes: options.commit_bytes,
            segment_bytes: options.segment_bytes,
        };
        let state = State {
            queue: Queue::new(limits, recovered.active, recovered.end, recovered.last_time_ms),
            table: Table {
                all: recovered.segments.into(),
                active: recovered.active.base,
                stop: false,
            },
            cursors,
        };
        let shared = Arc::new(Shared::new(options, time, disk, state));
        shared.free_below(shared.cursors().lowest());
        let committer = Committer::new(
            Arc::clone(&shared),
            recovered.active,
            recovered.file,
            recovered.end,
        );
        let preparing = Arc::clone(&shared);
        let start = |name: &str, body: Box<dyn FnOnce() + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(body)
                .map_err(JournalError::io("start a thread for", &dir))
        };
        let core = Core {
            shared,
            threads: Mutex::default(),
            _lock: lock,
        };
        let threads = [
            start("journal-commit", Box::new(move || committer.run()))?,
            start("journal-prepare", Box::new(move || prepare::run(&preparing)))?,
        ];
        core.threads.lock().expect(NO_PANIC).extend(threads);
        Ok(Journal { core: Arc::new(core) })
    }

    /// A new writer. One per connection.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer::new(Arc::clone(&self.core.shared))
    }

    /// Appends and waits until the record is on disk; returns its position. Cancel-safe in so far as the record
    /// may have been taken all the same.
    ///
    /// # Errors
    /// [`AppendError`]. After [`AppendError::Poisoned`] or [`AppendError::Closed`] the record may be on disk or
    /// not; after any other it is not.
    pub async fn append_durable(&self, envelope: &Envelope<'_>) -> Result<Position, AppendError> {
        let mut writer = self.writer();
        let receipt = writer.append(envelope)?;
        while !writer.is_durable(receipt)? {
            writer.progress().await;
        }
        Ok(receipt.position)
    }

    /// Everything before this is on disk.
    #[must_use]
    pub fn durable(&self) -> Position {
        Position(self.core.shared.durable())
    }

    /// The oldest position still held.
    #[must_use]
    pub fn start(&self) -> Position {
        Position(self.core.shared.start())
    }

    /// A reader from `from` on (from [`Journal::start`], if that is later): the beginning of a record, or the `next`
    /// of one. Sees durable records only.
    ///
    /// # Errors
    /// [`JournalError::BeyondEnd`].
    pub fn reader(&self, from: Position) -> Result<Reader, JournalError> {
        let durable = self.durable();
        if from > durable {
            return Err(JournalError::BeyondEnd { to: from, durable });
        }
        Ok(Reader::new(Arc::clone(&self.core.shared), from.0))
    }

    /// The named durable cursor's position. A new one is registered at [`Journal::start`] and from then on holds the
    /// segments behind it. Blocks for two disk syncs when it is new.
    ///
    /// # Errors
    /// [`JournalError::CursorName`] and [`JournalError::Io`].
    pub fn cursor(&self, name: &str) -> Result<Position, JournalError> {
        let shared = &self.core.shared;
        let mut cursors = shared.cursors();
        let start = shared.start();
        if let Some(position) = cursors.get(name) {
            return Ok(Position(position.max(start)));
        }
        cursors.advance(name, start, shared.disk.as_ref())?;
        Ok(Position(start))
    }

    /// Moves a named cursor forward, durably, and frees the segments below the lowest cursor; going back changes
    /// nothing. A new cursor is registered at `to`. Blocks for a disk sync: call it once a second, not per record.
    ///
    /// # Errors
    /// [`JournalError::BeyondEnd`], [`JournalError::CursorName`] and [`JournalError::Io`].
    pub fn advance_cursor(&self, name: &str, to: Position) -> Result<(), JournalError> {
        self.core.shared.advance_cursor(name, to)
    }

    /// Forgets a cursor, so that it no longer holds segments. True when there was one.
    ///
    /// # Errors
    /// [`JournalError::CursorName`] and [`JournalError::Io`].
    pub fn remove_cursor(&self, name: &str) -> Result<bool, JournalError> {
        let shared = &self.core.shared;
        let mut cursors = shared.cursors();
        let removed = cursors.remove(name, shared.disk.as_ref())?;
        shared.free_below(cursors.lowest());
        Ok(removed)
    }

    /// All cursors by name: how far each consumer has come.
    #[must_use]
    pub fn cursors(&self) -> Vec<(String, Position)> {
        self.core.shared.cursors().all()
    }

    /// What the journal is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.core.shared;
        let disk_bytes = shared
            .table()
            .all
            .iter()
            .map(|segment: &Segment| segment.bytes)
            .sum();
        let queue = shared.queue();
        Stats {
            appended_records: queue.appended_records,
            appended_bytes: queue.appended_bytes,
            syncs: shared.syncs.load(Ordering::Relaxed),
            sync_micros: shared.sync_micros.load(Ordering::Relaxed),
            queued_bytes: queue.queued_bytes() as u64,
            disk_bytes,
            capacity_bytes: shared.options.capacity_bytes,
            skipped_bytes: shared.skipped_bytes.load(Ordering::Relaxed),
            start: self.start(),
            durable: self.durable(),
            fault: shared.fault().map(str::to_owned),
            full: queue.stalled || (queue.refused && shared.space().blocked),
        }
    }

    /// Takes no more records, commits what waits, ends the threads, wakes every waiting reader and writer. Records
    /// that wait for disk space are given up, unacknowledged. Blocks for the last commit; a second call returns at
    /// once.
    pub fn close(&self) {
        self.core.close();
    }
}

impl Core {
    fn close(&self) {
        let mut threads = self.threads.lock().expect(NO_PANIC);
        self.shared.queue().closing = true;
        self.shared.work.notify_all();
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                self.shared.poison(&"a thread of the journal has panicked");
            }
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("dir", &self.core.shared.options.dir)
            .finish_non_exhaustive()
    }
}

fn create_directory(dir: &Path, disk: &dyn Disk) -> Result<(), JournalError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(dir)
        .and_then(|()| disk.sync_directory(parent))
        .map_err(JournalError::io("create", dir))
}

/// One process per directory: two would write over each other.
fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(JournalError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(JournalError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(JournalError::io("lock", &path)(error)),
    }
}
