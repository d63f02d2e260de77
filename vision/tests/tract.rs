//! The models on the library that is built in.

use sunshine_vision::runtime::{Backend, Runtime, RuntimeOptions};

#[path = "backend/scenes.rs"]
mod scenes;
#[path = "backend/seeing.rs"]
mod seeing;

fn runtime() -> Option<Runtime> {
    Some(Runtime::start(&RuntimeOptions::default()).unwrap())
}

#[test]
fn without_onnx_runtime_the_built_in_library_is_used_and_said_to_be_slow() {
    let runtime = runtime().unwrap();
    assert_eq!(runtime.backend(), &Backend::Tract);
    assert_eq!(runtime.refused(), None);
    assert!(runtime.backend().slow_down().is_some());
}
