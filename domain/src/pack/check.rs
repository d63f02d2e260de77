//! What a rule of a pack must fulfil beyond its form.

use super::{MAX_HOLD_S, RawRule};
use crate::{
    case::CALL_METRIC,
    id::Metric,
    metric::Unit,
    rule::{Clause, Comparison, Rule, RuleKind, StageStep},
};

/// The longest text of a rule, in bytes.
const MAX_TEXT_BYTES: usize = 600;

/// A day and a week in seconds, and the longest month.
const DAY_S: u32 = 24 * 3600;
const WEEK_S: u32 = 7 * DAY_S;
const MONTH_S: u32 = 31 * DAY_S;

/// What is checked of a rule's numbers.
struct Numbers<'a> {
    metric: Option<&'a Metric>,
    kind: &'a RuleKind,
    hold_s: i64,
    clear_hold_s: i64,
}

pub(super) fn rule(rule: &RawRule) -> Result<(), String> {
    texts(rule)?;
    let numbers = Numbers {
        metric: rule.metric.as_ref(),
        kind: &rule.judge,
        hold_s: rule.hold_s.into(),
        clear_hold_s: rule.clear_hold_s.into(),
    };
    check(&numbers)?;
    let call = rule.metric.as_ref().is_some_and(|m| m.as_str() == CALL_METRIC);
    if call && !rule.latched && !matches!(rule.judge, RuleKind::NoData { .. } | RuleKind::ClockSkew { .. }) {
        return Err(
            "`latched` must be true: an emergency call stays open until somebody closes it".to_owned(),
        );
    }
    units(&numbers, rule.unit)
}

/// Whether the numbers of `rule` make sense together, after they were changed.
///
/// # Errors
/// What is wrong, and what would be right.
pub fn numbers(rule: &Rule) -> Result<(), String> {
    check(&Numbers {
        metric: rule.metric.as_ref(),
        kind: &rule.kind,
        hold_s: rule.hold_ms / 1000,
        clear_hold_s: rule.clear_hold_ms / 1000,
    })
}

fn units(rule: &Numbers<'_>, given: Option<Unit>) -> Result<(), String> {
    match rule.kind {
        RuleKind::NoData { .. } | RuleKind::ClockSkew { .. } => match given {
            Some(_) => Err("silence and clocks have no unit".to_owned()),
            None => Ok(()),
        },
        RuleKind::Boolean => match metric_unit(rule.metric)? {
            Unit::Bool if given.is_none_or(|u| u == Unit::Bool) => Ok(()),
            _ => Err("a boolean rule needs a metric that is true or false".to_owned()),
        },
        _ => {
            let unit = metric_unit(rule.metric)?;
            if given == Some(unit) || (unit == Unit::Bool && given.is_none()) {
                return Ok(());
            }
            Err(format!("`unit` must be the metric's own, \"{}\"", unit.code()))
        }
    }
}

fn check(rule: &Numbers<'_>) -> Result<(), String> {
    let held = 0..=i64::from(MAX_HOLD_S);
    if !held.contains(&rule.hold_s) || !held.contains(&rule.clear_hold_s) {
        return Err(format!("hold times are 0 to {MAX_HOLD_S} seconds"));
    }
    match rule.kind {
        RuleKind::Threshold { .. } | RuleKind::RateOfChange { .. } | RuleKind::Range { .. } => {
            check_value(rule.kind)
        }
        RuleKind::Boolean => Ok(()),
        RuleKind::Event { limit, .. } => {
            no_holds(rule, "one measurement has no duration")?;
            finite_limit(*limit)
        }
        RuleKind::Count {
            limit,
            at_least,
            within_s,
            ..
        } => {
            within("at_least", u32::from(*at_least), 2, 32)?;
            within("within_s", *within_s, 1, WEEK_S)?;
            finite_limit(*limit)
        }
        RuleKind::Dose {
            low,
            high,
            limit,
            reset_s,
            ..
        } => dose(rule, (*low, *high), *limit, *reset_s),
        RuleKind::Stage { from, steps } => stages(rule, *from, steps),
        RuleKind::Cycle { begin, limit, for_s } => {
            holdless(rule, "`for_s` is its time")?;
            within("for_s", *for_s, 0, DAY_S)?;
            if finite(&[*begin, *limit]) && begin <= limit {
                return Ok(());
            }
            Err("`begin` must not lie above `limit`".to_owned())
        }
        RuleKind::Missing { .. }
        | RuleKind::NoData { .. }
        | RuleKind::Stuck { .. }
        | RuleKind::ClockSkew { .. } => check_time(rule),
        RuleKind::Correlation {
            limit,
            over_s,
            with,
            window_s,
            ..
        } => {
            within("over_s", over_s.unwrap_or(1), 1, 3_600)?;
            within("window_s", *window_s, 0, DAY_S)?;
            clauses(with)?;
            finite_limit(*limit)
        }
    }
}

/// The kinds that compare a value, or its change, with limits.
fn check_value(kind: &RuleKind) -> Result<(), String> {
    match kind {
        RuleKind::Threshold {
            op,
            limit,
            clear_op,
            clear_limit,
        } => limits((*op, *limit), (*clear_op, *clear_limit)),
        RuleKind::RateOfChange {
            op,
            limit,
            clear_op,
            clear_limit,
            over_s,
        } => {
            within("over_s", *over_s, 1, 3_600)?;
            limits((*op, *limit), (*clear_op, *clear_limit))
        }
        RuleKind::Range {
            low,
            high,
            clear_low,
            clear_high,
        } => {
            let sorted = low <= clear_low && clear_low < clear_high && clear_high <= high;
            if finite(&[*low, *high]) && sorted {
                return Ok(());
            }
            Err("`low` ≤ `clear_low` < `clear_high` ≤ `high` must hold".to_owned())
        }
        _ => Ok(()),
    }
}

/// The kinds about what does not come, or does not move.
fn check_time(rule: &Numbers<'_>) -> Result<(), String> {
    match rule.kind {
        RuleKind::Missing {
            limit, by, within_s, ..
        } => {
            no_holds(rule, "`by` is its time")?;
            within("within_s", *within_s, 60, MONTH_S)?;
            if !(1..=8).contains(&by.len()) {
                return Err("`by` names 1 to 8 times of day".to_owned());
            }
            finite_limit(*limit)
        }
        RuleKind::NoData { intervals } => {
            within("intervals", *intervals, 2, 100)?;
            if rule.clear_hold_s != 0 {
                return Err("silence ends with the first reading: no clear hold".to_owned());
            }
            Ok(())
        }
        RuleKind::Stuck { for_s, tolerance } => {
            no_holds(rule, "`for_s` is its time")?;
            within("for_s", *for_s, 60, WEEK_S)?;
            if tolerance.is_finite() && *tolerance >= 0.0 {
                return Ok(());
            }
            Err("`tolerance` is 0 or more".to_owned())
        }
        RuleKind::ClockSkew {
            limit_s,
            clear_s,
            for_s,
        } => {
            no_holds(rule, "`for_s` is its time")?;
            within("limit_s", *limit_s, 1, DAY_S)?;
            within("clear_s", *clear_s, 0, *limit_s)?;
            within("for_s", *for_s, 0, DAY_S)
        }
        _ => Ok(()),
    }
}

fn dose(
    rule: &Numbers<'_>,
    (low, high): (Option<f64>, Option<f64>),
    limit: f64,
    reset_s: u32,
) -> Result<(), String> {
    holdless(rule, "a sum has no duration")?;
    within("reset_s", reset_s, 0, DAY_S)?;
    if low.is_none() && high.is_none() {
        return Err("a band has `low`, `high` or both".to_owned());
    }
    let (low, high) = (low.unwrap_or(f64::MIN), high.unwrap_or(f64::MAX));
    if finite(&[low, high, limit]) && low < high && limit > 0.0 {
        return Ok(());
    }
    Err("`low` must lie below `high`, and `limit` above 0".to_owned())
}

fn stages(rule: &Numbers<'_>, from: f64, steps: &[StageStep]) -> Result<(), String> {
    holdless(rule, "each step has its time")?;
    if !(1..=4).contains(&steps.len()) || steps.iter().all(|s| s.within_s.is_none()) {
        return Err("1 to 4 `steps`, at least one of them with `within_s`".to_owned());
    }
    let mut above = from;
    for step in steps {
        within("within_s", step.within_s.unwrap_or(1), 1, DAY_S)?;
        if !finite(&[above, step.to]) || step.to >= above {
            return Err("each step's `to` must lie below the one before".to_owned());
        }
        above = step.to;
    }
    Ok(())
}

fn clauses(with: &[Clause]) -> Result<(), String> {
    if !(1..=3).contains(&with.len()) {
        return Err("`with` names 1 to 3 others".to_owned());
    }
    for clause in with {
        metric_unit(Some(&clause.metric))?;
        finite_limit(clause.limit)?;
        if clause.point_type.as_deref() == Some("") {
            return Err("`point_type` is empty; leave it out for any".to_owned());
        }
    }
    Ok(())
}

fn within(name: &str, value: u32, from: u32, to: u32) -> Result<(), String> {
    if (from..=to).contains(&value) {
        Ok(())
    } else {
        Err(format!("`{name}` is {from} to {to}"))
    }
}

/// A kind whose breach stands as soon as it is known.
fn holdless(rule: &Numbers<'_>, why: &str) -> Result<(), String> {
    if rule.hold_s == 0 {
        Ok(())
    } else {
        Err(format!("`hold_s` must be 0: {why}"))
    }
}

fn no_holds(rule: &Numbers<'_>, why: &str) -> Result<(), String> {
    holdless(rule, why)?;
    if rule.clear_hold_s == 0 {
        Ok(())
    } else {
        Err(format!("`clear_hold_s` must be 0: {why}"))
    }
}

fn finite(values: &[f64]) -> bool {
    values.iter().all(|v| v.is_finite())
}

fn finite_limit(limit: f64) -> Result<(), String> {
    if limit.is_finite() {
        Ok(())
    } else {
        Err("limits are finite numbers".to_owned())
    }
}

fn texts(rule: &RawRule) -> Result<(), String> {
    let texts = [
        ("clause", &rule.clause),
        ("edition", &rule.edition),
        ("source", &rule.source),
        ("title_zh", &rule.title_zh),
        ("title_en", &rule.title_en),
        ("action_zh", &rule.action_zh),
        ("action_en", &rule.action_en),
    ];
    for (name, text) in texts {
        if text.trim().is_empty() {
            return Err(format!(
                "`{name}` is empty; a rule without it cannot be explained"
            ));
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(format!("`{name}` is longer than {MAX_TEXT_BYTES} bytes"));
        }
    }
    match rule.point_type.as_deref() {
        Some("") => Err("`point_type` is empty; leave it out for any".to_owned()),
        _ => Ok(()),
    }
}

fn metric_unit(metric: Option<&Metric>) -> Result<Unit, String> {
    let metric = metric.ok_or("`metric` is missing; only silence and clocks are judged of any metric")?;
    let info = metric
        .info()
        .ok_or("the product does not know this `metric`, so it knows no unit for it")?;
    Ok(info.unit)
}

/// A value that is both in breach and safe would ring without end.
fn limits(breach: (Comparison, f64), safe: (Comparison, f64)) -> Result<(), String> {
    let above = |op| matches!(op, Comparison::Above | Comparison::AtLeast);
    if !breach.1.is_finite() || !safe.1.is_finite() {
        return Err("limits are finite numbers".to_owned());
    }
    if above(breach.0) == above(safe.0) {
        return Err("`clear_op` must point away from `op`".to_owned());
    }
    let crossed = if above(breach.0) {
        safe.1 > breach.1
    } else {
        safe.1 < breach.1
    };
    let both = breach.0.holds(breach.1, breach.1) && safe.0.holds(breach.1, safe.1);
    if crossed || both {
        return Err("`clear_limit` must lie on the safe side of `limit`".to_owned());
    }
    Ok(())
}
