//! InfluxDB line protocol: what Telegraf writes.
//!
//! ```text
//! measurement[,tag=value…] field=value[,field=value…] [timestamp]
//! ```
//!
//! Commas, equals signs and blanks inside names are escaped with `\`; texts stand in quotes. A line that is wrong
//! costs the others nothing.

use std::borrow::Cow;

use domain::UtcMillis;
use serde_json::Value as Json;

use super::{Report, map::Mapper};
use crate::DecodeError;

/// The most tags and fields of one line.
const MAX_PAIRS: usize = 256;

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// `ns`, which line protocol means when nothing is said.
    Nanoseconds,
    /// `us`.
    Microseconds,
    /// `ms`.
    Milliseconds,
    /// `s`.
    Seconds,
}

impl Precision {
    /// Reads `ns`, `us`, `ms` or `s`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Precision> {
        match text {
            "ns" => Some(Precision::Nanoseconds),
            "us" | "u" => Some(Precision::Microseconds),
            "ms" => Some(Precision::Milliseconds),
            "s" => Some(Precision::Seconds),
            _ => None,
        }
    }

    fn moment(self, count: i64) -> UtcMillis {
        UtcMillis(match self {
            Precision::Nanoseconds => count.div_euclid(1_000_000),
            Precision::Microseconds => count.div_euclid(1_000),
            Precision::Milliseconds => count,
            Precision::Seconds => count.saturating_mul(1_000),
        })
    }
}

/// A field's value.
#[derive(Debug, Clone, PartialEq)]
pub enum LineValue<'p> {
    /// A number, whole or not.
    Real(f64),
    /// A yes or no.
    Truth(bool),
    /// A text.
    Text(Cow<'p, str>),
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line<'p> {
    /// What was measured.
    pub measurement: Cow<'p, str>,
    /// What tells it from others of the kind, in the order of the line.
    pub tags: Vec<(Cow<'p, str>, Cow<'p, str>)>,
    /// The values; at least one.
    pub fields: Vec<(Cow<'p, str>, LineValue<'p>)>,
    /// When, in the unit that the sender chose; `None` for now.
    pub timestamp: Option<i64>,
}

/// Every line of `text` that says something: neither blank nor a comment.
pub fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, DecodeError>> {
    let mut reader = Reader {
        text,
        at: 0,
        number: 0,
    };
    std::iter::from_fn(move || reader.next_line())
}

/// Cuts `text` between lines into pieces of at most `bytes` bytes and `values` fields each, for a log whose records are
/// bounded. A line that alone is larger is a piece of its own.
///
/// # Errors
/// What is wrong with the first line, when no line is right; [`DecodeError::NoValue`] when there is none.
pub fn line_pieces(text: &str, bytes: usize, values: usize) -> Result<Vec<&str>, DecodeError> {
    let mut reader = Reader {
        text,
        at: 0,
        number: 0,
    };
    let (mut pieces, mut begin, mut held) = (Vec::new(), 0, 0);
    let (mut good, mut first) = (false, None);
    loop {
        let before = reader.at;
        let Some(line) = reader.next_line() else {
            break;
        };
        let fields = match line {
            Ok(line) => {
                good = true;
                line.fields.len()
            }
            Err(why) => {
                first.get_or_insert(why);
                1
            }
        };
        if before > begin && (reader.at - begin > bytes || held + fields > values) {
            pieces.push(&text[begin..before]);
            (begin, held) = (before, 0);
        }
        held += fields;
    }
    if !good {
        return Err(first.unwrap_or(DecodeError::NoValue));
    }
    pieces.push(&text[begin..]);
    Ok(pieces)
}

pub(super) fn read<'p>(
    mut mapper: Mapper<'_, 'p>,
    payload: &'p [u8],
    precision: Precision,
) -> Result<Report<'p>, DecodeError> {
    let text = std::str::from_utf8(payload).map_err(|_not_text| DecodeError::NotText)?;
    let (mut good, mut first) = (0_usize, None);
    for line in lines(text) {
        if !mapper.has_room() {
            break;
        }
        match line {
            Ok(line) => {
                good += 1;
                take(&mut mapper, line, precision);
            }
            Err(why) => {
                first.get_or_insert_with(|| why.clone());
                mapper.refuse(why);
            }
        }
    }
    match (good, first) {
        (0, Some(why)) => Err(why),
        (0, None) => Err(DecodeError::NoValue),
        _ => mapper.finish(),
    }
}

/// The values of one line. What is measured is called by the measurement, the values of the tags and the field
/// together, so that things which only a tag tells apart never take each other's place. Telegraf's own host is no
/// thing, and a field `value` needs no name.
fn take(mapper: &mut Mapper<'_, '_>, line: Line<'_>, precision: Precision) {
    let behind_tag = mapper.profile().behind_tag.as_deref();
    let (mut behind, mut whose) = (None, line.measurement.to_string());
    for (name, value) in &line.tags {
        match name.as_ref() {
            name if Some(name) == behind_tag => behind = Some(value.as_ref()),
            "host" => {}
            _ => {
                whose.push('.');
                whose.push_str(value);
            }
        }
    }
    let at = line.timestamp.map(|count| precision.moment(count));
    for (name, value) in line.fields {
        let path = if name == "value" {
            whose.clone()
        } else {
            format!("{whose}.{name}")
        };
        let scalar = match value {
            LineValue::Real(v) => v.into(),
            LineValue::Truth(v) => Json::Bool(v),
            LineValue::Text(text) => Json::String(text.into_owned()),
        };
        mapper.scalar((behind, at), &path, &scalar);
    }
}

/// Walks over the text. Everything that means something in it is ASCII, so it is walked by bytes.
struct Reader<'p> {
    text: &'p str,
    at: usize,
    /// The line in hand, from 1.
    number: usize,
}

impl<'p> Reader<'p> {
    fn next_line(&mut self) -> Option<Result<Line<'p>, DecodeError>> {
        loop {
            if self.at >= self.text.len() {
                return None;
            }
            self.number += 1;
            self.skip(b' ');
            match self.peek() {
                Some(b'#') => self.pass_line(),
                Some(b'\n' | b'\r') => self.at += 1,
                None => return None,
                Some(_) => {
                    let number = self.number;
                    let line = self.line();
                    self.pass_line();
                    return Some(line.map_err(|what| DecodeError::Line { line: number, what }));
                }
            }
        }
    }

    fn line(&mut self) -> Result<Line<'p>, &'static str> {
        let measurement = self.word(b", \n\r");
        if measurement.is_empty() {
            return Err("it has no measurement");
        }
        let mut tags = Vec::new();
        while self.take(b',') {
            let name = self.word(b"=, \n\r");
            if name.is_empty() || !self.take(b'=') {
                return Err("a tag is not name=value");
            }
            let value = self.word(b", \n\r");
            if value.is_empty() {
                return Err("a tag has no value");
            }
            if tags.len() == MAX_PAIRS {
                return Err("it has more than 256 tags");
            }
            tags.push((name, value));
        }
        if !self.take(b' ') {
            return Err("a blank and the fields are missing behind measurement and tags");
        }
        self.skip(b' ');
        let fields = self.fields()?;
        self.skip(b' ');
        let stamp = self.word(b" \n\r");
        let timestamp = match stamp.as_ref() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_no_number| "the timestamp is no whole number")?,
            ),
        };
        self.skip(b' ');
        match self.peek() {
            None | Some(b'\n' | b'\r') => Ok(Line {
                measurement,
                tags,
                fields,
                timestamp,
            }),
            Some(_) => Err("something stands behind the timestamp"),
        }
    }

    fn fields(&mut self) -> Result<Vec<(Cow<'p, str>, LineValue<'p>)>, &'static str> {
        let mut fields = Vec::new();
        loop {
            let name = self.word(b"=, \n\r");
            if name.is_empty() || !self.take(b'=') {
                return Err("a field is not name=value");
            }
            if fields.len() == MAX_PAIRS {
                return Err("it has more than 256 fields");
            }
            fields.push((name, self.value()?));
            if !self.take(b',') {
                return Ok(fields);
            }
        }
    }

    fn value(&mut self) -> Result<LineValue<'p>, &'static str> {
        if self.take(b'"') {
            return self.quoted().map(LineValue::Text);
        }
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| !matches!(b, b',' | b' ' | b'\n' | b'\r'))
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        match word {
            "t" | "T" | "true" | "True" | "TRUE" => return Ok(LineValue::Truth(true)),
            "f" | "F" | "false" | "False" | "FALSE" => return Ok(LineValue::Truth(false)),
            _ => {}
        }
        let number = match word.strip_suffix(['i', 'u']) {
            Some(whole) if word.ends_with('i') => whole.parse::<i64>().map(|v| v as f64).ok(),
            Some(whole) => whole.parse::<u64>().map(|v| v as f64).ok(),
            None => word.parse().ok().filter(|v: &f64| v.is_finite()),
        };
        number
            .map(LineValue::Real)
            .ok_or("a value is no number, no true or false, and no text in quotes")
    }

    /// A text behind its opening quote; it may hold line breaks.
    fn quoted(&mut self) -> Result<Cow<'p, str>, &'static str> {
        let start = self.at;
        let mut owned: Option<String> = None;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    let text = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(owned.map_or(Cow::Borrowed(text), Cow::Owned));
                }
                b'\\' if matches!(self.text.as_bytes().get(self.at + 1), Some(b'"' | b'\\')) => {
                    let so_far = owned.get_or_insert_with(|| self.text[start..self.at].to_owned());
                    self.at += 1;
                    so_far.push(char::from(self.text.as_bytes()[self.at]));
                    self.at += 1;
                }
                _ => {
                    let character = self.character();
                    if let Some(owned) = &mut owned {
                        owned.push(character);
                    }
                }
            }
        }
        Err("a text has no closing quote")
    }

    /// A name up to one of `ends`, which a backslash takes its meaning from.
    fn word(&mut self, ends: &[u8]) -> Cow<'p, str> {
        let start = self.at;
        let mut owned: Option<String> = None;
        while let Some(byte) = self.peek() {
            if ends.contains(&byte) {
                break;
            }
            let escaped = self.text.as_bytes().get(self.at + 1);
            if byte == b'\\' && escaped.is_some_and(|b| matches!(b, b',' | b'=' | b' ')) {
                let so_far = owned.get_or_insert_with(|| self.text[start..self.at].to_owned());
                so_far.push(char::from(self.text.as_bytes()[self.at + 1]));
                self.at += 2;
                continue;
            }
            let character = self.character();
            if let Some(owned) = &mut owned {
                owned.push(character);
            }
        }
        owned.map_or(Cow::Borrowed(&self.text[start..self.at]), Cow::Owned)
    }

    /// The character here, which is passed over.
    fn character(&mut self) -> char {
        let character = self.text[self.at..].chars().next().unwrap_or_default();
        self.at += character.len_utf8().max(1);
        character
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    fn skip(&mut self, byte: u8) {
        while self.take(byte) {}
    }

    fn pass_line(&mut self) {
        let rest = &self.text[self.at.min(self.text.len())..];
        self.at = rest.find('\n').map_or(self.text.len(), |end| self.at + end + 1);
    }
}
