//! `GET /api/v1/points/{facility}/{device}/{metric}/latest` and `…/window`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::Uri,
    response::IntoResponse,
};
use domain::{Scope, SeriesId, SeriesKey};
use serde::Serialize;
use store::{Aggregate, Aggregates, Step, WindowBucket, WindowQuery};

use super::{body::SampleBody, json};
use crate::{
    analysis::level_code,
    app::App,
    failure::Failure,
    format::iso,
    query::{Parameters, series_key},
    visitor::Visitor,
};

#[derive(Serialize)]
struct Latest {
    facility: String,
    device: String,
    metric: String,
    unit: &'static str,
    #[serde(flatten)]
    sample: SampleBody,
}

/// One bucket: left-closed, named by its start.
#[derive(Serialize)]
struct BucketBody {
    start_ms: i64,
    count: u64,
    min: f64,
    max: f64,
    avg: f64,
    last: f64,
    /// The quantiles that were asked for, by nearest rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
}

impl From<&WindowBucket> for BucketBody {
    fn from(b: &WindowBucket) -> BucketBody {
        BucketBody {
            start_ms: b.start.0,
            count: b.count,
            min: b.min,
            max: b.max,
            avg: b.avg(),
            last: b.last,
            p50: b.quantiles.p50,
            p95: b.quantiles.p95,
            p99: b.quantiles.p99,
        }
    }
}

/// Empty buckets are absent.
#[derive(Serialize)]
struct Window {
    facility: String,
    device: String,
    metric: String,
    unit: &'static str,
    from: String,
    to: String,
    bucket_ms: f64,
    /// How fine the data are that it rests on: `raw`, `minute` or `hour`.
    level: &'static str,
    buckets: Vec<BucketBody>,
}

type PointPath = Path<(String, String, String)>;

pub(super) async fn latest(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, device, metric)): PointPath,
) -> Result<impl IntoResponse, Failure> {
    let key = series_key(&facility, &device, &metric)?;
    let series = find(&app, &visitor.scope, &key)?;
    let sample = app.stores.series.latest(&visitor.scope, series);
    let sample = sample.ok_or_else(|| Failure::not_found("reading: the series is known but empty"))?;
    Ok(json(Latest {
        facility,
        device,
        unit: key.metric.unit().code(),
        metric,
        sample: SampleBody::from(sample),
    }))
}

pub(super) async fn window(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, device, metric)): PointPath,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let key = series_key(&facility, &device, &metric)?;
    let parameters = Parameters::of(&uri)?;
    let (range, count) = parameters.window(app.stores.clock.now())?;
    let aggregates = aggregates(&parameters)?;
    let series = find(&app, &visitor.scope, &key)?;
    let query = WindowQuery {
        range,
        step: Step::Parts(count),
        aggregates,
    };
    let answer = app.window_answer(&visitor.scope, series, query).await?;
    Ok(json(Window {
        facility,
        device,
        unit: key.metric.unit().code(),
        metric,
        from: iso(range.from),
        to: iso(range.to),
        bucket_ms: range.length_ms() as f64 / f64::from(count),
        level: level_code(answer.level),
        buckets: answer.buckets.iter().map(BucketBody::from).collect(),
    }))
}

/// What costs nothing, and the quantiles that are asked for: `0.5`, `0.95`, `0.99`, with commas between.
fn aggregates(parameters: &Parameters) -> Result<Aggregates, Failure> {
    let asked = parameters.get("quantiles").unwrap_or_default();
    let mut wanted = Aggregates::PLAIN;
    for one in asked.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        wanted = wanted.with(match one {
            "0.5" | "0.50" | "p50" => Aggregate::P50,
            "0.95" | "p95" => Aggregate::P95,
            "0.99" | "p99" => Aggregate::P99,
            _ => {
                return Err(Failure::bad_parameter(
                    "quantiles",
                    "some of 0.5, 0.95 and 0.99 with commas between",
                ));
            }
        });
    }
    Ok(wanted)
}

fn find(app: &App, scope: &Scope, key: &SeriesKey) -> Result<SeriesId, Failure> {
    app.stores
        .series
        .find(scope, key)
        .ok_or_else(|| Failure::not_found("point, or nothing has been received from it yet"))
}
