//! Any bytes from a device of any make: reading never panics, takes no more values than allowed, says the same a
//! second time, and says little when it refuses. The first byte picks the profile, the second the topic.
#![no_main]

use std::sync::LazyLock;

use domain::{Profiles, UtcMillis};
use ingest::{IngestLimits, line_pieces, read_vendor};
use libfuzzer_sys::fuzz_target;

const TOPICS: [&str; 14] = [
    "up",
    "up/temperature",
    "status",
    "http/push",
    "http/write/ns",
    "bridge/state",
    "fridge",
    "fridge/availability",
    "tele/SENSOR",
    "tele/LWT",
    "events/rpc",
    "status/switch:0",
    "application/1/device/2/event/up",
    "shellies/a/sensor/temperature",
];

/// Read once: reading them anew for every input took nearly all the time.
static PROFILES: LazyLock<Profiles> = LazyLock::new(Profiles::built_in);

fuzz_target!(|input: &[u8]| {
    let [profile, topic, payload @ ..] = input else {
        return;
    };
    let profiles = &*PROFILES;
    let count = profiles.iter().count();
    let Some(profile) = profiles.iter().nth(usize::from(*profile) % count) else {
        return;
    };
    let topic = TOPICS[usize::from(*topic) % TOPICS.len()];
    let limits = IngestLimits {
        payload_bytes: 4_096,
        payload_values: 64,
        ..IngestLimits::default()
    };
    let received = UtcMillis(1_795_000_000_000);
    let first = read_vendor(profile, topic, payload, received, &limits);
    // As text: a number that is not one is not equal to itself.
    let again = read_vendor(profile, topic, payload, received, &limits);
    assert_eq!(format!("{first:?}"), format!("{again:?}"));
    match first {
        Ok(report) => {
            assert!(report.values.len() + report.decoded.refused <= limits.payload_values);
            assert!(report.values.iter().all(|entry| entry.value.metric.is_some()));
        }
        Err(why) => assert!(why.to_string().len() < 1_000),
    }
    if let Ok(text) = std::str::from_utf8(payload)
        && let Ok(pieces) = line_pieces(text, 64, 8)
    {
        assert_eq!(pieces.concat(), text);
    }
});
