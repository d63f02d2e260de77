//! From batches to cases, board and change messages.

use domain::{CaseState, ConditionState, LogPosition, Severity, UtcMillis};

use crate::kitchen::{DOOR, FRIDGE, Kitchen, LATER, Log, S, SMOKE, START, key, until};

#[tokio::test]
async fn a_door_left_open_opens_a_case_that_closes_itself() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let mut changes = running.handle.subscribe();
    let log = Log::default()
        .ticks_to(10)
        .read(DOOR, 1.0)
        .ticks_to(400)
        .read(DOOR, 0.0)
        .ticks_to(420);
    running.send_and_wait(log.batches(7)).await;

    let opened = changes.recv().await.unwrap().case;
    assert_eq!(
        (opened.rule.as_str(), opened.state),
        ("EN-DOOR-01", CaseState::Open)
    );
    assert_eq!(
        (opened.severity, opened.rule_version.as_str()),
        (Severity::P3, "2026.11")
    );
    assert_eq!(
        (opened.since, opened.raised_at),
        (UtcMillis(START + 10 * S), UtcMillis(START + 310 * S))
    );
    assert_eq!((opened.value, opened.limit), (Some(1.0), Some(1.0)));
    let closed = changes.recv().await.unwrap().case;
    assert_eq!((closed.id, closed.state), (opened.id, CaseState::Closed));
    assert_eq!(closed.cleared_at, Some(UtcMillis(START + 410 * S)));
    assert_eq!(closed.closed.as_ref().unwrap().by, "system");
    assert_eq!(kitchen.cases().await, [closed]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn smoke_that_clears_leaves_its_case_open() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let log = Log::default()
        .ticks_to(5)
        .read(SMOKE, 1.0)
        .ticks_to(20)
        .read(SMOKE, 0.0)
        .ticks_to(100);
    running.send_and_wait(log.batches(50)).await;
    running.stop().await.unwrap();
    let told = kitchen.told().await;
    assert_eq!(
        told,
        [("FG-SMK-01".to_owned(), "smoke-1".to_owned(), 5, Some(80), "open")]
    );
}

#[tokio::test]
async fn the_board_is_shown_as_soon_as_a_case_opens() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let state = |point: usize| running.handle.board().points[&key(point)].clone();
    assert_eq!(state(SMOKE).state, ConditionState::Unknown);
    let log = Log::default()
        .ticks_to(0)
        .read(SMOKE, 0.0)
        .read(DOOR, 1.0)
        .ticks_to(1)
        .read(SMOKE, 1.0);
    let batches = log.batches(100);
    running.send_and_wait(batches).await;
    until("the board shows smoke", || {
        state(SMOKE).state == ConditionState::Active
    })
    .await;
    assert_eq!(
        (state(SMOKE).severity, state(SMOKE).since),
        (Some(Severity::P0), UtcMillis(START + S))
    );
    assert_eq!(state(SMOKE).rule.unwrap().as_str(), "FG-SMK-01");
    assert_eq!(
        (state(DOOR).state, state(FRIDGE).state),
        (ConditionState::Pending, ConditionState::Unknown)
    );
    assert_eq!(running.handle.board().as_of, UtcMillis(START + S));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_point_that_is_registered_while_running_is_judged_from_then_on() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let log = Log::default().ticks_to(1).read(LATER, 20.0).ticks_to(2);
    running.send_and_wait(log.batches(10)).await;
    kitchen
        .records
        .put_point(&crate::kitchen::points()[LATER])
        .await
        .unwrap();
    running.handle.reload_points().await.unwrap();
    assert_eq!(running.handle.health().points, 4);
    assert_eq!(
        running.handle.board().points[&key(LATER)].state,
        ConditionState::Unknown
    );
    let more = log.read(LATER, 20.0).ticks_to(2 + 1800);
    running.send_and_wait(more.batches(10)).await;
    running.stop().await.unwrap();
    let told = kitchen.told().await;
    assert_eq!(
        told,
        [("CN-TMP-01".to_owned(), "fridge-2".to_owned(), 2, None, "open")]
    );
}

#[tokio::test]
async fn the_snapshot_follows_the_log_and_nobody_is_served_after_the_end() {
    let kitchen = Kitchen::build().await;
    let engine = kitchen.engine().await;
    assert_eq!(
        (engine.position(), engine.handle().rules().len()),
        (LogPosition(0), 90)
    );
    let running = crate::kitchen::Running::start(engine);
    let handle = running.handle.clone();
    let log = Log::default().ticks_to(30).read(FRIDGE, 4.0).ticks_to(60);
    running.send_and_wait(log.batches(4)).await;
    running.stop().await.unwrap();
    assert_eq!(handle.durable_position(), log.end());
    assert_eq!(
        kitchen.records.engine_snapshot().await.unwrap().unwrap().position,
        log.end()
    );
    let refused = handle.reload_points().await.unwrap_err();
    assert!(
        matches!(refused, sunshine_alerts::AlertError::Stopped),
        "{refused}"
    );
}
