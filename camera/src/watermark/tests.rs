use super::*;
use crate::{drawn, stream::Frame};

const MARK: &str = "wang.fang inspector 2026-11-25 12:30:05Z 0123456789ab/2";

fn plain(level: u8) -> Frame {
    Frame {
        at: UtcMillis(0),
        width: 640,
        height: 360,
        rgb: vec![level; 640 * 360 * 3].into(),
    }
}

fn marked(frame: &Frame, mark: &str) -> Frame {
    let file = jpeg::encode(frame, JpegQuality::new(95));
    let limits = PictureLimits::default();
    jpeg::decode(&still(&file, mark).unwrap(), UtcMillis(0), &limits, 4_096).unwrap()
}

/// How many pixels of these rows differ clearly from `level`.
fn changed(frame: &Frame, rows: std::ops::Range<usize>, level: u8) -> usize {
    let row = frame.width as usize * 3;
    let pixels = frame.rgb[rows.start * row..rows.end * row].chunks_exact(3);
    pixels.filter(|p| p[1].abs_diff(level) > 12).count()
}

#[test]
fn a_still_bears_the_mark_everywhere_and_in_full_below() {
    let frame = marked(&plain(128), MARK);
    assert_eq!((frame.width, frame.height), (640, 360));
    for rows in [0..90, 90..180, 180..270, 270..340] {
        assert!(changed(&frame, rows.clone(), 128) > 300, "{rows:?} bears no mark");
    }
    let other = marked(
        &plain(128),
        "li.jianguo manager 2026-11-25 12:30:05Z 0123456789ab/2",
    );
    let band = 346 * 640 * 3;
    let differing = frame.rgb[band..]
        .iter()
        .zip(&other.rgb[band..])
        .filter(|(a, b)| a.abs_diff(**b) > 60);
    assert!(differing.count() > 200, "two people's copies can be told apart");
    let bright = frame.rgb[band..].iter().filter(|v| **v > 190).count();
    assert!(bright > 500, "the text below is bright on dark");
}

#[test]
fn what_cannot_be_drawn_is_a_question_mark_and_what_is_too_long_is_cut() {
    assert_eq!(font::glyph('王'), font::glyph('?'));
    assert_ne!(font::glyph('a'), font::glyph('?'));
    let long = "x".repeat(10_000);
    assert!(still(&jpeg::encode(&plain(10), JpegQuality::default()), &long).is_ok());
    assert!(matches!(still(b"no picture", MARK), Err(MarkError::Decode(_))));
}

#[test]
fn a_clip_bears_the_mark_in_every_picture_and_keeps_its_times() {
    let (info, frames) = drawn::h264((320, 240), 12, false);
    let original = mp4::movie(&info, &frames).unwrap();
    let (read_info, read_frames) = mp4::read(&original).unwrap();
    assert_eq!(
        (read_info.width, &read_info.extra_data),
        (info.width, &info.extra_data)
    );
    assert_eq!(read_frames.len(), frames.len());
    assert!(
        read_frames
            .iter()
            .zip(&frames)
            .all(|(a, b)| a.data == b.data && a.key == b.key)
    );

    let copy = clip(&original, MARK).unwrap();
    let (copied, marked) = mp4::read(&copy).unwrap();
    assert_eq!(
        (copied.width, copied.height, marked.len()),
        (info.width, info.height, frames.len())
    );
    let gaps = |of: &[EncodedFrame]| mp4::durations(of);
    for (a, b) in gaps(&marked).iter().zip(gaps(&read_frames)) {
        assert!(a.abs_diff(b) <= 90, "{a} {b}");
    }
    let luma = |info: &crate::StreamInfo, frames: &[EncodedFrame]| {
        let mut decoder = FullDecoder::new(info, PictureLimits::default()).unwrap();
        let mut pictures = Vec::new();
        for frame in frames {
            decoder
                .decode(frame, &mut |picture| pictures.push(picture.y))
                .unwrap();
        }
        pictures
    };
    let (before, after) = (luma(&read_info, &read_frames), luma(&copied, &marked));
    assert_eq!(before.len(), after.len());
    for (number, (a, b)) in before.iter().zip(&after).enumerate() {
        let moved = a.iter().zip(b).filter(|(a, b)| a.abs_diff(**b) > 12).count();
        assert!(moved > 1_000, "picture {number} bears no mark");
    }
}

#[test]
fn a_damaged_clip_is_refused_and_never_panics() {
    let (info, frames) = drawn::h264((320, 240), 3, false);
    let movie = mp4::movie(&info, &frames).unwrap();
    for cut in [0, 7, 40, movie.len() / 2, movie.len() - 1] {
        assert!(clip(&movie.slice(..cut), MARK).is_err(), "cut at {cut}");
    }
    let header = movie.len().min(900);
    for at in 0..header {
        let mut bytes = movie.to_vec();
        bytes[at] ^= 0xff;
        // Whether it is refused or understood does not matter: it must come to an end.
        drop(mp4::read(&bytes.into()));
    }
}

#[test]
fn every_letter_has_its_own_shape() {
    let mut shapes: Vec<_> = (' '..='~').map(font::glyph).collect();
    assert!(shapes.iter().flatten().all(|column| column >> font::HEIGHT == 0));
    shapes.sort_unstable();
    shapes.dedup();
    assert_eq!(shapes.len(), 95);
}
