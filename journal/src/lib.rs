//! The one log. Bytes in, durable and in order; bytes out, by cursor.
//!
//! Owns: preallocated segments, checksums, group commit, recovery, named cursors, the cap on size.
//!
//! Must not know: MQTT, rules, readings, or any other crate of ours. A record is an [`Envelope`]: who
//! said it, about what, and the bytes.
//!
//! # Promises
//! - A record whose receipt [`Writer::is_durable`] is on disk: neither a crash nor a power cut takes it away.
//! - Records come back in the order in which they were taken, each once, with a time that never goes back.
//! - What comes back was written: a torn or flipped byte never passes as a record.
//! - A write or sync that fails ends all acknowledging, for good: after a failed sync nobody knows what is on disk.
//!   [`Stats::fault`] says why; a restart reads the disk anew.
//! - Nothing is overwritten. At the cap, or on a full disk, new records are refused ([`AppendError::Full`]) until
//!   the lowest cursor moves on or space returns; then they are taken again without help. What was taken before has
//!   its place on disk already and becomes durable all the same.
//!
//! # How
//! An append serialises the record into one buffer under one lock. The committing thread swaps that buffer for an
//! empty one, computes checksums, writes, syncs, and wakes the writers that have something in it. The sync itself
//! is what gathers the next batch. The preparing thread keeps one zero-written segment ahead. Recovery reads the
//! newest segment only.
//!
//! ```
//! # use std::sync::Arc;
//! use sunshine_journal::{Chunk, Envelope, Journal, Kind, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let mut options = Options::new(dir.path());
//! options.segment_bytes = 64 * 1024;
//! let journal = Journal::open(options, Arc::new(|| 1_700_000_000_000))?;
//! let envelope = Envelope {
//!     kind: Kind::MESSAGE,
//!     flags: 0,
//!     source: "device-7",
//!     subject: "sk/v1/kitchen-1/device-7/up",
//!     attributes: b"",
//!     body: b"{\"temp_c\":4.1}",
//! };
//! let mut writer = journal.writer();
//! let receipt = writer.append(&envelope)?;
//! journal.close(); // commits what waits
//! assert!(writer.is_durable(receipt)?);
//!
//! let mut reader = journal.reader(journal.start())?;
//! let mut chunk = Chunk::default();
//! reader.read(&mut chunk, 64 * 1024)?;
//! assert_eq!(chunk.records().next().map(|record| record.envelope), Some(envelope));
//! # Ok(())
//! # }
//! ```

mod commit;
mod cursor;
mod disk;
mod error;
mod format;
pub mod inspect;
mod journal;
mod options;
mod prepare;
mod queue;
mod reader;
mod recovery;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::{
    error::{AppendError, JournalError},
    journal::{Journal, Stats},
    options::{Options, TimeSource},
    reader::{Chunk, Reader},
    writer::{Receipt, Writer},
};

/// Where a record stands: a byte offset in the whole log since its beginning. Grows, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// What a record is, so that a reader can tell without looking inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// A message from a device or a service.
    pub const MESSAGE: Kind = Kind(1);
    /// Time passed.
    pub const TICK: Kind = Kind(2);
    /// From here on messages mean something else than before.
    pub const MEANING: Kind = Kind(3);
}

/// A record's content. Borrowed on the way in and on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// What it is.
    pub kind: Kind,
    /// Bits whose meaning the writer and reader of the kind agree on.
    pub flags: u8,
    /// Who said it (at most 255 bytes): an identity.
    pub source: &'a str,
    /// What it is about (at most 65,535 bytes): a topic.
    pub subject: &'a str,
    /// Further properties (at most 65,535 bytes), opaque.
    pub attributes: &'a [u8],
    /// The bytes themselves.
    pub body: &'a [u8],
}

/// A record as read: its place, its time and its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins.
    pub position: Position,
    /// The position after this record.
    pub next: Position,
    /// When it was appended, in milliseconds since 1970; never less than that of the record before.
    pub time_ms: i64,
    /// Its content.
    pub envelope: Envelope<'a>,
}
