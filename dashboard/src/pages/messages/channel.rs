//! `/messages/channels/…`: sets up a channel, tries it, removes it. Secrets go in and are never shown.

use std::sync::Arc;

use alerts::TrialError;
use askama::Template;
use axum::{
    extract::{Form, Path, State},
    http::Uri,
    response::Response,
};
use domain::message::{ChannelKind, ChannelSecrets, ChannelSettings, SmtpTls};
use i18n_embed_fl::fl;
use store::records::Channel;

use super::{ByForm, Fields, contact, kind_words, language, see};
use domain::Permission;

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::Parameters,
    signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// One field of the form.
struct Field {
    name: &'static str,
    label: String,
    value: String,
    /// `text`, `secret` or `area`.
    shape: &'static str,
    hint: &'static str,
    required: bool,
}

#[derive(Template)]
#[template(path = "channel.html")]
struct ChannelPage {
    page: Page,
    kind: &'static str,
    kind_words: String,
    how: String,
    name: String,
    new: bool,
    version: i64,
    enabled: bool,
    has_secrets: bool,
    needs_address: bool,
    fields: Vec<Field>,
    tls: Option<Vec<(&'static str, String, bool)>>,
    href: String,
    /// How the last message fared: whether it worked, and what was said.
    tried: Option<(bool, String, String)>,
    max_name: usize,
}

/// The address of a channel's page.
pub(crate) fn href(name: &str) -> String {
    let mut out = String::from("/messages/channels/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

pub(crate) async fn blank(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let kind = parameters.get("kind").and_then(ChannelKind::parse);
    let kind = kind.ok_or_else(|| Failure::bad_parameter("kind", "the name of a kind of channel"))?;
    let channel = Channel {
        name: String::new(),
        kind,
        settings: ChannelSettings::default(),
        has_secrets: false,
        enabled: true,
        tried_at: None,
        worked: None,
        said: String::new(),
        version: 0,
    };
    draw(&app, &visitor, &channel)
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    let channel = app.stores.records.channel(&name).await?;
    draw(
        &app,
        &visitor,
        &channel.ok_or_else(|| Failure::not_found("channel"))?,
    )
}

fn draw(app: &App, visitor: &Visitor, channel: &Channel) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let new = channel.version == 0;
    let title = match new {
        true => fl!(locale.l, "channel-new"),
        false => channel.name.clone(),
    };
    let path = match new {
        true => format!("/messages/channels/new?kind={}", channel.kind.code()),
        false => href(&channel.name),
    };
    let view = ChannelPage {
        page: Page::new(app, visitor, Nav::Messages, title, &path),
        kind: channel.kind.code(),
        kind_words: kind_words(&locale, channel.kind),
        how: how(&locale, channel.kind),
        name: channel.name.clone(),
        new,
        version: channel.version,
        enabled: channel.enabled,
        has_secrets: channel.has_secrets,
        needs_address: channel.kind.needs_address(),
        fields: fields(&locale, channel),
        tls: (channel.kind == ChannelKind::Email).then(|| tls(&locale, channel.settings.tls)),
        href: href(&channel.name),
        tried: channel
            .tried_at
            .zip(channel.worked)
            .map(|(at, worked)| (worked, locale.stamp(at).at(), channel.said.clone())),
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

fn tls(locale: &Locale, current: SmtpTls) -> Vec<(&'static str, String, bool)> {
    [
        ("start_tls", fl!(locale.l, "tls-start"), SmtpTls::StartTls),
        ("implicit", fl!(locale.l, "tls-implicit"), SmtpTls::Implicit),
        ("none", fl!(locale.l, "tls-none"), SmtpTls::None),
    ]
    .into_iter()
    .map(|(code, label, tls)| (code, label, tls == current))
    .collect()
}

/// How to get what the form asks for.
fn how(locale: &Locale, kind: ChannelKind) -> String {
    let l = locale.l;
    match kind {
        ChannelKind::Webhook => fl!(l, "how-webhook"),
        ChannelKind::Email => fl!(l, "how-email"),
        ChannelKind::WeCom => fl!(l, "how-wecom"),
        ChannelKind::DingTalk => fl!(l, "how-dingtalk"),
        ChannelKind::Feishu => fl!(l, "how-feishu"),
        ChannelKind::Ntfy => fl!(l, "how-ntfy"),
        ChannelKind::Telegram => fl!(l, "how-telegram"),
        ChannelKind::Sms => fl!(l, "how-sms"),
        ChannelKind::Mqtt => fl!(l, "how-mqtt"),
        ChannelKind::Push => fl!(l, "how-push"),
    }
}

fn text(name: &'static str, label: String, value: &str, (hint, required): (&'static str, bool)) -> Field {
    Field {
        name,
        label,
        value: value.to_owned(),
        shape: "text",
        hint,
        required,
    }
}

/// The fields of a kind, those that must be filled in first.
fn fields(locale: &Locale, channel: &Channel) -> Vec<Field> {
    let (l, set) = (locale.l, &channel.settings);
    // What is kept is not shown; an empty field keeps it.
    let secret = |name, label: String, required: bool| Field {
        name,
        label,
        value: String::new(),
        shape: "secret",
        hint: "",
        required: required && !channel.has_secrets,
    };
    let url = |hint, required| text("url", fl!(l, "chan-url"), &set.url, (hint, required));
    let token = |required| secret("token", fl!(l, "chan-token"), required);
    let signing = |required| secret("secret", fl!(l, "chan-secret"), required);
    let topic = |hint| text("topic", fl!(l, "chan-topic"), &set.topic, (hint, true));
    let vendor = || url(channel.kind.vendor_url(), false);
    match channel.kind {
        ChannelKind::Webhook => vec![url("https://example.org/hook", true), signing(true)],
        ChannelKind::Email => {
            let mut fields = mail_fields(locale, channel);
            fields.push(secret("token", fl!(l, "field-password"), false));
            fields
        }
        ChannelKind::WeCom | ChannelKind::Telegram => vec![token(true), vendor()],
        ChannelKind::DingTalk | ChannelKind::Feishu => vec![token(true), signing(true), vendor()],
        ChannelKind::Ntfy => vec![topic("kitchen"), token(false), vendor()],
        ChannelKind::Sms => {
            let mut fields = vec![url("https://sms.example.org/send", true)];
            fields.extend(gateway_fields(locale, channel));
            fields.extend([token(false), signing(false)]);
            fields
        }
        ChannelKind::Mqtt => vec![topic("alerts/{facility}")],
        ChannelKind::Push => Vec::new(),
    }
}

fn mail_fields(locale: &Locale, channel: &Channel) -> Vec<Field> {
    let (l, set) = (locale.l, &channel.settings);
    let from = ("Kitchen <kitchen@example.org>", true);
    vec![
        text("host", fl!(l, "chan-host"), &set.host, ("smtp.example.org", true)),
        text("port", fl!(l, "chan-port"), &port(set.port), ("587", false)),
        text("from", fl!(l, "chan-from"), &set.from, from),
        text("user", fl!(l, "field-user"), &set.user, ("", false)),
    ]
}

fn gateway_fields(locale: &Locale, channel: &Channel) -> Vec<Field> {
    let (l, set) = (locale.l, &channel.settings);
    let template = ("{\"to\":\"{phone}\",\"text\":\"{text}\"}", true);
    let header = ("Bearer {token}", false);
    let mut fields = vec![
        text("template", fl!(l, "chan-template"), &set.template, template),
        text(
            "media_type",
            fl!(l, "chan-media-type"),
            &set.media_type,
            ("application/json", false),
        ),
        text(
            "authorization",
            fl!(l, "chan-authorization"),
            &set.authorization,
            header,
        ),
    ];
    fields[0].shape = "area";
    fields
}

fn port(port: u16) -> String {
    match port {
        0 => String::new(),
        port => port.to_string(),
    }
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let form = Fields::of(pairs)?;
    let by = signed::name(&visitor, form.get("by"))?.to_owned();
    let kind = ChannelKind::parse(form.get("kind"));
    let kind = kind.ok_or_else(|| Failure::bad_parameter("kind", "the name of a kind of channel"))?;
    if form.get("name") == "new" {
        return Err(Failure::bad_parameter("name", "another name than \"new\""));
    }
    let channel = Channel {
        name: form.get("name").to_owned(),
        kind,
        settings: settings(&form)?,
        has_secrets: false,
        enabled: form.has("enabled"),
        tried_at: None,
        worked: None,
        said: String::new(),
        version: form.version()?,
    };
    expect_keeper(&app, &visitor, &channel.name).await?;
    let secrets = ChannelSecrets {
        token: form.get("token").to_owned(),
        secret: form.get("secret").to_owned(),
    };
    let given = (secrets != ChannelSecrets::default()).then_some(secrets);
    let kept = app
        .stores
        .messages
        .put_channel(&channel, given.as_ref(), &by)
        .await?;
    app.stores.messages.wake();
    Ok(see(&href(&kept.name)))
}

/// Fails where a channel tells somebody of facilities that this visitor does not see: it is not theirs to change.
async fn expect_keeper(app: &App, visitor: &Visitor, channel: &str) -> Result<(), Failure> {
    let contacts = app.stores.records.contacts().await?;
    let mut told = contacts.iter().filter(|(contact, _)| contact.channel == channel);
    if told.all(|(contact, _)| contact::keeps(visitor, contact)) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::NotAllowed,
        "this channel tells somebody of facilities that you do not see; somebody who sees them has to change it",
    ))
}

fn settings(form: &Fields) -> Result<ChannelSettings, Failure> {
    let text = |name: &str| form.get(name).to_owned();
    let port = match form.get("port") {
        "" => 0,
        digits => digits
            .parse()
            .map_err(|_not_a_port| Failure::bad_parameter("port", "a number from 1 to 65535"))?,
    };
    Ok(ChannelSettings {
        url: text("url"),
        host: text("host"),
        port,
        tls: match form.get("tls") {
            "implicit" => SmtpTls::Implicit,
            "none" => SmtpTls::None,
            _ => SmtpTls::StartTls,
        },
        user: text("user"),
        from: text("from"),
        topic: text("topic"),
        template: text("template"),
        media_type: text("media_type"),
        authorization: text("authorization"),
    })
}

/// Sends a trial; the page then says how it went.
pub(crate) async fn trial(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let form = Fields::of(pairs)?;
    let sent = app
        .stores
        .messages
        .try_channel(&name, form.get("address"), language(visitor.lang))
        .await;
    match sent {
        // A failure was noted with the channel, where the page shows it.
        Ok(()) | Err(TrialError::Failed(_)) => Ok(see(&href(&name))),
        Err(TrialError::NotFound) => Err(Failure::not_found("channel")),
        Err(TrialError::Store(error)) => Err(error.into()),
    }
}

pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(name): Path<String>,
    Form(form): Form<ByForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let by = signed::name(&visitor, &form.by)?;
    expect_keeper(&app, &visitor, &name).await?;
    app.stores.records.remove_channel(&name, by).await?;
    Ok(see("/messages"))
}
