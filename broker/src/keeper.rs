//! Brings sessions and retained messages to disk, and moves the broker's cursor in the journal.
//!
//! A SUBACK to a client whose session outlives the connection is sent after the sessions file holds the subscription.
//! Any number of clients share one write.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use journal::Position;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    BrokerError,
    hub::Hub,
    identities::Member,
    mailbox::Mailbox,
    registry::Parked,
    session::Session,
    state::{CURSOR, SavedSession, StateDir},
    subscriber::Subscriber,
};

/// How often the cursor moves, and a small retained set is written if it changed.
const TICK: Duration = Duration::from_secs(5);
/// How often a large one is.
const LARGE_TICK: Duration = Duration::from_secs(60);
const LARGE_BYTES: usize = 1 << 20;
/// How far back a client that is away may hold the journal, in bytes, and which part of its capacity at most. What it
/// missed before that is lost to it if the process ends before it returns; while the process lives its mailbox holds
/// it. A journal that is full for the sake of one client would take in nothing from the others.
const REPLAY_BYTES: u64 = 64 << 20;
const REPLAY_PART: u64 = 4;
/// How long a SUBACK waits for the disk.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Keeper {
    dir: StateDir,
    /// Counts changes of the sessions that the file must hold.
    changes: watch::Sender<u64>,
    /// The change up to which it does.
    saved: watch::Sender<u64>,
    /// The retained set's version in the file.
    retained_version: AtomicU64,
    /// The position for which the file of retained messages stands.
    retained_position: AtomicU64,
}

impl Keeper {
    /// The file of retained messages stands for `position`, unless it is `damaged` and to be written anew.
    pub(crate) fn new(dir: StateDir, position: u64, damaged: bool) -> Keeper {
        Keeper {
            dir,
            changes: watch::channel(0).0,
            saved: watch::channel(0).0,
            retained_version: AtomicU64::new(if damaged { u64::MAX } else { 0 }),
            retained_position: AtomicU64::new(position),
        }
    }

    /// Notes that a session that must be kept has changed.
    pub(crate) fn touch(&self) -> u64 {
        let mut change = 0;
        self.changes.send_modify(|n| {
            *n += 1;
            change = *n;
        });
        change
    }

    /// Waits until `change` is on disk.
    pub(crate) async fn saved(&self, change: u64) {
        let mut saved = self.saved.subscribe();
        let reached = saved.wait_for(|n| *n >= change);
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            tracing::error!("A subscription is granted but not on disk: a restart may forget it.");
        }
    }
}

/// Puts the sessions of the last run back, with the subscriptions that their identities still may have.
pub(crate) fn restore(hub: &Hub, sessions: Vec<SavedSession>) {
    let now = hub.clock.now();
    for saved in sessions {
        let member = hub
            .identities
            .get(&saved.identity)
            .filter(|m| m.barred(now).is_none());
        let Some(member) = member.filter(|_| saved.expires_at > now) else {
            continue;
        };
        hub.registry
            .restore(saved.client_id.clone(), revive(hub, saved, &member));
    }
}

fn revive(hub: &Hub, saved: SavedSession, member: &Arc<Member>) -> Parked {
    let mailbox = Mailbox::new(
        hub.options.limits.queued_bytes_per_subscriber,
        hub.dropped.clone(),
    );
    let subscriber = Subscriber::new(&saved.client_id, mailbox);
    let session = Session::new(subscriber, member.clone(), hub.fanout.clone());
    for subscription in saved
        .subscriptions
        .into_iter()
        .filter(|s| member.grant.may_subscribe(s.inner()))
    {
        hub.fanout.join(
            &session.subscriber,
            &crate::feed_key::of_filter(subscription.inner()),
        );
        session.subscriber.add(subscription);
    }
    Parked {
        session: Box::new(session),
        expires_at: saved.expires_at,
        will: None,
    }
}

/// The keeper's task: writes when sessions change and every few seconds, and once more at the end.
pub(crate) async fn run(hub: Arc<Hub>, stop: CancellationToken) {
    let mut changes = hub.keeper.changes.subscribe();
    let mut next_retained = Instant::now() + TICK;
    let mut tick = Instant::now() + TICK;
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => true,
            changed = changes.changed() => changed.is_err(),
            () = tokio::time::sleep_until(tick) => false,
        };
        let due = ended || Instant::now() >= tick;
        let with_retained = ended || Instant::now() >= next_retained;
        let (hub_there, handle) = (hub.clone(), move |hub: &Hub| keep(hub, due, with_retained));
        match tokio::task::spawn_blocking(move || handle(&hub_there)).await {
            Ok(Ok(large)) => {
                if with_retained {
                    next_retained = Instant::now() + if large { LARGE_TICK } else { TICK };
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "The broker cannot write its state; it tries again."),
            Err(error) => tracing::error!(%error, "Writing the broker's state failed."),
        }
        if ended {
            return;
        }
        if due {
            tick = Instant::now() + TICK;
        }
    }
}

/// One round. Returns whether the retained set is large.
fn keep(hub: &Hub, due: bool, with_retained: bool) -> Result<bool, BrokerError> {
    let keeper = &hub.keeper;
    let failed = |source: io::Error| BrokerError::State {
        dir: hub.options.dir.clone(),
        source,
    };
    let change = *keeper.changes.borrow();
    // Before the mailboxes are looked at: what came before this is in one of them, or with its client.
    let delivered = hub.fanout.delivered();
    let sessions = hub.registry.saved(delivered, hub.clock.now());
    if due || change != *keeper.saved.borrow() {
        keeper.dir.save_sessions(&sessions).map_err(failed)?;
        keeper.saved.send_replace(change);
    }
    if !due {
        return Ok(false);
    }
    let mut large = false;
    let (version, position) = hub.fanout.retained_version();
    if version == keeper.retained_version.load(Ordering::Acquire) {
        keeper.retained_position.store(position, Ordering::Release);
    } else if with_retained {
        let (messages, version, position) = hub.fanout.retained_all();
        large = messages.iter().map(|m| m.cost()).sum::<usize>() > LARGE_BYTES;
        keeper.dir.save_retained(&messages).map_err(failed)?;
        keeper.retained_version.store(version, Ordering::Release);
        keeper.retained_position.store(position, Ordering::Release);
    }
    let replay = REPLAY_BYTES.min(hub.journal.stats().capacity_bytes / REPLAY_PART);
    let floor = hub.journal.durable().0.saturating_sub(replay);
    let resumes = sessions
        .iter()
        .map(|s| s.resume)
        .filter(|resume| *resume >= floor);
    let to = resumes
        .min()
        .unwrap_or(delivered)
        .min(delivered)
        .min(keeper.retained_position.load(Ordering::Acquire));
    if to > hub.journal.cursor(CURSOR)?.0 {
        hub.journal.advance_cursor(CURSOR, Position(to))?;
    }
    Ok(large)
}
