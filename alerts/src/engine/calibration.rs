//! Calibrations that run out: the days left of each device's calibration are judged like any other value.
//!
//! Nobody sends them. Each hour of log time the days that are left follow from the due date on record and the moment of
//! that tick, and from nothing else: a replay sees the same values at the same moments. So packs, a facility's own
//! numbers, shelves and windows hold for them as for every other rule.

use std::collections::BTreeMap;

use domain::{
    Calibration, DeviceId, FacilityId, Judge, Metric, Point, Quality, Reading, SeriesId, SeriesKey,
    Transition, Unit, UtcMillis,
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// How often a reading is said to be due, in seconds: what is computed each hour is never silent.
const REPORT_INTERVAL_S: u32 = 86_400;

/// The due dates of all calibrations, the earliest of each device.
#[derive(Debug, Default)]
pub(super) struct DueDates {
    due: BTreeMap<SeriesKey, UtcMillis>,
    /// The hour of log time whose values were judged.
    hour: Option<i64>,
}

impl DueDates {
    /// The due dates of `calibrations`, when judgement stands at `log_time`.
    pub(super) fn new(calibrations: &[Calibration], log_time: Option<UtcMillis>) -> DueDates {
        let mut earliest: BTreeMap<(&FacilityId, &DeviceId), UtcMillis> = BTreeMap::new();
        for calibration in calibrations {
            let Some(due) = calibration.due else { continue };
            let device = (&calibration.key.facility, &calibration.key.device);
            let known = earliest.entry(device).or_insert(due);
            *known = due.min(*known);
        }
        let key = |(facility, device): (&FacilityId, &DeviceId)| SeriesKey {
            facility: facility.clone(),
            device: device.clone(),
            metric: days_left(),
        };
        DueDates {
            due: earliest
                .into_iter()
                .map(|(device, due)| (key(device), due))
                .collect(),
            hour: log_time.map(hour_of),
        }
    }

    /// Adds a point for each device that has a due date, unless somebody reports its days himself.
    pub(super) fn add_points(&self, points: &mut Vec<Point>) {
        let known: Vec<SeriesKey> = points
            .iter()
            .filter(|point| point.metric == days_left())
            .map(Point::key)
            .collect();
        let missing = self.due.keys().filter(|key| !known.contains(key));
        points.extend(missing.map(|key| Point {
            facility: key.facility.clone(),
            device: key.device.clone(),
            metric: key.metric.clone(),
            unit: Unit::Day,
            point_type: "calibration".to_owned(),
            place_zh: key.device.to_string(),
            place_en: key.device.to_string(),
            report_interval_s: REPORT_INTERVAL_S,
        }));
    }

    /// Judges the days that are left at the tick `at`, once in each hour of log time.
    pub(super) fn judge(&mut self, judge: &mut Judge, at: UtcMillis, out: &mut Vec<Transition>) {
        if self.due.is_empty() || self.hour == Some(hour_of(at)) {
            return;
        }
        self.hour = Some(hour_of(at));
        for (key, due) in &self.due {
            let Some(point) = judge.point(key) else { continue };
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years fit")]
            let value = due.ms_since(at) as f64 / DAY_MS as f64;
            let reading = Reading {
                series: SeriesId(0),
                at,
                received: at,
                value,
                // It says nothing about the device's clock.
                quality: Quality::NoDeviceTime,
            };
            judge.reading(point, &reading, out);
        }
    }
}

fn days_left() -> Metric {
    Metric::new("calibration_days_left").expect("a name of ours is a metric")
}

fn hour_of(at: UtcMillis) -> i64 {
    at.0.div_euclid(HOUR_MS)
}
