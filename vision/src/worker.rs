//! Workers: a fixed number of threads that judge pictures, each with models of its own.
//!
//! A camera has one place in the queue. A newer picture takes the place of one that still waits, which is counted:
//! late answers about old pictures help nobody. No two jobs of one camera run at once, and cameras take turns.
//!
//! A job that panics, or whose model gives nonsense, costs that worker its models, which are loaded afresh. A job
//! that hangs costs its thread: the thread is left alone, since none can be ended from outside, another takes over,
//! and its camera waits until the job comes back or [`Workers::release`] lets it go on. Sensors and other cameras
//! never notice.

use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

use domain::CameraKey;
use tokio::sync::mpsc;

use self::crew::Crew;
use crate::{infer::InferError, runtime::Backend};

mod crew;
mod queue;

/// The most cameras that have a place in the queue.
pub const MAX_CAMERAS: usize = 1024;

/// The most events that wait for their reader. More are dropped and counted.
pub const MAX_EVENTS: usize = 64;

/// Something to do for a camera with a worker's models. Its answer goes out by whatever channel it holds.
pub type Job<M> = Box<dyn FnOnce(&mut M) -> Result<(), InferError> + Send>;

/// How many workers, and for how long they may stay silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOptions {
    /// Threads.
    pub workers: NonZeroUsize,
    /// How long a job, or loading the models, may take before the worker is given up.
    pub hang_limit: Duration,
    /// How many given-up threads are replaced. Beyond it the crew gets smaller.
    pub max_abandoned: usize,
    /// The least time between two loads of the models, so that a model that is always wrong is not loaded for every
    /// picture. After a panic they are loaded at once.
    pub reload_pause: Duration,
}

impl WorkerOptions {
    /// One worker less than there are cores, at least one; 10 s until a job hangs, 60 s on the slow library; four
    /// replacements; 10 s between two loads.
    #[must_use]
    pub fn for_backend(backend: &Backend) -> WorkerOptions {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let hang_limit_s = if backend.slow_down().is_some() { 60 } else { 10 };
        WorkerOptions {
            workers: NonZeroUsize::new(cores - 1).unwrap_or(NonZeroUsize::MIN),
            hang_limit: Duration::from_secs(hang_limit_s),
            max_abandoned: 4,
            reload_pause: Duration::from_secs(10),
        }
    }
}

/// What became of a job that was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for its turn.
    Queued,
    /// It waits, in the place of an older one that is dropped and counted.
    Replaced,
    /// It is dropped and counted: [`MAX_CAMERAS`] others have places, or the workers are being stopped.
    Refused,
}

/// Why a worker lost its models or its thread.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartCause {
    /// A job panicked, with these words.
    Panicked(String),
    /// A model failed or gave nonsense.
    Failed(InferError),
    /// A job, or loading the models, took longer than [`WorkerOptions::hang_limit`]; its thread is left.
    Hung,
}

/// Something that the people in charge must hear of.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerEvent {
    /// A worker begins anew.
    Restarted {
        /// Which, from 0.
        worker: usize,
        /// The camera it was working for; `None` while it was loading models.
        camera: Option<CameraKey>,
        /// Why.
        cause: RestartCause,
    },
    /// A worker hung and is not replaced: too many threads were given up already.
    Lost {
        /// Which, from 0.
        worker: usize,
    },
}

/// What the workers did since they were started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Jobs done.
    pub done: u64,
    /// Jobs that ended with an error.
    pub failed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs, or loads of models, that hung.
    pub hung: u64,
    /// Jobs whose place a newer one took.
    pub skipped: u64,
    /// Jobs that were refused.
    pub refused: u64,
    /// Times that models were loaded or their loading failed, the first load of [`Workers::start`] aside.
    pub reloads: u64,
    /// Events that nobody had room for.
    pub events_lost: u64,
    /// Threads that hang now.
    pub abandoned: usize,
    /// Workers that are there now.
    pub workers: usize,
    /// Jobs that wait now.
    pub waiting: usize,
}

/// How the workers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Workers that were still at work at the deadline, and threads that hang.
    pub left: usize,
    /// Jobs that still waited and were dropped.
    pub dropped: usize,
}

/// The workers. Dropping it ends them after their current job, without waiting.
pub struct Workers<M> {
    crew: Arc<Crew<M>>,
}

impl<M: Send + 'static> Workers<M> {
    /// Loads the first worker's models, so that what is wrong with them is known at once, and starts the threads; the
    /// others load theirs by themselves. Blocks for as long as `load` takes. The receiver hears what goes wrong later.
    ///
    /// # Errors
    /// What `load` says, or [`InferError::System`] when the system gives no threads.
    pub fn start(
        options: WorkerOptions,
        load: impl Fn() -> Result<M, InferError> + Send + Sync + 'static,
    ) -> Result<(Workers<M>, mpsc::Receiver<WorkerEvent>), InferError> {
        let first = load()?;
        let (events, heard) = mpsc::channel(MAX_EVENTS);
        let crew = Arc::new(Crew::new(options, Box::new(load), events));
        // Dropped on an error below, it ends the threads that were started.
        let workers = Workers { crew };
        workers.crew.begin(first)?;
        Ok((workers, heard))
    }

    /// Hands in a job for a camera. Never blocks on a job.
    pub fn submit(&self, camera: &CameraKey, job: Job<M>) -> Submitted {
        // What is dropped is dropped after the lock is let go: a job may hold a whole picture.
        let (submitted, dropped) = self.crew.offer(camera, job);
        drop(dropped);
        submitted
    }

    /// Forgets a camera that is no longer watched, and what waits for it. A job that runs for it ends undisturbed.
    pub fn forget(&self, camera: &CameraKey) {
        let dropped = self.crew.forget(camera);
        drop(dropped);
    }

    /// Lets a camera go on whose job hung, although that job may still hold what it was given: its owner makes
    /// everything anew that the job had. `false`, and nothing changes, when it has no hung job, or when so many
    /// threads hang that the next would not be replaced.
    pub fn release(&self, camera: &CameraKey) -> bool {
        self.crew.release(camera)
    }

    /// Jobs of this camera whose place a newer one took, since it was first seen.
    #[must_use]
    pub fn skipped(&self, camera: &CameraKey) -> u64 {
        self.crew.skipped(camera)
    }

    /// What the workers did so far.
    #[must_use]
    pub fn counts(&self) -> WorkerCounts {
        self.crew.counts()
    }

    /// Takes no more jobs, does those that wait, and ends the threads. Blocks until then, at most for `deadline`; what
    /// is still at work then is left to itself and told.
    #[must_use]
    pub fn stop(&self, deadline: Duration) -> Stopped {
        self.crew.stop(deadline)
    }
}

impl<M> Drop for Workers<M> {
    fn drop(&mut self) {
        self.crew.dismiss();
    }
}
