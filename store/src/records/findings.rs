//! Findings: what cameras say that they saw, and what people say of that.
//!
//! A finding is a claim of a model. It becomes a fact when a person confirms it, and only then may it touch a
//! score ([`Finding::counts`]). The machine's writes may be replayed: a second time they change nothing.

mod enter;
mod review;

use std::collections::BTreeMap;

use domain::{
    CameraKey, Case, Check, DeviceId, EvidenceId, FacilityId, LogPosition, Scope, SeriesKey, Sighted,
    UtcMillis, case::Note,
};

use super::{
    Records,
    cases::{case_of, push_facilities},
    database::{Builder, Row},
    error::RecordError,
    fields::Fields,
};

/// The most findings that [`Records::findings`] answers with.
pub const MAX_FINDINGS: u32 = 1_000;

/// The most pieces of evidence of one finding; more are refused.
pub const MAX_FINDING_EVIDENCE: usize = 16;

/// The most findings of one camera that are not confirmed. Beyond it the oldest of them are forgotten: a
/// camera gone mad must not fill the disk.
pub const MAX_UNCONFIRMED: u32 = 20_000;

/// A finding's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FindingId(pub i64);

impl std::fmt::Display for FindingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a person says of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is so (属实).
    Confirmed,
    /// It is not (误报).
    Rejected,
}

impl Verdict {
    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Rejected => "rejected",
        }
    }
}

/// Where a finding stands in the review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReviewState {
    /// Nobody has looked at it (待复核).
    Waiting,
    /// It is so.
    Confirmed,
    /// It is not.
    Rejected,
}

impl ReviewState {
    /// Every state.
    pub const ALL: [ReviewState; 3] = [
        ReviewState::Waiting,
        ReviewState::Confirmed,
        ReviewState::Rejected,
    ];

    /// The name in the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ReviewState::Waiting => "waiting",
            ReviewState::Confirmed => Verdict::Confirmed.code(),
            ReviewState::Rejected => Verdict::Rejected.code(),
        }
    }

    /// Reads [`ReviewState::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<ReviewState> {
        ReviewState::ALL.into_iter().find(|s| s.code() == code)
    }
}

/// A review as a person asks for it; the store dates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What they say.
    pub verdict: Verdict,
    /// Their name.
    pub by: String,
    /// Further words; may be empty.
    pub comment: String,
}

/// A review that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// What was said.
    pub verdict: Verdict,
    /// Who said it, when, and with what words.
    pub note: Note,
}

/// Something that a camera said it saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its number.
    pub id: FindingId,
    /// Which camera; it may no longer be attached.
    pub camera: CameraKey,
    /// What was said when it began.
    pub said: Sighted,
    /// When the log took that in.
    pub received: UtcMillis,
    /// Where that stands in the log.
    pub position: LogPosition,
    /// When it was over; `None` while it holds.
    pub ended_at: Option<UtcMillis>,
    /// What is kept of it, oldest first; at most [`MAX_FINDING_EVIDENCE`].
    pub evidence: Vec<EvidenceId>,
    /// What a person said of it.
    pub review: Option<Reviewed>,
    /// Grows by one with every review, and with nothing else: an end or further evidence that comes while
    /// somebody looks at it does not spoil what they decide.
    pub version: i64,
}

impl Finding {
    /// Whether it may touch a score or a grade: only when a person confirmed it.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.state() == ReviewState::Confirmed
    }

    /// Where it stands in the review.
    #[must_use]
    pub fn state(&self) -> ReviewState {
        match self.review.as_ref().map(|review| review.verdict) {
            None => ReviewState::Waiting,
            Some(Verdict::Confirmed) => ReviewState::Confirmed,
            Some(Verdict::Rejected) => ReviewState::Rejected,
        }
    }
}

/// Which findings to list.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Of this facility only.
    pub facility: Option<FacilityId>,
    /// Of this camera only.
    pub camera: Option<CameraKey>,
    /// Of this check only.
    pub check: Option<Check>,
    /// In this state of the review only.
    pub review: Option<ReviewState>,
    /// Older than this one only: the last one of the page before.
    pub before: Option<FindingId>,
    /// At most this many, and never more than [`MAX_FINDINGS`].
    pub limit: u32,
}

/// How often people agreed with a check of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPrecision {
    /// The camera.
    pub camera: CameraKey,
    /// The check.
    pub check: Check,
    /// Findings that are so.
    pub confirmed: u64,
    /// Findings that are not.
    pub rejected: u64,
    /// Findings that nobody has looked at.
    pub waiting: u64,
}

impl CheckPrecision {
    /// The share of reviewed findings that were so, 0 to 1; `None` before the first review.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "people review far fewer than 2^52 findings"
    )]
    pub fn share(&self) -> Option<f64> {
        let reviewed = self.confirmed + self.rejected;
        (reviewed > 0).then(|| self.confirmed as f64 / reviewed as f64)
    }
}

impl Records {
    /// The finding, or `None` when it does not exist or lies outside `scope`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finding(&self, scope: &Scope, id: FindingId) -> Result<Option<Finding>, RecordError> {
        let mut query = Builder::new("SELECT * FROM findings WHERE id = ");
        query.push_bind(id.0);
        let found = self.fetch_findings(query).await?.pop();
        Ok(found.filter(|f| scope.allows(&f.camera.facility)))
    }

    /// The findings in `scope` that `filter` lets through, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn findings(&self, scope: &Scope, filter: &FindingFilter) -> Result<Vec<Finding>, RecordError> {
        let of_camera = filter.camera.as_ref().map(|key| &key.facility);
        let facility = filter.facility.as_ref().or(of_camera);
        let Some(facilities) = self.reach(scope, facility).await? else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new("SELECT * FROM findings WHERE id < ");
        query.push_bind(filter.before.map_or(i64::MAX, |id| id.0));
        push_facilities(&mut query, &facilities);
        if let Some(key) = &filter.camera {
            query
                .push(" AND facility = ")
                .push_bind(key.facility.as_str().to_owned());
            query
                .push(" AND camera = ")
                .push_bind(key.camera.as_str().to_owned());
        }
        if let Some(check) = filter.check {
            query.push(" AND check_code = ").push_bind(check.code());
        }
        if let Some(review) = filter.review {
            query.push(" AND review = ").push_bind(review.code());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(filter.limit.min(MAX_FINDINGS)));
        self.fetch_findings(query).await
    }

    /// The finding that a case is about: the case's point names camera and check, and its `since` is the moment
    /// at which the finding began. `None` for a case of a sensor, or outside `scope`. Of findings that began at
    /// one moment in several zones, the first to be told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finding_of_case(
        &self,
        scope: &Scope,
        point: &SeriesKey,
        since: UtcMillis,
    ) -> Result<Option<Finding>, RecordError> {
        let Some(check) = Check::parse(point.metric.as_str()).filter(|_| scope.allows(&point.facility))
        else {
            return Ok(None);
        };
        let mut query = Builder::new("SELECT * FROM findings WHERE facility = ");
        query.push_bind(point.facility.as_str().to_owned());
        query
            .push(" AND camera = ")
            .push_bind(point.device.as_str().to_owned());
        query.push(" AND check_code = ").push_bind(check.code());
        query.push(" AND began_at_ms = ").push_bind(since.0);
        query.push(" ORDER BY id LIMIT 1");
        Ok(self.fetch_findings(query).await?.pop())
    }

    /// The case that a finding opened, if it did: what [`Records::finding_of_case`] says, the other way round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case_of_finding(
        &self,
        scope: &Scope,
        finding: &Finding,
    ) -> Result<Option<Case>, RecordError> {
        if !scope.allows(&finding.camera.facility) {
            return Ok(None);
        }
        let row = sqlx::query(
            "SELECT * FROM cases WHERE facility = $1 AND device = $2 AND metric = $3 AND since_ms = $4 \
             ORDER BY id LIMIT 1",
        )
        .bind(finding.camera.facility.as_str())
        .bind(finding.camera.camera.as_str())
        .bind(finding.said.check.code())
        .bind(finding.said.at.0)
        .fetch_optional(self.database.readers())
        .await
        .map_err(RecordError::from_database)?;
        row.as_ref().map(case_of).transpose()
    }

    /// How often people agreed with each check of each camera in `scope`, ordered by camera and check.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn precision(&self, scope: &Scope) -> Result<Vec<CheckPrecision>, RecordError> {
        let Some(facilities) = self.reach(scope, None).await? else {
            return Ok(Vec::new());
        };
        let mut query = Builder::new(
            "SELECT facility, camera, check_code, review, COUNT(*) AS findings FROM findings WHERE id > 0",
        );
        push_facilities(&mut query, &facilities);
        query.push(" GROUP BY facility, camera, check_code, review");
        let rows = query
            .build()
            .fetch_all(self.database.readers())
            .await
            .map_err(RecordError::from_database)?;
        let mut tallies: BTreeMap<(CameraKey, Check), CheckPrecision> = BTreeMap::new();
        for row in &rows {
            let fields = Fields::of(row, "camera");
            let (camera, check) = (camera_of(&fields)?, fields.parsed("check_code", Check::parse)?);
            let count = fields.get::<i64>("findings")?.unsigned_abs();
            let tally = tallies.entry((camera.clone(), check)).or_insert(CheckPrecision {
                camera,
                check,
                confirmed: 0,
                rejected: 0,
                waiting: 0,
            });
            match fields.parsed("review", ReviewState::parse)? {
                ReviewState::Waiting => tally.waiting = count,
                ReviewState::Confirmed => tally.confirmed = count,
                ReviewState::Rejected => tally.rejected = count,
            }
        }
        Ok(tallies.into_values().collect())
    }

    /// Runs `query`, which selects rows of findings, and adds their evidence. One read transaction: evidence
    /// that comes meanwhile belongs to no other state of a finding.
    async fn fetch_findings(&self, mut query: Builder) -> Result<Vec<Finding>, RecordError> {
        let mut transaction = self
            .database
            .readers()
            .begin()
            .await
            .map_err(RecordError::from_database)?;
        let rows = query
            .build()
            .fetch_all(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let mut findings = rows.iter().map(finding_of).collect::<Result<Vec<_>, _>>()?;
        if findings.is_empty() {
            return Ok(findings);
        }
        let mut query = Builder::new("SELECT finding, evidence FROM finding_evidence WHERE finding IN (");
        let mut list = query.separated(", ");
        for finding in &findings {
            list.push_bind(finding.id.0);
        }
        list.push_unseparated(") ORDER BY finding, place");
        let rows = query
            .build()
            .fetch_all(&mut *transaction)
            .await
            .map_err(RecordError::from_database)?;
        let mut evidence: BTreeMap<i64, Vec<EvidenceId>> = BTreeMap::new();
        for row in &rows {
            let fields = Fields::of(row, "finding");
            let of = evidence.entry(fields.get("finding")?).or_default();
            of.push(fields.parsed("evidence", EvidenceId::parse)?);
        }
        for finding in &mut findings {
            finding.evidence = evidence.remove(&finding.id.0).unwrap_or_default();
        }
        Ok(findings)
    }
}

/// How the audit trail names a finding.
fn object_of(id: FindingId) -> String {
    format!("finding {id}")
}

/// A zone as it is stored: the whole picture is the empty text, which is no zone's identifier.
pub(super) fn zone_text(zone: Option<&DeviceId>) -> &str {
    zone.map_or("", DeviceId::as_str)
}

pub(super) fn camera_of(fields: &Fields<'_>) -> Result<CameraKey, RecordError> {
    Ok(CameraKey {
        facility: fields.id("facility")?,
        camera: fields.id("camera")?,
    })
}

/// A row as a finding, without its evidence.
fn finding_of(row: &Row) -> Result<Finding, RecordError> {
    let fields = Fields::of(row, "id");
    let verdict = match fields.parsed("review", ReviewState::parse)? {
        ReviewState::Waiting => None,
        ReviewState::Confirmed => Some(Verdict::Confirmed),
        ReviewState::Rejected => Some(Verdict::Rejected),
    };
    let review = match verdict {
        None => None,
        Some(verdict) => Some(Reviewed {
            verdict,
            note: Note {
                by: fields.get("review_by")?,
                at: fields.moment("review_at_ms")?,
                comment: fields.get("review_comment")?,
            },
        }),
    };
    let position =
        u64::try_from(fields.get::<i64>("position")?).map_err(|_negative| fields.damaged("position"))?;
    Ok(Finding {
        id: FindingId(fields.get("id")?),
        camera: camera_of(&fields)?,
        said: fields.parsed("said", |text| serde_json::from_str(text).ok())?,
        received: fields.moment("received_ms")?,
        position: LogPosition(position),
        ended_at: fields.optional_moment("ended_at_ms")?,
        evidence: Vec::new(),
        review,
        version: fields.get("version")?,
    })
}
