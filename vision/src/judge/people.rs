//! How many people there are, where, and who crosses the line: from tracks alone.

use std::collections::{HashMap, VecDeque};

use domain::{Spot, UtcMillis, camera::CountLine};

use crate::track::Track;

/// Counts over which the median is taken.
const COUNTS: usize = 5;

/// How far beyond the line somebody must be before they have crossed it, as a share of the picture: a person who
/// stands on the line sways by less.
const BEYOND: f32 = 0.02;

/// The median of the last counts: a person hidden for one picture has not left.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    last: VecDeque<u32>,
}

impl Count {
    pub(super) fn observe(&mut self, people: u32) -> u32 {
        if self.last.len() == COUNTS {
            self.last.pop_front();
        }
        self.last.push_back(people);
        let mut sorted: Vec<u32> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }

    pub(super) fn reset(&mut self) {
        self.last.clear();
    }
}

/// Whether there are more people than may be there, with hysteresis: over at `capacity` plus one, no longer over at
/// nine tenths of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crowd {
    over: bool,
}

impl Crowd {
    pub(super) fn observe(&mut self, people: u32, capacity: u32) -> bool {
        let calm = u64::from(people) * 10 <= u64::from(capacity) * 9;
        self.over = people > capacity || (self.over && !calm);
        self.over
    }
}

/// Who crossed the line.
#[derive(Debug, Clone, Default)]
pub(super) struct Crossings {
    /// On which side each track was last clearly seen: true for the inner one.
    side: HashMap<u64, bool>,
    pub(super) people_in: u64,
    pub(super) people_out: u64,
}

impl Crossings {
    /// Counts the tracks that are on the other side than before. Tracks that are gone are forgotten.
    pub(super) fn observe(&mut self, line: &CountLine, tracks: &[Track]) {
        self.side
            .retain(|id, _| tracks.iter().any(|track| track.id == *id));
        for track in tracks.iter().filter(|track| track.is_confirmed()) {
            let Some(inside) = side_of(line, track.area.foot()) else {
                continue;
            };
            match self.side.insert(track.id, inside) {
                Some(false) if inside => self.people_in += 1,
                Some(true) if !inside => self.people_out += 1,
                _ => {}
            }
        }
    }

    pub(super) fn reset(&mut self) {
        self.side.clear();
    }
}

/// On which side of the line a spot lies, if clearly: true for its right, seen from `from` to `to`. `None` beside its
/// ends, where nobody crosses it.
fn side_of(line: &CountLine, spot: Spot) -> Option<bool> {
    let along = (line.to.x - line.from.x, line.to.y - line.from.y);
    let length = along.0.hypot(along.1);
    let (dx, dy) = (spot.x - line.from.x, spot.y - line.from.y);
    let share = (dx * along.0 + dy * along.1) / (length * length);
    let beyond = (along.0 * dy - along.1 * dx) / length;
    ((0.0..=1.0).contains(&share) && beyond.abs() >= BEYOND).then_some(beyond > 0.0)
}

/// How long the people in a picture have been there, in seconds: the longest.
pub(super) fn longest_stay_s(tracks: &[Track], at: UtcMillis) -> f64 {
    let stays = tracks
        .iter()
        .filter(|t| t.is_confirmed())
        .map(|t| at.ms_since(t.since));
    stays.max().unwrap_or(0).max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::PictureBox;

    use super::*;
    use crate::{seen::Detection, track::Tracker};

    #[test]
    fn one_hidden_person_has_not_left() {
        let mut count = Count::default();
        let seen = [3, 3, 2, 3, 3, 0, 3];
        let told: Vec<u32> = seen.into_iter().map(|n| count.observe(n)).collect();
        assert_eq!(told, [3, 3, 3, 3, 3, 3, 3]);
    }

    #[test]
    fn a_crowd_calms_down_before_it_is_no_crowd() {
        let mut crowd = Crowd::default();
        let told: Vec<bool> = [10, 11, 10, 9, 10]
            .into_iter()
            .map(|n| crowd.observe(n, 10))
            .collect();
        assert_eq!(told, [false, true, true, false, false]);
    }

    #[test]
    fn who_crosses_the_line_is_counted_once_whatever_they_do_on_it() {
        let line = CountLine {
            from: Spot { x: 0.0, y: 0.5 },
            to: Spot { x: 1.0, y: 0.5 },
        };
        let (mut tracker, mut crossings) = (Tracker::default(), Crossings::default());
        let feet = [0.40, 0.42, 0.49, 0.51, 0.49, 0.505, 0.60, 0.62, 0.50, 0.40];
        let mut told = Vec::new();
        for (foot, n) in feet.into_iter().zip(0..) {
            let person = Detection {
                label: Arc::from("person"),
                score: 0.9,
                area: PictureBox::new(0.4, foot - 0.3, 0.5, foot).unwrap(),
            };
            let tracks = tracker.update(UtcMillis(n * 300), &[person]);
            crossings.observe(&line, tracks);
            told.push((crossings.people_in, crossings.people_out));
        }
        assert_eq!(told[5], (0, 0), "{told:?}");
        assert_eq!(told[6], (1, 0), "{told:?}");
        assert_eq!(told[9], (1, 1), "{told:?}");
    }
}
