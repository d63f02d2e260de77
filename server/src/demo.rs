//! The demo: a simulated district signs its devices in to this very process and publishes over real MQTT.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::Context;
use domain::{Access, Clock, Identity, IdentityName, SeriesKey, UtcMillis};
use simulator::{District, Scenario, Simulator};
use store::{Records, SeriesStore};

use crate::directory::new_secret;

/// How far back the first start of a demo fills the charts.
const HISTORY: Duration = Duration::from_secs(48 * 3600);

/// The district of a seed.
pub(crate) fn district(seed: u64, facilities: usize) -> District {
    simulator::district(seed, facilities)
}

/// Writes the district into the record store. Every start gives every device a new secret: none is kept
/// in the clear.
pub(crate) async fn register(
    records: &Records,
    district: &District,
) -> anyhow::Result<HashMap<IdentityName, String>> {
    for region in &district.regions {
        records
            .put_region(region)
            .await
            .context("cannot write a region")?;
    }
    for facility in &district.facilities {
        records
            .put_facility(facility)
            .await
            .context("cannot write a facility")?;
    }
    records
        .put_points(&district.points)
        .await
        .context("cannot write the points")?;
    let mut secrets = HashMap::new();
    let mut identities = Vec::with_capacity(district.devices.len());
    for device in &district.devices {
        let name = Identity::device_name(&device.facility, &device.device)?;
        let (secret, hash) = new_secret()?;
        secrets.insert(name.clone(), secret);
        identities.push(Identity {
            name,
            access: Access::Device {
                facility: device.facility.clone(),
                device: device.device.clone(),
                profile: device.profile.to_owned(),
            },
            secret: hash,
            expires_at: None,
            revoked_at: None,
        });
    }
    records
        .put_identities(&identities)
        .await
        .context("cannot write the device identities")?;
    Ok(secrets)
}

/// From when the past is to be published: 48 hours back at first, from the last reading after a restart.
pub(crate) fn history_from(series: &SeriesStore, district: &District, now: UtcMillis) -> UtcMillis {
    let everything = domain::Scope::everything();
    let latest = |key: &SeriesKey| {
        series
            .find(&everything, key)
            .and_then(|id| series.latest(&everything, id))
            .map(|sample| sample.at)
    };
    let newest = district
        .points
        .iter()
        .filter_map(|point| latest(&point.key()))
        .max();
    let full = now - i64::try_from(HISTORY.as_millis()).unwrap_or(i64::MAX);
    newest.map_or(full, |at| at.max(full))
}

/// The simulator, ready to run against `broker`.
pub(crate) fn simulator(
    scenario: Scenario,
    district: District,
    broker: SocketAddr,
    secrets: HashMap<IdentityName, String>,
) -> Simulator {
    Simulator::new(scenario, district, broker, secrets, Clock::system())
}
