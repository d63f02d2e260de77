//! What ends rumqttd 0.20, or one of its connections, or its memory: none of it may touch this broker. One test for
//! each defect that was found in it.

use crate::{
    client::{Client, Connect, block, packet, text},
    rig::{Rig, eventually},
};

/// A fresh pair of clients can still talk to each other.
async fn alive(rig: &Rig) {
    let mut listener = rig.client(false, "alive-l", "all").await;
    assert_eq!(listener.subscribe("alive", 1).await, 1);
    let mut speaker = rig.client(true, "alive-s", "other").await;
    assert_eq!(speaker.publish("alive", b"yes", 1, false).await, 0);
    assert_eq!(listener.heard().await.1, "yes");
    listener.disconnect().await;
    speaker.disconnect().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_starts_with_a_multi_byte_character() {
    let rig = Rig::start().await;
    let mut c = rig.client(false, "c", "all").await;
    c.subscribe("厨房/#", 1).await;
    c.publish("厨房/温度", b"4", 1, false).await;
    assert_eq!(c.heard().await, ("厨房/温度".into(), "4".into()));
    alive(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_member_of_a_group_leaves_with_an_unacknowledged_message() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let (mut c, _) = Client::open(rig.address, Connect::new(v5, "c", "all").keep())
            .await
            .unwrap();
        c.subscribe("$share/g/t", 1).await;
        let mut speaker = rig.client(v5, "s", "other").await;
        speaker.publish("t", b"x", 1, false).await;
        assert_eq!(c.recv().await.kind(), 3);
        c.vanish();
        alive(&rig).await;
        let (mut back, _) = Client::open(rig.address, Connect::new(v5, "c", "all").keep())
            .await
            .unwrap();
        assert_eq!(back.heard().await.1, "x");
        drop(rig.client(v5, "c", "all").await);
        eventually("it is gone", || rig.handle.stats().sessions <= 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_properties_meets_an_old_client() {
    let rig = Rig::start().await;
    let mut old = rig.client(false, "old", "all").await;
    old.subscribe("p", 1).await;
    let mut new = rig.client(true, "new", "all").await;
    for i in 0..40 {
        let (bytes, _) = new.publish_with("p", &[i], 1, &[&[0x26][..], &text("k"), &text("v")].concat());
        new.send(&bytes).await;
        assert_eq!(new.recv().await.kind(), 4);
        assert_eq!(old.receive().await.payload, [i]);
    }
    alive(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_only_a_server_sends_before_and_after_sign_in() {
    let rig = Rig::start().await;
    let connack5 = packet(0x20, &[0, 0, 0]);
    let others = [
        &connack5[..],
        b"\x20\x02\x00\x00",
        b"\x90\x03\x00\x01\x00",
        b"\xb0\x02\x00\x01",
        b"\xd0\x00",
    ];
    for bytes in others {
        for v5 in [false, true] {
            let mut c = Client::dial(rig.address, v5).await;
            c.send(bytes).await;
            assert_eq!(c.closed().await, [], "{bytes:?}");
            let mut c = rig.client(v5, "c", "all").await;
            c.send(bytes).await;
            assert!(c.closed().await.iter().all(|f| f.head == 0xe0), "{bytes:?}");
        }
    }
    assert_eq!(rig.refused("protocol"), 20);
    alive(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_do_not_keep_others_out() {
    let rig = Rig::start().await;
    let mut idle = vec![];
    for i in 0..100u8 {
        let mut c = Client::dial(rig.address, i % 2 == 0).await;
        c.send(&Connect::new(true, "x", "all").bytes()[..usize::from(i % 20)])
            .await;
        idle.push(c);
    }
    alive(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_maximum_of_zero_is_a_legal_connect() {
    let rig = Rig::start().await;
    let mut connect = Connect::new(true, "c", "all");
    connect.properties = vec![0x22, 0, 0];
    let (mut c, _) = Client::open(rig.address, connect).await.unwrap();
    c.ping().await;
    assert_eq!(rig.handle.stats().connections, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keep_alive_zero_is_allowed() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let (mut c, connack) = Client::open(rig.address, Connect::new(v5, "c", "all").keep_alive(0))
            .await
            .unwrap();
        // Version 5 is told the longest that is granted.
        assert_eq!(v5, connack.body.windows(3).any(|w| w == [0x13, 0, 60]));
        c.ping().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_filters_and_topics_are_refused() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        for filter in ["a/#/b", "a#", "+a", "$share/g", "$share//x"] {
            let mut c = rig.client(v5, "c", "all").await;
            let mut bytes = c.subscribe_bytes(filter, 0, &[]);
            bytes.extend([0xe0, 0]);
            c.send(&bytes).await;
            // Either the filter is refused, or the whole packet as malformed.
            let refused = |f: &crate::client::Frame| match f.kind() {
                9 => f.body.last() == Some(if v5 { &0x8f } else { &0x80 }),
                kind => kind == 14 && f.body[0] >= 0x80,
            };
            let said = c.closed().await;
            assert!(said.iter().all(refused), "{filter}: {said:?}");
        }
        for topic in ["a/+/b", "a/#", "#"] {
            let mut c = rig.client(v5, "c", "all").await;
            let (bytes, _) = c.publish_bytes(topic, b"", 1, false);
            c.send(&bytes).await;
            assert!(c.closed().await.iter().all(|f| f.head == 0xe0), "{topic}");
        }
    }
    assert_eq!(rig.records(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_out_of_order_are_taken() {
    let rig = Rig::start().await;
    let mut c = rig.client(false, "c", "all").await;
    c.subscribe("t", 1).await;
    let mut speaker = rig.client(false, "s", "other").await;
    for i in 0..3 {
        speaker.publish("t", &[i], 1, false).await;
    }
    let mut ids = vec![];
    for _ in 0..3 {
        let frame = c.recv().await;
        ids.extend(c.message(&frame).id);
    }
    for id in ids.iter().rev() {
        c.send(&packet(0x40, &id.to_be_bytes())).await;
    }
    c.ping().await;
    speaker.publish("t", b"more", 1, false).await;
    assert_eq!(c.heard().await.1, "more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_maximum_is_respected() {
    let rig = Rig::start().await;
    let mut connect = Connect::new(true, "c", "all");
    connect.properties = vec![0x21, 0, 2];
    let (mut c, _) = Client::open(rig.address, connect).await.unwrap();
    c.subscribe("t", 1).await;
    let mut speaker = rig.client(true, "s", "other").await;
    for i in 0..5u8 {
        speaker.publish("t", &[i], 1, false).await;
    }
    let (first, _second) = (c.recv().await, c.recv().await);
    // Two are out; a PINGRESP comes before the third.
    c.ping().await;
    let id = c.message(&first).id.unwrap();
    c.send(&packet(0x40, &id.to_be_bytes())).await;
    let third = c.recv().await;
    assert_eq!(c.message(&third).payload, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_filters_cost_nothing_that_lasts() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    for i in 0..200 {
        let mut body = vec![0, 1, 0];
        for k in 0..50 {
            body.extend(text(&format!("f/{i}/{k}/#")));
            body.push(0);
        }
        c.send(&packet(0x82, &body)).await;
        assert_eq!(c.recv().await.kind(), 9);
        let mut body = vec![0, 1, 0];
        for k in 0..50 {
            body.extend(text(&format!("f/{i}/{k}/#")));
        }
        c.send(&packet(0xa2, &body)).await;
        assert_eq!(c.recv().await.kind(), 11);
    }
    c.disconnect().await;
    eventually("all is free again", || rig.handle.stats().sessions == 0).await;
    assert_eq!(rig.handle.stats().inflight_bytes, 0);
    alive(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sign_in_is_answered() {
    let rig = Rig::start().await;
    let refused = Client::open(rig.address, Connect::new(false, "c", "all").secret("no"))
        .await
        .err()
        .unwrap();
    assert_eq!(refused.body, [0, 4]);
    let mut c = Client::dial(rig.address, true).await;
    c.send(&packet(
        0x10,
        &[&text("MQTT")[..], &[5, 2, 0, 0], &block(&[])].concat(),
    ))
    .await;
    let said = c.closed().await;
    assert!(
        said.iter().all(|f| f.kind() == 2 && f.body[1] >= 0x80),
        "{said:?}"
    );
}
