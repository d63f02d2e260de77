//! `GET /api/v1/points/{facility}/{device}/{metric}/latest` and `…/window`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::Uri,
    response::IntoResponse,
};
use domain::{Scope, SeriesId, SeriesKey};
use serde::Serialize;
use store::Bucket;

use super::{body::SampleBody, json};
use crate::{
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
}

impl From<&Bucket> for BucketBody {
    fn from(b: &Bucket) -> BucketBody {
        BucketBody { start_ms: b.start.0, count: b.count, min: b.min, max: b.max, avg: b.avg(), last: b.last }
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
    let (range, count) = Parameters::of(&uri)?.window(app.stores.clock.now())?;
    let series = find(&app, &visitor.scope, &key)?;
    let buckets = app.window(&visitor.scope, series, range, count).await?;
    Ok(json(Window {
        facility,
        device,
        unit: key.metric.unit().code(),
        metric,
        from: iso(range.from),
        to: iso(range.to),
        bucket_ms: range.length_ms() as f64 / f64::from(count),
        buckets: buckets.iter().map(BucketBody::from).collect(),
    }))
}

fn find(app: &App, scope: &Scope, key: &SeriesKey) -> Result<SeriesId, Failure> {
    app.stores
        .series
        .find(scope, key)
        .ok_or_else(|| Failure::not_found("point, or nothing has been received from it yet"))
}
