//! What can go wrong in the time-series store, and what the caller can do about it.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use domain::SeriesId;

/// Why the time-series store refused or failed. Data that was accepted before stays intact.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The store holds as many series as it may.
    #[error("the store holds {max} series, as many as it may; raise the limit or remove devices")]
    TooManySeries {
        /// The limit.
        max: u32,
    },
    /// A reading names a series that this store never gave a number. Nothing of the batch was taken.
    #[error("series number {} was not given out by this store; resolve the key first", .0.0)]
    UnknownSeries(SeriesId),
    /// A query asked for more buckets than are answered.
    #[error("{asked} buckets were asked for; at most {max} are answered, so take longer buckets")]
    TooManyBuckets {
        /// How many were asked for.
        asked: u32,
        /// The limit.
        max: u32,
    },
    /// Memory holds as many unflushed readings as it may. Nothing of the batch was taken: append it
    /// again once [`maintain`](super::SeriesStore::maintain) has written some to disk.
    #[error("{readings} readings wait to be written to disk, as many as memory may hold; append again later")]
    HeadFull {
        /// How many wait.
        readings: u64,
    },
    /// The disk has no room. What could not be written stays in memory and in the log.
    #[error("no room on the disk for {}; free some space, writing goes on by itself", file.display())]
    Full {
        /// The file that could not grow.
        file: PathBuf,
    },
    /// A file does not hold what was written to it.
    #[error("{} is damaged ({what}); restore it from a backup, or move it away to go on without it", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// What the database said, if it found out.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A file was written by another version of the product.
    #[error("{} has format {found}, but this version knows formats 1 to {known}; run the version that wrote it", file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// The format it says it has.
        found: i64,
        /// The format this version writes; it reads every older one.
        known: i64,
    },
    /// Another process, or another store of this process, has the directory open.
    #[error("{} is in use by another store; stop the other process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file system failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The database failed in a way that none of the other variants describes.
    #[error("the database {} failed", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl SeriesError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> SeriesError + '_ {
        move |source| SeriesError::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// Turns a database error about `file` into the variant that tells the caller what to do.
    pub(super) fn database(file: &Path) -> impl Fn(rusqlite::Error) -> SeriesError + '_ {
        use rusqlite::ErrorCode;
        move |error| {
            let file = file.to_owned();
            match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => SeriesError::Full { file },
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => SeriesError::Damaged {
                    file,
                    what: "the database cannot read it",
                    source: Some(Box::new(error)),
                },
                _ => SeriesError::Database {
                    file,
                    source: Box::new(error),
                },
            }
        }
    }

    pub(super) fn damaged(file: &Path, what: &'static str) -> SeriesError {
        SeriesError::Damaged {
            file: file.to_owned(),
            what,
            source: None,
        }
    }
}
