//! One payload to values. Pure: no log, no series, no clock.

use std::borrow::Cow;

use domain::{Unit, UtcMillis};
use serde::de::DeserializeSeed;

use crate::{
    IngestLimits,
    codec::{Pack, State},
    error::DecodeError,
};

/// A value as it was sent. Borrows from the payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Value<'p> {
    /// The metric that the payload names; `None` when the topic must name it.
    pub metric: Option<Cow<'p, str>>,
    /// The value, in the unit below.
    pub number: Number,
    /// The unit that the payload names.
    pub unit: PayloadUnit<'p>,
    /// When it was measured, by the device's clock; `None` when the payload does not say.
    pub at: Option<UtcMillis>,
}

/// A value's number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A number; not always finite.
    Real(f64),
    /// A yes or no.
    Truth(bool),
}

/// The unit that a payload names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PayloadUnit<'p> {
    /// None.
    #[default]
    Unsaid,
    /// One that is known.
    Known(Unit),
    /// One that is not.
    Unknown(Cow<'p, str>),
}

impl<'p> PayloadUnit<'p> {
    /// The unit of this name.
    pub(crate) fn parse(name: Cow<'p, str>) -> PayloadUnit<'p> {
        // SenML's battery level is a per cent with a name of its own.
        let known = if name == "%EL" {
            Some(Unit::Percent)
        } else {
            Unit::parse(&name)
        };
        known.map_or(PayloadUnit::Unknown(name), PayloadUnit::Known)
    }
}

/// What became of a payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// Values that were refused while the others were taken.
    pub refused: usize,
    /// Why the first of them was.
    pub first: Option<DecodeError>,
}

impl Decoded {
    /// Notes that `count` values are refused.
    pub(crate) fn refuse(&mut self, count: usize, why: DecodeError) {
        if count > 0 {
            self.refused += count;
            self.first.get_or_insert(why);
        }
    }
}

/// Decodes a payload of `up` or `up/<metric>` into `out`, which is emptied first and may be used again.
/// `received` is what SenML's relative times are relative to.
///
/// ```
/// use sunshine_ingest::{IngestLimits, Number, decode};
///
/// let mut values = Vec::new();
/// let received = domain::UtcMillis(1_795_000_000_500);
/// decode(br#"{"ts":1795000000000,"v":4.1}"#, received, &IngestLimits::default(), &mut values)?;
/// assert_eq!(values[0].number, Number::Real(4.1));
/// assert_eq!(values[0].at, Some(domain::UtcMillis(1_795_000_000_000)));
/// # Ok::<(), sunshine_ingest::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError`] when the payload as a whole is not understood; `out` is then empty. A payload of which
/// some or all values are bad, one by one, is no error: [`Decoded`] counts these.
pub fn decode<'p>(
    payload: &'p [u8],
    received: UtcMillis,
    limits: &IngestLimits,
    out: &mut Vec<Value<'p>>,
) -> Result<Decoded, DecodeError> {
    out.clear();
    if payload.len() > limits.payload_bytes {
        return Err(DecodeError::TooLarge {
            bytes: payload.len(),
            max: limits.payload_bytes,
        });
    }
    let mut state = State::new(out, received, limits.payload_values);
    let mut json = serde_json::Deserializer::from_slice(payload);
    let read = Pack(&mut state).deserialize(&mut json).and_then(|()| json.end());
    let (decoded, fault) = state.finish();
    let outcome = match (read, fault) {
        (Ok(()), _) if out.is_empty() && decoded.refused == 0 => Err(DecodeError::NoValue),
        (Ok(()), _) => Ok(decoded),
        (Err(_), Some(fault)) => Err(fault),
        (Err(error), None) => match plain_number(payload) {
            Some(number) => {
                out.clear();
                out.push(Value {
                    metric: None,
                    number,
                    unit: PayloadUnit::Unsaid,
                    at: None,
                });
                Ok(Decoded::default())
            }
            None => Err(syntax(&error)),
        },
    };
    if outcome.is_err() {
        out.clear();
    }
    outcome
}

/// A number that is no JSON: `.5`, `+4.1`, `NaN`. Whether it is finite is judged with the others.
fn plain_number(payload: &[u8]) -> Option<Number> {
    std::str::from_utf8(payload)
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Number::Real)
}

pub(crate) fn syntax(error: &serde_json::Error) -> DecodeError {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Data => return DecodeError::UnknownForm,
        Category::Eof => "it ends too soon",
        // The parser has no other way to say that a number has too large an exponent.
        Category::Syntax | Category::Io if error.to_string().starts_with("number out of range") => {
            return DecodeError::NotFinite;
        }
        Category::Syntax | Category::Io => "an unexpected character",
    };
    DecodeError::Syntax {
        what,
        line: error.line(),
        column: error.column(),
    }
}
