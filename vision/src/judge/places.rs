//! Who is where: zones that people enter and leave, how many are in each, how long they stayed, and who crossed the
//! line.

use std::collections::BTreeMap;

use domain::{Camera, Polygon, Spot, UtcMillis, camera::CountLine};

use super::crossing::{Settled, Way};
use crate::track::{Standing, Track};

/// So many frames in a row must agree that somebody came into a zone or left it, so that nobody flickers at its edge…
const INERTIA_FRAMES: u8 = 3;

/// …or two of them, so far apart in milliseconds: a camera of one frame a second would take too long otherwise.
const INERTIA_MS: i64 = 1_500;

/// The number of people is the middle one of so many counts.
const COUNTS: usize = 5;

/// A spot on a polygon's lower edge does not lie inside it, but who stands on the picture's lower edge is meant to be
/// inside a zone that reaches it.
const EDGE: f32 = 0.001;

/// A place where people are counted: the whole picture (`None`) or the zone of this number.
pub(super) type Place = Option<usize>;

/// Stays that ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stays {
    pub(super) ended: u32,
    pub(super) ms: i64,
}

/// People in and out since this was last taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) inwards: u32,
    pub(super) outwards: u32,
}

/// Where everybody is.
#[derive(Debug)]
pub(super) struct Places {
    zones: Vec<Polygon>,
    line: Option<CountLine>,
    /// One for each track that is followed.
    people: BTreeMap<u64, Whereabouts>,
    /// For the whole picture, then for each zone.
    counts: Vec<Counts>,
    stays: Vec<Stays>,
    passed: Passed,
}

#[derive(Debug, Clone)]
struct Whereabouts {
    zones: Vec<InZone>,
    settled: Settled,
    /// Since when it has been a track for sure.
    since: UtcMillis,
    seen: UtcMillis,
    confirmed: bool,
}

/// Whether somebody is in one zone.
#[derive(Debug, Clone, Copy)]
struct InZone {
    inside: bool,
    /// Since when; for who is outside, nothing.
    entered: UtcMillis,
    /// How many frames in a row say otherwise, and since when.
    against: u8,
    against_since: UtcMillis,
}

/// The last counts, newest last.
#[derive(Debug, Clone, Default)]
struct Counts {
    last: Vec<u32>,
    now: u32,
}

impl Counts {
    fn push(&mut self, now: u32) {
        if self.last.len() == COUNTS {
            self.last.remove(0);
        }
        self.last.push(now);
        self.now = now;
    }

    fn median(&self) -> Option<u32> {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}

impl InZone {
    /// Takes in whether somebody's feet are inside now. Returns how long a stay was that ended by it.
    fn step(&mut self, at: UtcMillis, is_inside: bool) -> Option<i64> {
        if is_inside == self.inside {
            self.against = 0;
            return None;
        }
        if self.against == 0 {
            self.against_since = at;
        }
        self.against += 1;
        let slow = self.against >= 2 && at.ms_since(self.against_since) >= INERTIA_MS;
        if self.against < INERTIA_FRAMES && !slow {
            return None;
        }
        self.against = 0;
        self.inside = is_inside;
        if is_inside {
            self.entered = self.against_since;
            return None;
        }
        Some(self.against_since.ms_since(self.entered))
    }
}

impl Places {
    pub(super) fn of(camera: &Camera) -> Places {
        let zones: Vec<Polygon> = camera.zones.iter().map(|zone| zone.area.clone()).collect();
        Places {
            people: BTreeMap::new(),
            counts: vec![Counts::default(); zones.len() + 1],
            stays: vec![Stays::default(); zones.len() + 1],
            passed: Passed::default(),
            line: camera.line,
            zones,
        }
    }

    /// The whole picture and each zone.
    pub(super) fn all(&self) -> impl Iterator<Item = Place> + use<> {
        std::iter::once(None).chain((0..self.zones.len()).map(Some))
    }

    /// Takes in where everybody is in this frame.
    pub(super) fn update(&mut self, at: UtcMillis, tracks: &[Track]) {
        self.let_go(tracks);
        for track in tracks.iter().filter(|track| track.standing != Standing::Lost) {
            self.locate(at, track);
        }
        for place in self.all() {
            let seen = tracks.iter().filter(|track| track.is_seen());
            let now = seen.filter(|track| self.is_in(track.id, place)).count();
            self.counts[slot(place)].push(u32::try_from(now).unwrap_or(u32::MAX));
        }
    }

    /// Whether a track is in a place. Every track is in the whole picture.
    pub(super) fn is_in(&self, track: u64, place: Place) -> bool {
        place.is_none_or(|zone| {
            let person = self.people.get(&track);
            person.is_some_and(|person| person.zones.get(zone).is_some_and(|z| z.inside))
        })
    }

    /// How many people are seen there in this frame.
    pub(super) fn seen(&self, place: Place) -> u32 {
        self.counts[slot(place)].now
    }

    /// How many people are there: the middle one of the last five counts. `None` before the first frame.
    pub(super) fn count(&self, place: Place) -> Option<u32> {
        self.counts[slot(place)].median()
    }

    /// The stays that ended since this was last asked.
    pub(super) fn take_stays(&mut self, place: Place) -> Stays {
        std::mem::take(&mut self.stays[slot(place)])
    }

    /// Who crossed the line since this was last asked; `None` when there is no line.
    pub(super) fn take_passed(&mut self) -> Option<Passed> {
        self.line.map(|_| std::mem::take(&mut self.passed))
    }

    /// Forgets who is where. Nobody has left by that: no stay ends.
    pub(super) fn reset(&mut self) {
        self.people.clear();
        self.counts.fill(Counts::default());
    }

    /// Ends the stays of those who are no longer followed.
    fn let_go(&mut self, tracks: &[Track]) {
        let stays = &mut self.stays;
        self.people.retain(|id, person| {
            let stays_on = tracks.iter().any(|track| track.id == *id);
            if !stays_on && person.confirmed {
                stays[0].add(person.seen.ms_since(person.since));
                for (stay, zone) in stays[1..].iter_mut().zip(&person.zones) {
                    if zone.inside {
                        stay.add(person.seen.ms_since(zone.entered));
                    }
                }
            }
            stays_on
        });
    }

    fn locate(&mut self, at: UtcMillis, track: &Track) {
        let nowhere = InZone {
            inside: false,
            entered: at,
            against: 0,
            against_since: at,
        };
        let zones = self.zones.len();
        let person = self.people.entry(track.id).or_insert_with(|| Whereabouts {
            zones: vec![nowhere; zones],
            settled: Settled::default(),
            since: track.since,
            seen: at,
            confirmed: false,
        });
        person.seen = at;
        person.confirmed |= track.is_seen();
        let foot = track.area.foot();
        let foot = Spot {
            x: foot.x.clamp(EDGE, 1.0 - EDGE),
            y: foot.y.clamp(EDGE, 1.0 - EDGE),
        };
        for ((zone, area), stay) in person.zones.iter_mut().zip(&self.zones).zip(&mut self.stays[1..]) {
            if let Some(ms) = zone.step(at, area.contains(foot)) {
                stay.add(ms);
            }
        }
        let way = self.line.and_then(|line| person.settled.step(&line, &track.area));
        match way {
            Some(Way::In) => self.passed.inwards = self.passed.inwards.saturating_add(1),
            Some(Way::Out) => self.passed.outwards = self.passed.outwards.saturating_add(1),
            None => {}
        }
    }
}

impl Stays {
    fn add(&mut self, ms: i64) {
        self.ended = self.ended.saturating_add(1);
        self.ms = self.ms.saturating_add(ms.max(0));
    }
}

/// Where a place's numbers stand: the whole picture's first.
fn slot(place: Place) -> usize {
    place.map_or(0, |zone| zone + 1)
}
