//! A kitchen in which every kind of rule has something to judge, with times short enough for a log of minutes.

use sunshine_domain::{
    Judge, LogEvent, Metric, Mute, MuteTarget, Point, Rule, RuleKind, SeriesKey, Severity, Transition,
    UtcMillis,
    judge::Resume,
    rule::{Clause, Comparison, DayMinute, Near, ResetSide, StageStep, Weigh},
};

use crate::stage::{S, point, rule};

pub(crate) const FRIDGE: u32 = 0;
pub(crate) const PROBE: u32 = 1;
pub(crate) const LAMP: u32 = 2;
pub(crate) const PEOPLE: u32 = 3;
pub(crate) const DOOR: u32 = 4;
pub(crate) const GAS: u32 = 5;
pub(crate) const CABINET: u32 = 6;
pub(crate) const SCALE: u32 = 7;
pub(crate) const CHECK: u32 = 8;

pub(crate) fn points() -> Vec<Point> {
    vec![
        point("fridge", "temperature", "fridge_air", 20),
        point("probe", "temperature", "food_core", 20),
        point("lamp", "uv_on", "uv_lamp", 60),
        point("camera", "person_count", "camera", 20),
        point("door", "door_open", "cold_room", 600),
        point("gas", "combustible_gas", "kitchen_gas", 20),
        point("cabinet", "temperature", "ir_cabinet", 20),
        point("scale", "sample_mass", "sample_scale", 600),
        point("staff", "morning_check", "staff_record", 600),
    ]
}

fn of(point_type: &str, rule: Rule) -> Rule {
    Rule {
        point_type: Some(point_type.to_owned()),
        ..rule
    }
}

pub(crate) fn clause(metric: &str, op: Comparison, limit: f64, every: bool) -> Clause {
    Clause {
        metric: Metric::new(metric).unwrap(),
        point_type: None,
        op,
        limit,
        every,
    }
}

pub(crate) fn by(times: &[&str]) -> Vec<DayMinute> {
    times.iter().map(|t| DayMinute::parse(t).unwrap()).collect()
}

pub(crate) fn stages() -> RuleKind {
    RuleKind::Stage {
        from: 60.0,
        steps: vec![
            StageStep {
                to: 21.0,
                within_s: Some(60),
            },
            StageStep {
                to: 8.0,
                within_s: Some(60),
            },
        ],
    }
}

pub(crate) fn danger_zone() -> RuleKind {
    RuleKind::Dose {
        low: Some(8.0),
        high: Some(60.0),
        weigh: Weigh::Time,
        limit: 1.0,
        reset: ResetSide::Above,
        reset_s: 10,
    }
}

pub(crate) fn joint(op: Comparison, limit: f64, with: Clause, near: Near) -> RuleKind {
    RuleKind::Correlation {
        op,
        limit,
        over_s: None,
        with: vec![with],
        window_s: 0,
        near,
    }
}

fn values() -> Vec<Rule> {
    let range = RuleKind::Range {
        low: 0.0,
        high: 8.0,
        clear_low: 1.0,
        clear_high: 7.0,
    };
    let rate = RuleKind::RateOfChange {
        op: Comparison::Above,
        limit: 30.0,
        clear_op: Comparison::AtMost,
        clear_limit: 10.0,
        over_s: 5,
    };
    let stuck = RuleKind::Stuck {
        for_s: 60,
        tolerance: 0.0,
    };
    let dose = RuleKind::Dose {
        low: Some(10.0),
        high: None,
        weigh: Weigh::Value,
        limit: 5.0,
        reset: ResetSide::Below,
        reset_s: 20,
    };
    let cycle = RuleKind::Cycle {
        begin: 60.0,
        limit: 100.0,
        for_s: 20,
    };
    vec![
        of("fridge_air", rule("range", Some("temperature"), range, 10, 5)),
        of("fridge_air", rule("rate", Some("temperature"), rate, 5, 10)),
        of("fridge_air", rule("stuck", Some("temperature"), stuck, 0, 0)),
        of(
            "food_core",
            rule("zone", Some("temperature"), danger_zone(), 0, 0),
        ),
        of("food_core", rule("cooling", Some("temperature"), stages(), 0, 0)),
        rule("ppm", Some("combustible_gas"), dose, 0, 0),
        of("ir_cabinet", rule("cycle", Some("temperature"), cycle, 0, 0)),
    ]
}

/// One rule of every kind that is not in `stage::rules`.
pub(crate) fn rules() -> Vec<Rule> {
    let count = RuleKind::Count {
        op: Comparison::AtLeast,
        limit: 1.0,
        at_least: 3,
        within_s: 60,
    };
    let event = RuleKind::Event {
        op: Comparison::Below,
        limit: 5.0,
    };
    let missing = RuleKind::Missing {
        op: Comparison::AtLeast,
        limit: 1.0,
        by: by(&["08:18", "08:20", "08:25", "08:31"]),
        within_s: 60,
    };
    let skew = RuleKind::ClockSkew {
        limit_s: 5,
        clear_s: 1,
        for_s: 20,
    };
    let uv = joint(
        Comparison::AtLeast,
        1.0,
        clause("person_count", Comparison::Above, 0.0, false),
        Near::Place,
    );
    let mut leak = joint(
        Comparison::AtLeast,
        1.0,
        clause("combustible_gas", Comparison::AtLeast, 10.0, false),
        Near::Facility,
    );
    if let RuleKind::Correlation { window_s, .. } = &mut leak {
        *window_s = 30;
    }
    let rising = RuleKind::Correlation {
        op: Comparison::Above,
        limit: 20.0,
        over_s: Some(5),
        with: vec![clause("person_count", Comparison::Below, 1.0, true)],
        window_s: 10,
        near: Near::Facility,
    };
    let mut rules = values();
    rules.extend([
        rule("count", Some("door_open"), count, 0, 0),
        rule("event", Some("sample_mass"), event, 0, 0),
        rule("missing", Some("morning_check"), missing, 0, 0),
        rule("skew", None, skew, 0, 0),
        rule("uv", Some("uv_on"), uv, 5, 5),
        rule("leak", Some("door_open"), leak, 0, 0),
        Rule {
            severity: Severity::P0,
            ..rule("rising", Some("combustible_gas"), rising, 0, 5)
        },
        rule("door", Some("door_open"), RuleKind::Boolean, 10, 5),
        rule("silent", None, RuleKind::NoData { intervals: 3 }, 0, 0),
    ]);
    rules
}

/// Two shelves and a window, in the minutes in which random logs run.
pub(crate) fn mutes() -> Vec<Mute> {
    let mute = |device: Option<&str>, from: i64, until: i64, resume| Mute {
        target: MuteTarget {
            facility: points()[0].facility.clone(),
            device: device.map(|d| sunshine_domain::DeviceId::new(d).unwrap()),
            metric: None,
            rule: None,
        },
        from: UtcMillis(from * S),
        until: UtcMillis(until * S),
        resume,
    };
    vec![
        mute(Some("fridge"), 1_100, 1_200, Resume::Told),
        mute(None, 1_150, 1_300, Resume::Anew),
        mute(Some("probe"), 1_400, 1_700, Resume::Told),
    ]
}

pub(crate) struct Wide {
    pub(crate) judge: Judge,
    pub(crate) said: Vec<Transition>,
}

impl Wide {
    pub(crate) fn new(mutes: Vec<Mute>) -> Wide {
        Wide::with(rules(), mutes)
    }

    pub(crate) fn with(rules: Vec<Rule>, mutes: Vec<Mute>) -> Wide {
        let mut said = Vec::new();
        let mut judge = Judge::new(rules, &points());
        judge.set_mutes(mutes, &mut said);
        Wide { judge, said }
    }

    pub(crate) fn play(&mut self, log: &[LogEvent]) {
        let keys: Vec<SeriesKey> = points().iter().map(Point::key).collect();
        for event in log {
            match event {
                LogEvent::Tick(at) => self.judge.tick(*at, &mut self.said),
                LogEvent::Reading(reading) => {
                    let point = self.judge.point(&keys[reading.series.0 as usize]).unwrap();
                    self.judge.reading(point, reading, &mut self.said);
                }
            }
        }
    }
}
