//! Which tasks run, and the one function that says in which order they stop.

use std::{future::Future, time::Duration};

use anyhow::Context;
use journal::Journal;
use store::SeriesStore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// A running part, in the order in which parts are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// Cameras, and the judgement of their pictures.
    Cameras,
    /// The MQTT listener and its connections.
    Devices,
    /// What comes by HTTP.
    Intake,
    /// What ingest wants said to devices.
    Wishes,
    /// The tick in the log.
    Time,
    /// The watch over devices, points and identities.
    Directory,
    /// Log to readings. Ends by itself when the log is closed and read to its end.
    Ingest,
    /// What cameras saw, to the records. Ends by itself when nothing waits any more.
    Findings,
    /// Readings to verdicts. Ends by itself when ingest has ended.
    Judgement,
    /// What people are told. After judgement, so that its last word is still sent.
    Messages,
    /// Head to disk, log to free space.
    Maintenance,
    /// Readings to another time-series server. What it has not sent yet stays in the log.
    Forwarding,
    /// What open pages are told.
    Live,
    /// Pages and API.
    Pages,
}

/// The running parts of one process.
pub(crate) struct Stages {
    asked: CancellationToken,
    deadline: Duration,
    running: JoinSet<(Task, anyhow::Result<()>)>,
    stops: Vec<(Task, CancellationToken)>,
    alive: Vec<Task>,
}

impl Stages {
    pub(crate) fn new(asked: CancellationToken, deadline: Duration) -> Stages {
        Stages {
            asked,
            deadline,
            running: JoinSet::new(),
            stops: Vec::new(),
            alive: Vec::new(),
        }
    }

    /// Starts a part that ends when its token is cancelled, or by itself.
    pub(crate) fn add<F, W>(&mut self, task: Task, work: W)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
        W: FnOnce(CancellationToken) -> F,
    {
        let stop = CancellationToken::new();
        let future = work(stop.clone());
        self.stops.push((task, stop));
        self.alive.push(task);
        self.running.spawn(async move { (task, future.await) });
    }

    /// Starts a part that has a thread of its own and ends by itself.
    pub(crate) fn add_thread(
        &mut self,
        task: Task,
        work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let (done, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name(format!("{task:?}").to_lowercase())
            .spawn(move || {
                // The receiver is gone only when the process is being torn down without us.
                if done.send(work()).is_err() {
                    warn!("a worker ended after everybody else");
                }
            })
            .context("cannot start a thread")?;
        self.alive.push(task);
        self.running.spawn(async move {
            let result = ended.await.context("the thread panicked").and_then(|r| r);
            (task, result)
        });
        Ok(())
    }

    /// Waits until the process is asked to stop or a part fails, then stops every part in order.
    pub(crate) async fn run(mut self, journal: &Journal, series: &SeriesStore) -> anyhow::Result<()> {
        let asked = self.asked.clone();
        let mut failure = None;
        while failure.is_none() {
            tokio::select! {
                () = asked.cancelled() => break,
                ended = self.running.join_next() => match ended {
                    Some(ended) => failure = self.ended(ended).err(),
                    None => break,
                },
            }
        }
        info!(deadline_s = self.deadline.as_secs(), "Stopping.");
        let until = Instant::now() + self.deadline;
        for task in [
            Task::Cameras,
            Task::Intake,
            Task::Wishes,
            Task::Devices,
            Task::Time,
            Task::Directory,
        ] {
            self.stop(task, until).await;
        }
        // Closing the log lets ingest read to its end, and judgement after it.
        let log = journal.clone();
        let closed = tokio::task::spawn_blocking(move || log.close()).await;
        if closed.is_err() {
            error!("Closing the journal panicked; what was acknowledged is on disk.");
        }
        for task in [
            Task::Ingest,
            Task::Findings,
            Task::Judgement,
            Task::Maintenance,
            Task::Forwarding,
            Task::Messages,
            Task::Maintenance,
        ] {
            self.stop(task, until).await;
        }
        let head = series.clone();
        match tokio::task::spawn_blocking(move || head.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => warn!("Readings stay in the journal until the next start: {e}"),
            Err(e) => error!("Writing readings out panicked: {e}"),
        }
        for task in [Task::Live, Task::Pages] {
            self.stop(task, until).await;
        }
        if !self.alive.is_empty() {
            warn!(parts = ?self.alive, "Parts did not stop in time and were left behind.");
        }
        info!("Stopped.");
        failure.map_or(Ok(()), Err)
    }

    async fn stop(&mut self, task: Task, until: Instant) {
        for (name, token) in &self.stops {
            if *name == task {
                token.cancel();
            }
        }
        while self.alive.contains(&task) {
            match tokio::time::timeout_at(until, self.running.join_next()).await {
                Ok(Some(ended)) => {
                    if let Err(e) = self.ended(ended) {
                        error!("While stopping: {e:#}");
                    }
                }
                Ok(None) => return,
                Err(_elapsed) => {
                    warn!(part = ?task, "Still busy at the deadline.");
                    return;
                }
            }
        }
    }

    fn ended(
        &mut self,
        ended: Result<(Task, anyhow::Result<()>), tokio::task::JoinError>,
    ) -> anyhow::Result<()> {
        let (task, result) = ended.context("a part of the process panicked")?;
        self.alive.retain(|t| *t != task);
        result.with_context(|| format!("{task:?} failed"))
    }
}
