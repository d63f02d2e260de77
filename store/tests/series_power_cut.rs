//! Cuts the power under a time-series store at random moments, again and again, in the middle of flushes, compaction,
//! rollups and retention, and checks that every reading of the log is there, once, and that nothing comes back that
//! was given up. And fills the disk, and lets it fail.
//!
//! The disk is `tests/crashfs`, a file system that forgets what was not synced and tears what was being written. This
//! test binary runs itself as the child that works; the child finds its orders in its working directory. An ordinary run
//! cuts the power a few times; `cargo test --test series_power_cut -- --ignored` cuts it 500 times.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/crashfs/mounted.rs"]
mod mounted;

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use domain::{
    Clock, DeviceId, FacilityId, LogPosition, Metric, Quality, Reading, Scope, SeriesId, SeriesKey,
    TimeRange, UtcMillis,
};
use mounted::{MountedDisk, build_tool, cannot_mount, copy_directory};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sunshine_store::{
    Aggregates, SeriesError, SeriesOptions, SeriesStore, Step, WindowQuery, series::inspect::check,
};

const FEW_CUTS: u64 = 10;
/// So many cuts one store lives through; then a new one begins, with or without what POSIX does not promise.
const STORE_LIVES: usize = 5;
/// The file in the child's working directory that tells it where the store is, and the first record to write.
const ORDERS: &str = "series-power-cut-orders";

const HOUR_MS: i64 = 3_600_000;
const START: i64 = 364 * 57 * 24 * HOUR_MS;
/// Time between two records of the log.
const RECORD_MS: i64 = HOUR_MS / 2;
const SERIES: u32 = 4;

fn options(dir: &Path) -> SeriesOptions {
    SeriesOptions {
        shards: 2,
        flush_age_ms: 4 * HOUR_MS,
        raw_days: 7,
        minute_days: 28,
        ..SeriesOptions::new(dir)
    }
}

fn now(record: u64) -> UtcMillis {
    UtcMillis(START + i64::try_from(record).unwrap() * RECORD_MS)
}

fn open(dir: &Path, record: u64) -> (SeriesStore, Clock) {
    let clock = Clock::simulated(now(record));
    let store = SeriesStore::open(options(dir), clock.clone()).unwrap();
    for n in 0..SERIES {
        let key = SeriesKey {
            facility: FacilityId::new("f").unwrap(),
            device: DeviceId::new(&format!("d{n}")).unwrap(),
            metric: Metric::new("temperature").unwrap(),
        };
        assert_eq!(store.resolve(&key).unwrap(), SeriesId(n));
    }
    (store, clock)
}

/// What record `n` of the log says: new readings of every series, and some late ones that correct what was said
/// up to two days before.
fn record(n: u64) -> Vec<(u32, i64, f64)> {
    let mut random = SmallRng::seed_from_u64(n);
    let fresh = (0..SERIES * 3).map(|i| {
        let at = now(n).0 + i64::from(i / SERIES) * RECORD_MS / 3;
        (i % SERIES, at, f64::from(i) + (n % 50) as f64)
    });
    let mut said: Vec<(u32, i64, f64)> = fresh.collect();
    if n.is_multiple_of(5) {
        let before = random.random_range(0..96.min(n + 1));
        said.push((random.random_range(0..SERIES), now(n - before).0, 1_000.0));
    }
    said
}

/// Appends records `from..upto`.
fn append(store: &SeriesStore, from: u64, upto: u64) {
    for n in from..upto {
        let reading = |(series, at, value)| Reading {
            series: SeriesId(series),
            at: UtcMillis(at),
            received: now(n),
            value,
            quality: Quality::Good,
        };
        let readings: Vec<Reading> = record(n).into_iter().map(reading).collect();
        store
            .append(&readings, LogPosition(n), LogPosition(n + 1))
            .unwrap();
    }
}

/// Everything that the log says up to a record.
#[derive(Default)]
struct Model {
    upto: u64,
    series: BTreeMap<u32, BTreeMap<i64, f64>>,
}

impl Model {
    fn extend(&mut self, upto: u64) {
        for n in self.upto..upto {
            for (series, at, value) in record(n) {
                self.series.entry(series).or_default().insert(at, value);
            }
        }
        self.upto = self.upto.max(upto);
    }

    /// Hours say it all; readings say what is kept.
    fn check(&self, store: &SeriesStore, what: &str) {
        let scope = Scope::everything();
        let raw_from = store.stats().raw_from.map_or(i64::MIN, |from| from.0);
        for (series, model) in &self.series {
            let mut hours = Vec::new();
            let mut from = START;
            while from < now(self.upto).0 {
                let range = TimeRange {
                    from: UtcMillis(from),
                    to: UtcMillis(from + 1_000 * HOUR_MS),
                };
                let query = WindowQuery {
                    range,
                    step: Step::Fixed { ms: HOUR_MS },
                    aggregates: Aggregates::PLAIN,
                };
                let answer = store.aggregate(&scope, SeriesId(*series), &query).unwrap();
                hours.extend(answer.buckets.iter().map(|b| (b.start.0, b.count, b.sum, b.last)));
                from = range.to.0;
            }
            let mut want: Vec<(i64, u64, f64, f64)> = Vec::new();
            for (at, value) in model {
                let hour = at - at.rem_euclid(HOUR_MS);
                match want.last_mut() {
                    Some(last) if last.0 == hour => *last = (hour, last.1 + 1, last.2 + value, *value),
                    _ => want.push((hour, 1, *value, *value)),
                }
            }
            let wrong = hours.iter().zip(&want).find(|(got, want)| got != want);
            assert_eq!(
                (hours.len(), wrong),
                (want.len(), None),
                "{what}: series {series}"
            );
            let always = TimeRange {
                from: UtcMillis(i64::MIN),
                to: UtcMillis(i64::MAX),
            };
            let samples = store.scan(&scope, SeriesId(*series), always, usize::MAX).unwrap();
            let kept = model.range(raw_from..).map(|(at, value)| (*at, *value));
            assert!(
                samples.iter().map(|s| (s.at.0, s.value)).eq(kept),
                "{what}: readings of {series}"
            );
        }
    }
}

fn work(store: &SeriesStore) {
    while store.maintain().unwrap() {}
}

#[test]
fn nothing_is_lost_doubled_or_resurrected_by_power_cuts() {
    assert!(survive(FEW_CUTS));
}

#[test]
#[ignore = "takes half an hour"]
fn nothing_is_lost_doubled_or_resurrected_by_500_power_cuts() {
    assert!(survive(500));
}

/// Cuts the power so many times. True when that went well, or cannot be tried here.
fn survive(cuts: u64) -> bool {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return true;
    }
    let tool = build_tool();
    let (mut records, mut given_up) = (0, 0);
    for first in (0..cuts).step_by(STORE_LIVES) {
        let strict = first / STORE_LIVES as u64 % 2 == 1;
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut checkpoint = 0;
        for seed in first..cuts.min(first + STORE_LIVES as u64) {
            let (begun, claimed) = run_until_cut(&tool, dir.path(), (seed, strict), model.upto);
            model.extend(begun);
            checkpoint = claimed.max(checkpoint);
            given_up += u64::from(check_survivors(dir.path(), &model, checkpoint, seed));
        }
        records += model.upto;
    }
    assert!(records > 2 * cuts, "the child has hardly run: {records}");
    assert!(given_up > 0, "retention was at work");
    println!("{cuts} cuts, {records} records, retention at work in {given_up}");
    true
}

/// Checks what survived, on a copy, so that the next child meets the same damage itself. Whether readings were given
/// up in it.
fn check_survivors(dir: &Path, model: &Model, checkpoint: u64, seed: u64) -> bool {
    let copy = dir.join("copy");
    copy_directory(&dir.join("image/series"), &copy);
    let (store, _) = open(&copy, model.upto);
    let survived = store.checkpoint().0;
    assert!(
        (checkpoint..=model.upto).contains(&survived),
        "seed {seed}: {survived} is not between {checkpoint} and {}",
        model.upto
    );
    append(&store, survived, model.upto);
    model.check(&store, &format!("seed {seed}"));
    work(&store);
    model.check(&store, &format!("seed {seed}, after maintenance"));
    let stats = store.stats();
    assert_eq!(stats.too_late, 0, "seed {seed}");
    drop(store);
    let report = check(&copy, &mut |_, _| ()).unwrap();
    assert_eq!(report.problems, [], "seed {seed}");
    fs::remove_dir_all(copy).unwrap();
    stats.raw_from.is_some()
}

/// One life: mounts the image, lets the child work, cuts the power after a random number of lines. Answers the
/// record up to which the log was written, and the checkpoint that was claimed.
fn run_until_cut(tool: &Path, dir: &Path, (seed, strict): (u64, bool), first: u64) -> (u64, u64) {
    let disk = MountedDisk::tearing(tool, dir, (seed, strict));
    let orders = format!("{}\n{first}\n", disk.mountpoint.join("series").display());
    fs::write(dir.join(ORDERS), orders).unwrap();
    let enough = SmallRng::seed_from_u64(seed).random_range(20..900);
    let said = disk.cut_while(dir, "child_works_until_the_power_goes", enough);
    let last = |word: &str| {
        let numbers = said
            .lines()
            .filter_map(|line| line.strip_prefix(word)?.parse::<u64>().ok());
        numbers.max().unwrap_or_default()
    };
    (first.max(last("begin ") + 1), last("checkpoint "))
}

/// Not a test of its own: what the child process runs. Ends when the disk is gone.
#[test]
fn child_works_until_the_power_goes() {
    let Ok(orders) = fs::read_to_string(ORDERS) else {
        return;
    };
    let [dir, first] = orders.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {orders}")
    };
    let first: u64 = first.parse().unwrap();
    let (store, clock) = open(Path::new(dir), first);
    let mut out = std::io::stdout();
    let mut say = |text: String| {
        out.write_all(text.as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let mut claimed = store.checkpoint().0;
    say(format!("\ncheckpoint {claimed}\n"));
    append(&store, claimed, first);
    for n in first.. {
        clock.set(now(n));
        // The log is durable before the store hears of it.
        say(format!("begin {n}\n"));
        append(&store, n, n + 1);
        loop {
            match store.maintain() {
                Ok(true) => {}
                Ok(false) => break,
                Err(_gone) => return,
            }
        }
        if store.checkpoint().0 > claimed {
            claimed = store.checkpoint().0;
            say(format!("checkpoint {claimed}\n"));
        }
    }
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room() {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return;
    }
    const BALLAST_BYTES: usize = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let most = (BALLAST_BYTES + (2 << 20)).to_string();
    let disk = MountedDisk::mount(&build_tool(), dir.path(), &["--max-bytes", &most]);
    let ballast = disk.mountpoint.join("ballast");
    fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();
    let (store, clock) = open(&disk.mountpoint.join("series"), 0);
    let mut n = 0;
    let failed = loop {
        assert!(n < 5_000, "the disk never fills up");
        clock.set(now(n));
        append(&store, n, n + 1);
        n += 1;
        if let Err(error) = store.maintain() {
            break error;
        }
    };
    assert!(
        matches!(failed, SeriesError::Full { .. } | SeriesError::Database { .. }),
        "{failed:?}"
    );
    assert_eq!(store.stats().fault, Some(failed.to_string()));
    let mut model = Model::default();
    append(&store, n, n + 5);
    model.extend(n + 5);
    model.check(&store, "while the disk is full");
    let checkpoint = store.checkpoint();
    assert!(store.flush().is_err());
    assert_eq!(store.checkpoint(), checkpoint, "the log is kept from here");
    fs::remove_file(ballast).unwrap();
    work(&store);
    store.flush().unwrap();
    assert_eq!((store.stats().fault, store.checkpoint().0), (None, n + 5));
    model.check(&store, "when there is room again");
}

#[test]
fn a_disk_that_fails_to_sync_is_told_and_what_was_claimed_is_there() {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return;
    }
    for fail_after in ["60", "61", "64", "90"] {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = MountedDisk::mount(
            &build_tool(),
            dir.path(),
            &["--tear", "--fail-sync-after", fail_after],
        );
        let (store, clock) = open(&disk.mountpoint.join("series"), 0);
        let mut n = 0;
        let failed = loop {
            assert!(n < 5_000, "no sync fails");
            clock.set(now(n));
            append(&store, n, n + 1);
            n += 1;
            if let Err(error) = store.maintain() {
                break error;
            }
        };
        assert_eq!(store.stats().fault, Some(failed.to_string()));
        let claimed = store.checkpoint().0;
        for _ in 0..3 {
            assert!(store.flush().is_err());
        }
        assert_eq!(
            store.checkpoint().0,
            claimed,
            "nothing is claimed that was not synced"
        );
        let mut model = Model::default();
        model.extend(n);
        model.check(&store, "while syncs fail");
        // The disk waits for open files.
        drop(store);
        disk.cut();
        let (store, _) = open(&dir.path().join("image/series"), n);
        assert!(store.checkpoint().0 >= claimed);
        append(&store, store.checkpoint().0, n);
        model.check(&store, "after the power went");
        work(&store);
        model.check(&store, "on a sound disk");
        assert_eq!(store.stats().fault, None);
    }
}
