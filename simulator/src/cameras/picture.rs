//! Pictures as an encoder takes them (planar YUV 4:2:0, eight bits, limited range), and cut-outs laid over them.

use crate::cameras::canvas::{Colour, HEIGHT, WIDTH};

const CHROMA_WIDTH: usize = WIDTH / 2;
const CHROMA: usize = CHROMA_WIDTH * (HEIGHT / 2);

/// One picture of 640 × 360.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Luma, 16 to 235.
    pub(crate) y: Vec<u8>,
    /// Blue difference.
    pub(crate) u: Vec<u8>,
    /// Red difference.
    pub(crate) v: Vec<u8>,
}

impl Picture {
    /// A grey one.
    pub(crate) fn plain(luma: u8) -> Picture {
        Picture {
            y: vec![luma; WIDTH * HEIGHT],
            u: vec![128; CHROMA],
            v: vec![128; CHROMA],
        }
    }

    /// From `colours`, row by row.
    pub(crate) fn of(colours: &[Colour]) -> Picture {
        let mut picture = Picture::plain(16);
        for (luma, colour) in picture.y.iter_mut().zip(colours) {
            *luma = luma_of(*colour);
        }
        for at in 0..CHROMA {
            let corner = at / CHROMA_WIDTH * 2 * WIDTH + at % CHROMA_WIDTH * 2;
            let four = [corner, corner + 1, corner + WIDTH, corner + WIDTH + 1];
            let mean = [0, 1, 2].map(|n| four.iter().map(|at| colours[*at][n]).sum::<f32>() / 4.0);
            (picture.u[at], picture.v[at]) = chroma_of(mean);
        }
        picture
    }

    /// Red, green and blue, three bytes a pixel.
    pub(crate) fn rgb(&self) -> Vec<u8> {
        let mut rgb = Vec::with_capacity(self.y.len() * 3);
        for (at, luma) in self.y.iter().enumerate() {
            let chroma = at / WIDTH / 2 * CHROMA_WIDTH + at % WIDTH / 2;
            let luma = 1.164_38 * (f32::from(*luma) - 16.0);
            let (u, v) = (
                f32::from(self.u[chroma]) - 128.0,
                f32::from(self.v[chroma]) - 128.0,
            );
            rgb.push(byte(luma + 1.596_03 * v));
            rgb.push(byte(luma - 0.391_76 * u - 0.812_97 * v));
            rgb.push(byte(luma + 2.017_23 * u));
        }
        rgb
    }

    /// Takes on `other` without allocating.
    pub(crate) fn copy_from(&mut self, other: &Picture) {
        self.y.copy_from_slice(&other.y);
        self.u.copy_from_slice(&other.u);
        self.v.copy_from_slice(&other.v);
    }

    /// What a camera sees at night by its own infrared lamps: no colour, dim, brighter in the middle.
    pub(crate) fn at_night(&self) -> Picture {
        let mut night = Picture::plain(16);
        for (at, luma) in night.y.iter_mut().enumerate() {
            let (x, y) = (
                (at % WIDTH) as f32 / WIDTH as f32,
                (at / WIDTH) as f32 / HEIGHT as f32,
            );
            let from_middle = ((x - 0.5).powi(2) + (y - 0.55).powi(2)).sqrt();
            let share = 0.52 - 0.4 * from_middle;
            *luma = byte(20.0 + f32::from(self.y[at] - 16) * share);
        }
        night
    }

    /// The same view from a camera that was knocked: everything lies `right` and `down` of where it was, and
    /// the border is drawn out. Both are even.
    pub(crate) fn shifted(&self, right: usize, down: usize) -> Picture {
        let shift = |plane: &[u8], width: usize, right: usize, down: usize| {
            let source = |at: usize| {
                let (x, y) = (at % width, at / width);
                plane[y.saturating_sub(down) * width + x.saturating_sub(right)]
            };
            (0..plane.len()).map(source).collect()
        };
        Picture {
            y: shift(&self.y, WIDTH, right, down),
            u: shift(&self.u, CHROMA_WIDTH, right / 2, down / 2),
            v: shift(&self.v, CHROMA_WIDTH, right / 2, down / 2),
        }
    }

    /// Adds `noise` to the luma, from its place `offset` on. `noise` holds more than a picture's pixels.
    pub(crate) fn add_noise(&mut self, noise: &[i8], offset: usize) {
        for (luma, noise) in self.y.iter_mut().zip(&noise[offset..]) {
            *luma = luma.saturating_add_signed(*noise);
        }
    }
}

/// A cut-out: a part of a picture with its coverage.
#[derive(Debug, Clone)]
pub(crate) struct Sprite {
    width: usize,
    height: usize,
    /// Luma and coverage, row by row.
    luma: Vec<(u8, u8)>,
    /// Blue and red difference and coverage of every second pixel of every second row.
    chroma: Vec<(u8, u8, u8)>,
}

impl Sprite {
    /// From `colours` with their coverage, 0 to 1, in rows of `width`; a last odd row or column is left out.
    pub(crate) fn of(width: usize, colours: &[(Colour, f32)]) -> Sprite {
        let (even_width, even_height) = (width & !1, (colours.len() / width) & !1);
        let mut luma = Vec::with_capacity(even_width * even_height);
        let mut chroma = Vec::with_capacity(even_width * even_height / 4);
        for y in 0..even_height {
            for x in 0..even_width {
                let (colour, cover) = colours[y * width + x];
                luma.push((luma_of(colour), byte(cover * 255.0)));
                if y % 2 == 0 && x % 2 == 0 {
                    let (u, v) = chroma_of(colour);
                    chroma.push((u, v, byte(cover * 255.0)));
                }
            }
        }
        Sprite {
            width: even_width,
            height: even_height,
            luma,
            chroma,
        }
    }

    /// Width in pixels.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// The same without colour, as infrared light shows it.
    pub(crate) fn at_night(mut self) -> Sprite {
        for (luma, _) in &mut self.luma {
            *luma = byte(26.0 + f32::from(luma.saturating_sub(16)) * 0.78);
        }
        for (u, v, _) in &mut self.chroma {
            (*u, *v) = (128, 128);
        }
        self
    }

    /// Lays it over `picture` with its upper left corner at (`left`, `top`), taken to even numbers. What lies
    /// outside, or where `depth` is greater than `rank`, is not drawn.
    pub(crate) fn lay(&self, picture: &mut Picture, (left, top): (i32, i32), depth: &[u8], rank: u8) {
        let (left, top) = (left & !1, top & !1);
        for row in 0..self.height {
            let Some(y) = place(top, row, HEIGHT) else {
                continue;
            };
            for column in 0..self.width {
                let Some(x) = place(left, column, WIDTH) else {
                    continue;
                };
                let at = y * WIDTH + x;
                if depth[at] > rank {
                    continue;
                }
                let (luma, cover) = self.luma[row * self.width + column];
                if cover == 0 {
                    continue;
                }
                picture.y[at] = mixed(picture.y[at], luma, cover);
                if row % 2 == 0 && column % 2 == 0 {
                    let (u, v, cover) = self.chroma[row / 2 * (self.width / 2) + column / 2];
                    let at = y / 2 * CHROMA_WIDTH + x / 2;
                    picture.u[at] = mixed(picture.u[at], u, cover);
                    picture.v[at] = mixed(picture.v[at], v, cover);
                }
            }
        }
    }
}

/// Where the `n`th row or column of something that begins at `start` lies, when inside.
fn place(start: i32, n: usize, size: usize) -> Option<usize> {
    let at = usize::try_from(start + i32::try_from(n).ok()?).ok()?;
    (at < size).then_some(at)
}

fn mixed(below: u8, above: u8, cover: u8) -> u8 {
    let sum = u32::from(below) * (255 - u32::from(cover)) + u32::from(above) * u32::from(cover);
    u8::try_from((sum + 127) / 255).unwrap_or(u8::MAX)
}

/// BT.601, limited range.
fn luma_of([r, g, b]: Colour) -> u8 {
    byte(16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0)
}

fn chroma_of([r, g, b]: Colour) -> (u8, u8) {
    let u = 128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0;
    let v = 128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0;
    (byte(u), byte(v))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cut to 0..=255 before the cast"
)]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_the_values_of_the_standard() {
        let table = [
            ([255.0, 255.0, 255.0], (235, 128, 128)),
            ([0.0, 0.0, 0.0], (16, 128, 128)),
            ([255.0, 0.0, 0.0], (81, 90, 240)),
            ([0.0, 0.0, 255.0], (41, 240, 110)),
        ];
        for (colour, (y, u, v)) in table {
            let picture = Picture::of(&vec![colour; WIDTH * HEIGHT]);
            assert_eq!((picture.y[0], picture.u[0], picture.v[0]), (y, u, v));
            for (back, given) in picture.rgb().iter().zip(colour) {
                assert!(
                    (f32::from(*back) - given).abs() <= 2.0,
                    "{colour:?} comes back as {back}"
                );
            }
        }
    }

    #[test]
    fn a_cut_out_is_drawn_where_nothing_hides_it_and_cut_at_the_border() {
        let red = Sprite::of(4, &[([255.0, 0.0, 0.0], 1.0); 16]);
        let mut depth = vec![0; WIDTH * HEIGHT];
        depth[2 * WIDTH + 2] = 2;
        for (corner, drawn) in [
            ((0, 0), 15),
            ((-2, -2), 4),
            ((638, 0), 8),
            ((638, 358), 4),
            ((700, 0), 0),
        ] {
            let mut picture = Picture::plain(16);
            red.lay(&mut picture, corner, &depth, 1);
            let count = picture.y.iter().filter(|luma| **luma == 81).count();
            assert_eq!(count, drawn, "{corner:?}");
        }
    }

    #[test]
    fn a_knocked_camera_shows_the_same_elsewhere() {
        let mut picture = Picture::plain(16);
        picture.y[10 * WIDTH + 10] = 200;
        picture.u[5 * CHROMA_WIDTH + 5] = 200;
        let moved = picture.shifted(20, 10);
        assert_eq!(moved.y[20 * WIDTH + 30], 200);
        assert_eq!(moved.u[10 * CHROMA_WIDTH + 15], 200);
        assert_eq!(picture.shifted(0, 0), picture);
    }
}
