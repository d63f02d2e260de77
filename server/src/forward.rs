//! The path of a reading to another time-series server: log → decoded → line protocol → sent.
//!
//! It reads the log by a reader and a cursor of its own. While the server is away nothing is kept in memory: the log
//! holds what it lacks. It holds no more than its share of the log's cap, so that a dead server never stops sensors;
//! beyond that the oldest readings are passed over, noted as a gap, and sent from the embedded store once the server
//! takes readings again.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use domain::{Batch, LogPosition, Sample, Scope, SeriesId, TimeRange, UtcMillis, status::ForwardStats};
use ingest::{Ingest, IngestError, IngestLimits};
use journal::Journal;
use store::{
    Forwarder, Records, Remote, SeriesError, SeriesStore,
    records::ForwardGap,
    remote::{ForwardWatch, LineHead, Lines, Pace, forwarder::MOST_LINES},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    app::{App, to_journal},
    births,
    config::TimeSeriesConfig,
    directory::PointDirectory,
    figures::Progress,
};

/// The journal cursor below which the other server has everything, or is owed it from the embedded store.
pub(crate) const FORWARD_CURSOR: &str = "forward";

/// How long lines are gathered before they are sent.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether the log holds too much, while the server is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long readings are sent from the embedded store before it is looked what came in meanwhile.
const FILL_FOR: Duration = Duration::from_secs(1);

/// How long a failure of our own is waited out.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Registers the cursor of the other server, or removes it. A server that is new is owed what the embedded store has of
/// the `past`.
pub(crate) async fn prepare(
    config: &TimeSeriesConfig,
    (journal, records): (&Journal, &Records),
    past: Option<TimeRange>,
) -> anyhow::Result<()> {
    let known = journal.cursors().iter().any(|(name, _)| name == FORWARD_CURSOR);
    if !config.is_forwarding() {
        // Left alone it would hold the log until nothing is accepted any more.
        if known {
            journal
                .remove_cursor(FORWARD_CURSOR)
                .context("a cursor that nobody needs cannot be removed")?;
            warn!(
                "Nothing is forwarded any more; what the time-series server did not have yet is not sent to it."
            );
        }
        return Ok(());
    }
    if let (false, Some(past)) = (known, past) {
        // Noted first: a crash in between sends it twice and not never.
        records
            .note_forward_gap(past, 0)
            .await
            .context("the past cannot be noted for forwarding")?;
    }
    journal
        .cursor(FORWARD_CURSOR)
        .context("cannot read the journal's cursors")?;
    Ok(())
}

/// What others see of forwarding. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ForwardFigures(Arc<Shown>);

struct Shown {
    backend: &'static str,
    primary: bool,
    watch: ForwardWatch,
    held_bytes_max: u64,
    position: AtomicU64,
    letters: AtomicU64,
    letters_dropped: AtomicU64,
    owed: AtomicU64,
    owed_spans: AtomicU64,
}

impl ForwardFigures {
    /// The figures now; the log ends at `durable`.
    pub(crate) fn gather(&self, durable: LogPosition) -> ForwardStats {
        let shown = &*self.0;
        let counts = shown.watch.counts();
        let load = |figure: &AtomicU64| figure.load(Ordering::Acquire);
        ForwardStats {
            backend: shown.backend,
            primary: shown.primary,
            condition: shown.watch.condition(),
            lines: counts.lines,
            requests: counts.requests,
            retries: counts.retries,
            letters: load(&shown.letters),
            letters_dropped: load(&shown.letters_dropped),
            lag_bytes: durable.0.saturating_sub(load(&shown.position)),
            held_bytes_max: shown.held_bytes_max,
            owed_readings: load(&shown.owed),
            owed_spans: load(&shown.owed_spans),
        }
    }
}

/// Reads the log and sends what it says.
pub(crate) struct Forwarding {
    /// Away while it works, on a thread of its own.
    gatherer: Option<Box<Gatherer>>,
    forwarder: Forwarder,
    log: Log,
    series: SeriesStore,
    records: Records,
    progress: Arc<Progress>,
    figures: ForwardFigures,
    /// What was read and could neither be sent nor noted as passed over.
    kept: Option<Gathered>,
    /// A stretch of time some of whose readings the log alone does not name any more; not noted yet.
    unnamed: Option<TimeRange>,
    /// The gap that is being filled.
    filling: Option<Filling>,
}

/// A gap, and how far it is filled. Forgotten by a restart: then it is begun anew, which does no harm.
struct Filling {
    gap: ForwardGap,
    /// The series, and the moment in it, that are next.
    at: (u32, UtcMillis),
}

/// The log, as far as it is held for the other server.
struct Log {
    journal: Journal,
    held_bytes_max: u64,
    position: LogPosition,
    moved_at: Instant,
}

/// How an attempt to send ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Every line was taken, or is a dead letter.
    Sent,
    /// The log holds more than it may.
    Overdue,
    /// We are to stop.
    Stopped,
}

impl Forwarding {
    /// Begins where the other server's cursor stands.
    pub(crate) fn open(
        app: &App,
        remote: Remote,
        progress: Arc<Progress>,
    ) -> anyhow::Result<(Forwarding, ForwardFigures)> {
        let parts = app.parts();
        let config = &app.config.timeseries;
        let held_bytes_max = (app.config.journal.capacity_mib << 20) / 100 * config.journal_percent;
        let from = parts
            .journal
            .cursor(FORWARD_CURSOR)
            .context("cannot read the journal's cursors")?;
        let reader = parts.journal.reader(from).context("cannot read the journal")?;
        let position = LogPosition(reader.position().0);
        let backend = remote.name();
        let forwarder = Forwarder::new(remote, app.records.clone(), parts.clock.clone(), Pace::default());
        let figures = ForwardFigures(Arc::new(Shown {
            backend,
            primary: config.is_primary(),
            watch: forwarder.watch(),
            held_bytes_max,
            position: AtomicU64::new(position.0),
            letters: AtomicU64::default(),
            letters_dropped: AtomicU64::default(),
            owed: AtomicU64::default(),
            owed_spans: AtomicU64::default(),
        }));
        let limits = IngestLimits {
            future_ms: parts.future_limit_s * 1000,
            ..IngestLimits::default()
        };
        let mut ingest = Ingest::new(reader, parts.directory.clone(), limits);
        let before = births::before(parts.data_dir, position)?;
        ingest.restore(&before.births);
        ingest.restore_profiles(&before.profiles);
        // What cannot be named is refused here, and stored: it is sent from there.
        let unnamed = births::unnamed_since(&before.births).map(|from| TimeRange {
            from,
            to: parts.clock.now(),
        });
        let forwarding = Forwarding {
            gatherer: Some(Box::new(Gatherer {
                ingest,
                series: parts.series.clone(),
                heads: HashMap::new(),
            })),
            forwarder,
            log: Log {
                journal: parts.journal.clone(),
                held_bytes_max,
                position,
                moved_at: Instant::now(),
            },
            series: parts.series.clone(),
            records: app.records.clone(),
            progress,
            figures: figures.clone(),
            kept: None,
            unnamed: unnamed.filter(|range| range.length_ms() > 0),
            filling: None,
        };
        Ok((forwarding, figures))
    }

    /// Until told to stop, or the log is closed and read to its end. No failure of it stops anything else: it waits
    /// and tries again.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut failing = false;
        while !stop.is_cancelled() {
            match self.round(&stop).await {
                Ok(true) => return Ok(()),
                Ok(false) => failing = false,
                Err(e) => {
                    if !failing {
                        error!("Forwarding waits; the journal holds what it lacks: {e:#}");
                    }
                    failing = true;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(AGAIN_AFTER) => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// One stretch of the log and what is owed besides; true when it is over.
    async fn round(&mut self, stop: &CancellationToken) -> anyhow::Result<bool> {
        if let Some(range) = self.unnamed {
            self.records
                .note_forward_gap(range, 0)
                .await
                .context("a gap cannot be noted")?;
            self.unnamed = None;
        }
        let from = self.log.position;
        let gathered = match self.kept.take() {
            Some(kept) => kept,
            None => self
                .blocking(move |gatherer| gatherer.gather(from))
                .await?
                .context("the log cannot be read")?,
        };
        let ended = if self.log.overdue() {
            Ended::Overdue
        } else {
            self.send(&gathered.lines, stop).await
        };
        match ended {
            Ended::Stopped => return Ok(true),
            Ended::Sent => {}
            Ended::Overdue => {
                if let Err(e) = self.pass_over(&gathered).await {
                    // The reader of the log is behind it already.
                    self.kept = Some(gathered);
                    return Err(e);
                }
            }
        }
        self.figures.0.position.store(gathered.upto.0, Ordering::Release);
        self.log.move_on(gathered.upto, gathered.ended).await?;
        if gathered.ended {
            return Ok(true);
        }
        self.settle_debts(stop).await
    }

    async fn send(&mut self, lines: &Arc<Lines>, stop: &CancellationToken) -> Ended {
        tokio::select! {
            biased;
            () = stop.cancelled() => Ended::Stopped,
            () = self.forwarder.deliver(lines) => Ended::Sent,
            () = self.log.wait_until_overdue() => Ended::Overdue,
        }
    }

    async fn pass_over(&mut self, gathered: &Gathered) -> anyhow::Result<()> {
        let Some(range) = gathered.range else {
            return Ok(());
        };
        let readings = gathered.lines.len() as u64;
        self.records
            .note_forward_gap(range, readings)
            .await
            .context("a gap cannot be noted")?;
        let owed = self.figures.0.owed.fetch_add(readings, Ordering::AcqRel);
        if owed == 0 {
            warn!(
                held_bytes_max = self.log.held_bytes_max,
                "The journal holds as much for the time-series server as it may. Older readings are passed over; \
                 they are sent from the embedded store once the server takes readings again."
            );
        }
        Ok(())
    }

    /// Sends dead letters that somebody wants sent again, and readings that were passed over, as long as the log has
    /// room. True when we are to stop.
    async fn settle_debts(&mut self, stop: &CancellationToken) -> anyhow::Result<bool> {
        let counts = self
            .records
            .dead_letter_counts()
            .await
            .context("dead letters cannot be counted")?;
        let shown = &self.figures.0;
        shown.letters.store(counts.kept, Ordering::Release);
        shown.letters_dropped.store(counts.dropped, Ordering::Release);
        let gaps = self.records.forward_gaps().await.context("gaps cannot be read")?;
        let owed = gaps.iter().map(|gap| gap.readings).sum();
        shown.owed.store(owed, Ordering::Release);
        shown.owed_spans.store(gaps.len() as u64, Ordering::Release);
        if self.log.overdue() {
            return Ok(false);
        }
        if counts.again > 0 {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(true),
                sent = self.forwarder.resend_letters() => {
                    sent.context("dead letters cannot be sent again")?;
                }
                () = self.log.wait_until_overdue() => return Ok(false),
            }
        }
        self.fill(gaps.first().copied(), stop).await
    }

    /// Sends some of what the embedded store has of a stretch of time, and remembers where to go on: what comes in
    /// meanwhile must not wait for all of it. Only while the store has everything that was sent before: else an older
    /// value could go out behind a newer one. What is sent here and corrected later in the log is corrected there too,
    /// because the log is sent afterwards.
    async fn fill(&mut self, gap: Option<ForwardGap>, stop: &CancellationToken) -> anyhow::Result<bool> {
        let Some(gap) = gap else {
            self.filling = None;
            return Ok(false);
        };
        if self.progress.stored_upto.load(Ordering::Acquire) < self.log.position.0 {
            return Ok(false);
        }
        let begun = self.filling.take().filter(|filling| filling.gap == gap);
        let mut filling = begun.unwrap_or_else(|| {
            info!("Readings that the time-series server lacks are sent from the embedded store.");
            Filling {
                gap,
                at: (0, gap.range.from),
            }
        });
        let series = u32::try_from(self.series.stats().series).unwrap_or(u32::MAX);
        let until = Instant::now() + FILL_FOR;
        while filling.at.0 < series && Instant::now() < until {
            let at = filling.at;
            let (lines, next) = self
                .blocking(move |gatherer| gatherer.owed(at, gap.range, series))
                .await?
                .context("readings cannot be read from the embedded store")?;
            match self.send(&Arc::new(lines), stop).await {
                Ended::Sent => filling.at = next,
                Ended::Overdue => break,
                Ended::Stopped => return Ok(true),
            }
        }
        if filling.at.0 < series {
            self.filling = Some(filling);
        } else {
            // One that has grown meanwhile stays, and is begun anew.
            self.records
                .forget_forward_gap(&gap)
                .await
                .context("a filled gap cannot be forgotten")?;
        }
        Ok(false)
    }
}

impl Log {
    fn overdue(&self) -> bool {
        self.journal.durable().0.saturating_sub(self.position.0) > self.held_bytes_max
    }

    async fn wait_until_overdue(&self) {
        while !self.overdue() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Notes how far the other server is. The cursor is moved once a second, because each move is a disk sync.
    async fn move_on(&mut self, upto: LogPosition, at_once: bool) -> anyhow::Result<()> {
        self.position = upto;
        if self.moved_at.elapsed() < GATHER_FOR && !at_once {
            return Ok(());
        }
        let journal = self.journal.clone();
        tokio::task::spawn_blocking(move || journal.advance_cursor(FORWARD_CURSOR, to_journal(upto)))
            .await?
            .context("the journal's cursor cannot move")?;
        self.moved_at = Instant::now();
        Ok(())
    }
}

/// Turns log records, and samples of the embedded store, into lines. Its work blocks.
struct Gatherer {
    ingest: Ingest<PointDirectory>,
    series: SeriesStore,
    /// How the lines of every series seen so far begin: at most as many as there are series.
    heads: HashMap<SeriesId, Option<LineHead>>,
}

/// Lines of one stretch of the log.
#[derive(Default)]
struct Gathered {
    lines: Arc<Lines>,
    /// When the readings were measured.
    range: Option<TimeRange>,
    upto: LogPosition,
    /// The log is closed, and this is its end.
    ended: bool,
}

impl Gatherer {
    /// The next lines of the log: [`MOST_LINES`] of them and what came with the last, or what came within a second.
    fn gather(&mut self, from: LogPosition) -> Result<Gathered, IngestError> {
        let began = Instant::now();
        let mut gathered = Gathered {
            upto: from,
            ..Gathered::default()
        };
        loop {
            let patience = GATHER_FOR.saturating_sub(began.elapsed());
            match self.ingest.next(patience) {
                Ok(Some(batch)) => self.take(&batch, &mut gathered),
                Ok(None) => {
                    gathered.ended = true;
                    return Ok(gathered);
                }
                // What was gathered is sent first; the log is asked again after that.
                Err(_) if gathered.upto > from => return Ok(gathered),
                Err(e) => return Err(e),
            }
            if gathered.lines.len() >= MOST_LINES || began.elapsed() >= GATHER_FOR {
                return Ok(gathered);
            }
        }
    }

    fn take(&mut self, batch: &Batch, gathered: &mut Gathered) {
        gathered.upto = batch.upto;
        for reading in &batch.readings {
            let sample = Sample {
                at: reading.at,
                value: reading.value,
            };
            if self.push(Arc::make_mut(&mut gathered.lines), reading.series, sample) {
                let range = gathered.range.get_or_insert(TimeRange {
                    from: sample.at,
                    to: sample.at + 1,
                });
                range.from = range.from.min(sample.at);
                range.to = range.to.max(sample.at + 1);
            }
        }
    }

    /// Samples in the embedded store from a series and a moment on, series by series, and where to go on. As many as
    /// one request takes, or what was found in a while.
    fn owed(
        &mut self,
        (mut id, mut from): (u32, UtcMillis),
        range: TimeRange,
        series: u32,
    ) -> Result<(Lines, (u32, UtcMillis)), SeriesError> {
        let began = Instant::now();
        let mut lines = Lines::default();
        while id < series && lines.len() < MOST_LINES && began.elapsed() < FILL_FOR {
            let room = MOST_LINES - lines.len();
            let rest = TimeRange { from, ..range };
            let samples = self.series.scan(&Scope::everything(), SeriesId(id), rest, room)?;
            for sample in &samples {
                self.push(&mut lines, SeriesId(id), *sample);
            }
            match samples.last() {
                Some(last) if samples.len() == room => from = last.at + 1,
                _ => (id, from) = (id + 1, range.from),
            }
        }
        Ok((lines, (id, from)))
    }

    /// Adds one line; false for what line protocol cannot carry, which ingest lets nobody send.
    fn push(&mut self, lines: &mut Lines, id: SeriesId, sample: Sample) -> bool {
        let series = &self.series;
        let head = self.heads.entry(id).or_insert_with(|| {
            let key = series.key(&Scope::everything(), id)?;
            let head = LineHead::new(&key);
            head.inspect_err(|e| error!(series = %key, "A series cannot be forwarded: {e}"))
                .ok()
        });
        head.as_ref().is_some_and(|head| lines.push(head, sample).is_ok())
    }
}

impl Forwarding {
    /// Runs `work` on a blocking thread with the gatherer: one stretch of the log at a time, so that nothing of it waits for
    /// the runtime. Its thread has the priority of all others. A lower one was tried and did not shorten acknowledgements,
    /// because it takes the journal's locks, and whoever holds one must not be kept off the processor.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Gatherer) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut gatherer = self
            .gatherer
            .take()
            .context("the reader of the log was lost to a panic; restart the server")?;
        let (gatherer, done) = tokio::task::spawn_blocking(move || {
            let done = work(&mut gatherer);
            (gatherer, done)
        })
        .await?;
        self.gatherer = Some(gatherer);
        Ok(done)
    }
}
