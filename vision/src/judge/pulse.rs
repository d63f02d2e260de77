//! What is told again and again: a number for each check, counts, shares, stays. Silence is not health, so each comes
//! at least as often as the heartbeat, and at once when it changes.

use std::collections::BTreeMap;

use domain::{Camera, Check, Metric, UtcMillis, check::CheckKind};

use super::{
    places::{Place, Places},
    watch::Watch,
};
use crate::track::Track;

/// Somebody who was judged counts in shares for so long, in milliseconds.
const JUDGED_LATELY_MS: i64 = 60_000;

/// The series of one camera.
#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat_ms: i64,
    last_beat: Option<UtcMillis>,
    /// What was last told of those that are told when they change.
    last: BTreeMap<Metric, f64>,
    places: Vec<(Place, PlaceMetrics)>,
}

/// The metrics of a place. A zone whose identifier is too long for a metric's name has none.
#[derive(Debug)]
struct PlaceMetrics {
    count: Option<Metric>,
    dwell: Option<Metric>,
}

impl Pulse {
    pub(super) fn new(camera: &Camera, places: &Places, heartbeat_ms: i64) -> Pulse {
        let name = |base: &str, place: Place| match place {
            None => Metric::new(base).ok(),
            Some(zone) => Metric::new(&format!("{base}.{}", camera.zones[zone].id)).ok(),
        };
        let metrics = |place| PlaceMetrics {
            count: name("person_count", place),
            dwell: name("dwell", place),
        };
        Pulse {
            heartbeat_ms,
            last_beat: None,
            last: BTreeMap::new(),
            places: places.all().map(|place| (place, metrics(place))).collect(),
        }
    }

    /// What is to be told at this moment.
    pub(super) fn beat(
        &mut self,
        at: UtcMillis,
        watches: &mut [Watch],
        places: &mut Places,
        people: &[Track],
    ) -> Vec<(Metric, f64)> {
        let due = self
            .last_beat
            .is_none_or(|last| !(0..self.heartbeat_ms).contains(&at.ms_since(last)));
        let mut told = Vec::new();
        for (metric, holds) in checks(watches) {
            self.tell(&mut told, due, metric, f64::from(u8::from(holds)));
        }
        let counts: Vec<(Metric, u32)> = self
            .places
            .iter()
            .filter_map(|(place, metrics)| Some((metrics.count.clone()?, places.count(*place)?)))
            .collect();
        for (metric, count) in counts {
            self.tell(&mut told, due, metric, f64::from(count));
        }
        if due {
            self.last_beat = Some(at);
            self.since_last_beat(&mut told, watches, places);
            shares(at, watches, people, &mut told);
        }
        told
    }

    fn tell(&mut self, told: &mut Vec<(Metric, f64)>, due: bool, metric: Metric, value: f64) {
        if due || self.last.get(&metric) != Some(&value) {
            self.last.insert(metric.clone(), value);
            told.push((metric, value));
        }
    }

    /// Numbers that are of the time since the last beat.
    fn since_last_beat(&self, told: &mut Vec<(Metric, f64)>, watches: &mut [Watch], places: &mut Places) {
        for (place, metrics) in &self.places {
            let stays = places.take_stays(*place);
            if let Some(dwell) = &metrics.dwell
                && stays.ended > 0
            {
                let mean_s = stays.ms as f64 / 1_000.0 / f64::from(stays.ended);
                told.push((dwell.clone(), mean_s));
            }
        }
        if let Some(passed) = places.take_passed() {
            told.push((metric("people_in"), f64::from(passed.inwards)));
            told.push((metric("people_out"), f64::from(passed.outwards)));
        }
        let (mut all, mut unjudged) = (0, 0);
        for watch in watches {
            let looks = std::mem::take(&mut watch.told_looks);
            if watch.asks_for_persons() || watch.asks_for_region() {
                all += u64::from(looks.judged) + u64::from(looks.unjudged);
                unjudged += u64::from(looks.unjudged);
            }
        }
        told.extend(per_cent(unjudged, all).map(|share| (metric("unjudged_share"), share)));
    }
}

/// Whether each check holds, in whichever zone; only of those that may be told.
fn checks(watches: &[Watch]) -> BTreeMap<Metric, bool> {
    let mut holds = BTreeMap::new();
    for watch in watches.iter().filter(|watch| watch.may_tell) {
        *holds.entry(watch.metric.clone()).or_insert(false) |= watch.is_told();
    }
    holds
}

/// The shares of people who were judged lately: with a mask, and with nothing amiss. Nothing when nobody was.
fn shares(at: UtcMillis, watches: &[Watch], people: &[Track], told: &mut Vec<(Metric, f64)>) {
    let is_of_persons = |watch: &&Watch| watch.kind == CheckKind::Person;
    let amiss = |track: u64, check: Option<Check>| {
        let watches = watches.iter().filter(is_of_persons);
        let asked = watches.filter(|watch| check.is_none_or(|check| watch.check() == check));
        asked
            .filter_map(|watch| watch.ballot(track))
            .filter(|ballot| {
                let judged = ballot.judged_at();
                judged.is_some_and(|judged| at.ms_since(judged) <= JUDGED_LATELY_MS)
            })
            .map(super::ballot::Ballot::leans)
            .reduce(|one, other| one | other)
    };
    for (name, check) in [("compliance_share", None), ("mask_share", Some(Check::NoMask))] {
        let judged: Vec<bool> = people.iter().filter_map(|track| amiss(track.id, check)).collect();
        let good = judged.iter().filter(|amiss| !**amiss).count();
        let share = per_cent(good as u64, judged.len() as u64);
        told.extend(share.map(|share| (metric(name), share)));
    }
}

fn per_cent(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| 100.0 * part as f64 / all as f64)
}

fn metric(name: &str) -> Metric {
    Metric::new(name).expect("the names of our own metrics are identifiers")
}
