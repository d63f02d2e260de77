//! The live feed. One task looks once a second at what changed, says it once per language, and hands
//! it to every open stream. A changed case is said at once.
//!
//! A stream begins with everything its page shows, so a page that lost its stream, or a viewer that
//! was too slow, is right again with the first message.

mod feed;
mod render;
mod stream;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{DeviceId, FacilityId, Scope};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    failure::{Failure, Kind},
};
pub use feed::LiveFeed;
pub(crate) use stream::stream;

/// The most streams open at the same time.
const MAX_VIEWERS: usize = 2_000;
/// Frames a slow viewer may be behind; then it starts anew.
const FRAMES: usize = 32;

/// What a page shows, and so what its stream is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// Tiles, key figures and the queue.
    Overview,
    /// Tiles alone.
    Facilities,
    /// The points of one facility.
    Facility(FacilityId),
    /// How one device fares.
    Device(FacilityId, DeviceId),
    /// The wall of cameras.
    Cameras,
    /// How one camera fares.
    Camera(FacilityId, DeviceId),
    /// How many findings wait for review.
    Findings,
    /// Nothing that changes by itself.
    Plain,
}

/// One message in every language; the index is the language's.
type Said = [Arc<str>; 2];

/// What changed since the frame before.
#[derive(Debug, Default)]
struct Frame {
    number: u64,
    at_ms: i64,
    /// Changed tiles with the facility each is about.
    tiles: Vec<(FacilityId, Said)>,
    /// The same, in one piece, for those who see everything.
    all_tiles: Option<Said>,
    /// Key figures; over everything, so for those who see everything.
    kpis: Option<Said>,
    /// The queue, as above.
    queue: Option<Said>,
    /// Changed cameras of the wall, with the facility each belongs to.
    cameras: Vec<(FacilityId, Said)>,
    /// How many findings wait for review, when that changed; over everything, so for those who see everything.
    findings: Option<u64>,
    /// Changed parts of pages about one facility or device.
    parts: HashMap<Topic, Said>,
    /// Changed cases: facility and the event's data.
    cases: Vec<(FacilityId, Arc<str>)>,
    /// Whether facilities or points were added or removed.
    directory_changed: bool,
}

/// What the feed and the streams share.
pub(crate) struct LiveShared {
    frames: broadcast::Sender<Arc<Frame>>,
    seats: Arc<Semaphore>,
    watched: Mutex<HashMap<Topic, usize>>,
    closing: CancellationToken,
    /// Readings per second, plus one; 0 before it is known.
    rate: AtomicU64,
}

impl fmt::Debug for LiveShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveShared")
            .field("viewers", &self.viewers())
            .finish_non_exhaustive()
    }
}

impl LiveShared {
    pub(crate) fn new() -> LiveShared {
        LiveShared {
            frames: broadcast::channel(FRAMES).0,
            seats: Arc::new(Semaphore::new(MAX_VIEWERS)),
            watched: Mutex::new(HashMap::new()),
            closing: CancellationToken::new(),
            rate: AtomicU64::new(0),
        }
    }

    /// Open streams.
    pub(crate) fn viewers(&self) -> usize {
        MAX_VIEWERS - self.seats.available_permits()
    }

    /// Cancelled when the streams have to end.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Readings stored per second lately, if that is known.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.rate.load(Ordering::Relaxed).checked_sub(1)
    }

    fn set_rate(&self, per_second: u64) {
        self.rate.store(per_second.saturating_add(1), Ordering::Relaxed);
    }

    /// The topics that somebody looks at.
    fn topics(&self) -> Vec<Topic> {
        self.watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect()
    }
}

/// A viewer's seat; the topic is watched for as long as it is held.
struct Seat {
    app: Arc<App>,
    topic: Topic,
    scope: Scope,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    fn take(app: &Arc<App>, topic: Topic, scope: Scope) -> Result<Seat, Failure> {
        let permit = Arc::clone(&app.live.seats).try_acquire_owned().map_err(|_full| {
            Failure::new(
                Kind::Busy,
                format!("{MAX_VIEWERS} pages already follow the live stream"),
            )
        })?;
        let mut watched = app.live.watched.lock().unwrap_or_else(PoisonError::into_inner);
        *watched.entry(topic.clone()).or_insert(0) += 1;
        drop(watched);
        Ok(Seat {
            app: Arc::clone(app),
            topic,
            scope,
            _permit: permit,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut watched = self
            .app
            .live
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = watched.get_mut(&self.topic) {
            *count -= 1;
            if *count == 0 {
                watched.remove(&self.topic);
            }
        }
    }
}
