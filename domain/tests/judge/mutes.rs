//! What is set aside, and what becomes of it.

use sunshine_domain::{ConditionState, Mute, judge::Resume};

use crate::{
    stage::{S, reading, with_ticks},
    wide::{DOOR, GAS, Wide, mutes, points},
};

use ConditionState::{Active, Cleared, Normal, Pending, Shelved};

/// A mute of the whole facility from second `from` to `until`.
fn all(from: i64, until: i64, resume: Resume) -> Mute {
    let mut mute = mutes().remove(1);
    mute.from.0 = from * S;
    mute.until.0 = until * S;
    mute.resume = resume;
    mute
}

/// The steps of the rule "door" (10 s, clear 5 s) as `(to, since, at)` in seconds.
#[track_caller]
fn check(mute: Mute, door: &[(i64, f64)], until: i64, want: &[(ConditionState, i64, i64)]) {
    let readings: Vec<_> = door
        .iter()
        .map(|(at, value)| reading(DOOR, at * S, at * S, *value))
        .collect();
    let mut stage = Wide::new(vec![mute]);
    stage.play(&with_ticks(&readings, 0, until * S, S));
    let told: Vec<_> = stage
        .said
        .iter()
        .filter(|t| t.rule.as_str() == "door")
        .map(|t| (t.to, t.since.0 / S, t.at.0 / S))
        .collect();
    assert_eq!(told, want, "{door:?}");
}

#[test]
fn a_breach_that_stands_when_its_shelf_ends_is_told_then() {
    let shelf = || all(15, 60, Resume::Told);
    check(
        shelf(),
        &[(10, 1.0)],
        70,
        &[(Pending, 10, 10), (Shelved, 10, 20), (Active, 10, 60)],
    );
    // Over before the shelf is: nobody is told at all.
    check(
        shelf(),
        &[(10, 1.0), (30, 0.0)],
        70,
        &[(Pending, 10, 10), (Shelved, 10, 20), (Normal, 10, 35)],
    );
    // Told before: the case stays, and its end is told.
    check(
        all(25, 60, Resume::Told),
        &[(10, 1.0), (30, 0.0)],
        70,
        &[(Pending, 10, 10), (Active, 10, 20), (Cleared, 10, 35)],
    );
}

#[test]
fn after_a_window_the_time_of_a_breach_begins_anew() {
    check(
        all(15, 60, Resume::Anew),
        &[(10, 1.0)],
        80,
        &[
            (Pending, 10, 10),
            (Shelved, 10, 20),
            (Pending, 60, 60),
            (Active, 60, 70),
        ],
    );
}

#[test]
fn what_endangers_life_is_not_set_aside() {
    let mut stage = Wide::new(vec![all(1, 600, Resume::Told)]);
    let gas = [
        reading(GAS, 10 * S, 10 * S, 0.0),
        reading(GAS, 20 * S, 20 * S, 40.0),
    ];
    stage.play(&with_ticks(&gas, 0, 30 * S, S));
    // Every camera that is heard sees nobody; none is heard here, so only the dose speaks.
    let told: Vec<_> = stage
        .said
        .iter()
        .filter(|t| t.point.device.as_str() == "gas")
        .collect();
    assert_eq!(
        told.iter().map(|t| (t.rule.as_str(), t.to)).collect::<Vec<_>>(),
        [("ppm", Active)]
    );
}

#[test]
fn the_board_shows_what_is_set_aside() {
    let mut stage = Wide::new(vec![all(15, 60, Resume::Told)]);
    let key = points()[DOOR as usize].key();
    stage.play(&with_ticks(&[reading(DOOR, 10 * S, 10 * S, 1.0)], 0, 30 * S, S));
    let board = stage.judge.board();
    assert_eq!(board.points[&key].state, Shelved);
    let door = stage.judge.point(&key).unwrap();
    let rule = board.points[&key].rule.clone().unwrap();
    assert!(stage.judge.is_muted(door, &rule));
    stage.play(&with_ticks(&[], 31 * S, 60 * S, S));
    assert_eq!(stage.judge.board().points[&key].state, Active);
    assert!(!stage.judge.is_muted(door, &rule));
}

#[test]
fn a_shelf_that_ends_while_the_product_is_down_has_ended_when_it_is_back() {
    let mut stage = Wide::new(vec![all(15, 60, Resume::Told)]);
    stage.play(&with_ticks(&[reading(DOOR, 10 * S, 10 * S, 1.0)], 0, 30 * S, S));
    stage.play(&with_ticks(&[], 3_000 * S, 3_001 * S, S));
    let last = stage.said.iter().rfind(|t| t.rule.as_str() == "door").unwrap();
    assert_eq!((last.to, last.at.0), (Active, 60 * S));
}
