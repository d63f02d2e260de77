//! The parts of a `multipart/x-mixed-replace` answer, which is how cameras send JPEGs without end.
//!
//! Cameras differ: some tell each part's length and some do not, some announce the boundary with its dashes and
//! some without. Both are read; what does not fit the bounds ends the stream.

use bytes::{Buf, Bytes, BytesMut};

/// The longest boundary, in bytes. RFC 2046 allows 70.
pub const MAX_BOUNDARY_BYTES: usize = 128;

/// The longest header of a part, in bytes.
pub const MAX_HEADER_BYTES: usize = 4096;

/// Why an answer cannot be read as parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// Its type is not multipart, or it announces no boundary of fit length.
    #[error("the answer is not a stream of pictures (multipart with a boundary)")]
    NotMultipart,
    /// There is no boundary where one must be.
    #[error("the stream has no boundary where one must be")]
    NoBoundary,
    /// A part's header is longer than [`MAX_HEADER_BYTES`] or tells a length that is none.
    #[error("the header of a picture in the stream cannot be read")]
    Header,
    /// A part is longer than allowed.
    #[error("a picture in the stream is larger than allowed")]
    TooLarge,
}

/// Takes an answer apart. It holds at most one part and what came behind it in the same piece.
#[derive(Debug)]
pub struct Multipart {
    /// Two dashes and the boundary.
    delimiter: Vec<u8>,
    most_bytes: usize,
    buffer: BytesMut,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a delimiter; up to here there is none.
    Between { searched: usize },
    /// Behind a delimiter.
    Header,
    /// In a part of told length.
    Counted { length: usize },
    /// In a part that ends at the next delimiter; up to here there is none.
    Open { searched: usize },
}

impl Multipart {
    /// For an answer of this `Content-Type`, with parts of at most `most_bytes`.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`].
    pub fn new(content_type: &str, most_bytes: usize) -> Result<Multipart, MultipartError> {
        let mut fields = content_type.split(';').map(str::trim);
        let kind = fields.next().unwrap_or_default().to_ascii_lowercase();
        let boundary = fields.find_map(|field| {
            let (name, value) = field.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("boundary")
                .then(|| value.trim().trim_matches('"'))
        });
        // Some cameras announce the dashes of the delimiter as part of the boundary, some do not: the dashes are
        // left out here, and any number of them is taken before a delimiter.
        let boundary = boundary.unwrap_or_default().trim_start_matches('-');
        if !kind.starts_with("multipart/") || boundary.is_empty() || boundary.len() > MAX_BOUNDARY_BYTES {
            return Err(MultipartError::NotMultipart);
        }
        Ok(Multipart {
            delimiter: [b"--", boundary.as_bytes()].concat(),
            most_bytes,
            buffer: BytesMut::new(),
            state: State::Between { searched: 0 },
        })
    }

    /// Adds a piece of the answer. Take every part with [`Multipart::next_part`] before adding the next piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next complete part that is not empty; `None` until more of the answer has come.
    ///
    /// # Errors
    /// [`MultipartError`]: the rest of the answer cannot be read.
    pub fn next_part(&mut self) -> Result<Option<Bytes>, MultipartError> {
        loop {
            match self.state {
                State::Between { searched } => match self.find(searched) {
                    Some(at) => {
                        self.buffer.advance(at + self.delimiter.len());
                        self.state = State::Header;
                    }
                    None if self.buffer.len() > MAX_HEADER_BYTES => return Err(MultipartError::NoBoundary),
                    None => {
                        self.state = State::Between {
                            searched: self.resume(),
                        };
                        return Ok(None);
                    }
                },
                State::Header => match self.header()? {
                    Some(next) => self.state = next,
                    None => return Ok(None),
                },
                State::Counted { length } => {
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    self.state = State::Between { searched: 0 };
                    if length > 0 {
                        return Ok(Some(self.buffer.split_to(length).freeze()));
                    }
                }
                State::Open { searched } => match self.find(searched) {
                    Some(at) => {
                        let part = self.buffer.split_to(at).freeze();
                        self.state = State::Between { searched: 0 };
                        let part = part.slice(..content_end(&part));
                        if part.len() > self.most_bytes {
                            return Err(MultipartError::TooLarge);
                        }
                        if !part.is_empty() {
                            return Ok(Some(part));
                        }
                    }
                    None if self.buffer.len() > self.most_bytes + self.delimiter.len() => {
                        return Err(MultipartError::TooLarge);
                    }
                    None => {
                        self.state = State::Open {
                            searched: self.resume(),
                        };
                        return Ok(None);
                    }
                },
            }
        }
    }

    /// Where the next delimiter begins, looking from `searched` on.
    fn find(&self, searched: usize) -> Option<usize> {
        let rest = self.buffer.get(searched..)?;
        rest.windows(self.delimiter.len())
            .position(|part| part == self.delimiter)
            .map(|at| searched + at)
    }

    /// From where to look when more has come: a delimiter may have begun.
    fn resume(&self) -> usize {
        self.buffer.len().saturating_sub(self.delimiter.len() - 1)
    }

    /// Reads the header of a part, which ends with an empty line; `None` until it is complete.
    fn header(&mut self) -> Result<Option<State>, MultipartError> {
        let window = &self.buffer[..self.buffer.len().min(MAX_HEADER_BYTES)];
        let mut length = None;
        let mut at = 0;
        // The first line is the rest of the delimiter's.
        let mut is_first = true;
        while let Some(end) = window[at..].iter().position(|b| *b == b'\n') {
            let line = window[at..at + end].trim_ascii();
            at += end + 1;
            if line.is_empty() && !is_first {
                self.buffer.advance(at);
                return match length {
                    Some(length) if length > self.most_bytes => Err(MultipartError::TooLarge),
                    Some(length) => Ok(Some(State::Counted { length })),
                    None => Ok(Some(State::Open { searched: 0 })),
                };
            }
            is_first = false;
            if let Some(told) = told_length(line)? {
                length = Some(told);
            }
        }
        if window.len() == MAX_HEADER_BYTES {
            return Err(MultipartError::Header);
        }
        Ok(None)
    }
}

/// The length that a header line tells, if it is the one for that.
fn told_length(line: &[u8]) -> Result<Option<usize>, MultipartError> {
    let Some(colon) = line.iter().position(|b| *b == b':') else {
        return Ok(None);
    };
    let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
    if !name.eq_ignore_ascii_case(b"content-length") {
        return Ok(None);
    }
    let digits = std::str::from_utf8(value).or(Err(MultipartError::Header))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(MultipartError::Header);
    }
    // What does not fit a number is too large for anything.
    Ok(Some(digits.parse().unwrap_or(usize::MAX)))
}

/// Where the content of a part ends before a delimiter: without further dashes of the delimiter and the line
/// break before it. No JPEG ends with either.
fn content_end(part: &[u8]) -> usize {
    let dashes = part.iter().rev().take_while(|b| **b == b'-').count();
    let content = &part[..part.len() - dashes];
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content).len()
}

#[cfg(test)]
mod tests {
    use proptest::{
        collection::vec,
        prelude::{any, prop_assert, prop_assert_eq, proptest},
    };

    use super::*;

    const TYPE: &str = "multipart/x-mixed-replace;boundary=frame";

    /// Every part of `answer`, added in pieces of `piece` bytes, and how it ended.
    fn parts(kind: &str, answer: &[u8], piece: usize) -> (Vec<Bytes>, Option<MultipartError>) {
        let mut reader = Multipart::new(kind, 1000).unwrap();
        let mut found = Vec::new();
        for piece in answer.chunks(piece.max(1)) {
            reader.add(piece);
            loop {
                match reader.next_part() {
                    Ok(Some(part)) => found.push(part),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    #[test]
    fn parts_are_read_as_different_cameras_write_them() {
        let cases: [(&str, &str, &[u8]); 6] = [
            ("told length", TYPE, b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\r\n--frame\r\nContent-Length: 2\r\n\r\nde"),
            ("no length", TYPE, b"--frame\r\nContent-Type: image/jpeg\r\n\r\nabc\r\n--frame\r\n\r\nde\r\n--frame--\r\n"),
            ("dashes announced", "multipart/x-mixed-replace; boundary=\"--frame\"", b"--frame\r\ncontent-length:3\r\n\r\nabc--frame\r\n\r\nde\r\n--frame"),
            ("dashes announced and added", "Multipart/X-Mixed-Replace; charset=x; Boundary=--frame", b"----frame\r\n\r\nabc\r\n----frame\r\n\r\nde\r\n----frame"),
            ("bare line feeds", TYPE, b"noise\n--frame\nX: y\n\nabc\n--frame\n\nde\n--frame"),
            ("empty parts between", TYPE, b"--frame\r\nContent-Length: 0\r\n\r\n\r\n--frame\r\n\r\nabc\r\n--frame\r\n\r\n\r\n--frame\r\n\r\nde\r\n--frame"),
        ];
        for (what, kind, answer) in cases {
            for piece in [1, 2, 7, 1000] {
                let (found, error) = parts(kind, answer, piece);
                assert_eq!(found, [&b"abc"[..], b"de"], "{what}, in pieces of {piece}");
                assert_eq!(error, None, "{what}");
            }
        }
    }

    #[test]
    fn what_breaks_the_bounds_ends_the_stream() {
        let no_end = [&b"--frame\r\n\r\n"[..], &[7; 1100]].concat();
        let long_header = [&b"--frame\r\n"[..], &[b'x'; 5000]].concat();
        let cases: [(&[u8], MultipartError); 6] = [
            (&no_end, MultipartError::TooLarge),
            (
                b"--frame\r\nContent-Length: 1001\r\n\r\n",
                MultipartError::TooLarge,
            ),
            (
                b"--frame\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                MultipartError::TooLarge,
            ),
            (b"--frame\r\nContent-Length: -1\r\n\r\n", MultipartError::Header),
            (&long_header, MultipartError::Header),
            (&[b'x'; 5000], MultipartError::NoBoundary),
        ];
        for (answer, why) in cases {
            for piece in [3, 6000] {
                assert_eq!(parts(TYPE, answer, piece), (vec![], Some(why)));
            }
        }
    }

    #[test]
    fn other_kinds_of_answer_are_refused() {
        for kind in [
            "",
            "image/jpeg",
            "multipart/x-mixed-replace",
            "text/html; boundary=x",
            "multipart/mixed; boundary=--",
        ] {
            assert_eq!(
                Multipart::new(kind, 10).unwrap_err(),
                MultipartError::NotMultipart,
                "{kind}"
            );
        }
        let long = format!("multipart/mixed; boundary={}", "b".repeat(129));
        assert_eq!(
            Multipart::new(&long, 10).unwrap_err(),
            MultipartError::NotMultipart
        );
    }

    proptest! {
        #[test]
        fn whatever_is_sent_in_parts_comes_out(
            sent in vec((vec(any::<u8>(), 1..50), any::<bool>()), 1..6), piece in 1usize..40,
        ) {
            let mut answer = Vec::new();
            let mut expected = Vec::new();
            for (mut part, told) in sent {
                // No JPEG holds the delimiter or ends with what is cut off before it.
                part.retain(|b| *b != b'-');
                part.push(0xd9);
                let length = if told { format!("Content-Length: {}\r\n", part.len()) } else { String::new() };
                answer.extend(format!("--frame\r\n{length}\r\n").into_bytes());
                answer.extend(&part);
                answer.extend(b"\r\n");
                expected.push(Bytes::from(part));
            }
            answer.extend(b"--frame");
            let (found, error) = parts(TYPE, &answer, piece);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(error, None);
        }

        #[test]
        fn no_answer_makes_the_reader_panic_or_hold_more_than_its_bound(answer in vec(any::<u8>(), 0..600), piece in 1usize..50) {
            let answer = [&b"--frame\r\n"[..], &answer].concat();
            let (found, _) = parts(TYPE, &answer, piece);
            prop_assert!(found.iter().all(|part| !part.is_empty() && part.len() <= 1000));
        }
    }
}
