//! What waits for one subscriber, bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use crate::message::Message;

/// One message for one subscriber.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) message: Arc<Message>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// The identifiers of the subscriptions that asked for it.
    pub(crate) subscription_ids: Vec<u32>,
    /// The shared subscription it was dealt to, if it was.
    pub(crate) share: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Outgoing>,
    bytes: usize,
    /// The session has ended.
    closed: bool,
}

/// A bounded queue. Full: the oldest QoS 0 messages make room; if the front is none, the new one is dropped.
#[derive(Debug)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    max_bytes: usize,
    arrived: Notify,
    /// Whether the client is there: QoS 0 is not kept for one that is away.
    connected: AtomicBool,
    dropped: Arc<AtomicU64>,
}

impl Mailbox {
    pub(crate) fn new(max_bytes: usize, dropped: Arc<AtomicU64>) -> Mailbox {
        Mailbox {
            queue: Mutex::default(),
            max_bytes,
            arrived: Notify::new(),
            connected: AtomicBool::new(false),
            dropped,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Release);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    /// Puts `item` in, or drops it when there is no room. False when the session has ended, so that a shared
    /// message can go to somebody else.
    pub(crate) fn push(&self, item: Outgoing) -> bool {
        let cost = item.message.cost();
        let mut queue = self.lock();
        if queue.closed {
            return false;
        }
        if item.qos == 0 && !self.is_connected() {
            return true;
        }
        while queue.bytes + cost > self.max_bytes && queue.items.front().is_some_and(|front| front.qos == 0) {
            if let Some(gone) = queue.items.pop_front() {
                queue.bytes -= gone.message.cost();
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        // One message that is larger than the whole queue still goes through an empty one.
        let fits = queue.bytes + cost <= self.max_bytes || queue.items.is_empty();
        if fits {
            queue.bytes += cost;
            queue.items.push_back(item);
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(queue);
        self.arrived.notify_one();
        true
    }

    /// Puts messages that were under way back in front, in their order.
    pub(crate) fn put_back(&self, items: Vec<Outgoing>) {
        let mut queue = self.lock();
        queue.bytes += items.iter().map(|item| item.message.cost()).sum::<usize>();
        for item in items.into_iter().rev() {
            queue.items.push_front(item);
        }
    }

    /// Takes the next message that `ready` accepts to send now.
    pub(crate) fn pop_if(&self, ready: impl FnOnce(&Outgoing) -> bool) -> Option<Outgoing> {
        let mut queue = self.lock();
        if !ready(queue.items.front()?) {
            return None;
        }
        let item = queue.items.pop_front()?;
        queue.bytes -= item.message.cost();
        Some(item)
    }

    /// Whether one more message of `cost` bytes would fit without dropping any.
    pub(crate) fn has_room(&self, cost: usize) -> bool {
        let queue = self.lock();
        queue.items.is_empty() || queue.bytes + cost <= self.max_bytes
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Takes everything out, for good.
    pub(crate) fn close(&self) -> Vec<Outgoing> {
        let mut queue = self.lock();
        queue.closed = true;
        queue.bytes = 0;
        queue.items.drain(..).collect()
    }

    /// The position of the oldest message that waits.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.lock().items.iter().map(|item| item.message.position).min()
    }

    /// Waits until a message has come since the last call. Cancel-safe.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(qos: u8, position: u64) -> Outgoing {
        let message = Message {
            position,
            time_ms: 0,
            qos,
            retain: false,
            client_id: "".into(),
            topic: "t".into(),
            expiry_s: 0,
            properties: bytes::Bytes::new(),
            payload: vec![0; 871].into(),
        };
        assert_eq!(message.cost(), 1000);
        Outgoing {
            message: Arc::new(message),
            qos,
            retain: false,
            subscription_ids: vec![],
            share: None,
        }
    }

    #[test]
    fn a_full_mailbox_drops_old_qos_0_first() {
        let dropped = Arc::new(AtomicU64::new(0));
        let mailbox = Mailbox::new(3_000, dropped.clone());
        mailbox.set_connected(true);
        for (qos, position) in [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5), (1, 6)] {
            mailbox.push(item(qos, position));
        }
        let kept: Vec<_> = mailbox.close().iter().map(|o| o.message.position).collect();
        assert_eq!((kept, dropped.load(Ordering::Relaxed)), (vec![3, 4, 5], 3));
    }

    #[test]
    fn nobody_keeps_qos_0_for_the_absent() {
        let mailbox = Mailbox::new(3_000, Arc::default());
        mailbox.push(item(0, 1));
        mailbox.push(item(2, 2));
        assert_eq!(mailbox.oldest(), Some(2));
        assert!(mailbox.pop_if(|o| o.qos == 0).is_none());
        assert_eq!(mailbox.pop_if(|_| true).unwrap().message.position, 2);
        assert!(mailbox.is_empty() && mailbox.has_room(10_000));
    }
}
