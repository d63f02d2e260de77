//! BlazeFace, short range: faces in a square of 128 points.

use super::{Candidate, around, sigmoid, suppress};
use crate::infer::{BadOutput, Tensor};

/// The side of its input, in points.
const SIDE: f32 = 128.0;

/// Two grids of anchor points: cells across and down, anchors per cell.
const GRIDS: [(usize, usize); 2] = [(16, 2), (8, 6)];

/// Anchors in all.
const ANCHORS: usize = 896;

/// Numbers per anchor: middle and size of the face, then six points of it.
const NUMBERS: usize = 16;

/// Logits beyond this say nothing more, and would overflow.
const MAX_LOGIT: f32 = 100.0;

/// Faces that overlap by more are one.
const MOST_OVERLAP: f32 = 0.3;

/// A face in the model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// How sure, 0 to 1.
    pub score: f32,
    /// Left, upper, right and lower edge in points of the model's input.
    pub edges: [f32; 4],
}

/// Reads the rectangles `[1, 896, 16]`, of which the first four numbers are middle (from the anchor) and size in
/// points, and the logits `[1, 896, 1]`. The surest come first, none twice.
///
/// # Errors
/// [`BadOutput`] when a shape is another or a number that matters makes no sense.
pub fn blazeface(
    regressors: &Tensor<'_>,
    logits: &Tensor<'_>,
    min_score: f32,
) -> Result<Vec<Face>, BadOutput> {
    let rows = regressors.of_shape(&[Some(1), Some(ANCHORS), Some(NUMBERS)])?;
    let logits = logits.of_shape(&[Some(1), Some(ANCHORS), Some(1)])?;
    let mut found = Vec::new();
    for ((row, logit), (x, y)) in rows.chunks_exact(NUMBERS).zip(logits).zip(anchors()) {
        if !logit.is_finite() {
            return Err(BadOutput::NotFinite);
        }
        let score = sigmoid(logit.clamp(-MAX_LOGIT, MAX_LOGIT));
        if score >= min_score {
            let edges = around(x + row[0], y + row[1], row[2], row[3])?;
            found.push(Candidate {
                class: 0,
                score,
                edges,
            });
        }
    }
    let kept = suppress(found, MOST_OVERLAP).into_iter();
    Ok(kept
        .map(|Candidate { score, edges, .. }| Face { score, edges })
        .collect())
}

/// The anchor points, in points: the middle of each cell, once per anchor.
fn anchors() -> impl Iterator<Item = (f32, f32)> {
    GRIDS.into_iter().flat_map(|(cells, per_cell)| {
        let size = SIDE / cells as f32;
        let middle = move |n: usize| (n as f32 + 0.5) * size;
        (0..cells * cells).flat_map(move |cell| {
            let middle = (middle(cell % cells), middle(cell / cells));
            std::iter::repeat_n(middle, per_cell)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(logits: &[f32; ANCHORS], rows: &[f32]) -> Result<Vec<Face>, BadOutput> {
        let rows = Tensor {
            shape: &[1, 896, 16],
            values: rows,
        };
        let logits = Tensor {
            shape: &[1, 896, 1],
            values: logits,
        };
        blazeface(&rows, &logits, 0.5)
    }

    #[test]
    fn there_are_as_many_anchors_as_numbers() {
        let all: Vec<(f32, f32)> = anchors().collect();
        assert_eq!(all.len(), ANCHORS);
        assert_eq!((all[0], all[1], all[2]), ((4.0, 4.0), (4.0, 4.0), (12.0, 4.0)));
        assert_eq!(
            (all[512], all[517], all[518]),
            ((8.0, 8.0), (8.0, 8.0), (24.0, 8.0))
        );
        assert_eq!(all[895], (120.0, 120.0));
    }

    #[test]
    fn faces_lie_about_their_anchors_and_none_is_found_twice() {
        let mut logits = [-50.0; ANCHORS];
        let mut rows = vec![0.0; ANCHORS * NUMBERS];
        // Three anchors of one cell of the coarse grid, whose middle is (8, 24): two say the same.
        let cell = 512 + 8 * 6;
        for (anchor, logit, left) in [(0, 2.0, 0.0), (1, 200.0, 1.0), (2, 0.1, 60.0)] {
            logits[cell + anchor] = logit;
            let row = (cell + anchor) * NUMBERS;
            rows[row..row + 4].copy_from_slice(&[left, 2.0, 20.0, 10.0]);
        }
        let faces = read(&logits, &rows).unwrap();
        let edges: Vec<[f32; 4]> = faces.iter().map(|face| face.edges).collect();
        assert_eq!(edges, [[-1.0, 21.0, 19.0, 31.0], [58.0, 21.0, 78.0, 31.0]]);
        assert_eq!(faces[0].score, 1.0);
        logits[3] = f32::NAN;
        assert_eq!(read(&logits, &rows), Err(BadOutput::NotFinite));
    }

    #[test]
    fn other_shapes_are_refused() {
        let short = vec![0.0; ANCHORS * NUMBERS - 1];
        assert!(matches!(
            read(&[0.0; ANCHORS], &short),
            Err(BadOutput::Shape { .. })
        ));
    }
}
