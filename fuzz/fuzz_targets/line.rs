//! Whatever names and numbers come, a line is refused or read back strictly as what went in.
#![no_main]

use domain::{Sample, UtcMillis};
use libfuzzer_sys::fuzz_target;
use store::remote::{LineHead, Lines};

fuzz_target!(|input: (String, String, f64, i64)| {
    let (first, second, value, at) = input;
    let Ok(head) = LineHead::of_tags(&[("device", &first), ("facility", &second)]) else {
        return;
    };
    let mut lines = Lines::default();
    let sample = Sample {
        at: UtcMillis(at),
        value,
    };
    if lines.push(&head, sample).is_err() {
        assert!(lines.is_empty());
        return;
    }
    let read: Vec<_> = influxdb_line_protocol::parse_lines(lines.text(0..1))
        .collect::<Result<_, _>>()
        .expect("every line that is written parses");
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].tag_value("device").map(ToString::to_string), Some(first));
    assert_eq!(read[0].tag_value("facility").map(ToString::to_string), Some(second));
    assert_eq!(read[0].timestamp, Some(at));
});
