//! Profiles: the list, an operator's own, and who may change them.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use domain::{FacilityId, Reach, Role};

use crate::{ask, get, get_as, post, post_as, signing, two_kitchens};

const COOLER: &str = "profile = \"cooler\"\ntitle_zh = \"冷柜\"\ntitle_en = \"Cooler\"\ncodec = \"json\"\nsource = \"s\"\n\
                      report_interval_s = 60\n";

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

fn form(text: &str, version: u32, action: &str) -> String {
    format!(
        "text={}&version={version}&topic=up&payload=1&why=tenths&by=Chen&do={action}",
        encoded(text)
    )
}

#[tokio::test]
async fn a_profile_is_copied_and_tried_and_what_is_wrong_is_named() {
    let (stage, router) = two_kitchens().await;
    let list = get(&router, "/profiles?lang=en").await;
    assert_eq!(list.status, StatusCode::OK);
    for fact in [
        "zigbee2mqtt",
        "sparkplug-b",
        "built in",
        "Multiplies what is sent",
    ] {
        assert!(list.text.contains(fact), "{fact} is missing");
    }
    let copy = get(&router, "/profiles/new?from=tasmota&lang=en").await;
    assert!(
        copy.text.contains("my-tasmota") && copy.text.contains("ENERGY.Power"),
        "{}",
        copy.text
    );

    let tried = post(&router, "/profiles?lang=en", &form(COOLER, 0, "try")).await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    assert!(
        tried.text.contains("cooler up"),
        "what the trial said is shown: {}",
        tried.text
    );
    let wrong = post(
        &router,
        "/profiles?lang=zh-CN",
        &form(&COOLER.replace("60", "0"), 0, "save"),
    )
    .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let text = wrong.text.replace(['\u{2068}', '\u{2069}'], "");
    for fact in ["第 6 行", "report_interval_s", "1 到 86400 秒"] {
        assert!(text.contains(fact), "{fact} is missing: {text}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_profile_is_kept_and_changed_by_version() {
    let (stage, router) = two_kitchens().await;
    let kept = post(&router, "/profiles", &form(COOLER, 0, "save")).await;
    assert_eq!(
        (kept.status, kept.header("location")),
        (StatusCode::SEE_OTHER, "/profiles/cooler"),
        "{}",
        kept.text
    );
    let stale = post(&router, "/profiles", &form(COOLER, 0, "save")).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let changed = post(
        &router,
        "/profiles",
        &form(&COOLER.replace("60", "90"), 1, "save"),
    )
    .await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    let page = get(&router, "/profiles/cooler?lang=en")
        .await
        .text
        .replace(['\u{2068}', '\u{2069}'], "");
    for fact in ["version 2", "Chen", "tenths", "holds in a moment"] {
        assert!(page.contains(fact), "{fact} is missing: {page}");
    }
    let codec = post(
        &router,
        "/profiles?lang=en",
        &form(&COOLER.replace("json", "tasmota"), 2, "save"),
    )
    .await;
    assert!(codec.status == StatusCode::BAD_REQUEST && codec.text.contains("keeps its codec"));
    for name in ["tasmota", "standard", "new"] {
        let taken = post(
            &router,
            "/profiles?lang=en",
            &form(&COOLER.replace("cooler", name), 0, "save"),
        )
        .await;
        assert_eq!(taken.status, StatusCode::BAD_REQUEST, "{name}");
    }
    // It can be chosen for a device at once, by its name.
    let device = "facility=binhe-01&device=c-1&profile=cooler&place_en=C&points=temperature%3Dfridge_air";
    let added = post(&router, "/onboard", device).await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.text);
    let page = get(&router, "/profiles/cooler").await.text;
    assert!(page.contains("binhe-01/c-1"), "its devices are named");
    let trail = stage.state.records.audit_trail(100).await.unwrap();
    assert_eq!(
        trail.iter().filter(|line| line.action == "profile.put").count(),
        2
    );
    stage.finish().await;
}

#[tokio::test]
async fn only_who_configures_everything_changes_profiles() {
    let (stage, router) = two_kitchens().await;
    let records = &stage.state.records;
    let inspector = signing::sign_in(&router, records, Role::Inspector).await;
    let integrator = signing::sign_in(&router, records, Role::Integrator).await;
    let own = Reach::Facilities([FacilityId::new("binhe-01").unwrap()].into());
    signing::put(records, Role::Manager, own).await;
    let manager = signing::enter(&router, Role::Manager.code()).await;
    for (cookie, allowed) in [(&inspector, false), (&manager, false), (&integrator, true)] {
        assert_eq!(get_as(&router, "/profiles", cookie).await.status, StatusCode::OK);
        let answer = post_as(&router, "/profiles", (&form(COOLER, 0, "save"), cookie)).await;
        assert_eq!(
            answer.status == StatusCode::SEE_OTHER,
            allowed,
            "{}",
            answer.status
        );
        let editor = get_as(&router, "/profiles/new", cookie).await;
        assert_eq!(editor.status == StatusCode::OK, allowed);
    }
    let request = Request::put("/api/v1/profiles/cooler")
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .header("cookie", inspector)
        .body(Body::from(
            serde_json::json!({"text": COOLER, "version": 1, "why": "x"}).to_string(),
        ))
        .unwrap();
    assert_eq!(ask(&router, request).await.status, StatusCode::FORBIDDEN);
    stage.finish().await;
}
