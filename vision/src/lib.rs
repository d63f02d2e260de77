//! Cameras, frames and what a model sees in them.
//!
//! Owns: camera sources, decoding, inference, tracking and the judgement of frames; every `ort` and
//! `image` type of the product.
//!
//! Must not know: storage, alerts. A finding leaves as an observation of `domain` through the journal.
//!
//! No camera is attached yet. What the sensor path already fixes for it: findings enter through the same
//! log, `image` topics lie inside the same device fence, and a failed camera cannot stop a sensor,
//! because `server` is the only place where the two meet.
