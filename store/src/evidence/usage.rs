//! What the kept packages take on disk. A file that two packages share is there once, and goes with the last.

use std::{collections::BTreeMap, path::PathBuf};

use domain::EvidenceId;

use super::{
    files::{blob_path, manifest_path},
    keys::Hash256,
    package::Package,
};

#[derive(Debug)]
struct Blob {
    size: u64,
    packages: u32,
}

#[derive(Debug)]
struct Contents {
    manifest: u64,
    blobs: Vec<Hash256>,
}

/// The files of kept packages.
#[derive(Debug, Default)]
pub(super) struct Usage {
    blobs: BTreeMap<Hash256, Blob>,
    packages: BTreeMap<EvidenceId, Contents>,
    bytes: u64,
}

impl Usage {
    /// Counts a package with a manifest of so many bytes.
    pub(super) fn add(&mut self, id: EvidenceId, manifest: u64, package: &Package) {
        let files: BTreeMap<Hash256, u64> = package.items.iter().map(|i| (i.sha256, i.size)).collect();
        for (&hash, &size) in &files {
            let blob = self.blobs.entry(hash).or_insert(Blob { size, packages: 0 });
            if blob.packages == 0 {
                self.bytes += size;
            }
            blob.packages += 1;
        }
        self.bytes += manifest;
        let blobs = files.into_keys().collect();
        self.packages.insert(id, Contents { manifest, blobs });
    }

    /// Counts a package no longer; answers with the files that nobody needs any more.
    pub(super) fn release(&mut self, id: &EvidenceId) -> Vec<PathBuf> {
        let mut files = vec![manifest_path(id)];
        let Some(contents) = self.packages.remove(id) else {
            return files;
        };
        self.bytes -= contents.manifest;
        for hash in contents.blobs {
            let Some(blob) = self.blobs.get_mut(&hash) else {
                continue;
            };
            blob.packages -= 1;
            if blob.packages == 0 {
                self.bytes -= blob.size;
                self.blobs.remove(&hash);
                files.push(blob_path(&hash));
            }
        }
        files
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Every file that is needed.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let manifests = self.packages.keys().map(manifest_path);
        manifests.chain(self.blobs.keys().map(blob_path))
    }
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;

    use super::*;
    use crate::evidence::{
        package::{FORMAT, Item, ItemRole},
        tests::about,
    };

    fn package(hashes: &[u8]) -> Package {
        let item = |n: &u8| Item {
            role: ItemRole::At,
            media_type: "image/jpeg".into(),
            blurred: true,
            size: u64::from(*n),
            sha256: Hash256([*n; 32]),
        };
        Package {
            format: FORMAT,
            amends: None,
            created_at: UtcMillis(0),
            about: about("cam-1"),
            items: hashes.iter().map(item).collect(),
        }
    }

    #[test]
    fn a_shared_file_is_counted_once_and_goes_with_the_last() {
        let mut usage = Usage::default();
        let (one, two) = (EvidenceId([1; 32]), EvidenceId([2; 32]));
        usage.add(one, 1_000, &package(&[5, 5, 6]));
        assert_eq!(usage.bytes(), 1_011);
        usage.add(two, 1_000, &package(&[6, 7]));
        assert_eq!(usage.bytes(), 2_018);
        assert_eq!(usage.files().count(), 5);
        let blob = |n| blob_path(&Hash256([n; 32]));
        assert_eq!(usage.release(&one), [manifest_path(&one), blob(5)]);
        assert_eq!(usage.bytes(), 1_013);
        assert_eq!(usage.release(&two), [manifest_path(&two), blob(6), blob(7)]);
        assert_eq!((usage.bytes(), usage.files().count()), (0, 0));
        assert_eq!(usage.release(&two), [manifest_path(&two)]);
    }
}
