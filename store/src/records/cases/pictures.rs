//! Pictures that people take of a case.

use domain::{
    CaseId, CaseState, Scope,
    case::{PictureId, picture},
};

use crate::records::{
    Records,
    database::commit,
    error::{Problem, RecordError},
};

/// The most pictures of one case.
const MAX_PICTURES: i64 = 40;

impl Records {
    /// Keeps a picture of a case, without what the camera wrote beside it, and answers with its name. The same picture
    /// is kept once.
    ///
    /// # Errors
    /// [`RecordError::Picture`] when it is no JPEG that may be kept, [`RecordError::NotFound`] when the case does not
    /// exist or lies outside `scope`, [`RecordError::WrongState`] when it is closed, [`RecordError::Invalid`] when it
    /// has 40 pictures already.
    pub async fn put_case_picture(
        &self,
        scope: &Scope,
        case: CaseId,
        jpeg: &[u8],
    ) -> Result<PictureId, RecordError> {
        let kept = picture::clean(jpeg).map_err(|source| RecordError::Picture { source })?;
        let id = PictureId::of(&kept);
        let found = self.case(scope, case).await?.ok_or(RecordError::NotFound)?;
        if found.state == CaseState::Closed {
            return Err(RecordError::WrongState { state: found.state });
        }
        let mut transaction = self.database.write().await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM case_pictures WHERE case_id = $1")
            .bind(case.0)
            .fetch_one(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        if count >= MAX_PICTURES {
            return Err(RecordError::Invalid {
                field: "pictures",
                problem: Problem::TooMany { max: 40 },
            });
        }
        sqlx::query(
            "INSERT INTO case_pictures (case_id, picture, at_ms, jpeg) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (case_id, picture) DO NOTHING",
        )
        .bind(case.0)
        .bind(id.to_string())
        .bind(self.clock.now().0)
        .bind(kept)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        commit(transaction).await?;
        Ok(id)
    }

    /// A picture of a case; `None` when there is none such or the case lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case_picture(
        &self,
        scope: &Scope,
        case: CaseId,
        picture: PictureId,
    ) -> Result<Option<Vec<u8>>, RecordError> {
        if self.case(scope, case).await?.is_none() {
            return Ok(None);
        }
        sqlx::query_scalar("SELECT jpeg FROM case_pictures WHERE case_id = $1 AND picture = $2")
            .bind(case.0)
            .bind(picture.to_string())
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)
    }
}
