//! Rule packs (规则包): rules as data, each with the clause it rests on and how well that clause is known.
//!
//! A pack is TOML and closed: an unknown key, a missing clause or a clear limit on the wrong side of the
//! limit is refused with its line. The built-in packs are written by `scripts/rules-from-csv.py` from
//! `domain/packs/rules.csv`, all but `vision`, which is written by hand.

pub mod check;

use std::collections::BTreeSet;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    id::{Metric, RuleId},
    metric::Unit,
    rule::{Confidence, Rule, RuleKind, Severity},
};

/// The most rules of one pack.
pub const MAX_RULES: usize = 500;

/// The longest text of a pack, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// The longest hold time of a rule, in seconds: a week.
pub const MAX_HOLD_S: u32 = 7 * 24 * 3600;

/// The packs that a facility in a Chinese district is judged by unless it is told otherwise.
pub const DEFAULT_PACKS: [&str; 5] = ["cn-canteen", "fire-gas", "environment", "vision", "system"];

const BUILT_IN: [&str; 7] = [
    include_str!("../packs/cn-canteen.toml"),
    include_str!("../packs/fire-gas.toml"),
    include_str!("../packs/environment.toml"),
    include_str!("../packs/vision.toml"),
    include_str!("../packs/system.toml"),
    include_str!("../packs/us-foodcode.toml"),
    include_str!("../packs/uk-eu.toml"),
];

/// Rules that are switched on together.
#[derive(Debug, Clone, PartialEq)]
pub struct Pack {
    /// Its identifier: `cn-canteen`.
    pub id: String,
    /// Its version: `2026.11`.
    pub version: String,
    /// Its name in Chinese.
    pub title_zh: String,
    /// Its name in English.
    pub title_en: String,
    /// Its rules, in the order of the file.
    pub rules: Vec<Rule>,
}

/// Why a text is not a rule pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// It is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("line {line}: {reason}; correct that line, the built-in packs show the form")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A rule says something that cannot be.
    #[error("line {line}: rule {rule}: {reason}")]
    Rule {
        /// The line on which the rule begins, from 1.
        line: usize,
        /// The rule.
        rule: RuleId,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("the pack has {0} bytes; at most {MAX_BYTES} are read: divide it into several packs")]
    TooLong(usize),
    /// More than [`MAX_RULES`].
    #[error("the pack has {0} rules; at most {MAX_RULES} are allowed: divide it into several packs")]
    TooMany(usize),
    /// There is no built-in pack of that name.
    #[error("there is no pack of this name; there are: {known}")]
    Unknown {
        /// The names there are.
        known: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPack {
    pack: String,
    version: String,
    title_zh: String,
    title_en: String,
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: RuleId,
    metric: Option<Metric>,
    point_type: Option<String>,
    unit: Option<Unit>,
    judge: RuleKind,
    hold_s: u32,
    clear_hold_s: u32,
    latched: bool,
    severity: Severity,
    clause: String,
    edition: String,
    source: String,
    confidence: Confidence,
    title_zh: String,
    title_en: String,
    action_zh: String,
    action_en: String,
}

impl Pack {
    /// Reads a pack.
    ///
    /// # Errors
    /// [`PackError`] names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Pack, PackError> {
        if text.len() > MAX_BYTES {
            return Err(PackError::TooLong(text.len()));
        }
        let raw: RawPack = toml::from_str(text).map_err(|e| syntax_error(text, &e))?;
        if raw.rule.len() > MAX_RULES {
            return Err(PackError::TooMany(raw.rule.len()));
        }
        let mut seen = BTreeSet::new();
        for rule in &raw.rule {
            let refuse = |reason| PackError::Rule {
                line: line_of(text, rule.span().start),
                rule: rule.get_ref().id.clone(),
                reason,
            };
            check::rule(rule.get_ref()).map_err(refuse)?;
            if !seen.insert(rule.get_ref().id.clone()) {
                return Err(refuse("another rule of this pack has the same id".to_owned()));
            }
        }
        let rules = raw
            .rule
            .into_iter()
            .map(|r| r.into_inner().into_rule(&raw.pack, &raw.version))
            .collect();
        Ok(Pack {
            rules,
            id: raw.pack,
            version: raw.version,
            title_zh: raw.title_zh,
            title_en: raw.title_en,
        })
    }

    /// The packs that come with the product.
    ///
    /// # Panics
    /// Never in a tested build: a test parses them all.
    #[must_use]
    pub fn built_in() -> Vec<Pack> {
        BUILT_IN
            .iter()
            .map(|text| Pack::parse(text).expect("the built-in packs are tested"))
            .collect()
    }
}

/// Every rule of every built-in pack.
#[must_use]
pub fn built_in() -> Vec<Rule> {
    Pack::built_in().into_iter().flat_map(|p| p.rules).collect()
}

/// The rules of the built-in packs of these names, in their order; see [`DEFAULT_PACKS`].
///
/// # Errors
/// [`PackError::Unknown`] when a name is not one of a built-in pack.
pub fn active<S: AsRef<str>>(packs: &[S]) -> Result<Vec<Rule>, PackError> {
    let all = Pack::built_in();
    let mut rules = Vec::new();
    for name in packs {
        let pack = all
            .iter()
            .find(|p| p.id == name.as_ref())
            .ok_or_else(|| PackError::Unknown {
                known: all.iter().map(|p| p.id.as_str()).collect::<Vec<_>>().join(", "),
            })?;
        rules.extend_from_slice(&pack.rules);
    }
    Ok(rules)
}

impl RawRule {
    fn into_rule(self, pack: &str, version: &str) -> Rule {
        Rule {
            id: self.id,
            pack: pack.to_owned(),
            pack_version: version.to_owned(),
            metric: self.metric,
            point_type: self.point_type,
            facility: None,
            only: None,
            kind: self.judge,
            hold_ms: i64::from(self.hold_s) * 1000,
            clear_hold_ms: i64::from(self.clear_hold_s) * 1000,
            latched: self.latched,
            severity: self.severity,
            clause: self.clause,
            edition: self.edition,
            source: self.source,
            confidence: self.confidence,
            title_zh: self.title_zh,
            title_en: self.title_en,
            action_zh: self.action_zh,
            action_en: self.action_en,
        }
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> PackError {
    let start = error.span().map_or(0, |s| s.start);
    // The parser may quote what it read: keep a little of it.
    let reason = error
        .message()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    PackError::Syntax {
        line: line_of(text, start),
        reason,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|b| **b == b'\n')
        .count()
}
