//! The engine's snapshot: where judgement stands in the log, and its state there.

use domain::LogPosition;

use super::{Records, database::Transaction, error::RecordError, fields::Fields};

/// The engine's state at a position of the log; the bytes are its own business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSnapshot {
    /// Everything before this was judged.
    pub position: LogPosition,
    /// What the engine needs to go on from there.
    pub state: Vec<u8>,
}

impl Records {
    /// The newest snapshot, or `None` before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn engine_snapshot(&self) -> Result<Option<EngineSnapshot>, RecordError> {
        let row = sqlx::query("SELECT id, position, state FROM engine_snapshot WHERE id = 1")
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let Some(row) = row else { return Ok(None) };
        let fields = Fields::of(&row, "id");
        let position =
            u64::try_from(fields.get::<i64>("position")?).map_err(|_negative| fields.damaged("position"))?;
        Ok(Some(EngineSnapshot {
            position: LogPosition(position),
            state: fields.get("state")?,
        }))
    }
}

/// Keeps `snapshot` instead of the one before.
pub(super) async fn put(transaction: &mut Transaction, snapshot: &EngineSnapshot) -> Result<(), RecordError> {
    let position = i64::try_from(snapshot.position.0).expect("a log stays below 2^63 bytes");
    sqlx::query(
        "INSERT INTO engine_snapshot (id, position, state) VALUES (1, $1, $2) \
         ON CONFLICT (id) DO UPDATE SET position = excluded.position, state = excluded.state",
    )
    .bind(position)
    .bind(snapshot.state.as_slice())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(RecordError::from_database)
}
