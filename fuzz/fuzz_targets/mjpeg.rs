//! Any bytes of a camera that sends JPEGs without end, in pieces of any size.

#![no_main]

use camera::source::multipart::Multipart;
use libfuzzer_sys::fuzz_target;

const MOST_BYTES: usize = 4096;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut parts =
        Multipart::new("multipart/x-mixed-replace; boundary=--b", MOST_BYTES).expect("the type is well formed");
    // Half of the inputs begin inside the stream.
    if piece % 2 == 0 {
        parts.add(b"--b\r\n");
    }
    for piece in bytes.chunks(usize::from(piece) + 1) {
        parts.add(piece);
        loop {
            match parts.next_part() {
                Ok(Some(part)) => assert!(!part.is_empty() && part.len() <= MOST_BYTES),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
});
