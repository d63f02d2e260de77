//! The browser's files, embedded in the program. Their addresses carry a version, so a browser may
//! keep them for a year and still gets new ones after an upgrade.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::app::App;
use std::sync::Arc;

/// Changes whenever an asset does; part of every asset's address.
pub(crate) const VERSION: &str = env!("ASSETS_VERSION");

const VENDOR_JS: &str = include_str!(concat!(env!("OUT_DIR"), "/vendor.js"));
const APP_CSS: &str = include_str!(concat!(env!("OUT_DIR"), "/app.css"));
const APP_JS: &str = include_str!("../assets/app.js");
const CHART_JS: &str = include_str!("../assets/chart.js");
const NOTIFY_JS: &str = include_str!("../assets/notify.js");
const PUSH_JS: &str = include_str!("../assets/push.js");
const THEME_JS: &str = include_str!("../assets/theme.js");
const PLAYER_JS: &str = include_str!("../assets/player.js");
const DRAW_JS: &str = include_str!("../assets/draw.js");
const REVIEW_JS: &str = include_str!("../assets/review.js");
const SHRINK_JS: &str = include_str!("../assets/shrink.js");
const ICON: &str = include_str!("../assets/icon.svg");

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/vendor.js", get(|| async { asset(SCRIPT, VENDOR_JS) }))
        .route("/app.js", get(|| async { asset(SCRIPT, APP_JS) }))
        .route("/chart.js", get(|| async { asset(SCRIPT, CHART_JS) }))
        .route("/player.js", get(|| async { asset(SCRIPT, PLAYER_JS) }))
        .route("/draw.js", get(|| async { asset(SCRIPT, DRAW_JS) }))
        .route("/review.js", get(|| async { asset(SCRIPT, REVIEW_JS) }))
        .route("/shrink.js", get(|| async { asset(SCRIPT, SHRINK_JS) }))
        .route("/notify.js", get(|| async { asset(SCRIPT, NOTIFY_JS) }))
        .route("/theme.js", get(|| async { asset(SCRIPT, THEME_JS) }))
        .route(
            "/app.css",
            get(|| async { asset("text/css; charset=utf-8", APP_CSS) }),
        )
        .route("/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
}

/// The service worker. It stands at the root, because it serves what lies below its own address, and a browser asks for
/// it anew: its address has no version.
pub(crate) async fn service_worker() -> Response {
    let headers = [
        (header::CONTENT_TYPE, SCRIPT),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, PUSH_JS).into_response()
}

fn asset(media_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, body).into_response()
}
