//! The library that runs models: ONNX Runtime where its shared library is found, tract otherwise.
//!
//! The binding keeps one environment for the whole process and cannot change the library once it is in use. So the
//! first start decides, and every later one is handed what is in force.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ort::environment::{Environment, EnvironmentBuilder};

use crate::infer::{InferError, words};

/// Where `scripts/get-onnxruntime.sh` puts the library, below the folder it is called in.
pub const LIBRARY_PLACE: &str = "onnxruntime/lib/libonnxruntime.so";

/// The library of this process; see the module.
static IN_FORCE: Mutex<Option<Runtime>> = Mutex::new(None);

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
    /// tract, built in: it needs nothing installed, and is 5 to 10 times slower.
    Tract,
}

impl Backend {
    /// What is lost for want of ONNX Runtime, and how to have it; `None` when nothing is lost.
    #[must_use]
    pub fn slow_down(&self) -> Option<&'static str> {
        match self {
            Backend::OnnxRuntime { .. } => None,
            Backend::Tract => Some(
                "the built-in library runs models 5 to 10 times slower than ONNX Runtime (a picture of 416 points \
                 takes about 140 ms instead of 15 ms); run scripts/get-onnxruntime.sh once to have it",
            ),
        }
    }

    /// Whether models with 8-bit whole numbers run, and run faster. tract cannot run all of them.
    #[must_use]
    pub fn prefers_int8(&self) -> bool {
        matches!(self, Backend::OnnxRuntime { .. })
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
    environment: Arc<Environment>,
}

impl Runtime {
    /// Sets the library up: ONNX Runtime when it is found and can be used, tract otherwise. A second call in the
    /// same process answers with what the first set up, whatever its options are. Blocks while the library is read.
    ///
    /// # Errors
    /// [`InferError::Runtime`] when neither library can be set up, which is no fault of the options.
    pub fn start(options: &RuntimeOptions) -> Result<Runtime, InferError> {
        let mut in_force = IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*in_force {
            return Ok(runtime.clone());
        }
        let runtime = set_up(options)?;
        Ok(in_force.insert(runtime).clone())
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

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }
}

fn set_up(options: &RuntimeOptions) -> Result<Runtime, InferError> {
    let mut refused = None;
    if let Some(path) = library(options) {
        match onnx_runtime(&path) {
            Ok((version, environment)) => {
                return Ok(Runtime {
                    backend: Backend::OnnxRuntime { version, path },
                    refused,
                    environment: Arc::new(environment),
                });
            }
            Err(why) => refused = Some(RefusedLibrary { path, why }),
        }
    }
    // Nothing of the binding may be called before this but `init_from`: it would look for a library by itself and
    // panic when there is none.
    if !ort::set_api(ort_tract::api()) {
        let why = refused.map_or_else(|| "another library is in use".to_owned(), |refused| refused.why);
        return Err(InferError::Runtime(why));
    }
    let environment = build(ort::init()).map_err(InferError::Runtime)?;
    Ok(Runtime {
        backend: Backend::Tract,
        refused,
        environment: Arc::new(environment),
    })
}

/// The library to try: the one that is named, else the one at the usual place, if there is one.
fn library(options: &RuntimeOptions) -> Option<PathBuf> {
    if let Some(named) = &options.library {
        return Some(named.clone());
    }
    let usual = options.folder.as_ref()?.join(LIBRARY_PLACE);
    usual.exists().then_some(usual)
}

fn onnx_runtime(path: &Path) -> Result<(String, Environment), String> {
    // A relative path would be looked for beside the executable, and a bare name in the system's folders.
    let path = std::path::absolute(path).map_err(|error| words(&error))?;
    if !path.is_file() {
        return Err("there is no such file".to_owned());
    }
    // The binding asserts what a sound library does; one that only looks like it must not end the process.
    let started = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(&path).map_err(|error| words(&error))?;
        let environment = build(builder)?;
        Ok((version(&path, ort::info()), environment))
    }));
    started.unwrap_or_else(|_panic| Err("it does not answer as ONNX Runtime does".to_owned()))
}

fn build(builder: EnvironmentBuilder) -> Result<Environment, String> {
    let builder = builder.with_name("sunshine").with_telemetry(false);
    builder.build().map_err(|error| words(&error))
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
        assert!(fast.prefers_int8() && !Backend::Tract.prefers_int8());
    }
}
