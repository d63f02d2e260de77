//! The decoders, one kind for each codec and one for the `ffmpeg` process.

use bytes::Bytes;
use domain::{UtcMillis, camera::Decoding};

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
            let at = picture.pts.map_or(frame.at, UtcMillis);
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

/// A decoded picture in its own size, 4:2:0 in eight bits, rows without padding.
pub(crate) struct FullPicture {
    pub(crate) at: UtcMillis,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) y: Vec<u8>,
    pub(crate) u: Vec<u8>,
    pub(crate) v: Vec<u8>,
}

/// Decodes every frame of a stream in full size: for copies, not for judgement.
pub(crate) struct FullDecoder {
    input: AnnexB,
    engine: Engine,
}

enum Engine {
    Avc(Box<rusty_h264::Decoder>),
    Hevc(Box<rusty_h265::Decoder>),
}

impl FullDecoder {
    pub(crate) fn new(info: &StreamInfo, limits: PictureLimits) -> Result<FullDecoder, DecodeError> {
        limits.check_size(info.width, info.height)?;
        Ok(FullDecoder {
            input: AnnexB::new(info, limits)?,
            engine: match info.codec {
                Codec::H264 => Engine::Avc(Box::new(rusty_h264::Decoder::new())),
                Codec::H265 => Engine::Hevc(Box::new(rusty_h265::Decoder::new())),
                Codec::Jpeg => return Err(DecodeError::Unsupported(Codec::Jpeg)),
            },
        })
    }

    /// Decodes `frame`; hands each picture that came out to `out`. A decoder that panics has failed.
    pub(crate) fn decode(
        &mut self,
        frame: &EncodedFrame,
        out: &mut dyn FnMut(FullPicture),
    ) -> Result<(), DecodeError> {
        let (input, engine) = (&mut self.input, &mut self.engine);
        let codec = input.codec;
        let whole = |planes: &Planes<'_>, at| FullPicture {
            at,
            width: planes.width,
            height: planes.height,
            y: planes.y.to_vec(),
            u: planes.u.to_vec(),
            v: planes.v.to_vec(),
        };
        let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut pictures = Vec::new();
            match engine {
                Engine::Avc(decoder) => {
                    let picture = decoder.decode(input.of(frame)?);
                    let picture = picture.ok().flatten().ok_or(DecodeError::Damaged(codec))?;
                    let planes = Planes {
                        width: picture.width,
                        height: picture.height,
                        y: &picture.y,
                        u: &picture.u,
                        v: &picture.v,
                    };
                    pictures.push(whole(&planes, frame.at));
                }
                Engine::Hevc(decoder) => {
                    let pushed = decoder.push_annexb(input.of(frame)?, Some(frame.at.0));
                    pushed.map_err(|_damaged| DecodeError::Damaged(codec))?;
                    let mut narrowed = Default::default();
                    while let Ok(picture) = decoder.next_frame() {
                        let at = picture.pts.map_or(frame.at, UtcMillis);
                        let planes = narrow(&picture, &mut narrowed).ok_or(DecodeError::Damaged(codec))?;
                        pictures.push(whole(&planes, at));
                    }
                }
            }
            Ok(pictures)
        }));
        let pictures = decoded.unwrap_or(Err(DecodeError::Panicked(codec)))?;
        pictures.into_iter().for_each(out);
        Ok(())
    }
}
