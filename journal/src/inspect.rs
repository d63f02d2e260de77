//! Looks at a journal's files without changing them, whether it is running, stopped or damaged.

use std::path::{Path, PathBuf};

use crate::{
    JournalError, Position, cursor,
    format::{self, Header},
    scan::{self, Tail},
    segment::{self, Found},
};

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub file: PathBuf,
    /// The position at which it begins.
    pub base: Position,
    /// The file's size.
    pub bytes: u64,
    /// Sound records from the beginning up to the first damage.
    pub records: u64,
    /// The position after the last of them.
    pub end: Position,
    /// The first record's time, in milliseconds since 1970.
    pub first_time_ms: Option<i64>,
    /// The last sound record's time.
    pub last_time_ms: Option<i64>,
    /// What is wrong with it. In the newest segment of a running journal [`Damage::Tail`] may be a batch that is
    /// just being written.
    pub damage: Option<Damage>,
}

/// What is wrong with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The header; the records are readable by the file's name and size.
    Header,
    /// What follows [`SegmentReport::end`].
    Tail,
    /// Written by a newer program, with this format version; not read.
    UnknownVersion(u32),
}

/// Reports on every segment of the journal in `dir`, oldest first. Takes no lock and writes nothing.
///
/// # Errors
/// [`JournalError::Io`] when the directory or a file cannot be read.
pub fn segments(dir: &Path) -> Result<Vec<SegmentReport>, JournalError> {
    let mut reports = Vec::new();
    for found in segment::list(dir, 0)? {
        reports.extend(report(dir, &found)?);
    }
    Ok(reports)
}

/// Every cursor of the journal in `dir` and where it stands, by name. Takes no lock and writes nothing.
///
/// # Errors
/// [`JournalError::Io`] when the directory or a file cannot be read, [`JournalError::UnknownVersion`] for a cursor of
/// a newer program.
pub fn cursors(dir: &Path) -> Result<Vec<(String, Position)>, JournalError> {
    cursor::peek(dir)
}

/// `None` when the running journal has just freed the segment.
fn report(dir: &Path, found: &Found) -> Result<Option<SegmentReport>, JournalError> {
    let segment = found.segment;
    let file = segment.path(dir);
    let mut report = SegmentReport {
        base: Position(segment.base),
        bytes: found.file_bytes,
        records: 0,
        end: Position(segment.data_start()),
        first_time_ms: None,
        last_time_ms: None,
        damage: None,
        file,
    };
    if let Header::UnknownVersion(version) = found.header {
        report.damage = Some(Damage::UnknownVersion(version));
        return Ok(Some(report));
    }
    let opened = match segment.open_for_reading(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(JournalError::io("open", &report.file))?,
    };
    let scan = scan::scan(&opened, &segment).map_err(JournalError::io("read", &report.file))?;
    report.records = scan.records;
    report.end = Position(scan.end);
    report.first_time_ms = scan.first_time_ms;
    report.last_time_ms = scan.last_time_ms;
    report.damage = match (found.header, scan.tail) {
        (_, Tail::Damaged) => Some(Damage::Tail),
        (Header::Damaged, _) => Some(Damage::Header),
        _ => None,
    };
    Ok(Some(report))
}

/// How many sound records stand at the front of `bytes`, taken as the content of the segment that begins at
/// `base`, header left out; and how many bytes they take. Never fails: it is what recovery rests on.
#[must_use]
pub fn sound_records(bytes: &[u8], base: Position) -> (u64, usize) {
    let walk = format::walk(bytes, format::seed(base.0), bytes.len());
    (walk.records, walk.bytes)
}
