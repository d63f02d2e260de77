//! What stands in front of every route.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use sha2::{Digest as _, Sha256};

use crate::{ask, get, post, two_kitchens};

#[tokio::test]
async fn every_answer_has_the_strict_headers() {
    let (stage, router) = two_kitchens().await;
    for path in ["/", "/api/v1/stats", "/nothing", "/a/app.js", "/livez"] {
        let answer = get(&router, path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
    }
    assert_eq!(get(&router, "/").await.header("cache-control"), "no-store");
    let style = get(&router, "/a/app.css?v=1").await;
    assert!(style.header("cache-control").contains("immutable"));
    assert!(style.text.contains(".uplot") && style.text.contains("--accent"));
    stage.finish().await;
}

#[tokio::test]
async fn other_hosts_are_turned_away() {
    let (stage, router) = two_kitchens().await;
    let cases = [
        ("localhost:8080", StatusCode::OK),
        ("127.0.0.1:1", StatusCode::OK),
        ("[::1]:8080", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("192.0.2.1:8080", StatusCode::MISDIRECTED_REQUEST),
        ("localhost.evil.example", StatusCode::MISDIRECTED_REQUEST),
    ];
    for (host, want) in cases {
        for path in ["/", "/api/v1/stats", "/live?page=plain", "/metrics"] {
            let request = Request::head(path).header("host", host).body(Body::empty()).unwrap();
            if want == StatusCode::OK && path.starts_with("/live") {
                continue;
            }
            assert_eq!(ask(&router, request).await.status, want, "{host} {path}");
        }
    }
    stage.finish().await;
}

#[tokio::test]
async fn another_site_cannot_act() {
    let (stage, router) = two_kitchens().await;
    let cases: [&[(&str, &str)]; 4] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "http://evil.example")],
        &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8080")],
    ];
    for headers in cases {
        let mut request = Request::post("/cases/1/acknowledge")
            .header("host", "localhost:8080")
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = ask(&router, request.body(Body::from("by=a&version=1")).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let request = Request::post("/cases/1/acknowledge")
        .header("host", "localhost:8080")
        .header("origin", "http://localhost:8080")
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = ask(&router, request.body(Body::from("by=a&version=1")).unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "our own page can: {}", answer.text);
    stage.finish().await;
}

#[tokio::test]
async fn large_bodies_and_wrong_methods_are_refused() {
    let (stage, router) = two_kitchens().await;
    let form = format!("by=a&version=1&comment={}", "x".repeat(70_000));
    assert_eq!(post(&router, "/cases/1/acknowledge", &form).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(post(&router, "/api/v1/stats", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(&router, "/cases/1/acknowledge").await.status, StatusCode::METHOD_NOT_ALLOWED);
    stage.finish().await;
}

#[test]
fn vendored_files_are_the_ones_the_table_names() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
    let table = std::fs::read_to_string(dir.join("VENDOR.md")).unwrap();
    let mut checked = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "js" || e == "css") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let sum = hex::encode(Sha256::digest(std::fs::read(&path).unwrap()));
            let row = table.lines().find(|l| l.contains(&format!("`{name}`"))).unwrap();
            assert!(row.contains(&sum), "{name} is not the file that VENDOR.md names");
            checked += 1;
        }
    }
    assert_eq!(checked, 4);
}
