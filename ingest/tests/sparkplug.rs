//! Sparkplug B through the decoder: names and numbers, what was missed, restarts; and whose a topic is.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use domain::{
    Batch, Calibration, DeviceId, FacilityId, LogPosition, Profile, Profiles, SeriesId, SeriesKey, Unit,
    UtcMillis, VendorRoot, batch::Birth, status::RejectReason,
};
use journal::{Envelope, Kind, Position, Record};
use prost::Message as _;
use sunshine_ingest::{Decoder, IngestLimits, SeriesDirectory, TooManySeries};

const NOW: i64 = 1_795_000_000_000;

/// `sparkplug_b.proto` of the Eclipse Tahu project, as far as the test writes it.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Entry>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    alias: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    int_value: Option<u32>,
    #[prost(uint64, optional, tag = "11")]
    long_value: Option<u64>,
    #[prost(double, optional, tag = "13")]
    double_value: Option<f64>,
    #[prost(bool, optional, tag = "14")]
    boolean_value: Option<bool>,
}

fn entry(name: &str, alias: u64, value: f64) -> Entry {
    Entry {
        name: (!name.is_empty()).then(|| name.to_owned()),
        alias: (alias > 0).then_some(alias),
        datatype: Some(10),
        double_value: Some(value),
        ..Entry::default()
    }
}

fn birth_death(number: u64) -> Entry {
    Entry {
        name: Some("bdSeq".to_owned()),
        datatype: Some(8),
        long_value: Some(number),
        ..Entry::default()
    }
}

fn payload(seq: impl Into<Option<u64>>, metrics: &[Entry]) -> Vec<u8> {
    let payload = Payload {
        timestamp: Some(NOW as u64),
        metrics: metrics.to_vec(),
        seq: seq.into(),
    };
    payload.encode_to_vec()
}

/// One edge node, `g/e`, of the device `f/edge`; a Shelly and a calibration.
struct Directory {
    profiles: Profiles,
    series: Mutex<HashMap<SeriesKey, SeriesId>>,
}

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        let mut series = self.series.lock().unwrap();
        let next = SeriesId(u32::try_from(series.len()).unwrap());
        Ok(*series.entry(key.clone()).or_insert(next))
    }

    fn unit(&self, _: &SeriesKey) -> Option<Unit> {
        None
    }

    fn profile(&self, _: &FacilityId, device: &DeviceId) -> Option<Arc<Profile>> {
        let name = match device.as_str() {
            "edge" => "sparkplug-b",
            "shelly" => "shelly-gen1",
            "hub" => "zigbee2mqtt",
            _ => return None,
        };
        self.profiles.get(name).cloned()
    }

    fn calibration(&self, key: &SeriesKey) -> Option<Calibration> {
        (key.device.as_str() == "hub.probe").then(|| Calibration {
            key: key.clone(),
            scale: 2.0,
            offset: 0.5,
            due: None,
            since: UtcMillis(0),
            by: "test".into(),
        })
    }

    fn owner(&self, topic: &str) -> Option<(FacilityId, DeviceId)> {
        let device = match VendorRoot::of_topic(topic)?.to_string().as_str() {
            "spBv1.0/g/e" => "edge",
            "shellies/s1" => "shelly",
            _ => return None,
        };
        Some((FacilityId::new("f").unwrap(), DeviceId::new(device).unwrap()))
    }

    fn version(&self) -> u64 {
        0
    }
}

struct Line {
    directory: Arc<Directory>,
    decoder: Decoder<Arc<Directory>>,
    place: u64,
}

impl Line {
    fn new() -> Line {
        let directory = Arc::new(Directory {
            profiles: Profiles::built_in(),
            series: Mutex::default(),
        });
        Line {
            decoder: Decoder::new(Arc::clone(&directory), IngestLimits::default()),
            directory,
            place: 1,
        }
    }

    fn send(&mut self, topic: &str, body: &[u8]) -> Batch {
        let place = self.place;
        self.place += 1;
        let record = Record {
            position: Position(place),
            next: Position(place + 1),
            time_ms: NOW + 1_000 * place as i64,
            envelope: Envelope {
                kind: Kind::MESSAGE,
                flags: 0,
                source: "f/edge",
                subject: topic,
                attributes: b"",
                body,
            },
        };
        self.decoder.batch(
            (LogPosition(place), LogPosition(place + 1)),
            std::iter::once(record),
        )
    }

    fn told(&self, batch: &Batch) -> String {
        let series = self.directory.series.lock().unwrap();
        let key = |id: SeriesId| series.iter().find(|(_, i)| **i == id).unwrap().0.to_string();
        let readings = batch
            .readings
            .iter()
            .map(|r| format!("{}={}", key(r.series), r.value));
        let presence = batch
            .presence
            .iter()
            .map(|p| format!("{}:{}", p.device, if p.online { "on" } else { "off" }));
        let rejects = batch
            .rejects
            .iter()
            .map(|r| format!("reject {}", r.reason.code()));
        let wishes = batch.wishes.iter().map(|w| format!("ask {}", w.topic));
        let all: Vec<String> = readings.chain(presence).chain(rejects).chain(wishes).collect();
        all.join(", ")
    }

    fn check(&mut self, topic: &str, body: &[u8], want: &str) -> Batch {
        let batch = self.send(topic, body);
        assert_eq!(self.told(&batch), want, "{topic}");
        batch
    }
}

#[test]
fn numbers_stand_for_what_their_birth_said() {
    let mut line = Line::new();
    let born = payload(
        0,
        &[
            birth_death(1),
            entry("Temperature", 1, 4.1),
            entry("Node Control/Rebirth", 9, 0.0),
        ],
    );
    let batch = line.check("spBv1.0/g/NBIRTH/e", &born, "f/edge/Temperature=4.1, edge:on");
    assert_eq!(batch.births.len(), 1);
    line.check(
        "spBv1.0/g/DBIRTH/e/冷库",
        &payload(1, &[entry("sensors/probe 1", 2, -18.0)]),
        "f/edge.冷库/sensors.probe.1=-18, 冷库:on"
            .replace("冷库:on", "edge.冷库:on")
            .as_str(),
    );
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(2, &[entry("", 1, 4.2)]),
        "f/edge/Temperature=4.2",
    );
    line.check(
        "spBv1.0/g/DDATA/e/冷库",
        &payload(3, &[entry("", 2, -17.0)]),
        "f/edge.冷库/sensors.probe.1=-17",
    );
    // Another device's number is not this one's, and what nobody knows is asked for.
    line.check(
        "spBv1.0/g/DDATA/e/other",
        &payload(4, &[entry("", 2, 1.0)]),
        "reject missing, ask spBv1.0/g/NCMD/e",
    );
    line.check("spBv1.0/g/DDEATH/e/冷库", &payload(5, &[]), "edge.冷库:off");
    // A death of an earlier life means nothing; that of this one takes the devices with it.
    line.check("spBv1.0/g/NDEATH/e", &payload(None, &[birth_death(0)]), "");
    line.check(
        "spBv1.0/g/NDEATH/e",
        &payload(None, &[birth_death(1)]),
        "edge:off, edge.冷库:off",
    );
    // A command is another's word, and another edge node is nobody's.
    line.check("spBv1.0/g/NCMD/e", b"", "");
    line.check("spBv1.0/g/NDATA/f", &payload(0, &[]), "");
    assert_eq!(line.decoder.foreign(), 1);
    line.check("spBv1.0/g/NDATA/e", b"\xff\xff", "reject syntax");
}

#[test]
fn what_was_missed_is_asked_for_and_never_guessed_at() {
    let mut line = Line::new();
    let first = line.check(
        "spBv1.0/g/NDATA/e",
        &payload(7, &[entry("", 1, 1.0)]),
        "reject missing, ask spBv1.0/g/NCMD/e",
    );
    let rebirth = Payload::decode(first.wishes[0].payload.as_slice()).unwrap();
    assert_eq!(rebirth.metrics[0].name.as_deref(), Some("Node Control/Rebirth"));
    assert_eq!(rebirth.metrics[0].boolean_value, Some(true));
    // Asked once in half a minute, whatever comes.
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(8, &[entry("", 1, 1.0)]),
        "reject missing",
    );
    line.check(
        "spBv1.0/g/NBIRTH/e",
        &payload(0, &[birth_death(2), entry("t", 1, 1.0)]),
        "f/edge/t=1, edge:on",
    );
    for seq in 1..=255 {
        line.check(
            "spBv1.0/g/NDATA/e",
            &payload(seq, &[entry("", 1, 2.0)]),
            "f/edge/t=2",
        );
    }
    // After 255 comes 0; after 0 comes 1, not 2: a birth may have been missed, so numbers mean nothing; names do.
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(0, &[entry("", 1, 3.0)]),
        "f/edge/t=3",
    );
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(2, &[entry("", 1, 4.0), entry("u", 0, 5.0)]),
        "f/edge/u=5, reject missing, ask spBv1.0/g/NCMD/e",
    );
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(3, &[entry("", 1, 4.0)]),
        "reject missing",
    );
    line.check(
        "spBv1.0/g/NBIRTH/e",
        &payload(0, &[birth_death(3), entry("u", 1, 6.0)]),
        "f/edge/u=6, edge:on",
    );
    line.check(
        "spBv1.0/g/NDATA/e",
        &payload(1, &[entry("", 1, 7.0)]),
        "f/edge/u=7",
    );
}

#[test]
fn a_log_taken_up_in_the_middle_is_read_as_before() {
    let mut line = Line::new();
    let mut births: Vec<Birth> = Vec::new();
    let messages: Vec<(&str, Vec<u8>)> = vec![
        (
            "spBv1.0/g/NBIRTH/e",
            payload(0, &[birth_death(1), entry("t", 1, 1.0)]),
        ),
        ("spBv1.0/g/DBIRTH/e/d", payload(1, &[entry("h", 2, 2.0)])),
        ("spBv1.0/g/NDATA/e", payload(2, &[entry("", 1, 3.0)])),
        (
            "spBv1.0/g/DBIRTH/e/d",
            payload(3, &[entry("h", 2, 2.5), entry("x", 3, 2.0)]),
        ),
        (
            "spBv1.0/g/DDATA/e/d",
            payload(4, &[entry("", 2, 4.0), entry("", 3, 5.0)]),
        ),
        ("spBv1.0/g/NDATA/e", payload(5, &[entry("", 1, 6.0)])),
    ];
    let mut whole = Vec::new();
    for (topic, body) in &messages {
        let batch = line.send(topic, body);
        births.extend(batch.births.clone());
        whole.push(line.told(&batch));
    }
    for from in 1..messages.len() {
        let mut again = Line::new();
        let before = births.iter().filter(|birth| birth.position.0 <= from as u64);
        again.decoder.restore(before);
        again.place = from as u64 + 1;
        for (n, (topic, body)) in messages.iter().enumerate().skip(from) {
            let batch = again.send(topic, body);
            let told = again.told(&batch).replace(", ask spBv1.0/g/NCMD/e", "");
            assert_eq!(told, whole[n], "from {from}, message {n}");
        }
    }
}

#[test]
fn signed_numbers_are_read_from_their_complement() {
    let mut line = Line::new();
    let int = |name: &str, datatype, int_value, long_value| Entry {
        name: Some(name.to_owned()),
        datatype: Some(datatype),
        int_value,
        long_value,
        ..Entry::default()
    };
    let metrics = [
        int("a", 3, Some(u32::MAX), None),
        int("b", 2, Some(0xfffe), None),
        int("c", 4, None, Some(u64::MAX)),
        int("d", 7, Some(u32::MAX), None),
        int("e", 1, Some(0xff), None),
    ];
    let want = "f/edge/a=-1, f/edge/b=-2, f/edge/c=-1, f/edge/d=4294967295, f/edge/e=-1, edge:on";
    line.check("spBv1.0/g/NBIRTH/e", &payload(0, &metrics), want);
}

#[test]
fn profiles_calibrations_and_roots_meet_in_the_decoder() {
    let mut line = Line::new();
    line.check(
        "shellies/s1/sensor/temperature",
        b"4.5",
        "f/shelly/temperature=4.5",
    );
    line.check("shellies/s1/online", b"false", "shelly:off");
    line.check("shellies/s2/sensor/temperature", b"4.5", "");
    let batch = line.check(
        "sk/v1/f/hub/probe",
        br#"{"temperature":4.0}"#,
        "f/hub.probe/temperature=8.5",
    );
    let heard: Vec<&str> = batch.sightings.iter().map(|s| s.device.as_str()).collect();
    assert_eq!(heard, ["hub", "hub.probe"]);
    // The range is the profile's.
    let batch = line.check("sk/v1/f/hub/probe", br#"{"temperature":400}"#, "reject range");
    assert_eq!(batch.rejects[0].device.as_str(), "hub");
    line.check("sk/v1/f/hub/a b", br#"{"temperature":4}"#, "reject topic");
    line.check("sk/v1/f/hub/cmd/x", b"1", "");
    // Every device may be spoken for over HTTP.
    line.check(
        "sk/v1/f/plain/http/push",
        br#"{"ts":1795000000000,"values":{"temperature":4.5}}"#,
        "f/plain/temperature=4.5",
    );
    line.check(
        "sk/v1/f/plain/http/write/s",
        b"temperature value=5 1795000000",
        "f/plain/temperature=5",
    );
    assert_eq!(
        line.send("sk/v1/f/plain/http/x", b"").rejects[0].reason,
        RejectReason::Topic
    );
}
