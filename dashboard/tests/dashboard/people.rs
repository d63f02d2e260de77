//! Keeping accounts, and the page of one's own.

use axum::{Router, http::StatusCode};
use domain::{
    FacilityId, PersonId, Reach, Role, Severity,
    duty::{Contact, ContactId, Reach as Told, Step},
    message::{ChannelKind, ChannelSettings, Language},
};
use store::records::Channel;

use crate::{NOW, get, get_as, post, post_as, signing, stage::Stage};

/// A district that is no demo.
async fn real() -> (Stage, Router) {
    let mut stage = Stage::build(2, NOW).await;
    stage.state.site.demo = false;
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    (stage, router)
}

/// The password that a page shows once.
fn shown(page: &str) -> &str {
    let (_, rest) = page.split_once("class=\"secret\"").expect("a password is shown");
    let (_, rest) = rest.split_once("<code>").unwrap();
    rest.split_once("</code>").unwrap().0
}

/// Signs in: the session's cookie, and where it leads.
async fn enter(router: &Router, account: &str, password: &str) -> (String, String) {
    let form = format!("account={account}&password={password}&back=/cases/1");
    let answer = post(router, "/sign-in", &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{account}");
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    (cookie, answer.header("location").to_owned())
}

#[tokio::test]
async fn the_first_account_is_one_that_can_keep_accounts() {
    let (stage, router) = real().await;
    let page = get(&router, "/people?lang=en").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("has to be an administrator"));
    let manager = "account=wang&name=王芳&role=manager&by=setup";
    let refused = post(&router, "/people", manager).await;
    assert_eq!(
        refused.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "nobody could go on"
    );
    assert!(
        get(&router, "/cases").await.status == StatusCode::OK,
        "and nobody is locked out"
    );
    let added = post(
        &router,
        "/people",
        "account=root.li&name=李伟&role=administrator&by=setup&lang=en",
    )
    .await;
    assert_eq!(added.status, StatusCode::OK, "{}", added.text);
    let password = shown(&added.text).to_owned();
    assert_eq!(
        get(&router, "/people").await.status,
        StatusCode::SEE_OTHER,
        "now everybody signs in"
    );
    let (once, _) = enter(&router, "root.li", &password).await;
    let led = get_as(&router, "/people", &once).await;
    assert_eq!(
        (led.status, led.header("location")),
        (StatusCode::SEE_OTHER, "/me/password"),
        "a password for one sign-in"
    );
    let api = get_as(&router, "/api/v1/cases", &once).await;
    assert_eq!(api.status, StatusCode::FORBIDDEN, "not by the API either");
    for wrong in [
        format!("old={password}&new=short&again=short"),
        format!("old={password}&new=correct+horse&again=other+horses"),
        format!("old={password}&new={password}&again={password}"),
        "old=not+this+one&new=correct+horse&again=correct+horse".to_owned(),
    ] {
        let refused = post_as(&router, "/me/password", (&wrong, &once)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(!refused.text.contains(&password), "not echoed");
    }
    let chosen = format!("old={password}&new=correct+horse&again=correct+horse");
    let chosen = post_as(&router, "/me/password", (&chosen, &once)).await;
    assert_eq!(chosen.status, StatusCode::SEE_OTHER);
    let cookie = chosen.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(get_as(&router, "/people", &cookie).await.status, StatusCode::OK);
    assert_eq!(
        get_as(&router, "/people", &once).await.status,
        StatusCode::SEE_OTHER,
        "the earlier session ended"
    );
    stage.finish().await;
}

#[tokio::test]
async fn accounts_are_kept_by_administrators_alone() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let admin = signing::sign_in(&router, records, Role::Administrator).await;
    for role in [Role::Inspector, Role::Manager, Role::Integrator] {
        let cookie = signing::sign_in(&router, records, role).await;
        for refused in [
            get_as(&router, "/people", &cookie).await,
            post_as(&router, "/people/administrator/bar", ("", &cookie)).await,
            post_as(
                &router,
                "/people",
                ("account=x&name=x&role=administrator", &cookie),
            )
            .await,
        ] {
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{role:?}");
        }
    }
    for (form, want) in [
        (
            "account=zhao&name=赵敏&role=manager&facilities=binhe-01",
            StatusCode::OK,
        ),
        (
            "account=zhao&name=赵敏&role=manager&facilities=binhe-01",
            StatusCode::CONFLICT,
        ),
        (
            "account=qian&name=钱&role=manager&facilities=nowhere",
            StatusCode::BAD_REQUEST,
        ),
        (
            "account=qian&name=钱&role=manager&region=nowhere",
            StatusCode::BAD_REQUEST,
        ),
        ("account=qian&name=钱&role=king", StatusCode::BAD_REQUEST),
        ("account=qian&name=&role=manager", StatusCode::BAD_REQUEST),
        ("account=qian&name=钱&role=inspector&region=binhe", StatusCode::OK),
    ] {
        let answer = post_as(&router, "/people", (form, &admin)).await;
        assert_eq!(answer.status, want, "{form}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn the_last_one_who_keeps_accounts_cannot_take_that_away() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let admin = signing::sign_in(&router, records, Role::Administrator).await;
    // The last one who keeps accounts cannot take that away, neither on purpose nor by mistake.
    for (path, form) in [
        ("/people/administrator/bar", ""),
        ("/people/administrator", "name=A&role=manager"),
        ("/people/administrator", "name=A&role=administrator&region=binhe"),
    ] {
        let refused = post_as(&router, path, (form, &admin)).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {form}");
    }
    assert_eq!(get_as(&router, "/people", &admin).await.status, StatusCode::OK);
    stage.finish().await;
}

#[tokio::test]
async fn an_administrator_of_one_facility_keeps_nobody() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let admin = signing::sign_in(&router, records, Role::Administrator).await;
    // An administrator of one region keeps nobody.
    let own = vec![FacilityId::new("binhe-01").unwrap()];
    signing::put(records, Role::Integrator, Reach::Facilities(own)).await;
    let changed = post_as(
        &router,
        "/people/integrator",
        ("name=乙&role=administrator&facilities=binhe-01", &admin),
    )
    .await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    let (narrow, _) = enter(&router, "integrator", "correct+horse").await;
    assert_eq!(
        get_as(&router, "/people", &narrow).await.status,
        StatusCode::FORBIDDEN
    );
    stage.finish().await;
}

#[tokio::test]
async fn somebody_is_barred_let_in_again_and_given_a_new_password() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let admin = signing::sign_in(&router, records, Role::Administrator).await;
    signing::put(records, Role::Inspector, Reach::Everything).await;
    // Barred, let in again, with a new password; all of it in the trail under the signed-in name.
    let barred = post_as(&router, "/people/inspector/bar", ("", &admin)).await;
    assert_eq!(barred.status, StatusCode::SEE_OTHER);
    let list = get_as(&router, "/people?lang=en", &admin).await.text;
    assert!(list.contains("Barred"), "{list}");
    post_as(&router, "/people/inspector/lift", ("", &admin)).await;
    let renewed = post_as(&router, "/people/inspector/password", ("", &admin)).await;
    let list = get_as(&router, "/people?lang=en", &admin).await.text;
    assert!(
        !list.contains("Barred") && list.contains("One-time password"),
        "{list}"
    );
    enter(&router, "inspector", shown(&renewed.text)).await;
    let trail = records.audit_trail(50).await.unwrap();
    let line = |action: &str| {
        trail
            .iter()
            .find(|line| line.action == action && line.actor == "administrator 同志")
    };
    assert!(line("person.put").is_some() && line("person.password").is_some());
    stage.finish().await;
}

/// A channel that reaches people.
async fn channel(stage: &Stage, name: &str, kind: ChannelKind) {
    let channel = Channel {
        name: name.into(),
        kind,
        settings: ChannelSettings {
            topic: "kitchen".into(),
            ..ChannelSettings::default()
        },
        has_secrets: false,
        enabled: true,
        tried_at: None,
        worked: None,
        said: String::new(),
        version: 0,
    };
    stage
        .state
        .messages
        .put_channel(&channel, None, "tester")
        .await
        .unwrap();
}

fn rostered(person: &str, channel: &str) -> Contact {
    Contact {
        id: ContactId(0),
        person: Some(PersonId::new(person).unwrap()),
        name: "值班".into(),
        language: Language::Zh,
        step: Step::Duty,
        reach: Told::Everywhere,
        channel: channel.into(),
        address: String::new(),
        least: Severity::P4,
        quiet: None,
        digest: None,
        digest_at: 480,
        shifts: Vec::new(),
        enabled: true,
    }
}

#[tokio::test]
async fn people_choose_how_they_are_told_and_nothing_else() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let manager = signing::sign_in(&router, records, Role::Manager).await;
    let inspector = signing::sign_in(&router, records, Role::Inspector).await;
    channel(&stage, "duty", ChannelKind::Ntfy).await;
    channel(&stage, "other", ChannelKind::Ntfy).await;
    channel(&stage, "program", ChannelKind::Mqtt).await;
    let id = records
        .put_contact(&rostered("manager", "duty"), 0, "tester")
        .await
        .unwrap();
    let page = get_as(&router, "/me?lang=en", &manager).await.text;
    assert!(
        page.contains(&format!("/me/contacts/{}", id.0)) && !page.contains("\"program\""),
        "{page}"
    );
    let form = "version=1&channel=other&address=&language=en&least=P2&quiet_from=22:00&quiet_to=06:30&digest=P3\
                &digest_at=07:15&step=observer&facilities=songbai-02&enabled=";
    let path = format!("/me/contacts/{}", id.0);
    let stranger = post_as(&router, &path, (form, &inspector)).await;
    assert_eq!(stranger.status, StatusCode::NOT_FOUND, "somebody else's");
    let kept = post_as(&router, &path, (form, &manager)).await;
    assert_eq!(kept.status, StatusCode::SEE_OTHER, "{}", kept.text);
    let after = records.contact(id).await.unwrap().unwrap();
    assert_eq!(
        (
            after.channel.as_str(),
            after.language,
            after.least,
            after.digest,
            after.digest_at
        ),
        ("other", Language::En, Severity::P2, Some(Severity::P3), 435)
    );
    assert_eq!(after.quiet.map(|span| (span.from, span.to)), Some((1_320, 390)));
    assert_eq!(
        (after.step, &after.reach, after.enabled),
        (Step::Duty, &Told::Everywhere, true),
        "the roster's"
    );
    for wrong in [
        "version=2&channel=program&language=en&least=P2",
        "version=2&channel=nowhere&language=en&least=P2",
        "version=2&channel=other&language=fr&least=P2",
        "version=2&channel=other&language=en&least=P9",
        "version=2&channel=other&language=en&least=P2&quiet_from=25:00&quiet_to=06:00",
    ] {
        let refused = post_as(&router, &path, (wrong, &manager)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let stale = post_as(&router, &path, (form, &manager)).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let led = get(&router, "/me").await;
    assert_eq!(led.header("location"), "/sign-in?back=/me");
    stage.finish().await;
}

/// A browser's keys: those of the example of RFC 8291.
const BROWSER: &str = "p256dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4\
                       &auth=BTBZMqHH6r4Tts7J_aSIgg&label=Firefox";

#[tokio::test]
async fn a_browser_is_switched_on_tried_and_switched_off() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    let own = vec![FacilityId::new("binhe-01").unwrap()];
    signing::put(records, Role::Manager, Reach::Facilities(own.clone())).await;
    let (cookie, _) = enter(&router, "manager", "correct+horse").await;
    let page = get_as(&router, "/me?lang=en", &cookie).await.text;
    let key = stage.state.messages.push_key().unwrap();
    assert!(page.contains(&format!("data-key=\"{key}\"")) && page.contains("<noscript>"));
    let hidden = post_as(
        &router,
        "/me/browsers",
        (&format!("endpoint=http://10.0.0.1/x&{BROWSER}"), &cookie),
    )
    .await;
    assert_eq!(
        hidden.status,
        StatusCode::BAD_REQUEST,
        "no way into a private network"
    );
    let form = format!("endpoint=http://127.0.0.1:1/push/secret-place&{BROWSER}");
    for _ in 0..2 {
        let kept = post_as(&router, "/me/browsers", (&form, &cookie)).await;
        assert_eq!(kept.status, StatusCode::SEE_OTHER, "{}", kept.text);
    }
    let me = PersonId::new("manager").unwrap();
    let browsers = records.subscriptions(&me).await.unwrap();
    assert_eq!(browsers.len(), 1, "the same browser is one");
    let contacts = records.contacts_of_person(&me).await.unwrap();
    assert_eq!(contacts.len(), 1);
    let (contact, _) = &contacts[0];
    assert_eq!(
        contact.reach,
        Told::Facilities(own.into_iter().collect()),
        "what they may see"
    );
    let browser = format!("/me/browsers/{}", browsers[0].id.0);
    let tried = post_as(&router, &format!("{browser}/test"), ("", &cookie)).await;
    assert_eq!(tried.status, StatusCode::SEE_OTHER);
    let page = get_as(&router, "/me?lang=en", &cookie).await.text;
    assert!(page.contains("cannot be connected to"), "its last result");
    assert!(
        !page.contains("secret-place"),
        "the browser's address goes in and never comes out"
    );
    let other = signing::sign_in(&router, records, Role::Inspector).await;
    let refused = post_as(&router, &format!("{browser}/remove"), ("", &other)).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    let removed = post_as(&router, &format!("{browser}/remove"), ("", &cookie)).await;
    assert_eq!(removed.status, StatusCode::SEE_OTHER);
    assert!(
        records.contacts_of_person(&me).await.unwrap().is_empty(),
        "follows no longer"
    );
    let worker = get(&router, "/push.js").await;
    assert_eq!(
        (worker.status, worker.header("cache-control")),
        (StatusCode::OK, "no-cache")
    );
    assert!(worker.header("content-type").starts_with("text/javascript"));
    stage.finish().await;
}

#[tokio::test]
async fn a_link_in_a_message_opens_the_case_after_signing_in() {
    let (stage, router) = real().await;
    signing::put(&stage.state.records, Role::Inspector, Reach::Everything).await;
    let led = get(&router, "/cases/1?lang=en").await;
    let location = led.header("location").to_owned();
    assert_eq!(led.status, StatusCode::SEE_OTHER);
    assert!(location.starts_with("/sign-in?back=/cases/1"), "{location}");
    let form = get(&router, &location).await.text;
    assert!(form.contains("name=\"back\" value=\"/cases/1"), "{form}");
    let (cookie, to) = enter(&router, "inspector", "correct+horse").await;
    assert_eq!(to, "/cases/1");
    // There is no such case here; but it is the case that is asked for, by somebody who has signed in.
    assert_eq!(get_as(&router, &to, &cookie).await.status, StatusCode::NOT_FOUND);
    stage.finish().await;
}

#[tokio::test]
async fn where_no_keys_are_set_the_page_says_so() {
    let stage = Stage::build_notifying(1, NOW, false).await;
    let router = sunshine_dashboard::build(stage.state.clone()).unwrap().router;
    let cookie = signing::sign_in(&router, &stage.state.records, Role::Manager).await;
    let page = get_as(&router, "/me?lang=en", &cookie).await.text;
    assert!(
        page.contains("push-keys") && !page.contains("id=\"notify\""),
        "{page}"
    );
    let form = format!("endpoint=http://127.0.0.1:1/push&{BROWSER}");
    let refused = post_as(&router, "/me/browsers", (&form, &cookie)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    stage.finish().await;
}

#[tokio::test]
async fn whoever_sees_one_facility_keeps_its_roster_and_no_other() {
    let (stage, router) = real().await;
    let records = &stage.state.records;
    channel(&stage, "duty", ChannelKind::Ntfy).await;
    channel(&stage, "district", ChannelKind::Ntfy).await;
    let own = vec![FacilityId::new("binhe-01").unwrap()];
    signing::put(records, Role::Manager, Reach::Facilities(own)).await;
    let everywhere = records
        .put_contact(&rostered("manager", "district"), 0, "tester")
        .await
        .unwrap();
    let (cookie, _) = enter(&router, "manager", "correct+horse").await;
    let form = |id: i64, reach: &str| {
        format!(
            "id={id}&version={}&name=A&channel=duty&language=en&step=duty&least=P4&enabled=yes&{reach}",
            i64::from(id > 0)
        )
    };
    for (sent, want) in [
        (form(0, "facilities=binhe-01"), StatusCode::SEE_OTHER),
        (form(0, "facilities=binhe-01,songbai-02"), StatusCode::FORBIDDEN),
        (form(0, "regions=binhe"), StatusCode::FORBIDDEN),
        (form(0, ""), StatusCode::FORBIDDEN),
        (form(everywhere.0, "facilities=binhe-01"), StatusCode::FORBIDDEN),
    ] {
        let answer = post_as(&router, "/messages/contacts", (&sent, &cookie)).await;
        assert_eq!(answer.status, want, "{sent}");
    }
    let path = format!("/messages/contacts/{}/remove", everywhere.0);
    assert_eq!(
        post_as(&router, &path, ("", &cookie)).await.status,
        StatusCode::FORBIDDEN
    );
    for (name, want) in [
        ("duty", StatusCode::SEE_OTHER),
        ("district", StatusCode::FORBIDDEN),
    ] {
        let form = format!("kind=ntfy&name={name}&topic=kitchen&version=1&enabled=yes");
        let answer = post_as(&router, "/messages/channels", (&form, &cookie)).await;
        assert_eq!(answer.status, want, "{name}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn secrets_that_are_kept_do_not_follow_a_channel_to_another_server() {
    let (stage, router) = real().await;
    let admin = signing::sign_in(&router, &stage.state.records, Role::Administrator).await;
    let form = |rest: &str| format!("kind=wecom&name=robot&enabled=yes&{rest}");
    for (rest, want) in [
        ("version=0&token=hunter2-key&url=", StatusCode::SEE_OTHER),
        (
            "version=1&token=&url=https://evil.example",
            StatusCode::BAD_REQUEST,
        ),
        ("version=1&token=&url=", StatusCode::SEE_OTHER),
        (
            "version=2&token=other-key&url=https://robot.example",
            StatusCode::SEE_OTHER,
        ),
    ] {
        let answer = post_as(&router, "/messages/channels", (&form(rest), &admin)).await;
        assert_eq!(answer.status, want, "{rest}: {}", answer.text);
        assert!(!answer.text.contains("hunter2"));
    }
    stage.finish().await;
}
