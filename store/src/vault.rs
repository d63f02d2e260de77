//! The vault: seals secrets that must be had back in clear, such as the passwords of cameras.
//!
//! XChaCha20-Poly1305 with a random nonce for every sealing. What is sealed is bound to a name: a record that
//! is moved to another name, by whatever means, does not open there.

use std::{fmt, path::Path, sync::Arc};

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};

use domain::Identity;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::key_file::{self, KeyFileError};

/// The key's file in the data folder.
const KEY_FILE: &str = "vault.key";

/// The first byte of everything sealed this way.
const FORMAT: u8 = 1;

/// Bytes of a nonce.
const NONCE: usize = 24;

/// Why something cannot be sealed or opened. No secret is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The system has no random numbers.
    #[error("the system gives no random numbers; nothing can be sealed")]
    NoRandomness,
    /// It was sealed by another version of the product.
    #[error(
        "the secret is sealed in format {found}, but this version opens format {FORMAT} only; run the newest version, or enter the secret again"
    )]
    UnknownFormat {
        /// The format it says it has.
        found: u8,
    },
    /// It was sealed with another key or for another name, or was changed.
    #[error(
        "the secret does not open: it was sealed with another vault.key or for another record, or was changed; restore vault.key from a backup, or enter the secret again"
    )]
    Sealed,
}

/// A key in memory. Cheap to clone.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

/// What is made of the file's key.
struct Keys {
    cipher: XChaCha20Poly1305,
    /// Signing keys are derived with this one, so that no use of the file's key helps in another.
    signing: Hmac<Sha256>,
}

impl Vault {
    /// The vault whose key is `vault.key` in `data_dir`; made there, for its owner alone, when there is none.
    /// Back the file up apart from the records: both together open every secret, either one alone opens none.
    ///
    /// # Errors
    /// [`VaultError::Key`] when the file cannot be read or made, holds no key, or others may read it.
    pub fn open(data_dir: &Path) -> Result<Vault, VaultError> {
        let key = key_file::read_or_make(&data_dir.join(KEY_FILE))?;
        let derived = keyed(&key).chain_update(b"signing keys of devices, 1").finalize();
        Ok(Vault(Arc::new(Keys {
            cipher: XChaCha20Poly1305::new(&key.into()),
            signing: keyed(&derived.into_bytes()),
        })))
    }

    /// The key with which this identity signs its HTTP requests: 64 hexadecimal digits. It changes with the secret,
    /// and neither the records nor `vault.key` alone tell it.
    #[must_use]
    pub fn signing_key(&self, of: &Identity) -> String {
        let mac = self.0.signing.clone().chain_update(of.name.as_str());
        let mac = mac.chain_update([0]).chain_update(of.secret.to_text());
        hex::encode(mac.finalize().into_bytes())
    }

    /// Seals `secret` for `name`.
    pub(crate) fn seal(&self, secret: &[u8], name: &str) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_no_reason| VaultError::NoRandomness)?;
        let bound = bound_to(name);
        let payload = Payload {
            msg: secret,
            aad: &bound,
        };
        let closed = self
            .0
            .cipher
            .encrypt(&nonce.into(), payload)
            .expect("a secret is far shorter than 256 GiB");
        let mut sealed = Vec::with_capacity(1 + NONCE + closed.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&closed);
        Ok(sealed)
    }

    /// Opens what was sealed for `name`.
    pub(crate) fn unseal(&self, sealed: &[u8], name: &str) -> Result<Vec<u8>, VaultError> {
        let (format, rest) = sealed.split_first().ok_or(VaultError::Sealed)?;
        if *format != FORMAT {
            return Err(VaultError::UnknownFormat { found: *format });
        }
        let (nonce, closed) = rest.split_first_chunk::<NONCE>().ok_or(VaultError::Sealed)?;
        let bound = bound_to(name);
        let payload = Payload {
            msg: closed,
            aad: &bound,
        };
        self.0
            .cipher
            .decrypt(&(*nonce).into(), payload)
            .map_err(|_says_nothing| VaultError::Sealed)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(..)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// The format is bound too: a byte that is changed to another known format does not open as that.
fn bound_to(name: &str) -> Vec<u8> {
    let mut bound = vec![FORMAT];
    bound.extend_from_slice(name.as_bytes());
    bound
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        (dir, vault)
    }

    #[test]
    fn a_signing_key_is_of_one_identity_and_one_secret() {
        let (dir, vault) = vault();
        let identity = |name: &str, secret: &[u8]| Identity {
            name: domain::IdentityName::new(name).unwrap(),
            access: domain::Access::Service {
                publish: Vec::new(),
                subscribe: Vec::new(),
            },
            secret: domain::SecretHash::of(secret, [1; 16]),
            expires_at: None,
            revoked_at: None,
        };
        let key = vault.signing_key(&identity("f/d", b"s"));
        assert_eq!(key.len(), 64);
        assert_eq!(
            Vault::open(dir.path())
                .unwrap()
                .signing_key(&identity("f/d", b"s")),
            key
        );
        assert_ne!(vault.signing_key(&identity("f/e", b"s")), key);
        assert_ne!(
            vault.signing_key(&identity("f/d", b"t")),
            key,
            "a new secret is a new key"
        );
        let (_other_dir, other) = self::vault();
        assert_ne!(other.signing_key(&identity("f/d", b"s")), key);
    }

    #[test]
    fn what_is_sealed_opens_again_for_the_same_name_only() {
        let (dir, vault) = vault();
        let sealed = vault.seal(b"hunter2", "binhe-01/cam-1").unwrap();
        assert_eq!(vault.unseal(&sealed, "binhe-01/cam-1").unwrap(), b"hunter2");
        let reopened = Vault::open(dir.path()).unwrap();
        assert_eq!(reopened.unseal(&sealed, "binhe-01/cam-1").unwrap(), b"hunter2");
        let moved = vault.unseal(&sealed, "binhe-01/cam-2").unwrap_err();
        assert!(matches!(moved, VaultError::Sealed), "{moved:?}");
        assert!(!sealed.windows(7).any(|w| w == b"hunter2"));
        assert_ne!(vault.seal(b"hunter2", "binhe-01/cam-1").unwrap(), sealed);
        assert_eq!(format!("{vault:?}"), "Vault(..)");
    }

    #[test]
    fn another_key_opens_nothing() {
        let ((_one_dir, one), (_other_dir, other)) = (vault(), vault());
        let sealed = one.seal(b"hunter2", "a/b").unwrap();
        let error = other.unseal(&sealed, "a/b").unwrap_err();
        assert!(matches!(error, VaultError::Sealed), "{error:?}");
        assert!(error.to_string().contains("vault.key"), "{error}");
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (_dir, vault) = vault();
        let sealed = vault.seal(b"hunter2", "a/b").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(vault.unseal(&bad, "a/b").is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(vault.unseal(&sealed[..length], "a/b").is_err(), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_secret_comes_back_for_any_name(secret in any::<Vec<u8>>(), name in any::<String>()) {
            let (_dir, vault) = vault();
            let sealed = vault.seal(&secret, &name).unwrap();
            assert_eq!(vault.unseal(&sealed, &name).unwrap(), secret);
        }

        #[test]
        fn bytes_that_were_never_sealed_do_not_open(bytes in any::<Vec<u8>>()) {
            let (_dir, vault) = vault();
            assert!(vault.unseal(&bytes, "a/b").is_err());
        }
    }
}
