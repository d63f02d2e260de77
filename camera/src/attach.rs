//! Attached cameras: each stream is read over one connection and handed to all who need it, which are the ring of
//! evidence, live viewers, the decoder, and the watch on connection and picture.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use domain::{
    Camera, CameraFault, CameraHealth, CameraKey, CameraSource, Clock, Credentials, UtcMillis,
    camera::Decoding, sight::LinkState,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    decode::{DecodeHandle, DecodePool},
    health::{LinkOptions, LinkWatch},
    live::{LiveFeed, LiveHub, LiveKind, LiveOptions, LiveRefused, LiveSeats},
    quality::{PictureWatch, QualityOptions},
    ring::{Clip, Ring, RingLimits},
    source::{self, CameraFailure, CameraStreams, EVENTS_QUEUED, PushedCamera, SourceContext, SourceEvent},
    stream::{Frame, StreamInfo},
};

mod set;

pub use set::{AttachError, CameraSet, MAX_CAMERAS};

/// What all cameras share, but for the decoder.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Where connections may go, what time it is, how long a camera may take.
    pub context: SourceContext,
    /// Seats for those who watch live.
    pub seats: Arc<LiveSeats>,
    /// What one camera's live view may cost.
    pub live: LiveOptions,
    /// How much of each camera is kept for evidence.
    pub ring: RingLimits,
}

/// A camera at work. Dropping it ends its tasks without waiting.
#[derive(Debug)]
pub struct CameraWatch {
    handle: CameraHandle,
    credentials: Option<Credentials>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl CameraWatch {
    /// Starts to read `camera`. Must be called within a runtime.
    #[must_use]
    pub fn start(
        camera: Camera,
        credentials: Option<Credentials>,
        shared: &Shared,
        pool: &DecodePool,
    ) -> CameraWatch {
        let pushed = PushedCamera::new();
        let streams = CameraStreams::of(&camera.source, &pushed);
        let handle = CameraHandle::new(camera, pushed, shared, pool);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut read = |source| {
            let (events, taken) = mpsc::channel(EVENTS_QUEUED);
            let reading = source::watch(
                source,
                credentials.clone(),
                shared.context.clone(),
                events,
                stop.clone(),
            );
            tasks.spawn(reading);
            taken
        };
        let judged_apart = streams.sub.is_some();
        let main = read(streams.main);
        let sub = streams.sub.map(&mut read);
        let role = if judged_apart { Role::Evidence } else { Role::Both };
        tasks.spawn(hand_on(Arc::clone(&handle.0), main, role));
        if let Some(sub) = sub {
            tasks.spawn(hand_on(Arc::clone(&handle.0), sub, Role::Judged));
        }
        CameraWatch {
            handle,
            credentials,
            tasks,
            stop,
        }
    }

    /// The camera, for those who use it.
    #[must_use]
    pub fn handle(&self) -> CameraHandle {
        self.handle.clone()
    }

    /// Whether this is `camera` with `credentials`.
    fn is(&self, camera: &Camera, credentials: Option<&Credentials>) -> bool {
        self.handle.camera() == camera && self.credentials.as_ref() == credentials
    }

    /// Ends the camera: its frames and live views end, its connections are closed. Whether that was done by
    /// `deadline`; what was not is broken off.
    pub async fn stop(mut self, deadline: Instant) -> bool {
        self.begin_stop();
        let ended = timeout_at(deadline, async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
        ended.is_ok()
    }

    /// Tells everything of this camera to end.
    fn begin_stop(&self) {
        self.stop.cancel();
        self.handle.0.end();
    }
}

impl Drop for CameraWatch {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

/// What an attached camera gives. Cheap to clone. After the camera has been let go frames and live views end,
/// and what was kept stays until the last handle is dropped.
#[derive(Debug, Clone)]
pub struct CameraHandle(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    camera: Camera,
    clock: Clock,
    pushed: PushedCamera,
    outputs: Arc<Outputs>,
    ring: Mutex<Ring>,
    /// `None` once the camera has been let go.
    decoder: Mutex<Option<DecodeHandle>>,
}

/// What decoded pictures go to.
#[derive(Debug)]
struct Outputs {
    /// `None` once the camera has been let go.
    frames: Mutex<Option<watch::Sender<Option<Arc<Frame>>>>>,
    hub: LiveHub,
    quality: Mutex<PictureWatch>,
    links: Mutex<Links>,
}

/// The connections. Where one stream serves for both, `main` is not used.
#[derive(Debug)]
struct Links {
    judged: LinkWatch,
    main: LinkWatch,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Both,
    Evidence,
    Judged,
}

impl CameraHandle {
    fn new(camera: Camera, pushed: PushedCamera, shared: &Shared, pool: &DecodePool) -> CameraHandle {
        let clock = shared.context.clock.clone();
        let link = LinkWatch::new(clock.now(), link_options(&camera.source, &shared.context));
        let outputs = Arc::new(Outputs {
            frames: Mutex::new(Some(watch::Sender::new(None))),
            hub: LiveHub::new(shared.live, Arc::clone(&shared.seats)),
            quality: Mutex::new(PictureWatch::new(QualityOptions::default())),
            links: Mutex::new(Links {
                judged: link.clone(),
                main: link,
            }),
        });
        let taking = Arc::clone(&outputs);
        let decoder = pool.attach(decoding(&camera), camera.masks.clone(), move |frame| {
            taking.take(frame)
        });
        CameraHandle(Arc::new(Parts {
            camera,
            clock,
            pushed,
            outputs,
            ring: Mutex::new(Ring::new(shared.ring)),
            decoder: Mutex::new(Some(decoder)),
        }))
    }

    /// The camera's description.
    #[must_use]
    pub fn camera(&self) -> &Camera {
        &self.0.camera
    }

    /// Which camera.
    #[must_use]
    pub fn key(&self) -> &CameraKey {
        &self.0.camera.key
    }

    /// The newest decoded picture, masked, again and again: whoever is slow misses some. `None` before the first.
    /// [`watch::Receiver::changed`] fails once the camera has been let go.
    #[must_use]
    pub fn frames(&self) -> watch::Receiver<Option<Arc<Frame>>> {
        match lock(&self.0.outputs.frames).as_ref() {
            Some(frames) => frames.subscribe(),
            None => watch::Sender::new(None).subscribe(),
        }
    }

    /// The newest decoded picture, masked, faces not blurred; `None` when there is none.
    #[must_use]
    pub fn still(&self) -> Option<Arc<Frame>> {
        self.frames().borrow().clone()
    }

    /// How the camera fares now. Where evidence comes by a stream of its own and that one is gone, its fault
    /// shows although the other one flows.
    #[must_use]
    pub fn health(&self) -> CameraHealth {
        let now = self.0.clock.now();
        let decoded = lock(&self.0.decoder)
            .as_ref()
            .map(DecodeHandle::counts)
            .unwrap_or_default();
        let mut links = lock(&self.0.outputs.links);
        let mut health = links
            .judged
            .health(now, decoded.skipped, self.0.outputs.hub.viewers());
        if health.fault.is_none() && links.main.state(now) == LinkState::Offline {
            health.fault = links.main.health(now, 0, 0).fault.or(Some(CameraFault::Timeout));
        }
        // A stream of which no picture at all can be decoded is of no use, however well it flows.
        let undecoded = decoded.last_error.filter(|_| decoded.decoded == 0);
        health.fault = health.fault.or(undecoded.map(|error| error.fault()));
        health
    }

    /// Begins to watch live. Video passes as the camera encoded it and cannot be masked, so that a camera with
    /// masks is shown in pictures, whatever was asked for.
    ///
    /// # Errors
    /// [`LiveRefused`] says why not; [`LiveRefused::Closed`] when the camera is not to be watched live.
    pub fn live(&self, kind: LiveKind) -> Result<LiveFeed, LiveRefused> {
        if !self.0.camera.live {
            return Err(LiveRefused::Closed);
        }
        let masked = !self.0.camera.masks.is_empty();
        self.0
            .outputs
            .hub
            .subscribe(if masked { LiveKind::Pictures } else { kind })
    }

    /// What is kept of the evidence stream between `from` and `until`, as the camera encoded it: unmasked, one
    /// clip for each description of the stream. Empty when nothing is left.
    #[must_use]
    pub fn clip(&self, from: UtcMillis, until: UtcMillis) -> Vec<Clip> {
        lock(&self.0.ring).clips(from, until)
    }

    /// Takes a JPEG of a camera that publishes its pictures.
    ///
    /// # Errors
    /// [`CameraFailure`]: it is no picture, or this camera's pictures are fetched from it.
    pub fn offer(&self, picture: Bytes) -> Result<(), CameraFailure> {
        if self.0.camera.source != CameraSource::Pushed {
            let what = "this camera's pictures are fetched, not published";
            return Err(CameraFailure::new(CameraFault::Protocol, what));
        }
        self.0.pushed.offer(picture)
    }

    /// The camera was moved on purpose: what it looks at now is how it should look.
    pub fn relearn(&self) {
        lock(&self.0.outputs.quality).relearn();
    }
}

impl Parts {
    fn end(&self) {
        self.outputs.hub.close();
        drop(lock(&self.outputs.frames).take());
        drop(lock(&self.decoder).take());
    }

    /// Hands on what a stream said. `info` is its description so far.
    fn take(&self, event: SourceEvent, role: Role, info: &mut Option<Arc<StreamInfo>>) {
        let mut links = lock(&self.outputs.links);
        let link = if role == Role::Evidence {
            &mut links.main
        } else {
            &mut links.judged
        };
        match event {
            SourceEvent::Info(described) => {
                // A description that comes without a failure before it is a change, not a connection.
                if info.is_none() {
                    link.connected();
                }
                *info = Some(described);
            }
            SourceEvent::Down(failure) => {
                link.fault(failure.fault);
                *info = None;
            }
            SourceEvent::ClockOffset(_) => {}
            SourceEvent::Frame(frame) => {
                let Some(info) = info.as_ref() else { return };
                link.frame(info, &frame);
                if role == Role::Both {
                    links.main.frame(info, &frame);
                }
                drop(links);
                if role != Role::Judged {
                    lock(&self.ring).push(info, &frame);
                }
                if role != Role::Evidence {
                    self.outputs.hub.push(info, &frame);
                    if let Some(decoder) = &*lock(&self.decoder) {
                        decoder.push(info, &frame);
                    }
                }
            }
        }
    }
}

impl Outputs {
    /// Takes a decoded picture. Runs on a decoding thread.
    fn take(&self, frame: Arc<Frame>) {
        let picture = lock(&self.quality).observe(&frame);
        lock(&self.links).judged.picture(picture);
        self.hub.push_picture(&frame);
        if let Some(frames) = &*lock(&self.frames) {
            frames.send_replace(Some(frame));
        }
    }
}

/// Hands on what one stream says, until it ends.
async fn hand_on(parts: Arc<Parts>, mut events: mpsc::Receiver<SourceEvent>, role: Role) {
    let mut info = None;
    let mut failing = None;
    while let Some(event) = events.recv().await {
        tell(&parts.camera.key, &event, &mut failing);
        parts.take(event, role, &mut info);
    }
}

/// Logs what changed: a camera that is gone for hours is told of once.
fn tell(camera: &CameraKey, event: &SourceEvent, failing: &mut Option<CameraFault>) {
    match event {
        SourceEvent::Down(failure) if failing.replace(failure.fault) != Some(failure.fault) => {
            tracing::warn!(
                camera.key = %camera,
                camera.fault = failure.fault.code(),
                camera.detail = failure.detail,
                "A camera gives no picture; it is connected again and again."
            )
        }
        SourceEvent::Frame(_) if failing.take().is_some() => {
            tracing::info!(camera.key = %camera, "A camera gives pictures again.");
        }
        _ => {}
    }
}

/// Where key frames are all there is, all of them are decoded as such.
fn decoding(camera: &Camera) -> Decoding {
    match camera.source {
        CameraSource::Rtsp { .. } => camera.decoding,
        CameraSource::Mjpeg { .. }
        | CameraSource::Snapshot { .. }
        | CameraSource::Pushed
        | CameraSource::External
        | CameraSource::Folder { .. } => Decoding::KeyFrames,
    }
}

/// A camera that is asked seldom, or sends when it likes, is not offline between two pictures.
fn link_options(source: &CameraSource, context: &SourceContext) -> LinkOptions {
    let usual = LinkOptions::default();
    let least = match source {
        CameraSource::Rtsp { .. } | CameraSource::Mjpeg { .. } => Duration::ZERO,
        CameraSource::Snapshot { interval_ms, .. } | CameraSource::Folder { interval_ms, .. } => {
            Duration::from_millis(u64::from(*interval_ms) * 3)
        }
        CameraSource::Pushed | CameraSource::External => context.timing.pushed_silence,
    };
    let least_ms = i64::try_from(least.as_millis()).unwrap_or(i64::MAX);
    LinkOptions {
        offline_after_ms: usual.offline_after_ms.max(least_ms),
        ..usual
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not take this camera along; what is held is usable at every moment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
