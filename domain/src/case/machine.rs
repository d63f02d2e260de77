//! Who may do what to a case in which state: one table, and the reasons why something is refused.

use super::{CaseState, Note, PictureId, policy::Closing};
use crate::time::UtcMillis;

/// What somebody wants to do to a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Take it up (签收).
    Acknowledge,
    /// Begin to put it right (整改).
    Begin(Plan),
    /// Say that it is put right, and ask for somebody to look (提交核验).
    Submit(Proof),
    /// Having looked: it is put right (核验通过).
    Verify,
    /// Having looked: it is not (退回).
    Reject,
    /// Say that there is nothing to put right (申诉).
    Dispute,
    /// Decide on a dispute: the case stands, and is to be put right (维持).
    Uphold,
    /// Decide on a dispute: there was nothing to put right; the case is closed (撤销).
    Withdraw,
    /// Close it.
    Close,
}

/// How a case is to be put right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What is being done; may be empty.
    pub measure: String,
    /// Who is responsible; whoever begins, when empty.
    pub responsible: String,
    /// By when, where that is earlier than the policy's deadline. A later moment counts as the deadline.
    pub due_at: Option<UtcMillis>,
    /// How it looks before.
    pub before: Option<PictureId>,
}

/// What shows that a case is put right. The words stand in the act's note.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// How it looks now.
    pub after: Option<PictureId>,
}

/// Whose part an act is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The facility's: whoever has to put it right.
    Facility,
    /// The inspector's: whoever has to look whether it is.
    Inspector,
    /// Anybody's who may see the case.
    Either,
}

/// Why an act is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not in this state.
    #[error("the case is {}; this cannot be done to it now", .0.code())]
    State(CaseState),
    /// The case is a part of another one.
    #[error("the case is a part of another one; act on that one, and this one follows")]
    Folded,
    /// Whoever put it right may not say that it is.
    #[error("nobody verifies their own fix: somebody else has to look")]
    OwnFix,
    /// Whoever disputes may not decide.
    #[error("nobody decides on their own dispute: somebody else has to")]
    OwnDispute,
    /// It has to be put right and verified first.
    #[error(
        "a case of this class is closed by verification only: begin, submit, and let somebody else verify"
    )]
    NeedsVerification,
    /// A picture of how it is now is missing.
    #[error("a picture that shows it put right is missing; add one (JPEG)")]
    NeedsPicture,
    /// Words are missing.
    #[error("words are missing: say what was found or done")]
    NeedsWords,
    /// An emergency call would end without a word.
    #[error("an emergency call is not closed without a note: say who went there and what was found")]
    NeedsAnswer,
}

/// What the table needs to know of a case.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Where the case stands.
    pub state: CaseState,
    /// Whether its condition has cleared.
    pub cleared: bool,
    /// Whether it is a part of another one.
    pub folded: bool,
    /// Everybody who had a hand in putting it right.
    pub fixers: &'a [&'a str],
    /// Who disputes it.
    pub disputer: Option<&'a str>,
    /// How a case of its class is closed.
    pub closing: Closing,
    /// Whether it is an emergency call; see [`super::Case::is_call`].
    pub call: bool,
}

impl Act {
    /// The name in the record store, the audit trail and the addresses of forms.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Act::Acknowledge => "acknowledge",
            Act::Begin(_) => "begin",
            Act::Submit(_) => "submit",
            Act::Verify => "verify",
            Act::Reject => "reject",
            Act::Dispute => "dispute",
            Act::Uphold => "uphold",
            Act::Withdraw => "withdraw",
            Act::Close => "close",
        }
    }

    /// Reads [`Act::code`] back, without plan or proof.
    #[must_use]
    pub fn parse(code: &str) -> Option<Act> {
        Act::all().into_iter().find(|act| act.code() == code)
    }

    /// Every act, without plan or proof.
    #[must_use]
    pub fn all() -> [Act; 9] {
        [
            Act::Acknowledge,
            Act::Begin(Plan::default()),
            Act::Submit(Proof::default()),
            Act::Verify,
            Act::Reject,
            Act::Dispute,
            Act::Uphold,
            Act::Withdraw,
            Act::Close,
        ]
    }

    /// Whose part it is.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Act::Acknowledge | Act::Begin(_) | Act::Submit(_) | Act::Dispute => Part::Facility,
            Act::Verify | Act::Reject | Act::Uphold | Act::Withdraw => Part::Inspector,
            Act::Close => Part::Either,
        }
    }

    /// Where the act leads from `state`, by the table alone; `None` when it cannot be done there.
    #[must_use]
    pub const fn leads(&self, state: CaseState) -> Option<CaseState> {
        use CaseState::{Acknowledged, Closed, Disputed, Open, Rectifying, Rejected, Submitted, Verified};
        match (self, state) {
            (Act::Acknowledge, Open) => Some(Acknowledged),
            (Act::Begin(_), Acknowledged | Rejected) | (Act::Uphold, Disputed) => Some(Rectifying),
            (Act::Submit(_), Rectifying) => Some(Submitted),
            (Act::Verify, Submitted) => Some(Verified),
            (Act::Reject, Submitted) => Some(Rejected),
            (Act::Dispute, Open | Acknowledged | Rectifying | Rejected) => Some(Disputed),
            (Act::Withdraw, Disputed) | (Act::Close, Open | Acknowledged | Rectifying | Verified) => {
                Some(Closed)
            }
            _ => None,
        }
    }
}

/// Where `act` by the person of `note` leads. A verified case whose condition has cleared is closed at once.
///
/// # Errors
/// [`Refusal`], the most basic reason first.
pub fn next(case: Standing<'_>, act: &Act, note: &Note) -> Result<CaseState, Refusal> {
    let Some(to) = act.leads(case.state) else {
        return Err(Refusal::State(case.state));
    };
    if case.folded {
        return Err(Refusal::Folded);
    }
    let wordless = note.comment.trim().is_empty();
    match act {
        Act::Verify | Act::Reject if case.fixers.iter().any(|fixer| same_person(fixer, &note.by)) => {
            Err(Refusal::OwnFix)
        }
        Act::Uphold | Act::Withdraw if case.disputer.is_some_and(|who| same_person(who, &note.by)) => {
            Err(Refusal::OwnDispute)
        }
        Act::Reject | Act::Dispute | Act::Uphold | Act::Withdraw | Act::Submit(_) if wordless => {
            Err(Refusal::NeedsWords)
        }
        Act::Submit(proof) if case.closing == Closing::Verified && proof.after.is_none() => {
            Err(Refusal::NeedsPicture)
        }
        Act::Close if case.state != CaseState::Verified && case.closing == Closing::Verified => {
            Err(Refusal::NeedsVerification)
        }
        // A verification may be the last word: the machine closes what is verified once it has cleared.
        Act::Close | Act::Verify | Act::Withdraw if case.call && wordless => Err(Refusal::NeedsAnswer),
        Act::Verify if case.cleared => Ok(CaseState::Closed),
        _ => Ok(to),
    }
}

/// Where a case stands after its condition cleared: one that nobody has begun to put right is done unless it is
/// latched; a verified one is done; any other is people's.
#[must_use]
pub const fn cleared(state: CaseState, latched: bool) -> CaseState {
    match state {
        CaseState::Open | CaseState::Acknowledged if !latched => CaseState::Closed,
        CaseState::Verified => CaseState::Closed,
        other => other,
    }
}

/// Whether two names are one person's, as far as names can tell: blanks and case aside.
#[must_use]
pub fn same_person(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        name.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn note(by: &str, comment: &str) -> Note {
        Note {
            by: by.into(),
            at: UtcMillis(1),
            comment: comment.into(),
        }
    }

    fn standing(state: CaseState) -> Standing<'static> {
        Standing {
            state,
            cleared: false,
            folded: false,
            fixers: &["王芳"],
            disputer: Some("Li Lei"),
            closing: Closing::Verified,
            call: false,
        }
    }

    #[test]
    fn the_table_is_what_is_written_here_and_nothing_more() {
        let mut rows = Vec::new();
        for state in CaseState::ALL {
            for act in Act::all() {
                if let Some(to) = act.leads(state) {
                    rows.push(format!("{} {} {}", state.code(), act.code(), to.code()));
                }
            }
        }
        let want = [
            "open acknowledge acknowledged",
            "open dispute disputed",
            "open close closed",
            "acknowledged begin rectifying",
            "acknowledged dispute disputed",
            "acknowledged close closed",
            "rectifying submit submitted",
            "rectifying dispute disputed",
            "rectifying close closed",
            "submitted verify verified",
            "submitted reject rejected",
            "rejected begin rectifying",
            "rejected dispute disputed",
            "disputed uphold rectifying",
            "disputed withdraw closed",
            "verified close closed",
        ];
        assert_eq!(rows, want);
    }

    #[test]
    fn nobody_verifies_their_own_fix_or_decides_on_their_own_dispute() {
        for name in ["王芳", " 王芳 "] {
            for act in [Act::Verify, Act::Reject] {
                let refused = next(standing(CaseState::Submitted), &act, &note(name, "看过"));
                assert_eq!(refused, Err(Refusal::OwnFix), "{name:?}");
            }
        }
        for act in [Act::Uphold, Act::Withdraw] {
            let refused = next(standing(CaseState::Disputed), &act, &note("li  LEI", "no"));
            assert_eq!(refused, Err(Refusal::OwnDispute));
        }
        let verified = next(standing(CaseState::Submitted), &Act::Verify, &note("李雷", ""));
        assert_eq!(verified, Ok(CaseState::Verified));
    }

    #[test]
    fn a_case_that_needs_verification_needs_a_picture_and_words() {
        let shown = Act::Submit(Proof {
            after: Some(PictureId([7; 32])),
        });
        let bare = Act::Submit(Proof::default());
        let daily = Standing {
            closing: Closing::OnTheSpot,
            ..standing(CaseState::Rectifying)
        };
        let strict = standing(CaseState::Rectifying);
        let cases = [
            (strict, &bare, "修好了", Err(Refusal::NeedsPicture)),
            (strict, &shown, " ", Err(Refusal::NeedsWords)),
            (strict, &shown, "修好了", Ok(CaseState::Submitted)),
            (strict, &Act::Close, "修好了", Err(Refusal::NeedsVerification)),
            (daily, &bare, "修好了", Ok(CaseState::Submitted)),
            (daily, &Act::Close, "", Ok(CaseState::Closed)),
        ];
        for (case, act, words, want) in cases {
            assert_eq!(next(case, act, &note("王芳", words)), want, "{act:?} {words:?}");
        }
        let folded = Standing {
            folded: true,
            ..daily
        };
        assert_eq!(next(folded, &Act::Close, &note("王芳", "")), Err(Refusal::Folded));
    }

    #[test]
    fn clearing_ends_what_nobody_has_begun_and_what_is_verified() {
        use CaseState::{Acknowledged, Closed, Disputed, Open, Rectifying, Rejected, Submitted, Verified};
        for state in [Open, Acknowledged, Verified, Closed] {
            assert_eq!(cleared(state, false), Closed, "{state:?}");
        }
        for state in [Rectifying, Submitted, Rejected, Disputed] {
            assert_eq!(cleared(state, false), state);
        }
        for state in [Open, Acknowledged] {
            assert_eq!(cleared(state, true), state, "a latched case stays open");
        }
    }

    fn acts() -> impl Strategy<Value = Act> {
        let picture = || any::<bool>().prop_map(|has| has.then_some(PictureId([1; 32])));
        prop_oneof![
            Just(Act::Acknowledge),
            Just(Act::Begin(Plan::default())),
            picture().prop_map(|after| Act::Submit(Proof { after })),
            Just(Act::Verify),
            Just(Act::Reject),
            Just(Act::Dispute),
            Just(Act::Uphold),
            Just(Act::Withdraw),
            Just(Act::Close),
        ]
    }

    proptest! {
        /// Whatever people try in whatever order: a case that needs verification is closed only after somebody other
        /// than the fixer verified it, or after a dispute that somebody else decided.
        #[test]
        fn no_sequence_of_acts_gets_around_verification(
            tried in proptest::collection::vec((acts(), 0_usize..3, any::<bool>()), 0..60),
            cleared in any::<bool>(),
        ) {
            let names = ["王芳", "李雷", "inspector"];
            let (mut state, mut fixers, mut disputer) = (CaseState::Open, Vec::new(), None);
            let (mut verified_by, mut withdrawn_by) = (None, None);
            for (act, who, words) in tried {
                let by = names[who];
                let standing = Standing {
                    state, cleared, folded: false, fixers: &fixers, disputer, closing: Closing::Verified, call: false,
                };
                let said = note(by, if words { "说明" } else { "" });
                let Ok(to) = next(standing, &act, &said) else { continue };
                prop_assert!(act.leads(state).is_some(), "{act:?} in {state:?}");
                prop_assert!(state != CaseState::Closed, "closed is the end");
                match act {
                    Act::Begin(_) | Act::Submit(_) => fixers.push(by),
                    Act::Dispute => disputer = Some(by),
                    Act::Verify => {
                        prop_assert!(!fixers.contains(&by));
                        verified_by = Some(by);
                    }
                    Act::Withdraw => {
                        prop_assert!(disputer != Some(by));
                        withdrawn_by = Some(by);
                    }
                    _ => {}
                }
                state = to;
            }
            if state == CaseState::Closed {
                prop_assert!(verified_by.is_some() || withdrawn_by.is_some());
            }
        }

        /// Whatever people try in whatever order, and whether the class asks for verification or not: somebody has
        /// said something by the time a call is closed, and with the act that let it be.
        #[test]
        fn no_sequence_of_acts_closes_a_call_without_a_note(
            tried in proptest::collection::vec((acts(), 0_usize..3, any::<bool>()), 0..60),
            cleared in any::<bool>(),
            on_the_spot in any::<bool>(),
        ) {
            let closing = if on_the_spot { Closing::OnTheSpot } else { Closing::Verified };
            let mut state = CaseState::Open;
            let mut last = None;
            for (act, who, words) in tried {
                let standing = Standing {
                    state, cleared, folded: false, fixers: &[], disputer: None, closing, call: true,
                };
                let said = note(["a", "b", "c"][who], if words { "说明" } else { " " });
                let Ok(to) = next(standing, &act, &said) else { continue };
                if matches!(to, CaseState::Closed | CaseState::Verified) {
                    last = Some(said.comment.trim().to_owned());
                }
                state = to;
            }
            if matches!(state, CaseState::Closed | CaseState::Verified) {
                prop_assert_eq!(last, Some("说明".to_owned()));
            }
        }

        #[test]
        fn a_refused_act_says_why_and_an_allowed_one_follows_the_table(
            state in 0_usize..8, act in acts(), words in any::<bool>(), folded in any::<bool>(),
        ) {
            let standing = Standing { folded, ..standing(CaseState::ALL[state]) };
            let said = note("somebody", if words { "x" } else { "" });
            match next(standing, &act, &said) {
                Ok(to) => prop_assert_eq!(Some(to), act.leads(standing.state)),
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}
