//! What is known of one attached camera while it is watched: shared by its watcher, the workers and the pages.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use camera::attach::CameraHandle;
use dashboard::Still;
use domain::{Camera, Check, Credentials, UtcMillis};
use vision::pipeline::{Pipeline, Taught};

/// Stills are made while somebody has asked for one within so long, in milliseconds.
const STILL_ASKED_MS: i64 = 30_000;

/// One attached camera.
pub(super) struct Eye {
    pub(super) camera: Arc<Camera>,
    pub(super) credentials: Option<Credentials>,
    pub(super) handle: CameraHandle,
    /// Taken by the worker that looks. A look that hangs keeps it: another one is put in its place.
    pub(super) pipeline: ArcSwap<Mutex<Pipeline>>,
    pub(super) still: ArcSwapOption<Still>,
    findings: BTreeMap<Arc<str>, Check>,
    taught: Mutex<Vec<Taught>>,
    still_asked: AtomicI64,
}

impl Eye {
    pub(super) fn new(
        camera: Camera,
        credentials: Option<Credentials>,
        handle: CameraHandle,
        findings: BTreeMap<Arc<str>, Check>,
        taught: Vec<Taught>,
    ) -> Eye {
        let pipeline = Pipeline::new(&camera, taught.clone(), findings.clone());
        Eye {
            camera: Arc::new(camera),
            credentials,
            handle,
            pipeline: ArcSwap::from_pointee(Mutex::new(pipeline)),
            still: ArcSwapOption::empty(),
            findings,
            taught: Mutex::new(taught),
            still_asked: AtomicI64::new(i64::MIN),
        }
    }

    /// Takes other heads from now on, if they are others.
    pub(super) fn teach(&self, taught: Vec<Taught>) {
        let mut known = self
            .taught
            .lock()
            .expect("no code panics while it holds the heads");
        if *known == taught {
            return;
        }
        known.clone_from(&taught);
        drop(known);
        if let Ok(mut pipeline) = self.pipeline.load().lock() {
            pipeline.teach(taught);
        }
    }

    /// Begins anew: the look that held the pipeline hangs or panicked.
    pub(super) fn begin_anew(&self) {
        let taught = self
            .taught
            .lock()
            .expect("no code panics while it holds the heads")
            .clone();
        let pipeline = Pipeline::new(&self.camera, taught, self.findings.clone());
        self.pipeline.store(Arc::new(Mutex::new(pipeline)));
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
