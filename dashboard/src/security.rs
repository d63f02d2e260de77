//! What stands in front of every route: headers, host and origin checks, limits of size and time.

use std::{any::Any, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use domain::case::picture::MAX_PICTURE_BYTES;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate as _},
    },
    limit::RequestBodyLimitLayer,
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
};

use crate::{
    app::App,
    failure::{self, Failure, Kind},
    visitor,
};

/// The largest request body, in bytes. The forms hold a name and a comment.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest body where many devices come at a time: a file of [`store::onboarding::MAX_CSV_BYTES`], as a form
/// writes it.
const MAX_BULK_BYTES: usize = 3 * 1024 * 1024;
/// The largest body of a form that brings a picture, in bytes.
pub(crate) const MAX_UPLOAD_BYTES: usize = MAX_PICTURE_BYTES + MAX_BODY_BYTES;
/// How long an answer to such a form may take: a telephone's connection is slow.
const UPLOAD_TIME_LIMIT: Duration = Duration::from_secs(90);
/// How long an answer may take. Streams are exempt.
const TIME_LIMIT: Duration = Duration::from_secs(20);

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// Routes whose answers end by themselves and may be cut off.
pub(crate) fn time_limited(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    routes.layer(TimeoutLayer::with_status_code(
        StatusCode::REQUEST_TIMEOUT,
        TIME_LIMIT,
    ))
}

/// Routes that take an ordinary body.
pub(crate) fn small(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    bounded(routes, MAX_BODY_BYTES)
}

/// Routes that take many devices at a time.
pub(crate) fn bulk(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    bounded(routes, MAX_BULK_BYTES)
}

/// Forms that bring a picture: more bytes and more time than anything else.
pub(crate) fn uploads(routes: Router<Arc<App>>) -> Router<Arc<App>> {
    let timed = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, UPLOAD_TIME_LIMIT);
    bounded(routes.layer(timed), MAX_UPLOAD_BYTES)
}

/// Bounds the bodies of `routes`.
fn bounded(routes: Router<Arc<App>>, max_bytes: usize) -> Router<Arc<App>> {
    routes
        .layer(DefaultBodyLimit::max(max_bytes))
        .layer(RequestBodyLimitLayer::new(max_bytes))
}

/// Puts the guards in front of `router`; the last one named here is met first.
pub(crate) fn guarded(router: Router<Arc<App>>, app: Arc<App>) -> Router<Arc<App>> {
    // A stream that is compressed is a stream that is held back.
    let compressible = DefaultPredicate::new().and(NotForContentType::new("text/event-stream"));
    let mut router = router
        .layer(middleware::from_fn_with_state(Arc::clone(&app), visitor::gate))
        .layer(middleware::from_fn(own_site_only))
        .layer(middleware::from_fn(loopback_only))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app, failure::shape))
        .layer(CompressionLayer::new().compress_when(compressible));
    for (name, value) in HEADERS {
        let layer = SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        router = router.layer(layer);
    }
    router
}

/// The panic's own message is logged by the panic hook; the visitor is told that the server failed.
fn panicked(_message: Box<dyn Any + Send>) -> Response {
    Failure::new(Kind::Internal, "the cause is in the server's log").into_response()
}

/// Answers requests to loopback names only. Without a sign-in, a page of another site whose name was
/// made to point here (DNS rebinding) would otherwise read everything.
async fn loopback_only(request: Request, next: Next) -> Response {
    match host(request.headers(), request.uri()) {
        Some(host) if is_loopback(host) => next.run(request).await,
        _ => Failure::new(Kind::BadHost, "the Host header names no loopback address").into_response(),
    }
}

/// Takes changes only from our own pages: the browser says where a request comes from.
async fn own_site_only(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || from_own_site(request.headers(), request.uri()) {
        return next.run(request).await;
    }
    Failure::new(
        Kind::CrossSite,
        "neither Sec-Fetch-Site nor Origin says that it comes from this server",
    )
    .into_response()
}

pub(crate) fn from_own_site(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("unreadable"));
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return matches!(site, "same-origin" | "none");
    }
    let origin = text(header::ORIGIN)
        .and_then(|o| o.split_once("://"))
        .map(|(_, host)| host);
    origin.is_some() && origin == host(headers, uri)
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match headers.get(header::HOST) {
        Some(value) => value.to_str().ok(),
        None => uri.authority().map(|a| a.as_str()),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if is_port(port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_hosts() {
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "127.8.8.8:80",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(good), "{good}");
        }
        let bad = [
            "",
            "example.com",
            "localhost.example.com",
            "localhost:",
            "localhost:x",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "[::2]",
            "[::1]x",
            "[::1",
            "0.0.0.0",
            "127.0.0.1@evil:80",
        ];
        for bad in bad {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn a_change_comes_from_our_own_pages() {
        let cases = [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            (Some("cross-site"), Some("http://localhost:1"), false),
            (Some("same-site"), None, false),
            (None, Some("http://localhost:1"), true),
            (None, Some("http://localhost:2"), false),
            (None, Some("null"), false),
            (None, None, false),
        ];
        for (site, origin, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:1"));
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(
                from_own_site(&headers, &Uri::from_static("/x")),
                want,
                "{site:?} {origin:?}"
            );
        }
    }
}
