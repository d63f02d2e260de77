//! Judgement of one camera's pictures: what was seen in, observations out.
//!
//! Pure: time comes with each picture, and the same looks give the same observations. A look has two halves. First
//! [`CameraJudge::track`] takes in what the detector found and answers with what it wants to know of whom; when models
//! have answered, [`CameraJudge::judge`] weighs it all.
//!
//! - A *person check* (no mask) is voted on per track: so many of the last judged looks must agree, over at least the
//!   minimum duration. Several people at once are one episode of their check and zone.
//! - What cannot be judged is counted and never weighs: nobody is accused because they turned away.
//! - An episode is told once when it begins and once when it ends; one that comes back within the re-alarm interval
//!   is folded into the last.
//! - A person is where their feet are: the middle of the lower edge of their box.
//! - While pictures come, every check's state is among the series at least every ten seconds, so that a camera that
//!   is not watched any more is silent and not healthy.

mod episode;
mod object;
mod people;
mod tally;
mod vote;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use domain::{
    Camera, Check, CheckSetting, DeviceId, Metric, Polygon, Schedule, Sighted, UtcMillis,
    camera::CountLine,
    check::CheckKind,
    geometry::PictureBox,
    observation::{LabelledBox, MAX_BOXES, ObservedState, Origin, Tally},
};

use crate::{
    seen::{Detection, PersonVerdict, RegionVerdict, Verdict},
    track::{Track, Tracker},
};
use episode::{Episode, Told};
use object::StillLife;
use people::{Count, Crossings, Crowd};
use tally::Recent;
use vote::Ballot;

/// The label of people.
pub const PERSON: &str = "person";

/// How often states are said although nothing changes, in milliseconds.
const HEARTBEAT_MS: i64 = 10_000;

/// How long an episode's check must not hold before it is over, in milliseconds; or its minimum duration, if that is
/// longer.
const CLEAR_MS: i64 = 5_000;

/// What is the same for all cameras.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgeOptions {
    /// The least time between two questions about one person and check, in milliseconds.
    pub ask_every_ms: i64,
    /// The most people asked about in one look. Those who were never judged come first.
    pub max_asks: usize,
    /// Which labels of the detector stand for which check.
    pub findings: BTreeMap<Arc<str>, Check>,
}

impl Default for JudgeOptions {
    fn default() -> JudgeOptions {
        JudgeOptions {
            ask_every_ms: 800,
            max_asks: 4,
            findings: BTreeMap::new(),
        }
    }
}

/// A question: what of this person?
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The track.
    pub track: u64,
    /// Where the person is.
    pub area: PictureBox,
    /// The checks to be made.
    pub checks: Vec<Check>,
}

/// What came of one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judged {
    /// What began or ended. To be said before [`Judged::series`].
    pub observations: Vec<Sighted>,
    /// Values of the camera's series at the picture's moment; empty between heartbeats.
    pub series: Vec<(Metric, f64)>,
    /// Everything that was seen, for show.
    pub boxes: Vec<LabelledBox>,
}

/// One check of the camera and what is known of it.
#[derive(Debug)]
struct Watch {
    setting: CheckSetting,
    kind: CheckKind,
    area: Option<Polygon>,
    /// Of each person, for person checks.
    people: HashMap<u64, Ballot>,
    /// Of the place, for all others.
    place: Ballot,
    episode: Episode,
}

/// The judge of one camera.
#[derive(Debug)]
pub struct CameraJudge {
    options: JudgeOptions,
    schedule: Schedule,
    line: Option<CountLine>,
    capacity: Option<u32>,
    watches: Vec<Watch>,
    tracker: Tracker,
    objects: Vec<Detection>,
    still_life: StillLife,
    count: Count,
    crowd: Crowd,
    crossings: Crossings,
    recent: Recent,
    people: u32,
    said: Option<(UtcMillis, u32)>,
}

impl Watch {
    fn new(setting: &CheckSetting, camera: &Camera) -> Watch {
        let zone = setting.zone.as_ref().and_then(|id| camera.zone(id));
        let least_ms = i64::from(setting.min_duration_s) * 1_000;
        Watch {
            kind: setting.check.info().kind,
            area: zone.map(|zone| zone.area.clone()),
            people: HashMap::new(),
            place: Ballot::new(setting.vote),
            episode: Episode::new(
                i64::from(setting.re_alarm_s) * 1_000,
                CLEAR_MS.max(least_ms.min(30_000)),
            ),
            setting: setting.clone(),
        }
    }

    fn least_ms(&self) -> i64 {
        i64::from(self.setting.min_duration_s) * 1_000
    }

    fn covers(&self, track: &Track) -> bool {
        self.area
            .as_ref()
            .is_none_or(|area| area.contains(track.area.foot()))
    }

    fn forget(&mut self) {
        self.people.clear();
        self.place = Ballot::new(self.setting.vote);
    }

    /// Since when it holds, of anybody or of the place.
    fn holds(&self) -> Option<UtcMillis> {
        let least_ms = self.least_ms();
        let of_people = self.people.values().filter_map(|ballot| ballot.holds(least_ms));
        of_people.chain(self.place.holds(least_ms)).min()
    }

    fn tally(&self, unjudged: u32) -> Tally {
        let ballots = || self.people.values().chain([&self.place]);
        Tally {
            judged: ballots().map(Ballot::judged).sum(),
            positive: ballots().map(Ballot::positives).sum(),
            unjudged,
        }
    }

    fn score(&self) -> Option<f32> {
        let ballots = self.people.values().chain([&self.place]);
        let holding = ballots.filter(|ballot| ballot.holds(self.least_ms()).is_some());
        holding.map(|ballot| ballot.score).max_by(f32::total_cmp)
    }
}

impl CameraJudge {
    /// A judge who has seen nothing.
    #[must_use]
    pub fn new(camera: &Camera, options: JudgeOptions) -> CameraJudge {
        CameraJudge {
            options,
            schedule: camera.schedule.clone(),
            line: camera.line,
            capacity: camera.capacity,
            watches: camera
                .checks
                .iter()
                .map(|setting| Watch::new(setting, camera))
                .collect(),
            tracker: Tracker::default(),
            objects: Vec::new(),
            still_life: StillLife::default(),
            count: Count::default(),
            crowd: Crowd::default(),
            crossings: Crossings::default(),
            recent: Recent::default(),
            people: 0,
            said: None,
        }
    }

    /// The first half of a look: takes in what the detector found at `at` (minute `minute` of the local day) and
    /// answers with what is to be found out about whom.
    pub fn track(&mut self, at: UtcMillis, minute: u16, found: &[Detection]) -> Vec<Ask> {
        let (people, objects): (Vec<_>, Vec<_>) = found.iter().cloned().partition(|d| &*d.label == PERSON);
        self.objects = objects;
        let tracks = self.tracker.update(at, &people);
        let here = tracks.iter().filter(|t| t.is_confirmed() && t.seen == at).count();
        self.people = self.count.observe(u32::try_from(here).unwrap_or(u32::MAX));
        if let Some(line) = &self.line {
            self.crossings.observe(line, tracks);
        }
        for watch in &mut self.watches {
            watch
                .people
                .retain(|id, _| tracks.iter().any(|track| track.id == *id));
        }
        self.questions(at, minute)
    }

    fn questions(&self, at: UtcMillis, minute: u16) -> Vec<Ask> {
        let mut asks: Vec<(Option<UtcMillis>, Ask)> = Vec::new();
        for track in self
            .tracker
            .tracks()
            .iter()
            .filter(|t| t.is_confirmed() && t.seen == at)
        {
            let last_judged = |watch: &Watch| watch.people.get(&track.id).and_then(|b| b.last_judged);
            let due: Vec<&Watch> = self
                .watches
                .iter()
                .filter(|w| w.kind == CheckKind::Person && w.covers(track))
                .filter(|w| self.schedule.covers(w.setting.hours, minute))
                .filter(|w| last_judged(w).is_none_or(|last| at.ms_since(last) >= self.options.ask_every_ms))
                .collect();
            let oldest = due.iter().map(|w| last_judged(w)).min();
            let mut checks: Vec<Check> = due.iter().map(|w| w.setting.check).collect();
            checks.sort_unstable();
            checks.dedup();
            if let (Some(oldest), false) = (oldest, checks.is_empty()) {
                let ask = Ask {
                    track: track.id,
                    area: track.area,
                    checks,
                };
                asks.push((oldest, ask));
            }
        }
        asks.sort_by_key(|(oldest, ask)| (*oldest, ask.track));
        asks.truncate(self.options.max_asks);
        asks.into_iter().map(|(_, ask)| ask).collect()
    }

    /// The second half of a look: weighs the models' answers. `stove` says whether the stove burns, as far as anybody
    /// knows.
    pub fn judge(
        &mut self,
        (at, minute): (UtcMillis, u16),
        people: &[PersonVerdict],
        regions: &[RegionVerdict],
        stove: Option<bool>,
    ) -> Judged {
        self.recent.observe(at, people, regions);
        let mut observations = Vec::new();
        for index in 0..self.watches.len() {
            if self.schedule.covers(self.watches[index].setting.hours, minute) {
                self.cast(index, at, (people, regions), stove);
            } else {
                self.watches[index].forget();
            }
            let watch = &mut self.watches[index];
            let told = watch.episode.step(at, watch.holds());
            observations.extend(told.map(|told| self.sighted(index, at, told)));
        }
        Judged {
            observations,
            series: self.series(at),
            boxes: self.boxes(None),
        }
    }

    /// The camera was connected anew, or its picture changed as a whole: nothing that was seen counts any more.
    /// Answers with the ends of what was told.
    pub fn reset(&mut self, at: UtcMillis) -> Vec<Sighted> {
        self.tracker.reset();
        self.objects.clear();
        self.count.reset();
        self.crossings.reset();
        self.crowd = Crowd::default();
        let mut ended = Vec::new();
        for index in 0..self.watches.len() {
            self.watches[index].forget();
            let told = self.watches[index].episode.reset();
            ended.extend(told.map(|told| self.sighted(index, at, told)));
        }
        ended
    }

    /// Counts this look's votes of one check.
    fn cast(
        &mut self,
        index: usize,
        at: UtcMillis,
        (people, regions): (&[PersonVerdict], &[RegionVerdict]),
        stove: Option<bool>,
    ) {
        let check = self.watches[index].setting.check;
        match self.watches[index].kind {
            CheckKind::Person => self.cast_people(index, at, people),
            CheckKind::Region => {
                let watch = &mut self.watches[index];
                let zone = watch.setting.zone.as_ref();
                let here = regions
                    .iter()
                    .filter(|v| v.check == check && zone == Some(&v.zone));
                for verdict in here {
                    vote(&mut watch.place, at, verdict.verdict);
                }
            }
            CheckKind::Object => {
                let seen = self.object_of(index, at);
                self.watches[index]
                    .place
                    .cast(at, seen.is_some(), seen.unwrap_or(0.0));
            }
            CheckKind::Count => {
                if let Some(holds) = self.counted(index, check, stove) {
                    self.watches[index]
                        .place
                        .cast(at, holds, f32::from(u8::from(holds)));
                }
            }
            // The picture's own quality is watched where pictures are decoded.
            CheckKind::Picture => {}
        }
    }

    fn cast_people(&mut self, index: usize, at: UtcMillis, people: &[PersonVerdict]) {
        let watch = &mut self.watches[index];
        for verdict in people.iter().filter(|v| v.check == watch.setting.check) {
            let track = self.tracker.tracks().iter().find(|t| t.id == verdict.track);
            if track.is_some_and(|track| watch.covers(track)) {
                let empty = Ballot::new(watch.setting.vote);
                let ballot = watch.people.entry(verdict.track).or_insert(empty);
                vote(ballot, at, verdict.verdict);
            }
        }
    }

    /// How sure the detector is of an object that stands for this check, if it sees one that counts.
    fn object_of(&mut self, index: usize, at: UtcMillis) -> Option<f32> {
        let watch = &self.watches[index];
        let mut best: Option<f32> = None;
        for object in &self.objects {
            let counts = self.options.findings.get(&object.label) == Some(&watch.setting.check)
                && watch
                    .setting
                    .sensitivity
                    .is_none_or(|least| object.score >= least)
                && watch
                    .area
                    .as_ref()
                    .is_none_or(|area| area.contains(object.area.centre()))
                && (watch.setting.check != Check::PhoneUse || self.in_a_hand(object));
            if counts && !self.still_life.holds(object, at) {
                best = Some(best.map_or(object.score, |b| b.max(object.score)));
            }
        }
        best
    }

    /// Whether an object lies in the upper part of somebody: a phone on a table is nobody's.
    fn in_a_hand(&self, object: &Detection) -> bool {
        self.tracker.tracks().iter().any(|track| {
            let upper = PictureBox {
                bottom: track.area.top + track.area.height() * 0.75,
                ..track.area
            };
            upper.contains(object.area.centre())
        })
    }

    /// What the number of people says of this check; `None` when nobody can know.
    fn counted(&mut self, index: usize, check: Check, stove: Option<bool>) -> Option<bool> {
        let watch = &self.watches[index];
        let somebody = || {
            self.tracker
                .tracks()
                .iter()
                .any(|t| t.is_confirmed() && watch.covers(t))
        };
        match check {
            Check::OverCapacity => {
                let capacity = self.capacity?;
                Some(self.crowd.observe(self.people, capacity))
            }
            Check::StoveUnattended => Some(stove? && !somebody()),
            _ => Some(somebody()),
        }
    }

    fn sighted(&self, index: usize, at: UtcMillis, told: Told) -> Sighted {
        let watch = &self.watches[index];
        let (state, since) = match told {
            Told::Began(since) => (ObservedState::Began, since),
            Told::Ended(since) => (ObservedState::Ended, since),
        };
        Sighted {
            check: watch.setting.check,
            state,
            at,
            since: Some(since.min(at)),
            zone: watch.setting.zone.clone(),
            score: watch.score(),
            threshold: watch.setting.sensitivity,
            tally: watch.tally(self.recent.unjudged(watch.setting.check)),
            model: None,
            boxes: self.boxes(Some(index)),
            evidence: None,
            origin: Origin::Own,
            detail: String::new(),
        }
    }

    /// What is seen now. Where a person breaks the check at `index`, their box bears the check's name.
    fn boxes(&self, index: Option<usize>) -> Vec<LabelledBox> {
        let watch = index.map(|index| &self.watches[index]);
        let breaks = |track: &Track| {
            let ballot = watch.and_then(|w| Some((w, w.people.get(&track.id)?)));
            ballot
                .filter(|(w, b)| b.holds(w.least_ms()).is_some())
                .map(|(w, _)| w.setting.check)
        };
        let people = self
            .tracker
            .tracks()
            .iter()
            .filter(|t| t.is_confirmed())
            .map(|track| LabelledBox {
                label: breaks(track).map_or(PERSON, Check::code).to_owned(),
                score: track.score,
                area: track.area,
                track: Some(track.id),
            });
        let objects = self.objects.iter().map(|object| LabelledBox {
            label: object.label.to_string(),
            score: object.score,
            area: object.area,
            track: None,
        });
        people.chain(objects).take(MAX_BOXES).collect()
    }

    /// The series' values, when they are due or the number of people changed.
    fn series(&mut self, at: UtcMillis) -> Vec<(Metric, f64)> {
        let due = self
            .said
            .is_none_or(|(last, people)| at.ms_since(last) >= HEARTBEAT_MS || people != self.people);
        if !due {
            return Vec::new();
        }
        self.said = Some((at, self.people));
        let metric = |name: &str| Metric::new(name).expect("a constant that is a valid identifier");
        let mut series = vec![
            (metric("person_count"), f64::from(self.people)),
            (metric("dwell"), people::longest_stay_s(self.tracker.tracks(), at)),
            (metric("unjudged_share"), self.recent.unjudged_share() * 100.0),
        ];
        if self.line.is_some() {
            series.push((metric("people_in"), self.crossings.people_in as f64));
            series.push((metric("people_out"), self.crossings.people_out as f64));
        }
        if let Some(share) = self.recent.compliance_share(None) {
            series.push((metric("compliance_share"), share * 100.0));
        }
        if let Some(share) = self.recent.compliance_share(Some(Check::NoMask)) {
            series.push((metric("mask_share"), share * 100.0));
        }
        let mut states: BTreeMap<Check, bool> = BTreeMap::new();
        for watch in self.watches.iter().filter(|w| w.kind != CheckKind::Picture) {
            *states.entry(watch.setting.check).or_default() |= watch.episode.is_told();
        }
        series.extend(
            states
                .into_iter()
                .map(|(check, told)| (check.metric(), f64::from(u8::from(told)))),
        );
        series
    }

    /// The zones whose state is asked for, each with its check, in their hours.
    pub fn regions(&self, minute: u16) -> impl Iterator<Item = (Check, &DeviceId, &Polygon)> + '_ {
        let asked = self
            .watches
            .iter()
            .filter(move |w| w.kind == CheckKind::Region && self.schedule.covers(w.setting.hours, minute));
        asked.filter_map(|w| Some((w.setting.check, w.setting.zone.as_ref()?, w.area.as_ref()?)))
    }
}

/// Counts a verdict, unless it is none.
fn vote(ballot: &mut Ballot, at: UtcMillis, verdict: Verdict) {
    match verdict {
        Verdict::Positive(score) => ballot.cast(at, true, score),
        Verdict::Negative(score) => ballot.cast(at, false, score),
        Verdict::Unjudged(_) => {}
    }
}

#[cfg(test)]
mod tests;
