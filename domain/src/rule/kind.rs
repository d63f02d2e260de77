//! What a rule looks for: the kinds of rule, as they stand in a pack.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Comparison;
use crate::{facility::Point, id::Metric};

/// What a rule looks for.
///
/// Values are in the metric's canonical unit. A value *holds* until the next one of its series, but never for
/// longer than the series may be silent: beyond that nothing is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RuleKind {
    /// A value beyond a limit. It clears at its own limit, which lies on the safe side of the first, so
    /// that a value that hovers does not ring twice.
    Threshold {
        /// Which side is a breach.
        op: Comparison,
        /// The limit, in the metric's canonical unit.
        limit: f64,
        /// Which side is safe again.
        clear_op: Comparison,
        /// The limit at which it is safe again.
        clear_limit: f64,
    },
    /// A value outside a band: below `low` or above `high`. It is safe again within the narrower band.
    Range {
        /// Below this is a breach.
        low: f64,
        /// Above this is a breach.
        high: f64,
        /// From here on it is safe again; not below `low`.
        clear_low: f64,
        /// Up to here it is safe again; not above `high`.
        clear_high: f64,
    },
    /// A value that changes too fast, in its unit per minute; a fall is negative. Measured over at least `over_s`.
    RateOfChange {
        /// Which side is a breach.
        op: Comparison,
        /// The limit per minute.
        limit: f64,
        /// Which side is safe again.
        clear_op: Comparison,
        /// The limit per minute at which it is safe again.
        clear_limit: f64,
        /// The shortest time over which a change is measured, in seconds, 1 to 3,600.
        over_s: u32,
    },
    /// A state that must not be: 1 is a breach, 0 is safe. With a hold time it is "too long" (door open).
    Boolean,
    /// One measurement that counts by itself, like a weighing: each bad one is a breach of its own, and is over
    /// at once. The next one, of another dish or another person, says nothing about it.
    Event {
        /// Which side is a breach.
        op: Comparison,
        /// The limit.
        limit: f64,
    },
    /// Something that happens too often: the value passes the limit `at_least` times within `within_s`.
    Count {
        /// Which side of the limit is an occurrence; one begins when the value comes to that side.
        op: Comparison,
        /// The limit.
        limit: f64,
        /// How many occurrences are a breach, 2 to 32.
        at_least: u8,
        /// Within how many seconds, 1 to 604,800.
        within_s: u32,
    },
    /// What adds up: the time that a value spends within a band, or the value times that time. Begins anew when
    /// the value was outside for `reset_s`.
    Dose {
        /// The band's lower end, inside it; none when absent.
        low: Option<f64>,
        /// The band's upper end, inside it; none when absent.
        high: Option<f64>,
        /// What is summed.
        weigh: Weigh,
        /// The sum that is a breach: in minutes, or in the metric's unit times minutes.
        limit: f64,
        /// The side of the band on which it begins anew.
        reset: ResetSide,
        /// How long the value must be there, in seconds, up to 86,400.
        reset_s: u32,
    },
    /// Cooling in stages: once hot (at or above `from`), below `from` each step is reached within its time.
    Stage {
        /// At or above this the food is hot, and a new cooling begins when it falls below.
        from: f64,
        /// The steps, each cooler than the one before; 1 to 4.
        steps: Vec<StageStep>,
    },
    /// A run that must be complete: from `begin` on something runs, and before it ends the value must have been at
    /// or above `limit` for `for_s` without a break. A run that ends without is a breach, until one succeeds.
    Cycle {
        /// At or above this it runs.
        begin: f64,
        /// What must be reached and kept; not below `begin`.
        limit: f64,
        /// How long it must be kept, in seconds, up to 86,400; 0 when reaching it is enough.
        for_s: u32,
    },
    /// What has to be there by a time of day: no reading on the right side of the limit within the time before.
    /// The next one ends the breach.
    Missing {
        /// Which side counts.
        op: Comparison,
        /// The limit.
        limit: f64,
        /// By when, in local time; 1 to 8 moments of the day.
        by: Vec<DayMinute>,
        /// How long before that it counts, in seconds, 60 to 2,678,400 (31 days).
        within_s: u32,
    },
    /// Silence: nothing received for this many report intervals of the point.
    NoData {
        /// Report intervals without a reading, 2 to 100.
        intervals: u32,
    },
    /// A value that does not move although readings come: a broken probe.
    Stuck {
        /// How long it does not, in seconds, 60 to 604,800.
        for_s: u32,
        /// How far it may move and still count as unmoved.
        tolerance: f64,
    },
    /// The device's clock differs from ours. Judged once per device, by moments of receipt, so that readings that
    /// were kept for a while and sent at once are no fault of its clock.
    ClockSkew {
        /// The difference that is a breach, in seconds.
        limit_s: u32,
        /// The difference at which it is sound again, in seconds; not above `limit_s`.
        clear_s: u32,
        /// For how long readings must show it, in seconds.
        for_s: u32,
    },
    /// Several things at once. The rule's own metric and point type name the first, at whose point the condition
    /// stands; `with` names the others. Each counts while it is so, and for `window_s` after it was.
    Correlation {
        /// Which side of the limit counts at the rule's own point.
        op: Comparison,
        /// The limit there; per minute when `over_s` is given.
        limit: f64,
        /// When given, the change per minute over at least so many seconds is compared instead of the value.
        over_s: Option<u32>,
        /// What else must be; 1 to 3.
        with: Vec<Clause>,
        /// For how long each still counts after it was, in seconds, up to 86,400.
        window_s: u32,
        /// Where the others are looked for.
        near: Near,
    },
}

/// What a dose sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weigh {
    /// Minutes within the band.
    Time,
    /// The value times minutes within the band (ppm · min).
    Value,
}

/// On which side of its band a dose begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetSide {
    /// Above: food that was heated through.
    Above,
    /// Below: air that is clean.
    Below,
    /// On either side.
    Outside,
}

/// One step of a cooling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageStep {
    /// The value to be reached, at or below.
    pub to: f64,
    /// How long it may take from the end of the step before, in seconds, up to 86,400; without it this step is not
    /// judged, only the later ones.
    pub within_s: Option<u32>,
}

/// One further thing that a correlation looks at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// The metric.
    pub metric: Metric,
    /// The point type; any when absent.
    pub point_type: Option<String>,
    /// Which side of the limit counts.
    pub op: Comparison,
    /// The limit.
    pub limit: f64,
    /// Whether it must be so at every such point that is near ("all hoods are off"), not only at one.
    #[serde(default)]
    pub every: bool,
}

impl Clause {
    /// Whether it looks at `point`.
    #[must_use]
    pub fn looks_at(&self, point: &Point) -> bool {
        self.metric == point.metric && self.point_type.as_ref().is_none_or(|t| *t == point.point_type)
    }
}

/// Where a correlation looks for its other points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Near {
    /// Anywhere in the facility.
    Facility,
    /// At points with the same place.
    Place,
    /// At the same device.
    Device,
}

/// A minute of the local day, written `09:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayMinute(u16);

impl DayMinute {
    /// The minute of that number, 0 to 1,439; `None` beyond.
    #[must_use]
    pub fn new(minute: u16) -> Option<DayMinute> {
        (minute < 24 * 60).then_some(DayMinute(minute))
    }

    /// Reads `HH:MM`, as it is written by `Display`.
    #[must_use]
    pub fn parse(text: &str) -> Option<DayMinute> {
        let two = |digits: &str| match digits.as_bytes() {
            [tens, ones] if tens.is_ascii_digit() && ones.is_ascii_digit() => digits.parse::<u16>().ok(),
            _ => None,
        };
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute) = (two(hour)?, two(minute)?);
        (hour < 24 && minute < 60).then(|| DayMinute(hour * 60 + minute))
    }

    /// Minutes since midnight.
    #[must_use]
    pub fn minute(self) -> u16 {
        self.0
    }
}

impl fmt::Display for DayMinute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for DayMinute {
    type Error = &'static str;
    fn try_from(text: String) -> Result<DayMinute, &'static str> {
        DayMinute::parse(&text).ok_or("a time of day is written HH:MM, from 00:00 to 23:59")
    }
}

impl From<DayMinute> for String {
    fn from(minute: DayMinute) -> String {
        minute.to_string()
    }
}

impl RuleKind {
    /// The number that a facility may set otherwise: the limit, or for a rule that has none the time it allows.
    /// `None` when there is none.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        match self {
            RuleKind::Threshold { limit, .. }
            | RuleKind::RateOfChange { limit, .. }
            | RuleKind::Event { limit, .. }
            | RuleKind::Dose { limit, .. }
            | RuleKind::Cycle { limit, .. }
            | RuleKind::Correlation { limit, .. } => Some(*limit),
            RuleKind::Range { high, .. } => Some(*high),
            RuleKind::Count { at_least, .. } => Some(f64::from(*at_least)),
            RuleKind::Stuck { for_s, .. } => Some(f64::from(*for_s)),
            RuleKind::ClockSkew { limit_s, .. } => Some(f64::from(*limit_s)),
            RuleKind::NoData { intervals } => Some(f64::from(*intervals)),
            RuleKind::Boolean | RuleKind::Stage { .. } | RuleKind::Missing { .. } => None,
        }
    }

    /// The same kind with another limit; what lies beside it (the limit at which it clears) keeps its distance.
    /// `None` when this kind has no limit, or `limit` is none for it.
    #[must_use]
    pub fn with_limit(&self, limit: f64) -> Option<RuleKind> {
        let whole = |most: f64| limit.fract() == 0.0 && (0.0..=most).contains(&limit);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number within the type's range, as `whole` says"
        )]
        let number = limit as u32;
        let mut kind = self.clone();
        match &mut kind {
            _ if !limit.is_finite() => return None,
            RuleKind::Threshold {
                limit: l,
                clear_limit,
                ..
            }
            | RuleKind::RateOfChange {
                limit: l,
                clear_limit,
                ..
            } => {
                *clear_limit += limit - *l;
                *l = limit;
            }
            RuleKind::Range { high, clear_high, .. } => {
                *clear_high += limit - *high;
                *high = limit;
            }
            RuleKind::Event { limit: l, .. }
            | RuleKind::Dose { limit: l, .. }
            | RuleKind::Cycle { limit: l, .. }
            | RuleKind::Correlation { limit: l, .. } => *l = limit,
            RuleKind::Count { at_least, .. } if whole(255.0) => *at_least = u8::try_from(number).ok()?,
            RuleKind::Stuck { for_s: n, .. } | RuleKind::NoData { intervals: n } if whole(1e9) => *n = number,
            RuleKind::ClockSkew { limit_s, clear_s, .. } if whole(1e9) => {
                *clear_s = (*clear_s).min(number);
                *limit_s = number;
            }
            _ => return None,
        }
        Some(kind)
    }

    /// Whether a breach is a value on the upper side of the limit: a lower limit is then the stricter one.
    #[must_use]
    pub fn breaks_upwards(&self) -> bool {
        match self {
            RuleKind::Threshold { op, .. }
            | RuleKind::RateOfChange { op, .. }
            | RuleKind::Event { op, .. }
            | RuleKind::Correlation { op, .. } => matches!(op, Comparison::Above | Comparison::AtLeast),
            RuleKind::Cycle { .. } => false,
            RuleKind::Range { .. }
            | RuleKind::Boolean
            | RuleKind::Count { .. }
            | RuleKind::Dose { .. }
            | RuleKind::Stage { .. }
            | RuleKind::Missing { .. }
            | RuleKind::NoData { .. }
            | RuleKind::Stuck { .. }
            | RuleKind::ClockSkew { .. } => true,
        }
    }

    /// Whether its limit is a change per minute.
    #[must_use]
    pub fn is_of_change(&self) -> bool {
        matches!(
            self,
            RuleKind::RateOfChange { .. } | RuleKind::Correlation { over_s: Some(_), .. }
        )
    }

    /// Its name in packs and the API.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            RuleKind::Threshold { .. } => "threshold",
            RuleKind::Range { .. } => "range",
            RuleKind::RateOfChange { .. } => "rate_of_change",
            RuleKind::Boolean => "boolean",
            RuleKind::Event { .. } => "event",
            RuleKind::Count { .. } => "count",
            RuleKind::Dose { .. } => "dose",
            RuleKind::Stage { .. } => "stage",
            RuleKind::Cycle { .. } => "cycle",
            RuleKind::Missing { .. } => "missing",
            RuleKind::NoData { .. } => "no_data",
            RuleKind::Stuck { .. } => "stuck",
            RuleKind::ClockSkew { .. } => "clock_skew",
            RuleKind::Correlation { .. } => "correlation",
        }
    }
}
