//! One device, ready to be asked: what it measures at a moment, when it next speaks, what ails it.

use std::sync::Arc;

use domain::{TimeRange, Unit, UtcMillis, address};

use crate::{
    district::District,
    noise::key,
    payload::{Form, Written},
    physics::Nature,
    rhythm::{LocalDay, MINUTE, Opening},
    script::{Incident, IncidentKind, Scenario, Script},
};

/// How far a wrong clock runs ahead.
pub(crate) const CLOCK_AHEAD_MS: i64 = 9 * MINUTE;

/// A device of the district with everything that its readings depend on. What depends on the day only is
/// kept from one question to the next.
#[derive(Debug)]
pub(crate) struct DeviceModel {
    /// The device's index in the district.
    pub(crate) index: usize,
    /// Its topics' beginning, with the closing slash.
    pub(crate) root: String,
    pub(crate) form: Form,
    pub(crate) interval_ms: i64,
    /// A key of its own, for phases.
    pub(crate) key: u64,
    script: Arc<Script>,
    points: Vec<PointModel>,
    day: Option<LocalDay>,
    /// Incidents of this device that the day may feel.
    incidents: Vec<Incident>,
    /// Moments at which a switch of this device changes, in order.
    changes: Vec<UtcMillis>,
}

#[derive(Debug)]
struct PointModel {
    index: usize,
    metric: String,
    /// The unit in which the nature speaks, and the one in which the device writes.
    canonical: Unit,
    unit: Unit,
    is_switch: bool,
    nature: Nature,
    openings: Vec<Opening>,
    incidents: Vec<Incident>,
}

impl DeviceModel {
    /// The model of device `index`.
    ///
    /// # Panics
    /// When the district has no such device.
    pub(crate) fn new(
        scenario: &Scenario,
        district: &District,
        script: &Arc<Script>,
        index: usize,
    ) -> DeviceModel {
        let device = &district.devices[index];
        let kinds = device.points.clone().zip(device.spec.points);
        let points = kinds.map(|(index, kind)| {
            let point = &district.points[index];
            PointModel {
                index,
                metric: point.metric.as_str().to_owned(),
                canonical: point.metric.unit(),
                unit: point.unit,
                is_switch: kind.is_switch(),
                nature: Nature::new(*kind, key(scenario.seed, index as u64 + 1_000_000)),
                openings: Vec::new(),
                incidents: Vec::new(),
            }
        });
        DeviceModel {
            index,
            root: address::device_root(&device.facility, &device.device),
            form: device.spec.form,
            interval_ms: scenario.interval_ms(device.spec.interval_s),
            key: key(scenario.seed, index as u64 + 2_000_000),
            script: Arc::clone(script),
            points: points.collect(),
            day: None,
            incidents: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// How many values one report holds.
    pub(crate) fn width(&self) -> usize {
        self.points.len()
    }

    /// What the device measures at `at`, as it writes it.
    pub(crate) fn measure(&mut self, at: UtcMillis) -> Vec<Written<'_>> {
        self.turn_to(at);
        self.points.iter().map(|point| point.measure(at)).collect()
    }

    /// The next moment after `after` at which the device speaks, when it does so every `step_ms`, at
    /// `phase_ms` past the full step, and whenever one of its switches changes.
    pub(crate) fn next_moment(&mut self, after: UtcMillis, step_ms: i64, phase_ms: i64) -> UtcMillis {
        self.turn_to(after);
        let steps = (after.0 - phase_ms).div_euclid(step_ms) + 1;
        let regular = UtcMillis(steps * step_ms + phase_ms);
        let change = self.changes.get(self.changes.partition_point(|at| *at <= after));
        change.map_or(regular, |at| regular.min(*at))
    }

    /// When the device's silence at `at` ends, if it is silent then.
    pub(crate) fn silent_until(&mut self, at: UtcMillis) -> Option<UtcMillis> {
        self.ails(IncidentKind::SensorSilent, at)
    }

    /// Whether its clock is wrong at `at`.
    pub(crate) fn clock_is_ahead(&mut self, at: UtcMillis) -> bool {
        self.ails(IncidentKind::ClockAhead, at).is_some()
    }

    /// Whether it sends garbage at `at`.
    pub(crate) fn is_garbled(&mut self, at: UtcMillis) -> bool {
        self.ails(IncidentKind::Garbage, at).is_some()
    }

    fn ails(&mut self, kind: IncidentKind, at: UtcMillis) -> Option<UtcMillis> {
        self.turn_to(at);
        let covers = |i: &&Incident| i.kind == kind && i.from <= at && at < i.until;
        self.incidents.iter().filter(covers).map(|i| i.until).max()
    }

    /// Makes ready for the day of `at`.
    fn turn_to(&mut self, at: UtcMillis) {
        let day = LocalDay::of(at);
        if self.day == Some(day) {
            return;
        }
        self.day = Some(day);
        let range = TimeRange {
            from: day.start(),
            to: day.next().start(),
        };
        let mine = |i: &Incident| self.points.iter().any(|p| p.index == i.point);
        self.incidents = self.script.within(range);
        self.incidents.retain(mine);
        self.changes.clear();
        for point in &mut self.points {
            point.openings = point.nature.openings(day);
            let its = |i: &&Incident| i.point == point.index && !i.kind.is_of_device();
            point.incidents = self.incidents.iter().filter(its).copied().collect();
            if point.is_switch {
                let openings = point.openings.iter().copied();
                let incidents = point.incidents.iter().map(|i| (i.from, i.until));
                self.changes
                    .extend(openings.chain(incidents).flat_map(|(from, to)| [from, to]));
            }
        }
        self.changes.sort_unstable();
    }
}

impl PointModel {
    fn measure(&self, at: UtcMillis) -> Written<'_> {
        let value = self.nature.measure(at, &self.openings, &self.incidents);
        let value = match self.canonical.convert(value, self.unit) {
            Some(other) if self.unit != self.canonical => (other * 10.0).round() / 10.0,
            _ => value,
        };
        Written {
            metric: &self.metric,
            unit: self.unit,
            value,
        }
    }
}
