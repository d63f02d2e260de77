//! Profiles that operators wrote on the pages. A version is kept here first, then handed to the log, and holds from its
//! place there on.

use domain::{Profile, ProfileError, UtcMillis, profile::MAX_PROFILES};

use super::{
    Records,
    audit::{self, Line},
    database::{Row, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    shelves::MAX_WHY,
    text::check_line,
};

/// The most versions of one profile.
pub const MAX_PROFILE_VERSIONS: u32 = 1_000;

/// The most versions that a list answers with, newest first.
const MAX_LISTED: i64 = 200;

/// One version of an operator's profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnProfile {
    /// Its name.
    pub id: String,
    /// From 1.
    pub version: u32,
    /// Its text.
    pub text: String,
    /// Who wrote it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: UtcMillis,
    /// When it was handed to the log; `None` for the moment until it is.
    pub logged: Option<UtcMillis>,
}

/// A version to be kept.
#[derive(Debug, Clone, Copy)]
pub struct ProfileDraft<'a> {
    /// Its text, which names it.
    pub text: &'a str,
    /// The version that whoever wrote it began with; 0 for a new profile.
    pub version: u32,
    /// Who wrote it.
    pub by: &'a str,
    /// Why.
    pub why: &'a str,
}

impl Records {
    /// Keeps a version of a profile and answers with it as it is kept. Whether the name is one that operators may use
    /// is the caller's to know.
    ///
    /// # Errors
    /// [`RecordError::Profile`] when the text is no profile or changes the codec, [`RecordError::Conflict`] when
    /// somebody kept another version since, [`RecordError::Invalid`] for an empty or over-long name or reason, or when
    /// there are too many profiles or versions.
    pub async fn put_profile(&self, draft: ProfileDraft<'_>) -> Result<OwnProfile, RecordError> {
        audit::check_actor("by", draft.by)?;
        check_line("why", draft.why, MAX_WHY)?;
        let profile = Profile::parse(draft.text).map_err(|source| RecordError::Profile { source })?;
        let mut transaction = self.database.write().await?;
        let newest = sqlx::query("SELECT * FROM profiles WHERE id = $1 ORDER BY version DESC LIMIT 1")
            .bind(&profile.id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let newest = newest.as_ref().map(own_of).transpose()?;
        if newest.as_ref().map_or(0, |n| n.version) != draft.version {
            return Err(RecordError::Conflict);
        }
        let many: i64 = sqlx::query_scalar("SELECT COUNT(DISTINCT id) FROM profiles WHERE id <> $1")
            .bind(&profile.id)
            .fetch_one(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        expect_room(
            "profiles",
            usize::try_from(many).unwrap_or(usize::MAX),
            MAX_PROFILES / 2,
        )?;
        expect_room("versions", draft.version as usize, MAX_PROFILE_VERSIONS as usize)?;
        if let Some(newest) = newest {
            expect_same_codec(&newest, &profile)?;
        }
        let kept = OwnProfile {
            version: draft.version + 1,
            text: draft.text.to_owned(),
            by: draft.by.trim().to_owned(),
            why: draft.why.trim().to_owned(),
            at: self.clock.now(),
            logged: None,
            id: profile.id,
        };
        sqlx::query(
            "INSERT INTO profiles (id, version, text, by_name, why, at_ms) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&kept.id)
        .bind(i64::from(kept.version))
        .bind(&kept.text)
        .bind(&kept.by)
        .bind(&kept.why)
        .bind(kept.at.0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let (object, detail) = (
            format!("profile {}", kept.id),
            format!("version={}: {}", kept.version, kept.why),
        );
        let line = Line {
            actor: &kept.by,
            action: "profile.put",
            object: &object,
            detail: &detail,
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await?;
        Ok(kept)
    }

    /// The newest version of every profile, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn own_profiles(&self) -> Result<Vec<OwnProfile>, RecordError> {
        let rows = sqlx::query(
            "SELECT p.* FROM profiles p \
             WHERE p.version = (SELECT MAX(n.version) FROM profiles n WHERE n.id = p.id) ORDER BY p.id",
        )
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter().map(own_of).collect()
    }

    /// The versions of one profile, newest first; at most 200.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn profile_versions(&self, id: &str) -> Result<Vec<OwnProfile>, RecordError> {
        let rows = sqlx::query("SELECT * FROM profiles WHERE id = $1 ORDER BY version DESC LIMIT $2")
            .bind(id)
            .bind(MAX_LISTED)
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(own_of).collect()
    }

    /// The versions that have not been handed to the log, in the order in which they were written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unlogged_profiles(&self) -> Result<Vec<OwnProfile>, RecordError> {
        let rows = sqlx::query("SELECT * FROM profiles WHERE logged_ms IS NULL ORDER BY at_ms, id, version")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(own_of).collect()
    }

    /// Notes that a version is in the log from now on. Noting it twice changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn profile_logged(&self, of: &OwnProfile) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "UPDATE profiles SET logged_ms = $3 WHERE id = $1 AND version = $2 AND logged_ms IS NULL",
        )
        .bind(&of.id)
        .bind(i64::from(of.version))
        .bind(self.clock.now().0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        commit(transaction).await
    }
}

fn expect_room(field: &'static str, there: usize, max: usize) -> Result<(), RecordError> {
    if there < max {
        return Ok(());
    }
    Err(RecordError::Invalid {
        field,
        problem: Problem::TooMany { max },
    })
}

/// What topics mean, and which root a device speaks below, hangs on the codec: devices of this profile would be lost.
fn expect_same_codec(newest: &OwnProfile, profile: &Profile) -> Result<(), RecordError> {
    let before = Profile::parse(&newest.text).map(|p| p.codec);
    if before.is_ok_and(|codec| codec != profile.codec) {
        let line = profile
            .text
            .lines()
            .position(|l| l.trim_start().starts_with("codec"));
        let source = ProfileError {
            line: line.map_or(1, |at| at + 1),
            key: "codec".to_owned(),
            reason: "a profile keeps its codec, because devices speak by it; copy it under another name"
                .to_owned(),
        };
        return Err(RecordError::Profile { source });
    }
    Ok(())
}

fn own_of(row: &Row) -> Result<OwnProfile, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(OwnProfile {
        id: fields.get("id")?,
        version: fields.u32("version")?,
        text: fields.get("text")?,
        by: fields.get("by_name")?,
        why: fields.get("why")?,
        at: fields.moment("at_ms")?,
        logged: fields.optional_moment("logged_ms")?,
    })
}
