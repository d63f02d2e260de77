//! Time series in compressed chunks and records in SQL.
//!
//! Owns: the embedded chunk store, the record store with its migrations, and the live book of devices.
//!
//! Must not know: HTTP, MQTT, rules at work. No query string and no database type crosses its public
//! surface.

pub mod devices;
pub mod records;
pub mod series;

pub use devices::{DeviceBook, DeviceStatus};
pub use records::{RecordError, Records};
pub use series::{Bucket, SeriesError, SeriesOptions, SeriesStats, SeriesStore};
