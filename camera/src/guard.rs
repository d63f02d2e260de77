//! The guard of outbound addresses. Whoever may attach a camera names an address that this machine then connects
//! to: without a guard that is a door to everything the machine can reach.
//!
//! A name is resolved once, every address of the answer is checked, and the connection goes to a checked address.
//! Nothing resolves the name a second time, so that an answer which changes in between changes nothing. Redirects
//! are not followed, and no proxy is asked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::{camera::CameraUrl, outbound::Addresses, sight::CameraFault};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::source::failure::CameraFailure;

pub use domain::outbound::{Network, NetworkError};

/// The most networks that cameras may be in.
pub const MAX_NETWORKS: usize = 64;

/// The networks that cameras may be in unless the operator says otherwise: the private ones (RFC 1918, RFC 4193).
/// Not among them: loopback, link-local and carrier-grade addresses.
pub const PRIVATE_NETWORKS: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// How long a name server may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an HTTP connection may take to come about: shorter than a camera may take to answer, so that one that
/// is not there is told from one that is slow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// How long an idle HTTP connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a guard cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// There are too many networks.
    #[error("there are {0} networks; at most {MAX_NETWORKS} are allowed: join some into larger ones")]
    Networks(usize),
    /// The HTTP client cannot be made.
    #[error("the HTTP client for cameras cannot be made; check the machine's certificates")]
    Http(#[source] reqwest::Error),
}

/// Lets connections go only to addresses that cameras may have. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    networks: Arc<Networks>,
    http: reqwest::Client,
}

impl Guard {
    /// A guard that allows `networks` and nothing else. None at all means that no camera can be reached.
    ///
    /// # Errors
    /// [`GuardError`]: there are more than [`MAX_NETWORKS`], or the HTTP client cannot be made.
    pub fn new(networks: Vec<Network>) -> Result<Guard, GuardError> {
        if networks.len() > MAX_NETWORKS {
            return Err(GuardError::Networks(networks.len()));
        }
        let networks = Arc::new(Networks(Addresses::inside(networks)));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent("sunshine-camera")
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .dns_resolver(Arc::new(CheckedNames(Arc::clone(&networks))))
            .build()
            .map_err(GuardError::Http)?;
        Ok(Guard { networks, http })
    }

    /// The networks of [`PRIVATE_NETWORKS`].
    #[must_use]
    pub fn private_networks() -> Vec<Network> {
        parsed(&PRIVATE_NETWORKS)
    }

    /// This machine itself, for demonstrations and tests.
    #[must_use]
    pub fn loopback() -> Vec<Network> {
        parsed(&["127.0.0.0/8", "::1/128"])
    }

    /// Whether a connection may go to `address`.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        self.networks.allow(address)
    }

    /// The address to connect to for `url`: resolved once, checked. A port that the URL does not name is
    /// `default_port`.
    ///
    /// # Errors
    /// [`CameraFault::Unreachable`] when the name has no address, [`CameraFault::AddressNotAllowed`] when none
    /// of its addresses is allowed.
    pub async fn resolve(&self, url: &Url, default_port: u16) -> Result<SocketAddr, CameraFailure> {
        let port = url.port_or_known_default().unwrap_or(default_port);
        let host = url.host().ok_or_else(no_host)?;
        let found = match host {
            Host::Ipv4(address) => self.networks.checked(std::iter::once((address, port).into()))?,
            Host::Ipv6(address) => self.networks.checked(std::iter::once((address, port).into()))?,
            Host::Domain(name) => self.networks.resolve(name, port).await?,
        };
        found.into_iter().next().ok_or_else(no_address)
    }

    /// The HTTP client whose every connection is checked. It must be asked through [`Guard::admits`] first,
    /// because an address that stands in a URL is connected to without being resolved.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Checks a URL whose host is an address; a name passes, for it is checked when it is resolved.
    ///
    /// # Errors
    /// [`CameraFault::AddressNotAllowed`].
    pub(crate) fn admits(&self, url: &Url) -> Result<(), CameraFailure> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) => return Ok(()),
            None => return Err(no_host()),
        };
        if self.allows(address) {
            Ok(())
        } else {
            Err(not_allowed())
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guard").field(&self.networks.0.networks()).finish()
    }
}

/// The URL of a camera, taken apart.
///
/// # Errors
/// [`CameraFault::Protocol`] when it cannot be.
pub(crate) fn parse(url: &CameraUrl) -> Result<Url, CameraFailure> {
    Url::parse(url.as_str())
        .map_err(|e| CameraFailure::new(CameraFault::Protocol, format!("the URL cannot be read: {e}")))
}

/// The refusal of the guard inside an error of the HTTP client, if that is the cause.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<CameraFailure> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<CameraFailure>() {
            return Some(failure.clone());
        }
        cause = error.source();
    }
    None
}

struct Networks(Addresses);

impl Networks {
    fn allow(&self, address: IpAddr) -> bool {
        self.0.allow(address)
    }

    /// Those of `found` that are allowed.
    fn checked(&self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, CameraFailure> {
        let mut any = false;
        let allowed: Vec<SocketAddr> = found
            .inspect(|_| any = true)
            .filter(|address| self.allow(address.ip()))
            .collect();
        match (allowed.is_empty(), any) {
            (false, _) => Ok(allowed),
            (true, true) => Err(not_allowed()),
            (true, false) => Err(no_address()),
        }
    }

    async fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, CameraFailure> {
        match tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await {
            Ok(Ok(found)) => self.checked(found),
            Ok(Err(_)) => Err(no_address()),
            Err(_) => Err(CameraFailure::new(
                CameraFault::Unreachable,
                "the name server does not answer",
            )),
        }
    }
}

/// Resolves for the HTTP client, and hands out checked addresses only.
struct CheckedNames(Arc<Networks>);

impl Resolve for CheckedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 stands for the URL's.
            let found = networks.resolve(name.as_str(), 0).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn parsed(networks: &[&str]) -> Vec<Network> {
    let read = |text: &&str| text.parse().expect("the networks of this file are well formed");
    networks.iter().map(read).collect()
}

fn not_allowed() -> CameraFailure {
    CameraFailure::new(
        CameraFault::AddressNotAllowed,
        "the address is in none of the allowed networks",
    )
}

fn no_address() -> CameraFailure {
    CameraFailure::new(CameraFault::Unreachable, "the name has no address")
}

fn no_host() -> CameraFailure {
    CameraFailure::new(CameraFault::Protocol, "the URL names no host")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(result: Result<SocketAddr, CameraFailure>) -> Option<CameraFault> {
        result.err().map(|failure| failure.fault)
    }

    #[test]
    fn private_addresses_are_allowed_and_all_others_refused() {
        let guard = Guard::new(Guard::private_networks()).unwrap();
        for allowed in [
            "10.1.2.3",
            "172.20.0.1",
            "192.168.1.64",
            "fd00::64",
            "::ffff:192.168.1.64",
        ] {
            assert!(guard.allows(allowed.parse().unwrap()), "{allowed}");
        }
        for refused in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "100.64.0.1",
            "8.8.8.8",
            "::ffff:8.8.8.8",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "2001:db8::1",
            "64:ff9b::a00:1",
            "fd00:ec2::254",
            "::10.0.0.1",
        ] {
            assert!(!guard.allows(refused.parse().unwrap()), "{refused}");
        }
    }

    #[test]
    fn some_addresses_stay_refused_although_everything_is_allowed() {
        let all = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
        let guard = Guard::new(all).unwrap();
        assert!(guard.allows("8.8.8.8".parse().unwrap()));
        for refused in [
            "169.254.169.254",
            "100.100.100.200",
            "0.0.0.0",
            "239.255.255.250",
            "::ffff:169.254.169.254",
        ] {
            assert!(!guard.allows(refused.parse().unwrap()), "{refused}");
        }
    }

    #[test]
    fn more_networks_than_the_bound_are_refused() {
        let one: Network = "10.0.0.0/8".parse().unwrap();
        assert!(Guard::new(vec![one; MAX_NETWORKS]).is_ok());
        assert!(matches!(
            Guard::new(vec![one; MAX_NETWORKS + 1]),
            Err(GuardError::Networks(65))
        ));
    }

    #[tokio::test]
    async fn disguised_addresses_are_checked_as_what_they_are() {
        let guard = Guard::new(Guard::private_networks()).unwrap();
        // All of them are this machine: as a name, as one number, in hexadecimal, as IPv4 inside IPv6.
        for url in [
            "rtsp://localhost/",
            "rtsp://127.0.0.1/",
            "rtsp://2130706433/",
            "rtsp://0x7f000001/",
            "rtsp://[::ffff:127.0.0.1]/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://[::1]/",
        ] {
            let url = Url::parse(url).unwrap();
            let found = guard.resolve(&url, 554).await;
            assert_eq!(fault(found), Some(CameraFault::AddressNotAllowed), "{url}");
        }
        let camera = Url::parse("rtsp://192.168.1.64/main").unwrap();
        assert_eq!(
            guard.resolve(&camera, 554).await.unwrap(),
            "192.168.1.64:554".parse().unwrap()
        );
        let nowhere = Url::parse("rtsp://no-such-camera.invalid/").unwrap();
        assert_eq!(
            fault(guard.resolve(&nowhere, 554).await),
            Some(CameraFault::Unreachable)
        );
    }

    #[tokio::test]
    async fn the_http_client_connects_to_no_refused_name() {
        let guard = Guard::new(Guard::private_networks()).unwrap();
        let error = guard.http().get("http://localhost:1/").send().await.unwrap_err();
        assert_eq!(refusal(&error).unwrap().fault, CameraFault::AddressNotAllowed);
        let url = Url::parse("http://127.0.0.1:1/").unwrap();
        assert_eq!(
            guard.admits(&url).unwrap_err().fault,
            CameraFault::AddressNotAllowed
        );
    }

    #[test]
    fn of_a_mixed_answer_only_the_allowed_addresses_are_left() {
        let guard = Guard::new(Guard::private_networks()).unwrap();
        let mixed: [SocketAddr; 2] = ["8.8.8.8:80".parse().unwrap(), "10.0.0.9:80".parse().unwrap()];
        assert_eq!(guard.networks.checked(mixed.into_iter()).unwrap(), [mixed[1]]);
    }
}
