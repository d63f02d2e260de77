//! Records: what people enter and must be able to prove. Regions, facilities, people, points, identities, claims,
//! cameras, their findings and what they are taught with, cases, who is told of them, the engine's snapshot and the
//! audit trail, in one SQL
//! database.
//!
//! SQLite now; the queries are SQL that PostgreSQL shares (`records/database.rs` says what is not). Another
//! process may read and write the same file at the same time: a command-line tool that adds a device is
//! seen by the running server, which polls [`Records::directory_version`].
//!
//! - A write is one transaction that takes the write lock at its beginning and is on disk when it returns.
//! - A read of anything that belongs to a facility takes the caller's [`domain::Scope`]. What lies outside
//!   it does not exist for that caller.
//! - No type of the database client crosses this module's surface, not even in errors.

mod audit;
mod cameras;
mod cases;
mod channels;
mod claims;
mod database;
mod directory;
mod duty;
mod error;
mod facilities;
mod fields;
mod findings;
mod gateways;
mod identities;
mod letters;
mod outbox;
mod own_profiles;
mod people;
mod points;
mod practice;
mod profiles;
mod push;
mod regions;
mod rule_changes;
mod shelves;
mod snapshot;
mod teaching;
mod text;

use std::path::Path;

use domain::Clock;

pub use audit::{AuditEntry, MAX_TRAIL};
pub use cameras::{MAX_CAMERAS, camera_points};
pub use cases::{
    CaseAct, CaseAction, CaseCounts, CaseFilter, CaseWrite, MAX_CASES, MAX_COMMENT, MAX_MEASURE, NewCase,
    SYSTEM,
};
pub use channels::{Channel, MAX_CHANNELS};
pub use claims::{CLAIM_LIFE_MS, Claim, Claimed, ClaimedSecret};
pub use duty::MAX_CONTACTS;
pub use error::{Cause, Problem, RecordError};
pub use findings::{
    CheckPrecision, Finding, FindingFilter, FindingId, MAX_FINDING_EVIDENCE, MAX_FINDINGS, MAX_UNCONFIRMED,
    Review, ReviewState, Reviewed, Verdict,
};
pub use letters::{DeadLetter, ForwardGap, LetterCounts, MAX_LETTERS};
pub use outbox::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryState, MAX_DELIVERIES, OutboxCounts, OutboxState, Outcome,
};
pub use own_profiles::{MAX_PROFILE_VERSIONS, OwnProfile, ProfileDraft};
pub use people::{
    Account, MAX_PEOPLE, MAX_PERSON_NAME, MAX_REACH, PASSWORD_BYTES, SESSION_IDLE_MS, SESSION_LONGEST_MS,
    SessionToken, SignIn,
};
pub use practice::Practice;
pub use profiles::{MAX_ONBOARD, NewDevice, fresh_secret};
pub use push::{MAX_SUBSCRIPTIONS, NewSubscription, Subscription, SubscriptionId};
pub use shelves::{MAX_SHELVES, MAX_WHY};
pub use snapshot::EngineSnapshot;
pub use teaching::{
    Crop, CropFilter, CropId, HeadKey, MAX_CROP_BYTES, MAX_CROPS, MAX_EMBEDDING, MAX_HEAD_BYTES, NewCrop,
    StoredHead,
};

pub(crate) use text::problem_of_line;

use database::{Database, commit};

/// The record store. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct Records {
    database: Database,
    clock: Clock,
    practice: Practice,
}

impl Records {
    /// Opens the store at `path`, makes it if it is missing (readable by its owner only), and brings its
    /// schema up to date. `clock` dates the audit trail and revocations.
    ///
    /// # Errors
    /// [`RecordError::Open`] when the file cannot be opened, [`RecordError::Schema`] when a newer version of
    /// the product wrote it.
    pub async fn open(path: &Path, clock: Clock) -> Result<Records, RecordError> {
        Ok(Records {
            database: Database::open(path).await?,
            clock,
            practice: Practice::default(),
        })
    }

    /// The same store, where cases are dealt with as `practice` says.
    #[must_use]
    pub fn practising(mut self, practice: Practice) -> Records {
        self.practice = practice;
        self
    }

    /// How cases are dealt with here.
    #[must_use]
    pub fn practice(&self) -> &Practice {
        &self.practice
    }

    /// Waits for running calls and closes the file. Later calls fail.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Ok when the database answers and can be written: the lock is free, the disk has room.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn ping(&self) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'ping'")
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        commit(transaction).await
    }
}
