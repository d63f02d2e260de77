//! The engine: one task that judges the log, batch by batch.

mod calibration;
mod ledger;
mod lookup;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use arc_swap::ArcSwap;
use domain::{
    Batch, Clock, Judge, LogEvent, LogPosition, Point, Rule, RuleId, Scope, Transition, UtcMillis,
    judge::Snapshot,
};
use store::{Records, SeriesStore};
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};

use crate::{
    AlertError, AlertHandle, Health, MAX_CHANGES, Place,
    handle::{Command, Shared},
    shelving::{Asked, Policy},
};
use calibration::DueDates;
use ledger::Ledger;
use lookup::Lookup;

/// The board is renewed at most this often for changes that raise or clear nothing…
const BOARD_INTERVAL: Duration = Duration::from_millis(250);

/// …and at least this often while the log runs, for its `as_of`.
const BOARD_REFRESH: Duration = Duration::from_secs(1);

/// A board that cost this long to make is not renewed before ten times as long has passed.
const BOARD_COST_FACTOR: u32 = 10;

/// Judges the log. Made by [`Engine::open`], consumed by [`Engine::run`].
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    clock: Clock,
    judge: Judge,
    /// The points that are judged.
    points: Vec<Point>,
    due_dates: DueDates,
    policy: Policy,
    lookup: Lookup,
    ledger: Ledger,
    position: LogPosition,
    /// Reused from batch to batch.
    transitions: Vec<Transition>,
    board: BoardState,
}

/// What the published board shows.
#[derive(Debug)]
struct BoardState {
    revision: u64,
    made: Instant,
    cost: Duration,
    /// When it is to be renewed although no further batch comes.
    due: Option<Instant>,
}

impl Engine {
    /// Restores the snapshot if there is one. `rules` are those that are switched on; `series` resolves
    /// the log's series numbers to points; the points themselves come from `records`. `clock` only tells
    /// how far judgement is behind.
    ///
    /// A snapshot that cannot be read is left aside with a warning, and the log is judged anew from its
    /// beginning: cases that exist already are recognised.
    ///
    /// # Errors
    /// [`AlertError::Store`] when points or snapshot cannot be read.
    pub async fn open(
        records: Records,
        series: SeriesStore,
        rules: Vec<Rule>,
        clock: Clock,
    ) -> Result<Engine, AlertError> {
        Engine::open_in(Place::default(), records, series, rules, clock).await
    }

    /// The same for a place whose clocks are not China's, or whose regions differ in their packs: then `rules` are
    /// those of all the packs that any of them has chosen.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub async fn open_in(
        place: Place,
        records: Records,
        series: SeriesStore,
        rules: Vec<Rule>,
        clock: Clock,
    ) -> Result<Engine, AlertError> {
        let (position, snapshot) = match records.engine_snapshot().await? {
            Some(kept) => match ledger::decode(&kept.state) {
                Some(snapshot) => (kept.position, snapshot),
                None => {
                    tracing::warn!(
                        log.position = kept.position.0,
                        "The snapshot of judgement cannot be read; the log is judged anew from its beginning"
                    );
                    (LogPosition::default(), Snapshot::default())
                }
            },
            None => (LogPosition::default(), Snapshot::default()),
        };
        let by_id: BTreeMap<RuleId, Rule> = rules.iter().map(|r| (r.id.clone(), r.clone())).collect();
        let (points, due_dates) = load_points(&records, snapshot.log_time()).await?;
        let mut policy = Policy::load(&records, (rules, place), snapshot.log_time()).await?;
        let (judge, transitions) = restore(&snapshot, &points, &mut policy);
        let (changes, _) = broadcast::channel(MAX_CHANGES);
        let (sender, commands) = mpsc::channel(16);
        let shared = Arc::new(Shared {
            board: ArcSwap::from_pointee(judge.board()),
            health: ArcSwap::from_pointee(Health {
                position,
                points: points.len(),
                ..Health::default()
            }),
            rules: Arc::new(by_id),
            own: ArcSwap::from_pointee(policy.own().clone()),
            durable: AtomicU64::new(position.0),
            changes,
            commands: sender,
            records,
        });
        let mut engine = Engine {
            board: BoardState {
                revision: judge.revision(),
                made: Instant::now(),
                cost: Duration::ZERO,
                due: None,
            },
            shared,
            commands,
            clock,
            judge,
            points,
            due_dates,
            policy,
            lookup: Lookup::new(series),
            ledger: Ledger::new(),
            position,
            transitions,
        };
        engine.settle_transitions();
        Ok(engine)
    }

    /// Judgement has seen everything before this: replay the log from here, or from earlier.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        self.position
    }

    /// A handle for the rest of the product.
    #[must_use]
    pub fn handle(&self) -> AlertHandle {
        AlertHandle(self.shared.clone())
    }

    /// Judges batches until the channel closes; then writes its snapshot and returns. What lies before its
    /// position is skipped, also within a batch.
    ///
    /// Dropping the future loses nothing that the log does not give again.
    ///
    /// # Errors
    /// [`AlertError::Straddle`] when a batch cannot be taken up in its middle; [`AlertError::Store`] when
    /// the record store still fails at the end. The log gives again what was not written.
    pub async fn run(mut self, mut batches: mpsc::Receiver<Arc<Batch>>) -> Result<(), AlertError> {
        self.keep().await;
        loop {
            let retry = self.ledger.retry_at();
            let board = self.board.due;
            let has_room = self.ledger.has_room();
            if !has_room && batches.is_closed() {
                break;
            }
            tokio::select! {
                batch = batches.recv(), if has_room => match batch {
                    Some(batch) => self.take(&batch).await?,
                    None => break,
                },
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = until(retry) => self.keep().await,
                () = until(board) => self.show_board(true),
            }
        }
        self.finish().await
    }

    async fn take(&mut self, batch: &Batch) -> Result<(), AlertError> {
        if batch.upto <= self.position {
            return Ok(());
        }
        let Some(events) = batch.events_from(self.position) else {
            return Err(AlertError::Straddle {
                from: batch.from,
                upto: batch.upto,
                position: self.position,
            });
        };
        for event in events {
            self.heed_policy(match &event {
                LogEvent::Tick(at) => *at,
                LogEvent::Reading(reading) => reading.received,
            });
            match event {
                LogEvent::Tick(at) => {
                    self.judge.tick(at, &mut self.transitions);
                    self.due_dates.judge(&mut self.judge, at, &mut self.transitions);
                }
                LogEvent::Reading(reading) => match self.lookup.point(&self.judge, reading.series) {
                    Some(point) => self.judge.reading(point, &reading, &mut self.transitions),
                    // Nobody registered this series for judgement; its arrival still tells the time.
                    None => self.judge.tick(reading.received, &mut self.transitions),
                },
            }
        }
        self.position = batch.upto;
        let moved = self.settle_transitions();
        self.keep_when_due().await;
        self.show_board(moved);
        self.show_health();
        Ok(())
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Reload(reply) => {
                let result = self.reload().await;
                // Whoever asked may have gone; the points are loaded all the same.
                drop(reply.send(result));
            }
            Command::Change(asked) => self.change(*asked).await,
        }
    }

    /// Writes a change down and lets it hold from the next moment of the log on.
    async fn change(&mut self, asked: Asked) {
        let Asked { scope, change, reply } = asked;
        let log_time = self.judge.log_time();
        let at = log_time.map_or_else(|| self.clock.now(), |now| now + 1);
        let records = &self.shared.records;
        let mut result = self.policy.write(records, (&scope, change), at).await;
        // Also after a failure: what was written although that could not be told must hold now, as in a replay.
        if let Err(error) = self.policy.reload(records, log_time).await {
            result = result.and(Err(error.into()));
        }
        let now = log_time.unwrap_or(UtcMillis(i64::MIN));
        let mutes = self.policy.mutes(now, at);
        self.judge.set_mutes(mutes, &mut self.transitions);
        // Of rules only the next moment of change is new: this one lies before every change.
        drop(self.policy.rules_at(now));
        self.show_own_rules();
        self.settle_transitions();
        self.keep_when_due().await;
        self.show_board(true);
        // Whoever asked may have gone; the change holds all the same.
        drop(reply.send(result));
    }

    /// Before `at` is judged: what people have changed for that moment.
    fn heed_policy(&mut self, at: UtcMillis) {
        if self.policy.must_lay_out(at) {
            let from = self.judge.log_time().unwrap_or(at);
            let mutes = self.policy.mutes(from, at);
            self.judge.set_mutes(mutes, &mut self.transitions);
        }
        if self.policy.must_change_rules(at) {
            self.judge.tick(at, &mut self.transitions);
            // What came before was judged by the rules from before.
            self.settle_transitions();
            let rules = self.policy.rules_at(at);
            self.judge.set_rules(rules, &self.points, &mut self.transitions);
            self.show_own_rules();
        }
    }

    fn show_own_rules(&self) {
        self.shared.own.store(Arc::new(self.policy.own().clone()));
    }

    async fn reload(&mut self) -> Result<(), AlertError> {
        (self.points, self.due_dates) = load_points(&self.shared.records, self.judge.log_time()).await?;
        if self.policy.differs_by_region() {
            // A new facility has the rules of its region.
            let log_time = self.judge.log_time();
            self.policy.reload(&self.shared.records, log_time).await?;
            let rules = self.policy.rules_at(log_time.unwrap_or(UtcMillis(i64::MIN)));
            self.judge.set_rules(rules, &self.points, &mut self.transitions);
            self.show_own_rules();
        } else {
            self.judge.set_points(&self.points, &mut self.transitions);
        }
        self.lookup.forget();
        self.settle_transitions();
        // When a point was registered is in the snapshot only, not in the log.
        self.ledger.demand_snapshot();
        self.keep_when_due().await;
        self.show_board(true);
        self.show_health();
        Ok(())
    }

    /// Hands the transitions to the ledger; true when one of them opens or clears a case.
    fn settle_transitions(&mut self) -> bool {
        let mut moved = false;
        for transition in self.transitions.drain(..) {
            let own = self.policy.own_rules(&transition.point.facility);
            let rules = own.as_deref().unwrap_or(&self.shared.rules);
            moved |= self.ledger.enter(transition, rules);
        }
        moved
    }

    async fn keep_when_due(&mut self) {
        if self.ledger.is_due(self.judge.log_time()) {
            self.keep().await;
        }
    }

    /// Writes what is pending, with the snapshot when that is due.
    async fn keep(&mut self) {
        self.ledger.keep(&self.shared, &self.judge, self.position).await;
        self.show_health();
    }

    async fn finish(mut self) -> Result<(), AlertError> {
        self.ledger.demand_snapshot();
        let written = self
            .ledger
            .keep_at_last(&self.shared, &self.judge, self.position)
            .await;
        self.show_board(true);
        self.show_health();
        written
    }

    /// Renews the board now, or notes when it will be due. `moved`: a case was opened or cleared.
    fn show_board(&mut self, moved: bool) {
        let changed = self.board.revision != self.judge.revision();
        let wait = match (moved, changed) {
            (true, _) => Duration::ZERO,
            (false, true) => BOARD_INTERVAL,
            (false, false) => BOARD_REFRESH,
        };
        let due = self.board.made + wait.max(self.board.cost * BOARD_COST_FACTOR);
        if Instant::now() < due {
            self.board.due = Some(self.board.due.map_or(due, |earlier| earlier.min(due)));
            return;
        }
        let begun = Instant::now();
        self.shared.board.store(Arc::new(self.judge.board()));
        let made = Instant::now();
        self.board = BoardState {
            revision: self.judge.revision(),
            made,
            cost: made - begun,
            due: None,
        };
    }

    fn show_health(&self) {
        let log_time = self.judge.log_time();
        self.shared.health.store(Arc::new(Health {
            position: self.position,
            log_time,
            behind_ms: log_time.map_or(0, |t| self.clock.now().ms_since(t).max(0)),
            late_readings: self.judge.late_readings(),
            points: self.judge.points(),
            ..self.ledger.health()
        }));
    }
}

/// The points that are judged: those on record, and those whose values follow from records.
async fn load_points(
    records: &Records,
    log_time: Option<UtcMillis>,
) -> Result<(Vec<Point>, DueDates), AlertError> {
    let all = Scope::everything();
    let mut points = records.points(&all, None).await?;
    let due_dates = DueDates::new(&records.calibrations(&all, None).await?, log_time);
    due_dates.add_points(&mut points);
    Ok((points, due_dates))
}

/// Judgement as it stood, by the rules and with what was set aside then.
fn restore(snapshot: &Snapshot, points: &[Point], policy: &mut Policy) -> (Judge, Vec<Transition>) {
    let now = snapshot.log_time().unwrap_or(UtcMillis(i64::MIN));
    let mut transitions = Vec::new();
    let rules = policy.rules_at(now);
    let zone = policy.zone().clone();
    let mut judge = Judge::restore_in(zone, (snapshot, rules), points, &mut transitions);
    judge.set_mutes(policy.mutes(now, now), &mut transitions);
    (judge, transitions)
}

/// Waits for a moment; for ever when there is none.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
