//! Objects that a detector finds: animals, fire, and what people hold.

use std::{collections::BTreeMap, sync::Arc};

use domain::{Check, PictureBox, Spot, UtcMillis};

use crate::{
    seen::Detection,
    track::{Sight, Track, TrackIds, TrackOptions, Tracker},
};

/// An animal that does not move counts after so long, in milliseconds.
const PERSISTS_MS: i64 = 10_000;

/// Something has moved when its middle is so many sides of its box from where it was first seen.
const MOVED: f32 = 0.5;

/// The part of a person's box, from above, in which hands and mouth are.
const UPPER_BODY: f32 = 0.65;

/// What is held is looked for so far beside a person's box, in widths of it.
const ARMS_LENGTH: f32 = 0.15;

/// Two boxes that overlap so much are at the same spot.
const SAME_SPOT: f32 = 0.7;

/// The most spots that are watched. A new one takes the place of the one unseen for longest.
const MAX_SPOTS: usize = 32;

/// The fewest sightings of something static.
const STATIC_SIGHTINGS: u32 = 20;

/// A spot is forgotten after so long without a sighting, in milliseconds: one that was watched, and one that was found
/// to be static.
const WATCHED_MS: i64 = 60_000;
const STATIC_MEMORY_MS: i64 = 1_800_000;

/// How objects of one check are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It belongs to the person in whose hands or at whose face it is.
    Held,
    /// It belongs to the person in whose box it is.
    Worn,
    /// A living thing that may also sit still.
    Animal,
    /// A living thing that counts only when it moves: everything else looks like one.
    Vermin,
    /// A thing that stands for itself.
    Thing,
}

impl Manner {
    pub(super) fn of(check: Check) -> Manner {
        match check {
            Check::PhoneUse | Check::Smoking => Manner::Held,
            Check::AnimalInKitchen => Manner::Animal,
            Check::Rodent => Manner::Vermin,
            Check::VisualFire | Check::BinOpen | Check::FloorDirty => Manner::Thing,
            _ => Manner::Worn,
        }
    }

    /// Whether a finding is a person's.
    pub(super) fn is_of_a_person(self) -> bool {
        matches!(self, Manner::Held | Manner::Worn)
    }

    /// Whether what never moves is taken for a thing that the model mistakes. A fire that does not move is a fire,
    /// and what is worn moves only with its person.
    fn may_be_static(self) -> bool {
        matches!(self, Manner::Held | Manner::Animal | Manner::Vermin)
    }
}

/// The objects of one check.
#[derive(Debug)]
pub(super) struct Objects {
    labels: Vec<Arc<str>>,
    pub(super) manner: Manner,
    threshold: f32,
    tracker: Tracker,
    /// For each track: where it was first seen, whether it moved since, and what it is.
    known: BTreeMap<u64, Known>,
    spots: Spots,
    suppressed: u64,
}

#[derive(Debug, Clone)]
struct Known {
    first: Spot,
    moved: bool,
    label: Arc<str>,
}

/// What was seen of one subject: a person's track or the object's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finding {
    pub(super) subject: u64,
    /// The object's score; `None` when it was looked for and not seen.
    pub(super) score: Option<f32>,
}

impl Objects {
    pub(super) fn new(
        labels: Vec<Arc<str>>,
        check: Check,
        threshold: f32,
        lost_ms: i64,
        static_ms: i64,
    ) -> Objects {
        let tracking = TrackOptions {
            high_score: threshold,
            low_score: threshold / 2.0,
            lost_ms,
            ..TrackOptions::default()
        };
        Objects {
            labels,
            manner: Manner::of(check),
            threshold,
            tracker: Tracker::new(tracking),
            known: BTreeMap::new(),
            spots: Spots::new(static_ms),
            suppressed: 0,
        }
    }

    /// Takes in what a frame shows, and says what that means for whom.
    pub(super) fn look(
        &mut self,
        at: UtcMillis,
        detections: &[Detection],
        people: &[Track],
        ids: &mut TrackIds,
    ) -> Vec<Finding> {
        let mut found: Vec<&Detection> = detections
            .iter()
            .filter(|seen| self.labels.contains(&seen.label) && seen.score >= self.threshold / 2.0)
            .collect();
        if self.manner.may_be_static() {
            let before = found.len();
            self.spots.expire(at);
            found.retain(|seen| !self.spots.is_static(at, &seen.area));
            self.suppressed += (before - found.len()) as u64;
        }
        if self.manner.is_of_a_person() {
            found.retain(|seen| seen.score >= self.threshold);
            hand_out(self.manner, &found, people)
        } else {
            self.follow(at, &found, ids)
        }
    }

    /// Whether a track of the object's own has shown that it is what it looks like.
    pub(super) fn is_convincing(&self, at: UtcMillis, track: u64) -> bool {
        let moved = || self.known.get(&track).is_some_and(|known| known.moved);
        let persists = || {
            let mut tracks = self.tracker.tracks().iter();
            tracks.any(|t| t.id == track && at.ms_since(t.since) >= PERSISTS_MS)
        };
        match self.manner {
            Manner::Held | Manner::Worn | Manner::Thing => true,
            Manner::Animal => moved() || persists(),
            Manner::Vermin => moved(),
        }
    }

    /// Whether the subject is still followed, when it is an object.
    pub(super) fn is_followed(&self, track: u64) -> bool {
        self.known.contains_key(&track)
    }

    /// The objects that are followed and in this frame: label, and the track.
    pub(super) fn seen(&self) -> impl Iterator<Item = (&Arc<str>, &Track)> {
        let tracks = self.tracker.tracks().iter().filter(|track| track.is_seen());
        tracks.filter_map(|track| Some((&self.known.get(&track.id)?.label, track)))
    }

    /// Where an object stands.
    pub(super) fn foot(&self, track: u64) -> Option<Spot> {
        let mut tracks = self.tracker.tracks().iter();
        tracks.find(|t| t.id == track).map(|t| t.area.foot())
    }

    /// Detections that were passed over because the same thing was at the same spot for too long, since start.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Forgets what is followed. What was found to be static stays known: the camera looks where it looked.
    pub(super) fn reset(&mut self) {
        self.tracker.reset();
        self.known.clear();
    }

    fn follow(&mut self, at: UtcMillis, found: &[&Detection], ids: &mut TrackIds) -> Vec<Finding> {
        let sights: Vec<Sight> = found
            .iter()
            .map(|seen| Sight {
                score: seen.score,
                area: seen.area,
            })
            .collect();
        let assigned = self.tracker.update(at, &sights, ids);
        for (track, seen) in assigned.iter().zip(found) {
            let Some(track) = track else { continue };
            let middle = seen.area.centre();
            let known = self.known.entry(*track).or_insert_with(|| Known {
                first: middle,
                moved: false,
                label: Arc::clone(&seen.label),
            });
            let across = (middle.x - known.first.x) / seen.area.width();
            let along = (middle.y - known.first.y) / seen.area.height();
            known.moved |= across.hypot(along) >= MOVED;
        }
        let tracks = self.tracker.tracks();
        self.known
            .retain(|id, _| tracks.iter().any(|track| track.id == *id));
        tracks
            .iter()
            .map(|track| Finding {
                subject: track.id,
                // One that was not seen was looked for all the same.
                score: (track.seen == at).then_some(track.score),
            })
            .collect()
    }
}

/// Gives each object to the person nearest to it of those who can hold or wear it; says of everybody in the frame
/// whether they got one.
fn hand_out(manner: Manner, found: &[&Detection], people: &[Track]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = people
        .iter()
        .filter(|person| person.is_seen())
        .map(|person| Finding {
            subject: person.id,
            score: None,
        })
        .collect();
    for seen in found {
        let middle = seen.area.centre();
        let nearest = people
            .iter()
            .filter(|person| person.is_seen())
            .filter_map(|person| {
                let reach = reach(manner, &person.area);
                let across = (middle.x - person.area.centre().x) / person.area.width();
                reach.contains(middle).then_some((across.abs(), person.id))
            })
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let Some((_, owner)) = nearest else { continue };
        let owners = findings.iter_mut().filter(|finding| finding.subject == owner);
        for finding in owners {
            finding.score = Some(finding.score.map_or(seen.score, |other| other.max(seen.score)));
        }
    }
    findings
}

fn reach(manner: Manner, person: &PictureBox) -> PictureBox {
    if manner == Manner::Worn {
        return *person;
    }
    let beside = ARMS_LENGTH * person.width();
    PictureBox {
        left: person.left - beside,
        right: person.right + beside,
        top: person.top,
        bottom: person.top + UPPER_BODY * person.height(),
    }
}

/// Where detections stay at the same spot. A model that takes a ladle on the wall for a bird does so for ever.
#[derive(Debug)]
struct Spots {
    static_ms: i64,
    watched: Vec<WatchedSpot>,
}

#[derive(Debug)]
struct WatchedSpot {
    area: PictureBox,
    first: UtcMillis,
    last: UtcMillis,
    sightings: u32,
    is_static: bool,
}

impl Spots {
    fn new(static_ms: i64) -> Spots {
        Spots {
            static_ms,
            watched: Vec::new(),
        }
    }

    /// Forgets the spots at which nothing was for long.
    fn expire(&mut self, at: UtcMillis) {
        self.watched.retain(|spot| {
            let memory_ms = if spot.is_static {
                STATIC_MEMORY_MS
            } else {
                WATCHED_MS
            };
            at.ms_since(spot.last) <= memory_ms
        });
    }

    /// Takes in something at this spot; whether it has been there for too long to be what it looks like.
    fn is_static(&mut self, at: UtcMillis, area: &PictureBox) -> bool {
        let overlaps = self.watched.iter_mut().map(|spot| (spot.area.iou(area), spot));
        let nearest = overlaps.max_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((iou, spot)) = nearest
            && iou >= SAME_SPOT
        {
            spot.last = at;
            spot.sightings = spot.sightings.saturating_add(1);
            let long = at.ms_since(spot.first) >= self.static_ms;
            spot.is_static |= long && spot.sightings >= STATIC_SIGHTINGS;
            return spot.is_static;
        }
        if self.watched.len() >= MAX_SPOTS {
            let longest = self.watched.iter().enumerate().min_by_key(|(_, spot)| spot.last);
            if let Some((n, _)) = longest {
                self.watched.swap_remove(n);
            }
        }
        self.watched.push(WatchedSpot {
            area: *area,
            first: at,
            last: at,
            sightings: 1,
            is_static: false,
        });
        false
    }
}
