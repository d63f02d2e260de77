//! Cases: what the machine opens and clears, and what people do about them.
//!
//! The machine's writes may be replayed: each is recognised by what it is about, and a second time it
//! changes nothing. A person's act names the version it was decided on, so that nobody overwrites what
//! they have not seen.

use domain::{
    Case, CaseId, CaseState, FacilityId, RuleId, Scope, SeriesKey, Severity, UtcMillis, case::Note,
};
use sqlx::Row as _;

use super::{
    Records,
    audit::{self, Line},
    database::{Builder, MAX_BINDS, Row, Transaction, commit},
    error::{Problem, RecordError},
    fields::Fields,
    snapshot::{self, EngineSnapshot},
    text::check_free,
};

/// The name under which the product itself acts.
pub const SYSTEM: &str = "system";

/// The most characters of a comment.
pub const MAX_COMMENT: usize = 1_000;

/// The most cases that [`Records::cases`] answers with.
pub const MAX_CASES: u32 = 1_000;

/// A case about to be opened; the same (rule, point, since) never opens twice.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCase {
    /// The rule that raises it.
    pub rule: RuleId,
    /// The rule pack's version.
    pub rule_version: String,
    /// The point it is about; its facility must be registered.
    pub point: SeriesKey,
    /// How bad.
    pub severity: Severity,
    /// When the condition began.
    pub since: UtcMillis,
    /// When it had lasted long enough.
    pub raised_at: UtcMillis,
    /// The value that raises it, in the metric's canonical unit; `None` for silence.
    pub value: Option<f64>,
    /// The limit it breaks; `None` for silence.
    pub limit: Option<f64>,
}

/// What the machine asks of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseWrite {
    /// Open it, unless it was opened before.
    Open(NewCase),
    /// Note that its condition cleared, unless that was noted before.
    Clear {
        /// The rule that raised it.
        rule: RuleId,
        /// The point it is about.
        point: SeriesKey,
        /// When the condition began.
        since: UtcMillis,
        /// When it cleared.
        at: UtcMillis,
        /// Whether the case is done with that. False for a latched one: a person closes it.
        close: bool,
    },
}

/// What a person asks of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseAction {
    /// Take it up (签收). Only an open case can be taken up.
    Acknowledge(Note),
    /// Close it. Only a case that is not closed yet can be.
    Close(Note),
}

/// Which cases to list.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter {
    /// Of this facility only.
    pub facility: Option<FacilityId>,
    /// In one of these states only; in any when empty.
    pub states: Vec<CaseState>,
    /// At most this many, and never more than [`MAX_CASES`].
    pub limit: u32,
    /// Older than this case only: the last one of the page before.
    pub before: Option<CaseId>,
}

/// How much is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaseCounts {
    /// Cases that nobody has taken up.
    pub open: u64,
    /// Cases that somebody has taken up and nobody has closed.
    pub acknowledged: u64,
}

impl Records {
    /// Applies the machine's writes and keeps the engine's snapshot, all or nothing. Answers with the cases
    /// that this changed; a write that was applied before changes nothing and is not among them.
    ///
    /// # Errors
    /// [`RecordError::Missing`] when a new case's facility is not registered; or when the database fails.
    pub async fn apply_cases(
        &self,
        writes: &[CaseWrite],
        engine: Option<&EngineSnapshot>,
    ) -> Result<Vec<Case>, RecordError> {
        let now = self.clock.now();
        let mut transaction = self.database.write().await?;
        let mut changed = Vec::new();
        for write in writes {
            let (case, action) = match write {
                CaseWrite::Open(new) => (open(&mut transaction, new).await?, "case.open"),
                CaseWrite::Clear { .. } => (clear(&mut transaction, write).await?, "case.clear"),
            };
            let Some(case) = case else { continue };
            let object = object_of(&case);
            let line = Line {
                actor: SYSTEM,
                action,
                object: &object,
                detail: &evidence_of(&case),
            };
            audit::write(&mut transaction, now, &line).await?;
            changed.push(case);
        }
        if let Some(snapshot) = engine {
            snapshot::put(&mut transaction, snapshot).await?;
        }
        commit(transaction).await?;
        Ok(changed)
    }

    /// Does what a person asks of a case, and writes the audit line with it. `version` is the one that the
    /// person saw.
    ///
    /// # Errors
    /// [`RecordError::NotFound`] when the case does not exist or lies outside `scope`,
    /// [`RecordError::Conflict`] when `version` is no longer the case's, [`RecordError::WrongState`] when this
    /// cannot be done to it any more, [`RecordError::Invalid`] for an empty, over-long (64 characters) or
    /// reserved name or an over-long comment (1,000 characters).
    pub async fn act_on_case(
        &self,
        scope: &Scope,
        id: CaseId,
        version: i64,
        action: CaseAction,
    ) -> Result<Case, RecordError> {
        let (CaseAction::Acknowledge(note) | CaseAction::Close(note)) = &action;
        check_note(note)?;
        let mut transaction = self.database.write().await?;
        let row = sqlx::query("SELECT * FROM cases WHERE id = $1")
            .bind(id.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let case = row
            .as_ref()
            .map(case_of)
            .transpose()?
            .filter(|c| scope.allows(&c.point.facility));
        let case = case.ok_or(RecordError::NotFound)?;
        if case.version != version {
            return Err(RecordError::Conflict);
        }
        let (allowed, name) = match &action {
            CaseAction::Acknowledge(_) => (case.state == CaseState::Open, "case.acknowledge"),
            CaseAction::Close(_) => (case.state != CaseState::Closed, "case.close"),
        };
        if !allowed {
            return Err(RecordError::WrongState { state: case.state });
        }
        let after = write_action(&mut transaction, id, &action).await?;
        let object = object_of(&after);
        let line = Line {
            actor: note.by.trim(),
            action: name,
            object: &object,
            detail: &note.comment,
        };
        audit::write(&mut transaction, self.clock.now(), &line).await?;
        commit(transaction).await?;
        Ok(after)
    }

    /// The case, or `None` when it does not exist or lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case(&self, scope: &Scope, id: CaseId) -> Result<Option<Case>, RecordError> {
        let row = sqlx::query("SELECT * FROM cases WHERE id = $1")
            .bind(id.0)
            .fetch_optional(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let case = row.as_ref().map(case_of).transpose()?;
        Ok(case.filter(|c| scope.allows(&c.point.facility)))
    }

    /// The cases in `scope` that `filter` lets through, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases(&self, scope: &Scope, filter: &CaseFilter) -> Result<Vec<Case>, RecordError> {
        let Some(facilities) = self.reach(scope, filter.facility.as_ref()).await? else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new("SELECT * FROM cases WHERE id < ");
        query.push_bind(filter.before.map_or(i64::MAX, |id| id.0));
        push_facilities(&mut query, &facilities);
        if !filter.states.is_empty() {
            push_list(&mut query, "state", filter.states.iter().map(|s| s.code()));
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(filter.limit.min(MAX_CASES)));
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        rows.iter().map(case_of).collect()
    }

    /// How many cases in `scope` are not closed yet, of one facility or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case_counts(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<CaseCounts, RecordError> {
        let Some(facilities) = self.reach(scope, facility).await? else {
            return Ok(CaseCounts::default());
        };
        let mut query =
            Builder::new("SELECT state, COUNT(*) FROM cases WHERE state IN ('open', 'acknowledged')");
        push_facilities(&mut query, &facilities);
        query.push(" GROUP BY state");
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut counts = CaseCounts::default();
        for row in &rows {
            let (state, count): (&str, i64) = (row.get(0), row.get(1));
            let count = count.unsigned_abs();
            if state == CaseState::Open.code() {
                counts.open = count;
            } else {
                counts.acknowledged = count;
            }
        }
        Ok(counts)
    }

    /// The facilities that a query may touch: `None` when there are none, [`Facilities::All`] without bound.
    pub(super) async fn reach(
        &self,
        scope: &Scope,
        facility: Option<&FacilityId>,
    ) -> Result<Option<Facilities>, RecordError> {
        if let Some(one) = facility {
            return Ok(scope
                .allows(one)
                .then(|| Facilities::These(vec![one.as_str().to_owned()])));
        }
        if *scope == Scope::everything() {
            return Ok(Some(Facilities::All));
        }
        let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM facilities ORDER BY id")
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let within = |id: &String| FacilityId::new(id).is_ok_and(|id| scope.allows(&id));
        let ids: Vec<String> = ids.into_iter().filter(within).collect();
        if ids.len() > MAX_BINDS {
            return Err(RecordError::Invalid {
                field: "scope",
                problem: Problem::TooMany { max: MAX_BINDS },
            });
        }
        Ok((!ids.is_empty()).then_some(Facilities::These(ids)))
    }
}

/// The facilities that a query may touch.
pub(super) enum Facilities {
    All,
    These(Vec<String>),
}

pub(super) fn push_facilities(query: &mut Builder, facilities: &Facilities) {
    if let Facilities::These(ids) = facilities {
        push_list(query, "facility", ids.iter().cloned());
    }
}

fn push_list<'t, T>(query: &mut Builder, column: &'static str, values: impl Iterator<Item = T>)
where
    T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value);
    }
    list.push_unseparated(")");
}

pub(super) fn check_note(note: &Note) -> Result<(), RecordError> {
    audit::check_actor("by", &note.by)?;
    if note.by.trim().eq_ignore_ascii_case(SYSTEM) {
        return Err(RecordError::Invalid {
            field: "by",
            problem: Problem::Reserved,
        });
    }
    check_free("comment", &note.comment, MAX_COMMENT)
}

/// Opens a case; `None` when it was opened before.
async fn open(transaction: &mut Transaction, new: &NewCase) -> Result<Option<Case>, RecordError> {
    let row = sqlx::query(
        "INSERT INTO cases (id, rule, rule_version, facility, device, metric, severity, state, since_ms, \
           raised_at_ms, value, limit_value, version) \
         SELECT value + 1, $1, $2, $3, $4, $5, $6, 'open', $7, $8, $9, $10, 1 \
           FROM counters WHERE name = 'cases' \
         ON CONFLICT (rule, facility, device, metric, since_ms) DO NOTHING RETURNING *",
    )
    .bind(new.rule.as_str())
    .bind(&new.rule_version)
    .bind(new.point.facility.as_str())
    .bind(new.point.device.as_str())
    .bind(new.point.metric.as_str())
    .bind(new.severity.code())
    .bind(new.since.0)
    .bind(new.raised_at.0)
    .bind(new.value)
    .bind(new.limit)
    .fetch_optional(&mut **transaction)
    .await
    .map_err(|e| RecordError::from_reference(e, "facility", new.point.facility.as_str()))?;
    let Some(case) = row.as_ref().map(case_of).transpose()? else {
        return Ok(None);
    };
    sqlx::query("UPDATE counters SET value = $1 WHERE name = 'cases'")
        .bind(case.id.0)
        .execute(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    Ok(Some(case))
}

/// Notes that a case's condition cleared; `None` when there is no such case or that was noted before.
async fn clear(transaction: &mut Transaction, write: &CaseWrite) -> Result<Option<Case>, RecordError> {
    let CaseWrite::Clear {
        rule,
        point,
        since,
        at,
        close,
    } = write
    else {
        return Ok(None);
    };
    let query = if *close {
        sqlx::query(
            "UPDATE cases SET cleared_at_ms = $6, version = version + 1, state = 'closed', \
               closed_by = COALESCE(closed_by, 'system'), closed_at_ms = COALESCE(closed_at_ms, $6), \
               closed_comment = COALESCE(closed_comment, '') \
             WHERE rule = $1 AND facility = $2 AND device = $3 AND metric = $4 AND since_ms = $5 \
               AND cleared_at_ms IS NULL RETURNING *",
        )
    } else {
        sqlx::query(
            "UPDATE cases SET cleared_at_ms = $6, version = version + 1 \
             WHERE rule = $1 AND facility = $2 AND device = $3 AND metric = $4 AND since_ms = $5 \
               AND cleared_at_ms IS NULL RETURNING *",
        )
    };
    let row = query
        .bind(rule.as_str())
        .bind(point.facility.as_str())
        .bind(point.device.as_str())
        .bind(point.metric.as_str())
        .bind(since.0)
        .bind(at.0)
        .fetch_optional(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    row.as_ref().map(case_of).transpose()
}

async fn write_action(
    transaction: &mut Transaction,
    id: CaseId,
    action: &CaseAction,
) -> Result<Case, RecordError> {
    let (query, note) = match action {
        CaseAction::Acknowledge(note) => (
            "UPDATE cases SET state = 'acknowledged', acknowledged_by = $2, acknowledged_at_ms = $3, \
               acknowledged_comment = $4, version = version + 1 WHERE id = $1 RETURNING *",
            note,
        ),
        CaseAction::Close(note) => (
            "UPDATE cases SET state = 'closed', closed_by = $2, closed_at_ms = $3, closed_comment = $4, \
               version = version + 1 WHERE id = $1 RETURNING *",
            note,
        ),
    };
    let row = sqlx::query(query)
        .bind(id.0)
        .bind(note.by.trim())
        .bind(note.at.0)
        .bind(&note.comment)
        .fetch_one(&mut **transaction)
        .await
        .map_err(RecordError::from_database)?;
    case_of(&row)
}

fn object_of(case: &Case) -> String {
    format!("case {}", case.id)
}

/// What a case rests on, for the audit trail: enough to tell whether the case's own row was changed later.
fn evidence_of(case: &Case) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    format!(
        "{} {} {} {} since={} raised={} value={} limit={} cleared={} state={}",
        case.rule,
        case.rule_version,
        case.point,
        case.severity.code(),
        case.since.0,
        case.raised_at.0,
        number(case.value),
        number(case.limit),
        case.cleared_at
            .map_or_else(|| "-".to_owned(), |at| at.0.to_string()),
        case.state.code(),
    )
}

pub(super) fn case_of(row: &Row) -> Result<Case, RecordError> {
    let fields = Fields::of(row, "id");
    Ok(Case {
        id: CaseId(fields.get("id")?),
        rule: fields.id("rule")?,
        rule_version: fields.get("rule_version")?,
        point: SeriesKey {
            facility: fields.id("facility")?,
            device: fields.id("device")?,
            metric: fields.id("metric")?,
        },
        severity: fields.parsed("severity", Severity::parse)?,
        state: fields.parsed("state", CaseState::parse)?,
        since: fields.moment("since_ms")?,
        raised_at: fields.moment("raised_at_ms")?,
        value: fields.get("value")?,
        limit: fields.get("limit_value")?,
        cleared_at: fields.optional_moment("cleared_at_ms")?,
        acknowledged: note_of(
            &fields,
            ["acknowledged_by", "acknowledged_at_ms", "acknowledged_comment"],
        )?,
        closed: note_of(&fields, ["closed_by", "closed_at_ms", "closed_comment"])?,
        version: fields.get("version")?,
    })
}

fn note_of(fields: &Fields<'_>, columns: [&'static str; 3]) -> Result<Option<Note>, RecordError> {
    let [by, at, comment] = columns;
    let Some(who) = fields.get::<Option<String>>(by)? else {
        return Ok(None);
    };
    Ok(Some(Note {
        by: who,
        at: fields.moment(at)?,
        comment: fields.get(comment)?,
    }))
}
