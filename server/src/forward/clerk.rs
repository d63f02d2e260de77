//! A thread of its own for work that has time: it reads the log a second time, and steps back for whoever takes messages
//! in and acknowledges them.

use std::{io, sync::mpsc, thread::JoinHandle};

use anyhow::Context;
use tokio::sync::oneshot;

/// How much the thread steps back behind the others of the process, 0 to 19. At 10 it gets about a tenth of what others get who want the same core; alone
/// it gets all of it.
const NICENESS: i32 = 10;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// Works on something, one job after another. It ends by itself when it is dropped and its job is done.
pub(super) struct Clerk<T> {
    jobs: mpsc::SyncSender<Job<T>>,
    thread: JoinHandle<()>,
}

impl<T: Send + 'static> Clerk<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(super) fn hire(mut desk: T) -> io::Result<Clerk<T>> {
        // There is one who asks, and it waits for the answer.
        let (jobs, waiting) = mpsc::sync_channel::<Job<T>>(1);
        let thread = std::thread::Builder::new().name("forward".to_owned());
        let thread = thread.spawn(move || {
            // Of the calling thread alone. Where it is not granted, it works like any other.
            if let Err(error) = rustix::process::nice(NICENESS) {
                tracing::debug!(%error, "forwarding keeps the priority of everybody else");
            }
            while let Ok(job) = waiting.recv() {
                job(&mut desk);
            }
        })?;
        Ok(Clerk { jobs, thread })
    }

    /// Has one job done. Dropped while it waits, the job is done all the same.
    ///
    /// # Errors
    /// When the thread was lost to a panic.
    pub(super) async fn ask<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut T) -> R + Send + 'static,
    ) -> anyhow::Result<R> {
        let (done, answer) = oneshot::channel();
        let job: Job<T> = Box::new(move |desk| {
            // Nobody waits any more for what is not taken.
            drop(done.send(job(desk)));
        });
        let lost = "the reader of the log was lost to a panic; restart the server";
        self.jobs.try_send(job).ok().context(lost)?;
        answer.await.context(lost)
    }

    /// Waits until the thread has ended.
    pub(super) async fn dismiss(self) {
        drop(self.jobs);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("The thread that reads the log for the time-series server ended in a panic.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn jobs_are_done_in_order_on_a_thread_that_steps_back_alone() {
        let clerk = Clerk::hire(Vec::new()).unwrap();
        for n in 0..5 {
            clerk.ask(move |desk: &mut Vec<i32>| desk.push(n)).await.unwrap();
        }
        let (seen, priority) = clerk
            .ask(|desk| (desk.clone(), rustix::process::getpriority_process(None)))
            .await
            .unwrap();
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        let ours = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(priority.unwrap(), (ours + NICENESS).min(19));
        clerk.dismiss().await;
    }

    #[tokio::test]
    async fn a_job_that_panics_is_told() {
        let clerk = Clerk::hire(()).unwrap();
        let lost = clerk.ask(|()| panic!("on purpose")).await;
        assert!(lost.unwrap_err().to_string().contains("restart the server"));
        let lost = clerk.ask(|()| ()).await;
        assert!(lost.is_err());
        clerk.dismiss().await;
    }
}
