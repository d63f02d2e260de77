//! Channels: over what people are told. Their secrets are sealed before they are written, and opened only to send.

use domain::{
    UtcMillis,
    message::{ChannelKind, ChannelProblem, ChannelSecrets, ChannelSettings},
};

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};
use crate::Vault;

/// The most channels.
pub const MAX_CHANNELS: usize = 200;

/// The most characters of a channel's name, and of what is kept of its last result.
const MAX_NAME: usize = 60;
const MAX_SAID: usize = 300;

/// A channel, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, for people.
    pub name: String,
    /// Its kind.
    pub kind: ChannelKind,
    /// What it is set to.
    pub settings: ChannelSettings,
    /// Whether secrets are kept for it.
    pub has_secrets: bool,
    /// Whether anything is sent over it.
    pub enabled: bool,
    /// When something was last sent over it.
    pub tried_at: Option<UtcMillis>,
    /// Whether that worked.
    pub worked: Option<bool>,
    /// What was said when it did not. No secret is in it.
    pub said: String,
    /// Grows by one with every change of its settings.
    pub version: i64,
}

impl Records {
    /// Adds a channel, or changes the one of its name. Where no secrets are given, those that were kept stay. `version`
    /// is the one that the person saw, 0 for a new one.
    ///
    /// # Errors
    /// [`RecordError::Channel`] for settings that cannot work, and where secrets that are kept would go to another server, [`RecordError::Conflict`] when somebody else changed it,
    /// [`RecordError::Vault`] when the secrets cannot be sealed, [`RecordError::Invalid`] for an empty or over-long name
    /// (60 characters) or more than [`MAX_CHANNELS`].
    pub async fn put_channel(
        &self,
        channel: &Channel,
        secrets: Option<&ChannelSecrets>,
        vault: &Vault,
        actor: &str,
    ) -> Result<Channel, RecordError> {
        audit::check_actor("by", actor)?;
        check_line("name", &channel.name, MAX_NAME)?;
        let mut transaction = self.database.write().await?;
        let earlier = find(&mut transaction, &channel.name).await?;
        if earlier.as_ref().map_or(0, |c| c.version) != channel.version {
            return Err(RecordError::Conflict);
        }
        let kept = secrets.is_none()
            && earlier
                .as_ref()
                .is_some_and(|c| c.has_secrets && c.kind == channel.kind);
        // Whoever may change a channel must not learn its secrets by having them sent to a server of their own.
        let moved = |earlier: &Channel| !earlier.settings.same_place(&channel.settings);
        if kept && earlier.as_ref().is_some_and(moved) {
            return Err(RecordError::Channel {
                source: ChannelProblem::Elsewhere,
            });
        }
        let given = secrets.cloned().unwrap_or_default();
        let checked = channel.settings.check(channel.kind, &given, kept);
        checked.map_err(|source| RecordError::Channel { source })?;
        if earlier.is_none() {
            expect_room(&mut transaction).await?;
        }
        let sealed = match secrets {
            Some(secrets) => Some(seal(vault, &channel.name, secrets)?),
            None => None,
        };
        write(&mut transaction, channel, sealed, kept).await?;
        let line = Line {
            actor: actor.trim(),
            action: "channel.put",
            object: &object_of(&channel.name),
            detail: &format!(
                "{} enabled={} secrets={}",
                channel.kind.code(),
                channel.enabled,
                if secrets.is_some() { "given" } else { "kept" }
            ),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        let after = find(&mut transaction, &channel.name).await?;
        commit(transaction).await?;
        after.ok_or(RecordError::NotFound)
    }

    /// Removes a channel with its secrets.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is none, [`RecordError::InUse`] when a contact is told over it.
    pub async fn remove_channel(&self, name: &str, actor: &str) -> Result<(), RecordError> {
        audit::check_actor("by", actor)?;
        let mut transaction = self.database.write().await?;
        find(&mut transaction, name).await?.ok_or(RecordError::NotFound)?;
        let used: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM contacts WHERE channel = $1")
            .bind(name)
            .fetch_one(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        if used > 0 {
            return Err(RecordError::InUse {
                what: "channel",
                by: "a contact",
            });
        }
        sqlx::query("DELETE FROM channels WHERE name = $1")
            .bind(name)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let line = Line {
            actor: actor.trim(),
            action: "channel.remove",
            object: &object_of(name),
            detail: "",
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// Every channel, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels(&self) -> Result<Vec<Channel>, RecordError> {
        let rows = sqlx::query("SELECT * FROM channels ORDER BY name")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(channel_of).collect()
    }

    /// One channel; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel(&self, name: &str) -> Result<Option<Channel>, RecordError> {
        let row = sqlx::query("SELECT * FROM channels WHERE name = $1")
            .bind(name)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        row.as_ref().map(channel_of).transpose()
    }

    /// A channel's secrets, to send with. They are never shown to anybody.
    ///
    /// # Errors
    /// [`RecordError::Vault`] when they do not open with this vault.
    pub async fn channel_secrets(&self, name: &str, vault: &Vault) -> Result<ChannelSecrets, RecordError> {
        let sealed: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT sealed FROM channels WHERE name = $1")
                .bind(name)
                .fetch_optional(self.database.readers())
                .await
                .map_err(RecordError::from_database)?;
        let Some(sealed) = sealed.flatten() else {
            return Ok(ChannelSecrets::default());
        };
        let plain = vault.unseal(&sealed, &object_of(name));
        let plain = plain.map_err(|source| RecordError::Vault { source })?;
        // The cause would quote what was read.
        serde_json::from_slice(&plain).map_err(|_holds_the_secret| RecordError::Damaged {
            what: "secrets",
            key: name.to_owned(),
        })
    }

    /// Writes down how the last message over a channel fared; `said` is empty when it worked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_channel(&self, name: &str, worked: bool, said: &str) -> Result<(), RecordError> {
        let said: String = said.chars().take(MAX_SAID).collect();
        let mut transaction = self.database.write().await?;
        sqlx::query("UPDATE channels SET tried_ms = $2, worked = $3, said = $4 WHERE name = $1")
            .bind(name)
            .bind(self.clock.now().0)
            .bind(worked)
            .bind(said)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        commit(transaction).await
    }
}

/// Sealed for this channel: moved to another one's row they do not open.
fn seal(vault: &Vault, name: &str, secrets: &ChannelSecrets) -> Result<Vec<u8>, RecordError> {
    let plain = serde_json::to_vec(secrets).expect("secrets are JSON");
    vault
        .seal(&plain, &object_of(name))
        .map_err(|source| RecordError::Vault { source })
}

fn object_of(name: &str) -> String {
    format!("channel {name}")
}

async fn expect_room(transaction: &mut Transaction) -> Result<(), RecordError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM channels")
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    if usize::try_from(count).is_ok_and(|count| count < MAX_CHANNELS) {
        return Ok(());
    }
    Err(RecordError::Invalid {
        field: "channels",
        problem: Problem::TooMany { max: MAX_CHANNELS },
    })
}

/// What was kept stays where nothing new is given for the same kind; a channel of another kind begins without.
async fn write(
    transaction: &mut Transaction,
    channel: &Channel,
    sealed: Option<Vec<u8>>,
    kept: bool,
) -> Result<(), RecordError> {
    sqlx::query(
        "INSERT INTO channels (name, kind, settings, sealed, enabled, version) VALUES ($1, $2, $3, $4, $5, 1) \
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, settings = excluded.settings, \
           enabled = excluded.enabled, version = channels.version + 1, \
           sealed = CASE WHEN $6 THEN channels.sealed ELSE excluded.sealed END",
    )
    .bind(&channel.name)
    .bind(channel.kind.code())
    .bind(serde_json::to_string(&channel.settings).expect("settings are JSON"))
    .bind(sealed)
    .bind(channel.enabled)
    .bind(kept)
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}

async fn find(transaction: &mut Transaction, name: &str) -> Result<Option<Channel>, RecordError> {
    let row = sqlx::query("SELECT * FROM channels WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    row.as_ref().map(channel_of).transpose()
}

fn channel_of(row: &Row) -> Result<Channel, RecordError> {
    let fields = Fields::of(row, "name");
    Ok(Channel {
        name: fields.get("name")?,
        kind: fields.parsed("kind", ChannelKind::parse)?,
        settings: fields.parsed("settings", |text| serde_json::from_str(text).ok())?,
        has_secrets: fields.get::<Option<Vec<u8>>>("sealed")?.is_some(),
        enabled: fields.get("enabled")?,
        tried_at: fields.optional_moment("tried_ms")?,
        worked: fields.get("worked")?,
        said: fields.get("said")?,
        version: fields.get("version")?,
    })
}
