//! Files that hold one secret key of 32 bytes: made on first use, readable by their owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// The length of a key in bytes.
const KEY_BYTES: usize = 32;

/// Why a key file cannot be used. Nothing of the key is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Others than its owner may read or change it.
    #[error("the key file {} has mode {mode:o}: others may read it; run `chmod 600` on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("the key file {} does not hold 64 hexadecimal digits; restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the key file {} cannot be read or made; check that its folder exists and is writable", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Reads the key in `path`; makes a random one there when there is none.
pub(crate) fn read_or_make(path: &Path) -> Result<[u8; KEY_BYTES], KeyFileError> {
    match read(path)? {
        Some(key) => Ok(key),
        None => {
            make(path).map_err(|source| failed(path, source))?;
            // Read back: another process may have been faster, and its key holds.
            read(path)?.ok_or_else(|| failed(path, io::ErrorKind::NotFound.into()))
        }
    }
}

/// Reads the key in `path`; `None` when there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, KeyFileError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, source)),
    };
    refuse_exposed(path, &file)?;
    let mut text = String::new();
    // One more than a key and its line end: a longer file is not a key.
    file.take(KEY_BYTES as u64 * 2 + 2)
        .read_to_string(&mut text)
        .map_err(|source| failed(path, source))?;
    let mut key = [0; KEY_BYTES];
    match hex::decode_to_slice(text.trim_end(), &mut key) {
        Ok(()) => Ok(Some(key)),
        Err(_not_hex) => Err(KeyFileError::Malformed {
            path: path.to_owned(),
        }),
    }
}

fn failed(path: &Path, source: io::Error) -> KeyFileError {
    KeyFileError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Judged on the open file, so that no other can be put in its place in between.
fn refuse_exposed(path: &Path, file: &File) -> Result<(), KeyFileError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = file.metadata().map_err(|source| failed(path, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
    }
    Ok(())
}

/// Makes the file with a random key, whole or not at all. One that is there already is left as it is.
fn make(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut tag = [0; 8];
    getrandom::fill(&mut tag).map_err(io::Error::other)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", hex::encode(tag)));
    let draft = PathBuf::from(draft);
    let written = write_private(&draft, &format!("{}\n", hex::encode(key)));
    // A link, not a renaming: it fails where a key is there already, instead of replacing it.
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    });
    let removed = fs::remove_file(&draft);
    linked.and(removed)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        assert!(read(&path).unwrap().is_none());
        let key = read_or_make(&path).unwrap();
        assert_ne!(key, [0; 32]);
        assert_eq!(read_or_make(&path).unwrap(), key);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left");
        assert_ne!(read_or_make(&dir.path().join("b.key")).unwrap(), key);
    }

    #[test]
    fn many_at_once_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make(&path))).collect();
            threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in ["", "abc", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)]
            .into_iter()
            .enumerate()
        {
            let path = dir.path().join(format!("{n}.key"));
            write_private(&path, text).unwrap();
            let error = read_or_make(&path).unwrap_err();
            assert!(
                matches!(error, KeyFileError::Malformed { .. }),
                "{text}: {error:?}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left as it is");
        }
        let nowhere = read_or_make(&dir.path().join("missing").join("a.key")).unwrap_err();
        assert!(matches!(nowhere, KeyFileError::Io { .. }), "{nowhere:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        read_or_make(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        for open_mode in [0o640, 0o604, 0o620, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open_mode)).unwrap();
            let error = read_or_make(&path).unwrap_err();
            assert!(
                matches!(error, KeyFileError::Exposed { mode, .. } if mode == open_mode),
                "{error:?}"
            );
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
}
