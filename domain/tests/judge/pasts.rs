//! The kinds of rule that need a past, or a neighbour. Every row gives readings `(second, value)` and the cases that
//! follow, as `(opened, since, at)` in seconds.

use sunshine_domain::{ConditionState, LogEvent, Quality, RuleKind, rule::Comparison};

use crate::{
    stage::{DAY, MIN, S, reading, rule, tick, with_ticks},
    wide::{CABINET, CHECK, DOOR, FRIDGE, GAS, LAMP, PEOPLE, PROBE, SCALE, Wide, by},
};

type Told = (bool, i64, i64);

fn cases(stage: &Wide, rule: &str) -> Vec<Told> {
    let ends = [ConditionState::Active, ConditionState::Cleared];
    let of_rule = stage.said.iter().filter(|t| t.rule.as_str() == rule);
    of_rule
        .filter(|t| ends.contains(&t.to))
        .map(|t| (t.to == ConditionState::Active, t.since.0 / S, t.at.0 / S))
        .collect()
}

fn at(point: u32, values: &[(i64, f64)]) -> Vec<LogEvent> {
    values
        .iter()
        .map(|(s, v)| reading(point, s * S, s * S, *v))
        .collect()
}

#[track_caller]
fn check(rule: &str, readings: &[Vec<LogEvent>], until: i64, want: &[Told]) -> Wide {
    let mut stage = Wide::new(Vec::new());
    stage.play(&with_ticks(&readings.concat(), 0, until * S, S));
    assert_eq!(cases(&stage, rule), want, "{rule} over {readings:?}");
    stage
}

#[test]
fn a_range_is_broken_on_both_sides() {
    let cold = at(FRIDGE, &[(10, -1.0), (25, -1.0), (30, 4.0), (36, 4.0)]);
    check("range", &[cold], 40, &[(true, 10, 20), (false, 10, 35)]);
    let warm = at(FRIDGE, &[(10, 9.0), (25, 9.0)]);
    let stage = check("range", &[warm], 40, &[(true, 10, 20)]);
    let told = stage
        .said
        .iter()
        .find(|t| t.to == ConditionState::Active)
        .unwrap();
    assert_eq!(
        (told.value, told.limit),
        (Some(9.0), Some(8.0)),
        "the end that was broken"
    );
    // From one side to the other it was never safe.
    let jump = at(FRIDGE, &[(10, 9.0), (15, -1.0), (20, -1.0)]);
    check("range", &[jump], 25, &[(true, 10, 20)]);
}

#[test]
fn a_rise_is_measured_over_a_while() {
    // 4 degrees in 5 s are 48 per minute.
    let rise = at(FRIDGE, &[(0, 0.0), (5, 4.0), (10, 8.0), (15, 8.0), (26, 8.0)]);
    let stage = check("rate", &[rise], 40, &[(true, 5, 10), (false, 5, 25)]);
    let told = stage
        .said
        .iter()
        .find(|t| t.rule.as_str() == "rate" && t.to == ConditionState::Active);
    assert_eq!(told.unwrap().value, Some(48.0));
    // Noise of close readings is no rise, nor is the same rise over a minute.
    let noise = at(
        FRIDGE,
        &[
            (0, 0.0),
            (1, 2.0),
            (2, 0.0),
            (3, 2.0),
            (5, 0.0),
            (6, 2.0),
            (10, 0.0),
        ],
    );
    check("rate", &[noise], 20, &[]);
    check("rate", &[at(FRIDGE, &[(0, 0.0), (40, 8.0)])], 60, &[]);
}

#[test]
fn occurrences_are_counted_within_a_window_that_moves() {
    let opened = |times: &[i64]| {
        let both = times.iter().flat_map(|t| [(*t, 1.0), (t + 1, 0.0)]);
        at(DOOR, &both.collect::<Vec<_>>())
    };
    check("count", &[opened(&[10, 20, 30])], 69, &[(true, 30, 30)]);
    check(
        "count",
        &[opened(&[10, 20, 30])],
        70,
        &[(true, 30, 30), (false, 30, 70)],
    );
    check("count", &[opened(&[10, 20, 71])], 80, &[]);
    // A door that stays open was opened once.
    check("count", &[at(DOOR, &[(10, 1.0), (20, 1.0), (30, 1.0)])], 60, &[]);
}

#[test]
fn a_dose_adds_up_and_is_told_when_it_is_reached() {
    // Half a minute in the zone, half a minute cold, half a minute in the zone: a minute at 90 s.
    let parts = at(
        PROBE,
        &[
            (0, 30.0),
            (20, 30.0),
            (30, 4.0),
            (50, 4.0),
            (60, 30.0),
            (80, 30.0),
        ],
    );
    check("zone", std::slice::from_ref(&parts), 89, &[]);
    check("zone", std::slice::from_ref(&parts), 90, &[(true, 90, 90)]);
    // Heated through in between, it is another batch; an instant of it is not.
    let heated = at(
        PROBE,
        &[(0, 30.0), (30, 65.0), (40, 65.0), (45, 30.0), (80, 30.0)],
    );
    check("zone", &[heated], 100, &[]);
    let touched = at(PROBE, &[(0, 30.0), (30, 65.0), (35, 30.0), (60, 30.0)]);
    check("zone", &[touched], 100, &[(true, 65, 65)]);
    // What was not heard of does not count: a minute is the most that the probe may be silent.
    check("zone", &[at(PROBE, &[(0, 30.0)])], 59, &[]);
    check("zone", &[at(PROBE, &[(0, 4.0), (300, 30.0)])], 310, &[]);
    // Strong gas takes less time: 5 ppm·min are 10 s at 30.
    let gas = at(GAS, &[(0, 30.0), (15, 0.0), (30, 0.0), (36, 0.0)]);
    check("ppm", &[gas], 40, &[(true, 10, 10), (false, 10, 36)]);
}

#[test]
fn cooling_goes_in_stages_each_in_its_time() {
    let cooled = at(PROBE, &[(0, 65.0), (10, 59.0), (60, 21.0), (119, 8.0)]);
    check("cooling", &[cooled], 300, &[]);
    let slow_first = at(
        PROBE,
        &[(0, 65.0), (10, 59.0), (60, 30.0), (90, 20.0), (100, 8.0)],
    );
    check("cooling", &[slow_first], 120, &[(true, 70, 70), (false, 70, 90)]);
    let slow_second = at(
        PROBE,
        &[(0, 65.0), (10, 59.0), (60, 21.0), (110, 9.0), (130, 8.0)],
    );
    check(
        "cooling",
        &[slow_second],
        140,
        &[(true, 120, 120), (false, 120, 130)],
    );
    // Never hot: no cooling. Heated again: a new one.
    check(
        "cooling",
        &[at(PROBE, &[(0, 50.0), (60, 50.0), (120, 50.0)])],
        200,
        &[],
    );
    let again = at(
        PROBE,
        &[
            (0, 65.0),
            (10, 59.0),
            (60, 65.0),
            (70, 59.0),
            (110, 20.0),
            (120, 7.0),
        ],
    );
    check("cooling", &[again], 200, &[]);
}

#[test]
fn a_cycle_that_ends_too_early_has_failed() {
    let good = at(
        CABINET,
        &[(0, 20.0), (10, 70.0), (20, 101.0), (41, 101.0), (50, 40.0)],
    );
    check("cycle", std::slice::from_ref(&good), 60, &[]);
    let short = at(
        CABINET,
        &[
            (0, 20.0),
            (10, 70.0),
            (20, 101.0),
            (35, 90.0),
            (45, 101.0),
            (50, 40.0),
        ],
    );
    let stage = check("cycle", std::slice::from_ref(&short), 60, &[(true, 50, 50)]);
    let told = stage.said.iter().find(|t| t.rule.as_str() == "cycle").unwrap();
    assert_eq!(told.value, Some(0.25), "the longest time at the limit was 15 s");
    // The next one that succeeds makes it good, at the moment at which it has.
    let later: Vec<_> = at(
        CABINET,
        &[(60, 70.0), (70, 101.0), (80, 101.0), (90, 101.0), (95, 20.0)],
    );
    check("cycle", &[short, later], 100, &[(true, 50, 50), (false, 50, 90)]);
}

#[test]
fn each_bad_measurement_counts_once_late_or_not() {
    let weighed = at(SCALE, &[(10, 4.0), (20, 6.0), (30, 3.0)]);
    let both = [(true, 10, 10), (false, 10, 10), (true, 30, 30), (false, 30, 30)];
    check("event", std::slice::from_ref(&weighed), 40, &both);
    // Delivered again, nothing follows; delivered late, it counts.
    let again = vec![
        reading(SCALE, 10 * S, 35 * S, 4.0),
        reading(SCALE, 15 * S, 36 * S, 2.0),
    ];
    let late = [(true, 15, 15), (false, 15, 15)];
    check("event", &[weighed, again], 40, &[&both[..], &late].concat());
}

#[test]
fn what_is_not_there_by_a_time_of_day_is_missing() {
    // 08:18 in China is 1,080 s after midnight UTC; it counts from 08:17 on, and is told two minutes later.
    check("missing", &[], 1_199, &[]);
    check("missing", &[], 1_200, &[(true, 1_080, 1_080)]);
    check("missing", &[at(CHECK, &[(1_030, 1.0), (1_150, 1.0)])], 1_319, &[]);
    // Too early does not count, and late ends it.
    check(
        "missing",
        &[at(CHECK, &[(1_019, 1.0), (1_260, 1.0)])],
        1_300,
        &[(true, 1_080, 1_080), (false, 1_080, 1_260)],
    );
    // What is there, but says no, is not there.
    check(
        "missing",
        &[at(CHECK, &[(1_050, 0.0)])],
        1_210,
        &[(true, 1_080, 1_080)],
    );
}

#[test]
fn what_was_there_and_came_late_is_not_missing() {
    // Checked at 08:17:30; that came after the one of 08:18:20, a minute later.
    let swapped = vec![
        reading(CHECK, 1_100 * S, 1_101 * S, 1.0),
        reading(CHECK, 1_050 * S, 1_160 * S, 1.0),
        reading(CHECK, 1_160 * S, 1_161 * S, 1.0),
    ];
    check("missing", &[swapped], 1_319, &[]);
    // Too late to be waited for: told, and over as soon as it comes.
    let late = vec![reading(CHECK, 1_050 * S, 1_250 * S, 1.0)];
    check(
        "missing",
        &[late],
        1_300,
        &[(true, 1_080, 1_080), (false, 1_080, 1_080)],
    );
}

#[test]
fn an_outage_over_a_time_of_day_calls_nothing_missing_before_it_could_arrive() {
    let mut stage = Wide::new(Vec::new());
    stage.play(&with_ticks(&[], 0, 900 * S, S));
    // Down from 08:15 to 09:00; the devices deliver what they kept.
    let back = 3_600;
    let kept = vec![
        reading(CHECK, 1_030 * S, (back + 60) * S, 1.0),
        reading(CHECK, 1_150 * S, (back + 61) * S, 1.0),
        reading(CHECK, 1_450 * S, (back + 62) * S, 1.0),
    ];
    stage.play(&with_ticks(&kept, back * S, (back + 599) * S, S));
    assert_eq!(cases(&stage, "missing"), []);
    stage.play(&with_ticks(&[], (back + 600) * S, (back + 700) * S, S));
    // 08:31 has no reading: that is told, and nothing else.
    assert_eq!(cases(&stage, "missing"), [(true, 1_860, 1_860)]);
}

#[test]
fn a_value_that_never_moves_is_a_broken_probe() {
    let same: Vec<_> = (0..=8).map(|n| (n * 10, 4.0)).collect();
    check("stuck", &[at(FRIDGE, &same)], 90, &[(true, 60, 60)]);
    let moved = [(0, 4.0), (30, 4.0), (50, 4.1), (60, 4.1), (100, 4.1)];
    check("stuck", &[at(FRIDGE, &moved)], 109, &[]);
    // Two equal values with silence between them say nothing.
    check("stuck", &[at(FRIDGE, &[(0, 4.0), (100, 4.0)])], 110, &[]);
}

#[test]
fn a_clock_is_judged_once_per_device_and_by_receipt() {
    let lagging: Vec<_> = (1..=6)
        .map(|n| reading(FRIDGE, (n * 10 - 7) * S, n * 10 * S, 4.0))
        .collect();
    let right = at(FRIDGE, &[(80, 4.0)]);
    check("skew", &[lagging, right], 90, &[(true, 30, 30), (false, 30, 80)]);
    // A backlog that arrives at once is nobody's wrong clock.
    let backlog: Vec<_> = (0..50)
        .map(|n| reading(FRIDGE, n * S, 100 * S + n, 4.0))
        .collect();
    check("skew", &[backlog], 200, &[]);
    // Nor is a device that tells no time.
    let timeless = |n: i64| match reading(FRIDGE, n * 10 * S, n * 10 * S, 4.0) {
        LogEvent::Reading(mut r) => {
            r.quality = if n == 3 {
                Quality::ClockUnset
            } else {
                Quality::NoDeviceTime
            };
            LogEvent::Reading(r)
        }
        other => other,
    };
    check("skew", &[(1..9).map(timeless).collect()], 100, &[]);
}

#[test]
fn two_things_at_once_are_told_only_together() {
    let on = at(LAMP, &[(10, 1.0), (60, 0.0)]);
    let seen = |times: &[(i64, f64)]| at(PEOPLE, times);
    check("uv", std::slice::from_ref(&on), 100, &[]);
    check("uv", &[seen(&[(5, 2.0), (15, 2.0)])], 20, &[]);
    check(
        "uv",
        &[on.clone(), seen(&[(20, 1.0), (40, 0.0)])],
        100,
        &[(true, 20, 25), (false, 20, 45)],
    );
    // Not for long enough.
    check("uv", &[on, seen(&[(20, 1.0), (24, 0.0)])], 100, &[]);
    // A camera that has fallen silent sees nobody.
    let stage = check("uv", &[at(LAMP, &[(200, 1.0)]), seen(&[(20, 1.0)])], 300, &[]);
    assert!(stage.judge.board().points.len() == 9);
}

#[test]
fn a_window_joins_what_was_not_at_the_same_moment() {
    let opened = at(DOOR, &[(50, 1.0), (52, 0.0)]);
    let gas = |from: i64| at(GAS, &[(from, 12.0), (from + 5, 0.0)]);
    // Gas until 25 s counts until 55 s; the door counts from 50 s on.
    check(
        "leak",
        &[opened.clone(), gas(20)],
        100,
        &[(true, 50, 50), (false, 50, 55)],
    );
    check("leak", &[opened.clone(), gas(10)], 100, &[]);
    // In either order.
    check(
        "leak",
        &[opened, gas(80)],
        120,
        &[(true, 80, 80), (false, 80, 82)],
    );
}

#[test]
fn a_correlation_may_look_at_a_rise_and_ask_for_every_neighbour() {
    let rise = at(GAS, &[(10, 0.0), (16, 4.0), (22, 8.0), (28, 8.0)]);
    let nobody = at(PEOPLE, &[(5, 0.0), (25, 0.0)]);
    let told = check(
        "rising",
        &[rise.clone(), nobody],
        60,
        &[(true, 16, 16), (false, 16, 43)],
    );
    let first = told.said.iter().find(|t| t.rule.as_str() == "rising").unwrap();
    assert_eq!((first.value, first.limit), (Some(40.0), Some(20.0)), "per minute");
    check(
        "rising",
        &[rise.clone(), at(PEOPLE, &[(5, 1.0), (25, 1.0)])],
        60,
        &[],
    );
    // Without any camera nobody knows.
    check("rising", &[rise], 60, &[]);
}

#[test]
fn a_step_of_a_devices_clock_neither_blinds_nor_storms() {
    const YEAR: i64 = 365 * DAY;
    let start = 20 * YEAR;
    for step in [-10 * YEAR, -60 * MIN, -2 * S, 2 * S, 4 * MIN] {
        let mut stage = Wide::new(Vec::new());
        let mut log = Vec::new();
        for n in 0..60 {
            let now = start + n * 10 * S;
            let clock = if n < 30 { now } else { now + step };
            // Fine all along, but for a breach half a minute after the clock's step.
            let base = if (33..40).contains(&n) { 8.2 } else { 4.0 };
            let value = base + f64::from(i32::try_from(n % 2).unwrap()) / 2.0;
            log.push(reading(FRIDGE, clock, now, value));
        }
        stage.play(&log);
        let told = cases(&stage, "range");
        assert_eq!(told.len(), 2, "{step}: one case, opened and closed: {told:?}");
        let others = stage
            .said
            .iter()
            .filter(|t| t.to == ConditionState::Active && t.point.device.as_str() == "fridge")
            .filter(|t| !matches!(t.rule.as_str(), "range" | "skew"));
        assert_eq!(others.count(), 0, "{step}: nothing else follows");
        assert!(
            stage.judge.late_readings() <= 4,
            "{step}: {}",
            stage.judge.late_readings()
        );
    }
}

#[test]
fn while_our_own_clock_is_wrong_by_years_values_are_judged_all_the_same() {
    // Ten years ahead for a while, then right again: log time waits there, and does not go back.
    let decade = 3_650 * DAY;
    let start = 20 * 365 * DAY;
    let mut stage = Wide::new(Vec::new());
    for n in 0..90 {
        let now = start + n * 10 * S;
        let log_time = match n {
            0..30 => now,
            30..60 => now + decade,
            _ => start + 590 * S + decade,
        };
        let base = if (33..40).contains(&n) || (70..80).contains(&n) {
            8.2
        } else {
            4.0
        };
        let value = base + f64::from(i32::try_from(n % 2).unwrap()) / 2.0;
        stage.play(&[reading(FRIDGE, now, log_time, value)]);
    }
    let range = cases(&stage, "range");
    let opened = range.iter().filter(|(opened, ..)| *opened).count();
    assert_eq!((opened, range.len()), (2, 4), "{range:?}");
    assert_eq!(stage.judge.late_readings(), 0);
}

#[test]
fn a_step_of_our_own_clock_raises_no_storm() {
    // Ten years ahead and back again: log time does not go back, and what lies between was an outage.
    let decade = 3_650 * DAY;
    let mut stage = Wide::new(Vec::new());
    let before: Vec<_> = (0..10)
        .map(|n| {
            reading(
                FRIDGE,
                n * S,
                n * S,
                4.0 + f64::from(i32::try_from(n).unwrap()) / 10.0,
            )
        })
        .collect();
    stage.play(&before);
    stage.play(&[tick(decade), tick(decade + S), tick(10 * S), tick(decade + 2 * S)]);
    let active = stage
        .said
        .iter()
        .filter(|t| t.to == ConditionState::Active)
        .count();
    assert_eq!(active, 0, "{:?}", stage.said);
}

#[test]
fn a_limit_can_be_changed_and_what_lies_beside_it_keeps_its_distance() {
    let kind = RuleKind::Threshold {
        op: Comparison::Above,
        limit: 8.0,
        clear_op: Comparison::AtMost,
        clear_limit: 7.0,
    };
    let Some(RuleKind::Threshold {
        limit, clear_limit, ..
    }) = kind.with_limit(6.0)
    else {
        panic!("a threshold has a limit")
    };
    assert_eq!((limit, clear_limit), (6.0, 5.0));
    assert!(kind.breaks_upwards());
    assert_eq!(kind.with_limit(f64::NAN), None);
    assert_eq!(RuleKind::Boolean.with_limit(1.0), None);
    assert_eq!(RuleKind::NoData { intervals: 3 }.with_limit(2.5), None);
    let missing = RuleKind::Missing {
        op: Comparison::AtLeast,
        limit: 1.0,
        by: by(&["08:00"]),
        within_s: 60,
    };
    assert_eq!(rule("m", None, missing, 0, 0).kind.limit(), None);
}
