//! Workers under jobs that panic, hang and fail.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use domain::{CameraKey, DeviceId, FacilityId};
use models::Catalog;
use sunshine_vision::{
    detector::DetectorOptions,
    infer::{BadOutput, InferError},
    kit::Kit,
    worker::{
        Job, MAX_EVENTS, RestartCause, Stopped, Submitted, WorkerCounts, WorkerEvent, WorkerOptions, Workers,
    },
};
use tokio::sync::mpsc;

use crate::{libraries::runtimes, scenes};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stands for a worker's models: which load it was, from 1.
type Load = u32;

fn camera(name: &str) -> CameraKey {
    CameraKey {
        facility: FacilityId::new("f1").unwrap(),
        camera: DeviceId::new(name).unwrap(),
    }
}

fn options(workers: usize) -> WorkerOptions {
    WorkerOptions {
        workers: NonZeroUsize::new(workers).unwrap(),
        hang_limit: PATIENCE,
        max_abandoned: 2,
        reload_pause: Duration::ZERO,
    }
}

/// For tests in which something hangs.
fn impatient(workers: usize) -> WorkerOptions {
    WorkerOptions {
        hang_limit: Duration::from_millis(200),
        ..options(workers)
    }
}

fn start(options: WorkerOptions) -> (Workers<Load>, mpsc::Receiver<WorkerEvent>) {
    let loads = AtomicU32::new(0);
    Workers::start(options, move || Ok(loads.fetch_add(1, Ordering::SeqCst) + 1)).unwrap()
}

/// A job that says under which load it ran.
fn report(to: &SyncSender<Load>) -> Job<Load> {
    let to = to.clone();
    Box::new(move |load| {
        to.send(*load).unwrap();
        Ok(())
    })
}

/// A job that says when it begins, and ends when its gate is dropped or used.
fn gated() -> (Job<Load>, Receiver<()>, SyncSender<()>) {
    let (begun, has_begun) = sync_channel(1);
    let (gate, opened) = sync_channel::<()>(1);
    let job: Job<Load> = Box::new(move |_| {
        begun.send(()).unwrap();
        // An error says that the gate was dropped, which opens it too.
        opened.recv().unwrap_or_default();
        Ok(())
    });
    (job, has_begun, gate)
}

fn failing(error: InferError) -> Job<Load> {
    Box::new(move |_| Err(error))
}

fn nonsense() -> InferError {
    InferError::BadOutput {
        model: "person".into(),
        what: BadOutput::NotFinite,
    }
}

fn next_event(events: &mut mpsc::Receiver<WorkerEvent>) -> WorkerEvent {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let event = runtime.block_on(async { tokio::time::timeout(PATIENCE, events.recv()).await });
    event.expect("no event came").expect("the workers are gone")
}

/// Waits until the counts are as wished. They are read while the workers work on.
fn counts_become(workers: &Workers<Load>, wished: impl Fn(&WorkerCounts) -> bool) -> WorkerCounts {
    let until = Instant::now() + PATIENCE;
    loop {
        let counts = workers.counts();
        if wished(&counts) {
            return counts;
        }
        assert!(Instant::now() < until, "{counts:?}");
        std::thread::yield_now();
    }
}

#[test]
fn the_newest_picture_takes_the_place_of_one_that_waits() {
    let (workers, _events) = start(options(1));
    let (job, has_begun, gate) = gated();
    assert_eq!(workers.submit(&camera("a"), job), Submitted::Queued);
    has_begun.recv_timeout(PATIENCE).unwrap();
    let (to, reports) = sync_channel(8);
    for (name, want) in [
        ("a", Submitted::Queued),
        ("a", Submitted::Replaced),
        ("b", Submitted::Queued),
        ("a", Submitted::Replaced),
    ] {
        assert_eq!(workers.submit(&camera(name), report(&to)), want);
    }
    assert_eq!(
        (workers.skipped(&camera("a")), workers.skipped(&camera("b"))),
        (2, 0)
    );
    drop((gate, to));
    assert_eq!(reports.iter().count(), 2);
    let counts = counts_become(&workers, |counts| counts.done == 3);
    let want = WorkerCounts {
        done: 3,
        skipped: 2,
        workers: 1,
        ..WorkerCounts::default()
    };
    assert_eq!(counts, want);
    assert_eq!(workers.stop(PATIENCE), Stopped { left: 0, dropped: 0 });
}

#[test]
fn no_two_jobs_of_one_camera_run_at_once() {
    let (workers, _events) = start(options(4));
    let (at_once, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for _ in 0..500 {
        let (at_once, most) = (Arc::clone(&at_once), Arc::clone(&most));
        let job: Job<Load> = Box::new(move |_| {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::yield_now();
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
        workers.submit(&camera("a"), job);
    }
    let counts = counts_become(&workers, |c| c.done + c.skipped == 500);
    assert_eq!(workers.skipped(&camera("a")), counts.skipped);
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[test]
fn a_panic_costs_one_worker_its_models_and_nobody_else_anything() {
    let (workers, mut events) = start(options(1));
    workers.submit(&camera("bad"), Box::new(|_| panic!("a plane of size {}", 0)));
    let event = WorkerEvent::Restarted {
        worker: 0,
        camera: Some(camera("bad")),
        cause: RestartCause::Panicked("a plane of size 0".into()),
    };
    assert_eq!(next_event(&mut events), event);
    let (to, reports) = sync_channel(1);
    workers.submit(&camera("good"), report(&to));
    assert_eq!(
        reports.recv_timeout(PATIENCE),
        Ok(2),
        "it runs on models loaded afresh"
    );
    workers.submit(&camera("bad"), report(&to));
    assert_eq!(
        reports.recv_timeout(PATIENCE),
        Ok(2),
        "the camera is judged again"
    );
    let counts = counts_become(&workers, |counts| counts.done == 2);
    assert_eq!((counts.panicked, counts.reloads, counts.workers), (1, 1, 1));
}

#[test]
fn nonsense_costs_a_worker_its_models_but_not_at_every_picture() {
    let (workers, mut events) = start(options(1));
    workers.submit(&camera("a"), failing(nonsense()));
    let event = WorkerEvent::Restarted {
        worker: 0,
        camera: Some(camera("a")),
        cause: RestartCause::Failed(nonsense()),
    };
    assert_eq!(next_event(&mut events), event);
    counts_become(&workers, |counts| counts.reloads == 1);
    workers.submit(
        &camera("a"),
        failing(InferError::Frame {
            width: 1,
            height: 1,
            bytes: 0,
        }),
    );
    let counts = counts_become(&workers, |counts| counts.failed == 2);
    assert_eq!(counts.reloads, 1, "a bad picture is no model's fault");

    let patient = WorkerOptions {
        reload_pause: PATIENCE,
        ..options(1)
    };
    let (workers, mut events) = start(patient);
    for n in 1..=3 {
        workers.submit(&camera("a"), failing(nonsense()));
        counts_become(&workers, |counts| counts.failed == n);
    }
    assert_eq!(workers.counts().reloads, 0);
    assert!(events.try_recv().is_err());
}

#[test]
fn a_hang_costs_a_thread_and_its_camera_waits() {
    let (workers, mut events) = start(impatient(1));
    let (job, has_begun, gate) = gated();
    workers.submit(&camera("bad"), job);
    has_begun.recv_timeout(PATIENCE).unwrap();
    let event = WorkerEvent::Restarted {
        worker: 0,
        camera: Some(camera("bad")),
        cause: RestartCause::Hung,
    };
    assert_eq!(next_event(&mut events), event);
    let (to, reports) = sync_channel(1);
    workers.submit(&camera("good"), report(&to));
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(2), "another took over");
    workers.submit(&camera("bad"), report(&to));
    let counts = counts_become(&workers, |counts| counts.done == 1);
    let want = (1, 1, 1, 1);
    assert_eq!(
        (counts.hung, counts.abandoned, counts.workers, counts.waiting),
        want
    );
    assert!(workers.release(&camera("bad")));
    assert!(!workers.release(&camera("bad")));
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(2));
    drop(gate);
    counts_become(&workers, |counts| counts.abandoned == 0 && counts.done == 3);
    assert_eq!(workers.stop(PATIENCE), Stopped { left: 0, dropped: 0 });
}

#[test]
fn a_camera_goes_on_by_itself_when_its_job_comes_back_late() {
    let (workers, mut events) = start(impatient(1));
    let (job, _has_begun, gate) = gated();
    workers.submit(&camera("a"), job);
    next_event(&mut events);
    let (to, reports) = sync_channel(1);
    workers.submit(&camera("a"), report(&to));
    drop(gate);
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(2));
}

#[test]
fn threads_that_hang_are_replaced_up_to_a_bound() {
    let (workers, mut events) = start(impatient(1));
    let mut gates = Vec::new();
    for name in ["a", "b", "c"] {
        let (job, has_begun, gate) = gated();
        workers.submit(&camera(name), job);
        has_begun.recv_timeout(PATIENCE).unwrap();
        gates.push(gate);
        let event = WorkerEvent::Restarted {
            worker: 0,
            camera: Some(camera(name)),
            cause: RestartCause::Hung,
        };
        assert_eq!(next_event(&mut events), event);
    }
    assert_eq!(next_event(&mut events), WorkerEvent::Lost { worker: 0 });
    let (to, reports) = sync_channel(1);
    workers.submit(&camera("d"), report(&to));
    assert!(
        !workers.release(&camera("a")),
        "the next hang would not be replaced"
    );
    let counts = workers.counts();
    assert_eq!((counts.abandoned, counts.workers, counts.waiting), (3, 0, 1));
    gates.clear();
    assert!(
        reports.recv_timeout(PATIENCE).is_ok(),
        "there is room for a worker again"
    );
    counts_become(&workers, |counts| counts.abandoned == 0 && counts.workers == 1);
}

#[test]
fn models_that_cannot_be_loaded_are_tried_again() {
    let loads = AtomicU32::new(0);
    let load = move || match loads.fetch_add(1, Ordering::SeqCst) + 1 {
        2 => Err(InferError::NoModel("people")),
        3 => panic!("no memory"),
        load => Ok(load),
    };
    let (workers, mut events) = Workers::start(options(1), load).unwrap();
    workers.submit(&camera("a"), failing(nonsense()));
    let causes: Vec<RestartCause> = (0..3)
        .map(|_| match next_event(&mut events) {
            WorkerEvent::Restarted { cause, .. } => cause,
            lost @ WorkerEvent::Lost { .. } => panic!("{lost:?}"),
        })
        .collect();
    let want = [
        RestartCause::Failed(nonsense()),
        RestartCause::Failed(InferError::NoModel("people")),
        RestartCause::Panicked("no memory".into()),
    ];
    assert_eq!(causes, want);
    let (to, reports) = sync_channel(1);
    workers.submit(&camera("a"), report(&to));
    assert_eq!(reports.recv_timeout(PATIENCE), Ok(4));
}

#[test]
fn what_is_wrong_with_the_models_is_known_at_the_start() {
    let refused = Workers::<Load>::start(options(1), || Err(InferError::NoModel("people")));
    assert_eq!(refused.err(), Some(InferError::NoModel("people")));
}

#[test]
fn stopping_does_what_waits_and_takes_nothing_more() {
    let (workers, _events) = start(options(1));
    let (job, has_begun, gate) = gated();
    workers.submit(&camera("a"), job);
    has_begun.recv_timeout(PATIENCE).unwrap();
    let (to, reports) = sync_channel(2);
    workers.submit(&camera("a"), report(&to));
    workers.submit(&camera("b"), report(&to));
    drop((gate, to));
    assert_eq!(workers.stop(PATIENCE), Stopped { left: 0, dropped: 0 });
    assert_eq!(reports.iter().count(), 2);
}

#[test]
fn stopping_does_not_wait_for_what_hangs() {
    let (workers, mut events) = start(impatient(1));
    let (job, has_begun, _gate) = gated();
    workers.submit(&camera("a"), job);
    has_begun.recv_timeout(PATIENCE).unwrap();
    next_event(&mut events);
    let (to, _reports) = sync_channel(1);
    workers.submit(&camera("a"), report(&to));
    assert_eq!(workers.stop(PATIENCE), Stopped { left: 1, dropped: 1 });

    let (workers, _events) = start(options(1));
    let (job, has_begun, _gate) = gated();
    workers.submit(&camera("a"), job);
    has_begun.recv_timeout(PATIENCE).unwrap();
    let stopped = workers.stop(Duration::from_millis(1));
    assert_eq!(stopped, Stopped { left: 1, dropped: 0 });
}

#[test]
fn events_that_nobody_reads_are_dropped_and_counted() {
    let (workers, mut events) = start(options(1));
    let more = 3;
    for n in 1..=MAX_EVENTS + more {
        workers.submit(&camera("a"), failing(nonsense()));
        counts_become(&workers, |counts| counts.reloads == n as u64);
    }
    assert_eq!(workers.counts().events_lost, more as u64);
    let kept = std::iter::from_fn(|| events.try_recv().ok()).count();
    assert_eq!(kept, MAX_EVENTS);
}

#[test]
fn a_worker_with_real_models_sees_again_after_a_panic() {
    let runtime = runtimes().pop().unwrap();
    let load = move || Kit::open(&runtime, &Catalog::built_in(), &DetectorOptions::default());
    let (workers, mut events) = Workers::start(options(1), load).unwrap();
    workers.submit(&camera("bad"), Box::new(|_| panic!("in the midst of a picture")));
    let event = next_event(&mut events);
    assert!(matches!(event, WorkerEvent::Restarted { .. }), "{event:?}");
    let (to, reports) = sync_channel(1);
    let portrait = scenes::frame(&scenes::picture("astronaut.png"));
    let job: Job<Kit> = Box::new(move |kit| {
        to.send(kit.detect(&portrait)?).unwrap();
        Ok(())
    });
    workers.submit(&camera("good"), job);
    let found = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].label, "person");
    assert_eq!(workers.stop(PATIENCE), Stopped { left: 0, dropped: 0 });
}
