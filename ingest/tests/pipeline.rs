//! From log records to batches: order, units, times, sightings, rejects, memory; and once through a real log.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use domain::{
    Batch, LogEvent, LogPosition, Quality, SeriesId, SeriesKey, Unit, UtcMillis,
    status::{RejectReason, Sighting},
};
use journal::{Envelope, Journal, Kind, Options, Position, Record};
use sunshine_ingest::{Decoder, Ingest, IngestLimits, SeriesDirectory, TooManySeries};

const NOW: i64 = 1_795_000_000_000;

/// Numbers series in the order in which they are asked for.
#[derive(Debug, Default)]
struct Directory {
    series: Mutex<HashMap<SeriesKey, SeriesId>>,
    units: Mutex<HashMap<String, Unit>>,
    version: AtomicU64,
    asked: AtomicU64,
    room: Option<usize>,
}

impl Directory {
    fn key(&self, series: SeriesId) -> String {
        let map = self.series.lock().unwrap();
        map.iter()
            .find(|(_, id)| **id == series)
            .map(|(key, _)| key.to_string())
            .unwrap()
    }
}

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut series = self.series.lock().unwrap();
        let next = SeriesId(u32::try_from(series.len()).unwrap());
        if self
            .room
            .is_some_and(|room| !series.contains_key(key) && series.len() >= room)
        {
            return Err(TooManySeries);
        }
        Ok(*series.entry(key.clone()).or_insert(next))
    }

    fn unit(&self, key: &SeriesKey) -> Option<Unit> {
        self.units.lock().unwrap().get(&key.to_string()).copied()
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }
}

/// A message, or a tick when the topic is empty; one second after the one before.
fn record<'a>(n: usize, topic: &'a str, body: &'a [u8]) -> Record<'a> {
    let kind = if topic.is_empty() {
        Kind::TICK
    } else {
        Kind::MESSAGE
    };
    Record {
        position: Position(n as u64),
        next: Position(n as u64 + 1),
        time_ms: NOW + 1_000 * n as i64,
        envelope: Envelope {
            kind,
            flags: 0,
            source: "f/d",
            subject: topic,
            attributes: b"",
            body,
        },
    }
}

fn run(decoder: &mut Decoder<Arc<Directory>>, messages: &[(&str, &str)]) -> Batch {
    let records = messages
        .iter()
        .enumerate()
        .map(|(n, (topic, body))| record(n, topic, body.as_bytes()));
    decoder.batch((LogPosition(0), LogPosition(messages.len() as u64)), records)
}

fn fresh() -> (Arc<Directory>, Decoder<Arc<Directory>>) {
    let directory = Arc::new(Directory::default());
    (
        Arc::clone(&directory),
        Decoder::new(directory, IngestLimits::default()),
    )
}

#[test]
fn a_batch_keeps_the_order_of_the_log() {
    let (directory, mut decoder) = fresh();
    let batch = run(
        &mut decoder,
        &[
            ("", ""),
            ("sk/v1/f/d/up/temperature", "1"),
            ("sk/v1/f/d/up", r#"{"values":{"co":2,"temperature":3}}"#),
            ("", ""),
            ("sk/v1/f/e/up/temperature", "4"),
            ("", ""),
        ],
    );
    assert_eq!((batch.from, batch.upto), (LogPosition(0), LogPosition(6)));
    let told: Vec<String> = batch
        .events()
        .map(|event| match event {
            LogEvent::Tick(at) => format!("tick {}", (at.0 - NOW) / 1_000),
            LogEvent::Reading(r) => format!("{} {}", directory.key(r.series), r.value),
        })
        .collect();
    let want = [
        "tick 0",
        "f/d/temperature 1",
        "f/d/co 2",
        "f/d/temperature 3",
        "tick 3",
        "f/e/temperature 4",
        "tick 5",
    ];
    assert_eq!(told, want);
}

#[test]
fn units_and_times_are_set_right() {
    let (directory, mut decoder) = fresh();
    directory.units.lock().unwrap().extend([
        ("f/d/temperature".to_owned(), Unit::Fahrenheit),
        ("f/d/voltage".to_owned(), Unit::Volt),
    ]);
    let at = |ms: i64| format!(r#"{{"ts":{ms},"v":41}}"#);
    let topic = "sk/v1/f/d/up/temperature";
    let rows = [
        (topic, "41".to_owned(), 5.0, NOW, Quality::NoDeviceTime),
        (
            topic,
            r#"{"v":5,"u":"Cel"}"#.to_owned(),
            5.0,
            NOW + 1_000,
            Quality::NoDeviceTime,
        ),
        (topic, at(NOW - 86_400_000), 5.0, NOW - 86_400_000, Quality::Good),
        (
            topic,
            at(NOW + 3_000 + 300_000),
            5.0,
            NOW + 303_000,
            Quality::Good,
        ),
        (
            topic,
            at(NOW + 4_000 + 300_001),
            5.0,
            NOW + 4_000,
            Quality::ClockAhead,
        ),
        (topic, at(1_795_000_000), 5.0, NOW + 5_000, Quality::ClockUnset),
        // Of a metric that is not known, the point's unit is kept.
        (
            "sk/v1/f/d/up/voltage",
            "220".to_owned(),
            220.0,
            NOW + 6_000,
            Quality::NoDeviceTime,
        ),
        (
            "sk/v1/f/d/up/flow",
            r#"{"v":7,"u":"l/min"}"#.to_owned(),
            7.0,
            NOW + 7_000,
            Quality::NoDeviceTime,
        ),
        (
            "sk/v1/f/d/up/door_open",
            "true".to_owned(),
            1.0,
            NOW + 8_000,
            Quality::NoDeviceTime,
        ),
    ];
    let messages: Vec<_> = rows
        .iter()
        .map(|(topic, body, ..)| (*topic, body.as_str()))
        .collect();
    let batch = run(&mut decoder, &messages);
    assert_eq!(batch.rejects, []);
    for (n, (reading, (topic, body, value, at, quality))) in batch.readings.iter().zip(&rows).enumerate() {
        let got = (reading.value, reading.at.0, reading.quality);
        assert_eq!(got, (*value, *at, *quality), "{topic} {body}");
        assert_eq!(reading.received.0, NOW + 1_000 * n as i64);
    }
    assert_eq!(batch.readings.len(), rows.len());
    assert_eq!(batch.sightings.len(), 1);
    assert_eq!((batch.sightings[0].messages, batch.sightings[0].readings), (9, 9));
    assert_eq!(
        batch.sightings[0].doubtful_times, 2,
        "a device that gives no time has no doubtful time"
    );
}

#[test]
fn each_device_is_told_of_once_with_what_it_said_last() {
    let (_, mut decoder) = fresh();
    let messages = [
        ("sk/v1/f/a/up/co", "1"),
        ("sk/v1/f/b/up", r#"{"values":{"co":1,"co2":2}}"#),
        ("sk/v1/f/a/up/co", "on"),
        ("sk/v1/f/a/image", "\u{1}JPEG"),
        ("sk/v1/f/a/cmd/open", "1"),
        ("sk/v1/f/c/status", "offline"),
        ("sk/v1/f/b/status", "online"),
        ("elsewhere", "1"),
        ("sk/v1/f /d/up", "1"),
    ];
    for _ in 0..2 {
        let batch = run(&mut decoder, &messages);
        let told: Vec<_> = batch
            .sightings
            .iter()
            .map(|s: &Sighting| {
                (
                    s.device.as_str(),
                    s.topic.as_str(),
                    s.payload.as_str(),
                    s.messages,
                    s.readings,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a", "sk/v1/f/a/image", "(5 bytes of image)", 3, 1),
                ("b", "sk/v1/f/b/status", "online", 2, 2)
            ]
        );
        assert_eq!(batch.sightings[0].received, UtcMillis(NOW + 3_000));
        let presence: Vec<_> = batch
            .presence
            .iter()
            .map(|p| (p.device.as_str(), p.online))
            .collect();
        assert_eq!(presence, [("c", false), ("b", true)]);
    }
    assert_eq!(decoder.foreign(), 4);
}

#[test]
fn a_reject_names_device_topic_reason_and_remedy() {
    let directory = Arc::new(Directory {
        room: Some(2),
        ..Directory::default()
    });
    let mut decoder = Decoder::new(Arc::clone(&directory), IngestLimits::default());
    let long = format!("sk/v1/f/d/up/{}", "x".repeat(65));
    let endless = format!("sk/v1/f/d/{}", "x".repeat(60_000));
    let rows = [
        (
            "sk/v1/f/d/up/temperature",
            "4.1 C",
            RejectReason::Syntax,
            "{\"ts\":1795000000000,\"v\":4.1}",
        ),
        (
            "sk/v1/f/d/up/temperature",
            r#"{"v":"4.1"}"#,
            RejectReason::Value,
            "without quotes",
        ),
        (
            "sk/v1/f/d/up/temperature",
            "NaN",
            RejectReason::Value,
            "leave it out",
        ),
        (
            "sk/v1/f/d/up/temperature",
            r#"{"v":4,"u":"ppm"}"#,
            RejectReason::Unit,
            "kept in degC",
        ),
        (
            "sk/v1/f/d/up/temperature",
            r#"{"v":4,"u":"furlong"}"#,
            RejectReason::Unit,
            "\"furlong\"",
        ),
        ("sk/v1/f/d/up/sos", "2", RejectReason::Value, "send true or 1"),
        ("sk/v1/f/d/up", "4", RejectReason::Shape, "up/<metric>"),
        (
            "sk/v1/f/d/up",
            r#"{"ts":"x","values":{"sos":1}}"#,
            RejectReason::Time,
            "RFC 3339",
        ),
        (
            "sk/v1/f/d/up",
            r#"{"values":{"a b":1}}"#,
            RejectReason::Metric,
            "' ' is not allowed",
        ),
        (long.as_str(), "1", RejectReason::Metric, "at most 64"),
        (
            "sk/v1/f/d/up/one_more",
            "1",
            RejectReason::TooManySeries,
            "raise the limit",
        ),
        ("sk/v1/f/d/elsewhere", "1", RejectReason::Topic, "publish to up"),
        (endless.as_str(), "1", RejectReason::Topic, "publish to up"),
        (
            "sk/v1/f/d/status",
            "asleep",
            RejectReason::Shape,
            "online or offline",
        ),
    ];
    let messages: Vec<_> = rows.iter().map(|(topic, body, ..)| (*topic, *body)).collect();
    let batch = run(&mut decoder, &messages);
    assert_eq!(batch.readings, []);
    assert_eq!(batch.rejects.len(), rows.len());
    for (reject, (topic, body, reason, words)) in batch.rejects.iter().zip(rows) {
        assert_eq!(reject.reason, reason, "{body}: {}", reject.detail);
        assert!(reject.detail.contains(words), "{body}: {}", reject.detail);
        assert!(reject.detail.len() < 600, "{}", reject.detail);
        assert!(topic.starts_with(&reject.topic) && reject.topic.len() <= 256);
        assert_eq!((reject.facility.as_str(), reject.device.as_str()), ("f", "d"));
        assert_eq!(reject.excerpt, body);
    }
    let known = run(
        &mut decoder,
        &[("sk/v1/f/d/up", r#"{"values":{"temperature":1,"new":2,"sos":3}}"#)],
    );
    assert_eq!((known.readings.len(), known.rejects.len()), (1, 1));
    assert!(
        known.rejects[0]
            .detail
            .starts_with("2 of 3 values are refused, the others are taken")
    );
}

#[test]
fn what_is_known_is_asked_once_and_forgotten_when_points_change() {
    let (directory, mut decoder) = fresh();
    let messages = [
        ("sk/v1/f/d/up/temperature", "41"),
        ("sk/v1/f/d/up", r#"{"values":{"temperature":41}}"#),
    ];
    for _ in 0..5 {
        assert_eq!(run(&mut decoder, &messages).readings[1].value, 41.0);
    }
    assert_eq!(directory.asked.load(Ordering::Relaxed), 1);
    directory
        .units
        .lock()
        .unwrap()
        .insert("f/d/temperature".into(), Unit::Fahrenheit);
    directory.version.fetch_add(1, Ordering::Relaxed);
    assert_eq!(run(&mut decoder, &messages).readings[1].value, 5.0);
    assert_eq!(directory.asked.load(Ordering::Relaxed), 2);
}

#[test]
fn what_is_remembered_is_bounded() {
    let directory = Arc::new(Directory::default());
    let limits = IngestLimits {
        routes: 100,
        ..IngestLimits::default()
    };
    let mut decoder = Decoder::new(Arc::clone(&directory), limits);
    for n in 0..200 {
        let topics: Vec<_> = (0..10).map(|m| format!("sk/v1/f/d{n}/up/m{m}")).collect();
        let messages: Vec<_> = topics.iter().map(|t| (t.as_str(), "1")).collect();
        assert_eq!(run(&mut decoder, &messages).readings.len(), 10);
        // A device, its ten topics and its ten metrics: one batch may overshoot by so much.
        assert!(decoder.remembered() <= 100 + 21, "{}", decoder.remembered());
    }
    // Topics that carry nothing are not remembered at all.
    let before = decoder.remembered();
    let topics: Vec<_> = (0..50).map(|n| format!("sk/v1/f/d199/junk{n}")).collect();
    let messages: Vec<_> = topics.iter().map(|t| (t.as_str(), "1")).collect();
    assert_eq!(run(&mut decoder, &messages).rejects.len(), 50);
    assert!(decoder.remembered() <= before);
}

#[tokio::test]
async fn a_real_log_is_read_to_its_end_and_again_from_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(NOW));
    let source = Arc::clone(&time);
    let options = Options {
        segment_bytes: 1024 * 1024,
        capacity_bytes: 16 * 1024 * 1024,
        ..Options::new(dir.path().join("journal"))
    };
    let journal = Journal::open(options, Arc::new(move || source.load(Ordering::Relaxed))).unwrap();
    let directory = Arc::new(Directory::default());
    let limits = IngestLimits {
        batch_bytes: 4 * 1024,
        ..IngestLimits::default()
    };
    let mut ingest = Ingest::new(
        journal.reader(journal.start()).unwrap(),
        Arc::clone(&directory),
        limits,
    );
    let nothing = ingest.next(Duration::from_millis(1)).unwrap().unwrap();
    assert_eq!((nothing.readings.len(), nothing.from), (0, nothing.upto));

    let mut writer = journal.writer();
    let mut last = None;
    for n in 0..500_i64 {
        time.store(NOW + n, Ordering::Relaxed);
        let body = format!(r#"{{"ts":{},"v":{n}}}"#, NOW + n);
        let message = Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: "f/d",
            subject: "sk/v1/f/d/up/temperature",
            attributes: b"",
            body: body.as_bytes(),
        };
        writer.append(&message).unwrap();
        let tick = Envelope {
            kind: Kind::TICK,
            subject: "",
            body: b"",
            ..message
        };
        last = Some(writer.append(&tick).unwrap());
    }
    while !writer.is_durable(last.unwrap()).unwrap() {
        writer.progress().await;
    }
    journal.close();

    let read = |mut ingest: Ingest<Arc<Directory>>| {
        let mut batches = Vec::new();
        while let Some(batch) = ingest.next(Duration::from_secs(10)).unwrap() {
            batches.push(batch);
        }
        batches
    };
    let batches = read(ingest);
    assert!(batches.len() > 5, "{} batches", batches.len());
    let joined = batches.windows(2).all(|pair| pair[0].upto == pair[1].from);
    assert!(joined, "batches leave no gap");
    let values: Vec<f64> = batches
        .iter()
        .flat_map(|b| &b.readings)
        .map(|r| r.value)
        .collect();
    assert_eq!(values, (0..500).map(f64::from).collect::<Vec<_>>());
    assert_eq!(batches.iter().map(|b| b.ticks.len()).sum::<usize>(), 500);
    let order = batches.iter().flat_map(Batch::events).enumerate();
    assert!(
        order
            .into_iter()
            .all(|(n, e)| matches!(e, LogEvent::Reading(_)) == (n % 2 == 0))
    );

    // A replay from the middle gives the same batches' content from there on.
    let from = batches[2].from;
    let again = Ingest::new(journal.reader(Position(from.0)).unwrap(), directory, limits);
    let replayed: Vec<_> = read(again).into_iter().flat_map(|b| b.readings).collect();
    let tail: Vec<_> = batches[2..].iter().flat_map(|b| b.readings.clone()).collect();
    assert_eq!(replayed, tail);
}
