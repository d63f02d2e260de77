//! Any run of Sparkplug messages: decoding never panics, a birth is kept, and what a decoder was restored from is read
//! without harm. Messages are cut by a byte that says how long each is, and one that picks its topic.
#![no_main]

use std::sync::{Arc, LazyLock};

use domain::{
    DeviceId, FacilityId, LogPosition, Profile, Profiles, SeriesId, SeriesKey, Unit, VendorRoot,
};
use ingest::{Decoder, IngestLimits, SeriesDirectory, TooManySeries};
use libfuzzer_sys::fuzz_target;
use sunshine_journal::{Envelope, Kind, Position, Record};

const TOPICS: [&str; 7] = [
    "spBv1.0/g/NBIRTH/e",
    "spBv1.0/g/NDATA/e",
    "spBv1.0/g/NDEATH/e",
    "spBv1.0/g/DBIRTH/e/d",
    "spBv1.0/g/DDATA/e/d",
    "spBv1.0/g/DDEATH/e/d",
    "spBv1.0/g/NCMD/e",
];

struct Directory(Option<Arc<Profile>>);

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        Ok(SeriesId(u32::try_from(key.metric.as_str().len()).unwrap_or(0)))
    }

    fn unit(&self, _: &SeriesKey) -> Option<Unit> {
        None
    }

    fn profile(&self, _: &FacilityId, _: &DeviceId) -> Option<Arc<Profile>> {
        self.0.clone()
    }

    fn owner(&self, topic: &str) -> Option<(FacilityId, DeviceId)> {
        VendorRoot::of_topic(topic)?;
        Some((FacilityId::new("f").ok()?, DeviceId::new("edge").ok()?))
    }

    fn version(&self) -> u64 {
        0
    }
}

/// Read once: reading them anew for every input took nearly all the time.
static PROFILES: LazyLock<Profiles> = LazyLock::new(Profiles::built_in);

fuzz_target!(|input: &[u8]| {
    let profile = || PROFILES.get("sparkplug-b").cloned();
    let mut decoder = Decoder::new(Directory(profile()), IngestLimits::default());
    let (mut births, mut rest, mut place) = (Vec::new(), input, 0_u64);
    while let [topic, length, more @ ..] = rest {
        let (body, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        place += 1;
        let record = Record {
            position: Position(place),
            next: Position(place + 1),
            time_ms: 1_795_000_000_000 + place as i64,
            envelope: Envelope {
                kind: Kind::MESSAGE,
                flags: 0,
                source: "f/edge",
                subject: TOPICS[usize::from(*topic) % TOPICS.len()],
                attributes: b"",
                body,
            },
        };
        let span = (LogPosition(place), LogPosition(place + 1));
        let batch = decoder.batch(span, std::iter::once(record));
        assert!(batch.births.len() <= 1 && batch.wishes.len() <= 1);
        assert_eq!(batch.readings.len(), batch.positions.len());
        births.extend(batch.births);
    }
    let mut restored = Decoder::new(Directory(profile()), IngestLimits::default());
    restored.restore(&births);
});
