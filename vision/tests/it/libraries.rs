//! The libraries that models run on. ONNX Runtime is tried where `scripts/get-onnxruntime.sh` has put it; without it
//! these tests say so, and try the built-in one alone.

use std::path::Path;

use sunshine_vision::runtime::{Backend, LIBRARY_PLACE, Runtime, RuntimeOptions};

/// Every library that there is.
pub(crate) fn runtimes() -> Vec<Runtime> {
    let tract = Runtime::start(&RuntimeOptions::default());
    std::iter::once(tract).chain(onnx_runtime()).collect()
}

fn onnx_runtime() -> Option<Runtime> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if !folder.join(LIBRARY_PLACE).exists() {
        eprintln!("no {LIBRARY_PLACE}: run scripts/get-onnxruntime.sh to have it tested too");
        return None;
    }
    let options = RuntimeOptions {
        library: None,
        folder: Some(folder.into()),
    };
    Some(Runtime::start(&options))
}

#[test]
fn without_onnx_runtime_the_built_in_library_is_used_and_said_to_be_slow() {
    let runtime = Runtime::start(&RuntimeOptions::default());
    assert_eq!(runtime.backend(), &Backend::Tract);
    assert_eq!(runtime.refused(), None);
    assert!(runtime.backend().slow_down().is_some());
}

#[test]
fn the_library_at_its_place_is_used_and_stays_in_force() {
    let Some(runtime) = onnx_runtime() else { return };
    let Backend::OnnxRuntime { version, path } = runtime.backend() else {
        panic!("{:?}", runtime.refused());
    };
    assert!(path.ends_with(LIBRARY_PLACE));
    assert!(!version.is_empty());
    assert_eq!(runtime.backend().slow_down(), None);
    let another = RuntimeOptions {
        library: Some("/nowhere/libonnxruntime.so".into()),
        folder: None,
    };
    assert_eq!(Runtime::start(&another).backend(), runtime.backend());
}
