//! What can go wrong with a request, said in one place: as a page to a person, as problem+json
//! (RFC 9457) to a program. Handlers return a [`Failure`]; the outermost layer gives it its form.

use std::{fmt::Display, sync::Arc};

use alerts::AlertError;
use axum::{
    Json,
    extract::{OriginalUri, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use domain::IdError;
use store::{EvidenceError, RecordError, SeriesError, TimeSeriesError};

use crate::{app::App, pages::error::ErrorPage, visitor::Visitor};

/// The kind of a failure: its status, and its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    NotFound,
    WrongMethod,
    Conflict,
    /// What is asked is understood, but not allowed as things stand.
    Refused,
    CrossSite,
    SignedOut,
    NotAllowed,
    NotNamed,
    BadHost,
    TooLarge,
    Busy,
    Unavailable,
    Internal,
}

impl Kind {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Kind::BadRequest => StatusCode::BAD_REQUEST,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::SignedOut => StatusCode::UNAUTHORIZED,
            Kind::CrossSite | Kind::NotAllowed | Kind::NotNamed => StatusCode::FORBIDDEN,
            Kind::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::BadHost => StatusCode::MISDIRECTED_REQUEST,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::Busy | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Kind::BadRequest => "bad-request",
            Kind::NotFound => "not-found",
            Kind::WrongMethod => "wrong-method",
            Kind::Conflict => "conflict",
            Kind::Refused => "refused",
            Kind::CrossSite => "cross-site",
            Kind::SignedOut => "signed-out",
            Kind::NotAllowed => "not-allowed",
            Kind::NotNamed => "not-named",
            Kind::BadHost => "bad-host",
            Kind::TooLarge => "too-large",
            Kind::Busy => "busy",
            Kind::Unavailable => "unavailable",
            Kind::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Kind::BadRequest => "The request cannot be understood",
            Kind::NotFound => "There is no such thing",
            Kind::WrongMethod => "This address does not take that method",
            Kind::Conflict => "Somebody was faster",
            Kind::Refused => "This cannot be done now",
            Kind::CrossSite => "The request comes from another site",
            Kind::SignedOut => "Nobody has signed in",
            Kind::NotAllowed => "The role may not do this",
            Kind::NotNamed => "Why somebody looks has not been said",
            Kind::BadHost => "The request names another host",
            Kind::TooLarge => "The request is too large",
            Kind::Busy => "Too many at the same time",
            Kind::Unavailable => "The store does not answer",
            Kind::Internal => "The server failed",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Kind::BadRequest => "Correct the named part; /api/v1 lists every address and its parameters.",
            Kind::NotFound => {
                "Check the identifiers; /api/v1/facilities and /api/v1/devices list those that exist."
            }
            Kind::WrongMethod => "Use the method named in the Allow header.",
            Kind::Conflict => "Read the case again and decide on its present version.",
            Kind::Refused => "Do what the reason says, then try again.",
            Kind::CrossSite => {
                "Send the request from a page of this server, or with an Origin header that names this server."
            }
            Kind::SignedOut => {
                "Sign in with the form POST /sign-in, and send the cookie `session` that it sets."
            }
            Kind::NotAllowed => "Ask somebody whose role may, or an administrator for another role.",
            Kind::NotNamed => "Say why you look with the form POST /watcher, and send its cookie.",
            Kind::BadHost => "Use localhost, 127.0.0.1 or [::1] as the host: nothing else is served.",
            Kind::TooLarge => "Send at most 64 KiB.",
            Kind::Busy => "Wait a little and ask again.",
            Kind::Unavailable => "Ask again; if it lasts, look at /readyz and at the server's log.",
            Kind::Internal => "Ask again; if it lasts, look at the server's log.",
        }
    }
}

/// A request that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// What exactly, bounded and safe to show.
    pub(crate) cause: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, cause: impl Into<String>) -> Failure {
        Failure {
            kind,
            cause: cause.into(),
        }
    }

    /// `what` in the address or in a parameter is not an identifier.
    pub(crate) fn bad_id(what: &str, error: &IdError) -> Failure {
        Failure::new(
            Kind::BadRequest,
            format!("the {what} is not an identifier: {error}"),
        )
    }

    pub(crate) fn bad_parameter(name: &str, wanted: &str) -> Failure {
        Failure::new(
            Kind::BadRequest,
            format!("the parameter {name:?} must be {wanted}"),
        )
    }

    pub(crate) fn not_found(what: &str) -> Failure {
        Failure::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// Something of ours broke. The cause goes to the log, not to the visitor.
    pub(crate) fn internal(error: impl Display) -> Failure {
        tracing::error!(%error, "a request failed inside the dashboard");
        Failure::new(Kind::Internal, "the cause is in the server's log")
    }

    fn unavailable(error: impl Display) -> Failure {
        tracing::warn!(%error, "a store did not answer the dashboard");
        Failure::new(Kind::Unavailable, "the cause is in the server's log")
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Failure {
        match error {
            RecordError::NotFound => Failure::not_found("record"),
            RecordError::Invalid { .. } => Failure::new(Kind::BadRequest, error.to_string()),
            RecordError::Conflict => Failure::new(Kind::Conflict, "the record has changed since you read it"),
            RecordError::AlreadyReviewed => Failure::new(Kind::Conflict, error.to_string()),
            RecordError::Camera { source } => Failure::new(Kind::BadRequest, source.to_string()),
            RecordError::Missing { .. } | RecordError::Calibration { .. } | RecordError::Profile { .. } => {
                Failure::new(Kind::BadRequest, error.to_string())
            }
            RecordError::DeviceExists { .. }
            | RecordError::RootTaken { .. }
            | RecordError::PersonExists { .. } => Failure::new(Kind::Conflict, error.to_string()),
            RecordError::BadClaim => Failure::new(Kind::NotFound, error.to_string()),
            RecordError::Picture { .. } | RecordError::Channel { .. } => {
                Failure::new(Kind::BadRequest, error.to_string())
            }
            RecordError::Refused { .. }
            | RecordError::WrongState { .. }
            | RecordError::InUse { .. }
            | RecordError::LastAdministrator => Failure::new(Kind::Refused, error.to_string()),
            other => Failure::unavailable(other),
        }
    }
}

impl From<SeriesError> for Failure {
    fn from(error: SeriesError) -> Failure {
        match error {
            SeriesError::TooManyBuckets { .. } => Failure::bad_parameter("buckets", "1 to 2000"),
            other => Failure::unavailable(other),
        }
    }
}

impl From<TimeSeriesError> for Failure {
    fn from(error: TimeSeriesError) -> Failure {
        match error {
            TimeSeriesError::Series(error) => error.into(),
            // Bounded, without address and token, and the only one who can tell what is wrong over there.
            TimeSeriesError::Remote(error) => Failure::new(Kind::Unavailable, error.to_string()),
            other => Failure::unavailable(other),
        }
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Failure {
        match error {
            EvidenceError::NotFound => Failure::not_found("evidence"),
            EvidenceError::Invalid { .. } => Failure::new(Kind::BadRequest, error.to_string()),
            EvidenceError::NotHeld => Failure::new(Kind::Conflict, error.to_string()),
            other => Failure::unavailable(other),
        }
    }
}

impl From<AlertError> for Failure {
    fn from(error: AlertError) -> Failure {
        match error {
            AlertError::NotFound => Failure::not_found("case"),
            AlertError::Conflict => Failure::new(Kind::Conflict, "the case has changed since you read it"),
            AlertError::WrongState { .. } => Failure::new(Kind::Conflict, error.to_string()),
            AlertError::Invalid(_)
            | AlertError::NoSuchRule
            | AlertError::Unshelvable
            | AlertError::Window(_)
            | AlertError::Override(_)
            | AlertError::Untriable(_) => Failure::new(Kind::BadRequest, error.to_string()),
            AlertError::Refused(_) => Failure::new(Kind::Refused, error.to_string()),
            other => Failure::unavailable(other),
        }
    }
}

impl IntoResponse for Failure {
    /// A bare answer that carries the failure to [`shape`].
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// For addresses that nothing answers.
pub(crate) async fn no_such_page() -> Failure {
    Failure::new(Kind::NotFound, "there is no such address")
}

/// For addresses that answer another method.
pub(crate) async fn wrong_method() -> Failure {
    Failure::new(Kind::WrongMethod, "this address does not take that method")
}

/// Gives every failed answer its form.
pub(crate) async fn shape(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let visitor = Visitor::stranger(&parts);
    // Inside a nested router the address is cut; the form depends on the whole of it.
    let path = parts
        .extensions
        .get::<OriginalUri>()
        .map_or_else(|| parts.uri.path(), |u| u.0.path())
        .to_owned();
    let wants_json = is_for_programs(&path);
    let is_read = parts.method == axum::http::Method::GET;
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let Some(failure) = failure_of(&mut response) else {
        return response;
    };
    let kept: Vec<_> = [header::ALLOW, header::RETRY_AFTER]
        .into_iter()
        .filter_map(|name| response.headers().get(&name).cloned().map(|value| (name, value)))
        .collect();
    if failure.kind == Kind::SignedOut && !wants_json && is_read {
        return sign_in(&path);
    }
    let mut shaped = if wants_json {
        problem(&failure)
    } else {
        ErrorPage::answer(&app, &visitor, &failure)
    };
    shaped.headers_mut().extend(kept);
    if failure.kind == Kind::Busy {
        shaped
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
    shaped
}

/// Leads somebody who reads a page to the sign-in, and from there back.
fn sign_in(path: &str) -> Response {
    let back = HeaderValue::from_str(&format!("/sign-in?back={path}"));
    let back = back.unwrap_or(HeaderValue::from_static("/sign-in"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response()
}

fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api")
        || path.starts_with("/live/")
        || matches!(path, "/live" | "/livez" | "/readyz" | "/metrics")
}

/// The failure an answer carries, or the one that a limit in front of the handlers stands for.
fn failure_of(response: &mut Response) -> Option<Failure> {
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        return Some(failure);
    }
    if response.headers().contains_key(header::CONTENT_TYPE) && !response.status().is_server_error() {
        return match response.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Some(Failure::new(Kind::TooLarge, "the body is over the limit")),
            _ => None,
        };
    }
    match response.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Some(Failure::new(Kind::TooLarge, "the body is over the limit")),
        StatusCode::REQUEST_TIMEOUT => Some(Failure::new(Kind::Busy, "the answer took too long")),
        StatusCode::INTERNAL_SERVER_ERROR => {
            Some(Failure::new(Kind::Internal, "the cause is in the server's log"))
        }
        _ => None,
    }
}

fn problem(failure: &Failure) -> Response {
    let kind = failure.kind;
    let body = serde_json::json!({
        "type": format!("urn:sunshine:problem:{}", kind.code()),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "detail": failure.cause,
        "remedy": kind.remedy(),
    });
    let mut response = (kind.status(), Json(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
