//! What is painted on pictures: privacy masks, blurred faces and boxes.
//!
//! Everything changes a frame in place when nobody else holds its pixels, and a copy of it otherwise.

use std::{ops::Range, sync::Arc};

use domain::{PictureBox, Polygon, Spot};

use crate::stream::Frame;

/// The grey of a privacy mask.
const MASK_GREY: u8 = 96;

/// The most blocks across and down a face that is made unrecognisable.
const FACE_BLOCKS: usize = 8;

/// How much more than the found box is blurred, as a share of its size, on each side: hair, chin and ears lie
/// outside of it.
const FACE_MARGIN: f32 = 0.2;

/// Width of the lines of a box, in pixels.
const LINE: usize = 2;

/// Paints `areas` flat grey. Nothing of what was there can be got back.
pub fn hide(frame: &mut Frame, areas: &[Polygon]) {
    if areas.is_empty() {
        return;
    }
    let mut canvas = Canvas::of(frame);
    for area in areas {
        canvas.fill(area);
    }
}

/// Makes the faces in `faces`, and a margin around them, unrecognisable: each is averaged into at most 8 by 8
/// blocks, and the blocks are smoothed into each other.
pub fn blur_faces(frame: &mut Frame, faces: &[PictureBox]) {
    if faces.is_empty() {
        return;
    }
    let mut canvas = Canvas::of(frame);
    for face in faces {
        canvas.blur(face);
    }
}

/// Draws outlines, each in its colour.
pub fn draw_boxes(frame: &mut Frame, boxes: &[(PictureBox, [u8; 3])]) {
    if boxes.is_empty() {
        return;
    }
    let mut canvas = Canvas::of(frame);
    for (area, colour) in boxes {
        canvas.outline(area, *colour);
    }
}

/// Pixels that may be changed.
struct Canvas<'a> {
    width: usize,
    height: usize,
    rgb: &'a mut [u8],
}

impl<'a> Canvas<'a> {
    fn of(frame: &'a mut Frame) -> Canvas<'a> {
        let (width, height) = (frame.width as usize, frame.height as usize);
        let rgb = Arc::make_mut(&mut frame.rgb);
        // A frame with fewer pixels than it says is painted as far as it goes.
        let height = height.min(rgb.len() / (width * 3).max(1));
        Canvas { width, height, rgb }
    }

    fn row(&mut self, y: usize, columns: Range<usize>) -> &mut [u8] {
        let start = y * self.width * 3;
        &mut self.rgb[start + columns.start * 3..start + columns.end * 3]
    }

    /// Row by row between the edges' crossings (even-odd rule). Whatever the area touches is painted: each row
    /// is looked at along its upper edge, middle and lower edge, and spans are rounded outwards.
    fn fill(&mut self, area: &Polygon) {
        let bounds = area.bounds();
        let rows = pixels(bounds.top, bounds.bottom, self.height);
        let mut crossings = Vec::with_capacity(area.corners().len());
        for y in rows {
            for step in [0.02, 0.5, 0.98] {
                let height = (y as f32 + step) / self.height as f32;
                crossings.clear();
                crossings.extend(edges(area.corners()).filter_map(|edge| crossing(edge, height)));
                crossings.sort_by(f32::total_cmp);
                for pair in crossings.chunks_exact(2) {
                    let columns = pixels(pair[0], pair[1], self.width);
                    self.row(y, columns).fill(MASK_GREY);
                }
            }
        }
    }

    fn blur(&mut self, face: &PictureBox) {
        let (across, down) = (face.width() * FACE_MARGIN, face.height() * FACE_MARGIN);
        let columns = pixels(face.left - across, face.right + across, self.width);
        let rows = pixels(face.top - down, face.bottom + down, self.height);
        if columns.is_empty() || rows.is_empty() {
            return;
        }
        let blocks = (columns.len().min(FACE_BLOCKS), rows.len().min(FACE_BLOCKS));
        let means = self.means(&columns, &rows, blocks);
        for (line, y) in rows.clone().enumerate() {
            let (above, below, down) = between(line, rows.len(), blocks.1);
            let row = self.row(y, columns.clone());
            for (column, pixel) in row.chunks_exact_mut(3).enumerate() {
                let (left, right, across) = between(column, columns.len(), blocks.0);
                for (channel, level) in pixel.iter_mut().enumerate() {
                    let mean = |x: usize, y: usize| means[y * blocks.0 + x][channel];
                    let upper = mix(mean(left, above), mean(right, above), across);
                    let lower = mix(mean(left, below), mean(right, below), across);
                    *level = mix(upper, lower, down) as u8;
                }
            }
        }
    }

    /// The mean colour of each block.
    fn means(
        &mut self,
        columns: &Range<usize>,
        rows: &Range<usize>,
        blocks: (usize, usize),
    ) -> Vec<[u32; 3]> {
        let mut sums = vec![([0u32; 3], 0u32); blocks.0 * blocks.1];
        for (line, y) in rows.clone().enumerate() {
            let block_row = line * blocks.1 / rows.len();
            let row = self.row(y, columns.clone());
            for (column, pixel) in row.chunks_exact(3).enumerate() {
                let block_column = column * blocks.0 / columns.len();
                let (sum, count) = &mut sums[block_row * blocks.0 + block_column];
                for (sum, level) in sum.iter_mut().zip(pixel) {
                    *sum += u32::from(*level);
                }
                *count += 1;
            }
        }
        sums.into_iter()
            .map(|(sum, count)| sum.map(|sum| sum / count.max(1)))
            .collect()
    }

    fn outline(&mut self, area: &PictureBox, colour: [u8; 3]) {
        let columns = pixels(area.left, area.right, self.width);
        let rows = pixels(area.top, area.bottom, self.height);
        let edge = |at: usize, range: &Range<usize>| at < range.start + LINE || at + LINE >= range.end;
        for y in rows.clone() {
            let whole_row = edge(y, &rows);
            let row = self.row(y, columns.clone());
            for (column, pixel) in row.chunks_exact_mut(3).enumerate() {
                if whole_row || edge(columns.start + column, &columns) {
                    pixel.copy_from_slice(&colour);
                }
            }
        }
    }
}

/// The pixels that a span of shares touches.
fn pixels(from: f32, to: f32, length: usize) -> Range<usize> {
    let share = |share: f32| share.clamp(0.0, 1.0) * length as f32;
    let (start, end) = (share(from).floor() as usize, share(to).ceil() as usize);
    start.min(length)..end.min(length).max(start.min(length))
}

fn edges(corners: &[Spot]) -> impl Iterator<Item = (Spot, Spot)> {
    corners
        .iter()
        .copied()
        .zip(corners.iter().copied().cycle().skip(1))
}

/// Where an edge crosses this height.
fn crossing((a, b): (Spot, Spot), height: f32) -> Option<f32> {
    let crosses = (a.y > height) != (b.y > height);
    crosses.then(|| (b.x - a.x) * (height - a.y) / (b.y - a.y) + a.x)
}

/// Between which two blocks' middles a pixel lies, and how far along, in 256ths.
fn between(at: usize, length: usize, blocks: usize) -> (usize, usize, u32) {
    let position = (at as f32 + 0.5) * blocks as f32 / length as f32 - 0.5;
    let position = position.clamp(0.0, (blocks - 1) as f32);
    let first = position as usize;
    let along = ((position - first as f32) * 256.0) as u32;
    (first, (first + 1).min(blocks - 1), along)
}

fn mix(a: u32, b: u32, along: u32) -> u32 {
    (a * (256 - along) + b * along) / 256
}

#[cfg(test)]
mod tests;
