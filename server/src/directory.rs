//! Who may sign in and what is measured where, as the running process knows it: read at start, read again
//! when the record store says that something changed — also by the command line in another process.

use std::{
    collections::HashMap,
    future::Future,
    path::Path,
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alerts::AlertHandle;
use anyhow::Context;
use broker::{BrokerHandle, IdentityDirectory};
use domain::{
    Access, Calibration, DeviceId, FacilityId, Identity, IdentityName, Profile, Profiles, Scope, SecretHash,
    SeriesId, SeriesKey, Unit, VendorRoot, profile::STANDARD,
};
use ingest::{SeriesDirectory, TooManySeries};
use journal::{Envelope, Journal, Kind};
use store::{ProfileBook, Records, SeriesStore};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{config::Service, secret_file::first_line};

/// How often the record store is asked whether something changed. A revoked device is cut off within a
/// second, this included.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Numbers for series, units for points, profiles for devices and corrections for sensors, for ingest.
#[derive(Clone)]
pub(crate) struct PointDirectory {
    series: SeriesStore,
    profiles: ProfileBook,
    known: Arc<RwLock<Known>>,
    version: Arc<AtomicU64>,
}

/// What the record store says of devices.
#[derive(Default)]
struct Known {
    units: HashMap<SeriesKey, Unit>,
    /// Those of devices that do not speak our own form plainly.
    profiles: HashMap<(FacilityId, DeviceId), Arc<str>>,
    calibrations: HashMap<SeriesKey, Calibration>,
    roots: HashMap<VendorRoot, (FacilityId, DeviceId)>,
}

impl PointDirectory {
    pub(crate) fn new(series: SeriesStore, profiles: ProfileBook) -> PointDirectory {
        PointDirectory {
            series,
            profiles,
            known: Arc::default(),
            version: Arc::default(),
        }
    }

    /// Reads points, devices and calibrations anew.
    pub(crate) async fn reload(&self, records: &Records) -> anyhow::Result<()> {
        let everything = Scope::everything();
        let profiles = self.profiles.reload(records).await;
        profiles.context("cannot read the profiles")?;
        let points = records
            .points(&everything, None)
            .await
            .context("cannot read the points")?;
        let devices = records
            .devices(&everything, None)
            .await
            .context("cannot read the devices")?;
        let calibrations = records
            .calibrations(&everything, None)
            .await
            .context("cannot read the calibrations")?;
        let mut known = Known {
            units: points.iter().map(|point| (point.key(), point.unit)).collect(),
            calibrations: calibrations.into_iter().map(|c| (c.key.clone(), c)).collect(),
            ..Known::default()
        };
        for identity in devices {
            if let Access::Device {
                facility,
                device,
                profile,
                root,
            } = identity.access
            {
                self.learn(&mut known, ((facility, device), &profile, root));
            }
        }
        *self
            .known
            .write()
            .expect("no code panics while it holds what is known") = known;
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    fn learn(
        &self,
        known: &mut Known,
        (device, name, root): ((FacilityId, DeviceId), &str, Option<VendorRoot>),
    ) {
        if let Some(root) = root {
            known.roots.insert(root, device.clone());
        }
        if name == STANDARD {
            return;
        }
        match self.profiles.get(name) {
            Some(_) => drop(known.profiles.insert(device, name.into())),
            None => error!(
                device.id = %device.1,
                profile = name,
                "A device's profile does not exist; it is read in our own form. Put its file back, or give the device \
                 another profile."
            ),
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known
            .read()
            .expect("no code panics while it holds what is known")
    }
}

/// The profiles that come with the product and those in the operator's folder.
pub(crate) fn profiles(dir: Option<&Path>) -> anyhow::Result<Profiles> {
    let built_in = Profiles::built_in();
    let Some(dir) = dir else {
        return Ok(built_in);
    };
    let what = || {
        format!(
            "cannot read the folder of profiles {}; set ingest.profiles_dir",
            dir.display()
        )
    };
    let mut own = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            own.push((path.display().to_string(), text));
        }
    }
    own.sort();
    built_in.with(own).context("option ingest.profiles_dir")
}

impl SeriesDirectory for PointDirectory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        self.series.resolve(key).map_err(|refused| {
            error!(series = %key, "No number for a new series: {refused}");
            TooManySeries
        })
    }

    fn unit(&self, key: &SeriesKey) -> Option<Unit> {
        self.known().units.get(key).copied()
    }

    /// Those that nobody can change while the product runs: what was written on the pages, the log says.
    fn profile(&self, facility: &FacilityId, device: &DeviceId) -> Option<Arc<Profile>> {
        self.profiles.fixed(&self.profile_name(facility, device)?)
    }

    fn profile_name(&self, facility: &FacilityId, device: &DeviceId) -> Option<Arc<str>> {
        let key = (facility.clone(), device.clone());
        self.known().profiles.get(&key).cloned()
    }

    fn calibration(&self, key: &SeriesKey) -> Option<Calibration> {
        self.known().calibrations.get(key).cloned()
    }

    fn owner(&self, topic: &str) -> Option<(FacilityId, DeviceId)> {
        self.known().roots.get(&VendorRoot::of_topic(topic)?).cloned()
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }
}

/// The identities of the record store and of the configuration, together, and the broker's list of them.
pub(crate) struct Identities {
    services: Vec<Identity>,
    access: IdentityDirectory,
}

impl Identities {
    /// Reads everybody who may sign in now into a new list for the broker.
    pub(crate) async fn open(services: &[Service], records: &Records) -> anyhow::Result<Identities> {
        let services: Vec<Identity> = services.iter().map(service).collect::<anyhow::Result<_>>()?;
        let access = IdentityDirectory::new(everybody(&services, records).await?);
        Ok(Identities { services, access })
    }

    /// The broker's list.
    pub(crate) fn access(&self) -> IdentityDirectory {
        self.access.clone()
    }

    /// Brings the broker's list up to date; answers with those whose live sessions must end.
    async fn refresh(&self, records: &Records) -> anyhow::Result<Vec<IdentityName>> {
        Ok(self.access.replace(everybody(&self.services, records).await?))
    }
}

async fn everybody(services: &[Identity], records: &Records) -> anyhow::Result<Vec<Identity>> {
    let mut all = records.identities().await.context("cannot read the identities")?;
    all.extend(services.iter().cloned());
    Ok(all)
}

fn service(service: &Service) -> anyhow::Result<Identity> {
    let secret = match &service.secret_file {
        Some(path) => service_secret(path)?,
        // Nobody knows these 32 bytes: only `anonymous_as` reaches this identity.
        None => random_secret()?,
    };
    Ok(Identity {
        name: service.name.clone(),
        access: Access::Service {
            publish: service.publish.clone(),
            subscribe: service.subscribe.clone(),
        },
        secret: hash(&secret)?,
        expires_at: None,
        revoked_at: None,
    })
}

/// The secret of a service.
fn service_secret(path: &Path) -> anyhow::Result<String> {
    let secret = first_line(path)?;
    anyhow::ensure!(
        secret.len() >= 16,
        "{}: a secret has at least 16 characters",
        path.display()
    );
    Ok(secret)
}

/// A fresh secret: 32 random bytes in hexadecimal.
pub(crate) fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the system gives no randomness")?;
    Ok(hex::encode(bytes))
}

/// A fresh secret and its hash.
pub(crate) fn new_secret() -> anyhow::Result<(String, SecretHash)> {
    Ok(store::records::fresh_secret()?)
}

/// A secret's hash under a fresh salt.
fn hash(secret: &str) -> anyhow::Result<SecretHash> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).context("the system gives no randomness")?;
    Ok(SecretHash::of(secret.as_bytes(), salt))
}

/// Returns the task that keeps identities and points current until it is told to stop.
pub(crate) fn watch_directory(
    records: Records,
    identities: Identities,
    points: PointDirectory,
    (broker, alerts): (BrokerHandle, AlertHandle),
    journal: Journal,
) -> impl FnOnce(CancellationToken) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> {
    move |stop| {
        Box::pin(async move {
            let watch = Watch {
                records,
                identities,
                points,
                broker,
                alerts,
                journal,
            };
            watch.run(stop).await
        })
    }
}

struct Watch {
    records: Records,
    identities: Identities,
    points: PointDirectory,
    broker: BrokerHandle,
    alerts: AlertHandle,
    journal: Journal,
}

/// What the watch has seen so far.
#[derive(Default)]
struct Seen {
    /// The record store's version that was last taken up.
    version: Option<i64>,
    /// Whether the last look failed: a lasting failure is logged once.
    failing: bool,
}

impl Watch {
    async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut seen = Seen::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look(&mut seen).await {
                Ok(()) => seen.failing = false,
                Err(e) if !seen.failing => {
                    seen.failing = true;
                    error!("Changes of devices are not seen until this ends: {e:#}");
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> anyhow::Result<()> {
        let version = self.records.directory_version().await?;
        if seen.version == Some(version) {
            return Ok(());
        }
        // First how devices speak, then who may: nobody is heard before it is known how to read them.
        self.log_profiles().await?;
        self.points.reload(&self.records).await?;
        for name in self.identities.refresh(&self.records).await? {
            info!(identity = %name, "Ending the sessions of an identity that may no longer sign in as it did.");
            self.broker.revoke(&name);
        }
        self.alerts.reload_points().await?;
        seen.version = Some(version);
        Ok(())
    }

    /// Hands profiles that were written on the pages to the log: each holds from its record on, so that no replay reads
    /// an earlier message by it. Killed in between, it hands over the same again, which changes nothing.
    async fn log_profiles(&self) -> anyhow::Result<()> {
        for own in self.records.unlogged_profiles().await? {
            let envelope = Envelope {
                kind: Kind::MEANING,
                flags: 0,
                source: "sunshine",
                subject: &own.id,
                attributes: &[],
                body: own.text.as_bytes(),
            };
            let logged = self.journal.append_durable(&envelope).await;
            logged.with_context(|| format!("the profile {} is not in the log", own.id))?;
            self.records.profile_logged(&own).await?;
            info!(
                profile = own.id,
                version = own.version,
                "A profile holds from here on."
            );
        }
        Ok(())
    }
}
