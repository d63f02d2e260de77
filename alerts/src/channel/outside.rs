//! The way out. An address is resolved once, every address of the answer is checked, and the connection goes to a checked
//! one; redirects are not followed, no proxy is asked, and an answer is read up to a bound.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::{message::ChannelKind, outbound::Addresses};
use reqwest::{
    RequestBuilder, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::RETRY_AFTER,
};
use url::{Host, Url};

use super::{FailureKind, SendFailure};

/// How long a name server, a connection and a whole message may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// The longest pause that another side may ask for, in seconds.
const MAX_RETRY_AFTER_S: i64 = 3_600;

/// Why messages cannot be sent over HTTP at all.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The HTTP client does not come up.
    #[error("the HTTP client for messages cannot be made; check the machine's certificates")]
    Http(#[source] reqwest::Error),
    /// What is to be trusted cannot be read.
    #[error("the certificates that messages are to trust cannot be read; give PEM files of authorities")]
    Authorities(#[source] reqwest::Error),
}

/// What may be connected to, and the client that does.
#[derive(Debug, Clone)]
pub(crate) struct Outside {
    addresses: Arc<Addresses>,
    http: reqwest::Client,
    /// Authorities that are trusted besides the machine's, as PEM; empty where there are none.
    authorities: Arc<[u8]>,
}

/// An answer, as much of it as counts.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    retry_after_s: Option<i64>,
}

impl Outside {
    pub(super) fn new(addresses: Addresses, authorities: &[u8]) -> Result<Outside, OutsideError> {
        let addresses = Arc::new(addresses);
        let trusted =
            reqwest::Certificate::from_pem_bundle(authorities).map_err(OutsideError::Authorities)?;
        let http = reqwest::Client::builder()
            .tls_certs_merge(trusted)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(SEND_TIMEOUT)
            .user_agent("sunshine-kitchen")
            .pool_max_idle_per_host(2)
            .dns_resolver(Arc::new(CheckedNames(Arc::clone(&addresses))))
            .build()
            .map_err(OutsideError::Http)?;
        Ok(Outside {
            addresses,
            http,
            authorities: Arc::from(authorities),
        })
    }

    pub(super) fn authorities(&self) -> &[u8] {
        &self.authorities
    }

    /// The address for `kind`: what is set, or the vendor's, with `path` behind it.
    pub(super) fn url(&self, kind: ChannelKind, set: &str, path: &str) -> Result<Url, SendFailure> {
        let base = match set.trim() {
            "" => kind.vendor_url(),
            set => set,
        };
        let whole = format!(
            "{}{path}",
            if path.is_empty() {
                base
            } else {
                base.trim_end_matches('/')
            }
        );
        // The parser's words would quote what may hold a key.
        let url = Url::parse(&whole).map_err(|_quotes_the_address| {
            SendFailure::permanent("the channel's address cannot be read; correct it")
        })?;
        self.admit(&url)?;
        Ok(url)
    }

    /// The address that a browser gave. Push services speak TLS; only what stands on this machine need not.
    pub(super) fn place(&self, endpoint: &str) -> Result<Url, SendFailure> {
        let unreadable =
            || SendFailure::permanent("the browser's address cannot be read; subscribe it again");
        let url = Url::parse(endpoint).map_err(|_quotes_the_address| unreadable())?;
        let local = matches!(url.host(), Some(Host::Ipv4(address)) if address.is_loopback());
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || !(url.scheme() == "https" || (url.scheme() == "http" && local)) {
            return Err(unreadable());
        }
        self.admit(&url)?;
        Ok(url)
    }

    /// Checks an address that needs no name server; a name is checked when it is resolved.
    fn admit(&self, url: &Url) -> Result<(), SendFailure> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => {
                return Err(SendFailure::permanent(
                    "the channel's address names no host; correct it",
                ));
            }
        };
        if self.addresses.allow(address) {
            Ok(())
        } else {
            Err(refused())
        }
    }

    /// A checked address of a server that is not spoken to over HTTP.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, SendFailure> {
        let found = resolve(&self.addresses, host, port).await?;
        found.first().copied().ok_or_else(nowhere)
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.http.post(url)
    }

    pub(super) fn put(&self, url: Url) -> RequestBuilder {
        self.http.put(url)
    }

    /// Sends a request and reads the answer up to its bound. No failure holds the address.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, SendFailure> {
        let mut response = request.send().await.map_err(|error| unsent(&error))?;
        let retry_after_s = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse::<i64>().ok())
            .map(|seconds| seconds.clamp(0, MAX_RETRY_AFTER_S));
        let status = response.status();
        let mut body = Vec::new();
        while body.len() < MAX_ANSWER {
            match response.chunk().await {
                Ok(Some(bytes)) => body.extend_from_slice(&bytes[..bytes.len().min(MAX_ANSWER - body.len())]),
                Ok(None) => break,
                Err(error) => return Err(unsent(&error)),
            }
        }
        Ok(Answer {
            status,
            body,
            retry_after_s,
        })
    }
}

impl Answer {
    /// The answer when it is one of success.
    pub(super) fn accepted(self) -> Result<Answer, SendFailure> {
        let status = self.status;
        if status.is_success() {
            return Ok(self);
        }
        let words = format!("the other side answered {}: {}", status.as_u16(), self.excerpt());
        let again = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        );
        if again || status.is_server_error() {
            return Err(SendFailure {
                kind: FailureKind::Transient {
                    after_ms: self.retry_after_s.map(|s| s * 1_000),
                },
                words,
            });
        }
        Err(SendFailure::permanent(words))
    }

    /// The answer as JSON.
    pub(super) fn json(&self) -> Result<serde_json::Value, SendFailure> {
        serde_json::from_slice(&self.body).map_err(|_not_json| {
            SendFailure::transient(format!(
                "the other side did not answer in JSON: {}",
                self.excerpt()
            ))
        })
    }

    fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(120).collect()
    }
}

fn unsent(error: &reqwest::Error) -> SendFailure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<SendFailure>() {
            return failure.clone();
        }
        cause = error.source();
    }
    SendFailure::transient(if error.is_timeout() {
        "the other side does not answer in time"
    } else if error.is_connect() {
        "the other side cannot be connected to"
    } else {
        "the connection broke off"
    })
}

fn refused() -> SendFailure {
    SendFailure::permanent(
        "the address lies in a private network, to which no messages are sent; allow the network in [messages] networks",
    )
}

fn nowhere() -> SendFailure {
    SendFailure::transient("the name has no address")
}

async fn resolve(addresses: &Addresses, name: &str, port: u16) -> Result<Vec<SocketAddr>, SendFailure> {
    let asked = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await;
    let found: Vec<SocketAddr> = match asked {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_unknown)) => return Err(nowhere()),
        Err(_elapsed) => return Err(SendFailure::transient("the name server does not answer")),
    };
    if found.is_empty() {
        return Err(nowhere());
    }
    let allowed: Vec<SocketAddr> = found
        .into_iter()
        .filter(|found| addresses.allow(found.ip()))
        .collect();
    if allowed.is_empty() {
        Err(refused())
    } else {
        Ok(allowed)
    }
}

/// Resolves for the HTTP client, and hands out checked addresses only.
struct CheckedNames(Arc<Addresses>);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = resolve(&addresses, name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(networks: &[&str]) -> Outside {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        Outside::new(Addresses::public_and(networks), b"").unwrap()
    }

    #[tokio::test]
    async fn no_message_goes_into_a_private_network_however_the_address_is_written() {
        let outside = outside(&[]);
        for hidden in [
            "http://127.0.0.1:1/x",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest/meta-data",
            "http://192.168.1.1/",
        ] {
            let refused = outside.url(ChannelKind::Webhook, hidden, "").unwrap_err();
            assert_eq!(refused.kind, FailureKind::Permanent, "{hidden}");
            assert!(refused.words.contains("[messages] networks"), "{refused}");
        }
        let url = outside
            .url(ChannelKind::Webhook, "http://localhost:1/key-hunter2", "")
            .unwrap();
        let refused = outside.send(outside.post(url)).await.err().unwrap();
        assert_eq!(refused.kind, FailureKind::Permanent);
        assert!(!refused.words.contains("hunter2"), "{refused}");
        let mail = outside.resolve("localhost", 25).await.unwrap_err();
        assert_eq!(mail.kind, FailureKind::Permanent);
    }

    #[tokio::test]
    async fn a_network_that_is_named_is_allowed_and_a_failure_names_no_address() {
        let outside = outside(&["127.0.0.0/8", "::1/128"]);
        let url = outside
            .url(ChannelKind::Webhook, "http://localhost:1/key-hunter2", "")
            .unwrap();
        let failed = outside.send(outside.post(url)).await.err().unwrap();
        assert_eq!(failed.kind, FailureKind::Transient { after_ms: None });
        assert!(!failed.words.contains("hunter2"), "{failed}");
        let vendor = outside
            .url(ChannelKind::WeCom, " ", "/cgi-bin/webhook/send")
            .unwrap();
        assert_eq!(
            vendor.as_str(),
            "https://qyapi.weixin.qq.com/cgi-bin/webhook/send"
        );
        assert!(outside.url(ChannelKind::Webhook, "no address", "").is_err());
    }
}
