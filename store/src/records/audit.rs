//! The audit trail: append-only lines, each carrying the hash of the line before it.
//!
//! A line's hash covers its number, its moment, its words and the hash before it, so a line that is
//! changed, removed, inserted or moved breaks the chain at that place. The newest number and hash are
//! kept aside, so that lines cut off the end are missed too. Whoever can rewrite every line *and* that
//! row leaves no trace here: to be safe from them, note the newest hash somewhere else from time to time.

use domain::UtcMillis;
use sha2::{Digest, Sha256};

use super::{
    Records,
    database::{Row, Transaction, commit},
    error::RecordError,
    fields::Fields,
    text::{check_free, check_line},
};

/// The most characters of an actor's name, an action, an object and the detail.
const MAX_ACTOR: usize = 64;
const MAX_ACTION: usize = 64;
const MAX_OBJECT: usize = 256;
const MAX_DETAIL: usize = 4_096;

/// The most lines that [`Records::audit_trail`] answers with.
pub const MAX_TRAIL: u32 = 1_000;

/// Lines read at a time while the chain is walked.
const WALK_PAGE: i64 = 1_000;

/// The hash before the first line.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number: 1, 2, 3, … without gaps.
    pub id: i64,
    /// When it was written.
    pub at: UtcMillis,
    /// Who did it: a person's name, or `system`.
    pub actor: String,
    /// What was done: `case.acknowledge`, `identity.revoke`, …
    pub action: String,
    /// To what.
    pub object: String,
    /// Further words; may be empty.
    pub detail: String,
}

/// A line to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) actor: &'a str,
    pub(super) action: &'a str,
    pub(super) object: &'a str,
    pub(super) detail: &'a str,
}

impl Records {
    /// Writes a line by itself: (actor, action, object, detail). What changes a record writes its line in
    /// the same transaction; this is for acts that change none, such as an export.
    ///
    /// # Errors
    /// [`RecordError::Invalid`] for an empty actor, action or object, or one that is over-long (64, 64, 256
    /// characters; 4,096 for the detail).
    pub async fn audit(&self, entry: (&str, &str, &str, &str)) -> Result<(), RecordError> {
        let (actor, action, object, detail) = entry;
        check_actor("actor", actor)?;
        check_line("action", action, MAX_ACTION)?;
        check_line("object", object, MAX_OBJECT)?;
        check_free("detail", detail, MAX_DETAIL)?;
        let mut transaction = self.database.write().await?;
        let line = Line {
            actor,
            action,
            object,
            detail,
        };
        write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// The newest lines, newest first; at most `limit`, and never more than [`MAX_TRAIL`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit_trail(&self, limit: u32) -> Result<Vec<AuditEntry>, RecordError> {
        let rows = sqlx::query(
            "SELECT id, at_ms, actor, action, object, detail FROM audit ORDER BY id DESC LIMIT $1",
        )
        .bind(i64::from(limit.min(MAX_TRAIL)))
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter().map(entry_of).collect()
    }

    /// Walks the whole chain and answers with the number of the first line that is not what was written:
    /// changed, missing or inserted. `None` when all is well.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn verify_audit(&self) -> Result<Option<i64>, RecordError> {
        // One read transaction: lines written meanwhile are not seen, neither here nor in the head.
        let mut transaction = self
            .database
            .readers()
            .begin()
            .await
            .map_err(RecordError::from_database)?;
        let (head_id, head_hash): (i64, String) =
            sqlx::query_as("SELECT last_id, hash FROM audit_head WHERE id = 1")
                .fetch_one(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        let (mut last, mut last_hash) = (0_i64, GENESIS.to_owned());
        // Not from 1: a line with a number below it was not written by us either.
        let mut after = i64::MIN;
        loop {
            let rows = sqlx::query("SELECT * FROM audit WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after)
                .bind(WALK_PAGE)
                .fetch_all(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
            for row in &rows {
                match sound_hash(row, last + 1, &last_hash) {
                    Some(hash) => (last, last_hash) = (last + 1, hash),
                    None => return Ok(Some(last + 1)),
                }
            }
            if rows.is_empty() {
                break;
            }
            after = last;
        }
        let whole = last == head_id && last_hash == head_hash;
        // Lines beyond the head were not written by us; lines before it are missing.
        Ok((!whole).then_some(last.min(head_id) + 1))
    }
}

/// A name that may stand in the trail.
pub(super) fn check_actor(field: &'static str, name: &str) -> Result<(), RecordError> {
    check_line(field, name, MAX_ACTOR)
}

/// Appends `line` in `transaction`, which holds the write lock: no other line can come between.
pub(super) async fn write(
    transaction: &mut Transaction,
    at: UtcMillis,
    line: &Line<'_>,
) -> Result<(), RecordError> {
    let (last, prev_hash): (i64, String) =
        sqlx::query_as("SELECT last_id, hash FROM audit_head WHERE id = 1")
            .fetch_one(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    let id = last + 1;
    let hash = link(&prev_hash, id, at, line);
    sqlx::query(
        "INSERT INTO audit (id, at_ms, actor, action, object, detail, prev_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(at.0)
    .bind(line.actor)
    .bind(line.action)
    .bind(line.object)
    .bind(line.detail)
    .bind(prev_hash)
    .bind(&hash)
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    sqlx::query("UPDATE audit_head SET last_id = $1, hash = $2 WHERE id = 1")
        .bind(id)
        .bind(&hash)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}

/// A line's hash. Every text stands behind its length, so that no two lines are hashed over the same bytes.
fn link(prev_hash: &str, id: i64, at: UtcMillis, line: &Line<'_>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"sunshine-audit-1");
    hash.update(id.to_be_bytes());
    hash.update(at.0.to_be_bytes());
    for text in [prev_hash, line.actor, line.action, line.object, line.detail] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hex::encode(hash.finalize())
}

/// The row's hash when it is line `id` and follows `prev_hash`; `None` when it is not what was written.
fn sound_hash(row: &Row, id: i64, prev_hash: &str) -> Option<String> {
    let entry = entry_of(row).ok()?;
    let fields = Fields::of(row, "id");
    let (stored_prev, stored): (&str, String) = (fields.get("prev_hash").ok()?, fields.get("hash").ok()?);
    let line = Line {
        actor: &entry.actor,
        action: &entry.action,
        object: &entry.object,
        detail: &entry.detail,
    };
    let sound = entry.id == id && stored_prev == prev_hash && stored == link(prev_hash, id, entry.at, &line);
    sound.then_some(stored)
}

fn entry_of(row: &Row) -> Result<AuditEntry, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(AuditEntry {
        id: fields.get("id")?,
        at: fields.moment("at_ms")?,
        actor: fields.get("actor")?,
        action: fields.get("action")?,
        object: fields.get("object")?,
        detail: fields.get("detail")?,
    })
}
