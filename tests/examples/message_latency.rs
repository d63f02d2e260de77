//! Breach → webhook received, while a steady stream of other readings comes in: starts a product in this process, publishes
//! readings in the background, lets detectors report smoke one after the other, and measures from the publish until the
//! webhook's other side has the notice.
//!
//! ```sh
//! cargo run --release -p sunshine-integration-tests --example message_latency -- --rate 5000
//! ```

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use sunshine_integration_tests::{Device, TestApp, messages::TO_THIS_MACHINE, point, sink::Sink, until};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Connections of the background: one may publish 2,000 times a second.
const CONNECTIONS: u64 = 4;
/// How often each of them writes, per second.
const BURSTS_PER_SECOND: u64 = 50;

#[derive(Debug, Clone, Copy, Parser)]
#[command(about = "Measure breach-to-webhook time under a steady load")]
struct Options {
    /// Readings per second of the background, 0 to 6,000.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(0..=6_000))]
    rate: u64,
    /// Alarms, 1 to 1,000, one after the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    alarms: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let sink = Sink::start().await?;
    let app = TestApp::start_with(TO_THIS_MACHINE).await?;
    app.add_webhook(&format!("http://{}/hook", sink.address)).await?;
    let name = |n: u64| format!("smoke-{}", n + 1_000);
    let points: Vec<_> = (0..options.alarms)
        .map(|n| point(&name(n), "smoke_alarm", "smoke_detector"))
        .collect();
    app.records.put_points(&points).await?;
    for n in 0..options.alarms {
        app.add_device(&name(n)).await?;
    }
    until("the last device may sign in", || async {
        Ok(Device::connect(app.addrs.mqtt, &name(options.alarms - 1))
            .await
            .is_ok())
    })
    .await?;

    let stop = CancellationToken::new();
    let mut background = JoinSet::new();
    for number in 0..CONNECTIONS {
        background.spawn(publish(app.addrs.mqtt, number, options.rate, stop.clone()));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut took = Vec::new();
    for n in 0..options.alarms {
        let mut device = Device::connect(app.addrs.mqtt, &name(n)).await?;
        let published = Instant::now();
        device.publish("up/smoke_alarm", &name(n), "1").await?;
        let arrival = loop {
            let all = sink.arrivals();
            let found = all
                .into_iter()
                .find(|a| a.body.contains("case.opened") && a.body.contains(&name(n)));
            if let Some(arrival) = found {
                break arrival;
            }
            anyhow::ensure!(
                published.elapsed() < Duration::from_secs(10),
                "no notice within 10 s"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        took.push(arrival.at.duration_since(published));
    }
    stop.cancel();
    let mut sent = 0;
    while let Some(done) = background.join_next().await {
        sent += done.context("the background panicked")??;
    }
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0;
    println!(
        "breach -> webhook: {} alarms over {sent} background readings at {}/s: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        took.len(),
        options.rate,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    app.finish().await
}

/// Publishes a share of the background; answers with how many readings that were.
async fn publish(
    mqtt: std::net::SocketAddr,
    number: u64,
    rate: u64,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    let mut options = rumqttc::MqttOptions::new(format!("load-{number}"), mqtt.ip().to_string(), mqtt.port());
    options.set_inflight(1_000);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 1_000);
    let burst = rate / CONNECTIONS / BURSTS_PER_SECOND;
    let mut every = interval(Duration::from_millis(1_000 / BURSTS_PER_SECOND));
    every.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let topic = "sk/v1/binhe/fridge-1/up/temperature".to_owned();
    let mut sent = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(sent),
            event = events.poll() => drop(event.context("the background's connection broke")?),
            _ = every.tick() => for _ in 0..burst {
                let payload = format!("{:.1}", 3.0 + (sent % 20) as f64 / 10.0);
                // A full window drops this one: the rate is what the product acknowledges.
                sent += u64::from(client.try_publish(&topic, rumqttc::QoS::AtLeastOnce, false, payload).is_ok());
            },
        }
    }
}
