//! `GET` and `POST /api/v1/shelves`, `/api/v1/windows`, and their `/{id}/end`: what people set aside.

use std::sync::Arc;

use alerts::AlertError;
use axum::{
    Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, Uri},
    response::IntoResponse,
};
use domain::{
    DeviceId, FacilityId, Metric, MuteTarget, Permission, RuleId, Shelf, TimeRange, UtcMillis, When, Window,
    WindowKind, rule::DayMinute,
};
use serde::{Deserialize, Serialize};

use super::{cameras::read, json};
use crate::{
    app::App,
    failure::Failure,
    format::iso,
    query::{self, Parameters},
    signed,
    visitor::Visitor,
};

/// What was set aside is listed for this long after it is over, in milliseconds.
const LISTED_MS: i64 = 30 * 86_400_000;

/// The days of the week, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A moment: milliseconds since 1970, or RFC 3339.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Moment {
    Ms(i64),
    Text(String),
}

impl Moment {
    pub(super) fn read(&self, name: &str) -> Result<UtcMillis, Failure> {
        let ms = match self {
            Moment::Ms(ms) => Some(*ms),
            Moment::Text(text) => text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond()),
        };
        let ms = ms.filter(|ms| jiff::Timestamp::from_millisecond(*ms).is_ok());
        let wanted = "a moment: milliseconds since 1970, or RFC 3339 such as 2026-01-31T08:00:00Z";
        ms.map(UtcMillis)
            .ok_or_else(|| Failure::bad_parameter(name, wanted))
    }
}

/// What a shelf or a window is about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    facility: String,
    device: Option<String>,
    metric: Option<String>,
    rule: Option<String>,
}

impl Target {
    fn read(&self) -> Result<MuteTarget, Failure> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Ok(MuteTarget {
            facility: query::id("facility", &self.facility, FacilityId::new)?,
            device: given(&self.device)
                .map(|t| query::id("device", &t, DeviceId::new))
                .transpose()?,
            metric: given(&self.metric)
                .map(|t| query::id("metric", &t, Metric::new))
                .transpose()?,
            rule: given(&self.rule)
                .map(|t| query::id("rule", &t, RuleId::new))
                .transpose()?,
        })
    }
}

#[derive(Serialize)]
struct TargetBody {
    facility: String,
    device: Option<String>,
    metric: Option<String>,
    rule: Option<String>,
}

impl From<&MuteTarget> for TargetBody {
    fn from(target: &MuteTarget) -> TargetBody {
        TargetBody {
            facility: target.facility.to_string(),
            device: target.device.as_ref().map(ToString::to_string),
            metric: target.metric.as_ref().map(ToString::to_string),
            rule: target.rule.as_ref().map(ToString::to_string),
        }
    }
}

#[derive(Serialize)]
struct ShelfBody {
    id: i64,
    target: TargetBody,
    from: String,
    until: String,
    by: String,
    why: String,
    ended_by: Option<String>,
    stands: bool,
}

impl ShelfBody {
    fn new(shelf: &Shelf, now: UtcMillis) -> ShelfBody {
        ShelfBody {
            id: shelf.id,
            target: TargetBody::from(&shelf.target),
            from: iso(shelf.from),
            until: iso(shelf.until),
            by: shelf.who.clone(),
            why: shelf.why.clone(),
            ended_by: shelf.ended_by.clone(),
            stands: shelf.until > now,
        }
    }
}

/// What is set aside now, or was in the last 30 days, newest first.
pub(super) async fn shelves(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let facility = Parameters::of(&uri)?.facility()?;
    let now = app.stores.clock.now();
    let range = TimeRange {
        from: now - LISTED_MS,
        to: UtcMillis(i64::MAX),
    };
    let shelves = app.stores.records.shelves(&visitor.scope, range).await?;
    let wanted = shelves
        .iter()
        .filter(|s| facility.as_ref().is_none_or(|f| s.target.facility == *f));
    let shelves: Vec<ShelfBody> = wanted.map(|s| ShelfBody::new(s, now)).collect();
    Ok(json(serde_json::json!({ "shelves": shelves })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewShelf {
    target: Target,
    until: Moment,
    why: String,
    #[serde(default)]
    by: String,
}

/// Sets something aside, for a week at most. What endangers life is refused.
pub(super) async fn shelve(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    body: Result<Json<NewShelf>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::Shelve)?;
    let body = read(body)?;
    let shelf = Shelf {
        id: 0,
        target: body.target.read()?,
        from: UtcMillis(0),
        until: body.until.read("until")?,
        who: signed::name(&visitor, &body.by)?.to_owned(),
        why: signed::comment(&body.why)?,
        ended_by: None,
    };
    let shelf = app
        .stores
        .alerts
        .shelve(&visitor.scope, shelf)
        .await
        .map_err(of("facility"))?;
    Ok((
        StatusCode::CREATED,
        json(ShelfBody::new(&shelf, app.stores.clock.now())),
    ))
}

/// Who ends something.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    #[serde(default)]
    pub(super) by: String,
}

/// Takes up what was set aside.
pub(super) async fn take_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<i64>,
    body: Result<Json<End>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::Shelve)?;
    let body = read(body)?;
    let by = signed::name(&visitor, &body.by)?;
    let shelf = app
        .stores
        .alerts
        .take_up(&visitor.scope, id, by)
        .await
        .map_err(of("shelf"))?;
    Ok(json(ShelfBody::new(&shelf, app.stores.clock.now())))
}

/// A failure of judgement, with the word for what was not found.
pub(super) fn of(what: &'static str) -> impl Fn(AlertError) -> Failure {
    move |error| match error {
        AlertError::NotFound => Failure::not_found(what),
        other => Failure::from(other),
    }
}

#[derive(Serialize)]
struct OnceBody {
    from: String,
    until: String,
}

#[derive(Serialize)]
struct WindowBody {
    id: i64,
    kind: &'static str,
    target: TargetBody,
    /// A window that is once; then the three below are `null`.
    once: Option<OnceBody>,
    days: Option<Vec<&'static str>>,
    from: Option<String>,
    minutes: Option<u16>,
    since: String,
    ended: Option<String>,
    by: String,
    why: String,
}

impl From<&Window> for WindowBody {
    fn from(window: &Window) -> WindowBody {
        let (once, recurring) = match window.when {
            When::Once { from, until } => (Some((from, until)), None),
            When::Recurring { days, from, minutes } => (None, Some((days, from, minutes))),
        };
        let named = |days: u8| {
            let set = DAYS.iter().enumerate().filter(|(day, _)| days & (1 << day) != 0);
            set.map(|(_, name)| *name).collect()
        };
        WindowBody {
            id: window.id,
            kind: window.kind.code(),
            target: TargetBody::from(&window.target),
            once: once.map(|(from, until)| OnceBody {
                from: iso(from),
                until: iso(until),
            }),
            days: recurring.map(|(days, ..)| named(days)),
            from: recurring.map(|(_, from, _)| from.to_string()),
            minutes: recurring.map(|(.., minutes)| minutes),
            since: iso(window.since),
            ended: window.ended.map(iso),
            by: window.who.clone(),
            why: window.why.clone(),
        }
    }
}

/// The windows that hold, and those that were done away with in the last 30 days, newest first.
pub(super) async fn windows(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<impl IntoResponse, Failure> {
    let facility = Parameters::of(&uri)?.facility()?;
    let since = app.stores.clock.now() - LISTED_MS;
    let windows = app.stores.records.windows(&visitor.scope, since).await?;
    let wanted = windows
        .iter()
        .filter(|w| facility.as_ref().is_none_or(|f| w.target.facility == *f));
    let windows: Vec<WindowBody> = wanted.map(WindowBody::from).collect();
    Ok(json(serde_json::json!({ "windows": windows })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Once {
    from: Moment,
    until: Moment,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWindow {
    kind: String,
    target: Target,
    once: Option<Once>,
    /// Every day when it is absent.
    days: Option<Vec<String>>,
    from: Option<String>,
    minutes: Option<u16>,
    why: String,
    #[serde(default)]
    by: String,
}

impl NewWindow {
    fn when(&self) -> Result<When, Failure> {
        match (&self.once, &self.from, self.minutes) {
            (Some(once), None, None) if self.days.is_none() => Ok(When::Once {
                from: once.from.read("once.from")?,
                until: once.until.read("once.until")?,
            }),
            (None, Some(from), Some(minutes)) => Ok(When::Recurring {
                days: self.days.as_ref().map_or(Ok(0x7f), |days| set_of(days))?,
                from: DayMinute::parse(from)
                    .ok_or_else(|| Failure::bad_parameter("from", "a time of day, HH:MM"))?,
                minutes,
            }),
            _ => Err(Failure::bad_parameter(
                "once",
                "{\"from\", \"until\"}; or leave it out and give \"days\", \"from\" and \"minutes\"",
            )),
        }
    }
}

/// A set of days, bit 0 for Monday.
fn set_of(days: &[String]) -> Result<u8, Failure> {
    let wanted = "a list of mon, tue, wed, thu, fri, sat, sun";
    days.iter().try_fold(0, |set, name| {
        let day = DAYS.iter().position(|day| day == name);
        let day = day.ok_or_else(|| Failure::bad_parameter("days", wanted))?;
        Ok(set | (1 << day))
    })
}

/// Enters a window.
pub(super) async fn add_window(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    body: Result<Json<NewWindow>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::Shelve)?;
    let body = read(body)?;
    let kind = WindowKind::parse(&body.kind);
    let window = Window {
        id: 0,
        kind: kind
            .ok_or_else(|| Failure::bad_parameter("kind", "maintenance, defrost, cleaning or service"))?,
        target: body.target.read()?,
        when: body.when()?,
        since: UtcMillis(0),
        ended: None,
        who: signed::name(&visitor, &body.by)?.to_owned(),
        why: signed::comment(&body.why)?,
    };
    let window = app
        .stores
        .alerts
        .add_window(&visitor.scope, window)
        .await
        .map_err(of("facility"))?;
    Ok((StatusCode::CREATED, json(WindowBody::from(&window))))
}

/// Does away with a window.
pub(super) async fn end_window(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<i64>,
    body: Result<Json<End>, JsonRejection>,
) -> Result<impl IntoResponse, Failure> {
    visitor.check(Permission::Shelve)?;
    let body = read(body)?;
    let by = signed::name(&visitor, &body.by)?;
    let window = app
        .stores
        .alerts
        .end_window(&visitor.scope, id, by)
        .await
        .map_err(of("window"))?;
    Ok(json(WindowBody::from(&window)))
}
