//! What programs see.

use axum::http::StatusCode;
use serde_json::Value;

use crate::{NOW, get, two_kitchens};

#[tokio::test]
async fn readings_are_asked_for_by_point() {
    let (stage, router) = two_kitchens().await;
    let latest = get(&router, "/api/v1/points/binhe-01/fridge-1/temperature/latest").await;
    assert_eq!((latest.status, latest.json()["value"].as_f64()), (StatusCode::OK, Some(4.25)));
    assert_eq!(latest.json()["at_ms"].as_i64(), Some(NOW.0 - 1000));
    assert_eq!(latest.json()["unit"], "degC");

    let (from, to) = (NOW.0 - 60_000, NOW.0);
    let path = format!("/api/v1/points/binhe-01/gas-1/combustible_gas/window?from={from}&to={to}&buckets=6");
    let window = get(&router, &path).await.json();
    let buckets = window["buckets"].as_array().unwrap();
    let sum = |field: &str| buckets.iter().map(|b| b[field].as_i64().unwrap()).sum::<i64>();
    assert_eq!((buckets.len(), sum("count")), (6, 60));
    assert_eq!((buckets[0]["start_ms"].as_i64(), buckets[0]["min"].as_f64()), (Some(from), Some(20.0)));
    assert_eq!((window["bucket_ms"].as_f64(), buckets[5]["last"].as_f64()), (Some(10_000.0), Some(22.95)));
    stage.finish().await;
}

#[tokio::test]
async fn refusals_are_problems_with_cause_and_remedy() {
    let (stage, router) = two_kitchens().await;
    let point = "/api/v1/points/binhe-01/fridge-1/temperature";
    let cases = [
        (format!("{point}/window?buckets=2001"), 400, "1 to 2000"),
        (format!("{point}/window?buckets=0"), 400, "buckets"),
        (format!("{point}/window?from=0"), 400, "400 days"),
        (format!("{point}/window?from=5&to=1"), 400, "earlier"),
        (format!("{point}/window?from=today"), 400, "RFC 3339"),
        ("/api/v1/points/binhe-01/none/temperature/latest".into(), 404, "point"),
        ("/api/v1/points/a%20b/x/y/latest".into(), 400, "' ' is not allowed"),
        (format!("/api/v1/points/{}/x/y/latest", "f".repeat(65)), 400, "65 bytes"),
        ("/api/v1/cases?state=sleeping".into(), 400, "acknowledged"),
        ("/api/v1/cases?limit=201".into(), 400, "200"),
        ("/api/v1/cases?before=x".into(), 400, "before"),
        ("/api/v1/devices?limit=0".into(), 400, "1000"),
        ("/api/v1/devices?facility=%23".into(), 400, "facility"),
        ("/api/v1/nothing".into(), 404, "address"),
        ("/live?page=nothing".into(), 400, "overview"),
    ];
    for (path, status, cause) in cases {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(cause), "{path}: {problem}");
        assert!(problem["remedy"].as_str().unwrap().len() > 10, "{path}: {problem}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn facilities_devices_and_cases_are_listed_page_by_page() {
    let (stage, router) = two_kitchens().await;
    let first = get(&router, "/api/v1/facilities?limit=1").await.json();
    assert_eq!((&first["facilities"][0]["id"], &first["next"]), (&"binhe-01".into(), &"binhe-01".into()));
    let point = |device: &str| -> Value {
        let points = first["facilities"][0]["points"].as_array().unwrap();
        points.iter().find(|p| p["device"] == device).unwrap().clone()
    };
    assert_eq!((&point("gas-1")["state"], &point("smoke-1")["state"]), (&"active".into(), &"unknown".into()));
    assert_eq!((&point("fridge-1")["state"], &point("fridge-1")["latest"]["value"]), (&"normal".into(), &4.25.into()));
    let second = get(&router, "/api/v1/facilities?limit=1&after=binhe-01").await.json();
    assert_eq!((&second["facilities"][0]["id"], &second["next"]), (&"songbai-02".into(), &Value::Null));

    let devices = get(&router, "/api/v1/devices?limit=5").await.json();
    assert_eq!(devices["devices"].as_array().unwrap().len(), 5);
    let after = devices["next"].as_str().unwrap();
    let rest = get(&router, &format!("/api/v1/devices?after={after}")).await.json();
    assert_eq!(rest["devices"].as_array().unwrap().len(), 7, "twelve in all");
    let gas = &devices["devices"].as_array().unwrap().iter().find(|d| d["device"] == "gas-1").unwrap().clone();
    assert_eq!((gas["messages"].as_u64(), gas["readings"].as_u64()), (Some(60), Some(60)));

    let cases = get(&router, "/api/v1/cases?state=open,acknowledged").await.json();
    let case = &cases["cases"][0];
    assert_eq!((&case["rule"], &case["state"], &case["severity"]), (&"FG-GAS-01".into(), &"open".into(), &"P1".into()));
    assert!(case["clause"].as_str().unwrap().contains("GB 15322"), "{case}");
    assert_eq!(get(&router, "/api/v1/cases?state=closed").await.json()["cases"], Value::Array(vec![]));
    stage.finish().await;
}

#[tokio::test]
async fn the_server_tells_how_it_fares() {
    let (stage, router) = two_kitchens().await;
    let stats = get(&router, "/api/v1/stats").await.json();
    assert_eq!((stats["records_accepted"].as_u64(), stats["readings_stored"].as_u64()), (Some(12), Some(11)));
    assert_eq!(stats["rejects"]["syntax"].as_u64(), Some(1));
    let metrics = get(&router, "/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(metrics.text.contains("\nsunshine_readings_stored_total 11\n"), "{}", metrics.text);
    assert_eq!(get(&router, "/livez").await.status, StatusCode::OK);
    assert_eq!(get(&router, "/readyz").await.status, StatusCode::OK);
    assert!(get(&router, "/api/v1").await.json()["addresses"]["/readyz"].is_string());

    stage.stats.lock().unwrap().journal_fault = Some("the disk is full".into());
    stage.stats.lock().unwrap().lag_ms = 90_000;
    let ill = get(&router, "/readyz").await;
    assert_eq!(ill.status, StatusCode::SERVICE_UNAVAILABLE);
    let codes: Vec<_> = ill.json()["reasons"].as_array().unwrap().iter().map(|r| r["code"].clone()).collect();
    assert_eq!(codes, ["journal", "lag"]);
    let page = get(&router, "/?lang=en").await.text;
    assert!(page.contains("The server cannot store new data"), "people are told too");

    stage.state.records.close().await;
    let ill = get(&router, "/readyz").await.json();
    assert!(ill["reasons"].as_array().unwrap().iter().any(|r| r["code"] == "records"), "{ill}");
    let page = get(&router, "/?lang=en").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The server failed"), "a page, not a blank");
}
