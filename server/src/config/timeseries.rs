//! `[timeseries]`: another time-series server beside the embedded store.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use serde::Deserialize;
use store::{Remote, RemoteKind, RemoteOptions, Token};

use super::ConfigError;

/// Who answers what the embedded store no longer has.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backend {
    Embedded,
    InfluxDb2,
    VictoriaMetrics,
}

/// What the other server is for.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Long charts are read from it.
    Primary,
    /// It gets everything, and nothing is read from it.
    Mirror,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TimeSeriesConfig {
    pub(crate) backend: Backend,
    pub(crate) mode: Mode,
    pub(crate) url: Option<String>,
    pub(crate) read_url: Option<String>,
    pub(crate) organisation: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout_s: u64,
    pub(crate) local_days: u64,
    pub(crate) retention_days: u64,
    pub(crate) journal_percent: u64,
}

impl Default for TimeSeriesConfig {
    fn default() -> Self {
        TimeSeriesConfig {
            backend: Backend::Embedded,
            mode: Mode::Primary,
            url: None,
            read_url: None,
            organisation: None,
            bucket: None,
            token_file: None,
            ca_file: None,
            timeout_s: 30,
            local_days: 90,
            retention_days: 0,
            journal_percent: 50,
        }
    }
}

impl TimeSeriesConfig {
    pub(super) fn ranges(&self) -> [(&'static str, u64, u64, u64); 4] {
        [
            ("timeseries.timeout_s", self.timeout_s, 1, 300),
            ("timeseries.local_days", self.local_days, 1, 36_500),
            ("timeseries.retention_days", self.retention_days, 0, 20_000),
            ("timeseries.journal_percent", self.journal_percent, 1, 80),
        ]
    }

    /// Whether readings are sent to another server.
    pub(crate) fn is_forwarding(&self) -> bool {
        self.backend != Backend::Embedded
    }

    /// Whether long charts are read from the other server.
    pub(crate) fn is_primary(&self) -> bool {
        self.is_forwarding() && self.mode == Mode::Primary
    }

    /// Questions that reach back further than this go to the other server, in milliseconds.
    pub(crate) fn local_ms(&self) -> i64 {
        i64::try_from(self.local_days)
            .unwrap_or(i64::MAX)
            .saturating_mul(86_400_000)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option, reason: &str| {
            Err(ConfigError::Refused {
                option,
                reason: reason.to_owned(),
            })
        };
        if self.backend == Backend::Embedded {
            return match self.mode {
                Mode::Primary => Ok(()),
                Mode::Mirror => refuse(
                    "timeseries.mode",
                    "there is nothing to mirror to; set timeseries.backend to influxdb2 or victoriametrics",
                ),
            };
        }
        if self.url.is_none() {
            return refuse("timeseries.url", "it is missing; give the server's address");
        }
        let named = |name: &Option<String>| name.as_ref().is_some_and(|name| !name.trim().is_empty());
        if self.backend == Backend::InfluxDb2 {
            if !named(&self.organisation) {
                return refuse(
                    "timeseries.organisation",
                    "it is missing; give the organisation's name",
                );
            }
            if !named(&self.bucket) {
                return refuse("timeseries.bucket", "it is missing; give the bucket's name");
            }
        }
        // The addresses, without the files that may not be readable by whoever checks.
        let checked = Remote::new(&self.options(None, None));
        checked
            .map(drop)
            .or_else(|e| refuse("timeseries.url", &e.to_string()))
    }

    /// The other server, if there is one. Connects to nothing.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Remote>> {
        if !self.is_forwarding() {
            return Ok(None);
        }
        let token = match &self.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| {
                    format!(
                        "cannot read timeseries.token_file {}; its content is the token",
                        path.display()
                    )
                })?;
                anyhow::ensure!(!text.trim().is_empty(), "{}: the file is empty", path.display());
                Some(Token::new(&text))
            }
            None => None,
        };
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| {
                format!(
                    "cannot read timeseries.ca_file {}; give a certificate in PEM",
                    path.display()
                )
            })
        };
        let authority = self.ca_file.as_ref().map(read).transpose()?;
        Ok(Some(Remote::new(&self.options(token, authority))?))
    }

    fn options(&self, token: Option<Token>, ca_pem: Option<Vec<u8>>) -> RemoteOptions {
        let kind = match self.backend {
            Backend::InfluxDb2 => RemoteKind::InfluxDb2 {
                organisation: self.organisation.clone().unwrap_or_default(),
                bucket: self.bucket.clone().unwrap_or_default(),
            },
            Backend::Embedded | Backend::VictoriaMetrics => RemoteKind::VictoriaMetrics,
        };
        RemoteOptions {
            kind,
            write_url: self.url.clone().unwrap_or_default(),
            read_url: self.read_url.clone(),
            token,
            ca_pem,
            timeout: Duration::from_secs(self.timeout_s),
        }
    }
}
