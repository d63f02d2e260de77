//! Another time-series server beside the embedded store: InfluxDB 2 or VictoriaMetrics.
//!
//! What is written there is line protocol of one schema ([`line`]); a [`Forwarder`] sends it and survives everything
//! that a server may answer. No query string crosses this module's surface.

mod answer;
pub mod forwarder;
mod influx;
pub mod line;
mod options;
pub mod pace;
mod victoria;

pub use forwarder::{ForwardCounts, ForwardWatch, Forwarder};
pub use line::{LineError, LineHead, Lines};
pub use options::{RemoteError, RemoteKind, RemoteOptions, Token};
pub use pace::Pace;

use answer::Answer;
use influx::Influx;
use victoria::Victoria;

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
}
