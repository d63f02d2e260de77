//! Configuration: one TOML file, overridden by environment variables, closed.
//!
//! A key that nobody reads is an error that names the file and the line. `SUNSHINE_HTTP__LISTEN=…`
//! overrides `[http] listen`; a variable that fits no option is an error too. Secrets never stand in
//! either: they come from files.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use domain::{IdentityName, RegionId};
use serde::Deserialize;

/// The prefix of environment variables that override options.
pub const ENV_PREFIX: &str = "SUNSHINE_";

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}; name a readable file with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a key or a value that does not belong.
    #[error("{}: {source}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// An environment variable fits no option, or its value does not fit.
    #[error("environment variable {name}: {reason}")]
    Environment {
        /// The variable.
        name: String,
        /// Why it is refused.
        reason: String,
    },
    /// A value that is understood, but not allowed.
    #[error("option {option}: {reason}")]
    Refused {
        /// The option, as `section.key`.
        option: &'static str,
        /// Why, and what to do.
        reason: String,
    },
}

/// The whole configuration. Every option has a default; `sunshine.example.toml` shows them all.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept. Default `sunshine-data`, relative to the working directory.
    pub(crate) data_dir: DataDir,
    pub(crate) site: Site,
    pub(crate) http: Http,
    pub(crate) mqtt: Mqtt,
    pub(crate) journal: JournalConfig,
    pub(crate) series: Series,
    pub(crate) ingest: IngestConfig,
    pub(crate) rules: Rules,
    pub(crate) shutdown: Shutdown,
}

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
}

impl Default for Series {
    fn default() -> Self {
        Series {
            shards: 16,
            flush_readings: 200_000,
            flush_age_s: 900,
            max_series: 200_000,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IngestConfig {
    pub(crate) future_limit_s: i64,
}

impl Default for IngestConfig {
    fn default() -> Self {
        IngestConfig { future_limit_s: 300 }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    pub(crate) packs: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        let packs = ["cn-canteen", "fire-gas", "environment", "system"];
        Rules {
            packs: packs.map(String::from).to_vec(),
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

/// Where environment variables come from: the process, or a list in a test.
pub type Environment = Vec<(String, String)>;

impl Config {
    /// Reads `path` (defaults when `None`), lets `environment` override it, and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and line, the variable or the option, and what to do.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Config, ConfigError> {
        let mut table = toml::Table::new();
        if let Some(path) = path {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                path: path.into(),
                source,
            })?;
            let invalid = |source| ConfigError::Invalid {
                path: path.into(),
                source: Box::new(source),
            };
            // Once for the message with its line, once for the table that variables are laid over.
            toml::from_str::<Config>(&text).map_err(invalid)?;
            table = toml::from_str(&text).map_err(invalid)?;
        }
        for (name, value) in environment {
            overlay(&mut table, name, value)?;
        }
        let config: Config = table.try_into().map_err(|e: toml::de::Error| {
            let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
            ConfigError::Environment {
                name: names.join(", "),
                reason: e.message().to_owned(),
            }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option, reason: String| Err(ConfigError::Refused { option, reason });
        if !self.http.listen.ip().is_loopback() {
            return refuse(
                "http.listen",
                format!(
                    "{} is reachable from other machines, and there is no sign-in yet; use 127.0.0.1 or [::1]",
                    self.http.listen
                ),
            );
        }
        let ranges: [(&'static str, u64, u64, u64); 13] = [
            ("journal.segment_mib", self.journal.segment_mib, 1, 1024),
            (
                "journal.capacity_mib",
                self.journal.capacity_mib,
                4 * self.journal.segment_mib,
                1 << 24,
            ),
            (
                "journal.commit_interval_ms",
                self.journal.commit_interval_ms,
                0,
                100,
            ),
            ("journal.commit_kib", self.journal.commit_kib as u64, 1, 16_384),
            ("journal.queue_mib", self.journal.queue_mib as u64, 1, 1024),
            ("series.shards", self.series.shards as u64, 1, 256),
            (
                "series.flush_readings",
                self.series.flush_readings as u64,
                1000,
                10_000_000,
            ),
            (
                "series.flush_age_s",
                self.series.flush_age_s.try_into().unwrap_or(0),
                1,
                86_400,
            ),
            (
                "series.max_series",
                u64::from(self.series.max_series),
                1,
                10_000_000,
            ),
            (
                "ingest.future_limit_s",
                self.ingest.future_limit_s.try_into().unwrap_or(0),
                1,
                86_400,
            ),
            (
                "mqtt.packet_bytes",
                u64::from(self.mqtt.packet_bytes),
                1024,
                16 << 20,
            ),
            ("mqtt.connections", self.mqtt.connections as u64, 1, 100_000),
            ("shutdown.deadline_s", self.shutdown.deadline_s, 1, 600),
        ];
        for (option, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return refuse(option, format!("{value} is not between {low} and {high}"));
            }
        }
        if let Some(name) = &self.mqtt.anonymous_as {
            if !self.mqtt.listen.ip().is_loopback() {
                return refuse(
                    "mqtt.anonymous_as",
                    format!(
                        "{} is reachable from other machines; listen on 127.0.0.1",
                        self.mqtt.listen
                    ),
                );
            }
            if !self.mqtt.service.iter().any(|s| s.name == *name) {
                return refuse(
                    "mqtt.anonymous_as",
                    format!("there is no [[mqtt.service]] named {name}"),
                );
            }
        }
        Ok(())
    }
}

fn overlay(table: &mut toml::Table, name: &str, value: &str) -> Result<(), ConfigError> {
    let path = name.strip_prefix(ENV_PREFIX).unwrap_or(name).to_ascii_lowercase();
    let wrong = |reason: &str| ConfigError::Environment {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let mut at = table;
    let keys: Vec<&str> = path.split("__").collect();
    let (last, sections) = keys.split_last().ok_or_else(|| wrong("it names no option"))?;
    for section in sections {
        at = at
            .entry(*section)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| wrong("it goes through an option that is no section"))?;
    }
    // `8080`, `true` and `["a"]` are taken as TOML writes them; anything else is text.
    let parsed = toml::from_str::<toml::Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut t| t.remove("v"));
    let value = parsed.unwrap_or_else(|| toml::Value::String(value.to_owned()));
    at.insert((*last).to_owned(), value);
    Ok(())
}

/// The process's own variables that start with [`ENV_PREFIX`].
#[must_use]
pub fn process_environment() -> Environment {
    std::env::vars()
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sunshine.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Config::load(Some(&path), &environment).map_err(|e| e.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_and_line() {
        let refused = load("data_dir = \"x\"\n[http]\nlisten_on = \"127.0.0.1:1\"\n", &[]).unwrap_err();
        for part in ["sunshine.toml", "line 3", "listen_on"] {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn the_environment_overrides_and_is_closed_too() {
        let config = load(
            "[http]\nlisten = \"127.0.0.1:1\"\n",
            &[("SUNSHINE_HTTP__LISTEN", "127.0.0.1:9")],
        );
        assert_eq!(config.unwrap().http.listen.port(), 9);
        let config = load("", &[("SUNSHINE_JOURNAL__SEGMENT_MIB", "8")]).unwrap();
        assert_eq!(config.journal.segment_mib, 8);
        let refused = load("", &[("SUNSHINE_HTTP__LISTN", "127.0.0.1:9")]).unwrap_err();
        assert!(
            refused.contains("SUNSHINE_HTTP__LISTN") && refused.contains("listn"),
            "{refused}"
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused_with_their_range() {
        let cases = [
            ("[http]\nlisten = \"0.0.0.0:8080\"", "no sign-in yet"),
            ("[journal]\nsegment_mib = 0", "between 1 and 1024"),
            ("[journal]\ncapacity_mib = 1", "between 128 and"),
            (
                "[mqtt]\nanonymous_as = \"tool\"",
                "no [[mqtt.service]] named tool",
            ),
            (
                "[mqtt]\nlisten = \"0.0.0.0:1883\"\nanonymous_as = \"tool\"",
                "reachable from other machines",
            ),
            ("[shutdown]\ndeadline_s = 0", "between 1 and 600"),
        ];
        for (text, want) in cases {
            let refused = load(text, &[]).unwrap_err();
            assert!(refused.contains(want), "{text}: {refused}");
        }
    }

    #[test]
    fn the_example_file_is_the_default_configuration() {
        let text = include_str!("../../sunshine.example.toml");
        let example: Config = toml::from_str(text).unwrap();
        let default = Config::default();
        assert_eq!(format!("{example:?}"), format!("{default:?}"));
        // What is commented out in the example must be understood once the comment sign goes.
        let all: String = text
            .lines()
            .map(|l| l.strip_prefix("#: ").unwrap_or(l))
            .fold(String::new(), |t, l| t + l + "\n");
        assert!(
            toml::from_str::<Config>(&all).is_ok(),
            "{:?}",
            toml::from_str::<Config>(&all).err()
        );
    }
}
