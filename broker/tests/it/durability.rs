//! A PUBACK means durable, whatever happens.

use sunshine_broker::BrokerError;

use crate::{
    client::{Client, Connect, packet, text},
    rig::{Rig, eventually, fill},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_is_in_the_journal_before() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let mut c = rig.client(v5, "c", "all").await;
        for i in 0..50 {
            let (bytes, _) = c.publish_bytes("t", format!("{v5}{i}").as_bytes(), 1 + i % 2, false);
            c.send(&bytes).await;
            c.recv().await;
            // No waiting: a record that the answer stood for is readable now.
            assert_eq!(rig.records().last().unwrap().2, format!("{v5}{i}").as_bytes());
            if i % 2 == 1 {
                c.send(&packet(0x62, &bytes[5..7])).await;
                assert_eq!(c.recv().await.kind(), 7);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_has_ended_gives_no_answer() {
    let mut rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    assert_eq!(c.publish("t", b"1", 1, false).await, 0);
    rig.journal.close();
    let (bytes, _) = c.publish_bytes("t", b"2", 1, false);
    c.send(&bytes).await;
    let said = c.closed().await;
    assert!(said.iter().all(|f| f.kind() == 14), "no PUBACK: {said:?}");
    let ended = rig.ended().await;
    assert!(matches!(ended, Err(BrokerError::JournalEnded)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_holds_publishers_back_and_loses_nothing() {
    let rig = Rig::start().await;
    // A cursor that does not move keeps every segment, so the journal fills up.
    rig.journal.advance_cursor("slow", rig.journal.start()).unwrap();
    fill(&rig.journal).await;
    let mut c = rig.client(true, "c", "all").await;
    let mut out = vec![0xc0, 0];
    for i in 0..50 {
        out.extend(c.publish_bytes("t", &[i], 1, false).0);
    }
    c.send(&out).await;
    // The answer to the PINGREQ says that the publishes behind it were looked at.
    assert_eq!(c.recv().await.head, 0xd0);
    let answer = tokio::time::timeout(std::time::Duration::from_millis(100), c.recv()).await;
    assert!(answer.is_err(), "answered while it is full: {answer:?}");
    assert!(rig.journal.stats().full);
    assert!(rig.records().is_empty());
    rig.journal.advance_cursor("slow", rig.journal.durable()).unwrap();
    for _ in 0..50 {
        assert_eq!(c.recv().await.kind(), 4);
    }
    let bodies: Vec<u8> = rig.records().iter().map(|r| r.2[0]).collect();
    assert_eq!(bodies, (0..50).collect::<Vec<u8>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_qos_2_publish_makes_no_second_record() {
    let rig = Rig::start().await;
    let mut c = rig.client(false, "c", "all").await;
    let (bytes, id) = c.publish_bytes("t", b"once", 2, false);
    let mut twice = bytes.clone();
    let mut dup = bytes;
    dup[0] |= 8;
    twice.extend(&dup);
    c.send(&twice).await;
    assert_eq!(c.recv().await.kind(), 5);
    c.send(&dup).await;
    assert_eq!(c.recv().await.kind(), 5);
    c.send(&packet(0x62, &id.to_be_bytes())).await;
    while c.recv().await.kind() != 7 {}
    assert_eq!(rig.records().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_answers_what_is_durable_and_says_goodbye() {
    let mut rig = Rig::start().await;
    let will = Connect::new(true, "v5", "all").will("w", "gone", 1, false);
    let mut v5 = Client::open(rig.address, will).await.unwrap().0;
    let mut v3 = rig.client(false, "v3", "other").await;
    let mut out = vec![];
    for i in 0..100 {
        out.extend(v5.publish_bytes("t", &[i], 1, false).0);
    }
    v5.send(&out).await;
    assert_eq!(v5.recv().await.kind(), 4);
    rig.stop.cancel();
    let said = v5.closed().await;
    let acked = said.iter().filter(|f| f.kind() == 4).count() + 1;
    let last = said.last().unwrap();
    assert_eq!((last.head, last.body[0]), (0xe0, 0x8b));
    assert_eq!(v3.closed().await, []);
    rig.ended().await.unwrap();
    let stored = rig.records().iter().filter(|r| r.1 == "t").count();
    assert_eq!(acked, stored, "each stored publish was answered and no other");
    assert!(
        rig.records().iter().all(|r| r.1 != "w"),
        "a stop is no reason to call a device dead"
    );
    rig.journal.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_of_a_client_that_vanishes_is_stored_or_not_answered() {
    let rig = Rig::start().await;
    for i in 0..20u8 {
        let mut c = rig.client(false, "c", "all").await;
        let mut body = text("v");
        body.extend([0, 1, i]);
        c.send(&packet(0x32, &body)).await;
        c.vanish();
    }
    eventually("all are gone", || rig.handle.stats().connections == 0).await;
    let records = rig.records();
    assert!(records.len() <= 20 && records.iter().all(|r| r.1 == "v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_qos_2_publish_that_found_no_room_is_not_taken_for_received() {
    let rig = Rig::start().await;
    rig.journal.advance_cursor("slow", rig.journal.start()).unwrap();
    fill(&rig.journal).await;
    let keep = || Connect::new(false, "c", "all").keep();
    let mut c = Client::open(rig.address, keep()).await.unwrap().0;
    let (publish, _) = c.publish_bytes("t", b"once", 2, false);
    // The answer to the PINGREQ says that the PUBLISH behind it was looked at.
    c.send(&[&[0xc0, 0], &publish[..]].concat()).await;
    assert_eq!(c.recv().await.head, 0xd0);
    let (mut back, connack) = Client::open(rig.address, keep()).await.unwrap();
    assert_eq!(connack.body[0], 1);
    let mut again = publish;
    again[0] |= 8;
    back.send(&again).await;
    rig.journal.advance_cursor("slow", rig.journal.durable()).unwrap();
    assert_eq!(back.recv().await.kind(), 5);
    assert_eq!(rig.records().iter().filter(|r| r.1 == "t").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_qos_2_publish_is_stored_once_however_soon_its_client_is_back() {
    let rig = Rig::start().await;
    let keep = || Connect::new(true, "c", "all").keep();
    for i in 0..100u8 {
        let mut c = Client::open(rig.address, keep()).await.unwrap().0;
        let (mut publish, id) = c.publish_bytes("t", &[i], 2, false);
        c.send(&publish).await;
        if i % 2 == 0 {
            c.vanish();
        }
        let (mut back, _) = Client::open(rig.address, keep()).await.unwrap();
        publish[0] |= 8;
        back.send(&publish).await;
        assert_eq!(back.recv().await.kind(), 5);
        back.send(&packet(0x62, &id.to_be_bytes())).await;
        assert_eq!(back.recv().await.kind(), 7);
    }
    let mut stored: Vec<u8> = rig.records().iter().map(|r| r.2[0]).collect();
    stored.sort_unstable();
    assert_eq!(stored, (0..100).collect::<Vec<u8>>());
}
