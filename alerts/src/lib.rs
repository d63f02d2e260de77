//! Runs the rules over the log, keeps the cases, and tells people of them.
//!
//! Owns: the engine that feeds batches of the log to [`domain::Judge`], turns its transitions into case
//! writes, keeps its snapshot, and publishes the board and every change of a case; the messenger that
//! delivers what waits in the outbox, and the channels it speaks over.
//!
//! Must not know: pages, MQTT, SQL, or how a case is shown.
//!
//! # What holds
//!
//! - A case is durable before anybody hears of it.
//! - Judgement goes on from its snapshot after a restart: the log is replayed from
//!   [`Engine::position`], in batches of any size. Transitions that were written before are written again
//!   and change nothing, because a case is named by (rule, point, beginning of the breach). So the
//!   snapshot need not be written with every case, and a crash between the two does no harm.
//! - While the record store fails, judging goes on and the board stays true. Case writes wait in order, up
//!   to [`MAX_PENDING`]; beyond that no batch is taken, and the log waits. Nothing is dropped.
//! - What people are to be told is written in the transaction of what is told. The messenger delivers each
//!   at least once, under the same key; a channel that is down holds up nobody but itself.

mod channel;
mod engine;
mod error;
mod handle;
mod outbox;
mod place;
mod shelving;
pub mod whatif;
mod wording;

pub use channel::{FailureKind, OutsideError, Publish, PushKeyError, PushKeys, SendFailure};
pub use domain::judge::{Board, ConditionState, PointState};
pub use engine::Engine;
pub use error::AlertError;
pub use handle::{AlertHandle, Health};
pub use outbox::{
    ChannelFigures, MessageHandle, Messenger, MessengerParts, PUSH_CHANNEL, SubscribeError, TrialError,
};
pub use place::Place;
pub use wording::{Moments, PictureSource};

/// Case writes that may wait for the record store before the engine stops taking batches. One batch may
/// go beyond it.
pub const MAX_PENDING: usize = 10_000;

/// Changes of cases that a slow listener may be behind before it is told that it lagged.
pub const MAX_CHANGES: usize = 1_024;
