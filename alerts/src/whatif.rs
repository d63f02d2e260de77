//! What if a rule were another? The stored history is judged by the rule as it is and as it would be, by the same
//! code that judges the log.
//!
//! What is stored knows when a value was measured, not when it was received: it is judged as if it had come at once.
//! So late readings count as if they had not been late, and an outage of the product looks like the silence of its
//! devices. Rules about clocks cannot be tried at all.

use std::{cmp::Reverse, collections::BinaryHeap};

use domain::{
    ConditionState, FacilityId, Judge, Point, Quality, Reading, Rule, RuleKind, Sample, Scope, SeriesId,
    TimeRange, Transition, UtcMillis, Zone,
    judge::{GAP_MS, PointIndex, Snapshot},
};
use store::SeriesStore;

use crate::AlertError;

/// The longest history that is judged at once, in milliseconds: a quarter of a year and some days.
pub const MAX_RANGE_MS: i64 = 100 * DAY_MS;

/// The most readings that are judged at once. More, and the answer says how far it came.
pub const MAX_READINGS: u64 = 20_000_000;

const DAY_MS: i64 = 24 * 3_600_000;

/// Readings taken from the store at a time.
const PAGE: usize = 20_000;

/// The cases of one local day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayCount {
    /// The day's first moment.
    pub day: UtcMillis,
    /// How many the rule as it is would have raised.
    pub old: u32,
    /// How many the rule as it would be.
    pub new: u32,
}

/// What a changed rule would have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Every day of the range, oldest first.
    pub days: Vec<DayCount>,
    /// How many points the rule judges.
    pub points: usize,
    /// How many readings were judged.
    pub readings: u64,
    /// Facilities that were not judged, because [`MAX_READINGS`] were reached before.
    pub left_out: usize,
}

/// Stored history, and whose.
#[derive(Clone, Copy)]
pub struct History<'a> {
    /// The store.
    pub series: &'a SeriesStore,
    /// What may be seen.
    pub scope: &'a Scope,
    /// The points to judge; those outside `scope` have no readings.
    pub points: &'a [Point],
    /// The local clock, by which days are counted and times of day are meant.
    pub zone: &'a Zone,
}

impl std::fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("scope", &self.scope)
            .field("points", &self.points.len())
            .finish_non_exhaustive()
    }
}

impl Outcome {
    /// All cases, by the old rule and by the new one.
    #[must_use]
    pub fn totals(&self) -> (u32, u32) {
        self.days
            .iter()
            .fold((0, 0), |(old, new), day| (old + day.old, new + day.new))
    }
}

/// Judges the history in `range` by `old` and by `new`. Blocks for as long as reading takes: not for the runtime's
/// threads.
///
/// # Errors
/// [`AlertError::Untriable`] for a range that is empty or longer than [`MAX_RANGE_MS`], or a rule about clocks;
/// [`AlertError::Series`] when the history cannot be read.
pub fn what_if(
    history: History<'_>,
    old: &Rule,
    new: &Rule,
    range: TimeRange,
) -> Result<Outcome, AlertError> {
    if matches!(new.kind, RuleKind::ClockSkew { .. }) {
        return Err(AlertError::Untriable(
            "stored readings do not say when they were received",
        ));
    }
    if !(1..=MAX_RANGE_MS).contains(&range.length_ms()) {
        return Err(AlertError::Untriable("the range is 1 to 100 days"));
    }
    let mut outcome = Outcome {
        days: days(history.zone, range),
        points: 0,
        readings: 0,
        left_out: 0,
    };
    for facility in facilities(history.points) {
        let points = concerned(history.points, facility, [old, new]);
        if !points.iter().any(|p| old.applies_to(p) || new.applies_to(p)) {
            continue;
        }
        if outcome.readings >= MAX_READINGS {
            outcome.left_out += 1;
            continue;
        }
        outcome.points += points.iter().filter(|p| new.applies_to(p)).count();
        judge_facility(history, &points, [old, new], range, &mut outcome)?;
    }
    Ok(outcome)
}

fn days(zone: &Zone, range: TimeRange) -> Vec<DayCount> {
    let mut days = Vec::new();
    let mut day = zone.midnight(range.from);
    while day < range.to {
        days.push(DayCount { day, old: 0, new: 0 });
        // A day and a half later lies in the next one, also where the clocks are changed.
        day = zone.midnight(day + DAY_MS + DAY_MS / 2);
    }
    days
}

/// The facilities of some points, each once, in order.
fn facilities(points: &[Point]) -> Vec<&FacilityId> {
    let mut facilities: Vec<_> = points.iter().map(|p| &p.facility).collect();
    facilities.sort_unstable();
    facilities.dedup();
    facilities
}

/// The points of a facility that one of the rules looks at.
fn concerned(points: &[Point], facility: &FacilityId, rules: [&Rule; 2]) -> Vec<Point> {
    let looks = |rule: &Rule, point: &Point| {
        let beside = match &rule.kind {
            RuleKind::Correlation { with, .. } => with.iter().any(|clause| clause.looks_at(point)),
            _ => false,
        };
        beside || rule.applies_to(point)
    };
    let of_facility = points.iter().filter(|p| p.facility == *facility);
    of_facility
        .filter(|point| rules.iter().any(|rule| looks(rule, point)))
        .cloned()
        .collect()
}

fn judge_facility(
    history: History<'_>,
    points: &[Point],
    rules: [&Rule; 2],
    range: TimeRange,
    outcome: &mut Outcome,
) -> Result<(), AlertError> {
    let mut said = Vec::new();
    let mut judges = rules.map(|rule| {
        let snapshot = Snapshot::default();
        Judge::restore_in(
            history.zone.clone(),
            (&snapshot, vec![rule.clone()]),
            points,
            &mut said,
        )
    });
    let index: Vec<Option<PointIndex>> = points.iter().map(|p| judges[0].point(&p.key())).collect();
    let mut merged = Merged::begin(history, points, range)?;
    let mut clock = range.from;
    while let Some((number, sample)) = merged.next()? {
        let reading = Reading {
            series: SeriesId(0),
            at: sample.at,
            received: sample.at,
            value: sample.value,
            quality: Quality::Good,
        };
        for (judge, which) in judges.iter_mut().zip([0, 1]) {
            pass_time(judge, clock, sample.at, &mut said);
            if let Some(point) = index[number] {
                judge.reading(point, &reading, &mut said);
            }
            count(outcome, which, &mut said);
        }
        clock = clock.max(sample.at);
        outcome.readings += 1;
    }
    for (judge, which) in judges.iter_mut().zip([0, 1]) {
        pass_time(judge, clock, range.to, &mut said);
        count(outcome, which, &mut said);
    }
    Ok(())
}

/// Ticks, close enough together that nothing looks like an outage.
fn pass_time(judge: &mut Judge, from: UtcMillis, to: UtcMillis, said: &mut Vec<Transition>) {
    let mut at = from;
    while at < to {
        judge.tick(at, said);
        at = at + GAP_MS;
    }
    judge.tick(to, said);
}

fn count(outcome: &mut Outcome, which: usize, said: &mut Vec<Transition>) {
    for transition in said.drain(..) {
        if transition.to != ConditionState::Active {
            continue;
        }
        let after = outcome.days.partition_point(|d| d.day <= transition.at);
        if let Some(day) = after.checked_sub(1).map(|n| &mut outcome.days[n]) {
            *(if which == 0 { &mut day.old } else { &mut day.new }) += 1;
        }
    }
}

/// The stored readings of several points in the order of their moments.
struct Merged<'a> {
    history: History<'a>,
    range: TimeRange,
    sources: Vec<Source>,
    /// The next moment of each source, and which it is.
    heads: BinaryHeap<Reverse<(UtcMillis, usize)>>,
}

struct Source {
    series: Option<SeriesId>,
    page: std::vec::IntoIter<Sample>,
    next: Option<Sample>,
    /// From where the next page begins; `None` after the last.
    more_from: Option<UtcMillis>,
}

impl<'a> Merged<'a> {
    fn begin(history: History<'a>, points: &[Point], range: TimeRange) -> Result<Merged<'a>, AlertError> {
        let source = |point: &Point| Source {
            series: history.series.find(history.scope, &point.key()),
            page: Vec::new().into_iter(),
            next: None,
            more_from: Some(range.from),
        };
        let mut merged = Merged {
            history,
            range,
            sources: points.iter().map(source).collect(),
            heads: BinaryHeap::new(),
        };
        for number in 0..merged.sources.len() {
            merged.advance(number)?;
        }
        Ok(merged)
    }

    fn next(&mut self) -> Result<Option<(usize, Sample)>, AlertError> {
        let Some(Reverse((_, number))) = self.heads.pop() else {
            return Ok(None);
        };
        let sample = self.sources[number].next.take();
        self.advance(number)?;
        Ok(sample.map(|sample| (number, sample)))
    }

    /// Takes the next reading of a source to its head.
    fn advance(&mut self, number: usize) -> Result<(), AlertError> {
        let source = &mut self.sources[number];
        let mut next = source.page.next();
        if next.is_none()
            && let (Some(series), Some(from)) = (source.series, source.more_from)
        {
            let rest = TimeRange {
                from,
                to: self.range.to,
            };
            let page = self.history.series.scan(self.history.scope, series, rest, PAGE)?;
            let is_last = page.len() < PAGE;
            source.more_from = page.last().filter(|_| !is_last).map(|sample| sample.at + 1);
            source.page = page.into_iter();
            next = source.page.next();
        }
        source.next = next;
        if let Some(sample) = next {
            self.heads.push(Reverse((sample.at, number)));
        }
        Ok(())
    }
}
