//! Checks of persons.

use std::collections::BTreeSet;

use domain::{
    Check::{NoGloves, NoHeadCover, NoMask},
    CheckSetting, UtcMillis,
    check::Hours,
    observation::{
        ModelStamp,
        ObservedState::{Began, Ended},
    },
};
use sunshine_vision::{
    judge::{JudgeOptions, assign_faces},
    seen::{Detection, Verdict},
};

use crate::stage::{
    NEGATIVE, NIGHT, NOON, POSITIVE, Stage, TURNED_AWAY, camera, id, person, quick, small, value_of,
};

#[test]
fn a_finding_is_told_once_after_its_time_and_its_end_once() {
    let mut stage = Stage::new(vec![CheckSetting::of(NoMask)]);
    stage.frames(60, &[person(0.3)], POSITIVE);
    assert_eq!(stage.told.len(), 1);
    let (at, check, state) = stage.told[0];
    assert_eq!((check, state), (NoMask, Began));
    // Confirmed by the second frame, first judged then; ten seconds on.
    assert_eq!(at, 11.0);
    stage.frames(60, &[], POSITIVE);
    assert_eq!(stage.take_told(), [(NoMask, Began), (NoMask, Ended)]);
    assert_eq!(stage.value("no_mask"), Some(0.0));
}

#[test]
fn a_finding_says_since_when_who_and_how_sure() {
    let mut options = JudgeOptions::default();
    let stamp = ModelStamp {
        name: "head_face_mask".into(),
        sha256: "ab".into(),
    };
    options.models.insert(NoMask, stamp.clone());
    options.thresholds.insert(NoMask, 0.2);
    let mut setting = quick(NoMask);
    setting.zone = Some(id("left"));
    let mut stage = Stage::with(&camera(vec![setting]), &options);
    for n in 0..40 {
        stage.frame(&[person(0.2), person(0.8)], |ask| match n % 8 {
            7 => TURNED_AWAY,
            _ if ask.area.left < 0.5 => POSITIVE,
            _ => NEGATIVE,
        });
        if !stage.told.is_empty() {
            break;
        }
    }
    let said = &stage.last.observations[0];
    assert_eq!((said.zone.clone(), said.threshold), (Some(id("left")), Some(0.2)));
    assert_eq!(said.model, Some(stamp));
    assert!((said.score.unwrap() - 0.9).abs() < 1e-6);
    assert_eq!(said.at.ms_since(said.since()), 2_000);
    let tracks: Vec<Option<u64>> = said.boxes.iter().map(|b| b.track).collect();
    assert_eq!(tracks, [Some(1)]);
    assert_eq!((said.tally.judged, said.tally.positive), (3, 3));
}

#[test]
fn what_cannot_be_judged_is_no_finding_but_is_counted() {
    let mut stage = Stage::new(vec![quick(NoMask), quick(NoHeadCover)]);
    stage.frames(120, &[person(0.3)], TURNED_AWAY);
    assert_eq!(stage.told, []);
    assert_eq!(stage.value("unjudged_share"), Some(100.0));
    assert_eq!(stage.value("mask_share"), None, "nobody was judged");
    for _ in 0..60 {
        stage.frame(&[person(0.3)], |ask| {
            if ask.check == NoMask {
                NEGATIVE
            } else {
                TURNED_AWAY
            }
        });
    }
    assert_eq!(stage.value("unjudged_share"), Some(50.0));
    assert_eq!(stage.value("mask_share"), Some(100.0));
    stage.frames(60, &[person(0.3)], Verdict::Positive(f32::NAN));
    assert_eq!(stage.told, [], "a probability that is no number");
}

#[test]
fn several_people_at_once_are_one_finding() {
    let mut stage = Stage::new(vec![quick(NoMask)]);
    let both = [person(0.2), person(0.8)];
    stage.frames(10, &both[..1], POSITIVE);
    stage.frames(10, &both, POSITIVE);
    stage.frames(10, &both[1..], POSITIVE);
    assert_eq!(stage.told.len(), 1, "{:?}", stage.told);
    assert_eq!(stage.value("no_mask"), Some(1.0));
    stage.frames(20, &both[1..], NEGATIVE);
    assert_eq!(stage.take_told(), [(NoMask, Began), (NoMask, Ended)]);
}

#[test]
fn a_new_finding_too_soon_is_folded_and_one_that_lasts_is_told_later() {
    let mut stage = Stage::new(vec![quick(NoMask)]);
    for _ in 0..2 {
        stage.frames(5, &[person(0.3)], POSITIVE);
        stage.frames(20, &[], POSITIVE);
    }
    assert_eq!(stage.take_told(), [(NoMask, Began), (NoMask, Ended)]);
    assert_eq!(stage.judge.folded(), 1);
    assert_eq!(
        stage.value("no_mask"),
        Some(0.0),
        "one that is not told is not shown as told"
    );
    stage.frames(30, &[person(0.3)], POSITIVE);
    let told = stage.told.clone();
    // The first was told after three seconds, the interval is 60.
    assert_eq!(told, [(63.0, NoMask, Began)]);
}

#[test]
fn a_check_is_made_in_its_hours_only() {
    let mut setting = quick(NoMask);
    setting.hours = Hours::Working;
    let mut stage = Stage::new(vec![setting]);
    stage.minute = NIGHT;
    for _ in 0..60 {
        assert_eq!(stage.frame(&[person(0.3)], |_| POSITIVE), []);
    }
    assert_eq!(stage.value("no_mask"), Some(0.0));
    stage.minute = NOON;
    stage.frames(10, &[person(0.3)], POSITIVE);
    stage.minute = NIGHT;
    stage.frames(11, &[person(0.3)], POSITIVE);
    assert_eq!(stage.take_told(), [(NoMask, Began), (NoMask, Ended)]);
}

#[test]
fn sensitivity_stands_in_for_the_models_own_threshold() {
    for (sensitivity, verdict, told) in [
        (None, Verdict::Positive(0.3), true),
        (Some(0.5), Verdict::Positive(0.3), false),
        (Some(0.5), Verdict::Negative(0.6), true),
        (Some(0.5), Verdict::Negative(0.4), false),
    ] {
        let mut setting = quick(NoMask);
        setting.sensitivity = sensitivity;
        let mut stage = Stage::new(vec![setting]);
        stage.frames(10, &[person(0.3)], verdict);
        assert_eq!(!stage.told.is_empty(), told, "{sensitivity:?} {verdict:?}");
    }
}

#[test]
fn questions_are_bounded_and_nobody_is_forgotten() {
    let options = JudgeOptions {
        asks_per_frame: 3,
        ask_every_ms: 1_000,
        ..JudgeOptions::default()
    };
    let mut stage = Stage::with(&camera(vec![quick(NoMask), quick(NoGloves)]), &options);
    let people: Vec<Detection> = (0..5).map(|n| person(0.1 + 0.2 * n as f32)).collect();
    stage.frame(&people, |_| NEGATIVE);
    let mut asked = Vec::new();
    for _ in 0..4 {
        let asks = stage.frame(&people, |_| NEGATIVE);
        assert!(asks.len() <= 3);
        asked.extend(asks.iter().map(|ask| (ask.track, ask.check)));
    }
    let different: BTreeSet<_> = asked.iter().copied().collect();
    assert_eq!(
        different.len(),
        10,
        "each person, both checks, before anybody is asked again: {asked:?}"
    );
    let mut alone = Stage::with(&camera(vec![quick(NoMask)]), &options);
    let asks = (0..21)
        .map(|_| alone.frame(&people[..1], |_| NEGATIVE).len())
        .sum::<usize>();
    assert_eq!(asks, 10, "once a second");
}

#[test]
fn what_may_not_alert_is_shown_and_not_told() {
    let options = JudgeOptions {
        display_only: BTreeSet::from([NoGloves]),
        ..JudgeOptions::default()
    };
    let mut stage = Stage::with(&camera(vec![quick(NoGloves)]), &options);
    stage.frames(30, &[person(0.3)], POSITIVE);
    assert_eq!(stage.told, []);
    assert_eq!(stage.value("no_gloves"), None);
    let labels: Vec<&str> = stage.last.boxes.iter().map(|b| b.label.as_str()).collect();
    assert_eq!(labels, ["person", "no_gloves"]);
}

#[test]
fn verdicts_on_strangers_and_on_people_elsewhere_are_passed_over() {
    let mut setting = quick(NoMask);
    setting.zone = Some(id("left"));
    let mut stage = Stage::new(vec![setting]);
    for _ in 0..40 {
        let asks = stage.frame(&[person(0.8)], |_| POSITIVE);
        assert_eq!(asks, []);
        let stranger = sunshine_vision::seen::PersonVerdict {
            track: 1,
            check: NoMask,
            verdict: POSITIVE,
        };
        let elsewhere = sunshine_vision::seen::PersonVerdict {
            track: 99,
            ..stranger
        };
        let said = sunshine_vision::judge::Verdicts {
            persons: &[stranger, elsewhere],
            ..Default::default()
        };
        let judged = stage.judge.judge(stage.now, NOON, &said);
        assert_eq!(judged.observations, []);
    }
}

#[test]
fn after_a_reset_what_held_ends_only_if_it_is_not_shown_again() {
    let mut stage = Stage::new(vec![quick(NoMask)]);
    stage.frames(5, &[person(0.3)], POSITIVE);
    assert_eq!(stage.take_told(), [(NoMask, Began)]);
    stage.judge.reset();
    stage.frames(11, &[person(0.3)], POSITIVE);
    assert_eq!(stage.told, []);
    assert!(
        stage.judge.tracks().iter().all(|track| track.id > 1),
        "a new identifier"
    );
    stage.judge.reset();
    // A minimum duration of 2 s and a clear time of 10 s, from the first frame on.
    stage.frames(12, &[], POSITIVE);
    assert_eq!(stage.told, []);
    stage.frames(1, &[], POSITIVE);
    assert_eq!(stage.take_told(), [(NoMask, Ended)]);
}

#[test]
fn while_no_frames_come_nothing_ends_and_afterwards_nobody_is_known() {
    let mut stage = Stage::new(vec![quick(NoMask)]);
    stage.frames(5, &[person(0.3)], POSITIVE);
    stage.now = stage.now + 3_600_000;
    let asks = stage.frame(&[person(0.3)], |_| POSITIVE);
    assert_eq!((asks, stage.take_told()), (vec![], vec![(NoMask, Began)]));
    assert_eq!(stage.judge.tracks()[0].id, 2);
    assert_eq!(value_of(&stage.last.series, "no_mask"), Some(1.0));
    stage.now = stage.now - 7_200_000;
    stage.frames(20, &[], POSITIVE);
    assert_eq!(stage.take_told(), [(NoMask, Ended)], "a clock two hours back");
    stage.frames(60, &[person(0.3)], POSITIVE);
    assert_eq!(
        stage.take_told(),
        [(NoMask, Began)],
        "the interval does not last two hours longer"
    );
}

#[test]
fn a_heartbeat_comes_with_every_check_and_nothing_without_frames() {
    let mut stage = Stage::new(vec![quick(NoMask), quick(NoHeadCover)]);
    let mut last = UtcMillis(0);
    for n in 0..40 {
        // A look only every three seconds: nothing moves.
        stage.now = stage.now + 2_500;
        stage.frame(&[], |_| POSITIVE);
        if value_of(&stage.last.series, "no_mask").is_some() {
            assert_eq!(value_of(&stage.last.series, "no_head_cover"), Some(0.0));
            assert_eq!(value_of(&stage.last.series, "person_count"), Some(0.0));
            assert!(n == 0 || stage.now.ms_since(last) <= 10_000);
            last = stage.now;
        }
    }
    assert!(stage.now.ms_since(last) < 10_000);
}

#[test]
fn a_face_belongs_to_the_person_whose_box_holds_it() {
    let mut stage = Stage::new(vec![]);
    // Two people close to each other, whose boxes overlap.
    let people = [person(0.30), person(0.36)];
    stage.frames(2, &people, NEGATIVE);
    let face = |x, y| small("face", x, y);
    let faces = [
        face(0.36, 0.24),
        face(0.31, 0.25),
        face(0.31, 0.6),
        face(0.8, 0.25),
        face(0.35, 0.25),
    ];
    let owners = assign_faces(stage.judge.tracks(), &faces);
    assert_eq!(owners, [Some(2), Some(1), None, None, None]);
    stage.frame(&[], |_| NEGATIVE);
    assert_eq!(
        assign_faces(stage.judge.tracks(), &faces),
        [None; 5],
        "nobody in the frame"
    );
}
