//! What a rule looks for, and what was found, each as one line.

use domain::{
    Case, Metric, Rule, RuleKind,
    rule::{Clause, Comparison, StageStep, Weigh},
};
use i18n_embed_fl::fl;

use crate::format::{Locale, comparison_sign, is_switch};

impl Locale {
    /// What a rule looks for, as one line.
    pub(crate) fn criterion(&self, rule: &Rule) -> String {
        let what = self.what(rule);
        if rule.hold_ms > 0 {
            let time = self.duration(rule.hold_ms);
            fl!(self.l, "criterion-held", what = what, time = time)
        } else {
            what
        }
    }

    fn what(&self, rule: &Rule) -> String {
        let metric = rule.metric.as_ref();
        let value = |value: f64| self.limit(metric, value);
        let compared = |op, limit| format!("{} {}", comparison_sign(op), value(limit));
        match &rule.kind {
            RuleKind::Threshold { op, limit, .. } => compared(*op, *limit),
            RuleKind::Range { low, high, .. } => {
                fl!(self.l, "criterion-range", low = value(*low), high = value(*high))
            }
            RuleKind::RateOfChange { op, limit, .. } => {
                fl!(self.l, "criterion-rate", what = compared(*op, *limit))
            }
            RuleKind::Boolean => fl!(self.l, "criterion-boolean"),
            RuleKind::Event { op, limit } => fl!(self.l, "criterion-event", what = compared(*op, *limit)),
            RuleKind::Count {
                at_least, within_s, ..
            } => {
                let (n, time) = (*at_least, self.seconds(*within_s));
                fl!(self.l, "criterion-count", n = n, time = time)
            }
            RuleKind::Dose {
                low,
                high,
                weigh,
                limit,
                ..
            } => self.dose((metric, *weigh), (*low, *high), *limit),
            RuleKind::Stage { from, steps } => {
                let steps = self.steps(metric, steps);
                fl!(self.l, "criterion-stage", start = value(*from), steps = steps)
            }
            RuleKind::Cycle { limit, for_s: 0, .. } => {
                fl!(
                    self.l,
                    "criterion-cycle-never",
                    limit = self.reached(metric, *limit)
                )
            }
            RuleKind::Cycle { limit, for_s, .. } => {
                let time = self.seconds(*for_s);
                let limit = self.reached(metric, *limit);
                fl!(self.l, "criterion-cycle", limit = limit, time = time)
            }
            RuleKind::Missing { by, .. } => {
                let by = by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                fl!(self.l, "criterion-missing", by = by)
            }
            RuleKind::NoData { intervals } => {
                let intervals = *intervals;
                fl!(self.l, "criterion-silence", n = intervals)
            }
            RuleKind::Stuck { for_s, .. } => fl!(self.l, "criterion-stuck", time = self.seconds(*for_s)),
            RuleKind::ClockSkew { limit_s, .. } => {
                fl!(self.l, "criterion-clock", time = self.seconds(*limit_s))
            }
            RuleKind::Correlation { op, limit, with, .. } => {
                let own = compared(*op, *limit);
                self.joint((own, rule.kind.is_of_change()), with)
            }
        }
    }

    fn joint(&self, (own, is_change): (String, bool), with: &[Clause]) -> String {
        let own = if is_change {
            fl!(self.l, "criterion-rate", what = own)
        } else {
            own
        };
        let others = with.iter().map(|clause| self.clause(clause));
        let others = others.collect::<Vec<_>>().join(", ");
        fl!(self.l, "criterion-joint", what = own, others = others)
    }

    fn limit(&self, metric: Option<&Metric>, value: f64) -> String {
        metric.map_or_else(|| value.to_string(), |metric| self.value(metric, value))
    }

    /// A limit that is to be reached: "yes" for a state.
    fn reached(&self, metric: Option<&Metric>, limit: f64) -> String {
        match metric {
            Some(metric) if is_switch(metric) => self.metric(metric),
            _ => self.limit(metric, limit),
        }
    }

    fn seconds(&self, seconds: u32) -> String {
        self.duration(i64::from(seconds) * 1000)
    }

    /// Minutes as a time.
    #[expect(clippy::cast_possible_truncation, reason = "for show")]
    fn minutes(&self, minutes: f64) -> String {
        self.duration((minutes * 60_000.0) as i64)
    }

    fn dose(
        &self,
        (metric, weigh): (Option<&Metric>, Weigh),
        (low, high): (Option<f64>, Option<f64>),
        limit: f64,
    ) -> String {
        let end = |op, end: Option<f64>| {
            end.map(|end| format!("{} {}", comparison_sign(op), self.limit(metric, end)))
        };
        let band = [end(Comparison::AtLeast, low), end(Comparison::AtMost, high)];
        let band = band.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let sum = match weigh {
            Weigh::Time => self.minutes(limit),
            Weigh::Value => self.product(metric, limit),
        };
        fl!(self.l, "criterion-dose", sum = sum, band = band)
    }

    /// A value times minutes.
    fn product(&self, metric: Option<&Metric>, sum: f64) -> String {
        format!("{}·min", self.limit(metric, sum))
    }

    fn steps(&self, metric: Option<&Metric>, steps: &[StageStep]) -> String {
        let judged = steps.iter().map(|step| {
            let goal = self.limit(metric, step.to);
            match step.within_s {
                Some(time) => fl!(self.l, "criterion-step", goal = goal, time = self.seconds(time)),
                None => goal,
            }
        });
        judged.collect::<Vec<_>>().join(" → ")
    }

    fn clause(&self, clause: &Clause) -> String {
        let metric = self.metric(&clause.metric);
        if is_switch(&clause.metric) {
            // On or off: which, the side of the limit says.
            let on = clause.op.holds(1.0, clause.limit);
            return self.switched(&metric, on);
        }
        let limit = self.value(&clause.metric, clause.limit);
        format!("{metric} {} {limit}", comparison_sign(clause.op))
    }

    fn switched(&self, name: &str, on: bool) -> String {
        if on {
            fl!(self.l, "criterion-on", what = name)
        } else {
            fl!(self.l, "criterion-off", what = name)
        }
    }

    /// What raised a case, next to what it broke.
    pub(crate) fn finding(&self, case: &Case, rule: Option<&Rule>) -> String {
        if let Some(found) = rule.and_then(|rule| self.found(case, rule)) {
            return found;
        }
        let metric = &case.point.metric;
        match (case.value, case.limit) {
            (Some(value), Some(limit)) if !is_switch(metric) => {
                let below = match rule.map(|r| &r.kind) {
                    Some(RuleKind::Threshold { op, .. } | RuleKind::Event { op, .. }) => {
                        matches!(op, Comparison::Below | Comparison::AtMost)
                    }
                    Some(RuleKind::Range { .. }) => value < limit,
                    _ => false,
                };
                let (value, limit) = (self.value(metric, value), self.value(metric, limit));
                if below {
                    fl!(self.l, "finding-below", value = value, limit = limit)
                } else {
                    fl!(self.l, "finding-above", value = value, limit = limit)
                }
            }
            (Some(value), _) => self.value(metric, value),
            (None, _) => fl!(self.l, "finding-silence"),
        }
    }

    /// What was found by a rule whose value is not the metric's own.
    fn found(&self, case: &Case, rule: &Rule) -> Option<String> {
        let metric = &case.point.metric;
        let both = case.value.zip(case.limit);
        Some(match &rule.kind {
            RuleKind::RateOfChange { .. } | RuleKind::Correlation { over_s: Some(_), .. } => {
                let (value, limit) = both.map(|(v, l)| (self.value(metric, v), self.value(metric, l)))?;
                fl!(self.l, "finding-rate", value = value, limit = limit)
            }
            RuleKind::Count { .. } => {
                let (value, limit) = both?;
                fl!(self.l, "finding-count", value = value, limit = limit)
            }
            RuleKind::Dose { weigh, .. } => {
                let sum = |sum| match weigh {
                    Weigh::Time => self.minutes(sum),
                    Weigh::Value => self.product(Some(metric), sum),
                };
                let (value, limit) = both.map(|(v, l)| (sum(v), sum(l)))?;
                fl!(self.l, "finding-sum", value = value, limit = limit)
            }
            RuleKind::Stage { .. } => {
                let (value, limit) = both.map(|(v, l)| (self.value(metric, v), self.value(metric, l)))?;
                fl!(self.l, "finding-stage", value = value, limit = limit)
            }
            RuleKind::Cycle { .. } => {
                let (value, limit) = both.map(|(v, l)| (self.minutes(v), self.minutes(l)))?;
                fl!(self.l, "finding-cycle", value = value, limit = limit)
            }
            RuleKind::Missing { .. } => fl!(self.l, "finding-missing"),
            RuleKind::Stuck { .. } => fl!(self.l, "finding-stuck", value = self.value(metric, case.value?)),
            RuleKind::ClockSkew { .. } => match both {
                Some((value, limit)) => {
                    let (value, limit) = (self.minutes(value / 60.0), self.minutes(limit / 60.0));
                    fl!(self.l, "finding-clock", value = value, limit = limit)
                }
                None => fl!(self.l, "finding-clock-beyond"),
            },
            RuleKind::Threshold { .. }
            | RuleKind::Range { .. }
            | RuleKind::Boolean
            | RuleKind::Event { .. }
            | RuleKind::NoData { .. }
            | RuleKind::Correlation { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::{UtcMillis, pack};
    use jiff::tz::TimeZone;

    use super::*;
    use crate::i18n::Lang;

    #[test]
    fn every_rule_says_what_it_looks_for_in_both_languages() {
        let locale = |lang| Locale::new(lang, TimeZone::UTC, UtcMillis(0));
        let (zh, en) = (locale(Lang::Zh), locale(Lang::En));
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        for rule in pack::built_in() {
            let (zh, en) = (zh.criterion(&rule), en.criterion(&rule));
            assert!(!zh.is_empty() && !en.contains(is_han), "{}: {zh} / {en}", rule.id);
        }
        let say = |id: &str| {
            let rule = pack::built_in()
                .into_iter()
                .find(|r| r.id.as_str() == id)
                .unwrap();
            en.criterion(&rule)
        };
        let cases = [
            ("CN-TMP-01", "> 8.0 °C for 30 min"),
            ("CN-DZ-01", "2 h 0 min in all at ≥ 8.0 °C, ≤ 60.0 °C"),
            (
                "CN-CL-02",
                "cooling from 60.0 °C not in time: 21.0 °C → 8.0 °C within 2 h 0 min",
            ),
            ("CN-DS-01", "ends before 100.0 °C was kept for 10 min"),
            ("CN-MC-01", "not there by 08:00"),
            ("FG-CO-01", "3000 ppm·min in all at ≥ 50 ppm"),
        ];
        for (id, want) in cases {
            assert_eq!(say(id).replace(['\u{2068}', '\u{2069}'], ""), want, "{id}");
        }
    }
}
