//! HTTP intake (推送接入): what comes by HTTP and not by MQTT. An operator's platform pushes JSON; Telegraf writes line
//! protocol as it would to InfluxDB 2.
//!
//! A request is answered with 204 once what it brought is in the log and synced; before that with nothing. It speaks
//! for the device that signs in and for those behind it, and for nobody else.

use std::{io::Read as _, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use broker::BrokerHandle;
use domain::{Access, address, status::RefusalReason};
use flate2::read::GzDecoder;
use ingest::{IngestLimits, Precision, line_pieces};
use journal::{AppendError, Envelope, Journal, Kind};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::error;

/// The largest body as it comes, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest body once it is unpacked, in bytes.
const MAX_PLAIN_BYTES: usize = 8 * 1024 * 1024;

/// Requests whose bodies are in memory at the same time. One more is told to come again.
const AT_ONCE: usize = 32;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(20);

/// The way in which they came, for those who are told of a refusal.
const WAY: &str = "over HTTP";

/// What every request needs.
struct Intake {
    broker: BrokerHandle,
    journal: Journal,
    limits: IngestLimits,
    room: Semaphore,
}

/// The routes of HTTP intake.
pub(crate) fn routes(broker: BrokerHandle, journal: Journal) -> Router {
    let intake = Intake {
        broker,
        journal,
        limits: IngestLimits::default(),
        room: Semaphore::new(AT_ONCE),
    };
    Router::new()
        .route("/api/v1/push", post(push))
        .route("/api/v2/write", post(write))
        .route("/health", get(health))
        .route("/ping", get(ping))
        .with_state(Arc::new(intake))
}

/// Why a request is not taken: status, a word for programs, a sentence for people. The shape is InfluxDB's.
#[derive(Debug)]
struct Refused(StatusCode, &'static str, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, code, message) = self;
        let body = serde_json::json!({ "code": code, "message": message }).to_string();
        let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"sunshine\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, "invalid", message.into())
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
    let who = intake.sign_in(request.headers())?;
    let _room = intake.room()?;
    let body = intake.body(request).await?;
    if body.len() > intake.limits.payload_bytes {
        return Err(too_large(intake.limits.payload_bytes));
    }
    // What is no JSON at all the sender should learn at once; everything else is judged where every message is.
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
    read.map_err(|e| invalid(format!("the body is no JSON: {e}")))?;
    intake.append(&who, "http/push", &body).await?;
    Ok(StatusCode::NO_CONTENT)
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
    let who = intake.sign_in(request.headers())?;
    let Query(query) = query.map_err(|e| invalid(e.body_text()))?;
    if Precision::parse(&query.precision).is_none() {
        return Err(invalid("precision is ns, us, ms or s"));
    }
    let _room = intake.room()?;
    let body = intake.body(request).await?;
    let text = std::str::from_utf8(&body).map_err(|_not_text| invalid("the body is not UTF-8"))?;
    let pieces = line_pieces(
        text,
        intake.limits.payload_bytes / 2,
        intake.limits.payload_values / 2,
    );
    let leaf = format!("http/write/{}", query.precision);
    for piece in pieces.map_err(|why| invalid(why.to_string()))? {
        intake.append(&who, &leaf, piece.as_bytes()).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn too_large(max: usize) -> Refused {
    let message = format!("the body has more than {max} bytes; send less at a time");
    Refused(StatusCode::PAYLOAD_TOO_LARGE, "request too large", message)
}

/// Who signed in: the name for the log, and where it speaks.
struct Who {
    name: String,
    root: String,
}

impl Intake {
    /// `Basic`, `Bearer` or `Token` with `<facility>/<device>:<secret>`.
    fn sign_in(&self, headers: &HeaderMap) -> Result<Who, Refused> {
        let refused = |message: &str| Refused(StatusCode::UNAUTHORIZED, "unauthorized", message.to_owned());
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let credentials = given.and_then(credentials).ok_or_else(|| {
            refused("give Authorization: Token <facility>/<device>:<secret>, or the same as Bearer or Basic")
        })?;
        let (name, secret) = credentials.split_once(':').unwrap_or((&credentials, ""));
        let identity = self
            .broker
            .sign_in(name, secret.as_bytes(), WAY)
            .map_err(|reason| {
                refused(match reason {
                    RefusalReason::Expired => "the identity's time is over",
                    RefusalReason::Revoked => "the identity was revoked",
                    _ => "no such device, or the wrong secret",
                })
            })?;
        match identity.access {
            Access::Device { facility, device, .. } => Ok(Who {
                name: identity.name.to_string(),
                root: address::device_root(&facility, &device),
            }),
            Access::Service { .. } => Err(Refused(
                StatusCode::FORBIDDEN,
                "forbidden",
                "only devices send readings".to_owned(),
            )),
        }
    }

    fn room(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Refused> {
        self.room.try_acquire().map_err(|_full| {
            let message = "too many requests at the same time; come again".to_owned();
            Refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        })
    }

    /// The body, unpacked.
    async fn body(&self, request: Request) -> Result<Bytes, Refused> {
        let (parts, body) = request.into_parts();
        let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY_BYTES)).await;
        let body = match read {
            Ok(Ok(body)) => body,
            Ok(Err(_too_large_or_broken)) => return Err(too_large(MAX_BODY_BYTES)),
            Err(_elapsed) => {
                let message = "the body took too long".to_owned();
                return Err(Refused(StatusCode::REQUEST_TIMEOUT, "timeout", message));
            }
        };
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
            Some(_) => {
                let message = "the body is packed in another way than gzip".to_owned();
                Err(Refused(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "unsupported media type",
                    message,
                ))
            }
        }
    }

    /// Into the log; on disk when it returns.
    async fn append(&self, who: &Who, leaf: &str, body: &[u8]) -> Result<(), Refused> {
        let topic = format!("{}{leaf}", who.root);
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: &who.name,
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
                let message = format!("{refused}; nothing is lost if you send it again");
                Refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            }
            AppendError::Poisoned => {
                error!("HTTP intake cannot store what it is sent: {refused}");
                Refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "unavailable",
                    refused.to_string(),
                )
            }
        })
    }
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
