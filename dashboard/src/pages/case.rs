//! `/cases/{id}`: what happened, on which authority, what to do, and who has done what.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Case, CaseId, CaseState, TimeRange, case::Note};
use i18n_embed_fl::fl;
use serde::Deserialize;

use crate::{
    app::App,
    directory::Directory,
    failure::{Failure, Kind},
    format::Locale,
    signed,
    view::{
        case::{CaseTeller, CaseWords, MAX_COMMENT, MAX_NAME},
        chart::{Chart, ChartLine, ChartRequest, Mark},
        finding::{FindingTeller, FindingWords},
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// What the chart of a case shows before it began and after it ended: as much as it lasted, within these bounds,
/// in milliseconds. A short alarm would be a hair in the middle of hours.
const MARGIN_MS: (i64, i64) = (15 * 60_000, 2 * 3_600_000);
/// The most that the chart of a case spans.
const MAX_CHART_MS: i64 = 30 * 86_400_000;

/// Something that happened to a case.
struct HistoryLine {
    at: String,
    what: String,
    by: String,
    comment: String,
    mark: &'static str,
}

#[derive(Template)]
#[template(path = "case.html")]
struct CasePage {
    page: Page,
    case: CaseWords,
    rule: String,
    rule_version: String,
    criterion: String,
    action: String,
    facility_id: String,
    device: String,
    history: Vec<HistoryLine>,
    chart: Chart,
    /// What a camera saw, when it is a camera's case.
    seen: Option<FindingWords>,
    max_comment: usize,
    max_name: usize,
}

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage {
    page: Page,
    case: CaseWords,
    comment: String,
}

fn case_id(text: &str) -> Result<CaseId, Failure> {
    match text.parse::<i64>() {
        Ok(n) if n > 0 => Ok(CaseId(n)),
        _ => Err(Failure::new(
            Kind::BadRequest,
            "the case is not a number of ours: they are 1 and above",
        )),
    }
}

async fn find(app: &App, visitor: &Visitor, text: &str) -> Result<Case, Failure> {
    let case = app.stores.records.case(&visitor.scope, case_id(text)?).await?;
    case.ok_or_else(|| Failure::not_found("case"))
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
) -> Result<Response, Failure> {
    let case = find(&app, &visitor, &case).await?;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let rules = app.stores.alerts.rules_of(&case.point.facility);
    let rule = rules.get(&case.rule);
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let words = teller.tell(&case);
    let seen = seen(&app, &visitor, &teller, &case).await?;
    let request = case_chart(&app, &visitor, &locale, &directory, &case);
    let chart = Chart::draw(&app, &visitor.scope, &locale, request).await?;
    let title = fl!(locale.l, "case-title", id = case.id.0);
    let page = Page::new(&app, &visitor, Nav::Cases, title, &format!("/cases/{}", case.id));
    let view = CasePage {
        page,
        rule: case.rule.to_string(),
        rule_version: case.rule_version.clone(),
        criterion: rule.map(|r| locale.criterion(r)).unwrap_or_default(),
        action: rule
            .map(|r| locale.pick(&r.action_zh, &r.action_en).to_owned())
            .unwrap_or_default(),
        facility_id: case.point.facility.to_string(),
        device: case.point.device.to_string(),
        history: history(&locale, &case),
        chart,
        seen,
        case: words,
        max_comment: MAX_COMMENT,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

/// The finding that raised the case, in words.
async fn seen(
    app: &App,
    visitor: &Visitor,
    teller: &CaseTeller<'_>,
    case: &Case,
) -> Result<Option<FindingWords>, Failure> {
    if domain::Check::parse(case.point.metric.as_str()).is_none() {
        return Ok(None);
    }
    let records = &app.stores.records;
    let found = records
        .finding_of_case(&visitor.scope, &case.point, case.since)
        .await?;
    let Some(found) = found else { return Ok(None) };
    let cameras = app.all_cameras().await?;
    let teller = FindingTeller {
        locale: teller.locale,
        scope: teller.scope,
        directory: teller.directory,
        rules: teller.rules,
        cameras: &cameras,
    };
    Ok(Some(teller.tell(&found)))
}

fn history(locale: &Locale, case: &Case) -> Vec<HistoryLine> {
    let machine = |at, what, mark| HistoryLine {
        at: locale.stamp(at).at(),
        what,
        by: String::new(),
        comment: String::new(),
        mark,
    };
    let person = |note: &Note, what, mark| HistoryLine {
        at: locale.stamp(note.at).at(),
        what,
        by: note.by.clone(),
        comment: note.comment.clone(),
        mark,
    };
    let begun = match case.value {
        Some(_) => fl!(locale.l, "history-since"),
        None => fl!(locale.l, "history-silent"),
    };
    let mut lines = vec![
        (case.since, machine(case.since, begun, "warn")),
        (
            case.raised_at,
            machine(case.raised_at, fl!(locale.l, "history-raised"), "crit"),
        ),
    ];
    if let Some(note) = &case.acknowledged {
        lines.push((
            note.at,
            person(note, fl!(locale.l, "history-acknowledged"), "calm"),
        ));
    }
    if let Some(at) = case.cleared_at {
        lines.push((at, machine(at, fl!(locale.l, "history-cleared"), "ok")));
    }
    if let Some(note) = &case.closed {
        lines.push((note.at, person(note, fl!(locale.l, "history-closed"), "ok")));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn case_chart(
    app: &App,
    visitor: &Visitor,
    locale: &Locale,
    directory: &Directory,
    case: &Case,
) -> ChartRequest {
    let ended = case.cleared_at.or(case.closed.as_ref().map(|n| n.at));
    let lasted = ended.unwrap_or(locale.now).ms_since(case.since);
    let margin = lasted.clamp(MARGIN_MS.0, MARGIN_MS.1);
    let to = ended.map_or(locale.now, |at| (at + margin).min(locale.now));
    let from = (case.since - margin).max(to - MAX_CHART_MS);
    let entry = directory.point(&visitor.scope, &case.point);
    let now = entry.map(|e| app.point_now(&visitor.scope, e, &app.judgement()));
    let label = entry.map_or_else(
        || case.point.to_string(),
        |e| format!("{} · {}", locale.place(&e.point), locale.metric(&e.key.metric)),
    );
    ChartRequest {
        label: label.clone(),
        lines: vec![ChartLine {
            label,
            key: case.point.clone(),
            series: app.stores.series.find(&visitor.scope, &case.point),
            interval_s: entry.map_or(60, |e| e.point.report_interval_s),
        }],
        limits: now.map(|n| n.limits).unwrap_or_default(),
        range: TimeRange { from, to },
        marks: case
            .value
            .map(|value| Mark {
                at: case.raised_at.0,
                value,
            })
            .into_iter()
            .collect(),
        live: ended.is_none(),
        anchored: true,
    }
}

/// What a person sends about a case.
#[derive(Debug, Deserialize)]
pub(crate) struct CaseForm {
    by: String,
    #[serde(default)]
    comment: String,
    version: i64,
    /// The page to go back to: `overview`, or the case's own.
    #[serde(default)]
    back: String,
}

impl CaseForm {
    /// Checks the form and takes it as a note.
    fn note(&self, app: &App) -> Result<Note, Failure> {
        let (by, comment) = (signed::name(&self.by)?, signed::comment(&self.comment)?);
        Ok(Note {
            by: by.to_owned(),
            at: app.stores.clock.now(),
            comment,
        })
    }
}

fn filled(form: Result<Form<CaseForm>, FormRejection>) -> Result<CaseForm, Failure> {
    match form {
        Ok(Form(form)) => Ok(form),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Failure::new(Kind::TooLarge, "the form is over the limit"))
        }
        Err(_) => Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields by, comment and version, sent as application/x-www-form-urlencoded",
        )),
    }
}

pub(crate) async fn acknowledge(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
    form: Result<Form<CaseForm>, FormRejection>,
) -> Result<Response, Failure> {
    let (id, form) = (case_id(&case)?, filled(form)?);
    let note = form.note(&app)?;
    let done = app
        .stores
        .alerts
        .acknowledge(&visitor.scope, id, form.version, note)
        .await;
    after(&app, &visitor, &form, id, done.map_err(Failure::from)).await
}

pub(crate) async fn close(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
    form: Result<Form<CaseForm>, FormRejection>,
) -> Result<Response, Failure> {
    let (id, form) = (case_id(&case)?, filled(form)?);
    let note = form.note(&app)?;
    let done = app
        .stores
        .alerts
        .close(&visitor.scope, id, form.version, note)
        .await;
    after(&app, &visitor, &form, id, done.map_err(Failure::from)).await
}

/// Leads back to where the form was, or says who was faster.
async fn after(
    app: &Arc<App>,
    visitor: &Visitor,
    form: &CaseForm,
    id: CaseId,
    done: Result<Case, Failure>,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => {
            let target = if form.back == "overview" {
                "/".to_owned()
            } else {
                format!("/cases/{id}")
            };
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response())
        }
        Err(failure) if failure.kind == Kind::Conflict => conflict(app, visitor, form, id).await,
        Err(failure) => Err(failure),
    }
}

async fn conflict(
    app: &Arc<App>,
    visitor: &Visitor,
    form: &CaseForm,
    id: CaseId,
) -> Result<Response, Failure> {
    let case = find(app, visitor, &id.to_string()).await?;
    let locale = visitor.locale(app);
    let directory = app.directory().await?;
    let rules = app.stores.alerts.rules();
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let page = Page::new(
        app,
        visitor,
        Nav::Cases,
        fl!(locale.l, "err-conflict"),
        &format!("/cases/{id}"),
    );
    let by = match case.state {
        CaseState::Closed => case.closed.as_ref(),
        _ => case.acknowledged.as_ref(),
    };
    let mut words = teller.tell(&case);
    words.acknowledged_by = by.map(|n| n.by.clone()).unwrap_or_default();
    let comment = form.comment.chars().take(MAX_COMMENT).collect();
    let view = ConflictPage {
        page,
        case: words,
        comment,
    };
    let mut response = view.page.answer(view.render())?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}
