//! How good judgement is: findings held against labelled clips, event by event.
//!
//! # Labels
//!
//! Beside a clip lies `labels.toml`:
//!
//! ```toml
//! # What was looked for when this clip was labelled. Findings of other checks are not held against it.
//! # Left out: every check.
//! checks = ["no_mask", "animal_in_kitchen"]
//!
//! # One for each event, in seconds from the beginning of the clip.
//! [[event]]
//! check = "no_mask"
//! from_s = 12.5
//! to_s = 31.0
//! ```
//!
//! # What is counted
//!
//! A finding is *right* when it overlaps an event of its check in its clip, widened by a tolerance on both sides;
//! otherwise it is a *false alarm*. An event is *found* when a right finding overlaps it. More findings of one event are
//! *repeats*: they are no false alarms, but somebody is told twice. The delay is from an event's beginning to that of
//! the first finding of it, and no less than zero.

use std::{collections::BTreeMap, ops::Range};

use domain::{Check, check::CHECKS, observation::Tally};
use serde::Deserialize;
use toml::Spanned;

/// The longest text of labels, in bytes.
pub const MAX_LABEL_BYTES: usize = 1024 * 1024;

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Why labels cannot be read. Lines count from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LabelError {
    /// The text is too long.
    #[error("the labels have {0} bytes; at most {MAX_LABEL_BYTES} are read")]
    TooLong(usize),
    /// It is no TOML, or has unknown or missing keys.
    #[error("line {line}: {why}")]
    Form {
        /// Where.
        line: usize,
        /// What is wrong, at most 200 characters.
        why: String,
    },
    /// A check that there is not.
    #[error(
        "line {line}: there is no such check; the checks are no_mask, no_head_cover and so on, as in the API"
    )]
    Check {
        /// Where.
        line: usize,
    },
    /// Times that are no span.
    #[error("line {line}: `from_s` is 0 or more and `to_s` lies after it")]
    Span {
        /// Where.
        line: usize,
    },
    /// An event of a check that was not looked for.
    #[error("line {line}: this check is not among `checks`; add it there or take the event away")]
    NotLookedFor {
        /// Where.
        line: usize,
    },
}

/// A check that holds from here to there, in seconds from the beginning of its clip: as labelled, or as found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// The check.
    pub check: Check,
    /// From.
    pub from_s: f64,
    /// Until, after `from_s`. For a finding that has not ended, the end of the clip.
    pub to_s: f64,
}

impl Event {
    fn overlaps(&self, other: &Event, tolerance_s: f64) -> bool {
        self.check == other.check
            && self.from_s <= other.to_s + tolerance_s
            && other.from_s - tolerance_s <= self.to_s
    }
}

/// What people saw in one clip.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Labels {
    /// What was looked for; empty for everything.
    pub checks: Vec<Check>,
    /// What there is, in the order of the file.
    pub events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelFile {
    #[serde(default)]
    checks: Vec<Spanned<String>>,
    #[serde(default)]
    event: Vec<LabelledEvent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelledEvent {
    check: Spanned<String>,
    from_s: Spanned<f64>,
    to_s: f64,
}

impl Labels {
    /// Reads the text of a `labels.toml`.
    ///
    /// # Errors
    /// [`LabelError`] names the first line that is wrong, and why.
    pub fn parse(text: &str) -> Result<Labels, LabelError> {
        if text.len() > MAX_LABEL_BYTES {
            return Err(LabelError::TooLong(text.len()));
        }
        let file: LabelFile = toml::from_str(text).map_err(|error| LabelError::Form {
            line: line_of(text, &error.span().unwrap_or_default()),
            why: error.message().chars().take(200).collect(),
        })?;
        let check = |code: &Spanned<String>| {
            let line = || line_of(text, &code.span());
            Check::parse(code.get_ref()).ok_or_else(|| LabelError::Check { line: line() })
        };
        let checks = file.checks.iter().map(check).collect::<Result<Vec<_>, _>>()?;
        let mut events = Vec::with_capacity(file.event.len());
        for event in &file.event {
            let found = check(&event.check)?;
            if !checks.is_empty() && !checks.contains(&found) {
                let line = line_of(text, &event.check.span());
                return Err(LabelError::NotLookedFor { line });
            }
            let (from_s, to_s) = (*event.from_s.get_ref(), event.to_s);
            if !(from_s >= 0.0 && to_s > from_s && to_s.is_finite()) {
                let line = line_of(text, &event.from_s.span());
                return Err(LabelError::Span { line });
            }
            events.push(Event {
                check: found,
                from_s,
                to_s,
            });
        }
        Ok(Labels { checks, events })
    }

    fn looks_for(&self, check: Check) -> bool {
        self.checks.is_empty() || self.checks.contains(&check)
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().iter().take(span.start);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// One clip of one camera: what was labelled, and what was found.
#[derive(Debug, Clone)]
pub struct Clip {
    /// How long it is, in seconds.
    pub length_s: f64,
    /// What people saw.
    pub labels: Labels,
    /// What judgement told.
    pub found: Vec<Event>,
    /// The looks of each check.
    pub looks: BTreeMap<Check, Tally>,
}

/// How good judgement is, for one check or for all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    /// Events that were labelled.
    pub events: u32,
    /// Of these, the ones that were found.
    pub events_found: u32,
    /// Findings that overlap an event, repeats among them.
    pub right: u32,
    /// Findings of an event that was found before.
    pub repeats: u32,
    /// Findings of nothing.
    pub false_alarms: u32,
    /// The length of the clips in which it was looked for, in seconds.
    pub watched_s: f64,
    /// Looks that could be judged.
    pub judged: u64,
    /// Looks that could not.
    pub unjudged: u64,
    /// How late each event was found, in seconds, the shortest first.
    pub delays_s: Vec<f64>,
}

impl Score {
    /// The share of findings that are right, 0 to 1; `None` when nothing was found.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        share(
            self.right.into(),
            u64::from(self.right) + u64::from(self.false_alarms),
        )
    }

    /// The share of events that were found, 0 to 1; `None` when there was none.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        share(self.events_found.into(), self.events.into())
    }

    /// The harmonic mean of precision and recall, 0 to 1; `None` when one of them is unknown.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        let (precision, recall) = (self.precision()?, self.recall()?);
        let sum = precision + recall;
        Some(if sum > 0.0 {
            2.0 * precision * recall / sum
        } else {
            0.0
        })
    }

    /// False alarms per day of one camera; `None` when nothing was watched.
    #[must_use]
    pub fn false_alarms_per_camera_day(&self) -> Option<f64> {
        (self.watched_s > 0.0).then(|| f64::from(self.false_alarms) * SECONDS_PER_DAY / self.watched_s)
    }

    /// The share of looks that could not be judged, 0 to 1; `None` when there was none.
    #[must_use]
    pub fn unjudged_share(&self) -> Option<f64> {
        share(self.unjudged, self.judged + self.unjudged)
    }

    /// The delay that half of the found events did not exceed, in seconds; `None` when none was found.
    #[must_use]
    pub fn delay_median_s(&self) -> Option<f64> {
        self.delay(0.5)
    }

    /// The delay that 95 % of the found events did not exceed, in seconds; `None` when none was found.
    #[must_use]
    pub fn delay_p95_s(&self) -> Option<f64> {
        self.delay(0.95)
    }

    /// The nearest rank: one of the delays themselves.
    fn delay(&self, quantile: f64) -> Option<f64> {
        let rank = (quantile * self.delays_s.len() as f64).ceil() as usize;
        self.delays_s.get(rank.max(1) - 1).copied()
    }

    fn add(&mut self, other: &Score) {
        self.events += other.events;
        self.events_found += other.events_found;
        self.right += other.right;
        self.repeats += other.repeats;
        self.false_alarms += other.false_alarms;
        self.watched_s += other.watched_s;
        self.judged += other.judged;
        self.unjudged += other.unjudged;
        self.delays_s.extend_from_slice(&other.delays_s);
        self.delays_s.sort_by(f64::total_cmp);
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// How good judgement is on some clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// For each check that was labelled, found or looked at.
    pub checks: BTreeMap<Check, Score>,
    /// For all of them. `watched_s` is the length of all clips.
    pub total: Score,
}

/// Holds what was found against what was labelled. `tolerance_s` is by how many seconds a finding may miss an event.
#[must_use]
pub fn evaluate(clips: &[Clip], tolerance_s: f64) -> Report {
    let mut checks = BTreeMap::new();
    for check in CHECKS.iter().map(|row| row.check) {
        let mut score = Score::default();
        for clip in clips.iter().filter(|clip| clip.labels.looks_for(check)) {
            score.add(&score_of(clip, check, tolerance_s));
        }
        let looks = score.judged + score.unjudged;
        if score.events > 0 || score.right + score.false_alarms > 0 || looks > 0 {
            checks.insert(check, score);
        }
    }
    let mut total = Score::default();
    checks.values().for_each(|score| total.add(score));
    total.watched_s = clips.iter().map(|clip| clip.length_s).sum();
    Report { checks, total }
}

fn score_of(clip: &Clip, check: Check, tolerance_s: f64) -> Score {
    let of_check = |events: &[Event]| -> Vec<Event> {
        let mut events: Vec<Event> = events
            .iter()
            .copied()
            .filter(|event| event.check == check)
            .collect();
        events.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
        events
    };
    let (events, findings) = (of_check(&clip.labels.events), of_check(&clip.found));
    let looks = clip.looks.get(&check).copied().unwrap_or_default();
    let mut score = Score {
        events: count(events.len()),
        watched_s: clip.length_s,
        judged: looks.judged.into(),
        unjudged: looks.unjudged.into(),
        ..Score::default()
    };
    let mut is_found = vec![false; events.len()];
    for finding in &findings {
        let mut is_right = false;
        let mut is_news = false;
        for (event, found) in events.iter().zip(&mut is_found) {
            if !finding.overlaps(event, tolerance_s) {
                continue;
            }
            is_right = true;
            if !std::mem::replace(found, true) {
                is_news = true;
                score.delays_s.push((finding.from_s - event.from_s).max(0.0));
            }
        }
        score.right += u32::from(is_right);
        score.repeats += u32::from(is_right && !is_news);
        score.false_alarms += u32::from(!is_right);
    }
    score.events_found = count(is_found.iter().filter(|found| **found).count());
    score
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
