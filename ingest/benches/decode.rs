//! Microseconds per message, from topic and payload to readings, against the bare parser: `serde_json` into
//! a typed struct of the same form. The parser is the limit; what lies between is topics, units and times.

use std::{collections::BTreeMap, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::{LogPosition, Profiles, SeriesId, SeriesKey, Unit, UtcMillis};
use journal::{Envelope, Kind, Position, Record};
use serde::Deserialize;
use sunshine_ingest::{Decoder, IngestLimits, SeriesDirectory, TooManySeries, read_vendor};

const DEVICES: usize = 1_000;
const NOW: i64 = 1_795_000_000_000;

struct Directory;

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        Ok(SeriesId(u32::try_from(key.device.as_str().len()).unwrap_or(0)))
    }

    fn unit(&self, _: &SeriesKey) -> Option<Unit> {
        None
    }

    fn version(&self) -> u64 {
        0
    }
}

#[derive(Deserialize)]
struct One {
    ts: i64,
    v: f64,
}

#[derive(Deserialize)]
struct Several<'a> {
    ts: i64,
    #[serde(borrow)]
    values: BTreeMap<&'a str, f64>,
}

#[derive(Deserialize)]
struct Senml<'a> {
    bn: Option<&'a str>,
    bt: Option<f64>,
    n: Option<&'a str>,
    v: f64,
    u: Option<&'a str>,
}

/// 113 bytes of several values: what a kitchen's multi-sensor sends.
const SEVERAL: &str = r#"{"ts":1795000000000,"values":{"temperature":4.1,"humidity":56.5,"battery":87,"door_open":0,"signal":-71.0}}      "#;
const ONE: &str = r#"{"ts":1795000000000,"v":4.1}"#;
const SENML: &str = r#"[{"bn":"urn:dev:x:","bt":1795000000,"n":"temperature","u":"Cel","v":4.1},{"n":"humidity","u":"%RH","v":56}]"#;

fn decode(c: &mut Criterion) {
    assert_eq!(SEVERAL.len(), 113);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(DEVICES as u64));
    for (name, leaf, body, values) in [
        ("one", "up/temperature", ONE, 1),
        ("several", "up", SEVERAL, 5),
        ("senml", "up", SENML, 2),
    ] {
        let topics: Vec<String> = (0..DEVICES)
            .map(|n| format!("sk/v1/binhe-01/sensor-{n}/{leaf}"))
            .collect();
        let mut decoder = Decoder::new(Directory, IngestLimits::default());
        group.bench_function(name, |b| {
            b.iter(|| {
                let records = topics.iter().map(|topic| Record {
                    position: Position(0),
                    next: Position(0),
                    time_ms: NOW,
                    envelope: Envelope {
                        kind: Kind::MESSAGE,
                        flags: 0,
                        source: "",
                        subject: topic,
                        attributes: b"",
                        body: black_box(body.as_bytes()),
                    },
                });
                let batch = decoder.batch((LogPosition(0), LogPosition(1)), records);
                assert_eq!(batch.readings.len(), DEVICES * values);
                batch
            });
        });
    }
    let mut parser = |name: &str, parse: fn(&[u8]) -> f64, body: &str| {
        group.bench_function(name, |b| {
            b.iter(|| {
                (0..DEVICES)
                    .map(|_| parse(black_box(body.as_bytes())))
                    .sum::<f64>()
            });
        });
    };
    parser(
        "one, parser alone",
        |body| serde_json::from_slice::<One>(body).map_or(0.0, |m| m.v + m.ts as f64),
        ONE,
    );
    parser(
        "several, parser alone",
        |body| {
            serde_json::from_slice::<Several<'_>>(body).map_or(0.0, |m| m.values.len() as f64 + m.ts as f64)
        },
        SEVERAL,
    );
    parser(
        "senml, parser alone",
        |body| {
            let records: Vec<Senml<'_>> = serde_json::from_slice(body).unwrap_or_default();
            let size =
                |r: &Senml<'_>| r.v + r.bt.unwrap_or(0.0) + [r.bn, r.n, r.u].iter().flatten().count() as f64;
            records.iter().map(size).sum()
        },
        SENML,
    );
    group.finish();
}

const ZIGBEE: &str = r#"{"battery":97,"humidity":45.3,"last_seen":"2026-11-18T19:06:40+08:00","linkquality":120,"pressure":1013.2,"temperature":4.07,"voltage":3015}"#;

/// One message of another make, without a log: what its JSON or its lines cost beyond our own form.
fn vendors(c: &mut Criterion) {
    let profiles = Profiles::built_in();
    let lines: String = (0..100)
        .map(|n| format!("temperature,device=fridge-{n},host=edge value=4.1 1795000000000000000\n"))
        .collect();
    let mut group = c.benchmark_group("vendor");
    for (name, profile, leaf, body, values) in [
        ("zigbee2mqtt", "zigbee2mqtt", "fridge", ZIGBEE, 4),
        ("100 lines", "line-protocol", "up", lines.as_str(), 100),
    ] {
        let Some(profile) = profiles.get(profile) else {
            continue;
        };
        let limits = IngestLimits::default();
        group.throughput(Throughput::Elements(values));
        group.bench_function(name, |b| {
            b.iter(|| {
                let read = read_vendor(profile, leaf, black_box(body.as_bytes()), UtcMillis(NOW), &limits);
                assert!(read.is_ok_and(|report| report.values.len() as u64 == values));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, vendors);
criterion_main!(benches);
