//! Where people are, how many, and for how long; and parts of the picture.

use domain::{
    Check::{BinOpen, CameraTampered, NoMask, OffHoursPresence, OverCapacity, StoveUnattended},
    CheckSetting,
    check::Hours,
    observation::ObservedState::{Began, Ended},
};
use sunshine_vision::{
    judge::JudgeOptions,
    seen::{Detection, RegionVerdict},
};

use crate::stage::{NEGATIVE, NIGHT, NOON, POSITIVE, Stage, TURNED_AWAY, camera, id, person, quick};

fn in_zone(mut setting: CheckSetting, zone: &str) -> CheckSetting {
    setting.zone = Some(id(zone));
    setting
}

#[test]
fn somebody_is_in_a_zone_by_their_feet_after_three_frames() {
    let mut stage = Stage::new(vec![in_zone(quick(NoMask), "left")]);
    let mut leans_over = person(0.52);
    leans_over.area.left = 0.1;
    leans_over.area.right = 0.96;
    for _ in 0..10 {
        assert_eq!(
            stage.frame(&[leans_over.clone()], |_| POSITIVE),
            [],
            "feet on the right"
        );
    }
    let mut stage = Stage::new(vec![in_zone(quick(NoMask), "left")]);
    let asked: Vec<usize> = (0..4)
        .map(|_| stage.frame(&[person(0.3)], |_| POSITIVE).len())
        .collect();
    assert_eq!(asked, [0, 0, 1, 0], "asked at the third, then once a second");
    // At the edge, to and fro: never three frames in a row on the other side.
    for n in 0..20 {
        stage.frame(&[person(if n % 2 == 0 { 0.49 } else { 0.51 })], |_| POSITIVE);
    }
    assert_eq!(stage.value("person_count.left"), Some(1.0));
    assert_eq!(stage.value("person_count.right"), Some(0.0));
}

#[test]
fn who_stands_at_the_lower_edge_of_the_picture_is_in_the_zone_that_reaches_it() {
    let mut stage = Stage::new(vec![]);
    let mut cut_off = person(0.3);
    cut_off.area.bottom = 1.0;
    stage.frames(10, &[cut_off], NEGATIVE);
    assert_eq!(stage.value("person_count.left"), Some(1.0));
}

#[test]
fn the_number_of_people_is_the_middle_one_of_the_last_five() {
    let mut stage = Stage::new(vec![]);
    let crowd: Vec<Detection> = (0..3).map(|n| person(0.2 + 0.3 * n as f32)).collect();
    stage.frames(5, &crowd, NEGATIVE);
    assert_eq!(stage.value("person_count"), Some(3.0));
    for _ in 0..10 {
        // One frame in three the detector misses everybody.
        stage.frame(&crowd, |_| NEGATIVE);
        stage.frame(&crowd, |_| NEGATIVE);
        stage.frame(&[], |_| NEGATIVE);
        assert_eq!(stage.value("person_count"), Some(3.0));
    }
    stage.frames(2, &[], NEGATIVE);
    assert_eq!(
        stage.value("person_count"),
        Some(0.0),
        "told at once when it changes"
    );
}

#[test]
fn too_many_people_are_too_many_until_there_are_clearly_fewer() {
    let mut camera = camera(vec![quick(OverCapacity)]);
    camera.capacity = Some(4);
    let mut stage = Stage::with(&camera, &JudgeOptions::default());
    let crowd = |n: usize| (0..n).map(|n| person(0.1 + 0.15 * n as f32)).collect::<Vec<_>>();
    stage.frames(30, &crowd(4), NEGATIVE);
    assert_eq!(stage.told, [], "as many as may be");
    stage.frames(10, &crowd(5), NEGATIVE);
    assert_eq!(stage.take_told(), [(OverCapacity, Began)]);
    stage.frames(30, &crowd(4), NEGATIVE);
    assert_eq!(stage.told, [], "four are more than nine tenths of four");
    stage.frames(30, &crowd(3), NEGATIVE);
    assert_eq!(stage.take_told(), [(OverCapacity, Ended)]);
    camera.capacity = None;
    let mut uncounted = Stage::with(&camera, &JudgeOptions::default());
    uncounted.frames(30, &crowd(6), NEGATIVE);
    assert_eq!(uncounted.told, []);
}

#[test]
fn somebody_at_night_is_a_finding_and_at_noon_is_not() {
    let mut setting = quick(OffHoursPresence);
    setting.hours = Hours::Closed;
    let mut stage = Stage::new(vec![setting]);
    stage.minute = NOON;
    stage.frames(30, &[person(0.3)], NEGATIVE);
    assert_eq!(stage.told, []);
    stage.minute = NIGHT;
    stage.frames(10, &[person(0.3)], NEGATIVE);
    assert_eq!(stage.take_told(), [(OffHoursPresence, Began)]);
}

#[test]
fn a_stove_without_anybody_is_a_finding_once_nobody_came_for_its_time() {
    let mut setting = in_zone(quick(StoveUnattended), "left");
    setting.min_duration_s = 20;
    let mut stage = Stage::new(vec![setting]);
    stage.stove = Some(true);
    stage.frames(60, &[person(0.3)], NEGATIVE);
    stage.frames(15, &[], NEGATIVE);
    stage.frames(3, &[person(0.3)], NEGATIVE);
    // Somebody on the other side does not attend to it.
    stage.frames(23, &[person(0.8)], NEGATIVE);
    assert_eq!(
        stage.told,
        [],
        "looked after in between, and hidden people stay for five seconds"
    );
    stage.frames(8, &[person(0.8)], NEGATIVE);
    assert_eq!(stage.take_told(), [(StoveUnattended, Began)]);
    stage.frames(15, &[person(0.3)], NEGATIVE);
    assert_eq!(stage.take_told(), [(StoveUnattended, Ended)]);
    for stove in [Some(false), None] {
        stage.stove = stove;
        stage.frames(120, &[], NEGATIVE);
        assert_eq!(stage.told, [], "{stove:?}");
    }
}

#[test]
fn a_short_visit_to_the_stove_is_one_however_seldom_the_camera_looks() {
    let mut setting = CheckSetting::of(StoveUnattended);
    setting.min_duration_s = 120;
    let mut stage = Stage::new(vec![setting]);
    stage.stove = Some(true);
    let nobody: &[Detection] = &[];
    let visitor = [person(0.3)];
    // A look every three seconds: one and a half minutes of nobody, two looks at somebody, then nobody again.
    for n in 0..110 {
        stage.now = stage.now + 2_500;
        let seen = if matches!(n, 30 | 31) { &visitor } else { nobody };
        stage.frame(seen, |_| NEGATIVE);
    }
    assert_eq!(stage.told.len(), 1);
    assert!(stage.told[0].0 >= 96.0 + 120.0, "{:?}", stage.told);
}

#[test]
fn who_crosses_the_line_is_counted_once_each_way() {
    let mut stage = Stage::new(vec![]);
    let (mut inwards, mut outwards) = (0.0, 0.0);
    let to_and_fro = [
        0.3, 0.4, 0.49, 0.51, 0.49, 0.51, 0.6, 0.7, 0.7, 0.6, 0.5, 0.4, 0.3,
    ];
    for x in to_and_fro.iter().chain(&to_and_fro).chain(&[0.3; 20]) {
        stage.frame(&[person(*x)], |_| NEGATIVE);
        for (metric, value) in &stage.last.series {
            match metric.as_str() {
                "people_in" => inwards += value,
                "people_out" => outwards += value,
                _ => {}
            }
        }
    }
    assert_eq!((inwards, outwards), (2.0, 2.0));
}

#[test]
fn how_long_somebody_stayed_is_told_when_they_leave() {
    let mut stage = Stage::new(vec![]);
    stage.frames(30, &[person(0.3)], NEGATIVE);
    assert_eq!(stage.value("dwell.left"), None, "still there");
    for x in [0.4, 0.48, 0.56, 0.64] {
        stage.frame(&[person(x)], |_| NEGATIVE);
    }
    stage.frames(10, &[person(0.7)], NEGATIVE);
    assert_eq!(stage.value("dwell.left"), Some(31.0));
    stage.frames(20, &[], NEGATIVE);
    assert_eq!(stage.value("dwell.right"), Some(10.5));
    assert_eq!(stage.value("dwell"), Some(41.5));
}

#[test]
fn a_bin_is_open_after_three_looks_and_its_time() {
    let mut stage = Stage::new(vec![in_zone(CheckSetting::of(BinOpen), "right"), quick(BinOpen)]);
    assert_eq!(stage.judge.left_out().len(), 1, "no part of the picture is named");
    let mut looks = 0;
    for second in 0..70 {
        // Whoever is asked looks; a verdict on another zone says nothing.
        let asks = stage.judge.regions(stage.now, stage.minute);
        looks += asks.len();
        let verdict = if second == 10 { TURNED_AWAY } else { POSITIVE };
        stage.regions = asks
            .into_iter()
            .flat_map(|ask| {
                let said = |zone, verdict| RegionVerdict {
                    zone,
                    check: ask.check,
                    verdict,
                };
                [said(ask.zone.clone(), verdict), said(id("left"), NEGATIVE)]
            })
            .collect();
        stage.frames(1, &[], NEGATIVE);
    }
    assert_eq!(looks, 14, "every five seconds");
    assert_eq!(stage.told.len(), 1);
    assert_eq!(stage.told[0].1, BinOpen);
    assert!((30.0..=36.0).contains(&stage.told[0].0), "{:?}", stage.told);
    stage.minute = NIGHT;
    assert_eq!(stage.judge.regions(stage.now, NIGHT), []);
}

#[test]
fn settings_that_cannot_be_judged_here_are_named() {
    let settings = vec![
        quick(NoMask),
        quick(NoMask),
        in_zone(quick(NoMask), "cellar"),
        CheckSetting::of(CameraTampered),
    ];
    let stage = Stage::new(settings.clone());
    assert_eq!(stage.judge.left_out(), &settings[1..]);
}
