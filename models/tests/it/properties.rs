//! Whatever the bytes: no panic, no disagreement with a reader that was written from the format's definition.

use std::{fs, path::Path};

use proptest::{prelude::*, sample::Index};
use prost::Message;
use sunshine_models::{Catalog, Dim, Element, Outline};

use crate::folder;

/// What an ONNX file says of its inputs and outputs, by the definitions of `onnx.proto`.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(bytes = "vec", tag = "8")]
    name: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfoProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    element: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimProto>,
}

#[derive(Clone, PartialEq, Message)]
struct DimProto {
    #[prost(oneof = "DimValue", tags = "1, 2")]
    value: Option<DimValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum DimValue {
    #[prost(int64, tag = "1")]
    Size(i64),
    #[prost(bytes, tag = "2")]
    Name(Vec<u8>),
}

type Told = (String, Option<i32>, Option<Vec<u64>>);

/// Name, type and dimensions of each port, by the definitions; 0 for a dimension that is free.
fn defined(ports: &[ValueInfoProto]) -> Vec<Told> {
    let told = |port: &ValueInfoProto| {
        let tensor = port.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
        let size = |dim: &DimProto| match dim.value {
            Some(DimValue::Size(size)) => u64::try_from(size).unwrap_or_default(),
            _ => 0,
        };
        let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
        let dims = shape.map(|shape| shape.dim.iter().map(size).collect());
        (
            port.name.clone(),
            tensor.map(|tensor| tensor.element).filter(|e| *e != 0),
            dims,
        )
    };
    ports.iter().map(told).collect()
}

/// The same, as the outline has it.
fn outlined(ports: &[sunshine_models::Port]) -> Vec<Told> {
    let told = |port: &sunshine_models::Port| {
        let element = match port.element {
            Element::F32 => 1,
            Element::U8 => 2,
            Element::I32 => 6,
            Element::I64 => 7,
            Element::Other(code) => code as i32,
        };
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Free => 0,
        };
        let dims = port.dims.as_ref().map(|dims| dims.iter().map(size).collect());
        (port.name.clone(), Some(element).filter(|e| *e != 0), dims)
    };
    ports.iter().map(told).collect()
}

/// Whether the outline of `bytes`, if there is one, says what the definitions say.
fn agrees(bytes: &[u8]) -> Result<bool, TestCaseError> {
    let Ok(outline) = Outline::read(bytes) else {
        return Ok(false);
    };
    let graph = ModelProto::decode(bytes)
        .map_err(|e| TestCaseError::fail(e.to_string()))?
        .graph
        .unwrap_or_default();
    let weights: Vec<&[u8]> = graph.initializer.iter().map(|t| &t.name[..]).collect();
    let mut inputs = defined(&graph.input);
    inputs.retain(|(name, ..)| !weights.contains(&name.as_bytes()));
    prop_assert_eq!(outlined(&outline.inputs), inputs);
    prop_assert_eq!(outlined(&outline.outputs), defined(&graph.output));
    Ok(true)
}

fn graphs() -> Vec<Vec<u8>> {
    let read = |kind| {
        fs::read(folder(&format!("tests/graphs/{kind}.onnx"))).expect("the graph is part of this crate")
    };
    ["ssd", "head", "detr", "blazeface"].map(read).into()
}

#[test]
fn every_file_here_is_read_as_its_format_is_defined() {
    let mut read = 0;
    for place in ["", "tests/graphs", "tests/broken"] {
        for entry in fs::read_dir(folder(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "onnx") {
                read += usize::from(agrees(&fs::read(&path).unwrap()).unwrap());
            }
        }
    }
    assert!(read >= 7 + 11 + 10, "{read} files were read");
}

/// One change of a file.
#[derive(Debug, Clone)]
enum Edit {
    Set(Index, u8),
    Cut(Index),
    Drop(Index, u8),
    Insert(Index, Vec<u8>),
    Repeat(Index, u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        8 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => any::<Index>().prop_map(Edit::Cut),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Edit::Drop(at, count)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, new)| Edit::Insert(at, new)),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, count)| Edit::Repeat(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    if bytes.is_empty() {
        return;
    }
    let end = |at: usize, count: u8| bytes.len().min(at + usize::from(count));
    match edit {
        Edit::Set(at, byte) => *at.get_mut(bytes) = *byte,
        Edit::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Edit::Drop(at, count) => {
            let at = at.index(bytes.len());
            let end = end(at, *count);
            bytes.drain(at..end);
        }
        Edit::Insert(at, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Edit::Repeat(at, count) => {
            let at = at.index(bytes.len());
            let again = bytes[at..end(at, *count)].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

/// Opens and loads whatever a folder holds; what is refused says so in a few words.
fn open(dir: &Path) -> Result<(), TestCaseError> {
    match Catalog::open(dir) {
        Ok(catalog) => {
            for card in catalog.models() {
                if let Err(error) = catalog.load(card) {
                    prop_assert!(error.to_string().len() < 1000, "{}", error);
                }
            }
            for refused in catalog.refused() {
                prop_assert!(refused.error.to_string().len() < 1500, "{}", refused.error);
                prop_assert!(refused.name.chars().count() <= 80);
            }
        }
        Err(error) => prop_assert!(error.to_string().len() < 1500, "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_outline_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        agrees(&bytes)?;
    }

    #[test]
    fn a_changed_model_is_refused_or_read_as_defined(
        graph in prop::sample::select(graphs()),
        edits in prop::collection::vec(edit(), 1..6),
    ) {
        let mut bytes = graph;
        for edit in &edits {
            apply(&mut bytes, edit);
        }
        agrees(&bytes)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_manifest_is_read_or_refused_in_a_few_words(edits in prop::collection::vec(edit(), 1..8)) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut manifest = fs::read(folder("tests/graphs/manifest.toml")).expect("the graph is part of this crate");
        for edit in &edits {
            apply(&mut manifest, edit);
        }
        fs::write(dir.path().join("manifest.toml"), &manifest).expect("the graph is part of this crate");
        open(dir.path())?;
    }
}
