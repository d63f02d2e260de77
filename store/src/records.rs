use std::path::Path;
use domain::{Case, CaseId, CaseState, Facility, FacilityId, Identity, IdentityName, Point, Region, Scope, SeriesKey, UtcMillis, case::Note, DeviceId};

#[derive(Debug, thiserror::Error)]
pub enum RecordError { #[error("x")] NotFound, #[error("conflict")] Conflict, #[error("db")] Database }

/// A case about to be opened; the same (rule, point, since) never opens twice.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCase {
    pub rule: domain::RuleId, pub rule_version: String, pub point: SeriesKey, pub severity: domain::Severity,
    pub since: UtcMillis, pub raised_at: UtcMillis, pub value: Option<f64>, pub limit: Option<f64>,
}

/// Which cases to list.
#[derive(Debug, Clone, Default)]
pub struct CaseFilter { pub facility: Option<FacilityId>, pub states: Vec<CaseState>, pub limit: u32, pub before: Option<CaseId> }

/// What the machine asks of a case, written in one transaction with the engine's snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseWrite { Open(NewCase), Clear { rule: domain::RuleId, point: SeriesKey, since: UtcMillis, at: UtcMillis, close: bool } }

/// What a person asks of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseAction { Acknowledge(Note), Close(Note) }

/// One line of the audit trail, hash-chained: append-only.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry { pub id: i64, pub at: UtcMillis, pub actor: String, pub action: String, pub object: String, pub detail: String }

/// The record store (SQLite now; SQL that PostgreSQL shares). Cheap to clone. Every read takes the scope.
#[derive(Clone)]
pub struct Records;
impl Records {
    pub async fn open(path: &Path, clock: domain::Clock) -> Result<Records, RecordError> { todo!() }
    pub async fn close(&self) { todo!() }
    pub async fn put_region(&self, region: &Region) -> Result<(), RecordError> { todo!() }
    pub async fn regions(&self) -> Result<Vec<Region>, RecordError> { todo!() }
    pub async fn put_facility(&self, facility: &Facility) -> Result<(), RecordError> { todo!() }
    pub async fn facilities(&self, scope: &Scope) -> Result<Vec<Facility>, RecordError> { todo!() }
    pub async fn facility(&self, scope: &Scope, id: &FacilityId) -> Result<Option<Facility>, RecordError> { todo!() }
    pub async fn put_point(&self, point: &Point) -> Result<(), RecordError> { todo!() }
    /// Many points in one transaction.
    pub async fn put_points(&self, points: &[Point]) -> Result<(), RecordError> { todo!() }
    pub async fn points(&self, scope: &Scope, facility: Option<&FacilityId>) -> Result<Vec<Point>, RecordError> { todo!() }
    /// Adds or replaces identities (secret, expiry; clears a revocation), in one transaction.
    pub async fn put_identities(&self, identities: &[Identity]) -> Result<(), RecordError> { todo!() }
    pub async fn identities(&self) -> Result<Vec<Identity>, RecordError> { todo!() }
    /// Device identities in scope, without regard to facility when `None`.
    pub async fn devices(&self, scope: &Scope, facility: Option<&FacilityId>) -> Result<Vec<Identity>, RecordError> { todo!() }
    pub async fn revoke_identity(&self, name: &IdentityName, by: &str) -> Result<(), RecordError> { todo!() }
    /// Changes whenever facilities, points or identities change, also from another process. Cheap: polled twice a second.
    pub async fn directory_version(&self) -> Result<i64, RecordError> { todo!() }
    /// Applies the machine's writes and keeps the engine's snapshot, in one transaction; answers with the cases that changed.
    pub async fn apply_cases(&self, writes: &[CaseWrite], snapshot: Option<&EngineSnapshot>) -> Result<Vec<Case>, RecordError> { todo!() }
    pub async fn engine_snapshot(&self) -> Result<Option<EngineSnapshot>, RecordError> { todo!() }
    /// A person's action; `Conflict` when `version` is no longer the case's. Writes the audit line in the same transaction.
    pub async fn act_on_case(&self, scope: &Scope, id: CaseId, version: i64, action: CaseAction) -> Result<Case, RecordError> { todo!() }
    pub async fn case(&self, scope: &Scope, id: CaseId) -> Result<Option<Case>, RecordError> { todo!() }
    pub async fn cases(&self, scope: &Scope, filter: &CaseFilter) -> Result<Vec<Case>, RecordError> { todo!() }
    /// Open and acknowledged cases, and those of them that are unacknowledged.
    pub async fn audit(&self, entry: (&str, &str, &str, &str)) -> Result<(), RecordError> { todo!() }
    pub async fn audit_trail(&self, limit: u32) -> Result<Vec<AuditEntry>, RecordError> { todo!() }
    /// Walks the chain; the first broken id, if any.
    pub async fn verify_audit(&self) -> Result<Option<i64>, RecordError> { todo!() }
    /// Ok when the database answers and can be written.
    pub async fn ping(&self) -> Result<(), RecordError> { todo!() }
}

/// The engine's state at a position of the log; the bytes are its own business.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineSnapshot { pub position: domain::LogPosition, pub state: Vec<u8> }
