//! Reads the files that [`super::movie`] writes. Others of one video track may be understood too; what is not is refused.

use bytes::Bytes;
use domain::UtcMillis;

use crate::stream::{Codec, EncodedFrame, StreamInfo};

/// The most frames of a file: an hour at 30 a second.
const MAX_FRAMES: usize = 108_000;

/// A video entry's bytes before its codec's own box, header included.
const ENTRY_HEAD: usize = 86;

/// The stream and the frames of a file; `None` when it is none of ours or damaged.
#[must_use]
pub fn read(file: &Bytes) -> Option<(StreamInfo, Vec<EncodedFrame>)> {
    let moov = find(file, b"moov")?;
    let media = find(find(moov, b"trak")?, b"mdia")?;
    let table = find(find(media, b"minf")?, b"stbl")?;
    let info = described(find(table, b"stsd")?.get(8..)?)?;
    let sizes = Numbers::of(find(table, b"stsz")?.get(8..)?)?.list()?;
    let keys = Numbers::of(find(table, b"stss")?.get(4..)?)?.list()?;
    let durations = durations(find(table, b"stts")?.get(4..)?, sizes.len())?;
    let chunks = Numbers::of(find(table, b"stco")?.get(4..)?)?.list()?;
    let [mut at] = chunks[..] else { return None };
    let (mut frames, mut time_90k) = (Vec::with_capacity(sizes.len()), 0i64);
    for (number, (size, duration)) in (1u32..).zip(sizes.iter().zip(&durations)) {
        let end = at.checked_add(*size)?;
        let within = (at as usize) < file.len() && end as usize <= file.len();
        within.then_some(())?;
        frames.push(EncodedFrame {
            at: UtcMillis(time_90k / 90),
            time_90k,
            key: keys.binary_search(&number).is_ok(),
            data: file.slice(at as usize..end as usize),
            lost: 0,
        });
        at = end;
        time_90k += i64::from(*duration);
    }
    frames
        .first()
        .is_some_and(|first| first.key)
        .then_some((info, frames))
}

/// The content of the first box of this name.
fn find<'f>(mut boxes: &'f [u8], name: &[u8; 4]) -> Option<&'f [u8]> {
    loop {
        let length = u32::from_be_bytes(*boxes.first_chunk()?) as usize;
        let whole = boxes.get(..length.max(8))?;
        if whole.get(4..8)? == name {
            return whole.get(8..);
        }
        boxes = boxes.get(whole.len()..)?;
    }
}

fn described(entry: &[u8]) -> Option<StreamInfo> {
    let length = u32::from_be_bytes(*entry.first_chunk()?) as usize;
    let entry = entry.get(..length)?;
    let (codec, own) = match entry.get(4..8)? {
        b"avc1" => (Codec::H264, b"avcC"),
        b"hvc1" => (Codec::H265, b"hvcC"),
        _ => return None,
    };
    let side = |at: usize| {
        let bytes = entry.get(at..at + 2)?;
        Some(u32::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    Some(StreamInfo {
        codec,
        mime_codec: String::new(),
        width: side(32)?,
        height: side(34)?,
        extra_data: Bytes::copy_from_slice(find(entry.get(ENTRY_HEAD..)?, own)?),
        sample_entry: Bytes::copy_from_slice(entry),
    })
}

/// Numbers of 32 bits behind their count.
struct Numbers<'f>(&'f [u8]);

impl<'f> Numbers<'f> {
    fn of(counted: &'f [u8]) -> Option<Numbers<'f>> {
        let count = u32::from_be_bytes(*counted.first_chunk()?) as usize;
        let bytes = (count <= MAX_FRAMES).then(|| counted.get(4..4 + count * 4))??;
        Some(Numbers(bytes))
    }

    fn list(&self) -> Option<Vec<u32>> {
        let numbers = self.0.chunks_exact(4);
        numbers
            .map(|n| n.first_chunk().map(|n| u32::from_be_bytes(*n)))
            .collect()
    }
}

/// Runs of equal durations, spread over `frames` frames.
fn durations(counted: &[u8], frames: usize) -> Option<Vec<u32>> {
    let runs = u32::from_be_bytes(*counted.first_chunk()?) as usize;
    let bytes = (runs <= MAX_FRAMES).then(|| counted.get(4..4 + runs * 8))??;
    let mut all = Vec::with_capacity(frames);
    for run in bytes.chunks_exact(8) {
        let (count, duration) = run.split_at(4);
        let count = u32::from_be_bytes(*count.first_chunk()?) as usize;
        let room = frames - all.len();
        (count <= room).then_some(())?;
        all.extend(std::iter::repeat_n(
            u32::from_be_bytes(*duration.first_chunk()?),
            count,
        ));
    }
    (all.len() == frames).then_some(all)
}
