//! A channel that is down, a process that is restarted, people who want their peace: nothing is lost, and nobody is flooded.

use std::collections::BTreeSet;

use domain::{
    Severity,
    case::Act,
    duty::{Span, Step},
    message::{ChannelKind, ChannelSettings, NoticeKind},
};

use crate::{
    post::{Post, SECRET, contact, key},
    sink::Sink,
};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

fn at(sink: &Sink) -> ChannelSettings {
    ChannelSettings {
        url: sink.url(),
        ..ChannelSettings::default()
    }
}

/// An hour with a case every minute, in which the messenger looks every five seconds.
async fn an_hour(post: &mut Post) {
    for minute in 0..60 {
        let device = format!("fridge-{minute}");
        post.open_case("CN-TMP-01", key(&device, "temperature"), Severity::P3)
            .await;
        for _ in 0..12 {
            post.pass(5 * SECOND);
            post.messenger.round().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_webhook_that_is_down_for_an_hour_gets_every_alarm_afterwards_and_no_storm() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Webhook, at(&sink), ("", SECRET)).await;
    post.put(&contact("webhook", "")).await;
    sink.always(503, "down");
    an_hour(&mut post).await;
    let tries = sink.take();
    assert!(
        (10..=40).contains(&tries.len()),
        "{} tries in an hour",
        tries.len()
    );
    let hook = |post: &Post| {
        let all = post.handle.figures();
        all.into_iter().find(|f| f.kind == ChannelKind::Webhook).unwrap()
    };
    let figures = hook(&post);
    assert_eq!((figures.sent, figures.resting), (0, 1));
    assert_eq!(figures.failed, tries.len() as u64);
    let state = post.records.outbox_state().await.unwrap();
    let age_ms = post.clock.now().ms_since(state.oldest.unwrap());
    assert!(state.waiting >= 60 && age_ms >= 59 * MINUTE, "{state:?}");
    // The process is restarted while the other side is still down.
    post.restart();
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 1, "one look whether it is back");
    sink.always(200, "{}");
    for _ in 0..20 {
        post.pass(MINUTE);
        post.messenger.round().await.unwrap();
    }
    let seen = sink.take();
    let opened: Vec<i64> = seen
        .iter()
        .filter(|s| s.json()["type"] == "case.opened")
        .map(|s| s.json()["data"]["case"].as_i64().unwrap())
        .collect();
    assert_eq!(opened.len(), 60, "each once");
    assert_eq!(
        opened.iter().collect::<BTreeSet<_>>().len(),
        60,
        "and none is missing"
    );
    let names: BTreeSet<&str> = seen.iter().map(|s| s.header("webhook-id")).collect();
    assert_eq!(names.len(), seen.len());
    let figures = hook(&post);
    assert_eq!((figures.sent, figures.resting), (seen.len() as u64, 0));
    assert_eq!(post.records.outbox_state().await.unwrap().oldest, None);
    assert!(
        post.outbox()
            .await
            .iter()
            .all(|row| row.state.code() != "waiting")
    );
}

#[tokio::test]
async fn people_get_what_gathered_during_an_outage_as_one_message() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::DingTalk, at(&sink), ("token", "SEC"))
        .await;
    post.put(&contact("dingtalk", "")).await;
    sink.always(502, "bad gateway");
    an_hour(&mut post).await;
    sink.take();
    sink.always(200, r#"{"errcode":0}"#);
    post.pass(10 * MINUTE);
    post.messenger.round().await.unwrap();
    let seen = sink.take();
    assert_eq!(seen.len(), 1, "not sixty");
    let text = seen[0].json()["text"]["content"].as_str().unwrap().to_owned();
    assert!(text.starts_with("60 条消息"), "{text}");
    assert!(post.outbox().await.iter().all(|row| row.state.code() == "sent"));
}

#[tokio::test]
async fn a_channel_that_is_down_holds_up_no_other() {
    let (mut post, down, up) = (Post::open().await, Sink::start().await, Sink::start().await);
    post.channel(ChannelKind::Webhook, at(&up), ("", SECRET)).await;
    post.channel(ChannelKind::WeCom, at(&down), ("key", "")).await;
    down.always(500, "");
    post.put(&contact("wecom", "")).await;
    post.put(&contact("webhook", "")).await;
    for n in 0..5 {
        post.open_case("CN-TMP-01", key(&format!("f-{n}"), "temperature"), Severity::P3)
            .await;
        post.messenger.round().await.unwrap();
        assert_eq!(up.take().len(), 1);
    }
    assert_eq!(down.take().len(), 1, "and the one that is down is not hammered");
}

#[tokio::test]
async fn what_is_refused_for_good_does_not_stop_the_others_and_can_be_sent_again() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Webhook, at(&sink), ("", SECRET)).await;
    post.put(&contact("webhook", "")).await;
    for n in 0..2 {
        post.open_case("CN-TMP-01", key(&format!("f-{n}"), "temperature"), Severity::P3)
            .await;
    }
    sink.answer(400, "no such field");
    post.messenger.round().await.unwrap();
    assert_eq!(
        sink.take().len(),
        2,
        "the second is sent although the first is refused"
    );
    sink.always(400, "no such field");
    for _ in 0..10 {
        post.pass(20 * MINUTE);
        post.messenger.round().await.unwrap();
    }
    assert_eq!(sink.take().len(), 4, "five times in all");
    let dead = post
        .outbox()
        .await
        .into_iter()
        .find(|row| row.state.code() == "dead")
        .unwrap();
    sink.always(200, "");
    post.records
        .resend_delivery(&domain::Scope::everything(), dead.id, "admin")
        .await
        .unwrap();
    post.messenger.round().await.unwrap();
    let again = sink.take();
    assert_eq!(
        (again.len(), again[0].header("webhook-id")),
        (1, dead.name.as_str()),
        "the same key"
    );
}

#[tokio::test]
async fn a_restart_repeats_no_alarm_and_misses_no_timer() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Webhook, at(&sink), ("", SECRET)).await;
    let mut head = contact("webhook", "");
    head.step = Step::Head;
    post.put(&contact("webhook", "")).await;
    post.put(&head).await;
    let case = post
        .open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P1)
        .await;
    post.messenger.round().await.unwrap();
    assert_eq!(sink.take().len(), 1);
    for _ in 0..3 {
        post.restart();
        post.messenger.round().await.unwrap();
    }
    assert_eq!(sink.take().len(), 0, "no alarm is repeated");
    // The deadline passes while nothing runs.
    post.pass(11 * MINUTE);
    post.restart();
    post.messenger.round().await.unwrap();
    let kinds: Vec<String> = sink
        .take()
        .iter()
        .map(|s| s.json()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["case.overdue", "case.overdue"],
        "duty and head, once each"
    );
    // What was taken up needs no reminder, also one that waits already.
    sink.always(503, "");
    post.pass(10 * MINUTE);
    post.messenger.round().await.unwrap();
    let case = post
        .records
        .case(&domain::Scope::everything(), case.id)
        .await
        .unwrap()
        .unwrap();
    post.act(&case, Act::Acknowledge, "王芳").await;
    sink.always(200, "");
    sink.take();
    post.pass(10 * MINUTE);
    post.messenger.round().await.unwrap();
    let kinds: Vec<String> = sink
        .take()
        .iter()
        .map(|s| s.json()["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["case.taken"], "the head hears that it was taken up");
}

#[tokio::test]
async fn at_night_only_danger_is_told_and_the_rest_in_the_morning_as_one() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    post.channel(ChannelKind::Feishu, at(&sink), ("token", "s")).await;
    let mut one = contact("feishu", "");
    // It is 14:40 in Shanghai: their night, for once, ends at 15:00.
    one.quiet = Some(Span { from: 840, to: 900 });
    one.digest = Some(Severity::P3);
    one.digest_at = 900;
    post.put(&one).await;
    for (n, severity) in [Severity::P0, Severity::P2, Severity::P3, Severity::P4]
        .into_iter()
        .enumerate()
    {
        post.open_case("CN-TMP-01", key(&format!("f-{n}"), "temperature"), severity)
            .await;
    }
    post.messenger.round().await.unwrap();
    let seen = sink.take();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].json()["content"]["text"]
            .as_str()
            .unwrap()
            .contains("危险")
    );
    // The emergency is taken up; nothing of it is told in the morning.
    let cases = post.outbox().await;
    let emergency = cases
        .iter()
        .find(|row| row.said.severity == Severity::P0)
        .unwrap();
    let case = post
        .records
        .case(&domain::Scope::everything(), emergency.case)
        .await
        .unwrap()
        .unwrap();
    post.act(&case, Act::Acknowledge, "王芳").await;
    post.pass(21 * MINUTE);
    post.messenger.round().await.unwrap();
    let texts: Vec<String> = sink
        .take()
        .iter()
        .map(|s| s.json()["content"]["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.len(), 1, "what was held back and the digest: {texts:?}");
    assert!(texts[0].starts_with("3 条消息"), "{texts:?}");
    assert!(
        post.outbox()
            .await
            .iter()
            .all(|row| row.kind != NoticeKind::Reminder)
    );
}
