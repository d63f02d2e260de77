//! The last seconds of a stream as the camera encoded them, so that evidence of what went before can be cut
//! without encoding anything again.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use domain::UtcMillis;

use crate::{
    mp4::{self, Mp4Error},
    nal,
    stream::{Codec, EncodedFrame, StreamInfo},
};

/// How far back frames may seem to go before the clock is taken to have been set.
const CLOCK_SET_MS: i64 = 2_000;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Seconds that can be gone back. What is kept reaches further back by up to one group of pictures, since it
    /// begins at a key frame. Default 15.
    pub seconds: u32,
    /// Bytes, whatever the seconds. Default 16 MiB.
    pub bytes: usize,
}

impl Default for RingLimits {
    fn default() -> Self {
        RingLimits {
            seconds: 15,
            bytes: 16 << 20,
        }
    }
}

/// The last groups of pictures of one stream, oldest first.
///
/// When full, the oldest group goes. A group that is larger than the ring by itself (a camera that hardly ever
/// sends key frames) is let go whole, and keeping begins again at the next key frame.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    groups: VecDeque<Group>,
    bytes: usize,
    /// Groups that were larger than the ring.
    too_large: u64,
}

/// A key frame and what depends on it.
#[derive(Debug)]
struct Group {
    info: Arc<StreamInfo>,
    frames: Vec<EncodedFrame>,
    bytes: usize,
}

impl Group {
    fn begins(&self) -> UtcMillis {
        self.frames[0].at
    }

    fn ends(&self) -> UtcMillis {
        self.frames[self.frames.len() - 1].at
    }
}

impl Ring {
    /// An empty ring.
    #[must_use]
    pub fn new(limits: RingLimits) -> Ring {
        Ring {
            limits,
            groups: VecDeque::new(),
            bytes: 0,
            too_large: 0,
        }
    }

    /// Keeps a frame of the stream that `info` describes. Frames before the first key frame, and after a change
    /// of description until the next one, are not kept. When our clock was set back, everything is let go.
    pub fn push(&mut self, info: &Arc<StreamInfo>, frame: &EncodedFrame) {
        let last = self.groups.back();
        if last.is_some_and(|group| group.ends().ms_since(frame.at) > CLOCK_SET_MS) {
            self.clear();
        }
        if frame.key {
            self.groups.push_back(Group {
                info: info.clone(),
                frames: Vec::with_capacity(self.groups.back().map_or(1, |group| group.frames.len())),
                bytes: 0,
            });
        }
        match self.groups.back_mut() {
            Some(group) if Arc::ptr_eq(&group.info, info) => {
                group.frames.push(frame.clone());
                group.bytes += frame.data.len();
                self.bytes += frame.data.len();
            }
            _ => return,
        }
        self.trim(frame.at);
    }

    fn trim(&mut self, now: UtcMillis) {
        let oldest_needed = now - i64::from(self.limits.seconds) * 1_000;
        while self.groups.len() > 1
            && (self.bytes > self.limits.bytes || self.groups[1].begins() <= oldest_needed)
        {
            let gone = self.groups.pop_front().expect("there are two");
            self.bytes -= gone.bytes;
        }
        if self.bytes > self.limits.bytes {
            self.clear();
            self.too_large += 1;
        }
    }

    fn clear(&mut self) {
        self.groups.clear();
        self.bytes = 0;
    }

    /// Bytes kept now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Groups of pictures that were larger than the whole ring and therefore let go, since the beginning.
    #[must_use]
    pub fn too_large(&self) -> u64 {
        self.too_large
    }

    /// When the first and the last frame that are kept came in.
    #[must_use]
    pub fn span(&self) -> Option<(UtcMillis, UtcMillis)> {
        Some((self.groups.front()?.begins(), self.groups.back()?.ends()))
    }

    /// The frames from the key frame at or before `from` up to and including `until`, oldest first: one clip,
    /// or several when the stream's description changed meanwhile. As much as there is when less is kept; empty
    /// when nothing of that time is.
    #[must_use]
    pub fn clips(&self, from: UtcMillis, until: UtcMillis) -> Vec<Clip> {
        let before = self.groups.iter().rposition(|group| group.begins() <= from);
        let mut clips: Vec<Clip> = Vec::new();
        for group in self.groups.iter().skip(before.unwrap_or(0)) {
            if group.begins() > until {
                continue;
            }
            let frames = group.frames.iter().filter(|frame| frame.at <= until);
            match clips.last_mut() {
                Some(clip) if Arc::ptr_eq(&clip.info, &group.info) => clip.frames.extend(frames.cloned()),
                _ => clips.push(Clip::beginning(&group.info, frames.cloned())),
            }
        }
        clips
    }
}

/// Frames that can be played by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// The stream's description.
    pub info: Arc<StreamInfo>,
    /// The frames; the first one is a key frame.
    pub frames: Vec<EncodedFrame>,
}

impl Clip {
    /// Frames of which the first is a key frame, without those right behind it that need older ones.
    fn beginning(info: &Arc<StreamInfo>, frames: impl Iterator<Item = EncodedFrame>) -> Clip {
        let mut leading = true;
        let frames = frames.enumerate().filter_map(|(index, frame)| {
            leading &= index == 0 || nal::is_leading(info.codec, &frame.data);
            (index == 0 || !leading).then_some(frame)
        });
        Clip {
            info: info.clone(),
            frames: frames.collect(),
        }
    }

    /// The clip as an MP4 file that plays from its beginning without all of it being there. `None` for a stream
    /// of JPEGs, which no common player shows from an MP4 file: keep the pictures themselves.
    ///
    /// # Errors
    /// [`Mp4Error`].
    pub fn mp4(&self) -> Result<Option<Bytes>, Mp4Error> {
        if self.info.codec == Codec::Jpeg {
            return Ok(None);
        }
        mp4::movie(&self.info, &self.frames).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn info(codec: Codec) -> Arc<StreamInfo> {
        Arc::new(StreamInfo {
            codec,
            mime_codec: "avc1.42001e".into(),
            width: 64,
            height: 48,
            extra_data: Bytes::new(),
            sample_entry: Bytes::from_static(b"\0\0\0\x08avc1"),
        })
    }

    fn frame(at: i64, key: bool, bytes: usize) -> EncodedFrame {
        EncodedFrame {
            at: UtcMillis(at),
            time_90k: at * 90,
            key,
            data: Bytes::from(vec![0; bytes]),
            lost: 0,
        }
    }

    /// Ten frames a second, a key frame every second.
    fn filled(limits: RingLimits, frames: i64) -> Ring {
        let (mut ring, info) = (Ring::new(limits), info(Codec::H264));
        for index in 0..frames {
            ring.push(&info, &frame(index * 100, index % 10 == 0, 1_000));
        }
        ring
    }

    fn times(clips: &[Clip]) -> Vec<(i64, i64)> {
        let ends = |clip: &Clip| {
            let (first, last) = (clip.frames.first().unwrap(), clip.frames.last().unwrap());
            (first.at.0, last.at.0)
        };
        clips.iter().map(ends).collect()
    }

    #[test]
    fn seconds_are_kept_from_a_key_frame_on() {
        let limits = RingLimits {
            seconds: 5,
            ..RingLimits::default()
        };
        let ring = filled(limits, 206);
        assert_eq!(ring.span(), Some((UtcMillis(15_000), UtcMillis(20_500))));
        assert_eq!(ring.bytes(), 56_000);
    }

    #[test]
    fn bytes_are_bounded_whatever_the_seconds() {
        let limits = RingLimits {
            seconds: 3_600,
            bytes: 25_000,
        };
        let ring = filled(limits, 206);
        assert_eq!(ring.span(), Some((UtcMillis(19_000), UtcMillis(20_500))));
        assert_eq!(ring.too_large(), 0);
    }

    #[test]
    fn a_group_larger_than_the_ring_is_let_go_until_the_next_key_frame() {
        let limits = RingLimits {
            seconds: 15,
            bytes: 5_000,
        };
        let ring = filled(limits, 23);
        assert_eq!(ring.span(), Some((UtcMillis(2_000), UtcMillis(2_200))));
        assert_eq!((ring.bytes(), ring.too_large()), (3_000, 2));
    }

    #[test]
    fn a_clip_begins_at_the_key_frame_at_or_before_its_beginning() {
        let ring = filled(RingLimits::default(), 100);
        for (from, until, expected) in [
            (3_000, 4_000, vec![(3_000, 4_000)]),
            (3_450, 4_050, vec![(3_000, 4_000)]),
            (2_950, 3_100, vec![(2_000, 3_100)]),
            (-500, 550, vec![(0, 500)]),
            (9_850, 99_000, vec![(9_000, 9_900)]),
            (10_500, 12_000, vec![(9_000, 9_900)]),
            (-900, -100, vec![]),
        ] {
            let clips = ring.clips(UtcMillis(from), UtcMillis(until));
            assert_eq!(times(&clips), expected, "{from} to {until}");
        }
        assert_eq!(
            Ring::new(RingLimits::default()).clips(UtcMillis(0), UtcMillis(9)),
            []
        );
    }

    #[test]
    fn a_change_of_description_parts_the_clip() {
        let mut ring = Ring::new(RingLimits::default());
        let (one, other) = (info(Codec::H264), info(Codec::H264));
        ring.push(&one, &frame(0, true, 10));
        ring.push(&one, &frame(100, false, 10));
        ring.push(&other, &frame(200, false, 10));
        ring.push(&other, &frame(300, true, 10));
        let clips = ring.clips(UtcMillis(0), UtcMillis(1_000));
        assert_eq!(times(&clips), [(0, 100), (300, 300)]);
        assert!(Arc::ptr_eq(&clips[1].info, &other));
    }

    #[test]
    fn a_clock_set_back_empties_the_ring() {
        let mut ring = filled(RingLimits::default(), 100);
        let info = info(Codec::H264);
        ring.push(&info, &frame(5_000, true, 10));
        assert_eq!(ring.span(), Some((UtcMillis(5_000), UtcMillis(5_000))));
    }

    #[test]
    fn frames_that_lead_the_first_key_frame_are_left_out() {
        let (mut ring, info) = (Ring::new(RingLimits::default()), info(Codec::H265));
        let unit = |at: i64, kind: u8| EncodedFrame {
            data: Bytes::from(vec![0, 0, 0, 3, kind << 1, 1, 0x80]),
            ..frame(at, kind == 21, 0)
        };
        for (at, kind) in [(0, 21), (1, 9), (2, 1), (3, 21), (4, 9), (5, 8), (6, 1)] {
            ring.push(&info, &unit(at, kind));
        }
        let at = |clips: Vec<Clip>| clips[0].frames.iter().map(|frame| frame.at.0).collect::<Vec<_>>();
        assert_eq!(at(ring.clips(UtcMillis(0), UtcMillis(9))), [0, 2, 3, 4, 5, 6]);
        assert_eq!(at(ring.clips(UtcMillis(3), UtcMillis(9))), [3, 6]);
    }

    #[test]
    fn jpegs_make_no_movie() {
        let mut ring = Ring::new(RingLimits::default());
        ring.push(&info(Codec::Jpeg), &frame(0, true, 10));
        let clips = ring.clips(UtcMillis(0), UtcMillis(0));
        assert_eq!(clips[0].mp4().unwrap(), None);
        assert_eq!(clips[0].frames.len(), 1);
    }

    proptest! {
        #[test]
        fn no_sequence_of_frames_breaks_a_bound(
            frames in proptest::collection::vec((-3_000i64..3_000, any::<bool>(), 0usize..900, any::<bool>()), 0..200),
            from in -10_000i64..10_000,
        ) {
            let limits = RingLimits { seconds: 2, bytes: 4_000 };
            let (mut ring, infos) = (Ring::new(limits), [info(Codec::H264), info(Codec::H264)]);
            let mut now = 0;
            for (step, key, bytes, which) in frames {
                now += step;
                ring.push(&infos[usize::from(which)], &frame(now, key, bytes));
                prop_assert!(ring.bytes() <= limits.bytes);
                let kept: usize = ring.groups.iter().map(|group| group.bytes).sum();
                prop_assert_eq!(kept, ring.bytes());
            }
            for clip in ring.clips(UtcMillis(from), UtcMillis(from + 1_500)) {
                prop_assert!(clip.frames[0].key);
                prop_assert!(clip.frames.iter().all(|frame| frame.at.0 <= from + 1_500));
            }
        }
    }
}
