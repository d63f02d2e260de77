//! Appending, and learning what is durable.

use std::{fmt, sync::Arc};

use crate::{AppendError, Envelope, Position, queue::Ticket, shared::Shared};

/// Appends, and learns when its own records are durable. One per connection; costs two pointers and a waker.
pub struct Writer {
    shared: Arc<Shared>,
    ticket: Ticket,
}

/// The place of a record that was taken. It is durable only when [`Writer::is_durable`] says so. Dropping it
/// changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Where the record begins.
    pub position: Position,
    /// The position after the record: it is durable once [`crate::Journal::durable`] has reached this.
    pub next: Position,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Writer {
        Writer {
            shared,
            ticket: Ticket::default(),
        }
    }

    /// Takes a record into the queue. Never blocks. The record is *not* durable yet: only
    /// [`Writer::is_durable`] says so.
    ///
    /// # Errors
    /// [`AppendError`]; the record was not taken and leaves no trace.
    pub fn append(&mut self, envelope: &Envelope<'_>) -> Result<Receipt, AppendError> {
        self.shared.append(envelope, &mut self.ticket)
    }

    /// Whether the record is on disk. One atomic load when it is.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] or [`AppendError::Closed`]: it never will be.
    pub fn is_durable(&self, receipt: Receipt) -> Result<bool, AppendError> {
        self.shared.is_durable(receipt.next)
    }

    /// Waits until a commit has made records of this writer durable, or the journal has ended while some were
    /// waiting. May return early: ask [`Writer::is_durable`]. Waits for ever when no record of this writer is
    /// waiting. Cancel-safe: a wake-up that nobody waited for is kept for the next call.
    pub async fn progress(&self) {
        if self.shared.has_ended() {
            return;
        }
        self.ticket.notify.notified().await;
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}
