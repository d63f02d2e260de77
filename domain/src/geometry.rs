//! Places in a picture, in shares of its width and height, so that they mean the same in the main stream, the
//! sub stream and a thumbnail.

use serde::{Deserialize, Serialize};

/// The fewest corners of a polygon.
pub const MIN_CORNERS: usize = 3;

/// The most corners of a polygon: enough to follow a worktop around a kitchen.
pub const MAX_CORNERS: usize = 32;

/// A place in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spot {
    /// From the left edge, 0 to 1.
    pub x: f32,
    /// From the upper edge, 0 to 1.
    pub y: f32,
}

/// An upright rectangle in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PictureBox {
    /// Left edge, 0 to 1.
    pub left: f32,
    /// Upper edge, 0 to 1.
    pub top: f32,
    /// Right edge, 0 to 1; not left of the left one.
    pub right: f32,
    /// Lower edge, 0 to 1; not above the upper one.
    pub bottom: f32,
}

impl PictureBox {
    /// The whole picture.
    pub const WHOLE: PictureBox = PictureBox {
        left: 0.0,
        top: 0.0,
        right: 1.0,
        bottom: 1.0,
    };

    /// The rectangle with these edges, cut to the picture; `None` when nothing of it is left or a number is
    /// not finite.
    #[must_use]
    pub fn new(left: f32, top: f32, right: f32, bottom: f32) -> Option<PictureBox> {
        if ![left, top, right, bottom].iter().all(|edge| edge.is_finite()) {
            return None;
        }
        let cut = |edge: f32| edge.clamp(0.0, 1.0);
        let (left, top, right, bottom) = (cut(left), cut(top), cut(right), cut(bottom));
        (right > left && bottom > top).then_some(PictureBox {
            left,
            top,
            right,
            bottom,
        })
    }

    /// Width as a share of the picture's.
    #[must_use]
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// Height as a share of the picture's.
    #[must_use]
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// Area as a share of the picture's.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// The part that both cover.
    #[must_use]
    pub fn overlap(&self, other: &PictureBox) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0 to 1.
    #[must_use]
    pub fn iou(&self, other: &PictureBox) -> f32 {
        let both = self.overlap(other);
        let either = self.area() + other.area() - both;
        if either > 0.0 { both / either } else { 0.0 }
    }

    /// The middle.
    #[must_use]
    pub fn centre(&self) -> Spot {
        Spot {
            x: f32::midpoint(self.left, self.right),
            y: f32::midpoint(self.top, self.bottom),
        }
    }

    /// The middle of the lower edge: where a standing person touches the floor.
    #[must_use]
    pub fn foot(&self) -> Spot {
        Spot {
            x: f32::midpoint(self.left, self.right),
            y: self.bottom,
        }
    }

    /// Whether `spot` lies inside or on the edge.
    #[must_use]
    pub fn contains(&self, spot: Spot) -> bool {
        (self.left..=self.right).contains(&spot.x) && (self.top..=self.bottom).contains(&spot.y)
    }
}

/// Why corners are not a polygon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolygonError {
    /// Too few or too many.
    #[error("it has {0} corners; draw {MIN_CORNERS} to {MAX_CORNERS}")]
    Corners(usize),
    /// A corner lies outside the picture.
    #[error("a corner lies outside the picture; every number is 0 to 1")]
    Outside,
    /// It covers less than a thousandth of the picture.
    #[error("it covers nearly nothing; draw it larger")]
    Empty,
}

/// An area of a picture (区域): a zone, or a privacy mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Spot>", into = "Vec<Spot>")]
pub struct Polygon(Vec<Spot>);

impl Polygon {
    /// Checks `corners`, in order around the area.
    ///
    /// # Errors
    /// [`PolygonError`] names the first reason they are none.
    pub fn new(corners: Vec<Spot>) -> Result<Polygon, PolygonError> {
        if !(MIN_CORNERS..=MAX_CORNERS).contains(&corners.len()) {
            return Err(PolygonError::Corners(corners.len()));
        }
        let inside = |share: f32| (0.0..=1.0).contains(&share);
        if !corners.iter().all(|c| inside(c.x) && inside(c.y)) {
            return Err(PolygonError::Outside);
        }
        let polygon = Polygon(corners);
        if polygon.area() < 0.001 {
            return Err(PolygonError::Empty);
        }
        Ok(polygon)
    }

    /// The corners, in order.
    #[must_use]
    pub fn corners(&self) -> &[Spot] {
        &self.0
    }

    /// Whether `spot` lies inside (even-odd rule; a spot on an edge may fall on either side).
    #[must_use]
    pub fn contains(&self, spot: Spot) -> bool {
        let mut inside = false;
        for (a, b) in self.edges() {
            let crosses = (a.y > spot.y) != (b.y > spot.y);
            if crosses && spot.x < (b.x - a.x) * (spot.y - a.y) / (b.y - a.y) + a.x {
                inside = !inside;
            }
        }
        inside
    }

    /// The smallest rectangle around it.
    #[must_use]
    pub fn bounds(&self) -> PictureBox {
        let mut bounds = PictureBox {
            left: 1.0,
            top: 1.0,
            right: 0.0,
            bottom: 0.0,
        };
        for corner in &self.0 {
            bounds.left = bounds.left.min(corner.x);
            bounds.top = bounds.top.min(corner.y);
            bounds.right = bounds.right.max(corner.x);
            bounds.bottom = bounds.bottom.max(corner.y);
        }
        bounds
    }

    /// The area as a share of the picture's, by the shoelace formula.
    fn area(&self) -> f32 {
        let doubled: f32 = self.edges().map(|(a, b)| a.x * b.y - b.x * a.y).sum();
        doubled.abs() / 2.0
    }

    fn edges(&self) -> impl Iterator<Item = (Spot, Spot)> + '_ {
        let next = self.0.iter().cycle().skip(1);
        self.0.iter().copied().zip(next.copied())
    }
}

impl TryFrom<Vec<Spot>> for Polygon {
    type Error = PolygonError;
    fn try_from(corners: Vec<Spot>) -> Result<Self, PolygonError> {
        Polygon::new(corners)
    }
}

impl From<Polygon> for Vec<Spot> {
    fn from(polygon: Polygon) -> Vec<Spot> {
        polygon.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polygon(corners: &[(f32, f32)]) -> Result<Polygon, PolygonError> {
        Polygon::new(corners.iter().map(|&(x, y)| Spot { x, y }).collect())
    }

    #[test]
    fn boxes_are_cut_to_the_picture() {
        let cut = PictureBox::new(-1.0, 0.5, 0.5, 2.0).unwrap();
        assert_eq!((cut.left, cut.bottom), (0.0, 1.0));
        assert_eq!(PictureBox::new(0.5, 0.0, 0.5, 1.0), None);
        assert_eq!(PictureBox::new(0.0, f32::NAN, 1.0, 1.0), None);
        assert_eq!(PictureBox::new(1.5, 0.0, 2.0, 1.0), None);
    }

    #[test]
    fn overlap_is_counted_once() {
        let left = PictureBox::new(0.0, 0.0, 0.5, 1.0).unwrap();
        let middle = PictureBox::new(0.25, 0.0, 0.75, 1.0).unwrap();
        assert!((left.iou(&middle) - 1.0 / 3.0).abs() < 1e-6);
        assert!((left.iou(&left) - 1.0).abs() < 1e-6);
        let right = PictureBox::new(0.75, 0.0, 1.0, 1.0).unwrap();
        assert_eq!(left.iou(&right), 0.0);
        assert_eq!(left.foot(), Spot { x: 0.25, y: 1.0 });
        assert!(left.contains(left.centre()));
    }

    #[test]
    fn a_polygon_knows_what_lies_inside() {
        let corner_shape = polygon(&[
            (0.1, 0.1),
            (0.9, 0.1),
            (0.9, 0.5),
            (0.5, 0.5),
            (0.5, 0.9),
            (0.1, 0.9),
        ]);
        let corner_shape = corner_shape.unwrap();
        for (x, y, inside) in [
            (0.2, 0.2, true),
            (0.8, 0.3, true),
            (0.8, 0.8, false),
            (0.05, 0.5, false),
        ] {
            assert_eq!(corner_shape.contains(Spot { x, y }), inside, "{x} {y}");
        }
        assert_eq!(corner_shape.bounds().right, 0.9);
        assert!((corner_shape.area() - 0.48).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_area_is_refused() {
        assert_eq!(polygon(&[(0.0, 0.0), (1.0, 1.0)]), Err(PolygonError::Corners(2)));
        assert_eq!(polygon(&[(0.0, 0.0); 33]), Err(PolygonError::Corners(33)));
        assert_eq!(
            polygon(&[(0.0, 0.0), (1.1, 0.0), (0.0, 1.0)]),
            Err(PolygonError::Outside)
        );
        assert_eq!(
            polygon(&[(0.0, 0.0), (f32::NAN, 0.0), (0.0, 1.0)]),
            Err(PolygonError::Outside)
        );
        assert_eq!(
            polygon(&[(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]),
            Err(PolygonError::Empty)
        );
    }
}
