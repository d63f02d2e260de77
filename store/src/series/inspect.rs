//! Looking into a store's files without running it: what is there, and whether it is sound.

use std::path::{Path, PathBuf};

use domain::{LogPosition, TimeRange, UtcMillis};

use super::{
    catalog::Catalog,
    chunk::day_of,
    error::SeriesError,
    lock_dir,
    query::Level,
    rollup::{self, RollupFile},
    week::WeekFile,
};

/// The most problems that are told one by one.
const MOST_PROBLEMS: usize = 1_000;

/// One file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// Where it is.
    pub file: PathBuf,
    /// What it holds.
    pub level: Level,
    /// The first day it is for, as days since 1970-01-01.
    pub first_day: i64,
    /// The last day it is for.
    pub last_day: i64,
    /// Its bytes, with what waits in its write-ahead file.
    pub bytes: u64,
    /// Chunks, or rows of rollups: in a file that is in order, one per series and day.
    pub rows: u64,
    /// Readings, or cells.
    pub values: u64,
}

/// What is in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Series that have ever had a reading on disk.
    pub series: u64,
    /// Where the log must be read again from.
    pub checkpoint: LogPosition,
    /// The first moment whose readings are kept; `None` while none were given up.
    pub raw_from: Option<UtcMillis>,
    /// The same for minutes.
    pub minutes_from: Option<UtcMillis>,
    /// The same for hours.
    pub hours_from: Option<UtcMillis>,
    /// The files, readings first, each level by day.
    pub files: Vec<FileReport>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub file: PathBuf,
    /// What.
    pub what: String,
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// What is there, as far as it can be read.
    pub survey: Survey,
    /// What is wrong: the first 1,000 things.
    pub problems: Vec<Problem>,
    /// How many things are wrong.
    pub problem_count: u64,
}

const ALWAYS: TimeRange = TimeRange {
    from: UtcMillis(i64::MIN),
    to: UtcMillis(i64::MAX),
};

/// Every file of every level in `dir`.
fn files(dir: &Path) -> Result<Vec<(Level, i64)>, SeriesError> {
    let mut files = Vec::new();
    for level in [Level::Raw, Level::Minute, Level::Hour] {
        let numbers = rollup::numbers_in(dir, level)?;
        files.extend(numbers.into_iter().map(|number| (level, number)));
    }
    Ok(files)
}

fn empty_survey(catalog: &Catalog, checkpoint: LogPosition) -> Result<Survey, SeriesError> {
    let floors = catalog.floors()?;
    let from = |level| {
        let day = floors.of(level);
        (day > i64::MIN).then(|| UtcMillis(day.saturating_mul(super::chunk::DAY_MS)))
    };
    Ok(Survey {
        series: u64::from(catalog.saved()),
        checkpoint,
        raw_from: from(Level::Raw),
        minutes_from: from(Level::Minute),
        hours_from: from(Level::Hour),
        files: Vec::new(),
    })
}

fn report(dir: &Path, level: Level, number: i64) -> FileReport {
    let file = rollup::file_of(dir, level, number);
    FileReport {
        bytes: super::read::bytes_of(&file),
        file,
        level,
        first_day: number.saturating_mul(rollup::span(level)),
        last_day: (number + 1).saturating_mul(rollup::span(level)) - 1,
        rows: 0,
        values: 0,
    }
}

/// What is in the store in `dir`. A running store may have it open; what is only in its memory is not seen.
///
/// # Errors
/// What [`SeriesStore::open`](super::SeriesStore::open) says about files that cannot be read; nothing is changed.
pub fn survey(dir: &Path) -> Result<Survey, SeriesError> {
    let (catalog, _, checkpoint) = Catalog::open_reader(dir)?;
    let mut survey = empty_survey(&catalog, checkpoint)?;
    for (level, number) in files(dir)? {
        let mut found = report(dir, level, number);
        (found.rows, found.values) = match level {
            Level::Raw => WeekFile::open_reader(dir, number)?.totals()?,
            Level::Minute | Level::Hour => RollupFile::open_reader(dir, level, number)?.totals()?,
        };
        survey.files.push(found);
    }
    Ok(survey)
}

/// Reads everything in the store in `dir` and says what is wrong with it. `progress` is told the bytes read so far
/// and the bytes there are. Files of an older format are brought up to date, as by opening the store.
///
/// # Errors
/// [`SeriesError::InUse`] while a store has the directory open, and what makes the catalog unreadable: without it
/// nothing can be said.
pub fn check(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, SeriesError> {
    let _lock = lock_dir(dir)?;
    let (catalog, _, checkpoint) = Catalog::open(dir)?;
    let mut checked = CheckReport {
        survey: empty_survey(&catalog, checkpoint)?,
        problems: Vec::new(),
        problem_count: 0,
    };
    let catalog_file = dir.join("catalog.db");
    for what in catalog.unsound()? {
        checked.add(&catalog_file, what);
    }
    for file in rollup::aside_in(dir)? {
        let what = "it was damaged and set aside; what could be read or computed again is in the file in its place. \
                    Remove it when nobody needs it";
        checked.add(&file, what.to_owned());
    }
    let files = files(dir)?;
    let bytes = |(level, number): &(Level, i64)| report(dir, *level, *number).bytes;
    let total: u64 = files.iter().map(bytes).sum();
    let mut read = 0;
    for (level, number) in files {
        let mut found = report(dir, level, number);
        let series = catalog.saved();
        let outcome = match level {
            Level::Raw => checked.check_week(dir, number, series, &mut found),
            Level::Minute | Level::Hour => checked.check_rollup(dir, (level, number), series, &mut found),
        };
        if let Err(error) = outcome {
            checked.add(&found.file, chain(&error));
        }
        read += found.bytes;
        progress(read, total);
        checked.survey.files.push(found);
    }
    Ok(checked)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl CheckReport {
    fn add(&mut self, file: &Path, what: String) {
        self.problem_count += 1;
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(Problem {
                file: file.to_owned(),
                what,
            });
        }
    }

    fn check_week(
        &mut self,
        dir: &Path,
        week: i64,
        series: u32,
        found: &mut FileReport,
    ) -> Result<(), SeriesError> {
        let file = WeekFile::open_writer(dir, week)?;
        for what in file.unsound()? {
            self.add(&found.file, what);
        }
        let rolled = file.rolled_days()?;
        for day in file.days()? {
            if !(found.first_day..=found.last_day).contains(&day) {
                self.add(&found.file, format!("day {day} does not belong into this file"));
            }
            let rows = file.rows_of_many(day, (0, u32::MAX), ALWAYS)?;
            for (of, row) in rows.series.iter().zip(&rows.rows) {
                found.rows += 1;
                found.values += u64::from(row.summary.count);
                if *of >= series {
                    self.add(
                        &found.file,
                        format!("day {day} has a chunk of series {of}, which has no name"),
                    );
                }
                match file.samples(row) {
                    Ok(samples) if samples.iter().all(|sample| day_of(sample.at) == day) => {}
                    Ok(_) => self.add(
                        &found.file,
                        format!("a chunk of day {day} has samples of other days"),
                    ),
                    Err(error) => self.add(&found.file, format!("series {of}, day {day}: {}", chain(&error))),
                }
            }
            if rolled.contains(&day) {
                let digest = file.digest(day)?.map(|digest| digest.series);
                if digest != Some(rows.series) {
                    self.add(&found.file, format!("the digest of day {day} names other series"));
                }
                self.check_rolled(dir, day, &file.versions(day, -1, u32::MAX)?)?;
            }
        }
        let (_, tally) = file.tally()?;
        if tally != found.rows {
            self.add(
                &found.file,
                format!("it counts {tally} chunks and has {}", found.rows),
            );
        }
        Ok(())
    }

    /// A day that is noted as rolled up has its minutes and hours.
    fn check_rolled(&mut self, dir: &Path, day: i64, versions: &[(u32, i64)]) -> Result<(), SeriesError> {
        for level in [Level::Minute, Level::Hour] {
            let number = rollup::number_of(level, day);
            let name = rollup::file_of(dir, level, number);
            if !name.exists() {
                self.add(
                    &name,
                    format!("it is missing, but day {day} is noted as rolled up"),
                );
                continue;
            }
            // A file that cannot be opened is told of when its turn comes.
            let Ok(file) = RollupFile::open_writer(dir, level, number) else {
                continue;
            };
            for (series, seq) in versions {
                if file.version(*series, day)? != Some(*seq) {
                    self.add(
                        &name,
                        format!("series {series}, day {day}: the rollup is behind its readings"),
                    );
                }
            }
        }
        Ok(())
    }

    fn check_rollup(
        &mut self,
        dir: &Path,
        (level, number): (Level, i64),
        series: u32,
        found: &mut FileReport,
    ) -> Result<(), SeriesError> {
        let file = RollupFile::open_writer(dir, level, number)?;
        for what in file.unsound()? {
            self.add(&found.file, what);
        }
        let days = (i64::MIN, i64::MAX);
        for of in file.series()? {
            if of >= series {
                self.add(
                    &found.file,
                    format!("it has cells of series {of}, which has no name"),
                );
            }
            let read = file.each_day(of, days, true, &mut |day, cells| {
                found.rows += 1;
                found.values += cells.len() as u64;
                if !(found.first_day..=found.last_day).contains(&day) {
                    let file = found.file.clone();
                    self.add(&file, format!("day {day} does not belong into this file"));
                }
                Ok(())
            });
            if let Err(error) = read {
                self.add(&found.file, format!("series {of}: {}", chain(&error)));
            }
        }
        Ok(())
    }
}
