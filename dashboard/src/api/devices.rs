//! `GET` and `POST /api/v1/devices`, `POST /api/v1/claims/{code}`.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::Uri,
    response::IntoResponse,
};
use domain::{Access, DeviceId, FacilityId, Identity, IdentityName};
use serde::Serialize;
use store::DeviceStatus;

use super::json;
use crate::{
    app::App,
    failure::Failure,
    format::iso,
    query::{Parameters, id},
    visitor::Visitor,
};

#[derive(Serialize)]
struct RejectBody {
    at: String,
    topic: String,
    reason: &'static str,
    detail: String,
    excerpt: String,
}

#[derive(Serialize)]
struct DeviceBody {
    identity: String,
    facility: String,
    device: String,
    revoked_at: Option<String>,
    expires_at: Option<String>,
    online: Option<bool>,
    last_seen: Option<String>,
    last_topic: String,
    last_payload: String,
    messages: u64,
    readings: u64,
    doubtful_times: u64,
    reject_counts: Vec<(&'static str, u64)>,
    /// Newest last.
    rejects: Vec<RejectBody>,
}

#[derive(Serialize)]
struct AddedBody {
    line: usize,
    user: String,
    /// Absent for a device that another one speaks for.
    secret: Option<String>,
}

#[derive(Serialize)]
struct WrongBody {
    line: usize,
    column: String,
    problem: String,
}

#[derive(Serialize)]
struct AddAnswer {
    added: Vec<AddedBody>,
    errors: Vec<WrongBody>,
}

/// `POST /api/v1/devices`: adds the devices of a CSV file; `?check=yes` only says what is wrong with it.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
    text: String,
) -> Result<impl IntoResponse, Failure> {
    let check = Parameters::of(&uri)?.get("check") == Some("yes");
    let plan = crate::pages::onboard::add(&app, &visitor, &text, check).await?;
    let added = plan.devices.into_iter().map(|planned| AddedBody {
        line: planned.line,
        user: format!("{}/{}", planned.new.facility, planned.new.device),
        // What was only checked has no secret.
        secret: planned.secret.filter(|_| !check),
    });
    let errors = plan.errors.iter().map(|error| WrongBody {
        line: error.line,
        column: error.column.clone(),
        problem: error.problem.to_string(),
    });
    Ok(json(AddAnswer {
        added: added.collect(),
        errors: errors.collect(),
    }))
}

/// `POST /api/v1/claims/{code}`: exchanges a code for a device's secret, once.
pub(super) async fn claim(
    State(app): State<Arc<App>>,
    Path(code): Path<String>,
) -> Result<impl IntoResponse, Failure> {
    let claimed = app.stores.records.claim(&code).await?;
    let root = domain::address::device_root(&claimed.of.facility, &claimed.of.device);
    Ok(json(serde_json::json!({
        "user": claimed.of.name.as_str(),
        "secret": claimed.secret,
        "mqtt": app.site().mqtt_addr,
        "root": root,
        "profile": claimed.of.profile,
    })))
}

#[derive(Serialize)]
struct Devices {
    devices: Vec<DeviceBody>,
    /// The identity after which to go on; absent on the last page.
    next: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let limit = parameters.number("limit", 1, 1_000, 200)? as usize;
    let facility = parameters.facility()?;
    let after = parameters
        .get("after")
        .map(|text| id("after", text, IdentityName::new))
        .transpose()?;
    let mut identities = app
        .stores
        .records
        .devices(&visitor.scope, facility.as_ref())
        .await?;
    identities.retain(|i| after.as_ref().is_none_or(|a| i.name > *a));
    identities.sort_by(|a, b| a.name.cmp(&b.name));
    let more = identities.len() > limit;
    identities.truncate(limit);
    let next = identities.last().filter(|_| more).map(|i| i.name.to_string());
    let devices = identities
        .iter()
        .filter_map(|identity| match &identity.access {
            Access::Device { facility, device, .. } => {
                let status = app
                    .stores
                    .devices
                    .get(&visitor.scope, facility, device)
                    .unwrap_or_default();
                Some(body(identity, (facility, device), status))
            }
            Access::Service { .. } => None,
        })
        .collect();
    Ok(json(Devices { devices, next }))
}

fn body(
    identity: &Identity,
    (facility, device): (&FacilityId, &DeviceId),
    status: DeviceStatus,
) -> DeviceBody {
    DeviceBody {
        identity: identity.name.to_string(),
        facility: facility.to_string(),
        device: device.to_string(),
        revoked_at: identity.revoked_at.map(iso),
        expires_at: identity.expires_at.map(iso),
        online: status.online,
        last_seen: status.last_seen.map(iso),
        last_topic: status.last_topic,
        last_payload: status.last_payload,
        messages: status.messages,
        readings: status.readings,
        doubtful_times: status.doubtful_times,
        reject_counts: status.reject_counts.iter().map(|(r, n)| (r.code(), *n)).collect(),
        rejects: status
            .rejects
            .into_iter()
            .map(|r| RejectBody {
                at: iso(r.received),
                topic: r.topic,
                reason: r.reason.code(),
                detail: r.detail,
                excerpt: r.excerpt,
            })
            .collect(),
    }
}
