//! Attached cameras: one connection for each stream, and everything that lives on it.
//!
//! The full stream goes into the ring, for evidence. The small one, or the full one where there is no small one, is
//! decoded for judgement and handed to live viewers: however many look, the camera serves each stream once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use domain::{Camera, CameraHealth, CameraKey, CameraSource, Clock, Credentials, UtcMillis};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Frame,
    decode::{DecodeHandle, DecodePool},
    guard::Guard,
    health::{LinkOptions, LinkWatch},
    live::{LiveFeed, LiveHub, LiveKind, LiveOptions, LiveRefused, LiveSeats},
    quality::{PictureWatch, QualityOptions},
    ring::{Clip, Ring, RingLimits},
    source::{
        self, CameraFailure, CameraStreams, EVENTS_QUEUED, PushedCamera, SourceContext, SourceEvent,
        StreamSource, Timing,
    },
    stream::StreamInfo,
};

/// The most cameras of one set. Another one is refused.
pub const MAX_CAMERAS: usize = 512;

/// Intervals that a camera which is asked for pictures may miss before it is offline.
const MISSED_INTERVALS: i64 = 3;

/// What all cameras share. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// Where connections may go.
    pub guard: Guard,
    /// What time pictures come in.
    pub clock: Clock,
    /// How long a camera may take.
    pub timing: Timing,
    /// The threads that decode.
    pub pool: Arc<DecodePool>,
    /// The seats of all live viewers.
    pub seats: Arc<LiveSeats>,
    /// Bounds of each camera's live view.
    pub live: LiveOptions,
    /// How much of each evidence stream is kept.
    pub ring: RingLimits,
    /// From when on a camera is offline.
    pub link: LinkOptions,
}

/// Why a camera is not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// As many are attached as may be.
    #[error("{MAX_CAMERAS} cameras are attached; attach this one to another server")]
    TooMany,
    /// It has no pictures of its own.
    #[error("this camera's pictures are judged by another maker's box: there is nothing to attach")]
    External,
}

/// A camera at work. Cheap to clone; the camera goes on until its set lets it go.
#[derive(Clone)]
pub struct CameraHandle(Arc<Attached>);

struct Attached {
    camera: Camera,
    clock: Clock,
    hub: LiveHub,
    ring: Mutex<Ring>,
    link: Mutex<LinkWatch>,
    quality: Mutex<PictureWatch>,
    frames: watch::Sender<Option<Arc<Frame>>>,
    pushed: PushedCamera,
    /// Set once the decoder is attached, which needs the rest first.
    decoder: Mutex<Option<DecodeHandle>>,
    clock_offset_ms: Mutex<Option<i64>>,
}

impl CameraHandle {
    /// What is attached.
    #[must_use]
    pub fn camera(&self) -> &Camera {
        &self.0.camera
    }

    /// Decoded pictures, masked, the newest one at a time: who is slow misses the ones between. The channel closes
    /// when the camera is let go and all handles are dropped.
    #[must_use]
    pub fn frames(&self) -> watch::Receiver<Option<Arc<Frame>>> {
        self.0.frames.subscribe()
    }

    /// The newest decoded picture, masked.
    #[must_use]
    pub fn still(&self) -> Option<Arc<Frame>> {
        self.0.frames.borrow().clone()
    }

    /// How it fares now.
    #[must_use]
    pub fn health(&self) -> CameraHealth {
        let counts = lock(&self.0.decoder).as_ref().map(DecodeHandle::counts);
        let skipped = counts.map_or(0, |counts| counts.skipped);
        lock(&self.0.link).health(self.0.clock.now(), skipped, self.0.hub.viewers())
    }

    /// The camera's clock less ours, in milliseconds, as far as it has told its time.
    #[must_use]
    pub fn clock_offset_ms(&self) -> Option<i64> {
        *lock(&self.0.clock_offset_ms)
    }

    /// Takes a seat before the camera.
    ///
    /// # Errors
    /// [`LiveRefused`] says why not.
    pub fn live(&self, kind: LiveKind) -> Result<LiveFeed, LiveRefused> {
        self.0.hub.subscribe(kind)
    }

    /// What the evidence stream showed from `from` to `until`, as far as it is still in memory; oldest first, several
    /// where the stream's description changed.
    #[must_use]
    pub fn clip(&self, from: UtcMillis, until: UtcMillis) -> Vec<Clip> {
        lock(&self.0.ring).clips(from, until)
    }

    /// Hands over a picture of a camera that publishes them ([`CameraSource::Pushed`]).
    ///
    /// # Errors
    /// When it is no JPEG, or too large.
    pub fn offer(&self, jpeg: Bytes) -> Result<(), CameraFailure> {
        self.0.pushed.offer(jpeg)
    }
}

/// Nothing is left half-done under these locks, so that what a panic leaves behind can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// All attached cameras.
pub struct CameraSet {
    shared: Shared,
    attached: Mutex<HashMap<CameraKey, Running>>,
}

struct Running {
    handle: CameraHandle,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl CameraSet {
    /// No cameras yet.
    #[must_use]
    pub fn new(shared: Shared) -> CameraSet {
        CameraSet {
            shared,
            attached: Mutex::default(),
        }
    }

    /// Attaches a camera, in the place of the one of its key. It is connected, and connected again, until it is let
    /// go. To be called from a runtime.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn put(
        &self,
        camera: Camera,
        credentials: Option<Credentials>,
    ) -> Result<CameraHandle, AttachError> {
        if camera.source == CameraSource::External {
            return Err(AttachError::External);
        }
        self.remove(&camera.key).await;
        if lock(&self.attached).len() >= MAX_CAMERAS {
            return Err(AttachError::TooMany);
        }
        let key = camera.key.clone();
        let running = start(camera, credentials.as_ref(), &self.shared);
        let handle = running.handle.clone();
        lock(&self.attached).insert(key, running);
        Ok(handle)
    }

    /// The camera of this key, if it is attached.
    #[must_use]
    pub fn get(&self, key: &CameraKey) -> Option<CameraHandle> {
        lock(&self.attached)
            .get(key)
            .map(|running| running.handle.clone())
    }

    /// Lets a camera go: its connections end, its viewers are told. `false` when it is not attached.
    pub async fn remove(&self, key: &CameraKey) -> bool {
        let running = lock(&self.attached).remove(key);
        match running {
            Some(running) => {
                running.end().await;
                true
            }
            None => false,
        }
    }

    /// Lets all cameras go, within `deadline`. Answers how many tasks were cut off there.
    pub async fn stop(&self, deadline: Duration) -> usize {
        let all: Vec<Running> = lock(&self.attached).drain().map(|(_, running)| running).collect();
        for running in &all {
            running.stop.cancel();
        }
        let until = tokio::time::Instant::now() + deadline;
        let mut left = 0;
        for mut running in all {
            let ended = async { while running.tasks.join_next().await.is_some() {} };
            if tokio::time::timeout_at(until, ended).await.is_err() {
                left += running.tasks.len();
            }
            running.end().await;
        }
        left
    }
}

impl Running {
    async fn end(mut self) {
        self.stop.cancel();
        self.handle.0.hub.close();
        lock(&self.handle.0.decoder).take();
        self.tasks.shutdown().await;
    }
}

fn start(camera: Camera, credentials: Option<&Credentials>, shared: &Shared) -> Running {
    let now = shared.clock.now();
    let streams_pushed = PushedCamera::new();
    let streams = CameraStreams::of(&camera.source, &streams_pushed);
    let attached = Arc::new(Attached {
        clock: shared.clock.clone(),
        hub: LiveHub::new(shared.live, Arc::clone(&shared.seats)),
        ring: Mutex::new(Ring::new(shared.ring)),
        link: Mutex::new(LinkWatch::new(now, link_options(&camera.source, shared))),
        quality: Mutex::new(PictureWatch::new(QualityOptions::default())),
        frames: watch::channel(None).0,
        pushed: streams_pushed,
        decoder: Mutex::new(None),
        clock_offset_ms: Mutex::new(None),
        camera,
    });
    // The decoder knows the camera weakly: a camera that is let go must not be kept by its own pictures.
    let seen = Arc::downgrade(&attached);
    let decoder = shared.pool.attach(
        attached.camera.decoding,
        attached.camera.masks.clone(),
        move |frame| {
            if let Some(attached) = seen.upgrade() {
                attached.picture(frame);
            }
        },
    );
    *lock(&attached.decoder) = Some(decoder);
    let context = SourceContext {
        guard: shared.guard.clone(),
        clock: shared.clock.clone(),
        timing: shared.timing,
    };
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let roles = match streams.sub {
        Some(sub) => vec![(streams.main, Role::Evidence), (sub, Role::Sight)],
        None => vec![(streams.main, Role::Both)],
    };
    for (stream, role) in roles {
        let listening = Listening {
            attached: Arc::clone(&attached),
            role,
            info: None,
        };
        let reading = Reading {
            stream,
            credentials: credentials.cloned(),
            context: context.clone(),
        };
        tasks.spawn(follow(reading, listening, stop.child_token()));
    }
    Running {
        handle: CameraHandle(attached),
        stop,
        tasks,
    }
}

fn link_options(source: &CameraSource, shared: &Shared) -> LinkOptions {
    let interval_ms = match source {
        CameraSource::Snapshot { interval_ms, .. } | CameraSource::Folder { interval_ms, .. } => {
            i64::from(*interval_ms)
        }
        CameraSource::Pushed => {
            i64::try_from(shared.timing.pushed_silence.as_millis()).unwrap_or(i64::MAX) / 3
        }
        CameraSource::Rtsp { .. } | CameraSource::Mjpeg { .. } | CameraSource::External => 0,
    };
    LinkOptions {
        offline_after_ms: shared.link.offline_after_ms.max(interval_ms * MISSED_INTERVALS),
        ..shared.link
    }
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The ring.
    Evidence,
    /// Decoding, live view and health.
    Sight,
    /// There is but one stream.
    Both,
}

struct Reading {
    stream: StreamSource,
    credentials: Option<Credentials>,
    context: SourceContext,
}

/// What one stream's events go to.
struct Listening {
    attached: Arc<Attached>,
    role: Role,
    info: Option<Arc<StreamInfo>>,
}

/// Reads one stream and hands on what comes, until stopped.
async fn follow(reading: Reading, mut listening: Listening, stop: CancellationToken) {
    let (events, mut heard) = mpsc::channel(EVENTS_QUEUED);
    let reads = source::watch(
        reading.stream,
        reading.credentials,
        reading.context,
        events,
        stop.clone(),
    );
    let hears = async {
        while let Some(event) = heard.recv().await {
            listening.event(event);
        }
    };
    tokio::join!(reads, hears);
}

impl Listening {
    fn event(&mut self, event: SourceEvent) {
        let attached = &self.attached;
        let sees = self.role != Role::Evidence;
        match event {
            SourceEvent::Info(info) => {
                if sees {
                    lock(&attached.link).connected();
                }
                self.info = Some(info);
            }
            SourceEvent::Frame(frame) => {
                let Some(info) = &self.info else { return };
                if self.role != Role::Sight {
                    lock(&attached.ring).push(info, &frame);
                }
                if sees {
                    lock(&attached.link).frame(info, &frame);
                    attached.hub.push(info, &frame);
                    if let Some(decoder) = &*lock(&attached.decoder) {
                        decoder.push(info, &frame);
                    }
                }
            }
            SourceEvent::ClockOffset(ms) => *lock(&attached.clock_offset_ms) = Some(ms),
            SourceEvent::Down(failure) => {
                if sees {
                    lock(&attached.link).fault(failure.fault);
                }
                tracing::debug!(camera = %attached.camera.key, "No picture comes: {failure}");
            }
        }
    }
}

impl Attached {
    /// A picture was decoded; on a decode thread.
    fn picture(&self, frame: Arc<Frame>) {
        let state = lock(&self.quality).observe(&frame);
        lock(&self.link).picture(state);
        self.hub.push_picture(&frame);
        self.frames.send_replace(Some(frame));
    }
}
