//! Facilities: the kitchens that are watched.

use domain::{Facility, FacilityId, FacilityKind, Scope, SizeClass};

use super::{
    Records,
    database::{Row, commit},
    directory,
    error::RecordError,
    fields::Fields,
    regions::MAX_NAME,
    text::{check_free, check_line},
};

/// The most characters of a street address.
const MAX_ADDRESS: usize = 500;

impl Records {
    /// Adds a facility, or replaces the one of its identifier.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when its region is not registered, [`RecordError::Invalid`] for an empty or
    /// over-long name or address.
    pub async fn put_facility(&self, facility: &Facility) -> Result<(), RecordError> {
        check_line("name_zh", &facility.name_zh, MAX_NAME)?;
        check_line("name_en", &facility.name_en, MAX_NAME)?;
        check_free("address", &facility.address, MAX_ADDRESS)?;
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "INSERT INTO facilities \
               (id, region, name_zh, name_en, kind, size_class, beds, people_served, address) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (id) DO UPDATE SET region = excluded.region, name_zh = excluded.name_zh, \
               name_en = excluded.name_en, kind = excluded.kind, size_class = excluded.size_class, \
               beds = excluded.beds, people_served = excluded.people_served, address = excluded.address",
        )
        .bind(facility.id.as_str())
        .bind(facility.region.as_str())
        .bind(&facility.name_zh)
        .bind(&facility.name_en)
        .bind(kind_code(facility.kind))
        .bind(size_code(facility.size))
        .bind(i64::from(facility.beds))
        .bind(i64::from(facility.people_served))
        .bind(&facility.address)
        .execute(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "region", facility.region.as_str()))?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await
    }

    /// Every facility in `scope`, in the order of their identifiers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn facilities(&self, scope: &Scope) -> Result<Vec<Facility>, RecordError> {
        let rows = sqlx::query("SELECT * FROM facilities ORDER BY id")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut facilities = rows.iter().map(facility_of).collect::<Result<Vec<_>, _>>()?;
        facilities.retain(|f| scope.allows(&f.id));
        Ok(facilities)
    }

    /// The facility, or `None` when it does not exist or lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn facility(&self, scope: &Scope, id: &FacilityId) -> Result<Option<Facility>, RecordError> {
        if !scope.allows(id) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM facilities WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        row.as_ref().map(facility_of).transpose()
    }
}

fn facility_of(row: &Row) -> Result<Facility, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Facility {
        id: fields.id("id")?,
        region: fields.id("region")?,
        name_zh: fields.get("name_zh")?,
        name_en: fields.get("name_en")?,
        kind: fields.parsed("kind", parse_kind)?,
        size: fields.parsed("size_class", parse_size)?,
        beds: fields.u32("beds")?,
        people_served: fields.u32("people_served")?,
        address: fields.get("address")?,
    })
}

const fn kind_code(kind: FacilityKind) -> &'static str {
    match kind {
        FacilityKind::CareHome => "care_home",
        FacilityKind::CommunityCanteen => "community_canteen",
    }
}

fn parse_kind(code: &str) -> Option<FacilityKind> {
    [FacilityKind::CareHome, FacilityKind::CommunityCanteen]
        .into_iter()
        .find(|k| kind_code(*k) == code)
}

const fn size_code(size: SizeClass) -> &'static str {
    match size {
        SizeClass::Small => "small",
        SizeClass::Medium => "medium",
        SizeClass::Large => "large",
    }
}

fn parse_size(code: &str) -> Option<SizeClass> {
    [SizeClass::Small, SizeClass::Medium, SizeClass::Large]
        .into_iter()
        .find(|s| size_code(*s) == code)
}
