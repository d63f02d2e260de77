//! The live book of devices: last seen, last payload, what was rejected and why.
use domain::{Batch, DeviceId, FacilityId, Scope, UtcMillis, status::{Reject, RejectReason}};
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeviceStatus {
    pub last_seen: Option<UtcMillis>,
    pub last_topic: String,
    pub last_payload: String,
    pub messages: u64,
    pub readings: u64,
    pub doubtful_times: u64,
    pub online: Option<bool>,
    /// Newest last, at most 20.
    pub rejects: Vec<Reject>,
    pub reject_counts: Vec<(RejectReason, u64)>,
}
/// In memory, bounded by the number of devices; filled again from the log after a restart as far as the log reaches.
#[derive(Clone)]
pub struct DeviceBook;
impl DeviceBook {
    pub fn new() -> Self { todo!() }
    pub fn apply(&self, batch: &Batch) { todo!() }
    pub fn get(&self, scope: &Scope, facility: &FacilityId, device: &DeviceId) -> Option<DeviceStatus> { todo!() }
    /// Rejects since start, per reason.
    pub fn reject_totals(&self) -> Vec<(RejectReason, u64)> { todo!() }
}
