//! The test of a camera before it is attached: everything that is needed to decide how, or the one reason why not.

use std::{future::pending, sync::Arc, time::Duration};

use domain::{
    Clock,
    camera::{CameraSource, Credentials, Decoding},
    sight::{CameraFault, ProbeReport, SMART_CODEC_GAP_S},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};

use crate::{
    decode::{DecodeOptions, DecodePool},
    guard::Guard,
    jpeg::{self, JpegQuality},
    source::{
        CameraFailure, CameraStreams, EVENTS_QUEUED, End, Link, Outlet, PushedCamera, SourceContext,
        SourceEvent, StreamSource, Timing,
    },
    stream::{Codec, EncodedFrame, Frame, StreamInfo},
};

/// How long a probe takes at most.
pub const MAX_PROBE: Duration = Duration::from_secs(12);

/// What of it is kept for decoding the picture.
const FOR_PICTURE: Duration = Duration::from_millis(2_500);

/// How long a stream is measured at least.
const MEASURED: Duration = Duration::from_secs(2);

/// How long a camera may take to answer, so that time is left to measure it.
const ANSWER: Duration = Duration::from_secs(6);

/// The widest picture of a report, in pixels.
const PICTURE_WIDTH: u32 = 1280;

/// How often it is looked whether the decoder has given up.
const LOOK: Duration = Duration::from_millis(20);

/// What is tested.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// The camera.
    pub source: CameraSource,
    /// Whether its small stream is tested; where it has none, the full one is.
    pub sub: bool,
    /// What to sign in with.
    pub credentials: Option<Credentials>,
}

/// Connects to the camera once, measures what it sends, and decodes a picture. Takes at most [`MAX_PROBE`].
///
/// # Errors
/// [`CameraFailure`]: the one fault that stands in the way.
pub async fn probe(target: ProbeTarget, guard: &Guard, clock: &Clock) -> Result<ProbeReport, CameraFailure> {
    let context = SourceContext {
        guard: guard.clone(),
        clock: clock.clone(),
        timing: Timing {
            answer: ANSWER,
            ..Timing::default()
        },
    };
    probe_within(target, context, MAX_PROBE).await
}

/// As [`probe`], with times of its own.
async fn probe_within(
    target: ProbeTarget,
    context: SourceContext,
    most: Duration,
) -> Result<ProbeReport, CameraFailure> {
    let end = Instant::now() + most;
    if target.source == CameraSource::Pushed {
        let what =
            "a camera that publishes its pictures cannot be asked; attach it and see whether they come";
        return Err(CameraFailure::new(CameraFault::Timeout, what));
    }
    let streams = CameraStreams::of(&target.source, &PushedCamera::new());
    let stream = streams.sub.filter(|_| target.sub).unwrap_or(streams.main);
    let credentials = target.credentials.as_ref();
    let measured = Box::pin(measure(stream, &target, context, end - FOR_PICTURE.min(most / 2))).await;
    let report = match measured {
        Ok(measured) => measured.report(end).await,
        Err(failure) => Err(failure),
    };
    report.map_err(|failure| failure.without(credentials))
}

/// Reads until enough is known or `until`.
async fn measure(
    stream: StreamSource,
    target: &ProbeTarget,
    context: SourceContext,
    until: Instant,
) -> Result<Measured, CameraFailure> {
    let (events, mut taken) = mpsc::channel(EVENTS_QUEUED);
    let mut outlet = Outlet::new(events, context.clock.clone());
    let mut link = Link::new(stream, target.credentials.clone(), context);
    let mut reading = Box::pin(link.read(&mut outlet));
    let mut measured = Measured::default();
    loop {
        tokio::select! {
            // What was read before the end counts.
            biased;
            Some(event) = taken.recv() => {
                measured.take(event);
                if measured.is_enough() {
                    return Ok(measured);
                }
            }
            ended = &mut reading => match ended {
                Ok(never) => match never {},
                Err(End::Failed(failure)) => return Err(failure),
                Err(End::Unheard) => pending().await,
            },
            () = sleep_until(until) => return measured.or_why_not(),
        }
    }
}

/// What has been seen of a stream.
#[derive(Default)]
struct Measured {
    info: Option<Arc<StreamInfo>>,
    /// When the first and the last frame came.
    span: Option<(Instant, Instant)>,
    /// Frames and bytes after the first frame.
    frames: u32,
    bytes: u64,
    /// The first key frame.
    key: Option<(Arc<StreamInfo>, EncodedFrame)>,
    last_key: Option<Instant>,
    longest_gap: Option<Duration>,
    clock_offset_ms: Option<i64>,
}

impl Measured {
    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Info(info) => self.info = Some(info),
            SourceEvent::ClockOffset(offset_ms) => self.clock_offset_ms = Some(offset_ms),
            SourceEvent::Frame(frame) => self.frame(frame),
            SourceEvent::Down(_) => {}
        }
    }

    fn frame(&mut self, frame: EncodedFrame) {
        let now = Instant::now();
        match &mut self.span {
            None => self.span = Some((now, now)),
            Some((_, last)) => {
                *last = now;
                self.frames += 1;
                self.bytes += frame.data.len() as u64;
            }
        }
        if !frame.key {
            return;
        }
        if let Some(before) = self.last_key.replace(now) {
            self.longest_gap = self.longest_gap.max(Some(now - before));
        }
        if let (None, Some(info)) = (&self.key, &self.info) {
            self.key = Some((Arc::clone(info), frame));
        }
    }

    fn is_jpeg(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.codec == Codec::Jpeg)
    }

    /// Whether key frames lie too far apart.
    fn is_smart(&self) -> bool {
        let far = |gap: Duration| gap.as_secs_f32() > SMART_CODEC_GAP_S;
        let waiting = self.last_key.zip(self.span).map(|(key, (_, last))| last - key);
        !self.is_jpeg() && (self.longest_gap.is_some_and(far) || waiting.is_some_and(far))
    }

    fn is_enough(&self) -> bool {
        let long = self.span.is_some_and(|(first, last)| last - first >= MEASURED);
        long && (self.is_jpeg() || self.longest_gap.is_some() || self.is_smart())
    }

    /// What there is when time is over, if it will do.
    fn or_why_not(self) -> Result<Measured, CameraFailure> {
        if self.key.is_some() {
            return Ok(self);
        }
        Err(if self.frames > 0 {
            CameraFailure::new(
                CameraFault::SmartCodec,
                "pictures come, but no key frame for several seconds",
            )
        } else {
            CameraFailure::new(CameraFault::Timeout, "no picture came in time")
        })
    }

    async fn report(self, end: Instant) -> Result<ProbeReport, CameraFailure> {
        let seconds = self
            .span
            .map_or(0.0, |(first, last)| (last - first).as_secs_f32());
        let rate = |amount: f32| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let warnings = if self.is_smart() {
            vec![CameraFault::SmartCodec]
        } else {
            Vec::new()
        };
        let (fps, bitrate_kbps) = (rate(self.frames as f32), rate(self.bytes as f32 * 8.0 / 1000.0));
        let key_frame_gap_s = self
            .longest_gap
            .filter(|_| !self.is_jpeg())
            .map(|gap| gap.as_secs_f32());
        let Some((info, key)) = self.key else {
            return Err(CameraFailure::new(CameraFault::SmartCodec, "no key frame came"));
        };
        let picture = picture(&info, &key, end).await?;
        Ok(ProbeReport {
            codec: info.mime_codec.clone(),
            width: info.width,
            height: info.height,
            fps,
            bitrate_kbps,
            key_frame_gap_s,
            clock_offset_ms: self.clock_offset_ms,
            picture,
            warnings,
        })
    }
}

/// The picture as a JPEG.
async fn picture(info: &Arc<StreamInfo>, key: &EncodedFrame, end: Instant) -> Result<Vec<u8>, CameraFailure> {
    let options = DecodeOptions {
        threads: 1,
        max_width: PICTURE_WIDTH,
        ..DecodeOptions::default()
    };
    let failed = |e: crate::decode::DecodeError| CameraFailure::new(e.fault(), e.to_string());
    let (decoded, mut taken) = mpsc::channel::<Arc<Frame>>(1);
    // Dropping the pool ends its thread.
    let pool = DecodePool::start(options).map_err(failed)?;
    let decoder = pool.attach(Decoding::KeyFrames, Vec::new(), move |frame| {
        // One picture is enough, and the probe may be over.
        decoded.try_send(frame).ok();
    });
    decoder.push(info, key);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let waiting = async {
        loop {
            tokio::select! {
                biased;
                Some(frame) = taken.recv() => return Ok(frame),
                _ = looks.tick() => {}
            }
            let counts = decoder.counts();
            if let Some(error) = counts.last_error.filter(|_| counts.failed > 0) {
                return Err(failed(error));
            }
        }
    };
    let late = CameraFailure::new(
        CameraFault::BadPicture,
        "the picture could not be decoded in time",
    );
    let frame = timeout_at(end, waiting).await.or(Err(late.clone()))??;
    let encoding = move || jpeg::encode(&frame, JpegQuality::default()).to_vec();
    tokio::task::spawn_blocking(encoding).await.or(Err(late))
}

#[cfg(test)]
mod tests;
