//! From the journal to subscribers: a thread reads durable records, the router deals them to feeds, and each feed's
//! task puts them into the mailboxes of the sessions that listen to it.
//!
//! Nothing is lost between a SUBACK and the next publish. A session first joins its feeds (which makes them active),
//! then takes the fan-out's position under the lock under which the thread decides what the next records are for. A
//! record that is appended after the SUBACK stands at or behind that position, and so meets an active feed.
//!
//! While nobody listens and nothing was retained the thread skips to the end of the log without reading it.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use journal::{AppendError, Chunk, Envelope, Kind, Receipt, Writer};
use rumqttd::{
    Notification, Router, RouterConfig,
    local::{LinkBuilder, LinkRx, LinkTx},
    protocol::{Packet, Publish},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    BrokerError,
    feed_key::{self, ALL, FEEDS, FeedKey},
    mailbox::Outgoing,
    message::{self, Message},
    retained::{Applied, Retained},
    subscriber::Subscriber,
};

/// Bytes between the thread and the feeds' tasks, after which the thread waits: far less than the router keeps, so
/// that its log never runs over. The router keeps that much for each of the feeds, long after it was delivered.
const MAX_IN_FLIGHT: usize = 256 << 10;
const ROUTER_SEGMENT_BYTES: usize = 256 << 10;
const ROUTER_SEGMENTS: usize = 4;
/// How long the router may take to make room before it is taken for broken.
const ROUTER_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read from the journal at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Who listens to a feed; replaced as a whole, so that delivery holds no lock.
type Members = Arc<[Arc<Subscriber>]>;

/// A member of a shared subscription, with the quality of service and the identifier it asked for.
type Candidate<'a> = (&'a Arc<Subscriber>, u8, Option<u32>);

#[derive(Debug, Default)]
struct Feed {
    subscribers: RwLock<Members>,
    active: AtomicBool,
    /// The position of the last record handed to the router for this feed, and of the last one delivered.
    sent: AtomicU64,
    done: AtomicU64,
    /// Whose turn it is in shared subscriptions.
    turn: AtomicUsize,
}

/// What the thread and a SUBSCRIBE must agree on.
#[derive(Debug)]
struct Progress {
    retained: Retained,
    /// Records before this are behind: applied to the retained set, handed to the router.
    position: u64,
}

#[derive(Debug)]
pub(crate) struct Fanout {
    feeds: [Feed; FEEDS],
    progress: Mutex<Progress>,
    position: watch::Sender<u64>,
    /// Retained publishes that are about to be appended.
    appending: AtomicU64,
    /// The position after the last retained publish that was appended; at start, what the last run may have appended.
    retained_until: AtomicU64,
    /// Records before this were handed to the router as far as anybody wants them.
    dispatched: AtomicU64,
    in_flight: Mutex<usize>,
    room: Condvar,
    pub(crate) retained_refused: AtomicU64,
}

impl Fanout {
    /// `retained` stands for everything before `position`; up to `durable` the journal may hold more of it.
    pub(crate) fn new(retained: Retained, position: u64, durable: u64) -> Fanout {
        let feed = |_| Feed {
            done: AtomicU64::new(position),
            sent: AtomicU64::new(position),
            ..Feed::default()
        };
        Fanout {
            feeds: std::array::from_fn(feed),
            progress: Mutex::new(Progress { retained, position }),
            position: watch::channel(position).0,
            appending: AtomicU64::new(0),
            retained_until: AtomicU64::new(durable),
            dispatched: AtomicU64::new(position),
            in_flight: Mutex::new(0),
            room: Condvar::new(),
            retained_refused: AtomicU64::new(0),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message and sees to it that the thread reads it if it is to be retained.
    pub(crate) fn append(
        &self,
        writer: &mut Writer,
        envelope: &Envelope<'_>,
        retain: bool,
    ) -> Result<Receipt, AppendError> {
        if !retain {
            return writer.append(envelope);
        }
        // The count goes up before the record can be durable and down after its position is known, so the thread
        // cannot skip it in between.
        self.appending.fetch_add(1, Ordering::SeqCst);
        let receipt = writer.append(envelope);
        if let Ok(receipt) = receipt {
            self.retained_until.fetch_max(receipt.next.0, Ordering::SeqCst);
        }
        self.appending.fetch_sub(1, Ordering::SeqCst);
        receipt
    }

    /// Makes `subscriber` listen to `keys` and returns the position from which it hears everything.
    pub(crate) fn join(&self, subscriber: &Arc<Subscriber>, keys: &[FeedKey]) -> u64 {
        for key in keys {
            let feed = &self.feeds[usize::from(*key)];
            let mut members = feed.subscribers.write().unwrap_or_else(PoisonError::into_inner);
            if !members.iter().any(|m| Arc::ptr_eq(m, subscriber)) {
                *members = members.iter().chain([subscriber]).cloned().collect();
            }
            feed.active.store(true, Ordering::SeqCst);
        }
        let since = self.progress().position;
        for key in keys {
            subscriber.listen(*key, since);
        }
        since
    }

    pub(crate) fn leave(&self, subscriber: &Arc<Subscriber>) {
        for key in subscriber.feeds() {
            let feed = &self.feeds[usize::from(key)];
            let mut members = feed.subscribers.write().unwrap_or_else(PoisonError::into_inner);
            *members = members
                .iter()
                .filter(|m| !Arc::ptr_eq(m, subscriber))
                .cloned()
                .collect();
            feed.active.store(!members.is_empty(), Ordering::SeqCst);
        }
    }

    /// Waits until everything up to `durable`, and every retained message appended so far, is behind: so that a new
    /// subscription gets neither a message twice nor one from before its time. For at most two seconds.
    pub(crate) async fn settled(&self, durable: u64) {
        let until = self.retained_until.load(Ordering::SeqCst).max(durable);
        let mut position = self.position.subscribe();
        let reached = position.wait_for(|p| *p >= until);
        if tokio::time::timeout(Duration::from_secs(2), reached)
            .await
            .is_err()
        {
            tracing::warn!("A new subscription may see old messages: the journal did not commit in time.");
        }
    }

    /// The retained messages for `filter`.
    pub(crate) fn retained(&self, filter: &str, now_ms: i64) -> Vec<Arc<Message>> {
        self.progress().retained.select(filter, now_ms)
    }

    /// The whole retained set, its version, and the position it stands for.
    pub(crate) fn retained_all(&self) -> (Vec<Arc<Message>>, u64, u64) {
        let progress = self.progress();
        (
            progress.retained.all(),
            progress.retained.version(),
            progress.position,
        )
    }

    pub(crate) fn retained_version(&self) -> (u64, u64) {
        let progress = self.progress();
        (progress.retained.version(), progress.position)
    }

    /// Everything before this position is in the mailboxes it belongs in.
    pub(crate) fn delivered(&self) -> u64 {
        let dispatched = self.dispatched.load(Ordering::SeqCst);
        let behind = |feed: &Feed| {
            let done = feed.done.load(Ordering::SeqCst);
            (done < feed.sent.load(Ordering::SeqCst)).then_some(done)
        };
        self.feeds.iter().filter_map(behind).fold(dispatched, u64::min)
    }

    pub(crate) fn purge_retained(&self, now_ms: i64) {
        self.progress().retained.purge(now_ms);
    }

    pub(crate) fn in_flight(&self) -> usize {
        *self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on to `target` without reading, if nobody can miss anything. `target` was durable before the call.
    fn skip_to(&self, target: u64) -> bool {
        let mut progress = self.progress();
        let idle = self.appending.load(Ordering::SeqCst) == 0
            && self.retained_until.load(Ordering::SeqCst) <= progress.position
            && !self.feeds.iter().any(|f| f.active.load(Ordering::SeqCst));
        if idle && progress.position < target {
            progress.position = target;
            self.dispatched.store(target, Ordering::SeqCst);
            drop(progress);
            self.position.send_replace(target);
        }
        idle
    }

    /// Applies the retained messages of `chunk` and decides which feeds its records go to.
    fn take_in(&self, chunk: &Chunk) -> [bool; FEEDS] {
        let mut progress = self.progress();
        for record in chunk
            .records()
            .filter(|r| r.envelope.kind == Kind::MESSAGE && r.envelope.flags & 4 != 0)
        {
            if progress.retained.apply(Message::of_record(&record)) == Applied::NoRoom {
                self.retained_refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        progress.position = chunk.end().0;
        let active = std::array::from_fn(|i| self.feeds[i].active.load(Ordering::SeqCst));
        drop(progress);
        self.position.send_replace(chunk.end().0);
        active
    }

    /// Waits for room in the router. False when told to stop. A router that takes nothing for a while is taken for
    /// broken: it lost messages, or its thread hangs.
    fn reserve(&self, bytes: usize, stop: &CancellationToken) -> Result<bool, BrokerError> {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut seen, mut since) = (*in_flight, Instant::now());
        while *in_flight > MAX_IN_FLIGHT {
            if stop.is_cancelled() {
                return Ok(false);
            }
            let wait = self.room.wait_timeout(in_flight, Duration::from_millis(100));
            in_flight = wait.unwrap_or_else(PoisonError::into_inner).0;
            if *in_flight != seen {
                (seen, since) = (*in_flight, Instant::now());
            } else if since.elapsed() > ROUTER_PATIENCE {
                return Err(BrokerError::RouterStuck);
            }
        }
        *in_flight += bytes;
        Ok(true)
    }

    fn release(&self, bytes: usize) {
        let mut in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        *in_flight = in_flight.saturating_sub(bytes);
        if *in_flight <= MAX_IN_FLIGHT / 2 {
            self.room.notify_all();
        }
    }

    /// Puts a message that came through `key` into the mailboxes it belongs in.
    pub(crate) fn deliver(&self, key: FeedKey, message: &Arc<Message>) {
        let feed = &self.feeds[usize::from(key)];
        let members = feed
            .subscribers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut groups: Vec<(Arc<str>, Vec<Candidate<'_>>)> = Vec::new();
        for member in members.iter() {
            if let Some(outgoing) = member.ordinary(message, key) {
                member.mailbox.push(outgoing);
            }
            for subscription in member.shared(message, key) {
                let entry = (member, subscription.qos, subscription.id);
                match groups
                    .iter_mut()
                    .find(|(filter, _)| *filter == subscription.filter)
                {
                    Some((_, candidates)) => candidates.push(entry),
                    None => groups.push((subscription.filter, vec![entry])),
                }
            }
        }
        for (filter, candidates) in groups {
            if !deal(feed, message, &filter, &candidates) {
                // The only members that it was meant for have just left; a later one takes their place.
                let qos = message.qos;
                let share = Some(filter);
                let (message, subscription_ids) = (message.clone(), Vec::new());
                self.deal_again(vec![Outgoing {
                    message,
                    qos,
                    retain: false,
                    subscription_ids,
                    share,
                }]);
            }
        }
    }

    /// Since when the group of the shared subscription `filter` hears messages, if it has a member. A new member hears
    /// them from there on as well, so that what is on its way to one that leaves has somewhere to go.
    pub(crate) fn group_since(&self, filter: &str, keys: &[FeedKey]) -> Option<u64> {
        let since = |key: &FeedKey| {
            let feed = &self.feeds[usize::from(*key)];
            let members = feed
                .subscribers
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let of_group = |m: &Arc<Subscriber>| m.subscriptions().into_iter().find(|s| &*s.filter == filter);
            members.iter().filter_map(of_group).map(|s| s.since).min()
        };
        keys.iter().filter_map(since).min()
    }

    /// Deals messages that a leaving member of a shared subscription has not taken to the others.
    pub(crate) fn deal_again(&self, items: Vec<Outgoing>) {
        for item in items {
            let Some(filter) = item.share else { continue };
            for key in feed_key::of_filter(crate::access::split_share(&filter).map_or("", |(_, inner)| inner))
            {
                let feed = &self.feeds[usize::from(key)];
                let members = feed
                    .subscribers
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                let candidates: Vec<_> = members
                    .iter()
                    .flat_map(|m| m.subscriptions().into_iter().map(move |s| (m, s)))
                    .filter(|(_, s)| s.filter == filter)
                    .map(|(m, s)| (m, s.qos, s.id))
                    .collect();
                if deal(feed, &item.message, &filter, &candidates) {
                    break;
                }
            }
        }
    }
}

/// Gives a message to one member of a shared subscription: the next one that is there and has room, else the next
/// that is there, else the next. False when every one has left.
fn deal(feed: &Feed, message: &Arc<Message>, filter: &Arc<str>, candidates: &[Candidate<'_>]) -> bool {
    if candidates.is_empty() {
        return false;
    }
    let turn = feed.turn.fetch_add(1, Ordering::Relaxed);
    let mut order: Vec<usize> = (0..candidates.len())
        .map(|i| (turn + i) % candidates.len())
        .collect();
    order.sort_by_key(|i| {
        let mailbox = &candidates[*i].0.mailbox;
        (!mailbox.is_connected(), !mailbox.has_room(message.cost()))
    });
    for (member, qos, id) in order.into_iter().map(|i| candidates[i]) {
        let taken = member.mailbox.push(Outgoing {
            message: message.clone(),
            qos: qos.min(message.qos),
            retain: false,
            subscription_ids: id.into_iter().collect(),
            share: Some(filter.clone()),
        });
        if taken {
            return true;
        }
    }
    false
}

/// The in-process links to the router: one that publishes, one per feed that listens.
pub(crate) struct Links {
    publisher: (LinkTx, LinkRx),
    feeds: Vec<(LinkTx, LinkRx)>,
}

/// Starts the router's thread and links every feed. Blocking. The router cannot be stopped: its thread sleeps until
/// the process ends.
pub(crate) fn start_router() -> Result<Links, BrokerError> {
    let config = RouterConfig {
        max_connections: FEEDS + 1,
        max_outgoing_packet_count: 200,
        max_segment_size: ROUTER_SEGMENT_BYTES,
        max_segment_count: ROUTER_SEGMENTS,
        ..RouterConfig::default()
    };
    let router = Router::new(0, config).spawn();
    let link = |name: &str| {
        let (tx, rx, _) = LinkBuilder::new(name, router.clone())
            .build()
            .map_err(BrokerError::router)?;
        Ok::<_, BrokerError>((tx, rx))
    };
    let publisher = link("publisher")?;
    let mut feeds = Vec::with_capacity(FEEDS);
    for key in 0..=ALL {
        let (mut tx, rx) = link(&format!("feed-{key}"))?;
        tx.subscribe(feed_key::router_topic(key))
            .map_err(BrokerError::router)?;
        feeds.push((tx, rx));
    }
    Ok(Links { publisher, feeds })
}

impl Links {
    /// The publishing link, and the others each with its feed's key.
    pub(crate) fn split(self) -> (PublisherLink, Vec<FeedLink>) {
        let feeds = (0..=ALL)
            .zip(self.feeds)
            .map(|(key, (tx, rx))| FeedLink { key, _tx: tx, rx })
            .collect();
        let topics = (0..=ALL)
            .map(|key| Bytes::from(feed_key::router_topic(key)))
            .collect();
        (
            PublisherLink {
                tx: self.publisher.0,
                _rx: self.publisher.1,
                topics,
            },
            feeds,
        )
    }
}

pub(crate) struct PublisherLink {
    tx: LinkTx,
    /// Never read: nobody answers a QoS 0 publisher. Kept, because the router takes a link without it for gone.
    _rx: LinkRx,
    topics: Vec<Bytes>,
}

impl PublisherLink {
    /// Hands the records of `chunk` that an active feed carries to the router, waking it once per batch. False when it
    /// was told to stop before the last.
    fn dispatch(
        &mut self,
        fanout: &Fanout,
        chunk: &Chunk,
        active: &[bool; FEEDS],
        stop: &CancellationToken,
    ) -> Result<bool, BrokerError> {
        let mut batch = Vec::new();
        for record in chunk.records().filter(|r| r.envelope.kind == Kind::MESSAGE) {
            let key = feed_key::of_topic(record.envelope.subject);
            let targets = [key, ALL].map(|k| active[usize::from(k)].then_some(k));
            if targets == [None, None] {
                continue;
            }
            let payload = message::to_router(&record);
            for key in targets.into_iter().flatten() {
                if batch.len() >= 128 || fanout.in_flight() > MAX_IN_FLIGHT {
                    self.send(&mut batch)?;
                }
                if !fanout.reserve(payload.len(), stop)? {
                    return Ok(false);
                }
                fanout.feeds[usize::from(key)]
                    .sent
                    .store(record.position.0, Ordering::SeqCst);
                batch.push((self.topics[usize::from(key)].clone(), payload.clone()));
            }
        }
        self.send(&mut batch)?;
        Ok(true)
    }

    fn send(&mut self, batch: &mut Vec<(Bytes, Bytes)>) -> Result<(), BrokerError> {
        let Some((topic, payload)) = batch.pop() else {
            return Ok(());
        };
        {
            let mut buffer = self.tx.buffer();
            for (topic, payload) in batch.drain(..) {
                buffer.push_back(Packet::Publish(Publish::new(topic, payload, false), None));
            }
        }
        self.tx
            .publish(topic, payload)
            .map(drop)
            .map_err(BrokerError::router)
    }
}

/// The thread: journal to router until `stop` or an error. The end of the journal is one.
pub(crate) fn run_thread(
    fanout: &Fanout,
    journal: &journal::Journal,
    mut reader: journal::Reader,
    mut link: PublisherLink,
    stop: &CancellationToken,
) -> Result<(), BrokerError> {
    let mut chunk = Chunk::default();
    while !stop.is_cancelled() {
        // Taken before the check: what is appended after a session joined stands behind it.
        let target = journal.durable();
        if reader.position() >= target {
            if !reader.wait(Duration::from_millis(250)) {
                return Err(BrokerError::JournalEnded);
            }
        } else if fanout.skip_to(target.0) {
            reader.seek(target)?;
        } else {
            reader.read(&mut chunk, CHUNK_BYTES)?;
            let active = fanout.take_in(&chunk);
            if !link.dispatch(fanout, &chunk, &active, stop)? {
                return Ok(());
            }
            fanout.dispatched.store(chunk.end().0, Ordering::SeqCst);
        }
    }
    Ok(())
}

pub(crate) struct FeedLink {
    key: FeedKey,
    /// Kept: the router frees a link only on request, and would go on filling one that nobody reads.
    _tx: LinkTx,
    rx: LinkRx,
}

/// A feed's task: router to mailboxes until `stop`. An end of the router is reported to `fatal`.
pub(crate) async fn run_feed(
    fanout: Arc<Fanout>,
    mut link: FeedLink,
    fatal: mpsc::Sender<BrokerError>,
    stop: CancellationToken,
) {
    loop {
        let notification = tokio::select! {
            () = stop.cancelled() => return,
            notification = link.rx.next() => notification,
        };
        let outcome = match notification {
            Ok(Some(Notification::Forward(forward))) => {
                let payload = forward.publish.payload;
                let bytes = payload.len();
                if let Some(message) = message::from_router(payload) {
                    let position = message.position;
                    fanout.deliver(link.key, &Arc::new(message));
                    fanout.feeds[usize::from(link.key)]
                        .done
                        .store(position, Ordering::SeqCst);
                }
                fanout.release(bytes);
                Ok(())
            }
            // The router has sent as much as it does at once and waits to be asked for more.
            Ok(Some(Notification::Unschedule)) => link.rx.wake().await,
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = outcome {
            if fatal.try_send(BrokerError::router(e)).is_err() {
                tracing::debug!("The router's end was already reported.");
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_feed_has_not_delivered_is_not_behind() {
        let fanout = Fanout::new(Retained::new(1, 1), 3, 3);
        assert_eq!(fanout.delivered(), 3);
        fanout.feeds[1].sent.store(7, Ordering::SeqCst);
        fanout.dispatched.store(9, Ordering::SeqCst);
        assert_eq!(fanout.delivered(), 3, "the record at 7 is on its way");
        fanout.feeds[2].sent.store(8, Ordering::SeqCst);
        fanout.feeds[2].done.store(8, Ordering::SeqCst);
        fanout.feeds[1].done.store(7, Ordering::SeqCst);
        assert_eq!(fanout.delivered(), 9);
    }
}
