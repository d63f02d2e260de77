//! A library that is named and cannot be used.

use sunshine_vision::runtime::{Backend, Runtime, RuntimeOptions};

#[test]
fn a_library_that_cannot_be_loaded_is_named_and_the_built_in_one_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libonnxruntime.so");
    std::fs::write(&library, "not a library").unwrap();
    let options = RuntimeOptions {
        library: Some(library.clone()),
        folder: None,
    };
    let runtime = Runtime::start(&options);
    assert_eq!(runtime.backend(), &Backend::Tract);
    let refused = runtime.refused().unwrap();
    assert_eq!(refused.path, library);
    assert!(refused.why.contains("failed to load"), "{}", refused.why);
}
