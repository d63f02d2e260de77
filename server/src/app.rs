//! The composition root: opens every part, hands each what it may know, and runs them all.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use broker::{Broker, BrokerOptions};
use dashboard::{DashboardState, SiteInfo};
use domain::{Clock, LogPosition, PersonId, TimeRange, UtcMillis};
use journal::{Journal, Position, TimeSource};
use store::{DeviceBook, ProfileBook, Records, Remote, SeriesOptions, SeriesStore, TimeSeries, Vault};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Config, births,
    directory::{self, Identities, PointDirectory, watch_directory},
    figures::Figures,
    findings::FindingQueue,
    forward::{self, Forwarding},
    intake::{self, IntakeParts},
    messages,
    pipeline::{self, Pipeline, Upkeep},
    shutdown::{Stages, Task},
    sight::{Parts as SightParts, Sight},
};

/// The journal cursor below which readings and verdicts are stored elsewhere.
pub(crate) const INGEST_CURSOR: &str = "ingest";

/// Batches that may wait for judgement before ingest waits too.
const BATCHES_WAITING: usize = 16;

/// Why the product does not start. The text names the cause and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct BuildError(#[from] anyhow::Error);

/// What listens where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Pages and API.
    pub http: SocketAddr,
    /// Devices.
    pub mqtt: SocketAddr,
    /// What comes by HTTP; `None` when nothing may.
    pub intake: Option<SocketAddr>,
}

/// Everything, opened and bound, not yet running.
pub struct App {
    pub(crate) config: Config,
    pub(crate) records: Records,
    clock: Clock,
    journal: Journal,
    series: SeriesStore,
    devices: DeviceBook,
    engine: alerts::Engine,
    broker: Broker,
    http: TcpListener,
    intake: Option<TcpListener>,
    profiles: ProfileBook,
    vault: Vault,
    identities: Identities,
    directory: PointDirectory,
    findings: FindingQueue,
    sight: Sight,
    remote: Option<Remote>,
    demo: bool,
    demo_people: Vec<(PersonId, String)>,
    _lock: DataLock,
}

impl App {
    /// Opens the stores, replays nothing yet, and binds every listener.
    ///
    /// # Errors
    /// [`BuildError`] when a folder, a file or an address cannot be had.
    pub async fn build(config: Config, clock: Clock) -> Result<App, BuildError> {
        let folder = DataFolder::open(&config, &clock).await?;
        Ok(Self::on(folder, config, clock).await?)
    }

    /// The same on a folder that is already held, so that whoever holds it can write into its records first.
    pub(crate) async fn on(folder: DataFolder, config: Config, clock: Clock) -> anyhow::Result<App> {
        let DataFolder { records, lock } = folder;
        let records = records.practising(messages::practice(&config)?);
        let dir = config.data_dir.0.clone();
        let series = open_series(&config, series_dir(&dir), &clock)?;
        let remote = config.timeseries.open()?;
        let journal = open_journal(&config, &dir, &clock)?;
        // Of a store without series there is no past.
        let past = (series.stats().series > 0).then(|| TimeRange {
            from: UtcMillis(0),
            to: clock.now(),
        });
        forward::prepare(&config.timeseries, (&journal, &records), past).await?;
        let devices = DeviceBook::new();

        let engine = open_engine(&config, &records, &series, &clock).await?;
        let identities = Identities::open(&config.mqtt.service, &records).await?;
        let profiles = ProfileBook::new(directory::profiles(config.ingest.profiles_dir.as_deref())?);
        let directory = PointDirectory::new(series.clone(), profiles.clone());
        directory.reload(&records).await?;

        let sight = open_sight(&config, &records, &series, &journal, &clock).await?;
        let options = BrokerOptions {
            listen: config.mqtt.listen,
            limits: config.mqtt.limits(),
            anonymous_as: config.mqtt.anonymous_as.clone(),
            dir: dir.join("broker"),
        };
        let broker = Broker::bind(options, identities.access(), journal.clone(), clock.clone())
            .await
            .context("cannot start the MQTT listener; is the address in use? Set [mqtt] listen")?;
        let http = listen(config.http.listen, "pages; is it in use? Set [http] listen").await?;
        let intake = match config.intake.listen {
            Some(address) => Some(listen(address, "HTTP intake; is it in use? Set [intake] listen").await?),
            None => None,
        };
        Ok(App {
            config,
            records,
            clock,
            journal,
            series,
            devices,
            engine,
            broker,
            http,
            intake,
            profiles,
            vault: Vault::open(&dir).context("cannot open the vault of secrets")?,
            identities,
            directory,
            findings: FindingQueue::default(),
            sight,
            remote,
            demo: false,
            demo_people: Vec::new(),
            _lock: lock,
        })
    }

    /// Says on the pages that this is the demo district, in which these people sign in with one press.
    #[must_use]
    pub fn as_demo(mut self, people: Vec<(PersonId, String)>) -> App {
        self.demo = true;
        self.demo_people = people;
        self
    }

    /// The time-series store.
    pub(crate) fn series(&self) -> &SeriesStore {
        &self.series
    }

    /// What listens where.
    ///
    /// # Errors
    /// When the system does not tell the bound address.
    pub fn addrs(&self) -> Result<Addresses, BuildError> {
        let http = self
            .http
            .local_addr()
            .context("the page listener has no address")?;
        Ok(Addresses {
            http,
            mqtt: self.broker.local_addr(),
            intake: self
                .intake
                .as_ref()
                .map(TcpListener::local_addr)
                .transpose()
                .context("the listener of HTTP intake has no address")?,
        })
    }

    /// Runs until `stop` is cancelled, then stops in order: devices → time → log → ingest → judgement →
    /// readings to disk → pages. A part that does not stop in time is named in the log and left behind.
    ///
    /// # Errors
    /// When a part fails that nothing works without.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let deadline = Duration::from_secs(self.config.shutdown.deadline_s);
        let mut stages = Stages::new(stop, deadline);
        let mut figures = Figures::new(&self);
        let forwarding = match self.remote.clone() {
            Some(remote) => {
                let (forwarding, shown) = Forwarding::open(&self, remote, figures.progress())?;
                figures = figures.with_forwarding(shown);
                Some(forwarding)
            }
            None => None,
        };
        let alerts = self.engine.handle();
        let broker_handle = self.broker.handle();
        let (series, journal) = (self.series.clone(), self.journal.clone());
        let intake_parts = self.intake_parts();

        let messenger = self.messenger()?;
        let pages = dashboard::build(self.dashboard_state(&figures, messenger.handle()))?;

        let (wishes, wished) = tokio::sync::mpsc::channel(births::WISHES_WAITING);
        let pipeline = Pipeline::open(&self, figures.progress(), wishes)?;
        let (batches, waiting) = tokio::sync::mpsc::channel(BATCHES_WAITING);

        let broker = self.broker;
        stages.add(
            Task::Devices,
            move |stop| async move { Ok(broker.run(stop).await?) },
        );
        serve_intake(&mut stages, self.intake, intake_parts);
        let (asking, clock) = (broker_handle.clone(), self.clock.clone());
        stages.add(Task::Wishes, move |stop| {
            births::grant(wished, asking, clock, stop)
        });
        let sight = self.sight;
        stages.add(Task::Cameras, move |stop| sight.run(stop));
        let ticking = journal.clone();
        stages.add(Task::Time, move |stop| pipeline::tick(ticking, stop));
        stages.add(
            Task::Directory,
            watch_directory(
                self.records.clone(),
                self.identities,
                self.directory,
                (broker_handle, alerts.clone()),
                journal.clone(),
            ),
        );
        stages.add_thread(Task::Ingest, move || pipeline.run(&batches))?;
        let engine = self.engine;
        stages.add(
            Task::Judgement,
            move |_| async move { Ok(engine.run(waiting).await?) },
        );
        stages.add(Task::Messages, move |stop| async move {
            messenger.run(stop).await;
            Ok(())
        });
        let (findings, records) = (self.findings.clone(), self.records.clone());
        stages.add(Task::Findings, move |stop| findings.run(records, stop));
        let upkeep = Upkeep::new(series.clone(), alerts, self.findings, journal.clone());
        stages.add(Task::Maintenance, move |stop| pipeline::maintain(upkeep, stop));
        if let Some(forwarding) = forwarding {
            stages.add(Task::Forwarding, move |stop| forwarding.run(stop));
        }
        serve_pages(&mut stages, self.http, pages);
        let result = stages.run(&journal, &series).await;
        self.records.close().await;
        result
    }

    fn messenger(&self) -> anyhow::Result<alerts::Messenger> {
        let http = self
            .http
            .local_addr()
            .context("the page listener has no address")?;
        let parts = messages::Parts {
            records: self.records.clone(),
            alerts: self.engine.handle(),
            archive: self.sight.archive(),
            broker: self.broker.handle(),
            clock: self.clock.clone(),
            http,
        };
        messages::open(&self.config, parts)
    }

    fn dashboard_state(&self, figures: &Figures, messages: alerts::MessageHandle) -> DashboardState {
        let (stats, broker) = (figures.clone(), self.broker.handle());
        let now = self.clock.clone();
        DashboardState {
            series: self.series.clone(),
            timeseries: self.timeseries(),
            records: self.records.clone(),
            devices: self.devices.clone(),
            alerts: self.engine.handle(),
            messages,
            stats: Arc::new(move || stats.gather()),
            refusals: Arc::new(move || broker.refusals()),
            clock: self.clock.clone(),
            sight: self.sight.for_pages(),
            evidence: Some(self.sight.archive()),
            demo_people: self.demo_people.clone().into(),
            profiles: self.profiles.clone(),
            try_profile: Arc::new(move |profile, topic, payload| {
                ingest::try_profile(profile, topic, payload, now.now())
            }),
            signing_key: self.signing_key(),
            site: SiteInfo {
                name_zh: self.config.site.name_zh.clone(),
                name_en: self.config.site.name_en.clone(),
                mqtt_addr: self.broker.local_addr().to_string(),
                intake_addr: self
                    .intake
                    .as_ref()
                    .and_then(|listener| listener.local_addr().ok())
                    .map(|address| address.to_string()),
                demo: self.demo,
                time_zone: self.config.site.time_zone.clone(),
            },
        }
    }

    fn intake_parts(&self) -> IntakeParts {
        IntakeParts {
            broker: self.broker.handle(),
            journal: self.journal.clone(),
            vault: self.vault.clone(),
            clock: self.clock.clone(),
            requests_per_second: self.config.intake.requests_per_second,
        }
    }

    /// Where nothing comes by HTTP, nothing is signed.
    fn signing_key(&self) -> Option<dashboard::SigningKey> {
        let vault = self.vault.clone();
        let key = move |identity: &domain::Identity| vault.signing_key(identity);
        self.intake
            .as_ref()
            .map(|_| Arc::new(key) as dashboard::SigningKey)
    }

    /// Readings, wherever they are. A mirror is written to and never asked.
    fn timeseries(&self) -> TimeSeries {
        let config = &self.config.timeseries;
        let (series, clock) = (self.series.clone(), self.clock.clone());
        match self.remote.clone().filter(|_| config.is_primary()) {
            Some(remote) => TimeSeries::with_remote(series, remote, config.local_ms(), clock),
            None => TimeSeries::embedded(series, clock),
        }
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            journal: &self.journal,
            series: &self.series,
            devices: &self.devices,
            directory: &self.directory,
            findings: &self.findings,
            sight: &self.sight,
            broker: &self.broker,
            clock: &self.clock,
            data_dir: &self.config.data_dir.0,
            future_limit_s: self.config.ingest.future_limit_s,
            judged: LogPosition(self.engine.position().0),
        }
    }
}

/// What the wiring modules may see of the app.
pub(crate) struct Parts<'a> {
    pub(crate) journal: &'a Journal,
    pub(crate) series: &'a SeriesStore,
    pub(crate) devices: &'a DeviceBook,
    pub(crate) directory: &'a PointDirectory,
    pub(crate) findings: &'a FindingQueue,
    pub(crate) sight: &'a Sight,
    pub(crate) broker: &'a Broker,
    pub(crate) clock: &'a Clock,
    pub(crate) data_dir: &'a Path,
    pub(crate) future_limit_s: i64,
    /// Judgement has seen everything before this.
    pub(crate) judged: LogPosition,
}

async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} for {what}"))
}

async fn axum_serve(
    listener: TcpListener,
    router: axum::Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

pub(crate) async fn open_records(dir: &Path, clock: &Clock) -> anyhow::Result<Records> {
    let path = dir.join("records.db");
    Records::open(&path, clock.clone())
        .await
        .with_context(|| format!("cannot open the record store {}", path.display()))
}

/// Models are verified and warmed: that takes a moment, on a thread of its own.
async fn open_sight(
    config: &Config,
    records: &Records,
    series: &SeriesStore,
    journal: &Journal,
    clock: &Clock,
) -> anyhow::Result<Sight> {
    let parts = SightParts {
        records: records.clone(),
        series: series.clone(),
        journal: journal.clone(),
        clock: clock.clone(),
    };
    let config = config.clone();
    let opened = tokio::task::spawn_blocking(move || Sight::open(&config, parts)).await;
    opened.context("opening cameras and models panicked")?
}

/// Readings that come by HTTP, where that is configured.
fn serve_intake(stages: &mut Stages, listener: Option<TcpListener>, parts: IntakeParts) {
    let Some(listener) = listener else { return };
    let routes = intake::routes(parts);
    stages.add(Task::Intake, move |stop| async move {
        Ok(axum_serve(listener, routes, stop).await?)
    });
}

/// Pages and API, and what open pages are told.
fn serve_pages(stages: &mut Stages, http: TcpListener, pages: dashboard::Dashboard) {
    stages.add(Task::Live, move |stop| async move {
        pages.feed.run(stop).await;
        Ok(())
    });
    stages.add(Task::Pages, move |stop| async move {
        Ok(axum_serve(http, pages.router, stop).await?)
    });
}

/// Judgement as it was left, with the rules of this place.
async fn open_engine(
    config: &Config,
    records: &Records,
    series: &SeriesStore,
    clock: &Clock,
) -> anyhow::Result<alerts::Engine> {
    let rules = pipeline::rules(&config.rules.all_packs())?;
    let place = place(config)?;
    alerts::Engine::open_in(place, records.clone(), series.clone(), rules, clock.clone())
        .await
        .context("cannot restore judgement from the record store")
}

/// The clocks of the place, and the packs that its regions have chosen.
pub(crate) fn place(config: &Config) -> anyhow::Result<alerts::Place> {
    let name = &config.site.time_zone;
    let zone = jiff::tz::TimeZone::get(name);
    let zone = zone.with_context(|| format!("option site.time_zone: {name:?} is no time zone"))?;
    let regions = config.rules.region.iter();
    Ok(alerts::Place {
        zone: dashboard::offsets(&zone),
        packs: config.rules.packs.clone(),
        regions: regions.map(|r| (r.id.clone(), r.packs.clone())).collect(),
    })
}

/// Where the time-series store is in the data folder.
pub(crate) fn series_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("series")
}

/// Opens the time-series store in `dir`.
pub(crate) fn open_series(config: &Config, dir: PathBuf, clock: &Clock) -> anyhow::Result<SeriesStore> {
    let options = SeriesOptions {
        dir,
        shards: config.series.shards,
        flush_readings: config.series.flush_readings,
        flush_age_ms: config.series.flush_age_s * 1000,
        max_series: config.series.max_series,
        raw_days: config.series.raw_days,
        minute_days: config.series.minute_days,
        hour_days: config.series.hour_days,
    };
    SeriesStore::open(options, clock.clone()).context("cannot open the time-series store")
}

pub(crate) fn journal_dir(config: &Config) -> PathBuf {
    config.data_dir.0.join("journal")
}

fn open_journal(config: &Config, dir: &Path, clock: &Clock) -> anyhow::Result<Journal> {
    let journal = &config.journal;
    let options = journal::Options {
        dir: dir.join("journal"),
        segment_bytes: journal.segment_mib << 20,
        capacity_bytes: journal.capacity_mib << 20,
        commit_interval: Duration::from_millis(journal.commit_interval_ms),
        commit_bytes: journal.commit_kib << 10,
        queue_bytes: journal.queue_mib << 20,
    };
    let journal = Journal::open(options, log_time(clock.clone())).context("cannot open the journal")?;
    // Registered before anything is appended, so that no segment is freed before it was read.
    journal
        .cursor(INGEST_CURSOR)
        .context("cannot read the journal's cursors")?;
    Ok(journal)
}

/// The log's time: the wall clock, except that it goes on at its own pace where somebody sets that clock back.
/// Timers of rules live on it, and gas must not wait until a clock has caught up.
fn log_time(clock: Clock) -> TimeSource {
    let anchor = Mutex::new((clock.now(), Instant::now()));
    Arc::new(move || {
        let mut anchor = anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let (from, since) = *anchor;
        let passed = from + i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let wall = clock.now();
        if wall >= passed {
            *anchor = (wall, Instant::now());
        }
        wall.max(passed).0
    })
}

/// The journal's word for a position of `domain`: the same number in two vocabularies, because the journal
/// knows no crate of ours.
pub(crate) fn to_journal(position: LogPosition) -> Position {
    Position(position.0)
}

/// A data folder that is ours alone, with its records open.
pub(crate) struct DataFolder {
    pub(crate) records: Records,
    lock: DataLock,
}

impl DataFolder {
    pub(crate) async fn open(config: &Config, clock: &Clock) -> anyhow::Result<DataFolder> {
        let dir = &config.data_dir.0;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the data folder {}; set data_dir", dir.display()))?;
        crate::backup::refuse_unfinished(dir)?;
        let lock = DataLock::take(dir)?;
        Ok(DataFolder {
            records: open_records(dir, clock).await?,
            lock,
        })
    }
}

/// Holds the data folder: two processes on one journal would destroy it.
pub(crate) struct DataLock(
    #[expect(dead_code, reason = "held for its lock, which ends when the file closes")] File,
);

impl DataLock {
    pub(crate) fn take(dir: &Path) -> anyhow::Result<DataLock> {
        let path = dir.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.try_lock().with_context(|| {
            format!(
                "another sunshine process uses {}; stop it, or set another data_dir",
                dir.display()
            )
        })?;
        Ok(DataLock(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_log() {
        let clock = Clock::simulated(UtcMillis(10_000));
        let time = log_time(clock.clone());
        assert!(time() >= 10_000);
        clock.set(UtcMillis(1_000));
        let deadline = Instant::now() + Duration::from_secs(10);
        while time() < 10_005 {
            assert!(Instant::now() < deadline, "it stands still at {}", time());
            std::thread::yield_now();
        }
        clock.set(UtcMillis(50_000));
        assert!(time() >= 50_000, "it follows the clock forward");
    }
}
