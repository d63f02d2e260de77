//! Segment files: their names, their making, and what a directory holds.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::{
    JournalError,
    disk::{self, Disk},
    format::{self, Header, SEGMENT_HEADER_BYTES},
    options::SEGMENT_MAX_BYTES,
};

const SUFFIX: &str = ".seg";
/// A segment in the making. Not a segment's name, so a half-made one is never read.
const UNFINISHED: &str = "unfinished.tmp";
/// Zeros are written and synced in pieces of this size, so that a commit meanwhile waits for one piece at most.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// A base beyond this is not one of ours: positions would overflow.
pub(crate) const HIGHEST_BASE: u64 = 1 << 62;

/// One file of the log: it holds the positions `base .. end()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) bytes: u64,
}

impl Segment {
    /// Where the next segment begins.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes
    }

    /// The position of its first record.
    pub(crate) fn data_start(&self) -> u64 {
        self.base + SEGMENT_HEADER_BYTES
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{:020}{SUFFIX}", self.base)
    }

    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(self.file_name())
    }

    pub(crate) fn open_for_reading(&self, dir: &Path) -> io::Result<File> {
        File::open(self.path(dir))
    }

    pub(crate) fn open_for_writing(&self, dir: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path(dir))
    }

    /// Makes the file: zeros written, header in place, name and content durable. It appears whole or not at all.
    pub(crate) fn create(&self, dir: &Path, disk: &dyn Disk) -> io::Result<()> {
        let unfinished = dir.join(UNFINISHED);
        let made = self.fill(&unfinished, disk);
        if made.is_err() {
            // Gives the space back to whoever has run out of it. The first error is the one that matters.
            remove_if_present(&unfinished)?;
        }
        made?;
        fs::rename(&unfinished, self.path(dir))?;
        disk.sync_directory(dir)
    }

    fn fill(&self, path: &Path, disk: &dyn Disk) -> io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let piece = vec![0; PIECE_BYTES.min(usize::try_from(self.bytes).unwrap_or(PIECE_BYTES))];
        let mut offset = 0;
        while offset < self.bytes {
            let left = usize::try_from(self.bytes - offset).unwrap_or(usize::MAX);
            let piece = &piece[..piece.len().min(left)];
            disk.write_at(&file, piece, offset)?;
            disk.sync_data(&file)?;
            offset += piece.len() as u64;
        }
        disk.write_at(&file, &format::encode_header(self.base, self.bytes), 0)?;
        disk.sync_data(&file)
    }

    pub(crate) fn remove(&self, dir: &Path) -> io::Result<()> {
        remove_if_present(&self.path(dir))
    }
}

/// Removes what a crash left half made.
pub(crate) fn remove_unfinished(dir: &Path) -> Result<(), JournalError> {
    let path = dir.join(UNFINISHED);
    remove_if_present(&path).map_err(JournalError::io("remove", &path))
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A segment as found in the directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) segment: Segment,
    pub(crate) header: Header,
    pub(crate) file_bytes: u64,
}

impl Found {
    /// The segment up to where the next one begins; `None` when that leaves no room for a header.
    fn cut_to(mut self, next_base: Option<u64>) -> Option<Found> {
        if let Some(next) = next_base {
            self.segment.bytes = self.segment.bytes.min(next - self.segment.base);
        }
        (self.segment.bytes >= SEGMENT_HEADER_BYTES).then_some(self)
    }
}

/// All segments of a directory in order. A damaged header costs nothing but a warning: name and file size say
/// the same. Where they do not, the segment counts as `least_bytes` long, so that no position is used twice.
pub(crate) fn list(dir: &Path, least_bytes: u64) -> Result<Vec<Found>, JournalError> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
        let entry = entry.map_err(JournalError::io("list", dir))?;
        bases.extend(entry.file_name().to_str().and_then(base_of));
    }
    bases.sort_unstable();
    let mut found = Vec::with_capacity(bases.len());
    for (index, &base) in bases.iter().enumerate() {
        let next_base = bases.get(index + 1).copied();
        let bare = Segment { base, bytes: 0 };
        match look(&bare, least_bytes, dir) {
            Ok(one) => found.extend(one.cut_to(next_base)),
            // Freed by the running journal while an inspection was under way.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("read", &bare.path(dir))(error)),
        }
    }
    Ok(found)
}

fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let well_formed = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    well_formed
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|base| *base < HIGHEST_BASE)
}

fn look(bare: &Segment, least_bytes: u64, dir: &Path) -> io::Result<Found> {
    let file = bare.open_for_reading(dir)?;
    let file_bytes = file.metadata()?.len();
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = disk::read_at(&file, &mut bytes, 0)?;
    let header = match format::decode_header(&bytes[..read]) {
        // A copy of another segment under this name.
        Header::Sound { base, .. } if base != bare.base => Header::Damaged,
        header => header,
    };
    let stated = match header {
        Header::Sound { bytes, .. } => bytes.min(SEGMENT_MAX_BYTES),
        _ => file_bytes.max(least_bytes),
    };
    let segment = Segment {
        base: bare.base,
        bytes: stated.max(SEGMENT_HEADER_BYTES),
    };
    Ok(Found {
        segment,
        header,
        file_bytes,
    })
}
