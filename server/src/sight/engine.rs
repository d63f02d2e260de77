//! The models at work: which library runs them, on how many threads.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context;
use domain::Check;
use models::Catalog;
use tokio::sync::mpsc;
use tracing::{info, warn};
use vision::{
    detector::DetectorOptions,
    kit::Kit,
    pipeline::findings_of,
    runtime::{Runtime, RuntimeOptions},
    worker::{WorkerEvent, WorkerOptions, Workers},
};

use crate::config::Vision;

/// Where `scripts/get-onnxruntime.sh` puts the library, relative to the working directory.
const LIBRARY_FOLDER: &str = "onnxruntime/lib";

/// Models on their threads.
pub(super) struct Engine {
    pub(super) workers: Workers<Kit>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) findings: BTreeMap<Arc<str>, Check>,
    /// What runs the models, for people.
    pub(super) name: String,
    pub(super) slow: bool,
    events: Mutex<Option<mpsc::Receiver<WorkerEvent>>>,
}

impl Engine {
    /// What happens to the workers; whoever asks first gets it.
    pub(super) fn events(&self) -> Option<mpsc::Receiver<WorkerEvent>> {
        self.events
            .lock()
            .expect("no code panics while it holds the events")
            .take()
    }

    pub(super) async fn stop(self: Arc<Self>, within: Duration) {
        let stopped = tokio::task::spawn_blocking(move || self.workers.stop(within)).await;
        match stopped {
            Ok(stopped) if stopped.left > 0 => {
                warn!(
                    threads = stopped.left,
                    "Models did not stop in time; their threads are left behind."
                );
            }
            Ok(_) => {}
            Err(panicked) => warn!("Stopping the models panicked: {panicked}"),
        }
    }
}

/// The library and the models that the configuration names. Nothing when pictures are not to be judged.
pub(crate) fn open_models(vision: &Vision) -> anyhow::Result<(Runtime, Catalog)> {
    let mut catalog = Catalog::built_in();
    if let Some(dir) = &vision.models_dir {
        catalog = catalog
            .with_folder(dir)
            .with_context(|| format!("option vision.models_dir: cannot read {}", dir.display()))?;
    }
    for refused in catalog.refused() {
        warn!(model = refused.name, "A model is refused: {}", refused.error);
    }
    let library = vision.onnxruntime_library.clone().or_else(library_of_environment);
    let runtime = Runtime::start(&RuntimeOptions {
        library,
        folder: Some(Path::new(LIBRARY_FOLDER).to_owned()),
    });
    if let Some(refused) = runtime.refused() {
        warn!(library = %refused.path.display(), "The library found is not used: {}", refused.why);
    }
    Ok((runtime, catalog))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the composition root reads the environment; ONNX Runtime's own variable has this name everywhere"
)]
fn library_of_environment() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from)
}

/// Starts the threads that judge pictures, with models verified and warmed.
pub(super) fn start_engine(vision: &Vision) -> anyhow::Result<Option<Engine>> {
    if !vision.enabled {
        info!("Pictures are not judged: vision.enabled is false.");
        return Ok(None);
    }
    let (runtime, catalog) = open_models(vision)?;
    let catalog = Arc::new(catalog);
    let backend = runtime.backend().clone();
    let mut options = WorkerOptions::for_backend(&backend);
    options.workers = NonZeroUsize::new(vision.workers).unwrap_or(NonZeroUsize::MIN);
    options.hang_limit = Duration::from_secs(vision.hang_limit_s);
    let slow = backend.slow_down();
    info!(engine = %backend, workers = options.workers, "Pictures are judged by models.");
    if let Some(slow) = slow {
        warn!("{slow}");
    }
    let (of_worker, used) = (Arc::clone(&catalog), runtime);
    let load = move || Kit::open(&used, &of_worker, &DetectorOptions::default());
    let (workers, events) = Workers::start(options, load).context("cannot start the models")?;
    Ok(Some(Engine {
        workers,
        findings: findings_of(&catalog),
        catalog,
        name: backend.to_string(),
        slow: slow.is_some(),
        events: Mutex::new(Some(events)),
    }))
}
