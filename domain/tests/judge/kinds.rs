//! What each kind of rule says of a day in the kitchen. Every row gives readings `(second, value)` of one
//! point, ticks run once a second, and the cases of one rule follow as `(opened, since, at)` in seconds.

use sunshine_domain::{ConditionState, Judge, Rule, RuleKind};

use crate::stage::{DOOR, FRIDGE, GAS, MIN, S, Stage, points, reading, rule, rules, with_ticks};

/// `(opened, since, at)` in seconds.
type Told = (bool, i64, i64);

#[track_caller]
fn check(rule: &str, point: u32, values: &[(i64, f64)], until_s: i64, want: &[Told]) {
    let readings: Vec<_> = values
        .iter()
        .map(|(s, v)| reading(point, s * S, s * S, *v))
        .collect();
    let mut stage = Stage::new();
    stage.play(&with_ticks(&readings, 0, until_s * S, S));
    let key = points()[point as usize].key();
    stage.said.retain(|t| t.point == key);
    let told: Vec<Told> = stage
        .cases(rule)
        .into_iter()
        .map(|(o, s, a)| (o, s / S, a / S))
        .collect();
    assert_eq!(told, want, "{rule} over {values:?}");
}

/// A value each minute from `from` on.
fn minutes(from: i64, values: &[f64]) -> Vec<(i64, f64)> {
    (0..).map(|n| from + n * 60).zip(values.iter().copied()).collect()
}

#[test]
fn a_threshold_rings_after_its_hold_and_clears_after_its_own() {
    let warm = |n: usize| vec![9.0; n];
    let day = |parts: &[Vec<f64>]| minutes(60, &parts.concat());
    // In breach from 60 s on; the 31st reading shows 30 minutes of it.
    check("warm", FRIDGE, &day(&[warm(40)]), 2460, &[(true, 60, 1860)]);
    // One reading short.
    check("warm", FRIDGE, &day(&[warm(29), vec![5.0; 10]]), 2460, &[]);
    // The limit itself is no breach.
    check("warm", FRIDGE, &day(&[vec![8.0; 60]]), 3600, &[]);
    // A value between the limits ends a pending breach: the half hour begins anew.
    check(
        "warm",
        FRIDGE,
        &day(&[warm(20), vec![7.5], warm(31)]),
        3180,
        &[(true, 1320, 3120)],
    );
    // Safe at 2460 s for ten minutes.
    check(
        "warm",
        FRIDGE,
        &day(&[warm(40), vec![6.0; 12]]),
        3120,
        &[(true, 60, 1860), (false, 60, 3060)],
    );
}

#[test]
fn a_value_that_hovers_rings_once() {
    let mut values = vec![9.0; 35];
    for n in 0..60 {
        values.push(if n % 2 == 0 { 7.6 } else { 8.2 });
    }
    check("warm", FRIDGE, &minutes(60, &values), 6000, &[(true, 60, 1860)]);
    // Not even safe readings clear it while each safe stretch is too short.
    let mut values = vec![9.0; 35];
    for n in 0..60 {
        values.push(if n % 5 == 0 { 8.2 } else { 6.0 });
    }
    check("warm", FRIDGE, &minutes(60, &values), 6000, &[(true, 60, 1860)]);
    // Nor does a value between the limits count as safe.
    let values = [vec![9.0; 35], vec![6.0; 5], vec![7.5; 30]].concat();
    check("warm", FRIDGE, &minutes(60, &values), 4200, &[(true, 60, 1860)]);
}

#[test]
fn without_a_hold_the_first_reading_rings() {
    let frost = [(60, -1.0), (120, 0.2), (180, 0.5), (240, -2.0)];
    let want = [(true, 60, 60), (false, 60, 180), (true, 240, 240)];
    check("frost", FRIDGE, &frost, 250, &want);
}

#[test]
fn a_timer_rings_without_a_further_message() {
    check("door", DOOR, &[(10, 1.0)], 309, &[]);
    check("door", DOOR, &[(10, 1.0)], 310, &[(true, 10, 310)]);
    check("door", DOOR, &[(10, 1.0), (200, 0.0), (201, 1.0)], 500, &[]);
    check(
        "door",
        DOOR,
        &[(10, 1.0), (200, 0.0), (201, 1.0)],
        501,
        &[(true, 201, 501)],
    );
    check("gas", GAS, &[(5, 12.0)], 15, &[(true, 5, 15)]);
}

#[test]
fn a_timer_clears_without_a_further_message() {
    check(
        "door",
        DOOR,
        &[(10, 1.0), (400, 0.0)],
        410,
        &[(true, 10, 310), (false, 10, 410)],
    );
    check("door", DOOR, &[(10, 1.0), (400, 0.0)], 409, &[(true, 10, 310)]);
}

#[test]
fn silence_rings_and_the_first_reading_ends_it() {
    // Due each minute, allowed three: silent from 60 s on, known one second after 240 s.
    check("silent", FRIDGE, &[(60, 4.0)], 240, &[]);
    check(
        "silent",
        FRIDGE,
        &[(60, 4.0), (600, 4.0)],
        601,
        &[(true, 60, 240), (false, 60, 600)],
    );
    check("silent", FRIDGE, &[(60, 4.0), (240, 4.0), (420, 4.0)], 600, &[]);
}

#[test]
fn one_silence_is_one_case_by_the_rule_made_for_the_point() {
    let own = Rule {
        point_type: Some("kitchen_gas".to_owned()),
        ..rule("own", None, RuleKind::NoData { intervals: 2 }, 0, 0)
    };
    let rules = [rules(), vec![own]].concat();
    let mut stage = Stage {
        judge: Judge::new(rules, &points()),
        said: Vec::new(),
    };
    stage.play(&with_ticks(&[], 0, 200 * S, S));
    assert_eq!(stage.cases("own"), [(true, 0, 60 * S)]);
    let silent: Vec<_> = stage
        .said
        .iter()
        .filter(|t| t.rule.as_str() == "silent")
        .collect();
    assert_eq!(silent.len(), 1, "only the fridge's");
    assert_eq!(silent[0].point.device.as_str(), "fridge");
}

#[test]
fn a_point_never_heard_is_unknown_first_and_a_case_later() {
    let mut stage = Stage::new();
    stage.play(&with_ticks(&[], 0, 90 * S, S));
    assert_eq!(stage.state(FRIDGE), ConditionState::Unknown);
    assert_eq!(stage.cases("silent"), []);
    stage.play(&with_ticks(&[], 91 * S, 91 * S, S));
    let gas_only = [(true, 0, 90 * S)];
    assert_eq!(
        stage.cases("silent"),
        gas_only,
        "the gas sensor was due three times in 90 s"
    );
}

#[test]
fn the_board_tells_unknown_from_normal_and_keeps_what_is_active() {
    let mut stage = Stage::new();
    assert_eq!(stage.state(FRIDGE), ConditionState::Unknown);
    let warm: Vec<_> = (0..=31).map(|n| reading(FRIDGE, n * MIN, n * MIN, 9.0)).collect();
    stage.play(&with_ticks(&warm[..1], 0, 10 * S, S));
    assert_eq!(stage.state(FRIDGE), ConditionState::Pending);
    stage.play(&with_ticks(&warm[1..], 11 * S, 31 * MIN, S));
    assert_eq!(stage.state(FRIDGE), ConditionState::Active);
    // Silent for an hour: still active, because nobody has seen it safe.
    stage.play(&with_ticks(&[], 31 * MIN, 91 * MIN, S));
    assert_eq!(stage.state(FRIDGE), ConditionState::Active);
    // Safe for ten minutes: normal, and the door that was heard once and is not due is still normal.
    let safe: Vec<_> = (91..=102)
        .map(|n| reading(FRIDGE, n * MIN, n * MIN, 4.0))
        .collect();
    let door = [reading(DOOR, 91 * MIN, 91 * MIN, 0.0)];
    stage.play(&with_ticks(&[&safe[..], &door].concat(), 91 * MIN, 102 * MIN, S));
    assert_eq!(
        (stage.state(FRIDGE), stage.state(DOOR)),
        (ConditionState::Normal, ConditionState::Normal)
    );
    stage.play(&with_ticks(&[], 102 * MIN, 106 * MIN, S));
    assert_eq!(
        (stage.state(FRIDGE), stage.state(DOOR)),
        (ConditionState::Unknown, ConditionState::Normal)
    );
}

#[test]
fn the_board_shows_the_worst_rule() {
    let mut stage = Stage::new();
    // In breach of "warm" (P2, pending): then of "frost" (P3, active at once), which is worse for now.
    stage.play(&[reading(FRIDGE, 0, 0, 9.0)]);
    let shown = |stage: &Stage| {
        let board = stage.judge.board();
        let state = board.points.into_values().find(|p| p.rule.is_some()).unwrap();
        (state.state, state.rule.unwrap().as_str().to_owned())
    };
    assert_eq!(shown(&stage), (ConditionState::Pending, "warm".to_owned()));
    stage.play(&[reading(FRIDGE, MIN, MIN, -1.0)]);
    assert_eq!(shown(&stage), (ConditionState::Active, "frost".to_owned()));
}

#[test]
fn a_silent_point_cannot_clear() {
    // Warm, then safe once, then silent: ten minutes of safety were never seen.
    let warm = minutes(60, &[9.0; 35]);
    let safe_once = [warm.as_slice(), &[(2160, 5.0)]].concat();
    check("warm", FRIDGE, &safe_once, 6000, &[(true, 60, 1860)]);
    // Back after an hour: safety counts from there.
    let back: Vec<_> = (0..12).map(|n| (6000 + n * 60, 5.0)).collect();
    let whole = [safe_once.as_slice(), &back].concat();
    check(
        "warm",
        FRIDGE,
        &whole,
        6700,
        &[(true, 60, 1860), (false, 60, 6600)],
    );
}
