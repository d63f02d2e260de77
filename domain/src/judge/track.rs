//! What a condition remembers of its point beyond its phase, for the kinds of rule that need a past.
//!
//! A memory says what a value means now ([`Track::on_value`]) and, where that will change by itself, when
//! ([`Track::due`]) and into what ([`Track::on_due`]). All times are event times; a value holds until the next
//! one, but never longer than `gap_ms`, because then nothing is known any more.

mod count;
mod cycle;
mod dose;
mod event;
mod joint;
mod missing;
mod rate;
mod skew;
mod stage;
mod stuck;

use serde::{Deserialize, Serialize};

use super::condition::{Limits, Verdict};
use crate::{
    rule::{Clause, Near, RuleKind},
    time::UtcMillis,
    zone::Zone,
};

pub(super) use joint::{Joint, JointSpec, Term};
pub(super) use skew::Shown;

/// A number kept as its bits, so that no text form rounds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Bits(u64);

impl Bits {
    pub(super) fn of(value: f64) -> Bits {
        Bits(value.to_bits())
    }

    pub(super) fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What one event says, in order: at most two verdicts, each with its moment.
pub(super) type Said = [Option<(Verdict, UtcMillis)>; 2];

/// Where a value stands in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: UtcMillis,
    pub(super) gap_ms: i64,
}

/// What a memory needs of its rule.
#[derive(Debug)]
pub(super) enum TrackSpec {
    Rate(rate::Spec),
    Event(event::Spec),
    Count(count::Spec),
    Dose(dose::Spec),
    Stage(stage::Spec),
    Cycle(cycle::Spec),
    Missing(missing::Spec),
    Stuck(stuck::Spec),
    Skew(skew::Spec),
    Joint(JointSpec),
}

/// A memory. Fresh ones are not kept in a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Track {
    Rate(rate::Memory),
    Event(event::Memory),
    Count(count::Memory),
    Dose(dose::Memory),
    Stage(stage::Memory),
    Cycle(cycle::Memory),
    Missing(missing::Memory),
    Stuck(stuck::Memory),
    Skew(skew::Memory),
    Joint(Joint),
}

impl TrackSpec {
    /// `None` for the kinds that look at one value alone, or at none.
    pub(super) fn of(kind: &RuleKind) -> Option<TrackSpec> {
        Some(match kind {
            RuleKind::RateOfChange {
                op,
                limit,
                clear_op,
                clear_limit,
                over_s,
            } => TrackSpec::Rate(rate::Spec {
                limits: Limits::new(*op, *limit, *clear_op, *clear_limit),
                over_ms: ms(*over_s),
            }),
            RuleKind::Event { op, limit } => TrackSpec::Event(event::Spec {
                op: *op,
                limit: *limit,
            }),
            RuleKind::Count {
                op,
                limit,
                at_least,
                within_s,
            } => TrackSpec::Count(count::Spec {
                op: *op,
                limit: *limit,
                at_least: usize::from(*at_least),
                within_ms: ms(*within_s),
            }),
            RuleKind::Dose { .. } => TrackSpec::Dose(dose::Spec::of(kind)?),
            RuleKind::Stage { from, steps } => TrackSpec::Stage(stage::Spec {
                from: *from,
                steps: steps.clone(),
            }),
            RuleKind::Cycle { begin, limit, for_s } => TrackSpec::Cycle(cycle::Spec {
                begin: *begin,
                limit: *limit,
                for_ms: ms(*for_s),
            }),
            RuleKind::Missing {
                op,
                limit,
                by,
                within_s,
            } => TrackSpec::Missing(missing::Spec {
                op: *op,
                limit: *limit,
                by: by.clone(),
                within_ms: ms(*within_s),
            }),
            RuleKind::Stuck { for_s, tolerance } => TrackSpec::Stuck(stuck::Spec {
                for_ms: ms(*for_s),
                tolerance: *tolerance,
            }),
            RuleKind::ClockSkew {
                limit_s,
                clear_s,
                for_s,
            } => TrackSpec::Skew(skew::Spec {
                limit_s: f64::from(*limit_s),
                clear_s: f64::from(*clear_s),
                for_ms: ms(*for_s),
            }),
            RuleKind::Correlation { .. } => TrackSpec::Joint(JointSpec::of(kind)?),
            RuleKind::Threshold { .. }
            | RuleKind::Range { .. }
            | RuleKind::Boolean
            | RuleKind::NoData { .. } => return None,
        })
    }

    /// The memory of somebody who has seen nothing.
    pub(super) fn fresh(&self) -> Track {
        match self {
            TrackSpec::Rate(_) => Track::Rate(rate::Memory::default()),
            TrackSpec::Event(_) => Track::Event(event::Memory::default()),
            TrackSpec::Count(_) => Track::Count(count::Memory::default()),
            TrackSpec::Dose(_) => Track::Dose(dose::Memory::default()),
            TrackSpec::Stage(_) => Track::Stage(stage::Memory::default()),
            TrackSpec::Cycle(_) => Track::Cycle(cycle::Memory::default()),
            TrackSpec::Missing(_) => Track::Missing(missing::Memory::default()),
            TrackSpec::Stuck(_) => Track::Stuck(stuck::Memory::default()),
            TrackSpec::Skew(_) => Track::Skew(skew::Memory::default()),
            TrackSpec::Joint(_) => Track::Joint(Joint::default()),
        }
    }

    /// Whether safety is something that values must go on showing. Where time alone brings it, silence of the
    /// point takes nothing back.
    pub(super) fn safety_needs_values(&self) -> bool {
        matches!(
            self,
            TrackSpec::Rate(_) | TrackSpec::Dose(_) | TrackSpec::Stuck(_)
        )
    }
}

impl Track {
    /// A value was measured. Changes that were due before it have been made.
    pub(super) fn on_value(&mut self, spec: &TrackSpec, moment: Moment, value: f64) -> Said {
        let at = moment.at;
        let verdict = match (self, spec) {
            (Track::Rate(m), TrackSpec::Rate(s)) => m.on_value(s, at, value),
            (Track::Count(m), TrackSpec::Count(s)) => m.on_value(s, at, value),
            (Track::Dose(m), TrackSpec::Dose(s)) => m.on_value(s, moment, value),
            (Track::Stage(m), TrackSpec::Stage(s)) => m.on_value(s, at, value),
            (Track::Cycle(m), TrackSpec::Cycle(s)) => m.on_value(s, moment, value),
            (Track::Stuck(m), TrackSpec::Stuck(s)) => m.on_value(s, moment, value),
            // Events and what is missing count late or not, clocks by receipt, correlations at more than one point:
            // the judge calls them itself.
            _ => return [None, None],
        };
        [Some((verdict, at)), None]
    }

    /// When what it says will change although nothing is measured.
    pub(super) fn due(&self, spec: &TrackSpec, gap_ms: i64) -> Option<UtcMillis> {
        match (self, spec) {
            (Track::Count(m), TrackSpec::Count(s)) => m.due(s),
            (Track::Dose(m), TrackSpec::Dose(s)) => m.due(s, gap_ms),
            (Track::Stage(m), TrackSpec::Stage(s)) => m.due(s, gap_ms),
            (Track::Missing(m), TrackSpec::Missing(_)) => m.next,
            _ => None,
        }
    }

    /// That moment has come.
    pub(super) fn on_due(&mut self, spec: &TrackSpec, zone: &Zone, due: UtcMillis) -> Said {
        match (self, spec) {
            (Track::Count(m), TrackSpec::Count(_)) => {
                m.drop_oldest();
                // Until now it was a breach, which may have lasted long enough.
                [Some((Verdict::Breach, due)), Some((Verdict::Safe, due))]
            }
            (Track::Dose(m), TrackSpec::Dose(_)) => {
                m.over = true;
                [Some((Verdict::Breach, due)), None]
            }
            (Track::Stage(m), TrackSpec::Stage(_)) => {
                m.late = true;
                [Some((Verdict::Breach, due)), None]
            }
            (Track::Missing(m), TrackSpec::Missing(s)) => {
                let missed = m.on_due(s, zone, due);
                [missed.then_some((Verdict::Breach, due)), None]
            }
            _ => [None, None],
        }
    }

    /// What was found, and what it is compared with; `latest` is the point's latest value.
    pub(super) fn shown(&self, spec: &TrackSpec, latest: Option<f64>) -> (Option<f64>, Option<f64>) {
        match (self, spec) {
            (Track::Rate(m), TrackSpec::Rate(s)) => (Some(m.rate.get()), Some(s.limits.limit)),
            (Track::Event(m), TrackSpec::Event(s)) => (m.shown.map(Bits::get), Some(s.limit)),
            (Track::Count(m), TrackSpec::Count(s)) => {
                (Some(number(m.occurrences())), Some(number(s.at_least)))
            }
            (Track::Dose(m), TrackSpec::Dose(s)) => (Some(m.minutes(s)), Some(s.limit_minutes())),
            (Track::Stage(m), TrackSpec::Stage(s)) => (latest, m.goal(s)),
            (Track::Cycle(m), TrackSpec::Cycle(s)) => (Some(minutes(m.best_ms)), Some(minutes(s.for_ms))),
            (Track::Skew(m), TrackSpec::Skew(s)) => (m.shown.map(Bits::get), Some(s.limit_s)),
            (Track::Stuck(_), _) => (latest, None),
            (Track::Joint(m), TrackSpec::Joint(s)) => (m.own.shown(latest), Some(s.limit)),
            _ => (None, None),
        }
    }
}

fn ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1000
}

/// A small number of things as a value.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Milliseconds in minutes, for show.
#[expect(
    clippy::cast_precision_loss,
    reason = "days in milliseconds fit a double exactly"
)]
fn minutes(ms: i64) -> f64 {
    ms as f64 / 60_000.0
}

impl JointSpec {
    pub(super) fn of(kind: &RuleKind) -> Option<JointSpec> {
        let RuleKind::Correlation {
            op,
            limit,
            over_s,
            with,
            window_s,
            near,
        } = kind
        else {
            return None;
        };
        Some(JointSpec {
            op: *op,
            limit: *limit,
            over_ms: over_s.map(ms),
            window_ms: ms(*window_s),
            clauses: with.clone(),
            near: *near,
        })
    }

    pub(super) fn near(&self) -> Near {
        self.near
    }

    pub(super) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }
}
