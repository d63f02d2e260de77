//! ntfy: JSON to the server's root; a picture is put into the topic.

use domain::{
    Severity,
    message::{ChannelKind, ChannelSecrets, ChannelSettings, bounded},
};
use reqwest::RequestBuilder;
use serde_json::json;

use super::{Letter, SendFailure, outside::Outside};

/// The longest message that ntfy does not turn into a file, in bytes.
const MESSAGE_BYTES: usize = 4_000;

pub(super) async fn send(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let request = match &letter.picture {
        Some(jpeg) => {
            let path = format!("/{}", settings.topic);
            let url = outside.url(ChannelKind::Ntfy, &settings.url, &path)?;
            outside
                .put(url)
                .header("filename", "case.jpg")
                .header("click", ascii(&letter.text.link))
                .body(jpeg.clone())
        }
        None => {
            let url = outside.url(ChannelKind::Ntfy, &settings.url, "/")?;
            outside.post(url).json(&json!({
                "topic": settings.topic,
                "title": letter.text.title,
                "message": bounded(&letter.text.body, MESSAGE_BYTES),
                "priority": priority(letter.severity),
                "click": letter.text.link,
            }))
        }
    };
    outside
        .send(signed_in(request, secrets))
        .await?
        .accepted()
        .map(drop)
}

fn signed_in(request: RequestBuilder, secrets: &ChannelSecrets) -> RequestBuilder {
    match secrets.token.as_str() {
        "" => request,
        token => request.bearer_auth(token),
    }
}

/// A header holds nothing else.
fn ascii(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

/// 5 breaks through do-not-disturb, 1 makes no sound.
const fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::P0 | Severity::P1 => 5,
        Severity::P2 => 4,
        Severity::P3 => 3,
        Severity::P4 => 2,
    }
}
