//! Devices as they are added: identity and points together, one by one or a thousand at a time; and how far their
//! sensors are off.

use domain::{
    Access, Calibration, DeviceId, FacilityId, Identity, IdentityName, Point, Scope, SecretHash, SeriesKey,
};

use super::{
    Records,
    audit::{self, Line},
    database::{Row, Transaction, commit},
    directory,
    error::RecordError,
    fields::Fields,
    gateways, identities, points,
    text::check_line,
};

/// The most devices that are added in one call.
pub const MAX_ONBOARD: usize = 2_000;

/// The most characters of a profile's name in an audit line.
const MAX_BY: usize = 64;

/// A device to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDevice {
    /// Its facility.
    pub facility: FacilityId,
    /// Its identifier there.
    pub device: DeviceId,
    /// Who it signs in as; `None` for one that another device speaks for.
    pub identity: Option<Identity>,
    /// The gateway that it hangs on, where its name does not tell.
    pub gateway: Option<DeviceId>,
    /// What it measures.
    pub points: Vec<Point>,
}

/// A fresh secret, 32 random bytes in hexadecimal, and its hash under a fresh salt.
///
/// # Errors
/// [`RecordError::NoRandomness`].
pub fn fresh_secret() -> Result<(String, SecretHash), RecordError> {
    let (mut secret, mut salt) = ([0; 32], [0; 16]);
    for bytes in [&mut secret[..], &mut salt[..]] {
        getrandom::fill(bytes).map_err(|_no_reason| RecordError::NoRandomness)?;
    }
    let secret = hex::encode(secret);
    let hash = SecretHash::of(secret.as_bytes(), salt);
    Ok((secret, hash))
}

impl Records {
    /// Adds devices that are not there yet, each with its points. One that cannot be added costs the others nothing:
    /// the answer has one entry for each, in their order.
    ///
    /// # Errors
    /// When the database fails as a whole, or for more than [`MAX_ONBOARD`]. Of one device:
    /// [`RecordError::DeviceExists`], [`RecordError::RootTaken`], [`RecordError::Missing`] for its facility,
    /// [`RecordError::Invalid`] for a field out of bounds.
    pub async fn onboard(
        &self,
        devices: &[NewDevice],
        by: &str,
    ) -> Result<Vec<Result<(), RecordError>>, RecordError> {
        audit::check_actor("by", by)?;
        if devices.len() > MAX_ONBOARD {
            let problem = super::Problem::TooMany { max: MAX_ONBOARD };
            return Err(RecordError::Invalid {
                field: "devices",
                problem,
            });
        }
        let mut transaction = self.database.write().await?;
        let mut answers = Vec::with_capacity(devices.len());
        for device in devices {
            execute(&mut transaction, "SAVEPOINT onboard").await?;
            let added = self.onboard_one(&mut transaction, device, by).await;
            if added.is_err() {
                execute(&mut transaction, "ROLLBACK TO SAVEPOINT onboard").await?;
            }
            execute(&mut transaction, "RELEASE SAVEPOINT onboard").await?;
            answers.push(added);
        }
        directory::changed(&mut transaction).await?;
        commit(transaction).await?;
        Ok(answers)
    }

    async fn onboard_one(
        &self,
        transaction: &mut Transaction,
        new: &NewDevice,
        by: &str,
    ) -> Result<(), RecordError> {
        let name = Identity::device_name(&new.facility, &new.device).map_err(|_too_long| {
            let problem = super::Problem::TooLong { max: 63 };
            RecordError::Invalid {
                field: "facility and device together",
                problem,
            }
        })?;
        let known: i64 = sqlx::query_scalar(
            "SELECT (SELECT COUNT(*) FROM identities WHERE name = $1) + \
               (SELECT COUNT(*) FROM points WHERE facility = $2 AND device = $3)",
        )
        .bind(name.as_str())
        .bind(new.facility.as_str())
        .bind(new.device.as_str())
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
        if known > 0 {
            return Err(RecordError::DeviceExists {
                device: name.to_string(),
            });
        }
        if let Some(identity) = &new.identity {
            identities::check(identity)?;
            identities::put(transaction, identity).await?;
        }
        if let Some(gateway) = &new.gateway {
            gateways::put_gateway(transaction, (&new.facility, &new.device), Some(gateway)).await?;
        }
        for point in &new.points {
            points::check(point)?;
            points::put(transaction, point).await?;
        }
        let profile = match new.identity.as_ref().map(|identity| &identity.access) {
            Some(Access::Device { profile, .. }) => profile.as_str(),
            _ => "",
        };
        let line = Line {
            actor: by,
            action: "device.add",
            object: name.as_str(),
            detail: profile,
        };
        audit::write(transaction, self.clock.now(), &line).await
    }

    /// The identity of that device, in `scope`.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is none.
    pub async fn device(
        &self,
        scope: &Scope,
        facility: &FacilityId,
        device: &DeviceId,
    ) -> Result<Identity, RecordError> {
        if !scope.allows(facility) {
            return Err(RecordError::NotFound);
        }
        let row = sqlx::query("SELECT * FROM identities WHERE facility = $1 AND device = $2")
            .bind(facility.as_str())
            .bind(device.as_str())
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?
            .ok_or(RecordError::NotFound)?;
        identities::identity_of(&row)
    }

    /// Gives a device a new secret: the old one no longer opens anything, and a revoked device may sign in again.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no such device in `scope`.
    pub async fn renew_secret(
        &self,
        scope: &Scope,
        (facility, device): (&FacilityId, &DeviceId),
        by: &str,
    ) -> Result<String, RecordError> {
        audit::check_actor("by", by)?;
        let identity = self.device(scope, facility, device).await?;
        let mut transaction = self.database.write().await?;
        let secret = renew(&mut transaction, &identity.name).await?;
        let line = Line {
            actor: by,
            action: "identity.secret",
            object: identity.name.as_str(),
            detail: "",
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await?;
        Ok(secret)
    }

    /// Enters how far a sensor is off; takes the place of what was entered before.
    ///
    /// # Errors
    /// [`RecordError::Calibration`] when it cannot be one, [`RecordError::Missing`] for an unknown facility,
    /// [`RecordError::NotFound`] for one outside `scope`.
    pub async fn put_calibration(&self, scope: &Scope, calibration: &Calibration) -> Result<(), RecordError> {
        let key = &calibration.key;
        audit::check_actor("by", &calibration.by)?;
        check_line("by", &calibration.by, MAX_BY)?;
        if let Some(why) = calibration.problem() {
            return Err(RecordError::Calibration { why });
        }
        if !scope.allows(&key.facility) {
            return Err(RecordError::NotFound);
        }
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "INSERT INTO calibrations \
               (facility, device, metric, scale, offset_value, due_ms, since_ms, by_name) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (facility, device, metric) DO UPDATE SET scale = excluded.scale, \
               offset_value = excluded.offset_value, due_ms = excluded.due_ms, \
               since_ms = excluded.since_ms, by_name = excluded.by_name",
        )
        .bind(key.facility.as_str())
        .bind(key.device.as_str())
        .bind(key.metric.as_str())
        .bind(calibration.scale)
        .bind(calibration.offset)
        .bind(calibration.due.map(|at| at.0))
        .bind(calibration.since.0)
        .bind(&calibration.by)
        .execute(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "facility", key.facility.as_str()))?;
        let (object, detail) = (
            key.to_string(),
            format!("value × {} + {}", calibration.scale, calibration.offset),
        );
        let line = Line {
            actor: &calibration.by,
            action: "calibration.put",
            object: &object,
            detail: &detail,
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await
    }

    /// The calibrations in `scope`, of one facility or of all, ordered by series.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn calibrations(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<Vec<Calibration>, RecordError> {
        let query = match facility {
            Some(one) if !scope.allows(one) => return Ok(Vec::new()),
            Some(one) => sqlx::query(
                "SELECT * FROM calibrations WHERE facility = $1 ORDER BY facility, device, metric",
            )
            .bind(one.as_str()),
            None => sqlx::query("SELECT * FROM calibrations ORDER BY facility, device, metric"),
        };
        let rows = query
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut all = rows.iter().map(calibration_of).collect::<Result<Vec<_>, _>>()?;
        all.retain(|c| scope.allows(&c.key.facility));
        Ok(all)
    }
}

/// A new secret for an identity, whose name is known to exist.
pub(super) async fn renew(transaction: &mut Transaction, name: &IdentityName) -> Result<String, RecordError> {
    let (secret, hash) = fresh_secret()?;
    sqlx::query("UPDATE identities SET secret = $2, revoked_at_ms = NULL WHERE name = $1")
        .bind(name.as_str())
        .bind(hash.to_text())
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(secret)
}

async fn execute(transaction: &mut Transaction, statement: &'static str) -> Result<(), RecordError> {
    sqlx::query(statement)
        .execute(&mut **transaction)
        .await
        .map(drop)
        .map_err(RecordError::from_database)
}

fn calibration_of(row: &Row) -> Result<Calibration, RecordError> {
    let fields = Fields::of(row, "device");
    Ok(Calibration {
        key: SeriesKey {
            facility: fields.id("facility")?,
            device: fields.id("device")?,
            metric: fields.id("metric")?,
        },
        scale: fields.get("scale")?,
        offset: fields.get("offset_value")?,
        due: fields.optional_moment("due_ms")?,
        since: fields.moment("since_ms")?,
        by: fields.get("by_name")?,
    })
}
