//! Opening: finds where the log ends, cuts what is torn, and loses nothing before it.
//!
//! Only the end of the log is read here: a batch is synced before the next segment is touched, so the newest
//! segment that holds anything is the only one that a crash can tear. Damage further back is met, reported and
//! passed over by readers.
//!
//! A segment whose tail is torn is sealed behind its last sound record, and the log goes on in the next one. So
//! no position is ever used twice, a half-written batch cannot come back to life behind newer records, and the
//! torn bytes stay where they are for an inspection.

use std::{collections::VecDeque, fs::File, path::Path};

use crate::{
    JournalError,
    disk::Disk,
    format::{self, Header},
    options::Options,
    scan::{Scan, Tail, scan},
    segment::{self, Found, Segment},
};

/// Where the log stands after opening.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// All segments in order. Behind the active one there may be another, prepared and empty.
    pub(crate) segments: Vec<Segment>,
    /// The segment that takes the next record.
    pub(crate) active: Segment,
    /// The active segment's file.
    pub(crate) file: File,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// The time of the newest record.
    pub(crate) last_time_ms: Option<i64>,
}

/// Opens the log in `options.dir`, or begins it. `highest_cursor`: the log goes on no earlier than there, even
/// where the records before it are gone.
pub(crate) fn recover(
    options: &Options,
    disk: &dyn Disk,
    highest_cursor: u64,
) -> Result<Recovered, JournalError> {
    let dir = options.dir.as_path();
    segment::remove_unfinished(dir)?;
    let found = segment::list(dir, options.segment_bytes)?;
    refuse_unknown_versions(dir, &found)?;
    let mut segments: Vec<Segment> = found.iter().map(|found| found.segment).collect();
    let mut empty = VecDeque::new();
    let mut tail = None;
    while let Some(segment) = segments.last().copied() {
        let (file, scan) = open_and_scan(dir, &segment)?;
        if scan.records > 0 || scan.tail != Tail::Clean {
            tail = Some((segment, file, scan));
            break;
        }
        empty.push_front(segment);
        segments.pop();
    }
    let last_time_ms = newest_time(dir, tail.as_ref().map(|(.., scan)| scan), &segments)?;
    let (active, file, end) = match tail {
        Some((segment, file, scan)) if scan.tail == Tail::Clean && scan.end >= highest_cursor => {
            (segment, file, scan.end)
        }
        other => {
            if let Some((segment, file, scan)) = other {
                cut(dir, disk, &segment, &file, &scan)?;
            }
            let end = segments.last().map_or(0, Segment::end).max(highest_cursor);
            let active = next_segment(options, disk, &mut empty, end)?;
            segments.push(active);
            let path = active.path(dir);
            let file = active
                .open_for_writing(dir)
                .map_err(JournalError::io("open", &path))?;
            (active, file, active.data_start())
        }
    };
    keep_prepared(dir, &mut segments, empty)?;
    Ok(Recovered {
        segments,
        active,
        file,
        end,
        last_time_ms,
    })
}

fn refuse_unknown_versions(dir: &Path, found: &[Found]) -> Result<(), JournalError> {
    for found in found {
        match found.header {
            Header::UnknownVersion(version) => {
                return Err(JournalError::UnknownVersion {
                    file: found.segment.path(dir),
                    version,
                });
            }
            Header::Damaged => tracing::warn!(
                segment.file = found.segment.file_name(),
                "A journal segment's header is damaged; its records are read by its name and size"
            ),
            Header::Sound { .. } => {}
        }
    }
    Ok(())
}

fn open_and_scan(dir: &Path, segment: &Segment) -> Result<(File, Scan), JournalError> {
    let path = segment.path(dir);
    let file = segment
        .open_for_writing(dir)
        .map_err(JournalError::io("open", &path))?;
    let scan = scan(&file, segment).map_err(JournalError::io("read", &path))?;
    Ok((file, scan))
}

/// The newest record's time: in the tail, or in the last segment before it that has records.
fn newest_time(dir: &Path, tail: Option<&Scan>, segments: &[Segment]) -> Result<Option<i64>, JournalError> {
    let Some(tail) = tail else { return Ok(None) };
    if tail.last_time_ms.is_some() {
        return Ok(tail.last_time_ms);
    }
    for segment in segments.iter().rev().skip(1) {
        let (_, scan) = open_and_scan(dir, segment)?;
        if scan.last_time_ms.is_some() {
            return Ok(scan.last_time_ms);
        }
    }
    Ok(None)
}

/// Seals a segment behind its last sound record.
fn cut(dir: &Path, disk: &dyn Disk, segment: &Segment, file: &File, scan: &Scan) -> Result<(), JournalError> {
    if scan.tail == Tail::Sealed {
        return Ok(());
    }
    tracing::warn!(
        segment.file = segment.file_name(),
        segment.records = scan.records,
        journal.position = scan.end,
        "The journal's end is torn; it is cut behind the last sound record"
    );
    if segment.end() - scan.end < format::MARK_BYTES as u64 {
        return Ok(());
    }
    let mut mark = Vec::with_capacity(format::MARK_BYTES);
    format::push_mark(&mut mark);
    format::seal(&mut mark, format::seed(segment.base));
    disk.write_at(file, &mark, scan.end - segment.base)
        .and_then(|()| disk.sync_data(file))
        .map_err(JournalError::io("seal", &segment.path(dir)))
}

/// An empty segment that begins at `end` or behind it: one that is there already, or a new one.
fn next_segment(
    options: &Options,
    disk: &dyn Disk,
    empty: &mut VecDeque<Segment>,
    end: u64,
) -> Result<Segment, JournalError> {
    while let Some(segment) = empty.pop_front() {
        if segment.data_start() >= end {
            return Ok(segment);
        }
        remove(&options.dir, &segment)?;
    }
    let segment = Segment {
        base: end,
        bytes: options.segment_bytes,
    };
    let path = segment.path(&options.dir);
    segment
        .create(&options.dir, disk)
        .map_err(JournalError::io("create", &path))?;
    Ok(segment)
}

/// Of the empty segments behind the active one, keeps those that follow without a gap.
fn keep_prepared(
    dir: &Path,
    segments: &mut Vec<Segment>,
    empty: VecDeque<Segment>,
) -> Result<(), JournalError> {
    for segment in empty {
        if segments.last().is_some_and(|last| last.end() == segment.base) {
            segments.push(segment);
        } else {
            remove(dir, &segment)?;
        }
    }
    Ok(())
}

fn remove(dir: &Path, segment: &Segment) -> Result<(), JournalError> {
    segment
        .remove(dir)
        .map_err(JournalError::io("remove", &segment.path(dir)))
}
