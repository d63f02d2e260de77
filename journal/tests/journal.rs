//! The journal through its public face.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sunshine_journal::{
    AppendError, Chunk, Envelope, Journal, JournalError, Kind, Options, Position, Receipt, TimeSource,
    Writer, inspect,
};

const DEADLINE: Duration = Duration::from_secs(30);

fn clock() -> TimeSource {
    Arc::new(|| 1_700_000_000_000)
}

fn small(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.segment_bytes = 4096;
    options.capacity_bytes = 1024 * 1024;
    options
}

fn message<'a>(source: &'a str, body: &'a [u8]) -> Envelope<'a> {
    Envelope {
        kind: Kind::MESSAGE,
        flags: 5,
        source,
        subject: "sk/v1/a/b/up",
        attributes: b"\x01\x02",
        body,
    }
}

/// Appends, waiting out a full queue.
fn append(writer: &mut Writer, envelope: &Envelope<'_>) -> Receipt {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match writer.append(envelope) {
            Err(AppendError::Busy) if Instant::now() < deadline => thread::yield_now(),
            taken => return taken.unwrap(),
        }
    }
}

/// All records from `from` on: position, source and body.
fn read_all(journal: &Journal, from: Position) -> Vec<(Position, String, Vec<u8>)> {
    let mut reader = journal.reader(from).unwrap();
    let mut chunk = Chunk::default();
    let mut all = Vec::new();
    loop {
        reader.read(&mut chunk, 1000).unwrap();
        if chunk.is_empty() {
            return all;
        }
        all.extend(chunk.records().map(|record| {
            (
                record.position,
                record.envelope.source.to_owned(),
                record.envelope.body.to_owned(),
            )
        }));
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        thread::yield_now();
    }
}

#[test]
fn a_record_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(
        Options {
            segment_bytes: 1 << 20,
            capacity_bytes: 4 << 20,
            ..small(dir.path())
        },
        clock(),
    )
    .unwrap();
    let long_subject = "厨".repeat(21_845);
    let attributes = vec![7; 65_535];
    let envelope = Envelope {
        kind: Kind(200),
        flags: 0xFF,
        source: &"s".repeat(255),
        subject: &long_subject,
        attributes: &attributes,
        body: &vec![0xA5; 300_000],
    };
    let empty = Envelope {
        kind: Kind::TICK,
        flags: 0,
        source: "",
        subject: "",
        attributes: b"",
        body: b"",
    };
    let mut writer = journal.writer();
    let first = writer.append(&envelope).unwrap();
    let second = writer.append(&empty).unwrap();
    assert_eq!(first.next, second.position);
    journal.close();
    let mut reader = journal.reader(journal.start()).unwrap();
    let mut chunk = Chunk::default();
    reader.read(&mut chunk, 1).unwrap();
    let got: Vec<_> = chunk
        .records()
        .map(|record| (record.position, record.envelope))
        .collect();
    assert_eq!(
        got,
        [(first.position, envelope)],
        "at least one record, however small the limit"
    );
    reader.read(&mut chunk, 1 << 20).unwrap();
    let got: Vec<_> = chunk
        .records()
        .map(|record| (record.position, record.next, record.envelope))
        .collect();
    assert_eq!(got, [(second.position, second.next, empty)]);
    assert_eq!(chunk.end(), second.next);
}

#[test]
fn what_exceeds_a_field_or_a_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    let mut writer = journal.writer();
    let (source, subject, attributes) = ("s".repeat(256), "t".repeat(65_536), vec![0; 65_536]);
    let plain = message("s", b"");
    let body = vec![0; 4096];
    for envelope in [
        Envelope {
            source: &source,
            ..plain
        },
        Envelope {
            subject: &subject,
            ..plain
        },
        Envelope {
            attributes: &attributes,
            ..plain
        },
        Envelope { body: &body, ..plain },
    ] {
        assert_eq!(writer.append(&envelope).unwrap_err(), AppendError::TooLarge);
    }
    assert_eq!(journal.stats().appended_records, 0);
    // The largest that fits fills its segment to the end.
    let fixed = 24 + 1 + plain.subject.len() + plain.attributes.len();
    let largest = vec![0; 4096 - 64 - 8 - fixed];
    append(
        &mut writer,
        &Envelope {
            body: &largest,
            ..plain
        },
    );
    append(&mut writer, &plain);
    journal.close();
    let lengths: Vec<usize> = read_all(&journal, journal.start())
        .iter()
        .map(|(.., body)| body.len())
        .collect();
    assert_eq!(lengths, [largest.len(), 0]);
}

#[test]
fn options_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = small(dir.path());
    for (bad, name) in [
        (
            Options {
                segment_bytes: 4095,
                ..good.clone()
            },
            "segment_bytes",
        ),
        (
            Options {
                segment_bytes: (1 << 30) + 1,
                ..good.clone()
            },
            "segment_bytes",
        ),
        (
            Options {
                capacity_bytes: 8191,
                ..good.clone()
            },
            "capacity_bytes",
        ),
        (
            Options {
                commit_interval: Duration::from_millis(101),
                ..good.clone()
            },
            "commit_interval",
        ),
        (
            Options {
                queue_bytes: 100,
                ..good
            },
            "queue_bytes",
        ),
    ] {
        match Journal::open(bad, clock()).unwrap_err() {
            JournalError::InvalidOption { option, .. } => assert_eq!(option, name),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn many_writers_lose_and_double_nothing() {
    const WRITERS: usize = 8;
    const EACH: usize = 2_000;
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 64 * 1024,
        capacity_bytes: 64 << 20,
        queue_bytes: 32 * 1024,
        ..small(dir.path())
    };
    let journal = Journal::open(options.clone(), clock()).unwrap();
    thread::scope(|scope| {
        for writer_index in 0..WRITERS {
            let mut writer = journal.writer();
            scope.spawn(move || {
                let name = format!("w{writer_index}");
                let mut last = None;
                for number in 0..EACH {
                    last = Some(append(
                        &mut writer,
                        &message(&name, number.to_string().as_bytes()),
                    ));
                }
                wait_until("the last record is durable", || {
                    writer.is_durable(last.unwrap()).unwrap()
                });
            });
        }
    });
    let check = |journal: &Journal| {
        let mut next = [0; WRITERS];
        for (_, source, body) in read_all(journal, journal.start()) {
            let writer: usize = source[1..].parse().unwrap();
            assert_eq!(
                String::from_utf8(body).unwrap(),
                next[writer].to_string(),
                "in each writer's order"
            );
            next[writer] += 1;
        }
        assert_eq!(next, [EACH; WRITERS]);
    };
    check(&journal);
    let stats = journal.stats();
    assert_eq!(stats.appended_records, (WRITERS * EACH) as u64);
    assert_eq!((stats.queued_bytes, stats.fault, stats.full), (0, None, false));
    journal.close();
    drop(journal);
    check(&Journal::open(options, clock()).unwrap());
}

#[tokio::test]
async fn append_durable_returns_when_it_is_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    for number in 0..50_u8 {
        let position = journal.append_durable(&message("s", &[number])).await.unwrap();
        assert!(journal.durable() > position);
        let on_disk: u64 = inspect::segments(dir.path())
            .unwrap()
            .iter()
            .map(|segment| segment.records)
            .sum();
        assert_eq!(on_disk, u64::from(number) + 1);
    }
    journal.close();
    assert_eq!(
        journal.append_durable(&message("s", b"")).await,
        Err(AppendError::Closed)
    );
}

#[tokio::test]
async fn a_wake_up_that_nobody_waited_for_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    let mut writer = journal.writer();
    let receipt = writer.append(&message("s", b"1")).unwrap();
    while !writer.is_durable(receipt).unwrap() {
        tokio::task::yield_now().await;
    }
    let woken = tokio::time::timeout(DEADLINE, writer.progress()).await;
    assert!(woken.is_ok(), "the commit has left a wake-up");
}

#[test]
fn a_full_queue_says_busy() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        queue_bytes: 4096,
        commit_interval: Duration::from_millis(100),
        ..small(dir.path())
    };
    let journal = Journal::open(options, clock()).unwrap();
    let mut writer = journal.writer();
    let mut taken = 0;
    let refused = loop {
        match writer.append(&message("s", &[0; 1000])) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 100_000, "the queue has no bound");
    };
    assert_eq!(refused, AppendError::Busy);
    journal.close();
    assert_eq!(
        read_all(&journal, journal.start()).len(),
        taken,
        "what was taken is kept"
    );
}

#[test]
fn time_never_goes_back_not_even_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let source = Arc::clone(&now);
    let time: TimeSource = Arc::new(move || source.load(Ordering::Relaxed));
    let mut expected = Vec::new();
    for (clock_ms, stored_ms) in [
        (1000, 1000),
        (2000, 2000),
        (500, 2000),
        (-5, 2000),
        (2001, 2001),
        (7, 2001),
    ] {
        let journal = Journal::open(small(dir.path()), Arc::clone(&time)).unwrap();
        now.store(clock_ms, Ordering::Relaxed);
        append(&mut journal.writer(), &message("s", &[0; 3000]));
        expected.push(stored_ms);
        journal.close();
        let mut reader = journal.reader(journal.start()).unwrap();
        let mut chunk = Chunk::default();
        let mut times = Vec::new();
        loop {
            reader.read(&mut chunk, 1).unwrap();
            if chunk.is_empty() {
                break;
            }
            times.extend(chunk.records().map(|record| record.time_ms));
        }
        assert_eq!(times, expected);
        // Even when only the newest record is left.
        journal.advance_cursor("c", journal.durable()).unwrap();
        let oldest = journal.start();
        expected.drain(..times.len() - read_all(&journal, oldest).len());
    }
}

#[test]
fn cursors_survive_and_hold_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut places = Vec::new();
    {
        let journal = Journal::open(small(dir.path()), clock()).unwrap();
        assert_eq!(journal.cursor("slow").unwrap(), journal.start());
        let mut writer = journal.writer();
        places.extend((0..12).map(|_| append(&mut writer, &message("s", &[0; 1500]))));
        wait_until("all is durable", || journal.durable() == places[11].next);
        journal.advance_cursor("fast", places[10].next).unwrap();
        assert_eq!(
            read_all(&journal, Position(0)).len(),
            12,
            "the slow cursor holds everything"
        );
        journal.advance_cursor("slow", places[5].next).unwrap();
        journal.advance_cursor("slow", places[2].next).unwrap();
        assert_eq!(
            journal.cursor("slow").unwrap(),
            places[5].next,
            "a cursor does not go back"
        );
        let ahead = journal
            .advance_cursor("slow", Position(places[11].next.0 + 1))
            .unwrap_err();
        assert!(matches!(ahead, JournalError::BeyondEnd { .. }), "{ahead}");
    }
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    let expected = [
        ("fast".to_owned(), places[10].next),
        ("slow".to_owned(), places[5].next),
    ];
    assert_eq!(journal.cursors(), expected);
    let start = journal.start();
    assert!(
        start > places[3].position && start <= places[6].position,
        "{start:?}"
    );
    assert!(journal.remove_cursor("slow").unwrap());
    assert!(!journal.remove_cursor("slow").unwrap());
    assert!(journal.start() > places[7].position);
    let left = read_all(&journal, Position(0));
    assert_eq!(
        left.last().map(|(position, ..)| *position),
        Some(places[11].position)
    );
    for bad in ["", "UPPER", "a/b", "..", &"x".repeat(65)] {
        assert!(
            matches!(journal.cursor(bad), Err(JournalError::CursorName)),
            "{bad:?}"
        );
    }
}

#[test]
fn at_the_cap_records_are_refused_until_a_cursor_moves() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(
        Options {
            capacity_bytes: 3 * 4096,
            ..small(dir.path())
        },
        clock(),
    )
    .unwrap();
    journal.cursor("c").unwrap();
    let mut writer = journal.writer();
    let mut bodies = Vec::new();
    for round in 0..4 {
        let mut fill = 0_u32;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let body = format!("{round}-{fill}-{}", "x".repeat(600));
            match writer.append(&message("s", body.as_bytes())) {
                Ok(_) => bodies.push(body),
                Err(AppendError::Full) => break,
                Err(error) => assert_eq!(error, AppendError::Busy),
            }
            fill += 1;
            assert!(Instant::now() < deadline, "the cap does not hold");
        }
        let stats = journal.stats();
        assert!(stats.full && stats.fault.is_none());
        assert!(stats.disk_bytes <= stats.capacity_bytes, "{stats:?}");
        journal.advance_cursor("c", journal.durable()).unwrap();
        let mut resumed = None;
        wait_until("appends are taken again", || {
            journal.advance_cursor("c", journal.durable()).unwrap();
            resumed = writer.append(&message("s", b"resumed")).ok();
            resumed.is_some()
        });
        bodies.push("resumed".to_owned());
        // The next segment is made aside; until it is there the journal may say once more that it is full.
        wait_until("it says so", || {
            journal.advance_cursor("c", journal.durable()).unwrap();
            !journal.stats().full
        });
    }
    journal.close();
    let kept = read_all(&journal, Position(0));
    let kept: Vec<String> = kept
        .into_iter()
        .map(|(.., body)| String::from_utf8(body).unwrap())
        .collect();
    assert!(
        !kept.is_empty() && bodies.ends_with(&kept),
        "nothing overwritten, nothing out of order"
    );
}

#[test]
fn a_reader_follows_the_tail_and_ends_with_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    let mut reader = journal.reader(journal.start()).unwrap();
    let following = thread::spawn(move || {
        let mut chunk = Chunk::default();
        let mut seen = 0_u32;
        while reader.wait(DEADLINE) {
            reader.read(&mut chunk, 64 * 1024).unwrap();
            for record in chunk.records() {
                assert_eq!(record.envelope.body, seen.to_le_bytes());
                seen += 1;
            }
            assert_eq!(chunk.end(), reader.position());
        }
        seen
    });
    let mut writer = journal.writer();
    for number in 0..3_000_u32 {
        append(&mut writer, &message("s", &number.to_le_bytes()));
    }
    journal.close();
    assert_eq!(following.join().unwrap(), 3_000);
}

#[test]
fn a_directory_has_one_journal_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::open(small(dir.path()), clock()).unwrap();
    let second = Journal::open(small(dir.path()), clock()).unwrap_err();
    assert!(matches!(second, JournalError::Locked { .. }), "{second}");
    drop(first);
    Journal::open(small(dir.path()), clock()).unwrap();
}

#[test]
fn dropping_the_last_handle_commits_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(dir.path()), clock()).unwrap();
    let mut writer = journal.writer();
    let receipt = append(&mut writer, &message("s", b"1"));
    drop(journal);
    assert_eq!(writer.is_durable(receipt), Ok(true));
    assert_eq!(writer.append(&message("s", b"2")), Err(AppendError::Closed));
}
