//! Bytes to packets and back, for both versions of MQTT: mqtt-protocol-core, fenced.
//!
//! The protocol crate is told nothing about sockets and this module tells it nothing about rights or storage. A
//! defect in it may cost one connection, never the process: every call that parses foreign bytes is caught.

pub(crate) mod connect_fixup;
pub(crate) mod plain_publish;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use mqtt_protocol_core::mqtt::{
    Connection, Version,
    common::{Cursor, HashSet},
    connection::{ConnectionOptions, Event, TimerKind},
    packet::{GenericPacketTrait, Packet, StorePacket, v3_1_1, v5_0},
    result_code::{
        ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
        PubrecReasonCode,
    },
    role,
};
use tokio::time::Instant;

use self::plain_publish::PlainPublish;

/// Why the other side must go, as far as the codec can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    TooLarge,
    Protocol,
}

/// The packet identifier of a packet that a client may send with one. The protocol crate lets 0 pass, which the
/// standard forbids and which cannot be answered.
fn packet_id(packet: &Packet) -> Option<u16> {
    match packet {
        Packet::V3_1_1Publish(p) => p.packet_id(),
        Packet::V5_0Publish(p) => p.packet_id(),
        Packet::V3_1_1Puback(p) => Some(p.packet_id()),
        Packet::V5_0Puback(p) => Some(p.packet_id()),
        Packet::V3_1_1Pubrec(p) => Some(p.packet_id()),
        Packet::V5_0Pubrec(p) => Some(p.packet_id()),
        Packet::V3_1_1Pubrel(p) => Some(p.packet_id()),
        Packet::V5_0Pubrel(p) => Some(p.packet_id()),
        Packet::V3_1_1Pubcomp(p) => Some(p.packet_id()),
        Packet::V5_0Pubcomp(p) => Some(p.packet_id()),
        Packet::V3_1_1Subscribe(p) => Some(p.packet_id()),
        Packet::V5_0Subscribe(p) => Some(p.packet_id()),
        Packet::V3_1_1Unsubscribe(p) => Some(p.packet_id()),
        Packet::V5_0Unsubscribe(p) => Some(p.packet_id()),
        _ => None,
    }
}

/// What [`Codec::next`] found.
#[derive(Debug)]
pub(crate) enum Next {
    /// A packet to act on.
    Packet(Box<Packet>),
    /// A packet that is dealt with: what it asked for is in `out`, or the connection is closing.
    Handled,
    /// The packet is not all there yet.
    Incomplete,
}

/// Where the first packet of a buffer ends.
enum Framed {
    Incomplete,
    Whole(usize),
    /// Its length is too large, or not written as MQTT writes lengths.
    Unbearable,
}

fn frame(buffer: &[u8], max_bytes: usize) -> Framed {
    let (mut length, mut shift) = (0usize, 0);
    for (at, byte) in buffer.iter().enumerate().skip(1) {
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            let whole = at + 1 + length;
            return match () {
                () if whole > max_bytes => Framed::Unbearable,
                () if whole > buffer.len() => Framed::Incomplete,
                () => Framed::Whole(whole),
            };
        }
        if shift > 21 {
            return Framed::Unbearable;
        }
    }
    Framed::Incomplete
}

/// Whether the lower half of a packet's first byte is what the standard says for its type. The protocol crate does
/// not look at it.
fn flags_allowed(head: u8) -> bool {
    match head >> 4 {
        3 => true,
        6 | 8 | 10 => head & 15 == 2,
        _ => head & 15 == 0,
    }
}

/// One connection's protocol state.
pub(crate) struct Codec {
    core: Connection<role::Server>,
    max_packet_bytes: usize,
    pub(crate) v5: bool,
    /// What waits to be written to the socket.
    pub(crate) out: BytesMut,
    /// When the client must have been heard again.
    pub(crate) silent_until: Option<Instant>,
    keep_alive: Option<Duration>,
    /// Packet identifiers of messages that the client is done with, since this was last emptied.
    pub(crate) released: Vec<u16>,
    /// QoS 1 and 2 messages sent and not yet done with.
    pub(crate) unacknowledged: usize,
    /// Nothing more is to be read: write what waits, then close.
    pub(crate) closing: bool,
    /// Set once, with the first fault.
    pub(crate) fault: Option<Fault>,
    /// QoS 2 messages whose record is not durable yet. The protocol crate answers a repeated one at once: that
    /// answer is held back, because it would acknowledge what a crash could still lose.
    undurable: HashSet<u16>,
}

impl Codec {
    pub(crate) fn new(max_packet_bytes: u32) -> Codec {
        let options = ConnectionOptions::new().maximum_packet_size_recv(max_packet_bytes);
        let mut core = Connection::with_options(Version::Undetermined, options);
        core.set_auto_ping_response(true);
        core.set_auto_map_topic_alias_send(true);
        Codec {
            core,
            max_packet_bytes: usize::try_from(max_packet_bytes).unwrap_or(usize::MAX),
            v5: false,
            out: BytesMut::new(),
            silent_until: None,
            keep_alive: None,
            released: Vec::new(),
            unacknowledged: 0,
            closing: false,
            fault: None,
            undurable: HashSet::default(),
        }
    }

    /// Notes that the QoS 2 message `packet_id` has no durable record yet; [`Codec::acknowledge`] ends that.
    pub(crate) fn hold(&mut self, packet_id: u16) {
        self.undurable.insert(packet_id);
    }

    /// Notes that it has one, although its client is not told any more.
    pub(crate) fn stored(&mut self, packet_id: u16) {
        self.undurable.remove(&packet_id);
    }

    /// The packet at the front of `buffer`, if it is a PUBLISH that needs no state. Whoever acts on it takes its bytes
    /// off and calls [`Codec::heard`].
    pub(crate) fn plain_publish<'a>(&self, buffer: &'a [u8]) -> Option<PlainPublish<'a>> {
        match frame(buffer, self.max_packet_bytes) {
            Framed::Whole(length) => plain_publish::read(&buffer[..length], self.v5),
            _ => None,
        }
    }

    /// The client was heard: its keep-alive starts anew.
    pub(crate) fn heard(&mut self) {
        if let Some(keep_alive) = self.keep_alive.filter(|_| self.silent_until.is_some()) {
            self.silent_until = Some(Instant::now() + keep_alive);
        }
    }

    /// Acknowledges a plain QoS 1 publish. Both versions write it alike.
    pub(crate) fn acknowledge_plain(&mut self, packet_id: u16) {
        self.out.extend_from_slice(&[0x40, 2]);
        self.out.extend_from_slice(&packet_id.to_be_bytes());
    }

    /// Takes one packet off the front of `buffer`.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Next {
        let length = match frame(buffer, self.max_packet_bytes) {
            Framed::Incomplete => return Next::Incomplete,
            Framed::Whole(length) => length,
            // The protocol crate finds the same and knows what to say.
            Framed::Unbearable => buffer.len(),
        };
        if !flags_allowed(buffer[0]) {
            self.disconnect(DisconnectReasonCode::MalformedPacket);
            self.fail(Fault::Protocol);
            return Next::Handled;
        }
        let core = &mut self.core;
        let bytes = &buffer[..length];
        let parsed = catch_unwind(AssertUnwindSafe(|| core.recv(&mut Cursor::new(bytes))));
        buffer.advance(length);
        let Ok(events) = parsed else {
            tracing::error!("The MQTT parser failed on a packet; the connection is closed.");
            self.fail(Fault::Protocol);
            return Next::Handled;
        };
        match self.apply(events) {
            Some(packet) if packet_id(&packet) == Some(0) => {
                self.disconnect(DisconnectReasonCode::ProtocolError);
                self.fail(Fault::Protocol);
                Next::Handled
            }
            Some(packet) => Next::Packet(Box::new(packet)),
            None => Next::Handled,
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.closing = true;
    }

    fn apply(&mut self, events: Vec<Event>) -> Option<Packet> {
        let mut received = None;
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } if self.is_early(&packet) => {}
                Event::RequestSendPacket { packet, .. } => {
                    for slice in packet.to_buffers() {
                        self.out.extend_from_slice(&slice);
                    }
                }
                Event::NotifyPacketIdReleased(id) => {
                    self.unacknowledged = self.unacknowledged.saturating_sub(1);
                    self.released.push(id);
                }
                Event::RequestTimerReset {
                    kind: TimerKind::PingreqRecv,
                    duration_ms,
                } => {
                    let keep_alive = Duration::from_millis(duration_ms);
                    self.keep_alive = Some(keep_alive);
                    self.silent_until = Some(Instant::now() + keep_alive);
                }
                Event::RequestTimerCancel(TimerKind::PingreqRecv) => self.silent_until = None,
                Event::RequestClose => self.closing = true,
                Event::NotifyError(MqttError::PacketTooLarge) => {
                    self.fault = self.fault.or(Some(Fault::TooLarge))
                }
                Event::NotifyError(
                    MqttError::PacketNotAllowedToSend | MqttError::PacketIdentifierInvalid,
                ) => {}
                Event::NotifyError(_) => self.fault = self.fault.or(Some(Fault::Protocol)),
                _ => {}
            }
        }
        received
    }

    fn is_early(&self, packet: &Packet) -> bool {
        match packet {
            Packet::V3_1_1Pubrec(p) => self.undurable.contains(&p.packet_id()),
            Packet::V5_0Pubrec(p) => self.undurable.contains(&p.packet_id()),
            _ => false,
        }
    }

    /// Sends `packet`. What does not fit the client's maximum packet size is dropped, as the standard says.
    pub(crate) fn send(&mut self, packet: impl Into<Packet>) {
        let events = self.core.send(packet.into());
        let too_large = |e: &Event| matches!(e, Event::NotifyError(MqttError::PacketTooLarge));
        let (_, rest): (Vec<_>, Vec<_>) = events.into_iter().partition(too_large);
        let none = self.apply(rest);
        debug_assert!(none.is_none(), "sending receives nothing");
    }

    /// Sends a PUBLISH with a packet identifier, which is freed again when the packet is too large for the client.
    pub(crate) fn send_tracked(&mut self, packet: impl Into<Packet>, packet_id: u16) {
        let events = self.core.send(packet.into());
        if events
            .iter()
            .any(|e| matches!(e, Event::NotifyError(MqttError::PacketTooLarge)))
        {
            let released = self.core.release_packet_id(packet_id);
            self.apply(released);
            return;
        }
        self.apply(events);
    }

    /// A packet identifier for a message to the client; `None` when all are in use.
    pub(crate) fn acquire_packet_id(&mut self) -> Option<u16> {
        let id = self.core.acquire_packet_id().ok()?;
        self.unacknowledged += 1;
        Some(id)
    }

    /// Returns a packet identifier that was not used after all.
    pub(crate) fn give_back_packet_id(&mut self, packet_id: u16) {
        let released = self.core.release_packet_id(packet_id);
        self.apply(released);
    }

    /// Whether the client has room for another QoS 1 or 2 message.
    pub(crate) fn has_window(&self, max_inflight: usize) -> bool {
        self.unacknowledged < max_inflight && self.core.get_receive_maximum_vacancy_for_send() != Some(0)
    }

    /// Acknowledges a QoS 1 or 2 message.
    pub(crate) fn acknowledge(&mut self, packet_id: u16, qos: u8, accepted: bool) {
        self.undurable.remove(&packet_id);
        match (self.v5, qos) {
            (true, 1) => {
                let b = v5_0::Puback::builder().packet_id(packet_id);
                let b = if accepted {
                    b
                } else {
                    b.reason_code(PubackReasonCode::NotAuthorized)
                };
                self.send(
                    b.build()
                        .expect("a PUBACK of an identifier that was received is valid"),
                );
            }
            (true, _) => {
                let b = v5_0::Pubrec::builder().packet_id(packet_id);
                let b = if accepted {
                    b
                } else {
                    b.reason_code(PubrecReasonCode::NotAuthorized)
                };
                self.send(
                    b.build()
                        .expect("a PUBREC of an identifier that was received is valid"),
                );
            }
            (false, 1) => {
                let ack = v3_1_1::Puback::builder().packet_id(packet_id).build();
                self.send(ack.expect("a PUBACK of an identifier that was received is valid"));
            }
            (false, _) => {
                let ack = v3_1_1::Pubrec::builder().packet_id(packet_id).build();
                self.send(ack.expect("a PUBREC of an identifier that was received is valid"));
            }
        }
    }

    /// Tells an MQTT 5 client why, and closes. MQTT 3.1.1 has no word for it: it is closed.
    pub(crate) fn disconnect(&mut self, reason: DisconnectReasonCode) {
        if self.v5 && !self.closing {
            let packet = v5_0::Disconnect::builder().reason_code(reason).build();
            self.send(packet.expect("a DISCONNECT with a reason and nothing else is valid"));
        }
        self.closing = true;
    }

    /// Refuses a CONNECT.
    pub(crate) fn refuse(&mut self, v3: ConnectReturnCode, v5: ConnectReasonCode) {
        if self.v5 {
            let packet = v5_0::Connack::builder()
                .session_present(false)
                .reason_code(v5)
                .build();
            self.send(packet.expect("a CONNACK with a reason and nothing else is valid"));
        } else {
            let packet = v3_1_1::Connack::builder()
                .session_present(false)
                .return_code(v3)
                .build();
            self.send(packet.expect("a CONNACK with a return code is valid"));
        }
        self.closing = true;
    }

    /// Goes on where an earlier connection of the session stopped. Before the CONNACK. Packets of the other version
    /// cannot be sent again as they are: the identifiers of those that will be are returned.
    pub(crate) fn restore(&mut self, stored: Vec<StorePacket>, handled: HashSet<u16>) -> Vec<u16> {
        let v5 = self.v5;
        let same = |packet: &StorePacket| {
            v5 == matches!(packet, StorePacket::V5_0Publish(_) | StorePacket::V5_0Pubrel(_))
        };
        let stored: Vec<_> = stored.into_iter().filter(same).collect();
        self.unacknowledged = stored.len();
        let ids = stored.iter().map(StorePacket::packet_id).collect();
        self.core.restore_packets(stored);
        self.core.restore_qos2_publish_handled(handled);
        ids
    }

    /// What a later connection of the session needs: packets without acknowledgement, QoS 2 identifiers in progress.
    /// One without a durable record does not count as received: the client will send it again.
    pub(crate) fn save(&self) -> (Vec<StorePacket>, HashSet<u16>) {
        let handled = self.core.get_qos2_publish_handled();
        let handled = handled
            .into_iter()
            .filter(|id| !self.undurable.contains(id))
            .collect();
        (self.core.get_stored_packets(), handled)
    }

    /// The keep-alive ran out.
    pub(crate) fn fell_silent(&mut self) {
        self.silent_until = None;
        let events = self.core.notify_timer_fired(TimerKind::PingreqRecv);
        self.apply(events);
        self.closing = true;
    }
}
