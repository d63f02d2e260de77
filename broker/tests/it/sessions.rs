//! Sessions, wills and retained messages: across connections and across restarts.

use crate::{
    client::{Client, Connect, Will, packet},
    rig::{Rig, eventually, filler},
};

async fn keep(rig: &Rig, v5: bool, id: &str, user: &str) -> (Client, bool) {
    let (client, connack) = Client::open(rig.address, Connect::new(v5, id, user).keep())
        .await
        .unwrap();
    (client, connack.body[0] == 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_waits_for_its_client() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let (mut away, present) = keep(&rig, v5, "away", "all").await;
        assert!(!present);
        away.subscribe("s/#", 2).await;
        away.disconnect().await;
        let mut speaker = rig.client(v5, "speaker", "other").await;
        speaker.subscribe("s/end", 0).await;
        for qos in 0..3 {
            speaker.publish(&format!("s/{qos}"), b"x", qos, false).await;
        }
        speaker.publish("s/end", b"x", 1, false).await;
        // All are dealt before the client is back: one that is there hears QoS 0.
        assert_eq!(speaker.heard().await.0, "s/end");
        let (mut back, present) = keep(&rig, !v5, "away", "all").await;
        assert!(present);
        let mut got = vec![];
        while got.last().is_none_or(|(t, _)| t != "s/end") {
            let m = back.receive().await;
            got.push((m.topic, m.qos));
        }
        // QoS 0 is not kept for the absent.
        assert_eq!(got, [("s/1".into(), 1), ("s/2".into(), 2), ("s/end".into(), 1)]);
        back.disconnect().await;
        // A clean start ends it.
        drop(rig.client(v5, "away", "all").await);
        eventually("it is gone", || rig.handle.stats().sessions == 1).await;
        assert!(!keep(&rig, v5, "away", "all").await.1);
        drop(rig.client(v5, "away", "all").await);
        eventually("it is gone", || rig.handle.stats().sessions <= 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_comes_again() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let (mut c, _) = keep(&rig, v5, "c", "all").await;
        c.subscribe("a", 2).await;
        let mut speaker = rig.client(v5, "speaker", "other").await;
        speaker.publish("a", b"1", 1, false).await;
        speaker.publish("a", b"2", 2, false).await;
        let (first, second) = (c.recv().await, c.recv().await);
        let (first, second) = (c.message(&first), c.message(&second));
        assert_eq!((first.dup, second.dup), (false, false));
        // Version 3.1.1 sees the second up to PUBREC only.
        c.send(&packet(0x50, &second.id.unwrap().to_be_bytes())).await;
        assert_eq!(c.recv().await.head, 0x62);
        c.vanish();
        let (mut back, present) = keep(&rig, v5, "c", "all").await;
        assert!(present);
        let again = back.recv().await;
        let again = back.message(&again);
        assert_eq!(
            (again.payload, again.dup, again.id),
            (b"1".to_vec(), true, first.id)
        );
        let release = back.recv().await;
        assert_eq!((release.kind(), release.id()), (6, second.id.unwrap()));
        drop(rig.client(v5, "c", "all").await);
        eventually("it is gone", || rig.handle.stats().sessions <= 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_connection_takes_over() {
    let rig = Rig::start().await;
    let (mut old, _) = keep(&rig, true, "c", "all").await;
    old.subscribe("t", 1).await;
    let (mut new, present) = keep(&rig, true, "c", "all").await;
    assert!(present);
    let said = old.closed().await;
    assert_eq!((said[0].head, said[0].body[0]), (0xe0, 0x8e));
    new.publish("t", b"x", 1, false).await;
    assert_eq!(new.heard().await.1, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_expire() {
    let rig = Rig::start().await;
    let (mut c, _) = keep(&rig, true, "c", "all").await;
    c.subscribe("t", 1).await;
    c.disconnect().await;
    eventually("it is parked", || rig.handle.stats().connections == 0).await;
    rig.clock.set(rig.clock.now().plus_ms(3_599_000));
    assert!(keep(&rig, true, "c", "all").await.1);
    eventually("it is parked", || rig.handle.stats().connections == 0).await;
    rig.clock.set(rig.clock.now().plus_ms(3_600_000));
    eventually("it has expired", || rig.handle.stats().sessions == 0).await;
    assert!(!keep(&rig, true, "c", "all").await.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_speaks_for_those_who_vanish_only() {
    let rig = Rig::start().await;
    let mut watcher = rig.client(true, "w", "all").await;
    watcher.subscribe("sk/v1/kitchen/d1/status", 1).await;
    let will = |v5| Connect::new(v5, "d", "kitchen/d1").will("sk/v1/kitchen/d1/status", "offline", 1, true);
    for v5 in [false, true] {
        let (polite, _) = Client::open(rig.address, will(v5)).await.unwrap();
        polite.disconnect().await;
        let (gone, _) = Client::open(rig.address, will(v5)).await.unwrap();
        gone.vanish();
        assert_eq!(watcher.heard().await.1, "offline");
        assert_eq!(rig.records().len(), 1 + usize::from(v5));
    }
    // Version 5 may ask for its will although it says goodbye.
    let (mut c, _) = Client::open(rig.address, will(true)).await.unwrap();
    c.send(&[0xe0, 1, 4]).await;
    assert_eq!(watcher.heard().await.1, "offline");
    // It was retained.
    let mut late = rig.client(true, "late", "wall").await;
    late.subscribe("sk/v1/kitchen/+/status", 0).await;
    assert!(late.receive().await.retain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_waits_for_its_delay_and_is_taken_back() {
    let rig = Rig::start().await;
    let mut watcher = rig.client(true, "w", "all").await;
    watcher.subscribe("will", 1).await;
    let connect = || {
        let mut connect = Connect::new(true, "d", "all").keep();
        let (topic, payload) = ("will".into(), b"gone".to_vec());
        let properties = vec![0x18, 0, 0, 0, 10];
        connect.will = Some(Will {
            topic,
            payload,
            qos: 1,
            retain: false,
            properties,
        });
        connect
    };
    Client::open(rig.address, connect()).await.unwrap().0.vanish();
    eventually("it is parked", || rig.handle.stats().connections == 1).await;
    rig.clock.set(rig.clock.now().plus_ms(9_000));
    // Back in time: no will.
    let (back, connack) = Client::open(rig.address, connect()).await.unwrap();
    assert_eq!(connack.body[0], 1);
    back.vanish();
    eventually("it is parked", || rig.handle.stats().connections == 1).await;
    rig.clock.set(rig.clock.now().plus_ms(9_999));
    watcher.publish("will", b"marker", 0, false).await;
    assert_eq!(watcher.heard().await.1, "marker");
    rig.clock.set(rig.clock.now().plus_ms(1));
    assert_eq!(watcher.heard().await.1, "gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_survive_a_restart() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("r/1", b"one", 1, true).await;
    c.publish("r/2", b"two", 2, true).await;
    let rig = rig.restart().await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("r/2", b"", 1, true).await;
    c.publish("r/3", b"three", 1, true).await;
    let rig = rig.restart().await;
    let mut c = rig.client(true, "c", "all").await;
    c.subscribe("r/#", 1).await;
    let mut got = vec![c.heard().await, c.heard().await];
    got.sort();
    assert_eq!(
        got,
        [("r/1".into(), "one".into()), ("r/3".into(), "three".into())]
    );
    c.publish("r/end", b"end", 1, false).await;
    assert_eq!(c.heard().await.0, "r/end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_and_what_it_missed_survive_a_restart() {
    let rig = Rig::start().await;
    let (mut away, _) = keep(&rig, false, "away", "all").await;
    away.subscribe("s/+", 1).await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    speaker.publish("s/0", b"had", 1, false).await;
    assert_eq!(away.heard().await.1, "had");
    away.ping().await;
    away.disconnect().await;
    for i in 1..4 {
        speaker.publish(&format!("s/{i}"), b"missed", 1, false).await;
    }
    let rig = rig.restart().await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    speaker.publish("s/4", b"new", 1, false).await;
    let (mut back, present) = keep(&rig, false, "away", "all").await;
    assert!(present);
    for i in 1..5 {
        assert_eq!(back.heard().await.0, format!("s/{i}"));
    }
    // It is heard without subscribing again.
    speaker.publish("s/5", b"live", 1, false).await;
    assert_eq!(back.heard().await.0, "s/5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_a_removed_identity_does_not_come_back() {
    let rig = Rig::start().await;
    let list = crate::rig::identities()
        .into_iter()
        .filter(|i| i.name.as_str() != "other")
        .collect();
    let (mut c, _) = keep(&rig, true, "c", "other").await;
    c.subscribe("t", 1).await;
    for gone in rig.directory.replace(list) {
        rig.handle.revoke(&gone);
    }
    assert_eq!(c.closed().await.len(), 1);
    let rig = rig.restart().await;
    assert_eq!(rig.handle.stats().sessions, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let rig = Rig::start().await;
    let (mut away, _) = keep(&rig, true, "away", "all").await;
    assert_eq!(away.subscribe("c/#", 1).await, 1);
    let mut speaker = rig.client(true, "speaker", "other").await;
    speaker.publish("c/1", b"seen", 1, false).await;
    // Received and not acknowledged: it must come again.
    assert_eq!(away.recv().await.kind(), 3);
    away.vanish();
    speaker.publish("c/2", b"missed", 1, false).await;
    speaker.publish("r", b"retained", 1, true).await;
    let after = rig.crashed().await;
    let (mut back, present) = keep(&after, true, "away", "all").await;
    assert!(present, "the SUBACK stood for a session on disk");
    assert_eq!(
        (back.heard().await.0, back.heard().await.0),
        ("c/1".into(), "c/2".into())
    );
    let mut late = after.client(false, "late", "all").await;
    late.subscribe("r", 1).await;
    assert_eq!(late.heard().await.1, "retained");
    assert_eq!(after.records().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_file_does_not_keep_the_broker_down() {
    let rig = Rig::start().await;
    let (mut c, _) = keep(&rig, true, "c", "all").await;
    c.subscribe("t", 1).await;
    c.publish("r", b"kept", 1, true).await;
    let rig = rig
        .restart_after(|dir| std::fs::write(dir.join("sessions"), b"rubbish").unwrap())
        .await;
    let (mut c, present) = keep(&rig, true, "c", "all").await;
    assert!(!present);
    c.subscribe("r", 1).await;
    assert_eq!(c.heard().await.1, "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_back_at_once_finds_its_session() {
    let rig = Rig::start().await;
    let (mut c, _) = keep(&rig, true, "c", "all").await;
    c.subscribe("t", 1).await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    for i in 0..100 {
        // The old connection is just being seen to end.
        if i % 2 == 0 {
            c.vanish();
        } else {
            c.send(&[0xe0, 0]).await;
        }
        let (back, present) = keep(&rig, true, "c", "all").await;
        assert!(present, "round {i}");
        c = back;
        speaker.publish("t", i.to_string().as_bytes(), 1, false).await;
        assert_eq!(c.heard().await.1, i.to_string());
        c.ping().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_survives_a_crash_although_nobody_listens() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("r", b"kept", 1, true).await;
    let after = rig.crashed().await;
    let mut late = after.client(false, "late", "all").await;
    late.subscribe("r", 1).await;
    assert_eq!(late.heard().await.1, "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_come_back_from_the_journal_when_their_file_is_damaged() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("r", b"old", 1, true).await;
    c.publish("r", b"kept", 1, true).await;
    let rig = rig
        .restart_after(|dir| std::fs::write(dir.join("retained"), b"rubbish").unwrap())
        .await;
    let mut c = rig.client(true, "c", "all").await;
    c.subscribe("r", 1).await;
    assert_eq!(c.heard().await.1, "kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_comes_again_in_the_other_version() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let (mut c, _) = keep(&rig, v5, "c", "all").await;
        c.subscribe("a", 2).await;
        let mut speaker = rig.client(v5, "speaker", "other").await;
        speaker.publish("a", b"1", 1, false).await;
        speaker.publish("a", b"2", 2, false).await;
        assert_eq!((c.recv().await.kind(), c.recv().await.kind()), (3, 3));
        c.vanish();
        speaker.publish("a", b"3", 1, false).await;
        let (mut back, present) = keep(&rig, !v5, "c", "all").await;
        assert!(present);
        for expected in ["1", "2", "3"] {
            assert_eq!(back.heard().await.1, expected);
        }
        drop(rig.client(v5, "c", "all").await);
        eventually("it is gone", || rig.handle.stats().sessions <= 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_waits_does_not_hold_the_whole_journal() {
    let rig = Rig::start().await;
    let (mut away, _) = keep(&rig, true, "away", "all").await;
    away.subscribe("s", 1).await;
    away.disconnect().await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    speaker.publish("s", b"missed", 1, false).await;
    // More than the journal may hold.
    let total = rig.journal.stats().capacity_bytes * 5 / 4;
    let (body, mut writer) = (vec![0; 1 << 20], rig.journal.writer());
    let give_up = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while rig.journal.stats().appended_bytes < total {
        if writer.append(&filler(&body)).is_err() {
            assert!(tokio::time::Instant::now() < give_up, "{:?}", rig.journal.stats());
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let (mut back, present) = keep(&rig, true, "away", "all").await;
    assert!(present);
    assert_eq!(back.heard().await.1, "missed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_not_delivered_when_the_right_to_it_is_gone() {
    let rig = Rig::start().await;
    let (mut away, _) = keep(&rig, true, "away", "all").await;
    away.subscribe("#", 1).await;
    away.disconnect().await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    speaker.publish("secret", b"x", 1, false).await;
    let mut list = crate::rig::identities();
    let all = list.iter_mut().find(|i| i.name.as_str() == "all").unwrap();
    *all = crate::rig::service("all", &[], &["open"]);
    assert_eq!(rig.directory.replace(list).len(), 1);
    let (mut back, present) = keep(&rig, true, "away", "all").await;
    assert!(present);
    assert_eq!(back.subscribe("open", 1).await, 1);
    speaker.publish("open", b"y", 1, false).await;
    assert_eq!(back.heard().await.0, "open");
}
