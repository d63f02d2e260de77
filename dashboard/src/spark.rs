//! Small lines of the last hours, drawn here as SVG paths. A browser gets a finished picture, also
//! without JavaScript.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{Scope, SeriesId, SeriesKey, TimeRange, UtcMillis};
use store::{Bucket, SeriesStore};

/// Width of a sparkline's own coordinates.
pub(crate) const WIDTH: f64 = 120.0;
/// Height of a sparkline's own coordinates.
pub(crate) const HEIGHT: f64 = 30.0;
/// What a sparkline spans: six hours.
pub(crate) const SPAN_MS: i64 = 6 * 3_600_000;
const BUCKETS: u32 = 48;
/// How long a drawn line is good for.
const FRESH_MS: i64 = 60_000;
/// Lines kept; beyond it the book starts anew.
const MAX_LINES: usize = 20_000;

/// A drawn line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Spark {
    /// The line, an SVG path; empty when nothing was measured.
    pub(crate) line: String,
    /// The height of the limit, if it lies within the picture.
    pub(crate) limit_y: Option<f64>,
}

/// The values that a picture spans, lowest and highest.
pub(crate) fn span<'a>(buckets: impl IntoIterator<Item = &'a Bucket>, limit: Option<f64>) -> (f64, f64) {
    let values = buckets.into_iter().flat_map(|b| [b.min, b.max]).chain(limit);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    // A flat line stands in the middle instead of filling the picture with its noise.
    let pad = ((high - low) * 0.1).max(0.5);
    (low - pad, high + pad)
}

/// Draws `buckets`, which lie in `range`, into a picture of this width and height.
fn draw(buckets: &[Bucket], range: TimeRange, limit: Option<f64>, size: (f64, f64)) -> Spark {
    if buckets.is_empty() || range.length_ms() == 0 {
        return Spark::default();
    }
    let scale = span(buckets, limit);
    Spark {
        line: path(buckets, range, scale, size),
        limit_y: limit.map(|v| height_of(v, scale, size.1)),
    }
}

/// Where `value` lies in a picture that spans `scale` over `height`; the top is 0.
pub(crate) fn height_of(value: f64, scale: (f64, f64), height: f64) -> f64 {
    height - (value - scale.0) / (scale.1 - scale.0) * height
}

/// How many distances on either side of a place say how far apart values usually come there.
const AROUND: usize = 5;

/// Where the line through `buckets` breaks, before which of them: where values are more than three times as far
/// apart as they usually are around that place. How often a device speaks may change within a picture.
fn breaks(buckets: &[Bucket]) -> Vec<bool> {
    let apart: Vec<i64> = buckets
        .windows(2)
        .map(|w| w[1].start.ms_since(w[0].start))
        .collect();
    let usual = |some: &[i64]| {
        let mut some = some.to_vec();
        some.sort_unstable();
        some.get(some.len() / 2).copied()
    };
    let breaks_at = |i: usize| {
        let before = usual(&apart[i.saturating_sub(AROUND)..i]);
        let after = usual(&apart[i + 1..apart.len().min(i + 1 + AROUND)]);
        // Two values alone say nothing of what is usual: they are joined.
        before.max(after).is_some_and(|usual| apart[i] > usual * 3)
    };
    (0..apart.len()).map(breaks_at).collect()
}

/// The line through the averages of `buckets`. A gap in the data is a gap in the line.
pub(crate) fn path(buckets: &[Bucket], range: TimeRange, scale: (f64, f64), size: (f64, f64)) -> String {
    let x = |at: UtcMillis| at.ms_since(range.from) as f64 / range.length_ms() as f64 * size.0;
    let mut line = String::with_capacity(buckets.len() * 11);
    let begins = std::iter::once(true).chain(breaks(buckets));
    for (bucket, begins) in buckets.iter().zip(begins) {
        let joined = !begins;
        let verb = if joined { 'L' } else { 'M' };
        let y = height_of(bucket.avg(), scale, size.1);
        write!(line, "{verb}{:.1} {y:.1}", x(bucket.start)).expect("writing to a String succeeds");
        if !joined {
            // A lone point is drawn too: a line of hardly any length with round ends.
            line.push_str("h.01");
        }
    }
    line
}

#[derive(Debug)]
struct Drawn {
    at: UtcMillis,
    limit: Option<f64>,
    spark: Arc<Spark>,
}

/// The lines drawn lately.
#[derive(Debug, Default)]
pub(crate) struct SparkBook(Mutex<HashMap<SeriesKey, Drawn>>);

/// A line that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) key: SeriesKey,
    pub(crate) series: SeriesId,
    pub(crate) limit: Option<f64>,
}

impl SparkBook {
    /// The line of `key`, however old.
    pub(crate) fn get(&self, key: &SeriesKey) -> Option<Arc<Spark>> {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        book.get(key).map(|d| Arc::clone(&d.spark))
    }

    /// Which of `wanted` have no fresh line, at most `most`.
    pub(crate) fn stale(&self, wanted: Vec<Wanted>, now: UtcMillis, most: usize) -> Vec<Wanted> {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |w: &Wanted| {
            book.get(&w.key)
                .is_some_and(|d| now.ms_since(d.at).abs() < FRESH_MS && d.limit == w.limit)
        };
        wanted.into_iter().filter(|w| !fresh(w)).take(most).collect()
    }

    /// Draws `wanted` from the store. Reads the disk: not for the runtime's threads.
    pub(crate) fn draw(&self, store: &SeriesStore, wanted: &[Wanted], now: UtcMillis) {
        for want in wanted {
            let range = TimeRange::ending_at(now, SPAN_MS);
            let read = store.window(&Scope::everything(), want.series, range, BUCKETS);
            let buckets = match read {
                Ok(buckets) => buckets,
                Err(error) => {
                    tracing::warn!(series = %want.key, %error, "a sparkline could not be read");
                    continue;
                }
            };
            let spark = Arc::new(draw(&buckets, range, want.limit, (WIDTH, HEIGHT)));
            let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if book.len() >= MAX_LINES {
                book.clear();
            }
            book.insert(
                want.key.clone(),
                Drawn {
                    at: now,
                    limit: want.limit,
                    spark,
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(start: i64, value: f64) -> Bucket {
        Bucket {
            start: UtcMillis(start),
            count: 1,
            min: value,
            max: value,
            sum: value,
            last: value,
        }
    }

    #[test]
    fn a_gap_in_the_data_is_a_gap_in_the_line() {
        let range = TimeRange {
            from: UtcMillis(0),
            to: UtcMillis(100),
        };
        let buckets = [bucket(0, 1.0), bucket(10, 2.0), bucket(20, 1.0), bucket(80, 1.0)];
        let spark = draw(&buckets, range, Some(9.0), (100.0, 10.0));
        assert_eq!(spark.line.matches('M').count(), 2, "{}", spark.line);
        assert_eq!(spark.line.matches('L').count(), 2, "{}", spark.line);
        let y = spark.limit_y.expect("the limit is drawn");
        assert!((0.0..5.0).contains(&y), "{y}");
    }

    #[test]
    fn a_line_is_whole_where_values_come_at_another_pace() {
        let range = TimeRange {
            from: UtcMillis(0),
            to: UtcMillis(3_000),
        };
        // Every 120 at first, then every 20, as after a start with a past of fewer readings.
        let sparse = (0..10).map(|i| i * 120);
        let dense = (0..50).map(|i| 1_200 + i * 20);
        let mut buckets: Vec<Bucket> = sparse.chain(dense).map(|at| bucket(at, 1.0)).collect();
        let line = |buckets: &[Bucket]| path(buckets, range, (0.0, 2.0), (100.0, 10.0));
        assert_eq!(line(&buckets).matches('M').count(), 1, "{}", line(&buckets));
        // Silence of 140 among values every 20 is a gap, though it would be none among those every 120.
        buckets.drain(30..36);
        assert_eq!(line(&buckets).matches('M').count(), 2, "{}", line(&buckets));
    }

    #[test]
    fn nothing_measured_draws_nothing() {
        let range = TimeRange {
            from: UtcMillis(0),
            to: UtcMillis(100),
        };
        assert_eq!(draw(&[], range, Some(1.0), (1.0, 1.0)), Spark::default());
    }
}
