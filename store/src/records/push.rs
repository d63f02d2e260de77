//! Browsers that asked to be notified, by person.

use domain::{PersonId, UtcMillis};

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    error::RecordError,
    fields::Fields,
    text::check_line,
};

/// The most browsers of one person; the oldest makes room.
pub const MAX_SUBSCRIPTIONS: i64 = 10;

/// The most characters of an endpoint, of a key, of a label, and of what is kept of a last result.
const MAX_ENDPOINT: usize = 1_000;
const MAX_KEY: usize = 120;
const MAX_LABEL: usize = 80;
const MAX_SAID: usize = 300;

/// A subscription's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(pub i64);

/// What a browser gives a site that may notify it.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSubscription {
    /// Its address at its maker's push service: whoever knows it and holds our key can send there.
    pub endpoint: String,
    /// Its public key, Base64 for addresses.
    pub p256dh: String,
    /// Its shared secret, the same.
    pub auth: String,
    /// What people know the browser by.
    pub label: String,
}

impl std::fmt::Debug for NewSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSubscription")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// A browser that is notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its number.
    pub id: SubscriptionId,
    /// Whose.
    pub person: PersonId,
    /// What it gave.
    pub given: NewSubscription,
    /// When it asked.
    pub made_at: UtcMillis,
    /// When something was last sent to it.
    pub tried_at: Option<UtcMillis>,
    /// Whether that worked.
    pub worked: Option<bool>,
    /// What was said when it did not.
    pub said: String,
}

impl Records {
    /// Keeps a browser's subscription for a person. The same endpoint again replaces the earlier one, whose ever it was:
    /// a browser is notified for whoever signed in last. `by` is the name for the audit trail.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] for what is empty or too long, [`RecordError::Missing`] for an unknown person.
    pub async fn add_subscription(
        &self,
        person: &PersonId,
        given: &NewSubscription,
        by: &str,
    ) -> Result<SubscriptionId, RecordError> {
        audit::check_actor("by", by)?;
        check_line("endpoint", &given.endpoint, MAX_ENDPOINT)?;
        check_line("p256dh", &given.p256dh, MAX_KEY)?;
        check_line("auth", &given.auth, MAX_KEY)?;
        check_line("label", &given.label, MAX_LABEL)?;
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let known: Option<String> = sqlx::query_scalar("SELECT id FROM people WHERE id = $1")
            .bind(person.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        known.ok_or_else(|| RecordError::Missing {
            what: "person",
            id: person.to_string(),
        })?;
        let id = insert(&mut transaction, person, given, now).await?;
        sqlx::query(
            "DELETE FROM push_subscriptions WHERE person = $1 AND id NOT IN \
               (SELECT id FROM push_subscriptions WHERE person = $1 ORDER BY id DESC LIMIT $2)",
        )
        .bind(person.as_str())
        .bind(MAX_SUBSCRIPTIONS)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let line = Line {
            actor: by,
            action: "push.subscribe",
            object: person.as_str(),
            detail: &given.label,
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await?;
        Ok(id)
    }

    /// The browsers of a person, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscriptions(&self, person: &PersonId) -> Result<Vec<Subscription>, RecordError> {
        let rows = sqlx::query("SELECT * FROM push_subscriptions WHERE person = $1 ORDER BY id DESC")
            .bind(person.as_str())
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(subscription_of).collect()
    }

    /// Forgets a browser of this person.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when they have none of that number.
    pub async fn remove_subscription(
        &self,
        person: &PersonId,
        id: SubscriptionId,
        by: &str,
    ) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        let mut transaction = self.database.write().await?;
        let done = sqlx::query("DELETE FROM push_subscriptions WHERE id = $1 AND person = $2")
            .bind(id.0)
            .bind(person.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        if done.rows_affected() == 0 {
            return Err(RecordError::NotFound);
        }
        let line = Line {
            actor: by,
            action: "push.unsubscribe",
            object: person.as_str(),
            detail: "",
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// Writes down how a message to a browser fared; `None` when its push service says that it is gone: it is
    /// forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_subscription(
        &self,
        id: SubscriptionId,
        fared: Option<(bool, &str)>,
    ) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        let query = match fared {
            None => sqlx::query("DELETE FROM push_subscriptions WHERE id = $1").bind(id.0),
            Some((worked, said)) => {
                let said: String = said.chars().take(MAX_SAID).collect();
                sqlx::query(
                    "UPDATE push_subscriptions SET tried_ms = $2, worked = $3, said = $4 WHERE id = $1",
                )
                .bind(id.0)
                .bind(self.clock.now().0)
                .bind(worked)
                .bind(said)
            }
        };
        query
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        commit(transaction).await
    }
}

async fn insert(
    transaction: &mut Transaction,
    person: &PersonId,
    given: &NewSubscription,
    now: UtcMillis,
) -> Result<SubscriptionId, RecordError> {
    sqlx::query("DELETE FROM push_subscriptions WHERE endpoint = $1")
        .bind(&given.endpoint)
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    let id: i64 = sqlx::query_scalar(
        "UPDATE counters SET value = value + 1 WHERE name = 'subscriptions' RETURNING value",
    )
    .fetch_one(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    sqlx::query(
        "INSERT INTO push_subscriptions (id, person, endpoint, p256dh, auth, label, made_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(id)
    .bind(person.as_str())
    .bind(&given.endpoint)
    .bind(&given.p256dh)
    .bind(&given.auth)
    .bind(&given.label)
    .bind(now.0)
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(SubscriptionId(id))
}

fn subscription_of(row: &Row) -> Result<Subscription, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Subscription {
        id: SubscriptionId(fields.get("id")?),
        person: fields.id("person")?,
        given: NewSubscription {
            endpoint: fields.get("endpoint")?,
            p256dh: fields.get("p256dh")?,
            auth: fields.get("auth")?,
            label: fields.get("label")?,
        },
        made_at: fields.moment("made_ms")?,
        tried_at: fields.optional_moment("tried_ms")?,
        worked: fields.get("worked")?,
        said: fields.get("said")?,
    })
}
