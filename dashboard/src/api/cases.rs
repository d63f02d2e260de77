//! `/api/v1/cases`: cases, and what people do to them.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State, rejection::JsonRejection},
    http::Uri,
    response::IntoResponse,
};
use domain::{
    CaseId, CaseState, UtcMillis,
    case::{Act, Note, PictureId, Plan, Proof},
};
use serde::{Deserialize, Serialize};
use store::records::{CaseAction, CaseFilter};

use super::{
    body::{ActBody, CaseBody},
    cameras::read,
    json,
};
use crate::{
    app::App,
    failure::{Failure, Kind},
    pages::case::{case_id, find},
    query::Parameters,
    signed,
    visitor::Visitor,
};

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

#[derive(Serialize)]
struct OneCase {
    #[serde(flatten)]
    case: CaseBody,
    acts: Vec<ActBody>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let case = find(&app, &visitor, &case).await?;
    let acts = app.stores.records.case_acts(&visitor.scope, case.id).await?;
    Ok(json(OneCase {
        case: CaseBody::new(&case, &app.stores.alerts.rules()),
        acts: acts.iter().map(ActBody::from).collect(),
    }))
}

/// What a program asks of a case on somebody's behalf.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActRequest {
    act: String,
    by: String,
    #[serde(default)]
    comment: String,
    version: i64,
    /// The request's own name: sent again, it acts once.
    #[serde(default)]
    once: Option<String>,
    #[serde(default)]
    measure: String,
    #[serde(default)]
    responsible: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    due_at_ms: Option<i64>,
    /// A picture that was put in before.
    #[serde(default)]
    picture: Option<String>,
}

impl ActRequest {
    fn action(self, app: &App, visitor: &Visitor) -> Result<CaseAction, Failure> {
        let act = Act::parse(&self.act).ok_or_else(|| Failure::bad_parameter("act", "the name of an act"))?;
        visitor.check_act(&act)?;
        let picture = match self.picture.as_deref().map(PictureId::parse) {
            None => None,
            Some(Some(picture)) => Some(picture),
            Some(None) => return Err(Failure::bad_parameter("picture", "64 hexadecimal digits")),
        };
        let note = Note {
            by: signed::name(visitor, &self.by)?.to_owned(),
            at: app.stores.clock.now(),
            comment: signed::comment(&self.comment)?,
        };
        let act = match act {
            Act::Begin(_) => Act::Begin(Plan {
                measure: self.measure,
                responsible: self.responsible,
                due_at: self.due_at_ms.map(UtcMillis),
                before: picture,
            }),
            Act::Submit(_) => Act::Submit(Proof { after: picture }),
            other => other,
        };
        Ok(CaseAction {
            act,
            note,
            once: self.once,
        })
    }
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
    body: Result<Json<ActRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    let id = case_id(&case)?;
    let request = read(body)?;
    let version = request.version;
    let action = request.action(&app, &visitor)?;
    let done = app.stores.alerts.act(&visitor.scope, id, version, action).await?;
    Ok(json(CaseBody::new(&done, &app.stores.alerts.rules())))
}

#[derive(Serialize)]
struct Kept {
    picture: String,
}

/// Keeps a picture (the body is the JPEG) and answers with its name.
pub(super) async fn picture(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(case): Path<String>,
    body: Bytes,
) -> Result<impl IntoResponse, Failure> {
    let id = case_id(&case)?;
    if body.is_empty() {
        return Err(Failure::new(Kind::BadRequest, "the body must be a JPEG picture"));
    }
    let kept = app
        .stores
        .records
        .put_case_picture(&visitor.scope, id, &body)
        .await?;
    Ok(json(Kept {
        picture: kept.to_string(),
    }))
}
