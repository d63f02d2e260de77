//! Streams that tests draw and encode themselves.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use bytes::Bytes;
use domain::UtcMillis;
use rusty_h264::{Encoder, EncoderConfig, YuvFrame};

use crate::{
    nal,
    stream::{Codec, EncodedFrame, Frame, StreamInfo},
};

/// A stream: its description and its frames, ten a second, a key frame every fifth.
pub(crate) type Drawn = (Arc<StreamInfo>, Vec<EncodedFrame>);

pub(crate) const GROUP: usize = 5;

/// A picture with edges and a bright square that moves with `step`, in planes.
pub(crate) fn scene(width: usize, height: usize, step: usize) -> [Vec<u8>; 3] {
    let square = |x: usize, y: usize| {
        let left = step * 7 % (width * 3 / 4);
        (left..left + width / 5).contains(&x) && (height / 3..height / 2).contains(&y)
    };
    let level = |at: usize| {
        let (x, y) = (at % width, at / width);
        if square(x, y) {
            235
        } else {
            40 + ((x / 16 + y / 16) % 8 * 20) as u8
        }
    };
    let half = width / 2 * (height / 2);
    let blue = |at: usize| 108 + (at % (width / 2) * 40 / width) as u8;
    [
        (0..width * height).map(level).collect(),
        (0..half).map(blue).collect(),
        vec![140; half],
    ]
}

/// As [`scene`], in RGB without colour.
pub(crate) fn grey(width: usize, height: usize, step: usize, at: i64) -> Frame {
    let [luma, _, _] = scene(width, height, step);
    Frame {
        at: UtcMillis(at),
        width: width as u32,
        height: height as u32,
        rgb: luma.into_iter().flat_map(|level| [level; 3]).collect(),
    }
}

fn frames(codec: Codec, pictures: Vec<Vec<u8>>) -> Vec<EncodedFrame> {
    let frame = |(index, data): (i64, Vec<u8>)| EncodedFrame {
        at: UtcMillis(index * 100),
        time_90k: index * 9_000,
        key: nal::is_key(codec, &data),
        data: Bytes::from(data),
        lost: 0,
    };
    (0..).zip(pictures).map(frame).collect()
}

/// H.264; Baseline profile, or High with CABAC, as cameras have it.
pub(crate) fn h264((width, height): (usize, usize), count: usize, cabac: bool) -> Drawn {
    let mut config = EncoderConfig::baseline(width, height);
    if cabac {
        config = EncoderConfig {
            bframes: 0,
            lookahead: 0,
            scenecut: 0,
            mbtree: false,
            ..EncoderConfig::new(width, height)
        };
    }
    config.gop_size = GROUP as u32;
    config.min_keyint = GROUP as u32;
    let mut encoder = Encoder::new(config).unwrap();
    let mut stream = Vec::new();
    for step in 0..count {
        let [y, u, v] = scene(width, height, step);
        stream.extend(encoder.encode(&YuvFrame {
            width,
            height,
            y,
            u,
            v,
        }));
    }
    stream.extend(encoder.flush());
    let info = nal::describe(Codec::H264, &stream).expect("the encoder writes parameter sets");
    (
        Arc::new(info),
        frames(Codec::H264, nal::pictures(Codec::H264, &stream)),
    )
}

/// H.265 with open groups, so that all key frames but the first are CRA pictures; `None`, and a word about it,
/// where `ffmpeg` or its encoder is missing.
pub(crate) fn h265((width, height): (usize, usize), count: usize) -> Option<Drawn> {
    let raw: Vec<u8> = (0..count)
        .flat_map(|step| scene(width, height, step).concat())
        .collect();
    let options = format!("keyint={GROUP}:min-keyint={GROUP}:open-gop=1:bframes=0:scenecut=0:log-level=none");
    let stream = ffmpeg(
        &[
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-s",
            &format!("{width}x{height}"),
            "-i",
            "-",
        ],
        &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            &options,
            "-f",
            "hevc",
            "-",
        ],
        &raw,
    )?;
    let info = nal::describe(Codec::H265, &stream).expect("the encoder writes parameter sets");
    Some((
        Arc::new(info),
        frames(Codec::H265, nal::pictures(Codec::H265, &stream)),
    ))
}

/// JPEGs.
pub(crate) fn jpegs((width, height): (usize, usize), count: usize) -> Drawn {
    let info = StreamInfo {
        codec: Codec::Jpeg,
        mime_codec: "jpeg".into(),
        width: width as u32,
        height: height as u32,
        extra_data: Bytes::new(),
        sample_entry: Bytes::new(),
    };
    let picture = |step| crate::jpeg::encode(&grey(width, height, step, 0), Default::default()).to_vec();
    (
        Arc::new(info),
        frames(Codec::Jpeg, (0..count).map(picture).collect()),
    )
}

/// What `ffmpeg` makes of `input`; `None`, and a word about it, where it is not installed or cannot do it.
pub(crate) fn ffmpeg(before: &[&str], after: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error"])
        .args(before)
        .args(after)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("left out: ffmpeg is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A process that refuses its arguments closes the pipe early; its exit status tells.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    });
    if !output.status.success() {
        eprintln!("left out: this ffmpeg cannot do what the test needs");
        return None;
    }
    Some(output.stdout)
}
