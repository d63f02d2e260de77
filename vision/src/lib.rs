//! What is seen in a camera's pictures, and what of it counts.
//!
//! Owns: running models, motion, tracking, and the judgement of frames; every `ort` type of the product.
//!
//! Must not know: storage, alerts, MQTT, how a picture is fetched. A finding leaves as an observation of `domain`
//! through the journal.

pub mod classify;
pub mod decode;
pub mod detector;
pub mod evaluate;
pub mod face;
pub mod infer;
pub mod judge;
pub mod kit;
mod load;
pub mod motion;
pub mod pipeline;
pub mod prepare;
pub mod runtime;
pub mod seen;
mod session;
pub mod sharpness;
pub mod teach;
pub mod track;
pub mod worker;
