//! A case in words, for the queue, for lists and for its own page.

use std::{cmp::Reverse, collections::BTreeMap};

use askama::Template;
use domain::{Case, CaseState, Rule, RuleId, Scope, Severity, UtcMillis, case::Card};
use i18n_embed_fl::fl;

use super::authority::Authority;
use crate::{directory::Directory, format::Locale, i18n::Loader};

/// The longest comment and name that a form takes, in characters.
pub(crate) const MAX_COMMENT: usize = 1_000;
/// The longest name that a form takes, in characters.
pub(crate) const MAX_NAME: usize = 60;

/// A case in words.
pub(crate) struct CaseWords {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) tone: &'static str,
    pub(crate) severity: String,
    pub(crate) severity_code: &'static str,
    pub(crate) state: String,
    pub(crate) open: bool,
    pub(crate) closed: bool,
    pub(crate) facility: String,
    pub(crate) facility_href: String,
    pub(crate) title: String,
    pub(crate) place: String,
    pub(crate) finding: String,
    pub(crate) since: String,
    /// When it began, as briefly as can be: HTML.
    pub(crate) brief: String,
    /// How long it lasted, or lasts: HTML that the page keeps counting.
    pub(crate) lasted: String,
    pub(crate) cleared: bool,
    /// Whether neither the machine nor people have ended it.
    pub(crate) ongoing: bool,
    pub(crate) people: u32,
    pub(crate) acknowledged_by: String,
    /// By when the next act is due: HTML; empty when nothing is.
    pub(crate) due: String,
    pub(crate) overdue: bool,
    /// How long an emergency call has waited for its answer, which the page keeps counting, or did wait: HTML; empty
    /// for any other case.
    pub(crate) answer: String,
    /// Whether that call still waits.
    pub(crate) unanswered: bool,
    /// Its card in words; empty for none.
    pub(crate) card: String,
    /// Cases that are a part of this one's trouble.
    pub(crate) parts: u32,
    pub(crate) clause: String,
    pub(crate) edition: String,
    pub(crate) source: String,
    pub(crate) confidence: String,
}

/// What turns cases into words.
pub(crate) struct CaseTeller<'a> {
    pub(crate) locale: &'a Locale,
    pub(crate) scope: &'a Scope,
    pub(crate) directory: &'a Directory,
    pub(crate) rules: &'a BTreeMap<RuleId, Rule>,
}

impl CaseTeller<'_> {
    pub(crate) fn tell(&self, case: &Case) -> CaseWords {
        let locale = self.locale;
        let entry = self.directory.facility(self.scope, &case.point.facility);
        let point = self.directory.point(self.scope, &case.point);
        let rule = self.rules.get(&case.rule);
        let authority = rule.map(|r| Authority::of(locale, r));
        let until = case
            .cleared_at
            .or(case.closed.as_ref().map(|n| n.at))
            .unwrap_or(locale.now);
        let ongoing = case.cleared_at.is_none() && case.state != CaseState::Closed;
        let metric = locale.metric(&case.point.metric);
        let place = point.map_or_else(|| case.point.device.to_string(), |p| locale.place(&p.point));
        CaseWords {
            id: case.id.0,
            version: case.version,
            tone: crate::picture::Shown::Active(case.severity).tone(),
            severity: locale.severity(case.severity),
            severity_code: case.severity.code(),
            state: locale.case_state(case.state),
            open: case.state == CaseState::Open,
            closed: case.state == CaseState::Closed,
            facility: entry.map_or_else(
                || case.point.facility.to_string(),
                |e| locale.facility(&e.facility).to_owned(),
            ),
            facility_href: format!("/facilities/{}", case.point.facility),
            title: rule.map_or_else(
                || case.rule.to_string(),
                |r| locale.pick(&r.title_zh, &r.title_en).to_owned(),
            ),
            place: format!("{place} · {metric}"),
            finding: locale.finding(case, rule),
            since: locale.stamp(case.since).at(),
            brief: locale.brief(case.since),
            lasted: if ongoing {
                locale.counting(case.since)
            } else {
                locale.duration(until.ms_since(case.since))
            },
            cleared: case.cleared_at.is_some(),
            ongoing,
            people: entry.map_or(0, |e| e.facility.people_served),
            acknowledged_by: case
                .acknowledged
                .as_ref()
                .map(|n| n.by.clone())
                .unwrap_or_default(),
            due: case
                .handling
                .due_at
                .map(|at| locale.stamp(at).at())
                .unwrap_or_default(),
            overdue: case.handling.due_at.is_some_and(|at| at < locale.now),
            answer: self.answer(case),
            unanswered: case.unanswered_since().is_some(),
            card: match case.handling.card {
                Card::None => String::new(),
                Card::Yellow => fl!(locale.l, "card-yellow"),
                Card::Red => fl!(locale.l, "card-red"),
            },
            parts: case.handling.folded,
            clause: authority.as_ref().map(|a| a.clause.clone()).unwrap_or_default(),
            edition: authority.as_ref().map(|a| a.edition.clone()).unwrap_or_default(),
            source: authority.map(|a| a.source).unwrap_or_default(),
            confidence: rule.map(|r| locale.confidence(r.confidence)).unwrap_or_default(),
        }
    }

    /// How an emergency call stands with its answer.
    fn answer(&self, case: &Case) -> String {
        let locale = self.locale;
        match (case.unanswered_since(), case.handling.answered_ms) {
            // A page that counts nothing shows when the call came in.
            (Some(since), _) => fl!(
                locale.l,
                "call-waits",
                time = locale.counting(since),
                at = locale.stamp(since).at()
            ),
            (None, Some(ms)) => fl!(locale.l, "call-answered", time = locale.duration(ms)),
            (None, None) => String::new(),
        }
    }

    /// What needs somebody, most urgent first.
    pub(crate) fn queue(&self, cases: &[Case]) -> Queue {
        let people = |case: &Case| {
            self.directory
                .facility(self.scope, &case.point.facility)
                .map_or(0, |e| e.facility.people_served)
        };
        let mut open: Vec<&Case> = cases
            .iter()
            .filter(|c| c.state != CaseState::Closed && !c.is_folded())
            .collect();
        open.sort_by_key(|c| urgency(c, people(c)));
        Queue {
            l: self.locale.l,
            cases: open.into_iter().map(|c| self.tell(c)).collect(),
        }
    }
}

/// The order of the queue: danger that goes on before any that has passed, then severity, then what nobody has taken
/// up, then the people it reaches, then how long it lasts.
fn urgency(case: &Case, people: u32) -> (bool, Severity, bool, Reverse<u32>, UtcMillis) {
    let danger_now = case.cleared_at.is_none() && case.severity <= Severity::P1;
    (
        !danger_now,
        case.severity,
        case.state != CaseState::Open,
        Reverse(people),
        case.since,
    )
}

/// What needs somebody now.
#[derive(Template)]
#[template(path = "queue.html")]
pub(crate) struct Queue {
    l: Loader,
    pub(crate) cases: Vec<CaseWords>,
}

/// A list of cases, open or past.
#[derive(Template)]
#[template(path = "case_list.html")]
pub(crate) struct CaseList {
    pub(crate) l: Loader,
    pub(crate) cases: Vec<CaseWords>,
    pub(crate) none: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CaseId, DeviceId, FacilityId, Metric, SeriesKey};

    fn case(severity: Severity, state: CaseState, cleared: bool) -> Case {
        Case {
            id: CaseId(1),
            rule: RuleId::new("FG-SMK-01").unwrap(),
            rule_version: "1".into(),
            point: SeriesKey {
                facility: FacilityId::new("a").unwrap(),
                device: DeviceId::new("b").unwrap(),
                metric: Metric::new("smoke_alarm").unwrap(),
            },
            severity,
            state,
            since: UtcMillis(1_000),
            raised_at: UtcMillis(1_000),
            value: Some(1.0),
            limit: None,
            cleared_at: cleared.then_some(UtcMillis(2_000)),
            acknowledged: None,
            closed: None,
            handling: domain::case::Handling::default(),
            version: 1,
        }
    }

    #[test]
    fn the_queue_begins_with_danger_that_goes_on() {
        use CaseState::{Acknowledged, Open};
        let order = [
            (case(Severity::P0, Open, false), 1),
            (case(Severity::P0, Acknowledged, false), 900),
            (case(Severity::P1, Open, false), 200),
            (case(Severity::P1, Open, false), 100),
            (case(Severity::P0, Open, true), 900),
            (case(Severity::P1, Open, true), 900),
            (case(Severity::P2, Open, false), 900),
            (case(Severity::P2, Acknowledged, false), 900),
            (case(Severity::P4, Open, false), 900),
        ];
        for pair in order.windows(2) {
            let [(a, a_people), (b, b_people)] = pair else {
                unreachable!("windows of two")
            };
            assert!(
                urgency(a, *a_people) < urgency(b, *b_people),
                "{a:?} before {b:?}"
            );
        }
    }
}
