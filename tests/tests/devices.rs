//! Devices of other makes, end to end: a real MQTT client or a real HTTP client on one side, the stored value, the
//! case or the page on the other.

use std::io::Write as _;

use domain::{Clock, DeviceId, FacilityId, Metric, Scope, SeriesKey, UtcMillis};
use flate2::{Compression, write::GzEncoder};
use sunshine_integration_tests::{
    FACILITY, SECRET, TestApp, point,
    sparkplug::{Payload, sparkplug},
    until,
};

const INTAKE: &str = "[intake]\nlisten = \"127.0.0.1:0\"\n";

/// Waits until a device's metric has this value.
async fn becomes(app: &TestApp, device: &str, metric: &str, value: f64) -> anyhow::Result<()> {
    until(&format!("{device}/{metric} is {value}"), || async {
        Ok(app
            .latest(device, metric)
            .await?
            .is_some_and(|v| (v - value).abs() < 1e-9))
    })
    .await
}

/// Registers what stands behind a gateway, so that its values can be asked for by name.
async fn register(app: &TestApp, points: &[(&str, &str, &str)]) -> anyhow::Result<()> {
    let points: Vec<_> = points.iter().map(|(d, m, t)| point(d, m, t)).collect();
    Ok(app.records.put_points(&points).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn json_speakers_are_read_as_their_makers_write() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let points = [
        ("zigbee.fridge", "temperature", "fridge_air"),
        ("zigbee.door", "door_open", "cold_room"),
        ("tasmota", "temperature", "fridge_air"),
        ("shelly", "temperature", "fridge_air"),
        ("lora.0101010101010101", "temperature", "fridge_air"),
    ];
    register(&app, &points).await?;

    let mut zigbee = app.add_device_of("zigbee", "zigbee2mqtt", None).await?;
    // Zigbee2MQTT asks for its whole base topic, and ends when it is refused.
    anyhow::ensure!(
        zigbee.subscribe("sk/v1/binhe/zigbee/#").await?,
        "it hears its own root"
    );
    anyhow::ensure!(!zigbee.subscribe("sk/v1/binhe/+/set").await?, "and no other");
    zigbee
        .publish("bridge/state", "zigbee", r#"{"state":"online"}"#)
        .await?;
    zigbee
        .publish(
            "fridge",
            "zigbee",
            r#"{"temperature":4.25,"battery":90,"linkquality":80}"#,
        )
        .await?;
    zigbee.publish("door", "zigbee", r#"{"contact":false}"#).await?;
    becomes(&app, "zigbee.fridge", "temperature", 4.25).await?;
    becomes(&app, "zigbee.door", "door_open", 1.0).await?;

    let mut tasmota = app.add_device_of("tasmota", "tasmota", None).await?;
    let sensor =
        r#"{"Time":"2026-11-18T19:06:40","DS18B20":{"Id":"0316","Temperature":41.0},"TempUnit":"F"}"#;
    tasmota.publish("tele/SENSOR", "tasmota", sensor).await?;
    becomes(&app, "tasmota", "temperature", 5.0).await?;
    anyhow::ensure!(
        tasmota.subscribe("sk/v1/binhe/tasmota/cmd/#").await?,
        "it hears its commands"
    );

    let mut shelly = app.add_device_of("shelly", "shelly", None).await?;
    let status = r#"{"src":"x","dst":"y","method":"NotifyFullStatus","params":{"ts":null,"temperature:0":{"id":0,"tC":6.5}}}"#;
    shelly.publish("events/rpc", "shelly", status).await?;
    becomes(&app, "shelly", "temperature", 6.5).await?;

    let mut lora = app.add_device_of("lora", "chirpstack", None).await?;
    let up = r#"{"deviceInfo":{"devEui":"0101010101010101"},"fCnt":1,"object":{"temperature":-18.5},"rxInfo":[{"rssi":-90}]}"#;
    lora.publish("application/1/device/0101010101010101/event/up", "lora", up)
        .await?;
    becomes(&app, "lora.0101010101010101", "temperature", -18.5).await?;

    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_cannot_be_moved_is_one_devices_alone() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    register(&app, &[("old-shelly", "temperature", "fridge_air")]).await?;
    let mut old = app
        .add_device_of("old-shelly", "shelly-gen1", Some("shellies/shellyht-1"))
        .await?;
    old.publish_to("shellies/shellyht-1/sensor/temperature", b"7.5")
        .await?;
    becomes(&app, "old-shelly", "temperature", 7.5).await?;
    // Another's root is refused, and the page of the device says so.
    let mut spy = app
        .add_device_of("spy", "shelly-gen1", Some("shellies/other"))
        .await?;
    spy.publish_to("shellies/shellyht-1/sensor/temperature", b"1")
        .await
        .ok();
    until("it was refused", || async {
        Ok(app
            .get("/devices/binhe/spy?lang=en")
            .await?
            .1
            .contains("shellies/shellyht-1/sensor"))
    })
    .await?;
    assert_eq!(app.latest("old-shelly", "temperature").await?, Some(7.5));
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cbor_and_line_protocol_come_by_mqtt() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    register(
        &app,
        &[
            ("cbor", "temperature", "fridge_air"),
            ("tele.fridge", "temperature", "fridge_air"),
        ],
    )
    .await?;
    let mut cbor = app.add_device_of("cbor", "senml-cbor", None).await?;
    // [{n: "temperature", u: "Cel", v: 21.5}] with a decimal fraction.
    let payload = b"\x81\xa3\x00\x6btemperature\x01\x63Cel\x02\xc4\x82\x20\x18\xd7";
    cbor.publish_to("sk/v1/binhe/cbor/up", payload).await?;
    becomes(&app, "cbor", "temperature", 21.5).await?;
    cbor.publish_to("sk/v1/binhe/cbor/up", b"\x81").await?;
    until("the reject is shown", || async {
        Ok(app
            .get("/devices/binhe/cbor?lang=en")
            .await?
            .1
            .contains("SenML in CBOR"))
    })
    .await?;

    let mut tele = app.add_device_of("tele", "line-protocol", None).await?;
    let now = Clock::system().now().0;
    let line = format!("temperature,device=fridge,host=edge value=4.75 {now}000000");
    tele.publish("up", "tele", &line).await?;
    becomes(&app, "tele.fridge", "temperature", 4.75).await?;
    app.finish().await
}

/// What Telegraf's `influxdb_v2` output sends: POST, `Authorization: Token …`, `Content-Type: text/plain;
/// charset=utf-8`, `Content-Encoding: gzip`, `User-Agent: Telegraf/…`, `bucket` and `org` in the query, lines that end
/// with a line feed and have nanoseconds (docs.influxdata.com, Telegraf `plugins/outputs/influxdb_v2`).
async fn telegraf(app: &TestApp, token: &str, lines: &str) -> anyhow::Result<(u16, String)> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(lines.as_bytes())?;
    let answer = reqwest::Client::new()
        .post(app.intake("/api/v2/write?bucket=sunshine&org=sunshine"))
        .header("Authorization", format!("Token {token}"))
        .header("Content-Type", "text/plain; charset=utf-8")
        .header("Content-Encoding", "gzip")
        .header("User-Agent", "Telegraf/1.36.0 Go/1.25.0")
        .body(packed.finish()?)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn telegraf_writes_as_it_would_to_influxdb() -> anyhow::Result<()> {
    let app = TestApp::start_with(INTAKE).await?;
    register(
        &app,
        &[
            ("edge.fridge", "temperature", "fridge_air"),
            ("edge", "cpu.cpu-total.usage_idle", "host"),
        ],
    )
    .await?;
    app.add_device_of("edge", "line-protocol", None).await?;
    let token = format!("{FACILITY}/edge:{SECRET}");
    let now = Clock::system().now().0;
    let lines = format!(
        "cpu,cpu=cpu-total,host=edge usage_idle=87.5,usage_user=2 {now}000000\n\
         temperature,device=fridge,host=edge value=3.25 {now}000000\n"
    );
    assert_eq!(telegraf(&app, &token, &lines).await?, (204, String::new()));
    becomes(&app, "edge.fridge", "temperature", 3.25).await?;
    becomes(&app, "edge", "cpu.cpu-total.usage_idle", 87.5).await?;

    // A large batch is cut into records that ingest takes; the last line counts as the first.
    let many: String = (0..6_000)
        .map(|n| format!("temperature,device=fridge value={n} {}000000\n", now + 1 + n))
        .collect();
    assert_eq!(telegraf(&app, &token, &many).await?.0, 204);
    becomes(&app, "edge.fridge", "temperature", 5_999.0).await?;

    let refused = [
        (format!("{FACILITY}/edge:wrong"), "m f=1", 401, "wrong secret"),
        ("edge".to_owned(), "m f=1", 401, "wrong secret"),
        (token.clone(), "m f=", 400, "line 1"),
        (token.clone(), "", 400, "no value"),
    ];
    for (token, lines, status, word) in refused {
        let (got, text) = telegraf(&app, &token, lines).await?;
        assert_eq!(got, status, "{lines}: {text}");
        assert!(text.contains(word) && text.contains("\"code\""), "{text}");
    }
    until("the device's page says why", || async {
        Ok(app
            .get("/devices/binhe/edge?lang=en")
            .await?
            .1
            .contains("over HTTP"))
    })
    .await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_pushes_for_its_smoke_detectors() -> anyhow::Result<()> {
    let app = TestApp::start_with(INTAKE).await?;
    register(&app, &[("aep.869951042000001", "smoke_alarm", "smoke_detector")]).await?;
    app.add_device_of("aep", "nbiot-smoke", None).await?;
    let client = reqwest::Client::new();
    let push = |body: String| {
        let request = client
            .post(app.intake("/api/v1/push"))
            .basic_auth(format!("{FACILITY}/aep"), Some(SECRET))
            .header("Content-Type", "application/json")
            .body(body);
        async move { anyhow::Ok(request.send().await?.status().as_u16()) }
    };
    let now = Clock::system().now().0;
    let alarm =
        format!(r#"{{"imei":"869951042000001","ts":{now},"values":{{"smoke_state":1,"battery":98}}}}"#);
    assert_eq!(push(alarm).await?, 204);
    becomes(&app, "aep.869951042000001", "smoke_alarm", 1.0).await?;
    until("there is a case", || async {
        let cases = app.json("/api/v1/cases").await?;
        let cases = cases["cases"].as_array().cloned().unwrap_or_default();
        Ok(cases
            .iter()
            .any(|case| case["device"] == "aep.869951042000001" && case["severity"] == "P0"))
    })
    .await?;
    assert_eq!(push("{".into()).await?, 400);
    assert_eq!(push(format!("\"{}\"", "x".repeat(300_000))).await?, 413);
    assert_eq!(push("x".repeat(1_100_000)).await?, 413);
    let nobody = client.post(app.intake("/api/v1/push")).body("{}").send().await?;
    assert_eq!(nobody.status().as_u16(), 401);
    assert!(nobody.headers().contains_key("www-authenticate"));
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_node_is_asked_for_what_was_missed_and_outlives_a_restart() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    register(&app, &[("edge", "temperature", "fridge_air")]).await?;
    let mut edge = app
        .add_device_of("edge", "sparkplug-b", Some("spBv1.0/plant/e1"))
        .await?;
    assert!(
        edge.subscribe("spBv1.0/plant/NCMD/e1/#").await?,
        "it hears its commands"
    );
    assert!(!edge.subscribe("spBv1.0/plant/#").await?, "and nobody else's");
    edge.publish_to("spBv1.0/plant/NBIRTH/e1", &sparkplug(0, Some("temperature"), 4.0))
        .await?;
    edge.publish_to("spBv1.0/plant/NDATA/e1", &sparkplug(1, None, 5.0))
        .await?;
    becomes(&app, "edge", "temperature", 5.0).await?;
    // A number is missed: what the next message means is not certain, and the edge node is asked.
    edge.publish_to("spBv1.0/plant/NDATA/e1", &sparkplug(3, None, 9.0))
        .await?;
    let (topic, asked) = edge.delivered().await?;
    assert_eq!(topic, "spBv1.0/plant/NCMD/e1");
    let asked: Payload = prost::Message::decode(asked.as_slice())?;
    assert_eq!(asked.metrics[0].name.as_deref(), Some("Node Control/Rebirth"));
    assert_eq!(app.latest("edge", "temperature").await?, Some(5.0));
    edge.publish_to("spBv1.0/plant/NBIRTH/e1", &sparkplug(0, Some("temperature"), 6.0))
        .await?;
    becomes(&app, "edge", "temperature", 6.0).await?;
    drop(edge);
    // After a restart the birth lies before the checkpoint: its numbers still mean what they meant.
    let app = app.restart().await?;
    let mut edge = sunshine_integration_tests::Device::connect(app.addrs.mqtt, "edge").await?;
    edge.publish_to("spBv1.0/plant/NDATA/e1", &sparkplug(1, None, 7.0))
        .await?;
    becomes(&app, "edge", "temperature", 7.0).await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calibration_corrects_what_comes_after_it() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut fridge = sunshine_integration_tests::Device::connect(app.addrs.mqtt, "fridge-1").await?;
    fridge.publish("up/temperature", "fridge-1", "5").await?;
    becomes(&app, "fridge-1", "temperature", 5.0).await?;
    let calibration = domain::Calibration {
        key: SeriesKey {
            facility: FacilityId::new(FACILITY)?,
            device: DeviceId::new("fridge-1")?,
            metric: Metric::new("temperature")?,
        },
        scale: 1.0,
        offset: -0.5,
        due: Some(UtcMillis(1)),
        since: Clock::system().now(),
        by: "王芳".into(),
    };
    app.records
        .put_calibration(&Scope::everything(), &calibration)
        .await?;
    until("it is in force", || async {
        let mut fridge = sunshine_integration_tests::Device::connect(app.addrs.mqtt, "fridge-1").await?;
        fridge.publish("up/temperature", "fridge-1", "6").await?;
        Ok(app.latest("fridge-1", "temperature").await? == Some(5.5))
    })
    .await?;
    let nonsense = domain::Calibration {
        scale: 0.0,
        ..calibration
    };
    assert!(
        app.records
            .put_calibration(&Scope::everything(), &nonsense)
            .await
            .is_err()
    );
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_own_profile_is_read_from_its_folder() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let own = "profile = \"cooler\"\ntitle_zh = \"冷柜\"\ntitle_en = \"Cooler\"\ncodec = \"json\"\nsource = \"its manual\"\n\
               report_interval_s = 60\n[[field]]\nfield = \"s.t\"\nmetric = \"temperature\"\nunit = \"degC\"\nscale = 0.1\n\
               range = [-40.0, 60.0]\n";
    std::fs::write(dir.path().join("cooler.toml"), own)?;
    let app = TestApp::start_with(&format!("[ingest]\nprofiles_dir = {:?}\n", dir.path())).await?;
    register(&app, &[("cool-1", "temperature", "fridge_air")]).await?;
    let mut cooler = app.add_device_of("cool-1", "cooler", None).await?;
    cooler.publish("up", "cool-1", r#"{"s":{"t":45}}"#).await?;
    becomes(&app, "cool-1", "temperature", 4.5).await?;
    cooler.publish("up", "cool-1", r#"{"s":{"t":9990}}"#).await?;
    until("the sensor's defect is shown", || async {
        Ok(app
            .get("/devices/binhe/cool-1?lang=en")
            .await?
            .1
            .contains("Out of range"))
    })
    .await?;
    app.finish().await?;
    std::fs::write(dir.path().join("cooler.toml"), own.replace("scale", "scales"))?;
    let refused = TestApp::start_with(&format!("[ingest]\nprofiles_dir = {:?}\n", dir.path()))
        .await
        .err();
    let refused = format!("{:#}", refused.expect("an unknown key is refused"));
    assert!(refused.contains("cooler.toml, line 11"), "{refused}");
    Ok(())
}

/// Sends a form as our own page would.
async fn send_form(app: &TestApp, path: &str, form: &[(&str, &str)]) -> anyhow::Result<(u16, String)> {
    let body = form
        .iter()
        .map(|(name, value)| {
            let value: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
            format!("{name}={value}")
        })
        .collect::<Vec<_>>()
        .join("&");
    let answer = reqwest::Client::new()
        .post(app.url(path))
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// A client of one MQTT sign-in, with a secret of its own.
async fn sign_in(app: &TestApp, device: &str, secret: &str) -> anyhow::Result<rumqttc::AsyncClient> {
    let mqtt = app.addrs.mqtt;
    let mut options = rumqttc::MqttOptions::new(format!("own-{device}"), mqtt.ip().to_string(), mqtt.port());
    options.set_credentials(format!("{FACILITY}/{device}"), secret);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 8);
    tokio::time::timeout(sunshine_integration_tests::PATIENCE, events.poll()).await??;
    // The connection lives as long as somebody polls it.
    drop(sunshine_integration_tests::owned(async move {
        while events.poll().await.is_ok() {}
    }));
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_added_turns_green_or_says_why_not() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let form = [
        ("facility", FACILITY),
        ("device", "new-1"),
        ("profile", "fridge-probe"),
        ("place_zh", "新柜"),
    ];
    let (status, page) = send_form(&app, "/onboard?lang=en", &form).await?;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Waiting for the first message"));
    let secret = page
        .split("id=\"secret\">")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    let secret = secret.expect("the secret is shown").to_owned();
    let path = "/devices/binhe/new-1?lang=en";
    let says = |word: &'static str| {
        let app = &app;
        until(
            word,
            move || async move { Ok(app.get(path).await?.1.contains(word)) },
        )
    };

    until("the wrong secret is refused", || async {
        Ok(sign_in(&app, "new-1", "wrong").await.is_err())
    })
    .await?;
    says("Wrong name or secret").await?;
    says("Check user name and secret").await?;

    // The page's own stream tells it at once when the first message comes.
    let mut stream = reqwest::get(app.url("/live?page=device&facility=binhe&device=new-1&lang=en")).await?;
    until("it may sign in", || async {
        Ok(sign_in(&app, "new-1", &secret).await.is_ok())
    })
    .await?;
    let client = sign_in(&app, "new-1", &secret).await?;
    let qos = rumqttc::QoS::AtLeastOnce;
    client
        .publish("sk/v1/binhe/new-1/up", qos, false, "{nonsense")
        .await?;
    says("are not understood: Not parsable").await?;
    says("{nonsense").await?;
    client
        .publish("sk/v1/binhe/new-1/up/temperature", qos, false, "4.5")
        .await?;
    says("It works").await?;
    let mut told = String::new();
    while !told.contains("It works") {
        let part = tokio::time::timeout(sunshine_integration_tests::PATIENCE, stream.chunk()).await??;
        told += &String::from_utf8_lossy(&part.expect("the stream goes on"));
    }
    becomes(&app, "new-1", "temperature", 4.5).await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pressed_button_is_on_the_overview() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let form = [
        ("facility", FACILITY),
        ("device", "sos-9"),
        ("profile", "sos-button"),
        ("place_zh", "东走廊"),
        ("place_en", "East corridor"),
    ];
    assert_eq!(send_form(&app, "/onboard", &form).await?.0, 200);
    let points = app.records.points(&Scope::everything(), None).await?;
    let point = points
        .iter()
        .find(|p| p.device.as_str() == "sos-9")
        .expect("its point came with its profile");
    assert_eq!(
        (point.point_type.as_str(), point.report_interval_s),
        ("sos_button", 3_600)
    );
    let mut stream = reqwest::get(app.url("/live?page=overview&lang=en")).await?;
    // The form gave it a secret of its own; the test's takes its place.
    let mut button = app.add_device_of("sos-9", "sos-button", None).await?;
    button.publish("up/sos", "sos-9", "true").await?;
    let mut told = String::new();
    while !told.contains("East corridor") {
        let part = tokio::time::timeout(sunshine_integration_tests::PATIENCE, stream.chunk()).await??;
        told += &String::from_utf8_lossy(&part.expect("the stream goes on"));
    }
    let (_, overview) = app.get("/?lang=en").await?;
    assert!(overview.contains("SOS call"), "and it stays there");
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_district_speaks_in_several_makes() -> anyhow::Result<()> {
    let app = TestApp::start_district(1).await?;
    let facility = simulator::district(7, 1).facilities[0].id.clone();
    for (device, metric) in [
        ("fridge-1", "temperature"),
        ("fridge-2", "temperature"),
        ("smoke-1", "smoke_alarm"),
        ("sos-1", "sos"),
    ] {
        let path = format!("/api/v1/points/{facility}/{device}/{metric}/latest");
        until(&format!("{device} is heard"), || async {
            Ok(app.get(&path).await?.0 == 200)
        })
        .await?;
    }
    // The past came as pushed JSON, and nothing of either was rejected.
    let devices = app.json("/api/v1/devices").await?;
    for device in devices["devices"].as_array().into_iter().flatten() {
        let foreign = matches!(device["device"].as_str(), Some("fridge-2" | "smoke-1"));
        assert!(
            !foreign || device["reject_counts"].as_array().is_some_and(Vec::is_empty),
            "{device}"
        );
        assert!(!foreign || device["readings"].as_u64() > Some(100), "{device}");
    }
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_heard_behind_a_gateway_is_offered_for_registration() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let mut hub = app.add_device_of("hub", "zigbee2mqtt", None).await?;
    hub.publish("cupboard", "hub", r#"{"temperature":4.5,"battery":90}"#)
        .await?;
    until("it is offered", || async {
        let page = app.get("/devices/binhe/hub?lang=en").await?.1;
        Ok(page.contains("hub.cupboard") && page.contains("4.5") && page.contains(">Register<"))
    })
    .await?;
    let prefilled =
        "/onboard?facility=binhe&device=hub.cupboard&points=battery%3Drecorded%3Btemperature%3Drecorded";
    let page = app.get("/devices/binhe/hub?lang=en").await?.1;
    assert!(page.replace("&#38;", "&").contains(prefilled), "{page}");
    let form = app.get(&format!("{prefilled}&lang=en")).await?.1;
    assert!(
        form.contains("value=\"battery=recorded;temperature=recorded\""),
        "{form}"
    );
    let sent = [
        ("facility", FACILITY),
        ("device", "hub.cupboard"),
        ("profile", ""),
        ("place_en", "Cupboard"),
        ("points", "temperature=fridge_air;battery=recorded"),
    ];
    assert_eq!(send_form(&app, "/onboard?lang=en", &sent).await?.0, 200);
    until("it is registered", || async {
        let page = app.get("/devices/binhe/hub?lang=en").await?.1;
        Ok(page.contains(">registered<") && !page.contains(">Register<"))
    })
    .await?;
    becomes(&app, "hub.cupboard", "temperature", 4.5).await?;
    let list = app.get("/devices?lang=en").await?.1;
    assert!(list.contains("hub.cupboard"), "the list has it too");
    app.finish().await
}
