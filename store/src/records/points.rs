//! Points: what a series of readings means at one place in one kitchen.

use domain::{FacilityId, Point, Scope, Unit};

use super::{
    Records,
    database::{Row, Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};

/// The most characters of a place's name.
pub(super) const MAX_PLACE: usize = 200;

/// The most characters of a point type.
const MAX_POINT_TYPE: usize = 64;

/// The longest report interval: a day.
const MAX_REPORT_INTERVAL_S: u32 = 86_400;

impl Records {
    /// Adds a point, or replaces the one of its facility, device and metric.
    ///
    /// # Errors
    /// As [`Records::put_points`].
    pub async fn put_point(&self, point: &Point) -> Result<(), RecordError> {
        self.put_points(std::slice::from_ref(point)).await
    }

    /// Adds or replaces many points, all or none of them.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when a facility is not registered, [`RecordError::Invalid`] for a field out of
    /// bounds.
    pub async fn put_points(&self, points: &[Point]) -> Result<(), RecordError> {
        points.iter().try_for_each(check)?;
        if points.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.write().await?;
        for point in points {
            put(&mut transaction, point).await?;
        }
        directory::changed(&mut transaction).await?;
        commit(transaction).await
    }

    /// The points in `scope`, of one facility or of all, ordered by facility, device and metric.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn points(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<Vec<Point>, RecordError> {
        let query = match facility {
            Some(one) if !scope.allows(one) => return Ok(Vec::new()),
            Some(one) => {
                sqlx::query("SELECT * FROM points WHERE facility = $1 ORDER BY facility, device, metric")
                    .bind(one.as_str())
            }
            None => sqlx::query("SELECT * FROM points ORDER BY facility, device, metric"),
        };
        let rows = query
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut points = rows.iter().map(point_of).collect::<Result<Vec<_>, _>>()?;
        points.retain(|p| scope.allows(&p.facility));
        Ok(points)
    }
}

pub(super) fn check(point: &Point) -> Result<(), RecordError> {
    check_line("point_type", &point.point_type, MAX_POINT_TYPE)?;
    check_line("place_zh", &point.place_zh, MAX_PLACE)?;
    check_line("place_en", &point.place_en, MAX_PLACE)?;
    if !(1..=MAX_REPORT_INTERVAL_S).contains(&point.report_interval_s) {
        let problem = Problem::OutOfRange {
            min: 1,
            max: i64::from(MAX_REPORT_INTERVAL_S),
        };
        return Err(RecordError::Invalid {
            field: "report_interval_s",
            problem,
        });
    }
    Ok(())
}

pub(super) async fn put(transaction: &mut Transaction, point: &Point) -> Result<(), RecordError> {
    sqlx::query(
        "INSERT INTO points \
           (facility, device, metric, unit, point_type, place_zh, place_en, report_interval_s) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (facility, device, metric) DO UPDATE SET unit = excluded.unit, \
           point_type = excluded.point_type, place_zh = excluded.place_zh, \
           place_en = excluded.place_en, report_interval_s = excluded.report_interval_s",
    )
    .bind(point.facility.as_str())
    .bind(point.device.as_str())
    .bind(point.metric.as_str())
    .bind(point.unit.code())
    .bind(&point.point_type)
    .bind(&point.place_zh)
    .bind(&point.place_en)
    .bind(i64::from(point.report_interval_s))
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(|e| RecordError::from_reference(e, "facility", point.facility.as_str()))
}

fn point_of(row: &Row) -> Result<Point, RecordError> {
    let fields = Fields::of(row, "device");
    Ok(Point {
        facility: fields.id("facility")?,
        device: fields.id("device")?,
        metric: fields.id("metric")?,
        unit: fields.parsed("unit", Unit::parse)?,
        point_type: fields.get("point_type")?,
        place_zh: fields.get("place_zh")?,
        place_en: fields.get("place_en")?,
        report_interval_s: fields.u32("report_interval_s")?,
    })
}
