//! Gathers the buckets of a window from summaries, samples and cells.

use domain::{Sample, TimeRange, UtcMillis};

use super::{
    cells::Cell,
    chunk::Summary,
    error::SeriesError,
    query::{Aggregates, Level, Quantiles, WindowBucket, nearest_rank},
    read::Day,
    sketch::Sketch,
    week::Row,
};

/// Gathers buckets. Each moment may come only once. What one call adds is in order of time, and so are calls, except
/// that without quantiles a day may follow its own samples.
pub(super) struct Window {
    /// Bucket `i` is `edges[i]..edges[i + 1]`.
    edges: Vec<UtcMillis>,
    level: Level,
    wanted: Aggregates,
    gathered: Vec<Option<Gathering>>,
    quantiles: Option<Values>,
    /// Whether quantiles are wanted of cells that have no bins.
    lacks_bins: bool,
}

#[derive(Clone, Copy)]
struct Gathering {
    bucket: WindowBucket,
    /// When its last sample was.
    last_at: UtcMillis,
}

/// The values of the bucket that is being filled.
struct Values {
    bucket: usize,
    held: Held,
}

enum Held {
    /// All of them, for the exact rank.
    Exact(Vec<f64>),
    /// Counted by bins.
    Binned(Box<Sketch>),
}

impl Window {
    pub(super) fn new(edges: Vec<UtcMillis>, level: Level, wanted: Aggregates) -> Window {
        let buckets = edges.len().saturating_sub(1);
        Window {
            edges,
            level,
            wanted,
            gathered: vec![None; buckets],
            quantiles: None,
            lacks_bins: false,
        }
    }

    /// Whether cells are to come with their bins.
    pub(super) fn wants_bins(&self) -> bool {
        self.wanted.has_quantiles()
    }

    /// Whether quantiles were wanted of cells that have no bins: then those of this window are wrong.
    pub(super) fn lacks_bins(&self) -> bool {
        self.lacks_bins
    }

    /// The moments that can count in a bucket: whole cells.
    pub(super) fn range(&self) -> TimeRange {
        let (Some(from), Some(to)) = (self.edges.first(), self.edges.last()) else {
            return TimeRange {
                from: UtcMillis(0),
                to: UtcMillis(0),
            };
        };
        let end = self.level.cell_ms().map_or(*to, |cell| {
            let past = to.0.rem_euclid(cell);
            if past == 0 { *to } else { *to + (cell - past) }
        });
        TimeRange { from: *from, to: end }
    }

    /// Adds what one day holds. A chunk that lies in one bucket and overlaps nothing is added by its summary, unless
    /// quantiles are wanted; only the others are decoded.
    pub(super) fn add_day(&mut self, day: &Day<'_>) -> Result<(), SeriesError> {
        if self.wanted.has_quantiles() {
            let samples = day.decode(day.rows)?;
            self.add_samples(&samples);
            return Ok(());
        }
        let alone = alone(day.rows, day.memory);
        let mut to_decode = Vec::new();
        for (row, alone) in day.rows.iter().zip(alone) {
            match self.only_bucket(&row.summary).filter(|_| alone) {
                Some(index) => self.add(index, &row.summary),
                None => to_decode.push(*row),
            }
        }
        self.add_samples(&day.decode(&to_decode)?);
        Ok(())
    }

    /// Adds cells, oldest first.
    pub(super) fn add_cells(&mut self, cells: &[Cell]) {
        for cell in cells {
            let Some(index) = self.index(cell.start) else {
                continue;
            };
            let summary = Summary {
                from: cell.start,
                to: cell.start,
                count: cell.count,
                min: cell.min,
                max: cell.max,
                sum: cell.sum,
                last: cell.last,
                gap_ms: None,
            };
            self.add(index, &summary);
            if self.wanted.has_quantiles() {
                self.lacks_bins |= cell.bins.is_empty();
                if let Held::Binned(sketch) = self.values(index) {
                    sketch.add_bins(&cell.bins);
                }
            }
        }
    }

    /// The buckets that hold anything, oldest first.
    pub(super) fn finish(mut self) -> Vec<WindowBucket> {
        self.settle_quantiles();
        self.gathered.into_iter().flatten().map(|g| g.bucket).collect()
    }

    fn add_samples(&mut self, samples: &[Sample]) {
        // Samples come in order: the bucket is looked up only when its end is passed.
        let mut current = None;
        let quantiles = self.wanted.has_quantiles();
        for sample in samples {
            let at = self.level.moment(sample.at);
            if !current.is_some_and(|index: usize| self.edges[index] <= at && at < self.edges[index + 1]) {
                current = self.index(at);
            }
            let Some(index) = current else { continue };
            let one = Summary {
                from: sample.at,
                to: sample.at,
                count: 1,
                min: sample.value,
                max: sample.value,
                sum: sample.value,
                last: sample.value,
                gap_ms: None,
            };
            self.add(index, &one);
            if quantiles {
                match self.values(index) {
                    Held::Exact(values) => values.push(sample.value),
                    Held::Binned(sketch) => sketch.add(sample.value),
                }
            }
        }
    }

    fn add(&mut self, index: usize, summary: &Summary) {
        if let Some(gathering) = &mut self.gathered[index] {
            gathering.add(summary);
            return;
        }
        let bucket = WindowBucket {
            start: self.edges[index],
            end: self.edges[index + 1],
            count: u64::from(summary.count),
            min: summary.min,
            max: summary.max,
            sum: summary.sum,
            last: summary.last,
            quantiles: Quantiles::default(),
        };
        self.gathered[index] = Some(Gathering {
            bucket,
            last_at: summary.to,
        });
    }

    /// The values of a bucket. Asking for a later one settles the one before.
    fn values(&mut self, index: usize) -> &mut Held {
        if self
            .quantiles
            .as_ref()
            .is_some_and(|values| values.bucket != index)
        {
            self.settle_quantiles();
        }
        let level = self.level;
        let values = self.quantiles.get_or_insert_with(|| Values {
            bucket: index,
            held: match level {
                Level::Raw => Held::Exact(Vec::new()),
                Level::Minute | Level::Hour => Held::Binned(Box::new(Sketch::new())),
            },
        });
        &mut values.held
    }

    fn settle_quantiles(&mut self) {
        let Some(Values { bucket, held }) = self.quantiles.take() else {
            return;
        };
        let Some(Gathering { bucket, .. }) = &mut self.gathered[bucket] else {
            return;
        };
        bucket.quantiles = match held {
            Held::Exact(mut values) => Quantiles::of(self.wanted, |percent| {
                let rank = nearest_rank(percent, values.len() as u64);
                let rank = usize::try_from(rank).expect("a rank is below the number of values");
                *values.select_nth_unstable_by(rank, f64::total_cmp).1
            }),
            Held::Binned(sketch) => Quantiles::of(self.wanted, |percent| {
                sketch.quantile(percent, bucket.min, bucket.max)
            }),
        };
    }

    /// The bucket that a span lies in, if it lies in one.
    fn only_bucket(&self, summary: &Summary) -> Option<usize> {
        let index = self.index(self.level.moment(summary.from))?;
        (self.level.moment(summary.to) < self.edges[index + 1]).then_some(index)
    }

    /// The bucket of a moment, if it lies in one.
    fn index(&self, at: UtcMillis) -> Option<usize> {
        let after = self.edges.partition_point(|edge| *edge <= at);
        (0 < after && after < self.edges.len()).then(|| after - 1)
    }
}

impl Gathering {
    fn add(&mut self, summary: &Summary) {
        let bucket = &mut self.bucket;
        bucket.count += u64::from(summary.count);
        bucket.min = bucket.min.min(summary.min);
        bucket.max = bucket.max.max(summary.max);
        bucket.sum += summary.sum;
        if summary.to >= self.last_at {
            self.last_at = summary.to;
            bucket.last = summary.last;
        }
    }
}

/// Which of a day's chunks share no moment with another chunk's span or with a sample in memory.
pub(super) fn alone(rows: &[Row], memory: &[Sample]) -> Vec<bool> {
    let mut alone: Vec<bool> = rows
        .iter()
        .map(|row| {
            let next = memory.partition_point(|sample| sample.at < row.summary.from);
            memory.get(next).is_none_or(|sample| sample.at > row.summary.to)
        })
        .collect();
    // Rows come by their first moment: one overlaps an earlier one exactly if it begins before the
    // furthest end so far, and whichever reaches that far is one it overlaps.
    let mut furthest: Option<usize> = None;
    for (index, row) in rows.iter().enumerate() {
        let Some(before) = furthest else {
            furthest = Some(index);
            continue;
        };
        let reach = rows[before].summary.to;
        if row.summary.from <= reach {
            alone[index] = false;
            alone[before] = false;
        }
        if row.summary.to > reach {
            furthest = Some(index);
        }
    }
    alone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::query::{Step, edges};

    fn row(from: i64, to: i64) -> Row {
        let summary = Summary {
            from: UtcMillis(from),
            to: UtcMillis(to),
            count: 2,
            min: 0.0,
            max: 0.0,
            sum: 0.0,
            last: 0.0,
            gap_ms: None,
        };
        Row {
            id: 0,
            seq: 0,
            summary,
        }
    }

    #[test]
    fn chunks_that_share_a_moment_are_found() {
        type Spans = [(i64, i64)];
        let cases: [(&Spans, &[i64], &[bool]); 6] = [
            (&[(0, 5), (6, 9)], &[], &[true, true]),
            (&[(0, 5), (5, 9)], &[], &[false, false]),
            (
                &[(0, 9), (1, 2), (3, 4), (10, 11)],
                &[],
                &[false, false, false, true],
            ),
            (&[(0, 9), (2, 12), (10, 11)], &[], &[false, false, false]),
            (&[(0, 5), (6, 9)], &[5], &[false, true]),
            (&[(1, 5), (7, 9)], &[0, 6, 10], &[true, true]),
        ];
        for (spans, memory, want) in cases {
            let rows: Vec<Row> = spans.iter().map(|&(from, to)| row(from, to)).collect();
            let memory: Vec<Sample> = memory
                .iter()
                .map(|&at| Sample {
                    at: UtcMillis(at),
                    value: 0.0,
                })
                .collect();
            assert_eq!(alone(&rows, &memory), want, "{spans:?} {memory:?}");
        }
    }

    #[test]
    fn every_moment_lies_between_the_ends_of_its_bucket() {
        for (from, to, buckets) in [(0, 10, 3), (-7, 100, 10), (5, 6, 4), (i64::MIN, i64::MAX, 2000)] {
            let range = TimeRange {
                from: UtcMillis(from),
                to: UtcMillis(to),
            };
            let edges = edges(range, &Step::Parts(buckets)).unwrap();
            let window = Window::new(edges, Level::Raw, Aggregates::PLAIN);
            for at in [from, from + 1, from / 2 + to / 2, to - 2, to - 1] {
                let inside = (from..to).contains(&at);
                let index = window.index(UtcMillis(at));
                assert_eq!(index.is_some(), inside, "{from} {to} {at}");
                assert!(index.is_none_or(|i| window.edges[i].0 <= at && at < window.edges[i + 1].0));
            }
        }
    }
}
