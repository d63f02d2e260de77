//! Files that were cut short, flipped, swapped or written by another version.

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    format,
    inspect::{self, Damage},
    segment::Segment,
};

/// Bodies of different sizes, so that damage meets records at many alignments.
fn bodies() -> Vec<Vec<u8>> {
    (0..12_u8)
        .map(|number| vec![number + 1; 3 * usize::from(number)])
        .collect()
}

/// A stopped journal with [`bodies`] in its first segment; returns the receipts.
fn write_sample(dir: &Path) -> Vec<Receipt> {
    let journal = open(dir);
    let mut writer = journal.writer();
    let receipts = bodies().iter().map(|body| append(&mut writer, body)).collect();
    journal.close();
    receipts
}

fn first_segment(dir: &Path) -> PathBuf {
    Segment { base: 0, bytes: 4096 }.path(dir)
}

/// Opens after `damage` to the first segment, at `offset`, and checks what must hold whatever was damaged.
fn check_after(pristine: &[u8], receipts: &[Receipt], offset: usize, damage: impl FnOnce(&mut Vec<u8>)) {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = pristine.to_vec();
    damage(&mut bytes);
    fs::write(first_segment(dir.path()), &bytes).unwrap();
    let reported = inspect::segments(dir.path()).unwrap();
    assert_eq!(
        fs::read(first_segment(dir.path())).unwrap(),
        bytes,
        "an inspection changes nothing"
    );
    let journal = open(dir.path());
    let got = read_from(&journal, Position(0));
    let written: Vec<(u64, Vec<u8>)> = receipts
        .iter()
        .map(|receipt| receipt.position.0)
        .zip(bodies())
        .collect();
    assert!(
        written.starts_with(&got),
        "offset {offset}: only whole records, in order, as they were written"
    );
    let intact = receipts
        .iter()
        .filter(|receipt| receipt.next.0 <= offset as u64)
        .count();
    assert!(
        got.len() >= intact,
        "offset {offset}: {} of {intact} records before the damage",
        got.len()
    );
    assert_eq!(reported[0].records, got.len() as u64, "offset {offset}");
    let receipt = append_durably(&journal, b"new");
    assert!(
        got.last()
            .is_none_or(|(position, _)| *position < receipt.position.0)
    );
    journal.close();
    drop(journal);
    let journal = open(dir.path());
    let mut expected = got;
    expected.push((receipt.position.0, b"new".to_vec()));
    assert_eq!(
        read_from(&journal, Position(0)),
        expected,
        "offset {offset}: the same again after a restart"
    );
    assert_eq!(
        journal.stats().skipped_bytes,
        0,
        "offset {offset}: what recovery has cut is no damage to readers"
    );
}

#[test]
fn a_segment_cut_short_at_any_byte_opens_and_keeps_what_is_before() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    let pristine = fs::read(first_segment(dir.path())).unwrap();
    let used = usize::try_from(receipts.last().unwrap().next.0).unwrap();
    for length in (0..used + 20).chain([pristine.len() - 1]) {
        check_after(&pristine, &receipts, length, |bytes| bytes.truncate(length));
    }
}

#[test]
fn a_byte_flipped_anywhere_never_comes_out_as_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    let pristine = fs::read(first_segment(dir.path())).unwrap();
    let used = usize::try_from(receipts.last().unwrap().next.0).unwrap();
    for offset in (0..used + 20).chain([pristine.len() - 1]) {
        let mask = [0x01, 0x80, 0xFF][offset % 3];
        check_after(&pristine, &receipts, offset, |bytes| bytes[offset] ^= mask);
    }
}

#[test]
fn damage_in_an_older_segment_costs_that_segment_only() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let mut writer = journal.writer();
    let receipts: Vec<Receipt> = (0..9_u8)
        .map(|number| append(&mut writer, &[number; 1200]))
        .collect();
    journal.close();
    drop((journal, writer));
    // Three records fit a segment: damage the fifth, in the second one.
    let damaged = Segment {
        base: 4096,
        bytes: 4096,
    };
    let mut bytes = fs::read(damaged.path(dir.path())).unwrap();
    let at = usize::try_from(receipts[4].position.0 - damaged.base).unwrap();
    bytes[at + 100] ^= 1;
    fs::write(damaged.path(dir.path()), bytes).unwrap();
    let journal = open(dir.path());
    let numbers: Vec<u8> = read_from(&journal, Position(0))
        .iter()
        .map(|(_, body)| body[0])
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 6, 7, 8]);
    assert_eq!(
        journal.stats().skipped_bytes,
        damaged.end() - receipts[4].position.0,
        "counted"
    );
    let damages: Vec<_> = inspect::segments(dir.path())
        .unwrap()
        .into_iter()
        .map(|segment| segment.damage)
        .collect();
    assert_eq!(damages[..3], [None, Some(Damage::Tail), None]);
}

#[test]
fn an_unknown_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    write_sample(dir.path());
    let mut bytes = fs::read(first_segment(dir.path())).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(first_segment(dir.path()), &bytes).unwrap();
    let error = try_open(dir.path()).unwrap_err();
    assert!(
        matches!(error, JournalError::UnknownVersion { version: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(fs::read(first_segment(dir.path())).unwrap(), bytes);
    assert_eq!(
        inspect::segments(dir.path()).unwrap()[0].damage,
        Some(Damage::UnknownVersion(2))
    );
}

#[test]
fn records_of_an_earlier_life_are_not_taken_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    // The prepared segment gets a sound header of its own and the first one's records: as if the disk had handed
    // out old blocks.
    let old = fs::read(first_segment(dir.path())).unwrap();
    let next = Segment {
        base: 4096,
        bytes: 4096,
    };
    let mut bytes = old.clone();
    bytes[..64].copy_from_slice(&format::encode_header(next.base, next.bytes));
    fs::write(next.path(dir.path()), &bytes).unwrap();
    // And a plain copy of the first one under a later name.
    let copied = Segment {
        base: 8192,
        bytes: 4096,
    };
    fs::write(copied.path(dir.path()), &old).unwrap();
    let journal = open(dir.path());
    let positions: Vec<u64> = read_from(&journal, Position(0))
        .iter()
        .map(|(position, _)| *position)
        .collect();
    let expected: Vec<u64> = receipts.iter().map(|receipt| receipt.position.0).collect();
    assert_eq!(positions, expected);
    assert!(append_durably(&journal, b"new").position.0 > copied.end());
}

#[test]
fn a_torn_batch_does_not_come_back_behind_newer_records() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    // The third record is torn; the ones behind it, of the same batch, are whole.
    let mut bytes = fs::read(first_segment(dir.path())).unwrap();
    bytes[usize::try_from(receipts[2].position.0).unwrap() + 4] ^= 0xFF;
    fs::write(first_segment(dir.path()), &bytes).unwrap();
    let journal = open(dir.path());
    // As long as the torn one, so that it would end where the stale fourth begins.
    let receipt = append_durably(&journal, &bodies()[2]);
    assert!(
        receipt.position > receipts.last().unwrap().position,
        "no position is used twice"
    );
    journal.close();
    drop(journal);
    let positions: Vec<u64> = read_from(&open(dir.path()), Position(0))
        .iter()
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(
        positions,
        [receipts[0].position.0, receipts[1].position.0, receipt.position.0]
    );
}

#[test]
fn the_log_goes_on_behind_every_cursor_even_when_records_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    let journal = open(dir.path());
    journal.advance_cursor("c", receipts[11].next).unwrap();
    drop(journal);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seg") {
            fs::remove_file(path).unwrap();
        }
    }
    let journal = open(dir.path());
    let receipt = append_durably(&journal, b"new");
    assert!(receipt.position >= receipts[11].next);
    let from = journal.cursor("c").unwrap();
    assert_eq!(read_from(&journal, from), [(receipt.position.0, b"new".to_vec())]);
}

#[test]
fn a_torn_cursor_falls_back_and_a_broken_one_starts_over() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = write_sample(dir.path());
    let journal = open(dir.path());
    journal.advance_cursor("c", receipts[3].next).unwrap();
    journal.advance_cursor("c", receipts[7].next).unwrap();
    drop(journal);
    let path = dir.path().join("c.cursor");
    let pristine = fs::read(&path).unwrap();
    for (slots, expected) in [
        (&[0][..], receipts[3].next.0),
        (&[4096][..], receipts[7].next.0),
        (&[0, 4096][..], 64),
    ] {
        for within in 0..32 {
            let mut bytes = pristine.clone();
            slots.iter().for_each(|slot| bytes[slot + within] ^= 0x10);
            fs::write(&path, bytes).unwrap();
            assert_eq!(
                open(dir.path()).cursor("c").unwrap(),
                Position(expected),
                "slots {slots:?}, byte {within}"
            );
        }
    }
}

/// What the fuzzer does, in small: whatever the files hold, opening succeeds, and the journal works.
#[test]
fn random_bytes_as_segments_open_and_the_journal_works() {
    use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng};
    for seed in 0..300 {
        let mut random = SmallRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        write_sample(dir.path());
        let pristine = fs::read(first_segment(dir.path())).unwrap();
        for base in [0, 4096] {
            let mut bytes = pristine[..random.random_range(0..=pristine.len())].to_vec();
            let (from, to) = (
                random.random_range(0..=bytes.len()),
                random.random_range(0..=bytes.len()),
            );
            if from < to {
                random.fill_bytes(&mut bytes[from..to]);
            }
            fs::write(Segment { base, bytes: 4096 }.path(dir.path()), &bytes).unwrap();
            let (_, sound) = inspect::sound_records(&bytes, Position(base));
            assert!(sound <= bytes.len());
        }
        let journal = open(dir.path());
        let before = read_from(&journal, Position(0));
        let receipt = append_durably(&journal, b"new");
        drop(journal);
        let after = read_from(&open(dir.path()), Position(0));
        assert_eq!(after[..before.len()], before, "seed {seed}");
        assert_eq!(
            after[before.len()..],
            [(receipt.position.0, b"new".to_vec())],
            "seed {seed}"
        );
    }
}
