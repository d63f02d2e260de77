//! Which crate may depend on which, in the manifests and in the document that explains it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    conduct::DOCUMENT,
    manifests::{dependencies, members, workspace},
    repository::{Finding, Repository, line_of, member},
};

/// Which crates of ours each crate may depend on. `docs/ARCHITECTURE.md` shows the same and says why;
/// a new edge is a decision and is written down in both.
const GRAPH: [(&str, &[&str]); 13] = [
    ("domain", &[]),
    ("journal", &[]),
    ("models", &["domain"]),
    ("broker", &["domain", "journal"]),
    ("ingest", &["domain", "journal"]),
    ("camera", &["domain"]),
    ("vision", &["camera", "domain", "models"]),
    ("store", &["domain"]),
    ("alerts", &["domain", "store"]),
    ("dashboard", &["alerts", "domain", "store"]),
    ("simulator", &["domain"]),
    ("server", &EVERY_PART),
    // End to end means just that.
    ("tests", &EVERYTHING),
];

const EVERY_PART: [&str; 11] = [
    "alerts",
    "broker",
    "camera",
    "dashboard",
    "domain",
    "ingest",
    "journal",
    "models",
    "simulator",
    "store",
    "vision",
];

/// Every crate of ours that another could name.
pub(crate) const EVERYTHING: [&str; 12] = [
    "alerts",
    "broker",
    "camera",
    "dashboard",
    "domain",
    "ingest",
    "journal",
    "models",
    "server",
    "simulator",
    "store",
    "vision",
];

/// Every dependency on a crate of ours is one of [`GRAPH`].
pub(crate) fn edges(repository: &Repository) -> Vec<Finding> {
    let workspace = workspace(repository);
    let mut findings = Vec::new();
    for (file, manifest) in members(repository) {
        let from = member(&file.path);
        let allowed = GRAPH.iter().find(|(name, _)| *name == from).map(|(_, to)| *to);
        let mut report = |line, what| {
            let remedy = "hand the value in from `server`, or write the new edge and its reason into \
                          docs/ARCHITECTURE.md and this test";
            findings.push(Finding {
                path: file.path.clone(),
                line,
                what,
                remedy,
            });
        };
        let Some(allowed) = allowed else {
            report(1, format!("the crate `{from}` is not in the graph"));
            continue;
        };
        for (_, dependency) in dependencies(&manifest, &workspace) {
            let Some(to) = dependency.folder else { continue };
            if !allowed.contains(&to.as_str()) {
                let line = line_of(&file.text, &dependency.key);
                report(line, format!("`{from}` must not depend on `{to}`"));
            }
        }
    }
    findings
}

/// The fence marked `graph` in the architecture document shows exactly [`GRAPH`].
pub(crate) fn document(repository: &Repository) -> Vec<Finding> {
    let text = repository.file(DOCUMENT).map_or("", |f| f.text.as_str());
    let shown = graph_in(text);
    let all_parts: BTreeSet<&str> = EVERY_PART.into();
    let everything: BTreeSet<&str> = EVERYTHING.into();
    let mut findings = Vec::new();
    for (from, to) in GRAPH {
        let want: BTreeSet<&str> = to.iter().copied().collect();
        let got = shown.get(from).map(|names| match names.as_slice() {
            ["every", "part"] => all_parts.clone(),
            ["everything"] => everything.clone(),
            names => names.iter().copied().collect(),
        });
        if got.as_ref() != Some(&want) {
            let line = line_of(text, "```graph");
            let what = format!("`{from} → …` shows {got:?}, the tests enforce {want:?}");
            let remedy = "make the document and the table in tests/tests/tidy/graph.rs agree";
            findings.push(Finding {
                path: DOCUMENT.into(),
                line,
                what,
                remedy,
            });
        }
    }
    findings
}

/// Lines `from → to, to` between "```graph" and the end of the fence.
fn graph_in(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let inside = text.split_once("```graph\n").map_or("", |(_, rest)| rest);
    let inside = inside.split_once("```").map_or(inside, |(inside, _)| inside);
    let words = |to| {
        str::split(to, [',', ' '])
            .filter(|w| !w.is_empty() && *w != "–")
            .collect()
    };
    inside
        .lines()
        .filter_map(|line| line.split_once('→'))
        .map(|(from, to)| (from.trim(), words(to)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace]\nmembers = [\"broker\", \"journal\"]\n[workspace.dependencies]\n\
                        journal = { path = \"journal\", package = \"sunshine-journal\" }\n\
                        store = { path = \"store\", package = \"sunshine-store\" }\n";

    fn places(findings: &[Finding]) -> Vec<(&str, usize)> {
        findings.iter().map(|f| (f.path.as_str(), f.line)).collect()
    }

    fn example(broker: &str, journal: &str) -> Repository {
        Repository::example(&[
            ("Cargo.toml", ROOT),
            ("broker/Cargo.toml", broker),
            ("journal/Cargo.toml", journal),
        ])
    }

    #[test]
    fn an_edge_that_is_not_in_the_graph_is_found_in_every_table() {
        let good = example(
            "[dependencies]\njournal.workspace = true",
            "[dependencies]\nbytes = \"1\"",
        );
        assert_eq!(edges(&good), []);
        for table in [
            "dependencies",
            "dev-dependencies",
            "build-dependencies",
            "target.'cfg(unix)'.dependencies",
        ] {
            let shared = format!("[{table}]\nstore.workspace = true");
            assert_eq!(
                places(&edges(&example(&shared, ""))),
                [("broker/Cargo.toml", 2)],
                "{table}"
            );
            let direct = format!("[{table}]\n\nrecords = {{ path = \"../store\" }}");
            assert_eq!(
                places(&edges(&example("", &direct))),
                [("journal/Cargo.toml", 3)],
                "{table}"
            );
        }
    }

    #[test]
    fn a_member_outside_the_graph_is_found() {
        let root = "[workspace]\nmembers = [\"extra\"]";
        let repository = Repository::example(&[("Cargo.toml", root), ("extra/Cargo.toml", "")]);
        assert_eq!(places(&edges(&repository)), [("extra/Cargo.toml", 1)]);
    }

    #[test]
    fn a_document_that_shows_another_graph_is_found() {
        let line = |(from, to): (&str, &[&str])| match to.len() {
            0 => format!("{from} → –\n"),
            11 => format!("{from} → every part\n"),
            12 => format!("{from} → everything\n"),
            _ => format!("{from} → {}\n", to.join(", ")),
        };
        let good: String = GRAPH.into_iter().map(line).collect();
        let check = |graph: &str| {
            let text = format!("# Graph\n\n```graph\n{graph}```\nafter → this\n");
            document(&Repository::example(&[(DOCUMENT, &text)])).len()
        };
        assert_eq!(check(&good), 0);
        assert_eq!(
            check(&good.replace("broker → domain, journal", "broker → domain")),
            1
        );
        assert_eq!(
            check(&good.replace("models → domain", "models → domain, store")),
            1
        );
        assert_eq!(check(""), GRAPH.len());
    }
}
