//! Rules: what is judged, against which limit, for how long, and on whose authority.

mod change;
mod kind;
mod numbers;

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    facility::Point,
    id::{FacilityId, Metric, RuleId},
};

pub use change::{Direction, MAX_LAXER_MS, OverrideError, RuleOverride, direction, with_overrides};
pub use kind::{Clause, DayMinute, Near, ResetSide, RuleKind, StageStep, Weigh};
pub use numbers::{Number, Stricter};

/// How bad a breach is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Danger to life now: smoke, gas, SOS.
    P0,
    /// A hazard that must be dealt with at once.
    P1,
    /// A breach that needs an order.
    P2,
    /// A defect to put right.
    P3,
    /// Advice.
    P4,
}

impl Severity {
    /// Every severity, worst first.
    pub const ALL: [Severity; 5] = [
        Severity::P0,
        Severity::P1,
        Severity::P2,
        Severity::P3,
        Severity::P4,
    ];

    /// The name in rule packs, the record store and the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Severity::P0 => "P0",
            Severity::P1 => "P1",
            Severity::P2 => "P2",
            Severity::P3 => "P3",
            Severity::P4 => "P4",
        }
    }

    /// Reads [`Severity::code`] back.
    #[must_use]
    pub fn parse(code: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|s| s.code() == code)
    }
}

/// How well a rule's number is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// The clause itself was read.
    Verified,
    /// Read in a source that quotes the clause.
    Secondary,
    /// Known from memory; to be checked before it is relied on.
    Memory,
    /// Our own engineering judgement: no standard gives the number.
    Engineering,
}

/// Which side of the limit is a breach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Above the limit.
    #[serde(rename = ">")]
    Above,
    /// At or above the limit.
    #[serde(rename = ">=")]
    AtLeast,
    /// Below the limit.
    #[serde(rename = "<")]
    Below,
    /// At or below the limit.
    #[serde(rename = "<=")]
    AtMost,
}

impl Comparison {
    /// Whether `value` is on this side of `limit`.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Comparison::Above => value > limit,
            Comparison::AtLeast => value >= limit,
            Comparison::Below => value < limit,
            Comparison::AtMost => value <= limit,
        }
    }
}

/// A rule of a pack.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its identifier.
    pub id: RuleId,
    /// The pack it comes from: `cn-canteen`, `fire-gas`, …
    pub pack: String,
    /// That pack's version.
    pub pack_version: String,
    /// The metric it judges; `None` for any.
    pub metric: Option<Metric>,
    /// The point type it judges; `None` for any.
    pub point_type: Option<String>,
    /// The one facility that it judges, in place of the pack's rule of the same name; `None` for a pack's rule.
    pub facility: Option<FacilityId>,
    /// The facilities whose region has chosen its pack; `None` for all.
    pub only: Option<Arc<BTreeSet<FacilityId>>>,
    /// What it looks for.
    pub kind: RuleKind,
    /// How long a breach must last before a case opens, in milliseconds.
    pub hold_ms: i64,
    /// How long it must be safe again before the condition clears, in milliseconds.
    pub clear_hold_ms: i64,
    /// Whether the case stays open after the condition clears, until somebody closes it.
    pub latched: bool,
    /// How bad.
    pub severity: Severity,
    /// The clause it rests on. This and the next two are written `中文 / English` in the built-in packs; a text
    /// without ` / ` is the same in both.
    pub clause: String,
    /// The edition or date of that clause.
    pub edition: String,
    /// What was read to learn it.
    pub source: String,
    /// How well it is known.
    pub confidence: Confidence,
    /// What is wrong, for people, in Chinese.
    pub title_zh: String,
    /// What is wrong, for people, in English.
    pub title_en: String,
    /// What to do, in Chinese.
    pub action_zh: String,
    /// What to do, in English.
    pub action_en: String,
}

impl Rule {
    /// Whether this rule judges `point`: by facility, metric and point type, as far as the rule names them.
    #[must_use]
    pub fn applies_to(&self, point: &Point) -> bool {
        let metric = self.metric.as_ref().is_none_or(|m| *m == point.metric);
        metric
            && self.point_type.as_ref().is_none_or(|t| *t == point.point_type)
            && self.facility.as_ref().is_none_or(|f| *f == point.facility)
            && self
                .only
                .as_ref()
                .is_none_or(|only| only.contains(&point.facility))
    }

    /// Whether people may set it aside for a while. Never what endangers life: neither a rule of severity P0, nor
    /// any value of gas, smoke or an emergency button. That such a device says nothing may be set aside, or no
    /// detector could be exchanged.
    #[must_use]
    pub fn can_be_shelved(&self) -> bool {
        if matches!(self.kind, RuleKind::NoData { .. }) {
            return true;
        }
        let metric = self.metric.as_ref().map_or("", Metric::as_str);
        self.severity != Severity::P0
            && !matches!(
                metric,
                "combustible_gas" | "gas_alarm" | "co" | "co_alarm" | "smoke_alarm" | "sos"
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{DeviceId, FacilityId},
        metric::Unit,
        pack,
    };

    #[test]
    fn a_rule_applies_by_metric_and_point_type() {
        let point = |metric: &str, point_type: &str| Point {
            facility: FacilityId::new("f").unwrap(),
            device: DeviceId::new("d").unwrap(),
            metric: Metric::new(metric).unwrap(),
            unit: Unit::One,
            point_type: point_type.to_owned(),
            place_zh: String::new(),
            place_en: String::new(),
            report_interval_s: 60,
        };
        let applying = |point: &Point| -> Vec<String> {
            pack::built_in()
                .iter()
                .filter(|r| r.applies_to(point))
                .map(|r| r.id.to_string())
                .collect::<std::collections::BTreeSet<_>>()
                .into_iter()
                .collect()
        };
        let cases: [(&str, &str, &[&str]); 4] = [
            (
                "temperature",
                "fridge_air",
                &[
                    "CN-TMP-01",
                    "CN-TMP-02",
                    "CN-TMP-05",
                    "SYS-01",
                    "SYS-02",
                    "SYS-03",
                    "SYS-05",
                ],
            ),
            ("temperature", "office", &["SYS-01", "SYS-02", "SYS-05"]),
            ("battery", "fridge_air", &["SYS-01", "SYS-04", "SYS-05"]),
            ("sos", "bedside", &["SYS-01", "SYS-05", "SYS-SOS-01"]),
        ];
        for (metric, point_type, want) in cases {
            assert_eq!(
                applying(&point(metric, point_type)),
                want,
                "{metric} {point_type}"
            );
        }
    }
}
