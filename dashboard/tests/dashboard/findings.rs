//! Findings: their review, what people teach, and the evidence behind them.

use std::path::Path;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use domain::{Check, Clock, EvidenceId, Role};
use store::{
    Archive,
    evidence::{ArchiveOptions, ItemRole, NewItem},
    records::{FindingId, NewCrop},
};
use sunshine_dashboard::FitResult;

use crate::{
    NOW, ask,
    cameras::{observation, watched},
    eyes, get, get_as, post, post_as, signing,
    stage::Stage,
};

#[tokio::test]
async fn a_finding_is_reviewed_once_and_changed_only_on_purpose() {
    let (stage, _eyes, router) = watched().await;
    let page = get(&router, "/findings/1?lang=en").await.text;
    for fact in [
        "score 0.87 (threshold 0.60)",
        "7 of 10 judged pictures",
        "2 could not be judged",
        "face_mask",
        "灶台",
    ] {
        assert!(page.contains(fact), "{fact} is missing");
    }
    let review = |verdict: &str, version: i64, more: &str| {
        format!("by=%E7%8E%8B%E8%8A%B3&comment=seen&verdict={verdict}&version={version}{more}")
    };
    let done = post(
        &router,
        "/findings/1/review",
        &review("confirmed", 1, "&back=queue"),
    )
    .await;
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, "/findings")
    );
    let late = post(&router, "/findings/1/review?lang=en", &review("rejected", 1, "")).await;
    assert_eq!(late.status, StatusCode::CONFLICT);
    assert!(late.text.contains("Somebody was faster") && late.text.contains("王芳"));
    let again = post(
        &router,
        "/findings/1/review",
        &review("rejected", 2, "&again=yes"),
    )
    .await;
    assert_eq!(again.status, StatusCode::SEE_OTHER, "{}", again.text);
    let queue = get(&router, "/findings?lang=en").await.text;
    assert!(
        queue.contains("Nothing waits for review") && queue.contains("value=\"0\""),
        "0 % precision"
    );
    let all = get(&router, "/api/v1/findings?state=rejected").await.json();
    assert_eq!(all["findings"][0]["review"]["by"], "王芳");
    for (path, form, want) in [
        ("/findings/1/review", review("maybe", 3, ""), 400),
        (
            "/findings/1/review",
            "by=&verdict=confirmed&version=3".into(),
            400,
        ),
        ("/findings/x/review", review("confirmed", 1, ""), 400),
        ("/findings/99/review", review("confirmed", 1, ""), 404),
    ] {
        assert_eq!(
            post(&router, path, &form).await.status.as_u16(),
            want,
            "{path} {form}"
        );
    }
    stage.finish().await;
}

#[tokio::test]
async fn pictures_are_marked() {
    let (stage, _eyes, router) = watched().await;
    let records = &stage.state.records;
    let of = store::records::HeadKey {
        camera: eyes::camera("binhe-01", "cam-1", ("", "")).key,
        check: Check::NoHeadCover,
        zone: None,
    };
    for at in [1, 2] {
        let crop = NewCrop {
            of: of.clone(),
            at: NOW - at * 1000,
            jpeg: b"\xff\xd8crop".to_vec(),
            embedding: vec![0.5; 8],
            embedder_sha256: "b2".repeat(32),
        };
        records.add_crop(&crop).await.unwrap();
    }
    let path = "/cameras/binhe-01/cam-1/teach/no_head_cover";
    let page = get(&router, path).await.text;
    assert!(page.contains("name=\"crop-1\"") && page.contains("src=\"/crops/2.jpg\""));
    assert_eq!(
        get(&router, "/crops/1.jpg").await.header("content-type"),
        "image/jpeg"
    );
    let saved = post(&router, path, "by=Li&do=save&crop-1=yes&crop-2=no").await;
    assert_eq!(
        (saved.status, saved.header("location")),
        (StatusCode::SEE_OTHER, path)
    );
    let page = get(&router, path).await.text;
    assert!(page.contains("data-mark=\"yes\"") && page.contains("data-mark=\"no\""));
    stage.finish().await;
}

#[tokio::test]
async fn a_check_that_was_taught_says_whether_it_may_alert() {
    let (stage, eyes, router) = watched().await;
    let path = "/cameras/binhe-01/cam-1/teach/no_head_cover";
    let few = post(&router, &format!("{path}?lang=en"), "by=Li&do=fit")
        .await
        .text;
    assert!(few.contains("at least 5 of each kind"));
    let weak = FitResult {
        auc: 0.71,
        positives: 12,
        negatives: 15,
        may_alert: false,
        threshold: 0.6,
    };
    *eyes.fit.lock().unwrap() = Some(weak);
    let page = post(&router, &format!("{path}?lang=en"), "by=Li&do=fit")
        .await
        .text;
    assert!(
        page.contains("Shows results, does not alert")
            && page.contains("0.710")
            && page.contains("27 examples")
    );
    *eyes.fit.lock().unwrap() = Some(FitResult {
        may_alert: true,
        ..weak
    });
    assert!(
        post(&router, path, "by=Li&do=fit")
            .await
            .text
            .contains("达到要求，可以报警")
    );
    assert!(
        post(&router, path, "by=Li&do=capture")
            .await
            .text
            .contains("新取了 3 张图片")
    );
    assert_eq!(
        post(&router, path, "by=&do=save").await.status,
        StatusCode::BAD_REQUEST
    );
    let other = get(&router, "/cameras/binhe-01/cam-1/teach/animal_in_kitchen").await;
    assert_eq!(
        other.status,
        StatusCode::NOT_FOUND,
        "a detector's check is not taught"
    );
    stage.finish().await;
}

/// Evidence of the finding: a picture that everybody may see, a clip that only some may, and a reading.
fn evidence(folder: &Path) -> (Archive, EvidenceId) {
    let archive = Archive::open(
        ArchiveOptions::new(folder.join("evidence")),
        Clock::simulated(NOW),
    )
    .unwrap();
    let about = eyes::about(&observation());
    let item = |role, media_type: &str, blurred, bytes: &[u8]| NewItem {
        role,
        media_type: media_type.into(),
        blurred,
        bytes: bytes.to_vec(),
    };
    let items = vec![
        item(ItemRole::Clip, "video/mp4", false, b"clip"),
        item(ItemRole::At, "image/jpeg", true, b"\xff\xd8at"),
    ];
    let id = archive.put(&about, &items).unwrap();
    (archive, id)
}

/// A finding with evidence, and the archive that keeps it.
async fn proven(folder: &Path) -> (Stage, Archive, EvidenceId, Router) {
    let (mut stage, _eyes, _router) = watched().await;
    let (archive, id) = evidence(folder);
    stage.state.evidence = Some(archive.clone());
    let records = &stage.state.records;
    records.add_finding_evidence(FindingId(1), id).await.unwrap();
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, archive, id, router)
}

#[tokio::test]
async fn originals_are_shown_to_those_who_may_and_say_why_and_each_look_is_on_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, archive, id, router) = proven(folder.path()).await;

    let seen = archive.head().seq;
    let page = get(&router, "/findings/1?lang=en").await.text;
    assert!(page.contains(&format!("src=\"/evidence/{id}/at.jpg\"")) && page.contains("4.2 °C"));
    assert!(
        !page.contains("<video") && page.contains("Sign in to see clip"),
        "no clip before somebody signs in"
    );
    let at = get(&router, &format!("/evidence/{id}/at.jpg")).await;
    assert_eq!(
        (at.status, at.header("content-type")),
        (StatusCode::OK, "image/jpeg")
    );
    let clip = format!("/evidence/{id}/0");
    let refused = get(&router, &format!("{clip}?lang=en")).await;
    assert_eq!(refused.status, StatusCode::SEE_OTHER, "sign in first");
    let integrator = signing::sign_in(&router, &stage.state.records, Role::Integrator).await;
    let refused = get_as(&router, &format!("{clip}?lang=en"), &integrator).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("Your role may not do this"));
    let manager = signing::sign_in(&router, &stage.state.records, Role::Manager).await;
    let refused = get_as(&router, &format!("{clip}?lang=en"), &manager).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text.contains("Say first why you look"));
    assert_eq!(archive.head().seq, seen, "nobody has seen what is not blurred");

    let form = "purpose=complaint&back=/findings/1";
    let named = post_as(&router, "/watcher", (form, &manager)).await;
    let purpose = named.header("set-cookie").split(';').next().unwrap().to_owned();
    let cookie = format!("{manager}; {purpose}");
    let with_name = async |path: &str| {
        let request = Request::get(path)
            .header("host", "localhost")
            .header("cookie", &cookie);
        ask(&router, request.body(Body::empty()).unwrap()).await
    };
    let shown = with_name(&format!("{clip}?save=1")).await;
    assert_eq!(shown.status, StatusCode::OK);
    let (mark, copy) = shown.text.split_once('|').unwrap();
    assert_eq!(copy, "clip");
    assert!(
        mark.starts_with("manager manager 2026-")
            && mark.ends_with(&format!("{}/clip", &id.to_string()[..12])),
        "the copy says who took it, when and of what: {mark}"
    );
    assert_eq!(shown.header("cache-control"), "no-store");
    assert!(
        shown
            .header("content-disposition")
            .starts_with("attachment; filename=")
    );
    assert_eq!(archive.head().seq, seen + 1, "the look is on the chain");
    let page = with_name("/findings/1?lang=en").await.text;
    assert!(
        page.contains("<video") && page.contains("manager 同志 · manager · complaint"),
        "with its watermark"
    );
    archive.close().unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn evidence_is_held_and_released_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (stage, archive, id, router) = proven(folder.path()).await;
    let hold = format!("/evidence/{id}/hold");
    let held = post(&router, &hold, "by=Li&reason=court&finding=1").await;
    assert_eq!(
        (held.status, held.header("location")),
        (StatusCode::SEE_OTHER, "/findings/1")
    );
    assert!(get(&router, "/findings/1?lang=en").await.text.contains("On hold"));
    assert_eq!(
        post(&router, &hold, "by=&reason=x").await.status,
        StatusCode::BAD_REQUEST
    );
    let release = format!("/evidence/{id}/release");
    assert_eq!(
        post(&router, &release, "by=Li&reason=over&finding=1")
            .await
            .status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(
        post(&router, &release, "by=Li&reason=over&finding=1")
            .await
            .status,
        StatusCode::CONFLICT
    );
    archive.close().unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn evidence_is_named_strictly_and_missing_evidence_is_said() {
    let (stage, _eyes, router) = watched().await;
    let id = "ab".repeat(32);
    for (path, want) in [
        ("/evidence/zz/at.jpg".to_owned(), 400),
        (format!("/evidence/{id}/at.jpg"), 404),
        (format!("/evidence/{id}/x"), 404),
    ] {
        assert_eq!(get(&router, &path).await.status.as_u16(), want, "{path}");
    }
    let page = get(&router, "/findings/1?lang=en").await.text;
    assert!(page.contains("No picture was kept"));
    stage.finish().await;
}
