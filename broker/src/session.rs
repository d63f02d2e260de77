//! What a client finds again when it comes back, and its will.

use std::sync::Arc;

use mqtt_protocol_core::mqtt::{common::HashSet, packet::StorePacket};

use crate::{fanout::Fanout, identities::Member, subscriber::Subscriber};

/// A session. When it is dropped its subscriptions end, and what its client did not get of a shared subscription
/// goes to another member.
pub(crate) struct Session {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) member: Arc<Member>,
    /// Packets sent and not yet acknowledged.
    pub(crate) stored: Vec<StorePacket>,
    /// QoS 2 packet identifiers that were received and not yet released.
    /// In memory only: a message whose PUBREC was lost is stored again when the broker was restarted before its client
    /// sent it again. (Readings bear it: one with the same time replaces itself.)
    pub(crate) handled: HashSet<u16>,
    fanout: Arc<Fanout>,
}

impl Session {
    pub(crate) fn new(subscriber: Subscriber, member: Arc<Member>, fanout: Arc<Fanout>) -> Session {
        let subscriber = Arc::new(subscriber);
        Session {
            subscriber,
            member,
            stored: Vec::new(),
            handled: HashSet::default(),
            fanout,
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.fanout.leave(&self.subscriber);
        let sent = self.subscriber.sent().take_others(&[]);
        self.fanout.deal_again(sent);
        self.fanout.deal_again(self.subscriber.mailbox.close());
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("client_id", &self.subscriber.client_id)
            .finish_non_exhaustive()
    }
}

/// A message that a client left behind for the case that it disappears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// As in [`crate::message::Attributes`].
    pub(crate) properties: Vec<u8>,
    pub(crate) expiry_s: u32,
    /// Seconds between the disappearance and the will.
    pub(crate) delay_s: u32,
}
