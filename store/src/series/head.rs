//! The head: the newest readings, in memory, until they are written to disk in chunks.
//!
//! Series are dealt out to shards. A shard is a lock around one column of samples per series, in order
//! of arrival. To write a shard to disk its columns are *frozen*: moved aside, unchanging, still visible
//! to queries, while new readings go into fresh columns. So an append never waits for the disk. Nor does it wait for
//! memory: under the lock one list takes the place of another, which was made ready before, and columns that were
//! written are emptied and handed on to the shard that is frozen next, instead of being given back to an allocator that
//! whoever appends asks at the same moment.
//!
//! The log, not the head, makes readings durable: what is lost here with the process is read again from
//! the log, beginning at [`Head::replay_from`].

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};

use domain::{LogPosition, Reading, Sample, SeriesId, TimeRange, UtcMillis};

/// A shard is not flushed for its size before it holds so many readings per series it has any of: thousands of slow
/// series would otherwise make thousands of tiny chunks, which take twice the processor. Fewer where there are so
/// many series that memory would fill up: [`readings_per_chunk`].
const READINGS_PER_CHUNK: u32 = 360;

/// The fewest, however many series there are.
const LEAST_PER_CHUNK: u32 = 100;

/// Readings that wait in memory for the sake of long chunks: 320 MB.
const WAITING_FOR_CHUNKS: u32 = 20_000_000;

/// How many readings per series a shard waits for when there are so many series.
pub(super) fn readings_per_chunk(series: u32) -> u32 {
    (WAITING_FOR_CHUNKS / series.max(1)).clamp(LEAST_PER_CHUNK, READINGS_PER_CHUNK)
}

pub(super) struct Head {
    shards: Box<[Mutex<Shard>]>,
    /// Everything before this position is in the head or on disk. Held during an append, which makes
    /// appends one after the other and lets [`Head::replay_from`] see whole batches only.
    applied: Mutex<LogPosition>,
    readings: AtomicU64,
    /// Emptied columns for the shard that is frozen next; one shard's, whatever happens.
    spare: Mutex<Vec<Vec<Sample>>>,
}

#[derive(Default)]
struct Shard {
    /// By slot, as `lasts`; may be shorter.
    columns: Vec<Vec<Sample>>,
    lasts: Vec<Option<Sample>>,
    /// Readings in the columns.
    readings: usize,
    /// Slots whose column is not empty.
    active: usize,
    /// Where in the log the oldest reading in the columns stands, and when the first of them was taken in.
    since: Option<(LogPosition, UtcMillis)>,
    frozen: Option<Arc<Frozen>>,
}

/// A column that has room for more than this is not kept for the next: one fast series must not take its memory round.
const MOST_KEPT: usize = 2_048;

/// The columns of one shard on their way to disk.
pub(super) struct Frozen {
    /// By slot; samples in order of arrival.
    columns: Vec<Vec<Sample>>,
    /// Which shard it is, of how many.
    shard: (usize, usize),
    oldest: LogPosition,
    readings: usize,
}

/// When a shard is due to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlushPolicy {
    pub(super) readings: usize,
    /// But not before there are so many for every series that has any.
    pub(super) per_series: usize,
    pub(super) age_ms: i64,
}

impl Head {
    pub(super) fn new(shards: usize, applied: LogPosition) -> Head {
        Head {
            shards: (0..shards.clamp(1, 256)).map(|_| Mutex::default()).collect(),
            applied: Mutex::new(applied),
            readings: AtomicU64::new(0),
            spare: Mutex::default(),
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<Sample>>> {
        self.spare.lock().expect("nothing panics while it holds a list")
    }

    pub(super) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Readings that are not on disk yet.
    pub(super) fn readings(&self) -> u64 {
        self.readings.load(Ordering::Relaxed)
    }

    fn place(&self, series: u32) -> (usize, usize) {
        let series = series as usize;
        (series % self.shards.len(), series / self.shards.len())
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index]
            .lock()
            .expect("nothing panics while it holds a shard")
    }

    /// Takes readings in, in their order. The caller has checked that the series exist.
    pub(super) fn append(&self, readings: &[Reading], from: LogPosition, upto: LogPosition, now: UtcMillis) {
        let mut applied = self
            .applied
            .lock()
            .expect("nothing panics while it holds the position");
        let (order, ends) = self.deal(readings);
        let mut begin = 0;
        for (index, &end) in ends.iter().enumerate() {
            if begin < end {
                let mut shard = self.shard(index);
                let (oldest, _) = shard.since.get_or_insert((from, now));
                *oldest = from.min(*oldest);
                shard.readings += end - begin;
                for &i in &order[begin..end] {
                    let reading = &readings[i as usize];
                    let slot = reading.series.0 as usize / self.shards.len();
                    shard.put(
                        slot,
                        Sample {
                            at: reading.at,
                            value: reading.value,
                        },
                    );
                }
            }
            begin = end;
        }
        self.readings.fetch_add(readings.len() as u64, Ordering::Relaxed);
        *applied = upto;
    }

    /// The indices of `readings` grouped by shard, each group in log order, and where each group ends:
    /// every shard is locked once per batch.
    fn deal(&self, readings: &[Reading]) -> (Vec<u32>, Vec<usize>) {
        let shards = self.shards.len();
        let mut ends = vec![0_usize; shards];
        for reading in readings {
            ends[reading.series.0 as usize % shards] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            let count = *end;
            *end = total;
            total += count;
        }
        // Each end now stands at its group's beginning and moves to its end while the group fills.
        let mut order = vec![0_u32; readings.len()];
        for (i, reading) in readings.iter().enumerate() {
            let end = &mut ends[reading.series.0 as usize % shards];
            order[*end] = u32::try_from(i).expect("a batch holds fewer than 2^32 readings");
            *end += 1;
        }
        (order, ends)
    }

    /// Sets a series' last value as it was found on disk.
    pub(super) fn restore_last(&self, series: u32, last: Sample) {
        let (shard, slot) = self.place(series);
        *self.shard(shard).last(slot) = Some(last);
    }

    /// The newest sample by event time; of several at one moment the one taken in last.
    pub(super) fn latest(&self, series: SeriesId) -> Option<Sample> {
        let (shard, slot) = self.place(series.0);
        *self.shard(shard).lasts.get(slot)?
    }

    /// The newest samples of many series, asked for at once: all shards are locked together.
    pub(super) fn latest_of(&self, series: impl Iterator<Item = Option<SeriesId>>) -> Vec<Option<Sample>> {
        // Nobody who holds a shard waits for another, so the order of locking does not matter.
        let shards: Vec<_> = (0..self.shards.len()).map(|index| self.shard(index)).collect();
        series
            .map(|series| {
                let (shard, slot) = self.place(series?.0);
                *shards[shard].lasts.get(slot)?
            })
            .collect()
    }

    /// The newest moment of any series.
    pub(super) fn newest(&self) -> Option<UtcMillis> {
        let newest = |index| {
            let shard: MutexGuard<'_, Shard> = self.shard(index);
            shard.lasts.iter().flatten().map(|last| last.at).max()
        };
        (0..self.shards.len()).filter_map(newest).max()
    }

    /// Whether any reading before `moment` waits to be written.
    pub(super) fn has_before(&self, moment: UtcMillis) -> bool {
        (0..self.shards.len()).any(|index| {
            let shard = self.shard(index);
            let frozen = shard.frozen.iter().flat_map(|frozen| &frozen.columns);
            frozen
                .chain(&shard.columns)
                .flatten()
                .any(|sample| sample.at < moment)
        })
    }

    /// Copies the samples of one series in `range`, in order of arrival.
    pub(super) fn samples(&self, series: SeriesId, range: TimeRange) -> Vec<Sample> {
        let (index, slot) = self.place(series.0);
        let shard = self.shard(index);
        let frozen = shard
            .frozen
            .as_deref()
            .and_then(|frozen| frozen.columns.get(slot))
            .map_or(&[][..], Vec::as_slice);
        let live = shard.columns.get(slot).map_or(&[][..], Vec::as_slice);
        frozen
            .iter()
            .chain(live)
            .filter(|s| range.contains(s.at))
            .copied()
            .collect()
    }

    /// A shard that is due for writing, if any: the first from `turn` on, all around.
    pub(super) fn due(&self, policy: FlushPolicy, now: UtcMillis, turn: usize) -> Option<usize> {
        let shards = self.shards.len();
        (0..shards)
            .map(|step| (turn + step) % shards)
            .find(|&index| self.shard(index).is_due(policy, now))
    }

    /// Moves a shard's columns aside for writing. `None` when there is nothing to write. Columns whose
    /// writing failed before come first, again.
    pub(super) fn freeze(&self, index: usize) -> Option<Arc<Frozen>> {
        // Made ready without the lock: memory that is touched for the first time takes its time.
        let mut fresh = std::mem::take(&mut *self.spare());
        let slots = self.shard(index).columns.len();
        fresh.resize_with(slots, Vec::new);
        let mut shard = self.shard(index);
        if shard.frozen.is_none() {
            shard.frozen = shard
                .take_columns(&mut fresh, (index, self.shards.len()))
                .map(Arc::new);
        }
        let frozen = shard.frozen.clone();
        drop(shard);
        if !fresh.is_empty() {
            *self.spare() = fresh;
        }
        frozen
    }

    /// Lets go of a shard's frozen columns, which `written` are: they are on disk.
    pub(super) fn thaw(&self, index: usize, written: Arc<Frozen>) {
        let gone = self.shard(index).frozen.take();
        self.readings
            .fetch_sub(written.readings as u64, Ordering::Relaxed);
        drop(gone);
        // Nobody else holds it: queries copy what they need under the lock.
        if let Some(mut frozen) = Arc::into_inner(written) {
            for column in &mut frozen.columns {
                column.clear();
                if column.capacity() > MOST_KEPT {
                    *column = Vec::new();
                }
            }
            *self.spare() = frozen.columns;
        }
    }

    /// The position from which the log must be read again if the process died now and the frozen columns
    /// of `written` were on disk.
    pub(super) fn replay_from(&self, written: Option<usize>) -> LogPosition {
        let applied = self
            .applied
            .lock()
            .expect("nothing panics while it holds the position");
        let mut oldest = *applied;
        for index in 0..self.shards.len() {
            let shard = self.shard(index);
            let frozen = shard
                .frozen
                .as_ref()
                .filter(|_| written != Some(index))
                .map(|f| f.oldest);
            let live = shard.since.map(|(position, _)| position);
            oldest = [frozen, live]
                .into_iter()
                .flatten()
                .fold(oldest, LogPosition::min);
        }
        oldest
    }
}

impl Shard {
    fn last(&mut self, index: usize) -> &mut Option<Sample> {
        if index >= self.lasts.len() {
            self.lasts.resize(index + 1, None);
        }
        &mut self.lasts[index]
    }

    fn put(&mut self, index: usize, sample: Sample) {
        let last = self.last(index);
        if last.is_none_or(|last| last.at <= sample.at) {
            *last = Some(sample);
        }
        if index >= self.columns.len() {
            self.columns.resize_with(index + 1, Vec::new);
        }
        let column = &mut self.columns[index];
        let first = column.is_empty();
        if first && column.capacity() == 0 {
            // Columns double when they are full. Beginning at different lengths, those of many series that report at the
            // same pace do not all do it in the same moment, which would be a pause for whoever appends.
            column.reserve_exact(4 + index % 13);
        }
        column.push(sample);
        self.active += usize::from(first);
    }

    fn is_due(&self, policy: FlushPolicy, now: UtcMillis) -> bool {
        let Some((_, since)) = self.since else {
            return self.frozen.is_some();
        };
        // A clock set back would otherwise hold the log for as long as it was set back.
        let enough = policy.readings.max(self.active * policy.per_series);
        self.frozen.is_some()
            || self.readings >= enough
            || now.ms_since(since).saturating_abs() >= policy.age_ms
    }

    /// Changes the columns for `fresh` ones, if there is anything in them.
    fn take_columns(&mut self, fresh: &mut Vec<Vec<Sample>>, shard: (usize, usize)) -> Option<Frozen> {
        let (oldest, _) = self.since.take()?;
        self.active = 0;
        Some(Frozen {
            columns: std::mem::replace(&mut self.columns, std::mem::take(fresh)),
            shard,
            oldest,
            readings: std::mem::take(&mut self.readings),
        })
    }
}

impl Frozen {
    /// The series that have samples, in ascending order, each with its samples in order of arrival.
    pub(super) fn columns(&self) -> impl Iterator<Item = (u32, &[Sample])> {
        let (index, shards) = self.shard;
        let filled = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !column.is_empty());
        filled.map(move |(slot, column)| {
            let series = u32::try_from(slot * shards + index).expect("slots come from series numbers");
            (series, column.as_slice())
        })
    }
}
