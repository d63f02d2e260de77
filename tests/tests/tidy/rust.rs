//! Just enough of Rust's grammar for the rules: what is a comment or a literal, where a function begins
//! and ends, what is test code, which paths are named.
//!
//! A scanner, not a parser: it needs no dependency, and a rule that is wrong about exotic syntax fails
//! loudly on it rather than silently.

use std::ops::Range;

use crate::mask::mask;

/// A Rust file, scanned once.
pub(crate) struct RustFile {
    /// The text with comments and the insides of literals blanked, byte for byte.
    pub(crate) code: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) attributes: Vec<Attribute>,
    /// Whether the whole file is test code.
    pub(crate) is_test: bool,
    /// The spans that only a test build compiles.
    test_spans: Vec<Range<usize>>,
}

pub(crate) struct Function {
    pub(crate) name: String,
    /// From `fn` to the closing brace, or to the semicolon of one without a body.
    pub(crate) span: Range<usize>,
    /// What stands between the braces; empty for one without a body.
    pub(crate) body: Range<usize>,
}

/// `#[…]` or `#![…]`.
pub(crate) struct Attribute {
    pub(crate) span: Range<usize>,
    /// What stands between the brackets.
    pub(crate) inside: Range<usize>,
}

/// A path such as `std::fs::read`, wherever it is named.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) at: usize,
    pub(crate) text: String,
}

impl RustFile {
    pub(crate) fn new(path: &str, text: &str) -> RustFile {
        let code = mask(text);
        let functions = functions(&code);
        let attributes = attributes(&code);
        let in_test_folder = path
            .split('/')
            .any(|p| matches!(p, "tests" | "benches" | "examples" | "fuzz"));
        let mut file = RustFile {
            code,
            functions,
            attributes,
            is_test: in_test_folder,
            test_spans: Vec::new(),
        };
        for attribute in &file.attributes {
            if !is_test_only(&file.code[attribute.inside.clone()]) {
                continue;
            }
            if file.code[attribute.span.clone()].starts_with("#!") {
                file.is_test = true;
            }
            file.test_spans
                .push(attribute.span.start..item_end(&file.code, attribute.span.end));
        }
        file
    }

    /// The line, counted from 1, on which `offset` lies.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// Whether only a test build compiles what stands at `offset`.
    pub(crate) fn is_test_at(&self, offset: usize) -> bool {
        self.is_test || self.test_spans.iter().any(|s| s.contains(&offset))
    }

    /// The names of modules in their own files that only a test build compiles.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let declared = |span: &Range<usize>| {
            let item = self.code[span.clone()].strip_suffix(';')?;
            let (_, name) = item.rsplit_once("mod ")?;
            Some(name.trim().to_owned())
        };
        self.test_spans.iter().filter_map(declared).collect()
    }

    /// The names of the modules that the file declares, with or without a body.
    pub(crate) fn modules(&self) -> Vec<(usize, &str)> {
        let after = |(at, word): (usize, &str)| (word == "mod").then(|| identifier_after(&self.code, at + 3));
        words(&self.code).filter_map(after).flatten().collect()
    }

    /// Every path of two or more segments, and every path that a `use` brings in, written out in full.
    pub(crate) fn paths(&self) -> Vec<NamedPath> {
        let mut found = Vec::new();
        let mut past = 0;
        for (at, word) in words(&self.code) {
            if at < past {
                continue;
            }
            if word == "use" {
                let end = self.code[at..].find(';').map_or(self.code.len(), |n| at + n);
                expand_use("", &self.code[at + 3..end], at, &mut found);
                past = end;
            } else {
                past = path_end(&self.code, at + word.len());
                let text: String = self.code[at..past].split_whitespace().collect();
                if text.contains("::") && !self.code[..at].ends_with("::") {
                    found.push(NamedPath { at, text });
                }
            }
        }
        found
    }
}

/// Every word of masked code, with its place.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let length = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        at = start + length;
        Some((start, &code[start..at]))
    })
}

fn identifier_after(code: &str, at: usize) -> Option<(usize, &str)> {
    let start = at + code[at..].find(|c: char| !c.is_whitespace())?;
    let (first, word) = words(&code[start..]).next()?;
    (first == 0 && start > at && !word.starts_with(|c: char| c.is_ascii_digit())).then_some((start, word))
}

/// The place after the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (n, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return open + n + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The first `{` or `;` at or after `at` that stands outside round and square brackets.
fn body_or_end(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (n, byte) in code.as_bytes()[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' | b';' if depth == 0 => return Some(at + n),
            _ => {}
        }
    }
    None
}

fn item_end(code: &str, at: usize) -> usize {
    match body_or_end(code, at) {
        Some(n) if code.as_bytes()[n] == b'{' => closing(code, n),
        Some(n) => n + 1,
        None => code.len(),
    }
}

fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, word) in words(code) {
        if word != "fn" {
            continue;
        }
        // No name: a pointer type, or a name that a macro fills in.
        let Some((_, name)) = identifier_after(code, at + 2) else {
            continue;
        };
        let Some(open) = body_or_end(code, at) else {
            continue;
        };
        let end = item_end(code, at);
        let body = if code.as_bytes()[open] == b'{' {
            open + 1..end - 1
        } else {
            open..open
        };
        found.push(Function {
            name: name.to_owned(),
            span: at..end,
            body,
        });
    }
    found
}

fn attributes(code: &str) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices('#') {
        let bracket = at + if code[at + 1..].starts_with('!') { 2 } else { 1 };
        if code[bracket..].starts_with('[') {
            let end = closing(code, bracket);
            found.push(Attribute {
                span: at..end,
                inside: bracket + 1..end - 1,
            });
        }
    }
    found
}

fn is_test_only(attribute: &str) -> bool {
    let text: String = attribute.split_whitespace().collect();
    text.starts_with("cfg(") && !text.contains("not(test)") && words(&text).any(|(_, w)| w == "test")
}

/// The end of the path whose first segment ends at `at`.
fn path_end(code: &str, mut at: usize) -> usize {
    while let Some(rest) = code[at..].strip_prefix("::") {
        let Some((0, word)) = words(rest).next() else {
            break;
        };
        at += 2 + word.len();
    }
    at
}

/// Writes out every path of a `use` tree below `prefix`.
fn expand_use(prefix: &str, tree: &str, at: usize, found: &mut Vec<NamedPath>) {
    let tree = tree.trim().trim_start_matches("::");
    if let Some((head, group)) = tree.split_once('{') {
        let inside = group.rsplit_once('}').map_or(group, |(inside, _)| inside);
        let prefix: String = format!("{prefix}{head}").split_whitespace().collect();
        for part in split_outside_braces(inside) {
            expand_use(&prefix, part, at, found);
        }
    } else if !tree.is_empty() {
        let path = tree.split_once(" as ").map_or(tree, |(path, _)| path);
        let text: String = format!("{prefix}{path}").split_whitespace().collect();
        found.push(NamedPath { at, text });
    }
}

fn split_outside_braces(list: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (n, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..n]);
                start = n + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_bodies() {
        let text = "fn a() {\n  let s = \"}\";\n}\ntrait T { fn b(x: [u8; 4]); }\ntype F = fn(u8);\n\
                    fn c<T>() -> Vec<T> where T: Copy { if x { y } }\n\
                    macro_rules! m { ($n:ident) => { fn $n() {} } }";
        let file = RustFile::new("a/src/lib.rs", text);
        let names: Vec<&str> = file.functions.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let (a, b, c) = (&file.functions[0], &file.functions[1], &file.functions[2]);
        assert_eq!((file.line(a.span.start), file.line(a.span.end - 1)), (1, 3));
        assert!(b.body.is_empty());
        assert_eq!(&text[c.body.clone()], " if x { y } ");
    }

    #[test]
    fn test_code_is_told_from_the_product() {
        let text = "fn a() { X }\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { fn b() { X } }\nfn c() { X }\n\
                    #[cfg(all(test, unix))]\nfn d() { X }\n#[cfg(not(test))]\nfn e() { X }\n\
                    #[cfg(feature = \"test\")]\nfn f() { X }";
        let file = RustFile::new("a/src/lib.rs", text);
        let test: Vec<bool> = file
            .code
            .match_indices('X')
            .map(|(at, _)| file.is_test_at(at))
            .collect();
        assert_eq!(test, [false, true, false, true, false, false]);
        assert!(RustFile::new("a/tests/x.rs", "").is_test);
        assert!(RustFile::new("a/src/x.rs", "#![cfg(test)]").is_test);
    }

    #[test]
    fn paths_are_written_out_in_full() {
        let text = "use std::{fs::{self, File}, io as i};\nuse ::a::b;\npub(crate) use c;\n\
                    fn f() { d::e::<T>::g(x.h); i::j!() }\n// k::l";
        let file = RustFile::new("a/src/lib.rs", text);
        let paths: Vec<String> = file.paths().into_iter().map(|p| p.text).collect();
        assert_eq!(
            paths,
            [
                "std::fs::self",
                "std::fs::File",
                "std::io",
                "a::b",
                "c",
                "d::e",
                "i::j"
            ]
        );
    }
}
