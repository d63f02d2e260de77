//! The messenger: delivers what waits in the outbox, and lets the timers of cases run.
//!
//! - Each channel has at most one delivery under way. One that is down or slow holds up nobody but itself.
//! - After a failure that may pass, the whole channel rests, twice as long each time, and is tried with one message. What
//!   gathered meanwhile is sent as one message for each contact where people read it, and one by one, at a bounded pace,
//!   where a program does.
//! - A message that is refused for good does not stop the others; after [`MAX_REFUSALS`] it is given up, and people may
//!   have it sent again.
//! - What was sent and not yet written down when the process died is sent again, under the same key.

mod bundle;
mod figures;
mod line;
mod push;
mod trial;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use domain::{
    CaseChange, Clock, Scope, UtcMillis,
    message::{ChannelKind, ChannelSecrets, NoticeKind},
    outbound::Addresses,
};
use store::{
    RecordError, Records, Vault,
    records::{Channel, DeliveryId, Outcome},
};
use tokio::{
    sync::{Notify, broadcast},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    AlertHandle, OutsideError, Publish,
    channel::{Courier, FailureKind, Letter, PushKeys, SendFailure},
    wording::{Moments, PictureSource, Wording},
};
use bundle::{Bundle, Content};
pub use figures::ChannelFigures;
use line::Line;
pub use push::{PUSH_CHANNEL, SubscribeError};
pub use trial::{MessageHandle, TrialError};

/// Refusals of one message before it is given up.
const MAX_REFUSALS: u32 = 5;

/// Refused messages in a row before the channel rests.
const REFUSALS_IN_A_ROW: usize = 3;

/// A message that could not be sent for so long is given up, in milliseconds.
const GIVE_UP_MS: i64 = 24 * 3_600_000;

/// A picture that was not there for so long is not waited for any more, in milliseconds.
const PICTURE_PATIENCE_MS: i64 = 120_000;

/// Between two looks for a picture, in milliseconds.
const PICTURE_PAUSE_MS: i64 = 5_000;

/// Rows of one channel read at once.
const AT_ONCE: u32 = 200;

/// The messenger looks at least this often: the clock may have been set.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// After a failure of the record store.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// That a channel still works is noted at most so often, in milliseconds.
const NOTED_MS: i64 = 5_000;

/// How often the outbox is pruned, in milliseconds.
const PRUNE_EVERY_MS: i64 = 3_600_000;

/// How long deliveries that are under way may take when the messenger is told to stop.
const LAST_DELIVERIES: Duration = Duration::from_secs(5);

/// What a messenger is made of.
pub struct MessengerParts {
    /// Cases, channels, contacts and the outbox.
    pub records: Records,
    /// Opens the channels' secrets.
    pub vault: Vault,
    /// The time by which things are due; the record store's.
    pub clock: Clock,
    /// Rules, and the changes of cases.
    pub alerts: AlertHandle,
    /// Where messages may go.
    pub addresses: Addresses,
    /// Publishes under our own MQTT listener.
    pub publish: Publish,
    /// Authorities that are trusted besides the machine's, for mail servers and others over TLS: PEM; empty for none.
    pub authorities: Vec<u8>,
    /// The keys by which browsers' push services know this server; `None` where browsers are not notified.
    pub push: Option<PushKeys>,
    /// Finds pictures of cases.
    pub picture: PictureSource,
    /// Writes moments.
    pub moments: Moments,
    /// Where the pages are, for links: `https://kitchen.example`, without a slash at the end.
    pub link: String,
}

impl fmt::Debug for MessengerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessengerParts").finish_non_exhaustive()
    }
}

/// What the messenger, its deliveries and its handles share.
pub(crate) struct Context {
    records: Records,
    vault: Vault,
    clock: Clock,
    alerts: AlertHandle,
    courier: Courier,
    picture: PictureSource,
    wording: Wording,
    counters: figures::Counters,
    wake: Notify,
}

/// Delivers messages. Made by [`Messenger::open`], consumed by [`Messenger::run`].
pub struct Messenger {
    context: Arc<Context>,
    changes: broadcast::Receiver<CaseChange>,
    lines: BTreeMap<String, Line>,
    jobs: JoinSet<Done>,
    pruned_at: Option<UtcMillis>,
    failing: bool,
}

/// What became of one channel's turn.
struct Done {
    channel: String,
    sent: usize,
    failure: Option<SendFailure>,
}

impl Messenger {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// [`OutsideError`] when no HTTP client can be made, or the authorities cannot be read.
    pub fn open(parts: MessengerParts) -> Result<Messenger, OutsideError> {
        let changes = parts.alerts.subscribe();
        let wording = Wording {
            records: parts.records.clone(),
            alerts: parts.alerts.clone(),
            moments: parts.moments,
            link: parts.link.trim_end_matches('/').to_owned(),
        };
        Ok(Messenger {
            context: Arc::new(Context {
                courier: Courier::new(parts.addresses, parts.publish, (parts.push, &parts.authorities))?,
                records: parts.records,
                vault: parts.vault,
                clock: parts.clock,
                alerts: parts.alerts,
                picture: parts.picture,
                wording,
                counters: figures::Counters::default(),
                wake: Notify::new(),
            }),
            changes,
            lines: BTreeMap::new(),
            jobs: JoinSet::new(),
            pruned_at: None,
            failing: false,
        })
    }

    /// A handle for the rest of the product.
    #[must_use]
    pub fn handle(&self) -> MessageHandle {
        MessageHandle::new(Arc::clone(&self.context))
    }

    /// Delivers until told to stop; then waits a little for what is under way.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.begin().await {
                Ok(pause) => {
                    self.failing = false;
                    pause
                }
                Err(error) => {
                    if !self.failing {
                        tracing::error!(%error, "Messages wait: the record store does not answer");
                    }
                    self.failing = true;
                    STORE_PAUSE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = self.jobs.join_next() => self.end(done),
                _news_or_lagged = self.changes.recv() => self.skip_changes(),
                () = self.context.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        let last = async { while self.jobs.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_DELIVERIES, last).await.is_err() {
            tracing::warn!(
                "Messages that were under way are left, and will be sent again after the next start"
            );
        }
    }

    /// Does everything that is due at the clock's present moment, and waits until it is done: for tests, and for whoever
    /// wants no task.
    ///
    /// # Errors
    /// When the record store fails.
    pub async fn round(&mut self) -> Result<(), RecordError> {
        loop {
            self.begin().await?;
            if self.jobs.is_empty() {
                return Ok(());
            }
            while let Some(done) = self.jobs.join_next().await {
                self.end(done);
            }
        }
    }

    /// Lets timers run and starts a turn for every channel that is due; says how long nothing further is.
    async fn begin(&mut self) -> Result<Duration, RecordError> {
        let context = Arc::clone(&self.context);
        loop {
            let changed = context.records.pass_timers().await?;
            if changed.is_empty() {
                break;
            }
            for case in changed {
                context.alerts.0.publish(case);
            }
        }
        let now = context.clock.now();
        for name in context.records.due_channels().await? {
            let line = self.lines.entry(name.clone()).or_default();
            if line.is_busy() || !line.is_open(now) {
                continue;
            }
            let Some(channel) = context.records.channel(&name).await? else {
                context.give_up(&name, "the channel is no longer set up").await?;
                continue;
            };
            if !channel.enabled {
                context.give_up(&name, "the channel is switched off").await?;
                continue;
            }
            line.kind = Some(channel.kind);
            let room = line.room(channel.kind, now);
            if room > 0 {
                line.begin();
                self.jobs.spawn(Arc::clone(&context).turn(channel, room));
            }
        }
        self.count_rests(now);
        self.prune(now).await?;
        self.pause(now).await
    }

    /// How many channels rest, for whoever watches the server.
    fn count_rests(&self, now: UtcMillis) {
        let resting = self.lines.values().filter(|line| line.opens_in(now).is_some());
        self.context.counters.rest(resting.filter_map(|line| line.kind));
    }

    async fn pause(&self, now: UtcMillis) -> Result<Duration, RecordError> {
        let records = &self.context.records;
        let due = [records.next_timer().await?, records.next_delivery().await?];
        let next = due.into_iter().flatten().map(|at| at.ms_since(now)).min();
        // What is due already waits for its channel's turn, or for its rest to end.
        let lines = self.lines.values().filter_map(|line| line.opens_in(now)).min();
        let next = match next {
            Some(ms) if ms <= 0 => lines.unwrap_or(250).max(20),
            Some(ms) => ms,
            None => return Ok(LONGEST_PAUSE),
        };
        Ok(Duration::from_millis(next.unsigned_abs()).min(LONGEST_PAUSE))
    }

    async fn prune(&mut self, now: UtcMillis) -> Result<(), RecordError> {
        if self
            .pruned_at
            .is_some_and(|then| now.ms_since(then) < PRUNE_EVERY_MS)
        {
            return Ok(());
        }
        self.pruned_at = Some(now);
        self.context.records.prune_outbox().await.map(drop)
    }

    fn end(&mut self, done: Result<Done, JoinError>) {
        let now = self.context.clock.now();
        match done {
            Ok(done) => {
                let line = self.lines.entry(done.channel.clone()).or_default();
                let rested = line.end(&done.channel, (done.sent, done.failure.as_ref()), now);
                if let (true, Some(failure)) = (rested, &done.failure) {
                    tracing::warn!(channel = done.channel, %failure, "A channel does not take messages; they wait");
                }
            }
            Err(error) => {
                // Which channel it was is not known: all of them may go on.
                tracing::error!(%error, "A delivery panicked; its message is sent again");
                self.lines.values_mut().for_each(Line::release);
            }
        }
        self.count_rests(now);
    }

    /// One look answers to all the news there are.
    fn skip_changes(&mut self) {
        while self.changes.try_recv().is_ok() {}
    }
}

impl fmt::Debug for Messenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messenger").finish_non_exhaustive()
    }
}

impl Context {
    /// Sends what is due over one channel, at most `room` messages.
    async fn turn(self: Arc<Context>, channel: Channel, room: usize) -> Done {
        let mut done = Done {
            channel: channel.name.clone(),
            sent: 0,
            failure: None,
        };
        if let Err(error) = self.send_due(&channel, room, &mut done).await {
            tracing::warn!(channel = channel.name, %error, "Messages wait: the record store does not answer");
            done.failure = Some(SendFailure::transient("the record store does not answer"));
        }
        done
    }

    async fn send_due(&self, channel: &Channel, room: usize, done: &mut Done) -> Result<(), RecordError> {
        let secrets = match self.records.channel_secrets(&channel.name, &self.vault).await {
            Ok(secrets) => secrets,
            Err(error @ RecordError::Vault { .. }) => {
                let failure = SendFailure::permanent(error.to_string());
                self.records
                    .note_channel(&channel.name, false, &failure.words)
                    .await?;
                done.failure = Some(failure);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let rows = self.records.due_deliveries(&channel.name, AT_ONCE).await?;
        let mut refusals = 0;
        for bundle in bundle::of(channel.kind, rows).into_iter() {
            if done.sent + refusals >= room || refusals >= REFUSALS_IN_A_ROW {
                break;
            }
            let letter = match self.content(channel, &bundle).await? {
                Content::Letter(letter) => letter,
                Content::Nothing(outcome) => {
                    self.records.settle_deliveries(&bundle.ids, &outcome).await?;
                    continue;
                }
            };
            match self.send(channel, &secrets, &letter).await? {
                Ok(()) => {
                    self.records
                        .settle_deliveries(&bundle.ids, &Outcome::Sent)
                        .await?;
                    self.counters.sent(channel.kind, bundle.ids.len());
                    done.sent += 1;
                    refusals = 0;
                    done.failure = None;
                }
                Err(failure) => {
                    self.counters.failed(channel.kind);
                    let outcome = self.outcome(&bundle, &failure);
                    self.records.settle_deliveries(&bundle.ids, &outcome).await?;
                    refusals += 1;
                    if channel.kind.is_scattered() {
                        // It says nothing about the next one's server; the browser's own result is noted.
                        continue;
                    }
                    let passes = matches!(failure.kind, FailureKind::Transient { .. });
                    done.failure = Some(failure);
                    if passes {
                        break;
                    }
                }
            }
        }
        self.note(channel, done).await
    }

    /// Sends one letter: over the channel, or to the browsers of its person.
    async fn send(
        &self,
        channel: &Channel,
        secrets: &ChannelSecrets,
        letter: &Letter,
    ) -> Result<Result<(), SendFailure>, RecordError> {
        match channel.kind {
            ChannelKind::Push => self.push(letter).await,
            _ => Ok(self.courier.send(channel, secrets, letter).await),
        }
    }

    /// What is written down of a failed attempt.
    fn outcome(&self, bundle: &Bundle, failure: &SendFailure) -> Outcome {
        let now = self.clock.now();
        let error = failure.words.clone();
        let tried = bundle.attempts + 1;
        let given_up = match failure.kind {
            FailureKind::Transient { .. } => now.ms_since(bundle.created_at) >= GIVE_UP_MS,
            FailureKind::Permanent => tried >= MAX_REFUSALS,
        };
        if given_up {
            return Outcome::Dead { error };
        }
        let asked = match failure.kind {
            FailureKind::Transient { after_ms } => after_ms.unwrap_or(0),
            FailureKind::Permanent => 0,
        };
        let pause = line::backoff_ms(tried, &bundle.name).max(asked);
        Outcome::Retry {
            at: now + pause,
            error,
        }
    }

    async fn note(&self, channel: &Channel, done: &Done) -> Result<(), RecordError> {
        let worked = done.failure.is_none();
        if done.sent == 0 && worked {
            return Ok(());
        }
        // That it still works is not worth a write for each message: the next alarm would wait for it.
        let just = |at: UtcMillis| (0..NOTED_MS).contains(&self.clock.now().ms_since(at));
        if worked && channel.worked == Some(true) && channel.tried_at.is_some_and(just) {
            return Ok(());
        }
        let said = done.failure.as_ref().map_or("", |failure| failure.words.as_str());
        self.records.note_channel(&channel.name, worked, said).await
    }

    /// Gives up what waits for a channel that is gone or switched off.
    async fn give_up(&self, channel: &str, why: &str) -> Result<(), RecordError> {
        let rows = self.records.due_deliveries(channel, AT_ONCE).await?;
        let ids: Vec<DeliveryId> = rows.iter().map(|row| row.id).collect();
        let dead = Outcome::Dead {
            error: why.to_owned(),
        };
        self.records.settle_deliveries(&ids, &dead).await
    }

    /// Whether a notice still says something: a reminder of what was done meanwhile does not.
    async fn still_true(&self, said: &domain::message::Said) -> Result<bool, RecordError> {
        if !matches!(said.kind, NoticeKind::Reminder | NoticeKind::Overdue) {
            return Ok(true);
        }
        let case = self.records.case(&Scope::everything(), said.case).await?;
        Ok(case.is_some_and(|case| case.state == said.state && !case.is_folded()))
    }
}
