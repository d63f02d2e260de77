//! What a model does, what the product uses it for, and how it counts.

use serde::Deserialize;

/// How a model's outputs are to be read (模型种类). The order of [`crate::ModelCard::outputs`] is the one named here.
///
/// `A` is the number of anchors or cells, `Q` of queries, `L` of labels, `N` of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// One output `[N, A, L + 44]`: `L` scores 0 to 1, then 4 × 11 logits of the distances left, top, right and
    /// bottom in strides. Cells of stride 8, 16 and 32, row by row; the centre is `(i + 0.5) · stride`.
    NanoDet,
    /// One output `[N, A, 5 + L]`: centre x, centre y, width and height in pixels of the input, how sure it is
    /// of anything, and `L` scores 0 to 1.
    YoloV5,
    /// Also YOLO11: one output `[N, 4 + L, A]`: centre x, centre y, width and height in pixels of the input, and
    /// `L` scores 0 to 1.
    YoloV8,
    /// One output `[N, A, 5 + L]` that is not yet put on its grid: offset x and y in strides, logarithms of width
    /// and height in strides, how sure it is of anything, and `L` scores 0 to 1. Cells of stride 8, 16 and 32,
    /// row by row.
    YoloX,
    /// Two outputs: logits `[N, Q, L + 1]`, the last of which means nothing, and boxes `[N, Q, 4]` as centre x,
    /// centre y, width and height, each a share of the input.
    Detr,
    /// Three outputs: boxes `[N, Q, 4]` as shares of the input in the card's order, classes `[N, Q]` counted
    /// from 0 (f32 or i64), and scores `[N, Q]`, 0 to 1.
    Ssd,
    /// One output `[N, L]`: how sure it is of each label for the whole picture.
    Classifier,
    /// One output `[N, D]`: numbers that describe the picture, for heads to judge.
    Embedding,
    /// From an embedding to one output `[N, L]`.
    Head,
    /// Two outputs of a 128 × 128 input: boxes with six points `[N, 896, 16]` and logits `[N, 896, 1]`.
    BlazeFace,
    /// One output `[N, 1, 17, 3]`: y and x as shares of the input, and a score, of each of 17 joints.
    MoveNet,
}

impl ModelKind {
    /// The name as cards write it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            ModelKind::NanoDet => "nanodet",
            ModelKind::YoloV5 => "yolov5",
            ModelKind::YoloV8 => "yolov8",
            ModelKind::YoloX => "yolox",
            ModelKind::Detr => "detr",
            ModelKind::Ssd => "ssd",
            ModelKind::Classifier => "classifier",
            ModelKind::Embedding => "embedding",
            ModelKind::Head => "head",
            ModelKind::BlazeFace => "blazeface",
            ModelKind::MoveNet => "movenet",
        }
    }

    /// How many outputs its card names.
    #[must_use]
    pub fn outputs(self) -> usize {
        match self {
            ModelKind::Detr | ModelKind::BlazeFace => 2,
            ModelKind::Ssd => 3,
            _ => 1,
        }
    }

    /// Whether it says where something is.
    #[must_use]
    pub fn is_detector(self) -> bool {
        self.suppresses() || matches!(self, ModelKind::Detr | ModelKind::Ssd)
    }

    /// Whether it finds one thing several times, so that overlapping boxes must be suppressed.
    #[must_use]
    pub fn suppresses(self) -> bool {
        matches!(
            self,
            ModelKind::NanoDet
                | ModelKind::YoloV5
                | ModelKind::YoloV8
                | ModelKind::YoloX
                | ModelKind::BlazeFace
        )
    }
}

/// What the product uses a model for (用途).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Finds people, and whatever else its labels name. One is in use.
    PersonDetector,
    /// Finds faces. One is in use.
    FaceDetector,
    /// Describes a crop for heads and taught checks. One is in use.
    Embedder,
    /// Says from an embedding whether a face is masked. One is in use.
    MaskHead,
    /// Finds the joints of one person. One is in use.
    Pose,
    /// Something more that an operator looks for; all are in use.
    Extra,
}

/// How a model counts. A runtime for which integers are no gain asks for [`Precision::F32`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// In 8-bit integers, quantised.
    Int8,
    /// In 32-bit floating point, however its weights are stored.
    F32,
}
