//! What a restart and a crash leave of judgement: everything.

use domain::{Batch, LogPosition};
use store::records::EngineSnapshot;
use sunshine_alerts::AlertError;

use crate::kitchen::{DOOR, FRIDGE, Kitchen, Log, Running, SMOKE};

/// A log in which a door rings and clears twice, and smoke once.
fn busy_log() -> Log {
    let log = Log::default()
        .ticks_to(5)
        .read(DOOR, 1.0)
        .read(FRIDGE, 4.0)
        .ticks_to(320);
    let log = log
        .read(DOOR, 0.0)
        .ticks_to(340)
        .read(SMOKE, 1.0)
        .ticks_to(360)
        .read(SMOKE, 0.0);
    log.ticks_to(500)
        .read(DOOR, 1.0)
        .ticks_to(900)
        .read(DOOR, 0.0)
        .ticks_to(950)
}

#[tokio::test]
async fn after_a_stop_the_log_is_taken_up_in_the_middle_of_a_batch() {
    let straight = Kitchen::build().await;
    let running = straight.start().await;
    running.send_and_wait(busy_log().batches(64)).await;
    running.stop().await.unwrap();
    let want = straight.told().await;
    assert_eq!(want.len(), 3, "{want:?}");

    for (live, replay, stop) in [(10, 64, 20), (3, 7, 111), (50, 1, 7), (1, 1000, 334)] {
        let kitchen = Kitchen::build().await;
        let running = kitchen.start().await;
        running
            .send_and_wait(busy_log().batches(live)[..stop].to_vec())
            .await;
        running.stop().await.unwrap();
        let engine = kitchen.engine().await;
        assert_eq!(
            engine.position(),
            LogPosition((live * stop * 10) as u64),
            "{live} {replay} {stop}"
        );
        // What was judged before does not take judgement back to it.
        let position = engine.position();
        let running = Running::start(engine);
        running.send(busy_log().batches(replay)[..1].to_vec()).await;
        running.stop().await.unwrap();
        let engine = kitchen.engine().await;
        assert!(engine.position() >= position, "{live} {replay} {stop}");
        // The server replays from whatever position is lowest: here from the very beginning.
        let running = Running::start(engine);
        running.send_and_wait(busy_log().batches(replay)).await;
        running.stop().await.unwrap();
        assert_eq!(kitchen.told().await, want, "{live} {replay} {stop}");
    }
}

#[tokio::test]
async fn after_a_crash_the_replay_opens_nothing_twice() {
    let mut kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    running.send_and_wait(busy_log().batches(16)[..20].to_vec()).await;
    running.stop().await.unwrap();
    let snapshot = kitchen.records.engine_snapshot().await.unwrap().unwrap();
    let running = kitchen.start().await;
    running.send_and_wait(busy_log().batches(16)).await;
    let before = kitchen.told().await;
    assert_eq!(before.len(), 3);
    running.crash().await;
    kitchen.reopen_records().await;
    // The crash came before any snapshot of the second run.
    kitchen.records.apply_cases(&[], Some(&snapshot)).await.unwrap();

    let engine = kitchen.engine().await;
    assert_eq!(engine.position(), LogPosition(20 * 16 * 10));
    assert_eq!(engine.handle().durable_position(), engine.position());
    let running = Running::start(engine);
    let mut changes = running.handle.subscribe();
    running.send_and_wait(busy_log().batches(9)).await;
    running.stop().await.unwrap();
    assert_eq!(kitchen.told().await, before);
    assert!(changes.try_recv().is_err(), "nothing changed, so nobody is told");
}

#[tokio::test]
async fn a_straddling_batch_without_positions_stops_judgement() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let log = Log::default().ticks_to(3).read(FRIDGE, 4.0);
    running.send_and_wait(log.batches(2)).await;
    let straddling = Batch {
        positions: Vec::new(),
        ..log.read(FRIDGE, 4.0).batches(100).remove(0)
    };
    running.send(vec![straddling]).await;
    let error = running.stop().await.unwrap_err();
    assert!(matches!(error, AlertError::Straddle { .. }), "{error}");
    assert!(error.to_string().contains("Batch::positions"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_is_judged_anew() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    running.send_and_wait(busy_log().batches(16)).await;
    running.stop().await.unwrap();
    let before = kitchen.told().await;
    for state in [b"{".to_vec(), br#"{"form":9}"#.to_vec(), Vec::new()] {
        let damaged = EngineSnapshot {
            position: LogPosition(5000),
            state,
        };
        kitchen.records.apply_cases(&[], Some(&damaged)).await.unwrap();
        let engine = kitchen.engine().await;
        assert_eq!(engine.position(), LogPosition(0));
        let running = Running::start(engine);
        running.send_and_wait(busy_log().batches(100)).await;
        running.stop().await.unwrap();
        assert_eq!(kitchen.told().await, before);
    }
}

#[tokio::test]
async fn a_rule_that_was_switched_off_leaves_no_case_hanging() {
    let kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let log = Log::default().ticks_to(5).read(DOOR, 1.0).ticks_to(320);
    running.send_and_wait(log.batches(16)).await;
    running.stop().await.unwrap();
    assert_eq!(kitchen.told().await[0].3, None);
    let others = crate::kitchen::rules()
        .into_iter()
        .filter(|r| r.id.as_str() != "EN-DOOR-01")
        .collect();
    let running = Running::start(kitchen.engine_with(others).await);
    running.stop().await.unwrap();
    let told = kitchen.told().await;
    assert_eq!(
        (told[0].3, told[0].4),
        (Some(320), "open"),
        "cleared; whether to close it is a person's word"
    );
}
