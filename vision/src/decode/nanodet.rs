//! NanoDet: per anchor point the probability of each label, then for each edge a distribution of its distance.

use super::{Candidate, Question, cells, sound};
use crate::infer::{BadOutput, Tensor};

/// The most steps of an edge's distribution.
const MAX_BINS: usize = 64;

/// Reads an output of the shape `[1, anchors, labels + 4 × bins]`, anchor points in the middle of the cells of
/// `strides`. An edge's distance is the mean of its distribution, in strides.
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number that matters makes no sense.
pub fn nanodet(
    output: &Tensor<'_>,
    question: &Question<'_>,
    strides: &[u32],
) -> Result<Vec<Candidate>, BadOutput> {
    let anchors = cells(question, strides).count();
    let values = output.of_shape(&[Some(1), Some(anchors), None])?;
    let width = output.side(2);
    let bins = width.saturating_sub(question.classes) / 4;
    if width != question.classes + 4 * bins || !(2..=MAX_BINS).contains(&bins) {
        return Err(BadOutput::Shape {
            wanted: format!("[1, {anchors}, {} + 4 × bins]", question.classes),
            got: output.shape.to_vec(),
        });
    }
    let mut found = Vec::new();
    for (row, (x, y, stride)) in values.chunks_exact(width).zip(cells(question, strides)) {
        let (labels, edges) = row.split_at(question.classes);
        let Some((class, score)) = question.best(|class| labels[class])? else {
            continue;
        };
        let mut distances = edges.chunks_exact(bins).map(|edge| mean(edge) * stride);
        let [left, top, right, bottom] =
            std::array::from_fn(|_| distances.next().expect("a row holds four edges"));
        let (x, y) = ((x + 0.5) * stride, (y + 0.5) * stride);
        found.push(Candidate {
            class,
            score,
            edges: sound([x - left, y - top, x + right, y + bottom])?,
        });
    }
    Ok(found)
}

/// The mean of 0, 1, 2… under the softmax of `logits`; not finite when one of them is not.
fn mean(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut all, mut weighted) = (0.0, 0.0);
    for (bin, logit) in logits.iter().enumerate() {
        let share = (logit - most).exp();
        all += share;
        weighted += share * bin as f32;
    }
    weighted / all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Wanted;

    const QUESTION: Question<'_> = Question {
        width: 32,
        height: 16,
        classes: 2,
        wanted: &[
            Wanted {
                class: 0,
                min_score: 0.4,
            },
            Wanted {
                class: 1,
                min_score: 0.4,
            },
        ],
    };

    /// Two anchors of stride 16, two labels, three bins.
    fn rows(second: [f32; 14]) -> [f32; 28] {
        let mut rows = [0.0; 28];
        rows[14..].copy_from_slice(&second);
        rows
    }

    #[test]
    fn edges_lie_at_the_mean_of_their_distribution() {
        let sure = 40.0;
        let even = 0.0;
        let values = rows([
            0.1, 0.8, sure, 0.0, 0.0, even, even, even, 0.0, 0.0, sure, sure, sure, 0.0,
        ]);
        let output = Tensor {
            shape: &[1, 2, 14],
            values: &values,
        };
        let found = nanodet(&output, &QUESTION, &[16]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 0.8));
        // The second cell's middle is (24, 8); the means are 0, 1, 2 and 0.5 strides.
        for (got, want) in found[0].edges.iter().zip([24.0, -8.0, 56.0, 16.0]) {
            assert!((got - want).abs() < 1e-3, "{:?}", found[0].edges);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let bad_edge = rows([
            0.9,
            0.0,
            f32::NAN,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
        ]);
        let output = |values| Tensor {
            shape: &[1, 2, 14],
            values,
        };
        assert_eq!(
            nanodet(&output(&bad_edge), &QUESTION, &[16]),
            Err(BadOutput::NotFinite)
        );
        let fine = rows([0.0; 14]);
        assert_eq!(nanodet(&output(&fine), &QUESTION, &[16]), Ok(Vec::new()));
        for strides in [&[8_u32, 16][..], &[], &[0]] {
            assert!(
                nanodet(&output(&fine), &QUESTION, strides).is_err(),
                "{strides:?}"
            );
        }
        let other_labels = Question {
            classes: 3,
            ..QUESTION
        };
        assert!(nanodet(&output(&fine), &other_labels, &[16]).is_err());
    }
}
