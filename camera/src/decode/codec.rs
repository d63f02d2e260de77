//! The decoders, one kind for each codec and one for the `ffmpeg` process.

use std::panic::{self, AssertUnwindSafe};

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
    Ok(Box::new(Video {
        planes: PlaneDecoder::new(info.codec, input, decoding == Decoding::KeyFrames),
        scaler: Scaler::new(options.max_width),
    }))
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

/// H.264 and H.265 to small pictures in RGB.
struct Video {
    planes: PlaneDecoder,
    scaler: Scaler,
}

impl VideoDecoder for Video {
    fn decode(&mut self, frame: &EncodedFrame, out: &mut dyn FnMut(Frame)) -> Result<(), DecodeError> {
        let Video { planes, scaler } = self;
        planes.decode(frame, &mut |planes, at| {
            out(scaler.frame(planes, at)?);
            Some(())
        })
    }
}

/// H.264 and H.265 to planes.
struct PlaneDecoder {
    codec: Codec,
    input: AnnexB,
    engine: Engine,
    keys_only: bool,
}

enum Engine {
    Avc(Box<rusty_h264::Decoder>),
    Hevc {
        decoder: Box<rusty_h265::Decoder>,
        narrowed: [Vec<u8>; 3],
    },
}

impl PlaneDecoder {
    fn new(codec: Codec, input: AnnexB, keys_only: bool) -> PlaneDecoder {
        let engine = match codec {
            Codec::H265 => Engine::Hevc {
                decoder: Box::new(rusty_h265::Decoder::new()),
                narrowed: Default::default(),
            },
            _ => Engine::Avc(Box::new(rusty_h264::Decoder::new())),
        };
        PlaneDecoder {
            codec,
            input,
            engine,
            keys_only,
        }
    }

    /// Hands each picture that came out, and when it came in, to `out`, which says `None` when it is not as large as it
    /// claims.
    fn decode(
        &mut self,
        frame: &EncodedFrame,
        out: &mut dyn FnMut(&Planes<'_>, UtcMillis) -> Option<()>,
    ) -> Result<(), DecodeError> {
        let codec = self.codec;
        let damaged = DecodeError::Damaged(codec);
        let input = self.input.of(frame)?;
        match &mut self.engine {
            Engine::Avc(decoder) => {
                let picture = match decoder.decode(input) {
                    Ok(picture) => picture.ok_or(damaged.clone())?,
                    Err(rusty_h264::DecodeError::Unsupported(_)) => {
                        return Err(DecodeError::Unsupported(codec));
                    }
                    Err(_) => return Err(damaged),
                };
                let planes = Planes {
                    width: picture.width,
                    height: picture.height,
                    y: &picture.y,
                    u: &picture.u,
                    v: &picture.v,
                };
                out(&planes, frame.at).ok_or(damaged)
            }
            Engine::Hevc { decoder, narrowed } => {
                let pushed = decoder.push_annexb(input, Some(frame.at.0));
                pushed.map_err(|error| match error {
                    rusty_h265::Error::Unsupported(_) => DecodeError::Unsupported(codec),
                    _ => damaged.clone(),
                })?;
                if self.keys_only {
                    // Else the decoder keeps the picture until it sees the beginning of the next one.
                    decoder.flush();
                }
                let mut any = false;
                while let Ok(picture) = decoder.next_frame() {
                    any = true;
                    let at = picture.pts.map_or(frame.at, UtcMillis);
                    let handed = narrow(&picture, narrowed).and_then(|planes| out(&planes, at));
                    handed.ok_or(damaged.clone())?;
                }
                if self.keys_only && !any {
                    return Err(damaged);
                }
                Ok(())
            }
        }
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
pub(crate) struct FullDecoder(PlaneDecoder);

impl FullDecoder {
    pub(crate) fn new(info: &StreamInfo, limits: PictureLimits) -> Result<FullDecoder, DecodeError> {
        if info.codec == Codec::Jpeg {
            return Err(DecodeError::Unsupported(Codec::Jpeg));
        }
        limits.check_size(info.width, info.height)?;
        let input = AnnexB::new(info, limits)?;
        Ok(FullDecoder(PlaneDecoder::new(info.codec, input, false)))
    }

    /// Decodes `frame`; hands each picture that came out to `out`. A decoder that panics has failed.
    pub(crate) fn decode(
        &mut self,
        frame: &EncodedFrame,
        out: &mut dyn FnMut(FullPicture),
    ) -> Result<(), DecodeError> {
        let codec = self.0.codec;
        let mut pictures = Vec::new();
        let decoded = panic::catch_unwind(AssertUnwindSafe(|| {
            self.0.decode(frame, &mut |planes, at| {
                pictures.push(FullPicture {
                    at,
                    width: planes.width,
                    height: planes.height,
                    y: planes.y.to_vec(),
                    u: planes.u.to_vec(),
                    v: planes.v.to_vec(),
                });
                Some(())
            })
        }));
        decoded.unwrap_or(Err(DecodeError::Panicked(codec)))?;
        pictures.into_iter().for_each(out);
        Ok(())
    }
}
