//! What the rest of the product holds of the engine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use domain::{
    Board, Case, CaseChange, CaseId, FacilityId, LogPosition, Rule, RuleId, Scope, UtcMillis,
    case::{Act, Note},
};
use store::{Records, records::CaseAction};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::AlertError;

/// How judgement fares.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// Everything before this was judged.
    pub position: LogPosition,
    /// Log time of the last event that was judged; `None` before the first.
    pub log_time: Option<UtcMillis>,
    /// How far that lay behind the clock when it was judged, in milliseconds.
    pub behind_ms: i64,
    /// Case writes that wait for the record store.
    pub pending_writes: usize,
    /// Readings that were not judged because a later one of their series had been.
    pub late_readings: u64,
    /// Registered points.
    pub points: usize,
    /// Why the last write to the record store failed; `None` when it succeeded.
    pub error: Option<String>,
}

/// What the engine is asked to do between two batches.
#[derive(Debug)]
pub(crate) enum Command {
    /// Read the points again.
    Reload(oneshot::Sender<Result<(), AlertError>>),
    /// Set something aside, or give a facility its own numbers.
    Change(Box<crate::shelving::Asked>),
}

/// The rules as they hold now.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnRules {
    /// Of every facility, each for those whose region has chosen its pack.
    pub(crate) base: Arc<BTreeMap<RuleId, Rule>>,
    /// Of facilities with rules of their own: all that hold there.
    pub(crate) of: BTreeMap<FacilityId, Arc<BTreeMap<RuleId, Rule>>>,
}

/// What engine and handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) board: ArcSwap<Board>,
    pub(crate) health: ArcSwap<Health>,
    pub(crate) rules: Arc<BTreeMap<RuleId, Rule>>,
    pub(crate) own: ArcSwap<OwnRules>,
    pub(crate) durable: AtomicU64,
    pub(crate) changes: broadcast::Sender<CaseChange>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) records: Records,
}

impl Shared {
    /// Tells the listeners of a case that is already durable.
    pub(crate) fn publish(&self, case: Case) {
        // Nobody listening is no error: whoever comes later reads the record store.
        drop(self.changes.send(CaseChange { case }));
    }
}

/// A handle on the running engine. Cheap to clone; reads take no lock.
#[derive(Debug, Clone)]
pub struct AlertHandle(pub(crate) Arc<Shared>);

impl AlertHandle {
    /// Judgement of every point, at most a second old while the log runs.
    #[must_use]
    pub fn board(&self) -> Arc<Board> {
        self.0.board.load_full()
    }

    /// How judgement fares.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.0.health.load_full()
    }

    /// The rules that are judged by at a facility: the packs', or its own in place of them.
    #[must_use]
    pub fn rules_of(&self, facility: &FacilityId) -> Arc<BTreeMap<RuleId, Rule>> {
        let own = self.0.own.load();
        own.of.get(facility).unwrap_or(&own.base).clone()
    }

    /// A pack's rule with the facilities for which its region has chosen that pack.
    #[must_use]
    pub fn rule_as_judged(&self, rule: &RuleId) -> Option<Rule> {
        self.0.own.load().base.get(rule).cloned()
    }

    /// The packs' rules that are judged by.
    #[must_use]
    pub fn rules(&self) -> Arc<BTreeMap<RuleId, Rule>> {
        self.0.rules.clone()
    }

    /// Reads the points again, after the directory changed. Points that stay keep their state; cases of
    /// points that are gone clear. Safe to cancel: the engine reloads all the same.
    ///
    /// # Errors
    /// [`AlertError::Store`] when they cannot be read, [`AlertError::Stopped`] when the engine has stopped.
    pub async fn reload_points(&self) -> Result<(), AlertError> {
        let (reply, answer) = oneshot::channel();
        self.0
            .commands
            .send(Command::Reload(reply))
            .await
            .map_err(|_closed| AlertError::Stopped)?;
        answer.await.map_err(|_dropped| AlertError::Stopped)?
    }

    /// The position of the durable snapshot: the log from here on is still needed.
    #[must_use]
    pub fn durable_position(&self) -> LogPosition {
        LogPosition(self.0.durable.load(Ordering::Acquire))
    }

    /// Every case opened, changed or closed from now on, by machine or people. A listener that is more
    /// than [`crate::MAX_CHANGES`] behind is told that it lagged, and loses the oldest.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<CaseChange> {
        self.0.changes.subscribe()
    }

    /// Tells the listeners of a case that somebody changed by another way, once that is durable.
    pub fn tell(&self, case: Case) {
        self.0.publish(case);
    }

    /// Takes up a case (签收). `version` is the one that the person saw.
    ///
    /// # Errors
    /// [`AlertError::NotFound`], [`AlertError::Conflict`], [`AlertError::WrongState`],
    /// [`AlertError::Refused`], [`AlertError::Invalid`], or [`AlertError::Store`].
    pub async fn acknowledge(
        &self,
        scope: &Scope,
        case: CaseId,
        version: i64,
        note: Note,
    ) -> Result<Case, AlertError> {
        self.act(scope, case, version, CaseAction::new(Act::Acknowledge, note))
            .await
    }

    /// Closes a case of a class that is closed on the spot, or one that was verified. `version` is the one that the
    /// person saw. The condition may still be active: it opens no second case before it has cleared and come back.
    ///
    /// # Errors
    /// As [`AlertHandle::acknowledge`].
    pub async fn close(
        &self,
        scope: &Scope,
        case: CaseId,
        version: i64,
        note: Note,
    ) -> Result<Case, AlertError> {
        self.act(scope, case, version, CaseAction::new(Act::Close, note))
            .await
    }

    /// Does what a person asks of a case: every act of the case machine. `version` is the one that the person saw.
    ///
    /// # Errors
    /// As [`AlertHandle::acknowledge`], and [`AlertError::Refused`].
    pub async fn act(
        &self,
        scope: &Scope,
        case: CaseId,
        version: i64,
        action: CaseAction,
    ) -> Result<Case, AlertError> {
        let changed = self.0.records.act_on_case(scope, case, version, action).await?;
        self.0.publish(changed.clone());
        Ok(changed)
    }
}
