//! The brightness of a picture, small enough to be compared with that of others.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use crate::stream::Frame;

/// The small picture's width.
pub(super) const WIDTH: usize = 160;

/// The small picture's height.
pub(super) const HEIGHT: usize = 90;

/// Brightness of a picture: small, with its edges, and what was measured on the whole of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Luma {
    /// Brightness of every pixel of the frame; kept to spare its allocation.
    whole: Vec<u8>,
    small: Vec<u8>,
    edges: Vec<f32>,
    mean: f32,
    spread: f32,
    edge_mean: f32,
    sharpness: f32,
}

impl Luma {
    /// Measures `frame`. One that is smaller than 3 by 3 pixels leaves everything at nothing.
    pub(super) fn take(&mut self, frame: &Frame) {
        let (width, height) = (frame.width as usize, frame.height as usize);
        self.whole.clear();
        self.whole.extend(frame.rgb.chunks_exact(3).map(|pixel| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
            ((red * 77 + green * 150 + blue * 29) >> 8) as u8
        }));
        if width < 3 || height < 3 || self.whole.len() < width * height {
            *self = Luma::default();
            return;
        }
        self.shrink(width, height);
        let count = self.small.len() as f32;
        self.mean = self.small.iter().map(|level| f32::from(*level)).sum::<f32>() / count;
        let variance = self
            .small
            .iter()
            .map(|level| (f32::from(*level) - self.mean).powi(2));
        self.spread = (variance.sum::<f32>() / count).sqrt();
        self.find_edges();
        self.edge_mean = self.edges.iter().sum::<f32>() / count;
        self.sharpness = sharpness(&self.whole, width, height);
    }

    /// Each small pixel is the mean of those it stands for.
    fn shrink(&mut self, width: usize, height: usize) {
        self.small.clear();
        for row in 0..HEIGHT {
            let rows = span(row, HEIGHT, height);
            for column in 0..WIDTH {
                let columns = span(column, WIDTH, width);
                let mut sum = 0u32;
                for y in rows.clone() {
                    let line = &self.whole[y * width + columns.start..y * width + columns.end];
                    sum += line.iter().map(|level| u32::from(*level)).sum::<u32>();
                }
                self.small.push((sum / (rows.len() * columns.len()) as u32) as u8);
            }
        }
    }

    /// How much brightness changes from pixel to pixel, both ways; nothing along the picture's border.
    fn find_edges(&mut self) {
        self.edges.clear();
        self.edges.resize(WIDTH * HEIGHT, 0.0);
        let level = |at: usize| i32::from(self.small[at]);
        for y in 1..HEIGHT - 1 {
            for x in 1..WIDTH - 1 {
                let at = y * WIDTH + x;
                let across = level(at + 1) - level(at - 1);
                let down = level(at + WIDTH) - level(at - WIDTH);
                self.edges[at] = (across.abs() + down.abs()) as f32;
            }
        }
    }

    /// Mean brightness, 0 to 255.
    pub(super) fn mean(&self) -> f32 {
        self.mean
    }

    /// Standard deviation of the brightness.
    pub(super) fn spread(&self) -> f32 {
        self.spread
    }

    /// Mean of the edges.
    pub(super) fn edge_mean(&self) -> f32 {
        self.edge_mean
    }

    /// How much fine detail there is: the variance of the Laplacian on the whole picture.
    pub(super) fn sharpness(&self) -> f32 {
        self.sharpness
    }

    /// The edges of the small picture, row by row.
    pub(super) fn edges(&self) -> &[f32] {
        &self.edges
    }

    /// The same for equal small pictures only, for all that matters.
    pub(super) fn hash(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(&self.small)
    }
}

/// The pixels for which one of `parts` stands; at least one.
fn span(part: usize, parts: usize, length: usize) -> std::ops::Range<usize> {
    let start = (part * length / parts).min(length - 1);
    start..((part + 1) * length / parts).clamp(start + 1, length)
}

fn sharpness(whole: &[u8], width: usize, height: usize) -> f32 {
    let (mut sum, mut squares) = (0i64, 0i64);
    for y in 1..height - 1 {
        let (above, row, below) = (
            &whole[(y - 1) * width..y * width],
            &whole[y * width..(y + 1) * width],
            &whole[(y + 1) * width..(y + 2) * width],
        );
        let (mut row_sum, mut row_squares) = (0i32, 0i64);
        for (three, (above, below)) in row.windows(3).zip(above[1..].iter().zip(&below[1..])) {
            let [left, middle, right] = [three[0], three[1], three[2]].map(i32::from);
            let change = 4 * middle - left - right - i32::from(*above) - i32::from(*below);
            row_sum += change;
            row_squares += i64::from(change * change);
        }
        sum += i64::from(row_sum);
        squares += row_squares;
    }
    let count = ((width - 2) * (height - 2)) as f32;
    let mean = sum as f32 / count;
    squares as f32 / count - mean * mean
}
