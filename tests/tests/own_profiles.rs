//! An operator's own profile, end to end: written over the API, taken up without a restart, and never applied to what
//! was received before it.

use sunshine_integration_tests::{TestApp, point, until};

fn cooler(scale: &str) -> String {
    format!(
        "profile = \"cooler\"\ntitle_zh = \"冷柜\"\ntitle_en = \"Cooler\"\ncodec = \"json\"\nsource = \"the manual\"\n\
         report_interval_s = 60\n\n[[field]]\nfield = \"t1\"\nmetric = \"temperature\"\nunit = \"degC\"\nscale = {scale}\n\
         range = [-40, 60]\n"
    )
}

async fn put(app: &TestApp, path: &str, body: serde_json::Value) -> anyhow::Result<(u16, serde_json::Value)> {
    let method = if path.ends_with("/try") {
        reqwest::Method::POST
    } else {
        reqwest::Method::PUT
    };
    let answer = reqwest::Client::new()
        .request(method, app.url(path))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/json")
        .body(body.to_string())
        .send()
        .await?;
    Ok((
        answer.status().as_u16(),
        serde_json::from_str(&answer.text().await?)?,
    ))
}

/// Keeps a version, and waits until the log has it.
async fn keep(app: &TestApp, version: u32, scale: &str) -> anyhow::Result<()> {
    let body = serde_json::json!({"text": cooler(scale), "version": version, "by": "陈伟", "why": "tenths"});
    let (status, kept) = put(app, "/api/v1/profiles/cooler", body).await?;
    anyhow::ensure!(status == 200, "{kept}");
    until("the log has it", || async {
        let shown = app.json("/api/v1/profiles/cooler").await?;
        let newest = &shown["versions"][0];
        Ok(newest["version"] == version + 1 && newest["holds_since"].is_string())
    })
    .await
}

async fn becomes(app: &TestApp, value: f64) -> anyhow::Result<()> {
    until(&format!("the cooler says {value}"), || async {
        let latest = app.latest("cooler-1", "temperature").await?;
        Ok(latest.is_some_and(|v| (v - value).abs() < 1e-9))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_ones_own_is_tried_kept_and_holds_from_then_on() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    app.records
        .put_points(&[point("cooler-1", "temperature", "fridge_air")])
        .await?;

    let sample =
        serde_json::json!({"text": cooler("0.1"), "topic": "up", "payload": "{\"values\":{\"t1\":43}}"});
    let (status, tried) = put(&app, "/api/v1/profiles/try", sample).await?;
    assert_eq!(status, 200, "{tried}");
    let value = tried["readings"][0]["value"].as_f64();
    assert!(value.is_some_and(|v| (v - 4.3).abs() < 1e-9), "{tried}");
    let broken = serde_json::json!({"text": cooler("0"), "topic": "up", "payload": "{}"});
    let (status, refused) = put(&app, "/api/v1/profiles/try", broken).await?;
    assert_eq!(
        (status, &refused["line"], &refused["key"]),
        (400, &12.into(), &"scale".into()),
        "{refused}"
    );

    keep(&app, 0, "1").await?;
    let mut device = app.add_device_of("cooler-1", "cooler", None).await?;
    device
        .publish("up", "cooler-1", r#"{"ts":1795000000000,"values":{"t1":41}}"#)
        .await?;
    becomes(&app, 41.0).await?;
    keep(&app, 1, "0.1").await?;
    device
        .publish("up", "cooler-1", r#"{"ts":1795000060000,"values":{"t1":43}}"#)
        .await?;
    becomes(&app, 4.3).await?;

    // Read again from the log or from disk, the first message still says what it said.
    drop(device);
    let app = app.restart().await?;
    becomes(&app, 4.3).await?;
    let window =
        "/api/v1/points/binhe/cooler-1/temperature/window?from=1794999999000&to=1795000120000&buckets=2";
    let window = app.json(window).await?;
    let values: Vec<_> = window["buckets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|b| b["last"].as_f64())
        .collect();
    assert_eq!(values.first(), Some(&Some(41.0)), "{window}");
    let mut device = app.add_device_of("cooler-1", "cooler", None).await?;
    device
        .publish("up", "cooler-1", r#"{"ts":1795000120000,"values":{"t1":44}}"#)
        .await?;
    becomes(&app, 4.4).await?;
    app.finish().await
}
