//! What people see.

use std::time::Duration;

use alerts::ConditionState;
use axum::http::StatusCode;
use domain::{Facility, FacilityId, FacilityKind, RegionId, SizeClass};

use crate::{
    NOW, ask, get, post,
    stage::{self, EQUIPMENT_COUNT, Stage},
    two_kitchens,
};

#[tokio::test]
async fn every_page_is_there_in_both_languages() {
    let (stage, router) = two_kitchens().await;
    let pages = [
        ("/", "燃气泄漏", "Gas leak"),
        ("/facilities", "松柏养老服务中心", "Songbai Centre"),
        ("/facilities/binhe-01", "灶台燃气", "Stove gas"),
        ("/cases", "隐患台账", "Register of cases"),
        ("/cases/1", "判定依据", "What it rests on"),
        ("/devices", "被拒绝的连接与消息", "Refused connections"),
        ("/devices/binhe-01/fridge-1", "接入方法", "How to connect"),
        ("/rules", "CN-TMP-01", "CN-TMP-01"),
        ("/rules/CN-DZ-01", "改一改会怎样", "What if it were another"),
        ("/shelving", "搁置与时段", "Set aside"),
        ("/analysis", "超限时长占比", "Share of time beyond"),
        ("/help", "取得身份", "Get an identity"),
    ];
    for (path, zh, en) in pages {
        for (lang, tag, want) in [("zh", "zh-CN", zh), ("en", "en", en)] {
            let answer = get(&router, &format!("{path}?lang={lang}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {lang}: {}", answer.text);
            assert!(answer.text.contains(want), "{path} {lang}: {want:?} is missing");
            assert!(
                answer.text.contains(&format!("<html lang=\"{tag}\">")),
                "{path} {lang}"
            );
            assert!(
                answer.header("set-cookie").starts_with(&format!("lang={tag};")),
                "{path} {lang}"
            );
            assert!(!answer.text.contains("No localization"), "{path} {lang}");
            assert!(
                !answer.text.contains("<script>") && !answer.text.contains(" style="),
                "{path}: inline code"
            );
        }
    }
    stage.finish().await;
}

#[tokio::test]
async fn the_overview_says_what_needs_somebody_now() {
    let (stage, router) = two_kitchens().await;
    let page = get(&router, "/?lang=en").await.text;
    assert!(page.contains("<dd id=\"kpi-open\">1</dd>"), "one open hazard");
    assert!(page.contains("186 people affected"), "whom it reaches");
    assert!(
        page.contains("action=\"/cases/1/acknowledge\""),
        "what to do about it"
    );
    assert!(page.contains("2 of 12 points"), "what is heard");
    assert!(page.contains("above the limit of 10.0 %LEL"), "what was found");
    stage.finish().await;
}

#[tokio::test]
async fn a_silent_point_is_unknown_and_never_normal() {
    let (stage, router) = two_kitchens().await;
    let page = get(&router, "/facilities/songbai-02?lang=en").await.text;
    assert_eq!(
        page.matches("</svg>Unknown</span>").count(),
        6,
        "all six points are silent"
    );
    assert_eq!(page.matches("</svg>Normal</span>").count(), 0);
    let page = get(&router, "/facilities/binhe-01?lang=en").await.text;
    assert_eq!(
        page.matches("</svg>Normal</span>").count(),
        1,
        "one fridge is heard"
    );
    assert_eq!(page.matches("</svg>Unknown</span>").count(), 4);
    assert!(
        !page.contains("/smoke-1/smoke_alarm/window"),
        "nothing is asked for that was never heard"
    );

    // An hour later nothing has come: what was normal is unknown, since its last value.
    stage.clock.set(NOW + 3_600_000);
    let page = get(&router, "/facilities/binhe-01?lang=en").await.text;
    assert_eq!(page.matches("</svg>Normal</span>").count(), 0);
    assert!(
        page.contains("</svg>Unknown</span><small>1 h 0 min</small>"),
        "for how long"
    );
    assert!(page.contains("was 4.2 °C"), "the last value is called the last");
    stage.finish().await;
}

/// Closes the first case, as a false alarm on which two people agree.
async fn settle(router: &axum::Router, version: i64) {
    for (act, by, version) in [("dispute", "a", version), ("withdraw", "b", version + 1)] {
        let form = format!("by={by}&comment=steam&version={version}");
        let done = post(router, &format!("/cases/1/{act}"), &form).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{act}: {}", done.text);
    }
}

/// A form with a picture.
fn multipart(fields: &[(&str, &str)], picture: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = "--edge\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"a.jpg\"\r\n\
                Content-Type: image/jpeg\r\n\r\n";
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(picture);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    body
}

#[tokio::test]
async fn a_manager_shows_that_it_is_put_right_and_somebody_else_accepts_it() {
    let (stage, router) = two_kitchens().await;
    let send = async |act: &str, fields: &[(&str, &str)], picture: &[u8]| {
        let request = axum::http::Request::post(format!("/cases/1/{act}?lang=en"))
            .header("host", "localhost")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "multipart/form-data; boundary=edge")
            .body(axum::body::Body::from(multipart(fields, picture)))
            .unwrap();
        ask(&router, request).await
    };
    let page = get(&router, "/cases/1?lang=en").await.text;
    assert!(page.contains("action=\"/cases/1/acknowledge\"") && page.contains("action=\"/cases/1/dispute\""));
    assert!(
        !page.contains("action=\"/cases/1/close\""),
        "this class needs verification"
    );
    let taken = post(&router, "/cases/1/acknowledge", "by=Wang&version=1&once=x-1").await;
    assert_eq!(taken.status, StatusCode::SEE_OTHER);
    let twice = post(&router, "/cases/1/acknowledge", "by=Wang&version=1&once=x-1").await;
    assert_eq!(twice.status, StatusCode::SEE_OTHER, "the same form acts once");
    let plan = [
        ("by", "Wang"),
        ("version", "2"),
        ("measure", "new valve"),
        ("responsible", "Chen"),
        ("due", "2099-01-01T10:00"),
    ];
    assert_eq!(send("begin", &plan, &[]).await.status, StatusCode::SEE_OTHER);
    let words = [("by", "Wang"), ("version", "3"), ("comment", "valve replaced")];
    let refused = send("submit", &words, b"<html>").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("JPEG"), "{}", refused.text);
    assert_eq!(
        send("submit", &words, &[]).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xfe, 0, 8];
    jpeg.extend_from_slice(b"GPS 31N");
    jpeg.truncate(12);
    jpeg.extend_from_slice(&[0xff, 0xc0, 0, 11, 8, 0, 9, 0, 9, 1, 1, 0x11, 0]);
    jpeg.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 7, 0xff, 0xd9]);
    assert_eq!(send("submit", &words, &jpeg).await.status, StatusCode::SEE_OTHER);
    let page = get(&router, "/cases/1?lang=en").await.text;
    let picture = page
        .split("src=\"/cases/1/pictures/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let shown = get(&router, &format!("/cases/1/pictures/{picture}")).await;
    assert_eq!(
        (shown.status, shown.header("content-type")),
        (StatusCode::OK, "image/jpeg")
    );
    assert!(page.contains("new valve") && page.contains("Chen") && page.contains("valve replaced"));
    for by in ["Wang", "chen"] {
        let own = post(&router, "/cases/1/verify?lang=en", &format!("by={by}&version=4")).await;
        assert_eq!(own.status, StatusCode::UNPROCESSABLE_ENTITY, "{by}");
        assert!(own.text.contains("nobody verifies their own fix"), "{}", own.text);
    }
    let verified = post(&router, "/cases/1/verify", "by=Li&version=4").await;
    assert_eq!(verified.status, StatusCode::SEE_OTHER, "{}", verified.text);
    let page = get(&router, "/cases?lang=en&state=verified").await.text;
    assert!(page.contains("href=\"/cases/1\""));
    stage.finish().await;
}

#[tokio::test]
async fn a_case_is_acknowledged_once_and_closed() {
    let (stage, router) = two_kitchens().await;
    let page = get(&router, "/cases/1?lang=en").await.text;
    for fact in [
        "FG-GAS-01",
        "GB 15322.1-2019",
        "from memory",
        "shut the main valve",
        "Binhe Care Home",
    ] {
        assert!(page.contains(fact), "{fact} is missing");
    }
    let form =
        |version: i64| format!("by=%E7%8E%8B%E8%8A%B3&comment=on+my+way&version={version}&back=overview");
    let version: i64 = page
        .split("data-version=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let done = post(&router, "/cases/1/acknowledge", &form(version)).await;
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, "/")
    );
    let page = get(&router, "/?lang=en").await.text;
    assert!(
        page.contains("taken up by 王芳"),
        "the queue names who took it up"
    );

    let late = post(&router, "/cases/1/acknowledge?lang=en", &form(version)).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(
        late.text.contains("Somebody was faster") && late.text.contains("王芳"),
        "{}",
        late.text
    );
    assert!(late.text.contains("on my way"), "what was typed is not lost");

    let early = post(&router, "/cases/1/close", &form(version + 1)).await;
    assert_eq!(
        early.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a hazard is not waved away"
    );
    settle(&router, version + 1).await;
    let page = get(&router, "/cases/1?lang=en").await.text;
    assert!(page.contains("This case is closed."));
    stage.finish().await;
}

#[tokio::test]
async fn cases_are_looked_up_by_state_severity_and_facility() {
    let (stage, router) = two_kitchens().await;
    let has = async |query: &str| {
        let page = get(&router, &format!("/cases?lang=en{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        page.text.contains("href=\"/cases/1\"")
    };
    let code = {
        let case = get(&router, "/api/v1/cases").await.json();
        case["cases"][0]["severity"].as_str().unwrap().to_owned()
    };
    let other = if code == "P4" { "P3" } else { "P4" };
    let cases = [
        ("", true),
        ("&state=open", true),
        ("&state=closed", false),
        ("&facility=binhe-01", true),
        ("&facility=songbai-02", false),
        ("&before=1", false),
    ];
    for (query, want) in cases {
        assert_eq!(has(query).await, want, "{query}");
    }
    assert!(has(&format!("&severity={code}&state=open&facility=binhe-01")).await);
    assert!(!has(&format!("&severity={other}")).await);

    settle(&router, 1).await;
    assert!(
        has("&state=closed").await && !has("&state=open").await,
        "a past case is found"
    );
    for bad in ["state=x", "severity=P9", "before=0", "before=x", "facility=a%20b"] {
        let answer = get(&router, &format!("/cases?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn the_chart_of_a_case_points_out_the_reading_that_raised_it() {
    let (stage, router) = two_kitchens().await;
    let case = stage
        .state
        .records
        .case(&domain::Scope::everything(), domain::CaseId(1))
        .await
        .unwrap()
        .unwrap();
    let page = get(&router, "/cases/1?lang=en").await.text;
    let mark = format!(
        "&#34;marks&#34;:[{{&#34;at&#34;:{},&#34;value&#34;:{:?}}}]",
        case.raised_at.0,
        case.value.unwrap()
    );
    assert!(page.contains(&mark), "{mark} is missing");
    assert!(
        page.contains("the reading that raised the case"),
        "the legend says so"
    );
    assert!(page.contains("class=\"limit "), "the limit line");
    stage.finish().await;
}

#[tokio::test]
async fn a_closed_breach_leaves_no_mark_but_an_open_case_does() {
    let (stage, router) = two_kitchens().await;
    let page = get(&router, "/facilities?lang=en").await.text;
    assert_eq!(
        page.matches("<b class=\"bad\">1 open</b>").count(),
        1,
        "one kitchen has a case"
    );
    settle(&router, 1).await;
    let page = get(&router, "/facilities?lang=en").await.text;
    assert_eq!(page.matches("<b class=\"bad\">").count(), 0);
    stage.finish().await;
}

#[tokio::test]
async fn what_may_still_pass_does_not_lead_a_tile() {
    let stage = Stage::build(1, NOW).await;
    let values: Vec<_> = (0..EQUIPMENT_COUNT)
        .map(|i| (0, i, [4.0, 9.5, -20.0, 0.0, 0.0, 50.0][i]))
        .collect();
    stage.take_in(NOW, &values).await;
    stage.judged().await;
    // The board follows judgement within a moment where no case is raised.
    let watched = stage::point(0, 1).key();
    let pending = async {
        while stage.alerts().board().points[&watched].state != ConditionState::Pending {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), pending)
        .await
        .unwrap();
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    let page = get(&router, "/facilities?lang=en").await.text;
    assert!(page.contains("class=\"tile calm\""), "calm, not a warning");
    assert!(page.contains("watching: Fridge 2"), "and it says what is watched");
    let page = get(&router, "/facilities?lang=en&state=breach").await.text;
    assert!(!page.contains("class=\"tile "), "it is no breach yet");
    let page = get(&router, "/facilities/binhe-01?lang=en").await.text;
    assert!(
        page.contains("Points in breach</dt><dd>0</dd>"),
        "nor counted as one"
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_form_is_checked_before_anything_is_done() {
    let (stage, router) = two_kitchens().await;
    let long = "x".repeat(1_001);
    let cases = [
        (
            "/cases/1/acknowledge",
            "by=&version=1".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/1/acknowledge",
            "by=%20&version=1".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/1/acknowledge",
            format!("by={}&version=1", &long[..61]),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/1/acknowledge",
            format!("by=a&version=1&comment={long}"),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/1/acknowledge",
            "by=a&version=x".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/0/acknowledge",
            "by=a&version=1".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/cases/99/close",
            "by=a&version=1".to_owned(),
            StatusCode::NOT_FOUND,
        ),
    ];
    for (path, form, want) in cases {
        let answer = post(&router, path, &form).await;
        assert_eq!(answer.status, want, "{path} {}", &form[..form.len().min(40)]);
        assert!(answer.text.contains("<html"), "a person gets a page");
    }
    let page = get(&router, "/?lang=en").await.text;
    assert!(
        page.contains("action=\"/cases/1/acknowledge\""),
        "the case is as it was"
    );
    stage.finish().await;
}

#[tokio::test]
async fn hostile_names_and_payloads_are_shown_as_text() {
    let (stage, router) = two_kitchens().await;
    let hostile = "<script>alert(1)</script>\"onload='x'";
    stage
        .state
        .records
        .put_facility(&Facility {
            id: FacilityId::new("zz-99").unwrap(),
            region: RegionId::new("binhe").unwrap(),
            name_zh: hostile.into(),
            name_en: hostile.into(),
            kind: FacilityKind::CareHome,
            size: SizeClass::Small,
            beds: 1,
            people_served: 1,
            address: hostile.into(),
        })
        .await
        .unwrap();
    stage.reject(0, "fridge-1", NOW, "</pre><img src=x onerror=alert(2)>");
    let form = "by=%3Cb%3Eme%3C%2Fb%3E&comment=%3Cscript%3E&version=1";
    assert_eq!(
        post(&router, "/cases/1/acknowledge", form).await.status,
        StatusCode::SEE_OTHER
    );
    let paths = [
        "/",
        "/facilities",
        "/facilities/zz-99",
        "/devices",
        "/devices/binhe-01/fridge-1",
        "/cases/1",
    ];
    for path in paths {
        let page = get(&router, path).await.text;
        for raw in ["<script>", "<img", "<b>me", "\"onload"] {
            assert!(!page.contains(raw), "{path} has {raw}");
        }
    }
    let page = get(&router, "/devices/binhe-01/fridge-1").await.text;
    assert!(page.contains("&#60;img src=x"), "the payload is shown");
    let find = get(&router, "/facilities?q=%22%3E%3Cscript%3E").await.text;
    assert!(!find.contains("\"><script>"));
    stage.finish().await;
}

#[tokio::test]
async fn what_is_not_there_says_so() {
    let (stage, router) = two_kitchens().await;
    let cases = [
        ("/nothing", StatusCode::NOT_FOUND),
        ("/facilities/none", StatusCode::NOT_FOUND),
        ("/facilities/a%20b", StatusCode::BAD_REQUEST),
        ("/facilities/%3Cscript%3E", StatusCode::BAD_REQUEST),
        ("/cases/abc", StatusCode::BAD_REQUEST),
        ("/cases/-1", StatusCode::BAD_REQUEST),
        ("/cases/9999", StatusCode::NOT_FOUND),
        ("/devices/binhe-01/none", StatusCode::NOT_FOUND),
        ("/devices?from=x", StatusCode::BAD_REQUEST),
        ("/facilities?from=-1", StatusCode::BAD_REQUEST),
    ];
    for (path, want) in cases {
        let answer = get(
            &router,
            &format!("{path}{}lang=en", if path.contains('?') { '&' } else { '?' }),
        )
        .await;
        assert_eq!(answer.status, want, "{path}");
        assert!(
            answer.text.contains("Back to the overview"),
            "{path}: a page that leads on"
        );
        assert!(!answer.text.contains("<script>"), "{path}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_chart_is_drawn_without_javascript_and_described_for_it() {
    let (stage, router) = two_kitchens().await;
    for range in ["1h", "6h", "24h", "7d", "30d", "1y", "nonsense"] {
        let page = get(
            &router,
            &format!("/facilities/binhe-01?device=gas-1&metric=combustible_gas&range={range}"),
        )
        .await;
        assert_eq!(page.status, StatusCode::OK, "{range}");
        assert!(
            page.text.contains("<path class=\"ln l1\" d=\"M"),
            "{range}: a line"
        );
        assert!(
            page.text
                .contains("/api/v1/points/binhe-01/gas-1/combustible_gas/window"),
            "{range}"
        );
    }
    stage.finish().await;
}
