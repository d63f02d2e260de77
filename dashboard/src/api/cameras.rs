//! `/api/v1/cameras`: cameras as they are written down and as they fare. No answer holds a secret: credentials go
//! in and never come out.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use domain::{Camera, CameraKey, CameraSource, Credentials, Permission, ProbeReport, sight::CameraHealth};
use serde::{Deserialize, Serialize};

use super::{body::SampleBody, json};
use crate::{
    app::App,
    cameras::CameraNow,
    failure::{Failure, Kind},
    format::iso,
    pages::cameras::find,
    query::{self, Parameters},
    sight::{ProbeFailure, ProbeRequest},
    signed,
    visitor::Visitor,
};

/// The longest user name or password, in bytes.
const MAX_SECRET: usize = 256;

#[derive(Serialize)]
struct HealthBody {
    #[serde(flatten)]
    health: CameraHealth,
    last_frame_at: Option<String>,
    /// Cause and remedy of the fault, in English.
    advice: Option<&'static str>,
}

#[derive(Serialize)]
struct CameraBody {
    #[serde(flatten)]
    camera: Camera,
    state: &'static str,
    waiting: u64,
    people: Option<SampleBody>,
    health: Option<HealthBody>,
}

impl CameraBody {
    fn of(now: CameraNow) -> CameraBody {
        CameraBody {
            state: now.state.code(),
            waiting: now.waiting,
            people: now.people.map(SampleBody::from),
            health: now.health.map(|health| HealthBody {
                last_frame_at: health.last_frame.map(iso),
                advice: health.fault.map(|f| f.advice().1),
                health,
            }),
            camera: now.camera,
        }
    }
}

#[derive(Serialize)]
struct Cameras {
    cameras: Vec<CameraBody>,
    /// The camera after which to go on; absent on the last page.
    next: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 500, 100)? as usize;
    let facility = parameters.facility()?;
    let after = match parameters.get("after") {
        None => None,
        Some(text) => {
            let (facility, camera) = text
                .split_once('/')
                .ok_or_else(|| Failure::bad_parameter("after", "facility/camera"))?;
            let (facility, camera) = query::device(facility, camera)?;
            Some(CameraKey { facility, camera })
        }
    };
    let mut all = app.cameras_now(&visitor.scope).await?;
    all.retain(|c| facility.as_ref().is_none_or(|f| c.camera.key.facility == *f));
    all.retain(|c| after.as_ref().is_none_or(|a| c.camera.key > *a));
    all.sort_by(|a, b| a.camera.key.cmp(&b.camera.key));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|c| c.camera.key.to_string());
    Ok(json(Cameras {
        cameras: all.into_iter().map(CameraBody::of).collect(),
        next,
    }))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Result<impl IntoResponse, Failure> {
    let camera = find(&app, &visitor, path).await?;
    let waiting = app.waiting_findings(&visitor.scope).await?;
    let waiting = waiting.get(&camera.key).copied().unwrap_or(0);
    Ok(json(CameraBody::of(app.camera_now(
        &visitor.scope,
        &camera,
        waiting,
    ))))
}

/// A camera as it is sent, and who sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutCamera {
    /// Who attaches or changes it; not needed by whoever has signed in.
    #[serde(default)]
    by: String,
    camera: Camera,
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, camera)): Path<(String, String)>,
    body: Result<Json<PutCamera>, JsonRejection>,
) -> Result<Response, Failure> {
    let (facility, camera) = query::device(&facility, &camera)?;
    let sent = read(body)?;
    visitor.check(Permission::Configure)?;
    let by = signed::name(&visitor, &sent.by)?;
    if sent.camera.key != (CameraKey { facility, camera }) {
        return Err(Failure::bad_parameter(
            "camera.key",
            "the facility and camera of the address",
        ));
    }
    if !visitor.scope.allows(&sent.camera.key.facility) {
        return Err(Failure::not_found("facility"));
    }
    let records = &app.stores.records;
    let before = records.camera(&visitor.scope, &sent.camera.key).await?;
    let is_folder = matches!(sent.camera.source, CameraSource::Folder { .. });
    // A request must not choose which folder of this machine is read.
    if is_folder && before.as_ref().is_none_or(|b| b.source != sent.camera.source) {
        return Err(Failure::bad_parameter(
            "camera.source",
            "other than a folder: that is attached with the command line",
        ));
    }
    sent.camera
        .check()
        .map_err(|error| Failure::new(Kind::BadRequest, error.to_string()))?;
    let version = records.put_camera(&sent.camera, by).await?;
    app.cameras_changed();
    let status = match before {
        Some(_) => StatusCode::OK,
        None => StatusCode::CREATED,
    };
    Ok((status, json(serde_json::json!({ "version": version }))).into_response())
}

/// Credentials as they are sent. Neither debugged nor serialised.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutCredentials {
    user: String,
    password: String,
}

pub(super) async fn credentials(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    body: Result<Json<PutCredentials>, JsonRejection>,
) -> Result<StatusCode, Failure> {
    let camera = find(&app, &visitor, path).await?;
    let credentials = secret(read(body)?)?;
    let kept = (app.stores.sight.keep_credentials)(camera.key, credentials).await;
    kept.map_err(Failure::internal)?;
    app.cameras_changed();
    Ok(StatusCode::NO_CONTENT)
}

fn secret(sent: PutCredentials) -> Result<Credentials, Failure> {
    if sent.user.len().max(sent.password.len()) > MAX_SECRET {
        return Err(Failure::bad_parameter(
            "password",
            &format!("at most {MAX_SECRET} bytes, as \"user\""),
        ));
    }
    Ok(Credentials {
        user: sent.user,
        password: sent.password,
    })
}

/// What to look at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Probe {
    source: CameraSource,
    #[serde(default)]
    sub: bool,
    #[serde(default)]
    credentials: Option<PutCredentials>,
}

#[derive(Serialize)]
struct ProbeBody {
    ok: bool,
    report: Option<ProbeReport>,
    fault: Option<&'static str>,
    advice_zh: Option<&'static str>,
    advice_en: Option<&'static str>,
    detail: Option<String>,
}

pub(super) async fn probe(
    State(app): State<Arc<App>>,
    body: Result<Json<Probe>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    let sent = read(body)?;
    if matches!(sent.source, CameraSource::Folder { .. }) {
        return Err(Failure::bad_parameter("source", "other than a folder"));
    }
    let request = ProbeRequest {
        source: sent.source,
        sub: sent.sub,
        credentials: sent.credentials.map(secret).transpose()?,
        camera: None,
    };
    let body = match (app.stores.sight.probe)(request).await {
        Ok(report) => ProbeBody {
            ok: true,
            report: Some(report),
            fault: None,
            advice_zh: None,
            advice_en: None,
            detail: None,
        },
        Err(ProbeFailure { fault, detail }) => ProbeBody {
            ok: false,
            report: None,
            fault: Some(fault.code()),
            advice_zh: Some(fault.advice().0),
            advice_en: Some(fault.advice().1),
            detail: Some(detail),
        },
    };
    Ok(json(body))
}

/// The body, or why it is none. What serde says of it may quote what was sent, so of that only its place is said.
pub(super) fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Failure> {
    match body {
        Ok(Json(body)) => Ok(body),
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Failure::new(Kind::TooLarge, "the body is over the limit"))
        }
        Err(error) => {
            let text = error.body_text();
            let place = text.rsplit_once(" at line ").map_or("", |(_, place)| place);
            Err(Failure::new(
                Kind::BadRequest,
                format!("the body is not the JSON that this address takes (application/json); line {place}"),
            ))
        }
    }
}
