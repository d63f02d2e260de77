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
        key: String::new(),
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
    let line = line_of(text, start);
    let key = text.lines().nth(line - 1).and_then(key_of).unwrap_or_default();
    ProfileError { line, key, reason }
}

/// The key that a line gives a value to.
fn key_of(line: &str) -> Option<String> {
    let key = line.split_once('=')?.0.trim();
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!key.is_empty() && key.len() <= 64 && key.chars().all(bare)).then(|| key.to_owned())
}

/// The line, from 1, on which `key` gets its value, at or after the byte `from`; that of `from` where none does.
fn line_of_key(text: &str, from: usize, key: &str) -> usize {
    let first = line_of(text, from);
    let at = text
        .lines()
        .skip(first - 1)
        .position(|line| key_of(line).as_deref() == Some(key));
    at.map_or(first, |skipped| first + skipped)
}

pub(super) fn profile(text: &str, raw: &RawProfile) -> Result<(), ProfileError> {
    let at = |key: &str, reason: String| ProfileError {
        line: line_of_key(text, 0, key),
        key: key.to_owned(),
        reason,
    };
    DeviceId::new(raw.profile.get_ref())
        .map_err(|why| at("profile", format!("the profile's name: {why}")))?;
    if !(1..=86_400).contains(raw.report_interval_s.get_ref()) {
        return Err(at("report_interval_s", "it is 1 to 86400 seconds".to_owned()));
    }
    if let Some(heartbeat) = &raw.heartbeat_s
        && !(1..=604_800).contains(heartbeat.get_ref())
    {
        return Err(at("heartbeat_s", "it is 1 to 604800 seconds".to_owned()));
    }
    for (key, said) in texts(raw) {
        if said.len() > MAX_TEXT_BYTES {
            return Err(at(key, format!("the text has more than {MAX_TEXT_BYTES} bytes")));
        }
        if said.trim().is_empty() && ["title_zh", "title_en", "source"].contains(&key) {
            return Err(at(key, "it must say something".to_owned()));
        }
    }
    if raw.setup_zh.is_empty() != raw.setup_en.is_empty() {
        let key = if raw.setup_zh.is_empty() {
            "setup_en"
        } else {
            "setup_zh"
        };
        return Err(at(key, "give setup_zh and setup_en, or neither".to_owned()));
    }
    if raw.field.len() > MAX_FIELDS {
        let reason = format!("{} fields; at most {MAX_FIELDS} are allowed", raw.field.len());
        return Err(at("field", reason));
    }
    let mut seen = BTreeMap::new();
    for spanned in &raw.field {
        let start = spanned.span().start;
        let of_field = |(key, reason): (&str, String)| ProfileError {
            line: line_of_key(text, start, key),
            key: key.to_owned(),
            reason,
        };
        field(spanned.get_ref()).map_err(of_field)?;
        if seen.insert(spanned.get_ref().field.as_str(), ()).is_some() {
            let reason = format!(
                "the field {:?} stands twice; keep one of them",
                spanned.get_ref().field
            );
            return Err(of_field(("field", reason)));
        }
    }
    Ok(())
}

/// What people read, by its key.
fn texts(raw: &RawProfile) -> [(&'static str, &str); 6] {
    [
        ("title_zh", &raw.title_zh),
        ("title_en", &raw.title_en),
        ("source", &raw.source),
        ("setup_zh", &raw.setup_zh),
        ("setup_en", &raw.setup_en),
        ("snippet", &raw.snippet),
    ]
}

/// The key that is wrong, and why.
fn field(raw: &RawField) -> Result<(), (&'static str, String)> {
    if raw.field.is_empty() || raw.field.len() > MAX_PATH_BYTES {
        return Err(("field", format!("a field's path has 1 to {MAX_PATH_BYTES} bytes")));
    }
    if raw.field.matches('*').count() > 1 {
        return Err(("field", "a field's path has at most one *".to_owned()));
    }
    if !raw.scale.is_finite() || raw.scale == 0.0 {
        return Err(("scale", "scale is a number other than 0".to_owned()));
    }
    if raw.words.len() > MAX_WORDS || raw.words.values().any(|v| !v.is_finite()) {
        return Err(("words", format!("words are at most {MAX_WORDS}, each a number")));
    }
    let kept = raw.metric.unit();
    if let (Some(unit), true) = (raw.unit, kept != Unit::One)
        && unit.convert(1.0, kept).is_none()
    {
        let reason = format!(
            "{} does not measure what {} measures, which is kept in {}",
            unit.code(),
            raw.metric,
            kept.code()
        );
        return Err(("unit", reason));
    }
    if raw.invert && kept != Unit::Bool {
        return Err(("invert", "only a yes or no can be inverted".to_owned()));
    }
    if let Some([low, high]) = raw.range
        && !(low.is_finite() && high.is_finite() && low < high)
    {
        return Err(("range", "range is [least, most], the least first".to_owned()));
    }
    if raw.report_interval_s.is_some_and(|s| !(1..=86_400).contains(&s)) {
        return Err(("report_interval_s", "it is 1 to 86400 seconds".to_owned()));
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
