//! A message on its way: how it stands in the journal's record, and how it travels through the router.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use journal::Record;

/// The first byte of the attributes that this broker writes.
const VERSION: u8 = 1;
/// Version, client id length, expiry.
const FIXED: usize = 1 + 2 + 4;

/// Who sent a message besides its identity, and what the sender attached to it. The attributes of a journal record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attributes<'a> {
    /// The sender's client identifier, so that it can be spared its own messages; empty from inside.
    pub(crate) client_id: &'a str,
    /// Seconds after which nobody wants the message any more; 0 for never.
    pub(crate) expiry_s: u32,
    /// An MQTT 5 property block with its length in front, or nothing.
    pub(crate) properties: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Writes them over `out`. A client identifier longer than 65,535 bytes cannot come from MQTT.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        out.put_u8(VERSION);
        out.put_u16(u16::try_from(self.client_id.len()).unwrap_or(0));
        out.put_u32(self.expiry_s);
        if u16::try_from(self.client_id.len()).is_ok() {
            out.put_slice(self.client_id.as_bytes());
        }
        out.put_slice(self.properties);
    }

    /// Reads them back; `None` when the record was written by somebody else, whose messages have none.
    pub(crate) fn decode(mut bytes: &'a [u8]) -> Option<Attributes<'a>> {
        if bytes.len() < FIXED || bytes.get_u8() != VERSION {
            return None;
        }
        let (client, expiry_s) = (usize::from(bytes.get_u16()), bytes.get_u32());
        let (client_id, properties) = bytes.split_at_checked(client)?;
        Some(Attributes {
            client_id: std::str::from_utf8(client_id).ok()?,
            expiry_s,
            properties,
        })
    }
}

/// The flag byte of a journal record of kind `MESSAGE`.
pub(crate) fn flags(qos: u8, retain: bool) -> u8 {
    qos | (u8::from(retain) << 2)
}

/// A durable message, ready for any number of subscribers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) position: u64,
    pub(crate) time_ms: i64,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) client_id: Box<str>,
    pub(crate) topic: Box<str>,
    pub(crate) expiry_s: u32,
    pub(crate) properties: Bytes,
    pub(crate) payload: Bytes,
}

impl Message {
    /// What it costs to keep, in bytes, about.
    pub(crate) fn cost(&self) -> usize {
        128 + self.topic.len() + self.properties.len() + self.payload.len()
    }

    /// Seconds left to live at `now_ms`: `None` when its time is over, 0 when it lives for ever.
    pub(crate) fn remaining_s(&self, now_ms: i64) -> Option<u32> {
        if self.expiry_s == 0 {
            return Some(0);
        }
        let age_s = u32::try_from(now_ms.saturating_sub(self.time_ms).max(0) / 1000).unwrap_or(u32::MAX);
        self.expiry_s.checked_sub(age_s).filter(|left| *left > 0)
    }

    /// The message that a journal record holds.
    pub(crate) fn of_record(record: &Record<'_>) -> Message {
        let attributes = Attributes::decode(record.envelope.attributes).unwrap_or_default();
        Message {
            position: record.position.0,
            time_ms: record.time_ms,
            qos: (record.envelope.flags & 3).min(2),
            retain: record.envelope.flags & 4 != 0,
            client_id: attributes.client_id.into(),
            topic: record.envelope.subject.into(),
            expiry_s: attributes.expiry_s,
            properties: Bytes::copy_from_slice(attributes.properties),
            payload: Bytes::copy_from_slice(record.envelope.body),
        }
    }
}

/// A record as the router carries it: opaque to it, never empty.
pub(crate) fn to_router(record: &Record<'_>) -> Bytes {
    let e = &record.envelope;
    let size = 8 + 8 + 1 + 2 + 2 + e.attributes.len() + e.subject.len() + e.body.len();
    let mut out = BytesMut::with_capacity(size);
    out.put_u64(record.position.0);
    out.put_i64(record.time_ms);
    out.put_u8(e.flags);
    // The journal holds both to 65,535 bytes.
    out.put_u16(u16::try_from(e.attributes.len()).unwrap_or(0));
    out.put_u16(u16::try_from(e.subject.len()).unwrap_or(0));
    out.put_slice(e.attributes);
    out.put_slice(e.subject.as_bytes());
    out.put_slice(e.body);
    out.freeze()
}

/// Reads [`to_router`] back, sharing its memory.
pub(crate) fn from_router(mut bytes: Bytes) -> Option<Message> {
    if bytes.len() < 21 {
        return None;
    }
    let (position, time_ms, flags) = (bytes.get_u64(), bytes.get_i64(), bytes.get_u8());
    let (attributes, subject) = (usize::from(bytes.get_u16()), usize::from(bytes.get_u16()));
    if bytes.len() < attributes + subject {
        return None;
    }
    let attributes = bytes.split_to(attributes);
    let topic = bytes.split_to(subject);
    let decoded = Attributes::decode(&attributes).unwrap_or_default();
    Some(Message {
        position,
        time_ms,
        qos: (flags & 3).min(2),
        retain: flags & 4 != 0,
        client_id: decoded.client_id.into(),
        topic: std::str::from_utf8(&topic).ok()?.into(),
        expiry_s: decoded.expiry_s,
        properties: attributes.slice(attributes.len() - decoded.properties.len()..),
        payload: bytes,
    })
}

#[cfg(test)]
mod tests {
    use journal::{Envelope, Kind, Position};
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_message_survives_the_journal_and_the_router(
            client in ".{0,40}", topic in ".{1,40}", expiry_s: u32, retain: bool, qos in 0u8..3,
            properties in prop::collection::vec(any::<u8>(), 0..40), payload in prop::collection::vec(any::<u8>(), 0..99)
        ) {
            let attributes = Attributes { client_id: &client, expiry_s, properties: &properties };
            let mut encoded = vec![9];
            attributes.encode(&mut encoded);
            assert_eq!(Attributes::decode(&encoded), Some(attributes));
            let envelope = Envelope {
                kind: Kind::MESSAGE, flags: flags(qos, retain), source: "s", subject: &topic,
                attributes: &encoded, body: &payload,
            };
            let record = Record { position: Position(7), next: Position(9), time_ms: 5, envelope };
            let message = from_router(to_router(&record)).unwrap();
            assert_eq!(message, Message::of_record(&record));
            assert_eq!((message.qos, message.retain, &*message.topic), (qos, retain, topic.as_str()));
            assert_eq!((&message.properties[..], &message.payload[..]), (&properties[..], &payload[..]));
        }

        #[test]
        fn hostile_bytes_are_no_message(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            // Whatever is taken from them was in them.
            if let Some(message) = from_router(bytes.clone().into()) {
                assert!(message.topic.len() + message.payload.len() + message.properties.len() <= bytes.len());
            }
            if let Some(attributes) = Attributes::decode(&bytes) {
                assert!(attributes.client_id.len() + attributes.properties.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn a_message_ages() {
        let mut message = from_router(Bytes::from_static(&[0; 21])).unwrap();
        assert_eq!(message.remaining_s(i64::MAX), Some(0));
        message.expiry_s = 10;
        for (now, want) in [
            (0, Some(10)),
            (999, Some(10)),
            (9_999, Some(1)),
            (10_000, None),
            (-5, Some(10)),
        ] {
            assert_eq!(message.remaining_s(now), want, "{now}");
        }
    }
}
