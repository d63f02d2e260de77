//! Webhooks, signed as Standard Webhooks 1.0 says: `webhook-id`, `webhook-timestamp` and `webhook-signature` with
//! `v1,` and the HMAC-SHA256 of `id.timestamp.body`.

use base64::{Engine as _, engine::general_purpose};
use domain::message::{ChannelKind, ChannelSecrets, ChannelSettings};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::CONTENT_TYPE;
use sha2::Sha256;

use super::{Letter, SendFailure, outside::Outside};

pub(super) async fn send(
    outside: &Outside,
    settings: &ChannelSettings,
    secrets: &ChannelSecrets,
    letter: &Letter,
) -> Result<(), SendFailure> {
    let url = outside.url(ChannelKind::Webhook, &settings.url, "")?;
    let body = letter.event.to_string();
    let seconds = letter.at.0 / 1_000;
    let signature = signature(&secrets.secret, &letter.name, seconds, &body)?;
    let request = outside
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &letter.name)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature)
        .body(body);
    outside.send(request).await?.accepted().map(drop)
}

/// `v1,` and the signature in Base64.
fn signature(secret: &str, id: &str, seconds: i64, body: &str) -> Result<String, SendFailure> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = general_purpose::STANDARD
        .decode(encoded)
        .or_else(|_without_padding| general_purpose::STANDARD_NO_PAD.decode(encoded))
        .map_err(|_not_base64| SendFailure::permanent("the webhook's secret is no Base64; enter it again"))?;
    let signed = sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    Ok(format!("v1,{signed}"))
}

/// HMAC-SHA256 in Base64.
pub(super) fn sign(key: &[u8], message: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_of_the_specifications_example() {
        let signature = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.unwrap(),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }
}
