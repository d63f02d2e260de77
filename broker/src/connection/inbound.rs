//! What a signed-in client says.

use domain::status::RefusalReason;
use journal::{AppendError, Envelope, Kind};
use mqtt_protocol_core::mqtt::{
    packet::{Packet, Property, v3_1_1, v5_0},
    result_code::DisconnectReasonCode,
};

use super::{Connection, Pending, handshake};
use crate::{
    access::valid_topic,
    codec::plain_publish::PlainPublish,
    message::{Attributes, flags},
    properties,
};

/// A PUBLISH of either version.
struct Publish<'a> {
    topic: &'a str,
    payload: &'a [u8],
    qos: u8,
    retain: bool,
    packet_id: Option<u16>,
    properties: &'a [Property],
    /// Whether the codec knows nothing of it.
    plain: bool,
}

/// What is left to do for a PUBLISH.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Done,
    /// The journal has no room: the same packet must be offered again.
    Later,
}

impl Connection {
    /// Acts on one packet.
    pub(super) async fn packet(&mut self, packet: Packet) {
        match &packet {
            Packet::V3_1_1Publish(p) => {
                let publish = Publish {
                    topic: p.topic_name(),
                    payload: p.payload().as_slice(),
                    qos: p.qos() as u8,
                    retain: p.retain(),
                    packet_id: p.packet_id(),
                    properties: &[],
                    plain: false,
                };
                if self.publish(&publish) == Taken::Later {
                    self.blocked = Some(packet);
                }
            }
            Packet::V5_0Publish(p) => {
                let publish = Publish {
                    topic: p.topic_name(),
                    payload: p.payload().as_slice(),
                    qos: p.qos() as u8,
                    retain: p.retain(),
                    packet_id: p.packet_id(),
                    properties: p.props(),
                    plain: false,
                };
                if self.publish(&publish) == Taken::Later {
                    self.blocked = Some(packet);
                }
            }
            Packet::V3_1_1Subscribe(p) => self.subscribe_v3(p).await,
            Packet::V5_0Subscribe(p) => self.subscribe_v5(p).await,
            Packet::V3_1_1Unsubscribe(p) => self.unsubscribe_v3(p).await,
            Packet::V5_0Unsubscribe(p) => self.unsubscribe_v5(p).await,
            Packet::V3_1_1Disconnect(_) => {
                self.graceful = true;
                self.codec.closing = true;
            }
            Packet::V5_0Disconnect(p) => self.goodbye(p),
            other => self.flow(other),
        }
    }

    /// The rest of the QoS 2 exchange, and what a client must not send.
    fn flow(&mut self, packet: &Packet) {
        let valid = "an answer to an identifier that was received is valid";
        match packet {
            Packet::V3_1_1Pubrec(p) => {
                self.session.subscriber.sent().remove(p.packet_id());
                self.codec.send(
                    v3_1_1::Pubrel::builder()
                        .packet_id(p.packet_id())
                        .build()
                        .expect(valid),
                );
            }
            Packet::V5_0Pubrec(p) => {
                self.session.subscriber.sent().remove(p.packet_id());
                if p.reason_code().is_none_or(|code| code.is_success()) {
                    self.codec.send(
                        v5_0::Pubrel::builder()
                            .packet_id(p.packet_id())
                            .build()
                            .expect(valid),
                    );
                }
            }
            Packet::V3_1_1Pubrel(p) => {
                self.codec.send(
                    v3_1_1::Pubcomp::builder()
                        .packet_id(p.packet_id())
                        .build()
                        .expect(valid),
                );
            }
            Packet::V5_0Pubrel(p) => {
                self.codec.send(
                    v5_0::Pubcomp::builder()
                        .packet_id(p.packet_id())
                        .build()
                        .expect(valid),
                );
            }
            Packet::V3_1_1Connect(_) | Packet::V5_0Connect(_) | Packet::V5_0Auth(_) => {
                self.hub.refuse(
                    Some(&self.member),
                    RefusalReason::Protocol,
                    "a second CONNECT, or an AUTH",
                );
                self.codec.disconnect(DisconnectReasonCode::ProtocolError);
            }
            // PUBACK, PUBCOMP and PINGREQ: the codec has done what there is to do.
            _ => {}
        }
    }

    fn goodbye(&mut self, packet: &v5_0::Disconnect) {
        self.graceful = packet.reason_code() != Some(DisconnectReasonCode::DisconnectWithWillMessage);
        self.codec.closing = true;
        let asked = packet.props().as_ref().and_then(|p| handshake::session_expiry(p));
        if let Some(asked) = asked {
            // A session that was to end with the connection cannot be made to outlive it.
            if self.expiry_s == 0 && asked > 0 {
                self.hub.refuse(
                    Some(&self.member),
                    RefusalReason::Protocol,
                    "DISCONNECT asks for a session expiry",
                );
                self.graceful = false;
                return;
            }
            self.expiry_s = u64::from(asked).min(self.hub.options.limits.session_expiry.as_secs());
        }
    }

    /// Acts on a PUBLISH that the codec did not take in.
    pub(super) fn plain_publish(&mut self, plain: &PlainPublish<'_>) -> Taken {
        self.publish(&Publish {
            topic: plain.topic,
            payload: plain.payload,
            qos: plain.qos,
            retain: plain.retain,
            packet_id: plain.packet_id,
            properties: &[],
            plain: true,
        })
    }

    fn publish(&mut self, publish: &Publish<'_>) -> Taken {
        // From here on until its answer: whatever keeps it from being stored, it must not count as received.
        if let Some(packet_id) = publish.packet_id.filter(|_| publish.qos == 2) {
            self.codec.hold(packet_id);
        }
        let foreign = |p: &Property| matches!(p, Property::SubscriptionIdentifier(_));
        if publish.properties.iter().any(foreign) {
            self.hub.refuse(
                Some(&self.member),
                RefusalReason::Protocol,
                "a PUBLISH with a subscription identifier",
            );
            self.codec.disconnect(DisconnectReasonCode::ProtocolError);
            return Taken::Done;
        }
        if !valid_topic(publish.topic) {
            self.hub.refuse(
                Some(&self.member),
                RefusalReason::Protocol,
                "a PUBLISH to a topic that is none",
            );
            self.codec.disconnect(DisconnectReasonCode::TopicNameInvalid);
            return Taken::Done;
        }
        if !self.member.grant.may_publish(publish.topic) {
            self.deny(publish);
            return Taken::Done;
        }
        self.store(publish)
    }

    /// A publish outside the client's rights: version 5 is told, version 3.1.1 has no word for it and is closed.
    fn deny(&mut self, publish: &Publish<'_>) {
        self.bucket.take();
        self.hub
            .refuse(Some(&self.member), RefusalReason::PublishDenied, publish.topic);
        if !self.codec.v5 {
            self.codec.closing = true;
        } else if let Some(packet_id) = publish.packet_id {
            self.pending.push_back(Pending {
                receipt: None,
                packet_id,
                qos: publish.qos,
                plain: publish.plain,
            });
        }
    }

    fn store(&mut self, publish: &Publish<'_>) -> Taken {
        let expiry_s = if publish.properties.is_empty() {
            self.properties.clear();
            0
        } else {
            properties::split(publish.properties, &mut self.properties)
        };
        let client_id = &self.client_id;
        Attributes {
            client_id,
            expiry_s,
            properties: &self.properties,
        }
        .encode(&mut self.attributes);
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: flags(publish.qos, publish.retain),
            source: self.member.identity.name.as_str(),
            subject: publish.topic,
            attributes: &self.attributes,
            body: publish.payload,
        };
        match self
            .hub
            .fanout
            .append(&mut self.writer, &envelope, publish.retain)
        {
            Ok(receipt) => {
                self.bucket.take();
                self.count_publish();
                if let Some(packet_id) = publish.packet_id {
                    self.pending.push_back(Pending {
                        receipt: Some(receipt),
                        packet_id,
                        qos: publish.qos,
                        plain: publish.plain,
                    });
                }
                Taken::Done
            }
            Err(AppendError::Busy | AppendError::Full) => Taken::Later,
            Err(AppendError::TooLarge) => {
                self.hub
                    .refuse(Some(&self.member), RefusalReason::PacketTooLarge, publish.topic);
                self.codec.disconnect(DisconnectReasonCode::PacketTooLarge);
                Taken::Done
            }
            Err(e) => {
                self.give_up(&e);
                Taken::Done
            }
        }
    }
}
