//! One check of one camera, as it stands.

use std::collections::BTreeMap;

use domain::{
    Camera, Check, CheckSetting, DeviceId, Metric, Polygon, UtcMillis, check::CheckKind, observation::Tally,
};

use super::{
    JudgeOptions,
    ballot::{Ballot, Terms},
    episode::{Change, Episode, Held, Pace},
    objects::Objects,
    places::{Place, Places},
};
use crate::{seen::Verdict, track::Track};

/// The subject of a check that is of no person and no object, but of a place. No track is called so.
pub(super) const THE_PLACE: u64 = 0;

/// A check setting, and the votes on whoever and whatever it is about.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) setting: CheckSetting,
    pub(super) kind: CheckKind,
    pub(super) place: Place,
    /// The area of the zone; `None` for the whole picture.
    pub(super) area: Option<Polygon>,
    pub(super) metric: Metric,
    /// The objects that stand for it; `None` when it is judged by verdicts.
    pub(super) objects: Option<Objects>,
    /// How sure a model must be, where it is not left to the verdict.
    pub(super) threshold: Option<f32>,
    /// Whether it may be told at all, or is only shown.
    pub(super) may_tell: bool,
    /// When a verdict was last asked for: by track, or for [`THE_PLACE`].
    pub(super) asked: BTreeMap<u64, UtcMillis>,
    ballots: BTreeMap<u64, Ballot>,
    episode: Episode,
    terms: Terms,
    pace: Pace,
    /// The looks since the episode last took them in.
    looks: Tally,
    /// The looks since shares were last told.
    pub(super) told_looks: Tally,
}

impl Watch {
    /// `None` when it can never be made: its zone is not the camera's, or it is judged elsewhere.
    pub(super) fn new(setting: &CheckSetting, camera: &Camera, options: &JudgeOptions) -> Option<Watch> {
        let kind = setting.check.info().kind;
        let zone = |id: &DeviceId| camera.zones.iter().position(|zone| zone.id == *id);
        let place = match &setting.zone {
            Some(id) => Some(zone(id)?),
            None => None,
        };
        // A part of the picture must be named, and picture quality is not a matter of models.
        if kind == CheckKind::Picture || (kind == CheckKind::Region && place.is_none()) {
            return None;
        }
        let threshold = options.thresholds.get(&setting.check).copied();
        let labels = options
            .labels
            .iter()
            .filter(|(_, check)| **check == setting.check);
        let labels: Vec<_> = labels.map(|(label, _)| label.clone()).collect();
        let objects = (!labels.is_empty() && kind != CheckKind::Count).then(|| {
            let least = setting.sensitivity.or(threshold).unwrap_or(0.0);
            Objects::new(
                labels,
                setting.check,
                least,
                options.tracking.lost_ms,
                options.static_ms,
            )
        });
        let terms = Terms::of(setting);
        Some(Watch {
            kind,
            place,
            area: place.map(|zone| camera.zones[zone].area.clone()),
            metric: setting.check.metric(),
            objects,
            threshold: setting.sensitivity.or(threshold),
            may_tell: !options.display_only.contains(&setting.check),
            asked: BTreeMap::new(),
            ballots: BTreeMap::new(),
            episode: Episode::default(),
            terms,
            pace: Pace {
                clear_ms: options.clear_ms,
                grace_ms: terms.min_ms,
                re_alarm_ms: i64::from(setting.re_alarm_s) * 1_000,
            },
            looks: Tally::default(),
            told_looks: Tally::default(),
            setting: setting.clone(),
        })
    }

    pub(super) fn check(&self) -> Check {
        self.setting.check
    }

    /// Whether persons have to be asked about: it is of persons, and no detector answers it.
    pub(super) fn asks_for_persons(&self) -> bool {
        self.kind == CheckKind::Person && self.objects.is_none()
    }

    /// Whether a part of the picture has to be asked about.
    pub(super) fn asks_for_region(&self) -> bool {
        self.kind == CheckKind::Region && self.objects.is_none()
    }

    /// Takes in a verdict.
    pub(super) fn vote(&mut self, at: UtcMillis, subject: u64, verdict: Verdict) {
        let sensitivity = self.setting.sensitivity;
        self.look(
            at,
            subject,
            match verdict {
                Verdict::Positive(p) => Some((sensitivity.is_none_or(|least| p >= least), p)),
                Verdict::Negative(p) => Some((sensitivity.is_some_and(|least| p >= least), p)),
                Verdict::Unjudged(_) => None,
            },
        );
    }

    /// Takes in that an object was looked for and found with this score, or not found. Objects are held against the
    /// sensitivity where they are followed: a track lives on less than it begins with.
    pub(super) fn found(&mut self, at: UtcMillis, subject: u64, score: Option<f32>) {
        self.look(at, subject, Some((score.is_some(), score.unwrap_or(0.0))));
    }

    /// Takes in a look: whether it was positive and with which probability, or that it could not be judged. A
    /// probability that is no number cannot be judged either.
    fn look(&mut self, at: UtcMillis, subject: u64, judged: Option<(bool, f32)>) {
        let ballot = self.ballots.entry(subject).or_default();
        let mut look = Tally::default();
        if let Some((positive, probability)) = judged.filter(|(_, probability)| probability.is_finite()) {
            ballot.judged(at, (positive, probability), self.terms);
            look.judged = 1;
            look.positive = u32::from(positive);
        } else {
            ballot.unjudged(at);
            look.unjudged = 1;
        }
        for tally in [&mut self.looks, &mut self.told_looks] {
            tally.judged = tally.judged.saturating_add(look.judged);
            tally.positive = tally.positive.saturating_add(look.positive);
            tally.unjudged = tally.unjudged.saturating_add(look.unjudged);
        }
    }

    /// Forgets what was said of a subject.
    pub(super) fn dismiss(&mut self, subject: u64) {
        self.ballots.remove(&subject);
    }

    /// Forgets what was said of everybody: the check is not made now.
    pub(super) fn dismiss_all(&mut self) {
        self.ballots.clear();
    }

    /// Forgets those who are gone or elsewhere, and what is too old.
    pub(super) fn keep(&mut self, at: UtcMillis, people: &[Track], places: &Places) {
        let lives = |id: u64| people.iter().any(|track| track.id == id);
        let of_things = self
            .objects
            .as_ref()
            .filter(|objects| !objects.manner.is_of_a_person());
        self.ballots.retain(|id, ballot| {
            ballot.forget_if_stale(at);
            *id == THE_PLACE
                || match of_things {
                    Some(objects) => objects.is_followed(*id),
                    None => lives(*id) && places.is_in(*id, self.place),
                }
        });
        self.asked.retain(|id, _| *id == THE_PLACE || lives(*id));
    }

    /// What was said of a subject.
    pub(super) fn ballot(&self, subject: u64) -> Option<&Ballot> {
        self.ballots.get(&subject)
    }

    /// The subjects of whom it holds for sure.
    pub(super) fn sure(&self, at: UtcMillis) -> impl Iterator<Item = (u64, &Ballot)> {
        let convinces = move |id: u64| self.objects.as_ref().is_none_or(|o| o.is_convincing(at, id));
        let sure = self
            .ballots
            .iter()
            .filter(move |(id, ballot)| ballot.is_sure() && convinces(**id));
        sure.map(|(id, ballot)| (*id, ballot))
    }

    /// Brings the episode up to this moment.
    pub(super) fn step(&mut self, at: UtcMillis, last_told: &mut Option<UtcMillis>) -> Option<Change> {
        let looks = std::mem::take(&mut self.looks);
        if !self.may_tell {
            return None;
        }
        let held = self.sure(at).filter_map(held_by).reduce(both);
        self.episode.add(looks);
        self.episode.step(at, held, self.pace, last_told)
    }

    /// Whether an episode runs that was told.
    pub(super) fn is_told(&self) -> bool {
        self.episode.is_told()
    }

    /// Forgets what was seen; an episode that runs goes on until it could be shown again.
    pub(super) fn reset(&mut self) {
        self.ballots.clear();
        self.asked.clear();
        self.episode.begin_anew();
        if let Some(objects) = &mut self.objects {
            objects.reset();
        }
    }

    /// The clock stepped back to `at`.
    pub(super) fn clock_stepped_back(&mut self, at: UtcMillis) {
        self.episode.clock_stepped_back(at);
    }
}

fn held_by((_, ballot): (u64, &Ballot)) -> Option<Held> {
    Some(Held {
        since: ballot.sure_since()?,
        score: ballot.score(),
        tally: ballot.tally(),
    })
}

/// Several at once are one: it holds since the first of them.
fn both(one: Held, other: Held) -> Held {
    Held {
        since: one.since.min(other.since),
        score: one.score.max(other.score),
        tally: Tally {
            judged: one.tally.judged.saturating_add(other.tally.judged),
            positive: one.tally.positive.saturating_add(other.tally.positive),
            unjudged: one.tally.unjudged.saturating_add(other.tally.unjudged),
        },
    }
}
