//! Adding devices: one, a thousand, by code; what is said while nothing has come; calibrations.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use domain::{
    Batch, DeviceId, FacilityId, Scope,
    status::{Reject, RejectReason, Sighting},
};

use crate::{Answer, NOW, ask, get, post, two_kitchens};

async fn post_csv(router: &axum::Router, path: &str, csv: &str) -> Answer {
    let request = Request::post(path)
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "text/csv")
        .body(Body::from(csv.to_owned()))
        .unwrap();
    ask(router, request).await
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[tokio::test]
async fn one_device_is_added_with_its_secret_and_what_to_copy() {
    let (stage, router) = two_kitchens().await;
    let form = get(&router, "/onboard?lang=en").await;
    assert_eq!(form.status, StatusCode::OK);
    assert!(form.text.contains("Zigbee2MQTT gateway") && form.text.contains("binhe-01"));

    let sent = "facility=binhe-01&device=hub-1&profile=zigbee2mqtt&place_zh=&place_en=Kitchen&points=&root=";
    let added = post(&router, "/onboard?lang=en", sent).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.text);
    assert_eq!(added.header("cache-control"), "no-store");
    let facility = FacilityId::new("binhe-01").unwrap();
    let device = DeviceId::new("hub-1").unwrap();
    let identity = stage
        .state
        .records
        .device(&Scope::everything(), &facility, &device)
        .await
        .unwrap();
    let secret = added
        .text
        .split("id=\"secret\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    assert!(
        identity.secret.verify(secret.as_bytes()),
        "the secret that is shown opens the device"
    );
    for part in [
        "base_topic: sk/v1/binhe-01/hub-1",
        secret,
        "Waiting for the first message",
        "page=device",
    ] {
        assert!(added.text.contains(part), "{part} is missing");
    }
    // Never again.
    let page = get(&router, "/devices/binhe-01/hub-1?lang=en").await;
    assert!(!page.text.contains(secret) && page.text.contains("$SECRET"));

    let cases = [
        (sent.to_owned(), "There is such a device already"),
        (sent.replace("hub-1", "a%2Fb"), "Use letters, digits"),
        (
            sent.replace("zigbee2mqtt", "sparkplug-b").replace("hub-1", "e"),
            "needs a root",
        ),
        (
            sent.replace("binhe-01", "nowhere").replace("hub-1", "x"),
            "There is no such facility",
        ),
        (
            sent.replace("points=", "points=temperature")
                .replace("hub-1", "y"),
            "metric=point_type",
        ),
    ];
    for (form, word) in cases {
        let refused = post(&router, "/onboard?lang=en", &form).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{form}");
        assert!(refused.text.contains(word), "{form}: {word}");
    }
    let list = get(&router, "/devices?facility=binhe-01&lang=en").await;
    assert!(list.text.contains("hub-1"));
}

#[tokio::test]
async fn a_thousand_devices_come_with_an_error_for_each_wrong_row() {
    let (stage, router) = two_kitchens().await;
    let mut csv = "facility,device,profile,place_zh,place_en,points,root\n".to_owned();
    csv += "binhe-01,hub,zigbee2mqtt,网关,Gateway,,\n";
    for n in 0..997 {
        csv += &format!("binhe-01,probe-{n},fridge-probe,\"{n} 号柜, 左\",Fridge {n},,\n");
    }
    csv += "binhe-01,hub.smoke,,烟感,Smoke,smoke_alarm=smoke_detector,\n";
    csv += "binhe-01,edge,sparkplug-b,边缘,Edge,,spBv1.0/g/e\n";
    assert!(
        csv.len() > 50_000,
        "larger than an ordinary body may become: {}",
        csv.len()
    );
    let checked = post_csv(&router, "/api/v1/devices?check=yes", &csv).await.json();
    assert_eq!(checked["added"].as_array().unwrap().len(), 1_000);
    assert!(checked["added"][0]["secret"].is_null());
    let answer = post_csv(&router, "/api/v1/devices", &csv).await.json();
    assert_eq!(
        answer["added"].as_array().unwrap().len(),
        1_000,
        "{}",
        answer["errors"]
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 0);
    assert_eq!(answer["added"][0]["secret"].as_str().unwrap().len(), 64);
    assert!(
        answer["added"][998]["secret"].is_null(),
        "its gateway speaks for it"
    );
    let points = stage
        .state
        .records
        .points(&Scope::everything(), None)
        .await
        .unwrap();
    assert_eq!(
        points
            .iter()
            .filter(|p| p.device.as_str().starts_with("probe-"))
            .count(),
        997
    );
}

#[tokio::test]
async fn every_wrong_row_says_why() {
    let (_stage, router) = two_kitchens().await;
    let first =
        "facility,device,profile,root\nbinhe-01,hub,zigbee2mqtt,\nbinhe-01,edge,sparkplug-b,spBv1.0/g/e\n";
    assert_eq!(
        post_csv(&router, "/api/v1/devices", first).await.status,
        StatusCode::OK
    );
    let wrong = "Facility, device ,profile,root,report_interval_s\nbinhe-01,hub,,,\nnowhere,a,,,\nbinhe-01,a b,,,\n\
                 binhe-01,c,nosuch,,\nbinhe-01,d,sparkplug-b,spBv1.0/g/e,\nbinhe-01,e,,,0\nbinhe-01,f,,,\nbinhe-01,f,,,\n\
                 binhe-01,g,,\nbinhe-01,none.x,,,\nbinhe-01,\"h,,,\n";
    let page = post(
        &router,
        "/onboard/csv?lang=en",
        &format!("csv={}&do=add", encoded(wrong)),
    )
    .await;
    assert_eq!(page.status, StatusCode::OK);
    let words = [
        "1 devices were added, 10 rows are wrong",
        "There is such a device already",
        "There is no such facility",
        "Use letters, digits",
        "There is no such profile",
        "The root is another device",
        "1 to 86400 seconds",
        "stands in another row too",
        "The row has 4 cells",
        "needs points",
        "not closed",
    ];
    for word in words {
        assert!(page.text.contains(word), "{word}");
    }
    let refused = post_csv(&router, "/api/v1/devices", "a,b\n").await.json();
    assert_eq!(refused["errors"][0]["line"], 1);
    let huge = post_csv(&router, "/api/v1/devices", &"x".repeat(4 << 20)).await;
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    let large = post(&router, "/onboard", &"x".repeat(100_000)).await;
    assert_eq!(
        large.status,
        StatusCode::PAYLOAD_TOO_LARGE,
        "other forms stay small"
    );
}

#[tokio::test]
async fn a_code_is_exchanged_once() {
    let (stage, router) = two_kitchens().await;
    let page = post(&router, "/devices/binhe-01/fridge-1/claim?lang=en", "").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("<svg") && page.text.contains("http://localhost:8080/claim/"));
    let code = page
        .text
        .split("/claim/")
        .nth(1)
        .unwrap()
        .split(['<', '"'])
        .next()
        .unwrap()
        .to_owned();
    // Looking does not use it up.
    for _ in 0..2 {
        let look = get(&router, &format!("/claim/{code}?lang=en")).await;
        assert!(look.status == StatusCode::OK && look.text.contains("fridge-1"));
    }
    let used = post(&router, &format!("/claim/{}?lang=en", code.to_lowercase()), "").await;
    assert_eq!(used.status, StatusCode::OK);
    let secret = used
        .text
        .split("id=\"secret\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let (facility, device) = (
        FacilityId::new("binhe-01").unwrap(),
        DeviceId::new("fridge-1").unwrap(),
    );
    let identity = stage
        .state
        .records
        .device(&Scope::everything(), &facility, &device)
        .await
        .unwrap();
    assert!(identity.secret.verify(secret.as_bytes()));
    for path in [
        format!("/claim/{code}"),
        format!("/api/v1/claims/{code}"),
        "/claim/nonsense".to_owned(),
    ] {
        assert_eq!(
            post(&router, &path, "").await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(stage.state.records.verify_audit().await.unwrap(), None);
}

#[tokio::test]
async fn a_code_ends_with_a_newer_one_and_with_its_time() {
    let (stage, router) = two_kitchens().await;
    let (facility, device) = (
        FacilityId::new("binhe-01").unwrap(),
        DeviceId::new("fridge-1").unwrap(),
    );
    let first = stage
        .state
        .records
        .new_claim(&Scope::everything(), (&facility, &device), "test")
        .await
        .unwrap();
    let second = stage
        .state
        .records
        .new_claim(&Scope::everything(), (&facility, &device), "test")
        .await
        .unwrap();
    assert!(stage.state.records.claimed(&first.code).await.is_err());
    let answer = post(&router, &format!("/api/v1/claims/{}", second.code), "")
        .await
        .json();
    assert_eq!(answer["user"], "binhe-01/fridge-1");
    let third = stage
        .state
        .records
        .new_claim(&Scope::everything(), (&facility, &device), "test")
        .await
        .unwrap();
    stage.clock.set(third.expires_at);
    assert!(stage.state.records.claim(&third.code).await.is_err());
    let elsewhere = Scope::facilities([FacilityId::new("songbai-02").unwrap()]);
    assert!(
        stage
            .state
            .records
            .new_claim(&elsewhere, (&facility, &device), "test")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_page_says_whether_it_works_and_if_not_why() {
    let (stage, router) = two_kitchens().await;
    let sent = "facility=binhe-01&device=new&profile=standard&place_zh=&place_en=&points=temperature%3Dfridge_air&root=";
    post(&router, "/onboard", sent).await;
    let says = |page: Answer, tone: &str, word: &str| {
        assert!(
            page.text.contains(&format!("data-verdict=\"{tone}\"")),
            "{tone}: {word}"
        );
        assert!(page.text.contains(word), "{word}");
    };
    let path = "/devices/binhe-01/new?lang=en";
    says(get(&router, path).await, "calm", "Waiting for the first message");
    let (facility, device) = (
        FacilityId::new("binhe-01").unwrap(),
        DeviceId::new("new").unwrap(),
    );
    let heard = |readings, doubtful_times| Sighting {
        facility: facility.clone(),
        device: device.clone(),
        received: NOW,
        topic: "sk/v1/binhe-01/new/up".into(),
        payload: "{}".into(),
        messages: 1,
        readings,
        doubtful_times,
    };
    let batch = |sighting, reject: Option<RejectReason>| Batch {
        sightings: vec![sighting],
        rejects: reject
            .into_iter()
            .map(|reason| Reject {
                facility: facility.clone(),
                device: device.clone(),
                received: NOW,
                topic: "sk/v1/binhe-01/new/up".into(),
                reason,
                detail: "…".into(),
                excerpt: "nonsense".into(),
            })
            .collect(),
        ..Batch::default()
    };
    stage
        .state
        .devices
        .apply(&batch(heard(0, 0), Some(RejectReason::Syntax)));
    says(
        get(&router, path).await,
        "warn",
        "are not understood: Not parsable",
    );
    stage.state.devices.apply(&batch(heard(1, 1), None));
    says(get(&router, path).await, "warn", "its clock is wrong");
    stage.state.devices.apply(&batch(heard(3, 0), None));
    says(get(&router, path).await, "ok", "It works");
    says(
        get(&router, "/devices/binhe-01/new?lang=zh-CN").await,
        "ok",
        "工作正常",
    );
}

#[tokio::test]
async fn a_calibration_is_entered_on_the_devices_page() {
    let (_stage, router) = two_kitchens().await;
    let form = "metric=temperature&offset=-0.5&scale=1.01&due=2026-11-01&by=%E7%8E%8B%E8%8A%B3";
    let entered = post(&router, "/devices/binhe-01/fridge-1/calibrate", form).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text);
    let page = get(&router, "/devices/binhe-01/fridge-1?lang=en").await;
    for part in ["× 1.01 + -0.5", "王芳", "overdue since"] {
        assert!(page.text.contains(part), "{part}");
    }
    for (old, new) in [
        ("1.01", "0"),
        ("1.01", "x"),
        ("2026-11-01", "soon"),
        ("temperature", "a%2Fb"),
        ("by=%E7%8E%8B%E8%8A%B3", "by="),
    ] {
        let refused = post(
            &router,
            "/devices/binhe-01/fridge-1/calibrate",
            &form.replace(old, new),
        )
        .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{new}");
    }
    let profiles = get(&router, "/api/v1/profiles").await.json();
    let all = profiles["profiles"].as_array().unwrap();
    assert!(
        all.iter()
            .any(|p| p["profile"] == "sparkplug-b" && p["needs_root"] == true)
    );
}
