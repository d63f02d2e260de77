//! Cameras: what is attached, what is looked for in its pictures, and the credentials it is reached with.

mod bounds;
mod credentials;

use std::collections::BTreeSet;

use domain::{Camera, CameraKey, CameraSource, Check, FacilityId, Metric, Point, Scope};

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    points,
};

/// The most cameras of one installation; more are refused.
pub const MAX_CAMERAS: usize = 2_000;

/// What a camera's points are for judgement.
const POINT_TYPE: &str = "camera";

/// How often a camera's series are due, in seconds: half as often again as they are sent.
const REPORT_INTERVAL_S: u32 = 15;

/// The same of a camera whose pictures another maker's box judges: it speaks when it finds something, and nothing
/// says that it is still there.
const EXTERNAL_INTERVAL_S: u32 = 86_400;

/// The points at which a camera is judged: whether it is offline, whether its picture can be trusted, how many
/// people it sees, the share of what it could not judge, and every check that it makes. None for a camera
/// that is not watched: its silence is meant.
///
/// # Panics
/// Never: a test holds every name to be a metric's.
#[must_use]
pub fn camera_points(camera: &Camera) -> Vec<Point> {
    if !camera.enabled {
        return Vec::new();
    }
    // A check that is made in two zones is one point.
    let mut metrics: BTreeSet<Metric> = camera.checks.iter().map(|c| c.check.metric()).collect();
    let external = camera.source == CameraSource::External;
    if !external {
        let own = ["camera_offline", "person_count", "unjudged_share", "vision_fault"]
            .map(|name| Metric::new(name).expect("each is a valid identifier"));
        metrics.extend(own);
        metrics.insert(Check::CameraTampered.metric());
    }
    let point = |metric: Metric| Point {
        facility: camera.key.facility.clone(),
        device: camera.key.camera.clone(),
        unit: metric.unit(),
        metric,
        point_type: POINT_TYPE.to_owned(),
        place_zh: camera.place_zh.clone(),
        place_en: camera.place_en.clone(),
        report_interval_s: if external {
            EXTERNAL_INTERVAL_S
        } else {
            REPORT_INTERVAL_S
        },
    };
    metrics.into_iter().map(point).collect()
}

impl Records {
    /// Adds a camera, or replaces the one of its key, and answers with its version: 1, 2, … Its points are
    /// registered with it ([`camera_points`]), and those that it no longer has are taken away.
    ///
    /// Its credentials are forgotten when a source names a host that it did not name before: whoever may
    /// change where a camera is must not thereby have its password sent there. Put them after the camera.
    ///
    /// # Errors
    /// [`RecordError::Camera`] for a private room, [`RecordError::Missing`] when the facility is not
    /// registered, [`RecordError::Invalid`] for a field out of bounds or more than [`MAX_CAMERAS`] cameras.
    pub async fn put_camera(&self, camera: &Camera, actor: &str) -> Result<i64, RecordError> {
        audit::check_actor("actor", actor)?;
        bounds::check(camera)?;
        let settings = bounds::settings(camera)?;
        let mut transaction = self.database.write().await?;
        let before = find(&mut transaction, &camera.key).await?;
        if before.is_none() {
            refuse_too_many(&mut transaction).await?;
        }
        let version = put(&mut transaction, camera, &settings).await?;
        replace_points(&mut transaction, camera).await?;
        let mut detail = format!("version {version}");
        let strange = before.is_some_and(|old| !hosts(&old.source).is_superset(&hosts(&camera.source)));
        if strange && delete(&mut transaction, "camera_secrets", &camera.key).await? > 0 {
            detail.push_str(": another host, so its credentials were forgotten");
        }
        directory::changed(&mut transaction).await?;
        let line = Line {
            actor,
            action: "camera.put",
            object: &object_of(&camera.key),
            detail: &detail,
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(version)
    }

    /// Removes a camera with its points, credentials, marked crops and taught heads. Its findings stay.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is none of that key, [`RecordError::Invalid`] for an empty or
    /// over-long `actor`.
    pub async fn remove_camera(&self, key: &CameraKey, actor: &str) -> Result<(), RecordError> {
        audit::check_actor("actor", actor)?;
        let mut transaction = self.database.write().await?;
        for table in ["camera_secrets", "crops", "taught_heads"] {
            delete(&mut transaction, table, key).await?;
        }
        delete_points(&mut transaction, key).await?;
        if delete(&mut transaction, "cameras", key).await? == 0 {
            return Err(RecordError::NotFound);
        }
        directory::changed(&mut transaction).await?;
        let line = Line {
            actor,
            action: "camera.remove",
            object: &object_of(key),
            detail: "",
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// The camera, or `None` when it does not exist or lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn camera(&self, scope: &Scope, key: &CameraKey) -> Result<Option<Camera>, RecordError> {
        if !scope.allows(&key.facility) {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM cameras WHERE facility = $1 AND camera = $2")
            .bind(key.facility.as_str())
            .bind(key.camera.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        row.as_ref().map(camera_of).transpose()
    }

    /// The cameras in `scope`, of one facility or of all, ordered by facility and identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cameras(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<Vec<Camera>, RecordError> {
        let query = match facility {
            Some(one) if !scope.allows(one) => return Ok(Vec::new()),
            Some(one) => {
                sqlx::query("SELECT * FROM cameras WHERE facility = $1 ORDER BY camera").bind(one.as_str())
            }
            None => sqlx::query("SELECT * FROM cameras ORDER BY facility, camera"),
        };
        let rows = query
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut cameras = rows.iter().map(camera_of).collect::<Result<Vec<_>, _>>()?;
        cameras.retain(|c| scope.allows(&c.key.facility));
        Ok(cameras)
    }
}

/// How the audit trail names a camera.
pub(super) fn object_of(key: &CameraKey) -> String {
    format!("camera {key}")
}

/// Refuses a camera that is not registered.
pub(super) async fn expect_registered(
    transaction: &mut Transaction,
    key: &CameraKey,
) -> Result<(), RecordError> {
    match find(transaction, key).await? {
        Some(_registered) => Ok(()),
        None => Err(RecordError::Missing {
            what: "camera",
            id: key.to_string(),
        }),
    }
}

async fn find(transaction: &mut Transaction, key: &CameraKey) -> Result<Option<Camera>, RecordError> {
    let row = sqlx::query("SELECT * FROM cameras WHERE facility = $1 AND camera = $2")
        .bind(key.facility.as_str())
        .bind(key.camera.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    row.as_ref().map(camera_of).transpose()
}

async fn refuse_too_many(transaction: &mut Transaction) -> Result<(), RecordError> {
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM cameras")
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    if usize::try_from(count).is_ok_and(|count| count < MAX_CAMERAS) {
        return Ok(());
    }
    Err(RecordError::Invalid {
        field: "cameras",
        problem: Problem::TooMany { max: MAX_CAMERAS },
    })
}

async fn put(transaction: &mut Transaction, camera: &Camera, settings: &str) -> Result<i64, RecordError> {
    sqlx::query_scalar(
        "INSERT INTO cameras (facility, camera, room, enabled, live, settings, version) \
         VALUES ($1, $2, $3, $4, $5, $6, 1) \
         ON CONFLICT (facility, camera) DO UPDATE SET room = excluded.room, enabled = excluded.enabled, \
           live = excluded.live, settings = excluded.settings, version = cameras.version + 1 \
         RETURNING version",
    )
    .bind(camera.key.facility.as_str())
    .bind(camera.key.camera.as_str())
    .bind(camera.room.code())
    .bind(camera.enabled)
    .bind(camera.live)
    .bind(settings)
    .fetch_one(&mut **transaction)
    .await
    .map_err(|e| RecordError::from_reference(e, "facility", camera.key.facility.as_str()))
}

/// Only the points that a camera brought with it: a sensor of the same name keeps its own.
async fn delete_points(transaction: &mut Transaction, key: &CameraKey) -> Result<(), RecordError> {
    sqlx::query("DELETE FROM points WHERE facility = $1 AND device = $2 AND point_type = $3")
        .bind(key.facility.as_str())
        .bind(key.camera.as_str())
        .bind(POINT_TYPE)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}

async fn replace_points(transaction: &mut Transaction, camera: &Camera) -> Result<(), RecordError> {
    delete_points(transaction, &camera.key).await?;
    for point in camera_points(camera) {
        points::put(transaction, &point).await?;
    }
    Ok(())
}

/// Deletes a camera's rows in `table`; answers with how many there were.
async fn delete(
    transaction: &mut Transaction,
    table: &'static str,
    key: &CameraKey,
) -> Result<u64, RecordError> {
    let mut query = super::database::Builder::new("DELETE FROM ");
    query.push(table).push(" WHERE facility = ");
    query.push_bind(key.facility.as_str().to_owned());
    query
        .push(" AND camera = ")
        .push_bind(key.camera.as_str().to_owned());
    query
        .build()
        .execute(&mut **transaction)
        .await
        .map(|done| done.rows_affected())
        .map_err(RecordError::from_database)
}

/// The hosts that a source's URLs name, without ports: another port of the same host is the same camera's.
fn hosts(source: &CameraSource) -> BTreeSet<&str> {
    let urls = match source {
        CameraSource::Rtsp { main, sub, .. } => vec![Some(main), sub.as_ref()],
        CameraSource::Mjpeg { url } | CameraSource::Snapshot { url, .. } => vec![Some(url)],
        CameraSource::Pushed | CameraSource::External | CameraSource::Folder { .. } => Vec::new(),
    };
    urls.into_iter()
        .flatten()
        .map(|url| host_of(url.as_str()))
        .collect()
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        // Inside the brackets of an IPv6 address a colon begins no port.
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

fn camera_of(row: &Row) -> Result<Camera, RecordError> {
    Fields::of(row, "camera").parsed("settings", |text| serde_json::from_str(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_stands_before_the_port() {
        let cases = [
            ("rtsp://192.168.1.64:554/Streaming/102", "192.168.1.64"),
            ("http://cam.local?x=1", "cam.local"),
            ("https://[fe80::1]:8443/a", "[fe80::1]"),
            ("https://[fe80::1]/a:b", "[fe80::1]"),
            ("rtsp://cam", "cam"),
        ];
        for (url, host) in cases {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
