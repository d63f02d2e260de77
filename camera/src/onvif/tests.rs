use oxvif::mock::MockServer;

use super::*;

fn guard() -> Guard {
    Guard::new(Guard::loopback()).unwrap()
}

fn secret(password: &str) -> Credentials {
    Credentials {
        user: "admin".into(),
        password: password.into(),
    }
}

async fn ask_mock(
    server: &MockServer,
    credentials: Option<&Credentials>,
) -> Result<OnvifCamera, CameraFailure> {
    let address = CameraUrl::new(server.device_url()).unwrap();
    profiles(&address, credentials, &guard(), &Clock::system()).await
}

#[tokio::test]
async fn a_camera_names_its_streams_and_two_are_picked() {
    let server = MockServer::builder().enforce_auth(true).start().await.unwrap();
    let camera = ask_mock(&server, Some(&secret("admin"))).await.unwrap();
    let (main, sub) = (
        &camera.profiles[camera.main],
        &camera.profiles[camera.sub.unwrap()],
    );
    assert!(
        main.width > sub.width && sub.width >= LEAST_WIDTH,
        "{main:?} {sub:?}"
    );
    assert_eq!(sub.codec, "H264");
    assert!(main.url.as_str().starts_with("rtsp://"));
    assert!(camera.profiles.len() <= MAX_PROFILES);
    assert!(
        camera.clock_offset_ms.is_some_and(|ms| ms.abs() < 10_000),
        "{:?}",
        camera.clock_offset_ms
    );
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_named_and_not_told() {
    let server = MockServer::builder().enforce_auth(true).start().await.unwrap();
    let wrong = secret("hunter2");
    for credentials in [Some(&wrong), None] {
        let failure = ask_mock(&server, credentials).await.unwrap_err();
        assert_eq!(failure.fault, CameraFault::Auth);
        assert!(!failure.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn an_error_of_the_camera_is_passed_on() {
    let server = MockServer::start().await.unwrap();
    server.inject_fault("GetCapabilities", "ter:ActionNotSupported", "out of order");
    let failure = ask_mock(&server, None).await.unwrap_err();
    assert_eq!(failure.fault, CameraFault::Protocol);
    assert!(failure.detail.contains("out of order"), "{}", failure.detail);
}

#[tokio::test]
async fn the_guard_stands_before_onvif_too() {
    let server = MockServer::start().await.unwrap();
    let address = CameraUrl::new(server.device_url()).unwrap();
    let private = Guard::new(Guard::private_networks()).unwrap();
    let refused = profiles(&address, None, &private, &Clock::system())
        .await
        .unwrap_err();
    assert_eq!(refused.fault, CameraFault::AddressNotAllowed);
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = CameraUrl::new(&format!("http://{}/", gone.local_addr().unwrap())).unwrap();
    drop(gone);
    let failure = profiles(&nobody, None, &guard(), &Clock::system())
        .await
        .unwrap_err();
    assert_eq!(failure.fault, CameraFault::Unreachable);
}

#[test]
fn urls_of_streams_lose_their_credentials() {
    let cases = [
        ("rtsp://10.0.0.1:554/main", "rtsp://10.0.0.1:554/main"),
        ("rtsp://admin:hunter2@10.0.0.1/main", "rtsp://10.0.0.1/main"),
        (
            "rtsp://10.0.0.1/c?channel=1&user=admin&pwd=hunter2&subtype=0",
            "rtsp://10.0.0.1/c?channel=1&subtype=0",
        ),
        ("rtsp://10.0.0.1/c?password=hunter2", "rtsp://10.0.0.1/c"),
    ];
    for (told, kept) in cases {
        assert_eq!(without_credentials(told).unwrap().as_str(), kept);
    }
    for bad in ["", "main", "ftp://10.0.0.1/", "rtsp://"] {
        assert_eq!(without_credentials(bad), None, "{bad}");
    }
}

fn offered(lens: &str, codec: &str, width: u32) -> Offered {
    let url = CameraUrl::new("rtsp://10.0.0.1/").unwrap();
    Offered {
        profile: StreamProfile {
            name: String::new(),
            url,
            codec: codec.into(),
            width,
            height: width / 2,
            fps: 25.0,
        },
        lens: Some(lens.into()),
    }
}

#[test]
fn the_largest_stream_is_evidence_and_a_small_one_in_h264_is_judged() {
    type Streams = &'static [(&'static str, &'static str, u32)];
    let cases: [(Streams, usize, Option<usize>); 6] = [
        (&[("a", "H265", 1920), ("a", "H264", 640)], 0, Some(1)),
        (
            &[
                ("a", "H264", 320),
                ("a", "H264", 704),
                ("a", "H265", 2560),
                ("a", "H265", 352),
            ],
            2,
            Some(1),
        ),
        (&[("a", "H264", 1920)], 0, None),
        (&[("a", "H264", 1920), ("a", "H264", 1920)], 0, None),
        (
            &[("a", "H265", 1920), ("a", "H265", 640), ("a", "JPEG", 480)],
            0,
            Some(2),
        ),
        (
            &[
                ("a", "H264", 1280),
                ("b", "H264", 2560),
                ("b", "H264", 640),
                ("a", "H264", 640),
            ],
            0,
            Some(3),
        ),
    ];
    for (streams, main, sub) in cases {
        let offered = streams
            .iter()
            .map(|(lens, codec, width)| offered(lens, codec, *width))
            .collect();
        let camera = picked(offered, None).unwrap();
        assert_eq!((camera.main, camera.sub), (main, sub), "{streams:?}");
    }
    assert_eq!(picked(vec![], None).unwrap_err().fault, CameraFault::NoVideo);
}

fn device(endpoint: &str, addresses: &[&str]) -> DiscoveredDevice {
    let name = "onvif://www.onvif.org/name/Cam%201%2B%E7%83%AD%E8%8F%9C".to_owned();
    DiscoveredDevice {
        endpoint: endpoint.into(),
        types: vec![],
        scopes: vec![name, "onvif://www.onvif.org/location/Back+door".into()],
        xaddrs: addresses.iter().map(|address| (*address).to_owned()).collect(),
    }
}

#[test]
fn cameras_are_named_once_and_only_where_they_may_be() {
    let guard = Guard::new(Guard::private_networks()).unwrap();
    let mut devices = vec![
        device("1", &["http://8.8.8.8/onvif", "http://10.0.0.1/onvif"]),
        device("2", &["http://10.0.0.1/onvif"]),
        device("3", &["http://169.254.169.254/latest"]),
        device("4", &["nonsense"]),
    ];
    let found = distinct(devices.clone(), &guard);
    assert_eq!(
        found,
        [Discovered {
            address: CameraUrl::new("http://10.0.0.1/onvif").unwrap(),
            name: "Cam 1+热菜".into(),
            location: "Back+door".into(),
        }]
    );
    devices.extend((0..300).map(|n| device("x", &[&format!("http://10.0.1.{}:{n}/", n % 250 + 1)])));
    assert_eq!(distinct(devices, &guard).len(), MAX_DISCOVERED);
}

#[tokio::test]
async fn a_discovery_ends_in_time() {
    let limit = Duration::from_millis(20);
    let found = timeout(Duration::from_secs(5), discover(limit, &guard()))
        .await
        .unwrap();
    assert!(found.len() <= MAX_DISCOVERED);
}
