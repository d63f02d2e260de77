//! The manifests and the lock file: one binary, one set of lints, one of each native library.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::repository::{File, Finding, Repository, line_of, member};

/// A dependency as a manifest names it.
pub(crate) struct Dependency {
    /// The name in the manifest: what sources call it, up to `-` and `_`.
    pub(crate) key: String,
    /// The package that stands behind it.
    pub(crate) package: String,
    /// The folder it lies in, for one of ours.
    pub(crate) folder: Option<String>,
}

/// The workspace's members, with their manifests.
pub(crate) fn members(repository: &Repository) -> Vec<(&File, Table)> {
    let root = workspace(repository);
    let listed = root
        .get("members")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let manifest = |name: &Value| {
        let file = repository.file(&format!("{}/Cargo.toml", name.as_str()?))?;
        Some((file, parse(file)))
    };
    listed.iter().filter_map(manifest).collect()
}

/// Everything that a manifest depends on, in whatever table, with the name of the table.
pub(crate) fn dependencies(manifest: &Table, workspace: &Table) -> Vec<(&'static str, Dependency)> {
    let shared = workspace.get("dependencies").and_then(Value::as_table);
    let mut found = Vec::new();
    for (table_name, table) in dependency_tables(manifest) {
        for (key, value) in table {
            let is_shared = value.get("workspace").and_then(Value::as_bool) == Some(true);
            let value = shared
                .and_then(|s| s.get(key))
                .filter(|_| is_shared)
                .unwrap_or(value);
            let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
            let folder = text("path").and_then(|p| p.rsplit('/').next().map(str::to_owned));
            let package = text("package").unwrap_or_else(|| key.clone());
            found.push((
                table_name,
                Dependency {
                    key: key.clone(),
                    package,
                    folder,
                },
            ));
        }
    }
    found
}

fn dependency_tables(manifest: &Table) -> Vec<(&'static str, &Table)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let places = std::iter::once(manifest).chain(targets.filter_map(|(_, t)| t.as_table()));
    places
        .flat_map(|place| kinds.map(|kind| Some((kind, place.get(kind)?.as_table()?))))
        .flatten()
        .collect()
}

/// The `[workspace]` table of the root manifest; empty when there is none.
pub(crate) fn workspace(repository: &Repository) -> Table {
    let root = repository.file("Cargo.toml").map(parse).unwrap_or_default();
    root.get("workspace")
        .and_then(Value::as_table)
        .cloned()
        .unwrap_or_default()
}

fn parse(file: &File) -> Table {
    file.text
        .parse()
        .unwrap_or_else(|e| panic!("{} is not TOML: {e}", file.path))
}

/// One binary and no default member: so a bare `cargo run` starts the product, and a bare `cargo test`
/// covers every member.
pub(crate) fn one_binary(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    if workspace(repository).contains_key("default-members") {
        let text = &repository
            .file("Cargo.toml")
            .expect("a workspace has a root manifest")
            .text;
        let line = line_of(text, "default-members");
        let what = "`default-members` makes a bare `cargo test` skip the other members".into();
        findings.push(Finding {
            path: "Cargo.toml".into(),
            line,
            what,
            remedy: "delete it",
        });
    }
    let binaries: Vec<String> = members(repository)
        .iter()
        .flat_map(|(file, manifest)| binaries(repository, file, manifest))
        .collect();
    if binaries.len() != 1 {
        let what = format!(
            "the workspace has {} binaries: {}",
            binaries.len(),
            binaries.join(", ")
        );
        let remedy = "keep one, in `server`; make the others subcommands of it or tests";
        findings.push(Finding {
            path: "Cargo.toml".into(),
            line: 1,
            what,
            remedy,
        });
    }
    findings
}

/// The source files of a member's binaries, declared or found by cargo.
fn binaries(repository: &Repository, file: &File, manifest: &Table) -> BTreeSet<String> {
    let folder = member(&file.path);
    let declared = manifest
        .get("bin")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut found: BTreeSet<String> = declared
        .map(|bin| {
            let name = bin.get("name").and_then(Value::as_str).unwrap_or("");
            let path = bin.get("path").and_then(Value::as_str);
            path.map_or_else(
                || format!("{folder}/src/bin/{name}.rs"),
                |path| format!("{folder}/{path}"),
            )
        })
        .collect();
    let main = format!("{folder}/src/main.rs");
    let bin = format!("{folder}/src/bin/");
    found.extend(
        repository
            .rust()
            .map(|(p, _)| p.to_owned())
            .filter(|p| *p == main || p.starts_with(&bin)),
    );
    found
}

/// A member that does not take the workspace's lints is not checked by them.
pub(crate) fn lints(repository: &Repository) -> Vec<Finding> {
    let takes = |manifest: &Table| manifest.get("lints")?.get("workspace")?.as_bool();
    members(repository)
        .into_iter()
        .filter(|(_, manifest)| takes(manifest) != Some(true))
        .map(|(file, _)| Finding {
            path: file.path.clone(),
            line: 1,
            what: "the member has lints of its own or none".into(),
            remedy: "add `[lints]` with `workspace = true`",
        })
        .collect()
}

/// The client of InfluxDB 2, which the owner of this product named, is built on an older HTTP client with an older TLS.
/// Whoever else would come to use that is found: it is there for these alone.
const OLDER_HTTP: (&str, &str) = ("reqwest", "0.11");
const OLDER_HTTP_IS_FOR: [&str; 2] = ["influxdb2", "sunshine-store"];

/// Two SQLites in one process corrupt each other's locks, and two TLS stacks are twice the patching (the one that
/// [`OLDER_HTTP`] brings set aside); a git dependency can vanish.
pub(crate) fn lock_file(repository: &Repository) -> Vec<Finding> {
    let Some(file) = repository.file("Cargo.lock") else {
        let what = "there is no lock file".into();
        return vec![Finding {
            path: "Cargo.lock".into(),
            line: 1,
            what,
            remedy: "commit it",
        }];
    };
    let lock = parse(file);
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let field =
        |package: &Value, name: &str| package.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut findings = Vec::new();
    let mut report = |needle: &str, what, remedy| {
        findings.push(Finding {
            path: file.path.clone(),
            line: line_of(&file.text, needle),
            what,
            remedy,
        });
    };
    for package in &packages {
        let source = field(package, "source");
        if source.starts_with("git+") {
            let what = format!("`{}` comes from git", field(package, "name"));
            report(&source, what, "use a published version");
        }
    }
    for (name, is_exact, at_least) in [("libsqlite3-sys", true, 1), ("rustls", false, 0)] {
        let of_name = packages
            .iter()
            .filter(|p| field(p, "name") == name && !is_older_http(&packages, p));
        let versions: BTreeSet<String> = of_name
            .map(|p| field(p, "version"))
            .map(|version| if is_exact { version } else { compatible(&version) })
            .collect();
        if versions.len() > 1 || versions.len() < at_least {
            let what = format!("`{name}` is there in {} versions: {versions:?}", versions.len());
            report(
                &format!("name = \"{name}\""),
                what,
                "align the dependencies that ask for it",
            );
        }
    }
    if let Some(others) = strangers_to_older_http(&packages) {
        report(
            "name = \"reqwest\"",
            format!("the HTTP client of InfluxDB is used by {others} too"),
            "use the newer one",
        );
    }
    findings
}

/// Who uses [`OLDER_HTTP`] besides those whom it is for.
fn strangers_to_older_http(packages: &[Value]) -> Option<String> {
    let mut others: Vec<&str> = packages
        .iter()
        .filter(|package| is_of_older_http(package))
        .flat_map(|package| dependents(packages, package))
        .filter_map(|user| user.get("name").and_then(Value::as_str))
        .filter(|name| !OLDER_HTTP_IS_FOR.contains(name))
        .collect();
    others.sort_unstable();
    (!others.is_empty()).then(|| others.join(", "))
}

fn is_of_older_http(package: &Value) -> bool {
    let text = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or("");
    (text("name"), compatible(text("version")).as_str()) == OLDER_HTTP
}

/// Whether everything that needs `package` is part of [`OLDER_HTTP`].
fn is_older_http(packages: &[Value], package: &Value) -> bool {
    if is_of_older_http(package) {
        return true;
    }
    let users = dependents(packages, package);
    !users.is_empty() && users.iter().all(|user| is_older_http(packages, user))
}

/// The packages of a lock file that depend on `package`, which it names with the version where there are several.
fn dependents<'p>(packages: &'p [Value], package: &Value) -> Vec<&'p Value> {
    let text = |name: &str| package.get(name).and_then(Value::as_str).unwrap_or("");
    let (name, version) = (text("name"), text("version"));
    let is_this = |wanted: &str| match wanted.split_once(' ') {
        Some((wanted, of)) => wanted == name && of.split(' ').next() == Some(version),
        None => wanted == name,
    };
    let needs = |user: &&Value| {
        let wanted = user.get("dependencies").and_then(Value::as_array);
        wanted.is_some_and(|all| all.iter().filter_map(Value::as_str).any(is_this))
    };
    packages.iter().filter(needs).collect()
}

/// The part of a version within which Cargo would have chosen one: `1` of `1.2.3`, `0.23` of `0.23.4`.
fn compatible(version: &str) -> String {
    let parts: Vec<&str> = version.split('.').collect();
    let length = if parts[0] == "0" { 2 } else { 1 };
    parts[..length.min(parts.len())].join(".")
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
    fn a_second_binary_and_default_members_are_found() {
        let manifest = "[[bin]]\nname = \"sunshine\"\npath = \"src/main.rs\"";
        let files = [
            ("Cargo.toml", ROOT),
            ("broker/Cargo.toml", ""),
            ("journal/Cargo.toml", manifest),
        ];
        let main = ("journal/src/main.rs", "fn main() {}");
        let with =
            |more: &[(&str, &str)]| one_binary(&Repository::example(&[&files[..], &[main], more].concat()));
        assert_eq!(with(&[]), []);
        let second = with(&[("broker/src/bin/tool.rs", "fn main() {}")]);
        assert_eq!(second.len(), 1);
        assert!(second[0].what.contains("broker/src/bin/tool.rs"), "{}", second[0]);
        assert_eq!(with(&[("broker/src/main.rs", "fn main() {}")]).len(), 1);
        let root =
            format!("{ROOT}[workspace.metadata]\n").replace("members =", "default-members = []\nmembers =");
        let repository = Repository::example(&[("Cargo.toml", &root), files[1], files[2], main]);
        assert_eq!(places(&one_binary(&repository)), [("Cargo.toml", 2)]);
    }

    #[test]
    fn a_member_without_the_workspace_lints_is_found() {
        let good = "[lints]\nworkspace = true";
        assert_eq!(lints(&example(good, good)), []);
        assert_eq!(
            places(&lints(&example("", "[lints.rust]\nunsafe_code = \"deny\""))),
            [("broker/Cargo.toml", 1), ("journal/Cargo.toml", 1)]
        );
    }

    #[test]
    fn git_sources_and_doubled_libraries_are_found() {
        let package = |name: &str, version: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{source}\"\n")
        };
        let check = |more: &[String]| {
            let sqlite = package("libsqlite3-sys", "0.37.0", "registry+x");
            lock_file(&Repository::example(&[(
                "Cargo.lock",
                &(sqlite + &more.concat()),
            )]))
        };
        let rustls = |version: &str| package("rustls", version, "registry+x");
        assert_eq!(check(&[rustls("0.23.1"), rustls("0.23.2")]), []);
        assert_eq!(check(&[rustls("0.22.4"), rustls("0.23.2")])[0].line, 6);
        assert_eq!(check(&[rustls("0.23.4"), rustls("1.0.0")]).len(), 1);
        let user = |name: &str, version: &str, needs: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\ndependencies = [\"{needs}\"]\n")
        };
        let older = [
            rustls("0.21.12"),
            rustls("0.23.4"),
            user("tokio-rustls", "0.24.1", "rustls 0.21.12"),
            user("reqwest", "0.11.27", "tokio-rustls"),
            user("influxdb2", "0.5.2", "reqwest 0.11.27"),
            user("reqwest", "0.13.5", "rustls 0.23.4"),
        ];
        assert_eq!(check(&older), []);
        let shared = [&older[..], &[user("other", "1.0.0", "reqwest 0.11.27")]].concat();
        assert_eq!(check(&shared).len(), 1, "somebody else uses the older client");
        let beside = [&older[..], &[user("other", "1.0.0", "rustls 0.21.12")]].concat();
        assert_eq!(
            check(&beside).len(),
            1,
            "the older TLS is there for another reason"
        );
        assert_eq!(
            check(&[package("libsqlite3-sys", "0.37.1", "registry+x")]).len(),
            1
        );
        assert_eq!(
            places(&check(&[package("x", "1.0.0", "git+https://example.org/x")])),
            [("Cargo.lock", 8)]
        );
        assert_eq!(lock_file(&Repository::example(&[("Cargo.lock", "")])).len(), 1);
        assert_eq!(lock_file(&Repository::example(&[])).len(), 1);
    }
}
