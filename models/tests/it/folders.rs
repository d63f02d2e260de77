//! Folders of an operator: a card and a model beside it.

use std::{fs, path::Path};

use domain::Check;
use sunshine_models::{Catalog, MAX_CARDS, ModelError, Precision, Role};

use crate::folder;

/// The card of a graph, as it stands in the manifest, by itself.
fn card_of(kind: &str) -> String {
    let manifest =
        fs::read_to_string(folder("tests/graphs/manifest.toml")).expect("the graphs have a manifest");
    let card = manifest
        .split("[[model]]")
        .find(|c| c.contains(&format!("name = \"{kind}\"\n")));
    card.expect("every kind has a card").replace("[model.", "[")
}

/// Puts a model of an operator into its folder below `dir`.
fn add(dir: &Path, name: &str, card: &str, kind: &str) {
    let place = dir.join(name);
    fs::create_dir(&place).expect("room in a temporary folder");
    fs::write(place.join("card.toml"), card).expect("room in a temporary folder");
    let file = format!("{kind}.onnx");
    fs::copy(folder("tests/graphs").join(&file), place.join(&file)).expect("room in a temporary folder");
}

#[test]
fn an_operator_adds_a_model_by_a_folder_and_a_card() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let card = card_of("yolov8")
        .replace("name = \"yolov8\"", "name = \"rats\"")
        .replace("person_detector", "extra")
        .replace("cat = \"animal_in_kitchen\"", "rat = \"rodent\"")
        .replace("\"cat\"", "\"rat\"");
    add(dir.path(), "rats", &card, "yolov8");
    let catalog = Catalog::built_in()
        .with_folder(dir.path())
        .expect("room in a temporary folder");
    assert!(catalog.refused().is_empty(), "{:?}", catalog.refused());
    assert_eq!(catalog.models().len(), 7);
    let extras: Vec<_> = catalog.extras().collect();
    assert_eq!(extras.len(), 1);
    assert_eq!(extras[0].finding("rat"), Some(Check::Rodent));
    assert_eq!(catalog.load(extras[0]).unwrap().sha256, extras[0].sha256);
    let person = catalog
        .find(Role::PersonDetector, Precision::F32)
        .expect("room in a temporary folder");
    assert_eq!(
        person.name, "person_nanodet_g_w16",
        "an extra takes nobody's place"
    );
}

#[test]
fn the_card_in_the_documentation_is_sound() {
    let guide = fs::read_to_string(folder("../docs/MODELS.md")).unwrap();
    let card = guide
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    add(dir.path(), "kitchen-rats", card, "yolov8");
    let catalog = Catalog::open(dir.path()).unwrap();
    assert!(catalog.refused().is_empty(), "{:?}", catalog.refused());
    let rats = catalog.by_name("kitchen-rats").unwrap();
    assert_eq!(
        (rats.finding("mouse"), rats.threshold("mouse"), rats.min_side_px),
        (Some(Check::Rodent), 0.5, 12)
    );
    for row in &domain::check::CHECKS {
        assert!(guide.contains(row.code), "the guide does not name {}", row.code);
    }
}

#[test]
fn an_operators_model_goes_before_the_programs_whatever_its_precision() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    add(dir.path(), "yolov5", &card_of("yolov5"), "yolov5");
    let catalog = Catalog::built_in()
        .with_folder(dir.path())
        .expect("room in a temporary folder");
    for precision in [Precision::Int8, Precision::F32] {
        let person = catalog
            .find(Role::PersonDetector, precision)
            .expect("room in a temporary folder");
        assert_eq!(person.name, "yolov5");
    }
    assert_eq!(
        catalog.find(Role::Embedder, Precision::Int8).unwrap().name,
        "embed_mobilenetv2_i8"
    );
}

#[test]
fn a_bad_card_is_refused_alone() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    add(dir.path(), "yolov5", &card_of("yolov5"), "yolov5");
    add(
        dir.path(),
        "misspelt",
        "name = \"misspelt\"\nflie = \"x.onnx\"\n",
        "yolox",
    );
    add(dir.path(), "other-name", &card_of("yolox"), "yolox");
    add(dir.path(), "no-toml", "name = \n", "yolox");
    add(dir.path(), "no-card", "", "yolox");
    fs::remove_file(dir.path().join("no-card/card.toml")).expect("room in a temporary folder");
    add(dir.path(), "no-text", "", "yolox");
    fs::write(dir.path().join("no-text/card.toml"), [0xff, 0xfe]).expect("room in a temporary folder");
    add(dir.path(), "too-long", &"# nothing\n".repeat(30_000), "yolox");
    add(
        dir.path(),
        "head_face_mask",
        &card_of("head").replace("\"head\"\nfile", "\"head_face_mask\"\nfile"),
        "head",
    );
    fs::create_dir(dir.path().join("pictures")).expect("room in a temporary folder");
    fs::write(dir.path().join("readme.txt"), "nothing").expect("room in a temporary folder");

    let catalog = Catalog::built_in()
        .with_folder(dir.path())
        .expect("room in a temporary folder");
    assert_eq!(catalog.models().len(), 7);
    let refused: Vec<(&str, String)> = catalog
        .refused()
        .iter()
        .map(|r| (r.name.as_str(), r.error.to_string()))
        .collect();
    let expected = [
        (
            "head_face_mask",
            "another model has the name head_face_mask; choose another name",
        ),
        (
            "misspelt",
            "misspelt/card.toml, line 2: flie: unknown field `flie`",
        ),
        ("no-card", "no-card: it holds an ONNX file but no card.toml"),
        ("no-text", "no-text/card.toml: it cannot be read"),
        ("no-toml", "no-toml/card.toml, line 1: "),
        (
            "other-name",
            "other-name/card.toml, line 2: name: the card says yolox, its folder other-name",
        ),
        ("too-long", "too-long/card.toml: it is larger than 262144 bytes"),
    ];
    assert_eq!(refused.len(), expected.len(), "{refused:#?}");
    for ((name, error), (wanted, part)) in refused.iter().zip(expected) {
        assert_eq!(*name, wanted);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_changed_card_of_a_built_in_model_needs_a_name_of_its_own() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let manifest = fs::read_to_string(folder("manifest.toml")).expect("room in a temporary folder");
    fs::write(
        dir.path().join("manifest.toml"),
        manifest.replace("score = 0.4", "score = 0.35"),
    )
    .expect("room in a temporary folder");
    let catalog = Catalog::built_in()
        .with_folder(dir.path())
        .expect("room in a temporary folder");
    let refused: Vec<&str> = catalog.refused().iter().map(|r| r.name.as_str()).collect();
    assert_eq!(refused, ["person_nanodet_g_i8", "person_nanodet_g_w16"]);
}

#[test]
fn a_manifest_that_is_none_and_a_folder_that_is_not_there_are_errors() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    assert_eq!(
        Catalog::open(dir.path())
            .expect("the manifest is TOML")
            .models()
            .len(),
        0
    );
    let missing = Catalog::open(&dir.path().join("none"));
    assert!(matches!(missing, Err(ModelError::Read { .. })), "{missing:?}");
    for (text, line, key) in [
        ("model = 3", 1, "model"),
        ("\n[models]\n", 2, "models"),
        ("\n\n[[model]\n", 3, ""),
        ("[[model]]\n[[card]]\n", 2, "card"),
    ] {
        fs::write(dir.path().join("manifest.toml"), text).expect("room in a temporary folder");
        match Catalog::open(dir.path()) {
            Err(ModelError::Card {
                line: at, key: named, ..
            }) => assert_eq!((at, named.as_str()), (line, key), "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_full_catalogue_refuses_the_next_model() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let card = fs::read_to_string(folder("tests/graphs/manifest.toml")).expect("the graphs have a manifest");
    let card = card
        .split("[[model]]")
        .nth(1)
        .expect("room in a temporary folder");
    let cards: Vec<String> = (0..=MAX_CARDS)
        .map(|n| {
            format!(
                "[[model]]{}",
                card.replace("name = \"nanodet\"", &format!("name = \"n{n}\""))
            )
        })
        .collect();
    fs::write(dir.path().join("manifest.toml"), cards.concat()).expect("room in a temporary folder");
    let catalog = Catalog::open(dir.path()).expect("the manifest is TOML");
    assert_eq!((catalog.models().len(), catalog.refused().len()), (MAX_CARDS, 1));
    assert_eq!(catalog.refused()[0].name, format!("n{MAX_CARDS}"));
    assert!(matches!(catalog.refused()[0].error, ModelError::Full));
}
