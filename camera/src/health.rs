//! How a camera's connection fares, from the frames that come. Time is given with every call.

mod rate;

use domain::{
    CameraFault, CameraHealth, UtcMillis,
    sight::{LinkState, PictureState, SMART_CODEC_GAP_S},
};

use crate::stream::{Codec, EncodedFrame, StreamInfo};
use rate::Rate;

/// Gaps in a row that make a smart codec.
const SMART_GAPS: u32 = 3;

/// How long frames flow without a second key frame before a smart codec is taken to be on, in milliseconds.
const SMART_WAIT_MS: i64 = 8_000;

/// When a camera counts as offline and as online again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// Milliseconds without a frame after which it is offline. A shorter gap is a blip, of which nobody hears.
    /// Default 15,000; for pictures that are asked for at long intervals at least three of these.
    pub offline_after_ms: i64,
    /// Milliseconds for which frames must flow before a camera that was offline is online again. Default 3,000.
    pub online_after_ms: i64,
}

impl Default for LinkOptions {
    fn default() -> Self {
        LinkOptions {
            offline_after_ms: 15_000,
            online_after_ms: 3_000,
        }
    }
}

/// Watches one camera's connection.
#[derive(Debug, Clone)]
pub struct LinkWatch {
    options: LinkOptions,
    state: LinkState,
    /// When it was first tried.
    began: UtcMillis,
    last_frame: Option<UtcMillis>,
    /// Since when frames have flowed without a gap that makes it offline.
    flowing_since: Option<UtcMillis>,
    fault: Option<CameraFault>,
    picture: PictureState,
    codec: String,
    size: (u32, u32),
    rate: Rate,
    keys: Keys,
    connected_before: bool,
    reconnects: u32,
}

impl LinkWatch {
    /// Begins to watch a camera that is being connected.
    #[must_use]
    pub fn new(now: UtcMillis, options: LinkOptions) -> LinkWatch {
        LinkWatch {
            options,
            state: LinkState::Connecting,
            began: now,
            last_frame: None,
            flowing_since: None,
            fault: None,
            picture: PictureState::Good,
            codec: String::new(),
            size: (0, 0),
            rate: Rate::default(),
            keys: Keys::default(),
            connected_before: false,
            reconnects: 0,
        }
    }

    /// A connection was made; every one but the first counts as made again.
    pub fn connected(&mut self) {
        self.reconnects = self.reconnects.saturating_add(u32::from(self.connected_before));
        self.connected_before = true;
        self.keys = Keys::default();
    }

    /// A frame came in.
    pub fn frame(&mut self, info: &StreamInfo, frame: &EncodedFrame) {
        let now = frame.at;
        self.advance(now);
        if self.codec != info.mime_codec {
            self.codec.clone_from(&info.mime_codec);
        }
        self.size = (info.width, info.height);
        self.fault = None;
        self.rate.add(now, frame.data.len(), frame.lost);
        if info.codec != Codec::Jpeg {
            self.keys.frame(now, frame.key);
        }
        let broken = self.last_frame.is_none_or(|last| self.is_gap(last, now));
        self.last_frame = Some(now);
        let since = self.flowing_since.filter(|_| !broken).unwrap_or(now);
        self.flowing_since = Some(since);
        let again = now.ms_since(since) >= self.options.online_after_ms;
        if self.state == LinkState::Connecting || (self.state == LinkState::Offline && again) {
            self.state = LinkState::Online;
        }
    }

    /// Something went wrong. Shown until the next frame.
    pub fn fault(&mut self, fault: CameraFault) {
        self.fault = Some(fault);
    }

    /// What the picture is like.
    pub fn picture(&mut self, picture: PictureState) {
        self.picture = picture;
    }

    /// Whether pictures come, as of `now`.
    pub fn state(&mut self, now: UtcMillis) -> LinkState {
        self.advance(now);
        self.state
    }

    fn is_gap(&self, last: UtcMillis, now: UtcMillis) -> bool {
        now.ms_since(last) >= self.options.offline_after_ms
    }

    fn advance(&mut self, now: UtcMillis) {
        if self.is_gap(self.last_frame.unwrap_or(self.began), now) {
            self.state = LinkState::Offline;
        }
    }

    /// How the camera fares as of `now`. `skipped` frames nobody had time for, and `viewers` watch. While it is
    /// online with key frames too far apart, [`CameraFault::SmartCodec`] stands as the fault: its pictures come
    /// too seldom to be of use.
    pub fn health(&mut self, now: UtcMillis, skipped: u64, viewers: u32) -> CameraHealth {
        self.advance(now);
        let smart = self.state == LinkState::Online && self.keys.smart(now);
        let rates = self.rate.at(now);
        CameraHealth {
            link: self.state,
            picture: self.picture,
            fault: self.fault.or(smart.then_some(CameraFault::SmartCodec)),
            codec: self.codec.clone(),
            width: self.size.0,
            height: self.size.1,
            fps: rates.fps,
            bitrate_kbps: rates.kbps,
            last_frame: self.last_frame,
            key_frame_gap_s: self.keys.gap_ms.map(seconds),
            loss_percent: rates.loss_percent,
            reconnects: self.reconnects,
            skipped,
            viewers,
            // Whoever judges the frames fills these in.
            judged: 0,
            looked: 0,
        }
    }
}

fn seconds(ms: i64) -> f32 {
    ms as f32 / 1_000.0
}

/// How far apart key frames are, since the connection was made.
#[derive(Debug, Clone, Default)]
struct Keys {
    last: Option<UtcMillis>,
    gap_ms: Option<i64>,
    long_gaps: u32,
    /// The last frame of any kind.
    newest: Option<UtcMillis>,
}

impl Keys {
    fn frame(&mut self, now: UtcMillis, key: bool) {
        self.newest = Some(now);
        if !key {
            return;
        }
        if let Some(last) = self.last {
            let gap_ms = now.ms_since(last).max(0);
            let long = seconds(gap_ms) > SMART_CODEC_GAP_S;
            self.long_gaps = if long { self.long_gaps.saturating_add(1) } else { 0 };
            self.gap_ms = Some(gap_ms);
        }
        self.last = Some(now);
    }

    /// Three long gaps in a row, or frames for eight seconds without another key frame.
    fn smart(&self, now: UtcMillis) -> bool {
        let flowing = self
            .newest
            .is_some_and(|newest| now.ms_since(newest) < SMART_WAIT_MS);
        let waits = match (self.last, self.newest) {
            (Some(key), Some(newest)) => flowing && newest.ms_since(key) > SMART_WAIT_MS,
            _ => false,
        };
        self.long_gaps >= SMART_GAPS || waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn info(codec: Codec) -> StreamInfo {
        StreamInfo {
            codec,
            mime_codec: "avc1.4d401f".into(),
            width: 1280,
            height: 720,
            extra_data: Bytes::new(),
            sample_entry: Bytes::new(),
        }
    }

    fn frame(at: i64, key: bool) -> EncodedFrame {
        EncodedFrame {
            at: UtcMillis(at),
            time_90k: 0,
            key,
            data: Bytes::from(vec![0; 1_250]),
            lost: 0,
        }
    }

    /// A frame every 100 ms in this span, a key frame every `key_every_ms`.
    fn feed(watch: &mut LinkWatch, from: i64, to: i64, key_every_ms: i64) {
        for at in (from..to).step_by(100) {
            watch.frame(&info(Codec::H264), &frame(at, (at - from) % key_every_ms == 0));
        }
    }

    fn watch() -> LinkWatch {
        LinkWatch::new(UtcMillis(0), LinkOptions::default())
    }

    #[test]
    fn a_blip_is_not_told_and_a_long_silence_is() {
        let mut watch = watch();
        assert_eq!(watch.state(UtcMillis(14_999)), LinkState::Connecting);
        feed(&mut watch, 15_000 - 1, 20_000, 2_000);
        assert_eq!(watch.state(UtcMillis(20_000)), LinkState::Online);
        assert_eq!(watch.state(UtcMillis(34_000)), LinkState::Online);
        feed(&mut watch, 34_000, 34_100, 2_000);
        assert_eq!(watch.state(UtcMillis(48_999)), LinkState::Online);
        assert_eq!(watch.state(UtcMillis(49_000)), LinkState::Offline);
    }

    #[test]
    fn a_camera_that_never_sends_is_offline() {
        assert_eq!(watch().state(UtcMillis(15_000)), LinkState::Offline);
    }

    #[test]
    fn after_a_silence_frames_must_flow_for_a_while() {
        let mut watch = watch();
        feed(&mut watch, 0, 100, 2_000);
        // One frame now and then does not bring it back.
        for at in [20_000, 40_000, 60_000] {
            watch.frame(&info(Codec::H264), &frame(at, true));
            assert_eq!(watch.state(UtcMillis(at)), LinkState::Offline, "{at}");
        }
        feed(&mut watch, 80_000, 83_000, 2_000);
        assert_eq!(watch.state(UtcMillis(82_999)), LinkState::Offline);
        feed(&mut watch, 83_000, 83_100, 2_000);
        assert_eq!(watch.state(UtcMillis(83_000)), LinkState::Online);
    }

    #[test]
    fn a_frame_after_a_silence_that_nobody_asked_about_still_tells_of_it() {
        let mut watch = watch();
        feed(&mut watch, 0, 1_000, 2_000);
        feed(&mut watch, 30_000, 30_100, 2_000);
        assert_eq!(watch.state(UtcMillis(30_000)), LinkState::Offline);
    }

    #[test]
    fn rates_are_those_of_the_last_ten_seconds() {
        let mut watch = watch();
        feed(&mut watch, 0, 30_000, 2_000);
        let health = watch.health(UtcMillis(30_000), 7, 3);
        assert_eq!((health.fps, health.bitrate_kbps), (10.0, 100.0));
        assert_eq!((health.skipped, health.viewers), (7, 3));
        assert_eq!((health.width, health.height), (1280, 720));
        assert_eq!(health.key_frame_gap_s, Some(2.0));
        assert_eq!(health.last_frame, Some(UtcMillis(29_900)));
        assert_eq!(health.loss_percent, 0.0);
        assert_eq!(watch.health(UtcMillis(35_000), 0, 0).fps, 5.0);
        let lossy = EncodedFrame {
            lost: 100,
            ..frame(35_500, false)
        };
        watch.frame(&info(Codec::H264), &lossy);
        let loss = watch.health(UtcMillis(36_000), 0, 0).loss_percent;
        assert!((60.0..80.0).contains(&loss), "{loss}");
    }

    #[test]
    fn faults_are_shown_until_the_next_frame() {
        let mut watch = watch();
        watch.fault(CameraFault::Auth);
        assert_eq!(watch.health(UtcMillis(1), 0, 0).fault, Some(CameraFault::Auth));
        feed(&mut watch, 100, 200, 2_000);
        assert_eq!(watch.health(UtcMillis(200), 0, 0).fault, None);
    }

    #[test]
    fn reconnects_are_connections_after_the_first() {
        let mut watch = watch();
        for _ in 0..3 {
            watch.connected();
        }
        assert_eq!(watch.health(UtcMillis(0), 0, 0).reconnects, 2);
    }

    #[test]
    fn a_smart_codec_is_known_by_its_key_frames() {
        for (key_every_ms, until, smart) in [
            (2_000, 60_000, false),
            (4_000, 60_000, false),
            (5_000, 15_000, false),
            (5_000, 15_100, true),
            (60_000, 8_000, false),
            (60_000, 8_200, true),
        ] {
            let mut watch = watch();
            feed(&mut watch, 0, until, key_every_ms);
            let fault = watch.health(UtcMillis(until), 0, 0).fault;
            assert_eq!(
                fault == Some(CameraFault::SmartCodec),
                smart,
                "{key_every_ms} {until}"
            );
        }
        let mut jpegs = watch();
        for at in [0, 9_000, 18_000, 27_000] {
            jpegs.frame(&info(Codec::Jpeg), &frame(at, true));
        }
        assert_eq!(jpegs.health(UtcMillis(27_000), 0, 0).fault, None);
    }

    #[test]
    fn a_camera_that_stopped_is_no_smart_codec() {
        let mut watch = watch();
        feed(&mut watch, 0, 2_000, 60_000);
        assert_eq!(watch.health(UtcMillis(14_000), 0, 0).fault, None);
    }

    proptest! {
        #[test]
        fn no_order_of_times_breaks_the_numbers(
            steps in proptest::collection::vec((-20_000i64..20_000, any::<bool>(), 0u32..50), 0..120)
        ) {
            let (mut watch, mut now) = (watch(), 0);
            for (step, key, lost) in steps {
                now += step;
                watch.frame(&info(Codec::H264), &EncodedFrame { lost, ..frame(now, key) });
                let health = watch.health(UtcMillis(now), 0, 0);
                prop_assert!(health.fps.is_finite() && health.fps >= 0.0);
                prop_assert!((0.0..=100.0).contains(&health.loss_percent));
                prop_assert!(health.key_frame_gap_s.is_none_or(|gap| gap >= 0.0));
            }
        }
    }
}
