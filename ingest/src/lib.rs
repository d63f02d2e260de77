//! Journal records to readings.
//!
//! Owns: the forms in which devices send values, units, event time against receive time, and the words in
//! which a payload is refused.
//!
//! Must not know: the broker, SQL, files, or what time it is: every moment comes out of the log.
//!
//! [`Ingest`] reads the log and answers with [`domain::Batch`]es in log order; the same log gives the same
//! batches, live and in a replay. [`decode()`] is the pure half: one payload to values, without a log.
//!
//! # What a device may send
//!
//! | topic below `sk/v1/<facility>/<device>/` | payload |
//! |---|---|
//! | `up/<metric>` | `4.1`, `true`, `false` |
//! | `up/<metric>` | `{"ts":1795000000000,"v":4.1,"u":"degC"}`; `ts` and `u` may be absent |
//! | `up` | `{"ts":"2026-11-21T20:00:00+08:00","values":{"temperature":4.1,"door_open":false}}` |
//! | either | an array of those objects: a backlog |
//! | either | SenML JSON (RFC 8428); the last part of a record's name is the metric |
//! | `status` | `online`, `offline` |
//! | `vision`, `vision/<camera>` | an observation: `{"check":"no_mask","state":"began","ts":1795000000000}` |
//! | `events`, `reviews`, `available` | what Frigate sends when its `topic_prefix` is the device's root |
//!
//! | `http/push`, `http/write/<precision>` | what HTTP intake took: JSON, line protocol |
//!
//! A device of another maker has a profile and speaks below the same root as its maker's firmware does: see
//! [`read_vendor`] and `domain::profile`.
//!
//! `ts` is milliseconds since 1970 or RFC 3339. A value is a finite number, `true` (1) or `false` (0); words
//! such as `on` or `open` are refused, because one maker's `open` is another's `closed`. A member that is not
//! known is passed over. One bad value does not cost the good ones beside it; a payload that is no JSON is
//! refused whole. A picture on `image` is handed on unread; `cmd/…` is passed over.

mod codec;
mod decode;
mod directory;
mod error;
mod limits;
mod moment;
mod observe;
mod pipeline;
mod reading;
mod routes;
mod senml;
mod sightings;
mod trial;
mod vendor;

pub use decode::{Decoded, Number, PayloadUnit, Value, decode};
pub use directory::{SeriesDirectory, TooManySeries};
pub use error::{DecodeError, IngestError};
pub use limits::IngestLimits;
pub use pipeline::{Decoder, Ingest};
pub use trial::try_profile;
pub use vendor::{Line, LineValue, Precision, Report, VendorValue, line_pieces, lines, read_vendor};
