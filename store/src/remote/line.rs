//! Line protocol, as this product writes it.
//!
//! One measurement, four tags, one field: `reading,device=…,facility=…,metric=…,unit=… value=… <ms>`. One measurement
//! for everything, because devices may send metrics that nobody foresaw: a measurement for each would let a device
//! make measurements, and the same name could hold numbers here and texts there. `value` is always a float. Tags
//! stand in the order of their names, which is the order that servers sort them into.
//!
//! What cannot be written so that every server reads the same is refused, never mended: control characters (a
//! newline would begin a second line), backslashes (before a separator they mean something else than elsewhere),
//! empty tags, and numbers that are not finite.

use std::{fmt::Write as _, ops::Range};

use domain::{FacilityId, Sample, SeriesKey};
use flate2::{Compression, write::GzEncoder};

/// The measurement that every reading is in.
pub const MEASUREMENT: &str = "reading";
/// The one field.
pub const FIELD: &str = "value";

/// The first and the last moment that fits in the 64-bit nanoseconds of a server: 1677 to 2262.
const MOMENTS_MS: Range<i64> = -9_223_372_036_854..9_223_372_036_854;

/// Why something cannot be a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A tag has no value.
    #[error("the tag {0} is empty; leave it out or give it a value")]
    EmptyTag(&'static str),
    /// A tag holds what cannot be written safely.
    #[error("the tag {tag} holds {character:?}, which line protocol cannot carry; use another name")]
    Character {
        /// Which tag.
        tag: &'static str,
        /// The character.
        character: char,
    },
    /// Infinite, or no number at all.
    #[error("the value is not a finite number")]
    NotFinite,
    /// The moment is too far from 1970 for 64-bit nanoseconds.
    #[error("the time lies outside the years 1677 to 2262")]
    Moment,
}

/// What stands before the value on every line of a series: measurement and tags. Kept for each series, because it
/// is two thirds of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineHead(Box<str>);

impl LineHead {
    /// Escapes the tags of `key`.
    ///
    /// # Errors
    /// [`LineError`]. An identifier of `domain` never holds what is refused here.
    pub fn new(key: &SeriesKey) -> Result<LineHead, LineError> {
        let tags = [
            ("device", key.device.as_str()),
            ("facility", key.facility.as_str()),
            ("metric", key.metric.as_str()),
            ("unit", key.metric.unit().code()),
        ];
        LineHead::of_tags(&tags)
    }

    /// The same of any tags, in the order given.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn of_tags(tags: &[(&'static str, &str)]) -> Result<LineHead, LineError> {
        let mut text = String::with_capacity(128);
        text.push_str(MEASUREMENT);
        for &(tag, value) in tags {
            if value.is_empty() {
                return Err(LineError::EmptyTag(tag));
            }
            text.push(',');
            text.push_str(tag);
            text.push('=');
            for character in value.chars() {
                match character {
                    c if c.is_control() || c == '\\' => return Err(LineError::Character { tag, character }),
                    ',' | '=' | ' ' => text.extend(['\\', character]),
                    _ => text.push(character),
                }
            }
        }
        text.push(' ');
        text.push_str(FIELD);
        text.push('=');
        Ok(LineHead(text.into()))
    }
}

/// Lines to be written, in order. Memory grows with them: the owner says how many there are.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    text: String,
    /// Where each line ends, behind its newline.
    ends: Vec<usize>,
}

impl Lines {
    /// Adds one line.
    ///
    /// # Errors
    /// [`LineError::NotFinite`] and [`LineError::Moment`]; nothing is added then.
    pub fn push(&mut self, head: &LineHead, sample: Sample) -> Result<(), LineError> {
        if !sample.value.is_finite() {
            return Err(LineError::NotFinite);
        }
        if !MOMENTS_MS.contains(&sample.at.0) {
            return Err(LineError::Moment);
        }
        self.text.push_str(&head.0);
        // Rust's debug form is the shortest that reads back as the same number, with an exponent where it is shorter.
        writeln!(self.text, "{:?} {}", sample.value, sample.at.0).expect("writing to a String succeeds");
        self.ends.push(self.text.len());
        Ok(())
    }

    /// Adds lines that were written before, as a dead letter keeps them. Empty ones are passed over.
    pub fn push_written(&mut self, line: &str) {
        let line = line.trim_end_matches('\n');
        if !line.is_empty() && !line.contains('\n') {
            self.text.push_str(line);
            self.text.push('\n');
            self.ends.push(self.text.len());
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Some of them as text, each with its newline.
    ///
    /// # Panics
    /// When the range reaches beyond [`Lines::len`].
    #[must_use]
    pub fn text(&self, lines: Range<usize>) -> &str {
        let begin = lines.start.checked_sub(1).map_or(0, |before| self.ends[before]);
        let end = lines.end.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.text[begin..end.max(begin)]
    }

    /// Forgets them and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// Whose reading a line of ours is. `None` for a line that is not ours.
#[must_use]
pub(crate) fn facility_of(line: &str) -> Option<FacilityId> {
    let (_, behind) = line.split_once(",facility=")?;
    behind.split([',', ' ']).next()?.parse().ok()
}

/// `text` compressed, quickly rather than well: lines of one series differ little, so that level 1 makes a tenth of
/// them already.
#[must_use]
pub(crate) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8 + 64), Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("memory takes what is written");
    encoder.finish().expect("memory takes what is written")
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;

    use super::*;

    fn sample(value: f64, at: i64) -> Sample {
        Sample {
            at: UtcMillis(at),
            value,
        }
    }

    #[test]
    fn a_reading_is_one_line() {
        let key = SeriesKey {
            facility: "厨房-1".parse().unwrap(),
            device: "fridge_1.a".parse().unwrap(),
            metric: "temperature".parse().unwrap(),
        };
        let mut lines = Lines::default();
        let head = LineHead::new(&key).unwrap();
        for value in [4.1, -0.0, 1e300, 1e-7, 12.0] {
            lines.push(&head, sample(value, 1_795_000_000_000)).unwrap();
        }
        let tags = "reading,device=fridge_1.a,facility=厨房-1,metric=temperature,unit=degC";
        let written = ["4.1", "-0.0", "1e300", "1e-7", "12.0"];
        let want: String = written
            .iter()
            .map(|value| format!("{tags} value={value} 1795000000000\n"))
            .collect();
        assert_eq!(lines.text(0..5), want);
        assert_eq!(lines.text(1..2), format!("{tags} value=-0.0 1795000000000\n"));
        assert_eq!(lines.text(2..2), "");
        lines.clear();
        assert_eq!((lines.len(), lines.text(0..0)), (0, ""));
    }

    #[test]
    fn what_cannot_be_written_safely_is_refused() {
        let head = |value: &str| LineHead::of_tags(&[("tag", value)]);
        assert_eq!(head("").unwrap_err(), LineError::EmptyTag("tag"));
        for character in ['\n', '\r', '\0', '\u{7f}', '\u{85}', '\\'] {
            let refused = head(&format!("a{character}b")).unwrap_err();
            assert_eq!(
                refused,
                LineError::Character {
                    tag: "tag",
                    character
                }
            );
        }
        assert_eq!(
            head("a b,c=d").unwrap(),
            LineHead("reading,tag=a\\ b\\,c\\=d value=".into())
        );
        let head = head("x").unwrap();
        let mut lines = Lines::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(lines.push(&head, sample(value, 0)), Err(LineError::NotFinite));
        }
        for at in [i64::MIN, i64::MAX, 9_223_372_036_854] {
            assert_eq!(lines.push(&head, sample(0.0, at)), Err(LineError::Moment));
        }
        assert!(lines.is_empty(), "nothing is left of a refused line");
    }

    #[test]
    fn a_letter_is_one_line_again() {
        let mut lines = Lines::default();
        for text in ["reading,a=b value=1.0 5\n", "", "\n", "two\nlines"] {
            lines.push_written(text);
        }
        assert_eq!((lines.len(), lines.text(0..1)), (1, "reading,a=b value=1.0 5\n"));
    }
}
