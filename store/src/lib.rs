//! Time series in compressed chunks, records in SQL, and evidence in files.
//!
//! Owns: the embedded chunk store, InfluxDB 2 and VictoriaMetrics beside it and what is sent to them, the record
//! store with its migrations, the vault that seals cameras' passwords, the evidence archive with its signed chain, and
//! the live book of devices.
//!
//! Must not know: serving HTTP, MQTT, rules at work. No query string and no database type crosses its public
//! surface.

pub mod backup;
pub mod devices;
pub mod evidence;
mod key_file;
pub mod onboarding;
pub mod profiles;
pub mod records;
pub mod remote;
pub mod series;
pub mod timeseries;
pub mod vault;

pub use devices::{DeviceBook, DeviceStatus};
pub use evidence::{Archive, ArchiveOptions, EvidenceError};
pub use key_file::KeyFileError;
pub use profiles::ProfileBook;
pub use records::{RecordError, Records};
pub use remote::{Forwarder, Remote, RemoteError, RemoteKind, RemoteOptions, Token};
pub use series::{
    Bucket, SeriesError, SeriesOptions, SeriesStats, SeriesStore,
    export::{ExportError, ExportFormat, ExportProgress},
    query::{
        Aggregate, Aggregates, CalendarUnit, Level, Page, Quantiles, Ranked, RankedBounds, Share,
        ShareAnswer, ShareBounds, ShareQuery, Step, WindowAnswer, WindowBucket, WindowQuery, Zone,
    },
};
pub use timeseries::{Caps, TimeSeries, TimeSeriesError};
pub use vault::{Vault, VaultError};
