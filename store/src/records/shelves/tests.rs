use domain::{
    Clock, Facility, FacilityId, FacilityKind, Region, RegionId, RuleId, SizeClass, rule::RuleOverride,
};

use super::*;

const AT: UtcMillis = UtcMillis(1_795_243_200_000);
const HOUR: i64 = 3_600_000;

async fn open(dir: &tempfile::TempDir) -> Records {
    let records = Records::open(&dir.path().join("records.db"), Clock::simulated(AT))
        .await
        .unwrap();
    let region = RegionId::new("r").unwrap();
    let row = Region {
        id: region.clone(),
        parent: None,
        name_zh: "区".into(),
        name_en: "R".into(),
    };
    records.put_region(&row).await.unwrap();
    for id in ["f", "g"] {
        let facility = Facility {
            id: FacilityId::new(id).unwrap(),
            region: region.clone(),
            name_zh: "院".into(),
            name_en: "F".into(),
            kind: FacilityKind::CareHome,
            size: SizeClass::Small,
            beds: 1,
            people_served: 1,
            address: "-".into(),
        };
        records.put_facility(&facility).await.unwrap();
    }
    records
}

fn target(facility: &str) -> MuteTarget {
    MuteTarget {
        facility: FacilityId::new(facility).unwrap(),
        device: Some("fridge-1".parse().unwrap()),
        metric: None,
        rule: Some(RuleId::new("CN-TMP-01").unwrap()),
    }
}

fn shelf(facility: &str) -> Shelf {
    Shelf {
        id: 0,
        target: target(facility),
        from: AT,
        until: AT + 5 * HOUR,
        who: "Li".to_owned(),
        why: "repair is ordered".to_owned(),
        ended_by: None,
    }
}

fn window(kind: WindowKind) -> Window {
    Window {
        id: 0,
        kind,
        target: target("f"),
        when: When::Recurring {
            days: 0x7f,
            from: DayMinute::parse("03:00").unwrap(),
            minutes: 30,
        },
        since: AT,
        ended: None,
        who: "Li".to_owned(),
        why: "every night".to_owned(),
    }
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange {
        from: AT + from * HOUR,
        to: AT + to * HOUR,
    }
}

#[tokio::test]
async fn a_shelf_is_kept_ended_and_seen_within_its_scope_only() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(&dir).await;
    let all = Scope::everything();
    let other = Scope::facilities([FacilityId::new("g").unwrap()]);
    let kept = records.add_shelf(&all, &shelf("f")).await.unwrap();
    assert_eq!(
        records.shelves(&all, range(1, 2)).await.unwrap(),
        std::slice::from_ref(&kept)
    );
    assert_eq!(records.shelves(&other, range(1, 2)).await.unwrap(), []);
    assert_eq!(records.shelves(&all, range(5, 6)).await.unwrap(), []);
    let outside = records.add_shelf(&other, &shelf("f")).await;
    assert!(matches!(outside, Err(RecordError::NotFound)), "{outside:?}");
    let outside = records.end_shelf(&other, kept.id, AT + HOUR, "Wang").await;
    assert!(matches!(outside, Err(RecordError::NotFound)), "{outside:?}");
    let ended = records.end_shelf(&all, kept.id, AT + HOUR, "Wang").await.unwrap();
    assert_eq!(
        (ended.until, ended.ended_by.as_deref()),
        (AT + HOUR, Some("Wang"))
    );
    let again = records.end_shelf(&all, kept.id, AT + HOUR, "Wang").await;
    assert!(matches!(again, Err(RecordError::NotFound)), "{again:?}");
    let trail = records.audit_trail(10).await.unwrap();
    let actions: Vec<&str> = trail.iter().map(|line| line.action.as_str()).collect();
    assert!(actions.starts_with(&["shelf.end", "shelf.add"]), "{actions:?}");
    assert_eq!(records.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn who_and_why_are_asked_for_and_shelves_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(&dir).await;
    let all = Scope::everything();
    for (who, why) in [("", "x"), ("Li", " ")] {
        let mut nameless = shelf("f");
        nameless.who = who.to_owned();
        nameless.why = why.to_owned();
        let refused = records.add_shelf(&all, &nameless).await;
        assert!(matches!(refused, Err(RecordError::Invalid { .. })), "{refused:?}");
    }
    for _ in 0..MAX_PER_FACILITY {
        records.add_shelf(&all, &shelf("f")).await.unwrap();
    }
    let refused = records.add_shelf(&all, &shelf("f")).await;
    let full = Problem::TooMany {
        max: MAX_PER_FACILITY,
    };
    assert!(
        matches!(&refused, Err(RecordError::Invalid { problem, .. }) if *problem == full),
        "{refused:?}"
    );
    assert!(records.add_shelf(&all, &shelf("g")).await.is_ok());
}

#[tokio::test]
async fn windows_are_kept_as_they_were_entered() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(&dir).await;
    let all = Scope::everything();
    let mut once = window(WindowKind::Maintenance);
    once.when = When::Once {
        from: AT,
        until: AT + HOUR,
    };
    let once = records.add_window(&all, &once).await.unwrap();
    for _ in 0..MAX_DEFROSTS {
        records
            .add_window(&all, &window(WindowKind::Defrost))
            .await
            .unwrap();
    }
    let refused = records.add_window(&all, &window(WindowKind::Defrost)).await;
    assert!(matches!(refused, Err(RecordError::Invalid { .. })), "{refused:?}");
    let listed = records.windows(&all, AT).await.unwrap();
    assert_eq!(listed.len(), 1 + MAX_DEFROSTS);
    assert_eq!(listed.last(), Some(&once));
    assert_eq!(listed[0].when, window(WindowKind::Defrost).when);
    records
        .end_window(&all, once.id, AT + HOUR, "Wang")
        .await
        .unwrap();
    let listed = |since: UtcMillis| {
        let (records, all) = (records.clone(), all.clone());
        async move { records.windows(&all, since).await.unwrap().len() }
    };
    assert_eq!(
        (listed(AT).await, listed(AT + HOUR).await),
        (1 + MAX_DEFROSTS, MAX_DEFROSTS),
        "what is over is still known of the time before"
    );
}

#[tokio::test]
async fn each_change_of_a_rule_is_a_version_and_ends_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let records = open(&dir).await;
    let all = Scope::everything();
    let change = |limit: f64, from: i64| RuleOverride {
        id: 0,
        version: 0,
        rule: RuleId::new("CN-TMP-01").unwrap(),
        facility: FacilityId::new("f").unwrap(),
        limit: Some(limit),
        hold_ms: None,
        numbers: [("clear_limit".to_owned(), limit - 1.5)].into(),
        reason: "site plan".to_owned(),
        who: "Li".to_owned(),
        approver: None,
        from: AT + from * HOUR,
        until: None,
    };
    let first = records.put_override(&all, &change(6.0, 0)).await.unwrap();
    let second = records.put_override(&all, &change(5.0, 2)).await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    assert_eq!(first.numbers, change(6.0, 0).numbers);
    let mut endless = change(6.0, 3);
    endless.numbers.insert("clear_limit".to_owned(), f64::NAN);
    assert!(records.put_override(&all, &endless).await.is_err(), "no number");
    let listed = records.overrides(&all, None, AT).await.unwrap();
    assert_eq!(
        listed.iter().map(|c| (c.limit, c.until)).collect::<Vec<_>>(),
        [(Some(5.0), None), (Some(6.0), Some(AT + 2 * HOUR))]
    );
    let ended = records
        .end_override(&all, second.id, AT + 3 * HOUR, "Wang")
        .await
        .unwrap();
    assert_eq!(ended.until, Some(AT + 3 * HOUR));
    assert_eq!(records.overrides(&all, None, AT + 3 * HOUR).await.unwrap(), []);
    let other = RuleId::new("CN-TMP-02").unwrap();
    assert_eq!(records.overrides(&all, Some(&other), AT).await.unwrap(), []);
    let outside = Scope::facilities([FacilityId::new("g").unwrap()]);
    let refused = records.put_override(&outside, &change(6.0, 4)).await;
    assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
}
