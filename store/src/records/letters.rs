//! What forwarding owes another time-series server: dead letters (lines that it refuses) and gaps (stretches of time
//! that were passed over while it was away too long).

use domain::{FacilityId, Scope, TimeRange, UtcMillis};

use super::{
    Records,
    database::{Transaction, commit},
    error::RecordError,
    fields::Fields,
};

/// The most dead letters that are kept. The oldest makes room for a new one, and is counted; its reading is in the
/// embedded store all the same.
pub const MAX_LETTERS: u32 = 10_000;

/// A line that the server refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number; grows.
    pub id: i64,
    /// Whose reading it is.
    pub facility: FacilityId,
    /// The line, in line protocol, without its newline.
    pub line: String,
    /// What the server said, bounded.
    pub reason: String,
    /// When it was refused.
    pub at: UtcMillis,
    /// Whether it waits to be sent once more.
    pub again: bool,
}

/// How many dead letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LetterCounts {
    /// Kept now.
    pub kept: u64,
    /// Of these, waiting to be sent once more.
    pub again: u64,
    /// Dropped because there were more than [`MAX_LETTERS`].
    pub dropped: u64,
}

/// A stretch of time whose readings have yet to be sent from the embedded store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForwardGap {
    /// Its number.
    pub id: i64,
    /// Readings measured in this time were passed over.
    pub range: TimeRange,
    /// How many.
    pub readings: u64,
}

impl Records {
    /// Keeps a line that was refused. Beyond [`MAX_LETTERS`] the oldest goes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_dead_letter(
        &self,
        facility: &FacilityId,
        line: &str,
        reason: &str,
    ) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        let id = next(&mut transaction, "letters").await?;
        sqlx::query(
            "INSERT INTO forward_letters (id, facility, line, reason, at_ms, again) \
             VALUES ($1, $2, $3, $4, $5, FALSE)",
        )
        .bind(id)
        .bind(facility.as_str())
        .bind(line)
        .bind(reason)
        .bind(self.clock.now().0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let dropped = sqlx::query(
            "DELETE FROM forward_letters WHERE id <= \
             (SELECT id FROM forward_letters ORDER BY id DESC LIMIT 1 OFFSET $1)",
        )
        .bind(i64::from(MAX_LETTERS))
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?
        .rows_affected();
        if dropped > 0 {
            sqlx::query("UPDATE counters SET value = value + $1 WHERE name = 'letters_dropped'")
                .bind(i64::try_from(dropped).unwrap_or(i64::MAX))
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        }
        commit(transaction).await
    }

    /// Dead letters of the facilities in `scope`, newest first, at most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dead_letters(&self, scope: &Scope, limit: u32) -> Result<Vec<DeadLetter>, RecordError> {
        let rows = sqlx::query(
            "SELECT id, facility, line, reason, at_ms, again FROM forward_letters ORDER BY id DESC LIMIT $1",
        )
        .bind(i64::from(MAX_LETTERS))
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        let letters = rows.iter().map(letter_of).collect::<Result<Vec<_>, _>>()?;
        let seen = letters.into_iter().filter(|l| scope.allows(&l.facility));
        Ok(seen.take(limit as usize).collect())
    }

    /// How many there are, of all facilities.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn dead_letter_counts(&self) -> Result<LetterCounts, RecordError> {
        let row = sqlx::query(
            "SELECT 'letters' AS name, COUNT(*) AS kept, COALESCE(SUM(CASE WHEN again THEN 1 ELSE 0 END), 0) AS again, \
             (SELECT value FROM counters WHERE name = 'letters_dropped') AS dropped FROM forward_letters",
        )
        .fetch_one(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        let fields = Fields::of(&row, "name");
        let count = |column| Ok::<_, RecordError>(u64::try_from(fields.get::<i64>(column)?).unwrap_or(0));
        Ok(LetterCounts {
            kept: count("kept")?,
            again: count("again")?,
            dropped: count("dropped")?,
        })
    }

    /// Asks for the dead letters of the facilities in `scope` to be sent once more. Answers with how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resend_dead_letters(&self, scope: &Scope) -> Result<u64, RecordError> {
        self.of_scope(scope, "UPDATE forward_letters SET again = TRUE WHERE id = $1")
            .await
    }

    /// Gives the dead letters of the facilities in `scope` up. Answers with how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn discard_dead_letters(&self, scope: &Scope) -> Result<u64, RecordError> {
        self.of_scope(scope, "DELETE FROM forward_letters WHERE id = $1")
            .await
    }

    async fn of_scope(&self, scope: &Scope, statement: &'static str) -> Result<u64, RecordError> {
        let letters = self.dead_letters(scope, MAX_LETTERS).await?;
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        self.each_letter(&ids, statement).await?;
        Ok(ids.len() as u64)
    }

    /// Letters that wait to be sent once more, oldest first, at most `limit`. For the forwarder, which serves every
    /// facility.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn letters_to_resend(&self, limit: u32) -> Result<Vec<DeadLetter>, RecordError> {
        let rows = sqlx::query(
            "SELECT id, facility, line, reason, at_ms, again FROM forward_letters WHERE again ORDER BY id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        rows.iter().map(letter_of).collect()
    }

    /// Forgets letters that were sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_letters(&self, ids: &[i64]) -> Result<(), RecordError> {
        self.each_letter(ids, "DELETE FROM forward_letters WHERE id = $1")
            .await
    }

    async fn each_letter(&self, ids: &[i64], statement: &'static str) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        for id in ids {
            sqlx::query(statement)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        }
        commit(transaction).await
    }

    /// Notes that readings of a time were passed over. One gap grows as long as it is not filled: the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_forward_gap(&self, range: TimeRange, readings: u64) -> Result<(), RecordError> {
        let readings = i64::try_from(readings).unwrap_or(i64::MAX);
        let mut transaction = self.database.write().await?;
        let grown = sqlx::query(
            "UPDATE forward_gaps SET from_ms = CASE WHEN from_ms < $1 THEN from_ms ELSE $1 END, \
             to_ms = CASE WHEN to_ms > $2 THEN to_ms ELSE $2 END, readings = readings + $3 \
             WHERE id = (SELECT MAX(id) FROM forward_gaps)",
        )
        .bind(range.from.0)
        .bind(range.to.0)
        .bind(readings)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        if grown.rows_affected() == 0 {
            let id = next(&mut transaction, "gaps").await?;
            sqlx::query("INSERT INTO forward_gaps (id, from_ms, to_ms, readings) VALUES ($1, $2, $3, $4)")
                .bind(id)
                .bind(range.from.0)
                .bind(range.to.0)
                .bind(readings)
                .execute(&mut *transaction)
                .await
                .map_err(RecordError::from_database)?;
        }
        commit(transaction).await
    }

    /// What has yet to be sent from the embedded store, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forward_gaps(&self) -> Result<Vec<ForwardGap>, RecordError> {
        let rows =
            sqlx::query("SELECT id, from_ms, to_ms, readings FROM forward_gaps ORDER BY id LIMIT 1000")
                .fetch_all(self.database.readers())
                .await
                .map_err(RecordError::from_database)?;
        let gap = |row| {
            let fields = Fields::of(row, "id");
            Ok(ForwardGap {
                id: fields.get("id")?,
                range: TimeRange {
                    from: fields.moment("from_ms")?,
                    to: fields.moment("to_ms")?,
                },
                readings: u64::try_from(fields.get::<i64>("readings")?).unwrap_or(0),
            })
        };
        rows.iter().map(gap).collect()
    }

    /// A gap was filled. One that has grown since it was read stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_forward_gap(&self, gap: &ForwardGap) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "DELETE FROM forward_gaps WHERE id = $1 AND from_ms = $2 AND to_ms = $3 AND readings = $4",
        )
        .bind(gap.id)
        .bind(gap.range.from.0)
        .bind(gap.range.to.0)
        .bind(i64::try_from(gap.readings).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        commit(transaction).await
    }
}

async fn next(transaction: &mut Transaction, counter: &'static str) -> Result<i64, RecordError> {
    sqlx::query_scalar("UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value")
        .bind(counter)
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)
}

fn letter_of(row: &super::database::Row) -> Result<DeadLetter, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(DeadLetter {
        id: fields.get("id")?,
        facility: fields.id("facility")?,
        line: fields.get("line")?,
        reason: fields.get("reason")?,
        at: fields.moment("at_ms")?,
        again: fields.get("again")?,
    })
}
