//! The one log. Bytes in, durable and in order; bytes out, by cursor.
//!
//! Owns: preallocated segments, checksums, group commit, recovery, named cursors, the cap on size.
//!
//! Must not know: MQTT, rules, readings, or any other crate of ours. A record is an [`Envelope`]: who
//! said it, about what, and the bytes.
#![allow(missing_docs, clippy::todo, dead_code, unused_variables, clippy::needless_pass_by_value)]

use std::{path::PathBuf, sync::Arc, time::Duration};

/// Where a record stands: a byte offset in the whole log since its beginning. Grows, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

#[derive(Debug, Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// Bytes per segment file.
    pub segment_bytes: u64,
    /// The most bytes all segments may occupy.
    pub capacity_bytes: u64,
    /// A group commit waits at most this long for company (0 to 100 ms, default 2 ms)…
    pub commit_interval: Duration,
    /// …or until this many bytes wait.
    pub commit_bytes: usize,
    /// The most bytes that may wait for a commit before appends are refused with [`AppendError::Busy`].
    pub queue_bytes: usize,
}

/// Milliseconds since 1970: handed in, so that the journal reads no clock of its own.
pub type TimeSource = Arc<dyn Fn() -> i64 + Send + Sync>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(pub u8);
impl Kind {
    /// A message from a device or a service.
    pub const MESSAGE: Kind = Kind(1);
    /// Time passed.
    pub const TICK: Kind = Kind(2);
}

/// A record's content. Borrowed on the way in and on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub kind: Kind,
    /// Bits whose meaning the writer and reader of the kind agree on.
    pub flags: u8,
    /// Who said it (at most 255 bytes): an identity.
    pub source: &'a str,
    /// What it is about (at most 65,535 bytes): a topic.
    pub subject: &'a str,
    /// Further properties (at most 65,535 bytes), opaque.
    pub attributes: &'a [u8],
    pub body: &'a [u8],
}

/// A record as read: its place, its time and its content.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub position: Position,
    /// The position after this record.
    pub next: Position,
    /// Milliseconds since 1970; never less than that of the record before.
    pub time_ms: i64,
    pub envelope: Envelope<'a>,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError { #[error("x")] X }
#[derive(Debug, thiserror::Error)]
pub enum AppendError { #[error("busy")] Busy, #[error("full")] Full, #[error("too large")] TooLarge, #[error("poisoned")] Poisoned }

/// Cheap to clone; all clones are the same journal. It owns one writer thread, ended by [`Journal::close`].
#[derive(Clone)]
pub struct Journal;

#[derive(Debug, Clone, Default)]
pub struct Stats {
    pub appended_records: u64,
    pub appended_bytes: u64,
    pub syncs: u64,
    pub queued_bytes: u64,
    pub disk_bytes: u64,
    pub capacity_bytes: u64,
    pub start: Position,
    pub durable: Position,
    /// Why nothing is acknowledged any more; `None` while all is well.
    pub fault: Option<String>,
    /// Appends wait for disk space or for a cursor to move on.
    pub full: bool,
}
use std::fmt;
impl fmt::Debug for Journal { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("Journal") } }

impl Journal {
    pub fn open(options: Options, time: TimeSource) -> Result<Journal, JournalError> { todo!() }
    /// One per connection: appends, and learns when its own records are durable.
    pub fn writer(&self) -> Writer { todo!() }
    /// Appends and waits until the record is on disk.
    pub async fn append_durable(&self, envelope: &Envelope<'_>) -> Result<Position, AppendError> { todo!() }
    /// Everything before this is on disk.
    pub fn durable(&self) -> Position { todo!() }
    /// The oldest position still held.
    pub fn start(&self) -> Position { todo!() }
    /// A reader from `from` (clamped up to `start()`); sees durable records only. Blocking: for threads.
    pub fn reader(&self, from: Position) -> Result<Reader, JournalError> { todo!() }
    /// The named durable cursor's position; `start()` for a new one. Segments below the lowest cursor are freed.
    pub fn cursor(&self, name: &str) -> Result<Position, JournalError> { todo!() }
    /// Moves a named cursor forward, durably. Registering a cursor holds segments from its position on.
    pub fn advance_cursor(&self, name: &str, to: Position) -> Result<(), JournalError> { todo!() }
    pub fn stats(&self) -> Stats { todo!() }
    /// Commits what waits, stops the writer thread, wakes every waiting reader and receipt.
    pub fn close(&self) { todo!() }
}

pub struct Writer;
/// Resolves when the record is on disk. Dropping it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt { pub position: Position, pub next: Position }
impl Writer {
    /// Never blocks. The record is *not* durable yet: only [`Writer::is_durable`] says so.
    pub fn append(&mut self, envelope: &Envelope<'_>) -> Result<Receipt, AppendError> { todo!() }
    /// Whether the record is on disk. Err when the journal is poisoned: it never will be.
    pub fn is_durable(&self, receipt: Receipt) -> Result<bool, AppendError> { todo!() }
    /// Waits until a commit has made records of this writer durable, or the journal was poisoned. Cancel-safe.
    pub async fn progress(&self) { todo!() }
}

pub struct Reader;
/// A run of whole records, owned; iterate with [`Chunk::records`].
pub struct Chunk;
impl Chunk {
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> { std::iter::empty() }
    /// The position after the last record (or where the reader stands when empty).
    pub fn end(&self) -> Position { todo!() }
    pub fn is_empty(&self) -> bool { todo!() }
}
impl Reader {
    /// Reads up to `max_bytes` of durable records into `chunk`, reusing its memory. Does not wait.
    pub fn read(&mut self, chunk: &mut Chunk, max_bytes: usize) -> Result<(), JournalError> { todo!() }
    /// Blocks until there is something to read, the journal closes, or `timeout` passes. False when closed.
    pub fn wait(&self, timeout: Duration) -> bool { todo!() }
    pub fn position(&self) -> Position { todo!() }
    /// Skips forward.
    pub fn seek(&mut self, to: Position) -> Result<(), JournalError> { todo!() }
}
impl Default for Chunk { fn default() -> Self { Chunk } }
