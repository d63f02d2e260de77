//! One suite for every backend: histories with late, doubled and overwritten readings, gaps, changes of the clock, and
//! negative and huge values; every answer is compared with the plain implementation over what must be there.

use std::collections::BTreeMap;

use domain::{
    Clock, LogPosition, Quality, Reading, Sample, Scope, SeriesKey, TimeRange, UtcMillis, rule::Comparison,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sunshine_store::{
    Aggregates, CalendarUnit, Level, Ranked, SeriesOptions, SeriesStore, ShareQuery, Step, TimeSeries,
    WindowBucket, WindowQuery, Zone,
    series::{query::rank, reference},
};

use crate::many;

/// Beginnings of histories, near which the clocks are changed in Berlin, those of Lord Howe Island by half an hour, or a
/// year begins.
const BEGINNINGS: [&str; 5] = [
    "2026-04-04T00:10:00Z",
    "2026-10-03T02:20:00Z",
    "2026-03-28T20:00:00Z",
    "2026-10-24T21:30:00Z",
    "2025-12-31T22:00:00Z",
];

/// One write: which series, when after the beginning (ms), and the value.
pub(crate) type Write = (u8, i64, f64);

/// Writes in the order in which they arrive, and how many series there are.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) begin: UtcMillis,
    pub(crate) series: u8,
    pub(crate) writes: Vec<Write>,
    pub(crate) queries: Vec<Question>,
    /// What all values and limits are multiplied by.
    pub(crate) scale: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Question {
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
    const UNITS: [CalendarUnit; 3] = [CalendarUnit::Hour, CalendarUnit::Day, CalendarUnit::Month];
    const ZONES: [&str; 3] = ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Shanghai"];
    let calendar = (prop::sample::select(&UNITS[..]), prop::sample::select(&ZONES[..]));
    let calendar = calendar.prop_map(|(unit, zone)| Step::Calendar {
        unit,
        zone: Zone::named(zone).unwrap(),
    });
    prop_oneof![
        1 => (1..200_i64).prop_map(|n| Step::Fixed { ms: n * 300_000 }),
        1 => (200_000..90_000_000_i64).prop_map(|ms| Step::Fixed { ms }),
        1 => (1..200_u32).prop_map(Step::Parts),
        3 => calendar,
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

/// What all values of a history are multiplied by: a store that keeps so many digits of the largest of some neighbours
/// keeps them of huge and of tiny ones alike.
fn scale() -> impl Strategy<Value = f64> {
    prop_oneof![4 => Just(1.0), 1 => Just(1e18), 1 => Just(1e290), 1 => Just(1e-12)]
}

fn history(most_series: u8) -> impl Strategy<Value = History> {
    let begin = prop::sample::select(&BEGINNINGS[..]);
    (begin, 1..=most_series, scale()).prop_flat_map(|(begin, series, scale)| {
        let write = (0..series, moment(), value());
        let again = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
        (
            prop::collection::vec(write, 0..300),
            prop::collection::vec(again, 0..12),
            prop::collection::vec(question(), 1..4),
        )
            .prop_map(move |(mut writes, again, queries)| {
                // Delivered twice: the same reading, some time later.
                for (which, when) in again {
                    if writes.is_empty() {
                        break;
                    }
                    let which = which.index(writes.len());
                    let when = which + when.index(writes.len() - which) + 1;
                    writes.insert(when, writes[which]);
                }
                for (_, _, value) in &mut writes {
                    *value *= scale;
                }
                History {
                    begin: UtcMillis(begin.parse::<jiff::Timestamp>().unwrap().as_millisecond()),
                    series,
                    writes,
                    queries,
                    scale,
                }
            })
    })
}

impl History {
    /// One of values as they stand.
    pub(crate) fn of(series: u8, writes: Vec<Write>, queries: Vec<Question>) -> History {
        History {
            begin: UtcMillis(1_760_000_000_000),
            series,
            writes,
            queries,
            scale: 1.0,
        }
    }
}

impl Question {
    /// About everything in the first so many milliseconds.
    pub(crate) fn whole(length: i64) -> Question {
        Question {
            from: 0,
            length,
            step: Step::Parts(100),
            quantiles: true,
            limit: 8.0,
            hold_ms: 90_000,
            page: 40_000,
        }
    }
}

pub(crate) fn key(case: u32, series: u8) -> SeriesKey {
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
pub(crate) fn without_corrections(history: &History) -> History {
    let mut first: BTreeMap<(u8, i64), f64> = BTreeMap::new();
    let mut history = history.clone();
    for (series, at, value) in &mut history.writes {
        *value = *first.entry((*series, *at)).or_insert(*value);
    }
    history
}

/// Asks everything of `face`, and compares.
pub(crate) async fn check(face: &TimeSeries, case: u32, history: &History) -> Result<(), TestCaseError> {
    check_ranking(face, case, history).await?;
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
            check_share(face, &key, samples, (question, query.range, history.scale)).await?;
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

/// Those that count for a share: what lies before the range by no more than a value holds reaches into it.
fn reaching(samples: &[Sample], query: &ShareQuery) -> Vec<Sample> {
    let range = query.range;
    let early = |s: &&Sample| s.at >= range.from - query.max_hold_ms && s.at < range.to;
    samples.iter().filter(early).copied().collect()
}

/// Ranks the series by groups as regions are: of several series, some of which may be given twice or not be seen.
async fn check_ranking(face: &TimeSeries, case: u32, history: &History) -> Result<(), TestCaseError> {
    let kept = expected(history);
    for question in &history.queries {
        let from = history.begin + question.from;
        let query = ShareQuery {
            range: TimeRange {
                from,
                to: from + question.length,
            },
            op: Comparison::Below,
            limit: (question.limit + 0.05) * history.scale,
            max_hold_ms: question.hold_ms,
        };
        let groups = |n: u8| (key(case, n), n % 3);
        let mut series: Vec<(SeriesKey, u8)> = (0..history.series).map(groups).collect();
        let mut want: BTreeMap<u8, Ranked<u8>> = BTreeMap::new();
        for n in 0..history.series {
            let group = n % 3;
            let of = want.entry(group).or_insert(Ranked {
                group,
                share: sunshine_store::Share::default(),
                series: 0,
            });
            let samples = kept.get(&n).map_or(&[][..], Vec::as_slice);
            of.share.add(reference::share(&reaching(samples, &query), &query));
            of.series += 1;
        }
        let mut want: Vec<Ranked<u8>> = want.into_values().collect();
        rank(&mut want);
        series.push((key(case, 0), 9));
        let got = face
            .share_by(&Scope::everything(), &series, &query)
            .await
            .unwrap();
        prop_assert_eq!(got, want);
        let nobody = Scope::facilities(["elsewhere".parse().unwrap()]);
        prop_assert_eq!(face.share_by(&nobody, &series, &query).await.unwrap(), vec![]);
    }
    Ok(())
}

async fn check_share(
    face: &TimeSeries,
    key: &SeriesKey,
    samples: &[Sample],
    (question, range, scale): (&Question, TimeRange, f64),
) -> Result<(), TestCaseError> {
    let query = ShareQuery {
        range,
        op: Comparison::Above,
        // Between two values that a history can have, so that no digit decides.
        limit: (question.limit + 0.05) * scale,
        max_hold_ms: question.hold_ms,
    };
    let within = reaching(samples, &query);
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

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn store(dir: &std::path::Path, clock: &Clock) -> SeriesStore {
    SeriesStore::open(SeriesOptions::new(dir), clock.clone()).unwrap()
}

/// Runs `case` over many histories.
pub(crate) fn over_histories(
    cases: u32,
    most_series: u8,
    case: impl Fn(u32, &History) -> Result<(), TestCaseError>,
) {
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

#[test]
fn fifty_thousand_series_are_told_apart() {
    many_series(50_000);
}

fn many_series(count: u32) {
    let clock = Clock::simulated(UtcMillis(1_800_000_000_000));
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &clock);
    for (n, batch) in many::batches(count).into_iter().enumerate() {
        let reading = |(key, sample): &(SeriesKey, Sample)| Reading {
            series: store.resolve(key).unwrap(),
            at: sample.at,
            received: sample.at,
            value: sample.value,
            quality: Quality::Good,
        };
        let readings: Vec<Reading> = batch.iter().map(reading).collect();
        let place = |n: usize| LogPosition(n as u64);
        store.append(&readings, place(n), place(n + 1)).unwrap();
        store.flush().unwrap();
    }
    assert_eq!(store.stats().series, u64::from(count));
    runtime().block_on(many::check(&TimeSeries::embedded(store, clock), count));
}
