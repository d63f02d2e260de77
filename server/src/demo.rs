//! The demo: a simulated district signs its devices in to this very process and publishes over real MQTT.

use std::{collections::HashMap, path::Path, time::Duration};

use anyhow::Context;
use domain::{
    Camera, CameraSource, Credentials, Identity, IdentityName, Person, PersonId, Reach, Role, SeriesKey,
    UtcMillis,
};
use simulator::District;
use store::{Records, SeriesStore, Vault};

use crate::{
    directory::{new_secret, random_secret},
    import::Inventory,
};

/// Who attaches the demo's cameras.
const ACTOR: &str = "demo";

/// The profile of what speaks our own form.
const STANDARD: &str = "standard";

/// How far back the first start of a demo fills the charts.
const HISTORY: Duration = Duration::from_secs(48 * 3600);

/// Writes the district into the record store. Every start gives every device a new secret: none is kept
/// in the clear.
pub(crate) async fn register(
    records: &Records,
    district: &District,
) -> anyhow::Result<HashMap<IdentityName, String>> {
    let inventory = Inventory {
        regions: district.regions.clone(),
        facilities: district.facilities.clone(),
        points: district
            .points
            .iter()
            .chain(district.stoves.iter().map(|s| &s.point))
            .chain(district.makes.iter().flat_map(|m| &m.points))
            .cloned()
            .collect(),
    };
    inventory
        .write(records)
        .await
        .context("cannot write the demo district")?;
    let mut secrets = HashMap::new();
    let mut identities = Vec::with_capacity(district.devices.len());
    let pushing = district.cameras.iter().filter(|camera| is_pushed(&camera.camera));
    let signing_in = district
        .devices
        .iter()
        .map(|device| (&device.facility, &device.device, device.profile))
        .chain(
            district
                .stoves
                .iter()
                .map(|s| (&s.point.facility, &s.point.device, STANDARD)),
        )
        .chain(pushing.map(|c| (&c.camera.key.facility, &c.camera.key.camera, STANDARD)));
    for (facility, device, profile) in signing_in {
        let (secret, hash) = new_secret()?;
        let identity = Identity::of_device(facility, device, profile, hash)?;
        secrets.insert(identity.name.clone(), secret);
        identities.push(identity);
    }
    for make in &district.makes {
        let (secret, hash) = new_secret()?;
        let identity = Identity::of_device(make.facility(), make.device(), make.profile, hash)?;
        secrets.insert(identity.name.clone(), secret);
        identities.push(identity.below(make.root.clone()));
    }
    records
        .put_identities(&identities)
        .await
        .context("cannot write the device identities")?;
    Ok(secrets)
}

/// Writes down somebody of each role. Every start gives them new passwords, which only the sign-in page of this process
/// knows.
pub(crate) async fn people(
    records: &Records,
    district: &District,
) -> anyhow::Result<Vec<(PersonId, String)>> {
    let own = district.facilities.first().map(|facility| facility.id.clone());
    let people = [
        ("wang.fang", "王芳", Role::Inspector, Reach::Everything),
        (
            "li.jianguo",
            "李建国",
            Role::Manager,
            Reach::Facilities(own.into_iter().collect()),
        ),
        ("chen.wei", "陈伟", Role::Integrator, Reach::Everything),
    ];
    let mut known = Vec::new();
    for (id, name, role, reach) in people {
        let person = Person {
            id: PersonId::new(id)?,
            name: name.to_owned(),
            role,
            reach,
            barred: false,
        };
        let password = random_secret()?;
        let written = async {
            records.put_person(&person, ACTOR).await?;
            records.set_password(&person.id, &password, ACTOR).await
        };
        written.await.context("cannot write the people of the demo")?;
        known.push((person.id, password));
    }
    Ok(known)
}

/// Whether a camera publishes its pictures itself.
fn is_pushed(camera: &Camera) -> bool {
    camera.source == CameraSource::Pushed
}

/// Attaches the simulated cameras: those that are served, with the passwords that they ask for, and those that publish
/// their pictures themselves.
pub(crate) async fn attach(
    records: &Records,
    data_dir: &Path,
    (district, cameras): (&District, &[(Camera, Credentials)]),
) -> anyhow::Result<()> {
    for camera in district.cameras.iter().filter(|camera| is_pushed(&camera.camera)) {
        records
            .put_camera(&camera.camera, ACTOR)
            .await
            .context("cannot attach a camera of the demo")?;
    }
    let vault = Vault::open(data_dir).context("cannot open the vault of camera passwords")?;
    for (camera, credentials) in cameras {
        let attached = async {
            records.put_camera(camera, ACTOR).await?;
            records
                .put_camera_credentials(&camera.key, credentials, &vault, ACTOR)
                .await
        };
        attached
            .await
            .with_context(|| format!("cannot attach the demo's camera {}", camera.key))?;
    }
    Ok(())
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
