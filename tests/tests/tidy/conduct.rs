//! How code behaves: nothing unwraps, nothing is left undone, every lint that is set aside has a reason,
//! every test can fail.

use std::collections::BTreeSet;

use crate::{
    repository::{Finding, Repository},
    rust::{Function, RustFile, words},
};

/// The document that says which test guards which promise.
pub(crate) const DOCUMENT: &str = "docs/ARCHITECTURE.md";

/// Outside tests nothing unwraps: `expect` states the invariant, `?` passes the error on.
pub(crate) fn unwraps(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        for (at, call) in [".unwrap()", ".unwrap_err()"]
            .iter()
            .flat_map(|c| file.code.match_indices(c))
        {
            if !file.is_test_at(at) {
                findings.push(Finding {
                    path: path.into(),
                    line: file.line(at),
                    what: format!("`{call}` outside tests"),
                    remedy: "pass the error on, or `expect` with the invariant that makes it impossible",
                });
            }
        }
    }
    findings
}

/// No code that stands in for code.
pub(crate) fn placeholders(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        for (at, word) in words(&file.code) {
            if matches!(word, "todo" | "unimplemented" | "dbg")
                && file.code[at + word.len()..].starts_with('!')
            {
                findings.push(Finding {
                    path: path.into(),
                    line: file.line(at),
                    what: format!("`{word}!` is left in the code"),
                    remedy: "write what belongs there, or delete the item that needs it",
                });
            }
        }
    }
    findings
}

/// A lint is set aside only with `#[expect(lint, reason = "…")]`, which fails when it is no longer needed.
pub(crate) fn suppressions(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        for attribute in &file.attributes {
            let text: String = file.code[attribute.inside.clone()].split_whitespace().collect();
            let is_conditional = text.starts_with("cfg_attr(");
            let names = |call: &str| text.starts_with(call) || (is_conditional && text.contains(call));
            let what = if names("allow(") {
                "a lint is allowed"
            } else if names("expect(") && !text.contains("reason=") {
                "a lint is expected to fire, but the reason is missing"
            } else {
                continue;
            };
            findings.push(Finding {
                path: path.into(),
                line: file.line(attribute.span.start),
                what: what.into(),
                remedy: "mend the cause, or write `#[expect(lint, reason = \"…\")]`",
            });
        }
    }
    findings
}

/// Every test asserts, itself or through a function of its file; a test that cannot fail is none.
pub(crate) fn assertions(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        let asserting = asserting_functions(file);
        for test in tests(file) {
            if !asserting.contains(test.name.as_str()) {
                findings.push(Finding {
                    path: path.into(),
                    line: file.line(test.span.start),
                    what: format!("the test `{}` asserts nothing", test.name),
                    remedy: "assert what must hold, here or in a `check…` function that it calls",
                });
            }
        }
    }
    findings
}

/// Every test that the architecture document names exists: a guard that was renamed or deleted is none.
pub(crate) fn named_tests(repository: &Repository) -> Vec<Finding> {
    let Some(document) = repository.file(DOCUMENT) else {
        return Vec::new();
    };
    let names: BTreeSet<&str> = repository
        .rust()
        .flat_map(|(_, file)| tests(file))
        .map(|test| test.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for (n, line) in document.text.lines().enumerate() {
        // Every second piece stands between backticks.
        for name in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_test_name(name))
        {
            if !names.contains(name) {
                findings.push(Finding {
                    path: DOCUMENT.into(),
                    line: n + 1,
                    what: format!("there is no test `{name}`"),
                    remedy: "name the test that guards this now, or write one",
                });
            }
        }
    }
    findings
}

/// Tests are called by whole sentences; nothing else that the document names is as long.
fn is_test_name(name: &str) -> bool {
    name.matches('_').count() >= 3
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The functions that a test attribute stands on, up to those of which a panic is expected.
fn tests(file: &RustFile) -> Vec<&Function> {
    let mut found: Vec<&Function> = Vec::new();
    for attribute in &file.attributes {
        let inside = &file.code[attribute.inside.clone()];
        let name = inside.split('(').next().unwrap_or(inside).trim();
        if name != "test" && !name.ends_with("::test") {
            continue;
        }
        let next = file
            .functions
            .iter()
            .filter(|f| f.span.start > attribute.span.end);
        let Some(function) = next.min_by_key(|f| f.span.start) else {
            continue;
        };
        let is_between = |a: usize| a > attribute.span.start && a < function.span.start;
        let expects_panic = file
            .attributes
            .iter()
            .any(|a| is_between(a.span.start) && file.code[a.inside.clone()].starts_with("should_panic"));
        if !expects_panic {
            found.push(function);
        }
    }
    found
}

/// The functions of a file that assert, or call one that does.
fn asserting_functions(file: &RustFile) -> BTreeSet<&str> {
    let here: BTreeSet<&str> = file.functions.iter().map(|f| f.name.as_str()).collect();
    let mut asserting = BTreeSet::new();
    loop {
        let before = asserting.len();
        for function in &file.functions {
            let body = &file.code[function.body.clone()];
            // A function of that name from elsewhere is taken at its word; one from here must keep it.
            let asserts = calls(body).any(|name| {
                asserting.contains(name) || is_assertion(name) || (!here.contains(name) && is_promise(name))
            });
            if asserts {
                asserting.insert(function.name.as_str());
            }
        }
        if asserting.len() == before {
            return asserting;
        }
    }
}

/// The names that are called in `body`, macros with their `!`.
fn calls(body: &str) -> impl Iterator<Item = &str> {
    words(body).filter_map(|(at, word)| {
        let rest = &body[at + word.len()..];
        if rest.starts_with('!') && !rest.starts_with("!=") {
            return Some(&body[at..=at + word.len()]);
        }
        (rest.starts_with('(') || rest.starts_with("::<")).then_some(word)
    })
}

fn is_assertion(call: &str) -> bool {
    let is_macro = call.ends_with('!');
    let starts = ["assert", "prop_assert", "debug_assert", "panic!", "unreachable!"];
    is_macro && starts.iter().any(|s| call.starts_with(s))
}

/// A function whose name promises that it fails when something does not hold, or not in time.
fn is_promise(call: &str) -> bool {
    matches!(call, "until" | "unwrap_err")
        || ["check", "assert", "expect_", "until_"]
            .iter()
            .any(|s| call.starts_with(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Repository) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Repository::example(&[(path, text)]))
            .iter()
            .map(|f| f.line)
            .collect()
    }

    #[test]
    fn an_unwrap_outside_tests_is_found() {
        let text = "fn a() {\n x.unwrap() }\n#[cfg(test)]\nmod tests { fn b() { x.unwrap() } }\n\
                    // x.unwrap()\nfn c() { \"x.unwrap()\"; x.unwrap_or(1);\n x.unwrap_err() }";
        assert_eq!(lines(unwraps, "a/src/lib.rs", text), [2, 7]);
        assert_eq!(lines(unwraps, "a/build.rs", text), [2, 7]);
        assert_eq!(lines(unwraps, "a/tests/b.rs", text), []);
        assert_eq!(lines(unwraps, "a/benches/b.rs", text), []);
    }

    #[test]
    fn a_placeholder_is_found_even_in_a_test() {
        let text = "fn a() {\n todo!() }\n#[cfg(test)]\nmod tests { fn b() {\n dbg!(1) } }\n// todo!()\n\
                    fn c() { unimplemented!(\"x\") }\nfn todo() {}";
        assert_eq!(lines(placeholders, "a/src/lib.rs", text), [2, 5, 7]);
        assert_eq!(lines(placeholders, "a/tests/b.rs", text), [2, 5, 7]);
    }

    #[test]
    fn an_allowed_lint_is_found() {
        let text = "#![allow(dead_code)]\n#[expect(dead_code)]\n#[expect(dead_code, reason = \"x\")]\n\
                    #[cfg_attr(test, allow(dead_code))]\n#[derive(Debug)]\n#[serde(expecting = \"x\")]";
        assert_eq!(lines(suppressions, "a/src/lib.rs", text), [1, 2, 4]);
    }

    #[test]
    fn a_test_that_cannot_fail_is_found() {
        let idle = [
            "x();",
            "let y = x != 1;",
            "// assert!(x)",
            "x(\"assert!(y)\");",
            "x.expect(\"y\");",
        ];
        for body in idle {
            for attribute in [
                "#[test]",
                "#[tokio::test(flavor = \"multi_thread\")]",
                "#[test]\n#[ignore]",
            ] {
                let text = format!("mod m {{\n{attribute} fn a() {{ {body} }}\n}}");
                assert_eq!(
                    lines(assertions, "a/src/lib.rs", &text).len(),
                    1,
                    "{attribute} {body}"
                );
            }
        }
        let in_proptest = "proptest! {\n #[test]\n fn a(x in 0..9) { x + 1; }\n}";
        assert_eq!(lines(assertions, "a/tests/b.rs", in_proptest), [3]);
        let broken_promise = "fn check_it() { x() }\n#[test]\nfn a() { check_it() }";
        assert_eq!(lines(assertions, "a/tests/b.rs", broken_promise), [3]);
    }

    #[test]
    fn a_named_test_that_is_not_there_is_found() {
        let document = "`a_b` `mqtt.a_b_c_d`\n| x | `it_is_so_here`, `it_was_so_there` |";
        let code = "#[test]\nfn it_is_so_here() { assert!(x) }\nfn it_was_so_there() {}";
        let files = [(DOCUMENT, document), ("a/src/lib.rs", code)];
        let found = named_tests(&Repository::example(&files));
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [2]);
        assert!(found[0].what.contains("it_was_so_there"), "{}", found[0]);
    }

    #[test]
    fn a_test_that_can_fail_is_not_found() {
        let bodies = [
            "assert_eq!(x, 1);",
            "prop_assert!(x);",
            "panic!()",
            "elsewhere::check_all(x);",
            "until(\"ready\", || x()).await?;",
            "app.expect_page(\"/\");",
            "x().unwrap_err();",
        ];
        for body in bodies {
            let text = format!("#[test]\nfn a() {{ {body} }}\nfn no_test() {{ x() }}");
            assert_eq!(lines(assertions, "a/tests/b.rs", &text), [], "{body}");
        }
        let through_others = "fn deep() { assert!(x) }\nfn near() { deep() }\n#[test]\nfn a() { near() }";
        assert_eq!(lines(assertions, "a/tests/b.rs", through_others), []);
        let panics = "#[test]\n#[should_panic(expected = \"x\")]\nfn a() { x() }";
        assert_eq!(lines(assertions, "a/tests/b.rs", panics), []);
    }
}
