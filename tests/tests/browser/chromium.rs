//! A headless Chromium that never outlives its test.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use chromiumoxide::{
    Browser, BrowserConfig, Page,
    cdp::{
        browser_protocol::{
            browser::{PermissionDescriptor, PermissionSetting, SetPermissionParams},
            emulation::{MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams},
            log::{EventEntryAdded, LogEntryLevel},
            page::CaptureScreenshotFormat,
            service_worker::{DeliverPushMessageParams, EventWorkerRegistrationUpdated},
            target::SetAutoAttachParams,
        },
        js_protocol::runtime::EventExceptionThrown,
    },
    page::ScreenshotParams,
};
use futures::StreamExt;
use sunshine_integration_tests::{PATIENCE, owned};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const EXECUTABLE: &str = "/usr/bin/chromium";

/// The accessibility checker, vendored: see `tests/assets/AXE.md`.
const AXE: &str = include_str!("../../assets/axe.min.js");

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Of the page.
    pub(crate) language: &'static str,
    /// Of the window, in CSS pixels.
    pub(crate) width: i64,
    /// Of the window, in CSS pixels.
    pub(crate) height: i64,
    /// Whether the reader prefers dark pages.
    pub(crate) dark: bool,
}

/// A running browser.
pub(crate) struct Chromium {
    browser: Browser,
    pump: JoinHandle<()>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts it; `None`, said aloud, where Chromium is not installed.
    pub(crate) async fn launch() -> anyhow::Result<Option<Chromium>> {
        if !Path::new(EXECUTABLE).exists() {
            eprintln!("skipped: {EXECUTABLE} is not installed here (.ci/run installs it)");
            return Ok(None);
        }
        let profile = tempfile::tempdir()?;
        let config = BrowserConfig::builder()
            .chrome_executable(EXECUTABLE)
            .no_sandbox()
            .user_data_dir(profile.path())
            .args([
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-quic",
                "--no-first-run",
            ])
            .build()
            .map_err(anyhow::Error::msg)?;
        let (browser, mut handler) = Browser::launch(config).await.context("Chromium does not start")?;
        let pump = owned(async move {
            while let Some(event) = handler.next().await {
                if let Err(e) = event {
                    // A message of a newer protocol is no failure of the page.
                    eprintln!("browser: {e}");
                }
            }
        });
        Ok(Some(Chromium {
            browser,
            pump,
            _profile: profile,
        }))
    }

    /// Opens an address and starts to listen for errors.
    pub(crate) async fn open(&self, url: &str, look: Look) -> anyhow::Result<Tab> {
        let page = self.browser.new_page("about:blank").await?;
        page.execute(SetDeviceMetricsOverrideParams::new(
            look.width,
            look.height,
            1.0,
            look.width < 600,
        ))
        .await?;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = SetEmulatedMediaParams::builder()
            .features([MediaFeature {
                name: "prefers-color-scheme".into(),
                value: scheme.into(),
            }])
            .build();
        page.execute(media).await?;
        let errors: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut thrown = page.event_listener::<EventExceptionThrown>().await?;
        let mut logged = page.event_listener::<EventEntryAdded>().await?;
        page.execute(chromiumoxide::cdp::browser_protocol::log::EnableParams::default())
            .await?;
        let kept = Arc::clone(&errors);
        let listening = owned(async move {
            loop {
                let error = tokio::select! {
                    Some(event) = thrown.next() => Some(event.exception_details.text.clone()),
                    Some(event) = logged.next() => (event.entry.level == LogEntryLevel::Error)
                        .then(|| format!("{} {:?}", event.entry.text, event.entry.url)),
                    else => return,
                };
                if let Some(error) = error {
                    kept.lock().expect("nobody panics while holding it").push(error);
                }
            }
        });
        let separator = if url.contains('?') { '&' } else { '?' };
        page.goto(format!("{url}{separator}lang={}", look.language))
            .await?;
        page.wait_for_navigation().await?;
        Ok(Tab {
            page,
            errors,
            listening,
        })
    }

    /// Ends it.
    pub(crate) async fn close(mut self) -> anyhow::Result<()> {
        self.browser.close().await?;
        self.browser.wait().await?;
        self.pump.abort();
        Ok(())
    }
}

/// An open page.
pub(crate) struct Tab {
    page: Page,
    errors: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Tab {
    /// Waits until the page says that it is live.
    pub(crate) async fn until_live(&self) -> anyhow::Result<()> {
        self.until("the page is live", "!!document.querySelector('#pill.on')")
            .await
    }

    /// Waits until the page says that its stream is lost.
    pub(crate) async fn until_stale(&self) -> anyhow::Result<()> {
        self.until("the page says it is stale", "!document.querySelector('#pill.on')")
            .await
    }

    async fn until(&self, what: &str, script: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.page.evaluate(script).await?.into_value::<bool>()? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("waited in vain until {what}")
    }

    /// Goes to another address.
    pub(crate) async fn go(&self, url: &str) -> anyhow::Result<()> {
        self.page.goto(url).await.context("going")?;
        self.page.wait_for_navigation().await.context("waiting")?;
        Ok(())
    }

    /// Registers the service worker, which may notify, and hands it a message as the browser's push service would.
    pub(crate) async fn deliver_push(&self, origin: &str, told: &str) -> anyhow::Result<()> {
        let origin = origin.trim_end_matches('/');
        let notifications = PermissionDescriptor::new("notifications");
        let mut granted = SetPermissionParams::new(notifications, PermissionSetting::Granted);
        granted.origin = Some(origin.to_owned());
        self.page.execute(granted).await.context("granting")?;
        let mut known = self
            .page
            .event_listener::<EventWorkerRegistrationUpdated>()
            .await?;
        self.page
            .execute(chromiumoxide::cdp::browser_protocol::service_worker::EnableParams::default())
            .await
            .context("enabling")?;
        // The client library has the browser hold a worker back until it is debugged, and then does not debug it.
        self.page
            .execute(SetAutoAttachParams::new(false, false))
            .await
            .context("leaving workers alone")?;
        let register = "navigator.serviceWorker.register('/push.js', { scope: '/' })\
                        .then(() => navigator.serviceWorker.ready).then(() => true)";
        anyhow::ensure!(
            self.evaluates(register).await.context("registering")?,
            "the service worker does not start"
        );
        let found = async {
            while let Some(event) = known.next().await {
                if let Some(one) = event
                    .registrations
                    .iter()
                    .find(|one| one.scope_url.starts_with(origin))
                {
                    return Some(one.registration_id.clone());
                }
            }
            None
        };
        let registration = tokio::time::timeout(PATIENCE, found).await?;
        let registration = registration.context("the browser knows of no service worker")?;
        self.page
            .execute(DeliverPushMessageParams::new(origin, registration, told))
            .await
            .context("delivering")?;
        Ok(())
    }

    /// Presses a key as a person would.
    pub(crate) async fn press(&self, key: &str) -> anyhow::Result<()> {
        self.page.find_element("body").await?.press_key(key).await?;
        Ok(())
    }

    /// The text of the element that has the keyboard.
    pub(crate) async fn focused(&self) -> anyhow::Result<String> {
        let text = "(document.activeElement.textContent || '').trim()";
        Ok(self.page.evaluate(text).await?.into_value()?)
    }

    /// The answer of a yes-or-no script.
    pub(crate) async fn evaluates(&self, script: &str) -> anyhow::Result<bool> {
        Ok(self.page.evaluate(script).await?.into_value()?)
    }

    /// What the accessibility checker (WCAG 2.2 A and AA) finds.
    pub(crate) async fn violations(&self) -> anyhow::Result<Vec<String>> {
        // Handed over as text: the page's own policy forbids nothing to the debugger.
        self.page.evaluate(AXE).await?;
        let run = "axe.run(document, {runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa']})\
                   .then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).join(', ')))";
        Ok(self.page.evaluate(run).await?.into_value()?)
    }

    /// The widest element, when the page is wider than its window.
    pub(crate) async fn overflow(&self) -> anyhow::Result<Option<String>> {
        let script = "(() => { const w = document.documentElement.clientWidth; \
                      if (document.documentElement.scrollWidth <= w) return ''; \
                      const e = [...document.body.querySelectorAll('*')].find(e => e.getBoundingClientRect().right > w + 1); \
                      return e ? e.outerHTML.slice(0, 120) : 'unknown'; })()";
        let widest: String = self.page.evaluate(script).await?.into_value()?;
        Ok((!widest.is_empty()).then_some(widest))
    }

    /// Keeps a picture of the whole page.
    pub(crate) async fn picture(&self, path: &Path) -> anyhow::Result<()> {
        let format = ScreenshotParams::builder()
            .format(CaptureScreenshotFormat::Png)
            .full_page(true)
            .build();
        self.page.save_screenshot(format, path).await?;
        Ok(())
    }

    /// Closes the page; answers with the errors it printed.
    pub(crate) async fn close(self) -> anyhow::Result<Vec<String>> {
        self.page.close().await?;
        self.listening.abort();
        let errors = self.errors.lock().expect("nobody panics while holding it");
        Ok(errors.clone())
    }
}
