//! People: who signs in to the pages, in which role, and how far they see.

use serde::{Deserialize, Serialize};

use crate::{
    id::{FacilityId, PersonId, RegionId},
    scope::Scope,
};

/// In what capacity somebody uses the product. A role says what may be done; the reach says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Of the market regulation authority (监管人员): looks, demands, verifies.
    Inspector,
    /// Of a facility (机构负责人): deals with what is wrong, and shows that it is mended.
    Manager,
    /// Attaches devices and cameras (集成商).
    Integrator,
    /// Keeps the installation (系统管理员).
    Administrator,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 4] = [
        Role::Inspector,
        Role::Manager,
        Role::Integrator,
        Role::Administrator,
    ];

    /// The name in the record store, the API and on the command line.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Role::Inspector => "inspector",
            Role::Manager => "manager",
            Role::Integrator => "integrator",
            Role::Administrator => "administrator",
        }
    }

    /// Reads [`Role::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.code() == code)
    }

    /// Whether this role may do that.
    #[must_use]
    pub const fn may(self, what: Permission) -> bool {
        match what {
            // Whoever mounts a camera needs its stills, not the people on them.
            Permission::SeePeople => !matches!(self, Role::Integrator),
            Permission::Review | Permission::DealWithCases => {
                matches!(self, Role::Inspector | Role::Manager)
            }
            Permission::Decide => matches!(self, Role::Inspector),
            Permission::HoldEvidence => matches!(self, Role::Inspector | Role::Administrator),
            Permission::ChangeRules => matches!(self, Role::Inspector | Role::Administrator),
            Permission::Shelve => !matches!(self, Role::Integrator),
            Permission::Configure => matches!(self, Role::Integrator | Role::Administrator | Role::Manager),
            Permission::KeepPeople => matches!(self, Role::Administrator),
        }
    }
}

/// What needs a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See people as the camera saw them: live pictures, clips, originals. Each look also needs a purpose.
    SeePeople,
    /// Confirm or reject what a camera found.
    Review,
    /// Take up, mend, verify and close cases.
    DealWithCases,
    /// Verify what was put right, send it back, decide on a dispute.
    Decide,
    /// Keep evidence beyond its time (legal hold), and let it go again.
    HoldEvidence,
    /// Make a rule stricter or laxer for a facility.
    ChangeRules,
    /// Set a rule aside for a while, and say when a facility is at work.
    Shelve,
    /// Attach and change cameras, teach checks, change devices.
    Configure,
    /// Put people on record, give them role, reach and password. It also takes a reach of everything.
    KeepPeople,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Permission; 9] = [
        Permission::SeePeople,
        Permission::Review,
        Permission::DealWithCases,
        Permission::Decide,
        Permission::HoldEvidence,
        Permission::ChangeRules,
        Permission::Shelve,
        Permission::Configure,
        Permission::KeepPeople,
    ];
}

/// How far somebody sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Every facility.
    Everything,
    /// The facilities of a region and of the regions inside it, as they are at the moment of looking.
    Region(RegionId),
    /// These facilities.
    Facilities(Vec<FacilityId>),
}

impl Reach {
    /// Whether a facility, in a region inside those of `regions`, lies within.
    #[must_use]
    pub fn covers(&self, facility: &FacilityId, regions: &[RegionId]) -> bool {
        match self {
            Reach::Everything => true,
            Reach::Region(id) => regions.contains(id),
            Reach::Facilities(ids) => ids.contains(facility),
        }
    }
}

/// Somebody who may sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// What they sign in with.
    pub id: PersonId,
    /// Their name, 1 to 60 characters: it stands under what they do.
    pub name: String,
    /// In what capacity.
    pub role: Role,
    /// How far they see.
    pub reach: Reach,
    /// Barred: cannot sign in, and is signed out.
    pub barred: bool,
}

/// Somebody who has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// What they signed in with.
    pub person: PersonId,
    /// Their name.
    pub name: String,
    /// In what capacity.
    pub role: Role,
    /// How far they see now.
    pub scope: Scope,
    /// Somebody else chose their password: they have to choose their own before anything else.
    pub must_choose_password: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_may_what_their_work_needs_and_no_more() {
        let may = |role: Role| Permission::ALL.map(|what| role.may(what));
        // SeePeople, Review, DealWithCases, Decide, HoldEvidence, ChangeRules, Shelve, Configure, KeepPeople.
        let roles = [
            (Role::Inspector, "yes yes yes yes yes yes yes no no"),
            (Role::Manager, "yes yes yes no no no yes yes no"),
            (Role::Integrator, "no no no no no no no yes no"),
            (Role::Administrator, "yes no no no yes yes yes yes yes"),
        ];
        for (role, want) in roles {
            let got = may(role).map(|may| if may { "yes" } else { "no" }).join(" ");
            assert_eq!(got, want, "{role:?}");
        }
    }

    #[test]
    fn roles_are_read_back() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.code()), Some(role));
        }
        assert_eq!(Role::parse("Inspector"), None);
    }
}
