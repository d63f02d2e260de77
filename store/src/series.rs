use std::path::PathBuf;
use domain::{Clock, DeviceId, FacilityId, LogPosition, Metric, Reading, Sample, Scope, SeriesId, SeriesKey, TimeRange, UtcMillis};

#[derive(Debug, Clone)]
pub struct SeriesOptions {
    pub dir: PathBuf,
    /// Head shards, 1 to 256.
    pub shards: usize,
    /// A shard is flushed when it holds this many readings…
    pub flush_readings: usize,
    /// …or its oldest unflushed reading was received this long ago (ms).
    pub flush_age_ms: i64,
    /// The most series; more are refused.
    pub max_series: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum SeriesError { #[error("x")] TooManySeries, #[error("y")] TooManyBuckets, #[error("damaged")] Damaged, #[error("out of space")] Full }

/// One bucket: left-closed, labelled by its start. Empty buckets are absent from the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket { pub start: UtcMillis, pub count: u64, pub min: f64, pub max: f64, pub sum: f64, pub last: f64 }
impl Bucket { pub fn avg(&self) -> f64 { self.sum / self.count as f64 } }

#[derive(Debug, Clone, Default)]
pub struct SeriesStats { pub series: u64, pub head_readings: u64, pub disk_bytes: u64, pub chunks: u64, pub readings_appended: u64, pub flushes: u64 }

/// Cheap to clone; all clones are the same store. All calls are synchronous and safe from any thread.
#[derive(Clone)]
pub struct SeriesStore;
impl SeriesStore {
    pub fn open(options: SeriesOptions, clock: Clock) -> Result<SeriesStore, SeriesError> { todo!() }
    /// Everything before this position is in chunks on disk: replay the log from here.
    pub fn checkpoint(&self) -> LogPosition { todo!() }
    /// The series' number, giving it one if it is new. Lock-light: called by ingest for new topics only.
    pub fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, SeriesError> { todo!() }
    pub fn find(&self, scope: &Scope, key: &SeriesKey) -> Option<SeriesId> { todo!() }
    pub fn key(&self, scope: &Scope, series: SeriesId) -> Option<SeriesKey> { todo!() }
    /// The series of one facility (all of them), in key order.
    pub fn series_of(&self, scope: &Scope, facility: &FacilityId) -> Vec<(SeriesKey, SeriesId)> { todo!() }
    /// Takes readings into the head: visible to every query when it returns. `from..upto` is the log range they came from.
    pub fn append(&self, readings: &[Reading], from: LogPosition, upto: LogPosition) -> Result<(), SeriesError> { todo!() }
    pub fn latest(&self, scope: &Scope, series: SeriesId) -> Option<Sample> { todo!() }
    /// At most 2,000 buckets over `range`, `buckets` of equal length.
    pub fn window(&self, scope: &Scope, series: SeriesId, range: TimeRange, buckets: u32) -> Result<Vec<Bucket>, SeriesError> { todo!() }
    /// Every sample in `range`, oldest first, at most `limit`.
    pub fn scan(&self, scope: &Scope, series: SeriesId, range: TimeRange, limit: usize) -> Result<Vec<Sample>, SeriesError> { todo!() }
    /// One unit of background work (flush one due shard, or compact one day). True when there was something to do.
    pub fn maintain(&self) -> Result<bool, SeriesError> { todo!() }
    /// Flushes every shard: for shutdown and tests.
    pub fn flush(&self) -> Result<(), SeriesError> { todo!() }
    /// Rewrites every closed day (or, with `all`, every day) to one chunk per series.
    pub fn compact(&self, all: bool) -> Result<(), SeriesError> { todo!() }
    pub fn stats(&self) -> SeriesStats { todo!() }
}
