//! Findings of other makers' boxes: over real MQTT, through the log, to a case and a finding to review.

use domain::{
    Camera, CameraKey, CameraSource, Check, CheckSetting, DeviceId, FacilityId, Room, Scope,
    camera::{Decoding, Retention},
};
use store::records::{FindingFilter, Review, Verdict};
use sunshine_integration_tests::{Device, FACILITY, TestApp, until};

/// A camera behind a box, judged there.
fn camera(id: &str, check: Check) -> anyhow::Result<Camera> {
    Ok(Camera {
        key: CameraKey {
            facility: FacilityId::new(FACILITY)?,
            camera: DeviceId::new(id)?,
        },
        room: Room::Kitchen,
        place_zh: "热菜间".into(),
        place_en: "Hot kitchen".into(),
        source: CameraSource::External,
        decoding: Decoding::default(),
        masks: Vec::new(),
        zones: Vec::new(),
        line: None,
        capacity: None,
        checks: vec![CheckSetting::of(check)],
        schedule: domain::Schedule::default(),
        gb_id: None,
        live: false,
        retention: Retention::default(),
        enabled: true,
    })
}

async fn findings(app: &TestApp) -> anyhow::Result<Vec<store::records::Finding>> {
    let filter = FindingFilter {
        limit: 10,
        ..FindingFilter::default()
    };
    Ok(app.records.findings(&Scope::everything(), &filter).await?)
}

/// A device that is added while the product runs may sign in within a second.
async fn signed_in(app: &TestApp, device: &str) -> anyhow::Result<Device> {
    app.add_device(device).await?;
    until("it may sign in", || async {
        Ok(Device::connect(app.addrs.mqtt, device).await.is_ok())
    })
    .await?;
    Device::connect(app.addrs.mqtt, device).await
}

async fn cases_of(app: &TestApp, rule: &str) -> anyhow::Result<Vec<serde_json::Value>> {
    let answer = app.json("/api/v1/cases").await?;
    let cases = answer["cases"].as_array().cloned().unwrap_or_default();
    Ok(cases.into_iter().filter(|case| case["rule"] == rule).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_frigate_sees_becomes_a_case_and_a_finding_to_review() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    app.records
        .put_camera(&camera("frigate-1.yard", Check::AnimalInKitchen)?, "test")
        .await?;
    let mut frigate = signed_in(&app, "frigate-1").await?;
    frigate.publish("available", "frigate-1", "online").await?;
    let seconds = domain::Clock::system().now().0 / 1_000;
    let message = |kind: &str, label: &str, end: &str| {
        format!(
            r#"{{"type":"{kind}","before":{{}},"after":{{"id":"{seconds}.1-abc","camera":"yard","label":"{label}",
               "top_score":0.91,"false_positive":false,"start_time":{seconds}.0,"end_time":{end},"current_zones":[]}}}}"#
        )
    };
    frigate
        .publish("events", "frigate-1", &message("new", "person", "null"))
        .await?;
    frigate
        .publish("events", "frigate-1", &message("new", "cat", "null"))
        .await?;
    // Delivered twice, as QoS 1 may: one finding, one case.
    frigate
        .publish("events", "frigate-1", &message("new", "cat", "null"))
        .await?;
    until("there is a case", || async {
        Ok(cases_of(&app, "V-08A").await?.len() == 1)
    })
    .await?;
    until("there is a finding", || async {
        Ok(findings(&app).await?.len() == 1)
    })
    .await?;
    let finding = findings(&app).await?.remove(0);
    assert_eq!(finding.camera.camera.as_str(), "frigate-1.yard");
    assert_eq!(
        (finding.said.check, finding.said.score),
        (Check::AnimalInKitchen, Some(0.91))
    );
    assert!(!finding.counts(), "nothing counts before somebody has looked");

    let end = message("end", "cat", &format!("{}.5", seconds + 1));
    frigate.publish("events", "frigate-1", &end).await?;
    until("the finding has ended", || async {
        Ok(findings(&app).await?[0].ended_at.is_some())
    })
    .await?;
    let review = Review {
        verdict: Verdict::Confirmed,
        by: "王芳".into(),
        comment: "邻居家的猫".into(),
    };
    let scope = Scope::everything();
    let reviewed = app
        .records
        .review_finding(&scope, finding.id, finding.version, review)
        .await?;
    assert!(reviewed.counts());
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_makes_no_sense_is_told_why_and_speaks_for_nobody_else() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    app.records
        .put_camera(&camera("box.hall", Check::NoMask)?, "test")
        .await?;
    let mut other = signed_in(&app, "box").await?;
    let now = domain::Clock::system().now().0;
    other
        .publish(
            "vision/hall",
            "box",
            r#"{"check":"no_mask","state":"begun","ts":1}"#,
        )
        .await?;
    let good = format!(r#"{{"check":"no_mask","state":"began","ts":{now},"score":0.9}}"#);
    other.publish("vision/hall", "box", &good).await?;
    until("the good one is there", || async {
        Ok(findings(&app).await?.len() == 1)
    })
    .await?;
    until("there is a case", || async {
        Ok(cases_of(&app, "V-02").await?.len() == 1)
    })
    .await?;
    let (_, page) = app.get(&format!("/devices/{FACILITY}/box?lang=en")).await?;
    assert!(
        page.contains("unknown variant"),
        "the page says what was wrong with the other"
    );
    app.finish().await
}
