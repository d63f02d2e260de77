//! Makes InfluxDB's bucket, with the time it keeps readings.

use influxdb2::{
    RequestError,
    api::{buckets::ListBucketsRequest, organization::ListOrganizationRequest},
    models::{PostBucketRequest, RetentionRule, retention_rule::Type},
};

use super::{Remote, Server, answer::bounded, influx::Influx, options::RemoteError, trust::unanswered};

const DAY_S: i64 = 86_400;

/// What was done about the place that readings go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetUp {
    /// The bucket was made.
    Made,
    /// It was there, and keeps readings for so many days; 0 is for ever. It was left as it is.
    Found {
        /// Days.
        retention_days: u64,
    },
    /// VictoriaMetrics has no buckets: how long it keeps readings is said when it is started.
    NotNeeded,
}

impl Remote {
    /// Makes the bucket if it is not there. A bucket that is there is left as it is.
    ///
    /// # Errors
    /// [`RemoteError::Failed`] when there is no such organisation, or the token may not do it, and what else the server
    /// says.
    pub async fn set_up(&self, retention_days: u64) -> Result<SetUp, RemoteError> {
        match &self.0 {
            Server::Victoria(_) => Ok(SetUp::NotNeeded),
            Server::Influx(influx) => influx.set_up(retention_days).await,
        }
    }
}

impl Influx {
    async fn set_up(&self, retention_days: u64) -> Result<SetUp, RemoteError> {
        let named = ListOrganizationRequest {
            org: Some(self.organisation.clone()),
            ..ListOrganizationRequest::default()
        };
        let found = self
            .reader
            .list_organizations(named)
            .await
            .map_err(|e| said(&e))?;
        let id = found
            .orgs
            .into_iter()
            .find(|o| o.name == self.organisation)
            .and_then(|o| o.id);
        let Some(organisation) = id else {
            return Err(RemoteError::Failed {
                detail: "there is no such organisation, or the token does not show it".into(),
            });
        };
        let named = ListBucketsRequest {
            name: Some(self.bucket.clone()),
            org_id: Some(organisation.clone()),
            ..ListBucketsRequest::default()
        };
        let found = match self.reader.list_buckets(Some(named)).await {
            Ok(found) => found.buckets,
            // A name that there is not is a 404 in some versions and an empty list in others.
            Err(RequestError::Http { status, .. }) if status.as_u16() == 404 => Vec::new(),
            Err(e) => return Err(said(&e)),
        };
        if let Some(bucket) = found.iter().find(|b| b.name == self.bucket) {
            let seconds = bucket
                .retention_rules
                .first()
                .map_or(0, |rule| rule.every_seconds);
            let retention_days = u64::try_from(i64::from(seconds) / DAY_S).unwrap_or(0);
            return Ok(SetUp::Found { retention_days });
        }
        let seconds = i64::try_from(retention_days).unwrap_or(0).saturating_mul(DAY_S);
        let rules = match i32::try_from(seconds) {
            Ok(0) => Vec::new(),
            Ok(seconds) => vec![RetentionRule::new(Type::Expire, seconds)],
            Err(_too_long) => {
                return Err(RemoteError::TooMuch {
                    asked: retention_days,
                    max: u64::from(i32::MAX.unsigned_abs()) / DAY_S.unsigned_abs(),
                });
            }
        };
        let wanted = PostBucketRequest {
            org_id: organisation,
            name: self.bucket.clone(),
            description: Some("Readings of Sunshine Kitchen".into()),
            rp: None,
            retention_rules: rules,
        };
        self.reader
            .create_bucket(Some(wanted))
            .await
            .map_err(|e| said(&e))?;
        Ok(SetUp::Made)
    }
}

fn said(error: &RequestError) -> RemoteError {
    match error {
        RequestError::Http { status, text } => {
            let detail = bounded(&format!("{}: {text}", status.as_u16()));
            match status.as_u16() {
                401 | 403 => RemoteError::Denied { detail },
                _ => RemoteError::Failed { detail },
            }
        }
        other => unanswered(other),
    }
}
