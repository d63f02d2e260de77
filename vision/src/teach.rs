//! Teachable checks (可教学检查): what a kitchen's own bin, hat or apron looks like, learnt from a dozen pictures.
//!
//! People mark pictures of one thing as yes or no. Each picture is an embedding; a linear head on it is fitted by
//! logistic regression with a ridge, and says of itself how good it is by leaving out each picture in turn. Below
//! [`AUC_FLOOR`] its verdicts are shown, and nothing is told.
//!
//! There are far fewer pictures than numbers in an embedding, so the fit is made between pictures and not between
//! numbers: it solves systems of as many rows as there are pictures, and leaving one out costs nothing more. The same
//! pictures in the same order give the same head.

mod solve;

use domain::{CameraKey, Check};
use serde::{Deserialize, Serialize};

use crate::seen::{Unjudged, Verdict};
use solve::{Fit, Square};

/// The fewest pictures of either kind.
pub const MIN_PER_CLASS: usize = 5;

/// The most pictures of one lesson. More would take longer than a person waits.
pub const MAX_SAMPLES: usize = 400;

/// The most numbers of one embedding.
pub const MAX_LENGTH: usize = 8_192;

/// Below this area under the curve of leave-one-out scores, nothing is told.
pub const AUC_FLOOR: f32 = 0.85;

/// With fewer pictures than this, nothing is told.
pub const MIN_SAMPLES_TO_ALERT: u32 = 10;

/// Why no head can be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TeachError {
    /// Too few pictures of one kind.
    #[error(
        "there are {positives} pictures marked yes and {negatives} marked no; mark at least {MIN_PER_CLASS} of each"
    )]
    TooFew {
        /// Marked yes.
        positives: usize,
        /// Marked no.
        negatives: usize,
    },
    /// Too many pictures.
    #[error("there are {0} pictures; take away all but {MAX_SAMPLES}")]
    TooMany(usize),
    /// An embedding that is no direction: not finite, all zero, empty, or too long.
    #[error("picture {0} has no usable embedding; take it away")]
    BadEmbedding(usize),
    /// Embeddings of different lengths: of different models.
    #[error("picture {0} was embedded by another model; embed all pictures again")]
    OtherLength(usize),
}

/// What is being taught.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// The check.
    pub check: Check,
    /// The camera that the pictures are of; `None` when the head is meant for all.
    pub camera: Option<CameraKey>,
    /// The SHA-256 of the model that made the embeddings, in hexadecimal.
    pub embedder_sha256: String,
}

/// A head that was taught.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaughtHead {
    /// The check.
    pub check: Check,
    /// The camera that it was taught on; `None` when it is meant for all.
    #[serde(default)]
    pub camera: Option<CameraKey>,
    /// The SHA-256 of the embedder, in hexadecimal: on another one's embeddings the head means nothing.
    pub embedder_sha256: String,
    /// A weight for each number of an embedding of length 1.
    pub weights: Vec<f32>,
    /// What is added.
    pub bias: f32,
    /// From this probability on it is a yes, 0 to 1: where yes and no were told apart best when each picture was left
    /// out.
    pub threshold: f32,
    /// How many pictures were marked yes.
    pub positives: u32,
    /// How many were marked no.
    pub negatives: u32,
    /// How often a picture marked yes scores higher than one marked no, each scored by a head that never saw it: 0.5 is
    /// chance, 1 is always.
    pub auc: f32,
}

impl TaughtHead {
    /// Whether its findings may be told. Otherwise they are only shown.
    #[must_use]
    pub fn may_alert(&self) -> bool {
        self.auc >= AUC_FLOOR && self.positives.saturating_add(self.negatives) >= MIN_SAMPLES_TO_ALERT
    }

    /// What it says of a picture. [`Unjudged::NoModel`] for an embedding of another length or one that is no
    /// direction, and when the head itself is damaged.
    #[must_use]
    pub fn verdict(&self, embedding: &[f32]) -> Verdict {
        let probability = self.probability(embedding);
        match probability.filter(|_| self.threshold.is_finite()) {
            None => Verdict::Unjudged(Unjudged::NoModel),
            Some(p) if p >= self.threshold => Verdict::Positive(p),
            Some(p) => Verdict::Negative(p),
        }
    }

    /// The probability of a yes, 0 to 1, as far as the pictures that it was taught with are like those it sees.
    fn probability(&self, embedding: &[f32]) -> Option<f32> {
        if embedding.len() != self.weights.len() {
            return None;
        }
        let length = length(embedding)?;
        let products = embedding.iter().zip(&self.weights);
        let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        let p = solve::logistic(sum / length + f64::from(self.bias)) as f32;
        p.is_finite().then_some(p)
    }
}

/// Fits a head to pictures and their marks: `true` for a picture that shows what the check looks for.
///
/// # Errors
/// [`TeachError`] says which picture is wrong, or how many are missing.
pub fn fit(lesson: &Lesson, samples: &[(Vec<f32>, bool)]) -> Result<TaughtHead, TeachError> {
    let positives = samples.iter().filter(|(_, yes)| *yes).count();
    let negatives = samples.len() - positives;
    if positives.min(negatives) < MIN_PER_CLASS {
        return Err(TeachError::TooFew { positives, negatives });
    }
    if samples.len() > MAX_SAMPLES {
        return Err(TeachError::TooMany(samples.len()));
    }
    let rows = directions(samples)?;
    let marks: Vec<bool> = samples.iter().map(|(_, yes)| *yes).collect();
    let likeness = Square::from_fn(rows.len(), |i, j| {
        rows[i]
            .iter()
            .zip(&rows[j])
            .map(|(a, b)| a * b)
            .sum::<f32>()
            .into()
    });
    let fit = Fit::of(&likeness, &marks);
    let weights = (0..rows[0].len()).map(|n| {
        let sum: f64 = fit
            .shares
            .iter()
            .zip(&rows)
            .map(|(a, row)| a * f64::from(row[n]))
            .sum();
        sum as f32
    });
    let left_out: Vec<(f64, bool)> = fit.left_out.iter().copied().zip(marks).collect();
    Ok(TaughtHead {
        check: lesson.check,
        camera: lesson.camera.clone(),
        embedder_sha256: lesson.embedder_sha256.clone(),
        weights: weights.collect(),
        bias: fit.bias as f32,
        threshold: solve::logistic(best_cut(&left_out)) as f32,
        positives: count(positives),
        negatives: count(negatives),
        auc: auc(&left_out) as f32,
    })
}

/// The embeddings as directions, each of length 1.
fn directions(samples: &[(Vec<f32>, bool)]) -> Result<Vec<Vec<f32>>, TeachError> {
    let numbers = samples.first().map_or(0, |(first, _)| first.len());
    samples
        .iter()
        .enumerate()
        .map(|(n, (embedding, _))| {
            if embedding.len() != numbers {
                return Err(TeachError::OtherLength(n));
            }
            let length = length(embedding)
                .filter(|_| embedding.len() <= MAX_LENGTH)
                .ok_or(TeachError::BadEmbedding(n))?;
            Ok(embedding
                .iter()
                .map(|x| (f64::from(*x) / length) as f32)
                .collect())
        })
        .collect()
}

/// The length of an embedding; `None` when it is no direction.
fn length(embedding: &[f32]) -> Option<f64> {
    let length = embedding
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    (length.is_finite() && length > 1e-12).then_some(length)
}

/// How often a positive score lies above a negative one; ties count half.
fn auc(scores: &[(f64, bool)]) -> f64 {
    let of = |mark: bool| {
        scores
            .iter()
            .filter(move |(_, yes)| *yes == mark)
            .map(|(score, _)| *score)
    };
    let (mut above, mut pairs) = (0.0, 0.0);
    for yes in of(true) {
        for no in of(false) {
            pairs += 1.0;
            above += match yes.total_cmp(&no) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    above / pairs
}

/// The score that tells yes from no best, counting both kinds alike however many there are of each (Youden). Of
/// several as good, the one with the widest gap around it.
fn best_cut(scores: &[(f64, bool)]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total = |mark: bool| sorted.iter().filter(|(_, yes)| *yes == mark).count() as f64;
    let (yes, no) = (total(true), total(false));
    let (mut yes_below, mut no_below) = (0.0, 0.0);
    let mut best = (f64::NEG_INFINITY, 0.0, 0.0);
    for pair in sorted.windows(2) {
        let (low, high) = (pair[0].0, pair[1].0);
        if pair[0].1 {
            yes_below += 1.0;
        } else {
            no_below += 1.0;
        }
        let gap = high - low;
        let told_apart = no_below / no - yes_below / yes;
        let better = told_apart > best.0 + 1e-12 || (told_apart > best.0 - 1e-12 && gap > best.1);
        if gap > 0.0 && better {
            best = (told_apart, gap, f64::midpoint(low, high));
        }
    }
    best.2
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_and_the_cut_are_those_of_small_examples() {
        let scores = |yes: &[f64], no: &[f64]| -> Vec<(f64, bool)> {
            let marked = |scores: &[f64], mark| scores.iter().map(move |s| (*s, mark)).collect::<Vec<_>>();
            [marked(yes, true), marked(no, false)].concat()
        };
        for (yes, no, area, cut) in [
            (&[3.0, 4.0][..], &[1.0, 2.0][..], 1.0, 2.5),
            (&[1.0, 2.0], &[3.0, 4.0], 0.0, 0.0),
            (&[1.0, 4.0], &[0.0, 2.0], 0.75, 3.0),
            (&[5.0, 9.0], &[1.0, 2.0], 1.0, 3.5),
            (&[1.0], &[1.0], 0.5, 0.0),
        ] {
            let scores = scores(yes, no);
            assert_eq!(auc(&scores), area, "{scores:?}");
            if area > 0.5 {
                assert_eq!(best_cut(&scores), cut, "{scores:?}");
            }
        }
    }
}
