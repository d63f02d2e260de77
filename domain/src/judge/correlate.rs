//! Correlations: conditions that look at more than their own point.
//!
//! What a correlation's clause looks at is a *group*: the points of one facility (one place, one device) that the
//! clause names. A point knows its groups, a group knows the conditions that wait for it, and both are bounded by
//! the number of points: a reading costs one comparison per group of its point, and only one that turns a group
//! makes conditions look again.

use super::{
    Judge, Transition,
    condition::{NEVER, Test, Verdict},
    track::{Joint, JointSpec, Said, Term, Track, TrackSpec},
};
use crate::{rule::Comparison, time::UtcMillis};

/// What one clause of a correlation looks at, around one place.
#[derive(Debug)]
pub(super) struct Group {
    /// The rule, and which of its clauses.
    pub(super) rule: u32,
    pub(super) clause: u8,
    /// What tells it from the other groups of that clause: facility, and place or device.
    pub(super) name: String,
    op: Comparison,
    limit: f64,
    every: bool,
    pub(super) members: u32,
    pub(super) on: u32,
    pub(super) term: Term,
    /// The conditions that wait for it.
    pub(super) anchors: Vec<u32>,
}

/// That a point belongs to a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: u32,
    /// Its latest value is on the clause's side.
    pub(super) on: bool,
}

impl Group {
    pub(super) fn new(rule: u32, (number, clause): (u8, &crate::rule::Clause), name: String) -> Group {
        Group {
            rule,
            clause: number,
            name,
            op: clause.op,
            limit: clause.limit,
            every: clause.every,
            members: 0,
            on: 0,
            term: Term::default(),
            anchors: Vec::new(),
        }
    }

    /// Whether the clause is fulfilled by what is known now.
    pub(super) fn is_fulfilled(&self) -> bool {
        if self.every {
            self.members > 0 && self.on == self.members
        } else {
            self.on > 0
        }
    }
}

impl Joint {
    /// It no longer holds from `due` on; until then it did, and may have held long enough.
    pub(super) fn part(&mut self, due: UtcMillis) -> Said {
        self.holds = false;
        self.at = self.at.max(due);
        [Some((Verdict::Breach, due)), Some((Verdict::Safe, due))]
    }
}

impl Judge {
    /// A value of a point that others look at.
    pub(super) fn judge_members(
        &mut self,
        point: u32,
        (at, value): (UtcMillis, f64),
        out: &mut Vec<Transition>,
    ) {
        let watched = &self.points[point as usize];
        let offset = watched.offset_ms;
        for number in watched.first_member..watched.end_member {
            let group = &self.groups[self.members[number as usize].group as usize];
            let on = group.op.holds(value, group.limit);
            self.turn_member(number, on, (at, offset), out);
        }
    }

    /// A point has fallen silent: nobody knows any more whether it is so there.
    pub(super) fn leave_groups(&mut self, point: u32, at: UtcMillis, out: &mut Vec<Transition>) {
        let watched = &self.points[point as usize];
        let offset = self.time.deaf_ms().saturating_neg();
        for number in watched.first_member..watched.end_member {
            self.turn_member(number, false, (at, offset), out);
        }
    }

    fn turn_member(
        &mut self,
        number: u32,
        on: bool,
        (at, offset): (UtcMillis, i64),
        out: &mut Vec<Transition>,
    ) {
        let member = &mut self.members[number as usize];
        if member.on == on {
            return;
        }
        member.on = on;
        let index = member.group as usize;
        let group = &mut self.groups[index];
        group.on = if on { group.on + 1 } else { group.on - 1 };
        let fulfilled = group.is_fulfilled();
        if group.term.on == fulfilled {
            return;
        }
        group.term.turn(fulfilled, at);
        for anchor in 0..group.anchors.len() {
            self.correlate(self.groups[index].anchors[anchor], at, offset, out);
        }
    }

    /// Something that a correlation looks at has changed at `at`, or its own point was measured then.
    pub(super) fn correlate(&mut self, number: u32, at: UtcMillis, offset: i64, out: &mut Vec<Transition>) {
        let condition = &self.conditions[number as usize];
        let Track::Joint(joint) = &self.tracks[condition.track as usize] else {
            return;
        };
        let at = at.max(joint.at);
        self.turn_until(number, at, out);
        let Some(holds) = self.holds(number, at) else {
            return;
        };
        let track = self.conditions[number as usize].track as usize;
        if let Track::Joint(joint) = &mut self.tracks[track] {
            joint.at = at;
            joint.offset_ms = offset;
            joint.holds = holds;
        }
        let verdict = if holds { Verdict::Breach } else { Verdict::Safe };
        self.heed(number, [Some((verdict, at)), None], out);
        self.set_timer(number);
    }

    /// Whether everything that a correlation looks at is so at `at`, or was within its window.
    fn holds(&self, number: u32, at: UtcMillis) -> Option<bool> {
        let condition = &self.conditions[number as usize];
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return None;
        };
        let (Track::Joint(joint), TrackSpec::Joint(spec)) = (&self.tracks[condition.track as usize], &**spec)
        else {
            return None;
        };
        let counts = |term: &Term| term.counts(at, spec.window_ms);
        Some(counts(&joint.own) && self.groups_of(number).all(|group| counts(&group.term)))
    }

    fn groups_of(&self, number: u32) -> impl Iterator<Item = &Group> {
        let groups = self.waits_for.get(&number).into_iter().flatten();
        groups.map(|group| &self.groups[*group as usize])
    }

    /// When a correlation that holds ceases to, if nothing is measured.
    pub(super) fn parting(&self, number: u32, joint: &Joint, spec: &JointSpec) -> Option<UtcMillis> {
        if !joint.holds {
            return None;
        }
        let others = self
            .groups_of(number)
            .filter_map(|group| group.term.expires(spec.window_ms));
        others.chain(joint.own.expires(spec.window_ms)).min()
    }
}

/// Whether a group remembers anything worth keeping.
pub(super) fn is_worth_keeping(group: &Group) -> bool {
    group.term.off_at > NEVER
}
