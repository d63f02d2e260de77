//! What may be done to a case now, as forms.

use domain::{
    Case, CaseState,
    case::{Act, policy::Closing},
};
use i18n_embed_fl::fl;

use crate::{app::App, format::Locale};

/// One form.
pub(super) struct Step {
    pub(super) act: &'static str,
    pub(super) label: String,
    pub(super) words: String,
    /// Whether words are asked for at all costs.
    pub(super) needs_words: bool,
    /// Measure, responsible person, due date and a picture of how it is before.
    pub(super) plans: bool,
    /// The picture of how it is now: the field's label; empty for none.
    pub(super) picture: String,
    pub(super) needs_picture: bool,
}

/// The forms for a case, the usual one first. None for a part of another case, or for a closed one.
pub(super) fn of(app: &App, locale: &Locale, case: &Case) -> Vec<Step> {
    if case.is_folded() {
        return Vec::new();
    }
    let strict = app.stores.records.practice().policy.closing(case.severity) == Closing::Verified;
    let waved_away = case.state != CaseState::Verified && strict;
    Act::all()
        .into_iter()
        .filter(|act| act.leads(case.state).is_some())
        .filter(|act| !(matches!(act, Act::Close) && waved_away))
        .map(|act| step(locale, &act, strict))
        .map(|step| Step {
            needs_words: step.needs_words || case.is_call() && matches!(step.act, "close" | "verify"),
            ..step
        })
        .collect()
}

/// What else is to be known about acting now.
pub(super) fn hint(locale: &Locale, state: CaseState) -> String {
    match state {
        CaseState::Submitted => fl!(locale.l, "part-inspector"),
        CaseState::Disputed => fl!(locale.l, "part-decide"),
        CaseState::Verified => fl!(locale.l, "hint-verified"),
        _ => String::new(),
    }
}

fn step(locale: &Locale, act: &Act, strict: bool) -> Step {
    let l = locale.l;
    let (label, words, needs_words) = match act {
        Act::Acknowledge => (fl!(l, "acknowledge-do"), fl!(l, "comment"), false),
        Act::Begin(_) => (fl!(l, "act-begin"), fl!(l, "comment"), false),
        Act::Submit(_) => (fl!(l, "act-submit"), fl!(l, "words-submit"), true),
        Act::Verify => (fl!(l, "act-verify"), fl!(l, "words-verify"), false),
        Act::Reject => (fl!(l, "act-reject"), fl!(l, "words-reject"), true),
        Act::Dispute => (fl!(l, "act-dispute"), fl!(l, "words-dispute"), true),
        Act::Uphold => (fl!(l, "act-uphold"), fl!(l, "words-decide"), true),
        Act::Withdraw => (fl!(l, "act-withdraw"), fl!(l, "words-decide"), true),
        Act::Close => (fl!(l, "close-do"), fl!(l, "comment-close"), false),
    };
    let picture = match act {
        Act::Begin(_) => fl!(l, "field-before"),
        Act::Submit(_) => fl!(l, "field-after"),
        _ => String::new(),
    };
    Step {
        act: act.code(),
        label,
        words,
        needs_words,
        plans: matches!(act, Act::Begin(_)),
        picture,
        needs_picture: strict && matches!(act, Act::Submit(_)),
    }
}
