//! One condition: a rule at a point, and the steps it takes.

use serde::{Deserialize, Serialize};

use super::{
    ConditionState,
    track::{Track, TrackSpec},
};
use crate::{
    rule::{Comparison, Rule, RuleKind},
    time::UtcMillis,
};

/// Before every moment.
pub(super) const NEVER: UtcMillis = UtcMillis(i64::MIN);

/// The number of a condition that remembers nothing but its phase.
pub(super) const NO_TRACK: u32 = u32::MAX;

/// What judging needs of a rule, close together in memory.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) test: Test,
    pub(super) hold_ms: i64,
    pub(super) clear_hold_ms: i64,
    /// Whether people may set it aside.
    pub(super) can_be_shelved: bool,
}

/// What a rule looks at.
#[derive(Debug)]
pub(super) enum Test {
    /// One value alone.
    Value(Limits),
    /// One value alone, on both sides.
    Band(Band),
    /// What was before, or elsewhere, too.
    Tracked(Box<TrackSpec>),
    /// The lack of values, for so many report intervals.
    Silence { intervals: u32 },
}

/// Where a value is in breach, and where it is safe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    op: Comparison,
    pub(super) limit: f64,
    clear_op: Comparison,
    clear_limit: f64,
}

/// The same on two sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Band {
    low: f64,
    high: f64,
    clear_low: f64,
    clear_high: f64,
}

/// What one value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Breach,
    Between,
    #[default]
    Safe,
}

/// Where a condition stands. Times are event times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Phase {
    #[default]
    Normal,
    Pending {
        since: UtcMillis,
    },
    Active {
        since: UtcMillis,
        /// When it became safe, if it is.
        safe_since: Option<UtcMillis>,
        /// It came to be while it was set aside, and nobody was told.
        #[serde(default, skip_serializing_if = "is_false")]
        untold: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A condition's step from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: ConditionState,
    pub(super) to: ConditionState,
    pub(super) since: UtcMillis,
    pub(super) at: UtcMillis,
}

#[derive(Debug)]
pub(super) struct Condition {
    pub(super) rule: u32,
    pub(super) point: u32,
    pub(super) phase: Phase,
    /// When the latest breach began: the next one begins later, so that `since` names a breach.
    pub(super) last_since: UtcMillis,
    /// When its live timer is due, in listening time.
    pub(super) timer: Option<i64>,
    /// Its place in [`super::Judge::tracks`], or [`NO_TRACK`].
    pub(super) track: u32,
    /// Set aside for a while: it goes on as ever, and tells nobody.
    pub(super) muted: bool,
}

impl Spec {
    pub(super) fn of(rule: &Rule) -> Spec {
        let test = match &rule.kind {
            RuleKind::Threshold {
                op,
                limit,
                clear_op,
                clear_limit,
            } => Test::Value(Limits::new(*op, *limit, *clear_op, *clear_limit)),
            RuleKind::Range {
                low,
                high,
                clear_low,
                clear_high,
            } => Test::Band(Band {
                low: *low,
                high: *high,
                clear_low: *clear_low,
                clear_high: *clear_high,
            }),
            // The limit shown is 1, "yes"; half-way values cannot come from a true or false.
            RuleKind::Boolean => Test::Value(Limits::one_sided(Comparison::AtLeast, 1.0)),
            RuleKind::NoData { intervals } => Test::Silence {
                intervals: *intervals,
            },
            kind => Test::Tracked(Box::new(
                TrackSpec::of(kind).expect("every other kind has a memory"),
            )),
        };
        Spec {
            test,
            hold_ms: rule.hold_ms.max(0),
            clear_hold_ms: rule.clear_hold_ms.max(0),
            can_be_shelved: rule.can_be_shelved(),
        }
    }

    /// Whether safety is something that values must go on showing.
    pub(super) fn safety_needs_values(&self) -> bool {
        match &self.test {
            Test::Value(_) | Test::Band(_) => true,
            Test::Tracked(spec) => spec.safety_needs_values(),
            Test::Silence { .. } => false,
        }
    }

    /// What was found, and what it is compared with.
    pub(super) fn shown(&self, track: Option<&Track>, latest: Option<f64>) -> (Option<f64>, Option<f64>) {
        match &self.test {
            Test::Value(limits) => (latest, Some(limits.limit)),
            Test::Band(band) => (latest, latest.map(|value| band.nearest(value))),
            Test::Tracked(spec) => track.map_or((None, None), |track| track.shown(spec, latest)),
            Test::Silence { .. } => (None, None),
        }
    }
}

impl Test {
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Test::Silence { .. })
    }
}

impl Band {
    #[inline]
    pub(super) fn verdict(&self, value: f64) -> Verdict {
        if value < self.low || value > self.high {
            Verdict::Breach
        } else if value >= self.clear_low && value <= self.clear_high {
            Verdict::Safe
        } else {
            Verdict::Between
        }
    }

    /// The end that a value broke, or lies closer to.
    fn nearest(&self, value: f64) -> f64 {
        if value - self.low < self.high - value {
            self.low
        } else {
            self.high
        }
    }
}

impl Limits {
    pub(super) fn new(op: Comparison, limit: f64, clear_op: Comparison, clear_limit: f64) -> Limits {
        Limits {
            op,
            limit,
            clear_op,
            clear_limit,
        }
    }

    /// In breach on one side of the limit, safe on the other.
    pub(super) fn one_sided(op: Comparison, limit: f64) -> Limits {
        let clear_op = match op {
            Comparison::Above => Comparison::AtMost,
            Comparison::AtLeast => Comparison::Below,
            Comparison::Below => Comparison::AtLeast,
            Comparison::AtMost => Comparison::Above,
        };
        Limits::new(op, limit, clear_op, limit)
    }

    #[inline]
    pub(super) fn verdict(&self, value: f64) -> Verdict {
        if self.op.holds(value, self.limit) {
            Verdict::Breach
        } else if self.clear_op.holds(value, self.clear_limit) {
            Verdict::Safe
        } else {
            Verdict::Between
        }
    }
}

impl Phase {
    pub(super) fn state(self) -> ConditionState {
        match self {
            Phase::Normal => ConditionState::Normal,
            Phase::Pending { .. } => ConditionState::Pending,
            Phase::Active { untold: true, .. } => ConditionState::Shelved,
            Phase::Active { .. } => ConditionState::Active,
        }
    }

    pub(super) fn since(self) -> Option<UtcMillis> {
        match self {
            Phase::Normal => None,
            Phase::Pending { since } | Phase::Active { since, .. } => Some(since),
        }
    }

    /// The event time at which this phase ends if nothing else is measured.
    pub(super) fn due(self, spec: &Spec) -> Option<UtcMillis> {
        match self {
            Phase::Pending { since } => Some(since + spec.hold_ms),
            Phase::Active {
                safe_since: Some(safe),
                ..
            } => Some(safe + spec.clear_hold_ms),
            Phase::Normal | Phase::Active { safe_since: None, .. } => None,
        }
    }
}

impl Condition {
    pub(super) fn new(rule: u32, point: u32) -> Condition {
        Condition {
            rule,
            point,
            phase: Phase::Normal,
            last_since: NEVER,
            timer: None,
            track: NO_TRACK,
            muted: false,
        }
    }

    /// What is shown of it.
    pub(super) fn state(&self) -> ConditionState {
        match self.phase {
            Phase::Normal => ConditionState::Normal,
            _ if self.muted => ConditionState::Shelved,
            phase => phase.state(),
        }
    }

    /// A value was measured at `at`, no earlier than any judged before.
    #[inline]
    pub(super) fn on_value(&mut self, spec: &Spec, verdict: Verdict, at: UtcMillis) -> Option<Step> {
        match (self.phase, verdict) {
            (Phase::Normal, Verdict::Between | Verdict::Safe) => None,
            (Phase::Normal, Verdict::Breach) => Some(self.begin(spec, at)),
            (Phase::Pending { since }, Verdict::Breach) => {
                (at >= since + spec.hold_ms).then(|| self.activate(spec, since))
            }
            (Phase::Pending { since }, Verdict::Between | Verdict::Safe) => {
                Some(self.step(Phase::Normal, ConditionState::Normal, since, at))
            }
            (Phase::Active { .. }, Verdict::Breach | Verdict::Between) => {
                self.forget_safety();
                None
            }
            (
                Phase::Active {
                    since,
                    safe_since,
                    untold,
                },
                Verdict::Safe,
            ) => {
                let safe = safe_since.unwrap_or(at);
                self.phase = Phase::Active {
                    since,
                    safe_since: Some(safe),
                    untold,
                };
                (at >= safe + spec.clear_hold_ms).then(|| self.clear(since, safe + spec.clear_hold_ms))
            }
        }
    }

    /// Nothing else was measured until the phase's due time.
    pub(super) fn on_hold_over(&mut self, spec: &Spec) -> Option<Step> {
        match self.phase {
            Phase::Pending { since } => Some(self.activate(spec, since)),
            Phase::Active {
                since,
                safe_since: Some(safe),
                ..
            } => Some(self.clear(since, safe + spec.clear_hold_ms)),
            Phase::Normal | Phase::Active { safe_since: None, .. } => None,
        }
    }

    /// One measurement was bad: a breach that begins and ends with it, and bears its moment whatever came before.
    pub(super) fn event(&mut self, at: UtcMillis) -> [Step; 2] {
        let begun = self.become_active(at, at);
        [begun, self.clear(at, at)]
    }

    /// The point was last heard at `heard`, and silent for too long at `at`.
    pub(super) fn begin_silence(&mut self, heard: UtcMillis, at: UtcMillis) -> Option<Step> {
        if self.phase != Phase::Normal {
            return None;
        }
        let since = self.name_breach(heard);
        Some(self.become_active(since, at))
    }

    /// The point speaks again.
    pub(super) fn end_silence(&mut self, at: UtcMillis) -> Option<Step> {
        self.phase.since().map(|since| self.clear(since, at))
    }

    /// Safety must be shown anew.
    pub(super) fn forget_safety(&mut self) {
        if let Phase::Active { safe_since, .. } = &mut self.phase {
            *safe_since = None;
        }
    }

    /// Whether a breach that begins at `at` or later could bear the name of the latest one.
    pub(super) fn could_recur(&self, at: UtcMillis) -> bool {
        self.last_since > NEVER && self.last_since >= at
    }

    fn begin(&mut self, spec: &Spec, at: UtcMillis) -> Step {
        let since = self.name_breach(at);
        if spec.hold_ms == 0 {
            return self.activate(spec, since);
        }
        self.step(Phase::Pending { since }, ConditionState::Pending, since, since)
    }

    fn activate(&mut self, spec: &Spec, since: UtcMillis) -> Step {
        self.become_active(since, since + spec.hold_ms)
    }

    /// People are told, unless it is set aside: then it stands all the same, and waits.
    fn become_active(&mut self, since: UtcMillis, at: UtcMillis) -> Step {
        let phase = Phase::Active {
            since,
            safe_since: None,
            untold: self.muted,
        };
        self.step(phase, phase.state(), since, at)
    }

    fn clear(&mut self, since: UtcMillis, at: UtcMillis) -> Step {
        let to = match self.phase {
            // What nobody was told of need not be told to be over.
            Phase::Active { untold: true, .. } => ConditionState::Normal,
            _ => ConditionState::Cleared,
        };
        self.step(Phase::Normal, to, since, at)
    }

    /// It was set aside until `at`, and is not any more. What stands is told now; with `anew` its time begins
    /// anew, as after a defrost, which explains what was before.
    pub(super) fn resume(&mut self, spec: &Spec, at: UtcMillis, anew: bool) -> Option<Step> {
        self.muted = false;
        match self.phase {
            Phase::Active {
                untold: true,
                since,
                safe_since: None,
            } if !anew || spec.hold_ms == 0 => {
                let phase = Phase::Active {
                    since,
                    safe_since: None,
                    untold: false,
                };
                Some(self.step(phase, ConditionState::Active, since, at))
            }
            // It was safe again already, and only had to show it for longer.
            Phase::Active {
                untold: true,
                since,
                safe_since: Some(_),
            } => Some(self.step(Phase::Normal, ConditionState::Normal, since, at)),
            Phase::Active { untold: true, .. } | Phase::Pending { .. } if anew => {
                let since = self.name_breach(at);
                Some(self.step(Phase::Pending { since }, ConditionState::Pending, since, at))
            }
            Phase::Normal | Phase::Pending { .. } | Phase::Active { .. } => None,
        }
    }

    fn step(&mut self, phase: Phase, to: ConditionState, since: UtcMillis, at: UtcMillis) -> Step {
        let from = self.phase.state();
        self.phase = phase;
        Step { from, to, since, at }
    }

    /// `at`, or the next moment after the latest breach began.
    fn name_breach(&mut self, at: UtcMillis) -> UtcMillis {
        self.last_since = at.max(self.last_since + 1);
        self.last_since
    }
}
