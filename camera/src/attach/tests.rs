use std::path::Path;

use domain::{
    DeviceId, FacilityId, Polygon, Room, Schedule, Spot,
    camera::{CameraError, CameraUrl, Retention},
};
use tokio::time::timeout;

use super::*;
use crate::{
    decode::DecodeOptions,
    guard::Guard,
    source::Timing,
    source::scripted::{Answer, Scripted, http},
};

const PATIENCE: Duration = Duration::from_secs(30);

fn shared() -> Shared {
    Shared {
        context: SourceContext {
            guard: Guard::new(Guard::loopback()).unwrap(),
            clock: Clock::system(),
            timing: Timing::default(),
        },
        seats: LiveSeats::new(5),
        live: LiveOptions::default(),
        ring: RingLimits::default(),
    }
}

fn set() -> CameraSet {
    let options = DecodeOptions {
        threads: 1,
        ..DecodeOptions::default()
    };
    CameraSet::new(shared(), DecodePool::start(options).unwrap())
}

fn camera(number: usize, source: CameraSource) -> Camera {
    Camera {
        key: CameraKey {
            facility: FacilityId::new("f1").unwrap(),
            camera: DeviceId::new(&format!("cam-{number}")).unwrap(),
        },
        room: Room::Kitchen,
        place_zh: "灶台".into(),
        place_en: "Stove".into(),
        source,
        decoding: Decoding::KeyFrames,
        masks: vec![],
        zones: vec![],
        line: None,
        capacity: None,
        checks: vec![],
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::default(),
        enabled: true,
    }
}

fn jpeg_file(level: u8) -> Bytes {
    let picture = image::RgbImage::from_fn(160, 96, |x, y| image::Rgb([level, (x * 2) as u8, (y * 2) as u8]));
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut file)
        .encode_image(&picture)
        .unwrap();
    file.into()
}

fn folder(path: &Path) -> CameraSource {
    CameraSource::Folder {
        path: path.to_str().unwrap().into(),
        interval_ms: 40,
    }
}

async fn next_frame(frames: &mut watch::Receiver<Option<Arc<Frame>>>) -> Arc<Frame> {
    timeout(PATIENCE, frames.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap();
    timeout(PATIENCE, frames.changed()).await.unwrap().unwrap();
    frames.borrow_and_update().clone().unwrap()
}

/// The upper left quarter of the picture.
fn corner() -> Polygon {
    let spot = |x, y| Spot { x, y };
    Polygon::new(vec![
        spot(0.0, 0.0),
        spot(0.5, 0.0),
        spot(0.5, 0.5),
        spot(0.0, 0.5),
    ])
    .unwrap()
}

#[tokio::test]
async fn one_connection_feeds_frames_evidence_live_view_and_health() {
    let pictures = tempfile::tempdir().unwrap();
    std::fs::write(pictures.path().join("1.jpg"), jpeg_file(200)).unwrap();
    std::fs::write(pictures.path().join("2.jpg"), jpeg_file(100)).unwrap();
    let set = set();
    let handle = set.put(camera(1, folder(pictures.path())), None).await.unwrap();
    let mut frames = handle.frames();
    let frame = next_frame(&mut frames).await;
    assert_eq!((frame.width, frame.height), (160, 96));
    let mut live = handle.live(LiveKind::Best).unwrap();
    assert_eq!(live.mime, "image/jpeg");
    assert!(timeout(PATIENCE, live.next()).await.unwrap().is_some());
    let health = handle.health();
    assert_eq!(
        (health.link, health.fault, health.viewers),
        (LinkState::Online, None, 1)
    );
    assert_eq!(
        (health.codec.as_str(), health.width, health.height),
        ("jpeg", 160, 96)
    );
    let now = Clock::system().now();
    let clips = handle.clip(now - 60_000, now + 1);
    assert!(clips[0].frames.iter().any(|kept| kept.data == jpeg_file(200)));
    assert!(handle.still().is_some());
    assert_eq!(
        handle.offer(jpeg_file(1)).unwrap_err().fault,
        CameraFault::Protocol
    );

    assert_eq!(set.stop(PATIENCE).await, 0);
    assert!(
        timeout(PATIENCE, frames.wait_for(|_| false))
            .await
            .unwrap()
            .is_err(),
        "frames end"
    );
    let end = async { while live.next().await.is_some() {} };
    timeout(PATIENCE, end).await.expect("live views end");
    assert_eq!(handle.live(LiveKind::Best).unwrap_err(), LiveRefused::Closed);
    let late = set.put(camera(1, CameraSource::Pushed), None).await;
    assert_eq!(late.unwrap_err(), AttachError::Stopping);
}

#[tokio::test]
async fn masks_cover_every_picture_and_keep_video_from_viewers() {
    let set = set();
    let mut masked = camera(1, CameraSource::Pushed);
    masked.masks = vec![corner()];
    let handle = set.put(masked, None).await.unwrap();
    let mut frames = handle.frames();
    handle.offer(jpeg_file(250)).unwrap();
    timeout(PATIENCE, frames.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap();
    let frame = handle.still().unwrap();
    let inside = &frame.rgb[(10 * 160 + 10) * 3..][..3];
    let outside = &frame.rgb[(90 * 160 + 150) * 3..][..3];
    assert_eq!(inside[0], inside[1], "grey");
    assert!(outside[0] > 200, "{outside:?}");
    assert_eq!(handle.live(LiveKind::Video).unwrap().mime, "image/jpeg");
    set.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_camera_stays_until_it_is_described_otherwise() {
    let set = set();
    let first = set.put(camera(1, CameraSource::Pushed), None).await.unwrap();
    let same = set.put(camera(1, CameraSource::Pushed), None).await.unwrap();
    assert!(Arc::ptr_eq(&first.0, &same.0));
    let secret = Credentials {
        user: "admin".into(),
        password: "new".into(),
    };
    let other = set
        .put(camera(1, CameraSource::Pushed), Some(secret))
        .await
        .unwrap();
    assert!(!Arc::ptr_eq(&first.0, &other.0));
    assert!(first.frames().changed().await.is_err(), "the first one has ended");
    let key = other.key().clone();
    assert_eq!(set.all().len(), 1);
    let mut off = camera(1, CameraSource::Pushed);
    off.enabled = false;
    assert_eq!(set.put(off, None).await.unwrap_err(), AttachError::Disabled);
    assert!(set.get(&key).is_none());
    assert!(!set.remove(&key).await);
}

#[tokio::test]
async fn what_may_not_be_attached_is_refused() {
    let set = set();
    let mut private = camera(1, CameraSource::Pushed);
    private.room = Room::Bathroom;
    let refused = set.put(private, None).await.unwrap_err();
    assert_eq!(refused, AttachError::Camera(CameraError::PrivateRoom));
    for number in 0..MAX_CAMERAS {
        set.put(camera(number, CameraSource::Pushed), None).await.unwrap();
    }
    let one_more = set.put(camera(MAX_CAMERAS, CameraSource::Pushed), None).await;
    assert_eq!(one_more.unwrap_err(), AttachError::Full);
    let mut replaced = camera(7, CameraSource::Pushed);
    replaced.live = false;
    let replaced = set.put(replaced, None).await.unwrap();
    assert_eq!(replaced.live(LiveKind::Best).unwrap_err(), LiveRefused::Closed);
    assert_eq!(set.stop(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_camera_that_fails_shows_why_and_comes_back() {
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = Arc::clone(&broken);
    let server = Scripted::start(move |_| match state.load(std::sync::atomic::Ordering::Acquire) {
        true => Answer::Last(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
        false => http("200 OK", "", &jpeg_file(9)),
    })
    .await;
    let source = CameraSource::Snapshot {
        url: CameraUrl::new(&format!("http://{}/snap", server.address)).unwrap(),
        interval_ms: 200,
    };
    let set = set();
    let handle = set.put(camera(1, source), None).await.unwrap();
    let until = |wanted: Option<CameraFault>| {
        let handle = handle.clone();
        async move {
            let mut looks = tokio::time::interval(Duration::from_millis(5));
            while handle.health().fault != wanted {
                looks.tick().await;
            }
        }
    };
    timeout(PATIENCE, until(Some(CameraFault::NoVideo)))
        .await
        .expect("the fault shows");
    assert_eq!(handle.health().link, LinkState::Connecting);
    broken.store(false, std::sync::atomic::Ordering::Release);
    timeout(PATIENCE, until(None)).await.expect("it comes back");
    let mut frames = handle.frames();
    timeout(PATIENCE, frames.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(handle.health().link, LinkState::Online);
    set.stop(PATIENCE).await;
}

#[test]
fn cameras_that_send_seldom_are_not_offline_in_between() {
    let context = shared().context;
    let url = CameraUrl::new("http://10.0.0.1/").unwrap();
    let snapshot = CameraSource::Snapshot {
        url,
        interval_ms: 60_000,
    };
    assert_eq!(link_options(&snapshot, &context).offline_after_ms, 180_000);
    assert_eq!(
        link_options(&CameraSource::Pushed, &context).offline_after_ms,
        120_000
    );
    assert_eq!(
        link_options(&folder(Path::new("/x")), &context).offline_after_ms,
        15_000
    );
}
