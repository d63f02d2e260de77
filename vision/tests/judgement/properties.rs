//! What holds whatever is seen.

use std::collections::BTreeMap;

use domain::{
    Check, CheckSetting, DeviceId, UtcMillis,
    check::CHECKS,
    observation::ObservedState::{Began, Ended},
};
use proptest::prelude::*;
use sunshine_vision::{
    judge::{CameraJudge, JudgeOptions, Judged, Verdicts},
    seen::{Detection, PersonVerdict, RegionVerdict, Verdict},
};

use crate::stage::{NEGATIVE, NOON, POSITIVE, START, TURNED_AWAY, camera, id, quick, small, thing};

/// One frame: how long after the last one, what is seen, and what the closer looks say, in turn.
#[derive(Debug, Clone)]
struct Scene {
    step_ms: i64,
    seen: Vec<Detection>,
    verdicts: Vec<Verdict>,
    stove: Option<bool>,
    minute: u16,
    reset: bool,
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        6 => Just(POSITIVE),
        2 => Just(NEGATIVE),
        1 => Just(TURNED_AWAY),
        1 => Just(Verdict::Positive(f32::NAN)),
    ]
}

fn scene() -> impl Strategy<Value = Scene> {
    let seen = prop_oneof![
        6 => (1_u8..10).prop_map(|x| thing("person", f32::from(x) / 10.0)),
        1 => (1_u8..10).prop_map(|x| small("cat", f32::from(x) / 10.0, 0.6)),
        1 => (1_u8..10).prop_map(|x| small("cell phone", f32::from(x) / 10.0, 0.3)),
    ];
    let step_ms = prop_oneof![20 => 67_i64..2_500, 1 => 40_000_i64..90_000, 1 => -5_000_i64..0];
    let minute = prop_oneof![9 => Just(NOON), 1 => Just(100_u16)];
    (
        step_ms,
        prop::collection::vec(seen, 0..5),
        prop::collection::vec(verdict(), 1..8),
        prop::option::of(prop::bool::weighted(0.9)),
        minute,
        prop::bool::weighted(0.02),
    )
        .prop_map(|(step_ms, seen, verdicts, stove, minute, reset)| Scene {
            step_ms,
            seen,
            verdicts,
            stove,
            minute,
            reset,
        })
}

/// Scenes that last: people mostly stay, so that there is something to find.
fn story() -> impl Strategy<Value = Vec<Scene>> {
    prop::collection::vec((scene(), 1_usize..25), 1..12).prop_map(|scenes| {
        let lasting = |(scene, times): (Scene, usize)| {
            let still = Scene {
                step_ms: scene.step_ms.clamp(67, 2_500),
                reset: false,
                ..scene.clone()
            };
            std::iter::once(scene).chain(std::iter::repeat_n(still, times))
        };
        scenes.into_iter().flat_map(lasting).collect()
    })
}

/// Every check that can be judged, in the whole picture and on the left.
fn settings() -> Vec<CheckSetting> {
    let in_left = |mut setting: CheckSetting| {
        setting.zone = Some(id("left"));
        setting
    };
    CHECKS
        .iter()
        .flat_map(|row| [quick(row.check), in_left(quick(row.check))])
        .collect()
}

/// Plays a story; `turn` turns the verdicts of each frame round. Returns what was told, with the times of the frames.
fn play(story: &[Scene], turn: usize, only: Option<Verdict>) -> Vec<(UtcMillis, Judged)> {
    let options = JudgeOptions {
        asks_per_frame: 50,
        ask_every_ms: 0,
        region_every_ms: 0,
        ..JudgeOptions::default()
    };
    let mut judge = CameraJudge::new(&camera(settings()), &options);
    let mut now = START;
    let mut told = Vec::new();
    for scene in story {
        now = now + scene.step_ms;
        if scene.reset {
            judge.reset();
        }
        let verdict = |n: usize| only.unwrap_or(scene.verdicts[n % scene.verdicts.len()]);
        let asks = judge.track(now, scene.minute, &scene.seen);
        let mut persons: Vec<PersonVerdict> = asks
            .iter()
            .enumerate()
            .map(|(n, ask)| PersonVerdict {
                track: ask.track,
                check: ask.check,
                verdict: verdict(n),
            })
            .collect();
        // Some are said twice, with another verdict.
        persons.extend_from_within(..persons.len() / 3);
        for (n, said) in persons.iter_mut().enumerate().skip(asks.len()) {
            said.verdict = verdict(n + 1);
        }
        let asks = judge.regions(now, scene.minute);
        let mut regions: Vec<RegionVerdict> = asks
            .into_iter()
            .enumerate()
            .map(|(n, ask)| RegionVerdict {
                zone: ask.zone,
                check: ask.check,
                verdict: verdict(n),
            })
            .collect();
        let by = turn % persons.len().max(1);
        persons.rotate_left(by);
        if turn % 2 == 1 {
            persons.reverse();
            regions.reverse();
        }
        let said = Verdicts {
            persons: &persons,
            regions: &regions,
            stove: scene.stove.filter(|_| only.is_none()),
        };
        told.push((now, judge.judge(now, scene.minute, &said)));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn findings_begin_and_end_in_turn_and_never_too_soon(story in story()) {
        let mut running: BTreeMap<(Check, Option<DeviceId>), UtcMillis> = BTreeMap::new();
        let mut last_told: BTreeMap<Check, UtcMillis> = BTreeMap::new();
        let mut latest = UtcMillis(0);
        for (at, judged) in play(&story, 0, None) {
            if at < latest - 1_000 {
                // The clock stepped back: nothing was later than now.
                last_told.values_mut().for_each(|told| *told = (*told).min(at));
                latest = at;
            }
            latest = latest.max(at);
            for said in &judged.observations {
                prop_assert_eq!(said.check_bounds(), Ok(()));
                prop_assert_eq!(said.at, latest);
                let who = (said.check, said.zone.clone());
                match said.state {
                    Began => {
                        prop_assert!(running.insert(who, said.at).is_none(), "twice: {:?}", said);
                        prop_assert!(said.at.ms_since(said.since()) >= 2_000, "{:?}", said);
                        prop_assert!(said.tally.positive >= 2, "{:?}", said);
                        let last = last_told.insert(said.check, said.at);
                        prop_assert!(last.is_none_or(|last| said.at.ms_since(last) >= 60_000), "{:?}", said);
                    }
                    Ended => prop_assert!(running.remove(&who).is_some(), "never began: {:?}", said),
                }
            }
            let mut metrics: Vec<&str> = judged.series.iter().map(|(metric, _)| metric.as_str()).collect();
            metrics.sort_unstable();
            let told = metrics.len();
            metrics.dedup();
            prop_assert_eq!(told, metrics.len(), "a metric twice");
            for (metric, value) in &judged.series {
                prop_assert!(value.is_finite() && *value >= 0.0);
                if let Some(check) = Check::parse(metric.as_str()) {
                    let runs = running.keys().any(|(running, _)| *running == check);
                    prop_assert_eq!(*value, f64::from(u8::from(runs)), "{}", check.code());
                }
            }
            prop_assert!(judged.boxes.len() <= 64);
        }
    }

    #[test]
    fn the_order_of_verdicts_changes_nothing(story in story(), turn in 1_usize..9) {
        prop_assert_eq!(play(&story, 0, None), play(&story, turn, None));
    }

    #[test]
    fn what_is_only_unjudged_never_begins(story in story()) {
        let by_verdict = |check: Check| {
            let kind = check.info().kind;
            matches!(kind, domain::check::CheckKind::Person | domain::check::CheckKind::Region)
        };
        for (_, judged) in play(&story, 0, Some(TURNED_AWAY)) {
            let begun = judged.observations.iter().find(|said| by_verdict(said.check));
            prop_assert_eq!(begun, None);
            let stove = judged.observations.iter().find(|said| said.check == Check::StoveUnattended);
            prop_assert_eq!(stove, None, "nobody knows whether the stove is on");
        }
    }
}

/// Stories that find nothing would prove nothing.
#[test]
fn the_stories_find_something() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut begun: BTreeMap<Check, usize> = BTreeMap::new();
    for _ in 0..40 {
        let story = story().new_tree(&mut runner).unwrap().current();
        for (_, judged) in play(&story, 0, None) {
            for said in judged.observations.iter().filter(|said| said.state == Began) {
                *begun.entry(said.check).or_default() += 1;
            }
        }
    }
    for check in [
        Check::NoMask,
        Check::BinOpen,
        Check::OverCapacity,
        Check::OffHoursPresence,
    ] {
        assert!(begun.get(&check).is_some_and(|n| *n >= 3), "{check:?}: {begun:?}");
    }
}
