//! The simplest fast way from mosquitto to InfluxDB 1.x, for comparison: subscribe, decode, write in batches,
//! and acknowledge only what the database has taken.
//!
//! It knows one payload form, keeps no state, judges nothing and survives nothing: it is a lower bound for
//! what such a pair costs.

#[path = "shared/http.rs"]
mod http;

use std::{fmt::Write, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use domain::{DeviceTopic, Leaf};
use http::{Http, split_url};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use serde::Deserialize;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// The most readings in one write, and the longest the first of them waits.
const BATCH_READINGS: usize = 5_000;
const BATCH_WAIT: Duration = Duration::from_millis(20);
/// Both queues hold more than MQTT allows in flight. With less, reading waits for the writer while the
/// writer's acknowledgements wait for reading.
const QUEUE: usize = 70_000;

#[derive(Debug, Clone, Parser)]
#[command(about = "Write readings from an MQTT broker to InfluxDB 1.x")]
struct Options {
    /// The broker, without sign-in.
    #[arg(long, default_value = "127.0.0.1:1883")]
    broker: std::net::SocketAddr,
    /// What to subscribe to.
    #[arg(long, default_value = "sk/v1/+/+/up/+")]
    filter: String,
    /// InfluxDB, as `http://host:port`.
    #[arg(long, default_value = "http://127.0.0.1:8086")]
    influx: String,
    /// The database, which must exist.
    #[arg(long, default_value = "load")]
    database: String,
}

/// The one form of payload it knows.
#[derive(Debug, Deserialize)]
struct Value {
    ts: i64,
    v: f64,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> anyhow::Result<()> {
    let mut mqtt = MqttOptions::new("bridge", options.broker.ip().to_string(), options.broker.port());
    mqtt.set_clean_session(false)
        .set_manual_acks(true)
        .set_keep_alive(Duration::from_secs(60));
    let (client, events) = AsyncClient::new(mqtt, QUEUE);
    client.subscribe(&options.filter, QoS::AtLeastOnce).await?;
    let (to_writer, publishes) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(read(events, to_writer));
    tasks.spawn(write(client, publishes, options));
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn read(mut events: EventLoop, to_writer: mpsc::Sender<Publish>) -> anyhow::Result<()> {
    loop {
        match events.poll().await? {
            Event::Incoming(Packet::Publish(publish)) => {
                to_writer.send(publish).await.context("the writer has ended")?;
            }
            Event::Incoming(Packet::SubAck(_)) => println!("subscribed"),
            _ => {}
        }
    }
}

async fn write(
    client: AsyncClient,
    mut publishes: mpsc::Receiver<Publish>,
    options: Options,
) -> anyhow::Result<()> {
    let (authority, _) = split_url(&options.influx)?;
    let mut http = Http::new(authority);
    let path = format!("/write?db={}&precision=ms", options.database);
    let mut batch = Vec::with_capacity(BATCH_READINGS);
    let mut lines = String::new();
    while let Some(first) = publishes.recv().await {
        let deadline = Instant::now() + BATCH_WAIT;
        batch.push(first);
        while batch.len() < BATCH_READINGS {
            match timeout_at(deadline, publishes.recv_many(&mut batch, BATCH_READINGS)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        lines.clear();
        for publish in &batch {
            line(&mut lines, publish)?;
        }
        let (status, body) = http.send("POST", &path, lines.as_bytes()).await?;
        if status != 204 {
            bail!(
                "InfluxDB answers {status}: {:.200}",
                String::from_utf8_lossy(&body)
            );
        }
        for publish in batch.drain(..) {
            client.ack(&publish).await?;
        }
    }
    Ok(())
}

/// One reading in line protocol. Identifiers of the product hold nothing that needs escaping.
fn line(into: &mut String, publish: &Publish) -> anyhow::Result<()> {
    let topic = DeviceTopic::parse(&publish.topic).context("a topic outside the product's tree")?;
    let Leaf::UpMetric(metric) = topic.leaf else {
        bail!("a topic that carries no single value");
    };
    let value: Value = serde_json::from_slice(&publish.payload)?;
    writeln!(
        into,
        "{metric},facility={},device={} v={} {}",
        topic.facility, topic.device, value.v, value.ts
    )?;
    Ok(())
}
