//! Web Push: a message for one browser (RFC 8030), sealed so that its maker's push service cannot read it (RFC 8291, one
//! record of RFC 8188), by a server that proves who it is (VAPID, RFC 8292). The arithmetic is AWS-LC's, which TLS uses.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    encoding::{AsBigEndian as _, EcPrivateKeyBin},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{Severity, UtcMillis, message::bounded};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE},
};
use serde_json::json;
use sha2::Sha256;
use store::records::NewSubscription;
use url::Url;

use super::{FailureKind, Letter, SendFailure, outside::Outside};

/// The bytes of a private key, of an uncompressed public one, of the shared secret and of a salt.
const PRIVATE: usize = 32;
const PUBLIC: usize = 65;
const SECRET: usize = 16;
const SALT: usize = 16;

/// A push service takes 4,096 bytes; this is what words may have of them, so that they fit in any case.
const BODY_BYTES: usize = 2_400;
const TITLE_BYTES: usize = 400;

/// How long a push service keeps a message for a browser that is off, in seconds.
const KEEP_S: u32 = 86_400;

/// How long a proof of who we are holds, in seconds; a day is the most.
const PROOF_S: i64 = 12 * 3_600;

/// What a message's header says of the size of a record: larger than any.
const RECORD_BYTES: u32 = 4_096;

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PushKeyError {
    /// The text is none that [`PushKeys::made`] gave.
    #[error("it holds no key; make one with `sunshine messages push-keys`")]
    Unreadable,
    /// The contact is none that push services take.
    #[error(
        "the contact must begin with mailto: or https://: push services write there when something goes wrong"
    )]
    Contact,
    /// The machine gives no keys.
    #[error("no key can be made on this machine")]
    NoRandomness,
}

/// The keys by which push services know this server. A browser subscribes to one public key: other keys are other
/// subscriptions.
pub struct PushKeys {
    pair: EcdsaKeyPair,
    public: String,
    contact: String,
}

impl fmt::Debug for PushKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushKeys")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl PushKeys {
    /// A new private key, as text for a file.
    ///
    /// # Errors
    /// [`PushKeyError::NoRandomness`].
    pub fn made() -> Result<String, PushKeyError> {
        let key = PrivateKey::generate(&ECDH_P256).map_err(|_unspecified| PushKeyError::NoRandomness)?;
        let bytes: EcPrivateKeyBin<'_> = key
            .as_be_bytes()
            .map_err(|_unspecified| PushKeyError::NoRandomness)?;
        Ok(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
    }

    /// Reads [`PushKeys::made`] back. `contact` is where push services write: `mailto:…` or `https://…`.
    ///
    /// # Errors
    /// [`PushKeyError::Unreadable`], [`PushKeyError::Contact`].
    pub fn read(text: &str, contact: &str) -> Result<PushKeys, PushKeyError> {
        if !(contact.starts_with("mailto:") || contact.starts_with("https://")) {
            return Err(PushKeyError::Contact);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.trim());
        let bytes = bytes.map_err(|_not_base64| PushKeyError::Unreadable)?;
        if bytes.len() != PRIVATE {
            return Err(PushKeyError::Unreadable);
        }
        let key = PrivateKey::from_private_key(&ECDH_P256, &bytes);
        let key = key.map_err(|_not_on_the_curve| PushKeyError::Unreadable)?;
        let public = public_of(&key).map_err(|_unspecified| PushKeyError::Unreadable)?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &bytes, &public);
        Ok(PushKeys {
            pair: pair.map_err(|_rejected| PushKeyError::Unreadable)?,
            public: URL_SAFE_NO_PAD.encode(&public),
            contact: contact.to_owned(),
        })
    }

    /// The public key, as a browser wants it: `applicationServerKey`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// What proves to the push service at `endpoint` who sends (RFC 8292, section 3).
    fn proof(&self, endpoint: &Url, now: UtcMillis) -> Result<String, SendFailure> {
        let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ES256"}"#);
        let claims = json!({
            "aud": endpoint.origin().ascii_serialization(),
            "exp": now.0 / 1_000 + PROOF_S,
            "sub": self.contact,
        });
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.map_err(|_unspecified| broken())?;
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        Ok(format!("vapid t={signed}.{signature}, k={}", self.public))
    }
}

/// What became of a message for one browser.
#[derive(Debug)]
pub(crate) enum Pushed {
    Taken,
    /// The browser is no longer subscribed.
    Gone,
    Failed(SendFailure),
}

/// Whether a browser gave what can be sent to.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn check(outside: &Outside, given: &NewSubscription) -> Result<(), SendFailure> {
    place(outside, given)?;
    let (key, _) = keys_of(given)?;
    // A point that lies on no curve is found out by using it.
    seal(&key, &[0; SECRET], b"").map(drop)
}

/// Sends a letter to one browser.
pub(crate) async fn send(
    outside: &Outside,
    keys: &PushKeys,
    given: &NewSubscription,
    letter: &Letter,
) -> Pushed {
    match push(outside, keys, given, letter).await {
        Ok(pushed) => pushed,
        Err(failure) => Pushed::Failed(failure),
    }
}

async fn push(
    outside: &Outside,
    keys: &PushKeys,
    given: &NewSubscription,
    letter: &Letter,
) -> Result<Pushed, SendFailure> {
    let url = place(outside, given)?;
    let (key, secret) = keys_of(given)?;
    let words = json!({
        "title": bounded(&letter.text.title, TITLE_BYTES),
        "body": bounded(&letter.text.body, BODY_BYTES),
        "link": letter.text.link,
        // A notice that arrives twice takes its own place.
        "tag": letter.name,
        "stays": letter.severity <= Severity::P1,
    });
    let request = outside
        .post(url.clone())
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_ENCODING, "aes128gcm")
        .header("ttl", KEEP_S)
        .header("urgency", urgency(letter.severity))
        .header(AUTHORIZATION, keys.proof(&url, letter.at)?)
        .body(seal(&key, &secret, words.to_string().as_bytes())?);
    let answer = outside.send(request).await?;
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Ok(Pushed::Gone);
    }
    answer.accepted().map(|_created| Pushed::Taken)
}

/// A browser that saves its battery still shows what is urgent (RFC 8030, section 5.3).
const fn urgency(severity: Severity) -> &'static str {
    match severity {
        Severity::P0 | Severity::P1 => "high",
        Severity::P2 | Severity::P3 | Severity::P4 => "normal",
    }
}

fn place(outside: &Outside, given: &NewSubscription) -> Result<Url, SendFailure> {
    outside.place(&given.endpoint)
}

fn keys_of(given: &NewSubscription) -> Result<([u8; PUBLIC], [u8; SECRET]), SendFailure> {
    let read = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
    let key = read(&given.p256dh).ok().and_then(|bytes| bytes.try_into().ok());
    let secret = read(&given.auth).ok().and_then(|bytes| bytes.try_into().ok());
    key.zip(secret)
        .ok_or_else(|| SendFailure::permanent("the browser's keys cannot be read; subscribe it again"))
}

/// `plain` for the browser that has this key and this secret, and for nobody else.
fn seal(key: &[u8; PUBLIC], secret: &[u8; SECRET], plain: &[u8]) -> Result<Vec<u8>, SendFailure> {
    let ours = PrivateKey::generate(&ECDH_P256).map_err(|_unspecified| broken())?;
    let mut salt = [0; SALT];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_unspecified| broken())?;
    seal_with(&ours, &salt, (key, secret), plain)
}

fn seal_with(
    ours: &PrivateKey,
    salt: &[u8; SALT],
    (key, secret): (&[u8; PUBLIC], &[u8; SECRET]),
    plain: &[u8],
) -> Result<Vec<u8>, SendFailure> {
    let public = public_of(ours)?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, key);
    let unusable = SendFailure::permanent("the browser's key is no point of P-256; subscribe it again");
    let shared = agree(ours, theirs, unusable, |shared| Ok(hmac(secret, &[shared])))?;
    let input = hmac(&shared, &[b"WebPush: info\0", key, &public, &[1]]);
    let seed = hmac(salt, &[&input]);
    let content = hmac(&seed, &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let once = hmac(&seed, &[b"Content-Encoding: nonce\0", &[1]]);
    let cipher = UnboundKey::new(&AES_128_GCM, &content[..16]).map_err(|_unspecified| broken())?;
    let nonce = Nonce::try_assume_unique_for_key(&once[..NONCE_LEN]).map_err(|_unspecified| broken())?;
    // The one record is the last one: its padding begins with 2.
    let mut record = [plain, &[2]].concat();
    LessSafeKey::new(cipher)
        .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .map_err(|_unspecified| broken())?;
    let length = u8::try_from(PUBLIC).expect("65 is less than 256");
    Ok([
        salt.as_slice(),
        &RECORD_BYTES.to_be_bytes(),
        &[length],
        &public,
        &record,
    ]
    .concat())
}

fn public_of(key: &PrivateKey) -> Result<Vec<u8>, SendFailure> {
    let public = key.compute_public_key().map_err(|_unspecified| broken())?;
    Ok(public.as_ref().to_vec())
}

/// HMAC-SHA256: HKDF's two steps are no more than this where 32 bytes are enough (RFC 5869).
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn broken() -> SendFailure {
    SendFailure {
        kind: FailureKind::Transient { after_ms: None },
        words: "the message could not be sealed on this machine".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn a_message_is_sealed_as_in_the_example_of_rfc_8291() {
        let ours: [u8; PRIVATE] = bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let ours = PrivateKey::from_private_key(&ECDH_P256, &ours).unwrap();
        let key =
            bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let (secret, salt) = (bytes("BTBZMqHH6r4Tts7J_aSIgg"), bytes("DGv6ra1nlYgDCS1FRnbzlw"));
        let plain = b"When I grow up, I want to be a watermelon";
        let sealed = seal_with(&ours, &salt, (&key, &secret), plain).unwrap();
        assert_eq!(
            URL_SAFE_NO_PAD.encode(sealed),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w\
             EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn keys_are_read_back_and_nothing_else_is() {
        let made = PushKeys::made().unwrap();
        let keys = PushKeys::read(&format!("{made}\n"), "mailto:kitchen@example.org").unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(keys.public()).unwrap().len(), PUBLIC);
        assert!(
            !format!("{keys:?}").contains(&made),
            "the private key is not shown"
        );
        for bad in ["", "AAAA", "not base64!", &"A".repeat(43)] {
            let read = PushKeys::read(bad, "mailto:kitchen@example.org");
            assert!(matches!(read, Err(PushKeyError::Unreadable)), "{bad:?}");
        }
        assert!(matches!(
            PushKeys::read(&made, "kitchen@example.org"),
            Err(PushKeyError::Contact)
        ));
    }
}
