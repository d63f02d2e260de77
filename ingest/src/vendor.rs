//! Messages of other makers' devices, read as their profiles say. Pure: a message, its topic and a profile in, values
//! out.
//!
//! Most makers send JSON whose members say what they are: they are walked, and the profile names the metric of each.
//! What differs is where device, time and values stand; each maker's module knows that and no more.

mod cbor;
mod chirpstack;
mod json;
mod line;
mod map;
mod shelly;
pub(crate) mod sparkplug;
mod tasmota;
mod zigbee2mqtt;

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use domain::{Codec, Profile, Profiles, UtcMillis};

pub use line::{Line, LineValue, Precision, line_pieces, lines};

use crate::{DecodeError, Decoded, IngestLimits, Value};

/// A value, and the device behind the sender that measured it.
#[derive(Debug, Clone, PartialEq)]
pub struct VendorValue<'p> {
    /// The name of the device behind; `None` for the sender itself.
    pub behind: Option<Cow<'p, str>>,
    /// The value. Its metric is always named.
    pub value: Value<'p>,
}

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report<'p> {
    /// What was measured.
    pub values: Vec<VendorValue<'p>>,
    /// Who is there and who is not: the name of the device behind, `None` for the sender itself.
    pub presence: Vec<(Option<Cow<'p, str>>, bool)>,
    /// What was refused, value by value.
    pub decoded: Decoded,
}

impl<'p> Report<'p> {
    /// Says of one device that it is there, or is not.
    fn present(behind: Option<Cow<'p, str>>, online: bool) -> Report<'p> {
        Report {
            presence: vec![(behind, online)],
            ..Report::default()
        }
    }
}

/// Reads a message of a device of this profile. `leaf` is its topic below the device's root; for a codec with a root
/// of its own, the whole topic. Sparkplug B is not read here: its messages rest on each other.
///
/// # Errors
/// [`DecodeError`] when the message as a whole is not understood. A message that carries nothing to be stored is no
/// error: its report is empty.
pub fn read_vendor<'p>(
    profile: &Profile,
    leaf: &'p str,
    payload: &'p [u8],
    received: UtcMillis,
    limits: &IngestLimits,
) -> Result<Report<'p>, DecodeError> {
    if payload.len() > limits.payload_bytes {
        return Err(DecodeError::TooLarge {
            bytes: payload.len(),
            max: limits.payload_bytes,
        });
    }
    let mut mapper = map::Mapper::new(profile, limits.payload_values);
    // HTTP intake takes line protocol and JSON from any device.
    if let Some(precision) = leaf.strip_prefix("http/write/") {
        let precision = Precision::parse(precision).ok_or(DecodeError::Topic)?;
        return line::read(mapper, payload, precision);
    }
    if leaf == "http/push" {
        json::read(&mut mapper, payload)?;
        return mapper.finish();
    }
    // Our own word of it, whoever says it.
    if leaf == "status"
        && let Some(online) = online(payload)
    {
        return Ok(Report::present(None, online));
    }
    match profile.codec {
        Codec::Json => match leaf {
            "up" => json::read(&mut mapper, payload)?,
            "status" => return Err(DecodeError::Status),
            _ => return Err(DecodeError::Topic),
        },
        Codec::Zigbee2mqtt => zigbee2mqtt::read(&mut mapper, leaf, payload)?,
        Codec::Tasmota => tasmota::read(&mut mapper, leaf, payload)?,
        Codec::Shelly => shelly::read(&mut mapper, leaf, payload)?,
        Codec::ShellyGen1 => shelly::read_gen1(&mut mapper, leaf, payload)?,
        Codec::Chirpstack => chirpstack::read(&mut mapper, leaf, payload)?,
        Codec::LineProtocol => match leaf {
            "up" => return line::read(mapper, payload, Precision::Nanoseconds),
            "status" => return Err(DecodeError::Status),
            _ => return Err(DecodeError::Topic),
        },
        Codec::SenmlCbor => match leaf {
            "status" => return Err(DecodeError::Status),
            _ => return cbor::report(leaf, payload, received, limits),
        },
        Codec::Standard | Codec::SparkplugB => return Err(DecodeError::Topic),
    }
    mapper.finish()
}

/// The mapper of a message that is read elsewhere.
pub(crate) fn mapper<'a, 'p>(profile: &'a Profile, limits: &IngestLimits) -> map::Mapper<'a, 'p> {
    map::Mapper::new(profile, limits.payload_values)
}

/// How JSON and line protocol of a device are read that speaks our own form: by the names that it gives.
pub(crate) fn plain_profile() -> Arc<Profile> {
    static PLAIN: LazyLock<Arc<Profile>> = LazyLock::new(|| {
        let profiles = Profiles::built_in();
        Arc::clone(profiles.get("json").expect("it is built in"))
    });
    Arc::clone(&PLAIN)
}

/// Whether a payload says that somebody is there: `online`, `Online`, `true`, or `{"state":"online"}`.
fn online(payload: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(payload).ok()?.trim();
    match text.trim_matches('"') {
        "online" | "Online" | "true" => Some(true),
        "offline" | "Offline" | "false" => Some(false),
        _ => match map::parse(payload).ok()?.get("state")?.as_str()? {
            "online" => Some(true),
            "offline" => Some(false),
            _ => None,
        },
    }
}
