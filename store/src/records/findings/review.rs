//! What people write of findings.

use domain::{Case, Scope, case::Note};

use super::{Finding, FindingId, Review, Verdict, finding_of, object_of};
use crate::records::{
    Records,
    audit::{self, Line},
    cases::{case_of, check_note, close_by_review},
    database::{Transaction, commit},
    error::RecordError,
    outbox::Teller,
};

/// Whether a review may stand in the place of another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Earlier {
    Stands,
    IsReplaced,
}

impl Records {
    /// Confirms or rejects a finding, once, and writes the audit line with it. `version` is the one that the
    /// person saw. A rejected finding closes the case that it opened, in the same transaction.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when it does not exist or lies outside `scope`, [`RecordError::Conflict`] when
    /// `version` is no longer the finding's, [`RecordError::AlreadyReviewed`] when somebody reviewed it,
    /// [`RecordError::Invalid`] for an empty, over-long (64 characters) or reserved name or an over-long
    /// comment (1,000 characters).
    pub async fn review_finding(
        &self,
        scope: &Scope,
        id: FindingId,
        version: i64,
        review: Review,
    ) -> Result<Finding, RecordError> {
        self.write_review(scope, (id, version), review, Earlier::Stands)
            .await
    }

    /// As [`Records::review_finding`], for a person who changes what was said before on purpose. The audit
    /// trail keeps both.
    ///
    /// # Errors
    /// As [`Records::review_finding`], but for [`RecordError::AlreadyReviewed`].
    pub async fn change_review(
        &self,
        scope: &Scope,
        id: FindingId,
        version: i64,
        review: Review,
    ) -> Result<Finding, RecordError> {
        self.write_review(scope, (id, version), review, Earlier::IsReplaced)
            .await
    }

    async fn write_review(
        &self,
        scope: &Scope,
        (id, version): (FindingId, i64),
        review: Review,
        earlier: Earlier,
    ) -> Result<Finding, RecordError> {
        let now = self.clock.now();
        let note = Note {
            by: review.by,
            at: now,
            comment: review.comment,
        };
        check_note(&note)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query("SELECT * FROM findings WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let found = row.as_ref().map(finding_of).transpose()?;
        let found = found.filter(|f| scope.allows(&f.camera.facility));
        let found = found.ok_or(RecordError::NotFound)?;
        if found.version != version {
            return Err(RecordError::Conflict);
        }
        if found.review.is_some() && earlier == Earlier::Stands {
            return Err(RecordError::AlreadyReviewed);
        }
        sqlx::query(
            "UPDATE findings SET review = $2, review_by = $3, review_at_ms = $4, review_comment = $5, \
               version = version + 1 WHERE id = $1",
        )
        .bind(id.0)
        .bind(review.verdict.code())
        .bind(note.by.trim())
        .bind(note.at.0)
        .bind(&note.comment)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let before = found
            .review
            .as_ref()
            .map_or("waiting", |review| review.verdict.code());
        let line = Line {
            actor: note.by.trim(),
            action: "finding.review",
            object: &object_of(id),
            detail: &format!("{before} → {}\n{}", review.verdict.code(), note.comment),
        };
        audit::write(&mut transaction, now, &line).await?;
        if review.verdict == Verdict::Rejected
            && let Some(case) = opened_case(&mut transaction, &found).await?
        {
            let mut teller = Teller::new(&self.practice, now);
            close_by_review(&mut transaction, &mut teller, &case, &note).await?;
        }
        commit(transaction).await?;
        self.finding(scope, id).await?.ok_or(RecordError::NotFound)
    }
}

/// The case that the finding opened, if it did.
async fn opened_case(transaction: &mut Transaction, found: &Finding) -> Result<Option<Case>, RecordError> {
    let row = sqlx::query(
        "SELECT * FROM cases WHERE facility = $1 AND device = $2 AND metric = $3 AND since_ms = $4 \
         ORDER BY id LIMIT 1",
    )
    .bind(found.camera.facility.as_str())
    .bind(found.camera.camera.as_str())
    .bind(found.said.check.code())
    .bind(found.said.at.0)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    row.as_ref().map(case_of).transpose()
}
