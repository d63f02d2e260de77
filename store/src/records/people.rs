//! People and their sessions: who may sign in, and who has.

mod keep;

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::SaltString,
};
use domain::{FacilityId, Person, PersonId, Principal, Reach, Role, Scope, UtcMillis};
use sha2::{Digest, Sha256};
use sqlx::Row as _;

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};

pub use keep::Account;

/// The most characters of a person's name.
pub const MAX_PERSON_NAME: usize = 60;

/// The fewest and the most bytes of a password.
pub const PASSWORD_BYTES: (usize, usize) = (10, 256);

/// The most people.
pub const MAX_PEOPLE: i64 = 10_000;

/// The most facilities that one person's reach may list.
pub const MAX_REACH: usize = 500;

/// A session ends when nothing was heard of it for so long, in milliseconds: a shift.
pub const SESSION_IDLE_MS: i64 = 12 * 3_600_000;

/// A session ends so long after its beginning in any case, in milliseconds: a week.
pub const SESSION_LONGEST_MS: i64 = 7 * 24 * 3_600_000;

/// That a session was heard is written down at most so often, in milliseconds.
const SEEN_STEP_MS: i64 = 60_000;

/// The most sessions of one person; the oldest makes room.
const MAX_SESSIONS: i64 = 20;

/// After so many wrong passwords in a row none is looked at for [`LOCK_MS`].
const MAX_FAILURES: i64 = 10;

/// How long, in milliseconds: a quarter of an hour.
const LOCK_MS: i64 = 15 * 60_000;

/// What hashing a password costs: 19 MiB, two passes (OWASP's least for Argon2id).
const MEMORY_KIB: u32 = 19 * 1_024;
const PASSES: u32 = 2;

/// What a browser keeps to stay signed in. Only its hash is on record.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(String);

impl SessionToken {
    /// The token as text: 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// What came of an attempt to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignIn {
    /// Signed in.
    Done(SessionToken),
    /// No such person, a wrong password, or barred: the three cannot be told apart.
    Refused,
    /// Too many wrong passwords: none is looked at before this moment.
    Locked {
        /// Until when.
        until: UtcMillis,
    },
}

impl Records {
    /// Adds a person, or changes the one of this identifier; the password stays as it is. Barring somebody ends
    /// their sessions. `by` is the name for the audit trail.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] for an empty or over-long name, a reach of too many facilities, or one person too many.
    pub async fn put_person(&self, person: &Person, by: &str) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        check_person(person)?;
        let mut transaction = self.database.write().await?;
        write_person(&mut transaction, person, (by, self.clock.now())).await?;
        commit(transaction).await
    }

    /// Gives a person a new password, lifts a lock, and ends their sessions. Takes some tens of milliseconds of a
    /// blocking thread.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] for a password that is too short or too long, [`RecordError::NotFound`] when there is no
    /// such person.
    pub async fn set_password(&self, id: &PersonId, password: &str, by: &str) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        check_password(password)?;
        let hash = hashed(password.to_owned()).await;
        let mut transaction = self.database.write().await?;
        write_password(&mut transaction, (id, &hash, false), (by, self.clock.now())).await?;
        commit(transaction).await
    }

    /// Everybody, in the order of their identifiers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn people(&self) -> Result<Vec<Person>, RecordError> {
        let rows = sqlx::query("SELECT * FROM people ORDER BY id")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(person_of).collect()
    }

    /// Whether anybody could sign in at all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_people(&self) -> Result<bool, RecordError> {
        let one = sqlx::query("SELECT id FROM people WHERE barred = 0 AND password IS NOT NULL LIMIT 1")
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        Ok(one.is_some())
    }

    /// Signs somebody in. Takes the same time whether there is such a person or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_in(&self, id: &str, password: &str) -> Result<SignIn, RecordError> {
        let row = sqlx::query("SELECT * FROM people WHERE id = $1")
            .bind(id)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let now = self.clock.now();
        let (known, locked_until) = match &row {
            None => (None, None),
            Some(row) => {
                let fields = Fields::of(row, "id");
                let person = person_of(row)?;
                let hash: Option<String> = fields.get("password")?;
                (
                    hash.filter(|_| !person.barred).map(|hash| (person, hash)),
                    fields.optional_moment("locked_until_ms")?,
                )
            }
        };
        if let Some(until) = locked_until.filter(|until| *until > now) {
            return Ok(SignIn::Locked { until });
        }
        let hash = known.as_ref().map(|(_, hash)| hash.clone());
        let right = is_right(password.to_owned(), hash).await;
        match known {
            Some((person, _)) if right => self.begin_session(&person, now).await.map(SignIn::Done),
            Some((person, _)) => self.note_failure(&person.id, now).await.map(|()| SignIn::Refused),
            None => Ok(SignIn::Refused),
        }
    }

    /// Who holds this session, and what they see now; `None` when it has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, token: &str) -> Result<Option<Principal>, RecordError> {
        let hash = token_hash(token);
        let row = sqlx::query(
            "SELECT people.*, sessions.begun_ms, sessions.seen_ms FROM sessions \
             JOIN people ON people.id = sessions.person WHERE token_hash = $1 AND barred = 0",
        )
        .bind(&hash)
        .fetch_optional(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        let Some(row) = row else { return Ok(None) };
        let fields = Fields::of(&row, "id");
        let (begun, seen): (i64, i64) = (fields.get("begun_ms")?, fields.get("seen_ms")?);
        let now = self.clock.now();
        if now.0 - seen > SESSION_IDLE_MS || now.0 - begun > SESSION_LONGEST_MS {
            return Ok(None);
        }
        if now.0 - seen > SEEN_STEP_MS {
            let mut transaction = self.database.write().await?;
            sqlx::query("UPDATE sessions SET seen_ms = $2 WHERE token_hash = $1")
                .bind(&hash)
                .bind(now.0)
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
            commit(transaction).await?;
        }
        let person = person_of(&row)?;
        Ok(Some(Principal {
            scope: self.scope_of(&person.reach).await?,
            person: person.id,
            name: person.name,
            role: person.role,
            must_choose_password: fields.get::<i64>("once")? != 0,
        }))
    }

    /// Ends a session. One that has ended already is no error.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, token: &str) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM sessions WHERE token_hash = $1")
            .bind(token_hash(token))
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        commit(transaction).await
    }

    /// The facilities within a reach, as they are now.
    async fn scope_of(&self, reach: &Reach) -> Result<Scope, RecordError> {
        let region = match reach {
            Reach::Everything => return Ok(Scope::everything()),
            Reach::Facilities(these) => return Ok(Scope::facilities(these.iter().cloned())),
            Reach::Region(region) => region,
        };
        let ids: Vec<String> = sqlx::query_scalar(
            "WITH RECURSIVE inside (id) AS (SELECT id FROM regions WHERE id = $1 \
               UNION SELECT regions.id FROM regions JOIN inside ON regions.parent = inside.id) \
             SELECT facilities.id FROM facilities JOIN inside ON facilities.region = inside.id",
        )
        .bind(region.as_str())
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        Ok(Scope::facilities(
            ids.iter().filter_map(|id| FacilityId::new(id).ok()),
        ))
    }

    async fn begin_session(&self, person: &Person, now: UtcMillis) -> Result<SessionToken, RecordError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).expect("the system gives random numbers");
        let token = SessionToken(hex::encode(bytes));
        let mut transaction = self.database.write().await?;
        for (statement, moment) in [
            ("DELETE FROM sessions WHERE seen_ms < $1", now.0 - SESSION_IDLE_MS),
            (
                "DELETE FROM sessions WHERE begun_ms < $1",
                now.0 - SESSION_LONGEST_MS,
            ),
        ] {
            sqlx::query(statement)
                .bind(moment)
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        }
        sqlx::query(
            "DELETE FROM sessions WHERE person = $1 AND token_hash NOT IN \
               (SELECT token_hash FROM sessions WHERE person = $1 ORDER BY seen_ms DESC LIMIT $2)",
        )
        .bind(person.id.as_str())
        .bind(MAX_SESSIONS - 1)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        sqlx::query("INSERT INTO sessions (token_hash, person, begun_ms, seen_ms) VALUES ($1, $2, $3, $3)")
            .bind(token_hash(token.as_str()))
            .bind(person.id.as_str())
            .bind(now.0)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        sqlx::query("UPDATE people SET failures = 0, locked_until_ms = NULL WHERE id = $1")
            .bind(person.id.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let line = Line {
            actor: &person.name,
            action: "person.sign_in",
            object: person.id.as_str(),
            detail: "",
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await?;
        Ok(token)
    }

    async fn note_failure(&self, id: &PersonId, now: UtcMillis) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        let failures: i64 =
            sqlx::query("UPDATE people SET failures = failures + 1 WHERE id = $1 RETURNING failures")
                .bind(id.as_str())
                .fetch_one(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?
                .get(0);
        if failures >= MAX_FAILURES {
            sqlx::query("UPDATE people SET failures = 0, locked_until_ms = $2 WHERE id = $1")
                .bind(id.as_str())
                .bind(now.0 + LOCK_MS)
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
            let line = Line {
                actor: super::SYSTEM,
                action: "person.lock",
                object: id.as_str(),
                detail: "too many wrong passwords",
            };
            audit::write(&mut transaction, now, &line).await?;
        }
        commit(transaction).await
    }
}

fn check_person(person: &Person) -> Result<(), RecordError> {
    check_line("name", &person.name, MAX_PERSON_NAME)?;
    check_reach(&person.reach)
}

fn check_password(password: &str) -> Result<(), RecordError> {
    let (least, most) = PASSWORD_BYTES;
    if password.len() < least || password.len() > most {
        return Err(RecordError::Invalid {
            field: "password",
            problem: Problem::Length { least, most },
        });
    }
    Ok(())
}

/// Writes a person, and ends their sessions where they are barred. `by` and `now` are for the audit trail.
async fn write_person(
    transaction: &mut Transaction,
    person: &Person,
    (by, now): (&str, UtcMillis),
) -> Result<(), RecordError> {
    let reach = serde_json::to_string(&person.reach).expect("a reach is JSON");
    check_room(transaction, person).await?;
    sqlx::query(
        "INSERT INTO people (id, name, role, reach, barred) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, reach = excluded.reach, \
           barred = excluded.barred",
    )
    .bind(person.id.as_str())
    .bind(&person.name)
    .bind(person.role.code())
    .bind(&reach)
    .bind(i64::from(person.barred))
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    if person.barred {
        end_sessions(transaction, &person.id).await?;
    }
    let detail = format!(
        "{} {reach}{}",
        person.role.code(),
        if person.barred { " barred" } else { "" }
    );
    let line = Line {
        actor: by,
        action: "person.put",
        object: person.id.as_str(),
        detail: &detail,
    };
    audit::write(transaction, now, &line).await
}

/// Writes the hash of a new password, which holds once where somebody else chose it, and ends the person's sessions.
async fn write_password(
    transaction: &mut Transaction,
    (id, hash, once): (&PersonId, &str, bool),
    (by, now): (&str, UtcMillis),
) -> Result<(), RecordError> {
    let done = sqlx::query(
        "UPDATE people SET password = $2, once = $3, failures = 0, locked_until_ms = NULL WHERE id = $1 \
         RETURNING id",
    )
    .bind(id.as_str())
    .bind(hash)
    .bind(i64::from(once))
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    if done.is_none() {
        return Err(RecordError::NotFound);
    }
    end_sessions(transaction, id).await?;
    let line = Line {
        actor: by,
        action: "person.password",
        object: id.as_str(),
        detail: if once { "for one sign-in" } else { "" },
    };
    audit::write(transaction, now, &line).await
}

fn check_reach(reach: &Reach) -> Result<(), RecordError> {
    match reach {
        Reach::Facilities(these) if these.len() > MAX_REACH => Err(RecordError::Invalid {
            field: "reach",
            problem: Problem::TooMany { max: MAX_REACH },
        }),
        _ => Ok(()),
    }
}

async fn check_room(transaction: &mut Transaction, person: &Person) -> Result<(), RecordError> {
    let others: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM people WHERE id <> $1")
        .bind(person.id.as_str())
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    if others < MAX_PEOPLE {
        return Ok(());
    }
    Err(RecordError::Invalid {
        field: "people",
        problem: Problem::TooMany {
            max: MAX_PEOPLE as usize,
        },
    })
}

async fn end_sessions(transaction: &mut Transaction, id: &PersonId) -> Result<(), RecordError> {
    sqlx::query("DELETE FROM sessions WHERE person = $1")
        .bind(id.as_str())
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}

fn person_of(row: &Row) -> Result<Person, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Person {
        id: fields.id("id")?,
        name: fields.get("name")?,
        role: fields.parsed("role", Role::parse)?,
        reach: fields.parsed("reach", |text| serde_json::from_str(text).ok())?,
        barred: fields.get::<i64>("barred")? != 0,
    })
}

fn token_hash(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("constants within Argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// On a blocking thread: it takes tens of milliseconds of a core.
async fn hashed(password: String) -> String {
    blocking(move || {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).expect("the system gives random numbers");
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        let hash = argon2().hash_password(password.as_bytes(), &salt);
        hash.expect("a bounded password can be hashed").to_string()
    })
    .await
}

/// Whether the password is the one. Without a hash one is made up and thrown away, which takes as long.
async fn is_right(password: String, hash: Option<String>) -> bool {
    if password.len() > PASSWORD_BYTES.1 {
        return false;
    }
    let Some(hash) = hash else {
        drop(hashed(password).await);
        return false;
    };
    blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("hashing a password does not panic")
}
