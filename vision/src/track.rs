//! Tracking: which of the things in this picture is which of the last one's.
//!
//! [`Tracker`] is ByteTrack: each thing is predicted by a Kalman filter of constant velocity; sure detections are
//! matched first, unsure ones then only keep alive what is already followed, and what is lost is remembered for a
//! while. Everything is counted in milliseconds, because cameras deliver half a frame a second or fifteen.
//!
//! # Why not a crate
//!
//! The crates there are count in frames: `trackforge` 0.5.1 and `similari` 0.26.2 take no time at all, `norfair-rs`
//! 0.5.2 takes a whole number of frames. All three lose people who walk a body's width between two pictures, as
//! everybody does at one frame a second. They bring 25, 107 and 30 crates; this module brings none.
//!
//! # Why greedy
//!
//! The pairs are taken best first and not by the largest sum: with gates as strict as these few pairs compete, and
//! where they do, a sure match is never given up to gain a doubtful one elsewhere. It is also the same on every run,
//! and costs a sort.

mod kalman;

use domain::{PictureBox, UtcMillis};

use kalman::Motion;

/// The most things followed at once. More are not followed, and counted.
pub const MAX_TRACKS: usize = 64;

/// The most detections of one frame that are looked at: the surest.
pub const MAX_SIGHTS: usize = 128;

/// A step back of the clock by more than this, in milliseconds, makes the tracker forget: nothing can be said of
/// how long ago anything was.
pub const CLOCK_STEP_MS: i64 = 1_000;

/// For so long, in milliseconds, the gate around somebody who is not seen widens.
const WIDEN_MS: i64 = 3_000;

/// How far the middle of a walking person may get beside the prediction: a share of the body's width or height at
/// once, and so much more in each second. A body is about 0.5 m wide and 1.7 m high; people walk 1 to 1.5 m/s.
const REACH: (f32, f32) = (0.5, 0.25);
const REACH_PER_S: (f32, f32) = (2.5, 0.6);

/// Something to be followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sight {
    /// How sure the detector is, 0 to 1.
    pub score: f32,
    /// Where.
    pub area: PictureBox,
}

/// When tracks begin, go on and end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackOptions {
    /// From this score on a detection may begin a track and is matched first, 0 to 1. Default 0.4.
    pub high_score: f32,
    /// Below this score a detection is not looked at, 0 to 1. Default 0.15.
    pub low_score: f32,
    /// How much the prediction and a sure detection must overlap, 0 to 1. Default 0.2.
    pub min_iou: f32,
    /// How much the prediction and an unsure detection must overlap, 0 to 1. Default 0.4.
    pub min_iou_low: f32,
    /// How long something is remembered that is not seen, in milliseconds. Default 5,000.
    pub lost_ms: i64,
}

impl Default for TrackOptions {
    fn default() -> TrackOptions {
        TrackOptions {
            high_score: 0.4,
            low_score: 0.15,
            min_iou: 0.2,
            min_iou_low: 0.4,
            lost_ms: 5_000,
        }
    }
}

/// Where identifiers of tracks come from. One per camera, so that no two of its tracks, of people or of animals,
/// are ever called the same.
#[derive(Debug, Default)]
pub struct TrackIds(u64);

impl TrackIds {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// How sure it is that a track is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Seen once. It ends when it is not seen again at once.
    Tentative,
    /// Seen at least twice, and in the latest frame.
    Confirmed,
    /// Seen at least twice, but not in the latest frame.
    Lost,
}

/// One thing that is followed.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// Its identifier, given once.
    pub id: u64,
    /// Where it was when it was last seen.
    pub area: PictureBox,
    /// How sure the detector then was, 0 to 1.
    pub score: f32,
    /// When it was first seen.
    pub since: UtcMillis,
    /// When it was last seen.
    pub seen: UtcMillis,
    /// How sure it is.
    pub standing: Standing,
    motion: Motion,
    /// Where it should be in the frame that is being read.
    predicted: PictureBox,
}

impl Track {
    /// Whether it is one for sure and in the latest frame.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        self.standing == Standing::Confirmed
    }
}

/// Follows things of one kind in the pictures of one camera. At most [`MAX_TRACKS`] at once.
///
/// ```
/// # use sunshine_vision::track::{Sight, TrackIds, TrackOptions, Tracker};
/// # use domain::{PictureBox, UtcMillis};
/// let mut ids = TrackIds::default();
/// let mut people = Tracker::new(TrackOptions::default());
/// for second in 0..3 {
///     // Somebody walks to the right by half a body's width a second.
///     let left = 0.1 + 0.05 * second as f32;
///     let area = PictureBox::new(left, 0.2, left + 0.1, 0.7).unwrap();
///     people.update(UtcMillis(second * 1_000), &[Sight { score: 0.8, area }], &mut ids);
/// }
/// assert_eq!(people.tracks().len(), 1);
/// assert!(people.tracks()[0].is_seen());
/// ```
#[derive(Debug)]
pub struct Tracker {
    options: TrackOptions,
    tracks: Vec<Track>,
    at: Option<UtcMillis>,
    turned_away: u64,
    /// Kept from frame to frame for their memory only.
    order: Vec<usize>,
    assigned: Vec<Option<u64>>,
    pairs: Vec<Pair>,
}

/// A track and a detection that may be the same thing.
#[derive(Debug, Clone, Copy)]
struct Pair {
    closeness: f32,
    track: usize,
    sight: usize,
}

/// One round of matching: who takes part, and how close is close enough.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// Whether detections of at least the high score take part, or those between the low one and it.
    sure: bool,
    /// Tracks of which standings take part.
    standings: &'static [Standing],
}

/// Sure detections for what is known, unsure ones for what was there a moment ago, and what is left of the sure
/// ones for what was seen once.
const ROUNDS: [Round; 3] = [
    Round {
        sure: true,
        standings: &[Standing::Confirmed, Standing::Lost],
    },
    Round {
        sure: false,
        standings: &[Standing::Confirmed],
    },
    Round {
        sure: true,
        standings: &[Standing::Tentative],
    },
];

impl Tracker {
    /// One that follows nothing yet.
    #[must_use]
    pub fn new(options: TrackOptions) -> Tracker {
        Tracker {
            options,
            tracks: Vec::with_capacity(MAX_TRACKS),
            at: None,
            turned_away: 0,
            order: Vec::new(),
            assigned: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Takes in what a frame shows. Returns, for each of `sights`, the track that it belongs to; `None` for one that
    /// is too unsure, or for which there is no room.
    ///
    /// A frame older than the last one counts as of the same moment, unless the clock stepped back by more than
    /// [`CLOCK_STEP_MS`]: then everything is forgotten first.
    pub fn update(&mut self, at: UtcMillis, sights: &[Sight], ids: &mut TrackIds) -> &[Option<u64>] {
        let before = self.at.unwrap_or(at);
        if at.ms_since(before) < -CLOCK_STEP_MS {
            self.tracks.clear();
        }
        let at = if self.tracks.is_empty() {
            at
        } else {
            at.max(before)
        };
        self.at = Some(at);
        self.tracks
            .retain(|track| at.ms_since(track.seen) <= self.options.lost_ms);
        for track in &mut self.tracks {
            track.predicted = track.motion.predict(at, &track.area);
        }
        self.sort(sights);
        self.assigned.clear();
        self.assigned.resize(sights.len(), None);
        for round in ROUNDS {
            self.match_round(round, at, sights);
        }
        let assigned = &self.assigned;
        let is_seen = |track: &Track| assigned.contains(&Some(track.id));
        self.tracks
            .retain(|track| track.standing != Standing::Tentative || is_seen(track));
        for track in self.tracks.iter_mut().filter(|track| !is_seen(track)) {
            track.standing = Standing::Lost;
        }
        self.begin(at, sights, ids);
        &self.assigned
    }

    /// What is followed, the oldest first.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// How many detections began no track because [`MAX_TRACKS`] were followed, since it was made.
    #[must_use]
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Forgets everything it follows.
    pub fn reset(&mut self) {
        self.tracks.clear();
        self.at = None;
    }

    /// Puts the detections that count in order, the surest first. What is no number counts as nothing.
    fn sort(&mut self, sights: &[Sight]) {
        self.order.clear();
        let counts = |n: &usize| sights[*n].score >= self.options.low_score;
        self.order.extend((0..sights.len()).filter(counts));
        self.order
            .sort_by(|a, b| sights[*b].score.total_cmp(&sights[*a].score).then(a.cmp(b)));
        self.order.truncate(MAX_SIGHTS);
    }

    fn match_round(&mut self, round: Round, at: UtcMillis, sights: &[Sight]) {
        self.pairs.clear();
        for (n, track) in self.tracks.iter().enumerate() {
            if self.assigned.contains(&Some(track.id)) || !round.standings.contains(&track.standing) {
                continue;
            }
            for &sight in &self.order {
                let sure = sights[sight].score >= self.options.high_score;
                if sure != round.sure || self.assigned[sight].is_some() {
                    continue;
                }
                if let Some(closeness) = self.closeness(track, &sights[sight].area, (round.sure, at)) {
                    self.pairs.push(Pair {
                        closeness,
                        track: n,
                        sight,
                    });
                }
            }
        }
        self.pairs.sort_by(|a, b| {
            let nearer = b.closeness.total_cmp(&a.closeness);
            nearer.then(a.track.cmp(&b.track)).then(a.sight.cmp(&b.sight))
        });
        for pair in &self.pairs {
            let track = &mut self.tracks[pair.track];
            let taken = self.assigned[pair.sight].is_some() || self.assigned.contains(&Some(track.id));
            if taken {
                continue;
            }
            let sight = sights[pair.sight];
            track.motion.correct(&sight.area);
            track.area = sight.area;
            track.score = sight.score;
            track.seen = at;
            track.standing = Standing::Confirmed;
            self.assigned[pair.sight] = Some(track.id);
        }
    }

    /// How close a detection is to where a track should be: 1 to 2 where they overlap enough, 0 to 1 where they do
    /// not but somebody could have walked so far; `None` when it is somebody else.
    fn closeness(&self, track: &Track, area: &PictureBox, (sure, at): (bool, UtcMillis)) -> Option<f32> {
        let iou = track.predicted.iou(area);
        let enough = if sure {
            self.options.min_iou
        } else {
            self.options.min_iou_low
        };
        if iou >= enough {
            return Some(1.0 + iou);
        }
        // An unsure detection that does not even overlap is no sign of anybody.
        if !sure {
            return None;
        }
        let seconds = at.ms_since(track.seen).clamp(0, WIDEN_MS) as f32 / 1_000.0;
        let heights = track.area.height() / area.height();
        if !(0.5..=2.0).contains(&heights) {
            return None;
        }
        let (was, is) = (track.predicted.centre(), area.centre());
        let width = f32::midpoint(track.area.width(), area.width());
        let height = f32::midpoint(track.area.height(), area.height());
        let across = (is.x - was.x) / (width * (REACH.0 + REACH_PER_S.0 * seconds));
        let along = (is.y - was.y) / (height * (REACH.1 + REACH_PER_S.1 * seconds));
        let distance = across.hypot(along);
        (distance < 1.0).then_some(1.0 - distance)
    }

    /// Begins a track for each sure detection that is left.
    fn begin(&mut self, at: UtcMillis, sights: &[Sight], ids: &mut TrackIds) {
        for &n in &self.order {
            let sight = sights[n];
            if self.assigned[n].is_some() || sight.score < self.options.high_score {
                continue;
            }
            if self.tracks.len() >= MAX_TRACKS {
                self.turned_away += 1;
                continue;
            }
            let id = ids.next();
            self.assigned[n] = Some(id);
            self.tracks.push(Track {
                id,
                area: sight.area,
                score: sight.score,
                since: at,
                seen: at,
                standing: Standing::Tentative,
                motion: Motion::new(at, &sight.area),
                predicted: sight.area,
            });
        }
    }
}
