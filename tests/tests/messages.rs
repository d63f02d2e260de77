//! From a reading to a message: over MQTT in, over a signed webhook and a topic of our own out, through outages and restarts.

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use sunshine_integration_tests::{
    Device, TestApp,
    messages::{TO_THIS_MACHINE, WEBHOOK_SECRET},
    sink::{Arrival, Sink},
    until,
};

fn is_signed(arrival: &Arrival) -> anyhow::Result<bool> {
    let key = WEBHOOK_SECRET.strip_prefix("whsec_").context("a constant")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(key)?)?;
    let (id, stamp) = (arrival.header("webhook-id"), arrival.header("webhook-timestamp"));
    mac.update(format!("{id}.{stamp}.{}", arrival.body).as_bytes());
    let want = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    Ok(arrival.header("webhook-signature") == want)
}

fn opened(sink: &Sink) -> Vec<Value> {
    let bodies = sink
        .arrivals()
        .into_iter()
        .filter_map(|a| serde_json::from_str::<Value>(&a.body).ok());
    bodies.filter(|event| event["type"] == "case.opened").collect()
}

async fn arrived(sink: &Sink, device: &'static str) -> anyhow::Result<()> {
    until("the webhook is told of the case", || async {
        Ok(opened(sink).iter().any(|event| event["data"]["device"] == device))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_reaches_a_webhook_with_a_valid_signature_and_a_link_that_opens() -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    let app = TestApp::start_with(TO_THIS_MACHINE).await?;
    app.add_webhook(&format!("http://{}/hook", sink.address)).await?;
    let mut detector = Device::connect(app.addrs.mqtt, "smoke-1").await?;
    detector.publish("up/smoke_alarm", "smoke-1", "1").await?;
    arrived(&sink, "smoke-1").await?;
    let arrivals = sink.arrivals();
    assert!(is_signed(&arrivals[0])?, "{:?}", arrivals[0].headers);
    let event = opened(&sink).remove(0);
    assert_eq!(event["data"]["severity"], "P0");
    let link = event["data"]["link"]
        .as_str()
        .context("it has a link")?
        .to_owned();
    assert_eq!(reqwest::get(&link).await?.status().as_u16(), 200, "{link}");
    until("the page says that it was taken", || async {
        Ok(app
            .get("/messages?lang=en&state=sent")
            .await?
            .1
            .contains("Taken by the channel"))
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_a_restart_lose_no_alarm_and_repeat_none_that_arrived() -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    let app = TestApp::start_with(TO_THIS_MACHINE).await?;
    app.add_webhook(&format!("http://{}/hook", sink.address)).await?;
    let mut detector = Device::connect(app.addrs.mqtt, "smoke-1").await?;
    detector.publish("up/smoke_alarm", "smoke-1", "1").await?;
    arrived(&sink, "smoke-1").await?;
    sink.answer(503);
    let mut gas = Device::connect(app.addrs.mqtt, "gas-1").await?;
    gas.publish("up/combustible_gas", "gas-1", "60").await?;
    until("the gas alarm was tried", || async {
        Ok(opened(&sink)
            .iter()
            .any(|event| event["data"]["device"] == "gas-1"))
    })
    .await?;
    let tried = sink.arrivals().len();
    sink.answer(200);
    let app = app.restart().await?;
    let names = || -> Vec<String> {
        let all = sink.arrivals();
        all.iter().map(|a| a.header("webhook-id").to_owned()).collect()
    };
    let first_gas = names()[tried - 1].clone();
    until(
        "the gas alarm arrives after the restart, under the same key",
        || async { Ok(names().iter().filter(|name| **name == first_gas).count() >= 2) },
    )
    .await?;
    let smoke = names()
        .iter()
        .filter(|name| name.starts_with("c1-v1-opened"))
        .count();
    assert_eq!(smoke, 1, "what had arrived is not told again");
    assert!(sink.arrivals().iter().all(|a| is_signed(a).unwrap_or(false)));
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_channel_everything_works_and_the_page_says_what_nobody_heard() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut detector = Device::connect(app.addrs.mqtt, "smoke-1").await?;
    detector.publish("up/smoke_alarm", "smoke-1", "1").await?;
    until("the page shows it", || async {
        let (_, page) = app.get("/messages?lang=en").await?;
        Ok(page.contains("Nobody to hear") && page.contains("No channel is set up yet"))
    })
    .await?;
    app.finish().await
}
