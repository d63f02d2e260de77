//! Simulated devices of other makes: each speaks as its firmware does, and is read by its profile.

use domain::{Clock, Identity, SecretHash};
use simulator::{Scenario, Simulator, district};
use sunshine_integration_tests::{SECRET, TestApp, owned, until};
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn one_device_of_each_make_is_heard_and_says_goodbye() -> anyhow::Result<()> {
    let app = TestApp::start_with("[intake]\nlisten = \"127.0.0.1:0\"\n").await?;
    let mut made = district(3, 2);
    made.devices.clear();
    made.cameras.clear();
    made.stoves.clear();
    for region in &made.regions {
        app.records.put_region(region).await?;
    }
    let (mut secrets, mut identities) = (std::collections::HashMap::new(), Vec::new());
    for facility in &made.facilities {
        app.records.put_facility(facility).await?;
    }
    for make in &made.makes {
        app.records.put_points(&make.points).await?;
        let hash = SecretHash::of(SECRET.as_bytes(), [7; 16]);
        let identity = Identity::of_device(make.facility(), make.device(), make.profile, hash)?;
        secrets.insert(identity.name.clone(), SECRET.to_owned());
        identities.push(identity.below(make.root.clone()));
    }
    app.records.put_identities(&identities).await?;
    let scenario = Scenario {
        history_from: None,
        report_every: std::time::Duration::from_millis(100),
        ..Scenario::new(3, Clock::system().now())
    };
    let points: Vec<_> = made.makes.iter().flat_map(|make| make.points.clone()).collect();
    let simulator = Simulator::new(scenario, made, app.addrs.mqtt, secrets, Clock::system());
    let stop = CancellationToken::new();
    let simulated = owned(simulator.with_intake(app.addrs.intake).run(stop.clone()));
    for point in &points {
        let path = format!(
            "/api/v1/points/{}/{}/{}/latest",
            point.facility, point.device, point.metric
        );
        until(&path, || async { Ok(app.get(&path).await?.0 == 200) }).await?;
    }
    let devices = app.json("/api/v1/devices").await?;
    for device in devices["devices"].as_array().into_iter().flatten() {
        assert_eq!(device["reject_counts"], serde_json::json!([]), "{device}");
    }
    // What a gateway is for are the readings behind it: its own page says that it works.
    let gateway = points.iter().find(|p| p.device.as_str().starts_with("zigbee."));
    let path = gateway
        .map(|p| format!("/devices/{}/zigbee?lang=en", p.facility))
        .unwrap_or_default();
    until("its page says so", || async {
        Ok(app.get(&path).await?.1.contains("It works"))
    })
    .await?;
    stop.cancel();
    simulated.await??;
    // Each said goodbye in its own words: a node's death, a gateway's last state.
    for device in ["zigbee", "tasmota-1", "plc"] {
        until(&format!("{device} is gone"), || async {
            let devices = app.json("/api/v1/devices").await?;
            let devices = devices["devices"].as_array().cloned().unwrap_or_default();
            let found = devices.iter().find(|d| d["device"] == device);
            Ok(found.is_some_and(|d| d["online"] == false))
        })
        .await?;
    }
    app.finish().await
}
