use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{CameraFault, UtcMillis};
use tokio::{task::JoinSet, time::timeout};

use super::{
    scripted::{Answer, Scripted, header, http},
    *,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn url(text: &str) -> CameraUrl {
    CameraUrl::new(text).unwrap()
}

#[test]
fn a_sub_stream_that_is_the_main_stream_is_none() {
    let both = |sub: &str| CameraSource::Rtsp {
        main: url("rtsp://10.0.0.1/1"),
        sub: Some(url(sub)),
        transport: RtpTransport::Udp,
    };
    let pushed = PushedCamera::new();
    let same = CameraStreams::of(&both("rtsp://10.0.0.1/1"), &pushed);
    assert!(same.sub.is_none());
    let other = CameraStreams::of(&both("rtsp://10.0.0.1/2"), &pushed);
    assert!(matches!(
        other.sub,
        Some(StreamSource::Rtsp {
            transport: RtpTransport::Udp,
            ..
        })
    ));
}

#[test]
fn intervals_are_held_to_their_bounds() {
    for (asked, held) in [(0, 200), (500, 500), (u32::MAX, 60_000)] {
        let source = CameraSource::Snapshot {
            url: url("http://10.0.0.1/"),
            interval_ms: asked,
        };
        let streams = CameraStreams::of(&source, &PushedCamera::new());
        assert!(
            matches!(streams.main, StreamSource::Snapshot { interval, .. } if interval.as_millis() == held)
        );
    }
}

fn jpeg_file() -> Vec<u8> {
    let mut file = Vec::new();
    let picture = image::RgbImage::new(32, 16);
    image::codecs::jpeg::JpegEncoder::new(&mut file)
        .encode_image(&picture)
        .unwrap();
    file
}

/// The first `count` events of a source that is connected again at once; offsets of clocks are left out.
async fn events(source: StreamSource, credentials: Option<Credentials>, count: usize) -> Vec<SourceEvent> {
    let context = SourceContext {
        guard: Guard::new(Guard::loopback()).unwrap(),
        clock: Clock::simulated(UtcMillis(1_000)),
        timing: Timing {
            stall: Duration::from_millis(200),
            pushed_silence: Duration::from_millis(50),
            backoff: BackoffLimits {
                first: Duration::from_millis(1),
                most: Duration::from_millis(5),
                after_refusal: Duration::from_millis(5),
            },
            ..Timing::default()
        },
    };
    let (sender, mut taken) = mpsc::channel(1);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(watch(source, credentials, context, sender, stop.clone()));
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = timeout(PATIENCE, taken.recv()).await.unwrap().unwrap();
        if !matches!(event, SourceEvent::ClockOffset(_)) {
            seen.push(event);
        }
    }
    stop.cancel();
    timeout(PATIENCE, tasks.join_next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    seen
}

/// Events in short: `i`nfo, `f`rame, `d`own.
fn short(events: &[SourceEvent]) -> String {
    let letter = |event: &SourceEvent| match event {
        SourceEvent::Info(_) => 'i',
        SourceEvent::Frame(_) => 'f',
        SourceEvent::Down(_) => 'd',
        SourceEvent::ClockOffset(_) => 'c',
    };
    events.iter().map(letter).collect()
}

fn faults(events: &[SourceEvent]) -> Vec<CameraFault> {
    let fault = |event: &SourceEvent| match event {
        SourceEvent::Down(failure) => Some(failure.fault),
        _ => None,
    };
    events.iter().filter_map(fault).collect()
}

fn mjpeg_answer(pictures: usize) -> Vec<u8> {
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=--b\r\n\r\n".to_vec();
    for _ in 0..pictures {
        answer.extend(b"--b\r\nContent-Type: image/jpeg\r\n\r\n");
        answer.extend(jpeg_file());
    }
    answer.extend(b"\r\n--b\r\n");
    answer
}

#[tokio::test]
async fn a_half_open_connection_is_torn_down_and_made_again() {
    let server = Scripted::start(|_| Answer::Bytes(mjpeg_answer(2))).await;
    let source = StreamSource::Mjpeg {
        url: url(&format!("http://{}/", server.address)),
    };
    let seen = events(source, None, 8).await;
    assert_eq!(short(&seen), "iffdiffd");
    assert_eq!(faults(&seen), [CameraFault::Timeout; 2]);
}

#[tokio::test]
async fn a_camera_that_ends_its_stream_is_connected_again() {
    let server = Scripted::start(|head| {
        if header(head, "Authorization") == "Basic YWRtaW46aHVudGVyMg==" {
            Answer::Last(mjpeg_answer(1))
        } else {
            http(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"cam\"\r\n",
                b"",
            )
        }
    })
    .await;
    let source = StreamSource::Mjpeg {
        url: url(&format!("http://{}/", server.address)),
    };
    let secret = Credentials {
        user: "admin".into(),
        password: "hunter2".into(),
    };
    let seen = events(source, Some(secret), 9).await;
    assert_eq!(short(&seen), "ifdifdifd");
    let times: Vec<i64> = seen
        .iter()
        .filter_map(|event| match event {
            SourceEvent::Frame(frame) => Some(frame.time_90k),
            _ => None,
        })
        .collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test]
async fn a_worn_out_sign_in_is_renewed() {
    let asked = AtomicUsize::new(0);
    let server = Scripted::start(move |head| {
        // Each nonce is good for one picture.
        let nonce = asked.load(Ordering::Relaxed) / 2;
        if header(head, "Authorization").contains(&format!("nonce=\"n{nonce}\"")) {
            asked.fetch_add(1, Ordering::Relaxed);
            return http("200 OK", "", &jpeg_file());
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let nonce = asked.load(Ordering::Relaxed) / 2;
        let challenge = format!("WWW-Authenticate: Digest realm=\"cam\", nonce=\"n{nonce}\"\r\n");
        http("401 Unauthorized", &challenge, b"")
    })
    .await;
    let source = StreamSource::Snapshot {
        url: url(&format!("http://{}/", server.address)),
        interval: Duration::from_millis(5),
    };
    let secret = Credentials {
        user: "admin".into(),
        password: "hunter2".into(),
    };
    let seen = events(source, Some(secret), 4).await;
    assert_eq!(short(&seen), "ifff");
}

#[tokio::test]
async fn a_camera_that_publishes_nothing_is_down_and_its_next_picture_is_taken() {
    let pushed = PushedCamera::new();
    let seen = events(StreamSource::Pushed(pushed.clone()), None, 1).await;
    assert_eq!(faults(&seen), [CameraFault::Timeout]);
    pushed.offer(jpeg_file().into()).unwrap();
    let seen = events(StreamSource::Pushed(pushed), None, 2).await;
    assert_eq!(short(&seen), "if");
}

#[tokio::test]
async fn a_folder_is_shown_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("1.jpg"), jpeg_file()).unwrap();
    image::RgbImage::new(8, 8)
        .save(folder.path().join("2.png"))
        .unwrap();
    let source = StreamSource::Folder {
        path: folder.path().into(),
        interval: Duration::from_millis(1),
    };
    assert_eq!(short(&events(source, None, 8).await), "ifififif");
}
