//! How much is read at a time, from one payload, and kept.

/// Bounds of one [`crate::Ingest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestLimits {
    /// Bytes of log read for one batch, 1 KiB to 64 MiB. A batch's memory is a small multiple of it.
    pub batch_bytes: usize,
    /// The most bytes of a payload that is decoded; a larger one is refused.
    pub payload_bytes: usize,
    /// The most values of one payload; one with more is refused.
    pub payload_values: usize,
    /// The most bytes of a picture that is handed on; a larger one is refused.
    pub picture_bytes: usize,
    /// How far a device's clock may be ahead of the log's, in milliseconds. Beyond it the moment of receipt
    /// replaces the device's time.
    pub future_ms: i64,
    /// The most topics and metrics remembered. Beyond it everything is forgotten and learnt again: slower,
    /// never wrong. Checked between batches, so that one batch may overshoot by what it holds.
    pub routes: usize,
}

impl Default for IngestLimits {
    fn default() -> IngestLimits {
        IngestLimits {
            batch_bytes: 512 * 1024,
            payload_bytes: 256 * 1024,
            payload_values: 5_000,
            picture_bytes: 8 << 20,
            future_ms: 300_000,
            routes: 500_000,
        }
    }
}
