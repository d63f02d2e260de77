//! The pages, one file per noun.

pub(crate) mod attach;
pub(crate) mod camera;
pub(crate) mod cameras;
pub(crate) mod case;
pub(crate) mod cases;
pub(crate) mod device;
pub(crate) mod error;
pub(crate) mod evidence;
pub(crate) mod facility;
pub(crate) mod finding;
pub(crate) mod findings;
pub(crate) mod messages;
pub(crate) mod overview;
pub(crate) mod reference;
pub(crate) mod teach;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use crate::{app::App, watcher};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/facilities", get(facility::list))
        .route("/facilities/{facility}", get(facility::show))
        .route("/cases", get(cases::list))
        .route("/cases/{case}", get(case::show))
        .route("/cases/{case}/pictures/{picture}", get(case::act::picture))
        .route("/devices", get(device::list))
        .route("/devices/{facility}/{device}", get(device::show))
        .merge(camera_routes())
        .merge(finding_routes())
        .merge(message_routes())
        .route("/rules", get(reference::rules))
        .route("/help", get(reference::help))
}

/// Forms that may bring a picture.
pub(crate) fn uploads() -> Router<Arc<App>> {
    Router::new().route("/cases/{case}/{act}", post(case::act::act))
}

fn camera_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/cameras", get(cameras::wall))
        .route("/cameras/new", get(attach::blank).post(attach::create))
        .route("/cameras/{facility}/{camera}", get(camera::show))
        .route(
            "/cameras/{facility}/{camera}/edit",
            get(attach::edit).post(attach::change),
        )
        .route("/cameras/{facility}/{camera}/still.jpg", get(cameras::still))
        .route(
            "/cameras/{facility}/{camera}/teach/{check}",
            get(teach::show).post(teach::mark),
        )
        .route("/crops/{name}", get(teach::crop))
        .route("/attach/{token}/picture.jpg", get(attach::picture))
        .route("/watcher", post(watcher::name))
        .route("/watcher/forget", post(watcher::forget))
}

fn message_routes() -> Router<Arc<App>> {
    use messages::{channel, contact};
    Router::new()
        .route("/messages", get(messages::list))
        .route("/messages/{message}/resend", post(messages::resend))
        .route("/messages/channels", post(channel::put))
        .route("/messages/channels/new", get(channel::blank))
        .route("/messages/channels/{channel}", get(channel::show))
        .route("/messages/channels/{channel}/test", post(channel::trial))
        .route("/messages/channels/{channel}/remove", post(channel::remove))
        .route("/messages/contacts", post(contact::put))
        .route("/messages/contacts/new", get(contact::blank))
        .route("/messages/contacts/{contact}", get(contact::show))
        .route("/messages/contacts/{contact}/remove", post(contact::remove))
}

fn finding_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/findings", get(findings::list))
        .route("/findings/{finding}", get(finding::show))
        .route("/findings/{finding}/review", post(findings::review))
        .route("/evidence/{evidence}/{item}", get(evidence::item))
        .route("/evidence/{evidence}/hold", post(evidence::hold))
        .route("/evidence/{evidence}/release", post(evidence::release))
}
