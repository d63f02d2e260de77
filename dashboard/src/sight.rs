//! What the pages ask of cameras at work, as functions that the composition root hands in: this crate knows
//! neither a camera's protocol nor a model. What is written down about cameras it reads from the record store.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use domain::{
    CameraFault, CameraKey, CameraSource, CameraUrl, Check, Credentials, DeviceId, ProbeReport, UtcMillis,
    observation::LabelledBox,
    sight::{CameraHealth, StreamProfile},
};
use futures::{FutureExt as _, future::BoxFuture, stream::BoxStream};

/// An answer that takes a while.
pub type Answer<T> = BoxFuture<'static, T>;

/// Asks something of one camera, at once.
pub type OfCamera<T> = Arc<dyn Fn(&CameraKey) -> T + Send + Sync>;
/// Asks for something that takes a while.
pub type Ask<A, T> = Arc<dyn Fn(A) -> Answer<T> + Send + Sync>;
/// Asks a device for its streams.
pub type AskProfiles = Arc<
    dyn Fn(CameraUrl, Option<Credentials>) -> Answer<Result<Vec<StreamProfile>, ProbeFailure>> + Send + Sync,
>;
/// Has a camera's credentials kept.
pub type KeepCredentials = Arc<dyn Fn(CameraKey, Credentials) -> Answer<Result<(), NotKept>> + Send + Sync>;

/// What the pages ask of cameras at work. Every function is called from the runtime and must not block it; one
/// that takes a while gives a future, which is dropped when the visitor goes away.
#[derive(Clone)]
pub struct Sight {
    /// How a camera fares now; `None` when it is not being watched.
    pub health: OfCamera<Option<CameraHealth>>,
    /// The newest picture; `None` when there is none yet.
    pub still: OfCamera<Option<Still>>,
    /// Opens a camera's pictures for one more viewer. The seat is given back when the feed is dropped.
    pub live: OfCamera<Result<VideoFeed, LiveRefused>>,
    /// Looks at a camera that may not be attached yet. Takes at most 15 s.
    pub probe: Ask<ProbeRequest, Result<ProbeReport, ProbeFailure>>,
    /// Looks for ONVIF cameras in the allowed networks. Takes at most 6 s; at most 256 are found.
    pub discover: Arc<dyn Fn() -> Answer<Vec<Discovered>> + Send + Sync>,
    /// Asks the ONVIF device at this address (`http://host/onvif/device_service`) what streams it offers.
    pub profiles: AskProfiles,
    /// Keeps a camera's credentials, sealed. Nothing ever reads them back to a visitor.
    pub keep_credentials: KeepCredentials,
    /// Says that the cameras on record have changed, so that they are attached, changed or let go.
    pub changed: Arc<dyn Fn() + Send + Sync>,
    /// Fits a teachable check's head to the crops that people have marked.
    pub fit: Ask<TaughtCheck, Result<FitResult, TeachRefused>>,
    /// Takes crops for a teachable check from the newest pictures; answers how many.
    pub capture: Ask<TaughtCheck, Result<usize, TeachRefused>>,
    /// Draws a mark into a copy of what is not blurred, before it leaves. Takes up to some seconds for a clip.
    pub watermark: Ask<ToMark, Result<Bytes, NotMarked>>,
    /// With what pictures are judged.
    pub backend: Arc<dyn Fn() -> VisionBackend + Send + Sync>,
}

impl Sight {
    /// No cameras at work: nothing has a picture, nothing can be probed. For a server that watches no cameras.
    #[must_use]
    pub fn none() -> Sight {
        let no_probe = || ProbeFailure {
            fault: CameraFault::Unreachable,
            detail: String::new(),
        };
        Sight {
            health: Arc::new(|_| None),
            still: Arc::new(|_| None),
            live: Arc::new(|_| Err(LiveRefused::NoPicture)),
            probe: Arc::new(move |_| async move { Err(no_probe()) }.boxed()),
            discover: Arc::new(|| async { Vec::new() }.boxed()),
            profiles: Arc::new(move |_, _| async move { Err(no_probe()) }.boxed()),
            keep_credentials: Arc::new(|_, _| async { Err(NotKept) }.boxed()),
            changed: Arc::new(|| {}),
            fit: Arc::new(|_| async { Err(TeachRefused::NoModel) }.boxed()),
            capture: Arc::new(|_| async { Err(TeachRefused::NoPicture) }.boxed()),
            watermark: Arc::new(|_| async { Err(NotMarked) }.boxed()),
            backend: Arc::new(VisionBackend::default),
        }
    }
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sight(..)")
    }
}

/// A picture that may be shown to anybody in scope: masks applied, faces made unrecognisable.
#[derive(Debug, Clone, PartialEq)]
pub struct Still {
    /// The picture, at most 1,280 pixels wide.
    pub jpeg: Bytes,
    /// When it came in.
    pub at: UtcMillis,
    /// What was seen in it.
    pub boxes: Vec<LabelledBox>,
}

/// A camera's pictures as the camera encoded them, for one viewer.
pub struct VideoFeed {
    /// What the browser must be able to play: `video/mp4; codecs="avc1.4d401f"`, or `image/jpeg`.
    pub mime: String,
    /// The MP4 initialisation segment; empty for JPEG.
    pub init: Bytes,
    /// What has come since the last key frame, beginning with it, so that the first picture is there at once. For
    /// JPEG, the newest picture or nothing.
    pub gop: Vec<Bytes>,
    /// What comes next. It ends when the camera is let go or may no longer be watched.
    pub next: BoxStream<'static, VideoItem>,
}

impl fmt::Debug for VideoFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VideoFeed")
            .field("mime", &self.mime)
            .field("gop", &self.gop.len())
            .finish_non_exhaustive()
    }
}

/// What comes of a camera's pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VideoItem {
    /// The stream changed: what comes from here on needs this initialisation segment.
    Init {
        /// As [`VideoFeed::mime`].
        mime: String,
        /// As [`VideoFeed::init`].
        init: Bytes,
    },
    /// One MP4 fragment.
    Fragment {
        /// Whether it begins with a key frame.
        key: bool,
        /// `moof` and `mdat`.
        data: Bytes,
    },
    /// One picture.
    Jpeg(Bytes),
}

/// Why a camera cannot be watched live now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LiveRefused {
    /// Live viewing is switched off for this camera.
    #[error("this camera may not be watched live")]
    Off,
    /// As many watch as may.
    #[error("as many people watch this camera as may")]
    ViewerLimit,
    /// No picture has come yet.
    #[error("no picture has come from this camera yet")]
    NoPicture,
    /// Its codec cannot be put into a form that browsers play; the stills can be shown instead.
    #[error("browsers cannot play this camera's codec")]
    Codec,
}

impl LiveRefused {
    /// Every reason.
    pub const ALL: [LiveRefused; 4] = [
        LiveRefused::Off,
        LiveRefused::ViewerLimit,
        LiveRefused::NoPicture,
        LiveRefused::Codec,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            LiveRefused::Off => "off",
            LiveRefused::ViewerLimit => "viewer_limit",
            LiveRefused::NoPicture => "no_picture",
            LiveRefused::Codec => "codec",
        }
    }
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct ProbeRequest {
    /// Where the pictures come from.
    pub source: CameraSource,
    /// For RTSP, whether the small stream is looked at instead of the full one.
    pub sub: bool,
    /// With which credentials; `None` for none.
    pub credentials: Option<Credentials>,
    /// An attached camera whose kept credentials are used when none are given.
    pub camera: Option<CameraKey>,
}

/// What a probe ran into. Holds no secret and no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", fault.code())]
pub struct ProbeFailure {
    /// The one cause.
    pub fault: CameraFault,
    /// More about it, in English, for somebody who looks deeper; at most 200 characters, may be empty.
    pub detail: String,
}

/// A camera that answered to discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Where it takes ONVIF requests.
    pub address: CameraUrl,
    /// What it calls itself: maker and model; at most 80 characters.
    pub name: String,
    /// Where it says it hangs; at most 80 characters, may be empty.
    pub location: String,
}

/// A copy that is to be marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToMark {
    /// What it is: `image/jpeg` or `video/mp4`; of other types nothing is shown.
    pub media_type: String,
    /// The file.
    pub bytes: Bytes,
    /// What is drawn: who takes the copy, in which role, when, and of which evidence. ASCII.
    pub mark: String,
}

/// The copy could not be marked; the log says why. Without a mark it does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the copy could not be marked, and does not leave without a mark; the cause is in the server's log")]
pub struct NotMarked;

/// The credentials could not be kept; the log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials could not be kept; the cause is in the server's log")]
pub struct NotKept;

/// A check that people teach, of one camera.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaughtCheck {
    /// The camera.
    pub camera: CameraKey,
    /// The check.
    pub check: Check,
    /// The zone; `None` for the whole picture.
    pub zone: Option<DeviceId>,
}

/// How well a taught head tells the two apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FitResult {
    /// Area under the curve when each example is judged by a head fitted to the others, 0 to 1.
    pub auc: f32,
    /// Examples that show it.
    pub positives: usize,
    /// Examples that do not.
    pub negatives: usize,
    /// Whether that is good enough to alert.
    pub may_alert: bool,
    /// The probability from which it counts, 0 to 1.
    pub threshold: f32,
}

/// Why a check cannot be taught now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TeachRefused {
    /// Too few crops are marked on one side.
    #[error("there are too few examples")]
    TooFew {
        /// How many each side needs.
        least: usize,
    },
    /// No model of the kind that is needed is installed.
    #[error("no embedding model is installed")]
    NoModel,
    /// No picture has come, or nothing in it can be cut out.
    #[error("there is no picture with anything to cut out")]
    NoPicture,
    /// Others are being fitted, or the models are busy.
    #[error("the models are busy; try again in a moment")]
    Busy,
    /// Something of ours broke; the log says what.
    #[error("it failed; the cause is in the server's log")]
    Failed,
}

/// With what pictures are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VisionBackend {
    /// `ONNX Runtime 1.31`, `tract 0.23`; empty when pictures are not judged.
    pub name: String,
    /// Whether it is the slow one that stands in while the fast one is not installed.
    pub slow: bool,
    /// The models at work.
    pub models: Vec<ModelAtWork>,
    /// Times that a model's worker had to be started anew.
    pub restarts: u64,
}

/// A model at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAtWork {
    /// Its name in the catalogue.
    pub name: String,
    /// What it does, in the model card's word: `nanodet`, `classifier`.
    pub kind: String,
    /// The SHA-256 of its file, in hexadecimal.
    pub sha256: String,
    /// Under which licence.
    pub licence: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_name_on_the_wire() {
        let codes: std::collections::BTreeSet<_> = LiveRefused::ALL.map(LiveRefused::code).into();
        assert_eq!(codes.len(), LiveRefused::ALL.len());
    }

    #[test]
    fn nothing_is_at_work_without_cameras() {
        let sight = Sight::none();
        let key = CameraKey {
            facility: domain::FacilityId::new("a").unwrap(),
            camera: DeviceId::new("b").unwrap(),
        };
        assert!((sight.health)(&key).is_none() && (sight.still)(&key).is_none());
        assert_eq!((sight.live)(&key).err(), Some(LiveRefused::NoPicture));
        assert_eq!((sight.backend)(), VisionBackend::default());
    }
}
