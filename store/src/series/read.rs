//! The reading half of the disk. Queries use connections of their own, so that neither a flush nor a
//! compaction holds them up.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use domain::{Sample, TimeRange};

use super::{
    catalog::Floors,
    cells::Cell,
    chunk::{DAY_MS, day_of, settle},
    db,
    digest::Digest,
    error::SeriesError,
    query::Level,
    rollup::{self, RollupFile},
    week::{Row, WEEK_DAYS, WeekFile, week_of},
};

/// Idle connections kept for the next query, of week files and of rollup files. A query opens another one when none
/// is idle; the one that was idle longest is closed when there are too many.
const IDLE_READERS: usize = 16;

pub(super) struct Readers {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    floors: Floors,
    /// The week files there are, and how many chunks each holds.
    weeks: BTreeMap<i64, u64>,
    /// The days whose rollups hold what their chunks hold.
    rolled: BTreeSet<i64>,
    /// The rollup files there are.
    rollups: BTreeSet<(Level, i64)>,
    /// Longest idle first.
    idle: Vec<(i64, WeekFile)>,
    idle_rollups: Vec<((Level, i64), RollupFile)>,
    /// Rollup files in which a query found damage.
    suspects: BTreeSet<(Level, i64)>,
}

/// Which cells are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct CellsOf {
    pub(super) series: u32,
    pub(super) level: Level,
    /// Whether with their bins.
    pub(super) bins: bool,
}

/// What there is of one series in one day at a level of cells.
pub(super) enum Part<'a> {
    /// Readings: the day's rollup is not complete, or lies behind memory.
    Day(&'a Day<'a>),
    /// The day's cells, oldest first.
    Cells(&'a [Cell]),
}

/// What there is of one series in one day, before it is decoded.
pub(super) struct Day<'a> {
    file: Option<&'a WeekFile>,
    /// Chunks by their first moment.
    pub(super) rows: &'a [Row],
    /// Settled samples that are not on disk yet; they hold over those in chunks.
    pub(super) memory: &'a [Sample],
}

impl Readers {
    /// Knows the files in `dir`, except those below the floors.
    pub(super) fn open(dir: PathBuf, floors: Floors) -> Result<Readers, SeriesError> {
        let weeks = super::week::weeks_in(&dir)?;
        let mut rollups = BTreeSet::new();
        for level in [Level::Minute, Level::Hour] {
            rollups.extend(
                rollup::numbers_in(&dir, level)?
                    .into_iter()
                    .map(|number| (level, number)),
            );
        }
        Ok(Readers {
            dir,
            state: Mutex::new(State {
                floors,
                weeks: weeks.into_iter().map(|week| (week, 0)).collect(),
                rolled: BTreeSet::new(),
                rollups,
                idle: Vec::new(),
                idle_rollups: Vec::new(),
                suspects: BTreeSet::new(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the list of readers")
    }

    pub(super) fn weeks(&self) -> Vec<i64> {
        self.state().weeks.keys().copied().collect()
    }

    /// Makes a week file known to queries, with the number of its chunks.
    pub(super) fn note_chunks(&self, week: i64, chunks: u64) {
        self.state().weeks.insert(week, chunks);
    }

    /// The rollups of these days hold what their chunks hold.
    pub(super) fn note_rolled(&self, days: impl IntoIterator<Item = i64>) {
        self.state().rolled.extend(days);
    }

    /// The rollups of these days are behind.
    pub(super) fn note_behind(&self, days: impl IntoIterator<Item = i64>) {
        let mut state = self.state();
        for day in days {
            state.rolled.remove(&day);
        }
    }

    /// Makes a rollup file known to queries.
    pub(super) fn note_rollup(&self, level: Level, number: i64) {
        self.state().rollups.insert((level, number));
    }

    /// A rollup file in which a query found damage, once.
    pub(super) fn take_suspect(&self) -> Option<(Level, i64)> {
        self.state().suspects.pop_first()
    }

    /// Closes a rollup file: it is about to be another one.
    pub(super) fn close_rollup(&self, name: (Level, i64)) {
        let mut state = self.state();
        let idle = std::mem::take(&mut state.idle_rollups);
        let (closed, kept): (Vec<_>, Vec<_>) = idle.into_iter().partition(|(of, _)| *of == name);
        state.idle_rollups = kept;
        state.suspects.remove(&name);
        drop(state);
        // Closed here, not under the lock: closing may touch the disk.
        drop(closed);
    }

    /// The rollup files of a level, ascending.
    pub(super) fn rollups(&self, level: Level) -> Vec<i64> {
        let state = self.state();
        let of_level = state.rollups.iter().filter(|(of, _)| *of == level);
        of_level.map(|(_, number)| *number).collect()
    }

    /// What retention has taken away.
    pub(super) fn floors(&self) -> Floors {
        self.state().floors
    }

    /// Queries see no day of `level` before `day` any more, and let go of the files of such days.
    pub(super) fn raise_floor(&self, level: Level, day: i64) {
        let mut closed = (Vec::new(), Vec::new());
        let mut state = self.state();
        state.floors.raise(level, day);
        let first = rollup::number_of(level, day);
        if level == Level::Raw {
            state.weeks = state.weeks.split_off(&first);
            state.rolled = state.rolled.split_off(&day);
            let idle = std::mem::take(&mut state.idle);
            (closed.0, state.idle) = idle.into_iter().partition(|(week, _)| *week < first);
        } else {
            state
                .rollups
                .retain(|(of, number)| *of != level || *number >= first);
            let idle = std::mem::take(&mut state.idle_rollups);
            (closed.1, state.idle_rollups) = idle
                .into_iter()
                .partition(|((of, number), _)| *of == level && *number < first);
        }
        drop(state);
        // Closed here, not under the lock: closing may touch the disk.
        drop(closed);
    }

    /// Chunks on disk.
    pub(super) fn chunks(&self) -> u64 {
        self.state().weeks.values().sum()
    }

    /// Bytes of a level's files, with what waits in their write-ahead files.
    pub(super) fn bytes(&self, level: Level) -> u64 {
        let numbers = match level {
            Level::Raw => self.weeks(),
            Level::Minute | Level::Hour => self.rollups(level),
        };
        let files = numbers
            .iter()
            .map(|number| rollup::file_of(&self.dir, level, *number));
        files.map(|file| bytes_of(&file)).sum()
    }

    /// Bytes of the catalog.
    pub(super) fn catalog_bytes(&self) -> u64 {
        bytes_of(&self.dir.join("catalog.db"))
    }

    /// Visits the days in `range` that have samples, oldest first. `memory` is settled and lies in
    /// `range`; it was copied before this call, so that nothing is missed that is flushed meanwhile.
    pub(super) fn each_day(
        &self,
        series: u32,
        range: TimeRange,
        memory: &[Sample],
        visit: &mut dyn FnMut(&Day<'_>) -> Result<ControlFlow<()>, SeriesError>,
    ) -> Result<(), SeriesError> {
        if range.length_ms() == 0 {
            return Ok(());
        }
        let (first, last) = (day_of(range.from), day_of(range.to - 1));
        let mut weeks: Vec<(i64, bool)> = {
            let state = self.state();
            state
                .weeks
                .range(week_of(first)..=week_of(last))
                .map(|(week, _)| (*week, true))
                .collect()
        };
        weeks.extend(memory.iter().map(|sample| (week_of(day_of(sample.at)), false)));
        weeks.sort_by_key(|&(week, on_disk)| (week, !on_disk));
        weeks.dedup_by_key(|&mut (week, _)| week);
        for (week, on_disk) in weeks {
            let days = (week * WEEK_DAYS).max(first)..=(week * WEEK_DAYS + WEEK_DAYS - 1).min(last);
            let walk = |file: Option<&WeekFile>| {
                for day in days {
                    let rows = file.map_or(Ok(Vec::new()), |file| file.rows(day, series, range))?;
                    let day = Day {
                        file,
                        rows: &rows,
                        memory: of_day(memory, day),
                    };
                    if (!day.rows.is_empty() || !day.memory.is_empty()) && visit(&day)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            let flow = if on_disk {
                // A week that retention took away meanwhile has nothing to say.
                self.with(week, |file| walk(Some(file)))?
                    .unwrap_or(ControlFlow::Continue(()))
            } else {
                walk(None)?
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Visits the days in `range` of many series, given in ascending order with their memory: all series of one day,
    /// then those of the next. The first argument of `visit` is the series' place in `wanted`.
    pub(super) fn each_day_of_many(
        &self,
        wanted: &[(u32, &[Sample])],
        range: TimeRange,
        visit: &mut dyn FnMut(usize, &Day<'_>) -> Result<(), SeriesError>,
    ) -> Result<(), SeriesError> {
        let (Some((from, _)), Some((to, _))) = (wanted.first(), wanted.last()) else {
            return Ok(());
        };
        let (first, last) = (day_of(range.from), day_of(range.to - 1));
        let mut weeks: BTreeMap<i64, bool> = BTreeMap::new();
        for (_, memory) in wanted {
            weeks.extend(memory.iter().map(|sample| (week_of(day_of(sample.at)), false)));
        }
        weeks.extend(
            self.state()
                .weeks
                .range(week_of(first)..=week_of(last))
                .map(|(week, _)| (*week, true)),
        );
        for (week, on_disk) in weeks {
            let mut walk = |file: Option<&WeekFile>| {
                for day in (week * WEEK_DAYS).max(first)..=(week * WEEK_DAYS + WEEK_DAYS - 1).min(last) {
                    let found = match file {
                        Some(file) => rows_of_day(file, day, (*from, *to), range)?,
                        None => Digest::default(),
                    };
                    let mut begin = 0;
                    for (place, (series, memory)) in wanted.iter().enumerate() {
                        // Few rows are passed over: those of series that are not wanted.
                        while found.series.get(begin).is_some_and(|of| of < series) {
                            begin += 1;
                        }
                        let own = found.series[begin..]
                            .iter()
                            .take_while(|of| *of == series)
                            .count();
                        let day = Day {
                            file,
                            rows: &found.rows[begin..begin + own],
                            memory: of_day(memory, day),
                        };
                        begin += own;
                        if !day.rows.is_empty() || !day.memory.is_empty() {
                            visit(place, &day)?;
                        }
                    }
                }
                Ok(())
            };
            if on_disk {
                self.with(week, |file| walk(Some(file)))?;
            } else {
                walk(None)?;
            }
        }
        Ok(())
    }

    /// Visits the days in `range` at a level of cells, oldest first: a day's cells where its rollup is complete and
    /// memory has nothing of it, its readings otherwise. `memory` as in [`Readers::each_day`].
    pub(super) fn each_part(
        &self,
        CellsOf { series, level, bins }: CellsOf,
        range: TimeRange,
        memory: &[Sample],
        visit: &mut dyn FnMut(Part<'_>) -> Result<(), SeriesError>,
    ) -> Result<(), SeriesError> {
        if range.from >= range.to {
            return Ok(());
        }
        let (first, last) = (day_of(range.from), day_of(range.to - 1));
        let (raw, files) = self.sources(level, (first, last), memory);
        let mut waiting = raw.iter().copied().peekable();
        let visit_day = |day: i64, visit: &mut dyn FnMut(Part<'_>) -> Result<(), SeriesError>| {
            let begin = TimeRange {
                from: range.from.max(domain::UtcMillis(day.saturating_mul(DAY_MS))),
                to: range.to.min(domain::UtcMillis((day + 1).saturating_mul(DAY_MS))),
            };
            self.each_day(series, begin, of_day(memory, day), &mut |day| {
                visit(Part::Day(day))?;
                Ok(ControlFlow::Continue(()))
            })
        };
        for number in files {
            self.with_rollup(level, number, |file| {
                file.each_day(series, (first, last), bins, &mut |day, cells| {
                    while let Some(earlier) = waiting.next_if(|earlier| *earlier < day) {
                        visit_day(earlier, visit)?;
                    }
                    if raw.contains(&day) {
                        return Ok(());
                    }
                    visit(Part::Cells(&cells))
                })
            })?;
        }
        for day in waiting {
            visit_day(day, visit)?;
        }
        Ok(())
    }

    /// For the days from `first` to `last`: those that readings must be asked for, and the rollup files for the others.
    fn sources(
        &self,
        level: Level,
        (first, last): (i64, i64),
        memory: &[Sample],
    ) -> (BTreeSet<i64>, Vec<i64>) {
        let state = self.state();
        let weeks = state.weeks.range(week_of(first)..=week_of(last));
        let days = weeks.flat_map(|(week, _)| week * WEEK_DAYS..(week + 1) * WEEK_DAYS);
        let mut raw: BTreeSet<i64> = days
            .filter(|day| (first..=last).contains(day) && !state.rolled.contains(day))
            .collect();
        raw.extend(memory.iter().map(|sample| day_of(sample.at)));
        let numbers = (level, rollup::number_of(level, first))..=(level, rollup::number_of(level, last));
        let files = state.rollups.range(numbers).map(|(_, number)| *number);
        (raw, files.collect())
    }

    /// Shows `visit` one state of a week file; `None` when retention has taken the file away.
    pub(super) fn with<T>(
        &self,
        week: i64,
        visit: impl FnOnce(&WeekFile) -> Result<T, SeriesError>,
    ) -> Result<Option<T>, SeriesError> {
        let idle = {
            let mut state = self.state();
            let found = state.idle.iter().rposition(|(of, _)| *of == week);
            found.map(|index| state.idle.remove(index).1)
        };
        let file = match idle.map_or_else(|| WeekFile::open_reader(&self.dir, week), Ok) {
            Ok(file) => file,
            Err(_gone) if !self.state().weeks.contains_key(&week) => return Ok(None),
            Err(error) => return Err(error),
        };
        let answer = file.snapshot(visit)?;
        let closed = {
            let mut state = self.state();
            if state.weeks.contains_key(&week) {
                state.idle.push((week, file));
            }
            let surplus = state.idle.len().saturating_sub(IDLE_READERS);
            state.idle.drain(..surplus).collect::<Vec<_>>()
        };
        // Closed here, not under the lock: closing may touch the disk.
        drop(closed);
        Ok(Some(answer))
    }

    /// Notes a rollup file that an error says is damaged, so that maintenance sets it aside.
    fn suspected(&self, name: (Level, i64), error: SeriesError) -> SeriesError {
        if let SeriesError::Damaged { file, .. } = &error
            && rollup::name_of(file) == Some(name)
        {
            self.state().suspects.insert(name);
        }
        error
    }

    /// The same for a rollup file.
    fn with_rollup<T>(
        &self,
        level: Level,
        number: i64,
        visit: impl FnOnce(&RollupFile) -> Result<T, SeriesError>,
    ) -> Result<Option<T>, SeriesError> {
        let name = (level, number);
        let idle = {
            let mut state = self.state();
            let found = state.idle_rollups.iter().rposition(|(of, _)| *of == name);
            found.map(|index| state.idle_rollups.remove(index).1)
        };
        let file = match idle.map_or_else(|| RollupFile::open_reader(&self.dir, level, number), Ok) {
            Ok(file) => file,
            Err(_gone) if !self.state().rollups.contains(&name) => return Ok(None),
            Err(error) => return Err(self.suspected(name, error)),
        };
        let answer = visit(&file).map_err(|error| self.suspected(name, error))?;
        let closed = {
            let mut state = self.state();
            if state.rollups.contains(&name) {
                state.idle_rollups.push((name, file));
            }
            let surplus = state.idle_rollups.len().saturating_sub(IDLE_READERS);
            state.idle_rollups.drain(..surplus).collect::<Vec<_>>()
        };
        drop(closed);
        Ok(Some(answer))
    }
}

pub(super) fn bytes_of(file: &std::path::Path) -> u64 {
    let [database, log, _index] = db::files_of(file);
    // A file that is not there, or not any more, occupies nothing.
    let bytes = |file| std::fs::metadata(file).map_or(0, |found| found.len());
    bytes(database) + bytes(log)
}

impl Day<'_> {
    /// Every sample of `rows` (some of this day's) and of memory, settled.
    pub(super) fn decode(&self, rows: &[Row]) -> Result<Vec<Sample>, SeriesError> {
        match self.file {
            Some(file) => merge(file, rows, self.memory),
            None => Ok(self.memory.to_vec()),
        }
    }
}

/// Decodes chunks and lays them over each other: a higher `seq` holds over a lower one, memory over all.
pub(super) fn merge(file: &WeekFile, rows: &[Row], memory: &[Sample]) -> Result<Vec<Sample>, SeriesError> {
    let mut by_seq: Vec<&Row> = rows.iter().collect();
    // Rows come by their first moment, and the sort keeps that order: chunks that do not overlap need
    // no sorting of their samples when they were written in order.
    by_seq.sort_by_key(|row| row.seq);
    let mut samples = Vec::new();
    for row in by_seq {
        samples.append(&mut file.samples(row)?);
    }
    samples.extend_from_slice(memory);
    settle(&mut samples);
    Ok(samples)
}

/// The chunks of many series in one day that reach into `range`; those of other series may be among them.
fn rows_of_day(
    file: &WeekFile,
    day: i64,
    series: (u32, u32),
    range: TimeRange,
) -> Result<Digest, SeriesError> {
    let Some(digest) = file.digest(day)? else {
        return file.rows_of_many(day, series, range);
    };
    let begin = domain::UtcMillis(day.saturating_mul(DAY_MS));
    if range.from <= begin && begin + DAY_MS <= range.to {
        return Ok(digest);
    }
    let mut reaching = Digest::default();
    for (of, row) in digest.series.iter().zip(&digest.rows) {
        if row.summary.to >= range.from && row.summary.from < range.to {
            reaching.series.push(*of);
            reaching.rows.push(*row);
        }
    }
    Ok(reaching)
}

fn of_day(samples: &[Sample], day: i64) -> &[Sample] {
    let begin = samples.partition_point(|s| day_of(s.at) < day);
    let end = samples.partition_point(|s| day_of(s.at) <= day);
    &samples[begin..end]
}
