//! HTTP intake under load, with signatures, and with mistakes that a device's page explains: a real client, real HTTP.

use domain::{Clock, DeviceId, FacilityId, Scope};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::Vault;
use sunshine_integration_tests::{FACILITY, SECRET, TestApp, point, until};

async fn becomes(app: &TestApp, device: &str, value: f64) -> anyhow::Result<()> {
    until(&format!("{device} says {value}"), || async {
        Ok(app.latest(device, "temperature").await? == Some(value))
    })
    .await
}

/// Pushes with the secret: status, `Retry-After`, words.
async fn push(app: &TestApp, path: &str, body: &str) -> anyhow::Result<(u16, Option<String>, String)> {
    let answer = reqwest::Client::new()
        .post(app.intake(path))
        .header("Authorization", format!("Token {FACILITY}/aep:{SECRET}"))
        .body(body.to_owned())
        .send()
        .await?;
    let again = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
    Ok((
        answer.status().as_u16(),
        again.map(str::to_owned),
        answer.text().await?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_often_is_told_when_to_come_again() -> anyhow::Result<()> {
    let app = TestApp::start_with("[intake]\nlisten = \"127.0.0.1:0\"\nrequests_per_second = 1\n").await?;
    app.add_device_of("aep", "json", None).await?;
    let mut refused = None;
    for n in 0..50 {
        let answer = push(
            &app,
            "/api/v1/push",
            &format!("{{\"values\":{{\"temperature\":{n}}}}}"),
        )
        .await?;
        if answer.0 != 204 {
            refused = Some(answer);
            break;
        }
    }
    let Some((status, again, words)) = refused else {
        anyhow::bail!("50 requests were taken at a pace of one a second");
    };
    assert_eq!((status, again.as_deref()), (429, Some("1")), "{words}");
    assert!(words.contains("too many requests"), "{words}");
    let stats = app.json("/api/v1/stats").await?;
    assert!(
        stats["refusals"]["too_fast"].as_u64() >= Some(1),
        "it is counted: {stats}"
    );
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_a_platform_is_said_on_the_devices_page() -> anyhow::Result<()> {
    let app = TestApp::start_with("[intake]\nlisten = \"127.0.0.1:0\"\n").await?;
    app.records
        .put_points(&[point("aep", "temperature", "fridge_air")])
        .await?;
    app.add_device_of("aep", "json", None).await?;
    let page_says = |what: &'static str| {
        let app = &app;
        async move {
            until(what, || async {
                Ok(app.get("/devices/binhe/aep?lang=en").await?.1.contains(what))
            })
            .await
        }
    };
    let wrong = reqwest::Client::new()
        .post(app.intake("/api/v1/push"))
        .basic_auth(format!("{FACILITY}/aep"), Some("wrong"))
        .body("{}")
        .send()
        .await?;
    assert_eq!(wrong.status().as_u16(), 401);
    page_says("Wrong name or secret").await?;
    assert_eq!(push(&app, "/api/v1/puhs", "{}").await?.0, 404);
    page_says("over HTTP: /api/v1/puhs").await?;
    assert_eq!(push(&app, "/api/v1/push", "<xml>4.1</xml>").await?.0, 400);
    page_says("&#60;xml&#62;4.1&#60;/xml&#62;").await?;
    let signed = Signed::new(&app, "aep").await?;
    let off = signed
        .push(
            &app,
            Clock::system().now().0 / 1000 - 301,
            r#"{"values":{"temperature":4}}"#,
        )
        .await?;
    assert!(off.0 == 401 && off.1.contains("set the sender"), "{off:?}");
    page_says("clock is wrong").await?;
    assert_eq!(
        push(&app, "/api/v1/push", r#"{"values":{"temperature":"warm"}}"#)
            .await?
            .0,
        204
    );
    page_says("warm").await?;
    assert_eq!(
        push(&app, "/api/v1/push", r#"{"values":{"temperature":4.5}}"#)
            .await?
            .0,
        204
    );
    becomes(&app, "aep", 4.5).await?;
    page_says("It works").await?;
    app.finish().await
}

/// A platform that signs.
struct Signed {
    device: String,
    key: String,
}

impl Signed {
    async fn new(app: &TestApp, device: &str) -> anyhow::Result<Signed> {
        let of = (FacilityId::new(FACILITY)?, DeviceId::new(device)?);
        let identity = app.records.device(&Scope::everything(), &of.0, &of.1).await?;
        Ok(Signed {
            device: format!("{FACILITY}/{device}"),
            key: Vault::open(app.data_dir())?.signing_key(&identity),
        })
    }

    async fn push(&self, app: &TestApp, at_s: i64, body: &str) -> anyhow::Result<(u16, String)> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes())?;
        mac.update(format!("{at_s}./api/v1/push.{body}").as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        let answer = reqwest::Client::new()
            .post(app.intake("/api/v1/push"))
            .header("X-Sunshine-Device", &self.device)
            .header("X-Sunshine-Timestamp", at_s)
            .header("X-Sunshine-Signature", format!("v1={signature}"))
            .body(body.to_owned())
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_push_is_taken_once_however_often_it_comes() -> anyhow::Result<()> {
    let app = TestApp::start_with("[intake]\nlisten = \"127.0.0.1:0\"\n").await?;
    app.records
        .put_points(&[point("aep", "temperature", "fridge_air")])
        .await?;
    app.add_device_of("aep", "json", None).await?;
    let signed = Signed::new(&app, "aep").await?;
    let now = Clock::system().now().0 / 1000;
    let first = r#"{"values":{"temperature":4}}"#;
    assert_eq!(signed.push(&app, now, first).await?.0, 204);
    becomes(&app, "aep", 4.0).await?;
    assert_eq!(
        signed
            .push(&app, now + 1, r#"{"values":{"temperature":5}}"#)
            .await?
            .0,
        204
    );
    becomes(&app, "aep", 5.0).await?;
    // Heard on the way and sent again: the answer is the same, and nothing is stored.
    assert_eq!(signed.push(&app, now, first).await?.0, 204);
    assert_eq!(
        signed
            .push(&app, now + 2, r#"{"values":{"temperature":6}}"#)
            .await?
            .0,
        204
    );
    becomes(&app, "aep", 6.0).await?;
    let device = app.json("/api/v1/devices?facility=binhe").await?;
    let devices = device["devices"].as_array().cloned().unwrap_or_default();
    let aep = devices.iter().find(|d| d["device"] == "aep");
    assert_eq!(
        aep.map(|d| d["messages"].as_u64()),
        Some(Some(3)),
        "three came, not four"
    );

    let stranger = Signed {
        key: "0".repeat(64),
        device: signed.device.clone(),
    };
    assert_eq!(stranger.push(&app, now, first).await?.0, 401);
    let nobody = Signed {
        device: "binhe/nobody".to_owned(),
        key: signed.key.clone(),
    };
    assert_eq!(nobody.push(&app, now, first).await?.0, 401);
    let half = reqwest::Client::new()
        .post(app.intake("/api/v1/push"))
        .header("X-Sunshine-Signature", "v1=00")
        .body("{}")
        .send()
        .await?;
    assert_eq!(half.status().as_u16(), 401);
    assert!(half.text().await?.contains("X-Sunshine-Timestamp"));
    app.finish().await
}
