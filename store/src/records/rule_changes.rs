//! What a facility has in place of a pack's numbers. Each change is a version of its own, and none is deleted.

use domain::{RuleId, Scope, UtcMillis, rule::RuleOverride};

use super::{
    Records,
    audit::{self, Line},
    cases::{Facilities, push_facilities},
    database::{Builder, Row, commit},
    error::{Problem, RecordError},
    fields::Fields,
    shelves::{MAX_SHELVES, MAX_WHY, draw},
    text::check_line,
};

impl Records {
    /// Keeps a change of a rule and answers with it as it is kept, with number and version. The one before it, of
    /// the same rule at the same facility, is over from the moment at which this one holds.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when its facility lies outside `scope`, [`RecordError::Missing`] when that is not
    /// registered, [`RecordError::Invalid`] for an empty or over-long name or reason.
    pub async fn put_override(
        &self,
        scope: &Scope,
        change: &RuleOverride,
    ) -> Result<RuleOverride, RecordError> {
        audit::check_actor("by", &change.who)?;
        if let Some(approver) = &change.approver {
            audit::check_actor("approver", approver)?;
        }
        check_line("reason", &change.reason, MAX_WHY)?;
        if change.numbers.values().any(|value| !value.is_finite()) {
            let problem = Problem::OutOfRange {
                min: i64::MIN,
                max: i64::MAX,
            };
            return Err(RecordError::Invalid {
                field: "numbers",
                problem,
            });
        }
        if !scope.allows(&change.facility) {
            return Err(RecordError::NotFound);
        }
        let (facility, rule) = (change.facility.as_str(), change.rule.as_str());
        let mut transaction = self.database.write().await?;
        sqlx::query(
            "UPDATE rule_overrides SET until_ms = $3 \
             WHERE facility = $1 AND rule = $2 AND COALESCE(until_ms, $4) > $3",
        )
        .bind(facility)
        .bind(rule)
        .bind(change.from.0)
        .bind(i64::MAX)
        .execute(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let id = draw(&mut transaction, "rule_overrides").await?;
        let row = sqlx::query(
            "INSERT INTO rule_overrides (id, facility, rule, version, limit_value, hold_ms, reason, who, \
               approver, from_ms, until_ms, numbers) \
             SELECT $1, $2, $3, COALESCE(MAX(version), 0) + 1, $4, $5, $6, $7, $8, $9, $10, $11 \
               FROM rule_overrides WHERE facility = $2 AND rule = $3 RETURNING *",
        )
        .bind(id)
        .bind(facility)
        .bind(rule)
        .bind(change.limit)
        .bind(change.hold_ms)
        .bind(change.reason.trim())
        .bind(change.who.trim())
        .bind(change.approver.as_deref().map(str::trim))
        .bind(change.from.0)
        .bind(change.until.map(|until| until.0))
        .bind(serde_json::to_string(&change.numbers).expect("finite numbers by name are JSON"))
        .fetch_one(&mut *transaction)
        .await
        .map_err(|e| RecordError::from_reference(e, "facility", facility))?;
        let kept = override_of(&row)?;
        let line = Line {
            actor: kept.who.as_str(),
            action: "rule.override",
            object: &object_of(&kept),
            detail: &detail_of(&kept),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(kept)
    }

    /// Gives a facility the pack's rule back, from `at` on.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when there is no such change in `scope` or it was over before `at`,
    /// [`RecordError::Invalid`] for an empty or over-long name.
    pub async fn end_override(
        &self,
        scope: &Scope,
        id: i64,
        at: UtcMillis,
        who: &str,
    ) -> Result<RuleOverride, RecordError> {
        audit::check_actor("by", who)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query(
            "UPDATE rule_overrides SET until_ms = $2 WHERE id = $1 AND COALESCE(until_ms, $3) > $2 \
             RETURNING *",
        )
        .bind(id)
        .bind(at.0)
        .bind(i64::MAX)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(RecordError::from_database)?;
        let change = row.as_ref().map(override_of).transpose()?;
        // What was written outside the scope goes with the transaction.
        let change = change.filter(|c| scope.allows(&c.facility));
        let change = change.ok_or(RecordError::NotFound)?;
        let line = Line {
            actor: who.trim(),
            action: "rule.restore",
            object: &object_of(&change),
            detail: &format!("at={}", at.0),
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(change)
    }

    /// The changes in `scope` that were not over before `since`, of one rule or of all, newest first; at most
    /// [`MAX_SHELVES`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overrides(
        &self,
        scope: &Scope,
        rule: Option<&RuleId>,
        since: UtcMillis,
    ) -> Result<Vec<RuleOverride>, RecordError> {
        let facilities: Option<Facilities> = self.reach(scope, None).await?;
        let Some(facilities) = facilities else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new("SELECT * FROM rule_overrides WHERE COALESCE(until_ms, ");
        query.push_bind(i64::MAX).push(") > ").push_bind(since.0);
        if let Some(rule) = rule {
            query.push(" AND rule = ").push_bind(rule.as_str().to_owned());
        }
        push_facilities(&mut query, &facilities);
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(MAX_SHELVES));
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(override_of).collect()
    }
}

fn object_of(change: &RuleOverride) -> String {
    format!("rule {} at {}", change.rule, change.facility)
}

fn detail_of(change: &RuleOverride) -> String {
    let number = |n: Option<String>| n.unwrap_or_else(|| "-".to_owned());
    format!(
        "version={} limit={} hold_ms={} numbers={:?} approver={} from={} until={}: {}",
        change.version,
        number(change.limit.map(|l| l.to_string())),
        number(change.hold_ms.map(|h| h.to_string())),
        change.numbers,
        change.approver.as_deref().unwrap_or("-"),
        change.from.0,
        number(change.until.map(|u| u.0.to_string())),
        change.reason
    )
}

fn override_of(row: &Row) -> Result<RuleOverride, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(RuleOverride {
        id: fields.get("id")?,
        version: fields.u32("version")?,
        rule: fields.id("rule")?,
        facility: fields.id("facility")?,
        limit: fields.get("limit_value")?,
        hold_ms: fields.get("hold_ms")?,
        numbers: fields.parsed("numbers", |text| serde_json::from_str(text).ok())?,
        reason: fields.get("reason")?,
        who: fields.get("who")?,
        approver: fields.get("approver")?,
        from: fields.moment("from_ms")?,
        until: fields.optional_moment("until_ms")?,
    })
}
