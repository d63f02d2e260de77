//! Models that say something of a whole crop: embedders, heads on embeddings, classifiers.

use std::sync::Arc;

use camera::Frame;
use domain::{PictureBox, observation::ModelStamp};
use models::{Catalog, Input, ModelCard, ModelKind, PictureElement, Scores};

use crate::{
    decode::{Activation, embedding, scores},
    infer::InferError,
    load::{PictureModel, refused, session, stamp},
    prepare::Numbers,
    runtime::Runtime,
    seen::Detection,
    session::{Form, ModelSession},
};

/// An embedder: a crop becomes a row of numbers that heads judge by.
pub struct Embedder {
    model: PictureModel,
    length: usize,
    stamp: ModelStamp,
}

impl Embedder {
    /// Loads the model of `card`, which the catalogue must vouch for, and runs it once.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<Embedder, InferError> {
        is_kind(card, ModelKind::Embedding)?;
        let mut embedder = Embedder {
            model: PictureModel::open((runtime, catalog), card, None)?,
            length: card.embedding_length,
            stamp: stamp(card),
        };
        embedder.embed(&crate::detector::grey(), &PictureBox::WHOLE)?;
        Ok(embedder)
    }

    /// Which model this is. A head that was taught on the embeddings of one knows nothing of another's.
    #[must_use]
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// How many numbers an embedding has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// The embedding of a part of the picture: [`Embedder::length`] finite numbers.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn embed(&mut self, frame: &Frame, part: &PictureBox) -> Result<Vec<f32>, InferError> {
        let length = self.length;
        let run = self.model.run(frame, part, |outputs, names| {
            embedding(&outputs.named(&names[0])?, length)
        });
        run.map(|(embedding, _)| embedding)
    }
}

/// A head: an embedding becomes a probability of each label.
pub struct Head {
    session: ModelSession,
    output: String,
    length: usize,
    labels: Vec<Arc<str>>,
    activation: Activation,
    stamp: ModelStamp,
}

impl Head {
    /// Loads the model of `card`, which the catalogue must vouch for, and runs it once.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<Head, InferError> {
        is_kind(card, ModelKind::Head)?;
        let Input::Vector(input) = &card.input else {
            return Err(refused(card, "it takes in no embedding".to_owned()));
        };
        let form = Form {
            shape: &[1, input.length],
            element: PictureElement::F32,
        };
        let mut head = Head {
            session: session(runtime, catalog, card, form)?,
            output: card.outputs.first().cloned().unwrap_or_default(),
            length: input.length,
            labels: card.labels.clone(),
            activation: activation(card),
            stamp: stamp(card),
        };
        head.judge(&vec![0.0; head.length])?;
        Ok(head)
    }

    /// Which model this is.
    #[must_use]
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// What it can name, in the order of its answers.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The probability of each label.
    ///
    /// # Errors
    /// [`InferError::Refused`] for an embedding of another length, [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn judge(&mut self, embedding: &[f32]) -> Result<Vec<f32>, InferError> {
        let Head {
            output,
            labels,
            activation,
            ..
        } = &*self;
        let (output, count, activation) = (output.clone(), labels.len(), *activation);
        if embedding.len() != self.length {
            let (got, want) = (embedding.len(), self.length);
            return Err(InferError::Refused {
                model: self.session.name().to_owned(),
                why: format!("it takes in {want} numbers and the embedder gives {got}"),
            });
        }
        self.session
            .run(&[1, embedding.len()], Numbers::F32(embedding), |outputs| {
                scores(&outputs.named(&output)?, count, activation)
            })
    }
}

/// A classifier: a part of the picture becomes a probability of each label.
pub struct Classifier {
    model: PictureModel,
    labels: Vec<Arc<str>>,
    /// From which probability on each label is told.
    thresholds: Vec<f32>,
    activation: Activation,
    stamp: ModelStamp,
}

impl Classifier {
    /// Loads the model of `card`, which the catalogue must vouch for, and runs it once.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<Classifier, InferError> {
        is_kind(card, ModelKind::Classifier)?;
        let mut classifier = Classifier {
            model: PictureModel::open((runtime, catalog), card, None)?,
            labels: card.labels.clone(),
            thresholds: card.labels.iter().map(|label| card.threshold(label)).collect(),
            activation: activation(card),
            stamp: stamp(card),
        };
        classifier.judge(&crate::detector::grey(), &PictureBox::WHOLE)?;
        Ok(classifier)
    }

    /// Which model this is.
    #[must_use]
    pub fn stamp(&self) -> &ModelStamp {
        &self.stamp
    }

    /// What it can name, in the order of its answers.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The probability of each label.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn judge(&mut self, frame: &Frame, part: &PictureBox) -> Result<Vec<f32>, InferError> {
        let (count, activation) = (self.labels.len(), self.activation);
        let run = self.model.run(frame, part, |outputs, names| {
            scores(&outputs.named(&names[0])?, count, activation)
        });
        run.map(|(scores, _)| scores)
    }

    /// The labels that are sure enough, each as a find that covers the whole picture.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn detect(&mut self, frame: &Frame) -> Result<Vec<Detection>, InferError> {
        let scores = self.judge(frame, &PictureBox::WHOLE)?;
        let labels = self.labels.iter().zip(&self.thresholds).zip(scores);
        let told = labels.filter(|((label, threshold), score)| !label.is_empty() && score >= threshold);
        let found = told.map(|((label, _), score)| Detection {
            label: Arc::clone(label),
            score,
            area: PictureBox::WHOLE,
        });
        Ok(found.collect())
    }
}

fn activation(card: &ModelCard) -> Activation {
    match card.scores {
        Scores::Probability => Activation::None,
        Scores::Logits => Activation::Softmax,
    }
}

fn is_kind(card: &ModelCard, kind: ModelKind) -> Result<(), InferError> {
    if card.kind == kind && !card.outputs.is_empty() {
        return Ok(());
    }
    let why = format!("it is a {}, not a {}", card.kind.code(), kind.code());
    Err(refused(card, why))
}
