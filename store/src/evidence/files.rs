//! Files of the archive. What is written appears whole or not at all, and is on disk when the call returns.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use domain::EvidenceId;

use super::{error::EvidenceError, keys::Hash256};

/// Folders of the archive.
pub(super) const CHAIN: &str = "chain";
pub(super) const MANIFESTS: &str = "manifests";
pub(super) const BLOBS: &str = "blobs";
const DRAFTS: &str = "tmp";

/// Files of the archive.
pub(super) const HEAD: &str = "head";
pub(super) const PUBLIC_KEY: &str = "public.key";
pub(super) const SIGNING_KEY: &str = "signing.key";

/// The name of a blob below the archive: two digits a folder, so that none holds too many.
pub(super) fn blob_path(hash: &Hash256) -> PathBuf {
    let text = hash.to_string();
    [BLOBS, &text[..2], &text].iter().collect()
}

/// The name of a manifest below the archive.
pub(super) fn manifest_path(id: &EvidenceId) -> PathBuf {
    let text = id.to_string();
    [MANIFESTS, &text[..2], &format!("{text}.json")].iter().collect()
}

/// The archive's folder.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    drafts: AtomicU64,
    /// So many steps from now, so many of them fail: all of them, as in a crash, or one, as on a full disk.
    #[cfg(test)]
    pub(super) fail: std::sync::Mutex<(u32, u32)>,
}

impl Files {
    /// The archive in `root`, which is made when it is missing, for its owner alone.
    pub(super) fn open(root: &Path) -> Result<Files, EvidenceError> {
        fs::create_dir_all(root).map_err(EvidenceError::io(root))?;
        make_private(root)?;
        Ok(Files {
            root: root.to_owned(),
            drafts: AtomicU64::new(0),
            #[cfg(test)]
            fail: std::sync::Mutex::new((0, 0)),
        })
    }

    /// Makes the folders that are missing, and empties the one for drafts: whoever calls this has the archive
    /// for itself.
    pub(super) fn prepare(&self) -> Result<(), EvidenceError> {
        let drafts = self.path(DRAFTS);
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(EvidenceError::io(&drafts)(error));
            }
            _gone => {}
        }
        let folders = [CHAIN, MANIFESTS, BLOBS, DRAFTS];
        folders
            .iter()
            .try_for_each(|folder| self.make_folder(Path::new(folder)))
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file whose name says what it holds. One that is there and holds it stays; one that holds
    /// something else is mended.
    pub(super) fn write_named(&self, name: &Path, bytes: &[u8]) -> Result<(), EvidenceError> {
        let path = self.path(name);
        match read_bounded(&path, bytes.len()) {
            Ok(Some(there)) if there == bytes => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(EvidenceError::io(&path)(error));
            }
            _absent_or_otherwise => {}
        }
        if let Some(folder) = name.parent() {
            self.make_folder(folder)?;
        }
        self.replace(name, bytes)
    }

    /// Writes a file in the place of the one that is there.
    pub(super) fn replace(&self, name: &Path, bytes: &[u8]) -> Result<(), EvidenceError> {
        let path = self.path(name);
        let number = self.drafts.fetch_add(1, Ordering::Relaxed);
        let draft = self.path(DRAFTS).join(number.to_string());
        let written = self.step(&draft).and_then(|()| {
            let write = || {
                let mut file = File::create(&draft)?;
                file.write_all(bytes)?;
                file.sync_all()
            };
            write().map_err(EvidenceError::io(&path))
        });
        let renamed = written
            .and_then(|()| self.step(&path))
            .and_then(|()| fs::rename(&draft, &path).map_err(EvidenceError::io(&path)));
        if let Err(error) = renamed {
            // A draft that cannot be removed now is removed at the next opening.
            if let Err(left) = fs::remove_file(&draft) {
                tracing::debug!(path = %draft.display(), error = %left, "a draft of evidence is left behind");
            }
            return Err(error);
        }
        self.sync_folder(name.parent().unwrap_or(Path::new("")))
    }

    /// Removes a file; one that is not there is removed.
    pub(super) fn remove(&self, name: &Path) -> Result<(), EvidenceError> {
        let path = self.path(name);
        self.step(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(EvidenceError::io(&path)(error)),
            _gone => Ok(()),
        }
    }

    /// Makes what happened to names in `folder` durable.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<(), EvidenceError> {
        let path = self.path(folder);
        self.step(&path)?;
        let synced = File::open(&path).and_then(|folder| folder.sync_all());
        synced.map_err(EvidenceError::io(&path))
    }

    fn make_folder(&self, folder: &Path) -> Result<(), EvidenceError> {
        let path = self.path(folder);
        if path.is_dir() {
            return Ok(());
        }
        self.step(&path)?;
        fs::create_dir(&path).map_err(EvidenceError::io(&path))?;
        self.sync_folder(folder.parent().unwrap_or(Path::new("")))
    }

    #[cfg(test)]
    pub(super) fn step(&self, path: &Path) -> Result<(), EvidenceError> {
        let mut fail = self.fail.lock().unwrap();
        match &mut *fail {
            (0, 0) => Ok(()),
            (0, failures) => {
                *failures -= 1;
                Err(EvidenceError::Full {
                    path: path.to_owned(),
                })
            }
            (steps, _) => {
                *steps -= 1;
                Ok(())
            }
        }
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "in tests it fails on purpose"
    )]
    pub(super) fn step(&self, _path: &Path) -> Result<(), EvidenceError> {
        Ok(())
    }
}

fn make_private(folder: &Path) -> Result<(), EvidenceError> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(folder, mode).map_err(EvidenceError::io(folder))?;
    }
    Ok(())
}

/// The bytes of a file; `None` when it has more than `max`.
pub(super) fn read_bounded(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(size.min(max) + 1);
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= max).then_some(bytes))
}

/// The files two folders below `folder`, as paths below `root`.
pub(super) fn names_below(root: &Path, folder: &str) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for outer in fs::read_dir(root.join(folder))? {
        let outer = outer?;
        if !outer.file_type()?.is_dir() {
            names.push(Path::new(folder).join(outer.file_name()));
            continue;
        }
        for inner in fs::read_dir(outer.path())? {
            names.push(Path::new(folder).join(outer.file_name()).join(inner?.file_name()));
        }
    }
    names.sort();
    Ok(names)
}
