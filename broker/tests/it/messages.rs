//! Publishing and hearing: qualities of service, wildcards, retained, shared, properties.

use crate::{
    client::{Client, Connect, packet, text},
    rig::{Rig, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_quality_of_service_in_both_versions() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        for (published, asked) in (0..3).flat_map(|p| (0..3).map(move |s| (p, s))) {
            let topic = format!("厨房/温度/{v5}/{published}/{asked}");
            let mut listener = rig.client(!v5, "listener", "all").await;
            assert_eq!(listener.subscribe(&topic, asked).await, asked);
            let mut speaker = rig.client(v5, "speaker", "other").await;
            assert_eq!(
                speaker.publish(&topic, "四度".as_bytes(), published, false).await,
                0
            );
            let got = listener.receive().await;
            assert_eq!(
                (got.topic.as_str(), got.payload.as_slice()),
                (topic.as_str(), "四度".as_bytes())
            );
            assert_eq!(
                (got.qos, got.retain, got.dup),
                (published.min(asked), false, false),
                "{topic}"
            );
        }
    }
    assert_eq!(rig.records().len(), 18);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wildcards_select_what_they_should() {
    let rig = Rig::start().await;
    let cases = [
        (
            "#",
            vec!["a", "a/b", "sk/v1/kitchen/d1/up", "sk/v1/kitchen/d1/cmd/x"],
        ),
        ("+/b", vec!["a/b"]),
        ("a/#", vec!["a", "a/b"]),
        (
            "sk/v1/kitchen/#",
            vec!["sk/v1/kitchen/d1/up", "sk/v1/kitchen/d1/cmd/x"],
        ),
        ("sk/v1/+/d1/up", vec!["sk/v1/kitchen/d1/up"]),
        ("sk/v1/kitchen/+/cmd/+", vec!["sk/v1/kitchen/d1/cmd/x"]),
    ];
    let mut speaker = rig.client(false, "speaker", "all").await;
    for (filter, mut want) in cases {
        let mut listener = rig.client(true, "listener", "other").await;
        assert_eq!(listener.subscribe(filter, 1).await, 1);
        assert_eq!(listener.subscribe("end", 1).await, 1);
        for topic in ["a", "a/b", "sk/v1/kitchen/d1/up", "sk/v1/kitchen/d1/cmd/x", "end"] {
            speaker.publish(topic, b"x", 1, false).await;
        }
        // Topics of different facilities may overtake each other, so the marker need not come last.
        want.push("end");
        let mut got = vec![];
        for _ in 0..want.len() {
            got.push(listener.heard().await.0);
        }
        got.sort();
        want.sort_unstable();
        assert_eq!(got, want, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_subscriptions_give_one_copy_with_every_identifier() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    for (filter, id) in [("a/b", 1u8), ("a/+", 2), ("#", 3)] {
        let bytes = c.subscribe_bytes(filter, 2, &[0x0b, id]);
        c.send(&bytes).await;
        assert_eq!(c.recv().await.kind(), 9);
    }
    c.publish("a/b", b"1", 0, false).await;
    c.publish("a/b", b"2", 0, false).await;
    let first = c.receive().await;
    let mut ids = first.properties.clone();
    ids.sort_unstable();
    assert_eq!(
        (first.payload.as_slice(), ids),
        (&b"1"[..], vec![1, 2, 3, 0x0b, 0x0b, 0x0b])
    );
    assert_eq!(c.receive().await.payload, b"2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_stays_until_an_empty_retained_one() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let mut speaker = rig.client(v5, "speaker", "all").await;
        for qos in 0..3 {
            speaker.publish(&format!("r/{qos}"), b"kept", qos, true).await;
        }
        // An empty message without the flag removes nothing.
        speaker.publish("r/1", b"", 1, false).await;
        let mut listener = rig.client(v5, "listener", "all").await;
        assert_eq!(listener.subscribe("r/+", 2).await, 2);
        let mut got = vec![];
        for _ in 0..3 {
            let m = listener.receive().await;
            assert!(m.retain && m.payload == b"kept", "{m:?}");
            got.push((m.topic, m.qos));
        }
        got.sort();
        assert_eq!(got, [("r/0".into(), 0), ("r/1".into(), 1), ("r/2".into(), 2)]);
        // A live one comes without the flag.
        speaker.publish("r/1", b"new", 1, true).await;
        let live = listener.receive().await;
        assert_eq!((live.retain, live.payload), (false, b"new".to_vec()));
        for qos in 0..3 {
            speaker.publish(&format!("r/{qos}"), b"", 1, true).await;
            assert_eq!(listener.receive().await.payload, b"");
        }
        let mut late = rig.client(v5, "late", "all").await;
        late.subscribe("r/+", 1).await;
        speaker.publish("r/end", b"end", 1, false).await;
        assert_eq!(late.heard().await.1, "end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retain_handling_and_retain_as_published_are_followed() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("r", b"old", 1, true).await;
    // Retain handling 2: never; 1: only for a new subscription; as published: bit 3.
    c.subscribe("r", 0x20).await;
    c.subscribe("r", 0x10 | 0x08).await;
    c.publish("r", b"live", 1, true).await;
    // The exchange with ourselves ends in the PUBACK, then the live copy with its flag.
    let m = c.receive().await;
    assert_eq!((m.payload.as_slice(), m.retain), (&b"live"[..], true));
    c.subscribe("r", 0).await;
    let m = c.receive().await;
    assert_eq!((m.payload.as_slice(), m.retain), (&b"live"[..], true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_local_spares_the_sender() {
    let rig = Rig::start().await;
    let mut c = rig.client(true, "c", "all").await;
    c.subscribe("n", 0x04).await;
    c.publish("n", b"mine", 1, false).await;
    let mut other = rig.client(true, "o", "all").await;
    other.publish("n", b"theirs", 1, false).await;
    assert_eq!(c.heard().await.1, "theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn properties_expiry_and_aliases() {
    let rig = Rig::start().await;
    let mut speaker = rig.client(true, "speaker", "all").await;
    let mut v3 = rig.client(false, "v3", "all").await;
    let mut v5 = rig.client(true, "v5", "all").await;
    v3.subscribe("p", 0).await;
    v5.subscribe("p", 0).await;
    let mut properties = vec![0x01, 1, 0x02, 0, 0, 0, 9];
    properties.push(0x03);
    properties.extend(text("text/plain"));
    properties.push(0x26);
    properties.extend(text("键"));
    properties.extend(text("值"));
    properties.extend([0x23, 0, 4]);
    let (bytes, _) = speaker.publish_with("p", b"1", 0, &properties);
    speaker.send(&bytes).await;
    assert_eq!(v3.heard().await.1, "1");
    let got = v5.receive().await;
    for part in [
        &[0x01, 1][..],
        &text("text/plain"),
        &text("键"),
        &[0x02, 0, 0, 0, 9],
    ] {
        assert!(
            got.properties.windows(part.len()).any(|w| w == part),
            "{part:?} in {:?}",
            got.properties
        );
    }
    assert!(
        !got.properties.windows(3).any(|w| w == [0x23, 0, 4]),
        "the alias is the speaker's own"
    );
    let (bytes, _) = speaker.publish_with("", b"2", 0, &[0x23, 0, 4]);
    speaker.send(&bytes).await;
    assert_eq!(v5.heard().await, ("p".into(), "2".into()));
    // An alias beyond the maximum.
    let (bytes, _) = speaker.publish_with("p", b"3", 0, &[0x23, 0xff, 0xff]);
    speaker.send(&bytes).await;
    let last = speaker.closed().await;
    assert_eq!((last[0].head, last[0].body[0]), (0xe0, 0x94));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_message_is_not_delivered() {
    let rig = Rig::start().await;
    let (mut away, _) = Client::open(rig.address, Connect::new(true, "away", "all").keep())
        .await
        .unwrap();
    away.subscribe("e", 1).await;
    away.disconnect().await;
    let mut speaker = rig.client(true, "speaker", "all").await;
    for (payload, seconds) in [(b"short", 5u8), (b"long.", 60)] {
        let (bytes, _) = speaker.publish_with("e", payload, 1, &[0x02, 0, 0, 0, seconds]);
        speaker.send(&bytes).await;
        assert_eq!(speaker.recv().await.kind(), 4);
    }
    rig.clock.set(rig.clock.now().plus_ms(10_000));
    let (mut back, connack) = Client::open(rig.address, Connect::new(true, "away", "all").keep())
        .await
        .unwrap();
    assert_eq!(connack.body[0], 1, "the session is there");
    let m = back.receive().await;
    assert_eq!(
        (m.payload.as_slice(), m.properties),
        (&b"long."[..], vec![0x02, 0, 0, 0, 50])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_subscription_deals_each_message_once() {
    let rig = Rig::start().await;
    let mut members = vec![];
    for i in 0..3 {
        let mut member = rig
            .client(i % 2 == 0, &format!("m{i}"), ["all", "other"][i % 2])
            .await;
        assert_eq!(member.subscribe("$share/g/s/#", 1).await, 1);
        members.push(member);
    }
    let mut watcher = rig.client(true, "w", "all").await;
    watcher.subscribe("s/#", 1).await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    for i in 0..30 {
        speaker
            .publish(&format!("s/{i}"), i.to_string().as_bytes(), 1, false)
            .await;
    }
    let mut got = vec![];
    for member in &mut members {
        for _ in 0..10 {
            got.push(member.heard().await.1.parse::<u32>().unwrap());
        }
    }
    got.sort_unstable();
    assert_eq!(got, (0..30).collect::<Vec<_>>());
    for i in 0..30 {
        assert_eq!(watcher.heard().await.1, i.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaving_member_passes_its_share_on() {
    let rig = Rig::start().await;
    let mut connect = Connect::new(true, "slow", "all");
    // Receive maximum 1: one message on the wire, the rest in the mailbox.
    connect.properties = vec![0x21, 0, 1];
    let (mut slow, _) = Client::open(rig.address, connect).await.unwrap();
    slow.subscribe("$share/g/s", 1).await;
    let mut speaker = rig.client(true, "speaker", "other").await;
    for i in 0..5 {
        speaker.publish("s", i.to_string().as_bytes(), 1, false).await;
    }
    assert_eq!(slow.recv().await.kind(), 3);
    let mut other = rig.client(true, "other", "other").await;
    other.subscribe("$share/g/s", 1).await;
    slow.vanish();
    let mut got = vec![];
    for _ in 0..5 {
        got.push(other.heard().await.1);
    }
    got.sort();
    assert_eq!(got, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_a_suback_and_the_next_publish() {
    let rig = Rig::start().await;
    let mut speaker = rig.client(false, "speaker", "all").await;
    for i in 0..40 {
        let mut listener = rig.client(i % 2 == 0, "listener", "other").await;
        listener.subscribe(["x", "#", "+"][i % 3], 1).await;
        speaker.publish("x", i.to_string().as_bytes(), 1, false).await;
        assert_eq!(listener.heard().await, ("x".into(), i.to_string()), "round {i}");
        listener.vanish();
        // Between rounds nobody listens and the fan-out skips.
        eventually("the listener is gone", || rig.handle.stats().connections == 1).await;
        speaker.publish("x", b"unheard", 1, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_gets_everything_in_order() {
    let rig = Rig::start().await;
    let mut listener = rig.client(true, "listener", "all").await;
    listener.subscribe("o/#", 1).await;
    let mut speaker = rig.client(false, "speaker", "other").await;
    let (count, mut acked) = (1_000, 0);
    for window in 0..10 {
        let mut out = vec![];
        for i in 0..count / 10 {
            out.extend(
                speaker
                    .publish_bytes("o/1", format!("{}", window * count / 10 + i).as_bytes(), 1, false)
                    .0,
            );
        }
        speaker.send(&out).await;
        for _ in 0..count / 10 {
            acked += u32::from(speaker.recv().await.kind() == 4);
        }
    }
    assert_eq!(acked, count);
    for i in 0..count {
        assert_eq!(listener.heard().await.1, i.to_string());
    }
    assert_eq!(rig.handle.stats().dropped, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_from_inside_reach_the_device() {
    let rig = Rig::start().await;
    let mut device = rig.client(true, "d", "kitchen/d1").await;
    device.subscribe("sk/v1/kitchen/d1/cmd/#", 1).await;
    rig.handle
        .publish("sk/v1/kitchen/d1/cmd/open", b"now", false)
        .await
        .unwrap();
    assert_eq!(
        device.heard().await,
        ("sk/v1/kitchen/d1/cmd/open".into(), "now".into())
    );
    assert!(rig.handle.publish("a/#", b"", false).await.is_err());
    let records = rig.records();
    assert_eq!(records[0].0, sunshine_broker::INTERNAL_SOURCE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsubscribing_ends_delivery() {
    let rig = Rig::start().await;
    for v5 in [false, true] {
        let mut c = rig.client(v5, "c", "all").await;
        c.subscribe("u/1", 0).await;
        c.subscribe("u/2", 0).await;
        let answer = c.unsubscribe("u/1").await;
        assert_eq!(answer.body.len(), if v5 { 4 } else { 2 });
        let unknown = c.unsubscribe("u/none").await;
        assert!(!v5 || unknown.body[3] == 0x11);
        c.send(&packet(
            0x30,
            &[text("u/1"), if v5 { vec![0] } else { vec![] }, b"no".to_vec()].concat(),
        ))
        .await;
        c.publish("u/2", b"yes", 0, false).await;
        assert_eq!(c.heard().await.1, "yes");
    }
}
