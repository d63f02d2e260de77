//! The directory's version: one number that changes with every change of facilities, points and
//! identities. Who keeps a copy of them polls it, because another process may have made the change.

use super::{Records, database::Transaction, error::RecordError};

impl Records {
    /// The version now. Cheap: one row by its key, so it may be polled twice a second.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn directory_version(&self) -> Result<i64, RecordError> {
        sqlx::query_scalar("SELECT value FROM counters WHERE name = 'directory'")
            .fetch_one(self.database.readers())
            .await
            .map_err(RecordError::from_database)
    }
}

/// Moves the version on, in the transaction that makes the change.
pub(super) async fn changed(transaction: &mut Transaction) -> Result<(), RecordError> {
    sqlx::query("UPDATE counters SET value = value + 1 WHERE name = 'directory'")
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}
