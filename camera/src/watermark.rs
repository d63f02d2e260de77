//! Marks on what leaves the product: who took it out, when and from which evidence stands in every picture, so that a
//! copy that turns up elsewhere says where it came from.
//!
//! The marks are drawn over the whole picture, faintly, and once in full below it. What is no printable
//! ASCII is drawn as `?`.

mod font;

use bytes::Bytes;
use domain::UtcMillis;
use rusty_h264::{Encoder, EncoderConfig, YuvPlanes};

use crate::{
    decode::{DecodeError, FullDecoder, FullPicture, PictureLimits},
    jpeg::{self, JpegQuality},
    mp4::{self, Mp4Error},
    nal,
    stream::{Codec, EncodedFrame},
};

/// How much brighter or darker the faint marks are, of 255.
const FAINT: i16 = 26;

/// The band below is darkened to this share of 256.
const BAND: u16 = 90;

/// Key frames of a marked clip, in frames.
const KEY_EVERY: u32 = 30;

/// How coarse a marked clip is encoded, 0 to 51.
const COARSENESS: u8 = 24;

/// The most characters of a mark.
pub const MAX_MARK: usize = 96;

/// Why a copy cannot be marked. Without a mark it must not leave.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// A picture cannot be decoded.
    #[error("the picture cannot be decoded")]
    Decode(#[from] DecodeError),
    /// The clip is no file of ours.
    #[error("the clip is damaged, or none that this product wrote; check it with `sunshine evidence verify`")]
    Clip,
    /// The marked pictures cannot be encoded.
    #[error("the marked pictures cannot be encoded")]
    Encode,
    /// The marked clip cannot be written.
    #[error("the marked clip cannot be written")]
    Mp4(#[from] Mp4Error),
}

/// The JPEG with `mark` in it, in full size.
///
/// # Errors
/// [`MarkError::Decode`].
pub fn still(file: &[u8], mark: &str) -> Result<Bytes, MarkError> {
    let limits = PictureLimits::default();
    let mut frame = jpeg::decode(file, UtcMillis(0), &limits, limits.max_side)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    let mut rgb = frame.rgb.to_vec();
    draw(mark, (width, height), |x, y, change| {
        for value in &mut rgb[(y * width + x) * 3..][..3] {
            *value = change(*value);
        }
    });
    frame.rgb = rgb.into();
    Ok(jpeg::encode(&frame, JpegQuality::new(90)))
}

/// The clip with `mark` in every picture, as H.264 in MP4. Decodes and encodes all of it: some tens of milliseconds of a
/// core for each picture of 720p.
///
/// # Errors
/// [`MarkError`].
pub fn clip(file: &Bytes, mark: &str) -> Result<Bytes, MarkError> {
    let (info, frames) = mp4::read(file).ok_or(MarkError::Clip)?;
    let mut decoder = FullDecoder::new(&info, PictureLimits::default())?;
    let mut encoder: Option<(Encoder, (usize, usize))> = None;
    let mut stream = Vec::new();
    let mut shown = Vec::with_capacity(frames.len());
    for frame in &frames {
        let mut failed = None;
        decoder.decode(frame, &mut |mut picture| {
            let size = (picture.width & !1, picture.height & !1);
            let coder = match &mut encoder {
                Some((coder, known)) if *known == size => coder,
                // A clip has one size: the recorder begins another one when it changes.
                Some(_) => return failed = Some(MarkError::Clip),
                None => match coder_of(size) {
                    Some(coder) => &mut encoder.insert((coder, size)).0,
                    None => return failed = Some(MarkError::Encode),
                },
            };
            let width = picture.width;
            draw(mark, size, |x, y, change| {
                let value = &mut picture.y[y * width + x];
                *value = change(*value);
            });
            match encoded(coder, &picture, size) {
                Some(bytes) => {
                    shown.push((picture.at, stream.len()));
                    stream.extend(bytes);
                }
                None => failed = Some(MarkError::Encode),
            }
        })?;
        if let Some(failed) = failed {
            return Err(failed);
        }
    }
    finished(&stream, &shown)
}

fn coder_of((width, height): (usize, usize)) -> Option<Encoder> {
    let mut config = EncoderConfig::baseline(width, height);
    config.gop_size = KEY_EVERY;
    config.qp = COARSENESS;
    Encoder::new(config).ok()
}

fn encoded(coder: &mut Encoder, picture: &FullPicture, (width, height): (usize, usize)) -> Option<Vec<u8>> {
    let plane = |from: &[u8], stride: usize, columns: usize, rows: usize| -> Vec<u8> {
        from.chunks(stride.max(1))
            .take(rows)
            .flat_map(|row| &row[..columns.min(row.len())])
            .copied()
            .collect()
    };
    let y = plane(&picture.y, picture.width, width, height);
    let half = picture.width / 2;
    let u = plane(&picture.u, half, width / 2, height / 2);
    let v = plane(&picture.v, half, width / 2, height / 2);
    let planes = YuvPlanes::tight(width, height, &y, &u, &v)?;
    coder.encode_planes(&planes).ok()
}

fn finished(stream: &[u8], shown: &[(UtcMillis, usize)]) -> Result<Bytes, MarkError> {
    let info = nal::describe(Codec::H264, stream).ok_or(MarkError::Encode)?;
    let ends = shown
        .iter()
        .skip(1)
        .map(|(_, start)| *start)
        .chain([stream.len()]);
    let frames: Vec<EncodedFrame> = shown
        .iter()
        .zip(ends)
        .map(|((at, start), end)| {
            let unit = &stream[*start..end];
            EncodedFrame {
                at: *at,
                time_90k: at.0 * 90,
                key: nal::annex_b_units(unit).any(|u| nal::kind(Codec::H264, u) == nal::UnitKind::Key),
                data: nal::from_annex_b(Codec::H264, unit).into(),
                lost: 0,
            }
        })
        .collect();
    Ok(mp4::movie(&info, &frames)?)
}

/// Draws the mark with `change`, which is given a place and how its brightness changes there.
fn draw(
    mark: &str,
    (width, height): (usize, usize),
    mut change: impl FnMut(usize, usize, &dyn Fn(u8) -> u8),
) {
    let mark: Vec<[u8; font::WIDTH]> = mark.chars().take(MAX_MARK).map(font::glyph).collect();
    let dot = (width / 640).max(1);
    let (step, line) = (font::WIDTH * dot + dot, font::HEIGHT * dot);
    let text = step * mark.len();
    // Faint rows, each shifted against the one above so that no part of the picture is without.
    let gap = line * 6;
    for (row, top) in (line..height.saturating_sub(line * 4))
        .step_by(gap.max(1))
        .enumerate()
    {
        let shift = row * step * 7 % (text + step * 4).max(1);
        for column in 0..width {
            let place = (column + shift) % (text + step * 4).max(1);
            for y in 0..line {
                if top + y < height && is_dot(&mark, (place, y), (step, dot)) {
                    let sign = if row % 2 == 0 { FAINT } else { -FAINT };
                    change(column, top + y, &|value| {
                        (i16::from(value) + sign).clamp(0, 255) as u8
                    });
                }
            }
        }
    }
    let band = (line * 2).min(height);
    for y in 0..band {
        for x in 0..width {
            let inside = y.checked_sub(line / 2).filter(|y| *y < line);
            let is_text = inside.is_some_and(|y| x >= dot && is_dot(&mark, (x - dot, y), (step, dot)));
            let lit: &dyn Fn(u8) -> u8 = match is_text {
                true => &|_| 235,
                false => &|value| ((u16::from(value) * BAND) >> 8) as u8,
            };
            change(x, height - band + y, lit);
        }
    }
}

/// Whether a dot of the text lies at this place of its line.
fn is_dot(mark: &[[u8; font::WIDTH]], (x, y): (usize, usize), (step, dot): (usize, usize)) -> bool {
    let (letter, within) = (x / step, x % step / dot);
    let column = mark.get(letter).and_then(|glyph| glyph.get(within));
    column.is_some_and(|column| column >> (y / dot) & 1 == 1)
}

#[cfg(test)]
mod tests;
