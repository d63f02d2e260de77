//! What is set aside for a while: a shelf that somebody signed for, or a window of maintenance, defrost, cleaning or
//! rest.
//!
//! A mute begins and ends at moments of log time, so that a replay sets aside the same things. The conditions go on
//! being judged; only nobody is told.

use super::{Judge, PointIndex, Transition, Watched, timers::Target};
use crate::{
    id::{DeviceId, FacilityId, Metric, RuleId},
    time::UtcMillis,
};

/// What is set aside: everything of one facility that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MuteTarget {
    /// The facility.
    pub facility: FacilityId,
    /// One device; all when absent.
    pub device: Option<DeviceId>,
    /// One metric; all when absent.
    pub metric: Option<Metric>,
    /// One rule; all when absent.
    pub rule: Option<RuleId>,
}

/// What becomes of a breach that stands when its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// It is told at once: somebody asked for silence until then.
    Told,
    /// Its time begins anew: the work that was done explains what was before.
    Anew,
}

/// Something set aside from one moment until another. Rules that [`crate::Rule::can_be_shelved`] refuses are never
/// among it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// What.
    pub target: MuteTarget,
    /// The first moment, in log time.
    pub from: UtcMillis,
    /// The first moment at which it is over.
    pub until: UtcMillis,
    /// What then becomes of a breach that still stands.
    pub resume: Resume,
}

/// The mutes that a judge knows.
#[derive(Debug, Default)]
pub(super) struct Mutes {
    list: Vec<Mute>,
    /// Beginnings and ends up to here have been heeded.
    passed: UtcMillis,
    timer: Option<i64>,
}

impl MuteTarget {
    fn covers(&self, watched: &Watched, rule: &RuleId) -> bool {
        let key = &watched.key;
        self.facility == key.facility
            && self.device.as_ref().is_none_or(|d| *d == key.device)
            && self.metric.as_ref().is_none_or(|m| *m == key.metric)
            && self.rule.as_ref().is_none_or(|r| r == rule)
    }
}

impl Mute {
    fn is_on(&self, at: UtcMillis) -> bool {
        self.from <= at && at < self.until
    }
}

impl Mutes {
    pub(super) fn forget_timer(&mut self) {
        self.timer = None;
    }

    /// The next beginning or end.
    fn next(&self) -> Option<UtcMillis> {
        let moments = self.list.iter().flat_map(|m| [m.from, m.until.max(m.from)]);
        moments.filter(|at| *at > self.passed).min()
    }
}

impl Judge {
    /// Replaces the list of what is set aside. What the list says of the time up to now holds at once; a breach
    /// that is no longer set aside is told, appended to `out`. To be the same in a replay, a mute must begin and
    /// end later than the log time at which it was entered.
    pub fn set_mutes(&mut self, mutes: Vec<Mute>, out: &mut Vec<Transition>) {
        let now = self.time.log_time().unwrap_or(UtcMillis(i64::MIN));
        self.mutes.list = mutes;
        self.mutes.passed = now;
        self.heed_mutes(now, None, out);
        self.set_mute_timer();
    }

    pub(super) fn take_mutes(&mut self) -> Vec<Mute> {
        std::mem::take(&mut self.mutes.list)
    }

    /// Whether a rule is set aside at a point now.
    #[must_use]
    pub fn is_muted(&self, point: PointIndex, rule: &RuleId) -> bool {
        let Some(watched) = self.points.get(point.0 as usize) else {
            return false;
        };
        self.conditions[watched.first as usize..watched.end as usize]
            .iter()
            .any(|c| c.muted && self.rules[c.rule as usize].id == *rule)
    }

    pub(super) fn set_mute_timer(&mut self) {
        if let Some(next) = self.mutes.next() {
            let due = next.0.saturating_sub(self.time.deaf_ms());
            self.timers.set(&mut self.mutes.timer, due, Target::Mutes);
        }
    }

    pub(super) fn fire_mutes(&mut self, due: i64, out: &mut Vec<Transition>) {
        if self.mutes.timer != Some(due) {
            return;
        }
        self.mutes.timer = None;
        let Some(next) = self.mutes.next() else { return };
        if next.0.saturating_sub(self.time.deaf_ms()) <= due {
            self.mutes.passed = next;
            self.heed_mutes(next, Some(next), out);
        }
        self.set_mute_timer();
    }

    /// Sets aside and takes up what the list says at `at`. `boundary`: only what begins or ends there has changed.
    fn heed_mutes(&mut self, at: UtcMillis, boundary: Option<UtcMillis>, out: &mut Vec<Transition>) {
        let list = std::mem::take(&mut self.mutes.list);
        let on: Vec<&Mute> = list.iter().filter(|m| m.is_on(at)).collect();
        let changed: Vec<&Mute> = list
            .iter()
            .filter(|m| boundary.is_none_or(|b| m.from == b || m.until == b))
            .collect();
        for point in 0..self.points.len() {
            let watched = &self.points[point];
            if boundary.is_some() && !changed.iter().any(|m| m.target.facility == watched.key.facility) {
                continue;
            }
            for number in watched.first..watched.end {
                self.heed_mutes_of(number, at, (&on, &changed), out);
            }
        }
        self.mutes.list = list;
    }

    fn heed_mutes_of(
        &mut self,
        number: u32,
        at: UtcMillis,
        (on, changed): (&[&Mute], &[&Mute]),
        out: &mut Vec<Transition>,
    ) {
        let condition = &mut self.conditions[number as usize];
        let spec = &self.specs[condition.rule as usize];
        let rule = &self.rules[condition.rule as usize].id;
        let watched = &self.points[condition.point as usize];
        let muted = spec.can_be_shelved && on.iter().any(|m| m.target.covers(watched, rule));
        if muted {
            self.revision += u64::from(!condition.muted);
            condition.muted = true;
            return;
        }
        if !condition.muted && condition.phase.state() != super::ConditionState::Shelved {
            return;
        }
        self.revision += 1;
        let asked_for = changed
            .iter()
            .any(|m| m.resume == Resume::Told && m.until == at && m.target.covers(watched, rule));
        let explained = changed
            .iter()
            .any(|m| m.until == at && m.target.covers(watched, rule));
        let anew = explained && !asked_for && !spec.test.is_silence();
        if let Some(step) = condition.resume(spec, at, anew) {
            self.note(number, step, out);
        }
        self.set_timer(number);
    }
}
