//! Files that are refused, and what is said of them.

use std::fs;

use sunshine_models::{Catalog, ModelError, Outline, OutlineError};

use crate::{folder, sound};

#[test]
fn what_does_not_fit_its_card_is_refused_with_the_reason() {
    let catalog = sound("tests/broken");
    for (name, reason) in [
        (
            "external_weight",
            "the tensor output_table keeps its numbers outside the file",
        ),
        (
            "external_constant",
            "the tensor far keeps its numbers outside the file",
        ),
        (
            "external_in_branch",
            "the tensor inner keeps its numbers outside the file",
        ),
        ("nested_too_deep", "graphs lie within graphs more than 8 deep"),
        (
            "inflated",
            "the tensor huge says it has more numbers than the file holds",
        ),
        (
            "wrong_labels",
            "output is [1, 126, 9] in the file; by the card it has to be [1 or N, 126, 8]",
        ),
        ("wrong_cells", "output is [1, 125, 8] in the file"),
        (
            "wrong_size",
            "input is [1, 3, 96, 64] in the file; by the card it has to be [1 or N, 3, 64, 96]",
        ),
        ("wrong_batch", "input is [4, 3, 64, 96] in the file"),
        ("wrong_input_type", "input is u8 in the file and has to be f32"),
        (
            "wrong_input_name",
            "the file's input is called picture, the card's input",
        ),
        (
            "wrong_output_type",
            "output is type 11 of ONNX in the file and has to be f32",
        ),
        (
            "wrong_output_name",
            "the file has no output called output; it has other",
        ),
        ("no_tensor", "output is no tensor in the file"),
        ("two_inputs", "the file has 2 inputs"),
        ("no_opset", "the file names no opset of ONNX"),
        ("no_graph", "the file holds no graph"),
        ("truncated", "the file is no ONNX model or is damaged"),
        ("no_model", "the file is no ONNX model or is damaged"),
        ("changed", "the file's SHA-256 begins with "),
    ] {
        let card = catalog.by_name(name).unwrap();
        let error = catalog.load(card).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: {reason}")), "{error}");
        assert!(
            error.contains("; ") && error.len() < 400,
            "{error} names no remedy"
        );
    }
}

#[test]
fn what_is_odd_but_sound_is_loaded() {
    let catalog = sound("tests/broken");
    for name in ["nested", "old_weights", "free_shape", "nan_scores"] {
        let model = catalog.load(catalog.by_name(name).unwrap()).unwrap();
        assert_eq!(model.outline.inputs.len(), 1, "{name}: weights are no inputs");
    }
}

#[test]
fn a_card_may_fix_a_size_that_the_file_leaves_free_but_not_free_one_that_it_fixes() {
    let dir = tempfile::tempdir().unwrap();
    let changed = |place: &str, file: &str, from: &str, to: &str| {
        let manifest = fs::read_to_string(folder(place).join("manifest.toml")).unwrap();
        fs::write(dir.path().join("manifest.toml"), manifest.replace(from, to)).unwrap();
        fs::copy(folder(place).join(file), dir.path().join(file)).unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        let card = catalog.models().iter().find(|card| card.file == file).unwrap();
        catalog.load(card).map(|model| model.sha256)
    };
    let free = changed(
        "tests/graphs",
        "yolov8.onnx",
        "pad = 114",
        "pad = 114\nmultiple_of = 32",
    );
    let reason = free.unwrap_err().to_string();
    assert!(reason.contains("input is [1, 3, 64, 96] in the file"), "{reason}");
    assert!(
        reason.contains("it has to be [1 or N, 3, free, free]"),
        "{reason}"
    );
    let fixed = changed("", "person_nanodet_g_i8.onnx", "multiple_of = 32\n", "");
    assert!(fixed.is_ok(), "{fixed:?}");
}

#[test]
fn a_file_that_is_missing_too_large_or_no_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let from = folder("tests/graphs");
    fs::copy(from.join("manifest.toml"), dir.path().join("manifest.toml")).unwrap();
    fs::copy(from.join("yolox.onnx"), dir.path().join("yolox.onnx")).unwrap();
    fs::create_dir(dir.path().join("yolov5.onnx")).unwrap();
    let load = |max_bytes, name| {
        let catalog = Catalog::open(dir.path()).unwrap().with_max_bytes(max_bytes);
        catalog
            .load(catalog.by_name(name).unwrap())
            .map(|model| model.bytes.len())
    };
    let size = fs::metadata(from.join("yolox.onnx")).unwrap().len();
    assert_eq!(load(size, "yolox").unwrap() as u64, size);
    assert!(
        matches!(load(size - 1, "yolox"), Err(ModelError::TooLarge { max_bytes, .. }) if max_bytes == size - 1)
    );
    assert!(matches!(load(size, "yolov5"), Err(ModelError::Read { .. })));
    assert!(matches!(load(size, "yolov8"), Err(ModelError::Read { .. })));
}

/// A field of a message, with `bytes` in it.
fn field(tag: usize, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    for mut number in [tag << 3 | 2, bytes.len()] {
        while number >= 0x80 {
            field.push(0x80 | (number & 0x7f) as u8);
            number >>= 7;
        }
        field.push(number as u8);
    }
    field.extend_from_slice(bytes);
    field
}

#[test]
fn a_file_of_countless_small_parts_is_refused() {
    let (graph, node, tensor) = (|inside: &[u8]| field(7, inside), field(1, &[]), field(5, &[]));
    let input = field(11, &[]);
    let attribute_of_tensors = field(1, &field(5, &field(10, &[]).repeat(60_000)));
    for (file, what) in [
        (graph(&node.repeat(60_000)), "nodes"),
        (graph(&tensor.repeat(60_000)), "tensors"),
        (graph(&input.repeat(60_000)), "inputs"),
        (graph(&field(12, &[]).repeat(60_000)), "outputs"),
        (graph(&attribute_of_tensors), "tensors"),
        (field(8, &[]).repeat(100), "opsets"),
        (
            graph(&field(5, &[0x08, 0x00].repeat(9))),
            "dimensions of a tensor",
        ),
        (graph(&field(5, &field(1, &[0; 9]))), "dimensions of a tensor"),
        (
            graph(&field(
                11,
                &field(2, &field(1, &field(2, &field(1, &[]).repeat(9)))),
            )),
            "dimensions of an input or output",
        ),
    ] {
        let error = Outline::read(&file).unwrap_err();
        assert!(
            matches!(error, OutlineError::TooMany { what: w, .. } if w == what),
            "{what}: {error}"
        );
    }
}

#[test]
fn external_data_is_found_wherever_a_tensor_can_be() {
    let outside = field(13, &[]);
    let said_so = [0x70, 0x01];
    for tensor in [&outside[..], &said_so] {
        let attribute = |tag, inside: &[u8]| field(1, &field(5, &field(tag, inside)));
        let inner_graph = field(5, tensor);
        for (place, file) in [
            ("weight", field(7, &field(5, tensor))),
            ("sparse weight", field(7, &field(15, &field(1, tensor)))),
            (
                "indices of a sparse weight",
                field(7, &field(15, &field(2, tensor))),
            ),
            ("attribute", field(7, &attribute(5, tensor))),
            ("list attribute", field(7, &attribute(10, tensor))),
            ("graph attribute", field(7, &attribute(6, &inner_graph))),
            ("graphs attribute", field(7, &attribute(11, &inner_graph))),
            ("sparse attribute", field(7, &attribute(22, &field(1, tensor)))),
            (
                "sparse list attribute",
                field(7, &attribute(23, &field(2, tensor))),
            ),
            ("function", field(25, &field(7, &field(5, &field(5, tensor))))),
            ("default of a function", field(25, &field(11, &field(5, tensor)))),
            ("training", field(20, &field(1, &field(5, tensor)))),
            ("training algorithm", field(20, &field(2, &field(5, tensor)))),
            (
                "second graph",
                [field(7, &[]), field(7, &field(5, tensor))].concat(),
            ),
        ] {
            let error = Outline::read(&file).unwrap_err();
            assert!(
                matches!(error, OutlineError::ExternalData { .. }),
                "{place}: {error}"
            );
        }
    }
}

#[test]
fn graphs_within_graphs_end_before_the_stack_does() {
    let mut graph = Vec::new();
    for _ in 0..20_000 {
        graph = field(1, &field(5, &field(6, &graph)));
        if graph.len() > 100_000 {
            break;
        }
    }
    assert_eq!(Outline::read(&field(7, &graph)), Err(OutlineError::TooDeep(8)));
}
