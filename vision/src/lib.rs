//! What is seen in a camera's pictures, and what of it counts.
//!
//! Owns: running models, motion, tracking, and the judgement of frames; every `ort` type of the product.
//!
//! Must not know: storage, alerts, MQTT, how a picture is fetched. A finding leaves as an observation of `domain`
//! through the journal.

pub mod evaluate;
pub mod judge;
pub mod motion;
pub mod seen;
pub mod teach;
pub mod track;
