//! Shares of time beyond a limit: on the page, in the file, over the API.

use axum::http::StatusCode;
use domain::{DeviceId, FacilityId, MuteTarget, RuleId, Scope, Shelf, UtcMillis};

use crate::{Answer, NOW, get, stage::Stage};

/// Three kitchens. In the first, a fridge was at 9.5 °C for 6 of 24 hours and a second never spoke; in the second it was
/// never too warm; the third says nothing at all.
async fn a_day() -> (Stage, axum::Router) {
    let stage = Stage::build(3, NOW).await;
    for minute in 0..24 * 60 {
        let at = NOW - (24 * 60 - minute) * 60_000;
        stage.clock.set(at);
        let warm = (600..960).contains(&minute);
        let batch = [(0, 0, if warm { 9.5 } else { 4.0 }), (1, 0, 5.0)];
        stage.take_in(at, &batch).await;
    }
    stage.clock.set(NOW);
    stage.take_in(NOW, &[]).await;
    stage.judged().await;
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, router)
}

fn plain(answer: &Answer) -> String {
    answer.text.replace(['\u{2068}', '\u{2069}'], "")
}

#[tokio::test]
async fn kitchens_are_ranked_by_their_share_of_time_too_warm_and_silence_is_not_health() {
    let (stage, router) = a_day().await;
    let page = get(&router, "/analysis?rule=CN-TMP-01&span=24h&by=facility&lang=en").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let text = plain(&page);
    for fact in [
        "Binhe Care Home",
        "25.0 %",
        "6 h 0 min",
        "2018",
        "nothing is known of 1",
        "Unknown",
        "/facilities/binhe-01?device=fridge-1&#38;metric=temperature&#38;range=24h#chart-card",
        "/analysis.csv?rule=CN-TMP-01&#38;span=24h&#38;by=facility",
    ] {
        assert!(text.contains(fact), "{fact} is missing: {text}");
    }
    let place = |name: &str| text.rfind(name).unwrap();
    assert!(place("Binhe Care Home") < place("Songbai Centre"));
    assert!(
        place("Songbai Centre") < place("Zhaoyang Residence"),
        "unknown last"
    );
    let zh = plain(&get(&router, "/analysis?lang=zh-CN").await);
    assert!(zh.contains("滨河颐养院") && zh.contains("超限时长占比"), "{zh}");
    for by in ["region", "series"] {
        let page = get(&router, &format!("/analysis?span=7d&by={by}")).await;
        assert_eq!(page.status, StatusCode::OK);
    }
    for bad in ["span=1y", "by=kitchen", "rule=CN-XX-99"] {
        let refused = get(&router, &format!("/analysis?{bad}")).await;
        assert!(refused.status.is_client_error(), "{bad}: {}", refused.status);
    }
    let file = get(
        &router,
        "/analysis.csv?rule=CN-TMP-01&span=24h&by=facility&lang=en",
    )
    .await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = file.text.lines().collect();
    assert!(
        lines[0].starts_with("\u{feff}rank,id,name,region"),
        "{}",
        lines[0]
    );
    assert_eq!(lines.len(), 4, "{}", file.text);
    assert!(
        lines[1].starts_with("1,binhe-01,Binhe Care Home,"),
        "{}",
        lines[1]
    );
    let first: Vec<&str> = lines[1].rsplit(',').collect();
    assert_eq!(first[3], "0.000", "nothing was set aside: {}", lines[1]);
    assert_eq!(first[0], "0.250000", "the share at most: {}", lines[1]);
    assert_eq!(first[2], "0.500000", "one of two fridges is known: {}", lines[1]);
    stage.finish().await;
}

#[tokio::test]
async fn shares_and_quantiles_are_answered_over_the_api() {
    let (stage, router) = a_day().await;
    let base = "/api/v1/share?metric=temperature&type=fridge_air&above=8";
    let answer = get(&router, base).await.json();
    assert_eq!(
        (&answer["by"], &answer["level"]),
        (&"facility".into(), &"raw".into())
    );
    assert_eq!(answer["total"], 3);
    let first = &answer["groups"][0];
    assert_eq!(first["facility"], "binhe-01");
    assert_eq!(
        (first["over_ms"].as_i64(), first["unsure_ms"].as_i64()),
        (Some(21_600_000), Some(0))
    );
    assert_eq!(
        (first["share"].as_f64(), first["coverage"].as_f64()),
        (Some(0.25), Some(0.5))
    );
    let last = &answer["groups"][2];
    assert!(last["share"].is_null() && last["coverage"] == 0.0, "{last}");
    let pages = get(&router, &format!("{base}&by=series&limit=2&after=2"))
        .await
        .json();
    assert_eq!((&pages["total"], &pages["next"]), (&6.into(), &4.into()));
    assert_eq!(pages["groups"][0]["rank"], 3);
    let below = get(
        &router,
        "/api/v1/share?metric=temperature&below=4.5&facility=binhe-01&by=region",
    )
    .await;
    assert_eq!(below.json()["groups"][0]["share"], 0.75);
    for bad in [
        "metric=temperature",
        "above=8",
        "metric=temperature&above=8&below=2",
        "metric=temperature&above=warm",
        "metric=temperature&above=8&by=kitchen",
        "metric=temperature&above=8&limit=0",
        "metric=temperature&above=8&from=0",
    ] {
        let refused = get(&router, &format!("/api/v1/share?{bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let UtcMillis(to) = NOW;
    let window = format!(
        "/api/v1/points/binhe-01/fridge-1/temperature/window?from={}&to={to}&buckets=1",
        to - 86_400_000
    );
    let plain = get(&router, &window).await.json();
    assert_eq!(plain["level"], "raw");
    assert!(plain["buckets"][0].get("p95").is_none());
    let answer = get(&router, &format!("{window}&quantiles=0.5,0.95")).await.json();
    let bucket = &answer["buckets"][0];
    assert_eq!(
        (bucket["p50"].as_f64(), bucket["p95"].as_f64()),
        (Some(4.0), Some(9.5))
    );
    assert!(bucket.get("p99").is_none());
    let refused = get(&router, &format!("{window}&quantiles=0.9")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    stage.finish().await;
}

#[tokio::test]
async fn what_was_set_aside_stands_beside_the_share() {
    let (stage, router) = a_day().await;
    let shelf = |device: Option<&str>, rule: Option<&str>, hours: (i64, i64)| Shelf {
        id: 0,
        target: MuteTarget {
            facility: FacilityId::new("binhe-01").unwrap(),
            device: device.map(|id| DeviceId::new(id).unwrap()),
            metric: None,
            rule: rule.map(|id| RuleId::new(id).unwrap()),
        },
        from: NOW - hours.0 * 3_600_000,
        until: NOW - hours.1 * 3_600_000,
        who: "王芳".into(),
        why: "除霜".into(),
        ended_by: None,
    };
    let shelves = [
        shelf(Some("fridge-2"), None, (4, 2)),
        shelf(None, Some("CN-TMP-01"), (3, 1)),
        shelf(None, Some("CN-TMP-02"), (20, 10)),
    ];
    for shelf in &shelves {
        let records = &stage.state.records;
        records.add_shelf(&Scope::everything(), shelf).await.unwrap();
    }
    let shelved = async |by: &str| {
        let path = format!("/analysis.csv?rule=CN-TMP-01&span=24h&by={by}&lang=en");
        let file = get(&router, &path).await.text;
        let of_binhe = file.lines().filter(|line| line.contains("binhe-01"));
        let hours = of_binhe.map(|line| line.rsplit(',').nth(3).unwrap().to_owned());
        let mut hours: Vec<String> = hours.collect();
        hours.sort();
        hours
    };
    assert_eq!(shelved("facility").await, ["3.000"], "what overlaps counts once");
    assert_eq!(shelved("series").await, ["2.000", "3.000"]);
    let page = get(&router, "/analysis?rule=CN-TMP-01&span=24h&by=facility&lang=en").await;
    assert!(plain(&page).contains("set aside for 3 h"), "{}", page.text);
    stage.finish().await;
}
