//! What the models of the program see in pictures that people can check. The same on every library.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use camera::Frame;
use domain::PictureBox;
use models::Catalog;
use sunshine_vision::{
    detector::DetectorOptions,
    kit::Kit,
    seen::{Detection, Unjudged, Verdict},
};

use crate::{libraries::runtimes, scenes};

/// A kit on each library, for all tests of this file: loading one takes seconds on the slow one.
fn kits() -> impl Iterator<Item = MutexGuard<'static, Kit>> {
    static KITS: OnceLock<Vec<Mutex<Kit>>> = OnceLock::new();
    let open = |runtime| {
        let kit = Kit::open(&runtime, &Catalog::built_in(), &DetectorOptions::default());
        Mutex::new(kit.unwrap())
    };
    let kits = KITS.get_or_init(|| runtimes().into_iter().map(open).collect());
    kits.iter()
        .map(|kit| kit.lock().unwrap_or_else(PoisonError::into_inner))
}

fn persons(kit: &mut Kit, frame: &Frame) -> Vec<Detection> {
    let found = kit.detector.detect(frame).unwrap();
    found
        .into_iter()
        .filter(|found| &*found.label == "person")
        .collect()
}

/// What is said of the one person in the picture.
fn without_mask(kit: &mut Kit, frame: &Frame) -> Verdict {
    let persons = persons(kit, frame);
    // A model may take a part of somebody for somebody: less surely, and at the same place.
    let inside = |other: &Detection| other.area.overlap(&persons[0].area) > 0.7 * other.area.area();
    assert!(
        !persons.is_empty() && persons[1..].iter().all(inside),
        "{persons:?}"
    );
    kit.without_mask(frame, &persons[0].area, &[]).unwrap()
}

#[test]
fn a_portrait_is_one_person_and_a_cat_is_a_cat() {
    for mut kit in kits() {
        let portrait = scenes::frame(&scenes::picture("astronaut.png"));
        let found = kit.detector.detect(&portrait).unwrap();
        let labels: Vec<&str> = found.iter().map(|found| &*found.label).collect();
        assert_eq!(labels, ["person"]);
        let where_she_is = PictureBox::new(0.03, 0.03, 0.71, 0.99).unwrap();
        assert!(found[0].area.iou(&where_she_is) > 0.9, "{found:?}");
        assert!(found[0].score > 0.6, "{found:?}");

        let cat = scenes::frame(&scenes::picture("chelsea.png"));
        let found = kit.detector.detect(&cat).unwrap();
        let labels: Vec<&str> = found.iter().map(|found| &*found.label).collect();
        assert_eq!(labels, ["cat"]);
        assert!(found[0].area.area() > 0.9, "{found:?}");
    }
}

#[test]
fn a_bare_face_wears_no_mask() {
    for mut kit in kits() {
        for side in [512, 256] {
            match without_mask(&mut kit, &scenes::room(side, 0.0)) {
                Verdict::Positive(sure) => assert!(sure > 0.9, "{side}: {sure}"),
                other => panic!("{side}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_judged_is_not_judged() {
    for mut kit in kits() {
        for (frame, why) in [
            (scenes::room(512, 2.0), Unjudged::Blurred),
            (scenes::room(200, 0.0), Unjudged::TooSmall),
            (scenes::faceless(), Unjudged::TurnedAway),
        ] {
            assert_eq!(without_mask(&mut kit, &frame), Verdict::Unjudged(why));
        }
        let portrait = scenes::room(512, 0.0);
        let mask = kit.mask.take();
        let unjudged = kit.without_mask(&portrait, &PictureBox::WHOLE, &[]);
        kit.mask = mask;
        assert_eq!(unjudged, Ok(Verdict::Unjudged(Unjudged::NoModel)));
    }
}

#[test]
fn a_neighbours_face_is_nobody_elses() {
    for mut kit in kits() {
        let portrait = scenes::room(512, 0.0);
        let person = persons(&mut kit, &portrait)[0].area;
        // Somebody stands before her, to the right, and hides no face: it is hers.
        let before = PictureBox::new(person.left + 0.1, person.top, person.right + 0.1, 1.0).unwrap();
        let verdict = kit.without_mask(&portrait, &before, &[person, before]);
        assert_eq!(verdict, Ok(Verdict::Unjudged(Unjudged::TurnedAway)));
        let verdict = kit.without_mask(&portrait, &person, &[person, before]);
        assert!(matches!(verdict, Ok(Verdict::Positive(_))), "{verdict:?}");
    }
}

#[test]
fn faces_are_covered_for_privacy_and_heads_where_none_is_found() {
    for mut kit in kits() {
        let covers = |areas: &[PictureBox], what: &PictureBox| {
            let whole = what.area() * 0.999;
            areas.iter().any(|area| area.overlap(what) >= whole)
        };
        let portrait = scenes::frame(&scenes::picture("astronaut.png"));
        let person = persons(&mut kit, &portrait)[0].area;
        let face = PictureBox::new(0.34, 0.13, 0.54, 0.38).unwrap();
        let faces = kit.faces.as_mut().unwrap();
        for persons in [&[][..], &[person]] {
            let areas = faces.faces_in(&portrait, persons).unwrap();
            assert!(covers(&areas, &face), "{areas:?}");
            assert!(areas.iter().all(|area| area.area() < 0.3), "{areas:?}");
        }
        let areas = faces.faces_in(&scenes::faceless(), &[person]).unwrap();
        assert!(covers(&areas, &face), "{areas:?}");
    }
}

#[test]
fn an_embedding_tells_pictures_apart() {
    for mut kit in kits() {
        let embedder = kit.embedder.as_mut().unwrap();
        let mut embed = |frame: &Frame| embedder.embed(frame, &PictureBox::WHOLE).unwrap();
        let portrait = embed(&scenes::frame(&scenes::picture("astronaut.png")));
        let smaller = scenes::picture("astronaut.png");
        let smaller = image::imageops::thumbnail(&smaller, 256, 256);
        let smaller = embed(&scenes::frame(&smaller));
        let cat = embed(&scenes::frame(&scenes::picture("chelsea.png")));
        assert_eq!(portrait.len(), 1280);
        let alike = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let (same, other) = (alike(&portrait, &smaller), alike(&portrait, &cat));
        assert!(same > 0.9 && other < 0.7, "{same} {other}");
    }
}
