//! Whose face it is.

use domain::PictureBox;

use crate::{seen::Detection, track::Track};

/// A face's middle lies in this upper part of its person's box.
const HEAD_PART: f32 = 0.5;

/// Where the middle of a standing person's face is, as a share of the box's height from above.
const FACE_AT: f32 = 0.1;

/// Gives each face to the track whose box holds it: where several do, to the one at whose head it is. Each track gets
/// at most one face. Returns, for each of `faces`, its track; `None` for a face that belongs to nobody. Tracks that
/// are not in the latest frame get none.
///
/// No face is compared with another, or kept: it only says which verdict is whose.
#[must_use]
pub fn assign_faces(tracks: &[Track], faces: &[Detection]) -> Vec<Option<u64>> {
    let mut pairs = Vec::new();
    for (nth, face) in faces.iter().enumerate() {
        for track in tracks.iter().filter(|track| track.is_seen()) {
            if let Some(distance) = distance(&track.area, &face.area) {
                pairs.push((distance, track.id, nth));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut owners = vec![None; faces.len()];
    for (_, track, nth) in pairs {
        if owners[nth].is_none() && !owners.contains(&Some(track)) {
            owners[nth] = Some(track);
        }
    }
    owners
}

/// How far the middle of a face is from where a person's should be, in sides of the person's box; `None` when the box
/// does not hold it.
fn distance(person: &PictureBox, face: &PictureBox) -> Option<f32> {
    let middle = face.centre();
    let down = (middle.y - person.top) / person.height();
    if !person.contains(middle) || down > HEAD_PART {
        return None;
    }
    let across = (middle.x - person.centre().x) / person.width();
    Some(across.hypot(down - FACE_AT))
}
