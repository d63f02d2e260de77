//! `/messages`: what people were told and what is still to be told, over which channels, and who hears it.

pub(crate) mod channel;
pub(crate) mod contact;

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Form, Path, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    Permission,
    duty::{ContactId, Step},
    message::{ChannelKind, Language},
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::records::{Channel, Delivery, DeliveryFilter, DeliveryId, DeliveryState, OutboxCounts};

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    i18n::Lang,
    query::Parameters,
    signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Deliveries on one page.
const PER_PAGE: u32 = 50;

/// A delivery in words.
struct DeliveryRow {
    id: i64,
    case: i64,
    what: String,
    text: String,
    to: String,
    state: String,
    tone: &'static str,
    at: String,
    /// When it is to be sent, or was settled: HTML.
    when: String,
    attempts: u32,
    error: String,
    dead: bool,
}

struct ChannelRow {
    name: String,
    href: String,
    kind: String,
    state: String,
    tone: &'static str,
    said: String,
    tried: Option<String>,
}

struct ContactRow {
    id: i64,
    name: String,
    step: String,
    channel: String,
    least: String,
    enabled: bool,
}

struct Choice {
    label: String,
    href: String,
    current: bool,
    count: u64,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct Messages {
    page: Page,
    rows: Vec<DeliveryRow>,
    states: Vec<Choice>,
    channels: Vec<ChannelRow>,
    contacts: Vec<ContactRow>,
    kinds: Vec<(String, String)>,
    next: Option<String>,
    max_name: usize,
}

pub(crate) const fn language(lang: Lang) -> Language {
    match lang {
        Lang::Zh => Language::Zh,
        Lang::En => Language::En,
    }
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let filter = wanted(&Parameters::of(&uri)?)?;
    let state = filter.state;
    let locale = visitor.locale(&app);
    let records = &app.stores.records;
    let mut found = records.deliveries(&visitor.scope, &filter).await?;
    let more = found.len() > PER_PAGE as usize;
    found.truncate(PER_PAGE as usize);
    let contacts = records.contacts().await?;
    let names: BTreeMap<ContactId, String> = contacts
        .iter()
        .map(|(contact, _)| (contact.id, contact.name.clone()))
        .collect();
    let next = found.last().filter(|_| more).map(|last| {
        let state = state.map_or("", DeliveryState::code);
        format!("/messages?state={state}&before={}", last.id.0)
    });
    let mut rows = Vec::with_capacity(found.len());
    for delivery in &found {
        rows.push(row(&app, &locale, delivery, &names).await?);
    }
    let counts = records.outbox_counts(&visitor.scope).await?;
    let channels = records.channels().await?;
    let title = fl!(locale.l, "messages-title");
    let view = Messages {
        page: Page::new(&app, &visitor, Nav::Messages, title, "/messages"),
        rows,
        states: states(&locale, state, counts),
        channels: channels
            .iter()
            .map(|channel| channel_row(&locale, channel))
            .collect(),
        contacts: contacts
            .iter()
            .map(|(contact, _)| ContactRow {
                id: contact.id.0,
                name: contact.name.clone(),
                step: step_words(&locale, contact.step),
                channel: contact.channel.clone(),
                least: locale.severity(contact.least),
                enabled: contact.enabled,
            })
            .collect(),
        kinds: ChannelKind::ALL
            .into_iter()
            .map(|kind| (kind.code().to_owned(), kind_words(&locale, kind)))
            .collect(),
        next,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

fn wanted(parameters: &Parameters) -> Result<DeliveryFilter, Failure> {
    let state = match parameters.get("state").map(DeliveryState::parse) {
        Some(None) => {
            return Err(Failure::bad_parameter(
                "state",
                "waiting, sent, dead, dropped or unheard",
            ));
        }
        state => state.flatten(),
    };
    let before = match parameters.get("before").map(str::parse::<i64>) {
        None => None,
        Some(Ok(n)) if n > 0 => Some(DeliveryId(n)),
        Some(_) => return Err(Failure::bad_parameter("before", "a message's number")),
    };
    Ok(DeliveryFilter {
        state,
        facility: parameters.facility()?,
        before,
        limit: PER_PAGE + 1,
        case: None,
    })
}

async fn row(
    app: &App,
    locale: &Locale,
    delivery: &Delivery,
    names: &BTreeMap<ContactId, String>,
) -> Result<DeliveryRow, Failure> {
    let text = app
        .stores
        .messages
        .words(&delivery.said, language(locale.lang))
        .await?;
    let (state, tone) = match delivery.state {
        DeliveryState::Waiting => (fl!(locale.l, "msg-waiting"), "warn"),
        DeliveryState::Sent => (fl!(locale.l, "msg-sent"), "ok"),
        DeliveryState::Dead => (fl!(locale.l, "msg-dead"), "crit"),
        DeliveryState::Dropped => (fl!(locale.l, "msg-dropped"), "off"),
        DeliveryState::Unheard => (fl!(locale.l, "msg-unheard"), "crit"),
    };
    let name = delivery.contact.and_then(|id| names.get(&id));
    let to = match (name, &delivery.channel) {
        (Some(name), Some(channel)) => format!("{name} · {channel}"),
        (None, Some(channel)) => channel.clone(),
        _ => fl!(locale.l, "msg-nobody"),
    };
    let when = delivery.settled_at.unwrap_or(delivery.due_at);
    Ok(DeliveryRow {
        id: delivery.id.0,
        case: delivery.case.0,
        what: text.title,
        text: text.body,
        to,
        state,
        tone,
        at: locale.stamp(delivery.created_at).at(),
        when: locale.stamp(when).at(),
        attempts: delivery.attempts,
        error: delivery.error.clone(),
        dead: delivery.state == DeliveryState::Dead,
    })
}

fn states(locale: &Locale, current: Option<DeliveryState>, counts: OutboxCounts) -> Vec<Choice> {
    let l = locale.l;
    [
        (None, fl!(l, "msg-all"), 0),
        (
            Some(DeliveryState::Waiting),
            fl!(l, "msg-waiting"),
            counts.waiting,
        ),
        (Some(DeliveryState::Sent), fl!(l, "msg-sent"), 0),
        (Some(DeliveryState::Dead), fl!(l, "msg-dead"), counts.dead),
        (
            Some(DeliveryState::Unheard),
            fl!(l, "msg-unheard"),
            counts.unheard,
        ),
    ]
    .into_iter()
    .map(|(state, label, count)| Choice {
        label,
        href: state.map_or_else(
            || "/messages".to_owned(),
            |state| format!("/messages?state={}", state.code()),
        ),
        current: state == current,
        count,
    })
    .collect()
}

fn channel_row(locale: &Locale, channel: &Channel) -> ChannelRow {
    let (state, tone) = match (channel.enabled, channel.worked) {
        (false, _) => (fl!(locale.l, "chan-off"), "off"),
        (true, None) => (fl!(locale.l, "chan-untried"), "warn"),
        (true, Some(true)) => (fl!(locale.l, "chan-works"), "ok"),
        (true, Some(false)) => (fl!(locale.l, "chan-fails"), "crit"),
    };
    ChannelRow {
        name: channel.name.clone(),
        href: channel::href(&channel.name),
        kind: kind_words(locale, channel.kind),
        state,
        tone,
        said: channel.said.clone(),
        tried: channel.tried_at.map(|at| locale.stamp(at).at()),
    }
}

pub(crate) fn kind_words(locale: &Locale, kind: ChannelKind) -> String {
    match kind {
        ChannelKind::Webhook => fl!(locale.l, "kind-webhook"),
        ChannelKind::Email => fl!(locale.l, "kind-email"),
        ChannelKind::WeCom => fl!(locale.l, "kind-wecom"),
        ChannelKind::DingTalk => fl!(locale.l, "kind-dingtalk"),
        ChannelKind::Feishu => fl!(locale.l, "kind-feishu"),
        ChannelKind::Ntfy => fl!(locale.l, "kind-ntfy"),
        ChannelKind::Telegram => fl!(locale.l, "kind-telegram"),
        ChannelKind::Sms => fl!(locale.l, "kind-sms"),
        ChannelKind::Mqtt => fl!(locale.l, "kind-mqtt"),
        ChannelKind::Push => fl!(locale.l, "kind-push"),
    }
}

pub(crate) fn step_words(locale: &Locale, step: Step) -> String {
    match step {
        Step::Duty => fl!(locale.l, "step-duty"),
        Step::Head => fl!(locale.l, "step-head"),
        Step::Town => fl!(locale.l, "step-town"),
        Step::District => fl!(locale.l, "step-district"),
        Step::Observer => fl!(locale.l, "step-observer"),
    }
}

/// Back to the list.
pub(crate) fn see(target: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, target.to_owned())]).into_response()
}

/// A form that says no more than who sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct ByForm {
    #[serde(default)]
    pub(crate) by: String,
}

pub(crate) async fn resend(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<ByForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let id = id
        .parse()
        .map_err(|_not_a_number| Failure::not_found("message"))?;
    let by = signed::name(&visitor, &form.by)?;
    app.stores
        .records
        .resend_delivery(&visitor.scope, DeliveryId(id), by)
        .await?;
    app.stores.messages.wake();
    Ok(see("/messages?state=waiting"))
}

/// What a form holds, field by field.
#[derive(Debug, Default)]
pub(crate) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub(crate) fn of(pairs: Vec<(String, String)>) -> Result<Fields, Failure> {
        if pairs.len() > 64 {
            return Err(Failure::new(Kind::BadRequest, "the form has more than 64 fields"));
        }
        Ok(Fields(pairs.into_iter().collect()))
    }

    /// A field without the blanks around it; empty when it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }

    pub(crate) fn version(&self) -> Result<i64, Failure> {
        let wrong = |_not_a_number| Failure::bad_parameter("version", "the number that the form had");
        self.get("version").parse().map_err(wrong)
    }
}
