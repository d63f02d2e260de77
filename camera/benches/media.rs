//! What pictures cost: `cargo bench -p sunshine-camera`.
//!
//! Prints milliseconds of one core for decoding a 720p frame to 640 by 360, for JPEG, for looking at a picture's
//! quality and for masks, and microseconds for making and handing out live fragments and for cutting a clip.

use std::{
    hint::black_box,
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant},
};

use domain::{PictureBox, Polygon, Spot, UtcMillis, camera::Decoding};
use futures::FutureExt as _;
use rusty_h264::{Encoder, EncoderConfig, YuvFrame};
use sunshine_camera::{
    Codec, EncodedFrame, Frame, StreamInfo,
    decode::{DecodeOptions, DecodePool, PictureLimits},
    jpeg::{self, JpegQuality},
    live::{LiveHub, LiveKind, LiveOptions, LiveSeats},
    mask, nal,
    quality::{PictureWatch, QualityOptions},
    ring::{Ring, RingLimits},
};

const SIZE: (usize, usize) = (1_280, 720);
const FPS: i64 = 15;
const GROUP: u32 = 30;

type Stream = (Arc<StreamInfo>, Vec<EncodedFrame>);

fn main() {
    let stream = h264(60);
    let bytes: usize = stream.1.iter().map(|frame| frame.data.len()).sum();
    let kbps = bytes as f64 * 8.0 / 1_000.0 / (stream.1.len() as f64 / FPS as f64);
    println!("stream: 1280x720, {FPS} fps, key frame every {GROUP}, {kbps:.0} kbit/s");
    decoding("H.264 key frames", &stream, Decoding::KeyFrames);
    decoding("H.264 all frames", &stream, Decoding::AllFrames);
    let frame = scene(0);
    pictures(&frame);
    for viewers in [0, 1, 50] {
        live(&stream, viewers);
    }
    clip(&stream);
}

/// Furniture, noise and a square that moves.
fn levels(step: usize) -> Vec<u8> {
    let mut noise = step as u32 + 1;
    let mut level = |at: usize| {
        let (x, y) = (at % SIZE.0, at / SIZE.0);
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let moving = (step * 9..step * 9 + 160).contains(&x) && (200..560).contains(&y);
        let base = if moving {
            200
        } else {
            50 + (x / 48 * 7 + y / 36 * 5) % 12 * 12
        };
        (base as u32 + (noise >> 29)) as u8
    };
    (0..SIZE.0 * SIZE.1).map(&mut level).collect()
}

fn scene(step: usize) -> Frame {
    Frame {
        at: UtcMillis(step as i64 * 1_000),
        width: SIZE.0 as u32,
        height: SIZE.1 as u32,
        rgb: levels(step).into_iter().flat_map(|level| [level; 3]).collect(),
    }
}

fn h264(count: usize) -> Stream {
    let mut encoder = Encoder::new(EncoderConfig {
        gop_size: GROUP,
        min_keyint: GROUP,
        bframes: 0,
        lookahead: 0,
        scenecut: 0,
        mbtree: false,
        level_idc: 31,
        ..EncoderConfig::new(SIZE.0, SIZE.1)
    })
    .expect("a usual size");
    let mut bytes = Vec::new();
    for step in 0..count {
        let chroma = vec![128; SIZE.0 * SIZE.1 / 4];
        bytes.extend(encoder.encode(&YuvFrame {
            width: SIZE.0,
            height: SIZE.1,
            y: levels(step),
            u: chroma.clone(),
            v: chroma,
        }));
    }
    bytes.extend(encoder.flush());
    let info = nal::describe(Codec::H264, &bytes).expect("the encoder writes parameter sets");
    let frame = |(index, data): (i64, Vec<u8>)| EncodedFrame {
        at: UtcMillis(index * 1_000 / FPS),
        time_90k: index * 90_000 / FPS,
        key: nal::is_key(Codec::H264, &data),
        data: data.into(),
        lost: 0,
    };
    let frames = (0..).zip(nal::pictures(Codec::H264, &bytes)).map(frame);
    (Arc::new(info), frames.collect())
}

fn time<T>(rounds: u32, mut work: impl FnMut() -> T) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(work());
        }
        best = best.min(start.elapsed() / rounds);
    }
    best
}

fn decoding(name: &str, (info, frames): &Stream, decoding: Decoding) {
    let options = DecodeOptions {
        threads: 1,
        ..DecodeOptions::default()
    };
    let pool = DecodePool::start(options).expect("threads can be had");
    let (send, out) = sync_channel(1);
    let handle = pool.attach(decoding, Vec::new(), move |frame| {
        // The bench is over when nobody listens.
        send.send(frame).ok();
    });
    let wanted: Vec<_> = frames
        .iter()
        .filter(|f| f.key || decoding == Decoding::AllFrames)
        .collect();
    let taken = time(1, || {
        for frame in &wanted {
            handle.push(info, frame);
            out.recv().expect("every frame is decoded");
        }
    });
    let each = taken / wanted.len() as u32;
    println!("{name}: {:.2} ms per frame to 640x360", each.as_secs_f64() * 1e3);
}

fn pictures(frame: &Frame) {
    let say = |name: &str, taken: Duration| println!("{name}: {:.2} ms", taken.as_secs_f64() * 1e3);
    let small = jpeg::scaled(frame, 640);
    let large = jpeg::encode(frame, JpegQuality::default());
    say("scale 720p RGB to 640x360", time(20, || jpeg::scaled(frame, 640)));
    say(
        "JPEG encode 640x360",
        time(20, || jpeg::encode(&small, JpegQuality::default())),
    );
    let limits = PictureLimits::default();
    say(
        "JPEG decode 720p to 640x360",
        time(20, || jpeg::decode(&large, UtcMillis(0), &limits, 640)),
    );
    let mut watch = PictureWatch::new(QualityOptions::default());
    let mut at = 0;
    let observed = time(50, || {
        at += 1;
        watch.observe(&Frame {
            at: UtcMillis(at),
            ..small.clone()
        })
    });
    say("picture quality 640x360", observed);
    let corners = [(0.1, 0.1), (0.6, 0.1), (0.6, 0.5), (0.1, 0.5)].map(|(x, y)| Spot { x, y });
    let area = [Polygon::new(corners.to_vec()).expect("a rectangle")];
    let mut own = small;
    mask::hide(&mut own, &area);
    say(
        "mask of a fifth of 640x360",
        time(50, || mask::hide(&mut own, &area)),
    );
    let face = PictureBox::new(0.4, 0.2, 0.5, 0.4)
        .into_iter()
        .collect::<Vec<_>>();
    say("blur of one face", time(50, || mask::blur_faces(&mut own, &face)));
}

fn live((info, frames): &Stream, viewers: usize) {
    let options = LiveOptions {
        per_camera: 100,
        ..LiveOptions::default()
    };
    let hub = LiveHub::new(options, LiveSeats::new(100));
    hub.push(info, &frames[0]);
    let subscribe = || hub.subscribe(LiveKind::Video).expect("there are seats");
    let mut feeds: Vec<_> = (0..viewers).map(|_| subscribe()).collect();
    let taken = time(20, || {
        for frame in frames {
            hub.push(info, frame);
            for feed in &mut feeds {
                black_box(feed.next().now_or_never());
            }
        }
    });
    let each = taken / frames.len() as u32;
    let core = each.as_secs_f64() * FPS as f64 * 100.0;
    println!(
        "live, {viewers} viewers: {:.1} µs per frame, {core:.3} % of a core",
        each.as_secs_f64() * 1e6
    );
}

fn clip((info, frames): &Stream) {
    let mut ring = Ring::new(RingLimits::default());
    for round in 0..4 {
        for frame in frames {
            let later = round * 4_000;
            let frame = EncodedFrame {
                at: frame.at + later,
                time_90k: frame.time_90k + later * 90,
                ..frame.clone()
            };
            ring.push(info, &frame);
        }
    }
    let cut = || {
        let clips = ring.clips(UtcMillis(4_000), UtcMillis(14_000));
        clips[0]
            .mp4()
            .expect("the frames are sound")
            .expect("it is video")
            .len()
    };
    let taken = time(10, cut);
    println!(
        "clip of 10 s: {:.2} ms, {} bytes",
        taken.as_secs_f64() * 1e3,
        cut()
    );
}
