//! The writing half of the disk: flushes and compaction, one after the other, by whoever calls
//! `maintain`.
//!
//! A flush writes, in this order: keys of new series to the catalog; chunks to every week file they
//! belong to; last values and the log position to the catalog. A crash between two of these only makes
//! the log be read again from an earlier position: the same readings then come to rest in chunks with a
//! higher `seq`, which hold over the earlier ones. So no transaction needs to span files.
//!
//! Compaction rewrites the chunks of one series and day as one, in a transaction of their file. Rollups are then
//! computed from what the day holds, minutes before hours, and last the day is noted as complete in its week file: by
//! the same file, and so by the same transaction, that takes the note away when a late reading is written.
//!
//! Retention first notes in the catalog from which day on a level is kept, then removes the files below. A crash
//! in between leaves files that the next start removes unread.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use domain::{LogPosition, Sample, SeriesKey, TimeRange, UtcMillis};

use super::{
    catalog::{Catalog, Floors},
    cells::cells_of,
    chunk::{Chunk, DAY_MS, Effort, encode, settle},
    db,
    error::SeriesError,
    head::Frozen,
    query::Level,
    read::{self, Readers, merge},
    rollup::{self, RollupFile},
    week::{Rewritten, WeekFile, week_of},
};

/// How long after its end a day counts as closed: late readings mostly come within it.
const DAY_CLOSES_AFTER_MS: i64 = 6 * 3_600_000;

/// Series rewritten in one step of compaction: bounds a transaction and the pause between flushes.
const SERIES_PER_STEP: u32 = 128;

/// Week files, and rollup files of each level, kept open for writing.
const OPEN_WRITERS: usize = 2;

/// How long each level is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// Days for which readings are kept; 0 for ever.
    pub(super) raw_days: u32,
    /// The same for minutes.
    pub(super) minute_days: u32,
    /// The same for hours.
    pub(super) hour_days: u32,
}

impl Keep {
    fn days(self, level: Level) -> i64 {
        i64::from(match level {
            Level::Raw => self.raw_days,
            Level::Minute => self.minute_days,
            Level::Hour => self.hour_days,
        })
    }
}

/// A rollup file's level and number.
type FileName = (Level, i64);

/// How far the work on a day has come.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Series up to this one have one chunk.
    Compact(i64),
    /// All have, and series up to this one have their rollups.
    Roll(i64),
}

/// The whole of time, for reading every chunk of a day.
const ALWAYS: TimeRange = TimeRange {
    from: UtcMillis(i64::MIN),
    to: UtcMillis(i64::MAX),
};

pub(super) struct Disk {
    dir: PathBuf,
    catalog: Catalog,
    writers: BTreeMap<i64, WeekFile>,
    rollups: BTreeMap<(Level, i64), RollupFile>,
    readers: Arc<Readers>,
    /// The highest sequence number in use.
    seq: i64,
    /// Days that may have more than one chunk per series, or rollups that are behind.
    unchecked: BTreeMap<i64, Work>,
    /// For every shard whose flush has begun and not succeeded yet: the weeks it has written.
    half_done: BTreeMap<usize, BTreeSet<i64>>,
    /// Files that were set aside.
    aside: u64,
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
            rollups: BTreeMap::new(),
            readers,
            seq: 0,
            unchecked: BTreeMap::new(),
            half_done: BTreeMap::new(),
            aside: 0,
            turn: 0,
            #[cfg(test)]
            fail_at: None,
        };
        disk.aside = rollup::aside_in(dir)?.len() as u64;
        let (blank, damaged) = disk.open_rollups()?;
        for week in disk.readers.weeks() {
            // Opening for writing also finishes a file whose creation was cut short.
            let file = WeekFile::open_writer(dir, week)?;
            let (seq, chunks) = file.tally()?;
            disk.seq = disk.seq.max(seq);
            disk.readers.note_chunks(week, chunks);
            // A rollup file that somebody moved away is computed again.
            let (rolled, lost): (Vec<i64>, Vec<i64>) = file.rolled_days()?.into_iter().partition(|day| {
                [Level::Minute, Level::Hour].into_iter().all(|level| {
                    let number = rollup::number_of(level, *day);
                    disk.readers.floors().of(level) > *day || disk.readers.rollups(level).contains(&number)
                })
            });
            if !lost.is_empty() {
                tracing::warn!(
                    week,
                    days = lost.len(),
                    "Rollups are missing and will be computed again."
                );
            }
            let behind = file.days()?.into_iter().filter(|day| !rolled.contains(day));
            disk.unchecked.extend(behind.map(|day| (day, Work::Compact(-1))));
            disk.readers.note_rolled(rolled);
        }
        for (level, number) in blank {
            disk.begin_again((level, number))?;
            RollupFile::open_writer(dir, level, number)?;
        }
        for name in damaged {
            disk.set_aside(name)?;
        }
        Ok(disk)
    }

    /// Opens every rollup file once. Those in which nothing is, as a power cut leaves one that was just created, and those
    /// that cannot be read.
    fn open_rollups(&self) -> Result<(Vec<FileName>, Vec<FileName>), SeriesError> {
        let (mut blank, mut damaged) = (Vec::new(), Vec::new());
        for level in [Level::Minute, Level::Hour] {
            for number in self.readers.rollups(level) {
                if read::bytes_of(&rollup::file_of(&self.dir, level, number)) == 0 {
                    blank.push((level, number));
                    continue;
                }
                match RollupFile::open_writer(&self.dir, level, number) {
                    Ok(_sound) => {}
                    Err(SeriesError::Damaged { .. }) => damaged.push((level, number)),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((blank, damaged))
    }

    /// Sets a damaged rollup file aside. What can be read of it goes into a new one, and days whose readings are still
    /// kept are computed again.
    pub(super) fn set_aside(&mut self, (level, number): (Level, i64)) -> Result<(), SeriesError> {
        self.step()?;
        self.rollups.remove(&(level, number));
        self.readers.close_rollup((level, number));
        // On disk before the file goes: a crash in between must not leave days that count as complete.
        let again = self.begin_again((level, number))?;
        let salvaged = rollup::set_aside(&self.dir, level, number)?;
        self.readers.note_rollup(level, number);
        self.aside += 1;
        tracing::error!(
            file = %salvaged.aside.display(),
            rows = salvaged.rows,
            days = again,
            "A damaged file of rollups was set aside under this name. The rows that could be read were taken over, and the \
             days whose readings are still kept are computed again."
        );
        self.step()
    }

    /// Takes the days of a rollup file whose readings are still kept for not rolled up, on disk too. How many there are.
    fn begin_again(&mut self, (level, number): (Level, i64)) -> Result<usize, SeriesError> {
        let first = number.saturating_mul(rollup::span(level));
        let last = first.saturating_add(rollup::span(level) - 1);
        let mut again = 0;
        for week in self.readers.weeks() {
            if !(week_of(first)..=week_of(last)).contains(&week) {
                continue;
            }
            let file = self.writer(week)?;
            file.forget_rolled((first, last))?;
            let days = file
                .days()?
                .into_iter()
                .filter(|day| (first..=last).contains(day));
            let days: Vec<i64> = days.collect();
            again += days.len();
            self.readers.note_behind(days.iter().copied());
            self.unchecked
                .extend(days.into_iter().map(|day| (day, Work::Compact(-1))));
        }
        Ok(again)
    }

    /// Files that were set aside and are still there.
    pub(super) fn files_aside(&self) -> u64 {
        self.aside
    }

    /// Removes files that retention has given up: what a crash left of them.
    pub(super) fn sweep(dir: &Path, floors: Floors) -> Result<(), SeriesError> {
        for level in [Level::Raw, Level::Minute, Level::Hour] {
            let first = rollup::number_of(level, floors.of(level));
            for number in rollup::remains_in(dir, level)? {
                if number < first {
                    db::remove(&rollup::file_of(dir, level, number))?;
                }
            }
        }
        Ok(())
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
    ) -> Result<Written, SeriesError> {
        self.step()?;
        self.catalog.save_series(new_keys)?;
        let floor = self.readers.floors().of(Level::Raw);
        let Encoded {
            by_week,
            lasts,
            too_late,
        } = encode_columns(frozen, floor);
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
        Ok(Written { lasts, too_late })
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
        self.readers.note_behind(chunks.iter().map(|chunk| chunk.day));
        self.readers.note_chunks(week, count);
        let behind = chunks.iter().map(|chunk| (chunk.day, Work::Compact(-1)));
        self.unchecked.extend(behind);
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

    fn rollup(&mut self, level: Level, day: i64) -> Result<&mut RollupFile, SeriesError> {
        let name = (level, rollup::number_of(level, day));
        if !self.rollups.contains_key(&name) {
            let of_level = || (level, i64::MIN)..=(level, i64::MAX);
            if self.rollups.range(of_level()).count() >= OPEN_WRITERS
                && let Some(oldest) = self.rollups.range(of_level()).next().map(|(name, _)| *name)
            {
                self.rollups.remove(&oldest);
            }
            let file = RollupFile::open_writer(&self.dir, level, name.1)?;
            self.readers.note_rollup(level, name.1);
            self.rollups.insert(name, file);
        }
        Ok(self.rollups.get_mut(&name).expect("it was just opened"))
    }

    /// The next day to work on: closed at `now`, or any with `None`.
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

    /// Days that wait for compaction or rollups.
    pub(super) fn days_waiting(&self) -> u64 {
        self.unchecked.len() as u64
    }

    /// One step of the work on a day: some series get one chunk each; when all have, some get their rollups. The day
    /// leaves the list when nothing is left to do.
    pub(super) fn work_on(&mut self, day: i64) -> Result<(), SeriesError> {
        self.step()?;
        let worked = match self.unchecked.get(&day) {
            Some(&Work::Compact(after)) => self.compact_step(day, after),
            Some(&Work::Roll(after)) => self.roll_step(day, after),
            None => Ok(()),
        };
        // Rollups can be had again; a damaged file of them must not stop everything else.
        match worked {
            Err(SeriesError::Damaged { file, .. }) if rollup::name_of(&file).is_some() => {
                let name = rollup::name_of(&file).expect("it was just asked");
                self.set_aside(name)
            }
            worked => worked,
        }
    }

    /// Rewrites some series of one day with one chunk each.
    fn compact_step(&mut self, day: i64, after: i64) -> Result<(), SeriesError> {
        let week = week_of(day);
        let file = self.writer(week)?;
        let scattered = file.scattered(day, after, SERIES_PER_STEP)?;
        let Some(&last) = scattered.last() else {
            // Only a day that was worked on has freed any pages.
            if after >= 0 {
                file.shrink()?;
            }
            self.unchecked.insert(day, Work::Roll(-1));
            return Ok(());
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
        self.unchecked.insert(day, Work::Compact(i64::from(last)));
        self.step()
    }

    /// Computes the rollups of some series of one day, where they are behind.
    fn roll_step(&mut self, day: i64, after: i64) -> Result<(), SeriesError> {
        let versions = self.writer(week_of(day))?.versions(day, after, SERIES_PER_STEP)?;
        let Some(&(last, _)) = versions.last() else {
            self.writer(week_of(day))?.note_rolled(day)?;
            self.step()?;
            self.readers.note_rolled([day]);
            self.unchecked.remove(&day);
            return Ok(());
        };
        let (mut minutes, mut hours) = (Vec::new(), Vec::new());
        for (series, seq) in versions {
            let minute_behind = self.rollup(Level::Minute, day)?.version(series, day)? != Some(seq);
            let hour_behind = self.rollup(Level::Hour, day)?.version(series, day)? != Some(seq);
            if !minute_behind && !hour_behind {
                continue;
            }
            let file = self.writer(week_of(day))?;
            let rows = file.rows(day, series, ALWAYS)?;
            let samples = match merge(file, &rows, &[]) {
                Ok(samples) => samples,
                // What is damaged must not keep the others from being rolled up and, in time, removed.
                Err(error @ SeriesError::Damaged { .. }) => {
                    tracing::error!(series, day, %error, "a damaged chunk is left out of the rollups");
                    continue;
                }
                Err(error) => return Err(error),
            };
            let row = |level| rollup::Row {
                series,
                seq,
                cells: cells_of(&samples, level),
            };
            minutes.extend(minute_behind.then(|| row(Level::Minute)));
            hours.extend(hour_behind.then(|| row(Level::Hour)));
        }
        for (level, rows) in [(Level::Minute, minutes), (Level::Hour, hours)] {
            if !rows.is_empty() {
                self.rollup(level, day)?.replace(day, &rows)?;
            }
            self.step()?;
        }
        self.unchecked.insert(day, Work::Roll(i64::from(last)));
        Ok(())
    }

    /// The oldest file that has outlived its time at `now`: its level, and the first day that stays.
    pub(super) fn outlived(&self, now: UtcMillis, keep: Keep) -> Option<(Level, i64)> {
        let oldest = |level| match level {
            Level::Raw => self.readers.weeks().first().copied(),
            Level::Minute | Level::Hour => self.readers.rollups(level).first().copied(),
        };
        [Level::Raw, Level::Minute, Level::Hour]
            .into_iter()
            .find_map(|level| {
                let days = keep.days(level);
                let next = (oldest(level)? + 1).saturating_mul(rollup::span(level));
                let over = next.saturating_add(days).saturating_mul(DAY_MS) <= now.0;
                (days > 0 && over).then_some((level, next))
            })
    }

    /// Whether everything that is to be computed from days before `day` is on disk.
    pub(super) fn is_complete_before(&self, day: i64) -> bool {
        self.unchecked.range(..day).next().is_none()
    }

    /// Gives up every day of a level before `day`.
    pub(super) fn retire(&mut self, level: Level, day: i64) -> Result<(), SeriesError> {
        self.step()?;
        self.catalog.raise_floor(level, day)?;
        let first = rollup::number_of(level, day);
        self.readers.raise_floor(level, day);
        if level == Level::Raw {
            self.writers = self.writers.split_off(&first);
        } else {
            self.rollups
                .retain(|(of, number), _| *of != level || *number >= first);
        }
        self.step()?;
        Disk::sweep(&self.dir, self.readers.floors())?;
        self.step()
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

/// What a flush wrote.
pub(super) struct Written {
    /// The newest sample of every series in it.
    pub(super) lasts: Vec<(u32, Sample)>,
    /// Readings whose days were given up while they waited in memory.
    pub(super) too_late: u64,
}

struct Encoded {
    by_week: BTreeMap<i64, Vec<Chunk>>,
    lasts: Vec<(u32, Sample)>,
    too_late: u64,
}

/// Encodes every column and says which sample of each is the newest. Days before `floor` are passed over: what they
/// were is settled.
fn encode_columns(frozen: &Frozen, floor: i64) -> Encoded {
    let mut by_week: BTreeMap<i64, Vec<Chunk>> = BTreeMap::new();
    let mut lasts = Vec::new();
    let mut chunks = Vec::new();
    let mut too_late = 0;
    for (series, column) in frozen.columns() {
        let mut samples = column.to_vec();
        settle(&mut samples);
        lasts.extend(samples.last().map(|last| (series, *last)));
        encode(series, &samples, Effort::Quick, &mut chunks);
        for chunk in chunks.drain(..) {
            if chunk.day < floor {
                too_late += u64::from(chunk.summary.count);
            } else {
                by_week.entry(week_of(chunk.day)).or_default().push(chunk);
            }
        }
    }
    Encoded {
        by_week,
        lasts,
        too_late,
    }
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
