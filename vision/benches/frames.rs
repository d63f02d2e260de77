//! What judged pictures cost from the encoded stream to what is told, in processor time of the whole process:
//! `cargo bench -p sunshine-vision --bench frames -- video.h264 [frames per second]`.
//!
//! Takes H.264 in Annex B, as `scripts/bench-video.sh` makes it. `scripts/vision-bench.py --every` does the same work on
//! the same file with OpenCV and ONNX Runtime in Python. Two tables come out: every key frame looked at by the detector,
//! as Python does, and the product's own way, in which the motion gate says which ones are worth it.

use std::{
    path::Path,
    sync::{Arc, Mutex, mpsc::sync_channel},
    time::Duration,
};

use camera::{
    Codec, EncodedFrame, Frame, StreamInfo,
    decode::{DecodeOptions, DecodePool},
    nal,
};
use domain::{
    Camera, CameraKey, CameraSource, CheckSetting, DeviceId, FacilityId, Room, Schedule, UtcMillis,
    camera::{Decoding, Retention},
    check::{CHECKS, Hours},
};
use models::Catalog;
use rustix::time::{ClockId, clock_gettime};
use sunshine_vision::{
    kit::Kit,
    motion::MotionOptions,
    pipeline::{Moment, Pipeline},
    runtime::{Runtime, RuntimeOptions},
};

/// Noon: checks of working hours are made.
const NOON: Moment = Moment {
    minute_of_day: 720,
    stove: None,
};

/// What one way of looking cost.
#[derive(Default)]
struct Cost {
    pictures: u32,
    looks: u32,
    tracked: u32,
    decode_s: f64,
    whole_s: f64,
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let Some(path) = arguments.next() else {
        println!("name a video: `cargo bench -p sunshine-vision --bench frames -- video.h264`");
        return;
    };
    let fps: i64 = arguments
        .next()
        .map_or(15, |fps| fps.parse().expect("frames per second"));
    let bytes = std::fs::read(&path).expect("the video can be read");
    let (info, frames) = stream(&bytes, fps);
    let keys = frames.iter().filter(|frame| frame.key).count();
    println!(
        "{}x{}, {fps} frames/s, {} frames, {keys} key frames, {:.0} s",
        info.width,
        info.height,
        frames.len(),
        frames.len() as f64 / fps as f64
    );
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("it lies in the workspace");
    let runtime = Runtime::start(&RuntimeOptions {
        library: None,
        folder: Some(workspace.to_owned()),
    });
    println!("{}", runtime.backend());
    let catalog = Catalog::built_in();
    let kit = Kit::for_judging(&runtime, &catalog, None).expect("the built-in models");
    let kit = Arc::new(Mutex::new(kit));
    // Looked at in any case: no picture is ever the same as the one before for long enough.
    let every = MotionOptions {
        forced_ms: 0,
        ..MotionOptions::default()
    };
    for (name, motion) in [
        ("every key frame", every),
        ("motion gate", MotionOptions::default()),
    ] {
        let cost = run(&info, &frames, &kit, motion);
        let each = |seconds: f64, of: u32| seconds * 1e3 / f64::from(of.max(1));
        println!(
            "rust/{name:16} {} pictures, {} looks, {} people followed at the end: decode {:6.2}, whole {:6.2} ms of a core per picture, \
             {:6.1} pictures per core second",
            cost.pictures,
            cost.looks,
            cost.tracked,
            each(cost.decode_s, cost.pictures),
            each(cost.whole_s, cost.pictures),
            f64::from(cost.pictures) / cost.whole_s,
        );
    }
}

/// Decodes and looks, one picture after the other, and adds up what it took.
fn run(
    info: &Arc<StreamInfo>,
    frames: &[EncodedFrame],
    kit: &Arc<Mutex<Kit>>,
    motion: MotionOptions,
) -> Cost {
    let options = DecodeOptions {
        threads: 1,
        ..DecodeOptions::default()
    };
    let pool = DecodePool::start(options).expect("threads can be had");
    let (send, decoded) = sync_channel::<Arc<Frame>>(1);
    let handle = pool.attach(Decoding::KeyFrames, Vec::new(), move |frame| {
        // The bench is over when nobody listens.
        send.send(frame).ok();
    });
    let mut kit = kit.lock().expect("no run has panicked");
    let mut pipeline = Pipeline::new(&camera(), &[], &kit.judging, motion);
    let mut cost = Cost::default();
    for frame in frames {
        let began = processor_s();
        handle.push(info, frame);
        if frame.key {
            let picture = decoded
                .recv_timeout(Duration::from_secs(10))
                .expect("a key frame is decoded");
            cost.decode_s += processor_s() - began;
            let looked = pipeline.look(&mut kit, &picture, NOON).expect("the models run");
            cost.pictures += 1;
            cost.looks += u32::from(looked.judged.is_some());
        }
        cost.whole_s += processor_s() - began;
    }
    cost.tracked = u32::try_from(pipeline.judge().tracks().len()).unwrap_or(u32::MAX);
    pool.stop(Duration::from_secs(1));
    cost
}

/// Processor time of this process, all threads, in seconds.
fn processor_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn stream(bytes: &[u8], fps: i64) -> (Arc<StreamInfo>, Vec<EncodedFrame>) {
    let info = nal::describe(Codec::H264, bytes).expect("an H.264 stream in Annex B with parameter sets");
    let frame = |(index, data): (i64, Vec<u8>)| EncodedFrame {
        at: UtcMillis(index * 1_000 / fps),
        time_90k: index * 90_000 / fps,
        key: nal::is_key(Codec::H264, &data),
        data: data.into(),
        lost: 0,
    };
    let frames = (0..).zip(nal::pictures(Codec::H264, bytes)).map(frame);
    (Arc::new(info), frames.collect())
}

/// A camera of a kitchen that looks for everything that needs no zone.
fn camera() -> Camera {
    let setting = |check| CheckSetting {
        hours: Hours::Always,
        ..CheckSetting::of(check)
    };
    Camera {
        key: CameraKey {
            facility: FacilityId::new("bench").expect("a constant"),
            camera: DeviceId::new("video").expect("a constant"),
        },
        room: Room::Kitchen,
        place_zh: String::new(),
        place_en: String::new(),
        source: CameraSource::Pushed,
        decoding: Decoding::KeyFrames,
        masks: Vec::new(),
        zones: Vec::new(),
        line: None,
        capacity: None,
        checks: CHECKS.iter().map(|info| setting(info.check)).collect(),
        schedule: Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::default(),
        enabled: true,
    }
}
