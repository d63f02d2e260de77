//! `/me`: how somebody who has signed in is told of cases, in which browsers, and their password.

mod browser;
mod password;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State},
    response::Response,
};
use domain::{
    Principal, Severity,
    duty::{Contact, Span},
    message::Language,
};
use i18n_embed_fl::fl;
use store::records::Channel;

pub(crate) use browser::{forget, notify, trial};
pub(crate) use password::{choose, show as show_password};

use super::messages::{
    Fields,
    contact::{Pick, clock, minute},
    kind_words, see, step_words,
};
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    view::page::{Nav, Page},
    visitor::Visitor,
};

/// How one contact that is this person is told.
struct Preferences {
    id: i64,
    version: i64,
    /// What somebody else decides: their step of the ladder, and whether they are on it at all.
    step: String,
    enabled: bool,
    channels: Vec<Pick>,
    address: String,
    languages: Vec<Pick>,
    least: Vec<Pick>,
    digest: Vec<Pick>,
    digest_at: String,
    quiet_from: String,
    quiet_to: String,
}

struct BrowserRow {
    id: i64,
    label: String,
    made: String,
    tried: Option<String>,
    state: String,
    tone: &'static str,
    said: String,
}

#[derive(Template)]
#[template(path = "me.html")]
struct MePage {
    page: Page,
    account: String,
    contacts: Vec<Preferences>,
    /// The key that browsers subscribe to; `None` where no keys are set.
    key: Option<String>,
    browsers: Vec<BrowserRow>,
}

/// Whoever has signed in: nobody else has anything of their own here.
fn principal(visitor: &Visitor) -> Result<&Principal, Failure> {
    visitor.principal.as_ref().ok_or_else(|| {
        Failure::new(
            Kind::SignedOut,
            "only somebody who has signed in has a page of their own",
        )
    })
}

pub(crate) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let locale = visitor.locale(&app);
    let records = &app.stores.records;
    let channels = records.channels().await?;
    let contacts = records.contacts_of_person(&me.person).await?;
    let view = MePage {
        page: Page::new(&app, &visitor, Nav::None, fl!(locale.l, "me-title"), "/me"),
        account: me.person.to_string(),
        contacts: contacts
            .iter()
            .map(|(contact, version)| preferences(&locale, (contact, *version), &channels))
            .collect(),
        key: app.stores.messages.push_key().map(str::to_owned),
        browsers: browser::rows(&app, &locale, me).await?,
    };
    view.page.answer(view.render())
}

fn preferences(locale: &Locale, (contact, version): (&Contact, i64), channels: &[Channel]) -> Preferences {
    let severities = |chosen: Option<Severity>| -> Vec<Pick> {
        let pick = |s: Severity| (s.code().to_owned(), locale.severity(s), Some(s) == chosen);
        Severity::ALL.into_iter().map(pick).collect()
    };
    Preferences {
        id: contact.id.0,
        version,
        step: step_words(locale, contact.step),
        enabled: contact.enabled,
        channels: channels
            .iter()
            .filter(|c| c.name == contact.channel || (c.enabled && c.kind.is_for_people()))
            .map(|c| {
                let words = format!("{} · {}", c.name, kind_words(locale, c.kind));
                (c.name.clone(), words, c.name == contact.channel)
            })
            .collect(),
        address: contact.address.clone(),
        languages: [(Language::Zh, "中文"), (Language::En, "English")]
            .map(|(l, words)| (l.tag().to_owned(), words.to_owned(), l == contact.language))
            .to_vec(),
        least: severities(Some(contact.least)),
        digest: severities(contact.digest),
        digest_at: clock(contact.digest_at),
        quiet_from: contact.quiet.map(|span| clock(span.from)).unwrap_or_default(),
        quiet_to: contact.quiet.map(|span| clock(span.to)).unwrap_or_default(),
    }
}

/// Takes in how one wants to be told. Step, reach and shifts stay with whoever keeps the roster.
pub(crate) async fn prefer(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let form = Fields::of(pairs)?;
    let records = &app.stores.records;
    let own = records.contacts_of_person(&me.person).await?;
    let found = own
        .into_iter()
        .find(|(contact, _)| contact.id.0.to_string() == id);
    let (contact, _) = found.ok_or_else(|| Failure::not_found("contact"))?;
    let channel = records.channel(form.get("channel")).await?;
    let reaches_people = |c: &Channel| c.kind.is_for_people() || c.name == contact.channel;
    if !channel.as_ref().is_some_and(reaches_people) {
        return Err(Failure::bad_parameter("channel", "a channel that reaches people"));
    }
    let changed = preferred(&form, contact)?;
    records.put_contact(&changed, form.version()?, &me.name).await?;
    app.stores.messages.wake();
    Ok(see("/me"))
}

fn preferred(form: &Fields, contact: Contact) -> Result<Contact, Failure> {
    let wrong = Failure::bad_parameter;
    let time = |name: &str| minute(form.get(name)).ok_or_else(|| wrong(name, "a time such as 08:30"));
    let quiet = match form.has("quiet_from") || form.has("quiet_to") {
        true => Some(Span {
            from: time("quiet_from")?,
            to: time("quiet_to")?,
        }),
        false => None,
    };
    let digest = match form.get("digest") {
        "" => None,
        code => Some(Severity::parse(code).ok_or_else(|| wrong("digest", "one of P0 to P4, or nothing"))?),
    };
    Ok(Contact {
        channel: form.get("channel").to_owned(),
        address: form.get("address").to_owned(),
        language: Language::parse(form.get("language")).ok_or_else(|| wrong("language", "zh-CN or en"))?,
        least: Severity::parse(form.get("least")).ok_or_else(|| wrong("least", "one of P0 to P4"))?,
        quiet,
        digest,
        digest_at: match form.has("digest_at") {
            true => time("digest_at")?,
            false => contact.digest_at,
        },
        ..contact
    })
}
