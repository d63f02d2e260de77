//! Rules as a facility has them: stricter than the pack, or laxer for a time and on somebody's word.

use std::collections::BTreeMap;

use super::{Rule, RuleKind, Severity, Stricter};
use crate::{
    id::{FacilityId, RuleId},
    time::UtcMillis,
};

/// The longest time for which a rule may be laxer, in milliseconds: a year.
pub const MAX_LAXER_MS: i64 = 366 * 24 * 3_600_000;

/// A facility's own numbers for a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleOverride {
    /// Its number.
    pub id: i64,
    /// Which of the changes of this rule at this facility it is: 1, 2, …
    pub version: u32,
    /// The rule.
    pub rule: RuleId,
    /// The facility.
    pub facility: FacilityId,
    /// The limit, if it is another; see [`RuleKind::limit`].
    pub limit: Option<f64>,
    /// The hold time in milliseconds, if it is another.
    pub hold_ms: Option<i64>,
    /// Its other numbers by name, where they are others; see [`Rule::numbers`].
    pub numbers: BTreeMap<String, f64>,
    /// Why.
    pub reason: String,
    /// Who entered it.
    pub who: String,
    /// Who approved it; needed for a laxer rule, and somebody else than who entered it.
    pub approver: Option<String>,
    /// From when on it holds, in log time.
    pub from: UtcMillis,
    /// When it is over; a laxer one always has an end.
    pub until: Option<UtcMillis>,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Nothing that was a breach is none now.
    Stricter,
    /// Something is.
    Laxer,
    /// It depends on what is measured: what is asked of a laxer rule is asked of this one too.
    Unknown,
}

/// Why a rule cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// No number is given.
    #[error("give a limit, a hold time or another number of the rule")]
    Nothing,
    /// The rule's kind has no limit.
    #[error("a rule of this kind has no limit to change")]
    NoLimit,
    /// The rule's kind has no such number, or it cannot be this one.
    #[error(
        "{name} is no number of this rule, or cannot be this; those that it has: {known} (times in whole seconds)"
    )]
    NoNumber {
        /// What was asked for, cut short.
        name: String,
        /// The numbers that there are.
        known: String,
    },
    /// The numbers do not fit together.
    #[error("{0}")]
    Numbers(String),
    /// A laxer rule lacks its approver.
    #[error(
        "a rule that is laxer, or of which that cannot be told, needs an approver, and somebody else than who enters it"
    )]
    NoApprover,
    /// A laxer rule has no end, or one too far away.
    #[error("a rule that is laxer, or of which that cannot be told, needs an end, at most a year away")]
    NoEnd,
    /// The rule guards against danger to life.
    #[error("what guards against danger to life may only become stricter")]
    Danger,
}

impl RuleOverride {
    /// The rule as it is with this change.
    ///
    /// # Errors
    /// As [`Rule::with_numbers`].
    pub fn apply(&self, base: &Rule) -> Result<Rule, OverrideError> {
        let mut rule = base.with_numbers(self.limit, self.hold_ms, &self.numbers)?;
        rule.facility = Some(self.facility.clone());
        rule.pack_version = format!("{}+{}", base.pack_version, self.version);
        Ok(rule)
    }

    /// Whether it may be: what is laxer needs more than what is stricter.
    ///
    /// # Errors
    /// [`OverrideError`] says what stands against it.
    pub fn check(&self, base: &Rule) -> Result<Rule, OverrideError> {
        let rule = self.apply(base)?;
        if direction(base, &rule) == Direction::Stricter {
            return Ok(rule);
        }
        if base.severity == Severity::P0 || !base.can_be_shelved() {
            return Err(OverrideError::Danger);
        }
        let approver = self.approver.as_deref().map_or("", str::trim);
        if approver.is_empty() || approver == self.who.trim() {
            return Err(OverrideError::NoApprover);
        }
        let lasts = self.until.map(|until| until.ms_since(self.from));
        match lasts {
            Some(1..=MAX_LAXER_MS) => Ok(rule),
            _ => Err(OverrideError::NoEnd),
        }
    }

    /// Whether it holds at `at`.
    #[must_use]
    pub fn is_on(&self, at: UtcMillis) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

/// Which way `changed`, of the same kind, differs from `base`. One laxer number makes the rule laxer.
#[must_use]
pub fn direction(base: &Rule, changed: &Rule) -> Direction {
    let (before, after) = (base.kind.limit(), changed.kind.limit());
    let lower_is_stricter = match base.kind {
        RuleKind::Range { .. } => true,
        _ => base.kind.breaks_upwards(),
    };
    let looser = before.zip(after).is_some_and(|(before, after)| {
        if lower_is_stricter {
            after > before
        } else {
            after < before
        }
    });
    if looser || changed.hold_ms > base.hold_ms {
        return Direction::Laxer;
    }
    let mut direction = Direction::Stricter;
    for (before, after) in base.numbers().iter().zip(changed.numbers()) {
        let (old, new) = (before.value, after.value);
        match before.stricter {
            Stricter::Lower if new > old => return Direction::Laxer,
            Stricter::Higher if new < old => return Direction::Laxer,
            Stricter::Unknown if (new - old).abs() > 0.0 => direction = Direction::Unknown,
            _ => {}
        }
    }
    direction
}

/// The rules that are judged by at `at`: the packs', and what facilities have in place of them.
#[must_use]
pub fn with_overrides(base: &[Rule], overrides: &[RuleOverride], at: UtcMillis) -> Vec<Rule> {
    let mut rules = base.to_vec();
    for change in overrides.iter().filter(|o| o.is_on(at)) {
        let changed = base.iter().find(|r| r.id == change.rule);
        // A change of a rule that is no longer switched on, or whose numbers no longer fit, changes nothing.
        rules.extend(changed.and_then(|rule| change.apply(rule).ok()));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack;

    fn base(id: &str) -> Rule {
        pack::built_in()
            .into_iter()
            .find(|r| r.id.as_str() == id)
            .unwrap()
    }

    fn change(rule: &str, limit: f64) -> RuleOverride {
        RuleOverride {
            id: 1,
            version: 3,
            rule: RuleId::new(rule).unwrap(),
            facility: FacilityId::new("f").unwrap(),
            limit: Some(limit),
            hold_ms: None,
            numbers: BTreeMap::new(),
            reason: "site plan".to_owned(),
            who: "Li".to_owned(),
            approver: None,
            from: UtcMillis(1_000),
            until: None,
        }
    }

    #[test]
    fn stricter_needs_nothing_and_laxer_needs_a_word_and_an_end() {
        let fridge = base("CN-TMP-01");
        let stricter = change("CN-TMP-01", 6.0);
        let rule = stricter.check(&fridge).unwrap();
        assert_eq!(rule.pack_version, format!("{}+3", fridge.pack_version));
        assert_eq!(direction(&fridge, &rule), Direction::Stricter);
        let mut laxer = change("CN-TMP-01", 10.0);
        assert_eq!(laxer.check(&fridge), Err(OverrideError::NoApprover));
        laxer.approver = Some("Li".to_owned());
        assert_eq!(laxer.check(&fridge), Err(OverrideError::NoApprover));
        laxer.approver = Some("Wang".to_owned());
        assert_eq!(laxer.check(&fridge), Err(OverrideError::NoEnd));
        laxer.until = Some(UtcMillis(2_000));
        assert!(laxer.check(&fridge).is_ok());
        assert!(laxer.is_on(UtcMillis(1_999)) && !laxer.is_on(UtcMillis(2_000)));
        // A longer hold is laxer too, whatever the limit.
        let mut longer = change("CN-TMP-01", 6.0);
        longer.hold_ms = Some(fridge.hold_ms + 1_000);
        assert_eq!(longer.check(&fridge), Err(OverrideError::NoApprover));
    }

    /// Every number of every built-in rule can be changed, and it is known what that takes.
    #[test]
    fn every_number_of_every_rule_goes_one_way_or_takes_an_approver() {
        let mut kinds = std::collections::BTreeSet::new();
        for rule in pack::built_in() {
            for number in rule.numbers() {
                let step = if number.value.fract() == 0.0 { 1.0 } else { 0.1 };
                for (value, way) in [
                    (number.value - step, Stricter::Lower),
                    (number.value + step, Stricter::Higher),
                ] {
                    let change = RuleOverride {
                        limit: None,
                        numbers: BTreeMap::from([(number.name.clone(), value)]),
                        ..change(rule.id.as_str(), 0.0)
                    };
                    // Some numbers stand at the end of what they may be, or at each other.
                    let Ok(changed) = change.apply(&rule) else {
                        continue;
                    };
                    let want = match number.stricter {
                        Stricter::Unknown => Direction::Unknown,
                        stricter if stricter == way => Direction::Stricter,
                        _ => Direction::Laxer,
                    };
                    assert_eq!(
                        direction(&rule, &changed),
                        want,
                        "{} {} {value}",
                        rule.id,
                        number.name
                    );
                    let needs_nothing = change.check(&rule).is_ok();
                    assert_eq!(
                        needs_nothing,
                        want == Direction::Stricter,
                        "{} {}",
                        rule.id,
                        number.name
                    );
                    kinds.insert(format!("{} {}", rule.kind.code(), number.name));
                }
            }
        }
        for tried in [
            "threshold clear_limit",
            "rate_of_change over_s",
            "dose reset_s",
            "dose low",
            "stage to_1",
            "stage within_1_s",
            "stage from",
            "cycle for_s",
            "missing within_s",
            "clock_skew clear_s",
            "correlation window_s",
            "correlation with_1",
            "boolean clear_hold_s",
        ] {
            assert!(kinds.contains(tried), "{tried} of {kinds:?}");
        }
    }

    #[test]
    fn a_number_that_a_rule_lacks_is_refused_with_those_that_it_has() {
        let numbers = |name: &str, value| RuleOverride {
            limit: None,
            numbers: BTreeMap::from([(name.to_owned(), value)]),
            ..change("CN-TMP-01", 0.0)
        };
        let fridge = base("CN-TMP-01");
        for (name, value, word) in [
            ("window_s", 5.0, "clear_limit"),
            ("clear_limit", f64::NAN, "clear_limit"),
            ("clear_hold_s", 0.5, "whole seconds"),
            ("clear_limit", 9.0, "safe side"),
        ] {
            let refused = numbers(name, value).apply(&fridge).unwrap_err();
            assert!(refused.to_string().contains(word), "{name} {value}: {refused}");
        }
        let changed = numbers("clear_limit", 5.0).check(&fridge).unwrap();
        assert!(matches!(
            changed.kind,
            RuleKind::Threshold {
                limit: 8.0,
                clear_limit: 5.0,
                ..
            }
        ));
        // What cannot be told of a rule that guards life is refused as what is laxer.
        let rising = RuleOverride {
            approver: Some("Wang".to_owned()),
            until: Some(UtcMillis(2_000)),
            rule: RuleId::new("FG-GAS-06").unwrap(),
            ..numbers("over_s", 60.0)
        };
        assert_eq!(rising.check(&base("FG-GAS-06")), Err(OverrideError::Danger));
    }

    #[test]
    fn what_guards_life_only_becomes_stricter() {
        let gas = base("FG-GAS-01");
        let mut laxer = change("FG-GAS-01", 20.0);
        laxer.approver = Some("Wang".to_owned());
        laxer.until = Some(UtcMillis(2_000));
        assert_eq!(laxer.check(&gas), Err(OverrideError::Danger));
        assert!(change("FG-GAS-01", 7.0).check(&gas).is_ok());
        assert!(matches!(
            change("FG-SMK-01", 7.0).check(&base("FG-SMK-01")),
            Err(OverrideError::NoLimit)
        ));
        assert!(matches!(
            change("CN-DS-01", 20.0).check(&base("CN-DS-01")),
            Err(OverrideError::Numbers(_))
        ));
    }

    #[test]
    fn an_override_stands_beside_its_base_while_it_holds() {
        let rules = [base("CN-TMP-01")];
        let changes = [change("CN-TMP-01", 6.0), change("CN-XX-99", 6.0)];
        assert_eq!(with_overrides(&rules, &changes, UtcMillis(999)).len(), 1);
        let both = with_overrides(&rules, &changes, UtcMillis(1_000));
        assert_eq!(both.len(), 2);
        assert!(both[1].facility.is_some() && both[1].kind.limit() == Some(6.0));
    }
}
