//! From a picture to the numbers that a model takes: cut, resized, laid into place and normalised.

use camera::Frame;
use domain::PictureBox;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::infer::{InferError, words};

/// The order of a model's input numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One plane per colour, as most models have it.
    Planes,
    /// The colours of a point beside each other.
    Interleaved,
}

/// The order of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture is brought to a model's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Its proportions are kept, and the rest is filled with this grey.
    Letterbox(u8),
    /// It is stretched.
    Stretch,
}

/// What a model takes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputForm {
    /// Width in points.
    pub width: u32,
    /// Height in points.
    pub height: u32,
    /// The order of the numbers.
    pub layout: Layout,
    /// The order of the colours. `mean` and `scale` are in this order.
    pub colours: Colours,
    /// What is taken from each value of 0 to 255.
    pub mean: [f32; 3],
    /// By what the rest is divided.
    pub scale: [f32; 3],
    /// How the picture is brought to size.
    pub fit: Fit,
}

impl InputForm {
    /// The shape of the input, one picture at a time.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        let (width, height) = (self.width as usize, self.height as usize);
        match self.layout {
            Layout::Planes => [1, 3, height, width],
            Layout::Interleaved => [1, height, width, 3],
        }
    }
}

/// Where the picture, or the part of it, lies in a model's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// The part of the picture, in shares of it.
    part: PictureBox,
    /// Left edge, upper edge, width and height of that part in the model's input, in points.
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Placement {
    /// The place in the picture of a rectangle in the model's input, given in points; cut to the part that the model
    /// saw. `None` when nothing of it lies there.
    #[must_use]
    pub fn in_picture(&self, [left, top, right, bottom]: [f32; 4]) -> Option<PictureBox> {
        let x = |x: f32| (x - self.left as f32) / self.width as f32;
        let y = |y: f32| (y - self.top as f32) / self.height as f32;
        let seen = PictureBox::new(x(left), y(top), x(right), y(bottom))?;
        let across = |share: f32| self.part.left + share * self.part.width();
        let down = |share: f32| self.part.top + share * self.part.height();
        PictureBox::new(
            across(seen.left),
            down(seen.top),
            across(seen.right),
            down(seen.bottom),
        )
    }
}

/// A part of a picture in whole points: left edge, upper edge, width, height; at least one point each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Cut {
    /// The points that `part` covers, of a picture that is not empty.
    pub(crate) fn of(part: &PictureBox, width: u32, height: u32) -> Cut {
        let span = |from: f32, to: f32, size: u32| {
            let first = ((from * size as f32) as u32).min(size - 1);
            let last = ((to * size as f32).ceil() as u32).clamp(first + 1, size);
            (first, last - first)
        };
        let (left, across) = span(part.left, part.right, width);
        let (top, down) = span(part.top, part.bottom, height);
        Cut {
            left,
            top,
            width: across,
            height: down,
        }
    }
}

/// Fails when the bytes of `frame` are not what its size says.
pub(crate) fn check(frame: &Frame) -> Result<(), InferError> {
    let points = u64::from(frame.width) * u64::from(frame.height);
    if points > 0 && points * 3 == frame.rgb.len() as u64 {
        return Ok(());
    }
    Err(InferError::Frame {
        width: frame.width,
        height: frame.height,
        bytes: frame.rgb.len(),
    })
}

/// Resizes a part of `frame` into `to`, which is `width × height` points, as OpenCV's `INTER_LINEAR` does: what the
/// models were trained on.
pub(crate) fn resize(
    resizer: &mut Resizer,
    frame: &Frame,
    cut: Cut,
    (width, height): (u32, u32),
    to: &mut Vec<u8>,
) -> Result<(), InferError> {
    let damaged = |_| InferError::Frame {
        width: frame.width,
        height: frame.height,
        bytes: frame.rgb.len(),
    };
    let from = ImageRef::new(frame.width, frame.height, &frame.rgb, PixelType::U8x3).map_err(damaged)?;
    to.resize(width as usize * height as usize * 3, 0);
    let mut target = Image::from_slice_u8(width, height, to, PixelType::U8x3).map_err(damaged)?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear))
        .crop(
            f64::from(cut.left),
            f64::from(cut.top),
            f64::from(cut.width),
            f64::from(cut.height),
        );
    let resized = resizer.resize(&from, &mut target, &options);
    resized.map_err(|error| InferError::Runtime(words(&error)))
}

/// Prepares pictures for one model, in memory that it keeps.
pub struct Preparer {
    form: InputForm,
    /// For each colour of the model's order, what each of 256 values becomes.
    tables: [[f32; 256]; 3],
    resizer: Resizer,
    scaled: Vec<u8>,
    input: Vec<f32>,
    /// Where the last picture lies: the filling around it is still there when the next lies in the same place.
    last: Option<Placement>,
}

impl Preparer {
    /// Prepares pictures of this form.
    #[must_use]
    pub fn new(form: InputForm) -> Preparer {
        let table = |colour: usize| {
            std::array::from_fn(|value| (value as f32 - form.mean[colour]) / form.scale[colour])
        };
        Preparer {
            form,
            tables: std::array::from_fn(table),
            resizer: Resizer::new(),
            scaled: Vec::new(),
            input: vec![0.0; form.shape().iter().product()],
            last: None,
        }
    }

    /// What the model takes in.
    #[must_use]
    pub fn form(&self) -> &InputForm {
        &self.form
    }

    /// The numbers of the last picture, in the shape of [`InputForm::shape`]; zeros before the first.
    #[must_use]
    pub fn input(&self) -> &[f32] {
        &self.input
    }

    /// Prepares a part of `frame` and says where it lies.
    ///
    /// # Errors
    /// [`InferError::Frame`] when the picture's bytes are not what its size says.
    pub fn prepare(&mut self, frame: &Frame, part: &PictureBox) -> Result<Placement, InferError> {
        check(frame)?;
        let cut = Cut::of(part, frame.width, frame.height);
        let placement = self.place(frame, cut);
        let size = (placement.width, placement.height);
        resize(&mut self.resizer, frame, cut, size, &mut self.scaled)?;
        let around = |p: &Placement| (p.left, p.top, p.width, p.height);
        if self.last.as_ref().map(around) != Some(around(&placement)) {
            self.fill();
        }
        self.last = Some(placement);
        match self.form.layout {
            Layout::Planes => self.lay_planes(&placement),
            Layout::Interleaved => self.lay_interleaved(&placement),
        }
        Ok(placement)
    }

    fn place(&self, frame: &Frame, cut: Cut) -> Placement {
        let InputForm { width, height, .. } = self.form;
        let share = |from: u32, size: u32| from as f32 / size as f32;
        let part = PictureBox {
            left: share(cut.left, frame.width),
            top: share(cut.top, frame.height),
            right: share(cut.left + cut.width, frame.width),
            bottom: share(cut.top + cut.height, frame.height),
        };
        let (across, down) = match self.form.fit {
            Fit::Stretch => (width, height),
            Fit::Letterbox(_) => {
                let scale = share(width, cut.width).min(share(height, cut.height));
                let side = |of: u32, most: u32| ((of as f32 * scale).round() as u32).clamp(1, most);
                (side(cut.width, width), side(cut.height, height))
            }
        };
        Placement {
            part,
            left: (width - across) / 2,
            top: (height - down) / 2,
            width: across,
            height: down,
        }
    }

    /// Fills the whole input with the grey that surrounds the picture.
    fn fill(&mut self) {
        let Fit::Letterbox(grey) = self.form.fit else {
            return;
        };
        let [first, second, third] = self.tables.each_ref().map(|table| table[usize::from(grey)]);
        match self.form.layout {
            Layout::Planes => {
                let plane = self.input.len() / 3;
                for (numbers, value) in self.input.chunks_exact_mut(plane).zip([first, second, third]) {
                    numbers.fill(value);
                }
            }
            Layout::Interleaved => {
                for point in self.input.chunks_exact_mut(3) {
                    point.copy_from_slice(&[first, second, third]);
                }
            }
        }
    }

    /// Which byte of an RGB point each of the model's colours is.
    fn sources(&self) -> [usize; 3] {
        match self.form.colours {
            Colours::Rgb => [0, 1, 2],
            Colours::Bgr => [2, 1, 0],
        }
    }

    fn lay_planes(&mut self, placement: &Placement) {
        let stride = self.form.width as usize;
        let (width, left) = (placement.width as usize, placement.left as usize);
        let plane = self.input.len() / 3;
        let sources = self.sources();
        let colours = self.input.chunks_exact_mut(plane).zip(&self.tables).zip(sources);
        for ((numbers, table), source) in colours {
            let lines = numbers.chunks_exact_mut(stride).skip(placement.top as usize);
            for (line, row) in lines.zip(self.scaled.chunks_exact(width * 3)) {
                for (number, point) in line[left..left + width].iter_mut().zip(row.chunks_exact(3)) {
                    *number = table[usize::from(point[source])];
                }
            }
        }
    }

    fn lay_interleaved(&mut self, placement: &Placement) {
        let stride = self.form.width as usize * 3;
        let (width, left) = (placement.width as usize * 3, placement.left as usize * 3);
        let sources = self.sources();
        let lines = self.input.chunks_exact_mut(stride).skip(placement.top as usize);
        for (line, row) in lines.zip(self.scaled.chunks_exact(width)) {
            let points = line[left..left + width].chunks_exact_mut(3);
            for (numbers, point) in points.zip(row.chunks_exact(3)) {
                for ((number, table), source) in numbers.iter_mut().zip(&self.tables).zip(sources) {
                    *number = table[usize::from(point[source])];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;

    use super::*;

    /// A picture in which every point is its column, its row and 7.
    fn gradient(width: u32, height: u32) -> Frame {
        let points = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7]));
        Frame {
            at: UtcMillis(0),
            width,
            height,
            rgb: points.collect(),
        }
    }

    const PLAIN: InputForm = InputForm {
        width: 4,
        height: 4,
        layout: Layout::Planes,
        colours: Colours::Rgb,
        mean: [0.0; 3],
        scale: [1.0; 3],
        fit: Fit::Letterbox(114),
    };

    #[test]
    fn a_wide_picture_gets_grey_above_and_below() {
        let mut preparer = Preparer::new(PLAIN);
        let placement = preparer.prepare(&gradient(4, 2), &PictureBox::WHOLE).unwrap();
        let g = 114.0;
        let red = [g, g, g, g, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, g, g, g, g];
        let green = [g, g, g, g, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, g, g, g, g];
        assert_eq!(preparer.input()[..16], red);
        assert_eq!(preparer.input()[16..32], green);
        assert_eq!(
            placement.in_picture([0.0, 1.0, 4.0, 3.0]),
            Some(PictureBox::WHOLE)
        );
        assert_eq!(placement.in_picture([0.0, 0.0, 4.0, 1.0]), None);
        // A tall picture after it: no rest of the wide one is left.
        preparer.prepare(&gradient(2, 4), &PictureBox::WHOLE).unwrap();
        let red = [g, 0.0, 1.0, g, g, 0.0, 1.0, g, g, 0.0, 1.0, g, g, 0.0, 1.0, g];
        assert_eq!(preparer.input()[..16], red);
    }

    #[test]
    fn colours_are_ordered_and_normalised_in_the_models_order() {
        for layout in [Layout::Planes, Layout::Interleaved] {
            let mut preparer = Preparer::new(InputForm {
                width: 2,
                height: 1,
                layout,
                colours: Colours::Bgr,
                mean: [1.0, 2.0, 3.0],
                scale: [2.0, 1.0, 0.5],
                fit: Fit::Stretch,
            });
            preparer.prepare(&gradient(2, 1), &PictureBox::WHOLE).unwrap();
            let want = match layout {
                Layout::Planes => [3.0, 3.0, -2.0, -2.0, -6.0, -4.0],
                Layout::Interleaved => [3.0, -2.0, -6.0, 3.0, -2.0, -4.0],
            };
            assert_eq!(preparer.input(), want, "{layout:?}");
        }
    }

    #[test]
    fn a_place_in_a_part_is_found_again_in_the_whole() {
        let mut preparer = Preparer::new(PLAIN);
        let part = PictureBox::new(0.5, 0.25, 1.0, 0.75).unwrap();
        let placement = preparer.prepare(&gradient(100, 100), &part).unwrap();
        assert_eq!(placement.in_picture([0.0, 0.0, 4.0, 4.0]), Some(part));
        let quarter = placement.in_picture([2.0, 0.0, 4.0, 2.0]).unwrap();
        assert_eq!(quarter, PictureBox::new(0.75, 0.25, 1.0, 0.5).unwrap());
    }

    #[test]
    fn a_picture_that_is_not_its_size_is_refused() {
        let mut preparer = Preparer::new(PLAIN);
        let mut frame = gradient(4, 2);
        frame.height = 3;
        let refused = preparer.prepare(&frame, &PictureBox::WHOLE);
        assert!(matches!(refused, Err(InferError::Frame { bytes: 24, .. })));
        let empty = gradient(0, 0);
        assert!(preparer.prepare(&empty, &PictureBox::WHOLE).is_err());
    }

    #[test]
    fn parts_of_less_than_a_point_and_pictures_of_any_proportion_are_prepared() {
        for (width, height) in [(1, 1), (1, 200), (200, 1), (3, 7)] {
            for part in [
                PictureBox::WHOLE,
                PictureBox::new(0.999, 0.999, 1.0, 1.0).unwrap(),
                PictureBox::new(0.0, 0.0, 1e-6, 1e-6).unwrap(),
            ] {
                let frame = gradient(width, height);
                assert!(Preparer::new(PLAIN).prepare(&frame, &part).is_ok());
            }
        }
    }
}
