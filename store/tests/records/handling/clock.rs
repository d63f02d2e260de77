//! Timers of cases while our own clock is set.

use domain::{Severity, UtcMillis, case::cause::Trouble, message::NoticeKind};
use sunshine_store::records::CaseWrite;

use super::{Fixture, MINUTE, NOW, Step, new_case};

const TEN_YEARS_MS: i64 = 3_653 * 24 * 60 * MINUTE;

#[tokio::test]
async fn a_clock_that_was_ten_years_ahead_makes_no_case_wait_and_a_jump_tells_of_each_once() {
    let f = Fixture::with_contacts(&[Step::Duty, Step::Head, Step::Town, Step::District]).await;
    f.clock.set(UtcMillis(NOW + TEN_YEARS_MS));
    let mut writes = Vec::new();
    for n in 0..20 {
        let mut new = new_case(&format!("d-{n}"), Trouble::Own, NOW);
        new.severity = Severity::P1;
        writes.push(CaseWrite::Open(new));
    }
    f.records.apply_cases(&writes, None).await.unwrap();
    let opened = f.told().await.len();
    // Somebody sets it right.
    f.clock.set(UtcMillis(NOW));
    assert_eq!(f.records.pass_timers().await.unwrap(), [], "nothing is due");
    let next = f.records.next_timer().await.unwrap().unwrap();
    assert_eq!(
        next,
        UtcMillis(NOW + 10 * MINUTE),
        "ten minutes to take it up, from now"
    );
    f.pass(10 * MINUTE);
    assert_eq!(f.records.pass_timers().await.unwrap().len(), 20);
    assert!(f.told().await.len() > opened, "the ladder is climbed");
    // And ahead again: each case tells once what is due, whatever was missed.
    let before = f.told().await.len();
    f.clock.set(UtcMillis(NOW + TEN_YEARS_MS));
    while !f.records.pass_timers().await.unwrap().is_empty() {}
    let told = f.told().await;
    let overdue = told[..told.len() - before]
        .iter()
        .filter(|d| d.kind == NoticeKind::Overdue);
    assert!(overdue.count() <= 20 * 4, "at most one for each person and case");
    assert_eq!(f.records.next_timer().await.unwrap(), None);
}
