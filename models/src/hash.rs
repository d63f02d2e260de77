//! The hash by which a model file is known.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a model file. Its text is 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileHash([u8; 32]);

impl FileHash {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> FileHash {
        FileHash(Sha256::digest(bytes).into())
    }

    /// Reads 64 hexadecimal digits of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<FileHash> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(FileHash(bytes))
    }

    /// The first 12 digits: enough for people to tell two files apart.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHash({})", self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_what_it_writes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(FileHash::of(b"").to_string(), empty);
        assert_eq!(FileHash::parse(empty), Some(FileHash::of(b"")));
        assert_eq!(FileHash::parse(&empty.to_uppercase()), Some(FileHash::of(b"")));
        assert_eq!(FileHash::of(b"").short(), "e3b0c44298fc");
        for text in [
            "",
            "e3b0",
            &empty[1..],
            &format!("{empty}00"),
            &empty.replace('e', "x"),
        ] {
            assert_eq!(FileHash::parse(text), None, "{text}");
        }
    }
}
