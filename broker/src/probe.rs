//! The packet path without sockets, for fuzzing.

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::{
    packet::{Packet, v3_1_1, v5_0},
    result_code::{ConnectReasonCode, ConnectReturnCode},
};

use crate::{
    access::{covers, matches, split_share, valid_filter, valid_topic},
    codec::{
        Codec, Next,
        connect_fixup::{First, connect_fixup},
    },
    feed_key, properties,
};

/// Feeds `bytes` to a connection's protocol state as a socket would, accepts the CONNECT if there is one, and runs
/// what the broker does with each packet short of storing it. Returns how many packets were understood.
///
/// Panics only for a defect of ours: one of the protocol crate is caught, as in the broker.
#[doc(hidden)]
#[must_use]
pub fn probe(bytes: &[u8]) -> usize {
    let mut buffer = BytesMut::from(bytes);
    let mut codec = Codec::new(64 << 10);
    if connect_fixup(&mut buffer, 64 << 10) != First::Ready {
        return 0;
    }
    let mut understood = 0;
    while !buffer.is_empty() && !codec.closing && codec.fault.is_none() {
        std::hint::black_box(codec.plain_publish(&buffer));
        match codec.next(&mut buffer) {
            Next::Packet(packet) => {
                understood += 1;
                act(&mut codec, &packet);
            }
            Next::Handled => {}
            Next::Incomplete => break,
        }
    }
    understood
}

fn act(codec: &mut Codec, packet: &Packet) {
    match packet {
        Packet::V3_1_1Connect(_) => {
            let accepted = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(ConnectReturnCode::Accepted);
            codec.send(accepted.build().expect("a CONNACK with a return code is valid"));
        }
        Packet::V5_0Connect(_) => {
            codec.v5 = true;
            let accepted = v5_0::Connack::builder()
                .session_present(false)
                .reason_code(ConnectReasonCode::Success);
            codec.send(accepted.build().expect("a CONNACK with a reason is valid"));
        }
        Packet::V3_1_1Publish(p) => publish(codec, p.topic_name(), p.packet_id(), p.qos() as u8),
        Packet::V5_0Publish(p) => {
            let mut block = Vec::new();
            properties::split(p.props(), &mut block);
            drop(properties::join(&block));
            publish(codec, p.topic_name(), p.packet_id(), p.qos() as u8);
        }
        Packet::V3_1_1Subscribe(p) => p.entries().iter().for_each(|e| subscribe(e.topic_filter())),
        Packet::V5_0Subscribe(p) => p.entries().iter().for_each(|e| subscribe(e.topic_filter())),
        _ => {}
    }
}

fn publish(codec: &mut Codec, topic: &str, packet_id: Option<u16>, qos: u8) {
    let accepted = valid_topic(topic);
    std::hint::black_box(feed_key::of_topic(topic));
    if let Some(id) = packet_id {
        codec.acknowledge(id, qos, accepted);
    }
}

fn subscribe(filter: &str) {
    let Ok((_, inner)) = split_share(filter) else {
        return;
    };
    if valid_filter(inner) {
        std::hint::black_box((
            feed_key::of_filter(inner),
            covers("sk/v1/+/#", inner),
            matches(inner, "sk/v1/f/d/up"),
        ));
    }
}
