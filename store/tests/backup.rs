//! Databases copied as they were at one moment, while somebody writes to all of them.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant},
};

use domain::LogPosition;
use rusqlite::Connection;
use sunshine_store::backup::{BackupError, Moment};

const MOMENTS: usize = 20;

/// The databases in the order in which the writer writes them, and the statements for each.
const DATABASES: [(&str, &str, &str, &str); 3] = [
    (
        "series/raw-1.db",
        "CREATE TABLE t(n INTEGER, filling BLOB); INSERT INTO t VALUES (0, zeroblob(100000));",
        "UPDATE t SET n = ?1, filling = randomblob(100000)",
        "SELECT n FROM t",
    ),
    (
        "series/catalog.db",
        "CREATE TABLE position(replay_from INTEGER); INSERT INTO position VALUES (0);",
        "UPDATE position SET replay_from = ?1",
        "SELECT replay_from FROM position",
    ),
    (
        "records.db",
        "CREATE TABLE engine_snapshot(id INTEGER, position INTEGER); INSERT INTO engine_snapshot VALUES (1, 0);",
        "UPDATE engine_snapshot SET position = ?1 WHERE id = 1",
        "SELECT position FROM engine_snapshot",
    ),
];

fn make(dir: &Path) -> Vec<Connection> {
    fs::create_dir(dir.join("series")).unwrap();
    DATABASES
        .iter()
        .map(|(name, schema, ..)| {
            let connection = Connection::open(dir.join(name)).unwrap();
            connection.execute_batch("PRAGMA journal_mode=WAL").unwrap();
            connection.execute_batch(schema).unwrap();
            connection.busy_timeout(Duration::from_secs(10)).unwrap();
            connection
        })
        .collect()
}

#[test]
fn every_database_is_copied_as_it_was_at_the_same_moment() {
    let dir = tempfile::tempdir().unwrap();
    let connections = make(dir.path());
    let (stop, written) = (&AtomicBool::new(false), &AtomicI64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut n = 0;
            while !stop.load(Ordering::Acquire) {
                n += 1;
                for (connection, (_, _, update, _)) in connections.iter().zip(DATABASES) {
                    connection.execute(update, [n]).unwrap();
                }
                written.store(n, Ordering::Release);
            }
        });
        for _ in 0..MOMENTS {
            let before = written.load(Ordering::Acquire);
            let (moment, at) = Moment::take(dir.path(), || written.load(Ordering::Acquire)).unwrap();
            // Somebody writes on before anything is copied.
            let deadline = Instant::now() + Duration::from_secs(30);
            while written.load(Ordering::Acquire) < at + 5 {
                assert!(Instant::now() < deadline, "the writer was stopped");
                std::thread::yield_now();
            }
            let (checkpoint, judged) = (moment.checkpoint, moment.judged.unwrap());
            assert_eq!(moment.replay_from(), judged);
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir(copy.path().join("series")).unwrap();
            let (total, mut told) = (moment.bytes().unwrap(), 0);
            let names = moment.copy(copy.path(), &mut |bytes| told += bytes).unwrap();
            assert_eq!((names.len(), told), (3, total));
            let [raw, catalog, records] = DATABASES.map(|(name, _, _, select)| {
                let copied = Connection::open(copy.path().join(name)).unwrap();
                copied.query_row(select, [], |row| row.get::<_, i64>(0)).unwrap()
            });
            assert!(
                raw >= catalog && catalog >= records && records >= raw - 1,
                "{raw} {catalog} {records}"
            );
            assert!(records >= before && at >= records - 1 && at <= records);
            assert_eq!(checkpoint, LogPosition(catalog.cast_unsigned()));
            assert_eq!(judged, LogPosition(records.cast_unsigned()));
        }
        stop.store(true, Ordering::Release);
    });
}

#[test]
fn what_cannot_be_copied_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Moment::take(dir.path(), || ()).err().unwrap();
    assert!(matches!(missing, BackupError::Io { .. }), "{missing:?}");
    drop(make(dir.path()));
    fs::write(dir.path().join("series/hour-0.db"), [7; 8_192]).unwrap();
    let damaged = Moment::take(dir.path(), || ()).err().unwrap();
    assert!(damaged.to_string().contains("hour-0.db"), "{damaged}");
}
