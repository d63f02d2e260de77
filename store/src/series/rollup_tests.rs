//! Crashes between any two writes of compaction, rollups and retention; files of the format before.

use std::{collections::BTreeMap, fs, path::Path};

use domain::{Clock, LogPosition, Reading, Scope, TimeRange, UtcMillis};
use rusqlite::Connection;

use super::{
    SeriesOptions, SeriesStore,
    chunk::DAY_MS,
    crash_tests::{ALWAYS, batch, batch_reading, everything, open, series, two_chunks},
    inspect::check,
    query::{Aggregates, Level, Step, WindowAnswer, WindowQuery},
    rollup, week,
};

const HOUR_MS: i64 = 3_600_000;
/// The first day of a week, and of a file of minutes or hours too.
const FIRST: i64 = 364 * 57 * DAY_MS;
const SERIES: usize = 3;

/// What a log says, and what must be known of it for ever: hours.
struct Log {
    records: Vec<Vec<(usize, i64, f64)>>,
    model: Vec<BTreeMap<i64, f64>>,
}

impl Log {
    fn new() -> Log {
        Log {
            records: Vec::new(),
            model: vec![BTreeMap::new(); SERIES],
        }
    }

    /// Writes a record and hands it to the store.
    fn write(&mut self, store: &SeriesStore, record: Vec<(usize, i64, f64)>) {
        for &(n, at, value) in &record {
            self.model[n].insert(at, value);
        }
        self.records.push(record);
        self.replay(store, self.records.len() - 1);
    }

    /// Hands records to the store from `from` on.
    fn replay(&self, store: &SeriesStore, from: usize) {
        for (position, record) in (0..).zip(&self.records).skip(from) {
            let reading = |&(n, at, value): &(usize, i64, f64)| Reading {
                value,
                ..batch_reading(series(store, n), at)
            };
            let readings: Vec<Reading> = record.iter().map(reading).collect();
            store
                .append(&readings, LogPosition(position), LogPosition(position + 1))
                .unwrap();
        }
    }

    /// Hours of all that was ever written say what the model says, from whatever level they come.
    fn check(&self, store: &SeriesStore, to: i64, what: &str) -> Vec<Level> {
        let levels = (0..SERIES).map(|n| {
            let answer = hours(store, n, to);
            let mut want: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
            for (at, value) in &self.model[n] {
                let (count, sum, last) = want.entry(at - at.rem_euclid(HOUR_MS)).or_default();
                (*count, *sum, *last) = (*count + 1, *sum + value, *value);
            }
            let got: Vec<_> = answer
                .buckets
                .iter()
                .map(|b| (b.start.0, (b.count, b.sum, b.last)))
                .collect();
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "series {n}, {what}");
            answer.level
        });
        levels.collect()
    }
}

fn hours(store: &SeriesStore, n: usize, to: i64) -> WindowAnswer {
    let query = WindowQuery {
        range: TimeRange {
            from: UtcMillis(FIRST),
            to: UtcMillis(to),
        },
        step: Step::Fixed { ms: HOUR_MS },
        aggregates: Aggregates::PLAIN,
    };
    store
        .aggregate(&Scope::everything(), series(store, n), &query)
        .unwrap()
}

/// Days of so long a time that hours answer: start, count and sum of each. `None` where that fails.
fn days_from_hours(store: &SeriesStore, n: usize) -> Option<Vec<(i64, u64, f64)>> {
    let query = WindowQuery {
        range: TimeRange {
            from: UtcMillis(FIRST),
            to: UtcMillis(FIRST + 600 * DAY_MS),
        },
        step: Step::Fixed { ms: DAY_MS },
        aggregates: Aggregates::PLAIN,
    };
    let answer = store.aggregate(&Scope::everything(), series(store, n), &query);
    let answer = answer.ok()?;
    assert_eq!(answer.level, Level::Hour);
    Some(
        answer
            .buckets
            .iter()
            .map(|b| (b.start.0, b.count, b.sum))
            .collect(),
    )
}

/// What [`days_from_hours`] must say.
fn days_of(log: &Log, n: usize) -> Vec<(i64, u64, f64)> {
    let mut want: BTreeMap<i64, (u64, f64)> = BTreeMap::new();
    for (at, value) in &log.model[n] {
        let (count, sum) = want.entry(at - at.rem_euclid(DAY_MS)).or_default();
        (*count, *sum) = (*count + 1, *sum + value);
    }
    want.into_iter()
        .map(|(start, (count, sum))| (start, count, sum))
        .collect()
}

fn options(dir: &Path) -> SeriesOptions {
    SeriesOptions {
        shards: 2,
        flush_age_ms: 0,
        raw_days: 7,
        minute_days: 28,
        ..SeriesOptions::new(dir)
    }
}

/// 40 samples, every 40 minutes from `begin` on, of every series.
fn record(begin: i64, value: f64) -> Vec<(usize, i64, f64)> {
    let times = (0..40).map(|n| begin + n * 40 * 60_000);
    times
        .flat_map(|at| (0..SERIES).map(move |n| (n, at, value)))
        .collect()
}

/// Works until there is nothing to do, or something fails.
fn work(store: &SeriesStore) -> bool {
    loop {
        match store.maintain() {
            Ok(true) => {}
            Ok(false) => return true,
            Err(_) => return false,
        }
    }
}

#[test]
fn a_crash_in_compaction_rollup_or_retention_loses_doubles_and_resurrects_nothing() {
    for fail_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
        let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
        let mut log = Log::new();
        log.write(&store, record(FIRST, 1.0));
        log.write(&store, record(FIRST + DAY_MS, 2.0));
        assert!(work(&store), "two days are rolled up");
        // Half of the second day once more, corrected; then readings three weeks later, which end the first week.
        log.write(&store, record(FIRST + DAY_MS / 2, 3.0));
        let later = FIRST + 21 * DAY_MS;
        log.write(&store, record(later, 4.0));
        clock.set(UtcMillis(later + 2 * DAY_MS));
        let to = later + 2 * DAY_MS;
        store.0.disk().fail_at = Some(fail_at);
        let done = work(&store);
        assert_eq!(store.stats().fault.is_some(), !done);
        log.check(&store, to, &format!("while failing at step {fail_at}"));
        drop(store);

        let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
        log.replay(&store, usize::try_from(store.checkpoint().0).unwrap());
        log.check(&store, to, &format!("after a crash at step {fail_at}"));
        assert!(work(&store));
        let levels = log.check(&store, to, &format!("after recovery from step {fail_at}"));
        assert_eq!(
            levels,
            [Level::Minute; SERIES],
            "the readings of the first week are gone"
        );
        assert!(!week::file_of(dir.path(), FIRST / DAY_MS / 7).exists());
        // A reading of a day that is gone is counted, and does not come back after a restart either.
        let stats = store.stats();
        assert_eq!(stats.raw_from, Some(UtcMillis(FIRST + 7 * DAY_MS)));
        let position = log.records.len() as u64;
        let late = batch_reading(series(&store, 0), FIRST);
        store
            .append(&[late], LogPosition(position), LogPosition(position + 1))
            .unwrap();
        assert_eq!(store.stats().too_late, stats.too_late + 1);
        store.flush().unwrap();
        drop(store);
        let store = SeriesStore::open(options(dir.path()), clock).unwrap();
        log.check(&store, to, "after everything");
        if done {
            assert!(fail_at >= 20, "every write has a step: {fail_at}");
            return;
        }
    }
}

#[test]
fn late_readings_of_a_finished_day_are_seen_at_every_level_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
    let options = || SeriesOptions {
        flush_age_ms: HOUR_MS,
        ..options(dir.path())
    };
    let to = FIRST + 40 * DAY_MS;
    let mut log = Log::new();
    let check = |store: &SeriesStore, log: &Log, what: &str| {
        assert_eq!(log.check(store, to, what), [Level::Minute; SERIES], "{what}");
        let query = WindowQuery {
            range: TimeRange {
                from: UtcMillis(FIRST),
                to: UtcMillis(to),
            },
            step: Step::Fixed { ms: HOUR_MS },
            aggregates: Aggregates::ALL,
        };
        let answer = store
            .aggregate(&Scope::everything(), series(store, 0), &query)
            .unwrap();
        let count: u64 = answer.buckets.iter().map(|b| b.count).sum();
        assert_eq!(
            (answer.level, count),
            (Level::Minute, log.model[0].len() as u64),
            "{what}"
        );
    };
    let store = SeriesStore::open(options(), clock.clone()).unwrap();
    log.write(&store, record(FIRST, 1.0));
    store.flush().unwrap();
    assert!(work(&store));
    assert_eq!(store.stats().days_waiting, 0);
    check(&store, &log, "rolled up");
    log.write(&store, record(FIRST + 1, 2.0));
    check(&store, &log, "late readings in memory");
    store.flush().unwrap();
    check(&store, &log, "late readings in chunks");
    drop(store);
    let store = SeriesStore::open(options(), clock).unwrap();
    check(&store, &log, "late readings after a restart");
    assert_eq!(store.stats().days_waiting, 2);
    assert!(work(&store));
    check(&store, &log, "rolled up again");
}

#[test]
fn minutes_go_after_their_time_and_hours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST));
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let mut log = Log::new();
    let to = FIRST + 80 * DAY_MS;
    for day in [0, 27, 28, 76] {
        log.write(&store, record(FIRST + day * DAY_MS, day as f64));
        clock.set(UtcMillis(FIRST + (day + 2) * DAY_MS));
        assert!(work(&store));
        log.check(&store, to, &format!("after day {day}"));
    }
    let files = |prefix: &str| {
        let entries = fs::read_dir(dir.path()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with(prefix) && name.ends_with(".db"))
            .collect();
        names.sort();
        names
    };
    let month = FIRST / DAY_MS / 28;
    assert_eq!(
        files("minute-"),
        [
            format!("minute-{}.db", month + 1),
            format!("minute-{}.db", month + 2)
        ]
    );
    assert_eq!(files("hour-"), [format!("hour-{}.db", FIRST / DAY_MS / 364)]);
    assert_eq!(files("raw-").len(), 2, "the last readings lie in two weeks");
    assert_eq!(hours(&store, 0, to).level, Level::Hour);
    assert_eq!(store.stats().days_waiting, 1, "the last day is not over");
}

#[test]
fn rollups_that_somebody_moved_away_are_computed_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let mut log = Log::new();
    log.write(&store, record(FIRST, 1.0));
    assert!(work(&store));
    drop(store);
    fs::remove_file(rollup::file_of(dir.path(), Level::Hour, FIRST / DAY_MS / 364)).unwrap();
    let store = SeriesStore::open(options(dir.path()), clock).unwrap();
    assert_eq!(store.stats().days_waiting, 2);
    assert!(work(&store));
    drop(store);
    let report = check(dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!((report.problems, report.survey.files.len()), (vec![], 3));
}

#[test]
fn readings_that_never_end_to_be_late_do_not_hold_retention_up() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
    let options = SeriesOptions {
        flush_age_ms: HOUR_MS,
        ..options(dir.path())
    };
    let store = SeriesStore::open(options, clock.clone()).unwrap();
    let mut log = Log::new();
    log.write(&store, record(FIRST, 1.0));
    let later = FIRST + 21 * DAY_MS;
    log.write(&store, record(later, 4.0));
    clock.set(UtcMillis(later + 2 * DAY_MS));
    let (mut rounds, mut taken) = (0_u64, 2);
    while store.stats().raw_from.is_none() {
        rounds += 1;
        assert!(rounds < 200, "it never ends");
        let position = log.records.len() as u64 + rounds;
        let late = batch_reading(series(&store, 0), FIRST + rounds.cast_signed());
        let before = store.stats().too_late;
        store
            .append(&[late], LogPosition(position - 1), LogPosition(position))
            .unwrap();
        taken += 1 - (store.stats().too_late - before);
        store.maintain().unwrap();
    }
    assert!(store.stats().too_late > 0);
    let hour = hours(&store, 0, later).buckets[0];
    assert_eq!(hour.count, taken, "each is counted on one side");
}

#[test]
fn a_clock_that_jumps_ahead_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST));
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let mut log = Log::new();
    log.write(&store, record(FIRST, 1.0));
    clock.set(UtcMillis(FIRST + 9_000 * DAY_MS));
    assert!(work(&store));
    assert!(week::file_of(dir.path(), FIRST / DAY_MS / 7).exists());
    assert_eq!(store.stats().raw_from, None);
}

#[test]
fn a_damaged_chunk_keeps_no_other_series_from_its_rollups() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let mut log = Log::new();
    log.write(&store, record(FIRST, 1.0));
    store.flush().unwrap();
    drop(store);
    Connection::open(week::file_of(dir.path(), FIRST / DAY_MS / 7))
        .unwrap()
        .execute("UPDATE chunk SET crc = crc + 1 WHERE s = 0", [])
        .unwrap();
    let store = SeriesStore::open(options(dir.path()), clock).unwrap();
    assert!(work(&store));
    let hours_of = |series| super::read::CellsOf {
        series,
        level: Level::Hour,
        bins: true,
    };
    let rolled = |n| {
        let reader = &store.0.readers;
        let mut cells = 0;
        reader
            .each_part(hours_of(n), ALWAYS, &[], &mut |part| {
                if let super::read::Part::Cells(of_day) = part {
                    cells += of_day.len();
                }
                Ok(())
            })
            .unwrap();
        cells
    };
    assert_eq!((0..3).map(rolled).collect::<Vec<_>>(), [0, 27, 27]);
}

#[test]
fn files_of_the_first_format_are_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let file = two_chunks(dir.path());
    let want = {
        let store = open(dir.path());
        everything(&store)
    };
    // As the first version wrote them.
    let old = Connection::open(&file).unwrap();
    old.execute_batch(
        "DROP TABLE rolled; DROP INDEX summary;
         CREATE TABLE was(
            day INTEGER NOT NULL, s INTEGER NOT NULL, t0 INTEGER NOT NULL, seq INTEGER NOT NULL,
            t1 INTEGER NOT NULL, n INTEGER NOT NULL, mn REAL NOT NULL, mx REAL NOT NULL,
            sum REAL NOT NULL, last REAL NOT NULL, crc INTEGER NOT NULL,
            tb BLOB NOT NULL, vb BLOB NOT NULL,
            UNIQUE(day, s, t0, seq)
         );
         INSERT INTO was SELECT day, s, t0, seq, t1, n, mn, mx, sum, last, crc, tb, vb FROM chunk;
         DROP TABLE chunk; ALTER TABLE was RENAME TO chunk; PRAGMA user_version = 1;",
    )
    .unwrap();
    let catalog = Connection::open(dir.path().join("catalog.db")).unwrap();
    catalog
        .execute_batch("DROP TABLE floor; PRAGMA user_version = 1;")
        .unwrap();
    drop((old, catalog));

    let store = open(dir.path());
    assert_eq!(everything(&store), want);
    let position = store.checkpoint().0;
    store
        .append(
            &batch(&store, 9),
            LogPosition(position),
            LogPosition(position + 1),
        )
        .unwrap();
    let want = everything(&store);
    store.flush().unwrap();
    store.compact(true).unwrap();
    assert_eq!(everything(&store), want);
    assert_eq!((store.stats().chunks, store.stats().days_waiting), (8, 0));
}

#[test]
fn a_damaged_rollup_file_is_set_aside_and_computed_again() {
    let number = FIRST / DAY_MS / 364;
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes[0] ^= 0xff,
        |bytes| bytes[16..18].fill(0xff),
        |bytes| bytes[100..200].fill(0xa5),
        |bytes| bytes[4_096..].fill(0x5a),
        |bytes| {
            // What rows hold lies at the ends of their pages.
            let pages = bytes.chunks_exact_mut(4_096).skip(2);
            pages.for_each(|page| page[4_000..4_060].fill(0x5a));
        },
        Vec::clear,
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
        let mut log = Log::new();
        let check_days = |store: &SeriesStore, log: &Log, what: &str| {
            for n in 0..SERIES {
                assert_eq!(days_from_hours(store, n), Some(days_of(log, n)), "{what}");
            }
        };
        let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
        log.write(&store, record(FIRST, 1.0));
        log.write(&store, record(FIRST + DAY_MS, 2.0));
        assert!(work(&store));
        check_days(&store, &log, "before");
        let waiting = store.stats().days_waiting;
        drop(store);
        let file = rollup::file_of(dir.path(), Level::Hour, number);
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        // A file in which nothing is, as a power cut may leave it, has nothing to be kept for.
        let aside = u64::from(!bytes.is_empty());
        fs::write(&file, bytes).unwrap();

        let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
        // Damage that only reading finds is found by the first question that reads it.
        (0..SERIES).for_each(|n| drop(days_from_hours(&store, n)));
        assert!(work(&store), "damage {n}");
        check_days(&store, &log, &format!("after damage {n}"));
        assert_eq!(
            (store.stats().files_aside, store.stats().days_waiting),
            (aside, waiting),
            "damage {n}"
        );
        drop(store);
        let report = check(dir.path(), &mut |_, _| ()).unwrap();
        assert_eq!(report.problem_count, aside, "damage {n}: {:?}", report.problems);
        assert!(
            report
                .problems
                .iter()
                .all(|problem| problem.what.contains("set aside"))
        );
        let store = SeriesStore::open(options(dir.path()), clock).unwrap();
        assert_eq!(store.stats().files_aside, aside, "it is still there");
        check_days(&store, &log, "after a restart");
    }
}

#[test]
fn rows_whose_readings_are_gone_survive_the_damage_beside_them() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST));
    let mut log = Log::new();
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    for day in [0, 21] {
        log.write(&store, record(FIRST + day * DAY_MS, day as f64));
        clock.set(UtcMillis(FIRST + (day + 2) * DAY_MS));
        assert!(work(&store));
    }
    assert!(
        store.stats().raw_from.is_some(),
        "the readings of the first day are gone"
    );
    drop(store);
    // One row of the second day, which can be computed again.
    Connection::open(rollup::file_of(dir.path(), Level::Hour, FIRST / DAY_MS / 364))
        .unwrap()
        .execute(
            "UPDATE cells SET crc = crc + 1 WHERE s = 1 AND day > ?",
            [FIRST / DAY_MS + 5],
        )
        .unwrap();
    let store = SeriesStore::open(options(dir.path()), clock).unwrap();
    assert_eq!(days_from_hours(&store, 1), None, "the first question finds it");
    assert!(work(&store));
    for n in 0..SERIES {
        assert_eq!(days_from_hours(&store, n), Some(days_of(&log, n)));
    }
    assert_eq!(store.stats().files_aside, 1);
}

#[test]
fn minutes_of_an_older_file_leave_quantiles_to_the_hours() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(UtcMillis(FIRST + 3 * DAY_MS));
    let store = SeriesStore::open(options(dir.path()), clock.clone()).unwrap();
    let mut log = Log::new();
    // Two values in each minute, far apart.
    let day = (0..1_000).flat_map(|n| [(0, FIRST + n * 60_000, 1.0), (0, FIRST + n * 60_000 + 1, 40.0)]);
    log.write(&store, day.collect());
    assert!(work(&store));
    let quantiles = |store: &SeriesStore| {
        let query = WindowQuery {
            range: TimeRange {
                from: UtcMillis(FIRST),
                to: UtcMillis(FIRST + 40 * DAY_MS),
            },
            step: Step::Fixed { ms: DAY_MS },
            aggregates: Aggregates::ALL,
        };
        let answer = store.aggregate(&Scope::everything(), series(store, 0), &query);
        let answer = answer.unwrap();
        let bucket = answer.buckets[0];
        (
            answer.level,
            bucket.count,
            bucket.quantiles.p50,
            bucket.quantiles.p95,
        )
    };
    let near = |(level, count, p50, p95): (Level, u64, Option<f64>, Option<f64>), want: Level| {
        assert_eq!((level, count), (want, 2_000));
        assert!((p50.unwrap() - 1.0).abs() < 0.011 && (p95.unwrap() - 40.0).abs() < 0.41);
    };
    near(quantiles(&store), Level::Minute);
    drop(store);
    // As the version before wrote them: no columns of bins behind the first six.
    let file = rollup::file_of(dir.path(), Level::Minute, FIRST / DAY_MS / 28);
    let connection = Connection::open(&file).unwrap();
    let data: Vec<u8> = connection
        .query_row("SELECT data FROM cells WHERE s = 0", [], |row| row.get(0))
        .unwrap();
    let mut end = 0;
    for _ in 0..6 {
        let length = u32::from_le_bytes(data[end..end + 4].try_into().unwrap());
        end += 4 + length as usize;
    }
    assert!(end < data.len(), "there are bins");
    let bare = &data[..end];
    connection
        .execute(
            "UPDATE cells SET data = ?, crc = ? WHERE s = 0",
            rusqlite::params![bare, crc32fast::hash(bare)],
        )
        .unwrap();
    drop(connection);
    let store = SeriesStore::open(options(dir.path()), clock).unwrap();
    near(quantiles(&store), Level::Hour);
    let levels = log.check(&store, FIRST + 80 * DAY_MS, "all else comes from minutes");
    assert_eq!(levels[0], Level::Minute);
}
