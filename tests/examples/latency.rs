//! How long a reading takes from its publish until a query shows it, while a steady stream of other readings
//! comes in.
//!
//! A probe is published, then the query is asked again and again on one kept connection until its answer
//! holds the probe's value. The figure therefore includes one query.

#[path = "shared/frames.rs"]
mod frames;
#[path = "shared/http.rs"]
mod http;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use domain::Clock;
use frames::{PUBACK_BYTES, Template, count_acks, sign_in};
use http::{Http, split_url};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

/// How often the background writes, per second.
const BURSTS_PER_SECOND: u64 = 100;

#[derive(Debug, Clone, Parser)]
#[command(about = "Measure publish-to-queryable time under a steady load")]
struct Options {
    /// The broker, without sign-in.
    #[arg(long, default_value = "127.0.0.1:1883")]
    target: String,
    /// Readings per second of the background, 0 to 100,000.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    rate: u64,
    /// Probes, 1 to 40,000, one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=40_000))]
    probes: u32,
    /// Rest between probes, in milliseconds, 0 to 10,000.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    rest_ms: u64,
    /// The topic of the background.
    #[arg(long, default_value = "sk/v1/load/background/up/temperature")]
    background_topic: String,
    /// The topic of the probes.
    #[arg(long, default_value = "sk/v1/load/probe/up/temperature")]
    probe_topic: String,
    /// The query whose answer shows the latest value of the probes' series.
    #[arg(long)]
    query: String,
    /// The longest the whole run may take, in seconds.
    #[arg(long, default_value_t = 120)]
    limit_s: u64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let limit = Duration::from_secs(options.limit_s);
    runtime.block_on(async { timeout(limit, run(&options)).await.context("the time is up")? })
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let (mut tasks, acked) = (JoinSet::new(), Arc::new(AtomicU64::new(0)));
    if options.rate > 0 {
        let stream = sign_in(&options.target, &format!("load-{}", std::process::id()), None).await?;
        let (input, output) = stream.into_split();
        let template = Template::new(&options.background_topic, 113)?;
        tasks.spawn(background(output, template, options.rate));
        tasks.spawn(drain(input, Arc::clone(&acked)));
    }
    let begun = Instant::now();
    let mut taken = tokio::select! {
        taken = probe_all(options) => taken?,
        Some(ended) = tasks.join_next() => {
            ended??;
            bail!("the background ended early");
        }
    };
    let rate = acked.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    taken.sort_unstable();
    let at = |share: f64| {
        let place = (taken.len() as f64 * share) as usize;
        taken[place.min(taken.len() - 1)].as_secs_f64() * 1_000.0
    };
    println!(
        "probes={} background_per_s={rate:.0} p50_ms={:.2} p99_ms={:.2} max_ms={:.2}",
        taken.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

async fn probe_all(options: &Options) -> anyhow::Result<Vec<Duration>> {
    let (authority, path) = split_url(&options.query)?;
    let mut http = Http::new(authority);
    let mut stream = sign_in(&options.target, &format!("probe-{}", std::process::id()), None).await?;
    let template = Template::new(&options.probe_topic, 113)?;
    let mut taken = Vec::with_capacity(options.probes as usize);
    for number in 0..options.probes {
        taken.push(probe(&mut stream, &template, number, (&mut http, &path)).await?);
        sleep(Duration::from_millis(options.rest_ms)).await;
    }
    Ok(taken)
}

/// Publishes one probe, waits until it is acknowledged, and asks until it shows.
async fn probe(
    stream: &mut TcpStream,
    template: &Template,
    number: u32,
    (http, path): (&mut Http, &str),
) -> anyhow::Result<Duration> {
    // Odd hundredths: never a whole number, which an answer might hold for another reason.
    let hundredths = 10_001 + 2 * number;
    let mark = format!("{}", f64::from(hundredths) / 100.0);
    let mut out = Vec::new();
    template.write(&mut out, u64::from(number), Clock::system().now().0, hundredths);
    let begun = Instant::now();
    stream.write_all(&out).await?;
    let mut ack = [0; PUBACK_BYTES];
    stream.read_exact(&mut ack).await?;
    count_acks(&ack)?;
    loop {
        let (status, body) = http.send("GET", path, b"").await?;
        if status == 200 && holds_number(&String::from_utf8_lossy(&body), &mark) {
            return Ok(begun.elapsed());
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Whether `text` holds `mark` as a whole number, not as a part of a longer one.
fn holds_number(text: &str, mark: &str) -> bool {
    let inside = |c: char| c.is_ascii_digit() || c == '.';
    text.match_indices(mark).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + mark.len()..]);
        !before.ends_with(inside) && !after.starts_with(inside)
    })
}

async fn background(mut output: OwnedWriteHalf, template: Template, rate: u64) -> anyhow::Result<()> {
    let mut pace = interval(Duration::from_millis(1_000 / BURSTS_PER_SECOND));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut number, mut owed) = (0_u64, 0);
    let first_ms = Clock::system().now().0 - 3_600_000;
    let mut out = Vec::new();
    loop {
        pace.tick().await;
        owed += rate;
        out.clear();
        while owed >= BURSTS_PER_SECOND {
            owed -= BURSTS_PER_SECOND;
            template.write(&mut out, number, first_ms + i64::try_from(number)?, 10_000);
            number += 1;
        }
        output.write_all(&out).await?;
    }
}

async fn drain(mut input: OwnedReadHalf, acked: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    let mut held = 0;
    loop {
        let read = input.read(&mut bytes[held..]).await?;
        if read == 0 {
            bail!("the broker closed the background's connection");
        }
        held += read;
        let whole = held - held % PUBACK_BYTES;
        acked.fetch_add(count_acks(&bytes[..whole])?, Ordering::Relaxed);
        bytes.copy_within(whole..held, 0);
        held -= whole;
    }
}
