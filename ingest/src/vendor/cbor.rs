//! SenML in CBOR (RFC 8428 section 6): the same records as in JSON, their members called by small numbers.
//!
//! Of CBOR (RFC 8949) this reads what SenML uses: numbers, half, single and double precision, texts, arrays and maps
//! of either length, and decimal fractions (tag 4).

use std::borrow::Cow;

use domain::UtcMillis;
use serde::de::value::Error as Refused;

use super::{Report, VendorValue};
use crate::{
    DecodeError, Decoded, IngestLimits, Value,
    codec::{Scalar, State},
    senml::{self, Member, Record},
};

/// How deep something that is passed over may be.
const MAX_DEPTH: usize = 16;

/// Reads a pack that came by `up`, or by `up/<metric>` where its records need no names.
pub(super) fn report<'p>(
    leaf: &'p str,
    payload: &'p [u8],
    received: UtcMillis,
    limits: &IngestLimits,
) -> Result<Report<'p>, DecodeError> {
    let of_topic = match leaf.strip_prefix("up/") {
        Some(metric) => Some(metric),
        None if leaf == "up" => None,
        None => return Err(DecodeError::Topic),
    };
    let mut values: Vec<Value<'p>> = Vec::new();
    let decoded = decode(payload, received, limits, &mut values)?;
    let mut report = Report {
        decoded,
        ..Report::default()
    };
    for mut value in values {
        if value.metric.is_none() {
            value.metric = of_topic.map(Cow::Borrowed);
        }
        if value.metric.is_none() {
            report.decoded.refuse(1, DecodeError::NoMetric);
            continue;
        }
        report.values.push(VendorValue { behind: None, value });
    }
    Ok(report)
}

fn decode<'p>(
    payload: &'p [u8],
    received: UtcMillis,
    limits: &IngestLimits,
    out: &mut Vec<Value<'p>>,
) -> Result<Decoded, DecodeError> {
    let mut state = State::new(out, received, limits.payload_values);
    let mut reader = Reader {
        bytes: payload,
        at: 0,
    };
    let read = pack(&mut state, &mut reader);
    let (decoded, fault) = state.finish();
    match (read, fault) {
        (_, Some(fault)) => Err(fault),
        (Err(what), None) => Err(DecodeError::Cbor { what, at: reader.at }),
        (Ok(()), None) if out.is_empty() && decoded.refused == 0 => Err(DecodeError::NoValue),
        (Ok(()), None) => Ok(decoded),
    }
}

/// Why a pack is not understood; the state may know better.
type Read<T> = Result<T, &'static str>;

const REFUSED: &str = "a record was refused";

fn pack<'p>(state: &mut State<'_, 'p>, reader: &mut Reader<'p>) -> Read<()> {
    let records = reader.begin(ARRAY, "it is no array of records")?;
    let mut done = 0;
    while reader.goes_on(records, done)? {
        record(state, reader)?;
        done += 1;
    }
    if reader.at == reader.bytes.len() {
        Ok(())
    } else {
        Err("something stands behind the pack")
    }
}

fn record<'p>(state: &mut State<'_, 'p>, reader: &mut Reader<'p>) -> Read<()> {
    let members = reader.begin(MAP, "a record is no map")?;
    let (mut record, mut must_understand, mut done) = (Record::default(), false, 0);
    while reader.goes_on(members, done)? {
        done += 1;
        let name = reader.scalar()?;
        let member = match &name {
            Scalar::Real(label) => label_of(*label),
            Scalar::Text(name) => {
                must_understand |= name.ends_with('_');
                Member::parse(name)
            }
            _ => return Err("a record's member has no name"),
        };
        let value = reader.scalar()?;
        if let Some(member) = member
            && record.set(member, value).is_some()
        {
            return Err("a member stands twice in one record");
        }
    }
    match senml::resolve::<Refused>(state, record, must_understand) {
        Ok(None) => Ok(()),
        Ok(Some(fault)) => {
            let _refused: Result<(), Refused> = state.fail(fault);
            Err(REFUSED)
        }
        Err(_refused) => Err(REFUSED),
    }
}

/// The member of a label (RFC 8428 table 6).
fn label_of(label: f64) -> Option<Member> {
    Some(match label as i64 {
        -1 => Member::BaseVersion,
        -2 => Member::BaseName,
        -3 => Member::BaseTime,
        -4 => Member::BaseUnit,
        -5 => Member::BaseValue,
        -6 => Member::BaseSum,
        0 => Member::Name,
        1 => Member::Unit,
        2 => Member::Value,
        3 => Member::Text,
        4 => Member::Truth,
        5 => Member::Sum,
        6 => Member::Time,
        7 => Member::UpdateTime,
        8 => Member::Data,
        _ => return None,
    })
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// The head of an item: its kind, the five bits beside it, and the number behind them; `None` for one without a
/// length of its own.
struct Head {
    kind: u8,
    info: u8,
    count: Option<u64>,
}

struct Reader<'p> {
    bytes: &'p [u8],
    at: usize,
}

const TOO_SOON: &str = "it ends too soon";

impl<'p> Reader<'p> {
    fn take(&mut self, count: usize) -> Read<&'p [u8]> {
        let taken = self
            .at
            .checked_add(count)
            .and_then(|end| self.bytes.get(self.at..end));
        self.at += taken.map_or(0, <[u8]>::len);
        taken.ok_or(TOO_SOON)
    }

    fn head(&mut self) -> Read<Head> {
        let first = self.take(1)?[0];
        let (kind, info) = (first >> 5, first & 0x1f);
        let count = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                Some(bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
            }
            31 => None,
            _ => return Err("it holds a byte that means nothing in CBOR"),
        };
        Ok(Head { kind, info, count })
    }

    /// The number of entries of the array or map that begins here; `None` when it ends with a mark.
    fn begin(&mut self, kind: u8, otherwise: &'static str) -> Read<Option<u64>> {
        let head = self.head()?;
        if head.kind == kind {
            Ok(head.count)
        } else {
            Err(otherwise)
        }
    }

    /// Whether another entry follows after `done` of them.
    fn goes_on(&mut self, entries: Option<u64>, done: u64) -> Read<bool> {
        match entries {
            Some(entries) => Ok(done < entries),
            None => match self.bytes.get(self.at) {
                Some(0xff) => {
                    self.at += 1;
                    Ok(false)
                }
                Some(_) => Ok(true),
                None => Err(TOO_SOON),
            },
        }
    }

    /// The value that begins here. What SenML has no use for is passed over.
    fn scalar(&mut self) -> Read<Scalar<'p>> {
        let head = self.head()?;
        Ok(match (head.kind, head.count) {
            (UNSIGNED, Some(n)) => Scalar::Real(n as f64),
            (NEGATIVE, Some(n)) => Scalar::Real(-1.0 - n as f64),
            (TEXT, Some(length)) => {
                let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                let text = std::str::from_utf8(bytes).map_err(|_not_text| "a text is not UTF-8")?;
                Scalar::Text(Cow::Borrowed(text))
            }
            (SIMPLE, Some(bits)) => simple(head.info, bits),
            (TAG, Some(4)) => self.decimal()?,
            (TAG, Some(_)) => self.scalar_below()?,
            _ => {
                self.pass_over(&head, 0)?;
                Scalar::Nested
            }
        })
    }

    /// What a tag that is not known stands before: passed over, because its meaning is not known.
    fn scalar_below(&mut self) -> Read<Scalar<'p>> {
        let head = self.head()?;
        self.pass_over(&head, 1)?;
        Ok(Scalar::Nested)
    }

    /// A decimal fraction: an array of exponent and mantissa.
    fn decimal(&mut self) -> Read<Scalar<'p>> {
        let wrong = "a decimal fraction is no pair of whole numbers";
        if self.begin(ARRAY, wrong)? != Some(2) {
            return Err(wrong);
        }
        let (exponent, mantissa) = (self.whole(wrong)?, self.whole(wrong)?);
        if !(-400..=400).contains(&exponent) {
            return Err(wrong);
        }
        // By way of text, because ten to a negative power is no exact number and 215e-1 is.
        let exact = format!("{mantissa}e{exponent}").parse();
        exact.map(Scalar::Real).map_err(|_no_number| wrong)
    }

    fn whole(&mut self, otherwise: &'static str) -> Read<i128> {
        let head = self.head()?;
        match (head.kind, head.count) {
            (UNSIGNED, Some(n)) => Ok(i128::from(n)),
            (NEGATIVE, Some(n)) => Ok(-1 - i128::from(n)),
            _ => Err(otherwise),
        }
    }

    fn pass_over(&mut self, head: &Head, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        match (head.kind, head.count) {
            (UNSIGNED | NEGATIVE | SIMPLE, Some(_)) => Ok(()),
            (BYTES | TEXT, Some(length)) => {
                self.take(usize::try_from(length).unwrap_or(usize::MAX)).map(drop)
            }
            (TAG, Some(_)) => {
                let head = self.head()?;
                self.pass_over(&head, depth + 1)
            }
            (BYTES | TEXT | ARRAY | MAP, entries) => {
                let per_entry = if head.kind == MAP { 2 } else { 1 };
                let mut done = 0;
                while self.goes_on(entries, done)? {
                    for _ in 0..per_entry {
                        let head = self.head()?;
                        self.pass_over(&head, depth + 1)?;
                    }
                    done += 1;
                }
                Ok(())
            }
            _ => Err("it holds a byte that means nothing in CBOR"),
        }
    }
}

/// A simple value or a floating-point number.
fn simple<'p>(info: u8, bits: u64) -> Scalar<'p> {
    match info {
        20 => Scalar::Truth(false),
        21 => Scalar::Truth(true),
        25 => Scalar::Real(half(bits as u16)),
        26 => Scalar::Real(f64::from(f32::from_bits(bits as u32))),
        27 => Scalar::Real(f64::from_bits(bits)),
        _ => Scalar::Null,
    }
}

/// Half precision (RFC 8949 appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from((bits >> 10) & 0x1f), f64::from(bits & 0x3ff));
    let size = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * 2_f64.powi(exponent - 25),
    };
    if bits & 0x8000 == 0 { size } else { -size }
}
