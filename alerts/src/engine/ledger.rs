//! What waits for the record store: case writes in order, and the snapshot.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use domain::{
    ConditionState, Judge, LogPosition, Rule, RuleId, Transition, UtcMillis, case::cause::Trouble,
    judge::Snapshot,
};
use store::{
    RecordError,
    records::{CaseWrite, EngineSnapshot, NewCase},
};
use tokio::time::{Instant, sleep};

use crate::{AlertError, Health, MAX_PENDING, handle::Shared};

/// A snapshot is due when the log has moved on by this much…
const SNAPSHOT_LOG_MS: i64 = 5_000;

/// …and this long has passed, so that a replay of days does not write one per batch…
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);

/// …and this many times as long as the last one took: snapshots use at most a twentieth of the time.
const SNAPSHOT_COST_FACTOR: u32 = 20;

/// Case writes per transaction.
const CHUNK: usize = 500;

/// The first pause after a failure; each further one doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Tries at the end, before the engine gives up and leaves the rest to the next start.
const LAST_TRIES: u32 = 5;

#[derive(Debug)]
pub(super) struct Ledger {
    pending: Vec<CaseWrite>,
    failures: u32,
    retry_at: Option<Instant>,
    error: Option<String>,
    snapshot_demanded: bool,
    /// Log time of the last snapshot.
    snapshot_at: Option<UtcMillis>,
    snapshot_made: Instant,
    snapshot_cost: Duration,
}

/// Reads a snapshot's bytes; `None` when this build cannot.
pub(super) fn decode(state: &[u8]) -> Option<Snapshot> {
    serde_json::from_slice(state).ok().filter(Snapshot::is_readable)
}

fn encode(judge: &Judge) -> Vec<u8> {
    serde_json::to_vec(&judge.snapshot()).expect("a snapshot holds texts and whole numbers only")
}

impl Ledger {
    pub(super) fn new() -> Ledger {
        Ledger {
            pending: Vec::new(),
            failures: 0,
            retry_at: None,
            error: None,
            snapshot_demanded: false,
            snapshot_at: None,
            snapshot_made: Instant::now(),
            snapshot_cost: Duration::ZERO,
        }
    }

    /// Takes a transition; true when it opens or clears a case.
    pub(super) fn enter(&mut self, transition: Transition, rules: &BTreeMap<RuleId, Rule>) -> bool {
        let Some(write) = write_of(transition, rules) else {
            return false;
        };
        self.pending.push(write);
        true
    }

    /// Whether another batch may be judged.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING
    }

    /// When to try again after a failure.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The next write carries a snapshot.
    pub(super) fn demand_snapshot(&mut self) {
        self.snapshot_demanded = true;
    }

    /// Whether something is to be written now. After a failure the pause is kept.
    pub(super) fn is_due(&self, log_time: Option<UtcMillis>) -> bool {
        self.retry_at.is_none() && (!self.pending.is_empty() || self.snapshot_due(log_time))
    }

    fn snapshot_due(&self, log_time: Option<UtcMillis>) -> bool {
        let Some(now) = log_time else {
            return self.snapshot_demanded;
        };
        let moved = self
            .snapshot_at
            .is_none_or(|then| now.ms_since(then) >= SNAPSHOT_LOG_MS);
        let pause = SNAPSHOT_PAUSE.max(self.snapshot_cost * SNAPSHOT_COST_FACTOR);
        self.snapshot_demanded || (moved && self.snapshot_made.elapsed() >= pause)
    }

    /// Writes what is pending, with a snapshot when that is due. A failure is noted, logged when it is the
    /// first, and tried again later.
    pub(super) async fn keep(&mut self, shared: &Shared, judge: &Judge, position: LogPosition) {
        match self.write(shared, judge, position).await {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "The record store takes cases again");
                }
                self.failures = 0;
                self.retry_at = None;
                self.error = None;
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::error!(error = %Chain(&error), pending = self.pending.len(),
                        "Cases cannot be written; judgement goes on and they are kept for later");
                }
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << self.failures.min(10))
                    .min(LONGEST_PAUSE);
                self.failures += 1;
                self.retry_at = Some(Instant::now() + pause);
                self.error = Some(Chain(&error).to_string());
            }
        }
    }

    /// The last write: tries a few times.
    pub(super) async fn keep_at_last(
        &mut self,
        shared: &Shared,
        judge: &Judge,
        position: LogPosition,
    ) -> Result<(), AlertError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..LAST_TRIES {
            if self.write(shared, judge, position).await.is_ok() {
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.write(shared, judge, position)
            .await
            .map_err(AlertError::from)
    }

    pub(super) fn health(&self) -> Health {
        Health {
            pending_writes: self.pending.len(),
            error: self.error.clone(),
            ..Health::default()
        }
    }

    async fn write(
        &mut self,
        shared: &Shared,
        judge: &Judge,
        position: LogPosition,
    ) -> Result<(), RecordError> {
        while self.pending.len() > CHUNK {
            self.write_chunk(shared, None).await?;
        }
        if !self.snapshot_due(judge.log_time()) {
            return if self.pending.is_empty() {
                Ok(())
            } else {
                self.write_chunk(shared, None).await
            };
        }
        let begun = Instant::now();
        let snapshot = EngineSnapshot {
            position,
            state: encode(judge),
        };
        self.write_chunk(shared, Some(&snapshot)).await?;
        shared.durable.store(position.0, Ordering::Release);
        self.snapshot_demanded = false;
        self.snapshot_at = judge.log_time();
        self.snapshot_cost = begun.elapsed();
        self.snapshot_made = Instant::now();
        Ok(())
    }

    /// Writes the oldest pending writes in one transaction, then tells of the cases that changed.
    async fn write_chunk(
        &mut self,
        shared: &Shared,
        snapshot: Option<&EngineSnapshot>,
    ) -> Result<(), RecordError> {
        let count = self.pending.len().min(CHUNK);
        let cases = shared
            .records
            .apply_cases(&self.pending[..count], snapshot)
            .await?;
        self.pending.drain(..count);
        cases.into_iter().for_each(|case| shared.publish(case));
        Ok(())
    }
}

/// What a transition means for cases: nothing, unless it ends in Active or Cleared.
fn write_of(transition: Transition, rules: &BTreeMap<RuleId, Rule>) -> Option<CaseWrite> {
    let rule = rules.get(&transition.rule);
    match transition.to {
        ConditionState::Active => rule.map(|rule| {
            CaseWrite::Open(NewCase {
                trouble: Trouble::of(rule, &transition.point),
                rule: transition.rule,
                rule_version: rule.pack_version.clone(),
                point: transition.point,
                severity: rule.severity,
                since: transition.since,
                raised_at: transition.at,
                value: transition.value,
                limit: transition.limit,
            })
        }),
        ConditionState::Cleared => Some(CaseWrite::Clear {
            rule: transition.rule,
            point: transition.point,
            since: transition.since,
            at: transition.at,
            // Whether a rule that is gone was latched is not known: a person shall look.
            close: rule.is_some_and(|r| !r.latched),
        }),
        ConditionState::Normal
        | ConditionState::Pending
        | ConditionState::Shelved
        | ConditionState::Unknown => None,
    }
}

/// An error with its causes in one line.
struct Chain<'a>(&'a RecordError);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicU64};

    use arc_swap::ArcSwap;
    use domain::{
        Clock, DeviceId, Facility, FacilityId, FacilityKind, Metric, Region, RegionId, Scope, SeriesKey,
        SizeClass, pack,
    };
    use store::{Records, records::CaseFilter};
    use tokio::sync::{broadcast, mpsc};

    use super::*;

    const AT: UtcMillis = UtcMillis(1_795_243_200_000);

    async fn open(dir: &tempfile::TempDir) -> Shared {
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
        let facility = Facility {
            id: FacilityId::new("f").unwrap(),
            region,
            name_zh: "院".into(),
            name_en: "F".into(),
            kind: FacilityKind::CareHome,
            size: SizeClass::Small,
            beds: 1,
            people_served: 1,
            address: "-".into(),
        };
        records.put_facility(&facility).await.unwrap();
        let rules = pack::built_in().into_iter().map(|r| (r.id.clone(), r)).collect();
        Shared {
            board: ArcSwap::default(),
            health: ArcSwap::default(),
            rules: Arc::new(rules),
            own: ArcSwap::default(),
            durable: AtomicU64::new(0),
            changes: broadcast::channel(4).0,
            commands: mpsc::channel(1).0,
            records,
        }
    }

    fn smoke(device: &str, to: ConditionState) -> Transition {
        Transition {
            rule: RuleId::new("FG-SMK-01").unwrap(),
            point: SeriesKey {
                facility: FacilityId::new("f").unwrap(),
                device: DeviceId::new(device).unwrap(),
                metric: Metric::new("smoke_alarm").unwrap(),
            },
            from: ConditionState::Normal,
            to,
            since: AT,
            at: AT,
            value: Some(1.0),
            limit: Some(1.0),
        }
    }

    #[tokio::test]
    async fn writes_that_failed_are_kept_in_order_and_written_once_the_store_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let broken = open(&dir).await;
        broken.records.close().await;
        let judge = Judge::new(Vec::new(), &[]);
        let mut ledger = Ledger::new();
        let position = LogPosition(7);
        for n in 0..CHUNK + 20 {
            let device = format!("smoke-{n:04}");
            assert!(ledger.enter(smoke(&device, ConditionState::Active), &broken.rules));
        }
        assert!(!ledger.enter(smoke("smoke-0000", ConditionState::Pending), &broken.rules));
        assert!(ledger.enter(smoke("smoke-0000", ConditionState::Cleared), &broken.rules));
        assert!(ledger.is_due(None));
        ledger.demand_snapshot();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let before = Instant::now();
            ledger.keep(&broken, &judge, position).await;
            pauses.push(ledger.retry_at().unwrap() - before);
            assert!(!ledger.is_due(None), "after a failure the pause is kept");
        }
        assert!(
            pauses[0] >= FIRST_PAUSE && pauses[1] >= 2 * FIRST_PAUSE,
            "{pauses:?}"
        );
        assert!(
            pauses[7] >= LONGEST_PAUSE && pauses[7] < 2 * LONGEST_PAUSE,
            "{pauses:?}"
        );
        assert_eq!(ledger.health().pending_writes, CHUNK + 21);
        assert!(ledger.health().error.is_some());

        let mended = open(&dir).await;
        ledger.keep(&mended, &judge, position).await;
        assert_eq!(ledger.health(), Health::default(), "nothing waits, nothing fails");
        assert_eq!(ledger.retry_at(), None);
        assert_eq!(mended.durable.load(Ordering::Acquire), 7);
        assert_eq!(
            mended.records.engine_snapshot().await.unwrap().unwrap().position,
            position
        );
        let filter = CaseFilter {
            limit: 1_000,
            ..CaseFilter::default()
        };
        let mut cases = mended.records.cases(&Scope::everything(), &filter).await.unwrap();
        cases.sort_by_key(|c| c.id);
        let devices: Vec<&str> = cases.iter().map(|c| c.point.device.as_str()).collect();
        assert_eq!(devices.len(), CHUNK + 20);
        assert!(
            devices.is_sorted(),
            "cases are opened in the order in which they arose"
        );
        assert_eq!(
            cases[0].cleared_at,
            Some(AT),
            "the clearing came after the opening"
        );
    }
}
