//! All levels of the time-series store against the plain reference over a sorted map: late, repeated and corrected
//! readings, gaps, negative and huge values, days of 23 and 25 hours, across flush, compaction, rollups, retention and
//! restarts.

use std::collections::BTreeMap;

use domain::{
    Clock, DeviceId, FacilityId, LogPosition, Metric, Quality, Reading, Sample, Scope, SeriesId, SeriesKey,
    TimeRange, UtcMillis, rule::Comparison,
};
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use sunshine_store::{
    Aggregates, CalendarUnit, Level, SeriesError, SeriesOptions, SeriesStore, Share, ShareBounds, ShareQuery,
    Step, WindowBucket, WindowQuery, Zone, series::reference,
};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
/// Three weeks before the clocks go back in Berlin, 2026-10-25.
const START: i64 = 20_731 * DAY_MS;
const SERIES: usize = 3;
const WORKS: &str = "the store works";

/// A reading of a moment up to two weeks before now.
#[derive(Debug, Clone)]
struct Given {
    series: usize,
    before_ms: i64,
    value: f64,
}

#[derive(Debug, Clone)]
enum Ask {
    Window {
        from_hours: i64,
        length_ms: i64,
        step: Step,
        aggregates: Aggregates,
    },
    Share {
        from_hours: i64,
        length_ms: i64,
        op: Comparison,
        quarter: i32,
        max_hold_ms: i64,
    },
}

#[derive(Debug, Clone)]
enum Act {
    Append(Vec<Given>),
    Flush,
    Work,
    Wait(i64),
    Restart,
    Ask(Ask),
}

fn given() -> impl Strategy<Value = Given> {
    let before = prop_oneof![
        // Within the hour, so that cells hold several; days late; many on one moment.
        3 => 0..HOUR_MS,
        2 => (0..14 * 24_i64).prop_map(|hours| hours * HOUR_MS),
        1 => (0..5_i64).prop_map(|n| n * 20_000),
    ];
    // Sums of quarters are exact in whatever order they are added; so are those of a few huge numbers.
    let value = prop_oneof![
        8 => (-40..40_i32).prop_map(|quarter| f64::from(quarter) / 4.0),
        1 => prop_oneof![Just(2_f64.powi(40)), Just(-2_f64.powi(40))],
    ];
    (0..SERIES, before, value).prop_map(|(series, before_ms, value)| Given {
        series,
        before_ms,
        value,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let zone = prop_oneof![
        Just("Europe/Berlin"),
        Just("Asia/Shanghai"),
        Just("Asia/Kathmandu")
    ];
    let unit = prop_oneof![
        Just(CalendarUnit::Hour),
        Just(CalendarUnit::Day),
        Just(CalendarUnit::Month)
    ];
    prop_oneof![
        (1..50_i64).prop_map(|hours| Step::Fixed {
            ms: hours * HOUR_MS / 2
        }),
        (1..40_u32).prop_map(Step::Parts),
        (unit, zone).prop_map(|(unit, zone)| Step::Calendar {
            unit,
            zone: Zone::named(zone).expect("it is in the database"),
        }),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let aggregates = prop_oneof![Just(Aggregates::PLAIN), Just(Aggregates::ALL)];
    let window = (0..60 * 24_i64, 1..50 * DAY_MS, step(), aggregates);
    let op = prop_oneof![
        Just(Comparison::Above),
        Just(Comparison::AtLeast),
        Just(Comparison::Below),
        Just(Comparison::AtMost)
    ];
    let hold = prop_oneof![Just(0), 1..2 * HOUR_MS, Just(20 * DAY_MS)];
    let share = (0..60 * 24_i64, 1..50 * DAY_MS, op, -45..45_i32, hold);
    prop_oneof![
        window.prop_map(|(from_hours, length_ms, step, aggregates)| Ask::Window {
            from_hours,
            length_ms,
            step,
            aggregates
        }),
        share.prop_map(|(from_hours, length_ms, op, quarter, max_hold_ms)| Ask::Share {
            from_hours,
            length_ms,
            op,
            quarter,
            max_hold_ms
        }),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        5 => prop::collection::vec(given(), 1..40).prop_map(Act::Append),
        1 => Just(Act::Flush),
        4 => Just(Act::Work),
        4 => (1..90_i64).prop_map(|hours| Act::Wait(hours * HOUR_MS)),
        1 => Just(Act::Restart),
        4 => ask().prop_map(Act::Ask),
    ]
}

struct Stage {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Option<SeriesStore>,
    ids: Vec<SeriesId>,
    log: Vec<Vec<Reading>>,
    /// Everything that was taken in, whatever became of it.
    model: Vec<BTreeMap<i64, f64>>,
    /// How often each level has answered.
    levels: BTreeMap<Level, u32>,
}

impl Stage {
    fn new() -> Stage {
        let mut stage = Stage {
            dir: tempfile::tempdir().expect("a temporary folder"),
            clock: Clock::simulated(UtcMillis(START)),
            store: None,
            ids: Vec::new(),
            log: Vec::new(),
            model: vec![BTreeMap::new(); SERIES],
            levels: BTreeMap::new(),
        };
        stage.open();
        stage
    }

    fn open(&mut self) {
        let options = SeriesOptions {
            shards: 2,
            flush_age_ms: 6 * HOUR_MS,
            raw_days: 7,
            ..SeriesOptions::new(self.dir.path())
        };
        let store = SeriesStore::open(options, self.clock.clone()).expect(WORKS);
        let key = |n: usize| SeriesKey {
            facility: FacilityId::new("f").expect("valid"),
            device: DeviceId::new(&format!("d{n}")).expect("valid"),
            metric: Metric::new("temperature").expect("valid"),
        };
        self.ids = (0..SERIES)
            .map(|n| store.resolve(&key(n)).expect(WORKS))
            .collect();
        let from = usize::try_from(store.checkpoint().0).expect("small");
        for (position, batch) in (0..).zip(&self.log).skip(from) {
            store
                .append(batch, LogPosition(position), LogPosition(position + 1))
                .expect(WORKS);
        }
        self.store = Some(store);
    }

    fn store(&self) -> &SeriesStore {
        self.store.as_ref().expect("it is open")
    }

    fn raw_from(&self) -> i64 {
        self.store().stats().raw_from.map_or(i64::MIN, |from| from.0)
    }

    fn take(&mut self, act: Act) {
        match act {
            Act::Append(batch) => self.append(&batch),
            Act::Flush => self.store().flush().expect(WORKS),
            Act::Work => while self.store().maintain().expect(WORKS) {},
            Act::Wait(ms) => self.clock.set(self.clock.now() + ms),
            Act::Restart => {
                self.store = None;
                self.open();
            }
            Act::Ask(Ask::Window {
                from_hours,
                length_ms,
                step,
                aggregates,
            }) => {
                let from = START - 14 * DAY_MS + from_hours * HOUR_MS;
                let query = WindowQuery {
                    range: range(from, length_ms),
                    step,
                    aggregates,
                };
                self.ask_window(&query);
            }
            Act::Ask(Ask::Share {
                from_hours,
                length_ms,
                op,
                quarter,
                max_hold_ms,
            }) => {
                let from = START - 14 * DAY_MS + from_hours * HOUR_MS;
                self.ask_share(&ShareQuery {
                    range: range(from, length_ms),
                    op,
                    limit: f64::from(quarter) / 4.0,
                    max_hold_ms,
                });
            }
        }
    }

    fn append(&mut self, batch: &[Given]) {
        let now = self.clock.now();
        let reading = |g: &Given| Reading {
            series: self.ids[g.series],
            at: now - g.before_ms,
            received: now,
            value: g.value,
            quality: Quality::Good,
        };
        let readings: Vec<Reading> = batch.iter().map(reading).collect();
        let floor = self.raw_from();
        let before = self.store().stats().too_late;
        let position = self.log.len() as u64;
        self.store()
            .append(&readings, LogPosition(position), LogPosition(position + 1))
            .expect(WORKS);
        let mut late = 0;
        for (g, reading) in batch.iter().zip(&readings) {
            if reading.at.0 < floor {
                late += 1;
            } else {
                self.model[g.series].insert(reading.at.0, reading.value);
            }
        }
        assert_eq!(self.store().stats().too_late, before + late);
        self.log.push(readings);
    }

    /// What is known of a series at a level.
    fn samples(&self, n: usize, level: Level) -> Vec<Sample> {
        let from = if level == Level::Raw {
            self.raw_from()
        } else {
            i64::MIN
        };
        self.model[n]
            .range(from..)
            .map(|(at, value)| Sample {
                at: UtcMillis(*at),
                value: *value,
            })
            .collect()
    }

    fn ask_window(&mut self, query: &WindowQuery) {
        for n in 0..SERIES {
            let everything = Scope::everything();
            let got = match self.store().aggregate(&everything, self.ids[n], query) {
                Err(SeriesError::TooManyBuckets { asked, max }) => {
                    assert!(asked > max, "{query:?} is refused for {asked} buckets");
                    continue;
                }
                got => got.expect(WORKS),
            };
            let want = reference::window(&self.samples(n, got.level), query, got.level).expect(WORKS);
            *self.levels.entry(got.level).or_default() += 1;
            assert_eq!(
                got.buckets.len(),
                want.buckets.len(),
                "{query:?} at {:?}",
                got.level
            );
            for (got_bucket, want_bucket) in got.buckets.iter().zip(&want.buckets) {
                assert!(
                    alike(got_bucket, want_bucket, got.level),
                    "{query:?} at {:?}: {got_bucket:?}, not {want_bucket:?}",
                    got.level
                );
            }
        }
    }

    fn ask_share(&self, query: &ShareQuery) {
        let everything = Scope::everything();
        let grouped: Vec<(SeriesId, usize)> = self.ids.iter().map(|id| (*id, id.0 as usize % 2)).collect();
        let ranked = self
            .store()
            .share_over(&everything, &grouped, query)
            .expect(WORKS);
        let mut want: BTreeMap<usize, Share> = BTreeMap::new();
        for (n, (_, group)) in grouped.iter().enumerate() {
            let share = reference::share(&self.samples(n, Level::Raw), query);
            want.entry(*group).or_default().add(share);
        }
        let got: BTreeMap<usize, Share> = ranked.iter().map(|r| (r.group, r.share)).collect();
        assert_eq!(got, want, "{query:?}");
        let worst_first = ranked.windows(2).all(|pair| {
            let ratio = |share: &Share| share.ratio().unwrap_or(-1.0);
            ratio(&pair[0].share) >= ratio(&pair[1].share)
        });
        assert!(worst_first, "{ranked:?}");
        self.ask_bounds(&grouped, query);
    }

    /// The same from whatever is left of the time: readings, and minutes before them.
    fn ask_bounds(&self, grouped: &[(SeriesId, usize)], query: &ShareQuery) {
        let answer = self
            .store()
            .share_bounds(&Scope::everything(), grouped, query)
            .expect(WORKS);
        let TimeRange { from, to } = query.range;
        let raw_from = UtcMillis(self.raw_from().clamp(from.0, to.0.max(from.0)));
        let parts = [(Level::Minute, from, raw_from), (Level::Raw, raw_from, to)];
        let mut want: BTreeMap<usize, ShareBounds> = BTreeMap::new();
        for (n, (_, group)) in grouped.iter().enumerate() {
            let sum = want.entry(*group).or_default();
            for (level, from, to) in parts {
                let range = TimeRange { from, to };
                let query = ShareQuery { range, ..*query };
                sum.add(reference::share_bounds(&self.samples(n, level), &query, level));
            }
        }
        let got: BTreeMap<usize, ShareBounds> = answer.groups.iter().map(|g| (g.group, g.bounds)).collect();
        assert_eq!(got, want, "{query:?}");
        let level = if from < raw_from {
            Level::Minute
        } else {
            Level::Raw
        };
        assert_eq!(answer.level, level, "{query:?}");
        assert!(level != Level::Raw || got.values().all(|bounds| bounds.unsure_ms == 0));
    }
}

fn range(from: i64, length_ms: i64) -> TimeRange {
    TimeRange {
        from: UtcMillis(from),
        to: UtcMillis(from + length_ms),
    }
}

/// Everything is exact, except that quantiles of cells lie within 1 %.
fn alike(got: &WindowBucket, want: &WindowBucket, level: Level) -> bool {
    if level == Level::Raw {
        return got == want;
    }
    let near = |got: Option<f64>, want: Option<f64>| match (got, want) {
        (Some(got), Some(want)) => (got - want).abs() <= want.abs() * 0.010_001 + 1e-9,
        (got, want) => got == want,
    };
    let close = near(got.quantiles.p50, want.quantiles.p50)
        && near(got.quantiles.p95, want.quantiles.p95)
        && near(got.quantiles.p99, want.quantiles.p99);
    let quantiles = want.quantiles;
    close && WindowBucket { quantiles, ..*got } == *want
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 24,
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    })]

    #[test]
    fn every_level_answers_as_the_reference_does(acts in prop::collection::vec(act(), 1..40), last in prop::collection::vec(ask(), 12), wait in any::<bool>()) {
        let mut stage = Stage::new();
        for act in acts {
            stage.take(act);
        }
        if wait {
            stage.take(Act::Wait(30 * DAY_MS));
        }
        stage.take(Act::Append(vec![Given { series: 0, before_ms: 0, value: 1.0 }]));
        stage.take(Act::Work);
        for ask in last {
            stage.take(Act::Ask(ask));
        }
        stage.take(Act::Restart);
        let everything = WindowQuery {
            range: range(START - 20 * DAY_MS, 300 * DAY_MS),
            step: Step::Fixed { ms: 6 * HOUR_MS },
            aggregates: Aggregates::ALL,
        };
        stage.ask_window(&everything);
        assert!(stage.levels.contains_key(&Level::Hour), "a long range is answered from hours");
    }
}

#[test]
fn latest_values_of_many_series_come_at_once_and_pages_join() {
    let mut stage = Stage::new();
    for n in 0..20 {
        stage.take(Act::Append(vec![Given {
            series: n % 2,
            before_ms: i64::try_from(n).expect("small") * 1_000,
            value: n as f64,
        }]));
    }
    let everything = Scope::everything();
    let asked = [stage.ids[1], SeriesId(99), stage.ids[2], stage.ids[0]];
    let latest: Vec<Option<f64>> = stage
        .store()
        .latest_of(&everything, &asked)
        .iter()
        .map(|sample| sample.map(|s| s.value))
        .collect();
    assert_eq!(latest, [Some(1.0), None, None, Some(0.0)]);
    let nobody = Scope::facilities([]);
    assert_eq!(stage.store().latest_of(&nobody, &asked), [None; 4]);
    let wanted = [(stage.ids[0], ())];
    let hour = ShareQuery {
        range: range(START - HOUR_MS, 2 * HOUR_MS),
        op: Comparison::Above,
        limit: 0.0,
        max_hold_ms: 1_000,
    };
    assert!(
        stage
            .store()
            .share_over(&nobody, &wanted, &hour)
            .expect(WORKS)
            .is_empty()
    );

    let mut span = hour.range;
    let mut pages = Vec::new();
    loop {
        let page = stage
            .store()
            .scan_page(&everything, stage.ids[0], span, 4)
            .expect(WORKS);
        pages.push(page.samples);
        match page.next {
            Some(next) => span.from = next,
            None => break,
        }
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    let all = stage
        .store()
        .scan(&everything, stage.ids[0], hour.range, usize::MAX)
        .expect(WORKS);
    assert_eq!(pages.concat(), all);
}

#[test]
fn shares_of_many_series_are_those_of_each() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store =
        SeriesStore::open(SeriesOptions::new(dir.path()), Clock::simulated(UtcMillis(START))).expect(WORKS);
    let key = |n: usize| SeriesKey {
        facility: FacilityId::new(&format!("f{}", n / 10)).expect("valid"),
        device: DeviceId::new(&format!("d{n}")).expect("valid"),
        metric: Metric::new("temperature").expect("valid"),
    };
    let ids: Vec<SeriesId> = (0..200).map(|n| store.resolve(&key(n)).expect(WORKS)).collect();
    let mut model: Vec<Vec<Sample>> = vec![Vec::new(); ids.len()];
    for tick in 0..60_i64 {
        // Over the end of a week; the last third stays in memory.
        let at = UtcMillis(START - 3 * DAY_MS + tick * 2 * HOUR_MS);
        let mut batch = Vec::new();
        for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 7 != 3) {
            let value = ((tick + n as i64) % 11) as f64;
            model[n].push(Sample { at, value });
            batch.push(Reading {
                series: *id,
                at,
                received: at,
                value,
                quality: Quality::Good,
            });
        }
        let position = tick.cast_unsigned();
        store
            .append(&batch, LogPosition(position), LogPosition(position + 1))
            .expect(WORKS);
        if tick == 40 {
            store.flush().expect(WORKS);
            store.compact(true).expect(WORKS);
        }
    }
    for (limit, max_hold_ms) in [(8.0, 3 * HOUR_MS), (8.0, HOUR_MS), (-1.0, DAY_MS), (20.0, DAY_MS)] {
        let query = ShareQuery {
            range: range(START - 2 * DAY_MS - 1, 5 * DAY_MS),
            op: Comparison::Above,
            limit,
            max_hold_ms,
        };
        let wanted: Vec<(SeriesId, usize)> = ids.iter().enumerate().map(|(n, id)| (*id, n)).collect();
        let ranked = store
            .share_over(&Scope::everything(), &wanted, &query)
            .expect(WORKS);
        assert_eq!(ranked.len(), ids.len());
        for group in ranked {
            assert_eq!(
                group.share,
                reference::share(&model[group.group], &query),
                "{query:?}"
            );
            assert_eq!(group.series, 1);
        }
    }
}

/// A store of one series, whose readings and minutes go soon.
struct Short {
    _dir: tempfile::TempDir,
    clock: Clock,
    store: SeriesStore,
    series: SeriesId,
    position: u64,
}

impl Short {
    fn new(begin: i64) -> Short {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::simulated(UtcMillis(begin));
        let options = SeriesOptions {
            raw_days: 7,
            minute_days: 28,
            ..SeriesOptions::new(dir.path())
        };
        let store = SeriesStore::open(options, clock.clone()).expect(WORKS);
        let key = SeriesKey {
            facility: FacilityId::new("f").expect("valid"),
            device: DeviceId::new("d").expect("valid"),
            metric: Metric::new("temperature").expect("valid"),
        };
        Short {
            series: store.resolve(&key).expect(WORKS),
            _dir: dir,
            clock,
            store,
            position: 0,
        }
    }

    /// Takes samples in and does all the work there is.
    fn put(&mut self, samples: &[Sample]) {
        let reading = |sample: &Sample| Reading {
            series: self.series,
            at: sample.at,
            received: sample.at,
            value: sample.value,
            quality: Quality::Good,
        };
        let readings: Vec<Reading> = samples.iter().map(reading).collect();
        let from = LogPosition(self.position);
        self.position += 1;
        self.store
            .append(&readings, from, LogPosition(self.position))
            .expect(WORKS);
        self.store.flush().expect(WORKS);
        while self.store.maintain().expect(WORKS) {}
    }

    fn share(&self, query: &ShareQuery) -> (Level, ShareBounds) {
        let everything = Scope::everything();
        let answer = self.store.share_bounds(&everything, &[(self.series, ())], query);
        let answer = answer.expect(WORKS);
        (answer.level, answer.groups[0].bounds)
    }
}

#[test]
fn the_exact_share_lies_between_the_bounds_when_its_readings_are_gone() {
    // The first day of a file of minutes: the next one is far away.
    let begin = 28 * 741 * DAY_MS;
    let mut short = Short::new(begin);
    // Every 20 seconds, warm for seven minutes of every 50, at 7.9 to 8.1 for twenty.
    let sample = |n: i64| Sample {
        at: UtcMillis(begin + n * 20_000),
        value: match n / 3 % 50 {
            0..7 => 9.0,
            7..30 => 5.0,
            _ => 7.9 + (n * 7 % 3) as f64 / 10.0,
        },
    };
    let samples: Vec<Sample> = (0..2 * 4_320).map(sample).collect();
    short.put(&samples);
    let query = ShareQuery {
        range: range(begin + HOUR_MS + 1, 46 * HOUR_MS),
        op: Comparison::Above,
        limit: 8.0,
        max_hold_ms: 60_000,
    };
    let (level, exact) = short.share(&query);
    assert_eq!((level, exact.unsure_ms), (Level::Raw, 0));
    assert_eq!(exact.share, reference::share(&samples, &query));
    // Weeks later readings are gone, months later minutes.
    for (days, want) in [(20, Level::Minute), (70, Level::Hour)] {
        let now = UtcMillis(begin + days * DAY_MS);
        short.clock.set(now);
        short.put(&[Sample { at: now, value: 5.0 }]);
        let (level, bounds) = short.share(&query);
        assert_eq!(level, want);
        assert_eq!(bounds.share.known_ms, exact.share.known_ms);
        assert!(bounds.unsure_ms > 0, "{bounds:?}");
        assert!(
            bounds.share.over_ms <= exact.share.over_ms,
            "{bounds:?} of {exact:?}"
        );
        let most = bounds.share.over_ms + bounds.unsure_ms;
        assert!(most >= exact.share.over_ms, "{bounds:?} of {exact:?}");
        assert_eq!(bounds, reference::share_bounds(&samples, &query, level));
    }
}
