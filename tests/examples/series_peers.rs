//! Years of readings, ours and others': feeds one set of readings to our path (log, decoding, store) or to a running
//! InfluxDB 1.x or VictoriaMetrics, in the order of arrival, asks each the same questions, and tells what both cost.
//! `scripts/series-peers.sh` runs it for all three and puts the rows beside each other.
//!
//! Everything is bounded: the readings by `--readings`, the time of feeding by `--limit-s`.

use std::{
    fmt::Write as _,
    future::Future,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use flate2::{Compression, write::GzEncoder};
use tokio::time::sleep;

#[path = "shared/series_path.rs"]
mod series_path;

/// Series that report every ten seconds.
const SERIES: u64 = 5_000;
/// When the first of them reports: 2026-11-25 00:00 UTC.
const START_MS: i64 = 1_795_564_800_000;
const INTERVAL_MS: i64 = 10_000;
const DAY_MS: i64 = 86_400_000;
/// Lines of one request.
const LINES: usize = 10_000;
/// The kernel counts CPU time in hundredths of a second on every machine this runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often each question is asked of another server.
const RUNS: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum System {
    /// Our log, decoding and store, in this process.
    Sunshine,
    /// InfluxDB 1.x.
    Influx,
    /// VictoriaMetrics.
    Victoria,
}

#[derive(Debug, Clone, Parser)]
#[command(about = "Feed readings to a time-series store and tell what it and its answers cost")]
struct Options {
    /// Which store.
    #[arg(long, value_enum)]
    system: System,
    /// Where the other server answers.
    #[arg(long, default_value = "")]
    url: String,
    /// Its process.
    #[arg(long, default_value_t = 0)]
    pid: u32,
    /// Where its data lie; for our own store, where to put them.
    #[arg(long)]
    dir: PathBuf,
    /// Readings of the many series, 5,000 to 100,000,000.
    #[arg(long, default_value_t = 20_000_000, value_parser = clap::value_parser!(u64).range(5_000..=100_000_000))]
    readings: u64,
    /// Feeding ends after so many seconds, with as many readings as there were.
    #[arg(long, default_value_t = 150)]
    limit_s: u64,
    /// Fills a log and waits to be killed: the other half of the measurement of a start.
    #[arg(long, hide = true)]
    fill: bool,
}

/// One reading of the set.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// 0 to 4,999, or [`SERIES`] for the one that has reported for a year.
    series: u64,
    at_ms: i64,
    value: f64,
}

/// A cheap generator: the same numbers in every run.
fn noise(seed: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x2545_F491_4F6C_DD1D;
    x ^= x >> 30;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A refrigerator's cycle, a slow drift, a sine or a switch, to a tenth.
fn value(series: u64, tick: u64) -> f64 {
    let little = noise(series << 32 | tick) - 0.5;
    let tick = tick as f64;
    match series % 4 {
        0 => {
            let phase = (tick / (90.0 + (series % 60) as f64)).fract();
            let cycle = if phase < 0.6 {
                phase / 0.6
            } else {
                (1.0 - phase) / 0.4
            };
            // One in a hundred is too warm.
            let warm = if series.is_multiple_of(400) { 4.0 } else { 0.0 };
            tenth(3.0 + warm + 3.0 * cycle + 0.3 * little)
        }
        1 => tenth(60.0 + 3.0 * (tick * 0.000_3).sin() + 0.5 * little),
        2 => tenth(22.0 + 3.0 * (tick * 0.000_7).sin() + 0.3 * little),
        _ => f64::from(noise(series << 20 | (tick as u64 / 200)) > 0.5),
    }
}

/// One round of all series: a little late or early.
fn round(tick: u64) -> impl Iterator<Item = Sample> {
    (0..SERIES).map(move |series| Sample {
        series,
        at_ms: START_MS
            + i64::try_from(tick).unwrap_or(i64::MAX / INTERVAL_MS) * INTERVAL_MS
            + (noise(tick << 32 | series) * 41.0) as i64,
        value: value(series, tick),
    })
}

/// One series for a year before [`START_MS`]: once a minute, and every ten seconds in the last 30 days.
fn long_series() -> impl Iterator<Item = Sample> {
    let dense = START_MS - 30 * DAY_MS;
    let minutes = (START_MS - 365 * DAY_MS..dense).step_by(60_000);
    let seconds = (dense..START_MS).step_by(10_000);
    minutes.chain(seconds).zip(0..).map(|(at_ms, tick)| Sample {
        series: SERIES,
        at_ms,
        value: value(0, tick),
    })
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.system == System::Sunshine {
        return series_path::run(&options);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(peer(&options))
}

/// What one system cost: printed as one row.
#[derive(Debug, Default)]
struct Row {
    readings: u64,
    cpu_s: f64,
    wall_s: f64,
    bytes: u64,
    /// Name, processor and wall milliseconds of a question.
    asked: Vec<(&'static str, f64, f64)>,
}

impl Row {
    fn print(&self, system: &str) {
        let mut text = format!(
            "row {system} readings={} cpu_s={:.1} m_per_cpu_s={:.2} wall_s={:.1} bytes_per_reading={:.2}",
            self.readings,
            self.cpu_s,
            self.readings as f64 / self.cpu_s.max(0.001) / 1e6,
            self.wall_s,
            self.bytes as f64 / self.readings.max(1) as f64
        );
        for (name, cpu_ms, wall_ms) in &self.asked {
            write!(text, " {name}={cpu_ms:.2}/{wall_ms:.2}").expect("writing to a String succeeds");
        }
        println!("{text}");
    }
}

/// Another server, fed over HTTP.
struct Peer<'o> {
    options: &'o Options,
    client: reqwest::Client,
    lines: usize,
    text: String,
}

async fn peer(options: &Options) -> anyhow::Result<()> {
    let mut peer = Peer {
        options,
        client: reqwest::Client::builder()
            .timeout(Duration::from_mins(2))
            .build()?,
        lines: 0,
        text: String::new(),
    };
    let mut row = Row::default();
    let began = Instant::now();
    for sample in long_series() {
        peer.put(sample).await?;
        row.readings += 1;
    }
    let mut end_ms = START_MS;
    'fed: for tick in 0..options.readings / SERIES {
        for sample in round(tick) {
            peer.put(sample).await?;
            row.readings += 1;
            end_ms = end_ms.max(sample.at_ms + 1);
        }
        if began.elapsed() > Duration::from_secs(options.limit_s) {
            break 'fed;
        }
    }
    peer.send().await?;
    row.wall_s = began.elapsed().as_secs_f64();
    row.bytes = peer.settled().await?;
    row.cpu_s = cpu_s(&options.pid.to_string())?;
    for (name, question) in peer.questions(end_ms) {
        let (cpu_ms, wall_ms) = peer.ask(&question).await.with_context(|| question.clone())?;
        row.asked.push((name, cpu_ms, wall_ms));
    }
    row.print(if options.system == System::Influx {
        "influxdb"
    } else {
        "victoriametrics"
    });
    Ok(())
}

impl Peer<'_> {
    async fn put(&mut self, sample: Sample) -> anyhow::Result<()> {
        let Sample { series, at_ms, value } = sample;
        writeln!(
            self.text,
            "reading,facility=facility-{},device=device-{series},metric=temperature value={value} {at_ms}",
            series / 50
        )?;
        self.lines += 1;
        if self.lines >= LINES {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what has gathered, compressed.
    async fn send(&mut self) -> anyhow::Result<()> {
        let mut body = GzEncoder::new(Vec::new(), Compression::fast());
        body.write_all(self.text.as_bytes())?;
        self.text.clear();
        self.lines = 0;
        let path = "write?db=bench&precision=ms";
        let request = self
            .client
            .post(format!("{}/{path}", self.options.url))
            .header("content-encoding", "gzip")
            .body(body.finish()?);
        let answer = request.send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    /// Has the server write and merge what it holds; the bytes on disk once they stay the same for fifteen seconds.
    async fn settled(&self) -> anyhow::Result<u64> {
        if self.options.system == System::Victoria {
            for path in ["internal/force_flush", "internal/force_merge"] {
                self.client
                    .get(format!("{}/{path}", self.options.url))
                    .send()
                    .await?;
            }
        }
        let (mut bytes, mut same) = (0, 0);
        for _ in 0..90 {
            sleep(Duration::from_secs(1)).await;
            let now = folder_bytes(&self.options.dir)?;
            same = if now == bytes { same + 1 } else { 0 };
            bytes = now;
            if same >= 15 {
                break;
            }
        }
        Ok(bytes)
    }

    /// The questions by name: a month and a year of the long series in 1,000 buckets, the share over 8 of all by
    /// facility (of samples: neither weighs by time), the latest of all.
    fn questions(&self, end_ms: i64) -> Vec<(&'static str, String)> {
        let span = |days: i64| (START_MS - days * DAY_MS, days * 86_400 / 1_000);
        let from_ms = START_MS;
        let minutes = (end_ms - START_MS) / 60_000 + 1;
        if self.options.system == System::Influx {
            let window = |days| {
                let (from, step) = span(days);
                format!(
                    "query?db=bench&q=SELECT mean(value),min(value),max(value),count(value) FROM reading WHERE \
                     device='device-{SERIES}' AND time>={from}ms AND time<{START_MS}ms GROUP BY time({step}s) fill(none)"
                )
            };
            let over = format!(
                "query?db=bench&q=SELECT count(value) FROM reading WHERE value>8 AND time>={from_ms}ms AND \
                 time<{end_ms}ms GROUP BY facility"
            );
            let last = "query?db=bench&q=SELECT last(value) FROM reading GROUP BY *".to_owned();
            return vec![
                ("month", window(30)),
                ("year", window(365)),
                ("share", over),
                ("latest", last),
            ];
        }
        let window = |days| {
            let (from, step) = span(days);
            format!(
                "api/v1/query_range?nocache=1&start={}&end={}&step={step}s&query=avg_over_time(reading_value{{\
                 device=\"device-{SERIES}\"}}[{step}s])",
                from / 1000,
                START_MS / 1000
            )
        };
        let at = end_ms / 1000;
        let over = format!(
            "api/v1/query?nocache=1&time={at}&query=sort_desc(avg by (facility) (share_gt_over_time(reading_value\
             [{minutes}m],8)))"
        );
        let last = format!("api/v1/query?nocache=1&time={at}&query=last_over_time(reading_value[10m])");
        vec![
            ("month", window(30)),
            ("year", window(365)),
            ("share", over),
            ("latest", last),
        ]
    }

    /// Processor milliseconds of the server and wall milliseconds until the answer is here, each the mean of some runs.
    async fn ask(&self, question: &str) -> anyhow::Result<(f64, f64)> {
        let (path, parameters) = question.split_once('?').context("a question has parameters")?;
        let pairs: Vec<(&str, &str)> = parameters
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let mut url = reqwest::Url::parse(&format!("{}/{path}", self.options.url))?;
        url.query_pairs_mut().extend_pairs(pairs);
        let read = || async {
            let answer = self.client.get(url.clone()).send().await?;
            let status = answer.status();
            let text = answer.text().await?;
            ensure!(status.is_success() && text.len() > 200, "{status}: {text}");
            Ok(())
        };
        mean(&self.options.pid.to_string(), RUNS, read).await
    }
}

/// The mean of some runs, in processor milliseconds of a process and wall milliseconds.
async fn mean<F: Future<Output = anyhow::Result<()>>>(
    process: &str,
    runs: u32,
    mut work: impl FnMut() -> F,
) -> anyhow::Result<(f64, f64)> {
    work().await?;
    let (before, began) = (cpu_s(process)?, Instant::now());
    for _ in 0..runs {
        work().await?;
    }
    let each = |seconds: f64| seconds * 1e3 / f64::from(runs);
    let wall = began.elapsed().as_secs_f64();
    Ok((each(cpu_s(process)? - before), each(wall)))
}

/// The bytes of all files in a folder.
fn folder_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        // A file may go while it is looked at: it is merged into another.
        let Ok(found) = entry.metadata() else { continue };
        sum += if found.is_dir() {
            folder_bytes(&entry.path()).unwrap_or_default()
        } else {
            found.len()
        };
    }
    Ok(sum)
}

/// User and system time of a process so far, in seconds.
fn cpu_s(process: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let behind_name = stat.rsplit_once(')').context("no name in stat")?.1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok());
    let user = ticks(11).context("no user time")?;
    Ok((user + ticks(12).context("no system time")?) / TICKS_PER_SECOND)
}
