//! Promise 5: same input, same verdict. A scripted day goes through the real log once; judging it as it comes,
//! judging it again from empty in other portions, and judging it with a stop in the middle give the same cases.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use domain::{Clock, Point, Scope, SeriesId, SeriesKey, TimeRange, Unit, UtcMillis};
use ingest::{Ingest, IngestLimits, SeriesDirectory, TooManySeries};
use journal::{Envelope, Journal, Kind, Position};
use simulator::{District, Scenario};
use store::{Records, SeriesOptions, SeriesStore, records::CaseFilter};
use sunshine_integration_tests::owned;
use tempfile::TempDir;

const SEED: u64 = 11;
const FACILITIES: usize = 3;
/// Twelve hours hold a whole cycle of the script.
const LENGTH_MS: i64 = 12 * 3_600_000;
const START: UtcMillis = UtcMillis(1_795_250_000_000);

/// What a verdict is: everything of a case that judgement decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Verdict {
    point: String,
    rule: String,
    since: i64,
    raised_at: i64,
    cleared_at: Option<i64>,
    value: Option<u64>,
}

struct Directory {
    series: SeriesStore,
    points: Vec<Point>,
}

impl SeriesDirectory for Directory {
    fn resolve(&self, key: &SeriesKey) -> Result<SeriesId, TooManySeries> {
        self.series.resolve(key).map_err(|_full| TooManySeries)
    }

    fn unit(&self, key: &SeriesKey) -> Option<Unit> {
        self.points.iter().find(|p| p.key() == *key).map(|p| p.unit)
    }

    fn version(&self) -> u64 {
        1
    }
}

/// The day, as it would have come in: every message at its moment, a tick every second.
fn record_day(dir: &Path, district: &District) -> anyhow::Result<Journal> {
    let now = Arc::new(AtomicI64::new(START.0));
    let clock = Arc::clone(&now);
    let mut options = journal::Options::new(dir.join("journal"));
    options.segment_bytes = 8 << 20;
    let journal = Journal::open(options, Arc::new(move || clock.load(Ordering::Acquire)))?;
    let scenario = Scenario {
        history_from: None,
        facilities: FACILITIES,
        ..Scenario::new(SEED, START)
    };
    let range = TimeRange {
        from: START,
        to: START + LENGTH_MS,
    };
    let mut writer = journal.writer();
    let mut tick_at = START;
    let mut append = |kind, source: &str, subject: &str, body: &[u8]| -> anyhow::Result<()> {
        let envelope = Envelope {
            kind,
            flags: 1,
            source,
            subject,
            attributes: &[],
            body,
        };
        while let Err(refused) = writer.append(&envelope) {
            anyhow::ensure!(matches!(refused, journal::AppendError::Busy), "{refused}");
            std::thread::yield_now();
        }
        Ok(())
    };
    for message in simulator::messages(&scenario, district, range) {
        while tick_at <= message.at {
            now.store(tick_at.0, Ordering::Release);
            append(Kind::TICK, "sunshine", "", &[])?;
            tick_at = tick_at + 1000;
        }
        now.store(message.at.0, Ordering::Release);
        let device = &district.devices[message.device];
        append(
            Kind::MESSAGE,
            device.identity().as_str(),
            &message.topic,
            &message.payload,
        )?;
    }
    Ok(journal)
}

struct Judging {
    records: Records,
    series: SeriesStore,
    _dir: TempDir,
}

impl Judging {
    async fn new(district: &District) -> anyhow::Result<Judging> {
        let dir = tempfile::tempdir()?;
        let clock = Clock::simulated(START);
        let records = Records::open(&dir.path().join("records.db"), clock.clone()).await?;
        for region in &district.regions {
            records.put_region(region).await?;
        }
        for facility in &district.facilities {
            records.put_facility(facility).await?;
        }
        records.put_points(&district.points).await?;
        let options = SeriesOptions {
            shards: 4,
            flush_readings: 1_000_000,
            flush_age_ms: 3_600_000,
            max_series: 1000,
            ..SeriesOptions::new(dir.path().join("series"))
        };
        let series = SeriesStore::open(options, clock)?;
        Ok(Judging {
            records,
            series,
            _dir: dir,
        })
    }

    /// Judges from where judgement stands to `upto` (or the end), in portions of `batch_bytes`.
    async fn judge(
        &self,
        journal: &Journal,
        district: &District,
        batch_bytes: usize,
        upto: Option<Position>,
    ) -> anyhow::Result<()> {
        let rules = domain::pack::active(&["cn-canteen", "fire-gas", "environment", "system"])?;
        let clock = Clock::simulated(START);
        let engine = alerts::Engine::open(self.records.clone(), self.series.clone(), rules, clock).await?;
        let reader = journal.reader(Position(engine.position().0))?;
        let directory = Directory {
            series: self.series.clone(),
            points: district.points.clone(),
        };
        let mut ingest = Ingest::new(
            reader,
            directory,
            IngestLimits {
                batch_bytes,
                ..IngestLimits::default()
            },
        );
        let (batches, waiting) = tokio::sync::mpsc::channel(4);
        let judging = owned(engine.run(waiting));
        let end = upto.unwrap_or_else(|| journal.durable());
        let mut at = Position(0);
        while at < end {
            let batch = ingest
                .next(Duration::from_millis(1))?
                .context("the log is open")?;
            at = Position(batch.upto.0);
            batches.send(Arc::new(batch)).await?;
        }
        drop(batches);
        judging.await??;
        Ok(())
    }

    async fn verdicts(&self) -> anyhow::Result<Vec<Verdict>> {
        let filter = CaseFilter {
            limit: 10_000,
            ..CaseFilter::default()
        };
        let mut verdicts: Vec<Verdict> = self
            .records
            .cases(&Scope::everything(), &filter)
            .await?
            .into_iter()
            .map(|case| Verdict {
                point: case.point.to_string(),
                rule: case.rule.to_string(),
                since: case.since.0,
                raised_at: case.raised_at.0,
                cleared_at: case.cleared_at.map(|at| at.0),
                value: case.value.map(f64::to_bits),
            })
            .collect();
        verdicts.sort();
        Ok(verdicts)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripted_day_gives_the_same_cases_however_it_is_judged() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let district = simulator::district(SEED, FACILITIES);
    let journal = record_day(dir.path(), &district)?;
    // The last records become durable with this one.
    let last = Envelope {
        kind: Kind::TICK,
        flags: 0,
        source: "sunshine",
        subject: "",
        attributes: &[],
        body: &[],
    };
    journal.append_durable(&last).await?;

    let live = Judging::new(&district).await?;
    live.judge(&journal, &district, 64 << 10, None).await?;
    let wanted = live.verdicts().await?;
    let rules: std::collections::BTreeSet<&str> = wanted.iter().map(|v| v.rule.as_str()).collect();
    assert!(
        rules.len() >= 4,
        "the day must have several kinds of incident: {rules:?}"
    );
    assert!(
        wanted.iter().any(|v| v.cleared_at.is_some()),
        "and some that passed"
    );

    for batch_bytes in [2 << 10, 4 << 20] {
        let replay = Judging::new(&district).await?;
        replay.judge(&journal, &district, batch_bytes, None).await?;
        assert_eq!(
            replay.verdicts().await?,
            wanted,
            "in portions of {batch_bytes} bytes"
        );
    }

    let interrupted = Judging::new(&district).await?;
    let middle = Position(journal.durable().0 / 2);
    interrupted
        .judge(&journal, &district, 10 << 10, Some(middle))
        .await?;
    interrupted.judge(&journal, &district, 300 << 10, None).await?;
    assert_eq!(interrupted.verdicts().await?, wanted, "with a stop in the middle");
    journal.close();
    Ok(())
}
