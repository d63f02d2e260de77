//! Detectors: what is in a picture, and where.

use std::sync::Arc;

use camera::Frame;
use domain::{PictureBox, observation::ModelStamp};
use models::{BoxOrder, Catalog, ModelCard, ModelKind};

use crate::{
    decode::{
        Candidate, Question, SsdOutputs, Wanted, detr, nanodet, ssd, suppress, yolo_v5, yolo_v8, yolox,
    },
    infer::{BadOutput, InferError, Tensor},
    load::{PictureModel, refused, stamp},
    prepare::Placement,
    runtime::Runtime,
    seen::Detection,
    session::Outputs,
};

/// The widths of the cells in which NanoDet and YOLOX look, in points.
const STRIDES: [u32; 3] = [8, 16, 32];

/// What is asked of a detector.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectorOptions {
    /// The side of the square that it looks at, in points: a smaller one is faster and misses small things. Of a model
    /// whose input may have any shape only as much of the square is used as the picture fills. `None`: the card's.
    pub side: Option<u32>,
    /// The least score of what it tells, 0 to 1, for whoever sifts by himself. `None`: the card's threshold of each
    /// label.
    pub least_score: Option<f32>,
    /// The labels that matter. `None`: all that the card names.
    pub labels: Option<Vec<Arc<str>>>,
}

/// A detector that is ready.
pub struct Detector {
    model: PictureModel,
    reading: Reading,
    stamp: ModelStamp,
}

/// How a detector's outputs are read.
struct Reading {
    kind: ModelKind,
    labels: Vec<Arc<str>>,
    wanted: Vec<Wanted>,
    most_overlap: f32,
    /// Where left, upper, right and lower edge stand in an SSD's boxes.
    order: [usize; 4],
}

impl Detector {
    /// Loads the model of `card`, which the catalogue must vouch for, and runs it once.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(
        runtime: &Runtime,
        catalog: &Catalog,
        card: &ModelCard,
        options: &DetectorOptions,
    ) -> Result<Detector, InferError> {
        if !card.kind.is_detector() || card.kind == ModelKind::BlazeFace {
            let why = format!("a {} does not say where things are", card.kind.code());
            return Err(refused(card, why));
        }
        let model = PictureModel::open((runtime, catalog), card, options.side)?;
        let mut detector = Detector {
            model,
            reading: Reading::new(card, options),
            stamp: stamp(card),
        };
        // A picture of one grey shows whether the numbers can be read at all.
        detector.detect(&grey())?;
        Ok(detector)
    }

    /// Which model this is.
    #[must_use]
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// The size that it looked at last, in points: width and height; the whole square before the first picture.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.model.form().width, self.model.form().height)
    }

    /// What is in the picture, the surest first; at most [`crate::decode::MAX_FOUND`].
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, InferError> {
        let Detector { model, reading, .. } = self;
        model.fit(frame);
        let size = (model.form().width, model.form().height);
        let (found, placement) = model.run(frame, &PictureBox::WHOLE, |outputs, names| {
            reading.read(outputs, names, size)
        })?;
        Ok(reading.in_picture(&found, &placement))
    }
}

impl Reading {
    fn new(card: &ModelCard, options: &DetectorOptions) -> Reading {
        let asked = |label: &Arc<str>| {
            let labels = options.labels.as_ref();
            !label.is_empty() && labels.is_none_or(|labels| labels.contains(label))
        };
        let labels = card.labels.iter().enumerate();
        let wanted = labels
            .filter(|(_, label)| asked(label))
            .map(|(class, label)| Wanted {
                class,
                min_score: options.least_score.unwrap_or_else(|| card.threshold(label)),
            });
        Reading {
            kind: card.kind,
            wanted: wanted.collect(),
            labels: card.labels.clone(),
            most_overlap: card.iou,
            order: match card.box_order {
                BoxOrder::Yxyx => [1, 0, 3, 2],
                BoxOrder::Xyxy => [0, 1, 2, 3],
            },
        }
    }

    fn read(
        &self,
        outputs: &Outputs<'_>,
        names: &[String],
        (width, height): (u32, u32),
    ) -> Result<Vec<Candidate>, BadOutput> {
        let question = Question {
            width,
            height,
            classes: self.labels.len(),
            wanted: &self.wanted,
        };
        let output = |n: usize| outputs.named(names.get(n).map_or("", String::as_str));
        let found = match self.kind {
            ModelKind::NanoDet => nanodet(&output(0)?, &question, &STRIDES)?,
            ModelKind::YoloV5 => yolo_v5(&output(0)?, &question)?,
            ModelKind::YoloV8 => yolo_v8(&output(0)?, &question)?,
            ModelKind::YoloX => yolox(&output(0)?, &question, &STRIDES)?,
            ModelKind::Detr => detr(&output(0)?, &output(1)?, &question)?,
            ModelKind::Ssd => {
                let (shape, classes) = outputs.whole(names.get(1).map_or("", String::as_str))?;
                let lists = SsdOutputs {
                    boxes: output(0)?,
                    classes: Tensor {
                        shape: &shape,
                        values: &classes,
                    },
                    scores: output(2)?,
                    order: self.order,
                };
                ssd(&lists, &question)?
            }
            // `open` lets none of these in.
            ModelKind::Classifier
            | ModelKind::Embedding
            | ModelKind::Head
            | ModelKind::BlazeFace
            | ModelKind::MoveNet => Vec::new(),
        };
        Ok(suppress(found, self.most_overlap))
    }

    fn in_picture(&self, found: &[Candidate], placement: &Placement) -> Vec<Detection> {
        let placed = found.iter().filter_map(|candidate| {
            Some(Detection {
                label: Arc::clone(self.labels.get(candidate.class)?),
                score: candidate.score,
                area: placement.in_picture(candidate.edges)?,
            })
        });
        placed.collect()
    }
}

/// A small picture of one grey.
pub(crate) fn grey() -> Frame {
    Frame {
        at: domain::UtcMillis(0),
        width: 8,
        height: 8,
        rgb: [114; 8 * 8 * 3].into(),
    }
}
