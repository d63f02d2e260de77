//! Tests that need a disk which fails on command, or files whose bytes are known.

mod damage;
mod faults;
mod model;

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    AppendError, Chunk, Envelope, Journal, JournalError, Kind, Options, Position, Receipt, Writer, disk::Disk,
};

/// How long a test waits for what should happen at once.
const DEADLINE: Duration = Duration::from_secs(20);

/// A disk that forgets to sync, so that tests are quick, and fails when told to.
#[derive(Debug, Default)]
struct TestDisk {
    fail_syncs: AtomicBool,
    /// Every write finds no space.
    full: AtomicBool,
}

impl Disk for TestDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }

    fn sync_data(&self, _file: &File) -> io::Result<()> {
        if self.fail_syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("injected"));
        }
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

fn small(dir: &Path) -> Options {
    Options {
        segment_bytes: 4096,
        capacity_bytes: 1024 * 1024,
        commit_interval: Duration::ZERO,
        ..Options::new(dir)
    }
}

fn open(dir: &Path) -> Journal {
    try_open(dir).unwrap()
}

fn try_open(dir: &Path) -> Result<Journal, JournalError> {
    open_on(small(dir), &Arc::default())
}

fn open_on(options: Options, disk: &Arc<TestDisk>) -> Result<Journal, JournalError> {
    let ticks = AtomicI64::new(0);
    let time = Arc::new(move || ticks.fetch_add(1, Ordering::Relaxed));
    Journal::open_on(options, time, Arc::clone(disk) as Arc<dyn Disk>)
}

fn message(body: &[u8]) -> Envelope<'_> {
    Envelope {
        kind: Kind::MESSAGE,
        flags: 0,
        source: "source",
        subject: "a/b",
        attributes: b"",
        body,
    }
}

/// Appends, waiting out a full queue.
fn append(writer: &mut Writer, body: &[u8]) -> Receipt {
    let mut taken = Err(AppendError::Busy);
    wait_until("the record is taken", || {
        taken = writer.append(&message(body));
        taken != Err(AppendError::Busy)
    });
    taken.unwrap()
}

fn append_durably(journal: &Journal, body: &[u8]) -> Receipt {
    let mut writer = journal.writer();
    let receipt = append(&mut writer, body);
    wait_until("the record is durable", || writer.is_durable(receipt).unwrap());
    receipt
}

/// Positions and bodies of all records from `from` on.
fn read_from(journal: &Journal, from: Position) -> Vec<(u64, Vec<u8>)> {
    let mut reader = journal.reader(from).unwrap();
    let mut chunk = Chunk::default();
    let mut all = Vec::new();
    loop {
        reader.read(&mut chunk, 500).unwrap();
        if chunk.is_empty() {
            return all;
        }
        all.extend(
            chunk
                .records()
                .map(|record| (record.position.0, record.envelope.body.to_owned())),
        );
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::yield_now();
    }
}
