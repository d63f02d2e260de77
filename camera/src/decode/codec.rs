//! The decoders, one kind for each codec and one for the `ffmpeg` process.

use bytes::Bytes;
use domain::camera::Decoding;

use super::{
    DecodeError, DecodeOptions, PictureLimits,
    ffmpeg::Ffmpeg,
    picture::{Planes, Scaler},
};
use crate::{
    jpeg, nal,
    stream::{Codec, EncodedFrame, Frame, StreamInfo},
};

/// Decodes one stream, from a key frame on.
pub(super) trait VideoDecoder: Send {
    /// Decodes `frame`; hands each picture that came out to `out`. After an error the decoder is of no use.
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError>;
}

/// The decoder of the stream that `info` describes.
pub(super) fn decoder_for(
    info: &StreamInfo,
    decoding: Decoding,
    options: &DecodeOptions,
) -> Result<Box<dyn VideoDecoder>, DecodeError> {
    options.limits.check_size(info.width, info.height)?;
    if info.codec == Codec::Jpeg {
        return Ok(Box::new(Still {
            limits: options.limits,
            max_width: options.max_width,
        }));
    }
    let input = AnnexB::new(info, options.limits)?;
    if decoding == Decoding::Ffmpeg {
        return Ok(Box::new(Ffmpeg::start(info, options, input)?));
    }
    let scaler = Scaler::new(options.max_width);
    Ok(match info.codec {
        Codec::H265 => Box::new(Hevc {
            input,
            scaler,
            decoder: rusty_h265::Decoder::new(),
            keys_only: decoding == Decoding::KeyFrames,
            planes: Default::default(),
        }),
        _ => Box::new(Avc {
            input,
            scaler,
            decoder: rusty_h264::Decoder::new(),
        }),
    })
}

/// Makes of frames what decoders read.
pub(super) struct AnnexB {
    codec: Codec,
    parameters: Bytes,
    limits: PictureLimits,
    buffer: Vec<u8>,
}

impl AnnexB {
    fn new(info: &StreamInfo, limits: PictureLimits) -> Result<AnnexB, DecodeError> {
        let parameters =
            nal::parameter_sets(info.codec, &info.extra_data).ok_or(DecodeError::NoParameters(info.codec))?;
        for unit in nal::annex_b_units(&parameters) {
            check_unit(info.codec, unit, limits)?;
        }
        Ok(AnnexB {
            codec: info.codec,
            parameters,
            limits,
            buffer: Vec::new(),
        })
    }

    /// The frame behind start codes; a key frame behind the stream's parameter sets.
    pub(super) fn of(&mut self, frame: &EncodedFrame) -> Result<&[u8], DecodeError> {
        self.buffer.clear();
        if frame.key {
            self.buffer.extend_from_slice(&self.parameters);
        }
        for unit in nal::units(&frame.data) {
            check_unit(self.codec, unit, self.limits)?;
        }
        nal::to_annex_b(&frame.data, &mut self.buffer);
        Ok(&self.buffer)
    }
}

/// Refuses a parameter set that announces pictures too large, before a decoder makes room for them.
fn check_unit(codec: Codec, unit: &[u8], limits: PictureLimits) -> Result<(), DecodeError> {
    if nal::kind(codec, unit) != nal::UnitKind::Sps {
        return Ok(());
    }
    let (width, height) = nal::picture_size(codec, unit).ok_or(DecodeError::Unsupported(codec))?;
    limits.check_size(width, height)
}

struct Avc {
    input: AnnexB,
    scaler: Scaler,
    decoder: rusty_h264::Decoder,
}

impl VideoDecoder for Avc {
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError> {
        let picture = match self.decoder.decode(self.input.of(frame)?) {
            Ok(picture) => picture.ok_or(DecodeError::Damaged(Codec::H264))?,
            Err(rusty_h264::DecodeError::Unsupported(_)) => {
                return Err(DecodeError::Unsupported(Codec::H264));
            }
            Err(_) => return Err(DecodeError::Damaged(Codec::H264)),
        };
        let planes = Planes {
            width: picture.width,
            height: picture.height,
            y: &picture.y,
            u: &picture.u,
            v: &picture.v,
        };
        out(self
            .scaler
            .frame(&planes, frame.at)
            .ok_or(DecodeError::Damaged(Codec::H264))?);
        Ok(())
    }
}

struct Hevc {
    input: AnnexB,
    scaler: Scaler,
    decoder: rusty_h265::Decoder,
    keys_only: bool,
    planes: [Vec<u8>; 3],
}

impl VideoDecoder for Hevc {
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError> {
        let pushed = self.decoder.push_annexb(self.input.of(frame)?, Some(frame.at.0));
        pushed.map_err(|error| match error {
            rusty_h265::Error::Unsupported(_) => DecodeError::Unsupported(Codec::H265),
            _ => DecodeError::Damaged(Codec::H265),
        })?;
        if self.keys_only {
            // Else the decoder keeps the picture until it sees the beginning of the next one.
            self.decoder.flush();
        }
        let mut any = false;
        while let Ok(picture) = self.decoder.next_frame() {
            any = true;
            let at = picture.pts.map_or(frame.at, domain::UtcMillis);
            let narrowed = narrow(&picture, &mut self.planes);
            let made = narrowed.and_then(|planes| self.scaler.frame(&planes, at));
            out(made.ok_or(DecodeError::Damaged(Codec::H265))?);
        }
        if self.keys_only && !any {
            return Err(DecodeError::Damaged(Codec::H265));
        }
        Ok(())
    }
}

/// The cropped picture in eight bits. `None` when its planes are not as large as it says.
fn narrow<'a>(picture: &rusty_h265::Frame, planes: &'a mut [Vec<u8>; 3]) -> Option<Planes<'a>> {
    let (left, top, width, height) = picture.picture.crop;
    for (index, out) in planes.iter_mut().enumerate() {
        let (half, depth) = match index {
            0 => (1, picture.picture.bit_depth_luma),
            _ => (2, picture.picture.bit_depth_chroma),
        };
        let shift = depth.checked_sub(8)?;
        let plane = &picture.picture.planes[index];
        let (columns, rows) = (width / half, height / half);
        out.clear();
        out.resize(columns * rows, 0);
        for (row, out) in out.chunks_exact_mut(columns.max(1)).enumerate() {
            let start = (top / half + row) * plane.stride + left / half;
            let samples = plane.data.get(start..start + columns)?;
            for (out, sample) in out.iter_mut().zip(samples) {
                *out = (sample >> shift) as u8;
            }
        }
    }
    let [y, u, v] = planes;
    Some(Planes {
        width,
        height,
        y,
        u,
        v,
    })
}

/// JPEGs: every picture by itself.
struct Still {
    limits: PictureLimits,
    max_width: u32,
}

impl VideoDecoder for Still {
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError> {
        out(jpeg::decode(&frame.data, frame.at, &self.limits, self.max_width)?);
        Ok(())
    }
}
