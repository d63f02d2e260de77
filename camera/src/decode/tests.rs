use std::sync::mpsc::{Receiver, sync_channel};

use domain::{Spot, UtcMillis};

use super::*;
use crate::{
    drawn::{self, Drawn, GROUP},
    jpeg,
    stream::Codec,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn pool(options: DecodeOptions) -> DecodePool {
    DecodePool::start(DecodeOptions {
        threads: 1,
        ..options
    })
    .unwrap()
}

/// A camera whose pictures come out of the channel.
fn attach(pool: &DecodePool, decoding: Decoding) -> (DecodeHandle, Receiver<Arc<Frame>>) {
    let (send, frames) = sync_channel(1_000);
    let handle = pool.attach(decoding, Vec::new(), move |frame| send.send(frame).unwrap());
    (handle, frames)
}

/// Pushes each frame once the one before it is done with, so that none is skipped.
fn decode_all(handle: &DecodeHandle, (info, frames): &Drawn) {
    for frame in frames {
        handle.push(info, frame);
        let until = Instant::now() + PATIENCE;
        while handle.seat.is_at_work() {
            assert!(Instant::now() < until, "the decoder takes too long");
            thread::yield_now();
        }
    }
}

/// The mean difference of a picture from the scene that was drawn.
fn distance(frame: &Frame, step: usize) -> f32 {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let drawn = jpeg::scaled(&drawn::grey(320, 192, step, 0), frame.width);
    assert_eq!((drawn.width as usize, drawn.height as usize), (width, height));
    let brightness = |rgb: &[u8]| {
        let [red, green, blue] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
        0.299 * red + 0.587 * green + 0.114 * blue
    };
    let of = |frame: &Frame| frame.rgb.chunks_exact(3).map(brightness).collect::<Vec<_>>();
    // What is drawn is brightness of limited range, what comes out is of full range.
    let pairs = of(frame).into_iter().zip(of(&drawn));
    let sum: f32 = pairs
        .map(|(got, want)| (got - (want - 16.0) * 255.0 / 219.0).abs())
        .sum();
    sum / (frame.width * frame.height) as f32
}

#[test]
fn every_frame_of_h264_looks_as_it_was_drawn() {
    for cabac in [false, true] {
        let drawn = drawn::h264((320, 192), 12, cabac);
        let pool = pool(DecodeOptions::default());
        let (handle, frames) = attach(&pool, Decoding::AllFrames);
        decode_all(&handle, &drawn);
        let frames: Vec<_> = frames.try_iter().collect();
        assert_eq!(frames.len(), 12, "cabac {cabac}: {:?}", handle.counts());
        for (step, frame) in frames.iter().enumerate() {
            assert_eq!((frame.width, frame.height), (320, 192));
            assert_eq!(frame.at, UtcMillis(step as i64 * 100));
            assert!(distance(frame, step) < 6.0, "{step}: {}", distance(frame, step));
        }
        assert!(
            distance(&frames[0], 4) > distance(&frames[0], 0),
            "pictures of other steps differ"
        );
        assert_eq!(pool.stop(PATIENCE), 0);
    }
}

#[test]
fn key_frames_alone_are_decoded_when_nothing_else_is_asked_for() {
    let drawn = drawn::h264((320, 192), 12, true);
    let pool = pool(DecodeOptions {
        max_width: 160,
        ..DecodeOptions::default()
    });
    let (handle, frames) = attach(&pool, Decoding::KeyFrames);
    decode_all(&handle, &drawn);
    let frames: Vec<_> = frames.try_iter().collect();
    let expected: Vec<_> = (0..12).step_by(GROUP).map(|step| UtcMillis(step * 100)).collect();
    assert_eq!(frames.iter().map(|frame| frame.at).collect::<Vec<_>>(), expected);
    assert_eq!((frames[0].width, frames[0].height), (160, 96));
    assert_eq!(handle.counts().skipped, 0);
}

#[test]
fn h265_key_frames_count_although_they_are_no_idr() {
    let Some(drawn) = drawn::h265((320, 192), 12) else {
        return;
    };
    let keys = drawn.1.iter().filter(|frame| frame.key).count();
    assert_eq!(keys, 3, "one IDR and two CRA pictures");
    let pool = pool(DecodeOptions::default());
    let (handle, frames) = attach(&pool, Decoding::KeyFrames);
    decode_all(&handle, &drawn);
    let frames: Vec<_> = frames.try_iter().collect();
    assert_eq!(frames.len(), 3, "{:?}", handle.counts());
    for (frame, step) in frames.iter().zip([0, 5, 10]) {
        assert_eq!(frame.at, UtcMillis(step as i64 * 100));
        assert!(distance(frame, step) < 6.0, "{step}: {}", distance(frame, step));
    }
    // In all-frames mode the decoder shows a picture when the next one begins.
    let (handle, frames) = attach(&pool, Decoding::AllFrames);
    decode_all(&handle, &drawn);
    let frames: Vec<_> = frames.try_iter().collect();
    assert!(frames.len() >= 10, "{} {:?}", frames.len(), handle.counts());
    assert!(
        frames
            .iter()
            .enumerate()
            .all(|(step, frame)| distance(frame, step) < 6.0)
    );
}

#[test]
fn jpegs_come_out_scaled() {
    let drawn = drawn::jpegs((320, 192), 3);
    let pool = pool(DecodeOptions {
        max_width: 80,
        ..DecodeOptions::default()
    });
    let (handle, frames) = attach(&pool, Decoding::AllFrames);
    decode_all(&handle, &drawn);
    let sizes: Vec<_> = frames
        .try_iter()
        .map(|frame| (frame.width, frame.height))
        .collect();
    assert_eq!(sizes, [(80, 48); 3]);
}

#[test]
fn a_damaged_frame_costs_no_more_than_its_group() {
    let (info, mut frames) = drawn::h264((320, 192), 15, true);
    frames[2].data = frames[2].data.slice(..frames[2].data.len() / 3);
    frames[11].lost = 3;
    let pool = pool(DecodeOptions::default());
    let (handle, out) = attach(&pool, Decoding::AllFrames);
    decode_all(&handle, &(info, frames));
    let came: Vec<i64> = out.try_iter().map(|frame| frame.at.0 / 100).collect();
    assert_eq!(came, [0, 1, 5, 6, 7, 8, 9, 10]);
    let counts = handle.counts();
    assert_eq!((counts.decoded, counts.failed, counts.skipped), (8, 1, 6));
    assert_eq!(counts.last_error, Some(DecodeError::Damaged(Codec::H264)));
}

#[test]
fn garbage_is_counted_and_harms_nobody_else() {
    let drawn = drawn::h264((320, 192), 6, true);
    let pool = pool(DecodeOptions::default());
    let (handle, frames) = attach(&pool, Decoding::AllFrames);
    let noise = |at: i64| EncodedFrame {
        data: (0..400u32)
            .map(|byte| (byte.wrapping_mul(2_654_435_761) >> 20) as u8)
            .collect(),
        at: UtcMillis(at),
        ..drawn.1[0].clone()
    };
    let garbage = (drawn.0.clone(), (0..5).map(noise).collect());
    decode_all(&handle, &garbage);
    assert_eq!((handle.counts().decoded, handle.counts().failed), (0, 5));
    let empty = Arc::new(StreamInfo {
        extra_data: bytes::Bytes::new(),
        ..StreamInfo::clone(&drawn.0)
    });
    decode_all(&handle, &(empty, drawn.1.clone()));
    assert_eq!(
        handle.counts().last_error,
        Some(DecodeError::NoParameters(Codec::H264))
    );
    decode_all(&handle, &drawn);
    assert_eq!(frames.try_iter().count(), 6);
}

#[test]
fn a_change_of_description_waits_for_the_next_key_frame() {
    let (first, second) = (drawn::h264((320, 192), 3, true), drawn::h264((160, 96), 7, true));
    let pool = pool(DecodeOptions::default());
    let (handle, frames) = attach(&pool, Decoding::AllFrames);
    decode_all(&handle, &first);
    decode_all(&handle, &(second.0.clone(), second.1[3..].to_vec()));
    let widths: Vec<u32> = frames.try_iter().map(|frame| frame.width).collect();
    assert_eq!(widths, [320, 320, 320, 160, 160]);
}

#[test]
fn pictures_beyond_the_limits_are_refused_before_they_are_decoded() {
    let drawn = drawn::h264((320, 192), 1, true);
    let limits = PictureLimits {
        max_side: 300,
        ..PictureLimits::default()
    };
    let pool = pool(DecodeOptions {
        limits,
        ..DecodeOptions::default()
    });
    // The description lies; the parameter set tells.
    let info = Arc::new(StreamInfo {
        width: 160,
        height: 96,
        ..StreamInfo::clone(&drawn.0)
    });
    let (handle, _frames) = attach(&pool, Decoding::KeyFrames);
    decode_all(&handle, &(info, drawn.1));
    let too_large = DecodeError::TooLarge {
        width: 320,
        height: 192,
        limit: 300,
    };
    assert_eq!(handle.counts().last_error, Some(too_large));
}

/// A pool whose one thread is held until the sender is dropped.
fn held_pool() -> (DecodePool, DecodeHandle, std::sync::mpsc::SyncSender<()>) {
    let pool = pool(DecodeOptions::default());
    let (release, held) = sync_channel::<()>(0);
    let (entered, entry) = sync_channel(1);
    let held = Mutex::new(held);
    let handle = pool.attach(Decoding::KeyFrames, Vec::new(), move |_| {
        entered.send(()).unwrap();
        held.lock().unwrap().recv().ok();
    });
    let (info, frames) = drawn::jpegs((32, 32), 1);
    handle.push(&info, &frames[0]);
    entry.recv_timeout(PATIENCE).unwrap();
    (pool, handle, release)
}

#[test]
fn the_newest_frame_replaces_the_one_that_waits() {
    let (pool, _holder, release) = held_pool();
    let (handle, frames) = attach(&pool, Decoding::KeyFrames);
    let (info, jpegs) = drawn::jpegs((32, 32), 10);
    for frame in &jpegs {
        handle.push(&info, frame);
    }
    assert_eq!(handle.counts().skipped, 9);
    drop(release);
    assert_eq!(frames.recv_timeout(PATIENCE).unwrap().at, UtcMillis(900));
    assert_eq!(pool.stop(PATIENCE), 0);
    assert!(frames.try_recv().is_err());
}

#[test]
fn a_full_queue_of_all_frames_goes_on_at_the_next_key_frame() {
    let (pool, _holder, release) = held_pool();
    let (handle, frames) = attach(&pool, Decoding::AllFrames);
    let (info, video) = drawn::h264((160, 96), 12, true);
    for frame in &video {
        handle.push(&info, frame);
    }
    // Eight waited when the ninth came: those, the ninth and the tenth went; the eleventh is a key frame.
    assert_eq!(handle.counts().skipped, 10);
    drop(release);
    assert_eq!(frames.recv_timeout(PATIENCE).unwrap().at, UtcMillis(1_000));
    assert_eq!(frames.recv_timeout(PATIENCE).unwrap().at, UtcMillis(1_100));
    drop(pool);
}

#[test]
fn a_thread_that_does_not_end_is_told() {
    let (pool, _holder, release) = held_pool();
    assert_eq!(pool.stop(Duration::from_millis(1)), 1);
    drop(release);
}

#[test]
fn a_receiver_that_panics_does_not_take_the_thread_along() {
    let pool = pool(DecodeOptions::default());
    let bad = pool.attach(Decoding::KeyFrames, Vec::new(), |_| panic!("on purpose"));
    let jpegs = drawn::jpegs((32, 32), 2);
    decode_all(&bad, &jpegs);
    assert_eq!(bad.counts().last_error, Some(DecodeError::Panicked(Codec::Jpeg)));
    let (good, frames) = attach(&pool, Decoding::KeyFrames);
    decode_all(&good, &jpegs);
    assert_eq!(frames.try_iter().count(), 2);
}

#[test]
fn masks_are_painted_before_anybody_sees_the_picture() {
    let pool = pool(DecodeOptions::default());
    let (send, frames) = sync_channel(4);
    let half = [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)];
    let mask = Polygon::new(half.map(|(x, y)| Spot { x, y }).to_vec()).unwrap();
    let handle = pool.attach(Decoding::KeyFrames, vec![mask], move |frame| {
        send.send(frame).unwrap()
    });
    decode_all(&handle, &drawn::jpegs((64, 32), 1));
    let frame = frames.try_recv().unwrap();
    for row in frame.rgb.chunks_exact(64 * 3) {
        assert!(row[..32 * 3].iter().all(|level| *level == row[0]));
        assert_ne!(row[33 * 3..], [row[0]; 31 * 3]);
    }
}

#[test]
fn a_camera_that_was_let_go_gets_nothing_more() {
    let (pool, _holder, release) = held_pool();
    let (handle, frames) = attach(&pool, Decoding::KeyFrames);
    let (info, jpegs) = drawn::jpegs((32, 32), 1);
    handle.push(&info, &jpegs[0]);
    let seat = handle.seat.clone();
    drop(handle);
    assert!(!seat.offer(&info, &jpegs[0]), "it takes nothing more");
    drop(release);
    assert_eq!(pool.stop(PATIENCE), 0);
    assert!(frames.try_recv().is_err());
}

#[test]
fn ffmpeg_decodes_what_the_built_in_decoder_does() {
    let mut streams = vec![drawn::h264((320, 192), 40, true)];
    streams.extend(drawn::h265((320, 192), 40));
    for drawn in streams {
        let pool = pool(DecodeOptions {
            max_width: 160,
            ..DecodeOptions::default()
        });
        let (handle, frames) = attach(&pool, Decoding::Ffmpeg);
        let until = Instant::now() + PATIENCE;
        // The process answers when it likes: the stream is repeated, a frame at a time, until pictures come.
        let mut got = Vec::new();
        for frame in drawn.1.iter().cycle() {
            decode_all(&handle, &(drawn.0.clone(), vec![frame.clone()]));
            if let Some(DecodeError::FfmpegStart(why)) = handle.counts().last_error {
                eprintln!("left out: ffmpeg is not installed ({why})");
                return;
            }
            got.extend(frames.recv_timeout(Duration::from_millis(30)));
            assert!(Instant::now() < until, "{:?}", handle.counts());
            if got.len() >= 20 {
                break;
            }
        }
        for frame in &got {
            assert_eq!((frame.width, frame.height), (160, 96));
            let step = frame.at.0 as usize / 100;
            let near = distance(frame, step);
            assert!(near < 4.0 && near < distance(frame, step + 1), "{step}: {near}");
        }
        assert_eq!(handle.counts().failed, 0);
    }
}

#[test]
fn an_ffmpeg_that_takes_nothing_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("stuck");
    std::fs::write(&program, "#!/bin/sh\nexec tail -f /dev/null\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let pool = pool(DecodeOptions {
        ffmpeg: program,
        ..DecodeOptions::default()
    });
    let (handle, _frames) = attach(&pool, Decoding::Ffmpeg);
    let (info, frames) = drawn::h264((320, 192), 1, false);
    // Larger than what a pipe holds.
    let mut data = frames[0].data.to_vec();
    data.extend_from_slice(&[0, 1, 0, 0]);
    data.resize(data.len() + 65_536, 6);
    let heavy = EncodedFrame {
        data: data.into(),
        ..frames[0].clone()
    };
    decode_all(&handle, &(info, vec![heavy; 70]));
    assert_eq!(handle.counts().last_error, Some(DecodeError::FfmpegHung));
    let missing = DecodeOptions {
        ffmpeg: PathBuf::from("/nowhere/ffmpeg"),
        ..DecodeOptions::default()
    };
    let pool = self::pool(missing);
    let (handle, _frames) = attach(&pool, Decoding::Ffmpeg);
    decode_all(&handle, &drawn::h264((320, 192), 1, false));
    assert_eq!(
        handle.counts().last_error,
        Some(DecodeError::FfmpegStart(std::io::ErrorKind::NotFound))
    );
}

#[test]
fn damaged_streams_never_stop_a_decoder_for_good() {
    let mut streams = vec![drawn::h264((96, 64), 5, true), drawn::h264((96, 64), 5, false)];
    streams.extend(drawn::h265((96, 64), 5));
    let pool = pool(DecodeOptions::default());
    let mut state = 1u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below.max(1)
    };
    for (info, frames) in streams {
        let (handle, out) = attach(&pool, Decoding::AllFrames);
        for _ in 0..40 {
            let mut damaged = frames.clone();
            for frame in &mut damaged {
                let mut data = frame.data.to_vec();
                for _ in 0..random(4) {
                    let at = random(data.len());
                    data[at] ^= 1 << random(8);
                }
                frame.data = data.into();
            }
            decode_all(&handle, &(info.clone(), damaged));
        }
        out.try_iter().count();
        decode_all(&handle, &(info, frames));
        assert!(out.try_iter().count() >= 4, "{:?}", handle.counts());
    }
}
