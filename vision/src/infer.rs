//! What models give, and what can go wrong with them.

/// The most characters of a library's own words that an error repeats.
const MAX_WORDS: usize = 240;

/// What is wrong with numbers that a model gave. The model or its card is at fault, never the picture.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadOutput {
    /// An output that the card promises is not there.
    #[error("it gave no output `{0}`; correct the card's output names")]
    Missing(String),
    /// An output holds something else than 32-bit floating point numbers.
    #[error("its output `{0}` does not hold 32-bit floats; convert the model")]
    Type(String),
    /// An output has another shape than its kind of model gives.
    #[error(
        "an output has the shape {got:?} where {wanted} was due; correct the card's kind, size or labels"
    )]
    Shape {
        /// What was due, in words.
        wanted: String,
        /// What came; at most eight numbers.
        got: Vec<i64>,
    },
    /// A number is infinite or none.
    #[error("it gave a number that is not finite; check the model's file and precision")]
    NotFinite,
    /// A probability lies outside 0 to 1, or a box has no size a picture could have.
    #[error("it gave {0}, which is out of range; correct the card's kind or activation")]
    OutOfRange(f32),
}

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// The system denies what running models takes.
    #[error("models cannot be run: {0}; lower the number of workers")]
    System(String),
    /// No model of the catalogue does this.
    #[error("no model of the catalogue can be used for {0}; add one, or leave out what needs it")]
    NoModel(&'static str),
    /// The catalogue does not vouch for a model.
    #[error("the model `{model}` is refused: {why}")]
    Refused {
        /// The card's name.
        model: String,
        /// The catalogue's reason.
        why: String,
    },
    /// The library refuses the model.
    #[error("the model `{model}` cannot be loaded: {why}; check its file against its card")]
    Load {
        /// The card's name.
        model: String,
        /// The library's words, cut short.
        why: String,
    },
    /// The library failed at a run.
    #[error("the model `{model}` failed: {why}; it is loaded afresh")]
    Run {
        /// The card's name.
        model: String,
        /// The library's words, cut short.
        why: String,
    },
    /// The model ran, but its numbers make no sense.
    #[error("the model `{model}` gave nonsense: {what}")]
    BadOutput {
        /// The card's name.
        model: String,
        /// What is wrong with them.
        what: BadOutput,
    },
    /// A picture whose bytes do not match its size, or that is empty.
    #[error("a picture of {width}x{height} has {bytes} bytes; its decoder is at fault")]
    Frame {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes of the picture.
        bytes: usize,
    },
}

impl InferError {
    /// Whether a model is at fault, so that a fresh session may help. A bad picture is no model's fault.
    #[must_use]
    pub fn is_models_fault(&self) -> bool {
        !matches!(self, InferError::Frame { .. })
    }
}

/// A library's words on one line, cut to a length that a log can take.
pub(crate) fn words(text: &dyn std::fmt::Display) -> String {
    let text = text.to_string();
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(MAX_WORDS).collect()
}

/// One output of a model.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// The size of each dimension.
    pub shape: &'a [i64],
    /// As many numbers as the shape says, the last dimension changing fastest.
    pub values: &'a [f32],
}

impl<'a> Tensor<'a> {
    /// The numbers, when the shape is `wanted` (`None`: any size) and the numbers are as many.
    ///
    /// # Errors
    /// [`BadOutput::Shape`].
    pub fn of_shape(&self, wanted: &[Option<usize>]) -> Result<&'a [f32], BadOutput> {
        let fits = self.shape.len() == wanted.len()
            && wanted.iter().zip(self.shape).all(|(want, got)| {
                usize::try_from(*got).is_ok_and(|got| got > 0 && want.is_none_or(|want| want == got))
            });
        let count = self.shape.iter().try_fold(1_i64, |n, side| n.checked_mul(*side));
        let full = count.and_then(|n| usize::try_from(n).ok()) == Some(self.values.len());
        if fits && full {
            return Ok(self.values);
        }
        let side = |side: &Option<usize>| side.map_or_else(|| "any".to_owned(), |n| n.to_string());
        let wanted: Vec<String> = wanted.iter().map(side).collect();
        Err(BadOutput::Shape {
            wanted: format!("[{}]", wanted.join(", ")),
            got: self.shape.iter().copied().take(8).collect(),
        })
    }

    /// The size of one dimension; 0 when there is none.
    #[must_use]
    pub fn side(&self, dimension: usize) -> usize {
        let side = self.shape.get(dimension).copied().unwrap_or_default();
        usize::try_from(side).unwrap_or_default()
    }
}

/// A probability, cut to 0 to 1. Quantised models overshoot by a step of their scale, which is forgiven.
///
/// # Errors
/// [`BadOutput::NotFinite`], or [`BadOutput::OutOfRange`] beyond that step.
pub(crate) fn probability(value: f32) -> Result<f32, BadOutput> {
    const STEP: f32 = 1.0 / 64.0;
    if !value.is_finite() {
        return Err(BadOutput::NotFinite);
    }
    if !(-STEP..=1.0 + STEP).contains(&value) {
        return Err(BadOutput::OutOfRange(value));
    }
    Ok(value.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_held_against_the_shape_that_is_due() {
        let values = [0.0; 6];
        let tensor = |shape: &'static [i64]| Tensor {
            shape,
            values: &values,
        };
        assert!(tensor(&[1, 2, 3]).of_shape(&[Some(1), None, Some(3)]).is_ok());
        let refused: [(&[i64], &[Option<usize>]); 5] = [
            (&[1, 2, 3], &[Some(1), None]),
            (&[1, 2, 3], &[Some(1), Some(3), None]),
            (&[1, 2, 4], &[None, None, None]),
            (&[1, -2, -3], &[None, None, None]),
            (&[i64::MAX, 2, 3], &[None, None, None]),
        ];
        for (shape, wanted) in refused {
            let outcome = tensor(shape).of_shape(wanted);
            assert!(matches!(outcome, Err(BadOutput::Shape { .. })), "{shape:?}");
        }
    }

    #[test]
    fn probabilities_are_cut_or_refused() {
        assert_eq!(probability(1.01), Ok(1.0));
        assert_eq!(probability(-0.01), Ok(0.0));
        assert_eq!(probability(1.1), Err(BadOutput::OutOfRange(1.1)));
        assert_eq!(probability(f32::NAN), Err(BadOutput::NotFinite));
        assert_eq!(probability(f32::INFINITY), Err(BadOutput::NotFinite));
    }

    #[test]
    fn a_librarys_words_are_one_short_line() {
        let long = format!("first\n\tsecond {}", "x".repeat(1000));
        assert_eq!(words(&long).chars().count(), MAX_WORDS);
        assert!(words(&long).starts_with("first second x"));
    }
}
