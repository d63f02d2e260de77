//! The time-series store against its contract.

use std::path::Path;

use domain::{
    Clock, DeviceId, FacilityId, LogPosition, Metric, Quality, Reading, Sample, Scope, SeriesId, SeriesKey,
    TimeRange, UtcMillis,
};
use sunshine_store::{SeriesError, SeriesOptions, SeriesStore};

const DAY_MS: i64 = 86_400_000;
/// 2026-11-20, a day's first moment.
const DAY: i64 = 20_777 * DAY_MS;

fn key(facility: &str, device: &str) -> SeriesKey {
    SeriesKey {
        facility: FacilityId::new(facility).expect("a valid name"),
        device: DeviceId::new(device).expect("a valid name"),
        metric: Metric::new("temperature").expect("a valid name"),
    }
}

fn options(dir: &Path) -> SeriesOptions {
    SeriesOptions {
        shards: 2,
        flush_readings: 10,
        max_series: 4,
        ..SeriesOptions::new(dir)
    }
}

fn clock() -> Clock {
    Clock::simulated(UtcMillis(DAY))
}

fn reading(series: SeriesId, at: i64, value: f64) -> Reading {
    Reading {
        series,
        at: UtcMillis(at),
        received: UtcMillis(at),
        value,
        quality: Quality::Good,
    }
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange {
        from: UtcMillis(from),
        to: UtcMillis(to),
    }
}

fn pairs(samples: &[Sample]) -> Vec<(i64, f64)> {
    samples.iter().map(|s| (s.at.0, s.value)).collect()
}

fn all(store: &SeriesStore, series: SeriesId) -> Vec<(i64, f64)> {
    pairs(
        &store
            .scan(
                &Scope::everything(),
                series,
                range(i64::MIN, i64::MAX),
                usize::MAX,
            )
            .expect("the store answers"),
    )
}

/// Appends one batch that takes up one position of the log.
fn append(store: &SeriesStore, at: u64, readings: &[Reading]) {
    store
        .append(readings, LogPosition(at), LogPosition(at + 1))
        .expect("the store answers");
}

#[test]
fn readings_are_visible_at_once_and_after_a_flush_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    let want = vec![(DAY + 1, 1.0), (DAY + 2, 2.5), (DAY + DAY_MS, 3.0)];
    let given: Vec<Reading> = want
        .iter()
        .rev()
        .map(|&(at, value)| reading(series, at, value))
        .collect();
    append(&store, 0, &given);
    assert_eq!(all(&store, series), want);
    assert_eq!(store.checkpoint(), LogPosition(0));
    store.flush().unwrap();
    assert_eq!(all(&store, series), want);
    assert_eq!(store.checkpoint(), LogPosition(1));
    assert_eq!((store.stats().chunks, store.stats().head_readings), (2, 0));
    drop(store);

    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    assert_eq!(store.resolve(&key("f", "a")).unwrap(), series);
    assert_eq!(store.checkpoint(), LogPosition(1));
    assert_eq!(all(&store, series), want);
    let latest = store.latest(&Scope::everything(), series).unwrap();
    assert_eq!((latest.at.0, latest.value), (DAY + DAY_MS, 3.0));
}

#[test]
fn of_two_readings_at_one_moment_the_later_in_the_log_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    for (position, value) in (0..4).zip([1.0, 2.0, 3.0, 4.0]) {
        append(
            &store,
            position,
            &[reading(series, DAY, value), reading(series, DAY + 1, value)],
        );
        assert_eq!(all(&store, series), [(DAY, value), (DAY + 1, value)]);
        let bucket = store
            .window(&Scope::everything(), series, range(DAY, DAY + 10), 1)
            .unwrap()[0];
        assert_eq!((bucket.count, bucket.sum, bucket.last), (2, value * 2.0, value));
        assert_eq!(store.latest(&Scope::everything(), series).unwrap().value, value);
        if position < 3 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store.compact(true).unwrap();
    assert_eq!(store.stats().chunks, 1);
    assert_eq!(all(&store, series), [(DAY, 4.0), (DAY + 1, 4.0)]);
}

#[test]
fn buckets_are_left_closed_and_the_empty_ones_absent() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    let times = [0, 9, 10, 29, 40];
    let given: Vec<Reading> = times
        .iter()
        .map(|&t| reading(series, DAY + t, t as f64))
        .collect();
    append(&store, 0, &given);
    let check = |store: &SeriesStore| {
        let buckets = store
            .window(&Scope::everything(), series, range(DAY, DAY + 40), 4)
            .unwrap();
        let seen: Vec<_> = buckets
            .iter()
            .map(|b| (b.start.0 - DAY, b.count, b.min, b.max, b.sum, b.last))
            .collect();
        assert_eq!(
            seen,
            [
                (0, 2, 0.0, 9.0, 9.0, 9.0),
                (10, 1, 10.0, 10.0, 10.0, 10.0),
                (20, 1, 29.0, 29.0, 29.0, 29.0)
            ]
        );
        assert_eq!(buckets[0].avg(), 4.5);
    };
    check(&store);
    store.flush().unwrap();
    check(&store);
}

#[test]
fn a_query_reaches_no_further_than_its_scope() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let (ours, theirs) = (
        store.resolve(&key("f", "a")).unwrap(),
        store.resolve(&key("g", "a")).unwrap(),
    );
    append(&store, 0, &[reading(ours, DAY, 1.0), reading(theirs, DAY, 2.0)]);
    let scope = Scope::facilities([FacilityId::new("f").unwrap()]);
    let everything = range(i64::MIN, i64::MAX);
    for (series, name, seen) in [(ours, "f", true), (theirs, "g", false)] {
        let facility = FacilityId::new(name).unwrap();
        assert_eq!(store.find(&scope, &key(name, "a")).is_some(), seen);
        assert_eq!(store.key(&scope, series), seen.then(|| key(name, "a")));
        assert_eq!(store.series_of(&scope, &facility).len(), usize::from(seen));
        assert_eq!(store.latest(&scope, series).is_some(), seen);
        assert_eq!(
            store.scan(&scope, series, everything, 9).unwrap().len(),
            usize::from(seen)
        );
        assert_eq!(
            store.window(&scope, series, everything, 9).unwrap().len(),
            usize::from(seen)
        );
    }
    let unknown = SeriesId(77);
    assert_eq!(store.key(&Scope::everything(), unknown), None);
    assert_eq!(store.latest(&Scope::everything(), unknown), None);
}

#[test]
fn limits_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    for device in ["b", "c", "d"] {
        store.resolve(&key("f", device)).unwrap();
    }
    assert!(matches!(
        store.resolve(&key("f", "e")),
        Err(SeriesError::TooManySeries { max: 4 })
    ));
    assert_eq!(store.resolve(&key("f", "a")).unwrap(), series);
    assert!(matches!(
        store.window(&Scope::everything(), series, range(0, 9), 2_001),
        Err(SeriesError::TooManyBuckets {
            asked: 2_001,
            max: 2_000
        })
    ));
    let batch = [reading(series, DAY, 1.0), reading(SeriesId(4), DAY, 1.0)];
    let refused = store.append(&batch, LogPosition(0), LogPosition(1));
    assert!(matches!(refused, Err(SeriesError::UnknownSeries(SeriesId(4)))));
    assert_eq!(all(&store, series), []);
    assert!(matches!(
        SeriesStore::open(options(dir.path()), clock()),
        Err(SeriesError::InUse { .. })
    ));
}

#[test]
fn series_of_a_facility_come_in_key_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    for (facility, device) in [("f", "b"), ("g", "x"), ("f", "c"), ("f", "a")] {
        store.resolve(&key(facility, device)).unwrap();
    }
    let found = store.series_of(&Scope::everything(), &FacilityId::new("f").unwrap());
    let devices: Vec<&str> = found.iter().map(|(key, _)| key.device.as_str()).collect();
    assert_eq!(devices, ["a", "b", "c"]);
    assert!(
        found
            .iter()
            .all(|(key, id)| store.key(&Scope::everything(), *id).as_ref() == Some(key))
    );
}

#[test]
fn the_ends_of_time_and_of_numbers_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let want = [
        (i64::MIN, f64::MAX),
        (-7 * DAY_MS - 1, -0.5),
        (-1, f64::MIN_POSITIVE),
        (0, 0.0),
        (7 * DAY_MS - 1, -f64::MAX),
        (7 * DAY_MS, 4.1),
        (i64::MAX - 1, 1e-300),
    ];
    let always = range(i64::MIN, i64::MAX);
    let scope = Scope::everything();
    let check = |store: &SeriesStore, series| {
        assert_eq!(
            pairs(&store.scan(&scope, series, always, usize::MAX).unwrap()),
            want
        );
        for buckets in [1, 2_000] {
            let window = store.window(&scope, series, always, buckets).unwrap();
            assert_eq!(window.iter().map(|b| b.count).sum::<u64>(), 7);
            assert!(window.iter().all(|b| b.min <= b.max && !b.avg().is_nan()));
        }
        for nothing in [range(5, 5), range(9, 1), range(i64::MAX, i64::MIN), range(1, 2)] {
            assert_eq!(store.scan(&scope, series, nothing, 9).unwrap(), []);
            assert_eq!(store.window(&scope, series, nothing, 9).unwrap(), []);
        }
        // Left-closed at the seam of two weeks.
        let seam = store
            .window(&scope, series, range(7 * DAY_MS - 1, 7 * DAY_MS + 1), 2)
            .unwrap();
        let seam: Vec<_> = seam.iter().map(|b| (b.start.0, b.last)).collect();
        assert_eq!(seam, [(7 * DAY_MS - 1, -f64::MAX), (7 * DAY_MS, 4.1)]);
    };
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    let readings: Vec<Reading> = want.iter().rev().map(|&(at, v)| reading(series, at, v)).collect();
    append(&store, 0, &readings);
    check(&store, series);
    store.flush().unwrap();
    check(&store, series);
    store.compact(true).unwrap();
    drop(store);
    let store = SeriesStore::open(options(dir.path()), clock()).unwrap();
    check(&store, series);
    assert_eq!(store.latest(&scope, series).unwrap().at.0, i64::MAX - 1);
}

#[test]
fn maintenance_flushes_by_size_and_by_age_and_compacts_closed_days() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    append(&store, 0, &[reading(series, DAY, 1.0)]);
    assert!(!store.maintain().unwrap());
    let many: Vec<Reading> = (1..360).map(|t| reading(series, DAY + t, 1.0)).collect();
    append(&store, 1, &many);
    assert!(store.maintain().unwrap(), "360 readings of one series are due");
    assert!(!store.maintain().unwrap());
    append(&store, 2, &[reading(series, DAY + 360, 1.0)]);
    clock.set(UtcMillis(DAY + 3_600_000));
    assert!(store.maintain().unwrap(), "an hour is due");
    assert_eq!((store.stats().chunks, store.stats().flushes), (2, 2));
    assert_eq!(store.checkpoint(), LogPosition(3));
    clock.set(UtcMillis(DAY + DAY_MS + 6 * 3_600_000 - 1));
    assert!(!store.maintain().unwrap());
    clock.set(UtcMillis(DAY + DAY_MS + 6 * 3_600_000));
    while store.maintain().unwrap() {}
    assert_eq!(store.stats().chunks, 1);
    assert_eq!(all(&store, series).len(), 361);
}

#[test]
fn a_clock_that_is_set_back_holds_no_reading_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let series = store.resolve(&key("f", "a")).unwrap();
    append(&store, 0, &[reading(series, DAY, 1.0)]);
    clock.set(UtcMillis(DAY - DAY_MS));
    assert!(
        store.maintain().unwrap(),
        "nobody knows how old it is, so it is written"
    );
    assert_eq!(store.checkpoint(), LogPosition(1));
}

#[test]
fn the_position_moves_on_while_the_log_holds_no_readings() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    append(&store, 500, &[]);
    clock.set(UtcMillis(DAY + 60_000));
    assert!(!store.maintain().unwrap());
    assert_eq!(store.checkpoint(), LogPosition(501));
    drop(store);
    let store = SeriesStore::open(options(dir.path()), clock).unwrap();
    assert_eq!(store.checkpoint(), LogPosition(501));
}
