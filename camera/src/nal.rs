//! NAL units: the pieces of which H.264 and H.265 pictures are made.
//!
//! Frames hold them behind their length in four bytes, decoders want them behind start codes (Annex B). Nothing
//! here trusts its input: what is damaged ends the walk, and nothing panics.

mod bits;
mod describe;

pub use describe::describe;
pub(crate) use describe::picture_size;

use bytes::Bytes;

use crate::stream::Codec;

/// Bytes of the length before each unit.
const LENGTH: usize = 4;

/// What begins a unit in Annex B.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The units of a frame, in order. Ends at the first length that is not possible.
#[derive(Debug, Clone)]
pub struct Units<'a> {
    rest: &'a [u8],
}

/// The NAL units of `data`, a frame as [`EncodedFrame`](crate::stream::EncodedFrame) holds it.
#[must_use]
pub fn units(data: &[u8]) -> Units<'_> {
    Units { rest: data }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (length, rest) = self.rest.split_first_chunk::<LENGTH>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let Some((unit, rest)) = rest.split_at_checked(length) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    }
}

/// What a NAL unit is, as far as anybody here needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// A piece of a picture that can be decoded alone.
    Key,
    /// A piece of a picture that leads a key picture and needs what came before it (RASL).
    Leading,
    /// A piece of another picture.
    Delta,
    /// The video parameter set (H.265).
    Vps,
    /// A sequence parameter set.
    Sps,
    /// A picture parameter set.
    Pps,
    /// Anything else: delimiters, messages, reserved kinds.
    Other,
}

/// What `unit` is. [`UnitKind::Other`] for JPEG.
#[must_use]
pub fn kind(codec: Codec, unit: &[u8]) -> UnitKind {
    let Some(&first) = unit.first() else {
        return UnitKind::Other;
    };
    match codec {
        Codec::H264 => match first & 0x1f {
            5 => UnitKind::Key,
            1..=4 => UnitKind::Delta,
            7 => UnitKind::Sps,
            8 => UnitKind::Pps,
            _ => UnitKind::Other,
        },
        Codec::H265 => match (first >> 1) & 0x3f {
            16..=21 => UnitKind::Key,
            8 | 9 => UnitKind::Leading,
            0..=7 => UnitKind::Delta,
            32 => UnitKind::Vps,
            33 => UnitKind::Sps,
            34 => UnitKind::Pps,
            _ => UnitKind::Other,
        },
        Codec::Jpeg => UnitKind::Other,
    }
}

/// Whether a frame can be decoded alone: IDR pictures of H.264; IDR, BLA and CRA pictures of H.265; any JPEG.
#[must_use]
pub fn is_key(codec: Codec, data: &[u8]) -> bool {
    codec == Codec::Jpeg || picture_kind(codec, data) == Some(UnitKind::Key)
}

/// Whether a frame leads an H.265 key picture and cannot be decoded when decoding began there (RASL).
#[must_use]
pub fn is_leading(codec: Codec, data: &[u8]) -> bool {
    picture_kind(codec, data) == Some(UnitKind::Leading)
}

/// The kind of the frame's first unit that is a piece of a picture.
fn picture_kind(codec: Codec, data: &[u8]) -> Option<UnitKind> {
    units(data)
        .map(|unit| kind(codec, unit))
        .find(|kind| matches!(kind, UnitKind::Key | UnitKind::Leading | UnitKind::Delta))
}

/// Appends the units of a frame to `out`, each behind a start code.
pub fn to_annex_b(data: &[u8], out: &mut Vec<u8>) {
    out.reserve(data.len());
    for unit in units(data) {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(unit);
    }
}

/// The parameter sets of an `avcC` or `hvcC` record, each behind a start code; `None` when the record is damaged
/// or holds none.
#[must_use]
pub fn parameter_sets(codec: Codec, extra_data: &[u8]) -> Option<Bytes> {
    let mut out = Vec::with_capacity(extra_data.len() + 16);
    let mut keep = |unit: &[u8]| {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(unit);
    };
    match codec {
        Codec::H264 => {
            let (_, rest) = extra_data.split_at_checked(5)?;
            let (&count, rest) = rest.split_first()?;
            let rest = take_sets(rest, usize::from(count & 0x1f), &mut keep)?;
            let (&count, rest) = rest.split_first()?;
            take_sets(rest, usize::from(count), &mut keep)?;
        }
        Codec::H265 => {
            let (_, rest) = extra_data.split_at_checked(22)?;
            let (&arrays, mut rest) = rest.split_first()?;
            for _ in 0..arrays {
                let ([_, high, low], after) = rest.split_first_chunk::<3>()?;
                rest = take_sets(after, usize::from(u16::from_be_bytes([*high, *low])), &mut keep)?;
            }
        }
        Codec::Jpeg => return None,
    }
    (!out.is_empty()).then(|| Bytes::from(out))
}

/// Hands `count` units, each behind its length in two bytes, to `keep`; what follows them.
fn take_sets<'a>(mut rest: &'a [u8], count: usize, keep: &mut impl FnMut(&[u8])) -> Option<&'a [u8]> {
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        keep(unit);
        rest = after;
    }
    Some(rest)
}

/// The units of an Annex B stream, without start codes and without the zeros before them.
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(stream);
    std::iter::from_fn(move || {
        loop {
            let unit_and_rest = rest?;
            let end = find_start_code(unit_and_rest);
            rest = end.and_then(|end| after_start_code(unit_and_rest.get(end..)?));
            let unit = &unit_and_rest[..end.unwrap_or(unit_and_rest.len())];
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
            let unit = &unit[..unit.len() - zeros];
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// Where the next start code (three bytes) begins.
fn find_start_code(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|three| three == [0, 0, 1])
}

fn after_start_code(bytes: &[u8]) -> Option<&[u8]> {
    find_start_code(bytes).map(|at| &bytes[at + 3..])
}

/// A picture in Annex B as a frame holds it: each unit behind its length, without parameter sets and delimiters,
/// which travel in the stream's description.
#[must_use]
pub fn from_annex_b(codec: Codec, picture: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(picture.len() + LENGTH);
    for unit in annex_b_units(picture) {
        let picture_piece = matches!(
            kind(codec, unit),
            UnitKind::Key | UnitKind::Leading | UnitKind::Delta
        );
        if let (true, Ok(length)) = (picture_piece, u32::try_from(unit.len())) {
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(unit);
        }
    }
    out
}

/// Splits an Annex B stream into its pictures, each as a frame holds it.
#[must_use]
pub fn pictures(codec: Codec, stream: &[u8]) -> Vec<Vec<u8>> {
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for unit in annex_b_units(stream) {
        let kind = kind(codec, unit);
        if !matches!(kind, UnitKind::Key | UnitKind::Leading | UnitKind::Delta) {
            continue;
        }
        if begins_picture(codec, unit) || pictures.is_empty() {
            pictures.push(Vec::new());
        }
        if let (Some(picture), Ok(length)) = (pictures.last_mut(), u32::try_from(unit.len())) {
            picture.extend_from_slice(&length.to_be_bytes());
            picture.extend_from_slice(unit);
        }
    }
    pictures
}

/// Whether a piece of a picture is its first one: the first macroblock's number is 0 (coded as a single one bit),
/// or H.265's flag says so. Both are the first bit behind the header.
fn begins_picture(codec: Codec, unit: &[u8]) -> bool {
    let header = if codec == Codec::H265 { 2 } else { 1 };
    unit.get(header).is_some_and(|byte| byte & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(units: &[&[u8]]) -> Vec<u8> {
        let mut data = Vec::new();
        for unit in units {
            data.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
            data.extend_from_slice(unit);
        }
        data
    }

    #[test]
    fn key_pictures_are_known_by_their_units() {
        let cases: [(Codec, &[&[u8]], bool, bool); 9] = [
            (Codec::H264, &[&[0x09, 0xf0], &[0x65, 0x88]], true, false),
            (Codec::H264, &[&[0x67, 1], &[0x68, 1], &[0x65, 0x88]], true, false),
            (Codec::H264, &[&[0x67, 1], &[0x41, 0x9a]], false, false),
            (Codec::H265, &[&[19 << 1, 1, 0x80]], true, false),
            (Codec::H265, &[&[21 << 1, 1, 0x80]], true, false),
            (Codec::H265, &[&[16 << 1, 1, 0x80]], true, false),
            (Codec::H265, &[&[22 << 1, 1, 0x80]], false, false),
            (Codec::H265, &[&[9 << 1, 1, 0x80]], false, true),
            (Codec::H265, &[&[1 << 1, 1, 0x80]], false, false),
        ];
        for (codec, units, key, leading) in cases {
            let data = frame(units);
            assert_eq!(is_key(codec, &data), key, "{codec:?} {units:x?}");
            assert_eq!(is_leading(codec, &data), leading, "{codec:?} {units:x?}");
        }
        assert!(is_key(Codec::Jpeg, b"\xff\xd8"));
        assert!(!is_key(Codec::H264, &[]));
    }

    #[test]
    fn a_damaged_length_ends_the_walk() {
        let mut data = frame(&[&[1, 2, 3], &[4]]);
        data.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 9]);
        assert_eq!(units(&data).count(), 2);
        assert_eq!(units(&[0, 0, 0]).count(), 0);
        assert_eq!(units(&[0, 0, 0, 0, 0, 0, 0, 1, 7]).collect::<Vec<_>>(), [&[7]]);
    }

    #[test]
    fn parameter_sets_come_out_of_avcc_and_hvcc() {
        let avcc = [1, 0x4d, 0, 0x1f, 0xff, 0xe1, 0, 2, 0x67, 9, 1, 0, 1, 0x68];
        let sets = parameter_sets(Codec::H264, &avcc).unwrap();
        assert_eq!(&sets[..], [0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68]);
        assert_eq!(parameter_sets(Codec::H264, &avcc[..9]), None);
        let mut hvcc = vec![1; 22];
        hvcc.extend_from_slice(&[2, 0x20, 0, 1, 0, 1, 0x40, 0x21, 0, 1, 0, 2, 0x42, 1]);
        let sets = parameter_sets(Codec::H265, &hvcc).unwrap();
        assert_eq!(&sets[..], [0, 0, 0, 1, 0x40, 0, 0, 0, 1, 0x42, 1]);
        assert_eq!(parameter_sets(Codec::H265, &hvcc[..hvcc.len() - 1]), None);
        assert_eq!(parameter_sets(Codec::Jpeg, &[]), None);
    }

    #[test]
    fn pictures_of_several_pieces_stay_together() {
        let stream = [
            &[
                0u8, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88, 5, 0, 0, 1, 0x65, 0x40, 6,
            ][..],
            &[0, 0, 0, 1, 0x41, 0x9a, 7][..],
        ]
        .concat();
        let pictures = pictures(Codec::H264, &stream);
        assert_eq!(pictures.len(), 2);
        assert_eq!(units(&pictures[0]).count(), 2);
        assert!(is_key(Codec::H264, &pictures[0]) && !is_key(Codec::H264, &pictures[1]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            for codec in [Codec::H264, Codec::H265, Codec::Jpeg] {
                let told: usize = units(&data).map(|unit| unit.len() + LENGTH).sum();
                prop_assert!(told <= data.len());
                prop_assert!(!(is_key(codec, &data) && is_leading(codec, &data)));
                let sets = parameter_sets(codec, &data);
                prop_assert!(sets.is_none_or(|sets| sets.len() <= 3 * data.len()));
                prop_assert!(describe(codec, &data).is_none_or(|info| info.width > 0));
                for picture in pictures(codec, &data) {
                    prop_assert!(units(&picture).count() > 0);
                }
            }
        }

        #[test]
        fn what_goes_to_annex_b_comes_back(
            units_in in proptest::collection::vec(proptest::collection::vec(2u8..=255, 1..20), 1..6)
        ) {
            let units_in: Vec<Vec<u8>> =
                units_in.into_iter().map(|unit| [&[0x65][..], &unit[..]].concat()).collect();
            let data = frame(&units_in.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut annex_b = Vec::new();
            to_annex_b(&data, &mut annex_b);
            prop_assert_eq!(annex_b_units(&annex_b).count(), units_in.len());
            prop_assert_eq!(from_annex_b(Codec::H264, &annex_b), data);
        }
    }
}
