//! ChirpStack 4, JSON events below `application/<id>/device/<DevEUI>/event/<event>`.

use serde_json::Value as Json;

use super::map::{self, Mapper};
use crate::DecodeError;

pub(super) fn read(mapper: &mut Mapper<'_, '_>, leaf: &str, payload: &[u8]) -> Result<(), DecodeError> {
    let levels: Vec<&str> = leaf.split('/').take(7).collect();
    let (node, event) = match levels[..] {
        ["application", _, "device", node, "event", event] => (node, event),
        // The state of gateways, and what others ask of a node.
        ["application", _, "device", _, "command", _] | ["gateway", ..] => return Ok(()),
        _ => return Err(DecodeError::Topic),
    };
    match event {
        "up" => uplink(mapper, node, &map::parse(payload)?),
        "status" => {
            let status = map::parse(payload)?;
            let is = |name| status.get(name).and_then(Json::as_bool) == Some(true);
            if !is("externalPowerSource")
                && !is("batteryLevelUnavailable")
                && let Some(level) = status.get("batteryLevel")
            {
                let at = status.get("time").and_then(map::moment_of);
                mapper.scalar((Some(node), at), "batteryLevel", level);
            }
            Ok(())
        }
        // Joins, acknowledgements, logs and places.
        _ => Ok(()),
    }
}

fn uplink(mapper: &mut Mapper<'_, '_>, node: &str, message: &Json) -> Result<(), DecodeError> {
    let at = message.get("time").and_then(map::moment_of);
    let of = (Some(node), at);
    match message.get("object") {
        Some(object @ Json::Object(_)) => mapper.object(of, object, &[]),
        // ChirpStack leaves it out where the device profile has no codec, and sends null for a frame without payload.
        Some(Json::Null) if message.get("data").is_none_or(|data| data == "") => return Ok(()),
        _ => return Err(DecodeError::NotDecoded),
    }
    mapper.expect_fields()?;
    let strongest = message
        .get("rxInfo")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|gateway| gateway.get("rssi").and_then(Json::as_i64))
        .max();
    if let Some(rssi) = strongest {
        mapper.scalar(of, "rssi", &rssi.into());
    }
    Ok(())
}
