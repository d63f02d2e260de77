//! JPEG: single pictures in and out.

use std::panic;

use bytes::Bytes;
use domain::UtcMillis;
use image::{ExtendedColorType, codecs::jpeg::JpegEncoder};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::{JpegDecoder, errors::DecodeErrors};

use crate::{
    decode::{DecodeError, PictureLimits, fitting, resize_rgb},
    stream::{Codec, Frame},
};

/// Passes that a progressive JPEG may have: more are a way to keep a decoder busy with few bytes.
const MAX_SCANS: usize = 64;

/// How much detail a JPEG keeps, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegQuality(u8);

impl JpegQuality {
    /// `percent`, held to 1 to 100.
    #[must_use]
    pub const fn new(percent: u8) -> JpegQuality {
        JpegQuality(match percent {
            0 => 1,
            1..=100 => percent,
            _ => 100,
        })
    }
}

impl Default for JpegQuality {
    /// 75: what cameras use.
    fn default() -> JpegQuality {
        JpegQuality(75)
    }
}

/// The picture as a JPEG. Costs about 7 ms of processor time at 640 by 360 pixels, in proportion to the pixels:
/// scale a large one down first.
///
/// # Panics
/// Never for frames that a decoder made: their pixels are as many as their size says.
#[must_use]
pub fn encode(frame: &Frame, quality: JpegQuality) -> Bytes {
    let mut out = Vec::with_capacity(frame.rgb.len() / 8);
    JpegEncoder::new_with_quality(&mut out, quality.0)
        .encode(&frame.rgb, frame.width, frame.height, ExtendedColorType::Rgb8)
        .expect("a frame's pixels are as many as its size says, and memory takes all of them");
    Bytes::from(out)
}

/// Width and height that the JPEG announces, from its headers alone.
///
/// # Errors
/// [`DecodeError::TooHeavy`], [`DecodeError::TooLarge`], [`DecodeError::Damaged`].
pub fn size(data: &[u8], limits: &PictureLimits) -> Result<(u32, u32), DecodeError> {
    guarded(|| headers(data, limits).map(|(_, size)| size))
}

/// The picture in a JPEG, scaled down when it is wider than `max_width`. `at` is when it came in.
///
/// # Errors
/// [`DecodeError::TooHeavy`] and [`DecodeError::TooLarge`] before anything is decoded,
/// [`DecodeError::Damaged`], [`DecodeError::Unsupported`], [`DecodeError::Panicked`].
pub fn decode(
    data: &[u8],
    at: UtcMillis,
    limits: &PictureLimits,
    max_width: u32,
) -> Result<Frame, DecodeError> {
    let (width, height, rgb) = guarded(|| {
        let (mut decoder, (width, height)) = headers(data, limits)?;
        let rgb = decoder.decode().map_err(|error| explain(&error))?;
        Ok((width, height, rgb))
    })?;
    let fits = fitting((width, height), max_width);
    if rgb.len() != width as usize * height as usize * 3 {
        return Err(DecodeError::Damaged(Codec::Jpeg));
    }
    let (rgb, (width, height)) = if width > max_width {
        let small = resize_rgb(&rgb, (width, height), fits);
        (small.ok_or(DecodeError::Damaged(Codec::Jpeg))?, fits)
    } else {
        (rgb, (width, height))
    };
    Ok(Frame {
        at,
        width,
        height,
        rgb: rgb.into(),
    })
}

/// The picture, scaled down when it is wider than `max_width`.
#[must_use]
pub fn scaled(frame: &Frame, max_width: u32) -> Frame {
    if frame.width <= max_width {
        return frame.clone();
    }
    let fits = fitting((frame.width, frame.height), max_width);
    match resize_rgb(&frame.rgb, (frame.width, frame.height), fits) {
        Some(rgb) => Frame {
            at: frame.at,
            width: fits.0,
            height: fits.1,
            rgb: rgb.into(),
        },
        None => frame.clone(),
    }
}

type Headers<'a> = (JpegDecoder<ZCursor<&'a [u8]>>, (u32, u32));

fn headers<'a>(data: &'a [u8], limits: &PictureLimits) -> Result<Headers<'a>, DecodeError> {
    limits.check_bytes(data.len())?;
    let side = limits.max_side as usize;
    let options = DecoderOptions::new_safe()
        .set_max_width(side.saturating_mul(16))
        .set_max_height(side.saturating_mul(16))
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(|error| explain(&error))?;
    let info = decoder.info().ok_or(DecodeError::Damaged(Codec::Jpeg))?;
    let size = (u32::from(info.width), u32::from(info.height));
    limits.check_size(size.0, size.1)?;
    if size.0 == 0 || size.1 == 0 {
        return Err(DecodeError::Damaged(Codec::Jpeg));
    }
    Ok((decoder, size))
}

fn explain(error: &DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::Unsupported(_) => DecodeError::Unsupported(Codec::Jpeg),
        _ => DecodeError::Damaged(Codec::Jpeg),
    }
}

/// Pictures come from outside; a decoder that panics over one must not take its thread along.
fn guarded<T>(work: impl FnOnce() -> Result<T, DecodeError> + panic::UnwindSafe) -> Result<T, DecodeError> {
    panic::catch_unwind(work).unwrap_or(Err(DecodeError::Panicked(Codec::Jpeg)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Left half dark, right half light.
    fn two_halves(width: u32, height: u32) -> Frame {
        let rgb: Vec<u8> = (0..width * height)
            .flat_map(|at| if at % width < width / 2 { [30; 3] } else { [220; 3] })
            .collect();
        Frame {
            at: UtcMillis(5),
            width,
            height,
            rgb: rgb.into(),
        }
    }

    #[test]
    fn a_picture_survives_the_way_out_and_in() {
        let limits = PictureLimits::default();
        let jpeg = encode(&two_halves(320, 180), JpegQuality::default());
        assert_eq!(size(&jpeg, &limits), Ok((320, 180)));
        for (max_width, width, height) in [(640, 320, 180), (160, 160, 90)] {
            let frame = decode(&jpeg, UtcMillis(9), &limits, max_width).unwrap();
            assert_eq!(
                (frame.width, frame.height, frame.at),
                (width, height, UtcMillis(9))
            );
            assert_eq!(frame.rgb.len(), (width * height * 3) as usize);
            assert!(frame.rgb[0].abs_diff(30) < 8, "{}", frame.rgb[0]);
            assert!(frame.rgb[frame.rgb.len() - 1].abs_diff(220) < 8);
        }
        let fine = encode(&two_halves(320, 180), JpegQuality::new(255));
        assert!(fine.len() > jpeg.len());
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_decoded() {
        let jpeg = encode(&two_halves(320, 180), JpegQuality::default());
        let narrow = PictureLimits {
            max_side: 319,
            ..PictureLimits::default()
        };
        let too_large = DecodeError::TooLarge {
            width: 320,
            height: 180,
            limit: 319,
        };
        assert_eq!(size(&jpeg, &narrow), Err(too_large.clone()));
        assert_eq!(decode(&jpeg, UtcMillis(0), &narrow, 640), Err(too_large));
        let light = PictureLimits {
            max_bytes: 100,
            ..PictureLimits::default()
        };
        assert!(matches!(
            decode(&jpeg, UtcMillis(0), &light, 640),
            Err(DecodeError::TooHeavy { limit: 100, .. })
        ));
    }

    #[test]
    fn what_is_no_jpeg_is_damaged() {
        for data in [&b""[..], b"GIF89a", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xd9"] {
            let refused = decode(data, UtcMillis(0), &PictureLimits::default(), 640);
            assert_eq!(refused, Err(DecodeError::Damaged(Codec::Jpeg)), "{data:x?}");
        }
    }

    #[test]
    fn scaling_keeps_small_pictures_as_they_are() {
        let frame = two_halves(320, 180);
        assert_eq!(scaled(&frame, 320), frame);
        let small = scaled(&frame, 64);
        assert_eq!(
            (small.width, small.height, small.rgb.len()),
            (64, 36, 64 * 36 * 3)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damage_is_an_error_or_a_picture(at in 0usize..2000, value: u8, cut in 0usize..4000) {
            let mut jpeg = encode(&two_halves(64, 48), JpegQuality::default()).to_vec();
            let at = at % jpeg.len();
            jpeg[at] = value;
            jpeg.truncate(cut.max(20));
            if let Ok(frame) = decode(&jpeg, UtcMillis(0), &PictureLimits::default(), 640) {
                prop_assert_eq!(frame.rgb.len(), (frame.width * frame.height * 3) as usize);
            }
        }
    }
}
