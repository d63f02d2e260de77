//! `GET` and `POST /api/v1/overrides`, `/api/v1/overrides/{id}/end` and `/api/v1/trials`: a facility's own numbers, and
//! what another number would have meant.

use std::{collections::BTreeMap, sync::Arc};

use alerts::whatif::Outcome;
use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use domain::{FacilityId, Permission, RuleId, UtcMillis, rule::RuleOverride};
use serde::{Deserialize, Serialize};

use super::{
    cameras::read,
    json,
    shelving::{End, Moment, of},
};
use crate::{
    app::App,
    failure::Failure,
    format::iso,
    query::{self, Parameters},
    signed,
    trial::{self, MAX_DAYS, Wish},
    visitor::Visitor,
};

const DAY_MS: i64 = 86_400_000;

/// What is over is listed for this long, in milliseconds.
const LISTED_MS: i64 = 400 * DAY_MS;

#[derive(Serialize)]
struct OverrideBody {
    id: i64,
    version: u32,
    rule: String,
    facility: String,
    limit: Option<f64>,
    hold_s: Option<i64>,
    numbers: BTreeMap<String, f64>,
    reason: String,
    by: String,
    approver: Option<String>,
    from: String,
    until: Option<String>,
}

impl From<&RuleOverride> for OverrideBody {
    fn from(own: &RuleOverride) -> OverrideBody {
        OverrideBody {
            id: own.id,
            version: own.version,
            rule: own.rule.to_string(),
            facility: own.facility.to_string(),
            limit: own.limit,
            hold_s: own.hold_ms.map(|ms| ms / 1000),
            numbers: own.numbers.clone(),
            reason: own.reason.clone(),
            by: own.who.clone(),
            approver: own.approver.clone(),
            from: iso(own.from),
            until: own.until.map(iso),
        }
    }
}

/// Facilities' own numbers, newest first.
pub(super) async fn overrides(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let parameters = Parameters::of(&uri)?;
    let rule = parameters
        .get("rule")
        .map(|text| query::id("rule", text, RuleId::new))
        .transpose()?;
    let facility = parameters.facility()?;
    let since = app.stores.clock.now() - LISTED_MS;
    let own = app
        .stores
        .records
        .overrides(&visitor.scope, rule.as_ref(), since)
        .await?;
    let wanted = own
        .iter()
        .filter(|o| facility.as_ref().is_none_or(|f| o.facility == *f));
    let own: Vec<OverrideBody> = wanted.map(OverrideBody::from).collect();
    Ok(json(serde_json::json!({ "overrides": own })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOverride {
    rule: String,
    facility: String,
    limit: Option<f64>,
    hold_s: Option<u32>,
    /// The rule's other numbers by name.
    #[serde(default)]
    numbers: BTreeMap<String, f64>,
    reason: String,
    #[serde(default)]
    by: String,
    approver: Option<String>,
    until: Option<Moment>,
}

/// Gives a facility its own numbers: stricter ones at any time, laxer ones with reason, approver and end.
pub(super) async fn override_rule(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    body: Result<Json<NewOverride>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::ChangeRules)?;
    let body = read(body)?;
    let approver = body
        .approver
        .as_deref()
        .map(|name| signed::given("approver", name))
        .transpose()?;
    let change = RuleOverride {
        id: 0,
        version: 0,
        rule: trial::rule(&app, &body.rule)?.id,
        facility: query::id("facility", &body.facility, FacilityId::new)?,
        limit: body.limit,
        hold_ms: body.hold_s.map(|s| i64::from(s) * 1000),
        numbers: body.numbers,
        reason: signed::comment(&body.reason)?,
        who: signed::name(&visitor, &body.by)?.to_owned(),
        approver: approver.map(str::to_owned),
        from: UtcMillis(0),
        until: body.until.as_ref().map(|at| at.read("until")).transpose()?,
    };
    let own = app
        .stores
        .alerts
        .override_rule(&visitor.scope, change)
        .await
        .map_err(of("facility"))?;
    Ok((StatusCode::CREATED, json(OverrideBody::from(&own))))
}

/// Gives a facility the pack's rule back.
pub(super) async fn restore_rule(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<i64>,
    body: Result<Json<End>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::ChangeRules)?;
    let body = read(body)?;
    let by = signed::name(&visitor, &body.by)?;
    let own = app
        .stores
        .alerts
        .restore_rule(&visitor.scope, id, by)
        .await
        .map_err(of("override"))?;
    Ok(json(OverrideBody::from(&own)))
}

/// A rule as it would be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrialBody {
    rule: String,
    limit: Option<f64>,
    hold_s: Option<u32>,
    /// The rule's other numbers by name.
    #[serde(default)]
    numbers: BTreeMap<String, f64>,
    #[serde(default = "thirty")]
    days: u32,
    facility: Option<String>,
}

fn thirty() -> u32 {
    30
}

impl TrialBody {
    fn of(app: &App, uri: &Uri) -> Result<TrialBody, Failure> {
        let parameters = Parameters::of(uri)?;
        let number = |name: &str| {
            let number = parameters.get(name).map(str::parse::<f64>).transpose();
            number.map_err(|_text| Failure::bad_parameter(name, "a number"))
        };
        let rule = parameters.get("rule").unwrap_or_default().to_owned();
        let mut numbers = BTreeMap::new();
        for known in trial::rule(app, &rule)?.numbers() {
            if let Some(value) = number(&known.name)? {
                numbers.insert(known.name, value);
            }
        }
        let hold_s = parameters.get("hold_s").map(str::parse::<u32>).transpose();
        Ok(TrialBody {
            rule,
            limit: number("limit")?,
            hold_s: hold_s.map_err(|_text| Failure::bad_parameter("hold_s", "a number of seconds"))?,
            numbers,
            days: parameters.number("days", 1, MAX_DAYS, thirty())?,
            facility: parameters.get("facility").map(str::to_owned),
        })
    }

    fn wish(self) -> Result<Wish, Failure> {
        if !(1..=MAX_DAYS).contains(&self.days) {
            return Err(Failure::bad_parameter("days", "1 to 100"));
        }
        let facility = self.facility.as_deref();
        Ok(Wish {
            limit: self.limit,
            hold_s: self.hold_s,
            numbers: self.numbers,
            days: self.days,
            facility: facility
                .map(|text| query::id("facility", text, FacilityId::new))
                .transpose()?,
        })
    }
}

#[derive(Serialize)]
struct DayBody {
    day: String,
    old: u32,
    new: u32,
}

#[derive(Serialize)]
struct OutcomeBody {
    rule: String,
    old: u32,
    new: u32,
    points: usize,
    readings: u64,
    /// Facilities that were not judged, because there was too much to read.
    left_out: usize,
    days: Vec<DayBody>,
}

/// `GET`: the same as `POST`, with parameters.
pub(super) async fn trial(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    Ok(json(try_rule(&app, &visitor, TrialBody::of(&app, &uri)?).await?))
}

/// What the stored history would have been under other numbers. Changes nothing.
pub(super) async fn post_trial(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    body: Result<Json<TrialBody>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    Ok(json(try_rule(&app, &visitor, read(body)?).await?))
}

async fn try_rule(app: &Arc<App>, visitor: &Visitor, asked: TrialBody) -> Result<OutcomeBody, Failure> {
    let rule = trial::rule(app, &asked.rule)?;
    let (_, outcome) = trial::run(app, visitor, &rule, &asked.wish()?).await?;
    Ok(body_of(app, rule.id.to_string(), &outcome))
}

fn body_of(app: &App, rule: String, outcome: &Outcome) -> OutcomeBody {
    let local = |at: UtcMillis| {
        let moment = jiff::Timestamp::from_millisecond(at.0).ok();
        moment
            .map(|t| t.to_zoned(app.zone.clone()).date().to_string())
            .unwrap_or_default()
    };
    let (old, new) = outcome.totals();
    OutcomeBody {
        rule,
        old,
        new,
        points: outcome.points,
        readings: outcome.readings,
        left_out: outcome.left_out,
        days: outcome
            .days
            .iter()
            .map(|d| DayBody {
                day: local(d.day),
                old: d.old,
                new: d.new,
            })
            .collect(),
    }
}
