//! From the mailbox to the wire, as far as the client's window and our buffer allow.

use mqtt_protocol_core::mqtt::packet::{MessageExpiryInterval, Qos, SubscriptionIdentifier, v3_1_1, v5_0};

use super::{Connection, MAX_UNSENT};
use crate::{mailbox::Outgoing, properties};

impl Connection {
    pub(super) fn fill(&mut self) {
        let inflight = usize::from(self.hub.options.limits.inflight);
        let now_ms = self.hub.clock.now().0;
        while self.codec.out.len() < MAX_UNSENT && !self.codec.closing {
            let window = self.codec.has_window(inflight);
            let Some(item) = self.session.subscriber.mailbox.pop_if(|o| o.qos == 0 || window) else {
                return;
            };
            // Rights may have changed since it was put in.
            let Some(remaining_s) = item.message.remaining_s(now_ms) else {
                continue;
            };
            if !self.member.grant.may_see(&item.message.topic) {
                continue;
            }
            let packet_id = match item.qos {
                0 => None,
                _ => match self.codec.acquire_packet_id() {
                    Some(id) => Some(id),
                    None => return,
                },
            };
            if self.codec.v5 {
                self.send_v5(&item, packet_id, remaining_s);
            } else {
                self.send_v3(&item, packet_id);
            }
        }
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
