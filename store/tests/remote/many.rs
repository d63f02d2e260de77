//! As many series as a province has, each with a few readings: late, repeated, with gaps. Ranked by facility and region.

use domain::{Sample, Scope, SeriesKey, TimeRange, UtcMillis, rule::Comparison};
use sunshine_store::{
    Aggregates, Level, Ranked, Share, ShareQuery, Step, TimeSeries, WindowQuery,
    series::{query::rank, reference},
};

const BEGIN: UtcMillis = UtcMillis(1_760_000_000_000);
const EVERY_MS: i64 = 600_000;
const MOMENTS: u32 = 6;
const SERIES_OF_A_FACILITY: u32 = 25;
const FACILITIES_OF_A_REGION: u32 = 9;
const LINES_AT_A_TIME: usize = 10_000;

fn key(n: u32) -> SeriesKey {
    SeriesKey {
        facility: format!("f{}", n / SERIES_OF_A_FACILITY).parse().unwrap(),
        device: format!("d{n}").parse().unwrap(),
        metric: "temperature".parse().unwrap(),
    }
}

fn facility(n: u32) -> u32 {
    n / SERIES_OF_A_FACILITY
}

fn region(n: u32) -> u32 {
    facility(n) / FACILITIES_OF_A_REGION
}

/// What series `n` says at a moment; one in five says nothing then.
fn sample(n: u32, moment: u32) -> Option<Sample> {
    let chance = n.wrapping_mul(2_654_435_761).rotate_left(moment * 5) ^ moment;
    (!chance.is_multiple_of(5)).then(|| Sample {
        at: BEGIN + i64::from(moment) * EVERY_MS + i64::from(n % 1_000),
        value: (f64::from(chance % 400) - 200.0) / 10.0,
    })
}

/// Everything that is written, in the order in which it arrives: the second half of the time first, and some twice.
pub(crate) fn batches(count: u32) -> Vec<Vec<(SeriesKey, Sample)>> {
    let order = [3, 4, 5, 0, 1, 2, 4];
    let written = order.into_iter().flat_map(|moment| {
        let of = move |n| Some((key(n), sample(n, moment)?));
        (0..count).filter_map(of)
    });
    let written: Vec<(SeriesKey, Sample)> = written.collect();
    written.chunks(LINES_AT_A_TIME).map(<[_]>::to_vec).collect()
}

fn kept(n: u32) -> Vec<Sample> {
    (0..MOMENTS).filter_map(|moment| sample(n, moment)).collect()
}

/// A question that a server may have answered on any of its threads.
fn handed_on<F: Future + Send>(question: F) -> F {
    question
}

/// Asks for the ranking by region and by facility, and for some of the series.
pub(crate) async fn check(face: &TimeSeries, count: u32) {
    let scope = Scope::everything();
    let range = TimeRange {
        from: BEGIN,
        to: BEGIN + i64::from(MOMENTS) * EVERY_MS,
    };
    let query = ShareQuery {
        range,
        op: Comparison::Above,
        limit: 8.05,
        max_hold_ms: EVERY_MS * 3 / 2,
    };
    for group in [region, facility] {
        let series: Vec<(SeriesKey, u32)> = (0..count).map(|n| (key(n), group(n))).collect();
        let ranked = handed_on(face.share_by(&scope, &series, &query)).await.unwrap();
        let mut want: Vec<Ranked<u32>> = Vec::new();
        for n in 0..count {
            if want.last().is_none_or(|last| last.group != group(n)) {
                want.push(Ranked {
                    group: group(n),
                    share: Share::default(),
                    series: 0,
                });
            }
            let last = want.last_mut().unwrap();
            last.share.add(reference::share(&kept(n), &query));
            last.series += 1;
        }
        rank(&mut want);
        assert_eq!(ranked.len(), want.len());
        let differs = ranked.iter().zip(&want).find(|(got, want)| got != want);
        assert_eq!(differs, None);
    }
    let window = WindowQuery {
        range,
        step: Step::Fixed { ms: EVERY_MS * 2 },
        aggregates: Aggregates::PLAIN,
    };
    for n in (0..count).step_by((count / 40).max(1) as usize) {
        let latest = face.latest(&scope, &key(n)).await.unwrap();
        assert_eq!(latest, kept(n).last().copied(), "{n}");
        let got = face.window(&scope, &key(n), &window).await.unwrap().buckets;
        let want = reference::window(&kept(n), &window, Level::Raw).unwrap().buckets;
        assert_eq!(got.len(), want.len(), "{n}");
        for (got, want) in got.iter().zip(want) {
            // A sum depends on the order in which it is made.
            assert!((got.sum - want.sum).abs() < 1e-9, "{n}");
            assert_eq!(
                (got.count, got.min, got.max, got.last),
                (want.count, want.min, want.max, want.last)
            );
        }
    }
}
