//! Cameras: attached, watched for health, decoded, kept for evidence, handed to viewers.
//!
//! Owns: camera sources and the probe that explains them, the guard of outbound addresses, decoding to frames,
//! the ring of encoded pictures, MP4, health and picture quality; every `retina` and codec type.
//!
//! Must not know: models, `ort`, storage, alerts. What a picture shows is `vision`'s work: a camera can be
//! attached, watched live and kept although no model runs.

pub mod attach;
pub mod backoff;
pub mod decode;
#[cfg(test)]
mod drawn;
pub mod guard;
pub mod health;
pub mod jpeg;
pub mod live;
pub mod mask;
pub mod mp4;
pub mod nal;
pub mod onvif;
pub mod probe;
pub mod quality;
pub mod ring;
pub mod source;
pub mod stream;
pub mod watermark;

pub use attach::{AttachError, CameraHandle, CameraSet, CameraWatch, Shared};
pub use guard::{Guard, Network};
pub use probe::{ProbeTarget, probe};
pub use source::{CameraFailure, PushedCamera, SourceContext, SourceEvent, StreamSource, Timing};
pub use stream::{Codec, EncodedFrame, Frame, StreamInfo};
