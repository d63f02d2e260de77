//! Every limit holds, and what it turns away is counted.

use std::time::{Duration, Instant};

use sunshine_broker::Limits;

use crate::{
    client::{Client, Connect, packet},
    rig::{Rig, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_in_all_and_per_identity() {
    let rig = Rig::with(Limits {
        connections: 4,
        connections_per_identity: 2,
        ..Limits::default()
    })
    .await;
    let mut first = rig.client(true, "a1", "all").await;
    let _second = rig.client(false, "a2", "all").await;
    for (v5, code) in [(false, 3), (true, 0x97)] {
        let refused = Client::open(rig.address, Connect::new(v5, "a3", "all"))
            .await
            .err()
            .unwrap();
        assert_eq!(refused.body[1], code);
    }
    // The same client may come again: it does not lock itself out.
    let mut again = rig.client(true, "a1", "all").await;
    assert_eq!(first.closed().await[0].body[0], 0x8e);
    again.ping().await;
    // In all: further sockets are closed unheard.
    let mut idle = vec![];
    for _ in 0..6 {
        idle.push(Client::dial(rig.address, true).await);
    }
    eventually("some are refused", || rig.refused("too_many_connections") >= 4).await;
    assert_eq!(idle.pop().unwrap().closed().await, []);
    assert_eq!(rig.handle.stats().connections, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_too_large_closes_the_connection() {
    let rig = Rig::with(Limits {
        packet_bytes: 2_048,
        ..Limits::default()
    })
    .await;
    for v5 in [false, true] {
        let mut c = rig.client(v5, "c", "all").await;
        let (bytes, _) = c.publish_bytes("t", &[0; 3_000], 1, false);
        c.send(&bytes[..100]).await;
        let said = c.closed().await;
        let code = said.first().map(|f| (f.head, f.body[0]));
        assert_eq!(code, v5.then_some((0xe0, 0x95)));
    }
    // A CONNECT of a stranger is bounded as well.
    let mut c = Client::dial(rig.address, true).await;
    c.send(&[0x10, 0xff, 0xff, 0xff, 0x7f]).await;
    assert_eq!(c.closed().await, []);
    let (_, connack) = Client::open(rig.address, Connect::new(true, "c", "all"))
        .await
        .unwrap();
    let said = [&[0x27][..], &2_048_u32.to_be_bytes()].concat();
    assert!(
        connack.body.windows(5).any(|w| w == said),
        "the limit is announced"
    );
    assert_eq!((rig.refused("packet_too_large"), rig.records().len()), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_too_fast_is_held_back_and_loses_nothing() {
    let rig = Rig::with(Limits {
        publishes_per_second: 100,
        ..Limits::default()
    })
    .await;
    let mut c = rig.client(true, "c", "all").await;
    let mut out = vec![];
    for i in 0..150u8 {
        out.extend(c.publish_bytes("t", &[i], 1, false).0);
    }
    let start = Instant::now();
    c.send(&out).await;
    for _ in 0..150 {
        assert_eq!(c.recv().await.kind(), 4);
    }
    assert!(
        start.elapsed() > Duration::from_millis(400),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(rig.records().len(), 150);
    assert!(rig.refused("too_fast") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_or_trickling_stranger_is_shown_out() {
    let rig = Rig::with(Limits {
        first_packet_timeout: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    let mut silent = Client::dial(rig.address, true).await;
    let mut half = Client::dial(rig.address, true).await;
    let connect = Connect::new(true, "c", "all").bytes();
    half.send(&connect[..connect.len() - 1]).await;
    let start = Instant::now();
    assert_eq!((silent.closed().await, half.closed().await), (vec![], vec![]));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(rig.refused("timeout"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_falls_silent_is_taken_for_gone() {
    let rig = Rig::start().await;
    let mut watcher = rig.client(true, "w", "all").await;
    watcher.subscribe("will", 1).await;
    for v5 in [false, true] {
        let connect = Connect::new(v5, "c", "all")
            .keep_alive(1)
            .will("will", "gone", 1, false);
        let (mut c, _) = Client::open(rig.address, connect).await.unwrap();
        let start = Instant::now();
        let said = c.closed().await;
        assert_eq!(
            said.first().map(|f| (f.head, f.body[0])),
            v5.then_some((0xe0, 0x8d))
        );
        assert!(
            start.elapsed() >= Duration::from_millis(1_400),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(watcher.heard().await.1, "gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_of_a_session_are_counted() {
    let rig = Rig::with(Limits {
        subscriptions_per_session: 2,
        ..Limits::default()
    })
    .await;
    let mut c = rig.client(true, "c", "all").await;
    assert_eq!((c.subscribe("a", 0).await, c.subscribe("b", 0).await), (0, 0));
    assert_eq!((c.subscribe("c", 0).await, c.subscribe("a", 1).await), (0x97, 1));
    c.unsubscribe("b").await;
    assert_eq!(c.subscribe("c", 0).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_never_reads_is_bounded_and_hurts_nobody() {
    let rig = Rig::with(Limits {
        queued_bytes_per_subscriber: 128 << 10,
        ..Limits::default()
    })
    .await;
    let mut deaf = rig.client(true, "deaf", "all").await;
    let bytes = deaf.subscribe_bytes("t", 0, &[]);
    deaf.send(&bytes).await;
    let mut listener = rig.client(true, "l", "all").await;
    listener.subscribe("t", 1).await;
    let mut speaker = rig.client(true, "s", "other").await;
    let payload = vec![1; 64 << 10];
    for _ in 0..400 {
        assert_eq!(speaker.publish("t", &payload, 1, false).await, 0);
        assert_eq!(listener.receive().await.payload.len(), payload.len());
    }
    assert!(rig.handle.stats().dropped > 0, "{:?}", rig.handle.stats());
    eventually("nothing is stuck", || rig.handle.stats().inflight_bytes == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retained_messages_are_bounded() {
    let rig = Rig::with(Limits {
        retained_messages: 3,
        ..Limits::default()
    })
    .await;
    let mut c = rig.client(true, "c", "all").await;
    for i in 0..5 {
        c.publish(&format!("r/{i}"), b"x", 1, true).await;
    }
    c.publish("r/0", b"y", 1, true).await;
    c.subscribe("r/#", 0).await;
    let mut got = vec![];
    for _ in 0..3 {
        got.push(c.heard().await);
    }
    got.sort();
    assert_eq!(got[0], ("r/0".into(), "y".into()));
    assert_eq!(rig.handle.stats().retained_refused, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_publishes_than_the_receive_maximum_end_the_connection() {
    let rig = Rig::with(Limits {
        inflight: 4,
        ..Limits::default()
    })
    .await;
    let (mut c, connack) = Client::open(rig.address, Connect::new(true, "c", "all"))
        .await
        .unwrap();
    assert!(connack.body.windows(3).any(|w| w == [0x21, 0, 4]), "{connack:?}");
    // QoS 2 identifiers stay in use until PUBREL.
    let mut out = vec![];
    for _ in 0..5 {
        out.extend(c.publish_bytes("t", b"x", 2, false).0);
    }
    c.send(&out).await;
    let said = c.closed().await;
    let last = said.last().unwrap();
    let kinds: Vec<u8> = said.iter().map(crate::client::Frame::kind).collect();
    assert!(
        (last.head, last.body[0]) == (0xe0, 0x93) || kinds == [5, 5, 5, 5, 5],
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_outside_their_range_are_refused() {
    use domain::Clock;
    use sunshine_broker::{Broker, BrokerError, BrokerOptions, IdentityDirectory};
    let dir = tempfile::tempdir().unwrap();
    let journal = Rig::open_journal(dir.path(), &Clock::system());
    for limits in [
        Limits {
            packet_bytes: 10,
            ..Limits::default()
        },
        Limits {
            inflight: 0,
            ..Limits::default()
        },
        Limits {
            queued_bytes_per_subscriber: 1,
            ..Limits::default()
        },
        Limits {
            keep_alive_seconds: 0,
            ..Limits::default()
        },
    ] {
        let options = BrokerOptions {
            listen: "127.0.0.1:0".parse().unwrap(),
            limits,
            anonymous_as: None,
            dir: dir.path().join("broker"),
        };
        let identities = IdentityDirectory::new(vec![]);
        let bound = Broker::bind(options, identities, journal.clone(), Clock::system()).await;
        assert!(matches!(bound.err(), Some(BrokerError::Limit { .. })));
    }
    journal.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_nothing_larger_than_it_asked_for() {
    let rig = Rig::start().await;
    let mut connect = Connect::new(true, "c", "all");
    connect.properties = vec![0x27, 0, 0, 0, 100];
    let (mut c, _) = Client::open(rig.address, connect).await.unwrap();
    c.subscribe("t", 2).await;
    let mut s = rig.client(true, "s", "other").await;
    for qos in 0..3 {
        s.publish("t", &[0; 200], qos, false).await;
        s.publish("t", b"small", qos, false).await;
        assert_eq!(c.receive().await.payload, b"small");
    }
    c.send(&packet(0xc0, &[])).await;
    assert_eq!(c.recv().await.head, 0xd0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_subscriber_does_not_acknowledge_is_bounded_in_bytes() {
    let rig = Rig::with(Limits {
        queued_bytes_per_subscriber: 200 << 10,
        ..Limits::default()
    })
    .await;
    for v5 in [false, true] {
        let mut lazy = rig.client(v5, "lazy", "all").await;
        lazy.subscribe("t", 1).await;
        let mut speaker = rig.client(true, "s", "other").await;
        let payload = vec![1; 64 << 10];
        for _ in 0..20 {
            assert_eq!(speaker.publish("t", &payload, 1, false).await, 0);
        }
        eventually("all are dealt", || rig.handle.stats().inflight_bytes == 0).await;
        lazy.send(&[0xc0, 0]).await;
        let mut got = vec![];
        loop {
            let frame = lazy.recv().await;
            if frame.kind() == 13 {
                break;
            }
            got.push(lazy.message(&frame).id.unwrap());
        }
        assert_eq!(got.len(), 3, "no more than fits into the limit");
        // An acknowledgement makes room for the next.
        lazy.send(&packet(0x40, &got[0].to_be_bytes())).await;
        assert_eq!(lazy.recv().await.kind(), 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_subscribe_has_no_more_filters_than_a_session() {
    let rig = Rig::with(Limits {
        subscriptions_per_session: 3,
        ..Limits::default()
    })
    .await;
    let mut c = rig.client(true, "c", "all").await;
    c.publish("a", b"kept", 1, true).await;
    let mut body = vec![0, 9, 0];
    for _ in 0..5 {
        body.extend([0, 1, b'a', 0]);
    }
    c.send(&packet(0x82, &body)).await;
    let mut retained = 0;
    let suback = loop {
        let frame = c.recv().await;
        match frame.kind() {
            3 => retained += 1,
            _ => break frame,
        }
    };
    assert_eq!(suback.body[3..], [0, 0, 0, 0x97, 0x97]);
    for _ in retained..3 {
        assert_eq!(c.receive().await.payload, b"kept");
    }
    c.ping().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(target_os = "linux")]
async fn idle_sockets_are_probed() {
    let rig = Rig::start().await;
    let _idle = rig.client(false, "c", "all").await;
    let local = format!("0100007F:{:04X}", rig.address.port());
    // Local address, remote address, state (1: established), queues, timer (2: keep-alive).
    let probed = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&local.as_str())
            && fields.get(3) == Some(&"01")
            && fields.get(5).is_some_and(|timer| timer.starts_with("02:"))
    };
    eventually("the socket is probed", || {
        std::fs::read_to_string("/proc/net/tcp")
            .unwrap()
            .lines()
            .any(probed)
    })
    .await;
    assert_eq!(rig.handle.stats().connections, 1);
}
