//! A changed rule over stored history.

use std::collections::BTreeMap;

use domain::{
    LogPosition, MuteTarget, Point, Quality, Reading, Rule, RuleId, RuleKind, Scope, SeriesId, Shelf,
    TimeRange, UtcMillis, Window, Zone, pack,
    rule::{DayMinute, RuleOverride},
    window::{When, WindowKind},
};
use sunshine_alerts::{
    AlertError,
    whatif::{Circumstances, History, MAX_RANGE_MS, what_if},
};

use crate::kitchen::{DOOR, FRIDGE, Kitchen, S, points};

const MIN: i64 = 60 * S;
const HOUR: i64 = 60 * MIN;
const DAY: i64 = 24 * HOUR;
/// 2026-11-18T00:00 in China.
const FIRST: i64 = 1_794_931_200_000;

fn rule(id: &str) -> Rule {
    let id = RuleId::new(id).unwrap();
    pack::built_in().into_iter().find(|r| r.id == id).unwrap()
}

fn with_limit(rule: &Rule, limit: f64) -> Rule {
    Rule {
        kind: rule.kind.with_limit(limit).unwrap(),
        ..rule.clone()
    }
}

/// A value every five minutes for three days: at 5 °C, but 7 °C for an hour each noon, and 9 °C on the second day.
fn history(kitchen: &Kitchen) {
    let mut readings = Vec::new();
    for n in 0..3 * 288 {
        let at = UtcMillis(FIRST + n * 5 * MIN);
        let value = match (n % 288) / 12 {
            12 if n / 288 == 1 => 9.0,
            12 => 7.0,
            _ => 5.0,
        };
        for (series, value) in [(FRIDGE, value), (DOOR, f64::from(i32::from(value > 8.0)))] {
            readings.push(Reading {
                series: SeriesId(u32::try_from(series).unwrap()),
                at,
                received: at,
                value,
                quality: Quality::Good,
            });
        }
    }
    kitchen
        .series
        .append(&readings, LogPosition(0), LogPosition(100))
        .unwrap();
}

fn counts(
    kitchen: &Kitchen,
    scope: &Scope,
    (old, new): (&Rule, &Rule),
    days: i64,
) -> Result<Vec<(u32, u32)>, AlertError> {
    counts_around(&Circumstances::default(), kitchen, scope, (old, new), days)
}

fn counts_around(
    around: &Circumstances,
    kitchen: &Kitchen,
    scope: &Scope,
    (old, new): (&Rule, &Rule),
    days: i64,
) -> Result<Vec<(u32, u32)>, AlertError> {
    let points: Vec<Point> = points();
    let zone = Zone::default();
    let history = History {
        series: &kitchen.series,
        scope,
        points: &points,
        zone: &zone,
        around,
    };
    let range = TimeRange {
        from: UtcMillis(FIRST),
        to: UtcMillis(FIRST + days * DAY),
    };
    let outcome = what_if(history, old, new, range)?;
    assert_eq!(outcome.left_out, 0);
    Ok(outcome.days.iter().map(|d| (d.old, d.new)).collect())
}

#[tokio::test]
async fn a_lower_limit_shows_the_cases_of_each_day_it_would_have_raised() {
    let kitchen = Kitchen::build().await;
    history(&kitchen);
    let all = Scope::everything();
    let fridge = rule("CN-TMP-01");
    let stricter = with_limit(&fridge, 6.0);
    let days = counts(&kitchen, &all, (&fridge, &stricter), 3).unwrap();
    assert_eq!(days, [(0, 1), (1, 1), (0, 1)]);
    // A longer hold than the hour: none.
    let longer = Rule {
        hold_ms: 2 * HOUR,
        ..stricter
    };
    let days = counts(&kitchen, &all, (&fridge, &longer), 3).unwrap();
    assert_eq!(days, [(0, 0), (1, 0), (0, 0)]);
    // What cannot be seen is not counted.
    let other = Scope::facilities([domain::FacilityId::new("other").unwrap()]);
    assert_eq!(
        counts(&kitchen, &other, (&fridge, &longer), 3).unwrap(),
        [(0, 0); 3]
    );
}

#[tokio::test]
async fn rules_with_neighbours_and_timers_are_tried_too() {
    let kitchen = Kitchen::build().await;
    history(&kitchen);
    let all = Scope::everything();
    let door = rule("EN-DOOR-01");
    let patient = Rule {
        hold_ms: 2 * HOUR,
        ..door.clone()
    };
    assert_eq!(
        counts(&kitchen, &all, (&door, &patient), 3).unwrap(),
        [(0, 0), (1, 0), (0, 0)]
    );
    // The fridge is warm while the door beside it is open.
    let both = rule("CN-TMP-05");
    assert!(matches!(both.kind, RuleKind::Correlation { .. }));
    let never = with_limit(&both, 50.0);
    assert_eq!(
        counts(&kitchen, &all, (&both, &never), 3).unwrap(),
        [(0, 0), (1, 0), (0, 0)]
    );
}

#[tokio::test]
async fn what_cannot_be_tried_says_why() {
    let kitchen = Kitchen::build().await;
    let all = Scope::everything();
    let clock = rule("SYS-05");
    let refused = counts(&kitchen, &all, (&clock, &clock), 3).unwrap_err();
    assert!(refused.to_string().contains("received"), "{refused}");
    let fridge = rule("CN-TMP-01");
    let refused = counts(&kitchen, &all, (&fridge, &fridge), MAX_RANGE_MS / DAY + 1).unwrap_err();
    assert!(refused.to_string().contains("100 days"), "{refused}");
}

fn own_limit(limit: f64, from_day: i64, until_day: i64) -> RuleOverride {
    RuleOverride {
        id: 0,
        version: 0,
        rule: RuleId::new("CN-TMP-01").unwrap(),
        facility: points()[FRIDGE].facility.clone(),
        limit: Some(limit),
        hold_ms: None,
        numbers: BTreeMap::new(),
        reason: "desserts".to_owned(),
        who: "Li".to_owned(),
        approver: Some("Wang".to_owned()),
        from: UtcMillis(FIRST + from_day * DAY),
        until: Some(UtcMillis(FIRST + until_day * DAY)),
    }
}

#[tokio::test]
async fn a_trial_knows_what_was_set_aside() {
    let kitchen = Kitchen::build().await;
    history(&kitchen);
    let all = Scope::everything();
    let fridge = rule("CN-TMP-01");
    let stricter = with_limit(&fridge, 6.0);
    let target = MuteTarget {
        facility: points()[FRIDGE].facility.clone(),
        device: None,
        metric: None,
        rule: None,
    };
    // Shelved all the second day.
    let shelf = Shelf {
        id: 0,
        target: target.clone(),
        from: UtcMillis(FIRST + DAY),
        until: UtcMillis(FIRST + 2 * DAY),
        who: "Li".to_owned(),
        why: "repair".to_owned(),
        ended_by: None,
    };
    kitchen.records.add_shelf(&all, &shelf).await.unwrap();
    let range = TimeRange {
        from: UtcMillis(FIRST),
        to: UtcMillis(FIRST + 3 * DAY),
    };
    let load = async || {
        Circumstances::load(&kitchen.records, &all, &Zone::default(), range)
            .await
            .unwrap()
    };
    let tried = |around: &Circumstances, new: &Rule| {
        counts_around(around, &kitchen, &all, (&fridge, new), 3).unwrap()
    };
    assert_eq!(tried(&load().await, &stricter), [(0, 1), (0, 0), (0, 1)]);

    // A window at noon: cleaning, every day, around the hour at which it is warm.
    let window = Window {
        id: 0,
        kind: WindowKind::Cleaning,
        target,
        when: When::Recurring {
            days: 0x7f,
            from: DayMinute::parse("11:30").unwrap(),
            minutes: 120,
        },
        since: UtcMillis(FIRST),
        ended: Some(UtcMillis(FIRST + DAY)),
        who: "Li".to_owned(),
        why: "the floor is hosed down".to_owned(),
    };
    let mut around = load().await;
    around.mutes.extend(window.mutes(&Zone::default(), range));
    assert_eq!(tried(&around, &stricter), [(0, 0), (0, 0), (0, 1)]);
}

#[tokio::test]
async fn a_trial_knows_a_facilitys_own_numbers_and_its_regions_packs() {
    let kitchen = Kitchen::build().await;
    history(&kitchen);
    let all = Scope::everything();
    let fridge = rule("CN-TMP-01");
    let stricter = with_limit(&fridge, 6.0);
    let tried = |around: &Circumstances, new: &Rule| {
        counts_around(around, &kitchen, &all, (&fridge, new), 3).unwrap()
    };
    // The facility had 6.5 °C of its own on the third day: it keeps that whatever becomes of the pack's number...
    let mut around = Circumstances {
        overrides: vec![own_limit(6.5, 2, 3)],
        ..Circumstances::default()
    };
    let laxer = with_limit(&fridge, 10.0);
    assert_eq!(tried(&around, &laxer), [(0, 0), (1, 0), (1, 1)]);
    // ...unless the new numbers are tried as its own.
    around.own = Some(points()[FRIDGE].facility.clone());
    assert_eq!(tried(&around, &laxer), [(0, 0), (1, 0), (1, 0)]);
    // And of a pack that its region has not chosen it has no cases.
    let elsewhere = Rule {
        only: Some(std::sync::Arc::default()),
        ..stricter
    };
    assert_eq!(
        tried(&Circumstances::default(), &elsewhere),
        [(0, 0), (1, 0), (0, 0)]
    );
}
