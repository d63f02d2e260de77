//! The motion gate: whether a picture is worth a model's time.
//!
//! A picture is made 160 × 90 points of brightness and held against a background that follows slowly. Each point has a
//! threshold of its own, which grows where the picture is always restless (a screen, steam, noise at night). What
//! changes everywhere at once is light and no motion; when it changes much, the background begins anew. Since people
//! also stand still, a look is due every few seconds in any case.

use camera::Frame;
use domain::{Polygon, Spot, UtcMillis};

/// Points from left to right.
pub const COLUMNS: usize = 160;

/// Points from top to bottom.
pub const ROWS: usize = 90;

const POINTS: usize = COLUMNS * ROWS;

/// So many columns and rows of pixels are read for a point, spread evenly, so that a large picture costs no more than a
/// small one.
const SAMPLES: usize = 2;

/// The least difference that counts, in levels of 256.
const LEAST_DIFFERENCE: f32 = 12.0;

/// The threshold is the least difference and so many times the restlessness of the point.
const RESTLESS_TIMES: f32 = 3.0;

/// The most that restlessness adds, in levels: somebody in white before a dark wall is seen in spite of it.
const MOST_RESTLESS: f32 = 40.0;

/// A change of the middle difference by so many levels is a change of the light.
const NEW_LIGHT: f32 = 24.0;

/// A change of this share of all points is a change of the light, or of where the camera looks.
const NEW_PICTURE: f32 = 0.6;

/// Below this mean distance of the colours, in levels, a picture is grey: cameras see grey by infrared light.
const GREY: f32 = 3.0;

/// Above this it is in colour.
const COLOURED: f32 = 7.0;

/// How fast the background follows, as a time constant in milliseconds: while it settles, and later.
const SETTLING_MS: f32 = 700.0;
const FOLLOWING_MS: f32 = 10_000.0;

/// How fast a point's restlessness is learnt, as a time constant in milliseconds.
const RESTLESS_MS: f32 = 20_000.0;

/// The longest step of time by which the background follows, in milliseconds.
const MAX_STEP_MS: i64 = 10_000;

/// When a picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MotionOptions {
    /// A look is due after so long without one, in milliseconds: 200 to 60,000. Default 3,000.
    pub forced_ms: i64,
    /// The share of the points, 0 to 1, that must have changed. Default 0.0015, which is 22 points: a cat some
    /// metres away.
    pub share: f32,
    /// For so long after the first picture, or a change of the light, nothing counts as motion, in milliseconds.
    /// Default 2,000.
    pub settle_ms: i64,
}

impl Default for MotionOptions {
    fn default() -> MotionOptions {
        MotionOptions {
            forced_ms: 3_000,
            share: 0.0015,
            settle_ms: 2_000,
        }
    }
}

/// Why a picture is looked at, or that it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing moves, and the last look is not long ago.
    Skip,
    /// Something moves.
    Moved,
    /// The last look is long ago, or there was none.
    Forced,
    /// The light changed, or the camera went from colour to grey or back: what was followed so far may be gone.
    NewLight,
}

/// What the gate says of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// The share of the points outside masks that changed, 0 to 1.
    pub share: f32,
    /// Whether and why it is looked at.
    pub look: Look,
}

impl Motion {
    /// Whether a model should look.
    #[must_use]
    pub fn wants_look(&self) -> bool {
        self.look != Look::Skip
    }
}

/// Says of each picture of one camera whether it is worth a look. Needs about 180 KiB.
#[derive(Debug)]
pub struct MotionGate {
    options: MotionOptions,
    /// Which points lie outside all masks.
    open: Vec<bool>,
    open_points: usize,
    background: Vec<f32>,
    restless: Vec<f32>,
    now: Vec<f32>,
    clock: Option<Times>,
    /// Whether the last picture that was clearly one or the other was grey.
    grey: Option<bool>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    last: UtcMillis,
    /// When the background began.
    begun: UtcMillis,
    looked: UtcMillis,
}

impl MotionGate {
    /// One that has seen nothing. Nothing below `masks` counts as motion.
    #[must_use]
    pub fn new(options: MotionOptions, masks: &[Polygon]) -> MotionGate {
        let is_open = |n: usize| {
            let middle = Spot {
                x: ((n % COLUMNS) as f32 + 0.5) / COLUMNS as f32,
                y: ((n / COLUMNS) as f32 + 0.5) / ROWS as f32,
            };
            !masks.iter().any(|mask| mask.contains(middle))
        };
        let open: Vec<bool> = (0..POINTS).map(is_open).collect();
        MotionGate {
            options,
            open_points: open.iter().filter(|open| **open).count(),
            open,
            background: vec![0.0; POINTS],
            restless: vec![0.0; POINTS],
            now: vec![0.0; POINTS],
            clock: None,
            grey: None,
        }
    }

    /// Takes in a picture and says whether it is worth a look. A look that is wanted is taken to be made. A frame
    /// without pixels, or with fewer than its size says, is skipped.
    pub fn wants_look(&mut self, frame: &Frame) -> Motion {
        let skip = Motion {
            share: 0.0,
            look: Look::Skip,
        };
        let Some(colour) = shrink(frame, &mut self.now) else {
            return skip;
        };
        let switched = self.day_and_night(colour);
        let Some(clock) = self.clock else {
            self.begin(frame.at);
            return Motion {
                look: Look::Forced,
                ..skip
            };
        };
        let step_ms = frame.at.ms_since(clock.last);
        // After a clock that stepped back nothing is known of when the last look was.
        let looked_ms = frame.at.ms_since(clock.looked);
        let forced = step_ms < 0 || looked_ms >= self.options.forced_ms;
        let settled = step_ms >= 0 && frame.at.ms_since(clock.begun) >= self.options.settle_ms;
        let light = self.light();
        let share = self.changed(light);
        let look = if switched || light.abs() >= NEW_LIGHT || share >= NEW_PICTURE {
            self.begin(frame.at);
            // Light that flickers begins the background anew each time, and is told once.
            if settled { Look::NewLight } else { Look::Skip }
        } else {
            self.follow(step_ms, settled);
            if settled && share >= self.options.share && share > 0.0 {
                Look::Moved
            } else {
                Look::Skip
            }
        };
        let look = if look == Look::Skip && forced {
            Look::Forced
        } else {
            look
        };
        let begun = self.clock.map_or(clock.begun, |c| c.begun);
        self.clock = Some(Times {
            last: frame.at,
            begun: if step_ms < 0 { frame.at } else { begun },
            looked: if look == Look::Skip {
                clock.looked
            } else {
                frame.at
            },
        });
        Motion { share, look }
    }

    /// Forgets the background: the camera was connected anew. The next picture is looked at.
    pub fn reset(&mut self) {
        self.clock = None;
        self.grey = None;
    }

    /// Whether the camera went from colour to grey or back.
    fn day_and_night(&mut self, colour: f32) -> bool {
        let is_grey = match colour {
            c if c < GREY => true,
            c if c > COLOURED => false,
            _ => return false,
        };
        self.grey.replace(is_grey).is_some_and(|was| was != is_grey)
    }

    /// The picture becomes the background.
    fn begin(&mut self, at: UtcMillis) {
        self.background.copy_from_slice(&self.now);
        self.restless.fill(0.0);
        self.clock = Some(Times {
            last: at,
            begun: at,
            looked: at,
        });
    }

    /// By how many levels the picture as a whole is brighter: the middle of all differences.
    fn light(&self) -> f32 {
        const WIDEST: usize = 255;
        let mut histogram = [0_u32; 2 * WIDEST + 1];
        for ((now, background), open) in self.now.iter().zip(&self.background).zip(&self.open) {
            // Both are 0 to 255, so the sum lies within the histogram. Half a level more, cut off, is rounding.
            let bin = (now - background + WIDEST as f32 + 0.5) as usize;
            histogram[bin.min(2 * WIDEST)] += u32::from(*open);
        }
        let mut before = 0;
        let half = self.open_points as u32 / 2;
        let middle = histogram.iter().position(|count| {
            before += count;
            before > half
        });
        middle.map_or(0.0, |bin| bin as f32 - WIDEST as f32)
    }

    /// The share of the open points that changed by more than the light. One whose left neighbour did not
    /// change is not counted: noise is alone.
    fn changed(&self, light: f32) -> f32 {
        if self.open_points == 0 {
            return 0.0;
        }
        let mut changed = 0_u32;
        let mut left_did = false;
        for n in 0..POINTS {
            let difference = (self.now[n] - self.background[n] - light).abs();
            let threshold = LEAST_DIFFERENCE + (RESTLESS_TIMES * self.restless[n]).min(MOST_RESTLESS);
            let does = self.open[n] && difference > threshold;
            if does && left_did {
                changed += 1;
            }
            left_did = does;
        }
        changed as f32 / self.open_points as f32
    }

    /// Moves the background towards the picture.
    fn follow(&mut self, step_ms: i64, settled: bool) {
        let step_ms = step_ms.clamp(0, MAX_STEP_MS) as f32;
        let share_of = |constant_ms: f32| 1.0 - (-step_ms / constant_ms).exp();
        let follow = share_of(if settled { FOLLOWING_MS } else { SETTLING_MS });
        let learn = share_of(RESTLESS_MS);
        for ((background, restless), now) in self.background.iter_mut().zip(&mut self.restless).zip(&self.now)
        {
            let difference = now - *background;
            *background += follow * difference;
            *restless += learn * (difference.abs() - *restless);
        }
    }
}

/// Makes [`COLUMNS`] × [`ROWS`] points of brightness, 0 to 255, of a picture. Returns the mean distance of its colours
/// from grey in levels; `None` when it has fewer pixels than its size says.
fn shrink(frame: &Frame, points: &mut [f32]) -> Option<f32> {
    let (width, height) = (frame.width as usize, frame.height as usize);
    let row_bytes = width.checked_mul(3)?;
    if width == 0 || height == 0 || frame.rgb.len() < row_bytes.checked_mul(height)? {
        return None;
    }
    let columns = samples(width, COLUMNS);
    let rows = samples(height, ROWS);
    let per_point = (SAMPLES * SAMPLES) as u32;
    let mut distances = 0_u64;
    for (point_row, ys) in points.chunks_exact_mut(COLUMNS).zip(rows.chunks_exact(SAMPLES)) {
        let mut sums = [0_u32; COLUMNS];
        for y in ys {
            let row = &frame.rgb[y * row_bytes..(y + 1) * row_bytes];
            for (sum, xs) in sums.iter_mut().zip(columns.chunks_exact(SAMPLES)) {
                for x in xs {
                    let at = 3 * x;
                    let [red, green, blue] = [row[at], row[at + 1], row[at + 2]].map(u32::from);
                    *sum += red + 2 * green + blue;
                    distances += u64::from(red.abs_diff(green) + blue.abs_diff(green));
                }
            }
        }
        for (point, sum) in point_row.iter_mut().zip(sums) {
            *point = sum as f32 / (4 * per_point) as f32;
        }
    }
    let read = POINTS as f32 * per_point as f32;
    Some(distances as f32 / (2.0 * read))
}

/// For each of `points` the places of [`SAMPLES`] pixels, evenly spread over its share of `pixels`. In a small picture
/// a pixel stands in for several.
fn samples(pixels: usize, points: usize) -> Vec<usize> {
    let steps = points * SAMPLES;
    (0..steps).map(|n| (2 * n + 1) * pixels / (2 * steps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u32 = 160;
    const HEIGHT: u32 = 90;

    /// A wall with some structure, so much brighter, with a person of these columns; coloured or grey.
    fn picture(at_ms: i64, light: i32, person: Option<[u32; 2]>, grey: bool) -> Frame {
        let mut rgb = Vec::new();
        for y in 0..HEIGHT {
            for x in 0..WIDTH {
                let wall = 90 + (x / 10 + y / 10) as i32 % 3 * 10;
                let is_person = y >= 30 && person.is_some_and(|[from, to]| (from..to).contains(&x));
                let level = (if is_person { 190 } else { wall } + light).clamp(0, 255) as u8;
                let red = if grey { level } else { level.saturating_add(30) };
                rgb.extend([red, level, level]);
            }
        }
        Frame {
            at: UtcMillis(at_ms),
            width: WIDTH,
            height: HEIGHT,
            rgb: rgb.into(),
        }
    }

    fn empty(at_ms: i64) -> Frame {
        picture(at_ms, 0, None, false)
    }

    /// A gate that has seen the empty room for four seconds, the last time at 4,000 ms, and looked at 3,000 ms.
    fn settled(masks: &[Polygon]) -> MotionGate {
        let mut gate = MotionGate::new(MotionOptions::default(), masks);
        let looks: Vec<Look> = (0..=8).map(|n| gate.wants_look(&empty(n * 500)).look).collect();
        assert_eq!(looks[0], Look::Forced);
        assert_eq!(looks[6], Look::Forced, "three seconds after the first");
        assert_eq!(looks.iter().filter(|look| **look == Look::Skip).count(), 7);
        gate
    }

    #[test]
    fn a_person_who_comes_in_is_motion_and_a_still_room_is_not() {
        let mut gate = settled(&[]);
        assert_eq!(gate.wants_look(&empty(4_500)).look, Look::Skip);
        let motion = gate.wants_look(&picture(4_600, 0, Some([50, 70]), false));
        assert_eq!(motion.look, Look::Moved);
        // 20 of 160 columns, 60 of 90 rows, less the first column: it has no neighbour before it.
        assert!((motion.share - 0.0792).abs() < 0.001, "{motion:?}");
    }

    #[test]
    fn who_stands_still_is_looked_at_every_few_seconds() {
        let mut gate = settled(&[]);
        let still = |at_ms| picture(at_ms, 0, Some([50, 70]), false);
        for n in 1..80 {
            gate.wants_look(&still(4_000 + n * 500));
        }
        let looks: Vec<Look> = (80..104)
            .map(|n| gate.wants_look(&still(4_000 + n * 500)).look)
            .collect();
        assert_eq!(looks.iter().filter(|look| **look == Look::Forced).count(), 4);
        assert_eq!(looks.iter().filter(|look| **look == Look::Skip).count(), 20);
    }

    #[test]
    fn what_moves_below_a_mask_does_not_count() {
        let corners = [(0.2, 0.0), (0.6, 0.0), (0.6, 1.0), (0.2, 1.0)];
        let mask = Polygon::new(corners.map(|(x, y)| Spot { x, y }).to_vec()).unwrap();
        let mut gate = settled(&[mask]);
        let hidden = gate.wants_look(&picture(4_200, 0, Some([50, 70]), false));
        assert_eq!((hidden.share, hidden.look), (0.0, Look::Skip));
        let beside = gate.wants_look(&picture(4_400, 0, Some([120, 140]), false));
        assert_eq!(beside.look, Look::Moved);
        let whole = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)];
        let all = Polygon::new(whole.map(|(x, y)| Spot { x, y }).to_vec()).unwrap();
        let mut blind = MotionGate::new(MotionOptions::default(), &[all]);
        blind.wants_look(&empty(0));
        assert_eq!(
            blind.wants_look(&picture(2_500, 0, Some([0, 80]), false)).share,
            0.0
        );
    }

    #[test]
    fn light_is_no_motion() {
        // A cloud: a little darker everywhere.
        let mut gate = settled(&[]);
        let cloud = gate.wants_look(&picture(4_200, -15, None, false));
        assert_eq!((cloud.share, cloud.look), (0.0, Look::Skip));
        // Lights off: told once, however often they flicker, and no motion while it settles.
        let looks: Vec<Look> = (0..6)
            .map(|n| {
                let light = if n % 2 == 0 { -60 } else { 0 };
                gate.wants_look(&picture(4_400 + n * 100, light, None, false))
                    .look
            })
            .collect();
        assert_eq!(looks[0], Look::NewLight);
        assert!(looks[1..].iter().all(|look| *look == Look::Skip), "{looks:?}");
    }

    #[test]
    fn a_camera_that_turns_to_infrared_begins_anew() {
        let mut gate = settled(&[]);
        // Red counts a quarter: without the colour the brightness is nearly the same.
        assert_eq!(
            gate.wants_look(&picture(4_200, 7, None, true)).look,
            Look::NewLight
        );
        assert_eq!(gate.wants_look(&picture(4_400, 7, None, true)).look, Look::Skip);
        let moved = gate.wants_look(&picture(6_400, 7, Some([50, 70]), true));
        assert_eq!(moved.look, Look::Moved);
    }

    #[test]
    fn a_restless_corner_stops_counting() {
        let mut gate = settled(&[]);
        let flicker = |n: i64| picture(4_000 + n * 500, 0, (n % 2 == 0).then_some([50, 55]), false);
        let looks: Vec<Look> = (1..120).map(|n| gate.wants_look(&flicker(n)).look).collect();
        assert!(looks[..20].contains(&Look::Moved));
        let late = &looks[90..];
        assert!(!late.contains(&Look::Moved), "{late:?}");
    }

    #[test]
    fn what_is_no_picture_is_skipped_and_tiny_ones_are_read() {
        let mut gate = MotionGate::new(MotionOptions::default(), &[]);
        let mut frame = empty(0);
        frame.rgb = vec![0; 100].into();
        assert_eq!(gate.wants_look(&frame).look, Look::Skip);
        frame.width = 0;
        assert_eq!(gate.wants_look(&frame).look, Look::Skip);
        frame.width = u32::MAX;
        frame.height = u32::MAX;
        assert_eq!(gate.wants_look(&frame).look, Look::Skip);
        let dot = Frame {
            at: UtcMillis(0),
            width: 1,
            height: 1,
            rgb: vec![200, 100, 0].into(),
        };
        assert_eq!(gate.wants_look(&dot).look, Look::Forced);
        assert_eq!(gate.now[0], 100.0);
    }

    #[test]
    fn after_a_reset_or_a_clock_that_steps_back_the_next_picture_is_looked_at() {
        let mut gate = settled(&[]);
        assert_eq!(gate.wants_look(&empty(1_000)).look, Look::Forced);
        assert_eq!(gate.wants_look(&empty(1_200)).look, Look::Skip);
        gate.reset();
        assert_eq!(gate.wants_look(&empty(1_400)).look, Look::Forced);
    }
}
