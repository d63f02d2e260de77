//! The embedded time-series store.
//!
//! Readings go into a head in memory and from there, a shard at a time, into compressed chunks in SQLite
//! files, one file per week. Queries see both. When a day is over, its minutes and hours are rolled up into files of
//! their own, which are kept for longer than the readings. The log is the store's only write-ahead log: a process
//! that dies loses the head and reads it again from the log, beginning at [`SeriesStore::checkpoint`].
//!
//! What holds always:
//!
//! * One value per series and moment. Of two readings at one moment the one appended later holds,
//!   wherever the two lie: in memory, in chunks, or one of each. So appending the same stretch of the
//!   log again changes nothing; of a stretch that is in chunks already nothing is taken, because it
//!   would lie over corrections that came later.
//! * A chunk on disk never names a series whose key is not in `catalog.db`.
//! * The position in `catalog.db` never lies beyond a reading that is not in a chunk.
//! * A week file goes only when the rollups of all its days are on disk, and does not come back: readings of days
//!   that are gone are counted and not stored.
//!
//! What goes wrong on the disk changes nothing of this. A full disk and a failed write or sync make
//! [`SeriesStore::maintain`] fail and [`SeriesStats::fault`] say why; what was to be written stays in memory and in
//! the log, is written again by the next call, and only then is the log let go of.
//!
//! Nothing here runs by itself: one thread of the owner calls [`SeriesStore::maintain`] again and again.

mod ask;
mod catalog;
mod cells;
mod chunk;
#[cfg(test)]
mod crash_tests;
mod db;
mod digest;
mod disk;
mod error;
pub mod export;
mod head;
pub mod inspect;
mod level;
mod names;
pub mod query;
mod read;
pub mod reference;
mod rollup;
#[cfg(test)]
mod rollup_tests;
mod share;
mod sketch;
mod week;
mod window;

use std::{
    borrow::Cow,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

use domain::{
    Clock, FacilityId, LogPosition, Reading, Sample, Scope, SeriesId, SeriesKey, TimeRange, UtcMillis,
};

pub use error::SeriesError;

use catalog::Catalog;
use chunk::{DAY_MS, settle};
use disk::{Disk, Keep};
use head::{FlushPolicy, Head, readings_per_chunk};
use names::Names;
use query::Level;
use read::Readers;

/// The most buckets that one [`SeriesStore::window`] answers.
pub const MAX_BUCKETS: u32 = 2_000;

/// How often the position is noted while nothing is written, in milliseconds: a log of nothing but ticks
/// is freed too.
const NOTE_POSITION_EVERY_MS: i64 = 10_000;

/// How the store is set up. [`SeriesOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct SeriesOptions {
    /// Where the files are. Created if it is not there; used by one store at a time.
    pub dir: PathBuf,
    /// Head shards, 1 to 256 (values outside are held at the ends). Default 16.
    pub shards: usize,
    /// A shard is flushed when it holds this many readings, but not before it holds 360 for every series it has
    /// any of (fewer, down to 100, beyond 55,000 series)… Default 32,768, which with 16 shards is 8 to 16 MiB of
    /// memory; 50,000 series need up to 320 MiB.
    pub flush_readings: usize,
    /// …or when its oldest unflushed reading was taken in this long ago (ms). Default one hour.
    pub flush_age_ms: i64,
    /// The most series; more are refused. Default 50,000, about 300 bytes of memory each.
    pub max_series: u32,
    /// Days for which readings are kept, in whole weeks; 0 for ever. Default 90.
    pub raw_days: u32,
    /// Days for which minutes are kept, in periods of four weeks; 0 for ever. Default 365.
    pub minute_days: u32,
    /// Days for which hours are kept, in periods of 52 weeks; 0 for ever, which is the default.
    pub hour_days: u32,
}

impl SeriesOptions {
    /// The defaults, for a store in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> SeriesOptions {
        SeriesOptions {
            dir: dir.into(),
            shards: 16,
            flush_readings: 32_768,
            flush_age_ms: 3_600_000,
            max_series: 50_000,
            raw_days: 90,
            minute_days: 365,
            hour_days: 0,
        }
    }

    fn keep(&self) -> Keep {
        Keep {
            raw_days: self.raw_days,
            minute_days: self.minute_days,
            hour_days: self.hour_days,
        }
    }

    /// Beyond this many unflushed readings appends are refused: four times what the head holds when
    /// every shard is just due.
    fn head_limit(&self, series: u32) -> u64 {
        let due = self.flush_readings.saturating_mul(self.shards.clamp(1, 256)) as u64;
        due.max(u64::from(series) * u64::from(readings_per_chunk(series)))
            .saturating_mul(4)
            .max(1_000_000)
    }
}

/// One bucket: left-closed, labelled by its start. Empty buckets are absent from the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its first moment.
    pub start: UtcMillis,
    /// Samples in it; at least 1.
    pub count: u64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// The sum of all values.
    pub sum: f64,
    /// The value of the latest sample.
    pub last: f64,
}

impl Bucket {
    /// The mean of the samples, each counting the same.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a bucket holds far fewer than 2^52 samples"
    )]
    pub fn avg(&self) -> f64 {
        self.sum / self.count as f64
    }
}

/// Figures of a running store.
#[derive(Debug, Clone, Default)]
pub struct SeriesStats {
    /// Series known.
    pub series: u64,
    /// Readings in memory that are not on disk yet.
    pub head_readings: u64,
    /// Bytes of all files.
    pub disk_bytes: u64,
    /// Chunks on disk.
    pub chunks: u64,
    /// Readings taken in since the store was opened.
    pub readings_appended: u64,
    /// Shards written to disk since the store was opened.
    pub flushes: u64,
    /// Bytes of the files of readings.
    pub raw_bytes: u64,
    /// Bytes of the files of minutes.
    pub minute_bytes: u64,
    /// Bytes of the files of hours.
    pub hour_bytes: u64,
    /// Days that wait to be compacted and rolled up; the current one is among them.
    pub days_waiting: u64,
    /// Damaged files of rollups that were set aside and lie there until somebody removes them.
    pub files_aside: u64,
    /// Readings of days that are not kept any more, since the store was opened: they were not stored.
    pub too_late: u64,
    /// The first moment whose readings are kept; `None` while none were given up.
    pub raw_from: Option<UtcMillis>,
    /// Why the last attempt to write to the disk failed; `None` when it did not.
    pub fault: Option<String>,
}

/// Cheap to clone; all clones are the same store. All calls are synchronous and safe from any thread.
/// Reads may touch the disk: asynchronous callers use a blocking thread.
///
/// ```
/// use domain::{Clock, LogPosition, Quality, Reading, Scope, SeriesKey, TimeRange, UtcMillis};
/// use sunshine_store::{SeriesOptions, SeriesStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let store = SeriesStore::open(SeriesOptions::new(dir.path()), Clock::system())?;
/// let series = store.resolve(&SeriesKey {
///     facility: "binhe-01".parse()?,
///     device: "fridge-1".parse()?,
///     metric: "temperature".parse()?,
/// })?;
/// let at = UtcMillis(1_795_000_000_000);
/// let reading = Reading { series, at, received: at, value: 4.1, quality: Quality::Good };
/// store.append(&[reading], LogPosition(0), LogPosition(90))?;
/// let hour = TimeRange::ending_at(at + 1, 3_600_000);
/// assert_eq!(store.window(&Scope::everything(), series, hour, 60)?[0].avg(), 4.1);
/// store.flush()?;
/// assert_eq!(store.checkpoint(), LogPosition(90));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SeriesStore(Arc<Inner>);

struct Inner {
    options: SeriesOptions,
    clock: Clock,
    names: RwLock<Names>,
    /// Series that have a number; what `names` holds, readable without its lock.
    series: AtomicU32,
    head: Head,
    readers: Arc<Readers>,
    disk: Mutex<Disk>,
    /// The position in the catalog.
    checkpoint: AtomicU64,
    /// When it was noted, by the clock.
    noted_at: Mutex<UtcMillis>,
    appended: AtomicU64,
    flushes: AtomicU64,
    too_late: AtomicU64,
    days_waiting: AtomicU64,
    files_aside: AtomicU64,
    /// Readings before this moment are not taken any more: their days are about to be given up.
    closed_before: AtomicI64,
    fault: Mutex<Option<String>>,
    /// Held for as long as the store is open: two stores in one directory would not know of each other.
    _lock: File,
}

impl SeriesStore {
    /// Opens the store in `options.dir`, or makes a new one there. Append the log from
    /// [`SeriesStore::checkpoint`] on before trusting an answer about the time before the restart.
    ///
    /// # Errors
    /// [`SeriesError::InUse`] when another store has the directory, [`SeriesError::UnknownFormat`] and
    /// [`SeriesError::Damaged`] when a file cannot be read, and what the file system says.
    pub fn open(options: SeriesOptions, clock: Clock) -> Result<SeriesStore, SeriesError> {
        std::fs::create_dir_all(&options.dir).map_err(SeriesError::io(&options.dir))?;
        let lock = lock_dir(&options.dir)?;
        let (catalog, known, checkpoint) = Catalog::open(&options.dir)?;
        let floors = catalog.floors()?;
        Disk::sweep(&options.dir, floors)?;
        let readers = Arc::new(Readers::open(options.dir.clone(), floors)?);
        let disk = Disk::open(&options.dir, catalog, readers.clone())?;
        let head = Head::new(options.shards, checkpoint);
        let mut names = Names::default();
        for series in known {
            let id = names.add(&series.key);
            if let Some(last) = series.last {
                head.restore_last(id.0, last);
            }
        }
        let now = clock.now();
        Ok(SeriesStore(Arc::new(Inner {
            options,
            clock,
            series: AtomicU32::new(names.len()),
            names: RwLock::new(names),
            head,
            readers,
            days_waiting: AtomicU64::new(disk.days_waiting()),
            files_aside: AtomicU64::new(disk.files_aside()),
            disk: Mutex::new(disk),
            checkpoint: AtomicU64::new(checkpoint.0),
            noted_at: Mutex::new(now),
            appended: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            too_late: AtomicU64::new(0),
            closed_before: AtomicI64::new(i64::MIN),
            fault: Mutex::new(None),
            _lock: lock,
        })))
    }

    /// Everything before this position is in chunks on disk, and the catalog says so: read the log again
    /// from here after a restart, and free it up to here.
    #[must_use]
    pub fn checkpoint(&self) -> LogPosition {
        LogPosition(self.0.checkpoint.load(Ordering::Acquire))
    }

    /// The series' number, giving it one if it is new. Numbers are the same after a restart once a
    /// reading of the series was flushed.
    ///
    /// # Errors
    /// [`SeriesError::TooManySeries`] when the key is new and there is no room for it.
    pub fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, SeriesError> {
        let inner = &*self.0;
        if let Some(known) = inner.names().find(key) {
            return Ok(known);
        }
        let mut names = inner.names.write().expect(NAMES_HELD);
        if let Some(known) = names.find(key) {
            return Ok(known);
        }
        let max = inner.options.max_series;
        if names.len() >= max {
            return Err(SeriesError::TooManySeries { max });
        }
        let id = names.add(key);
        inner.series.store(names.len(), Ordering::Release);
        Ok(id)
    }

    /// The number of a series that is known, if `scope` shows its facility.
    #[must_use]
    pub fn find(&self, scope: &Scope, key: &SeriesKey) -> Option<SeriesId> {
        if scope.allows(&key.facility) {
            self.0.names().find(key)
        } else {
            None
        }
    }

    /// What a series is about, if `scope` shows its facility.
    #[must_use]
    pub fn key(&self, scope: &Scope, series: SeriesId) -> Option<SeriesKey> {
        self.0
            .names()
            .key(series)
            .filter(|key| scope.allows(&key.facility))
            .cloned()
    }

    /// The series of one facility, all of them, in key order. Empty when `scope` does not show it.
    #[must_use]
    pub fn series_of(&self, scope: &Scope, facility: &FacilityId) -> Vec<(SeriesKey, SeriesId)> {
        if scope.allows(facility) {
            self.0.names().of_facility(facility)
        } else {
            Vec::new()
        }
    }

    /// Every series that `scope` shows, in key order.
    #[must_use]
    pub fn all_series(&self, scope: &Scope) -> Vec<(SeriesKey, SeriesId)> {
        self.0.names().all(|facility| scope.allows(facility))
    }

    /// Takes readings into the head, in their order: visible to every query when it returns.
    /// `from..upto` is the stretch of the log they come from; stretches are appended in log order.
    /// Appending a stretch again, after a restart or an error, changes nothing. Readings of days that are not kept
    /// any more are counted in [`SeriesStats::too_late`] and passed over.
    ///
    /// # Errors
    /// [`SeriesError::UnknownSeries`] and [`SeriesError::HeadFull`]; nothing was taken then.
    pub fn append(
        &self,
        readings: &[Reading],
        from: LogPosition,
        upto: LogPosition,
    ) -> Result<(), SeriesError> {
        let inner = &*self.0;
        let series = inner.series.load(Ordering::Acquire);
        if let Some(unknown) = readings.iter().find(|reading| reading.series.0 >= series) {
            return Err(SeriesError::UnknownSeries(unknown.series));
        }
        // Whoever else reads the log may need it from further back than this store does.
        let checkpoint = self.checkpoint();
        if from < upto && upto <= checkpoint {
            return Ok(());
        }
        let waiting = inner.head.readings();
        if waiting >= inner.options.head_limit(series) {
            return Err(SeriesError::HeadFull { readings: waiting });
        }
        let in_time = inner.in_time(readings);
        inner
            .head
            .append(&in_time, from.max(checkpoint), upto, inner.clock.now());
        inner.appended.fetch_add(in_time.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// One unit of background work: flushes one shard that is due, compacts or rolls up some series of one closed
    /// day, or removes a file that has outlived its time. True when there was something to do, so that the caller
    /// asks again at once; after false or an error the caller waits a little (a second, say). Never holds up appends
    /// or queries.
    ///
    /// # Errors
    /// [`SeriesError::Full`] when the disk is full, and what the database says. What could not be written
    /// stays in memory and is tried again by the next call.
    pub fn maintain(&self) -> Result<bool, SeriesError> {
        let worked = self.0.maintain();
        self.0.note_outcome(worked)
    }

    /// Writes the whole head to disk: for shutdown and tests. [`SeriesStore::checkpoint`] then stands at
    /// the end of the last batch, unless more was appended meanwhile.
    ///
    /// # Errors
    /// Those of [`SeriesStore::maintain`].
    pub fn flush(&self) -> Result<(), SeriesError> {
        let flushed = self.0.flush(&mut self.0.disk());
        self.0.note_outcome(flushed)
    }

    /// Rewrites every closed day (or, with `all`, every day) to one chunk per series, and rolls it up. A day closes
    /// six hours after its end in UTC.
    ///
    /// # Errors
    /// Those of [`SeriesStore::maintain`].
    pub fn compact(&self, all: bool) -> Result<(), SeriesError> {
        self.compact_telling(all, &mut |_| ())
    }

    /// The same; `progress` is told how many days are left, again and again.
    ///
    /// # Errors
    /// Those of [`SeriesStore::maintain`].
    pub fn compact_telling(&self, all: bool, progress: &mut dyn FnMut(u64)) -> Result<(), SeriesError> {
        let inner = &*self.0;
        let now = (!all).then(|| inner.clock.now());
        loop {
            // The lock is let go between steps, so that flushes get their turn.
            let mut disk = inner.disk();
            let Some(day) = disk.next_day(now) else {
                return Ok(());
            };
            let worked = disk.work_on(day);
            inner.note_waiting(&disk);
            let left = disk.days_waiting();
            drop(disk);
            inner.note_outcome(worked)?;
            progress(left);
        }
    }

    /// Figures for operators.
    #[must_use]
    pub fn stats(&self) -> SeriesStats {
        let inner = &*self.0;
        let bytes = |level| inner.readers.bytes(level);
        let (raw_bytes, minute_bytes, hour_bytes) =
            (bytes(Level::Raw), bytes(Level::Minute), bytes(Level::Hour));
        SeriesStats {
            series: u64::from(inner.series.load(Ordering::Acquire)),
            head_readings: inner.head.readings(),
            disk_bytes: raw_bytes + minute_bytes + hour_bytes + inner.readers.catalog_bytes(),
            chunks: inner.readers.chunks(),
            readings_appended: inner.appended.load(Ordering::Relaxed),
            flushes: inner.flushes.load(Ordering::Relaxed),
            raw_bytes,
            minute_bytes,
            hour_bytes,
            days_waiting: inner.days_waiting.load(Ordering::Relaxed),
            files_aside: inner.files_aside.load(Ordering::Relaxed),
            too_late: inner.too_late.load(Ordering::Relaxed),
            raw_from: inner.raw_from(),
            fault: inner.fault().clone(),
        }
    }
}

const NAMES_HELD: &str = "nothing panics while it holds the names";

impl Inner {
    fn names(&self) -> std::sync::RwLockReadGuard<'_, Names> {
        self.names.read().expect(NAMES_HELD)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().expect("nothing panics while it writes to disk")
    }

    fn shows(&self, scope: &Scope, series: SeriesId) -> bool {
        self.names()
            .key(series)
            .is_some_and(|key| scope.allows(&key.facility))
    }

    fn fault(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().expect("nothing panics while it notes a fault")
    }

    fn note_outcome<T>(&self, outcome: Result<T, SeriesError>) -> Result<T, SeriesError> {
        *self.fault() = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    fn note_waiting(&self, disk: &Disk) {
        self.days_waiting.store(disk.days_waiting(), Ordering::Relaxed);
        self.files_aside.store(disk.files_aside(), Ordering::Relaxed);
    }

    /// The first moment whose readings are kept, if any were given up.
    fn raw_from(&self) -> Option<UtcMillis> {
        let day = self.readers.floors().of(Level::Raw);
        (day > i64::MIN).then(|| UtcMillis(day.saturating_mul(DAY_MS)))
    }

    /// The readings of days that are kept.
    fn in_time<'a>(&self, readings: &'a [Reading]) -> Cow<'a, [Reading]> {
        let closed = UtcMillis(self.closed_before.load(Ordering::Acquire));
        let from = closed.max(self.raw_from().unwrap_or(closed));
        if readings.iter().all(|reading| reading.at >= from) {
            return readings.into();
        }
        let kept: Vec<Reading> = readings.iter().filter(|r| r.at >= from).copied().collect();
        let late = readings.len() - kept.len();
        self.too_late.fetch_add(late as u64, Ordering::Relaxed);
        kept.into()
    }

    fn memory(&self, series: SeriesId, mut range: TimeRange) -> Vec<Sample> {
        range.from = range.from.max(self.raw_from().unwrap_or(range.from));
        let mut samples = self.head.samples(series, range);
        settle(&mut samples);
        samples
    }

    fn maintain(&self) -> Result<bool, SeriesError> {
        let now = self.clock.now();
        let mut disk = self.disk();
        let policy = FlushPolicy {
            readings: self.options.flush_readings,
            per_series: readings_per_chunk(self.series.load(Ordering::Acquire)) as usize,
            age_ms: self.options.flush_age_ms,
        };
        if let Some(shard) = self.head.due(policy, now, disk.turn) {
            disk.turn = shard + 1;
            self.flush_shard(&mut disk, shard)?;
            return Ok(true);
        }
        self.note_position(&mut disk, Some(now))?;
        if let Some(damaged) = self.readers.take_suspect() {
            disk.set_aside(damaged)?;
            self.note_waiting(&disk);
            return Ok(true);
        }
        let worked = match disk.next_day(Some(now)) {
            Some(day) => disk.work_on(day).map(|()| true),
            None => self.retire(&mut disk, now),
        };
        self.note_waiting(&disk);
        worked
    }

    /// Removes one file that has outlived its time.
    fn retire(&self, disk: &mut Disk, now: UtcMillis) -> Result<bool, SeriesError> {
        let keep = self.options.keep();
        if disk.outlived(now, keep).is_none() {
            return Ok(false);
        }
        // A clock that jumped ahead must not take everything: the newest reading has a say.
        let Some(newest) = self.head.newest() else {
            return Ok(false);
        };
        let Some((level, day)) = disk.outlived(now.min(newest), keep) else {
            return Ok(false);
        };
        if level == Level::Raw {
            // From now on readings of these days are too late: where they never end, this would never end either.
            // Those that wait in memory belong into the rollups first.
            let from = day.saturating_mul(DAY_MS);
            self.closed_before.fetch_max(from, Ordering::AcqRel);
            if self.head.has_before(UtcMillis(from)) {
                self.flush(disk)?;
                return Ok(true);
            }
            if !disk.is_complete_before(day) {
                return Ok(false);
            }
        }
        disk.retire(level, day)?;
        Ok(true)
    }

    fn flush(&self, disk: &mut Disk) -> Result<(), SeriesError> {
        for shard in 0..self.head.shard_count() {
            // The second time takes what came in while an earlier, failed flush was still waiting.
            for _ in 0..2 {
                self.flush_shard(disk, shard)?;
            }
        }
        self.note_position(disk, None)
    }

    fn flush_shard(&self, disk: &mut Disk, shard: usize) -> Result<(), SeriesError> {
        let Some(frozen) = self.head.freeze(shard) else {
            return Ok(());
        };
        // Taken after freezing: every series in the columns had its number before.
        let new_keys = self.names().since(disk.saved_series()).to_vec();
        let written = disk.write(shard, &frozen, &new_keys)?;
        let position = self.head.replay_from(Some(shard));
        disk.note(&written.lasts, position)?;
        self.noted(position);
        self.too_late.fetch_add(written.too_late, Ordering::Relaxed);
        disk.finish(shard);
        self.head.thaw(shard, frozen);
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Notes the position if it has moved. With `now`, only when the last time was long enough ago.
    fn note_position(&self, disk: &mut Disk, now: Option<UtcMillis>) -> Result<(), SeriesError> {
        let noted_at = *self
            .noted_at
            .lock()
            .expect("nothing panics while it holds a moment");
        if now.is_some_and(|now| now.ms_since(noted_at).abs() < NOTE_POSITION_EVERY_MS) {
            return Ok(());
        }
        let position = self.head.replay_from(None);
        if position.0 != self.checkpoint.load(Ordering::Acquire) {
            disk.note(&[], position)?;
            self.noted(position);
        }
        Ok(())
    }

    fn noted(&self, position: LogPosition) {
        self.checkpoint.store(position.0, Ordering::Release);
        *self
            .noted_at
            .lock()
            .expect("nothing panics while it holds a moment") = self.clock.now();
    }
}

fn lock_dir(dir: &Path) -> Result<File, SeriesError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(SeriesError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(SeriesError::InUse { dir: dir.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(SeriesError::Io { path, source }),
    }
}
