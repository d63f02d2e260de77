//! `/api/v1/findings`: what cameras say they saw, and what people say of that.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::Uri,
    response::IntoResponse,
};
use domain::{Check, Sighted};
use serde::Serialize;
use store::records::{Finding, FindingFilter, ReviewState};

use super::{cameras::read, json};
use crate::{
    app::App,
    failure::Failure,
    format::iso,
    pages::findings::{ReviewForm, before, camera, finding_id},
    query::Parameters,
    visitor::Visitor,
};

#[derive(Serialize)]
struct ReviewBody {
    verdict: &'static str,
    by: String,
    at: String,
    comment: String,
}

#[derive(Serialize)]
pub(super) struct FindingBody {
    id: i64,
    version: i64,
    facility: String,
    camera: String,
    /// As it was told: check, zone, times, score, tally, model, boxes.
    said: Sighted,
    at: String,
    ended_at: Option<String>,
    evidence: Vec<String>,
    state: &'static str,
    review: Option<ReviewBody>,
}

impl From<Finding> for FindingBody {
    fn from(finding: Finding) -> FindingBody {
        FindingBody {
            id: finding.id.0,
            version: finding.version,
            facility: finding.camera.facility.to_string(),
            camera: finding.camera.camera.to_string(),
            at: iso(finding.said.at),
            ended_at: finding.ended_at.map(iso),
            evidence: finding.evidence.iter().map(ToString::to_string).collect(),
            state: finding.state().code(),
            review: finding.review.map(|r| ReviewBody {
                verdict: r.verdict.code(),
                by: r.note.by,
                at: iso(r.note.at),
                comment: r.note.comment,
            }),
            said: finding.said,
        }
    }
}

#[derive(Serialize)]
struct Findings {
    findings: Vec<FindingBody>,
    /// The finding before which to go on; absent on the last page.
    next: Option<i64>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 200, 50)?;
    let review = match parameters.get("state").map(ReviewState::parse) {
        None => None,
        Some(Some(state)) => Some(state),
        Some(None) => {
            return Err(Failure::bad_parameter("state", "waiting, confirmed or rejected"));
        }
    };
    let check = match parameters.get("check").map(Check::parse) {
        None => None,
        Some(Some(check)) => Some(check),
        Some(None) => return Err(Failure::bad_parameter("check", "the name of a check")),
    };
    let filter = FindingFilter {
        facility: parameters.facility()?,
        camera: camera(&parameters)?,
        check,
        review,
        before: before(&parameters)?,
        limit: limit + 1,
    };
    let mut found = app.stores.records.findings(&visitor.scope, &filter).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|f| f.id.0);
    Ok(json(Findings {
        findings: found.into_iter().map(FindingBody::from).collect(),
        next,
    }))
}

pub(super) async fn review(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(finding): Path<String>,
    body: Result<Json<ReviewForm>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    let id = finding_id(&finding)?;
    let form = read(body)?;
    let review = form.review(&visitor)?;
    let done = app.review(&visitor, id, form.how(), review).await?;
    Ok(json(FindingBody::from(done)))
}
