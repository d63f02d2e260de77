//! Cameras at work, made up: what the tests and the preview hand in as [`Sight`].

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::body::Bytes;
use domain::{
    Camera, CameraFault, CameraKey, CameraSource, CameraUrl, Check, CheckSetting, Credentials, DeviceId,
    FacilityId, Metric, Observation, PictureBox, Polygon, ProbeReport, Room, Schedule, SeriesKey, Spot,
    UtcMillis,
    camera::{Decoding, Retention, RtpTransport, Zone},
    observation::LabelledBox,
    sight::{CameraHealth, LinkState, PictureState, StreamProfile},
};
use futures::{FutureExt as _, StreamExt as _, stream};
use store::evidence::{About, SensorReading};
use sunshine_dashboard::{
    Discovered, FitResult, LiveRefused, ModelAtWork, ProbeFailure, Sight, Still, TeachRefused, VideoFeed,
    VideoItem, VisionBackend,
};
use tokio::sync::mpsc;

/// What the made-up cameras do, and what was asked of them.
#[derive(Default)]
pub(crate) struct Eyes {
    pub(crate) health: Mutex<HashMap<CameraKey, CameraHealth>>,
    pub(crate) stills: Mutex<HashMap<CameraKey, Still>>,
    /// The next viewer's feed of a camera; without one there is no picture.
    pub(crate) feeds: Mutex<HashMap<CameraKey, (String, mpsc::Receiver<VideoItem>)>>,
    /// Credentials as they were handed in to be kept.
    pub(crate) kept: Mutex<Vec<(CameraKey, Credentials)>>,
    /// With which credentials cameras were probed.
    pub(crate) probed: Mutex<Vec<Option<Credentials>>>,
    pub(crate) fault: Mutex<Option<CameraFault>>,
    pub(crate) picture: Mutex<Vec<u8>>,
    pub(crate) fit: Mutex<Option<FitResult>>,
    pub(crate) changes: Mutex<usize>,
}

impl Eyes {
    pub(crate) fn sight(self: &Arc<Eyes>) -> Sight {
        let eyes = || Arc::clone(self);
        let (health, still, live, probe) = (eyes(), eyes(), eyes(), eyes());
        let (profiles, keep, changed, fit) = (eyes(), eyes(), eyes(), eyes());
        Sight {
            health: Arc::new(move |key| health.health.lock().unwrap().get(key).cloned()),
            still: Arc::new(move |key| still.stills.lock().unwrap().get(key).cloned()),
            live: Arc::new(move |key| live.open(key)),
            probe: Arc::new(move |request| {
                probe.probed.lock().unwrap().push(request.credentials);
                let answer = probe.probe();
                async move { answer }.boxed()
            }),
            discover: Arc::new(|| async { vec![discovered()] }.boxed()),
            profiles: Arc::new(move |_, _| {
                let fault = *profiles.fault.lock().unwrap();
                async move { fault.map_or_else(|| Ok(offered()), |f| Err(failure(f))) }.boxed()
            }),
            keep_credentials: Arc::new(move |key, credentials| {
                keep.kept.lock().unwrap().push((key, credentials));
                async { Ok(()) }.boxed()
            }),
            changed: Arc::new(move || *changed.changes.lock().unwrap() += 1),
            fit: Arc::new(move |_| {
                let fit = *fit.fit.lock().unwrap();
                async move { fit.ok_or(TeachRefused::TooFew { least: 5 }) }.boxed()
            }),
            capture: Arc::new(|_| async { Ok(3) }.boxed()),
            watermark: Arc::new(|copy| {
                let marked = [copy.mark.as_bytes(), b"|", &copy.bytes].concat();
                async move { Ok(marked.into()) }.boxed()
            }),
            backend: Arc::new(backend),
        }
    }

    fn open(&self, key: &CameraKey) -> Result<VideoFeed, LiveRefused> {
        let (mime, items) = self
            .feeds
            .lock()
            .unwrap()
            .remove(key)
            .ok_or(LiveRefused::NoPicture)?;
        let moving = mime.starts_with("video/");
        let init = if moving { "init" } else { "" };
        let next = stream::unfold(items, |mut items| async move {
            let item = items.recv().await?;
            Some((item, items))
        });
        Ok(VideoFeed {
            mime,
            init: Bytes::from_static(init.as_bytes()),
            gop: vec![Bytes::from_static(b"first")],
            next: next.boxed(),
        })
    }

    fn probe(&self) -> Result<ProbeReport, ProbeFailure> {
        if let Some(fault) = *self.fault.lock().unwrap() {
            return Err(failure(fault));
        }
        Ok(ProbeReport {
            codec: "avc1.4d401f".into(),
            width: 1280,
            height: 720,
            fps: 14.9,
            bitrate_kbps: 1840.0,
            key_frame_gap_s: Some(2.0),
            clock_offset_ms: Some(-1_300),
            picture: self.picture.lock().unwrap().clone(),
            warnings: Vec::new(),
        })
    }
}

fn failure(fault: CameraFault) -> ProbeFailure {
    ProbeFailure {
        fault,
        detail: "401 Unauthorized".into(),
    }
}

fn discovered() -> Discovered {
    Discovered {
        address: CameraUrl::new("http://192.0.2.64/onvif/device_service").unwrap(),
        name: "Acme IPC-1".into(),
        location: "hot kitchen".into(),
    }
}

fn offered() -> Vec<StreamProfile> {
    let profile = |name: &str, channel: u32, width, height| StreamProfile {
        name: name.into(),
        url: CameraUrl::new(&format!("rtsp://192.0.2.64/Streaming/Channels/{channel}")).unwrap(),
        codec: "H264".into(),
        width,
        height,
        fps: 15.0,
    };
    vec![
        profile("mainStream", 101, 2560, 1440),
        profile("subStream", 102, 640, 360),
    ]
}

fn backend() -> VisionBackend {
    VisionBackend {
        name: "ONNX Runtime 1.31.1".into(),
        slow: false,
        models: vec![ModelAtWork {
            name: "person_nanodet_g_i8".into(),
            kind: "nanodet".into(),
            sha256: "a1".repeat(32),
            licence: "Apache-2.0".into(),
        }],
        restarts: 0,
    }
}

/// A camera of this facility.
pub(crate) fn camera(facility: &str, id: &str, (zh, en): (&str, &str)) -> Camera {
    let url = |channel: u32| {
        CameraUrl::new(&format!("rtsp://192.0.2.64:554/Streaming/Channels/{channel}")).unwrap()
    };
    let corners = [(0.06, 0.42), (0.46, 0.36), (0.52, 0.95), (0.04, 0.97)];
    let area = Polygon::new(corners.map(|(x, y)| Spot { x, y }).to_vec()).unwrap();
    Camera {
        key: CameraKey {
            facility: FacilityId::new(facility).unwrap(),
            camera: DeviceId::new(id).unwrap(),
        },
        room: Room::Kitchen,
        place_zh: zh.into(),
        place_en: en.into(),
        source: CameraSource::Rtsp {
            main: url(101),
            sub: Some(url(102)),
            transport: RtpTransport::Tcp,
        },
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: vec![Zone {
            id: DeviceId::new("stove").unwrap(),
            name: "灶台".into(),
            area,
        }],
        line: None,
        capacity: Some(6),
        checks: [
            Check::NoMask,
            Check::NoHeadCover,
            Check::AnimalInKitchen,
            Check::CameraTampered,
        ]
        .map(CheckSetting::of)
        .to_vec(),
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::Days30,
        enabled: true,
    }
}

/// How a camera fares that shows pictures.
pub(crate) fn well(at: UtcMillis) -> CameraHealth {
    CameraHealth {
        link: LinkState::Online,
        picture: PictureState::Good,
        fault: None,
        codec: "avc1.4d401f".into(),
        width: 1280,
        height: 720,
        fps: 14.9,
        bitrate_kbps: 1840.0,
        last_frame: Some(at),
        key_frame_gap_s: Some(2.0),
        loss_percent: 0.0,
        reconnects: 1,
        skipped: 128,
        judged: 5_210,
        looked: 1_874,
        viewers: 0,
    }
}

/// A person with a face, as a detector sees them.
pub(crate) fn person(left: f32) -> Vec<LabelledBox> {
    let of = |label: &str, score, area| LabelledBox {
        label: label.into(),
        score,
        area,
        track: Some(7),
    };
    vec![
        of(
            "person",
            0.91,
            PictureBox::new(left, 0.2, left + 0.16, 0.9).unwrap(),
        ),
        of(
            "face",
            0.84,
            PictureBox::new(left + 0.05, 0.22, left + 0.11, 0.34).unwrap(),
        ),
    ]
}

/// What evidence of an observation says of it, with one reading of a fridge.
pub(crate) fn about(observation: &Observation) -> About {
    let said = &observation.said;
    About {
        camera: observation.camera.clone(),
        gb_id: None,
        check: said.check,
        zone: said.zone.clone(),
        rule: None,
        since: said.since(),
        at: said.at,
        received: observation.received,
        clock_offset_ms: Some(-1_300),
        model: said.model.clone(),
        score: said.score,
        threshold: said.threshold,
        tally: said.tally,
        detections: said.boxes.clone(),
        readings: vec![SensorReading {
            point: SeriesKey {
                facility: observation.camera.facility.clone(),
                device: DeviceId::new("fridge-1").unwrap(),
                metric: Metric::new("temperature").unwrap(),
            },
            at: said.at,
            value: 4.2,
        }],
        retention: Retention::Days30,
    }
}
