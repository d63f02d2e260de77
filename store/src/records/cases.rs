//! Cases: what the machine opens and clears, and what people do about them.
//!
//! The machine's writes may be replayed: each is recognised by what it is about, and a second time it
//! changes nothing. A person's act names the version it was decided on, so that nobody overwrites what
//! they have not seen.

mod act;
mod folding;
mod open;
mod pictures;
mod row;
mod timers;

use domain::{
    Case, CaseId, CaseState, FacilityId, RuleId, Scope, SeriesKey, Severity, UtcMillis,
    case::{Note, cause::Trouble},
};
use sqlx::Row as _;

use super::{
    Records, audit,
    database::{Builder, MAX_BINDS, commit},
    error::{Problem, RecordError},
    outbox::Teller,
    snapshot::{self, EngineSnapshot},
    text::check_free,
};

pub(super) use act::close_by_review;
pub use act::{CaseAct, CaseAction, MAX_MEASURE};
use open::{clear, open};
pub(super) use row::case_of;
pub(super) use timers::mark;

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
    /// What kind of trouble it is: cases of one cause fold into one.
    pub trouble: Trouble,
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
        let mut teller = Teller::new(&self.practice, now);
        let mut changed = Vec::new();
        for write in writes {
            match write {
                CaseWrite::Open(new) => open(&mut transaction, &mut teller, new, &mut changed).await?,
                CaseWrite::Clear { .. } => clear(&mut transaction, &mut teller, write, &mut changed).await?,
            }
        }
        if let Some(snapshot) = engine {
            snapshot::put(&mut transaction, snapshot).await?;
        }
        commit(transaction).await?;
        Ok(changed)
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
            push_list(&mut query, "stage", filter.states.iter().map(|s| s.code()));
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
        let select = "SELECT state, COUNT(*) FROM cases WHERE state IN ('open', 'acknowledged')";
        let mut counts = CaseCounts::default();
        for (state, count) in self.count_by_state(select, &facilities).await? {
            if state == CaseState::Open.code() {
                counts.open = count;
            } else {
                counts.acknowledged = count;
            }
        }
        Ok(counts)
    }

    /// How many rows of these facilities are in each state. `select` reads `SELECT state, COUNT(*) FROM … WHERE …`.
    pub(super) async fn count_by_state(
        &self,
        select: &'static str,
        facilities: &Facilities,
    ) -> Result<Vec<(String, u64)>, RecordError> {
        let mut query = Builder::new(select);
        push_facilities(&mut query, facilities);
        query.push(" GROUP BY state");
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let counted = rows
            .iter()
            .map(|row| (row.get(0), row.get::<i64, _>(1).unsigned_abs()));
        Ok(counted.collect())
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
