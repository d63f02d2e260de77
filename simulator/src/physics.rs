//! How a measured value moves in the normal course and in trouble.
//!
//! A fridge's air is a level of its own plus the compressor's saw-tooth, the warmth of the day, doors
//! opened while meals are prepared, the morning's delivery and defrosting. Every term is a function of
//! the moment, so a value needs no history.

use domain::UtcMillis;

use crate::{
    equipment::PointKind,
    noise::{Dice, bell, key, wander},
    rhythm::{
        COOKING, DoorUse, HOUR, LocalDay, MINUTE, Opening, SECOND, SERVING, WASHING, busy, openings, share,
        time_of_day, warmth,
    },
    script::{Incident, IncidentKind},
};

/// A cold cabinet's nature.
#[derive(Debug, Clone, Copy)]
struct Cabinet {
    level: f64,
    /// Half the compressor's swing, in °C.
    swing: f64,
    period_ms: i64,
    /// How much 30 s of open door add, in °C.
    door: f64,
    /// How much defrosting adds, in °C, and when it begins, in minutes of the day.
    defrost: f64,
    defrost_at: &'static [i64],
    /// How much the morning's delivery adds, in °C.
    delivery: f64,
}

/// Everything that never changes about one point.
#[derive(Debug, Clone)]
pub(crate) struct Nature {
    kind: PointKind,
    seed: u64,
    level: f64,
    period_ms: i64,
}

/// Defrosting keeps away from the hours of cooking, as its timer is set to.
const DEFROST_TWICE: [i64; 2] = [150, 1290];
const DEFROST_THRICE: [i64; 3] = [120, 840, 1320];

impl Nature {
    pub(crate) fn new(kind: PointKind, seed: u64) -> Nature {
        let mut dice = Dice::new(seed);
        let (low, high) = match kind {
            PointKind::Fridge => (3.3, 4.6),
            PointKind::Freezer => (-21.8, -20.6),
            PointKind::SampleFridge => (3.4, 4.4),
            PointKind::HotHolding => (66.4, 68.4),
            PointKind::SpecialRoom => (20.8, 22.0),
            PointKind::Gas => (0.3, 0.7),
            PointKind::CarbonMonoxide => (0.8, 2.2),
            PointKind::Rinse => (86.6, 87.8),
            PointKind::DryStore => (50.0, 60.0),
            PointKind::Smoke | PointKind::Leak | PointKind::ColdRoomDoor | PointKind::Sos => (0.0, 0.0),
        };
        let level = dice.between(low, high);
        Nature {
            kind,
            seed,
            level,
            period_ms: i64::from(dice.whole(16 * 60, 26 * 60)) * SECOND,
        }
    }

    /// The day's door openings that this point feels or is.
    pub(crate) fn openings(&self, day: LocalDay) -> Vec<Opening> {
        let usage = match self.kind {
            PointKind::Fridge => DoorUse {
                windows: &COOKING,
                per_window: (4, 7),
                open_s: (10, 45),
            },
            PointKind::Freezer => DoorUse {
                windows: &COOKING,
                per_window: (1, 3),
                open_s: (10, 40),
            },
            PointKind::SampleFridge => DoorUse {
                windows: &SERVING,
                per_window: (1, 1),
                open_s: (10, 20),
            },
            PointKind::HotHolding => DoorUse {
                windows: &SERVING,
                per_window: (3, 6),
                open_s: (10, 40),
            },
            PointKind::ColdRoomDoor => DoorUse {
                windows: &COOKING,
                per_window: (5, 8),
                open_s: (15, 110),
            },
            _ => return Vec::new(),
        };
        openings(day, self.seed, &usage)
    }

    /// The value at `at` while nothing is wrong, before the sensor's noise.
    fn calm(&self, at: UtcMillis, openings: &[Opening]) -> f64 {
        match self.kind {
            PointKind::Fridge | PointKind::Freezer | PointKind::SampleFridge => self.cold(at, openings),
            PointKind::HotHolding => {
                // The cabinet stands by at its level all day and is turned up for the service.
                self.level + 6.5 * busy(&SERVING, at) + 0.6 * self.saw_tooth(at)
                    - 1.2 * disturbance(at, openings)
            }
            PointKind::SpecialRoom => {
                self.level + 0.5 * warmth(at) + 1.2 * busy(&COOKING, at) + 0.25 * self.saw_tooth(at)
            }
            PointKind::Gas => (self.level + 4.0 * self.cooking(at)).max(0.0),
            PointKind::CarbonMonoxide => (self.level + 11.0 * self.cooking(at)).max(0.0),
            PointKind::Rinse => self.level + 1.4 * busy(&WASHING, at) + 0.5 * self.saw_tooth(at),
            PointKind::DryStore => {
                let drift = wander(self.seed, share(at.0, 3 * HOUR)) - 0.5;
                self.level - 2.0 * warmth(at) + 3.0 * drift
            }
            PointKind::ColdRoomDoor => {
                let open = openings.iter().any(|(from, to)| *from <= at && at < *to);
                f64::from(u8::from(open))
            }
            PointKind::Smoke | PointKind::Leak | PointKind::Sos => 0.0,
        }
    }

    fn cabinet(&self) -> Cabinet {
        let (swing, door, defrost, defrost_at, delivery) = match self.kind {
            PointKind::Freezer => (0.8, 0.9, 4.5, &DEFROST_TWICE[..], 0.6),
            PointKind::SampleFridge => (0.4, 0.5, 1.0, &DEFROST_TWICE[..], 0.0),
            _ => (0.5, 1.0, 1.5, &DEFROST_THRICE[..], 0.9),
        };
        Cabinet {
            level: self.level,
            swing,
            period_ms: self.period_ms,
            door,
            defrost,
            defrost_at,
            delivery,
        }
    }

    fn cold(&self, at: UtcMillis, openings: &[Opening]) -> f64 {
        let cabinet = self.cabinet();
        let now = time_of_day(at);
        let defrosting = cabinet
            .defrost_at
            .iter()
            .map(|minute| bump(now - minute * MINUTE))
            .sum::<f64>();
        cabinet.level
            + cabinet.swing * saw_tooth(at, cabinet.period_ms, self.seed)
            + 0.25 * warmth(at)
            + cabinet.door * disturbance(at, openings)
            + cabinet.defrost * defrosting
            + cabinet.delivery * bump(now - (8 * 60 + 20) * MINUTE)
    }

    fn saw_tooth(&self, at: UtcMillis) -> f64 {
        saw_tooth(at, self.period_ms, self.seed)
    }

    /// How strongly the stoves are felt, 0 to 1: flames come and go while meals are prepared.
    fn cooking(&self, at: UtcMillis) -> f64 {
        busy(&COOKING, at) * wander(self.seed, share(at.0, 4 * MINUTE))
    }

    /// The deviation of the sensor's noise.
    fn noise(&self) -> f64 {
        match self.kind {
            PointKind::Gas => 0.08,
            PointKind::CarbonMonoxide => 0.5,
            PointKind::DryStore => 0.2,
            PointKind::Rinse | PointKind::HotHolding => 0.1,
            kind if kind.is_switch() => 0.0,
            _ => 0.05,
        }
    }

    /// What the sensor says at `at`, in the metric's canonical unit.
    pub(crate) fn measure(&self, at: UtcMillis, openings: &[Opening], incidents: &[Incident]) -> f64 {
        let calm = self.calm(at, openings);
        let moved = incidents
            .iter()
            .fold(calm, |value, incident| befall(incident, at, value));
        let noise = self.noise() * bell(key(self.seed, at.0.cast_unsigned()));
        let floor = match self.kind {
            PointKind::Gas | PointKind::CarbonMonoxide => 0.0,
            _ => f64::NEG_INFINITY,
        };
        self.round((moved + noise).max(floor))
    }

    fn round(&self, value: f64) -> f64 {
        let steps = match self.kind {
            PointKind::CarbonMonoxide => 1.0,
            kind if kind.is_switch() => 1.0,
            _ => 10.0,
        };
        // The sum keeps a negative zero out of the payload.
        (value * steps).round() / steps + 0.0
    }
}

/// A compressor's cycle, −1 to 1: two fifths of the time it cools, the rest it warms.
fn saw_tooth(at: UtcMillis, period_ms: i64, seed: u64) -> f64 {
    let offset = i64::try_from(seed % 1_000_003).unwrap_or(0) * SECOND;
    let part = share((at.0 + offset).rem_euclid(period_ms), period_ms);
    if part < 0.4 {
        1.0 - part * 5.0
    } else {
        (part - 0.4) / 0.3 - 1.0
    }
}

/// A quarter of an hour up, half an hour down, at most 1; 0 outside.
fn bump(since_ms: i64) -> f64 {
    let minutes = share(since_ms, MINUTE);
    match minutes {
        m if m < 0.0 => 0.0,
        m if m < 15.0 => m / 15.0,
        m => (1.0 - (m - 15.0) / 30.0).max(0.0),
    }
}

/// What opened doors still do: each lets warmth in within a minute, which fades over seven.
fn disturbance(at: UtcMillis, openings: &[Opening]) -> f64 {
    let felt = |(from, to): &Opening| {
        let since = at.ms_since(*from);
        if !(0..HOUR).contains(&since) {
            return 0.0;
        }
        let size = share(to.ms_since(*from), 30 * SECOND);
        let minutes = share(since, MINUTE);
        size * (1.0 - (-minutes).exp()) * (-minutes / 7.0).exp()
    };
    openings.iter().map(felt).sum()
}

/// A slow departure: crosses `limit` at the incident's beginning, moves on by `slope` per minute up to
/// `extreme`, and comes back over `recovery_min` once the cause is gone.
#[derive(Debug, Clone, Copy)]
struct Drift {
    limit: f64,
    slope: f64,
    extreme: f64,
    recovery_min: f64,
}

impl Drift {
    fn apply(self, incident: &Incident, at: UtcMillis, calm: f64) -> f64 {
        let line = |at: UtcMillis| {
            let reached = self.limit + self.slope * share(at.ms_since(incident.from), MINUTE);
            if self.slope > 0.0 {
                reached.min(self.extreme).max(calm)
            } else {
                reached.max(self.extreme).min(calm)
            }
        };
        if at < incident.until {
            return line(at);
        }
        let minutes = share(at.ms_since(incident.until), MINUTE);
        calm + (line(incident.until) - calm) * (-minutes / self.recovery_min).exp()
    }
}

/// The value at `at` once `incident` has had its say. Incidents of the device leave the value alone.
fn befall(incident: &Incident, at: UtcMillis, calm: f64) -> f64 {
    let drift = |limit, slope, extreme, recovery_min| {
        Drift {
            limit,
            slope,
            extreme,
            recovery_min,
        }
        .apply(incident, at, calm)
    };
    match incident.kind {
        IncidentKind::FridgeFails => drift(8.1, 0.15, 12.6, 10.0),
        IncidentKind::SampleFridgeWarm => drift(8.1, 0.08, 10.2, 9.0),
        IncidentKind::HotHoldingCold => drift(59.8, -0.3, 48.0, 8.0),
        IncidentKind::SpecialRoomWarm => drift(25.15, 0.08, 27.4, 12.0),
        IncidentKind::StoreDamp => drift(70.4, 0.08, 78.0, 30.0),
        IncidentKind::GasRises => gas(incident, at, calm),
        IncidentKind::DoorLeftOpen
        | IncidentKind::Smoke
        | IncidentKind::SosPressed
        | IncidentKind::WaterLeak => {
            if incident.from <= at && at < incident.until {
                1.0
            } else {
                calm
            }
        }
        IncidentKind::SensorSilent | IncidentKind::ClockAhead | IncidentKind::Garbage => calm,
    }
}

/// Gas gathers within a minute to 18 %LEL, wavers there, and blows away within a few minutes.
fn gas(incident: &Incident, at: UtcMillis, calm: f64) -> f64 {
    const PEAK: f64 = 18.0;
    let since_s = share(at.ms_since(incident.from), SECOND);
    // 10 %LEL is reached exactly at the beginning.
    let rising = (10.4 + since_s * 0.2).clamp(0.0, PEAK);
    let value = if at < incident.until {
        rising
    } else {
        let peak = 10.4 + share(incident.until.ms_since(incident.from), SECOND) * 0.2;
        peak.min(PEAK) * (-share(at.ms_since(incident.until), MINUTE)).exp()
    };
    value.max(calm)
}
