//! Pictures on their way: as the camera encoded them, and decoded.

use std::sync::Arc;

use bytes::Bytes;
use domain::{PictureBox, UtcMillis};

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

impl Frame {
    /// The part of the picture inside `area`; `None` when that is less than a pixel.
    #[must_use]
    pub fn cropped(&self, area: &PictureBox) -> Option<Frame> {
        let pixel = |share: f32, side: u32| (share.clamp(0.0, 1.0) * side as f32).round() as u32;
        let (left, right) = (pixel(area.left, self.width), pixel(area.right, self.width));
        let (top, bottom) = (pixel(area.top, self.height), pixel(area.bottom, self.height));
        if right <= left || bottom <= top {
            return None;
        }
        let (row, from, length) = (
            self.width as usize * 3,
            left as usize * 3,
            (right - left) as usize * 3,
        );
        let rows = (top as usize..bottom as usize).map(|y| &self.rgb[y * row + from..][..length]);
        let rgb: Vec<u8> = rows.flatten().copied().collect();
        Some(Frame {
            at: self.at,
            width: right - left,
            height: bottom - top,
            rgb: rgb.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_the_part_it_names() {
        let frame = Frame {
            at: UtcMillis(1),
            width: 4,
            height: 2,
            rgb: (0..24).collect::<Vec<u8>>().into(),
        };
        let right_half = PictureBox::new(0.5, 0.5, 1.0, 1.0).unwrap();
        let crop = frame.cropped(&right_half).unwrap();
        assert_eq!(
            (crop.width, crop.height, &crop.rgb[..]),
            (2, 1, &[18u8, 19, 20, 21, 22, 23][..])
        );
        let sliver = PictureBox::new(0.5, 0.0, 0.51, 1.0).unwrap();
        assert_eq!(frame.cropped(&sliver), None);
    }
}
