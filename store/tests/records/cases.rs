//! Cases: replay, people's acts, scope, paging.

use domain::{
    Case, CaseId, CaseState, DeviceId, FacilityId, LogPosition, Metric, RuleId, Scope, SeriesKey, Severity,
    UtcMillis,
    case::{Act, Note, cause::Trouble},
};
use sunshine_store::{
    RecordError, Records,
    records::{CaseAction, CaseCounts, CaseFilter, CaseWrite, EngineSnapshot, NewCase, Problem},
};

use crate::homes::{NOW, furnished};

fn key(facility: &str) -> SeriesKey {
    SeriesKey {
        facility: FacilityId::new(facility).unwrap(),
        device: DeviceId::new("fridge-1").unwrap(),
        metric: Metric::new("temperature").unwrap(),
    }
}

fn rule() -> RuleId {
    RuleId::new("CN-TMP-01").unwrap()
}

fn opening(facility: &str, since: i64) -> CaseWrite {
    CaseWrite::Open(NewCase {
        rule: rule(),
        rule_version: "2026.1".into(),
        point: key(facility),
        severity: Severity::P3,
        since: UtcMillis(since),
        raised_at: UtcMillis(since + 60_000),
        value: Some(9.25),
        limit: Some(8.0),
        trouble: Trouble::Own,
    })
}

fn clearing(facility: &str, since: i64, close: bool) -> CaseWrite {
    CaseWrite::Clear {
        rule: rule(),
        point: key(facility),
        since: UtcMillis(since),
        at: UtcMillis(since + 90_000),
        close,
    }
}

fn note(by: &str, comment: &str) -> Note {
    Note {
        by: by.into(),
        at: NOW,
        comment: comment.into(),
    }
}

struct Fixture {
    records: Records,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let records = furnished(&dir.path().join("records.db")).await;
        Fixture { records, _dir: dir }
    }

    async fn one(&self, write: CaseWrite) -> Case {
        let mut changed = self.records.apply_cases(&[write], None).await.unwrap();
        assert_eq!(changed.len(), 1);
        changed.remove(0)
    }

    async fn act(&self, case: &Case, action: CaseAction) -> Result<Case, RecordError> {
        self.records
            .act_on_case(&Scope::everything(), case.id, case.version, action)
            .await
    }
}

#[tokio::test]
async fn a_replay_changes_nothing_and_tells_nothing() {
    let f = Fixture::new().await;
    let snapshot = |n| EngineSnapshot {
        position: LogPosition(n),
        state: n.to_le_bytes().to_vec(),
    };
    let first = f
        .records
        .apply_cases(&[opening("a", 100)], Some(&snapshot(1)))
        .await
        .unwrap();
    assert_eq!((first.len(), first[0].id, first[0].version), (1, CaseId(1), 1));
    assert_eq!(
        (first[0].value, first[0].limit, first[0].state),
        (Some(9.25), Some(8.0), CaseState::Open)
    );

    // The log is read again from before the opening; this time it goes on further.
    let writes = [
        opening("a", 100),
        clearing("a", 100, false),
        opening("a", 500_000),
    ];
    let second = f.records.apply_cases(&writes, Some(&snapshot(2))).await.unwrap();
    assert_eq!(
        second.iter().map(|c| c.id).collect::<Vec<_>>(),
        [CaseId(1), CaseId(2)]
    );
    assert_eq!(
        (second[0].cleared_at, second[0].state),
        (Some(UtcMillis(90_100)), CaseState::Open)
    );
    let lines = f.records.audit_trail(100).await.unwrap().len();
    for _ in 0..2 {
        assert_eq!(
            f.records.apply_cases(&writes, Some(&snapshot(2))).await.unwrap(),
            []
        );
    }
    assert_eq!(f.records.audit_trail(100).await.unwrap().len(), lines);
    assert_eq!(f.records.engine_snapshot().await.unwrap(), Some(snapshot(2)));
    assert_eq!(
        f.records
            .cases(
                &Scope::everything(),
                &CaseFilter {
                    limit: 9,
                    ..CaseFilter::default()
                }
            )
            .await
            .unwrap()
            .len(),
        2
    );
    assert_eq!(f.records.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_of_its_batch() {
    let f = Fixture::new().await;
    let snapshot = EngineSnapshot {
        position: LogPosition(1),
        state: vec![1],
    };
    let error = f
        .records
        .apply_cases(&[opening("a", 1), opening("zzz", 1)], Some(&snapshot))
        .await
        .unwrap_err();
    assert!(
        matches!(error, RecordError::Missing { what: "facility", .. }),
        "{error:?}"
    );
    assert_eq!(f.records.engine_snapshot().await.unwrap(), None);
    assert_eq!(
        f.records.case(&Scope::everything(), CaseId(1)).await.unwrap(),
        None
    );
    assert_eq!(f.records.audit_trail(10).await.unwrap(), []);
    assert_eq!(f.one(opening("a", 1)).await.id, CaseId(1), "no number is lost");
}

#[tokio::test]
async fn clearing_closes_only_what_may_be_closed() {
    let f = Fixture::new().await;
    f.one(opening("a", 1)).await;
    let closed = f.one(clearing("a", 1, true)).await;
    let by_system = Note {
        by: "system".into(),
        at: UtcMillis(90_001),
        comment: String::new(),
    };
    assert_eq!(
        (closed.state, closed.closed, closed.version),
        (CaseState::Closed, Some(by_system), 2)
    );
    let again = f.records.apply_cases(&[clearing("a", 1, true)], None).await;
    assert_eq!(again.unwrap(), [], "the log is read again");

    f.one(opening("b", 1)).await;
    let latched = f.one(clearing("b", 1, false)).await;
    assert_eq!(
        (latched.state, latched.closed, latched.cleared_at),
        (CaseState::Open, None, Some(UtcMillis(90_001)))
    );

    // Closed by a person before it cleared: the machine notes the moment and keeps the person's word.
    let open = f.one(opening("b", 2)).await;
    let by_person = f
        .act(&open, CaseAction::new(Act::Close, note("王芳", "已修好")))
        .await
        .unwrap();
    let cleared = f.one(clearing("b", 2, true)).await;
    assert_eq!(
        (cleared.closed, cleared.cleared_at),
        (by_person.closed, Some(UtcMillis(90_002)))
    );

    // Clearing what was never opened is nothing.
    assert_eq!(
        f.records
            .apply_cases(&[clearing("a", 77, true)], None)
            .await
            .unwrap(),
        []
    );
}

#[tokio::test]
async fn people_act_on_the_version_they_saw() {
    let f = Fixture::new().await;
    let open = f.one(opening("a", 1)).await;
    let taken = f
        .act(&open, CaseAction::new(Act::Acknowledge, note(" 王芳 ", "去看看")))
        .await
        .unwrap();
    assert_eq!((taken.state, taken.version), (CaseState::Acknowledged, 2));
    assert_eq!(taken.acknowledged, Some(note("王芳", "去看看")));
    let stale = f.act(&open, CaseAction::new(Act::Close, note("李雷", ""))).await;
    assert!(matches!(stale, Err(RecordError::Conflict)), "{stale:?}");
    let twice = f
        .act(&taken, CaseAction::new(Act::Acknowledge, note("李雷", "")))
        .await;
    assert!(
        matches!(
            twice,
            Err(RecordError::WrongState {
                state: CaseState::Acknowledged
            })
        ),
        "{twice:?}"
    );
    let closed = f
        .act(&taken, CaseAction::new(Act::Close, note("李雷", "")))
        .await
        .unwrap();
    assert_eq!(
        (closed.state, closed.acknowledged.is_some()),
        (CaseState::Closed, true)
    );
    let again = f
        .act(&closed, CaseAction::new(Act::Close, note("李雷", "")))
        .await;
    assert!(
        matches!(
            again,
            Err(RecordError::WrongState {
                state: CaseState::Closed
            })
        ),
        "{again:?}"
    );

    let trail = f.records.audit_trail(10).await.unwrap();
    let told: Vec<_> = trail
        .iter()
        .map(|e| (e.actor.as_str(), e.action.as_str(), e.detail.as_str()))
        .collect();
    assert_eq!(
        told[..2],
        [
            ("李雷", "case.close", "→ closed version=3 round=0\n"),
            (
                "王芳",
                "case.acknowledge",
                "→ acknowledged version=2 round=0\n去看看"
            )
        ]
    );
    assert_eq!((told[2].0, told[2].1), ("system", "case.open"));
    assert_eq!(told.len(), 3, "what was refused left no line");
}

#[tokio::test]
async fn a_nameless_or_endless_note_is_refused() {
    let f = Fixture::new().await;
    let open = f.one(opening("a", 1)).await;
    let long = "字".repeat(1_001);
    let cases = [
        (note("", ""), "by", Problem::Empty),
        (note("  ", ""), "by", Problem::Empty),
        (note(&"名".repeat(65), ""), "by", Problem::TooLong { max: 64 }),
        (note("a\u{7}b", ""), "by", Problem::ControlCharacter),
        (note("System", ""), "by", Problem::Reserved),
        (note("王芳", &long), "comment", Problem::TooLong { max: 1_000 }),
        (note("王芳", "\u{0}"), "comment", Problem::ControlCharacter),
    ];
    for (bad, where_, why) in cases {
        match f.act(&open, CaseAction::new(Act::Acknowledge, bad)).await {
            Err(RecordError::Invalid { field, problem }) => assert_eq!((field, problem), (where_, why)),
            other => panic!("{where_} {why:?}: {other:?}"),
        }
    }
    let longest = note(&"名".repeat(64), &"字".repeat(1_000));
    assert!(
        f.act(&open, CaseAction::new(Act::Acknowledge, longest))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_scope_hides_cases_and_forbids_acts() {
    let f = Fixture::new().await;
    let (a, b) = (f.one(opening("a", 1)).await, f.one(opening("b", 1)).await);
    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    let page = |facility: Option<&str>| CaseFilter {
        facility: facility.map(|f| FacilityId::new(f).unwrap()),
        limit: 10,
        ..CaseFilter::default()
    };
    assert_eq!(
        f.records.cases(&only_b, &page(None)).await.unwrap(),
        std::slice::from_ref(&b)
    );
    assert_eq!(f.records.cases(&only_b, &page(Some("a"))).await.unwrap(), []);
    assert_eq!(
        f.records
            .cases(&Scope::facilities([]), &page(None))
            .await
            .unwrap(),
        []
    );
    assert_eq!(f.records.case(&only_b, a.id).await.unwrap(), None);
    assert_eq!(f.records.case(&only_b, b.id).await.unwrap(), Some(b.clone()));
    assert_eq!(
        f.records.case_counts(&only_b, None).await.unwrap(),
        CaseCounts {
            open: 1,
            acknowledged: 0
        }
    );
    assert_eq!(
        f.records
            .case_counts(&only_b, Some(&a.point.facility))
            .await
            .unwrap(),
        CaseCounts::default()
    );
    let act = f
        .records
        .act_on_case(
            &only_b,
            a.id,
            a.version,
            CaseAction::new(Act::Close, note("王芳", "")),
        )
        .await;
    assert!(matches!(act, Err(RecordError::NotFound)), "{act:?}");
    assert_eq!(f.records.case(&Scope::everything(), a.id).await.unwrap(), Some(a));
}

#[tokio::test]
async fn cases_come_newest_first_page_by_page() {
    let f = Fixture::new().await;
    let writes: Vec<_> = (0..7)
        .map(|n| opening(if n % 2 == 0 { "a" } else { "b" }, n))
        .collect();
    let opened = f.records.apply_cases(&writes, None).await.unwrap();
    let all = Scope::everything();
    f.act(&opened[2], CaseAction::new(Act::Acknowledge, note("王芳", "")))
        .await
        .unwrap();
    f.act(&opened[4], CaseAction::new(Act::Close, note("王芳", "")))
        .await
        .unwrap();
    let ids = |cases: Vec<Case>| cases.into_iter().map(|c| c.id.0).collect::<Vec<_>>();
    let mut filter = CaseFilter {
        limit: 3,
        ..CaseFilter::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = ids(f.records.cases(&all, &filter).await.unwrap());
        let Some(last) = page.last() else { break };
        filter.before = Some(CaseId(*last));
        pages.push(page);
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let states = |states: &[CaseState]| CaseFilter {
        states: states.to_vec(),
        limit: 10,
        ..CaseFilter::default()
    };
    assert_eq!(
        ids(f
            .records
            .cases(&all, &states(&[CaseState::Acknowledged]))
            .await
            .unwrap()),
        [3]
    );
    let unfinished = states(&[CaseState::Open, CaseState::Acknowledged]);
    assert_eq!(
        ids(f.records.cases(&all, &unfinished).await.unwrap()),
        [7, 6, 4, 3, 2, 1]
    );
    assert_eq!(
        f.records.case_counts(&all, None).await.unwrap(),
        CaseCounts {
            open: 5,
            acknowledged: 1
        }
    );
}
