//! Taught checks: a person marks crops of their own camera as yes or no, and a line is drawn between the two.
//!
//! The line is a ridge regression on the embedding, solved over the crops instead of over the embedding's 1,280
//! numbers: with so few crops it takes milliseconds, it is exact, and leaving one crop out at a time costs nothing
//! more (the closed form of Allen's PRESS). How well the line does on crops it was not drawn with decides whether it
//! may raise anything.

use domain::Check;
use serde::{Deserialize, Serialize};

use crate::seen::{Unjudged, Verdict};

/// The fewest crops of each kind from which a line is drawn.
pub const LEAST_OF_EACH: usize = 5;

/// The most crops. The store keeps no more of one check.
pub const MOST: usize = 400;

/// The least area under the curve, leaving one out, with which a check may raise a finding: below it, one of seven
/// pairs of yes and no would be ranked wrongly.
pub const AUC_FLOOR: f32 = 0.85;

/// How strongly the line is kept simple; of embeddings of length one.
const RIDGE: f64 = 0.1;

/// How steeply the distance to the line becomes a probability.
const STEEPNESS: f32 = 4.0;

/// Half the width of the band around the threshold in which nothing is said.
const UNSURE: f32 = 0.05;

/// Why no line can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TeachError {
    /// Too few crops of one kind.
    #[error("{yes} crops are marked yes and {no} no; mark at least {LEAST_OF_EACH} of each")]
    TooFew {
        /// Marked yes.
        yes: usize,
        /// Marked no.
        no: usize,
    },
    /// More than are taken.
    #[error("{0} crops are marked; at most {MOST} are taken")]
    TooMany(usize),
    /// The embeddings do not belong together.
    #[error("the crops were embedded by different models; take new crops")]
    Mixed,
    /// An embedding is not a finite vector other than zero.
    #[error("the embedding of a crop makes no sense; take new crops")]
    Senseless,
}

/// A line between yes and no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaughtHead {
    /// What it tells.
    pub check: Check,
    /// The SHA-256 of the embedder that its crops were embedded with, in hexadecimal: it means nothing to another.
    pub embedder_sha256: String,
    /// One weight for each number of an embedding of length one.
    pub weights: Vec<f32>,
    /// Where the line lies.
    pub bias: f32,
    /// The probability from which on it is a yes, 0 to 1.
    pub threshold: f32,
    /// Crops marked yes.
    pub positives: usize,
    /// Crops marked no.
    pub negatives: usize,
    /// Area under the curve on crops that it was not drawn with, 0 to 1.
    pub auc: f32,
}

impl TaughtHead {
    /// Draws the line. `samples` are embeddings, with true where the check's state is there.
    ///
    /// # Errors
    /// [`TeachError`] says what is missing.
    pub fn fit(
        check: Check,
        samples: &[(Vec<f32>, bool)],
        embedder_sha256: &str,
    ) -> Result<Self, TeachError> {
        let yes = samples.iter().filter(|(_, label)| *label).count();
        let no = samples.len() - yes;
        if yes.min(no) < LEAST_OF_EACH {
            return Err(TeachError::TooFew { yes, no });
        }
        if samples.len() > MOST {
            return Err(TeachError::TooMany(samples.len()));
        }
        let length = samples[0].0.len();
        if samples.iter().any(|(embedding, _)| embedding.len() != length) {
            return Err(TeachError::Mixed);
        }
        let vectors: Option<Vec<Vec<f32>>> = samples.iter().map(|(e, _)| of_length_one(e)).collect();
        let vectors = vectors.ok_or(TeachError::Senseless)?;
        let labels: Vec<bool> = samples.iter().map(|(_, label)| *label).collect();
        let solved = solve(&vectors, &labels).ok_or(TeachError::Senseless)?;
        let left_out: Vec<f32> = solved.left_out.iter().map(|f| probability(*f as f32)).collect();
        let mut weights = vec![0.0; length];
        for (vector, alpha) in vectors.iter().zip(&solved.alphas) {
            for (weight, number) in weights.iter_mut().zip(vector) {
                *weight += *alpha as f32 * number;
            }
        }
        Ok(TaughtHead {
            check,
            embedder_sha256: embedder_sha256.to_owned(),
            weights,
            bias: solved.bias as f32,
            threshold: best_threshold(&left_out, &labels),
            positives: yes,
            negatives: no,
            auc: auc(&left_out, &labels),
        })
    }

    /// Whether it is good enough to raise a finding. One that is not shows its results all the same.
    #[must_use]
    pub fn may_alert(&self) -> bool {
        self.auc >= AUC_FLOOR
    }

    /// The probability that the state is there, 0 to 1; `None` for an embedding of another model.
    #[must_use]
    pub fn probability(&self, embedding: &[f32]) -> Option<f32> {
        if embedding.len() != self.weights.len() {
            return None;
        }
        let vector = of_length_one(embedding)?;
        let far: f32 = vector.iter().zip(&self.weights).map(|(a, b)| a * b).sum();
        Some(probability(far + self.bias))
    }

    /// What it says of a crop. Near the line it says nothing.
    #[must_use]
    pub fn verdict(&self, embedding: &[f32]) -> Verdict {
        match self.probability(embedding) {
            None => Verdict::Unjudged(Unjudged::NoModel),
            Some(p) if (p - self.threshold).abs() < UNSURE => Verdict::Unjudged(Unjudged::Blurred),
            Some(p) if p > self.threshold => Verdict::Positive(p),
            Some(p) => Verdict::Negative(p),
        }
    }
}

fn probability(far: f32) -> f32 {
    1.0 / (1.0 + (-STEEPNESS * far).exp())
}

fn of_length_one(embedding: &[f32]) -> Option<Vec<f32>> {
    let length = embedding.iter().map(|x| x * x).sum::<f32>().sqrt();
    let sound = length.is_finite() && length > f32::EPSILON;
    sound.then(|| embedding.iter().map(|x| x / length).collect())
}

/// What the regression gives.
struct Solved {
    alphas: Vec<f64>,
    bias: f64,
    /// Each sample's distance to the line that is drawn without it.
    left_out: Vec<f64>,
}

/// Ridge regression to +1 and −1 with the two kinds weighing the same, over the samples' inner products. `None` when
/// the numbers make no sense.
fn solve(vectors: &[Vec<f32>], labels: &[bool]) -> Option<Solved> {
    let n = vectors.len();
    let yes = labels.iter().filter(|l| **l).count() as f64;
    let no = n as f64 - yes;
    // A bias is a number more, always one, in every vector; it is kept out of the simplicity nearly wholly.
    const BIAS_WEIGHT: f64 = 10.0;
    let mut matrix = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let inner: f32 = vectors[i].iter().zip(&vectors[j]).map(|(a, b)| a * b).sum();
            matrix[i][j] = f64::from(inner) + BIAS_WEIGHT;
            matrix[j][i] = matrix[i][j];
        }
        let of_kind = if labels[i] { yes } else { no };
        // The rarer kind is bent towards more.
        matrix[i][i] += RIDGE * of_kind * 2.0 / n as f64;
    }
    let inverse = inverse(matrix)?;
    let goal: Vec<f64> = labels.iter().map(|l| if *l { 1.0 } else { -1.0 }).collect();
    let alphas: Vec<f64> = inverse
        .iter()
        .map(|row| row.iter().zip(&goal).map(|(a, b)| a * b).sum())
        .collect();
    let left_out: Vec<f64> = (0..n).map(|i| goal[i] - alphas[i] / inverse[i][i]).collect();
    let bias = BIAS_WEIGHT * alphas.iter().sum::<f64>();
    let sound = left_out.iter().chain([&bias]).all(|x| x.is_finite());
    sound.then_some(Solved {
        alphas,
        bias,
        left_out,
    })
}

/// The inverse of a symmetric positive matrix, by Gauss and Jordan; `None` when it has none.
fn inverse(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    let n = matrix.len();
    for pivot in 0..n {
        let head = matrix[pivot][pivot];
        if head.abs() < 1e-12 {
            return None;
        }
        matrix[pivot][pivot] = 1.0;
        for number in &mut matrix[pivot] {
            *number /= head;
        }
        let row = matrix[pivot].clone();
        for (i, other) in matrix.iter_mut().enumerate() {
            if i == pivot {
                continue;
            }
            let factor = std::mem::take(&mut other[pivot]);
            for (number, of_pivot) in other.iter_mut().zip(&row) {
                *number -= factor * of_pivot;
            }
        }
    }
    Some(matrix)
}

/// The probability that a yes scores above a no.
fn auc(scores: &[f32], labels: &[bool]) -> f32 {
    let of = |kind: bool| {
        scores
            .iter()
            .zip(labels)
            .filter(move |(_, l)| **l == kind)
            .map(|(s, _)| *s)
    };
    let mut won = 0.0;
    for yes in of(true) {
        won += of(false)
            .map(|no| match yes.total_cmp(&no) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
            .sum::<f32>();
    }
    won / (of(true).count() * of(false).count()) as f32
}

/// The threshold that gets most of both kinds right: halfway between the two scores it separates.
fn best_threshold(scores: &[f32], labels: &[bool]) -> f32 {
    let mut sorted: Vec<f32> = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    let yes = labels.iter().filter(|l| **l).count() as f32;
    let no = labels.len() as f32 - yes;
    let right = |threshold: f32| {
        let hits = |kind: bool| {
            let of_kind = scores.iter().zip(labels).filter(|(_, l)| **l == kind);
            of_kind.filter(|(s, _)| (**s > threshold) == kind).count() as f32
        };
        hits(true) / yes + hits(false) / no
    };
    let between = sorted.windows(2).map(|pair| f32::midpoint(pair[0], pair[1]));
    between
        .max_by(|a, b| {
            right(*a)
                .total_cmp(&right(*b))
                .then((b - 0.5).abs().total_cmp(&(a - 0.5).abs()))
        })
        .unwrap_or(0.5)
}

#[cfg(test)]
mod tests {
    use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    /// `n` crops of each kind: noise, and a direction in which the kinds differ by `apart`.
    fn crops(n: usize, apart: f32, seed: u64) -> Vec<(Vec<f32>, bool)> {
        let mut random = StdRng::seed_from_u64(seed);
        (0..2 * n)
            .map(|i| {
                let label = i % 2 == 0;
                let mut vector: Vec<f32> = (0..256).map(|_| random.random_range(-1.0..1.0)).collect();
                vector[3] += if label { apart } else { -apart };
                (vector, label)
            })
            .collect()
    }

    #[test]
    fn what_differs_is_told_apart_and_what_does_not_may_not_alert() {
        let head = TaughtHead::fit(Check::BinOpen, &crops(15, 12.0, 1), "sha").unwrap();
        assert!(head.auc > 0.95 && head.may_alert(), "{}", head.auc);
        let unseen = crops(20, 12.0, 2);
        let right = unseen.iter().filter(|(e, label)| match head.verdict(e) {
            Verdict::Positive(_) => *label,
            Verdict::Negative(_) => !*label,
            Verdict::Unjudged(_) => false,
        });
        assert!(right.count() >= 36);
        let noise = TaughtHead::fit(Check::BinOpen, &crops(15, 0.0, 3), "sha").unwrap();
        assert!(!noise.may_alert(), "{}", noise.auc);
    }

    /// The closed form against drawing the line again without each crop.
    #[test]
    fn leaving_one_out_in_closed_form_is_leaving_one_out() {
        let samples = crops(6, 4.0, 4);
        let vectors: Vec<Vec<f32>> = samples.iter().map(|(e, _)| of_length_one(e).unwrap()).collect();
        let labels: Vec<bool> = samples.iter().map(|(_, l)| *l).collect();
        let n = vectors.len();
        let mut matrix = vec![vec![0.0; n]; n];
        for (i, row) in matrix.iter_mut().enumerate() {
            for (j, cell) in row.iter_mut().enumerate() {
                let inner: f32 = vectors[i].iter().zip(&vectors[j]).map(|(a, b)| a * b).sum();
                *cell = f64::from(inner) + 10.0 + if i == j { RIDGE } else { 0.0 };
            }
        }
        let closed = solve(&vectors, &labels).unwrap().left_out;
        for out in 0..n {
            let keep: Vec<usize> = (0..n).filter(|i| *i != out).collect();
            let rest = keep
                .iter()
                .map(|i| keep.iter().map(|j| matrix[*i][*j]).collect())
                .collect();
            let inverse = inverse(rest).unwrap();
            let goal = |i: usize| if labels[keep[i]] { 1.0 } else { -1.0 };
            let alphas: Vec<f64> = inverse
                .iter()
                .map(|row| row.iter().enumerate().map(|(i, a)| a * goal(i)).sum())
                .collect();
            let told: f64 = keep.iter().zip(&alphas).map(|(i, a)| a * matrix[out][*i]).sum();
            assert!((told - closed[out]).abs() < 1e-3, "{out}: {told} {}", closed[out]);
        }
    }

    #[test]
    fn too_little_and_nonsense_are_refused() {
        let few = TaughtHead::fit(Check::BinOpen, &crops(4, 1.0, 5), "sha");
        assert_eq!(few, Err(TeachError::TooFew { yes: 4, no: 4 }));
        let mut mixed = crops(6, 1.0, 6);
        mixed[0].0.push(1.0);
        assert_eq!(
            TaughtHead::fit(Check::BinOpen, &mixed, "sha"),
            Err(TeachError::Mixed)
        );
        let mut senseless = crops(6, 1.0, 7);
        senseless[0].0[0] = f32::NAN;
        assert_eq!(
            TaughtHead::fit(Check::BinOpen, &senseless, "sha"),
            Err(TeachError::Senseless)
        );
        assert_eq!(
            TaughtHead::fit(Check::BinOpen, &crops(201, 1.0, 8), "sha"),
            Err(TeachError::TooMany(402))
        );
        let head = TaughtHead::fit(Check::BinOpen, &crops(6, 9.0, 9), "sha").unwrap();
        assert_eq!(head.verdict(&[0.0; 3]), Verdict::Unjudged(Unjudged::NoModel));
    }
}
