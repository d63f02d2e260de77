//! How ONVIF goes to a camera: to the one address that was named, through the guard, within bounds.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use domain::{camera::Credentials, sight::CameraFault};
use http_auth::PasswordClient;
use oxvif::transport::{Transport, TransportError};
use reqwest::Method;
use url::Url;

use crate::{
    guard::Guard,
    source::{
        CameraFailure,
        http::{self, Content, Signing},
    },
};

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Requests to one device. Its services name addresses of their own; whatever they name, requests go to the host
/// and port that was asked for: behind a router the others are wrong, and credentials go nowhere else.
#[derive(Clone)]
pub(super) struct GuardedTransport(Arc<Shared>);

struct Shared {
    device: Url,
    credentials: Option<Credentials>,
    guard: Guard,
    challenge: Mutex<Option<PasswordClient>>,
    failure: Mutex<Option<CameraFailure>>,
}

impl GuardedTransport {
    pub(super) fn new(device: Url, credentials: Option<Credentials>, guard: Guard) -> GuardedTransport {
        GuardedTransport(Arc::new(Shared {
            device,
            credentials,
            guard,
            challenge: Mutex::new(None),
            failure: Mutex::new(None),
        }))
    }

    /// This transport, for a client of the library.
    pub(super) fn shared(&self) -> Arc<dyn Transport> {
        Arc::new(self.clone())
    }

    /// Why the last request failed, if it did not get an answer.
    pub(super) fn failure(&self) -> Option<CameraFailure> {
        lock(&self.0.failure).take()
    }

    async fn post(&self, url: &str, action: &str, body: String) -> Result<String, CameraFailure> {
        let shared = &*self.0;
        *lock(&shared.failure) = None;
        let mut target = shared.device.clone();
        let told =
            Url::parse(url).map_err(|e| protocol(&format!("it names a service at no address: {e}")))?;
        target.set_path(told.path());
        target.set_query(told.query());
        let content = Content {
            kind: format!("application/soap+xml; charset=utf-8; action=\"{action}\""),
            body: body.into(),
        };
        let mut challenge = lock(&shared.challenge).take();
        let signing = Signing {
            guard: &shared.guard,
            credentials: shared.credentials.as_ref(),
            challenge: &mut challenge,
        };
        let response = signing.request(Method::POST, &target, Some(content)).await;
        *lock(&shared.challenge) = challenge;
        let response = response?;
        let status = response.status().as_u16();
        let fault = match status {
            // Errors of SOAP come with 400 and 500, and say more than the status.
            200 | 400 | 500 => {
                let answer = http::body(response, MAX_ANSWER_BYTES).await?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            401 | 403 => CameraFault::Auth,
            _ => CameraFault::Protocol,
        };
        Err(CameraFailure::new(
            fault,
            format!("its ONVIF service answers with status {status}"),
        ))
    }
}

/// What `async_trait` makes of the trait's one method, written out.
impl Transport for GuardedTransport {
    fn soap_post<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        url: &'life1 str,
        action: &'life2 str,
        body: String,
    ) -> Pin<Box<dyn Future<Output = Result<String, TransportError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            self.post(url, action, body).await.map_err(|failure| {
                // The library's error has no place for ours, which is kept beside it.
                *lock(&self.0.failure) = Some(failure);
                TransportError::HttpStatus {
                    status: 0,
                    body: String::new(),
                }
            })
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is held is whole at every moment, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn protocol(what: &str) -> CameraFailure {
    CameraFailure::new(CameraFault::Protocol, what)
}
