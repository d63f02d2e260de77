//! Any bytes as a picture of a case: refused, or kept without what the camera wrote beside it; never a panic.
#![no_main]

use domain::case::picture::{MAX_PICTURE_BYTES, clean};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(kept) = clean(bytes) {
        assert!(kept.len() <= MAX_PICTURE_BYTES + 36 && kept.starts_with(&[0xff, 0xd8]) && kept.ends_with(&[0xff, 0xd9]));
        assert_eq!(clean(&kept).as_ref(), Ok(&kept), "what is kept is kept again");
    }
});
