//! `/cases`: every case there ever was, newest first, by state, severity and facility.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::Uri, response::Response};
use domain::{Case, CaseId, CaseState, FacilityId, Scope, Severity};
use i18n_embed_fl::fl;
use store::records::CaseFilter;

use crate::{
    app::App,
    directory::Directory,
    failure::Failure,
    format::Locale,
    query::Parameters,
    view::{
        case::{CaseTeller, CaseWords},
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Cases on one page.
const PER_PAGE: usize = 50;
/// Cases read at once while looking for those of one severity.
const BATCH: u32 = 500;
/// Batches read for one page. Where the cases looked for are rarer than that, the page is short and leads on.
const MAX_BATCHES: usize = 10;

/// The names of the states that can be asked for, and which they are.
const STATES: [(&str, &[CaseState]); 9] = [
    ("", &[]),
    ("open", &[CaseState::Open]),
    ("acknowledged", &[CaseState::Acknowledged]),
    ("rectifying", &[CaseState::Rectifying]),
    ("submitted", &[CaseState::Submitted]),
    ("rejected", &[CaseState::Rejected]),
    ("disputed", &[CaseState::Disputed]),
    ("verified", &[CaseState::Verified]),
    ("closed", &[CaseState::Closed]),
];

/// One of several to choose from.
struct Choice {
    value: String,
    label: String,
    href: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "cases.html")]
struct Cases {
    page: Page,
    cases: Vec<CaseWords>,
    /// Whether these are the newest ones.
    newest: bool,
    state: &'static str,
    states: Vec<Choice>,
    severities: Vec<Choice>,
    facilities: Vec<Choice>,
    next: Option<String>,
}

/// Which cases are asked for.
struct Wanted {
    state: &'static str,
    states: Vec<CaseState>,
    severity: Option<Severity>,
    facility: Option<FacilityId>,
    before: Option<CaseId>,
}

impl Wanted {
    fn of(parameters: &Parameters) -> Result<Wanted, Failure> {
        let asked = parameters.get("state").unwrap_or_default();
        let Some((state, states)) = STATES.iter().find(|(name, _)| *name == asked) else {
            return Err(Failure::bad_parameter(
                "state",
                "one of the states of a case, such as open, submitted or closed",
            ));
        };
        let severity = match parameters.get("severity").map(Severity::parse) {
            None => None,
            Some(Some(severity)) => Some(severity),
            Some(None) => return Err(Failure::bad_parameter("severity", "one of P0 to P4")),
        };
        let before = match parameters.get("before").map(str::parse::<i64>) {
            None => None,
            Some(Ok(n)) if n > 0 => Some(CaseId(n)),
            Some(_) => return Err(Failure::bad_parameter("before", "a case's number")),
        };
        Ok(Wanted {
            state,
            states: states.to_vec(),
            severity,
            facility: parameters.facility()?,
            before,
        })
    }

    /// The address of these cases in another state, or from another one on.
    fn href(&self, state: &str, before: Option<CaseId>) -> String {
        let mut parts = Vec::new();
        if !state.is_empty() {
            parts.push(format!("state={state}"));
        }
        if let Some(severity) = self.severity {
            parts.push(format!("severity={}", severity.code()));
        }
        if let Some(facility) = &self.facility {
            parts.push(format!("facility={facility}"));
        }
        if let Some(before) = before {
            parts.push(format!("before={before}"));
        }
        match parts.is_empty() {
            true => "/cases".to_owned(),
            false => format!("/cases?{}", parts.join("&")),
        }
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let wanted = Wanted::of(&Parameters::of(&uri)?)?;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let rules = app.stores.alerts.rules();
    let (found, next) = find(&app, &visitor.scope, &wanted).await?;
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let title = fl!(locale.l, "cases-title");
    let path = wanted.href(wanted.state, wanted.before);
    let view = Cases {
        page: Page::new(&app, &visitor, Nav::Cases, title, &path),
        cases: found.iter().map(|c| teller.tell(c)).collect(),
        newest: wanted.before.is_none(),
        state: wanted.state,
        states: states(&locale, &wanted),
        severities: severities(&locale, &wanted),
        facilities: facilities(&locale, &directory, &visitor.scope, &wanted),
        next: next.map(|before| wanted.href(wanted.state, Some(before))),
    };
    view.page.answer(view.render())
}

/// The cases asked for, and the one before which to go on when there may be more.
async fn find(app: &App, scope: &Scope, wanted: &Wanted) -> Result<(Vec<Case>, Option<CaseId>), Failure> {
    let mut filter = CaseFilter {
        facility: wanted.facility.clone(),
        states: wanted.states.clone(),
        // One more than a page holds tells whether there is a next one.
        limit: if wanted.severity.is_none() {
            PER_PAGE as u32 + 1
        } else {
            BATCH
        },
        before: wanted.before,
    };
    let mut found: Vec<Case> = Vec::new();
    for _ in 0..MAX_BATCHES {
        let batch = app.stores.records.cases(scope, &filter).await?;
        let last = batch.last().map(|c| c.id);
        let all = batch.len() < filter.limit as usize;
        found.extend(
            batch
                .into_iter()
                .filter(|c| wanted.severity.is_none_or(|s| c.severity == s)),
        );
        if found.len() > PER_PAGE {
            found.truncate(PER_PAGE);
            let next = found.last().map(|c| c.id);
            return Ok((found, next));
        }
        if all {
            return Ok((found, None));
        }
        filter.before = last;
    }
    Ok((found, filter.before))
}

fn states(locale: &Locale, wanted: &Wanted) -> Vec<Choice> {
    let choice = |name: &str, label: String| Choice {
        value: name.to_owned(),
        label,
        href: wanted.href(name, None),
        current: name == wanted.state,
    };
    let named = STATES.iter().map(|(name, states)| {
        let label = match states.first() {
            Some(state) => locale.case_state(*state),
            None => fl!(locale.l, "filter-all"),
        };
        choice(name, label)
    });
    named.collect()
}

fn severities(locale: &Locale, wanted: &Wanted) -> Vec<Choice> {
    let choice = |severity: Severity| Choice {
        value: severity.code().to_owned(),
        label: format!("{} {}", severity.code(), locale.severity(severity)),
        href: String::new(),
        current: wanted.severity == Some(severity),
    };
    Severity::ALL.into_iter().map(choice).collect()
}

fn facilities(locale: &Locale, directory: &Directory, scope: &Scope, wanted: &Wanted) -> Vec<Choice> {
    let choices = directory.facilities(scope).map(|entry| Choice {
        value: entry.facility.id.to_string(),
        label: locale.facility(&entry.facility).to_owned(),
        href: String::new(),
        current: wanted.facility.as_ref() == Some(&entry.facility.id),
    });
    choices.collect()
}
