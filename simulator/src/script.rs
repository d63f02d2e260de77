//! The script: what goes wrong, where and when.
//!
//! Three acts. *Past* incidents lie in the two days before the start, so that a newcomer finds cases that
//! have come and gone. The *opening* follows within minutes of the start. After it a slow *cycle* brings
//! one of each kind every few hours, each time elsewhere, so that the district neither sleeps nor drowns.

use std::time::Duration;

use domain::{Point, TimeRange, UtcMillis};

use crate::{
    district::District,
    equipment::{BASE_INTERVAL_S, PointKind},
    noise::{Dice, key},
    rhythm::{HOUR, MINUTE, SECOND},
};

/// What to play.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed of every chance. The same seed, district and start give the same messages.
    pub seed: u64,
    /// The moment at which the live part begins; the script counts from here.
    pub start: UtcMillis,
    /// The moment from which cameras' scripts count: [`crate::CameraFarm::started_at`] where there is a farm.
    pub scene_start: UtcMillis,
    /// Publish the past from here, in large payloads; `None` for no past.
    pub history_from: Option<UtcMillis>,
    /// How many facilities, 1 or more; [`crate::district()`] is to be called with the same number.
    pub facilities: usize,
    /// Whether anything goes wrong. Without incidents no rule of the product's packs is broken.
    pub incidents: bool,
    /// The pace: how often the gas gateways report, 100 ms to 5 s. The others report at multiples of it
    /// (3 to 12 times). Slower than 5 s is taken as 5 s, because points announce their report interval.
    pub report_every: Duration,
}

impl Scenario {
    /// The usual demonstration: 24 facilities, two days of past, incidents, the natural pace.
    #[must_use]
    pub fn new(seed: u64, start: UtcMillis) -> Scenario {
        Scenario {
            seed,
            start,
            scene_start: start,
            history_from: Some(start - 48 * HOUR),
            facilities: 24,
            incidents: true,
            report_every: Duration::from_secs(u64::from(BASE_INTERVAL_S)),
        }
    }

    /// The live report interval, in milliseconds, of a device whose natural one is `natural_s`.
    pub(crate) fn interval_ms(&self, natural_s: u32) -> i64 {
        let base = i64::from(BASE_INTERVAL_S) * SECOND;
        let pace = i64::try_from(self.report_every.as_millis())
            .unwrap_or(base)
            .clamp(100, base);
        i64::from(natural_s) * SECOND * pace / base
    }
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncidentKind {
    /// A fridge's compressor stops; the air warms slowly.
    FridgeFails,
    /// The sample fridge is left ajar.
    SampleFridgeWarm,
    /// The hot holding cabinet is switched off too early.
    HotHoldingCold,
    /// The special room's air conditioning fails.
    SpecialRoomWarm,
    /// A burner goes out and gas gathers, up to 18 %LEL.
    GasRises,
    /// The cold-room door is left open.
    DoorLeftOpen,
    /// Smoke.
    Smoke,
    /// Somebody presses the emergency button.
    SosPressed,
    /// Water on the floor.
    WaterLeak,
    /// The dry store is damp.
    StoreDamp,
    /// A device loses its power: no word, and the broker tells of its will.
    SensorSilent,
    /// A device's clock runs nine minutes ahead.
    ClockAhead,
    /// A device sends a payload that nobody can read.
    Garbage,
}

impl IncidentKind {
    /// Every kind.
    pub const ALL: [IncidentKind; 13] = [
        IncidentKind::FridgeFails,
        IncidentKind::SampleFridgeWarm,
        IncidentKind::HotHoldingCold,
        IncidentKind::SpecialRoomWarm,
        IncidentKind::GasRises,
        IncidentKind::DoorLeftOpen,
        IncidentKind::Smoke,
        IncidentKind::SosPressed,
        IncidentKind::WaterLeak,
        IncidentKind::StoreDamp,
        IncidentKind::SensorSilent,
        IncidentKind::ClockAhead,
        IncidentKind::Garbage,
    ];

    /// The kind of point it befalls.
    const fn place(self) -> PointKind {
        match self {
            IncidentKind::FridgeFails => PointKind::Fridge,
            IncidentKind::SampleFridgeWarm => PointKind::SampleFridge,
            IncidentKind::HotHoldingCold | IncidentKind::ClockAhead => PointKind::HotHolding,
            IncidentKind::SpecialRoomWarm => PointKind::SpecialRoom,
            IncidentKind::GasRises => PointKind::Gas,
            IncidentKind::DoorLeftOpen => PointKind::ColdRoomDoor,
            IncidentKind::Smoke => PointKind::Smoke,
            IncidentKind::SosPressed => PointKind::Sos,
            IncidentKind::WaterLeak => PointKind::Leak,
            IncidentKind::StoreDamp => PointKind::DryStore,
            IncidentKind::SensorSilent => PointKind::Freezer,
            IncidentKind::Garbage => PointKind::Rinse,
        }
    }

    /// Whether it touches how a device speaks rather than what it measures.
    pub(crate) const fn is_of_device(self) -> bool {
        matches!(
            self,
            IncidentKind::SensorSilent | IncidentKind::ClockAhead | IncidentKind::Garbage
        )
    }

    /// How long readings stay unusual after the cause is gone: the longest recovery, generously.
    pub(crate) const AFTERMATH_MS: i64 = 3 * HOUR;
    /// How long before [`Incident::from`] readings may already move: a slow warm-up.
    pub(crate) const LEAD_MS: i64 = 2 * HOUR;
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incident {
    /// What.
    pub kind: IncidentKind,
    /// Where: an index of [`District::points`]. The device's own incidents name one of its points.
    pub point: usize,
    /// When the reading crosses its limit; for a device's own incident, when it begins.
    pub from: UtcMillis,
    /// When the cause is removed; readings may take a while to recover.
    pub until: UtcMillis,
}

/// A line of the script: what, begin and end in milliseconds after some moment.
type Line = (IncidentKind, i64, i64);

const PAST: [Line; 10] = [
    (IncidentKind::FridgeFails, -41 * HOUR, -39 * HOUR),
    (IncidentKind::DoorLeftOpen, -33 * HOUR, -33 * HOUR + 12 * MINUTE),
    (IncidentKind::SosPressed, -30 * HOUR, -30 * HOUR + 5 * MINUTE),
    (IncidentKind::GasRises, -27 * HOUR, -27 * HOUR + 8 * MINUTE),
    (IncidentKind::SampleFridgeWarm, -22 * HOUR, -21 * HOUR),
    (IncidentKind::HotHoldingCold, -18 * HOUR, -17 * HOUR),
    (IncidentKind::SpecialRoomWarm, -14 * HOUR, -13 * HOUR),
    (IncidentKind::Smoke, -11 * HOUR, -11 * HOUR + 6 * MINUTE),
    (IncidentKind::WaterLeak, -9 * HOUR, -9 * HOUR + 20 * MINUTE),
    (IncidentKind::StoreDamp, -7 * HOUR, -4 * HOUR),
];

/// The fridge's limit must be broken for 30 minutes before a case opens: it was crossed just before, so
/// that the case opens within about two minutes of the start.
const OPENING: [Line; 7] = [
    (IncidentKind::FridgeFails, -29 * MINUTE, 45 * MINUTE),
    (IncidentKind::DoorLeftOpen, -4 * MINUTE, 8 * MINUTE),
    (IncidentKind::ClockAhead, 0, CYCLE),
    (IncidentKind::GasRises, 30 * SECOND, 180 * SECOND),
    (IncidentKind::SensorSilent, 40 * SECOND, 15 * MINUTE),
    (IncidentKind::SosPressed, 150 * SECOND, 220 * SECOND),
    (IncidentKind::Smoke, 240 * SECOND, 420 * SECOND),
];

/// How long until everything comes round again, elsewhere.
const CYCLE: i64 = 3 * HOUR;

const REPEATED: [Line; 8] = [
    (IncidentKind::ClockAhead, 0, CYCLE),
    (IncidentKind::FridgeFails, 15 * MINUTE, 75 * MINUTE),
    (IncidentKind::WaterLeak, 40 * MINUTE, 55 * MINUTE),
    (IncidentKind::DoorLeftOpen, 70 * MINUTE, 80 * MINUTE),
    (IncidentKind::GasRises, 95 * MINUTE, 98 * MINUTE),
    (IncidentKind::SosPressed, 120 * MINUTE, 121 * MINUTE),
    (IncidentKind::SensorSilent, 135 * MINUTE, 147 * MINUTE),
    (IncidentKind::Smoke, 160 * MINUTE, 162 * MINUTE),
];

/// Unreadable payloads come one at a time, from another dishwasher each time.
const GARBAGE_EVERY: i64 = 10 * MINUTE;
const GARBAGE_FIRST: i64 = 70 * SECOND;

/// Every incident of the scenario that touches `range`, in order of its beginning.
#[must_use]
pub fn incidents(scenario: &Scenario, district: &District, range: TimeRange) -> Vec<Incident> {
    let mut found = Script::new(scenario, district).within(range);
    found.sort_by_key(|i| i.from);
    found
}

/// The script of one scenario in one district.
#[derive(Debug)]
pub(crate) struct Script {
    start: UtcMillis,
    /// Per kind of point, the points that may be befallen, shuffled. Empty without incidents.
    places: Vec<(PointKind, Vec<usize>)>,
    /// A garbled payload takes the place of exactly one report.
    garbage_ms: i64,
}

impl Script {
    pub(crate) fn new(scenario: &Scenario, district: &District) -> Script {
        let places = if scenario.incidents {
            places(scenario.seed, district)
        } else {
            Vec::new()
        };
        let garbage_ms = scenario.interval_ms(crate::equipment::DISHWASHER.interval_s);
        Script {
            start: scenario.start,
            places,
            garbage_ms,
        }
    }

    /// Incidents whose effect reaches into `range`.
    pub(crate) fn within(&self, range: TimeRange) -> Vec<Incident> {
        if self.places.is_empty() {
            return Vec::new();
        }
        let reach = TimeRange {
            from: range.from - IncidentKind::AFTERMATH_MS,
            to: range.to + IncidentKind::LEAD_MS,
        };
        let touches = |i: &Incident| i.from < reach.to && reach.from < i.until;
        let mut found = Vec::new();
        // The opening must not fall on whom the past has befallen: its turn is counted after it.
        self.play(&PAST, self.start, 0, &mut found);
        self.play(&OPENING, self.start, 1, &mut found);
        let cycle_at = |at: UtcMillis| at.ms_since(self.start).div_euclid(CYCLE);
        for cycle in cycle_at(reach.from).max(1)..=cycle_at(reach.to) {
            let turn = usize::try_from(cycle).unwrap_or(0) + 1;
            self.play(&REPEATED, self.start + cycle * CYCLE, turn, &mut found);
        }
        let garbled_at = |at: UtcMillis| (at.ms_since(self.start) - GARBAGE_FIRST).div_euclid(GARBAGE_EVERY);
        for n in garbled_at(reach.from).max(0)..=garbled_at(reach.to) {
            let from = GARBAGE_FIRST + n * GARBAGE_EVERY;
            let line = [(IncidentKind::Garbage, from, from + self.garbage_ms)];
            self.play(&line, self.start, usize::try_from(n).unwrap_or(0), &mut found);
        }
        found.retain(touches);
        found
    }

    fn play(&self, lines: &[Line], zero: UtcMillis, turn: usize, into: &mut Vec<Incident>) {
        for (kind, from, until) in lines {
            if let Some(point) = self.pick(*kind, turn) {
                into.push(Incident {
                    kind: *kind,
                    point,
                    from: zero + *from,
                    until: zero + *until,
                });
            }
        }
    }

    /// The point that `kind` befalls in its `turn`.
    fn pick(&self, kind: IncidentKind, turn: usize) -> Option<usize> {
        let (_, points) = self.places.iter().find(|(place, _)| *place == kind.place())?;
        points.get(turn % points.len().max(1)).copied()
    }
}

/// Points of each kind, shuffled so that one facility is not befallen by everything at once: the kinds
/// walk through the same shuffled facilities from different places.
fn places(seed: u64, district: &District) -> Vec<(PointKind, Vec<usize>)> {
    let mut order: Vec<usize> = (0..district.facilities.len()).collect();
    let mut dice = Dice::new(key(seed, 0x5C21_7000));
    for n in (1..order.len()).rev() {
        order.swap(n, dice.whole(0, u32::try_from(n).unwrap_or(0)) as usize);
    }
    let mut made = Vec::with_capacity(PointKind::ALL.len());
    for (index, kind) in PointKind::ALL.into_iter().enumerate() {
        let spec = kind.spec();
        let here = |p: &Point, facility: usize| {
            p.facility == district.facilities[facility].id && p.point_type == spec.point_type
        };
        let shift = index * 2;
        let points = (0..order.len())
            .filter_map(|n| {
                let facility = order[(n + shift) % order.len()];
                district.points.iter().position(|p| here(p, facility))
            })
            .collect();
        made.push((kind, points));
    }
    made
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::district;

    const START: UtcMillis = UtcMillis(1_795_250_000_000);

    fn all(facilities: usize, hours: i64) -> (District, Vec<Incident>) {
        let made = district(11, facilities);
        let scenario = Scenario {
            facilities,
            ..Scenario::new(11, START)
        };
        let range = TimeRange {
            from: START - 48 * HOUR,
            to: START + hours * HOUR,
        };
        let found = incidents(&scenario, &made, range);
        (made, found)
    }

    #[test]
    fn everything_happens_and_most_facilities_stay_healthy() {
        let (made, found) = all(24, 0);
        let kinds: HashSet<_> = all(24, 1).1.iter().map(|i| i.kind).collect();
        for kind in IncidentKind::ALL {
            assert!(kinds.contains(&kind), "{kind:?} never happens");
        }
        let live: HashSet<_> = found
            .iter()
            .filter(|i| i.until > START && i.from < START + 8 * MINUTE && i.kind != IncidentKind::ClockAhead)
            .map(|i| made.points[i.point].facility.clone())
            .collect();
        assert!(
            (4..=9).contains(&live.len()),
            "{} facilities in trouble",
            live.len()
        );
    }

    #[test]
    fn incidents_of_a_span_do_not_depend_on_how_it_is_cut() {
        let made = district(11, 24);
        let script = Script::new(&Scenario::new(11, START), &made);
        let whole = script.within(TimeRange {
            from: START,
            to: START + 24 * HOUR,
        });
        for hour in 0..24 {
            let part = TimeRange {
                from: START + hour * HOUR,
                to: START + (hour + 1) * HOUR,
            };
            for incident in script.within(part) {
                assert!(
                    whole.contains(&incident) || incident.from >= START + 24 * HOUR,
                    "{incident:?}"
                );
            }
        }
        assert!(whole.len() > 150, "{}", whole.len());
    }

    #[test]
    fn the_cycle_moves_on() {
        let (_, found) = all(24, 24);
        let fridges: Vec<_> = found
            .iter()
            .filter(|i| i.kind == IncidentKind::FridgeFails && i.from > START)
            .map(|i| i.point)
            .collect();
        assert!(fridges.len() >= 7, "{fridges:?}");
        assert_eq!(fridges.iter().collect::<HashSet<_>>().len(), fridges.len());
    }

    #[test]
    fn a_single_facility_can_play_everything_and_peace_is_possible() {
        let kinds: HashSet<_> = all(1, 1).1.iter().map(|i| i.kind).collect();
        assert_eq!(kinds.len(), IncidentKind::ALL.len());
        let made = district(11, 2);
        let calm = Scenario {
            incidents: false,
            ..Scenario::new(11, START)
        };
        let range = TimeRange {
            from: START - 48 * HOUR,
            to: START + 48 * HOUR,
        };
        assert_eq!(incidents(&calm, &made, range), []);
    }
}
