//! Findings and their review through the public surface of the record store.

use domain::{
    CameraKey, Check, Clock, DeviceId, EvidenceId, FacilityId, LogPosition, Metric, Observation, PictureBox,
    RuleId, Scope, SeriesKey, Severity, Sighted,
    case::cause::Trouble,
    observation::{LabelledBox, ModelStamp, ObservedState, Origin, Tally},
};
use sunshine_store::{
    RecordError, Records,
    records::{
        CaseWrite, Finding, FindingFilter, FindingId, MAX_FINDING_EVIDENCE, MAX_UNCONFIRMED, NewCase, Review,
        ReviewState, Verdict,
    },
};

use crate::homes::{NOW, furnished_by};

fn key(facility: &str, camera: &str) -> CameraKey {
    CameraKey {
        facility: FacilityId::new(facility).unwrap(),
        camera: DeviceId::new(camera).unwrap(),
    }
}

/// What `camera` of facility `a` says of masks, `second` seconds after now; it had lasted 10 s.
fn seen(camera: &str, state: ObservedState, second: i64) -> Observation {
    let at = NOW + second * 1_000;
    Observation {
        camera: key("a", camera),
        said: Sighted {
            check: Check::NoMask,
            state,
            at,
            since: Some(at - 10_000),
            zone: None,
            score: Some(0.9),
            threshold: Some(0.2),
            tally: Tally {
                judged: 10,
                positive: 8,
                unjudged: 3,
            },
            model: Some(ModelStamp {
                name: "mask".into(),
                sha256: "ab".repeat(32),
            }),
            boxes: vec![LabelledBox {
                label: "face".into(),
                score: 0.9,
                area: PictureBox::WHOLE,
                track: Some(7),
            }],
            evidence: None,
            origin: Origin::Own,
            detail: String::new(),
        },
        received: at + 5,
    }
}

fn began(camera: &str, second: i64) -> Observation {
    seen(camera, ObservedState::Began, second)
}

fn ended(camera: &str, second: i64) -> Observation {
    seen(camera, ObservedState::Ended, second)
}

async fn open() -> (tempfile::TempDir, Clock, Records) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let records = furnished_by(&dir.path().join("records.db"), &clock).await;
    (dir, clock, records)
}

async fn all(records: &Records) -> Vec<Finding> {
    let filter = FindingFilter {
        limit: 100,
        ..FindingFilter::default()
    };
    records.findings(&Scope::everything(), &filter).await.unwrap()
}

fn review(verdict: Verdict) -> Review {
    Review {
        verdict,
        by: "王芳".into(),
        comment: "看过录像".into(),
    }
}

#[tokio::test]
async fn a_log_read_again_enters_nothing_twice() {
    let (_dir, _clock, records) = open().await;
    let mut elsewhere = began("cam-1", 0);
    elsewhere.said.zone = Some(DeviceId::new("stove").unwrap());
    let log = [
        began("cam-1", 0),
        elsewhere,
        ended("cam-1", 30),
        began("cam-1", 60),
        began("cam-2", 60),
        ended("cam-1", 90),
        // At the very moment at which the one before ended.
        began("cam-1", 90),
    ];
    let mut changed = Vec::new();
    for (position, observation) in log.iter().enumerate() {
        let position = LogPosition(position as u64 * 100);
        changed.push(records.enter_observation(observation, position).await.unwrap());
    }
    let numbers: Vec<_> = changed.iter().map(|f| f.as_ref().map(|f| f.id.0)).collect();
    assert_eq!(numbers, [1, 2, 1, 3, 4, 3, 5].map(Some));
    let first = changed[2].as_ref().unwrap();
    assert_eq!(first.ended_at, Some(NOW + 30_000));
    assert_eq!(first.said, log[0].said);
    assert_eq!((first.received, first.position), (NOW + 5, LogPosition(0)));
    let once = all(&records).await;
    let lines = records.audit_trail(100).await.unwrap().len();
    for start in 0..log.len() {
        for (position, observation) in log.iter().enumerate().skip(start) {
            let position = LogPosition(position as u64 * 100);
            let again = records.enter_observation(observation, position).await.unwrap();
            assert_eq!(again, None, "from {start}, at {position:?}");
        }
    }
    assert_eq!(all(&records).await, once);
    assert_eq!(records.audit_trail(100).await.unwrap().len(), lines);
    assert_eq!(records.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_lost_end_is_made_up_for_by_the_next_beginning() {
    let (_dir, _clock, records) = open().await;
    let enter = async |observation: &Observation, position| {
        records
            .enter_observation(observation, LogPosition(position))
            .await
            .unwrap()
    };
    enter(&began("cam-1", 0), 1).await.unwrap();
    enter(&began("cam-1", 100), 2).await.unwrap();
    let ends: Vec<_> = all(&records).await.iter().map(|f| f.ended_at).collect();
    assert_eq!(
        ends,
        [None, Some(NOW + 90_000)],
        "it held at most until the next one began"
    );
    assert_eq!(
        enter(&ended("cam-2", 200), 3).await,
        None,
        "what never began does not end"
    );
    let closed = enter(&ended("cam-1", 200), 4).await.unwrap();
    assert_eq!((closed.id.0, closed.ended_at), (2, Some(NOW + 200_000)));
    let stray = Observation {
        camera: key("nowhere", "cam-1"),
        ..began("cam-1", 0)
    };
    let error = records
        .enter_observation(&stray, LogPosition(5))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RecordError::Missing { what: "facility", .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn findings_are_listed_by_scope_camera_check_and_review() {
    let (_dir, _clock, records) = open().await;
    let mut phone = began("cam-1", 10);
    phone.said.check = Check::PhoneUse;
    let mut other = began("cam-1", 20);
    other.camera = key("b", "cam-1");
    for (n, observation) in [began("cam-1", 0), phone, other, began("cam-2", 30)]
        .iter()
        .enumerate()
    {
        records
            .enter_observation(observation, LogPosition(n as u64))
            .await
            .unwrap();
    }
    let everything = Scope::everything();
    records
        .review_finding(&everything, FindingId(1), 1, review(Verdict::Confirmed))
        .await
        .unwrap();
    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    let numbers = async |scope: &Scope, filter: FindingFilter| {
        let filter = FindingFilter { limit: 3, ..filter };
        let found = records.findings(scope, &filter).await.unwrap();
        found.iter().map(|f| f.id.0).collect::<Vec<_>>()
    };
    type Narrow = fn(&mut FindingFilter);
    let cases: [(&Scope, Narrow, &[i64]); 9] = [
        (&everything, |_| (), &[4, 3, 2]),
        (&everything, |f| f.before = Some(FindingId(2)), &[1]),
        (
            &everything,
            |f| f.facility = Some(key("a", "x").facility),
            &[4, 2, 1],
        ),
        (&everything, |f| f.camera = Some(key("a", "cam-1")), &[2, 1]),
        (&everything, |f| f.check = Some(Check::PhoneUse), &[2]),
        (&everything, |f| f.review = Some(ReviewState::Confirmed), &[1]),
        (&only_b, |_| (), &[3]),
        (&only_b, |f| f.facility = Some(key("a", "x").facility), &[]),
        (&only_b, |f| f.camera = Some(key("a", "cam-1")), &[]),
    ];
    for (scope, narrow, want) in cases {
        let mut filter = FindingFilter::default();
        narrow(&mut filter);
        let label = format!("{filter:?}");
        assert_eq!(numbers(scope, filter).await, want, "{label}");
    }
    assert_eq!(records.finding(&only_b, FindingId(1)).await.unwrap(), None);
    assert!(records.finding(&only_b, FindingId(3)).await.unwrap().is_some());
    assert_eq!(
        records
            .findings(&everything, &FindingFilter::default())
            .await
            .unwrap(),
        [],
        "no limit, none"
    );
}

#[tokio::test]
async fn a_finding_counts_once_a_person_confirmed_it() {
    let (_dir, clock, records) = open().await;
    let scope = Scope::everything();
    let id = FindingId(1);
    let entered = records
        .enter_observation(&began("cam-1", 0), LogPosition(1))
        .await
        .unwrap()
        .unwrap();
    assert!(!entered.counts());
    assert_eq!((entered.state(), entered.version), (ReviewState::Waiting, 1));
    // It ends while somebody looks at it: what they decide still holds.
    records
        .enter_observation(&ended("cam-1", 20), LogPosition(2))
        .await
        .unwrap();
    records
        .add_finding_evidence(id, EvidenceId([1; 32]))
        .await
        .unwrap();
    clock.set(NOW + 60_000);
    let confirmed = records
        .review_finding(&scope, id, entered.version, review(Verdict::Confirmed))
        .await
        .unwrap();
    assert!(confirmed.counts());
    let said = confirmed.review.as_ref().unwrap();
    assert_eq!((said.note.by.as_str(), said.note.at), ("王芳", NOW + 60_000));
    assert_eq!(
        records.finding(&scope, id).await.unwrap(),
        Some(confirmed.clone())
    );

    let again = records
        .review_finding(&scope, id, 2, review(Verdict::Rejected))
        .await;
    assert!(matches!(again, Err(RecordError::AlreadyReviewed)), "{again:?}");
    let stale = records
        .change_review(&scope, id, 1, review(Verdict::Rejected))
        .await;
    assert!(matches!(stale, Err(RecordError::Conflict)), "{stale:?}");
    let changed = records
        .change_review(&scope, id, 2, review(Verdict::Rejected))
        .await
        .unwrap();
    assert_eq!((changed.state(), changed.version), (ReviewState::Rejected, 3));
    assert!(!changed.counts());
    let trail = records.audit_trail(2).await.unwrap();
    let details: Vec<_> = trail.iter().map(|e| e.detail.as_str()).collect();
    assert_eq!(
        details,
        ["confirmed → rejected\n看过录像", "waiting → confirmed\n看过录像"]
    );
}

#[tokio::test]
async fn a_review_is_made_by_a_named_person_within_reach() {
    let (_dir, _clock, records) = open().await;
    records
        .enter_observation(&began("cam-1", 0), LogPosition(1))
        .await
        .unwrap();
    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    let id = FindingId(1);
    let beyond = records
        .review_finding(&only_b, id, 1, review(Verdict::Confirmed))
        .await;
    assert!(matches!(beyond, Err(RecordError::NotFound)), "{beyond:?}");
    for by in ["", " ", "System", &"x".repeat(65)] {
        let nameless = Review {
            by: by.into(),
            ..review(Verdict::Confirmed)
        };
        let error = records
            .review_finding(&Scope::everything(), id, 1, nameless)
            .await
            .unwrap_err();
        assert!(
            matches!(error, RecordError::Invalid { field: "by", .. }),
            "{by}: {error:?}"
        );
    }
    assert_eq!(all(&records).await[0].version, 1);
}

#[tokio::test]
async fn evidence_is_linked_once_and_within_bounds() {
    let (_dir, _clock, records) = open().await;
    let mut first = began("cam-1", 0);
    first.said.evidence = Some(EvidenceId([0; 32]));
    records.enter_observation(&first, LogPosition(1)).await.unwrap();
    let id = FindingId(1);
    let bound = u8::try_from(MAX_FINDING_EVIDENCE).unwrap();
    for n in (1..bound).rev() {
        records
            .add_finding_evidence(id, EvidenceId([n; 32]))
            .await
            .unwrap();
        records
            .add_finding_evidence(id, EvidenceId([n; 32]))
            .await
            .unwrap();
    }
    let want: Vec<_> = std::iter::once(0)
        .chain((1..bound).rev())
        .map(|n| EvidenceId([n; 32]))
        .collect();
    assert_eq!(all(&records).await[0].evidence, want, "oldest first");
    let error = records
        .add_finding_evidence(id, EvidenceId([99; 32]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            RecordError::Invalid {
                field: "evidence",
                ..
            }
        ),
        "{error:?}"
    );
    let error = records
        .add_finding_evidence(FindingId(2), EvidenceId([1; 32]))
        .await
        .unwrap_err();
    assert!(matches!(error, RecordError::NotFound), "{error:?}");
}

#[tokio::test]
async fn a_case_and_its_finding_are_found_from_each_other() {
    let (_dir, _clock, records) = open().await;
    let scope = Scope::everything();
    let observation = began("cam-1", 0);
    let finding = records
        .enter_observation(&observation, LogPosition(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(records.case_of_finding(&scope, &finding).await.unwrap(), None);
    let point = SeriesKey {
        facility: observation.camera.facility.clone(),
        device: observation.camera.camera.clone(),
        metric: Check::NoMask.metric(),
    };
    let new = NewCase {
        rule: RuleId::new("CN-CAM-02").unwrap(),
        rule_version: "2026.11".into(),
        point: point.clone(),
        severity: Severity::P3,
        since: observation.said.at,
        raised_at: observation.said.at,
        value: Some(1.0),
        limit: None,
        trouble: Trouble::CameraCheck,
    };
    let opened = records.apply_cases(&[CaseWrite::Open(new)], None).await.unwrap();
    let found = records
        .finding_of_case(&scope, &point, opened[0].since)
        .await
        .unwrap();
    assert_eq!(found.as_ref(), Some(&finding));
    let case = records.case_of_finding(&scope, &finding).await.unwrap();
    assert_eq!(case.as_ref(), Some(&opened[0]));
    let wrong = Review {
        verdict: Verdict::Rejected,
        by: "王芳".into(),
        comment: "是口罩的影子".into(),
    };
    let reviewed = records
        .review_finding(&scope, finding.id, finding.version, wrong)
        .await;
    assert!(reviewed.is_ok(), "{reviewed:?}");
    let after = records.case(&scope, opened[0].id).await.unwrap().unwrap();
    assert_eq!(
        after.state,
        domain::CaseState::Closed,
        "a finding that is wrong leaves no case"
    );
    assert_eq!(after.closed.map(|n| n.comment), Some("是口罩的影子".to_owned()));
    let acts = records.case_acts(&scope, opened[0].id).await.unwrap();
    assert_eq!(
        acts.iter().map(|a| a.act.as_str()).collect::<Vec<_>>(),
        ["review"]
    );
    let finding = records.finding(&scope, finding.id).await.unwrap().unwrap();

    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    let hidden = records.finding_of_case(&only_b, &point, opened[0].since).await;
    assert_eq!(hidden.unwrap(), None);
    assert_eq!(records.case_of_finding(&only_b, &finding).await.unwrap(), None);
    let sensor = SeriesKey {
        metric: Metric::new("temperature").unwrap(),
        ..point.clone()
    };
    let none = records.finding_of_case(&scope, &sensor, opened[0].since).await;
    assert_eq!(none.unwrap(), None);
    let other_time = records.finding_of_case(&scope, &point, opened[0].since + 1).await;
    assert_eq!(other_time.unwrap(), None);
}

#[tokio::test]
async fn precision_is_told_per_camera_and_check() {
    let (_dir, _clock, records) = open().await;
    let scope = Scope::everything();
    for n in 0..5 {
        records
            .enter_observation(&began("cam-1", n * 100), LogPosition(n.unsigned_abs()))
            .await
            .unwrap();
    }
    let mut other = began("cam-1", 0);
    other.camera = key("b", "cam-1");
    records.enter_observation(&other, LogPosition(9)).await.unwrap();
    for (id, verdict) in [
        (1, Verdict::Confirmed),
        (2, Verdict::Rejected),
        (3, Verdict::Confirmed),
        (4, Verdict::Confirmed),
    ] {
        records
            .review_finding(&scope, FindingId(id), 1, review(verdict))
            .await
            .unwrap();
    }
    let told = records.precision(&scope).await.unwrap();
    let figures: Vec<_> = told
        .iter()
        .map(|p| {
            (
                p.camera.to_string(),
                p.check,
                p.confirmed,
                p.rejected,
                p.waiting,
                p.share(),
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            ("a/cam-1".to_owned(), Check::NoMask, 3, 1, 1, Some(0.75)),
            ("b/cam-1".to_owned(), Check::NoMask, 0, 0, 1, None),
        ]
    );
    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    assert_eq!(records.precision(&only_b).await.unwrap(), [told[1].clone()]);
    assert_eq!(records.precision(&Scope::facilities([])).await.unwrap(), []);
}

#[tokio::test]
async fn a_camera_gone_mad_does_not_fill_the_disk() {
    let (dir, _clock, records) = open().await;
    records
        .enter_observation(&began("cam-1", 0), LogPosition(1))
        .await
        .unwrap();
    records
        .add_finding_evidence(FindingId(1), EvidenceId([1; 32]))
        .await
        .unwrap();
    let mut raw = rusqlite::Connection::open(dir.path().join("records.db")).unwrap();
    let transaction = raw.transaction().unwrap();
    let copy = "INSERT INTO findings SELECT ?1, facility, camera, check_code, zone, ?1, began_at_ms, \
                ended_at_ms, received_ms, position, said, review, review_by, review_at_ms, review_comment, \
                version FROM findings WHERE id = 1";
    for n in 2..=i64::from(MAX_UNCONFIRMED) {
        transaction.execute(copy, [n]).unwrap();
    }
    transaction
        .execute(
            "UPDATE counters SET value = ?1 WHERE name = 'findings'",
            [MAX_UNCONFIRMED],
        )
        .unwrap();
    transaction.commit().unwrap();
    let scope = Scope::everything();
    records
        .review_finding(&scope, FindingId(2), 1, review(Verdict::Confirmed))
        .await
        .unwrap();
    for n in 1..=3 {
        records
            .enter_observation(&began("cam-1", 1_000 * n), LogPosition(n.unsigned_abs()))
            .await
            .unwrap();
    }
    let there = async |id| records.finding(&scope, FindingId(id)).await.unwrap().is_some();
    let left = [there(1).await, there(2).await, there(3).await, there(4).await];
    assert_eq!(left, [false, true, false, true], "what is confirmed stays");
    let count: i64 = raw
        .query_row("SELECT COUNT(*) FROM findings", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, i64::from(MAX_UNCONFIRMED) + 1);
    let trail = records.audit_trail(1).await.unwrap();
    assert_eq!(
        (trail[0].action.as_str(), trail[0].object.as_str()),
        ("finding.forget", "finding 3")
    );
}
