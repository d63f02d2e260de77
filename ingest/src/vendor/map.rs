//! From members of a message to values, as the profile's fields say.

use std::{borrow::Cow, collections::HashMap};

use domain::{Metric, Profile, Unit, UtcMillis, profile::Field};
use foldhash::fast::RandomState;
use serde_json::Value as Json;

use super::{Report, VendorValue};
use crate::{DecodeError, Number, PayloadUnit, Value, decode::syntax, error::echo, moment};

/// How deep members are followed.
const MAX_DEPTH: usize = 8;

/// Seconds since 1970 are below this, milliseconds above: 11 digits.
const MILLIS_FROM: f64 = 1e11;

/// Turns members into values. Made for one message.
pub(crate) struct Mapper<'a, 'p> {
    profile: &'a Profile,
    max_values: usize,
    report: Report<'p>,
    /// Whether any field of the profile was there.
    matched: bool,
    /// The first member that was not: to say what was found instead.
    unmatched: Option<String>,
    /// A unit that the message says for all of its temperatures.
    pub(super) temperature: Option<Unit>,
    /// What measured a metric first: a second one would take its place.
    claims: HashMap<(Option<String>, Metric), String, RandomState>,
}

impl<'a, 'p> Mapper<'a, 'p> {
    pub(super) fn new(profile: &'a Profile, max_values: usize) -> Mapper<'a, 'p> {
        Mapper {
            profile,
            max_values,
            report: Report::default(),
            matched: false,
            unmatched: None,
            temperature: None,
            claims: HashMap::default(),
        }
    }

    pub(super) fn profile(&self) -> &'a Profile {
        self.profile
    }

    /// What was found.
    pub(super) fn finish(self) -> Result<Report<'p>, DecodeError> {
        if self.report.values.len() + self.report.decoded.refused > self.max_values {
            return Err(DecodeError::TooManyValues { max: self.max_values });
        }
        Ok(self.report)
    }

    /// The same, where a message without any field that the profile knows is a mistake of somebody.
    pub(super) fn expect_fields(&self) -> Result<(), DecodeError> {
        if self.matched || !self.report.values.is_empty() || self.report.decoded.refused > 0 {
            return Ok(());
        }
        match &self.unmatched {
            Some(found) => Err(DecodeError::NoKnownField {
                profile: echo(&self.profile.id),
                found: echo(found),
            }),
            None => Err(DecodeError::NoValue),
        }
    }

    pub(super) fn present(&mut self, behind: Option<Cow<'p, str>>, online: bool) {
        self.report.presence.push((behind, online));
    }

    pub(super) fn refuse(&mut self, why: DecodeError) {
        self.report.decoded.refuse(1, why);
    }

    pub(super) fn refuse_many(&mut self, count: usize, why: DecodeError) {
        self.report.decoded.refuse(count, why);
    }

    /// Every member of `value`, however deep. `skip` names members of the outermost object that are none.
    pub(super) fn object(
        &mut self,
        (behind, at): (Option<&str>, Option<UtcMillis>),
        value: &Json,
        skip: &[&str],
    ) {
        let mut path = String::new();
        match value {
            Json::Object(members) => {
                for (name, value) in members.iter().filter(|(name, _)| !skip.contains(&name.as_str())) {
                    self.walk((behind, at), &mut path, (name, value));
                }
            }
            _ => self.refuse(DecodeError::UnknownForm),
        }
    }

    /// One member at `prefix` and everything in it.
    pub(super) fn below(&mut self, of: (Option<&str>, Option<UtcMillis>), prefix: &str, value: &Json) {
        self.walk(of, &mut String::new(), (prefix, value));
    }

    fn walk(
        &mut self,
        of: (Option<&str>, Option<UtcMillis>),
        path: &mut String,
        (name, value): (&str, &Json),
    ) {
        let before = path.len();
        if before > 0 {
            path.push('.');
        }
        path.push_str(name);
        let deep = path.matches('.').count() >= MAX_DEPTH;
        match value {
            Json::Object(members) if !deep => {
                for member in members {
                    self.walk(of, path, (member.0, member.1));
                }
            }
            Json::Array(items) if !deep => {
                for (n, item) in items.iter().enumerate() {
                    self.walk(of, path, (&n.to_string(), item));
                }
            }
            Json::Object(_) | Json::Array(_) => {}
            scalar => self.scalar(of, path, scalar),
        }
        path.truncate(before);
    }

    /// One value at `path`.
    pub(super) fn scalar(
        &mut self,
        (behind, at): (Option<&str>, Option<UtcMillis>),
        path: &str,
        scalar: &Json,
    ) {
        let Some((field, thing)) = self.profile.field(path) else {
            self.unmatched.get_or_insert_with(|| path.to_owned());
            return self.keep_other((behind, at), path, scalar);
        };
        self.matched = true;
        let number = match number_of(field, scalar) {
            Ok(Some(number)) => number,
            // Nothing was measured, or a word means nothing here.
            Ok(None) => return,
            Err(why) => return self.refuse(why),
        };
        let unit = match (number, field.unit) {
            (Number::Truth(_), _) | (_, None) => PayloadUnit::Unsaid,
            (Number::Real(_), Some(Unit::Celsius)) => {
                PayloadUnit::Known(self.temperature.unwrap_or(Unit::Celsius))
            }
            (Number::Real(_), Some(unit)) => PayloadUnit::Known(unit),
        };
        self.take(
            (behind, at),
            (&field.metric, thing.unwrap_or(path)),
            (number, unit),
        );
    }

    /// A number that no field names: one that is called by the name of a metric of the profile is that metric, and
    /// others are kept where the profile keeps such.
    fn keep_other(&mut self, of: (Option<&str>, Option<UtcMillis>), path: &str, scalar: &Json) {
        let fields = &self.profile.fields;
        if !self.profile.keep_others && !fields.iter().any(|field| field.metric.as_str() == path) {
            return;
        }
        let number = match scalar {
            Json::Bool(truth) => Number::Truth(*truth),
            Json::Number(number) => Number::Real(number.as_f64().unwrap_or(f64::NAN)),
            _ => return,
        };
        match Metric::new(path) {
            Ok(metric) => self.take(of, (&metric, path), (number, PayloadUnit::Unsaid)),
            Err(why) => self.refuse(DecodeError::Metric {
                name: echo(path),
                why,
            }),
        }
    }

    /// Takes a value, unless another thing measures the same metric in this message.
    pub(super) fn take(
        &mut self,
        (behind, at): (Option<&str>, Option<UtcMillis>),
        (metric, thing): (&Metric, &str),
        (number, unit): (Number, PayloadUnit<'p>),
    ) {
        let key = (behind.map(str::to_owned), metric.clone());
        let first = self.claims.entry(key).or_insert_with(|| thing.to_owned());
        if first != thing {
            return self.refuse(DecodeError::SeveralThings {
                metric: echo(metric.as_str()),
            });
        }
        self.report.values.push(VendorValue {
            behind: behind.map(|name| Cow::Owned(name.to_owned())),
            value: Value {
                metric: Some(Cow::Owned(metric.as_str().to_owned())),
                number,
                unit,
                at,
            },
        });
    }

    /// Whether there is room for more values: what is beyond it is not even looked at.
    pub(super) fn has_room(&self) -> bool {
        self.report.values.len() + self.report.decoded.refused <= self.max_values
    }
}

/// What a scalar means in `field`; `None` when it means that nothing was measured.
fn number_of(field: &Field, scalar: &Json) -> Result<Option<Number>, DecodeError> {
    let real = |v: f64| {
        let v = v * field.scale;
        Number::Real(if field.invert { 1.0 - v } else { v })
    };
    match scalar {
        Json::Null => Ok(None),
        Json::Bool(truth) => Ok(Some(Number::Truth(truth ^ field.invert))),
        Json::Number(number) => Ok(Some(real(number.as_f64().unwrap_or(f64::NAN)))),
        Json::String(text) => match field.words.get(text.as_str()) {
            Some(value) => Ok(Some(real(*value))),
            None if field.pass_other_words => Ok(None),
            None => match text.trim().parse::<f64>() {
                Ok(value) => Ok(Some(real(value))),
                Err(_no_number) => Err(DecodeError::UnknownWord {
                    field: echo(&field.field),
                    word: echo(text),
                }),
            },
        },
        Json::Array(_) | Json::Object(_) => Err(DecodeError::NotANumber),
    }
}

/// Reads JSON.
pub(super) fn parse(payload: &[u8]) -> Result<Json, DecodeError> {
    serde_json::from_slice(payload).map_err(|error| syntax(&error))
}

/// The member at `path`, members joined by dots.
pub(super) fn at_path<'j>(value: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// A moment: seconds or milliseconds since 1970, or RFC 3339. `None` when it is none that can be understood.
pub(super) fn moment_of(value: &Json) -> Option<UtcMillis> {
    match value {
        Json::String(text) => moment::parse_rfc3339(text).or_else(|| text.parse().ok().and_then(from_number)),
        Json::Number(number) => from_number(number.as_f64()?),
        _ => None,
    }
}

fn from_number(number: f64) -> Option<UtcMillis> {
    let ms = if number.abs() < MILLIS_FROM {
        number * 1_000.0
    } else {
        number
    };
    moment::from_millis(ms.round())
}
