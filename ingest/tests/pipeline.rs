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

/// One message of device `f/d`: the leaf below `up/`, the payload; the value, the milliseconds after the
/// beginning, the quality.
type Measured<'a> = (&'a str, String, f64, i64, Quality);

fn check_measured(decoder: &mut Decoder<Arc<Directory>>, rows: &[Measured<'_>]) -> Batch {
    let topics: Vec<_> = rows.iter().map(|row| format!("sk/v1/f/d/up/{}", row.0)).collect();
    let messages: Vec<_> = topics
        .iter()
        .zip(rows)
        .map(|(topic, row)| (topic.as_str(), row.1.as_str()))
        .collect();
    let batch = run(decoder, &messages);
    assert_eq!(batch.rejects, []);
    assert_eq!(batch.readings.len(), rows.len());
    for (n, (reading, (leaf, body, value, at, quality))) in batch.readings.iter().zip(rows).enumerate() {
        let got = (reading.value, reading.at.0 - NOW, reading.quality);
        assert_eq!(got, (*value, *at, *quality), "{leaf} {body}");
        assert_eq!(reading.received.0, NOW + 1_000 * n as i64);
    }
    batch
}

#[test]
fn units_are_set_right() {
    let (directory, mut decoder) = fresh();
    directory.units.lock().unwrap().extend([
        ("f/d/temperature".to_owned(), Unit::Fahrenheit),
        ("f/d/voltage".to_owned(), Unit::Volt),
    ]);
    let undated = Quality::NoDeviceTime;
    let rows = [
        ("temperature", "41".to_owned(), 5.0, 0, undated),
        (
            "temperature",
            r#"{"v":5,"u":"Cel"}"#.to_owned(),
            5.0,
            1_000,
            undated,
        ),
        // Of a metric that is not known, the point's unit is kept.
        ("voltage", "220".to_owned(), 220.0, 2_000, undated),
        ("flow", r#"{"v":7,"u":"l/min"}"#.to_owned(), 7.0, 3_000, undated),
        ("door_open", "true".to_owned(), 1.0, 4_000, undated),
    ];
    let batch = check_measured(&mut decoder, &rows);
    assert_eq!(
        batch.sightings[0].doubtful_times, 0,
        "a device that gives no time has no doubtful time"
    );
}

#[test]
fn times_are_set_right() {
    let (_, mut decoder) = fresh();
    let said = |ms: i64| format!(r#"{{"ts":{ms},"v":1}}"#);
    let rows = [
        ("co", said(NOW - 86_400_000), 1.0, -86_400_000, Quality::Good),
        ("co", said(NOW + 1_000 + 300_000), 1.0, 301_000, Quality::Good),
        ("co", said(NOW + 2_000 + 300_001), 1.0, 2_000, Quality::ClockAhead),
        // Seconds instead of milliseconds look like 1970.
        ("co", said(1_795_000_000), 1.0, 3_000, Quality::ClockUnset),
        ("co", "1".to_owned(), 1.0, 4_000, Quality::NoDeviceTime),
    ];
    let batch = check_measured(&mut decoder, &rows);
    assert_eq!(batch.sightings.len(), 1);
    let told = &batch.sightings[0];
    assert_eq!((told.messages, told.readings, told.doubtful_times), (5, 5, 2));
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

/// Leaf, payload, reason, words of the remedy.
const REFUSED: [(&str, &str, RejectReason, &str); 12] = [
    (
        "up/temperature",
        "4.1 C",
        RejectReason::Syntax,
        "{\"ts\":1795000000000,\"v\":4.1}",
    ),
    (
        "up/temperature",
        r#"{"v":"4.1"}"#,
        RejectReason::Value,
        "without quotes",
    ),
    ("up/temperature", "NaN", RejectReason::Value, "leave it out"),
    (
        "up/temperature",
        r#"{"v":4,"u":"ppm"}"#,
        RejectReason::Unit,
        "kept in degC",
    ),
    (
        "up/temperature",
        r#"{"v":4,"u":"furlong"}"#,
        RejectReason::Unit,
        "\"furlong\"",
    ),
    ("up/sos", "2", RejectReason::Value, "send true or 1"),
    ("up", "4", RejectReason::Shape, "up/<metric>"),
    (
        "up",
        r#"{"ts":"x","values":{"sos":1}}"#,
        RejectReason::Time,
        "RFC 3339",
    ),
    (
        "up",
        r#"{"values":{"a b":1}}"#,
        RejectReason::Metric,
        "' ' is not allowed",
    ),
    ("up/one_more", "1", RejectReason::TooManySeries, "raise the limit"),
    ("elsewhere", "1", RejectReason::Topic, "publish to up"),
    ("status", "asleep", RejectReason::Shape, "online or offline"),
];

#[test]
fn a_reject_names_device_topic_reason_and_remedy() {
    let directory = Arc::new(Directory {
        room: Some(2),
        ..Directory::default()
    });
    let mut decoder = Decoder::new(Arc::clone(&directory), IngestLimits::default());
    let (long, endless) = (format!("up/{}", "x".repeat(65)), "x".repeat(60_000));
    let mut rows = REFUSED.to_vec();
    rows.push((&long, "1", RejectReason::Metric, "at most 64"));
    rows.push((&endless, "1", RejectReason::Topic, "publish to up"));
    let topics: Vec<_> = rows.iter().map(|row| format!("sk/v1/f/d/{}", row.0)).collect();
    let messages: Vec<_> = topics
        .iter()
        .zip(&rows)
        .map(|(topic, row)| (topic.as_str(), row.1))
        .collect();
    let batch = run(&mut decoder, &messages);
    assert_eq!(batch.readings, []);
    assert_eq!(batch.rejects.len(), rows.len());
    for (reject, ((_, body, reason, words), topic)) in batch.rejects.iter().zip(rows.iter().zip(&topics)) {
        assert_eq!(reject.reason, *reason, "{body}: {}", reject.detail);
        assert!(reject.detail.contains(words), "{body}: {}", reject.detail);
        assert!(reject.detail.len() < 600, "{}", reject.detail);
        assert!(topic.starts_with(&reject.topic) && reject.topic.len() <= 256);
        assert_eq!((reject.facility.as_str(), reject.device.as_str()), ("f", "d"));
        assert_eq!(reject.excerpt, *body);
    }
}

#[test]
fn good_values_beside_bad_ones_are_taken_and_counted() {
    let directory = Arc::new(Directory {
        room: Some(2),
        ..Directory::default()
    });
    let mut decoder = Decoder::new(directory, IngestLimits::default());
    let body = r#"{"values":{"temperature":1,"sos":3,"co":null,"co2":4}}"#;
    let batch = run(&mut decoder, &[("sk/v1/f/d/up", body)]);
    assert_eq!((batch.readings.len(), batch.rejects.len()), (1, 1));
    let detail = &batch.rejects[0].detail;
    assert!(
        detail.starts_with("3 of 4 values are refused, the others are taken"),
        "{detail}"
    );
    assert_eq!(batch.sightings[0].readings, 1);
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

fn open_journal(dir: &std::path::Path, time: &Arc<AtomicI64>) -> Journal {
    let source = Arc::clone(time);
    let options = Options {
        segment_bytes: 1024 * 1024,
        capacity_bytes: 16 * 1024 * 1024,
        ..Options::new(dir.join("journal"))
    };
    Journal::open(options, Arc::new(move || source.load(Ordering::Relaxed))).unwrap()
}

/// Appends `count` readings, 0, 1, 2, …, each with a tick after it, and waits until they are on disk.
async fn append(journal: &Journal, time: &AtomicI64, count: i64) {
    let mut writer = journal.writer();
    let mut last = None;
    for n in 0..count {
        time.store(NOW + n, Ordering::Relaxed);
        let body = format!(r#"{{"ts":{},"v":{n}}}"#, NOW + n);
        let topic = "sk/v1/f/d/up/temperature";
        writer
            .append(&record(0, topic, body.as_bytes()).envelope)
            .unwrap();
        last = Some(writer.append(&record(0, "", b"").envelope).unwrap());
    }
    while !writer.is_durable(last.unwrap()).unwrap() {
        writer.progress().await;
    }
}

fn read_to_the_end(mut ingest: Ingest<Arc<Directory>>) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some(batch) = ingest.next(Duration::from_secs(10)).unwrap() {
        batches.push(batch);
    }
    batches
}

#[tokio::test]
async fn a_real_log_is_read_to_its_end_and_again_from_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let time = Arc::new(AtomicI64::new(NOW));
    let journal = open_journal(dir.path(), &time);
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

    append(&journal, &time, 500).await;
    journal.close();
    let batches = read_to_the_end(ingest);
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
    let mut order = batches.iter().flat_map(Batch::events).enumerate();
    assert!(order.all(|(n, e)| matches!(e, LogEvent::Reading(_)) == (n % 2 == 0)));

    let from = batches[2].from;
    let again = Ingest::new(journal.reader(Position(from.0)).unwrap(), directory, limits);
    let replayed: Vec<_> = read_to_the_end(again)
        .into_iter()
        .flat_map(|b| b.readings)
        .collect();
    let tail: Vec<_> = batches[2..].iter().flat_map(|b| b.readings.clone()).collect();
    assert_eq!(replayed, tail);
}

#[test]
fn what_a_camera_saw_is_a_reading_and_an_observation() {
    let (directory, mut decoder) = fresh();
    let said = |state: &str, ts: i64| format!(r#"{{"check":"no_mask","state":"{state}","ts":{ts}}}"#);
    let (began, ended) = (said("began", NOW - 5_000), said("ended", NOW + 900_000));
    let cat = format!(
        r#"{{"type":"new","after":{{"camera":"yard","label":"cat","start_time":{}}}}}"#,
        NOW / 1_000
    );
    let batch = run(
        &mut decoder,
        &[
            ("sk/v1/f/cam/vision", &began),
            ("sk/v1/f/box/vision/cam2", &ended),
            ("sk/v1/f/box/events", &cat),
            ("sk/v1/f/cam/vision", r#"{"check":"no_mask"}"#),
        ],
    );
    let told: Vec<(String, f64, i64)> = batch
        .readings
        .iter()
        .map(|r| (directory.key(r.series), r.value, r.at.0 - NOW))
        .collect();
    let want = [
        ("f/cam/no_mask".to_owned(), 1.0, -5_000),
        // Its clock is ahead: the moment of receipt stands in.
        ("f/box.cam2/no_mask".to_owned(), 0.0, 1_000),
        ("f/box.yard/animal_in_kitchen".to_owned(), 1.0, 0),
    ];
    assert_eq!(told, want);
    let places: Vec<u64> = batch.observations.iter().map(|(place, _)| place.0).collect();
    assert_eq!(places, [0, 1, 2]);
    assert_eq!(batch.observations[2].1.camera.to_string(), "f/box.yard");
    assert_eq!(batch.observations[1].1.said.at.0, NOW + 1_000);
    assert_eq!(batch.rejects.len(), 1);
    assert_eq!(batch.rejects[0].reason, RejectReason::Shape);
}

#[test]
fn the_newest_picture_of_a_device_is_handed_on() {
    let (_, mut decoder) = fresh();
    let batch = run(
        &mut decoder,
        &[
            ("sk/v1/f/esp/image", "first"),
            ("sk/v1/f/other/image", "x"),
            ("sk/v1/f/esp/image", "second"),
        ],
    );
    let pictures: Vec<(String, &[u8])> = batch
        .pictures
        .iter()
        .map(|p| (p.camera.to_string(), p.jpeg.as_slice()))
        .collect();
    assert_eq!(
        pictures,
        [("f/other".to_owned(), &b"x"[..]), ("f/esp".to_owned(), b"second")]
    );
}
