//! The writing half of the disk: flushes and compaction, one after the other, by whoever calls
//! `maintain`.
//!
//! A flush writes, in this order: keys of new series to the catalog; chunks to every week file they
//! belong to; last values and the log position to the catalog. A crash between two of these only makes
//! the log be read again from an earlier position: the same readings then come to rest in chunks with a
//! higher `seq`, which hold over the earlier ones. So no transaction needs to span files.
//!
//! Compaction rewrites the chunks of one series and day as one, in a transaction of their file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{LogPosition, Sample, SeriesKey, TimeRange, UtcMillis};

use super::{
    catalog::Catalog,
    chunk::{Chunk, DAY_MS, Effort, encode, settle},
    error::SeriesError,
    head::Frozen,
    read::{Readers, merge},
    week::{Rewritten, WeekFile, week_of},
};

/// How long after its end a day counts as closed: late readings mostly come within it.
const DAY_CLOSES_AFTER_MS: i64 = 6 * 3_600_000;

/// Series rewritten in one step of compaction: bounds a transaction and the pause between flushes.
const SERIES_PER_STEP: u32 = 128;

/// Week files kept open for writing.
const OPEN_WRITERS: usize = 2;

/// The whole of time, for reading every chunk of a day.
const ALWAYS: TimeRange = TimeRange {
    from: UtcMillis(i64::MIN),
    to: UtcMillis(i64::MAX),
};

pub(super) struct Disk {
    dir: PathBuf,
    catalog: Catalog,
    writers: BTreeMap<i64, WeekFile>,
    readers: Arc<Readers>,
    /// The highest sequence number in use.
    seq: i64,
    /// Days that may have more than one chunk per series, and the series up to which that was checked.
    unchecked: BTreeMap<i64, i64>,
    /// For every shard whose flush has begun and not succeeded yet: the weeks it has written.
    half_done: BTreeMap<usize, BTreeSet<i64>>,
    /// The shard whose turn it is: one that cannot be written must not keep the others from it.
    pub(super) turn: usize,
    /// Fails the n-th step from now, as a crash at that point would.
    #[cfg(test)]
    pub(super) fail_at: Option<u32>,
}

impl Disk {
    pub(super) fn open(dir: &Path, catalog: Catalog, readers: Arc<Readers>) -> Result<Disk, SeriesError> {
        let mut disk = Disk {
            dir: dir.to_owned(),
            catalog,
            writers: BTreeMap::new(),
            readers,
            seq: 0,
            unchecked: BTreeMap::new(),
            half_done: BTreeMap::new(),
            turn: 0,
            #[cfg(test)]
            fail_at: None,
        };
        for week in disk.readers.weeks() {
            // Opening for writing also finishes a file whose creation was cut short.
            let file = WeekFile::open_writer(dir, week)?;
            let (seq, chunks) = file.tally()?;
            disk.seq = disk.seq.max(seq);
            disk.readers.note_chunks(week, chunks);
            disk.unchecked
                .extend(file.days()?.into_iter().map(|day| (day, -1)));
        }
        Ok(disk)
    }

    /// How many series the catalog has on disk.
    pub(super) fn saved_series(&self) -> u32 {
        self.catalog.saved()
    }

    /// Writes the frozen columns of a shard. `new_keys` go on from [`Disk::saved_series`] and cover
    /// every series in `frozen`. After an error the same call may be repeated; it writes no chunk twice.
    pub(super) fn write(
        &mut self,
        shard: usize,
        frozen: &Frozen,
        new_keys: &[SeriesKey],
    ) -> Result<Vec<(u32, Sample)>, SeriesError> {
        self.step()?;
        self.catalog.save_series(new_keys)?;
        let Encoded { by_week, lasts } = encode_columns(frozen);
        self.seq += 1;
        for (week, chunks) in by_week {
            let done = self
                .half_done
                .get(&shard)
                .is_some_and(|weeks| weeks.contains(&week));
            if !done {
                self.write_week(week, &chunks, self.seq)?;
                // Kept until the position is noted: the caller repeats the whole flush if that fails.
                self.half_done.entry(shard).or_default().insert(week);
            }
        }
        Ok(lasts)
    }

    /// Notes last values and the position the log must be read again from.
    pub(super) fn note(
        &mut self,
        lasts: &[(u32, Sample)],
        replay_from: LogPosition,
    ) -> Result<(), SeriesError> {
        self.step()?;
        self.catalog.note(lasts, replay_from)
    }

    /// The shard's flush is complete.
    pub(super) fn finish(&mut self, shard: usize) {
        self.half_done.remove(&shard);
    }

    fn write_week(&mut self, week: i64, chunks: &[Chunk], seq: i64) -> Result<(), SeriesError> {
        self.step()?;
        let file = self.writer(week)?;
        file.insert(chunks, seq)?;
        let (_, count) = file.tally()?;
        self.readers.note_chunks(week, count);
        self.unchecked.extend(chunks.iter().map(|chunk| (chunk.day, -1)));
        Ok(())
    }

    fn writer(&mut self, week: i64) -> Result<&mut WeekFile, SeriesError> {
        if !self.writers.contains_key(&week) {
            if self.writers.len() >= OPEN_WRITERS {
                // The oldest week goes: new readings mostly belong to the newest.
                self.writers.pop_first();
            }
            let file = WeekFile::open_writer(&self.dir, week)?;
            self.writers.insert(week, file);
        }
        Ok(self.writers.get_mut(&week).expect("it was just opened"))
    }

    /// The next day to compact: closed at `now`, or any with `None`.
    pub(super) fn next_day(&self, now: Option<UtcMillis>) -> Option<i64> {
        let (day, _) = self.unchecked.first_key_value()?;
        let closed = |now: UtcMillis| {
            now.0
                >= (day + 1)
                    .saturating_mul(DAY_MS)
                    .saturating_add(DAY_CLOSES_AFTER_MS)
        };
        now.is_none_or(closed).then_some(*day)
    }

    /// Rewrites some series of one day with one chunk each. True when it wrote something; the day leaves
    /// the list when nothing is left to do in it.
    pub(super) fn compact_step(&mut self, day: i64) -> Result<bool, SeriesError> {
        self.step()?;
        let Some(&after) = self.unchecked.get(&day) else {
            return Ok(false);
        };
        let week = week_of(day);
        let file = self.writer(week)?;
        let scattered = file.scattered(day, after, SERIES_PER_STEP)?;
        let Some(&last) = scattered.last() else {
            // Only a day that was worked on has freed any pages.
            if after >= 0 {
                file.shrink()?;
            }
            self.unchecked.remove(&day);
            return Ok(false);
        };
        let mut rewritten = Vec::with_capacity(scattered.len());
        for series in scattered {
            match gather(file, day, series) {
                Ok(series) => rewritten.push(series),
                // One broken chunk must not stop the others, nor be replaced by less than it was.
                Err(error @ SeriesError::Damaged { .. }) => {
                    tracing::error!(series, day, %error, "a damaged chunk is left out of compaction");
                }
                Err(error) => return Err(error),
            }
        }
        file.replace(day, &rewritten)?;
        let (_, count) = file.tally()?;
        self.readers.note_chunks(week, count);
        self.unchecked.insert(day, i64::from(last));
        self.step()?;
        Ok(true)
    }

    #[cfg(test)]
    fn step(&mut self) -> Result<(), SeriesError> {
        let Some(left) = self.fail_at.as_mut() else {
            return Ok(());
        };
        if *left == 0 {
            return Err(SeriesError::Full {
                file: self.dir.clone(),
            });
        }
        *left -= 1;
        Ok(())
    }

    #[cfg(not(test))]
    fn step(&mut self) -> Result<(), SeriesError> {
        Ok(())
    }
}

struct Encoded {
    by_week: BTreeMap<i64, Vec<Chunk>>,
    lasts: Vec<(u32, Sample)>,
}

/// Encodes every column and says which sample of each is the newest.
fn encode_columns(frozen: &Frozen) -> Encoded {
    let mut by_week: BTreeMap<i64, Vec<Chunk>> = BTreeMap::new();
    let mut lasts = Vec::with_capacity(frozen.columns.len());
    let mut chunks = Vec::new();
    for (series, column) in &frozen.columns {
        let mut samples = column.clone();
        settle(&mut samples);
        lasts.extend(samples.last().map(|last| (*series, *last)));
        encode(*series, &samples, Effort::Quick, &mut chunks);
        for chunk in chunks.drain(..) {
            by_week.entry(week_of(chunk.day)).or_default().push(chunk);
        }
    }
    Encoded { by_week, lasts }
}

/// All chunks of one series and day as one.
fn gather(file: &WeekFile, day: i64, series: u32) -> Result<Rewritten, SeriesError> {
    let rows = file.rows(day, series, ALWAYS)?;
    let seq = rows.iter().map(|row| row.seq).max().unwrap_or_default();
    let samples = merge(file, &rows, &[])?;
    let mut chunks = Vec::new();
    encode(series, &samples, Effort::Thorough, &mut chunks);
    Ok(Rewritten { series, seq, chunks })
}
