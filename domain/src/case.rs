//! Cases (隐患): what people do about a condition. The condition is the machine's, the case is theirs.

use serde::{Deserialize, Serialize};

use crate::{
    id::{CaseId, RuleId},
    reading::SeriesKey,
    rule::Severity,
    time::UtcMillis,
};

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Nobody has taken it up yet (待签收).
    Open,
    /// Somebody has taken it up (已签收).
    Acknowledged,
    /// Done (已关闭).
    Closed,
}

impl CaseState {
    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            CaseState::Open => "open",
            CaseState::Acknowledged => "acknowledged",
            CaseState::Closed => "closed",
        }
    }

    /// Reads [`CaseState::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<CaseState> {
        [CaseState::Open, CaseState::Acknowledged, CaseState::Closed]
            .into_iter()
            .find(|s| s.code() == code)
    }
}

/// A case, with everything it rests on: rule, clause, edition, confidence and the value that raised it.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its number.
    pub id: CaseId,
    /// The rule that raised it.
    pub rule: RuleId,
    /// The rule pack's version at that time.
    pub rule_version: String,
    /// The point it is about.
    pub point: SeriesKey,
    /// How bad.
    pub severity: Severity,
    /// Where it stands.
    pub state: CaseState,
    /// When the condition began (event time).
    pub since: UtcMillis,
    /// When the condition had lasted long enough to raise the case (event time).
    pub raised_at: UtcMillis,
    /// The value that raised it, in the metric's canonical unit; `None` for silence.
    pub value: Option<f64>,
    /// The limit it broke; `None` for silence.
    pub limit: Option<f64>,
    /// When the condition cleared, if it has. A latched case stays open all the same.
    pub cleared_at: Option<UtcMillis>,
    /// Who acknowledged it, when and with what words.
    pub acknowledged: Option<Note>,
    /// Who closed it, when and with what words.
    pub closed: Option<Note>,
    /// Grows by one with every change; a change names the version it was decided on.
    pub version: i64,
}

/// Who did something to a case, when, and what they said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The person's name as they gave it.
    pub by: String,
    /// When.
    pub at: UtcMillis,
    /// What they said; may be empty.
    pub comment: String,
}

/// Tells listeners that a case is new or has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseChange {
    /// The case as it now is.
    pub case: Case,
}
