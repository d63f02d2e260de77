//! Publishes a number of readings at QoS 1 as fast as a window allows, and tells how fast they were
//! acknowledged, how fast they were stored and queryable, and what that cost in CPU time.
//!
//! Everything is bounded: the messages by `--messages`, the time by `--limit-s`.

#[path = "shared/frames.rs"]
mod frames;
#[path = "shared/http.rs"]
mod http;

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use domain::Clock;
use frames::{PUBACK_BYTES, Template, count_acks, sign_in};
use http::{Http, split_url};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

/// The most frames written at once.
const BURST: u64 = 64;
/// The kernel counts CPU time in hundredths of a second on every machine this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Parser)]
#[command(about = "Load a broker with readings at QoS 1 and tell the pace")]
struct Options {
    /// The broker.
    #[arg(long, default_value = "127.0.0.1:1883")]
    target: String,
    /// Connections, 1 to 10,000. Each publishes to its own topic.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Publishes without an acknowledgement per connection, 1 to 10,000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    window: u64,
    /// Messages in all, 1 to 100,000,000; shared evenly, rounded down.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    messages: u64,
    /// Bytes of one payload, 32 to 4,096.
    #[arg(long, default_value_t = 113, value_parser = clap::value_parser!(u16).range(32..=4_096))]
    payload_bytes: u16,
    /// The topic; `{i}` is the connection's number, `{name}` its identity's name.
    #[arg(long, default_value = "sk/v1/load/dev-{i}/up/temperature")]
    topic: String,
    /// A file with one identity per line, its name and its secret; without it, connections are anonymous.
    #[arg(long)]
    identities: Option<String>,
    /// An address that tells how many readings are stored; waits until all are.
    #[arg(long)]
    until: Option<String>,
    /// Where in that answer the number stands, as a JSON pointer.
    #[arg(long, default_value = "/readings_stored")]
    pointer: String,
    /// How often it is asked, in milliseconds, 1 to 10,000.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    poll_ms: u64,
    /// Processes whose CPU time and memory are told.
    #[arg(long)]
    pid: Vec<u32>,
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
    let per_connection = options.messages / options.connections;
    if per_connection == 0 {
        bail!("fewer messages than connections; give more with --messages");
    }
    let total = per_connection * options.connections;
    let mut stored = options
        .until
        .as_deref()
        .map(|url| Stored::new(url, &options.pointer))
        .transpose()?;
    let before = match &mut stored {
        Some(stored) => stored.count().await?,
        None => 0,
    };
    let lines = connect(options).await?;
    let cpu_before = cpu_seconds(&options.pid)?;
    let begun = Instant::now();
    // Times lie in the recent past, one millisecond apart, so that each makes a row of its own.
    let first_ms = Clock::system().now().0 - i64::try_from(per_connection)? - 1_000;
    let mut tasks = JoinSet::new();
    for (stream, template) in lines {
        let job = Job {
            messages: per_connection,
            window: options.window,
            first_ms,
        };
        tasks.spawn(job.publish(stream, template));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let acked_s = begun.elapsed().as_secs_f64();
    let mut stored_s = None;
    if let Some(stored) = &mut stored {
        while stored.count().await? < before + total {
            sleep(Duration::from_millis(options.poll_ms)).await;
        }
        stored_s = Some(begun.elapsed().as_secs_f64());
    }
    let cpu_s = cpu_seconds(&options.pid)? - cpu_before;
    tell(options, total, acked_s, stored_s, cpu_s)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn tell(
    options: &Options,
    total: u64,
    acked_s: f64,
    stored_s: Option<f64>,
    cpu_s: f64,
) -> anyhow::Result<()> {
    let count = total as f64;
    print!("messages={total} acked_per_s={:.0}", count / acked_s);
    if let Some(seconds) = stored_s {
        print!(" stored_per_s={:.0}", count / seconds);
    }
    if !options.pid.is_empty() {
        let own = cpu_seconds(&[std::process::id()])?;
        print!(
            " cpu_s_per_million={:.2} peak_rss_mib={:.0}",
            cpu_s * 1e6 / count,
            peak_rss_mib(&options.pid)?
        );
        print!(" generator_cpu_s_per_million={:.2}", own * 1e6 / count);
    }
    println!();
    Ok(())
}

async fn connect(options: &Options) -> anyhow::Result<Vec<(TcpStream, Template)>> {
    let text = options
        .identities
        .as_ref()
        .map(fs::read_to_string)
        .transpose()
        .context("--identities")?;
    let identities: Vec<(&str, &str)> = text
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.split_once(' '))
        .collect();
    if text.is_some() && identities.is_empty() {
        bail!("--identities: no line holds a name, a blank and a secret");
    }
    let mut lines = Vec::new();
    for number in 0..options.connections {
        let login = identities
            .iter()
            .cycle()
            .nth(usize::try_from(number)? % identities.len().max(1))
            .copied();
        let name = login.map_or("", |(name, _)| name);
        let topic = options
            .topic
            .replace("{i}", &number.to_string())
            .replace("{name}", name);
        let client_id = format!("load-{}-{number}", std::process::id());
        let stream = sign_in(&options.target, &client_id, login).await?;
        lines.push((stream, Template::new(&topic, usize::from(options.payload_bytes))?));
    }
    Ok(lines)
}

/// One connection's work.
#[derive(Debug, Clone, Copy)]
struct Job {
    messages: u64,
    window: u64,
    first_ms: i64,
}

impl Job {
    async fn publish(self, mut stream: TcpStream, template: Template) -> anyhow::Result<()> {
        let (mut sent, mut acked) = (0, 0);
        let mut out = Vec::new();
        let mut input = vec![0; 16 * 1024];
        let mut held = 0;
        while acked < self.messages {
            let burst = BURST.min(self.window - (sent - acked)).min(self.messages - sent);
            if burst > 0 {
                out.clear();
                for number in sent..sent + burst {
                    let hundredths = u32::try_from(10_000 + number % 1_000)?;
                    template.write(
                        &mut out,
                        number,
                        self.first_ms + i64::try_from(number)?,
                        hundredths,
                    );
                }
                stream.write_all(&out).await?;
                sent += burst;
                if sent - acked < self.window && sent < self.messages {
                    continue;
                }
            }
            let read = stream.read(&mut input[held..]).await?;
            if read == 0 {
                bail!(
                    "the broker closed the connection after {acked} of {} acknowledgements",
                    self.messages
                );
            }
            held += read;
            let whole = held - held % PUBACK_BYTES;
            acked += count_acks(&input[..whole])?;
            input.copy_within(whole..held, 0);
            held -= whole;
        }
        stream.write_all(&[0xE0, 0]).await?;
        Ok(())
    }
}

/// Asks how many readings are stored.
struct Stored {
    http: Http,
    path: String,
    pointer: String,
}

impl Stored {
    fn new(url: &str, pointer: &str) -> anyhow::Result<Stored> {
        let (authority, path) = split_url(url)?;
        Ok(Stored {
            http: Http::new(authority),
            path,
            pointer: pointer.to_owned(),
        })
    }

    /// The number; 0 while the answer does not hold one, as a database without rows answers.
    async fn count(&mut self) -> anyhow::Result<u64> {
        let (status, body) = self.http.send("GET", &self.path, b"").await?;
        if status != 200 {
            bail!("{} answers {status}", self.path);
        }
        let json: serde_json::Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
        Ok(json
            .pointer(&self.pointer)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or(0))
    }
}

/// User and system time of the processes so far, all their threads together.
fn cpu_seconds(pids: &[u32]) -> anyhow::Result<f64> {
    let mut ticks = 0.0;
    for pid in pids {
        let text =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        // The name, which may hold anything, ends with the last parenthesis.
        let (_, rest) = text
            .rsplit_once(')')
            .context("the process table is not as expected")?;
        let fields = rest.split_whitespace().skip(11).take(2);
        ticks += fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
    }
    Ok(ticks / TICKS_PER_SECOND)
}

fn peak_rss_mib(pids: &[u32]) -> anyhow::Result<f64> {
    let mut kib = 0.0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line
            .and_then(|line| line.split_whitespace().next())
            .context("no VmHWM")?;
        kib += number.parse::<f64>()?;
    }
    Ok(kib / 1024.0)
}
