//! The watcher of one camera: frames to looks, looks to what is kept and said.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use camera::{Frame, jpeg, mask};
use dashboard::Still;
use domain::{
    Check, EvidenceId, Metric, Scope, Sighted, UtcMillis,
    observation::{ObservedState, Origin, Tally},
    sight::{LinkState, PictureState},
};
use store::evidence::{ItemRole, NewItem};
use tokio::{sync::mpsc, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use vision::{
    infer::InferError,
    judge::Judged,
    kit::Kit,
    motion::MotionOptions,
    pipeline::{Moment, Pipeline},
    teach::TaughtHead,
    worker::{RestartCause, WorkerEvent},
};

use super::{Inner, eye::Eye};

/// How often a camera's health is said.
const HEALTH_EVERY: Duration = Duration::from_secs(10);

/// Looks whose outcome waits to be said. A camera has one look at a time.
const LOOKS_WAITING: usize = 4;

/// Findings whose later evidence is still to come. Beyond it a finding goes without a clip, and that is logged.
const MAX_FOLLOWED: usize = 16;

/// The least time between two frames that are kept to show what was before a finding, in milliseconds.
const BEFORE_STEP_MS: i64 = 2_000;

/// How long a finding waits for a picture of afterwards when none comes any more, in milliseconds.
const PATIENCE_MS: i64 = 5_000;

/// What came of one look, with pictures where they are wanted.
struct Seen {
    frame: Arc<Frame>,
    judged: Judged,
    /// The picture with faces made unrecognisable, where somebody wants it.
    blurred: Option<Bytes>,
    /// The same of the picture before, where a finding begins.
    before: Option<Bytes>,
}

/// A finding whose clip is still to come.
struct Followed {
    said: Sighted,
    evidence: EvidenceId,
    due: UtcMillis,
}

/// One camera's watcher at work.
struct Watcher {
    inner: Arc<Inner>,
    eye: Arc<Eye>,
    done: mpsc::Sender<Seen>,
    earlier: Vec<Arc<Frame>>,
    followed: Vec<Followed>,
    later: JoinSet<()>,
    picture: PictureState,
    failing: bool,
}

/// Watches a camera until told to stop.
pub(super) async fn watch(inner: Arc<Inner>, eye: Arc<Eye>, stop: CancellationToken) {
    let (done, mut seen) = mpsc::channel(LOOKS_WAITING);
    let mut frames = eye.handle.frames();
    let mut health = tokio::time::interval(HEALTH_EVERY);
    health.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watcher = Watcher {
        inner,
        eye,
        done,
        earlier: Vec::new(),
        followed: Vec::new(),
        later: JoinSet::new(),
        picture: PictureState::Good,
        failing: false,
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            changed = frames.changed() => {
                if changed.is_err() {
                    break;
                }
                let frame = frames.borrow_and_update().clone();
                if let Some(frame) = frame {
                    watcher.frame(&frame);
                }
            }
            Some(seen) = seen.recv() => watcher.say(seen).await,
            _ = health.tick() => watcher.health().await,
            Some(ended) = watcher.later.join_next() => {
                if let Err(panicked) = ended {
                    error!("Keeping later evidence panicked: {panicked}");
                }
            }
        }
    }
    // What is being written is finished: it is short, and evidence.
    while watcher.later.join_next().await.is_some() {}
}

impl Watcher {
    /// A picture came in: is it worth a look?
    fn frame(&mut self, frame: &Arc<Frame>) {
        let now = self.inner.clock.now();
        let due = self.followed.iter().any(|f| frame.at >= f.due);
        let wanted = due || self.eye.still_is_asked(now);
        let inner = Arc::clone(&self.inner);
        let Some(engine) = inner.models.engine() else {
            return self.unjudged(frame, wanted);
        };
        let motion = MotionOptions {
            forced_ms: inner.options.forced_look_ms,
            ..MotionOptions::default()
        };
        let job = Job {
            frame: Arc::clone(frame),
            before: self.earlier.first().cloned(),
            pipeline: self.eye.pipeline(&engine.judging, motion),
            moment: Moment {
                minute_of_day: inner.minute_of(frame.at),
                stove: inner.stove_of(&self.eye, frame.at),
            },
            wanted,
            eye: Arc::clone(&self.eye),
            done: self.done.clone(),
        };
        self.remember(frame);
        engine
            .workers
            .submit(&self.eye.camera.key, Box::new(move |kit| job.run(kit)));
    }

    /// Without models nothing is judged, and no face can be found: a still is shown so coarse that nobody can be
    /// known on it.
    fn unjudged(&self, frame: &Arc<Frame>, wanted: bool) {
        if wanted {
            let mut coarse = Frame::clone(frame);
            mask::blur_faces(&mut coarse, &[domain::PictureBox::WHOLE]);
            let jpeg = jpeg::encode(&coarse, jpeg::JpegQuality::default());
            self.show(frame.at, jpeg, Vec::new());
        }
    }

    fn show(&self, at: UtcMillis, jpeg: Bytes, boxes: Vec<domain::observation::LabelledBox>) {
        self.eye.still.store(Some(Arc::new(Still { jpeg, at, boxes })));
    }

    /// Keeps a few frames, so that a finding can show what was before it.
    fn remember(&mut self, frame: &Arc<Frame>) {
        let step = BEFORE_STEP_MS.max(self.inner.options.before_ms / 2);
        if self
            .earlier
            .last()
            .is_none_or(|last| frame.at.ms_since(last.at) >= step)
        {
            self.earlier.push(Arc::clone(frame));
        }
        self.earlier.retain(|kept| frame.at.ms_since(kept.at) <= 2 * step);
    }

    /// A look was taken: keeps what begins, says it, and says the series.
    async fn say(&mut self, seen: Seen) {
        if let Some(jpeg) = &seen.blurred {
            self.show(seen.frame.at, jpeg.clone(), seen.judged.boxes.clone());
        }
        for observation in &seen.judged.observations {
            self.observe(observation.clone(), Some(&seen)).await;
        }
        let mut series = seen.judged.series.clone();
        if !series.is_empty() {
            series.push((metric("vision_fault"), 0.0));
        }
        let said = self
            .inner
            .voice
            .readings(&self.eye.camera.key, seen.frame.at, &series)
            .await;
        self.note("The series of a camera", said.map_err(anyhow::Error::from));
        self.follow(&seen);
    }

    /// Keeps what begins, then says it: what is said points to what is on disk.
    async fn observe(&mut self, mut observation: Sighted, seen: Option<&Seen>) {
        if observation.state == ObservedState::Began {
            let items = seen.map(items_of).unwrap_or_default();
            match self
                .inner
                .keeper
                .keep(&self.eye.camera, &observation, items)
                .await
            {
                Ok(evidence) => {
                    observation.evidence = Some(evidence);
                    self.follow_up(&observation, evidence);
                }
                // A finding without its pictures is better than none.
                Err(why) => error!(camera = %self.eye.camera.key, "A finding has no evidence: {why:#}"),
            }
        }
        let said = self
            .inner
            .voice
            .observation(&self.eye.camera.key, &observation)
            .await;
        self.note("An observation", said.map_err(anyhow::Error::from));
    }

    fn follow_up(&mut self, said: &Sighted, evidence: EvidenceId) {
        if self.followed.len() >= MAX_FOLLOWED {
            warn!(camera = %self.eye.camera.key, "So many findings at once that one goes without its clip.");
            return;
        }
        self.followed.push(Followed {
            said: said.clone(),
            evidence,
            due: said.at + self.inner.options.after_ms,
        });
    }

    /// Adds the clip and the picture of afterwards to the findings whose time has come.
    fn follow(&mut self, seen: &Seen) {
        let after = seen.blurred.as_ref().map(|jpeg| still(ItemRole::After, jpeg));
        let at = seen.frame.at;
        let has_picture = after.is_some();
        self.finish_due(
            |due| at >= due && (has_picture || at.ms_since(due) > PATIENCE_MS),
            after.as_ref(),
        );
    }

    fn finish_due(&mut self, is_due: impl Fn(UtcMillis) -> bool, after: Option<&NewItem>) {
        let (due, rest): (Vec<_>, Vec<_>) = self.followed.drain(..).partition(|f| is_due(f.due));
        self.followed = rest;
        for followed in due {
            let (inner, eye) = (Arc::clone(&self.inner), Arc::clone(&self.eye));
            let after = after.cloned();
            self.later.spawn(async move {
                if let Err(why) = add_clip(&inner, &eye, &followed, after).await {
                    error!(camera = %eye.camera.key, "A finding has no clip: {why:#}");
                }
            });
        }
    }

    /// Says how the camera fares, and what is wrong with its picture.
    async fn health(&mut self) {
        let now = self.inner.clock.now();
        let health = self.eye.health();
        let offline = health.link == LinkState::Offline;
        self.tampered(now, health.picture).await;
        let flag = |yes: bool| f64::from(u8::from(yes));
        let mut values = vec![
            (metric("camera_offline"), flag(offline)),
            (
                metric("camera_tampered"),
                flag(self.picture != PictureState::Good),
            ),
            (metric("frame_rate"), f64::from(health.fps)),
            (metric("bitrate"), f64::from(health.bitrate_kbps)),
            (metric("packet_loss"), f64::from(health.loss_percent)),
            (metric("reconnects"), f64::from(health.reconnects)),
            (metric("skipped_frames"), health.skipped as f64),
        ];
        values.extend(
            health
                .key_frame_gap_s
                .map(|gap| (metric("key_frame_gap"), f64::from(gap))),
        );
        let age_s = health
            .last_frame
            .map(|last| now.ms_since(last).max(0) as f64 / 1_000.0);
        values.extend(age_s.map(|age| (metric("frame_age"), age)));
        let said = self
            .inner
            .voice
            .readings(&self.eye.camera.key, now, &values)
            .await;
        self.note("The health of a camera", said.map_err(anyhow::Error::from));
        // A camera that died leaves no picture of afterwards: its findings get the clip that there is.
        self.finish_due(|due| now.ms_since(due) > PATIENCE_MS, None);
    }

    /// A picture that cannot be trusted is a finding of its own.
    async fn tampered(&mut self, now: UtcMillis, picture: PictureState) {
        let was = std::mem::replace(&mut self.picture, picture);
        let state = match (was, picture) {
            (PictureState::Good, PictureState::Good) => return,
            (PictureState::Good, _) => ObservedState::Began,
            (_, PictureState::Good) => ObservedState::Ended,
            (_, _) => return,
        };
        let observation = Sighted {
            check: Check::CameraTampered,
            state,
            at: now,
            since: None,
            zone: None,
            score: None,
            threshold: None,
            tally: Tally::default(),
            model: None,
            boxes: Vec::new(),
            evidence: None,
            origin: Origin::Own,
            detail: picture.code().to_owned(),
        };
        self.observe(observation, None).await;
    }

    /// Logs a failure once, while it lasts.
    fn note(&mut self, what: &str, done: anyhow::Result<()>) {
        match done {
            Ok(()) => self.failing = false,
            Err(why) if !self.failing => {
                self.failing = true;
                error!(camera = %self.eye.camera.key, "{what} cannot be written into the log: {why:#}");
            }
            Err(_) => {}
        }
    }
}

/// One look, on a worker.
struct Job {
    frame: Arc<Frame>,
    before: Option<Arc<Frame>>,
    pipeline: Arc<std::sync::Mutex<Pipeline>>,
    moment: Moment,
    wanted: bool,
    eye: Arc<Eye>,
    done: mpsc::Sender<Seen>,
}

impl Job {
    fn run(self, kit: &mut Kit) -> Result<(), InferError> {
        // A look that panicked has left the pipeline as it was; the next one begins anew.
        let Ok(mut pipeline) = self.pipeline.lock() else {
            return Ok(());
        };
        let looked = pipeline.look(kit, &self.frame, self.moment)?;
        drop(pipeline);
        self.eye.count(looked.judged.is_some());
        if looked.judged.is_none() && !self.wanted {
            return Ok(());
        }
        let judged = looked.judged.unwrap_or_default();
        let begins = judged
            .observations
            .iter()
            .any(|o| o.state == ObservedState::Began);
        let at = (self.wanted || begins)
            .then(|| blurred(kit, &self.frame))
            .transpose()?;
        let before = self.before.filter(|_| begins);
        let before = before.map(|frame| blurred(kit, &frame)).transpose()?;
        let seen = Seen {
            frame: self.frame,
            judged,
            blurred: at,
            before,
        };
        // The watcher is gone when the camera was let go meanwhile.
        drop(self.done.blocking_send(seen));
        Ok(())
    }
}

/// The picture with everything made unrecognisable by which somebody could be known.
fn blurred(kit: &mut Kit, frame: &Frame) -> Result<Bytes, InferError> {
    let parts = kit.private_parts(frame)?;
    let mut picture = frame.clone();
    mask::blur_faces(&mut picture, &parts);
    Ok(jpeg::encode(&picture, jpeg::JpegQuality::default()))
}

fn items_of(seen: &Seen) -> Vec<NewItem> {
    let before = seen.before.iter().map(|jpeg| still(ItemRole::Before, jpeg));
    let at = seen.blurred.iter().map(|jpeg| still(ItemRole::At, jpeg));
    let original = NewItem {
        blurred: false,
        ..still(
            ItemRole::Original,
            &jpeg::encode(&seen.frame, jpeg::JpegQuality::default()),
        )
    };
    before.chain(at).chain([original]).collect()
}

fn still(role: ItemRole, jpeg: &Bytes) -> NewItem {
    NewItem {
        role,
        media_type: "image/jpeg".to_owned(),
        blurred: true,
        bytes: jpeg.to_vec(),
    }
}

/// Cuts the clip out of the camera's memory, as it was encoded, and keeps it with the finding.
async fn add_clip(
    inner: &Arc<Inner>,
    eye: &Arc<Eye>,
    followed: &Followed,
    after: Option<NewItem>,
) -> anyhow::Result<()> {
    let (from, until) = (
        followed.said.at - inner.options.before_ms,
        followed.said.at + inner.options.after_ms,
    );
    let of_camera = Arc::clone(eye);
    let cut = move || {
        let clips = of_camera.handle.clip(from, until);
        let movies = clips.into_iter().map(|clip| clip.mp4());
        movies.collect::<Result<Vec<_>, _>>()
    };
    let movies = tokio::task::spawn_blocking(cut).await??;
    let clips = movies.into_iter().flatten().map(|movie| NewItem {
        role: ItemRole::Clip,
        media_type: "video/mp4".to_owned(),
        blurred: false,
        bytes: movie.to_vec(),
    });
    let items: Vec<NewItem> = after.into_iter().chain(clips).take(16).collect();
    if items.is_empty() {
        return Ok(());
    }
    inner
        .keeper
        .add(&eye.camera, &followed.said, followed.evidence, items)
        .await
}

impl Inner {
    /// A worker began anew: its camera goes on with a fresh judge, and the log hears of it.
    pub(super) async fn mend(&self, event: WorkerEvent) {
        let (worker, camera, cause) = match event {
            WorkerEvent::Restarted {
                worker,
                camera,
                cause,
            } => (worker, camera, cause),
            WorkerEvent::Lost { worker } => {
                error!(
                    worker,
                    "A model hangs for good, and its thread is not replaced: pictures are judged more slowly."
                );
                return;
            }
        };
        error!(worker, ?camera, ?cause, "A model was started anew.");
        let Some(eye) = camera.and_then(|camera| self.eye(&camera)) else {
            return;
        };
        eye.begin_anew();
        if let (RestartCause::Hung, Some(engine)) = (&cause, self.models.engine()) {
            engine.workers.release(&eye.camera.key);
        }
        let fault = [(metric("vision_fault"), 1.0)];
        if let Err(why) = self
            .voice
            .readings(&eye.camera.key, self.clock.now(), &fault)
            .await
        {
            error!("That a model was started anew cannot be written into the log: {why}");
        }
    }

    /// The heads that were taught for a camera. One that cannot be read is passed over.
    pub(super) async fn taught(&self, camera: &domain::CameraKey) -> anyhow::Result<Vec<TaughtHead>> {
        let heads = self.records.heads(&Scope::everything(), camera).await?;
        let read = |stored: store::records::StoredHead| {
            let head: Result<TaughtHead, _> = serde_json::from_str(&stored.json);
            match head {
                Ok(head) => Some(head),
                Err(why) => {
                    warn!(camera = %camera, "A taught check cannot be read; teach it again: {why}");
                    None
                }
            }
        };
        Ok(heads.into_iter().filter_map(read).collect())
    }

    /// The minute of the local day.
    fn minute_of(&self, at: UtcMillis) -> u16 {
        let local = jiff::Timestamp::from_millisecond(at.0).map(|t| t.to_zoned(self.zone.clone()));
        local.map_or(0, |t| {
            u16::from(t.hour().unsigned_abs()) * 60 + u16::from(t.minute().unsigned_abs())
        })
    }

    /// Whether a stove of the camera's facility draws power, as far as a sensor has said so within five minutes.
    fn stove_of(&self, eye: &Eye, at: UtcMillis) -> Option<bool> {
        const STALE_MS: i64 = 300_000;
        const BURNING_W: f64 = 100.0;
        let watched = eye
            .camera
            .checks
            .iter()
            .any(|s| s.check == Check::StoveUnattended);
        if !watched {
            return None;
        }
        let everything = Scope::everything();
        let stoves = self.series.series_of(&everything, &eye.camera.key.facility);
        let mut known = None;
        for (key, series) in stoves {
            if !key.device.as_str().starts_with("stove") || key.metric.as_str() != "power" {
                continue;
            }
            let latest = self
                .series
                .latest(&everything, series)
                .filter(|s| at.ms_since(s.at) < STALE_MS);
            known = known.max(latest.map(|sample| sample.value > BURNING_W));
        }
        known
    }
}

fn metric(name: &str) -> Metric {
    Metric::new(name).expect("a constant that is a valid identifier")
}
