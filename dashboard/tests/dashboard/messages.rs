//! Messages: channels and contacts are set up on pages, tried, and what was told is read.

use axum::http::StatusCode;
use domain::{CaseId, Scope};

use crate::{get, post, two_kitchens};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn without_a_channel_the_page_shows_what_nobody_heard_and_what_to_do() {
    let (stage, router) = two_kitchens().await;
    for (lang, words) in [
        ("zh", ["还没有设置消息渠道", "无人接收", "燃气泄漏"]),
        ("en", ["No channel is set up yet", "Nobody to hear", "Gas leak"]),
    ] {
        let page = get(&router, &format!("/messages?lang={lang}")).await;
        assert_eq!(page.status, StatusCode::OK);
        for want in words {
            assert!(page.text.contains(want), "{want} is missing in {lang}");
        }
    }
    let kinds = [
        "webhook", "email", "wecom", "dingtalk", "feishu", "ntfy", "telegram", "sms", "mqtt",
    ];
    for kind in kinds {
        let page = get(&router, &format!("/messages/channels/new?lang=en&kind={kind}")).await;
        assert_eq!(page.status, StatusCode::OK, "{kind}: {}", page.text);
        assert!(page.text.contains("action=\"/messages/channels\""), "{kind}");
    }
    for bad in [
        "/messages?state=x",
        "/messages?before=0",
        "/messages/channels/new?kind=x",
    ] {
        assert_eq!(get(&router, bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(
        get(&router, "/messages/channels/none").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(&router, "/messages/contacts/99").await.status,
        StatusCode::NOT_FOUND
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_channel_and_a_contact_are_set_up_and_no_page_shows_a_secret() {
    let (stage, router) = two_kitchens().await;
    // Nobody listens on port 9 here: the trial fails, and the page says so.
    let form = format!(
        "by=admin&kind=webhook&name=my+hook&version=0&enabled=yes&url=http://127.0.0.1:9/x&secret={SECRET}"
    );
    let made = post(&router, "/messages/channels", &form).await;
    assert_eq!(
        (made.status, made.header("location")),
        (StatusCode::SEE_OTHER, "/messages/channels/my%20hook")
    );
    let tried = post(&router, "/messages/channels/my%20hook/test", "").await;
    assert_eq!(tried.status, StatusCode::SEE_OTHER, "{}", tried.text);
    let page = get(&router, "/messages/channels/my%20hook?lang=en").await;
    assert!(
        page.text.contains("Fails") && page.text.contains("cannot be connected to"),
        "{}",
        page.text
    );
    assert!(page.text.contains("kept, not shown") && !page.text.contains("whsec_Mf"));
    let again = post(&router, "/messages/channels", &form).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "somebody made it before");
    let keeps = "by=admin&kind=webhook&name=my+hook&version=1&enabled=yes&url=http://127.0.0.1:9/y";
    assert_eq!(
        post(&router, "/messages/channels", keeps).await.status,
        StatusCode::SEE_OTHER
    );
    let wrong = "by=admin&kind=webhook&name=x&version=0&url=http://127.0.0.1:9/&secret=hunter2";
    let refused = post(&router, "/messages/channels?lang=en", wrong).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("whsec_ and 24 to 64 bytes") && !refused.text.contains("hunter2"));

    assert_eq!(stage.state.records.channels().await.unwrap().len(), 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_contact_is_set_up_and_removed_and_the_trail_holds_no_secret() {
    let (stage, router) = two_kitchens().await;
    let form = format!(
        "by=admin&kind=webhook&name=my+hook&version=0&enabled=yes&url=http://127.0.0.1:9/x&secret={SECRET}"
    );
    assert_eq!(
        post(&router, "/messages/channels", &form).await.status,
        StatusCode::SEE_OTHER
    );
    let contact = "by=admin&id=0&version=0&name=Wang&language=en&step=duty&channel=my+hook&least=P3&enabled=yes\
                   &quiet_from=22:00&quiet_to=07:00&shifts=12345+08:00-20:00&regions=binhe&digest=&digest_at=08:00";
    let made = post(&router, "/messages/contacts", contact).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", made.text);
    let page = get(&router, "/messages/contacts/1?lang=en").await.text;
    for kept in ["12345 08:00-20:00", "22:00", "binhe", "value=\"Wang\""] {
        assert!(page.contains(kept), "{kept} is missing");
    }
    let bad = contact.replace("12345+08:00-20:00", "mornings");
    assert_eq!(
        post(&router, "/messages/contacts", &bad).await.status,
        StatusCode::BAD_REQUEST
    );
    let used = post(&router, "/messages/channels/my%20hook/remove", "by=admin").await;
    assert_eq!(
        used.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "a contact is told over it"
    );
    let records = &stage.state.records;
    let trail = format!("{:?}", records.audit_trail(50).await.unwrap());
    assert!(
        trail.contains("contact.put") && !trail.contains("whsec_"),
        "{trail}"
    );

    assert_eq!(
        post(&router, "/messages/contacts/1/remove", "by=admin")
            .await
            .status,
        StatusCode::SEE_OTHER
    );
    let removed = post(&router, "/messages/channels/my%20hook/remove", "by=admin").await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert_eq!(records.channels().await.unwrap(), []);
    assert!(
        records
            .case(&Scope::everything(), CaseId(1))
            .await
            .unwrap()
            .is_some()
    );
    stage.finish().await;
}

#[tokio::test]
async fn what_was_not_given_up_is_not_sent_again() {
    let (stage, router) = two_kitchens().await;
    for id in ["1", "99", "x"] {
        let answer = post(&router, &format!("/messages/{id}/resend"), "by=admin").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn programs_act_on_cases_and_read_the_outbox() {
    let (stage, router) = two_kitchens().await;
    let told = get(&router, "/api/v1/messages?state=unheard&case=1").await.json();
    assert_eq!(
        (&told["messages"][0]["kind"], &told["messages"][0]["contact"]),
        (&"opened".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        get(&router, "/api/v1/messages?state=x").await.status,
        StatusCode::BAD_REQUEST
    );
    let send = async |path: &str, media: &str, body: Vec<u8>| {
        let request = axum::http::Request::post(path)
            .header("host", "localhost")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", media)
            .body(axum::body::Body::from(body))
            .unwrap();
        crate::ask(&router, request).await
    };
    let act = async |body: serde_json::Value| {
        send(
            "/api/v1/cases/1/acts",
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    };
    let taken =
        act(serde_json::json!({"act": "acknowledge", "by": "Wang", "version": 1, "once": "r-1"})).await;
    assert_eq!(taken.json()["state"], "acknowledged");
    let again =
        act(serde_json::json!({"act": "acknowledge", "by": "Wang", "version": 1, "once": "r-1"})).await;
    assert_eq!(
        (again.status, again.json()["version"].as_i64()),
        (StatusCode::OK, Some(2))
    );
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 9, 0, 9, 1, 1, 0x11, 0];
    jpeg.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 7, 0xff, 0xd9]);
    let kept = send("/api/v1/cases/1/pictures", "image/jpeg", jpeg).await.json();
    let picture = kept["picture"].as_str().unwrap().to_owned();
    act(serde_json::json!({"act": "begin", "by": "Wang", "version": 2})).await;
    let sent = act(serde_json::json!({"act": "submit", "by": "Wang", "comment": "done", "version": 3, "picture": picture})).await;
    assert_eq!(sent.json()["after"], picture.as_str());
    let own = act(serde_json::json!({"act": "verify", "by": "Wang", "version": 4})).await;
    assert_eq!(own.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(own.json()["detail"].as_str().unwrap().contains("own fix"));
    let one = get(&router, "/api/v1/cases/1").await.json();
    let acts: Vec<&str> = one["acts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["act"].as_str().unwrap())
        .collect();
    assert_eq!(acts, ["acknowledge", "begin", "submit"]);
    assert_eq!(
        send("/api/v1/cases/1/pictures", "image/jpeg", b"no".to_vec())
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
    stage.finish().await;
}
