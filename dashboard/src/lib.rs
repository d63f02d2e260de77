//! Pages, JSON API and the live stream for inspector, manager and integrator.
//!
//! Owns: every HTTP route, its templates and texts in both languages, the browser's assets, and the
//! live feed that tells open pages what changed.
//!
//! Must not know: MQTT, ONNX, SQL. What it shows it reads from the stores and from judgement; the
//! figures of the running system it is handed as closures.
//!
//! ```text
//! request ─▶ security (host, origin, size, time) ─▶ Visitor (who, scope, language) ─▶ pages | api
//!                                                      directory + picture ◀─ stores, judgement
//! feed ── once a second, and at once when a case changes ─▶ frame per language ─▶ every open stream
//! ```

mod analysis;
mod api;
mod app;
mod assets;
mod attach;
mod cameras;
mod criterion;
mod directory;
mod failure;
mod format;
mod i18n;
mod live;
mod pages;
mod picture;
mod query;
mod readiness;
mod security;
mod sight;
mod signed;
mod spark;
mod trial;
mod video;
mod view;
mod visitor;
mod watcher;
mod zone;

use std::{fmt, sync::Arc};

use alerts::{AlertHandle, MessageHandle};
use axum::{
    Router,
    routing::{any, get},
};
use domain::{
    Clock, Identity, PersonId,
    profile::TryProfile,
    status::{Refusal, SystemStats},
};
use store::{Archive, DeviceBook, ProfileBook, Records, SeriesStore, TimeSeries};

use app::App;
pub use live::LiveFeed;
pub use sight::{
    Answer, Ask, AskProfiles, Discovered, FitResult, KeepCredentials, LiveRefused, ModelAtWork, NotKept,
    NotMarked, OfCamera, ProbeFailure, ProbeRequest, Sight, Still, TaughtCheck, TeachRefused, ToMark,
    VideoFeed, VideoItem, VisionBackend,
};
pub use zone::offsets;

/// Asks the running system for its figures.
pub type StatsSource = Arc<dyn Fn() -> SystemStats + Send + Sync>;
/// Asks the broker for the clients and messages that it turned away last, newest last.
pub type RefusalSource = Arc<dyn Fn() -> Vec<Refusal> + Send + Sync>;

/// The key with which an identity signs its HTTP requests.
pub type SigningKey = Arc<dyn Fn(&Identity) -> String + Send + Sync>;

/// Everything the dashboard shows is read from here.
#[derive(Clone)]
pub struct DashboardState {
    /// Readings.
    pub series: SeriesStore,
    /// The same readings, and those of times that only another server still has.
    pub timeseries: TimeSeries,
    /// Facilities, points, identities, cases.
    pub records: Records,
    /// What each device said last.
    pub devices: DeviceBook,
    /// The state of every point, and the cases.
    pub alerts: AlertHandle,
    /// What people are told, and over which channels.
    pub messages: MessageHandle,
    /// The figures of the running system.
    pub stats: StatsSource,
    /// Who was turned away by the broker.
    pub refusals: RefusalSource,
    /// The time.
    pub clock: Clock,
    /// Where this is.
    pub site: SiteInfo,
    /// Cameras at work.
    pub sight: Sight,
    /// What is kept as evidence; `None` where nothing is.
    pub evidence: Option<Archive>,
    /// In a demo, people who may sign in with one press, with their passwords: the sign-in page shows them. Else empty.
    pub demo_people: Arc<[(PersonId, String)]>,
    /// How devices of which make speak.
    pub profiles: ProfileBook,
    /// Reads a message as a device of some profile would be read.
    pub try_profile: TryProfile,
    /// Tells devices' signing keys; `None` where nothing comes by HTTP.
    pub signing_key: Option<SigningKey>,
}

impl fmt::Debug for DashboardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardState")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
}

/// What the pages say about the place they stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteInfo {
    /// Whose overview this is, in Chinese: a district, an institution.
    pub name_zh: String,
    /// The same in English.
    pub name_en: String,
    /// Where devices connect, `host:port`, as shown to integrators.
    pub mqtt_addr: String,
    /// Where HTTP intake listens, `host:port`; `None` when nothing may come by HTTP.
    pub intake_addr: Option<String>,
    /// Whether the readings come from the built-in simulator. Every page says so.
    pub demo: bool,
    /// The facilities' time zone, an IANA name such as `Asia/Shanghai`.
    pub time_zone: String,
}

/// Why the dashboard cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DashboardError {
    /// The time zone has no such name.
    #[error("the time zone {name:?} is not known; give an IANA name such as \"Asia/Shanghai\"")]
    TimeZone {
        /// What was given.
        name: String,
        /// Why it is not a time zone.
        source: jiff::Error,
    },
}

/// A built dashboard: what to serve, and the task that keeps open pages up to date.
#[derive(Debug)]
pub struct Dashboard {
    /// Every route, with its limits and headers.
    pub router: Router,
    /// To be run by the owner for as long as the router is served; when it stops, the streams end.
    pub feed: LiveFeed,
}

/// Builds the dashboard.
///
/// # Errors
/// [`DashboardError::TimeZone`] when the site's time zone is not known.
pub fn build(state: DashboardState) -> Result<Dashboard, DashboardError> {
    let app = App::new(state)?;
    let feed = LiveFeed::new(Arc::clone(&app));
    let routes = Router::new()
        .merge(pages::routes())
        .merge(api::routes())
        .fallback(failure::no_such_page);
    let bulk = security::bulk(
        Router::new()
            .merge(pages::bulk_routes())
            .merge(api::bulk_routes()),
    );
    let quick = security::time_limited(security::small(routes).merge(bulk));
    let router = Router::new()
        .merge(quick)
        .route("/live", get(live::stream))
        .route("/live/{facility}/{camera}", any(video::watch))
        .route("/push.js", get(assets::service_worker))
        .nest("/a", assets::routes())
        .merge(security::uploads(pages::uploads().merge(api::uploads())))
        .method_not_allowed_fallback(failure::wrong_method);
    let router = security::guarded(router, Arc::clone(&app)).with_state(app);
    Ok(Dashboard { router, feed })
}
