//! The JSON API under `/api/v1`, and what watches the server: `/livez`, `/readyz`, `/metrics`.
//! `docs/API.md` describes every address.

mod analysis;
mod body;
mod cameras;
mod cases;
mod devices;
mod facilities;
mod findings;
mod forwarding;
mod messages;
mod points;
mod profiles;
mod rules;
mod shelving;
mod system;

use std::sync::Arc;

use axum::{
    Json, Router,
    http::header,
    response::IntoResponse,
    routing::{get, post, put},
};
use serde::Serialize;

use crate::app::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1", get(system::index))
        .route("/api/v1/facilities", get(facilities::list))
        .route("/api/v1/profiles", get(profiles::list))
        .route("/api/v1/claims/{code}", post(devices::claim))
        .route(
            "/api/v1/points/{facility}/{device}/{metric}/latest",
            get(points::latest),
        )
        .route(
            "/api/v1/points/{facility}/{device}/{metric}/window",
            get(points::window),
        )
        .route("/api/v1/share", get(analysis::share))
        .route("/api/v1/cases", get(cases::list))
        .route("/api/v1/cases/{case}", get(cases::show))
        .route("/api/v1/cases/{case}/acts", post(cases::act))
        .merge(judgement())
        .route("/api/v1/messages", get(messages::list))
        .route("/api/v1/cameras", get(cameras::list))
        .route("/api/v1/cameras/probe", post(cameras::probe))
        .route(
            "/api/v1/cameras/{facility}/{camera}",
            get(cameras::show).put(cameras::put),
        )
        .route(
            "/api/v1/cameras/{facility}/{camera}/credentials",
            put(cameras::credentials),
        )
        .route("/api/v1/findings", get(findings::list))
        .route("/api/v1/findings/{finding}/review", post(findings::review))
        .route("/api/v1/forwarding", get(forwarding::show))
        .route("/api/v1/forwarding/resend", post(forwarding::resend))
        .route("/api/v1/forwarding/discard", post(forwarding::discard))
        .route("/api/v1/stats", get(system::stats))
        .route("/livez", get(system::livez))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
}

/// What people change about judgement.
fn judgement() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/shelves", get(shelving::shelves).post(shelving::shelve))
        .route("/api/v1/shelves/{shelf}/end", post(shelving::take_up))
        .route(
            "/api/v1/windows",
            get(shelving::windows).post(shelving::add_window),
        )
        .route("/api/v1/windows/{window}/end", post(shelving::end_window))
        .route(
            "/api/v1/overrides",
            get(rules::overrides).post(rules::override_rule),
        )
        .route("/api/v1/overrides/{own}/end", post(rules::restore_rule))
        .route("/api/v1/trials", get(rules::trial).post(rules::post_trial))
}

/// What takes larger bodies than other addresses do: a thousand devices at a time, a profile with a sample.
pub(crate) fn bulk_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/devices", get(devices::list).post(devices::add))
        .route("/api/v1/profiles/try", post(profiles::try_one))
        .route("/api/v1/profiles/{id}", get(profiles::show).put(profiles::put))
}

/// Addresses that take a picture.
pub(crate) fn uploads() -> Router<Arc<App>> {
    Router::new().route("/api/v1/cases/{case}/pictures", post(cases::picture))
}

/// A JSON answer that nobody may keep: it is about now.
fn json<T: Serialize>(body: T) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}
