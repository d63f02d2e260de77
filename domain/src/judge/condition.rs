//! One condition: a rule at a point, and the steps it takes.

use serde::{Deserialize, Serialize};

use super::ConditionState;
use crate::{
    rule::{Comparison, Rule, RuleKind},
    time::UtcMillis,
};

/// Before every moment.
const NEVER: UtcMillis = UtcMillis(i64::MIN);

/// What judging needs of a rule, close together in memory.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) test: Test,
    pub(super) hold_ms: i64,
    pub(super) clear_hold_ms: i64,
}

/// What a rule looks at.
#[derive(Debug)]
pub(super) enum Test {
    /// Values.
    Value(Limits),
    /// The lack of them, for so many report intervals.
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

/// What one value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Breach,
    Between,
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
    },
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
}

impl Spec {
    pub(super) fn of(rule: &Rule) -> Spec {
        let test = match rule.kind {
            RuleKind::Threshold {
                op,
                limit,
                clear_op,
                clear_limit,
            } => Test::Value(Limits {
                op,
                limit,
                clear_op,
                clear_limit,
            }),
            // The limit shown is 1, "yes"; half-way values cannot come from a true or false.
            RuleKind::Boolean => Test::Value(Limits {
                op: Comparison::AtLeast,
                limit: 1.0,
                clear_op: Comparison::Below,
                clear_limit: 1.0,
            }),
            RuleKind::NoData { intervals } => Test::Silence { intervals },
        };
        Spec {
            test,
            hold_ms: rule.hold_ms.max(0),
            clear_hold_ms: rule.clear_hold_ms.max(0),
        }
    }
}

impl Test {
    pub(super) fn limits(&self) -> Option<Limits> {
        match self {
            Test::Value(limits) => Some(*limits),
            Test::Silence { .. } => None,
        }
    }
}

impl Limits {
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
            (Phase::Active { since, safe_since }, Verdict::Safe) => {
                let safe = safe_since.unwrap_or(at);
                self.phase = Phase::Active {
                    since,
                    safe_since: Some(safe),
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
            } => Some(self.clear(since, safe + spec.clear_hold_ms)),
            Phase::Normal | Phase::Active { safe_since: None, .. } => None,
        }
    }

    /// The point was last heard at `heard`, and silent for too long at `at`.
    pub(super) fn begin_silence(&mut self, heard: UtcMillis, at: UtcMillis) -> Option<Step> {
        if self.phase != Phase::Normal {
            return None;
        }
        let since = self.name_breach(heard);
        let phase = Phase::Active {
            since,
            safe_since: None,
        };
        Some(self.step(phase, ConditionState::Active, since, at))
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
        let phase = Phase::Active {
            since,
            safe_since: None,
        };
        self.step(phase, ConditionState::Active, since, since + spec.hold_ms)
    }

    fn clear(&mut self, since: UtcMillis, at: UtcMillis) -> Step {
        self.step(Phase::Normal, ConditionState::Cleared, since, at)
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
