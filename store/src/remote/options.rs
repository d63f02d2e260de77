//! Where the other database is, and how it is spoken to.

use std::{fmt, time::Duration};

use reqwest::Url;

/// Which server it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteKind {
    /// InfluxDB 2, through the crate `influxdb2`.
    InfluxDb2 {
        /// The organisation's name.
        organisation: String,
        /// The bucket's name.
        bucket: String,
    },
    /// VictoriaMetrics: one server, `vmauth`, `vmagent` or a cluster.
    VictoriaMetrics,
}

/// A secret that no log and no error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes a token; the blanks around it, which a file's last newline is one of, are left out.
    #[must_use]
    pub fn new(text: &str) -> Token {
        Token(text.trim().to_owned())
    }

    /// `text` without the token.
    pub(super) fn hide_in(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, "…")
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How the other database is spoken to.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// Which it is.
    pub kind: RemoteKind,
    /// Where lines are written: `http://host:8086`. For VictoriaMetrics with a path where there is one:
    /// `http://vminsert:8480/insert/0/influx`. InfluxDB's must have none, because the crate drops it.
    pub write_url: String,
    /// Where is read, if that is another address: `http://vmselect:8481/select/0/prometheus`.
    pub read_url: Option<String>,
    /// The token, if one is asked for.
    pub token: Option<Token>,
    /// The certificate of the authority that signs the server's, in PEM; without one the usual authorities count.
    pub ca_pem: Option<Vec<u8>>,
    /// The longest that one request may take, its answer included.
    pub timeout: Duration,
}

/// Why the other database cannot be set up or does not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address is none, or holds what it must not.
    #[error("the address of the time-series server {problem}")]
    Address {
        /// What is wrong with it, and what to do. Never the address: it may hold a password.
        problem: &'static str,
    },
    /// The certificate or the client library is refused.
    #[error("no connection to the time-series server can be set up: {detail}; check timeseries.ca_file")]
    Setup {
        /// Why.
        detail: String,
    },
    /// It cannot be reached, or is too slow.
    #[error("the time-series server cannot be reached: {detail}; check its address, and that it runs")]
    Unreachable {
        /// Why.
        detail: String,
    },
    /// Its certificate is refused: nothing was sent.
    #[error("the time-series server's certificate is refused: {problem} ({detail})")]
    Certificate {
        /// What is wrong with it, and what to do.
        problem: &'static str,
        /// Why, in the library's words.
        detail: String,
    },
    /// It lets us not in.
    #[error("the time-series server refuses our token: {detail}; put a valid one into timeseries.token_file")]
    Denied {
        /// Its words.
        detail: String,
    },
    /// It answers with an error.
    #[error("the time-series server answers with an error: {detail}")]
    Failed {
        /// Its words.
        detail: String,
    },
    /// Its answer cannot be understood: cut off, or not what was asked for.
    #[error(
        "the time-series server's answer cannot be understood: {detail}; is it the kind that timeseries.backend says?"
    )]
    Answer {
        /// What is wrong with it.
        detail: String,
    },
    /// More was asked for than one answer may hold.
    #[error("{asked} is more than one answer may hold ({max}); ask for less at a time")]
    TooMuch {
        /// What was asked for.
        asked: u64,
        /// The most.
        max: u64,
    },
}

/// Checks an address and takes the slash off its end. `bare` refuses a path.
pub(super) fn address(text: &str, bare: bool) -> Result<Url, RemoteError> {
    let refuse = |problem| Err(RemoteError::Address { problem });
    let Ok(mut url) = Url::parse(text.trim()) else {
        return refuse("is no URL; give one such as http://127.0.0.1:8086");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refuse("does not begin with http:// or https:// and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("holds a user name or a password; put the token into timeseries.token_file");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("holds a query or a fragment; leave out what follows ? and #");
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if bare && !path.is_empty() {
        return refuse(
            "has a path, which the InfluxDB client would drop; serve InfluxDB at the root of a host",
        );
    }
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let good = [
            ("http://127.0.0.1:8086", true, "http://127.0.0.1:8086/"),
            (" https://influx.example/ ", true, "https://influx.example/"),
            (
                "http://vm:8480/insert/0/influx/",
                false,
                "http://vm:8480/insert/0/influx",
            ),
        ];
        for (text, bare, want) in good {
            assert_eq!(address(text, bare).unwrap().as_str(), want);
        }
        let bad = [
            ("influx", "no URL"),
            ("ftp://h/", "does not begin"),
            ("http://u:secret@h/", "token_file"),
            ("http://h/?x=1", "leave out"),
            ("http://h/v1/influxdb", "would drop"),
        ];
        for (text, want) in bad {
            let refused = address(text, true).unwrap_err().to_string();
            assert!(
                refused.contains(want) && !refused.contains("secret"),
                "{text}: {refused}"
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new("secret-token\n");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert_eq!(token.reveal(), "secret-token");
        assert_eq!(
            token.hide_in("no \"Bearer secret-token\" here"),
            "no \"Bearer …\" here"
        );
        assert_eq!(Token::new(" ").hide_in("as it is"), "as it is");
    }
}
