//! InfluxDB 2, through the crate `influxdb2`, with precautions.
//!
//! The crate panics on what it does not expect, drops a base path, knows no time limit, escapes too little and hides
//! `Retry-After`. So: lines are our own ([`super::line`]), an address has no path, both of its clients carry a time
//! limit and the authority, answers are walked inside `catch_unwind`, and a server that says "not now" is asked once
//! more, by our own client and without lines, when it wants to be asked again.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use influxdb2::{Client, ClientBuilder, RequestError, api::write::TimestampPrecision};
use reqwest::Url;

use super::{
    answer::{Answer, bounded},
    options::{RemoteError, RemoteOptions, address},
    trust::lines_unanswered,
    victoria::{causes, client, post_lines},
};

/// A client of one bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Influx {
    /// Says of every body that it is compressed: ours are, before the crate sees them.
    writer: Client,
    pub(super) reader: Client,
    pub(super) organisation: String,
    pub(super) bucket: String,
    knocker: reqwest::Client,
    write: Url,
}

impl Influx {
    pub(super) fn new(
        options: &RemoteOptions,
        organisation: &str,
        bucket: &str,
    ) -> Result<Influx, RemoteError> {
        let base = address(&options.write_url, true)?;
        let read = match &options.read_url {
            Some(url) => address(url, true)?,
            None => base.clone(),
        };
        let mut compressed = reqwest11::header::HeaderMap::new();
        compressed.insert(
            reqwest11::header::CONTENT_ENCODING,
            reqwest11::header::HeaderValue::from_static("gzip"),
        );
        let mut write = base.clone();
        write.set_path("/api/v2/write");
        Ok(Influx {
            writer: crates_client(options, &base, organisation, compressed)?,
            reader: crates_client(options, &read, organisation, reqwest11::header::HeaderMap::new())?,
            organisation: organisation.to_owned(),
            bucket: bucket.to_owned(),
            knocker: client(options, "Token")?,
            write,
        })
    }

    /// Writes lines that are compressed already.
    pub(super) async fn write(&self, compressed: Vec<u8>) -> Answer {
        let sent = self.writer.write_line_protocol_with_precision(
            &self.organisation,
            &self.bucket,
            compressed,
            TimestampPrecision::Milliseconds,
        );
        match AssertUnwindSafe(sent).catch_unwind().await {
            Ok(Ok(())) => Answer::Taken,
            Ok(Err(RequestError::Http { status, text })) => match Answer::of(status.as_u16(), &text, None) {
                Answer::Busy { detail, .. } => self.when(detail).await,
                said => said,
            },
            Ok(Err(other)) => lines_unanswered(&other),
            Err(_panic) => Answer::Unreachable("the client library gave up on the answer".into()),
        }
    }

    /// Asks a busy server for the pause that the crate does not tell: writes nothing, and looks at the answer's head.
    async fn when(&self, detail: String) -> Answer {
        let parameters = [
            ("org", self.organisation.as_str()),
            ("bucket", self.bucket.as_str()),
            ("precision", "ms"),
        ];
        let nothing = super::line::gzip("");
        match post_lines((&self.knocker, &self.write, None), &parameters, nothing).await {
            Answer::Busy { after, .. } => Answer::Busy { after, detail },
            _other => Answer::Busy { after: None, detail },
        }
    }
}

fn crates_client(
    options: &RemoteOptions,
    base: &Url,
    organisation: &str,
    headers: reqwest11::header::HeaderMap,
) -> Result<Client, RemoteError> {
    let setup = |detail: String| RemoteError::Setup {
        detail: bounded(&detail),
    };
    let mut builder = reqwest11::Client::builder()
        .default_headers(headers)
        .timeout(options.timeout)
        .redirect(reqwest11::redirect::Policy::none())
        .no_proxy();
    if let Some(pem) = &options.ca_pem {
        builder = builder.tls_built_in_root_certs(false);
        for authority in pem_blocks(pem) {
            let authority =
                reqwest11::Certificate::from_pem(authority.as_bytes()).map_err(|e| setup(e.to_string()))?;
            builder = builder.add_root_certificate(authority);
        }
    }
    let token = options.token.as_ref().map_or("", |token| token.reveal());
    // The crate panics on an address that is none; ours was parsed before.
    ClientBuilder::with_builder(builder, base.as_str(), organisation, token)
        .build()
        .map_err(|e| setup(causes(&e)))
}

/// The certificates of a bundle, one by one: the older client takes one at a time.
fn pem_blocks(pem: &[u8]) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(pem);
    text.split_inclusive(END)
        .filter(|block| block.contains(END))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_falls_into_its_certificates() {
        let one = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
        assert_eq!(pem_blocks(format!("{one}\n{one}\n").as_bytes()).len(), 2);
        assert_eq!(pem_blocks(b"nothing"), Vec::<String>::new());
    }
}
