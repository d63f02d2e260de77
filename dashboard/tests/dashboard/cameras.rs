//! Cameras and findings on the pages and in the API.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use domain::{
    CameraFault, Check, DeviceId, FacilityId, LogPosition, Observation, Scope, Sighted,
    observation::{ModelStamp, ObservedState, Origin, Tally},
    sight::{CameraHealth, LinkState},
};
use store::records::FindingFilter;
use sunshine_dashboard::Still;

use crate::{
    Answer, NOW, ask,
    eyes::{self, Eyes},
    get, post,
    stage::Stage,
};

/// A password that no answer may ever hold.
const SECRET: &str = "hunter2-correct-horse";

/// A folder of this machine, as a source.
const FOLDER: &str = r#"{"kind":"folder","path":"/etc","interval_ms":1000}"#;

/// Where the device that is discovered takes ONVIF requests, as a form holds it.
const ONVIF: &str = "http%3A%2F%2F192.0.2.64%2Fonvif%2Fdevice_service";

/// Two kitchens, a camera in each, and one finding of the first.
pub(crate) async fn watched() -> (Stage, Arc<Eyes>, Router) {
    let mut stage = Stage::build(2, NOW).await;
    let eyes = Arc::new(Eyes::default());
    stage.state.sight = eyes.sight();
    for (facility, place) in [
        ("binhe-01", ("热菜间灶台", "Hot kitchen")),
        ("songbai-02", ("备餐台", "Serving line")),
    ] {
        let camera = eyes::camera(facility, "cam-1", place);
        stage.state.records.put_camera(&camera, "tester").await.unwrap();
        eyes.health
            .lock()
            .unwrap()
            .insert(camera.key.clone(), eyes::well(NOW - 1_000));
        let still = Still {
            jpeg: Bytes::from_static(b"\xff\xd8still"),
            at: NOW - 1_000,
            boxes: Vec::new(),
        };
        eyes.stills.lock().unwrap().insert(camera.key, still);
    }
    let told = observation();
    stage
        .state
        .records
        .enter_observation(&told, LogPosition(10))
        .await
        .unwrap();
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, eyes, router)
}

/// What the camera of the first kitchen says.
pub(crate) fn observation() -> Observation {
    Observation {
        camera: eyes::camera("binhe-01", "cam-1", ("", "")).key,
        said: Sighted {
            check: Check::NoMask,
            state: ObservedState::Began,
            at: NOW - 60_000,
            since: Some(NOW - 72_000),
            zone: Some(DeviceId::new("stove").unwrap()),
            score: Some(0.87),
            threshold: Some(0.6),
            tally: Tally {
                judged: 10,
                positive: 7,
                unjudged: 2,
            },
            model: Some(ModelStamp {
                name: "face_mask".into(),
                sha256: "a1".repeat(32),
            }),
            boxes: eyes::person(0.4),
            evidence: None,
            origin: Origin::Own,
            detail: String::new(),
        },
        received: NOW - 60_000,
    }
}

/// Sends JSON as one of our own pages would.
async fn send(router: &Router, method: &str, path: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8080")
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap();
    ask(router, request).await
}

#[tokio::test]
async fn every_camera_page_is_there_in_both_languages() {
    let (stage, _eyes, router) = watched().await;
    let pages = [
        ("/cameras", "热菜间灶台", "Hot kitchen"),
        ("/cameras/binhe-01/cam-1", "关键帧间隔", "Key-frame gap"),
        ("/cameras/new", "自动发现摄像头", "Find cameras"),
        (
            "/cameras/binhe-01/cam-1/edit",
            "修改：热菜间灶台",
            "Settings: Hot kitchen",
        ),
        (
            "/cameras/binhe-01/cam-1/teach/no_head_cover",
            "教它识别：未戴工作帽",
            "Teach: No head cover",
        ),
        ("/findings", "未戴口罩", "No face mask"),
        (
            "/findings?state=all&check=no_mask&camera=binhe-01%2Fcam-1",
            "属实",
            "Confirm",
        ),
        ("/findings/1", "判定依据", "What it rests on"),
        ("/facilities/binhe-01", "热菜间灶台", "Hot kitchen"),
    ];
    for (path, zh, en) in pages {
        let joint = if path.contains('?') { '&' } else { '?' };
        for (lang, tag, want) in [("zh", "zh-CN", zh), ("en", "en", en)] {
            let answer = get(&router, &format!("{path}{joint}lang={lang}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {lang}: {}", answer.text);
            assert!(answer.text.contains(want), "{path} {lang}: {want:?} is missing");
            assert!(answer.text.contains(&format!("<html lang=\"{tag}\">")), "{path}");
            assert!(!answer.text.contains("No localization"), "{path} {lang}");
            let inline = answer.text.contains("<script>") || answer.text.contains(" style=");
            assert!(!inline, "{path}: inline code");
        }
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_camera_that_is_silent_says_why_and_what_helps() {
    let (stage, eyes, router) = watched().await;
    let key = eyes::camera("binhe-01", "cam-1", ("", "")).key;
    let ill = CameraHealth {
        link: LinkState::Offline,
        fault: Some(CameraFault::Auth),
        ..eyes::well(NOW - 600_000)
    };
    eyes.health.lock().unwrap().insert(key.clone(), ill);
    let page = get(&router, "/cameras/binhe-01/cam-1?lang=en").await.text;
    assert!(page.contains("data-state=\"offline\"") && page.contains("password is wrong or missing"));
    let wall = get(&router, "/cameras?state=offline&lang=en").await.text;
    assert!(
        wall.contains("class=\"shot stale\""),
        "an old picture is shown as one"
    );
    assert!(!wall.contains("Serving line"), "the filter holds");
    eyes.health.lock().unwrap().remove(&key);
    let page = get(&router, "/cameras/binhe-01/cam-1?lang=en").await.text;
    assert!(
        page.contains("that does not mean that all is well"),
        "silence is unknown"
    );
    stage.finish().await;
}

#[tokio::test]
async fn stills_are_shown_to_everybody_and_never_kept_by_the_browser() {
    let (stage, _eyes, router) = watched().await;
    let still = get(&router, "/cameras/binhe-01/cam-1/still.jpg").await;
    assert_eq!(
        (still.status, still.header("content-type")),
        (StatusCode::OK, "image/jpeg")
    );
    assert_eq!(still.header("cache-control"), "no-store");
    assert_eq!(still.header("x-taken-at"), "2026-11-21T07:39:59.000Z");
    for missing in ["/cameras/binhe-01/none/still.jpg", "/cameras/none/cam-1"] {
        assert_eq!(
            get(&router, missing).await.status,
            StatusCode::NOT_FOUND,
            "{missing}"
        );
    }
    stage.finish().await;
}

/// A form that attaches a camera in the second kitchen.
fn form(more: &str) -> String {
    format!(
        "facility=songbai-02&camera=cam-9&place_zh=%E4%B8%93%E9%97%B4&place_en=Special+room&room=special_room\
         &kind=rtsp&main=rtsp%3A%2F%2F192.0.2.9%2F101&decoding=key_frames&retention=30\
         &working=05%3A00-20%3A00&meals=&live=yes&enabled=yes&by=Li&{more}"
    )
}

/// The draft that a page of the form belongs to.
fn draft(page: &str) -> String {
    let after = page.split("name=\"draft\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_camera_is_attached_step_by_step_and_its_password_is_never_shown() {
    let (stage, eyes, router) = watched().await;
    *eyes.picture.lock().unwrap() = b"\xff\xd8probe".to_vec();
    let page = get(&router, "/cameras/new?lang=en").await;
    let token = draft(&page.text);
    let found = post(
        &router,
        "/cameras/new",
        &form(&format!("do=discover&draft={token}")),
    )
    .await;
    assert!(
        found.text.contains("http://192.0.2.64/onvif/device_service"),
        "{}",
        found.text
    );
    let typed = format!("do=streams&draft={token}&user=admin&password={SECRET}&address={ONVIF}");
    let streams = post(&router, "/cameras/new", &form(&typed)).await;
    assert!(
        streams
            .text
            .contains("value=\"rtsp://192.0.2.64/Streaming/Channels/101\" checked")
    );
    assert!(
        streams
            .text
            .contains("name=\"sub\" maxlength=\"512\" value=\"rtsp://192.0.2.64/Streaming/Channels/102\"")
    );
    let tested = post(
        &router,
        "/cameras/new?lang=en",
        &form(&format!("do=test&draft={token}")),
    )
    .await;
    assert!(tested.text.contains("1280 × 720 · H.264") && tested.text.contains("-1.3 s"));
    let picture = get(&router, &format!("/attach/{token}/picture.jpg")).await;
    assert_eq!(picture.status, StatusCode::OK, "there is a picture to draw on");
    let probed = eyes.probed.lock().unwrap()[0].clone();
    assert_eq!(
        probed.map(|c| c.password),
        Some(SECRET.into()),
        "typed once, used again"
    );
    let saved = format!(
        "do=save&draft={token}&zones=stove+%E7%81%B6%3A+0.1%2C0.1+0.9%2C0.1+0.9%2C0.9&c0-check=no_mask&c0-on=yes&c0-zone=stove&c0-hours=working&c0-duration=10&c0-vote=6%2F10&c0-again=300"
    );
    let saved = post(&router, "/cameras/new", &form(&saved)).await;
    assert_eq!(
        (saved.status, saved.header("location")),
        (StatusCode::SEE_OTHER, "/cameras/songbai-02/cam-9?new=1"),
        "{}",
        saved.text
    );
    let fresh = get(&router, "/cameras/songbai-02/cam-9?new=1&lang=en").await;
    assert!(fresh.text.contains("Waiting for the first frame"));
    assert_eq!(eyes.kept.lock().unwrap()[0].1.password, SECRET);
    assert_eq!(
        *eyes.changes.lock().unwrap(),
        1,
        "those who watch cameras are told"
    );
    let answers = [page, found, streams, tested, saved, fresh];
    no_secret_anywhere(&stage, &router, &answers).await;
    stage.finish().await;
}

/// No answer holds the password: not those that came, nor any page or list about the camera, nor the audit trail.
async fn no_secret_anywhere(stage: &Stage, router: &Router, answers: &[Answer]) {
    let mut later = Vec::new();
    for path in [
        "/cameras/songbai-02/cam-9/edit",
        "/api/v1/cameras",
        "/api/v1/cameras/songbai-02/cam-9",
        "/cameras",
    ] {
        later.push(get(router, path).await);
    }
    for answer in answers.iter().chain(&later) {
        assert!(!answer.text.contains(SECRET), "{}", answer.text);
        assert!(!format!("{:?}", answer.headers).contains(SECRET));
    }
    let trail = stage.state.records.audit_trail(50).await.unwrap();
    assert!(trail.iter().all(|l| !format!("{l:?}").contains(SECRET)));
    assert!(
        trail
            .iter()
            .any(|l| l.actor == "Li" && l.object.contains("cam-9"))
    );
}

#[tokio::test]
async fn what_cannot_be_attached_is_said_beside_its_field() {
    let (stage, eyes, router) = watched().await;
    let cases = [
        ("do=save&room=bathroom", "choose another room"),
        (
            "do=save&main=rtsp%3A%2F%2Fadmin%3Ahunter2-correct-horse%40h%2F",
            "out of the address",
        ),
        ("do=save&camera=cam-1", "has a camera of that name"),
        ("do=save&facility=none-99", "not registered"),
        ("do=save&zones=x%3A+0%2C0", "Line 1"),
        ("do=save&by=", "Fill this in"),
        ("do=streams&address=", "Fill this in"),
    ];
    for (more, want) in cases {
        let answer = post(&router, "/cameras/new?lang=en", &form(more)).await;
        assert!(answer.status.is_client_error(), "{more}: {}", answer.status);
        assert!(
            answer.text.contains(want),
            "{more}: {want:?} is missing: {}",
            answer.text
        );
    }
    *eyes.fault.lock().unwrap() = Some(CameraFault::SmartCodec);
    let tested = post(&router, "/cameras/new?lang=zh", &form("do=test")).await.text;
    assert!(tested.contains("data-fault=\"smart_codec\"") && tested.contains("关键帧间隔超过 4 秒"));
    let count = stage
        .state
        .records
        .cameras(&Scope::everything(), None)
        .await
        .unwrap();
    assert_eq!(count.len(), 2, "nothing was attached");
    stage.finish().await;
}

#[tokio::test]
async fn a_scope_hides_the_cameras_and_findings_of_others() {
    let (stage, _eyes, _router) = watched().await;
    let scope = Scope::facilities([FacilityId::new("songbai-02").unwrap()]);
    let records = &stage.state.records;
    assert_eq!(records.cameras(&scope, None).await.unwrap().len(), 1);
    let filter = FindingFilter {
        limit: 10,
        ..FindingFilter::default()
    };
    assert!(records.findings(&scope, &filter).await.unwrap().is_empty());
    assert_eq!(
        records
            .findings(&Scope::everything(), &filter)
            .await
            .unwrap()
            .len(),
        1
    );
    stage.finish().await;
}

#[tokio::test]
async fn programs_attach_cameras_and_read_no_secret() {
    let (stage, _eyes, router) = watched().await;
    let mut sent = serde_json::json!({
        "by": "setup",
        "camera": eyes::camera("songbai-02", "cam-7", ("门口", "Door")),
    });
    let path = "/api/v1/cameras/songbai-02/cam-7";
    assert_eq!(
        send(&router, "PUT", path, &sent.to_string()).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        send(&router, "PUT", path, &sent.to_string()).await.status,
        StatusCode::OK
    );
    let secret = format!("{{\"user\":\"admin\",\"password\":\"{SECRET}\"}}");
    let kept = send(&router, "PUT", &format!("{path}/credentials"), &secret).await;
    assert_eq!((kept.status, kept.text.as_str()), (StatusCode::NO_CONTENT, ""));
    let broken = format!("{{\"user\":\"admin\",\"password\":\"{SECRET}\",\"{SECRET}\":1}}");
    let broken = send(&router, "PUT", &format!("{path}/credentials"), &broken).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert!(
        !broken.text.contains(SECRET),
        "a refusal quotes nothing: {}",
        broken.text
    );

    let read = get(&router, path).await.json();
    assert_eq!(
        (&read["key"]["camera"], &read["state"]),
        (&"cam-7".into(), &"unknown".into())
    );
    let first = get(&router, "/api/v1/cameras?limit=1").await.json();
    assert_eq!(first["next"], "binhe-01/cam-1");
    let rest = get(&router, "/api/v1/cameras?after=binhe-01%2Fcam-1")
        .await
        .json();
    assert_eq!(rest["cameras"].as_array().unwrap().len(), 2);

    sent["camera"]["room"] = "bedroom".into();
    let refused = send(&router, "PUT", path, &sent.to_string()).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.json()["detail"].as_str().unwrap().contains("bedroom"));
    sent["camera"]["room"] = "kitchen".into();
    sent["camera"]["source"] = serde_json::from_str(FOLDER).unwrap();
    let refused = send(&router, "PUT", path, &sent.to_string()).await;
    assert_eq!(
        refused.status,
        StatusCode::BAD_REQUEST,
        "no request chooses a folder here"
    );
    stage.finish().await;
}

#[tokio::test]
async fn programs_probe_cameras_and_review_findings() {
    let (stage, eyes, router) = watched().await;
    let probe =
        r#"{"source":{"kind":"mjpeg","url":"http://192.0.2.5/v"},"credentials":{"user":"a","password":"b"}}"#;
    let report = send(&router, "POST", "/api/v1/cameras/probe", probe).await.json();
    assert_eq!(
        (&report["ok"], &report["report"]["width"]),
        (&true.into(), &1280.into())
    );
    *eyes.fault.lock().unwrap() = Some(CameraFault::Unreachable);
    let report = send(&router, "POST", "/api/v1/cameras/probe", probe).await.json();
    assert_eq!(
        (&report["ok"], &report["fault"]),
        (&false.into(), &"unreachable".into())
    );
    let folder = format!("{{\"source\":{FOLDER}}}");
    assert_eq!(
        send(&router, "POST", "/api/v1/cameras/probe", &folder)
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    let review = r#"{"by":"bot","verdict":"confirmed","version":1}"#;
    let path = "/api/v1/findings/1/review";
    assert_eq!(
        send(&router, "POST", path, review).await.json()["state"],
        "confirmed"
    );
    assert_eq!(
        send(&router, "POST", path, review).await.status,
        StatusCode::CONFLICT
    );
    stage.finish().await;
}
