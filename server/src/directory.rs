//! Who may sign in and what is measured where, as the running process knows it: read at start, read again
//! when the record store says that something changed — also by the command line in another process.

use std::{
    collections::HashMap,
    future::Future,
    path::Path,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alerts::AlertHandle;
use anyhow::Context;
use broker::{BrokerHandle, IdentityDirectory};
use domain::{Access, Identity, IdentityName, Scope, SecretHash, SeriesId, SeriesKey, Unit};
use ingest::{SeriesDirectory, TooManySeries};
use store::{Records, SeriesStore};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{config::Service, secret_file::first_line};

/// How often the record store is asked whether something changed. A revoked device is cut off within a
/// second, this included.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Numbers for series and units for points, for ingest.
#[derive(Clone)]
pub(crate) struct PointDirectory {
    series: SeriesStore,
    units: Arc<RwLock<HashMap<SeriesKey, Unit>>>,
    version: Arc<AtomicU64>,
}

impl PointDirectory {
    pub(crate) fn new(series: SeriesStore) -> PointDirectory {
        PointDirectory {
            series,
            units: Arc::default(),
            version: Arc::default(),
        }
    }

    /// Reads the points anew.
    pub(crate) async fn reload(&self, records: &Records) -> anyhow::Result<()> {
        let points = records
            .points(&Scope::everything(), None)
            .await
            .context("cannot read the points")?;
        let units = points.iter().map(|point| (point.key(), point.unit)).collect();
        *self
            .units
            .write()
            .expect("no code panics while it holds the units") = units;
        self.version.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

impl SeriesDirectory for PointDirectory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        self.series.resolve(key).map_err(|refused| {
            error!(series = %key, "No number for a new series: {refused}");
            TooManySeries
        })
    }

    fn unit(&self, key: &SeriesKey) -> Option<Unit> {
        self.units
            .read()
            .expect("no code panics while it holds the units")
            .get(key)
            .copied()
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
    let secret = random_secret()?;
    let hash = hash(&secret)?;
    Ok((secret, hash))
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
    broker: BrokerHandle,
    alerts: AlertHandle,
) -> impl FnOnce(CancellationToken) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> {
    move |stop| {
        Box::pin(async move {
            let watch = Watch {
                records,
                identities,
                points,
                broker,
                alerts,
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
        for name in self.identities.refresh(&self.records).await? {
            info!(identity = %name, "Ending the sessions of an identity that may no longer sign in as it did.");
            self.broker.revoke(&name);
        }
        self.points.reload(&self.records).await?;
        self.alerts.reload_points().await?;
        seen.version = Some(version);
        Ok(())
    }
}
