//! The path of a reading, with the clients that integrators use: published over TCP, durable, decoded,
//! stored, seen through the API and on the device's page.

use std::process::Command;

use anyhow::Context;
use integration_tests::{Device, FACILITY, SECRET, TestApp, until};

extern crate sunshine_integration_tests as integration_tests;

/// Whether a tool that a newcomer may lack is here; says so when it is not.
fn present(tool: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {tool}")])
        .output();
    let present = found.is_ok_and(|out| out.status.success());
    if !present {
        eprintln!("skipped: {tool} is not installed here (.ci/run installs it)");
    }
    present
}

async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    let output = tokio::process::Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output()
        .await;
    output.with_context(|| format!("cannot run {program}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_is_queryable_and_its_device_is_seen() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device
        .publish("up/temperature", "fridge-1", r#"{"v":4.25}"#)
        .await?;
    until("the value is there", || async {
        Ok(app.latest("fridge-1", "temperature").await? == Some(4.25))
    })
    .await?;
    let (_, page) = app.get(&format!("/devices/{FACILITY}/fridge-1?lang=en")).await?;
    assert!(
        page.contains("up/temperature") && page.contains("4.25"),
        "the last payload is on the page"
    );
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn units_are_converted_and_every_codec_is_understood() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut freezer = Device::connect(app.addrs.mqtt, "freezer-1").await?;
    freezer.publish("up/temperature", "freezer-1", "-4").await?;
    let mut fridge = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    let senml = r#"[{"n":"temperature","u":"Cel","v":3.5},{"n":"humidity","u":"%RH","v":61}]"#;
    fridge.publish("up", "fridge-1", senml).await?;
    let mut door = Device::connect(app.addrs.mqtt, "door-1").await?;
    door.publish("up", "door-1", r#"{"values":{"door_open":true,"battery":88}}"#)
        .await?;
    let expected = [
        ("freezer-1", "temperature", -20.0),
        ("fridge-1", "temperature", 3.5),
        ("fridge-1", "humidity", 61.0),
        ("door-1", "door_open", 1.0),
        ("door-1", "battery", 88.0),
    ];
    for (device, metric, want) in expected {
        until(&format!("{device}/{metric} is {want}"), || async {
            Ok(app
                .latest(device, metric)
                .await?
                .is_some_and(|got| (got - want).abs() < 1e-9))
        })
        .await?;
    }
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_makes_no_sense_is_shown_with_its_reason() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device
        .publish("up/temperature", "fridge-1", "<b>warm</b>")
        .await?;
    until("the reject is counted", || async {
        Ok(app.json("/api/v1/stats").await?["rejects"]
            .to_string()
            .contains("\"syntax\":1"))
    })
    .await?;
    let (_, page) = app.get(&format!("/devices/{FACILITY}/fridge-1?lang=en")).await?;
    assert!(
        page.contains("&#60;b&#62;warm") || page.contains("&lt;b&gt;warm"),
        "a bounded, escaped excerpt"
    );
    assert!(!page.contains("<b>warm"), "never as markup");
    device.publish("up/temperature", "fridge-1", "5.5").await?;
    until("the next value counts", || async {
        Ok(app.latest("fridge-1", "temperature").await? == Some(5.5))
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_clients_publish_and_subscribe() -> anyhow::Result<()> {
    if !present("mosquitto_pub") {
        return Ok(());
    }
    let app = TestApp::start().await?;
    let (host, port) = (app.addrs.mqtt.ip().to_string(), app.addrs.mqtt.port().to_string());
    for (version, value) in [("mqttv311", "6.5"), ("mqttv5", "7.5")] {
        let user = format!("{FACILITY}/fridge-1");
        let topic = format!("sk/v1/{FACILITY}/fridge-1/up/temperature");
        let arguments = [
            "-h", &host, "-p", &port, "-V", version, "-u", &user, "-P", SECRET, "-q", "1", "-t", &topic,
            "-m", value,
        ];
        let output = run("mosquitto_pub", &arguments).await?;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        until("the value is there", || async {
            Ok(app.latest("fridge-1", "temperature").await? == value.parse().ok())
        })
        .await?;
    }
    let arguments = [
        "-h",
        &host,
        "-p",
        &port,
        "-u",
        "binhe/fridge-1",
        "-P",
        "wrong",
        "-t",
        "x",
        "-m",
        "1",
    ];
    let refused = run("mosquitto_pub", &arguments).await?;
    assert!(!refused.status.success(), "a wrong secret is refused");
    let (_, page) = app.get(&format!("/devices/{FACILITY}/fridge-1?lang=en")).await?;
    assert!(page.contains("secret"), "the device's page says why");
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_paho_publishes() -> anyhow::Result<()> {
    let probe = run("python3", &["-c", "import paho.mqtt.client"]).await;
    if !probe.is_ok_and(|out| out.status.success()) {
        eprintln!("skipped: Python's paho-mqtt is not installed here (.ci/run installs it)");
        return Ok(());
    }
    let app = TestApp::start().await?;
    let script = format!(
        "import paho.mqtt.publish as p\np.single('sk/v1/{FACILITY}/gas-1/up/combustible_gas', '0.75', qos=2, \
         hostname='{}', port={}, auth={{'username': '{FACILITY}/gas-1', 'password': '{SECRET}'}})",
        app.addrs.mqtt.ip(),
        app.addrs.mqtt.port()
    );
    let output = run("python3", &["-c", &script]).await?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    until("the value is there", || async {
        Ok(app.latest("gas-1", "combustible_gas").await? == Some(0.75))
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_cut_off_within_a_second() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device.publish("up/temperature", "fridge-1", "4").await?;
    let name = domain::IdentityName::new(&format!("{FACILITY}/fridge-1"))?;
    app.records.revoke_identity(&name, "test").await?;
    let asked = std::time::Instant::now();
    device.closed().await?;
    // Generous beside the promised second: the machine may be busy with other tests.
    assert!(asked.elapsed().as_secs() < 5, "it took {:?}", asked.elapsed());
    assert!(
        Device::connect(app.addrs.mqtt, "fridge-1").await.is_err(),
        "it may not come back"
    );
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_and_a_device_added_while_running_may_sign_in() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    for n in 0..50 {
        let payload = format!(r#"{{"ts":{},"v":{n}}}"#, 1_790_000_000_000_i64 + n * 1000);
        device.publish("up/temperature", "fridge-1", &payload).await?;
    }
    let app = app.restart().await?;
    until("every value is there", || async {
        let path = format!(
            "/api/v1/points/{FACILITY}/fridge-1/temperature/window?from=1790000000000&to=1790000050000&buckets=50"
        );
        Ok(app.json(&path).await?["buckets"].as_array().map(Vec::len) == Some(50))
    })
    .await?;
    app.add_device("new-1").await?;
    until("it may sign in", || async {
        Ok(Device::connect(app.addrs.mqtt, "new-1").await.is_ok())
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_time_is_over_is_cut_off_and_may_not_return() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    let mut identities = app.records.devices(&domain::Scope::everything(), None).await?;
    identities.retain(|identity| identity.name.as_str() == "binhe/fridge-1");
    // The same secret, but only for another moment. A changed identity signs in anew.
    identities[0].expires_at = Some(domain::Clock::system().now() + 3000);
    app.records.put_identities(&identities).await?;
    device.closed().await?;
    let mut device = Device::connect(app.addrs.mqtt, "fridge-1").await?;
    device.publish("up/temperature", "fridge-1", "4").await?;
    device.closed().await?;
    until("it may not come back", || async {
        Ok(Device::connect(app.addrs.mqtt, "fridge-1").await.is_err())
    })
    .await?;
    app.finish().await
}
