//! What an integrator asks of a device: did it arrive, and if not, why not?

use crate::{
    id::{DeviceId, FacilityId, IdentityName},
    time::UtcMillis,
};

/// The most of a payload that is ever shown or kept for show, in bytes.
pub const EXCERPT_BYTES: usize = 256;

/// Cuts `payload` to [`EXCERPT_BYTES`] and makes it printable: control characters and broken UTF-8
/// become `\u{fffd}`.
#[must_use]
pub fn excerpt(payload: &[u8]) -> String {
    let cut = &payload[..payload.len().min(EXCERPT_BYTES)];
    String::from_utf8_lossy(cut)
        .chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// A device was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The facility.
    pub facility: FacilityId,
    /// The device.
    pub device: DeviceId,
    /// When the log took in its last message.
    pub received: UtcMillis,
    /// The topic of that message.
    pub topic: String,
    /// The beginning of that message, printable.
    pub payload: String,
    /// Messages heard in this batch.
    pub messages: u32,
    /// Readings that came of them.
    pub readings: u32,
    /// Readings whose time had to be replaced by the moment of receipt.
    pub doubtful_times: u32,
}

/// Why a payload was not understood. Each is counted under its [`RejectReason::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// The topic is not one that carries readings.
    Topic,
    /// The payload is neither JSON, nor SenML, nor a number.
    Syntax,
    /// It is JSON, but not of a form that is known.
    Shape,
    /// The value is not a finite number.
    Value,
    /// The time is not milliseconds since 1970 and not RFC 3339.
    Time,
    /// The unit does not measure what the metric measures.
    Unit,
    /// A metric's name is not a valid identifier.
    Metric,
    /// The payload is too large or holds too many values.
    Size,
    /// The store holds as many series as it may.
    TooManySeries,
    /// The value lies outside of what the sensor can measure: the sensor is broken, not the kitchen.
    Range,
    /// A message rests on another one that was not received, such as a Sparkplug birth certificate.
    Missing,
}

impl RejectReason {
    /// Every reason, for counters and tables.
    pub const ALL: [RejectReason; 11] = [
        RejectReason::Topic,
        RejectReason::Syntax,
        RejectReason::Shape,
        RejectReason::Value,
        RejectReason::Time,
        RejectReason::Unit,
        RejectReason::Metric,
        RejectReason::Size,
        RejectReason::TooManySeries,
        RejectReason::Range,
        RejectReason::Missing,
    ];

    /// The name in metrics and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            RejectReason::Topic => "topic",
            RejectReason::Syntax => "syntax",
            RejectReason::Shape => "shape",
            RejectReason::Value => "value",
            RejectReason::Time => "time",
            RejectReason::Unit => "unit",
            RejectReason::Metric => "metric",
            RejectReason::Size => "size",
            RejectReason::TooManySeries => "too_many_series",
            RejectReason::Range => "range",
            RejectReason::Missing => "missing",
        }
    }
}

/// A payload that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The facility.
    pub facility: FacilityId,
    /// The device.
    pub device: DeviceId,
    /// When the log took it in.
    pub received: UtcMillis,
    /// The topic.
    pub topic: String,
    /// Why, for counting.
    pub reason: RejectReason,
    /// Why, in words, with what to do about it.
    pub detail: String,
    /// The beginning of the payload, printable.
    pub excerpt: String,
}

/// Why the broker turned a client or a message away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusalReason {
    /// No identity of that name, or the wrong secret.
    BadCredentials,
    /// The identity's time is over.
    Expired,
    /// The identity was revoked.
    Revoked,
    /// No user name where one is needed.
    Anonymous,
    /// A publish outside the identity's own topics.
    PublishDenied,
    /// A subscription outside what the identity may read.
    SubscribeDenied,
    /// A will outside the identity's own topics.
    WillDenied,
    /// A client identifier that another identity holds.
    ClientIdTaken,
    /// More connections than allowed, for this identity or in all.
    TooManyConnections,
    /// More messages per second than allowed.
    TooFast,
    /// A packet larger than allowed.
    PacketTooLarge,
    /// Not MQTT, or MQTT that breaks the standard.
    Protocol,
    /// Nothing was said in time.
    Timeout,
    /// A body over HTTP that nothing can be made of.
    BadBody,
    /// A signed request whose time is too far from ours.
    ClockWrong,
}

impl RefusalReason {
    /// Every reason, for counters and tables.
    pub const ALL: [RefusalReason; 15] = [
        RefusalReason::BadCredentials,
        RefusalReason::Expired,
        RefusalReason::Revoked,
        RefusalReason::Anonymous,
        RefusalReason::PublishDenied,
        RefusalReason::SubscribeDenied,
        RefusalReason::WillDenied,
        RefusalReason::ClientIdTaken,
        RefusalReason::TooManyConnections,
        RefusalReason::TooFast,
        RefusalReason::PacketTooLarge,
        RefusalReason::Protocol,
        RefusalReason::Timeout,
        RefusalReason::BadBody,
        RefusalReason::ClockWrong,
    ];

    /// The name in metrics and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            RefusalReason::BadCredentials => "bad_credentials",
            RefusalReason::Expired => "expired",
            RefusalReason::Revoked => "revoked",
            RefusalReason::Anonymous => "anonymous",
            RefusalReason::PublishDenied => "publish_denied",
            RefusalReason::SubscribeDenied => "subscribe_denied",
            RefusalReason::WillDenied => "will_denied",
            RefusalReason::ClientIdTaken => "client_id_taken",
            RefusalReason::TooManyConnections => "too_many_connections",
            RefusalReason::TooFast => "too_fast",
            RefusalReason::PacketTooLarge => "packet_too_large",
            RefusalReason::Protocol => "protocol",
            RefusalReason::Timeout => "timeout",
            RefusalReason::BadBody => "bad_body",
            RefusalReason::ClockWrong => "clock_wrong",
        }
    }
}

/// The broker turned a client or a message away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who it said it was; `None` before it said so, or when the name is not a valid one.
    pub identity: Option<IdentityName>,
    /// When.
    pub at: UtcMillis,
    /// Why, for counting.
    pub reason: RefusalReason,
    /// Why, in words: the topic or filter, bounded; never a secret.
    pub detail: String,
}

/// How forwarding to another time-series server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardState {
    /// Nothing was sent yet.
    #[default]
    Starting,
    /// The server takes what it is sent.
    Flowing,
    /// It cannot be reached, or does not answer in time.
    Unreachable,
    /// It says "not now".
    Busy,
    /// It refuses the token.
    Denied,
    /// It knows no such bucket or address.
    NoPlace,
    /// It refuses whatever it is sent.
    Refusing,
    /// Our own records cannot be written.
    Stuck,
}

impl ForwardState {
    /// Every state, for tables.
    pub const ALL: [ForwardState; 8] = [
        ForwardState::Starting,
        ForwardState::Flowing,
        ForwardState::Unreachable,
        ForwardState::Busy,
        ForwardState::Denied,
        ForwardState::NoPlace,
        ForwardState::Refusing,
        ForwardState::Stuck,
    ];

    /// The name in metrics and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            ForwardState::Starting => "starting",
            ForwardState::Flowing => "flowing",
            ForwardState::Unreachable => "unreachable",
            ForwardState::Busy => "busy",
            ForwardState::Denied => "denied",
            ForwardState::NoPlace => "no_place",
            ForwardState::Refusing => "refusing",
            ForwardState::Stuck => "stuck",
        }
    }

    /// Whether it lasts until a person does something: waiting does not help.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        matches!(
            self,
            ForwardState::Denied | ForwardState::NoPlace | ForwardState::Refusing | ForwardState::Stuck
        )
    }
}

/// What is the matter with forwarding now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForwardCondition {
    /// How it stands.
    pub state: ForwardState,
    /// Since when; `None` before anything was sent.
    pub since: Option<UtcMillis>,
    /// What the server said, bounded; `None` while all is well.
    pub detail: Option<String>,
    /// When it is tried again.
    pub again_at: Option<UtcMillis>,
}

/// Figures of forwarding to another time-series server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForwardStats {
    /// Which kind of server.
    pub backend: &'static str,
    /// Whether long charts are read from there too.
    pub primary: bool,
    /// What is the matter.
    pub condition: ForwardCondition,
    /// Lines that it took since start.
    pub lines: u64,
    /// Requests that it took since start.
    pub requests: u64,
    /// Requests that were tried again since start.
    pub retries: u64,
    /// Dead letters now.
    pub letters: u64,
    /// Dead letters that were dropped because there were too many.
    pub letters_dropped: u64,
    /// Bytes of the log that it has not yet.
    pub lag_bytes: u64,
    /// The most bytes of the log that are held for it.
    pub held_bytes_max: u64,
    /// Readings that were passed over because the log could hold no more, and are yet to be sent from the embedded
    /// store.
    pub owed_readings: u64,
    /// Stretches of time that are yet to be sent from the embedded store: those of these readings, and the history of a
    /// server that is new.
    pub owed_spans: u64,
}

/// Figures of a running system, gathered for `/api/v1/stats`, `/readyz` and `/metrics`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SystemStats {
    /// Records the log has accepted since start.
    pub records_accepted: u64,
    /// Readings stored and queryable since start.
    pub readings_stored: u64,
    /// Payloads rejected since start, per reason.
    pub rejects: Vec<(&'static str, u64)>,
    /// Clients and messages turned away since start, per reason.
    pub refusals: Vec<(&'static str, u64)>,
    /// Bytes in the log that ingest has not yet read.
    pub lag_bytes: u64,
    /// Age of the oldest record ingest has not yet read, in milliseconds.
    pub lag_ms: i64,
    /// MQTT connections now.
    pub connections: u64,
    /// Series known.
    pub series: u64,
    /// Bytes the log occupies.
    pub journal_bytes: u64,
    /// The most bytes the log may occupy.
    pub journal_capacity_bytes: u64,
    /// Journal syncs since start.
    pub journal_syncs: u64,
    /// Free share of the data disk, 0 to 1.
    pub disk_free_ratio: f64,
    /// Why the log takes nothing in; `None` when it does.
    pub journal_fault: Option<String>,
    /// Forwarding to another time-series server; `None` where nothing is forwarded.
    pub forward: Option<ForwardStats>,
    /// Why readings cannot be written from memory to disk; `None` when they can.
    pub series_fault: Option<String>,
    /// Damaged files of minutes or hours that were set aside and lie there until somebody removes them.
    pub series_files_aside: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_bounded_and_printable() {
        assert_eq!(excerpt(b"{\"v\":4.1}"), "{\"v\":4.1}");
        assert_eq!(excerpt(b"a\x00\x1b[31mb"), "a\u{fffd}\u{fffd}[31mb");
        assert_eq!(excerpt(&[b'x'; 5000]).len(), EXCERPT_BYTES);
        assert!(excerpt(&[0xff; 4]).starts_with('\u{fffd}'));
    }
}
