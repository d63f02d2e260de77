//! What no text file may say: a path of somebody's machine, a mark for later.

use crate::repository::{Finding, Repository};

/// Where people and build machines keep their own files. Written in halves, so that this file passes.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!(":\\Us", "ers\\"),
];

const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

/// No file names a path of one machine: it would be wrong on every other.
pub(crate) fn machine_paths(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        for (n, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS.iter().filter(|p| begins_a_path(line, p)) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: n + 1,
                    what: format!("`{path}` is a path of one machine"),
                    remedy: "name it from the root of the repository, or take it as a parameter",
                });
            }
        }
    }
    findings
}

/// Whether `path` stands in `line` where a path can begin: not in the middle of a longer one.
fn begins_a_path(line: &str, path: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '~' | '}' | '*' | '+');
    line.match_indices(path)
        .any(|(at, _)| path.starts_with(':') || !line[..at].ends_with(goes_on))
}

/// No file carries a mark for later: what is missing is an issue or a section of a document, not a comment.
pub(crate) fn marks(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Minified scripts are other people's and are not edited here.
    for file in repository.files.iter().filter(|f| !f.path.contains(".min.")) {
        for (n, line) in file.text.lines().enumerate() {
            for mark in MARKS.iter().filter(|m| is_word_in(line, m)) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: n + 1,
                    what: format!("`{mark}` is left in the text"),
                    remedy: "do it now, or say what is not there yet where a reader looks for it",
                });
            }
        }
    }
    findings
}

fn is_word_in(line: &str, word: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(goes_on) && !line[at + word.len()..].starts_with(goes_on))
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
    fn a_path_of_one_machine_is_found_in_any_file() {
        for start in MACHINE_PATHS {
            for (before, after) in [
                ("", ""),
                ("see ", "x"),
                ("\"", "\""),
                ("PATH=", "bin"),
                ("a:", ""),
                ("(", ")"),
            ] {
                let text = format!("fine\n{before}{start}{after}");
                assert_eq!(lines(machine_paths, "docs/a.md", &text), [2], "{text}");
            }
        }
        let text = MACHINE_PATHS
            .map(|p| format!("https://example.org{p} a{p}b ~{p} ${{X}}{p} ../a{p}"))
            .join("\n");
        let posix: Vec<&str> = text.lines().take(4).collect();
        assert_eq!(lines(machine_paths, "a/src/lib.rs", &posix.join("\n")), []);
        let system = "/usr/bin /etc/sunshine /tmp/x /var/lib /dev/null /proc/self";
        assert_eq!(lines(machine_paths, ".ci/run", system), []);
    }

    #[test]
    fn a_mark_for_later_is_found_in_any_file() {
        for mark in ["TO\u{44}O", "FIX\u{4d}E"] {
            assert_eq!(
                lines(marks, "a/src/lib.rs", &format!("x\n// {mark}: later")),
                [2],
                "{mark}"
            );
            assert_eq!(lines(marks, "docs/a.md", &format!("({mark})")), [1], "{mark}");
            assert_eq!(
                lines(marks, "a/src/lib.rs", &format!("let NO_{mark}S = 1;")),
                [],
                "{mark}"
            );
            assert_eq!(lines(marks, "a/assets/x.min.js", mark), [], "{mark}");
        }
        assert_eq!(lines(marks, "a/src/lib.rs", "todo"), []);
    }
}
