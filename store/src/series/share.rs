//! How long a series was beyond a limit, reading as little as possible.

use domain::{Sample, TimeRange, UtcMillis};

use super::{
    catalog::Floors,
    cells::Cell,
    chunk::{DAY_MS, Summary},
    error::SeriesError,
    level::MINUTES_WITHIN_MS,
    query::{Level, Share, ShareBounds, ShareQuery},
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

/// The parts of a range and the level that answers each, oldest first: readings as far back as they are kept, before them
/// minutes, before them hours. Minutes of a longer time than is worth reading give way to hours.
pub(super) fn parts_of(range: TimeRange, floors: Floors) -> Vec<(Level, TimeRange)> {
    let kept = |level, from: UtcMillis, to: UtcMillis| {
        let begin = floors.of(level).saturating_mul(DAY_MS);
        UtcMillis(begin).clamp(from, to.max(from))
    };
    let raw = kept(Level::Raw, range.from, range.to);
    let mut minute = kept(Level::Minute, range.from, raw);
    if i128::from(raw.0) - i128::from(minute.0) > MINUTES_WITHIN_MS {
        minute = raw;
    }
    let part = |level, from, to| (level, TimeRange { from, to });
    [
        part(Level::Hour, range.from, minute),
        part(Level::Minute, minute, raw),
        part(Level::Raw, raw, range.to),
    ]
    .into_iter()
    .filter(|(_, range)| range.from < range.to)
    .collect()
}

/// Adds up one series' time from its cells, oldest first.
pub(super) struct CellHolding<'a> {
    query: &'a ShareQuery,
    cell_ms: i64,
    pending: Option<Pending>,
    bounds: ShareBounds,
}

/// A cell whose time shows with the next one.
struct Pending {
    start: UtcMillis,
    /// Whether all of it is beyond the limit, or none; `None` when it lies on both sides.
    side: Option<bool>,
    /// Whether its last value is.
    last: bool,
}

impl<'a> CellHolding<'a> {
    pub(super) fn new(query: &'a ShareQuery, cell_ms: i64) -> CellHolding<'a> {
        CellHolding {
            query,
            cell_ms,
            pending: None,
            bounds: ShareBounds::default(),
        }
    }

    pub(super) fn add(&mut self, cells: &[Cell]) {
        for cell in cells {
            let holds = |value| self.query.op.holds(value, self.query.limit);
            let (least, greatest, last) = (holds(cell.min), holds(cell.max), holds(cell.last));
            // The value that held when the cell began held on until its first sample, whenever that was.
            let entering = self.settle(cell.start);
            let one_side = least == greatest && entering.is_none_or(|side| side == least);
            self.pending = Some(Pending {
                start: cell.start,
                side: one_side.then_some(least),
                last,
            });
        }
    }

    /// The time of all that was added.
    pub(super) fn finish(mut self) -> ShareBounds {
        self.settle(UtcMillis(i64::MAX));
        self.bounds
    }

    /// Adds the pending cell, which holds until `next` at most; the side it is on then, if it reaches as far.
    fn settle(&mut self, next: UtcMillis) -> Option<bool> {
        let cell = self.pending.take()?;
        let TimeRange { from, to } = self.query.range;
        let within = |begin: UtcMillis, end: UtcMillis| end.min(to).ms_since(begin.max(from)).max(0);
        let end = cell.start + self.cell_ms;
        let until = next.min(cell.start + self.query.max_hold_ms.max(self.cell_ms));
        let (inside, after) = (within(cell.start, end), within(end, until));
        let over = |is: bool, ms| if is { ms } else { 0 };
        self.bounds.add(ShareBounds {
            share: Share {
                over_ms: over(cell.side == Some(true), inside) + over(cell.last, after),
                known_ms: inside + after,
            },
            unsure_ms: over(cell.side.is_none(), inside),
        });
        (until >= next).then_some(cell.last)
    }
}
