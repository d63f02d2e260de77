//! ONNX model files and the cards that vouch for them.
//!
//! Owns: the catalogue of models, each with its task, input, labels, thresholds, SHA-256, licence and
//! source; what of an ONNX file can be known without running it.
//!
//! Must not know: `ort`, `tokio`. A model is bytes and a card here; running it is `vision`'s work.
//!
//! ```
//! use sunshine_models::{Catalog, Precision, Role};
//!
//! let catalog = Catalog::built_in();
//! let card = catalog.find(Role::FaceDetector, Precision::F32).expect("one is built in");
//! let model = catalog.load(card)?;
//! assert_eq!(model.outline.inputs.len(), 1);
//! # Ok::<(), sunshine_models::ModelError>(())
//! ```

mod built_in;
mod card;
mod catalog;
mod error;
mod fit;
mod hash;
mod kind;
mod outline;
mod read;

pub use card::{
    BoxOrder, Colour, Input, Layout, ModelCard, PictureElement, PictureInput, Provenance, Resize, Scores,
    VectorInput,
};
pub use catalog::{Catalog, DEFAULT_MAX_BYTES, MAX_CARDS, ModelFile, Refused};
pub use error::ModelError;
pub use hash::FileHash;
pub use kind::{ModelKind, Precision, Role};
pub use outline::{Dim, Element, Outline, OutlineError, Port};
