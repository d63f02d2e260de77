//! One stream for many who watch it live: made into fragments once, shared by all, and only while somebody
//! watches. A viewer who is too slow goes on at the next key frame.

mod feed;
mod seats;

pub use feed::{LiveFeed, LiveItem};
pub use seats::LiveSeats;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use domain::UtcMillis;
use tokio::sync::broadcast;

use crate::{
    jpeg::{self, JpegQuality},
    mp4::{self, FragmentPlace},
    nal,
    stream::{Codec, EncodedFrame, Frame, StreamInfo},
};
use feed::{Cast, Source};
use seats::Audience;

/// Fragments that a viewer may be behind, about four seconds. One who is further behind goes on at the next key
/// frame.
const MAX_BEHIND: usize = 64;

/// The most frames of the current group that are kept for the next viewer's beginning.
const MAX_GROUP_FRAMES: usize = 1_000;

/// What one camera's live view may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveOptions {
    /// Viewers of one camera at once. Default 10.
    pub per_camera: u32,
    /// Bytes of the current group of pictures that are kept for the next viewer's beginning. In a larger one a
    /// new viewer waits for the next key frame. Default 8 MiB.
    pub group_bytes: usize,
    /// Milliseconds between two JPEGs, at least. Default 500.
    pub picture_every_ms: i64,
    /// The widest JPEG, in pixels. Default 640.
    pub picture_width: u32,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            per_camera: 10,
            group_bytes: 8 << 20,
            picture_every_ms: 500,
            picture_width: 640,
        }
    }
}

/// What a viewer wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveKind {
    /// Video where every browser plays it (H.264), pictures otherwise.
    Best,
    /// Video, also where only some browsers play it (H.265).
    Video,
    /// JPEGs, up to two a second.
    Pictures,
}

/// Why somebody cannot watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LiveRefused {
    /// As many watch this camera as may.
    #[error("{limit} people watch this camera already; try again when one has left")]
    CameraFull {
        /// How many may.
        limit: u32,
    },
    /// As many watch any camera as may.
    #[error("{limit} live views are open already; try again when one has been closed")]
    SiteFull {
        /// How many may.
        limit: u32,
    },
    /// The camera has not sent anything yet.
    #[error("the camera has sent no picture yet; try again when it is online")]
    NoPicture,
    /// The camera's video cannot be shown as such.
    #[error("this camera's video does not play in a browser; ask for pictures")]
    Codec,
    /// The camera is being let go, or may not be watched any more.
    #[error("this camera is not shown any more")]
    Closed,
}

/// What of one stream is shown live. Shared by the task that reads the camera and by those that serve viewers.
#[derive(Debug)]
pub struct LiveHub {
    options: LiveOptions,
    audience: Arc<Audience>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    info: Option<Arc<StreamInfo>>,
    /// What a browser needs first; `None` while nothing is known, and for JPEGs.
    init: Option<Arc<Init>>,
    group: Group,
    /// The last frame that was given a place.
    last: Option<EncodedFrame>,
    next_place: FragmentPlace,
    last_picture: Option<UtcMillis>,
    /// `None` once the hub is closed.
    casts: Option<Casts>,
}

#[derive(Debug)]
struct Casts {
    video: broadcast::Sender<Cast>,
    pictures: broadcast::Sender<Bytes>,
}

/// What a browser needs before the first fragment.
#[derive(Debug)]
struct Init {
    mime: String,
    segment: Bytes,
}

/// The frames since the last key frame.
#[derive(Debug, Default)]
struct Group {
    frames: Vec<Placed>,
    /// Fragments of the first of them: all of them while somebody watches, none otherwise.
    fragments: Vec<Bytes>,
    bytes: usize,
    /// Whether it grew too large to be kept.
    too_large: bool,
}

#[derive(Debug, Clone)]
struct Placed {
    place: FragmentPlace,
    key: bool,
    data: Bytes,
}

impl Placed {
    fn fragment(&self) -> Option<Bytes> {
        mp4::fragment(self.place, self.key, &self.data).ok()
    }
}

impl Group {
    fn begin(&mut self) {
        self.frames.clear();
        self.fragments.clear();
        self.bytes = 0;
        self.too_large = false;
    }

    fn push(&mut self, placed: Placed, most_bytes: usize) {
        self.bytes += placed.data.len();
        self.frames.push(placed);
        if self.bytes > most_bytes || self.frames.len() > MAX_GROUP_FRAMES {
            self.begin();
            self.too_large = true;
        }
    }

    /// Makes the fragments that are missing.
    fn mux(&mut self) {
        for placed in &self.frames[self.fragments.len()..] {
            // A frame beyond 4 GiB is not possible: the limits of every source are far below.
            self.fragments.push(placed.fragment().unwrap_or_default());
        }
    }
}

impl LiveHub {
    /// A hub that nobody watches yet. `seats` are shared by all cameras.
    #[must_use]
    pub fn new(options: LiveOptions, seats: Arc<LiveSeats>) -> LiveHub {
        LiveHub {
            options,
            audience: Arc::new(Audience::new(options.per_camera, seats)),
            state: Mutex::new(State {
                info: None,
                init: None,
                group: Group::default(),
                last: None,
                next_place: FragmentPlace {
                    sequence: 1,
                    time_90k: 0,
                    duration_90k: mp4::USUAL_DURATION,
                },
                last_picture: None,
                casts: Some(Casts {
                    video: broadcast::channel(MAX_BEHIND).0,
                    pictures: broadcast::channel(2).0,
                }),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a frame of the stream that `info` describes. To be called with every frame, watched or not: the
    /// current group is what the next viewer begins with. After a change of description viewers get a new
    /// beginning at the next key frame.
    pub fn push(&self, info: &Arc<StreamInfo>, frame: &EncodedFrame) {
        let mut state = self.lock();
        if !state.info.as_ref().is_some_and(|known| Arc::ptr_eq(known, info)) {
            state.describe(info);
        }
        let begun = frame.key || state.group.too_large || !state.group.frames.is_empty();
        if state.init.is_none() || !begun || nal::is_leading(info.codec, &frame.data) {
            return;
        }
        if frame.key {
            state.group.begin();
        }
        let placed = state.place(frame);
        if self.audience.video() == 0 {
            state.group.fragments.clear();
            state.group.push(placed, self.options.group_bytes);
            return;
        }
        state.group.mux();
        let fragment = placed.fragment();
        if !state.group.too_large {
            state.group.push(placed, self.options.group_bytes);
            let kept = !state.group.too_large;
            state.group.fragments.extend(fragment.clone().filter(|_| kept));
        }
        state.cast(frame.key, fragment);
    }

    /// Shows a decoded picture to those who watch pictures: encodes it (about 7 ms), at most every
    /// [`LiveOptions::picture_every_ms`], and only while somebody does. What shall not be seen must be painted
    /// over before.
    pub fn push_picture(&self, frame: &Frame) {
        if self.audience.pictures() == 0 {
            return;
        }
        let due = {
            let mut state = self.lock();
            let since = state.last_picture.map(|last| frame.at.ms_since(last));
            let due = since.is_none_or(|since| since < 0 || since >= self.options.picture_every_ms);
            if due {
                state.last_picture = Some(frame.at);
            }
            due
        };
        if !due {
            return;
        }
        let jpeg = jpeg::encode(
            &jpeg::scaled(frame, self.options.picture_width),
            JpegQuality::default(),
        );
        if let Some(casts) = &self.lock().casts {
            // The last viewer may have left meanwhile.
            casts.pictures.send(jpeg).ok();
        }
    }

    /// Begins to watch. Whoever watches holds a seat until the feed is dropped.
    ///
    /// # Errors
    /// [`LiveRefused`] says why not.
    pub fn subscribe(&self, kind: LiveKind) -> Result<LiveFeed, LiveRefused> {
        let mut state = self.lock();
        let casts = state.casts.as_ref().ok_or(LiveRefused::Closed)?;
        let codec = state.info.as_ref().map(|info| info.codec);
        let codec = codec.ok_or(LiveRefused::NoPicture)?;
        let wants_video = kind == LiveKind::Video || (kind == LiveKind::Best && codec == Codec::H264);
        if !wants_video {
            let source = Source::Pictures(casts.pictures.subscribe());
            let seat = self.audience.sit(LiveKind::Pictures)?;
            return Ok(LiveFeed::of_pictures(source, seat));
        }
        let init = state.init.clone().ok_or(LiveRefused::Codec)?;
        let source = Source::Video(casts.video.subscribe());
        let seat = self.audience.sit(LiveKind::Video)?;
        state.group.mux();
        Ok(LiveFeed::of_video(
            source,
            seat,
            init,
            state.group.fragments.clone(),
        ))
    }

    /// How many watch now.
    #[must_use]
    pub fn viewers(&self) -> u32 {
        self.audience.all()
    }

    /// Ends all feeds, and refuses new ones.
    pub fn close(&self) {
        self.lock().casts = None;
    }
}

impl State {
    fn describe(&mut self, info: &Arc<StreamInfo>) {
        self.info = Some(info.clone());
        self.init = mp4::init_segment(info).ok().map(|segment| {
            Arc::new(Init {
                mime: format!("video/mp4; codecs=\"{}\"", info.mime_codec),
                segment,
            })
        });
        self.group.begin();
        if let (None, Some(casts)) = (&self.init, &mut self.casts) {
            // Video that became JPEG: whoever watches begins anew, and gets pictures.
            casts.video = broadcast::channel(MAX_BEHIND).0;
        }
    }

    /// Gives the frame its place on a time line without gaps: it is shown for as long as the one before it took.
    fn place(&mut self, frame: &EncodedFrame) -> Placed {
        let duration = self
            .last
            .as_ref()
            .map_or(mp4::USUAL_DURATION, |last| mp4::gap(last, frame));
        let place = FragmentPlace {
            duration_90k: duration,
            ..self.next_place
        };
        self.next_place.sequence = place.sequence.wrapping_add(1);
        self.next_place.time_90k = place.time_90k.saturating_add(u64::from(duration));
        self.last = Some(frame.clone());
        Placed {
            place,
            key: frame.key,
            data: frame.data.clone(),
        }
    }

    fn cast(&self, key: bool, fragment: Option<Bytes>) {
        if let (Some(casts), Some(init), Some(data)) = (&self.casts, &self.init, fragment) {
            let cast = Cast {
                init: init.clone(),
                key,
                data,
            };
            // The last viewer may have left meanwhile.
            casts.video.send(cast).ok();
        }
    }
}

#[cfg(test)]
mod tests;
