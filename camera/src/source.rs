//! Where pictures come from. Each source describes its stream and hands out its frames in one bounded channel;
//! [`watch`] connects it, connects it again when it fails, and tears it down when it falls silent.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use domain::{
    Clock,
    camera::{CameraSource, CameraUrl, Credentials, RtpTransport},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::{Backoff, BackoffLimits},
    guard::Guard,
    stream::{EncodedFrame, StreamInfo},
};

pub mod failure;
mod folder;
pub(crate) mod http;
mod mjpeg;
pub mod multipart;
mod outlet;
mod pushed;
mod rtsp;
#[cfg(test)]
pub(crate) mod scripted;
mod snapshot;

pub use failure::CameraFailure;
pub use folder::read_picture;
pub use pushed::PushedCamera;

pub(crate) use outlet::Outlet;

/// The largest encoded picture, in bytes: three times a 4K key frame.
pub const MAX_PICTURE_BYTES: usize = 8 * 1024 * 1024;

/// The largest width or height, in pixels.
pub const MAX_SIDE: u32 = 4096;

/// How many events of a source wait to be taken. When so many wait, the source waits too, and the network holds
/// the camera back.
pub const EVENTS_QUEUED: usize = 64;

/// How long frames must have come until a connection counts as good, so that the next failure is a first one: a
/// camera that serves a frame and drops the line is not connected again at full speed.
const PROVEN: Duration = Duration::from_secs(10);

/// What a source says.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceEvent {
    /// The stream is described; before the first frame, and again when the description changes.
    Info(Arc<StreamInfo>),
    /// A picture.
    Frame(EncodedFrame),
    /// The camera's clock less ours, in milliseconds.
    ClockOffset(i64),
    /// No picture comes; it is connected again.
    Down(CameraFailure),
}

/// One stream of one camera.
#[derive(Debug, Clone)]
pub enum StreamSource {
    /// RTSP.
    Rtsp {
        /// Where.
        url: CameraUrl,
        /// How RTP comes.
        transport: RtpTransport,
    },
    /// JPEGs in one HTTP answer without end.
    Mjpeg {
        /// Where.
        url: CameraUrl,
    },
    /// One JPEG an answer.
    Snapshot {
        /// Where.
        url: CameraUrl,
        /// How often.
        interval: Duration,
    },
    /// What others offer.
    Pushed(PushedCamera),
    /// Files.
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// How long one picture stays.
        interval: Duration,
    },
}

/// The streams of a camera.
#[derive(Debug, Clone)]
pub struct CameraStreams {
    /// The full one: evidence.
    pub main: StreamSource,
    /// The small one: judged and watched live. `None` when the full one serves for that too.
    pub sub: Option<StreamSource>,
}

impl CameraStreams {
    /// The streams of `source`. Pictures that come over MQTT are those offered to `pushed`. Intervals are held
    /// to their bounds.
    #[must_use]
    pub fn of(source: &CameraSource, pushed: &PushedCamera) -> CameraStreams {
        let interval = |ms: u32, least: u32| Duration::from_millis(ms.clamp(least, 60_000).into());
        let main = match source {
            CameraSource::Rtsp { main, sub, transport } => {
                let stream = |url: &CameraUrl| StreamSource::Rtsp {
                    url: url.clone(),
                    transport: *transport,
                };
                return CameraStreams {
                    main: stream(main),
                    sub: sub.as_ref().filter(|sub| *sub != main).map(stream),
                };
            }
            CameraSource::Mjpeg { url } => StreamSource::Mjpeg { url: url.clone() },
            CameraSource::Snapshot { url, interval_ms } => StreamSource::Snapshot {
                url: url.clone(),
                interval: interval(*interval_ms, 200),
            },
            // Nobody publishes for it: it stays without a picture.
            CameraSource::Pushed | CameraSource::External => StreamSource::Pushed(pushed.clone()),
            CameraSource::Folder { path, interval_ms } => StreamSource::Folder {
                path: path.into(),
                interval: interval(*interval_ms, 40),
            },
        };
        CameraStreams { main, sub: None }
    }
}

/// How long a camera may take, and how it is connected again.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Until it has answered and begins to send.
    pub answer: Duration,
    /// Without a picture, until the connection is torn down: a half-open one never ends by itself.
    pub stall: Duration,
    /// Without a picture from a camera that pushes them, which cannot be asked.
    pub pushed_silence: Duration,
    /// The waits between connections.
    pub backoff: BackoffLimits,
}

impl Default for Timing {
    /// 8 s to answer, 10 s without a picture, two minutes for one that pushes.
    fn default() -> Timing {
        Timing {
            answer: Duration::from_secs(8),
            stall: Duration::from_secs(10),
            pushed_silence: Duration::from_secs(120),
            backoff: BackoffLimits::default(),
        }
    }
}

/// What every source needs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// Where connections may go.
    pub guard: Guard,
    /// What time pictures come in.
    pub clock: Clock,
    /// How long a camera may take.
    pub timing: Timing,
}

/// Why a source ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It failed, and may be connected again.
    Failed(CameraFailure),
    /// Nobody takes its events any more.
    Unheard,
}

impl From<CameraFailure> for End {
    fn from(failure: CameraFailure) -> End {
        End::Failed(failure)
    }
}

/// Reads a stream until `stop` is cancelled or nobody takes its events any more; connects it again and again.
pub async fn watch(
    source: StreamSource,
    credentials: Option<Credentials>,
    context: SourceContext,
    events: mpsc::Sender<SourceEvent>,
    stop: CancellationToken,
) {
    let watching = async {
        let mut link = Link::new(source, credentials, context.clone());
        let mut outlet = Outlet::new(events, context.clock.clone());
        let mut backoff = Backoff::new(context.timing.backoff);
        loop {
            let began = tokio::time::Instant::now();
            let failure = match link.read(&mut outlet).await {
                Ok(never) => match never {},
                Err(End::Unheard) => return,
                Err(End::Failed(failure)) => failure,
            };
            if outlet.has_framed() && began.elapsed() >= PROVEN {
                backoff.reset();
            }
            let wait = backoff.next(failure.fault);
            if outlet.down(failure).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.cancelled() => {}
    }
}

/// A source with what outlasts one connection.
pub(crate) struct Link {
    reader: Reader,
    credentials: Option<Credentials>,
    context: SourceContext,
}

enum Reader {
    Rtsp(rtsp::Rtsp),
    Mjpeg(CameraUrl),
    Snapshot(CameraUrl, Duration),
    Pushed(PushedCamera),
    Folder(PathBuf, Duration),
}

impl Link {
    pub(crate) fn new(
        source: StreamSource,
        credentials: Option<Credentials>,
        context: SourceContext,
    ) -> Link {
        let reader = match source {
            StreamSource::Rtsp { url, transport } => Reader::Rtsp(rtsp::Rtsp::new(url, transport)),
            StreamSource::Mjpeg { url } => Reader::Mjpeg(url),
            StreamSource::Snapshot { url, interval } => Reader::Snapshot(url, interval),
            StreamSource::Pushed(pushed) => Reader::Pushed(pushed),
            StreamSource::Folder { path, interval } => Reader::Folder(path, interval),
        };
        Link {
            reader,
            credentials,
            context,
        }
    }

    /// Connects once and reads until that ends.
    pub(crate) async fn read(&mut self, outlet: &mut Outlet) -> Result<Infallible, End> {
        outlet.connect();
        let credentials = self.credentials.as_ref();
        let context = &self.context;
        let end = match &mut self.reader {
            Reader::Rtsp(rtsp) => Box::pin(rtsp.read(credentials, context, outlet)).await,
            Reader::Mjpeg(url) => Box::pin(mjpeg::read(url, credentials, context, outlet)).await,
            Reader::Snapshot(url, interval) => {
                let camera = http::HttpCamera::new(url, credentials, context)?;
                Box::pin(snapshot::read(camera, *interval, outlet)).await
            }
            Reader::Pushed(pushed) => pushed.read(context, outlet).await,
            Reader::Folder(path, interval) => folder::read(path, *interval, outlet).await,
        };
        match end {
            Err(End::Failed(failure)) => Err(failure.without(credentials).into()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
