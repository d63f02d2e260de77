//! What is known of one attached camera while it is watched: shared by its watcher, the workers and the pages.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;
use camera::attach::CameraHandle;
use dashboard::Still;
use domain::{Camera, CameraHealth, Credentials, UtcMillis};
use vision::{judge::JudgeOptions, motion::MotionOptions, pipeline::Pipeline, teach::TaughtHead};

/// Stills are made while somebody has asked for one within so long, in milliseconds.
const STILL_ASKED_MS: i64 = 30_000;

/// One attached camera.
pub(super) struct Eye {
    pub(super) camera: Arc<Camera>,
    pub(super) credentials: Option<Credentials>,
    pub(super) handle: CameraHandle,
    /// Taken by the worker that looks. A look that hangs keeps it: another one is put in its place. `None` until the
    /// first look, and after somebody has taught.
    pipeline: ArcSwapOption<Mutex<Pipeline>>,
    pub(super) still: ArcSwapOption<Still>,
    taught: Mutex<Vec<TaughtHead>>,
    still_asked: AtomicI64,
    judged: AtomicU64,
    looked: AtomicU64,
}

impl Eye {
    pub(super) fn new(
        camera: Camera,
        credentials: Option<Credentials>,
        handle: CameraHandle,
        taught: Vec<TaughtHead>,
    ) -> Eye {
        Eye {
            camera: Arc::new(camera),
            credentials,
            handle,
            pipeline: ArcSwapOption::empty(),
            still: ArcSwapOption::empty(),
            taught: Mutex::new(taught),
            still_asked: AtomicI64::new(i64::MIN),
            judged: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }
    }

    /// A frame was judged; `looked`: by the detector.
    pub(super) fn count(&self, looked: bool) {
        self.judged.fetch_add(1, Ordering::Relaxed);
        self.looked.fetch_add(u64::from(looked), Ordering::Relaxed);
    }

    /// How the camera and its judgement fare.
    pub(super) fn health(&self) -> CameraHealth {
        CameraHealth {
            judged: self.judged.load(Ordering::Relaxed),
            looked: self.looked.load(Ordering::Relaxed),
            ..self.handle.health()
        }
    }

    /// Takes other heads from now on, if they are others. What was followed is begun anew.
    pub(super) fn teach(&self, taught: Vec<TaughtHead>) {
        let mut known = self.heads();
        if *known != taught {
            *known = taught;
            self.pipeline.store(None);
        }
    }

    /// This camera's way of looking.
    pub(super) fn pipeline(&self, judging: &JudgeOptions, motion: MotionOptions) -> Arc<Mutex<Pipeline>> {
        if let Some(pipeline) = self.pipeline.load_full() {
            return pipeline;
        }
        let pipeline = Pipeline::new(&self.camera, &self.heads(), judging, motion);
        let pipeline = Arc::new(Mutex::new(pipeline));
        self.pipeline.store(Some(Arc::clone(&pipeline)));
        pipeline
    }

    /// Begins anew: the look that held the pipeline hangs or panicked.
    pub(super) fn begin_anew(&self) {
        self.pipeline.store(None);
    }

    fn heads(&self) -> MutexGuard<'_, Vec<TaughtHead>> {
        self.taught.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants to see a still.
    pub(super) fn ask_still(&self, now: UtcMillis) {
        self.still_asked.store(now.0, Ordering::Relaxed);
    }

    /// Whether somebody has asked for a still lately.
    pub(super) fn still_is_asked(&self, now: UtcMillis) -> bool {
        let asked = UtcMillis(self.still_asked.load(Ordering::Relaxed));
        now.ms_since(asked) < STILL_ASKED_MS
    }
}
