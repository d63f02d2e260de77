//! Logistic regression with a ridge, between samples: iteratively reweighted least squares on the matrix of their
//! likenesses, and what each sample would score had it been left out (Cawley and Talbot, 2008).

/// How strongly weights are held small. Between directions of length 1 it lets scores reach about ±5 with a few dozen
/// samples, so that one odd picture does not decide.
const RIDGE: f64 = 0.1;

/// Newton steps at most; ten are usual.
const MAX_STEPS: usize = 50;

/// Halvings of a step that would make it worse.
const MAX_HALVINGS: usize = 30;

/// A step that changes no score by more than this is the last.
const TOLERANCE: f64 = 1e-8;

/// The least weight of a sample in a step: a sure one must not make the system singular.
const LEAST_WEIGHT: f64 = 1e-6;

/// 1 / (1 + e^−x).
pub(super) fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A symmetric matrix.
#[derive(Debug, Clone)]
pub(super) struct Square {
    n: usize,
    cells: Vec<f64>,
}

impl Square {
    /// The symmetric matrix of which `cell` gives the lower half.
    pub(super) fn from_fn(n: usize, cell: impl Fn(usize, usize) -> f64) -> Square {
        let mut cells = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let value = cell(i, j);
                cells[i * n + j] = value;
                cells[j * n + i] = value;
            }
        }
        Square { n, cells }
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.cells[i * self.n..(i + 1) * self.n]
    }

    fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.n).map(|i| dot(self.row(i), x)).collect()
    }

    /// The lower triangle `L` of this matrix plus `diagonal`, so that `L Lᵀ` is both. It must be positive definite,
    /// which a matrix of likenesses plus a positive diagonal is; rounding is held above zero.
    fn triangle(&self, diagonal: &[f64]) -> Square {
        let n = self.n;
        let mut cells = vec![0.0; n * n];
        for i in 0..n {
            let (above, below) = cells.split_at_mut(i * n);
            let row = &mut below[..n];
            for j in 0..i {
                let other = &above[j * n..(j + 1) * n];
                row[j] = (self.row(i)[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let rest = self.row(i)[i] + diagonal[i] - dot(&row[..i], &row[..i]);
            row[i] = rest.max(1e-12).sqrt();
        }
        Square { n, cells }
    }

    /// Solves `L Lᵀ x = b` for a lower triangle.
    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        for i in 0..self.n {
            let row = self.row(i);
            x[i] = (x[i] - dot(&row[..i], &x[..i])) / row[i];
        }
        for i in (0..self.n).rev() {
            x[i] /= self.row(i)[i];
            let known = x[i];
            for (value, factor) in x[..i].iter_mut().zip(self.row(i)) {
                *value -= factor * known;
            }
        }
        x
    }

    /// The diagonal of the inverse of `L Lᵀ` for a lower triangle.
    fn inverse_diagonal(&self) -> Vec<f64> {
        let mut diagonal = vec![0.0; self.n];
        let mut column = vec![0.0; self.n];
        // Column j of the inverse of L; the diagonal sums the squares of its columns' cells.
        for (j, sum) in diagonal.iter_mut().enumerate() {
            for i in j..self.n {
                let row = self.row(i);
                let unit = f64::from(u8::from(i == j));
                column[i] = (unit - dot(&row[j..i], &column[j..i])) / row[i];
            }
            *sum = column[j..].iter().map(|cell| cell * cell).sum();
        }
        diagonal
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A fitted head, in terms of its samples.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    /// How much of each sample there is in the weights.
    pub(super) shares: Vec<f64>,
    pub(super) bias: f64,
    /// The score that each sample would have had it been left out.
    pub(super) left_out: Vec<f64>,
}

/// What a Newton step solves: the system, and what follows from it.
struct Step {
    shares: Vec<f64>,
    bias: f64,
    left_out: Vec<f64>,
}

impl Fit {
    /// Fits marks to samples of these likenesses. Both kinds weigh the same however many there are of each.
    pub(super) fn of(likeness: &Square, marks: &[bool]) -> Fit {
        let weights = class_weights(marks);
        let mut fit = Fit {
            shares: vec![0.0; marks.len()],
            bias: 0.0,
            left_out: vec![0.0; marks.len()],
        };
        let mut scores = vec![0.0; marks.len()];
        for _ in 0..MAX_STEPS {
            let step = Step::from(likeness, marks, &weights, &scores);
            let before = loss(&fit, (likeness, marks, &weights));
            let mut next = Fit {
                shares: step.shares,
                bias: step.bias,
                left_out: step.left_out,
            };
            for _ in 0..MAX_HALVINGS {
                if loss(&next, (likeness, marks, &weights)) <= before + 1e-12 {
                    break;
                }
                next.bias = f64::midpoint(next.bias, fit.bias);
                for (share, old) in next.shares.iter_mut().zip(&fit.shares) {
                    *share = f64::midpoint(*share, *old);
                }
            }
            let moved = next.scores(likeness);
            let change = moved
                .iter()
                .zip(&scores)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            (fit, scores) = (next, moved);
            if change < TOLERANCE {
                break;
            }
        }
        fit
    }

    fn scores(&self, likeness: &Square) -> Vec<f64> {
        let mut scores = likeness.times(&self.shares);
        scores.iter_mut().for_each(|score| *score += self.bias);
        scores
    }
}

impl Step {
    /// The least-squares problem that stands in for the logistic one near these scores. With weights `w` and targets
    /// `z`, the shares `a` and the bias `b` solve `(K + ridge/w) a + b = z` and `sum a = 0`.
    fn from(likeness: &Square, marks: &[bool], class: &[f64], scores: &[f64]) -> Step {
        let mut diagonal = Vec::with_capacity(marks.len());
        let mut targets = Vec::with_capacity(marks.len());
        for ((score, yes), class) in scores.iter().zip(marks).zip(class) {
            let p = logistic(*score);
            let weight = (p * (1.0 - p)).max(LEAST_WEIGHT);
            diagonal.push(RIDGE / (weight * class));
            targets.push(score + (f64::from(u8::from(*yes)) - p) / weight);
        }
        let triangle = likeness.triangle(&diagonal);
        let ones = triangle.solve(&vec![1.0; marks.len()]);
        let solved = triangle.solve(&targets);
        let total: f64 = ones.iter().sum();
        let bias = solved.iter().sum::<f64>() / total;
        let shares: Vec<f64> = solved.iter().zip(&ones).map(|(s, o)| s - bias * o).collect();
        let inverse = triangle.inverse_diagonal();
        let left_out = (0..marks.len())
            .map(|i| {
                let with_bias = inverse[i] - ones[i] * ones[i] / total;
                targets[i] - shares[i] / with_bias.max(1e-12)
            })
            .collect();
        Step {
            shares,
            bias,
            left_out,
        }
    }
}

/// What is made small: the weighted logistic loss and the ridge.
fn loss(fit: &Fit, (likeness, marks, class): (&Square, &[bool], &[f64])) -> f64 {
    let plain = likeness.times(&fit.shares);
    let ridge = RIDGE / 2.0 * dot(&plain, &fit.shares);
    let losses = plain.iter().zip(marks).zip(class).map(|((score, yes), class)| {
        let margin = if *yes {
            score + fit.bias
        } else {
            -(score + fit.bias)
        };
        // ln(1 + e^−m), without overflow.
        class * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0))
    });
    losses.sum::<f64>() + ridge
}

fn class_weights(marks: &[bool]) -> Vec<f64> {
    let half = marks.len() as f64 / 2.0;
    let yes = marks.iter().filter(|yes| **yes).count() as f64;
    let no = marks.len() as f64 - yes;
    let weigh = |yes_mark: &bool| half / if *yes_mark { yes } else { no };
    marks.iter().map(weigh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same every time.
    fn noise(seed: &mut u64) -> f64 {
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    fn samples(n: usize, shift: f64) -> (Square, Vec<bool>) {
        let mut seed = 7;
        let marks: Vec<bool> = (0..n).map(|i| i % 3 == 0).collect();
        let rows: Vec<Vec<f64>> = marks
            .iter()
            .map(|yes| {
                let mut row: Vec<f64> = (0..40).map(|_| noise(&mut seed)).collect();
                row[0] += if *yes { shift } else { -shift };
                let length = dot(&row, &row).sqrt();
                row.iter().map(|x| x / length).collect()
            })
            .collect();
        (Square::from_fn(n, |i, j| dot(&rows[i], &rows[j])), marks)
    }

    #[test]
    fn systems_are_solved() {
        let (likeness, _) = samples(12, 0.3);
        let diagonal = vec![0.2; 12];
        let triangle = likeness.triangle(&diagonal);
        let want: Vec<f64> = (0..12).map(|i| f64::from(i) - 4.0).collect();
        let mut b = likeness.times(&want);
        for (b, w) in b.iter_mut().zip(&want) {
            *b += 0.2 * w;
        }
        for (got, want) in triangle.solve(&b).iter().zip(&want) {
            assert!((got - want).abs() < 1e-8, "{got} {want}");
        }
        let inverse = triangle.inverse_diagonal();
        for (i, cell) in inverse.iter().enumerate() {
            let mut unit = vec![0.0; 12];
            unit[i] = 1.0;
            assert!((triangle.solve(&unit)[i] - cell).abs() < 1e-9);
        }
    }

    /// At the least loss, no small change makes it less.
    #[test]
    fn the_fit_is_the_best_one() {
        for shift in [0.0, 0.3, 3.0] {
            let (likeness, marks) = samples(30, shift);
            let weights = class_weights(&marks);
            let fit = Fit::of(&likeness, &marks);
            let least = loss(&fit, (&likeness, &marks, &weights));
            assert!(fit.shares.iter().sum::<f64>().abs() < 1e-6);
            for n in 0..=30 {
                for by in [-1e-3, 1e-3] {
                    let mut other = fit.clone();
                    match other.shares.get_mut(n) {
                        Some(share) => *share += by,
                        None => other.bias += by,
                    }
                    let more = loss(&other, (&likeness, &marks, &weights));
                    assert!(more >= least - 1e-12, "{shift} {n}: {more} < {least}");
                }
            }
        }
    }

    /// The shortcut agrees with fitting again without each sample.
    #[test]
    fn what_was_left_out_scores_as_if_it_had_never_been_there() {
        let (likeness, marks) = samples(40, 0.25);
        let fit = Fit::of(&likeness, &marks);
        let mut worst: f64 = 0.0;
        for out in 0..40 {
            let rest: Vec<usize> = (0..40).filter(|i| *i != out).collect();
            let smaller = Square::from_fn(39, |i, j| likeness.row(rest[i])[rest[j]]);
            let marks: Vec<bool> = rest.iter().map(|i| marks[*i]).collect();
            let again = Fit::of(&smaller, &marks);
            let row: Vec<f64> = rest.iter().map(|i| likeness.row(out)[*i]).collect();
            let exact = dot(&row, &again.shares) + again.bias;
            worst = worst.max((exact - fit.left_out[out]).abs());
        }
        let spread = fit.left_out.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
        assert!(worst < 0.15 * spread, "{worst} of {spread}");
    }
}
