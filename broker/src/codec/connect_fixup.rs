//! Takes a property out of CONNECT that the standard allows and mqtt-protocol-core 0.7.9 panics on.

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::packet::{Properties, PropertiesParse, Property};

use crate::properties::length_prefix;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// A whole CONNECT is there, safe to parse.
    Ready,
    /// More bytes are needed.
    Incomplete,
    /// It is not a CONNECT.
    Foreign,
    /// It announces more bytes than allowed.
    TooLarge,
}

/// Looks at the start of a connection and drops a `TopicAliasMaximum` of 0 (which means the same as none) from it.
pub(crate) fn connect_fixup(buffer: &mut BytesMut, max_bytes: usize) -> First {
    if buffer.first().is_some_and(|b| *b != 0x10) {
        return First::Foreign;
    }
    let (mut length, mut shift, mut start) = (0usize, 0, 1);
    loop {
        let Some(&byte) = buffer.get(start) else {
            return First::Incomplete;
        };
        length |= usize::from(byte & 127) << shift;
        start += 1;
        shift += 7;
        if byte & 128 == 0 {
            break;
        }
        if shift > 21 {
            return First::Foreign;
        }
    }
    if length > max_bytes {
        return First::TooLarge;
    }
    if buffer.len() < start + length {
        return First::Incomplete;
    }
    let body = &buffer[start..start + length];
    // The lowest flag is reserved; the protocol crate does not look at it.
    if length > 7 && body[7] & 1 != 0 {
        return First::Foreign;
    }
    // Protocol name (6 bytes), level, flags, keep-alive (2 bytes), then the properties of version 5.
    if length < 11 || body[6] != 5 {
        return First::Ready;
    }
    let Ok((properties, used)) = Properties::parse(&body[10..]) else {
        return First::Ready;
    };
    let useless = |p: &&Property| matches!(p, Property::TopicAliasMaximum(max) if max.val() == 0);
    if !properties.iter().any(|p| useless(&p)) {
        return First::Ready;
    }
    let mut kept = Vec::new();
    for property in properties.iter().filter(|p| !useless(p)) {
        for slice in property.to_buffers() {
            kept.extend_from_slice(&slice);
        }
    }
    let mut new_body = body[..10].to_vec();
    new_body.extend(length_prefix(kept.len()));
    new_body.extend(kept);
    new_body.extend_from_slice(&body[10 + used..]);
    let mut out = BytesMut::from(&[0x10u8][..]);
    out.extend_from_slice(&length_prefix(new_body.len()));
    out.extend_from_slice(&new_body);
    out.extend_from_slice(&buffer[start + length..]);
    *buffer = out;
    First::Ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_maximum_of_zero_is_dropped() {
        // CONNECT v5, one property 0x22 00 00, client id "a", followed by the first byte of the next packet.
        let packet = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x03\x22\x00\x00\x00\x01a\xc0";
        let mut buffer = BytesMut::from(&packet[..]);
        assert_eq!(connect_fixup(&mut buffer, 100), First::Ready);
        assert_eq!(
            &buffer[..],
            b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a\xc0"
        );
        for (bytes, want) in [
            (&b""[..], First::Incomplete),
            (b"\x10", First::Incomplete),
            (b"\x10\x11\x00", First::Incomplete),
            (b"\x20\x02\x00\x00", First::Foreign),
            (b"GET / HTTP/1.1", First::Foreign),
            (b"\x10\xff\xff\xff\xff\x01", First::Foreign),
            (b"\x10\xff\xff\x7f", First::TooLarge),
        ] {
            assert_eq!(connect_fixup(&mut BytesMut::from(bytes), 100), want, "{bytes:?}");
        }
    }
}
