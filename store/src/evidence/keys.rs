//! Hashes and signatures, and how they are written.

use std::fmt;

use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePublicKey as _, EncodePublicKey as _, spki::der::pem::LineEnding},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

macro_rules! hex_text {
    ($visible:vis $name:ident, $length:literal, $digits:literal) => {
        impl $name {
            /// Reads hexadecimal digits.
            #[must_use]
            $visible fn parse(text: &str) -> Option<Self> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes).ok()?;
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or(concat!("expected ", $digits, " hexadecimal digits"))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    };
}

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash256(pub [u8; 32]);

hex_text!(pub Hash256, 32, "64");

impl Hash256 {
    /// The hash of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Hash256 {
        Hash256(Sha256::digest(bytes).into())
    }
}

/// An Ed25519 signature, written as 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Seal([u8; 64]);

hex_text!(pub(super) Seal, 64, "128");

/// What is signed: a signature under one of these is none under another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signed {
    Line,
    Head,
    Day,
}

impl Signed {
    const fn tag(self) -> &'static [u8] {
        match self {
            Signed::Line => b"sunshine-evidence-line-1\n",
            Signed::Head => b"sunshine-evidence-head-1\n",
            Signed::Day => b"sunshine-evidence-day-1\n",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.tag(), bytes].concat()
    }
}

/// The key with which an archive's chain is checked. It is no secret: give it to whoever has to believe the
/// archive, by another way than the archive itself.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a PEM text, as in the archive's `public.key`, or 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<PublicKey> {
        let text = text.trim();
        let key = match Hash256::parse(text) {
            Some(Hash256(bytes)) => VerifyingKey::from_bytes(&bytes).ok()?,
            None => VerifyingKey::from_public_key_pem(text).ok()?,
        };
        (!key.is_weak()).then_some(PublicKey(key))
    }

    /// The key as PEM (RFC 8410), which other tools read too.
    ///
    /// # Panics
    /// Never: every key can be written.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .expect("every key can be written")
    }

    pub(super) fn accepts(&self, what: Signed, bytes: &[u8], seal: &Seal) -> bool {
        let signature = Signature::from_bytes(&seal.0);
        self.0.verify_strict(&what.message(bytes), &signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key that signs.
pub(super) struct Signer(SigningKey);

impl Signer {
    pub(super) fn new(secret: &[u8; 32]) -> Signer {
        Signer(SigningKey::from_bytes(secret))
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, what: Signed, bytes: &[u8]) -> Seal {
        Seal(self.0.sign(&what.message(bytes)).to_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_read_as_pem_and_as_digits() {
        let key = Signer::new(&[7; 32]).public();
        assert!(key.to_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
        assert_eq!(PublicKey::parse(&key.to_pem()), Some(key.clone()));
        assert_eq!(PublicKey::parse(&format!(" {key}\n")), Some(key));
        // The last one is a point of small order, for which anybody can sign.
        for bad in ["", "abc", "-----BEGIN PUBLIC KEY-----", &"0".repeat(64)] {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_signature_holds_for_its_own_words_purpose_and_key() {
        let signer = Signer::new(&[7; 32]);
        let key = signer.public();
        let seal = signer.sign(Signed::Line, b"words");
        assert!(key.accepts(Signed::Line, b"words", &seal));
        assert!(!key.accepts(Signed::Line, b"word", &seal));
        assert!(!key.accepts(Signed::Head, b"words", &seal));
        assert!(
            !Signer::new(&[8; 32])
                .public()
                .accepts(Signed::Line, b"words", &seal)
        );
        assert_eq!(Seal::parse(&seal.to_string()), Some(seal));
        assert_eq!(format!("{signer:?}"), "Signer(..)");
    }
}
