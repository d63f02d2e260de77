//! What happens when nothing is heard: timers that are set, that fire, and that turn out to be early.

use super::{
    Judge, Transition,
    condition::{Phase, Test},
    timers::Target,
};

impl Judge {
    pub(super) fn fire(&mut self, target: Target, due: i64, out: &mut Vec<Transition>) {
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
                due.0.saturating_add(watched.offset_ms),
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
            condition.forget_safety();
        }
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
        self.rebuild_timers();
    }

    /// Sets the timers by which the silence of a point that speaks will be noticed.
    pub(super) fn watch(&mut self, point: u32) {
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
        for point in 0..u32::try_from(self.points.len()).expect("points are numbered in 32 bits") {
            self.watch(point);
        }
    }
}
