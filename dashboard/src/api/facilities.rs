//! `GET /api/v1/facilities`.

use std::sync::Arc;

use axum::{extract::State, http::Uri, response::IntoResponse};
use domain::FacilityId;
use serde::Serialize;

use super::{
    body::{FacilityBody, PointBody},
    json,
};
use crate::{
    app::App,
    failure::Failure,
    query::{Parameters, id},
    visitor::Visitor,
};

#[derive(Serialize)]
struct Facilities {
    facilities: Vec<FacilityBody>,
    /// The facility after which to go on; absent on the last page.
    next: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 500, 100)? as usize;
    let after = parameters.get("after").map(|text| id("after", text, FacilityId::new)).transpose()?;
    let only = parameters.facility()?;
    let directory = app.directory().await?;
    let judgement = app.judgement();
    let mut wanted = directory
        .facilities(&visitor.scope)
        .filter(|e| after.as_ref().is_none_or(|a| e.facility.id > *a))
        .filter(|e| only.as_ref().is_none_or(|o| e.facility.id == *o));
    let mut facilities = Vec::new();
    let mut last = None;
    for entry in wanted.by_ref().take(limit) {
        let now = app.facility_now(&visitor.scope, entry, &judgement);
        let points = entry.points.iter().zip(&now.points).map(|(e, p)| PointBody::new(e, p)).collect();
        facilities.push(FacilityBody::new(&entry.facility, now.worst.code(), points));
        last = Some(entry.facility.id.to_string());
    }
    let next = last.filter(|_| wanted.next().is_some());
    Ok(json(Facilities { facilities, next }))
}
