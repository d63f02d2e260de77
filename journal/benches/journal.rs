//! How fast records become durable and come back, each beside what this machine can do at best: the same bytes
//! written raw and synced, and the same bytes checksummed in memory.

use std::{
    fs::OpenOptions,
    hint::black_box,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sunshine_journal::{AppendError, Chunk, Envelope, Journal, Kind, Options};

const WRITERS: usize = 8;
const RECORDS: usize = 40_000;
/// Bytes per write and sync in the raw limit: about what a commit gathers under full load.
const RAW_WRITE_BYTES: usize = 1024 * 1024;
const BODY: &[u8] =
    br#"{"ts":1700000000000,"temp_c":4.125,"humidity_pct":61.5,"door":0,"battery_pct":97,"seq":123456}"#;

const ENVELOPE: Envelope<'static> = Envelope {
    kind: Kind::MESSAGE,
    flags: 1,
    source: "device-000123",
    subject: "sk/v1/kitchen-0001/device-000123/up",
    attributes: b"",
    body: BODY,
};

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 32 << 20,
        ..Options::new(dir)
    }
}

fn wall_clock() -> sunshine_journal::TimeSource {
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock that the product hands in is part of an append's cost"
    )]
    Arc::new(|| {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Appends `records` from [`WRITERS`] threads and waits until all are durable.
fn append_all(journal: &Journal, records: usize) {
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let mut writer = journal.writer();
            scope.spawn(move || {
                let mut last = None;
                for _ in 0..records / WRITERS {
                    last = Some(loop {
                        match writer.append(black_box(&ENVELOPE)) {
                            Err(AppendError::Busy) => thread::yield_now(),
                            receipt => break receipt.expect("the bench's journal has room"),
                        }
                    });
                }
                while last.is_some_and(|receipt| !writer.is_durable(receipt).expect("the disk works")) {
                    thread::yield_now();
                }
            });
        }
    });
}

fn record_bytes() -> u64 {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = Journal::open(options(dir.path()), wall_clock()).expect("the journal opens");
    append_all(&journal, WRITERS);
    journal.stats().appended_bytes / WRITERS as u64
}

/// Writes `bytes` into a preallocated file, synced every `piece_bytes`.
fn write_raw(file: &std::fs::File, bytes: u64, piece_bytes: usize) {
    let piece = vec![7; piece_bytes];
    for offset in (0..bytes).step_by(piece_bytes) {
        file.write_all_at(&piece, offset).expect("the disk has room");
        file.sync_data().expect("the disk works");
    }
}

fn append(criterion: &mut Criterion) {
    let bytes = record_bytes() * RECORDS as u64;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let journal =
        Journal::open(options(&dir.path().join("journal")), wall_clock()).expect("the journal opens");
    group.bench_function("8 writers until durable", |bencher| {
        bencher.iter(|| {
            append_all(&journal, RECORDS);
            journal
                .advance_cursor("bench", journal.durable())
                .expect("the cursor moves");
        });
    });
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(dir.path().join("raw"))
        .expect("a new file");
    file.write_all_at(&vec![0; 2 * usize::try_from(bytes).expect("a few MiB")], 0)
        .expect("room");
    file.sync_all().expect("the disk works");
    group.bench_function("limit: raw write and sync of as many bytes", |bencher| {
        bencher.iter(|| write_raw(&file, bytes, RAW_WRITE_BYTES))
    });
    group.finish();
    report_ratio(&journal, &file, bytes);
}

/// Criterion compares with earlier runs; this compares the two in this one, the raw writes as large as the commits.
fn report_ratio(journal: &Journal, file: &std::fs::File, bytes: u64) {
    const ROUNDS: usize = 7;
    let measure = |run: &dyn Fn()| {
        let begun = Instant::now();
        run();
        begun.elapsed()
    };
    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    let mut records_per_sync = 0;
    for _ in 0..ROUNDS {
        let before = journal.stats();
        ours.push(measure(&|| append_all(journal, RECORDS)));
        let syncs = (journal.stats().syncs - before.syncs).max(1);
        records_per_sync = RECORDS as u64 / syncs;
        let piece = usize::try_from(bytes / syncs).expect("a few MiB").max(1);
        raw.push(measure(&|| write_raw(file, bytes, piece)));
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64()
    };
    let (ours, raw) = (median(&mut ours), median(&mut raw));
    println!(
        "append: {:.0} records/s durable, {} bytes each, {records_per_sync} per sync; raw limit {:.0}/s; {:.0} % of it",
        RECORDS as f64 / ours,
        bytes / RECORDS as u64,
        RECORDS as f64 / raw,
        100.0 * raw / ours,
    );
}

fn replay(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = Journal::open(options(dir.path()), wall_clock()).expect("the journal opens");
    append_all(&journal, RECORDS);
    let bytes = journal.stats().appended_bytes;
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let mut chunk = Chunk::default();
    group.bench_function("read and check every record", |bencher| {
        bencher.iter(|| {
            let mut reader = journal.reader(journal.start()).expect("the journal is open");
            let mut records = 0;
            while {
                reader.read(&mut chunk, 256 * 1024).expect("the disk works");
                !chunk.is_empty()
            } {
                records += chunk.records().map(black_box).count();
            }
            assert_eq!(records, RECORDS);
        });
    });
    group.throughput(Throughput::Bytes(bytes));
    let memory = vec![7_u8; usize::try_from(bytes).expect("a few MiB")];
    group.bench_function("limit: CRC-32C of as many bytes", |bencher| {
        bencher.iter(|| crc32c::crc32c(black_box(&memory)))
    });
    group.finish();
}

/// The cost of one append without the wait for the disk.
fn append_call(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let journal = Journal::open(options(dir.path()), wall_clock()).expect("the journal opens");
    let mut writer = journal.writer();
    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 calls", |bencher| {
        bencher.iter_batched(
            || {
                while journal.stats().queued_bytes > 0 {
                    thread::yield_now();
                }
                journal
                    .advance_cursor("bench", journal.durable())
                    .expect("the cursor moves");
            },
            |()| {
                for _ in 0..1_000 {
                    // Busy now and then, while a segment is being prepared: counted as what it costs.
                    let outcome = writer.append(black_box(&ENVELOPE));
                    assert!(!matches!(
                        outcome,
                        Err(AppendError::Poisoned | AppendError::Closed)
                    ));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(4));
    targets = append, append_call, replay
}
criterion_main!(benches);
