//! Regions: who is responsible for which facilities.

use domain::{Region, RegionId};

use super::{
    Records,
    database::{Row, Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};

/// The most characters of a name of a region or a facility.
pub(super) const MAX_NAME: usize = 200;

impl Records {
    /// Adds a region, or replaces the one of its identifier.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when its parent is not registered, [`RecordError::Invalid`] for an empty or
    /// over-long name or a region inside itself.
    pub async fn put_region(&self, region: &Region) -> Result<(), RecordError> {
        check_line("name_zh", &region.name_zh, MAX_NAME)?;
        check_line("name_en", &region.name_en, MAX_NAME)?;
        let mut transaction = self.database.write().await?;
        if let Some(parent) = &region.parent {
            refuse_cycle(&mut transaction, &region.id, parent).await?;
        }
        let parent = region.parent.as_ref().map(RegionId::as_str);
        sqlx::query(
            "INSERT INTO regions (id, parent, name_zh, name_en) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, name_zh = excluded.name_zh, \
             name_en = excluded.name_en",
        )
        .bind(region.id.as_str())
        .bind(parent)
        .bind(&region.name_zh)
        .bind(&region.name_en)
        .execute(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "region", parent.unwrap_or_default()))?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await
    }

    /// Every region, in the order of their identifiers. Regions are public knowledge: no scope hides them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn regions(&self) -> Result<Vec<Region>, RecordError> {
        let rows = sqlx::query("SELECT id, parent, name_zh, name_en FROM regions ORDER BY id")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(region_of).collect()
    }
}

/// Walks up from `parent`: `id` must not be there.
async fn refuse_cycle(
    transaction: &mut Transaction,
    id: &RegionId,
    parent: &RegionId,
) -> Result<(), RecordError> {
    let found = sqlx::query(
        "WITH RECURSIVE up (id) AS ( \
           SELECT CAST($1 AS TEXT) UNION SELECT r.parent FROM regions r JOIN up ON r.id = up.id) \
         SELECT 1 FROM up WHERE id = $2",
    )
    .bind(parent.as_str())
    .bind(id.as_str())
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    match found {
        Some(_) => Err(RecordError::Invalid {
            field: "parent",
            problem: Problem::Cycle,
        }),
        None => Ok(()),
    }
}

fn region_of(row: &Row) -> Result<Region, RecordError> {
    let fields = Fields::of(row, "id");
    let parent: Option<&str> = fields.get("parent")?;
    Ok(Region {
        id: fields.id("id")?,
        parent: parent
            .map(RegionId::new)
            .transpose()
            .map_err(|_not_an_id| fields.damaged("parent"))?,
        name_zh: fields.get("name_zh")?,
        name_en: fields.get("name_en")?,
    })
}
