//! The list of identities that may sign in, and the question whether somebody is one of them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use domain::{Identity, IdentityName, SecretHash, UtcMillis, status::RefusalReason};

use crate::access::Grant;

/// An identity with its rights made ready.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) grant: Grant,
}

impl Member {
    /// Why this identity may not be signed in at `now`, if it may not.
    pub(crate) fn barred(&self, now: UtcMillis) -> Option<RefusalReason> {
        if self.identity.revoked_at.is_some_and(|at| at <= now) {
            return Some(RefusalReason::Revoked);
        }
        self.identity
            .expires_at
            .is_some_and(|at| at <= now)
            .then_some(RefusalReason::Expired)
    }
}

type Members = HashMap<IdentityName, Arc<Member>>;

/// Who may sign in. Owned by the server, shared with the broker: all clones are the same directory.
#[derive(Clone, Debug)]
pub struct IdentityDirectory {
    members: Arc<RwLock<Members>>,
    /// What a sign-in under an unknown name is compared with, so that it takes as long as one with a known name.
    nobody: SecretHash,
}

fn index(identities: Vec<Identity>) -> Members {
    let member = |identity: Identity| {
        let grant = Grant::of(&identity);
        (identity.name.clone(), Arc::new(Member { identity, grant }))
    };
    identities.into_iter().map(member).collect()
}

impl IdentityDirectory {
    /// A directory of `identities`. Of two with the same name the later one counts.
    #[must_use]
    pub fn new(identities: Vec<Identity>) -> Self {
        let members = Arc::new(RwLock::new(index(identities)));
        IdentityDirectory {
            members,
            nobody: SecretHash::of(b"", [0; 16]),
        }
    }

    /// Swaps the whole list. Returns the names whose live sessions must end because the identity was removed or
    /// changed in any way (revoked, other end of validity, other secret, other rights): hand each to
    /// [`crate::BrokerHandle::revoke`].
    #[must_use = "the sessions of the returned names go on until they are revoked"]
    pub fn replace(&self, identities: Vec<Identity>) -> Vec<IdentityName> {
        let new = index(identities);
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *members, new);
        let changed = |name: &IdentityName, was: &Arc<Member>| {
            members.get(name).is_none_or(|is| is.identity != was.identity)
        };
        old.iter()
            .filter(|(name, was)| changed(name, was))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The identity of that name, whatever its state.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Member>> {
        self.members
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// Signs `name` in. An expired or revoked identity learns so only with its right secret.
    pub(crate) fn sign_in(
        &self,
        name: &str,
        secret: &[u8],
        now: UtcMillis,
    ) -> Result<Arc<Member>, RefusalReason> {
        if self.get(name).is_none() {
            // The answer is thrown away on purpose: only the time it took matters.
            std::hint::black_box(self.nobody.verify(secret));
        }
        self.sign_in_with(name, now, |identity| identity.secret.verify(secret))
    }

    /// The same with another proof than the secret itself.
    pub(crate) fn sign_in_with(
        &self,
        name: &str,
        now: UtcMillis,
        proof: impl FnOnce(&Identity) -> bool,
    ) -> Result<Arc<Member>, RefusalReason> {
        let member = self.get(name).ok_or(RefusalReason::BadCredentials)?;
        if !proof(&member.identity) {
            return Err(RefusalReason::BadCredentials);
        }
        member.barred(now).map_or(Ok(member), Err)
    }
}

#[cfg(test)]
mod tests {
    use domain::Access;

    use super::*;

    fn service(name: &str, secret: &[u8]) -> Identity {
        Identity {
            name: IdentityName::new(name).unwrap(),
            access: Access::Service {
                publish: vec![],
                subscribe: vec![],
            },
            secret: SecretHash::of(secret, [1; 16]),
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn each_refusal_has_its_own_reason() {
        let mut expired = service("expired", b"e");
        expired.expires_at = Some(UtcMillis(10));
        let mut revoked = service("revoked", b"r");
        revoked.revoked_at = Some(UtcMillis(5));
        let directory = IdentityDirectory::new(vec![service("good", b"g"), expired, revoked]);
        let cases = [
            ("good", "g", 9, None),
            ("good", "x", 9, Some(RefusalReason::BadCredentials)),
            ("nobody", "g", 9, Some(RefusalReason::BadCredentials)),
            ("expired", "e", 9, None),
            ("expired", "e", 10, Some(RefusalReason::Expired)),
            ("expired", "x", 10, Some(RefusalReason::BadCredentials)),
            ("revoked", "r", 4, None),
            ("revoked", "r", 5, Some(RefusalReason::Revoked)),
        ];
        for (name, secret, now, want) in cases {
            let got = directory.sign_in(name, secret.as_bytes(), UtcMillis(now)).err();
            assert_eq!(got, want, "{name} {secret} {now}");
        }
    }

    #[test]
    fn replace_names_whoever_changed() {
        let directory =
            IdentityDirectory::new(vec![service("a", b"1"), service("b", b"1"), service("c", b"1")]);
        let mut gone = directory.replace(vec![service("a", b"1"), service("b", b"2"), service("d", b"1")]);
        gone.sort();
        let names: Vec<_> = gone.iter().map(IdentityName::as_str).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(directory.get("d").is_some() && directory.get("c").is_none());
    }
}
