//! The models that one worker has, and what it can say with them.

use std::{collections::BTreeMap, sync::Arc};

use camera::Frame;
use domain::{Check, PictureBox};
use models::{Catalog, ModelCard, ModelKind, Precision, Role};

use crate::{
    classify::{Classifier, Embedder, Head},
    detector::{Detector, DetectorOptions},
    face::{FaceFinder, grown},
    infer::InferError,
    judge::JudgeOptions,
    load::stamp,
    runtime::Runtime,
    seen::{Detection, Unjudged, Verdict},
    sharpness::Sharpness,
};

/// The label of the mask head that says that there is a mask.
const MASK: &str = "mask";

/// Faces that are less sharp (see [`Sharpness::measure`]) are blurred. A portrait scaled to faces of 50 to 100 points
/// has 400 to 850; out of focus by a point (standard deviation) 66 to 125, and is still judged rightly; by two points
/// 13 to 30, where answers begin to be wrong.
pub const LEAST_SHARPNESS: f32 = 40.0;

/// Somebody who may be a person with this score has a head that is hidden: with less, most are none.
const LEAST_PRIVATE_SCORE: f32 = 0.25;

/// By how much a face's box is made larger before it is judged, each way: the head was trained on whole heads.
const FACE_MARGIN: f32 = 0.2;

/// An operator's model that looks at whole pictures for something more.
pub enum Extra {
    /// It says where something is.
    Detector(Detector),
    /// It says what the whole picture is like.
    Classifier(Classifier),
}

/// The models of one worker. Those that the catalogue lacks are `None`: what needs them is unjudged.
pub struct Kit {
    /// Finds people, and what else its card names.
    pub detector: Detector,
    /// Finds faces.
    pub faces: Option<FaceFinder>,
    /// Describes crops for heads and taught checks.
    pub embedder: Option<Embedder>,
    /// Says whether a face is masked.
    pub mask: Option<MaskHead>,
    /// The operator's own.
    pub extras: Vec<Extra>,
    /// How findings are judged; see [`judging`].
    pub judging: JudgeOptions,
    sharpness: Sharpness,
}

/// The head that knows masks, and from where on it believes in one.
pub struct MaskHead {
    head: Head,
    mask: usize,
    threshold: f32,
    least_side_px: u32,
}

impl Kit {
    /// Loads every model that the catalogue has a use for, in the precision that suits the library, and runs each
    /// once. Blocks for a second on ONNX Runtime and for some seconds on tract.
    ///
    /// # Errors
    /// [`InferError::NoModel`] when nothing finds people, else the first model's [`InferError`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, options: &DetectorOptions) -> Result<Kit, InferError> {
        let card = |role| catalog.find(role, precision(runtime));
        let people = card(Role::PersonDetector).ok_or(InferError::NoModel("finding people"))?;
        let embedder = card(Role::Embedder).map(|card| Embedder::open(runtime, catalog, card));
        let faces = card(Role::FaceDetector).map(|card| FaceFinder::open(runtime, catalog, card));
        let mask = card(Role::MaskHead).map(|card| MaskHead::open(runtime, catalog, card));
        let extras = catalog.extras().map(|card| extra(runtime, catalog, card));
        Ok(Kit {
            detector: Detector::open(runtime, catalog, people, options)?,
            faces: faces.transpose()?,
            embedder: embedder.transpose()?,
            mask: mask.transpose()?,
            extras: extras.collect::<Result<_, _>>()?,
            judging: judging(runtime, catalog),
            sharpness: Sharpness::default(),
        })
    }

    /// As [`Kit::open`], with a detector that tells people and what stands for a check, and those also when it is
    /// unsure: a track is kept by less than it begins with. `side` is as in [`DetectorOptions::side`].
    ///
    /// # Errors
    /// As [`Kit::open`].
    pub fn for_judging(runtime: &Runtime, catalog: &Catalog, side: Option<u32>) -> Result<Kit, InferError> {
        let people = catalog.find(Role::PersonDetector, precision(runtime));
        let known = JudgeOptions::default();
        let findings = people.into_iter().flat_map(|card| card.findings.keys().cloned());
        let options = DetectorOptions {
            side,
            least_score: Some(known.tracking.low_score),
            labels: Some(findings.chain([known.person_label]).collect()),
        };
        Kit::open(runtime, catalog, &options)
    }

    /// How sharp a part of the picture is; see [`Sharpness::measure`].
    ///
    /// # Errors
    /// [`InferError::Frame`].
    pub fn sharpness(&mut self, frame: &Frame, part: &PictureBox) -> Result<f32, InferError> {
        self.sharpness.measure(frame, part)
    }

    /// What is to be made unrecognisable before this picture is stored or shown; see [`FaceFinder::faces_in`]. The
    /// upper half of every person where there is no face finder.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn private_parts(&mut self, frame: &Frame) -> Result<Vec<PictureBox>, InferError> {
        let found = self.detector.detect(frame)?;
        let persons = found
            .iter()
            .filter(|found| found.label == self.judging.person_label && found.score >= LEAST_PRIVATE_SCORE);
        let persons: Vec<PictureBox> = persons.map(|person| person.area).collect();
        match &mut self.faces {
            Some(faces) => faces.faces_in(frame, &persons),
            None => Ok(persons.iter().map(upper_half).collect()),
        }
    }

    /// What the detector and the operator's models find in the picture. What a classifier says covers all of it.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, InferError> {
        let mut found = self.detector.detect(frame)?;
        for extra in &mut self.extras {
            found.extend(match extra {
                Extra::Detector(detector) => detector.detect(frame)?,
                Extra::Classifier(classifier) => classifier.detect(frame)?,
            });
        }
        Ok(found)
    }

    /// Whether a person wears no mask: [`Verdict::Positive`] when they wear none, with its probability. `others` are
    /// the boxes of the people around, so that nobody is judged by a neighbour's face.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn without_mask(
        &mut self,
        frame: &Frame,
        person: &PictureBox,
        others: &[PictureBox],
    ) -> Result<Verdict, InferError> {
        let (Some(faces), Some(embedder), Some(mask)) = (&mut self.faces, &mut self.embedder, &mut self.mask)
        else {
            return Ok(Verdict::Unjudged(Unjudged::NoModel));
        };
        // No face is larger than its person: whoever is too small need not be looked at.
        let least_side_px = mask.least_side_px as f32;
        if person.width() * (frame.width as f32) < least_side_px {
            return Ok(Verdict::Unjudged(Unjudged::TooSmall));
        }
        let Some(face) = faces.face_of(frame, person, others)? else {
            return Ok(Verdict::Unjudged(Unjudged::TurnedAway));
        };
        if face.side_px(frame) < least_side_px {
            return Ok(Verdict::Unjudged(Unjudged::TooSmall));
        }
        if self.sharpness.measure(frame, &face.area)? < LEAST_SHARPNESS {
            return Ok(Verdict::Unjudged(Unjudged::Blurred));
        }
        let embedding = embedder.embed(frame, &grown(&face.area, FACE_MARGIN))?;
        mask.without_mask(&embedding)
    }
}

impl MaskHead {
    /// Loads the head of `card`, which must have the label `mask`.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<MaskHead, InferError> {
        let mask = card.class_of(MASK).ok_or_else(|| InferError::Refused {
            model: card.name.clone(),
            why: format!("a mask head needs the label `{MASK}`"),
        })?;
        Ok(MaskHead {
            head: Head::open(runtime, catalog, card)?,
            mask,
            threshold: card.threshold(MASK),
            least_side_px: card.min_side_px,
        })
    }

    /// What the embedding of a face says: [`Verdict::Positive`] without a mask.
    ///
    /// # Errors
    /// [`InferError::Refused`] for another embedder's embedding, [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn without_mask(&mut self, embedding: &[f32]) -> Result<Verdict, InferError> {
        let masked = self.head.judge(embedding)?[self.mask];
        Ok(match masked >= self.threshold {
            true => Verdict::Negative(1.0 - masked),
            false => Verdict::Positive(1.0 - masked),
        })
    }

    /// Which model this is.
    #[must_use]
    pub fn stamp(&self) -> &domain::observation::ModelStamp {
        self.head.stamp()
    }
}

/// How findings are judged, as far as the cards of the catalogue say: which labels stand for which check, from which
/// score on, and which model answers. Of two labels that stand for a check, the lower threshold counts; of two models
/// that answer it, the first.
#[must_use]
pub fn judging(runtime: &Runtime, catalog: &Catalog) -> JudgeOptions {
    let mut judging = JudgeOptions {
        labels: BTreeMap::new(),
        ..JudgeOptions::default()
    };
    let people = catalog.find(Role::PersonDetector, precision(runtime));
    for card in people.into_iter().chain(catalog.extras()) {
        for (label, check) in &card.findings {
            judging.labels.insert(Arc::clone(label), *check);
            let threshold = card.threshold(label);
            let least = judging.thresholds.entry(*check).or_insert(threshold);
            *least = least.min(threshold);
            judging.models.entry(*check).or_insert_with(|| stamp(card));
        }
    }
    if let Some(card) = catalog.find(Role::MaskHead, precision(runtime)) {
        // A face is bare with what a mask lacks.
        judging
            .thresholds
            .insert(Check::NoMask, 1.0 - card.threshold(MASK));
        judging.models.insert(Check::NoMask, stamp(card));
    }
    judging
}

fn upper_half(person: &PictureBox) -> PictureBox {
    PictureBox {
        bottom: person.centre().y,
        ..*person
    }
}

/// The precision that suits the library.
fn precision(runtime: &Runtime) -> Precision {
    match runtime.backend().prefers_int8() {
        true => Precision::Int8,
        false => Precision::F32,
    }
}

fn extra(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<Extra, InferError> {
    match card.kind {
        ModelKind::Classifier => Classifier::open(runtime, catalog, card).map(Extra::Classifier),
        _ => Detector::open(runtime, catalog, card, &DetectorOptions::default()).map(Extra::Detector),
    }
}
