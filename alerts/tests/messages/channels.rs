//! Each channel, checked by a server that knows what the vendor documents.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use domain::{
    Severity,
    message::{ChannelKind, ChannelSettings, Language, SmtpTls},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sunshine_alerts::TrialError;

use crate::{
    post::{Post, SECRET, START, contact, key},
    sink::{MailSink, Seen, Sink},
};

fn hmac(secret: &[u8], message: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn at(sink: &Sink) -> ChannelSettings {
    ChannelSettings {
        url: sink.url(),
        ..ChannelSettings::default()
    }
}

/// Sets up one channel with one contact, opens one case, and answers with what arrived.
async fn told(post: &mut Post, sink: &Sink, kind: ChannelKind, address: &str) -> Vec<Seen> {
    post.put(&contact(kind.code(), address)).await;
    post.open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P2)
        .await;
    post.messenger.round().await.unwrap();
    sink.take()
}

#[tokio::test]
async fn a_webhook_is_signed_as_standard_webhooks_says() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let settings = ChannelSettings {
        url: format!("{}/hook?a=1", sink.url()),
        ..ChannelSettings::default()
    };
    post.channel(ChannelKind::Webhook, settings, ("", SECRET)).await;
    let seen = told(&mut post, &sink, ChannelKind::Webhook, "").await;
    assert_eq!(seen.len(), 1);
    let (id, stamp) = (seen[0].header("webhook-id"), seen[0].header("webhook-timestamp"));
    assert_eq!(stamp, (START.0 / 1_000).to_string());
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let want = format!("v1,{}", hmac(&key, &format!("{id}.{stamp}.{body}")));
    assert_eq!(seen[0].header("webhook-signature"), want);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str()),
        ("POST", "/hook?a=1")
    );
    let event = seen[0].json();
    assert_eq!(event["type"], "case.opened");
    assert_eq!(event["data"]["facility_en"], "Binhe Care Home");
    assert_eq!(event["data"]["value"], 9.25);
    assert_eq!(event["data"]["link"], "https://kitchen.example/cases/1");
    assert_eq!(post.outbox().await[0].name, id, "the key is the outbox's");
}

#[tokio::test]
async fn a_wecom_robot_gets_text_and_then_the_picture() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::WeCom, at(&sink), ("693a91f6-key", ""))
        .await;
    post.put(&contact("wecom", "")).await;
    post.open_case("V-02", key("cam-1", "no_mask"), Severity::P3)
        .await;
    post.messenger.round().await.unwrap();
    let seen = sink.take();
    assert_eq!((seen.len(), seen[0].path()), (1, "/cgi-bin/webhook/send"));
    assert_eq!(seen[0].parameter("key"), "693a91f6-key");
    let body = seen[0].json();
    assert_eq!(body["msgtype"], "text");
    let text = body["text"]["content"].as_str().unwrap();
    assert!(
        text.len() <= 2_048
            && text.contains("滨河颐养院")
            && text.ends_with("https://kitchen.example/cases/1")
    );
    // There is no picture yet; a moment later there is.
    post.pass(2_000);
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 0);
    *post.picture.lock().unwrap() = Some(Bytes::from_static(b"jpeg"));
    post.pass(5_000);
    post.messenger.round().await.unwrap();
    let picture = sink.take().remove(0).json();
    assert_eq!(picture["image"]["base64"], STANDARD.encode(b"jpeg"));
    assert_eq!(picture["image"]["md5"], MD5_OF_JPEG);
    post.pass(60_000);
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 0, "each once");
}

/// `printf jpeg | md5sum`.
const MD5_OF_JPEG: &str = "ab4f3ccba74857c5f2ba0d5b7dbf65e1";

#[tokio::test]
async fn a_dingtalk_robot_is_signed_in_the_query() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::DingTalk, at(&sink), ("tok+en", "SEC000"))
        .await;
    let seen = told(&mut post, &sink, ChannelKind::DingTalk, "").await;
    assert_eq!(seen[0].path(), "/robot/send");
    let stamp = seen[0].parameter("timestamp");
    assert_eq!(stamp, START.0.to_string(), "milliseconds");
    assert_eq!(seen[0].parameter("access_token"), "tok+en");
    assert_eq!(
        seen[0].parameter("sign"),
        hmac(b"SEC000", &format!("{stamp}\nSEC000"))
    );
    assert_eq!(seen[0].json()["msgtype"], "text");
}

#[tokio::test]
async fn a_feishu_robot_is_signed_in_the_body() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Feishu, at(&sink), ("hook-token", "sec"))
        .await;
    let seen = told(&mut post, &sink, ChannelKind::Feishu, "").await;
    assert_eq!(seen[0].path(), "/open-apis/bot/v2/hook/hook-token");
    let body = seen[0].json();
    let stamp = body["timestamp"].as_str().unwrap();
    assert_eq!(stamp, (START.0 / 1_000).to_string(), "seconds");
    assert_eq!(body["sign"], hmac(format!("{stamp}\nsec").as_bytes(), ""));
    assert!(body["content"]["text"].as_str().unwrap().contains("请处理"));
}

#[tokio::test]
async fn ntfy_gets_title_priority_and_a_link_to_click() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let settings = ChannelSettings {
        topic: "kitchen".into(),
        ..at(&sink)
    };
    post.channel(ChannelKind::Ntfy, settings, ("tk_1", "")).await;
    let seen = told(&mut post, &sink, ChannelKind::Ntfy, "").await;
    assert_eq!(seen[0].header("authorization"), "Bearer tk_1");
    let body = seen[0].json();
    assert_eq!(
        (&body["topic"], &body["priority"]),
        (&"kitchen".into(), &4.into())
    );
    assert_eq!(body["click"], "https://kitchen.example/cases/1");
}

#[tokio::test]
async fn telegram_gets_a_message_for_the_contacts_chat_and_says_how_long_to_wait() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Telegram, at(&sink), ("123:abc", ""))
        .await;
    sink.answer(429, r#"{"ok":false,"parameters":{"retry_after":40}}"#);
    let seen = told(&mut post, &sink, ChannelKind::Telegram, "-1001").await;
    assert_eq!(
        (seen[0].path(), seen[0].json()["chat_id"].as_str()),
        ("/bot123:abc/sendMessage", Some("-1001"))
    );
    post.pass(39_000);
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 0, "it was asked to wait 40 s");
    post.pass(2_000);
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 1);
}

#[tokio::test]
async fn a_text_message_gateway_reads_its_own_template() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let settings = ChannelSettings {
        template: r#"{"mobile":"{phone}","content":"{text}","key":"{token}"}"#.into(),
        authorization: "Basic {secret}".into(),
        ..at(&sink)
    };
    post.channel(ChannelKind::Sms, settings, ("k1", "czpw")).await;
    let seen = told(&mut post, &sink, ChannelKind::Sms, "+8613800000000").await;
    let body = seen[0].json();
    assert_eq!(
        (&body["mobile"], &body["key"]),
        (&"+8613800000000".into(), &"k1".into())
    );
    assert!(body["content"].as_str().unwrap().contains("新隐患"));
    assert_eq!(seen[0].header("authorization"), "Basic czpw");
}

#[tokio::test]
async fn a_topic_of_our_own_gets_the_event() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let settings = ChannelSettings {
        topic: "alerts/{facility}".into(),
        ..ChannelSettings::default()
    };
    post.channel(ChannelKind::Mqtt, settings, ("", "")).await;
    told(&mut post, &sink, ChannelKind::Mqtt, "").await;
    let published = post.published.lock().unwrap().clone();
    assert_eq!(published[0].0, "alerts/binhe");
    let event: serde_json::Value = serde_json::from_slice(&published[0].1).unwrap();
    assert_eq!(event["type"], "case.opened");
}

#[tokio::test]
async fn a_mail_has_subject_words_and_a_lasting_id_and_an_unknown_address_is_given_up() {
    let (mut post, mails) = (Post::open().await, MailSink::start().await);
    let settings = ChannelSettings {
        host: "127.0.0.1".into(),
        port: mails.address.port(),
        tls: SmtpTls::None,
        user: "kitchen".into(),
        from: "Kitchen <kitchen@example.org>".into(),
        ..ChannelSettings::default()
    };
    post.channel(ChannelKind::Email, settings, ("hunter2", "")).await;
    let mut english = contact("email", "manager@example.org");
    english.language = Language::En;
    post.put(&english).await;
    post.put(&contact("email", "unknown@example.org")).await;
    post.open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P2)
        .await;
    post.messenger.round().await.unwrap();
    let taken = mails.take();
    assert_eq!(taken.len(), 1);
    let name = post.outbox().await[0].name.clone();
    for want in [
        "RCPT TO:<manager@example.org>",
        "AUTH PLAIN",
        "Binhe Care Home",
        &format!("<{name}@sunshine-kitchen>"),
    ] {
        assert!(taken[0].contains(want), "{want} is missing: {}", taken[0]);
    }
    for _ in 0..8 {
        post.pass(3_600_000);
        post.messenger.round().await.unwrap();
    }
    let rows = post.outbox().await;
    let lost = rows.iter().find(|row| row.error.contains("550")).unwrap();
    assert_eq!(lost.state.code(), "dead", "{lost:?}");
    assert!(!lost.error.contains("hunter2"));
    mails.take();
    let required = ChannelSettings {
        host: "127.0.0.1".into(),
        port: mails.address.port(),
        from: "kitchen@example.org".into(),
        ..ChannelSettings::default()
    };
    let channel = post.records.channel("email").await.unwrap().unwrap();
    let strict = store::records::Channel {
        settings: required,
        ..channel
    };
    post.handle.put_channel(&strict, None, "admin").await.unwrap();
    let refused = post
        .handle
        .try_channel("email", "manager@example.org", Language::En)
        .await;
    assert!(
        refused.is_err(),
        "without TLS nothing is sent where TLS is asked for"
    );
    assert_eq!(mails.take().len(), 0);
}

#[tokio::test]
async fn a_trial_says_how_it_went_and_holds_no_secret() {
    let (post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::WeCom, at(&sink), ("hunter2-key", ""))
        .await;
    post.handle.try_channel("wecom", "", Language::Zh).await.unwrap();
    assert!(
        sink.take()[0].json()["text"]["content"]
            .as_str()
            .unwrap()
            .contains("测试消息")
    );
    let worked = post.records.channel("wecom").await.unwrap().unwrap();
    assert_eq!((worked.worked, worked.said.as_str()), (Some(true), ""));
    sink.always(
        200,
        r#"{"errcode":93000,"errmsg":"invalid webhook url, hint: hunter2-key"}"#,
    );
    let failed = post
        .handle
        .try_channel("wecom", "", Language::Zh)
        .await
        .unwrap_err();
    assert!(matches!(failed, TrialError::Failed(_)), "{failed:?}");
    let noted = post.records.channel("wecom").await.unwrap().unwrap();
    for words in [failed.to_string(), noted.said, format!("{failed:?}")] {
        assert!(words.contains("93000") && !words.contains("hunter2"), "{words}");
    }
    let unknown = post.handle.try_channel("none", "", Language::Zh).await;
    assert!(matches!(unknown, Err(TrialError::NotFound)));
    sink.always(302, "");
    let moved = post
        .handle
        .try_channel("wecom", "", Language::Zh)
        .await
        .unwrap_err();
    assert!(moved.to_string().contains("302"), "{moved}");
}
