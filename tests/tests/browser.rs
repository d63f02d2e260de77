//! The pages in a real Chromium: alive, free of console errors, accessible, in both languages, from phone to
//! desktop. Pictures of what was seen are left in the target folder, under `tmp/pages/`.

#[path = "browser/chromium.rs"]
mod chromium;

use std::path::PathBuf;

use anyhow::Context;
use chromium::{Chromium, Look};
use sunshine_integration_tests::{TestApp, until};

/// Every page of the product; `{facility}`, `{device}` and `{case}` are filled in from the API.
const PAGES: [&str; 9] = [
    "/",
    "/cases",
    "/facilities",
    "/facilities/{facility}",
    "/cases/{case}",
    "/devices",
    "/devices/{facility}/{device}",
    "/rules",
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

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_alive_accessible_and_free_of_errors() -> anyhow::Result<()> {
    let Some(browser) = Chromium::launch().await? else {
        return Ok(());
    };
    let app = TestApp::start_district(4).await?;
    let paths = paths(&app).await?;
    std::fs::create_dir_all(pictures())?;
    let looks = [
        Look {
            language: "zh-CN",
            width: 1440,
            height: 900,
            dark: false,
        },
        Look {
            language: "en",
            width: 1440,
            height: 900,
            dark: true,
        },
        Look {
            language: "zh-CN",
            width: 390,
            height: 844,
            dark: true,
        },
        Look {
            language: "en",
            width: 390,
            height: 844,
            dark: false,
        },
        Look {
            language: "zh-CN",
            width: 3840,
            height: 2160,
            dark: false,
        },
    ];
    let mut wrong = Vec::new();
    for look in looks {
        for (name, path) in &paths {
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
    browser.close().await?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    app.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_that_its_stream_is_lost_and_recovers_by_itself() -> anyhow::Result<()> {
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
