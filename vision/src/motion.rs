//! The motion gate: models look only where something moved, or where nobody has looked for a while.
//!
//! A picture is compared with a slowly learnt background at 160 × 90. The comparison costs a hundredth of a look.
//! People who stand still fall asleep in the background, so a look is due every few seconds all the same. When the
//! whole picture changes at once (a lamp, day to night, a camera that restarts) the background is learnt anew instead
//! of being taken for motion.

use camera::Frame;
use domain::UtcMillis;

/// The size at which pictures are compared.
const WIDTH: usize = 160;
const HEIGHT: usize = 90;
const CELLS: usize = WIDTH * HEIGHT;

/// A cell has changed when its brightness is this far from the background's, of 255: above a sensor's noise, below
/// a sleeve before a wall of the same colour.
const CHANGED_BY: f32 = 14.0;

/// The share of cells beyond which something moved: a hand at the far end of a kitchen.
const MOTION_SHARE: f32 = 0.003;

/// The share of cells beyond which the light changed, not the scene.
const WHOLE_SHARE: f32 = 0.6;

/// How fast the background follows, as the time in which two thirds of a change are learnt, in milliseconds.
const LEARNT_IN_MS: f32 = 20_000.0;

/// What the gate says of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// The share of the picture that changed, 0 to 1.
    pub share: f32,
    /// Whether models should look, and why.
    pub look: Look,
}

/// Whether a picture is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Look {
    /// Nothing moved, and somebody has looked a moment ago.
    Skip,
    /// Something moved.
    Moved,
    /// Nobody has looked for a while.
    Due,
    /// The whole picture changed: what was known of it is void.
    Anew,
}

/// One camera's gate.
#[derive(Debug, Clone)]
pub struct MotionGate {
    background: Vec<f32>,
    small: Vec<f32>,
    last_picture: Option<UtcMillis>,
    last_look: Option<UtcMillis>,
    due_after_ms: i64,
}

impl MotionGate {
    /// A gate that has a look taken at least every `due_after_ms` milliseconds.
    #[must_use]
    pub fn new(due_after_ms: i64) -> MotionGate {
        MotionGate {
            background: Vec::new(),
            small: vec![0.0; CELLS],
            last_picture: None,
            last_look: None,
            due_after_ms,
        }
    }

    /// Compares a picture with the background and learns from it. Masked areas are flat and never move.
    pub fn observe(&mut self, frame: &Frame) -> Motion {
        shrink(frame, &mut self.small);
        let passed_ms = self
            .last_picture
            .replace(frame.at)
            .map_or(0, |last| frame.at.ms_since(last).max(0));
        if self.background.is_empty() {
            self.background.clone_from(&self.small);
            return self.looked(frame.at, 1.0, Look::Anew);
        }
        let changed = changed_cells(&self.small, &self.background);
        let share = changed as f32 / CELLS as f32;
        if share > WHOLE_SHARE {
            self.background.clone_from(&self.small);
            return self.looked(frame.at, share, Look::Anew);
        }
        let rate = 1.0 - (-(passed_ms as f32) / LEARNT_IN_MS).exp();
        for (known, seen) in self.background.iter_mut().zip(&self.small) {
            *known += (seen - *known) * rate;
        }
        if share >= MOTION_SHARE {
            return self.looked(frame.at, share, Look::Moved);
        }
        let due = self
            .last_look
            .is_none_or(|last| frame.at.ms_since(last) >= self.due_after_ms);
        if due {
            return self.looked(frame.at, share, Look::Due);
        }
        Motion {
            share,
            look: Look::Skip,
        }
    }

    fn looked(&mut self, at: UtcMillis, share: f32, look: Look) -> Motion {
        self.last_look = Some(at);
        Motion { share, look }
    }
}

fn changed_cells(seen: &[f32], known: &[f32]) -> usize {
    let far = |(a, b): (&f32, &f32)| usize::from((a - b).abs() > CHANGED_BY);
    seen.iter().zip(known).map(far).sum()
}

/// The picture's brightness at [`WIDTH`] × [`HEIGHT`]: the mean of four pixels of each cell, which is enough to tell
/// motion from noise and reads a sixteenth of the picture.
fn shrink(frame: &Frame, small: &mut [f32]) {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let luma = |x: usize, y: usize| {
        let at = (y.min(height - 1) * width + x.min(width - 1)) * 3;
        let [red, green, blue] = [frame.rgb[at], frame.rgb[at + 1], frame.rgb[at + 2]].map(f32::from);
        0.299 * red + 0.587 * green + 0.114 * blue
    };
    for (row, cells) in small.chunks_exact_mut(WIDTH).enumerate() {
        let (upper, lower) = (row * height / HEIGHT, (row * height + height / 2) / HEIGHT);
        for (column, cell) in cells.iter_mut().enumerate() {
            let (left, right) = (column * width / WIDTH, (column * width + width / 2) / WIDTH);
            let sum = luma(left, upper) + luma(right, upper) + luma(left, lower) + luma(right, lower);
            *cell = sum / 4.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey picture with a bright square of `side` pixels at `x`.
    fn picture(at_ms: i64, grey: u8, x: usize, side: usize) -> Frame {
        let (width, height) = (320, 180);
        let mut rgb = vec![grey; width * height * 3];
        for row in 60..60 + side {
            for column in x..x + side {
                let at = (row * width + column) * 3;
                rgb[at..at + 3].fill(230);
            }
        }
        Frame {
            at: UtcMillis(at_ms),
            width: width as u32,
            height: height as u32,
            rgb: rgb.into(),
        }
    }

    #[test]
    fn a_look_is_taken_when_something_moves_or_when_one_is_due() {
        let mut gate = MotionGate::new(3_000);
        let rows = [
            (0, 0, Look::Anew),
            (1_000, 0, Look::Skip),
            (2_000, 0, Look::Skip),
            (3_000, 0, Look::Due),
            (4_000, 20, Look::Moved),
            (5_000, 0, Look::Skip),
            (7_500, 0, Look::Due),
        ];
        for (at, side, want) in rows {
            assert_eq!(gate.observe(&picture(at, 80, 40, side)).look, want, "at {at}");
        }
    }

    #[test]
    fn a_lamp_is_no_motion_but_a_new_beginning() {
        let mut gate = MotionGate::new(60_000);
        gate.observe(&picture(0, 40, 0, 0));
        assert_eq!(gate.observe(&picture(1_000, 140, 0, 0)).look, Look::Anew);
        assert_eq!(gate.observe(&picture(2_000, 140, 0, 0)).look, Look::Skip);
    }

    #[test]
    fn who_stands_still_becomes_background() {
        let mut gate = MotionGate::new(i64::MAX);
        gate.observe(&picture(0, 80, 40, 0));
        let moving = |gate: &mut MotionGate, at| gate.observe(&picture(at, 80, 40, 24)).look;
        assert_eq!(moving(&mut gate, 1_000), Look::Moved);
        let last = (2..120).map(|s| moving(&mut gate, s * 1_000)).last();
        assert_eq!(last, Some(Look::Skip));
    }
}
