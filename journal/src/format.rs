//! The bytes on disk: segment header, records, end mark. Pure functions, no I/O.
//!
//! ```text
//! segment  header (64 bytes) | record | record | … | end mark, or zeros
//! record   crc u32 | len u32 | time_ms i64 | kind u8 | flags u8 | source_len u8 | 0
//!          | subject_len u16 | attributes_len u16 | source | subject | attributes | body
//! mark     crc u32 | len = 0xFFFF_FFFF
//! ```
//!
//! All numbers are little-endian. `len` counts the whole record. Each CRC-32C covers everything after itself
//! and starts from the segment's base position, so that a record of another segment, left over from an earlier
//! life of the same disk blocks or copied there, never passes as one of this segment.

use crate::{Envelope, Kind, Position, Record};

/// Bytes before the first record of a segment.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Bytes of the mark that says "the log goes on in the next segment".
pub(crate) const MARK_BYTES: usize = 8;
/// The format that this code writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

const RECORD_HEADER_BYTES: usize = 24;
const MARK_LEN: u32 = u32::MAX;
const MAGIC: [u8; 8] = *b"SKJOURNL";
const HEADER_CRC_AT: usize = 60;

/// What a segment's first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Sound { base: u64, bytes: u64 },
    Damaged,
    UnknownVersion(u32),
}

/// The header of the segment that holds positions `base .. base + bytes`.
pub(crate) fn encode_header(base: u64, bytes: u64) -> [u8; SEGMENT_HEADER_BYTES as usize] {
    let mut header = [0; SEGMENT_HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&base.to_le_bytes());
    header[24..32].copy_from_slice(&bytes.to_le_bytes());
    let crc = crc32c::crc32c(&header[..HEADER_CRC_AT]);
    header[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a header. Every later version keeps magic, version and CRC at these places, so that an unknown
/// version is told apart from damage.
pub(crate) fn decode_header(bytes: &[u8]) -> Header {
    let Some(header) = bytes.first_chunk::<{ SEGMENT_HEADER_BYTES as usize }>() else {
        return Header::Damaged;
    };
    let sound = header[..8] == MAGIC
        && read_u32(header, HEADER_CRC_AT) == Some(crc32c::crc32c(&header[..HEADER_CRC_AT]));
    match (
        sound,
        read_u32(header, 8),
        read_u64(header, 16),
        read_u64(header, 24),
    ) {
        (true, Some(VERSION), Some(base), Some(bytes)) => Header::Sound { base, bytes },
        (true, Some(version), ..) => Header::UnknownVersion(version),
        _ => Header::Damaged,
    }
}

/// What every CRC in the segment that begins at `base` starts from.
pub(crate) fn seed(base: u64) -> u32 {
    crc32c::crc32c(&base.to_le_bytes())
}

/// The size of an envelope as a record; `None` when one of its parts exceeds its length field.
pub(crate) fn record_bytes(envelope: &Envelope<'_>) -> Option<usize> {
    let fits = envelope.source.len() <= usize::from(u8::MAX)
        && envelope.subject.len() <= usize::from(u16::MAX)
        && envelope.attributes.len() <= usize::from(u16::MAX);
    let parts =
        RECORD_HEADER_BYTES + envelope.source.len() + envelope.subject.len() + envelope.attributes.len();
    fits.then(|| parts.checked_add(envelope.body.len())).flatten()
}

/// Appends a record of `len` bytes (from [`record_bytes`], below 4 GiB) without its CRC: [`seal`] fills it in.
pub(crate) fn push_record(out: &mut Vec<u8>, envelope: &Envelope<'_>, time_ms: i64, len: usize) {
    let narrow = "record_bytes has checked the length fields";
    let mut header = [0; RECORD_HEADER_BYTES];
    header[4..8].copy_from_slice(&u32::try_from(len).expect(narrow).to_le_bytes());
    header[8..16].copy_from_slice(&time_ms.to_le_bytes());
    header[16] = envelope.kind.0;
    header[17] = envelope.flags;
    header[18] = u8::try_from(envelope.source.len()).expect(narrow);
    header[20..22].copy_from_slice(&u16::try_from(envelope.subject.len()).expect(narrow).to_le_bytes());
    header[22..24].copy_from_slice(
        &u16::try_from(envelope.attributes.len())
            .expect(narrow)
            .to_le_bytes(),
    );
    out.reserve(len);
    out.extend_from_slice(&header);
    out.extend_from_slice(envelope.source.as_bytes());
    out.extend_from_slice(envelope.subject.as_bytes());
    out.extend_from_slice(envelope.attributes);
    out.extend_from_slice(envelope.body);
}

/// Appends an end mark without its CRC.
pub(crate) fn push_mark(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&MARK_LEN.to_le_bytes());
}

/// Fills in the CRCs of records and marks that lie end to end in `bytes`.
pub(crate) fn seal(bytes: &mut [u8], seed: u32) {
    let mut rest = bytes;
    while let Some(len) = read_u32(rest, 4) {
        let len = if len == MARK_LEN { MARK_BYTES } else { len as usize };
        let (record, after) = rest.split_at_mut(len);
        let crc = crc32c::crc32c_append(seed, &record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        rest = after;
    }
}

/// Why a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The next record needs this many bytes from its beginning; fewer were given.
    Incomplete(usize),
    /// An end mark: the rest of the segment is not used.
    Sealed,
    /// Too little room for anything more.
    Full,
    /// Zeros: nothing was written here yet.
    Unwritten,
    /// Something is here that is not a sound record.
    Damaged,
}

/// The sound records at the front of a run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    pub(crate) bytes: usize,
    pub(crate) records: u64,
    pub(crate) first_time_ms: Option<i64>,
    pub(crate) last_time_ms: Option<i64>,
    pub(crate) stop: Stop,
}

/// Checks record after record. `room` is what is left of the segment from the front of `bytes` on: no record
/// reaches beyond it.
pub(crate) fn walk(bytes: &[u8], seed: u32, room: usize) -> Walk {
    let mut walk = Walk {
        bytes: 0,
        records: 0,
        first_time_ms: None,
        last_time_ms: None,
        stop: Stop::Full,
    };
    loop {
        let rest = &bytes[walk.bytes..];
        match check(rest, seed, room - walk.bytes) {
            Ok((len, time_ms)) => {
                walk.bytes += len;
                walk.records += 1;
                walk.first_time_ms = walk.first_time_ms.or(Some(time_ms));
                walk.last_time_ms = Some(time_ms);
            }
            Err(stop) => return Walk { stop, ..walk },
        }
    }
}

/// The length and time of the sound record at the front of `rest`.
fn check(rest: &[u8], seed: u32, room: usize) -> Result<(usize, i64), Stop> {
    if room < MARK_BYTES {
        return Err(Stop::Full);
    }
    let (Some(crc), Some(len)) = (read_u32(rest, 0), read_u32(rest, 4)) else {
        return Err(Stop::Incomplete(MARK_BYTES));
    };
    let size = len as usize;
    match len {
        0 if crc == 0 => Err(Stop::Unwritten),
        MARK_LEN if crc == crc32c::crc32c_append(seed, &rest[4..MARK_BYTES]) => Err(Stop::Sealed),
        _ if size < RECORD_HEADER_BYTES || size > room => Err(Stop::Damaged),
        _ if size > rest.len() => Err(Stop::Incomplete(size)),
        _ if crc != crc32c::crc32c_append(seed, &rest[4..size]) => Err(Stop::Damaged),
        _ => decode(rest, Position::default())
            .map(|record| (size, record.time_ms))
            .ok_or(Stop::Damaged),
    }
}

/// Reads the record at the front of `bytes`; `None` when its lengths contradict each other or its texts are
/// not UTF-8. Does not look at the CRC.
pub(crate) fn decode(bytes: &[u8], position: Position) -> Option<Record<'_>> {
    let (header, _) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let len = read_u32(header, 4)? as usize;
    let parts = bytes.get(RECORD_HEADER_BYTES..len)?;
    let (source, parts) = parts.split_at_checked(usize::from(header[18]))?;
    let (subject, parts) = parts.split_at_checked(usize::from(read_u16(header, 20)?))?;
    let (attributes, body) = parts.split_at_checked(usize::from(read_u16(header, 22)?))?;
    Some(Record {
        position,
        next: Position(position.0 + len as u64),
        time_ms: i64::from_le_bytes(*header[8..].first_chunk()?),
        envelope: Envelope {
            kind: Kind(header[16]),
            flags: header[17],
            source: std::str::from_utf8(source).ok()?,
            subject: std::str::from_utf8(subject).ok()?,
            attributes,
            body,
        },
    })
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_le_bytes(*bytes))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}
