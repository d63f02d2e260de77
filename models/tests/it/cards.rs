//! Cards that are refused, each with its line, its key and a remedy.

use std::fs;

use sunshine_models::{Catalog, ModelError, Resize, Scores};

use crate::{folder, sound};

/// The kind whose card is changed, what in it, into what; then the key that is blamed, and part of the reason.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    (&'static str, &'static str),
);

/// What must be told of one line.
#[rustfmt::skip]
const BOUNDS: &[Row] = &[
    ("yolov8", "name = \"yolov8\"", "name = \"Yolo V8\"", ("name", "1 to 64 small letters")),
    ("yolov8", "name = \"yolov8\"", "name = \"\"", ("name", "1 to 64 small letters")),
    ("yolov8", "yolov8.onnx", "../yolov8.onnx", ("file", "beside the card")),
    ("yolov8", "yolov8.onnx", ".onnx", ("file", "beside the card")),
    ("yolov8", "yolov8.onnx", "yolov8.pt", ("file", "beside the card")),
    ("yolov8", "kind = \"yolov8\"", "kind = \"yolov9\"", ("kind", "unknown variant")),
    ("yolov8", "sha256 = \"", "sha256 = \"0", ("sha256", "64 digits")),
    ("yolov8", "precision = \"f32\"", "precision = \"f16\"", ("precision", "unknown variant")),
    ("yolov8", "licence = \"Apache-2.0\"", "licence = \" \"", ("licence", "or that it is not known")),
    ("yolov8", "[\"output\"]", "[\"output\", \"more\"]", ("outputs", "a yolov8 has 1")),
    ("yolov8", "[\"output\"]", "[\"\"]", ("outputs", "1 to 128 bytes")),
    ("yolov8", "\"cat\", ", "\"person\", ", ("labels", "person is there twice")),
    ("yolov8", "width = 96", "width = 8", ("picture.width", "16 to 2048")),
    ("yolov8", "height = 64", "height = 4096", ("picture.height", "16 to 2048")),
    ("yolox", "height = 64", "height = 72", ("picture.height", "a multiple of 32")),
    ("blazeface", "width = 128", "width = 256", ("picture.width", "128 pixels")),
    ("yolov8", "pad = 114", "pad = 300", ("pad", "invalid value")),
    ("blazeface", "std = [127.5, ", "std = [0.0, ", ("picture.std", "more than 0")),
    ("blazeface", "std = [127.5, ", "std = [", ("std", "invalid length")),
    ("blazeface", "mean = [127.5, ", "mean = [nan, ", ("picture.mean", "finite")),
    ("yolov8", "score = 0.4", "score = 1.5", ("thresholds.score", "0 to 1")),
    ("yolov8", "score = 0.4", "score = nan", ("thresholds.score", "0 to 1")),
    ("yolov8", "iou = 0.6", "iou = -0.1", ("thresholds.iou", "0 to 1")),
    ("yolov8", "\"cell phone\" = 0.5", "\"phone\" = 0.5", ("thresholds.labels", "phone is not one of the labels")),
    ("yolov8", "cat = \"animal_in_kitchen\"", "dog = \"animal_in_kitchen\"", ("findings", "dog is not one")),
    ("yolov8", "\"animal_in_kitchen\"", "\"no_cat\"", ("findings", "there are: no_head_cover, no_mask")),
    ("embedding", "embedding_length = 4", "embedding_length = 0", ("embedding_length", "1 to 65536")),
    ("head", "length = 4", "length = 100000", ("vector.length", "1 to 65536")),
    ("head", "min_side_px = 40", "min_side_px = 5000", ("min_side_px", "0 to 4096")),
];

const PICTURE_TOO: &str = r#"[model.picture]
name = "x"
layout = "nchw"
colour = "rgb"
type = "f32"
width = 32
height = 32
resize = "stretch"
[model.vector]"#;

/// What must be told of a whole card.
#[rustfmt::skip]
const NEEDS: &[Row] = &[
    ("yolov8", "pad = 114", "pad = 114\nmultiple_of = 512", ("picture.multiple_of", "1 to 256")),
    ("yolov8", "\"letterbox\"", "\"stretch\"", ("picture.pad", "only a letterbox")),
    ("ssd", "score = 0.4", "score = 0.4\niou = 0.5", ("thresholds.iou", "leave it out")),
    ("yolov8", "\"person\", ", "\"human\", ", ("role", "a detector with the label person")),
    ("yolov8", "role = \"person_detector\"", "role = \"embedder\"", ("role", "an embedding")),
    ("head", "role = \"mask_head\"", "role = \"pose\"", ("role", "a movenet")),
    ("embedding", "role = \"embedder\"", "role = \"extra\"", ("role", "a detector, classifier or head")),
    ("yolov8", "iou = 0.6\n", "", ("thresholds.iou", "it is missing")),
    ("yolov8", "pad = 114\n", "", ("picture.pad", "it is missing")),
    ("yolov8", "labels = [\"person\", \"cat\", \"cell phone\"]\n", "", ("labels", "it is missing")),
    ("embedding", "embedding_length = 4\n", "", ("embedding_length", "it is missing")),
    ("yolov8", "outputs =", "scores = \"logits\"\noutputs =", ("scores", "only a classifier or head")),
    ("yolov8", "outputs =", "box_order = \"xyxy\"\noutputs =", ("box_order", "only an ssd")),
    ("yolov8", "outputs =", "embedding_length = 4\noutputs =", ("embedding_length", "only an embedding")),
    ("embedding", "outputs =", "labels = [\"x\"]\noutputs =", ("labels", "an embedding has none")),
    ("movenet", "\"nose\", ", "", ("labels", "16 are given; a movenet has 17")),
    ("classifier", "pad = 114\n", "pad = 114\nmean = [1.0, 1.0, 1.0]\n", ("picture.mean", "only an f32 input")),
    ("head", "[model.vector]\nname = \"embedding\"\nlength = 4\n", "", ("vector", "it is missing")),
    ("head", "[model.vector]", PICTURE_TOO, ("picture", "a head reads an embedding")),
    ("yolov8", "[model.thresholds]", "[model.vector]\nname = \"x\"\nlength = 3\n[model.thresholds]", ("vector", "only a head")),
    ("yolov8", "outputs =", "threshold = 0.4\noutputs =", ("threshold", "unknown field `threshold`")),
    ("yolov8", "layout = \"nchw\"\n", "", ("", "missing field `layout`")),
];

/// What is said of a changed card.
struct Refusal {
    /// The line that is blamed.
    line: usize,
    /// The line that was changed.
    changed: usize,
    key: String,
    reason: String,
    text: String,
}

/// Replaces `from` by `to` in the card of `kind`, which must be refused, and it alone.
fn refusal(kind: &str, from: &str, to: &str) -> Refusal {
    let manifest =
        fs::read_to_string(folder("tests/graphs/manifest.toml")).expect("the graphs have a manifest");
    let begin = manifest
        .find(&format!("name = \"{kind}\"\n"))
        .expect("every kind has a card");
    let rest = &manifest[begin..];
    let (card, after) = rest.split_at(rest.find("[[model]]").unwrap_or(rest.len()));
    let at = card
        .find(from)
        .unwrap_or_else(|| panic!("the card of {kind} says no {from}"));
    let changed = format!("{}{}{after}", &manifest[..begin], card.replacen(from, to, 1));

    let dir = tempfile::tempdir().expect("a temporary folder");
    fs::write(dir.path().join("manifest.toml"), changed).expect("room in a temporary folder");
    let catalog = Catalog::open(dir.path()).expect("the manifest is TOML");
    let [refused] = catalog.refused() else {
        panic!("{from} → {to}: {:?}", catalog.refused());
    };
    assert_eq!(catalog.models().len(), 10, "{from} → {to}");
    assert!(from.contains(kind) || refused.name == kind, "{}", refused.name);
    let text = refused.error.to_string();
    assert!(text.len() < 600, "{text}");
    match &refused.error {
        ModelError::Card {
            line, key, reason, ..
        } => Refusal {
            line: *line,
            changed: 1 + manifest[..begin + at].matches('\n').count(),
            key: key.clone(),
            reason: reason.clone(),
            text,
        },
        other => panic!("{from} → {to}: {other:?}"),
    }
}

#[test]
fn every_value_of_a_card_has_its_bounds() {
    for (kind, from, to, wanted) in BOUNDS {
        let refusal = refusal(kind, from, to);
        assert_eq!(
            (refusal.line, &*refusal.key),
            (refusal.changed, wanted.0),
            "{from} → {to}: {}",
            refusal.text
        );
        assert!(
            refusal.reason.contains(wanted.1),
            "{from} → {to}: {}",
            refusal.text
        );
    }
}

#[test]
fn what_a_kind_does_not_have_or_needs_is_told() {
    for (kind, from, to, wanted) in NEEDS {
        let refusal = refusal(kind, from, to);
        assert!(refusal.line > 1, "{}", refusal.text);
        assert_eq!(refusal.key, wanted.0, "{from} → {to}: {}", refusal.text);
        assert!(
            refusal.reason.contains(wanted.1),
            "{from} → {to}: {}",
            refusal.text
        );
    }
}

#[test]
fn a_label_without_a_name_is_never_told_and_has_no_threshold() {
    let catalog = sound("tests/graphs");
    let ssd = catalog.by_name("ssd").expect("room in a temporary folder");
    assert_eq!((&*ssd.labels[0], ssd.class_of("person")), ("", Some(1)));
    let refusal = refusal("ssd", "\"cell phone\" = 0.5", "\"\" = 0.5");
    assert!(
        refusal.reason.contains(" is not one of the labels"),
        "{}",
        refusal.text
    );
}

#[test]
fn what_a_card_leaves_out_has_its_default() {
    let catalog = sound("tests/graphs");
    let card = |name| catalog.by_name(name).expect("room in a temporary folder");
    let picture = card("yolov8").picture().expect("room in a temporary folder");
    assert_eq!(
        (picture.mean, picture.std, picture.multiple_of),
        ([0.0; 3], [1.0; 3], None)
    );
    assert_eq!(picture.resize, Resize::Letterbox(114));
    assert_eq!(
        (card("yolov8").scores, card("head").scores),
        (Scores::Probability, Scores::Logits)
    );
    assert_eq!(
        (
            card("ssd").iou,
            card("yolov8").min_side_px,
            card("yolov8").embedding_length
        ),
        (1.0, 0, 0)
    );
    assert!(card("yolov8").provenance.conversion.is_empty());
}
