//! The task that looks for what changed.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    fmt,
    hash::{Hash as _, Hasher as _},
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{CameraKey, Case, CaseChange, FacilityId, Scope};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{Frame, Said, Topic, render};
use crate::{
    app::App,
    cameras::{CameraNow, is_smart},
    directory::Directory,
    failure::Failure,
    picture::{FacilityNow, Shown, count_cases},
    view::{camera::still_href, kpis::Figures},
};

/// How often the feed looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Sparklines drawn anew at one look.
const SPARKS_PER_LOOK: usize = 20;
/// Looks between two measurements of the rate.
const RATE_LOOKS: u64 = 5;

/// Keeps open pages up to date. Run it for as long as the router is served.
pub struct LiveFeed {
    app: Arc<App>,
    number: u64,
    tiles: HashMap<FacilityId, u64>,
    parts: HashMap<Topic, u64>,
    cameras: HashMap<CameraKey, u64>,
    findings: Option<u64>,
    figures: Option<Figures>,
    directory_version: Option<i64>,
    stored: Option<(Instant, u64)>,
}

impl fmt::Debug for LiveFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveFeed")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl LiveFeed {
    pub(crate) fn new(app: Arc<App>) -> LiveFeed {
        LiveFeed {
            app,
            number: 0,
            tiles: HashMap::new(),
            parts: HashMap::new(),
            cameras: HashMap::new(),
            findings: None,
            figures: None,
            directory_version: None,
            stored: None,
        }
    }

    /// Feeds every open stream until `stop`; then ends the streams, so that the server can close its
    /// connections, and returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.app.stores.alerts.subscribe();
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let cases = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                change = changes.recv() => match gather(change, &mut changes) {
                    Some(cases) => cases,
                    // Judgement has ended; the figures still change.
                    None => { idle(&stop, &mut ticks).await; Changed::default() }
                },
                _ = ticks.tick() => Changed::default(),
            };
            if let Err(failure) = self.look(cases).await {
                tracing::warn!(cause = failure.cause, "the live feed missed an update");
            }
        }
        self.app.live.closing.cancel();
    }

    /// Looks once at everything somebody is watching, and sends what changed.
    async fn look(&mut self, changed: Changed) -> Result<(), Failure> {
        self.number += 1;
        self.measure_rate();
        if self.app.live.frames.receiver_count() == 0 {
            self.forget();
            return Ok(());
        }
        let app = Arc::clone(&self.app);
        let directory = app.directory().await?;
        let everything = Scope::everything();
        let version_before = self.directory_version.replace(directory.version);
        let mut frame = Frame {
            number: self.number,
            at_ms: app.stores.clock.now().0,
            directory_changed: version_before.is_some_and(|v| v != directory.version),
            cases: changed.cases.iter().map(case_event).collect(),
            ..Frame::default()
        };
        let topics = app.live.topics();
        let overview = topics.contains(&Topic::Overview);
        if overview || topics.contains(&Topic::Facilities) {
            let mut all = app.facilities_now(&everything, &directory);
            let cases = app.open_cases(&everything).await?;
            count_cases(&mut all, &cases);
            app.draw_headlines(&mut all, SPARKS_PER_LOOK).await;
            self.changed_tiles(&all, &mut frame);
            if overview {
                self.overview(&directory, (&all, &cases), &changed, &mut frame);
            }
        }
        self.changed_cameras(&directory, &topics, &mut frame).await?;
        self.changed_parts(&directory, topics, &mut frame);
        // An error means that the last viewer has just left.
        if app.live.frames.send(Arc::new(frame)).is_err() {
            self.forget();
        }
        Ok(())
    }

    /// Nobody looks: the next viewer begins with everything, so nothing need be remembered.
    fn forget(&mut self) {
        self.tiles.clear();
        self.parts.clear();
        self.cameras.clear();
        self.findings = None;
        self.figures = None;
        self.directory_version = None;
    }

    fn measure_rate(&mut self) {
        if !self.number.is_multiple_of(RATE_LOOKS) && self.stored.is_some() {
            return;
        }
        let stored = (self.app.stores.stats)().readings_stored;
        if let Some((at, before)) = self.stored {
            let seconds = at.elapsed().as_secs_f64().max(0.001);
            self.app
                .live
                .set_rate((stored.saturating_sub(before) as f64 / seconds).round() as u64);
        }
        self.stored = Some((Instant::now(), stored));
    }

    fn changed_tiles(&mut self, all: &[FacilityNow], frame: &mut Frame) {
        for facility in all {
            let id = &facility.entry.facility.id;
            let print = fingerprint(facility);
            if self.tiles.insert(id.clone(), print) == Some(print) {
                continue;
            }
            if let Some(said) = render::tile(&self.app, facility) {
                frame.tiles.push((id.clone(), said));
            }
        }
        if !frame.tiles.is_empty() {
            let joined = |i: usize| {
                frame
                    .tiles
                    .iter()
                    .map(|(_, said)| &*said[i])
                    .collect::<String>()
                    .into()
            };
            frame.all_tiles = Some([joined(0), joined(1)]);
        }
    }

    fn overview(
        &mut self,
        directory: &Directory,
        (all, cases): (&[FacilityNow], &[Case]),
        changed: &Changed,
        frame: &mut Frame,
    ) {
        let figures = Figures::new(all, cases, self.app.live.rate());
        if self.figures.as_ref() != Some(&figures) {
            frame.kpis = render::kpis(&self.app, &figures);
            self.figures = Some(figures);
        }
        if !changed.cases.is_empty() || changed.lagged {
            frame.queue = render::queue(&self.app, directory, cases);
        }
    }

    /// Looks at cameras and findings, where somebody does.
    async fn changed_cameras(
        &mut self,
        directory: &Directory,
        topics: &[Topic],
        frame: &mut Frame,
    ) -> Result<(), Failure> {
        let (app, everything) = (Arc::clone(&self.app), Scope::everything());
        if topics.contains(&Topic::Cameras) {
            for camera in app.cameras_now(&everything).await? {
                let print = camera_print(&app, &camera);
                let key = &camera.camera.key;
                if self.cameras.insert(key.clone(), print) == Some(print) {
                    continue;
                }
                if let Some(said) = render::camera_tile(&app, directory, &camera) {
                    frame.cameras.push((key.facility.clone(), said));
                }
            }
        }
        if topics.contains(&Topic::Findings) {
            let waiting = app.waiting_findings(&everything).await?.values().sum();
            if self.findings.replace(waiting) != Some(waiting) {
                frame.findings = Some(waiting);
            }
        }
        for topic in topics.iter().filter(|t| matches!(t, Topic::Camera(..))) {
            let Some(said) = render::camera(&app, &everything, topic).await? else {
                continue;
            };
            let print = hash(&said);
            if self.parts.insert(topic.clone(), print) != Some(print) {
                frame.parts.insert(topic.clone(), said);
            }
        }
        Ok(())
    }

    fn changed_parts(&mut self, directory: &Directory, topics: Vec<Topic>, frame: &mut Frame) {
        self.parts.retain(|topic, _| topics.contains(topic));
        for topic in topics {
            let Some(said) = render::part(&self.app, &Scope::everything(), directory, &topic) else {
                continue;
            };
            let print = hash(&said);
            if self.parts.insert(topic.clone(), print) != Some(print) {
                frame.parts.insert(topic, said);
            }
        }
    }
}

/// Cases that changed since the last look.
#[derive(Debug, Default)]
struct Changed {
    cases: Vec<CaseChange>,
    lagged: bool,
}

/// The change that came and those right behind it; `None` when there will be no more.
fn gather(
    first: Result<CaseChange, RecvError>,
    changes: &mut broadcast::Receiver<CaseChange>,
) -> Option<Changed> {
    let mut changed = Changed::default();
    match first {
        Ok(change) => changed.cases.push(change),
        Err(RecvError::Lagged(_)) => changed.lagged = true,
        Err(RecvError::Closed) => return None,
    }
    while let Ok(change) = changes.try_recv() {
        changed.cases.push(change);
    }
    Some(changed)
}

/// Waits for the next look when no case can change any more.
async fn idle(stop: &CancellationToken, ticks: &mut tokio::time::Interval) {
    tokio::select! {
        () = stop.cancelled() => {}
        _ = ticks.tick() => {}
    }
}

fn case_event(change: &CaseChange) -> (FacilityId, Arc<str>) {
    let case = &change.case;
    let data = serde_json::json!({
        "case": case.id.0,
        "version": case.version,
        "facility": case.point.facility.as_str(),
        "state": case.state.code(),
        "severity": case.severity.code(),
    });
    (case.point.facility.clone(), data.to_string().into())
}

/// What a tile shows, but for its age, which the page counts itself.
fn fingerprint(facility: &FacilityNow) -> u64 {
    let mut hasher = DefaultHasher::new();
    facility.worst.hash(&mut hasher);
    facility.headline.hash(&mut hasher);
    facility.open_cases.hash(&mut hasher);
    facility.newest().hash(&mut hasher);
    facility.reporting().hash(&mut hasher);
    // Which point is watched is told where nothing else is the matter.
    let pending = facility.points.iter().position(|p| p.state == Shown::Pending);
    pending.hash(&mut hasher);
    if let Some((_, now)) = facility.headline() {
        now.state.hash(&mut hasher);
        now.latest.map(|s| (s.at, s.value.to_bits())).hash(&mut hasher);
        now.spark.as_ref().map(|s| s.line.as_str()).hash(&mut hasher);
    }
    hasher.finish()
}

/// What a camera's tile shows, but for its age.
fn camera_print(app: &App, now: &CameraNow) -> u64 {
    let mut hasher = DefaultHasher::new();
    now.state.hash(&mut hasher);
    now.waiting.hash(&mut hasher);
    now.people.map(|s| s.value.to_bits()).hash(&mut hasher);
    now.health.as_ref().map(is_smart).hash(&mut hasher);
    let still = (app.stores.sight.still)(&now.camera.key);
    still.map(|s| still_href(&now.camera.key, &s)).hash(&mut hasher);
    hasher.finish()
}

fn hash(said: &Said) -> u64 {
    let mut hasher = DefaultHasher::new();
    said.hash(&mut hasher);
    hasher.finish()
}
