//! Faces: where they are, never whose.

use camera::Frame;
use domain::{PictureBox, Spot};
use models::{Catalog, ModelCard, ModelKind};

use crate::{
    decode::{Face, blazeface},
    infer::InferError,
    load::{PictureModel, refused},
    runtime::Runtime,
};

/// A face lies with its middle in this upper share of its person's box.
const UPPER_SHARE: f32 = 0.6;

/// Of a person, the upper part that is as high as they are wide, and a little more, is looked at: the face of somebody
/// who stands would be a few points large in a picture of all of them.
const LOOK_HEIGHT: f32 = 1.1;

/// By how much that part is wider than the person's box, each way, in shares of it.
const LOOK_MARGIN: f32 = 0.1;

/// The height of a head, in shares of a person's height and, for those who sit or are cut off, of their width.
const HEAD_SHARE: (f32, f32) = (0.25, 0.8);

/// By how much a face's box is made larger before it is made unrecognisable, each way: the box ends at brows and chin.
const PRIVACY_MARGIN: f32 = 0.35;

/// The most boxes of [`FaceFinder::faces_in`].
pub const MAX_FACES: usize = 100;

/// A face in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoundFace {
    /// How sure, 0 to 1.
    pub score: f32,
    /// From brows to chin and from ear to ear.
    pub area: PictureBox,
}

impl FoundFace {
    /// The shorter side in points of a picture of this size.
    #[must_use]
    pub fn side_px(&self, frame: &Frame) -> f32 {
        let (width, height) = (frame.width as f32, frame.height as f32);
        (self.area.width() * width).min(self.area.height() * height)
    }
}

/// A face finder that is ready.
pub struct FaceFinder {
    model: PictureModel,
    least_score: f32,
}

impl FaceFinder {
    /// Loads the model of `card`, which the catalogue must vouch for, and runs it once.
    ///
    /// # Errors
    /// [`InferError::Refused`], [`InferError::Load`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn open(runtime: &Runtime, catalog: &Catalog, card: &ModelCard) -> Result<FaceFinder, InferError> {
        if card.kind != ModelKind::BlazeFace || card.outputs.len() != 2 {
            let why = format!("it is a {}, not a blazeface", card.kind.code());
            return Err(refused(card, why));
        }
        let mut finder = FaceFinder {
            model: PictureModel::open((runtime, catalog), card, None)?,
            least_score: card.score,
        };
        finder.look(&crate::detector::grey(), &PictureBox::WHOLE)?;
        Ok(finder)
    }

    /// The face of a person, of whom `others` are the boxes of those around: a face that fits one of them better is
    /// theirs. `None` when no face is seen.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn face_of(
        &mut self,
        frame: &Frame,
        person: &PictureBox,
        others: &[PictureBox],
    ) -> Result<Option<FoundFace>, InferError> {
        let faces = self.look(frame, &upper_part(frame, person))?;
        Ok(own_face(&faces, person, others))
    }

    /// What is to be made unrecognisable before a picture is stored or shown: every face that is found in the whole
    /// picture and in each person's part of it, with a margin, and the head of each person whose face is not found
    /// but may be there. At most [`MAX_FACES`], those of the first persons first.
    ///
    /// # Errors
    /// [`InferError::Frame`], [`InferError::Run`] or [`InferError::BadOutput`].
    pub fn faces_in(&mut self, frame: &Frame, persons: &[PictureBox]) -> Result<Vec<PictureBox>, InferError> {
        let mut areas = Vec::new();
        for person in persons.iter().take(MAX_FACES) {
            let faces = self.look(frame, &upper_part(frame, person))?;
            if own_face(&faces, person, &[]).is_none() {
                areas.push(head(frame, person));
            }
            areas.extend(faces.iter().map(|face| grown(&face.area, PRIVACY_MARGIN)));
        }
        let whole = self.look(frame, &PictureBox::WHOLE)?;
        areas.extend(whole.iter().map(|face| grown(&face.area, PRIVACY_MARGIN)));
        areas.truncate(MAX_FACES);
        Ok(areas)
    }

    fn look(&mut self, frame: &Frame, part: &PictureBox) -> Result<Vec<FoundFace>, InferError> {
        let least_score = self.least_score;
        let (faces, placement) = self.model.run(frame, part, |outputs, names| {
            blazeface(
                &outputs.named(&names[0])?,
                &outputs.named(&names[1])?,
                least_score,
            )
        })?;
        let placed = faces.into_iter().filter_map(|Face { score, edges }| {
            let area = placement.in_picture(edges)?;
            Some(FoundFace { score, area })
        });
        Ok(placed.collect())
    }
}

/// The surest face that fits this person better than any other.
fn own_face(faces: &[FoundFace], person: &PictureBox, others: &[PictureBox]) -> Option<FoundFace> {
    let is_own = |face: &&FoundFace| {
        let middle = face.area.centre();
        let Some(own) = distance(middle, person) else {
            return false;
        };
        // Two boxes of the same person are no rivals.
        let rivals = others.iter().filter(|other| *other != person);
        !rivals
            .filter_map(|rival| distance(middle, rival))
            .any(|rival| rival < own)
    };
    let own = faces.iter().filter(is_own);
    own.max_by(|a, b| a.score.total_cmp(&b.score)).copied()
}

/// How far a face's middle lies from where a person's is to be expected, in shares of their box; `None` when it cannot
/// be theirs.
fn distance(middle: Spot, person: &PictureBox) -> Option<f32> {
    let x = (middle.x - person.left) / person.width();
    let y = (middle.y - person.top) / person.height();
    let inside = (0.0..=1.0).contains(&x) && (0.0..=UPPER_SHARE).contains(&y);
    inside.then(|| (x - 0.5).hypot(y - HEAD_SHARE.0 / 2.0))
}

/// The part of the picture in which a person's face is looked for.
fn upper_part(frame: &Frame, person: &PictureBox) -> PictureBox {
    let as_wide = person.width() * aspect(frame) * LOOK_HEIGHT;
    let margin = person.width() * LOOK_MARGIN;
    let above = person.height().min(as_wide) * LOOK_MARGIN;
    cut(
        person.left - margin,
        person.top - above,
        person.right + margin,
        person.top + person.height().min(as_wide),
        person,
    )
}

/// Where a person's head is when they stand, sit or are cut off.
pub(crate) fn head(frame: &Frame, person: &PictureBox) -> PictureBox {
    let (of_height, of_width) = HEAD_SHARE;
    let by_width = person.width() * aspect(frame) * of_width;
    let height = (person.height() * of_height).max(by_width).min(person.height());
    cut(person.left, person.top, person.right, person.top + height, person)
}

/// `area` made larger by a share of its size each way.
pub(crate) fn grown(area: &PictureBox, by: f32) -> PictureBox {
    let (across, down) = (area.width() * by, area.height() * by);
    cut(
        area.left - across,
        area.top - down,
        area.right + across,
        area.bottom + down,
        area,
    )
}

/// These edges, cut to the picture; `otherwise` when nothing would be left of them.
fn cut(left: f32, top: f32, right: f32, bottom: f32, otherwise: &PictureBox) -> PictureBox {
    PictureBox::new(left, top, right, bottom).unwrap_or(*otherwise)
}

/// Width by height of a picture: turns shares of its width into shares of its height.
fn aspect(frame: &Frame) -> f32 {
    frame.width as f32 / frame.height.max(1) as f32
}

#[cfg(test)]
mod tests {
    use domain::UtcMillis;

    use super::*;

    fn area(left: f32, top: f32, right: f32, bottom: f32) -> PictureBox {
        PictureBox::new(left, top, right, bottom).unwrap()
    }

    fn face(x: f32, y: f32, score: f32) -> FoundFace {
        FoundFace {
            score,
            area: area(x - 0.02, y - 0.02, x + 0.02, y + 0.02),
        }
    }

    fn frame(width: u32, height: u32) -> Frame {
        Frame {
            at: UtcMillis(0),
            width,
            height,
            rgb: [].into(),
        }
    }

    #[test]
    fn a_face_belongs_to_the_person_whose_head_it_fits() {
        let person = area(0.4, 0.2, 0.6, 0.9);
        let neighbour = area(0.55, 0.2, 0.75, 0.9);
        let own = face(0.5, 0.3, 0.6);
        let next = face(0.59, 0.3, 0.9);
        let low = face(0.5, 0.7, 0.9);
        let outside = face(0.3, 0.3, 0.9);
        let faces = [next, low, own, outside];
        assert_eq!(own_face(&faces, &person, &[person, neighbour]), Some(own));
        assert_eq!(own_face(&faces, &neighbour, &[person, neighbour]), Some(next));
        let beside = face(0.63, 0.3, 0.95);
        let faces = [beside, own];
        let wide = area(0.4, 0.2, 0.7, 0.9);
        assert_eq!(own_face(&faces, &wide, &[neighbour]), Some(own));
        assert_eq!(own_face(&faces, &wide, &[]), Some(beside));
        assert_eq!(own_face(&[low, outside], &person, &[]), None);
    }

    #[test]
    fn the_face_of_one_who_stands_is_looked_for_at_the_top() {
        let standing = area(0.4, 0.1, 0.5, 0.9);
        let part = upper_part(&frame(1600, 900), &standing);
        let want = [0.39, 0.1 - 0.01956, 0.51, 0.1 + 0.19556];
        for (got, want) in [part.left, part.top, part.right, part.bottom].iter().zip(want) {
            assert!((got - want).abs() < 1e-3, "{part:?}");
        }
        let sitting = area(0.0, 0.5, 0.5, 1.0);
        assert_eq!(upper_part(&frame(1600, 900), &sitting).bottom, 1.0);
    }

    #[test]
    fn a_head_is_hidden_where_no_face_is_found() {
        let standing = area(0.4, 0.1, 0.5, 0.9);
        let hidden = head(&frame(900, 900), &standing);
        assert!((hidden.bottom - 0.3).abs() < 1e-6);
        assert_eq!((hidden.left, hidden.top, hidden.right), (0.4, 0.1, 0.5));
        let cut_off = area(0.0, 0.0, 0.8, 0.5);
        assert_eq!(head(&frame(900, 900), &cut_off), cut_off);
    }

    #[test]
    fn the_side_of_a_face_is_counted_in_the_cameras_points() {
        let face = face(0.5, 0.5, 1.0);
        assert!((face.side_px(&frame(1000, 500)) - 20.0).abs() < 1e-3);
    }
}
