//! What waits for the record store: case writes in order, and the snapshot.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use domain::{ConditionState, Judge, LogPosition, Rule, RuleId, Transition, UtcMillis, judge::Snapshot};
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
    refused: u64,
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
            refused: 0,
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
            refused_writes: self.refused,
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
        match shared.records.apply_cases(&self.pending[..count], snapshot).await {
            Ok(cases) => {
                self.pending.drain(..count);
                cases.into_iter().for_each(|case| shared.publish(case));
                Ok(())
            }
            Err(error) if is_permanent(&error) => {
                self.write_singly(shared, count).await?;
                match snapshot {
                    Some(_) => shared.records.apply_cases(&[], snapshot).await.map(drop),
                    None => Ok(()),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// One write that can never succeed must not hold up the others: it is logged, counted and left out.
    async fn write_singly(&mut self, shared: &Shared, count: usize) -> Result<(), RecordError> {
        for _ in 0..count {
            match shared.records.apply_cases(&self.pending[..1], None).await {
                Ok(cases) => cases.into_iter().for_each(|case| shared.publish(case)),
                Err(error) if is_permanent(&error) => {
                    self.refused += 1;
                    tracing::error!(error = %Chain(&error), "A case was refused by the record store and is lost");
                }
                Err(error) => return Err(error),
            }
            self.pending.remove(0);
        }
        Ok(())
    }
}

/// Whether trying again cannot help.
fn is_permanent(error: &RecordError) -> bool {
    matches!(error, RecordError::Missing { .. } | RecordError::Invalid { .. })
}

/// What a transition means for cases: nothing, unless it ends in Active or Cleared.
fn write_of(transition: Transition, rules: &BTreeMap<RuleId, Rule>) -> Option<CaseWrite> {
    let rule = rules.get(&transition.rule);
    match transition.to {
        ConditionState::Active => rule.map(|rule| {
            CaseWrite::Open(NewCase {
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
        ConditionState::Normal | ConditionState::Pending | ConditionState::Unknown => None,
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
