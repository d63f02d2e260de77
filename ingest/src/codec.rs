//! Reads JSON straight into values: typed, in one pass, without a tree and, for the usual forms, without
//! an allocation.
//!
//! One visitor reads both our own form and SenML, because an array says which it is only by the members of
//! its objects. An object with `ts` or `values` is ours; one with a member that only SenML has is SenML;
//! `v` and `u` mean the same in both.

use std::{borrow::Cow, fmt};

use domain::UtcMillis;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    decode::{Decoded, Number, PayloadUnit, Value},
    error::DecodeError,
    moment,
    senml::{self, Base},
};

/// What is known while a payload is read.
pub(crate) struct State<'s, 'p> {
    pub(crate) out: &'s mut Vec<Value<'p>>,
    pub(crate) base: Base<'p>,
    pub(crate) received: UtcMillis,
    pub(crate) decoded: Decoded,
    max_values: usize,
    /// Why the whole payload is refused. The parser's own errors have no room for it.
    fault: Option<DecodeError>,
}

impl<'s, 'p> State<'s, 'p> {
    pub(crate) fn new(out: &'s mut Vec<Value<'p>>, received: UtcMillis, max_values: usize) -> State<'s, 'p> {
        State {
            out,
            base: Base::default(),
            received,
            decoded: Decoded::default(),
            max_values,
            fault: None,
        }
    }

    pub(crate) fn finish(self) -> (Decoded, Option<DecodeError>) {
        (self.decoded, self.fault)
    }

    /// Ends the reading: nothing of the payload is taken.
    pub(crate) fn fail<T, E: Error>(&mut self, why: DecodeError) -> Result<T, E> {
        self.fault = Some(why);
        Err(E::custom("refused"))
    }

    /// Takes a scalar as a value, or counts it as refused.
    pub(crate) fn take<E: Error>(
        &mut self,
        metric: Option<Cow<'p, str>>,
        scalar: &Scalar<'p>,
        unit: PayloadUnit<'p>,
    ) -> Result<(), E> {
        let number = match scalar {
            Scalar::Real(v) => Number::Real(*v),
            Scalar::Truth(v) => Number::Truth(*v),
            Scalar::Text(_) | Scalar::Null | Scalar::Nested => return self.refuse(DecodeError::NotANumber),
        };
        self.check_room()?;
        self.out.push(Value {
            metric,
            number,
            unit,
            at: None,
        });
        Ok(())
    }

    /// Counts a value, or an object without one, as refused.
    pub(crate) fn refuse<E: Error>(&mut self, why: DecodeError) -> Result<(), E> {
        self.check_room()?;
        self.decoded.refuse(1, why);
        Ok(())
    }

    fn check_room<E: Error>(&mut self) -> Result<(), E> {
        if self.out.len() + self.decoded.refused < self.max_values {
            return Ok(());
        }
        self.fail(DecodeError::TooManyValues { max: self.max_values })
    }
}

/// The whole payload: one value, one object, or an array of objects.
pub(crate) struct Pack<'a, 's, 'p>(pub(crate) &'a mut State<'s, 'p>);

impl<'p> DeserializeSeed<'p> for Pack<'_, '_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'p> Visitor<'p> for Pack<'_, '_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, an object or an array of objects")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<(), E> {
        self.0.take(None, &Scalar::Truth(v), PayloadUnit::Unsaid)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<(), E> {
        self.visit_f64(v as f64)
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<(), E> {
        self.visit_f64(v as f64)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<(), E> {
        self.0.take(None, &Scalar::Real(v), PayloadUnit::Unsaid)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.0.fail(DecodeError::NotANumber)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.fail(DecodeError::NotANumber)
    }

    fn visit_map<A: MapAccess<'p>>(self, map: A) -> Result<(), A::Error> {
        read_object(self.0, map)
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Object(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

/// One object of an array.
struct Object<'a, 's, 'p>(&'a mut State<'s, 'p>);

impl<'p> DeserializeSeed<'p> for Object<'_, '_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'p> Visitor<'p> for Object<'_, '_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, map: A) -> Result<(), A::Error> {
        read_object(self.0, map)
    }
}

/// A member's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Ts,
    Values,
    /// A member of SenML, by its place in [`senml::Record`].
    Senml(senml::Member),
    Unknown,
    /// SenML: a name that ends with `_` must be understood.
    MustUnderstand,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Member, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
                Ok(match name {
                    "ts" => Member::Ts,
                    "values" => Member::Values,
                    _ => match senml::Member::parse(name) {
                        Some(member) => Member::Senml(member),
                        None if name.ends_with('_') => Member::MustUnderstand,
                        None => Member::Unknown,
                    },
                })
            }
        }
        json.deserialize_identifier(Name)
    }
}

fn read_object<'p, A: MapAccess<'p>>(state: &mut State<'_, 'p>, mut map: A) -> Result<(), A::Error> {
    let first = state.out.len();
    let (mut ts, mut has_values, mut must_understand) = (None, false, false);
    let mut record = senml::Record::default();
    while let Some(member) = map.next_key()? {
        match member {
            Member::Ts => {
                if ts.replace(map.next_value::<Scalar<'p>>()?).is_some() {
                    return state.fail(DecodeError::Twice { member: "ts" });
                }
            }
            Member::Values if has_values => return state.fail(DecodeError::Twice { member: "values" }),
            Member::Values => {
                has_values = true;
                map.next_value_seed(Values(&mut *state))?;
            }
            Member::Senml(member) => {
                if record.set(member, map.next_value()?).is_some() {
                    return state.fail(DecodeError::Twice {
                        member: member.name(),
                    });
                }
            }
            Member::Unknown => map.next_value::<IgnoredAny>().map(drop)?,
            Member::MustUnderstand => {
                must_understand = true;
                map.next_value::<IgnoredAny>().map(drop)?;
            }
        }
    }
    if ts.is_none() && !has_values {
        return match senml::resolve(state, record, must_understand)? {
            Some(fault) => state.fail(fault),
            None => Ok(()),
        };
    }
    if record.is_senml_only() || must_understand {
        return state.fail(DecodeError::MixedForms);
    }
    if let Some(v) = record.take_value() {
        let unit = record.take_unit();
        state.take(None, &v, unit)?;
    } else if !has_values {
        state.refuse(DecodeError::NoValue)?;
    }
    date(state, first, ts);
    Ok(())
}

/// Gives the values from `first` on the moment that their object names.
fn date<'p>(state: &mut State<'_, 'p>, first: usize, ts: Option<Scalar<'p>>) {
    let at = match ts {
        None | Some(Scalar::Null) => return,
        Some(Scalar::Real(ms)) => moment::from_millis(ms),
        Some(Scalar::Text(text)) => moment::parse_rfc3339(&text),
        Some(Scalar::Truth(_) | Scalar::Nested) => None,
    };
    match at {
        Some(at) => state.out[first..]
            .iter_mut()
            .for_each(|value| value.at = Some(at)),
        None => {
            let undated = state.out.len() - first;
            state.out.truncate(first);
            state.decoded.refuse(undated, DecodeError::Time);
        }
    }
}

/// The object behind `values`: metric to value.
struct Values<'a, 's, 'p>(&'a mut State<'s, 'p>);

impl<'p> DeserializeSeed<'p> for Values<'_, '_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'p> Visitor<'p> for Values<'_, '_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of metrics and their values")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<(), A::Error> {
        let mut empty = true;
        while let Some(Text(metric)) = map.next_key()? {
            empty = false;
            let scalar = map.next_value()?;
            self.0.take(Some(metric), &scalar, PayloadUnit::Unsaid)?;
        }
        if empty {
            self.0.refuse(DecodeError::NoValue)
        } else {
            Ok(())
        }
    }
}

/// A text, borrowed from the payload where it holds no escapes.
struct Text<'p>(Cow<'p, str>);

impl<'p> Deserialize<'p> for Text<'p> {
    fn deserialize<D: Deserializer<'p>>(json: D) -> Result<Text<'p>, D::Error> {
        struct Borrow;
        impl<'p> Visitor<'p> for Borrow {
            type Value = Text<'p>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'p str) -> Result<Text<'p>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'p>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        json.deserialize_str(Borrow)
    }
}

/// Anything that may stand behind a member's name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'p> {
    Real(f64),
    Truth(bool),
    Text(Cow<'p, str>),
    Null,
    /// A list or an object, passed over.
    Nested,
}

impl<'p> Deserialize<'p> for Scalar<'p> {
    fn deserialize<D: Deserializer<'p>>(json: D) -> Result<Scalar<'p>, D::Error> {
        struct Any;
        impl<'p> Visitor<'p> for Any {
            type Value = Scalar<'p>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E: Error>(self, v: bool) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Truth(v))
            }

            fn visit_i64<E: Error>(self, v: i64) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Real(v as f64))
            }

            fn visit_u64<E: Error>(self, v: u64) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Real(v as f64))
            }

            fn visit_f64<E: Error>(self, v: f64) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Real(v))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'p str) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_unit<E: Error>(self) -> Result<Scalar<'p>, E> {
                Ok(Scalar::Null)
            }

            fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Scalar<'p>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }

            fn visit_seq<A: SeqAccess<'p>>(self, mut seq: A) -> Result<Scalar<'p>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
        }
        json.deserialize_any(Any)
    }
}
