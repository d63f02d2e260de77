//! The live stream.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::Request,
};
use domain::{CaseId, Scope, case::Note};
use futures::StreamExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{NOW, get, stage::Stage, two_kitchens};

/// An open stream, and everything read of it so far.
struct Stream {
    body: BodyDataStream,
    seen: String,
}

impl Stream {
    async fn open(router: &Router, path: &str) -> Stream {
        let request = Request::get(path)
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Stream {
            body: response.into_body().into_data_stream(),
            seen: String::new(),
        }
    }

    /// Reads until `text` comes, and forgets everything up to it.
    async fn until(&mut self, text: &str) {
        let wait = tokio::time::timeout(Duration::from_secs(20), async {
            while !self.seen.contains(text) {
                let chunk = self.body.next().await.expect("the stream goes on").unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&chunk));
            }
        });
        assert!(
            wait.await.is_ok(),
            "{text:?} did not come; what came: {}",
            self.seen
        );
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    /// Reads to the end.
    async fn ended(mut self) {
        let wait = tokio::time::timeout(Duration::from_secs(20), async {
            while self.body.next().await.is_some() {}
        });
        assert!(wait.await.is_ok(), "the stream did not end");
    }
}

/// A kitchen with its feed at work.
async fn running() -> (Stage, Router, CancellationToken, JoinSet<()>) {
    let (stage, _) = two_kitchens().await;
    let dashboard = sunshine_dashboard::build(stage.state.clone()).unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(dashboard.feed.run(stop.clone()));
    (stage, dashboard.router, stop, tasks)
}

#[tokio::test]
async fn a_page_is_told_everything_then_what_changes() {
    let (stage, router, stop, mut tasks) = running().await;
    let mut overview = Stream::open(&router, "/live?page=overview&lang=en").await;
    overview.until("event: beat").await;
    overview.until("event: queue").await;
    overview.until("id=\"f-binhe-01\"").await;
    overview.until("id=\"kpis\"").await;
    let mut facility = Stream::open(&router, "/live?page=facility&facility=binhe-01&lang=zh-CN").await;
    facility.until("id=\"facility-head\"").await;
    facility.until("id=\"points\"").await;
    let mut device = Stream::open(
        &router,
        "/live?page=device&facility=songbai-02&device=fridge-1&lang=en",
    )
    .await;
    device.until("Never heard").await;
    assert_eq!(
        get(&router, "/api/v1/stats").await.json()["viewers"].as_u64(),
        Some(3)
    );

    stage.clock.set(NOW + 1000);
    stage.take_in(NOW + 1000, &[(1, 0, 5.5)]).await;
    overview.until("id=\"f-songbai-02\"").await;
    overview.until("5.5").await;
    device.until("/up/temperature").await;
    stage.take_in(NOW + 2000, &[(0, 0, 6.7)]).await;
    facility.until("6.7 °C").await;

    // The streams end with the feed, so that the server can close its connections.
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    overview.ended().await;
    facility.ended().await;
    device.ended().await;
    assert_eq!(
        get(&router, "/api/v1/stats").await.json()["viewers"].as_u64(),
        Some(0)
    );
    stage.finish().await;
}

#[tokio::test]
async fn there_are_only_so_many_seats() {
    let (stage, router) = two_kitchens().await;
    let ask = || {
        let request = Request::get("/live?page=plain")
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request)
    };
    let mut seats = Vec::new();
    for _ in 0..2_000 {
        seats.push(ask().await.unwrap());
    }
    let refused = ask().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"5".parse().unwrap())
    );
    seats.pop();
    assert_eq!(
        ask().await.unwrap().status().as_u16(),
        200,
        "who leaves makes room"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_changed_case_is_told_at_once() {
    let (stage, router, stop, mut tasks) = running().await;
    let mut overview = Stream::open(&router, "/live?page=overview&lang=en").await;
    overview.until("event: queue").await;
    overview.until("Acknowledge").await;
    let mut page = Stream::open(&router, "/live?page=plain&lang=en").await;
    page.until("event: beat").await;
    let case = stage
        .state
        .records
        .case(&Scope::everything(), CaseId(1))
        .await
        .unwrap()
        .unwrap();
    let note = Note {
        by: "王芳".into(),
        at: NOW,
        comment: "line one\nline two".into(),
    };
    stage
        .alerts()
        .acknowledge(&Scope::everything(), case.id, case.version, note)
        .await
        .unwrap();
    overview.until("taken up by 王芳").await;
    overview.until("event: case").await;
    page.until("\"state\":\"acknowledged\"").await;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    stage.finish().await;
}
