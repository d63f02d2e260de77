//! `/cases/{id}`: what happened, on which authority, what to do, and who has done what.

pub(crate) mod act;
mod steps;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use domain::{Case, CaseId, CaseState, Rule, TimeRange, UtcMillis, case::Note};
use i18n_embed_fl::fl;
use store::records::CaseAct;

use crate::{
    app::App,
    directory::Directory,
    failure::{Failure, Kind},
    format::Locale,
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
    /// By the version that raised the case.
    criterion: String,
    /// What the rule is now, where that is another version: version and criterion.
    rule_now: Option<(String, String)>,
    action: String,
    facility_id: String,
    device: String,
    /// What may be done now, the usual thing first.
    steps: Vec<steps::Step>,
    /// Why somebody else has to act, or what it waits for; may be empty.
    hint: String,
    /// The case that this one is a part of.
    part_of: Option<i64>,
    recurs: Option<i64>,
    measure: String,
    responsible: String,
    round: u32,
    pictures: Vec<(String, String)>,
    once: String,
    history: Vec<HistoryLine>,
    chart: Chart,
    /// What a camera saw, when it is a camera's case.
    seen: Option<FindingWords>,
    max_comment: usize,
    max_name: usize,
}

pub(crate) fn case_id(text: &str) -> Result<CaseId, Failure> {
    match text.parse::<i64>() {
        Ok(n) if n > 0 => Ok(CaseId(n)),
        _ => Err(Failure::new(
            Kind::BadRequest,
            "the case is not a number of ours: they are 1 and above",
        )),
    }
}

pub(crate) async fn find(app: &App, visitor: &Visitor, text: &str) -> Result<Case, Failure> {
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
    let raised = as_raised(&app, &visitor, &case).await?;
    let now = rule.filter(|rule| rule.pack_version != case.rule_version);
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let words = teller.tell(&case);
    let seen = seen(&app, &visitor, &teller, &case).await?;
    let acts = app.stores.records.case_acts(&visitor.scope, case.id).await?;
    let request = case_chart(&app, &visitor, &locale, &directory, &case);
    let chart = Chart::draw(&app, &visitor.scope, &locale, request).await?;
    let title = fl!(locale.l, "case-title", id = case.id.0);
    let page = Page::new(&app, &visitor, Nav::Cases, title, &format!("/cases/{}", case.id));
    let view = CasePage {
        page,
        rule: case.rule.to_string(),
        rule_version: case.rule_version.clone(),
        criterion: raised.as_ref().map(|r| locale.criterion(r)).unwrap_or_default(),
        rule_now: now.map(|r| (r.pack_version.clone(), locale.criterion(r))),
        action: rule
            .map(|r| locale.pick(&r.action_zh, &r.action_en).to_owned())
            .unwrap_or_default(),
        facility_id: case.point.facility.to_string(),
        device: case.point.device.to_string(),
        steps: steps::of(&app, &locale, &case),
        hint: steps::hint(&locale, case.state),
        part_of: case.handling.folded_into.map(|id| id.0),
        recurs: case.handling.recurs.map(|id| id.0),
        measure: case.handling.measure.clone(),
        responsible: case.handling.responsible.clone(),
        round: case.handling.round + 1,
        pictures: pictures(&locale, &case),
        once: act::form_name()?,
        history: history(&locale, &case, &acts),
        chart,
        seen,
        case: words,
        max_comment: MAX_COMMENT,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

/// The rule as it was when it raised the case, where that can still be told: the pack's, or the facility's own of that
/// version.
async fn as_raised(app: &App, visitor: &Visitor, case: &Case) -> Result<Option<Rule>, Failure> {
    let rules = app.stores.alerts.rules();
    let Some(base) = rules.get(&case.rule) else {
        return Ok(None);
    };
    if base.pack_version == case.rule_version {
        return Ok(Some(base.clone()));
    }
    let own = case.rule_version.strip_prefix(&base.pack_version);
    let own = own.and_then(|rest| rest.strip_prefix('+')?.parse::<u32>().ok());
    let Some(version) = own else { return Ok(None) };
    let records = &app.stores.records;
    let all = records
        .overrides(&visitor.scope, Some(&case.rule), UtcMillis(i64::MIN))
        .await?;
    let mut all = all.into_iter();
    let one = all.find(|own| own.facility == case.point.facility && own.version == version);
    Ok(one.and_then(|own| own.apply(base).ok()))
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

fn history(locale: &Locale, case: &Case, acts: &[CaseAct]) -> Vec<HistoryLine> {
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
    // Cases of an earlier version have no acts, but these two notes.
    let told = |act: &str| acts.iter().any(|a| a.act == act);
    if let Some(note) = case.acknowledged.as_ref().filter(|_| !told("acknowledge")) {
        lines.push((
            note.at,
            person(note, fl!(locale.l, "history-acknowledged"), "calm"),
        ));
    }
    for act in acts {
        lines.push((
            act.note.at,
            person(&act.note, deed(locale, &act.act), mark(act.state)),
        ));
    }
    if let Some(at) = case.cleared_at {
        lines.push((at, machine(at, fl!(locale.l, "history-cleared"), "ok")));
    }
    let ended = acts.iter().any(|a| a.state == CaseState::Closed);
    if let Some(note) = case.closed.as_ref().filter(|_| !ended) {
        lines.push((note.at, person(note, fl!(locale.l, "history-closed"), "ok")));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What was done, in words.
fn deed(locale: &Locale, act: &str) -> String {
    match act {
        "acknowledge" => fl!(locale.l, "history-acknowledged"),
        "begin" => fl!(locale.l, "history-begin"),
        "submit" => fl!(locale.l, "history-submit"),
        "verify" => fl!(locale.l, "history-verify"),
        "reject" => fl!(locale.l, "history-reject"),
        "dispute" => fl!(locale.l, "history-dispute"),
        "uphold" => fl!(locale.l, "history-uphold"),
        "withdraw" => fl!(locale.l, "history-withdraw"),
        "review" => fl!(locale.l, "history-review"),
        _ => fl!(locale.l, "history-closed"),
    }
}

const fn mark(state: CaseState) -> &'static str {
    match state {
        CaseState::Closed | CaseState::Verified => "ok",
        CaseState::Rejected | CaseState::Disputed => "warn",
        _ => "calm",
    }
}

/// How it was and how it is now: address and words.
fn pictures(locale: &Locale, case: &Case) -> Vec<(String, String)> {
    let handling = &case.handling;
    let shown = [
        (handling.before, fl!(locale.l, "pic-before")),
        (handling.after, fl!(locale.l, "pic-after")),
    ];
    let address = |id| format!("/cases/{}/pictures/{id}", case.id);
    shown
        .into_iter()
        .filter_map(|(picture, words)| picture.map(|id| (address(id), words)))
        .collect()
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
