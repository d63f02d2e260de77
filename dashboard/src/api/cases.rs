//! `GET /api/v1/cases`.

use std::sync::Arc;

use axum::{extract::State, http::Uri, response::IntoResponse};
use domain::{CaseId, CaseState};
use serde::Serialize;
use store::records::CaseFilter;

use super::{body::CaseBody, json};
use crate::{app::App, failure::Failure, query::Parameters, visitor::Visitor};

#[derive(Serialize)]
struct Cases {
    cases: Vec<CaseBody>,
    /// The case before which to go on; absent on the last page.
    next: Option<i64>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 200, 50)?;
    let before = match parameters.get("before").map(str::parse::<i64>) {
        None => None,
        Some(Ok(n)) if n > 0 => Some(CaseId(n)),
        Some(_) => return Err(Failure::bad_parameter("before", "a case's number")),
    };
    let mut states = Vec::new();
    for code in parameters
        .get("state")
        .unwrap_or_default()
        .split(',')
        .filter(|c| !c.is_empty())
    {
        let state = CaseState::parse(code).ok_or_else(|| {
            Failure::bad_parameter("state", "of open, acknowledged, rectifying, submitted, rejected, disputed, verified, closed, with commas between")
        })?;
        states.push(state);
    }
    // One more than asked for tells whether there is a next page.
    let filter = CaseFilter {
        facility: parameters.facility()?,
        states,
        limit: limit + 1,
        before,
    };
    let mut cases = app.stores.records.cases(&visitor.scope, &filter).await?;
    let more = cases.len() > limit as usize;
    cases.truncate(limit as usize);
    let next = cases.last().filter(|_| more).map(|c| c.id.0);
    let rules = app.stores.alerts.rules();
    Ok(json(Cases {
        cases: cases.iter().map(|c| CaseBody::new(c, &rules)).collect(),
        next,
    }))
}
