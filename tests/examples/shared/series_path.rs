//! Our own path for readings, without MQTT and judgement: a message goes into the log, is synced, read, decoded, stored
//! and written to disk, and the log is let go of, each on a thread of its own as in the product.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use domain::{
    Clock, LogPosition, Quality, Reading, Scope, SeriesId, SeriesKey, TimeRange, Unit, UtcMillis,
    rule::Comparison,
};
use ingest::{Ingest, IngestLimits, SeriesDirectory, TooManySeries};
use journal::{AppendError, Envelope, Journal, Kind, Position, Writer};
use store::{Aggregates, SeriesError, SeriesOptions, SeriesStore, ShareQuery, Step, WindowQuery};

use crate::{DAY_MS, Options, Row, SERIES, START_MS, Sample, cpu_s, long_series, round};

/// Readings that are only in the log when the process is killed.
const IN_THE_LOG: u64 = 1_000_000;
const CURSOR: &str = "ingest";
const PAUSE: Duration = Duration::from_millis(1);
/// How often each question is asked: they are quick, and the kernel counts in hundredths of a second.
const RUNS: u32 = 200;

struct Directory(SeriesStore);

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        self.0.resolve(key).map_err(|_full| TooManySeries)
    }

    fn unit(&self, _key: &SeriesKey) -> Option<Unit> {
        None
    }

    fn version(&self) -> u64 {
        0
    }
}

/// The log and the store of one folder, and the time of its readings.
struct Path {
    journal: Journal,
    store: SeriesStore,
    clock: Clock,
    now: Arc<AtomicI64>,
}

impl Path {
    fn open(dir: &std::path::Path) -> anyhow::Result<Path> {
        let now = Arc::new(AtomicI64::new(START_MS - 365 * DAY_MS));
        let source = Arc::clone(&now);
        let journal = Journal::open(
            journal::Options::new(dir.join("journal")),
            Arc::new(move || source.load(Ordering::Acquire)),
        )?;
        let clock = Clock::simulated(UtcMillis(START_MS));
        let options = SeriesOptions {
            raw_days: 0,
            ..SeriesOptions::new(dir.join("series"))
        };
        let store = SeriesStore::open(options, clock.clone())?;
        Ok(Path {
            journal,
            store,
            clock,
            now,
        })
    }

    /// Reads the log from the checkpoint on, into the store, until it ends, or until all is there that is durable now.
    fn read(&self, to_the_end: bool) -> anyhow::Result<u64> {
        let from = Position(self.store.checkpoint().0);
        let mut ingest = Ingest::new(
            self.journal.reader(from)?,
            Directory(self.store.clone()),
            IngestLimits::default(),
        );
        let upto = self.journal.durable();
        let mut readings = 0;
        while let Some(batch) = ingest.next(Duration::from_millis(50))? {
            while let Err(refused) = self.store.append(&batch.readings, batch.from, batch.upto) {
                ensure!(matches!(refused, SeriesError::HeadFull { .. }), "{refused}");
                std::thread::park_timeout(PAUSE);
            }
            readings += batch.readings.len() as u64;
            if !to_the_end && batch.upto.0 >= upto.0 {
                break;
            }
        }
        Ok(readings)
    }

    /// Writes to disk and frees the log until told to stop.
    fn maintain(&self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Acquire) {
            let worked = self.store.maintain()?;
            let done = Position(self.store.checkpoint().0);
            self.journal
                .advance_cursor(CURSOR, done.max(self.journal.start()))?;
            if !worked {
                std::thread::park_timeout(5 * PAUSE);
            }
        }
        Ok(())
    }
}

/// Writes messages of one reading each.
struct Speaker {
    writer: Writer,
    texts: Vec<(String, String, String)>,
    /// What making the texts cost: that is no part of the path.
    own_s: f64,
}

impl Speaker {
    fn say(&mut self, samples: impl Iterator<Item = Sample>) -> anyhow::Result<u64> {
        let before = thread_s()?;
        self.texts.clear();
        for Sample { series, at_ms, value } in samples {
            let name = format!("facility-{}/device-{series}", series / 50);
            let topic = format!("sk/v1/{name}/up/temperature");
            self.texts
                .push((name, topic, format!("{{\"ts\":{at_ms},\"v\":{value}}}")));
        }
        self.own_s += thread_s()? - before;
        for (source, subject, body) in &self.texts {
            let envelope = Envelope {
                kind: Kind::MESSAGE,
                flags: 0,
                source,
                subject,
                attributes: b"",
                body: body.as_bytes(),
            };
            loop {
                match self.writer.append(&envelope) {
                    Ok(_) => break,
                    Err(AppendError::Busy | AppendError::Full) => std::thread::park_timeout(PAUSE),
                    Err(refused) => return Err(refused.into()),
                }
            }
        }
        Ok(self.texts.len() as u64)
    }
}

/// Feeds, asks, and measures a start after the process was killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.fill {
        return fill(options);
    }
    feed_in_records(options)?;
    let dir = options.dir.join("fed");
    let path = Path::open(&dir)?;
    let mut row = feed(options, &path)?;
    let before = cpu_s("self")?;
    path.store.compact(true)?;
    let compacted = cpu_s("self")? - before;
    println!(
        "sunshine: {} readings, one a message, through the log ({} syncs) into the store in {:.1} CPU-s, then compaction, \
         minutes and hours in {compacted:.1} more",
        row.readings,
        path.journal.stats().syncs,
        row.cpu_s
    );
    row.cpu_s += compacted;
    row.bytes = path.store.stats().raw_bytes;
    questions(&path, &mut row)?;
    row.print("sunshine");
    drop(path);
    start_after_a_kill(options)
}

/// The same readings, a thousand to a record of the log and none of them decoded: what durability and storage cost without
/// anybody's encoding. A round of readings is on disk before the store hears of it.
fn feed_in_records(options: &Options) -> anyhow::Result<()> {
    let path = Path::open(&options.dir.join("records"))?;
    path.journal.advance_cursor(CURSOR, path.journal.start())?;
    let series = (0..SERIES).map(|n| Ok(path.store.resolve(&key(n)?)?));
    let series: Vec<SeriesId> = series.collect::<anyhow::Result<_>>()?;
    let stop = AtomicBool::new(false);
    let (began, before, mut own_s, mut count) = (Instant::now(), cpu_s("self")?, 0.0, 0);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let upkeep = scope.spawn(|| path.maintain(&stop));
        let (mut writer, mut readings) = (path.journal.writer(), Vec::new());
        for tick in 0..options.readings / SERIES {
            let making = thread_s()?;
            let at = UtcMillis(START_MS + i64::try_from(tick)? * 10_000);
            path.now.store(at.0, Ordering::Release);
            path.clock.set(at);
            readings.clear();
            for (sample, series) in round(tick).zip(&series) {
                readings.push(Reading {
                    series: *series,
                    at: UtcMillis(sample.at_ms),
                    received: at,
                    value: sample.value,
                    quality: Quality::Good,
                });
            }
            own_s += thread_s()? - making;
            let from = path.journal.durable();
            commit(&mut writer, &readings)?;
            let upto = path.journal.durable();
            while let Err(refused) = path
                .store
                .append(&readings, LogPosition(from.0), LogPosition(upto.0))
            {
                ensure!(matches!(refused, SeriesError::HeadFull { .. }), "{refused}");
                std::thread::park_timeout(PAUSE);
            }
            count += readings.len();
            if began.elapsed() > Duration::from_secs(options.limit_s) {
                break;
            }
        }
        stop.store(true, Ordering::Release);
        upkeep.join().expect("maintenance does not panic")
    })?;
    path.store.flush()?;
    let cpu = cpu_s("self")? - before - own_s;
    println!(
        "sunshine: {count} readings, a thousand a record and none decoded, through the log ({} syncs) into the store in \
         {cpu:.1} CPU-s: {:.2} M per CPU-s, {:.1} s wall",
        path.journal.stats().syncs,
        count as f64 / cpu / 1e6,
        began.elapsed().as_secs_f64()
    );
    path.journal.close();
    Ok(())
}

fn key(series: u64) -> anyhow::Result<SeriesKey> {
    Ok(SeriesKey {
        facility: format!("facility-{}", series / 50).parse()?,
        device: format!("device-{series}").parse()?,
        metric: "temperature".parse()?,
    })
}

/// Writes readings into the log and waits until they are on disk.
fn commit(writer: &mut Writer, readings: &[Reading]) -> anyhow::Result<()> {
    let mut body = Vec::new();
    let mut last = None;
    for some in readings.chunks(1_000) {
        body.clear();
        for reading in some {
            body.extend_from_slice(&reading.series.0.to_le_bytes());
            body.extend_from_slice(&reading.at.0.to_le_bytes());
            body.extend_from_slice(&reading.value.to_le_bytes());
        }
        let envelope = Envelope {
            kind: Kind::MESSAGE,
            flags: 0,
            source: "bench",
            subject: "readings",
            attributes: b"",
            body: &body,
        };
        last = Some(loop {
            match writer.append(&envelope) {
                Ok(receipt) => break receipt,
                Err(AppendError::Busy | AppendError::Full) => std::thread::park_timeout(PAUSE),
                Err(refused) => return Err(refused.into()),
            }
        });
    }
    if let Some(receipt) = last {
        while !writer.is_durable(receipt)? {
            std::thread::park_timeout(PAUSE / 10);
        }
    }
    Ok(())
}

/// From the first message until everything is on disk. The store's own figures come from its benchmark.
fn feed(options: &Options, path: &Path) -> anyhow::Result<Row> {
    let mut row = Row::default();
    let (began, before) = (Instant::now(), cpu_s("self")?);
    let stop = AtomicBool::new(false);
    path.journal.advance_cursor(CURSOR, path.journal.start())?;
    let mut speaker = Speaker {
        writer: path.journal.writer(),
        texts: Vec::new(),
        own_s: 0.0,
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let reading = scope.spawn(|| path.read(true));
        let upkeep = scope.spawn(|| path.maintain(&stop));
        let mut long = long_series().peekable();
        while long.peek().is_some() {
            let some: Vec<Sample> = long.by_ref().take(10_000).collect();
            path.now.store(some[some.len() - 1].at_ms, Ordering::Release);
            row.readings += speaker.say(some.into_iter())?;
        }
        for tick in 0..options.readings / SERIES {
            let at = START_MS + i64::try_from(tick)? * 10_000;
            path.now.store(at, Ordering::Release);
            path.clock.set(UtcMillis(at));
            row.readings += speaker.say(round(tick))?;
            if began.elapsed() > Duration::from_secs(options.limit_s) {
                break;
            }
        }
        path.journal.close();
        let stored = reading.join().expect("the reader does not panic");
        stop.store(true, Ordering::Release);
        upkeep.join().expect("maintenance does not panic")?;
        let stored = stored?;
        ensure!(stored == row.readings, "{stored} of {} were stored", row.readings);
        Ok(())
    })?;
    path.store.flush()?;
    row.wall_s = began.elapsed().as_secs_f64();
    row.cpu_s = cpu_s("self")? - before - speaker.own_s;
    Ok(row)
}

fn questions(path: &Path, row: &mut Row) -> anyhow::Result<()> {
    let everything = Scope::everything();
    let long = key(SERIES)?;
    let long = path
        .store
        .find(&everything, &long)
        .context("the long series is there")?;
    let window = |days: i64| WindowQuery {
        range: TimeRange::ending_at(UtcMillis(START_MS), days * DAY_MS),
        step: Step::Parts(1_000),
        aggregates: Aggregates::PLAIN,
    };
    let all = path.store.all_series(&everything);
    let ids: Vec<SeriesId> = all.iter().map(|(_, id)| *id).collect();
    let grouped: Vec<(SeriesId, String)> = all
        .iter()
        .map(|(key, id)| (*id, key.facility.to_string()))
        .collect();
    let share = ShareQuery {
        range: TimeRange {
            from: UtcMillis(START_MS),
            to: path.clock.now() + 10_000,
        },
        op: Comparison::Above,
        limit: 8.0,
        max_hold_ms: 60_000,
    };
    let month = window(30);
    let year = window(365);
    row.asked.push(mean("month", || {
        path.store.aggregate(&everything, long, &month).map(drop)
    })?);
    row.asked.push(mean("year", || {
        path.store.aggregate(&everything, long, &year).map(drop)
    })?);
    row.asked.push(mean("share", || {
        path.store.share_over(&everything, &grouped, &share).map(drop)
    })?);
    row.asked.push(mean("latest", || {
        std::hint::black_box(path.store.latest_of(&everything, &ids));
        Ok(())
    })?);
    Ok(())
}

/// A question's name, and its processor and wall milliseconds.
fn mean(
    name: &'static str,
    mut work: impl FnMut() -> Result<(), SeriesError>,
) -> anyhow::Result<(&'static str, f64, f64)> {
    work()?;
    let (before, began) = (cpu_s("self")?, Instant::now());
    for _ in 0..RUNS {
        work()?;
    }
    let each = |seconds: f64| seconds * 1e3 / f64::from(RUNS);
    let wall = began.elapsed().as_secs_f64();
    Ok((name, each(cpu_s("self")? - before), each(wall)))
}

/// Kills a process that has a million readings in its log and memory, and starts on what is left.
fn start_after_a_kill(options: &Options) -> anyhow::Result<()> {
    let dir = options.dir.join("killed");
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--system", "sunshine", "--fill", "--dir"])
        .arg(&dir)
        .args(["--readings", &IN_THE_LOG.min(options.readings).to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let out = child.stdout.take().context("it has an output")?;
    BufReader::new(out).read_line(&mut said)?;
    child.kill()?;
    child.wait()?;
    let waiting: u64 = said
        .trim()
        .parse()
        .with_context(|| format!("the child said {said:?}"))?;
    let (began, before) = (Instant::now(), cpu_s("self")?);
    let path = Path::open(&dir)?;
    let opened = began.elapsed();
    let read = path.read(false)?;
    let (wall, cpu) = (began.elapsed(), cpu_s("self")? - before);
    ensure!(read == waiting, "{read} of {waiting} readings came back");
    println!(
        "sunshine: killed with {waiting} readings in the log alone: open in {:.0} ms, all of them queryable after {:.0} ms \
         ({cpu:.2} CPU-s)",
        opened.as_secs_f64() * 1e3,
        wall.as_secs_f64() * 1e3
    );
    path.journal.close();
    Ok(())
}

/// The process that is killed: every series is on disk with its name, then only log and memory take readings.
fn fill(options: &Options) -> anyhow::Result<()> {
    let path = Path::open(&options.dir)?;
    path.now.store(START_MS, Ordering::Release);
    path.journal.advance_cursor(CURSOR, path.journal.start())?;
    let mut speaker = Speaker {
        writer: path.journal.writer(),
        texts: Vec::new(),
        own_s: 0.0,
    };
    speaker.say(round(0))?;
    settle(&path)?;
    path.read(false)?;
    path.store.flush()?;
    let mut waiting = 0;
    for tick in 1..=options.readings / SERIES {
        path.now
            .store(START_MS + i64::try_from(tick)? * 10_000, Ordering::Release);
        waiting += speaker.say(round(tick))?;
    }
    settle(&path)?;
    println!("{waiting}");
    std::io::stdout().flush()?;
    // Until it is killed; or, should whoever started it be gone, until its input ends.
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// Waits until all that was said is on disk.
fn settle(path: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut last = Position(u64::MAX);
    while path.journal.durable() != last {
        ensure!(
            began.elapsed() < Duration::from_mins(1),
            "the log does not come to rest"
        );
        last = path.journal.durable();
        std::thread::park_timeout(50 * PAUSE);
    }
    Ok(())
}

/// Processor time of this thread, in seconds.
fn thread_s() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text.split(' ').next().context("no time in schedstat")?;
    Ok(ns.parse::<f64>()? / 1e9)
}
