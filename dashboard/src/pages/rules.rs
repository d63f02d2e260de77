//! `/rules` and `/rules/{rule}`: what is judged on which authority, what another limit would have meant, and what a
//! facility has in place of it.

use std::{collections::BTreeMap, sync::Arc};

use alerts::whatif::Outcome;
use askama::Template;
use axum::{
    extract::{Form, Path, State},
    http::{StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{FacilityId, Permission, Rule, RuleId, UtcMillis, rule::RuleOverride};
use i18n_embed_fl::fl;
use serde::Deserialize;

use super::shelving::{Choice, facility_choices};
use crate::{
    app::App,
    failure::Failure,
    format::Locale,
    picture::Shown,
    query::{self, Parameters},
    signed,
    trial::{self, Wish},
    view::{
        authority::Authority,
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

const DAY_MS: i64 = 86_400_000;
/// The most days that a laxer rule may be asked for.
const MAX_DAYS: u32 = 366;

struct RuleRow {
    id: String,
    title: String,
    action: String,
    metric: String,
    point_type: String,
    criterion: String,
    severity: String,
    severity_code: &'static str,
    tone: &'static str,
    clause: String,
    edition: String,
    source: String,
    confidence: String,
    verified: bool,
    version: String,
}

impl RuleRow {
    fn of(locale: &Locale, rule: &Rule) -> RuleRow {
        let authority = Authority::of(locale, rule);
        RuleRow {
            id: rule.id.to_string(),
            title: locale.pick(&rule.title_zh, &rule.title_en).to_owned(),
            action: locale.pick(&rule.action_zh, &rule.action_en).to_owned(),
            metric: rule
                .metric
                .as_ref()
                .map_or_else(|| fl!(locale.l, "any"), |m| locale.metric(m)),
            point_type: rule.point_type.clone().unwrap_or_default(),
            criterion: locale.criterion(rule),
            severity: locale.severity(rule.severity),
            severity_code: rule.severity.code(),
            tone: Shown::Active(rule.severity).tone(),
            clause: authority.clause,
            edition: authority.edition,
            source: authority.source,
            confidence: locale.confidence(rule.confidence),
            verified: rule.confidence == domain::Confidence::Verified,
            version: format!("{} {}", rule.pack, rule.pack_version),
        }
    }
}

#[derive(Template)]
#[template(path = "rules.html")]
struct Rules {
    page: Page,
    rules: Vec<RuleRow>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let active = app.stores.alerts.rules();
    let mut sorted: Vec<_> = active.values().collect();
    sorted.sort_by(|a, b| (a.severity, &a.id).cmp(&(b.severity, &b.id)));
    let page = Page::new(&app, &visitor, Nav::Rules, fl!(locale.l, "rules-title"), "/rules");
    let view = Rules {
        page,
        rules: sorted
            .into_iter()
            .map(|rule| RuleRow::of(&locale, rule))
            .collect(),
    };
    view.page.answer(view.render())
}

/// A facility's own numbers, in words.
struct OwnRow {
    id: i64,
    facility: String,
    version: u32,
    criterion: String,
    reason: String,
    who: String,
    approver: String,
    from: String,
    until: String,
    holds: bool,
}

/// One day of a trial.
struct TrialDay {
    day: String,
    old: u32,
    new: u32,
}

/// What a trial says.
struct Trial {
    criterion: String,
    days: Vec<TrialDay>,
    old: u32,
    new: u32,
    most: u32,
    readings: u64,
    points: usize,
    left_out: usize,
}

/// A number of a rule that is neither its limit nor its hold time, as a field of a form.
struct NumberField {
    name: String,
    label: String,
    /// What somebody asked to try.
    asked: String,
}

impl NumberField {
    fn all(locale: &Locale, rule: &Rule, asked: &BTreeMap<String, f64>) -> Vec<NumberField> {
        let field = |number: domain::rule::Number| NumberField {
            label: number_label(locale, &number),
            asked: asked.get(&number.name).map(f64::to_string).unwrap_or_default(),
            name: number.name,
        };
        rule.numbers().into_iter().map(field).collect()
    }
}

/// What a number is, and what it is now.
fn number_label(locale: &Locale, number: &domain::rule::Number) -> String {
    let (l, now) = (locale.l, number.value.to_string());
    match number.name.as_str() {
        "clear_limit" => fl!(l, "num-clear-limit", now = now),
        "clear_hold_s" => fl!(l, "num-clear-hold", now = now),
        "low" => fl!(l, "num-low", now = now),
        "high" => fl!(l, "num-high", now = now),
        "clear_low" => fl!(l, "num-clear-low", now = now),
        "clear_high" => fl!(l, "num-clear-high", now = now),
        "value_limit" => fl!(l, "num-value-limit", now = now),
        "over_s" => fl!(l, "num-over", now = now),
        "within_s" => fl!(l, "num-within", now = now),
        "window_s" => fl!(l, "num-window", now = now),
        "reset_s" => fl!(l, "num-reset", now = now),
        "from" => fl!(l, "num-from", now = now),
        "begin" => fl!(l, "num-begin", now = now),
        "for_s" => fl!(l, "num-for", now = now),
        "tolerance" => fl!(l, "num-tolerance", now = now),
        "clear_s" => fl!(l, "num-clear-s", now = now),
        other => {
            let step = other.split('_').nth(1).unwrap_or_default().to_owned();
            match other.split('_').next() {
                Some("to") => fl!(l, "num-step-to", n = step, now = now),
                Some("within") => fl!(l, "num-step-within", n = step, now = now),
                _ => fl!(l, "num-with", n = step, now = now),
            }
        }
    }
}

#[derive(Template)]
#[template(path = "rule.html")]
struct RulePage {
    page: Page,
    rule: RuleRow,
    limit: String,
    hold_s: i64,
    has_limit: bool,
    can_be_shelved: bool,
    asked_limit: String,
    asked_hold: String,
    asked_days: u32,
    numbers: Vec<NumberField>,
    asked_more: bool,
    trial: Option<Trial>,
    own: Vec<OwnRow>,
    facilities: Vec<Choice>,
    max_name: usize,
}

/// What the address asks to try.
fn wished(uri: &Uri, rule: &Rule) -> Result<Wish, Failure> {
    let parameters = Parameters::of(uri)?;
    let mut numbers = BTreeMap::new();
    for known in rule.numbers() {
        if let Some(text) = parameters.get(&known.name) {
            numbers.insert(known.name.clone(), number(&known.name, text)?);
        }
    }
    let hold_s = parameters
        .get("hold")
        .map(|text| number("hold", text))
        .transpose()?;
    Ok(Wish {
        limit: parameters
            .get("limit")
            .map(|text| number("limit", text))
            .transpose()?,
        hold_s,
        numbers,
        days: parameters.number("days", 1, 100, 30)?,
        facility: parameters.facility()?,
    })
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, Failure> {
    let wrong = |_| Failure::bad_parameter(name, "a number, with a point before its decimals");
    text.trim().parse().map_err(wrong)
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Failure> {
    let rule = trial::rule(&app, &id)?;
    let wish = wished(&uri, &rule)?;
    let locale = visitor.locale(&app);
    let trial = if wish.is_one() {
        Some(try_it(&app, &visitor, &rule, &wish).await?)
    } else {
        None
    };
    let records = &app.stores.records;
    let since = locale.now - 400 * DAY_MS;
    let own = records.overrides(&visitor.scope, Some(&rule.id), since).await?;
    let directory = app.directory().await?;
    let facilities = facility_choices(&locale, &directory, &visitor.scope, wish.facility.as_ref());
    let title = locale.pick(&rule.title_zh, &rule.title_en).to_owned();
    let page = Page::new(&app, &visitor, Nav::Rules, title, &format!("/rules/{}", rule.id));
    let limit = rule.kind.limit();
    let view = RulePage {
        page,
        rule: RuleRow::of(&locale, &rule),
        limit: limit.map(|l| l.to_string()).unwrap_or_default(),
        hold_s: rule.hold_ms / 1000,
        has_limit: limit.is_some(),
        can_be_shelved: rule.can_be_shelved(),
        asked_limit: wish.limit.map(|l| l.to_string()).unwrap_or_default(),
        asked_hold: wish.hold_s.map(|h| h.to_string()).unwrap_or_default(),
        asked_days: wish.days,
        numbers: NumberField::all(&locale, &rule, &wish.numbers),
        asked_more: !wish.numbers.is_empty(),
        trial,
        own: own
            .iter()
            .map(|o| own_row(&locale, &facilities, &rule, o))
            .collect(),
        facilities,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

fn own_row(locale: &Locale, facilities: &[Choice], rule: &Rule, own: &RuleOverride) -> OwnRow {
    let named = facilities.iter().find(|f| f.value == own.facility.as_str());
    OwnRow {
        id: own.id,
        facility: named.map_or_else(|| own.facility.to_string(), |f| f.label.clone()),
        version: own.version,
        criterion: own
            .apply(rule)
            .map(|r| with_numbers(locale.criterion(&r), &own.numbers))
            .unwrap_or_default(),
        reason: own.reason.clone(),
        who: own.who.clone(),
        approver: own.approver.clone().unwrap_or_default(),
        from: locale.stamp(own.from).at(),
        until: own.until.map(|at| locale.stamp(at).at()).unwrap_or_default(),
        holds: own.until.is_none_or(|until| until > locale.now),
    }
}

async fn try_it(app: &Arc<App>, visitor: &Visitor, rule: &Rule, wish: &Wish) -> Result<Trial, Failure> {
    let (new, outcome) = trial::run(app, visitor, rule, wish).await?;
    let locale = visitor.locale(app);
    let trial = words(&locale, &new, &outcome);
    Ok(Trial {
        criterion: with_numbers(trial.criterion, &wish.numbers),
        ..trial
    })
}

/// A criterion with the numbers that it does not name.
fn with_numbers(criterion: String, numbers: &BTreeMap<String, f64>) -> String {
    let named = numbers.iter().map(|(name, value)| format!(" · {name} = {value}"));
    criterion + &named.collect::<String>()
}

fn words(locale: &Locale, new: &Rule, outcome: &Outcome) -> Trial {
    let day = |at: UtcMillis| {
        jiff::Timestamp::from_millisecond(at.0).map_or_else(
            |_| String::new(),
            |t| t.to_zoned(locale.zone.clone()).date().to_string(),
        )
    };
    let days = outcome.days.iter().map(|d| TrialDay {
        day: day(d.day),
        old: d.old,
        new: d.new,
    });
    let (old, new_total) = outcome.totals();
    Trial {
        criterion: locale.criterion(new),
        days: days.collect(),
        old,
        new: new_total,
        most: outcome
            .days
            .iter()
            .map(|d| d.old.max(d.new))
            .max()
            .unwrap_or(0)
            .max(1),
        readings: outcome.readings,
        points: outcome.points,
        left_out: outcome.left_out,
    }
}

/// A facility's own numbers, as a form brings them.
#[derive(Debug, Deserialize)]
pub(crate) struct OverrideForm {
    facility: String,
    #[serde(default)]
    limit: String,
    #[serde(default)]
    hold: String,
    #[serde(default)]
    days: String,
    reason: String,
    #[serde(default)]
    by: String,
    #[serde(default)]
    approver: String,
    /// The rule's other numbers by name; empty where they stay.
    #[serde(flatten)]
    numbers: BTreeMap<String, String>,
}

impl OverrideForm {
    fn numbers(&self) -> Result<BTreeMap<String, f64>, Failure> {
        let given = self.numbers.iter().filter(|(_, text)| !text.trim().is_empty());
        given
            .map(|(name, text)| Ok((name.clone(), number(name, text)?)))
            .collect()
    }
}

pub(crate) async fn override_rule(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
    Form(form): Form<OverrideForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::ChangeRules)?;
    let rule = trial::rule(&app, &id)?;
    let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let limit = given(&form.limit)
        .map(|text| number("limit", &text))
        .transpose()?;
    let hold_s: Option<u32> = given(&form.hold).map(|text| number("hold", &text)).transpose()?;
    let days: Option<u32> = given(&form.days).map(|text| number("days", &text)).transpose()?;
    if days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
        return Err(Failure::bad_parameter("days", "1 to 366"));
    }
    let approver = given(&form.approver);
    let approver = approver
        .as_deref()
        .map(|name| signed::given("approver", name))
        .transpose()?;
    let now = app.stores.clock.now();
    let change = RuleOverride {
        id: 0,
        version: 0,
        rule: rule.id.clone(),
        facility: query::id("facility", &form.facility, FacilityId::new)?,
        limit,
        hold_ms: hold_s.map(|s| i64::from(s) * 1000),
        numbers: form.numbers()?,
        reason: signed::comment(&form.reason)?,
        who: signed::name(&visitor, &form.by)?.to_owned(),
        approver: approver.map(str::to_owned),
        from: UtcMillis(0),
        // The year is counted from the moment of the log, which is a little behind.
        until: days.map(|days| now + i64::from(days) * DAY_MS - 60_000),
    };
    app.stores.alerts.override_rule(&visitor.scope, change).await?;
    Ok(back(&rule.id))
}

/// Who takes something back.
#[derive(Debug, Deserialize)]
pub(crate) struct EndForm {
    #[serde(default)]
    pub(super) by: String,
}

pub(crate) async fn restore_rule(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((id, own)): Path<(String, i64)>,
    Form(form): Form<EndForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::ChangeRules)?;
    let rule = trial::rule(&app, &id)?;
    let by = signed::name(&visitor, &form.by)?;
    app.stores.alerts.restore_rule(&visitor.scope, own, by).await?;
    Ok(back(&rule.id))
}

fn back(rule: &RuleId) -> Response {
    (
        StatusCode::SEE_OTHER,
        [(header::LOCATION, format!("/rules/{rule}"))],
    )
        .into_response()
}
