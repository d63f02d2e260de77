//! What people see and change of the rules.

use axum::http::StatusCode;
use domain::{Scope, TimeRange, UtcMillis};

use crate::{NOW, get, post, two_kitchens};

#[tokio::test]
async fn a_rule_is_shown_with_its_authority_and_tried_on_the_history() {
    let (stage, router) = two_kitchens().await;
    let page = get(&router, "/rules/CN-TMP-01?lang=en").await;
    assert_eq!(page.status, StatusCode::OK);
    for fact in [
        "Fridge too warm",
        "chilled storage 0–8 °C",
        "2018",
        "quoted in another source",
    ] {
        assert!(page.text.contains(fact), "{fact} is missing");
    }
    // Two fridges... one of them was heard, at 4.25 °C for a minute: below 3 °C it would have been a case.
    let tried = get(&router, "/rules/CN-TMP-01?limit=3&hold=20&days=2&lang=en").await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    let text = tried.text.replace(['\u{2068}', '\u{2069}'], "");
    assert!(text.contains("0 cases as it is, 1 as it would be"), "{text}");
    assert!(text.contains("2026-11-21"), "the day, by the local clock");
    // With 6 s of its own for the way back, and with what no number can be.
    let tried = get(
        &router,
        "/rules/CN-TMP-01?clear_limit=3&facility=binhe-01&lang=en",
    )
    .await;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    assert!(tried.text.contains("name=\"clear_limit\""), "{}", tried.text);
    for bad in ["clear_limit=9", "clear_limit=x", "clear_hold_s=0.5"] {
        let refused = get(&router, &format!("/rules/CN-TMP-01?{bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let unknown = get(&router, "/rules/CN-XX-99").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    for bad in [
        "limit=warm",
        "days=0",
        "days=101",
        "hold=-1",
        "limit=3&hold=99999999",
    ] {
        let refused = get(&router, &format!("/rules/CN-TMP-01?{bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let clocks = get(&router, "/rules/SYS-05?limit=10").await;
    assert_eq!(clocks.status, StatusCode::BAD_REQUEST);
    stage.finish().await;
}

#[tokio::test]
async fn a_facility_gets_its_own_numbers_and_gives_them_back() {
    let (stage, router) = two_kitchens().await;
    let form = |limit: &str, more: &str| {
        format!("facility=binhe-01&limit={limit}&hold=&reason=desserts&by=Li{more}")
    };
    let path = "/rules/CN-TMP-01/override";
    let set = post(&router, path, &form("6", "")).await;
    assert_eq!(
        (set.status, set.header("location")),
        (StatusCode::SEE_OTHER, "/rules/CN-TMP-01"),
        "{}",
        set.text
    );
    let page = get(&router, "/rules/CN-TMP-01?lang=en").await.text;
    assert!(
        page.contains("desserts") && page.contains("&#62; 6.0 °C"),
        "{page}"
    );
    for (limit, more, why) in [
        ("12", "", "approver"),
        ("12", "&approver=Li&days=30", "approver"),
        ("12", "&approver=Wang", "end"),
        ("12", "&approver=Wang&days=400", "366"),
        ("", "", "give a limit"),
    ] {
        let refused = post(&router, path, &form(limit, more)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{limit} {more}");
        assert!(refused.text.contains(why), "{limit} {more}: {}", refused.text);
    }
    let nearer = post(&router, path, &form("", "&clear_limit=7.5")).await;
    assert!(nearer.text.contains("approver"), "{}", nearer.text);
    let lacking = post(&router, path, &form("", "&window_s=5")).await;
    assert!(
        lacking.text.contains("clear_limit, clear_hold_s"),
        "{}",
        lacking.text
    );
    let laxer = post(&router, path, &form("12", "&approver=Wang&days=366")).await;
    assert_eq!(laxer.status, StatusCode::SEE_OTHER, "{}", laxer.text);
    let gas = post(
        &router,
        "/rules/FG-GAS-01/override",
        &form("20", "&approver=Wang&days=3"),
    )
    .await;
    assert!(gas.text.contains("danger to life"), "{}", gas.text);
    let ended = post(&router, "/rules/CN-TMP-01/override/2/end", "by=Wang").await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER, "{}", ended.text);
    let twice = post(&router, "/rules/CN-TMP-01/override/2/end", "by=Wang").await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);
    let kept = stage
        .state
        .records
        .overrides(&Scope::everything(), None, UtcMillis(0))
        .await
        .unwrap();
    assert_eq!(kept.iter().map(|o| o.version).collect::<Vec<_>>(), [2, 1]);
    stage.finish().await;
}

#[tokio::test]
async fn a_case_keeps_the_version_that_raised_it_and_says_what_the_rule_is_now() {
    let (stage, router) = two_kitchens().await;
    let path = "/rules/CN-TMP-01/override";
    let form = "facility=binhe-01&limit=6&hold=&reason=desserts&by=Li";
    assert_eq!(post(&router, path, form).await.status, StatusCode::SEE_OTHER);
    let raised = store::records::NewCase {
        rule: domain::RuleId::new("CN-TMP-01").unwrap(),
        rule_version: "2026.11+1".to_owned(),
        point: crate::stage::point(0, 0).key(),
        severity: domain::Severity::P2,
        since: UtcMillis(NOW.0 - 60_000),
        raised_at: NOW,
        value: Some(6.5),
        limit: Some(6.0),
        trouble: domain::case::cause::Trouble::Own,
    };
    let write = store::records::CaseWrite::Open(raised);
    let opened = stage.state.records.apply_cases(&[write], None).await.unwrap();
    let ended = post(&router, "/rules/CN-TMP-01/override/1/end", "by=Wang").await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER, "{}", ended.text);
    let page = get(&router, &format!("/cases/{}?lang=en", opened[0].id))
        .await
        .text;
    let page = page.replace(['\u{2068}', '\u{2069}'], "");
    assert!(page.contains("&#62; 6.0 °C"), "{page}");
    assert!(page.contains("Now version 2026.11"), "{page}");
    stage.finish().await;
}

#[tokio::test]
async fn things_are_set_aside_with_who_why_and_until_when() {
    let (stage, router) = two_kitchens().await;
    let form = "facility=binhe-01&device=fridge-1&rule=&hours=4&by=Li&why=repair+is+ordered";
    let done = post(&router, "/shelving", form).await;
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, "/shelving"),
        "{}",
        done.text
    );
    let page = get(&router, "/shelving?lang=en").await.text;
    for fact in [
        "fridge-1",
        "repair is ordered",
        "action=\"/shelving/1/end\"",
        "cannot be set aside",
    ] {
        assert!(page.contains(fact), "{fact} is missing");
    }
    assert!(
        !page.contains("value=\"FG-SMK-01\""),
        "what rings all the same is not offered"
    );
    for (bad, why) in [
        (form.replace("hours=4", "hours=169"), "168"),
        (form.replace("hours=4", "hours=0"), "168"),
        (form.replace("by=Li", "by=+"), "name"),
        (form.replace("rule=", "rule=FG-SMK-01"), "endangers life"),
        (form.replace("why=repair+is+ordered", "why="), "why"),
    ] {
        let refused = post(&router, "/shelving", &bad).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(refused.text.contains(why), "{bad}: {}", refused.text);
    }
    assert_eq!(
        post(&router, "/shelving/1/end", "by=Wang").await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        post(&router, "/shelving/1/end", "by=Wang").await.status,
        StatusCode::NOT_FOUND
    );
    let window =
        "kind=defrost&facility=binhe-01&device=fridge-1&rule=&from=03:00&minutes=30&by=Li&why=every+night";
    assert_eq!(
        post(&router, "/windows", window).await.status,
        StatusCode::SEE_OTHER
    );
    let long = post(&router, "/windows", &window.replace("minutes=30", "minutes=46")).await;
    assert!(long.text.contains("45 minutes"), "{}", long.text);
    let page = get(&router, "/shelving?lang=zh").await.text;
    assert!(page.contains("除霜") && page.contains("every night"));
    assert_eq!(
        post(&router, "/windows/1/end", "by=Li").await.status,
        StatusCode::SEE_OTHER
    );
    let range = TimeRange {
        from: NOW - 1,
        to: UtcMillis(i64::MAX),
    };
    let kept = stage
        .state
        .records
        .shelves(&Scope::everything(), range)
        .await
        .unwrap();
    assert_eq!(kept[0].ended_by.as_deref(), Some("Wang"));
    stage.finish().await;
}

/// Asks the API as a program would that sits at this machine.
async fn call(router: &axum::Router, path: &str, body: serde_json::Value) -> crate::Answer {
    let request = axum::http::Request::post(path)
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap();
    crate::ask(router, request).await
}

#[tokio::test]
async fn a_window_is_on_some_days_over_midnight_or_once() {
    let (stage, router) = two_kitchens().await;
    let rest = "facility=binhe-01&device=fridge-1&rule=&by=Li&why=w";
    for form in [
        "kind=cleaning&from=22:00&until=02:30&mon=yes&fri=yes",
        "kind=maintenance&once_from=2026-11-22T08:00&once_until=2026-11-22T12:00&from=&until=",
        "kind=cleaning&from=05:00&until=05:00",
    ] {
        let done = post(&router, "/windows", &format!("{form}&{rest}")).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{form}: {}", done.text);
    }
    let page = get(&router, "/shelving?lang=en")
        .await
        .text
        .replace(['\u{2068}', '\u{2069}'], "");
    for fact in [
        "Mon, Fri 22:00–02:30 the next day",
        "2026-11-22 08:00",
        "every day 05:00–05:00 the next day",
    ] {
        assert!(page.contains(fact), "{fact} is missing: {page}");
    }
    for (bad, why) in [
        ("kind=cleaning&from=22:00&until=&minutes=", "minutes"),
        ("kind=cleaning&from=&until=02:00", "from"),
        (
            "kind=maintenance&once_from=2026-11-22T08:00&once_until=",
            "once_until",
        ),
        (
            "kind=maintenance&once_from=2026-11-22T08:00&once_until=2026-11-22T07:00",
            "after it begins",
        ),
        (
            "kind=service&from=10:00&until=14:00",
            "service hours name the rule",
        ),
    ] {
        let refused = post(&router, "/windows", &format!("{bad}&{rest}")).await;
        assert!(
            refused.status == StatusCode::BAD_REQUEST && refused.text.contains(why),
            "{bad}: {}",
            refused.text
        );
    }
    let kept = get(&router, "/api/v1/windows?facility=binhe-01").await.json();
    assert_eq!(
        kept["windows"][2]["days"],
        serde_json::json!(["mon", "fri"]),
        "{kept}"
    );
    assert_eq!(kept["windows"][2]["minutes"], 270);
    assert_eq!(
        kept["windows"][1]["once"]["from"], "2026-11-22T00:00:00.000Z",
        "by the facilities' clock"
    );
    stage.finish().await;
}

#[tokio::test]
async fn programs_set_aside_as_the_pages_do() {
    let (stage, router) = two_kitchens().await;
    let target = serde_json::json!({"facility": "binhe-01", "device": "fridge-1"});
    let shelf = |target: &serde_json::Value| serde_json::json!({"target": target, "until": "2026-11-21T12:00:00Z", "why": "repair", "by": "Li"});
    let done = call(&router, "/api/v1/shelves", shelf(&target)).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
    assert_eq!(done.json()["until"], "2026-11-21T12:00:00.000Z");
    let smoke = serde_json::json!({"facility": "binhe-01", "rule": "FG-SMK-01"});
    let refused = call(&router, "/api/v1/shelves", shelf(&smoke)).await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("endangers life"));
    let elsewhere = serde_json::json!({"facility": "binhe-01", "room": "x"});
    assert_eq!(
        call(&router, "/api/v1/shelves", shelf(&elsewhere)).await.status,
        StatusCode::BAD_REQUEST
    );
    let listed = get(&router, "/api/v1/shelves").await.json();
    assert_eq!(listed["shelves"][0]["stands"], true, "{listed}");
    let by = serde_json::json!({"by": "Wang"});
    let ended = call(&router, "/api/v1/shelves/1/end", by.clone()).await;
    assert_eq!(ended.json()["ended_by"], "Wang");
    assert_eq!(
        call(&router, "/api/v1/shelves/1/end", by.clone()).await.status,
        StatusCode::NOT_FOUND
    );

    let window = serde_json::json!({"kind": "defrost", "target": target, "days": ["sat", "sun"], "from": "03:00",
        "minutes": 30, "why": "w", "by": "Li"});
    let done = call(&router, "/api/v1/windows", window.clone()).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
    let mut both = window;
    both["once"] = serde_json::json!({"from": 0, "until": 1});
    assert_eq!(
        call(&router, "/api/v1/windows", both).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        call(&router, "/api/v1/windows/1/end", by).await.status,
        StatusCode::OK
    );
    stage.finish().await;
}

#[tokio::test]
async fn programs_override_and_try_as_the_pages_do() {
    let (stage, router) = two_kitchens().await;
    let by = serde_json::json!({"by": "Wang"});
    let own = serde_json::json!({"rule": "CN-TMP-01", "facility": "binhe-01", "limit": 6.0, "reason": "r", "by": "Li"});
    let done = call(&router, "/api/v1/overrides", own.clone()).await;
    assert_eq!(
        (done.status, &done.json()["version"]),
        (StatusCode::CREATED, &1.into()),
        "{}",
        done.text
    );
    let mut laxer = own;
    laxer["limit"] = 12.0.into();
    let refused = call(&router, "/api/v1/overrides", laxer).await;
    assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("approver"));
    assert_eq!(
        get(&router, "/api/v1/overrides?rule=CN-TMP-01").await.json()["overrides"][0]["limit"],
        6.0
    );
    assert_eq!(
        call(&router, "/api/v1/overrides/1/end", by).await.status,
        StatusCode::OK
    );

    let asked = get(&router, "/api/v1/trials?rule=CN-TMP-01&limit=3&hold_s=20&days=2")
        .await
        .json();
    assert_eq!((&asked["old"], &asked["new"]), (&0.into(), &1.into()), "{asked}");
    let body = serde_json::json!({"rule": "CN-TMP-01", "limit": 3.0, "hold_s": 20, "days": 2});
    assert_eq!(call(&router, "/api/v1/trials", body).await.json(), asked);
    for bad in ["rule=CN-TMP-01&limit=x", "rule=CN-TMP-01&days=101", "rule=%20"] {
        assert_eq!(
            get(&router, &format!("/api/v1/trials?{bad}")).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    stage.finish().await;
}

#[tokio::test]
async fn an_integrator_sets_nothing_aside_by_the_api_either() {
    let (stage, router) = two_kitchens().await;
    let records = &stage.state.records;
    let cookie = crate::signing::sign_in(&router, records, domain::Role::Integrator).await;
    for path in [
        "/api/v1/shelves",
        "/api/v1/windows",
        "/api/v1/overrides",
        "/api/v1/shelves/1/end",
    ] {
        let request = axum::http::Request::post(path)
            .header("host", "localhost:8080")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json")
            .header("cookie", &cookie)
            .body(axum::body::Body::from("{}"))
            .unwrap();
        assert_eq!(
            crate::ask(&router, request).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    stage.finish().await;
}
