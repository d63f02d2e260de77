//! Why a model is refused.

use std::{io, path::PathBuf};

use crate::{hash::FileHash, outline::OutlineError};

/// Why a card or its model is refused, and what helps.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file or folder cannot be read.
    #[error("{}: it cannot be read ({source}); check that it is there and that the service may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is larger than allowed.
    #[error("{}: it is larger than {max_bytes} bytes; use a smaller model, or raise the limit on models", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        max_bytes: u64,
    },
    /// A manifest or card is not TOML, or a key of it is unknown, missing or wrong.
    #[error("{}, line {line}: {key}{reason}", path.display(), key = Key(key))]
    Card {
        /// The manifest or card.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The key; empty where the line has none.
        key: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// A folder holds a model but no card.
    #[error("{}: it holds an ONNX file but no card.toml; write one (docs/MODELS.md shows how)", path.display())]
    NoCard {
        /// The folder.
        path: PathBuf,
    },
    /// Another model has the name already.
    #[error("another model has the name {name}; choose another name")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The catalogue is full.
    #[error("the catalogue holds {} models already; remove some", crate::MAX_CARDS)]
    Full,
    /// The file is not the one that the card vouches for.
    #[error(
        "{name}: the file's SHA-256 begins with {}, the card's with {}; fetch the file again, or, if it was changed on purpose, put the new hash on the card",
        found.short(),
        expected.short()
    )]
    Hash {
        /// The model.
        name: String,
        /// The card's.
        expected: FileHash,
        /// The file's.
        found: FileHash,
    },
    /// The file is no ONNX model that may be run.
    #[error("{name}: {source}")]
    Outline {
        /// The model.
        name: String,
        /// What is wrong with it.
        source: OutlineError,
    },
    /// The file is an ONNX model, but not the one that the card describes.
    #[error("{name}: {reason}; mend the card, or export the model as the card says")]
    Mismatch {
        /// The model.
        name: String,
        /// What the file has and what the card says.
        reason: String,
    },
}

/// A key before the reason, if there is one.
struct Key<'a>(&'a str);

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, "{}: ", self.0)
    }
}
