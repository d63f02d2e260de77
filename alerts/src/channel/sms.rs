//! Text messages through a gateway of the operator's choice: a template says what it wants to read.

use domain::message::{ChannelKind, ChannelSecrets, ChannelSettings};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};

use super::{Letter, SendFailure, outside::Outside};

/// The longest text, in bytes: about three parts of a long message.
const TEXT_BYTES: usize = 600;

/// How a value is written into the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Json,
    Form,
    Plain,
}

pub(super) async fn send(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let url = outside.url(ChannelKind::Sms, &settings.url, "")?;
    let media_type = match settings.media_type.as_str() {
        "" => "application/json",
        named => named,
    };
    let writing = match media_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => Writing::Json,
        "application/x-www-form-urlencoded" => Writing::Form,
        _ => Writing::Plain,
    };
    let body = filled(&settings.template, writing, secrets, letter);
    let mut request = outside.post(url).header(CONTENT_TYPE, media_type).body(body);
    if !settings.authorization.is_empty() {
        let words = filled(&settings.authorization, Writing::Plain, secrets, letter);
        let mut value = HeaderValue::from_str(&words).map_err(|_holds_it| {
            SendFailure::permanent("the authorization cannot stand in a header; correct it")
        })?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    outside.send(request).await?.accepted().map(drop)
}

/// The template with its words filled in. What is filled in is not searched for further words.
fn filled(template: &str, writing: Writing, secrets: &ChannelSecrets, letter: &Letter) -> String {
    let text = letter.text.plain(TEXT_BYTES);
    let words = [
        ("{phone}", letter.address.as_str()),
        ("{text}", text.as_str()),
        ("{token}", secrets.token.as_str()),
        ("{secret}", secrets.secret.as_str()),
    ];
    let mut out = String::with_capacity(template.len() + text.len());
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match words.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, value)) => {
                out.push_str(&written(value, writing));
                rest = &rest[word.len()..];
            }
            None => {
                out.push('{');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn written(value: &str, writing: Writing) -> String {
    match writing {
        Writing::Plain => value.to_owned(),
        Writing::Form => url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        Writing::Json => {
            let quoted = serde_json::Value::from(value).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{Severity, UtcMillis, message::Text};

    use super::*;

    #[test]
    fn a_template_is_filled_in_once_and_in_the_bodys_own_writing() {
        let letter = Letter {
            name: "n".into(),
            at: UtcMillis(0),
            text: Text {
                title: "a \"b\" {token}".into(),
                body: "c&d".into(),
                link: String::new(),
            },
            severity: Severity::P1,
            facility: String::new(),
            address: "+8613800000000".into(),
            person: None,
            picture: None,
            event: serde_json::Value::Null,
        };
        let secrets = ChannelSecrets {
            token: "t".into(),
            secret: "s".into(),
        };
        let cases = [
            (
                r#"{"to":"{phone}","m":"{text}"}"#,
                Writing::Json,
                r#"{"to":"+8613800000000","m":"a \"b\" {token}\nc&d"}"#,
            ),
            (
                "to={phone}&m={text}&k={token}",
                Writing::Form,
                "to=%2B8613800000000&m=a+%22b%22+%7Btoken%7D%0Ac%26d&k=t",
            ),
            (
                "Bearer {token} {unknown} {",
                Writing::Plain,
                "Bearer t {unknown} {",
            ),
        ];
        for (template, writing, want) in cases {
            assert_eq!(filled(template, writing, &secrets, &letter), want);
        }
    }
}
