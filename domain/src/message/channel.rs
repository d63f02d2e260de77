//! Channels: which there are, and what each needs to be told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most characters of a setting, a template and a secret.
pub const MAX_SETTING: usize = 500;
/// The most characters of a template.
pub const MAX_TEMPLATE: usize = 4_000;
/// The most characters of a secret.
pub const MAX_SECRET: usize = 512;

/// A kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// A program's HTTP address, signed as Standard Webhooks says.
    Webhook,
    /// E-mail over SMTP.
    Email,
    /// A WeCom (企业微信) group robot.
    WeCom,
    /// A DingTalk (钉钉) robot, signed.
    DingTalk,
    /// A Feishu (飞书) robot, signed.
    Feishu,
    /// An ntfy topic.
    Ntfy,
    /// A Telegram bot.
    Telegram,
    /// A text-message gateway over HTTP.
    Sms,
    /// A topic of our own MQTT listener.
    Mqtt,
    /// Notifications of a person's browsers (Web Push).
    Push,
}

impl ChannelKind {
    /// Every kind.
    pub const ALL: [ChannelKind; 10] = [
        ChannelKind::Webhook,
        ChannelKind::Email,
        ChannelKind::WeCom,
        ChannelKind::DingTalk,
        ChannelKind::Feishu,
        ChannelKind::Ntfy,
        ChannelKind::Telegram,
        ChannelKind::Sms,
        ChannelKind::Mqtt,
        ChannelKind::Push,
    ];

    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ChannelKind::Webhook => "webhook",
            ChannelKind::Email => "email",
            ChannelKind::WeCom => "wecom",
            ChannelKind::DingTalk => "dingtalk",
            ChannelKind::Feishu => "feishu",
            ChannelKind::Ntfy => "ntfy",
            ChannelKind::Telegram => "telegram",
            ChannelKind::Sms => "sms",
            ChannelKind::Mqtt => "mqtt",
            ChannelKind::Push => "push",
        }
    }

    /// Reads [`ChannelKind::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<ChannelKind> {
        ChannelKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Where the vendor listens; empty where there is no vendor.
    #[must_use]
    pub const fn vendor_url(self) -> &'static str {
        match self {
            ChannelKind::WeCom => "https://qyapi.weixin.qq.com",
            ChannelKind::DingTalk => "https://oapi.dingtalk.com",
            ChannelKind::Feishu => "https://open.feishu.cn",
            ChannelKind::Ntfy => "https://ntfy.sh",
            ChannelKind::Telegram => "https://api.telegram.org",
            ChannelKind::Webhook
            | ChannelKind::Email
            | ChannelKind::Sms
            | ChannelKind::Mqtt
            | ChannelKind::Push => "",
        }
    }

    /// Whether each contact has an address of its own on the channel.
    #[must_use]
    pub const fn needs_address(self) -> bool {
        matches!(
            self,
            ChannelKind::Email | ChannelKind::Telegram | ChannelKind::Sms
        )
    }

    /// Whether it reaches people, who read what is told, and not a program.
    #[must_use]
    pub const fn is_for_people(self) -> bool {
        !matches!(self, ChannelKind::Webhook | ChannelKind::Mqtt)
    }

    /// Whether every contact has a place of its own at a server of its own: that one of them does not answer says nothing
    /// about the others.
    #[must_use]
    pub const fn is_scattered(self) -> bool {
        matches!(self, ChannelKind::Push)
    }

    /// Whether several notices that wait may be sent as one. A program gets each by itself.
    #[must_use]
    pub const fn gathers(self) -> bool {
        !matches!(self, ChannelKind::Webhook | ChannelKind::Mqtt)
    }

    /// Whether it can carry a picture.
    #[must_use]
    pub const fn shows_pictures(self) -> bool {
        matches!(
            self,
            ChannelKind::Email | ChannelKind::WeCom | ChannelKind::Ntfy | ChannelKind::Telegram
        )
    }
}

/// How an SMTP connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// Begins in the clear and must turn to TLS before anything is said (port 587).
    #[default]
    StartTls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// None. The password would travel in the clear: for a relay on this machine only.
    None,
}

/// What a channel is set to. Which of it counts depends on the kind; nothing here is secret.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelSettings {
    /// Webhook, SMS gateway: the address. Robots, ntfy, Telegram: another server than the vendor's; empty for that.
    pub url: String,
    /// E-mail: the SMTP server.
    pub host: String,
    /// E-mail: its port, 1 to 65,535; 0 stands for the usual one.
    pub port: u16,
    /// E-mail: how the connection is secured.
    pub tls: SmtpTls,
    /// E-mail: the user; empty for none.
    pub user: String,
    /// E-mail: the sender's address.
    pub from: String,
    /// ntfy: the topic. MQTT: the topic, where `{facility}` stands for the facility.
    pub topic: String,
    /// SMS gateway: the body; `{phone}`, `{text}`, `{token}` and `{secret}` stand for what they say.
    pub template: String,
    /// SMS gateway: the body's media type; `application/json` when empty.
    pub media_type: String,
    /// SMS gateway: an `Authorization` header, with the same words in braces; empty for none.
    pub authorization: String,
}

/// A channel's secrets. Never shown, logged or compared with anything.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelSecrets {
    /// The robot's key or token, the bot's token, the password.
    pub token: String,
    /// The secret that signs.
    pub secret: String,
}

impl fmt::Debug for ChannelSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelSecrets(..)")
    }
}

/// What a channel lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelProblem {
    /// A setting is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A setting is too long or holds a control character.
    #[error("{0} is too long or holds a control character")]
    Unreadable(&'static str),
    /// An address does not begin with a scheme that is allowed, or holds credentials.
    #[error(
        "url must begin with https:// or http:// and hold no user or password; put secrets into the secret fields"
    )]
    Url,
    /// The signing secret of a webhook has another form.
    #[error("the webhook's secret is written whsec_ and 24 to 64 bytes in Base64")]
    WebhookSecret,
    /// A topic has a wildcard, or is one of those that devices speak under.
    #[error("the topic must not hold + or #, nor begin with $ or sk/")]
    Topic,
    /// It would send secrets that were kept for one server to another one, or in the clear.
    #[error(
        "secrets that were kept for one server are not sent to another one, nor in the clear; enter them again"
    )]
    Elsewhere,
    /// The template lacks what the message cannot do without.
    #[error("the template must hold {{phone}} and {{text}}")]
    Template,
}

impl ChannelSettings {
    /// Whether a channel of `kind` can work with these settings. `secrets` are those that are given now; `kept` says
    /// whether earlier ones stay where none is given.
    ///
    /// # Errors
    /// [`ChannelProblem`], the first one.
    pub fn check(
        &self,
        kind: ChannelKind,
        secrets: &ChannelSecrets,
        kept: bool,
    ) -> Result<(), ChannelProblem> {
        self.check_lengths(secrets)?;
        let present = |name: &'static str, value: &str| match value.trim() {
            "" => Err(ChannelProblem::Missing(name)),
            _ => Ok(()),
        };
        let secret = |name: &'static str, value: &str| if kept { Ok(()) } else { present(name, value) };
        if !self.url.is_empty() || matches!(kind, ChannelKind::Webhook | ChannelKind::Sms) {
            present("url", &self.url)?;
            check_url(&self.url)?;
        }
        match kind {
            ChannelKind::Webhook => {
                secret("secret", &secrets.secret)?;
                check_webhook_secret(&secrets.secret)
            }
            ChannelKind::Email => {
                present("host", &self.host)?;
                present("from", &self.from)
            }
            ChannelKind::WeCom | ChannelKind::Telegram => secret("token", &secrets.token),
            ChannelKind::DingTalk | ChannelKind::Feishu => {
                secret("token", &secrets.token)?;
                secret("secret", &secrets.secret)
            }
            ChannelKind::Ntfy => {
                present("topic", &self.topic)?;
                check_topic(&self.topic)
            }
            ChannelKind::Sms => {
                let whole = ["{phone}", "{text}"]
                    .iter()
                    .all(|word| self.template.contains(word));
                whole.then_some(()).ok_or(ChannelProblem::Template)
            }
            ChannelKind::Mqtt => {
                present("topic", &self.topic)?;
                check_topic(&self.topic)
            }
            // The keys are the server's, the places are the people's own.
            ChannelKind::Push => Ok(()),
        }
    }

    /// Whether what is kept for these settings may be sent as `later` says: to the same server, and not less secured.
    #[must_use]
    pub fn same_place(&self, later: &ChannelSettings) -> bool {
        // What follows the server's name says where on it.
        let server = |url: &str| {
            let (scheme, rest) = url.trim().split_once("://").unwrap_or_default();
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            (scheme.to_ascii_lowercase(), rest[..end].to_ascii_lowercase())
        };
        let place = |set: &ChannelSettings| (server(&set.url), set.host.trim().to_owned(), set.port);
        place(self) == place(later) && (later.tls != SmtpTls::None || self.tls == SmtpTls::None)
    }

    fn check_lengths(&self, secrets: &ChannelSecrets) -> Result<(), ChannelProblem> {
        let lines = [
            ("url", &self.url, MAX_SETTING),
            ("host", &self.host, MAX_SETTING),
            ("user", &self.user, MAX_SETTING),
            ("from", &self.from, MAX_SETTING),
            ("topic", &self.topic, MAX_SETTING),
            ("media_type", &self.media_type, MAX_SETTING),
            ("authorization", &self.authorization, MAX_SETTING),
            ("token", &secrets.token, MAX_SECRET),
            ("secret", &secrets.secret, MAX_SECRET),
        ];
        for (name, value, max) in lines {
            if value.chars().nth(max).is_some() || value.chars().any(char::is_control) {
                return Err(ChannelProblem::Unreadable(name));
            }
        }
        if self.template.chars().nth(MAX_TEMPLATE).is_some() {
            return Err(ChannelProblem::Unreadable("template"));
        }
        Ok(())
    }
}

fn check_url(url: &str) -> Result<(), ChannelProblem> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    match authority {
        Some(authority) if !authority.is_empty() && !authority.contains('@') => Ok(()),
        _ => Err(ChannelProblem::Url),
    }
}

fn check_webhook_secret(secret: &str) -> Result<(), ChannelProblem> {
    if secret.is_empty() {
        return Ok(());
    }
    let encoded = secret
        .strip_prefix("whsec_")
        .ok_or(ChannelProblem::WebhookSecret)?;
    let plain = encoded.trim_end_matches('=');
    let letters = plain
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    // 24 to 64 bytes are 32 to 86 characters without padding.
    if letters && (32..=86).contains(&plain.len()) && plain.len() % 4 != 1 {
        Ok(())
    } else {
        Err(ChannelProblem::WebhookSecret)
    }
}

fn check_topic(topic: &str) -> Result<(), ChannelProblem> {
    let ours = topic.starts_with("sk/") || topic.starts_with('$');
    if ours || topic.contains(['+', '#', '\0']) {
        return Err(ChannelProblem::Topic);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    /// What is wrong with (kind, url, topic, token, secret).
    fn problem(
        (kind, url, topic, token, secret): (ChannelKind, &str, &str, &str, &str),
    ) -> Option<ChannelProblem> {
        let settings = ChannelSettings {
            url: url.into(),
            topic: topic.into(),
            ..ChannelSettings::default()
        };
        let secrets = ChannelSecrets {
            token: token.into(),
            secret: secret.into(),
        };
        settings.check(kind, &secrets, false).err()
    }

    #[test]
    fn what_is_whole_is_accepted() {
        let cases = [
            (ChannelKind::Webhook, "https://h/x", "", "", GOOD),
            (ChannelKind::WeCom, "", "", "key", ""),
            (ChannelKind::DingTalk, "http://127.0.0.1:1", "", "key", "SEC"),
            (ChannelKind::Ntfy, "", "kitchen", "", ""),
            (ChannelKind::Mqtt, "", "alerts/{facility}", "", ""),
        ];
        for case in cases {
            assert_eq!(problem(case), None, "{case:?}");
        }
        let kept = ChannelSettings::default().check(ChannelKind::DingTalk, &ChannelSecrets::default(), true);
        assert_eq!(kept, Ok(()), "secrets that are kept need not be given again");
        let secrets = ChannelSecrets {
            token: "hunter2".into(),
            secret: "hunter2".into(),
        };
        assert_eq!(format!("{secrets:?}"), "ChannelSecrets(..)");
    }

    #[test]
    fn each_kind_says_what_it_lacks() {
        use ChannelProblem::{Missing, Template, Topic, Url, WebhookSecret};
        let cases = [
            ((ChannelKind::Webhook, "", "", "", GOOD), Missing("url")),
            ((ChannelKind::Webhook, "ftp://h/", "", "", GOOD), Url),
            ((ChannelKind::Webhook, "https://u:p@h/", "", "", GOOD), Url),
            (
                (ChannelKind::Webhook, "https://h/", "", "", ""),
                Missing("secret"),
            ),
            (
                (ChannelKind::Webhook, "https://h/", "", "", "hunter2"),
                WebhookSecret,
            ),
            ((ChannelKind::DingTalk, "", "", "key", ""), Missing("secret")),
            ((ChannelKind::Feishu, "", "", "", "s"), Missing("token")),
            ((ChannelKind::Email, "", "", "", ""), Missing("host")),
            ((ChannelKind::Mqtt, "", "sk/v1/x", "", ""), Topic),
            ((ChannelKind::Mqtt, "", "a/#", "", ""), Topic),
            ((ChannelKind::Sms, "https://h/", "", "", ""), Template),
        ];
        for (case, want) in cases {
            assert_eq!(problem(case), Some(want), "{case:?}");
        }
    }

    #[test]
    fn what_is_kept_stays_with_the_server_it_was_given_for() {
        let mail = ChannelSettings {
            host: "smtp.example.org".into(),
            port: 587,
            ..ChannelSettings::default()
        };
        let renamed = ChannelSettings {
            from: "other@example.org".into(),
            tls: SmtpTls::Implicit,
            ..mail.clone()
        };
        assert!(mail.same_place(&renamed), "nothing that says where");
        let other_path = ChannelSettings {
            url: "https://Example.org/b?c".into(),
            ..ChannelSettings::default()
        };
        let hook = ChannelSettings {
            url: "https://example.org/a".into(),
            ..ChannelSettings::default()
        };
        assert!(hook.same_place(&other_path), "the same server");
        for (before, after) in [
            (
                &mail,
                ChannelSettings {
                    host: "evil.example".into(),
                    ..mail.clone()
                },
            ),
            (
                &mail,
                ChannelSettings {
                    port: 25,
                    ..mail.clone()
                },
            ),
            (
                &mail,
                ChannelSettings {
                    tls: SmtpTls::None,
                    ..mail.clone()
                },
            ),
            (
                &hook,
                ChannelSettings {
                    url: "https://evil.example/a".into(),
                    ..hook.clone()
                },
            ),
            (&ChannelSettings::default(), hook.clone()),
            (
                &hook,
                ChannelSettings {
                    url: "http://example.org/a".into(),
                    ..hook.clone()
                },
            ),
        ] {
            assert!(!before.same_place(&after), "{after:?}");
        }
    }

    #[test]
    fn every_kind_is_found_by_its_code() {
        for kind in ChannelKind::ALL {
            assert_eq!(ChannelKind::parse(kind.code()), Some(kind));
            let serialized = toml::Value::try_from(kind).unwrap();
            assert!(serialized.is_str(), "{serialized}");
        }
    }
}
