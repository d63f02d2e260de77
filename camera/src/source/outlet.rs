//! What leaves a source: described, within bounds, in one timeline across connections.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Clock, UtcMillis, sight::CameraFault};
use tokio::sync::mpsc;

use super::{CameraFailure, End, MAX_PICTURE_BYTES, MAX_SIDE, SourceEvent};
use crate::{
    decode::PictureLimits,
    jpeg,
    stream::{Codec, EncodedFrame, StreamInfo},
};

/// 90,000ths of a second in a millisecond.
const TICKS_PER_MS: i64 = 90;

/// The way out of a source.
pub(crate) struct Outlet {
    events: mpsc::Sender<SourceEvent>,
    clock: Clock,
    info: Option<Arc<StreamInfo>>,
    /// Whether the stream has been described since it was last connected.
    described: bool,
    timeline: Timeline,
}

impl Outlet {
    pub(crate) fn new(events: mpsc::Sender<SourceEvent>, clock: Clock) -> Outlet {
        Outlet {
            events,
            clock,
            info: None,
            described: false,
            timeline: Timeline::default(),
        }
    }

    /// A connection begins: it is described anew, and its time follows on that of the one before.
    pub(crate) fn connect(&mut self) {
        self.described = false;
        self.timeline.shift = None;
    }

    /// Whether a frame has come on this connection.
    pub(crate) fn has_framed(&self) -> bool {
        self.timeline.shift.is_some()
    }

    /// What time it is.
    pub(crate) fn now(&self) -> UtcMillis {
        self.clock.now()
    }

    /// Describes the stream, unless it is described so already.
    pub(crate) async fn info(&mut self, info: StreamInfo) -> Result<(), End> {
        check_size(info.width, info.height)?;
        let known = self.info.take().filter(|known| **known == info);
        if self.described && known.is_some() {
            self.info = known;
            return Ok(());
        }
        let info = known.unwrap_or_else(|| Arc::new(info));
        self.info = Some(Arc::clone(&info));
        self.described = true;
        self.send(SourceEvent::Info(info)).await
    }

    /// Hands out a frame whose `time_90k` counts from the beginning of its connection.
    pub(crate) async fn frame(&mut self, mut frame: EncodedFrame) -> Result<(), End> {
        if frame.data.len() > MAX_PICTURE_BYTES {
            return Err(too_large(format!("a picture has {} bytes", frame.data.len())).into());
        }
        frame.time_90k = self.timeline.place(frame.time_90k, frame.at);
        self.send(SourceEvent::Frame(frame)).await
    }

    /// Hands out a JPEG file, after describing it where it differs from the one before.
    pub(crate) async fn jpeg(&mut self, data: Bytes) -> Result<(), End> {
        let (width, height) = size_of_jpeg(&data)?;
        self.info(StreamInfo {
            codec: Codec::Jpeg,
            mime_codec: "jpeg".into(),
            width,
            height,
            extra_data: Bytes::new(),
            sample_entry: Bytes::new(),
        })
        .await?;
        let at = self.now();
        self.frame(EncodedFrame {
            at,
            time_90k: at.0.saturating_mul(TICKS_PER_MS),
            key: true,
            data,
            lost: 0,
        })
        .await
    }

    /// Tells the camera's clock less ours.
    pub(crate) async fn clock_offset(&self, offset_ms: i64) -> Result<(), End> {
        self.send(SourceEvent::ClockOffset(offset_ms)).await
    }

    /// Tells that no picture comes.
    pub(crate) async fn down(&self, failure: CameraFailure) -> Result<(), End> {
        self.send(SourceEvent::Down(failure)).await
    }

    async fn send(&self, event: SourceEvent) -> Result<(), End> {
        self.events.send(event).await.or(Err(End::Unheard))
    }
}

/// One growing time across connections, each of which begins to count anew.
#[derive(Debug, Default)]
struct Timeline {
    /// What is added to the times of this connection; `None` before its first frame.
    shift: Option<i64>,
    /// The last time handed out, and when that was.
    last: Option<(i64, UtcMillis)>,
}

impl Timeline {
    fn place(&mut self, time_90k: i64, at: UtcMillis) -> i64 {
        let shift = *self.shift.get_or_insert_with(|| {
            let begin = self.last.map_or(0, |(last, when)| {
                last.saturating_add(at.ms_since(when).max(0).saturating_mul(TICKS_PER_MS).max(1))
            });
            begin.saturating_sub(time_90k)
        });
        let next = self.last.map_or(0, |(last, _)| last.saturating_add(1));
        let placed = time_90k.saturating_add(shift).max(next);
        self.last = Some((placed, at));
        placed
    }
}

fn check_size(width: u32, height: u32) -> Result<(), CameraFailure> {
    if width.max(height) > MAX_SIDE {
        return Err(too_large(format!("the picture has {width} × {height} pixels")));
    }
    Ok(())
}

pub(crate) fn too_large(what: String) -> CameraFailure {
    CameraFailure::new(CameraFault::TooLarge, what)
}

/// Width and height of a JPEG file, which is within the bounds.
pub(crate) fn size_of_jpeg(file: &[u8]) -> Result<(u32, u32), CameraFailure> {
    jpeg::size(file, &PictureLimits::default()).map_err(|e| CameraFailure::new(e.fault(), e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG file of that size.
    fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let picture = image::RgbImage::new(width, height);
        image::codecs::jpeg::JpegEncoder::new(&mut file)
            .encode_image(&picture)
            .unwrap();
        file
    }

    #[test]
    fn time_grows_across_connections_and_follows_the_clock_between() {
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(7_000, UtcMillis(1_000)), 0);
        assert_eq!(timeline.place(10_000, UtcMillis(1_033)), 3_000);
        // A camera whose time stands still, or jumps back.
        assert_eq!(timeline.place(2_000, UtcMillis(1_066)), 3_001);
        timeline.shift = None;
        assert_eq!(timeline.place(500, UtcMillis(3_066)), 3_001 + 2_000 * 90);
        assert_eq!(timeline.place(i64::MAX, UtcMillis(3_100)), i64::MAX);
    }

    #[tokio::test]
    async fn a_stream_is_described_once_a_connection_and_when_it_changes() {
        let (events, mut taken) = mpsc::channel(16);
        let mut outlet = Outlet::new(events, Clock::simulated(UtcMillis(5)));
        outlet.connect();
        outlet.jpeg(jpeg(16, 16).into()).await.unwrap();
        outlet.jpeg(jpeg(16, 16).into()).await.unwrap();
        outlet.connect();
        outlet.jpeg(jpeg(16, 16).into()).await.unwrap();
        outlet.jpeg(jpeg(32, 16).into()).await.unwrap();
        drop(outlet);
        let mut seen = Vec::new();
        let mut infos = Vec::new();
        while let Some(event) = taken.recv().await {
            match event {
                SourceEvent::Info(info) => {
                    seen.push(info.width);
                    infos.push(info);
                }
                SourceEvent::Frame(frame) => seen.push(u32::try_from(frame.time_90k).unwrap()),
                _ => {}
            }
        }
        assert_eq!(seen, [16, 0, 1, 16, 2, 32, 3]);
        assert!(
            Arc::ptr_eq(&infos[0], &infos[1]),
            "the same description is the same object"
        );
    }

    #[tokio::test]
    async fn pictures_beyond_the_bounds_are_refused() {
        let (events, _taken) = mpsc::channel(16);
        let mut outlet = Outlet::new(events, Clock::simulated(UtcMillis(5)));
        let mut wide = jpeg(16, 16);
        let header = wide.windows(2).position(|m| m == [0xff, 0xc0]).unwrap();
        wide[header + 7] = 0x40;
        let heavy = Bytes::from([jpeg(16, 16), vec![0; MAX_PICTURE_BYTES]].concat());
        for file in [wide.into(), heavy] {
            let end = outlet.jpeg(file).await.unwrap_err();
            assert!(matches!(end, End::Failed(failure) if failure.fault == CameraFault::TooLarge));
        }
        let end = outlet.jpeg(Bytes::from_static(b"hello")).await.unwrap_err();
        assert!(matches!(end, End::Failed(failure) if failure.fault == CameraFault::BadPicture));
    }
}
