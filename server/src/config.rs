//! Configuration: one TOML file, overridden by environment variables, closed.
//!
//! A key that nobody reads is an error that names the file and the line. `SUNSHINE_HTTP__LISTEN=…`
//! overrides `[http] listen`; a variable that fits no option is an error too. Secrets never stand in
//! either: they come from files.

mod messages;
mod sections;
mod timeseries;

use std::path::{Path, PathBuf};

use messages::{Cases, Messages};
use sections::{
    Cameras, DataDir, Evidence, Http, IngestConfig, IntakeConfig, JournalConfig, Mqtt, Rules, Series,
    Shutdown, Site,
};
pub(crate) use sections::{Service, Vision};
use serde::Deserialize;
pub(crate) use timeseries::TimeSeriesConfig;

/// The prefix of environment variables that override options.
const ENV_PREFIX: &str = "SUNSHINE_";

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
    pub(crate) timeseries: TimeSeriesConfig,
    pub(crate) ingest: IngestConfig,
    pub(crate) intake: IntakeConfig,
    pub(crate) rules: Rules,
    pub(crate) cameras: Cameras,
    pub(crate) vision: Vision,
    pub(crate) evidence: Evidence,
    pub(crate) cases: Cases,
    pub(crate) messages: Messages,
    pub(crate) shutdown: Shutdown,
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

    /// Every number with bounds: its name, its value, the least and the most allowed.
    fn ranges(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> {
        self.sensor_ranges()
            .into_iter()
            .chain(self.series_ranges())
            .chain(self.picture_ranges())
            .chain(self.timeseries.ranges())
    }

    fn picture_ranges(&self) -> [(&'static str, u64, u64, u64); 10] {
        let (cameras, vision, evidence) = (&self.cameras, &self.vision, &self.evidence);
        [
            ("cameras.ring_s", cameras.ring_s, 12, 120),
            ("cameras.ring_mib", cameras.ring_mib as u64, 1, 256),
            ("cameras.viewers", cameras.viewers as u64, 0, 10_000),
            (
                "cameras.viewers_per_camera",
                cameras.viewers_per_camera as u64,
                0,
                10_000,
            ),
            ("vision.workers", vision.workers as u64, 1, 64),
            ("vision.hang_limit_s", vision.hang_limit_s, 5, 600),
            ("vision.forced_look_s", vision.forced_look_s, 1, 60),
            ("evidence.disk_cap_mib", evidence.disk_cap_mib, 64, 1 << 24),
            ("evidence.before_s", evidence.before_s, 0, 10),
            ("evidence.after_s", evidence.after_s, 0, 30),
        ]
    }

    fn sensor_ranges(&self) -> [(&'static str, u64, u64, u64); 21] {
        let whole = |n: i64| u64::try_from(n).unwrap_or(0);
        let (journal, mqtt) = (&self.journal, &self.mqtt);
        [
            ("journal.segment_mib", journal.segment_mib, 1, 1024),
            (
                "journal.capacity_mib",
                journal.capacity_mib,
                4 * journal.segment_mib,
                1 << 24,
            ),
            ("journal.commit_interval_ms", journal.commit_interval_ms, 0, 100),
            ("journal.commit_kib", journal.commit_kib as u64, 1, 16_384),
            ("journal.queue_mib", journal.queue_mib as u64, 1, 1024),
            (
                "ingest.future_limit_s",
                whole(self.ingest.future_limit_s),
                1,
                86_400,
            ),
            (
                "intake.requests_per_second",
                u64::from(self.intake.requests_per_second),
                0,
                1_000_000,
            ),
            ("mqtt.packet_bytes", u64::from(mqtt.packet_bytes), 1024, 16 << 20),
            (
                "mqtt.publishes_per_second",
                u64::from(mqtt.publishes_per_second),
                0,
                10_000_000,
            ),
            ("mqtt.inflight", u64::from(mqtt.inflight), 1, 65_535),
            ("mqtt.connections", mqtt.connections as u64, 1, 100_000),
            (
                "mqtt.connections_per_identity",
                mqtt.connections_per_identity as u64,
                1,
                100_000,
            ),
            (
                "mqtt.queued_bytes_per_subscriber",
                mqtt.queued_bytes_per_subscriber as u64,
                65_536,
                1 << 30,
            ),
            ("mqtt.first_packet_timeout_s", mqtt.first_packet_timeout_s, 1, 300),
            (
                "mqtt.subscriptions_per_session",
                mqtt.subscriptions_per_session as u64,
                1,
                10_000,
            ),
            ("mqtt.keep_alive_s", u64::from(mqtt.keep_alive_s), 1, 65_535),
            ("mqtt.session_expiry_s", mqtt.session_expiry_s, 0, 31_536_000),
            (
                "mqtt.retained_messages",
                mqtt.retained_messages as u64,
                0,
                10_000_000,
            ),
            ("mqtt.retained_bytes", mqtt.retained_bytes as u64, 0, 1 << 34),
            ("mqtt.parked_sessions", mqtt.parked_sessions as u64, 1, 1_000_000),
            ("shutdown.deadline_s", self.shutdown.deadline_s, 1, 600),
        ]
    }

    fn series_ranges(&self) -> [(&'static str, u64, u64, u64); 7] {
        let series = &self.series;
        let flush_age_s = u64::try_from(series.flush_age_s).unwrap_or(0);
        [
            ("series.shards", series.shards as u64, 1, 256),
            (
                "series.flush_readings",
                series.flush_readings as u64,
                1000,
                10_000_000,
            ),
            ("series.flush_age_s", flush_age_s, 1, 86_400),
            ("series.max_series", u64::from(series.max_series), 1, 10_000_000),
            ("series.raw_days", u64::from(series.raw_days), 0, 36_500),
            ("series.minute_days", u64::from(series.minute_days), 0, 36_500),
            ("series.hour_days", u64::from(series.hour_days), 0, 36_500),
        ]
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
        for (option, value, low, high) in self.ranges() {
            if !(low..=high).contains(&value) {
                return refuse(option, format!("{value} is not between {low} and {high}"));
            }
        }
        self.timeseries.check()?;
        let (local, raw) = (self.timeseries.local_days, u64::from(self.series.raw_days));
        if self.timeseries.is_primary() && raw > 0 && local > raw {
            return refuse(
                "timeseries.local_days",
                format!("{local} days are not kept here; series.raw_days is {raw}: give at most that many"),
            );
        }
        self.cases.check()?;
        self.messages.check()?;
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

/// The process's own variables that start with `SUNSHINE_`.
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
            ("[timeseries]\nbackend = \"influxdb2\"", "option timeseries.url"),
            (
                "[timeseries]\nbackend = \"influxdb2\"\nurl = \"http://h:8086\"",
                "option timeseries.organisation",
            ),
            (
                "[timeseries]\nbackend = \"victoriametrics\"\nurl = \"http://u:p@h:8428\"",
                "token_file",
            ),
            ("[timeseries]\nmode = \"mirror\"", "option timeseries.mode"),
            (
                "[timeseries]\nbackend = \"victoriametrics\"\nurl = \"http://h:8428\"\nlocal_days = 91",
                "series.raw_days is 90",
            ),
            ("[timeseries]\njournal_percent = 90", "between 1 and 80"),
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
