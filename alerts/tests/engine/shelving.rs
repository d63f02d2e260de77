//! What people set aside while the engine runs, and what a replay makes of it.

use domain::{
    ConditionState, MuteTarget, RegionId, RuleId, Scope, Shelf, UtcMillis, When, Window, WindowKind,
    rule::{DayMinute, RuleOverride},
};
use sunshine_alerts::{AlertError, Engine, Place};

use crate::kitchen::{DOOR, FRIDGE, Kitchen, Log, Running, S, SMOKE, START, facility, points, until};

const OPEN_DOOR: &str = "EN-DOOR-01";

fn shelf(rule: Option<&str>, until: i64) -> Shelf {
    Shelf {
        id: 0,
        target: MuteTarget {
            facility: facility(),
            device: None,
            metric: None,
            rule: rule.map(|r| RuleId::new(r).unwrap()),
        },
        from: UtcMillis(0),
        until: UtcMillis(START + until * S),
        who: "Li".to_owned(),
        why: "new hinges are ordered".to_owned(),
        ended_by: None,
    }
}

/// The door is open from second 5 on, which is a case at 305; smoke at 400.
fn log() -> Log {
    let log = Log::default().ticks_to(5).read(DOOR, 1.0).read(FRIDGE, 4.0);
    log.ticks_to(400).read(SMOKE, 1.0).ticks_to(900)
}

/// Every case as `(rule, since, raised)` in seconds.
async fn raised(kitchen: &Kitchen) -> Vec<(String, i64, i64)> {
    let seconds = |at: UtcMillis| (at.0 - START) / S;
    let cases = kitchen.cases().await.into_iter();
    cases
        .map(|c| (c.rule.to_string(), seconds(c.since), seconds(c.raised_at)))
        .collect()
}

#[tokio::test]
async fn what_is_shelved_raises_no_case_until_its_time_is_over_and_a_replay_agrees() {
    let mut kitchen = Kitchen::build().await;
    let all = Scope::everything();
    // One batch of 50 events, then somebody shelves the facility until second 600.
    let running = kitchen.start().await;
    running.send_and_wait(log().batches(50)[..1].to_vec()).await;
    running.stop().await.unwrap();
    let before = kitchen.records.engine_snapshot().await.unwrap().unwrap();
    let running = kitchen.start().await;
    let kept = running.handle.shelve(&all, shelf(None, 600)).await.unwrap();
    assert!(kept.from.0 > START && kept.id == 1, "{kept:?}");
    running.send_and_wait(log().batches(50)[..11].to_vec()).await;
    let door = points()[DOOR].key();
    let handle = running.handle.clone();
    until("the board shows what is set aside", || {
        handle.board().points[&door].state == ConditionState::Shelved
    })
    .await;
    // Smoke is not to be shelved.
    let want = [("FG-SMK-01".to_owned(), 400, 400)];
    assert_eq!(raised(&kitchen).await, want);
    running.send_and_wait(log().batches(50)).await;
    let want = [want[0].clone(), (OPEN_DOOR.to_owned(), 5, 600)];
    assert_eq!(raised(&kitchen).await, want);
    running.crash().await;

    // Judged again from before the shelf was entered, in other portions: the same cases.
    kitchen.reopen_records().await;
    kitchen.records.apply_cases(&[], Some(&before)).await.unwrap();
    let running = kitchen.start().await;
    let mut changes = running.handle.subscribe();
    running.send_and_wait(log().batches(7)).await;
    running.stop().await.unwrap();
    assert_eq!(raised(&kitchen).await, want);
    assert!(changes.try_recv().is_err(), "nothing is told twice");
    let fresh = Kitchen::build().await;
    fresh.records.add_shelf(&all, &kept).await.unwrap();
    let running = fresh.start().await;
    running.send_and_wait(log().batches(33)).await;
    running.stop().await.unwrap();
    assert_eq!(
        raised(&fresh).await,
        want,
        "and so does a judge who never saw it live"
    );
}

#[tokio::test]
async fn who_takes_it_up_before_its_time_hears_what_stands() {
    let kitchen = Kitchen::build().await;
    let all = Scope::everything();
    let running = kitchen.start().await;
    running.send_and_wait(log().batches(50)[..1].to_vec()).await;
    let kept = running
        .handle
        .shelve(&all, shelf(Some(OPEN_DOOR), 3_000))
        .await
        .unwrap();
    // 353 events: the tick of second 350 is among them.
    running.send_and_wait(log().batches(353)[..1].to_vec()).await;
    assert_eq!(raised(&kitchen).await, []);
    let ended = running.handle.take_up(&all, kept.id, "Wang").await.unwrap();
    assert_eq!(ended.ended_by.as_deref(), Some("Wang"));
    let again = running.handle.take_up(&all, kept.id, "Wang").await;
    assert!(matches!(again, Err(AlertError::NotFound)), "{again:?}");
    running.send_and_wait(log().batches(353)[..2].to_vec()).await;
    let told = raised(&kitchen).await;
    assert_eq!((told[0].0.as_str(), told[0].1), (OPEN_DOOR, 5));
    assert!((350..353).contains(&told[0].2), "{told:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_shelved_is_refused_with_its_reason() {
    let kitchen = Kitchen::build().await;
    let all = Scope::everything();
    let running = kitchen.start().await;
    running.send_and_wait(log().batches(50)[..1].to_vec()).await;
    let handle = &running.handle;
    for danger in [
        "FG-SMK-01",
        "FG-GAS-01",
        "FG-GAS-07",
        "FG-CO-01",
        "FG-CO-04",
        "SYS-SOS-01",
    ] {
        let refused = handle.shelve(&all, shelf(Some(danger), 600)).await;
        assert!(matches!(refused, Err(AlertError::Unshelvable)), "{refused:?}");
        let window = Window {
            id: 0,
            kind: WindowKind::Maintenance,
            target: shelf(Some(danger), 0).target,
            when: When::Recurring {
                days: 0x7f,
                from: DayMinute::parse("14:42").unwrap(),
                minutes: 8,
            },
            since: UtcMillis(0),
            ended: None,
            who: "Li".to_owned(),
            why: "work on the ceiling".to_owned(),
        };
        let refused = handle.add_window(&all, window).await;
        assert!(matches!(refused, Err(AlertError::Unshelvable)), "{refused:?}");
        // Nor may its numbers be laxer, whoever approves.
        let laxer = RuleOverride {
            id: 0,
            version: 0,
            rule: RuleId::new(danger).unwrap(),
            facility: facility(),
            limit: None,
            hold_ms: Some(86_400_000),
            numbers: std::collections::BTreeMap::new(),
            reason: "it rings too often".to_owned(),
            who: "Li".to_owned(),
            approver: Some("Wang".to_owned()),
            from: UtcMillis(0),
            until: Some(UtcMillis(START + 86_400 * S)),
        };
        let refused = handle.override_rule(&all, laxer).await;
        assert!(matches!(refused, Err(AlertError::Override(_))), "{refused:?}");
    }
    let nothing = handle.shelve(&all, shelf(Some("CN-XX-99"), 600)).await;
    assert!(matches!(nothing, Err(AlertError::NoSuchRule)), "{nothing:?}");
    for until in [1, 8 * 86_400] {
        let refused = handle.shelve(&all, shelf(None, until)).await;
        assert!(
            matches!(refused, Err(AlertError::Window(_))),
            "{until}: {refused:?}"
        );
    }
    let elsewhere = Scope::facilities([domain::FacilityId::new("other").unwrap()]);
    let refused = handle.shelve(&elsewhere, shelf(None, 600)).await;
    assert!(matches!(refused, Err(AlertError::NotFound)), "{refused:?}");
    let mut nameless = shelf(None, 600);
    nameless.who = " ".to_owned();
    let refused = handle.shelve(&all, nameless).await;
    assert!(matches!(refused, Err(AlertError::Invalid(_))), "{refused:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_window_recurs_by_local_time_and_explains_what_was_in_it() {
    // The log begins at 14:40 in China; cleaning from 14:42 for eight minutes, second 120 to 600.
    let kitchen = Kitchen::build().await;
    let all = Scope::everything();
    let running = kitchen.start().await;
    running.send_and_wait(log().batches(50)[..1].to_vec()).await;
    let window = Window {
        id: 0,
        kind: WindowKind::Cleaning,
        target: shelf(None, 0).target,
        when: When::Recurring {
            days: 0x7f,
            from: DayMinute::parse("14:42").unwrap(),
            minutes: 8,
        },
        since: UtcMillis(0),
        ended: None,
        who: "Li".to_owned(),
        why: "the floor is hosed down".to_owned(),
    };
    let kept = running.handle.add_window(&all, window).await.unwrap();
    running.send_and_wait(log().batches(50)).await;
    let smoke = ("FG-SMK-01".to_owned(), 400, 400);
    // The five minutes of the door begin when the window ends.
    assert_eq!(
        raised(&kitchen).await,
        [smoke.clone(), (OPEN_DOOR.to_owned(), 600, 900)]
    );
    running.handle.end_window(&all, kept.id, "Li").await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_facilitys_own_numbers_hold_from_their_moment_and_the_case_keeps_their_version() {
    let kitchen = Kitchen::build().await;
    let all = Scope::everything();
    let fridge = Log::default().ticks_to(2).read(FRIDGE, 7.5).ticks_to(60);
    let later = fridge.ticks_to(100).read(FRIDGE, 7.5).ticks_to(2_100);
    let running = kitchen.start().await;
    running.send_and_wait(later.batches(50)[..1].to_vec()).await;
    let change = RuleOverride {
        id: 0,
        version: 0,
        rule: RuleId::new("CN-TMP-01").unwrap(),
        facility: facility(),
        limit: Some(7.0),
        hold_ms: Some(60_000),
        numbers: std::collections::BTreeMap::new(),
        reason: "desserts".to_owned(),
        who: "Li".to_owned(),
        approver: None,
        from: UtcMillis(0),
        until: None,
    };
    let kept = running.handle.override_rule(&all, change.clone()).await.unwrap();
    assert_eq!(kept.version, 1);
    let laxer = RuleOverride {
        limit: Some(12.0),
        ..change
    };
    let refused = running.handle.override_rule(&all, laxer).await;
    assert!(matches!(refused, Err(AlertError::Override(_))), "{refused:?}");
    running.send_and_wait(later.batches(50)).await;
    let cases = kitchen.cases().await;
    let told: Vec<_> = cases
        .iter()
        .map(|c| {
            (
                c.rule.as_str(),
                (c.since.0 - START) / S,
                (c.raised_at.0 - START) / S,
                c.limit,
            )
        })
        .collect();
    assert_eq!(told, [("CN-TMP-01", 100, 160, Some(7.0))]);
    let id = RuleId::new("CN-TMP-01").unwrap();
    let limit = |rules: &std::collections::BTreeMap<_, domain::Rule>| rules[&id].kind.limit();
    assert_eq!(limit(&running.handle.rules_of(&facility())), Some(7.0));
    assert_eq!(limit(&running.handle.rules()), Some(8.0));
    assert!(cases[0].rule_version.ends_with("+1"), "{}", cases[0].rule_version);
    running.stop().await.unwrap();
    // A judge who begins anew says the same.
    let again = Kitchen::build().await;
    again.records.put_override(&all, &kept).await.unwrap();
    let running = Running::start(again.engine().await);
    running.send_and_wait(later.batches(400)).await;
    running.handle.restore_rule(&all, 1, "Li").await.unwrap();
    running.stop().await.unwrap();
    assert_eq!(raised(&again).await, raised(&kitchen).await);
    assert!(
        again
            .records
            .overrides(&all, None, UtcMillis(START + 9_000 * S))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_region_is_judged_by_the_packs_it_has_chosen() {
    let log = Log::default()
        .ticks_to(5)
        .read(DOOR, 1.0)
        .read(SMOKE, 1.0)
        .ticks_to(400);
    let chosen = |region: &str, packs: &[&str]| Place {
        packs: vec!["environment".to_owned()],
        regions: [(
            RegionId::new(region).unwrap(),
            packs.iter().map(|p| (*p).to_owned()).collect(),
        )]
        .into(),
        ..Place::default()
    };
    for (place, want) in [
        (chosen("yinzhou", &["fire-gas"]), vec!["FG-SMK-01"]),
        (chosen("elsewhere", &["fire-gas"]), vec![OPEN_DOOR]),
        (Place::default(), vec!["FG-SMK-01", OPEN_DOOR]),
    ] {
        let kitchen = Kitchen::build().await;
        let engine = Engine::open_in(
            place,
            kitchen.records.clone(),
            kitchen.series.clone(),
            crate::kitchen::rules(),
            kitchen.clock.clone(),
        )
        .await
        .unwrap();
        let running = Running::start(engine);
        running.handle.reload_points().await.unwrap();
        running.send_and_wait(log.batches(50)).await;
        running.stop().await.unwrap();
        let told = raised(&kitchen).await;
        assert_eq!(told.iter().map(|t| t.0.as_str()).collect::<Vec<_>>(), want);
    }
}
