//! H.264 of a scene's pictures: Constrained Baseline, one access unit out for every picture in.

use bytes::Bytes;
use rusty_h264::{Encoder, EncoderConfig, YuvPlanes};

use crate::cameras::{
    canvas::{HEIGHT, WIDTH},
    picture::Picture,
};

/// Pictures a second.
pub(crate) const FRAMES_PER_SECOND: u32 = 5;

/// A key frame is sent this often, in pictures: every second.
const KEY_EVERY: u32 = FRAMES_PER_SECOND;

/// How coarse: 0 to 51. At 27 sensor noise is mostly left out of the pictures between key frames.
const COARSENESS: u8 = 27;

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The encoder refuses its settings or the picture: a defect of the simulator.
    #[error("the encoder refuses a picture of {WIDTH} × {HEIGHT}")]
    Refused(#[from] rusty_h264::EncodeError),
    /// It gave no parameter sets with a key frame.
    #[error("the encoder gave no parameter sets")]
    NoParameterSets,
}

/// One encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// Whether it can be decoded alone.
    pub(crate) key: bool,
    /// Its NAL units without start codes, parameter sets included.
    pub(crate) units: Vec<Bytes>,
}

/// What a decoder must be told before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParameterSets {
    /// Sequence parameter set.
    pub(crate) sps: Bytes,
    /// Picture parameter set.
    pub(crate) pps: Bytes,
}

/// Encodes one camera's pictures.
pub(crate) struct Coder(Encoder);

impl std::fmt::Debug for Coder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coder(..)")
    }
}

impl Coder {
    /// # Errors
    /// When the encoder refuses its settings.
    pub(crate) fn new() -> Result<Coder, EncodeError> {
        let mut config = EncoderConfig::baseline(WIDTH, HEIGHT);
        config.gop_size = KEY_EVERY;
        config.min_keyint = 1;
        config.framerate = FRAMES_PER_SECOND as f32;
        config.qp = COARSENESS;
        Ok(Coder(Encoder::new(config)?))
    }

    /// Makes the next picture a key frame.
    pub(crate) fn request_key_frame(&mut self) {
        self.0.request_keyframe();
    }

    /// # Errors
    /// When the encoder refuses the picture.
    pub(crate) fn encode(&mut self, picture: &Picture) -> Result<AccessUnit, EncodeError> {
        let planes = YuvPlanes::tight(WIDTH, HEIGHT, &picture.y, &picture.u, &picture.v)
            .expect("a picture's planes have the picture's size");
        let stream = Bytes::from(self.0.encode_planes(&planes)?);
        let units = split(&stream);
        let key = units.iter().any(|unit| kind(unit) == Some(5));
        Ok(AccessUnit { key, units })
    }
}

/// The parameter sets of every stream of ours: all cameras have the same settings.
///
/// # Errors
/// As [`Coder::encode`], and when a key frame comes without them.
pub(crate) fn parameter_sets() -> Result<ParameterSets, EncodeError> {
    let first = Coder::new()?.encode(&Picture::plain(16))?;
    let find = |wanted| {
        first
            .units
            .iter()
            .find(|unit| kind(unit) == Some(wanted))
            .cloned()
    };
    match (find(7), find(8)) {
        (Some(sps), Some(pps)) if sps.len() >= 4 => Ok(ParameterSets { sps, pps }),
        _ => Err(EncodeError::NoParameterSets),
    }
}

/// The type of a NAL unit.
pub(crate) fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// The NAL units of an Annex B stream, without copying.
fn split(stream: &Bytes) -> Vec<Bytes> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= stream.len() {
        if stream[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let mut units = Vec::with_capacity(starts.len());
    for (n, start) in starts.iter().enumerate() {
        let mut end = starts.get(n + 1).map_or(stream.len(), |next| next - 3);
        // Zeros before the next start code belong to it: a unit never ends in one.
        while end > *start && stream[end - 1] == 0 {
            end -= 1;
        }
        if end > *start {
            units.push(stream.slice(*start..end));
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;
    use rusty_h264::{Decoder, YuvFrame};

    use super::*;
    use crate::cameras::{scene::Scene, script::CameraScript};

    const START: UtcMillis = UtcMillis(1_795_250_000_000);

    fn decode(decoder: &mut Decoder, picture: &AccessUnit) -> YuvFrame {
        let mut stream = Vec::new();
        for unit in &picture.units {
            stream.extend([0, 0, 0, 1]);
            stream.extend(unit);
        }
        decoder.decode(&stream).unwrap().unwrap()
    }

    /// Peak signal to noise ratio of the luma, in decibels.
    pub(crate) fn likeness(drawn: &[u8], seen: &[u8]) -> f64 {
        assert_eq!(drawn.len(), seen.len());
        let squares: u64 = drawn
            .iter()
            .zip(seen)
            .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
            .sum();
        let mean = squares as f64 / drawn.len() as f64;
        10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
    }

    #[test]
    fn what_is_drawn_is_what_a_decoder_shows() {
        let mut scene = Scene::new(CameraScript::HotKitchen, START);
        let (mut coder, mut decoder) = (Coder::new().unwrap(), Decoder::new());
        for n in 0..11 {
            let drawn = scene.picture(START.plus_ms(20_000 + n * 200)).clone();
            let picture = coder.encode(&drawn).unwrap();
            assert_eq!(picture.key, n % 5 == 0, "picture {n}");
            let seen = decode(&mut decoder, &picture);
            let decibels = likeness(&drawn.y, &seen.y);
            assert!(decibels > 32.0, "picture {n}: {decibels:.1} dB");
        }
        coder.request_key_frame();
        assert!(coder.encode(scene.picture(START)).unwrap().key);
    }

    #[test]
    fn a_frozen_camera_sends_the_same_picture_and_a_living_one_does_not() {
        let keys = |from_s: i64| {
            let mut scene = Scene::new(CameraScript::Entrance, START);
            let (mut coder, mut decoder) = (Coder::new().unwrap(), Decoder::new());
            let mut seen = Vec::new();
            for n in 0..11 {
                let moment = START.plus_ms(from_s * 1_000 + n * 200);
                let picture = coder.encode(scene.picture(moment)).unwrap();
                let decoded = decode(&mut decoder, &picture);
                if picture.key {
                    seen.push(decoded);
                }
            }
            assert_eq!(seen.len(), 3);
            seen
        };
        let frozen = keys(140);
        assert!(frozen[0] == frozen[1] && frozen[1] == frozen[2]);
        // Nobody is there, and yet noise and the clock go on.
        let living = keys(95);
        assert!(living[0] != living[1] && living[1] != living[2]);
    }

    #[test]
    fn parameter_sets_are_those_of_every_stream() {
        let sets = parameter_sets().unwrap();
        assert_eq!((kind(&sets.sps), kind(&sets.pps)), (Some(7), Some(8)));
        let picture = Coder::new().unwrap().encode(&Picture::plain(90)).unwrap();
        assert!(picture.units.contains(&sets.sps) && picture.units.contains(&sets.pps));
    }
}
