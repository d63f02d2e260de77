//! Whatever a card or manifest says, it is read or refused in a few words, and what it names is loaded or refused.
//!
//! The first byte says whether the text is a card by itself, a manifest, or an edit of the manifest that ships.
#![no_main]

use std::{fs, path::Path};

use libfuzzer_sys::fuzz_target;
use models::Catalog;

const MANIFEST: &str = include_str!("../../models/manifest.toml");
const LONGEST_ERROR: usize = 2000;

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (manner, at, text) = input;
    let dir = tempfile::tempdir_in(memory()).expect("a temporary directory");
    let folder = dir.path().join("m");
    fs::create_dir(&folder).expect("room");
    match manner % 3 {
        0 => fs::write(folder.join("card.toml"), text).expect("room"),
        1 => fs::write(dir.path().join("manifest.toml"), text).expect("room"),
        _ => {
            let mut manifest = MANIFEST.as_bytes().to_vec();
            let at = usize::from(at) % manifest.len();
            let end = manifest.len().min(at + usize::from(manner / 3));
            manifest.splice(at..end, text.iter().copied());
            fs::write(dir.path().join("manifest.toml"), manifest).expect("room");
        }
    }
    match Catalog::open(dir.path()) {
        Ok(catalog) => {
            for card in catalog.models() {
                assert!(catalog.load(card).is_err(), "there is no file");
            }
            for refused in catalog.refused() {
                assert!(
                    refused.error.to_string().len() < LONGEST_ERROR,
                    "{}",
                    refused.error
                );
            }
        }
        Err(error) => assert!(error.to_string().len() < LONGEST_ERROR, "{error}"),
    }
});

/// Files need not outlive an input: where there is memory for them, no disk is waited for.
fn memory() -> &'static Path {
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir() {
        shared_memory
    } else {
        Path::new("/tmp")
    }
}
