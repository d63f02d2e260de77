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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        district,
        equipment::PointKind,
        rhythm::{DAY, HOUR, MINUTE},
    };

    const START: UtcMillis = UtcMillis(1_795_250_000_000);

    /// A limit of the rule packs: what breaks it, and for how long it must be broken.
    type Limit = (PointKind, fn(f64) -> bool, i64);

    const LIMITS: [Limit; 17] = [
        (PointKind::Fridge, |v| v > 8.0, 30 * MINUTE),
        (PointKind::Fridge, |v| v < 0.0, 30 * MINUTE),
        (PointKind::Freezer, |v| v > -12.0, HOUR),
        (PointKind::Freezer, |v| v > -18.0, 4 * HOUR),
        (PointKind::SampleFridge, |v| v > 8.0, 15 * MINUTE),
        (PointKind::SampleFridge, |v| v < 0.0, 30 * MINUTE),
        (PointKind::HotHolding, |v| v < 60.0, 30 * MINUTE),
        (PointKind::HotHolding, |v| v < 62.0, 0),
        (PointKind::SpecialRoom, |v| v > 25.0, 15 * MINUTE),
        (PointKind::Gas, |v| v >= 10.0, 0),
        (PointKind::CarbonMonoxide, |v| v >= 50.0, 0),
        (PointKind::Smoke, |v| v >= 0.5, 0),
        (PointKind::Leak, |v| v >= 0.5, 0),
        (PointKind::Sos, |v| v >= 0.5, 0),
        (PointKind::ColdRoomDoor, |v| v >= 0.5, 300_000),
        (PointKind::Rinse, |v| v < 85.0, 0),
        (PointKind::DryStore, |v| v > 70.0, 2 * HOUR),
    ];

    /// Asks every point once a minute, and at every change of a switch, over `days`; hands each value on in
    /// the canonical unit.
    fn walk(seed: u64, facilities: usize, days: i64, mut see: impl FnMut(usize, PointKind, UtcMillis, f64)) {
        let scenario = Scenario {
            facilities,
            incidents: false,
            ..Scenario::new(seed, START)
        };
        let made = district(seed, facilities);
        let script = Arc::new(Script::new(&scenario, &made));
        for (index, device) in made.devices.iter().enumerate() {
            let mut model = DeviceModel::new(&scenario, &made, &script, index);
            let mut at = START;
            while at < START + days * DAY {
                for (n, written) in model.measure(at).iter().enumerate() {
                    let canonical = domain::Metric::new(written.metric).unwrap().unit();
                    let value = written.unit.convert(written.value, canonical).unwrap();
                    see(device.points.start + n, device.spec.points[n], at, value);
                }
                assert_eq!(model.silent_until(at), None);
                assert!(!model.is_garbled(at) && !model.clock_is_ahead(at));
                at = model.next_moment(at, MINUTE, 0);
            }
        }
    }

    #[test]
    fn a_week_without_incidents_breaks_no_rule() {
        for (seed, facilities) in [(1, 6), (2, 3), (77, 3)] {
            let mut broken_since: HashMap<(usize, usize), UtcMillis> = HashMap::new();
            let mut seen = 0_u32;
            walk(seed, facilities, 7, |point, kind, at, value| {
                seen += 1;
                for (n, (of, breaks, hold_ms)) in LIMITS.iter().enumerate() {
                    if *of != kind {
                        continue;
                    }
                    if !breaks(value) {
                        broken_since.remove(&(point, n));
                        continue;
                    }
                    let since = *broken_since.entry((point, n)).or_insert(at);
                    assert!(
                        at.ms_since(since) < *hold_ms,
                        "seed {seed}: {kind:?} says {value} at {at}"
                    );
                }
            });
            assert!(seen > 300_000, "{seen}");
        }
    }

    #[test]
    fn values_live_in_a_believable_world() {
        let mut sums: HashMap<PointKind, (f64, u32, f64, f64)> = HashMap::new();
        let mut stuck: HashMap<usize, (f64, UtcMillis)> = HashMap::new();
        walk(5, 3, 3, |point, kind, at, value| {
            let sum = sums.entry(kind).or_insert((0.0, 0, f64::MAX, f64::MIN));
            *sum = (sum.0 + value, sum.1 + 1, sum.2.min(value), sum.3.max(value));
            let (last, since) = stuck.entry(point).or_insert((value, at));
            if (*last - value).abs() > 1e-9 {
                (*last, *since) = (value, at);
            }
            let still = kind.is_switch() || at.ms_since(*since) < 2 * HOUR;
            assert!(still, "{kind:?} has been stuck at {value} for two hours");
        });
        let mean = |kind: PointKind| sums[&kind].0 / f64::from(sums[&kind].1);
        assert!(
            (3.0..6.0).contains(&mean(PointKind::Fridge)),
            "{}",
            mean(PointKind::Fridge)
        );
        assert!(
            (-22.5..=-20.0).contains(&mean(PointKind::Freezer)),
            "{}",
            mean(PointKind::Freezer)
        );
        let (_, _, low, high) = sums[&PointKind::Fridge];
        assert!(high - low > 2.0, "a fridge that nobody opens: {low} to {high}");
        assert!(
            (0.002..0.05).contains(&mean(PointKind::ColdRoomDoor)),
            "{}",
            mean(PointKind::ColdRoomDoor)
        );
        assert!(sums[&PointKind::Gas].3 > 2.0, "the stoves are never lit");
        assert!(sums[&PointKind::Gas].2 >= 0.0 && sums[&PointKind::CarbonMonoxide].2 >= 0.0);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// At any moment of any seed, in trouble or not, every sensor stays within what it can measure.
        #[test]
        fn no_sensor_leaves_its_range(seed: u64, offset_ms in -3 * DAY..30 * DAY) {
            let scenario = Scenario { facilities: 1, ..Scenario::new(seed, START) };
            let made = district(seed, 1);
            let script = Arc::new(Script::new(&scenario, &made));
            for (index, device) in made.devices.iter().enumerate() {
                let mut model = DeviceModel::new(&scenario, &made, &script, index);
                let kinds = device.spec.points;
                for (kind, written) in kinds.iter().zip(model.measure(START + offset_ms)) {
                    let (low, high) = match kind {
                        PointKind::Fridge | PointKind::SampleFridge => (0.5, 13.0),
                        PointKind::Freezer => (-25.0, -12.5),
                        PointKind::HotHolding => (47.0, 80.0),
                        PointKind::SpecialRoom => (19.0, 28.0),
                        PointKind::Gas => (0.0, 19.0),
                        PointKind::CarbonMonoxide => (0.0, 25.0),
                        PointKind::Rinse => (85.0, 91.0),
                        PointKind::DryStore => (40.0, 80.0),
                        _ => (0.0, 1.0),
                    };
                    let value = written.value;
                    proptest::prop_assert!((low..=high).contains(&value), "{kind:?} says {value}");
                }
            }
        }
    }
}
