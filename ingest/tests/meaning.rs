//! An operator's profile holds from its place in the log on, however the log is cut and wherever it is taken up.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{collections::HashMap, sync::Arc, sync::Mutex};

use domain::{Batch, DeviceId, FacilityId, LogPosition, SeriesId, SeriesKey, Unit};
use journal::{Envelope, Kind, Position, Record};
use sunshine_ingest::{Decoder, IngestLimits, SeriesDirectory, TooManySeries};

/// Every device speaks by the profile `cooler`, which no file describes.
#[derive(Debug, Default)]
struct Directory(Mutex<HashMap<SeriesKey, SeriesId>>);

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        let mut series = self.0.lock().unwrap();
        let next = SeriesId(u32::try_from(series.len()).unwrap());
        Ok(*series.entry(key.clone()).or_insert(next))
    }

    fn unit(&self, _: &SeriesKey) -> Option<Unit> {
        None
    }

    fn profile_name(&self, _: &FacilityId, _: &DeviceId) -> Option<Arc<str>> {
        Some("cooler".into())
    }

    fn version(&self) -> u64 {
        0
    }
}

/// A profile that reads `t` in parts of `scale`.
fn cooler(scale: f64) -> String {
    format!(
        "profile = \"cooler\"\ntitle_zh = \"冷柜\"\ntitle_en = \"Cooler\"\ncodec = \"json\"\nsource = \"s\"\n\
         report_interval_s = 60\n[[field]]\nfield = \"t\"\nmetric = \"temperature\"\nunit = \"degC\"\nscale = {scale}\n"
    )
}

/// Kind, subject and body of each record: two messages, the profile, a message, the profile changed, two messages,
/// a profile that nobody can read, and a message.
fn log() -> Vec<(Kind, String, String)> {
    let said = |n: u32| {
        let topic = format!("sk/v1/f/d{}/up", n % 2);
        (Kind::MESSAGE, topic, format!("{{\"values\":{{\"t\":{n}}}}}"))
    };
    let profile = |text: String| (Kind::MEANING, "cooler".to_owned(), text);
    vec![
        said(40),
        said(41),
        profile(cooler(1.0)),
        said(42),
        profile(cooler(0.1)),
        said(43),
        said(44),
        profile("profile = 1".to_owned()),
        said(45),
    ]
}

fn records(log: &[(Kind, String, String)], from: usize) -> impl Iterator<Item = Record<'_>> {
    log.iter()
        .enumerate()
        .skip(from)
        .map(|(n, (kind, subject, body))| Record {
            position: Position(n as u64),
            next: Position(n as u64 + 1),
            time_ms: 1_795_000_000_000 + n as i64,
            envelope: Envelope {
                kind: *kind,
                flags: 0,
                source: "s",
                subject,
                attributes: &[],
                body: body.as_bytes(),
            },
        })
}

fn span(from: usize, upto: usize) -> (LogPosition, LogPosition) {
    (LogPosition(from as u64), LogPosition(upto as u64))
}

/// What each reading says, with its place in the log.
fn values(batches: &[Batch]) -> Vec<(u64, f64)> {
    let of = |batch: &Batch| {
        let places = batch.positions.iter().map(|p| p.0);
        places
            .zip(batch.readings.iter().map(|r| r.value))
            .collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

#[test]
fn a_profile_holds_from_its_place_in_the_log_on() {
    let log = log();
    let mut decoder = Decoder::new(Directory::default(), IngestLimits::default());
    let whole = decoder.batch(span(0, log.len()), records(&log, 0));
    // What stands before the profile is read in our own form, as it was when it came.
    let want = [(0, 40.0), (1, 41.0), (3, 42.0), (5, 4.3), (6, 4.4), (8, 4.5)];
    let near = |got: &[(u64, f64)], want: &[(u64, f64)]| {
        got.len() == want.len()
            && got
                .iter()
                .zip(want)
                .all(|(g, w)| g.0 == w.0 && (g.1 - w.1).abs() < 1e-9)
    };
    assert!(near(&values(std::slice::from_ref(&whole)), &want), "{whole:?}");
    assert_eq!(
        whole.profiles.iter().map(|p| p.position.0).collect::<Vec<_>>(),
        [2, 4]
    );
    assert_eq!(
        whole.sightings.len(),
        2,
        "a device is noted once, whatever changes in between"
    );

    // Cut at every place, and taken up there by somebody who knows only what was kept.
    for cut in 0..=log.len() {
        let mut first = Decoder::new(Directory::default(), IngestLimits::default());
        let before = first.batch(span(0, cut), records(&log, 0).take(cut));
        let mut second = Decoder::new(Directory::default(), IngestLimits::default());
        second.restore_profiles(&before.profiles);
        let after = second.batch(span(cut, log.len()), records(&log, cut));
        assert!(near(&values(&[before, after]), &want), "cut at {cut}");
    }
}
