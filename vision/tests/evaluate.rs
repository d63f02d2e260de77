//! Findings held against labels.

use std::collections::BTreeMap;

use domain::{
    Check::{self, NoGloves, NoMask, PhoneUse},
    observation::Tally,
};
use proptest::prelude::*;
use sunshine_vision::evaluate::{Clip, Event, LabelError, Labels, MAX_LABEL_BYTES, Score, evaluate};

fn events(check: Check, spans: &[(f64, f64)]) -> Vec<Event> {
    spans
        .iter()
        .map(|&(from_s, to_s)| Event { check, from_s, to_s })
        .collect()
}

/// A clip of an hour.
fn clip(labelled: Vec<Event>, found: Vec<Event>) -> Clip {
    Clip {
        length_s: 3_600.0,
        labels: Labels {
            checks: Vec::new(),
            events: labelled,
        },
        found,
        looks: BTreeMap::new(),
    }
}

#[test]
fn labels_are_read() {
    let text =
        "checks = [\"no_mask\", \"phone_use\"]\n\n[[event]]\ncheck = \"no_mask\"\nfrom_s = 12.5\nto_s = 31\n";
    let labels = Labels::parse(text).unwrap();
    assert_eq!(labels.checks, [NoMask, PhoneUse]);
    assert_eq!(labels.events, events(NoMask, &[(12.5, 31.0)]));
    assert_eq!(
        Labels::parse("").unwrap(),
        Labels::default(),
        "nothing happens in the clip"
    );
}

#[test]
fn wrong_labels_are_refused_with_their_line() {
    let event = |lines: &str| format!("checks = [\"no_mask\"]\n[[event]]\n{lines}");
    for (text, line) in [
        ("x = [".to_owned(), 1),
        ("\nchecks = [\"no_hat\"]".into(), 2),
        (event("check = \"no_hat\"\nfrom_s = 1.0\nto_s = 2.0"), 3),
        (event("check = \"no_gloves\"\nfrom_s = 1.0\nto_s = 2.0"), 3),
        (event("check = \"no_mask\"\nfrom_s = 2.0\nto_s = 2.0"), 4),
        (event("check = \"no_mask\"\nfrom_s = -1.0\nto_s = 2.0"), 4),
        (event("check = \"no_mask\"\nfrom_s = nan\nto_s = 2.0"), 4),
        (event("check = \"no_mask\"\nfrom_s = 1.0\nto_s = inf"), 4),
        (event("check = \"no_mask\"\nfrom_s = \"1\"\nto_s = 2.0"), 4),
        (
            event("check = \"no_mask\"\nfrom_s = 1.0\nto_s = 2.0\nwho = \"x\""),
            6,
        ),
    ] {
        let error = Labels::parse(&text).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("line {line}: ")),
            "{text}: {error}"
        );
    }
    let missing = Labels::parse(&event("check = \"no_mask\"\nfrom_s = 1.0")).unwrap_err();
    assert!(missing.to_string().contains("to_s"), "{missing}");
    let long = "#".repeat(MAX_LABEL_BYTES + 1);
    assert_eq!(Labels::parse(&long), Err(LabelError::TooLong(long.len())));
}

#[test]
fn each_finding_is_right_or_false_and_each_event_found_or_missed() {
    let labelled = events(NoMask, &[(10.0, 20.0), (50.0, 60.0), (100.0, 110.0)]);
    let found = events(
        NoMask,
        // Of the first twice, just before the second within the tolerance, of nothing.
        &[(13.0, 15.0), (17.0, 25.0), (46.0, 48.5), (200.0, 210.0)],
    );
    let report = evaluate(&[clip(labelled, found)], 2.0);
    let score = &report.checks[&NoMask];
    let want = Score {
        events: 3,
        events_found: 2,
        right: 3,
        repeats: 1,
        false_alarms: 1,
        watched_s: 3_600.0,
        judged: 0,
        unjudged: 0,
        delays_s: vec![0.0, 3.0],
    };
    assert_eq!(*score, want);
    assert_eq!(score.precision(), Some(0.75));
    assert_eq!(score.recall(), Some(2.0 / 3.0));
    assert!((score.f1().unwrap() - 12.0 / 17.0).abs() < 1e-12);
    assert_eq!(score.false_alarms_per_camera_day(), Some(24.0));
    assert_eq!(
        (score.delay_median_s(), score.delay_p95_s()),
        (Some(0.0), Some(3.0))
    );
    assert_eq!(report.total, want);
}

#[test]
fn a_check_that_was_not_looked_for_is_not_held_against_it() {
    let mut masks_only = clip(events(NoMask, &[(0.0, 5.0)]), events(NoGloves, &[(1.0, 2.0)]));
    masks_only.labels.checks = vec![NoMask];
    let report = evaluate(&[masks_only, clip(vec![], events(NoGloves, &[(1.0, 2.0)]))], 1.0);
    assert_eq!(report.checks[&NoGloves].false_alarms, 1);
    assert_eq!(
        report.checks[&NoGloves].watched_s, 3_600.0,
        "of the clip that was labelled for it"
    );
    assert_eq!(report.checks[&NoMask].recall(), Some(0.0));
    assert_eq!(report.checks[&NoMask].precision(), None);
    assert_eq!(report.checks[&NoMask].watched_s, 7_200.0);
    assert_eq!(report.total.watched_s, 7_200.0);
    assert_eq!(report.total.false_alarms_per_camera_day(), Some(12.0));
}

#[test]
fn looks_that_could_not_be_judged_have_a_share() {
    let mut one = clip(vec![], vec![]);
    let tally = Tally {
        judged: 30,
        positive: 3,
        unjudged: 10,
    };
    one.looks.insert(NoMask, tally);
    let report = evaluate(&[one.clone(), one], 1.0);
    assert_eq!(report.checks[&NoMask].unjudged_share(), Some(0.25));
    let nothing = evaluate(&[], 1.0);
    assert_eq!(nothing.checks.len(), 0);
    assert_eq!(nothing.total.f1(), None);
    assert_eq!(nothing.total.unjudged_share(), None);
    assert_eq!(nothing.total.false_alarms_per_camera_day(), None);
    assert_eq!(nothing.total.delay_p95_s(), None);
}

fn spans() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((0.0_f64..500.0, 0.1_f64..50.0), 0..12).prop_map(|spans| {
        spans
            .into_iter()
            .map(|(from, long)| (from, from + long))
            .collect()
    })
}

proptest! {
    /// What is written is read back.
    #[test]
    fn labels_survive_being_written(spans in spans(), masks in any::<bool>()) {
        let check = if masks { NoMask } else { PhoneUse };
        let want = events(check, &spans);
        let text: String = want
            .iter()
            .map(|e| format!("[[event]]\ncheck = \"{}\"\nfrom_s = {:?}\nto_s = {:?}\n", e.check.code(), e.from_s, e.to_s))
            .collect();
        prop_assert_eq!(Labels::parse(&text).unwrap().events, want);
    }

    /// No text makes it panic.
    #[test]
    fn any_text_is_labels_or_has_a_reason(text in "(\\[\\[event\\]\\]|check|from_s|to_s|=|\"no_mask\"|[0-9.\\-]|\n| ){0,40}") {
        if let Err(why) = Labels::parse(&text) {
            prop_assert!(why.to_string().starts_with("line "));
        }
    }

    /// Shares are shares, the order of clips and events does not matter, and labels found as they are score 1.
    #[test]
    fn scores_are_sound(labelled in spans(), found in spans(), tolerance in 0.0_f64..5.0) {
        let (labelled, found) = (events(NoMask, &labelled), events(NoMask, &found));
        let one = clip(labelled.clone(), found.clone());
        let mut turned = clip(labelled.clone(), found.clone());
        turned.labels.events.reverse();
        turned.found.reverse();
        let report = evaluate(std::slice::from_ref(&one), tolerance);
        prop_assert_eq!(&report, &evaluate(&[turned], tolerance));
        let score = report.total;
        prop_assert_eq!(score.right + score.false_alarms, found.len() as u32);
        prop_assert_eq!(score.delays_s.len() as u32, score.events_found);
        prop_assert!(score.events_found <= score.events && score.repeats <= score.right);
        for share in [score.precision(), score.recall(), score.f1()].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        let perfect = evaluate(&[clip(labelled.clone(), labelled.clone())], 0.0).total;
        prop_assert_eq!(perfect.f1(), (!labelled.is_empty()).then_some(1.0));
    }
}
