//! The JSON API under `/api/v1`, and what watches the server: `/livez`, `/readyz`, `/metrics`.
//! `docs/API.md` describes every address.

mod body;
mod cases;
mod devices;
mod facilities;
mod points;
mod system;

use std::sync::Arc;

use axum::{Json, Router, http::header, response::IntoResponse, routing::get};
use serde::Serialize;

use crate::app::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1", get(system::index))
        .route("/api/v1/facilities", get(facilities::list))
        .route("/api/v1/devices", get(devices::list))
        .route("/api/v1/points/{facility}/{device}/{metric}/latest", get(points::latest))
        .route("/api/v1/points/{facility}/{device}/{metric}/window", get(points::window))
        .route("/api/v1/cases", get(cases::list))
        .route("/api/v1/stats", get(system::stats))
        .route("/livez", get(system::livez))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
}

/// A JSON answer that nobody may keep: it is about now.
fn json<T: Serialize>(body: T) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], Json(body))
}
