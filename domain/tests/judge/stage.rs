//! A small kitchen to judge, and a log to judge it by.

use sunshine_domain::{
    ConditionState, Confidence, DeviceId, FacilityId, Judge, LogEvent, Metric, Point, Quality, Reading, Rule,
    RuleId, RuleKind, SeriesId, SeriesKey, Severity, Transition, Unit, UtcMillis, rule::Comparison,
};

/// Milliseconds of a second.
pub(crate) const S: i64 = 1_000;
/// Milliseconds of a minute.
pub(crate) const MIN: i64 = 60 * S;
/// Milliseconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * MIN;

/// The points, in the order of their series numbers.
pub(crate) const FRIDGE: u32 = 0;
pub(crate) const DOOR: u32 = 1;
pub(crate) const GAS: u32 = 2;

pub(crate) fn point(device: &str, metric: &str, point_type: &str, interval_s: u32) -> Point {
    Point {
        facility: FacilityId::new("f").unwrap(),
        device: DeviceId::new(device).unwrap(),
        metric: Metric::new(metric).unwrap(),
        unit: Unit::One,
        point_type: point_type.to_owned(),
        place_zh: "厨房".to_owned(),
        place_en: "Kitchen".to_owned(),
        report_interval_s: interval_s,
    }
}

pub(crate) fn points() -> Vec<Point> {
    vec![
        point("fridge", "temperature", "fridge_air", 60),
        point("door", "door_open", "cold_room", 3600),
        point("gas", "combustible_gas", "kitchen_gas", 30),
    ]
}

pub(crate) fn rule(id: &str, metric: Option<&str>, kind: RuleKind, hold_s: i64, clear_hold_s: i64) -> Rule {
    Rule {
        id: RuleId::new(id).unwrap(),
        pack: "test".to_owned(),
        pack_version: "1".to_owned(),
        metric: metric.map(|m| Metric::new(m).unwrap()),
        point_type: None,
        facility: None,
        only: None,
        kind,
        hold_ms: hold_s * S,
        clear_hold_ms: clear_hold_s * S,
        latched: false,
        severity: Severity::P2,
        clause: "c".to_owned(),
        edition: "e".to_owned(),
        source: "s".to_owned(),
        confidence: Confidence::Engineering,
        title_zh: "t".to_owned(),
        title_en: "t".to_owned(),
        action_zh: "a".to_owned(),
        action_en: "a".to_owned(),
    }
}

pub(crate) fn above(limit: f64, clear_limit: f64) -> RuleKind {
    RuleKind::Threshold {
        op: Comparison::Above,
        limit,
        clear_op: Comparison::AtMost,
        clear_limit,
    }
}

/// Warm above 8 for 30 min, safe at 7 for 10 min; frost at once; door for 5 min; gas for 10 s; silence.
pub(crate) fn rules() -> Vec<Rule> {
    let frost = RuleKind::Threshold {
        op: Comparison::Below,
        limit: 0.0,
        clear_op: Comparison::AtLeast,
        clear_limit: 0.5,
    };
    let gas = RuleKind::Threshold {
        op: Comparison::AtLeast,
        limit: 10.0,
        clear_op: Comparison::Below,
        clear_limit: 5.0,
    };
    vec![
        rule("warm", Some("temperature"), above(8.0, 7.0), 1800, 600),
        Rule {
            severity: Severity::P3,
            ..rule("frost", Some("temperature"), frost, 0, 0)
        },
        rule("door", Some("door_open"), RuleKind::Boolean, 300, 10),
        Rule {
            severity: Severity::P0,
            ..rule("gas", Some("combustible_gas"), gas, 10, 60)
        },
        Rule {
            severity: Severity::P3,
            ..rule("silent", None, RuleKind::NoData { intervals: 3 }, 0, 0)
        },
    ]
}

pub(crate) fn reading(series: u32, at: i64, received: i64, value: f64) -> LogEvent {
    LogEvent::Reading(Reading {
        series: SeriesId(series),
        at: UtcMillis(at),
        received: UtcMillis(received),
        value,
        quality: Quality::Good,
    })
}

pub(crate) fn tick(at: i64) -> LogEvent {
    LogEvent::Tick(UtcMillis(at))
}

/// When an event came into the log.
pub(crate) fn received(event: &LogEvent) -> i64 {
    match event {
        LogEvent::Tick(at) => at.0,
        LogEvent::Reading(reading) => reading.received.0,
    }
}

/// A log made of `readings`, with a tick every `every_ms` from `from` to `to`.
pub(crate) fn with_ticks(readings: &[LogEvent], from: i64, to: i64, every_ms: i64) -> Vec<LogEvent> {
    let ticks = (0..)
        .map(|n| from + n * every_ms)
        .take_while(|at| *at <= to)
        .map(tick);
    let mut log: Vec<LogEvent> = ticks.chain(readings.iter().copied()).collect();
    log.sort_by_key(received);
    log
}

/// A judge and what it said.
pub(crate) struct Stage {
    pub(crate) judge: Judge,
    pub(crate) said: Vec<Transition>,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage {
            judge: Judge::new(rules(), &points()),
            said: Vec::new(),
        }
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

    /// Openings and clearings of one rule as `(opened, since, at)`.
    pub(crate) fn cases(&self, rule: &str) -> Vec<(bool, i64, i64)> {
        self.said
            .iter()
            .filter(|t| t.rule.as_str() == rule)
            .filter(|t| matches!(t.to, ConditionState::Active | ConditionState::Cleared))
            .map(|t| (t.to == ConditionState::Active, t.since.0, t.at.0))
            .collect()
    }

    pub(crate) fn state(&self, point: u32) -> ConditionState {
        let key = points()[point as usize].key();
        self.judge.board().points[&key].state
    }
}
