//! The live book of profiles: those that come with the product or lie in the operator's folder, and those that were
//! written on the pages. Pages and onboarding ask it; what a message means the log says.

use std::sync::{Arc, PoisonError, RwLock};

use domain::{Profile, Profiles};

use crate::{RecordError, Records};

/// Every profile by name. Cheap to clone; all clones are the same book. Bounded by
/// [`domain::profile::MAX_PROFILES`]: more are left out, and said in the log.
#[derive(Debug, Clone)]
pub struct ProfileBook {
    fixed: Profiles,
    now: Arc<RwLock<Profiles>>,
}

impl ProfileBook {
    /// Only those that nobody can change while the product runs.
    #[must_use]
    pub fn new(fixed: Profiles) -> ProfileBook {
        ProfileBook {
            now: Arc::new(RwLock::new(fixed.clone())),
            fixed,
        }
    }

    /// All of them as they are now.
    #[must_use]
    pub fn now(&self) -> Profiles {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The profile of this name as it is now.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<Profile>> {
        self.now().get(id).cloned()
    }

    /// The profile of this name that comes with the product or lies in the folder.
    #[must_use]
    pub fn fixed(&self, id: &str) -> Option<Arc<Profile>> {
        self.fixed.get(id).cloned()
    }

    /// Whether this name belongs to a profile that comes with the product or lies in the folder.
    #[must_use]
    pub fn is_fixed(&self, id: &str) -> bool {
        self.fixed.get(id).is_some()
    }

    /// Takes up what was written on the pages since. A profile that this version cannot read is left out.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn reload(&self, records: &Records) -> Result<(), RecordError> {
        let mut all = self.fixed.clone();
        for own in records.own_profiles().await? {
            match all.with([(format!("profile {} version {}", own.id, own.version), own.text)]) {
                Ok(more) => all = more,
                Err(e) => tracing::error!("A profile of the pages is left out: {e}"),
            }
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }
}
