//! What a case looks like after an act: the one place where its fields change.

use super::{
    Act, Case, CaseState, Handling, Note,
    policy::{CasePolicy, Terms},
    timer,
};
use crate::{message::NoticeKind, time::UtcMillis};

/// How far people have come with `case`, which is opened now.
#[must_use]
pub fn opened(policy: &CasePolicy, case: &Case, now: UtcMillis) -> Handling {
    let mut handling = Handling::default();
    enter(&mut handling, &policy.terms_of(case), (CaseState::Open, now));
    handling
}

/// The case after `act` led it to `to`, as [`super::machine::next`] said.
#[must_use]
pub fn after(
    case: &Case,
    (act, note): (&Act, &Note),
    to: CaseState,
    policy: &CasePolicy,
    now: UtcMillis,
) -> Case {
    let mut next = case.clone();
    next.version += 1;
    let handling = &mut next.handling;
    let by = note.by.trim();
    let fix_due = handling.due_at;
    let terms = policy.terms_of(case);
    // Whoever first does something about a call has answered it.
    if let Some(since) = case.unanswered_since().filter(|_| to != CaseState::Open) {
        handling.answered_ms = Some(now.ms_since(since).max(0));
    }
    if to != case.state {
        enter(handling, &terms, (to, now));
    }
    match act {
        Act::Acknowledge => next.acknowledged = Some(note.clone()),
        Act::Begin(plan) => {
            handling.measure.clone_from(&plan.measure);
            handling.responsible = match plan.responsible.trim() {
                "" => by.to_owned(),
                name => name.to_owned(),
            };
            handling.begun_by = Some(by.to_owned());
            handling.before = plan.before.or(handling.before);
            // The clock runs from when it was taken up, not from when somebody began; a person may only shorten it.
            let due = fix_due.or(handling.due_at);
            let wished = plan.due_at.filter(|at| *at > now);
            handling.due_at = match (due, wished) {
                (Some(due), Some(wished)) => Some(due.min(wished)),
                (due, _) => due,
            };
            handling.next_at = timer::first_pass(&terms, to, handling);
        }
        Act::Submit(proof) => {
            handling.submitted_by = Some(by.to_owned());
            handling.after = proof.after;
        }
        Act::Reject => handling.round += 1,
        Act::Dispute => handling.disputed_by = Some(by.to_owned()),
        Act::Verify | Act::Uphold | Act::Withdraw | Act::Close => {}
    }
    if to == CaseState::Closed {
        next.closed = Some(note.clone());
    }
    next.state = to;
    next
}

/// The case closed by the machine or along with another one: no act of its own.
#[must_use]
pub fn closed(case: &Case, note: &Note, policy: &CasePolicy) -> Case {
    let mut next = case.clone();
    next.version += 1;
    next.state = CaseState::Closed;
    next.closed = Some(next.closed.unwrap_or_else(|| note.clone()));
    let terms = policy.terms_of(case);
    enter(&mut next.handling, &terms, (CaseState::Closed, note.at));
    next
}

/// What an act is told as; `None` when it is nobody's news.
#[must_use]
pub const fn told_as(act: &Act, to: CaseState) -> Option<NoticeKind> {
    match (act, to) {
        (Act::Withdraw | Act::Uphold, _) => Some(NoticeKind::Decided),
        (_, CaseState::Closed) => Some(NoticeKind::Closed),
        (Act::Acknowledge, _) => Some(NoticeKind::Taken),
        (Act::Submit(_), _) => Some(NoticeKind::Submitted),
        (Act::Reject, _) => Some(NoticeKind::Rejected),
        (Act::Dispute, _) => Some(NoticeKind::Disputed),
        (Act::Begin(_) | Act::Verify | Act::Close, _) => None,
    }
}

/// A state begins: its own deadline, its own ladder.
fn enter(handling: &mut Handling, terms: &Terms, (state, now): (CaseState, UtcMillis)) {
    handling.entered_at = Some(now);
    handling.due_at = timer::due(terms, state, now);
    handling.reminders = 0;
    handling.level = terms.first_level;
    handling.next_at = timer::first_pass(terms, state, handling);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        case::{Plan, Proof, policy::HOUR_MS},
        id::{CaseId, DeviceId, FacilityId, Metric, RuleId},
        reading::SeriesKey,
        rule::Severity,
    };

    const T0: UtcMillis = UtcMillis(1_795_243_200_000);

    fn case() -> Case {
        let mut case = Case {
            id: CaseId(1),
            rule: RuleId::new("CN-TMP-01").unwrap(),
            rule_version: "1".into(),
            point: SeriesKey {
                facility: FacilityId::new("f").unwrap(),
                device: DeviceId::new("d").unwrap(),
                metric: Metric::new("temperature").unwrap(),
            },
            severity: Severity::P2,
            state: CaseState::Open,
            since: T0,
            raised_at: T0,
            value: None,
            limit: None,
            cleared_at: None,
            acknowledged: None,
            closed: None,
            handling: Handling::default(),
            version: 1,
        };
        case.handling = opened(&CasePolicy::default(), &case, T0);
        case
    }

    /// An emergency call that nobody has answered.
    fn call() -> Case {
        let mut case = case();
        case.rule = RuleId::new("SYS-SOS-01").unwrap();
        case.point.metric = Metric::new("sos").unwrap();
        case.severity = Severity::P0;
        case.handling = opened(&CasePolicy::default(), &case, T0);
        case
    }

    /// Every pass over `case` until somebody answers at `until`: (seconds since, what, level).
    fn rung(case: &Case, until: UtcMillis) -> Vec<(i64, NoticeKind, u8)> {
        let policy = CasePolicy::default();
        let (terms, mut handling) = (policy.terms_of(case), case.handling.clone());
        let mut told = Vec::new();
        while let Some(at) = handling.next_at.filter(|at| *at < until) {
            let pass = timer::pass(&policy, &terms, case.state, &handling, at);
            if let Some(kind) = pass.notice {
                told.push((at.ms_since(T0) / 1_000, kind, pass.level));
            }
            handling.level = pass.level;
            handling.reminders = pass.reminders;
            handling.next_at = pass.next_at;
        }
        told
    }

    #[test]
    fn a_call_that_nobody_answers_climbs_the_ladder_after_a_minute() {
        use NoticeKind::{Overdue, Reminder};
        let call = call();
        assert_eq!(call.handling.due_at, Some(T0 + 60_000));
        assert_eq!(call.unanswered_since(), Some(T0));
        assert_eq!(
            rung(&call, T0 + 250_000),
            [(60, Overdue, 2), (120, Reminder, 2), (240, Overdue, 3)]
        );
        // Any other alarm of that severity keeps the deadline of its severity.
        let mut smoke = call.clone();
        smoke.point.metric = Metric::new("smoke_alarm").unwrap();
        smoke.handling = opened(&CasePolicy::default(), &smoke, T0);
        assert_eq!(smoke.handling.due_at, Some(T0 + 120_000));
        assert_eq!(smoke.unanswered_since(), None);
        // And a button that says nothing calls nobody.
        let mut silent = call;
        silent.severity = Severity::P3;
        assert!(!silent.is_call());
    }

    #[test]
    fn the_answer_to_a_call_stops_its_timer_and_its_time_is_kept() {
        for (act, at) in [(Act::Acknowledge, 42_000), (Act::Dispute, 7_500)] {
            let answered = step(&call(), &act, "王芳", T0 + at);
            assert_eq!(answered.handling.answered_ms, Some(at), "{act:?}");
            assert_eq!(answered.unanswered_since(), None);
            assert_eq!(rung(&answered, T0 + 3_600_000), [], "nobody is told any more");
        }
        let later = step(&call(), &Act::Acknowledge, "王芳", T0 + 42_000);
        let begun = step(&later, &Act::Begin(Plan::default()), "王芳", T0 + 90_000);
        assert_eq!(begun.handling.answered_ms, Some(42_000));
        // Our clock was set back meanwhile: nobody answers before the call.
        let early = step(&call(), &Act::Acknowledge, "王芳", T0 - 3_600_000);
        assert_eq!(early.handling.answered_ms, Some(0));
        assert_eq!(
            step(&case(), &Act::Acknowledge, "王芳", T0 + 1)
                .handling
                .answered_ms,
            None
        );
    }

    fn step(case: &Case, act: &Act, by: &str, at: UtcMillis) -> Case {
        let note = Note {
            by: by.into(),
            at,
            comment: "words".into(),
        };
        let to = act.leads(case.state).unwrap();
        after(case, (act, &note), to, &CasePolicy::default(), at)
    }

    #[test]
    fn a_case_goes_round_until_somebody_else_is_satisfied() {
        let (later, plan) = (T0 + HOUR_MS, Plan::default());
        let taken = step(&case(), &Act::Acknowledge, "王芳", later);
        let deadline = taken.handling.due_at;
        assert_eq!(deadline, Some(later + 72 * HOUR_MS));
        let begun = step(&taken, &Act::Begin(plan.clone()), "王芳", later + HOUR_MS);
        assert_eq!(
            begun.handling.due_at, deadline,
            "the clock runs from when it was taken up"
        );
        assert_eq!(begun.handling.responsible, "王芳");
        let shorter = Plan {
            due_at: Some(later + 5 * HOUR_MS),
            ..plan.clone()
        };
        let hurried = step(&taken, &Act::Begin(shorter), "王芳", later + HOUR_MS);
        assert_eq!(hurried.handling.due_at, Some(later + 5 * HOUR_MS));
        assert_eq!(hurried.handling.next_at, Some(later + 5 * HOUR_MS));
        let sent = step(
            &begun,
            &Act::Submit(Proof::default()),
            "王芳",
            later + 2 * HOUR_MS,
        );
        let back = step(&sent, &Act::Reject, "李雷", later + 3 * HOUR_MS);
        assert_eq!((back.state, back.handling.round), (CaseState::Rejected, 1));
        let again = step(&back, &Act::Begin(plan), "王芳", later + 4 * HOUR_MS);
        assert_eq!(
            again.handling.due_at,
            Some(later + 75 * HOUR_MS),
            "a new deadline since it was sent back"
        );
        let sent = step(
            &again,
            &Act::Submit(Proof::default()),
            "王芳",
            later + 5 * HOUR_MS,
        );
        let verified = step(&sent, &Act::Verify, "李雷", later + 6 * HOUR_MS);
        assert_eq!((verified.state, verified.version), (CaseState::Verified, 8));
        assert_eq!(
            (verified.handling.due_at, verified.handling.next_at),
            (None, None)
        );
    }

    #[test]
    fn every_act_is_told_to_somebody_or_is_nobodys_news() {
        assert_eq!(told_as(&Act::Begin(Plan::default()), CaseState::Rectifying), None);
        assert_eq!(told_as(&Act::Verify, CaseState::Closed), Some(NoticeKind::Closed));
        assert_eq!(
            told_as(&Act::Withdraw, CaseState::Closed),
            Some(NoticeKind::Decided)
        );
        let note = Note {
            by: "system".into(),
            at: T0,
            comment: String::new(),
        };
        let done = closed(&case(), &note, &CasePolicy::default());
        assert_eq!(
            (done.state, done.version, done.handling.next_at),
            (CaseState::Closed, 2, None)
        );
    }
}
