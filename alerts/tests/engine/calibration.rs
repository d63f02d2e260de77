//! A calibration whose due date has passed.

use domain::{Calibration, Scope, UtcMillis};

use crate::kitchen::{FRIDGE, Kitchen, Log, S, START, key};

fn calibration(due_s: i64) -> Calibration {
    Calibration {
        key: key(FRIDGE),
        scale: 1.0,
        offset: 0.2,
        due: Some(UtcMillis(START + due_s * S)),
        since: UtcMillis(START - 86_400_000),
        by: "Li".to_owned(),
    }
}

#[tokio::test]
async fn a_calibration_that_is_overdue_raises_one_case_until_there_is_a_new_one() {
    let all = Scope::everything();
    let hours = |n: i64| n * 3_600;
    // Every ten seconds, as while nothing is heard: the log runs on.
    let log = Log::default().ticks_to(hours(4));
    let mut told = Vec::new();
    for size in [97, 1_000] {
        let mut kitchen = Kitchen::build().await;
        kitchen
            .records
            .put_calibration(&all, &calibration(hours(2) - 900))
            .await
            .unwrap();
        let running = kitchen.start().await;
        running.send_and_wait(log.batches(size)).await;
        running.crash().await;
        // What is judged again opens no second case.
        kitchen.reopen_records().await;
        let running = kitchen.start().await;
        running.send_and_wait(log.batches(size)).await;
        let cases = kitchen.cases().await;
        let due: Vec<_> = cases.iter().filter(|c| c.rule.as_str() == "SYS-CAL-01").collect();
        assert_eq!(due.len(), 1, "{cases:?}");
        let (case, ms) = (due[0], due[0].raised_at.0 - START);
        assert_eq!(
            (case.point.device.as_str(), case.cleared_at),
            (key(FRIDGE).device.as_str(), None)
        );
        assert!((hours(2) - 900..=hours(3)).contains(&(ms / S)), "{ms}");
        told.push(case.raised_at);
        // Calibrated anew: due in a year.
        kitchen
            .records
            .put_calibration(&all, &calibration(hours(24 * 365)))
            .await
            .unwrap();
        running.handle.reload_points().await.unwrap();
        let more = log.clone().ticks_to(hours(6));
        running.send_and_wait(more.batches(size)).await;
        running.stop().await.unwrap();
        let cases = kitchen.cases().await;
        let case = cases.iter().find(|c| c.rule.as_str() == "SYS-CAL-01").unwrap();
        assert!(case.cleared_at.is_some() && case.closed.is_some(), "{case:?}");
    }
    assert_eq!(told[0], told[1], "whatever the batches");
}
