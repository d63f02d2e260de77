//! Group robots: WeCom, DingTalk and Feishu.

use base64::{Engine as _, engine::general_purpose};
use domain::message::{ChannelKind, ChannelSecrets, ChannelSettings};
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::{Letter, SendFailure, outside::Outside, webhook::sign};

/// The longest text that WeCom takes, in bytes, and a bound for the others.
const WECOM_BYTES: usize = 2_048;
const TEXT_BYTES: usize = 16_000;

/// The largest picture that WeCom takes, in bytes.
const WECOM_PICTURE: usize = 2 << 20;

/// Codes that mean "too fast": WeCom's and DingTalk's, Feishu's.
const TOO_FAST: [i64; 5] = [45_009, 130_101, 410_100, 9_499, 11_232];

/// `POST /cgi-bin/webhook/send?key=…`. The key in the address is all that protects the robot.
pub(super) async fn wecom(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let mut url = outside.url(ChannelKind::WeCom, &settings.url, "/cgi-bin/webhook/send")?;
    url.query_pairs_mut().append_pair("key", &secrets.token);
    let body = match &letter.picture {
        Some(jpeg) if jpeg.len() <= WECOM_PICTURE => json!({
            "msgtype": "image",
            "image": {
                "base64": general_purpose::STANDARD.encode(jpeg),
                "md5": hex(&Md5::digest(jpeg)),
            },
        }),
        _ => json!({ "msgtype": "text", "text": { "content": letter.text.plain(WECOM_BYTES) } }),
    };
    let answer = outside.send(outside.post(url).json(&body)).await?.accepted()?;
    judged("WeCom", &answer.json()?, ("errcode", "errmsg"))
}

/// `POST /robot/send?access_token=…&timestamp=…&sign=…`: the sign is the HMAC-SHA256 of `timestamp\nsecret` with the
/// secret as key; the timestamp is in milliseconds and holds for an hour.
pub(super) async fn dingtalk(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let mut url = outside.url(ChannelKind::DingTalk, &settings.url, "/robot/send")?;
    let stamp = letter.at.0;
    let signed = sign(
        secrets.secret.as_bytes(),
        format!("{stamp}\n{}", secrets.secret).as_bytes(),
    );
    url.query_pairs_mut()
        .append_pair("access_token", &secrets.token)
        .append_pair("timestamp", &stamp.to_string())
        .append_pair("sign", &signed);
    let body = json!({ "msgtype": "text", "text": { "content": letter.text.plain(TEXT_BYTES) } });
    let answer = outside.send(outside.post(url).json(&body)).await?.accepted()?;
    judged("DingTalk", &answer.json()?, ("errcode", "errmsg"))
}

/// `POST /open-apis/bot/v2/hook/…`: the sign is the HMAC-SHA256 of nothing with `timestamp\nsecret` as key; the timestamp is
/// in seconds.
pub(super) async fn feishu(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let mut url = outside.url(ChannelKind::Feishu, &settings.url, "/open-apis/bot/v2/hook")?;
    url.path_segments_mut()
        .map_err(|()| SendFailure::permanent("the channel's address has no path; correct it"))?
        .push(&secrets.token);
    let stamp = (letter.at.0 / 1_000).to_string();
    let body = json!({
        "timestamp": stamp,
        "sign": sign(format!("{stamp}\n{}", secrets.secret).as_bytes(), b""),
        "msg_type": "text",
        "content": { "text": letter.text.plain(TEXT_BYTES) },
    });
    let answer = outside.send(outside.post(url).json(&body)).await?.accepted()?;
    judged("Feishu", &answer.json()?, ("code", "msg"))
}

/// What a robot's answer means: these vendors answer 200 whatever happens.
fn judged(vendor: &str, answer: &Value, (code, words): (&str, &str)) -> Result<(), SendFailure> {
    let number = answer
        .get(code)
        .or_else(|| answer.get("StatusCode"))
        .and_then(Value::as_i64);
    if number == Some(0) {
        return Ok(());
    }
    let said = answer.get(words).and_then(Value::as_str).unwrap_or_default();
    let number_words = number.map_or_else(|| "no code".to_owned(), |n| format!("code {n}"));
    let failed = format!("{vendor} answered {number_words}: {said}");
    match number {
        Some(n) if !TOO_FAST.contains(&n) => Err(SendFailure::permanent(failed)),
        _ => Err(SendFailure::transient(failed)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
