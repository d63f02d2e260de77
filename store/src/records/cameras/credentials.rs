//! A camera's user name and password: sealed before they are written, opened only to connect.

use domain::{CameraKey, Credentials, Scope};

use super::{delete, expect_registered, object_of};
use crate::{
    Vault,
    records::{
        Records,
        audit::{self, Line},
        database::{Transaction, commit},
        directory,
        error::RecordError,
        text::check_free,
    },
};

/// The most characters of a user name, and of a password.
const MAX_USER: usize = 128;
const MAX_PASSWORD: usize = 256;

impl Records {
    /// Keeps a camera's credentials, instead of those it had. They are sealed for this camera: moved to
    /// another one's row they do not open. Neither the audit trail nor any error holds a part of them.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when the camera is not registered, [`RecordError::Invalid`] for an over-long
    /// user name (128 characters) or password (256) or one with a control character, [`RecordError::Vault`]
    /// when they cannot be sealed.
    pub async fn put_camera_credentials(
        &self,
        key: &CameraKey,
        credentials: &Credentials,
        vault: &Vault,
        actor: &str,
    ) -> Result<(), RecordError> {
        audit::check_actor("actor", actor)?;
        check_free("user", &credentials.user, MAX_USER)?;
        check_free("password", &credentials.password, MAX_PASSWORD)?;
        let plain = serde_json::to_vec(credentials).expect("credentials are JSON");
        let sealed = vault.seal(&plain, &sealed_for(key));
        let sealed = sealed.map_err(|source| RecordError::Vault { source })?;
        let mut transaction = self.database.write().await?;
        expect_registered(&mut transaction, key).await?;
        sqlx::query(
            "INSERT INTO camera_secrets (facility, camera, sealed) VALUES ($1, $2, $3) \
             ON CONFLICT (facility, camera) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(key.facility.as_str())
        .bind(key.camera.as_str())
        .bind(sealed)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        self.finish(transaction, key, actor, "camera.credentials.put")
            .await
    }

    /// Forgets a camera's credentials.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when it has none, [`RecordError::Invalid`] for an empty or over-long `actor`.
    pub async fn remove_camera_credentials(&self, key: &CameraKey, actor: &str) -> Result<(), RecordError> {
        audit::check_actor("actor", actor)?;
        let mut transaction = self.database.write().await?;
        if delete(&mut transaction, "camera_secrets", key).await? == 0 {
            return Err(RecordError::NotFound);
        }
        self.finish(transaction, key, actor, "camera.credentials.remove")
            .await
    }

    /// A camera's credentials, to connect with; `None` when it has none. The product asks for itself, whatever
    /// the facility: they are never shown to anybody.
    ///
    /// # Errors
    /// [`RecordError::Vault`] when they do not open with this vault.
    pub async fn camera_credentials(
        &self,
        key: &CameraKey,
        vault: &Vault,
    ) -> Result<Option<Credentials>, RecordError> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT sealed FROM camera_secrets WHERE facility = $1 AND camera = $2")
                .bind(key.facility.as_str())
                .bind(key.camera.as_str())
                .fetch_optional(self.database.readers())
                .await
                .map_err(RecordError::from_database)?;
        let Some(sealed) = sealed else { return Ok(None) };
        let plain = vault.unseal(&sealed, &sealed_for(key));
        let plain = plain.map_err(|source| RecordError::Vault { source })?;
        // The cause would quote what was read.
        serde_json::from_slice(&plain).map_err(|_holds_the_secret| RecordError::Damaged {
            what: "credentials",
            key: key.to_string(),
        })
    }

    /// Whether a camera has credentials; false also when it lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_credentials(&self, scope: &Scope, key: &CameraKey) -> Result<bool, RecordError> {
        if !scope.allows(&key.facility) {
            return Ok(false);
        }
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM camera_secrets WHERE facility = $1 AND camera = $2")
                .bind(key.facility.as_str())
                .bind(key.camera.as_str())
                .fetch_one(self.database.readers())
                .await
                .map_err(RecordError::from_database)?;
        Ok(count > 0)
    }

    /// Tells the running server and the audit trail, and commits.
    async fn finish(
        &self,
        mut transaction: Transaction,
        key: &CameraKey,
        actor: &str,
        action: &'static str,
    ) -> Result<(), RecordError> {
        directory::changed(&mut transaction).await?;
        let line = Line {
            actor,
            action,
            object: &object_of(key),
            detail: "",
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }
}

/// Neither part holds a slash: no two cameras have the same name.
fn sealed_for(key: &CameraKey) -> String {
    format!("camera {key}")
}
