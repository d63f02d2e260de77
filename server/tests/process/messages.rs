//! An alarm that was acknowledged reaches the webhook, whenever the process is killed.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use domain::{
    Clock, DeviceId, Facility, FacilityId, FacilityKind, Metric, Point, Region, RegionId, Severity,
    SizeClass, Unit,
    duty::{Contact, ContactId, Reach, Step},
    message::{ChannelKind, ChannelSecrets, ChannelSettings, Language},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use store::{Records, Vault, records::Channel};

use crate::{
    publisher::connect,
    sunshine::{Sunshine, configuration},
};

const KILLS: usize = 8;
const SEED: u64 = 20_261_125;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// For each device, the keys under which its alarm arrived.
type Heard = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

#[test]
fn an_alarm_that_was_acknowledged_is_told_whenever_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (port, heard) = listen();
    configuration(
        dir.path(),
        "[messages]\nnetworks = [\"127.0.0.0/8\"]\n[vision]\nenabled = false\n",
    );
    std::fs::create_dir_all(dir.path().join("data")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(seed(&dir.path().join("data"), port));
    let mut random = StdRng::seed_from_u64(SEED);
    for kill in 0..KILLS {
        let mut running = Sunshine::start(dir.path());
        raise(running.mqtt_port, &format!("smoke-{kill}"));
        std::thread::park_timeout(Duration::from_millis(random.random_range(0..120)));
        running.kill();
    }
    let _running = Sunshine::start(dir.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    let all = || heard.lock().unwrap().len() == KILLS;
    while !all() {
        assert!(
            Instant::now() < deadline,
            "seed {SEED}: {:?}",
            heard.lock().unwrap()
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let heard = heard.lock().unwrap().clone();
    for (device, keys) in heard {
        assert!(
            keys.windows(2).all(|pair| pair[0] == pair[1]),
            "{device}: one alarm, one key: {keys:?}"
        );
    }
}

/// A webhook's other side, on a thread that ends with the process.
fn listen() -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let kept = Arc::clone(&kept);
            std::thread::spawn(move || drop(take(stream, &kept)));
        }
    });
    (port, heard)
}

fn take(stream: TcpStream, kept: &Heard) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut length, mut key) = (0, String::new());
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line)?;
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if let Some(value) = lower.strip_prefix("webhook-id:") {
                value.trim().clone_into(&mut key);
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        if event["type"] == "case.opened" && event["data"]["rule"] == "FG-SMK-01" {
            let device = event["data"]["device"].as_str().unwrap().to_owned();
            kept.lock().unwrap().entry(device).or_default().push(key);
        }
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

/// Publishes smoke at QoS 1 and waits for the acknowledgement.
fn raise(port: u16, device: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&connect(device)).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    let topic = format!("sk/v1/kill/{device}/up/smoke_alarm");
    let mut packet = vec![0x32, u8::try_from(2 + topic.len() + 2 + 1).unwrap()];
    packet.extend_from_slice(&u16::try_from(topic.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(&[0, 1, b'1']);
    stream.write_all(&packet).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0x40, 2, 0, 1], "acknowledged");
}

async fn seed(data: &Path, port: u16) {
    let records = Records::open(&data.join("records.db"), Clock::system())
        .await
        .unwrap();
    let (region, facility) = (RegionId::new("r").unwrap(), FacilityId::new("kill").unwrap());
    let names = || ("区".to_owned(), "R".to_owned());
    let row = Region {
        id: region.clone(),
        parent: None,
        name_zh: names().0,
        name_en: names().1,
    };
    records.put_region(&row).await.unwrap();
    let row = Facility {
        id: facility.clone(),
        region,
        name_zh: names().0,
        name_en: names().1,
        kind: FacilityKind::CareHome,
        size: SizeClass::Small,
        beds: 1,
        people_served: 1,
        address: "-".into(),
    };
    records.put_facility(&row).await.unwrap();
    let points: Vec<Point> = (0..KILLS)
        .map(|n| Point {
            facility: facility.clone(),
            device: DeviceId::new(&format!("smoke-{n}")).unwrap(),
            metric: Metric::new("smoke_alarm").unwrap(),
            unit: Unit::Bool,
            point_type: "smoke_detector".into(),
            place_zh: names().0,
            place_en: names().1,
            report_interval_s: 3_600,
        })
        .collect();
    records.put_points(&points).await.unwrap();
    webhook(&records, data, port).await;
    records.close().await;
}

async fn webhook(records: &Records, data: &Path, port: u16) {
    let channel = Channel {
        name: "hook".into(),
        kind: ChannelKind::Webhook,
        settings: ChannelSettings {
            url: format!("http://127.0.0.1:{port}/"),
            ..ChannelSettings::default()
        },
        has_secrets: false,
        enabled: true,
        tried_at: None,
        worked: None,
        said: String::new(),
        version: 0,
    };
    let secrets = ChannelSecrets {
        token: String::new(),
        secret: SECRET.into(),
    };
    let vault = Vault::open(data).unwrap();
    records
        .put_channel(&channel, Some(&secrets), &vault, "test")
        .await
        .unwrap();
    let contact = Contact {
        id: ContactId(0),
        person: None,
        name: "a program".into(),
        language: Language::En,
        step: Step::Observer,
        reach: Reach::Everywhere,
        channel: "hook".into(),
        address: String::new(),
        least: Severity::P4,
        quiet: None,
        digest: None,
        digest_at: 480,
        shifts: Vec::new(),
        enabled: true,
    };
    records.put_contact(&contact, 0, "test").await.unwrap();
}
