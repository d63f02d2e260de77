//! `/cameras/{facility}/{camera}`: the picture, live where it may be watched, how the camera fares, what is looked
//! for and what was found.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::{HeaderMap, Uri},
    response::Response,
};
use domain::{Camera, CheckSetting, TimeRange, check::CheckKind};
use i18n_embed_fl::fl;
use store::records::FindingFilter;

use super::cameras::find;
use crate::{
    app::App,
    cameras::{CameraNow, series_key},
    failure::Failure,
    format::Locale,
    query::Parameters,
    view::{
        camera::{CameraCard, is_teachable, page_of, still_href},
        chart::{Chart, ChartLine, ChartRequest},
        finding::{FindingTeller, FindingWords},
        page::{Nav, Page},
        scene::Scene,
    },
    visitor::Visitor,
    watcher::{self, Watching},
};

/// Findings shown on a camera's page.
const FINDINGS: u32 = 12;
/// How often health and counts are written down, in seconds: the chart makes no finer buckets.
const SERIES_S: u32 = 10;

/// The series that can be looked at.
const SERIES: [&str; 8] = [
    "person_count",
    "frame_rate",
    "bitrate",
    "frame_age",
    "compliance_share",
    "unjudged_share",
    "people_in",
    "people_out",
];

/// The spans a chart can be asked for: name, milliseconds.
const RANGES: [(&str, i64); 4] = [
    ("1h", 3_600_000),
    ("6h", 6 * 3_600_000),
    ("24h", 86_400_000),
    ("7d", 7 * 86_400_000),
];

struct Choice {
    label: String,
    href: String,
    current: bool,
}

/// A check of this camera.
struct CheckRow {
    name: &'static str,
    zone: String,
    hours: String,
    rule: String,
    teach: Option<String>,
}

#[derive(Template)]
#[template(path = "camera.html")]
struct CameraPage {
    page: Page,
    id: String,
    /// The camera as `/findings` is asked for it.
    camera_query: String,
    href: String,
    place: String,
    about: String,
    facility: String,
    facility_href: String,
    gb_id: String,
    card: CameraCard,
    still: Option<String>,
    scene: Scene,
    may_watch: bool,
    watching: Watching,
    live_url: String,
    checks: Vec<CheckRow>,
    findings: Vec<FindingWords>,
    chart: Chart,
    series: Vec<Choice>,
    ranges: Vec<Choice>,
    settings: Vec<(String, String)>,
    /// Whether the camera has just been attached.
    fresh: bool,
    max_purpose: usize,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let camera = find(&app, &visitor, path).await?;
    let locale = visitor.locale(&app);
    let now = app.camera_now(&visitor.scope, &camera, 0);
    let (series, range) = chosen(&parameters);
    let chart = chart(&app, &visitor, &locale, &now, (series, range.1)).await?;
    let directory = app.directory().await?;
    let cameras = app.all_cameras().await?;
    let rules = app.stores.alerts.rules();
    let teller = FindingTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
        cameras: &cameras,
    };
    let filter = FindingFilter {
        camera: Some(camera.key.clone()),
        limit: FINDINGS,
        ..FindingFilter::default()
    };
    let findings = app.stores.records.findings(&visitor.scope, &filter).await?;
    let still = (app.stores.sight.still)(&camera.key);
    let href = page_of(&camera.key);
    let place = locale.camera(&camera);
    let page = Page::new(&app, &visitor, Nav::Cameras, place.clone(), &href).following(&format!(
        "page=camera&facility={}&camera={}",
        camera.key.facility, camera.key.camera
    ));
    let view = CameraPage {
        page,
        id: camera.key.camera.to_string(),
        camera_query: camera.key.to_string(),
        about: locale.room(camera.room),
        facility: teller.facility(&camera.key),
        facility_href: format!("/facilities/{}", camera.key.facility),
        gb_id: camera
            .gb_id
            .as_ref()
            .map(|g| g.as_str().to_owned())
            .unwrap_or_default(),
        card: CameraCard::new(&locale, &now),
        still: still.as_ref().map(|s| still_href(&camera.key, s)),
        scene: Scene::of(&camera),
        may_watch: camera.live && camera.enabled,
        watching: Watching::of(&visitor, &headers),
        live_url: format!("/live/{}/{}", camera.key.facility, camera.key.camera),
        checks: camera.checks.iter().map(|c| row(&locale, &camera, c)).collect(),
        findings: findings.iter().map(|f| teller.tell(f)).collect(),
        chart,
        series: series_choices(&locale, series, range.0),
        ranges: range_choices(&locale, series, range.0),
        settings: settings(&locale, &camera),
        fresh: parameters.get("new").is_some(),
        max_purpose: watcher::MAX_PURPOSE,
        place,
        href,
    };
    view.page.answer(view.render())
}

fn row(locale: &Locale, camera: &Camera, setting: &CheckSetting) -> CheckRow {
    let zone = setting.zone.as_ref();
    let named = zone.and_then(|id| camera.zone(id)).map(|z| z.name.clone());
    let zone_id = zone.map(ToString::to_string).unwrap_or_default();
    let teach = is_teachable(setting.check).then(|| {
        let base = format!("{}/teach/{}", page_of(&camera.key), setting.check.code());
        match zone_id.is_empty() {
            true => base,
            false => format!("{base}?zone={zone_id}"),
        }
    });
    let vote = setting.vote;
    let seconds = setting.min_duration_s;
    let rule = match setting.check.info().kind {
        CheckKind::Picture => fl!(locale.l, "check-lasts", s = seconds),
        _ => fl!(
            locale.l,
            "check-rule",
            needed = vote.needed,
            of = vote.of,
            s = seconds
        ),
    };
    CheckRow {
        name: locale.check(setting.check),
        zone: named.filter(|n| !n.is_empty()).unwrap_or(zone_id),
        hours: locale.hours(setting.hours),
        rule,
        teach,
    }
}

fn settings(locale: &Locale, camera: &Camera) -> Vec<(String, String)> {
    let l = locale.l;
    let mut settings = vec![
        (fl!(l, "set-source"), locale.source(&camera.source)),
        (fl!(l, "set-decoding"), locale.decoding(camera.decoding)),
        (fl!(l, "set-retention"), locale.retention(camera.retention)),
    ];
    if let Some(people) = camera.capacity {
        settings.push((fl!(l, "set-capacity"), people.to_string()));
    }
    settings.push((fl!(l, "set-masks"), camera.masks.len().to_string()));
    settings
}

fn chosen(parameters: &Parameters) -> (&'static str, (&'static str, i64)) {
    let asked = parameters.get("series").unwrap_or_default();
    let series = SERIES.into_iter().find(|s| *s == asked).unwrap_or(SERIES[0]);
    let asked = parameters.get("range").unwrap_or_default();
    let range = RANGES.into_iter().find(|r| r.0 == asked).unwrap_or(RANGES[1]);
    (series, range)
}

async fn chart(
    app: &Arc<App>,
    visitor: &Visitor,
    locale: &Locale,
    now: &CameraNow,
    (series, span_ms): (&'static str, i64),
) -> Result<Chart, Failure> {
    let key = series_key(&now.camera.key, series);
    let label = locale.metric(&key.metric);
    let request = ChartRequest {
        label: label.clone(),
        lines: vec![ChartLine {
            label,
            series: app.stores.series.find(&visitor.scope, &key),
            key,
            interval_s: SERIES_S,
        }],
        limits: Vec::new(),
        range: TimeRange::ending_at(locale.now, span_ms),
        marks: Vec::new(),
        live: true,
        anchored: false,
    };
    Chart::draw(app, &visitor.scope, locale, request).await
}

fn series_choices(locale: &Locale, current: &str, range: &str) -> Vec<Choice> {
    let choice = |name: &'static str| {
        let metric = domain::Metric::new(name).ok()?;
        Some(Choice {
            label: locale.metric(&metric),
            href: format!("?series={name}&range={range}#chart-card"),
            current: name == current,
        })
    };
    SERIES.into_iter().filter_map(choice).collect()
}

fn range_choices(locale: &Locale, series: &str, current: &str) -> Vec<Choice> {
    let label = |name: &str| match name {
        "1h" => fl!(locale.l, "range-1h"),
        "6h" => fl!(locale.l, "range-6h"),
        "24h" => fl!(locale.l, "range-24h"),
        _ => fl!(locale.l, "range-7d"),
    };
    RANGES
        .into_iter()
        .map(|(name, _)| Choice {
            label: label(name),
            href: format!("?series={series}&range={name}#chart-card"),
            current: name == current,
        })
        .collect()
}
