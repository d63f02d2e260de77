//! The time-series store against a model: whatever is appended, flushed, compacted, lost with the process
//! and read again from the log, the answers are those of a sorted map.

use std::{collections::BTreeMap, path::Path};

use domain::{
    Clock, DeviceId, FacilityId, LogPosition, Metric, Quality, Reading, Scope, SeriesId, SeriesKey,
    TimeRange, UtcMillis,
};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use sunshine_store::{Bucket, SeriesOptions, SeriesStore};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const START: i64 = 20_775 * DAY_MS;
const SERIES: usize = 5;
const WORKS: &str = "the store works";

/// A reading of one of a few moments of one of a few days, so that moments meet again.
#[derive(Debug, Clone)]
struct Given {
    series: usize,
    at: i64,
    value: f64,
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Given>),
    Flush,
    Maintain(u8),
    Compact(bool),
    Wait(i64),
    /// The process dies and starts again.
    Restart,
    /// The machine dies: what is on disk at this moment is all that is left.
    Crash,
    Ask {
        from: i64,
        length: i64,
        buckets: u32,
        limit: usize,
    },
}

fn given() -> impl Strategy<Value = Given> {
    let moment = (0..10_i64, 0..12_i64, 0..3_i64);
    (0..SERIES, moment, -40..40_i32).prop_map(|(series, (day, hour, ms), quarter)| Given {
        series,
        at: START + day * DAY_MS + hour * 2 * HOUR_MS + ms,
        // Sums of quarters are exact in whatever order they are added.
        value: f64::from(quarter) / 4.0,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(given(), 1..40).prop_map(Step::Append),
        2 => Just(Step::Flush),
        3 => (1..6_u8).prop_map(Step::Maintain),
        1 => any::<bool>().prop_map(Step::Compact),
        2 => (1..40_i64).prop_map(|hours| Step::Wait(hours * HOUR_MS)),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
        3 => (0..10 * 24_i64, 1..11 * 24_i64, 1..50_u32, 1..60_usize).prop_map(|(from, length, buckets, limit)| {
            Step::Ask { from: START + from * HOUR_MS, length: length * HOUR_MS, buckets, limit }
        }),
    ]
}

struct Bench {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Option<SeriesStore>,
    ids: Vec<SeriesId>,
    log: Vec<Vec<Given>>,
    model: Vec<BTreeMap<i64, f64>>,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::simulated(UtcMillis(START));
        let mut bench = Bench {
            dir,
            clock,
            store: None,
            ids: Vec::new(),
            log: Vec::new(),
            model: vec![BTreeMap::new(); SERIES],
        };
        bench.open();
        bench
    }

    fn store(&self) -> &SeriesStore {
        self.store.as_ref().expect("it is open")
    }

    /// Opens what is on disk and reads the log again from the checkpoint.
    fn open(&mut self) {
        let options = SeriesOptions {
            shards: 3,
            ..SeriesOptions::new(self.dir.path())
        };
        let store = SeriesStore::open(options, self.clock.clone()).expect(WORKS);
        // A restart may number series anew: in another order, to make it likely.
        self.ids = vec![SeriesId(0); SERIES];
        for n in (0..SERIES).map(|n| (n + self.log.len()) % SERIES) {
            let key = SeriesKey {
                facility: FacilityId::new("f").expect("valid"),
                device: DeviceId::new(&format!("d{n}")).expect("valid"),
                metric: Metric::new("temperature").expect("valid"),
            };
            self.ids[n] = store.resolve(&key).expect(WORKS);
        }
        let from = usize::try_from(store.checkpoint().0).expect("small");
        assert!(from <= self.log.len(), "the checkpoint lies beyond the log");
        self.store = Some(store);
        for position in from..self.log.len() {
            self.append(position);
        }
    }

    fn append(&self, position: usize) {
        let reading = |g: &Given| Reading {
            series: self.ids[g.series],
            at: UtcMillis(g.at),
            received: self.clock.now(),
            value: g.value,
            quality: Quality::Good,
        };
        let readings: Vec<Reading> = self.log[position].iter().map(reading).collect();
        let from = position as u64;
        self.store()
            .append(&readings, LogPosition(from), LogPosition(from + 1))
            .expect(WORKS);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(batch) => {
                for g in &batch {
                    self.model[g.series].insert(g.at, g.value);
                }
                self.log.push(batch);
                self.append(self.log.len() - 1);
            }
            Step::Flush => self.store().flush().expect(WORKS),
            Step::Maintain(times) => {
                for _ in 0..times {
                    self.store().maintain().expect(WORKS);
                }
            }
            Step::Compact(all) => self.store().compact(all).expect(WORKS),
            Step::Wait(ms) => self.clock.set(self.clock.now() + ms),
            Step::Restart => {
                self.store = None;
                self.open();
            }
            Step::Crash => {
                let copy = tempfile::tempdir().expect("a temporary folder");
                copy_files(self.dir.path(), copy.path());
                self.store = None;
                self.dir = copy;
                self.open();
            }
            Step::Ask {
                from,
                length,
                buckets,
                limit,
            } => self.ask(from, length, buckets, limit),
        }
    }

    fn ask(&self, from: i64, length: i64, buckets: u32, limit: usize) {
        let everything = Scope::everything();
        let range = TimeRange {
            from: UtcMillis(from),
            to: UtcMillis(from + length),
        };
        for (model, id) in self.model.iter().zip(&self.ids) {
            let found = self.store().scan(&everything, *id, range, limit).expect(WORKS);
            let found: Vec<(i64, f64)> = found.iter().map(|s| (s.at.0, s.value)).collect();
            let inside = model.range(from..from + length);
            let want: Vec<(i64, f64)> = inside.clone().take(limit).map(|(at, v)| (*at, *v)).collect();
            assert_eq!(found, want, "scan of {id:?}");

            let found = self
                .store()
                .window(&everything, *id, range, buckets)
                .expect(WORKS);
            assert_eq!(
                found,
                expected_buckets(inside, range, buckets),
                "window of {id:?}"
            );

            let latest = self.store().latest(&everything, *id).map(|s| (s.at.0, s.value));
            assert_eq!(
                latest,
                model.last_key_value().map(|(at, v)| (*at, *v)),
                "latest of {id:?}"
            );
        }
    }
}

fn expected_buckets<'a>(
    samples: impl Iterator<Item = (&'a i64, &'a f64)>,
    range: TimeRange,
    buckets: u32,
) -> Vec<Bucket> {
    let (length, count) = (range.length_ms(), i64::from(buckets));
    let mut by_index: BTreeMap<i64, Bucket> = BTreeMap::new();
    for (&at, &value) in samples {
        let index = (at - range.from.0) * count / length;
        let start = UtcMillis(range.from.0 + (index * length + count - 1) / count);
        let empty = Bucket {
            start,
            count: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            last: 0.0,
        };
        let bucket = by_index.entry(index).or_insert(empty);
        bucket.count += 1;
        bucket.min = bucket.min.min(value);
        bucket.max = bucket.max.max(value);
        bucket.sum += value;
        bucket.last = value;
    }
    by_index.into_values().collect()
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it copies");
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 24,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn whatever_happens_the_answers_are_those_of_a_sorted_map(steps in prop::collection::vec(step(), 1..30)) {
        let mut bench = Bench::new();
        for step in steps {
            bench.take(step);
        }
        bench.ask(START, 11 * DAY_MS, 44, usize::MAX);
        bench.take(Step::Flush);
        bench.take(Step::Compact(true));
        bench.ask(START, 11 * DAY_MS, 44, usize::MAX);
        let days: usize = bench.model.iter().map(days_of).sum();
        assert_eq!(bench.store().stats().chunks, days as u64, "one chunk per series and day");
        bench.take(Step::Restart);
        bench.ask(START, 11 * DAY_MS, 7, usize::MAX);
    }
}

fn days_of(series: &BTreeMap<i64, f64>) -> usize {
    let days: std::collections::BTreeSet<i64> = series.keys().map(|at| at / DAY_MS).collect();
    days.len()
}
