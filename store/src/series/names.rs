//! Series keys and their numbers, in memory.

use std::collections::{BTreeMap, BTreeSet};

use domain::{DeviceId, FacilityId, Metric, SeriesId, SeriesKey};

/// Numbers are given in order, without gaps, and never change.
#[derive(Default)]
pub(super) struct Names {
    keys: Vec<SeriesKey>,
    by_facility: BTreeMap<FacilityId, BTreeMap<(DeviceId, Metric), SeriesId>>,
    /// One copy of each metric's name for all series.
    metrics: BTreeSet<Metric>,
}

impl Names {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.keys.len()).expect("series are numbered in u32")
    }

    /// Keys whose number is at least `from`, in the order of their numbers.
    pub(super) fn since(&self, from: u32) -> &[SeriesKey] {
        &self.keys[from as usize..]
    }

    pub(super) fn key(&self, series: SeriesId) -> Option<&SeriesKey> {
        self.keys.get(series.0 as usize)
    }

    pub(super) fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        // The pair is cloned to look it up: two reference counts, no text.
        let pair = (key.device.clone(), key.metric.clone());
        self.by_facility.get(&key.facility)?.get(&pair).copied()
    }

    /// Gives a key that is not known yet the next number.
    pub(super) fn add(&mut self, key: &SeriesKey) -> SeriesId {
        let id = SeriesId(self.len());
        let metric = match self.metrics.get(&key.metric) {
            Some(known) => known.clone(),
            None => {
                self.metrics.insert(key.metric.clone());
                key.metric.clone()
            }
        };
        let facility = match self.by_facility.get_key_value(&key.facility) {
            Some((known, _)) => known.clone(),
            None => key.facility.clone(),
        };
        let of_facility = self.by_facility.entry(facility.clone()).or_default();
        of_facility.insert((key.device.clone(), metric.clone()), id);
        self.keys.push(SeriesKey {
            facility,
            device: key.device.clone(),
            metric,
        });
        id
    }

    /// The series of all facilities that `wanted` allows, in key order.
    pub(super) fn all(&self, wanted: impl Fn(&FacilityId) -> bool) -> Vec<(SeriesKey, SeriesId)> {
        let facilities = self.by_facility.keys().filter(|facility| wanted(facility));
        facilities
            .flat_map(|facility| self.of_facility(facility))
            .collect()
    }

    /// The series of one facility in key order.
    pub(super) fn of_facility(&self, facility: &FacilityId) -> Vec<(SeriesKey, SeriesId)> {
        let Some((facility, series)) = self.by_facility.get_key_value(facility) else {
            return Vec::new();
        };
        let key = |(device, metric): &(DeviceId, Metric)| SeriesKey {
            facility: facility.clone(),
            device: device.clone(),
            metric: metric.clone(),
        };
        series.iter().map(|(pair, id)| (key(pair), *id)).collect()
    }
}
