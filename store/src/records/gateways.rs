//! Which gateway a device hangs on: a gateway that is down explains the silence of its own devices, and of no others.
//!
//! What stands behind a gateway and speaks through it is called `<gateway>.<name>`, and needs no row here.

use std::collections::BTreeMap;

use domain::{DeviceId, FacilityId, Scope, case::cause::gateway_in_name};

use super::{
    Records,
    audit::{self, Line},
    database::{Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
};

impl Records {
    /// Says which gateway a device hangs on, or with `None` that it hangs on none that its name does not tell.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] for a facility outside `scope`, [`RecordError::Missing`] for one that is not
    /// registered, [`RecordError::Invalid`] for a device that would hang on itself or for an empty or over-long name.
    pub async fn set_gateway(
        &self,
        scope: &Scope,
        (facility, device): (&FacilityId, &DeviceId),
        gateway: Option<&DeviceId>,
        by: &str,
    ) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        if !scope.allows(facility) {
            return Err(RecordError::NotFound);
        }
        let mut transaction = self.database.write().await?;
        put_gateway(&mut transaction, (facility, device), gateway).await?;
        let line = Line {
            actor: by.trim(),
            action: "device.gateway",
            object: &format!("{facility}/{device}"),
            detail: gateway.map_or("-", DeviceId::as_str),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await
    }

    /// The devices in `scope` that are on record as hanging on a gateway, of one facility or of all, each with its
    /// gateway. Devices whose name tells their gateway are not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn gateways(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<BTreeMap<(FacilityId, DeviceId), DeviceId>, RecordError> {
        let rows = match facility {
            Some(one) => sqlx::query("SELECT * FROM device_gateways WHERE facility = $1").bind(one.as_str()),
            None => sqlx::query("SELECT * FROM device_gateways"),
        }
        .fetch_all(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        let mut all = BTreeMap::new();
        for row in &rows {
            let fields = Fields::of(row, "device");
            let facility: FacilityId = fields.id("facility")?;
            if scope.allows(&facility) {
                all.insert((facility, fields.id("device")?), fields.id("gateway")?);
            }
        }
        Ok(all)
    }
}

/// Writes the relation in the transaction of whoever enters the device.
pub(super) async fn put_gateway(
    transaction: &mut Transaction,
    (facility, device): (&FacilityId, &DeviceId),
    gateway: Option<&DeviceId>,
) -> Result<(), RecordError> {
    if gateway == Some(device) {
        return Err(RecordError::Invalid {
            field: "gateway",
            problem: Problem::Itself,
        });
    }
    let done = match gateway {
        Some(gateway) => {
            sqlx::query(
                "INSERT INTO device_gateways (facility, device, gateway) VALUES ($1, $2, $3) \
                 ON CONFLICT (facility, device) DO UPDATE SET gateway = excluded.gateway",
            )
            .bind(facility.as_str())
            .bind(device.as_str())
            .bind(gateway.as_str())
            .execute(&mut **transaction)
            .await
        }
        None => {
            sqlx::query("DELETE FROM device_gateways WHERE facility = $1 AND device = $2")
                .bind(facility.as_str())
                .bind(device.as_str())
                .execute(&mut **transaction)
                .await
        }
    };
    done.map(drop)
        .map_err(|e| RecordError::from_reference(e, "facility", facility.as_str()))
}

/// The gateway that a device hangs on: what is on record, or what its name tells.
pub(super) async fn gateway_of(
    transaction: &mut Transaction,
    facility: &FacilityId,
    device: &DeviceId,
) -> Result<Option<DeviceId>, RecordError> {
    let row = sqlx::query("SELECT * FROM device_gateways WHERE facility = $1 AND device = $2")
        .bind(facility.as_str())
        .bind(device.as_str())
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    match row {
        Some(row) => Fields::of(&row, "device").id("gateway").map(Some),
        None => Ok(gateway_in_name(device)),
    }
}

/// The devices of a facility that are on record as hanging on a gateway.
pub(super) async fn gateways_in(
    transaction: &mut Transaction,
    facility: &FacilityId,
) -> Result<BTreeMap<DeviceId, DeviceId>, RecordError> {
    let rows = sqlx::query("SELECT * FROM device_gateways WHERE facility = $1")
        .bind(facility.as_str())
        .fetch_all(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    let pair = |row| {
        let fields = Fields::of(row, "device");
        Ok((fields.id("device")?, fields.id("gateway")?))
    };
    rows.iter().map(pair).collect()
}

/// Whether anything is known to hang on `device`.
pub(super) async fn is_gateway(
    transaction: &mut Transaction,
    facility: &FacilityId,
    device: &DeviceId,
) -> Result<bool, RecordError> {
    let behind = format!("{device}.");
    let found: Option<String> = sqlx::query_scalar(
        "SELECT device FROM device_gateways WHERE facility = $1 AND gateway = $2 \
         UNION SELECT device FROM points WHERE facility = $1 AND substr(device, 1, $3) = $4 LIMIT 1",
    )
    .bind(facility.as_str())
    .bind(device.as_str())
    .bind(i64::try_from(behind.len()).unwrap_or(i64::MAX))
    .bind(&behind)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(found.is_some())
}
