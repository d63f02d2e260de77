//! Promise 1: an acknowledged message survives `kill -9`, and its redelivery makes no second row.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use domain::{Clock, DeviceId, FacilityId, Metric, Scope, SeriesKey, TimeRange};
use rand::{Rng, SeedableRng, rngs::StdRng};
use store::{SeriesOptions, SeriesStore};

use crate::{
    publisher::{Shared, publish},
    sunshine::Sunshine,
};

const PUBLISHERS: usize = 8;
const KILLS: usize = 40;
/// One seed, printed on failure: the moments of the kills are its doing.
const SEED: u64 = 20_261_121;

#[test]
fn forty_kills_lose_no_acknowledged_message_and_double_none() {
    let dir = tempfile::tempdir().unwrap();
    let first_ts = Clock::system().now().0 - 3_600_000;
    let shared = Shared::new();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut running = Sunshine::start(dir.path());
    shared.port.store(running.mqtt_port, Ordering::Release);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || publish(number, &shared, first_ts))
        })
        .collect();

    for kill in 0..KILLS {
        let until = shared.acknowledged.load(Ordering::Acquire) + random.random_range(1..1500);
        let deadline = Instant::now() + Duration::from_secs(30);
        while shared.acknowledged.load(Ordering::Acquire) < until {
            assert!(
                Instant::now() < deadline,
                "no acknowledgements before kill {kill}, seed {SEED}"
            );
            std::hint::spin_loop();
            std::thread::yield_now();
        }
        running.kill();
        running = Sunshine::start(dir.path());
        shared.port.store(running.mqtt_port, Ordering::Release);
    }
    shared.stop.store(true, Ordering::Release);
    let acknowledged: Vec<Vec<bool>> = publishers.into_iter().map(|p| p.join().unwrap()).collect();
    running.signal(rustix::process::Signal::TERM);
    assert!(running.wait(Duration::from_secs(60)).success(), "seed {SEED}");

    let total: usize = acknowledged.iter().flatten().filter(|a| **a).count();
    eprintln!("{KILLS} kills, {total} acknowledged messages");
    assert!(total > KILLS, "the test must have had something to lose");
    check_stored(dir.path(), &acknowledged, first_ts);
}

pub(crate) fn check_stored(dir: &std::path::Path, acknowledged: &[Vec<bool>], first_ts: i64) {
    let options = SeriesOptions {
        shards: 16,
        flush_readings: 100_000,
        flush_age_ms: 60_000,
        max_series: 1000,
        ..SeriesOptions::new(dir.join("data/series"))
    };
    let store = SeriesStore::open(options, Clock::system()).unwrap();
    let everything = Scope::everything();
    for (number, acknowledged) in acknowledged.iter().enumerate() {
        let key = SeriesKey {
            facility: FacilityId::new("crash").unwrap(),
            device: DeviceId::new(&format!("pub-{number}")).unwrap(),
            metric: Metric::new("serial").unwrap(),
        };
        let series = store.find(&everything, &key).unwrap();
        let range = TimeRange {
            from: domain::UtcMillis(first_ts),
            to: domain::UtcMillis(first_ts) + i64::try_from(acknowledged.len()).unwrap() + 1,
        };
        let samples = store.scan(&everything, series, range, 10_000_000).unwrap();
        let mut rows: HashMap<i64, usize> = HashMap::new();
        for sample in &samples {
            assert_eq!(
                sample.value,
                (sample.at.0 - first_ts) as f64,
                "a value moved to another moment"
            );
            *rows.entry(sample.at.0).or_default() += 1;
        }
        for (n, _) in acknowledged.iter().enumerate().filter(|(_, a)| **a) {
            let at = first_ts + i64::try_from(n).unwrap();
            let count = rows.get(&at).copied().unwrap_or(0);
            assert_eq!(
                count, 1,
                "message {n} of publisher {number} is stored {count} times, seed {SEED}"
            );
        }
        assert!(
            rows.values().all(|count| *count == 1),
            "publisher {number} has double rows, seed {SEED}"
        );
    }
}
