//! `GET /api/v1/share`: for which share of the known time the values of a set of points were beyond a limit.

use std::sync::Arc;

use axum::{extract::State, http::Uri, response::IntoResponse};
use domain::{Metric, rule::Comparison};
use serde::Serialize;

use super::json;
use crate::{
    analysis::{By, Group, GroupKey, Question, level_code},
    app::App,
    failure::Failure,
    format::iso,
    query::{Parameters, id},
    visitor::Visitor,
};

/// Groups of one page.
const DEFAULT_GROUPS: u32 = 100;
const MAX_GROUPS: u32 = 1_000;
/// Further than there can be groups.
const MAX_AFTER: u32 = 10_000_000;

#[derive(Serialize)]
struct ShareBody {
    metric: String,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    below: Option<f64>,
    from: String,
    to: String,
    by: &'static str,
    /// The coarsest level that answered for any part of the time.
    level: &'static str,
    total: usize,
    groups: Vec<GroupBody>,
    next: Option<usize>,
}

/// The members that name a group are there by what was asked for.
#[derive(Serialize)]
struct GroupBody {
    rank: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facility: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    points: u32,
    over_ms: i64,
    /// May have been beyond the limit, or not.
    unsure_ms: i64,
    known_ms: i64,
    /// Of the known time; `null` where nothing is known.
    share: Option<f64>,
    /// The same if all that is unsure was beyond the limit.
    share_at_most: Option<f64>,
    /// How much of the time of all its points is known.
    coverage: f64,
}

impl GroupBody {
    fn new(rank: usize, group: &Group, question: &Question) -> GroupBody {
        let (region, facility, device) = match &group.key {
            GroupKey::Region(region) => (Some(region.to_string()), None, None),
            GroupKey::Facility(facility) => (None, Some(facility.to_string()), None),
            GroupKey::Series(key) => (None, Some(key.facility.to_string()), Some(key.device.to_string())),
        };
        let ratios = group.bounds.ratios();
        GroupBody {
            rank,
            region,
            facility,
            device,
            points: group.points,
            over_ms: group.bounds.share.over_ms,
            unsure_ms: group.bounds.unsure_ms,
            known_ms: group.bounds.share.known_ms,
            share: ratios.map(|(least, _)| least),
            share_at_most: ratios.map(|(_, most)| most),
            coverage: group.coverage(question.range),
        }
    }
}

pub(super) async fn share(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let metric = parameters.get("metric").unwrap_or_default();
    let metric = id("metric", metric, Metric::new)?;
    let (above, below) = (parameters.decimal("above")?, parameters.decimal("below")?);
    let (op, limit) = match (above, below) {
        (Some(limit), None) => (Comparison::Above, limit),
        (None, Some(limit)) => (Comparison::Below, limit),
        _ => {
            return Err(Failure::bad_parameter(
                "above",
                "a number, or else \"below\" must be",
            ));
        }
    };
    let by = parameters.get("by").unwrap_or(By::Facility.code());
    let by = By::parse(by).ok_or_else(|| Failure::bad_parameter("by", "series, facility or region"))?;
    let now = app.stores.clock.now();
    let (mut range, _) = parameters.window(now)?;
    range.to = range.to.min(now);
    let question = Question { range, op, limit, by };
    let (facility, kind) = (parameters.facility()?, parameters.get("type"));
    let ranking = app
        .share(&visitor.scope, &question, |point| {
            point.metric == metric
                && facility.as_ref().is_none_or(|of| *of == point.facility)
                && kind.is_none_or(|of| of == point.point_type)
        })
        .await?;
    let most = parameters.number("limit", 1, MAX_GROUPS, DEFAULT_GROUPS)? as usize;
    let after = parameters.number("after", 0, MAX_AFTER, 0)? as usize;
    let total = ranking.groups.len();
    let groups = ranking.groups.iter().enumerate().skip(after).take(most);
    Ok(json(ShareBody {
        unit: metric.unit().code(),
        metric: metric.to_string(),
        above,
        below,
        from: iso(range.from),
        to: iso(range.to),
        by: by.code(),
        level: level_code(ranking.level),
        total,
        groups: groups
            .map(|(index, group)| GroupBody::new(index + 1, group, &question))
            .collect(),
        next: (after.saturating_add(most) < total).then_some(after + most),
    }))
}
