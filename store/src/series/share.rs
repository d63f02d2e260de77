//! How long a series was beyond a limit, reading as little as possible.

use domain::{Sample, UtcMillis};

use super::{
    chunk::Summary,
    error::SeriesError,
    query::{Share, ShareQuery},
    read::Day,
    reference::held_ms,
    window::alone,
};

/// Adds up one series' time, day by day, oldest first.
pub(super) struct Holding<'a> {
    query: &'a ShareQuery,
    /// The latest sample so far: how long it holds shows with the next one.
    pending: Option<Sample>,
    share: Share,
}

impl<'a> Holding<'a> {
    pub(super) fn new(query: &'a ShareQuery) -> Holding<'a> {
        Holding {
            query,
            pending: None,
            share: Share::default(),
        }
    }

    /// Adds what one day holds. A chunk whose values are all on one side of the limit and that has no gap in which
    /// nothing holds is added by its summary; only the others are decoded.
    pub(super) fn add_day(&mut self, day: &Day<'_>) -> Result<(), SeriesError> {
        // Nearly always there is one chunk, and its summary tells: nothing is gathered for it.
        if let ([row], []) = (day.rows, day.memory)
            && let Some(over) = self.side(&row.summary)
        {
            self.add_span(&row.summary, over);
            return Ok(());
        }
        let mut spans = Vec::new();
        let mut to_decode = Vec::new();
        for (row, alone) in day.rows.iter().zip(alone(day.rows, day.memory)) {
            match self.side(&row.summary).filter(|_| alone) {
                Some(over) => spans.push((&row.summary, over)),
                None => to_decode.push(*row),
            }
        }
        let samples = day.decode(&to_decode)?;
        let mut rest = samples.as_slice();
        // Spans share no moment with a sample, nor with each other.
        for (summary, over) in spans {
            let (before, after) = rest.split_at(rest.partition_point(|sample| sample.at < summary.from));
            before.iter().for_each(|sample| self.add(*sample));
            rest = after;
            self.add_span(summary, over);
        }
        rest.iter().for_each(|sample| self.add(*sample));
        Ok(())
    }

    /// The time of all that was added.
    pub(super) fn finish(mut self) -> Share {
        self.settle(UtcMillis(i64::MAX));
        self.share
    }

    /// Whether a chunk's whole span is beyond the limit, or none of it; `None` when its summary does not tell.
    fn side(&self, summary: &Summary) -> Option<bool> {
        if summary.gap_ms? > self.query.max_hold_ms {
            return None;
        }
        let holds = |value| self.query.op.holds(value, self.query.limit);
        let (least, greatest) = (holds(summary.min), holds(summary.max));
        (least == greatest).then_some(least)
    }

    fn add(&mut self, sample: Sample) {
        self.settle(sample.at);
        self.pending = Some(sample);
    }

    fn add_span(&mut self, summary: &Summary, over: bool) {
        self.settle(summary.from);
        let range = self.query.range;
        let known_ms = summary
            .to
            .min(range.to)
            .ms_since(summary.from.max(range.from))
            .max(0);
        self.share.add(Share {
            over_ms: if over { known_ms } else { 0 },
            known_ms,
        });
        self.pending = Some(Sample {
            at: summary.to,
            value: summary.last,
        });
    }

    /// The latest sample holds until `next` at most.
    fn settle(&mut self, next: UtcMillis) {
        if let Some(sample) = self.pending.take() {
            let known_ms = held_ms(sample.at, next, self.query);
            let over = self.query.op.holds(sample.value, self.query.limit);
            self.share.add(Share {
                over_ms: if over { known_ms } else { 0 },
                known_ms,
            });
        }
    }
}
