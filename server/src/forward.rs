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
    directory::PointDirectory,
    figures::Progress,
};

/// The journal cursor below which the other server has everything, or is owed it from the embedded store.
pub(crate) const FORWARD_CURSOR: &str = "forward";

/// How long lines are gathered before they are sent.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// How often it is looked whether the log holds too much, while the server is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a failure of our own is waited out.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

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
        }));
        let limits = IngestLimits {
            future_ms: parts.future_limit_s * 1000,
            ..IngestLimits::default()
        };
        let forwarding = Forwarding {
            gatherer: Some(Box::new(Gatherer {
                ingest: Ingest::new(reader, parts.directory.clone(), limits),
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
        let from = self.log.position;
        let gathered = self
            .blocking(move |gatherer| gatherer.gather(from))
            .await?
            .context("the log cannot be read")?;
        let lines = Arc::new(gathered.lines);
        let ended = if self.log.overdue() {
            Ended::Overdue
        } else {
            self.send(&lines, stop).await
        };
        match ended {
            Ended::Stopped => return Ok(true),
            Ended::Sent => {}
            Ended::Overdue => self.pass_over(gathered.range, lines.len() as u64).await?,
        }
        self.log.move_on(gathered.upto, gathered.ended).await?;
        self.figures.0.position.store(gathered.upto.0, Ordering::Release);
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

    async fn pass_over(&mut self, range: Option<TimeRange>, readings: u64) -> anyhow::Result<()> {
        let Some(range) = range else { return Ok(()) };
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
        match gaps.first() {
            Some(gap) => self.fill(*gap, stop).await,
            None => Ok(false),
        }
    }

    /// Sends what the embedded store has of a stretch of time. Only when it has stored everything that was sent
    /// before: else an older value could go out behind a newer one. What is sent here and corrected later in the log
    /// is corrected there too, because the log is sent afterwards.
    async fn fill(&mut self, gap: ForwardGap, stop: &CancellationToken) -> anyhow::Result<bool> {
        if self.progress.stored_upto.load(Ordering::Acquire) < self.log.position.0 {
            return Ok(false);
        }
        info!(
            readings = gap.readings,
            "Sending readings that were passed over from the embedded store."
        );
        let series = u32::try_from(self.series.stats().series).unwrap_or(u32::MAX);
        for id in (0..series).map(SeriesId) {
            let mut range = gap.range;
            while range.from < range.to {
                let (lines, next) = self
                    .blocking(move |gatherer| gatherer.page(id, range))
                    .await?
                    .context("readings cannot be read from the embedded store")?;
                match self.send(&Arc::new(lines), stop).await {
                    Ended::Sent => range.from = next,
                    // The gap stays; it is begun anew.
                    Ended::Overdue => return Ok(false),
                    Ended::Stopped => return Ok(true),
                }
            }
        }
        self.records
            .forget_forward_gap(gap.id)
            .await
            .context("a filled gap cannot be forgotten")?;
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
    lines: Lines,
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
            if self.push(&mut gathered.lines, reading.series, sample) {
                let range = gathered.range.get_or_insert(TimeRange {
                    from: sample.at,
                    to: sample.at + 1,
                });
                range.from = range.from.min(sample.at);
                range.to = range.to.max(sample.at + 1);
            }
        }
    }

    /// Samples of one series in the embedded store, oldest first, and where to go on.
    fn page(&mut self, id: SeriesId, range: TimeRange) -> Result<(Lines, UtcMillis), SeriesError> {
        let samples = self.series.scan(&Scope::everything(), id, range, MOST_LINES)?;
        let mut lines = Lines::default();
        for sample in &samples {
            self.push(&mut lines, id, *sample);
        }
        let next = match samples.last() {
            Some(last) if samples.len() == MOST_LINES => last.at + 1,
            _ => range.to,
        };
        Ok((lines, next))
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
    /// Runs `work` on a blocking thread with the gatherer.
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
