//! Snapshots: a judge that was restored says what the first one would have said.

use sunshine_domain::{ConditionState, Judge, judge::Snapshot};

use crate::stage::{DOOR, FRIDGE, MIN, S, Stage, point, points, reading, rules, with_ticks};

#[test]
fn conditions_of_a_point_or_rule_that_is_gone_clear() {
    let mut stage = Stage::new();
    let readings = [reading(FRIDGE, 0, 0, -1.0), reading(DOOR, 0, 0, 1.0)];
    stage.play(&with_ticks(&readings, 0, 6 * MIN, S));
    assert_eq!(stage.state(DOOR), ConditionState::Active);
    stage.said.clear();
    stage.judge.set_points(&points()[1..], &mut stage.said);
    let gone: Vec<_> = stage
        .said
        .iter()
        .map(|t| (t.rule.as_str(), t.to, t.at.0))
        .collect();
    let cleared = ConditionState::Cleared;
    assert_eq!(gone, [("frost", cleared, 6 * MIN), ("silent", cleared, 6 * MIN)]);
    assert_eq!(stage.judge.points(), 2);
    let mut out = Vec::new();
    let without_door = rules().into_iter().filter(|r| r.id.as_str() != "door").collect();
    let judge = Judge::restore(&stage.judge.snapshot(), without_door, &points()[1..], &mut out);
    assert_eq!(
        out.iter().map(|t| (t.rule.as_str(), t.to)).collect::<Vec<_>>(),
        [("door", cleared)]
    );
    assert!(
        judge
            .board()
            .points
            .values()
            .all(|p| p.state != ConditionState::Active)
    );
}

#[test]
fn a_breach_after_a_restart_does_not_take_the_name_of_the_one_before() {
    // Frost, corrected at the same moment; then a restart; then frost again at that moment.
    let mut stage = Stage::new();
    for value in [-1.0, 3.0] {
        stage.play(&[reading(FRIDGE, MIN, MIN, value)]);
    }
    let mut out = Vec::new();
    stage.judge = Judge::restore(&stage.judge.snapshot(), rules(), &points(), &mut out);
    stage.play(&[reading(FRIDGE, MIN, MIN, -1.0)]);
    assert_eq!(
        stage.cases("frost").last(),
        Some(&(true, MIN + 1, MIN + 1)),
        "a case is named by rule, point and beginning: the same name would open none"
    );
    assert!(out.is_empty());
}

#[test]
fn a_point_added_later_is_given_its_time() {
    let mut stage = Stage::new();
    stage.play(&with_ticks(&[], 0, 10 * MIN, S));
    let before = stage.judge.revision();
    let mut more = points();
    more.push(point("oven", "temperature", "oven", 60));
    stage.judge.set_points(&more, &mut stage.said);
    assert!(stage.judge.revision() > before);
    let oven = |stage: &Stage| {
        let said = stage.said.iter().filter(|t| t.point.device.as_str() == "oven");
        said.map(|t| (t.to, t.since.0, t.at.0)).collect::<Vec<_>>()
    };
    stage.play(&with_ticks(&[], 10 * MIN, 13 * MIN, S));
    assert_eq!(oven(&stage), []);
    stage.play(&with_ticks(&[], 13 * MIN + S, 13 * MIN + S, S));
    assert_eq!(oven(&stage), [(ConditionState::Active, 10 * MIN, 13 * MIN)]);
}

#[test]
fn an_empty_snapshot_is_readable_and_knows_nothing() {
    let snapshot = Snapshot::default();
    assert!(snapshot.is_readable());
    let mut out = Vec::new();
    let judge = Judge::restore(&snapshot, rules(), &points(), &mut out);
    assert_eq!((out.len(), judge.log_time()), (0, None));
    assert!(
        judge
            .board()
            .points
            .values()
            .all(|p| p.state == ConditionState::Unknown)
    );
}
