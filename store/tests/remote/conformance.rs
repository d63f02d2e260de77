//! One suite for every backend: histories with late, doubled and overwritten readings, gaps, changes of the clock, and
//! negative and large values; every answer is compared with the plain implementation over what must be there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{
    Clock, LogPosition, Quality, Reading, Sample, Scope, SeriesKey, TimeRange, UtcMillis, rule::Comparison,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sunshine_store::{
    Aggregates, CalendarUnit, Forwarder, Level, Records, Remote, RemoteKind, RemoteOptions, SeriesOptions,
    SeriesStore, ShareQuery, Step, TimeSeries, WindowBucket, WindowQuery, Zone,
    remote::{LineHead, Lines, Pace},
    series::reference,
};

use tempfile::TempDir;

use crate::engines::Engine;

/// Beginnings of histories, near which the clocks are changed in Berlin, or a year begins.
const BEGINNINGS: [&str; 3] = [
    "2026-03-28T20:00:00Z",
    "2026-10-24T21:30:00Z",
    "2025-12-31T22:00:00Z",
];

/// One write: which series, when after the beginning (ms), and the value.
type Write = (u8, i64, f64);

/// Writes in the order in which they arrive, and how many series there are.
#[derive(Debug, Clone)]
struct History {
    begin: UtcMillis,
    series: u8,
    writes: Vec<Write>,
    queries: Vec<Question>,
}

#[derive(Debug, Clone)]
struct Question {
    from: i64,
    length: i64,
    step: Step,
    quantiles: bool,
    limit: f64,
    hold_ms: i64,
    page: usize,
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => (-400..400_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => Just(0.0),
        1 => (-1_000_000..1_000_000_i32).prop_map(f64::from),
        1 => prop_oneof![Just(1e9), Just(-1e9)],
    ]
}

/// Moments in two days, most of them on a few dozen so that many are doubled.
fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => (0..40_i64).prop_map(|n| n * 600_000),
        2 => 0..172_800_000_i64,
        1 => (0..5_i64).prop_map(|n| 100_000_000 + n),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let calendar = |unit| {
        let zone = Zone::named("Europe/Berlin").unwrap();
        Step::Calendar { unit, zone }
    };
    prop_oneof![
        (1..200_i64).prop_map(|n| Step::Fixed { ms: n * 300_000 }),
        (200_000..90_000_000_i64).prop_map(|ms| Step::Fixed { ms }),
        (1..200_u32).prop_map(Step::Parts),
        Just(calendar(CalendarUnit::Hour)),
        Just(calendar(CalendarUnit::Day)),
        Just(calendar(CalendarUnit::Month)),
    ]
}

fn question() -> impl Strategy<Value = Question> {
    let range = prop_oneof![
        Just((0, 172_800_000)),
        (-1_000_000..172_800_000_i64, 0..172_800_000_i64),
    ];
    (
        range,
        step(),
        any::<bool>(),
        value(),
        0..20_000_000_i64,
        1..30_usize,
    )
        .prop_map(
            |((from, length), step, quantiles, limit, hold_ms, page)| Question {
                from,
                length,
                step,
                quantiles,
                limit,
                hold_ms,
                page,
            },
        )
}

fn history(most_series: u8) -> impl Strategy<Value = History> {
    let begin = prop::sample::select(&BEGINNINGS[..]);
    (begin, 1..=most_series).prop_flat_map(|(begin, series)| {
        let write = (0..series, moment(), value());
        (
            prop::collection::vec(write, 0..300),
            prop::collection::vec(question(), 1..4),
        )
            .prop_map(move |(writes, queries)| History {
                begin: UtcMillis(begin.parse::<jiff::Timestamp>().unwrap().as_millisecond()),
                series,
                writes,
                queries,
            })
    })
}

fn key(case: u32, series: u8) -> SeriesKey {
    SeriesKey {
        facility: format!("机构-{case}").parse().unwrap(),
        device: format!("d{series}").parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

/// What must be there of each series.
fn expected(history: &History) -> BTreeMap<u8, Vec<Sample>> {
    let mut kept: BTreeMap<u8, BTreeMap<i64, f64>> = BTreeMap::new();
    for &(series, at, value) in &history.writes {
        kept.entry(series)
            .or_default()
            .insert(history.begin.0 + at, value);
    }
    let samples = |of: BTreeMap<i64, f64>| {
        let sample = |(at, value)| Sample {
            at: UtcMillis(at),
            value,
        };
        of.into_iter().map(sample).collect()
    };
    kept.into_iter()
        .map(|(series, of)| (series, samples(of)))
        .collect()
}

/// How close two numbers must be: all but equal, and where the backend keeps fewer digits, within those.
fn close(got: f64, want: f64, coarse: f64) -> bool {
    (got - want).abs() <= coarse.max(want.abs() * 1e-9)
}

fn same(got: &WindowBucket, want: &WindowBucket, (coarse, largest): (f64, f64)) -> bool {
    let quantiles = |b: &WindowBucket| [b.quantiles.p50, b.quantiles.p95, b.quantiles.p99];
    let figures = |b: &WindowBucket| [b.min, b.max, b.last];
    (got.start, got.end, got.count) == (want.start, want.end, want.count)
        // A sum depends on the order in which it is made, by a few digits of its largest part.
        && close(got.sum, want.sum, largest * 1e-12)
        && figures(got)
            .iter()
            .zip(figures(want))
            .all(|(g, w)| close(*g, w, coarse))
        && quantiles(got)
            .iter()
            .zip(quantiles(want))
            .all(|(g, w)| match (g, w) {
                (Some(g), Some(w)) => close(*g, w, coarse),
                (g, w) => *g == w,
            })
}

/// The same history where nothing is ever corrected: what is written again at a moment is the same value. For a backend
/// that does not say which of two different values it keeps.
fn without_corrections(history: &History) -> History {
    let mut first: BTreeMap<(u8, i64), f64> = BTreeMap::new();
    let mut history = history.clone();
    for (series, at, value) in &mut history.writes {
        *value = *first.entry((*series, *at)).or_insert(*value);
    }
    history
}

/// Asks everything of `face`, and compares.
async fn check(face: &TimeSeries, case: u32, history: &History) -> Result<(), TestCaseError> {
    let scope = Scope::everything();
    let nobody = Scope::facilities(["elsewhere".parse().unwrap()]);
    let kept = expected(history);
    let exact = face.caps().exact_values;
    for series in 0..history.series {
        let key = key(case, series);
        let none = Vec::new();
        let samples = kept.get(&series).unwrap_or(&none);
        let largest = samples.iter().map(|s| s.value.abs()).fold(0.0, f64::max);
        let coarse = if exact { 0.0 } else { largest * 1e-12 };
        for question in &history.queries {
            let from = history.begin + question.from;
            let query = WindowQuery {
                range: TimeRange {
                    from,
                    to: from + question.length,
                },
                step: question.step.clone(),
                aggregates: if question.quantiles {
                    Aggregates::ALL
                } else {
                    Aggregates::PLAIN
                },
            };
            let want = reference::window(samples, &query, Level::Raw);
            let got = face.window(&scope, &key, &query).await;
            let Ok(want) = want else {
                prop_assert!(got.is_err(), "too many buckets");
                continue;
            };
            let got = got.unwrap();
            prop_assert_eq!(
                got.buckets.len(),
                want.buckets.len(),
                "{:?}\n{:?}\n{:?}",
                query,
                got,
                want
            );
            for (got, want) in got.buckets.iter().zip(&want.buckets) {
                prop_assert!(
                    same(got, want, (coarse, largest)),
                    "{:?}\n got {:?}\nwant {:?}",
                    query,
                    got,
                    want
                );
            }
            let hidden = face.window(&nobody, &key, &query).await.unwrap();
            prop_assert_eq!(hidden.buckets, vec![]);
            check_share(face, &key, samples, (question, query.range)).await?;
            check_pages(face, &key, samples, (question, query.range), coarse).await?;
        }
        let latest = face.latest(&scope, &key).await.unwrap();
        let want = samples.last();
        prop_assert_eq!(latest.map(|s| s.at), want.map(|s| s.at));
        prop_assert!(
            latest
                .zip(want)
                .is_none_or(|(got, want)| close(got.value, want.value, coarse))
        );
        prop_assert_eq!(face.latest(&nobody, &key).await.unwrap(), None);
    }
    Ok(())
}

async fn check_share(
    face: &TimeSeries,
    key: &SeriesKey,
    samples: &[Sample],
    (question, range): (&Question, TimeRange),
) -> Result<(), TestCaseError> {
    let query = ShareQuery {
        range,
        op: Comparison::Above,
        // Between two values that a history can have, so that no digit decides.
        limit: question.limit + 0.05,
        max_hold_ms: question.hold_ms,
    };
    let early = |s: &&Sample| s.at >= range.from - question.hold_ms && s.at < range.to;
    let within: Vec<Sample> = samples.iter().filter(early).copied().collect();
    let keys = std::slice::from_ref(key);
    let got = face.share_over(&Scope::everything(), keys, &query).await.unwrap();
    prop_assert_eq!(got, reference::share(&within, &query));
    Ok(())
}

async fn check_pages(
    face: &TimeSeries,
    key: &SeriesKey,
    samples: &[Sample],
    (question, mut range): (&Question, TimeRange),
    coarse: f64,
) -> Result<(), TestCaseError> {
    let want: Vec<Sample> = samples.iter().filter(|s| range.contains(s.at)).copied().collect();
    let mut got: Vec<Sample> = Vec::new();
    loop {
        let page = face
            .scan(&Scope::everything(), key, range, question.page)
            .await
            .unwrap();
        prop_assert!(page.samples.len() <= question.page);
        got.extend(page.samples);
        match page.next {
            Some(next) => range.from = next,
            None => break,
        }
    }
    prop_assert_eq!(
        got.iter().map(|s| s.at).collect::<Vec<_>>(),
        want.iter().map(|s| s.at).collect::<Vec<_>>()
    );
    for (got, want) in got.iter().zip(&want) {
        prop_assert!(close(got.value, want.value, coarse), "{:?} {:?}", got, want);
    }
    Ok(())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn store(dir: &std::path::Path, clock: &Clock) -> SeriesStore {
    SeriesStore::open(SeriesOptions::new(dir), clock.clone()).unwrap()
}

/// Runs `case` over many histories.
fn over_histories(cases: u32, most_series: u8, case: impl Fn(u32, &History) -> Result<(), TestCaseError>) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    });
    let number = std::cell::Cell::new(0);
    let ran = runner.run(&history(most_series), |history| {
        number.set(number.get() + 1);
        case(number.get(), &history)
    });
    if let Err(e) = ran {
        panic!("{e}");
    }
    assert!(number.get() >= cases, "every history was tried");
}

#[test]
fn embedded() {
    let runtime = runtime();
    let clock = Clock::simulated(UtcMillis(1_800_000_000_000));
    over_histories(48, 12, |case, history| {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path(), &clock);
        for (n, &(series, at, value)) in history.writes.iter().enumerate() {
            let at = history.begin + at;
            let reading = Reading {
                series: store.resolve(&key(case, series)).unwrap(),
                at,
                received: at,
                value,
                quality: Quality::Good,
            };
            let place = |n: usize| LogPosition(n as u64);
            store.append(&[reading], place(n), place(n + 1)).unwrap();
            if n % 50 == 49 {
                store.flush().unwrap();
            }
        }
        let face = TimeSeries::embedded(store, clock.clone());
        runtime.block_on(check(&face, case, history))
    });
}

/// VictoriaMetrics with our forwarder before it and our face behind it.
struct Victoria {
    engine: Engine,
    records: Records,
    remote: Remote,
    face: TimeSeries,
    _dir: TempDir,
}

impl Victoria {
    async fn start() -> Option<Victoria> {
        let engine = Engine::victoria_metrics().await?;
        let clock = Clock::system();
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("records.db"), clock.clone())
            .await
            .unwrap();
        let remote = Remote::new(&RemoteOptions {
            kind: RemoteKind::VictoriaMetrics,
            write_url: engine.url(),
            read_url: None,
            token: None,
            ca_pem: None,
            timeout: Duration::from_secs(30),
        })
        .unwrap();
        let local = store(&dir.path().join("series"), &clock);
        Some(Victoria {
            engine,
            records,
            remote: remote.clone(),
            // Everything lies beyond the boundary: nothing is asked of the embedded store.
            face: TimeSeries::with_remote(local, remote, -1_000, clock),
            _dir: dir,
        })
    }

    async fn deliver(&self, lines: Lines) {
        let (remote, records) = (self.remote.clone(), self.records.clone());
        let mut forwarder = Forwarder::new(remote, records, Clock::system(), Pace::default());
        forwarder.deliver(&Arc::new(lines)).await;
        // What was written becomes visible to queries.
        self.engine.get("/internal/force_flush").await;
    }

    /// Writes in several requests, as they would come over time.
    async fn write(&self, case: u32, history: &History, at_a_time: usize) {
        let head = |series| LineHead::new(&key(case, series)).unwrap();
        let heads: Vec<LineHead> = (0..history.series).map(head).collect();
        for some in history.writes.chunks(at_a_time) {
            let mut lines = Lines::default();
            for &(series, at, value) in some {
                let at = history.begin + at;
                lines
                    .push(&heads[usize::from(series)], Sample { at, value })
                    .unwrap();
            }
            self.deliver(lines).await;
        }
    }
}

#[test]
fn victoria_metrics() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    over_histories(32, 12, |case, history| {
        let history = without_corrections(history);
        runtime.block_on(async {
            victoria.write(case, &history, 97).await;
            check(&victoria.face, case, &history).await
        })
    });
    let letters = runtime.block_on(victoria.records.dead_letter_counts()).unwrap();
    assert_eq!(letters.kept, 0);
}

/// Which of them is not said: measured, it is neither always the later nor always the larger one.
#[test]
fn victoria_metrics_keeps_one_of_the_values_of_a_moment() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    assert!(!victoria.face.caps().overwrites);
    let writes = (0..200)
        .map(|n| (0, i64::from(n % 50) * 1000, f64::from(n)))
        .collect();
    let history = History {
        begin: UtcMillis(1_760_000_000_000),
        series: 1,
        writes,
        queries: Vec::new(),
    };
    let range = TimeRange {
        from: history.begin,
        to: history.begin + 50_000,
    };
    let page = runtime.block_on(async {
        victoria.write(1, &history, 30).await;
        victoria
            .face
            .scan(&Scope::everything(), &key(1, 0), range, 1000)
            .await
            .unwrap()
    });
    assert_eq!(page.samples.len(), 50, "one value a moment");
    for (n, sample) in (0..).zip(page.samples) {
        assert_eq!(sample.at, history.begin + n * 1000);
        assert_eq!(
            sample.value.rem_euclid(50.0),
            f64::from(i32::try_from(n).unwrap())
        );
    }
}

#[test]
fn many_series_of_victoria_metrics_are_told_apart() {
    let runtime = runtime();
    let Some(victoria) = runtime.block_on(Victoria::start()) else {
        return;
    };
    let series = 50_000_u32;
    let begin = UtcMillis(1_760_000_000_000);
    let key = |n: u32| SeriesKey {
        facility: format!("f{}", n / 100).parse().unwrap(),
        device: format!("d{n}").parse().unwrap(),
        metric: "humidity".parse().unwrap(),
    };
    let mut lines = Lines::default();
    for n in 0..series {
        let value = f64::from(n) / 2.0;
        lines
            .push(&LineHead::new(&key(n)).unwrap(), Sample { at: begin, value })
            .unwrap();
    }
    runtime.block_on(async {
        victoria.deliver(lines).await;
        for n in (0..series).step_by(997) {
            let latest = victoria.face.latest(&Scope::everything(), &key(n)).await.unwrap();
            assert_eq!(
                latest,
                Some(Sample {
                    at: begin,
                    value: f64::from(n) / 2.0
                }),
                "{n}"
            );
        }
    });
}
