//! HTTP intake (推送接入): what comes by HTTP and not by MQTT. An operator's platform pushes JSON; Telegraf writes line
//! protocol as it would to InfluxDB 2.
//!
//! A request is answered with 204 once what it brought is in the log and synced; before that with nothing. It speaks
//! for the device that signs in and for those behind it, and for nobody else. What it turns away stands beside what the
//! broker turns away, so that the device's page says why nothing arrives.

mod pace;
mod signature;

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use broker::BrokerHandle;
use domain::{
    Access, Clock, Identity, IdentityName, address,
    status::{RefusalReason, excerpt},
};
use flate2::read::GzDecoder;
use ingest::{IngestLimits, Precision, line_pieces};
use journal::{AppendError, Envelope, Journal, Kind};
use serde::Deserialize;
use store::Vault;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::error;

use pace::Pace;
use signature::{Met, Seen, Signed, WINDOW_S};

/// The largest body as it comes, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest body once it is unpacked, in bytes.
const MAX_PLAIN_BYTES: usize = 8 * 1024 * 1024;

/// Requests whose bodies are in memory at the same time. One more is told to come again.
const AT_ONCE: usize = 32;

/// The same of signed requests, of which nobody knows yet who sends them: strangers must not take the others' room.
const UNPROVEN: usize = 8;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(20);

/// The way in which they came, for those who are told of a refusal.
const WAY: &str = "over HTTP";

/// The same of signed requests.
const SIGNED: &str = "over HTTP, signed";

/// What HTTP intake works with.
pub(crate) struct IntakeParts {
    pub(crate) broker: BrokerHandle,
    pub(crate) journal: Journal,
    /// Derives devices' signing keys.
    pub(crate) vault: Vault,
    pub(crate) clock: Clock,
    /// How many requests one identity may send in a second; 0 for no bound.
    pub(crate) requests_per_second: u32,
}

/// What every request needs.
struct Intake {
    broker: BrokerHandle,
    journal: Journal,
    vault: Vault,
    clock: Clock,
    limits: IngestLimits,
    room: Semaphore,
    unproven: Semaphore,
    pace: Pace,
    seen: Seen,
}

/// The routes of HTTP intake.
pub(crate) fn routes(parts: IntakeParts) -> Router {
    let intake = Intake {
        broker: parts.broker,
        journal: parts.journal,
        vault: parts.vault,
        clock: parts.clock,
        limits: IngestLimits::default(),
        room: Semaphore::new(AT_ONCE),
        unproven: Semaphore::new(UNPROVEN),
        pace: Pace::new(parts.requests_per_second),
        seen: Seen::default(),
    };
    Router::new()
        .route("/api/v1/push", post(push))
        .route("/api/v2/write", post(write))
        .route("/health", get(health))
        .route("/ping", get(ping))
        .fallback(elsewhere)
        .with_state(Arc::new(intake))
}

/// Why a request is not taken: status, a word for programs, a sentence for people. The shape is InfluxDB's.
#[derive(Debug)]
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// After how many seconds to come again.
    again_s: Option<u64>,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused {
            status,
            code,
            message,
            again_s,
        } = self;
        let body = serde_json::json!({ "code": code, "message": message }).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"sunshine\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = again_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Refused {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refused {
        Refused {
            status,
            code,
            message: message.into(),
            again_s: None,
        }
    }

    /// Nothing is wrong with it; it should come again.
    fn busy(message: impl Into<String>) -> Refused {
        Refused {
            again_s: Some(2),
            ..Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        }
    }
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "invalid", message)
}

fn unauthorized(message: impl Into<String>) -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

/// InfluxDB's clients ask whether it is there.
async fn health() -> impl IntoResponse {
    let body = serde_json::json!({ "name": "sunshine", "status": "pass", "message": "ready for queries and writes" });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string())
}

async fn ping() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn push(State(intake): State<Arc<Intake>>, request: Request) -> Result<StatusCode, Refused> {
    let Sent {
        who,
        body,
        signed,
        _room,
    } = intake.receive(request).await?;
    if body.len() > intake.limits.payload_bytes {
        return Err(too_large(intake.limits.payload_bytes));
    }
    // What is no JSON at all the sender should learn at once; everything else is judged where every message is.
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
    read.map_err(|e| intake.unreadable(&who, &body, format!("the body is no JSON: {e}")))?;
    let pieces = [&body[..]].into_iter();
    intake.keep(&who, "http/push", (pieces, signed)).await
}

/// An address that takes nothing: whoever sends there by mistake is told, and so is the device's page.
async fn elsewhere(State(intake): State<Arc<Intake>>, request: Request) -> Refused {
    let path = excerpt(request.uri().path().as_bytes());
    if let Ok(who) = intake.sign_in(request.headers()) {
        let detail = format!("{WAY}: {path}");
        intake
            .broker
            .turned_away(&who.name, RefusalReason::PublishDenied, &detail);
    }
    let message = "nothing is taken here; send JSON to /api/v1/push or line protocol to /api/v2/write";
    Refused::new(StatusCode::NOT_FOUND, "not found", message)
}

/// What stands behind the `?` of a write. Organisation and bucket are InfluxDB's; the device says where it belongs.
#[derive(Deserialize)]
struct WriteQuery {
    #[serde(default = "nanoseconds")]
    precision: String,
}

fn nanoseconds() -> String {
    "ns".to_owned()
}

async fn write(
    State(intake): State<Arc<Intake>>,
    query: Result<Query<WriteQuery>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Result<StatusCode, Refused> {
    let Query(query) = query.map_err(|e| invalid(e.body_text()))?;
    if Precision::parse(&query.precision).is_none() {
        return Err(invalid("precision is ns, us, ms or s"));
    }
    let Sent {
        who,
        body,
        signed,
        _room,
    } = intake.receive(request).await?;
    let unreadable = |why: String| intake.unreadable(&who, &body, why);
    let text =
        std::str::from_utf8(&body).map_err(|_not_text| unreadable("the body is not UTF-8".to_owned()))?;
    let pieces = line_pieces(
        text,
        intake.limits.payload_bytes / 2,
        intake.limits.payload_values / 2,
    );
    let pieces = pieces.map_err(|why| unreadable(why.to_string()))?;
    let leaf = format!("http/write/{}", query.precision);
    let pieces = pieces.into_iter().map(str::as_bytes);
    intake.keep(&who, &leaf, (pieces, signed)).await
}

fn too_large(max: usize) -> Refused {
    let message = format!("the body has more than {max} bytes; send less at a time");
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "request too large", message)
}

/// Who signed in: the name for the log, and where it speaks.
struct Who {
    name: IdentityName,
    root: String,
}

/// A request whose sender is known and whose body is here.
struct Sent<'i> {
    who: Who,
    body: Bytes,
    /// How it was signed, if it was.
    signed: Option<Signed>,
    /// Its place among the bodies in memory.
    _room: SemaphorePermit<'i>,
}

impl Intake {
    /// Who sends, at a pace that is allowed, and what.
    async fn receive(&self, request: Request) -> Result<Sent<'_>, Refused> {
        let (parts, body) = request.into_parts();
        if parts.headers.contains_key("x-sunshine-signature") {
            return self.receive_signed(parts, body).await;
        }
        let who = self.sign_in(&parts.headers)?;
        self.pace(&who)?;
        let room = place(&self.room)?;
        let body = self.unpacked(&parts, self.raw(body).await?).await?;
        Ok(Sent {
            who,
            body,
            signed: None,
            _room: room,
        })
    }

    /// The same of a signed request: who sends it shows only once its body is here.
    async fn receive_signed(&self, parts: Parts, body: axum::body::Body) -> Result<Sent<'_>, Refused> {
        let signed = Signed::of(&parts.headers).ok_or_else(|| {
            unauthorized(
                "a signed request has X-Sunshine-Device, X-Sunshine-Timestamp (seconds) and X-Sunshine-Signature \
                 (v1= and 64 hexadecimal digits)",
            )
        })?;
        let room = place(&self.unproven)?;
        let raw = self.raw(body).await?;
        let is_by = |identity: &Identity| signed.is_by(&self.vault.signing_key(identity), &parts.uri, &raw);
        let identity = self
            .broker
            .sign_in_with(&signed.device, SIGNED, is_by)
            .map_err(not_signed_in)?;
        let who = Who::of(identity)?;
        if let Some(off) = signed.too_far(self.clock.now()) {
            let detail = format!("{SIGNED}: {off} s");
            self.broker
                .turned_away(&who.name, RefusalReason::ClockWrong, &detail);
            return Err(unauthorized(format!(
                "the timestamp is {off} s from our time, at most {WINDOW_S} s are allowed; set the sender's clock"
            )));
        }
        self.pace(&who)?;
        let body = self.unpacked(&parts, raw).await?;
        Ok(Sent {
            who,
            body,
            signed: Some(signed),
            _room: room,
        })
    }

    /// `Basic`, `Bearer` or `Token` with `<facility>/<device>:<secret>`.
    fn sign_in(&self, headers: &HeaderMap) -> Result<Who, Refused> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let credentials = given.and_then(credentials).ok_or_else(|| {
            unauthorized(
                "give Authorization: Token <facility>/<device>:<secret>, or the same as Bearer or Basic",
            )
        })?;
        let (name, secret) = credentials.split_once(':').unwrap_or((&credentials, ""));
        let identity = self
            .broker
            .sign_in(name, secret.as_bytes(), WAY)
            .map_err(not_signed_in)?;
        Who::of(identity)
    }

    /// Counts a request of this identity, or tells it to come later.
    fn pace(&self, who: &Who) -> Result<(), Refused> {
        self.pace.take(&who.name, Instant::now()).map_err(|wait| {
            self.broker.turned_away(&who.name, RefusalReason::TooFast, WAY);
            let message = "more requests a second than allowed; send several values in one, or come later";
            Refused {
                again_s: Some(wait.as_secs_f64().ceil().max(1.0) as u64),
                ..Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many requests", message)
            }
        })
    }

    /// A body that nothing can be made of: the sender is told, and the device's page.
    fn unreadable(&self, who: &Who, body: &[u8], why: String) -> Refused {
        let detail = format!("{why}: {}", excerpt(body));
        self.broker
            .turned_away(&who.name, RefusalReason::BadBody, &detail);
        invalid(why)
    }

    /// Into the log, once, however often a signed request comes; on disk when it returns.
    async fn keep<'b>(
        &self,
        who: &Who,
        leaf: &str,
        (pieces, signed): (impl Iterator<Item = &'b [u8]>, Option<Signed>),
    ) -> Result<StatusCode, Refused> {
        if let Some(signed) = &signed {
            match self.seen.meet(signed, self.clock.now()) {
                Met::New => {}
                Met::Taken => return Ok(StatusCode::NO_CONTENT),
                Met::Busy => return Err(Refused::busy("this signed request is being taken; come again")),
            }
        }
        let mut stored = Ok(());
        for piece in pieces {
            stored = self.append(who, leaf, piece).await;
            if stored.is_err() {
                break;
            }
        }
        if let Some(signed) = &signed {
            self.seen.settle(signed, stored.is_ok());
        }
        stored.map(|()| StatusCode::NO_CONTENT)
    }

    /// The body as it comes.
    async fn raw(&self, body: axum::body::Body) -> Result<Bytes, Refused> {
        let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY_BYTES)).await;
        match read {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_too_large_or_broken)) => Err(too_large(MAX_BODY_BYTES)),
            Err(_elapsed) => Err(Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the body took too long",
            )),
        }
    }

    /// The body as it was meant.
    async fn unpacked(&self, parts: &Parts, body: Bytes) -> Result<Bytes, Refused> {
        let encoding = parts
            .headers
            .get(header::CONTENT_ENCODING)
            .map(HeaderValue::as_bytes);
        match encoding {
            None | Some(b"identity") => Ok(body),
            Some(b"gzip") => {
                let unpacked = tokio::task::spawn_blocking(move || unpack(&body)).await;
                unpacked.unwrap_or_else(|_panicked| Err(invalid("the body cannot be unpacked")))
            }
            Some(_) => Err(Refused::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported media type",
                "the body is packed in another way than gzip",
            )),
        }
    }

    /// Into the log; on disk when it returns.
    async fn append(&self, who: &Who, leaf: &str, body: &[u8]) -> Result<(), Refused> {
        let topic = format!("{}{leaf}", who.root);
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: who.name.as_str(),
            subject: &topic,
            attributes: &[],
            body,
        };
        let Err(refused) = self.journal.append_durable(&envelope).await else {
            return Ok(());
        };
        Err(match refused {
            AppendError::TooLarge => too_large(self.limits.payload_bytes),
            AppendError::Busy | AppendError::Full | AppendError::Closed => {
                Refused::busy(format!("{refused}; nothing is lost if you send it again"))
            }
            AppendError::Poisoned => {
                error!("HTTP intake cannot store what it is sent: {refused}");
                Refused::busy(refused.to_string())
            }
        })
    }
}

impl Who {
    /// A device; services send no readings.
    fn of(identity: Identity) -> Result<Who, Refused> {
        match identity.access {
            Access::Device { facility, device, .. } => Ok(Who {
                root: address::device_root(&facility, &device),
                name: identity.name,
            }),
            Access::Service { .. } => Err(Refused::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                "only devices send readings",
            )),
        }
    }
}

/// A place for one more body in memory.
fn place(room: &Semaphore) -> Result<SemaphorePermit<'_>, Refused> {
    room.try_acquire()
        .map_err(|_full| Refused::busy("too many requests at the same time; come again"))
}

fn not_signed_in(reason: RefusalReason) -> Refused {
    unauthorized(match reason {
        RefusalReason::Expired => "the identity's time is over",
        RefusalReason::Revoked => "the identity was revoked",
        _ => "no such device, or the wrong secret or signature",
    })
}

fn unpack(body: &[u8]) -> Result<Bytes, Refused> {
    let mut plain = Vec::new();
    let mut unpacked = GzDecoder::new(body).take(MAX_PLAIN_BYTES as u64 + 1);
    unpacked
        .read_to_end(&mut plain)
        .map_err(|e| invalid(format!("the body is no gzip: {e}")))?;
    if plain.len() > MAX_PLAIN_BYTES {
        return Err(too_large(MAX_PLAIN_BYTES));
    }
    Ok(plain.into())
}

/// Name and secret of an `Authorization` header.
fn credentials(header: &str) -> Option<String> {
    let (scheme, given) = header.split_once(' ')?;
    let given = given.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        return String::from_utf8(STANDARD.decode(given).ok()?).ok();
    }
    let plain = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    plain.then(|| given.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_in_three_schemes() {
        let cases = [
            ("Token f/d:s", Some("f/d:s")),
            ("bearer  f/d:s ", Some("f/d:s")),
            ("Basic Zi9kOnM=", Some("f/d:s")),
            ("Basic !", None),
            ("Digest f/d:s", None),
            ("f/d:s", None),
        ];
        for (header, want) in cases {
            assert_eq!(credentials(header).as_deref(), want, "{header}");
        }
    }
}
