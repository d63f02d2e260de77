//! Cases (隐患): what people do about a condition. The condition is the machine's, the case is theirs.
//!
//! ```text
//! Open ─▶ Acknowledged ─▶ Rectifying ─▶ Submitted ─▶ Verified ─▶ Closed
//!                            ▲   ▲          │
//!                            │   └─ Rejected ◀┘  (a further round)
//!                            └── Disputed ──▶ Closed (withdrawn)
//! ```
//!
//! [`machine`] says who may do what in which state, [`policy`] by when, [`timer`] what happens when nobody does,
//! [`cause`] which conditions are one and the same trouble.

pub mod cause;
pub mod course;
pub mod machine;
pub mod picture;
pub mod policy;
pub mod timer;

use serde::{Deserialize, Serialize};

use crate::{
    id::{CaseId, RuleId},
    reading::SeriesKey,
    rule::Severity,
    time::UtcMillis,
};

pub use machine::{Act, Plan, Proof};
pub use picture::PictureId;
pub use policy::{Card, CasePolicy};

/// The metric of emergency buttons and bracelets.
pub const CALL_METRIC: &str = "sos";

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseState {
    /// Nobody has taken it up yet (待签收).
    Open,
    /// Somebody has taken it up (已签收).
    Acknowledged,
    /// It is being put right (整改中).
    Rectifying,
    /// Said to be put right; somebody else has to look (待核验).
    Submitted,
    /// Somebody looked and was not satisfied (已退回).
    Rejected,
    /// Somebody says that there is nothing to put right; an inspector decides (申诉中).
    Disputed,
    /// Somebody else looked and was satisfied, but the machine is not yet: the condition lasts (已核验).
    Verified,
    /// Done (已关闭).
    Closed,
}

impl CaseState {
    /// Every state, in the order in which a case usually goes through them.
    pub const ALL: [CaseState; 8] = [
        CaseState::Open,
        CaseState::Acknowledged,
        CaseState::Rectifying,
        CaseState::Submitted,
        CaseState::Rejected,
        CaseState::Disputed,
        CaseState::Verified,
        CaseState::Closed,
    ];

    /// Every state in which something is still to be done.
    pub const UNFINISHED: [CaseState; 7] = [
        CaseState::Open,
        CaseState::Acknowledged,
        CaseState::Rectifying,
        CaseState::Submitted,
        CaseState::Rejected,
        CaseState::Disputed,
        CaseState::Verified,
    ];

    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            CaseState::Open => "open",
            CaseState::Acknowledged => "acknowledged",
            CaseState::Rectifying => "rectifying",
            CaseState::Submitted => "submitted",
            CaseState::Rejected => "rejected",
            CaseState::Disputed => "disputed",
            CaseState::Verified => "verified",
            CaseState::Closed => "closed",
        }
    }

    /// Reads [`CaseState::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<CaseState> {
        CaseState::ALL.into_iter().find(|s| s.code() == code)
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
    /// How far people have come with it, and what presses.
    pub handling: Handling,
    /// Grows by one with every change; a change names the version it was decided on.
    pub version: i64,
}

impl Case {
    /// Whether it is an emergency call: somebody pressed a button and waits for an answer. That such a button says
    /// nothing is no call.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.point.metric.as_str() == CALL_METRIC && self.severity == Severity::P0
    }

    /// Since when a call waits for its answer; `None` for any other case, and after the answer.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<UtcMillis> {
        let waits = self.is_call() && self.state == CaseState::Open;
        waits.then(|| self.handling.entered_at.unwrap_or(self.raised_at))
    }

    /// Whether this case is only a part of another one's trouble: whoever deals with that one deals with this.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.handling.folded_into.is_some()
    }
}

/// How far people have come with a case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handling {
    /// When the case entered its state, by the record store's clock; `None` for a case of an earlier version.
    pub entered_at: Option<UtcMillis>,
    /// By when the next act is due; `None` when nothing is.
    pub due_at: Option<UtcMillis>,
    /// When the next reminder or escalation is due; `None` when none is to come.
    pub next_at: Option<UtcMillis>,
    /// How long an emergency call waited until somebody answered it, in milliseconds.
    pub answered_ms: Option<i64>,
    /// The last step of the ladder that has been told of this state: 0 the facility's duty, 3 the district.
    pub level: u8,
    /// Reminders sent in this state.
    pub reminders: u32,
    /// Whether it carries a card for being overdue.
    pub card: Card,
    /// How often it was sent back.
    pub round: u32,
    /// What is being done about it; empty before somebody said so.
    pub measure: String,
    /// Who is responsible for that; empty before somebody said so.
    pub responsible: String,
    /// Who began to put it right.
    pub begun_by: Option<String>,
    /// Who said that it is put right.
    pub submitted_by: Option<String>,
    /// Who disputes it.
    pub disputed_by: Option<String>,
    /// A picture of how it was.
    pub before: Option<PictureId>,
    /// A picture of how it is now.
    pub after: Option<PictureId>,
    /// An earlier case of the same rule and point, closed not long before.
    pub recurs: Option<CaseId>,
    /// The case whose trouble this one is a part of.
    pub folded_into: Option<CaseId>,
    /// How many cases are a part of this one's trouble.
    pub folded: u32,
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
