//! `/forwarding`: how readings reach another time-series server, and the lines that it refuses.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::status::{ForwardState, ForwardStats};
use i18n_embed_fl::fl;
use store::records::MAX_LETTERS;

use domain::Permission;

use crate::{
    app::App,
    failure::Failure,
    format::Locale,
    view::page::{Nav, Page},
    visitor::Visitor,
};

/// Dead letters shown; the API has the others.
const SHOWN: u32 = 50;

struct LetterRow {
    at: String,
    line: String,
    reason: String,
    again: bool,
}

#[derive(Template)]
#[template(path = "forwarding.html")]
struct Forwarding {
    page: Page,
    /// Nothing where nothing is forwarded.
    facts: Vec<(String, String)>,
    tone: &'static str,
    state: String,
    remedy: String,
    detail: Option<String>,
    letters: Vec<LetterRow>,
    kept: u64,
    most: u32,
}

pub(crate) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let stats = (app.stores.stats)().forward;
    let letters = app.stores.records.dead_letters(&visitor.scope, SHOWN).await?;
    let counts = app.stores.records.dead_letter_counts().await?;
    let row = |letter: store::records::DeadLetter| LetterRow {
        at: locale.stamp(letter.at).ago(),
        line: letter.line,
        reason: letter.reason,
        again: letter.again,
    };
    let title = fl!(locale.l, "forwarding-title");
    let page = Page::new(&app, &visitor, Nav::None, title, "/forwarding");
    let condition = stats.as_ref().map(|s| s.condition.clone()).unwrap_or_default();
    let view = Forwarding {
        page,
        facts: stats
            .as_ref()
            .map_or_else(Vec::new, |stats| facts(&locale, stats)),
        tone: match condition.state {
            ForwardState::Flowing => "ok",
            state if state.needs_a_person() => "bad",
            _ => "mid",
        },
        state: state_word(&locale, condition.state),
        remedy: remedy(&locale, condition.state),
        detail: condition.detail,
        letters: letters.into_iter().map(row).collect(),
        kept: counts.kept,
        most: MAX_LETTERS,
    };
    view.page.answer(view.render())
}

fn facts(locale: &Locale, stats: &ForwardStats) -> Vec<(String, String)> {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let purpose = if stats.primary {
        fl!(locale.l, "forwarding-primary")
    } else {
        fl!(locale.l, "forwarding-mirror")
    };
    let mut facts = vec![
        (
            fl!(locale.l, "forwarding-server"),
            format!("{} · {purpose}", stats.backend),
        ),
        (fl!(locale.l, "forwarding-sent"), stats.lines.to_string()),
        (
            fl!(locale.l, "forwarding-lag"),
            format!("{} / {}", mib(stats.lag_bytes), mib(stats.held_bytes_max)),
        ),
        (fl!(locale.l, "forwarding-owed"), stats.owed_readings.to_string()),
        (fl!(locale.l, "forwarding-spans"), stats.owed_spans.to_string()),
        (fl!(locale.l, "forwarding-retries"), stats.retries.to_string()),
    ];
    if stats.letters_dropped > 0 {
        facts.push((
            fl!(locale.l, "forwarding-dropped"),
            stats.letters_dropped.to_string(),
        ));
    }
    facts
}

/// How forwarding stands, in words.
pub(crate) fn state_word(locale: &Locale, state: ForwardState) -> String {
    match state {
        ForwardState::Starting => fl!(locale.l, "forwarding-starting"),
        ForwardState::Flowing => fl!(locale.l, "forwarding-flowing"),
        ForwardState::Unreachable => fl!(locale.l, "forwarding-unreachable"),
        ForwardState::Busy => fl!(locale.l, "forwarding-busy"),
        ForwardState::Denied => fl!(locale.l, "forwarding-denied"),
        ForwardState::NoPlace => fl!(locale.l, "forwarding-no-place"),
        ForwardState::Refusing => fl!(locale.l, "forwarding-refusing"),
        ForwardState::Stuck => fl!(locale.l, "forwarding-stuck"),
    }
}

fn remedy(locale: &Locale, state: ForwardState) -> String {
    match state {
        ForwardState::Starting | ForwardState::Flowing => String::new(),
        ForwardState::Unreachable | ForwardState::Busy => fl!(locale.l, "forwarding-waits"),
        ForwardState::Denied => fl!(locale.l, "forwarding-denied-do"),
        ForwardState::NoPlace => fl!(locale.l, "forwarding-no-place-do"),
        ForwardState::Refusing => fl!(locale.l, "forwarding-refusing-do"),
        ForwardState::Stuck => fl!(locale.l, "forwarding-stuck-do"),
    }
}

pub(crate) async fn resend(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    app.stores.records.resend_dead_letters(&visitor.scope).await?;
    Ok(Redirect::to("/forwarding").into_response())
}

pub(crate) async fn discard(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let gone = app.stores.records.discard_dead_letters(&visitor.scope).await?;
    tracing::info!(letters = gone, "Dead letters were discarded on the page.");
    Ok(Redirect::to("/forwarding").into_response())
}
