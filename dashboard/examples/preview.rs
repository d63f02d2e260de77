//! Serves the pages over a made-up district, to look at them: `cargo run -p sunshine-dashboard --example preview`.
//! Nothing is kept; it ends with Ctrl-C. Given a folder of JPEGs, its cameras show them; with a fragmented
//! `live.mp4` of H.264 beside them, that is what the cameras show live.
#![expect(
    clippy::unwrap_used,
    reason = "it shares the tests' fixture; one that fails ends the preview"
)]

#[path = "../tests/dashboard/eyes.rs"]
mod eyes;
#[path = "../tests/dashboard/stage.rs"]
mod stage;

use std::{f64::consts::TAU, path::Path, sync::Arc, time::Duration};

use axum::body::Bytes;
use domain::{
    CameraFault, Check, Clock, EvidenceId, LogPosition, Observation, Sighted, UtcMillis,
    observation::{ModelStamp, ObservedState, Origin, Tally},
    sight::{CameraHealth, LinkState, PictureState},
};
use eyes::Eyes;
use futures::{StreamExt as _, stream};
use stage::{EQUIPMENT_COUNT, Stage};
use store::{
    Archive,
    evidence::{ArchiveOptions, ItemRole, NewItem},
};
use sunshine_dashboard::{LiveRefused, OfCamera, VideoFeed, VideoItem};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const MINUTE: i64 = 60_000;
const FACILITIES: usize = 12;
/// A fridge that warms for the last hours.
const WARM: usize = 5;
/// A kitchen whose gas rises for the last minutes.
const GAS: usize = 3;
/// A kitchen that has been silent for an hour.
const SILENT: usize = 10;

/// What a thing measures at `at`, or nothing when it is silent.
fn value(facility: usize, equipment: usize, at: UtcMillis, now: UtcMillis) -> Option<f64> {
    let ago_min = now.ms_since(at) as f64 / MINUTE as f64;
    if facility == SILENT && ago_min < 70.0 || (facility, equipment) == (7, 5) {
        return None;
    }
    let phase = (facility * 7 + equipment * 3) as f64;
    let minute = (at.0 / MINUTE) as f64;
    let noise = ((minute * 12.9898 + phase * 78.233).sin() * 43_758.545).fract() * 0.25;
    let cycle = (minute / 38.0 * TAU + phase).sin();
    Some(match equipment {
        0 if facility == WARM && ago_min < 150.0 => 4.6 + (150.0 - ago_min) * 0.045 + cycle * 0.4 + noise,
        1 if facility == 8 && ago_min < 25.0 => 8.9 + cycle * 0.3 + noise,
        0 | 1 => 3.9 + equipment as f64 * 0.6 + (phase % 5.0) * 0.25 + cycle * 0.7 + noise,
        2 => -21.0 + cycle * 0.9 + noise,
        3 if facility == GAS && ago_min < 9.0 => 24.0 - ago_min * 0.8 + noise,
        3 => (0.6 + noise).max(0.0),
        4 => 0.0,
        _ => 52.0 + cycle * 4.0 + noise * 8.0,
    })
}

/// Cameras: facility, identifier, places, and what is wrong with each.
const CAMERAS: [(&str, &str, (&str, &str), Wrong); 8] = [
    (
        "binhe-01",
        "cam-1",
        ("热菜间灶台", "Hot kitchen, stove"),
        Wrong::Nothing,
    ),
    ("binhe-01", "cam-2", ("备餐台", "Serving line"), Wrong::Nothing),
    (
        "songbai-02",
        "cam-1",
        ("后厨夜间", "Kitchen at night"),
        Wrong::Nothing,
    ),
    ("jinqiu-06", "cam-1", ("打饭窗口", "Counter"), Wrong::Nothing),
    (
        "kangning-04",
        "cam-1",
        ("粗加工间", "Preparation room"),
        Wrong::Offline,
    ),
    ("fushou-05", "cam-1", ("切配间", "Cutting room"), Wrong::Covered),
    ("hexie-07", "cam-1", ("库房门口", "Store door"), Wrong::Smart),
    ("yinling-08", "cam-1", ("专间", "Special room"), Wrong::New),
];

#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    Offline,
    Covered,
    Smart,
    New,
}

fn health(wrong: Wrong, at: UtcMillis) -> CameraHealth {
    let well = eyes::well(at);
    match wrong {
        Wrong::Nothing => well,
        Wrong::Offline => CameraHealth {
            link: LinkState::Offline,
            fault: Some(CameraFault::Auth),
            last_frame: Some(at - 47 * MINUTE),
            ..well
        },
        Wrong::Covered => CameraHealth {
            picture: PictureState::Covered,
            ..well
        },
        Wrong::Smart => CameraHealth {
            key_frame_gap_s: Some(8.0),
            ..well
        },
        Wrong::New => CameraHealth::default(),
    }
}

/// Attaches the cameras, with findings of the last hours.
async fn attach(stage: &Stage, eyes: &Eyes, pictures: &[Bytes], now: UtcMillis) {
    let records = &stage.state.records;
    for (index, (facility, id, place, wrong)) in CAMERAS.into_iter().enumerate() {
        let camera = eyes::camera(facility, id, place);
        records.put_camera(&camera, "preview").await.unwrap();
        if let Some(jpeg) = pictures
            .get(index % pictures.len().max(1))
            .filter(|_| wrong != Wrong::New)
        {
            let still = sunshine_dashboard::Still {
                jpeg: jpeg.clone(),
                at: now,
                boxes: eyes::person(0.4),
            };
            eyes.stills.lock().unwrap().insert(camera.key.clone(), still);
        }
        eyes.health.lock().unwrap().insert(camera.key, health(wrong, now));
    }
    let found = [
        (0, Check::NoHeadCover, 4, true),
        (0, Check::NoMask, 11, false),
        (2, Check::AnimalInKitchen, 26, true),
        (3, Check::OverCapacity, 2, false),
        (5, Check::CameraTampered, 40, false),
        (1, Check::PhoneUse, 90, true),
    ];
    for (number, (camera, check, minutes, ended)) in found.into_iter().enumerate() {
        let (facility, id, place, _) = CAMERAS[camera];
        let at = now - minutes * MINUTE;
        let tell = |state, at| Observation {
            camera: eyes::camera(facility, id, place).key,
            said: Sighted {
                check,
                state,
                at,
                since: (state == ObservedState::Began).then_some(at - 12_000),
                zone: None,
                score: Some(0.87),
                threshold: Some(0.6),
                tally: Tally {
                    judged: 10,
                    positive: 7,
                    unjudged: 2,
                },
                model: Some(ModelStamp {
                    name: "person_nanodet_g_i8".into(),
                    sha256: "a1".repeat(32),
                }),
                boxes: eyes::person(0.42),
                evidence: None,
                origin: Origin::Own,
                detail: String::new(),
            },
            received: at,
        };
        let number = LogPosition(number as u64 * 2 + 1_000_000);
        let mut began = tell(ObservedState::Began, at);
        let kept = pictures.get(camera % pictures.len().max(1));
        began.said.evidence = kept.map(|jpeg| keep(stage, &began, jpeg));
        records.enter_observation(&began, number).await.unwrap();
        if ended {
            let end = tell(ObservedState::Ended, at + 95_000);
            records
                .enter_observation(&end, LogPosition(number.0 + 1))
                .await
                .unwrap();
        }
    }
}

/// Keeps a picture as evidence, three times over.
fn keep(stage: &Stage, observation: &Observation, jpeg: &Bytes) -> EvidenceId {
    let archive = stage.state.evidence.as_ref().unwrap();
    let item = |role| NewItem {
        role,
        media_type: "image/jpeg".into(),
        blurred: true,
        bytes: jpeg.to_vec(),
    };
    let items = [ItemRole::Before, ItemRole::At, ItemRole::After]
        .map(item)
        .to_vec();
    archive.put(&eyes::about(observation), &items).unwrap()
}

/// The boxes at the top of an MP4 file: name and bytes.
fn top_boxes(file: &[u8]) -> Vec<(&[u8], &[u8])> {
    let (mut boxes, mut rest) = (Vec::new(), file);
    while let Some((size, name)) = rest.get(..4).zip(rest.get(4..8)) {
        let size = size.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let Some(whole) = rest.get(..size).filter(|_| size >= 8) else {
            break;
        };
        boxes.push((name, whole));
        rest = &rest[size..];
    }
    boxes
}

/// Plays a fragmented MP4 of 15 frames a second, one fragment a frame, to every viewer from its beginning.
fn live(path: &Path) -> OfCamera<Result<VideoFeed, LiveRefused>> {
    let file = std::fs::read(path).unwrap_or_default();
    let boxes = top_boxes(&file);
    let is_head = |name: &[u8]| matches!(name, b"ftyp" | b"moov");
    let head = boxes.iter().filter(|(name, _)| is_head(name));
    let init: Bytes = head.flat_map(|(_, bytes)| *bytes).copied().collect();
    let body: Vec<_> = boxes
        .iter()
        .filter(|(name, _)| matches!(*name, b"moof" | b"mdat"))
        .collect();
    let fragments: Vec<Bytes> = body
        .chunks(2)
        .map(|pair| pair.iter().flat_map(|(_, bytes)| *bytes).copied().collect())
        .collect();
    Arc::new(move |_| {
        let first = fragments.first().ok_or(LiveRefused::NoPicture)?;
        let rest = fragments.clone().into_iter().enumerate().skip(1);
        let next = stream::iter(rest).then(|(number, data)| async move {
            tokio::time::sleep(Duration::from_millis(66)).await;
            let key = number % 30 == 0;
            VideoItem::Fragment { key, data }
        });
        Ok(VideoFeed {
            mime: "video/mp4; codecs=\"avc1.42c01e\"".into(),
            init: init.clone(),
            gop: vec![first.clone()],
            next: next.boxed(),
        })
    })
}

/// The JPEGs of a folder.
fn pictures(folder: Option<String>) -> std::io::Result<Vec<Bytes>> {
    let Some(folder) = folder else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<_> = std::fs::read_dir(Path::new(&folder))?
        .filter_map(Result::ok)
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "jpg"))
        .collect();
    paths.sort();
    paths.iter().map(|p| Ok(std::fs::read(p)?.into())).collect()
}

fn moment(at: UtcMillis, now: UtcMillis) -> Vec<(usize, usize, f64)> {
    let all = (0..FACILITIES).flat_map(|f| (0..EQUIPMENT_COUNT).map(move |e| (f, e)));
    all.filter_map(|(f, e)| value(f, e, at, now).map(|v| (f, e, v)))
        .collect()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Clock::system().now();
    let mut stage = Stage::build(FACILITIES, now).await;
    let eyes = Arc::new(Eyes::default());
    stage.state.sight = eyes.sight();
    if let Some(folder) = std::env::args().nth(1) {
        stage.state.sight.live = live(&Path::new(&folder).join("live.mp4"));
    }
    let kept = tempfile::tempdir()?;
    let archive = Archive::open(
        ArchiveOptions::new(kept.path().join("evidence")),
        stage.clock.clone(),
    )?;
    stage.state.evidence = Some(archive);
    let pictures = pictures(std::env::args().nth(1))?;
    attach(&stage, &eyes, &pictures, now).await;
    *eyes.picture.lock().unwrap() = pictures.first().map(|p| p.to_vec()).unwrap_or_default();
    for minute in (0..=9 * 60).rev() {
        let at = now - minute * MINUTE;
        stage.clock.set(at);
        stage.take_in(at, &moment(at, now)).await;
        // Judgement takes a longer step of time for a server that was down, and nobody for silent.
        for second in (10..60).step_by(10).filter(|_| minute > 0) {
            stage.take_in(at + second * 1000, &[]).await;
        }
    }
    stage.judged().await;
    stage.reject(
        0,
        "fridge-2",
        now - 2 * MINUTE,
        "temp=4,2;<script>alert(1)</script>",
    );
    let dashboard = sunshine_dashboard::build(stage.state.clone())?;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(dashboard.feed.run(stop.clone()));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 18_080)).await?;
    println!("http://{}/", listener.local_addr()?);
    let ended = stop.clone();
    tasks.spawn(async move {
        let served = axum::serve(listener, dashboard.router).with_graceful_shutdown(ended.cancelled_owned());
        if let Err(error) = served.await {
            eprintln!("the server ended: {error}");
        }
    });
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut turn = 0;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            _ = ticks.tick() => {
                turn += 1;
                let at = Clock::system().now();
                stage.clock.set(at);
                // Every point reports once in fifteen seconds, a few each second.
                let mut values = moment(at, at);
                values.retain(|(f, e, _)| (f + e * 5) % 15 == turn % 15);
                stage.stats.lock().map_err(|e| e.to_string())?.readings_stored += values.len() as u64;
                stage.take_in(at, &values).await;
            }
        }
    }
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    stage.finish().await;
    Ok(())
}
