//! Animals, fire, and what people hold.

use domain::{
    Check::{AnimalInKitchen, NoHeadCover, PhoneUse, Rodent, VisualFire},
    observation::ObservedState::{Began, Ended},
};
use sunshine_vision::{judge::JudgeOptions, seen::Detection};

use crate::stage::{NEGATIVE, Stage, camera, id, person, quick, small, thing};

/// A judge that knows rats and flames by labels of their own.
fn stage(check: domain::Check) -> Stage {
    let mut options = JudgeOptions {
        static_ms: 60_000,
        ..JudgeOptions::default()
    };
    options.labels.insert("rat".into(), Rodent);
    options.labels.insert("fire".into(), VisualFire);
    options.labels.insert("bare head".into(), NoHeadCover);
    Stage::with(&camera(vec![quick(check)]), &options)
}

/// Three minutes of something that stays where it is.
fn still(stage: &mut Stage, label: &str) {
    stage.frames(180, &[small(label, 0.3, 0.6)], NEGATIVE);
}

#[test]
fn a_cat_that_walks_is_told_soon_and_a_rat_only_when_it_walks() {
    for (check, label) in [(AnimalInKitchen, "cat"), (Rodent, "rat")] {
        let mut stage = stage(check);
        for n in 0..8 {
            stage.frame(&[small(label, 0.2 + 0.015 * n as f32, 0.6)], |_| NEGATIVE);
        }
        assert_eq!(stage.take_told(), [(check, Began)], "{label}");
        let labels: Vec<&str> = stage.last.boxes.iter().map(|b| b.label.as_str()).collect();
        assert_eq!(labels, [label]);
    }
    let mut cat = stage(AnimalInKitchen);
    cat.frames(20, &[small("cat", 0.3, 0.6)], NEGATIVE);
    let (at, ..) = cat.told[0];
    assert!((10.0..11.0).contains(&at), "a cat that sits: {at}");
    let mut rat = stage(Rodent);
    still(&mut rat, "rat");
    assert_eq!(rat.told, []);
}

#[test]
fn one_bad_frame_is_no_animal() {
    let mut stage = stage(AnimalInKitchen);
    for n in 0..100 {
        let seen = small("dog", 0.3 + 0.05 * (n % 7) as f32, 0.6);
        let seen: &[Detection] = if n % 9 == 0 { &[seen] } else { &[] };
        stage.frame(seen, |_| NEGATIVE);
    }
    assert_eq!(stage.told, []);
}

#[test]
fn what_never_moves_is_told_once_and_then_passed_over_until_it_moves() {
    let mut stage = stage(AnimalInKitchen);
    still(&mut stage, "bird");
    assert_eq!(
        stage.take_told(),
        [(AnimalInKitchen, Began), (AnimalInKitchen, Ended)]
    );
    let passed_over = stage.judge.suppressed();
    assert!(passed_over > 200, "{passed_over}");
    // It flickers, the camera reconnects, an hour passes with it: it is still a ladle.
    for _ in 0..20 {
        stage.frames(5, &[], NEGATIVE);
        still(&mut stage, "bird");
        stage.judge.reset();
    }
    assert_eq!(stage.told, []);
    for n in 0..10 {
        stage.frame(&[small("bird", 0.3 + 0.02 * n as f32, 0.6)], |_| NEGATIVE);
    }
    assert_eq!(stage.take_told(), [(AnimalInKitchen, Began)], "a bird after all");
}

#[test]
fn a_fire_that_does_not_move_is_a_fire() {
    let mut stage = stage(VisualFire);
    still(&mut stage, "fire");
    assert_eq!(stage.take_told(), [(VisualFire, Began)]);
    assert_eq!(stage.judge.suppressed(), 0);
}

#[test]
fn a_phone_counts_in_somebodys_hands() {
    // In the hand, a little beside the body, at the feet, on the table far away.
    for (x, y, told) in [
        (0.3, 0.35, true),
        (0.348, 0.4, true),
        (0.3, 0.65, false),
        (0.8, 0.35, false),
    ] {
        let mut stage = Stage::new(vec![quick(PhoneUse)]);
        for n in 0..20 {
            // Hands are never still.
            let phone = small("cell phone", x + 0.008 * (n % 3) as f32, y);
            stage.frame(&[person(0.3), phone], |_| NEGATIVE);
        }
        assert_eq!(!stage.told.is_empty(), told, "{x} {y}");
    }
    let mut nobody = Stage::new(vec![quick(PhoneUse)]);
    nobody.frames(20, &[small("cell phone", 0.3, 0.35)], NEGATIVE);
    assert_eq!(nobody.told, []);
}

#[test]
fn one_phone_is_one_persons() {
    let mut setting = quick(PhoneUse);
    setting.zone = Some(id("left"));
    let mut stage = Stage::new(vec![setting]);
    let seen = [person(0.47), person(0.55), small("cell phone", 0.53, 0.3)];
    stage.frames(20, &seen, NEGATIVE);
    assert_eq!(
        stage.told,
        [],
        "it is nearer to the person on the right, who is not in the zone"
    );
}

#[test]
fn an_operators_label_stands_for_a_check_of_persons() {
    let mut stage = stage(NoHeadCover);
    let seen = [person(0.3), person(0.7), small("bare head", 0.3, 0.22)];
    for _ in 0..20 {
        assert_eq!(stage.frame(&seen, |_| NEGATIVE), [], "nobody has to be asked");
    }
    assert_eq!(stage.take_told(), [(NoHeadCover, Began)]);
    assert_eq!(stage.value("compliance_share"), Some(50.0));
}

#[test]
fn a_score_below_the_threshold_begins_nothing() {
    for (sensitivity, threshold, told) in [
        (None, None, true),
        (Some(0.9), None, false),
        (None, Some(0.9), false),
        (Some(0.5), Some(0.9), true),
    ] {
        let mut setting = quick(AnimalInKitchen);
        setting.sensitivity = sensitivity;
        let mut options = JudgeOptions::default();
        options.thresholds.extend(threshold.map(|t| (AnimalInKitchen, t)));
        let mut stage = Stage::with(&camera(vec![setting]), &options);
        for n in 0..20 {
            stage.frame(&[thing("dog", 0.2 + 0.02 * n as f32)], |_| NEGATIVE);
        }
        assert_eq!(!stage.told.is_empty(), told, "{sensitivity:?} {threshold:?}");
    }
}
