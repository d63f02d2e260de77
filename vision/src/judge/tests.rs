//! Judgement of scripted looks, and of random ones.

use domain::{
    CameraKey, CameraSource, FacilityId, Room, Spot,
    camera::{Decoding, Retention, Zone},
    check::{Hours, Vote},
};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;
use crate::seen::Unjudged;

const NOON: u16 = 720;
const MIDNIGHT: u16 = 0;

fn zone(id: &str, left: f32, right: f32) -> Zone {
    let corners = [(left, 0.0), (right, 0.0), (right, 1.0), (left, 1.0)];
    Zone {
        id: DeviceId::new(id).unwrap(),
        name: id.to_owned(),
        area: Polygon::new(corners.iter().map(|&(x, y)| Spot { x, y }).collect()).unwrap(),
    }
}

fn camera(checks: Vec<CheckSetting>) -> Camera {
    Camera {
        key: CameraKey {
            facility: FacilityId::new("f").unwrap(),
            camera: DeviceId::new("c").unwrap(),
        },
        room: Room::Kitchen,
        place_zh: String::new(),
        place_en: String::new(),
        source: CameraSource::Pushed,
        decoding: Decoding::default(),
        masks: Vec::new(),
        zones: vec![zone("left", 0.0, 0.5), zone("right", 0.5, 1.0)],
        line: None,
        capacity: Some(2),
        checks,
        schedule: Schedule::default(),
        gb_id: None,
        live: true,
        retention: Retention::default(),
        enabled: true,
    }
}

fn setting(check: Check, needed: u8, of: u8, min_duration_s: u16) -> CheckSetting {
    CheckSetting {
        vote: Vote { needed, of },
        min_duration_s,
        re_alarm_s: 60,
        ..CheckSetting::of(check)
    }
}

fn judge(setting: CheckSetting) -> CameraJudge {
    let findings = [("cat", Check::AnimalInKitchen), ("cell phone", Check::PhoneUse)];
    let options = JudgeOptions {
        findings: findings
            .into_iter()
            .map(|(label, check)| (Arc::from(label), check))
            .collect(),
        ..JudgeOptions::default()
    };
    CameraJudge::new(&camera(vec![setting]), options)
}

fn thing(label: &str, x: f32) -> Detection {
    Detection {
        label: Arc::from(label),
        score: 0.8,
        area: PictureBox::new(x, 0.3, x + 0.1, 0.9).unwrap(),
    }
}

/// One look a second: what is found, what models answer about everybody who is asked about, and what is told.
struct Scene {
    judge: CameraJudge,
    second: i64,
    minute: u16,
    stove: Option<bool>,
}

impl Scene {
    fn new(setting: CheckSetting) -> Scene {
        Scene {
            judge: judge(setting),
            second: 0,
            minute: NOON,
            stove: None,
        }
    }

    fn look(&mut self, found: &[Detection], answer: Verdict) -> Vec<(ObservedState, i64)> {
        let at = UtcMillis(self.second * 1_000);
        let asks = self.judge.track(at, self.minute, found);
        let verdicts: Vec<PersonVerdict> = asks
            .iter()
            .flat_map(|ask| ask.checks.iter().map(|check| (ask.track, *check)))
            .map(|(track, check)| PersonVerdict {
                track,
                check,
                verdict: answer,
            })
            .collect();
        let judged = self.judge.judge((at, self.minute), &verdicts, &[], self.stove);
        self.second += 1;
        judged
            .observations
            .iter()
            .map(|o| (o.state, o.at.0 / 1_000))
            .collect()
    }

    /// The same look again and again.
    fn looks(&mut self, seconds: usize, found: &[Detection], answer: Verdict) -> Vec<(ObservedState, i64)> {
        (0..seconds).flat_map(|_| self.look(found, answer)).collect()
    }
}

const BARE: Verdict = Verdict::Positive(0.9);
const MASKED: Verdict = Verdict::Negative(0.1);
const HIDDEN: Verdict = Verdict::Unjudged(Unjudged::TurnedAway);

#[test]
fn a_bare_face_is_told_after_its_time_and_ends_when_it_is_covered() {
    let mut scene = Scene::new(setting(Check::NoMask, 3, 5, 4));
    let cook = [thing("person", 0.2)];
    // The first look makes the track, the second confirms it and is judged.
    assert_eq!(scene.looks(5, &cook, BARE), []);
    assert_eq!(scene.looks(1, &cook, BARE), [(ObservedState::Began, 5)]);
    assert_eq!(scene.looks(20, &cook, BARE), [], "told once");
    let told = scene.looks(12, &cook, MASKED);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, ObservedState::Ended);
}

#[test]
fn what_cannot_be_judged_is_counted_and_accuses_nobody() {
    let mut scene = Scene::new(setting(Check::NoMask, 1, 1, 1));
    let cook = [thing("person", 0.2)];
    assert_eq!(scene.looks(60, &cook, HIDDEN), []);
    assert!(scene.judge.recent.unjudged(Check::NoMask) > 10);
    assert_eq!(scene.judge.recent.unjudged_share(), 1.0);
    assert_eq!(scene.judge.recent.compliance_share(None), None);
}

#[test]
fn one_who_was_bare_once_does_not_become_so_by_waiting() {
    let mut scene = Scene::new(setting(Check::NoMask, 1, 5, 10));
    let cook = [thing("person", 0.2)];
    scene.looks(2, &cook, BARE);
    assert_eq!(scene.looks(60, &cook, HIDDEN), []);
}

#[test]
fn a_check_counts_in_its_zone_and_its_hours_only() {
    let in_the_left = CheckSetting {
        zone: Some(DeviceId::new("left").unwrap()),
        ..setting(Check::NoMask, 1, 1, 1)
    };
    let mut scene = Scene::new(in_the_left.clone());
    assert_eq!(scene.looks(10, &[thing("person", 0.7)], BARE), []);
    let mut scene = Scene::new(in_the_left.clone());
    assert_eq!(scene.looks(10, &[thing("person", 0.2)], BARE).len(), 1);
    let mut scene = Scene::new(CheckSetting {
        hours: Hours::Working,
        ..in_the_left
    });
    scene.minute = MIDNIGHT;
    assert_eq!(scene.looks(10, &[thing("person", 0.2)], BARE), []);
}

#[test]
fn counts_and_objects_are_told() {
    let night = |check| CheckSetting {
        hours: Hours::Always,
        ..setting(check, 2, 3, 2)
    };
    let cases: [(Check, Option<bool>, Vec<Detection>, bool); 9] = [
        (Check::OffHoursPresence, None, vec![thing("person", 0.1)], true),
        (Check::OffHoursPresence, None, vec![thing("cat", 0.1)], false),
        (Check::AnimalInKitchen, None, vec![thing("cat", 0.1)], true),
        (Check::PhoneUse, None, vec![thing("cell phone", 0.1)], false),
        (
            Check::PhoneUse,
            None,
            vec![thing("cell phone", 0.1), thing("person", 0.1)],
            true,
        ),
        (Check::StoveUnattended, Some(true), vec![], true),
        (Check::StoveUnattended, None, vec![], false),
        (
            Check::StoveUnattended,
            Some(true),
            vec![thing("person", 0.1)],
            false,
        ),
        (
            Check::OverCapacity,
            None,
            vec![thing("person", 0.1), thing("person", 0.4)],
            false,
        ),
    ];
    for (check, stove, found, told) in cases {
        let mut scene = Scene::new(night(check));
        scene.stove = stove;
        let observations = scene.looks(12, &found, HIDDEN);
        assert_eq!(
            !observations.is_empty(),
            told,
            "{check:?} {stove:?} {found:?}: {observations:?}"
        );
    }
    let mut crowd = Scene::new(night(Check::OverCapacity));
    let three = [0.1, 0.4, 0.7].map(|x| thing("person", x));
    assert_eq!(crowd.looks(12, &three, HIDDEN).len(), 1, "three where two may be");
}

#[test]
fn states_are_said_while_pictures_come() {
    let mut judge = judge(setting(Check::NoMask, 1, 1, 1));
    let mut said = Vec::new();
    for second in 0..31 {
        let at = UtcMillis(second * 1_000);
        judge.track(at, NOON, &[]);
        let series = judge.judge((at, NOON), &[], &[], None).series;
        if series
            .iter()
            .any(|(metric, value)| metric.as_str() == "no_mask" && *value == 0.0)
        {
            said.push(second);
        }
    }
    assert_eq!(said, [0, 10, 20, 30]);
}

#[test]
fn who_was_never_judged_is_asked_about_first_and_questions_are_bounded() {
    let mut judge = judge(setting(Check::NoMask, 1, 1, 1));
    let crowd: Vec<Detection> = (0..8_u8).map(|n| thing("person", 0.11 * f32::from(n))).collect();
    judge.track(UtcMillis(0), NOON, &crowd);
    let first = judge.track(UtcMillis(1_000), NOON, &crowd);
    assert_eq!(first.len(), 4);
    let verdicts: Vec<PersonVerdict> = first
        .iter()
        .map(|ask| PersonVerdict {
            track: ask.track,
            check: Check::NoMask,
            verdict: MASKED,
        })
        .collect();
    judge.judge((UtcMillis(1_000), NOON), &verdicts, &[], None);
    let second = judge.track(UtcMillis(2_000), NOON, &crowd);
    let again = second
        .iter()
        .filter(|ask| first.iter().any(|f| f.track == ask.track))
        .count();
    assert_eq!((second.len(), again), (4, 0));
}

#[test]
fn a_reset_ends_what_was_told_and_forgets_the_rest() {
    let mut scene = Scene::new(setting(Check::NoMask, 1, 1, 1));
    let cook = [thing("person", 0.2)];
    assert_eq!(scene.looks(10, &cook, BARE).len(), 1);
    let ended = scene.judge.reset(UtcMillis(10_000));
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].state, ObservedState::Ended);
    assert_eq!(scene.judge.reset(UtcMillis(11_000)), []);
}

fn answers() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(BARE), Just(MASKED), Just(HIDDEN)]
}

proptest! {
    #[test]
    fn a_beginning_follows_an_end_and_never_too_soon(
        looks in prop::collection::vec((answers(), any::<bool>()), 1..200),
        least in 1u16..8,
    ) {
        let mut scene = Scene::new(setting(Check::NoMask, 2, 3, least));
        let (mut running, mut last_began, mut first_bare) = (false, None, None);
        for (answer, here) in looks {
            let second = scene.second;
            if answer == BARE && here && first_bare.is_none() {
                first_bare = Some(second);
            }
            let found: Vec<Detection> = here.then(|| thing("person", 0.2)).into_iter().collect();
            for (state, at) in scene.look(&found, answer) {
                match state {
                    ObservedState::Began => {
                        prop_assert!(!running, "it began twice");
                        prop_assert!(first_bare.is_some_and(|first| at - first >= i64::from(least)));
                        prop_assert!(last_began.is_none_or(|last| at - last >= 60), "told again too soon");
                        last_began = Some(at);
                    }
                    ObservedState::Ended => prop_assert!(running, "it ended twice"),
                }
                running = state == ObservedState::Began;
            }
        }
    }

    #[test]
    fn the_order_of_verdicts_changes_nothing(flip in any::<bool>(), bare in any::<[bool; 3]>()) {
        let run = |reverse: bool| {
            let mut judge = judge(setting(Check::NoMask, 2, 3, 2));
            let people = [0.1, 0.4, 0.7].map(|x| thing("person", x));
            let mut told = Vec::new();
            for second in 0..20 {
                let at = UtcMillis(second * 1_000);
                let asks = judge.track(at, NOON, &people);
                let mut verdicts: Vec<PersonVerdict> = asks
                    .iter()
                    .map(|ask| PersonVerdict {
                        track: ask.track,
                        check: Check::NoMask,
                        verdict: if bare[ask.track as usize % 3] { BARE } else { MASKED },
                    })
                    .collect();
                if reverse {
                    verdicts.reverse();
                }
                told.extend(judge.judge((at, NOON), &verdicts, &[], None).observations);
            }
            told
        };
        prop_assert_eq!(run(flip), run(!flip));
    }
}
