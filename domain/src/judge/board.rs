//! Judgement for show: the worst state of every point.

use std::collections::BTreeMap;

use super::{ConditionState, Judge, Watched};
use crate::{
    id::RuleId,
    reading::SeriesKey,
    rule::{Rule, Severity},
    time::UtcMillis,
};

/// The worst state of a point over all its rules.
#[derive(Debug, Clone, PartialEq)]
pub struct PointState {
    /// Active, else Unknown, else Shelved, else Pending, else Normal. A point that only breaks a rule of silence is
    /// Unknown, with that rule's severity. So is, without a rule, one whose last reading is older than its
    /// silence may be, because the product itself was down. Never Cleared.
    pub state: ConditionState,
    /// The severity of the worst rule in that state.
    pub severity: Option<Severity>,
    /// That rule.
    pub rule: Option<RuleId>,
    /// Since when. For Unknown: when it was last heard, or registered; the epoch before the log begins.
    pub since: UtcMillis,
}

/// Judgement of every point at one moment, for show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Board {
    /// Every registered point.
    pub points: BTreeMap<SeriesKey, PointState>,
    /// The log time at which this was true.
    pub as_of: UtcMillis,
}

impl Judge {
    /// The state of every point.
    #[must_use]
    pub fn board(&self) -> Board {
        Board {
            points: self
                .points
                .iter()
                .map(|p| (p.key.clone(), self.point_state(p)))
                .collect(),
            as_of: self.time.log_time().unwrap_or_default(),
        }
    }

    /// Whether the last reading is too old to say how things are now, although nobody is to blame for it:
    /// after the product was down, for one.
    fn out_of_date(&self, watched: &Watched) -> bool {
        let now = self.time.log_time().unwrap_or_default();
        now.ms_since(watched.heard_at) > watched.silent_after_ms
    }

    fn point_state(&self, watched: &Watched) -> PointState {
        let mut worst: Option<(ConditionState, &Rule, UtcMillis)> = None;
        let mut silence: Option<&Rule> = None;
        for condition in &self.conditions[watched.first as usize..watched.end as usize] {
            let rule = &self.rules[condition.rule as usize];
            let Some(since) = condition.phase.since() else {
                continue;
            };
            let state = condition.state();
            let is_silence = self.specs[condition.rule as usize].test.is_silence();
            if is_silence && state == ConditionState::Active {
                silence = Some(silence.map_or(rule, |s| if rule.severity < s.severity { rule } else { s }));
            } else if worst.is_none_or(|(s, r, _)| state > s || (state == s && rule.severity < r.severity)) {
                worst = Some((state, rule, since));
            }
        }
        let (state, rule, since) = match worst {
            Some((ConditionState::Active, rule, since)) => (ConditionState::Active, Some(rule), since),
            _ if watched.silent || self.out_of_date(watched) => {
                (ConditionState::Unknown, silence, watched.heard_at)
            }
            Some((state, rule, since)) => (state, Some(rule), since),
            None => (ConditionState::Normal, None, watched.calm_since),
        };
        PointState {
            state,
            severity: rule.map(|r| r.severity),
            rule: rule.map(|r| r.id.clone()),
            since,
        }
    }
}
