//! Buckets of equal length over a span of time.

use domain::{Sample, TimeRange, UtcMillis};

use super::{Bucket, chunk::Summary, error::SeriesError, read::Day, week::Row};

/// Gathers buckets. Samples may come in any order, but each moment only once.
pub(super) struct Window {
    range: TimeRange,
    gathered: Vec<Option<Gathering>>,
}

#[derive(Clone, Copy)]
struct Gathering {
    bucket: Bucket,
    /// When its last sample was.
    last_at: UtcMillis,
}

impl Window {
    pub(super) fn new(range: TimeRange, buckets: u32) -> Window {
        Window {
            range,
            gathered: vec![None; buckets as usize],
        }
    }

    /// Adds what one day holds. A chunk that lies in one bucket and overlaps nothing is added by its
    /// summary; only the others are decoded.
    pub(super) fn add_day(&mut self, day: &Day<'_>) -> Result<(), SeriesError> {
        let alone = alone(&day.rows, day.memory);
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

    /// The buckets that hold anything, oldest first.
    pub(super) fn finish(self) -> Vec<Bucket> {
        self.gathered.into_iter().flatten().map(|g| g.bucket).collect()
    }

    fn add_samples(&mut self, samples: &[Sample]) {
        // Samples come in order: the bucket is looked up only when its end is passed.
        let range = self.range;
        let mut current = 0;
        let mut end = range.from;
        for sample in samples.iter().filter(|s| range.contains(s.at)) {
            if sample.at >= end {
                current = self.index(sample.at);
                end = self.start(current + 1);
            }
            let one = Summary {
                from: sample.at,
                to: sample.at,
                count: 1,
                min: sample.value,
                max: sample.value,
                sum: sample.value,
                last: sample.value,
            };
            self.add(current, &one);
        }
    }

    fn add(&mut self, index: usize, summary: &Summary) {
        if let Some(gathering) = &mut self.gathered[index] {
            gathering.add(summary);
            return;
        }
        let bucket = Bucket {
            start: self.start(index),
            count: u64::from(summary.count),
            min: summary.min,
            max: summary.max,
            sum: summary.sum,
            last: summary.last,
        };
        self.gathered[index] = Some(Gathering {
            bucket,
            last_at: summary.to,
        });
    }

    /// The bucket that a span lies in, if it lies in one and in the range.
    fn only_bucket(&self, summary: &Summary) -> Option<usize> {
        if !self.range.contains(summary.from) || !self.range.contains(summary.to) {
            return None;
        }
        let index = self.index(summary.from);
        (index == self.index(summary.to)).then_some(index)
    }

    /// The bucket of a moment in the range. Wide arithmetic: a range may be as long as time itself.
    fn index(&self, at: UtcMillis) -> usize {
        let offset = i128::from(at.0) - i128::from(self.range.from.0);
        let index = offset * self.gathered.len() as i128 / self.length();
        usize::try_from(index).expect("a moment in the range has a bucket")
    }

    /// The first moment of a bucket: the smallest whose [`Window::index`] is `index`.
    fn start(&self, index: usize) -> UtcMillis {
        let buckets = self.gathered.len() as i128;
        let offset = (index as i128 * self.length() + buckets - 1) / buckets;
        let start = i128::from(self.range.from.0) + offset;
        UtcMillis(i64::try_from(start).expect("a bucket begins in the range or at its end"))
    }

    fn length(&self) -> i128 {
        i128::from(self.range.to.0) - i128::from(self.range.from.0)
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
fn alone(rows: &[Row], memory: &[Sample]) -> Vec<bool> {
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

    fn row(from: i64, to: i64) -> Row {
        let summary = Summary {
            from: UtcMillis(from),
            to: UtcMillis(to),
            count: 2,
            min: 0.0,
            max: 0.0,
            sum: 0.0,
            last: 0.0,
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
            let window = Window::new(
                TimeRange {
                    from: UtcMillis(from),
                    to: UtcMillis(to),
                },
                buckets,
            );
            for at in [from, from + 1, from / 2 + to / 2, to - 2, to - 1] {
                if at < from || at >= to {
                    continue;
                }
                let index = window.index(UtcMillis(at));
                assert!(
                    window.start(index).0 <= at && at < window.start(index + 1).0,
                    "{from} {to} {at}"
                );
            }
        }
    }
}
