//! Late, early and missing time: backlogs, slow devices, corrections, and a server that was down.

use sunshine_domain::{ConditionState, LogEvent, judge::GAP_MS};

use crate::stage::{DAY, DOOR, FRIDGE, GAS, MIN, S, Stage, reading, tick, with_ticks};

/// A fridge's values each minute from `from` on, received `lag` later.
fn fridge(from: i64, lag: i64, values: &[f64]) -> Vec<LogEvent> {
    (0..)
        .zip(values)
        .map(|(n, v)| reading(FRIDGE, from + n * MIN, from + n * MIN + lag, *v))
        .collect()
}

#[test]
fn a_backlog_raises_the_past_cases_it_contains_and_no_others() {
    // Two days of buffered readings arrive within three seconds: warm for an hour on the first day, for
    // twenty minutes on the second, fine now.
    let now = 2 * DAY;
    let values: Vec<f64> = (0..2 * 24 * 60)
        .map(|n| {
            if (600..660).contains(&n) || (2000..2020).contains(&n) {
                9.0
            } else {
                4.0
            }
        })
        .collect();
    let readings: Vec<_> = (0..)
        .zip(&values)
        .map(|(n, v)| reading(FRIDGE, n * MIN, now + n, *v))
        .collect();
    let mut stage = Stage::new();
    stage.play(&with_ticks(&readings, now, now + MIN, S));
    let since = 600 * MIN;
    assert_eq!(
        stage.cases("warm"),
        [(true, since, since + 30 * MIN), (false, since, 670 * MIN)]
    );
    assert_eq!(stage.state(FRIDGE), ConditionState::Normal);
    assert_eq!(stage.judge.late_readings(), 0);
}

#[test]
fn a_backlog_that_ends_in_breach_does_not_ring_for_the_moment_of_receipt() {
    // The buffer ends five minutes into a breach, received a day late: 25 minutes are still to be seen.
    let readings = fridge(0, DAY, &[9.0; 6]);
    let mut stage = Stage::new();
    stage.play(&with_ticks(&readings, DAY, DAY + 30 * MIN - S, S));
    assert_eq!(stage.cases("warm"), []);
    stage.play(&[tick(DAY + 30 * MIN)]);
    assert_eq!(
        stage.cases("warm"),
        [(true, 0, 30 * MIN)],
        "since + hold + lag has come"
    );
}

#[test]
fn a_device_whose_clock_lags_is_judged_by_its_own_time() {
    let lag = 7 * MIN;
    let mut stage = Stage::new();
    let open = [
        reading(DOOR, 0, lag, 1.0),
        reading(DOOR, 5 * MIN - S, lag + 5 * MIN - S, 0.0),
    ];
    stage.play(&with_ticks(&open, lag, lag + 20 * MIN, S));
    assert_eq!(
        stage.cases("door"),
        [],
        "it was shut a second before its five minutes were over"
    );
}

#[test]
fn a_clock_that_is_set_right_leaves_no_reading_unjudged() {
    // Four minutes ahead, which is believed; then right. The gas of the second reading counts at once.
    let mut stage = Stage::new();
    let ahead = 4 * MIN;
    let readings = [
        reading(GAS, ahead, 0, 0.0),
        reading(GAS, 30 * S, 30 * S, 12.0),
        reading(GAS, 45 * S, 45 * S, 12.0),
    ];
    stage.play(&readings);
    assert_eq!(stage.cases("gas"), [(true, 30 * S, 40 * S)]);
    assert_eq!(stage.judge.late_readings(), 0);
    // And a breach reported by a clock that is ahead lasts from its receipt.
    let mut stage = Stage::new();
    stage.play(&with_ticks(&[reading(GAS, ahead, 0, 12.0)], 0, 9 * S, S));
    assert_eq!(stage.cases("gas"), []);
    stage.play(&[tick(10 * S)]);
    assert_eq!(stage.cases("gas"), [(true, 0, 10 * S)]);
}

#[test]
fn an_older_reading_proves_life_and_is_not_judged() {
    let mut stage = Stage::new();
    let mut readings = fridge(0, 0, &[4.0; 3]);
    readings.push(reading(FRIDGE, MIN, 4 * MIN, -5.0));
    stage.play(&with_ticks(&readings, 0, 7 * MIN, S));
    assert_eq!((stage.cases("frost"), stage.judge.late_readings()), (vec![], 1));
    assert_eq!(
        stage.state(FRIDGE),
        ConditionState::Normal,
        "heard at 4 min, so not silent at 7"
    );
}

#[test]
fn a_correction_at_the_same_moment_is_judged_and_a_new_breach_has_a_new_name() {
    let mut stage = Stage::new();
    for value in [-1.0, 3.0, -1.0] {
        stage.play(&[reading(FRIDGE, MIN, MIN, value)]);
    }
    assert_eq!(
        stage.cases("frost"),
        [(true, MIN, MIN), (false, MIN, MIN), (true, MIN + 1, MIN + 1)]
    );
}

#[test]
fn time_that_goes_back_changes_nothing() {
    let mut stage = Stage::new();
    stage.play(&[tick(100 * S), reading(GAS, 100 * S, 100 * S, 1.0), tick(40 * S)]);
    assert_eq!(stage.judge.log_time().unwrap().0, 100 * S);
    stage.play(&with_ticks(&[], 101 * S, 190 * S, S));
    assert_eq!(stage.cases("silent").len(), 0);
}

#[test]
fn a_server_that_was_down_accuses_nobody_of_silence() {
    let heard = [
        reading(FRIDGE, 0, 0, 4.0),
        reading(DOOR, 0, 0, 1.0),
        reading(GAS, 0, 0, 0.0),
    ];
    let mut stage = Stage::new();
    stage.play(&with_ticks(&heard, 0, 60 * S, S));
    // Down for a day. Nobody is silent at once, and the open door has not become "open for five minutes"
    // while nobody could hear it shut.
    let back = DAY;
    stage.play(&with_ticks(&[], back, back + 20 * S, S));
    assert_eq!(stage.cases("silent"), []);
    assert_eq!(stage.cases("door"), []);
    // Yesterday's reading does not say how the fridge is today.
    assert_eq!(stage.state(FRIDGE), ConditionState::Unknown);
    // 60 s of the gas sensor's 90 were over: 30 s after the start it is silent.
    stage.play(&with_ticks(&[], back + 21 * S, back + 31 * S, S));
    assert_eq!(stage.cases("silent"), [(true, 0, back + 30 * S)]);
    assert_eq!(stage.state(GAS), ConditionState::Unknown);
    // A reading after the gap judges by event time: the door was open before and is open now.
    stage.play(&[reading(DOOR, back + 32 * S, back + 32 * S, 1.0)]);
    assert_eq!(stage.cases("door"), [(true, 0, 5 * MIN)]);
}

#[test]
fn after_an_outage_holds_run_from_the_reading_as_before() {
    let mut stage = Stage::new();
    stage.play(&with_ticks(&[reading(GAS, 0, 0, 0.0)], 0, 10 * S, S));
    let back = DAY;
    stage.play(&with_ticks(
        &[reading(GAS, back, back, 12.0)],
        back,
        back + 9 * S,
        S,
    ));
    assert_eq!(stage.cases("gas"), []);
    stage.play(&[tick(back + 10 * S)]);
    assert_eq!(stage.cases("gas"), [(true, back, back + 10 * S)]);
}

#[test]
fn a_pause_as_long_as_is_allowed_is_no_gap() {
    for (step, silent) in [(GAP_MS, 1), (GAP_MS + 1, 0)] {
        let mut stage = Stage::new();
        stage.play(&[reading(GAS, 0, 0, 0.0)]);
        let ticks: Vec<_> = (1..=10).map(|n| tick(n * step)).collect();
        stage.play(&ticks);
        let gas_cases = stage
            .said
            .iter()
            .filter(|t| t.point.metric.as_str() == "combustible_gas")
            .count();
        assert_eq!(gas_cases, silent, "steps of {step} ms");
    }
}

#[test]
fn a_timer_that_was_put_off_takes_its_place_in_the_order_of_moments() {
    let mut stage = Stage::new();
    let mut log = vec![reading(DOOR, 0, 0, 1.0)];
    for n in 0..60 {
        // In danger until 256 s, safe from then on: due to clear at 316 s.
        let gas = if n * 5 < 255 { 12.0 } else { 4.0 };
        log.push(reading(GAS, n * 5 * S + S, n * 5 * S + S, gas));
        log.push(tick(n * 5 * S + 4 * S));
    }
    // Shut at 305 s, due to clear at 315 s; but the door's next word comes three seconds late, so 318 s.
    log.extend([
        tick(302 * S),
        reading(DOOR, 305 * S, 305 * S, 0.0),
        reading(DOOR, 306 * S, 309 * S, 0.0),
    ]);
    log.push(tick(319 * S));
    stage.play(&log);
    let cleared: Vec<&str> = stage
        .said
        .iter()
        .filter(|t| t.to == ConditionState::Cleared)
        .map(|t| t.rule.as_str())
        .collect();
    assert_eq!(cleared, ["gas", "door"]);
}
