//! A chart: drawn here once, so that it is there without JavaScript, and described so that the browser
//! can draw a better one.

use std::sync::Arc;

use askama::Template;
use domain::{Scope, SeriesId, SeriesKey, TimeRange};
use serde::Serialize;

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::{Locale, is_switch},
    picture::Limit,
    spark,
};
use store::Bucket;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const BUCKETS: u32 = 180;

/// A line of a chart.
pub(crate) struct ChartLine {
    pub(crate) label: String,
    pub(crate) key: SeriesKey,
    pub(crate) series: Option<SeriesId>,
    /// How often a reading is due, in seconds: the chart makes no finer buckets.
    pub(crate) interval_s: u32,
}

/// What the browser is told.
#[derive(Serialize)]
struct Plan {
    lines: Vec<PlanLine>,
    limits: Vec<PlanLimit>,
    unit: &'static str,
    decimals: u8,
    switch: bool,
    /// What a switch is called when it is off, and when it is on.
    words: [String; 2],
    from: i64,
    to: i64,
    /// Readings to point out.
    marks: Vec<Mark>,
    /// Whether the end of the chart moves with time.
    live: bool,
    /// Whether its beginning stays where it is.
    anchored: bool,
    zone: String,
}

#[derive(Serialize)]
struct PlanLine {
    label: String,
    url: String,
    interval_s: u32,
}

#[derive(Serialize)]
struct PlanLimit {
    value: f64,
    above: bool,
    tone: &'static str,
    label: String,
}

/// A reading to point out.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Mark {
    /// When, in milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) value: f64,
}

/// A line of the picture that is drawn here.
pub(crate) struct DrawnLine {
    pub(crate) class: &'static str,
    pub(crate) label: String,
    pub(crate) path: String,
}

/// A limit of the picture that is drawn here.
pub(crate) struct DrawnLimit {
    pub(crate) y: String,
    pub(crate) top: String,
    pub(crate) height: String,
    pub(crate) label: String,
    pub(crate) tone: &'static str,
}

/// A chart.
#[derive(Template)]
#[template(path = "chart.html")]
pub(crate) struct Chart {
    pub(crate) plan: String,
    pub(crate) label: String,
    pub(crate) lines: Vec<DrawnLine>,
    pub(crate) limits: Vec<DrawnLimit>,
    pub(crate) high: String,
    pub(crate) low: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) empty: Option<String>,
    pub(crate) marked: bool,
    pub(crate) mark_label: String,
}

/// What to draw.
pub(crate) struct ChartRequest {
    pub(crate) label: String,
    pub(crate) lines: Vec<ChartLine>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) range: TimeRange,
    pub(crate) marks: Vec<Mark>,
    pub(crate) live: bool,
    pub(crate) anchored: bool,
}

impl Chart {
    pub(crate) async fn draw(
        app: &Arc<App>,
        scope: &Scope,
        locale: &Locale,
        request: ChartRequest,
    ) -> Result<Chart, Failure> {
        let range = request.range;
        let mut windows: Vec<Vec<Bucket>> = Vec::with_capacity(request.lines.len());
        let mut failed = None;
        for line in &request.lines {
            let read = match line.series {
                Some(series) => app.window(scope, series, range, BUCKETS).await,
                None => Ok(Vec::new()),
            };
            windows.push(match read {
                // Another server's failure leaves the chart empty, with its reason, and the page whole.
                Err(failure) if failure.kind == Kind::Unavailable => {
                    failed = Some(failure.cause);
                    Vec::new()
                }
                read => read?,
            });
        }
        let nearest = request.limits.first().map(|l| l.value);
        let scale = spark::span(windows.iter().flatten(), nearest);
        let measured = windows.iter().any(|w| !w.is_empty());
        let metric = request.lines.first().map(|l| l.key.metric.clone());
        let say = |value: f64| {
            metric
                .as_ref()
                .map_or_else(String::new, |m| locale.value(m, value))
        };
        let classes = ["l1", "l2", "l3"];
        let drawn = request
            .lines
            .iter()
            .zip(&windows)
            .enumerate()
            .map(|(i, (line, window))| DrawnLine {
                class: classes[i % classes.len()],
                label: line.label.clone(),
                path: spark::path(window, range, scale, (WIDTH, HEIGHT)),
            });
        Ok(Chart {
            plan: serde_json::to_string(&plan(app, locale, &request)).map_err(Failure::internal)?,
            label: request.label.clone(),
            lines: drawn.collect(),
            limits: if measured {
                drawn_limits(locale, &request, scale)
            } else {
                Vec::new()
            },
            high: if measured { say(scale.1) } else { String::new() },
            low: if measured { say(scale.0) } else { String::new() },
            from: locale.clock_time(range.from),
            to: locale.clock_time(range.to),
            marked: !request.marks.is_empty() && measured,
            mark_label: i18n_embed_fl::fl!(locale.l, "chart-mark"),
            empty: (!measured).then(|| match failed {
                Some(cause) => i18n_embed_fl::fl!(locale.l, "chart-unavailable", cause = cause),
                None => i18n_embed_fl::fl!(locale.l, "chart-empty"),
            }),
        })
    }
}

fn limit_label(locale: &Locale, request: &ChartRequest, limit: &Limit) -> String {
    let value = request
        .lines
        .first()
        .map_or_else(String::new, |l| locale.value(&l.key.metric, limit.value));
    format!("{} {value}", crate::format::comparison_sign(limit.op))
}

fn drawn_limits(locale: &Locale, request: &ChartRequest, scale: (f64, f64)) -> Vec<DrawnLimit> {
    let visible = request
        .limits
        .iter()
        .filter(|l| scale.0 < l.value && l.value < scale.1);
    visible
        .map(|limit| {
            let y = spark::height_of(limit.value, scale, HEIGHT);
            let (top, height) = if limit.breach_above() {
                (0.0, y)
            } else {
                (y, HEIGHT - y)
            };
            DrawnLimit {
                y: format!("{y:.1}"),
                top: format!("{top:.1}"),
                height: format!("{height:.1}"),
                label: limit_label(locale, request, limit),
                tone: crate::picture::Shown::Active(limit.severity).tone(),
            }
        })
        .collect()
}

fn plan(app: &App, locale: &Locale, request: &ChartRequest) -> Plan {
    let metric = request.lines.first().map(|l| &l.key.metric);
    let info = metric.and_then(|m| m.info());
    Plan {
        lines: request
            .lines
            .iter()
            // What was never heard has no data to ask for.
            .filter(|line| line.series.is_some())
            .map(|line| PlanLine {
                label: line.label.clone(),
                url: format!("/api/v1/points/{}/window", line.key),
                interval_s: line.interval_s,
            })
            .collect(),
        limits: request
            .limits
            .iter()
            .map(|limit| PlanLimit {
                value: limit.value,
                above: limit.breach_above(),
                tone: crate::picture::Shown::Active(limit.severity).tone(),
                label: limit_label(locale, request, limit),
            })
            .collect(),
        unit: metric.map_or("", |m| m.unit().sign()),
        decimals: info.map_or(2, |i| i.decimals),
        switch: metric.is_some_and(is_switch),
        words: [0.0, 1.0].map(|v| metric.map_or_else(String::new, |m| locale.number(m, v))),
        from: request.range.from.0,
        to: request.range.to.0,
        marks: request.marks.clone(),
        live: request.live,
        anchored: request.anchored,
        zone: app.site().time_zone.clone(),
    }
}
