//! `/facilities` and `/facilities/{id}`: every kitchen at a glance, and one of them in full.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::Uri,
    response::Response,
};
use domain::{CaseState, FacilityId, TimeRange};
use i18n_embed_fl::fl;
use store::records::CaseFilter;

use crate::{
    app::App,
    failure::Failure,
    format::Locale,
    picture::{FacilityNow, Shown, count_cases},
    query::{Parameters, id},
    view::{
        camera::CameraTile,
        case::{CaseList, CaseTeller},
        chart::{Chart, ChartLine, ChartRequest},
        facility::FacilityHead,
        page::{Nav, Page},
        point::Points,
        tile::Tile,
    },
    visitor::Visitor,
};

/// Facilities on one page of the list.
const PER_PAGE: usize = 200;
/// Open cases shown on a facility's page.
const OPEN_CASES: u32 = 100;
/// Past cases shown on a facility's page.
const PAST_CASES: u32 = 20;

/// The spans a chart can be asked for: name, milliseconds.
const RANGES: [(&str, i64); 6] = [
    ("1h", 3_600_000),
    ("6h", 6 * 3_600_000),
    ("24h", 86_400_000),
    ("7d", 7 * 86_400_000),
    ("30d", 30 * 86_400_000),
    ("1y", 365 * 86_400_000),
];

/// A link that is one of several.
struct Choice {
    label: String,
    href: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "facilities.html")]
struct Facilities {
    page: Page,
    tiles: Vec<Tile>,
    total: usize,
    found: usize,
    query: String,
    filter: String,
    filters: Vec<Choice>,
    next: Option<String>,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let query = parameters
        .get("q")
        .unwrap_or_default()
        .chars()
        .take(64)
        .collect::<String>();
    let filter = parameters.get("state").unwrap_or_default();
    let from = parameters.number("from", 0, 1_000_000, 0)? as usize;
    let mut all = app.facilities_now(&visitor.scope, &directory);
    count_cases(&mut all, &app.open_cases(&visitor.scope).await?);
    let total = all.len();
    let mut found: Vec<FacilityNow> = all
        .into_iter()
        .filter(|f| matches(f, &query) && in_state(f, filter))
        .collect();
    let count = found.len();
    found = found.into_iter().skip(from).take(PER_PAGE).collect();
    app.draw_headlines(&mut found, PER_PAGE).await;
    let filter = if ["breach", "unknown", "normal"].contains(&filter) {
        filter
    } else {
        ""
    };
    let page = Page::new(
        &app,
        &visitor,
        Nav::Facilities,
        fl!(locale.l, "facilities-title"),
        "/facilities",
    );
    let view = Facilities {
        page: page.following("page=facilities"),
        tiles: found.iter().map(|f| Tile::new(&locale, f)).collect(),
        total,
        found: count,
        filters: filters(&locale, filter),
        next: (from + PER_PAGE < count)
            .then(|| format!("/facilities?state={filter}&from={}", from + PER_PAGE)),
        filter: filter.to_owned(),
        query,
    };
    view.page.answer(view.render())
}

fn matches(facility: &FacilityNow, query: &str) -> bool {
    let (f, query) = (&facility.entry.facility, query.trim().to_lowercase());
    [f.id.as_str(), &f.name_zh, &f.name_en, &f.address]
        .iter()
        .any(|t| t.to_lowercase().contains(&query))
}

fn in_state(facility: &FacilityNow, filter: &str) -> bool {
    match filter {
        "breach" => facility.worst.is_breach(),
        "unknown" => facility.points.is_empty() || facility.points.iter().any(|p| p.state == Shown::Unknown),
        "normal" => facility.worst > Shown::Unknown,
        _ => true,
    }
}

fn filters(locale: &Locale, current: &str) -> Vec<Choice> {
    let choice = |name: &str, label: String| Choice {
        label,
        href: if name.is_empty() {
            "/facilities".to_owned()
        } else {
            format!("/facilities?state={name}")
        },
        current: name == current,
    };
    vec![
        choice("", fl!(locale.l, "filter-all")),
        choice("breach", fl!(locale.l, "filter-breach")),
        choice("unknown", fl!(locale.l, "filter-unknown")),
        choice("normal", fl!(locale.l, "filter-normal")),
    ]
}

#[derive(Template)]
#[template(path = "facility.html")]
struct FacilityPage {
    page: Page,
    id: String,
    name: String,
    head: FacilityHead,
    points: Points,
    chart: Chart,
    ranges: Vec<Choice>,
    chart_points: Vec<Choice>,
    open: CaseList,
    past: CaseList,
    cameras: Vec<CameraTile>,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(facility): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let facility = id("facility", &facility, FacilityId::new)?;
    let parameters = Parameters::of(&uri)?;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let entry = directory
        .facility(&visitor.scope, &facility)
        .ok_or_else(|| Failure::not_found("facility"))?;
    let mut now = app.facility_now(&visitor.scope, entry, &app.judgement());
    app.draw_points(&mut now, super::overview::MAX_SPARKS).await;
    let chosen = chosen_point(&now, &parameters);
    let range = RANGES
        .iter()
        .find(|r| Some(r.0) == parameters.get("range"))
        .unwrap_or(&RANGES[1]);
    let request = point_chart(&locale, &now, chosen, range.1);
    let chart = Chart::draw(&app, &visitor.scope, &locale, request).await?;
    let rules = app.stores.alerts.rules();
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let (open, past) = case_lists(&app, &teller, &facility).await?;
    let cameras = app.cameras_now(&visitor.scope).await?;
    let own = cameras.iter().filter(|c| c.camera.key.facility == facility);
    let cameras = own.map(|c| app.camera_tile(&locale, &directory, c)).collect();
    let name = locale.facility(&entry.facility).to_owned();
    let chart_of = chosen.map(|i| chart_href(&now, i, range.0)).unwrap_or_default();
    let path = format!(
        "/facilities/{facility}{}",
        chart_of.trim_end_matches("#chart-card")
    );
    let page = Page::new(&app, &visitor, Nav::Facilities, name.clone(), &path)
        .following(&format!("page=facility&facility={facility}"));
    let view = FacilityPage {
        page,
        id: facility.to_string(),
        name,
        head: FacilityHead::new(&locale, &now),
        points: Points::new(&locale, &now),
        chart,
        ranges: ranges(&locale, &now, chosen, range.0),
        chart_points: chart_points(&locale, &now, chosen, range.0),
        open,
        past,
        cameras,
    };
    view.page.answer(view.render())
}

/// The facility's open cases, and those that are past.
async fn case_lists(
    app: &App,
    teller: &CaseTeller<'_>,
    facility: &FacilityId,
) -> Result<(CaseList, CaseList), Failure> {
    let l = teller.locale.l;
    let not_closed = CaseState::UNFINISHED.to_vec();
    let open = CaseList {
        l,
        cases: cases(app, teller, facility, not_closed, OPEN_CASES).await?,
        none: fl!(l, "cases-none-open"),
    };
    let past = CaseList {
        l,
        cases: cases(app, teller, facility, vec![CaseState::Closed], PAST_CASES).await?,
        none: fl!(l, "cases-none-past"),
    };
    Ok((open, past))
}

async fn cases(
    app: &App,
    teller: &CaseTeller<'_>,
    facility: &FacilityId,
    states: Vec<CaseState>,
    limit: u32,
) -> Result<Vec<crate::view::case::CaseWords>, Failure> {
    let filter = CaseFilter {
        facility: Some(facility.clone()),
        states,
        limit,
        before: None,
    };
    let cases = app.stores.records.cases(teller.scope, &filter).await?;
    Ok(cases.iter().map(|c| teller.tell(c)).collect())
}

/// The point that the address names, else the one that stands for the facility.
fn chosen_point(now: &FacilityNow, parameters: &Parameters) -> Option<usize> {
    let (device, metric) = (parameters.get("device"), parameters.get("metric"));
    let named = now
        .entry
        .points
        .iter()
        .position(|p| Some(p.key.device.as_str()) == device && Some(p.key.metric.as_str()) == metric);
    named.or(now.headline)
}

fn point_chart(locale: &Locale, now: &FacilityNow, chosen: Option<usize>, span_ms: i64) -> ChartRequest {
    let range = TimeRange::ending_at(locale.now, span_ms);
    let Some(i) = chosen else {
        return ChartRequest {
            label: fl!(locale.l, "chart-title"),
            lines: Vec::new(),
            limits: Vec::new(),
            range,
            marks: Vec::new(),
            live: false,
            anchored: false,
        };
    };
    let (entry, point) = (&now.entry.points[i], &now.points[i]);
    let label = format!(
        "{} · {}",
        locale.place(&entry.point),
        locale.metric(&entry.key.metric)
    );
    ChartRequest {
        label: label.clone(),
        lines: vec![ChartLine {
            label,
            key: entry.key.clone(),
            series: point.series,
            interval_s: entry.point.report_interval_s,
        }],
        limits: point.limits.clone(),
        range,
        marks: Vec::new(),
        live: true,
        anchored: false,
    }
}

fn chart_href(now: &FacilityNow, point: usize, range: &str) -> String {
    let key = &now.entry.points[point].key;
    format!(
        "?device={}&metric={}&range={range}#chart-card",
        key.device, key.metric
    )
}

fn ranges(locale: &Locale, now: &FacilityNow, chosen: Option<usize>, current: &str) -> Vec<Choice> {
    let Some(chosen) = chosen else { return Vec::new() };
    let label = |name: &str| match name {
        "1h" => fl!(locale.l, "range-1h"),
        "6h" => fl!(locale.l, "range-6h"),
        "24h" => fl!(locale.l, "range-24h"),
        "7d" => fl!(locale.l, "range-7d"),
        "30d" => fl!(locale.l, "range-30d"),
        _ => fl!(locale.l, "range-1y"),
    };
    RANGES
        .iter()
        .map(|(name, _)| Choice {
            label: label(name),
            href: chart_href(now, chosen, name),
            current: *name == current,
        })
        .collect()
}

fn chart_points(locale: &Locale, now: &FacilityNow, chosen: Option<usize>, range: &str) -> Vec<Choice> {
    now.entry
        .points
        .iter()
        .enumerate()
        .map(|(i, p)| Choice {
            label: format!("{} · {}", locale.place(&p.point), locale.metric(&p.key.metric)),
            href: chart_href(now, i, range),
            current: Some(i) == chosen,
        })
        .collect()
}
