use domain::camera::{CameraUrl, RtpTransport};

use super::*;
use crate::source::scripted::{Answer, Scripted, header, http, rtsp};

fn jpeg_file(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 90]));
    image::codecs::jpeg::JpegEncoder::new(&mut file)
        .encode_image(&picture)
        .unwrap();
    file
}

fn url(server: &Scripted, scheme: &str) -> CameraUrl {
    CameraUrl::new(&format!("{scheme}://{}/stream", server.address)).unwrap()
}

fn rtsp_camera(main: CameraUrl) -> CameraSource {
    CameraSource::Rtsp {
        main,
        sub: None,
        transport: RtpTransport::Tcp,
    }
}

/// Probes with short times.
async fn probe_short(source: CameraSource, password: Option<&str>) -> Result<ProbeReport, CameraFailure> {
    let target = ProbeTarget {
        source,
        sub: true,
        credentials: password.map(|password| Credentials {
            user: "admin".into(),
            password: password.into(),
        }),
    };
    let context = SourceContext {
        guard: Guard::new(Guard::loopback()).unwrap(),
        clock: Clock::system(),
        timing: Timing {
            answer: Duration::from_millis(400),
            stall: Duration::from_millis(400),
            ..Timing::default()
        },
    };
    probe_within(target, context, Duration::from_secs(10)).await
}

async fn check_fault(what: &str, source: CameraSource, expected: CameraFault) {
    let failure = probe_short(source, Some("hunter2")).await.expect_err(what);
    assert_eq!(failure.fault, expected, "{what}: {failure}");
    let shown = failure.to_string();
    assert!(
        !shown.contains("hunter2") && !failure.detail.contains("://"),
        "{what}: {shown}"
    );
    assert!(failure.detail.len() <= 200, "{what}");
}

/// A description with one medium.
fn sdp(media: &str) -> String {
    format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{media}")
}

/// What a camera answers to a request.
type Script = fn(&str) -> Answer;

const DIGEST: &str = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n1\"\r\n";

const RTSP_FAILURES: [(&str, Script, CameraFault); 14] = [
    ("closes at once", |_| Answer::Last(vec![]), CameraFault::Protocol),
    (
        "speaks HTTP",
        |_| Answer::Last(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        CameraFault::Protocol,
    ),
    ("is silent", |_| Answer::Silence, CameraFault::Timeout),
    (
        "refuses the password",
        |head| rtsp(head, "401 Unauthorized", DIGEST, ""),
        CameraFault::Auth,
    ),
    (
        "refuses without asking",
        |head| rtsp(head, "401 Unauthorized", "", ""),
        CameraFault::Auth,
    ),
    (
        "forbids",
        |head| rtsp(head, "403 Forbidden", "", ""),
        CameraFault::Auth,
    ),
    (
        "has no such stream",
        |head| rtsp(head, "404 Not Found", "", ""),
        CameraFault::NoVideo,
    ),
    (
        "is busy",
        |head| rtsp(head, "453 Not Enough Bandwidth", "", ""),
        CameraFault::Timeout,
    ),
    (
        "is broken",
        |head| rtsp(head, "500 Internal Server Error", "", ""),
        CameraFault::Protocol,
    ),
    (
        "redirects",
        |head| rtsp(head, "302 Found", "Location: rtsp://127.0.0.1:1/\r\n", ""),
        CameraFault::Protocol,
    ),
    (
        "describes a web page",
        |head| rtsp(head, "200 OK", "Content-Type: text/html\r\n", "<p>"),
        CameraFault::Protocol,
    ),
    (
        "describes sound only",
        |head| described(head, "m=audio 0 RTP/AVP 0\r\n"),
        CameraFault::NoVideo,
    ),
    (
        "describes nothing",
        |head| described(head, ""),
        CameraFault::NoVideo,
    ),
    (
        "sends VP8",
        |head| described(head, "m=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n"),
        CameraFault::Codec,
    ),
];

#[tokio::test]
async fn each_failure_of_an_rtsp_camera_is_one_fault() {
    for (what, script, fault) in RTSP_FAILURES {
        let server = Scripted::start(script).await;
        check_fault(what, rtsp_camera(url(&server, "rtsp")), fault).await;
    }
}

fn described(head: &str, media: &str) -> Answer {
    rtsp(head, "200 OK", "Content-Type: application/sdp\r\n", &sdp(media))
}

#[tokio::test]
async fn a_camera_that_plays_and_sends_nothing_is_named() {
    let server = Scripted::start(|head| {
        if head.starts_with("DESCRIBE") {
            return described(
                head,
                "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n",
            );
        }
        let transport = "Session: 1;timeout=60\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        rtsp(head, "200 OK", transport, "")
    })
    .await;
    check_fault(
        "plays nothing",
        rtsp_camera(url(&server, "rtsp")),
        CameraFault::Timeout,
    )
    .await;
}

#[tokio::test]
async fn each_failure_of_an_http_camera_is_one_fault() {
    const BASIC: &str = "WWW-Authenticate: Basic realm=\"cam\"\r\n";
    let cases: [(&str, Script, CameraFault); 11] = [
        ("closes at once", |_| Answer::Last(vec![]), CameraFault::Protocol),
        (
            "speaks something else",
            |_| Answer::Last(b"220 ftp\r\n".to_vec()),
            CameraFault::Protocol,
        ),
        ("is silent", |_| Answer::Silence, CameraFault::Timeout),
        (
            "refuses the password",
            |_| http("401 Unauthorized", BASIC, b""),
            CameraFault::Auth,
        ),
        (
            "asks for another sign-in",
            |_| http("401 Unauthorized", "WWW-Authenticate: Negotiate\r\n", b""),
            CameraFault::Auth,
        ),
        (
            "has no such path",
            |_| http("404 Not Found", "", b""),
            CameraFault::NoVideo,
        ),
        (
            "is busy",
            |_| http("503 Service Unavailable", "", b""),
            CameraFault::Timeout,
        ),
        (
            "redirects",
            |_| http("302 Found", "Location: http://127.0.0.1:1/\r\n", b""),
            CameraFault::Protocol,
        ),
        (
            "sends a page",
            |_| http("200 OK", "Content-Type: text/html\r\n", b"<p>"),
            CameraFault::BadPicture,
        ),
        (
            "sends too much",
            |_| Answer::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec()),
            CameraFault::TooLarge,
        ),
        (
            "sends too large a picture",
            |_| http("200 OK", "", &enlarged()),
            CameraFault::TooLarge,
        ),
    ];
    for (what, script, fault) in cases {
        let server = Scripted::start(script).await;
        let source = CameraSource::Snapshot {
            url: url(&server, "http"),
            interval_ms: 200,
        };
        check_fault(what, source, fault).await;
    }
}

/// A JPEG whose header says that it is 20,000 pixels wide.
fn enlarged() -> Vec<u8> {
    let mut file = jpeg_file(16, 16);
    let header = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    file[header + 7..header + 9].copy_from_slice(&20_000_u16.to_be_bytes());
    file
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let at = |scheme: &str, host: &str| CameraUrl::new(&format!("{scheme}://{host}/stream")).unwrap();
    let nobody = address.to_string();
    check_fault(
        "nobody",
        rtsp_camera(at("rtsp", &nobody)),
        CameraFault::Unreachable,
    )
    .await;
    check_fault(
        "no web server",
        CameraSource::Mjpeg {
            url: at("http", &nobody),
        },
        CameraFault::Unreachable,
    )
    .await;
    check_fault(
        "no name",
        rtsp_camera(at("rtsp", "no-such-camera.invalid")),
        CameraFault::Unreachable,
    )
    .await;
    check_fault(
        "elsewhere",
        rtsp_camera(at("rtsp", "192.168.1.1")),
        CameraFault::AddressNotAllowed,
    )
    .await;
    check_fault(
        "metadata",
        CameraSource::Mjpeg {
            url: at("http", "169.254.169.254"),
        },
        CameraFault::AddressNotAllowed,
    )
    .await;
    let nothing = CameraSource::Folder {
        path: "/no/such/folder".into(),
        interval_ms: 40,
    };
    check_fault("no folder", nothing, CameraFault::NoFile).await;
    check_fault("pushed", CameraSource::Pushed, CameraFault::Timeout).await;
}

#[tokio::test]
async fn an_mjpeg_camera_that_ends_or_drips_is_named() {
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=b\r\n";
    let ended = Scripted::start(move |_| http("200 OK", kind, b"--b\r\n\r\n")).await;
    check_fault(
        "ends",
        CameraSource::Mjpeg {
            url: url(&ended, "http"),
        },
        CameraFault::Timeout,
    )
    .await;
    let stalled =
        Scripted::start(move |_| Answer::Bytes(format!("HTTP/1.1 200 OK\r\n{kind}\r\n--b\r\n\r\n").into()))
            .await;
    check_fault(
        "drips",
        CameraSource::Mjpeg {
            url: url(&stalled, "http"),
        },
        CameraFault::Timeout,
    )
    .await;
    let one = Scripted::start(|_| http("200 OK", "Content-Type: image/jpeg\r\n", &jpeg_file(16, 16))).await;
    check_fault(
        "one picture",
        CameraSource::Mjpeg {
            url: url(&one, "http"),
        },
        CameraFault::Protocol,
    )
    .await;
}

#[tokio::test]
async fn a_snapshot_camera_that_signs_in_by_digest_is_measured() {
    let server = Scripted::start(|head| {
        let signed = header(head, "Authorization");
        if !(signed.starts_with("Digest ") && signed.contains("uri=\"/stream\"")) {
            return http(
                "401 Unauthorized",
                "WWW-Authenticate: Digest realm=\"cam\", qop=\"auth\", nonce=\"n1\"\r\n",
                b"",
            );
        }
        http(
            "200 OK",
            "Date: Sun, 06 Nov 2022 08:49:37 GMT\r\n",
            &jpeg_file(160, 90),
        )
    })
    .await;
    let source = CameraSource::Snapshot {
        url: url(&server, "http"),
        interval_ms: 200,
    };
    let report = probe_short(source.clone(), Some("hunter2")).await.unwrap();
    assert_eq!(
        (report.codec.as_str(), report.width, report.height),
        ("jpeg", 160, 90)
    );
    assert!((2.0..=6.0).contains(&report.fps), "{}", report.fps);
    assert!(report.bitrate_kbps > 0.0);
    assert_eq!((report.key_frame_gap_s, report.warnings.len()), (None, 0));
    assert!(report.clock_offset_ms.is_some_and(|ms| ms < -60_000));
    assert_eq!(image::load_from_memory(&report.picture).unwrap().width(), 160);
    let unsigned = probe_short(source, None).await.unwrap_err();
    assert_eq!(unsigned.fault, CameraFault::Auth);
}

#[tokio::test]
async fn a_damaged_picture_is_named() {
    let mut file = jpeg_file(64, 64);
    let scan = file.windows(2).position(|marker| marker == [0xff, 0xda]).unwrap();
    file.truncate(scan + 4);
    let server = Scripted::start(move |_| http("200 OK", "", &file)).await;
    let source = CameraSource::Snapshot {
        url: url(&server, "http"),
        interval_ms: 200,
    };
    check_fault("damaged", source, CameraFault::BadPicture).await;
}
