//! Sparkplug B as an edge node speaks it: births that give numbers to names, data that use them, deaths that name the
//! birth they end, and a sequence number in every message.

use domain::UtcMillis;

use super::{SimMake, words::Words};

const DOUBLE: u64 = 10;
const BOOLEAN: u64 = 11;
const UINT64: u64 = 8;

/// Where an edge node stands: which birth it is in, and what number comes next.
#[derive(Debug, Default)]
pub(crate) struct Session {
    birth: u64,
    next: u64,
}

/// What a metric says.
enum Value {
    Double(f64),
    Truth(bool),
    Whole(u64),
}

impl Session {
    /// A new connection has a new death: the broker can tell it from the one before.
    pub(crate) fn begin(&mut self) {
        self.birth = (self.birth + 1) % 256;
        self.next = 0;
    }

    /// The node's death, as the broker says it when the connection breaks. It has no sequence number.
    pub(crate) fn death(&self, of: &SimMake) -> Words {
        let bound = metric(Some("bdSeq"), None, UINT64, &Value::Whole(self.birth));
        said(of, "NDEATH", "", message(None, &[bound], None))
    }

    /// The births of the node and of what is behind it.
    pub(crate) fn birth(&mut self, of: &SimMake, now: UtcMillis) -> Vec<Words> {
        self.next = 0;
        let mut all = Vec::new();
        for (n, (name, value)) in of.measure(now).into_iter().enumerate() {
            let own = name.is_empty();
            let called = of.points.get(n).map(|point| point.metric.as_str());
            let mut metrics = vec![metric(called, Some(n as u64 + 1), DOUBLE, &Value::Double(value))];
            if own {
                metrics.push(metric(Some("bdSeq"), None, UINT64, &Value::Whole(self.birth)));
                metrics.push(metric(
                    Some("Node Control/Rebirth"),
                    None,
                    BOOLEAN,
                    &Value::Truth(false),
                ));
            }
            let kind = if own { "NBIRTH" } else { "DBIRTH" };
            all.push(said(
                of,
                kind,
                name,
                message(Some(now), &metrics, Some(self.sequence())),
            ));
        }
        all
    }

    /// The report of a moment: numbers only.
    pub(crate) fn data(&mut self, of: &SimMake, now: UtcMillis) -> Vec<Words> {
        let mut all = Vec::new();
        for (n, (name, value)) in of.measure(now).into_iter().enumerate() {
            let metrics = [metric(None, Some(n as u64 + 1), DOUBLE, &Value::Double(value))];
            let kind = if name.is_empty() { "NDATA" } else { "DDATA" };
            all.push(said(
                of,
                kind,
                name,
                message(Some(now), &metrics, Some(self.sequence())),
            ));
        }
        all
    }

    fn sequence(&mut self) -> u64 {
        let now = self.next;
        self.next = (now + 1) % 256;
        now
    }
}

/// `spBv1.0/<group>/<kind>/<node>`, and what is behind it.
fn said(of: &SimMake, kind: &str, behind: &str, payload: Vec<u8>) -> Words {
    let root = of.topics();
    let (group, node) = root.rsplit_once('/').unwrap_or((&root, ""));
    let behind = if behind.is_empty() {
        String::new()
    } else {
        format!("/{behind}")
    };
    Words {
        topic: format!("{group}/{kind}/{node}{behind}"),
        payload,
        retain: false,
    }
}

/// The topic on which the host asks for births.
pub(crate) fn commands(of: &SimMake) -> String {
    said(of, "NCMD", "#", Vec::new()).topic
}

/// A payload of the Sparkplug B schema, in the wire form of Protocol Buffers: few fields, so it is written by hand.
fn message(at: Option<UtcMillis>, metrics: &[Vec<u8>], sequence: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(at) = at {
        number(&mut out, 1, at.0.cast_unsigned());
    }
    for metric in metrics {
        bytes(&mut out, 2, metric);
    }
    if let Some(sequence) = sequence {
        number(&mut out, 3, sequence);
    }
    out
}

/// A metric: its name where one is told, its number, its kind, its value.
fn metric(name: Option<&str>, alias: Option<u64>, kind: u64, value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(name) = name {
        bytes(&mut out, 1, name.as_bytes());
    }
    if let Some(alias) = alias {
        number(&mut out, 2, alias);
    }
    number(&mut out, 4, kind);
    match value {
        Value::Whole(value) => number(&mut out, 11, *value),
        Value::Double(value) => {
            varint(&mut out, 13 << 3 | 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Truth(value) => number(&mut out, 14, u64::from(*value)),
    }
    out
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::district;

    #[test]
    fn births_deaths_and_data_are_in_sequence_and_in_the_wire_form() {
        let node = &district(7, 5).makes[2];
        let now = UtcMillis(1_795_250_000_000);
        let mut session = Session::default();
        session.begin();
        let topics = |words: &[Words]| words.iter().map(|w| w.topic.clone()).collect::<Vec<_>>();
        let root = node.topics();
        let group = root.rsplit_once('/').unwrap().0;
        let births = session.birth(node, now);
        assert_eq!(
            topics(&births),
            [
                format!("{group}/NBIRTH/plc"),
                format!("{group}/DBIRTH/plc/buffet")
            ]
        );
        let data = session.data(node, now);
        assert_eq!(
            topics(&data),
            [format!("{group}/NDATA/plc"), format!("{group}/DDATA/plc/buffet")]
        );
        // The sequence number is the last field: tag 3, then the number.
        let ends: Vec<_> = births
            .iter()
            .chain(&data)
            .map(|w| w.payload[w.payload.len() - 2..].to_vec())
            .collect();
        assert_eq!(ends, [[0x18, 0], [0x18, 1], [0x18, 2], [0x18, 3]]);
        // bdSeq = 1 as UInt64: field 2 of 11 bytes; name, datatype 8, long value 1.
        assert_eq!(
            session.death(node).payload,
            b"\x12\x0b\x0a\x05bdSeq\x20\x08\x58\x01"
        );
        assert_eq!(commands(node), format!("{group}/NCMD/plc/#"));
        for _ in 0..126 {
            session.data(node, now);
        }
        assert_eq!(session.next, 0, "after 255 comes 0");
        let mut wire = Vec::new();
        varint(&mut wire, 300);
        assert_eq!(wire, [0xac, 0x02]);
    }
}
