//! Publish → case visible on an open page: starts a product in this process, opens its overview's live stream,
//! lets detectors report smoke and then buttons call for help one after the other, and measures until the stream
//! brings the new case.
//!
//! ```sh
//! cargo run --release -p sunshine-integration-tests --example case_latency
//! ```

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use sunshine_integration_tests::{Device, TestApp, point, until};

const DETECTORS: usize = 60;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    measure("smoke_alarm", "smoke_detector").await?;
    measure("sos", "sos_button").await
}

async fn measure(metric: &str, point_type: &str) -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let topic = format!("up/{metric}");
    let name = |n: usize| format!("{point_type}-{}", n + 100);
    let points: Vec<_> = (0..DETECTORS)
        .map(|n| point(&name(n), metric, point_type))
        .collect();
    app.records.put_points(&points).await?;
    for n in 0..DETECTORS {
        app.add_device(&name(n)).await?;
    }
    // The product has taken up the last device and its point once it can say what state it is in.
    until("the last device may sign in", || async {
        Ok(Device::connect(app.addrs.mqtt, &name(DETECTORS - 1))
            .await
            .is_ok())
    })
    .await?;

    let mut stream = reqwest::get(app.url("/live?page=overview&lang=en"))
        .await?
        .bytes_stream();
    let mut took = Vec::with_capacity(DETECTORS);
    let mut known = 0;
    for n in 0..DETECTORS {
        let mut device = Device::connect(app.addrs.mqtt, &name(n)).await?;
        device.publish(&topic, &name(n), "0").await?;
        let published = Instant::now();
        device.publish(&topic, &name(n), "1").await?;
        let mut heard = String::new();
        while !heard.contains("event: case") {
            let bytes = tokio::time::timeout(Duration::from_secs(10), stream.next())
                .await
                .context("no word of the case within 10 s")?
                .context("the stream ended")??;
            heard.push_str(&String::from_utf8_lossy(&bytes));
        }
        took.push(published.elapsed());
        known += 1;
    }
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!(
        "publish -> case on an open page, {metric}: {known} cases, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    app.finish().await
}
