//! One session as the fan-out sees it: its subscriptions and its mailbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use crate::{
    access::{matches, split_share},
    feed_key::{self, FeedKey},
    mailbox::{Mailbox, Outgoing},
    message::Message,
};

/// What a client asked for with one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// As the client wrote it, with `$share/<group>/` if it has one.
    pub(crate) filter: Arc<str>,
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) id: Option<u32>,
    /// Records before this position are not for it.
    pub(crate) since: u64,
}

impl Subscription {
    /// The filter without its share prefix, which was checked when it was made.
    pub(crate) fn inner(&self) -> &str {
        split_share(&self.filter).map_or("", |(_, inner)| inner)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.filter.starts_with("$share/")
    }

    fn wants(&self, message: &Message) -> bool {
        self.since <= message.position && matches(self.inner(), &message.topic)
    }
}

#[derive(Debug, Default, Clone)]
struct State {
    subscriptions: Vec<Subscription>,
    /// The feeds this session listens to, and since which position.
    feeds: Vec<(FeedKey, u64)>,
}

/// QoS 1 and 2 messages on their way to the client, by packet identifier, until the client has them.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    items: HashMap<u16, Outgoing>,
    bytes: usize,
}

impl Sent {
    pub(crate) fn insert(&mut self, packet_id: u16, item: Outgoing) {
        self.bytes += item.message.cost();
        if let Some(old) = self.items.insert(packet_id, item) {
            self.bytes -= old.message.cost();
        }
    }

    pub(crate) fn remove(&mut self, packet_id: u16) {
        if let Some(gone) = self.items.remove(&packet_id) {
            self.bytes -= gone.message.cost();
        }
    }

    /// Whether one more message of `cost` bytes keeps it below `max_bytes`. A single one always goes.
    pub(crate) fn has_room(&self, cost: usize, max_bytes: usize) -> bool {
        self.items.is_empty() || self.bytes + cost <= max_bytes
    }

    /// Takes out all but those with an identifier in `keep`, oldest first.
    pub(crate) fn take_others(&mut self, keep: &[u16]) -> Vec<Outgoing> {
        let (kept, mut others) = (&mut self.items, Vec::new());
        let ids: Vec<u16> = kept.keys().filter(|id| !keep.contains(id)).copied().collect();
        for id in ids {
            others.extend(kept.remove(&id));
        }
        self.bytes -= others.iter().map(|o| o.message.cost()).sum::<usize>();
        others.sort_by_key(|o| o.message.position);
        others
    }
}

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) client_id: Box<str>,
    pub(crate) mailbox: Mailbox,
    sent: Mutex<Sent>,
    state: RwLock<Arc<State>>,
}

impl Subscriber {
    pub(crate) fn new(client_id: &str, mailbox: Mailbox) -> Subscriber {
        Subscriber {
            client_id: client_id.into(),
            mailbox,
            sent: Mutex::default(),
            state: RwLock::default(),
        }
    }

    pub(crate) fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the oldest message that the client may not have; `None` when it has all that came for it.
    pub(crate) fn oldest(&self) -> Option<u64> {
        // Both locks in the order in which a message goes from one to the other.
        let sent = self.sent();
        let waiting = self.mailbox.oldest();
        let sent = sent.items.values();
        sent.map(|o| o.message.position).chain(waiting).min()
    }

    fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut state))
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        self.state().subscriptions.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state().subscriptions.len()
    }

    pub(crate) fn has(&self, filter: &str) -> bool {
        self.state().subscriptions.iter().any(|s| &*s.filter == filter)
    }

    /// Adds or replaces. A replaced one keeps its place in time: it goes on hearing what it heard.
    pub(crate) fn add(&self, mut subscription: Subscription) {
        self.change(|state| {
            if let Some(old) = state
                .subscriptions
                .iter_mut()
                .find(|s| s.filter == subscription.filter)
            {
                subscription.since = old.since;
                *old = subscription;
            } else {
                state.subscriptions.push(subscription);
            }
        });
    }

    pub(crate) fn remove(&self, filter: &str) -> bool {
        self.change(|state| {
            let before = state.subscriptions.len();
            state.subscriptions.retain(|s| &*s.filter != filter);
            before != state.subscriptions.len()
        })
    }

    /// Keeps only the subscriptions that `keep` accepts.
    pub(crate) fn retain(&self, keep: impl Fn(&Subscription) -> bool) {
        self.change(|state| state.subscriptions.retain(|s| keep(s)));
    }

    /// Notes that this session listens to `key` from `since` on. Listening twice keeps the earlier position.
    pub(crate) fn listen(&self, key: FeedKey, since: u64) {
        self.change(|state| match state.feeds.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = (*old).min(since),
            None => state.feeds.push((key, since)),
        });
    }

    pub(crate) fn feeds(&self) -> Vec<FeedKey> {
        self.state().feeds.iter().map(|(key, _)| *key).collect()
    }

    /// What this session's ordinary subscriptions make of a message that came through `feed`. A session that
    /// listens to two feeds which both carry the message gets it from the more particular one only.
    pub(crate) fn ordinary(&self, message: &Arc<Message>, feed: FeedKey) -> Option<Outgoing> {
        let state = self.state();
        let particular = feed_key::of_topic(&message.topic);
        let through = |key: FeedKey| {
            state
                .feeds
                .iter()
                .any(|(k, since)| *k == key && *since <= message.position)
        };
        if !through(feed) || (feed == feed_key::ALL && through(particular)) {
            return None;
        }
        let own = *self.client_id == *message.client_id;
        let mut out = None;
        let wanted = state
            .subscriptions
            .iter()
            .filter(|s| !s.is_shared() && s.wants(message));
        for subscription in wanted.filter(|s| !(s.no_local && own)) {
            let out: &mut Outgoing = out.get_or_insert_with(|| Outgoing {
                message: message.clone(),
                qos: 0,
                retain: false,
                subscription_ids: vec![],
                share: None,
            });
            out.qos = out.qos.max(subscription.qos.min(message.qos));
            out.retain |= subscription.retain_as_published && message.retain;
            out.subscription_ids.extend(subscription.id);
        }
        out
    }

    /// This session's shared subscriptions that select a message which came through `feed`.
    pub(crate) fn shared(&self, message: &Message, feed: FeedKey) -> Vec<Subscription> {
        let state = self.state();
        let wanted = state
            .subscriptions
            .iter()
            .filter(|s| s.is_shared() && s.wants(message));
        wanted
            .filter(|s| feed_key::of_filter(s.inner()).contains(&feed))
            .cloned()
            .collect()
    }
}
