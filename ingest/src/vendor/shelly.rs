//! Shelly. Generation 2 and later: JSON-RPC notifications and component status below a prefix of one's choice.
//! Generation 1: one plain value a topic below `shellies/<id>/`.

use serde_json::Value as Json;

use super::{
    map::{self, Mapper},
    online,
};
use crate::DecodeError;

pub(super) fn read(mapper: &mut Mapper<'_, '_>, leaf: &str, payload: &[u8]) -> Result<(), DecodeError> {
    if leaf == "online" {
        mapper.present(None, online(payload).ok_or(DecodeError::Status)?);
        return Ok(());
    }
    if leaf == "events/rpc" {
        return notification(mapper, &map::parse(payload)?);
    }
    if let Some(component) = leaf.strip_prefix("status/") {
        let status = map::parse(payload)?;
        part(mapper, None, (component, &status));
        return Ok(());
    }
    // Announcements, logs and answers to others.
    Ok(())
}

fn notification(mapper: &mut Mapper<'_, '_>, message: &Json) -> Result<(), DecodeError> {
    let method = message.get("method").and_then(Json::as_str);
    if !matches!(method, Some("NotifyStatus" | "NotifyFullStatus")) {
        return Ok(());
    }
    let params = message.get("params").and_then(Json::as_object);
    let params = params.ok_or(DecodeError::UnknownForm)?;
    // Without a clock that was set it says `null`.
    let at = params.get("ts").and_then(map::moment_of);
    for component in params.iter().filter(|(_, status)| status.is_object()) {
        part(mapper, at, (component.0, component.1));
    }
    Ok(())
}

/// One component, such as `temperature:0`. The first of a kind is the device's own; others stand behind it.
fn part(mapper: &mut Mapper<'_, '_>, at: Option<domain::UtcMillis>, (name, status): (&str, &Json)) {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    let behind = (number != "0").then(|| format!("{kind}{number}"));
    mapper.below((behind.as_deref(), at), kind, status);
}

/// `topic` is whole: it begins with `shellies/<id>/`.
pub(super) fn read_gen1(mapper: &mut Mapper<'_, '_>, topic: &str, payload: &[u8]) -> Result<(), DecodeError> {
    let rest = topic
        .strip_prefix("shellies/")
        .and_then(|rest| rest.split_once('/'));
    let (_, rest) = rest.ok_or(DecodeError::Topic)?;
    let text = String::from_utf8_lossy(payload);
    let text = text.trim();
    if rest == "online" {
        mapper.present(None, online(payload).ok_or(DecodeError::Status)?);
        return Ok(());
    }
    let path = rest.replace('/', ".");
    if mapper.profile().field(&path).is_some() {
        mapper.scalar((None, None), &path, &Json::String(text.to_owned()));
    }
    Ok(())
}
