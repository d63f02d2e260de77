//! What can go wrong, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::Position;

/// Opening, reading and keeping cursors.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused something.
    #[error("journal: cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A value of [`crate::Options`] is out of range.
    #[error("journal: {option} must be {range}")]
    InvalidOption {
        /// The field's name.
        option: &'static str,
        /// What is allowed.
        range: &'static str,
    },
    /// Another process, or another `Journal` of this one, has the directory open.
    #[error("journal: {} is in use by another process; stop that one first", dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// Written by a newer version of this program.
    #[error("journal: {} has format version {version}, this program reads version 1 only; start the version that wrote it", file.display())]
    UnknownVersion {
        /// The segment or cursor file.
        file: PathBuf,
        /// The version it states.
        version: u32,
    },
    /// A cursor's name is not 1 to 64 characters of `a-z 0-9 - _`.
    #[error("journal: a cursor's name must be 1 to 64 characters of a-z, 0-9, '-' and '_'")]
    CursorName,
    /// A cursor or a reader was sent to a place that is not durable yet.
    #[error("journal: position {} lies beyond the durable end {}", to.0, durable.0)]
    BeyondEnd {
        /// Where it was sent.
        to: Position,
        /// The end of what is durable.
        durable: Position,
    },
}

impl JournalError {
    /// For `map_err`: says what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        move |source| JournalError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Why a record was not taken, or will never be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More bytes wait for a commit than [`crate::Options::queue_bytes`] allows. Try again after the next commit.
    #[error("journal: the queue is full; try again after the next commit")]
    Busy,
    /// The disk is full, or the journal has reached its cap. Taken again by itself when space returns or a
    /// cursor moves on; nothing that was accepted is overwritten.
    #[error("journal: no space; free disk space or let the slowest cursor catch up")]
    Full,
    /// The record exceeds a length field, a segment or the queue: it will never fit.
    #[error("journal: the record is too large")]
    TooLarge,
    /// A write or sync has failed. Nothing is acknowledged any more: [`crate::Stats::fault`] says why.
    #[error("journal: stopped by an I/O error; see the fault, then restart")]
    Poisoned,
    /// [`crate::Journal::close`] was called.
    #[error("journal: closed")]
    Closed,
}
