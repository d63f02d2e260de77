//! Any bytes on a broker's socket, short of storing what they say.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// A valid CONNECT of each version, so that half of the inputs reach what is behind it.
const CONNECTS: [&[u8]; 3] =
    [b"", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c", b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c"];

fuzz_target!(|input: (u8, &[u8])| {
    let (which, bytes) = input;
    let mut all = CONNECTS[usize::from(which) % CONNECTS.len()].to_vec();
    all.extend_from_slice(bytes);
    std::hint::black_box(sunshine_broker::probe(&all));
});
