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

/// What a file that was set aside has in its name.
const ASIDE: &str = ".damaged-";

/// The level and number that a file's name says, if it is one of rollups.
pub(super) fn name_of(file: &Path) -> Option<(Level, i64)> {
    let name = file.file_name()?.to_str()?.strip_suffix(".db")?;
    [Level::Minute, Level::Hour].into_iter().find_map(|level| {
        let number = name.strip_prefix(prefix(level))?.parse().ok()?;
        Some((level, number))
    })
}

/// The files that were set aside in `dir`.
pub(super) fn aside_in(dir: &Path) -> Result<Vec<PathBuf>, SeriesError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(SeriesError::io(dir))? {
        let name = entry.map_err(SeriesError::io(dir))?.file_name();
        let name = name.to_string_lossy();
        if name.contains(ASIDE) && !name.ends_with("-wal") {
            found.push(dir.join(&*name));
        }
    }
    found.sort();
    Ok(found)
}

/// Gives a damaged file another name and writes what can be read of it into a new one. Nobody may have it open. Days that
/// are computed from readings again must have been noted as behind before.
pub(super) fn set_aside(dir: &Path, level: Level, number: i64) -> Result<Salvaged, SeriesError> {
    let file = file_of(dir, level, number);
    let aside = (1..u32::MAX)
        .map(|n| dir.join(format!("{}{number}{ASIDE}{n}", prefix(level))))
        .find(|name| !name.exists())
        .expect("a folder has fewer files");
    let [old, log, index] = db::files_of(&file);
    let [_, aside_log, _] = db::files_of(&aside);
    // The write-ahead file first: a new database must never find that of another.
    for (from, to) in [(&log, &aside_log), (&old, &aside)] {
        match std::fs::rename(from, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SeriesError::io(from)(error));
            }
            _ => {}
        }
    }
    match std::fs::remove_file(&index) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(SeriesError::io(&index)(error));
        }
        _ => {}
    }
    let mut fresh = RollupFile::open_writer(dir, level, number)?;
    let rows = fresh.salvage(&aside)?;
    Ok(Salvaged { aside, rows })
}

/// What became of a damaged file.
pub(super) struct Salvaged {
    /// Its name now.
    pub(super) aside: PathBuf,
    /// Rows that could be read and are in the new file.
    pub(super) rows: u64,
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

    /// Takes over the sound rows of a damaged file: from both ends as far as they can be read. How many there were.
    fn salvage(&mut self, damaged: &Path) -> Result<u64, SeriesError> {
        let fail = SeriesError::database(&self.file);
        // Whatever cannot be read is what is the matter with it.
        let Ok(source) = Connection::open(damaged) else {
            return Ok(0);
        };
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT s, day, seq, n, crc, data FROM cells ORDER BY rowid {order}");
            let Ok(mut select) = source.prepare(&sql) else {
                break;
            };
            let Ok(mut rows) = select.query([]) else { break };
            while let Ok(Some(row)) = rows.next() {
                let Ok(read) = read_row(row) else { break };
                let (series, day, seq, count, crc, data) = read;
                if crc32fast::hash(&data) == crc && unpack(day, self.level, (&data, count), true).is_ok() {
                    transaction
                        .prepare_cached("INSERT OR IGNORE INTO cells(s, day, seq, n, crc, data) VALUES (?, ?, ?, ?, ?, ?)")
                        .and_then(|mut insert| insert.execute(params![series, day, seq, count, crc, data]))
                        .map_err(&fail)?;
                }
            }
        }
        transaction.commit().map_err(&fail)?;
        Ok(self.totals()?.0)
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

    /// Reads one series' cells of the days from `first` to `last`, day by day, with their bins where they are wanted.
    pub(super) fn each_day(
        &self,
        series: u32,
        (first, last): (i64, i64),
        bins: bool,
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
                    true => unpack(day, self.level, (data, count), bins),
                    false => Err("the checksum of a row of rollups does not match"),
                });
            visit(day, cells.map_err(|what| SeriesError::damaged(&self.file, what))?)?;
        }
        Ok(())
    }
}

/// A row with all that it consists of.
fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(u32, i64, i64, u32, u32, Vec<u8>)> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
        row.get(5)?,
    ))
}
