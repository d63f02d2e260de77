//! `catalog.db`: which number stands for which series, every series' last value on disk, and how far the
//! log is on disk, and what retention took away.

use std::path::{Path, PathBuf};

use domain::{DeviceId, FacilityId, IdError, LogPosition, Metric, Sample, SeriesKey, UtcMillis};
use rusqlite::{Connection, params};

use super::{
    db::{self, Layout},
    error::SeriesError,
    query::Level,
};

const LAYOUT: Layout = Layout {
    creation: "",
    schema: "
        CREATE TABLE series(
            id INTEGER PRIMARY KEY,
            facility TEXT NOT NULL,
            device TEXT NOT NULL,
            metric TEXT NOT NULL,
            last_at INTEGER,
            last_value REAL,
            UNIQUE(facility, device, metric)
        );
        CREATE TABLE position(one INTEGER PRIMARY KEY CHECK (one = 1), replay_from INTEGER NOT NULL);
        INSERT INTO position VALUES (1, 0);
        CREATE TABLE floor(level INTEGER PRIMARY KEY, day INTEGER NOT NULL);",
    upgrades: &["CREATE TABLE floor(level INTEGER PRIMARY KEY, day INTEGER NOT NULL);"],
};

/// For every level, the first day that is kept. Days before it are gone for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Floors([i64; 3]);

impl Default for Floors {
    fn default() -> Floors {
        Floors([i64::MIN; 3])
    }
}

impl Floors {
    /// The first day of `level` that is kept.
    pub(super) fn of(&self, level: Level) -> i64 {
        self.0[level as usize]
    }

    /// Raises the floor of a level; it never falls.
    pub(super) fn raise(&mut self, level: Level, day: i64) {
        let floor = &mut self.0[level as usize];
        *floor = day.max(*floor);
    }
}

pub(super) struct Catalog {
    file: PathBuf,
    connection: Connection,
    /// Series with a smaller number are in the file.
    saved: u32,
}

/// A series as found in the file.
pub(super) struct Known {
    pub(super) key: SeriesKey,
    pub(super) last: Option<Sample>,
}

impl Catalog {
    /// Opens the catalog and reads it: the series in the order of their numbers.
    pub(super) fn open(dir: &Path) -> Result<(Catalog, Vec<Known>, LogPosition), SeriesError> {
        let file = dir.join("catalog.db");
        let connection = db::open_writer(&file, &LAYOUT)?;
        Catalog::read(file, connection)
    }

    /// The same for a catalog that is there and stays as it is.
    pub(super) fn open_reader(dir: &Path) -> Result<(Catalog, Vec<Known>, LogPosition), SeriesError> {
        let file = dir.join("catalog.db");
        let connection = db::open_reader(&file, &LAYOUT)?;
        Catalog::read(file, connection)
    }

    fn read(
        file: PathBuf,
        connection: Connection,
    ) -> Result<(Catalog, Vec<Known>, LogPosition), SeriesError> {
        let known = read_series(&file, &connection)?;
        let replay_from = connection
            .query_row("SELECT replay_from FROM position", [], |row| row.get::<_, i64>(0))
            .map_err(SeriesError::database(&file))?;
        let saved = u32::try_from(known.len()).expect("every number in the file was read as u32");
        Ok((
            Catalog {
                file,
                connection,
                saved,
            },
            known,
            LogPosition(replay_from.cast_unsigned()),
        ))
    }

    /// What the database finds wrong with its file.
    pub(super) fn unsound(&self) -> Result<Vec<String>, SeriesError> {
        db::unsound(&self.connection).map_err(SeriesError::database(&self.file))
    }

    /// What retention has taken away.
    pub(super) fn floors(&self) -> Result<Floors, SeriesError> {
        let fail = SeriesError::database(&self.file);
        let mut floors = Floors::default();
        let mut select = self
            .connection
            .prepare("SELECT day FROM floor WHERE level = ?")
            .map_err(&fail)?;
        for level in [Level::Raw, Level::Minute, Level::Hour] {
            let mut found = select.query([level as i64]).map_err(&fail)?;
            if let Some(row) = found.next().map_err(&fail)? {
                floors.raise(level, row.get(0).map_err(&fail)?);
            }
        }
        Ok(floors)
    }

    /// Notes that days of `level` before `day` are gone. Called before any of their files goes.
    pub(super) fn raise_floor(&mut self, level: Level, day: i64) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        transaction
            .execute(
                "INSERT INTO floor VALUES (?1, ?2) ON CONFLICT(level) DO UPDATE SET day = max(day, ?2)",
                [level as i64, day],
            )
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }

    /// How many series the file knows: those with smaller numbers.
    pub(super) fn saved(&self) -> u32 {
        self.saved
    }

    /// Writes the keys of new series, whose numbers go on from [`Catalog::saved`]. No chunk may name a
    /// series before this has returned.
    pub(super) fn save_series(&mut self, keys: &[SeriesKey]) -> Result<(), SeriesError> {
        if keys.is_empty() {
            return Ok(());
        }
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        let mut next = self.saved;
        for key in keys {
            transaction
                .prepare_cached("INSERT INTO series(id, facility, device, metric) VALUES (?, ?, ?, ?)")
                .and_then(|mut insert| {
                    let (facility, device, metric) =
                        (key.facility.as_str(), key.device.as_str(), key.metric.as_str());
                    insert.execute(params![next, facility, device, metric])
                })
                .map_err(&fail)?;
            next += 1;
        }
        transaction.commit().map_err(&fail)?;
        self.saved = next;
        Ok(())
    }

    /// Notes that chunks are on disk: the series' last values in them, and where the log must be read
    /// again from. Called only after the chunks themselves were committed.
    pub(super) fn note(
        &mut self,
        lasts: &[(u32, Sample)],
        replay_from: LogPosition,
    ) -> Result<(), SeriesError> {
        let fail = SeriesError::database(&self.file);
        let transaction = db::begin(&mut self.connection).map_err(&fail)?;
        for (series, last) in lasts {
            transaction
                .prepare_cached(
                    "UPDATE series SET last_at = ?2, last_value = ?3
                     WHERE id = ?1 AND (last_at IS NULL OR last_at <= ?2)",
                )
                .and_then(|mut update| update.execute(params![series, last.at.0, last.value]))
                .map_err(&fail)?;
        }
        transaction
            .execute(
                "UPDATE position SET replay_from = ?",
                [replay_from.0.cast_signed()],
            )
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)
    }
}

fn invalid_key(file: &Path, error: IdError) -> SeriesError {
    SeriesError::Damaged {
        file: file.to_owned(),
        what: "a series has a key that is not valid",
        source: Some(Box::new(error)),
    }
}

fn read_series(file: &Path, connection: &Connection) -> Result<Vec<Known>, SeriesError> {
    let fail = SeriesError::database(file);
    let sql = "SELECT id, facility, device, metric, last_at, last_value FROM series ORDER BY id";
    let mut select = connection.prepare(sql).map_err(&fail)?;
    let mut rows = select.query([]).map_err(&fail)?;
    let mut known = Vec::new();
    while let Some(row) = rows.next().map_err(&fail)? {
        let id: u32 = row.get(0).map_err(&fail)?;
        if id as usize != known.len() {
            return Err(SeriesError::damaged(
                file,
                "its series are not numbered without gaps",
            ));
        }
        let text = |column| row.get::<_, String>(column).map_err(&fail);
        let key = parse_key(&text(1)?, &text(2)?, &text(3)?).map_err(|error| invalid_key(file, error))?;
        let at: Option<i64> = row.get(4).map_err(&fail)?;
        let value: Option<f64> = row.get(5).map_err(&fail)?;
        let last = at.zip(value).map(|(at, value)| Sample {
            at: UtcMillis(at),
            value,
        });
        known.push(Known { key, last });
    }
    Ok(known)
}

fn parse_key(facility: &str, device: &str, metric: &str) -> Result<SeriesKey, IdError> {
    Ok(SeriesKey {
        facility: FacilityId::new(facility)?,
        device: DeviceId::new(device)?,
        metric: Metric::new(metric)?,
    })
}
