//! A lamp that must be run before the room is used.

use sunshine_domain::{Judge, LogEvent, Transition, UtcMillis, pack};

use crate::stage::{S, point, reading};

/// 2026-11-18T00:00 in China.
const MIDNIGHT: i64 = 1_794_931_200_000;
const MINUTE: i64 = 60 * S;

/// What a day says at which the lamp was on from `from` for `minutes`: rule, and minute of the day.
fn told(run: Option<(i64, i64)>) -> Vec<(String, i64)> {
    let rules = pack::active(&["cn-canteen"]).unwrap();
    let points = [point("lamp", "uv_on", "uv_lamp", 600)];
    let mut judge = Judge::new(rules, &points);
    let at = judge.point(&points[0].key()).unwrap();
    let mut said: Vec<Transition> = Vec::new();
    // From the evening before until noon, a tick every ten seconds and a reading every five minutes.
    for n in 0..18 * 60 * 6 {
        let now = MIDNIGHT - 6 * 60 * MINUTE + n * 10 * S;
        judge.tick(UtcMillis(now), &mut said);
        if n % 30 == 0 {
            let minute = (now - MIDNIGHT) / MINUTE;
            let on = run.is_some_and(|(from, minutes)| (from..from + minutes).contains(&minute));
            let LogEvent::Reading(value) = reading(0, now, now, f64::from(u8::from(on))) else {
                unreachable!("a reading")
            };
            judge.reading(at, &value, &mut said);
        }
    }
    let active = said
        .iter()
        .filter(|t| t.to == sunshine_domain::ConditionState::Active);
    active
        .map(|t| (t.rule.to_string(), (t.at.0 - MIDNIGHT) / MINUTE))
        .collect()
}

#[test]
fn a_lamp_that_never_was_on_before_the_first_entry_is_caught_and_so_is_one_that_ran_too_short() {
    let never = told(None);
    assert_eq!(never.len(), 1, "{never:?}");
    assert_eq!((never[0].0.as_str(), never[0].1 / 10), ("CN-UV-04", 54));
    // Half an hour before work: nothing is said.
    assert_eq!(told(Some((7 * 60, 40))), []);
    // A quarter of an hour: it was on, but not for long enough.
    let short = told(Some((7 * 60, 15)));
    assert_eq!(short.len(), 1, "{short:?}");
    assert_eq!(short[0].0, "CN-UV-01");
}
