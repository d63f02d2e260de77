//! Another time-series server beside the embedded store: InfluxDB 2 or VictoriaMetrics.
//!
//! What is written there is line protocol of one schema ([`line`]); a [`Forwarder`] sends it and survives everything
//! that a server may answer. No query string crosses this module's surface.

mod answer;
mod flux;
pub mod forwarder;
mod influx;
pub mod line;
mod metricsql;
mod options;
pub mod pace;
mod running;
mod setup;
mod trust;
mod victoria;

pub use forwarder::{ForwardCounts, ForwardWatch, Forwarder};
pub use line::{LineError, LineHead, Lines};
pub use options::{RemoteError, RemoteKind, RemoteOptions, Token};
pub use pace::Pace;
pub use setup::SetUp;

use domain::{Sample, SeriesKey, TimeRange, UtcMillis};

use crate::{
    TimeSeriesError,
    series::query::{Page, Share, ShareQuery, WindowAnswer, WindowQuery},
    timeseries::Caps,
};
use answer::Answer;
use influx::Influx;
use victoria::Victoria;

/// Series that are asked for with one request, so that an address of moderate length names them all.
const SERIES_AT_A_TIME: usize = 16;

/// A time-series server that is not ours. Cheap to clone; opening it does not connect.
#[derive(Debug, Clone)]
pub struct Remote(Server);

#[derive(Debug, Clone)]
enum Server {
    Influx(Box<Influx>),
    Victoria(Victoria),
}

impl Remote {
    /// Checks the options and prepares a client. Connects to nothing.
    ///
    /// # Errors
    /// [`RemoteError::Address`] and [`RemoteError::Setup`].
    pub fn new(options: &RemoteOptions) -> Result<Remote, RemoteError> {
        Ok(Remote(match &options.kind {
            RemoteKind::InfluxDb2 { organisation, bucket } => {
                Server::Influx(Box::new(Influx::new(options, organisation, bucket)?))
            }
            RemoteKind::VictoriaMetrics => Server::Victoria(Victoria::new(options)?),
        }))
    }

    /// What it is called in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.0 {
            Server::Influx(_) => "influxdb2",
            Server::Victoria(_) => "victoriametrics",
        }
    }

    async fn write(&self, compressed: Vec<u8>) -> Answer {
        match &self.0 {
            Server::Influx(influx) => influx.write(compressed).await,
            Server::Victoria(victoria) => victoria.write(compressed).await,
        }
    }

    pub(crate) fn caps(&self) -> Caps {
        let influx = matches!(self.0, Server::Influx(_));
        Caps {
            name: self.name(),
            overwrites: influx,
            exact_values: influx,
            aggregates: true,
        }
    }

    pub(crate) async fn latest(
        &self,
        key: &SeriesKey,
        now: UtcMillis,
    ) -> Result<Option<Sample>, TimeSeriesError> {
        match &self.0 {
            Server::Influx(influx) => influx.latest(key, now).await,
            Server::Victoria(victoria) => victoria.latest(key, now).await,
        }
    }

    pub(crate) async fn window(
        &self,
        key: &SeriesKey,
        query: &WindowQuery,
    ) -> Result<WindowAnswer, TimeSeriesError> {
        match &self.0 {
            Server::Influx(influx) => influx.window(key, query).await,
            Server::Victoria(victoria) => victoria.window(key, query).await,
        }
    }

    /// The share of each of `keys`, in their order. Computed here from samples, because neither language has a
    /// time-weighted share with a longest hold; the samples are counted as they come and not kept, so that neither the
    /// number of series nor the length of the range has a bound.
    pub(crate) async fn shares(
        &self,
        keys: &[SeriesKey],
        query: &ShareQuery,
    ) -> Result<Vec<Share>, TimeSeriesError> {
        if query.range.length_ms() <= 0 {
            return Ok(vec![Share::default(); keys.len()]);
        }
        // The last sample before the range reaches into it.
        let reach = TimeRange {
            from: query.range.from - query.max_hold_ms.max(0),
            to: query.range.to,
        };
        let mut shares = Vec::with_capacity(keys.len());
        match &self.0 {
            Server::Influx(influx) => {
                for key in keys {
                    shares.push(influx.share(key, reach, query).await?);
                }
            }
            Server::Victoria(victoria) => {
                for some in keys.chunks(SERIES_AT_A_TIME) {
                    shares.extend(victoria.shares(some, reach, query).await?);
                }
            }
        }
        Ok(shares)
    }

    pub(crate) async fn scan(
        &self,
        key: &SeriesKey,
        range: TimeRange,
        limit: usize,
    ) -> Result<Page, TimeSeriesError> {
        match &self.0 {
            Server::Influx(influx) => influx.scan(key, range, limit).await,
            Server::Victoria(victoria) => victoria.scan(key, range, limit).await,
        }
    }
}
