//! Named durable cursors: how far each consumer has come. The lowest one holds the segments.
//!
//! A cursor is a small file made once (written aside, synced, renamed, directory synced). It has two slots, written
//! in turn and synced in place: a torn write leaves the other slot, and a full disk, which only a moving cursor
//! can relieve, does not stop it from moving.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
};

use crate::{
    JournalError, Position,
    disk::{self, Disk},
    segment::HIGHEST_BASE,
};

const SUFFIX: &str = ".cursor";
const UNFINISHED_SUFFIX: &str = ".cursor-unfinished";
const MAGIC: [u8; 8] = *b"SKCURSOR";
const VERSION: u32 = 1;
/// Slots lie in different blocks of any usual disk, so that one write never tears both.
const SLOT_SPACING_BYTES: u64 = 4096;
const SLOT_BYTES: usize = 32;
const CRC_AT: usize = 28;
const NAME_MAX_BYTES: usize = 64;

/// All cursors of a journal.
#[derive(Debug)]
pub(crate) struct Cursors {
    dir: PathBuf,
    cursors: BTreeMap<String, Cursor>,
}

#[derive(Debug)]
struct Cursor {
    file: File,
    slot: Slot,
}

/// One written state of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// Counts the writes; its lowest bit says which slot.
    generation: u64,
    position: u64,
}

impl Cursors {
    /// Reads the cursors of a directory. One whose slots are both damaged starts over at the log's start: its
    /// consumer reads records twice rather than not at all.
    pub(crate) fn load(dir: &Path) -> Result<Cursors, JournalError> {
        let mut cursors = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
            let path = entry.map_err(JournalError::io("list", dir))?.path();
            let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            if file_name.ends_with(UNFINISHED_SUFFIX) {
                fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
                continue;
            }
            let Some(name) = file_name.strip_suffix(SUFFIX) else {
                continue;
            };
            if cursor_path(dir, name).is_err() {
                // Not ours: nobody could move it, and it would hold the log for ever.
                continue;
            }
            cursors.insert(name.to_owned(), Cursor::open(&path)?);
        }
        Ok(Cursors {
            dir: dir.to_owned(),
            cursors,
        })
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.cursors.get(name).map(|cursor| cursor.slot.position)
    }

    /// The lowest position: segments below it are free. `None` without cursors: then everything is kept.
    pub(crate) fn lowest(&self) -> Option<u64> {
        self.cursors.values().map(|cursor| cursor.slot.position).min()
    }

    pub(crate) fn highest(&self) -> Option<u64> {
        self.cursors.values().map(|cursor| cursor.slot.position).max()
    }

    pub(crate) fn all(&self) -> Vec<(String, Position)> {
        let pair = |(name, cursor): (&String, &Cursor)| (name.clone(), Position(cursor.slot.position));
        self.cursors.iter().map(pair).collect()
    }

    /// Moves a cursor forward, or registers a new one; does nothing when it is there or beyond.
    pub(crate) fn advance(&mut self, name: &str, to: u64, disk: &dyn Disk) -> Result<(), JournalError> {
        let path = cursor_path(&self.dir, name)?;
        match self.cursors.get_mut(name) {
            Some(cursor) if cursor.slot.position >= to => Ok(()),
            Some(cursor) => cursor.advance(to, disk).map_err(JournalError::io("write", &path)),
            None => {
                let cursor =
                    Cursor::create(&self.dir, name, to, disk).map_err(JournalError::io("create", &path))?;
                self.cursors.insert(name.to_owned(), cursor);
                Ok(())
            }
        }
    }

    /// Forgets a cursor; true when there was one.
    pub(crate) fn remove(&mut self, name: &str, disk: &dyn Disk) -> Result<bool, JournalError> {
        let path = cursor_path(&self.dir, name)?;
        if self.cursors.remove(name).is_none() {
            return Ok(false);
        }
        fs::remove_file(&path)
            .and_then(|()| disk.sync_directory(&self.dir))
            .map_err(JournalError::io("remove", &path))?;
        Ok(true)
    }
}

/// Every cursor of a directory and where it stands, as far as it can be read. Changes nothing.
pub(crate) fn peek(dir: &Path) -> Result<Vec<(String, Position)>, JournalError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(JournalError::io("list", dir))? {
        let path = entry.map_err(JournalError::io("list", dir))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(SUFFIX));
        let Some(name) = name.filter(|name| cursor_path(dir, name).is_ok()) else {
            continue;
        };
        let file = File::open(&path).map_err(JournalError::io("open", &path))?;
        if let Some(slot) = newest_slot(&file, &path)? {
            found.push((name.to_owned(), Position(slot.position)));
        }
    }
    found.sort();
    Ok(found)
}

/// The slot written last; `None` when both are damaged.
fn newest_slot(file: &File, path: &Path) -> Result<Option<Slot>, JournalError> {
    let mut newest: Option<Slot> = None;
    for index in 0..2 {
        let mut bytes = [0; SLOT_BYTES];
        let read = disk::read_at(file, &mut bytes, index * SLOT_SPACING_BYTES)
            .map_err(JournalError::io("read", path))?;
        let slot = decode(&bytes[..read]).map_err(|version| JournalError::UnknownVersion {
            file: path.to_owned(),
            version,
        })?;
        newest = newest.into_iter().chain(slot).max_by_key(|slot| slot.generation);
    }
    Ok(newest)
}

impl Cursor {
    fn open(path: &Path) -> Result<Cursor, JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(JournalError::io("open", path))?;
        let slot = newest_slot(&file, path)?.unwrap_or_else(|| {
            tracing::error!(
                cursor.file = %path.display(),
                "A cursor is damaged; its consumer starts over at the journal's start"
            );
            Slot {
                generation: 0,
                position: 0,
            }
        });
        Ok(Cursor { file, slot })
    }

    fn create(dir: &Path, name: &str, position: u64, disk: &dyn Disk) -> std::io::Result<Cursor> {
        let unfinished = dir.join(format!("{name}{UNFINISHED_SUFFIX}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&unfinished)?;
        disk.write_at(&file, &[0; 2 * SLOT_SPACING_BYTES as usize], 0)?;
        let mut cursor = Cursor {
            file,
            slot: Slot {
                generation: 0,
                position,
            },
        };
        cursor.advance(position, disk)?;
        fs::rename(&unfinished, dir.join(format!("{name}{SUFFIX}")))?;
        disk.sync_directory(dir)?;
        Ok(cursor)
    }

    fn advance(&mut self, position: u64, disk: &dyn Disk) -> std::io::Result<()> {
        let slot = Slot {
            generation: self.slot.generation.wrapping_add(1),
            position,
        };
        disk.write_at(
            &self.file,
            &encode(slot),
            (slot.generation % 2) * SLOT_SPACING_BYTES,
        )?;
        disk.sync_data(&self.file)?;
        self.slot = slot;
        Ok(())
    }
}

fn cursor_path(dir: &Path, name: &str) -> Result<PathBuf, JournalError> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(allowed) {
        return Err(JournalError::CursorName);
    }
    Ok(dir.join(format!("{name}{SUFFIX}")))
}

fn encode(slot: Slot) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&slot.generation.to_le_bytes());
    bytes[20..28].copy_from_slice(&slot.position.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A slot, `None` when it is damaged or was never written, or the version that this program cannot read.
fn decode(bytes: &[u8]) -> Result<Option<Slot>, u32> {
    let Some(bytes) = bytes.first_chunk::<SLOT_BYTES>() else {
        return Ok(None);
    };
    let (content, crc) = bytes.split_at(CRC_AT);
    if content[..8] != MAGIC || crc != crc32c::crc32c(content).to_le_bytes() {
        return Ok(None);
    }
    let number = |at: usize| {
        content[at..]
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let version = content[8..]
        .first_chunk()
        .map_or(0, |bytes| u32::from_le_bytes(*bytes));
    if version != VERSION {
        return Err(version);
    }
    let slot = Slot {
        generation: number(12),
        position: number(20),
    };
    Ok(Some(slot).filter(|slot| slot.position < HIGHEST_BASE))
}
