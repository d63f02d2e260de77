//! Live pictures over a WebSocket, as a browser opens them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, StatusCode},
};
use domain::{Camera, Role};
use futures::{SinkExt as _, StreamExt as _};
use sunshine_dashboard::VideoItem;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _},
};
use tokio_util::sync::CancellationToken;

use crate::{
    NOW,
    eyes::{self, Eyes},
    get, post, post_as, signing,
    stage::Stage,
};

const PATH: &str = "/live/binhe-01/cam-1";

/// A kitchen with one camera, served over a real socket.
struct Served {
    stage: Stage,
    eyes: Arc<Eyes>,
    router: Router,
    camera: Camera,
    addr: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Served {
    async fn start() -> Served {
        let mut stage = Stage::build(1, NOW).await;
        let eyes = Arc::new(Eyes::default());
        stage.state.sight = eyes.sight();
        let camera = eyes::camera("binhe-01", "cam-1", ("灶台", "Stove"));
        stage.state.records.put_camera(&camera, "tester").await.unwrap();
        let dashboard = sunshine_dashboard::build(stage.state.clone()).unwrap();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (router, ended) = (dashboard.router.clone(), stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(dashboard.feed.run(stop.clone()));
        tasks.spawn(async move {
            let served = axum::serve(listener, dashboard.router);
            served
                .with_graceful_shutdown(ended.cancelled_owned())
                .await
                .unwrap();
        });
        Served {
            stage,
            eyes,
            router,
            camera,
            addr,
            stop,
            tasks,
        }
    }

    /// Lets the camera send; what goes into the sender comes out at the next viewer.
    fn feed(&self, mime: &str, room: usize) -> mpsc::Sender<VideoItem> {
        let (sender, receiver) = mpsc::channel(room);
        let feed = (mime.to_owned(), receiver);
        self.eyes
            .feeds
            .lock()
            .unwrap()
            .insert(self.camera.key.clone(), feed);
        sender
    }

    /// The cookies of an inspector who has signed in and said why they look.
    async fn cookie(&self) -> String {
        let signed_in = signing::sign_in(&self.router, &self.stage.state.records, Role::Inspector).await;
        let form = "purpose=case+12&back=%2Fcameras%2Fbinhe-01%2Fcam-1";
        let answer = post_as(&self.router, "/watcher", (form, &signed_in)).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, "/cameras/binhe-01/cam-1")
        );
        let set = answer.header("set-cookie");
        assert!(
            set.contains("HttpOnly") && set.contains("SameSite=Strict"),
            "{set}"
        );
        format!("{signed_in}; {}", set.split(';').next().unwrap())
    }

    async fn open(&self, origin: &str, cookie: &str) -> Result<WebSocketStream<TcpStream>, Error> {
        let mut request = format!("ws://{}{PATH}", self.addr).into_client_request()?;
        let headers = request.headers_mut();
        headers.insert("origin", HeaderValue::from_str(origin).unwrap());
        headers.insert("cookie", HeaderValue::from_str(cookie).unwrap());
        let stream = TcpStream::connect(self.addr).await?;
        client_async(request, stream).await.map(|(socket, _)| socket)
    }

    async fn watch(&self) -> WebSocketStream<TcpStream> {
        let cookie = self.cookie().await;
        self.open(&format!("http://{}", self.addr), &cookie)
            .await
            .unwrap()
    }

    async fn finish(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(20), async {
            while self.tasks.join_next().await.is_some() {}
        });
        ended.await.expect("the server stops while somebody watches");
        self.stage.finish().await;
    }
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    let wait = tokio::time::timeout(Duration::from_secs(20), socket.next());
    wait.await.expect("something comes").unwrap().unwrap()
}

/// The next message as text: what is binary as it is, a close as its code and reason.
async fn said(socket: &mut WebSocketStream<TcpStream>) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        Message::Binary(data) => String::from_utf8_lossy(&data).into_owned(),
        Message::Close(Some(frame)) => format!("{} {}", u16::from(frame.code), frame.reason),
        other => format!("{other:?}"),
    }
}

fn fragment(key: bool, data: &'static str) -> VideoItem {
    VideoItem::Fragment {
        key,
        data: Bytes::from_static(data.as_bytes()),
    }
}

/// The status of a refused handshake.
fn refused(answer: Result<WebSocketStream<TcpStream>, Error>) -> u16 {
    match answer {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("the handshake was not refused: {:?}", other.map(|_| ())),
    }
}

#[tokio::test]
async fn a_viewer_gets_the_beginning_then_what_comes() {
    let served = Served::start().await;
    let sender = served.feed("video/mp4; codecs=\"avc1.4d401f\"", 8);
    let mut socket = served.watch().await;
    assert_eq!(
        said(&mut socket).await,
        r#"{"mime":"video/mp4; codecs=\"avc1.4d401f\""}"#
    );
    assert_eq!(said(&mut socket).await, "init");
    assert_eq!(said(&mut socket).await, "first");
    for (key, data) in [(false, "second"), (true, "third")] {
        sender.send(fragment(key, data)).await.unwrap();
        assert_eq!(said(&mut socket).await, data);
    }
    let trail = served.stage.state.records.audit_trail(1).await.unwrap();
    assert_eq!(
        (
            trail[0].actor.as_str(),
            trail[0].action.as_str(),
            trail[0].object.as_str()
        ),
        ("inspector 同志", "camera.live", "binhe-01/cam-1")
    );
    assert_eq!(trail[0].detail, "inspector inspector: case 12");
    drop(sender);
    assert_eq!(said(&mut socket).await, "4002 over", "the camera was let go");
    served.finish().await;
}

#[tokio::test]
async fn nobody_watches_without_a_role_a_purpose_or_from_another_site() {
    let served = Served::start().await;
    let sender = served.feed("video/mp4", 8);
    let own = format!("http://{}", served.addr);
    let cookie = served.cookie().await;
    let without_purpose = cookie.split(';').next().unwrap();
    let without_session = cookie.split("; ").nth(1).unwrap();
    assert_eq!(refused(served.open(&own, "lang=en").await), 401, "nobody");
    assert_eq!(
        refused(served.open(&own, without_purpose).await),
        403,
        "no purpose"
    );
    assert_eq!(
        refused(served.open(&own, without_session).await),
        401,
        "a purpose alone"
    );
    assert_eq!(
        refused(served.open(&own, &format!("{without_purpose}; watcher=zz")).await),
        403,
        "a forged one"
    );
    let integrator = signing::sign_in(&served.router, &served.stage.state.records, Role::Integrator).await;
    assert_eq!(
        refused(served.open(&own, &integrator).await),
        403,
        "a role that may not"
    );
    assert_eq!(refused(served.open("http://evil.example", &cookie).await), 403);
    assert_eq!(
        get(&served.router, PATH).await.status,
        StatusCode::FORBIDDEN,
        "nor by a plain request"
    );
    assert!(!sender.is_closed(), "no feed was opened");
    let trail = served.stage.state.records.audit_trail(50).await.unwrap();
    assert!(trail.iter().all(|l| l.action != "camera.live"));
    served.finish().await;
}

#[tokio::test]
async fn a_camera_that_cannot_be_watched_says_why() {
    let served = Served::start().await;
    let mut socket = served.watch().await;
    assert_eq!(said(&mut socket).await, "4001 no_picture");
    let mut camera = served.camera.clone();
    camera.live = false;
    let records = &served.stage.state.records;
    records.put_camera(&camera, "tester").await.unwrap();
    let sender = served.feed("video/mp4", 8);
    let mut socket = served.watch().await;
    assert_eq!(said(&mut socket).await, "4001 off");
    assert!(!sender.is_closed(), "no feed was opened");
    let page = get(&served.router, "/cameras/binhe-01/cam-1?lang=en").await.text;
    assert!(page.contains("may not be watched live") && !page.contains("id=\"play\""));
    served.finish().await;
}

#[tokio::test]
async fn switching_a_camera_off_ends_the_view_at_once() {
    let served = Served::start().await;
    let sender = served.feed("video/mp4", 8);
    let mut socket = served.watch().await;
    for want in [r#"{"mime":"video/mp4"}"#, "init", "first"] {
        assert_eq!(said(&mut socket).await, want);
    }
    let edit = "place_zh=a&place_en=b&room=kitchen&kind=rtsp&main=rtsp%3A%2F%2F192.0.2.64%2F1&decoding=key_frames\
                &retention=30&working=&meals=&enabled=yes&by=Li&do=save";
    let saved = post(&served.router, "/cameras/binhe-01/cam-1/edit", edit).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text);
    assert_eq!(said(&mut socket).await, "4001 off");
    drop(sender);
    served.finish().await;
}

#[tokio::test]
async fn a_slow_viewer_skips_to_a_key_frame_and_is_told_how_much_it_missed() {
    let served = Served::start().await;
    let sender = served.feed("video/mp4", 1);
    let mut socket = served.watch().await;
    // Nothing is read meanwhile: far more is sent than the sockets' own buffers hold.
    let big = Bytes::from(vec![b'x'; 1 << 20]);
    for number in 0..80 {
        let item = VideoItem::Fragment {
            key: number % 4 == 0,
            data: big.clone(),
        };
        sender.send(item).await.unwrap();
    }
    sender.send(fragment(true, "last")).await.unwrap();
    let (mut skipped, mut received) = (0, 0);
    loop {
        match next(&mut socket).await {
            Message::Text(text) if text.contains("skipped") => {
                let news: serde_json::Value = serde_json::from_str(&text).unwrap();
                skipped += news["skipped"].as_u64().unwrap();
            }
            Message::Binary(data) if &data[..] == b"last" => break,
            Message::Binary(data) if data.len() == big.len() => received += 1,
            _ => {}
        }
    }
    assert!(skipped > 0, "some were left out");
    // The very first piece, sent at once when the viewer came, may be among those left out.
    let told = skipped + received;
    assert!(
        (80..=81).contains(&told),
        "every piece came or was counted: {told}"
    );
    drop(sender);
    served.finish().await;
}

#[tokio::test]
async fn single_pictures_come_as_they_are_and_the_server_stops_while_somebody_watches() {
    let served = Served::start().await;
    let sender = served.feed("image/jpeg", 8);
    let mut socket = served.watch().await;
    assert_eq!(said(&mut socket).await, r#"{"mime":"image/jpeg"}"#);
    assert_eq!(said(&mut socket).await, "first");
    sender
        .send(VideoItem::Jpeg(Bytes::from_static(b"\xff\xd8next")))
        .await
        .unwrap();
    assert_eq!(next(&mut socket).await.into_data(), &b"\xff\xd8next"[..]);
    socket.send(Message::Text("x".repeat(100).into())).await.unwrap();
    served.stop.cancel();
    assert_eq!(said(&mut socket).await, "1001 closing");
    drop((sender, socket));
    served.finish().await;
}
