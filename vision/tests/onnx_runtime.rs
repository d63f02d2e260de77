//! The models on ONNX Runtime, where `scripts/get-onnxruntime.sh` has put it. Without it these tests say so and pass.

use std::path::Path;

use sunshine_vision::runtime::{Backend, LIBRARY_PLACE, Runtime, RuntimeOptions};

#[path = "backend/scenes.rs"]
mod scenes;
#[path = "backend/seeing.rs"]
mod seeing;

fn runtime() -> Option<Runtime> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    if !folder.join(LIBRARY_PLACE).exists() {
        eprintln!("no {LIBRARY_PLACE}: run scripts/get-onnxruntime.sh to have these tests run");
        return None;
    }
    let options = RuntimeOptions {
        library: None,
        folder: Some(folder.into()),
    };
    Some(Runtime::start(&options).unwrap())
}

#[test]
fn the_library_at_its_place_is_used_and_stays_in_force() {
    let Some(runtime) = runtime() else { return };
    let Backend::OnnxRuntime { version, path } = runtime.backend() else {
        panic!("{:?}", runtime.refused());
    };
    assert!(path.ends_with(LIBRARY_PLACE));
    assert!(!version.is_empty());
    assert_eq!(runtime.backend().slow_down(), None);
    let second = Runtime::start(&RuntimeOptions::default()).unwrap();
    assert_eq!(second.backend(), runtime.backend());
}
