//! From a picture to the numbers that a model takes: cut, resized, laid into place and normalised.

use camera::Frame;
use domain::PictureBox;
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use models::{Colour, Layout, PictureElement, PictureInput, Resize};

use crate::infer::InferError;

/// The numbers of a prepared picture, in the type that its model takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Numbers<'a> {
    /// 32-bit floating point, normalised.
    F32(&'a [f32]),
    /// 0 to 255.
    U8(&'a [u8]),
    /// 0 to 255.
    I32(&'a [i32]),
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
    Err(damaged(frame))
}

fn damaged(frame: &Frame) -> InferError {
    InferError::Frame {
        width: frame.width,
        height: frame.height,
        bytes: frame.rgb.len(),
    }
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
    let from = ImageRef::new(frame.width, frame.height, &frame.rgb, PixelType::U8x3);
    let from = from.map_err(|_size| damaged(frame))?;
    to.resize(width as usize * height as usize * 3, 0);
    let target = Image::from_slice_u8(width, height, to, PixelType::U8x3);
    let mut target = target.map_err(|_size| damaged(frame))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear))
        .crop(
            f64::from(cut.left),
            f64::from(cut.top),
            f64::from(cut.width),
            f64::from(cut.height),
        );
    let resized = resizer.resize(&from, &mut target, &options);
    resized.map_err(|_size| damaged(frame))
}

/// Prepares pictures for one model, in memory that it keeps.
pub struct Preparer {
    form: PictureInput,
    resizer: Resizer,
    scaled: Vec<u8>,
    sheet: Sheet,
    /// Where the last picture lies: the filling around it is still there when the next lies in the same place.
    last: Option<Placement>,
}

impl Preparer {
    /// Prepares pictures of this form.
    #[must_use]
    pub fn new(form: PictureInput) -> Preparer {
        let count = form.width as usize * form.height as usize * 3;
        let sheet = match form.element {
            PictureElement::F32 => Sheet::F32(Laid::new(count, |colour, value| {
                (f32::from(value) - form.mean[colour]) / form.std[colour]
            })),
            PictureElement::U8 => Sheet::U8(Laid::new(count, |_, value| value)),
            PictureElement::I32 => Sheet::I32(Laid::new(count, |_, value| i32::from(value))),
        };
        Preparer {
            form,
            resizer: Resizer::new(),
            scaled: Vec::new(),
            sheet,
            last: None,
        }
    }

    /// What the model takes in.
    #[must_use]
    pub fn form(&self) -> &PictureInput {
        &self.form
    }

    /// The shape of [`Preparer::numbers`]: one picture.
    #[must_use]
    pub fn shape(&self) -> [usize; 4] {
        let (width, height) = (self.form.width as usize, self.form.height as usize);
        match self.form.layout {
            Layout::Nchw => [1, 3, height, width],
            Layout::Nhwc => [1, height, width, 3],
        }
    }

    /// The last picture; what the model takes for black before the first.
    #[must_use]
    pub fn numbers(&self) -> Numbers<'_> {
        match &self.sheet {
            Sheet::F32(laid) => Numbers::F32(&laid.numbers),
            Sheet::U8(laid) => Numbers::U8(&laid.numbers),
            Sheet::I32(laid) => Numbers::I32(&laid.numbers),
        }
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
        let fresh = self.last.as_ref().map(around) != Some(around(&placement));
        let picture = Scaled {
            rgb: &self.scaled,
            placement: &placement,
            form: &self.form,
            fresh,
        };
        match &mut self.sheet {
            Sheet::F32(laid) => laid.lay(&picture),
            Sheet::U8(laid) => laid.lay(&picture),
            Sheet::I32(laid) => laid.lay(&picture),
        }
        self.last = Some(placement);
        Ok(placement)
    }

    fn place(&self, frame: &Frame, cut: Cut) -> Placement {
        let (width, height) = (self.form.width, self.form.height);
        let share = |from: u32, size: u32| from as f32 / size as f32;
        let part = PictureBox {
            left: share(cut.left, frame.width),
            top: share(cut.top, frame.height),
            right: share(cut.left + cut.width, frame.width),
            bottom: share(cut.top + cut.height, frame.height),
        };
        let (across, down) = match self.form.resize {
            Resize::Stretch => (width, height),
            Resize::Letterbox(_) => {
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
}

/// A resized picture on its way into a model's input.
struct Scaled<'a> {
    rgb: &'a [u8],
    placement: &'a Placement,
    form: &'a PictureInput,
    /// Whether it lies elsewhere than the one before it.
    fresh: bool,
}

enum Sheet {
    F32(Laid<f32>),
    U8(Laid<u8>),
    I32(Laid<i32>),
}

/// A model's input in one type of number.
struct Laid<T> {
    /// For each colour of the model's order, what each of 256 values becomes.
    tables: [[T; 256]; 3],
    numbers: Vec<T>,
}

impl<T: Copy> Laid<T> {
    fn new(count: usize, becomes: impl Fn(usize, u8) -> T) -> Laid<T> {
        let table = |colour: usize| std::array::from_fn(|value| becomes(colour, value as u8));
        let tables: [[T; 256]; 3] = std::array::from_fn(table);
        Laid {
            numbers: vec![tables[0][0]; count],
            tables,
        }
    }

    fn lay(&mut self, picture: &Scaled<'_>) {
        if let Resize::Letterbox(grey) = picture.form.resize
            && picture.fresh
        {
            self.fill(picture.form.layout, grey);
        }
        match picture.form.layout {
            Layout::Nchw => self.lay_planes(picture),
            Layout::Nhwc => self.lay_interleaved(picture),
        }
    }

    /// Fills the whole input with the grey that surrounds the picture.
    fn fill(&mut self, layout: Layout, grey: u8) {
        let greys = self.tables.each_ref().map(|table| table[usize::from(grey)]);
        match layout {
            Layout::Nchw => {
                let plane = self.numbers.len() / 3;
                for (numbers, value) in self.numbers.chunks_exact_mut(plane).zip(greys) {
                    numbers.fill(value);
                }
            }
            Layout::Nhwc => {
                for point in self.numbers.chunks_exact_mut(3) {
                    point.copy_from_slice(&greys);
                }
            }
        }
    }

    fn lay_planes(&mut self, picture: &Scaled<'_>) {
        let stride = picture.form.width as usize;
        let Placement { left, top, width, .. } = *picture.placement;
        let (left, width) = (left as usize, width as usize);
        let plane = self.numbers.len() / 3;
        let colours = self.numbers.chunks_exact_mut(plane).zip(&self.tables);
        for ((numbers, table), source) in colours.zip(sources(picture.form.colour)) {
            let lines = numbers.chunks_exact_mut(stride).skip(top as usize);
            for (line, row) in lines.zip(picture.rgb.chunks_exact(width * 3)) {
                for (number, point) in line[left..left + width].iter_mut().zip(row.chunks_exact(3)) {
                    *number = table[usize::from(point[source])];
                }
            }
        }
    }

    fn lay_interleaved(&mut self, picture: &Scaled<'_>) {
        let stride = picture.form.width as usize * 3;
        let Placement { left, top, width, .. } = *picture.placement;
        let (left, width) = (left as usize * 3, width as usize * 3);
        let sources = sources(picture.form.colour);
        let lines = self.numbers.chunks_exact_mut(stride).skip(top as usize);
        for (line, row) in lines.zip(picture.rgb.chunks_exact(width)) {
            let points = line[left..left + width].chunks_exact_mut(3);
            for (numbers, point) in points.zip(row.chunks_exact(3)) {
                for ((number, table), source) in numbers.iter_mut().zip(&self.tables).zip(sources) {
                    *number = table[usize::from(point[source])];
                }
            }
        }
    }
}

/// Which byte of an RGB point each of the model's colours is.
fn sources(colour: Colour) -> [usize; 3] {
    match colour {
        Colour::Rgb => [0, 1, 2],
        Colour::Bgr => [2, 1, 0],
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

    fn plain(width: u32, height: u32) -> PictureInput {
        PictureInput {
            name: "input".into(),
            layout: Layout::Nchw,
            colour: Colour::Rgb,
            element: PictureElement::F32,
            width,
            height,
            multiple_of: None,
            mean: [0.0; 3],
            std: [1.0; 3],
            resize: Resize::Letterbox(114),
        }
    }

    fn floats(preparer: &Preparer) -> &[f32] {
        match preparer.numbers() {
            Numbers::F32(numbers) => numbers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_wide_picture_gets_grey_above_and_below() {
        let mut preparer = Preparer::new(plain(4, 4));
        let placement = preparer.prepare(&gradient(4, 2), &PictureBox::WHOLE).unwrap();
        let g = 114.0;
        let red = [g, g, g, g, 0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0, g, g, g, g];
        let green = [g, g, g, g, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, g, g, g, g];
        assert_eq!(floats(&preparer)[..16], red);
        assert_eq!(floats(&preparer)[16..32], green);
        assert_eq!(
            placement.in_picture([0.0, 1.0, 4.0, 3.0]),
            Some(PictureBox::WHOLE)
        );
        assert_eq!(placement.in_picture([0.0, 0.0, 4.0, 1.0]), None);
        // A tall picture after it: no rest of the wide one is left.
        preparer.prepare(&gradient(2, 4), &PictureBox::WHOLE).unwrap();
        let red = [g, 0.0, 1.0, g, g, 0.0, 1.0, g, g, 0.0, 1.0, g, g, 0.0, 1.0, g];
        assert_eq!(floats(&preparer)[..16], red);
    }

    #[test]
    fn colours_are_ordered_and_normalised_in_the_models_order() {
        for (layout, want) in [
            (Layout::Nchw, [3.0, 3.0, -2.0, -2.0, -6.0, -4.0]),
            (Layout::Nhwc, [3.0, -2.0, -6.0, 3.0, -2.0, -4.0]),
        ] {
            let mut preparer = Preparer::new(PictureInput {
                layout,
                colour: Colour::Bgr,
                mean: [1.0, 2.0, 3.0],
                std: [2.0, 1.0, 0.5],
                resize: Resize::Stretch,
                ..plain(2, 1)
            });
            preparer.prepare(&gradient(2, 1), &PictureBox::WHOLE).unwrap();
            assert_eq!(floats(&preparer), want, "{layout:?}");
        }
    }

    #[test]
    fn whole_numbers_are_not_normalised() {
        let prepared = |element| {
            let mut preparer = Preparer::new(PictureInput {
                layout: Layout::Nhwc,
                element,
                mean: [9.0; 3],
                resize: Resize::Stretch,
                ..plain(2, 1)
            });
            preparer.prepare(&gradient(2, 1), &PictureBox::WHOLE).unwrap();
            preparer
        };
        let bytes = prepared(PictureElement::U8);
        assert_eq!(bytes.numbers(), Numbers::U8(&[0, 0, 7, 1, 0, 7]));
        let whole = prepared(PictureElement::I32);
        assert_eq!(whole.numbers(), Numbers::I32(&[0, 0, 7, 1, 0, 7]));
        assert_eq!(whole.shape(), [1, 1, 2, 3]);
    }

    #[test]
    fn a_place_in_a_part_is_found_again_in_the_whole() {
        let mut preparer = Preparer::new(plain(4, 4));
        let part = PictureBox::new(0.5, 0.25, 1.0, 0.75).unwrap();
        let placement = preparer.prepare(&gradient(100, 100), &part).unwrap();
        assert_eq!(placement.in_picture([0.0, 0.0, 4.0, 4.0]), Some(part));
        let quarter = placement.in_picture([2.0, 0.0, 4.0, 2.0]).unwrap();
        assert_eq!(quarter, PictureBox::new(0.75, 0.25, 1.0, 0.5).unwrap());
    }

    #[test]
    fn a_picture_that_is_not_its_size_is_refused() {
        let mut preparer = Preparer::new(plain(4, 4));
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
                assert!(Preparer::new(plain(4, 4)).prepare(&frame, &part).is_ok());
            }
        }
    }
}
