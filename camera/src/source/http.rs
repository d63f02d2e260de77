//! Cameras that speak HTTP: one request at a time, signed in where asked, every answer within bounds.

use bytes::{Bytes, BytesMut};
use domain::{
    UtcMillis,
    camera::{CameraUrl, Credentials},
    sight::CameraFault,
};
use http_auth::{PasswordClient, PasswordParams};
use reqwest::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, WWW_AUTHENTICATE},
};
use tokio::time::timeout;
use url::Url;

use super::{CameraFailure, SourceContext, outlet::too_large};
use crate::guard::{self, Guard};

/// An HTTP camera at one URL, with the sign-in that it asked for.
pub(crate) struct HttpCamera<'a> {
    url: Url,
    credentials: Option<&'a Credentials>,
    context: &'a SourceContext,
    challenge: Option<PasswordClient>,
}

/// What is sent along with a request.
pub(crate) struct Content {
    /// Its type.
    pub(crate) kind: String,
    /// It.
    pub(crate) body: Bytes,
}

impl<'a> HttpCamera<'a> {
    pub(crate) fn new(
        url: &CameraUrl,
        credentials: Option<&'a Credentials>,
        context: &'a SourceContext,
    ) -> Result<HttpCamera<'a>, CameraFailure> {
        Ok(HttpCamera {
            url: guard::parse(url)?,
            credentials,
            context,
            challenge: None,
        })
    }

    /// How long the camera may take, and what time it is.
    pub(crate) fn context(&self) -> &'a SourceContext {
        self.context
    }

    /// Asks for the URL. The answer has begun, and says that it is what was asked for.
    pub(crate) async fn get(&mut self) -> Result<Response, CameraFailure> {
        let signing = Signing {
            guard: &self.context.guard,
            credentials: self.credentials,
            challenge: &mut self.challenge,
        };
        let asking = signing.request(Method::GET, &self.url, None);
        let response = timeout(self.context.timing.answer, asking)
            .await
            .or(Err(slow()))??;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let fault = match status.as_u16() {
            401 | 403 => CameraFault::Auth,
            404 | 410 => CameraFault::NoVideo,
            429 | 503 => CameraFault::Timeout,
            _ => CameraFault::Protocol,
        };
        let detail = if status.is_redirection() {
            format!(
                "it answers with status {}; redirects are not followed",
                status.as_u16()
            )
        } else {
            format!("it answers with status {}", status.as_u16())
        };
        Err(CameraFailure::new(fault, detail))
    }
}

/// A request that signs in where it is asked to.
pub(crate) struct Signing<'a> {
    /// Where connections may go.
    pub(crate) guard: &'a Guard,
    /// What to sign in with.
    pub(crate) credentials: Option<&'a Credentials>,
    /// How the camera asked before.
    pub(crate) challenge: &'a mut Option<PasswordClient>,
}

impl Signing<'_> {
    /// Sends one request, and once more when the answer asks to sign in.
    pub(crate) async fn request(
        self,
        method: Method,
        url: &Url,
        content: Option<Content>,
    ) -> Result<Response, CameraFailure> {
        self.guard.admits(url)?;
        let mut fresh = false;
        loop {
            let mut request = self.guard.http().request(method.clone(), url.clone());
            if let Some(content) = &content {
                request = request
                    .header(CONTENT_TYPE, &content.kind)
                    .body(content.body.clone());
            }
            if let (Some(challenge), Some(credentials)) = (self.challenge.as_mut(), self.credentials) {
                let body = content.as_ref().map_or(&[][..], |content| &content.body[..]);
                let answer = sign(challenge, credentials, (&method, url, body))?;
                request = request.header(AUTHORIZATION, answer);
            }
            let response = request.send().await.map_err(|e| failure_of(&e))?;
            // The challenge of an earlier request may be worn out; one that was just answered was answered wrongly.
            if response.status() != StatusCode::UNAUTHORIZED || fresh || self.credentials.is_none() {
                return Ok(response);
            }
            *self.challenge = Some(challenge_of(&response)?);
            fresh = true;
        }
    }
}

/// How the answer asks to sign in: Digest where it is offered, else Basic.
fn challenge_of(response: &Response) -> Result<PasswordClient, CameraFailure> {
    let told = response.headers().get_all(WWW_AUTHENTICATE);
    let builder = told
        .iter()
        .filter_map(|value| value.to_str().ok())
        .fold(PasswordClient::builder(), |builder, value| {
            builder.challenges(value)
        });
    // What the library says repeats the camera's words.
    builder.build().or(Err(CameraFailure::new(
        CameraFault::Auth,
        "it asks to sign in by another way than Digest or Basic",
    )))
}

fn sign(
    challenge: &mut PasswordClient,
    credentials: &Credentials,
    (method, url, body): (&Method, &Url, &[u8]),
) -> Result<String, CameraFailure> {
    let uri = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let answer = challenge.respond(&PasswordParams {
        username: &credentials.user,
        password: &credentials.password,
        uri: &uri,
        method: method.as_str(),
        body: Some(body),
    });
    answer.or(Err(CameraFailure::new(
        CameraFault::Auth,
        "its way to sign in cannot be followed",
    )))
}

/// The whole body of an answer, of at most `most_bytes`.
pub(crate) async fn body(mut response: Response, most_bytes: usize) -> Result<Bytes, CameraFailure> {
    let told = response.content_length().unwrap_or(0);
    if told > most_bytes as u64 {
        return Err(too_large(format!("the answer has {told} bytes")));
    }
    let mut whole = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|e| failure_of(&e))? {
        if whole.len() + piece.len() > most_bytes {
            return Err(too_large(format!("the answer has more than {most_bytes} bytes")));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

/// The camera's clock less ours, from the `Date` of its answer.
pub(crate) fn clock_offset(response: &Response, now: UtcMillis) -> Option<i64> {
    let text = response.headers().get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()?;
    let camera = UtcMillis(date.as_millisecond());
    // A camera whose clock was never set tells no time.
    (camera >= UtcMillis::EARLIEST).then(|| camera.ms_since(now))
}

/// Why a request failed. The library's own text holds the URL and is left out.
pub(crate) fn failure_of(error: &reqwest::Error) -> CameraFailure {
    if let Some(refusal) = guard::refusal(error) {
        return refusal;
    }
    if !error.is_connect() {
        return if error.is_body() || error.is_decode() {
            CameraFailure::new(CameraFault::Timeout, "the answer broke off")
        } else {
            CameraFailure::new(
                CameraFault::Protocol,
                "the answer is no HTTP, or the connection was closed",
            )
        };
    }
    // What the operating system says of a connection has a kind; what TLS says comes as some other error.
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        let io = e.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| {
            matches!(
                io.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            )
        }) {
            return CameraFailure::new(
                CameraFault::Protocol,
                "no secure connection comes about; the camera's certificate is not trusted here, or it speaks no TLS",
            );
        }
        cause = e.source();
    }
    CameraFailure::new(
        CameraFault::Unreachable,
        "the connection is refused, or nothing answers",
    )
}

pub(crate) fn slow() -> CameraFailure {
    CameraFailure::new(CameraFault::Timeout, "it does not answer in time")
}
