//! Whatever the bytes of a model file, its outline is read or refused, within the bounds of its size.
//!
//! The input edits a small real model: the first number says which, the second where. (Random bytes alone hardly ever
//! get past the first field.)
#![no_main]

use libfuzzer_sys::fuzz_target;
use models::Outline;

const MODELS: [&[u8]; 4] = [
    b"",
    include_bytes!("../../models/tests/graphs/ssd.onnx"),
    include_bytes!("../../models/tests/graphs/head.onnx"),
    include_bytes!("../../models/tests/broken/nested.onnx"),
];

fuzz_target!(|input: (u8, u16, u8, &[u8])| {
    let (which, at, replaced, bytes) = input;
    let mut model = MODELS[usize::from(which) % MODELS.len()].to_vec();
    let at = usize::from(at).min(model.len());
    let end = model.len().min(at + usize::from(replaced));
    model.splice(at..end, bytes.iter().copied());
    if let Ok(outline) = Outline::read(&model) {
        let dims = outline
            .inputs
            .iter()
            .chain(&outline.outputs)
            .filter_map(|port| port.dims.as_ref());
        assert!(dims.map(Vec::len).sum::<usize>() <= model.len());
        assert!(outline.opset > 0);
    }
});
