//! The time-series store against limits measured in the same run: what the same work costs without a
//! store. Prints criterion's figures, then ratios, bytes per reading, stalls and memory.

#[path = "shared/kitchen.rs"]
mod kitchen;

use std::{
    hint::black_box,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion};
use domain::{Clock, LogPosition, Reading, Scope, TimeRange, UtcMillis};
use kitchen::{DAY_MS, START, Sensor, memory, readings, resolve, thread_seconds};
use sunshine_store::{SeriesOptions, SeriesStore};

const BATCH: usize = 1_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20)
        .configure_from_args();
    let brief = Duration::from_millis(300);
    let mut few = Criterion::default()
        .warm_up_time(brief)
        .measurement_time(brief)
        .sample_size(10);
    append(&mut few);
    query(&mut criterion);
    criterion.final_summary();
    println!();
    append_against_limit();
    disk("10 s", 10_000, 300);
    disk("60 s", 60_000, 300);
    stall(5_000);
    stall(50_000);
    println!(
        "resident memory at the end: {} MiB, at most {} MiB",
        memory("VmRSS"),
        memory("VmHWM")
    );
}

fn open(dir: &Path, now: i64) -> SeriesStore {
    SeriesStore::open(SeriesOptions::new(dir), Clock::simulated(UtcMillis(now))).expect("a fresh folder")
}

fn feed(store: &SeriesStore, readings: &[Reading], position: &mut u64) {
    for batch in readings.chunks(BATCH) {
        store
            .append(batch, LogPosition(*position), LogPosition(*position + 1))
            .expect("there is room");
        *position += 1;
    }
}

fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = open(dir.path(), START);
    let series = resolve(&store, 5_000);
    let all = readings(&series, 20, 10_000);
    let mut batches = all.chunks(BATCH).cycle();
    let mut position = 0;
    criterion.bench_function("append a batch of 1,000 readings", |bencher| {
        bencher.iter_batched(
            || {
                if store.stats().head_readings > 1_000_000 {
                    store.flush().expect("there is room");
                }
                batches.next().expect("endless")
            },
            |batch| feed(&store, batch, &mut position),
            BatchSize::PerIteration,
        );
    });
}

fn query(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = open(dir.path(), START + 40 * DAY_MS);
    let series = resolve(&store, 1);
    let all = readings(&series, 30 * 8_640, 10_000);
    feed(&store, &all, &mut 0);
    store.flush().expect("there is room");
    store.compact(true).expect("there is room");
    let scope = Scope::everything();
    let month = TimeRange {
        from: UtcMillis(START),
        to: UtcMillis(START + 30 * DAY_MS),
    };
    let window = |buckets| {
        store
            .window(&scope, series[0], month, buckets)
            .expect("it reads back")
    };
    criterion.bench_function("30 days of one series in 1,000 buckets", |b| {
        b.iter(|| window(1_000))
    });
    criterion.bench_function("30 days of one series in 30 buckets (summaries)", |b| {
        b.iter(|| window(30))
    });
    criterion.bench_function("latest value of one series", |b| {
        b.iter(|| store.latest(&scope, series[0]))
    });

    // The limit: decompressing the same two columns, a day at a time, and adding up.
    let days: Vec<(Vec<u8>, Vec<u8>)> = all
        .chunks(8_640)
        .map(|day| {
            let config = pco::ChunkConfig::default().with_compression_level(8);
            let times: Vec<i64> = day.iter().map(|r| r.at.0).collect();
            let values: Vec<f64> = day.iter().map(|r| r.value).collect();
            let pack = "the level is known";
            (
                pco::standalone::simple_compress(&times, &config).expect(pack),
                pco::standalone::simple_compress(&values, &config).expect(pack),
            )
        })
        .collect();
    let limit = best(|| {
        for (times, values) in &days {
            let times = pco::standalone::simple_decompress::<i64>(times).expect("just packed");
            let values = pco::standalone::simple_decompress::<f64>(values).expect("just packed");
            black_box((times.len(), values.iter().sum::<f64>()));
        }
    });
    let ours = best(|| {
        black_box(window(1_000));
    });
    println!(
        "30 days in 1,000 buckets: {:.2} ms, bare decompression {:.2} ms, ratio {:.2}",
        ours * 1e3,
        limit * 1e3,
        ours / limit
    );
}

/// The limit: the same readings pushed into one bare column per series, without a lock.
fn append_against_limit() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = open(dir.path(), START);
    let series = resolve(&store, 5_000);
    let all = readings(&series, 100, 10_000);
    let (wall, processor) = (Instant::now(), thread_seconds());
    feed(&store, &all, &mut 0);
    let (wall, processor) = (wall.elapsed().as_secs_f64(), thread_seconds() - processor);
    let mut columns: Vec<Vec<(i64, f64)>> = vec![Vec::new(); series.len()];
    let begun = Instant::now();
    for reading in &all {
        columns[reading.series.0 as usize].push((reading.at.0, reading.value));
    }
    let limit = begun.elapsed().as_secs_f64();
    black_box(columns);
    let each = 1e9 / all.len() as f64;
    println!(
        "append, 5,000 series: {:.0} ns per reading ({:.0} ns on the processor), bare columns {:.0} ns, ratio {:.2}",
        wall * each,
        processor * each,
        limit * each,
        wall / limit
    );
}

/// Bytes per reading after a day in which shards were flushed as they became due.
fn disk(name: &str, interval_ms: i64, count: usize) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let store = SeriesStore::open(SeriesOptions::new(dir.path()), clock.clone()).expect("a fresh folder");
    let series = resolve(&store, count);
    let hour = 3_600_000;
    let all = readings(&series, DAY_MS / interval_ms, interval_ms);
    let mut position = 0;
    let begun = Instant::now();
    for part in all.chunks(all.len() / 24) {
        feed(&store, part, &mut position);
        clock.set(clock.now() + hour);
        while store.maintain().expect("there is room") {}
    }
    store.flush().expect("there is room");
    let flushed = (store.stats(), begun.elapsed());
    store.compact(true).expect("there is room");
    let compacted = (store.stats(), begun.elapsed());
    let per_reading = |bytes: u64| bytes as f64 / all.len() as f64;
    let tables: u64 = std::fs::read_dir(dir.path())
        .expect("it is there")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".db"))
        .map(|entry| entry.metadata().map_or(0, |found| found.len()))
        .sum();
    println!(
        "{count} series every {name}, {} readings: {:.2} B per reading in {} chunks after {:.1} s, \
         {:.2} B in {} chunks once compacted after {:.1} s ({:.2} B without write-ahead files)",
        all.len(),
        per_reading(flushed.0.disk_bytes),
        flushed.0.chunks,
        flushed.1.as_secs_f64(),
        per_reading(compacted.0.disk_bytes),
        compacted.0.chunks,
        compacted.1.as_secs_f64(),
        per_reading(tables)
    );
}

/// How long one append takes at worst while another thread flushes: on a busy machine this includes
/// waiting for a processor.
fn stall(count: usize) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let clock = Clock::simulated(UtcMillis(START));
    let store = SeriesStore::open(SeriesOptions::new(dir.path()), clock.clone()).expect("a fresh folder");
    let series = resolve(&store, count);
    let ticks = i64::try_from(3_000_000 / count).expect("small");
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                if !store.maintain().expect("there is room") {
                    std::thread::park_timeout(Duration::from_millis(5));
                }
            }
        });
        let mut position = 0;
        let mut sensors: Vec<Sensor> = series.iter().map(|id| Sensor::new(*id)).collect();
        for tick in 0..ticks {
            let part: Vec<Reading> = sensors.iter_mut().map(|s| s.next(tick, 10_000)).collect();
            // By age everything is due several times during the run.
            clock.set(UtcMillis(START + tick * 10 * 3_600_000 / ticks));
            for batch in part.chunks(BATCH) {
                let begun = Instant::now();
                feed(&store, batch, &mut position);
                took.push(begun.elapsed());
                // About 600,000 readings a second: faster than any district, slower than a flush.
                std::thread::park_timeout(Duration::from_millis(1));
            }
        }
        done.store(true, Ordering::Release);
    });
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_micros();
    println!(
        "{count} series, {} batches during {} flushes: append p50 {} us, p99 {} us, p99.9 {} us, worst {} us; \
         resident {} MiB",
        took.len(),
        store.stats().flushes,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        memory("VmRSS")
    );
}

fn best(mut work: impl FnMut()) -> f64 {
    let once = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed().as_secs_f64()
    };
    (0..20).map(|_| once(&mut work)).fold(f64::INFINITY, f64::min)
}
