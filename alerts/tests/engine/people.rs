//! What people do to cases through the handle.

use domain::{
    Case, CaseId, CaseState, FacilityId, Scope, UtcMillis,
    case::{Act, Note, machine::Refusal},
};
use store::records::CaseAction;
use sunshine_alerts::AlertError;

use crate::kitchen::{Kitchen, Log, Running, SMOKE, START};

fn note(by: &str) -> Note {
    Note {
        by: by.to_owned(),
        at: UtcMillis(START),
        comment: "on my way".to_owned(),
    }
}

async fn smoke() -> (Kitchen, Running, Case) {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let mut changes = running.handle.subscribe();
    running
        .send(Log::default().ticks_to(1).read(SMOKE, 1.0).batches(10))
        .await;
    let case = changes.recv().await.unwrap().case;
    (kitchen, running, case)
}

#[tokio::test]
async fn a_case_is_taken_up_and_closed_and_everybody_is_told() {
    let (kitchen, running, case) = smoke().await;
    let mut changes = running.handle.subscribe();
    let all = Scope::everything();
    let taken = running
        .handle
        .acknowledge(&all, case.id, case.version, note("王芳"))
        .await
        .unwrap();
    assert_eq!(taken.state, CaseState::Acknowledged);
    let early = running
        .handle
        .close(&all, case.id, taken.version, note("王芳"))
        .await;
    assert!(
        matches!(early, Err(AlertError::Refused(Refusal::NeedsVerification))),
        "smoke is not waved away: {early:?}"
    );
    let dispute = CaseAction::new(Act::Dispute, note("王芳"));
    let disputed = running
        .handle
        .act(&all, case.id, taken.version, dispute)
        .await
        .unwrap();
    let withdraw = |by| CaseAction::new(Act::Withdraw, note(by));
    let own = running
        .handle
        .act(&all, case.id, disputed.version, withdraw("王芳"))
        .await;
    assert!(
        matches!(own, Err(AlertError::Refused(Refusal::OwnDispute))),
        "{own:?}"
    );
    let closed = running
        .handle
        .act(&all, case.id, disputed.version, withdraw("李雷"))
        .await
        .unwrap();
    assert_eq!(closed.state, CaseState::Closed);
    assert_eq!(changes.recv().await.unwrap().case, taken);
    assert_eq!(changes.recv().await.unwrap().case, disputed);
    assert_eq!(changes.recv().await.unwrap().case, closed);
    running.stop().await.unwrap();
    assert_eq!(kitchen.cases().await, [closed]);
}

#[tokio::test]
async fn an_act_on_the_wrong_case_version_or_state_is_refused() {
    let (_kitchen, running, case) = smoke().await;
    let all = Scope::everything();
    let handle = &running.handle;
    let elsewhere = Scope::facilities([FacilityId::new("other").unwrap()]);
    let stranger = handle
        .acknowledge(&elsewhere, case.id, case.version, note("a"))
        .await;
    assert!(matches!(stranger, Err(AlertError::NotFound)), "{stranger:?}");
    let missing = handle.close(&all, CaseId(99), 1, note("a")).await;
    assert!(matches!(missing, Err(AlertError::NotFound)), "{missing:?}");
    let stale = handle.close(&all, case.id, case.version + 1, note("a")).await;
    assert!(matches!(stale, Err(AlertError::Conflict)), "{stale:?}");
    let nameless = handle.close(&all, case.id, case.version, note(" ")).await;
    assert!(matches!(nameless, Err(AlertError::Invalid(_))), "{nameless:?}");
    let taken = handle
        .acknowledge(&all, case.id, case.version, note("a"))
        .await
        .unwrap();
    let twice = handle.acknowledge(&all, case.id, taken.version, note("b")).await;
    let acknowledged = CaseState::Acknowledged;
    assert!(
        matches!(twice, Err(AlertError::WrongState { state }) if state == acknowledged),
        "{twice:?}"
    );
    running.stop().await.unwrap();
}
