//! The path of a reading once it is durable: log → decoded → stored → judged → freed.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alerts::AlertHandle;
use anyhow::{Context, bail};
use domain::{Batch, Clock, LogPosition, Rule, batch::Wish};
use ingest::{Ingest, IngestLimits};
use journal::{Envelope, Journal, Kind};
use store::{DeviceBook, SeriesError, SeriesStore};
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    app::{App, INGEST_CURSOR, to_journal},
    births::{self, BirthBook},
    directory::PointDirectory,
    figures::Progress,
    findings::FindingQueue,
    sight::Sight,
};

/// How long ingest waits for a record before it looks whether the log was closed.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long ingest waits before it offers a batch again to a full head.
const HEAD_FULL_PAUSE: Duration = Duration::from_millis(20);

/// How often the head is looked over for something to write out.
const MAINTENANCE_EVERY: Duration = Duration::from_millis(500);

/// How often time is noted in the log. Timers of rules fire with this resolution.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// The rules of the packs named in the configuration.
pub(crate) fn rules(packs: &[String]) -> anyhow::Result<Vec<Rule>> {
    let all = domain::pack::built_in();
    for pack in packs {
        if !all.iter().any(|rule| rule.pack == *pack) {
            let mut known: Vec<&str> = all.iter().map(|rule| rule.pack.as_str()).collect();
            known.dedup();
            bail!(
                "option rules.packs: there is no pack {pack:?}; choose from {}",
                known.join(", ")
            );
        }
    }
    Ok(all
        .into_iter()
        .filter(|rule| packs.contains(&rule.pack))
        .collect())
}

/// Reads the log and stores what it says. Runs on a thread of its own.
pub(crate) struct Pipeline {
    ingest: Ingest<PointDirectory>,
    series: SeriesStore,
    devices: DeviceBook,
    findings: FindingQueue,
    sight: Sight,
    progress: Arc<Progress>,
    births: BirthBook,
    journal: Journal,
    wishes: Sender<Wish>,
    clock: Clock,
}

impl Pipeline {
    /// Begins where storage, judgement or the records still lack something, whichever is earliest.
    pub(crate) fn open(app: &App, progress: Arc<Progress>, wishes: Sender<Wish>) -> anyhow::Result<Pipeline> {
        let parts = app.parts();
        let stored = parts.series.checkpoint();
        let freed = parts
            .journal
            .cursor(INGEST_CURSOR)
            .context("cannot read the journal's cursors")?;
        let from = to_journal(stored.min(parts.judged)).min(freed);
        let reader = parts.journal.reader(from).context("cannot read the journal")?;
        let start = reader.position();
        if start > from && from.0 > 0 {
            warn!(
                missing_bytes = start.0 - from.0,
                "The journal no longer holds records that storage or judgement had not seen."
            );
        }
        let durable = parts.journal.durable();
        info!(
            bytes = durable.0.saturating_sub(start.0),
            "Reading the journal from the last checkpoint."
        );
        progress.stored_upto.store(start.0, Ordering::Release);
        let limits = IngestLimits {
            future_ms: parts.future_limit_s * 1000,
            ..IngestLimits::default()
        };
        let (births, before) = BirthBook::open(
            parts.data_dir,
            LogPosition(start.0),
            births::needed_from(parts.journal),
        )?;
        let mut ingest = Ingest::new(reader, parts.directory.clone(), limits);
        ingest.restore(&before.births);
        ingest.restore_profiles(&before.profiles);
        Ok(Pipeline {
            ingest,
            births,
            journal: parts.journal.clone(),
            wishes,
            series: parts.series.clone(),
            devices: parts.devices.clone(),
            findings: parts.findings.clone(),
            sight: parts.sight.clone(),
            progress,
            clock: parts.clock.clone(),
        })
    }

    /// Until the log is closed and read to its end.
    pub(crate) fn run(mut self, judge: &Sender<Arc<Batch>>) -> anyhow::Result<()> {
        while let Some(mut batch) = self.ingest.next(PATIENCE)? {
            if batch.from == batch.upto {
                continue;
            }
            // Before storage, whose checkpoint must not leave them behind.
            self.keep(&batch);
            self.findings.take(&batch);
            self.store(&batch)?;
            self.devices.apply(&batch);
            let last = batch.readings.last().map(|r| r.received);
            let time = last
                .max(batch.ticks.last().map(|t| t.at))
                .unwrap_or_else(|| self.clock.now());
            self.progress
                .readings
                .fetch_add(batch.readings.len() as u64, Ordering::AcqRel);
            self.progress.stored_time_ms.store(time.0, Ordering::Release);
            self.progress.stored_upto.store(batch.upto.0, Ordering::Release);
            self.show_pictures(&mut batch);
            births::wish(&self.wishes, &mut batch.wishes);
            if judge.blocking_send(Arc::new(batch)).is_err() {
                bail!("judgement has ended; readings would be stored but not judged");
            }
        }
        Ok(())
    }

    /// Writes down what a reader that begins behind this batch must know of it.
    fn keep(&mut self, batch: &Batch) {
        if batch.births.is_empty() && batch.profiles.is_empty() {
            return;
        }
        let mut complained = false;
        while let Err(e) =
            self.births
                .keep(&batch.births, &batch.profiles, births::needed_from(&self.journal))
        {
            if !complained {
                error!("Birth certificates and profiles are not on disk: {e:#}");
            }
            complained = true;
            // Readings go on without a certificate: should the process be killed before the edge node is born again,
            // it is asked to. Without a profile they would mean something else after a restart: the log waits.
            if batch.profiles.is_empty() {
                return;
            }
            std::thread::park_timeout(PATIENCE);
        }
    }

    /// Hands on what cameras published: nobody behind here needs the pictures.
    fn show_pictures(&self, batch: &mut Batch) {
        for picture in batch.pictures.drain(..) {
            self.sight.offer(picture);
        }
    }

    /// Takes a batch into the head. When the head is full (a replay outruns the disk) the log waits here
    /// until maintenance has written some of it out; publishers notice only when the journal fills up too.
    fn store(&self, batch: &Batch) -> Result<(), SeriesError> {
        let mut waited = false;
        loop {
            match self.series.append(&batch.readings, batch.from, batch.upto) {
                Err(SeriesError::HeadFull { readings }) => {
                    if !waited {
                        warn!(
                            readings,
                            "The head of the time-series store is full; the log waits for the disk."
                        );
                    }
                    waited = true;
                    std::thread::park_timeout(HEAD_FULL_PAUSE);
                }
                done => return done,
            }
        }
    }
}

/// Notes the passing of time in the log until told to stop.
pub(crate) async fn tick(journal: Journal, stop: CancellationToken) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(TICK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let tick = Envelope {
        kind: Kind::TICK,
        flags: 0,
        source: "sunshine",
        subject: "",
        attributes: &[],
        body: &[],
    };
    let mut refused = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = every.tick() => match journal.append_durable(&tick).await {
                Ok(_) => refused = false,
                Err(e) if !refused => {
                    refused = true;
                    error!("Time does not pass in the log, so no timer fires: {e}");
                }
                Err(_) => {}
            },
        }
    }
}

/// Writes the head out, compacts closed days and frees the log, until told to stop.
pub(crate) async fn maintain(mut upkeep: Upkeep, stop: CancellationToken) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let busy;
        (upkeep, busy) = tokio::task::spawn_blocking(move || {
            let busy = upkeep.round();
            (upkeep, busy)
        })
        .await?;
        if !busy {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(MAINTENANCE_EVERY) => {}
            }
        }
    }
    Ok(())
}

/// What keeps disk and log in order. Its work blocks.
pub(crate) struct Upkeep {
    series: SeriesStore,
    alerts: AlertHandle,
    findings: FindingQueue,
    journal: Journal,
    /// The log is free below this.
    freed: LogPosition,
    /// Whether the last round failed: a lasting failure is logged once.
    failing: bool,
}

impl Upkeep {
    pub(crate) fn new(
        series: SeriesStore,
        alerts: AlertHandle,
        findings: FindingQueue,
        journal: Journal,
    ) -> Upkeep {
        Upkeep {
            series,
            alerts,
            findings,
            journal,
            freed: LogPosition::default(),
            failing: false,
        }
    }

    /// One round; true when there is more to do at once.
    fn round(&mut self) -> bool {
        let worked = self.work();
        if let (Err(e), false) = (&worked, self.failing) {
            error!("Nothing is lost, but the journal grows until this ends: {e:#}");
        }
        self.failing = worked.is_err();
        worked.unwrap_or(false)
    }

    fn work(&mut self) -> anyhow::Result<bool> {
        let busy = self
            .series
            .maintain()
            .context("readings cannot be written to disk")?;
        let done = self.series.checkpoint().min(self.alerts.durable_position());
        // Asked last: what lies before the checkpoint came into the queue before it was stored.
        let done = self.findings.floor().map_or(done, |oldest| oldest.min(done));
        if done > self.freed {
            self.journal
                .advance_cursor(INGEST_CURSOR, to_journal(done))
                .context("the journal's cursor cannot move")?;
            self.freed = done;
        }
        Ok(busy)
    }
}
