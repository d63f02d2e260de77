//! The dashboard over real stores: every page in both languages, the API, the guards, and the live stream.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

mod analysis;
mod api;
mod cameras;
mod eyes;
mod findings;
mod guards;
mod live;
mod messages;
mod onboard;
mod pages;
mod people;
mod profiles;
mod rules;
mod signing;
mod stage;
mod video;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use domain::UtcMillis;
use stage::Stage;
use tower::ServiceExt as _;

/// 2026-11-21 07:40 UTC.
const NOW: UtcMillis = UtcMillis(1_795_246_800_000);

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 4 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text,
    }
}

async fn get(router: &Router, path: &str) -> Answer {
    ask(
        router,
        Request::get(path)
            .header("host", "localhost:8080")
            .body(Body::empty())
            .unwrap(),
    )
    .await
}

/// Reads an address with cookies.
async fn get_as(router: &Router, path: &str, cookie: &str) -> Answer {
    let request = Request::get(path)
        .header("host", "localhost:8080")
        .header("cookie", cookie);
    ask(router, request.body(Body::empty()).unwrap()).await
}

/// Sends a form as our own page would.
async fn post(router: &Router, path: &str, form: &str) -> Answer {
    post_as(router, path, (form, "")).await
}

/// Sends a form as our own page would, with cookies.
async fn post_as(router: &Router, path: &str, (form, cookie): (&str, &str)) -> Answer {
    let request = Request::post(path)
        .header("cookie", cookie)
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .unwrap();
    ask(router, request).await
}

/// Two kitchens; in the first one gas has been rising for a minute, and one fridge was heard.
async fn two_kitchens() -> (Stage, Router) {
    let stage = Stage::build(2, NOW).await;
    for second in 0..60 {
        let at = NOW - (60 - second) * 1000;
        stage.clock.set(at);
        stage
            .take_in(
                at,
                &[
                    (0, 3, 20.0 + f64::from(u8::try_from(second).unwrap()) / 20.0),
                    (0, 0, 4.25),
                ],
            )
            .await;
    }
    stage.clock.set(NOW);
    stage.take_in(NOW, &[]).await;
    stage.judged().await;
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, router)
}
