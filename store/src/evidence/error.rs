//! What can go wrong with evidence, and what the caller can do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{KeyFileError, records::Problem};

/// Why a call on the evidence archive failed. What was accepted before stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// There is no such evidence, it was removed, or it lies outside the caller's scope: they cannot be told
    /// apart.
    #[error("there is no such evidence within your reach")]
    NotFound,
    /// A field holds what it must not.
    #[error("{field} {problem}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: Problem,
    },
    /// The family is not on hold.
    #[error("this evidence is not on hold")]
    NotHeld,
    /// Nothing can be dropped to make room: everything else is on hold.
    #[error(
        "the archive may hold {max_bytes} bytes and {max_packages} packages, and what is on hold leaves no room for this; \
         raise the limit or release a hold"
    )]
    CapReached {
        /// The most bytes.
        max_bytes: u64,
        /// The most packages.
        max_packages: usize,
    },
    /// The disk has no room. Nothing half-written is referred to.
    #[error("no room on the disk for {}; free some space, then try again", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// A file does not hold what was written to it.
    #[error("{} is damaged ({what}); `verify` tells what else is, a backup has the original", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The signing key of an archive with contents is gone.
    #[error(
        "{} is missing, but the archive has contents signed with it; restore it from a backup, or move the \
         archive away to begin a new one",
        path.display()
    )]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Another process, or another archive of this process, has the folder open.
    #[error("{} is in use by another archive; stop the other process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// An earlier write left the chain in an unknown state.
    #[error(
        "the archive stopped after a failed write; mend the disk and start again: opening it brings it in order"
    )]
    Stopped,
    /// The file system failed.
    #[error("cannot use {}", path.display())]
    Io {
        /// What was worked on.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl EvidenceError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> EvidenceError + '_ {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EvidenceError::Full {
                path: path.to_owned(),
            },
            _ => EvidenceError::Io {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn damaged(path: &Path, what: &'static str) -> EvidenceError {
        EvidenceError::Damaged {
            path: path.to_owned(),
            what,
        }
    }
}
