//! Signing in: who sees what, and what a role may.

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use domain::{FacilityId, Person, PersonId, Reach, Role};
use store::Records;

use crate::{NOW, ask, eyes, get, get_as, post, post_as, stage::Stage};

const PASSWORD: &str = "correct horse";

/// Puts somebody on record, whose account is the role's code.
pub(crate) async fn put(records: &Records, role: Role, reach: Reach) {
    let person = Person {
        id: PersonId::new(role.code()).unwrap(),
        name: format!("{} 同志", role.code()),
        role,
        reach,
        barred: false,
    };
    records.put_person(&person, "tester").await.unwrap();
    records
        .set_password(&person.id, PASSWORD, "tester")
        .await
        .unwrap();
}

/// Puts somebody of this role on record, who sees everything, and signs them in: their cookie.
pub(crate) async fn sign_in(router: &Router, records: &Records, role: Role) -> String {
    put(records, role, Reach::Everything).await;
    enter(router, role.code()).await
}

pub(crate) async fn enter(router: &Router, account: &str) -> String {
    let form = format!("account={account}&password=correct+horse&back=/cases");
    let answer = post(router, "/sign-in", &form).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, "/cases")
    );
    let set = answer.header("set-cookie");
    assert!(
        set.starts_with("session=") && set.contains("HttpOnly") && set.contains("SameSite"),
        "{set}"
    );
    set.split(';').next().unwrap().to_owned()
}

/// A district that is no demo.
async fn real(facilities: usize) -> (Stage, Router) {
    let mut stage = Stage::build(facilities, NOW).await;
    stage.state.site.demo = false;
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, router)
}

#[tokio::test]
async fn everybody_signs_in_as_soon_as_somebody_can() {
    let (stage, router) = real(1).await;
    assert_eq!(
        get(&router, "/cases").await.status,
        StatusCode::OK,
        "nobody could sign in"
    );
    let empty = get(&router, "/sign-in?lang=en").await.text;
    assert!(empty.contains("sunshine person add"), "how to add somebody");
    put(&stage.state.records, Role::Inspector, Reach::Everything).await;
    let led = get(&router, "/cases").await;
    assert_eq!(
        (led.status, led.header("location")),
        (StatusCode::SEE_OTHER, "/sign-in?back=/cases")
    );
    let refused = get(&router, "/api/v1/cases").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["type"], "urn:sunshine:problem:signed-out");
    assert_eq!(
        get(&router, "/live?page=overview").await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        get(&router, "/livez").await.status,
        StatusCode::OK,
        "a watchdog needs no account"
    );

    let wrong = post(
        &router,
        "/sign-in",
        "account=inspector&password=wrong+one&lang=en",
    )
    .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert!(
        wrong.text.contains("role=\"alert\"") && !wrong.text.contains("wrong one"),
        "said, not echoed"
    );
    let cookie = enter(&router, "inspector").await;
    let page = get_as(&router, "/cases?lang=en", &cookie).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("inspector 同志") && page.text.contains("action=\"/sign-out\""));
    let out = post_as(&router, "/sign-out", ("back=/", &cookie)).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert_eq!(
        get_as(&router, "/cases", &cookie).await.status,
        StatusCode::SEE_OTHER,
        "the session has ended"
    );
    stage.finish().await;
}

#[tokio::test]
async fn whoever_signs_in_sees_their_reach_and_nothing_else() {
    let (stage, router) = real(2).await;
    let own = FacilityId::new("binhe-01").unwrap();
    put(&stage.state.records, Role::Manager, Reach::Facilities(vec![own])).await;
    let cookie = enter(&router, "manager").await;
    let list = get_as(&router, "/api/v1/facilities", &cookie).await.json();
    let names: Vec<&str> = list["facilities"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|f| f["id"].as_str())
        .collect();
    assert_eq!(names, ["binhe-01"]);
    for (path, want) in [
        ("/facilities/binhe-01", StatusCode::OK),
        ("/facilities/songbai-02", StatusCode::NOT_FOUND),
        ("/api/v1/facilities/songbai-02", StatusCode::NOT_FOUND),
        ("/devices/songbai-02/fridge-1", StatusCode::NOT_FOUND),
        (
            "/api/v1/points/songbai-02/fridge-1/temperature/latest",
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(get_as(&router, path, &cookie).await.status, want, "{path}");
    }
    let overview = get_as(&router, "/?lang=en", &cookie).await.text;
    assert!(
        overview.contains("Binhe Care Home") && !overview.contains("Songbai"),
        "the overview too"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_role_may_what_its_work_needs() {
    let (mut stage, _) = real(1).await;
    stage.state.sight = Arc::new(eyes::Eyes::default()).sight();
    let records = stage.state.records.clone();
    let camera = eyes::camera("binhe-01", "cam-1", ("灶台", "Stove"));
    records.put_camera(&camera, "tester").await.unwrap();
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    let body = serde_json::json!({ "camera": camera }).to_string();
    let attach = async |cookie: &str| {
        let request = axum::http::Request::put("/api/v1/cameras/binhe-01/cam-1")
            .header("host", "localhost:8080")
            .header("origin", "http://localhost:8080")
            .header("content-type", "application/json")
            .header("cookie", cookie)
            .body(body.clone().into())
            .unwrap();
        ask(&router, request).await
    };
    let inspector = sign_in(&router, &records, Role::Inspector).await;
    let integrator = sign_in(&router, &records, Role::Integrator).await;
    let refused = attach(&inspector).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["type"], "urn:sunshine:problem:not-allowed");
    let taken = attach(&integrator).await;
    assert_eq!(taken.status, StatusCode::OK, "{}", taken.text);
    let trail = records.audit_trail(20).await.unwrap();
    let last = trail
        .iter()
        .find(|line| line.action.starts_with("camera."))
        .unwrap();
    assert_eq!(last.actor, "integrator 同志", "under the signed-in name");
    let review = post_as(
        &router,
        "/findings/1/review",
        ("verdict=confirmed&version=1", &integrator),
    )
    .await;
    assert_eq!(review.status, StatusCode::FORBIDDEN);
    stage.finish().await;
}

#[tokio::test]
async fn a_demo_is_open_and_its_people_sign_in_with_one_press() {
    let mut stage = Stage::build(1, NOW).await;
    put(&stage.state.records, Role::Inspector, Reach::Everything).await;
    stage.state.demo_people = Arc::from([(PersonId::new("inspector").unwrap(), PASSWORD.to_owned())]);
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    assert_eq!(get(&router, "/cases").await.status, StatusCode::OK);
    let page = get(&router, "/sign-in?back=//evil.example&lang=en").await.text;
    assert!(page.contains("Sign in as") && page.contains("inspector 同志") && !page.contains("evil.example"));
    enter(&router, "inspector").await;
    stage.finish().await;
}
