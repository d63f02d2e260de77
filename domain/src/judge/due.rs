//! What happens when nothing is heard: timers that are set, that fire, and that turn out to be early.

use super::{
    Judge, MISSING_GRACE_MS, NO_TRACK, RESUME_GRACE_MS, Transition,
    condition::Test,
    timers::Target,
    track::{Track, TrackSpec},
};
use crate::time::UtcMillis;

impl Judge {
    pub(super) fn fire(&mut self, target: Target, due: i64, out: &mut Vec<Transition>) {
        match target {
            Target::Watch(point) => self.fire_watch(point, due, out),
            Target::Mutes => self.fire_mutes(due, out),
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
                // It was put off meanwhile. Even when that moment has passed too it takes its place in the order
                // of moments, as it would have done had there been a tick in between.
                if actual > due {
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
        let turn = match &spec.test {
            Test::Value(_) | Test::Band(_) => None,
            Test::Tracked(_) => self.turn_due(number),
            Test::Silence { .. } => {
                let heard_at = self.points[condition.point as usize].heard_at;
                // Too long is one millisecond more than is allowed: the case names what is allowed.
                let step = condition.begin_silence(heard_at, self.time.log_time_of(deadline - 1));
                if let Some(step) = step {
                    self.note(number, step, out);
                }
                return;
            }
        };
        let condition = &mut self.conditions[number as usize];
        let spec = &self.specs[condition.rule as usize];
        let hold_over = condition.phase.due(spec);
        match turn {
            Some(turn) if hold_over.is_none_or(|hold| turn < hold) => self.turn(number, turn, out),
            _ => {
                if let Some(step) = condition.on_hold_over(spec) {
                    self.note(number, step, out);
                }
            }
        }
        self.set_timer(number);
    }

    /// Sets the timer of a condition that has something to wait for.
    pub(super) fn set_timer(&mut self, number: u32) {
        if let Some(due) = self.deadline(number) {
            let condition = &mut self.conditions[number as usize];
            self.timers
                .set(&mut condition.timer, due, Target::Condition(number));
        }
    }

    /// When a condition's memory changes what it says by itself, in event time.
    pub(super) fn turn_due(&self, number: u32) -> Option<UtcMillis> {
        let condition = &self.conditions[number as usize];
        if condition.track == NO_TRACK {
            return None;
        }
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return None;
        };
        match (&self.tracks[condition.track as usize], &**spec) {
            (Track::Joint(joint), TrackSpec::Joint(spec)) => self.parting(number, joint, spec),
            (track, spec) => track.due(spec, self.points[condition.point as usize].silent_after_ms),
        }
    }

    /// That moment has come.
    pub(super) fn turn(&mut self, number: u32, due: UtcMillis, out: &mut Vec<Transition>) {
        let condition = &self.conditions[number as usize];
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return;
        };
        let said = match &mut self.tracks[condition.track as usize] {
            Track::Joint(joint) => joint.part(due),
            track => track.on_due(spec, &self.zone, due),
        };
        self.heed(number, said, out);
    }

    /// The listening time at which something happens to a condition if nothing is heard until then.
    pub(super) fn deadline(&self, number: u32) -> Option<i64> {
        let condition = &self.conditions[number as usize];
        let spec = &self.specs[condition.rule as usize];
        let watched = &self.points[condition.point as usize];
        match &spec.test {
            Test::Value(_) | Test::Band(_) => condition
                .phase
                .due(spec)
                .map(|due| due.0.saturating_add(watched.offset_ms)),
            Test::Tracked(_) => {
                let hold = condition.phase.due(spec);
                let due = match (hold, self.turn_due(number)) {
                    (Some(hold), Some(turn)) => hold.min(turn),
                    (hold, turn) => hold.or(turn)?,
                };
                Some(match &self.tracks[condition.track as usize] {
                    Track::Joint(joint) => due.0.saturating_add(joint.offset_ms),
                    Track::Missing(_) => self.reckoning(due),
                    _ => due.0.saturating_add(watched.offset_ms),
                })
            }
            Test::Silence { intervals } => {
                let allowed = i64::from(*intervals) * watched.interval_ms + spec.hold_ms;
                let heard = watched
                    .heard
                    .filter(|_| condition.phase == super::Phase::Normal)?;
                Some(heard.saturating_add(allowed + 1))
            }
        }
    }

    /// The listening time at which what was due by `due`, by the clock, is called missing.
    fn reckoning(&self, due: UtcMillis) -> i64 {
        let by_clock = due
            .0
            .saturating_sub(self.time.deaf_ms())
            .saturating_add(MISSING_GRACE_MS);
        match self.time.resumed() {
            Some(resumed) => by_clock.max(resumed.saturating_add(RESUME_GRACE_MS)),
            None => by_clock,
        }
    }

    /// The product was down, and the clock went on: what goes by the clock comes sooner now.
    pub(super) fn watch_the_clock(&mut self) {
        for index in 0..self.by_day.len() {
            self.set_timer(self.by_day[index]);
        }
        self.set_mute_timer();
    }

    fn fire_watch(&mut self, point: u32, due: i64, out: &mut Vec<Transition>) {
        let watched = &mut self.points[point as usize];
        if watched.timer != Some(due) {
            return;
        }
        watched.timer = None;
        let Some(actual) = watched.silent_at() else { return };
        if actual > due {
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
            if self.specs[condition.rule as usize].safety_needs_values() {
                condition.forget_safety();
            }
        }
        self.leave_groups(point, self.time.log_time_of(due - 1), out);
    }

    /// The first event of the log: from here on every registered point is due.
    pub(super) fn begin(&mut self) {
        let now = self.time.now();
        let log_time = self.time.log_time().unwrap_or_default();
        for watched in &mut self.points {
            if watched.heard.is_none() {
                watched.heard = Some(now);
                watched.heard_at = log_time;
            }
        }
        for index in 0..self.by_day.len() {
            self.arm(self.by_day[index], log_time);
        }
        self.rebuild_timers();
    }

    /// Lets a condition wait for its first time of day, unless it does.
    pub(super) fn arm(&mut self, number: u32, from: UtcMillis) {
        let condition = &self.conditions[number as usize];
        let Test::Tracked(spec) = &self.specs[condition.rule as usize].test else {
            return;
        };
        if let (Track::Missing(memory), TrackSpec::Missing(spec)) =
            (&mut self.tracks[condition.track as usize], &**spec)
        {
            memory.arm(spec, &self.zone, from);
        }
    }

    /// Sets the timers by which the silence of a point that speaks will be noticed.
    pub(super) fn watch(&mut self, point: u32) {
        let watched = &mut self.points[point as usize];
        let Some(due) = watched.silent_at() else { return };
        let (first, end) = (watched.first, watched.end);
        self.timers.set(&mut watched.timer, due, Target::Watch(point));
        for number in first..end {
            self.set_timer(number);
        }
    }

    /// Drops void timers once they outnumber what can be live, so that the heap stays bounded.
    pub(super) fn bound_timers(&mut self) {
        if self.timers.len() > 1024 + 4 * (self.conditions.len() + self.points.len()) {
            self.rebuild_timers();
        }
    }

    pub(super) fn rebuild_timers(&mut self) {
        self.timers.clear();
        for condition in &mut self.conditions {
            condition.timer = None;
        }
        for watched in &mut self.points {
            watched.timer = None;
        }
        self.mutes.forget_timer();
        for point in 0..u32::try_from(self.points.len()).expect("points are numbered in 32 bits") {
            self.watch(point);
        }
        self.set_mute_timer();
    }
}
