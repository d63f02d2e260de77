//! What a card says of a model.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use domain::Check;
use serde::Deserialize;

use crate::{
    hash::FileHash,
    kind::{ModelKind, Precision, Role},
};

/// The card of a model (模型卡): everything that must be known to run it, to read what it says, and to vouch for it.
///
/// A card that exists is sound in itself; whether the file fits it shows when it is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// Its name in the catalogue, unique there: 1 to 64 small letters, digits, `-` and `_`.
    pub name: String,
    /// The name of the ONNX file, beside the card.
    pub file: String,
    /// How its outputs are to be read.
    pub kind: ModelKind,
    /// What the product uses it for.
    pub role: Role,
    /// How it counts.
    pub precision: Precision,
    /// What it is fed.
    pub input: Input,
    /// The names of its outputs, in the order that [`ModelKind`] gives.
    pub outputs: Vec<String>,
    /// What it can name, in the order of its classes; at most 1024. An empty label is a class that is never told.
    /// An embedding has none, a pose has its joints.
    pub labels: Vec<Arc<str>>,
    /// How many numbers an embedding has; 0 for every other kind.
    pub embedding_length: usize,
    /// What the numbers of a classifier or head are; [`Scores::Probability`] for every other kind.
    pub scores: Scores,
    /// The order of the edges of an SSD's boxes; [`BoxOrder::Yxyx`] for every other kind.
    pub box_order: BoxOrder,
    /// From which score on something counts, unless its label has a threshold of its own; 0 to 1.
    pub score: f32,
    /// The thresholds of single labels, 0 to 1; see [`ModelCard::threshold`].
    pub label_scores: BTreeMap<Arc<str>, f32>,
    /// Of two boxes of one label that overlap more than this (intersection over union), the less sure one is
    /// dropped; 0 to 1. It is 1, which drops nothing, for a kind that does not find things twice.
    pub iou: f32,
    /// The shorter side in pixels of the camera's picture below which a crop is not judged; 0 without a limit.
    pub min_side_px: u32,
    /// What a label means to the product: seeing it is a finding of this check.
    pub findings: BTreeMap<Arc<str>, Check>,
    /// The SHA-256 that the file must have.
    pub sha256: FileHash,
    /// Where it comes from.
    pub provenance: Provenance,
    pub(crate) origin: Origin,
    pub(crate) layer: usize,
}

/// Where a model comes from, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The licence chain.
    pub licence: String,
    /// The package and file, or whoever made it.
    pub source: String,
    /// How the file was made from the source; empty when it was taken as it is.
    pub conversion: String,
}

/// What a model is fed.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A picture or a crop of one.
    Picture(PictureInput),
    /// The numbers of an embedding.
    Vector(VectorInput),
}

/// How a picture becomes a tensor: each value is `(x - mean) / std`.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureInput {
    /// The name of the input.
    pub name: String,
    /// The order of the dimensions.
    pub layout: Layout,
    /// The order of the channels, also of `mean` and `std`.
    pub colour: Colour,
    /// The type of a value.
    pub element: PictureElement,
    /// The width in pixels, 16 to 2048: the only one when `multiple_of` is `None`.
    pub width: u32,
    /// The height in pixels, 16 to 2048.
    pub height: u32,
    /// Width and height may be any multiple of this.
    pub multiple_of: Option<u32>,
    /// Taken from each value, which is 0 to 255; by channel.
    pub mean: [f32; 3],
    /// What the rest is divided by; by channel, more than 0.
    pub std: [f32; 3],
    /// How a picture of another shape is made to fit.
    pub resize: Resize,
}

/// The embedding that a head reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorInput {
    /// The name of the input.
    pub name: String,
    /// How many numbers it has.
    pub length: usize,
}

/// The order of a picture's dimensions; `N` is the number of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `[N, channel, row, column]`.
    Nchw,
    /// `[N, row, column, channel]`.
    Nhwc,
}

/// The order of a picture's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// The type of a picture's values. Integers are 0 to 255 and not normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureElement {
    /// 32-bit floating point.
    F32,
    /// 8-bit unsigned integer.
    U8,
    /// 32-bit signed integer.
    I32,
}

/// How a picture of another shape is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// Scaled as a whole and centred; what stays free has this value, 0 to 255, in every channel before
    /// normalisation.
    Letterbox(u8),
    /// Scaled in each direction by itself.
    Stretch,
}

/// What the numbers of a classifier or head are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// 0 to 1 each.
    #[default]
    Probability,
    /// Any numbers, of which a softmax makes probabilities.
    Logits,
}

/// The order of the edges of an SSD's boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxOrder {
    /// Top, left, bottom, right.
    #[default]
    Yxyx,
    /// Left, top, right, bottom.
    Xyxy,
}

/// Where the file of a card is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the program itself.
    BuiltIn(&'static [u8]),
    /// In this folder.
    Folder(PathBuf),
}

impl ModelCard {
    /// From which score on `label` counts, 0 to 1: its own threshold or the card's.
    #[must_use]
    pub fn threshold(&self, label: &str) -> f32 {
        self.label_scores.get(label).copied().unwrap_or(self.score)
    }

    /// The check of which seeing `label` is a finding.
    #[must_use]
    pub fn finding(&self, label: &str) -> Option<Check> {
        self.findings.get(label).copied()
    }

    /// The place of `label` among the classes.
    #[must_use]
    pub fn class_of(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|l| &**l == label)
    }

    /// Whether both say the same, wherever their files are.
    pub(crate) fn says_the_same_as(&self, other: &ModelCard) -> bool {
        let placeless = |card: &ModelCard| ModelCard {
            origin: Origin::BuiltIn(&[]),
            layer: 0,
            ..card.clone()
        };
        placeless(self) == placeless(other)
    }

    /// What it is fed when that is a picture.
    #[must_use]
    pub fn picture(&self) -> Option<&PictureInput> {
        match &self.input {
            Input::Picture(picture) => Some(picture),
            Input::Vector(_) => None,
        }
    }

    /// The name of its input.
    #[must_use]
    pub fn input_name(&self) -> &str {
        match &self.input {
            Input::Picture(picture) => &picture.name,
            Input::Vector(vector) => &vector.name,
        }
    }
}
