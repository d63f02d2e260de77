//! Any bytes as a payload: decoding never panics, takes no more values than allowed, and takes the same
//! ones a second time.
#![no_main]

use domain::UtcMillis;
use ingest::{IngestLimits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let limits = IngestLimits {
        payload_bytes: 4_096,
        payload_values: 64,
        ..IngestLimits::default()
    };
    let received = UtcMillis(1_795_000_000_000);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let outcome = decode(payload, received, &limits, &mut first);
    let again = decode(payload, received, &limits, &mut second);
    assert_eq!(outcome, again);
    // As text: a number that is not one is not equal to itself.
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    match outcome {
        Ok(decoded) => {
            assert!(first.len() + decoded.refused <= limits.payload_values);
            assert!(!first.is_empty() || decoded.first.is_some());
        }
        Err(why) => {
            assert!(first.is_empty());
            assert!(why.to_string().len() < 1_000);
        }
    }
});
