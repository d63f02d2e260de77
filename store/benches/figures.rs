//! The figures that are promised of the time-series store, in seconds of the processor (a busy machine stretches the
//! wall clock) with the wall time beside them. One at a time by name, or all:
//!
//! ```sh
//! cargo bench -p sunshine-store --bench figures -- ingest wide query share latest reopen
//! ```
//!
//! `--part=20` runs everything on a twentieth of the data.

#[path = "shared/kitchen.rs"]
mod kitchen;

use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use domain::{
    Clock, LogPosition, Quality, Reading, Sample, Scope, SeriesId, TimeRange, UtcMillis, rule::Comparison,
};
use kitchen::{DAY_MS, START, Sensor, memory, readings, resolve, schedule, thread_seconds};
use sunshine_store::{Aggregates, SeriesOptions, SeriesStore, ShareQuery, Step, WindowQuery};

/// A figure's name, and what prints it for a fraction of the data.
type Figure = (&'static str, fn(i64));

const FITS: &str = "there is room";

fn main() {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with("--"))
        .collect();
    let part = std::env::args().find_map(|name| name.strip_prefix("--part=")?.parse().ok());
    let scale: i64 = part.unwrap_or(1).max(1);
    let figures: [Figure; 6] = [
        ("ingest", ingest),
        ("wide", wide),
        ("query", query),
        ("share", share),
        ("latest", latest),
        ("reopen", reopen),
    ];
    for (name, figure) in figures {
        if named.is_empty() || named.iter().any(|wanted| wanted == name) {
            figure(scale);
        }
    }
    println!("at most {} MiB resident", memory("VmHWM"));
}

fn open(dir: &Path, clock: &Clock) -> SeriesStore {
    let options = SeriesOptions {
        max_series: 300_000,
        ..SeriesOptions::new(dir)
    };
    SeriesStore::open(options, clock.clone()).expect("a fresh folder")
}

/// Adds up what some stretches of this thread cost.
#[derive(Default)]
struct Cost {
    wall: Duration,
    processor: f64,
}

impl Cost {
    fn of<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (begun, before) = (Instant::now(), thread_seconds());
        let answer = work();
        self.processor += thread_seconds() - before;
        self.wall += begun.elapsed();
        answer
    }

    fn per_second(&self, readings: i64) -> f64 {
        readings as f64 / self.processor / 1e6
    }
}

/// The mean of some runs, in processor and wall milliseconds. The kernel's account of a thread lags behind by up to a
/// tick: enough runs make that small.
fn mean(runs: u32, mut work: impl FnMut()) -> (f64, f64) {
    work();
    let mut cost = Cost::default();
    cost.of(|| (0..runs).for_each(|_| work()));
    let each = |seconds: f64| seconds * 1e3 / f64::from(runs);
    (each(cost.processor), each(cost.wall.as_secs_f64()))
}

/// 20 million readings of 5,000 series in order of arrival.
fn ingest(scale: i64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let store = open(dir.path(), &clock);
    let series = resolve(&store, 5_000);
    let ticks = 4_000 / scale;
    let total = ticks * 5_000;
    let mut sensors: Vec<Sensor> = series.iter().map(|id| Sensor::new(*id)).collect();
    let (mut taken, mut compacted) = (Cost::default(), Cost::default());
    let mut position = 0;
    for tick in 0..ticks {
        let part: Vec<Reading> = sensors.iter_mut().map(|s| s.next(tick, 10_000)).collect();
        clock.set(UtcMillis(START + tick * 10_000));
        taken.of(|| {
            for batch in part.chunks(1_000) {
                let at = LogPosition(position);
                store.append(batch, at, LogPosition(position + 1)).expect(FITS);
                position += 1;
            }
            while store.maintain().expect(FITS) {}
        });
    }
    taken.of(|| store.flush().expect(FITS));
    let before = store.stats();
    compacted.of(|| store.compact(true).expect(FITS));
    let after = store.stats();
    let each = |bytes: u64| bytes as f64 / total as f64;
    println!(
        "ingest: {total} readings of 5,000 series: {:.2} M per CPU-second written to disk ({:.1} CPU-s, {:.1} s), \
         {:.2} M with compaction and rollups ({:.1} CPU-s more)",
        taken.per_second(total),
        taken.processor,
        taken.wall.as_secs_f64(),
        total as f64 / (taken.processor + compacted.processor) / 1e6,
        compacted.processor,
    );
    println!(
        "ingest: {:.2} B per reading before compaction in {} chunks, {:.2} after in {}; minutes {:.2}, hours {:.2} B per reading",
        each(before.raw_bytes),
        before.chunks,
        each(after.raw_bytes),
        after.chunks,
        each(after.minute_bytes),
        each(after.hour_bytes)
    );
    drop(store);
    in_place(dir.path(), total);
}

/// What rewriting the week's file afresh would save over compacting it in place.
fn in_place(dir: &Path, total: i64) {
    let file = std::fs::read_dir(dir)
        .expect("it is there")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            name.starts_with("raw-") && name.ends_with(".db")
        })
        .expect("there is a week");
    let fresh = dir.join("fresh");
    let database = rusqlite::Connection::open(&file).expect("it opens");
    let mut cost = Cost::default();
    cost.of(|| {
        let into = fresh.display().to_string();
        database.execute("VACUUM INTO ?", [into]).expect(FITS);
    });
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len()) as f64 / total as f64;
    println!(
        "ingest: the week's file compacted in place {:.3} B per reading, written afresh {:.3} for {:.1} CPU-s more",
        bytes(&file),
        bytes(&fresh),
        cost.processor
    );
}

/// How long one batch takes at worst with 225,000 series, while another thread writes to disk.
fn wide(scale: i64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let options = SeriesOptions {
        max_series: 300_000,
        shards: 64,
        ..SeriesOptions::new(dir.path())
    };
    let store = SeriesStore::open(options, clock).expect("a fresh folder");
    let series = resolve(&store, 225_000);
    let ticks = 220 / scale;
    let done = AtomicBool::new(false);
    let (mut took, mut cost) = (Vec::new(), Cost::default());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                if !store.maintain().expect(FITS) {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        });
        let mut position = 0;
        let mut sensors: Vec<Sensor> = series.iter().map(|id| Sensor::new(*id)).collect();
        for tick in 0..ticks {
            let part: Vec<Reading> = sensors.iter_mut().map(|s| s.next(tick, 10_000)).collect();
            for batch in part.chunks(5_000) {
                let (begun, delayed) = (Instant::now(), schedule(1));
                cost.of(|| {
                    while store
                        .append(batch, LogPosition(position), LogPosition(position + 1))
                        .is_err()
                    {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                });
                position += 1;
                let wall = begun.elapsed().as_secs_f64() * 1e3;
                took.push((wall, wall - (schedule(1) - delayed) * 1e3));
            }
        }
        done.store(true, Ordering::Release);
    });
    let sorted = |of: fn(&(f64, f64)) -> f64| {
        let mut sorted: Vec<f64> = took.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (wall, own) = (sorted(|t| t.0), sorted(|t| t.1));
    let rank = |share: f64| ((took.len() - 1) as f64 * share) as usize;
    let at = |share: f64| wall[rank(share)];
    println!(
        "wide: 225,000 series, {} readings in {} batches of 5,000 during {} flushes: append p50 {:.2} ms, p99 {:.2}, \
         p99.9 {:.2}, worst {:.2} ms wall; without waiting for a processor p99 {:.2}, p99.9 {:.2}, worst {:.2} ms; \
         {} waiting; resident {} MiB, {} at most",
        ticks * 225_000,
        took.len(),
        store.stats().flushes,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        own[rank(0.99)],
        own[rank(0.999)],
        own[rank(1.0)],
        store.stats().head_readings,
        memory("VmRSS"),
        memory("VmHWM")
    );
}

/// One series over 30 days, and over a year.
fn query(scale: i64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let store = open(dir.path(), &clock);
    let series = resolve(&store, 1);
    let days = (400 / scale).max(35);
    let mut sensor = Sensor::new(series[0]);
    for day in 0..days {
        let ticks = day * 8_640..(day + 1) * 8_640;
        let of_day: Vec<Reading> = ticks.map(|tick| sensor.next(tick, 10_000)).collect();
        let position = day.cast_unsigned();
        store
            .append(&of_day, LogPosition(position), LogPosition(position + 1))
            .expect(FITS);
        clock.set(UtcMillis(START + (day + 1) * DAY_MS));
        store.flush().expect(FITS);
        while store.maintain().expect(FITS) {}
    }
    let scope = Scope::everything();
    for (name, length, aggregates) in [
        ("30 days", 30, Aggregates::PLAIN),
        ("30 days with quantiles", 30, Aggregates::ALL),
        ("a year", 365.min(days), Aggregates::PLAIN),
        ("a year with quantiles", 365.min(days), Aggregates::ALL),
    ] {
        let query = WindowQuery {
            range: TimeRange::ending_at(clock.now(), length * DAY_MS),
            step: Step::Parts(1_000),
            aggregates,
        };
        let mut answer = None;
        let (processor, wall) = mean(40, || {
            answer = Some(store.aggregate(&scope, series[0], &query).expect("it reads back"));
        });
        let answer = answer.expect("it ran");
        println!(
            "query: {name} of one series in {} buckets from {:?}: {processor:.2} CPU-ms, {wall:.2} ms wall",
            answer.buckets.len(),
            answer.level
        );
    }
}

/// The share of time over 8 °C of a month of cold storage, by region.
fn share(scale: i64) {
    const DAYS: i64 = 30;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let store = open(dir.path(), &clock);
    let count = usize::try_from(20_000 / scale).expect("small");
    let series = resolve(&store, count);
    let (interval, per_day) = (300_000, 288);
    for day in 0..DAYS {
        let reading = |series: SeriesId, n: i64| {
            // One refrigerator in a hundred is too warm for two hours of a day.
            let warm = (i64::from(series.0) + day) % 100 == 0 && (100..124).contains(&n);
            let cycle = ((n * 7 + i64::from(series.0)) % 30) as f64 / 10.0;
            let at = UtcMillis(START + day * DAY_MS + n * interval);
            Reading {
                series,
                at,
                received: at,
                value: if warm { 9.0 } else { 3.0 } + cycle,
                quality: Quality::Good,
            }
        };
        for (n, some) in (0..).zip(series.chunks(1_000)) {
            let readings: Vec<Reading> = some
                .iter()
                .flat_map(|series| (0..per_day).map(move |n| (*series, n)))
                .map(|(series, n)| reading(series, n))
                .collect();
            let position = day.cast_unsigned() * 1_000 + n;
            store
                .append(&readings, LogPosition(position), LogPosition(position + 1))
                .expect(FITS);
        }
        store.flush().expect(FITS);
    }
    clock.set(UtcMillis(START + (DAYS + 1) * DAY_MS));
    store.compact(false).expect(FITS);
    let stats = store.stats();
    let grouped: Vec<(SeriesId, u32)> = series.iter().map(|id| (*id, id.0 % 120)).collect();
    let query = ShareQuery {
        range: TimeRange {
            from: UtcMillis(START),
            to: UtcMillis(START + DAYS * DAY_MS),
        },
        op: Comparison::Above,
        limit: 8.0,
        max_hold_ms: 3 * interval,
    };
    let scope = Scope::everything();
    let mut ranked = Vec::new();
    let (processor, wall) = mean(8, || {
        ranked = store.share_over(&scope, &grouped, &query).expect("it reads back");
    });
    let worst = &ranked[0];
    println!(
        "share: over 8 °C of {count} points in {DAYS} days ({} chunks), ranked by {} regions: {processor:.0} CPU-ms, \
         {wall:.0} ms wall; the worst {:.3} %",
        stats.chunks,
        ranked.len(),
        worst.share.ratio().unwrap_or_default() * 100.0
    );
}

/// The latest value of 5,000 series.
fn latest(_scale: i64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = open(dir.path(), &Clock::simulated(UtcMillis(START)));
    let series = resolve(&store, 5_000);
    store
        .append(&readings(&series, 2, 10_000), LogPosition(0), LogPosition(1))
        .expect(FITS);
    let scope = Scope::everything();
    let (mut found, mut of_two): (Vec<Option<Sample>>, Vec<Option<Sample>>) = (Vec::new(), Vec::new());
    let (all, _) = mean(20_000, || found = black_box(store.latest_of(&scope, &series)));
    let facilities: Vec<_> = ["facility-1", "facility-2"]
        .map(|id| id.parse().expect("valid"))
        .into();
    let narrow = Scope::facilities(facilities);
    let (scoped, _) = mean(20_000, || of_two = black_box(store.latest_of(&narrow, &series)));
    println!(
        "latest: of {} series in {:.0} CPU-us; within a scope of two facilities ({} series) in {:.0}",
        found.iter().flatten().count(),
        all * 1e3,
        of_two.iter().flatten().count(),
        scoped * 1e3
    );
}

/// Opening again with a million readings that are only in the log. Reading the log itself is the journal's part.
fn reopen(scale: i64) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let total = 1_000_000 / scale;
    let (batches, keys) = {
        let store = open(dir.path(), &clock);
        let series = resolve(&store, 5_000);
        let warm: BTreeMap<u64, Vec<Reading>> = (0..)
            .zip(
                readings(&series, 1 + total / 5_000, 10_000)
                    .chunks(1_000)
                    .map(<[_]>::to_vec),
            )
            .collect();
        // The first tick is on disk, with every key; the rest is lost with the process.
        for n in 0..5 {
            store
                .append(&warm[&n], LogPosition(n), LogPosition(n + 1))
                .expect(FITS);
        }
        store.flush().expect(FITS);
        (warm, series)
    };
    let mut opened = Cost::default();
    let mut replayed = Cost::default();
    let store = opened.of(|| open(dir.path(), &clock));
    let from = store.checkpoint().0;
    replayed.of(|| {
        for (n, batch) in batches.range(from..) {
            store
                .append(batch, LogPosition(*n), LogPosition(n + 1))
                .expect(FITS);
        }
    });
    println!(
        "reopen: {} series opened in {:.0} CPU-ms, {} readings taken again in {:.0} CPU-ms: together {:.0} ms wall",
        keys.len(),
        opened.processor * 1e3,
        store.stats().head_readings,
        replayed.processor * 1e3,
        (opened.wall + replayed.wall).as_secs_f64() * 1e3
    );
}
