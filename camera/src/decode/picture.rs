//! From planes of brightness and colour to a small RGB picture.

use std::sync::Arc;

use domain::UtcMillis;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::stream::Frame;

/// A decoded picture in 4:2:0, rows without padding.
pub(super) struct Planes<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    /// `width × height`.
    pub(super) y: &'a [u8],
    /// Half of both, rounded down.
    pub(super) u: &'a [u8],
    /// As `u`.
    pub(super) v: &'a [u8],
}

/// Scales planes down and turns them into RGB. Keeps its buffers from picture to picture.
pub(super) struct Scaler {
    max_width: u32,
    resizer: Resizer,
    planes: [Vec<u8>; 3],
}

impl Scaler {
    pub(super) fn new(max_width: u32) -> Scaler {
        Scaler {
            max_width,
            resizer: Resizer::new(),
            planes: Default::default(),
        }
    }

    /// The picture in RGB, no wider than allowed. `None` when the planes are not as large as they should be.
    pub(super) fn frame(&mut self, planes: &Planes<'_>, at: UtcMillis) -> Option<Frame> {
        let (from_width, from_height) = (
            u32::try_from(planes.width).ok()?,
            u32::try_from(planes.height).ok()?,
        );
        let (width, height) = fitting((from_width, from_height), self.max_width);
        // The chroma planes leave out a last odd row or column, and the picture with them.
        let matrix = Matrix::of_height(from_height);
        if (width, height) == (from_width, from_height) {
            let rgb = convert((width, height), [planes.y, planes.u, planes.v], matrix)?;
            return Some(Frame {
                at,
                width,
                height,
                rgb,
            });
        }
        let [y, u, v] = &mut self.planes;
        let full = (from_width, from_height);
        let half = (from_width / 2, from_height / 2);
        resize(&mut self.resizer, (planes.y, full), (y, (width, height)))?;
        resize(&mut self.resizer, (planes.u, half), (u, (width / 2, height / 2)))?;
        resize(&mut self.resizer, (planes.v, half), (v, (width / 2, height / 2)))?;
        let rgb = convert((width, height), [y, u, v], matrix)?;
        Some(Frame {
            at,
            width,
            height,
            rgb,
        })
    }
}

/// The largest even size with the shape of `size` that is at most `max_width` wide; at least 2 by 2.
pub(crate) fn fitting(size: (u32, u32), max_width: u32) -> (u32, u32) {
    let (width, height) = (size.0.max(1), size.1.max(1));
    let even = |pixels: u32| (pixels & !1).max(2);
    let fitted = width.min(max_width);
    let scaled = u64::from(height) * u64::from(fitted) / u64::from(width);
    (even(fitted), even(u32::try_from(scaled).unwrap_or(u32::MAX)))
}

fn resize(
    resizer: &mut Resizer,
    (from, from_size): (&[u8], (u32, u32)),
    (to, to_size): (&mut Vec<u8>, (u32, u32)),
) -> Option<()> {
    resize_pixels(resizer, PixelType::U8, (from, from_size), (to, to_size))
}

/// An RGB picture in another size. `None` when `from` is not as large as `from_size` says.
pub(crate) fn resize_rgb(from: &[u8], from_size: (u32, u32), to_size: (u32, u32)) -> Option<Vec<u8>> {
    let mut to = Vec::new();
    let mut resizer = Resizer::new();
    resize_pixels(
        &mut resizer,
        PixelType::U8x3,
        (from, from_size),
        (&mut to, to_size),
    )?;
    Some(to)
}

fn resize_pixels(
    resizer: &mut Resizer,
    pixel: PixelType,
    (from, from_size): (&[u8], (u32, u32)),
    (to, to_size): (&mut Vec<u8>, (u32, u32)),
) -> Option<()> {
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    let source = ImageRef::new(from_size.0, from_size.1, from, pixel).ok()?;
    to.clear();
    to.resize(to_size.0 as usize * to_size.1 as usize * pixel.size(), 0);
    let mut target = Image::from_slice_u8(to_size.0, to_size.1, to, pixel).ok()?;
    resizer.resize(&source, &mut target, &options).ok()
}

/// How colour differences become colours, in 1/8,192ths: of limited range, as cameras send it.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

/// 255/219 in 1/8,192ths.
const LUMA_GAIN: i32 = 9_539;

const ROUND: i32 = 1 << 12;

impl Matrix {
    /// ITU-R BT.601, which small pictures are in.
    const BT_601: Matrix = Matrix {
        red_of_v: 13_075,
        green_of_u: 3_209,
        green_of_v: 6_660,
        blue_of_u: 16_525,
    };

    /// ITU-R BT.709, which large pictures are in.
    const BT_709: Matrix = Matrix {
        red_of_v: 14_686,
        green_of_u: 1_747,
        green_of_v: 4_366,
        blue_of_u: 17_305,
    };

    /// What a camera that says nothing means by pictures of this height.
    fn of_height(height: u32) -> Matrix {
        if height >= 720 {
            Matrix::BT_709
        } else {
            Matrix::BT_601
        }
    }
}

/// Pixels that are converted together, so that the arithmetic is done in vectors.
const RUN: usize = 64;

fn convert((width, height): (u32, u32), [y, u, v]: [&[u8]; 3], matrix: Matrix) -> Option<Arc<[u8]>> {
    let (width, height) = (width as usize, height as usize);
    let half = width / 2;
    if y.len() < width * height || u.len().min(v.len()) < half * (height / 2) {
        return None;
    }
    let mut rgb: Arc<[u8]> = std::iter::repeat_n(0, width * height * 3).collect();
    let out = Arc::get_mut(&mut rgb).expect("it was made just now and nobody else has it");
    for (row, out) in out.chunks_exact_mut(width * 3).enumerate() {
        let chroma = row / 2 * half;
        let y = &y[row * width..][..width];
        let (u, v) = (&u[chroma..][..half], &v[chroma..][..half]);
        for (((y, u), v), out) in y
            .chunks(RUN)
            .zip(u.chunks(RUN / 2))
            .zip(v.chunks(RUN / 2))
            .zip(out.chunks_mut(RUN * 3))
        {
            convert_run(y, u, v, (matrix, out));
        }
    }
    Some(rgb)
}

/// At most [`RUN`] pixels of one row. The planes of red, green and blue are made first, then woven together.
#[inline]
fn convert_run(y: &[u8], u: &[u8], v: &[u8], (matrix, out): (Matrix, &mut [u8])) {
    let mut luma = [0i32; RUN];
    let (mut reds, mut greens, mut blues) = ([0i32; RUN / 2], [0i32; RUN / 2], [0i32; RUN / 2]);
    for (luma, y) in luma.iter_mut().zip(y) {
        *luma = (i32::from(*y) - 16) * LUMA_GAIN + ROUND;
    }
    for (((u, v), red), (green, blue)) in u
        .iter()
        .zip(v)
        .zip(&mut reds)
        .zip(greens.iter_mut().zip(&mut blues))
    {
        let (u, v) = (i32::from(*u) - 128, i32::from(*v) - 128);
        *red = v * matrix.red_of_v;
        *green = -u * matrix.green_of_u - v * matrix.green_of_v;
        *blue = u * matrix.blue_of_u;
    }
    let level = |sum: i32| (sum >> 13).clamp(0, 255) as u8;
    let (mut red, mut green, mut blue) = ([0u8; RUN], [0u8; RUN], [0u8; RUN]);
    for index in 0..RUN {
        red[index] = level(luma[index] + reds[index / 2]);
        green[index] = level(luma[index] + greens[index / 2]);
        blue[index] = level(luma[index] + blues[index / 2]);
    }
    for ((out, red), (green, blue)) in out.chunks_exact_mut(3).zip(&red).zip(green.iter().zip(&blue)) {
        out.copy_from_slice(&[*red, *green, *blue]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_keep_their_shape_and_are_even() {
        for (size, max_width, fits) in [
            ((1280, 720), 640, (640, 360)),
            ((640, 360), 640, (640, 360)),
            ((352, 288), 640, (352, 288)),
            ((1920, 1080), 500, (500, 280)),
            ((33, 17), 640, (32, 16)),
            ((1, 4096), 640, (2, 4096)),
            ((4096, 1), 640, (640, 2)),
        ] {
            assert_eq!(fitting(size, max_width), fits, "{size:?}");
        }
    }

    /// What the standard says, in floating point.
    fn expected(y: u8, u: u8, v: u8, (kr, kb): (f64, f64)) -> [f64; 3] {
        let (y, u, v) = (
            (f64::from(y) - 16.0) * 255.0 / 219.0,
            (f64::from(u) - 128.0) * 255.0 / 224.0,
            (f64::from(v) - 128.0) * 255.0 / 224.0,
        );
        let kg = 1.0 - kr - kb;
        let red = y + 2.0 * (1.0 - kr) * v;
        let blue = y + 2.0 * (1.0 - kb) * u;
        let green = y - (2.0 * kb * (1.0 - kb) * u + 2.0 * kr * (1.0 - kr) * v) / kg;
        [red, green, blue].map(|level| level.clamp(0.0, 255.0))
    }

    proptest! {
        #[test]
        fn colours_are_those_of_the_standards(y: u8, u: u8, v: u8) {
            for (matrix, weights) in
                [(Matrix::BT_601, (0.299, 0.114)), (Matrix::BT_709, (0.2126, 0.0722))]
            {
                let rgb = convert((2, 2), [&[y; 4], &[u], &[v]], matrix).unwrap();
                for (got, want) in rgb.iter().zip(expected(y, u, v, weights).iter().cycle()) {
                    prop_assert!((f64::from(*got) - want).abs() <= 1.0, "{y} {u} {v}: {rgb:?}");
                }
            }
        }
    }

    #[test]
    fn each_pixel_gets_its_own_colour() {
        // Wider than a run, and not a multiple of it: red on the left half, blue on the right half.
        let (width, height) = (150usize, 4usize);
        let left = |x: usize, of: usize| x < of / 2;
        let y: Vec<u8> = (0..width * height)
            .map(|at| if left(at % width, width) { 63 } else { 32 })
            .collect();
        let u: Vec<u8> = (0..width / 2 * height / 2)
            .map(|at| {
                if left(at % (width / 2), width / 2) {
                    102
                } else {
                    240
                }
            })
            .collect();
        let v: Vec<u8> = (0..width / 2 * height / 2)
            .map(|at| {
                if left(at % (width / 2), width / 2) {
                    240
                } else {
                    118
                }
            })
            .collect();
        let planes = Planes {
            width,
            height,
            y: &y,
            u: &u,
            v: &v,
        };
        let frame = Scaler::new(640).frame(&planes, UtcMillis(7)).unwrap();
        assert_eq!((frame.width, frame.height, frame.at), (150, 4, UtcMillis(7)));
        for row in frame.rgb.chunks_exact(width * 3) {
            assert!(row[0] > 200 && row[2] < 60, "{:?}", &row[..3]);
            assert!(
                row[149 * 3] < 60 && row[149 * 3 + 2] > 200,
                "{:?}",
                &row[149 * 3..]
            );
        }
        let small = Scaler::new(50).frame(&planes, UtcMillis(7)).unwrap();
        assert_eq!((small.width, small.rgb.len()), (50, 50 * 2 * 3));
        assert!(small.rgb[0] > 200 && small.rgb[49 * 3 + 2] > 200);
    }

    #[test]
    fn planes_that_are_too_short_give_no_picture() {
        let short = Planes {
            width: 16,
            height: 16,
            y: &[0; 100],
            u: &[0; 64],
            v: &[0; 64],
        };
        assert!(Scaler::new(640).frame(&short, UtcMillis(0)).is_none());
        assert!(Scaler::new(8).frame(&short, UtcMillis(0)).is_none());
    }
}
