//! Identities: who may sign in to the broker. Secrets are here by their hashes only.

use domain::{Access, FacilityId, Identity, IdentityName, Scope, SecretHash, VendorRoot};

use super::{
    Records,
    audit::{self, Line},
    cases::SYSTEM,
    database::{Row, Transaction, commit},
    directory,
    error::{Problem, RecordError},
    fields::Fields,
    text::check_line,
};

/// The most filters of a service, of each kind.
const MAX_FILTERS: usize = 64;

/// The most characters of one filter.
const MAX_FILTER: usize = 1_024;

/// The most characters of a profile's name.
const MAX_PROFILE: usize = 64;

impl Records {
    /// Adds identities, or replaces those of their names: access, secret, expiry and revocation become what
    /// is given here. All or none, and one line in the audit trail.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when a device's facility is not registered, [`RecordError::Invalid`] for a
    /// field out of bounds.
    pub async fn put_identities(&self, identities: &[Identity]) -> Result<(), RecordError> {
        identities.iter().try_for_each(check)?;
        let Some(first) = identities.first() else {
            return Ok(());
        };
        let mut transaction = self.database.write().await?;
        for identity in identities {
            put(&mut transaction, identity).await?;
        }
        directory::changed(&mut transaction).await?;
        let detail = format!("{} identities added or replaced", identities.len());
        let line = Line {
            actor: SYSTEM,
            action: "identity.put",
            object: first.name.as_str(),
            detail: &detail,
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// Every identity, in the order of their names: the broker needs them all, whatever their facility.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn identities(&self) -> Result<Vec<Identity>, RecordError> {
        let rows = sqlx::query("SELECT * FROM identities ORDER BY name")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(identity_of).collect()
    }

    /// The identities of devices in `scope`, of one facility or of all, in the order of their names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn devices(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<Vec<Identity>, RecordError> {
        let query = match facility {
            Some(one) if !scope.allows(one) => return Ok(Vec::new()),
            Some(one) => {
                sqlx::query("SELECT * FROM identities WHERE kind = 'device' AND facility = $1 ORDER BY name")
                    .bind(one.as_str())
            }
            None => sqlx::query("SELECT * FROM identities WHERE kind = 'device' ORDER BY name"),
        };
        let rows = query
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut devices = rows.iter().map(identity_of).collect::<Result<Vec<_>, _>>()?;
        devices.retain(|i| matches!(&i.access, Access::Device { facility, .. } if scope.allows(facility)));
        Ok(devices)
    }

    /// Revokes an identity from now on. One that is revoked already keeps the moment of the first time.
    /// `by` is the person's name for the audit trail.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no identity of that name, [`RecordError::Invalid`] for an empty
    /// or over-long `by`.
    pub async fn revoke_identity(&self, name: &IdentityName, by: &str) -> Result<(), RecordError> {
        audit::check_actor("by", by)?;
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let revoked = sqlx::query(
            "UPDATE identities SET revoked_at_ms = COALESCE(revoked_at_ms, $2) WHERE name = $1 RETURNING name",
        )
        .bind(name.as_str())
        .bind(now.0)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        if revoked.is_none() {
            return Err(RecordError::NotFound);
        }
        directory::changed(&mut transaction).await?;
        let line = Line {
            actor: by,
            action: "identity.revoke",
            object: name.as_str(),
            detail: "",
        };
        audit::write(&mut transaction, now, &line).await?;
        commit(transaction).await
    }
}

pub(super) fn check(identity: &Identity) -> Result<(), RecordError> {
    match &identity.access {
        Access::Device { profile, .. } => check_line("profile", profile, MAX_PROFILE),
        Access::Service { publish, subscribe } => {
            check_filters("publish", publish)?;
            check_filters("subscribe", subscribe)
        }
    }
}

fn check_filters(field: &'static str, filters: &[String]) -> Result<(), RecordError> {
    if filters.len() > MAX_FILTERS {
        return Err(RecordError::Invalid {
            field,
            problem: Problem::TooMany { max: MAX_FILTERS },
        });
    }
    filters
        .iter()
        .try_for_each(|filter| check_line(field, filter, MAX_FILTER))
}

/// [`Access`] as its columns.
#[derive(Default)]
struct AccessColumns<'a> {
    kind: &'static str,
    facility: Option<&'a str>,
    device: Option<&'a str>,
    profile: Option<&'a str>,
    root: Option<String>,
    publish: Option<String>,
    subscribe: Option<String>,
}

impl<'a> AccessColumns<'a> {
    fn of(access: &'a Access) -> AccessColumns<'a> {
        let filters = |list: &[String]| serde_json::to_string(list).expect("a list of strings is JSON");
        match access {
            Access::Device {
                facility,
                device,
                profile,
                root,
            } => AccessColumns {
                kind: "device",
                facility: Some(facility.as_str()),
                device: Some(device.as_str()),
                profile: Some(profile),
                root: root.as_ref().map(ToString::to_string),
                ..AccessColumns::default()
            },
            Access::Service { publish, subscribe } => AccessColumns {
                kind: "service",
                publish: Some(filters(publish)),
                subscribe: Some(filters(subscribe)),
                ..AccessColumns::default()
            },
        }
    }
}

pub(super) async fn put(transaction: &mut Transaction, identity: &Identity) -> Result<(), RecordError> {
    let access = AccessColumns::of(&identity.access);
    sqlx::query(
        "INSERT INTO identities (name, kind, facility, device, profile, publish, subscribe, secret, \
           expires_at_ms, revoked_at_ms, vendor_root) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, facility = excluded.facility, \
           device = excluded.device, profile = excluded.profile, publish = excluded.publish, \
           subscribe = excluded.subscribe, secret = excluded.secret, \
           expires_at_ms = excluded.expires_at_ms, revoked_at_ms = excluded.revoked_at_ms, \
           vendor_root = excluded.vendor_root",
    )
    .bind(identity.name.as_str())
    .bind(access.kind)
    .bind(access.facility)
    .bind(access.device)
    .bind(access.profile)
    .bind(access.publish)
    .bind(access.subscribe)
    .bind(identity.secret.to_text())
    .bind(identity.expires_at.map(|at| at.0))
    .bind(identity.revoked_at.map(|at| at.0))
    .bind(access.root.as_deref())
    .execute(&mut **transaction)
    .await
    .map(drop)
    .map_err(|e| match (RecordError::is_twice(&e), access.root) {
        (true, Some(root)) => RecordError::RootTaken { root },
        _ => RecordError::from_reference(e, "facility", access.facility.unwrap_or_default()),
    })
}

pub(super) fn identity_of(row: &Row) -> Result<Identity, RecordError> {
    let fields = Fields::of(row, "name");
    let filters = |column| fields.parsed(column, |text| serde_json::from_str::<Vec<String>>(text).ok());
    let access = match fields.get::<&str>("kind")? {
        "device" => Access::Device {
            facility: fields.id("facility")?,
            device: fields.id("device")?,
            profile: fields.get("profile")?,
            root: match fields.get::<Option<&str>>("vendor_root")? {
                None => None,
                Some(root) => {
                    Some(VendorRoot::parse(root).map_err(|_no_root| fields.damaged("vendor_root"))?)
                }
            },
        },
        "service" => Access::Service {
            publish: filters("publish")?,
            subscribe: filters("subscribe")?,
        },
        _ => return Err(fields.damaged("kind")),
    };
    Ok(Identity {
        name: fields.id("name")?,
        access,
        secret: fields.parsed("secret", SecretHash::parse)?,
        expires_at: fields.optional_moment("expires_at_ms")?,
        revoked_at: fields.optional_moment("revoked_at_ms")?,
    })
}
