//! The pages, one file per noun.

pub(crate) mod analysis;
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
pub(crate) mod forwarding;
pub(crate) mod me;
pub(crate) mod messages;
pub(crate) mod onboard;
pub(crate) mod overview;
pub(crate) mod people;
pub(crate) mod profiles;
pub(crate) mod reference;
pub(crate) mod rules;
pub(crate) mod shelving;
pub(crate) mod sign_in;
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
        .merge(onboard_routes())
        .merge(camera_routes())
        .merge(finding_routes())
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/sign-out", post(sign_in::leave))
        .route("/forwarding", get(forwarding::show))
        .route("/forwarding/resend", post(forwarding::resend))
        .route("/forwarding/discard", post(forwarding::discard))
        .route("/analysis", get(analysis::show))
        .route("/analysis.csv", get(analysis::csv))
        .merge(rule_routes())
        .merge(message_routes())
        .merge(people_routes())
        .route("/help", get(reference::help))
}

fn rule_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/rules", get(rules::list))
        .route("/rules/{rule}", get(rules::show))
        .route("/rules/{rule}/override", post(rules::override_rule))
        .route("/rules/{rule}/override/{own}/end", post(rules::restore_rule))
        .route("/shelving", get(shelving::show).post(shelving::shelve))
        .route("/shelving/{shelf}/end", post(shelving::take_up))
        .route("/windows", post(shelving::add_window))
        .route("/windows/{window}/end", post(shelving::end_window))
}

fn onboard_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/onboard", get(onboard::show).post(onboard::one))
        .route("/devices/{facility}/{device}/secret", post(onboard::secret))
        .route("/devices/{facility}/{device}/claim", post(onboard::claim))
        .route("/devices/{facility}/{device}/calibrate", post(onboard::calibrate))
        .route("/profiles/new", get(profiles::blank))
        .route("/profiles/{id}", get(profiles::show))
        .route("/profiles/{id}/edit", get(profiles::edit))
        .route("/claim/{code}", get(onboard::claimed).post(onboard::use_claim))
}

/// What takes larger bodies than other pages do: a thousand devices at a time, a profile with a sample.
pub(crate) fn bulk_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/onboard/csv", post(onboard::csv))
        .route("/profiles", get(profiles::list).post(profiles::change))
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

fn people_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/me", get(me::show))
        .route("/me/password", get(me::show_password).post(me::choose))
        .route("/me/contacts/{contact}", post(me::prefer))
        .route("/me/browsers", post(me::notify))
        .route("/me/browsers/{browser}/test", post(me::trial))
        .route("/me/browsers/{browser}/remove", post(me::forget))
        .route("/people", get(people::list).post(people::add))
        .route("/people/{person}", get(people::show).post(people::change))
        .route("/people/{person}/{act}", post(people::bar))
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
