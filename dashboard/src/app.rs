//! What every request handler and the live feed share.

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use crate::{
    DashboardError, DashboardState, SiteInfo, attach::drafts::Drafts, cameras::CameraCache,
    directory::DirectoryCache, failure::Failure, live::LiveShared, spark::SparkBook, video::VideoShared,
};
use domain::{SeriesId, TimeRange};
use store::{Aggregates, Bucket, Level, Step, WindowAnswer, WindowQuery};

/// Windows and sparklines read at the same time; more wait for their turn, so that a wall of charts
/// cannot take every blocking thread.
const READERS: usize = 8;

/// Passwords looked at together; each takes 19 MiB and tens of milliseconds. More wait for their turn.
const SIGN_INS: usize = 2;

pub(crate) struct App {
    pub(crate) stores: DashboardState,
    pub(crate) zone: TimeZone,
    pub(crate) directory: DirectoryCache,
    pub(crate) sparks: SparkBook,
    pub(crate) live: LiveShared,
    pub(crate) cameras: CameraCache,
    pub(crate) drafts: Drafts,
    pub(crate) video: VideoShared,
    /// Passwords that are looked at together.
    pub(crate) sign_ins: Semaphore,
    readers: Semaphore,
}

impl App {
    pub(crate) fn new(stores: DashboardState) -> Result<Arc<App>, DashboardError> {
        let name = stores.site.time_zone.clone();
        let zone = TimeZone::get(&name).map_err(|source| DashboardError::TimeZone { name, source })?;
        Ok(Arc::new(App {
            stores,
            zone,
            directory: DirectoryCache::default(),
            sparks: SparkBook::default(),
            live: LiveShared::new(),
            cameras: CameraCache::default(),
            drafts: Drafts::default(),
            video: VideoShared::new(),
            sign_ins: Semaphore::new(SIGN_INS),
            readers: Semaphore::new(READERS),
        }))
    }

    pub(crate) fn site(&self) -> &SiteInfo {
        &self.stores.site
    }

    /// Waits until the streams have to end.
    pub(crate) async fn live_ends(&self) {
        self.live.closing().cancelled().await;
    }

    /// Runs `read`, which may touch the disk, on a blocking thread.
    pub(crate) async fn read_blocking<T, F>(self: &Arc<App>, read: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&App) -> T + Send + 'static,
    {
        let _permit = self.readers.acquire().await.map_err(Failure::internal)?;
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || read(&app))
            .await
            .map_err(Failure::internal)
    }

    /// Reads a window of one series, off the runtime's threads.
    pub(crate) async fn window(
        self: &Arc<App>,
        scope: &domain::Scope,
        series: SeriesId,
        range: TimeRange,
        buckets: u32,
    ) -> Result<Vec<Bucket>, Failure> {
        let query = WindowQuery {
            range,
            step: Step::Parts(buckets),
            aggregates: Aggregates::PLAIN,
        };
        let answer = self.window_answer(scope, series, query).await?;
        let bucket = |b: &store::WindowBucket| Bucket {
            start: b.start,
            count: b.count,
            min: b.min,
            max: b.max,
            sum: b.sum,
            last: b.last,
        };
        Ok(answer.buckets.iter().map(bucket).collect())
    }

    /// The same with all that was asked for, and the level it rests on.
    pub(crate) async fn window_answer(
        self: &Arc<App>,
        scope: &domain::Scope,
        series: SeriesId,
        query: WindowQuery,
    ) -> Result<WindowAnswer, Failure> {
        if self.stores.timeseries.reaches_beyond(query.range) {
            return self.window_from_beyond(scope, series, &query).await;
        }
        let scope = scope.clone();
        let read = self
            .read_blocking(move |app| app.stores.series.aggregate(&scope, series, &query))
            .await?;
        read.map_err(Failure::from)
    }

    /// The same of a time that the embedded store no longer has.
    async fn window_from_beyond(
        self: &Arc<App>,
        scope: &domain::Scope,
        series: SeriesId,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, Failure> {
        let Some(key) = self.stores.series.key(scope, series) else {
            return Ok(WindowAnswer {
                level: Level::Raw,
                buckets: Vec::new(),
            });
        };
        let _permit = self.readers.acquire().await.map_err(Failure::internal)?;
        Ok(self.stores.timeseries.window(scope, &key, query).await?)
    }
}
