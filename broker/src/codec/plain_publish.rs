//! The PUBLISH that nearly every packet is, read in place: QoS 0 or 1, no properties, no alias.
//!
//! Anything else, and anything wrong, is left to the protocol crate.

/// A PUBLISH that borrows from the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainPublish<'a> {
    /// Bytes of the whole packet.
    pub(crate) length: usize,
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) packet_id: Option<u16>,
}

/// Reads `packet`, which is whole, as a plain PUBLISH; `None` when it is something else.
pub(crate) fn read(packet: &[u8], v5: bool) -> Option<PlainPublish<'_>> {
    let head = *packet.first()?;
    let qos = head >> 1 & 3;
    if head >> 4 != 3 || qos > 1 {
        return None;
    }
    let body_at = packet.iter().skip(1).position(|byte| byte & 128 == 0)? + 2;
    let (topic_length, rest) = packet.get(body_at..)?.split_first_chunk::<2>()?;
    let (topic, mut rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*topic_length)))?;
    let mut packet_id = None;
    if qos == 1 {
        let (id, after) = rest.split_first_chunk::<2>()?;
        packet_id = Some(u16::from_be_bytes(*id)).filter(|id| *id > 0);
        packet_id?;
        rest = after;
    }
    if v5 {
        let (properties, after) = rest.split_first()?;
        if *properties != 0 || topic.is_empty() {
            return None;
        }
        rest = after;
    }
    let topic = std::str::from_utf8(topic).ok()?;
    Some(PlainPublish {
        length: packet.len(),
        topic,
        payload: rest,
        qos,
        retain: head & 1 != 0,
        packet_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_ones_are_read_here() {
        let got = read(b"\x33\x08\x00\x02ab\x00\x07xy", false).unwrap();
        let want = PlainPublish {
            length: 10,
            topic: "ab",
            payload: b"xy",
            qos: 1,
            retain: true,
            packet_id: Some(7),
        };
        assert_eq!(got, want);
        let v5 = read(b"\x30\x05\x00\x01a\x00x", true).unwrap();
        assert_eq!((v5.topic, v5.payload, v5.packet_id), ("a", &b"x"[..], None));
        let long = [&b"\x30\x83\x01\x00\x01a"[..], &[9; 128]].concat();
        assert_eq!(read(&long, false).unwrap().payload, [9; 128]);
        for (other, v5) in [
            (&b"\x34\x05\x00\x01a\x00\x01"[..], false),
            (b"\x32\x05\x00\x01a\x00\x00", false),
            (b"\x30\x06\x00\x01a\x02\x01\x01", true),
            (b"\x30\x03\x00\x00\x00", true),
            (b"\x30\x03\x00\x02a", false),
            (b"\x30\x03\x00\x01\xff", false),
            (b"\x30\x00", false),
            (b"\xc0\x00", false),
            (b"", false),
        ] {
            assert_eq!(read(other, v5), None, "{other:?}");
        }
    }
}
