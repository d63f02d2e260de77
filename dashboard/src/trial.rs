//! A trial: what other numbers of a rule would have meant on the stored history. Pages and API ask the same.

use std::{collections::BTreeMap, sync::Arc};

use alerts::whatif::{Circumstances, History, Outcome, what_if};
use domain::{FacilityId, Point, Rule, RuleId, TimeRange, rule::OverrideError};

use crate::{
    app::App,
    failure::{Failure, Kind},
    query,
    visitor::Visitor,
    zone,
};

const DAY_MS: i64 = 86_400_000;

/// The most days that one trial looks back.
pub(crate) const MAX_DAYS: u32 = 100;

/// What somebody wants to try.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) limit: Option<f64>,
    pub(crate) hold_s: Option<u32>,
    /// The rule's other numbers by name; see [`Rule::numbers`].
    pub(crate) numbers: BTreeMap<String, f64>,
    /// 1 to [`MAX_DAYS`].
    pub(crate) days: u32,
    pub(crate) facility: Option<FacilityId>,
}

impl Wish {
    /// Whether any number is another.
    pub(crate) fn is_one(&self) -> bool {
        self.limit.is_some() || self.hold_s.is_some() || !self.numbers.is_empty()
    }

    /// `rule` with these numbers.
    fn apply(&self, rule: &Rule) -> Result<Rule, Failure> {
        let hold_ms = self.hold_s.map(|s| i64::from(s) * 1000);
        let changed = rule.with_numbers(self.limit, hold_ms, &self.numbers);
        changed.map_err(|refused| match refused {
            OverrideError::NoLimit => {
                Failure::bad_parameter("limit", "a number that a rule of this kind can have")
            }
            refused => Failure::new(Kind::BadRequest, refused.to_string()),
        })
    }
}

/// A rule in force.
pub(crate) fn rule(app: &App, id: &str) -> Result<Rule, Failure> {
    let id = query::id("rule", id, RuleId::new)?;
    let rules = app.stores.alerts.rules();
    rules.get(&id).cloned().ok_or_else(|| Failure::not_found("rule"))
}

/// Judges the last `wish.days` days by `rule` and by the rule as wished; answers with that one and what came of it.
/// Changes nothing.
pub(crate) async fn run(
    app: &Arc<App>,
    visitor: &Visitor,
    rule: &Rule,
    wish: &Wish,
) -> Result<(Rule, Outcome), Failure> {
    // As it is judged: for the facilities whose region has chosen its pack.
    let judged = app.stores.alerts.rule_as_judged(&rule.id);
    let old = judged.as_ref().unwrap_or(rule).clone();
    let new = wish.apply(&old)?;
    let range = TimeRange::ending_at(app.stores.clock.now(), i64::from(wish.days) * DAY_MS);
    let directory = app.directory().await?;
    let points: Vec<Point> = directory
        .facilities(&visitor.scope)
        .filter(|entry| wish.facility.as_ref().is_none_or(|f| *f == entry.facility.id))
        .flat_map(|entry| entry.points.iter().map(|p| p.point.clone()))
        .collect();
    let zone = zone::offsets(&app.zone);
    let mut around = Circumstances::load(&app.stores.records, &visitor.scope, &zone, range).await?;
    around.own.clone_from(&wish.facility);
    let (scope, changed) = (visitor.scope.clone(), new.clone());
    let outcome = app
        .read_blocking(move |app| {
            let history = History {
                series: &app.stores.series,
                scope: &scope,
                points: &points,
                zone: &zone,
                around: &around,
            };
            what_if(history, &old, &changed, range)
        })
        .await??;
    Ok((new, outcome))
}
