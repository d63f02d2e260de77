//! Whatever a journal's files hold, opening it succeeds, nothing before the damage is lost, and it works again.
//!
//! The input edits a real segment: its first byte says how, the rest is laid over the segment's bytes. (Random bytes
//! alone would hardly ever carry a sound checksum.)
#![no_main]

use std::{
    fs,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
};

use libfuzzer_sys::fuzz_target;
use sunshine_journal::{Chunk, Envelope, Journal, Kind, Options, Position, inspect};

const SEGMENT_BYTES: u64 = 4096;
const FIRST_SEGMENT: &str = "00000000000000000000.seg";
const SECOND_SEGMENT: &str = "00000000000000004096.seg";

fuzz_target!(|input: &[u8]| {
    let Some((&manner, input)) = input.split_first() else {
        return;
    };
    let offset = input.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes)) as usize;
    let mut first = sample().to_vec();
    let at = offset % first.len();
    match manner % 4 {
        0 => first = input.to_vec(),
        1 => first.truncate(at),
        2 => first
            .iter_mut()
            .skip(at)
            .zip(input.iter().skip(2))
            .for_each(|(byte, mask)| *byte ^= mask),
        _ => first.splice(at.., input.iter().copied().skip(2)).for_each(drop),
    }
    let (records, bytes) = inspect::sound_records(&first, Position(0));
    assert!(bytes <= first.len() && (records == 0) == (bytes == 0));

    let dir = tempfile::tempdir_in(memory()).expect("a temporary directory");
    fs::write(dir.path().join(FIRST_SEGMENT), &first).expect("room");
    if manner & 4 != 0 {
        fs::write(dir.path().join(SECOND_SEGMENT), input).expect("room");
    }
    let journal = open(dir.path());
    let before = read(&journal);
    let intact = first
        .iter()
        .zip(sample())
        .take_while(|(now, then)| now == then)
        .count() as u64;
    let kept = sample_ends().iter().filter(|end| **end <= intact).count();
    assert!(
        before.len() >= kept,
        "{} of {kept} records before the damage",
        before.len()
    );
    let mut writer = journal.writer();
    let receipt = writer.append(&message(b"new")).expect("there is room");
    journal.close();
    assert_eq!(writer.is_durable(receipt), Ok(true));
    drop((writer, journal));
    let after = read(&open(dir.path()));
    assert_eq!(after[..before.len()], before);
    assert_eq!(after[before.len()..], [(receipt.position, b"new".to_vec())]);
});

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

/// Files in memory, where the system has them: a sync costs nothing there.
fn memory() -> &'static Path {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        shared_memory
    } else {
        Path::new("/tmp")
    }
}

fn open(dir: &Path) -> Journal {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        capacity_bytes: 1 << 20,
        ..Options::new(dir)
    };
    Journal::open(options, Arc::new(|| 0)).expect("damage is no error")
}

fn read(journal: &Journal) -> Vec<(Position, Vec<u8>)> {
    let mut reader = journal.reader(journal.start()).expect("the start is there");
    let mut chunk = Chunk::default();
    let mut all = Vec::new();
    loop {
        reader.read(&mut chunk, 4096).expect("the disk works");
        if chunk.is_empty() {
            return all;
        }
        all.extend(
            chunk
                .records()
                .map(|record| (record.position, record.envelope.body.to_owned())),
        );
    }
}

/// A segment with twenty records, and where each of them ends.
fn real_segment() -> &'static (Vec<u8>, Vec<u64>) {
    static SEGMENT: OnceLock<(Vec<u8>, Vec<u64>)> = OnceLock::new();
    SEGMENT.get_or_init(|| {
        let dir = tempfile::tempdir_in(memory()).expect("a temporary directory");
        let journal = open(dir.path());
        let mut writer = journal.writer();
        let mut ends = Vec::new();
        for number in 0..20_u8 {
            let receipt = writer
                .append(&message(&vec![number; usize::from(number) * 5]))
                .expect("there is room");
            ends.push(receipt.next.0);
        }
        while journal.durable().0 < ends[ends.len() - 1] {
            thread::yield_now();
        }
        (
            fs::read(dir.path().join(FIRST_SEGMENT)).expect("the segment is there"),
            ends,
        )
    })
}

fn sample() -> &'static [u8] {
    &real_segment().0
}

fn sample_ends() -> &'static [u64] {
    &real_segment().1
}
