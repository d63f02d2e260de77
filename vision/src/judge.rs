//! Judgement of one camera: what is seen, frame by frame, becomes findings that begin and end.
//!
//! For each frame that is looked at, [`CameraJudge::track`] takes in what the detector found and says which persons
//! need a closer look; [`CameraJudge::judge`] takes in what that look said and says what is to be told. Both are pure:
//! time is the frame's, and the same calls give the same answers.
//!
//! # What counts
//!
//! - A person is where their feet are: the middle of the box's lower edge. Somebody is in a zone once three frames in a
//!   row say so (two where frames are slow), and out of it likewise.
//! - A finding on a person needs as many positive looks of the last judged ones as the setting's vote says, for its
//!   minimum duration, from the first positive look on. What could not be judged says nothing for or against, and its
//!   share is told. A person not judged for 30 s is not known to be anything.
//! - Several people at once are one finding of their check and zone. It begins when the first is sure and ends when
//!   nobody has been for the clear time.
//! - Within the re-alarm interval after a finding of the same check was told, a new one is not. If it still holds when
//!   the interval is over it is told then; otherwise it is folded into the last one, and counted.
//! - An animal counts when it moves or stays for 10 s, a rodent only when it moves. Animals and what is held in hands
//!   count no more once the same thing has been at the same spot for minutes, until it moves: models take a ladle on
//!   the wall for a bird for ever.
//! - The number of people is the middle one of the last five counts. It is too high above the capacity, and no longer
//!   so at nine tenths of it.
//! - The stove is unattended while it is on and nobody is in the zone, not even somebody hidden for a moment.
//! - Outside its hours a check is not made: nothing begins, and what holds ends after the clear time.
//!
//! # When nothing is known
//!
//! While the camera gives no frames, nothing is told: no heartbeat, and no end of what held. After a gap of 30 s, a
//! reset, or a clock that stepped back, everything seen is forgotten, identifiers of tracks go on, and a finding that
//! ran is ended only if it is not shown again within its minimum duration and the clear time.

mod ballot;
mod crossing;
mod episode;
mod faces;
mod objects;
mod places;
mod pulse;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Camera, Check, CheckSetting, DeviceId, Metric, PictureBox, Schedule, Sighted, UtcMillis,
    observation::{LabelledBox, MAX_BOXES, MAX_NAME, ModelStamp, ObservedState, Origin},
};

use crate::{
    seen::{Detection, PersonVerdict, RegionVerdict, Unjudged, Verdict},
    track::{CLOCK_STEP_MS, Sight, Standing, Track, TrackIds, TrackOptions, Tracker},
};
use episode::{Change, Held};
use places::Places;
use pulse::Pulse;
use watch::{THE_PLACE, Watch};

pub use faces::assign_faces;

/// After so long without a frame, in milliseconds, nothing is known of who is who.
const FRAME_GAP_MS: i64 = 30_000;

/// People are too many above the capacity, and no longer too many at this share of it.
const CAPACITY_CLEARS: f64 = 0.9;

/// What does not depend on the camera.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeOptions {
    /// The detector's word for a person. Default `person`.
    pub person_label: Arc<str>,
    /// Which detections stand for which check: `cat` for an animal, `cell phone` for a phone, an operator's own labels
    /// for anything but counts. A label for a check of persons belongs to the person in whose box it is. Default: the
    /// words of the built-in detector.
    pub labels: BTreeMap<Arc<str>, Check>,
    /// The models' own thresholds, 0 to 1: told with a finding, and the least score of a detection that stands for a
    /// check, where the setting gives no sensitivity. Default: none, so that every detection counts.
    pub thresholds: BTreeMap<Check, f32>,
    /// Which model answers which check: told with a finding. Default: none.
    pub models: BTreeMap<Check, ModelStamp>,
    /// Checks that are shown but never told: taught ones that are not good enough yet. Default: none.
    pub display_only: BTreeSet<Check>,
    /// How people are followed.
    pub tracking: TrackOptions,
    /// A check of the same person is asked for no more often than this, in milliseconds. Default 1,000.
    pub ask_every_ms: i64,
    /// A part of the picture is asked for no more often than this, in milliseconds. Default 5,000.
    pub region_every_ms: i64,
    /// The most questions about persons per frame; the rest wait for the next. Default 4.
    pub asks_per_frame: usize,
    /// Series are told at the first frame after so long, in milliseconds. Default 5,000, which with a look at least
    /// every 3 s is within 10 s.
    pub heartbeat_ms: i64,
    /// A finding ends when it has not been sure for so long, in milliseconds. Default 10,000.
    pub clear_ms: i64,
    /// An object at one spot for so long, in milliseconds, is taken for something that the model mistakes. Default
    /// 300,000.
    pub static_ms: i64,
}

impl Default for JudgeOptions {
    fn default() -> JudgeOptions {
        let animals = ["cat", "dog", "bird"].map(|label| (label.into(), Check::AnimalInKitchen));
        let phone = ("cell phone".into(), Check::PhoneUse);
        JudgeOptions {
            person_label: "person".into(),
            labels: animals.into_iter().chain([phone]).collect(),
            thresholds: BTreeMap::new(),
            models: BTreeMap::new(),
            display_only: BTreeSet::new(),
            tracking: TrackOptions::default(),
            ask_every_ms: 1_000,
            region_every_ms: 5_000,
            asks_per_frame: 4,
            heartbeat_ms: 5_000,
            clear_ms: 10_000,
            static_ms: 300_000,
        }
    }
}

/// A question about one person in the frame just tracked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ask {
    /// The track, to be named in the answer.
    pub track: u64,
    /// The check.
    pub check: Check,
    /// Where the person is.
    pub area: PictureBox,
}

/// A question about a fixed part of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionAsk {
    /// The zone, to be named in the answer.
    pub zone: DeviceId,
    /// The check.
    pub check: Check,
    /// The smallest rectangle around the zone.
    pub area: PictureBox,
}

/// What the closer looks at one frame said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Verdicts<'a> {
    /// Of persons.
    pub persons: &'a [PersonVerdict],
    /// Of parts of the picture.
    pub regions: &'a [RegionVerdict],
    /// Whether the stove is on, by a sensor or by what was taught of how it looks; `None` when nobody knows.
    pub stove: Option<bool>,
}

/// What is to be told after a frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// What began and ended.
    pub observations: Vec<Sighted>,
    /// Numbers of the frame's moment; no metric twice. `people_in` and `people_out` are of the time since the last
    /// ones; `dwell` is the mean of the stays that ended in it, in seconds. `person_count.<zone>` and `dwell.<zone>`
    /// are a zone's.
    pub series: Vec<(Metric, f64)>,
    /// Who and what is seen, to be drawn; at most [`MAX_BOXES`]. Over a person's box lie those of the checks that lean
    /// to a finding on them, by their codes.
    pub boxes: Vec<LabelledBox>,
}

/// Judges what one camera sees. Bounded by the camera's checks and [`crate::track::MAX_TRACKS`] people and as many
/// objects for each check.
#[derive(Debug)]
pub struct CameraJudge {
    options: JudgeOptions,
    schedule: Schedule,
    capacity: Option<u32>,
    left_out: Vec<CheckSetting>,
    watches: Vec<Watch>,
    ids: TrackIds,
    people: Tracker,
    places: Places,
    pulse: Pulse,
    /// When a finding of a check was last told, in whichever zone.
    last_told: BTreeMap<Check, Option<UtcMillis>>,
    last_at: Option<UtcMillis>,
    /// Whether a frame was tracked whose counts are not judged yet.
    is_fresh: bool,
    folded: u64,
}

impl CameraJudge {
    /// One that has seen nothing. Of two settings of the same check and zone the first counts.
    #[must_use]
    pub fn new(camera: &Camera, options: &JudgeOptions) -> CameraJudge {
        let places = Places::of(camera);
        let mut known = BTreeSet::new();
        let (mut watches, mut left_out) = (Vec::new(), Vec::new());
        for setting in &camera.checks {
            if !known.insert((setting.check, setting.zone.clone())) {
                left_out.push(setting.clone());
                continue;
            }
            match Watch::new(setting, camera, options) {
                Some(watch) => watches.push(watch),
                None => left_out.push(setting.clone()),
            }
        }
        CameraJudge {
            schedule: camera.schedule.clone(),
            capacity: camera.capacity,
            left_out,
            ids: TrackIds::default(),
            people: Tracker::new(options.tracking),
            pulse: Pulse::new(camera, &places, options.heartbeat_ms),
            places,
            last_told: watches.iter().map(|watch| (watch.check(), None)).collect(),
            watches,
            last_at: None,
            is_fresh: false,
            folded: 0,
            options: options.clone(),
        }
    }

    /// The camera's settings that are not judged here: of picture quality, of a zone that the camera does not have, of
    /// a part of the picture without a zone, or given twice.
    #[must_use]
    pub fn left_out(&self) -> &[CheckSetting] {
        &self.left_out
    }

    /// Takes in what the detector found in the frame of this moment. Returns what is to be asked of whom, the longest
    /// unasked first. `minute_of_day` is local.
    pub fn track(&mut self, at: UtcMillis, minute_of_day: u16, detections: &[Detection]) -> Vec<Ask> {
        let at = self.advance(at);
        let persons = detections
            .iter()
            .filter(|seen| seen.label == self.options.person_label);
        let sights: Vec<Sight> = persons
            .map(|seen| Sight {
                score: seen.score,
                area: seen.area,
            })
            .collect();
        self.people.update(at, &sights, &mut self.ids);
        self.places.update(at, self.people.tracks());
        for watch in &mut self.watches {
            if self.schedule.covers(watch.setting.hours, minute_of_day) {
                look_for_objects(at, watch, detections, (&self.people, &self.places, &mut self.ids));
                watch.keep(at, self.people.tracks(), &self.places);
            } else {
                watch.dismiss_all();
            }
        }
        self.is_fresh = true;
        self.asks(at, minute_of_day)
    }

    /// Which parts of the picture are to be looked at now. Whoever asks is taken to look.
    pub fn regions(&mut self, at: UtcMillis, minute_of_day: u16) -> Vec<RegionAsk> {
        let at = self.advance(at);
        let every_ms = self.options.region_every_ms;
        let mut asks = Vec::new();
        for watch in self.watches.iter_mut().filter(|watch| watch.asks_for_region()) {
            let asked = watch.asked.get(&THE_PLACE);
            let is_due = asked.is_none_or(|last| at.ms_since(*last) >= every_ms);
            if !is_due || !self.schedule.covers(watch.setting.hours, minute_of_day) {
                continue;
            }
            if let (Some(zone), Some(area)) = (&watch.setting.zone, &watch.area) {
                watch.asked.insert(THE_PLACE, at);
                asks.push(RegionAsk {
                    zone: zone.clone(),
                    check: watch.check(),
                    area: area.bounds(),
                });
            }
        }
        asks
    }

    /// Takes in what the closer looks at the frame of this moment said, and says what is to be told. Verdicts on tracks
    /// that are gone, on people outside the check's zone, and on checks that are not made now are passed over; of
    /// several on the same person and check the most positive counts.
    pub fn judge(&mut self, at: UtcMillis, minute_of_day: u16, said: &Verdicts<'_>) -> Judged {
        let at = self.advance(at);
        self.vote_on_persons(at, minute_of_day, said.persons);
        self.vote_on_regions(at, minute_of_day, said.regions);
        if std::mem::take(&mut self.is_fresh) {
            self.vote_on_counts(at, minute_of_day, said.stove);
        }
        let mut observations = Vec::new();
        for n in 0..self.watches.len() {
            let watch = &mut self.watches[n];
            let last_told = self.last_told.entry(watch.check()).or_default();
            match watch.step(at, last_told) {
                Some(Change::Folded) => self.folded += 1,
                Some(Change::Began(held)) => {
                    observations.push(self.sighted(at, n, ObservedState::Began, held));
                }
                Some(Change::Ended(held)) => {
                    observations.push(self.sighted(at, n, ObservedState::Ended, held));
                }
                None => {}
            }
        }
        let people = self.people.tracks();
        Judged {
            observations,
            series: self.pulse.beat(at, &mut self.watches, &mut self.places, people),
            boxes: self.boxes(),
        }
    }

    /// The people who are followed, those hidden for a moment among them.
    #[must_use]
    pub fn tracks(&self) -> &[Track] {
        self.people.tracks()
    }

    /// Findings that were folded into the one before, since start.
    #[must_use]
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Detections that were passed over because the same thing was at the same spot for too long, since start.
    #[must_use]
    pub fn suppressed(&self) -> u64 {
        let objects = self.watches.iter().filter_map(|watch| watch.objects.as_ref());
        objects.map(objects::Objects::suppressed).sum()
    }

    /// Forgets what was seen: the camera was connected anew, or its light changed. What held is ended only if it is
    /// not shown again.
    pub fn reset(&mut self) {
        self.people.reset();
        self.places.reset();
        self.is_fresh = false;
        for watch in &mut self.watches {
            watch.reset();
        }
    }

    /// The moment at which things are judged: never before the last one, unless the clock stepped back.
    fn advance(&mut self, at: UtcMillis) -> UtcMillis {
        let since = self.last_at.map_or(0, |last| at.ms_since(last));
        if since > FRAME_GAP_MS {
            self.reset();
        }
        if since < -CLOCK_STEP_MS {
            self.reset();
            for watch in &mut self.watches {
                watch.clock_stepped_back(at);
            }
            for told in self.last_told.values_mut() {
                *told = told.map(|told| told.min(at));
            }
            self.last_at = None;
        }
        let at = self.last_at.map_or(at, |last| last.max(at));
        self.last_at = Some(at);
        at
    }

    fn asks(&mut self, at: UtcMillis, minute_of_day: u16) -> Vec<Ask> {
        let mut due: BTreeMap<(u64, Check), (Option<UtcMillis>, PictureBox)> = BTreeMap::new();
        for watch in self.watches.iter().filter(|watch| watch.asks_for_persons()) {
            if !self.schedule.covers(watch.setting.hours, minute_of_day) {
                continue;
            }
            for track in self.people.tracks().iter().filter(|track| track.is_seen()) {
                let asked = watch.asked.get(&track.id).copied();
                let is_due = asked.is_none_or(|last| at.ms_since(last) >= self.options.ask_every_ms);
                if is_due && self.places.is_in(track.id, watch.place) {
                    due.insert((track.id, watch.check()), (asked, track.area));
                }
            }
        }
        let mut due: Vec<_> = due.into_iter().collect();
        due.sort_by_key(|(who, (asked, _))| (*asked, *who));
        due.truncate(self.options.asks_per_frame);
        for ((track, check), _) in &due {
            for watch in self.watches.iter_mut().filter(|watch| watch.check() == *check) {
                watch.asked.insert(*track, at);
            }
        }
        due.into_iter()
            .map(|((track, check), (_, area))| Ask { track, check, area })
            .collect()
    }

    fn vote_on_persons(&mut self, at: UtcMillis, minute_of_day: u16, verdicts: &[PersonVerdict]) {
        let mut strongest: BTreeMap<(u64, Check), Verdict> = BTreeMap::new();
        for said in verdicts {
            let known = strongest.entry((said.track, said.check)).or_insert(said.verdict);
            if weight(said.verdict) > weight(*known) {
                *known = said.verdict;
            }
        }
        for ((track, check), verdict) in strongest {
            if !self.people.tracks().iter().any(|t| t.id == track) {
                continue;
            }
            for watch in &mut self.watches {
                let concerns = watch.check() == check && watch.asks_for_persons();
                let is_made = self.schedule.covers(watch.setting.hours, minute_of_day);
                if concerns && is_made && self.places.is_in(track, watch.place) {
                    watch.vote(at, track, verdict);
                }
            }
        }
    }

    fn vote_on_regions(&mut self, at: UtcMillis, minute_of_day: u16, verdicts: &[RegionVerdict]) {
        for watch in self.watches.iter_mut().filter(|watch| watch.asks_for_region()) {
            if !self.schedule.covers(watch.setting.hours, minute_of_day) {
                watch.dismiss_all();
                continue;
            }
            let said = verdicts
                .iter()
                .filter(|said| said.check == watch.check() && Some(&said.zone) == watch.setting.zone.as_ref())
                .map(|said| said.verdict)
                .max_by(|a, b| {
                    weight(*a)
                        .partial_cmp(&weight(*b))
                        .unwrap_or(std::cmp::Ordering::Equal)
                });
            if let Some(verdict) = said {
                watch.vote(at, THE_PLACE, verdict);
            }
        }
    }

    fn vote_on_counts(&mut self, at: UtcMillis, minute_of_day: u16, stove: Option<bool>) {
        for watch in &mut self.watches {
            if !self.schedule.covers(watch.setting.hours, minute_of_day) {
                continue;
            }
            let seen = self.places.seen(watch.place);
            let positive = match watch.check() {
                Check::OffHoursPresence => Some(seen > 0),
                Check::OverCapacity => {
                    let count = self.places.count(watch.place).map(f64::from);
                    let holds = watch.ballot(THE_PLACE).is_some_and(ballot::Ballot::is_sure);
                    let most = self.capacity.map(f64::from);
                    let limit = most.map(|most| if holds { CAPACITY_CLEARS * most } else { most });
                    count.zip(limit).map(|(count, limit)| count > limit)
                }
                Check::StoveUnattended => {
                    let is_there = |track: &Track| {
                        track.standing != Standing::Tentative && self.places.is_in(track.id, watch.place)
                    };
                    let attended = self.people.tracks().iter().any(is_there);
                    if attended || stove == Some(false) {
                        // Whoever comes to the stove begins a new time of nobody: no vote can outlast that.
                        watch.dismiss(THE_PLACE);
                        None
                    } else {
                        stove
                    }
                }
                _ => None,
            };
            let verdict = match positive {
                Some(true) => Verdict::Positive(1.0),
                Some(false) => Verdict::Negative(0.0),
                None => continue,
            };
            watch.vote(at, THE_PLACE, verdict);
        }
    }

    fn sighted(&self, at: UtcMillis, n: usize, state: ObservedState, held: Held) -> Sighted {
        let watch = &self.watches[n];
        Sighted {
            check: watch.check(),
            state,
            at,
            since: Some(held.since.min(at)),
            zone: watch.setting.zone.clone(),
            score: Some(held.score.clamp(0.0, 1.0)),
            threshold: watch.threshold.filter(|t| (0.0..=1.0).contains(t)),
            tally: held.tally,
            model: self.options.models.get(&watch.check()).cloned(),
            boxes: match state {
                ObservedState::Began => self.shown(at, watch),
                ObservedState::Ended => Vec::new(),
            },
            evidence: None,
            origin: Origin::Own,
            detail: String::new(),
        }
    }

    /// What a finding shows: those of whom it is sure, or the place and who is there.
    fn shown(&self, at: UtcMillis, watch: &Watch) -> Vec<LabelledBox> {
        let sure: Vec<u64> = watch.sure(at).map(|(id, _)| id).collect();
        let mut boxes = Vec::new();
        if let Some(area) = watch.area.as_ref().filter(|_| sure.contains(&THE_PLACE)) {
            let score = watch.ballot(THE_PLACE).map_or(0.0, ballot::Ballot::score);
            boxes.push(labelled(watch.check().code(), score, area.bounds(), None));
        }
        let is_count = matches!(watch.check(), Check::OverCapacity | Check::OffHoursPresence);
        for track in self.people.tracks() {
            let is_there = is_count && track.is_seen() && self.places.is_in(track.id, watch.place);
            if is_there || sure.contains(&track.id) {
                let label = &self.options.person_label;
                boxes.push(labelled(label, track.score, track.area, Some(track.id)));
            }
        }
        let objects = watch.objects.iter().flat_map(objects::Objects::seen);
        for (label, track) in objects.filter(|(_, track)| sure.contains(&track.id)) {
            boxes.push(labelled(label, track.score, track.area, Some(track.id)));
        }
        boxes.truncate(MAX_BOXES);
        boxes
    }

    fn boxes(&self) -> Vec<LabelledBox> {
        let mut boxes = Vec::new();
        for track in self.people.tracks().iter().filter(|track| track.is_seen()) {
            let label = &self.options.person_label;
            boxes.push(labelled(label, track.score, track.area, Some(track.id)));
            for watch in &self.watches {
                let leaning = watch.ballot(track.id).filter(|ballot| ballot.leans());
                if let Some(ballot) = leaning {
                    boxes.push(labelled(
                        watch.check().code(),
                        ballot.score(),
                        track.area,
                        Some(track.id),
                    ));
                }
            }
        }
        for watch in &self.watches {
            for (label, track) in watch.objects.iter().flat_map(objects::Objects::seen) {
                boxes.push(labelled(label, track.score, track.area, Some(track.id)));
            }
            let leaning = watch.ballot(THE_PLACE).filter(|ballot| ballot.leans());
            if let (Some(ballot), Some(area)) = (leaning, &watch.area) {
                boxes.push(labelled(
                    watch.check().code(),
                    ballot.score(),
                    area.bounds(),
                    None,
                ));
            }
        }
        boxes.truncate(MAX_BOXES);
        boxes
    }
}

/// Looks for the objects of one check, and gives what is found to whom it concerns.
fn look_for_objects(
    at: UtcMillis,
    watch: &mut Watch,
    detections: &[Detection],
    (people, places, ids): (&Tracker, &Places, &mut TrackIds),
) {
    let Some(objects) = &mut watch.objects else {
        return;
    };
    let is_of_a_person = objects.manner.is_of_a_person();
    for finding in objects.look(at, detections, people.tracks(), ids) {
        let subject = finding.subject;
        let foot = watch.objects.as_ref().and_then(|objects| objects.foot(subject));
        let is_there = if is_of_a_person {
            places.is_in(subject, watch.place)
        } else {
            foot.is_some_and(|foot| watch.area.as_ref().is_none_or(|area| area.contains(foot)))
        };
        if is_there {
            watch.found(at, subject, finding.score);
        } else {
            watch.dismiss(subject);
        }
    }
}

/// How much a verdict says, and how positive: what cannot be judged says least.
fn weight(verdict: Verdict) -> (u8, f32) {
    match verdict {
        Verdict::Positive(p) if p.is_finite() => (2, p),
        Verdict::Negative(p) if p.is_finite() => (1, p),
        Verdict::Unjudged(Unjudged::NoModel) => (0, 0.0),
        _ => (0, 1.0),
    }
}

fn labelled(label: &str, score: f32, area: PictureBox, track: Option<u64>) -> LabelledBox {
    LabelledBox {
        label: label.chars().take(MAX_NAME).collect(),
        score: if score.is_finite() {
            score.clamp(0.0, 1.0)
        } else {
            0.0
        },
        area,
        track,
    }
}
