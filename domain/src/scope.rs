//! How far a person's sight reaches. Every read of facilities, points, readings and cases takes a
//! [`Scope`], so that an unscoped read does not compile.

use std::{collections::BTreeSet, sync::Arc};

use crate::id::FacilityId;

/// The facilities somebody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Reach);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reach {
    Everything,
    Facilities(Arc<BTreeSet<FacilityId>>),
}

impl Scope {
    /// The product itself, and whoever sits at its machine while there is no sign-in.
    #[must_use]
    pub fn everything() -> Scope {
        Scope(Reach::Everything)
    }

    /// These facilities and no others.
    #[must_use]
    pub fn facilities(ids: impl IntoIterator<Item = FacilityId>) -> Scope {
        Scope(Reach::Facilities(Arc::new(ids.into_iter().collect())))
    }

    /// Whether `facility` may be seen.
    #[must_use]
    pub fn allows(&self, facility: &FacilityId) -> bool {
        match &self.0 {
            Reach::Everything => true,
            Reach::Facilities(ids) => ids.contains(facility),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_shows_its_own_facilities_only() {
        let id = |text| FacilityId::new(text).expect("valid");
        let scope = Scope::facilities([id("a"), id("b")]);
        assert!(scope.allows(&id("a")));
        assert!(!scope.allows(&id("c")));
        assert!(Scope::everything().allows(&id("c")));
    }
}
