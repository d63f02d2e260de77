//! The catalogue as its users see it: what is built in, folders of an operator, files that are refused.

mod built_in;
mod cards;
mod files;
mod folders;
mod properties;

use std::path::{Path, PathBuf};

use sunshine_models::Catalog;

/// A folder below this crate's.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The catalogue of a folder all of whose cards are sound.
pub(crate) fn sound(name: &str) -> Catalog {
    let catalog = Catalog::open(&folder(name)).expect("the folder is part of this crate");
    assert!(catalog.refused().is_empty(), "{:?}", catalog.refused());
    catalog
}
