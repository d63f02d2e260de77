//! Which rules judge which points: made once for a list of points, and bounded by it.

use std::collections::{HashMap, HashSet};

use super::{
    Condition, Judge, PointIndex, SILENT_INTERVALS, Test, Watched,
    correlate::{Group, Member},
    track::{Track, TrackSpec},
};
use crate::{
    facility::Point,
    id::{DeviceId, FacilityId, RuleId},
    rule::{Near, Rule, RuleKind},
    time::UtcMillis,
};

/// What registration needs to know of the points before.
#[derive(Default)]
struct Seen {
    /// Rules that a facility has in place of the pack's.
    own: HashSet<(FacilityId, RuleId)>,
    /// Devices whose clock is judged at one of their points.
    clocks: HashSet<(FacilityId, DeviceId)>,
}

impl Judge {
    /// Registers points; one that comes twice counts once.
    pub(super) fn register(&mut self, points: &[Point]) {
        let own = self.rules.iter().filter_map(|rule| {
            let facility = rule.facility.clone()?;
            Some((facility, rule.id.clone()))
        });
        let mut seen = Seen {
            own: own.collect(),
            ..Seen::default()
        };
        let mut registered = Vec::with_capacity(points.len());
        for point in points {
            if !self.index.contains_key(&point.key()) {
                self.register_point(point, &mut seen);
                registered.push(point);
            }
        }
        self.register_groups(&registered);
    }

    fn register_point(&mut self, point: &Point, seen: &mut Seen) {
        let key = point.key();
        let number = u32::try_from(self.points.len()).expect("points are numbered in 32 bits");
        let first = self.conditions.len();
        let applying = applying(&self.rules, point, seen);
        for rule in applying {
            self.register_condition(rule, number);
        }
        let conditions = &self.conditions[first..];
        let test = |c: &Condition| &self.specs[c.rule as usize].test;
        let intervals = conditions.iter().filter_map(|c| match test(c) {
            Test::Silence { intervals } => Some(*intervals),
            _ => None,
        });
        let intervals = intervals.min().unwrap_or(SILENT_INTERVALS);
        let is_clock =
            |c: &Condition| matches!(test(c), Test::Tracked(spec) if matches!(**spec, TrackSpec::Skew(_)));
        let clock = (first..)
            .zip(conditions)
            .find(|(_, c)| is_clock(c))
            .map(|(n, _)| index(n));
        let is_event = |c: &Condition| match test(c) {
            Test::Tracked(spec) => matches!(**spec, TrackSpec::Event(_) | TrackSpec::Missing(_)),
            _ => false,
        };
        let has_events = conditions.iter().any(is_event);
        let interval_ms = i64::from(point.report_interval_s) * 1000;
        self.index.insert(key.clone(), PointIndex(number));
        self.points.push(Watched {
            key,
            first: index(first),
            end: index(self.conditions.len()),
            first_member: 0,
            end_member: 0,
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
            late: None,
            clock,
            has_events,
        });
    }

    fn register_condition(&mut self, rule: u32, point: u32) {
        let number = index(self.conditions.len());
        let mut condition = Condition::new(rule, point);
        if let Test::Tracked(spec) = &self.specs[rule as usize].test {
            condition.track = index(self.tracks.len());
            let mut track = spec.fresh();
            if let (Track::Missing(memory), TrackSpec::Missing(spec)) = (&mut track, &**spec) {
                self.by_day.push(number);
                if let Some(now) = self.time.log_time() {
                    memory.arm(spec, &self.zone, now);
                }
            }
            self.tracks.push(track);
        }
        self.conditions.push(condition);
    }

    /// Groups for the correlations that stand at these points, and the points that belong to them.
    fn register_groups(&mut self, points: &[&Point]) {
        let mut known: HashMap<(u32, u8, String), u32> = HashMap::new();
        for number in 0..self.conditions.len() {
            let condition = &self.conditions[number];
            let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
                continue;
            };
            let TrackSpec::Joint(spec) = &**spec else { continue };
            let point = points[condition.point as usize];
            let name = name_of(point, spec.near());
            let mut waits_for = Vec::with_capacity(spec.clauses().len());
            for (clause, at) in (0..).zip(spec.clauses()) {
                let key = (condition.rule, clause, name.clone());
                let group = *known.entry(key).or_insert_with(|| {
                    self.groups
                        .push(Group::new(condition.rule, (clause, at), name.clone()));
                    index(self.groups.len() - 1)
                });
                self.groups[group as usize].anchors.push(index(number));
                waits_for.push(group);
            }
            self.waits_for.insert(index(number), waits_for);
        }
        if !known.is_empty() {
            self.register_members(points, &known);
        }
    }

    fn register_members(&mut self, points: &[&Point], known: &HashMap<(u32, u8, String), u32>) {
        let clauses: Vec<_> = (0..)
            .zip(&self.rules)
            .filter_map(|(number, rule)| match &rule.kind {
                RuleKind::Correlation { with, near, .. } => Some((number, with, *near)),
                _ => None,
            })
            .collect();
        for (watched, point) in self.points.iter_mut().zip(points) {
            watched.first_member = index(self.members.len());
            for (rule, with, near) in &clauses {
                for (clause, at) in (0..).zip(*with) {
                    if !at.looks_at(point) {
                        continue;
                    }
                    if let Some(group) = known.get(&(*rule, clause, name_of(point, *near))) {
                        self.groups[*group as usize].members += 1;
                        self.members.push(Member {
                            group: *group,
                            on: false,
                        });
                    }
                }
            }
            watched.end_member = index(self.members.len());
        }
    }
}

/// The rules that judge a point.
fn applying(rules: &[Rule], point: &Point, seen: &mut Seen) -> Vec<u32> {
    let is_silence = |rule: &Rule| matches!(rule.kind, RuleKind::NoData { .. });
    let is_general = |rule: &Rule| rule.metric.is_none() && rule.point_type.is_none();
    // One silence is one case: the rule made for this kind of point stands in for the general one.
    let has_own_silence = rules
        .iter()
        .any(|rule| is_silence(rule) && !is_general(rule) && rule.applies_to(point));
    let mut applying = Vec::new();
    for (number, rule) in (0..).zip(rules) {
        if !rule.applies_to(point) || (has_own_silence && is_silence(rule) && is_general(rule)) {
            continue;
        }
        let replaced = || seen.own.contains(&(point.facility.clone(), rule.id.clone()));
        if rule.facility.is_none() && !seen.own.is_empty() && replaced() {
            continue;
        }
        // A device has one clock, however much it measures.
        let is_clock = matches!(rule.kind, RuleKind::ClockSkew { .. });
        if is_clock && !seen.clocks.insert((point.facility.clone(), point.device.clone())) {
            continue;
        }
        applying.push(number);
    }
    applying
}

/// What tells the places apart in which a correlation looks around.
fn name_of(point: &Point, near: Near) -> String {
    let place = match near {
        Near::Facility => "",
        Near::Place => point.place_zh.as_str(),
        Near::Device => point.device.as_str(),
    };
    // No identifier holds a slash.
    format!("{}/{place}", point.facility)
}

fn index(n: usize) -> u32 {
    u32::try_from(n).expect("conditions are numbered in 32 bits")
}
