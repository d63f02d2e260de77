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
//! - Nothing is measured after it was received: a device whose clock is ahead is judged by the moment of
//!   receipt. So setting its clock right does not make its next readings look older than its last.
//! - A reading older than the latest judged one of its series proves that the device lives, and is not
//!   judged. One of the same moment is a correction and is judged. Only where each measurement counts by itself
//!   (a weighing), and for what must be there by a time of day, does an older one count too.
//! - Only a value in breach keeps a condition Pending, and only a safe one lets an Active one clear. A
//!   value between the two limits starts neither: it ends a Pending condition (no case may say "above
//!   8 °C for 30 minutes" of a fridge that was at 7.5) and leaves an Active one Active.
//! - When log time steps by more than [`GAP_MS`], the product itself was down: it was deaf, and nobody
//!   else was silent. Timers run on *listening time*, which is log time without those gaps.
//! - A point that was never heard is Unknown from the start, and becomes a case of silence once it has
//!   been registered for as long as the rule allows.
//! - Readings that keep coming a constant time late after later ones, for two report intervals and with no other
//!   between them, come from a clock that was set back: they are judged by the moment of receipt. So no step of a
//!   device's clock makes it blind for longer.
//! - What is due by a time of day is judged by log time, [`MISSING_GRACE_MS`] later; after an outage of the product
//!   not before [`RESUME_GRACE_MS`] have passed, so that what was kept meanwhile can arrive.
//! - A correlation looks at several points, whose clocks and lags differ. It takes their changes in the order of
//!   the log and lets its own time never go back. A point that has fallen silent takes no part in it.
//! - What is set aside ([`Mute`]) goes on being judged, in [`ConditionState::Shelved`]; when the time is over, what
//!   still stands is told.
//! - Of the rules of silence that apply to a point, those that name its metric or point type stand in for
//!   those that name neither: one silence is one case.

mod board;
mod condition;
mod correlate;
mod due;
mod listening;
mod mute;
mod register;
mod restore;
mod timers;
mod track;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    id::RuleId,
    reading::{Reading, SeriesKey},
    rule::Rule,
    time::UtcMillis,
    zone::Zone,
};
use condition::{Condition, NO_TRACK, Phase, Spec, Step, Test, Verdict};
use correlate::{Group, Member};
use listening::{Advance, Listening};
use timers::{Target, Timers};
use track::{Moment, Said, Shown, Track, TrackSpec};

pub use board::{Board, PointState};
pub use mute::{Mute, MuteTarget, Resume};

pub use restore::Snapshot;

/// A step of log time longer than this, in milliseconds, means that the product was down. Ticks come
/// once a second.
pub const GAP_MS: i64 = 10_000;

/// How long after a time of day its reading may still arrive, in milliseconds.
pub const MISSING_GRACE_MS: i64 = 2 * 60_000;

/// How long after an outage of the product nothing is called missing, in milliseconds.
pub const RESUME_GRACE_MS: i64 = 10 * 60_000;

/// By which part of the time between two late readings their lags may differ and still be one clock's.
const SAME_LAG_PART: i64 = 4;

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
    /// A breach that was set aside by people, or lies in a window of work: it stands, and nobody is told.
    Shelved,
    /// A breach that has lasted long enough: there is a case.
    Active,
    /// It was active and is safe again. Only a transition's goal: the condition is Normal at once.
    Cleared,
    /// Nothing is known: silence, or never heard. Not the same as Normal. Shown of points only: no
    /// transition names it.
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
    /// What was found: the latest judged value, or what the rule's kind makes of the values (a rate per minute, a
    /// number of times, minutes). `None` for silence and for what is missing.
    pub value: Option<f64>,
    /// What that is compared with; `None` for silence and for what is missing.
    pub limit: Option<f64>,
}

/// A registered point's number within one [`Judge`]. [`Judge::set_points`] numbers points anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PointIndex(u32);

/// Rules, points and the state of every condition.
///
/// ```
/// # use sunshine_domain as domain;
/// # use domain::{DeviceId, FacilityId, Metric, Point, Quality, Reading, SeriesId, Unit};
/// use domain::{ConditionState, Judge, UtcMillis, pack};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let detector = Point {
/// #     facility: FacilityId::new("binhe-01")?,
/// #     device: DeviceId::new("smoke-1")?,
/// #     metric: Metric::new("smoke_alarm")?,
/// #     unit: Unit::Bool,
/// #     point_type: "smoke_detector".to_owned(),
/// #     place_zh: "备餐间".to_owned(),
/// #     place_en: "Pantry".to_owned(),
/// #     report_interval_s: 3600,
/// # };
/// # let at = UtcMillis(1_795_243_200_000);
/// # let smoke =
/// #     Reading { series: SeriesId(0), at, received: at, value: 1.0, quality: Quality::Good };
/// let mut judge = Judge::new(pack::active(&["fire-gas"])?, &[detector.clone()]);
/// let point = judge.point(&detector.key()).expect("it was registered");
/// let mut transitions = Vec::new();
/// judge.reading(point, &smoke, &mut transitions);
/// assert_eq!(transitions[0].rule.as_str(), "FG-SMK-01");
/// assert_eq!(transitions[0].to, ConditionState::Active);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Judge {
    rules: Vec<Rule>,
    specs: Vec<Spec>,
    points: Vec<Watched>,
    index: HashMap<SeriesKey, PointIndex>,
    conditions: Vec<Condition>,
    /// What conditions remember beyond their phase, for the kinds that need it.
    tracks: Vec<Track>,
    /// What correlations look at beyond their own point.
    groups: Vec<Group>,
    /// Which points belong to which group.
    members: Vec<Member>,
    /// The groups that a correlation waits for, one for each of its clauses.
    waits_for: HashMap<u32, Vec<u32>>,
    /// Conditions that wait for a time of day.
    by_day: Vec<u32>,
    mutes: mute::Mutes,
    zone: Zone,
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
    /// The groups it belongs to: a range of [`Judge::members`].
    first_member: u32,
    end_member: u32,
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
    /// The run of readings older than the latest judged one that it is in, if it is.
    late: Option<Late>,
    /// The condition by which its device's clock is judged, if this point stands for the device.
    clock: Option<u32>,
    /// A rule counts each of its measurements, late or not.
    has_events: bool,
}

/// A run of readings that came later than later ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Late {
    /// The receipt of the first of those that kept the same lag.
    since: UtcMillis,
    /// The lag of the latest…
    lag: i64,
    /// …and its receipt.
    received: UtcMillis,
}

impl Watched {
    /// The moment at which a reading counts as measured, and whether it is judged.
    fn moment_of(&mut self, reading: &Reading) -> (UtcMillis, bool) {
        let received = reading.received;
        let at = reading.at.min(received);
        let lag = received.ms_since(at);
        if at < self.latest_at {
            let run = self.late.get_or_insert(Late {
                since: received,
                lag,
                received,
            });
            // Readings that were kept arrive at once, and others between them; those of a clock that was set back
            // arrive as they are made, and no others do.
            let apart = received.ms_since(run.received);
            let is_one_clock = apart > 0 && (lag - run.lag).abs() <= apart / SAME_LAG_PART;
            if !is_one_clock {
                run.since = received;
            }
            (run.lag, run.received) = (lag, received);
            let set_back = received.ms_since(run.since) >= 2 * self.interval_ms;
            return if set_back { (received, true) } else { (at, false) };
        }
        self.late = None;
        (at, true)
    }

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

    /// About how many bytes the judge's lists hold: points, conditions, their memories and timers. Without the text
    /// of identifiers, which points share with their directory, and of rules.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let index = self.index.capacity() * size_of::<(SeriesKey, PointIndex)>();
        self.points.capacity() * size_of::<Watched>()
            + index
            + self.conditions.capacity() * size_of::<Condition>()
            + self.tracks.capacity() * size_of::<Track>()
            + self.groups.capacity() * size_of::<Group>()
            + self.members.capacity() * size_of::<Member>()
            + self.timers.held_bytes()
    }

    /// Time passed. Appends the transitions to `out`. A moment before log time changes nothing.
    pub fn tick(&mut self, at: UtcMillis, out: &mut Vec<Transition>) {
        match self.time.advance(at) {
            Advance::First => self.begin(),
            Advance::Gap => self.watch_the_clock(),
            Advance::Step => {}
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
        let (at, judged) = watched.moment_of(reading);
        if judged {
            watched.latest_at = at;
            watched.latest_value = Some(reading.value);
            watched.offset_ms = reading.received.ms_since(at).saturating_sub(self.time.deaf_ms());
        } else {
            self.late_readings += 1;
        }
        if was_silent {
            self.speak(point.0, log_time, out);
        }
        self.judge_clock(point.0, reading, out);
        self.judge_events(point.0, (at, reading.value), out);
        if judged {
            self.judge_value(point.0, (at, reading.value), out);
        }
    }

    fn judge_value(&mut self, point: u32, (at, value): (UtcMillis, f64), out: &mut Vec<Transition>) {
        let watched = &self.points[point as usize];
        let (first, end, offset) = (watched.first, watched.end, watched.offset_ms);
        let has_members = watched.first_member < watched.end_member;
        for number in first..end {
            let condition = &mut self.conditions[number as usize];
            let spec = &self.specs[condition.rule as usize];
            let verdict = match &spec.test {
                Test::Value(limits) => limits.verdict(value),
                Test::Band(band) => band.verdict(value),
                Test::Tracked(_) => {
                    self.judge_tracked(number, (at, value), out);
                    continue;
                }
                Test::Silence { .. } => continue,
            };
            // Most conditions are Normal and stay so.
            if verdict != Verdict::Breach && condition.phase == Phase::Normal {
                continue;
            }
            let step = condition.on_value(spec, verdict, at);
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
        if has_members {
            self.judge_members(point, (at, value), out);
        }
        self.bound_timers();
    }

    /// A value of a condition that remembers: what was due before it happens first, in event time.
    fn judge_tracked(&mut self, number: u32, (at, value): (UtcMillis, f64), out: &mut Vec<Transition>) {
        let condition = &self.conditions[number as usize];
        let watched = &self.points[condition.point as usize];
        let (offset, gap_ms) = (watched.offset_ms, watched.silent_after_ms);
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return;
        };
        match (&mut self.tracks[condition.track as usize], &**spec) {
            (Track::Joint(joint), TrackSpec::Joint(spec)) => {
                joint.own.on_value(spec, at, value);
                self.correlate(number, at, offset, out);
            }
            (Track::Event(_) | Track::Missing(_) | Track::Skew(_), _) => {}
            _ => {
                self.turn_until(number, at, out);
                let condition = &self.conditions[number as usize];
                let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
                    return;
                };
                let track = &mut self.tracks[condition.track as usize];
                let said = track.on_value(spec, Moment { at, gap_ms }, value);
                self.heed(number, said, out);
                self.set_timer(number);
            }
        }
    }

    /// Lets happen what was due in a condition's memory up to `at`, in event time.
    fn turn_until(&mut self, number: u32, at: UtcMillis, out: &mut Vec<Transition>) {
        while let Some(due) = self.turn_due(number).filter(|due| *due <= at) {
            self.turn(number, due, out);
        }
    }

    /// Passes what a memory says on to its condition.
    fn heed(&mut self, number: u32, said: Said, out: &mut Vec<Transition>) {
        for (verdict, at) in said.into_iter().flatten() {
            let condition = &mut self.conditions[number as usize];
            if verdict != Verdict::Breach && condition.phase == Phase::Normal {
                continue;
            }
            let spec = &self.specs[condition.rule as usize];
            if let Some(step) = condition.on_value(spec, verdict, at) {
                self.note(number, step, out);
            }
        }
    }

    /// A measurement that counts by itself counts late or not, and so does what had to be there.
    fn judge_events(&mut self, point: u32, (at, value): (UtcMillis, f64), out: &mut Vec<Transition>) {
        let watched = &self.points[point as usize];
        if !watched.has_events {
            return;
        }
        for number in watched.first..watched.end {
            let condition = &mut self.conditions[number as usize];
            let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
                continue;
            };
            match (&mut self.tracks[condition.track as usize], &**spec) {
                (Track::Event(memory), TrackSpec::Event(spec)) => {
                    let is_new = memory.is_new_breach(spec, at, value);
                    for step in is_new.then(|| condition.event(at)).into_iter().flatten() {
                        self.note(number, step, out);
                    }
                }
                (Track::Missing(memory), TrackSpec::Missing(spec)) => {
                    let said = memory.on_reading((spec, &self.zone), at, value);
                    self.heed(number, said, out);
                }
                _ => {}
            }
        }
    }

    /// What a reading shows of its device's clock, late or not.
    fn judge_clock(&mut self, point: u32, reading: &Reading, out: &mut Vec<Transition>) {
        let Some(number) = self.points[point as usize].clock else {
            return;
        };
        let condition = &self.conditions[number as usize];
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return;
        };
        let (Track::Skew(memory), TrackSpec::Skew(spec)) =
            (&mut self.tracks[condition.track as usize], &**spec)
        else {
            return;
        };
        let verdict = memory.on_reading(spec, reading.received, Shown::of(reading));
        self.heed(number, [verdict.map(|v| (v, reading.received)), None], out);
    }

    /// A silent point speaks: conditions of silence clear.
    fn speak(&mut self, point: u32, now: UtcMillis, out: &mut Vec<Transition>) {
        self.revision += 1;
        let watched = &mut self.points[point as usize];
        watched.calm_since = now;
        for number in watched.first..watched.end {
            let condition = &mut self.conditions[number as usize];
            if !self.specs[condition.rule as usize].test.is_silence() {
                continue;
            }
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
        let track = (condition.track != NO_TRACK).then(|| &self.tracks[condition.track as usize]);
        let spec = &self.specs[condition.rule as usize];
        let (value, limit) = spec.shown(track, watched.latest_value);
        out.push(Transition {
            rule: self.rules[condition.rule as usize].id.clone(),
            point: watched.key.clone(),
            from: step.from,
            to: step.to,
            since: step.since,
            at: step.at,
            value,
            limit,
        });
    }
}
