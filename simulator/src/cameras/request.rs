//! What a client sends: RTSP requests, and between them its RTCP packets, which are passed over.

/// The longest request line with headers, in bytes; a longer one ends the connection.
pub(crate) const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The longest body, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 4 * 1024;
/// The most headers.
const MAX_HEADERS: usize = 32;

/// Why what came is no RTSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The head or body does not end in time.
    #[error("a request is longer than {MAX_HEAD_BYTES} bytes, or its body than {MAX_BODY_BYTES}")]
    TooLong,
    /// It is not text.
    #[error("a request is not UTF-8 text")]
    NoText,
    /// The first line is not `METHOD URL RTSP/1.0`.
    #[error("the first line is not `METHOD URL RTSP/1.0`")]
    FirstLine,
    /// A header line has no colon, or there are too many.
    #[error("a header has no colon, or there are more than {MAX_HEADERS}")]
    Header,
}

/// An RTSP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As the client wrote it: a URL or `*`.
    pub(crate) url: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// The first header of this name, whatever its capitals.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What stands at the beginning of what came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// Not all of it is here yet.
    Incomplete,
    /// A request of so many bytes.
    Request(Request, usize),
    /// Something to pass over, of so many bytes: a packet of the client's, or an empty line.
    Other(usize),
}

/// Reads the beginning of `bytes`.
///
/// # Errors
/// When it can never become a request: the connection is of no more use.
pub(crate) fn read(bytes: &[u8]) -> Result<Incoming, RequestError> {
    match bytes {
        [] => return Ok(Incoming::Incomplete),
        // A packet of RTP or RTCP: `$`, channel, length in two bytes.
        [b'$', _, high, low, ..] => {
            let whole = 4 + usize::from(u16::from_be_bytes([*high, *low]));
            let all_here = bytes.len() >= whole;
            return Ok(if all_here {
                Incoming::Other(whole)
            } else {
                Incoming::Incomplete
            });
        }
        [b'$', ..] => return Ok(Incoming::Incomplete),
        [b'\r', b'\n', ..] => return Ok(Incoming::Other(2)),
        _ => {}
    }
    let searched = &bytes[..bytes.len().min(MAX_HEAD_BYTES)];
    let Some(end) = searched.windows(4).position(|four| four == b"\r\n\r\n") else {
        let too_long = bytes.len() >= MAX_HEAD_BYTES;
        return if too_long {
            Err(RequestError::TooLong)
        } else {
            Ok(Incoming::Incomplete)
        };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_not_text| RequestError::NoText)?;
    let request = parse(head)?;
    let body = match request.header("Content-Length") {
        None => 0,
        Some(length) => length.trim().parse().map_err(|_no_number| RequestError::Header)?,
    };
    if body > MAX_BODY_BYTES {
        return Err(RequestError::TooLong);
    }
    let whole = end + 4 + body;
    if bytes.len() < whole {
        return Ok(Incoming::Incomplete);
    }
    Ok(Incoming::Request(request, whole))
}

fn parse(head: &str) -> Result<Request, RequestError> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(url), Some("RTSP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(RequestError::FirstLine);
    };
    if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') {
        return Err(RequestError::FirstLine);
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(RequestError::Header)?;
        if headers.len() == MAX_HEADERS {
            return Err(RequestError::Header);
        }
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;

    use super::*;

    #[test]
    fn requests_and_packets_are_told_apart() {
        let text = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\nrest";
        let Ok(Incoming::Request(request, 31)) = read(text) else {
            panic!("{:?}", read(text));
        };
        assert_eq!((request.method.as_str(), request.url.as_str()), ("OPTIONS", "*"));
        assert_eq!(request.header("cseq"), Some("1"));
        assert_eq!(read(b"$\x01\x00\x02ab$"), Ok(Incoming::Other(6)));
        assert_eq!(read(b"\r\nOPTIONS"), Ok(Incoming::Other(2)));
        for part in [
            &b""[..],
            b"$",
            b"$\x01\x00\x02a",
            b"OPTIONS * RT",
            b"X * RTSP/1.0\r\nContent-Length: 2\r\n\r\na",
        ] {
            assert_eq!(read(part), Ok(Incoming::Incomplete), "{part:?}");
        }
    }

    #[test]
    fn what_can_never_become_a_request_is_refused() {
        let long = vec![b'A'; MAX_HEAD_BYTES];
        let many = format!("X * RTSP/1.0\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
        let table: [(&[u8], RequestError); 8] = [
            (b"GET / HTTP/1.1\r\n\r\n", RequestError::FirstLine),
            (b"X  * RTSP/1.0\r\n\r\n", RequestError::FirstLine),
            (b"x * RTSP/1.0\r\n\r\n", RequestError::FirstLine),
            (b"X * RTSP/1.0\r\nno colon\r\n\r\n", RequestError::Header),
            (
                b"X * RTSP/1.0\r\nContent-Length: 99999\r\n\r\n",
                RequestError::TooLong,
            ),
            (b"X * RTSP/1.0\r\nA: \xff\r\n\r\n", RequestError::NoText),
            (&long, RequestError::TooLong),
            (many.as_bytes(), RequestError::Header),
        ];
        for (bytes, why) in table {
            assert_eq!(read(bytes), Err(why), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_bytes_break_the_reader(bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "[A-Z]{1,8} [ -~]{0,20} RTSP/1.0\r\n([ -~]{0,20}:[ -~]{0,20}\r\n){0,4}\r\n".prop_map(String::into_bytes),
        ]) {
            match read(&bytes) {
                Ok(Incoming::Request(_, whole) | Incoming::Other(whole)) => {
                    prop_assert!(whole > 0 && whole <= bytes.len());
                }
                Ok(Incoming::Incomplete) | Err(_) => {}
            }
        }

        #[test]
        fn what_comes_in_pieces_reads_the_same(url in "[!-~]{1,40}", value in "[!-~]{0,40}", cut in 0_usize..60) {
            let text = format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: {value}\r\n\r\n").into_bytes();
            let cut = cut.min(text.len() - 1);
            prop_assert_eq!(read(&text[..cut]), Ok(Incoming::Incomplete));
            let Ok(Incoming::Request(request, whole)) = read(&text) else { panic!("{text:?}") };
            prop_assert_eq!(whole, text.len());
            prop_assert_eq!(request.header("CSEQ"), Some(value.as_str()));
            prop_assert_eq!(request.url, url);
        }
    }
}
