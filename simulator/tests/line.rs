//! Devices on the line, against a peer that speaks just enough MQTT 3.1.1 to be hard on them: it breaks
//! connections, withholds acknowledgements and refuses secrets.

#![expect(
    clippy::unwrap_used,
    reason = "the peer's code is part of the tests and fails loudly"
)]

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{Clock, TimeRange, UtcMillis};
use sunshine_simulator::{District, Scenario, Simulator, district, history, messages};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const START: UtcMillis = UtcMillis(1_795_250_000_000);
const SECOND: i64 = 1_000;

/// How hard the peer is.
#[derive(Debug, Clone, Default)]
struct Manners {
    /// Break every connection after this many publishes, the last of them unacknowledged.
    break_after: Option<usize>,
    /// Refuse this user.
    refuse: Option<String>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Per user: topic and payload of every publish, in order, repetitions included.
    publishes: HashMap<String, Vec<(String, Vec<u8>)>>,
    /// Per user: sign-ins, and connections that ended without DISCONNECT.
    sign_ins: HashMap<String, u32>,
    cut: HashMap<String, u32>,
    refused: u32,
    wills: HashSet<(String, Vec<u8>)>,
}

/// The peer; it ends with its owner.
struct Peer {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    async fn start(manners: Manners) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, manners.clone(), Arc::clone(&shared)));
            }
        });
        Peer {
            addr,
            seen,
            _tasks: tasks,
        }
    }

    /// Waits until `holds`, at most 20 seconds.
    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let wait = async {
            while !holds(&self.seen.lock().unwrap()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(
            timeout(Duration::from_secs(20), wait).await.is_ok(),
            "never: {what}"
        );
    }
}

/// One packet: its first byte and its body; `None` at the end of the stream.
async fn packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first, body))
}

fn field<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let (field, rest) = body[2..].split_at(length);
    *body = rest;
    field
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn serve(mut stream: TcpStream, manners: Manners, seen: Arc<Mutex<Seen>>) {
    let Some((0x10, connect)) = packet(&mut stream).await else {
        return;
    };
    let mut rest = &connect[10..];
    let _client_id = field(&mut rest);
    let will = (text(field(&mut rest)), field(&mut rest).to_vec());
    let user = text(field(&mut rest));
    assert_eq!(field(&mut rest), format!("secret of {user}").as_bytes());
    if manners.refuse.as_deref() == Some(&user) {
        seen.lock().unwrap().refused += 1;
        stream.write_all(&[0x20, 2, 0, 4]).await.unwrap();
        return;
    }
    {
        let mut seen = seen.lock().unwrap();
        seen.wills.insert(will);
        *seen.sign_ins.entry(user.clone()).or_default() += 1;
    }
    stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
    let mut taken = 0;
    while let Some((first, body)) = packet(&mut stream).await {
        match first >> 4 {
            3 => {
                assert_eq!(first >> 1 & 3, 1, "QoS 1");
                let mut rest = &body[..];
                let topic = text(field(&mut rest));
                let (id, payload) = rest.split_at(2);
                let said = (topic, payload.to_vec());
                seen.lock()
                    .unwrap()
                    .publishes
                    .entry(user.clone())
                    .or_default()
                    .push(said);
                taken += 1;
                if manners.break_after == Some(taken) {
                    // Closing with unread bytes would reset the connection and take acknowledgements along.
                    stream.shutdown().await.unwrap();
                    while packet(&mut stream).await.is_some() {}
                    return;
                }
                stream.write_all(&[0x40, 2, id[0], id[1]]).await.unwrap();
            }
            12 => stream.write_all(&[0xD0, 0]).await.unwrap(),
            14 => return,
            other => panic!("packet type {other}"),
        }
    }
    *seen.lock().unwrap().cut.entry(user).or_default() += 1;
}

fn secrets(made: &District) -> HashMap<domain::IdentityName, String> {
    made.devices
        .iter()
        .map(|d| (d.identity(), format!("secret of {}", d.identity())))
        .collect()
}

/// One facility with two hours of past, on a clock that stands at the start.
fn small(incidents: bool) -> (Scenario, District, Clock) {
    let scenario = Scenario {
        facilities: 1,
        incidents,
        history_from: Some(START - 2 * 3_600 * SECOND),
        ..Scenario::new(6, START)
    };
    (scenario, district(6, 1), Clock::simulated(START))
}

/// What each device is to say up to `until`, in order: its past, then its present.
fn expected(
    scenario: &Scenario,
    made: &District,
    until: UtcMillis,
) -> HashMap<String, Vec<(String, Vec<u8>)>> {
    let mut all: HashMap<String, Vec<_>> = HashMap::new();
    let past = (0..made.devices.len()).flat_map(|device| history(scenario, made, device, START));
    let present = messages(
        scenario,
        made,
        TimeRange {
            from: START,
            to: until + 1,
        },
    );
    for message in past.chain(present) {
        let name = made.devices[message.device].identity().to_string();
        all.entry(name)
            .or_default()
            .push((message.topic, message.payload));
    }
    all
}

fn without_status(publishes: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    publishes
        .iter()
        .filter(|(topic, _)| !topic.ends_with("/status"))
        .cloned()
        .collect()
}

/// In order of the first arrival, without repetitions.
fn distinct(publishes: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let mut known = HashSet::new();
    publishes
        .iter()
        .filter(|p| known.insert((*p).clone()))
        .cloned()
        .collect()
}

#[tokio::test]
async fn every_device_tells_its_past_then_its_present_and_says_goodbye() {
    let (scenario, made, clock) = small(false);
    let peer = Peer::start(Manners::default()).await;
    let stop = CancellationToken::new();
    let run = Simulator::new(
        scenario.clone(),
        made.clone(),
        peer.addr,
        secrets(&made),
        clock.clone(),
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(run.run(stop.clone()));
    // The present begins where the clock stands when the devices are made.
    peer.until("a device signs in", |seen| !seen.sign_ins.is_empty())
        .await;
    clock.set(START + 60 * SECOND);
    let want = expected(&scenario, &made, START + 60 * SECOND);
    let total: usize = want.values().map(Vec::len).sum();
    let count = |seen: &Seen| {
        seen.publishes
            .values()
            .map(|p| without_status(p).len())
            .sum::<usize>()
    };
    peer.until("everything is said", |seen| count(seen) >= total)
        .await;
    stop.cancel();
    let ended = timeout(Duration::from_secs(10), tasks.join_next()).await.unwrap();
    ended.unwrap().unwrap().unwrap();
    let seen = peer.seen.lock().unwrap();
    for (name, said) in &want {
        let got = &seen.publishes[name];
        assert_eq!(&without_status(got), said, "{name}");
        assert_eq!(
            (got[0].1.as_slice(), got[got.len() - 1].1.as_slice()),
            (&b"online"[..], &b"offline"[..])
        );
        assert!(seen.wills.contains(&(got[0].0.clone(), b"offline".to_vec())));
    }
    assert!(
        seen.cut.is_empty(),
        "cut off instead of signed out: {:?}",
        seen.cut
    );
}

#[tokio::test]
async fn nothing_is_lost_when_connections_keep_breaking() {
    let (scenario, made, clock) = small(false);
    let peer = Peer::start(Manners {
        break_after: Some(6),
        ..Manners::default()
    })
    .await;
    let stop = CancellationToken::new();
    let run = Simulator::new(
        scenario.clone(),
        made.clone(),
        peer.addr,
        secrets(&made),
        clock.clone(),
    );
    let mut tasks = JoinSet::new();
    tasks.spawn(run.run(stop.clone()));
    // The present begins where the clock stands when the devices are made.
    peer.until("a device signs in", |seen| !seen.sign_ins.is_empty())
        .await;
    clock.set(START + 60 * SECOND);
    // A bare number may come twice because it was said twice: only its first arrival counts here.
    let want = expected(&scenario, &made, START + 60 * SECOND);
    let want: HashMap<_, _> = want.iter().map(|(name, said)| (name, distinct(said))).collect();
    let of = |seen: &Seen, name: &str| seen.publishes.get(name).map(|p| distinct(&without_status(p)));
    peer.until("everything is said", |seen| {
        want.iter()
            .all(|(name, said)| of(seen, name).is_some_and(|got| got.len() >= said.len()))
    })
    .await;
    stop.cancel();
    assert!(timeout(Duration::from_secs(10), tasks.join_next()).await.is_ok());
    let seen = peer.seen.lock().unwrap();
    for (name, said) in &want {
        assert_eq!(of(&seen, name).as_ref(), Some(said), "{name}");
    }
    assert!(seen.sign_ins.values().any(|n| *n > 1), "no connection was broken");
}

#[tokio::test]
async fn a_refused_device_does_not_stop_the_others() {
    let (scenario, made, clock) = small(false);
    let refused = made.devices[0].identity().to_string();
    let peer = Peer::start(Manners {
        refuse: Some(refused.clone()),
        ..Manners::default()
    })
    .await;
    let stop = CancellationToken::new();
    let run = Simulator::new(scenario.clone(), made.clone(), peer.addr, secrets(&made), clock);
    let mut tasks = JoinSet::new();
    tasks.spawn(run.run(stop.clone()));
    peer.until("the others speak and it tries again", |seen| {
        seen.publishes.len() == made.devices.len() - 1 && seen.refused >= 2
    })
    .await;
    assert!(!peer.seen.lock().unwrap().publishes.contains_key(&refused));
    stop.cancel();
    let ended = timeout(Duration::from_secs(10), tasks.join_next()).await.unwrap();
    ended.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_device_without_a_secret_is_an_error_at_once() {
    let (scenario, made, clock) = small(false);
    let mut some = secrets(&made);
    some.remove(&made.devices[3].identity());
    let addr = "127.0.0.1:1".parse().unwrap();
    let run = Simulator::new(scenario, made, addr, some, clock);
    let error = run.run(CancellationToken::new()).await.unwrap_err();
    assert!(
        error.to_string().contains("sample-fridge has no secret"),
        "{error}"
    );
}

#[tokio::test]
async fn a_power_cut_ends_without_a_word_and_the_device_returns() {
    let (scenario, made, clock) = small(true);
    let name = "binhe/freezer-1";
    let peer = Peer::start(Manners::default()).await;
    let stop = CancellationToken::new();
    let run = Simulator::new(scenario, made.clone(), peer.addr, secrets(&made), clock.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(run.run(stop.clone()));
    peer.until("it signs in", |seen| seen.sign_ins.contains_key(name))
        .await;
    clock.set(START + 60 * SECOND);
    peer.until("its power is cut", |seen| seen.cut.contains_key(name))
        .await;
    clock.set(START + 16 * 60 * SECOND);
    peer.until("it returns", |seen| seen.sign_ins[name] == 2).await;
    assert_eq!(peer.seen.lock().unwrap().cut.len(), 1, "others were cut as well");
    stop.cancel();
    assert!(timeout(Duration::from_secs(10), tasks.join_next()).await.is_ok());
}

#[tokio::test]
async fn a_camera_that_pushes_publishes_jpegs_below_its_own_root() {
    let (scenario, made, clock) = small(false);
    let camera = made.cameras.iter().find(|camera| camera.is_pushed()).unwrap();
    let name = camera.identity().to_string();
    let mut all = secrets(&made);
    all.insert(camera.identity(), format!("secret of {name}"));
    let peer = Peer::start(Manners::default()).await;
    let stop = CancellationToken::new();
    let run = Simulator::new(scenario, made.clone(), peer.addr, all, clock.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(run.run(stop.clone()));
    let said = |seen: &Seen| seen.publishes.get(&name).cloned().unwrap_or_default();
    for count in 1..=3 {
        peer.until("a picture comes", |seen| {
            without_status(&said(seen)).len() == count
        })
        .await;
        clock.set(START + i64::try_from(count).unwrap() * 5 * SECOND);
    }
    stop.cancel();
    let ended = timeout(Duration::from_secs(10), tasks.join_next()).await.unwrap();
    ended.unwrap().unwrap().unwrap();
    let heard = peer.seen.lock().unwrap();
    let root = format!("sk/v1/{}/", camera.name());
    assert!(
        heard
            .wills
            .contains(&(format!("{root}status"), b"offline".to_vec()))
    );
    let said = said(&heard);
    assert_eq!(said.last(), Some(&(format!("{root}status"), b"offline".to_vec())));
    let pictures = without_status(&said);
    for (topic, file) in &pictures {
        assert_eq!(*topic, format!("{root}image"));
        assert!(
            file.starts_with(&[0xff, 0xd8]) && file.len() > 16 * 1024,
            "{} bytes",
            file.len()
        );
    }
    assert_ne!(pictures[0], pictures[1]);
}
