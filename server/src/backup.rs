//! Backups of a data folder: what they are made of, and how one proves itself.
//!
//! A backup is a folder with the data folder's files, `manifest.json` with the hash of each of them, and
//! `manifest.sha256` with the hash of that one, as `sha256sum` writes it. The manifest is named last: a folder without
//! one is no backup, however much lies in it.
//!
//! # Why a copy of a running server is sound
//! [`store::backup::Moment`] holds all databases as they were at one moment. During that moment the journal's segments,
//! its cursors, the broker's state and the birth certificates are opened, and read at leisure afterwards: an open file
//! stays readable when the server removes or replaces it. A cursor is never beyond what the databases hold, so what
//! they lack is in those segments. So the backup is what a power cut at that moment would have left, and what the log
//! took in since comes on top: replaying it makes no second row, because a reading is keyed by series and moment and
//! a case by rule, point and beginning.
//!
//! Segments are copied newest first. A record is in a segment only when the one before is full; so the copy ends once,
//! and not in the middle.
//!
//! Evidence comes last, until a round finds that nothing has changed: the records refer to nothing that is not in it
//! then, save what retention removed, which the chain says.

mod restoring;
mod taking;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(crate) use restoring::{Restored, refuse_unfinished, restore};
pub(crate) use taking::take;

/// The format of the backups that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The oldest format that it reads. What lies in a backup has formats of its own: its databases are brought up to date when
/// they are first opened.
const OLDEST_FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const MANIFEST_HASH: &str = "manifest.sha256";

/// About 150 bytes a file: more than evidence and readings of many years.
const MAX_MANIFEST_BYTES: u64 = 1 << 30;

const PIECE_BYTES: usize = 1 << 20;

/// Files that hold keys, below the data folder.
const KEYS: [&str; 2] = ["vault.key", "evidence/signing.key"];

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The version of the program that took it.
    pub(crate) product: String,
    /// When, as RFC 3339.
    pub(crate) taken_at: String,
    /// The first position of the log in it.
    pub(crate) journal_from: u64,
    /// The position after the last record in it.
    pub(crate) journal_to: u64,
    /// The series' checkpoint.
    pub(crate) checkpoint: u64,
    /// Where judgement stood; `None` before its first snapshot.
    pub(crate) judged: Option<u64>,
    /// Whether the keys are in it.
    pub(crate) keys: bool,
    pub(crate) files: Vec<Entry>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Its name below the backup and below the data folder, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// All that is needed to tell whether the rest can be read, and by whom.
#[derive(Deserialize)]
struct Format {
    format: u32,
    product: Option<String>,
}

impl Format {
    /// Refuses what is too old or too new to be read, with the remedy.
    fn check(&self) -> anyhow::Result<()> {
        let by = self
            .product
            .as_deref()
            .map(|product| format!(" by version {product}"));
        let by = by.unwrap_or_default();
        if self.format > FORMAT {
            bail!(
                "this backup has format {}, written{by}, and this program knows formats up to {FORMAT}: a newer version \
                 wrote it; restore it with that version or a later one",
                self.format
            );
        }
        if self.format < OLDEST_FORMAT {
            bail!(
                "this backup has format {}, written{by}, and this program reads formats from {OLDEST_FORMAT} on: an \
                 older version wrote it; restore it with that version, and take a new backup with a later one",
                self.format
            );
        }
        Ok(())
    }
}

impl Manifest {
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|entry| entry.bytes).sum()
    }

    /// Writes the manifest into `dir`, in which everything else is and is on disk. From then on it is a backup.
    fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).context("cannot write the manifest")?;
        text.push(b'\n');
        let hash = format!("{}  {MANIFEST}\n", hex::encode(Sha256::digest(&text)));
        write_private(&dir.join(MANIFEST_HASH), hash.as_bytes())?;
        let draft = dir.join("manifest.json.new");
        write_private(&draft, &text)?;
        let path = dir.join(MANIFEST);
        fs::rename(&draft, &path).with_context(|| format!("cannot name {}", path.display()))?;
        sync_folder(dir)
    }

    /// Reads the manifest in `dir` and refuses what is unfinished, damaged or of a format that is not known.
    fn read(dir: &Path) -> anyhow::Result<Manifest> {
        let path = dir.join(MANIFEST);
        let size = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{} is no finished backup: it has no {MANIFEST}. Taking it was interrupted, or it is another folder; \
                 name another one",
                dir.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if size > MAX_MANIFEST_BYTES {
            bail!("{} is larger than any that was written", path.display());
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let noted = fs::read(dir.join(MANIFEST_HASH))
            .with_context(|| format!("cannot read {}", dir.join(MANIFEST_HASH).display()))?;
        let hash = format!("{}  {MANIFEST}\n", hex::encode(Sha256::digest(&text)));
        if noted != hash.as_bytes() {
            bail!(
                "{MANIFEST} and {MANIFEST_HASH} in {} do not belong together: one of them was changed; use another copy \
                 of the backup",
                dir.display()
            );
        }
        let damaged = || format!("{} is not what was written", path.display());
        let found: Format = serde_json::from_slice(&text).with_context(damaged)?;
        found.check()?;
        let manifest: Manifest = serde_json::from_slice(&text).with_context(damaged)?;
        for entry in &manifest.files {
            let name = Path::new(&entry.path);
            let inside = |part| matches!(part, Component::Normal(_));
            if entry.path.is_empty() || !name.components().all(inside) {
                bail!("{MANIFEST} names {:?}, which lies outside the backup", entry.path);
            }
        }
        Ok(manifest)
    }
}

/// Copies up to `limit` bytes of `from` into the new file `name` below `to`. [`sync_below`] makes it durable.
fn copy_hashed(
    from: impl Read,
    limit: u64,
    (to, name): (&Path, &Path),
    progress: &mut dyn FnMut(u64),
) -> anyhow::Result<Entry> {
    let target = to.join(name);
    let failed = || format!("cannot write {}", target.display());
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut file = create_private(&target).with_context(failed)?;
    let mut from = from.take(limit);
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let taken = from
            .read(&mut piece)
            .with_context(|| format!("cannot read {}", name.display()))?;
        if taken == 0 {
            break;
        }
        hash.update(&piece[..taken]);
        file.write_all(&piece[..taken]).with_context(failed)?;
        bytes += taken as u64;
        progress(taken as u64);
    }
    Ok(entry(name, bytes, hash))
}

/// Reads the file `name` below `dir`.
fn hash_file(dir: &Path, name: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<Entry> {
    let mut file = File::open(dir.join(name))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let taken = file.read(&mut piece)?;
        if taken == 0 {
            return Ok(entry(name, bytes, hash));
        }
        hash.update(&piece[..taken]);
        bytes += taken as u64;
        progress(taken as u64);
    }
}

fn entry(name: &Path, bytes: u64, hash: Sha256) -> Entry {
    Entry {
        path: name.to_string_lossy().into_owned(),
        bytes,
        sha256: hex::encode(hash.finalize()),
    }
}

/// Makes a file for its owner alone: backups hold hashes of passwords, and pictures of people.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || {
        let mut file = create_private(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes `dir` for its owner alone; one that is there must be empty.
fn make_empty(dir: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot make the folder {}", dir.display());
    fs::create_dir_all(dir).with_context(failed)?;
    if fs::read_dir(dir).with_context(failed)?.next().is_some() {
        bail!(
            "{} is not empty; name a folder that is empty or not there yet",
            dir.display()
        );
    }
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(dir, mode).with_context(failed)?;
    }
    Ok(())
}

/// Makes the names in `dir` durable.
fn sync_folder(dir: &Path) -> anyhow::Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("cannot write {}", dir.display()))
}

/// Makes everything in `dir` durable. After all is written, not file by file: the first syncs carry most of the others.
fn sync_below(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry
            .with_context(|| format!("cannot list {}", dir.display()))?
            .path();
        if path.is_dir() {
            sync_below(&path)?;
        } else {
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    sync_folder(dir)
}

/// The files in `dir` and below it, by their names below `root`.
fn files_below(root: &Path, dir: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let name = dir.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            files_below(root, &name, into)?;
        } else if kind.is_file() {
            into.push(name);
        }
    }
    Ok(())
}
