//! RTP and RTCP inside the RTSP connection (RFC 6184 packets, RFC 2326 interleaving).

use domain::UtcMillis;

use crate::cameras::encoder::{AccessUnit, kind};

/// The longest RTP payload, in bytes: what fits an Ethernet frame even in a tunnel.
const MAX_PAYLOAD: usize = 1_400;
/// The payload type that the session description gives H.264.
pub(crate) const PAYLOAD_TYPE: u8 = 96;
/// A sender report is sent this often, in milliseconds.
const REPORT_EVERY_MS: i64 = 5_000;
/// Seconds from 1900, where NTP begins, to 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// When a picture was taken, in both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The camera's clock.
    pub(crate) at: UtcMillis,
    /// The stream's, in 90,000ths of a second.
    pub(crate) rtp: u32,
}

/// One client's packets.
#[derive(Debug)]
pub(crate) struct Packets {
    /// The channel of RTP; RTCP has the next one.
    channel: u8,
    source: u32,
    sequence: u16,
    sent: u32,
    bytes: u32,
    reported: Option<UtcMillis>,
}

impl Packets {
    pub(crate) fn new(channel: u8, source: u32, sequence: u16) -> Packets {
        Packets {
            channel,
            source,
            sequence,
            sent: 0,
            bytes: 0,
            reported: None,
        }
    }

    /// Appends the packets of one picture to `out`, a sender report before them when one is due.
    pub(crate) fn write(&mut self, picture: &AccessUnit, taken: Taken, out: &mut Vec<u8>) {
        if self
            .reported
            .is_none_or(|last| taken.at.ms_since(last) >= REPORT_EVERY_MS)
        {
            self.report(taken, out);
            self.reported = Some(taken.at);
        }
        let last = picture.units.len().saturating_sub(1);
        for (n, unit) in picture.units.iter().enumerate() {
            self.unit(unit, n == last, taken.rtp, out);
        }
    }

    /// One NAL unit: whole when it fits, in fragments (FU-A) when not.
    fn unit(&mut self, unit: &[u8], last: bool, time: u32, out: &mut Vec<u8>) {
        if unit.len() <= MAX_PAYLOAD {
            self.packet([&[], unit], last, time, out);
            return;
        }
        let (header, kind) = (unit[0] & 0xe0, kind(unit).unwrap_or_default());
        let pieces = unit[1..].chunks(MAX_PAYLOAD - 2);
        let count = pieces.len();
        for (n, piece) in pieces.enumerate() {
            let (begins, ends) = (n == 0, n + 1 == count);
            let fragment = kind | u8::from(begins) << 7 | u8::from(ends) << 6;
            self.packet([&[header | 28, fragment], piece], last && ends, time, out);
        }
    }

    /// One packet whose payload is both parts.
    fn packet(&mut self, parts: [&[u8]; 2], marker: bool, time: u32, out: &mut Vec<u8>) {
        let length = parts[0].len() + parts[1].len();
        interleave(self.channel, 12 + length, out);
        out.extend([0x80, PAYLOAD_TYPE | u8::from(marker) << 7]);
        out.extend(self.sequence.to_be_bytes());
        out.extend(time.to_be_bytes());
        out.extend(self.source.to_be_bytes());
        out.extend(parts[0]);
        out.extend(parts[1]);
        self.sequence = self.sequence.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(u32::try_from(length).unwrap_or(0));
    }

    /// A sender report: which moment of the camera's clock the stream's time means.
    fn report(&mut self, taken: Taken, out: &mut Vec<u8>) {
        let ms = taken.at.0.max(0).cast_unsigned();
        let (seconds, fraction) = (ms / 1_000 + NTP_OFFSET_S, ((ms % 1_000) << 32) / 1_000);
        let ntp = (seconds << 32) | fraction;
        interleave(self.channel + 1, 28, out);
        out.extend([0x80, 200, 0, 6]);
        out.extend(self.source.to_be_bytes());
        out.extend(ntp.to_be_bytes());
        for number in [taken.rtp, self.sent, self.bytes] {
            out.extend(number.to_be_bytes());
        }
    }
}

fn interleave(channel: u8, length: usize, out: &mut Vec<u8>) {
    out.extend([b'$', channel]);
    out.extend(u16::try_from(length).expect("a packet is short").to_be_bytes());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    const TAKEN: Taken = Taken {
        at: UtcMillis(1_795_250_000_500),
        rtp: 4_500,
    };

    /// Interleaved packets as (channel, packet).
    fn apart(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
        let mut packets = Vec::new();
        while let [b'$', channel, high, low, rest @ ..] = bytes {
            let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            packets.push((*channel, packet));
            bytes = rest;
        }
        assert!(bytes.is_empty());
        packets
    }

    fn together(packets: &[(u8, &[u8])]) -> Vec<Vec<u8>> {
        let mut units: Vec<Vec<u8>> = Vec::new();
        for (_, packet) in packets.iter().filter(|(channel, _)| *channel == 0) {
            match &packet[12..] {
                [indicator, fragment, piece @ ..] if indicator & 0x1f == 28 => {
                    if fragment & 0x80 != 0 {
                        units.push(vec![indicator & 0xe0 | fragment & 0x1f]);
                    }
                    units.last_mut().unwrap().extend(piece);
                }
                unit => units.push(unit.to_vec()),
            }
        }
        units
    }

    proptest! {
        #[test]
        fn units_come_out_as_they_went_in(
            units in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..5_000), 1..4),
        ) {
            // A type below 24 is one unit, as an encoder gives it.
            let units: Vec<Bytes> = units
                .into_iter()
                .map(|mut unit| {
                    unit[0] = (unit[0] & 0xe0) | (unit[0] % 24);
                    Bytes::from(unit)
                })
                .collect();
            let picture = AccessUnit { key: true, units };
            let mut out = Vec::new();
            Packets::new(0, 7, u16::MAX).write(&picture, TAKEN, &mut out);
            let packets = apart(&out);
            prop_assert_eq!(together(&packets), picture.units.iter().map(|u| u.to_vec()).collect::<Vec<_>>());
            let sent = &packets[1..];
            for (n, (_, packet)) in sent.iter().enumerate() {
                let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                prop_assert_eq!(sequence, u16::MAX.wrapping_add(u16::try_from(n).unwrap()));
                prop_assert_eq!(packet[1] & 0x80 != 0, n + 1 == sent.len());
                prop_assert_eq!(packet.len() <= 12 + MAX_PAYLOAD, true);
            }
        }
    }

    #[test]
    fn a_sender_report_ties_the_clocks_together_every_five_seconds() {
        let picture = AccessUnit {
            key: true,
            units: vec![Bytes::from_static(&[0x65, 1, 2])],
        };
        let mut packets = Packets::new(2, 7, 0);
        let mut reports = 0;
        for second in 0..11 {
            let mut out = Vec::new();
            let taken = Taken {
                at: TAKEN.at.plus_ms(second * 1_000),
                rtp: TAKEN.rtp,
            };
            packets.write(&picture, taken, &mut out);
            for (_, report) in apart(&out).iter().filter(|(channel, _)| *channel == 3) {
                reports += 1;
                if second == 0 {
                    let seconds = u32::from_be_bytes(report[8..12].try_into().unwrap());
                    let fraction = u32::from_be_bytes(report[12..16].try_into().unwrap());
                    assert_eq!(u64::from(seconds) - NTP_OFFSET_S, 1_795_250_000);
                    assert_eq!(fraction, 1 << 31);
                    assert_eq!(report[16..20], 4_500_u32.to_be_bytes());
                }
            }
        }
        assert_eq!(reports, 3);
    }
}
