//! What is known of a camera's connection and picture, and what a probe of one says: for pages, command line and
//! series alike.

use serde::{Deserialize, Serialize};

use crate::{camera::CameraUrl, time::UtcMillis};

/// A gap between key frames beyond which a camera is taken to use a smart codec (H.264+, H.265+), which leaves
/// key frames out: key-frame decoding would look too seldom. In seconds.
pub const SMART_CODEC_GAP_S: f32 = 4.0;

/// Why no picture comes, or why it is of no use. Each has one remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CameraFault {
    /// Its address is not one that cameras may have.
    AddressNotAllowed,
    /// Nothing answers at its address.
    Unreachable,
    /// User name or password is wrong, or missing.
    Auth,
    /// It answers, but not as a camera does.
    Protocol,
    /// There is no video in what it offers.
    NoVideo,
    /// Its video is of a kind that cannot be read.
    Codec,
    /// Its key frames lie too far apart.
    SmartCodec,
    /// It stopped sending, or answers too slowly.
    Timeout,
    /// Its pictures are larger than allowed.
    TooLarge,
    /// A picture could not be decoded.
    BadPicture,
    /// The folder or file is not there, or holds no picture.
    NoFile,
}

impl CameraFault {
    /// Every fault.
    pub const ALL: [CameraFault; 11] = [
        CameraFault::AddressNotAllowed,
        CameraFault::Unreachable,
        CameraFault::Auth,
        CameraFault::Protocol,
        CameraFault::NoVideo,
        CameraFault::Codec,
        CameraFault::SmartCodec,
        CameraFault::Timeout,
        CameraFault::TooLarge,
        CameraFault::BadPicture,
        CameraFault::NoFile,
    ];

    /// The name in the API and in counters.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            CameraFault::AddressNotAllowed => "address_not_allowed",
            CameraFault::Unreachable => "unreachable",
            CameraFault::Auth => "auth",
            CameraFault::Protocol => "protocol",
            CameraFault::NoVideo => "no_video",
            CameraFault::Codec => "codec",
            CameraFault::SmartCodec => "smart_codec",
            CameraFault::Timeout => "timeout",
            CameraFault::TooLarge => "too_large",
            CameraFault::BadPicture => "bad_picture",
            CameraFault::NoFile => "no_file",
        }
    }

    /// Cause and remedy for people, in Chinese and English.
    #[must_use]
    pub const fn advice(self) -> (&'static str, &'static str) {
        match self {
            CameraFault::AddressNotAllowed => (
                "该地址不在允许的摄像头网段内。请核对地址，或让运维把网段加入 [cameras] allowed_networks。",
                "This address is not in a network that cameras may have. Check it, or have the operator add the network to [cameras] allowed_networks.",
            ),
            CameraFault::Unreachable => (
                "连不上。请检查摄像头电源、网线、IP 地址和端口，以及中间的防火墙。",
                "It cannot be reached. Check the camera's power, cable, address and port, and any firewall between.",
            ),
            CameraFault::Auth => (
                "用户名或密码不对，或没有填写。请在摄像头上核对账号；多次输错可能被锁定，请稍后再试。",
                "The user name or password is wrong or missing. Check the account on the camera; after several wrong tries it may be locked for a while.",
            ),
            CameraFault::Protocol => (
                "有应答，但不是摄像头的应答。请核对端口和路径。",
                "Something answers, but not as a camera does. Check the port and the path.",
            ),
            CameraFault::NoVideo => (
                "应答里没有视频。请核对通道号和码流路径。",
                "There is no video in what it offers. Check the channel and the stream's path.",
            ),
            CameraFault::Codec => (
                "视频编码无法读取。请在摄像头上改为 H.264 或 H.265，或把解码方式设为 ffmpeg。",
                "Its video cannot be read. Set the camera to H.264 or H.265, or set decoding to ffmpeg.",
            ),
            CameraFault::SmartCodec => (
                "关键帧间隔超过 4 秒，多半开启了智能编码（H.264+/H.265+）。请在摄像头上关闭智能编码，或把关键帧间隔设为 1 到 2 秒。",
                "Its key frames are more than 4 s apart: a smart codec (H.264+/H.265+) is probably on. Turn it off, or set the key-frame interval to 1 to 2 s.",
            ),
            CameraFault::Timeout => (
                "摄像头停止发送或应答太慢。请检查网络带宽和同时观看的人数。",
                "It stopped sending, or answers too slowly. Check the network's bandwidth and how many others are watching.",
            ),
            CameraFault::TooLarge => (
                "画面或数据超过上限。请在摄像头上降低子码流分辨率。",
                "Its pictures are larger than allowed. Lower the sub stream's resolution on the camera.",
            ),
            CameraFault::BadPicture => (
                "画面数据损坏，无法解码。请检查网络丢包，或把传输方式改为 TCP。",
                "A picture is damaged and cannot be decoded. Check the network for loss, or set the transport to TCP.",
            ),
            CameraFault::NoFile => (
                "文件夹不存在，或里面没有 JPEG、PNG 图片。",
                "The folder does not exist, or holds no JPEG or PNG picture.",
            ),
        }
    }
}

/// Whether pictures come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It is being connected for the first time.
    #[default]
    Connecting,
    /// Pictures come.
    Online,
    /// No picture has come for longer than a blip.
    Offline,
}

/// What the picture itself is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureState {
    /// Nothing is wrong.
    #[default]
    Good,
    /// Nearly black.
    Black,
    /// Nearly white.
    White,
    /// The same picture again and again while data flows.
    Frozen,
    /// Out of focus, or the lens is dirty.
    Blurred,
    /// Something covers the lens.
    Covered,
    /// It looks somewhere else than before.
    Moved,
}

impl PictureState {
    /// The name in the API and in observations.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            PictureState::Good => "good",
            PictureState::Black => "black",
            PictureState::White => "white",
            PictureState::Frozen => "frozen",
            PictureState::Blurred => "blurred",
            PictureState::Covered => "covered",
            PictureState::Moved => "moved",
        }
    }
}

/// How a camera fares now.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct CameraHealth {
    /// Whether pictures come.
    pub link: LinkState,
    /// What the picture is like.
    pub picture: PictureState,
    /// Why no picture comes; `None` when one does.
    pub fault: Option<CameraFault>,
    /// The codec, as RFC 6381 names it, or `jpeg`.
    pub codec: String,
    /// Width in pixels; 0 while unknown.
    pub width: u32,
    /// Height in pixels; 0 while unknown.
    pub height: u32,
    /// Frames per second, over the last 10 s.
    pub fps: f32,
    /// Kilobits per second, over the last 10 s.
    pub bitrate_kbps: f32,
    /// When the last frame came in.
    pub last_frame: Option<UtcMillis>,
    /// Seconds between the last two key frames.
    pub key_frame_gap_s: Option<f32>,
    /// Lost packets in per cent, over the last 10 s.
    pub loss_percent: f32,
    /// Connections made again since start.
    pub reconnects: u32,
    /// Frames that nobody had time to decode or judge, since start.
    pub skipped: u64,
    /// Frames that were judged, since the camera was attached: with a look of the detector, or because nothing moved
    /// and none was due.
    pub judged: u64,
    /// Those of them at which the detector looked.
    pub looked: u64,
    /// Live viewers now.
    pub viewers: u32,
}

/// One stream that a camera offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamProfile {
    /// The camera's name for it.
    pub name: String,
    /// Where it is, without credentials.
    pub url: CameraUrl,
    /// The codec, as the camera names it.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second, as configured.
    pub fps: f32,
}

/// What a probe found: everything that is needed to decide how to attach the camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// The codec, as RFC 6381 names it, or `jpeg`.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Measured frames per second.
    pub fps: f32,
    /// Measured kilobits per second.
    pub bitrate_kbps: f32,
    /// Measured seconds between key frames; `None` when fewer than two came.
    pub key_frame_gap_s: Option<f32>,
    /// The camera's clock less ours, in milliseconds; `None` when it tells no time.
    pub clock_offset_ms: Option<i64>,
    /// A picture, as JPEG, at most 1,280 pixels wide.
    #[serde(skip)]
    pub picture: Vec<u8>,
    /// What works but is better changed.
    pub warnings: Vec<CameraFault>,
}
