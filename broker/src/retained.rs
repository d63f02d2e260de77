//! The last message of each topic that asked to be retained, bounded in number and bytes.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{access::matches, message::Message};

/// What became of a message offered to [`Retained::apply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applied {
    Kept,
    Removed,
    /// A new topic that no room was left for. The topics that are held stay.
    NoRoom,
}

#[derive(Debug)]
pub(crate) struct Retained {
    messages: BTreeMap<Box<str>, Arc<Message>>,
    bytes: usize,
    max_messages: usize,
    max_bytes: usize,
    /// Counts changes.
    version: u64,
}

impl Retained {
    pub(crate) fn new(max_messages: usize, max_bytes: usize) -> Retained {
        Retained {
            messages: BTreeMap::new(),
            bytes: 0,
            max_messages,
            max_bytes,
            version: 0,
        }
    }

    /// Takes in a message that was published with the retain flag. An empty one removes its topic.
    pub(crate) fn apply(&mut self, message: Message) -> Applied {
        self.version += 1;
        if let Some(old) = self.messages.remove(&message.topic) {
            self.bytes -= old.cost();
        }
        if message.payload.is_empty() {
            return Applied::Removed;
        }
        if self.messages.len() >= self.max_messages || self.bytes + message.cost() > self.max_bytes {
            return Applied::NoRoom;
        }
        self.bytes += message.cost();
        self.messages.insert(message.topic.clone(), Arc::new(message));
        Applied::Kept
    }

    /// The messages that `filter` selects and that still live at `now_ms`.
    pub(crate) fn select(&self, filter: &str, now_ms: i64) -> Vec<Arc<Message>> {
        // Only topics that begin like the filter are looked at: a device that asks for its commands must not cost as
        // much as a service that asks for everything. (`a/#` selects `a` as well.)
        let literal = filter.split(['+', '#']).next().unwrap_or_default();
        let literal = literal.strip_suffix('/').unwrap_or(literal);
        let from = (Bound::Included(literal), Bound::Unbounded);
        let near = self.messages.range::<str, _>(from);
        let mut found: Vec<_> = near
            .take_while(|(topic, _)| topic.starts_with(literal))
            .map(|(_, m)| m)
            .filter(|m| matches(filter, &m.topic) && m.remaining_s(now_ms).is_some())
            .cloned()
            .collect();
        found.sort_by_key(|m| m.position);
        found
    }

    /// Forgets what has expired.
    pub(crate) fn purge(&mut self, now_ms: i64) {
        let bytes = &mut self.bytes;
        self.messages.retain(|_, m| {
            let lives = m.remaining_s(now_ms).is_some();
            if !lives {
                *bytes -= m.cost();
            }
            lives
        });
    }

    pub(crate) fn all(&self) -> Vec<Arc<Message>> {
        self.messages.values().cloned().collect()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.messages.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::*;

    fn message(topic: &str, payload: &'static [u8], expiry_s: u32) -> Message {
        Message {
            position: 0,
            time_ms: 0,
            qos: 0,
            retain: true,
            client_id: "".into(),
            topic: topic.into(),
            expiry_s,
            properties: bytes::Bytes::new(),
            payload: payload.into(),
        }
    }

    proptest! {
        #[test]
        fn what_a_filter_selects_is_found(
            topics in prop::collection::btree_set("[ab/]{1,4}", 0..12), filter in "[ab]{0,2}/?(\\+|#|a|\\+/#|a/\\+)"
        ) {
            let mut retained = Retained::new(100, 100_000);
            for topic in &topics {
                retained.apply(message(topic, b"x", 0));
            }
            let mut found: Vec<_> = retained.select(&filter, 0).iter().map(|m| m.topic.to_string()).collect();
            found.sort();
            let want: Vec<_> = topics.into_iter().filter(|t| matches(&filter, t)).collect();
            assert_eq!(found, want, "{filter}");
        }
    }

    #[test]
    fn the_last_message_stays_until_an_empty_one() {
        let mut retained = Retained::new(2, 1_000);
        assert_eq!(retained.apply(message("a/1", b"x", 0)), Applied::Kept);
        assert_eq!(retained.apply(message("a/1", b"y", 0)), Applied::Kept);
        assert_eq!(retained.select("a/+", 0)[0].payload, "y");
        assert_eq!(retained.apply(message("a/2", b"z", 5)), Applied::Kept);
        assert_eq!(retained.apply(message("a/3", b"z", 0)), Applied::NoRoom);
        assert_eq!(
            (retained.select("#", 0).len(), retained.select("#", 6_000).len()),
            (2, 1)
        );
        retained.purge(6_000);
        assert_eq!(retained.len(), 1);
        assert_eq!(retained.apply(message("a/1", b"", 0)), Applied::Removed);
        assert_eq!((retained.len(), retained.bytes), (0, 0));
    }
}
