//! JSON of any shape: the profile says where device, time and values stand in it.

use serde_json::Value as Json;

use super::map::{self, Mapper};
use crate::DecodeError;

pub(super) fn read(mapper: &mut Mapper<'_, '_>, payload: &[u8]) -> Result<(), DecodeError> {
    match map::parse(payload)? {
        Json::Array(messages) => {
            for message in &messages {
                if !mapper.has_room() {
                    break;
                }
                one(mapper, message);
            }
        }
        message @ Json::Object(_) => one(mapper, &message),
        _ => return Err(DecodeError::UnknownForm),
    }
    mapper.expect_fields()
}

fn one(mapper: &mut Mapper<'_, '_>, message: &Json) {
    let envelope = &mapper.profile().json;
    let first = |paths: &[String]| paths.iter().find_map(|path| map::at_path(message, path));
    let behind = match first(&envelope.device) {
        Some(Json::String(name)) => Some(name.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let said = first(&envelope.time).filter(|time| !time.is_null());
    let at = said.and_then(map::moment_of);
    if said.is_some() && at.is_none() {
        return mapper.refuse(DecodeError::Time);
    }
    let values = first(&envelope.values).filter(|values| values.is_object());
    let of = (behind.as_deref(), at);
    match values {
        Some(values) => mapper.object(of, values, &[]),
        None => {
            let skip: Vec<&str> = envelope
                .device
                .iter()
                .chain(&envelope.time)
                .map(String::as_str)
                .collect();
            mapper.object(of, message, &skip);
        }
    }
}
