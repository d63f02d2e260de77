//! From a model's numbers to what it found. Pure: tensors in, candidates or scores out. Numbers that make no sense
//! are an error, never a panic.

use crate::infer::{BadOutput, probability};

mod blazeface;
mod nanodet;
mod scores;
mod ssd;
mod transformer;
mod yolo;

pub use self::{
    blazeface::{Face, blazeface},
    nanodet::nanodet,
    scores::{Activation, embedding, scores},
    ssd::{SsdOutputs, ssd},
    transformer::detr,
    yolo::{yolo_v5, yolo_v8, yolox},
};

/// The most candidates that are held against each other; the surest are kept.
pub const MAX_CANDIDATES: usize = 1000;

/// The most that is found in one picture; the surest are kept.
pub const MAX_FOUND: usize = 100;

/// A rectangle that may hold something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which of the model's labels, from 0.
    pub class: usize,
    /// How sure, 0 to 1.
    pub score: f32,
    /// Left, upper, right and lower edge in points of the model's input.
    pub edges: [f32; 4],
}

/// A label that matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Which, from 0.
    pub class: usize,
    /// The least score with which it counts, 0 to 1.
    pub min_score: f32,
}

/// What is asked of a detector's output.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Width of the model's input in points.
    pub width: u32,
    /// Height of the model's input in points.
    pub height: u32,
    /// How many labels the model has.
    pub classes: usize,
    /// Which of them matter. What is more surely something else is not reported.
    pub wanted: &'a [Wanted],
}

impl Question<'_> {
    /// The surest label among the wanted ones, when it is sure enough and nothing else is surer. `score` gives the
    /// probability of a label.
    fn best(&self, score: impl Fn(usize) -> f32) -> Result<Option<(usize, f32)>, BadOutput> {
        let mut best: Option<(usize, f32)> = None;
        for wanted in self.wanted {
            let score = probability(score(wanted.class))?;
            if score >= wanted.min_score && best.is_none_or(|(_, least)| score > least) {
                best = Some((wanted.class, score));
            }
        }
        // Most anchors end above, after a few labels: looking at all of them is for the few that may count. A score
        // just above 1 was cut to it and outdoes nothing.
        let outdone = |(class, most): &(usize, f32)| {
            (0..self.classes).any(|other| other != *class && score(other).min(1.0) > *most)
        };
        Ok(best.filter(|best| !outdone(best)))
    }
}

/// The anchor points of a detector that looks at its input in grids of several widths, in the order in which such
/// models list them: the middles or the corners of the cells, row by row.
fn cells(question: &Question<'_>, strides: &[u32]) -> impl Iterator<Item = (f32, f32, f32)> {
    let (width, height) = (question.width, question.height);
    let grids = strides.iter().copied().filter(|stride| *stride > 0);
    let grids: Vec<u32> = grids.collect();
    grids.into_iter().flat_map(move |stride| {
        let (across, down) = (width.div_ceil(stride), height.div_ceil(stride));
        (0..down).flat_map(move |y| (0..across).map(move |x| (x as f32, y as f32, stride as f32)))
    })
}

/// The edges of a rectangle given by its middle and size.
fn around(x: f32, y: f32, width: f32, height: f32) -> Result<[f32; 4], BadOutput> {
    sound([
        x - width / 2.0,
        y - height / 2.0,
        x + width / 2.0,
        y + height / 2.0,
    ])
}

fn sound(edges: [f32; 4]) -> Result<[f32; 4], BadOutput> {
    if edges.iter().all(|edge| edge.is_finite()) {
        Ok(edges)
    } else {
        Err(BadOutput::NotFinite)
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Keeps the surest of candidates that overlap by more than `most` (intersection over union) and have the same
/// label. The surest come first. At most [`MAX_FOUND`].
#[must_use]
pub fn suppress(mut candidates: Vec<Candidate>, most: f32) -> Vec<Candidate> {
    let surest_first = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score);
    if candidates.len() > MAX_CANDIDATES {
        candidates.select_nth_unstable_by(MAX_CANDIDATES, surest_first);
        candidates.truncate(MAX_CANDIDATES);
    }
    candidates.sort_by(surest_first);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let doubled =
            |other: &Candidate| other.class == candidate.class && iou(&other.edges, &candidate.edges) > most;
        if !kept.iter().any(doubled) {
            kept.push(candidate);
            if kept.len() == MAX_FOUND {
                break;
            }
        }
    }
    kept
}

/// Intersection over union, 0 to 1; 0 for rectangles without area.
fn iou(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let area = |e: &[f32; 4]| (e[2] - e[0]).max(0.0) * (e[3] - e[1]).max(0.0);
    let both = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop, prop_oneof, proptest};

    use super::*;
    use crate::infer::Tensor;

    const fn wanted(class: usize) -> Wanted {
        Wanted {
            class,
            min_score: 0.4,
        }
    }

    fn candidate(class: usize, score: f32, edges: [f32; 4]) -> Candidate {
        Candidate { class, score, edges }
    }

    #[test]
    fn of_rectangles_that_cover_each_other_the_surest_stays() {
        let a = candidate(0, 0.9, [0.0, 0.0, 10.0, 10.0]);
        let shifted = candidate(0, 0.8, [1.0, 0.0, 11.0, 10.0]);
        let other_label = candidate(1, 0.7, [1.0, 0.0, 11.0, 10.0]);
        let far = candidate(0, 0.6, [20.0, 0.0, 30.0, 10.0]);
        let flat = candidate(0, 0.5, [5.0, 5.0, 5.0, 5.0]);
        let kept = suppress(vec![far, shifted, flat, other_label, a], 0.5);
        assert_eq!(kept, [a, other_label, far, flat]);
    }

    #[test]
    fn what_is_found_is_bounded_and_the_surest_stay() {
        let many: Vec<Candidate> = (0..5000)
            .map(|n| {
                let left = n as f32 * 10.0;
                candidate(0, n as f32 / 5000.0, [left, 0.0, left + 5.0, 5.0])
            })
            .collect();
        let kept = suppress(many, 0.5);
        assert_eq!(kept.len(), MAX_FOUND);
        assert_eq!(kept[0].score, 4999.0 / 5000.0);
        assert_eq!(kept[99].score, 4900.0 / 5000.0);
    }

    #[test]
    fn a_label_counts_only_when_nothing_else_is_surer() {
        let question = Question {
            width: 8,
            height: 8,
            classes: 3,
            wanted: &[wanted(0), wanted(2)],
        };
        let best = |scores: [f32; 3]| question.best(|class| scores[class]);
        assert_eq!(best([0.5, 0.1, 0.6]), Ok(Some((2, 0.6))));
        assert_eq!(best([0.5, 0.9, 0.6]), Ok(None));
        assert_eq!(best([0.3, 0.1, 0.2]), Ok(None));
        assert_eq!(best([0.5, 0.1, f32::NAN]), Err(BadOutput::NotFinite));
        assert_eq!(best([0.5, 0.1, 7.0]), Err(BadOutput::OutOfRange(7.0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Whatever numbers a model gives, in whatever shape, a decoder answers or refuses.
        #[test]
        fn no_shape_makes_a_decoder_panic(
            shape in prop::collection::vec(-1_i64..12, 0..5),
            values in prop::collection::vec(any::<f32>(), 0..800),
            classes in 1_usize..4,
            side in 1_u32..40,
        ) {
            let tensor = Tensor { shape: &shape, values: &values };
            let wanted: Vec<Wanted> = (0..classes).map(wanted).collect();
            let question = Question { width: side, height: side, classes, wanted: &wanted };
            let lists = SsdOutputs { boxes: tensor, classes: tensor, scores: tensor, order: [1, 0, 3, 2] };
            let answers = [
                nanodet(&tensor, &question, &[8, 16]),
                yolo_v5(&tensor, &question),
                yolo_v8(&tensor, &question),
                yolox(&tensor, &question, &[8, 16]),
                detr(&tensor, &tensor, &question),
                ssd(&lists, &question),
            ];
            answers.into_iter().flatten().for_each(assert_sound);
            assert!(blazeface(&tensor, &tensor, 0.5).is_err());
            for activation in [Activation::None, Activation::Softmax] {
                if let Ok(scores) = scores(&tensor, classes, activation) {
                    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
                }
            }
        }

        /// In the shape that is due, whatever a decoder answers is sound, and it refuses what is not.
        #[test]
        fn no_numbers_make_a_decoder_answer_nonsense(
            numbers in prop::collection::vec(
                prop_oneof![40 => 0.0_f32..1.0, 4 => -20.0_f32..200.0, 1 => any::<f32>()],
                5 * 47,
            ),
        ) {
            // Five anchors of a 16 × 16 input in cells of 8 and 16, three labels.
            let wanted: Vec<Wanted> = (0..3).map(wanted).collect();
            let question = Question { width: 16, height: 16, classes: 3, wanted: &wanted };
            let of = |shape: &'static [i64]| {
                let count = shape.iter().product::<i64>() as usize;
                Tensor { shape, values: &numbers[..count] }
            };
            let lists = SsdOutputs {
                boxes: of(&[1, 5, 4]),
                classes: Tensor { shape: &[1, 5], values: &[0.0, 1.0, 2.0, 3.0, 0.0] },
                scores: of(&[1, 5]),
                order: [0, 1, 2, 3],
            };
            let answers = [
                nanodet(&of(&[1, 5, 47]), &question, &[8, 16]),
                yolo_v5(&of(&[1, 5, 8]), &question),
                yolo_v8(&of(&[1, 7, 5]), &question),
                yolox(&of(&[1, 5, 8]), &question, &[8, 16]),
                detr(&of(&[1, 5, 4]), &of(&[1, 5, 4]), &question),
                ssd(&lists, &question),
            ];
            for answer in answers {
                match answer {
                    Ok(candidates) => assert_sound(candidates),
                    Err(error) => assert!(!matches!(error, BadOutput::Shape { .. }), "{error}"),
                }
            }
        }
    }

    fn assert_sound(candidates: Vec<Candidate>) {
        for candidate in suppress(candidates, 0.5) {
            assert!((0.4..=1.0).contains(&candidate.score), "{candidate:?}");
            assert!(
                candidate.edges.iter().all(|edge| edge.is_finite()),
                "{candidate:?}"
            );
        }
    }
}
