//! Classifiers, embeddings and heads: one row of numbers.

use crate::infer::{BadOutput, Tensor, probability};

/// What is still to be done to a model's scores to make probabilities of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: they are probabilities.
    None,
    /// They compete.
    Softmax,
}

/// The probability of each label, from `[1, labels]`.
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number makes no sense.
pub fn scores(output: &Tensor<'_>, labels: usize, activation: Activation) -> Result<Vec<f32>, BadOutput> {
    let values = output.of_shape(&[Some(1), Some(labels)])?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(BadOutput::NotFinite);
    }
    match activation {
        Activation::None => values.iter().map(|value| probability(*value)).collect(),
        Activation::Softmax => {
            let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let shares: Vec<f32> = values.iter().map(|value| (value - most).exp()).collect();
            let all: f32 = shares.iter().sum();
            Ok(shares.into_iter().map(|share| share / all).collect())
        }
    }
}

/// An embedding, from `[1, size]`.
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number is not finite.
pub fn embedding(output: &Tensor<'_>, size: usize) -> Result<Vec<f32>, BadOutput> {
    let values = output.of_shape(&[Some(1), Some(size)])?;
    if !values.iter().all(|value| value.is_finite()) {
        return Err(BadOutput::NotFinite);
    }
    Ok(values.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Tensor<'_> {
        Tensor {
            shape: &[1, 2],
            values,
        }
    }

    #[test]
    fn scores_become_probabilities() {
        let cases = [
            (Activation::None, [0.25, 1.01], [0.25, 1.0]),
            (Activation::Softmax, [1000.0, 1000.0], [0.5, 0.5]),
            (Activation::Softmax, [0.0, 1000.0], [0.0, 1.0]),
        ];
        for (activation, values, want) in cases {
            assert_eq!(scores(&row(&values), 2, activation), Ok(want.to_vec()));
        }
        assert_eq!(
            scores(&row(&[0.5, 3.0]), 2, Activation::None),
            Err(BadOutput::OutOfRange(3.0))
        );
        for activation in [Activation::None, Activation::Softmax] {
            let infinite = scores(&row(&[0.5, f32::INFINITY]), 2, activation);
            assert_eq!(infinite, Err(BadOutput::NotFinite));
        }
        assert!(matches!(
            scores(&row(&[0.0; 2]), 3, Activation::None),
            Err(BadOutput::Shape { .. })
        ));
    }

    #[test]
    fn an_embedding_is_finite_and_of_its_size() {
        assert_eq!(embedding(&row(&[3.0, -4.0]), 2), Ok(vec![3.0, -4.0]));
        assert_eq!(embedding(&row(&[3.0, f32::NAN]), 2), Err(BadOutput::NotFinite));
        assert!(embedding(&row(&[3.0, 1.0]), 1280).is_err());
    }
}
