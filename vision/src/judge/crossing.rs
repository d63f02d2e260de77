//! Lines that people cross.

use domain::{PictureBox, Spot, camera::CountLine};

/// Somebody is on the other side once the middle of their feet is beyond the line by this share of their box: less is
/// jitter.
const MARGIN: f32 = 0.15;

/// The margin is never less than this share of the picture.
const LEAST_MARGIN: f32 = 0.005;

/// Which way somebody went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    In,
    Out,
}

/// Where somebody was last clearly on one side.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled(Option<(bool, Spot)>);

impl Settled {
    /// Takes in where somebody is. Tells when they have gone to the other side between the ends of the line.
    pub(super) fn step(&mut self, line: &CountLine, area: &PictureBox) -> Option<Way> {
        let foot = area.foot();
        let along = (line.to.x - line.from.x, line.to.y - line.from.y);
        let length = along.0.hypot(along.1);
        if length <= f32::EPSILON {
            return None;
        }
        // Rows count downwards, so what is right of the line, seen along it, is positive.
        let distance = side(line.from, line.to, foot) / length;
        let box_across = (along.1.abs() * area.width() + along.0.abs() * area.height()) / length;
        if distance.abs() < (MARGIN * box_across).max(LEAST_MARGIN) {
            return None;
        }
        let is_right = distance > 0.0;
        let (was_right, from) = self.0.replace((is_right, foot))?;
        if was_right == is_right || !passes_between(line, from, foot) {
            return None;
        }
        Some(if is_right { Way::In } else { Way::Out })
    }
}

/// On which side of the way from `a` to `b` the spot lies: positive to the right, as the picture is seen.
fn side(a: Spot, b: Spot, spot: Spot) -> f32 {
    (b.x - a.x) * (spot.y - a.y) - (b.y - a.y) * (spot.x - a.x)
}

/// Whether the way between the two spots passes between the ends of the line.
fn passes_between(line: &CountLine, before: Spot, after: Spot) -> bool {
    side(before, after, line.from) * side(before, after, line.to) <= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line up the middle of the lower half: who walks from left to right goes in.
    const DOOR: CountLine = CountLine {
        from: Spot { x: 0.5, y: 1.0 },
        to: Spot { x: 0.5, y: 0.5 },
    };

    fn walk(feet: &[(f32, f32)]) -> Vec<Way> {
        let mut settled = Settled::default();
        let mut ways = Vec::new();
        for &(x, y) in feet {
            let area = PictureBox::new(x - 0.05, y - 0.3, x + 0.05, y).unwrap();
            ways.extend(settled.step(&DOOR, &area));
        }
        ways
    }

    #[test]
    fn from_left_to_right_is_in_and_back_is_out() {
        assert_eq!(
            walk(&[(0.3, 0.8), (0.45, 0.8), (0.55, 0.8), (0.7, 0.8)]),
            [Way::In]
        );
        assert_eq!(walk(&[(0.9, 0.8), (0.1, 0.8)]), [Way::Out], "in one step");
        assert_eq!(walk(&[(0.3, 0.8), (0.7, 0.8), (0.3, 0.8)]), [Way::In, Way::Out]);
    }

    #[test]
    fn jitter_on_the_line_counts_once() {
        let feet: Vec<(f32, f32)> = [0.4, 0.49, 0.51, 0.495, 0.51, 0.49, 0.6, 0.512, 0.49, 0.51, 0.6]
            .map(|x| (x, 0.8))
            .to_vec();
        assert_eq!(walk(&feet), [Way::In]);
        assert_eq!(
            walk(&[(0.4, 0.8), (0.51, 0.8), (0.4, 0.8)]),
            [],
            "turned back on it"
        );
    }

    #[test]
    fn who_walks_past_the_end_of_the_line_does_not_cross_it() {
        assert_eq!(walk(&[(0.3, 0.4), (0.7, 0.4)]), []);
        assert_eq!(walk(&[(0.3, 0.8), (0.3, 0.4), (0.7, 0.4), (0.7, 0.8)]), []);
    }

    #[test]
    fn a_line_without_length_is_crossed_by_nobody() {
        let mut settled = Settled::default();
        let dot = CountLine {
            from: Spot { x: 0.5, y: 0.5 },
            to: Spot { x: 0.5, y: 0.5 },
        };
        for left in [0.1, 0.8] {
            let area = PictureBox::new(left, 0.2, left + 0.1, 0.6).unwrap();
            assert_eq!(settled.step(&dot, &area), None);
        }
    }
}
