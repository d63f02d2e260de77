//! MP4: what a browser plays live, one fragment for each frame, and what evidence is kept as, a file that plays
//! from its beginning. Nothing is encoded again; frames are shown in the order in which they came.

mod boxes;
mod read;

use bytes::Bytes;

use crate::stream::{Codec, EncodedFrame, StreamInfo};
use boxes::Boxes;
pub use read::read;

/// Ticks of a second in every file made here.
pub const TIMESCALE: u32 = 90_000;

/// How long a frame is shown when nothing tells: a fifteenth of a second.
pub const USUAL_DURATION: u32 = 6_000;

/// The longest that one frame is shown. A longer gap is a jump of the camera's clock, or the picture stood.
pub const MAX_DURATION: u32 = 60 * TIMESCALE;

/// Why no MP4 can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mp4Error {
    /// JPEGs: no common player shows them from an MP4 file.
    #[error("a stream of JPEGs makes no MP4 that is commonly played; keep or show the pictures themselves")]
    Jpeg,
    /// The description is not that of a stream.
    #[error("the stream's description is damaged; connect the camera again")]
    Description,
    /// There is no frame.
    #[error("there is no frame to write; choose a time at which the camera was online")]
    Empty,
    /// The first frame needs others before it.
    #[error("the first frame is no key frame; begin at one")]
    NoKeyFrame,
    /// More than 4 GiB.
    #[error("the frames are larger than 4 GiB together; choose a shorter time")]
    TooLarge,
}

/// What a browser needs before the first fragment.
///
/// # Errors
/// [`Mp4Error::Jpeg`], [`Mp4Error::Description`].
pub fn init_segment(info: &StreamInfo) -> Result<Bytes, Mp4Error> {
    let track = Track::of(info)?;
    let mut out = Boxes::with_capacity(1_024);
    out.plain(b"ftyp", |out| out.bytes(b"iso5\0\0\0\0iso5iso6mp41"));
    out.plain(b"moov", |out| {
        track.header(out, 0);
        track.trak(out, 0, |out| {
            out.full(b"stts", 0, 0, |out| out.u32(0));
            out.full(b"stsc", 0, 0, |out| out.u32(0));
            out.full(b"stsz", 0, 0, |out| out.u32s(&[0, 0]));
            out.full(b"stco", 0, 0, |out| out.u32(0));
        });
        out.plain(b"mvex", |out| {
            out.full(b"trex", 0, 0, |out| out.u32s(&[1, 1, 0, 0, 0]));
        });
    });
    out.finish()
}

/// Where a fragment stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentPlace {
    /// Its number, from 1 on.
    pub sequence: u32,
    /// When it is shown, in 90,000ths of a second.
    pub time_90k: u64,
    /// For how long, in 90,000ths of a second.
    pub duration_90k: u32,
}

/// One frame as a fragment.
///
/// # Errors
/// [`Mp4Error::TooLarge`].
pub fn fragment(place: FragmentPlace, key: bool, data: &[u8]) -> Result<Bytes, Mp4Error> {
    let size = u32::try_from(data.len()).ok().ok_or(Mp4Error::TooLarge)?;
    let mut out = Boxes::with_capacity(data.len().saturating_add(128));
    let mut offset_at = 0;
    out.plain(b"moof", |out| {
        out.full(b"mfhd", 0, 0, |out| out.u32(place.sequence));
        out.plain(b"traf", |out| {
            // The data's place is counted from the beginning of this fragment.
            out.full(b"tfhd", 0, 0x02_0000, |out| out.u32(1));
            out.full(b"tfdt", 1, 0, |out| out.u64(place.time_90k));
            // With the data's place, and of each frame duration, size and whether it stands alone.
            out.full(b"trun", 0, 0x701, |out| {
                out.u32(1);
                offset_at = out.len();
                out.u32s(&[0, place.duration_90k, size, sample_flags(key)]);
            });
        });
    });
    out.patch(offset_at, out.len() + 8);
    out.plain(b"mdat", |out| out.bytes(data));
    out.finish()
}

fn sample_flags(key: bool) -> u32 {
    if key { 0x0200_0000 } else { 0x0101_0000 }
}

/// A whole file: the index first, so that it plays while it is fetched.
///
/// # Errors
/// [`Mp4Error`] names the first reason there is none.
pub fn movie(info: &StreamInfo, frames: &[EncodedFrame]) -> Result<Bytes, Mp4Error> {
    let track = Track::of(info)?;
    if !frames.first().ok_or(Mp4Error::Empty)?.key {
        return Err(Mp4Error::NoKeyFrame);
    }
    let count = u32::try_from(frames.len()).ok().ok_or(Mp4Error::TooLarge)?;
    let bytes: u64 = frames.iter().map(|frame| frame.data.len() as u64).sum();
    if bytes > u64::from(u32::MAX) - 16 * frames.len() as u64 - 4_096 {
        return Err(Mp4Error::TooLarge);
    }
    let durations = durations(frames);
    let total: u64 = durations.iter().copied().map(u64::from).sum();
    let mut out = Boxes::with_capacity(bytes as usize + 16 * frames.len() + 2_048);
    let brand: &[u8] = if info.codec == Codec::H265 {
        b"hvc1"
    } else {
        b"avc1"
    };
    out.plain(b"ftyp", |out| {
        out.bytes(b"isom\0\0\x02\0isomiso2");
        out.bytes(brand);
        out.bytes(b"mp41");
    });
    let mut offset_at = 0;
    out.plain(b"moov", |out| {
        track.header(out, total);
        track.trak(out, total, |out| {
            out.full(b"stts", 0, 0, |out| write_durations(out, &durations));
            out.full(b"stss", 0, 0, |out| write_key_frames(out, frames));
            out.full(b"stsc", 0, 0, |out| out.u32s(&[1, 1, count, 1]));
            out.full(b"stsz", 0, 0, |out| {
                out.u32s(&[0, count]);
                for frame in frames {
                    out.length(frame.data.len());
                }
            });
            out.full(b"stco", 0, 0, |out| {
                out.u32(1);
                offset_at = out.len();
                out.u32(0);
            });
        });
    });
    out.patch(offset_at, out.len() + 8);
    out.plain(b"mdat", |out| {
        frames.iter().for_each(|frame| out.bytes(&frame.data))
    });
    out.finish()
}

/// How long each frame is shown: until the next one; the last one as long as the one before it.
#[must_use]
pub fn durations(frames: &[EncodedFrame]) -> Vec<u32> {
    let mut durations: Vec<u32> = frames.windows(2).map(|two| gap(&two[0], &two[1])).collect();
    if !frames.is_empty() {
        durations.push(durations.last().copied().unwrap_or(USUAL_DURATION));
    }
    durations
}

/// Ticks from one frame to the next by the camera's time; by ours where the camera's stands, goes back or jumps;
/// [`USUAL_DURATION`] where that tells nothing either. At least 1, at most [`MAX_DURATION`].
#[must_use]
pub fn gap(frame: &EncodedFrame, next: &EncodedFrame) -> u32 {
    let sensible = |ticks: i64| {
        u32::try_from(ticks)
            .ok()
            .filter(|ticks| (1..=MAX_DURATION).contains(ticks))
    };
    let by_camera = next.time_90k.saturating_sub(frame.time_90k);
    let by_us = next.at.ms_since(frame.at).saturating_mul(90);
    sensible(by_camera)
        .or_else(|| sensible(by_us))
        .unwrap_or(USUAL_DURATION)
}

/// Durations, each run of equal ones once.
fn write_durations(out: &mut Boxes, durations: &[u32]) {
    let runs = durations.chunk_by(|a, b| a == b);
    out.length(runs.clone().count());
    for run in runs {
        out.length(run.len());
        out.u32(run[0]);
    }
}

fn write_key_frames(out: &mut Boxes, frames: &[EncodedFrame]) {
    let keys = (1u32..).zip(frames).filter(|(_, frame)| frame.key);
    out.length(keys.clone().count());
    for (number, _) in keys {
        out.u32(number);
    }
}

/// The one track of every file.
struct Track<'a> {
    sample_entry: &'a [u8],
    width: u16,
    height: u16,
}

/// No turning and no scaling.
const MATRIX: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

impl<'a> Track<'a> {
    fn of(info: &'a StreamInfo) -> Result<Track<'a>, Mp4Error> {
        if info.codec == Codec::Jpeg {
            return Err(Mp4Error::Jpeg);
        }
        let entry = &info.sample_entry[..];
        let told = entry
            .first_chunk()
            .map(|length| u32::from_be_bytes(*length) as usize);
        if told != Some(entry.len()) || entry.len() < 8 {
            return Err(Mp4Error::Description);
        }
        let side = |pixels: u32| u16::try_from(pixels).ok().ok_or(Mp4Error::Description);
        Ok(Track {
            sample_entry: entry,
            width: side(info.width)?,
            height: side(info.height)?,
        })
    }

    fn header(&self, out: &mut Boxes, duration: u64) {
        out.full(b"mvhd", 1, 0, |out| {
            out.u64(0);
            out.u64(0);
            out.u32(TIMESCALE);
            out.u64(duration);
            // Usual speed and loudness.
            out.u32s(&[0x1_0000, 0x0100_0000, 0, 0]);
            out.u32s(&MATRIX);
            out.u32s(&[0; 6]);
            out.u32(2);
        });
    }

    fn trak(&self, out: &mut Boxes, duration: u64, samples: impl FnOnce(&mut Boxes)) {
        out.plain(b"trak", |out| {
            // Enabled, and in the movie.
            out.full(b"tkhd", 1, 3, |out| {
                out.u64(0);
                out.u64(0);
                out.u32s(&[1, 0]);
                out.u64(duration);
                out.u32s(&[0; 4]);
                out.u32s(&MATRIX);
                out.u32s(&[u32::from(self.width) << 16, u32::from(self.height) << 16]);
            });
            out.plain(b"mdia", |out| self.media(out, duration, samples));
        });
    }

    fn media(&self, out: &mut Boxes, duration: u64, samples: impl FnOnce(&mut Boxes)) {
        out.full(b"mdhd", 1, 0, |out| {
            out.u64(0);
            out.u64(0);
            out.u32(TIMESCALE);
            out.u64(duration);
            // No language.
            out.u32(0x55c4_0000);
        });
        out.full(b"hdlr", 0, 0, |out| {
            out.bytes(b"\0\0\0\0vide\0\0\0\0\0\0\0\0\0\0\0\0Video\0")
        });
        out.plain(b"minf", |out| {
            out.full(b"vmhd", 0, 1, |out| out.u64(0));
            out.plain(b"dinf", |out| {
                out.full(b"dref", 0, 0, |out| {
                    out.u32(1);
                    out.full(b"url ", 0, 1, |_| {});
                });
            });
            out.plain(b"stbl", |out| {
                out.full(b"stsd", 0, 0, |out| {
                    out.u32(1);
                    out.bytes(self.sample_entry);
                });
                samples(out);
            });
        });
    }
}

#[cfg(test)]
mod tests;
