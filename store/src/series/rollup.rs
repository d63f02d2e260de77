//! Rollup files: `minute-<n>.db` holds the minutes of four weeks, `hour-<n>.db` the hours of 52 weeks, both counted
//! from 1970-01-01. One row per series and day.
//!
//! A row says from which state of the day's chunks it was computed: by the highest `seq` among them. Every later write
//! takes a higher one, so a row that fell behind is known without a mark that a crash could lose.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    cells::{Cell, pack, unpack},
    db::{self, Layout},
    error::SeriesError,
    query::Level,
};

/// Small pages: a row of hours is about 1 KB, one of minutes up to 8 KB.
const LAYOUT: Layout = Layout {
    creation: "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;",
    schema: "
        CREATE TABLE cells(
            s INTEGER NOT NULL, day INTEGER NOT NULL, seq INTEGER NOT NULL,
            n INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL,
            UNIQUE(s, day)
        );",
    upgrades: &[],
};

/// Days per file.
pub(super) fn span(level: Level) -> i64 {
    match level {
        Level::Raw => super::week::WEEK_DAYS,
        Level::Minute => 28,
        Level::Hour => 364,
    }
}

/// The file that a day lies in.
pub(super) fn number_of(level: Level, day: i64) -> i64 {
    day.div_euclid(span(level))
}

fn prefix(level: Level) -> &'static str {
    match level {
        Level::Raw => "raw-",
        Level::Minute => "minute-",
        Level::Hour => "hour-",
    }
}

/// The file of a level with that number.
pub(super) fn file_of(dir: &Path, level: Level, number: i64) -> PathBuf {
    dir.join(format!("{}{number}.db", prefix(level)))
}

/// The numbers of a level's files in `dir`, ascending.
pub(super) fn numbers_in(dir: &Path, level: Level) -> Result<Vec<i64>, SeriesError> {
    db::numbers_in(dir, prefix(level), ".db")
}

/// The numbers of files of which anything is left: after a power cut that may be the write-ahead file alone.
pub(super) fn remains_in(dir: &Path, level: Level) -> Result<Vec<i64>, SeriesError> {
    let mut numbers = numbers_in(dir, level)?;
    numbers.extend(db::numbers_in(dir, prefix(level), ".db-wal")?);
    Ok(numbers)
}

/// One series' row of a day, ready to be written.
pub(super) struct Row {
    pub(super) series: u32,
    pub(super) seq: i64,
    pub(super) cells: Vec<Cell>,
}

fn count(cells: &[Cell]) -> i64 {
    i64::try_from(cells.len()).expect("a day has a few cells")
}

/// An open file of rollups, for writing or for queries.
pub(super) struct RollupFile {
    level: Level,
    file: PathBuf,
    connection: Connection,
}

impl RollupFile {
    pub(super) fn open_writer(dir: &Path, level: Level, number: i64) -> Result<RollupFile, SeriesError> {
        let file = file_of(dir, level, number);
        Ok(RollupFile {
            level,
            connection: db::open_writer(&file, &LAYOUT)?,
            file,
        })
    }

    pub(super) fn open_reader(dir: &Path, level: Level, number: i64) -> Result<RollupFile, SeriesError> {
        let file = file_of(dir, level, number);
        Ok(RollupFile {
            level,
            connection: db::open_reader(&file, &LAYOUT)?,
            file,
        })
    }

    /// The state of the chunks that a series' row was computed from; `None` when there is no row.
    pub(super) fn version(&self, series: u32, day: i64) -> Result<Option<i64>, SeriesError> {
        self.connection
            .prepare_cached("SELECT seq FROM cells WHERE s = ? AND day = ?")
            .and_then(|mut select| {
                select
                    .query_row(params![series, day], |row| row.get(0))
                    .optional()
            })
            .map_err(SeriesError::database(&self.file))
    }

    /// Writes rows of one day in one transaction, in the place of older ones.
    pub(super) fn replace(&mut self, day: i64, rows: &[Row]) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        for row in rows {
            let data = pack(self.level, &row.cells);
            transaction
                .prepare_cached(
                    "INSERT OR REPLACE INTO cells(s, day, seq, n, crc, data) VALUES (?, ?, ?, ?, ?, ?)",
                )
                .and_then(|mut insert| {
                    let crc = crc32fast::hash(&data);
                    insert.execute(params![row.series, day, row.seq, count(&row.cells), crc, data])
                })
                .map_err(&fail)?;
        }
        transaction.commit().map_err(&fail)
    }

    /// How many rows and cells there are.
    pub(super) fn totals(&self) -> Result<(u64, u64), SeriesError> {
        db::totals(&self.connection, "cells").map_err(SeriesError::database(&self.file))
    }

    /// What the database finds wrong with its file.
    pub(super) fn unsound(&self) -> Result<Vec<String>, SeriesError> {
        db::unsound(&self.connection).map_err(SeriesError::database(&self.file))
    }

    /// Every series that has a row, ascending.
    pub(super) fn series(&self) -> Result<Vec<u32>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare("SELECT DISTINCT s FROM cells ORDER BY s")
            .map_err(&fail)?;
        let series = select.query_map([], |row| row.get(0)).map_err(&fail)?;
        series.collect::<Result<_, _>>().map_err(&fail)
    }

    /// Reads one series' cells of the days from `first` to `last`, day by day.
    pub(super) fn each_day(
        &self,
        series: u32,
        (first, last): (i64, i64),
        visit: &mut dyn FnMut(i64, Vec<Cell>) -> Result<(), SeriesError>,
    ) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT day, n, crc, data FROM cells WHERE s = ? AND day BETWEEN ? AND ? ORDER BY day",
            )
            .map_err(&fail)?;
        let mut rows = select.query(params![series, first, last]).map_err(&fail)?;
        while let Some(row) = rows.next().map_err(&fail)? {
            let day: i64 = row.get(0).map_err(&fail)?;
            let (count, crc): (u32, u32) = (row.get(1).map_err(&fail)?, row.get(2).map_err(&fail)?);
            let data = row.get_ref(3).map_err(&fail)?;
            let cells = data
                .as_blob()
                .map_err(|_not_bytes| "a row of rollups has no data")
                .and_then(|data| match crc32fast::hash(data) == crc {
                    true => unpack(day, self.level, data, count),
                    false => Err("the checksum of a row of rollups does not match"),
                });
            visit(day, cells.map_err(|what| SeriesError::damaged(&self.file, what))?)?;
        }
        Ok(())
    }
}
