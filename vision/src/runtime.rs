//! The library that runs models: ONNX Runtime where its shared library is found, tract otherwise.
//!
//! The binding of ONNX Runtime keeps one environment for the whole process and cannot change the library once it is in
//! use. So the first start that finds one decides, and later ones use the same.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ort::environment::Environment;

use crate::infer::words;

/// Where `scripts/get-onnxruntime.sh` puts the library, below the folder it is called in.
pub const LIBRARY_PLACE: &str = "onnxruntime/lib/libonnxruntime.so";

/// ONNX Runtime in this process; see the module.
static IN_FORCE: Mutex<Option<Loaded>> = Mutex::new(None);

#[derive(Clone)]
struct Loaded {
    path: PathBuf,
    version: String,
    environment: Arc<Environment>,
}

/// Where ONNX Runtime may be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The shared library itself. When it is given nothing else is tried.
    pub library: Option<PathBuf>,
    /// A folder that may hold [`LIBRARY_PLACE`].
    pub folder: Option<PathBuf>,
}

/// Which library runs models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// ONNX Runtime.
    OnnxRuntime {
        /// Its version, as it tells it.
        version: String,
        /// Where it was found.
        path: PathBuf,
    },
    /// tract, built in: it needs nothing installed, and is slow (see [`Backend::slow_down`]).
    Tract,
}

impl Backend {
    /// What is lost for want of ONNX Runtime, and how to have it; `None` when nothing is lost.
    #[must_use]
    pub fn slow_down(&self) -> Option<&'static str> {
        match self {
            Backend::OnnxRuntime { .. } => None,
            Backend::Tract => Some(
                "the built-in library finds people 5 to 10 times slower than ONNX Runtime (80 to 140 ms a picture \
                 instead of 9 to 15 ms) and judges faces 40 times slower; run scripts/get-onnxruntime.sh once to \
                 have it",
            ),
        }
    }

    /// Whether models with 8-bit whole numbers run, and run faster here: tract does not run all of them, and a
    /// processor without instructions for them is no faster.
    #[must_use]
    pub fn prefers_int8(&self) -> bool {
        matches!(self, Backend::OnnxRuntime { .. }) && multiplies_bytes()
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Backend::OnnxRuntime { version, path } => {
                write!(f, "ONNX Runtime {version} from {}", path.display())
            }
            Backend::Tract => f.write_str("tract"),
        }
    }
}

/// Whether the processor multiplies and adds bytes in one step.
#[cfg(target_arch = "x86_64")]
fn multiplies_bytes() -> bool {
    std::is_x86_feature_detected!("avx512vnni") || std::is_x86_feature_detected!("avxvnni")
}

/// Whether the processor multiplies and adds bytes in one step. Not measured on others than x86-64.
#[cfg(not(target_arch = "x86_64"))]
fn multiplies_bytes() -> bool {
    false
}

/// A library that was found and could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLibrary {
    /// Where it lies.
    pub path: PathBuf,
    /// Why it was refused: too old, not loadable, no ONNX Runtime.
    pub why: String,
}

/// The library that runs models, set up.
#[derive(Debug, Clone)]
pub struct Runtime {
    backend: Backend,
    refused: Option<RefusedLibrary>,
    /// ONNX Runtime's; tract has none.
    environment: Option<Arc<Environment>>,
}

impl Runtime {
    /// Sets the library up: ONNX Runtime when it is found and can be used, tract otherwise, which always can. Where the
    /// process uses an ONNX Runtime already, that one stays in force. Blocks while the library is read.
    #[must_use]
    pub fn start(options: &RuntimeOptions) -> Runtime {
        let tract = |refused| Runtime {
            backend: Backend::Tract,
            refused,
            environment: None,
        };
        let Some(path) = library(options) else {
            return tract(None);
        };
        match onnx_runtime(&path) {
            Ok(Loaded {
                path,
                version,
                environment,
            }) => Runtime {
                backend: Backend::OnnxRuntime { version, path },
                refused: None,
                environment: Some(environment),
            },
            Err(why) => tract(Some(RefusedLibrary { path, why })),
        }
    }

    /// Which library is in force.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The library that was found and refused, if one was.
    #[must_use]
    pub fn refused(&self) -> Option<&RefusedLibrary> {
        self.refused.as_ref()
    }

    pub(crate) fn environment(&self) -> Option<&Environment> {
        self.environment.as_deref()
    }
}

/// The library to try: the one that is named, else the one at the usual place, if there is one.
fn library(options: &RuntimeOptions) -> Option<PathBuf> {
    if let Some(named) = &options.library {
        return Some(named.clone());
    }
    let usual = options.folder.as_ref()?.join(LIBRARY_PLACE);
    usual.exists().then_some(usual)
}

fn onnx_runtime(path: &Path) -> Result<Loaded, String> {
    let mut in_force = IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = &*in_force {
        return Ok(loaded.clone());
    }
    // A relative path would be looked for beside the executable, and a bare name in the system's folders.
    let path = std::path::absolute(path).map_err(|error| words(&error))?;
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    // The binding asserts what a sound library does; one that only looks like it must not end the process. And
    // nothing else of the binding may be called before: it would look for a library by itself and panic without one.
    let started = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(&path).map_err(|error| words(&error))?;
        let builder = builder.with_name("sunshine").with_telemetry(false);
        let environment = builder.build().map_err(|error| words(&error))?;
        Ok((version(&path, ort::info()), environment))
    }));
    let (version, environment) =
        started.unwrap_or_else(|_panic| Err("it does not answer as ONNX Runtime does".to_owned()))?;
    let loaded = Loaded {
        path,
        version,
        environment: Arc::new(environment),
    };
    Ok(in_force.insert(loaded).clone())
}

/// The version of a library: what follows `.so.` in the name of the file, or else the branch or commit within
/// `ORT Build Info: git-branch=rel-1.31.1, git-commit-id=6af1a93, …`, since it tells its number nowhere else.
fn version(path: &Path, info: &str) -> String {
    // The usual place is a link to a file that is named by its version.
    let file = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let told = |key: &str| {
        let value = info.split(key).nth(1)?;
        let value = value.split([',', ' ']).next()?;
        Some(value.to_owned()).filter(|value| !value.is_empty() && value != "HEAD")
    };
    let branch = || told("git-branch=rel-");
    let commit = || told("git-commit-id=").map(|commit| format!("of commit {commit}"));
    let suffix = name.split_once(".so.").map(|(_, suffix)| suffix.to_owned());
    let version = suffix.or_else(branch).or_else(commit).unwrap_or_default();
    version.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_library_tells() {
        let cases = [
            ("/x/libonnxruntime.so.1.31.1", "git-branch=HEAD", "1.31.1"),
            (
                "/x/libonnxruntime.so",
                "ORT Build Info: git-branch=rel-1.24.4, git-commit-id=26250ae, build type=Release",
                "1.24.4",
            ),
            (
                "/x/libonnxruntime.so",
                "ORT Build Info: git-branch=HEAD, git-commit-id=6af1a93, build type=Release",
                "of commit 6af1a93",
            ),
            ("/x/libonnxruntime.so", "", ""),
        ];
        for (path, info, want) in cases {
            assert_eq!(version(Path::new(path), info), want);
        }
    }

    #[test]
    fn a_named_library_is_the_only_one_tried() {
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join(LIBRARY_PLACE);
        let options = |named: Option<&str>| RuntimeOptions {
            library: named.map(PathBuf::from),
            folder: Some(folder.path().into()),
        };
        assert_eq!(library(&options(None)), None);
        std::fs::create_dir_all(usual.parent().unwrap()).unwrap();
        std::fs::write(&usual, "").unwrap();
        assert_eq!(library(&options(None)), Some(usual));
        assert_eq!(library(&options(Some("/x.so"))), Some("/x.so".into()));
    }

    #[test]
    fn only_the_slow_library_is_complained_of() {
        assert!(Backend::Tract.slow_down().unwrap().contains("get-onnxruntime.sh"));
        let fast = Backend::OnnxRuntime {
            version: "1.31.1".into(),
            path: "/lib.so".into(),
        };
        assert_eq!(fast.slow_down(), None);
        assert_eq!(fast.prefers_int8(), multiplies_bytes());
        assert!(!Backend::Tract.prefers_int8());
    }
}
