//! What a rule of a pack must fulfil beyond its form.

use super::{MAX_HOLD_S, RawRule};
use crate::{
    metric::Unit,
    rule::{Comparison, RuleKind},
};

/// The longest text of a rule, in bytes.
const MAX_TEXT_BYTES: usize = 600;

pub(super) fn rule(rule: &RawRule) -> Result<(), String> {
    texts(rule)?;
    if rule.hold_s.max(rule.clear_hold_s) > MAX_HOLD_S {
        return Err(format!("hold times are 0 to {MAX_HOLD_S} seconds"));
    }
    match rule.judge {
        RuleKind::Threshold {
            op,
            limit,
            clear_op,
            clear_limit,
        } => {
            let unit = metric_unit(rule)?;
            if rule.unit != Some(unit) {
                return Err(format!("`unit` must be the metric's own, \"{}\"", unit.code()));
            }
            limits((op, limit), (clear_op, clear_limit))
        }
        RuleKind::Boolean => match metric_unit(rule)? {
            Unit::Bool if rule.unit.is_none_or(|u| u == Unit::Bool) => Ok(()),
            _ => Err("a boolean rule needs a metric that is true or false".to_owned()),
        },
        RuleKind::NoData { intervals } => {
            if !(2..=100).contains(&intervals) {
                return Err("`intervals` is 2 to 100".to_owned());
            }
            if rule.clear_hold_s != 0 || rule.unit.is_some() {
                return Err("silence has no unit and ends with the first reading: no clear hold".to_owned());
            }
            Ok(())
        }
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

fn metric_unit(rule: &RawRule) -> Result<Unit, String> {
    let metric = rule
        .metric
        .as_ref()
        .ok_or("`metric` is missing; only silence is judged of any metric")?;
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
