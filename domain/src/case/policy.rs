//! By when what has to be done about a case, and how cases of a class are closed. The numbers are defaults that an
//! operator changes; none of them stands in a law that we have read.
//!
//! The classes follow the practice of Hubei's food-safety platform, known from a secondary source only: class 1 at
//! once, class 2 by a deadline, class 3 in the day's routine; a yellow card after five days overdue.

use serde::{Deserialize, Serialize};

use super::{Case, timer::LAST_LEVEL};
use crate::rule::Severity;

/// A minute, an hour and a day in milliseconds.
pub const MINUTE_MS: i64 = 60_000;
/// An hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// How a case of a class is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closing {
    /// Somebody else has to verify, with a picture of the fix.
    Verified,
    /// Whoever puts it right may close it with a word (现场整改).
    OnTheSpot,
}

/// A card for being overdue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Card {
    /// None.
    #[default]
    None,
    /// Yellow (黄牌).
    Yellow,
    /// Red (红牌).
    Red,
}

impl Card {
    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Card::None => "none",
            Card::Yellow => "yellow",
            Card::Red => "red",
        }
    }

    /// Reads [`Card::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Card> {
        [Card::None, Card::Yellow, Card::Red]
            .into_iter()
            .find(|card| card.code() == code)
    }
}

/// What is asked for cases of one severity. All times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// By when it must be taken up.
    pub acknowledge_ms: i64,
    /// By when it must be put right, from when it was taken up or sent back.
    pub fix_ms: i64,
    /// By when somebody must look, from when it was said to be put right.
    pub verify_ms: i64,
    /// How often whoever was told is reminded until it is taken up.
    pub remind_ms: i64,
    /// How long each step of the ladder has before the next one is told.
    pub step_ms: i64,
    /// The last step that hears of it at once: 0 the facility's duty alone, 1 its head too.
    pub first_level: u8,
    /// The step that hears as soon as it was not taken up in time; one further each `step_ms`.
    pub unanswered_level: u8,
    /// Its class: 1 at once, 2 by a deadline, 3 in the day's routine.
    pub class: u8,
}

/// The whole policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CasePolicy {
    /// Terms by severity, P0 first.
    pub terms: [Terms; 5],
    /// By when an emergency call must be answered, where that is earlier than its severity's own deadline; when it
    /// passes, the next step of the ladder hears at once. A minute is our own judgement: no clause says so.
    pub answer_ms: i64,
    /// How classes 1, 2 and 3 are closed.
    pub closing: [Closing; 3],
    /// How long the fix may be overdue before a yellow card.
    pub yellow_ms: i64,
    /// How long the fix may be overdue before a red card.
    pub red_ms: i64,
    /// A case of the same rule and point that was closed at most this long ago is named as the one that recurs.
    pub recurrence_ms: i64,
    /// A silence that begins within this time of another one in the same facility belongs to the same trouble.
    pub fold_ms: i64,
    /// A case about something that happened this long ago is told in a digest, not as an alarm.
    pub late_ms: i64,
}

impl CasePolicy {
    /// What is asked of a case of `severity`.
    #[must_use]
    pub const fn terms(&self, severity: Severity) -> &Terms {
        &self.terms[severity as usize]
    }

    /// What is asked of `case`: an emergency call presses more than its severity alone.
    #[must_use]
    pub fn terms_of(&self, case: &Case) -> Terms {
        let terms = *self.terms(case.severity);
        if !case.is_call() {
            return terms;
        }
        Terms {
            acknowledge_ms: terms.acknowledge_ms.min(self.answer_ms),
            unanswered_level: (terms.first_level + 1).min(LAST_LEVEL),
            ..terms
        }
    }

    /// How a case of `severity` is closed.
    #[must_use]
    pub fn closing(&self, severity: Severity) -> Closing {
        let class = usize::from(self.terms(severity).class.clamp(1, 3));
        self.closing[class - 1]
    }
}

impl Default for CasePolicy {
    fn default() -> CasePolicy {
        let terms = |[acknowledge, fix, verify, remind, step]: [i64; 5], first_level, class| Terms {
            acknowledge_ms: acknowledge,
            fix_ms: fix,
            verify_ms: verify,
            remind_ms: remind,
            step_ms: step,
            first_level,
            unanswered_level: 1,
            class,
        };
        CasePolicy {
            terms: [
                terms(
                    [2 * MINUTE_MS, 4 * HOUR_MS, DAY_MS, 2 * MINUTE_MS, 3 * MINUTE_MS],
                    1,
                    1,
                ),
                terms(
                    [10 * MINUTE_MS, DAY_MS, DAY_MS, 10 * MINUTE_MS, 20 * MINUTE_MS],
                    0,
                    1,
                ),
                terms([4 * HOUR_MS, 3 * DAY_MS, 3 * DAY_MS, HOUR_MS, 4 * HOUR_MS], 0, 2),
                terms([DAY_MS, 7 * DAY_MS, 7 * DAY_MS, DAY_MS, 2 * DAY_MS], 0, 3),
                terms(
                    [3 * DAY_MS, 30 * DAY_MS, 30 * DAY_MS, 3 * DAY_MS, 7 * DAY_MS],
                    0,
                    3,
                ),
            ],
            answer_ms: MINUTE_MS,
            closing: [Closing::Verified, Closing::Verified, Closing::OnTheSpot],
            yellow_ms: 5 * DAY_MS,
            red_ms: 10 * DAY_MS,
            recurrence_ms: 30 * DAY_MS,
            fold_ms: 15 * MINUTE_MS,
            late_ms: 6 * HOUR_MS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worse_presses_more() {
        let policy = CasePolicy::default();
        for pair in policy.terms.windows(2) {
            let [worse, milder] = pair else {
                unreachable!("windows of two")
            };
            assert!(worse.acknowledge_ms < milder.acknowledge_ms);
            assert!(worse.fix_ms <= milder.fix_ms && worse.step_ms < milder.step_ms);
            assert!(worse.class <= milder.class && worse.first_level >= milder.first_level);
        }
        assert_eq!(policy.closing(Severity::P1), Closing::Verified);
        assert_eq!(policy.closing(Severity::P3), Closing::OnTheSpot);
        for card in [Card::None, Card::Yellow, Card::Red] {
            assert_eq!(Card::parse(card.code()), Some(card));
        }
    }
}
