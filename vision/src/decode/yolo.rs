//! The YOLO family, as their usual exports lay their outputs out.

use super::{Candidate, Question, around, cells};
use crate::infer::{BadOutput, Tensor, probability};

/// Reads `[1, anchors, 5 + labels]`: middle and size in points, whether anything is there, and the probability of
/// each label if so (YOLOv5, YOLOv7).
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number that matters makes no sense.
pub fn yolo_v5(output: &Tensor<'_>, question: &Question<'_>) -> Result<Vec<Candidate>, BadOutput> {
    let width = 5 + question.classes;
    let values = output.of_shape(&[Some(1), None, Some(width)])?;
    let mut found = Vec::new();
    for row in values.chunks_exact(width) {
        if let Some((class, score)) = row_best(row, question)? {
            let edges = around(row[0], row[1], row[2], row[3])?;
            found.push(Candidate { class, score, edges });
        }
    }
    Ok(found)
}

/// Reads `[1, 4 + labels, anchors]`: middle and size in points, and the probability of each label (YOLOv8, YOLO11).
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number that matters makes no sense.
pub fn yolo_v8(output: &Tensor<'_>, question: &Question<'_>) -> Result<Vec<Candidate>, BadOutput> {
    let values = output.of_shape(&[Some(1), Some(4 + question.classes), None])?;
    let anchors = output.side(2);
    let mut found = Vec::new();
    for anchor in 0..anchors {
        let at = |row: usize| values[row * anchors + anchor];
        if let Some((class, score)) = question.best(|class| at(4 + class))? {
            let edges = around(at(0), at(1), at(2), at(3))?;
            found.push(Candidate { class, score, edges });
        }
    }
    Ok(found)
}

/// Reads `[1, anchors, 5 + labels]` as YOLOX gives it: the middle in strides from its cell's corner, the logarithm of
/// the size in strides, whether anything is there, and the probability of each label if so.
///
/// # Errors
/// [`BadOutput`] when the shape is another or a number that matters makes no sense.
pub fn yolox(
    output: &Tensor<'_>,
    question: &Question<'_>,
    strides: &[u32],
) -> Result<Vec<Candidate>, BadOutput> {
    let width = 5 + question.classes;
    let anchors = cells(question, strides).count();
    let values = output.of_shape(&[Some(1), Some(anchors), Some(width)])?;
    let mut found = Vec::new();
    for (row, (x, y, stride)) in values.chunks_exact(width).zip(cells(question, strides)) {
        if let Some((class, score)) = row_best(row, question)? {
            let edges = around(
                (row[0] + x) * stride,
                (row[1] + y) * stride,
                row[2].exp() * stride,
                row[3].exp() * stride,
            )?;
            found.push(Candidate { class, score, edges });
        }
    }
    Ok(found)
}

/// The surest label of a row whose fifth number says whether anything is there.
fn row_best(row: &[f32], question: &Question<'_>) -> Result<Option<(usize, f32)>, BadOutput> {
    let there = probability(row[4])?;
    if question.wanted.iter().all(|wanted| there < wanted.min_score) {
        return Ok(None);
    }
    question.best(|class| row[5 + class] * there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Wanted;

    const QUESTION: Question<'_> = Question {
        width: 32,
        height: 16,
        classes: 2,
        wanted: &[Wanted {
            class: 1,
            min_score: 0.4,
        }],
    };

    fn one(class: usize, score: f32, edges: [f32; 4]) -> Vec<Candidate> {
        vec![Candidate { class, score, edges }]
    }

    #[test]
    fn v5_multiplies_what_is_there_with_what_it_is() {
        let values = [
            10.0, 8.0, 4.0, 6.0, 0.5, 0.1, 1.0, //
            10.0, 8.0, 4.0, 6.0, 0.5, 0.1, 0.7, //
            10.0, 8.0, 4.0, 6.0, 0.9, 1.0, 0.5,
        ];
        let output = Tensor {
            shape: &[1, 3, 7],
            values: &values,
        };
        let found = yolo_v5(&output, &QUESTION).unwrap();
        assert_eq!(found, one(1, 0.5, [8.0, 5.0, 12.0, 11.0]));
    }

    #[test]
    fn v8_lists_numbers_by_kind() {
        let values = [10.0, 20.0, 8.0, 9.0, 4.0, 2.0, 6.0, 2.0, 0.1, 0.9, 0.6, 0.8];
        let output = Tensor {
            shape: &[1, 6, 2],
            values: &values,
        };
        let found = yolo_v8(&output, &QUESTION).unwrap();
        assert_eq!(found, one(1, 0.6, [8.0, 5.0, 12.0, 11.0]));
        let turned = Tensor {
            shape: &[1, 2, 6],
            values: &values,
        };
        assert!(matches!(
            yolo_v8(&turned, &QUESTION),
            Err(BadOutput::Shape { .. })
        ));
    }

    #[test]
    fn yolox_counts_from_the_corner_of_its_cell() {
        let mut values = [0.0; 14];
        values[7..].copy_from_slice(&[0.5, 0.25, 0.0, 2.0_f32.ln(), 1.0, 0.0, 0.8]);
        let output = Tensor {
            shape: &[1, 2, 7],
            values: &values,
        };
        let found = yolox(&output, &QUESTION, &[16]).unwrap();
        assert_eq!(found, one(1, 0.8, [16.0, -12.0, 32.0, 20.0]));
        // A size beyond all numbers is nonsense, not a very large rectangle.
        values[9] = 200.0;
        let output = Tensor {
            shape: &[1, 2, 7],
            values: &values,
        };
        assert_eq!(yolox(&output, &QUESTION, &[16]), Err(BadOutput::NotFinite));
    }
}
