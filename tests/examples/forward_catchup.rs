//! How fast another time-series server catches up after it was away: fills the log while nothing listens at its
//! address, starts VictoriaMetrics there, goes on publishing, and tells how fast readings arrived, what that cost, and
//! how long acknowledgements took meanwhile, beside those of a product that forwards nothing and of one whose server is
//! away: in one run, at one pace.
//!
//! Everything is bounded: the readings by `--readings`, the time by `--limit-s`.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;
use sunshine_integration_tests::{Device, TestApp};
use tokio::time::{interval, sleep, timeout};

/// Readings of one message.
const PACK: u64 = 1_000;
/// Metrics of the one device that speaks.
const METRICS: u64 = 50;
/// The kernel counts CPU time in hundredths of a second on every machine this runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Readings published every tenth of a second while acknowledgements are timed.
const LIVE_PACK: u64 = 100;
const LIVE_EVERY: Duration = Duration::from_millis(100);
/// Messages before those that are timed: the first ones meet everything cold.
const WARM_UP: u64 = 20;

#[derive(Debug, Clone, Parser)]
#[command(about = "Tell how fast VictoriaMetrics catches up after it was away")]
struct Options {
    /// Readings that wait when it comes back, 1,000 to 10,000,000.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    readings: u64,
    /// Acknowledgements that are timed without forwarding, and as many while the server is away, 10 to 10,000.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    acknowledgements: u64,
    /// The longest the whole run may take, in seconds.
    #[arg(long, default_value_t = 600)]
    limit_s: u64,
}

/// A server that ends with its owner.
struct Victoria(Child);

impl Drop for Victoria {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let limit = Duration::from_secs(options.limit_s);
    timeout(limit, run(&options)).await.context("the time is up")?
}

async fn run(options: &Options) -> anyhow::Result<()> {
    without_forwarding(options).await?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let url = format!("http://127.0.0.1:{port}");
    let app = TestApp::start_with(&format!(
        "[timeseries]\nbackend = \"victoriametrics\"\nurl = \"{url}\"\njournal_percent = 80\n"
    ))
    .await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    let mut publisher = Publisher::default();
    let began = Instant::now();
    for _ in 0..options.readings.div_ceil(PACK) {
        publisher.publish(&mut device, PACK).await?;
    }
    println!(
        "{} readings were acknowledged in {:.1} s",
        publisher.next,
        began.elapsed().as_secs_f64()
    );
    stored(&app, publisher.next).await?;
    publisher.live(&mut device, options.acknowledgements).await?;
    publisher.tell("while the server is away");

    let dir = tempfile::tempdir()?;
    let (own_before, waiting) = (cpu_s("self")?, publisher.next);
    let mut victoria = start(port, dir.path())?;
    let began = Instant::now();
    let mut every = interval(LIVE_EVERY);
    let mut lines = 0;
    while lines < waiting {
        every.tick().await;
        publisher.publish(&mut device, LIVE_PACK).await?;
        lines = forwarded(&app).await?;
    }
    let took = began.elapsed().as_secs_f64();
    let own = cpu_s("self")? - own_before;
    let theirs = cpu_s(&victoria.0.id().to_string())?;
    publisher.tell("while it catches up");
    println!(
        "caught up with {waiting} readings in {took:.1} s while {} more came: {:.0} readings/s; CPU: ours {own:.1} s \
         (everything, with the tests' client), VictoriaMetrics {theirs:.1} s",
        publisher.next - waiting,
        lines as f64 / took,
    );
    while forwarded(&app).await? < publisher.next {
        sleep(Duration::from_millis(50)).await;
    }
    let count = counted(&url).await?;
    ensure!(
        count == publisher.next,
        "{count} of {} readings are there",
        publisher.next
    );
    println!("all {count} readings are there, each once");
    ensure!(victoria.0.try_wait()?.is_none(), "the server ended");
    drop(victoria);
    app.finish().await
}

/// The same product with nobody behind it, for comparison.
async fn without_forwarding(options: &Options) -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    let mut publisher = Publisher::default();
    publisher.live(&mut device, options.acknowledgements).await?;
    publisher.tell("without forwarding");
    drop(device);
    app.finish().await
}

/// Publishes readings of ever later times, and remembers how long each acknowledgement took.
#[derive(Default)]
struct Publisher {
    next: u64,
    took: Vec<Duration>,
}

impl Publisher {
    /// Publishes at the pace of the timed part, `messages` times after a few that do not count.
    async fn live(&mut self, device: &mut Device, messages: u64) -> anyhow::Result<()> {
        let mut every = interval(LIVE_EVERY);
        for n in 0..WARM_UP + messages {
            every.tick().await;
            if n == WARM_UP {
                self.took.clear();
            }
            self.publish(device, LIVE_PACK).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, device: &mut Device, readings: u64) -> anyhow::Result<()> {
        let record = |n: u64| {
            // Each metric has one reading every 100 ms, from some days ago on.
            let at_ms = 1_794_000_000_000 + n / METRICS * 100;
            let value = (n * 37 % 400) as f64 / 10.0;
            format!(
                r#"{{"n":"m{}","v":{value},"t":{}.{:03}}}"#,
                n % METRICS,
                at_ms / 1000,
                at_ms % 1000
            )
        };
        let records: Vec<String> = (self.next..self.next + readings).map(record).collect();
        self.next += readings;
        let began = Instant::now();
        device
            .publish("up", "fridge-1", &format!("[{}]", records.join(",")))
            .await?;
        self.took.push(began.elapsed());
        Ok(())
    }

    fn tell(&mut self, when: &str) {
        self.took.sort();
        let at = |share: usize| self.took[(self.took.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!(
            "acknowledgement {when}: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {}",
            at(50),
            at(99),
            at(100),
            self.took.len()
        );
        self.took.clear();
    }
}

fn start(port: u16, dir: &std::path::Path) -> anyhow::Result<Victoria> {
    let process = Command::new("victoria-metrics")
        .arg(format!("-storageDataPath={}", dir.display()))
        .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
        .args(["-retentionPeriod=100y", "-dedup.minScrapeInterval=1ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("victoria-metrics does not start; apt-get install victoria-metrics")?;
    Ok(Victoria(process))
}

async fn stored(app: &TestApp, readings: u64) -> anyhow::Result<()> {
    while app.json("/api/v1/stats").await?["readings_stored"].as_u64() < Some(readings) {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn forwarded(app: &TestApp) -> anyhow::Result<u64> {
    let answer = app.json("/api/v1/forwarding").await?;
    answer["forward"]["lines"]
        .as_u64()
        .context("nothing is forwarded")
}

/// How many readings the server has.
async fn counted(url: &str) -> anyhow::Result<u64> {
    reqwest::get(format!("{url}/internal/force_flush")).await?;
    let query = "/api/v1/query?query=sum(count_over_time(reading_value[60d]))&nocache=1";
    let answer: serde_json::Value =
        serde_json::from_str(&reqwest::get(format!("{url}{query}")).await?.text().await?)?;
    let count = answer["data"]["result"][0]["value"][1]
        .as_str()
        .context("no count")?;
    Ok(count.parse()?)
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
