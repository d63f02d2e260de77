//! The judge's memory: what is kept across a restart, and across a change of points or rules.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    Condition, ConditionState, Judge, Late, Listening, NO_TRACK, Phase, PointIndex, Spec, Test, Timers,
    Transition, Watched, correlate, mute,
    track::{Term, Track},
};
use crate::{facility::Point, id::RuleId, reading::SeriesKey, rule::Rule, time::UtcMillis, zone::Zone};

/// The form of [`Snapshot`]. The one before, which knew fewer kinds of rule, can still be read.
const FORM: u32 = 2;
const OLDEST_FORM: u32 = 1;

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
    /// The listening time of the last outage.
    #[serde(default)]
    resumed: Option<i64>,
    /// What conditions remember beyond their phase: index into `points`, index into `rules`, memory.
    #[serde(default)]
    tracks: Vec<(u32, u32, Track)>,
    /// What correlations looked at: index into `rules`, clause, name, and what is known of it.
    #[serde(default)]
    groups: Vec<(u32, u8, String, Term)>,
    /// Which points are on their clause's side: index into `points`, index into `rules`, clause.
    #[serde(default)]
    members: Vec<(u32, u32, u8)>,
    /// Late readings that may turn out to come from a clock that was set back: index into `points`, and the run.
    #[serde(default)]
    late: Vec<(u32, Late)>,
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
            resumed: None,
            tracks: Vec::new(),
            groups: Vec::new(),
            members: Vec::new(),
            late: Vec::new(),
        }
    }
}

impl Snapshot {
    /// Log time then; `None` before the log began.
    #[must_use]
    pub fn log_time(&self) -> Option<UtcMillis> {
        self.log_time
    }

    /// The point of that index.
    fn key(&self, point: u32) -> Option<&SeriesKey> {
        self.points.get(point as usize).map(|memory| &memory.0)
    }

    /// Whether this judge's build can read it.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        (OLDEST_FORM..=FORM).contains(&self.form)
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
            resumed: self.time.resumed(),
            tracks: self.remember_tracks(),
            groups: self.remember_groups(),
            members: self.remember_members(),
            late: (0..)
                .zip(&self.points)
                .filter_map(|(n, p)| p.late.map(|late| (n, late)))
                .collect(),
        }
    }

    fn remember_tracks(&self) -> Vec<(u32, u32, Track)> {
        let tracked = self.conditions.iter().filter(|c| c.track != NO_TRACK);
        tracked
            .filter_map(|c| {
                let Test::Tracked(spec) = &self.specs[c.rule as usize].test else {
                    return None;
                };
                let track = &self.tracks[c.track as usize];
                (*track != spec.fresh()).then(|| (c.point, c.rule, track.clone()))
            })
            .collect()
    }

    fn remember_groups(&self) -> Vec<(u32, u8, String, Term)> {
        let groups = self.groups.iter().filter(|g| correlate::is_worth_keeping(g));
        groups
            .map(|g| (g.rule, g.clause, g.name.clone(), g.term))
            .collect()
    }

    fn remember_members(&self) -> Vec<(u32, u32, u8)> {
        let mut on = Vec::new();
        for (number, watched) in (0..).zip(&self.points) {
            for member in &self.members[watched.first_member as usize..watched.end_member as usize] {
                let group = &self.groups[member.group as usize];
                if member.on {
                    on.push((number, group.rule, group.clause));
                }
            }
        }
        on
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
        Judge::restore_in(Zone::default(), (snapshot, rules), points, out)
    }

    /// The same for a place whose clocks are not China's.
    #[must_use]
    pub fn restore_in(
        zone: Zone,
        (snapshot, rules): (&Snapshot, Vec<Rule>),
        points: &[Point],
        out: &mut Vec<Transition>,
    ) -> Judge {
        let mut judge = Judge {
            specs: rules.iter().map(Spec::of).collect(),
            rules,
            points: Vec::with_capacity(points.len()),
            index: HashMap::with_capacity(points.len()),
            conditions: Vec::new(),
            tracks: Vec::new(),
            groups: Vec::new(),
            members: Vec::new(),
            waits_for: HashMap::new(),
            by_day: Vec::new(),
            mutes: mute::Mutes::default(),
            zone,
            timers: Timers::default(),
            time: Listening::new(snapshot.log_time, snapshot.deaf_ms, snapshot.resumed),
            late_readings: snapshot.late_readings,
            revision: 1,
        };
        judge.register(points);
        for memory in &snapshot.points {
            judge.recall(snapshot, memory, out);
        }
        for (point, late) in &snapshot.late {
            let key = snapshot.key(*point);
            if let Some(PointIndex(number)) = key.and_then(|key| judge.index.get(key)) {
                judge.points[*number as usize].late = Some(*late);
            }
        }
        judge.recall_tracks(snapshot);
        judge.recall_groups(snapshot);
        judge.rebuild_timers();
        judge
    }

    /// Replaces the list of points. Those that stay keep their state; see [`Judge::restore`].
    pub fn set_points(&mut self, points: &[Point], out: &mut Vec<Transition>) {
        let rules = std::mem::take(&mut self.rules);
        // A snapshot names rules.
        self.rules.clone_from(&rules);
        self.replace(rules, points, out);
    }

    /// Replaces the rules, for the same points. Conditions of rules that stay keep their state, also when the
    /// rule's numbers are others now: a breach that is none any more ends with the next reading.
    pub fn set_rules(&mut self, rules: Vec<Rule>, points: &[Point], out: &mut Vec<Transition>) {
        self.replace(rules, points, out);
    }

    fn replace(&mut self, rules: Vec<Rule>, points: &[Point], out: &mut Vec<Transition>) {
        let snapshot = self.snapshot();
        let revision = self.revision;
        let zone = std::mem::take(&mut self.zone);
        let mutes = self.take_mutes();
        *self = Judge::restore_in(zone, (&snapshot, rules), points, out);
        self.set_mutes(mutes, out);
        self.revision = revision + 1;
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

    fn recall_tracks(&mut self, snapshot: &Snapshot) {
        for (point, rule, track) in &snapshot.tracks {
            let id = snapshot.rules.get(*rule as usize);
            let point = snapshot.key(*point).and_then(|key| self.index.get(key).copied());
            let condition = point.zip(id).and_then(|(p, id)| self.condition_of(p, id));
            let Some(place) = condition.map(|c| c.track).filter(|place| *place != NO_TRACK) else {
                continue;
            };
            let kept = &mut self.tracks[place as usize];
            // A rule that is of another kind now has nothing to remember yet.
            if std::mem::discriminant(kept) == std::mem::discriminant(track) {
                kept.clone_from(track);
            }
        }
    }

    fn recall_groups(&mut self, snapshot: &Snapshot) {
        let name = |rule: u32| snapshot.rules.get(rule as usize);
        let on: HashSet<_> = snapshot
            .members
            .iter()
            .filter_map(|(point, rule, clause)| Some((snapshot.key(*point)?, name(*rule)?, *clause)))
            .collect();
        for watched in &self.points {
            for member in &mut self.members[watched.first_member as usize..watched.end_member as usize] {
                let group = &mut self.groups[member.group as usize];
                let id = &self.rules[group.rule as usize].id;
                member.on = on.contains(&(&watched.key, id, group.clause));
                group.on += u32::from(member.on);
            }
        }
        let terms: HashMap<_, _> = snapshot
            .groups
            .iter()
            .filter_map(|(rule, clause, place, term)| Some(((name(*rule)?, *clause, place), *term)))
            .collect();
        for group in &mut self.groups {
            let id = &self.rules[group.rule as usize].id;
            if let Some(term) = terms.get(&(id, group.clause, &group.name)) {
                group.term = *term;
            }
            group.term.on = group.is_fulfilled();
        }
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
    let Phase::Active {
        since, untold: false, ..
    } = phase
    else {
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
