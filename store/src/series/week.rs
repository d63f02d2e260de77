//! Week files `raw-<week>.db`: the chunks of seven UTC days, the weeks counted from 1970-01-01.
//!
//! One row per chunk, its summary before its columns, so that a summary is read without touching them.
//! Of two samples at one moment the one in the chunk with the higher `seq` holds.

use std::path::{Path, PathBuf};

use domain::{Sample, TimeRange, UtcMillis};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    chunk::{Chunk, Summary, decode},
    db::{self, Layout},
    digest::Digest,
    error::SeriesError,
};

/// Days per week file.
pub(super) const WEEK_DAYS: i64 = 7;

/// Pages of 2 KiB: a day of a series takes 2 to 13 KB, and what is left of its last page is lost. Half days of 10 s
/// sensors took 2.07 bytes per reading with pages of 8 KiB and take 1.43 with these.
/// Incremental vacuum lets compaction give pages back without rewriting the file.
const LAYOUT: Layout = Layout {
    creation: "PRAGMA page_size=2048; PRAGMA auto_vacuum=INCREMENTAL;",
    schema: "
        CREATE TABLE chunk(
            day INTEGER NOT NULL, s INTEGER NOT NULL, t0 INTEGER NOT NULL, seq INTEGER NOT NULL,
            t1 INTEGER NOT NULL, n INTEGER NOT NULL, mn REAL NOT NULL, mx REAL NOT NULL,
            sum REAL NOT NULL, last REAL NOT NULL, gap INTEGER, crc INTEGER NOT NULL,
            tb BLOB NOT NULL, vb BLOB NOT NULL
        );
        CREATE UNIQUE INDEX summary ON chunk(day, s, t0, seq, t1, n, mn, mx, sum, last, gap);
        CREATE TABLE rolled(day INTEGER PRIMARY KEY, crc INTEGER NOT NULL, digest BLOB NOT NULL);
        CREATE TABLE tally(one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, chunks INTEGER NOT NULL);
        INSERT INTO tally VALUES (1, 0, 0);",
    // Format 2 knows the longest gap in a chunk, has the summaries in an index, so that reading them touches no
    // page of a chunk, and notes the days whose rollups are complete.
    upgrades: &["
        ALTER TABLE chunk ADD COLUMN gap INTEGER;
        CREATE UNIQUE INDEX summary ON chunk(day, s, t0, seq, t1, n, mn, mx, sum, last, gap);
        CREATE TABLE rolled(day INTEGER PRIMARY KEY, crc INTEGER NOT NULL, digest BLOB NOT NULL);"],
};

/// The whole of time.
const ALWAYS: TimeRange = TimeRange {
    from: UtcMillis(i64::MIN),
    to: UtcMillis(i64::MAX),
};

/// The week a day lies in.
pub(super) fn week_of(day: i64) -> i64 {
    day.div_euclid(WEEK_DAYS)
}

pub(super) fn file_of(dir: &Path, week: i64) -> PathBuf {
    dir.join(format!("raw-{week}.db"))
}

/// The weeks that have a file in `dir`.
pub(super) fn weeks_in(dir: &Path) -> Result<Vec<i64>, SeriesError> {
    db::numbers_in(dir, "raw-", ".db")
}

/// One chunk's row without its columns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) seq: i64,
    pub(super) summary: Summary,
}

/// An open week file, for writing or for queries.
pub(super) struct WeekFile {
    file: PathBuf,
    connection: Connection,
}

impl WeekFile {
    pub(super) fn open_writer(dir: &Path, week: i64) -> Result<WeekFile, SeriesError> {
        let file = file_of(dir, week);
        Ok(WeekFile {
            connection: db::open_writer(&file, &LAYOUT)?,
            file,
        })
    }

    pub(super) fn open_reader(dir: &Path, week: i64) -> Result<WeekFile, SeriesError> {
        let file = file_of(dir, week);
        Ok(WeekFile {
            connection: db::open_reader(&file, &LAYOUT)?,
            file,
        })
    }

    /// The highest `seq` ever written here, and the number of chunks.
    pub(super) fn tally(&self) -> Result<(i64, u64), SeriesError> {
        self.connection
            .query_row("SELECT seq, chunks FROM tally", [], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?))
            })
            .map(|(seq, chunks)| (seq, chunks.cast_unsigned()))
            .map_err(SeriesError::database(&self.file))
    }

    /// How many chunks and readings there are.
    pub(super) fn totals(&self) -> Result<(u64, u64), SeriesError> {
        db::totals(&self.connection, "chunk").map_err(SeriesError::database(&self.file))
    }

    /// What the database finds wrong with its file.
    pub(super) fn unsound(&self) -> Result<Vec<String>, SeriesError> {
        db::unsound(&self.connection).map_err(SeriesError::database(&self.file))
    }

    /// The days that have chunks.
    pub(super) fn days(&self) -> Result<Vec<i64>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut days: Vec<i64> = Vec::new();
        // One step in the index per day; `SELECT DISTINCT` would walk all of it.
        loop {
            let after = days.last().copied().unwrap_or(i64::MIN);
            let next: Option<i64> = self
                .connection
                .query_row("SELECT min(day) FROM chunk WHERE day > ?", [after], |row| {
                    row.get(0)
                })
                .map_err(&fail)?;
            match next {
                Some(day) => days.push(day),
                None => return Ok(days),
            }
        }
    }

    /// Writes chunks in one transaction.
    pub(super) fn insert(&mut self, chunks: &[Chunk], seq: i64) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        for chunk in chunks {
            insert_chunk(&transaction, chunk, seq).map_err(&fail)?;
        }
        let added = i64::try_from(chunks.len()).expect("a flush has fewer than 2^63 chunks");
        let mut days: Vec<i64> = chunks.iter().map(|chunk| chunk.day).collect();
        days.dedup();
        for day in days {
            // Late readings: what was computed from this day does not hold any more.
            transaction
                .prepare_cached("DELETE FROM rolled WHERE day = ?")
                .and_then(|mut delete| delete.execute([day]))
                .map_err(&fail)?;
        }
        transaction
            .execute(
                "UPDATE tally SET seq = max(seq, ?), chunks = chunks + ?",
                [seq, added],
            )
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// Calls `visit` on one consistent state of the file: a compaction between two reads would
    /// otherwise take away rows that the first one found.
    pub(super) fn snapshot<T>(
        &self,
        visit: impl FnOnce(&WeekFile) -> Result<T, SeriesError>,
    ) -> Result<T, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = self.connection.unchecked_transaction().map_err(&fail)?;
        let answer = visit(self)?;
        transaction.commit().map_err(&fail)?;
        Ok(answer)
    }

    /// The chunks of one series and day that reach into `range`, by their first moment.
    pub(super) fn rows(&self, day: i64, series: u32, range: TimeRange) -> Result<Vec<Row>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT rowid, seq, t0, t1, n, mn, mx, sum, last, gap FROM chunk
                 WHERE day = ? AND s = ? AND t1 >= ? AND t0 < ? ORDER BY t0, seq",
            )
            .map_err(&fail)?;
        let parameters = params![day, series, range.from.0, range.to.0];
        let rows = select.query_map(parameters, read_row).map_err(&fail)?;
        rows.collect::<Result<_, _>>().map_err(&fail)
    }

    /// The chunks of many series in one day that reach into `range`, by series and first moment.
    pub(super) fn rows_of_many(
        &self,
        day: i64,
        (first, last): (u32, u32),
        range: TimeRange,
    ) -> Result<Digest, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT rowid, seq, t0, t1, n, mn, mx, sum, last, gap, s FROM chunk
                 WHERE day = ? AND s BETWEEN ? AND ? AND t1 >= ? AND t0 < ? ORDER BY s, t0, seq",
            )
            .map_err(&fail)?;
        let parameters = params![day, first, last, range.from.0, range.to.0];
        let mut rows = select.query(parameters).map_err(&fail)?;
        let mut found = Digest::default();
        while let Some(row) = rows.next().map_err(&fail)? {
            found.series.push(row.get(10).map_err(&fail)?);
            found.rows.push(read_row(row).map_err(&fail)?);
        }
        Ok(found)
    }

    /// Decodes one chunk.
    pub(super) fn samples(&self, row: &Row) -> Result<Vec<Sample>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached("SELECT crc, tb, vb FROM chunk WHERE rowid = ?")
            .map_err(&fail)?;
        let decoded = select
            .query_row([row.id], |found| {
                let (times, values) = (found.get_ref(1)?.as_blob()?, found.get_ref(2)?.as_blob()?);
                Ok(decode(times, values, found.get(0)?, &row.summary))
            })
            .map_err(&fail)?;
        decoded.map_err(|what| SeriesError::damaged(&self.file, what))
    }

    /// Series above `after` that have chunks of several writes in `day`, ascending, at most `limit`.
    pub(super) fn scattered(&self, day: i64, after: i64, limit: u32) -> Result<Vec<u32>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT s FROM chunk WHERE day = ? AND s > ?
                 GROUP BY s HAVING min(seq) < max(seq) ORDER BY s LIMIT ?",
            )
            .map_err(&fail)?;
        let series = select
            .query_map(params![day, after, limit], |row| row.get(0))
            .map_err(&fail)?;
        series.collect::<Result<_, _>>().map_err(&fail)
    }

    /// Puts `chunks` in the place of all chunks of their series in `day`, in one transaction. The new
    /// ones take `seq`, the highest of those they replace.
    pub(super) fn replace(&mut self, day: i64, rewritten: &[Rewritten]) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        let mut change = 0_i64;
        transaction
            .execute("DELETE FROM rolled WHERE day = ?", [day])
            .map_err(&fail)?;
        for series in rewritten {
            let gone = transaction
                .prepare_cached("DELETE FROM chunk WHERE day = ? AND s = ?")
                .and_then(|mut delete| delete.execute(params![day, series.series]))
                .map_err(&fail)?;
            for chunk in &series.chunks {
                insert_chunk(&transaction, chunk, series.seq).map_err(&fail)?;
            }
            let count = |n: usize| i64::try_from(n).expect("a day has fewer than 2^63 chunks");
            change += count(series.chunks.len()) - count(gone);
        }
        transaction
            .execute("UPDATE tally SET chunks = chunks + ?", [change])
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// For series above `after` in `day`, ascending, at most `limit`: the highest `seq` of their chunks. Whatever is
    /// computed from them holds for as long as that stays the same.
    pub(super) fn versions(&self, day: i64, after: i64, limit: u32) -> Result<Vec<(u32, i64)>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare_cached(
                "SELECT s, max(seq) FROM chunk WHERE day = ? AND s > ? GROUP BY s ORDER BY s LIMIT ?",
            )
            .map_err(&fail)?;
        let found = select
            .query_map(params![day, after, limit], |row| Ok((row.get(0)?, row.get(1)?)))
            .map_err(&fail)?;
        found.collect::<Result<_, _>>().map_err(&fail)
    }

    /// The days whose rollups are complete.
    pub(super) fn rolled_days(&self) -> Result<Vec<i64>, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut select = self
            .connection
            .prepare("SELECT day FROM rolled ORDER BY day")
            .map_err(&fail)?;
        let days = select.query_map([], |row| row.get(0)).map_err(&fail)?;
        days.collect::<Result<_, _>>().map_err(&fail)
    }

    /// Notes that a day's rollups are complete, and what its chunks say about themselves; until the next chunk of
    /// that day is written.
    pub(super) fn note_rolled(&mut self, day: i64) -> Result<(), SeriesError> {
        let digest = self.rows_of_many(day, (0, u32::MAX), ALWAYS)?.pack();
        self.connection
            .execute(
                "INSERT OR REPLACE INTO rolled VALUES (?, ?, ?)",
                params![day, crc32fast::hash(&digest), digest],
            )
            .map(drop)
            .map_err(SeriesError::database(&self.file))
    }

    /// Takes the note away from the days from `first` to `last`: their rollups are gone.
    pub(super) fn forget_rolled(&mut self, (first, last): (i64, i64)) -> Result<(), SeriesError> {
        self.connection
            .execute("DELETE FROM rolled WHERE day BETWEEN ? AND ?", [first, last])
            .map(drop)
            .map_err(SeriesError::database(&self.file))
    }

    /// What the chunks of a day say about themselves, if the day's rollups are complete.
    pub(super) fn digest(&self, day: i64) -> Result<Option<Digest>, SeriesError> {
        let found = self
            .connection
            .prepare_cached("SELECT crc, digest FROM rolled WHERE day = ?")
            .and_then(|mut select| {
                select
                    .query_row([day], |row| {
                        let packed = row.get_ref(1)?.as_blob()?;
                        let sound = crc32fast::hash(packed) == row.get::<_, u32>(0)?;
                        Ok(Digest::unpack(packed).filter(|_| sound))
                    })
                    .optional()
            })
            .map_err(SeriesError::database(&self.file))?;
        match found {
            Some(None) => Err(SeriesError::damaged(
                &self.file,
                "the digest of a day does not read back",
            )),
            found => Ok(found.flatten()),
        }
    }

    /// Gives pages that are free back to the file system.
    pub(super) fn shrink(&self) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        for sql in ["PRAGMA incremental_vacuum", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            // Each row is a step of the work: all of them must be asked for.
            let mut statement = self.connection.prepare(sql).map_err(&fail)?;
            let mut rows = statement.query([]).map_err(&fail)?;
            while rows.next().map_err(&fail)?.is_some() {}
        }
        Ok(())
    }
}

/// The chunks that take the place of all others of one series and day.
pub(super) struct Rewritten {
    pub(super) series: u32,
    pub(super) seq: i64,
    pub(super) chunks: Vec<Chunk>,
}

fn insert_chunk(connection: &Connection, chunk: &Chunk, seq: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO chunk(day, s, t0, seq, t1, n, mn, mx, sum, last, gap, crc, tb, vb)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let s = &chunk.summary;
    insert.execute(params![
        chunk.day,
        chunk.series,
        s.from.0,
        seq,
        s.to.0,
        s.count,
        s.min,
        s.max,
        s.sum,
        s.last,
        s.gap_ms,
        chunk.checksum(),
        chunk.times,
        chunk.values
    ])?;
    Ok(())
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get(0)?,
        seq: row.get(1)?,
        summary: Summary {
            from: UtcMillis(row.get(2)?),
            to: UtcMillis(row.get(3)?),
            count: row.get(4)?,
            min: row.get(5)?,
            max: row.get(6)?,
            sum: row.get(7)?,
            last: row.get(8)?,
            gap_ms: row.get(9)?,
        },
    })
}
