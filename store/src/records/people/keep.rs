//! Keeping accounts from the pages: nobody locks everybody out by doing so.

use domain::{FacilityId, Person, PersonId, Reach, Role, UtcMillis, duty::Contact};
use sqlx::Row as _;

use super::{check_password, check_person, hashed, person_of, write_password, write_person};
use crate::records::{
    Records, audit,
    database::{Transaction, commit},
    error::RecordError,
    fields::Fields,
};

/// A person, and how their account stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Who.
    pub person: Person,
    /// Whether they have a password at all.
    pub has_password: bool,
    /// Whether somebody else chose it, so that it holds for one sign-in.
    pub once: bool,
    /// Wrong passwords closed the account until then; perhaps that is over.
    pub locked_until: Option<UtcMillis>,
    /// When a session of theirs was last heard of; `None` when none is on record.
    pub seen_at: Option<UtcMillis>,
}

impl Records {
    /// Accounts in the order of their names, at most `limit`, those behind `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self, after: &str, limit: u32) -> Result<Vec<Account>, RecordError> {
        let rows = sqlx::query(
            "SELECT people.*, (SELECT MAX(seen_ms) FROM sessions WHERE sessions.person = people.id) AS seen_ms \
             FROM people WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter()
            .map(|row| {
                let fields = Fields::of(row, "id");
                Ok(Account {
                    person: person_of(row)?,
                    has_password: fields.get::<Option<String>>("password")?.is_some(),
                    once: fields.get::<i64>("once")? != 0,
                    locked_until: fields.optional_moment("locked_until_ms")?,
                    seen_at: fields.optional_moment("seen_ms")?,
                })
            })
            .collect()
    }

    /// Puts somebody on record with a password that holds for one sign-in.
    ///
    /// # Errors
    /// [`RecordError::PersonExists`], [`RecordError::LastAdministrator`] when the first one could not keep accounts, and
    /// as [`Records::put_person`] and [`Records::set_password`].
    pub async fn add_person(&self, person: &Person, password: &str, by: &str) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        check_person(person)?;
        check_password(password)?;
        let hash = hashed(password.to_owned()).await;
        let mut transaction = self.database.write().await?;
        if known(&mut transaction, &person.id).await? {
            return Err(RecordError::PersonExists {
                account: person.id.to_string(),
            });
        }
        let now = self.clock.now();
        write_person(&mut transaction, person, (by, now)).await?;
        write_password(&mut transaction, (&person.id, &hash, true), (by, now)).await?;
        expect_keeper(&mut transaction).await?;
        commit(transaction).await
    }

    /// Changes a person's name, role and reach, bars them or lets them in again.
    ///
    /// # Errors
    /// [`RecordError::NotFound`], [`RecordError::LastAdministrator`], and as [`Records::put_person`].
    pub async fn change_person(&self, person: &Person, by: &str) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        check_person(person)?;
        let mut transaction = self.database.write().await?;
        if !known(&mut transaction, &person.id).await? {
            return Err(RecordError::NotFound);
        }
        write_person(&mut transaction, person, (by, self.clock.now())).await?;
        expect_keeper(&mut transaction).await?;
        commit(transaction).await
    }

    /// Gives a person a password that holds for one sign-in, lifts a lock, and ends their sessions.
    ///
    /// # Errors
    /// As [`Records::set_password`].
    pub async fn set_password_once(
        &self,
        id: &PersonId,
        password: &str,
        by: &str,
    ) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        check_password(password)?;
        let hash = hashed(password.to_owned()).await;
        let mut transaction = self.database.write().await?;
        write_password(&mut transaction, (id, &hash, true), (by, self.clock.now())).await?;
        commit(transaction).await
    }
}

impl Records {
    /// Whether a contact may hear of a facility now: one that is a person must not be barred, and must see it. What waited
    /// for the end of quiet hours is not told to somebody who has left meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn may_hear(&self, contact: &Contact, facility: &FacilityId) -> Result<bool, RecordError> {
        let Some(id) = &contact.person else {
            return Ok(true);
        };
        let row = sqlx::query("SELECT * FROM people WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let Some(person) = row.as_ref().map(person_of).transpose()? else {
            return Ok(false);
        };
        Ok(!person.barred && self.scope_of(&person.reach).await?.allows(facility))
    }
}

async fn known(transaction: &mut Transaction, id: &PersonId) -> Result<bool, RecordError> {
    let row = sqlx::query("SELECT id FROM people WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(row.is_some())
}

/// Whether, after what this transaction did, somebody is left who may keep accounts.
async fn expect_keeper(transaction: &mut Transaction) -> Result<(), RecordError> {
    let everything = serde_json::to_string(&Reach::Everything).expect("a reach is JSON");
    let keepers: i64 = sqlx::query(
        "SELECT COUNT(*) FROM people WHERE barred = 0 AND password IS NOT NULL AND role = $1 AND reach = $2",
    )
    .bind(Role::Administrator.code())
    .bind(everything)
    .fetch_one(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?
    .get(0);
    match keepers {
        0 => Err(RecordError::LastAdministrator),
        _ => Ok(()),
    }
}
