//! All databases of a data folder as they were at one moment, copied while a server writes to them.
//!
//! The write lock of every database is taken, all or none; while all are held, a reading transaction is begun on each,
//! and the locks are let go. That takes milliseconds, in which a server's commits wait as they wait for each other.
//! From then on every reading transaction sees its database as it was at that moment, however long copying takes, and
//! whatever the server writes, compacts or removes meanwhile.
//!
//! So a copy is what a power cut at that moment would have left: what the stores are made and tested to go on from. No
//! rule about which file is copied before which is needed. While copying lasts, SQLite's write-ahead files cannot be
//! emptied: they grow by what is written meanwhile.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use domain::LogPosition;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, backup};

/// How long the moment is waited for at which nobody writes to any database.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two attempts. Longer than most transactions, so that the server is not held up by attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a read waits where SQLite has to recover a database first.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// Pages copied between two reports of progress: about 4 MiB.
const PAGES_AT_ONCE: i32 = 1_024;

const RECORDS: &str = "records.db";
const SERIES: &str = "series";
const CATALOG: &str = "catalog.db";

/// Why the databases cannot be copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A database cannot be read or written.
    #[error("cannot copy the database {}; look at it with `sunshine store check`, and see that both disks have room", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What the database said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A folder cannot be listed.
    #[error("cannot list {}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Somebody always wrote.
    #[error(
        "for {} s there was no moment at which nobody wrote to the databases; try again when no compaction runs",
        PATIENCE.as_secs()
    )]
    NeverStill,
}

impl BackupError {
    fn database(path: &Path) -> impl FnOnce(rusqlite::Error) -> BackupError {
        |source| BackupError::Database {
            path: path.to_owned(),
            source: source.into(),
        }
    }
}

/// A database, and a connection that sees it as it was at the moment.
struct Pinned {
    /// Its name below the data folder.
    name: PathBuf,
    path: PathBuf,
    connection: Connection,
}

/// All databases of a data folder at one moment.
pub struct Moment {
    pinned: Vec<Pinned>,
    /// The series' checkpoint at that moment.
    pub checkpoint: LogPosition,
    /// Where judgement stood in its newest snapshot; `None` before the first.
    pub judged: Option<LogPosition>,
    /// How long the locks were held, and so the longest that a writer had to wait for them.
    pub held: Duration,
}

impl Moment {
    /// Waits for a moment at which nobody writes, up to two minutes, and holds on to it. `still` is run once, during
    /// that moment, while no database can change: be quick.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn take<T>(data_dir: &Path, still: impl FnOnce() -> T) -> Result<(Moment, T), BackupError> {
        let begun = Instant::now();
        loop {
            let databases = list(data_dir)?;
            let since = Instant::now();
            if let Some(locks) = lock_all(data_dir, &databases)? {
                // A file that came or went in between: it was not locked, or is no longer what was locked.
                if list(data_dir)? == databases
                    && let Some(pinned) = pin_all(data_dir, databases)?
                {
                    let (checkpoint, judged) = positions(&pinned)?;
                    let told = still();
                    drop(locks);
                    let moment = Moment {
                        pinned,
                        checkpoint,
                        judged,
                        held: since.elapsed(),
                    };
                    return Ok((moment, told));
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(BackupError::NeverStill);
            }
            std::thread::park_timeout(PAUSE);
        }
    }

    /// Where the log must be read again from.
    #[must_use]
    pub fn replay_from(&self) -> LogPosition {
        self.checkpoint.min(self.judged.unwrap_or(LogPosition(0)))
    }

    /// The bytes that [`Moment::copy`] writes.
    ///
    /// # Errors
    /// [`BackupError::Database`].
    pub fn bytes(&self) -> Result<u64, BackupError> {
        let size = |one: &Pinned| {
            let sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
            let bytes = one.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            bytes
                .map(i64::cast_unsigned)
                .map_err(BackupError::database(&one.path))
        };
        self.pinned.iter().map(size).sum()
    }

    /// Copies every database below `to`, whose folders are there, and answers with their names below it. `progress` is
    /// told about bytes as they are written.
    ///
    /// # Errors
    /// [`BackupError::Database`].
    pub fn copy(self, to: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<PathBuf>, BackupError> {
        let mut names = Vec::with_capacity(self.pinned.len());
        for one in self.pinned {
            let target = to.join(&one.name);
            copy_pages(&one.connection, &target, progress).map_err(BackupError::database(&one.path))?;
            names.push(one.name);
            // The connection ends here: its write-ahead file may be emptied again.
        }
        Ok(names)
    }
}

fn copy_pages(from: &Connection, target: &Path, progress: &mut dyn FnMut(u64)) -> rusqlite::Result<()> {
    let mut to = Connection::open(target)?;
    // Nothing is kept of a copy that fails, and a finished one is synced by whoever names it in the manifest.
    to.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")?;
    let page: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let copy = backup::Backup::new(from, &mut to)?;
    let mut done = 0;
    loop {
        let state = copy.step(PAGES_AT_ONCE)?;
        let at = copy.progress();
        let copied = i64::from(at.pagecount - at.remaining);
        progress(((copied - done).max(0) * page).cast_unsigned());
        done = copied;
        match state {
            backup::StepResult::Done => return Ok(()),
            backup::StepResult::More => {}
            _busy_or_locked => std::thread::park_timeout(PAUSE),
        }
    }
}

/// The names of the databases below `data_dir`, in order.
fn list(data_dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let dir = data_dir.join(SERIES);
    let failed = |source| BackupError::Io {
        path: dir.clone(),
        source,
    };
    let mut names = vec![PathBuf::from(RECORDS)];
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if name.extension().is_some_and(|extension| extension == "db") {
            names.push(Path::new(SERIES).join(name));
        }
    }
    names.sort();
    Ok(names)
}

/// Takes the write lock of every database; `None` when one of them is taken or gone.
fn lock_all(data_dir: &Path, names: &[PathBuf]) -> Result<Option<Vec<Connection>>, BackupError> {
    let mut locks = Vec::with_capacity(names.len());
    for name in names {
        let path = data_dir.join(name);
        let lock = || {
            let connection = open(&path, Duration::ZERO)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        };
        match unless_busy(lock(), &path)? {
            Some(connection) => locks.push(connection),
            None => return Ok(None),
        }
    }
    Ok(Some(locks))
}

/// Begins a reading transaction on every database; `None` when one of them could not be read at once.
fn pin_all(data_dir: &Path, names: Vec<PathBuf>) -> Result<Option<Vec<Pinned>>, BackupError> {
    let mut pinned = Vec::with_capacity(names.len());
    for name in names {
        let path = data_dir.join(&name);
        let pin = || {
            let connection = open(&path, READ_PATIENCE)?;
            connection.execute_batch("PRAGMA query_only=1; BEGIN")?;
            // A transaction sees what was committed before its first read.
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_row| Ok(()))?;
            Ok(connection)
        };
        let Some(connection) = unless_busy(pin(), &path)? else {
            return Ok(None);
        };
        pinned.push(Pinned {
            name,
            path,
            connection,
        });
    }
    Ok(Some(pinned))
}

fn open(path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    Ok(connection)
}

/// What a database that is in use, or has just been removed, says is no failure.
fn unless_busy<T>(outcome: rusqlite::Result<T>, path: &Path) -> Result<Option<T>, BackupError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(None),
            Some(ErrorCode::CannotOpen) if !path.exists() && !is_lasting(path) => Ok(None),
            _ => Err(BackupError::database(path)(error)),
        },
    }
}

/// Whether a database never goes while a server runs: its absence is no matter of waiting.
fn is_lasting(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == RECORDS || name == CATALOG)
}

fn positions(pinned: &[Pinned]) -> Result<(LogPosition, Option<LogPosition>), BackupError> {
    let ask = |name: &Path, sql: &str| {
        let one = pinned.iter().find(|one| one.name == name);
        let Some(one) = one else { return Ok(None) };
        let position = one.connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let position = position.optional().map_err(BackupError::database(&one.path))?;
        Ok(position.map(|position| LogPosition(position.cast_unsigned())))
    };
    let checkpoint = ask(
        &Path::new(SERIES).join(CATALOG),
        "SELECT replay_from FROM position",
    )?;
    let judged = ask(
        Path::new(RECORDS),
        "SELECT position FROM engine_snapshot WHERE id = 1",
    )?;
    Ok((checkpoint.unwrap_or(LogPosition(0)), judged))
}
