//! How sharp a part of a picture is: the variance of its Laplacian.

use camera::Frame;
use domain::PictureBox;
use fast_image_resize::Resizer;

use crate::{
    infer::InferError,
    prepare::{Cut, check, resize},
};

/// The most points across and down that are looked at. A larger part is scaled down, so that the same face counts as
/// equally sharp in a small and in a large picture.
const MOST_POINTS: u32 = 96;

/// Measures sharpness, in memory that it keeps.
#[derive(Default)]
pub struct Sharpness {
    resizer: Resizer,
    scaled: Vec<u8>,
    luma: Vec<i32>,
}

impl Sharpness {
    /// The variance of the Laplacian of the luma (0 to 255) within `part`: below about 40 an edge is several points
    /// wide, a sharp face has some hundreds. 0 for a part of fewer than 3 points across or down.
    ///
    /// # Errors
    /// [`InferError::Frame`] when the picture's bytes are not what its size says.
    pub fn measure(&mut self, frame: &Frame, part: &PictureBox) -> Result<f32, InferError> {
        check(frame)?;
        let cut = Cut::of(part, frame.width, frame.height);
        let longer = cut.width.max(cut.height);
        let side = |of: u32| match longer > MOST_POINTS {
            true => (of * MOST_POINTS / longer).max(1),
            false => of,
        };
        let (width, height) = (side(cut.width), side(cut.height));
        resize(&mut self.resizer, frame, cut, (width, height), &mut self.scaled)?;
        self.luma.clear();
        // The weights of ITU-R BT.601, in 256ths.
        let luma = |p: &[u8]| (77 * i32::from(p[0]) + 150 * i32::from(p[1]) + 29 * i32::from(p[2])) >> 8;
        self.luma.extend(self.scaled.chunks_exact(3).map(luma));
        Ok(variance(&self.luma, width as usize))
    }
}

/// The variance of the Laplacian of lines of `width` numbers, edges left out.
fn variance(luma: &[i32], width: usize) -> f32 {
    let lines: Vec<&[i32]> = luma.chunks_exact(width).collect();
    let (mut count, mut sum, mut squares) = (0_i64, 0_i64, 0_i64);
    for three in lines.windows(3) {
        let [above, here, below] = three else {
            continue;
        };
        for x in 1..width.saturating_sub(1) {
            let bend = above[x] + below[x] + here[x - 1] + here[x + 1] - 4 * here[x];
            count += 1;
            sum += i64::from(bend);
            squares += i64::from(bend) * i64::from(bend);
        }
    }
    if count == 0 {
        return 0.0;
    }
    let mean = sum as f64 / count as f64;
    (squares as f64 / count as f64 - mean * mean) as f32
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;

    use super::*;

    fn frame(width: u32, height: u32, grey: impl Fn(u32, u32) -> u8) -> Frame {
        let points = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Frame {
            at: UtcMillis(0),
            width,
            height,
            rgb: points.flat_map(|(x, y)| [grey(x, y); 3]).collect(),
        }
    }

    #[test]
    fn an_edge_is_sharper_than_a_slope() {
        let mut sharpness = Sharpness::default();
        let mut measure = |frame: &Frame| sharpness.measure(frame, &PictureBox::WHOLE).unwrap();
        let edge = measure(&frame(64, 64, |x, _| if x < 32 { 0 } else { 200 }));
        let slope = measure(&frame(64, 64, |x, _| (x * 3) as u8));
        let flat = measure(&frame(64, 64, |_, _| 90));
        assert!(edge > 1000.0, "{edge}");
        assert_eq!((slope, flat), (0.0, 0.0));
        assert_eq!(measure(&frame(2, 2, |x, _| (x * 200) as u8)), 0.0);
    }

    #[test]
    fn only_the_part_counts() {
        let half_flat = frame(64, 64, |x, y| if x < 32 { 90 } else { (x * y * 37) as u8 });
        let mut sharpness = Sharpness::default();
        let mut measure = |left, right| {
            let part = PictureBox::new(left, 0.0, right, 1.0).unwrap();
            sharpness.measure(&half_flat, &part).unwrap()
        };
        assert_eq!(measure(0.0, 0.5), 0.0);
        assert!(measure(0.5, 1.0) > 1000.0);
    }
}
