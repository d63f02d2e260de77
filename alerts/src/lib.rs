//! Runs the rules over the log and keeps the cases. (API contract; replaced by the real thing.)
#![allow(missing_docs, clippy::todo, dead_code, unused_variables, clippy::needless_pass_by_value)]
use std::{collections::BTreeMap, sync::Arc};
use domain::{Batch, Case, CaseChange, CaseId, Clock, LogPosition, Point, Rule, RuleId, Scope, SeriesId, SeriesKey, Severity, UtcMillis, case::Note};
use store::{Records, SeriesStore};

#[derive(Debug, thiserror::Error)]
pub enum AlertError { #[error("not found")] NotFound, #[error("somebody was faster")] Conflict, #[error("store")] Store }

/// The machine's view of one rule at one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionState { Normal, Pending, Active, Cleared, Unknown }

/// The worst state of a point over all its rules. Silence is `Unknown`, never `Normal`.
#[derive(Debug, Clone, PartialEq)]
pub struct PointState { pub state: ConditionState, pub severity: Option<Severity>, pub rule: Option<RuleId>, pub since: UtcMillis }

/// What the dashboard shows of judgement; swapped whole, read without a lock.
#[derive(Debug, Clone, Default)]
pub struct Board { pub points: BTreeMap<SeriesKey, PointState>, pub as_of: UtcMillis }

/// Points change while running (a device is added): the engine is handed the new list.
pub struct Engine;
impl Engine {
    /// Restores the snapshot if there is one. `series` resolves points' keys to numbers.
    pub async fn open(records: Records, series: SeriesStore, rules: Vec<Rule>, clock: Clock) -> Result<Engine, AlertError> { todo!() }
    /// Judgement has seen everything before this: replay the log from here.
    pub fn position(&self) -> LogPosition { todo!() }
    pub fn handle(&self) -> AlertHandle { todo!() }
    /// Judges batches until the channel closes; then snapshots and returns. Batches at or before its position are skipped.
    pub async fn run(self, batches: tokio::sync::mpsc::Receiver<Arc<Batch>>) -> Result<(), AlertError> { todo!() }
}

#[derive(Clone)]
pub struct AlertHandle;
impl AlertHandle {
    pub fn board(&self) -> Arc<Board> { todo!() }
    pub fn rules(&self) -> Arc<BTreeMap<RuleId, Rule>> { todo!() }
    /// The points as judgement knows them; reload after the directory changed.
    pub async fn reload_points(&self) -> Result<(), AlertError> { todo!() }
    /// The position up to which snapshots are durable (for the journal's cursor).
    pub fn durable_position(&self) -> LogPosition { todo!() }
    /// Every case opened, changed or closed, by machine or people. Bounded: a slow listener is told it lagged.
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<CaseChange> { todo!() }
    pub async fn acknowledge(&self, scope: &Scope, case: CaseId, version: i64, note: Note) -> Result<Case, AlertError> { todo!() }
    pub async fn close(&self, scope: &Scope, case: CaseId, version: i64, note: Note) -> Result<Case, AlertError> { todo!() }
}
