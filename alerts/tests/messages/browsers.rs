//! Browsers are notified: a push service of the test's own checks who sends and reads what only the browser may read.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    signature::{self, ECDSA_P256_SHA256_FIXED},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    FacilityId, Person, PersonId, Reach, Role, Severity,
    duty::{Contact, Step},
    message::Language,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use store::records::{MAX_SUBSCRIPTIONS, NewSubscription};
use sunshine_alerts::{PUSH_CHANNEL, SubscribeError, TrialError};

use crate::{
    post::{Post, START, contact, key},
    sink::{Seen, Sink},
};

/// A browser, which alone can read what is sent to it.
struct Browser {
    key: PrivateKey,
    public: Vec<u8>,
    secret: [u8; 16],
}

impl Browser {
    fn new(secret: u8) -> Browser {
        let key = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = key.compute_public_key().unwrap().as_ref().to_vec();
        Browser {
            key,
            public,
            secret: [secret; 16],
        }
    }

    fn subscription(&self, sink: &Sink, path: &str) -> NewSubscription {
        NewSubscription {
            endpoint: format!("{}{path}", sink.url()),
            p256dh: URL_SAFE_NO_PAD.encode(&self.public),
            auth: URL_SAFE_NO_PAD.encode(self.secret),
            label: format!("Firefox {path}"),
        }
    }

    /// Opens a body as RFC 8188 and RFC 8291 say.
    fn read(&self, body: &[u8]) -> serde_json::Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert!(
            u32::from_be_bytes(size.try_into().unwrap()) as usize >= rest.len(),
            "one record"
        );
        let (theirs, sealed) = (&rest[1..66], &rest[66..]);
        assert_eq!(rest[0], 65);
        assert!(body.len() <= 4_096, "more than a push service takes");
        let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
        let shared = agree(&self.key, peer, (), |shared| Ok(shared.to_vec())).unwrap();
        let input = hmac(
            &hmac(&self.secret, &[&shared]),
            &[b"WebPush: info\0", &self.public, theirs, &[1]],
        );
        let seed = hmac(salt, &[&input]);
        let content = hmac(&seed, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let once = hmac(&seed, &[b"Content-Encoding: nonce\0\x01"]);
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content[..16]).unwrap());
        let nonce = Nonce::try_assume_unique_for_key(&once[..12]).unwrap();
        let mut sealed = sealed.to_vec();
        let plain = cipher.open_in_place(nonce, Aad::empty(), &mut sealed).unwrap();
        let (last, words) = plain.split_last().unwrap();
        assert_eq!(*last, 2, "the last record");
        serde_json::from_slice(words).unwrap()
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Checks who sent it, as RFC 8292 says; the claims.
fn sender(seen: &Seen, public: &str) -> serde_json::Value {
    let (scheme, rest) = seen.header("authorization").split_once(' ').unwrap();
    let part = |name: &str| {
        let found = rest.split(',').find_map(|part| part.trim().strip_prefix(name));
        found.unwrap().to_owned()
    };
    let (token, key) = (part("t="), part("k="));
    assert_eq!((scheme, key.as_str()), ("vapid", public));
    let (signed, proof) = token.rsplit_once('.').unwrap();
    let key =
        signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, URL_SAFE_NO_PAD.decode(key).unwrap());
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(proof).unwrap())
        .expect("signed by the key that it names");
    let (header, claims) = signed.split_once('.').unwrap();
    let json =
        |text| serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    assert_eq!(json(header)["alg"], "ES256");
    json(claims)
}

async fn person(post: &Post, id: &str, reach: Reach) -> PersonId {
    let person = Person {
        id: PersonId::new(id).unwrap(),
        name: format!("{id} 同志"),
        role: Role::Manager,
        reach,
        barred: false,
    };
    post.records.put_person(&person, "admin").await.unwrap();
    person.id
}

fn hers(person: &PersonId) -> Contact {
    Contact {
        person: Some(person.clone()),
        ..contact(PUSH_CHANNEL, "")
    }
}

async fn open(post: &mut Post, severity: Severity) {
    post.open_case("CN-TMP-01", key("fridge-1", "temperature"), severity)
        .await;
    post.messenger.round().await.unwrap();
    post.pass(1_000);
}

#[tokio::test]
async fn a_browser_is_told_what_only_it_can_read_by_a_server_that_proves_itself() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let wang = person(&post, "wang", Reach::Everything).await;
    let browsers = [Browser::new(1), Browser::new(2)];
    for (browser, path) in browsers.iter().zip(["/push/one", "/push/two"]) {
        let given = browser.subscription(&sink, path);
        post.handle.subscribe(&wang, &given, "王芳").await.unwrap();
    }
    post.put(&hers(&wang)).await;
    sink.always(201, "");
    open(&mut post, Severity::P1).await;
    let mut seen = sink.take();
    seen.sort_by(|a, b| a.target.cmp(&b.target));
    assert_eq!(seen.len(), 2, "each of her browsers");
    let public = post.handle.push_key().unwrap();
    for (request, browser) in seen.iter().zip(&browsers) {
        let claims = sender(request, public);
        assert_eq!(claims["aud"], sink.url(), "the push service's origin");
        assert_eq!(claims["sub"], "mailto:kitchen@example.org");
        let life = claims["exp"].as_i64().unwrap() - START.0 / 1_000;
        assert!((60..=86_400).contains(&life), "{life} s");
        assert_eq!(request.header("content-encoding"), "aes128gcm");
        assert_eq!(
            (request.header("urgency"), request.header("ttl")),
            ("high", "86400")
        );
        let words = browser.read(&request.body);
        assert_eq!(words["link"], "https://kitchen.example/cases/1");
        assert!(words["body"].as_str().unwrap().contains("1 号冷藏柜"), "{words}");
        assert_eq!(words["tag"], post.outbox().await[0].name, "the outbox's key");
        assert_eq!(words["stays"], true);
    }
    let outbox = post.outbox().await;
    assert_eq!(outbox[0].state.code(), "sent");
    assert!(
        post.records
            .subscriptions(&wang)
            .await
            .unwrap()
            .iter()
            .all(|b| b.worked == Some(true))
    );
}

#[tokio::test]
async fn a_browser_that_is_gone_is_forgotten_and_one_that_is_down_holds_up_nobody() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let (wang, li) = (
        person(&post, "wang", Reach::Everything).await,
        person(&post, "li", Reach::Everything).await,
    );
    let down = Browser::new(1);
    // Nothing listens there.
    let dead = NewSubscription {
        endpoint: "http://127.0.0.1:1/push".into(),
        ..down.subscription(&sink, "")
    };
    post.handle.subscribe(&wang, &dead, "王芳").await.unwrap();
    post.put(&hers(&wang)).await;
    let works = Browser::new(2);
    post.handle
        .subscribe(&li, &works.subscription(&sink, "/li"), "李伟")
        .await
        .unwrap();
    post.put(&hers(&li)).await;
    open(&mut post, Severity::P2).await;
    assert_eq!(
        sink.take().len(),
        1,
        "hers does not wait for the other one's server"
    );
    let outbox = post.outbox().await;
    let states: Vec<&str> = outbox.iter().map(|row| row.state.code()).collect();
    assert_eq!(states, ["waiting", "sent"]);
    let noted = post.records.subscriptions(&wang).await.unwrap();
    assert_eq!(noted[0].worked, Some(false));
    assert!(noted[0].said.contains("cannot be connected"), "{}", noted[0].said);
    sink.always(410, "");
    open(&mut post, Severity::P2).await;
    assert!(
        post.records.subscriptions(&li).await.unwrap().is_empty(),
        "410: gone"
    );
    let told = post.outbox().await;
    assert!(
        told.iter().any(|row| row.error.contains("switch them on again")),
        "and said so"
    );
    for _ in 0..40 {
        post.pass(3_600_000);
        post.messenger.round().await.unwrap();
    }
    assert!(
        post.outbox()
            .await
            .iter()
            .all(|row| row.state.code() != "waiting"),
        "nothing is tried for ever"
    );
}

#[tokio::test]
async fn a_person_hears_of_what_they_may_see_and_nothing_while_barred() {
    let (mut post, sink) = (Post::open().await, Sink::start().await);
    let elsewhere = Reach::Facilities(vec![FacilityId::new("elsewhere").unwrap()]);
    let wang = person(&post, "wang", elsewhere).await;
    let browser = Browser::new(1);
    post.handle
        .subscribe(&wang, &browser.subscription(&sink, "/w"), "王芳")
        .await
        .unwrap();
    post.put(&hers(&wang)).await;
    open(&mut post, Severity::P0).await;
    assert_eq!(sink.take().len(), 0, "not hers to see");
    assert_eq!(post.outbox().await[0].state.code(), "unheard");
    let here = Reach::Facilities(vec![FacilityId::new("binhe").unwrap()]);
    person(&post, "wang", here.clone()).await;
    open(&mut post, Severity::P0).await;
    assert_eq!(sink.take().len(), 1);
    let barred = Person {
        id: wang,
        name: "王芳".into(),
        role: Role::Manager,
        reach: here,
        barred: true,
    };
    // Something still waits for her when she is barred.
    post.open_case("CN-TMP-01", key("fridge-1", "temperature"), Severity::P0)
        .await;
    post.records.put_person(&barred, "admin").await.unwrap();
    post.messenger.round().await.unwrap();
    post.pass(1_000);
    assert_eq!(sink.take().len(), 0, "who has left is told nothing more");
    assert_eq!(post.outbox().await.last().unwrap().state.code(), "dropped");
    open(&mut post, Severity::P0).await;
    assert_eq!(sink.take().len(), 0);
}

#[tokio::test]
async fn who_follows_everything_and_is_a_person_has_quiet_hours() {
    let mut post = Post::open().await;
    let sink = Sink::start().await;
    let wang = person(&post, "wang", Reach::Everything).await;
    let browser = Browser::new(1);
    post.handle
        .subscribe(&wang, &browser.subscription(&sink, "/w"), "王芳")
        .await
        .unwrap();
    let digest = Contact {
        step: Step::Observer,
        digest: Some(Severity::P3),
        language: Language::En,
        ..hers(&wang)
    };
    post.put(&digest).await;
    open(&mut post, Severity::P3).await;
    assert_eq!(sink.take().len(), 0, "it waits for the digest");
    open(&mut post, Severity::P1).await;
    let seen = sink.take();
    let words = browser.read(&seen[0].body);
    assert!(
        words["body"].as_str().unwrap().contains("Fridge 1"),
        "in her language: {words}"
    );
}

#[tokio::test]
async fn what_a_browser_gives_is_checked_and_bounded() {
    let (post, sink) = (Post::open().await, Sink::start().await);
    let wang = person(&post, "wang", Reach::Everything).await;
    let good = Browser::new(1).subscription(&sink, "/a");
    for endpoint in [
        "http://10.0.0.1/push",
        "https://192.168.1.1/push",
        "https://169.254.169.254/push",
        "http://push.example/x",
        "https://user:pass@push.example/x",
        "ftp://push.example",
        "",
    ] {
        let given = NewSubscription {
            endpoint: endpoint.into(),
            ..good.clone()
        };
        let refused = post.handle.subscribe(&wang, &given, "王芳").await;
        assert!(matches!(refused, Err(SubscribeError::Unusable(_))), "{endpoint}");
    }
    for (p256dh, auth) in [
        ("AAAA", good.auth.as_str()),
        (good.p256dh.as_str(), "AA"),
        (&"B".repeat(87), &good.auth),
    ] {
        let given = NewSubscription {
            p256dh: p256dh.into(),
            auth: auth.into(),
            ..good.clone()
        };
        let refused = post.handle.subscribe(&wang, &given, "王芳").await;
        assert!(
            matches!(refused, Err(SubscribeError::Unusable(_))),
            "{p256dh} {auth}"
        );
    }
    for n in 0..MAX_SUBSCRIPTIONS + 3 {
        let given = Browser::new(1).subscription(&sink, &format!("/{n}"));
        post.handle.subscribe(&wang, &given, "王芳").await.unwrap();
    }
    let kept = post.records.subscriptions(&wang).await.unwrap();
    assert_eq!(kept.len(), usize::try_from(MAX_SUBSCRIPTIONS).unwrap());
    assert!(kept[0].given.endpoint.ends_with("/12"), "the oldest make room");
    sink.always(403, "hunter2");
    let tried = post.handle.try_browser(&wang, kept[0].id, Language::En).await;
    assert!(matches!(tried, Err(TrialError::Failed(_))), "{tried:?}");
    let li = person(&post, "li", Reach::Everything).await;
    let other = post.handle.try_browser(&li, kept[0].id, Language::En).await;
    assert!(matches!(other, Err(TrialError::NotFound)), "somebody else's");
    // The same browser with somebody else signed in is theirs.
    post.handle.subscribe(&li, &kept[0].given, "李伟").await.unwrap();
    let ends = |browsers: &[store::records::Subscription]| {
        browsers.iter().any(|b| b.given.endpoint.ends_with("/12"))
    };
    assert!(!ends(&post.records.subscriptions(&wang).await.unwrap()));
    assert!(ends(&post.records.subscriptions(&li).await.unwrap()));
}
