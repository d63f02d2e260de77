//! The shape of sources: lengths, names, no file that nothing includes, and the essay on top of a crate.

use crate::repository::{Finding, Repository, member, module_folder};

/// The most lines of a Rust file.
const FILE_LINES: usize = 800;

/// The most lines of a function, from `fn` to the closing brace: what a reader can see at once.
const FUNCTION_LINES: usize = 70;

/// Names that say nothing about what is inside, so that everything ends up there.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

/// Files and functions have a length at which a stranger can still check them.
pub(crate) fn lengths(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        let mut report = |line, what, remedy| {
            findings.push(Finding {
                path: path.into(),
                line,
                what,
                remedy,
            });
        };
        let length = file.code.lines().count();
        if length > FILE_LINES {
            report(
                1,
                format!("the file has {length} lines, more than {FILE_LINES}"),
                "split it by what it owns",
            );
        }
        for function in &file.functions {
            let first = file.line(function.span.start);
            let length = file.line(function.span.end.saturating_sub(1)) + 1 - first;
            if length > FUNCTION_LINES {
                let what = format!(
                    "`{}` has {length} lines, more than {FUNCTION_LINES}",
                    function.name
                );
                report(first, what, "give a part of it a name of its own");
            }
        }
    }
    findings
}

/// A module is `name.rs` plus `name/`, and its name says what it owns.
pub(crate) fn module_names(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        let mut report = |line, what, remedy| {
            findings.push(Finding {
                path: path.into(),
                line,
                what,
                remedy,
            });
        };
        let name = path.rsplit('/').next().unwrap_or(path);
        if name == "mod.rs" {
            report(
                1,
                "`mod.rs` says nothing in a list of open files".into(),
                "call it after its folder",
            );
        }
        if EMPTY_NAMES.iter().any(|n| name.strip_suffix(".rs") == Some(n)) {
            report(
                1,
                format!("`{name}` does not say what it owns"),
                "call it after what it owns",
            );
        }
        for (at, name) in file.modules() {
            if EMPTY_NAMES.contains(&name) {
                report(
                    file.line(at),
                    format!("`mod {name}` does not say what it owns"),
                    "call it after what it owns",
                );
            }
        }
    }
    findings
}

/// A file below `src` that its parent does not declare is compiled by nobody and checked by nobody.
pub(crate) fn orphans(repository: &Repository) -> Vec<Finding> {
    let mut declared = Vec::new();
    for (path, file) in repository.rust() {
        let folder = module_folder(path);
        declared.extend(
            file.modules()
                .iter()
                .map(|(_, name)| format!("{folder}/{name}.rs")),
        );
    }
    let is_root = |path: &str| {
        ["/src/lib.rs", "/src/main.rs"].iter().any(|r| path.ends_with(r)) || path.contains("/src/bin/")
    };
    let is_orphan =
        |path: &str| path.contains("/src/") && !is_root(path) && !declared.iter().any(|d| d == path);
    let all = repository.rust().map(|(path, _)| path);
    all.filter(|path| is_orphan(path))
        .map(|path| Finding {
            path: path.into(),
            line: 1,
            what: "no module declares this file".into(),
            remedy: "declare it in its parent or delete it",
        })
        .collect()
}

/// A crate's `lib.rs` begins with what the crate owns and what it must not know.
pub(crate) fn essays(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        let member = member(&file.path);
        // The end-to-end tests own nothing and know everything.
        if file.path != format!("{member}/src/lib.rs") || member == "tests" {
            continue;
        }
        let essay: String = file.text.lines().take_while(|l| l.starts_with("//!")).collect();
        for part in ["Owns", "Must not know"] {
            if !essay.contains(part) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: 1,
                    what: format!("the essay on top of the crate does not say `{part}`"),
                    remedy: "say it in the `//!` lines that begin the file, as `domain` does",
                });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&Repository) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<(String, usize)> {
        rule(&Repository::example(files))
            .into_iter()
            .map(|f| (f.path, f.line))
            .collect()
    }

    #[test]
    fn a_long_file_is_found() {
        let long = "// x\n".repeat(FILE_LINES + 1);
        assert_eq!(
            check(lengths, &[("a/src/b.rs", &long)]),
            [("a/src/b.rs".into(), 1)]
        );
        assert_eq!(check(lengths, &[("a/tests/b.rs", &long)]).len(), 1);
        let full = "// x\n".repeat(FILE_LINES);
        assert_eq!(check(lengths, &[("a/src/b.rs", &full), ("README.md", &long)]), []);
    }

    #[test]
    fn a_long_function_is_found_wherever_it_is() {
        let body = |lines: usize| format!("fn f() {{\n{}}}\n", "    // \"}\n".repeat(lines - 2));
        assert_eq!(check(lengths, &[("a/src/b.rs", &body(FUNCTION_LINES))]), []);
        let inner = format!("// x\nimpl A {{\n{}}}", body(FUNCTION_LINES + 1));
        assert_eq!(
            check(lengths, &[("a/src/b.rs", &inner)]),
            [("a/src/b.rs".into(), 3)]
        );
        assert_eq!(check(lengths, &[("a/tests/b.rs", &inner)]).len(), 1);
    }

    #[test]
    fn modules_with_empty_names_are_found() {
        let files = [
            ("a/src/b/mod.rs", ""),
            ("a/src/utils.rs", ""),
            (
                "a/src/lib.rs",
                "mod good;\npub(crate) mod helpers {}\n// mod common",
            ),
        ];
        let want = [
            ("a/src/b/mod.rs".into(), 1),
            ("a/src/utils.rs".into(), 1),
            ("a/src/lib.rs".into(), 2),
        ];
        assert_eq!(check(module_names, &files), want);
    }

    #[test]
    fn a_file_that_nothing_includes_is_found() {
        let files = [
            ("a/src/lib.rs", "mod b;\n// mod d;"),
            ("a/src/main.rs", "mod e;"),
            ("a/src/b.rs", "mod c;"),
            ("a/src/b/c.rs", ""),
            ("a/src/d.rs", ""),
            ("a/src/e.rs", ""),
            ("a/tests/f.rs", ""),
        ];
        assert_eq!(check(orphans, &files), [("a/src/d.rs".into(), 1)]);
    }

    #[test]
    fn a_crate_without_its_essay_is_found() {
        let good = "//! A crate.\n//!\n//! Owns: a.\n//!\n//! Must not know: b.\nmod c;";
        let late = "//! Owns: a.\nuse b;\n//! Must not know: b.";
        let files = [
            ("a/src/lib.rs", good),
            ("b/src/lib.rs", late),
            ("c/src/lib.rs", ""),
            ("tests/src/lib.rs", ""),
        ];
        let want = [
            ("b/src/lib.rs".into(), 1),
            ("c/src/lib.rs".into(), 1),
            ("c/src/lib.rs".into(), 1),
        ];
        assert_eq!(check(essays, &files), want);
    }
}
