//! Any bytes as a JPEG: an error or a picture with as many pixels as it says, within the limits, never a panic.
#![no_main]

use camera::{
    decode::{DecodeError, PictureLimits},
    jpeg,
};
use domain::UtcMillis;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = PictureLimits {
        max_bytes: 64 << 10,
        max_side: 512,
    };
    let size = jpeg::size(bytes, &limits);
    let decoded = jpeg::decode(bytes, UtcMillis(0), &limits, 128);
    if let Ok(frame) = &decoded {
        let (width, height) = size.expect("what is decoded has a size");
        assert!(width.max(height) <= limits.max_side && frame.width <= 128);
        assert_eq!(frame.rgb.len(), frame.width as usize * frame.height as usize * 3);
    }
    assert!(
        !matches!(decoded, Err(DecodeError::Panicked(_))),
        "the library panicked"
    );
});
