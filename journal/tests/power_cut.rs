//! Cuts the power under a journal at random moments, again and again, and checks that every acknowledged record is
//! there, once. And fills the disk, and lets it fail.
//!
//! The disk is `tests/crashfs`, a file system that forgets what was not synced and tears what was being written.
//! This test binary runs itself as the child that appends; the child finds its orders in its working directory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../tests/crashfs/mounted.rs"]
mod mounted;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::Write,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mounted::{MountedDisk, build_tool, cannot_mount, copy_directory};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use sunshine_journal::{AppendError, Chunk, Envelope, Journal, Kind, Options, Position, Receipt, Writer};

const CUTS: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(60);
const CURSOR: &str = "checked";
/// The file in the child's working directory that tells it where the journal is, its first record's number, and
/// how far the log was checked: one line each.
const ORDERS: &str = "power-cut-orders";

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 32 * 1024,
        capacity_bytes: 64 << 20,
        ..Options::new(dir)
    }
}

fn open(dir: &Path) -> Journal {
    Journal::open(options(dir), Arc::new(|| 0)).unwrap()
}

#[test]
fn every_acknowledged_record_survives_a_power_cut_once() {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return;
    }
    let tool = build_tool();
    let mut acknowledged_in_all = 0;
    for strict in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::default();
        for cut in 0..CUTS / 2 {
            let seed = cut + u64::from(strict) * 1000;
            run_until_cut(&tool, dir.path(), seed, strict, &mut log);
            log.check(dir.path(), seed);
        }
        assert!(
            log.acknowledged.len() > 100,
            "the child has hardly run: {}",
            log.acknowledged.len()
        );
        acknowledged_in_all += log.acknowledged.len();
    }
    println!("{CUTS} cuts, {acknowledged_in_all} records acknowledged, none lost, none double");
}

#[test]
fn a_disk_that_fills_up_refuses_records_and_resumes_when_there_is_space() {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return;
    }
    const BALLAST_BYTES: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let most = (BALLAST_BYTES + 5 * 32 * 1024).to_string();
    let disk = MountedDisk::mount(&build_tool(), dir.path(), &["--max-bytes", &most]);
    let ballast = disk.mountpoint.join("ballast");
    fs::write(&ballast, vec![0; BALLAST_BYTES]).unwrap();
    let journal = open(&disk.mountpoint.join("journal"));
    let mut writer = journal.writer();
    let (refused, taken) = append_until(&mut writer, 0, |outcome| {
        matches!(outcome, Err(AppendError::Full))
    });
    assert!(refused && taken > 0);
    let stats = journal.stats();
    assert!(stats.full && stats.fault.is_none(), "{stats:?}");
    fs::remove_file(ballast).unwrap();
    let (resumed, taken) = append_until(&mut writer, taken, |outcome| outcome.is_ok());
    assert!(resumed, "records are taken again without help");
    journal.close();
    assert_eq!(journal.stats().fault, None);
    let numbers: Vec<u64> = read_numbers(&journal);
    assert!(
        numbers.into_iter().eq(0..taken),
        "every record that was taken, once, in order"
    );
}

#[test]
fn a_disk_that_fails_to_sync_ends_all_acknowledging() {
    if let Some(reason) = cannot_mount() {
        println!("skipped: {reason}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut disk = MountedDisk::mount(&build_tool(), dir.path(), &["--tear", "--fail-sync-after", "60"]);
    let journal = open(&disk.mountpoint.join("journal"));
    let mut writer = journal.writer();
    let (poisoned, _) = append_until(&mut writer, 0, |outcome| {
        matches!(outcome, Err(AppendError::Poisoned))
    });
    assert!(poisoned);
    let durable = journal.durable();
    let acknowledged: Vec<u64> = read_numbers(&journal);
    assert!(!acknowledged.is_empty());
    assert!(journal.stats().fault.is_some());
    drop((journal, writer));
    disk.cut();
    let journal = open(&dir.path().join("image/journal"));
    assert!(journal.durable() >= durable);
    assert!(read_numbers(&journal).starts_with(&acknowledged));
}

/// Appends numbered records from `next` on until the outcome is the wanted one; false when it never comes. Also
/// returns the number after the last record that was taken.
fn append_until(
    writer: &mut Writer,
    mut next: u64,
    wanted: impl Fn(&Result<Receipt, AppendError>) -> bool,
) -> (bool, u64) {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let outcome = writer.append(&message(&body(next)));
        next += u64::from(outcome.is_ok());
        if wanted(&outcome) {
            return (true, next);
        }
        thread::yield_now();
    }
    (false, next)
}

/// The numbers of all records.
fn read_numbers(journal: &Journal) -> Vec<u64> {
    let mut reader = journal.reader(journal.start()).unwrap();
    let mut chunk = Chunk::default();
    let mut numbers = Vec::new();
    loop {
        reader.read(&mut chunk, 64 * 1024).unwrap();
        if chunk.is_empty() {
            return numbers;
        }
        numbers.extend(
            chunk
                .records()
                .map(|record| u64::from_le_bytes(*record.envelope.body.first_chunk().unwrap())),
        );
    }
}

fn message(body: &[u8]) -> Envelope<'_> {
    Envelope {
        kind: Kind::MESSAGE,
        flags: 0,
        source: "child",
        subject: "a/b",
        attributes: b"",
        body,
    }
}

/// What was learned over all cuts so far.
#[derive(Default)]
struct Log {
    acknowledged: BTreeSet<u64>,
    /// Where each record number was read.
    places: BTreeMap<u64, Position>,
    /// The newest cursor position that the child was told is durable.
    cursor: u64,
    end: u64,
}

impl Log {
    fn learn(&mut self, said: &str) {
        for line in said.lines() {
            match line.strip_prefix("cursor ") {
                Some(position) => self.cursor = self.cursor.max(position.parse().unwrap()),
                // Anything else is the test harness's own output.
                None => self.acknowledged.extend(
                    line.strip_prefix("ack ")
                        .map(|number| number.parse::<u64>().unwrap()),
                ),
            }
        }
    }

    /// Opens a copy of what survived, so that the next child meets the same damage itself.
    fn check(&mut self, dir: &Path, seed: u64) {
        let copy = dir.join("copy");
        copy_directory(&dir.join("image/journal"), &copy);
        let journal = open(&copy);
        let mut reader = journal.reader(journal.start()).unwrap();
        let mut chunk = Chunk::default();
        let mut present = BTreeSet::new();
        loop {
            reader.read(&mut chunk, 64 * 1024).unwrap();
            if chunk.is_empty() {
                break;
            }
            for record in chunk.records() {
                let number = u64::from_le_bytes(*record.envelope.body.first_chunk().unwrap());
                assert_eq!(record.envelope.body, body(number), "seed {seed}: record {number}");
                assert!(
                    present.insert(number),
                    "seed {seed}: record {number} is there twice"
                );
                let place = *self.places.entry(number).or_insert(record.position);
                assert_eq!(place, record.position, "seed {seed}: record {number} has moved");
            }
        }
        let start = journal.start();
        let lost = |number: &&u64| {
            !present.contains(number) && self.places.get(number).is_none_or(|at| *at >= start)
        };
        let lost: Vec<&u64> = self.acknowledged.iter().filter(lost).collect();
        assert!(lost.is_empty(), "seed {seed}: acknowledged and lost: {lost:?}");
        assert_eq!(journal.stats().skipped_bytes, 0, "seed {seed}");
        let cursor = journal.cursor(CURSOR).unwrap().0;
        assert!(
            cursor >= self.cursor,
            "seed {seed}: the cursor went back from {} to {cursor}",
            self.cursor
        );
        self.end = journal.durable().0;
        journal.close();
        fs::remove_dir_all(copy).unwrap();
    }
}

/// The content of record `number`: of many lengths, so that records tear at many places.
fn body(number: u64) -> Vec<u8> {
    let filler = usize::try_from(number * 7 % 900).unwrap();
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + filler, u8::try_from(number % 251).unwrap());
    body
}

/// One life: mounts the image, lets the child append, cuts the power after a random number of acknowledgements.
fn run_until_cut(tool: &Path, dir: &Path, seed: u64, strict: bool, log: &mut Log) {
    let disk = MountedDisk::tearing(tool, dir, (seed, strict));
    let first = (seed + 1) * 1_000_000;
    let orders = format!(
        "{}\n{first}\n{}\n",
        disk.mountpoint.join("journal").display(),
        log.end
    );
    fs::write(dir.join(ORDERS), orders).unwrap();
    let enough = SmallRng::seed_from_u64(seed).random_range(1..1500);
    log.learn(&disk.cut_while(dir, "child_appends_until_the_power_goes", enough));
}

/// Not a test of its own: what the child process runs. Ends when the disk is gone.
#[test]
fn child_appends_until_the_power_goes() {
    let Ok(orders) = fs::read_to_string(ORDERS) else {
        return;
    };
    let [dir, first, checked] = orders.lines().collect::<Vec<_>>()[..] else {
        panic!("three lines: {orders}")
    };
    let next = AtomicU64::new(first.parse().unwrap());
    let journal = open(Path::new(dir));
    let out = Mutex::new(std::io::stdout());
    journal.cursor(CURSOR).unwrap();
    let checked = Position(checked.parse().unwrap());
    assert!(
        checked <= journal.durable(),
        "the log has become shorter than it was when checked"
    );
    journal.advance_cursor(CURSOR, checked).unwrap();
    say(&out, &format!("\ncursor {}\n", checked.0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| append_and_acknowledge(&journal, &next, &out));
        }
    });
}

fn say(out: &Mutex<impl Write>, text: &str) {
    let mut out = out.lock().unwrap();
    out.write_all(text.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Keeps a few records under way, and says of each when it is durable.
fn append_and_acknowledge(journal: &Journal, next: &AtomicU64, out: &Mutex<impl Write>) {
    let mut writer = journal.writer();
    let mut under_way = VecDeque::new();
    loop {
        while under_way.len() < 20 {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let body = body(number);
            match writer.append(&message(&body)) {
                Ok(receipt) => under_way.push_back((number, receipt)),
                Err(AppendError::Busy) => break,
                Err(_) => return,
            }
        }
        let mut durable = String::new();
        while let Some((number, receipt)) = under_way.front() {
            match writer.is_durable(*receipt) {
                Ok(true) => durable.push_str(&format!("ack {number}\n")),
                Ok(false) => break,
                Err(_) => return,
            }
            under_way.pop_front();
        }
        if durable.is_empty() {
            thread::yield_now()
        } else {
            say(out, &durable)
        }
    }
}
