//! What holds for any log.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sunshine_domain::{Batch, ConditionState, Judge, LogEvent, LogPosition, Transition, batch::Tick};

use crate::{
    stage::{S, Stage, points, reading, received, rules, tick},
    wide::{self, Wide},
};

/// A log with steps of at most 8 s between events, lags, backlogs and equal moments; from time to time
/// the server is down for a while.
fn log() -> impl Strategy<Value = Vec<LogEvent>> {
    let step = prop_oneof![30 => 0..8 * S, 1 => 11 * S..600 * S];
    let value = prop_oneof![
        Just(9.0),
        Just(7.5),
        Just(4.0),
        Just(-1.0),
        Just(1.0),
        Just(0.0),
        Just(12.0)
    ];
    let lag = prop_oneof![5 => Just(0_i64), 3 => 0..3 * S, 1 => -2 * S..900 * S];
    let event = (step, 0_u32..4, lag, value);
    prop::collection::vec(event, 1..400).prop_map(|events| {
        let mut now = 1_000 * S;
        let build = |(step, point, lag, value): (i64, u32, i64, f64)| {
            now += step;
            if point == 3 {
                tick(now)
            } else {
                reading(point, now - lag, now, value)
            }
        };
        events.into_iter().map(build).collect()
    })
}

/// The same for the kitchen in which every kind of rule has something to judge.
fn wide_log() -> impl Strategy<Value = Vec<LogEvent>> {
    let step = prop_oneof![40 => 0..8 * S, 1 => 11 * S..200 * S];
    let value = prop::sample::select(vec![
        -1.0, 0.0, 1.0, 4.0, 7.5, 9.0, 12.0, 21.0, 30.0, 65.0, 101.0, 130.0,
    ]);
    let lag = prop_oneof![6 => Just(0_i64), 3 => 0..3 * S, 1 => -2 * S..300 * S];
    let event = (step, 0_u32..10, lag, value);
    prop::collection::vec(event, 1..400).prop_map(|events| {
        let mut now = 1_000 * S;
        let build = |(step, point, lag, value): (i64, u32, i64, f64)| {
            now += step;
            if point == 9 {
                tick(now)
            } else {
                reading(point, now - lag, now, value)
            }
        };
        events.into_iter().map(build).collect()
    })
}

fn wide(log: &[LogEvent]) -> Vec<Transition> {
    let mut stage = Wide::new(wide::mutes());
    stage.play(log);
    stage.said
}

/// A log with ticks wherever the server was up.
fn ticked(log: &[LogEvent], every: i64) -> Vec<LogEvent> {
    let mut more = Vec::new();
    for pair in log.windows(2) {
        more.push(pair[0]);
        let (from, to) = (received(&pair[0]), received(&pair[1]));
        if to - from <= 10 * S {
            let mut at = from + every;
            while at < to {
                more.push(tick(at));
                at += every;
            }
        }
    }
    more.extend(log.last().copied());
    more
}

/// How many cases each property is tried on; `PROPTEST_CASES` asks for more.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    // What proptest tries when nobody asks.
    let unasked = 256;
    if asked.cases == unasked {
        return ProptestConfig::with_cases(usual);
    }
    asked
}

/// Shorter holds, so that a log of minutes sees whole lives of conditions.
fn quick(log: &[LogEvent]) -> Vec<Transition> {
    let mut stage = quick_stage();
    stage.play(log);
    stage.said
}

fn quick_rules() -> Vec<sunshine_domain::Rule> {
    let mut rules = rules();
    for rule in &mut rules {
        rule.hold_ms /= 30;
        rule.clear_hold_ms /= 30;
    }
    rules
}

fn quick_stage() -> Stage {
    Stage {
        judge: Judge::new(quick_rules(), &points()),
        said: Vec::new(),
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn ticks_make_nothing_happen_that_would_not_happen_anyway(log in log(), every in 1..9 * S) {
        prop_assert_eq!(quick(&ticked(&log, every)), quick(&log));
    }

    #[test]
    fn a_judge_restored_anywhere_goes_on_as_the_first(log in log(), at in any::<prop::sample::Index>()) {
        let at = at.index(log.len());
        let mut first = quick_stage();
        first.play(&log[..at]);
        let mut out = Vec::new();
        let restored = Judge::restore(&first.judge.snapshot(), quick_rules(), &points(), &mut out);
        prop_assert!(out.is_empty());
        let mut second = Stage { judge: restored, said: first.said.clone() };
        prop_assert_eq!(second.judge.board(), first.judge.board());
        first.play(&log[at..]);
        second.play(&log[at..]);
        prop_assert_eq!(&second.said, &first.said);
        prop_assert_eq!(second.judge.board(), first.judge.board());
        prop_assert_eq!(second.judge.snapshot(), first.judge.snapshot());
        prop_assert_eq!(first.said, quick(&log));
    }

    #[test]
    fn conditions_take_only_the_steps_there_are(log in log()) {
        use ConditionState::{Active, Cleared, Normal, Pending};
        let holds: BTreeMap<_, _> = quick_rules().into_iter().map(|r| (r.id.clone(), r)).collect();
        let mut states = BTreeMap::new();
        let mut begun = BTreeSet::new();
        for t in quick(&log) {
            let state = states.entry((t.rule.clone(), t.point.clone())).or_insert(Normal);
            prop_assert_eq!(*state, t.from, "{:?}", t);
            let allowed = [(Normal, Pending), (Normal, Active), (Pending, Active), (Pending, Normal), (Active, Cleared)];
            prop_assert!(allowed.contains(&(t.from, t.to)), "{:?}", t);
            *state = if t.to == Cleared { Normal } else { t.to };
            let hold = holds[&t.rule].hold_ms;
            match t.to {
                // Never before its hold, and exactly at it, whenever it became known. Silence has its own.
                Active => {
                    if t.limit.is_some() {
                        prop_assert_eq!(t.at.0, t.since.0 + hold);
                        prop_assert!(t.from == Pending || hold == 0);
                    }
                    prop_assert!(begun.insert((t.rule.clone(), t.point.clone(), t.since)), "rang twice: {:?}", t);
                }
                Cleared => prop_assert!(t.at >= t.since),
                _ => {}
            }
        }
    }

    #[test]
    fn batches_and_a_restart_between_them_change_nothing(
        log in log(), live in 1_usize..50, replay in 1_usize..50, stop in any::<prop::sample::Index>(),
    ) {
        // The live run cuts the log one way and dies; the replay cuts it another way and begins earlier
        // than the snapshot's position.
        let before = batches(&log, live);
        let stop = stop.index(before.len());
        let mut first = quick_stage();
        let mut position = LogPosition::default();
        for batch in &before[..stop] {
            let events: Vec<_> = batch.events_from(position).unwrap().collect();
            first.play(&events);
            position = batch.upto;
        }
        let judge = Judge::restore(&first.judge.snapshot(), quick_rules(), &points(), &mut Vec::new());
        let mut second = Stage { judge, said: first.said };
        for batch in batches(&log, replay).iter().filter(|b| b.upto > position) {
            let events: Vec<_> = batch.events_from(position).unwrap().collect();
            second.play(&events);
        }
        prop_assert_eq!(second.said, quick(&log));
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn ticks_change_nothing_for_any_kind_of_rule(log in wide_log(), every in 1..9 * S) {
        prop_assert_eq!(wide(&ticked(&log, every)), wide(&log));
    }

    #[test]
    fn a_judge_of_any_kind_of_rule_restored_anywhere_goes_on_as_the_first(
        log in wide_log(), at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let mut first = Wide::new(wide::mutes());
        first.play(&log[..at]);
        let mut out = Vec::new();
        let snapshot = first.judge.snapshot();
        let mut judge = Judge::restore(&snapshot, wide::rules(), &wide::points(), &mut out);
        judge.set_mutes(wide::mutes(), &mut out);
        prop_assert!(out.is_empty(), "{:?}", out);
        prop_assert_eq!(judge.snapshot(), snapshot);
        let mut second = Wide { judge, said: first.said.clone() };
        prop_assert_eq!(second.judge.board(), first.judge.board());
        first.play(&log[at..]);
        second.play(&log[at..]);
        prop_assert_eq!(&second.said, &first.said);
        prop_assert_eq!(second.judge.board(), first.judge.board());
        prop_assert_eq!(second.judge.snapshot(), first.judge.snapshot());
    }

    #[test]
    fn conditions_of_any_kind_take_only_the_steps_there_are(log in wide_log()) {
        use ConditionState::{Active, Cleared, Normal, Pending, Shelved};
        let allowed = [
            (Normal, Pending), (Normal, Active), (Pending, Active), (Pending, Normal), (Active, Cleared),
            (Normal, Shelved), (Pending, Shelved), (Pending, Pending), (Shelved, Active), (Shelved, Normal),
            (Shelved, Pending),
        ];
        let mut states = BTreeMap::new();
        let mut told = BTreeSet::new();
        for t in wide(&log) {
            let state = states.entry((t.rule.clone(), t.point.clone())).or_insert(Normal);
            prop_assert_eq!(*state, t.from, "{:?}", t);
            prop_assert!(allowed.contains(&(t.from, t.to)), "{:?}", t);
            *state = if t.to == Cleared { Normal } else { t.to };
            if t.to == Active {
                prop_assert!(told.insert((t.rule.clone(), t.point.clone(), t.since)), "told twice: {:?}", t);
            }
            if t.rule.as_str() == "rising" {
                prop_assert!(t.to != Shelved, "what endangers life is never set aside");
            }
        }
    }
}

/// The log in batches of `size` events; every event is one record of 10 bytes.
fn batches(log: &[LogEvent], size: usize) -> Vec<Batch> {
    let chunks = log.chunks(size).zip(0_u64..);
    let batch = |(events, n): (&[LogEvent], u64)| {
        let from = n * size as u64 * 10;
        let mut batch = Batch {
            from: LogPosition(from),
            ..Batch::default()
        };
        batch.upto = LogPosition(from + events.len() as u64 * 10);
        for (event, at) in events.iter().zip((from..).step_by(10)) {
            match event {
                LogEvent::Tick(moment) => batch.ticks.push(Tick {
                    before: batch.readings.len(),
                    at: *moment,
                }),
                LogEvent::Reading(reading) => {
                    batch.readings.push(*reading);
                    batch.positions.push(LogPosition(at));
                }
            }
        }
        batch
    };
    chunks.map(batch).collect()
}
