//! How the store opens its database files: durable commits, a bounded cache, and no file of a format
//! that this version does not know.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::SeriesError;

/// How long a statement waits for another connection: only during recovery and the closing of a file.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Every commit is synced. What waits in a write-ahead file is carried over at 128 pages, so that the
/// file stays below 2 MiB except during a large transaction.
const SETTINGS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; \
     PRAGMA wal_autocheckpoint=128; PRAGMA journal_size_limit=1048576; PRAGMA temp_store=MEMORY;";

/// What kind of file to open and how.
pub(super) struct Layout {
    /// The format this version reads and writes, kept in the file's header.
    pub(super) format: i64,
    /// Settings that only take effect before the first table: page size and the like.
    pub(super) creation: &'static str,
    /// The tables.
    pub(super) schema: &'static str,
}

/// Opens a file for writing, creating it with its tables when it is new. Every commit is synced.
pub(super) fn open_writer(file: &Path, layout: &Layout) -> Result<Connection, SeriesError> {
    let fail = SeriesError::database(file);
    let mut connection = Connection::open(file).map_err(&fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&fail)?;
    connection.execute_batch(layout.creation).map_err(&fail)?;
    connection.execute_batch(SETTINGS).map_err(&fail)?;
    let found = format_of(&connection).map_err(&fail)?;
    let empty: bool = connection
        .query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |r| r.get(0))
        .map_err(&fail)?;
    if found == 0 && empty {
        // The format number is part of the transaction: a crash leaves an empty file or a whole one.
        let transaction = begin(&mut connection).map_err(&fail)?;
        transaction.execute_batch(layout.schema).map_err(&fail)?;
        transaction
            .pragma_update(None, "user_version", layout.format)
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        return Ok(connection);
    }
    check_format(file, found, layout)?;
    Ok(connection)
}

/// Opens an existing file for queries.
pub(super) fn open_reader(file: &Path, layout: &Layout) -> Result<Connection, SeriesError> {
    let fail = SeriesError::database(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(&fail)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(&fail)?;
    connection
        .execute_batch("PRAGMA query_only=1; PRAGMA cache_size=-512;")
        .map_err(&fail)?;
    let found = format_of(&connection).map_err(&fail)?;
    check_format(file, found, layout)?;
    Ok(connection)
}

/// Begins a transaction that holds the write lock from its first statement on.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn check_format(file: &Path, found: i64, layout: &Layout) -> Result<(), SeriesError> {
    if found == layout.format {
        return Ok(());
    }
    Err(SeriesError::UnknownFormat {
        file: file.to_owned(),
        found,
        known: layout.format,
    })
}
