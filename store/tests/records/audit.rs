//! The audit trail under tampering, and several writers on one file.

use domain::{Region, RegionId};
use sunshine_store::RecordError;

use crate::homes::open;

/// A store with five lines, and what `tamper` does to it with the triggers out of the way.
async fn verdict_after(tamper: &str) -> Option<i64> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = open(&path).await;
    for n in 1..=5 {
        records
            .audit(("王芳", "export", "cases", &format!("page {n}")))
            .await
            .unwrap();
    }
    assert_eq!(records.verify_audit().await.unwrap(), None);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted; \
         DROP TRIGGER audit_head_is_never_deleted;",
    )
    .unwrap();
    raw.execute_batch(tamper).unwrap();
    drop(raw);
    records.verify_audit().await.unwrap()
}

#[tokio::test]
async fn tampering_is_found_where_it_begins() {
    let cases = [
        ("SELECT 1", None),
        ("UPDATE audit SET detail = 'page 9' WHERE id = 3", Some(3)),
        ("UPDATE audit SET actor = '李雷' WHERE id = 1", Some(1)),
        ("UPDATE audit SET at_ms = at_ms + 1 WHERE id = 5", Some(5)),
        ("UPDATE audit SET at_ms = 'never' WHERE id = 2", Some(2)),
        // Words moved from one field to the next: the same bytes in a row.
        (
            "UPDATE audit SET action = 'exportc', object = 'ases' WHERE id = 4",
            Some(4),
        ),
        ("DELETE FROM audit WHERE id = 2", Some(2)),
        ("DELETE FROM audit WHERE id = 5", Some(5)),
        ("DELETE FROM audit", Some(1)),
        (
            "INSERT INTO audit SELECT 6, at_ms, actor, action, object, detail, prev_hash, hash FROM audit WHERE id = 5",
            Some(6),
        ),
        (
            "INSERT INTO audit SELECT -1, at_ms, actor, action, object, detail, prev_hash, hash FROM audit WHERE id = 1",
            Some(1),
        ),
        ("UPDATE audit SET hash = prev_hash WHERE id = 3", Some(3)),
        ("UPDATE audit_head SET last_id = 9", Some(6)),
    ];
    for (tamper, want) in cases {
        assert_eq!(verdict_after(tamper).await, want, "{tamper}");
    }
}

#[tokio::test]
async fn the_trail_refuses_change_by_the_database_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = open(&path).await;
    records.audit(("王芳", "export", "cases", "")).await.unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    for change in [
        "UPDATE audit SET actor = 'x'",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
    ] {
        let error = raw.execute(change, []).unwrap_err().to_string();
        assert!(error.contains("append-only"), "{change}: {error}");
    }
    assert_eq!(records.audit_trail(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_line_out_of_bounds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(&dir.path().join("records.db")).await;
    let long = "x".repeat(4_097);
    let cases = [
        (("", "export", "cases", ""), "actor"),
        (("王芳", "", "cases", ""), "action"),
        (("王芳", "export", "", ""), "object"),
        (("王芳", "export", "cases", long.as_str()), "detail"),
    ];
    for (line, want) in cases {
        match records.audit(line).await {
            Err(RecordError::Invalid { field, .. }) => assert_eq!(field, want),
            other => panic!("{want}: {other:?}"),
        }
    }
    assert_eq!(records.audit_trail(10).await.unwrap(), []);
}

/// Two stores on one file are two processes as far as the file knows: they share nothing but its locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_writers_open_a_new_file_at_once_and_take_turns() {
    const LINES: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let write = async |name: &str| {
        let records = open(&path).await;
        for n in 0..LINES {
            let id = format!("{name}-{n}");
            let region = Region {
                id: RegionId::new(&id).unwrap(),
                parent: None,
                name_zh: id.clone(),
                name_en: id,
            };
            records.put_region(&region).await.unwrap();
            records
                .audit((name, "region.put", &region.name_en, ""))
                .await
                .unwrap();
        }
        records
    };
    let (one, two) = tokio::join!(write("one"), write("two"));
    for records in [&one, &two] {
        assert_eq!(records.regions().await.unwrap().len(), 2 * LINES);
        assert_eq!(records.audit_trail(1_000).await.unwrap().len(), 2 * LINES);
        assert_eq!(records.directory_version().await.unwrap(), 2 * LINES as i64);
        assert_eq!(records.verify_audit().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_writer_that_never_lets_go_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("records.db");
    let records = open(&path).await;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = records.ping().await;
    assert!(matches!(busy, Err(RecordError::Busy { .. })), "{busy:?}");
    assert!(records.regions().await.is_ok(), "reads go on meanwhile");
    raw.execute_batch("COMMIT").unwrap();
    records.ping().await.unwrap();
}
