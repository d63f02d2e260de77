//! How the store opens its database files: durable commits, a bounded cache, and no file of a format
//! that this version does not know.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::error::SeriesError;

/// How long a statement waits for another connection: only during recovery and the closing of a file.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Every commit is synced. What waits in a write-ahead file is carried over at 512 pages of 2 or 4 KiB, so that the
/// file stays below 4 MiB except during a large transaction.
const SETTINGS: &str = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-2048; \
     PRAGMA wal_autocheckpoint=512; PRAGMA journal_size_limit=1048576; PRAGMA temp_store=MEMORY;";

/// What kind of file to open and how.
pub(super) struct Layout {
    /// Settings that only take effect before the first table: page size and the like.
    pub(super) creation: &'static str,
    /// The tables of the newest format.
    pub(super) schema: &'static str,
    /// What makes each older format the one after it, the oldest first.
    pub(super) upgrades: &'static [&'static str],
}

impl Layout {
    /// The format this version writes, kept in the file's header. It opens every older one for writing, and so
    /// makes it this.
    fn format(&self) -> i64 {
        i64::try_from(self.upgrades.len()).expect("there are a few upgrades") + 1
    }

    /// What is left to do to a file of format `found`; `None` when it cannot be done.
    fn upgrades_from(&self, found: i64) -> Option<&'static [&'static str]> {
        let done = usize::try_from(found.checked_sub(1)?).ok()?;
        self.upgrades.get(done..)
    }
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
            .pragma_update(None, "user_version", layout.format())
            .map_err(&fail)?;
        transaction.commit().map_err(&fail)?;
        return Ok(connection);
    }
    match layout.upgrades_from(found) {
        None => return Err(unknown_format(file, found, layout)),
        Some([]) => return Ok(connection),
        Some(missing) => {
            let transaction = begin(&mut connection).map_err(&fail)?;
            for upgrade in missing {
                transaction.execute_batch(upgrade).map_err(&fail)?;
            }
            transaction
                .pragma_update(None, "user_version", layout.format())
                .map_err(&fail)?;
            transaction.commit().map_err(&fail)?;
        }
    }
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
    if found == layout.format() {
        Ok(connection)
    } else {
        Err(unknown_format(file, found, layout))
    }
}

/// The numbers of the files `<prefix><number><suffix>` in `dir`, ascending.
pub(super) fn numbers_in(dir: &Path, prefix: &str, suffix: &str) -> Result<Vec<i64>, SeriesError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(SeriesError::io(dir))? {
        let name = entry.map_err(SeriesError::io(dir))?.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_prefix(prefix)?.strip_suffix(suffix));
        numbers.extend(number.and_then(|number| number.parse::<i64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The files of a database: itself, its write-ahead file and that one's index.
pub(super) fn files_of(file: &Path) -> [std::path::PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = file.to_owned().into_os_string();
        name.push(suffix);
        name.into()
    })
}

/// Removes a database that nothing writes to. What is gone already is no error.
pub(super) fn remove(file: &Path) -> Result<(), SeriesError> {
    // The database last: its number is found again as long as it is there.
    for part in files_of(file).into_iter().rev() {
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(SeriesError::io(&part)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The number of rows of a table, and the sum of their column `n`.
pub(super) fn totals(connection: &Connection, table: &'static str) -> rusqlite::Result<(u64, u64)> {
    let sql = format!("SELECT count(*), coalesce(sum(n), 0) FROM {table}");
    connection.query_row(&sql, [], |row| {
        Ok((
            row.get::<_, i64>(0)?.cast_unsigned(),
            row.get::<_, i64>(1)?.cast_unsigned(),
        ))
    })
}

/// What SQLite finds wrong with a file; nothing when it is sound.
pub(super) fn unsound(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check(100)")?;
    let found = check.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<String> = found.collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|what| what != "ok").collect())
}

/// Begins a transaction that holds the write lock from its first statement on.
pub(super) fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn format_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn unknown_format(file: &Path, found: i64, layout: &Layout) -> SeriesError {
    SeriesError::UnknownFormat {
        file: file.to_owned(),
        found,
        known: layout.format(),
    }
}
