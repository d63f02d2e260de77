//! DETR and its kin: a fixed number of answers, each with its labels and its rectangle.

use super::{Candidate, Question, around};
use crate::infer::{BadOutput, Tensor};

/// Reads logits `[1, answers, labels + 1]`, the last of which means that nothing is there, and rectangles
/// `[1, answers, 4]`: middle and size in shares of the input.
///
/// # Errors
/// [`BadOutput`] when a shape is another or a number that matters makes no sense.
pub fn detr(
    logits: &Tensor<'_>,
    boxes: &Tensor<'_>,
    question: &Question<'_>,
) -> Result<Vec<Candidate>, BadOutput> {
    let labels = question.classes + 1;
    let values = logits.of_shape(&[Some(1), None, Some(labels)])?;
    let boxes = boxes.of_shape(&[Some(1), Some(logits.side(1)), Some(4)])?;
    let (width, height) = (question.width as f32, question.height as f32);
    let mut found = Vec::new();
    for (row, place) in values.chunks_exact(labels).zip(boxes.chunks_exact(4)) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let all: f32 = row.iter().map(|logit| (logit - most).exp()).sum();
        if let Some((class, score)) = question.best(|class| (row[class] - most).exp() / all)? {
            let edges = around(
                place[0] * width,
                place[1] * height,
                place[2] * width,
                place[3] * height,
            )?;
            found.push(Candidate { class, score, edges });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Wanted;

    const QUESTION: Question<'_> = Question {
        width: 100,
        height: 50,
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

    const BOXES: Tensor<'_> = Tensor {
        shape: &[1, 2, 4],
        values: &[0.5, 0.5, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1],
    };

    #[test]
    fn labels_compete_with_each_other_and_with_nothing() {
        let competing = Tensor {
            shape: &[1, 2, 3],
            values: &[0.0, 40.0, 0.0, 0.0, 0.0, 3.0],
        };
        let found = detr(&competing, &BOXES, &QUESTION).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 1.0));
        for (got, want) in found[0].edges.iter().zip([40.0, 15.0, 60.0, 35.0]) {
            assert!((got - want).abs() < 1e-3);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let bad = Tensor {
            shape: &[1, 2, 3],
            values: &[f32::NAN, 40.0, 0.0, 0.0, 0.0, 3.0],
        };
        assert_eq!(detr(&bad, &BOXES, &QUESTION), Err(BadOutput::NotFinite));
        let fewer = Tensor {
            shape: &[1, 1, 3],
            values: &[0.0, 40.0, 0.0],
        };
        assert!(matches!(
            detr(&fewer, &BOXES, &QUESTION),
            Err(BadOutput::Shape { .. })
        ));
    }
}
