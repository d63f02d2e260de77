//! Tracking: which person of this picture is which person of the last one.
//!
//! ByteTrack's idea: sure detections are matched with tracks first, unsure ones then keep alive the tracks that are
//! left over, so that somebody half behind a pan does not become somebody else. Written here and not taken from a
//! crate because cameras of ours give half a picture to fifteen a second, at uneven moments: motion is predicted over
//! the time that passed, not over "one frame", and what is lost is forgotten after milliseconds, not after frames.
//! Pairs are taken greedily, best first: in a kitchen the best assignment and the greedy one differ only where two
//! people overlap nearly wholly, and there neither knows who is who.

use domain::{PictureBox, Spot, UtcMillis};

use crate::seen::Detection;

/// The most tracks of one camera. Further people are not tracked until somebody leaves.
pub const MAX_TRACKS: usize = 64;

/// A detection this sure begins a track; a less sure one only goes on with one.
const SURE: f32 = 0.45;

/// A detection less sure than this is not looked at.
const LEAST: f32 = 0.2;

/// The least overlap of a track's predicted box with a detection.
const LEAST_IOU: f32 = 0.15;

/// How long a track outlives its last detection, in milliseconds, or twice the time between pictures if that is
/// longer.
const KEPT_MS: i64 = 3_000;

/// Detections that make a track somebody.
const CONFIRMED_BY: u32 = 2;

/// How far a walking person gets in a second, in heights of their own.
const REACH_PER_S: f32 = 1.2;

/// One person followed from picture to picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Its number; never used again by this camera.
    pub id: u64,
    /// Where it was last seen.
    pub area: PictureBox,
    /// How sure the last detection was, 0 to 1.
    pub score: f32,
    /// When it was first seen.
    pub since: UtcMillis,
    /// When it was last seen.
    pub seen: UtcMillis,
    hits: u32,
    x: Coordinate,
    y: Coordinate,
}

impl Track {
    /// Whether it was seen often enough to be somebody.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.hits >= CONFIRMED_BY
    }

    fn begin(id: u64, detection: &Detection, at: UtcMillis) -> Track {
        let centre = detection.area.centre();
        Track {
            id,
            area: detection.area,
            score: detection.score,
            since: at,
            seen: at,
            hits: 1,
            x: Coordinate::at(centre.x),
            y: Coordinate::at(centre.y),
        }
    }

    /// Where it should be by now.
    fn predicted(&self, at: UtcMillis) -> PictureBox {
        let passed_s = at.ms_since(self.seen).max(0) as f32 / 1_000.0;
        let (dx, dy) = (self.x.speed * passed_s, self.y.speed * passed_s);
        PictureBox {
            left: self.area.left + dx,
            top: self.area.top + dy,
            right: self.area.right + dx,
            bottom: self.area.bottom + dy,
        }
    }

    fn go_on(&mut self, detection: &Detection, at: UtcMillis) {
        let passed_s = at.ms_since(self.seen).max(0) as f32 / 1_000.0;
        let centre = detection.area.centre();
        self.x.observe(centre.x, passed_s);
        self.y.observe(centre.y, passed_s);
        self.area = detection.area;
        self.score = detection.score;
        self.seen = at;
        self.hits = self.hits.saturating_add(1);
    }
}

/// Place and speed along one axis: a Kalman filter of constant speed whose steps have any length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Coordinate {
    place: f32,
    speed: f32,
    /// Variances of place and speed, and their covariance.
    place_var: f32,
    speed_var: f32,
    covariance: f32,
}

impl Coordinate {
    /// How exactly a detector places a box: a fiftieth of the picture.
    const MEASURED_VAR: f32 = 0.02 * 0.02;
    /// How much a person's speed changes in a second, squared.
    const DRIFT_VAR: f32 = 0.1 * 0.1;

    fn at(place: f32) -> Coordinate {
        Coordinate {
            place,
            speed: 0.0,
            place_var: Self::MEASURED_VAR,
            speed_var: 0.2 * 0.2,
            covariance: 0.0,
        }
    }

    fn observe(&mut self, measured: f32, passed_s: f32) {
        // Predict over the time that passed.
        self.place += self.speed * passed_s;
        self.place_var += passed_s * (2.0 * self.covariance + passed_s * self.speed_var);
        self.covariance += passed_s * self.speed_var;
        self.speed_var += Self::DRIFT_VAR * passed_s;
        // Correct by what was measured.
        let surprise = measured - self.place;
        let total = self.place_var + Self::MEASURED_VAR;
        let (place_gain, speed_gain) = (self.place_var / total, self.covariance / total);
        self.place += place_gain * surprise;
        self.speed += speed_gain * surprise;
        self.speed_var -= speed_gain * self.covariance;
        self.covariance *= 1.0 - place_gain;
        self.place_var *= 1.0 - place_gain;
    }
}

/// One camera's tracker.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    next: u64,
    last: Option<UtcMillis>,
}

/// A possible pair: how well it fits, the track's index, the detection's.
type Pair = (f32, usize, usize);

impl Tracker {
    /// Forgets everybody; numbers go on.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.last = None;
    }

    /// Takes in the people of one picture and answers with everybody who is there or was a moment ago. A picture
    /// older than the last one changes nothing.
    pub fn update(&mut self, at: UtcMillis, people: &[Detection]) -> &[Track] {
        if self.last.is_some_and(|last| at < last) {
            return &self.tracks;
        }
        let passed_ms = self.last.replace(at).map_or(0, |last| at.ms_since(last));
        let mut free: Vec<usize> = (0..people.len()).filter(|i| people[*i].score >= LEAST).collect();
        let mut idle: Vec<usize> = (0..self.tracks.len()).collect();
        self.pair(at, people, (&mut idle, &mut free), |d| d.score >= SURE);
        self.pair(at, people, (&mut idle, &mut free), |_| true);
        let kept_ms = KEPT_MS.max(passed_ms.saturating_mul(2));
        self.tracks.retain(|track| at.ms_since(track.seen) <= kept_ms);
        for detection in free.into_iter().map(|i| &people[i]).filter(|d| d.score >= SURE) {
            if self.tracks.len() < MAX_TRACKS {
                self.tracks.push(Track::begin(self.next, detection, at));
                self.next += 1;
            }
        }
        &self.tracks
    }

    /// Everybody who is there or was a moment ago.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Gives idle tracks the free detections that fit them, best pairs first.
    fn pair(
        &mut self,
        at: UtcMillis,
        people: &[Detection],
        (idle, free): (&mut Vec<usize>, &mut Vec<usize>),
        wanted: impl Fn(&Detection) -> bool,
    ) {
        let mut pairs: Vec<Pair> = Vec::new();
        for &t in idle.iter() {
            let expected = self.tracks[t].predicted(at);
            for &d in free.iter().filter(|d| wanted(&people[**d])) {
                let fit = fit(&self.tracks[t], &expected, &people[d].area, at);
                pairs.extend(fit.map(|fit| (fit, t, d)));
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        for (_, t, d) in pairs {
            if idle.contains(&t) && free.contains(&d) {
                idle.retain(|i| *i != t);
                free.retain(|i| *i != d);
                self.tracks[t].go_on(&people[d], at);
            }
        }
    }
}

/// How well a detection fits a track: the overlap with where it should be (1 to 2), or, where pictures are so far
/// apart that a walking person no longer overlaps, their nearness within a walk's reach (0 to 1). `None` when it
/// cannot be the same person.
fn fit(track: &Track, expected: &PictureBox, found: &PictureBox, at: UtcMillis) -> Option<f32> {
    let iou = expected.iou(found).max(track.area.iou(found));
    if iou >= LEAST_IOU {
        return Some(1.0 + iou);
    }
    let heights = (track.area.height(), found.height());
    // Nobody grows by half from one picture to the next.
    if heights.0 > heights.1 * 1.5 || heights.1 > heights.0 * 1.5 {
        return None;
    }
    let passed_s = at.ms_since(track.seen).max(0) as f32 / 1_000.0;
    let reach = REACH_PER_S * passed_s.min(3.0) * heights.0;
    let far = distance(track.area.centre(), found.centre()).min(distance(expected.centre(), found.centre()));
    (far < reach).then(|| 1.0 - far / reach)
}

fn distance(a: Spot, b: Spot) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use proptest::prelude::{Strategy, prop, prop_assert, proptest};

    use super::*;

    fn person(x: f32, score: f32) -> Detection {
        Detection {
            label: Arc::from("person"),
            score,
            area: PictureBox::new(x, 0.3, x + 0.1, 0.8).unwrap(),
        }
    }

    fn ids(tracks: &[Track]) -> Vec<u64> {
        tracks.iter().map(|track| track.id).collect()
    }

    #[test]
    fn who_walks_keeps_their_number_at_one_picture_a_second() {
        let mut tracker = Tracker::default();
        for second in 0..8 {
            let x = 0.05 + 0.1 * second as f32;
            let tracks = tracker.update(UtcMillis(second * 1_000), &[person(x, 0.8)]);
            assert_eq!(ids(tracks), [0], "at {second} s");
        }
        assert!(tracker.tracks()[0].is_confirmed());
    }

    #[test]
    fn an_unsure_detection_keeps_a_track_and_begins_none() {
        let mut tracker = Tracker::default();
        assert_eq!(ids(tracker.update(UtcMillis(0), &[person(0.1, 0.3)])), [0u64; 0]);
        tracker.update(UtcMillis(1_000), &[person(0.1, 0.8)]);
        let tracks = tracker.update(UtcMillis(2_000), &[person(0.1, 0.3)]);
        assert_eq!((ids(tracks), tracks[0].seen), (vec![0], UtcMillis(2_000)));
    }

    #[test]
    fn two_who_stand_beside_each_other_stay_two() {
        let mut tracker = Tracker::default();
        for second in 0..5 {
            let people = [person(0.5, 0.6), person(0.4, 0.9)];
            tracker.update(UtcMillis(second * 500), &people);
        }
        assert_eq!(ids(tracker.tracks()).len(), 2);
        assert_eq!(tracker.tracks()[0].area.left, 0.5);
    }

    #[test]
    fn who_leaves_is_forgotten_and_the_number_is_not_used_again() {
        let mut tracker = Tracker::default();
        tracker.update(UtcMillis(0), &[person(0.1, 0.9)]);
        let here: Vec<usize> = (1..5)
            .map(|s| tracker.update(UtcMillis(s * 1_000), &[]).len())
            .collect();
        assert_eq!(here, [1, 1, 1, 0]);
        assert_eq!(ids(tracker.update(UtcMillis(5_000), &[person(0.1, 0.9)])), [1]);
        tracker.reset();
        assert_eq!(ids(tracker.update(UtcMillis(6_000), &[person(0.1, 0.9)])), [2]);
    }

    #[test]
    fn a_picture_from_the_past_changes_nothing() {
        let mut tracker = Tracker::default();
        tracker.update(UtcMillis(5_000), &[person(0.1, 0.9)]);
        let before = tracker.tracks().to_vec();
        assert_eq!(tracker.update(UtcMillis(1_000), &[person(0.9, 0.9)]), before);
    }

    fn pictures() -> impl Strategy<Value = Vec<(i64, Vec<(f32, f32)>)>> {
        let people = prop::collection::vec((0.0f32..0.9, 0.0f32..1.0), 0..80);
        prop::collection::vec((0i64..5_000, people), 1..30)
    }

    proptest! {
        #[test]
        fn numbers_are_given_once_and_tracks_are_bounded(pictures in pictures()) {
            let mut tracker = Tracker::default();
            let (mut at, mut gone, mut here) = (0, BTreeSet::new(), BTreeSet::new());
            for (passed, people) in pictures {
                at += passed;
                let people: Vec<_> = people.iter().map(|(x, score)| person(*x, *score)).collect();
                let tracks = tracker.update(UtcMillis(at), &people);
                prop_assert!(tracks.len() <= MAX_TRACKS);
                let now: BTreeSet<u64> = ids(tracks).into_iter().collect();
                prop_assert!(now.len() == tracks.len(), "a number stands twice");
                prop_assert!(now.is_disjoint(&gone), "a number came back");
                gone.extend(here.difference(&now).copied());
                here = now;
                let seen_now = tracks.iter().filter(|t| t.seen == UtcMillis(at)).count();
                prop_assert!(seen_now <= people.len(), "one detection went on with two tracks");
            }
        }
    }
}
