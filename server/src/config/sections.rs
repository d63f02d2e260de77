//! The sections of the configuration file and their defaults. `sunshine.example.toml` documents every option
//! with its range and unit; a test holds the two together.

use std::{net::SocketAddr, path::PathBuf};

use domain::{IdentityName, RegionId};
use serde::Deserialize;

/// A folder, `sunshine-data` by default.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct DataDir(pub(crate) PathBuf);

impl Default for DataDir {
    fn default() -> Self {
        DataDir("sunshine-data".into())
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Site {
    pub(crate) name_zh: String,
    pub(crate) name_en: String,
    pub(crate) time_zone: String,
    /// The region that a facility without one of its own lies in.
    pub(crate) region: RegionId,
}

impl Default for Site {
    fn default() -> Self {
        Site {
            name_zh: "阳光厨房".into(),
            name_en: "Sunshine Kitchen".into(),
            time_zone: "Asia/Shanghai".into(),
            region: RegionId::new("district").expect("a constant that is a valid identifier"),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mqtt {
    pub(crate) listen: SocketAddr,
    pub(crate) anonymous_as: Option<IdentityName>,
    pub(crate) packet_bytes: u32,
    pub(crate) publishes_per_second: u32,
    pub(crate) inflight: u16,
    pub(crate) connections: usize,
    pub(crate) connections_per_identity: usize,
    pub(crate) queued_bytes_per_subscriber: usize,
    pub(crate) first_packet_timeout_s: u64,
    pub(crate) subscriptions_per_session: usize,
    pub(crate) session_expiry_s: u64,
    pub(crate) keep_alive_s: u16,
    pub(crate) retained_messages: usize,
    pub(crate) retained_bytes: usize,
    pub(crate) parked_sessions: usize,
    pub(crate) service: Vec<Service>,
}

impl Default for Mqtt {
    fn default() -> Self {
        let limits = broker::Limits::default();
        Mqtt {
            listen: SocketAddr::from(([127, 0, 0, 1], 1883)),
            anonymous_as: None,
            packet_bytes: limits.packet_bytes,
            publishes_per_second: limits.publishes_per_second,
            inflight: limits.inflight,
            connections: limits.connections,
            connections_per_identity: limits.connections_per_identity,
            queued_bytes_per_subscriber: limits.queued_bytes_per_subscriber,
            first_packet_timeout_s: limits.first_packet_timeout.as_secs(),
            subscriptions_per_session: limits.subscriptions_per_session,
            session_expiry_s: limits.session_expiry.as_secs(),
            keep_alive_s: limits.keep_alive_seconds,
            retained_messages: limits.retained_messages,
            retained_bytes: limits.retained_bytes,
            parked_sessions: limits.parked_sessions,
            service: Vec::new(),
        }
    }
}

impl Mqtt {
    pub(crate) fn limits(&self) -> broker::Limits {
        broker::Limits {
            packet_bytes: self.packet_bytes,
            publishes_per_second: self.publishes_per_second,
            inflight: self.inflight,
            connections: self.connections,
            connections_per_identity: self.connections_per_identity,
            queued_bytes_per_subscriber: self.queued_bytes_per_subscriber,
            first_packet_timeout: std::time::Duration::from_secs(self.first_packet_timeout_s),
            subscriptions_per_session: self.subscriptions_per_session,
            session_expiry: std::time::Duration::from_secs(self.session_expiry_s),
            keep_alive_seconds: self.keep_alive_s,
            retained_messages: self.retained_messages,
            retained_bytes: self.retained_bytes,
            parked_sessions: self.parked_sessions,
        }
    }
}

/// A service identity: a bridge, a wall display, a load generator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) name: IdentityName,
    #[serde(default)]
    pub(crate) publish: Vec<String>,
    #[serde(default)]
    pub(crate) subscribe: Vec<String>,
    /// The file whose first line is the secret. Without one, only `anonymous_as` reaches this identity.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JournalConfig {
    pub(crate) segment_mib: u64,
    pub(crate) capacity_mib: u64,
    pub(crate) commit_interval_ms: u64,
    pub(crate) commit_kib: usize,
    pub(crate) queue_mib: usize,
}

impl Default for JournalConfig {
    fn default() -> Self {
        JournalConfig {
            segment_mib: 32,
            capacity_mib: 4096,
            commit_interval_ms: 2,
            commit_kib: 64,
            queue_mib: 32,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Series {
    pub(crate) shards: usize,
    pub(crate) flush_readings: usize,
    pub(crate) flush_age_s: i64,
    pub(crate) max_series: u32,
    pub(crate) raw_days: u32,
    pub(crate) minute_days: u32,
    pub(crate) hour_days: u32,
}

impl Default for Series {
    fn default() -> Self {
        Series {
            shards: 16,
            flush_readings: 32_768,
            flush_age_s: 3600,
            max_series: 200_000,
            raw_days: 90,
            minute_days: 365,
            hour_days: 0,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IngestConfig {
    pub(crate) future_limit_s: i64,
    /// A folder of the operator's own profiles.
    pub(crate) profiles_dir: Option<PathBuf>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig {
            future_limit_s: 300,
            profiles_dir: None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IntakeConfig {
    /// Where readings come by HTTP; nowhere without it.
    pub(crate) listen: Option<SocketAddr>,
    /// How many requests one identity may send in a second; 0 for no bound.
    pub(crate) requests_per_second: u32,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        IntakeConfig {
            listen: None,
            requests_per_second: 100,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    pub(crate) packs: Vec<String>,
    pub(crate) region: Vec<RegionRules>,
}

/// The packs of one region and of those within it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegionRules {
    pub(crate) id: domain::RegionId,
    pub(crate) packs: Vec<String>,
}

impl Rules {
    /// Every pack that some region has chosen, each once.
    pub(crate) fn all_packs(&self) -> Vec<String> {
        let mut packs = self.packs.clone();
        for pack in self.region.iter().flat_map(|r| &r.packs) {
            if !packs.contains(pack) {
                packs.push(pack.clone());
            }
        }
        packs
    }
}

impl Default for Rules {
    fn default() -> Self {
        let packs = ["cn-canteen", "fire-gas", "environment", "vision", "system"];
        Rules {
            packs: packs.map(String::from).to_vec(),
            region: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cameras {
    pub(crate) allowed_networks: Vec<String>,
    pub(crate) ring_s: u64,
    pub(crate) ring_mib: usize,
    pub(crate) viewers: usize,
    pub(crate) viewers_per_camera: usize,
}

impl Default for Cameras {
    fn default() -> Self {
        let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
        Cameras {
            allowed_networks: private.map(String::from).to_vec(),
            ring_s: 15,
            ring_mib: 16,
            viewers: 256,
            viewers_per_camera: 64,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Vision {
    pub(crate) enabled: bool,
    /// ONNX Runtime's shared library; where `scripts/get-onnxruntime.sh` puts it when there is none.
    pub(crate) onnxruntime_library: Option<PathBuf>,
    /// A folder of the operator's own models.
    pub(crate) models_dir: Option<PathBuf>,
    pub(crate) workers: usize,
    pub(crate) hang_limit_s: u64,
    pub(crate) forced_look_s: u64,
}

impl Default for Vision {
    fn default() -> Self {
        Vision {
            enabled: true,
            onnxruntime_library: None,
            models_dir: None,
            workers: 1,
            hang_limit_s: 60,
            forced_look_s: 3,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Evidence {
    pub(crate) disk_cap_mib: u64,
    pub(crate) before_s: u64,
    pub(crate) after_s: u64,
}

impl Default for Evidence {
    fn default() -> Self {
        Evidence {
            disk_cap_mib: 20_480,
            before_s: 5,
            after_s: 5,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shutdown {
    pub(crate) deadline_s: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { deadline_s: 20 }
    }
}
