//! ONNX model files and the cards that vouch for them.
//!
//! Owns: the catalogue of models, each with its task, input, labels, thresholds, SHA-256, licence and
//! source.
//!
//! Must not know: `ort`. A model is bytes and a card here; running it is `vision`'s work.
//!
//! Nothing is catalogued yet: the first models arrive together with the cameras that need them.
