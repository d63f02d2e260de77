//! Looking into a store's files: what is there, and what is wrong with it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use domain::{Clock, LogPosition, Quality, Reading, SeriesKey, UtcMillis};
use rusqlite::Connection;
use sunshine_store::{
    Level, SeriesError, SeriesOptions, SeriesStore,
    series::inspect::{check, survey},
};

const DAY_MS: i64 = 86_400_000;
const START: i64 = 20_776 * DAY_MS;

fn open(dir: &Path) -> SeriesStore {
    SeriesStore::open(SeriesOptions::new(dir), Clock::simulated(UtcMillis(START))).unwrap()
}

/// Two series, two days, 48 readings a day each; compacted and rolled up.
fn fill(store: &SeriesStore) {
    for (position, device) in [(0, "a"), (1, "b")] {
        let key = SeriesKey {
            facility: "f".parse().unwrap(),
            device: device.parse().unwrap(),
            metric: "temperature".parse().unwrap(),
        };
        let series = store.resolve(&key).unwrap();
        let reading = |n: i64| Reading {
            series,
            at: UtcMillis(START + n * 1_800_000),
            received: UtcMillis(START),
            value: n as f64,
            quality: Quality::Good,
        };
        let batch: Vec<Reading> = (0..96).map(reading).collect();
        store
            .append(&batch, LogPosition(position), LogPosition(position + 1))
            .unwrap();
    }
    store.flush().unwrap();
    store.compact(true).unwrap();
}

fn check_all(dir: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let report = check(dir, &mut |read, total| told.push((read, total))).unwrap();
    assert!(told.iter().all(|(read, total)| read <= total));
    assert_eq!(report.problem_count, report.problems.len() as u64);
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let problems = report.problems.iter();
    problems
        .map(|p| format!("{}: {}", name(&p.file), p.what))
        .collect()
}

#[test]
fn a_sound_store_is_counted_and_has_no_problems() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    fill(&store);
    let found = survey(dir.path()).unwrap();
    assert_eq!(
        (found.series, found.checkpoint, found.raw_from),
        (2, LogPosition(2), None)
    );
    let counts: Vec<_> = found.files.iter().map(|f| (f.level, f.rows, f.values)).collect();
    assert_eq!(
        counts,
        [
            (Level::Raw, 4, 192),
            (Level::Minute, 4, 192),
            (Level::Hour, 4, 96)
        ]
    );
    assert!(
        found
            .files
            .iter()
            .all(|f| f.bytes > 0 && f.first_day <= 20_776 && f.last_day >= 20_777)
    );
    assert!(matches!(
        check(dir.path(), &mut |_, _| ()),
        Err(SeriesError::InUse { .. })
    ));
    drop(store);
    assert_eq!(check_all(dir.path()), Vec::<String>::new());
    assert_eq!(check(dir.path(), &mut |_, _| ()).unwrap().survey.files.len(), 3);
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fill(&open(dir.path()));
    let change = |file: &str, sql: &str| {
        Connection::open(dir.path().join(file))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    change(
        "raw-2968.db",
        "UPDATE chunk SET crc = crc + 1 WHERE s = 0 AND day = 20776",
    );
    change(
        "raw-2968.db",
        "UPDATE chunk SET s = 9 WHERE s = 1 AND day = 20777",
    );
    change("raw-2968.db", "UPDATE tally SET chunks = 5");
    change(
        "minute-742.db",
        "UPDATE cells SET data = x'00' WHERE s = 0 AND day = 20777",
    );
    change("hour-57.db", "DELETE FROM cells WHERE s = 1 AND day = 20776");
    let problems = check_all(dir.path());
    let mut missing = vec![
        "a chunk's checksum does not match",
        "a chunk of series 9, which has no name",
        "it counts 5 chunks and has 4",
        "minute-742.db: series 0: ",
        "hour-57.db: series 1, day 20776: the rollup is behind its readings",
        "minute-742.db: series 9, day 20777: the rollup is behind",
    ];
    missing.retain(|part| !problems.iter().any(|problem| problem.contains(part)));
    assert!(missing.is_empty(), "{missing:?} not in {problems:#?}");

    fs::remove_file(dir.path().join("hour-57.db")).unwrap();
    fs::write(dir.path().join("raw-2968.db"), vec![b'x'; 20_000]).unwrap();
    let problems = check_all(dir.path());
    assert!(
        problems
            .iter()
            .any(|p| p.contains("raw-2968.db") && p.contains("is damaged"))
    );
}

#[test]
fn a_folder_without_a_store_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    assert!(survey(dir.path()).is_err());
    assert!(survey(&dir.path().join("nothing")).is_err());
}
