//! Eclipse Sparkplug B 3.0: protobuf below `spBv1.0/<group>/<type>/<edge node>[/<device>]`.
//!
//! Its messages rest on each other. A birth certificate gives each metric a number, and later messages call it by
//! that number alone; a sequence number says whether one was missed. What cannot be attributed with certainty is
//! refused and counted, and the edge node is asked for new birth certificates: a value is never guessed at.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use prost::Message as _;

use domain::UtcMillis;
use serde_json::Value as Json;

use super::{Report, map::Mapper};
use crate::DecodeError;

/// The most edge nodes that are remembered.
const MAX_NODES: usize = 4_096;

/// The most metrics of one edge node and its devices.
const MAX_METRICS: usize = 20_000;

/// An edge node is asked for birth certificates at most this often, in milliseconds of log time.
const ASK_EVERY_MS: i64 = 30_000;

/// What an edge node is told, so that it says anew what its numbers stand for.
const REBIRTH: &str = "Node Control/Rebirth";

/// `bdSeq` tells which birth a death belongs to; this and what stands below the others is no measurement.
const BIRTH_DEATH: &str = "bdSeq";
const CONTROLS: [&str; 4] = ["Node Control/", "Device Control/", "Properties/", "Node Info/"];

/// The data types that are no number (tahu's `sparkplug_b.proto`): signed ones are sent as their two's complement.
const INT8: u32 = 1;
const INT16: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
const BOOLEAN: u32 = 11;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<MetricEntry>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetricEntry {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    is_null: Option<bool>,
    #[prost(oneof = "MetricValue", tags = "10, 11, 12, 13, 14, 15")]
    value: Option<MetricValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum MetricValue {
    #[prost(uint32, tag = "10")]
    Int(u32),
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(float, tag = "12")]
    Float(f32),
    #[prost(double, tag = "13")]
    Double(f64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
}

/// What kind of message a topic carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NodeBirth,
    NodeData,
    NodeDeath,
    DeviceBirth,
    DeviceData,
    DeviceDeath,
}

/// A topic, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Topic<'t> {
    group: &'t str,
    pub(crate) kind: Kind,
    edge: &'t str,
    device: Option<&'t str>,
}

impl<'t> Topic<'t> {
    /// `None` for a command to an edge node, and for everything that is no Sparkplug topic.
    pub(crate) fn parse(topic: &'t str) -> Option<Topic<'t>> {
        let mut levels = topic.strip_prefix("spBv1.0/")?.split('/');
        let (group, kind, edge) = (levels.next()?, levels.next()?, levels.next()?);
        let device = levels.next();
        let kind = match (kind, device) {
            ("NBIRTH", None) => Kind::NodeBirth,
            ("NDATA", None) => Kind::NodeData,
            ("NDEATH", None) => Kind::NodeDeath,
            ("DBIRTH", Some(_)) => Kind::DeviceBirth,
            ("DDATA", Some(_)) => Kind::DeviceData,
            ("DDEATH", Some(_)) => Kind::DeviceDeath,
            _ => return None,
        };
        levels.next().is_none().then_some(Topic {
            group,
            kind,
            edge,
            device,
        })
    }

    pub(crate) fn is_birth(&self) -> bool {
        matches!(self.kind, Kind::NodeBirth | Kind::DeviceBirth)
    }

    fn node(&self) -> String {
        format!("{}/{}", self.group, self.edge)
    }

    /// Where the edge node hears that it should say everything anew, and the words.
    pub(crate) fn rebirth(&self, at: UtcMillis) -> (String, Vec<u8>) {
        let topic = format!("spBv1.0/{}/NCMD/{}", self.group, self.edge);
        let timestamp = u64::try_from(at.0).ok();
        let payload = Payload {
            timestamp,
            metrics: vec![MetricEntry {
                name: Some(REBIRTH.to_owned()),
                timestamp,
                datatype: Some(BOOLEAN),
                value: Some(MetricValue::Boolean(true)),
                ..MetricEntry::default()
            }],
            seq: None,
        };
        (topic, payload.encode_to_vec())
    }
}

/// What a number stands for.
#[derive(Debug, Clone, PartialEq)]
struct Named {
    name: String,
    datatype: Option<u32>,
    /// The device that gave it; `None` for the edge node itself.
    device: Option<String>,
}

/// What is known of one edge node.
#[derive(Debug, Default)]
struct Node {
    /// The sequence number that comes next; `None` where the log is taken up in the middle.
    next: Option<u8>,
    /// Whether its numbers can be relied on: a birth was seen, and nothing missed since.
    sure: bool,
    birth_death: Option<u64>,
    names: HashMap<u64, Named, RandomState>,
    devices: Vec<String>,
    asked: Option<UtcMillis>,
}

/// Every edge node, as far as the log was read.
#[derive(Debug, Default)]
pub(crate) struct Nodes(HashMap<String, Node, RandomState>);

/// What came of a message.
#[derive(Debug)]
pub(crate) struct Outcome<'p> {
    pub(crate) report: Result<Report<'p>, DecodeError>,
    /// Whether the edge node is to be asked for birth certificates.
    pub(crate) ask: bool,
}

/// Reads a payload.
pub(crate) fn parse(payload: &[u8]) -> Result<Payload, DecodeError> {
    Payload::decode(payload).map_err(|_reason| DecodeError::Protobuf)
}

impl Nodes {
    /// Takes up a birth certificate that was kept from before the place at which the log is read from: what was missed
    /// between it and there is not known, so the edge node will be asked for another one.
    pub(crate) fn restore(&mut self, topic: &Topic<'_>, payload: &Payload) {
        let node = self.0.entry(topic.node()).or_default();
        node.sure |= topic.kind == Kind::NodeBirth;
        node.sure &= node.be_born(topic, payload).is_ok();
        node.next = None;
    }

    /// Takes a message of an edge node. `mapper` knows what its metrics are.
    pub(crate) fn take<'p>(
        &mut self,
        topic: &Topic<'_>,
        payload: &Payload,
        received: UtcMillis,
        mut mapper: Mapper<'_, 'p>,
    ) -> Outcome<'p> {
        if self.0.len() >= MAX_NODES && !self.0.contains_key(&topic.node()) {
            return Outcome {
                report: Err(DecodeError::TooManySeries),
                ask: false,
            };
        }
        let node = self.0.entry(topic.node()).or_default();
        if topic.kind == Kind::NodeDeath {
            node.die(payload, &mut mapper);
            return Outcome {
                report: mapper.finish(),
                ask: false,
            };
        }
        let known = node.note_sequence(topic.kind, payload.seq);
        let born = match topic.kind {
            Kind::NodeBirth | Kind::DeviceBirth => node.be_born(topic, payload),
            _ => Ok(()),
        };
        let mut unknown = 0_usize;
        if topic.kind == Kind::DeviceDeath {
            mapper.present(topic.device.map(|d| d.to_owned().into()), false);
        } else {
            if topic.is_birth() {
                mapper.present(topic.device.map(|d| d.to_owned().into()), true);
            }
            for entry in &payload.metrics {
                unknown += usize::from(!node.measure(topic, payload, entry, &mut mapper));
            }
        }
        let ask = (!known || unknown > 0) && node.may_ask(received);
        let report = born.and_then(|()| {
            if unknown > 0 {
                mapper.refuse_many(unknown, DecodeError::NoBirth);
            }
            mapper.finish()
        });
        Outcome { report, ask }
    }
}

impl Node {
    /// Whether nothing was missed before this message.
    fn note_sequence(&mut self, kind: Kind, seq: Option<u64>) -> bool {
        let Some(seq) = seq.and_then(|seq| u8::try_from(seq).ok()) else {
            // Only a death has none.
            self.sure = false;
            return false;
        };
        let expected = self.next.replace(seq.wrapping_add(1));
        if kind == Kind::NodeBirth {
            self.sure = true;
            return true;
        }
        match expected {
            Some(expected) if expected == seq => {}
            // Taken up in the middle: what was kept of its births holds until something is missed. It is asked all
            // the same, because something may have been missed before.
            None => return false,
            Some(_) => self.sure = false,
        }
        self.sure
    }

    fn be_born(&mut self, topic: &Topic<'_>, payload: &Payload) -> Result<(), DecodeError> {
        let whose = topic.device.map(str::to_owned);
        if topic.kind == Kind::NodeBirth {
            self.names.clear();
            self.devices.clear();
            let is_it = |m: &&MetricEntry| m.name.as_deref() == Some(BIRTH_DEATH);
            self.birth_death = payload.metrics.iter().find(is_it).and_then(MetricEntry::whole);
        } else if let Some(device) = &whose {
            self.names
                .retain(|_, named| named.device.as_ref() != Some(device));
            if !self.devices.contains(device) {
                self.devices.push(device.clone());
            }
        }
        for entry in &payload.metrics {
            let (Some(alias), Some(name)) = (entry.alias, &entry.name) else {
                continue;
            };
            if self.names.len() >= MAX_METRICS {
                return Err(DecodeError::TooManyValues { max: MAX_METRICS });
            }
            let named = Named {
                name: name.clone(),
                datatype: entry.datatype,
                device: whose.clone(),
            };
            self.names.insert(alias, named);
        }
        Ok(())
    }

    /// An edge node is gone, and all its devices with it; unless the death belongs to an earlier birth.
    fn die(&mut self, payload: &Payload, mapper: &mut Mapper<'_, '_>) {
        let is_it = |m: &&MetricEntry| m.name.as_deref() == Some(BIRTH_DEATH);
        let of = payload.metrics.iter().find(is_it).and_then(MetricEntry::whole);
        if self.birth_death.is_some() && of.is_some() && of != self.birth_death {
            return;
        }
        self.sure = false;
        self.next = None;
        mapper.present(None, false);
        for device in std::mem::take(&mut self.devices) {
            mapper.present(Some(device.into()), false);
        }
    }

    /// Takes one metric; false when nobody knows what it is.
    fn measure(
        &self,
        topic: &Topic<'_>,
        payload: &Payload,
        entry: &MetricEntry,
        mapper: &mut Mapper<'_, '_>,
    ) -> bool {
        let (name, datatype) = match (&entry.name, entry.alias) {
            (Some(name), _) if !name.is_empty() => (name.as_str(), entry.datatype),
            (_, Some(alias)) => match self.names.get(&alias) {
                Some(named) if self.sure && named.device.as_deref() == topic.device => {
                    (named.name.as_str(), named.datatype)
                }
                _ => return false,
            },
            _ => return false,
        };
        if name == BIRTH_DEATH || CONTROLS.iter().any(|control| name.starts_with(control)) {
            return true;
        }
        let Some(scalar) = entry.scalar(datatype) else {
            return true;
        };
        let at = entry.timestamp.or(payload.timestamp);
        let at = at.map(|ms| UtcMillis(i64::try_from(ms).unwrap_or(i64::MAX)));
        let path = name.replace(['/', ' '], ".");
        mapper.scalar((topic.device, at), &path, &scalar);
        true
    }

    fn may_ask(&mut self, now: UtcMillis) -> bool {
        if self.asked.is_some_and(|asked| now.ms_since(asked) < ASK_EVERY_MS) {
            return false;
        }
        self.asked = Some(now);
        true
    }
}

impl MetricEntry {
    fn whole(&self) -> Option<u64> {
        match self.value {
            Some(MetricValue::Int(v)) => Some(u64::from(v)),
            Some(MetricValue::Long(v)) => Some(v),
            _ => None,
        }
    }

    /// The value as a profile's fields take it; `None` when nothing was measured, or it is no value of ours.
    fn scalar(&self, datatype: Option<u32>) -> Option<Json> {
        if self.is_null == Some(true) {
            return None;
        }
        let datatype = self.datatype.or(datatype).unwrap_or_default();
        let real = |v: f64| serde_json::Number::from_f64(v).map(Json::Number);
        match self.value.as_ref()? {
            MetricValue::Int(v) => match datatype {
                INT8 => Some((*v as u8).cast_signed().into()),
                INT16 => Some((*v as u16).cast_signed().into()),
                INT32 => Some(v.cast_signed().into()),
                _ => Some((*v).into()),
            },
            MetricValue::Long(v) if datatype == INT64 => Some(v.cast_signed().into()),
            MetricValue::Long(v) => Some((*v).into()),
            MetricValue::Float(v) => real(f64::from(*v)),
            MetricValue::Double(v) => real(*v),
            MetricValue::Boolean(v) => Some(Json::Bool(*v)),
            MetricValue::Text(text) => Some(Json::String(text.clone())),
        }
    }
}
