//! `GET /api/v1/profiles`, `GET` and `PUT /api/v1/profiles/{id}`, `POST /api/v1/profiles/try`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use domain::{Profile, ProfileError, profile::Tried};
use serde::{Deserialize, Serialize};
use store::records::OwnProfile;

use super::{cameras::read, json};
use crate::{
    app::App,
    failure::Failure,
    format::iso,
    pages::profiles::{may_change, save, try_it},
    visitor::Visitor,
};

#[derive(Serialize)]
struct FieldBody {
    field: String,
    metric: String,
    unit: Option<&'static str>,
    range: Option<(f64, f64)>,
    point_type: Option<String>,
}

#[derive(Serialize)]
struct ProfileBody {
    profile: String,
    title_zh: String,
    title_en: String,
    codec: &'static str,
    source: String,
    report_interval_s: u32,
    heartbeat_s: Option<u32>,
    needs_root: bool,
    /// Whether it was written here, and may be changed here.
    own: bool,
    fields: Vec<FieldBody>,
}

impl ProfileBody {
    fn new(app: &App, profile: &Profile) -> ProfileBody {
        let field = |field: &domain::profile::Field| FieldBody {
            field: field.field.clone(),
            metric: field.metric.to_string(),
            unit: field.unit.map(domain::Unit::code),
            range: field.range,
            point_type: field.point_type.clone(),
        };
        ProfileBody {
            profile: profile.id.clone(),
            title_zh: profile.title_zh.clone(),
            title_en: profile.title_en.clone(),
            codec: profile.codec.code(),
            source: profile.source.clone(),
            report_interval_s: profile.report_interval_s,
            heartbeat_s: profile.heartbeat_s,
            needs_root: profile.codec.needs_vendor_root(),
            own: !app.stores.profiles.is_fixed(&profile.id),
            fields: profile.fields.iter().map(field).collect(),
        }
    }
}

/// How devices of which make speak.
pub(super) async fn list(State(app): State<Arc<App>>, _: Visitor) -> impl IntoResponse {
    let profiles = app.stores.profiles.now();
    let profiles: Vec<ProfileBody> = profiles.iter().map(|p| ProfileBody::new(&app, p)).collect();
    json(serde_json::json!({ "profiles": profiles }))
}

#[derive(Serialize)]
struct VersionBody {
    version: u32,
    by: String,
    why: String,
    at: String,
    /// When the log got it; `null` for the moment until it does.
    holds_since: Option<String>,
}

impl From<&OwnProfile> for VersionBody {
    fn from(own: &OwnProfile) -> VersionBody {
        VersionBody {
            version: own.version,
            by: own.by.clone(),
            why: own.why.clone(),
            at: iso(own.at),
            holds_since: own.logged.map(iso),
        }
    }
}

#[derive(Serialize)]
struct WholeBody {
    #[serde(flatten)]
    profile: ProfileBody,
    text: String,
    versions: Vec<VersionBody>,
}

async fn whole(app: &App, id: &str) -> Result<WholeBody, Failure> {
    let profile = app
        .stores
        .profiles
        .get(id)
        .ok_or_else(|| Failure::not_found("profile"))?;
    let versions = app.stores.records.profile_versions(id).await?;
    Ok(WholeBody {
        text: profile.text.clone(),
        versions: versions.iter().map(VersionBody::from).collect(),
        profile: ProfileBody::new(app, &profile),
    })
}

/// One profile, with its text and who changed it when.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    _: Visitor,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    Ok(json(whole(&app, &id).await?))
}

/// A version to be kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PutBody {
    text: String,
    #[serde(default)]
    version: u32,
    #[serde(default)]
    by: String,
    why: String,
}

/// What is wrong with a text.
fn refused(wrong: &ProfileError) -> Response {
    let body = serde_json::json!({
        "title": "The profile is refused",
        "status": 400,
        "detail": wrong.to_string(),
        "remedy": "Correct the line; /profiles says what each key is for.",
        "line": wrong.line,
        "key": wrong.key,
        "reason": wrong.reason,
    });
    let kind = [(axum::http::header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::BAD_REQUEST, kind, body.to_string()).into_response()
}

/// Keeps a version of an operator's own profile.
pub(super) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Result<Json<PutBody>, JsonRejection>,
) -> Result<Response, Failure> {
    may_change(&visitor)?;
    let body = read(body)?;
    if let Ok(profile) = Profile::parse(&body.text)
        && profile.id != id
    {
        return Err(Failure::bad_parameter(
            "profile",
            "the name that stands in the address",
        ));
    }
    let draft = (body.text.as_str(), body.version);
    match save(&app, &visitor, draft, (&body.by, &body.why)).await? {
        Ok(kept) => Ok(json(whole(&app, &kept.id).await?).into_response()),
        Err(wrong) => Ok(refused(&wrong)),
    }
}

/// A sample, and the profile to try it with: a name, or a text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TryBody {
    profile: Option<String>,
    text: Option<String>,
    topic: String,
    payload: String,
}

#[derive(Serialize)]
struct TriedBody {
    readings: Vec<serde_json::Value>,
    presence: Vec<serde_json::Value>,
    refused: Vec<serde_json::Value>,
}

impl From<Tried> for TriedBody {
    fn from(tried: Tried) -> TriedBody {
        let readings = tried.readings.into_iter().map(|r| {
            serde_json::json!({
                "behind": r.behind, "metric": r.metric, "unit": r.unit.code(), "value": r.value,
                "at": r.at.map(iso),
            })
        });
        let presence = tried.presence.into_iter();
        let refused = tried.refused.into_iter();
        TriedBody {
            readings: readings.collect(),
            presence: presence
                .map(|(behind, online)| serde_json::json!({ "behind": behind, "online": online }))
                .collect(),
            refused: refused
                .map(|(reason, detail)| serde_json::json!({ "reason": reason, "detail": detail }))
                .collect(),
        }
    }
}

/// What one message would come to; nothing is kept.
pub(super) async fn try_one(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    body: Result<Json<TryBody>, JsonRejection>,
) -> Result<Response, Failure> {
    visitor.check(domain::Permission::Configure)?;
    let body = read(body)?;
    let profile = match (&body.profile, &body.text) {
        (Some(name), None) => {
            let found = app.stores.profiles.get(name);
            (*found.ok_or_else(|| Failure::not_found("profile"))?).clone()
        }
        (None, Some(text)) => match Profile::parse(text) {
            Ok(profile) => profile,
            Err(wrong) => return Ok(refused(&wrong)),
        },
        _ => {
            return Err(Failure::bad_parameter(
                "profile",
                "a name here, or a text in \"text\", not both",
            ));
        }
    };
    let tried = try_it(&app, profile, (&body.topic, body.payload.as_bytes()))?;
    Ok(json(TriedBody::from(tried)).into_response())
}
