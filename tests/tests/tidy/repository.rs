//! The files that rules look at: this checkout, or a few lines written in a test.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use crate::rust::RustFile;

/// Folders that hold no source, for a checkout without git.
const IGNORED: [&str; 3] = [".git", "target", "sunshine-data"];

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
    pub(crate) remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.what, self.remedy)
    }
}

/// A text file: its path from the root of the repository, with `/`, and what it says.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The file as Rust, if it is.
    pub(crate) rust: Option<RustFile>,
}

pub(crate) struct Repository {
    pub(crate) files: Vec<File>,
}

impl Repository {
    /// Every text file of this checkout: what git tracks or would track, or, without git, what is there.
    pub(crate) fn of_this_checkout() -> Repository {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("the tests are a folder of the root");
        let mut paths = listed_by_git(root).unwrap_or_else(|| {
            let mut found = Vec::new();
            walk(root, root, &mut found);
            found
        });
        paths.sort();
        // A file that is not UTF-8 is a picture or a font; one that is gone was deleted and not yet committed.
        let read = |path: &String| Some((path.clone(), std::fs::read_to_string(root.join(path)).ok()?));
        Repository::of(paths.iter().filter_map(read))
    }

    /// A repository of these files.
    pub(crate) fn example(files: &[(&str, &str)]) -> Repository {
        Repository::of(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned())),
        )
    }

    fn of(files: impl Iterator<Item = (String, String)>) -> Repository {
        let files: Vec<File> = files
            .map(|(path, text)| {
                let rust = path.ends_with(".rs").then(|| RustFile::new(&path, &text));
                File { path, text, rust }
            })
            .collect();
        let mut repository = Repository { files };
        repository.mark_test_modules();
        repository
    }

    /// A module that its parent declares under `#[cfg(test)]` is test code as a whole.
    fn mark_test_modules(&mut self) {
        let outline = |file: &File| {
            let names = file.rust.as_ref().map(RustFile::test_modules).unwrap_or_default();
            let folder = module_folder(&file.path);
            names
                .into_iter()
                .map(move |name| format!("{folder}/{name}.rs"))
                .collect::<Vec<_>>()
        };
        let modules: Vec<String> = self.files.iter().flat_map(outline).collect();
        for file in &mut self.files {
            if let Some(rust) = &mut file.rust
                && modules.contains(&file.path)
            {
                rust.is_test = true;
            }
        }
    }

    /// The file at `path`, if there is one.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|f| f.path == path)
    }

    /// Every Rust file with its path.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &RustFile)> {
        self.files
            .iter()
            .filter_map(|f| Some((f.path.as_str(), f.rust.as_ref()?)))
    }
}

/// The folder in which the modules that `path` declares have their files.
pub(crate) fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
    match name {
        "lib.rs" | "main.rs" | "build.rs" => folder.to_owned(),
        _ => path.strip_suffix(".rs").unwrap_or(path).to_owned(),
    }
}

/// The first folder of a path: the workspace member it belongs to.
pub(crate) fn member(path: &str) -> &str {
    path.split_once('/').map_or("", |(first, _)| first)
}

/// The line, counted from 1, of the first occurrence of `needle`; 1 when there is none.
pub(crate) fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|l| l.contains(needle)).map_or(1, |n| n + 1)
}

fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").arg("-C").arg(root).args(list).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = text
        .split('\0')
        .filter(|p| !p.is_empty())
        .map(str::to_owned)
        .collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    let entries = std::fs::read_dir(folder).expect("the checkout can be read");
    let paths: Vec<PathBuf> = entries
        .map(|e| e.expect("a folder entry can be read").path())
        .collect();
    for path in paths {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !IGNORED.contains(&name.as_str()) && !name.starts_with("target-") {
            walk(root, &path, found);
        } else if path.is_file() {
            let inside = path.strip_prefix(root).expect("the walk began at the root");
            found.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_without_git_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["domain/src", "target/debug", "fuzz/target", ".ci"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in [
            "domain/src/lib.rs",
            "target/debug/x.rs",
            "fuzz/target/y.rs",
            ".ci/run",
        ] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(listed_by_git(dir.path()), None);
        let mut found = Vec::new();
        walk(dir.path(), dir.path(), &mut found);
        found.sort();
        assert_eq!(found, [".ci/run", "domain/src/lib.rs"]);
    }

    #[test]
    fn a_finding_reads_as_place_fault_and_remedy() {
        let finding = Finding {
            path: "a/src/lib.rs".into(),
            line: 3,
            what: "`x` is wrong".into(),
            remedy: "mend it",
        };
        assert_eq!(finding.to_string(), "a/src/lib.rs:3: `x` is wrong; mend it");
    }

    #[test]
    fn a_module_declared_for_tests_is_test_code() {
        let repository = Repository::example(&[
            ("a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod c;"),
            ("a/src/b.rs", "#[cfg(test)]\nmod tests;"),
            ("a/src/b/tests.rs", ""),
            ("a/src/c.rs", ""),
        ]);
        let test: Vec<&str> = repository
            .rust()
            .filter(|(_, r)| r.is_test)
            .map(|(path, _)| path)
            .collect();
        assert_eq!(test, ["a/src/b/tests.rs", "a/src/c.rs"]);
    }
}
