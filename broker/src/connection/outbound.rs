//! From the mailbox to the wire, as far as the client's window and our buffer allow.

use mqtt_protocol_core::mqtt::packet::{MessageExpiryInterval, Qos, SubscriptionIdentifier, v3_1_1, v5_0};

use super::{Connection, MAX_UNSENT};
use crate::{mailbox::Outgoing, properties};

impl Connection {
    pub(super) fn fill(&mut self) {
        let inflight = usize::from(self.hub.options.limits.inflight);
        let now_ms = self.hub.clock.now().0;
        while self.codec.out.len() < MAX_UNSENT && !self.codec.closing {
            let Some((item, packet_id)) = self.take_out(inflight) else {
                return;
            };
            // Rights may have changed since it was put in.
            let remaining_s = item.message.remaining_s(now_ms);
            let visible = self.member.grant.may_see(&item.message.topic);
            let Some(remaining_s) = remaining_s.filter(|_| visible) else {
                if let Some(id) = packet_id {
                    self.codec.give_back_packet_id(id);
                    self.settle();
                }
                continue;
            };
            if self.codec.v5 {
                self.send_v5(&item, packet_id, remaining_s);
            } else {
                self.send_v3(&item, packet_id);
            }
        }
    }

    /// Takes the next message out of the mailbox and gives it a packet identifier if it needs one. One lock over
    /// both places, so that the message is always in one of them for whoever looks for the oldest.
    fn take_out(&mut self, inflight: usize) -> Option<(Outgoing, Option<u16>)> {
        let window = self.codec.has_window(inflight);
        let subscriber = &self.session.subscriber;
        let mut sent = subscriber.sent();
        let limit = self.hub.options.limits.queued_bytes_per_subscriber;
        let fits = |o: &Outgoing| window && sent.has_room(o.message.cost(), limit);
        let item = subscriber.mailbox.pop_if(|o| o.qos == 0 || fits(o))?;
        if item.qos == 0 {
            return Some((item, None));
        }
        let id = self.codec.acquire_packet_id()?;
        sent.insert(id, item.clone());
        Some((item, Some(id)))
    }

    fn send_v3(&mut self, item: &Outgoing, packet_id: Option<u16>) {
        let publish = v3_1_1::Publish::builder().topic_name(&*item.message.topic);
        let Ok(publish) = publish else {
            return self.unsendable(item);
        };
        let mut publish = publish
            .qos(qos(item.qos))
            .retain(item.retain)
            .payload(&item.message.payload[..]);
        if let Some(id) = packet_id {
            publish = publish.packet_id(id);
        }
        match (publish.build(), packet_id) {
            (Ok(packet), Some(id)) => self.codec.send_tracked(packet, id),
            (Ok(packet), None) => self.codec.send(packet),
            (Err(_), _) => self.unsendable(item),
        }
    }

    fn send_v5(&mut self, item: &Outgoing, packet_id: Option<u16>, remaining_s: u32) {
        let mut props = properties::join(&item.message.properties);
        if remaining_s > 0 {
            props.extend(MessageExpiryInterval::new(remaining_s).map(Into::into));
        }
        for id in &item.subscription_ids {
            props.extend(SubscriptionIdentifier::new(*id).map(Into::into));
        }
        let publish = v5_0::Publish::builder().topic_name(&*item.message.topic);
        let Ok(publish) = publish else {
            return self.unsendable(item);
        };
        let mut publish = publish
            .qos(qos(item.qos))
            .retain(item.retain)
            .payload(&item.message.payload[..])
            .props(props);
        if let Some(id) = packet_id {
            publish = publish.packet_id(id);
        }
        match (publish.build(), packet_id) {
            (Ok(packet), Some(id)) => self.codec.send_tracked(packet, id),
            (Ok(packet), None) => self.codec.send(packet),
            (Err(_), _) => self.unsendable(item),
        }
    }

    /// Forgets the messages that the client has.
    pub(super) fn settle(&mut self) {
        if !self.codec.released.is_empty() {
            let mut sent = self.session.subscriber.sent();
            for id in self.codec.released.drain(..) {
                sent.remove(id);
            }
        }
    }

    /// What came in can go out; a message from inside with a topic that MQTT cannot say is lost here, loudly.
    fn unsendable(&self, item: &Outgoing) {
        tracing::error!(
            topic.bytes = item.message.topic.len(),
            "A message cannot be written as MQTT; it is dropped."
        );
    }
}

fn qos(qos: u8) -> Qos {
    match qos {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}
