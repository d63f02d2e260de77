//! Whether the server can do its work now: what `/readyz` answers and what the pages warn of.

use domain::status::{ForwardState, SystemStats};

use crate::app::App;

/// Ingest is late when the oldest unread record is older than this, in milliseconds.
const LATE_MS: i64 = 30_000;
/// The disk is full for us when less than this share is free.
const LEAST_FREE: f64 = 0.02;

/// Something that keeps the server from its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The log takes nothing in: no message is acknowledged.
    Journal,
    /// Readings cannot be written from memory to disk: the log grows.
    Series,
    /// What arrives is not judged in time.
    Late,
    /// Little room is left on the disk.
    Disk,
    /// The record store does not answer.
    Records,
}

/// One reason, with its words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reason {
    pub(crate) trouble: Trouble,
    pub(crate) detail: String,
}

impl Trouble {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Trouble::Journal => "journal",
            Trouble::Series => "series",
            Trouble::Late => "lag",
            Trouble::Disk => "disk",
            Trouble::Records => "records",
        }
    }
}

/// What is the matter with forwarding that people should know. It keeps nobody from work here, so that `/readyz` does
/// not ask for it.
pub(crate) fn forward_trouble(stats: &SystemStats) -> Option<ForwardTrouble> {
    let forward = stats.forward.as_ref()?;
    if forward.owed_readings > 0 {
        return Some(ForwardTrouble::Owed(forward.owed_readings));
    }
    let half_full = forward.lag_bytes.saturating_mul(2) > forward.held_bytes_max;
    let state = forward.condition.state;
    (half_full || state.needs_a_person()).then_some(ForwardTrouble::State(state))
}

/// What is the matter with forwarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardTrouble {
    /// The log could hold no more: so many readings are to be sent from the embedded store.
    Owed(u64),
    /// A person must act, or the log fills up.
    State(ForwardState),
}

/// What the figures alone tell.
pub(crate) fn troubles(stats: &SystemStats) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(fault) = &stats.journal_fault {
        let detail = format!("the log takes nothing in: {fault}");
        reasons.push(Reason {
            trouble: Trouble::Journal,
            detail,
        });
    }
    if let Some(fault) = &stats.series_fault {
        let detail = format!("readings stay in memory and in the log, which grows: {fault}");
        reasons.push(Reason {
            trouble: Trouble::Series,
            detail,
        });
    }
    if stats.lag_ms > LATE_MS {
        let detail = format!(
            "the oldest unread record is {} s old; at most {} s is normal",
            stats.lag_ms / 1000,
            LATE_MS / 1000
        );
        reasons.push(Reason {
            trouble: Trouble::Late,
            detail,
        });
    }
    if stats.disk_free_ratio < LEAST_FREE {
        let detail = format!(
            "{:.1} % of the data disk is free; at least {:.0} % is needed: free some space",
            stats.disk_free_ratio * 100.0,
            LEAST_FREE * 100.0
        );
        reasons.push(Reason {
            trouble: Trouble::Disk,
            detail,
        });
    }
    reasons
}

impl App {
    /// Everything that keeps the server from its work; nothing when it is ready.
    pub(crate) async fn unready(&self) -> Vec<Reason> {
        let mut reasons = troubles(&(self.stores.stats)());
        if let Err(error) = self.stores.records.ping().await {
            tracing::warn!(%error, "the record store does not answer");
            let detail = "the record store does not answer; the cause is in the server's log".to_owned();
            reasons.push(Reason {
                trouble: Trouble::Records,
                detail,
            });
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarding_is_told_of_when_somebody_must_act_or_the_log_fills() {
        use domain::status::{ForwardCondition, ForwardStats};
        let told = |state, lag_bytes, owed_readings| {
            let forward = ForwardStats {
                condition: ForwardCondition {
                    state,
                    ..ForwardCondition::default()
                },
                lag_bytes,
                held_bytes_max: 100,
                owed_readings,
                ..ForwardStats::default()
            };
            forward_trouble(&SystemStats {
                forward: Some(forward),
                ..SystemStats::default()
            })
        };
        use ForwardState::{Denied, Flowing, Unreachable};
        assert_eq!(told(Flowing, 0, 0), None);
        assert_eq!(told(Unreachable, 40, 0), None, "it passes, and there is room");
        assert_eq!(told(Unreachable, 60, 0), Some(ForwardTrouble::State(Unreachable)));
        assert_eq!(told(Denied, 0, 0), Some(ForwardTrouble::State(Denied)));
        assert_eq!(told(Flowing, 0, 7), Some(ForwardTrouble::Owed(7)));
        assert_eq!(forward_trouble(&SystemStats::default()), None);
    }

    #[test]
    fn each_trouble_is_told() {
        let well = SystemStats {
            disk_free_ratio: 0.5,
            ..SystemStats::default()
        };
        assert_eq!(troubles(&well), []);
        let ill = SystemStats {
            journal_fault: Some("disk full".into()),
            series_fault: Some("no room on the disk".into()),
            lag_ms: 31_000,
            disk_free_ratio: 0.01,
            ..SystemStats::default()
        };
        let codes: Vec<_> = troubles(&ill).iter().map(|r| r.trouble.code()).collect();
        assert_eq!(codes, ["journal", "series", "lag", "disk"]);
    }
}
