//! Clients on raw sockets against a farm, and against one connection that is fed by hand.

use bytes::Bytes;
use domain::FacilityId;
use rusty_h264::Decoder;

use super::*;
use crate::{
    cameras::{
        canvas::{HEIGHT, WIDTH},
        digest::answer,
        encoder::AccessUnit,
        rtp::Taken,
        scene::Scene,
        script::CameraScript,
        studio::Shot,
    },
    district,
};

const START: UtcMillis = UtcMillis(1_795_250_000_000);
const LIMIT: Duration = Duration::from_secs(30);

/// A client on a raw socket.
struct Viewer {
    stream: TcpStream,
    buffer: Vec<u8>,
    url: String,
    credentials: Credentials,
    nonce: String,
    session: String,
    sequence: u32,
}

impl Viewer {
    async fn connect(addr: SocketAddr, name: &str, credentials: &Credentials) -> Viewer {
        Viewer {
            stream: TcpStream::connect(addr).await.unwrap(),
            buffer: Vec::new(),
            url: format!("rtsp://{addr}/cam/{name}"),
            credentials: credentials.clone(),
            nonce: String::new(),
            session: String::new(),
            sequence: 0,
        }
    }

    /// Sends a request and gives the response's status, headers and body.
    async fn ask(&mut self, method: &str, below: &str, header: &str) -> (u16, String, String) {
        self.sequence += 1;
        let url = format!("{}{below}", self.url);
        let response = answer(&self.credentials, method, &url, &self.nonce);
        let Credentials { user, .. } = &self.credentials;
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.sequence);
        if !self.nonce.is_empty() {
            let realm = crate::cameras::digest::REALM;
            let nonce = &self.nonce;
            text += &format!(
                "Authorization: Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{url}\", response=\"{response}\"\r\n"
            );
        }
        if !self.session.is_empty() {
            text += &format!("Session: {}\r\n", self.session);
        }
        text += &format!("{header}\r\n");
        self.stream.write_all(text.as_bytes()).await.unwrap();
        let head = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break self.buffer.drain(..end + 4).collect::<Vec<u8>>();
            }
            assert!(self.more().await, "closed instead of answering {method}");
        };
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains(&format!("CSeq: {}\r\n", self.sequence)), "{head}");
        let length = head
            .split_once("Content-Length: ")
            .map_or(0, |(_, rest)| rest.split("\r\n").next().unwrap().parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more().await);
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    async fn more(&mut self) -> bool {
        let read = timeout(LIMIT, self.stream.read_buf(&mut self.buffer)).await;
        read.unwrap().is_ok_and(|count| count > 0)
    }

    async fn learn_nonce(&mut self) {
        let (status, head, _) = self.ask("DESCRIBE", "", "Accept: application/sdp\r\n").await;
        assert_eq!(status, 401, "{head}");
        let (_, rest) = head.split_once("nonce=\"").unwrap();
        self.nonce = rest.split('"').next().unwrap().to_owned();
    }

    async fn set_up(&mut self) {
        self.learn_nonce().await;
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        let (status, head, _) = self.ask("SETUP", "/track1", transport).await;
        assert_eq!(status, 200, "{head}");
        let (_, rest) = head.split_once("Session: ").unwrap();
        self.session = rest.split([';', '\r']).next().unwrap().to_owned();
    }

    /// The next interleaved packet; `None` when the connection was closed.
    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let [b'$', channel, high, low, rest @ ..] = &self.buffer[..] {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                if rest.len() >= length {
                    let channel = *channel;
                    let packet = self.buffer.drain(..4 + length).skip(4).collect();
                    return Some((channel, packet));
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next picture as Annex B.
    async fn picture(&mut self) -> Option<Vec<u8>> {
        let mut stream = Vec::new();
        loop {
            let (channel, packet) = self.packet().await?;
            if channel != 0 {
                continue;
            }
            match &packet[12..] {
                [indicator, fragment, piece @ ..] if indicator & 0x1f == 28 => {
                    if fragment & 0x80 != 0 {
                        stream.extend([0, 0, 0, 1, indicator & 0xe0 | fragment & 0x1f]);
                    }
                    stream.extend(piece);
                }
                unit => {
                    stream.extend([0, 0, 0, 1]);
                    stream.extend(unit);
                }
            }
            if packet[1] & 0x80 != 0 {
                return Some(stream);
            }
        }
    }
}

/// A farm at work; it is stopped by hand.
struct Running {
    addr: SocketAddr,
    clock: Clock,
    cameras: Vec<SimCamera>,
    stop: CancellationToken,
    task: JoinSet<anyhow::Result<()>>,
}

async fn run() -> Running {
    let clock = Clock::simulated(START);
    let here = "127.0.0.1:0".parse().unwrap();
    let farm = CameraFarm::start(here, district(1, 3).cameras, clock.clone());
    let farm = farm.await.unwrap();
    let (addr, cameras) = (farm.addr(), farm.cameras.clone());
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(farm.run(stop.clone()));
    Running {
        addr,
        clock,
        cameras,
        stop,
        task,
    }
}

impl Running {
    fn camera(&self, script: CameraScript) -> &SimCamera {
        self.cameras
            .iter()
            .find(|camera| camera.script == script)
            .unwrap()
    }

    async fn viewer(&self, script: CameraScript) -> Viewer {
        let camera = self.camera(script);
        Viewer::connect(self.addr, &camera.name(), &camera.credentials).await
    }

    async fn end(mut self) {
        self.stop.cancel();
        let ended = timeout(LIMIT, self.task.join_next()).await.unwrap();
        ended.unwrap().unwrap().unwrap();
        assert!(TcpStream::connect(self.addr).await.is_err(), "it still listens");
    }
}

#[tokio::test]
async fn only_who_knows_the_password_is_served() {
    let farm = run().await;
    let mut viewer = farm.viewer(CameraScript::HotKitchen).await;
    let (status, head, _) = viewer.ask("OPTIONS", "", "").await;
    assert!(status == 200 && head.contains("GET_PARAMETER"), "{head}");
    viewer.learn_nonce().await;
    let (status, head, sdp) = viewer.ask("DESCRIBE", "", "Accept: application/sdp\r\n").await;
    assert_eq!(status, 200);
    assert!(
        head.contains(&format!("Content-Base: {}/\r\n", viewer.url)),
        "{head}"
    );
    for line in [
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "packetization-mode=1;profile-level-id=42",
    ] {
        assert!(sdp.contains(line), "{line} is missing in {sdp}");
    }
    let udp = "Transport: RTP/AVP;unicast;client_port=4000-4001\r\n";
    assert_eq!(viewer.ask("SETUP", "/track1", udp).await.0, 461);
    assert_eq!(viewer.ask("PLAY", "", "").await.0, 454);
    assert_eq!(viewer.ask("RECORD", "", "").await.0, 501);
    // A nonce is good for its own connection only, and one camera's password for that camera only.
    let (nonce, other) = (
        viewer.nonce.clone(),
        farm.camera(CameraScript::Dining).credentials.clone(),
    );
    let mut thief = farm.viewer(CameraScript::HotKitchen).await;
    thief.nonce = nonce;
    assert_eq!(thief.ask("DESCRIBE", "", "").await.0, 401);
    thief.learn_nonce_again(other).await;
    assert_eq!(thief.ask("DESCRIBE", "", "").await.0, 401);
    thief.url += "x";
    assert_eq!(thief.ask("DESCRIBE", "", "").await.0, 404);
    farm.end().await;
}

impl Viewer {
    async fn learn_nonce_again(&mut self, credentials: Credentials) {
        self.nonce.clear();
        self.learn_nonce().await;
        self.credentials = credentials;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sees_what_is_drawn_until_the_farm_stops() {
    let farm = run().await;
    farm.clock.set(START.plus_ms(20_000));
    let mut viewer = farm.viewer(CameraScript::HotKitchen).await;
    viewer.set_up().await;
    assert_eq!(viewer.ask("PLAY", "", "Range: npt=0.000-\r\n").await.0, 200);
    let drawn = Scene::new(CameraScript::HotKitchen, START)
        .picture(START.plus_ms(20_000))
        .clone();
    let mut decoder = Decoder::new();
    for n in 0..7 {
        let stream = viewer.picture().await.unwrap();
        if n == 0 {
            assert_eq!(stream[4] & 0x1f, 7, "the first picture can be decoded alone");
        }
        let seen = decoder.decode(&stream).unwrap().unwrap();
        assert_eq!((seen.width, seen.height), (WIDTH, HEIGHT));
        let off: u64 = seen
            .y
            .iter()
            .zip(&drawn.y)
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        assert!(off < 4 * drawn.y.len() as u64, "picture {n} is {off} off in all");
    }
    // A request between pictures is answered.
    let mut keep_alive = viewer.url.clone();
    keep_alive.insert_str(0, "OPTIONS ");
    viewer
        .stream
        .write_all(format!("{keep_alive} RTSP/1.0\r\nCSeq: 99\r\n\r\n").as_bytes())
        .await
        .unwrap();
    while !viewer.buffer.windows(8).any(|eight| eight == b"CSeq: 99") {
        assert!(viewer.more().await);
    }
    farm.end().await;
    viewer.buffer.clear();
    while viewer.more().await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ninth_client_is_refused_until_one_leaves() {
    let farm = run().await;
    let mut viewers = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut viewer = farm.viewer(CameraScript::Entrance).await;
        viewer.set_up().await;
        assert_eq!(viewer.ask("PLAY", "", "").await.0, 200);
        viewers.push(viewer);
    }
    let mut ninth = farm.viewer(CameraScript::Entrance).await;
    ninth.set_up().await;
    assert_eq!(ninth.ask("PLAY", "", "").await.0, 453);
    viewers.pop();
    let again = async { while ninth.ask("PLAY", "", "").await.0 != 200 {} };
    timeout(LIMIT, again).await.unwrap();
    assert!(ninth.picture().await.is_some());
    farm.end().await;
}

/// A shot of `size` bytes, each of them `fill`.
fn shot(size: usize, fill: u8) -> Arc<Shot> {
    let mut unit = vec![fill; size];
    unit[0] = 0x65;
    let picture = AccessUnit {
        key: true,
        units: vec![Bytes::from(unit)],
    };
    let taken = Taken { at: START, rtp: 0 };
    Arc::new(Shot { picture, taken })
}

#[tokio::test]
async fn a_client_that_does_not_keep_up_is_dropped() {
    let credentials = Credentials {
        user: "viewer".into(),
        password: "x".into(),
    };
    let facility = FacilityId::new("binhe").unwrap();
    let offer = Offer {
        name: format!("{facility}/cam"),
        credentials: credentials.clone(),
    };
    let gallery = Gallery::new();
    let served = Served {
        offers: Arc::new([offer]),
        sets: Arc::new(parameter_sets().unwrap()),
        galleries: vec![gallery.clone()],
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &served).await;
    });
    let mut viewer = Viewer::connect(addr, "binhe/cam", &credentials).await;
    viewer.set_up().await;
    assert_eq!(viewer.ask("PLAY", "", "").await.0, 200);
    // More than the sockets hold, so that the connection is busy with it; meanwhile too many others come.
    gallery.show(shot(24 * 1024 * 1024, 1));
    while !viewer.buffer.starts_with(b"$") {
        assert!(viewer.more().await);
    }
    for _ in 0..40 {
        gallery.show(shot(100, 2));
    }
    assert_eq!(viewer.picture().await.map(|picture| picture[8]), Some(1));
    assert_eq!(viewer.picture().await, None);
    timeout(LIMIT, tasks.join_next()).await.unwrap().unwrap().unwrap();
}
