//! What each crate must not know: whose name may appear where, in manifests and in sources.

use crate::{
    graph::EVERYTHING,
    manifests::{dependencies, members, workspace},
    repository::{Finding, Repository, line_of, member},
    rust::{NamedPath, RustFile},
};

/// Libraries that are the business of one crate, or of a few.
const KEPT_BY: [(&[&str], &[&str]); 5] = [
    (&["broker"], &["rumqttd", "mqtt_protocol_core"]),
    (&["vision"], &["ort", "tract_onnx"]),
    (
        &["camera"],
        &["retina", "oxvif", "rusty_h265", "zune_jpeg", "openh264"],
    ),
    // The simulator draws what its cameras show and encodes it.
    (
        &["camera", "simulator", "vision"],
        &["image", "rusty_h264", "fast_image_resize"],
    ),
    (
        &["store"],
        &["rusqlite", "sqlx", "libsqlite3_sys", "pco", "influxdb2"],
    ),
];

/// Libraries, and parts of the standard library, that a crate must do without.
const DENIED: [(&str, &[&str]); 10] = [
    (
        "domain",
        &[
            "tokio",
            "tokio_util",
            "serde_json",
            "tracing",
            "std::fs",
            "std::net",
            "std::process",
            "std::thread",
            "std::env",
        ],
    ),
    ("journal", &["serde_json", "rumqttc", "axum", "reqwest"]),
    ("broker", &["serde_json", "axum", "reqwest"]),
    ("ingest", &["rumqttc"]),
    ("models", &["tokio", "axum"]),
    ("camera", &["rumqttc", "sqlx"]),
    ("vision", &["rumqttc", "reqwest", "axum"]),
    ("store", &["axum", "tower", "tower_http", "hyper", "rumqttc"]),
    (
        "alerts",
        &["axum", "askama", "tower", "tower_http", "memory_serve", "rumqttc"],
    ),
    ("dashboard", &["rumqttc"]),
];

/// Why `name` has no place in the crate `here`; `None` when it has.
fn objection(here: &str, name: &str) -> Option<String> {
    if let Some((keepers, _)) = KEPT_BY
        .iter()
        .find(|(keepers, names)| !keepers.contains(&here) && names.contains(&name))
    {
        let keepers = keepers.join("` and `");
        return Some(format!("`{name}` is known to `{keepers}` only"));
    }
    let denied = DENIED
        .iter()
        .any(|(crate_, names)| *crate_ == here && names.contains(&name));
    denied.then(|| format!("`{here}` must not know `{name}`"))
}

/// No manifest names a library that its crate must not know.
pub(crate) fn manifests(repository: &Repository) -> Vec<Finding> {
    let workspace = workspace(repository);
    let mut findings = Vec::new();
    for (file, manifest) in members(repository) {
        for (table, dependency) in dependencies(&manifest, &workspace) {
            let name = dependency.package.replace('-', "_");
            if let Some(what) = objection(member(&file.path), &name) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: line_of(&file.text, &dependency.key),
                    what: format!("[{table}] {what}"),
                    remedy: "move the work to the crate that owns it and hand over a type of `domain`",
                });
            }
        }
    }
    findings
}

/// No source names one either: neither directly nor through another crate that lets it out.
pub(crate) fn sources(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        let own_modules: Vec<&str> = file.modules().into_iter().map(|(_, name)| name).collect();
        for named in file.paths() {
            for name in foreign_names(&named, &own_modules) {
                if let Some(what) = objection(member(path), &name) {
                    let remedy = "move the work to the crate that owns it and hand over a type of `domain`";
                    findings.push(Finding {
                        path: path.into(),
                        line: file.line(named.at),
                        what,
                        remedy,
                    });
                }
            }
        }
    }
    findings
}

/// The library that a path begins with, also after a crate of ours, and the part of the standard library.
fn foreign_names(path: &NamedPath, own_modules: &[&str]) -> Vec<String> {
    let mut segments = path.text.split("::");
    let first = segments.next().unwrap_or_default();
    let second = segments.next();
    match (first, second) {
        ("std", Some(second)) => vec![format!("std::{second}")],
        (ours, Some(second)) if EVERYTHING.contains(&ours) => vec![second.to_owned()],
        (own, _) if own_modules.contains(&own) => Vec::new(),
        _ => vec![first.to_owned()],
    }
}

/// Outside `server`, nothing reads the environment. A build script must; what Cargo and the crate's own
/// build script say at compile time is no environment.
pub(crate) fn environment(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, file) in repository.rust() {
        if member(path) == "server" || path.ends_with("/build.rs") {
            continue;
        }
        let text_of = |path: &str| repository.file(path).map_or("", |f| f.text.as_str());
        let build_script = text_of(&format!("{}/build.rs", member(path)));
        for at in environment_reads(file, text_of(path), build_script) {
            findings.push(Finding {
                path: path.into(),
                line: file.line(at),
                what: "the environment is read outside `server`".into(),
                remedy: "take the value as a parameter; `server` reads it once, in its configuration",
            });
        }
    }
    findings
}

fn environment_reads(file: &RustFile, text: &str, build_script: &str) -> Vec<usize> {
    let reads = ["env::var", "env::set_var", "env::remove_var"];
    let is_read = |path: &NamedPath| reads.iter().any(|r| path.text.contains(r));
    let mut found: Vec<usize> = file.paths().iter().filter(|p| is_read(p)).map(|p| p.at).collect();
    for (at, call) in file.code.match_indices("env!(") {
        let name = text[at + call.len()..].trim_start().trim_start_matches('"');
        let name = name.split('"').next().unwrap_or_default();
        let is_set = build_script.contains(&format!("cargo:rustc-env={name}="))
            || build_script.contains(&format!("cargo::rustc-env={name}="));
        if !name.starts_with("CARGO_") && name != "OUT_DIR" && !is_set {
            found.push(at);
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|f| f.line).collect()
    }

    #[test]
    fn a_manifest_that_names_what_is_not_its_own_is_found() {
        let check = |member: &str, manifest: &str| {
            let root = format!(
                "[workspace]\nmembers = [\"{member}\"]\n[workspace.dependencies]\n\
                 db = {{ package = \"sqlx\", version = \"1\" }}"
            );
            let path = format!("{member}/Cargo.toml");
            lines(&manifests(&Repository::example(&[
                ("Cargo.toml", &root),
                (&path, manifest),
            ])))
        };
        assert_eq!(check("broker", "[dependencies]\nmqtt-protocol-core = \"1\""), []);
        assert_eq!(check("store", "[dependencies]\ndb.workspace = true"), []);
        assert_eq!(check("ingest", "[dependencies]\nmqtt-protocol-core = \"1\""), [2]);
        assert_eq!(check("ingest", "[dev-dependencies]\ndb.workspace = true"), [2]);
        assert_eq!(check("dashboard", "[build-dependencies]\nort = \"2\""), [2]);
        assert_eq!(
            check("alerts", "[target.'cfg(unix)'.dependencies]\naxum = \"1\""),
            [2]
        );
        assert_eq!(
            check("domain", "[dependencies]\n\ntokio = \"1\"\nserde_json = \"1\""),
            [4, 3]
        );
    }

    #[test]
    fn a_source_that_names_what_is_not_its_own_is_found() {
        let check = |path: &str, text: &str| lines(&sources(&Repository::example(&[(path, text)])));
        assert_eq!(check("broker/src/lib.rs", "use rumqttd::Router;"), []);
        assert_eq!(check("ingest/src/lib.rs", "\nuse rumqttd::Router;"), [2]);
        assert_eq!(
            check("server/src/lib.rs", "fn f() {\n broker::rumqttd::x() }"),
            [2]
        );
        assert_eq!(check("dashboard/src/lib.rs", "fn f(x: image::RgbImage) {}"), [1]);
        assert_eq!(
            check("dashboard/src/lib.rs", "mod image;\nfn f(x: image::Picture) {}"),
            []
        );
        assert_eq!(
            check(
                "dashboard/src/lib.rs",
                "fn f(x: crate::image::Picture) {} // ort::x"
            ),
            []
        );
        assert_eq!(check("domain/src/lib.rs", "use std::{\n fmt, fs::File};"), [1]);
        assert_eq!(check("domain/src/lib.rs", "fn f() { std::net::x() }"), [1]);
        assert_eq!(check("domain/src/lib.rs", "use std::fmt;"), []);
        assert_eq!(check("journal/src/lib.rs", "use std::fs;"), []);
    }

    #[test]
    fn reading_the_environment_outside_the_server_is_found() {
        let check = |path: &str, text: &str| lines(&environment(&Repository::example(&[(path, text)])));
        assert_eq!(check("server/src/lib.rs", "fn f() { std::env::var(\"X\") }"), []);
        assert_eq!(
            check("dashboard/build.rs", "fn f() { std::env::var(\"OUT_DIR\") }"),
            []
        );
        for read in [
            "std::env::var(\"X\")",
            "env::vars()",
            "std::env::var_os(\"X\")",
            "env!(\"HOME\")",
        ] {
            assert_eq!(
                check("store/src/lib.rs", &format!("fn f() {{\n {read} }}")),
                [2],
                "{read}"
            );
        }
        assert_eq!(check("store/src/lib.rs", "use std::env::{self, var};"), [1]);
        assert_eq!(check("store/src/lib.rs", "fn f() { option_env!(\"X\") }"), [1]);
        let fine = "fn f() { env!(\"CARGO_MANIFEST_DIR\"); std::env::temp_dir(); /* env::var */ }";
        assert_eq!(check("store/src/lib.rs", fine), []);
        let set = "fn main() { println!(\"cargo::rustc-env=ASSETS={x}\") }";
        let both = "fn f() { env!(\"ASSETS\"); env!(\"OUT_DIR\");\n env!(\"ASSETS_2\") }";
        let files = [("dashboard/build.rs", set), ("dashboard/src/lib.rs", both)];
        assert_eq!(lines(&environment(&Repository::example(&files))), [2]);
    }
}
