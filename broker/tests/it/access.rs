//! Who gets in, who may say and hear what, and how fast that ends.

use std::time::{Duration, Instant};

use domain::{IdentityName, UtcMillis};

use crate::{
    client::{Client, Connect},
    rig::{Rig, START, eventually, fill, identities},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_is_refused_with_a_reason() {
    let rig = Rig::start().await;
    let mut list = identities();
    list[0].expires_at = Some(START);
    list[1].revoked_at = Some(UtcMillis(1));
    assert_eq!(rig.directory.replace(list).len(), 2);
    let nameless = |v5| Connect {
        user: None,
        secret: None,
        ..Connect::new(v5, "x", "")
    };
    let cases = [
        (
            false,
            Connect::new(false, "x", "all").secret("wrong"),
            4,
            "bad_credentials",
            1,
        ),
        (
            true,
            Connect::new(true, "x", "all").secret("wrong"),
            0x86,
            "bad_credentials",
            2,
        ),
        (
            true,
            Connect::new(true, "x", "nobody"),
            0x86,
            "bad_credentials",
            3,
        ),
        (true, Connect::new(true, "x", "kitchen/d1"), 0x87, "expired", 1),
        (false, Connect::new(false, "x", "kitchen/d1"), 5, "expired", 2),
        (true, Connect::new(true, "x", "kitchen/d2"), 0x87, "revoked", 1),
        (false, nameless(false), 5, "anonymous", 1),
        (true, nameless(true), 0x87, "anonymous", 2),
    ];
    for (_, connect, code, reason, count) in cases {
        let refused = Client::open(rig.address, connect).await.err().unwrap();
        assert_eq!((refused.body[1], rig.refused(reason)), (code, count), "{reason}");
    }
    let last = rig.handle.refusals().pop().unwrap();
    assert_eq!((last.reason.code(), last.identity), ("anonymous", None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_outside_the_fence_is_not_stored() {
    let rig = Rig::start().await;
    let mut denied = 0;
    for topic in [
        "sk/v1/kitchen/d2/up",
        "sk/v1/other/d1/up",
        "sk/v1/kitchen/d1/cmd/open",
        "$SYS/x",
        "up",
    ] {
        let mut v5 = rig.client(true, "v5", "kitchen/d1").await;
        assert_eq!(v5.publish("sk/v1/kitchen/d1/up", b"1", 1, false).await, 0);
        for qos in 0..3 {
            assert_eq!(
                v5.publish(topic, b"x", qos, false).await,
                if qos == 0 { 0 } else { 0x87 },
                "{topic}"
            );
        }
        // The connection goes on, and answers stay in order.
        let (mut bytes, _) = v5.publish_bytes("sk/v1/kitchen/d1/up", b"2", 1, false);
        bytes.extend(v5.publish_bytes(topic, b"x", 1, false).0);
        v5.send(&bytes).await;
        assert_eq!((v5.recv().await.body.len(), v5.recv().await.body[2]), (2, 0x87));
        for qos in 0..3 {
            let mut v3 = rig.client(false, "v3", "kitchen/d1").await;
            let (bytes, _) = v3.publish_bytes(topic, b"x", qos, false);
            v3.send(&bytes).await;
            assert_eq!(v3.closed().await, [], "{topic}");
        }
        denied += 7;
        assert_eq!(rig.refused("publish_denied"), denied);
    }
    let records = rig.records();
    assert!(
        records
            .iter()
            .all(|r| r.0 == "kitchen/d1" && r.1 == "sk/v1/kitchen/d1/up"),
        "{records:?}"
    );
    assert_eq!(records.len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_is_granted_by_containment() {
    let rig = Rig::start().await;
    let cases = [
        ("kitchen/d1", "sk/v1/kitchen/d1/cmd/#", true),
        ("kitchen/d1", "sk/v1/kitchen/d1/cmd/open", true),
        ("kitchen/d1", "$share/g/sk/v1/kitchen/d1/cmd/#", true),
        ("kitchen/d1", "sk/v1/kitchen/d1/#", false),
        ("kitchen/d1", "sk/v1/+/d1/cmd/#", false),
        ("kitchen/d1", "sk/v1/kitchen/d2/cmd/#", false),
        ("kitchen/d1", "#", false),
        ("kitchen/d1", "$share/g/#", false),
        ("厨房/d1", "sk/v1/厨房/d1/cmd/+", true),
        ("wall", "sk/v1/kitchen/+/up", true),
        ("wall", "sk/v1/+/d1/up", false),
        ("all", "$SYS/#", false),
        ("all", "#", true),
    ];
    for (user, filter, granted) in cases {
        for v5 in [false, true] {
            let mut c = rig.client(v5, "c", user).await;
            let want = match (granted, v5) {
                (true, _) => 1,
                (false, true) => 0x87,
                (false, false) => 0x80,
            };
            assert_eq!(c.subscribe(filter, 1).await, want, "{user} {filter}");
            c.disconnect().await;
        }
    }
    assert_eq!(rig.refused("subscribe_denied"), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_never_hears_what_it_may_not() {
    let rig = Rig::start().await;
    let mut wall = rig.client(true, "wall", "wall").await;
    wall.subscribe("sk/v1/kitchen/#", 0).await;
    let mut speaker = rig.client(true, "s", "all").await;
    speaker.publish("sk/v1/厨房/d1/up", b"secret", 1, false).await;
    speaker.publish("sk/v1/kitchen/d1/up", b"open", 1, false).await;
    assert_eq!(wall.heard().await.1, "open");
    assert_eq!(wall.publish("sk/v1/kitchen/d1/cmd/x", b"", 1, false).await, 0x87);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wills_and_client_identifiers_are_fenced() {
    let rig = Rig::start().await;
    for (v5, code) in [(false, 5), (true, 0x87)] {
        for topic in ["sk/v1/kitchen/d2/status", "sk/v1/kitchen/d1/cmd/x", "#", "a/+"] {
            let connect = Connect::new(v5, "w", "kitchen/d1").will(topic, "gone", 1, false);
            assert_eq!(
                Client::open(rig.address, connect).await.err().unwrap().body[1],
                code,
                "{topic}"
            );
        }
    }
    assert_eq!(rig.refused("will_denied"), 8);
    let mut holder = rig.client(true, "mine", "kitchen/d1").await;
    for (v5, code) in [(false, 2), (true, 0x85)] {
        let stolen = Client::open(rig.address, Connect::new(v5, "mine", "kitchen/d2"))
            .await
            .err()
            .unwrap();
        assert_eq!(stolen.body[1], code);
    }
    assert_eq!(rig.refused("client_id_taken"), 2);
    holder.ping().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_ends_live_and_parked_sessions_within_a_second() {
    let rig = Rig::start().await;
    let name = IdentityName::new("kitchen/d1").unwrap();
    let will = |c: Connect| c.will("sk/v1/kitchen/d1/status", "offline", 1, true);
    let mut v5 = Client::open(rig.address, will(Connect::new(true, "v5", "kitchen/d1").keep()))
        .await
        .unwrap()
        .0;
    let mut v3 = Client::open(rig.address, will(Connect::new(false, "v3", "kitchen/d1").keep()))
        .await
        .unwrap()
        .0;
    let parked = Client::open(rig.address, Connect::new(false, "parked", "kitchen/d1").keep())
        .await
        .unwrap()
        .0;
    parked.disconnect().await;
    eventually("one is parked", || rig.handle.stats().connections == 2).await;
    let mut bystander = rig.client(true, "by", "kitchen/d2").await;
    let mut list = identities();
    list[0].revoked_at = Some(rig.clock.now());
    let start = Instant::now();
    for gone in rig.directory.replace(list) {
        assert_eq!(gone, name);
        rig.handle.revoke(&gone);
    }
    let said = v5.closed().await;
    assert_eq!((said.len(), said[0].head, said[0].body[0]), (1, 0xe0, 0x87));
    assert_eq!(v3.closed().await, []);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let again = Client::open(rig.address, Connect::new(true, "v5", "kitchen/d1"))
        .await
        .err()
        .unwrap();
    assert_eq!(again.body[1], 0x87);
    bystander.ping().await;
    eventually("no session is left", || rig.handle.stats().sessions == 1).await;
    assert_eq!(rig.records(), [], "a revoked device has no last word");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_whose_time_is_over_is_shown_out() {
    let rig = Rig::start().await;
    let mut list = identities();
    list[0].expires_at = Some(START.plus_ms(1_000));
    assert_eq!(rig.directory.replace(list).len(), 1);
    let mut c = rig.client(true, "c", "kitchen/d1").await;
    c.ping().await;
    rig.clock.set(START.plus_ms(1_000));
    let said = c.closed().await;
    assert_eq!((said[0].head, said[0].body[0]), (0xe0, 0x87));
    assert!(rig.refused("expired") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_will_that_waits_for_the_journal_keeps_nobody_signed_in() {
    let rig = Rig::start().await;
    rig.journal.advance_cursor("slow", rig.journal.start()).unwrap();
    let mut list = identities();
    list[0].expires_at = Some(START.plus_ms(3_700_000));
    assert_eq!(rig.directory.replace(list).len(), 1);
    let mut connect = Connect::new(true, "w", "all").keep();
    connect = connect.will("will", "gone", 1, false);
    connect.will.as_mut().unwrap().properties = vec![0x18, 0, 1, 0, 0];
    Client::open(rig.address, connect).await.unwrap().0.vanish();
    eventually("it is parked", || rig.handle.stats().connections == 0).await;
    let mut c = rig.client(true, "c", "kitchen/d1").await;
    fill(&rig.journal).await;
    rig.clock.set(START.plus_ms(3_650_000));
    eventually("the session ends with its will", || {
        rig.handle.stats().sessions == 1
    })
    .await;
    let start = Instant::now();
    rig.clock.set(START.plus_ms(3_700_000));
    let said = c.closed().await;
    assert_eq!((said[0].head, said[0].body[0]), (0xe0, 0x87));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anonymous_clients_are_let_in_on_loopback_only() {
    use domain::Clock;
    use sunshine_broker::{Broker, BrokerError, BrokerOptions, IdentityDirectory, Limits};
    let dir = tempfile::tempdir().unwrap();
    let journal = Rig::open_journal(dir.path(), &Clock::simulated(START));
    let options = |listen: &str, name: &str| BrokerOptions {
        listen: listen.parse().unwrap(),
        limits: Limits::default(),
        anonymous_as: Some(IdentityName::new(name).unwrap()),
        dir: dir.path().join("broker"),
    };
    let bind = |o| {
        Broker::bind(
            o,
            IdentityDirectory::new(identities()),
            journal.clone(),
            Clock::simulated(START),
        )
    };
    let open = bind(options("0.0.0.0:0", "all")).await.err().unwrap();
    assert!(matches!(open, BrokerError::AnonymousOnNetwork(_)), "{open}");
    let unknown = bind(options("127.0.0.1:0", "ghost")).await.err().unwrap();
    assert!(matches!(unknown, BrokerError::AnonymousUnknown(_)), "{unknown}");
    let broker = bind(options("127.0.0.1:0", "wall")).await.unwrap();
    let (address, stop) = (broker.local_addr(), tokio_util::sync::CancellationToken::new());
    let mut running = tokio::task::JoinSet::new();
    running.spawn(broker.run(stop.clone()));
    let connect = Connect {
        user: None,
        secret: None,
        ..Connect::new(true, "", "")
    };
    let (mut c, connack) = Client::open(address, connect).await.unwrap();
    assert!(connack.body.contains(&0x12), "a client identifier is assigned");
    assert_eq!(
        (c.subscribe("sk/v1/kitchen/#", 0).await, c.subscribe("#", 0).await),
        (0, 0x87)
    );
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
    journal.close();
}
