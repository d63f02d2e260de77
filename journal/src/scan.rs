//! Walks a whole segment file in windows: for recovery and for inspection.

use std::{fs::File, io};

use crate::{
    disk,
    format::{self, SEGMENT_HEADER_BYTES, Stop},
    segment::Segment,
};

/// Bytes read at a time; more only where one record is larger.
const WINDOW_BYTES: usize = 256 * 1024;

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) records: u64,
    /// The position after the last sound record.
    pub(crate) end: u64,
    pub(crate) first_time_ms: Option<i64>,
    pub(crate) last_time_ms: Option<i64>,
    pub(crate) tail: Tail,
}

/// What comes after the last sound record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros to the end of the segment: the log may go on here.
    Clean,
    /// An end mark, or no room: the log goes on in the next segment.
    Sealed,
    /// A torn record, flipped bits, or a file cut short: nothing here can be told from what was acknowledged.
    Damaged,
}

/// Reads `segment` from `file`, up to the first byte that is not a sound record.
pub(crate) fn scan(file: &File, segment: &Segment) -> io::Result<Scan> {
    let seed = format::seed(segment.base);
    let mut scan = Scan {
        records: 0,
        end: segment.data_start(),
        first_time_ms: None,
        last_time_ms: None,
        tail: Tail::Sealed,
    };
    let mut window = Vec::new();
    let mut wanted = WINDOW_BYTES;
    loop {
        let room = usize::try_from(segment.end() - scan.end).unwrap_or(usize::MAX);
        window.resize(wanted.min(room), 0);
        let filled = disk::read_at(file, &mut window, scan.end - segment.base)?;
        let walk = format::walk(&window[..filled], seed, room);
        scan.records += walk.records;
        scan.end += walk.bytes as u64;
        scan.first_time_ms = scan.first_time_ms.or(walk.first_time_ms);
        scan.last_time_ms = walk.last_time_ms.or(scan.last_time_ms);
        let cut_short = filled < window.len();
        scan.tail = match walk.stop {
            Stop::Incomplete(bytes) if !cut_short => {
                wanted = bytes.max(WINDOW_BYTES);
                continue;
            }
            Stop::Sealed | Stop::Full => Tail::Sealed,
            Stop::Unwritten if !cut_short && zeros_follow(file, segment, scan.end)? => Tail::Clean,
            Stop::Incomplete(_) | Stop::Unwritten | Stop::Damaged => Tail::Damaged,
        };
        return Ok(scan);
    }
}

/// Whether the segment is whole and holds nothing from `position` on.
fn zeros_follow(file: &File, segment: &Segment, position: u64) -> io::Result<bool> {
    let mut offset = position - segment.base;
    if file.metadata()?.len() < segment.bytes {
        return Ok(false);
    }
    let zeros = vec![0; WINDOW_BYTES];
    let mut window = zeros.clone();
    while offset < segment.bytes {
        let left = usize::try_from(segment.bytes - offset).unwrap_or(usize::MAX);
        let wanted = left.min(WINDOW_BYTES);
        let filled = disk::read_at(file, &mut window[..wanted], offset)?;
        if filled < wanted || window[..filled] != zeros[..filled] {
            return Ok(false);
        }
        offset += filled as u64;
    }
    Ok(true)
}

/// The bytes of a segment that records may take.
pub(crate) fn payload_bytes(segment_bytes: u64) -> u64 {
    segment_bytes - SEGMENT_HEADER_BYTES - format::MARK_BYTES as u64
}
