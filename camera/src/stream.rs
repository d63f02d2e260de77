//! Pictures on their way: as the camera encoded them, and decoded.

use std::sync::Arc;

use bytes::Bytes;
use domain::UtcMillis;

/// How a stream's pictures are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// H.264 (AVC).
    H264,
    /// H.265 (HEVC).
    H265,
    /// One JPEG per frame.
    Jpeg,
}

/// What must be known before the first frame of a stream can be read. A stream may change it on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The codec.
    pub codec: Codec,
    /// The codec as RFC 6381 names it: `avc1.4d401f`; `jpeg` for JPEG.
    pub mime_codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `avcC` or `hvcC` decoder configuration; empty for JPEG.
    pub extra_data: Bytes,
    /// The MP4 sample entry box (`avc1`, `hvc1`), complete; empty for JPEG.
    pub sample_entry: Bytes,
}

/// One picture as the camera encoded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// When it came in, by our clock: cameras' clocks lie.
    pub at: UtcMillis,
    /// The stream's own time in 90,000ths of a second from some beginning; grows from frame to frame.
    pub time_90k: i64,
    /// Whether it can be decoded alone. H.265 CRA pictures count.
    pub key: bool,
    /// H.264 and H.265: NAL units, each after its length in four bytes. JPEG: the file.
    pub data: Bytes,
    /// Packets lost just before it.
    pub lost: u32,
}

/// A decoded picture, RGB, eight bits each, rows without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it came in, by our clock.
    pub at: UtcMillis,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width × height × 3` bytes.
    pub rgb: Arc<[u8]>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}x{} at {})", self.width, self.height, self.at)
    }
}
