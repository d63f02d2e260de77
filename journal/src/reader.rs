//! Reading durable records back, in order.

use std::{
    fmt,
    fs::File,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    JournalError, Position, Record, disk,
    format::{self, Stop},
    segment::Segment,
    shared::Shared,
};

/// The least that is read at a time.
const LEAST_READ_BYTES: usize = 4096;

/// Reads durable records from a position on. Blocking: for threads. Does not hold segments: a cursor does.
///
/// A damaged place is passed over: reading goes on with the next segment (or, in the newest one, with what is
/// appended from then on). It is logged and counted in [`crate::Stats::skipped_bytes`]; its bytes never come out
/// as a record.
pub struct Reader {
    shared: Arc<Shared>,
    position: u64,
    open: Option<(Segment, File)>,
}

/// A run of whole records, owned; iterate with [`Chunk::records`]. Reuse it: its memory is kept.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Sound records in front; old bytes behind them.
    bytes: Vec<u8>,
    /// How many of the bytes are records.
    len: usize,
    start: u64,
    end: u64,
}

impl Chunk {
    /// The records in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let mut rest = &self.bytes[..self.len];
        let mut position = Position(self.start);
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let record = format::decode(rest, position).expect("reading checks each record");
            let len = record.next.0 - position.0;
            rest = &rest[usize::try_from(len).expect("a record in memory")..];
            position = record.next;
            Some(record)
        })
    }

    /// The position after the last record, or where the reader stands when there is none. A cursor that is set
    /// here resumes behind this chunk.
    #[must_use]
    pub fn end(&self) -> Position {
        Position(self.end)
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, from: u64) -> Reader {
        let position = from.max(shared.start());
        Reader {
            shared,
            position,
            open: None,
        }
    }

    /// Where the next record is read from.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.position)
    }

    /// Skips forward to `to`, the beginning of a record; a place already passed changes nothing.
    ///
    /// # Errors
    /// [`JournalError::BeyondEnd`].
    pub fn seek(&mut self, to: Position) -> Result<(), JournalError> {
        let durable = self.shared.durable();
        if to.0 > durable {
            return Err(JournalError::BeyondEnd {
                to,
                durable: Position(durable),
            });
        }
        self.position = self.position.max(to.0);
        Ok(())
    }

    /// Reads durable records into `chunk`: up to `max_bytes` of them, but at least one if there is any. Does not
    /// wait. An empty chunk means that there is nothing more for now.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the reader stays where it is and may be asked again.
    pub fn read(&mut self, chunk: &mut Chunk, max_bytes: usize) -> Result<(), JournalError> {
        chunk.len = 0;
        let mut wanted = max_bytes.max(LEAST_READ_BYTES);
        while let Some((segment, limit)) = self.enter_segment()? {
            let room = usize::try_from(limit - self.position).unwrap_or(usize::MAX);
            let window = wanted.min(room);
            let filled = self.fill(chunk, window, &segment)?;
            let walk = format::walk(&chunk.bytes[..filled], format::seed(segment.base), room);
            if walk.bytes > 0 {
                chunk.len = walk.bytes;
                chunk.start = self.position;
                self.position += walk.bytes as u64;
                break;
            }
            match walk.stop {
                Stop::Incomplete(bytes) if filled == window && window < room => wanted = bytes,
                Stop::Sealed | Stop::Full => self.position = limit,
                _ => self.pass_over_damage(limit),
            }
        }
        chunk.end = self.position;
        Ok(())
    }

    /// Reads up to `window` bytes of `segment` from the reader's position on.
    fn fill(&self, chunk: &mut Chunk, window: usize, segment: &Segment) -> Result<usize, JournalError> {
        if chunk.bytes.len() < window {
            chunk.bytes.resize(window, 0);
        }
        let (_, file) = self.open.as_ref().expect("a segment that was entered is open");
        disk::read_at(file, &mut chunk.bytes[..window], self.position - segment.base)
            .map_err(JournalError::io("read", &segment.path(&self.shared.options.dir)))
    }

    /// Blocks until there is something to read, the journal has ended, or `timeout` has passed. False when it has
    /// ended and there is nothing more to read.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> bool {
        self.shared.wait_for_news(self.position, timeout);
        self.shared.durable() > self.position || !self.shared.has_ended()
    }

    /// Opens the segment that holds the reader's position and says up to where it may be read; `None` at the
    /// durable end. Steps over the gap between segments and over what was freed.
    fn enter_segment(&mut self) -> Result<Option<(Segment, u64)>, JournalError> {
        let durable = self.shared.durable();
        loop {
            self.position = self.position.max(self.shared.start());
            if self.position >= durable {
                return Ok(None);
            }
            if let Some((segment, _)) = self
                .open
                .as_ref()
                .filter(|(segment, _)| self.position < segment.end())
            {
                return Ok(Some((*segment, segment.end().min(durable))));
            }
            let next = self
                .shared
                .table()
                .all
                .iter()
                .find(|segment| self.position < segment.end())
                .copied();
            let segment = next.expect("the durable end lies in a segment");
            self.position = self.position.max(segment.data_start());
            match segment.open_for_reading(&self.shared.options.dir) {
                Ok(file) => self.open = Some((segment, file)),
                // Freed between the look into the table and the opening: the start has moved on.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && self.shared.start() >= segment.end() => {}
                Err(error) => {
                    return Err(JournalError::io("open", &segment.path(&self.shared.options.dir))(
                        error,
                    ));
                }
            }
        }
    }

    fn pass_over_damage(&mut self, limit: u64) {
        let bytes = limit - self.position;
        tracing::error!(
            journal.position = self.position,
            journal.skipped_bytes = bytes,
            "The journal is damaged; the records up to the end of the segment are lost"
        );
        self.shared.skipped_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.position = limit;
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
