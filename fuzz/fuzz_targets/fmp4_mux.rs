//! Any frames and any description: muxing never panics, what it makes has the lengths that it says, and the ring
//! and the live hub keep their bounds.
#![no_main]

use std::sync::Arc;

use camera::{
    Codec, EncodedFrame, StreamInfo,
    live::{LiveHub, LiveKind, LiveOptions, LiveSeats},
    mp4, nal,
    ring::{Ring, RingLimits},
};
use domain::UtcMillis;
use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};

fn info(input: &mut Unstructured<'_>) -> Result<Arc<StreamInfo>> {
    let codec = *input.choose(&[Codec::H264, Codec::H265, Codec::Jpeg])?;
    let length = input.int_in_range(0..=64)?;
    let mut sample_entry = input.bytes(length)?.to_vec();
    if input.arbitrary()? && length >= 4 {
        sample_entry[..4].copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(Arc::new(StreamInfo {
        codec,
        mime_codec: "avc1".to_owned(),
        width: input.arbitrary()?,
        height: input.arbitrary()?,
        extra_data: input.bytes(length.min(16))?.to_vec().into(),
        sample_entry: sample_entry.into(),
    }))
}

fn frame(input: &mut Unstructured<'_>) -> Result<EncodedFrame> {
    let length = input.int_in_range(0..=200)?;
    Ok(EncodedFrame {
        at: UtcMillis(input.arbitrary()?),
        time_90k: input.arbitrary()?,
        key: input.arbitrary()?,
        data: input.bytes(length)?.to_vec().into(),
        lost: input.arbitrary()?,
    })
}

/// Boxes fill a file exactly.
fn check_boxes(mut file: &[u8]) {
    while !file.is_empty() {
        let length = u32::from_be_bytes(file[..4].try_into().expect("four bytes")) as usize;
        assert!(length >= 8);
        file = &file[length..];
    }
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let infos = [info(input)?, info(input)?];
    let limits = RingLimits {
        seconds: 3,
        bytes: 1_000,
    };
    let mut ring = Ring::new(limits);
    let hub = LiveHub::new(LiveOptions::default(), LiveSeats::new(2));
    let mut frames = Vec::new();
    let mut feeds = Vec::new();
    while !input.is_empty() && frames.len() < 200 {
        let (info, frame) = (input.choose(&infos)?, frame(input)?);
        ring.push(info, &frame);
        assert!(ring.bytes() <= limits.bytes);
        hub.push(info, &frame);
        feeds.extend(hub.subscribe(LiveKind::Video));
        assert!(feeds.len() <= 2);
        nal::to_annex_b(&frame.data, &mut Vec::new());
        frames.push(frame);
    }
    for feed in feeds {
        check_boxes(&feed.init);
        feed.gop.iter().for_each(|fragment| check_boxes(fragment));
    }
    for info in &infos {
        if let Ok(file) = mp4::movie(info, &frames) {
            check_boxes(&file);
        }
    }
    for clip in ring.clips(UtcMillis(input.arbitrary()?), UtcMillis(input.arbitrary()?)) {
        assert!(clip.frames[0].key);
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    // An input too short for what is drawn from it ends the run early, and is none the worse for it.
    run(&mut Unstructured::new(bytes)).ok();
});
