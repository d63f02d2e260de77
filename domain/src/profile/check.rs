//! What a profile must fulfil beyond its form.

use std::collections::BTreeMap;

use super::{MAX_FIELDS, MAX_PROFILE_BYTES, ProfileError, RawField, RawProfile};
use crate::{id::DeviceId, metric::Unit};

/// The longest text of a profile, in bytes.
const MAX_TEXT_BYTES: usize = 4_000;

/// The longest path of a field, in bytes, and the most words of one field.
const MAX_PATH_BYTES: usize = 128;
const MAX_WORDS: usize = 32;

pub(super) fn size(text: &str) -> Result<(), ProfileError> {
    if text.len() <= MAX_PROFILE_BYTES {
        return Ok(());
    }
    Err(ProfileError {
        line: 1,
        reason: format!(
            "the file has {} bytes; at most {MAX_PROFILE_BYTES} are read",
            text.len()
        ),
    })
}

pub(super) fn syntax_error(text: &str, error: &toml::de::Error) -> ProfileError {
    let start = error.span().map_or(0, |s| s.start);
    // The parser may quote what it read: keep a little of it.
    let reason = error
        .message()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    ProfileError {
        line: line_of(text, start),
        reason,
    }
}

pub(super) fn profile(text: &str, raw: &RawProfile) -> Result<(), ProfileError> {
    let at = |offset: usize, reason: String| ProfileError {
        line: line_of(text, offset),
        reason,
    };
    DeviceId::new(raw.profile.get_ref())
        .map_err(|why| at(raw.profile.span().start, format!("the profile's name: {why}")))?;
    if !(1..=86_400).contains(raw.report_interval_s.get_ref()) {
        let reason = "report_interval_s is 1 to 86400".to_owned();
        return Err(at(raw.report_interval_s.span().start, reason));
    }
    if let Some(heartbeat) = &raw.heartbeat_s
        && !(1..=604_800).contains(heartbeat.get_ref())
    {
        return Err(at(
            heartbeat.span().start,
            "heartbeat_s is 1 to 604800".to_owned(),
        ));
    }
    let texts = [
        &raw.title_zh,
        &raw.title_en,
        &raw.source,
        &raw.setup_zh,
        &raw.setup_en,
        &raw.snippet,
    ];
    if texts.iter().any(|t| t.len() > MAX_TEXT_BYTES) {
        return Err(at(0, format!("a text has more than {MAX_TEXT_BYTES} bytes")));
    }
    if raw.title_zh.trim().is_empty() || raw.title_en.trim().is_empty() || raw.source.trim().is_empty() {
        return Err(at(
            0,
            "title_zh, title_en and source must say something".to_owned(),
        ));
    }
    if raw.setup_zh.is_empty() != raw.setup_en.is_empty() {
        return Err(at(0, "give setup_zh and setup_en, or neither".to_owned()));
    }
    if raw.field.len() > MAX_FIELDS {
        return Err(at(
            0,
            format!("{} fields; at most {MAX_FIELDS} are allowed", raw.field.len()),
        ));
    }
    let mut seen = BTreeMap::new();
    for spanned in &raw.field {
        let start = spanned.span().start;
        field(spanned.get_ref()).map_err(|reason| at(start, reason))?;
        if seen.insert(spanned.get_ref().field.as_str(), ()).is_some() {
            return Err(at(
                start,
                format!("the field {:?} stands twice", spanned.get_ref().field),
            ));
        }
    }
    Ok(())
}

fn field(raw: &RawField) -> Result<(), String> {
    if raw.field.is_empty() || raw.field.len() > MAX_PATH_BYTES {
        return Err(format!("a field's path has 1 to {MAX_PATH_BYTES} bytes"));
    }
    if raw.field.matches('*').count() > 1 {
        return Err("a field's path has at most one *".to_owned());
    }
    if !raw.scale.is_finite() || raw.scale == 0.0 {
        return Err("scale is a number other than 0".to_owned());
    }
    if raw.words.len() > MAX_WORDS || raw.words.values().any(|v| !v.is_finite()) {
        return Err(format!("words are at most {MAX_WORDS}, each a number"));
    }
    let kept = raw.metric.unit();
    if let (Some(unit), true) = (raw.unit, kept != Unit::One)
        && unit.convert(1.0, kept).is_none()
    {
        return Err(format!(
            "{} does not measure what {} measures, which is kept in {}",
            unit.code(),
            raw.metric,
            kept.code()
        ));
    }
    if raw.invert && kept != Unit::Bool {
        return Err("only a yes or no can be inverted".to_owned());
    }
    if let Some([low, high]) = raw.range
        && !(low.is_finite() && high.is_finite() && low < high)
    {
        return Err("range is [least, most], the least first".to_owned());
    }
    if raw.report_interval_s.is_some_and(|s| !(1..=86_400).contains(&s)) {
        return Err("report_interval_s is 1 to 86400".to_owned());
    }
    Ok(())
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|b| **b == b'\n')
        .count()
}
