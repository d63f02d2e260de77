//! The judge's memory: what is kept across a restart, and across a change of points or rules.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    Condition, ConditionState, Judge, Listening, Phase, PointIndex, SILENT_INTERVALS, Spec, Test, Timers,
    Transition, Watched,
};
use crate::{
    facility::Point,
    id::RuleId,
    reading::SeriesKey,
    rule::{Rule, RuleKind},
    time::UtcMillis,
};

/// The form of [`Snapshot`]; one of another form is refused.
const FORM: u32 = 1;

/// Everything a judge knows at one position of the log. A judge restored from it gives the transitions
/// that the first one would have given from there on.
///
/// Values are kept as bits, so that no text form rounds them. Conditions that are Normal are not kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    form: u32,
    log_time: Option<UtcMillis>,
    deaf_ms: i64,
    late_readings: u64,
    rules: Vec<RuleId>,
    points: Vec<PointMemory>,
}

/// What is kept of a point: a tuple, because there are many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct PointMemory(SeriesKey, Heard, Vec<ConditionMemory>);

/// See the fields of [`Watched`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Heard {
    #[serde(rename = "a")]
    latest_at: UtcMillis,
    #[serde(rename = "v")]
    latest_value_bits: Option<u64>,
    #[serde(rename = "o")]
    offset_ms: i64,
    #[serde(rename = "h")]
    heard: Option<i64>,
    #[serde(rename = "t")]
    heard_at: UtcMillis,
    #[serde(rename = "s")]
    silent: bool,
    #[serde(rename = "c")]
    calm_since: UtcMillis,
}

/// Index into [`Snapshot::rules`], phase, and when the latest breach began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct ConditionMemory(u32, Phase, UtcMillis);

impl Default for Snapshot {
    /// Nothing was ever seen.
    fn default() -> Snapshot {
        Snapshot {
            form: FORM,
            log_time: None,
            deaf_ms: 0,
            late_readings: 0,
            rules: Vec::new(),
            points: Vec::new(),
        }
    }
}

impl Snapshot {
    /// Whether this judge's build can read it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.form == FORM
    }
}

impl Judge {
    /// Everything known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            form: FORM,
            log_time: self.time.log_time(),
            deaf_ms: self.time.deaf_ms(),
            late_readings: self.late_readings,
            rules: self.rules.iter().map(|r| r.id.clone()).collect(),
            points: self.points.iter().map(|p| self.remember(p)).collect(),
        }
    }

    /// A judge who knows what `snapshot` holds, as far as `rules` and `points` still have it.
    ///
    /// Points and rules that are new start Unknown at the snapshot's log time. Active conditions whose
    /// rule or point is gone clear: they are appended to `out`, or nothing would ever close their cases.
    #[must_use]
    pub fn restore(
        snapshot: &Snapshot,
        rules: Vec<Rule>,
        points: &[Point],
        out: &mut Vec<Transition>,
    ) -> Judge {
        let mut judge = Judge {
            specs: rules.iter().map(Spec::of).collect(),
            rules,
            points: Vec::with_capacity(points.len()),
            index: HashMap::with_capacity(points.len()),
            conditions: Vec::new(),
            timers: Timers::default(),
            time: Listening::new(snapshot.log_time, snapshot.deaf_ms),
            late_readings: snapshot.late_readings,
            revision: 1,
        };
        for point in points {
            judge.register(point);
        }
        for memory in &snapshot.points {
            judge.recall(snapshot, memory, out);
        }
        judge.rebuild_timers();
        judge
    }

    /// Replaces the list of points. Those that stay keep their state; see [`Judge::restore`].
    pub fn set_points(&mut self, points: &[Point], out: &mut Vec<Transition>) {
        let snapshot = self.snapshot();
        let revision = self.revision;
        let rules = std::mem::take(&mut self.rules);
        *self = Judge::restore(&snapshot, rules, points, out);
        self.revision = revision + 1;
    }

    fn register(&mut self, point: &Point) {
        let key = point.key();
        if self.index.contains_key(&key) {
            return;
        }
        let number = u32::try_from(self.points.len()).expect("points are numbered in 32 bits");
        let first = self.conditions.len();
        let is_silence = |rule: &Rule| matches!(rule.kind, RuleKind::NoData { .. });
        let is_general = |rule: &Rule| rule.metric.is_none() && rule.point_type.is_none();
        // One silence is one case: the rule made for this kind of point stands in for the general one.
        let has_own = self
            .rules
            .iter()
            .any(|rule| is_silence(rule) && !is_general(rule) && rule.applies_to(point));
        let applying =
            self.rules.iter().zip(0..).filter(|(rule, _)| {
                rule.applies_to(point) && !(has_own && is_silence(rule) && is_general(rule))
            });
        self.conditions
            .extend(applying.map(|(_, rule)| Condition::new(rule, number)));
        let intervals = self.conditions[first..]
            .iter()
            .filter_map(|c| match self.specs[c.rule as usize].test {
                Test::Silence { intervals } => Some(intervals),
                Test::Value(_) => None,
            })
            .min()
            .unwrap_or(SILENT_INTERVALS);
        let interval_ms = i64::from(point.report_interval_s) * 1000;
        let index = |n: usize| u32::try_from(n).expect("conditions are numbered in 32 bits");
        self.index.insert(key.clone(), PointIndex(number));
        self.points.push(Watched {
            key,
            first: index(first),
            end: index(self.conditions.len()),
            interval_ms,
            silent_after_ms: i64::from(intervals) * interval_ms,
            latest_at: UtcMillis(i64::MIN),
            latest_value: None,
            offset_ms: 0,
            heard: self.time.log_time().map(|_| self.time.now()),
            heard_at: self.time.log_time().unwrap_or_default(),
            silent: true,
            calm_since: UtcMillis::default(),
            timer: None,
        });
    }

    fn remember(&self, watched: &Watched) -> PointMemory {
        let heard = Heard {
            latest_at: watched.latest_at,
            latest_value_bits: watched.latest_value.map(f64::to_bits),
            offset_ms: watched.offset_ms,
            heard: watched.heard,
            heard_at: watched.heard_at,
            silent: watched.silent,
            calm_since: watched.calm_since,
        };
        let conditions = self.conditions[watched.first as usize..watched.end as usize]
            .iter()
            // A breach that ended before the latest reading cannot share its beginning with a new one.
            .filter(|c| c.phase != Phase::Normal || c.could_recur(watched.latest_at))
            .map(|c| ConditionMemory(c.rule, c.phase, c.last_since))
            .collect();
        PointMemory(watched.key.clone(), heard, conditions)
    }

    fn recall(&mut self, snapshot: &Snapshot, memory: &PointMemory, out: &mut Vec<Transition>) {
        let PointMemory(key, heard, conditions) = memory;
        let point = self.index.get(key).copied();
        if let Some(PointIndex(number)) = point {
            let watched = &mut self.points[number as usize];
            watched.latest_at = heard.latest_at;
            watched.latest_value = heard.latest_value_bits.map(f64::from_bits);
            watched.offset_ms = heard.offset_ms;
            watched.heard = heard.heard.or(watched.heard);
            watched.heard_at = heard.heard_at;
            watched.silent = heard.silent;
            watched.calm_since = heard.calm_since;
        }
        for ConditionMemory(rule, phase, last_since) in conditions {
            let Some(id) = snapshot.rules.get(*rule as usize) else {
                continue;
            };
            match point.and_then(|p| self.condition_of(p, id)) {
                Some(condition) => {
                    condition.phase = *phase;
                    condition.last_since = *last_since;
                }
                None => out.extend(retire(id, key, *phase, snapshot.log_time)),
            }
        }
    }

    fn condition_of(&mut self, point: PointIndex, rule: &RuleId) -> Option<&mut Condition> {
        let watched = &self.points[point.0 as usize];
        let rules = &self.rules;
        self.conditions[watched.first as usize..watched.end as usize]
            .iter_mut()
            .find(|c| rules[c.rule as usize].id == *rule)
    }
}

/// The end of an Active condition whose rule or point is gone.
fn retire(rule: &RuleId, point: &SeriesKey, phase: Phase, now: Option<UtcMillis>) -> Option<Transition> {
    let Phase::Active { since, .. } = phase else {
        return None;
    };
    Some(Transition {
        rule: rule.clone(),
        point: point.clone(),
        from: ConditionState::Active,
        to: ConditionState::Cleared,
        since,
        at: now.unwrap_or(since),
        value: None,
        limit: None,
    })
}
