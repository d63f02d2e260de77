//! The pages in a real Chromium: alive, free of console errors, accessible, in both languages, from phone to
//! desktop. Pictures of what was seen are left in the target folder, under `tmp/pages/`.

#[path = "browser/chromium.rs"]
mod chromium;

use std::path::PathBuf;

use anyhow::Context;
use chromium::{Chromium, Look};
use domain::{Person, PersonId, Reach, Role};
use simulator::CameraScript;
use sunshine_integration_tests::{
    TestApp,
    cameras::{ALLOW_LOOPBACK, Farm},
    until,
};
use tokio::sync::Semaphore;

/// The looks in which every page is seen.
const LOOKS: [Look; 5] = [
    look("zh-CN", (1440, 900), false),
    look("en", (1440, 900), true),
    look("zh-CN", (390, 844), true),
    look("en", (390, 844), false),
    look("zh-CN", (3840, 2160), false),
];

const fn look(language: &'static str, (width, height): (i64, i64), dark: bool) -> Look {
    Look {
        language,
        width,
        height,
        dark,
    }
}

/// Whether ten pictures have been played; what the player says where they have not.
const MOVES: &str = "(d => { if (Number(d.frames ?? 0) >= 10) return true; \
                     throw new Error([d.state, d.mime, d.frames, d.firstFrameMs, document.visibilityState, \
                     document.getElementById('osd').textContent].join(' ')); })(document.getElementById('player').dataset)";

/// One browser at a time: two on two cores take each other's time, and pages that lag read themselves anew.
static BROWSER: Semaphore = Semaphore::const_new(1);

/// Every page of the product; `{facility}`, `{device}` and `{case}` are filled in from the API.
const PAGES: [&str; 20] = [
    "/",
    "/cases",
    "/facilities",
    "/facilities/{facility}",
    "/cases/{case}",
    "/analysis",
    "/devices",
    "/devices/{facility}/{device}",
    "/onboard",
    "/profiles",
    "/profiles/zigbee2mqtt",
    "/messages",
    "/messages/channels/new?kind=email",
    "/messages/contacts/new",
    "/people",
    "/rules",
    "/shelving",
    "/forwarding",
    "/sign-in",
    "/help",
];

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages")
}

async fn paths(app: &TestApp) -> anyhow::Result<Vec<(String, String)>> {
    until("a case has been raised", || async {
        Ok(app.json("/api/v1/cases").await?["cases"]
            .as_array()
            .is_some_and(|c| !c.is_empty()))
    })
    .await?;
    let cases = app.json("/api/v1/cases").await?;
    let case = &cases["cases"][0];
    let text = |field: &str| {
        case[field]
            .as_str()
            .map(str::to_owned)
            .context("a case names its point")
    };
    let (facility, device) = (text("facility")?, text("device")?);
    let id = case["id"].to_string();
    let fill = |page: &str| {
        page.replace("{facility}", &facility)
            .replace("{device}", &device)
            .replace("{case}", &id)
    };
    let name = |page: &str| match page.trim_matches('/').replace(['/', '{', '}'], "-") {
        name if name.is_empty() => "overview".to_owned(),
        name => name,
    };
    Ok(PAGES.iter().map(|page| (name(page), fill(page))).collect())
}

/// What is wrong with these pages in any look. Leaves a picture of each.
async fn faults(
    browser: &Chromium,
    app: &TestApp,
    paths: &[(String, String)],
) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for look in LOOKS {
        for (name, path) in paths {
            let page = browser.open(&app.url(path), look).await?;
            let what = format!("{name}-{}-{}", look.language, look.width);
            page.until_live().await.with_context(|| what.clone())?;
            page.picture(&pictures().join(format!("{what}.png"))).await?;
            for violation in page.violations().await? {
                wrong.push(format!("{what}: accessibility: {violation}"));
            }
            if let Some(overflow) = page.overflow().await? {
                wrong.push(format!("{what}: wider than the screen: {overflow}"));
            }
            for error in page.close().await? {
                wrong.push(format!("{what}: console: {error}"));
            }
        }
    }
    Ok(wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_alive_accessible_and_free_of_errors() -> anyhow::Result<()> {
    let _turn = BROWSER.acquire().await?;
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let app = TestApp::start_district(4).await?;
    let paths = paths(&app).await?;
    std::fs::create_dir_all(pictures())?;
    let wrong = faults(&browser, &app, &paths).await?;
    browser.close().await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_its_stream_is_lost_and_recovers_by_itself() -> anyhow::Result<()> {
    let _turn = BROWSER.acquire().await?;
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let app = TestApp::start().await?;
    let look = Look {
        language: "en",
        width: 1280,
        height: 800,
        dark: false,
    };
    let page = browser.open(&app.url("/"), look).await?;
    page.until_live().await?;
    let app = {
        let restarting = app.restart();
        let (app, lost) = tokio::join!(restarting, page.until_stale());
        lost.context("while the server was away")?;
        app?
    };
    page.until_live().await.context("after the server came back")?;
    browser.close().await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_the_content_first() -> anyhow::Result<()> {
    let _turn = BROWSER.acquire().await?;
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let app = TestApp::start().await?;
    let look = Look {
        language: "en",
        width: 1280,
        height: 800,
        dark: false,
    };
    let page = browser.open(&app.url("/"), look).await?;
    page.until_live().await?;
    page.press("Tab").await?;
    assert_eq!(
        page.focused().await?,
        "Skip to main content",
        "the first stop leads past the navigation"
    );
    page.press("Enter").await?;
    page.press("Tab").await?;
    assert!(
        page.evaluates("document.activeElement.closest('main') !== null")
            .await?,
        "the next is in the content"
    );
    browser.close().await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_reads_well_without_javascript() -> anyhow::Result<()> {
    let app = TestApp::start().await?;
    let (status, page) = app.get("/?lang=en").await?;
    assert_eq!(status, 200);
    assert!(
        page.contains("Binhe Care Home"),
        "the facility stands in the first answer"
    );
    app.finish().await
}

/// Signs in on the page of a camera, and says why.
async fn signs_in(app: &TestApp, page: &chromium::Tab) -> anyhow::Result<()> {
    let person = Person {
        id: PersonId::new("wang.fang")?,
        name: "Wang Fang".to_owned(),
        role: Role::Inspector,
        reach: Reach::Everything,
        barred: false,
    };
    app.records.put_person(&person, "test").await?;
    app.records
        .set_password(&person.id, "a long password", "test")
        .await?;
    let to_sign_in = "(a => { a.click(); return true; })(document.getElementById('to-sign-in'))";
    assert!(
        page.evaluates(to_sign_in).await?,
        "whoever watches signs in first"
    );
    let enter = "(f => { if (!f) return false; f.account.value = 'wang.fang'; f.password.value = 'a long password'; \
                 f.requestSubmit(); return true; })(document.querySelector('form.stacked[action=\"/sign-in\"]'))";
    until("the sign-in is there", || page.evaluates(enter)).await?;
    let fill = "(f => { if (!f) return false; f.purpose.value = 'hygiene check'; f.requestSubmit(); return true; })(\
                document.querySelector('form[action=\"/watcher\"]'))";
    until("the form asks why", || page.evaluates(fill)).await?;
    Ok(())
}

/// Somebody who may keep accounts, signed in at this page.
async fn keeper_enters(app: &TestApp, page: &chromium::Tab) -> anyhow::Result<()> {
    let person = Person {
        id: PersonId::new("wang.fang")?,
        name: "王芳".to_owned(),
        role: Role::Administrator,
        reach: Reach::Everything,
        barred: false,
    };
    app.records.put_person(&person, "test").await?;
    app.records
        .set_password(&person.id, "a long password", "test")
        .await?;
    page.go(&app.url("/sign-in?back=/me")).await?;
    let enter = "(f => { if (!f) return false; f.account.value = 'wang.fang'; f.password.value = 'a long password'; \
                 f.requestSubmit(); return true; })(document.querySelector('form.stacked[action=\"/sign-in\"]'))";
    until("the sign-in is there", || page.evaluates(enter)).await?;
    until("the own page is there", || {
        page.evaluates("location.pathname === '/me'")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_what_it_is_told_and_leads_to_the_case() -> anyhow::Result<()> {
    let _turn = BROWSER.acquire().await?;
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let keys = tempfile::tempdir()?;
    let key = keys.path().join("push.key");
    // The server's key of the example of RFC 8291.
    std::fs::write(&key, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw\n")?;
    let app = TestApp::start_with(&format!(
        "[messages]\npush_key_file = {key:?}\npush_contact = \"mailto:kitchen@example.org\"\n"
    ))
    .await?;
    let page = browser
        .open(&app.url("/sign-in"), look("en", (1280, 900), false))
        .await?;
    keeper_enters(&app, &page).await?;
    until("the button is there", || {
        page.evaluates("document.getElementById('notify')?.hidden === false")
    })
    .await?;
    // No push service can be reached from here: what one would deliver is handed over by the debugger.
    let told = r#"{"title":"CN-TMP-01","body":"1 号冷藏柜 9.3 °C","link":"https://kitchen.example/cases/7","tag":"c7-v1"}"#;
    page.deliver_push(&app.url(""), told).await?;
    until("the notification is shown", || {
        page.evaluates(
            "navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => all.some(n => \
             n.title === 'CN-TMP-01' && n.body.includes('9.3') && n.tag === 'c7-v1' && n.data.path === '/cases/7'))",
        )
    })
    .await?;
    std::fs::create_dir_all(pictures())?;
    let pages = ["/me", "/me/password", "/people", "/people/wang.fang"];
    let pages = pages.map(|path| (path.trim_start_matches('/').replace('/', "-"), path.to_owned()));
    let wrong = faults(&browser, &app, &pages).await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.close().await?;
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_is_watched_live_by_whoever_says_who_and_why() -> anyhow::Result<()> {
    let _turn = BROWSER.acquire().await?;
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let farm = Farm::start(&[CameraScript::HotKitchen]).await?;
    let app = TestApp::start_with(ALLOW_LOOPBACK).await?;
    farm.attach(&app).await?;
    let key = farm.cameras[0].0.key.clone();
    let path = format!("/cameras/{}/{}", key.facility, key.camera);
    until("the camera is online", || async {
        let answer = app.json(&format!("/api/v1{path}")).await?;
        Ok(answer["health"]["link"] == "online")
    })
    .await?;
    let pages = [
        ("cameras", "/cameras".to_owned()),
        ("camera", path.clone()),
        ("camera-new", "/cameras/new".to_owned()),
        ("camera-edit", format!("{path}/edit")),
        ("findings", "/findings".to_owned()),
    ];
    std::fs::create_dir_all(pictures())?;
    let pages = pages.map(|(name, path)| (name.to_owned(), path));
    let wrong = faults(&browser, &app, &pages).await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let page = browser
        .open(&app.url(&path), look("en", (1280, 900), false))
        .await?;
    page.until_live().await?;
    signs_in(&app, &page).await?;
    // Whoever has just said who they are wants to look now: it plays by itself.
    until("the player is there", || async {
        page.evaluates(
            "document.readyState === 'complete' && document.getElementById('play')?.hidden === false",
        )
        .await
    })
    .await?;
    until("pictures move", || async { page.evaluates(MOVES).await }).await?;
    let live = "(d => d.state === 'live' && Number(d.firstFrameMs) < 5000 && d.mime.startsWith('video/mp4'))(\
                document.getElementById('player').dataset)";
    assert!(
        page.evaluates(live).await?,
        "video, not pictures, and its first frame in time"
    );
    page.picture(&pictures().join("camera-live.png")).await?;
    let trail = app.records.audit_trail(50).await?;
    let noted = trail
        .iter()
        .any(|line| line.action == "camera.live" && line.actor == "Wang Fang");
    assert!(noted, "the view is in the audit trail");
    browser.close().await?;
    farm.finish().await?;
    app.finish().await
}
