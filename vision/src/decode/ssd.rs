//! SSD with its own suppression: three lists of answers.

use super::{Candidate, Question, sound};
use crate::infer::{BadOutput, Tensor, probability};

/// What an SSD gives.
#[derive(Debug, Clone, Copy)]
pub struct SsdOutputs<'a> {
    /// `[1, answers, 4]`: edges in shares of the input.
    pub boxes: Tensor<'a>,
    /// `[1, answers]`: which label, from 0.
    pub classes: Tensor<'a>,
    /// `[1, answers]`: probabilities.
    pub scores: Tensor<'a>,
    /// Where left, upper, right and lower edge stand among the four.
    pub order: [usize; 4],
}

/// Reads the three lists. What has too low a score is not looked at: such models fill their lists up with anything. A
/// label beyond those of the card is none that matters.
///
/// # Errors
/// [`BadOutput`] when a shape is another or a number that matters makes no sense.
pub fn ssd(outputs: &SsdOutputs<'_>, question: &Question<'_>) -> Result<Vec<Candidate>, BadOutput> {
    let answers = outputs.scores.side(1);
    let scores = outputs.scores.of_shape(&[Some(1), Some(answers)])?;
    let classes = outputs.classes.of_shape(&[Some(1), Some(answers)])?;
    let boxes = outputs.boxes.of_shape(&[Some(1), Some(answers), Some(4)])?;
    let mut found = Vec::new();
    for ((place, class), score) in boxes.chunks_exact(4).zip(classes).zip(scores) {
        let score = probability(*score)?;
        if !question.wanted.iter().any(|wanted| score >= wanted.min_score) {
            continue;
        }
        let class = label(*class)?;
        let wanted = question.wanted.iter().find(|wanted| wanted.class == class);
        if wanted.is_some_and(|wanted| score >= wanted.min_score) {
            let (width, height) = (question.width as f32, question.height as f32);
            let [left, top, right, bottom] = outputs.order.map(|edge| place[edge]);
            let edges = sound([left * width, top * height, right * width, bottom * height])?;
            found.push(Candidate { class, score, edges });
        }
    }
    Ok(found)
}

/// A label that is given as a floating point number.
fn label(class: f32) -> Result<usize, BadOutput> {
    /// More labels than any model has; every whole number up to it is exact.
    const MANY: f32 = 65_536.0;
    if class.fract() == 0.0 && (0.0..MANY).contains(&class) {
        Ok(class as usize)
    } else {
        Err(BadOutput::OutOfRange(class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Wanted;

    const QUESTION: Question<'_> = Question {
        width: 100,
        height: 50,
        classes: 2,
        wanted: &[Wanted {
            class: 1,
            min_score: 0.4,
        }],
    };

    fn read(classes: &[f32; 3], scores: &[f32; 3]) -> Result<Vec<Candidate>, BadOutput> {
        let boxes = [0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 1.0, 1.0, 9.0, 9.0, f32::NAN, 9.0];
        let row = |values| Tensor {
            shape: &[1, 3],
            values,
        };
        let outputs = SsdOutputs {
            boxes: Tensor {
                shape: &[1, 3, 4],
                values: &boxes,
            },
            classes: row(classes),
            scores: row(scores),
            order: [1, 0, 3, 2],
        };
        ssd(&outputs, &QUESTION)
    }

    #[test]
    fn wanted_answers_are_taken_and_what_fills_the_lists_is_not_looked_at() {
        let found = read(&[1.0, 0.0, -1.0], &[0.9, 0.9, 0.0]).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class, found[0].score), (1, 0.9));
        for (got, want) in found[0].edges.iter().zip([20.0, 5.0, 40.0, 15.0]) {
            assert!((got - want).abs() < 1e-4);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(read(&[99.0, 0.0, 0.0], &[0.9, 0.0, 0.0]), Ok(Vec::new()));
        for class in [-1.0, 0.5, 1e6, f32::NAN] {
            let refused = read(&[class, 0.0, 0.0], &[0.9, 0.0, 0.0]);
            assert!(matches!(refused, Err(BadOutput::OutOfRange(_))), "{class}");
        }
        assert_eq!(
            read(&[0.0, 0.0, 1.0], &[0.0, 0.0, 0.9]),
            Err(BadOutput::NotFinite)
        );
        assert_eq!(read(&[0.0; 3], &[7.0, 0.0, 0.0]), Err(BadOutput::OutOfRange(7.0)));
    }
}
