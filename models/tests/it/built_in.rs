//! The models that ship, and the graphs that decoders are tested on.

use std::{borrow::Cow, collections::BTreeSet};

use domain::Check;
use sunshine_models::{Catalog, Colour, Input, ModelKind, Precision, Resize, Role};

use crate::{folder, sound};

#[test]
fn every_built_in_model_fits_its_card() {
    let catalog = Catalog::built_in();
    assert!(catalog.refused().is_empty(), "{:?}", catalog.refused());
    assert_eq!(catalog.models().len(), 6);
    for card in catalog.models() {
        let model = catalog.load(card).unwrap();
        assert!(
            matches!(model.bytes, Cow::Borrowed(_)),
            "{} was copied",
            card.name
        );
        assert_eq!(model.sha256, card.sha256);
        assert_eq!(model.outline.opset, 13, "{}", card.name);
        assert_eq!(model.outline.outputs.len(), card.outputs.len(), "{}", card.name);
    }
}

#[test]
fn a_runtime_finds_the_models_that_it_counts_best_with() {
    let catalog = Catalog::built_in();
    let found = |role, precision| catalog.find(role, precision).map(|card| card.name.as_str());
    for (role, precision, name) in [
        (Role::PersonDetector, Precision::Int8, Some("person_nanodet_g_i8")),
        (Role::PersonDetector, Precision::F32, Some("person_nanodet_g_w16")),
        (Role::Embedder, Precision::Int8, Some("embed_mobilenetv2_i8")),
        (Role::Embedder, Precision::F32, Some("embed_mobilenetv2_w16")),
        (Role::MaskHead, Precision::Int8, Some("head_face_mask")),
        (
            Role::FaceDetector,
            Precision::Int8,
            Some("face_blazeface_short_w16"),
        ),
        (Role::Pose, Precision::F32, None),
        (Role::Extra, Precision::F32, None),
    ] {
        assert_eq!(found(role, precision), name, "{role:?} {precision:?}");
    }
    assert_eq!(catalog.extras().count(), 0);
}

#[test]
fn the_person_detector_names_what_it_sees_and_what_counts() {
    let catalog = Catalog::built_in();
    for precision in [Precision::Int8, Precision::F32] {
        let card = catalog.find(Role::PersonDetector, precision).unwrap();
        assert_eq!((card.kind, card.labels.len()), (ModelKind::NanoDet, 80));
        let classes =
            ["person", "cat", "cell phone", "refrigerator", "toothbrush", "rat"].map(|l| card.class_of(l));
        assert_eq!(classes, [Some(0), Some(15), Some(67), Some(72), Some(79), None]);
        assert_eq!(
            (card.threshold("person"), card.threshold("dog"), card.iou),
            (0.4, 0.5, 0.6)
        );
        assert_eq!(card.finding("bird"), Some(Check::AnimalInKitchen));
        assert_eq!(card.finding("cell phone"), Some(Check::PhoneUse));
        assert_eq!(card.finding("person"), None);
        let picture = card.picture().unwrap();
        assert_eq!((picture.colour, picture.multiple_of), (Colour::Bgr, Some(32)));
        assert_eq!(picture.resize, Resize::Letterbox(114));
        assert_eq!((picture.mean[0], picture.std[2]), (103.53, 58.395));
    }
}

#[test]
fn the_mask_head_reads_the_embedding_and_leaves_small_faces_alone() {
    let catalog = Catalog::built_in();
    let head = catalog.find(Role::MaskHead, Precision::F32).unwrap();
    let embedder = catalog.find(Role::Embedder, Precision::F32).unwrap();
    let Input::Vector(vector) = &head.input else {
        panic!("a head reads a vector, not {:?}", head.input);
    };
    assert_eq!(vector.length, embedder.embedding_length);
    assert_eq!(head.picture(), None);
    assert_eq!(
        (
            head.threshold("mask"),
            head.threshold("no_mask"),
            head.min_side_px
        ),
        (0.2, 0.8, 40)
    );
    assert_eq!(head.finding("no_mask"), Some(Check::NoMask));
}

#[test]
fn the_folder_of_the_repository_holds_the_pose_as_well() {
    let catalog = sound("");
    assert_eq!(catalog.models().len(), 7);
    let pose = catalog.find(Role::Pose, Precision::F32).unwrap();
    assert_eq!((pose.kind, &*pose.labels[9]), (ModelKind::MoveNet, "left_wrist"));
    catalog.load(pose).unwrap();
    let both = Catalog::built_in().with_folder(&folder("")).unwrap();
    assert!(both.refused().is_empty(), "{:?}", both.refused());
    assert_eq!(both.models().len(), 7, "what is there already is not added again");
}

#[test]
fn every_kind_has_a_graph_that_fits_its_card() {
    let catalog = sound("tests/graphs");
    let mut kinds = BTreeSet::new();
    for card in catalog.models() {
        catalog.load(card).unwrap();
        assert_eq!(card.name, card.kind.code());
        kinds.insert(card.kind);
    }
    assert_eq!(kinds.len(), 11);
}
