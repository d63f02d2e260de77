//! Disks that fail and disks that are full.

use super::*;

#[test]
fn after_a_failed_sync_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    let journal = open_on(small(dir.path()), &disk).unwrap();
    let mut writer = journal.writer();
    let before = append_durably(&journal, b"before");
    let durable = journal.durable();
    wait_until("no segment is being prepared", || {
        journal.stats().disk_bytes == 2 * 4096
    });
    disk.fail_syncs.store(true, Ordering::SeqCst);
    let lost = append(&mut writer, b"lost");
    wait_until("the fault shows", || journal.stats().fault.is_some());
    // The disk works again: that changes nothing, because nobody knows what is on it.
    disk.fail_syncs.store(false, Ordering::SeqCst);
    wait_until("the receipt is refused", || {
        writer.is_durable(lost) == Err(AppendError::Poisoned)
    });
    assert_eq!(writer.append(&message(b"after")), Err(AppendError::Poisoned));
    assert_eq!(writer.is_durable(before), Ok(true));
    assert_eq!(journal.durable(), durable);
    assert_eq!(
        read_from(&journal, before.position),
        [(before.position.0, b"before".to_vec())]
    );
    let fault = journal.stats().fault.unwrap();
    assert!(fault.contains("injected") && fault.contains(".seg"), "{fault}");
    journal.close();
    drop(journal);
    let journal = open(dir.path());
    assert_eq!(
        read_from(&journal, before.position)[0],
        (before.position.0, b"before".to_vec())
    );
    append_durably(&journal, b"again");
}

#[tokio::test]
async fn a_failed_sync_wakes_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    let journal = open_on(small(dir.path()), &disk).unwrap();
    let mut reader = journal.reader(journal.start()).unwrap();
    disk.fail_syncs.store(true, Ordering::SeqCst);
    let waiting = thread::spawn(move || {
        let more = reader.wait(DEADLINE);
        reader.read(&mut Chunk::default(), 1).unwrap();
        more
    });
    let refused = tokio::time::timeout(DEADLINE, async {
        // The preparing thread may meet the failing disk first.
        journal.append_durable(&message(b"x")).await
    });
    assert_eq!(refused.await.unwrap(), Err(AppendError::Poisoned));
    let idle = journal.writer();
    tokio::time::timeout(DEADLINE, idle.progress())
        .await
        .expect("a poisoned journal lets nobody wait");
    assert!(
        !waiting.join().unwrap(),
        "the reader learns that nothing more comes"
    );
}

#[test]
fn a_full_disk_refuses_records_and_resumes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    // A queue as small as it may be, so that little is taken ahead.
    let journal = open_on(
        Options {
            queue_bytes: 4096,
            ..small(dir.path())
        },
        &disk,
    )
    .unwrap();
    let mut writer = journal.writer();
    let mut receipts = vec![append_durably(&journal, b"first")];
    wait_until("a segment is prepared", || journal.stats().disk_bytes == 2 * 4096);
    disk.full.store(true, Ordering::SeqCst);
    let mut outcome = Ok(());
    wait_until("records are refused", || {
        match writer.append(&message(&[7; 500])) {
            Ok(receipt) => receipts.push(receipt),
            Err(AppendError::Busy) => {}
            Err(error) => outcome = Err(error),
        }
        outcome.is_err()
    });
    assert_eq!(outcome, Err(AppendError::Full));
    let stats = journal.stats();
    assert!(stats.full && stats.fault.is_none(), "{stats:?}");
    disk.full.store(false, Ordering::SeqCst);
    wait_until("what was taken is durable", || {
        writer.is_durable(*receipts.last().unwrap()).unwrap()
    });
    for _ in 0..30 {
        wait_until("records are taken again", || {
            match writer.append(&message(&[7; 500])) {
                Ok(receipt) => {
                    receipts.push(receipt);
                    true
                }
                Err(error) => {
                    assert!(matches!(error, AppendError::Full | AppendError::Busy), "{error}");
                    false
                }
            }
        });
    }
    assert!(!journal.stats().full);
    journal.close();
    let positions: Vec<u64> = read_from(&journal, Position(0))
        .iter()
        .map(|(position, _)| *position)
        .collect();
    let expected: Vec<u64> = receipts.iter().map(|receipt| receipt.position.0).collect();
    assert_eq!(positions, expected, "every record that was taken, once, in order");
}

#[test]
fn a_half_made_segment_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    disk.full.store(true, Ordering::SeqCst);
    let error = open_on(small(dir.path()), &disk).unwrap_err();
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_full_disk_does_not_stop_a_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    let journal = open_on(small(dir.path()), &disk).unwrap();
    journal.cursor("c").unwrap();
    let inode = |name: &str| {
        let metadata = std::fs::metadata(dir.path().join(name)).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&metadata), metadata.len())
    };
    let made = inode("c.cursor");
    for _ in 0..3 {
        let receipt = append_durably(&journal, b"x");
        journal.advance_cursor("c", receipt.next).unwrap();
        assert_eq!(inode("c.cursor"), made, "written in place: needs no new space");
    }
}

#[test]
fn closing_on_a_full_disk_does_not_hang_and_acknowledges_nothing_false() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(TestDisk::default());
    let journal = open_on(small(dir.path()), &disk).unwrap();
    let mut writer = journal.writer();
    append_durably(&journal, b"kept");
    disk.full.store(true, Ordering::SeqCst);
    let lost = append(&mut writer, b"given up");
    wait_until("the committing thread waits for space", || journal.stats().full);
    journal.close();
    assert_eq!(writer.is_durable(lost), Err(AppendError::Closed));
    drop((journal, writer));
    let bodies: Vec<_> = read_from(&open(dir.path()), Position(0))
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert_eq!(bodies, [b"kept"]);
}

#[test]
fn a_lone_record_is_committed_at_once() {
    let interval = Duration::from_millis(100);
    let quick_attempt = |_| {
        let dir = tempfile::tempdir().unwrap();
        let journal = open_on(
            Options {
                commit_interval: interval,
                ..small(dir.path())
            },
            &Arc::default(),
        )
        .unwrap();
        let begun = Instant::now();
        append_durably(&journal, b"lone");
        let first = begun.elapsed();
        append_durably(&journal, b"close behind");
        let second = begun.elapsed();
        assert!(
            second >= interval,
            "a busy journal gathers for the interval: {second:?}"
        );
        assert_eq!(journal.stats().syncs, 2);
        first < interval
    };
    // A machine that is busy otherwise may be slow once, but not always.
    assert!((0..10).any(quick_attempt));
}

#[test]
fn a_segment_that_cannot_be_prepared_for_another_reason_ends_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path());
    let mut writer = journal.writer();
    wait_until("a segment is prepared", || journal.stats().disk_bytes == 2 * 4096);
    // Something that cannot be opened for writing stands in the way of the next one.
    std::fs::create_dir(dir.path().join("unfinished.tmp")).unwrap();
    let mut outcome = Ok(());
    wait_until("the journal has failed", || {
        outcome = writer.append(&message(&[7; 500])).map(|_| ());
        outcome == Err(AppendError::Poisoned)
    });
    let fault = journal.stats().fault.unwrap();
    assert!(fault.contains("preparing"), "{fault}");
}

#[test]
fn a_file_that_only_looks_like_a_cursor_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("Not Ours.cursor"), b"x").unwrap();
    let journal = open(dir.path());
    assert_eq!(journal.cursors(), []);
    assert!(dir.path().join("Not Ours.cursor").exists());
}
