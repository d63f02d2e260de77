//! Tasmota, whose `FullTopic` begins with the device's root: `tele/SENSOR`, or `tele/<name>/SENSOR` of several
//! behind one sign-in.

use std::borrow::Cow;

use domain::Unit;
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
    let mut levels = leaf.split('/');
    let (behind, kind) = match (levels.next(), levels.next(), levels.next(), levels.next()) {
        (Some("tele" | "stat"), Some(kind), None, None) => (None, kind),
        (Some("tele" | "stat"), Some(name), Some(kind), None) => (Some(name), kind),
        _ => return Err(DecodeError::Topic),
    };
    match kind {
        "LWT" => {
            let online = online(payload).ok_or(DecodeError::Status)?;
            mapper.present(behind.map(Cow::Borrowed), online);
            Ok(())
        }
        "SENSOR" | "STATUS8" | "STATUS10" => {
            values(mapper, behind, &map::parse(payload)?);
            mapper.expect_fields()
        }
        "STATE" | "STATUS11" | "RESULT" => {
            values(mapper, behind, &map::parse(payload)?);
            Ok(())
        }
        "POWER" => {
            let word = String::from_utf8_lossy(payload).trim().to_owned();
            mapper.scalar((behind, None), "POWER", &Json::String(word));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn values(mapper: &mut Mapper<'_, '_>, behind: Option<&str>, message: &Json) {
    // An answer to `Status 8` wraps what `SENSOR` says plainly.
    let message = message
        .get("StatusSNS")
        .or_else(|| message.get("StatusSTS"))
        .unwrap_or(message);
    // `Time` is local and says no zone, unless it was set up to: only then it is a moment.
    let at = message.get("Time").and_then(map::moment_of);
    if message.get("TempUnit").and_then(Json::as_str) == Some("F") {
        mapper.temperature = Some(Unit::Fahrenheit);
    }
    mapper.object((behind, at), message, &["Time", "TempUnit"]);
}
