//! `/onboard`, `/claim/{code}` and what is done to a device: adding one or a thousand, its secret, a code for it, and
//! how far its sensors are off.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{
    Access, Calibration, DeviceId, FacilityId, Metric, Permission, Profile, Scope, SeriesKey, UtcMillis,
    profile::STANDARD,
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::{
    RecordError,
    onboarding::{self, Known, Plan, RowError, RowProblem, quoted},
    records::Claim,
};

use super::device::card;
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::{Parameters, device as device_of},
    signed,
    view::{
        device::DeviceCard,
        onboard::{qr_svg, row_problem, snippet},
        page::{Nav, Page},
    },
    visitor::{Stranger, Visitor},
};

/// Who adds devices by these pages, in the audit trail.
const ACTOR: &str = "pages";

/// What is shown of many wrong rows.
const MAX_ROWS_SHOWN: usize = 200;

struct Choice {
    value: String,
    label: String,
    current: bool,
}

struct WrongRow {
    line: usize,
    column: String,
    problem: String,
}

/// What became of a file.
struct Outcome {
    sound: usize,
    added: usize,
    wrong: usize,
    rows: Vec<WrongRow>,
    /// Users and secrets, as CSV.
    secrets: String,
    checked_only: bool,
}

#[derive(Template)]
#[template(path = "onboard.html")]
struct Onboard {
    page: Page,
    facilities: Vec<Choice>,
    profiles: Vec<Choice>,
    form: OneForm,
    /// What is wrong with the one device: the column and the words.
    wrong: Vec<WrongRow>,
    csv: String,
    columns: String,
    outcome: Option<Outcome>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OneForm {
    facility: String,
    device: String,
    profile: String,
    place_zh: String,
    place_en: String,
    root: String,
    points: String,
}

type Sent<T> = Result<Form<T>, FormRejection>;

pub(super) fn sent<T>(form: Sent<T>) -> Result<T, Failure> {
    let Form(form) = form.map_err(|e| {
        let kind = match e.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            _ => Kind::BadRequest,
        };
        Failure::new(kind, format!("the form cannot be read: {e}"))
    })?;
    Ok(form)
}

/// What a file is checked against, within the visitor's reach.
async fn known(app: &App, visitor: &Visitor) -> Result<Known, Failure> {
    let mut known = Known::default();
    for facility in app.stores.records.facilities(&visitor.scope).await? {
        known.facilities.insert(facility.id);
    }
    for identity in app.stores.records.devices(&visitor.scope, None).await? {
        if let Access::Device {
            facility,
            device,
            profile,
            ..
        } = identity.access
        {
            known.devices.insert((facility, device), profile);
        }
    }
    Ok(known)
}

/// Reads a file and adds what is sound, unless it is only to be checked. What the records refuse joins the errors.
pub(crate) async fn add(app: &App, visitor: &Visitor, text: &str, check: bool) -> Result<Plan, Failure> {
    let known = known(app, visitor).await?;
    let mut plan = onboarding::plan(text, &app.stores.profiles.now(), &known)?;
    if check {
        return Ok(plan);
    }
    let devices: Vec<_> = plan.devices.iter().map(|planned| planned.new.clone()).collect();
    let answers = app.stores.records.onboard(&devices, ACTOR).await?;
    let mut added = Vec::with_capacity(plan.devices.len());
    for (planned, answer) in plan.devices.into_iter().zip(answers) {
        match answer {
            Ok(()) => added.push(planned),
            Err(refused) => plan.errors.push(RowError {
                line: planned.line,
                column: "device".to_owned(),
                problem: RowProblem::of(&refused),
            }),
        }
    }
    plan.devices = added;
    plan.errors.sort_by_key(|error| error.line);
    Ok(plan)
}

async fn draw(
    app: &Arc<App>,
    visitor: &Visitor,
    form: OneForm,
    (wrong, csv, outcome): (Vec<WrongRow>, String, Option<Outcome>),
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let directory = app.directory().await?;
    let facilities = directory.facilities(&visitor.scope).map(|e| Choice {
        value: e.facility.id.to_string(),
        label: locale.facility(&e.facility).to_owned(),
        current: e.facility.id.as_str() == form.facility,
    });
    let chosen = match form.profile.as_str() {
        "" if form.device.contains('.') => "",
        "" => STANDARD,
        name => name,
    };
    let profiles = app.stores.profiles.now();
    let profiles = profiles.iter().map(|p| Choice {
        value: p.id.clone(),
        label: locale.pick(&p.title_zh, &p.title_en).to_owned(),
        current: p.id == chosen,
    });
    let title = fl!(locale.l, "onboard-title");
    let view = Onboard {
        page: Page::new(app, visitor, Nav::Devices, title, "/onboard"),
        facilities: facilities.collect(),
        profiles: profiles.collect(),
        wrong,
        csv,
        columns: onboarding::COLUMNS.join(","),
        outcome,
        form,
    };
    view.page.answer(view.render())
}

fn wrong_rows(locale: &Locale, errors: &[RowError]) -> Vec<WrongRow> {
    errors
        .iter()
        .take(MAX_ROWS_SHOWN)
        .map(|error| WrongRow {
            line: error.line,
            column: error.column.clone(),
            problem: row_problem(locale, &error.problem),
        })
        .collect()
}

/// The blank form, or one that another page has begun to fill in.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let given = |name| {
        parameters
            .get(name)
            .unwrap_or_default()
            .chars()
            .take(400)
            .collect()
    };
    let form = OneForm {
        facility: given("facility"),
        device: given("device"),
        points: given("points"),
        ..OneForm::default()
    };
    draw(&app, &visitor, form, (Vec::new(), String::new(), None)).await
}

/// Adds one device: the same checks as for a file of one row.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Sent<OneForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let form = sent(form)?;
    let cells = [
        &form.facility,
        &form.device,
        &form.profile,
        &form.place_zh,
        &form.place_en,
        &form.points,
        &form.root,
    ];
    let cells: Vec<String> = cells.map(|cell| quoted(&cell.replace(['\r', '\n'], " "))).into();
    let text = format!(
        "facility,device,profile,place_zh,place_en,points,root\n{}\n",
        cells.join(",")
    );
    let plan = add(&app, &visitor, &text, false).await?;
    let Some(planned) = plan.devices.first() else {
        let wrong = wrong_rows(&visitor.locale(&app), &plan.errors);
        let mut response = draw(&app, &visitor, form, (wrong, String::new(), None)).await?;
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(response);
    };
    let (facility, device) = (planned.new.facility.clone(), planned.new.device.clone());
    match &planned.secret {
        Some(secret) => keys(&app, &visitor, (&facility, &device), Shown::Secret(secret)).await,
        None => Ok(Redirect::to(&format!("/devices/{facility}/{device}")).into_response()),
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct CsvForm {
    csv: String,
    #[serde(default, rename = "do")]
    action: String,
}

pub(crate) async fn csv(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Sent<CsvForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let form = sent(form)?;
    let check = form.action == "check";
    let plan = add(&app, &visitor, &form.csv, check).await?;
    let locale = visitor.locale(&app);
    let mut secrets = String::new();
    if !check {
        for planned in &plan.devices {
            let user = format!("{}/{}", planned.new.facility, planned.new.device);
            let secret = planned.secret.as_deref().unwrap_or_default();
            secrets += &format!("{},{secret}\n", quoted(&user));
        }
    }
    let outcome = Outcome {
        sound: plan.devices.len(),
        added: if check { 0 } else { plan.devices.len() },
        wrong: plan.errors.len(),
        rows: wrong_rows(&locale, &plan.errors),
        secrets,
        checked_only: check,
    };
    // Who only checked goes on with the same file; who added has no use for it any more, but for its wrong rows.
    let text = if check || !plan.errors.is_empty() {
        form.csv
    } else {
        String::new()
    };
    draw(
        &app,
        &visitor,
        OneForm::default(),
        (Vec::new(), text, Some(outcome)),
    )
    .await
}

/// What a device's keys page shows.
enum Shown<'a> {
    Secret(&'a str),
    Claim(&'a Claim, String),
}

#[derive(Template)]
#[template(path = "keys.html")]
struct Keys {
    page: Page,
    facility: String,
    device: String,
    user: String,
    /// Empty when it is a code that is shown.
    secret: String,
    code: String,
    code_until: String,
    link: String,
    qr: String,
    setup: String,
    snippet: String,
    /// The key for signed requests; empty where there are none, or when it is a code that is shown.
    signing: String,
    card: DeviceCard,
}

/// The page with a device's secret or code, which is shown this once, and how the device fares, live.
async fn keys(
    app: &Arc<App>,
    visitor: &Visitor,
    (facility, device): (&FacilityId, &DeviceId),
    shown: Shown<'_>,
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let profile = profile_of(app, visitor, (facility, device)).await?;
    let path = format!("/devices/{facility}/{device}");
    let page = Page::new(app, visitor, Nav::Devices, device.to_string(), &path)
        .following(&format!("page=device&facility={facility}&device={device}"));
    let secret = match &shown {
        Shown::Secret(secret) => (*secret).to_owned(),
        Shown::Claim(..) => String::new(),
    };
    // Whoever is shown the secret may have the key that goes with it, also by a claim code, without a scope.
    let signing = match (&shown, &app.stores.signing_key) {
        (Shown::Secret(_), Some(key)) => Some(key(&app
            .stores
            .records
            .device(&Scope::everything(), facility, device)
            .await?)),
        _ => None,
    };
    let (code, code_until, link) = match shown {
        Shown::Secret(_) => Default::default(),
        Shown::Claim(claim, link) => (claim.code.clone(), locale.stamp(claim.expires_at).at(), link),
    };
    let view = Keys {
        page,
        facility: facility.to_string(),
        device: device.to_string(),
        user: format!("{facility}/{device}"),
        qr: qr_svg(&link),
        link,
        code,
        code_until,
        setup: locale.pick(&profile.setup_zh, &profile.setup_en).to_owned(),
        snippet: snippet(app.site(), &profile, (facility, device), &secret),
        card: card(app, &locale, &visitor.scope, (facility, device)),
        signing: signing.unwrap_or_default(),
        secret,
    };
    view.page.answer(view.render())
}

/// How a device speaks: its own profile, or our own form.
pub(crate) async fn profile_of(
    app: &App,
    visitor: &Visitor,
    (facility, device): (&FacilityId, &DeviceId),
) -> Result<Arc<Profile>, Failure> {
    let identity = app.stores.records.device(&visitor.scope, facility, device).await;
    let name = match &identity {
        Ok(identity) => match &identity.access {
            Access::Device { profile, .. } => profile.as_str(),
            Access::Service { .. } => STANDARD,
        },
        Err(RecordError::NotFound) => STANDARD,
        Err(_) => STANDARD,
    };
    let profiles = app.stores.profiles.now();
    let found = profiles.get(name).or_else(|| profiles.get(STANDARD)).cloned();
    found.ok_or_else(|| Failure::not_found("profile"))
}

pub(crate) async fn secret(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, device)): Path<(String, String)>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let (facility, device) = device_of(&facility, &device)?;
    let of = (&facility, &device);
    let secret = app.stores.records.renew_secret(&visitor.scope, of, ACTOR).await?;
    keys(&app, &visitor, of, Shown::Secret(&secret)).await
}

pub(crate) async fn claim(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    headers: HeaderMap,
    Path((facility, device)): Path<(String, String)>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let (facility, device) = device_of(&facility, &device)?;
    let of = (&facility, &device);
    let claim = app.stores.records.new_claim(&visitor.scope, of, ACTOR).await?;
    let host = headers
        .get(header::HOST)
        .and_then(|h| h.to_str().ok())
        .unwrap_or("localhost");
    let link = format!("http://{host}/claim/{}", claim.code);
    keys(&app, &visitor, of, Shown::Claim(&claim, link)).await
}

#[derive(Template)]
#[template(path = "claim.html")]
struct ClaimPage {
    page: Page,
    code: String,
    device: String,
    facility: String,
}

/// Which device a code is for. The code is not used by looking: a phone's preview must not use it up.
pub(crate) async fn claimed(
    State(app): State<Arc<App>>,
    Stranger(visitor): Stranger,
    Path(code): Path<String>,
) -> Result<Response, Failure> {
    let claimed = app.stores.records.claimed(&code).await?;
    let locale = visitor.locale(&app);
    let title = fl!(locale.l, "claim-title");
    let view = ClaimPage {
        page: Page::new(&app, &visitor, Nav::Devices, title, &format!("/claim/{code}")),
        device: claimed.device.to_string(),
        facility: claimed.facility.to_string(),
        code,
    };
    view.page.answer(view.render())
}

pub(crate) async fn use_claim(
    State(app): State<Arc<App>>,
    Stranger(visitor): Stranger,
    Path(code): Path<String>,
) -> Result<Response, Failure> {
    let claimed = app.stores.records.claim(&code).await?;
    let of = (&claimed.of.facility, &claimed.of.device);
    keys(&app, &visitor, of, Shown::Secret(&claimed.secret)).await
}

#[derive(Debug, Deserialize)]
pub(crate) struct CalibrationForm {
    metric: String,
    #[serde(default)]
    scale: String,
    #[serde(default)]
    offset: String,
    #[serde(default)]
    due: String,
    #[serde(default)]
    by: String,
}

pub(crate) async fn calibrate(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, device)): Path<(String, String)>,
    form: Sent<CalibrationForm>,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let (facility, device) = device_of(&facility, &device)?;
    let form = sent(form)?;
    let number = |name: &str, text: &str, otherwise: f64| match text.trim() {
        "" => Ok(otherwise),
        text => text
            .parse::<f64>()
            .map_err(|_no_number| Failure::bad_parameter(name, "a number")),
    };
    let calibration = Calibration {
        key: SeriesKey {
            facility,
            device,
            metric: Metric::new(form.metric.trim()).map_err(|e| Failure::bad_id("metric", &e))?,
        },
        scale: number("scale", &form.scale, 1.0)?,
        offset: number("offset", &form.offset, 0.0)?,
        due: due(&app, &form.due)?,
        since: app.stores.clock.now(),
        by: signed::name(&visitor, &form.by)?.to_owned(),
    };
    app.stores
        .records
        .put_calibration(&visitor.scope, &calibration)
        .await?;
    let SeriesKey { facility, device, .. } = &calibration.key;
    Ok(Redirect::to(&format!("/devices/{facility}/{device}#calibration")).into_response())
}

/// The beginning of a day in the facilities' zone.
fn due(app: &App, text: &str) -> Result<Option<UtcMillis>, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let moment = text
        .parse::<jiff::civil::Date>()
        .and_then(|date| date.to_zoned(app.zone.clone()));
    match moment {
        Ok(moment) => Ok(Some(UtcMillis(moment.timestamp().as_millisecond()))),
        Err(_no_date) => Err(Failure::bad_parameter("due", "a date such as 2027-01-31")),
    }
}
