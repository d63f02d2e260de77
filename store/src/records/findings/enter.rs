//! What the machine writes of findings.

use domain::{EvidenceId, LogPosition, Observation, UtcMillis, observation::ObservedState};

use super::{Finding, FindingId, MAX_FINDING_EVIDENCE, MAX_UNCONFIRMED, finding_of, object_of, zone_text};
use crate::records::{
    Records,
    audit::{self, Line},
    cases::SYSTEM,
    database::{Transaction, commit},
    error::{Problem, RecordError},
};

/// Findings forgotten at once: one would do, more catch up after a smaller bound came with a new version.
const FORGET_AT_ONCE: i64 = 64;

impl Records {
    /// Enters what a camera said, which stands at `position` of the log. Answers with the finding that this
    /// opened or closed, or `None` when it changed nothing: it was told before, or it ends what never began.
    ///
    /// One finding is one (camera, check, zone, since). An end closes the one that is open, and so does the
    /// beginning of a later one: it could not begin anew without having ended.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when the camera's facility is not registered; or when the database fails.
    pub async fn enter_observation(
        &self,
        observation: &Observation,
        position: LogPosition,
    ) -> Result<Option<Finding>, RecordError> {
        let mut transaction = self.database.write().await?;
        let (found, action) = match observation.said.state {
            ObservedState::Began => (
                begin(&mut transaction, observation, position).await?,
                "finding.open",
            ),
            ObservedState::Ended => (end(&mut transaction, observation, position).await?, "finding.end"),
        };
        let Some(finding) = found else { return Ok(None) };
        if let Some(evidence) = observation.said.evidence {
            add_evidence(&mut transaction, finding.id, evidence).await?;
        }
        let line = Line {
            actor: SYSTEM,
            action,
            object: &object_of(finding.id),
            detail: &rests_on(&finding),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        if observation.said.state == ObservedState::Began {
            self.forget_oldest(&mut transaction, &finding).await?;
        }
        commit(transaction).await?;
        self.finding(&domain::Scope::everything(), finding.id).await
    }

    /// Notes that `evidence` was kept of a finding. A second time it changes nothing. The finding's version
    /// stays: see [`Finding::version`].
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no such finding, [`RecordError::Invalid`] when it has
    /// [`MAX_FINDING_EVIDENCE`] pieces.
    pub async fn add_finding_evidence(&self, id: FindingId, evidence: EvidenceId) -> Result<(), RecordError> {
        let mut transaction = self.database.write().await?;
        let known: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM findings WHERE id = $1")
            .bind(id.0)
            .fetch_one(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        if known == 0 {
            return Err(RecordError::NotFound);
        }
        if !add_evidence(&mut transaction, id, evidence).await? {
            return Ok(());
        }
        let line = Line {
            actor: SYSTEM,
            action: "finding.evidence",
            object: &object_of(id),
            detail: &evidence.to_string(),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await
    }

    /// Keeps the camera's unconfirmed findings below their bound.
    async fn forget_oldest(
        &self,
        transaction: &mut Transaction,
        newest: &Finding,
    ) -> Result<(), RecordError> {
        let oldest: Vec<i64> = sqlx::query_scalar(
            "SELECT id FROM findings WHERE facility = $1 AND camera = $2 AND review <> 'confirmed' \
             ORDER BY id DESC LIMIT $3 OFFSET $4",
        )
        .bind(newest.camera.facility.as_str())
        .bind(newest.camera.camera.as_str())
        .bind(FORGET_AT_ONCE)
        .bind(i64::from(MAX_UNCONFIRMED))
        .fetch_all(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
        for id in oldest {
            for query in [
                "DELETE FROM finding_evidence WHERE finding = $1",
                "DELETE FROM findings WHERE id = $1",
            ] {
                sqlx::query(query)
                    .bind(id)
                    .execute(&mut **transaction)
                    .await
                    .map_err(RecordError::from_database)?;
            }
            let line = Line {
                actor: SYSTEM,
                action: "finding.forget",
                object: &object_of(FindingId(id)),
                detail: "too many that nobody confirmed",
            };
            audit::write(transaction, self.clock.now(), &line).await?;
        }
        Ok(())
    }
}

/// Opens a finding; `None` when it was opened before.
async fn begin(
    transaction: &mut Transaction,
    observation: &Observation,
    position: LogPosition,
) -> Result<Option<Finding>, RecordError> {
    let said = &observation.said;
    let facility = observation.camera.facility.as_str();
    let row = sqlx::query(
        "INSERT INTO findings (id, facility, camera, check_code, zone, since_ms, began_at_ms, received_ms, \
           position, said, review, version) \
         SELECT value + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', 1 \
           FROM counters WHERE name = 'findings' \
         ON CONFLICT (facility, camera, check_code, zone, since_ms) DO NOTHING RETURNING *",
    )
    .bind(facility)
    .bind(observation.camera.camera.as_str())
    .bind(said.check.code())
    .bind(zone_text(said.zone.as_ref()))
    .bind(said.since().0)
    .bind(said.at.0)
    .bind(observation.received.0)
    .bind(number_of(position))
    .bind(serde_json::to_string(said).expect("what was said is JSON"))
    .fetch_optional(&mut **transaction)
    .await
    .map_err(|e| RecordError::from_reference(e, "facility", facility))?;
    let Some(finding) = row.as_ref().map(finding_of).transpose()? else {
        return Ok(None);
    };
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'findings'")
        .bind(finding.id.0)
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    // The end of the one before was lost: with a crash of the camera's box, say.
    sqlx::query(
        "UPDATE findings SET ended_at_ms = CASE WHEN began_at_ms > $5 THEN began_at_ms ELSE $5 END \
         WHERE facility = $1 AND camera = $2 AND check_code = $3 AND zone = $4 AND since_ms < $5 \
           AND ended_at_ms IS NULL",
    )
    .bind(facility)
    .bind(observation.camera.camera.as_str())
    .bind(said.check.code())
    .bind(zone_text(said.zone.as_ref()))
    .bind(said.since().0)
    .execute(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    Ok(Some(finding))
}

/// Closes the finding that is open; `None` when there is none. One that began later is left alone: in a replay
/// it is there before its predecessor's end is read again.
async fn end(
    transaction: &mut Transaction,
    observation: &Observation,
    position: LogPosition,
) -> Result<Option<Finding>, RecordError> {
    let said = &observation.said;
    let rows = sqlx::query(
        "UPDATE findings SET ended_at_ms = $5 \
         WHERE facility = $1 AND camera = $2 AND check_code = $3 AND zone = $4 AND ended_at_ms IS NULL \
           AND (began_at_ms < $5 OR (began_at_ms = $5 AND position < $6)) RETURNING *",
    )
    .bind(observation.camera.facility.as_str())
    .bind(observation.camera.camera.as_str())
    .bind(said.check.code())
    .bind(zone_text(said.zone.as_ref()))
    .bind(said.at.0)
    .bind(number_of(position))
    .fetch_all(&mut **transaction)
    .await
    .map_err(RecordError::from_database)?;
    let closed = rows.iter().map(finding_of).collect::<Result<Vec<_>, _>>()?;
    Ok(closed.into_iter().max_by_key(|finding| finding.id))
}

/// Adds evidence to a finding; false when it has it already.
async fn add_evidence(
    transaction: &mut Transaction,
    id: FindingId,
    evidence: EvidenceId,
) -> Result<bool, RecordError> {
    let text = evidence.to_string();
    let has: Vec<String> =
        sqlx::query_scalar("SELECT evidence FROM finding_evidence WHERE finding = $1 ORDER BY place")
            .bind(id.0)
            .fetch_all(&mut **transaction)
            .await
            .map_err(RecordError::from_database)?;
    if has.contains(&text) {
        return Ok(false);
    }
    if has.len() >= MAX_FINDING_EVIDENCE {
        return Err(RecordError::Invalid {
            field: "evidence",
            problem: Problem::TooMany {
                max: MAX_FINDING_EVIDENCE,
            },
        });
    }
    sqlx::query("INSERT INTO finding_evidence (finding, place, evidence) VALUES ($1, $2, $3)")
        .bind(id.0)
        .bind(i64::try_from(has.len()).expect("there are few"))
        .bind(text)
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(true)
}

fn number_of(position: LogPosition) -> i64 {
    i64::try_from(position.0).expect("a log stays below 2^63 bytes")
}

/// What a finding rests on, for the audit trail: enough to tell whether its own row was changed later.
fn rests_on(finding: &Finding) -> String {
    let said = &finding.said;
    let share = |number: Option<f32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let moment = |at: Option<UtcMillis>| at.map_or_else(|| "-".to_owned(), |at| at.0.to_string());
    let model = said.model.as_ref();
    format!(
        "{} {} zone={} since={} at={} ended={} score={} threshold={} model={} {} evidence={}",
        finding.camera,
        said.check.code(),
        zone_text(said.zone.as_ref()),
        said.since().0,
        said.at.0,
        moment(finding.ended_at),
        share(said.score),
        share(said.threshold),
        model.map_or("-", |m| m.name.as_str()),
        model.map_or("-", |m| m.sha256.as_str()),
        said.evidence.map_or_else(|| "-".to_owned(), |id| id.to_string()),
    )
}
