//! Conformance at the edges, foreign clients, and hostile bytes.

use std::{process::Command, time::Duration};

use crate::{
    client::{Client, Connect, packet, text},
    rig::{Rig, eventually},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_standard_closes_the_connection() {
    let rig = Rig::start().await;
    let cases: [(&str, Vec<u8>); 11] = [
        ("a second CONNECT", Connect::new(true, "c", "all").bytes()),
        ("a reserved packet type", vec![0x00, 0]),
        (
            "PUBLISH with QoS 3",
            packet(0x36, &[&text("t")[..], &[0, 1, 0]].concat()),
        ),
        (
            "PUBLISH with packet identifier 0",
            packet(0x32, &[&text("t")[..], &[0, 0, 0]].concat()),
        ),
        ("SUBSCRIBE without filter", packet(0x82, &[0, 1, 0])),
        (
            "SUBSCRIBE with wrong flags",
            packet(0x80, &[&[0, 1, 0][..], &text("t"), &[0]].concat()),
        ),
        (
            "SUBSCRIBE with QoS 3",
            packet(0x82, &[&[0, 1, 0][..], &text("t"), &[3]].concat()),
        ),
        ("UNSUBSCRIBE without filter", packet(0xa2, &[0, 1, 0])),
        ("a topic that is not UTF-8", packet(0x30, &[0, 2, 0xff, 0xfe, 0])),
        ("a length of five bytes", vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x01]),
        (
            "PUBLISH with a subscription identifier",
            packet(0x30, &[&text("t")[..], &[2, 0x0b, 1]].concat()),
        ),
    ];
    for (what, bytes) in cases {
        let mut c = rig.client(true, "c", "all").await;
        eprintln!("{what}");
        c.send(&bytes).await;
        let said = c.closed().await;
        assert!(
            said.iter().all(|f| f.head == 0xe0 && f.body[0] >= 0x80),
            "{what}: {said:?}"
        );
    }
    assert_eq!(rig.records(), []);
    assert_eq!(rig.refused("protocol"), 11);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_packets_that_are_no_connect() {
    let rig = Rig::start().await;
    let bad_name = packet(0x10, &[&text("MQTX")[..], &[4, 2, 0, 60, 0, 1, b'c']].concat());
    let bad_version = packet(0x10, &[&text("MQTT")[..], &[9, 2, 0, 60, 0, 1, b'c']].concat());
    let reserved_flag = packet(0x10, &[&text("MQTT")[..], &[4, 3, 0, 60, 0, 1, b'c']].concat());
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xc0, 0],
        bad_name,
        bad_version,
        reserved_flag,
    ] {
        let mut c = Client::dial(rig.address, true).await;
        c.send(&bytes).await;
        assert!(
            c.closed().await.iter().all(|f| f.kind() == 2 && f.body[1] != 0),
            "{bytes:?}"
        );
    }
    assert_eq!(rig.refused("protocol"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_may_come_byte_by_byte_or_with_others() {
    let rig = Rig::start().await;
    let mut c = Client::dial(rig.address, false).await;
    let mut bytes = Connect::new(false, "c", "all").bytes();
    // Everything at once, even before the CONNACK.
    bytes.extend(c.subscribe_bytes("t", 1, &[]));
    bytes.extend(c.publish_bytes("t", b"early", 1, false).0);
    for byte in bytes {
        c.send(&[byte]).await;
    }
    assert_eq!((c.recv().await.kind(), c.recv().await.kind()), (2, 9));
    let mut kinds = vec![c.recv().await.kind(), c.recv().await.kind()];
    kinds.sort_unstable();
    assert_eq!(kinds, [3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_end_one_connection_and_no_more() {
    let rig = Rig::start().await;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..60 {
        let v5 = round % 2 == 0;
        let mut bytes: Vec<u8> = (0..random() % 300).map(|_| random().to_le_bytes()[0]).collect();
        if let Some(first) = bytes.first_mut() {
            // Half of them start like a packet that a client may send.
            *first = if round % 4 < 2 {
                [0x30, 0x32, 0x34, 0x82, 0xa2, 0x40, 0x50, 0x62][round % 8]
            } else {
                *first
            };
        }
        let mut c = rig.client(v5, "c", "all").await;
        c.send(&bytes).await;
        c.vanish();
    }
    eventually("all are gone", || rig.handle.stats().connections == 0).await;
    rig.client(true, "c", "all").await.ping().await;
    assert_eq!(rig.handle.stats().connections, 1);
}

#[test]
fn the_packet_path_takes_any_bytes() {
    use proptest::prelude::{any, prop, proptest};
    let connect = [
        Connect::new(false, "c", "u").bytes(),
        Connect::new(true, "c", "u").bytes(),
    ];
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..200), which in 0usize..3, head in any::<u8>())| {
        let mut all = connect.get(which).cloned().unwrap_or_default();
        let understood = sunshine_broker::probe(&all);
        assert_eq!(understood, usize::from(which < 2));
        all.extend(packet(head, &bytes));
        all.extend(&bytes);
        assert!(sunshine_broker::probe(&all) >= understood);
    });
}

fn installed(tool: &str, args: &[&str]) -> bool {
    let there = Command::new(tool)
        .args(args)
        .output()
        .is_ok_and(|o| o.status.success());
    if !there {
        eprintln!("skipped: {tool} {args:?} does not run here");
    }
    there
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mosquitto_clients_get_along() {
    if !installed(
        "sh",
        &["-c", "command -v mosquitto_pub && command -v mosquitto_sub"],
    ) {
        return;
    }
    let rig = Rig::start().await;
    let port = rig.address.port().to_string();
    for version in ["mqttv311", "mqttv5"] {
        let base = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-V",
            version,
            "-u",
            "all",
            "-P",
            "secret",
        ];
        // Retained, so that it does not matter who comes first.
        for qos in ["0", "1", "2"] {
            let mut publish = Command::new("mosquitto_pub");
            publish
                .args(base)
                .args(["-t", &format!("厨房/{qos}"), "-m", "四度", "-r", "-q", qos]);
            assert!(tokio::task::block_in_place(|| publish
                .status()
                .unwrap()
                .success()));
        }
        let mut listen = Command::new("mosquitto_sub");
        listen
            .args(base)
            .args(["-t", "厨房/#", "-C", "3", "-W", "10", "-v"]);
        let out = tokio::task::block_in_place(|| listen.output().unwrap());
        let mut lines: Vec<_> = std::str::from_utf8(&out.stdout).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["厨房/0 四度", "厨房/1 四度", "厨房/2 四度"]);
        eventually("both are gone", || rig.handle.stats().connections == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_gets_along() {
    if !installed("python3", &["-c", "import paho.mqtt.client"]) {
        return;
    }
    let rig = Rig::start().await;
    let script = r#"
import sys, threading
import paho.mqtt.client as mqtt
port, version = int(sys.argv[1]), int(sys.argv[2])
done, got = threading.Event(), []
try:
    c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="py", protocol=version)
except AttributeError:
    c = mqtt.Client(client_id="py", protocol=version)
c.username_pw_set("all", "secret")
c.on_connect = lambda c, *a: c.subscribe("py/#", 2)
c.on_subscribe = lambda c, *a: [c.publish("py/%d" % q, "值%d" % q, q) for q in (0, 1, 2)]
def message(c, u, m):
    got.append((m.topic, m.payload.decode(), m.qos))
    if len(got) == 3: done.set()
c.on_message = message
c.connect("127.0.0.1", port)
c.loop_start()
assert done.wait(10), got
c.disconnect(); c.loop_stop()
assert sorted(got) == [("py/%d" % q, "值%d" % q, q) for q in (0, 1, 2)], got
"#;
    for version in ["4", "5"] {
        let port = rig.address.port().to_string();
        let run = move || {
            Command::new("python3")
                .args(["-c", script, &port, version])
                .output()
                .unwrap()
        };
        let out = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rumqttc_gets_along_in_both_versions() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let rig = Rig::start().await;
    let mut options = MqttOptions::new("rust", "127.0.0.1", rig.address.port());
    options.set_credentials("all", "secret");
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("厨房/#", QoS::ExactlyOnce).await.unwrap();
    let wait = Duration::from_secs(10);
    loop {
        match tokio::time::timeout(wait, events.poll()).await.unwrap().unwrap() {
            Event::Incoming(Packet::SubAck(_)) => {
                client
                    .publish("厨房/温度", QoS::ExactlyOnce, false, "4.1")
                    .await
                    .unwrap();
            }
            Event::Incoming(Packet::Publish(p)) => {
                assert_eq!(
                    (p.topic.as_str(), &p.payload[..], p.qos),
                    ("厨房/温度", &b"4.1"[..], QoS::ExactlyOnce)
                );
                break;
            }
            _ => {}
        }
    }
    let mut options = rumqttc::v5::MqttOptions::new("rust5", "127.0.0.1", rig.address.port());
    options.set_credentials("all", "secret");
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 16);
    client
        .subscribe("a/b", rumqttc::v5::mqttbytes::QoS::AtLeastOnce)
        .await
        .unwrap();
    loop {
        match tokio::time::timeout(wait, events.poll()).await.unwrap().unwrap() {
            rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::SubAck(_)) => {
                client
                    .publish("a/b", rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, "x")
                    .await
                    .unwrap();
            }
            rumqttc::v5::Event::Incoming(rumqttc::v5::Incoming::Publish(p)) => {
                assert_eq!(&p.topic[..], b"a/b");
                break;
            }
            _ => {}
        }
    }
}
