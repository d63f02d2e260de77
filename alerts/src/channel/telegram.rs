//! Telegram: `sendMessage`, and `sendPhoto` for a picture.

use domain::message::{ChannelKind, ChannelSecrets, ChannelSettings, bounded};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{FailureKind, Letter, SendFailure, outside::Outside};

/// The longest text and caption, in bytes: Telegram counts UTF-16 units, which are never more.
const TEXT_BYTES: usize = 4_096;
const CAPTION_BYTES: usize = 1_024;

/// Stands between the parts of a form; no JPEG holds it by chance.
const EDGE: &str = "sunshine-kitchen-6c1f0a9e2b7d4583";

pub(super) async fn send(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let method = if letter.picture.is_some() {
        "sendPhoto"
    } else {
        "sendMessage"
    };
    let path = format!("/bot{}/{method}", secrets.token);
    let url = outside.url(ChannelKind::Telegram, &settings.url, &path)?;
    let request = match &letter.picture {
        Some(jpeg) => outside
            .post(url)
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={EDGE}"))
            .body(form(
                &letter.address,
                &bounded(&letter.text.title, CAPTION_BYTES),
                jpeg,
            )),
        None => outside.post(url).json(&json!({
            "chat_id": letter.address,
            "text": letter.text.plain(TEXT_BYTES),
            "link_preview_options": { "is_disabled": true },
        })),
    };
    let answer = outside.send(request).await?;
    let said = answer.json();
    // A busy bot says in the body how long to wait.
    let wait = said
        .as_ref()
        .ok()
        .and_then(|said| said.pointer("/parameters/retry_after")?.as_i64());
    if let (429, Some(seconds)) = (answer.status.as_u16(), wait) {
        return Err(SendFailure {
            kind: FailureKind::Transient {
                after_ms: Some(seconds.clamp(0, 3_600) * 1_000),
            },
            words: format!("Telegram asks to wait {seconds} s"),
        });
    }
    answer.accepted()?;
    match said?.get("ok").and_then(Value::as_bool) {
        Some(true) => Ok(()),
        _ => Err(SendFailure::permanent("Telegram did not say ok")),
    }
}

fn form(chat: &str, caption: &str, jpeg: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(jpeg.len() + 600);
    for (name, value) in [("chat_id", chat), ("caption", caption)] {
        let value: String = value.chars().filter(|c| *c != '\r').collect();
        let part = format!("--{EDGE}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{EDGE}\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"case.jpg\"\r\n\
         Content-Type: image/jpeg\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(jpeg);
    body.extend_from_slice(format!("\r\n--{EDGE}--\r\n").as_bytes());
    body
}
