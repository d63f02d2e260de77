//! What if a rule were another? The stored history is judged by the rule as it is and as it would be, by the same
//! code that judges the log.
//!
//! What is stored knows when a value was measured, not when it was received: it is judged as if it had come at once.
//! So late readings count as if they had not been late, and an outage of the product looks like the silence of its
//! devices. Rules about clocks cannot be tried at all.
//!
//! Both rules are judged as they would have been live: with what was shelved, within which windows, and with the numbers
//! that facilities had in place of the packs' at each moment ([`Circumstances`]).

use std::{cmp::Reverse, collections::BinaryHeap};

use domain::{
    ConditionState, FacilityId, Judge, Mute, Point, Quality, Reading, Rule, RuleKind, Sample, Scope,
    SeriesId, Shelf, TimeRange, Transition, UtcMillis, Zone,
    judge::{GAP_MS, PointIndex, Snapshot},
    rule::{RuleOverride, with_overrides},
};
use store::{Records, SeriesStore};

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

/// What people had changed about judgement in the time that is tried.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// What was set aside: shelves, and windows as they recurred.
    pub mutes: Vec<Mute>,
    /// What facilities had in place of the packs' numbers.
    pub overrides: Vec<RuleOverride>,
    /// The facility for which the new rule is tried as its own: then it takes the place of what that facility has.
    pub own: Option<FacilityId>,
}

impl Circumstances {
    /// Reads those of `range` in `scope`, by the local clock `zone`.
    ///
    /// # Errors
    /// [`AlertError::Store`] when they cannot be read.
    pub async fn load(
        records: &Records,
        scope: &Scope,
        zone: &Zone,
        range: TimeRange,
    ) -> Result<Circumstances, AlertError> {
        // What ended a little before may explain what stands at the beginning.
        let range = TimeRange {
            from: range.from - DAY_MS,
            to: range.to,
        };
        let shelves = records.shelves(scope, range).await?;
        let windows = records.windows(scope, range.from).await?;
        let recurring = windows.iter().flat_map(|window| window.mutes(zone, range));
        Ok(Circumstances {
            mutes: shelves.iter().map(Shelf::mute).chain(recurring).collect(),
            overrides: records.overrides(scope, None, range.from).await?,
            own: None,
        })
    }

    /// What `base` was at `at`, for the old rule (0) or the new one (1), in one facility.
    fn rules(&self, (which, base): (usize, &Rule), facility: &FacilityId, at: UtcMillis) -> Vec<Rule> {
        let base = std::slice::from_ref(base);
        if which == 1 && self.own.as_ref() == Some(facility) {
            return base.to_vec();
        }
        with_overrides(base, &self.of(facility, &base[0]), at)
    }

    fn of(&self, facility: &FacilityId, base: &Rule) -> Vec<RuleOverride> {
        let concerned = |o: &&RuleOverride| o.facility == *facility && o.rule == base.id;
        self.overrides.iter().filter(concerned).cloned().collect()
    }

    /// When the rules are others, within `range` and after its beginning, in order.
    fn changes(&self, facility: &FacilityId, base: &Rule, range: TimeRange) -> Vec<UtcMillis> {
        let overrides = self.of(facility, base);
        let bounds = overrides.iter().flat_map(|o| [Some(o.from), o.until]);
        let mut bounds: Vec<UtcMillis> = bounds
            .flatten()
            .filter(|at| *at > range.from && *at < range.to)
            .collect();
        bounds.sort_unstable();
        bounds.dedup();
        bounds
    }
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
    /// What people had changed meanwhile.
    pub around: &'a Circumstances,
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
        let trial = Trial {
            history,
            facility,
            points: &points,
            rules: [old, new],
            range,
        };
        trial.judge(&mut outcome)?;
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

/// One facility's history, judged by both rules.
struct Trial<'a> {
    history: History<'a>,
    facility: &'a FacilityId,
    points: &'a [Point],
    rules: [&'a Rule; 2],
    range: TimeRange,
}

/// Both judges, and how far they have come.
struct Judges {
    judges: [Judge; 2],
    clock: UtcMillis,
    said: Vec<Transition>,
}

impl Trial<'_> {
    fn judge(&self, outcome: &mut Outcome) -> Result<(), AlertError> {
        let around = self.history.around;
        let mut both = self.begin();
        let mut changes = around
            .changes(self.facility, self.rules[0], self.range)
            .into_iter()
            .peekable();
        let mut index = self.index(&both);
        let mut merged = Merged::begin(self.history, self.points, self.range)?;
        while let Some((number, sample)) = merged.next()? {
            while let Some(change) = changes.next_if(|at| *at <= sample.at) {
                self.change_rules(&mut both, change, outcome);
                index = self.index(&both);
            }
            let reading = Reading {
                series: SeriesId(0),
                at: sample.at,
                received: sample.at,
                value: sample.value,
                quality: Quality::Good,
            };
            both.pass(sample.at, outcome);
            for (which, judge) in both.judges.iter_mut().enumerate() {
                if let Some(point) = index[number] {
                    judge.reading(point, &reading, &mut both.said);
                }
                count(outcome, which, &mut both.said);
            }
            outcome.readings += 1;
        }
        for change in changes {
            self.change_rules(&mut both, change, outcome);
        }
        both.pass(self.range.to, outcome);
        Ok(())
    }

    fn begin(&self) -> Judges {
        let around = self.history.around;
        let mut said = Vec::new();
        let snapshot = Snapshot::default();
        let mut which = 0;
        let judges = self.rules.map(|rule| {
            let rules = around.rules((which, rule), self.facility, self.range.from);
            which += 1;
            let zone = self.history.zone.clone();
            let mut judge = Judge::restore_in(zone, (&snapshot, rules), self.points, &mut said);
            let here = |mute: &&Mute| mute.target.facility == *self.facility;
            judge.set_mutes(around.mutes.iter().filter(here).cloned().collect(), &mut said);
            judge
        });
        said.clear();
        Judges {
            judges,
            clock: self.range.from,
            said,
        }
    }

    fn change_rules(&self, both: &mut Judges, at: UtcMillis, outcome: &mut Outcome) {
        both.pass(at, outcome);
        for (which, judge) in both.judges.iter_mut().enumerate() {
            let rules = self
                .history
                .around
                .rules((which, self.rules[which]), self.facility, at);
            judge.set_rules(rules, self.points, &mut both.said);
            count(outcome, which, &mut both.said);
        }
    }

    fn index(&self, both: &Judges) -> Vec<Option<PointIndex>> {
        self.points
            .iter()
            .map(|p| both.judges[0].point(&p.key()))
            .collect()
    }
}

impl Judges {
    /// Lets time pass for both, and counts what that raises.
    fn pass(&mut self, to: UtcMillis, outcome: &mut Outcome) {
        for (which, judge) in self.judges.iter_mut().enumerate() {
            pass_time(judge, self.clock, to, &mut self.said);
            count(outcome, which, &mut self.said);
        }
        self.clock = self.clock.max(to);
    }
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
