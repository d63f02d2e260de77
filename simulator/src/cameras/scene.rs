//! One camera's pictures: the room, who is in it, the flames, what befalls the lens.

use domain::UtcMillis;

use crate::{
    cameras::{
        canvas::{HEIGHT, WIDTH},
        figures::Wardrobe,
        picture::{Picture, Sprite},
        rooms::{BURNERS, Painted},
        script::{CameraScript, Lens, View},
        stamp::stamp,
    },
    noise::{bell, key},
};

/// Noise is taken from one table at another place for every picture.
const NOISE_ROOM: usize = 4_099;

/// How far a knocked camera looks aside, in pixels.
const KNOCKED: (usize, usize) = (150, 54);

/// What is needed to draw one camera's pictures.
#[derive(Debug)]
pub(crate) struct Scene {
    script: CameraScript,
    start: UtcMillis,
    room: Painted,
    wardrobe: Wardrobe,
    flames: Vec<Sprite>,
    covered: Picture,
    noise: Vec<i8>,
    picture: Picture,
    /// What `picture` shows, so that a frozen camera costs no drawing.
    shown: Option<View>,
}

impl Scene {
    /// Paints the room. `start` is the moment at which the script begins.
    pub(crate) fn new(script: CameraScript, start: UtcMillis) -> Scene {
        let room = script.backdrop().paint();
        let wardrobe = Wardrobe::new(script.backdrop().is_dark());
        Scene {
            script,
            start,
            covered: covered(&room.picture),
            room,
            wardrobe,
            flames: (0..3).map(flame).collect(),
            noise: (0..WIDTH * HEIGHT + NOISE_ROOM).map(grain).collect(),
            picture: Picture::plain(16),
            shown: None,
        }
    }

    /// The picture of the moment `now`.
    pub(crate) fn picture(&mut self, now: UtcMillis) -> &Picture {
        let view = self.script.view(now.ms_since(self.start));
        if self.shown.as_ref() != Some(&view) {
            self.draw(&view);
            self.shown = Some(view);
        }
        &self.picture
    }

    fn draw(&mut self, view: &View) {
        if view.lens == Lens::Covered {
            self.picture.copy_from(&self.covered);
        } else {
            self.picture.copy_from(&self.room.picture);
            for one in &view.cast {
                let sprite = self.wardrobe.dress(one);
                let (wide, high) = (signed(sprite.width()), signed(sprite.height()));
                let corner = (one.foot.0 - wide / 2, one.foot.1 - high);
                sprite.lay(&mut self.picture, corner, &self.room.depth, one.rank);
            }
            if view.flames {
                self.kindle(view.shown_ms);
            }
        }
        if view.lens == Lens::Moved {
            self.picture = self.picture.shifted(KNOCKED.0, KNOCKED.1);
        }
        let place = key(view.shown_ms.cast_unsigned(), 0x4e01_5e00) % NOISE_ROOM as u64;
        let place = usize::try_from(place).unwrap_or(0);
        self.picture.add_noise(&self.noise, place);
        stamp(&mut self.picture, self.start.plus_ms(view.shown_ms).0);
    }

    fn kindle(&mut self, shown_ms: i64) {
        for (n, (x, y)) in BURNERS.into_iter().enumerate() {
            let flicker = key(shown_ms.div_euclid(200).cast_unsigned(), n as u64) % self.flames.len() as u64;
            let flame = &self.flames[usize::try_from(flicker).unwrap_or(0)];
            let corner = (x - signed(flame.width()) / 2, y + 10 - signed(flame.height()));
            flame.lay(&mut self.picture, corner, &self.room.depth, u8::MAX);
        }
    }
}

fn signed(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "within ±5")]
fn grain(n: usize) -> i8 {
    (bell(key(n as u64, 0x5e45_0000)) * 1.3).round() as i8
}

/// A ring of gas flames, blue at the foot, yellow at the tips; `n` says how high they lick.
fn flame(n: u8) -> Sprite {
    const WIDE: usize = 56;
    const HIGH: usize = 34;
    let mut pixels = Vec::with_capacity(WIDE * HIGH);
    for y in 0..HIGH {
        for x in 0..WIDE {
            let (across, up) = (x as f32 - WIDE as f32 / 2.0, (HIGH - y) as f32);
            let tongue = 0.5 + 0.5 * (across / 3.4 + f32::from(n) * 2.1).cos();
            let top = (10.0 + 18.0 * tongue + 3.0 * f32::from(n)) * (1.0 - (across / 28.0).powi(2));
            let height = up / top.max(1.0);
            let cover = if up < top {
                (1.0 - height).powf(0.6).min(0.95)
            } else {
                0.0
            };
            let blue = [90.0, 150.0, 255.0];
            let yellow = [255.0, 190.0, 70.0];
            let colour = crate::cameras::canvas::between(blue, yellow, height * 1.6);
            pixels.push((colour, cover));
        }
    }
    Sprite::of(WIDE, &pixels)
}

/// What is left of `room` when a cloth hangs over the lens: a dark blot with a little light at one side.
fn covered(room: &Picture) -> Picture {
    let light = room.y.iter().map(|luma| f32::from(*luma)).sum::<f32>() / room.y.len() as f32;
    let mut picture = Picture::plain(16);
    for (at, luma) in picture.y.iter_mut().enumerate() {
        let x = (at % WIDTH) as f32 / WIDTH as f32;
        let y = (at / WIDTH) as f32 / HEIGHT as f32;
        let share = 0.22 + 0.24 * x * x + 0.06 * (1.0 - y);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "16 to 110"
        )]
        let dim = (16.0 + light * share).clamp(16.0, 110.0) as u8;
        *luma = dim;
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UtcMillis = UtcMillis(1_795_250_000_000);

    /// Mean absolute difference of the luma in a part of two pictures.
    fn difference(a: &Picture, b: &Picture, [left, top, right, bottom]: [usize; 4]) -> f32 {
        let mut sum = 0;
        for y in top..bottom {
            for x in left..right {
                sum += i64::from(a.y[y * WIDTH + x].abs_diff(b.y[y * WIDTH + x]));
            }
        }
        sum as f32 / ((right - left) * (bottom - top)) as f32
    }

    #[test]
    fn the_cook_is_seen_behind_the_worktop_and_the_flames_on_it() {
        let mut scene = Scene::new(CameraScript::HotKitchen, START);
        let working = scene.picture(START.plus_ms(20_000)).clone();
        let alone = scene.picture(START.plus_ms(80_000)).clone();
        let off = scene.picture(START.plus_ms(140_000)).clone();
        assert!(difference(&working, &alone, [140, 110, 290, 250]) > 8.0);
        assert!(
            difference(&working, &alone, [300, 295, 470, 360]) < 3.0,
            "the worktop stays"
        );
        assert!(
            difference(&alone, &off, [170, 245, 222, 270]) > 15.0,
            "the flames go out"
        );
    }

    #[test]
    fn a_living_picture_changes_and_a_frozen_one_does_not() {
        let mut scene = Scene::new(CameraScript::Entrance, START);
        let mut at = |ms| scene.picture(START.plus_ms(ms)).clone();
        assert_ne!(at(110_000), at(110_200));
        assert_eq!(at(125_000), at(160_000));
        let covered = at(60_000);
        let mean = covered.y.iter().map(|luma| u64::from(*luma)).sum::<u64>() / covered.y.len() as u64;
        assert!((45..80).contains(&mean), "mean luma {mean}");
    }

    #[test]
    fn the_same_moment_is_the_same_picture_every_time() {
        for script in CameraScript::ALL {
            let moment = START.plus_ms(47_400);
            let mut first = Scene::new(script, START);
            let mut second = Scene::new(script, START);
            second.picture(START.plus_ms(1_000));
            assert_eq!(first.picture(moment), second.picture(moment), "{script:?}");
        }
    }
}
