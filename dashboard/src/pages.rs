//! The pages, one file per noun.

pub(crate) mod case;
pub(crate) mod cases;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod facility;
pub(crate) mod overview;
pub(crate) mod reference;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::app::App;

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/facilities", get(facility::list))
        .route("/facilities/{facility}", get(facility::show))
        .route("/cases", get(cases::list))
        .route("/cases/{case}", get(case::show))
        .route("/cases/{case}/acknowledge", post(case::acknowledge))
        .route("/cases/{case}/close", post(case::close))
        .route("/devices", get(device::list))
        .route("/devices/{facility}/{device}", get(device::show))
        .route("/rules", get(reference::rules))
        .route("/help", get(reference::help))
}
