//! The numbers of a rule by name, as a facility may change them, and which way each is stricter.

use std::collections::BTreeMap;

use super::{Clause, Comparison, OverrideError, Rule, RuleKind, StageStep};

/// The hold time before a rule's condition clears, in seconds: the one number that every kind has.
const CLEAR_HOLD: &str = "clear_hold_s";

/// Which way a number makes a rule stricter: what was a breach stays one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stricter {
    /// A lower one does.
    Lower,
    /// A higher one does.
    Higher,
    /// It depends on what is measured.
    Unknown,
}

/// A number of a rule that is neither its limit nor its hold time.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// Its name, as in the packs where those have one: `clear_limit`, `window_s`, `to_1`. A name that ends in `_s` is
    /// of whole seconds.
    pub name: String,
    /// What it is, in the unit of the metric or in seconds.
    pub value: f64,
    /// Which way it is stricter.
    pub stricter: Stricter,
}

/// Where a number lies.
enum Place<'a> {
    Real(&'a mut f64),
    Whole(&'a mut u32),
}

impl Place<'_> {
    fn get(&self) -> f64 {
        match self {
            Place::Real(value) => **value,
            Place::Whole(value) => f64::from(**value),
        }
    }

    /// Whether `value` is one that may lie here.
    fn set(&mut self, value: f64) -> bool {
        match self {
            Place::Real(place) if value.is_finite() => **place = value,
            Place::Whole(place) if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a whole number within the type's range"
                )]
                let whole = value as u32;
                **place = whole;
            }
            _ => return false,
        }
        true
    }
}

type Named<'a> = (String, Place<'a>, Stricter);

fn real<'a>(name: &str, value: &'a mut f64, stricter: Stricter) -> Named<'a> {
    (name.to_owned(), Place::Real(value), stricter)
}

fn whole<'a>(name: &str, value: &'a mut u32, stricter: Stricter) -> Named<'a> {
    (name.to_owned(), Place::Whole(value), stricter)
}

/// A limit whose breach lies on this side.
const fn by(op: Comparison) -> Stricter {
    match op {
        Comparison::Above | Comparison::AtLeast => Stricter::Lower,
        Comparison::Below | Comparison::AtMost => Stricter::Higher,
    }
}

/// The numbers beside the one that [`RuleKind::limit`] is. What lets a breach end sooner is laxer.
fn numbers_of(kind: &mut RuleKind) -> Vec<Named<'_>> {
    use Stricter::{Higher, Lower, Unknown};
    match kind {
        RuleKind::Threshold { op, clear_limit, .. } => vec![real("clear_limit", clear_limit, by(*op))],
        RuleKind::Range {
            low,
            clear_low,
            clear_high,
            ..
        } => vec![
            real("low", low, Higher),
            real("clear_low", clear_low, Higher),
            real("clear_high", clear_high, Lower),
        ],
        RuleKind::RateOfChange {
            op,
            clear_limit,
            over_s,
            ..
        } => vec![
            real("clear_limit", clear_limit, by(*op)),
            whole("over_s", over_s, Unknown),
        ],
        RuleKind::Count {
            op, limit, within_s, ..
        } => vec![
            real("value_limit", limit, by(*op)),
            whole("within_s", within_s, Higher),
        ],
        RuleKind::Dose {
            low, high, reset_s, ..
        } => dose_numbers(low.as_mut(), high.as_mut(), reset_s),
        RuleKind::Stage { from, steps } => {
            let steps = steps
                .iter_mut()
                .enumerate()
                .flat_map(|(n, step)| step_numbers(n, step));
            [real("from", from, Unknown)].into_iter().chain(steps).collect()
        }
        RuleKind::Cycle { begin, for_s, .. } => {
            vec![real("begin", begin, Unknown), whole("for_s", for_s, Higher)]
        }
        // What counts is on this side, and a breach is that nothing does.
        RuleKind::Missing {
            op, limit, within_s, ..
        } => {
            let harder = match by(*op) {
                Lower => Higher,
                _ => Lower,
            };
            vec![
                real("value_limit", limit, harder),
                whole("within_s", within_s, Lower),
            ]
        }
        RuleKind::Stuck { tolerance, .. } => vec![real("tolerance", tolerance, Higher)],
        RuleKind::ClockSkew { clear_s, for_s, .. } => {
            vec![whole("clear_s", clear_s, Lower), whole("for_s", for_s, Lower)]
        }
        RuleKind::Correlation {
            over_s,
            with,
            window_s,
            ..
        } => joint_numbers(over_s.as_mut(), window_s, with),
        RuleKind::Boolean | RuleKind::Event { .. } | RuleKind::NoData { .. } => Vec::new(),
    }
}

/// A narrower band is laxer: less adds up.
fn dose_numbers<'a>(
    low: Option<&'a mut f64>,
    high: Option<&'a mut f64>,
    reset_s: &'a mut u32,
) -> Vec<Named<'a>> {
    let low = low.map(|low| real("low", low, Stricter::Lower));
    let high = high.map(|high| real("high", high, Stricter::Higher));
    let reset = whole("reset_s", reset_s, Stricter::Higher);
    low.into_iter().chain(high).chain([reset]).collect()
}

/// A step of a cooling, the `n`th from 0.
fn step_numbers(n: usize, step: &mut StageStep) -> impl Iterator<Item = Named<'_>> {
    let within = step.within_s.as_mut();
    let within = within.map(|s| whole(&format!("within_{}_s", n + 1), s, Stricter::Lower));
    let to = real(&format!("to_{}", n + 1), &mut step.to, Stricter::Lower);
    std::iter::once(to).chain(within)
}

fn joint_numbers<'a>(
    over_s: Option<&'a mut u32>,
    window_s: &'a mut u32,
    with: &'a mut [Clause],
) -> Vec<Named<'a>> {
    let over = over_s.map(|s| whole("over_s", s, Stricter::Unknown));
    let window = whole("window_s", window_s, Stricter::Higher);
    let with = with.iter_mut().enumerate();
    let with = with.map(|(n, c)| real(&format!("with_{}", n + 1), &mut c.limit, by(c.op)));
    over.into_iter().chain([window]).chain(with).collect()
}

impl Rule {
    /// The numbers that a facility may change beside limit and hold time.
    #[must_use]
    pub fn numbers(&self) -> Vec<Number> {
        let mut kind = self.kind.clone();
        let mut numbers: Vec<Number> = numbers_of(&mut kind)
            .into_iter()
            .map(|(name, place, stricter)| Number {
                name,
                value: place.get(),
                stricter,
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a week in seconds at most")]
        numbers.push(Number {
            name: CLEAR_HOLD.to_owned(),
            value: (self.clear_hold_ms / 1000) as f64,
            stricter: Stricter::Higher,
        });
        numbers
    }

    /// The rule with another limit, hold time (in milliseconds) and further numbers, as far as they are given. Where the
    /// limit is another, the limits at which it clears keep their distance unless they are given too.
    ///
    /// # Errors
    /// [`OverrideError::Nothing`], [`OverrideError::NoLimit`], [`OverrideError::NoNumber`] or
    /// [`OverrideError::Numbers`].
    pub fn with_numbers(
        &self,
        limit: Option<f64>,
        hold_ms: Option<i64>,
        numbers: &BTreeMap<String, f64>,
    ) -> Result<Rule, OverrideError> {
        if limit.is_none() && hold_ms.is_none() && numbers.is_empty() {
            return Err(OverrideError::Nothing);
        }
        let mut rule = self.clone();
        if let Some(limit) = limit {
            rule.kind = self.kind.with_limit(limit).ok_or(OverrideError::NoLimit)?;
        }
        if let Some(hold_ms) = hold_ms {
            rule.hold_ms = hold_ms;
        }
        for (name, value) in numbers {
            if !rule.set_number(name, *value) {
                return Err(OverrideError::NoNumber {
                    name: name.chars().take(32).collect(),
                    known: self
                        .numbers()
                        .into_iter()
                        .map(|n| n.name)
                        .collect::<Vec<_>>()
                        .join(", "),
                });
            }
        }
        crate::pack::check::numbers(&rule).map_err(OverrideError::Numbers)?;
        Ok(rule)
    }

    fn set_number(&mut self, name: &str, value: f64) -> bool {
        if name == CLEAR_HOLD {
            let mut seconds = 0;
            let fits = Place::Whole(&mut seconds).set(value);
            self.clear_hold_ms = i64::from(seconds) * 1000;
            return fits;
        }
        numbers_of(&mut self.kind)
            .into_iter()
            .find(|(known, ..)| known == name)
            .is_some_and(|(_, mut place, _)| place.set(value))
    }
}
