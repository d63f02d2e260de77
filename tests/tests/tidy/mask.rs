//! Comments and literals, told from code: what looks like code inside them is none.

use std::ops::Range;

/// Blanks comments and the insides of literals; every other byte stays where it is.
pub(crate) fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let Some((blank, end)) = opaque(bytes, at) else {
            at += 1;
            continue;
        };
        for byte in &mut masked[blank] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(masked).expect("whole characters were blanked")
}

/// The comment or literal that begins at `at`: what to blank, and where to go on.
fn opaque(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let rest = &bytes[at..];
    let end_after = |found: Option<usize>| found.map_or(bytes.len(), |n| at + n);
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            let end = end_after(rest.iter().position(|b| *b == b'\n'));
            Some((at..end, end))
        }
        b'/' if rest.starts_with(b"/*") => {
            let end = at + block_comment_length(rest);
            Some((at..end, end))
        }
        b'r' if !continues_word(bytes, at) => raw_string(bytes, at),
        b'"' => {
            let end = at + 1 + quoted_length(&rest[1..], b'"');
            Some((at + 1..end, end + 1))
        }
        b'\'' => {
            let is_escape = rest.get(1) == Some(&b'\\');
            let width = rest.get(1).map_or(1, |b| utf8_width(*b));
            if is_escape {
                let end = at + 1 + quoted_length(&rest[1..], b'\'');
                Some((at + 1..end, end + 1))
            } else {
                // Otherwise it is a lifetime.
                (rest.get(1 + width) == Some(&b'\'')).then_some((at + 1..at + 1 + width, at + 2 + width))
            }
        }
        _ => None,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// `r"…"` or `r#"…"#`, also after `b` or `c`; the `r` stands at `at`.
fn raw_string(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let open = at + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let length = bytes[open + 1..].windows(close.len()).position(|w| w == close)?;
    let end = open + 1 + length;
    Some((open + 1..end, end + close.len()))
}

/// Bytes up to the closing `quote`, which an escape does not close.
fn quoted_length(inside: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < inside.len() && inside[at] != quote {
        at += if inside[at] == b'\\' { 2 } else { 1 };
    }
    at.min(inside.len())
}

fn utf8_width(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

/// Whether the byte at `at` goes on with a word that is not the `b` or `c` of a literal.
fn continues_word(bytes: &[u8], at: usize) -> bool {
    let is_word =
        |at: Option<usize>| at.is_some_and(|n| bytes[n].is_ascii_alphanumeric() || bytes[n] == b'_');
    let before = at.checked_sub(1);
    let is_prefix = before.is_some_and(|n| matches!(bytes[n], b'b' | b'c')) && !is_word(at.checked_sub(2));
    is_word(before) && !is_prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        let cases = [
            ("a // .unwrap()\nb", "a             \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("a\"}", b)"#, r#"f("    ", b)"#),
            (r##"f(r#"a"}"#, b)"##, r##"f(r#"   "#, b)"##),
            (r##"f(br#"}"#)"##, r##"f(br#" "#)"##),
            (r"('{', '\'', '厨', 'a)", r"(' ', '  ', '   ', 'a)"),
            ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            ("for r in x { \"}\" }", "for r in x { \" \" }"),
            ("/// `{`\nfn r#fn() {}", "       \nfn r#fn() {}"),
        ];
        for (text, want) in cases {
            assert_eq!(mask(text), want, "{text}");
            assert_eq!(mask(text).len(), text.len());
        }
    }
}
