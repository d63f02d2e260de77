//! The page for what went wrong.

use askama::Template;
use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse as _, Response},
};
use i18n_embed_fl::fl;

use crate::{
    app::App,
    failure::{Failure, Kind},
    view::page::{Nav, Page},
    visitor::Visitor,
};

#[derive(Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    page: Page,
    status: u16,
    heading: String,
    remedy: String,
    cause: String,
}

impl ErrorPage {
    pub(crate) fn answer(app: &App, visitor: &Visitor, failure: &Failure) -> Response {
        let l = visitor.lang.loader();
        let (heading, remedy) = match failure.kind {
            Kind::BadRequest | Kind::WrongMethod => (fl!(l, "err-bad-request"), fl!(l, "err-bad-request-do")),
            Kind::NotFound => (fl!(l, "err-not-found"), fl!(l, "err-not-found-do")),
            Kind::Conflict => (fl!(l, "err-conflict"), fl!(l, "err-conflict-do")),
            Kind::Refused => (fl!(l, "err-refused"), fl!(l, "err-refused-do")),
            Kind::CrossSite => (fl!(l, "err-cross-site"), fl!(l, "err-cross-site-do")),
            Kind::SignedOut => (fl!(l, "err-signed-out"), fl!(l, "err-signed-out-do")),
            Kind::NotAllowed => (fl!(l, "err-not-allowed"), fl!(l, "err-not-allowed-do")),
            Kind::NotNamed => (fl!(l, "err-not-named"), fl!(l, "err-not-named-do")),
            Kind::BadHost => (fl!(l, "err-bad-host"), fl!(l, "err-bad-host-do")),
            Kind::TooLarge => (fl!(l, "err-too-large"), fl!(l, "err-too-large-do")),
            Kind::Busy => (fl!(l, "err-busy"), fl!(l, "err-busy-do")),
            Kind::Unavailable | Kind::Internal => (fl!(l, "err-internal"), fl!(l, "err-internal-do")),
        };
        let status = failure.kind.status();
        // The address that failed may not be repeated in the other language: the switch leads home.
        let page = Page::new(app, visitor, Nav::None, heading.clone(), "/");
        let body = ErrorPage {
            page,
            status: status.as_u16(),
            heading,
            remedy,
            cause: failure.cause.clone(),
        }
        .render();
        match body {
            Ok(html) => {
                let mut response = (status, Html(html)).into_response();
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
            Err(error) => {
                tracing::error!(%error, "the error page itself could not be drawn");
                status.into_response()
            }
        }
    }
}
