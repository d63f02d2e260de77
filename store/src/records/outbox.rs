//! The outbox: what people are to be told, written in the transaction of what is told, and kept until it is delivered.

mod list;
mod tell;

use domain::{
    CaseId, FacilityId, UtcMillis,
    duty::ContactId,
    message::{NoticeKind, Said},
};

use super::{
    Records,
    database::{Builder, Row, Transaction, commit},
    error::RecordError,
    fields::Fields,
};

pub use list::{DeliveryFilter, MAX_DELIVERIES, OutboxCounts, OutboxState};
pub(super) use tell::{News, Teller};

/// The most characters that are kept of why a delivery failed.
const MAX_ERROR: usize = 300;

/// How long what was delivered or dropped stays on the list, and what was not, in milliseconds.
const KEEP_MS: i64 = 30 * 86_400_000;
const KEEP_DEAD_MS: i64 = 365 * 86_400_000;

/// A delivery's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub i64);

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It is to be sent when it is due.
    Waiting,
    /// It was taken by the channel.
    Sent,
    /// It was given up; somebody may have it sent again.
    Dead,
    /// It is no longer needed.
    Dropped,
    /// Nobody is set up to hear it.
    Unheard,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [DeliveryState; 5] = [
        DeliveryState::Waiting,
        DeliveryState::Sent,
        DeliveryState::Dead,
        DeliveryState::Dropped,
        DeliveryState::Unheard,
    ];

    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            DeliveryState::Waiting => "waiting",
            DeliveryState::Sent => "sent",
            DeliveryState::Dead => "dead",
            DeliveryState::Dropped => "dropped",
            DeliveryState::Unheard => "unheard",
        }
    }

    /// Reads [`DeliveryState::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<DeliveryState> {
        DeliveryState::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// One message to one contact.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its number: later ones have higher ones.
    pub id: DeliveryId,
    /// Its idempotency key: the same for every attempt, and never another delivery's.
    pub name: String,
    /// The case it is about.
    pub case: CaseId,
    /// Where.
    pub facility: FacilityId,
    /// What it tells.
    pub kind: NoticeKind,
    /// To whom; `None` where nobody was there to hear.
    pub contact: Option<ContactId>,
    /// Over which channel.
    pub channel: Option<String>,
    /// Where it stands.
    pub state: DeliveryState,
    /// Whether it is gathered with others into one message.
    pub digest: bool,
    /// When it was written.
    pub created_at: UtcMillis,
    /// When it is to be sent, at the earliest.
    pub due_at: UtcMillis,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was sent, given up or dropped.
    pub settled_at: Option<UtcMillis>,
    /// Why the last attempt failed; empty when none did.
    pub error: String,
    /// The notice itself.
    pub said: Said,
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The channel took it.
    Sent,
    /// It failed, and is to be tried again.
    Retry {
        /// When, at the earliest.
        at: UtcMillis,
        /// Why it failed. No secret is in it.
        error: String,
    },
    /// It failed, and is given up.
    Dead {
        /// Why. No secret is in it.
        error: String,
    },
    /// It is no longer needed.
    Dropped,
}

impl Records {
    /// The channels over which something is to be sent now, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_channels(&self) -> Result<Vec<String>, RecordError> {
        sqlx::query_scalar(
            "SELECT DISTINCT channel FROM outbox WHERE state = 'waiting' AND due_ms <= $1 AND channel IS NOT NULL \
             ORDER BY channel LIMIT 500",
        )
        .bind(self.clock.now().0)
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)
    }

    /// What is to be sent over a channel now, the oldest first; at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_deliveries(&self, channel: &str, limit: u32) -> Result<Vec<Delivery>, RecordError> {
        let rows = sqlx::query(
            "SELECT * FROM outbox WHERE channel = $1 AND state = 'waiting' AND due_ms <= $2 ORDER BY id LIMIT $3",
        )
        .bind(channel)
        .bind(self.clock.now().0)
        .bind(i64::from(limit.min(MAX_DELIVERIES)))
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter().map(delivery_of).collect()
    }

    /// When the next delivery is due; `None` when nothing waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_delivery(&self) -> Result<Option<UtcMillis>, RecordError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT MIN(due_ms) FROM outbox WHERE state = 'waiting'")
            .fetch_one(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        Ok(at.map(UtcMillis))
    }

    /// Writes down what became of an attempt with these deliveries. One that is no longer waiting stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_deliveries(&self, ids: &[DeliveryId], outcome: &Outcome) -> Result<(), RecordError> {
        let now = self.clock.now();
        let (state, due, settled, error) = match outcome {
            Outcome::Sent => (DeliveryState::Sent, None, Some(now), ""),
            Outcome::Retry { at, error } => (DeliveryState::Waiting, Some(*at), None, error.as_str()),
            Outcome::Dead { error } => (DeliveryState::Dead, None, Some(now), error.as_str()),
            Outcome::Dropped => (DeliveryState::Dropped, None, Some(now), ""),
        };
        let error: String = error.chars().take(MAX_ERROR).collect();
        let mut transaction = self.database.write().await?;
        for id in ids {
            sqlx::query(
                "UPDATE outbox SET state = $2, due_ms = COALESCE($3, due_ms), settled_ms = $4, error = $5, \
                   attempts = attempts + 1 WHERE id = $1 AND state = 'waiting'",
            )
            .bind(id.0)
            .bind(state.code())
            .bind(due.map(|at| at.0))
            .bind(settled.map(|at| at.0))
            .bind(&error)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        }
        commit(transaction).await
    }

    /// Forgets deliveries that were settled long ago: 30 days, or a year for those that were given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_outbox(&self) -> Result<u64, RecordError> {
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let done = sqlx::query(
            "DELETE FROM outbox WHERE (state IN ('sent', 'dropped') AND settled_ms < $1) \
               OR (state = 'unheard' AND created_ms < $1) OR (state = 'dead' AND settled_ms < $2)",
        )
        .bind((now - KEEP_MS).0)
        .bind((now - KEEP_DEAD_MS).0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        commit(transaction).await?;
        Ok(done.rows_affected())
    }
}

/// Drops what is still to be told of the opening of a case that became a part of another one.
pub(super) async fn drop_waiting(
    transaction: &mut Transaction,
    case: CaseId,
    now: UtcMillis,
) -> Result<(), RecordError> {
    sqlx::query(
        "UPDATE outbox SET state = 'dropped', settled_ms = $2 WHERE case_id = $1 AND state = 'waiting'",
    )
    .bind(case.0)
    .bind(now.0)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}

fn delivery_of(row: &Row) -> Result<Delivery, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Delivery {
        id: DeliveryId(fields.get("id")?),
        name: fields.get("name")?,
        case: CaseId(fields.get("case_id")?),
        facility: fields.id("facility")?,
        kind: fields.parsed("kind", NoticeKind::parse)?,
        contact: fields.get::<Option<i64>>("contact")?.map(ContactId),
        channel: fields.get("channel")?,
        state: fields.parsed("state", DeliveryState::parse)?,
        digest: fields.get("digest")?,
        created_at: fields.moment("created_ms")?,
        due_at: fields.moment("due_ms")?,
        attempts: fields.u32("attempts")?,
        settled_at: fields.optional_moment("settled_ms")?,
        error: fields.get("error")?,
        said: fields.parsed("said", |text| serde_json::from_str(text).ok())?,
    })
}

/// Everything that a list of deliveries may be narrowed by begins with this.
fn select() -> Builder {
    Builder::new("SELECT * FROM outbox WHERE id < ")
}
