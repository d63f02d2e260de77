//! A Kalman filter of constant velocity for a box, with steps of any length.
//!
//! Middle, width and height move each for itself, so the filter falls apart into four of two numbers: place and
//! speed. That is the same as one with matrices of eight rows, which would be zero outside these blocks.

use domain::{PictureBox, UtcMillis};

/// For no longer than this, in milliseconds, is somebody who is not seen taken to walk on: nobody walks straight on
/// for longer in a kitchen. Longer than the step between two frames of the slowest cameras that are followed at all.
const MAX_COAST_MS: i64 = 2_500;

/// How far off a detector's edges are, as a share of the box's side.
const MEASURED: f32 = 0.05;

/// How fast something may already be when it is first seen, in sides of its box per second.
const FIRST_SPEED: Sides = Sides {
    across: 2.0,
    along: 0.5,
    size: 0.2,
};

/// How much speed may change within a second, in sides of its box per second.
const SPEED_CHANGE: Sides = Sides {
    across: 1.5,
    along: 0.4,
    size: 0.2,
};

/// A number for each way in which a box may move.
struct Sides {
    across: f32,
    along: f32,
    size: f32,
}

/// Place and speed along one axis, and how sure both are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    place: f32,
    /// Per second.
    speed: f32,
    place_variance: f32,
    covariance: f32,
    speed_variance: f32,
}

impl Axis {
    fn new(place: f32, side: f32, first_speed: f32) -> Axis {
        Axis {
            place,
            speed: 0.0,
            place_variance: (MEASURED * side).powi(2),
            covariance: 0.0,
            speed_variance: (first_speed * side).powi(2),
        }
    }

    /// `seconds` pass; the place moves on for `coast` of them. `speed_change` is the spread of the speed after one.
    fn predict(&mut self, seconds: f32, coast: f32, speed_change: f32) {
        let noise = speed_change.powi(2);
        self.place += self.speed * coast;
        self.place_variance += 2.0 * seconds * self.covariance
            + seconds.powi(2) * self.speed_variance
            + noise * seconds.powi(3) / 3.0;
        self.covariance += seconds * self.speed_variance + noise * seconds.powi(2) / 2.0;
        self.speed_variance += noise * seconds;
    }

    fn correct(&mut self, measured: f32, side: f32) {
        let spread = self.place_variance + (MEASURED * side).powi(2);
        if spread <= 0.0 {
            self.place = measured;
            return;
        }
        let surprise = measured - self.place;
        let place_gain = self.place_variance / spread;
        let speed_gain = self.covariance / spread;
        self.place += place_gain * surprise;
        self.speed += speed_gain * surprise;
        self.speed_variance -= speed_gain * self.covariance;
        self.covariance *= 1.0 - place_gain;
        self.place_variance *= 1.0 - place_gain;
    }
}

/// How one box moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Motion {
    at: UtcMillis,
    /// How far it has been moved on since it was last corrected, in milliseconds.
    coasted_ms: i64,
    across: Axis,
    along: Axis,
    width: Axis,
    height: Axis,
}

impl Motion {
    pub(super) fn new(at: UtcMillis, area: &PictureBox) -> Motion {
        let (width, height) = (area.width(), area.height());
        let centre = area.centre();
        Motion {
            at,
            coasted_ms: 0,
            across: Axis::new(centre.x, width, FIRST_SPEED.across),
            along: Axis::new(centre.y, height, FIRST_SPEED.along),
            width: Axis::new(width, width, FIRST_SPEED.size),
            height: Axis::new(height, height, FIRST_SPEED.size),
        }
    }

    /// Moves on to `at`, never back. Returns where the box then should be: never smaller than half and never larger
    /// than twice of `last`, the box as it was last seen.
    pub(super) fn predict(&mut self, at: UtcMillis, last: &PictureBox) -> PictureBox {
        let step_ms = at.ms_since(self.at).max(0);
        let coast_ms = step_ms.min(MAX_COAST_MS - self.coasted_ms).max(0);
        self.at = self.at.max(at);
        self.coasted_ms += coast_ms;
        let (seconds, coast) = (step_ms as f32 / 1_000.0, coast_ms as f32 / 1_000.0);
        let (width, height) = (last.width(), last.height());
        self.across.predict(seconds, coast, SPEED_CHANGE.across * width);
        self.along.predict(seconds, coast, SPEED_CHANGE.along * height);
        self.width.predict(seconds, coast, SPEED_CHANGE.size * width);
        self.height.predict(seconds, coast, SPEED_CHANGE.size * height);
        let half_width = self.width.place.clamp(0.5 * width, 2.0 * width) / 2.0;
        let half_height = self.height.place.clamp(0.5 * height, 2.0 * height) / 2.0;
        // Not cut to the picture: who walks out of it has a middle outside.
        PictureBox {
            left: self.across.place - half_width,
            top: self.along.place - half_height,
            right: self.across.place + half_width,
            bottom: self.along.place + half_height,
        }
    }

    /// It was seen at the moment it has been moved on to.
    pub(super) fn correct(&mut self, area: &PictureBox) {
        let (width, height) = (area.width(), area.height());
        let centre = area.centre();
        self.coasted_ms = 0;
        self.across.correct(centre.x, width);
        self.along.correct(centre.y, height);
        self.width.correct(width, width);
        self.height.correct(height, height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_left(left: f32) -> PictureBox {
        PictureBox::new(left, 0.2, left + 0.1, 0.6).unwrap()
    }

    /// However the time is cut into steps, the same speed is learnt.
    #[test]
    fn speed_is_learnt_at_any_frame_rate() {
        for step_ms in [67, 200, 1_000, 2_000] {
            let mut motion = Motion::new(UtcMillis(0), &at_left(0.1));
            let mut area = at_left(0.1);
            for n in 1..=8_000 / step_ms {
                motion.predict(UtcMillis(n * step_ms), &area);
                area = at_left(0.1 + 0.05 * (n * step_ms) as f32 / 1_000.0);
                motion.correct(&area);
            }
            assert!((motion.across.speed - 0.05).abs() < 0.01, "{step_ms}: {motion:?}");
            assert!(motion.along.speed.abs() < 0.001, "{step_ms}");
        }
    }

    #[test]
    fn who_is_not_seen_does_not_walk_on_for_ever() {
        let mut motion = Motion::new(UtcMillis(0), &at_left(0.1));
        motion.across.speed = 0.1;
        let soon = motion.predict(UtcMillis(1_000), &at_left(0.1));
        let later = motion.predict(UtcMillis(60_000), &at_left(0.1));
        assert!((soon.left - 0.2).abs() < 1e-4, "{soon:?}");
        assert!((later.left - 0.35).abs() < 1e-4, "{later:?}");
        assert!(motion.across.place_variance.is_finite());
    }
}
