//! MQTT for devices. (API contract; replaced by the real thing.)
#![allow(missing_docs, clippy::todo, dead_code, unused_variables, clippy::needless_pass_by_value)]
use std::{net::SocketAddr, sync::Arc, time::Duration};
use domain::{Clock, Identity, IdentityName, status::Refusal};

/// Limits, each with a default (`Limits::default()`); documented with range and unit.
#[derive(Debug, Clone)]
pub struct Limits {
    pub packet_bytes: u32,
    pub publishes_per_second: u32,
    pub inflight: u16,
    pub connections: usize,
    pub connections_per_identity: usize,
    pub queued_bytes_per_subscriber: usize,
    pub first_packet_timeout: Duration,
    pub subscriptions_per_session: usize,
    pub session_expiry: Duration,
}
impl Default for Limits { fn default() -> Self { todo!() } }

#[derive(Debug, Clone)]
pub struct BrokerOptions {
    pub listen: SocketAddr,
    pub limits: Limits,
    /// On loopback only: clients without credentials act as this service identity. Off by default.
    pub anonymous_as: Option<IdentityName>,
    /// Where retained messages and persistent sessions are kept across restarts.
    pub dir: std::path::PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum BrokerError { #[error("x")] X }

/// Who may sign in. Owned by the server, shared with the broker; `replace` swaps the whole list and returns the names
/// whose live sessions must end (removed, revoked, expired or changed secret).
#[derive(Clone, Debug)]
pub struct IdentityDirectory;
impl IdentityDirectory {
    pub fn new(identities: Vec<Identity>) -> Self { todo!() }
    pub fn replace(&self, identities: Vec<Identity>) -> Vec<IdentityName> { todo!() }
}

/// A bound listener that does not serve yet.
pub struct Broker;
impl Broker {
    pub async fn bind(options: BrokerOptions, identities: IdentityDirectory, journal: journal::Journal, clock: Clock) -> Result<Broker, BrokerError> { todo!() }
    pub fn local_addr(&self) -> SocketAddr { todo!() }
    pub fn handle(&self) -> BrokerHandle { todo!() }
    /// Serves until `stop` is cancelled, then sends DISCONNECT, waits for pending acks (bounded) and returns.
    pub async fn run(self, stop: tokio_util::sync::CancellationToken) -> Result<(), BrokerError> { todo!() }
}

#[derive(Clone)]
pub struct BrokerHandle;
#[derive(Debug, Clone, Default)]
pub struct BrokerStats { pub connections: u64, pub sessions: u64, pub publishes: u64, pub refusals: Vec<(&'static str, u64)>, pub inflight_bytes: u64 }
impl BrokerHandle {
    /// Ends every live session of `identity` (v5 DISCONNECT 0x87) and drops its parked ones. Within 1 s.
    pub fn revoke(&self, identity: &IdentityName) { todo!() }
    /// Publishes from inside (commands to devices), through the journal like everything else.
    pub async fn publish(&self, topic: &str, payload: &[u8], retain: bool) -> Result<(), BrokerError> { todo!() }
    pub fn stats(&self) -> BrokerStats { todo!() }
    /// The latest refusals, newest last, at most 256.
    pub fn refusals(&self) -> Vec<Refusal> { todo!() }
}
