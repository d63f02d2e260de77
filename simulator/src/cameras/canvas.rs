//! Drawing what never moves: outlines filled with a paint, at twice the picture's size, so that edges come out
//! smooth.

/// Width of every picture, in pixels.
pub(crate) const WIDTH: usize = 640;
/// Height of every picture, in pixels.
pub(crate) const HEIGHT: usize = 360;

/// How much finer the canvas is than the picture.
const FINER: usize = 2;

/// Red, green and blue, 0 to 255.
pub(crate) type Colour = [f32; 3];

/// A corner, in pixels of the picture.
pub(crate) type Corner = (f32, f32);

/// A picture in the making, with the depth of what covers each pixel.
pub(crate) struct Canvas {
    colours: Vec<Colour>,
    depth: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new() -> Canvas {
        let pixels = WIDTH * FINER * HEIGHT * FINER;
        Canvas {
            colours: vec![[0.0; 3]; pixels],
            depth: vec![0; WIDTH * HEIGHT],
        }
    }

    /// Fills `outline` with what `paint` says of each place, and says that people of a lower rank than `depth`
    /// are hidden there.
    pub(crate) fn fill(&mut self, outline: &[Corner], depth: u8, paint: impl Fn(f32, f32, Colour) -> Colour) {
        let scale = FINER as f32;
        for row in 0..HEIGHT * FINER {
            let y = (row as f32 + 0.5) / scale;
            let crossings = crossings(outline, y);
            for span in crossings.chunks_exact(2) {
                let (from, until) = (column(span[0]), column(span[1]));
                for column in from..until {
                    let at = row * WIDTH * FINER + column;
                    let x = (column as f32 + 0.5) / scale;
                    self.colours[at] = paint(x, y, self.colours[at]);
                    self.depth[row / FINER * WIDTH + column / FINER] = depth;
                }
            }
        }
    }

    /// An upright rectangle.
    pub(crate) fn block(&mut self, area: [f32; 4], depth: u8, paint: impl Fn(f32, f32, Colour) -> Colour) {
        let [left, top, right, bottom] = area;
        let outline = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.fill(&outline, depth, paint);
    }

    /// An ellipse.
    pub(crate) fn round(
        &mut self,
        centre: Corner,
        (wide, high): (f32, f32),
        depth: u8,
        paint: impl Fn(f32, f32, Colour) -> Colour,
    ) {
        let outline: Vec<Corner> = (0..40_u8)
            .map(|n| {
                let angle = f32::from(n) * std::f32::consts::TAU / 40.0;
                (centre.0 + wide * angle.cos(), centre.1 + high * angle.sin())
            })
            .collect();
        self.fill(&outline, depth, paint);
    }

    /// Paints over everything and leaves the depth as it is.
    pub(crate) fn tint(&mut self, paint: impl Fn(f32, f32, Colour) -> Colour) {
        let scale = FINER as f32;
        for (at, colour) in self.colours.iter_mut().enumerate() {
            let (x, y) = (at % (WIDTH * FINER), at / (WIDTH * FINER));
            *colour = paint((x as f32 + 0.5) / scale, (y as f32 + 0.5) / scale, *colour);
        }
    }

    /// Red, green and blue of every pixel of the picture, and its depth.
    pub(crate) fn finish(self) -> (Vec<Colour>, Vec<u8>) {
        let mut picture = Vec::with_capacity(WIDTH * HEIGHT);
        for row in 0..HEIGHT {
            for column in 0..WIDTH {
                let at = row * FINER * WIDTH * FINER + column * FINER;
                let four = [at, at + 1, at + WIDTH * FINER, at + WIDTH * FINER + 1];
                let mut sum = [0.0; 3];
                for fine in four {
                    for (total, part) in sum.iter_mut().zip(self.colours[fine]) {
                        *total += part / 4.0;
                    }
                }
                picture.push(sum);
            }
        }
        (picture, self.depth)
    }
}

/// Where the outline crosses the height `y`, from left to right. Always an even number.
fn crossings(outline: &[Corner], y: f32) -> Vec<f32> {
    let next = outline.iter().cycle().skip(1);
    let mut found: Vec<f32> = outline
        .iter()
        .zip(next)
        .filter(|(a, b)| (a.1 > y) != (b.1 > y))
        .map(|(a, b)| a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1))
        .collect();
    found.sort_by(f32::total_cmp);
    found
}

/// The first fine column whose middle lies right of `x`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cut to 0..=1280 before the cast"
)]
fn column(x: f32) -> usize {
    let fine = (x * FINER as f32 + 0.5).floor();
    fine.clamp(0.0, (WIDTH * FINER) as f32) as usize
}

/// `colour` made lighter (above 1) or darker.
pub(crate) fn lit(colour: Colour, light: f32) -> Colour {
    colour.map(|part| (part * light).clamp(0.0, 255.0))
}

/// From `a` to `b` by `share`, 0 to 1.
pub(crate) fn between(a: Colour, b: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [0, 1, 2].map(|n| a[n] + (b[n] - a[n]) * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_is_filled_where_it_lies_and_smooth_at_its_edge() {
        let mut canvas = Canvas::new();
        let white = |_: f32, _: f32, _: Colour| [255.0; 3];
        canvas.fill(
            &[(10.0, 10.0), (30.5, 10.0), (30.5, 20.0), (10.0, 20.0)],
            3,
            white,
        );
        canvas.block([600.0, 300.0, 900.0, 900.0], 1, white);
        let (colours, depth) = canvas.finish();
        let at = |x: usize, y: usize| (colours[y * WIDTH + x][0], depth[y * WIDTH + x]);
        assert_eq!(at(9, 15), (0.0, 0));
        assert_eq!(at(10, 15), (255.0, 3));
        assert_eq!(at(30, 15), (127.5, 3));
        assert_eq!(at(31, 15), (0.0, 0));
        assert_eq!(at(10, 20), (0.0, 0));
        assert_eq!(at(639, 359), (255.0, 1));
    }
}
