//! The connection to the database: one writer, a few readers, and the schema.
//!
//! Everything that knows which database it is stands here. The queries beside this file are SQL that
//! SQLite and PostgreSQL share.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::{
    Sqlite, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::error::{Cause, RecordError};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a call waits for a connection of ours: one that waited out [`BUSY_TIMEOUT`] and some more.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);

/// Between two attempts to connect to a file that another process is setting up.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Reads run beside each other and beside the writer.
const READERS: u32 = 4;

pub(super) type Row = sqlx::sqlite::SqliteRow;
pub(super) type Transaction = sqlx::Transaction<'static, Sqlite>;
pub(super) type Builder = sqlx::QueryBuilder<Sqlite>;

/// The most values bound to one statement; SQLite allows 32,766.
pub(super) const MAX_BINDS: usize = 30_000;

/// What a database error means to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Busy,
    Full,
    Reference,
    Other,
}

impl Fault {
    pub(super) fn of(error: &sqlx::Error) -> Fault {
        const SQLITE_BUSY: i32 = 5;
        const SQLITE_FULL: i32 = 13;
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Fault::Busy;
        }
        let Some(error) = error.as_database_error() else {
            return Fault::Other;
        };
        if error.is_foreign_key_violation() {
            return Fault::Reference;
        }
        // The low byte is the primary code, whatever the extended code says beyond it.
        match error.code().and_then(|c| c.parse::<i32>().ok()).map(|c| c & 0xff) {
            Some(SQLITE_BUSY) => Fault::Busy,
            Some(SQLITE_FULL) => Fault::Full,
            _ => Fault::Other,
        }
    }
}

/// Two pools on one file. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Database {
    /// Opens `path`, makes it if it is missing, and brings its schema up to date.
    pub(super) async fn open(path: &Path) -> Result<Database, RecordError> {
        let failed = |source: Cause| RecordError::Open {
            path: path.to_owned(),
            source,
        };
        let fresh = !path.exists();
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full);
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let write = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let writer = connect_patiently(pool().max_connections(1), &write)
            .await
            .map_err(|e| failed(e.into()))?;
        if fresh {
            make_private(path).map_err(|e| failed(e.into()))?;
        }
        migrate(&writer).await?;
        let readers = pool()
            .max_connections(READERS)
            .connect_with(options.read_only(true))
            .await
            .map_err(|e| failed(e.into()))?;
        Ok(Database { writer, readers })
    }

    /// Begins a transaction that may write. It takes the write lock at once: a transaction that reads
    /// first and writes later could find the lock taken, and would have to start over.
    pub(super) async fn write(&self) -> Result<Transaction, RecordError> {
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(RecordError::from_database)
    }

    /// Where reads go. They see what was last committed, also by another process.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Commits `transaction`.
pub(super) async fn commit(transaction: Transaction) -> Result<(), RecordError> {
    transaction.commit().await.map_err(RecordError::from_database)
}

/// Applies the migrations that are missing, all or none of them. The write lock is held throughout, so
/// that of two processes that open a new file at once, one waits for the other.
async fn migrate(writer: &SqlitePool) -> Result<(), RecordError> {
    let mut transaction = writer
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(RecordError::from_database)?;
    MIGRATIONS
        .run(&mut *transaction)
        .await
        .map_err(|e| RecordError::Schema { source: e.into() })?;
    commit(transaction).await
}

/// Connects, and waits while another process is turning the same new file to write-ahead logging: for
/// that one step SQLite does not wait by itself.
async fn connect_patiently(
    pool: SqlitePoolOptions,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, sqlx::Error> {
    let begun = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if Fault::of(&error) == Fault::Busy && begun.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(CONNECT_PAUSE).await;
            }
            done => return done,
        }
    }
}

/// The file holds the hashes of secrets: nobody but its owner may read it. Done by name, and before
/// anything is written: opening and closing the file beside SQLite would drop SQLite's locks on it.
fn make_private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        match std::fs::set_permissions(&name, mode) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _done_or_absent => {}
        }
    }
    Ok(())
}
