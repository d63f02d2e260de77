//! Every kind of model, on the small graphs of the crate `models`, whose answers are known.

use std::path::{Path, PathBuf};

use camera::Frame;
use domain::{Check, PictureBox, UtcMillis};
use models::{Catalog, ModelKind};
use sunshine_vision::{
    classify::{Classifier, Embedder, Head},
    detector::{Detector, DetectorOptions},
    face::FaceFinder,
    infer::{BadOutput, InferError},
    kit::Kit,
};

use crate::libraries::runtimes;

/// A folder of the crate `models`.
fn folder(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    workspace.join("models/tests").join(name)
}

fn expected() -> toml::Table {
    let text = std::fs::read_to_string(folder("graphs").join("expected.toml")).unwrap();
    text.parse().unwrap()
}

fn number(value: &toml::Value) -> f32 {
    let float = value.as_float().or(value.as_integer().map(|n| n as f64));
    float.unwrap() as f32
}

fn numbers(value: &toml::Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// A picture of the graphs' own size, so that points are points.
fn blank(width: u32, height: u32) -> Frame {
    Frame {
        at: UtcMillis(0),
        width,
        height,
        rgb: vec![90; width as usize * height as usize * 3].into(),
    }
}

/// Label, score and edges in points.
type Answer = (String, f32, [f32; 4]);

fn want(rows: &toml::Value) -> Vec<Answer> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| {
        let edges = ["left", "top", "right", "bottom"].map(|edge| number(&row[edge]));
        (
            row["label"].as_str().unwrap().to_owned(),
            number(&row["score"]),
            edges,
        )
    })
    .collect()
}

fn in_points(area: &PictureBox, frame: &Frame) -> [f32; 4] {
    let (width, height) = (frame.width as f32, frame.height as f32);
    [
        area.left * width,
        area.top * height,
        area.right * width,
        area.bottom * height,
    ]
}

fn assert_alike(kind: &str, got: &[Answer], want: &[Answer]) {
    assert_eq!(got.len(), want.len(), "{kind}: {got:?}");
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got.0, want.0, "{kind}");
        assert!((got.1 - want.1).abs() < 1e-3, "{kind}: {got:?} {want:?}");
        let off = got.2.iter().zip(want.2).map(|(got, want)| (got - want).abs());
        assert!(off.fold(0.0, f32::max) < 0.01, "{kind}: {got:?} {want:?}");
    }
}

#[test]
fn every_kind_of_detector_is_read_rightly() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("graphs")).unwrap();
        let expected = expected();
        let frame = blank(96, 64);
        let detectors = catalog.models().iter().filter(|card| card.kind.is_detector());
        let detectors: Vec<_> = detectors
            .filter(|card| card.kind != ModelKind::BlazeFace)
            .collect();
        assert_eq!(detectors.len(), 6);
        for card in detectors {
            let mut detector = Detector::open(&runtime, &catalog, card, &DetectorOptions::default()).unwrap();
            let found = detector.detect(&frame).unwrap();
            let got: Vec<Answer> = found
                .iter()
                .map(|found| {
                    (
                        found.label.to_string(),
                        found.score,
                        in_points(&found.area, &frame),
                    )
                })
                .collect();
            assert_alike(&card.name, &got, &want(&expected[&card.name]));
        }
    }
}

#[test]
fn a_detector_tells_only_what_is_asked() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("graphs")).unwrap();
        let card = catalog.by_name("yolov8").unwrap();
        let labels = |options: DetectorOptions| -> Vec<String> {
            let mut detector = Detector::open(&runtime, &catalog, card, &options).unwrap();
            let found = detector.detect(&blank(96, 64)).unwrap();
            found.iter().map(|found| found.label.to_string()).collect()
        };
        let cats = DetectorOptions {
            labels: Some(vec!["cat".into()]),
            ..DetectorOptions::default()
        };
        assert_eq!(labels(cats), ["cat"]);
        let sure = DetectorOptions {
            least_score: Some(0.7),
            ..DetectorOptions::default()
        };
        assert_eq!(labels(sure), ["person", "cat"]);
        let options = DetectorOptions {
            side: Some(128),
            ..DetectorOptions::default()
        };
        let refused = Detector::open(&runtime, &catalog, card, &options).err();
        assert!(matches!(refused, Some(InferError::Refused { .. })), "{refused:?}");
    }
}

#[test]
fn faces_are_read_rightly() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("graphs")).unwrap();
        let card = catalog.by_name("blazeface").unwrap();
        let mut finder = FaceFinder::open(&runtime, &catalog, card).unwrap();
        let frame = blank(128, 128);
        let face = finder.face_of(&frame, &PictureBox::WHOLE, &[]).unwrap().unwrap();
        let got = ("face".to_owned(), face.score, in_points(&face.area, &frame));
        let want = want(&expected()["blazeface"]);
        assert_alike("blazeface", &[got], &want[..1]);
        let areas = finder.faces_in(&frame, &[]).unwrap();
        assert_eq!(areas.len(), want.len());
        for (area, (_, _, edges)) in areas.iter().zip(&want) {
            let [left, top, right, bottom] = in_points(area, &frame);
            assert!(left < edges[0] && top < edges[1] && right > edges[2] && bottom > edges[3]);
        }
    }
}

#[test]
fn classifiers_embedders_and_heads_are_read_rightly() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("graphs")).unwrap();
        let expected = expected();
        let close = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            let off = got.iter().zip(want).map(|(got, want)| (got - want).abs());
            assert!(off.fold(0.0, f32::max) < 1e-3, "{got:?} {want:?}");
        };
        let frame = blank(96, 64);
        let card = catalog.by_name("classifier").unwrap();
        let mut classifier = Classifier::open(&runtime, &catalog, card).unwrap();
        let got = classifier.judge(&frame, &PictureBox::WHOLE).unwrap();
        close(&got, &numbers(&expected["classifier"]["probabilities"]));
        let card = catalog.by_name("embedding").unwrap();
        let mut embedder = Embedder::open(&runtime, &catalog, card).unwrap();
        let got = embedder.embed(&frame, &PictureBox::WHOLE).unwrap();
        close(&got, &numbers(&expected["embedding"]["values"]));
        let mut head = Head::open(&runtime, &catalog, catalog.by_name("head").unwrap()).unwrap();
        for row in expected["head"].as_array().unwrap() {
            let got = head.judge(&numbers(&row["embedding"])).unwrap();
            close(&got, &numbers(&row["probabilities"]));
        }
        let refused = head.judge(&[0.0; 3]);
        assert!(matches!(refused, Err(InferError::Refused { .. })), "{refused:?}");
    }
}

#[test]
fn a_model_of_another_kind_than_is_due_is_refused() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("graphs")).unwrap();
        for card in catalog.models() {
            let opened = [
                Detector::open(&runtime, &catalog, card, &DetectorOptions::default()).is_ok(),
                FaceFinder::open(&runtime, &catalog, card).is_ok(),
                Embedder::open(&runtime, &catalog, card).is_ok(),
                Head::open(&runtime, &catalog, card).is_ok(),
                Classifier::open(&runtime, &catalog, card).is_ok(),
            ];
            let fits = usize::from(card.kind != ModelKind::MoveNet);
            assert_eq!(
                opened.iter().filter(|opened| **opened).count(),
                fits,
                "{}",
                card.name
            );
        }
    }
}

#[test]
fn broken_models_are_refused_with_a_reason() {
    for runtime in runtimes() {
        let catalog = Catalog::open(&folder("broken")).unwrap();
        assert!(catalog.models().len() > 10);
        for card in catalog.models() {
            let opened = Detector::open(&runtime, &catalog, card, &DetectorOptions::default());
            match (card.name.as_str(), opened.err()) {
                ("nan_scores", error) => {
                    let what = BadOutput::NotFinite;
                    let model = card.name.clone();
                    assert_eq!(error, Some(InferError::BadOutput { model, what }));
                }
                // These only look odd; a library may know them or not.
                ("nested" | "old_weights" | "free_shape", _) => {}
                (name, error) => {
                    assert!(
                        matches!(error, Some(InferError::Refused { .. })),
                        "{name}: {error:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_operators_models_are_looked_with_beside_those_of_the_program() {
    let own = tempfile::tempdir().unwrap();
    let manifest = std::fs::read_to_string(folder("graphs").join("manifest.toml")).unwrap();
    let mut manifest: toml::Table = manifest.parse().unwrap();
    let cards = manifest["model"].as_array_mut().unwrap();
    cards.retain(|card| ["yolov8", "classifier"].contains(&card["name"].as_str().unwrap()));
    for card in cards.iter_mut() {
        card["role"] = "extra".into();
        let file = card["file"].as_str().unwrap();
        std::fs::copy(folder("graphs").join(file), own.path().join(file)).unwrap();
    }
    std::fs::write(own.path().join("manifest.toml"), manifest.to_string()).unwrap();
    for runtime in runtimes() {
        let catalog = Catalog::built_in().with_folder(own.path()).unwrap();
        let mut kit = Kit::open(&runtime, &catalog, &DetectorOptions::default()).unwrap();
        let found = kit.detect(&blank(96, 64)).unwrap();
        let classifier = catalog.by_name("classifier").unwrap();
        let said = found.iter().filter(|found| found.area == PictureBox::WHOLE);
        let said: Vec<_> = said.map(|found| (&found.label, found.score)).collect();
        assert_eq!(said.len(), 1, "{found:?}");
        assert_eq!(said[0].0, &classifier.labels[1]);
        assert_eq!(found.len(), 5, "{found:?}");
        let judging = &kit.judging;
        assert_eq!(judging.labels.get("cat"), Some(&Check::AnimalInKitchen));
        assert!(judging.models.contains_key(&Check::AnimalInKitchen));
        assert!((judging.thresholds[&Check::NoMask] - 0.8).abs() < 1e-6);
    }
}
