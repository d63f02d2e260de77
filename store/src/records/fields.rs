//! Reads typed fields out of a row. What cannot be read back names the column and the record.

use domain::UtcMillis;
use sqlx::{Row as _, Sqlite};

use super::{database::Row, error::RecordError};

/// A row's fields.
pub(super) struct Fields<'r> {
    row: &'r Row,
    /// The column that says which record it is.
    key: &'static str,
}

impl<'r> Fields<'r> {
    pub(super) fn of(row: &'r Row, key: &'static str) -> Fields<'r> {
        Fields { row, key }
    }

    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, RecordError>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.row
            .try_get(column)
            .map_err(|_wrong_type| self.damaged(column))
    }

    /// A text that `parse` understands.
    pub(super) fn parsed<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, RecordError> {
        parse(self.get(column)?).ok_or_else(|| self.damaged(column))
    }

    /// A text that is an identifier.
    pub(super) fn id<T: std::str::FromStr>(&self, column: &'static str) -> Result<T, RecordError> {
        self.parsed(column, |text| text.parse().ok())
    }

    pub(super) fn u32(&self, column: &'static str) -> Result<u32, RecordError> {
        u32::try_from(self.get::<i64>(column)?).map_err(|_out_of_range| self.damaged(column))
    }

    pub(super) fn moment(&self, column: &'static str) -> Result<UtcMillis, RecordError> {
        self.get(column).map(UtcMillis)
    }

    pub(super) fn optional_moment(&self, column: &'static str) -> Result<Option<UtcMillis>, RecordError> {
        Ok(self.get::<Option<i64>>(column)?.map(UtcMillis))
    }

    pub(super) fn damaged(&self, what: &'static str) -> RecordError {
        let number = || self.row.try_get::<i64, _>(self.key).map(|n| n.to_string());
        let key = self
            .row
            .try_get::<String, _>(self.key)
            .or_else(|_not_text| number());
        RecordError::Damaged {
            what,
            key: key.unwrap_or_default(),
        }
    }
}
