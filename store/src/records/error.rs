//! What can go wrong with records, and what can be done about it.

use std::{error::Error, path::PathBuf};

use domain::{
    CaseState,
    camera::CameraError,
    case::{machine::Refusal, picture::PictureError},
    message::ChannelProblem,
};

use super::database::Fault;
use crate::VaultError;

/// A cause inside the database client. Opaque on purpose: no caller depends on the client.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a call on [`super::Records`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It does not exist, or lies outside the caller's scope: the two cannot be told apart.
    #[error("there is no such record within your reach")]
    NotFound,
    /// Somebody changed the record since it was read.
    #[error("somebody else changed the record in the meantime; read it again and decide anew")]
    Conflict,
    /// The case is not in a state in which this can be done to it.
    #[error("the case is {}; this can no longer be done to it", .state.code())]
    WrongState {
        /// Where the case stands.
        state: CaseState,
    },
    /// The case machine refuses the act.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The picture is none that may be kept.
    #[error("{source}")]
    Picture {
        /// Why.
        source: PictureError,
    },
    /// The channel cannot work like this.
    #[error("{source}")]
    Channel {
        /// Why.
        source: ChannelProblem,
    },
    /// Something else still refers to it.
    #[error("the {what} is still used by {by}; change that first")]
    InUse {
        /// What kind of record.
        what: &'static str,
        /// Who uses it.
        by: &'static str,
    },
    /// An account of that name is there already.
    #[error("there is an account {account:?} already; choose another name, or change that one")]
    PersonExists {
        /// Its name.
        account: String,
    },
    /// Nobody would be left who keeps the accounts.
    #[error(
        "nobody would be left who may keep accounts: an administrator who sees everything, has a password and is not \
         barred; make somebody else one first"
    )]
    LastAdministrator,
    /// Somebody reviewed the finding before.
    #[error("the finding was reviewed before; to say something else of it, change that review on purpose")]
    AlreadyReviewed,
    /// The camera may not be attached like this.
    #[error("the camera is refused: {source}")]
    Camera {
        /// Why.
        source: CameraError,
    },
    /// A secret cannot be sealed or opened.
    #[error("the secret cannot be sealed or opened: {source}")]
    Vault {
        /// Why.
        source: VaultError,
    },
    /// A field holds what it must not.
    #[error("{field} {problem}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it, and what is allowed.
        problem: Problem,
    },
    /// The record refers to one that does not exist.
    #[error("the {what} {id:?} is not registered; add it first")]
    Missing {
        /// What kind of record is missing.
        what: &'static str,
        /// Its identifier.
        id: String,
    },
    /// Another device speaks below this root.
    #[error("the root {root:?} is another device's; give this one its own, or take it from the other first")]
    RootTaken {
        /// The root.
        root: String,
    },
    /// A device of that name is there already.
    #[error("there is a device {device:?} already; revoke it first, or choose another name")]
    DeviceExists {
        /// Its name.
        device: String,
    },
    /// A claim code that nobody gave out, that was used, or whose time is over.
    #[error("this code is not valid, was used before, or has expired; ask for a new one")]
    BadClaim,
    /// The system gives no random numbers.
    #[error("the system gives no randomness; look at its log")]
    NoRandomness,
    /// A calibration that cannot be one.
    #[error("the calibration is refused: {why}")]
    Calibration {
        /// Why.
        why: &'static str,
    },
    /// A profile that is none.
    #[error("the profile is refused: {source}")]
    Profile {
        /// Line, key and reason.
        source: domain::ProfileError,
    },
    /// The database file could not be opened.
    #[error("the record store {path:?} cannot be opened; check that the folder exists and is writable")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database client said.
        #[source]
        source: Cause,
    },
    /// The database holds a schema that this version does not know.
    #[error(
        "the record store's schema does not fit this version; run the newest version on it, or restore a backup"
    )]
    Schema {
        /// What the database client said.
        #[source]
        source: Cause,
    },
    /// Another writer held the database for too long.
    #[error("the record store is busy; try again")]
    Busy {
        /// What the database client said.
        #[source]
        source: Cause,
    },
    /// The disk has no room.
    #[error("the disk of the record store is full; free some space, then try again")]
    Full {
        /// What the database client said.
        #[source]
        source: Cause,
    },
    /// A stored value cannot be read back.
    #[error(
        "the stored {what} of record {key:?} cannot be read; the database was changed by other means: restore a backup"
    )]
    Damaged {
        /// Which column.
        what: &'static str,
        /// Whose.
        key: String,
    },
    /// Anything else that the database refused.
    #[error("the record store failed; see the cause")]
    Database {
        /// What the database client said.
        #[source]
        source: Cause,
    },
}

/// What is wrong with a field, and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing, or only blanks.
    #[error("is empty; give at least one character")]
    Empty,
    /// Too many characters.
    #[error("is too long; at most {max} characters are allowed")]
    TooLong {
        /// The most characters.
        max: usize,
    },
    /// Too few bytes, or too many.
    #[error("must have {least} to {most} bytes")]
    Length {
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A control character.
    #[error("holds a control character; use printable text only")]
    ControlCharacter,
    /// A number outside its range.
    #[error("is out of range; {min} to {max} is allowed")]
    OutOfRange {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
    },
    /// Too many entries.
    #[error("has too many entries; at most {max} are allowed")]
    TooMany {
        /// The most entries.
        max: usize,
    },
    /// Too many bytes.
    #[error("is too large; at most {max} bytes are allowed")]
    TooLarge {
        /// The most bytes.
        max: usize,
    },
    /// A device that would hang on itself.
    #[error("is the device itself; name another one, or none")]
    Itself,
    /// The same thing twice in one list.
    #[error("is given twice; leave one of them out")]
    Twice,
    /// Something that belongs to another record.
    #[error("is not the one that the first record has")]
    Another,
    /// A number that is infinite or none at all.
    #[error("holds a number that is not finite")]
    NotFinite,
    /// A text that is not JSON.
    #[error("is not JSON")]
    NotJson,
    /// A text that is not a SHA-256.
    #[error("is not a SHA-256 of 64 hexadecimal digits")]
    NoHash,
    /// A name that only the product itself may bear.
    #[error("is a name that the product keeps for itself; give a person's name")]
    Reserved,
    /// A region inside itself.
    #[error("would put the region inside itself")]
    Cycle,
}

impl RecordError {
    /// Sorts what the database client said by what a caller can do about it.
    pub(super) fn from_database(error: sqlx::Error) -> RecordError {
        let fault = Fault::of(&error);
        let source = Cause::from(error);
        match fault {
            Fault::Busy => RecordError::Busy { source },
            Fault::Full => RecordError::Full { source },
            Fault::Reference | Fault::Other => RecordError::Database { source },
        }
    }

    /// Whether something stands twice that may stand once.
    pub(super) fn is_twice(error: &sqlx::Error) -> bool {
        error
            .as_database_error()
            .is_some_and(|error| error.is_unique_violation())
    }

    /// As [`RecordError::from_database`], where a broken reference means that `what` is missing.
    pub(super) fn from_reference(error: sqlx::Error, what: &'static str, id: &str) -> RecordError {
        match Fault::of(&error) {
            Fault::Reference => RecordError::Missing {
                what,
                id: id.to_owned(),
            },
            _ => RecordError::from_database(error),
        }
    }
}
