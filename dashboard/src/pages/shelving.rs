//! `/shelving`: what is set aside now, by whom, why and until when; and the windows in which it is every day.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{
    DeviceId, FacilityId, MuteTarget, Permission, RuleId, Scope, Shelf, TimeRange, UtcMillis, When, Window,
    WindowKind, rule::DayMinute, window::shelved_ms,
};
use i18n_embed_fl::fl;
use serde::Deserialize;

use super::rules::EndForm;
use crate::{
    app::App,
    directory::Directory,
    failure::Failure,
    format::Locale,
    query, signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

const HOUR_MS: i64 = 3_600_000;
/// What was set aside is listed for this long after it is over.
const LISTED_MS: i64 = 30 * 24 * HOUR_MS;

/// The names of a form's fields for the days of the week, Monday first.
const DAY_FIELDS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Something to choose from.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) current: bool,
}

/// The facilities that somebody sees.
pub(super) fn facility_choices(
    locale: &Locale,
    directory: &Directory,
    scope: &Scope,
    current: Option<&FacilityId>,
) -> Vec<Choice> {
    directory
        .facilities(scope)
        .map(|entry| Choice {
            value: entry.facility.id.to_string(),
            label: locale
                .pick(&entry.facility.name_zh, &entry.facility.name_en)
                .to_owned(),
            current: current == Some(&entry.facility.id),
        })
        .collect()
}

struct ShelfRow {
    id: i64,
    target: String,
    why: String,
    who: String,
    from: String,
    until: String,
    ended_by: String,
    stands: bool,
}

struct WindowRow {
    id: i64,
    kind: String,
    target: String,
    when: String,
    why: String,
    who: String,
    stands: bool,
}

#[derive(Template)]
#[template(path = "shelving.html")]
struct ShelvingPage {
    page: Page,
    shelves: Vec<ShelfRow>,
    windows: Vec<WindowRow>,
    facilities: Vec<Choice>,
    rules: Vec<Choice>,
    kinds: Vec<Choice>,
    /// The days of the week: the field's name, and the day's.
    days: Vec<(&'static str, String)>,
    /// How long anything was set aside in the last 30 days.
    month: String,
    max_name: usize,
}

pub(crate) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let range = TimeRange {
        from: locale.now - LISTED_MS,
        to: UtcMillis(i64::MAX),
    };
    let records = &app.stores.records;
    let shelves = records.shelves(&visitor.scope, range).await?;
    let windows = records.windows(&visitor.scope, range.from).await?;
    let facilities = facility_choices(&locale, &directory, &visitor.scope, None);
    let month = TimeRange::ending_at(locale.now, LISTED_MS);
    let active = app.stores.alerts.rules();
    let shelvable = active.values().filter(|rule| rule.can_be_shelved());
    let page = Page::new(
        &app,
        &visitor,
        Nav::Rules,
        fl!(locale.l, "shelving-title"),
        "/shelving",
    );
    let view = ShelvingPage {
        page,
        month: locale.duration(shelved_ms(&shelves, month)),
        shelves: shelves
            .iter()
            .map(|s| shelf_row(&locale, &facilities, s))
            .collect(),
        windows: windows
            .iter()
            .map(|w| window_row(&locale, &facilities, w))
            .collect(),
        rules: shelvable
            .map(|rule| Choice {
                value: rule.id.to_string(),
                label: format!("{} {}", rule.id, locale.pick(&rule.title_zh, &rule.title_en)),
                current: false,
            })
            .collect(),
        kinds: WindowKind::ALL
            .into_iter()
            .map(|kind| Choice {
                value: kind.code().to_owned(),
                label: kind_name(&locale, kind),
                current: false,
            })
            .collect(),
        days: DAY_FIELDS.into_iter().zip(day_names(&locale)).collect(),
        facilities,
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

fn kind_name(locale: &Locale, kind: WindowKind) -> String {
    match kind {
        WindowKind::Maintenance => fl!(locale.l, "window-maintenance"),
        WindowKind::Defrost => fl!(locale.l, "window-defrost"),
        WindowKind::Cleaning => fl!(locale.l, "window-cleaning"),
        WindowKind::Service => fl!(locale.l, "window-service"),
    }
}

fn target_name(facilities: &[Choice], target: &MuteTarget) -> String {
    let named = facilities.iter().find(|f| f.value == target.facility.as_str());
    let facility = named.map_or_else(|| target.facility.to_string(), |f| f.label.clone());
    let parts = [
        Some(facility),
        target.device.as_ref().map(ToString::to_string),
        target.metric.as_ref().map(ToString::to_string),
        target.rule.as_ref().map(ToString::to_string),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn shelf_row(locale: &Locale, facilities: &[Choice], shelf: &Shelf) -> ShelfRow {
    ShelfRow {
        id: shelf.id,
        target: target_name(facilities, &shelf.target),
        why: shelf.why.clone(),
        who: shelf.who.clone(),
        from: locale.stamp(shelf.from).at(),
        until: locale.stamp(shelf.until).at(),
        ended_by: shelf.ended_by.clone().unwrap_or_default(),
        stands: shelf.until > locale.now,
    }
}

fn window_row(locale: &Locale, facilities: &[Choice], window: &Window) -> WindowRow {
    let when = match window.when {
        When::Once { from, until } => {
            format!("{} – {}", locale.stamp(from).at(), locale.stamp(until).at())
        }
        When::Recurring { days, from, minutes } => recurrence(locale, (days, from, minutes)),
    };
    WindowRow {
        id: window.id,
        kind: kind_name(locale, window.kind),
        target: target_name(facilities, &window.target),
        when,
        why: window.why.clone(),
        who: window.who.clone(),
        stands: window.ended.is_none(),
    }
}

/// When a window comes again, in words: its days, its beginning and its end.
fn recurrence(locale: &Locale, (days, from, minutes): (u8, DayMinute, u16)) -> String {
    let end = from.minute() + minutes;
    let until = DayMinute::new(end % (24 * 60))
        .map(|m| m.to_string())
        .unwrap_or_default();
    let until = if end > 24 * 60 {
        fl!(locale.l, "window-next-day", until = until)
    } else {
        until
    };
    let from = from.to_string();
    if days & 0x7f == 0x7f {
        return fl!(locale.l, "window-daily", from = from, until = until);
    }
    let chosen = day_names(locale)
        .into_iter()
        .enumerate()
        .filter(|(day, _)| days & (1 << day) != 0);
    let names: Vec<String> = chosen.map(|(_, name)| name).collect();
    let names = names.join(&fl!(locale.l, "list-comma"));
    fl!(locale.l, "window-days", days = names, from = from, until = until)
}

/// The days of the week, Monday first.
fn day_names(locale: &Locale) -> [String; 7] {
    [
        fl!(locale.l, "day-mon"),
        fl!(locale.l, "day-tue"),
        fl!(locale.l, "day-wed"),
        fl!(locale.l, "day-thu"),
        fl!(locale.l, "day-fri"),
        fl!(locale.l, "day-sat"),
        fl!(locale.l, "day-sun"),
    ]
}

/// What is to be set aside, as a form brings it.
#[derive(Debug, Deserialize)]
pub(crate) struct ShelfForm {
    facility: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    rule: String,
    hours: u32,
    #[serde(default)]
    by: String,
    why: String,
}

fn target(facility: &str, device: &str, rule: &str) -> Result<MuteTarget, Failure> {
    let given = |text: &str| !text.trim().is_empty();
    Ok(MuteTarget {
        facility: query::id("facility", facility, FacilityId::new)?,
        device: given(device)
            .then(|| query::id("device", device.trim(), DeviceId::new))
            .transpose()?,
        metric: None,
        rule: given(rule)
            .then(|| query::id("rule", rule.trim(), RuleId::new))
            .transpose()?,
    })
}

pub(crate) async fn shelve(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(form): Form<ShelfForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Shelve)?;
    if !(1..=168).contains(&form.hours) {
        return Err(Failure::bad_parameter("hours", "1 to 168"));
    }
    let until = app.stores.clock.now() + i64::from(form.hours) * HOUR_MS;
    let shelf = Shelf {
        id: 0,
        target: target(&form.facility, &form.device, &form.rule)?,
        from: UtcMillis(0),
        // The log is a little behind the clock: a week by the clock must not be more by the log.
        until: until - 60_000,
        who: signed::name(&visitor, &form.by)?.to_owned(),
        why: signed::comment(&form.why)?,
        ended_by: None,
    };
    app.stores.alerts.shelve(&visitor.scope, shelf).await?;
    Ok(back())
}

pub(crate) async fn take_up(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<i64>,
    Form(form): Form<EndForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Shelve)?;
    let by = signed::name(&visitor, &form.by)?;
    app.stores.alerts.take_up(&visitor.scope, id, by).await?;
    Ok(back())
}

/// A window, as a form brings it: once, or again and again on some days of the week.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WindowForm {
    kind: String,
    facility: String,
    device: String,
    rule: String,
    /// When it begins, HH:MM, and when it ends; an end before the beginning lies on the next day.
    from: String,
    until: String,
    /// In place of an end.
    minutes: String,
    mon: String,
    tue: String,
    wed: String,
    thu: String,
    fri: String,
    sat: String,
    sun: String,
    /// In place of all these: two moments by the local clock.
    once_from: String,
    once_until: String,
    by: String,
    why: String,
}

impl WindowForm {
    fn when(&self, app: &App) -> Result<When, Failure> {
        if !self.once_from.trim().is_empty() || !self.once_until.trim().is_empty() {
            return Ok(When::Once {
                from: local(app, "once_from", &self.once_from)?,
                until: local(app, "once_until", &self.once_until)?,
            });
        }
        let from = day_minute("from", &self.from)?;
        let minutes = match (self.until.trim(), self.minutes.trim()) {
            ("", minutes) => minutes
                .parse()
                .map_err(|_no_number| Failure::bad_parameter("minutes", "1 to 1440, or give an end"))?,
            (until, _) => minutes_until(from, day_minute("until", until)?),
        };
        Ok(When::Recurring {
            days: self.days(),
            from,
            minutes,
        })
    }

    /// The chosen days, bit 0 for Monday; every day when none is chosen.
    fn days(&self) -> u8 {
        let days = [
            &self.mon, &self.tue, &self.wed, &self.thu, &self.fri, &self.sat, &self.sun,
        ];
        let chosen = days.iter().enumerate().filter(|(_, day)| !day.is_empty());
        match chosen.fold(0, |set, (day, _)| set | (1 << day)) {
            0 => 0x7f,
            days => days,
        }
    }
}

fn day_minute(name: &str, text: &str) -> Result<DayMinute, Failure> {
    let minute = DayMinute::parse(text.trim());
    minute.ok_or_else(|| Failure::bad_parameter(name, "a time of day, HH:MM"))
}

/// How long it is until a time of day comes again: a whole day when it is the same.
fn minutes_until(from: DayMinute, until: DayMinute) -> u16 {
    match (until.minute() + 24 * 60 - from.minute()) % (24 * 60) {
        0 => 24 * 60,
        minutes => minutes,
    }
}

/// A moment by the facilities' clock, as a browser sends it: `2026-12-31T22:00`.
fn local(app: &App, name: &str, text: &str) -> Result<UtcMillis, Failure> {
    let moment = text
        .trim()
        .parse::<jiff::civil::DateTime>()
        .and_then(|moment| moment.to_zoned(app.zone.clone()));
    let wanted = "a moment such as 2026-12-31T22:00";
    let moment = moment.map_err(|_no_moment| Failure::bad_parameter(name, wanted))?;
    Ok(UtcMillis(moment.timestamp().as_millisecond()))
}

pub(crate) async fn add_window(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Form(form): Form<WindowForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Shelve)?;
    let kind = WindowKind::parse(&form.kind);
    let kind =
        kind.ok_or_else(|| Failure::bad_parameter("kind", "maintenance, defrost, cleaning or service"))?;
    let window = Window {
        id: 0,
        kind,
        target: target(&form.facility, &form.device, &form.rule)?,
        when: form.when(&app)?,
        since: UtcMillis(0),
        ended: None,
        who: signed::name(&visitor, &form.by)?.to_owned(),
        why: signed::comment(&form.why)?,
    };
    app.stores.alerts.add_window(&visitor.scope, window).await?;
    Ok(back())
}

pub(crate) async fn end_window(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<i64>,
    Form(form): Form<EndForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Shelve)?;
    let by = signed::name(&visitor, &form.by)?;
    app.stores.alerts.end_window(&visitor.scope, id, by).await?;
    Ok(back())
}

fn back() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/shelving")]).into_response()
}
