//! Zigbee2MQTT, whose `base_topic` is the device's root: every Zigbee device publishes its state under its friendly
//! name.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::{
    map::{self, Mapper},
    online,
};
use crate::DecodeError;

pub(super) fn read<'p>(
    mapper: &mut Mapper<'_, 'p>,
    leaf: &'p str,
    payload: &[u8],
) -> Result<(), DecodeError> {
    // An empty message only takes back one that was retained.
    if payload.is_empty() {
        return Ok(());
    }
    match leaf.rsplit_once('/') {
        _ if leaf == "bridge/state" => {
            mapper.present(None, online(payload).ok_or(DecodeError::Status)?);
            Ok(())
        }
        _ if leaf.starts_with("bridge/") => Ok(()),
        Some((name, "availability")) => {
            mapper.present(
                Some(Cow::Borrowed(name)),
                online(payload).ok_or(DecodeError::Status)?,
            );
            Ok(())
        }
        // What others ask of a device.
        Some((_, "set" | "get")) => Ok(()),
        Some((name, attribute)) => {
            let value = map::parse(payload)?;
            if value.is_object() {
                // A name with a slash: whoever takes the report refuses it by that name.
                return state(mapper, leaf, &value);
            }
            // `output: attribute` gives each member a topic of its own.
            mapper.scalar((Some(name), None), attribute, &value);
            Ok(())
        }
        None => state(mapper, leaf, &map::parse(payload)?),
    }
}

fn state(mapper: &mut Mapper<'_, '_>, name: &str, value: &Json) -> Result<(), DecodeError> {
    let at = value.get("last_seen").and_then(map::moment_of);
    mapper.object((Some(name), at), value, &["last_seen"]);
    mapper.expect_fields()
}
