//! A device that knows exactly which of its messages were acknowledged, whatever happens to the broker.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Messages in flight at most.
const WINDOW: usize = 50;

/// What publishers and the test share.
pub(crate) struct Shared {
    /// Where the broker listens now.
    pub(crate) port: AtomicU16,
    /// Acknowledgements of all publishers.
    pub(crate) acknowledged: AtomicU64,
    /// Set when publishers are to stop.
    pub(crate) stop: AtomicBool,
}

impl Shared {
    /// Before anything was started.
    pub(crate) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            port: AtomicU16::new(0),
            acknowledged: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        })
    }
}

/// Publishes 0, 1, 2, … at QoS 1 until told to stop, over as many connections as it takes; answers with
/// whether each number was acknowledged.
pub(crate) fn publish(number: usize, shared: &Shared, first_ts: i64) -> Vec<bool> {
    let mut acknowledged: Vec<bool> = Vec::new();
    let mut unacknowledged: VecDeque<usize> = VecDeque::new();
    while !shared.stop.load(Ordering::Acquire) {
        if session(number, shared, first_ts, &mut acknowledged, &mut unacknowledged).is_err() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    acknowledged
}

fn session(
    number: usize,
    shared: &Shared,
    first_ts: i64,
    acknowledged: &mut Vec<bool>,
    unacknowledged: &mut VecDeque<usize>,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", shared.port.load(Ordering::Acquire)))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(&connect(&format!("crash-{number}")))?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack)?;
    if connack != [0x20, 2, 0, 0] {
        return Err(std::io::Error::other(format!("refused: {connack:?}")));
    }
    let topic = format!("sk/v1/crash/pub-{number}/up/serial");
    // What the last connection left open goes first, as the standard has it.
    for &n in unacknowledged.iter() {
        stream.write_all(&publish_packet(&topic, n, first_ts, true))?;
    }
    while !shared.stop.load(Ordering::Acquire) {
        while unacknowledged.len() < WINDOW {
            let n = acknowledged.len();
            acknowledged.push(false);
            unacknowledged.push_back(n);
            stream.write_all(&publish_packet(&topic, n, first_ts, false))?;
        }
        let mut puback = [0; 4];
        stream.read_exact(&mut puback)?;
        let id = u16::from_be_bytes([puback[2], puback[3]]);
        let known = unacknowledged.iter().position(|&n| packet_id(n) == id);
        let at = known.ok_or_else(|| std::io::Error::other("an acknowledgement of nothing"))?;
        let n = unacknowledged.remove(at).expect("its place was just found");
        acknowledged[n] = true;
        shared.acknowledged.fetch_add(1, Ordering::AcqRel);
    }
    Ok(())
}

fn packet_id(n: usize) -> u16 {
    u16::try_from(n % 60_000).expect("below 60,000") + 1
}

pub(crate) fn connect(client: &str) -> Vec<u8> {
    let mut packet = vec![0x10, 12 + u8::try_from(client.len()).expect("a short name")];
    packet.extend_from_slice(b"\x00\x04MQTT\x04\x02\x00\x3c\x00");
    packet.push(u8::try_from(client.len()).expect("a short name"));
    packet.extend_from_slice(client.as_bytes());
    packet
}

fn publish_packet(topic: &str, n: usize, first_ts: i64, again: bool) -> Vec<u8> {
    let ts = first_ts + i64::try_from(n).expect("a small number");
    let payload = format!("{{\"ts\":{ts},\"v\":{n}}}");
    let length = 2 + topic.len() + 2 + payload.len();
    let mut packet = vec![
        if again { 0x3a } else { 0x32 },
        u8::try_from(length).expect("under 128 bytes"),
    ];
    packet.extend_from_slice(&u16::try_from(topic.len()).expect("short").to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(&packet_id(n).to_be_bytes());
    packet.extend_from_slice(payload.as_bytes());
    packet
}
