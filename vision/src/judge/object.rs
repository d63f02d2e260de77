//! Objects that never move: a poster of a cat would alarm for ever.

use domain::{PictureBox, UtcMillis};

use crate::seen::Detection;

/// How long an object may stay in its place before it is taken for a part of the room, in milliseconds.
const STILL_MS: i64 = 600_000;

/// How long a place is remembered in which nothing is seen any more, in milliseconds.
const FORGOTTEN_MS: i64 = 60_000;

/// The overlap of two boxes of a thing that did not move.
const SAME_PLACE: f32 = 0.8;

/// The most places that are remembered; the one not seen longest goes.
const MAX_PLACES: usize = 32;

/// Places in which something is, and since when.
#[derive(Debug, Clone, Default)]
pub(super) struct StillLife {
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    area: PictureBox,
    since: UtcMillis,
    seen: UtcMillis,
}

impl StillLife {
    /// Notes an object, and says whether it has been in its place for so long that it is a part of the room.
    pub(super) fn holds(&mut self, object: &Detection, at: UtcMillis) -> bool {
        self.places
            .retain(|place| at.ms_since(place.seen) <= FORGOTTEN_MS);
        let known = self
            .places
            .iter_mut()
            .find(|place| place.area.iou(&object.area) >= SAME_PLACE);
        if let Some(place) = known {
            place.seen = at;
            return at.ms_since(place.since) >= STILL_MS;
        }
        if self.places.len() == MAX_PLACES {
            let oldest = (0..MAX_PLACES).min_by_key(|i| self.places[*i].seen).unwrap_or(0);
            self.places.swap_remove(oldest);
        }
        self.places.push(Place {
            area: object.area,
            since: at,
            seen: at,
        });
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_never_moves_is_a_part_of_the_room() {
        let at_x = |x: f32| Detection {
            label: Arc::from("cat"),
            score: 0.9,
            area: PictureBox::new(x, 0.5, x + 0.1, 0.6).unwrap(),
        };
        let mut still = StillLife::default();
        let told: Vec<bool> = (0..30)
            .map(|n| still.holds(&at_x(0.2), UtcMillis(n * 30_000)))
            .collect();
        assert_eq!(told.iter().position(|t| *t), Some(20), "after ten minutes");
        assert!(
            !still.holds(&at_x(0.5), UtcMillis(900_000)),
            "one that moves is seen"
        );
        assert!(
            !still.holds(&at_x(0.2), UtcMillis(2_000_000)),
            "a place is forgotten"
        );
        for n in 0..100_i16 {
            still.holds(&at_x(f32::from(n) * 0.009), UtcMillis(2_000_000));
        }
        assert!(still.places.len() <= MAX_PLACES);
    }
}
