//! ONVIF: which cameras are there, and which streams a camera offers.

use std::{collections::HashSet, time::Duration};

use domain::{
    Clock, UtcMillis,
    camera::{CameraUrl, Credentials},
    sight::{CameraFault, StreamProfile},
};
use oxvif::{DiscoveredDevice, OnvifClient, OnvifError, OnvifSession, soap::SoapError};
use tokio::time::timeout;
use url::{Url, form_urlencoded};

use crate::{
    guard::{self, Guard},
    source::{CameraFailure, http::slow},
};

mod transport;

use transport::GuardedTransport;

/// The most cameras that a discovery names; further ones are left out.
pub const MAX_DISCOVERED: usize = 256;

/// The longest that a discovery may be told to take.
pub const MAX_DISCOVERY: Duration = Duration::from_secs(10);

/// The most streams of a camera or recorder that are looked at; further ones are left out.
pub const MAX_PROFILES: usize = 64;

/// How long a camera may take to name its streams.
const PROFILES_TIMEOUT: Duration = Duration::from_secs(12);

/// The longest name of a camera or stream, in characters; the rest is cut off.
const MAX_NAME_CHARS: usize = 64;

/// The narrowest stream in which a person can be made out, in pixels.
const LEAST_WIDTH: u32 = 352;

/// Where ONVIF is, unless the address says otherwise.
const USUAL_PATH: &str = "/onvif/device_service";

/// A camera that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// Where its ONVIF service is.
    pub address: CameraUrl,
    /// What it calls itself; empty when it does not say.
    pub name: String,
    /// Where it says that it is; empty when it does not say.
    pub location: String,
}

/// What a camera offers.
#[derive(Debug, Clone, PartialEq)]
pub struct OnvifCamera {
    /// Its streams, as it lists them; at least one.
    pub profiles: Vec<StreamProfile>,
    /// Which of them is evidence: the largest.
    pub main: usize,
    /// Which of them is judged: a small one in H.264; `None` when there is no smaller one.
    pub sub: Option<usize>,
    /// Its clock less ours, in milliseconds; `None` when it tells no time.
    pub clock_offset_ms: Option<i64>,
}

/// Asks the networks that this machine is in for cameras, and waits `limit` for answers, at most
/// [`MAX_DISCOVERY`]. Cameras at addresses that `guard` refuses are left out, and one that answers twice is named
/// once. Nothing is found where multicast does not reach; that is no error.
pub async fn discover(limit: Duration, guard: &Guard) -> Vec<Discovered> {
    let limit = limit.min(MAX_DISCOVERY);
    // The library's own waiting is bounded by its argument; this bounds its other work.
    let asking = oxvif::discovery::probe(limit);
    let found = timeout(limit + Duration::from_secs(1), asking).await;
    distinct(found.unwrap_or_default(), guard)
}

/// The streams that the camera at `address` offers, credentials left out of their URLs.
///
/// # Errors
/// [`CameraFailure`] says why there are none.
pub async fn profiles(
    address: &CameraUrl,
    credentials: Option<&Credentials>,
    guard: &Guard,
    clock: &Clock,
) -> Result<OnvifCamera, CameraFailure> {
    let mut device = guard::parse(address)?;
    if !matches!(device.scheme(), "http" | "https") {
        return Err(protocol("an ONVIF address begins with http:// or https://"));
    }
    if matches!(device.path(), "" | "/") {
        device.set_path(USUAL_PATH);
    }
    let transport = GuardedTransport::new(device.clone(), credentials.cloned(), guard.clone());
    let asking = Box::pin(ask(device, credentials, &transport, clock));
    let asked = timeout(PROFILES_TIMEOUT, asking).await.or(Err(slow()))?;
    asked
        .map_err(|error| transport.failure().unwrap_or_else(|| failure_of(&error)))
        .and_then(|(profiles, clock_offset_ms)| picked(profiles, clock_offset_ms))
        .map_err(|failure| failure.without(credentials))
}

/// A stream, and the lens it looks through.
struct Offered {
    profile: StreamProfile,
    lens: Option<String>,
}

async fn ask(
    device: Url,
    credentials: Option<&Credentials>,
    transport: &GuardedTransport,
    clock: &Clock,
) -> Result<(Vec<Offered>, Option<i64>), OnvifError> {
    let plain = OnvifClient::new(device.as_str()).with_transport(transport.shared());
    // Cameras tell the time without sign-in. One that does not is asked for its streams all the same.
    let told = plain
        .get_system_date_and_time()
        .await
        .ok()
        .and_then(|time| time.utc_unix);
    let camera = told.map(|seconds| UtcMillis(seconds.saturating_mul(1000)));
    let offset_ms = camera
        .filter(|at| *at >= UtcMillis::EARLIEST)
        .map(|at| at.ms_since(clock.now()));
    let mut builder = OnvifSession::builder(device.as_str()).with_transport(transport.shared());
    if let Some(credentials) = credentials {
        builder = builder.with_credentials(&credentials.user, &credentials.password);
    }
    if told.is_some() {
        // Its own time goes into the sign-in, which it takes for stale otherwise.
        builder = builder.with_clock_sync();
    }
    let session = builder.build().await?;
    // The second media service knows H.265, the first does not; not every camera has the second.
    let offered = if session.capabilities().media2.url.is_some() {
        by_media2(&session).await
    } else {
        by_media1(&session).await
    };
    let offered = match offered {
        Ok(offered) if !offered.is_empty() => offered,
        _ => by_media1(&session).await?,
    };
    Ok((offered, offset_ms))
}

async fn by_media2(session: &OnvifSession) -> Result<Vec<Offered>, OnvifError> {
    let encoders = session.get_video_encoder_configurations_media2().await?;
    let mut offered = Vec::new();
    for profile in session
        .get_profiles_media2()
        .await?
        .into_iter()
        .take(MAX_PROFILES)
    {
        let token = profile.video_encoder_token.as_deref();
        let Some(encoder) = encoders
            .iter()
            .find(|encoder| Some(encoder.token.as_str()) == token)
        else {
            continue;
        };
        let uri = session.get_stream_uri_media2(&profile.token).await?;
        let fps = encoder
            .rate_control
            .as_ref()
            .map_or(0.0, |rate| rate.frame_rate_limit);
        let size = (encoder.resolution.width, encoder.resolution.height);
        offered.extend(
            stream(&profile.name, &uri, encoder.encoding.as_str(), size, fps).map(|shown| Offered {
                profile: shown,
                lens: profile.video_source_token,
            }),
        );
    }
    Ok(offered)
}

async fn by_media1(session: &OnvifSession) -> Result<Vec<Offered>, OnvifError> {
    let encoders = session.get_video_encoder_configurations().await?;
    let mut offered = Vec::new();
    for profile in session.get_profiles().await?.into_iter().take(MAX_PROFILES) {
        let token = profile.video_encoder_token.as_deref();
        let Some(encoder) = encoders
            .iter()
            .find(|encoder| Some(encoder.token.as_str()) == token)
        else {
            continue;
        };
        let uri = session.get_stream_uri(&profile.token).await?.uri;
        let fps = encoder
            .rate_control
            .as_ref()
            .map_or(0.0, |rate| rate.frame_rate_limit as f32);
        let size = (encoder.resolution.width, encoder.resolution.height);
        offered.extend(
            stream(&profile.name, &uri, encoder.encoding.as_str(), size, fps).map(|shown| Offered {
                profile: shown,
                lens: profile.video_source_token,
            }),
        );
    }
    Ok(offered)
}

/// The stream as it is shown; `None` when its URL cannot be used.
fn stream(
    name: &str,
    uri: &str,
    codec: &str,
    (width, height): (u32, u32),
    fps: f32,
) -> Option<StreamProfile> {
    Some(StreamProfile {
        name: short(name),
        url: without_credentials(uri)?,
        codec: short(codec),
        width,
        height,
        fps: if fps.is_finite() { fps } else { 0.0 },
    })
}

/// The URL of a stream without user name and password, which some cameras write into it.
fn without_credentials(uri: &str) -> Option<CameraUrl> {
    let mut url = Url::parse(uri.trim()).ok()?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    if let Some(query) = url.query() {
        // What may stand in a camera's URL is asked of each parameter by itself.
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| CameraUrl::new(&format!("rtsp://camera/?{pair}")).is_ok())
            .collect();
        let kept = (!kept.is_empty()).then(|| kept.join("&"));
        url.set_query(kept.as_deref());
    }
    CameraUrl::new(url.as_str()).ok()
}

/// Chooses the streams to attach. Those of other lenses than the first are other cameras.
fn picked(offered: Vec<Offered>, clock_offset_ms: Option<i64>) -> Result<OnvifCamera, CameraFailure> {
    let Some(lens) = offered.first().map(|first| first.lens.clone()) else {
        return Err(CameraFailure::new(
            CameraFault::NoVideo,
            "it lists no video stream",
        ));
    };
    let area = |index: &usize| {
        let profile = &offered[*index].profile;
        u64::from(profile.width) * u64::from(profile.height)
    };
    let same_lens: Vec<usize> = (0..offered.len())
        .filter(|index| offered[*index].lens == lens)
        .collect();
    // Of equals the one that is listed first.
    let main = same_lens.iter().copied().rev().max_by_key(area).unwrap_or(0);
    let sub = same_lens
        .into_iter()
        .filter(|index| area(index) < area(&main) && offered[*index].profile.width >= LEAST_WIDTH)
        .min_by_key(|index| {
            (
                !offered[*index].profile.codec.eq_ignore_ascii_case("h264"),
                area(index),
            )
        });
    Ok(OnvifCamera {
        profiles: offered.into_iter().map(|offered| offered.profile).collect(),
        main,
        sub,
        clock_offset_ms,
    })
}

/// The cameras that answered, each once.
fn distinct(devices: Vec<DiscoveredDevice>, guard: &Guard) -> Vec<Discovered> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for device in devices {
        let allowed = |address: &&String| Url::parse(address).is_ok_and(|url| guard.admits(&url).is_ok());
        let usable = device
            .xaddrs
            .iter()
            .find(allowed)
            .and_then(|address| CameraUrl::new(address).ok());
        let Some(address) = usable.filter(|address| address.scheme() != "rtsp") else {
            continue;
        };
        if found.len() == MAX_DISCOVERED {
            break;
        }
        if seen.insert(address.clone()) {
            found.push(Discovered {
                address,
                name: scope(&device.scopes, "name"),
                location: scope(&device.scopes, "location"),
            });
        }
    }
    found
}

/// What a camera says of itself below `onvif://www.onvif.org/<kind>/`.
fn scope(scopes: &[String], kind: &str) -> String {
    let beginning = format!("onvif://www.onvif.org/{kind}/");
    let told = scopes
        .iter()
        .find_map(|scope| scope.strip_prefix(&beginning))
        .unwrap_or_default();
    // In a form a plus is a space; in a path it is a plus.
    let written = format!("v={}", told.replace('+', "%2B"));
    let value = form_urlencoded::parse(written.as_bytes())
        .next()
        .map(|(_, value)| value);
    short(&value.unwrap_or_default())
}

fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_NAME_CHARS)
        .collect()
}

fn protocol(what: &str) -> CameraFailure {
    CameraFailure::new(CameraFault::Protocol, what)
}

fn failure_of(error: &OnvifError) -> CameraFailure {
    match error {
        OnvifError::Soap(SoapError::Fault {
            code,
            subcode,
            reason,
            ..
        }) => {
            let refused =
                |code: &str| code.contains("NotAuthorized") || code.contains("FailedAuthentication");
            if refused(code) || subcode.as_deref().is_some_and(refused) {
                CameraFailure::new(
                    CameraFault::Auth,
                    "its ONVIF service refuses the user name or password",
                )
            } else {
                protocol(&format!("its ONVIF service answers with an error: {reason}"))
            }
        }
        _ => protocol("it answers, but not as ONVIF has it"),
    }
}

#[cfg(test)]
mod tests;
