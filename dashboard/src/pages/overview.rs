//! `/`: what needs somebody now, the key figures, and every facility at a glance.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, response::Response};
use domain::{Case, CaseState, TimeRange};
use i18n_embed_fl::fl;
use store::records::CaseFilter;

use crate::{
    app::App,
    failure::Failure,
    picture::{FacilityNow, count_cases},
    view::{
        case::{CaseTeller, Queue},
        chart::{Chart, ChartLine, ChartRequest},
        kpis::{Figures, Kpis},
        page::{Nav, Page},
        tile::Tile,
    },
    visitor::Visitor,
};

/// The most tiles on the overview, worst first; the others are on the page of facilities.
pub(crate) const MAX_TILES: usize = 120;
/// Cases in the queue.
pub(crate) const MAX_CASES: u32 = 200;
/// Sparklines drawn anew for one request.
pub(crate) const MAX_SPARKS: usize = 150;
const TREND_MS: i64 = 6 * 3_600_000;
const TREND_LINES: usize = 3;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    page: Page,
    kpis: Kpis,
    queue: Queue,
    chart: Chart,
    tiles: Vec<Tile>,
    facilities: usize,
    hidden: usize,
}

impl App {
    /// The cases that are not closed, in no particular order.
    pub(crate) async fn open_cases(&self, visitor_scope: &domain::Scope) -> Result<Vec<Case>, Failure> {
        let filter = CaseFilter {
            facility: None,
            states: CaseState::UNFINISHED.to_vec(),
            limit: MAX_CASES,
            before: None,
        };
        Ok(self.stores.records.cases(visitor_scope, &filter).await?)
    }
}

pub(crate) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let cases = app.open_cases(&visitor.scope).await?;
    let mut all = app.facilities_now(&visitor.scope, &directory);
    count_cases(&mut all, &cases);
    app.draw_headlines(&mut all, MAX_SPARKS).await;
    let rules = app.stores.alerts.rules();
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let queue = teller.queue(&cases);
    let figures = Figures::new(&all, &cases, app.live.rate());
    let request = trend(&locale, &all);
    let chart = Chart::draw(&app, &visitor.scope, &locale, request).await?;
    let title = fl!(locale.l, "overview-title");
    let page = Page::new(&app, &visitor, Nav::Overview, title, "/").following("page=overview");
    let overview = Overview {
        page,
        kpis: Kpis::new(&locale, &figures),
        queue,
        chart,
        facilities: all.len(),
        hidden: all.len().saturating_sub(MAX_TILES),
        tiles: all
            .iter()
            .take(MAX_TILES)
            .map(|f| Tile::new(&locale, f))
            .collect(),
    };
    overview.page.answer(overview.render())
}

/// The temperatures that matter most now: those of the worst facilities, under the first one's limit.
fn trend(locale: &crate::format::Locale, all: &[FacilityNow]) -> ChartRequest {
    let temperatures = all.iter().filter_map(|f| {
        let (entry, now) = f.headline()?;
        (entry.key.metric.as_str() == "temperature" && now.series.is_some()).then_some((f, entry, now))
    });
    // One picture has one limit: only points of the first one's type are drawn beside it.
    let mut temperatures = temperatures.peekable();
    let kind = temperatures
        .peek()
        .map(|(_, entry, _)| entry.point.point_type.clone());
    let same = temperatures.filter(|(_, entry, _)| Some(&entry.point.point_type) == kind.as_ref());
    let chosen: Vec<_> = same.take(TREND_LINES).collect();
    ChartRequest {
        label: fl!(locale.l, "trend-title"),
        limits: chosen
            .first()
            .map(|(_, _, now)| now.limits.iter().take(1).cloned().collect())
            .unwrap_or_default(),
        lines: chosen
            .iter()
            .map(|(facility, entry, now)| ChartLine {
                label: format!(
                    "{} · {}",
                    locale.facility(&facility.entry.facility),
                    locale.place(&entry.point)
                ),
                key: entry.key.clone(),
                series: now.series,
                interval_s: entry.point.report_interval_s,
            })
            .collect(),
        range: TimeRange::ending_at(locale.now, TREND_MS),
        marks: Vec::new(),
        live: true,
        anchored: false,
    }
}
