//! What people change about judgement while it runs: shelves, windows, and a facility's own numbers for a rule.
//!
//! A change goes through the engine, which stands at one place of the log. It is written down first, with the moment
//! of log time from which it holds, and that moment lies after everything that was judged without it. So whoever
//! judges the log again, from any place, does the same at the same moment.

use std::{collections::BTreeMap, sync::Arc};

use domain::{
    FacilityId, Mute, Rule, RuleId, Scope, Shelf, TimeRange, UtcMillis, Window, Zone,
    rule::{RuleOverride, with_overrides},
    window::check_shelf,
};
use store::{RecordError, Records};
use tokio::sync::oneshot;

use crate::{
    AlertError, AlertHandle, Place,
    handle::{Command, OwnRules},
};

const DAY_MS: i64 = 24 * 3_600_000;

/// How far ahead recurring windows are laid out, in days.
const DAYS_AHEAD: i64 = 3;

/// How far back they are, after an outage, in days.
const MAX_BACK_DAYS: i64 = 40;

/// What is to be changed, and by whom.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Shelve(Shelf),
    TakeUp { id: i64, who: String },
    AddWindow(Window),
    EndWindow { id: i64, who: String },
    Override(RuleOverride),
    Restore { id: i64, who: String },
}

/// What became of it, as it is kept.
#[derive(Debug, Clone)]
pub(crate) enum Changed {
    Shelf(Shelf),
    Window(Window),
    Override(RuleOverride),
}

/// A change with who may make it, and where the answer goes.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) scope: Scope,
    pub(crate) change: Change,
    pub(crate) reply: oneshot::Sender<Result<Changed, AlertError>>,
}

/// What people have changed, as far as it can still matter, and what follows for a moment of log time.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The rules of all packs that are switched on somewhere…
    given: Vec<Rule>,
    place: Place,
    /// …and the same, each for the facilities whose region has chosen its pack.
    base: Vec<Rule>,
    shelves: Vec<Shelf>,
    windows: Vec<Window>,
    overrides: Vec<RuleOverride>,
    /// Facilities with rules of their own, each with all its rules.
    own: OwnRules,
    /// Up to when windows have been laid out.
    laid_out: UtcMillis,
    /// When the rules are others than now.
    rules_change: Option<UtcMillis>,
}

impl Policy {
    /// Reads everything that was not over before `since`; of everything when there is no such moment.
    pub(crate) async fn load(
        records: &Records,
        (given, place): (Vec<Rule>, Place),
        since: Option<UtcMillis>,
    ) -> Result<Policy, RecordError> {
        let mut policy = Policy {
            base: given.clone(),
            given,
            place,
            shelves: Vec::new(),
            windows: Vec::new(),
            overrides: Vec::new(),
            own: OwnRules::default(),
            laid_out: UtcMillis(i64::MIN),
            rules_change: None,
        };
        policy.reload(records, since).await?;
        Ok(policy)
    }

    pub(crate) async fn reload(
        &mut self,
        records: &Records,
        since: Option<UtcMillis>,
    ) -> Result<(), RecordError> {
        let all = Scope::everything();
        // A window whose end lies a little back may still explain a breach that stands.
        let since = since.map_or(UtcMillis(i64::MIN), |at| at - DAY_MS);
        let range = TimeRange {
            from: since,
            to: UtcMillis(i64::MAX),
        };
        self.shelves = records.shelves(&all, range).await?;
        self.windows = records.windows(&all, since).await?;
        self.overrides = records.overrides(&all, None, since).await?;
        if self.differs_by_region() {
            let facilities = records.facilities(&all).await?;
            let regions = records.regions().await?;
            self.base = self.place.rules(&self.given, &facilities, &regions);
        }
        Ok(())
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.place.zone
    }

    /// Whether a facility that is new needs the rules to be laid out anew.
    pub(crate) fn differs_by_region(&self) -> bool {
        !self.place.regions.is_empty()
    }

    /// The rules that hold at `at`; notes when that changes.
    pub(crate) fn rules_at(&mut self, at: UtcMillis) -> Vec<Rule> {
        let bounds = self
            .overrides
            .iter()
            .flat_map(|o| [Some(o.from), o.until])
            .flatten();
        self.rules_change = bounds.filter(|bound| *bound > at).min();
        let rules = with_overrides(&self.base, &self.overrides, at);
        self.own = OwnRules {
            base: Arc::new(self.base.iter().map(|r| (r.id.clone(), r.clone())).collect()),
            of: BTreeMap::new(),
        };
        for facility in rules.iter().filter_map(|r| r.facility.clone()) {
            let own = |r: &&Rule| r.facility.as_ref().is_none_or(|f| *f == facility);
            // Its own come after the packs', and take their place.
            let all = rules
                .iter()
                .filter(own)
                .map(|r| (r.id.clone(), r.clone()))
                .collect();
            self.own.of.insert(facility, Arc::new(all));
        }
        rules
    }

    /// The rules of a facility that has some of its own.
    pub(crate) fn own_rules(&self, facility: &FacilityId) -> Option<Arc<BTreeMap<RuleId, Rule>>> {
        self.own.of.get(facility).cloned()
    }

    /// All facilities that have some.
    pub(crate) fn own(&self) -> &OwnRules {
        &self.own
    }

    /// What is set aside around the time from `from` to `upto`, and some days beyond.
    pub(crate) fn mutes(&mut self, from: UtcMillis, upto: UtcMillis) -> Vec<Mute> {
        self.laid_out = upto + DAYS_AHEAD * DAY_MS;
        // After an outage of months nobody asks any more what was set aside in its first days.
        let from = from.max(upto - MAX_BACK_DAYS * DAY_MS);
        let range = TimeRange {
            from: from - DAY_MS,
            to: self.laid_out,
        };
        let windows = self.windows.iter().flat_map(|w| w.mutes(&self.place.zone, range));
        self.shelves.iter().map(Shelf::mute).chain(windows).collect()
    }

    /// Whether windows must be laid out anew before `at` is judged.
    pub(crate) fn must_lay_out(&self, at: UtcMillis) -> bool {
        !self.windows.is_empty() && at > self.laid_out - DAY_MS
    }

    /// Whether the rules are others at `at`.
    pub(crate) fn must_change_rules(&self, at: UtcMillis) -> bool {
        self.rules_change.is_some_and(|change| at >= change)
    }

    /// Checks a change that is to hold from `at` on, and writes it down.
    pub(crate) async fn write(
        &self,
        records: &Records,
        (scope, change): (&Scope, Change),
        at: UtcMillis,
    ) -> Result<Changed, AlertError> {
        match change {
            Change::Shelve(mut shelf) => {
                shelf.from = shelf.from.max(at);
                check_shelf(shelf.from, shelf.until)?;
                self.expect_shelvable(shelf.target.rule.as_ref())?;
                Ok(Changed::Shelf(records.add_shelf(scope, &shelf).await?))
            }
            Change::TakeUp { id, who } => Ok(Changed::Shelf(records.end_shelf(scope, id, at, &who).await?)),
            Change::AddWindow(mut window) => {
                window.since = window.since.max(at);
                window.check()?;
                self.expect_shelvable(window.target.rule.as_ref())?;
                Ok(Changed::Window(records.add_window(scope, &window).await?))
            }
            Change::EndWindow { id, who } => {
                Ok(Changed::Window(records.end_window(scope, id, at, &who).await?))
            }
            Change::Override(mut change) => {
                change.from = change.from.max(at);
                let base = self.base.iter().find(|r| r.id == change.rule);
                change.check(base.ok_or(AlertError::NoSuchRule)?)?;
                Ok(Changed::Override(records.put_override(scope, &change).await?))
            }
            Change::Restore { id, who } => Ok(Changed::Override(
                records.end_override(scope, id, at, &who).await?,
            )),
        }
    }

    fn expect_shelvable(&self, rule: Option<&RuleId>) -> Result<(), AlertError> {
        let Some(id) = rule else { return Ok(()) };
        match self.base.iter().find(|r| r.id == *id) {
            None => Err(AlertError::NoSuchRule),
            Some(rule) if rule.can_be_shelved() => Ok(()),
            Some(_) => Err(AlertError::Unshelvable),
        }
    }
}

impl AlertHandle {
    /// Sets something aside until a moment, at most a week away. What endangers life is not: it goes on ringing
    /// even when the whole facility is shelved. `shelf.from` is moved to the present moment of the log when it lies
    /// before. Safe to cancel: what was asked for may be done all the same.
    ///
    /// # Errors
    /// [`AlertError::Unshelvable`], [`AlertError::NoSuchRule`], [`AlertError::Window`] for a time that cannot be,
    /// [`AlertError::NotFound`] outside `scope`, [`AlertError::Invalid`], [`AlertError::Store`] or
    /// [`AlertError::Stopped`].
    pub async fn shelve(&self, scope: &Scope, shelf: Shelf) -> Result<Shelf, AlertError> {
        match self.ask(scope, Change::Shelve(shelf)).await? {
            Changed::Shelf(shelf) => Ok(shelf),
            _ => Err(AlertError::Stopped),
        }
    }

    /// Takes up what was shelved: a breach that stands is told at once.
    ///
    /// # Errors
    /// [`AlertError::NotFound`] when it is over already or outside `scope`; as [`AlertHandle::shelve`].
    pub async fn take_up(&self, scope: &Scope, id: i64, who: &str) -> Result<Shelf, AlertError> {
        let who = who.to_owned();
        match self.ask(scope, Change::TakeUp { id, who }).await? {
            Changed::Shelf(shelf) => Ok(shelf),
            _ => Err(AlertError::Stopped),
        }
    }

    /// Enters a window of maintenance, defrost, cleaning or service.
    ///
    /// # Errors
    /// As [`AlertHandle::shelve`].
    pub async fn add_window(&self, scope: &Scope, window: Window) -> Result<Window, AlertError> {
        match self.ask(scope, Change::AddWindow(window)).await? {
            Changed::Window(window) => Ok(window),
            _ => Err(AlertError::Stopped),
        }
    }

    /// Does away with a window.
    ///
    /// # Errors
    /// As [`AlertHandle::take_up`].
    pub async fn end_window(&self, scope: &Scope, id: i64, who: &str) -> Result<Window, AlertError> {
        let who = who.to_owned();
        match self.ask(scope, Change::EndWindow { id, who }).await? {
            Changed::Window(window) => Ok(window),
            _ => Err(AlertError::Stopped),
        }
    }

    /// Gives a facility its own numbers for a rule: stricter ones, or laxer ones with reason, approver and end.
    ///
    /// # Errors
    /// [`AlertError::Override`] says what stands against it; as [`AlertHandle::shelve`].
    pub async fn override_rule(
        &self,
        scope: &Scope,
        change: RuleOverride,
    ) -> Result<RuleOverride, AlertError> {
        match self.ask(scope, Change::Override(change)).await? {
            Changed::Override(change) => Ok(change),
            _ => Err(AlertError::Stopped),
        }
    }

    /// Gives a facility the pack's rule back.
    ///
    /// # Errors
    /// As [`AlertHandle::take_up`].
    pub async fn restore_rule(&self, scope: &Scope, id: i64, who: &str) -> Result<RuleOverride, AlertError> {
        let who = who.to_owned();
        match self.ask(scope, Change::Restore { id, who }).await? {
            Changed::Override(change) => Ok(change),
            _ => Err(AlertError::Stopped),
        }
    }

    async fn ask(&self, scope: &Scope, change: Change) -> Result<Changed, AlertError> {
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            scope: scope.clone(),
            change,
            reply,
        };
        self.0
            .commands
            .send(Command::Change(Box::new(asked)))
            .await
            .map_err(|_closed| AlertError::Stopped)?;
        answer.await.map_err(|_dropped| AlertError::Stopped)?
    }
}
