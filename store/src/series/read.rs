//! The reading half of the disk. Queries use connections of their own, so that neither a flush nor a
//! compaction holds them up.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use domain::{Sample, TimeRange};

use super::{
    chunk::{day_of, settle},
    error::SeriesError,
    week::{Row, WEEK_DAYS, WeekFile, file_of, week_of, weeks_in},
};

/// Idle connections kept for the next query. A query opens another one when none is idle; the one that
/// was idle longest is closed when there are too many.
const IDLE_READERS: usize = 8;

pub(super) struct Readers {
    dir: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The week files there are, and how many chunks each holds.
    weeks: BTreeMap<i64, u64>,
    /// Longest idle first.
    idle: Vec<(i64, WeekFile)>,
}

/// What there is of one series in one day, before it is decoded.
pub(super) struct Day<'a> {
    file: Option<&'a WeekFile>,
    /// Chunks by their first moment.
    pub(super) rows: Vec<Row>,
    /// Settled samples that are not on disk yet; they hold over those in chunks.
    pub(super) memory: &'a [Sample],
}

impl Readers {
    pub(super) fn open(dir: PathBuf) -> Result<Readers, SeriesError> {
        let weeks = weeks_in(&dir)?.into_iter().map(|week| (week, 0)).collect();
        Ok(Readers {
            dir,
            state: Mutex::new(State {
                weeks,
                idle: Vec::new(),
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

    /// Chunks on disk.
    pub(super) fn chunks(&self) -> u64 {
        self.state().weeks.values().sum()
    }

    /// Bytes of the week files and the catalog, with what waits in their write-ahead files.
    pub(super) fn disk_bytes(&self) -> u64 {
        let weeks = self.weeks();
        let files = weeks.iter().map(|week| file_of(&self.dir, *week));
        files
            .chain([self.dir.join("catalog.db")])
            .flat_map(|file| {
                let mut log = file.clone().into_os_string();
                log.push("-wal");
                [file, log.into()]
            })
            // A file that is not there, or not any more, occupies nothing.
            .map(|file| std::fs::metadata(file).map_or(0, |found| found.len()))
            .sum()
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
                        rows,
                        memory: of_day(memory, day),
                    };
                    if (!day.rows.is_empty() || !day.memory.is_empty()) && visit(&day)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            };
            let flow = if on_disk {
                self.with(week, |file| walk(Some(file)))?
            } else {
                walk(None)?
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn with<T>(
        &self,
        week: i64,
        visit: impl FnOnce(&WeekFile) -> Result<T, SeriesError>,
    ) -> Result<T, SeriesError> {
        let idle = {
            let mut state = self.state();
            let found = state.idle.iter().rposition(|(of, _)| *of == week);
            found.map(|index| state.idle.remove(index).1)
        };
        let file = match idle {
            Some(file) => file,
            None => WeekFile::open_reader(&self.dir, week)?,
        };
        let answer = file.snapshot(visit)?;
        let closed = {
            let mut state = self.state();
            state.idle.push((week, file));
            let surplus = state.idle.len().saturating_sub(IDLE_READERS);
            state.idle.drain(..surplus).collect::<Vec<_>>()
        };
        // Closed here, not under the lock: closing may touch the disk.
        drop(closed);
        Ok(answer)
    }
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

fn of_day(samples: &[Sample], day: i64) -> &[Sample] {
    let begin = samples.partition_point(|s| day_of(s.at) < day);
    let end = samples.partition_point(|s| day_of(s.at) <= day);
    &samples[begin..end]
}
