//! Pictures that people take of a case: what they may be, and what is taken off them before they are kept.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The largest picture that is kept, in bytes.
pub const MAX_PICTURE_BYTES: usize = 8 << 20;

/// The longest edge, in pixels.
pub const MAX_PICTURE_EDGE: u32 = 16_384;

/// The SHA-256 of a picture's bytes: names it by its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PictureId(pub [u8; 32]);

impl PictureId {
    /// The name of these bytes.
    #[must_use]
    pub fn of(jpeg: &[u8]) -> PictureId {
        PictureId(Sha256::digest(jpeg).into())
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<PictureId> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(PictureId(bytes))
    }
}

impl fmt::Display for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PictureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why bytes are no picture that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// There are too many.
    #[error("the picture has more than {} MiB; take it with a lower resolution", MAX_PICTURE_BYTES >> 20)]
    TooLarge,
    /// They are no JPEG.
    #[error("this is no JPEG picture; take a photo, or save it as JPEG")]
    NotJpeg,
    /// They end in the middle.
    #[error("the picture is cut off; send it again")]
    CutOff,
    /// An edge is nought or too long.
    #[error("the picture's edges must be 1 to {MAX_PICTURE_EDGE} pixels")]
    Size,
}

/// A JPEG that may be kept and shown: checked from its first to its last marker, without what the camera wrote beside
/// the picture (place, device, owner, thumbnail, comments), but for which way up it is.
///
/// # Errors
/// [`PictureError`]. Nothing of the bytes is in it.
pub fn clean(bytes: &[u8]) -> Result<Vec<u8>, PictureError> {
    if bytes.len() > MAX_PICTURE_BYTES {
        return Err(PictureError::TooLarge);
    }
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8]).ok_or(PictureError::NotJpeg)?;
    let mut kept = vec![0xff, 0xd8];
    let mut sized = false;
    loop {
        let (marker, after) = marker(rest)?;
        // Segments that stand alone or end the picture have no place before the first scan.
        if matches!(marker, 0x01 | 0xd0..=0xd9) {
            return Err(PictureError::NotJpeg);
        }
        let (segment, after) = segment(after)?;
        match marker {
            // APP1 may say which way up; that alone is written anew.
            0xe1 => kept.extend(orientation(segment).map(upright).into_iter().flatten()),
            // APP0 (JFIF), APP2 (colour profile) and APP14 (colour transform) say how to show it.
            0xe3..=0xed | 0xef | 0xfe => {}
            _ => {
                if is_frame(marker) {
                    sized = frame_size(segment)?;
                }
                kept.extend([0xff, marker]);
                kept.extend_from_slice(
                    &rest[rest.len() - after.len() - segment.len() - 2..rest.len() - after.len()],
                );
            }
        }
        rest = after;
        if marker == 0xda {
            break;
        }
    }
    if !sized {
        return Err(PictureError::Size);
    }
    // Whatever stands behind the end marker is no part of the picture.
    let end = end_of_scans(rest).ok_or(PictureError::CutOff)?;
    kept.extend_from_slice(&rest[..end]);
    Ok(kept)
}

/// The next marker, and what follows it.
fn marker(bytes: &[u8]) -> Result<(u8, &[u8]), PictureError> {
    let [0xff, rest @ ..] = bytes else {
        return Err(if bytes.is_empty() {
            PictureError::CutOff
        } else {
            PictureError::NotJpeg
        });
    };
    let fill = rest.iter().take_while(|b| **b == 0xff).count();
    match rest.get(fill) {
        None => Err(PictureError::CutOff),
        Some(0) => Err(PictureError::NotJpeg),
        Some(marker) => Ok((*marker, &rest[fill + 1..])),
    }
}

/// A segment without its two bytes of length, and what follows it.
fn segment(bytes: &[u8]) -> Result<(&[u8], &[u8]), PictureError> {
    let [high, low, rest @ ..] = bytes else {
        return Err(PictureError::CutOff);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let inside = length.checked_sub(2).ok_or(PictureError::NotJpeg)?;
    rest.split_at_checked(inside).ok_or(PictureError::CutOff)
}

/// SOF markers: all of C0 to CF but DHT, JPG and DAC.
const fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn frame_size(segment: &[u8]) -> Result<bool, PictureError> {
    let [_precision, h1, h0, w1, w0, ..] = segment else {
        return Err(PictureError::CutOff);
    };
    let edges = [u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0])];
    let fits = edges
        .iter()
        .all(|edge| (1..=MAX_PICTURE_EDGE).contains(&u32::from(*edge)));
    if fits { Ok(true) } else { Err(PictureError::Size) }
}

/// Where the picture ends: behind its end marker, over any number of scans.
fn end_of_scans(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xd9])
        .map(|at| at + 2)
}

/// The orientation, 2 to 8, that an EXIF segment names; `None` when it names none or the upright one.
fn orientation(segment: &[u8]) -> Option<u8> {
    const ORIENTATION: u16 = 0x0112;
    let tiff = segment.strip_prefix(b"Exif\0\0")?;
    let big = match tiff.get(..4)? {
        b"MM\0*" => true,
        b"II*\0" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let pair: [u8; 2] = tiff.get(at..at + 2)?.try_into().ok()?;
        Some(if big {
            u16::from_be_bytes(pair)
        } else {
            u16::from_le_bytes(pair)
        })
    };
    let four: [u8; 4] = tiff.get(4..8)?.try_into().ok()?;
    let first = if big {
        u32::from_be_bytes(four)
    } else {
        u32::from_le_bytes(four)
    };
    let first = usize::try_from(first).ok().filter(|at| *at < tiff.len())?;
    let entries = usize::from(u16_at(first)?);
    (0..entries.min(64))
        .map(|n| first + 2 + n * 12)
        .find(|at| u16_at(*at) == Some(ORIENTATION))
        .and_then(|at| u16_at(at + 8))
        .and_then(|value| u8::try_from(value).ok())
        .filter(|value| (2..=8).contains(value))
}

/// An EXIF segment that says nothing but which way up.
fn upright(orientation: u8) -> Vec<u8> {
    let mut segment = vec![0xff, 0xe1, 0, 34];
    segment.extend_from_slice(b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
    segment.extend_from_slice(&[orientation, 0, 0, 0, 0, 0, 0]);
    segment
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// The smallest thing that has all the parts of a JPEG.
    fn jpeg(beside: &[u8], (height, width): (u16, u16)) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        bytes.extend_from_slice(beside);
        bytes.extend_from_slice(&[0xff, 0xc0, 0, 11, 8]);
        bytes.extend_from_slice(&height.to_be_bytes());
        bytes.extend_from_slice(&width.to_be_bytes());
        bytes.extend_from_slice(&[1, 1, 0x11, 0]);
        bytes.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
        bytes.extend_from_slice(&[0x12, 0xff, 0, 0x34, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn a_picture_is_kept_without_what_the_camera_wrote_beside_it() {
        let plain = jpeg(&[], (480, 640));
        assert_eq!(clean(&plain).unwrap(), plain);
        let comment = [&[0xff, 0xfe, 0, 8][..], b"secret"].concat();
        let gps = [&[0xff, 0xe1, 0, 16][..], b"Exif\0\0MM\0*GPS!"].concat();
        let maker = [&[0xff, 0xed, 0, 6][..], b"mine"].concat();
        let beside = [comment, gps, maker].concat();
        assert_eq!(clean(&jpeg(&beside, (480, 640))).unwrap(), plain);
        let mut trailing = plain.clone();
        trailing.extend_from_slice(b"<script>");
        assert_eq!(
            clean(&trailing).unwrap(),
            plain,
            "what follows the end is cut off"
        );
    }

    #[test]
    fn which_way_up_it_is_stays() {
        let turned = jpeg(&upright(6), (480, 640));
        assert_eq!(clean(&turned).unwrap(), turned);
        let little = [
            &[0xff, 0xe1, 0, 34][..],
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
        ]
        .concat();
        assert_eq!(clean(&jpeg(&little, (480, 640))).unwrap(), turned);
    }

    #[test]
    fn what_is_no_picture_is_refused_with_the_reason() {
        let good = jpeg(&[], (480, 640));
        let cases: [(&[u8], PictureError); 6] = [
            (b"", PictureError::NotJpeg),
            (b"\x89PNG\r\n\x1a\n", PictureError::NotJpeg),
            (b"GIF89a", PictureError::NotJpeg),
            (&good[..good.len() - 2], PictureError::CutOff),
            (&good[..12], PictureError::CutOff),
            (&jpeg(&[], (0, 640)), PictureError::Size),
        ];
        for (bytes, want) in cases {
            assert_eq!(clean(bytes), Err(want), "{bytes:?}");
        }
        assert_eq!(clean(&jpeg(&[], (480, 16_385))), Err(PictureError::Size));
        assert_eq!(
            clean(&vec![0xff; MAX_PICTURE_BYTES + 1]),
            Err(PictureError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_kept_is_kept_again(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut dressed = jpeg(&[], (9, 9));
            dressed.splice(2..2, bytes.iter().copied());
            for input in [bytes, dressed] {
                if let Ok(kept) = clean(&input) {
                    prop_assert!(kept.len() <= input.len() + 36);
                    prop_assert_eq!(clean(&kept), Ok(kept.clone()));
                }
            }
        }

        #[test]
        fn any_single_damage_is_refused_or_stays_a_picture(at in 0_usize..40, to in any::<u8>()) {
            let mut bytes = jpeg(&upright(3), (48, 64));
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(kept) = clean(&bytes) {
                prop_assert_eq!(PictureId::parse(&PictureId::of(&kept).to_string()), Some(PictureId::of(&kept)));
            }
        }
    }
}
