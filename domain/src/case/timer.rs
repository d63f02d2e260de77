//! What happens to a case when nobody does anything: reminders, the next step of the ladder, cards.
//!
//! A pass is a function of the case and the moment. It does not count how often it ran: after a night without power
//! it tells once what is due now, not once for every hour that was missed.

use super::{
    CaseState, Handling,
    policy::{Card, CasePolicy, Terms},
};
use crate::{message::NoticeKind, time::UtcMillis};

/// The last step of the ladder: the district.
pub const LAST_LEVEL: u8 = 3;

/// The step of the first inspector, the town's.
pub const INSPECTOR_LEVEL: u8 = 2;

/// Reminders of one case in one state. After that only the ladder speaks.
pub const MAX_REMINDERS: u32 = 12;

/// What a case waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// That somebody takes it up.
    Acknowledgement,
    /// That it is put right.
    Fix,
    /// That somebody looks, or decides on a dispute.
    Verification,
    /// Nothing: it is done, or waits for the machine.
    Nothing,
}

/// What a case in `state` waits for.
#[must_use]
pub const fn awaited(state: CaseState) -> Awaited {
    match state {
        CaseState::Open => Awaited::Acknowledgement,
        CaseState::Acknowledged | CaseState::Rectifying | CaseState::Rejected => Awaited::Fix,
        CaseState::Submitted | CaseState::Disputed => Awaited::Verification,
        CaseState::Verified | CaseState::Closed => Awaited::Nothing,
    }
}

/// By when the next act is due for a case that enters `state` now. A fix that was begun keeps its deadline.
#[must_use]
pub fn due(terms: &Terms, state: CaseState, now: UtcMillis) -> Option<UtcMillis> {
    match awaited(state) {
        Awaited::Acknowledgement => Some(now + terms.acknowledge_ms),
        Awaited::Fix => Some(now + terms.fix_ms),
        Awaited::Verification => Some(now + terms.verify_ms),
        Awaited::Nothing => None,
    }
}

/// When the first pass over a case that enters `state` now is to be made.
#[must_use]
pub fn first_pass(terms: &Terms, state: CaseState, handling: &Handling) -> Option<UtcMillis> {
    let (entered, due) = (handling.entered_at?, handling.due_at?);
    match awaited(state) {
        Awaited::Acknowledgement => Some(due.min(entered + terms.remind_ms)),
        Awaited::Fix | Awaited::Verification => Some(due),
        Awaited::Nothing => None,
    }
}

/// What a pass found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// What is to be told, to everybody up to `level`.
    pub notice: Option<NoticeKind>,
    /// The step of the ladder reached.
    pub level: u8,
    /// Reminders sent in this state.
    pub reminders: u32,
    /// The card it carries now.
    pub card: Card,
    /// When the next pass is due.
    pub next_at: Option<UtcMillis>,
}

/// How far ahead of the clock a case may say that it entered its state and be believed, in milliseconds.
pub const CLOCK_SLACK_MS: i64 = 60_000;

/// Whether the case entered its state in what is now the future: our own clock was wrong then, or is now.
#[must_use]
pub fn is_ahead(handling: &Handling, now: UtcMillis) -> bool {
    handling
        .entered_at
        .is_some_and(|at| at.ms_since(now) > CLOCK_SLACK_MS)
}

/// Moves the times of a case that is ahead of the clock back to now, so that nobody waits for years: it has entered its
/// state now, and what is due after that keeps its distance.
pub fn set_right(handling: &mut Handling, now: UtcMillis) {
    let Some(entered) = handling.entered_at.filter(|_| is_ahead(handling, now)) else {
        return;
    };
    let ahead = entered.ms_since(now);
    handling.entered_at = Some(now);
    handling.due_at = handling.due_at.map(|at| at - ahead);
    handling.next_at = handling.next_at.map(|at| at - ahead);
}

/// Looks at a case that nobody has acted on since it entered `state`. The level and the card never fall.
#[must_use]
pub fn pass(
    policy: &CasePolicy,
    terms: &Terms,
    state: CaseState,
    handling: &Handling,
    now: UtcMillis,
) -> Pass {
    let mut pass = Pass {
        notice: None,
        level: handling.level,
        reminders: handling.reminders,
        card: handling.card,
        next_at: None,
    };
    let (Some(entered), Some(due)) = (handling.entered_at, handling.due_at) else {
        return pass;
    };
    let mut upcoming = Vec::with_capacity(4);
    match awaited(state) {
        Awaited::Acknowledgement => {
            remind(&mut pass, terms, entered, now, &mut upcoming);
            let ladder = (terms.unanswered_level, terms.step_ms);
            climb(&mut pass, ladder, due, now, &mut upcoming);
        }
        Awaited::Fix => {
            climb(
                &mut pass,
                (INSPECTOR_LEVEL, terms.step_ms),
                due,
                now,
                &mut upcoming,
            );
            punish(&mut pass, policy, due, now, &mut upcoming);
        }
        Awaited::Verification => {
            climb(
                &mut pass,
                (INSPECTOR_LEVEL, terms.step_ms),
                due,
                now,
                &mut upcoming,
            );
        }
        Awaited::Nothing => {}
    }
    pass.next_at = upcoming.into_iter().filter(|at| *at > now).min();
    pass
}

/// Reminds whoever has been told. However many were missed, one is sent.
fn remind(pass: &mut Pass, terms: &Terms, entered: UtcMillis, now: UtcMillis, upcoming: &mut Vec<UtcMillis>) {
    let every = terms.remind_ms.max(1_000);
    let passed = now.ms_since(entered).max(0) / every;
    let count = u32::try_from(passed).unwrap_or(u32::MAX).min(MAX_REMINDERS);
    if count > pass.reminders {
        pass.reminders = count;
        pass.notice = Some(NoticeKind::Reminder);
    }
    if count < MAX_REMINDERS {
        upcoming.push(entered + (i64::from(count) + 1) * every);
    }
}

/// Goes up the ladder: to `first` when the deadline passes, one further each step.
fn climb(
    pass: &mut Pass,
    (first, step_ms): (u8, i64),
    due: UtcMillis,
    now: UtcMillis,
    upcoming: &mut Vec<UtcMillis>,
) {
    let every = step_ms.max(1_000);
    if now < due {
        upcoming.push(due);
        return;
    }
    let steps = u8::try_from(now.ms_since(due) / every).unwrap_or(u8::MAX);
    let level = first.saturating_add(steps).min(LAST_LEVEL);
    if level > pass.level {
        pass.notice = Some(NoticeKind::Overdue);
    }
    pass.level = pass.level.max(level);
    if level < LAST_LEVEL {
        upcoming.push(due + (i64::from(steps) + 1) * every);
    }
}

fn punish(
    pass: &mut Pass,
    policy: &CasePolicy,
    due: UtcMillis,
    now: UtcMillis,
    upcoming: &mut Vec<UtcMillis>,
) {
    let overdue = now.ms_since(due);
    for (card, after) in [(Card::Yellow, policy.yellow_ms), (Card::Red, policy.red_ms)] {
        if overdue >= after && card > pass.card {
            pass.card = card;
            pass.notice = Some(NoticeKind::Card);
        }
        upcoming.push(due + after);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::{
        case::policy::{DAY_MS, MINUTE_MS},
        rule::Severity,
    };

    const START: UtcMillis = UtcMillis(1_795_243_200_000);

    fn entered(state: CaseState, severity: Severity) -> Handling {
        let policy = CasePolicy::default();
        let mut handling = Handling {
            entered_at: Some(START),
            due_at: due(policy.terms(severity), state, START),
            level: policy.terms(severity).first_level,
            ..Handling::default()
        };
        handling.next_at = first_pass(policy.terms(severity), state, &handling);
        handling
    }

    /// Every pass until nothing is to come: (minutes since the start, what, level).
    fn story(state: CaseState, severity: Severity) -> Vec<(i64, NoticeKind, u8)> {
        let policy = CasePolicy::default();
        let mut handling = entered(state, severity);
        let mut told = Vec::new();
        while let Some(at) = handling.next_at {
            let pass = pass(&policy, policy.terms(severity), state, &handling, at);
            if let Some(kind) = pass.notice {
                told.push((at.ms_since(START) / MINUTE_MS, kind, pass.level));
            }
            handling.level = pass.level;
            handling.reminders = pass.reminders;
            handling.card = pass.card;
            handling.next_at = pass.next_at;
            assert!(told.len() < 100, "it ends by itself");
        }
        told
    }

    #[test]
    fn an_alarm_that_nobody_takes_up_climbs_the_ladder_and_then_stops() {
        use NoticeKind::{Overdue, Reminder};
        let told = story(CaseState::Open, Severity::P1);
        let climbs: Vec<_> = told.iter().filter(|(_, kind, _)| *kind == Overdue).collect();
        assert_eq!(climbs, [&(10, Overdue, 1), &(30, Overdue, 2), &(50, Overdue, 3)]);
        let reminders = told.iter().filter(|(_, kind, _)| *kind == Reminder).count();
        assert_eq!(reminders + climbs.len(), MAX_REMINDERS as usize, "{told:?}");
    }

    #[test]
    fn a_fix_that_is_late_is_told_to_the_inspector_and_earns_cards() {
        use NoticeKind::{Card, Overdue};
        let days = |n: i64| n * DAY_MS / MINUTE_MS;
        let told = story(CaseState::Rectifying, Severity::P1);
        let step = 20;
        assert_eq!(
            told,
            [
                (days(1), Overdue, 2),
                (days(1) + step, Overdue, 3),
                (days(6), Card, 3),
                (days(11), Card, 3)
            ]
        );
        assert_eq!(story(CaseState::Verified, Severity::P1), []);
        assert_eq!(story(CaseState::Submitted, Severity::P0).len(), 2);
    }

    #[test]
    fn a_long_sleep_tells_once_what_is_due_now() {
        let policy = CasePolicy::default();
        let handling = entered(CaseState::Open, Severity::P1);
        let late = pass(
            &policy,
            policy.terms(Severity::P1),
            CaseState::Open,
            &handling,
            START + 30 * DAY_MS,
        );
        assert_eq!((late.notice, late.level), (Some(NoticeKind::Overdue), LAST_LEVEL));
        assert_eq!((late.reminders, late.next_at), (MAX_REMINDERS, None));
        let old = Handling::default();
        let nothing = pass(&policy, policy.terms(Severity::P1), CaseState::Open, &old, START);
        assert_eq!(
            (nothing.notice, nothing.next_at),
            (None, None),
            "of an earlier version"
        );
    }

    #[test]
    fn a_clock_that_is_set_by_ten_years_makes_no_case_wait_for_years_and_tells_once() {
        const TEN_YEARS_MS: i64 = 3_653 * DAY_MS;
        let policy = CasePolicy::default();
        for severity in Severity::ALL {
            let terms = policy.terms(severity);
            for state in [CaseState::Open, CaseState::Rectifying, CaseState::Submitted] {
                // Opened while the clock was ten years ahead; then it is set right.
                let mut ahead = entered(state, severity);
                let now = START - TEN_YEARS_MS;
                assert!(is_ahead(&ahead, now));
                set_right(&mut ahead, now);
                let mut fresh = entered(state, severity);
                set_right(&mut fresh, START + 5_000);
                assert_eq!(
                    fresh,
                    entered(state, severity),
                    "a clock that runs on changes nothing"
                );
                let wait = |handling: &Handling, from| handling.next_at.map(|at| at.ms_since(from));
                assert_eq!(wait(&ahead, now), wait(&fresh, START), "{severity:?} {state:?}");
                assert!(wait(&ahead, now).is_some_and(|ms| (1..=31 * DAY_MS).contains(&ms)));
                assert_eq!(pass(&policy, terms, state, &ahead, now).notice, None);
                // Opened while it was right; then it is ten years ahead: one notice, not one for every step.
                let late = pass(&policy, terms, state, &fresh, START + TEN_YEARS_MS);
                assert!(late.notice.is_some());
                let after = Handling {
                    level: late.level,
                    reminders: late.reminders,
                    card: late.card,
                    next_at: late.next_at,
                    ..fresh
                };
                let again = pass(&policy, terms, state, &after, START + TEN_YEARS_MS + 1);
                assert_eq!((again.notice, again.next_at), (None, None));
            }
        }
    }

    proptest! {
        /// However often and however late it is looked at, nothing is told twice, and the level is the same.
        #[test]
        fn passes_do_not_depend_on_when_they_are_made(gaps in proptest::collection::vec(1_i64..20_000, 1..40)) {
            let policy = CasePolicy::default();
            let severity = Severity::P2;
            let terms = policy.terms(severity);
            let mut handling = entered(CaseState::Open, severity);
            let mut now = START;
            let mut told = 0;
            for gap in gaps {
                now = now + gap * 1_000;
                let one = pass(&policy, terms, CaseState::Open, &handling, now);
                told += usize::from(one.notice.is_some());
                handling.level = one.level;
                handling.reminders = one.reminders;
                let again = pass(&policy, terms, CaseState::Open, &handling, now);
                prop_assert_eq!(again.notice, None, "a second look tells nothing");
                prop_assert!(one.next_at.is_none_or(|next| next > now));
            }
            let at_once = pass(&policy, terms, CaseState::Open, &entered(CaseState::Open, severity), now);
            prop_assert_eq!(at_once.level, handling.level);
            prop_assert!(told <= MAX_REMINDERS as usize + usize::from(LAST_LEVEL));
        }
    }
}
