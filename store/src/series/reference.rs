//! What the answers are, written as plainly as possible over a sorted list of samples. The tests of every backend
//! compare with this; a backend that cannot compute something itself fetches the samples and asks here.

use domain::{Sample, TimeRange, UtcMillis};

use super::{
    error::SeriesError,
    query::{
        Aggregates, Level, Quantiles, Share, ShareBounds, ShareQuery, WindowAnswer, WindowBucket,
        WindowQuery, nearest_rank,
    },
};

/// The answer to `query` over `samples`, which are in order of time with one sample a moment. Samples outside the
/// range are passed over. At another level than [`Level::Raw`] every sample counts where its cell begins.
///
/// # Errors
/// [`SeriesError::TooManyBuckets`].
pub fn window(samples: &[Sample], query: &WindowQuery, level: Level) -> Result<WindowAnswer, SeriesError> {
    let edges = query.edges()?;
    let place = |sample: &Sample| level.moment(sample.at);
    let mut buckets = Vec::new();
    for ends in edges.windows(2) {
        let begin = samples.partition_point(|sample| place(sample) < ends[0]);
        let end = samples.partition_point(|sample| place(sample) < ends[1]);
        if begin < end {
            buckets.push(bucket(&samples[begin..end], (ends[0], ends[1]), query.aggregates));
        }
    }
    Ok(WindowAnswer { level, buckets })
}

fn bucket(samples: &[Sample], (start, end): (UtcMillis, UtcMillis), wanted: Aggregates) -> WindowBucket {
    let mut values: Vec<f64> = samples.iter().map(|sample| sample.value).collect();
    let sum = values.iter().sum();
    let last = values[values.len() - 1];
    values.sort_by(f64::total_cmp);
    let count = values.len() as u64;
    let at_rank = |percent| {
        let rank = nearest_rank(percent, count);
        values[usize::try_from(rank).expect("a rank is below the number of values")]
    };
    WindowBucket {
        start,
        end,
        count,
        sum,
        min: values[0],
        max: values[values.len() - 1],
        last,
        quantiles: Quantiles::of(wanted, at_rank),
    }
}

/// The time for which `samples` were beyond the limit. They are in order of time with one sample a moment, and begin
/// early enough: with the last one before the range, where that one is less than `max_hold_ms` older than it.
#[must_use]
pub fn share(samples: &[Sample], query: &ShareQuery) -> Share {
    let mut share = Share::default();
    for (index, sample) in samples.iter().enumerate() {
        let next = samples.get(index + 1).map_or(UtcMillis(i64::MAX), |next| next.at);
        let known_ms = held_ms(sample.at, next, query);
        let over = query.op.holds(sample.value, query.limit);
        share.add(Share {
            over_ms: if over { known_ms } else { 0 },
            known_ms,
        });
    }
    share
}

/// The same at a level of cells, whose samples are gone: what is certain, and what is unsure. `samples` as in [`share`],
/// beginning with a whole cell. At [`Level::Raw`] it is [`share`] with nothing unsure.
#[must_use]
pub fn share_bounds(samples: &[Sample], query: &ShareQuery, level: Level) -> ShareBounds {
    let Some(cell_ms) = level.cell_ms() else {
        return ShareBounds {
            share: share(samples, query),
            unsure_ms: 0,
        };
    };
    let over = |sample: &Sample| query.op.holds(sample.value, query.limit);
    let within = |from: UtcMillis, to: UtcMillis| {
        let (from, to) = (from.max(query.range.from), to.min(query.range.to));
        to.ms_since(from).max(0)
    };
    let cells: Vec<&[Sample]> = samples
        .chunk_by(|a, b| level.moment(a.at) == level.moment(b.at))
        .collect();
    let mut bounds = ShareBounds::default();
    let mut entering: Option<(bool, UtcMillis)> = None;
    for (index, cell) in cells.iter().enumerate() {
        let start = level.moment(cell[0].at);
        let end = start + cell_ms;
        let next = cells
            .get(index + 1)
            .map_or(UtcMillis(i64::MAX), |next| level.moment(next[0].at));
        // What held when the cell began has a say as well.
        let carried = entering
            .filter(|(_, until)| *until >= start)
            .map(|(over, _)| over);
        let sides: Vec<bool> = cell.iter().map(over).chain(carried).collect();
        let inside = within(start, end);
        bounds.share.known_ms += inside;
        if sides.iter().all(|over| *over) {
            bounds.share.over_ms += inside;
        } else if sides.iter().any(|over| *over) {
            bounds.unsure_ms += inside;
        }
        let last = over(&cell[cell.len() - 1]);
        let until = next.min(start + query.max_hold_ms.max(cell_ms));
        let after = within(end, until);
        bounds.share.known_ms += after;
        bounds.share.over_ms += if last { after } else { 0 };
        entering = Some((last, until));
    }
    bounds
}

/// How long a sample holds inside the query's range, in milliseconds.
pub(super) fn held_ms(at: UtcMillis, next: UtcMillis, query: &ShareQuery) -> i64 {
    let TimeRange { from, to } = query.range;
    let until = next.min(at + query.max_hold_ms.max(0)).min(to);
    until.ms_since(at.max(from)).max(0)
}

#[cfg(test)]
mod tests {
    use domain::rule::Comparison;

    use super::*;
    use crate::series::query::{Aggregate, CalendarUnit, Ranked, Step, Zone, edges, rank};

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange {
            from: UtcMillis(from),
            to: UtcMillis(to),
        }
    }

    fn samples(pairs: &[(i64, f64)]) -> Vec<Sample> {
        let sample = |&(at, value)| Sample {
            at: UtcMillis(at),
            value,
        };
        pairs.iter().map(sample).collect()
    }

    #[test]
    fn buckets_are_left_closed_labelled_by_start_and_absent_when_empty() {
        let query = WindowQuery {
            range: range(0, 35),
            step: Step::Fixed { ms: 10 },
            aggregates: Aggregates::ALL,
        };
        let given = samples(&[(-1, 9.0), (0, 1.0), (9, -3.0), (10, 4.0), (34, 8.0), (35, 9.0)]);
        let answer = window(&given, &query, Level::Raw).unwrap();
        let spans: Vec<_> = answer.buckets.iter().map(|b| (b.start.0, b.end.0)).collect();
        assert_eq!(
            spans,
            [(0, 10), (10, 20), (30, 35)],
            "the third is a gap, the last is cut"
        );
        let first = &answer.buckets[0];
        assert_eq!((first.count, first.sum, first.avg()), (2, -2.0, -1.0));
        assert_eq!((first.min, first.max, first.last), (-3.0, 1.0, -3.0));
        let got: Vec<_> = Aggregate::ALL.iter().map(|a| first.get(*a)).collect();
        assert_eq!(got.iter().flatten().count(), 9);
        assert_eq!(first.quantiles.p50, Some(-3.0), "rank 1 of 2");
        assert_eq!(first.quantiles.p95, Some(1.0));
        let plain = WindowQuery {
            aggregates: Aggregates::PLAIN,
            ..query
        };
        let answer = window(&given, &plain, Level::Raw).unwrap();
        assert_eq!(answer.buckets[0].quantiles, Quantiles::default());
        assert_eq!(
            format!("{:?}", plain.aggregates),
            r#"{"avg", "min", "max", "count", "sum", "last"}"#
        );
    }

    #[test]
    fn quantiles_are_the_nearest_rank() {
        for (percent, count, want) in [
            (50, 1, 0),
            (50, 2, 0),
            (50, 3, 1),
            (95, 20, 18),
            (95, 21, 19),
            (95, 10, 9),
            (99, 100, 98),
            (99, 101, 99),
            (99, u64::MAX, 18_262_276_632_972_456_098),
        ] {
            assert_eq!(nearest_rank(percent, count), want, "p{percent} of {count}");
        }
    }

    #[test]
    fn days_and_hours_are_those_of_the_wall_clock() {
        let lengths = |zone: &str, unit, from: &str, to: &str| {
            let step = Step::Calendar {
                unit,
                zone: Zone::named(zone).unwrap(),
            };
            let edges = edges(range(at(from), at(to)), &step).unwrap();
            edges
                .windows(2)
                .map(|ends| ends[1].ms_since(ends[0]) / 60_000)
                .collect::<Vec<_>>()
        };
        use CalendarUnit::{Day, Hour, Month};
        let berlin = "Europe/Berlin";
        // The clocks go forward on 2026-03-29 and back on 2026-10-25.
        assert_eq!(
            lengths(berlin, Day, "2026-03-28T22:30:00Z", "2026-03-31T10:00:00Z"),
            [30, 23 * 60, 24 * 60, 12 * 60]
        );
        assert_eq!(
            lengths(berlin, Day, "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z"),
            [25 * 60, 24 * 60]
        );
        assert_eq!(
            lengths(berlin, Hour, "2026-10-25T00:15:00Z", "2026-10-25T02:30:00Z"),
            [45, 60, 30],
            "an hour that comes twice is two buckets"
        );
        assert_eq!(
            lengths(
                "Asia/Shanghai",
                Month,
                "2026-01-31T16:00:00Z",
                "2026-04-01T00:00:00Z"
            ),
            [28 * 24 * 60, 31 * 24 * 60, 8 * 60]
        );
        assert_eq!(
            lengths(
                "Asia/Kathmandu",
                Hour,
                "2026-01-01T00:00:00Z",
                "2026-01-01T01:30:00Z"
            ),
            [15, 60, 15]
        );
        // On Lord Howe Island clocks move by half an hour.
        assert_eq!(
            lengths(
                "Australia/Lord_Howe",
                Hour,
                "2026-04-04T13:00:00Z",
                "2026-04-04T17:30:00Z"
            ),
            [60, 90, 60, 60]
        );
        // In Beirut days begin at 1 o'clock when the clocks go forward at midnight.
        assert_eq!(
            lengths("Asia/Beirut", Day, "2026-03-27T22:00:00Z", "2026-03-29T21:00:00Z"),
            [24 * 60, 23 * 60]
        );
        assert!(Zone::named("Mars/Olympus").is_none());
        assert_eq!(Zone::utc().name(), "UTC");
    }

    #[test]
    fn steps_are_bounded_and_odd_ranges_have_an_answer() {
        let edge = |range, step| edges(range, &step).map(|edges| edges.len());
        assert_eq!(edge(range(5, 5), Step::Fixed { ms: 1 }).unwrap(), 0);
        assert_eq!(edge(range(9, 5), Step::Parts(3)).unwrap(), 0);
        assert_eq!(edge(range(0, 5), Step::Fixed { ms: 0 }).unwrap(), 6);
        assert_eq!(edge(range(0, 2_000), Step::Fixed { ms: 1 }).unwrap(), 2_001);
        let always = range(i64::MIN, i64::MAX);
        assert_eq!(edge(always, Step::Fixed { ms: i64::MAX }).unwrap(), 4);
        assert_eq!(edge(always, Step::Parts(7)).unwrap(), 8);
        let days = Step::Calendar {
            unit: CalendarUnit::Day,
            zone: Zone::utc(),
        };
        assert_eq!(edge(always, days.clone()).unwrap(), 2, "outside the calendar");
        for (range, step) in [
            (range(0, 2_001), Step::Fixed { ms: 1 }),
            (range(0, 9_000), Step::Parts(2_001)),
            (range(0, 2_001 * 86_400_000), days),
        ] {
            assert!(matches!(
                edges(range, &step),
                Err(SeriesError::TooManyBuckets {
                    asked: 2_001,
                    max: 2_000
                })
            ));
        }
    }

    #[test]
    fn a_sample_holds_until_the_next_but_not_too_long_nor_beyond_the_range() {
        let query = |from, to, max_hold_ms| ShareQuery {
            range: range(from, to),
            op: Comparison::Above,
            limit: 8.0,
            max_hold_ms,
        };
        let given = samples(&[(-5, 9.0), (10, 7.0), (20, 9.0), (100, 8.0), (110, 20.0)]);
        let of = |query| {
            let share = share(&given, &query);
            (share.over_ms, share.known_ms)
        };
        // 9.0 reaches 10 into the range; 20..50 and 110..120 are over; 50..100 nobody knows.
        assert_eq!(of(query(0, 120, 30)), (10 + 30 + 10, 10 + 10 + 30 + 10 + 10));
        assert_eq!(of(query(0, 120, 8)), (3 + 8 + 8, 3 + 8 + 8 + 8 + 8));
        assert_eq!(of(query(0, 120, 0)), (0, 0));
        assert_eq!(of(query(12, 15, i64::MAX)), (0, 3));
        assert_eq!(of(query(i64::MIN, i64::MAX, -1)), (0, 0));
        assert_eq!(Share::default().ratio(), None);
    }

    #[test]
    fn the_worst_comes_first_and_the_unknown_last() {
        let group = |group, over_ms, known_ms| Ranked {
            group,
            share: Share { over_ms, known_ms },
            series: 1,
        };
        let mut groups = [
            group("unknown", 0, 0),
            group("never", 0, 10),
            group("half", 5, 10),
            group("third", 1, 3),
            group("half, longer", 50, 100),
            group("a half", 5, 10),
        ];
        rank(&mut groups);
        assert_eq!(
            groups.map(|g| g.group),
            ["half, longer", "a half", "half", "third", "never", "unknown"]
        );
    }
}
