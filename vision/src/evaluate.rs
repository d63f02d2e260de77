//! How good is it? Judged clips against what people say happened in them, counted in events.
//!
//! A clip is a folder of pictures with a `labels.toml` beside them. An event that was told within its labelled span,
//! widened by the tolerance, is found; one that was told and is labelled nowhere is a false alarm. What cannot be
//! judged is neither.

use std::collections::BTreeMap;

use domain::{Check, CheckSetting, camera::Zone};
use serde::Deserialize;

/// How long one picture of a clip stays when its labels do not say, in milliseconds.
const INTERVAL_MS: u32 = 1_000;

/// The seconds of a day.
const DAY_S: f64 = 86_400.0;

/// Why labels cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Not TOML, or a key is unknown, missing or of the wrong type.
    #[error("labels.toml: {0}")]
    Syntax(String),
    /// An event that ends before it begins.
    #[error("labels.toml: the event {check} from {from_s} s ends before it begins; `to_s` lies after `from_s`", check = check.code())]
    Order {
        /// The check.
        check: Check,
        /// When it is said to begin, in whole seconds.
        from_s: u64,
    },
    /// A picture's time out of range.
    #[error("labels.toml: `interval_ms` is 40 to 60000")]
    Interval,
}

/// What people say of a clip.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// How long one picture stays, in milliseconds: 40 to 60,000.
    #[serde(default = "default_interval_ms")]
    pub interval_ms: u32,
    /// What is looked for, with the settings of a camera.
    #[serde(default, rename = "check")]
    pub checks: Vec<CheckSetting>,
    /// Zones that the checks name.
    #[serde(default, rename = "zone")]
    pub zones: Vec<Zone>,
    /// What happened.
    #[serde(default, rename = "event")]
    pub events: Vec<Event>,
}

fn default_interval_ms() -> u32 {
    INTERVAL_MS
}

/// Something that happened, in seconds from the clip's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What.
    pub check: Check,
    /// From when.
    pub from_s: f64,
    /// Until when.
    pub to_s: f64,
}

impl Labels {
    /// Reads a `labels.toml`.
    ///
    /// # Errors
    /// [`LabelError`] names the line and the reason.
    pub fn parse(text: &str) -> Result<Labels, LabelError> {
        let labels: Labels = toml::from_str(text).map_err(|why| {
            let line = why.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            LabelError::Syntax(format!(
                "line {line}: {}",
                why.message().chars().take(200).collect::<String>()
            ))
        })?;
        if !(40..=60_000).contains(&labels.interval_ms) {
            return Err(LabelError::Interval);
        }
        match labels
            .events
            .iter()
            .find(|event| !(event.from_s >= 0.0 && event.to_s > event.from_s))
        {
            Some(event) => Err(LabelError::Order {
                check: event.check,
                from_s: event.from_s.max(0.0) as u64,
            }),
            None => Ok(labels),
        }
    }
}

/// What was told of a clip, and how much of it could be judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// What was told, and when, in seconds from the clip's beginning.
    pub began: Vec<(Check, f64)>,
    /// The clip's length in seconds.
    pub length_s: f64,
    /// Verdicts that could not be given.
    pub unjudged: u64,
    /// Verdicts in all.
    pub verdicts: u64,
}

/// How good a check is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Score {
    /// Labelled events that were told.
    pub found: u32,
    /// Labelled events that were not.
    pub missed: u32,
    /// Told events that nobody labelled.
    pub false_alarms: u32,
    /// From the labelled beginning to the telling, in seconds, of each found event, shortest first.
    pub delays_s: Vec<f64>,
}

impl Score {
    /// The share of told events that happened; `None` when nothing was told.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(self.found, self.found + self.false_alarms)
    }

    /// The share of what happened that was told; `None` when nothing happened.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.found, self.found + self.missed)
    }

    /// The delay that half of the found events do not exceed, in seconds.
    #[must_use]
    pub fn median_delay_s(&self) -> Option<f64> {
        self.delays_s.get(self.delays_s.len() / 2).copied()
    }
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

/// What an evaluation says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Of each check that was looked for or told.
    pub checks: BTreeMap<Check, Score>,
    /// The clips' length together, in days of one camera.
    pub camera_days: f64,
    /// The share of verdicts that could not be given; `None` when none was asked for.
    pub unjudged_share: Option<f64>,
}

impl Report {
    /// False alarms of a check for each day of one camera; `None` for clips of no length.
    #[must_use]
    pub fn false_alarms_per_day(&self, check: Check) -> Option<f64> {
        let score = self.checks.get(&check)?;
        (self.camera_days > 0.0).then(|| f64::from(score.false_alarms) / self.camera_days)
    }
}

/// Compares what was told with what people say, clip by clip. What is told up to `tolerance_s` seconds before or after
/// an event is told of it.
#[must_use]
pub fn evaluate(clips: &[(Labels, Told)], tolerance_s: f64) -> Report {
    let mut report = Report::default();
    let (mut unjudged, mut verdicts) = (0, 0);
    for (labels, told) in clips {
        report.camera_days += told.length_s / DAY_S;
        unjudged += told.unjudged;
        verdicts += told.verdicts;
        for setting in &labels.checks {
            report.checks.entry(setting.check).or_default();
        }
        compare(labels, told, tolerance_s, &mut report.checks);
    }
    for score in report.checks.values_mut() {
        score.delays_s.sort_by(f64::total_cmp);
    }
    report.unjudged_share = (verdicts > 0).then(|| unjudged as f64 / verdicts as f64);
    report
}

fn compare(labels: &Labels, told: &Told, tolerance_s: f64, checks: &mut BTreeMap<Check, Score>) {
    let mut free: Vec<(Check, f64)> = told.began.clone();
    for event in &labels.events {
        let score = checks.entry(event.check).or_default();
        let span = event.from_s - tolerance_s..=event.to_s + tolerance_s;
        let of_event = |(check, at): &(Check, f64)| *check == event.check && span.contains(at);
        match free.iter().position(of_event) {
            Some(first) => {
                score.found += 1;
                score.delays_s.push((free[first].1 - event.from_s).max(0.0));
                // Told again of the same event is no false alarm.
                free.retain(|one| !of_event(one));
            }
            None => score.missed += 1,
        }
    }
    for (check, _) in free {
        checks.entry(check).or_default().false_alarms += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(events: &[(f64, f64)]) -> Labels {
        let event = |&(from_s, to_s): &(f64, f64)| Event {
            check: Check::NoMask,
            from_s,
            to_s,
        };
        Labels {
            interval_ms: 1_000,
            checks: vec![CheckSetting::of(Check::NoMask)],
            zones: Vec::new(),
            events: events.iter().map(event).collect(),
        }
    }

    fn told(at: &[f64]) -> Told {
        Told {
            began: at.iter().map(|at| (Check::NoMask, *at)).collect(),
            length_s: 864.0,
            unjudged: 1,
            verdicts: 4,
        }
    }

    #[test]
    fn events_are_found_missed_or_made_up() {
        let clips = [
            (labels(&[(10.0, 30.0), (60.0, 70.0)]), told(&[14.0, 25.0, 100.0])),
            (labels(&[]), told(&[5.0])),
        ];
        let report = evaluate(&clips, 2.0);
        let score = &report.checks[&Check::NoMask];
        assert_eq!((score.found, score.missed, score.false_alarms), (1, 1, 2));
        assert_eq!((score.precision(), score.recall()), (Some(1.0 / 3.0), Some(0.5)));
        assert_eq!(score.median_delay_s(), Some(4.0));
        assert!((report.camera_days - 0.02).abs() < 1e-9);
        assert!((report.false_alarms_per_day(Check::NoMask).unwrap() - 100.0).abs() < 1e-6);
        assert_eq!(report.unjudged_share, Some(0.25));
    }

    #[test]
    fn labels_are_closed_and_ordered() {
        let good = "interval_ms = 500\n[[event]]\ncheck = \"no_mask\"\nfrom_s = 1.0\nto_s = 4.0\n";
        assert_eq!(Labels::parse(good).unwrap().events.len(), 1);
        let cases = [
            (good.replace("no_mask", "mask"), "line 3"),
            (good.replace("interval_ms = 500", "interval = 500"), "line 1"),
            (good.replace("4.0", "0.5"), "ends before it begins"),
            (good.replace("500", "5"), "40 to 60000"),
        ];
        for (bad, word) in cases {
            let why = Labels::parse(&bad).unwrap_err().to_string();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }
}
