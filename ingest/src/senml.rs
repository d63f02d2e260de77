//! SenML (RFC 8428): base fields, relative times, names.
//!
//! A record's name is its base name and its name together; the part behind the last `/` or `:` is the
//! metric, and the part before it must be the same wherever a pack names that metric. A sum (`s`) is a series of its own, named `<metric>.sum`. Texts (`vs`) and data (`vd`) are no
//! readings and are refused.

use std::{borrow::Cow, collections::HashMap};

use domain::UtcMillis;
use foldhash::fast::RandomState;
use serde::de::Error;

use crate::{
    codec::{Scalar, State},
    decode::PayloadUnit,
    error::{DecodeError, echo},
    moment,
};

/// The version of RFC 8428. A pack of a later one must not be guessed at.
const VERSION: f64 = 10.0;

/// Times below this many seconds are relative to now (RFC 8428 section 4.5.3).
const ABSOLUTE_FROM_S: f64 = 268_435_456.0;

/// The members of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    BaseName,
    BaseTime,
    BaseUnit,
    BaseValue,
    BaseSum,
    BaseVersion,
    Name,
    Unit,
    Value,
    Text,
    Truth,
    Data,
    Sum,
    Time,
    UpdateTime,
}

const MEMBERS: [(&str, Member); 15] = [
    ("v", Member::Value),
    ("u", Member::Unit),
    ("n", Member::Name),
    ("t", Member::Time),
    ("bn", Member::BaseName),
    ("bt", Member::BaseTime),
    ("bu", Member::BaseUnit),
    ("bv", Member::BaseValue),
    ("bs", Member::BaseSum),
    ("bver", Member::BaseVersion),
    ("vs", Member::Text),
    ("vb", Member::Truth),
    ("vd", Member::Data),
    ("s", Member::Sum),
    ("ut", Member::UpdateTime),
];

impl Member {
    pub(crate) fn parse(name: &str) -> Option<Member> {
        // No member is longer: most unknown names need no comparison.
        if name.len() > 4 {
            return None;
        }
        MEMBERS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, member)| *member)
    }

    pub(crate) fn name(self) -> &'static str {
        MEMBERS
            .iter()
            .find(|(_, member)| *member == self)
            .map_or("", |(name, _)| name)
    }
}

/// One record as it stands in the pack, by [`Member`].
#[derive(Debug, Default)]
pub(crate) struct Record<'p>([Option<Scalar<'p>>; MEMBERS.len()]);

impl<'p> Record<'p> {
    /// Sets a member; answers with what stood there before.
    pub(crate) fn set(&mut self, member: Member, scalar: Scalar<'p>) -> Option<Scalar<'p>> {
        self.0[member as usize].replace(scalar)
    }

    fn has(&self, member: Member) -> bool {
        self.0[member as usize].is_some()
    }

    fn take(&mut self, member: Member) -> Option<Scalar<'p>> {
        self.0[member as usize].take()
    }

    /// Whether there is a member that our own form does not have.
    pub(crate) fn is_senml_only(&self) -> bool {
        MEMBERS
            .iter()
            .any(|(_, m)| !matches!(m, Member::Value | Member::Unit) && self.has(*m))
    }

    pub(crate) fn take_value(&mut self) -> Option<Scalar<'p>> {
        self.take(Member::Value)
    }

    pub(crate) fn take_unit(&mut self) -> PayloadUnit<'p> {
        match self.take(Member::Unit) {
            None | Some(Scalar::Null) => PayloadUnit::Unsaid,
            Some(Scalar::Text(name)) => PayloadUnit::parse(name),
            Some(_) => PayloadUnit::Unknown(Cow::Borrowed("")),
        }
    }

    /// A text member: `Ok(None)` when it is absent.
    fn text(&mut self, member: Member) -> Result<Option<Cow<'p, str>>, DecodeError> {
        match self.take(member) {
            None => Ok(None),
            Some(Scalar::Text(text)) => Ok(Some(text)),
            Some(_) => Err(DecodeError::UnknownForm),
        }
    }

    /// A number member: `Ok(None)` when it is absent.
    fn real(&mut self, member: Member, otherwise: DecodeError) -> Result<Option<f64>, DecodeError> {
        match self.take(member) {
            None => Ok(None),
            Some(Scalar::Real(v)) => Ok(Some(v)),
            Some(_) => Err(otherwise),
        }
    }
}

/// The base fields: each holds from its record on until another takes its place.
#[derive(Debug, Default)]
pub(crate) struct Base<'p> {
    name: Cow<'p, str>,
    time_s: f64,
    unit: PayloadUnit<'p>,
    value: f64,
    sum: Option<f64>,
    /// What stands before each metric's name in this pack: whose it is.
    owners: HashMap<Box<str>, Box<str>, RandomState>,
}

impl<'p> Base<'p> {
    fn update(&mut self, record: &mut Record<'p>) -> Result<(), DecodeError> {
        if record
            .real(Member::BaseVersion, DecodeError::SenmlExtension)?
            .is_some_and(|v| v > VERSION)
        {
            return Err(DecodeError::SenmlExtension);
        }
        if let Some(name) = record.text(Member::BaseName)? {
            self.name = name;
        }
        if let Some(time_s) = record.real(Member::BaseTime, DecodeError::Time)? {
            self.time_s = time_s;
        }
        if let Some(unit) = record.text(Member::BaseUnit)? {
            self.unit = PayloadUnit::parse(unit);
        }
        if let Some(value) = record.real(Member::BaseValue, DecodeError::NotANumber)? {
            self.value = value;
        }
        if let Some(sum) = record.real(Member::BaseSum, DecodeError::NotANumber)? {
            self.sum = Some(sum);
        }
        Ok(())
    }

    /// The part of the whole name behind its last separator; `None` when that is empty.
    fn metric(&self, name: Option<Cow<'p, str>>) -> Option<Cow<'p, str>> {
        let name = name.unwrap_or_default();
        let own = tail(name);
        let whole = match own {
            (own, true) => own,
            (own, false) => {
                let (before, _) = tail(self.name.clone());
                match (before.is_empty(), own.is_empty()) {
                    (true, _) => own,
                    (false, true) => before,
                    (false, false) => Cow::Owned(format!("{before}{own}")),
                }
            }
        };
        (!whole.is_empty()).then_some(whole)
    }

    /// Notes whose `metric` a record measures, which must not be somebody else's than before.
    fn claim(&mut self, name: Option<&str>, metric: &str) -> Result<(), DecodeError> {
        let name = name.unwrap_or_default();
        // The whole name ends with the metric; what is left of base name and name is the owner.
        let of_name = name.len().saturating_sub(metric.len());
        let of_base = self.name.len() - (metric.len().saturating_sub(name.len())).min(self.name.len());
        let owner = [&self.name[..of_base], &name[..of_name]];
        let Some(before) = self.owners.get(metric) else {
            self.owners.insert(metric.into(), owner.concat().into());
            return Ok(());
        };
        let same = before.strip_prefix(owner[0]).is_some_and(|rest| rest == owner[1]);
        if same {
            Ok(())
        } else {
            Err(DecodeError::SeveralThings { metric: echo(metric) })
        }
    }

    /// The moment of a record; `None` when it says nothing of the time, or "now".
    fn moment(&self, time_s: f64, received: UtcMillis) -> Result<Option<UtcMillis>, DecodeError> {
        let sum_s = self.time_s + time_s;
        if sum_s == 0.0 {
            return Ok(None);
        }
        let ms = sum_s * 1_000.0;
        let ms = if sum_s < ABSOLUTE_FROM_S {
            ms + received.0 as f64
        } else {
            ms
        };
        moment::from_millis(ms.round()).map(Some).ok_or(DecodeError::Time)
    }
}

/// What stands behind the last separator, and whether there is one.
fn tail(name: Cow<'_, str>) -> (Cow<'_, str>, bool) {
    let Some(at) = name.rfind(['/', ':']) else {
        return (name, false);
    };
    let rest = match name {
        Cow::Borrowed(text) => Cow::Borrowed(&text[at + 1..]),
        Cow::Owned(text) => Cow::Owned(text[at + 1..].to_owned()),
    };
    (rest, true)
}

/// Takes the values of one record. The inner answer is why the whole payload is refused, if it is: a base
/// field that is not understood falsifies every record after it.
pub(crate) fn resolve<'p, E: Error>(
    state: &mut State<'_, 'p>,
    mut record: Record<'p>,
    must_understand: bool,
) -> Result<Option<DecodeError>, E> {
    if must_understand {
        return Ok(Some(DecodeError::SenmlExtension));
    }
    let only_base = !MEMBERS
        .iter()
        .any(|(name, m)| !name.starts_with('b') && record.has(*m));
    let had_base = record.is_senml_only();
    if let Err(fault) = state.base.update(&mut record) {
        return Ok(Some(fault));
    }
    if only_base && had_base {
        return Ok(None);
    }
    match Resolved::of(state, &mut record) {
        Ok(resolved) => take(state, resolved)?,
        Err(why) => state.refuse(why)?,
    }
    Ok(None)
}

/// A record with its base fields put in.
struct Resolved<'p> {
    metric: Option<Cow<'p, str>>,
    at: Option<UtcMillis>,
    unit: PayloadUnit<'p>,
    value: Option<Scalar<'p>>,
    sum: Option<f64>,
}

impl<'p> Resolved<'p> {
    fn of(state: &mut State<'_, 'p>, record: &mut Record<'p>) -> Result<Resolved<'p>, DecodeError> {
        let received = state.received;
        let base = &mut state.base;
        let kinds = [Member::Value, Member::Truth, Member::Text, Member::Data];
        if kinds.iter().filter(|kind| record.has(**kind)).count() > 1 {
            return Err(DecodeError::SeveralValues);
        }
        let value = match (record.take(Member::Value), record.take(Member::Truth)) {
            (Some(Scalar::Real(v)), _) => Some(Scalar::Real(v + base.value)),
            (Some(other), _) | (None, Some(other)) => Some(other),
            (None, None) if record.has(Member::Text) || record.has(Member::Data) => Some(Scalar::Nested),
            (None, None) => None,
        };
        let sum = match record.real(Member::Sum, DecodeError::NotANumber)? {
            Some(sum) => Some(sum + base.sum.unwrap_or(0.0)),
            // A sum that stays as it is need not be repeated.
            None => base.sum,
        };
        if value.is_none() && sum.is_none() {
            return Err(DecodeError::NoValue);
        }
        let time_s = record.real(Member::Time, DecodeError::Time)?.unwrap_or(0.0);
        let unit = if record.has(Member::Unit) {
            record.take_unit()
        } else {
            base.unit.clone()
        };
        let name = record.text(Member::Name)?;
        let metric = base.metric(name.clone());
        if let Some(metric) = &metric {
            base.claim(name.as_deref(), metric)?;
        }
        Ok(Resolved {
            metric,
            at: base.moment(time_s, received)?,
            unit,
            value,
            sum,
        })
    }
}

fn take<'p, E: Error>(state: &mut State<'_, 'p>, resolved: Resolved<'p>) -> Result<(), E> {
    let first = state.out.len();
    if let Some(sum) = resolved.sum {
        let name = resolved
            .metric
            .as_deref()
            .map(|metric| Cow::Owned(format!("{metric}.sum")));
        // Without a name the sum would be mistaken for the value.
        match name {
            Some(name) => state.take(Some(name), &Scalar::Real(sum), PayloadUnit::Unsaid)?,
            None => state.refuse(DecodeError::NoMetric)?,
        }
    }
    if let Some(value) = resolved.value {
        state.take(resolved.metric, &value, resolved.unit)?;
    }
    for value in &mut state.out[first..] {
        value.at = resolved.at;
    }
    Ok(())
}
