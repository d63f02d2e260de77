//! From parameter sets to a stream's description.

use bytes::Bytes;

use super::{
    UnitKind, annex_b_units,
    bits::{Bits, without_escapes},
    kind,
};
use crate::stream::{Codec, StreamInfo};

/// The description of a stream from the parameter sets in `annex_b`, which may hold pictures too. `None` when a
/// set is missing or damaged, for JPEG, and for chroma other than 4:2:0.
///
/// Sources that speak RTSP get a description from there; this is for servers of streams, files and tests.
#[must_use]
pub fn describe(codec: Codec, annex_b: &[u8]) -> Option<StreamInfo> {
    let find = |wanted: UnitKind| annex_b_units(annex_b).find(|unit| kind(codec, unit) == wanted);
    let (sps, pps) = (find(UnitKind::Sps)?, find(UnitKind::Pps)?);
    let (width, height) = picture_size(codec, sps)?;
    let (extra_data, mime_codec) = match codec {
        Codec::H264 => (avcc(sps, pps)?, avc_name(sps)?),
        Codec::H265 => (hvcc(find(UnitKind::Vps)?, sps, pps)?, hevc_name(sps)?),
        Codec::Jpeg => return None,
    };
    let sample_entry = sample_entry(codec, (width, height), &extra_data)?;
    Some(StreamInfo {
        codec,
        mime_codec,
        width,
        height,
        extra_data: Bytes::from(extra_data),
        sample_entry: Bytes::from(sample_entry),
    })
}

/// Width and height of the pictures that a sequence parameter set announces, after cropping.
pub(crate) fn picture_size(codec: Codec, sps: &[u8]) -> Option<(u32, u32)> {
    match codec {
        Codec::H264 => avc_size(sps),
        Codec::H265 => hevc_size(sps),
        Codec::Jpeg => None,
    }
}

/// Profiles whose parameter set tells chroma format and scaling.
const HIGH_PROFILES: [u32; 7] = [100, 110, 122, 244, 44, 83, 86];

fn avc_size(sps: &[u8]) -> Option<(u32, u32)> {
    let payload = without_escapes(sps.get(1..)?);
    let mut bits = Bits::new(&payload);
    let profile = bits.number(8)?;
    bits.number(16)?;
    bits.unsigned()?;
    if HIGH_PROFILES.contains(&profile) {
        skip_high_profile(&mut bits)?;
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => {
            bits.bit()?;
            bits.signed()?;
            bits.signed()?;
            for _ in 0..bits.unsigned()?.min(255) {
                bits.signed()?;
            }
        }
        _ => {}
    }
    bits.unsigned()?;
    bits.bit()?;
    let width = bits.unsigned()?.checked_add(1)?.checked_mul(16)?;
    let map_units = bits.unsigned()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    let fields = if frames_only { 1 } else { 2 };
    let height = map_units.checked_mul(16 * fields)?;
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    if !bits.bit()? {
        return Some((width, height));
    }
    let (left, right) = (bits.unsigned()?, bits.unsigned()?);
    let (top, bottom) = (bits.unsigned()?, bits.unsigned()?);
    cropped(
        (width, height),
        left.checked_add(right)?.checked_mul(2)?,
        top.checked_add(bottom)?.checked_mul(2 * fields)?,
    )
}

/// Passes over chroma format, bit depths and scaling lists; `None` for chroma other than 4:2:0.
fn skip_high_profile(bits: &mut Bits<'_>) -> Option<()> {
    if bits.unsigned()? != 1 {
        return None;
    }
    bits.unsigned()?;
    bits.unsigned()?;
    bits.bit()?;
    if !bits.bit()? {
        return Some(());
    }
    for list in 0..8 {
        if !bits.bit()? {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + bits.signed()?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn hevc_size(sps: &[u8]) -> Option<(u32, u32)> {
    let payload = without_escapes(sps.get(2..)?);
    let sps = rusty_h265::ps::parse_sps(&payload).ok()?;
    let [left, right, top, bottom] = sps.conf_win;
    if sps.chroma_format_idc != 1 {
        return None;
    }
    cropped(
        (sps.width, sps.height),
        left.checked_add(right)?.checked_mul(2)?,
        top.checked_add(bottom)?.checked_mul(2)?,
    )
}

fn cropped(coded: (u32, u32), across: u32, down: u32) -> Option<(u32, u32)> {
    let (width, height) = (coded.0.checked_sub(across)?, coded.1.checked_sub(down)?);
    (width > 0 && height > 0).then_some((width, height))
}

fn avc_name(sps: &[u8]) -> Option<String> {
    let [_, profile, constraints, level] = sps.first_chunk::<4>()?;
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

fn avcc(sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let [_, profile, constraints, level] = *sps.first_chunk::<4>()?;
    let mut out = vec![1, profile, constraints, level, 0xff, 0xe1];
    push_set(&mut out, sps)?;
    out.push(1);
    push_set(&mut out, pps)?;
    if HIGH_PROFILES.contains(&u32::from(profile)) {
        // Chroma format 4:2:0, eight bits of luma and chroma, no extensions.
        out.extend_from_slice(&[0xfd, 0xf8, 0xf8, 0]);
    }
    Some(out)
}

fn push_set(out: &mut Vec<u8>, set: &[u8]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
    out.extend_from_slice(set);
    Some(())
}

/// Profile, tier, level: the twelve bytes that `hvcC` and the codec's name take from the parameter set.
fn hevc_profile(sps: &[u8]) -> Option<[u8; 12]> {
    without_escapes(sps).get(3..15)?.first_chunk::<12>().copied()
}

fn hevc_name(sps: &[u8]) -> Option<String> {
    let general = hevc_profile(sps)?;
    let compatible = u32::from_be_bytes([general[1], general[2], general[3], general[4]]).reverse_bits();
    let tier = if general[0] & 0x20 == 0 { 'L' } else { 'H' };
    let mut name = format!("hvc1.{}.{compatible:X}.{tier}{}", general[0] & 0x1f, general[11]);
    let constraints = &general[5..11];
    let told = constraints.len() - constraints.iter().rev().take_while(|byte| **byte == 0).count();
    for byte in &constraints[..told] {
        name.push_str(&format!(".{byte:X}"));
    }
    Some(name)
}

fn hvcc(vps: &[u8], sps: &[u8], pps: &[u8]) -> Option<Vec<u8>> {
    let parsed = rusty_h265::ps::parse_sps(&without_escapes(sps.get(2..)?)).ok()?;
    let mut out = vec![1];
    out.extend_from_slice(&hevc_profile(sps)?);
    out.extend_from_slice(&[0xf0, 0, 0xfc, 0xfc | parsed.chroma_format_idc]);
    out.push(0xf8 | parsed.bit_depth_luma.checked_sub(8)?);
    out.push(0xf8 | parsed.bit_depth_chroma.checked_sub(8)?);
    // No average frame rate; layers of time as the set tells, four bytes of length.
    out.extend_from_slice(&[0, 0]);
    out.push(
        ((parsed.max_sub_layers_minus1 & 7) + 1) << 3 | u8::from(parsed.temporal_id_nesting_flag) << 2 | 3,
    );
    out.push(3);
    for (kind, set) in [(0xa0, vps), (0xa1, sps), (0xa2, pps)] {
        out.extend_from_slice(&[kind, 0, 1]);
        push_set(&mut out, set)?;
    }
    Some(out)
}

/// The sample entry box: what an MP4 file says of the pictures.
fn sample_entry(codec: Codec, size: (u32, u32), extra_data: &[u8]) -> Option<Vec<u8>> {
    let (name, record) = match codec {
        Codec::H264 => (b"avc1", b"avcC"),
        Codec::H265 => (b"hvc1", b"hvcC"),
        Codec::Jpeg => return None,
    };
    let mut out = vec![0; 4];
    out.extend_from_slice(name);
    out.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&u16::try_from(size.0).ok()?.to_be_bytes());
    out.extend_from_slice(&u16::try_from(size.1).ok()?.to_be_bytes());
    // 72 dots per inch both ways, one frame per sample, no name, 24 bits of colour.
    out.extend_from_slice(&[0, 0x48, 0, 0, 0, 0x48, 0, 0, 0, 0, 0, 0, 0, 1]);
    out.extend_from_slice(&[0; 32]);
    out.extend_from_slice(&[0, 0x18, 0xff, 0xff]);
    out.extend_from_slice(&u32::try_from(extra_data.len() + 8).ok()?.to_be_bytes());
    out.extend_from_slice(record);
    out.extend_from_slice(extra_data);
    let length = u32::try_from(out.len()).ok()?;
    out[..4].copy_from_slice(&length.to_be_bytes());
    Some(out)
}
