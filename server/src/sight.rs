//! Cameras at work: attached as the records say, judged by models, kept as evidence, told to the log and the pages.
//!
//! Here `camera`, `vision`, `store` and the log meet. What each may not know is handed over as a type of `domain`.

mod engine;
mod eye;
mod keeper;
mod marks;
mod pages;
mod voice;
mod watcher;

use std::{
    collections::HashMap,
    sync::{Arc, RwLock, RwLockWriteGuard},
    time::Duration,
};

use anyhow::Context;
use camera::{
    attach::{CameraSet, Shared},
    decode::{DecodeOptions, DecodePool},
    guard::{Guard, Network},
    live::{LiveOptions, LiveSeats},
    ring::RingLimits,
    source::{SourceContext, Timing},
};
use domain::{CameraKey, CameraSource, Clock, Scope, batch::Picture};
use store::{Archive, Records, SeriesStore, Vault, evidence::ArchiveOptions};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use engine::Models;
use eye::Eye;
use keeper::Keeper;
use voice::Voice;

pub(crate) use engine::open_models;

/// How often the records are asked whether cameras changed.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// How often evidence whose time is over is thrown away.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// How long cameras and models may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// A picture that was published longer ago than this is not shown as if it were new, in milliseconds.
const FRESH_MS: i64 = 30_000;

/// Everything about cameras, opened and not yet running. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sight(Arc<Inner>);

struct Inner {
    records: Records,
    series: SeriesStore,
    vault: Vault,
    archive: Archive,
    keeper: Keeper,
    voice: Voice,
    clock: Clock,
    zone: jiff::tz::TimeZone,
    guard: Guard,
    set: CameraSet,
    models: Models,
    options: Options,
    eyes: RwLock<HashMap<CameraKey, Arc<Eye>>>,
    changed: Notify,
}

/// What the configuration says of watching.
#[derive(Debug, Clone, Copy)]
struct Options {
    forced_look_ms: i64,
    before_ms: i64,
    after_ms: i64,
}

/// What is handed in.
pub(crate) struct Parts {
    pub(crate) records: Records,
    pub(crate) series: SeriesStore,
    pub(crate) journal: journal::Journal,
    pub(crate) clock: Clock,
}

impl Sight {
    /// Opens vault, archive and the models' cards, and starts the threads that decode. Models start with the first
    /// camera.
    pub(crate) fn open(config: &Config, parts: Parts) -> anyhow::Result<Sight> {
        let dir = &config.data_dir.0;
        let vault = Vault::open(dir).context("cannot open the vault of camera passwords")?;
        let mut archive = ArchiveOptions::new(dir.join("evidence"));
        archive.max_bytes = config.evidence.disk_cap_mib << 20;
        let archive =
            Archive::open(archive, parts.clock.clone()).context("cannot open the evidence archive")?;
        let guard = guard_of(config)?;
        let millis = |s: u64| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000);
        let pool = DecodePool::start(DecodeOptions::default()).context("cannot start the decoders")?;
        let viewers = u32::try_from(config.cameras.viewers).unwrap_or(u32::MAX);
        let shared = Shared {
            context: SourceContext {
                guard: guard.clone(),
                clock: parts.clock.clone(),
                timing: Timing::default(),
            },
            seats: LiveSeats::new(viewers),
            live: LiveOptions {
                per_camera: u32::try_from(config.cameras.viewers_per_camera).unwrap_or(u32::MAX),
                ..LiveOptions::default()
            },
            ring: RingLimits {
                seconds: u32::try_from(config.cameras.ring_s).unwrap_or(u32::MAX),
                bytes: config.cameras.ring_mib << 20,
            },
        };
        let keeper = Keeper::new(
            archive.clone(),
            parts.series.clone(),
            parts.records.clone(),
            parts.clock.clone(),
        );
        Ok(Sight(Arc::new(Inner {
            keeper,
            voice: Voice::new(parts.journal),
            zone: jiff::tz::TimeZone::get(&config.site.time_zone).unwrap_or(jiff::tz::TimeZone::UTC),
            set: CameraSet::new(shared, pool),
            models: Models::open(&config.vision)?,
            options: Options {
                forced_look_ms: millis(config.vision.forced_look_s),
                before_ms: millis(config.evidence.before_s),
                after_ms: millis(config.evidence.after_s),
            },
            guard,
            vault,
            archive,
            records: parts.records,
            series: parts.series,
            clock: parts.clock,
            eyes: RwLock::default(),
            changed: Notify::new(),
        })))
    }

    /// Hands on a picture that a camera published over MQTT. One that is old, because the log is being read again, or
    /// that nobody watches for is passed over.
    pub(crate) fn offer(&self, picture: Picture) {
        let inner = &self.0;
        let old = inner.clock.now().ms_since(picture.received) > FRESH_MS;
        let Some(eye) = inner.eye(&picture.camera).filter(|_| !old) else {
            return;
        };
        if eye.camera.source == CameraSource::Pushed
            && let Err(why) = eye.handle.offer(picture.jpeg.into())
        {
            warn!(camera = %picture.camera, "A published picture cannot be read: {why}");
        }
    }

    /// Watches the cameras on record until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut crew = Crew {
            inner: Arc::clone(&self.0),
            watchers: JoinSet::new(),
            stops: HashMap::new(),
            starting: JoinSet::new(),
            version: None,
            failing: false,
        };
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let mut events = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.0.changed.notified() => {}
                event = self.0.models.next_event(&mut events) => self.0.mend(event).await,
                _ = sweep.tick() => self.0.sweep().await,
            }
            crew.look().await;
        }
        crew.stop().await;
        Ok(())
    }
}

impl Inner {
    fn eye(&self, camera: &CameraKey) -> Option<Arc<Eye>> {
        let eyes = self.eyes.read().expect("no code panics while it holds the eyes");
        eyes.get(camera).cloned()
    }

    fn eyes_mut(&self) -> RwLockWriteGuard<'_, HashMap<CameraKey, Arc<Eye>>> {
        self.eyes.write().expect("no code panics while it holds the eyes")
    }

    async fn sweep(&self) {
        if let Err(why) = self.keeper.sweep().await {
            error!("Evidence whose time is over was not removed: {why:#}");
        }
    }
}

/// The watchers of all cameras.
struct Crew {
    inner: Arc<Inner>,
    watchers: JoinSet<CameraKey>,
    stops: HashMap<CameraKey, CancellationToken>,
    /// The start of the models, while it lasts.
    starting: JoinSet<()>,
    /// The records' version that was last taken up.
    version: Option<i64>,
    /// Whether the last look failed: a lasting failure is logged once.
    failing: bool,
}

impl Crew {
    /// Attaches, changes and lets go cameras as the records say.
    async fn look(&mut self) {
        match self.reconcile().await {
            Ok(()) => self.failing = false,
            Err(why) if !self.failing => {
                self.failing = true;
                error!("Changes of cameras are not seen until this ends: {why:#}");
            }
            Err(_) => {}
        }
        while let Some(ended) = self.watchers.try_join_next() {
            if let Err(panicked) = ended {
                error!("The watcher of a camera panicked: {panicked}");
            }
        }
    }

    async fn reconcile(&mut self) -> anyhow::Result<()> {
        let inner = Arc::clone(&self.inner);
        let version = inner.records.directory_version().await?;
        if self.version == Some(version) {
            return Ok(());
        }
        let cameras = inner.records.cameras(&Scope::everything(), None).await?;
        let watched = |camera: &domain::Camera| camera.enabled && camera.source != CameraSource::External;
        let wanted: HashMap<CameraKey, domain::Camera> = cameras
            .into_iter()
            .filter(watched)
            .map(|camera| (camera.key.clone(), camera))
            .collect();
        let gone: Vec<CameraKey> = self
            .stops
            .keys()
            .filter(|key| !wanted.contains_key(*key))
            .cloned()
            .collect();
        for key in gone {
            self.let_go(&key).await;
        }
        if !wanted.is_empty() && inner.models.are_wanted() {
            let of_models = Arc::clone(&inner);
            self.starting.spawn_blocking(move || of_models.models.start());
        }
        for camera in wanted.into_values() {
            let credentials = inner
                .records
                .camera_credentials(&camera.key, &inner.vault)
                .await?;
            let taught = inner.taught(&camera.key).await?;
            let known = inner.eye(&camera.key);
            if let Some(eye) = known.filter(|eye| *eye.camera == camera && eye.credentials == credentials) {
                eye.teach(taught);
                continue;
            }
            self.let_go(&camera.key).await;
            let handle = inner.set.put(camera.clone(), credentials.clone()).await?;
            let eye = Arc::new(Eye::new(camera, credentials, handle, taught));
            self.attach(eye);
        }
        self.version = Some(version);
        Ok(())
    }

    fn attach(&mut self, eye: Arc<Eye>) {
        let key = eye.camera.key.clone();
        info!(camera = %key, "A camera is attached.");
        let stop = CancellationToken::new();
        self.stops.insert(key.clone(), stop.clone());
        self.inner.eyes_mut().insert(key.clone(), Arc::clone(&eye));
        let inner = Arc::clone(&self.inner);
        self.watchers.spawn(async move {
            watcher::watch(inner, eye, stop).await;
            key
        });
    }

    async fn let_go(&mut self, key: &CameraKey) {
        let Some(stop) = self.stops.remove(key) else {
            return;
        };
        stop.cancel();
        self.inner.eyes_mut().remove(key);
        if let Some(engine) = self.inner.models.engine() {
            engine.workers.forget(key);
        }
        self.inner.set.remove(key).await;
        info!(camera = %key, "A camera is let go.");
    }

    async fn stop(mut self) {
        for stop in self.stops.values() {
            stop.cancel();
        }
        let ended = tokio::time::timeout(STOP_WITHIN, async {
            while self.watchers.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            warn!("Watchers of cameras did not stop in time and were left behind.");
            self.watchers.abort_all();
        }
        let left = self.inner.set.stop(STOP_WITHIN).await;
        if left > 0 {
            warn!(
                tasks = left,
                "Connections of cameras did not end in time and were cut off."
            );
        }
        let inner = Arc::clone(&self.inner);
        let closed = tokio::task::spawn_blocking(move || {
            inner.models.stop(STOP_WITHIN);
            inner.archive.close()
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => error!("The evidence archive was not closed; what was kept is on disk: {why}"),
            Err(panicked) => {
                error!("Closing models and evidence panicked; what was kept is on disk: {panicked}")
            }
        }
    }
}

/// The guard of outbound addresses that the configuration asks for.
pub(crate) fn guard_of(config: &Config) -> anyhow::Result<Guard> {
    let networks = &config.cameras.allowed_networks;
    let parsed: Result<Vec<Network>, _> = networks.iter().map(|text| text.parse::<Network>()).collect();
    let parsed = parsed.context("option cameras.allowed_networks")?;
    Guard::new(parsed).context("option cameras.allowed_networks")
}
