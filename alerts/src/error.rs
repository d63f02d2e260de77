//! What can go wrong with judgement and cases, and what can be done about it.

use domain::{CaseState, LogPosition, case::machine::Refusal, rule::OverrideError, window::WindowError};
use store::{RecordError, SeriesError};

/// Why a call on the engine or its handle failed.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// There is no such case, or it lies outside the caller's scope.
    #[error("there is no such case within your reach")]
    NotFound,
    /// Somebody changed the case since it was read.
    #[error("somebody else changed the case in the meantime; read it again and decide anew")]
    Conflict,
    /// The case is not in a state in which this can be done to it.
    #[error("the case is {}; this can no longer be done to it", .state.code())]
    WrongState {
        /// Where the case stands.
        state: CaseState,
    },
    /// The case machine refuses it.
    #[error("{0}")]
    Refused(Refusal),
    /// The name or the comment is not acceptable.
    #[error("{0}")]
    Invalid(#[source] RecordError),
    /// The record store failed.
    #[error("the record store failed: {0}")]
    Store(#[source] RecordError),
    /// The engine has stopped: the process is shutting down.
    #[error("judgement has stopped; the server is shutting down")]
    Stopped,
    /// There is no such rule among those that are switched on.
    #[error("there is no such rule among those that are switched on")]
    NoSuchRule,
    /// The rule guards against danger to life.
    #[error("what endangers life cannot be set aside; find the cause, or take the device out of the list")]
    Unshelvable,
    /// A shelf or a window cannot be like this.
    #[error("{0}")]
    Window(#[from] WindowError),
    /// A rule cannot be changed like this.
    #[error("{0}")]
    Override(#[from] OverrideError),
    /// A rule cannot be tried on stored history.
    #[error("this cannot be tried on stored history: {0}")]
    Untriable(&'static str),
    /// The stored history cannot be read.
    #[error("the stored readings cannot be read: {0}")]
    Series(#[from] SeriesError),
    /// A batch begins before the engine's position and ends after it, and does not say where its readings
    /// stand. Judging it would count readings twice.
    #[error(
        "a batch of the log from {from} to {upto} straddles the position {position} and names no positions \
         of its readings; ingest must fill `Batch::positions`",
        from = .from.0, upto = .upto.0, position = .position.0
    )]
    Straddle {
        /// Where the batch begins.
        from: LogPosition,
        /// Where it ends.
        upto: LogPosition,
        /// What the engine has seen.
        position: LogPosition,
    },
}

impl From<RecordError> for AlertError {
    fn from(error: RecordError) -> AlertError {
        match error {
            RecordError::NotFound => AlertError::NotFound,
            RecordError::Conflict => AlertError::Conflict,
            RecordError::WrongState { state } => AlertError::WrongState { state },
            RecordError::Refused { refusal } => AlertError::Refused(refusal),
            RecordError::Invalid { .. } | RecordError::Missing { .. } | RecordError::Picture { .. } => {
                AlertError::Invalid(error)
            }
            other => AlertError::Store(other),
        }
    }
}
