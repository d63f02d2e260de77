//! Contacts: who is told of cases, over which channel, and what each wants to hear.

use std::{borrow::Cow, collections::BTreeMap};

use domain::{
    FacilityId, PersonId, RegionId,
    duty::{Contact, ContactId, DAY_MINUTES, MAX_REACH, MAX_SHIFTS, Reach, Span},
    message::ChannelKind,
    person,
};
use sqlx::Row as _;

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    error::{Problem, RecordError},
    fields::Fields,
    text::{check_free, check_line},
};

/// The most contacts.
pub const MAX_CONTACTS: usize = 2_000;

/// The most characters of a contact's name and address.
const MAX_NAME: usize = 60;
const MAX_ADDRESS: usize = 200;

impl Records {
    /// Adds a contact (number 0), or changes the one of its number. `version` is the one that the person saw, 0 for a new
    /// one.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when its channel is not set up, [`RecordError::Conflict`] when somebody else changed it,
    /// [`RecordError::NotFound`] when there is none of that number, [`RecordError::Invalid`] for a name or an address that
    /// is not acceptable, too many shifts, a span beyond the day, or more than [`MAX_CONTACTS`].
    pub async fn put_contact(
        &self,
        contact: &Contact,
        version: i64,
        actor: &str,
    ) -> Result<ContactId, RecordError> {
        audit::check_actor("by", actor)?;
        check(contact)?;
        let mut transaction = self.database.write().await?;
        let kind: Option<String> = sqlx::query_scalar("SELECT kind FROM channels WHERE name = $1")
            .bind(&contact.channel)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let kind = kind.and_then(|code| ChannelKind::parse(&code));
        let kind = kind.ok_or_else(|| RecordError::Missing {
            what: "channel",
            id: contact.channel.clone(),
        })?;
        if kind.needs_address() {
            check_line("address", &contact.address, MAX_ADDRESS)?;
        }
        check_person(&mut transaction, contact, kind).await?;
        let id = match contact.id {
            ContactId(0) => insert(&mut transaction, contact).await?,
            id => {
                change(&mut transaction, contact, version).await?;
                id
            }
        };
        let line = Line {
            actor: actor.trim(),
            action: "contact.put",
            object: &format!("contact {}", id.0),
            detail: &format!(
                "{} {} over {} enabled={}",
                contact.name,
                contact.step.code(),
                contact.channel,
                contact.enabled
            ),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(id)
    }

    /// Removes a contact. What waits for it is dropped.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is none of that number.
    pub async fn remove_contact(&self, id: ContactId, actor: &str) -> Result<(), RecordError> {
        audit::check_actor("by", actor)?;
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let done = sqlx::query("DELETE FROM contacts WHERE id = $1")
            .bind(id.0)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        if done.rows_affected() == 0 {
            return Err(RecordError::NotFound);
        }
        sqlx::query(
            "UPDATE outbox SET state = 'dropped', settled_ms = $2 WHERE contact = $1 AND state = 'waiting'",
        )
        .bind(id.0)
        .bind(now.0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let line = Line {
            actor: actor.trim(),
            action: "contact.remove",
            object: &format!("contact {}", id.0),
            detail: "",
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await
    }

    /// Every contact with its version, in the order of their numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contacts(&self) -> Result<Vec<(Contact, i64)>, RecordError> {
        let rows = sqlx::query("SELECT * FROM contacts ORDER BY id")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter()
            .map(|row| Ok((contact_of(row)?, row.get::<i64, _>("version"))))
            .collect()
    }

    /// The contacts that are this person, with their versions, in the order of their numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contacts_of_person(&self, person: &PersonId) -> Result<Vec<(Contact, i64)>, RecordError> {
        let rows = sqlx::query("SELECT * FROM contacts WHERE person = $1 ORDER BY id")
            .bind(person.as_str())
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter()
            .map(|row| Ok((contact_of(row)?, row.get::<i64, _>("version"))))
            .collect()
    }

    /// One contact; `None` when there is none of that number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contact(&self, id: ContactId) -> Result<Option<Contact>, RecordError> {
        let row = sqlx::query("SELECT * FROM contacts WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        row.as_ref().map(contact_of).transpose()
    }
}

fn check(contact: &Contact) -> Result<(), RecordError> {
    check_line("name", &contact.name, MAX_NAME)?;
    check_free("address", &contact.address, MAX_ADDRESS)?;
    let too_many = |field, max| {
        Err(RecordError::Invalid {
            field,
            problem: Problem::TooMany { max },
        })
    };
    if contact.shifts.len() > MAX_SHIFTS {
        return too_many("shifts", MAX_SHIFTS);
    }
    let reach = match &contact.reach {
        Reach::Everywhere => 1,
        Reach::Facilities(ids) => ids.len(),
        Reach::Regions(ids) => ids.len(),
    };
    if reach > MAX_REACH {
        return too_many("reach", MAX_REACH);
    }
    let spans = contact.shifts.iter().map(|shift| shift.span).chain(contact.quiet);
    let beyond = |span: Span| span.from >= DAY_MINUTES || span.to >= DAY_MINUTES;
    if spans.clone().any(beyond) || contact.digest_at >= DAY_MINUTES {
        return Err(RecordError::Invalid {
            field: "minute of the day",
            problem: Problem::TooLarge { max: 1_439 },
        });
    }
    Ok(())
}

async fn insert(transaction: &mut Transaction, contact: &Contact) -> Result<ContactId, RecordError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM contacts")
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    if usize::try_from(count).is_ok_and(|count| count >= MAX_CONTACTS) {
        return Err(RecordError::Invalid {
            field: "contacts",
            problem: Problem::TooMany { max: MAX_CONTACTS },
        });
    }
    let id: i64 =
        sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = 'contacts' RETURNING value")
            .fetch_one(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    let numbered = Contact {
        id: ContactId(id),
        ..contact.clone()
    };
    sqlx::query(
        "INSERT INTO contacts (id, channel, enabled, settings, person, version) VALUES ($1, $2, $3, $4, $5, 1)",
    )
    .bind(id)
    .bind(&numbered.channel)
    .bind(numbered.enabled)
    .bind(serde_json::to_string(&numbered).expect("a contact is JSON"))
    .bind(numbered.person.as_ref().map(PersonId::as_str))
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(numbered.id)
}

async fn change(transaction: &mut Transaction, contact: &Contact, version: i64) -> Result<(), RecordError> {
    let earlier: Option<i64> = sqlx::query_scalar("SELECT version FROM contacts WHERE id = $1")
        .bind(contact.id.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    if earlier.ok_or(RecordError::NotFound)? != version {
        return Err(RecordError::Conflict);
    }
    sqlx::query(
        "UPDATE contacts SET channel = $2, enabled = $3, settings = $4, person = $5, version = version + 1 \
         WHERE id = $1",
    )
    .bind(contact.id.0)
    .bind(&contact.channel)
    .bind(contact.enabled)
    .bind(serde_json::to_string(contact).expect("a contact is JSON"))
    .bind(contact.person.as_ref().map(PersonId::as_str))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}

/// A person must be on record, and browsers are notified for a person only.
async fn check_person(
    transaction: &mut Transaction,
    contact: &Contact,
    kind: ChannelKind,
) -> Result<(), RecordError> {
    let Some(person) = &contact.person else {
        let needed = kind == ChannelKind::Push;
        return match needed {
            true => Err(RecordError::Invalid {
                field: "person",
                problem: Problem::Empty,
            }),
            false => Ok(()),
        };
    };
    let known: Option<String> = sqlx::query_scalar("SELECT id FROM people WHERE id = $1")
        .bind(person.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    known.map(drop).ok_or_else(|| RecordError::Missing {
        what: "person",
        id: person.to_string(),
    })
}

/// Contacts that may be told something now.
#[derive(Debug)]
pub(super) struct Listeners {
    contacts: Vec<Contact>,
    /// How far those see who are persons.
    reaches: BTreeMap<ContactId, person::Reach>,
    /// The kinds of their channels.
    pub(super) kinds: BTreeMap<String, ChannelKind>,
}

impl Listeners {
    /// Those who may hear of this facility: a person hears of nothing that they may not see.
    pub(super) fn of(&self, facility: &FacilityId, regions: &[RegionId]) -> Cow<'_, [Contact]> {
        let sees = |c: &Contact| {
            self.reaches
                .get(&c.id)
                .is_none_or(|r| r.covers(facility, regions))
        };
        match self.contacts.iter().all(sees) {
            true => Cow::Borrowed(&self.contacts),
            false => self.contacts.iter().filter(|c| sees(c)).cloned().collect(),
        }
    }
}

/// Contacts that may be told something now: switched on, over a channel that is, and not barred.
pub(super) async fn listeners(transaction: &mut Transaction) -> Result<Listeners, RecordError> {
    let rows = sqlx::query(
        "SELECT contacts.id AS id, contacts.settings AS settings, channels.name AS name, channels.kind AS kind, \
           people.reach AS reach \
         FROM contacts JOIN channels ON channels.name = contacts.channel \
         LEFT JOIN people ON people.id = contacts.person \
         WHERE contacts.enabled AND channels.enabled AND (people.barred IS NULL OR people.barred = 0) \
         ORDER BY contacts.id",
    )
    .fetch_all(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    let mut found = Listeners {
        contacts: Vec::with_capacity(rows.len()),
        reaches: BTreeMap::new(),
        kinds: BTreeMap::new(),
    };
    for row in &rows {
        let fields = Fields::of(row, "id");
        let contact = contact_of(row)?;
        if fields.get::<Option<String>>("reach")?.is_some() {
            let reach = fields.parsed("reach", |text| serde_json::from_str(text).ok())?;
            found.reaches.insert(contact.id, reach);
        }
        found.contacts.push(contact);
        let kind = fields.parsed("kind", ChannelKind::parse)?;
        found.kinds.insert(fields.get("name")?, kind);
    }
    Ok(found)
}

fn contact_of(row: &Row) -> Result<Contact, RecordError> {
    Fields::of(row, "id").parsed("settings", |text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_of_an_earlier_version_is_nobodys_account() {
        let text = r#"{"id":3,"name":"duty","language":"zh-CN","step":"duty","reach":"everywhere","channel":"c",
                       "address":"","least":"P4","quiet":null,"digest":null,"digest_at":480,"shifts":[],"enabled":true}"#;
        let contact: Contact = serde_json::from_str(text).unwrap();
        assert_eq!((contact.id, contact.person), (ContactId(3), None));
    }
}
