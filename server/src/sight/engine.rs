//! The models at work: which library runs them, on how many threads.

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use models::Catalog;
use tokio::sync::{Notify, mpsc};
use tracing::{error, info, warn};
use vision::{
    judge::JudgeOptions,
    kit::{Kit, judging},
    runtime::{Backend, Runtime, RuntimeOptions},
    worker::{WorkerEvent, WorkerOptions, Workers},
};

use crate::config::Vision;

/// Below it, in `onnxruntime/lib`, lies what `scripts/get-onnxruntime.sh` fetched.
const LIBRARY_FOLDER: &str = ".";

/// The models there are, and the threads that run them once there is a camera to judge. Until then they cost nothing,
/// and nobody waits for them: a server without cameras starts as fast as ever.
pub(super) struct Models {
    pub(super) catalog: Arc<Catalog>,
    vision: Vision,
    asked: AtomicBool,
    engine: OnceLock<Engine>,
    /// Told when the engine is there.
    ready: Notify,
}

/// Models on their threads.
pub(super) struct Engine {
    pub(super) workers: Workers<Kit>,
    /// How findings are judged, as far as the models' cards say.
    pub(super) judging: JudgeOptions,
    /// What runs the models, for people.
    pub(super) name: String,
    pub(super) slow: bool,
    events: Mutex<Option<mpsc::Receiver<WorkerEvent>>>,
}

impl Models {
    /// Reads the cards, so that a folder that cannot be read is told at start.
    pub(super) fn open(vision: &Vision) -> anyhow::Result<Models> {
        let catalog = open_catalog(vision)?;
        Ok(Models {
            catalog: Arc::new(catalog),
            vision: vision.clone(),
            asked: AtomicBool::new(false),
            engine: OnceLock::new(),
            ready: Notify::new(),
        })
    }

    /// The threads, once they are there.
    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// Whether pictures are to be judged and nobody has asked for the threads yet.
    pub(super) fn are_wanted(&self) -> bool {
        self.vision.enabled && !self.asked.load(Ordering::Acquire)
    }

    /// Starts the threads, unless that was asked for before. Blocks while models are verified and warmed.
    pub(super) fn start(&self) {
        if !self.vision.enabled || self.asked.swap(true, Ordering::AcqRel) {
            return;
        }
        match start_engine(&self.vision, &self.catalog) {
            Ok(engine) => {
                if self.engine.set(engine).is_err() {
                    error!("The models were started twice.");
                }
                self.ready.notify_one();
            }
            Err(why) => error!("No picture is judged: {why:#}. Cameras are shown and kept all the same."),
        }
    }

    /// The next thing that happens to the workers; waits for the engine first.
    pub(super) async fn next_event(&self, events: &mut Option<mpsc::Receiver<WorkerEvent>>) -> WorkerEvent {
        loop {
            match events {
                Some(heard) => match heard.recv().await {
                    Some(event) => return event,
                    None => std::future::pending().await,
                },
                None => {
                    if self.engine().is_none() {
                        self.ready.notified().await;
                    }
                    let engine = self.engine();
                    *events = engine.and_then(|engine| {
                        engine
                            .events
                            .lock()
                            .expect("no code panics while it holds the events")
                            .take()
                    });
                    if events.is_none() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }

    /// Ends the threads.
    pub(super) fn stop(&self, within: Duration) {
        let Some(engine) = self.engine() else { return };
        let stopped = engine.workers.stop(within);
        if stopped.left > 0 {
            warn!(
                threads = stopped.left,
                "Models did not stop in time; their threads are left behind."
            );
        }
    }
}

/// The library and the models that the configuration names.
pub(crate) fn open_models(vision: &Vision) -> anyhow::Result<(Runtime, Catalog)> {
    Ok((open_runtime(vision), open_catalog(vision)?))
}

fn open_catalog(vision: &Vision) -> anyhow::Result<Catalog> {
    let mut catalog = Catalog::built_in();
    if let Some(dir) = &vision.models_dir {
        catalog = catalog
            .with_folder(dir)
            .with_context(|| format!("option vision.models_dir: cannot read {}", dir.display()))?;
    }
    for refused in catalog.refused() {
        warn!(model = refused.name, "A model is refused: {}", refused.error);
    }
    Ok(catalog)
}

fn open_runtime(vision: &Vision) -> Runtime {
    let library = vision.onnxruntime_library.clone().or_else(library_of_environment);
    let runtime = Runtime::start(&RuntimeOptions {
        library,
        folder: Some(Path::new(LIBRARY_FOLDER).to_owned()),
    });
    if let Some(refused) = runtime.refused() {
        warn!(library = %refused.path.display(), "The library found is not used: {}", refused.why);
    }
    runtime
}

#[expect(
    clippy::disallowed_methods,
    reason = "the composition root reads the environment; ONNX Runtime's own variable has this name everywhere"
)]
fn library_of_environment() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)
}

fn start_engine(vision: &Vision, catalog: &Arc<Catalog>) -> anyhow::Result<Engine> {
    let runtime = open_runtime(vision);
    let backend = runtime.backend().clone();
    let mut options = WorkerOptions::for_backend(&backend);
    options.workers = NonZeroUsize::new(vision.workers).unwrap_or(NonZeroUsize::MIN);
    options.hang_limit = Duration::from_secs(vision.hang_limit_s);
    let slow = backend.slow_down();
    let (workers, of_worker) = (options.workers, Arc::clone(catalog));
    let judging = judging(&runtime, catalog);
    let load = move || Kit::for_judging(&runtime, &of_worker, None);
    let (crew, events) = Workers::start(options, load).context("cannot start the models")?;
    info!(engine = %backend, workers, "Pictures are judged by models.");
    if let Some(slow) = slow {
        warn!("{slow}");
    }
    Ok(Engine {
        workers: crew,
        judging,
        // Where the library lies is for the log, not for visitors.
        name: match &backend {
            Backend::OnnxRuntime { version, .. } => format!("ONNX Runtime {version}"),
            Backend::Tract => "tract".to_owned(),
        },
        slow: slow.is_some(),
        events: Mutex::new(Some(events)),
    })
}
