//! Judgement: readings and time in, conditions out.
//!
//! A *condition* is one rule at one point: `Normal → Pending → Active → Cleared`, and `Unknown` while
//! the point says nothing. [`Judge`] is a pure function of the log: the same events give the same
//! transitions, however they are cut into batches, live or in a replay, and from any snapshot on.
//!
//! # Which time counts
//!
//! *Event time* (`Reading::at`) measures how long a breach lasted. *Log time* (`Reading::received` and
//! ticks) makes timers fire when no further message comes. The log's own clock is the only one.
//!
//! - A breach that began at `since` is Active at `since + hold`, in event time. It becomes so when a
//!   reading still in breach shows that moment, or when log time reaches `since + hold + lag`, where
//!   `lag` is how late the series' latest reading arrived. So two days of buffered readings raise the
//!   cases they contain, and not one for the moment at which they were received.
//! - Every event first fires the timers that were due before it. A tick therefore only makes a
//!   transition known earlier: it never changes which transitions there are.
//! - A reading older than the latest judged one of its series proves that the device lives, and is not
//!   judged. One of the same moment is a correction and is judged.
//! - Only a value in breach keeps a condition Pending, and only a safe one lets an Active one clear. A
//!   value between the two limits starts neither: it ends a Pending condition (no case may say "above
//!   8 °C for 30 minutes" of a fridge that was at 7.5) and leaves an Active one Active.
//! - When log time steps by more than [`GAP_MS`], the product itself was down: it was deaf, and nobody
//!   else was silent. Timers run on *listening time*, which is log time without those gaps.
//! - A point that was never heard is Unknown from the start, and becomes a case of silence once it has
//!   been registered for as long as the rule allows.

mod condition;
mod listening;
mod restore;
mod timers;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{
    id::RuleId,
    reading::{Reading, SeriesKey},
    rule::{Rule, Severity},
    time::UtcMillis,
};
use condition::{Condition, Phase, Spec, Step, Test};
use listening::Listening;
use timers::{Target, Timers};

pub use restore::Snapshot;

/// A step of log time longer than this, in milliseconds, means that the product was down. Ticks come
/// once a second.
pub const GAP_MS: i64 = 10_000;

/// Report intervals of silence after which a point is Unknown when no rule of silence applies to it.
pub const SILENT_INTERVALS: u32 = 3;

/// The machine's view of one rule at one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionState {
    /// No breach.
    Normal,
    /// A breach that has not lasted long enough.
    Pending,
    /// A breach that has lasted long enough: there is a case.
    Active,
    /// It was active and is safe again. Only a transition's goal: the condition is Normal at once.
    Cleared,
    /// Nothing is known: silence, or never heard. Not the same as Normal.
    Unknown,
}

/// One step of one condition. All times are event time, so that they do not depend on when ticks came.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The rule.
    pub rule: RuleId,
    /// The point.
    pub point: SeriesKey,
    /// The state before.
    pub from: ConditionState,
    /// The state after.
    pub to: ConditionState,
    /// When the breach began. For silence: when the point was last heard, or registered. Never the same
    /// for two breaches of one condition.
    pub since: UtcMillis,
    /// When the state was reached: `since + hold` for Active, the end of the clear hold for Cleared.
    pub at: UtcMillis,
    /// The latest judged value; `None` for silence.
    pub value: Option<f64>,
    /// The limit of the breach; `None` for silence.
    pub limit: Option<f64>,
}

/// The worst state of a point over all its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct PointState {
    /// Active, else Unknown, else Pending, else Normal. A point that only breaks a rule of silence is
    /// Unknown, with that rule's severity. Never Cleared.
    pub state: ConditionState,
    /// The severity of the worst rule in that state.
    pub severity: Option<Severity>,
    /// That rule.
    pub rule: Option<RuleId>,
    /// Since when. For Unknown: when it was last heard, or registered.
    pub since: UtcMillis,
}

/// Judgement of every point at one moment, for show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Board {
    /// Every registered point.
    pub points: BTreeMap<SeriesKey, PointState>,
    /// The log time at which this was true.
    pub as_of: UtcMillis,
}

/// A registered point's number within one [`Judge`]. [`Judge::set_points`] numbers points anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PointIndex(u32);

/// Rules, points and the state of every condition.
#[derive(Debug)]
pub struct Judge {
    rules: Vec<Rule>,
    specs: Vec<Spec>,
    points: Vec<Watched>,
    index: HashMap<SeriesKey, PointIndex>,
    conditions: Vec<Condition>,
    timers: Timers,
    time: Listening,
    late_readings: u64,
    revision: u64,
}

/// One point and what was last heard of it.
#[derive(Debug)]
struct Watched {
    key: SeriesKey,
    /// Its conditions: a range of [`Judge::conditions`].
    first: u32,
    end: u32,
    interval_ms: i64,
    /// Listening time without a reading after which the point is Unknown.
    silent_after_ms: i64,
    /// Event time of the latest judged reading.
    latest_at: UtcMillis,
    latest_value: Option<f64>,
    /// Add to an event time of this series to get the listening time at which it was known.
    offset_ms: i64,
    /// Listening time at which it was last heard, or registered; `None` until the log begins.
    heard: Option<i64>,
    /// The same moment in log time.
    heard_at: UtcMillis,
    /// Never heard, or silent too long.
    silent: bool,
    /// Since when no rule but one of silence is broken.
    calm_since: UtcMillis,
    /// When the live timer that watches for its silence is due, in listening time.
    timer: Option<i64>,
}

impl Watched {
    /// The listening time from which on it counts as silent if nothing is heard until then.
    fn silent_at(&self) -> Option<i64> {
        self.heard
            .map(|heard| heard.saturating_add(self.silent_after_ms + 1))
    }
}

impl Judge {
    /// A judge who has seen nothing: every point is Unknown.
    #[must_use]
    pub fn new(rules: Vec<Rule>, points: &[crate::Point]) -> Judge {
        let mut none = Vec::new();
        let judge = Judge::restore(&Snapshot::default(), rules, points, &mut none);
        debug_assert!(none.is_empty(), "nothing was active, so nothing can clear");
        judge
    }

    /// The number of a registered point.
    #[must_use]
    pub fn point(&self, key: &SeriesKey) -> Option<PointIndex> {
        self.index.get(key).copied()
    }

    /// How many points are registered.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The rules, as given.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Log time: the latest moment noted in the log. `None` before the first event.
    #[must_use]
    pub fn log_time(&self) -> Option<UtcMillis> {
        self.time.log_time()
    }

    /// Readings that were not judged because a later one of their series had been.
    #[must_use]
    pub fn late_readings(&self) -> u64 {
        self.late_readings
    }

    /// Grows whenever [`Judge::board`] would show something else than a later moment.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Time passed. Appends the transitions to `out`. A moment before log time changes nothing.
    pub fn tick(&mut self, at: UtcMillis, out: &mut Vec<Transition>) {
        if self.time.advance(at) {
            self.begin();
        }
        while let Some(timer) = self.timers.pop_due(self.time.now()) {
            self.fire(timer.target, timer.due, out);
        }
    }

    /// A reading of `point` arrived. Appends the transitions to `out`, those of other points whose timers
    /// were due before it first.
    pub fn reading(&mut self, point: PointIndex, reading: &Reading, out: &mut Vec<Transition>) {
        self.tick(reading.received, out);
        let now = self.time.now();
        let log_time = self.time.log_time().unwrap_or(reading.received);
        let Some(watched) = self.points.get_mut(point.0 as usize) else {
            return;
        };
        watched.heard = Some(now);
        watched.heard_at = log_time;
        let was_silent = std::mem::take(&mut watched.silent);
        let late = reading.at < watched.latest_at;
        if late {
            self.late_readings += 1;
        } else {
            watched.latest_at = reading.at;
            watched.latest_value = Some(reading.value);
            watched.offset_ms = reading.received.ms_since(reading.at).max(0) - self.time.deaf_ms();
        }
        if was_silent {
            self.speak(point.0, log_time, out);
        }
        if !late {
            self.judge_value(point.0, reading, out);
        }
    }

    /// The state of every point.
    #[must_use]
    pub fn board(&self) -> Board {
        Board {
            points: self
                .points
                .iter()
                .map(|p| (p.key.clone(), self.point_state(p)))
                .collect(),
            as_of: self.time.log_time().unwrap_or_default(),
        }
    }

    fn judge_value(&mut self, point: u32, reading: &Reading, out: &mut Vec<Transition>) {
        let watched = &self.points[point as usize];
        let (first, end, offset) = (watched.first, watched.end, watched.offset_ms);
        for number in first..end {
            let condition = &mut self.conditions[number as usize];
            let spec = &self.specs[condition.rule as usize];
            let Test::Value(limits) = &spec.test else { continue };
            let verdict = limits.verdict(reading.value);
            let step = condition.on_value(spec, verdict, reading.at);
            if let Some(due) = condition.phase.due(spec) {
                self.timers.set(
                    &mut condition.timer,
                    due.0.saturating_add(offset),
                    Target::Condition(number),
                );
            }
            if let Some(step) = step {
                self.note(number, step, out);
            }
        }
        self.bound_timers();
    }

    /// A silent point speaks: conditions of silence clear.
    fn speak(&mut self, point: u32, now: UtcMillis, out: &mut Vec<Transition>) {
        self.revision += 1;
        let watched = &mut self.points[point as usize];
        watched.calm_since = now;
        for number in watched.first..watched.end {
            let condition = &mut self.conditions[number as usize];
            let Test::Silence { .. } = self.specs[condition.rule as usize].test else {
                continue;
            };
            if let Some(step) = condition.end_silence(now) {
                self.note(number, step, out);
            }
        }
        self.watch(point);
    }

    /// Records a condition's step: appends the transition, moves the board on.
    fn note(&mut self, number: u32, step: Step, out: &mut Vec<Transition>) {
        self.revision += 1;
        let condition = &self.conditions[number as usize];
        let watched = &mut self.points[condition.point as usize];
        if condition.phase == Phase::Normal {
            watched.calm_since = watched.calm_since.max(step.at);
        }
        let limits = self.specs[condition.rule as usize].test.limits();
        out.push(Transition {
            rule: self.rules[condition.rule as usize].id.clone(),
            point: watched.key.clone(),
            from: step.from,
            to: step.to,
            since: step.since,
            at: step.at,
            value: limits.and(watched.latest_value),
            limit: limits.map(|l| l.limit),
        });
    }

    fn fire(&mut self, target: Target, due: i64, out: &mut Vec<Transition>) {
        match target {
            Target::Watch(point) => self.fire_watch(point, due),
            Target::Condition(number) => {
                let condition = &mut self.conditions[number as usize];
                // An earlier timer was set in its place: this one is void.
                if condition.timer != Some(due) {
                    return;
                }
                condition.timer = None;
                let Some(actual) = self.deadline(number) else {
                    return;
                };
                if actual > self.time.now() {
                    let condition = &mut self.conditions[number as usize];
                    self.timers
                        .set(&mut condition.timer, actual, Target::Condition(number));
                    return;
                }
                self.fire_condition(number, actual, out);
            }
        }
    }

    fn fire_condition(&mut self, number: u32, deadline: i64, out: &mut Vec<Transition>) {
        let condition = &mut self.conditions[number as usize];
        let spec = &self.specs[condition.rule as usize];
        let watched = &self.points[condition.point as usize];
        let step = match spec.test {
            Test::Value(_) => condition.on_hold_over(spec),
            Test::Silence { .. } => {
                // Too long is one millisecond more than is allowed: the case names what is allowed.
                condition.begin_silence(watched.heard_at, self.time.log_time_of(deadline - 1))
            }
        };
        if let Some(due) = condition.phase.due(spec) {
            self.timers.set(
                &mut condition.timer,
                due.0 + watched.offset_ms,
                Target::Condition(number),
            );
        }
        if let Some(step) = step {
            self.note(number, step, out);
        }
    }

    /// The listening time at which something happens to a condition if nothing is heard until then.
    fn deadline(&self, number: u32) -> Option<i64> {
        let condition = &self.conditions[number as usize];
        let spec = &self.specs[condition.rule as usize];
        let watched = &self.points[condition.point as usize];
        match spec.test {
            Test::Value(_) => condition
                .phase
                .due(spec)
                .map(|due| due.0.saturating_add(watched.offset_ms)),
            Test::Silence { intervals } => {
                let allowed = i64::from(intervals) * watched.interval_ms + spec.hold_ms;
                let heard = watched.heard.filter(|_| condition.phase == Phase::Normal)?;
                Some(heard.saturating_add(allowed + 1))
            }
        }
    }

    fn fire_watch(&mut self, point: u32, due: i64) {
        let watched = &mut self.points[point as usize];
        if watched.timer != Some(due) {
            return;
        }
        watched.timer = None;
        let Some(actual) = watched.silent_at() else { return };
        if actual > self.time.now() {
            self.timers.set(&mut watched.timer, actual, Target::Watch(point));
            return;
        }
        if watched.silent {
            return;
        }
        watched.silent = true;
        self.revision += 1;
        // Safety that nobody has seen does not count: it must be shown anew.
        for condition in &mut self.conditions[watched.first as usize..watched.end as usize] {
            condition.forget_safety();
        }
    }
}

impl Judge {
    /// The first event of the log: from here on every registered point is due.
    fn begin(&mut self) {
        let now = self.time.now();
        let log_time = self.time.log_time().unwrap_or_default();
        for watched in &mut self.points {
            if watched.heard.is_none() {
                watched.heard = Some(now);
                watched.heard_at = log_time;
            }
        }
        self.rebuild_timers();
    }

    /// Sets the timers by which the silence of a point that speaks will be noticed.
    fn watch(&mut self, point: u32) {
        let watched = &mut self.points[point as usize];
        let Some(due) = watched.silent_at() else { return };
        let (first, end) = (watched.first, watched.end);
        self.timers.set(&mut watched.timer, due, Target::Watch(point));
        for number in first..end {
            if let Some(due) = self.deadline(number) {
                let condition = &mut self.conditions[number as usize];
                self.timers
                    .set(&mut condition.timer, due, Target::Condition(number));
            }
        }
    }

    /// Drops void timers once they outnumber what can be live, so that the heap stays bounded.
    fn bound_timers(&mut self) {
        if self.timers.len() > 1024 + 4 * (self.conditions.len() + self.points.len()) {
            self.rebuild_timers();
        }
    }

    fn rebuild_timers(&mut self) {
        self.timers.clear();
        for condition in &mut self.conditions {
            condition.timer = None;
        }
        for watched in &mut self.points {
            watched.timer = None;
        }
        for point in 0..u32::try_from(self.points.len()).expect("points are numbered in 32 bits") {
            self.watch(point);
        }
    }

    fn point_state(&self, watched: &Watched) -> PointState {
        let mut worst: Option<(ConditionState, &Rule, UtcMillis)> = None;
        let mut silence: Option<&Rule> = None;
        for condition in &self.conditions[watched.first as usize..watched.end as usize] {
            let rule = &self.rules[condition.rule as usize];
            let Some(since) = condition.phase.since() else {
                continue;
            };
            let state = condition.phase.state();
            if self.specs[condition.rule as usize].test.limits().is_none() {
                silence = Some(silence.map_or(rule, |s| if rule.severity < s.severity { rule } else { s }));
            } else if worst.is_none_or(|(s, r, _)| state > s || (state == s && rule.severity < r.severity)) {
                worst = Some((state, rule, since));
            }
        }
        let (state, rule, since) = match worst {
            Some((ConditionState::Active, rule, since)) => (ConditionState::Active, Some(rule), since),
            _ if watched.silent => (ConditionState::Unknown, silence, watched.heard_at),
            Some((state, rule, since)) => (state, Some(rule), since),
            None => (ConditionState::Normal, None, watched.calm_since),
        };
        PointState {
            state,
            severity: rule.map(|r| r.severity),
            rule: rule.map(|r| r.id.clone()),
            since,
        }
    }
}
