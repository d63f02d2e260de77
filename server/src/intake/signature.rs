//! Signed requests: an operator's platform that keeps no password in the request signs time, address and body.
//!
//! `X-Sunshine-Signature` is `v1=` and the hexadecimal HMAC-SHA256 of `<timestamp>.<path and query>.<body>` under the
//! device's signing key, whose hexadecimal digits are taken as they stand. A request that was taken before is answered
//! as it was then and is not stored again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use axum::http::{HeaderMap, Uri};
use domain::UtcMillis;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// How far a request's time may be from ours, in seconds, either way.
pub(super) const WINDOW_S: i64 = 300;

/// The most signatures remembered: 437 signed requests a second over the whole window. More are told to come again.
const REMEMBERED: usize = 262_144;

/// What a signed request says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) device: String,
    /// Seconds since 1970.
    pub(super) at_s: i64,
    /// The timestamp as it was written, because that is what was signed.
    stamp: String,
    signature: [u8; 32],
}

impl Signed {
    /// Reads the three headers; `None` when the request is not signed, or not in this form.
    pub(super) fn of(headers: &HeaderMap) -> Option<Signed> {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let stamp = header("x-sunshine-timestamp")?.trim();
        let mut signature = [0; 32];
        let digits = header("x-sunshine-signature")?.trim().strip_prefix("v1=")?;
        hex::decode_to_slice(digits, &mut signature).ok()?;
        Some(Signed {
            device: header("x-sunshine-device")?.trim().to_owned(),
            at_s: stamp.parse().ok()?,
            stamp: stamp.to_owned(),
            signature,
        })
    }

    /// Whether `key` signed this request. Takes the same time whatever the answer.
    pub(super) fn is_by(&self, key: &str, uri: &Uri, body: &[u8]) -> bool {
        let path = uri.path_and_query().map_or("", |p| p.as_str());
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
        for part in [self.stamp.as_bytes(), b".", path.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.verify_slice(&self.signature).is_ok()
    }

    /// By how many seconds its time is off, when that is too much.
    pub(super) fn too_far(&self, now: UtcMillis) -> Option<i64> {
        let off = self.at_s.saturating_sub(now.0.div_euclid(1000));
        (off.saturating_abs() > WINDOW_S).then_some(off)
    }
}

/// Where a signed request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// It comes for the first time; it is to be settled with [`Seen::settle`].
    New,
    /// It was taken before.
    Taken,
    /// It is being taken, or there is no room to remember it.
    Busy,
}

/// Signatures of the last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// Whether what it signed is on disk.
    done: HashMap<[u8; 32], bool>,
    /// In the order in which they came, each with the second from which its own time is too far.
    order: VecDeque<(i64, [u8; 32])>,
}

impl Seen {
    /// Notes a request whose signature and time were found right.
    pub(super) fn meet(&self, signed: &Signed, now: UtcMillis) -> Met {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now_s = now.0.div_euclid(1000);
        while let Some((until, signature)) = book.order.front().copied()
            && until < now_s
        {
            book.order.pop_front();
            book.done.remove(&signature);
        }
        match book.done.get(&signed.signature) {
            Some(true) => return Met::Taken,
            Some(false) => return Met::Busy,
            None if book.done.len() >= REMEMBERED => return Met::Busy,
            None => {}
        }
        book.done.insert(signed.signature, false);
        // Whenever it came, it is refused for its time from twice the window on.
        book.order.push_back((now_s + 2 * WINDOW_S + 1, signed.signature));
        Met::New
    }

    /// Notes what became of a new one. One that was not stored may come again.
    pub(super) fn settle(&self, signed: &Signed, stored: bool) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored {
            book.done.insert(signed.signature, true);
        } else {
            book.done.remove(&signed.signature);
            book.order.retain(|(_, signature)| *signature != signed.signature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    /// Key `key`, second 1795000000, path `/api/v1/push`, body `{}`: by `openssl dgst -sha256 -hmac key`.
    const VECTOR: &str = "7b844cfe5fd1504030b11071464b4b77e599a1c94d79774dc196f4e7ac561f4d";

    fn signed() -> Signed {
        let signature = format!("v1={VECTOR}");
        let all = [
            ("x-sunshine-device", "f/d"),
            ("x-sunshine-timestamp", "1795000000"),
            ("x-sunshine-signature", signature.as_str()),
        ];
        for left_out in 0..3 {
            let mut some = all.to_vec();
            some.remove(left_out);
            assert_eq!(Signed::of(&headers(&some)), None, "all three are needed");
        }
        Signed::of(&headers(&all)).unwrap()
    }

    #[test]
    fn time_address_and_body_are_signed() {
        let signed = signed();
        let uri: Uri = "/api/v1/push".parse().unwrap();
        assert!(signed.is_by("key", &uri, b"{}"));
        assert!(!signed.is_by("other", &uri, b"{}"));
        assert!(!signed.is_by("key", &uri, b"{ }"));
        assert!(!signed.is_by("key", &"/api/v1/push?x".parse().unwrap(), b"{}"));
        let at = |s: i64| UtcMillis(s * 1000);
        assert_eq!(signed.too_far(at(1_795_000_300)), None);
        assert_eq!(signed.too_far(at(1_795_000_301)), Some(-301));
        assert_eq!(signed.too_far(at(1_794_999_699)), Some(301));
    }

    #[test]
    fn a_request_is_taken_once_and_forgotten_when_its_time_is_over() {
        let (seen, signed) = (Seen::default(), signed());
        let now = UtcMillis(1_795_000_000_000);
        assert_eq!(seen.meet(&signed, now), Met::New);
        assert_eq!(seen.meet(&signed, now), Met::Busy);
        seen.settle(&signed, false);
        assert_eq!(
            seen.meet(&signed, now),
            Met::New,
            "what was not stored may come again"
        );
        seen.settle(&signed, true);
        assert_eq!(seen.meet(&signed, now + 600_000), Met::Taken);
        assert_eq!(
            seen.meet(&signed, now + 700_000),
            Met::New,
            "its time is refused long before"
        );
    }
}
