//! Claims: a code that is exchanged once for a device's secret. Whoever mounts a device reads the code from a sheet
//! of paper or scans it; nobody has to carry the secret there.

use domain::{Access, DeviceId, FacilityId, Identity, IdentityName, Scope, UtcMillis};
use sha2::{Digest, Sha256};

use super::{
    Records,
    audit::{self, Line},
    database::{Transaction, commit},
    directory,
    error::RecordError,
    identities, profiles,
};

/// How long a code may be used, in milliseconds: a week.
pub const CLAIM_LIFE_MS: i64 = 7 * 86_400_000;

/// Characters that nobody mistakes for each other (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The characters of a code without its dashes: 80 bits, which nobody guesses.
const CODE_CHARACTERS: usize = 16;

/// A code that was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The code, `XXXX-XXXX-XXXX-XXXX`. Kept only as a hash: it is shown this once.
    pub code: String,
    /// When it expires.
    pub expires_at: UtcMillis,
}

/// The device that a code is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Who the device signs in as.
    pub name: IdentityName,
    /// Its facility.
    pub facility: FacilityId,
    /// Its identifier there.
    pub device: DeviceId,
    /// Its profile.
    pub profile: String,
}

/// A device and the secret that it was given for its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedSecret {
    /// The device.
    pub of: Claimed,
    /// Its new secret. Kept only as a hash: it is shown this once.
    pub secret: String,
}

impl Records {
    /// Gives out a code for a device. Codes that were given out for it before are no longer valid.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no such device in `scope`.
    pub async fn new_claim(
        &self,
        scope: &Scope,
        (facility, device): (&FacilityId, &DeviceId),
        by: &str,
    ) -> Result<Claim, RecordError> {
        audit::check_actor("by", by)?;
        let identity = self.device(scope, facility, device).await?;
        let now = self.clock.now();
        let claim = Claim {
            code: fresh_code()?,
            expires_at: now + CLAIM_LIFE_MS,
        };
        let mut transaction = self.database.write().await?;
        sqlx::query("DELETE FROM claims WHERE identity = $1 OR expires_at_ms < $2")
            .bind(identity.name.as_str())
            .bind(now.0)
            .execute(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        sqlx::query(
            "INSERT INTO claims (code_hash, identity, created_ms, expires_at_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(hash_of(&claim.code))
        .bind(identity.name.as_str())
        .bind(now.0)
        .bind(claim.expires_at.0)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        self.note_claim(&mut transaction, (by, "claim.new"), &identity.name)
            .await?;
        commit(transaction).await?;
        Ok(claim)
    }

    /// The device that a code is for, without using the code. Who has the code may know: no scope is asked.
    ///
    /// # Errors
    /// [`RecordError::BadClaim`] when it is not valid, was used, or has expired.
    pub async fn claimed(&self, code: &str) -> Result<Claimed, RecordError> {
        let row = sqlx::query(
            "SELECT i.* FROM claims c JOIN identities i ON i.name = c.identity \
             WHERE c.code_hash = $1 AND c.used_at_ms IS NULL AND c.expires_at_ms > $2",
        )
        .bind(hash_of(code))
        .bind(self.clock.now().0)
        .fetch_optional(self.database.readers())
        .await
        .map_err(RecordError::from_database)?
        .ok_or(RecordError::BadClaim)?;
        claimed_of(identities::identity_of(&row)?)
    }

    /// Exchanges a code for a new secret of its device. It can be done once; the secret before it no longer opens
    /// anything.
    ///
    /// # Errors
    /// As [`Records::claimed`].
    pub async fn claim(&self, code: &str) -> Result<ClaimedSecret, RecordError> {
        let of = self.claimed(code).await?;
        let mut transaction = self.database.write().await?;
        // Asked again in the transaction: of two who come at the same time one goes away empty.
        let used = sqlx::query(
            "UPDATE claims SET used_at_ms = $2 WHERE code_hash = $1 AND used_at_ms IS NULL RETURNING identity",
        )
        .bind(hash_of(code))
        .bind(self.clock.now().0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        if used.is_none() {
            return Err(RecordError::BadClaim);
        }
        let secret = profiles::renew(&mut transaction, &of.name).await?;
        self.note_claim(&mut transaction, ("claim", "claim.use"), &of.name)
            .await?;
        directory::changed(&mut transaction).await?;
        commit(transaction).await?;
        Ok(ClaimedSecret { of, secret })
    }

    async fn note_claim(
        &self,
        transaction: &mut Transaction,
        (actor, action): (&str, &str),
        name: &IdentityName,
    ) -> Result<(), RecordError> {
        let line = Line {
            actor,
            action,
            object: name.as_str(),
            detail: "",
        };
        audit::write(transaction, self.clock.now(), &line).await
    }
}

fn claimed_of(identity: Identity) -> Result<Claimed, RecordError> {
    match identity.access {
        Access::Device {
            facility,
            device,
            profile,
            ..
        } => Ok(Claimed {
            name: identity.name,
            facility,
            device,
            profile,
        }),
        Access::Service { .. } => Err(RecordError::BadClaim),
    }
}

fn fresh_code() -> Result<String, RecordError> {
    let mut bytes = [0; CODE_CHARACTERS];
    getrandom::fill(&mut bytes).map_err(|_no_reason| RecordError::NoRandomness)?;
    // 256 is a multiple of 32: every character is as likely as any other.
    let letters: Vec<char> = bytes
        .iter()
        .map(|b| char::from(ALPHABET[usize::from(b % 32)]))
        .collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(groups.join("-"))
}

/// The hash of a code as people write it: with or without dashes and blanks, in capitals or not, O for 0, I and L
/// for 1.
fn hash_of(code: &str) -> String {
    let plain: String = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .take(CODE_CHARACTERS + 1)
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect();
    hex::encode(Sha256::digest(plain.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let code = fresh_code().unwrap();
        assert_eq!((code.len(), code.matches('-').count()), (19, 3));
        assert_ne!(code, fresh_code().unwrap());
        let spoken = code
            .replace('-', " ")
            .to_lowercase()
            .replace('0', "o")
            .replace('1', "l");
        assert_eq!(hash_of(&code), hash_of(&spoken));
        assert_ne!(hash_of(&code), hash_of(&format!("{code}0")));
        assert_ne!(hash_of(&code), hash_of(&code[1..]));
    }
}
