//! The threads: workers, and one that watches them.

use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use domain::CameraKey;
use tokio::sync::mpsc;

use super::{
    Job, RestartCause, Stopped, Submitted, WorkerCounts, WorkerEvent, WorkerOptions,
    queue::{Queue, Ticket},
};
use crate::infer::{InferError, words};

type Load<M> = Box<dyn Fn() -> Result<M, InferError> + Send + Sync>;

/// What the workers share.
pub(super) struct Crew<M> {
    options: WorkerOptions,
    load: Load<M>,
    events: mpsc::Sender<WorkerEvent>,
    state: Mutex<State<M>>,
    /// A job is ready, or the workers are being stopped.
    work: Condvar,
    /// A worker ended, or the workers are being stopped.
    ended: Condvar,
}

struct State<M> {
    queue: Queue<Job<M>>,
    seats: Vec<Seat>,
    threads: Vec<JoinHandle<()>>,
    stopping: bool,
    /// Counters that only grow, and the number of threads that hang.
    counts: WorkerCounts,
}

/// The place of one worker, which outlives its threads.
#[derive(Default)]
struct Seat {
    /// Which thread sits there: one that was given up finds another number when it comes back.
    holder: u64,
    /// Whether a thread sits there.
    taken: bool,
    /// Since when it has been at its present work, and for whom; `None` while it waits.
    busy: Option<(Instant, Option<(CameraKey, Ticket)>)>,
}

/// One thread's hold on a seat.
#[derive(Clone, Copy)]
struct Hold {
    seat: usize,
    holder: u64,
}

impl<M: Send + 'static> Crew<M> {
    pub(super) fn new(options: WorkerOptions, load: Load<M>, events: mpsc::Sender<WorkerEvent>) -> Crew<M> {
        let seats = (0..options.workers.get()).map(|_| Seat::default()).collect();
        Crew {
            options,
            load,
            events,
            state: Mutex::new(State {
                queue: Queue::new(),
                seats,
                threads: Vec::new(),
                stopping: false,
                counts: WorkerCounts::default(),
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    /// Starts every thread. The first worker is handed its models.
    pub(super) fn begin(self: &Arc<Self>, first: M) -> Result<(), InferError> {
        let mut first = Some(first);
        for seat in 0..self.options.workers.get() {
            self.seat(&mut self.lock(), seat, first.take())
                .map_err(no_thread)?;
        }
        let crew = Arc::clone(self);
        let watch = thread::Builder::new().name("vision-watch".into());
        let watch = watch.spawn(move || crew.watch()).map_err(no_thread)?;
        self.lock().threads.push(watch);
        Ok(())
    }

    pub(super) fn offer(&self, camera: &CameraKey, job: Job<M>) -> (Submitted, Option<Job<M>>) {
        let mut state = self.lock();
        if state.stopping {
            state.counts.refused += 1;
            return (Submitted::Refused, Some(job));
        }
        let (submitted, dropped) = state.queue.offer(camera, job);
        match submitted {
            Submitted::Queued => self.work.notify_one(),
            Submitted::Replaced => state.counts.skipped += 1,
            Submitted::Refused => state.counts.refused += 1,
        }
        (submitted, dropped)
    }

    pub(super) fn forget(&self, camera: &CameraKey) -> Option<Job<M>> {
        self.lock().queue.forget(camera)
    }

    pub(super) fn release(&self, camera: &CameraKey) -> bool {
        let mut state = self.lock();
        let room = state.counts.abandoned < self.options.max_abandoned;
        let released = room && state.queue.release(camera);
        if released {
            self.work.notify_one();
        }
        released
    }

    pub(super) fn skipped(&self, camera: &CameraKey) -> u64 {
        self.lock().queue.skipped(camera)
    }

    pub(super) fn counts(&self) -> WorkerCounts {
        let state = self.lock();
        WorkerCounts {
            workers: state.seats.iter().filter(|seat| seat.taken).count(),
            waiting: state.queue.waiting(),
            ..state.counts
        }
    }

    /// Waits until every seat is empty, at most for `deadline`.
    pub(super) fn stop(&self, deadline: Duration) -> Stopped {
        self.dismiss();
        let mut state = self.lock();
        let until = Instant::now() + deadline;
        let at_work = |state: &State<M>| state.seats.iter().filter(|seat| seat.taken).count();
        while at_work(&state) > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let dropped = state.queue.clear();
        let left = at_work(&state) + state.counts.abandoned;
        let threads = mem::take(&mut state.threads);
        drop(state);
        let stopped = Stopped {
            left,
            dropped: dropped.len(),
        };
        // The panics of jobs were caught. When nobody hangs, every thread is past its last wait and can be joined.
        let done = threads
            .into_iter()
            .filter(|thread| left == 0 || thread.is_finished());
        let joined = done.map(JoinHandle::join).filter(Result::is_err).count();
        if joined > 0 {
            tracing::error!(threads = joined, "A vision thread ended by a panic of its own");
        }
        stopped
    }

    /// Puts a new thread on a seat, with or without models to begin with.
    fn seat(self: &Arc<Self>, state: &mut State<M>, seat: usize, models: Option<M>) -> std::io::Result<()> {
        let holder = state.seats[seat].holder + 1;
        let crew = Arc::clone(self);
        let hold = Hold { seat, holder };
        let name = format!("vision-{seat}");
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || crew.work(hold, models))?;
        state.threads.retain(|thread| !thread.is_finished());
        state.threads.push(thread);
        state.seats[seat] = Seat {
            holder,
            taken: true,
            busy: None,
        };
        Ok(())
    }

    /// A worker's life.
    fn work(&self, hold: Hold, mut models: Option<M>) {
        let mut loaded = Instant::now();
        while let Some((camera, ticket, job)) = self.next(hold, &mut models, &mut loaded) {
            let mine = models.take().expect("a worker without models takes no job");
            let outcome = run(mine, job);
            if !self.settle(hold, &camera, ticket, &outcome) {
                return;
            }
            models = match outcome {
                Ok((kept, Ok(()))) => Some(kept),
                Ok((kept, Err(error))) => {
                    let rest = loaded.elapsed() < self.options.reload_pause;
                    if !error.is_models_fault() || rest {
                        Some(kept)
                    } else {
                        self.tell_restart(hold, Some(&camera), RestartCause::Failed(error));
                        None
                    }
                }
                Err(panic) => {
                    self.tell_restart(hold, Some(&camera), RestartCause::Panicked(panic));
                    None
                }
            };
        }
        let mut state = self.lock();
        self.leave(&mut state, hold);
    }

    /// The next job; `None` when there is none and there will be none. Loads models first where there are none.
    fn next(
        &self,
        hold: Hold,
        models: &mut Option<M>,
        loaded: &mut Instant,
    ) -> Option<(CameraKey, Ticket, Job<M>)> {
        while models.is_none() {
            if !self.begin_load(hold) {
                return None;
            }
            let outcome = guarded(|| (self.load)());
            *loaded = Instant::now();
            match self.end_load(hold, outcome)? {
                Ok(fresh) => *models = Some(fresh),
                Err(cause) => {
                    self.tell_restart(hold, None, cause);
                    self.pause();
                }
            }
        }
        let mut state = self.lock();
        loop {
            if let Some((camera, ticket, job)) = state.queue.take() {
                let since = Instant::now();
                state.seats[hold.seat].busy = Some((since, Some((camera.clone(), ticket))));
                return Some((camera, ticket, job));
            }
            if state.stopping {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether models are still to be loaded.
    fn begin_load(&self, hold: Hold) -> bool {
        let mut state = self.lock();
        let seat = &mut state.seats[hold.seat];
        if seat.holder != hold.holder {
            return false;
        }
        seat.busy = Some((Instant::now(), None));
        !state.stopping
    }

    /// Takes note of a load. `None` when it took so long that the worker was given up.
    fn end_load(
        &self,
        hold: Hold,
        outcome: Result<Result<M, InferError>, String>,
    ) -> Option<Result<M, RestartCause>> {
        let mut state = self.lock();
        if !self.still_holds(&mut state, hold) {
            return None;
        }
        state.counts.reloads += 1;
        Some(match outcome {
            Ok(loaded) => loaded.map_err(RestartCause::Failed),
            Err(panic) => Err(RestartCause::Panicked(panic)),
        })
    }

    /// Takes note of how a job ended. `false` when the worker was given up meanwhile.
    fn settle(
        &self,
        hold: Hold,
        camera: &CameraKey,
        ticket: Ticket,
        outcome: &Result<(M, Result<(), InferError>), String>,
    ) -> bool {
        let mut state = self.lock();
        match outcome {
            Ok((_, Ok(()))) => state.counts.done += 1,
            Ok((_, Err(_))) => state.counts.failed += 1,
            Err(_) => state.counts.panicked += 1,
        }
        state.queue.end(camera, ticket);
        if state.queue.has_ready() {
            self.work.notify_one();
        }
        self.still_holds(&mut state, hold)
    }

    /// Whether a thread still has its seat; one that was given up is counted off.
    fn still_holds(&self, state: &mut State<M>, hold: Hold) -> bool {
        let seat = &mut state.seats[hold.seat];
        if seat.holder == hold.holder {
            seat.busy = None;
            return true;
        }
        state.counts.abandoned -= 1;
        self.ended.notify_all();
        false
    }

    fn leave(&self, state: &mut State<M>, hold: Hold) {
        let seat = &mut state.seats[hold.seat];
        if seat.holder == hold.holder {
            seat.taken = false;
            seat.busy = None;
        }
        self.ended.notify_all();
    }

    /// Waits before models that cannot be loaded are tried again.
    fn pause(&self) {
        let until = Instant::now() + self.options.reload_pause;
        let mut state = self.lock();
        while !state.stopping {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.ended.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The watching thread: gives up what hangs, and fills empty seats.
    fn watch(self: &Arc<Self>) {
        let interval = self.options.hang_limit / 4;
        let mut state = self.lock();
        while !state.stopping {
            for seat in 0..state.seats.len() {
                self.look_after(&mut state, seat);
            }
            let woken = self.ended.wait_timeout(state, interval);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn look_after(self: &Arc<Self>, state: &mut State<M>, seat: usize) {
        let late = |since: Instant| since.elapsed() > self.options.hang_limit;
        if let Some((since, _)) = state.seats[seat].busy
            && late(since)
        {
            let busy = state.seats[seat].busy.take();
            let camera = busy.and_then(|(_, work)| work).map(|(camera, ticket)| {
                state.queue.give_up(&camera, ticket);
                camera
            });
            state.counts.hung += 1;
            state.counts.abandoned += 1;
            state.seats[seat].holder += 1;
            state.seats[seat].taken = false;
            let cause = RestartCause::Hung;
            let worker = seat;
            self.tell(
                state,
                WorkerEvent::Restarted {
                    worker,
                    camera,
                    cause,
                },
            );
            if state.counts.abandoned > self.options.max_abandoned {
                self.tell(state, WorkerEvent::Lost { worker });
            }
        }
        if !state.seats[seat].taken
            && state.counts.abandoned <= self.options.max_abandoned
            && let Err(error) = self.seat(state, seat, None)
        {
            tracing::error!(%error, worker = seat, "No thread for a vision worker; it is tried again");
        }
    }

    fn tell_restart(&self, hold: Hold, camera: Option<&CameraKey>, cause: RestartCause) {
        let event = WorkerEvent::Restarted {
            worker: hold.seat,
            camera: camera.cloned(),
            cause,
        };
        self.tell(&mut self.lock(), event);
    }

    fn tell(&self, state: &mut State<M>, event: WorkerEvent) {
        if self.events.try_send(event).is_err() {
            state.counts.events_lost += 1;
        }
    }
}

impl<M> Crew<M> {
    /// Tells every thread to end once nothing waits.
    pub(super) fn dismiss(&self) {
        self.lock().stopping = true;
        self.work.notify_all();
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // No job runs under the lock, so the state is whole even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does a job. On a panic the models are lost with it: nobody knows what state they are in.
fn run<M>(models: M, job: Job<M>) -> Result<(M, Result<(), InferError>), String> {
    guarded(move || {
        let mut models = models;
        let outcome = job(&mut models);
        (models, outcome)
    })
}

/// Calls `work` and says in words how it panicked, if it did.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_words(&*panic))
}

fn panic_words(panic: &(dyn Any + Send)) -> String {
    let fixed = panic.downcast_ref::<&str>().map(|text| words(text));
    let made = || panic.downcast_ref::<String>().map(|text| words(text));
    fixed.or_else(made).unwrap_or_else(|| "without words".to_owned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is handed to `map_err`, which passes its error by value"
)]
fn no_thread(error: std::io::Error) -> InferError {
    InferError::System(format!("the system gives no thread ({})", words(&error)))
}
