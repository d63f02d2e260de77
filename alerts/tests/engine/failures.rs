//! A record store that fails: judgement goes on, and nothing is lost.

use domain::{Batch, LogPosition, Reading, UtcMillis, batch::Tick};
use sunshine_alerts::{AlertError, MAX_PENDING};

use crate::kitchen::{DOOR, FRIDGE, Kitchen, Log, Running, S, START, key, until};

#[tokio::test]
async fn what_the_store_did_not_take_comes_again_from_the_log() {
    let mut kitchen = Kitchen::build().await;
    let running = kitchen.start().await;
    let log = Log::default().ticks_to(5).read(DOOR, 1.0).ticks_to(20);
    running.send_and_wait(log.batches(8)).await;
    kitchen.records.close().await;
    let log = log.ticks_to(320).read(DOOR, 0.0).ticks_to(340);
    running.send(log.batches(8)).await;
    running.judged(log.end()).await;
    let handle = running.handle.clone();
    until("the failure is told", || handle.health().error.is_some()).await;
    assert_eq!(handle.health().pending_writes, 2);
    assert!(handle.durable_position() < log.end());
    // The board shows what the door does although no case can be written.
    let door = || handle.board().points[&key(DOOR)].state;
    until("the board shows it shut", || {
        door() == domain::ConditionState::Normal
    })
    .await;
    let error = running.stop().await.unwrap_err();
    assert!(matches!(error, AlertError::Store(_)), "{error}");

    kitchen.reopen_records().await;
    assert_eq!(kitchen.told().await, []);
    let running = kitchen.start().await;
    running.send_and_wait(log.batches(100)).await;
    running.stop().await.unwrap();
    let told = kitchen.told().await;
    assert_eq!(
        told,
        [(
            "EN-DOOR-01".to_owned(),
            "door-1".to_owned(),
            5,
            Some(315 + 15),
            "closed"
        )]
    );
}

/// One batch in which a fridge freezes and thaws `times` times.
fn flapping(from: LogPosition, times: i64) -> Batch {
    let mut batch = Batch {
        from,
        upto: from,
        ..Batch::default()
    };
    for n in 0..times {
        let at = UtcMillis(START + n * 4_000 * S);
        batch.ticks.push(Tick {
            before: batch.readings.len(),
            at,
        });
        for (minutes, value) in [(0, -1.0), (30, -1.0), (35, 4.0), (50, 4.0)] {
            let at = at + minutes * 60 * S;
            batch.readings.push(Reading {
                series: domain::SeriesId(u32::try_from(FRIDGE).unwrap()),
                at,
                received: at,
                value,
                quality: domain::Quality::Good,
            });
            batch.positions.push(batch.upto);
            batch.upto.0 += 10;
        }
    }
    batch
}

#[tokio::test]
async fn beyond_its_bound_the_engine_takes_no_batch() {
    let kitchen = Kitchen::build().await;
    let running = Running::start(kitchen.engine().await);
    kitchen.records.close().await;
    let most = i64::try_from(MAX_PENDING).unwrap() / 2;
    let first = flapping(LogPosition(0), most);
    let upto = first.upto;
    running.send_and_wait(vec![first]).await;
    assert_eq!(running.handle.health().pending_writes, MAX_PENDING);
    running.send(vec![flapping(upto, 1)]).await;
    let handle = running.handle.clone();
    let error = running.stop().await.unwrap_err();
    assert!(matches!(error, AlertError::Store(_)), "{error}");
    assert_eq!(
        (handle.health().position, handle.health().pending_writes),
        (upto, MAX_PENDING)
    );
}
