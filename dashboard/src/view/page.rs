//! What every page has around it.

use axum::{
    http::{HeaderValue, header},
    response::{Html, IntoResponse as _, Response},
};
use domain::{Permission, Scope};
use i18n_embed_fl::fl;

use crate::{
    app::App,
    assets,
    failure::Failure,
    format::{Locale, Stamp},
    i18n::{Lang, Loader},
    readiness::{ForwardTrouble, Trouble, forward_trouble, troubles},
    visitor::Visitor,
};

/// The part of the site a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nav {
    Overview,
    Cases,
    Facilities,
    Cameras,
    Findings,
    Analysis,
    Devices,
    Messages,
    Rules,
    Help,
    None,
}

/// Who has signed in, in words.
pub(crate) struct Me {
    pub(crate) name: String,
    pub(crate) role: String,
    /// Whether they may keep accounts.
    pub(crate) keeps: bool,
}

/// What every page has around it.
pub(crate) struct Page {
    pub(crate) l: Loader,
    pub(crate) lang: Lang,
    pub(crate) title: String,
    pub(crate) nav: Nav,
    /// The page's own address, to be read again in the other language.
    pub(crate) path: String,
    /// The stream that keeps the page up to date.
    pub(crate) live: String,
    pub(crate) site: String,
    pub(crate) zone: String,
    pub(crate) demo: bool,
    /// Who has signed in.
    pub(crate) me: Option<Me>,
    pub(crate) now: Stamp,
    pub(crate) version: &'static str,
    /// What keeps the server from its work, in words.
    pub(crate) troubles: Vec<String>,
    chose_lang: bool,
}

impl Page {
    pub(crate) fn new(app: &App, visitor: &Visitor, nav: Nav, title: String, path: &str) -> Page {
        let locale = visitor.locale(app);
        let site = app.site();
        Page {
            l: locale.l,
            lang: locale.lang,
            title,
            nav,
            path: path.to_owned(),
            live: format!("/live?page=plain&lang={}", locale.lang.tag()),
            site: locale.pick(&site.name_zh, &site.name_en).to_owned(),
            zone: site.time_zone.clone(),
            demo: site.demo,
            me: visitor.principal.as_ref().map(|principal| Me {
                name: principal.name.clone(),
                role: locale.role(principal.role),
                keeps: principal.role.may(Permission::KeepPeople) && principal.scope == Scope::everything(),
            }),
            now: locale.stamp(locale.now),
            version: assets::VERSION,
            troubles: words(&locale, app),
            chose_lang: visitor.chose_lang,
        }
    }

    /// Follows `topic`, the parameters of `/live` that name what is on the page.
    pub(crate) fn following(mut self, topic: &str) -> Page {
        self.live = format!("/live?{topic}&lang={}", self.lang.tag());
        self
    }

    /// This page in the other language.
    pub(crate) fn other_language(&self) -> String {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{joint}lang={}", self.path, self.lang.other().tag())
    }

    pub(crate) fn is(&self, nav: &str) -> bool {
        matches!(
            (self.nav, nav),
            (Nav::Overview, "overview")
                | (Nav::Cases, "cases")
                | (Nav::Facilities, "facilities")
                | (Nav::Cameras, "cameras")
                | (Nav::Findings, "findings")
                | (Nav::Analysis, "analysis")
                | (Nav::Devices, "devices")
                | (Nav::Messages, "messages")
                | (Nav::Rules, "rules")
                | (Nav::Help, "help")
        )
    }

    /// The answer that carries `body`, the whole rendered page.
    pub(crate) fn answer(&self, body: askama::Result<String>) -> Result<Response, Failure> {
        let mut response = Html(body.map_err(Failure::internal)?).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("cookie, accept-language"));
        headers.insert(
            header::CONTENT_LANGUAGE,
            HeaderValue::from_static(self.lang.tag()),
        );
        if self.chose_lang {
            let cookie = match self.lang {
                Lang::Zh => "lang=zh-CN; Path=/; SameSite=Lax; HttpOnly; Max-Age=31536000",
                Lang::En => "lang=en; Path=/; SameSite=Lax; HttpOnly; Max-Age=31536000",
            };
            headers.insert(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        Ok(response)
    }
}

fn words(locale: &Locale, app: &App) -> Vec<String> {
    let stats = (app.stores.stats)();
    let word = |trouble| match trouble {
        Trouble::Journal => fl!(locale.l, "trouble-journal"),
        Trouble::Series => fl!(locale.l, "trouble-series"),
        Trouble::Late => fl!(locale.l, "trouble-late", age = locale.duration(stats.lag_ms)),
        Trouble::Disk => fl!(locale.l, "trouble-disk"),
        Trouble::Records => fl!(locale.l, "trouble-records"),
    };
    let forward = forward_trouble(&stats).map(|trouble| match trouble {
        ForwardTrouble::Owed(n) => fl!(locale.l, "trouble-forward-owed", n = n),
        ForwardTrouble::State(state) => {
            let state = crate::pages::forwarding::state_word(locale, state);
            fl!(locale.l, "trouble-forward", state = state)
        }
    });
    let troubles = troubles(&stats).into_iter().map(|r| word(r.trouble));
    troubles.chain(forward).collect()
}
