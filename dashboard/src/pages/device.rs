//! `/devices` and `/devices/{facility}/{device}`: did it arrive, and if not, why not?

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::Uri,
    response::Response,
};
use domain::{Access, DeviceId, FacilityId, Scope, Unit, status::Refusal};
use i18n_embed_fl::fl;

use super::onboard::profile_of;
use crate::{
    app::App,
    failure::Failure,
    format::Locale,
    query::{Parameters, device},
    view::{
        case::MAX_NAME,
        device::{DeviceCard, RefusalRow, device_state, refusal_reason, refusal_remedy},
        onboard::snippet,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Devices on one page of the list.
const PER_PAGE: usize = 100;
/// Refusals on a page.
const MAX_REFUSALS: usize = 20;
/// The point type that is proposed where nothing is known of what a point is for: recorded, not judged.
const NO_TYPE: &str = "recorded";

struct DeviceRow {
    href: String,
    device: String,
    facility: String,
    facility_href: String,
    tone: &'static str,
    state: String,
    ago: Option<String>,
    messages: u64,
    readings: u64,
    rejects: u64,
    what: String,
}

struct FacilityChoice {
    id: String,
    name: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct Devices {
    page: Page,
    rows: Vec<DeviceRow>,
    found: usize,
    facilities: Vec<FacilityChoice>,
    query: String,
    next: Option<String>,
    refusals: Vec<RefusalRow>,
}

impl App {
    /// What the broker turned away last, newest first, as far as `of` says it matters.
    pub(crate) fn refusals(
        &self,
        locale: &Locale,
        scope: &Scope,
        of: impl Fn(&Refusal) -> bool,
    ) -> Vec<RefusalRow> {
        let all = (self.stores.refusals)();
        let visible = all.iter().rev().filter(|r| may_see(scope, r) && of(r));
        visible
            .take(MAX_REFUSALS)
            .map(|refusal| RefusalRow {
                at: locale.stamp(refusal.at).ago(),
                identity: refusal
                    .identity
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                reason: refusal_reason(locale, refusal.reason),
                remedy: refusal_remedy(locale, refusal.reason),
                detail: refusal.detail.clone(),
            })
            .collect()
    }
}

/// A refusal belongs to the facility its identity names; one that names none is for those who see all.
fn may_see(scope: &Scope, refusal: &Refusal) -> bool {
    if *scope == Scope::everything() {
        return true;
    }
    let facility = refusal.identity.as_ref().and_then(|n| n.as_str().split_once('/'));
    facility
        .and_then(|(f, _)| FacilityId::new(f).ok())
        .is_some_and(|f| scope.allows(&f))
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let facility = parameters.facility()?;
    let query = parameters
        .get("q")
        .unwrap_or_default()
        .chars()
        .take(64)
        .collect::<String>();
    let from = parameters.number("from", 0, 10_000_000, 0)? as usize;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let identities = app
        .stores
        .records
        .devices(&visitor.scope, facility.as_ref())
        .await?;
    let mut all: Vec<(FacilityId, DeviceId)> = identities
        .into_iter()
        .filter_map(|identity| match identity.access {
            Access::Device { facility, device, .. } => Some((facility, device)),
            Access::Service { .. } => None,
        })
        .filter(|(f, d)| f.as_str().contains(query.trim()) || d.as_str().contains(query.trim()))
        .collect();
    all.extend(behind(&directory, &visitor.scope, &all, query.trim()));
    all.sort();
    let found = all.len();
    let rows = all.iter().skip(from).take(PER_PAGE);
    let rows = rows
        .map(|(f, d)| row(&app, &visitor, &locale, &directory, (f, d)))
        .collect();
    let facilities = directory
        .facilities(&visitor.scope)
        .map(|e| FacilityChoice {
            id: e.facility.id.to_string(),
            name: locale.facility(&e.facility).to_owned(),
            current: facility.as_ref() == Some(&e.facility.id),
        })
        .collect();
    let of = facility.as_ref().map(ToString::to_string).unwrap_or_default();
    let page = Page::new(
        &app,
        &visitor,
        Nav::Devices,
        fl!(locale.l, "devices-title"),
        "/devices",
    );
    let view = Devices {
        page,
        rows,
        found,
        facilities,
        next: (from + PER_PAGE < found).then(|| format!("/devices?facility={of}&from={}", from + PER_PAGE)),
        refusals: app.refusals(&locale, &visitor.scope, |_| true),
        query,
    };
    view.page.answer(view.render())
}

/// Devices without a sign-in of their own: another one speaks for them.
fn behind(
    directory: &crate::directory::Directory,
    scope: &Scope,
    signed_in: &[(FacilityId, DeviceId)],
    query: &str,
) -> Vec<(FacilityId, DeviceId)> {
    let known: std::collections::BTreeSet<_> = signed_in.iter().collect();
    let mut behind: Vec<(FacilityId, DeviceId)> = Vec::new();
    for entry in directory.facilities(scope) {
        for point in &entry.points {
            let device = &point.key.device;
            let Some(gateway) = device
                .as_str()
                .split_once('.')
                .and_then(|(g, _)| DeviceId::new(g).ok())
            else {
                continue;
            };
            let of = |device: &DeviceId| (point.key.facility.clone(), device.clone());
            let is_new = known.contains(&of(&gateway)) && !known.contains(&of(device));
            if is_new && device.as_str().contains(query) && behind.last() != Some(&of(device)) {
                behind.push(of(device));
            }
        }
    }
    behind.sort();
    behind.dedup();
    behind
}

fn row(
    app: &App,
    visitor: &Visitor,
    locale: &Locale,
    directory: &crate::directory::Directory,
    (facility, device): (&FacilityId, &DeviceId),
) -> DeviceRow {
    let status = app
        .stores
        .devices
        .get(&visitor.scope, facility, device)
        .unwrap_or_default();
    let entry = directory.facility(&visitor.scope, facility);
    let (tone, state) = device_state(locale, &status);
    let points = entry.map(|e| e.points.as_slice()).unwrap_or_default();
    let mut what: Vec<String> = points
        .iter()
        .filter(|p| p.key.device == *device)
        .map(|p| locale.place(&p.point))
        .collect();
    what.dedup();
    DeviceRow {
        href: format!("/devices/{facility}/{device}"),
        device: device.to_string(),
        facility: entry.map_or_else(
            || facility.to_string(),
            |e| locale.facility(&e.facility).to_owned(),
        ),
        facility_href: format!("/facilities/{facility}"),
        tone,
        state,
        ago: status.last_seen.map(|at| locale.stamp(at).ago()),
        messages: status.messages,
        readings: status.readings,
        rejects: status.reject_counts.iter().map(|(_, n)| n).sum(),
        what: what.join(", "),
    }
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    page: Page,
    facility: String,
    facility_name: String,
    device: String,
    card: DeviceCard,
    user: String,
    root: String,
    command: String,
    points: Vec<(String, String, String)>,
    mqtt_addr: String,
    /// The gateway that speaks for it; empty when it speaks for itself.
    gateway: String,
    profile: String,
    setup: String,
    sensors: Vec<SensorRow>,
    behind: Vec<BehindRow>,
    max_name: usize,
}

/// A device behind this one that was heard.
struct BehindRow {
    device: String,
    /// What it measures and the newest value of each.
    measures: String,
    /// Its page, or the form that registers it.
    href: String,
    registered: bool,
}

/// The devices behind a gateway that were heard, registered or not: what stands in their series.
fn heard_behind(
    app: &App,
    scope: &Scope,
    locale: &Locale,
    (facility, gateway): (&FacilityId, &DeviceId),
    registered: &std::collections::BTreeSet<DeviceId>,
) -> Vec<BehindRow> {
    let series = &app.stores.series;
    let mut devices: std::collections::BTreeMap<DeviceId, Vec<(String, String)>> = Default::default();
    for (key, id) in series.series_of(scope, facility) {
        let name = key.device.as_str();
        let is_behind = name
            .strip_prefix(gateway.as_str())
            .is_some_and(|rest| rest.starts_with('.'));
        if !is_behind || (devices.len() >= PER_PAGE && !devices.contains_key(&key.device)) {
            continue;
        }
        let value = series.latest(scope, id).map_or_else(String::new, |sample| {
            format!(" {}", locale.value(&key.metric, sample.value))
        });
        let words = format!("{}{value}", locale.metric(&key.metric));
        devices
            .entry(key.device.clone())
            .or_default()
            .push((key.metric.to_string(), words));
    }
    let row = |(device, metrics): (DeviceId, Vec<(String, String)>)| {
        let registered = registered.contains(&device);
        let points: Vec<String> = metrics
            .iter()
            .map(|(metric, _)| format!("{metric}%3D{NO_TYPE}"))
            .collect();
        BehindRow {
            href: if registered {
                format!("/devices/{facility}/{device}")
            } else {
                let points = points.join("%3B");
                format!("/onboard?facility={facility}&device={device}&points={points}")
            },
            registered,
            measures: metrics
                .into_iter()
                .map(|(_, words)| words)
                .collect::<Vec<_>>()
                .join(", "),
            device: device.to_string(),
        }
    };
    devices.into_iter().map(row).collect()
}

/// The points of a device: address of the chart, place, metric.
fn point_links(
    locale: &Locale,
    (facility, device): (&FacilityId, &DeviceId),
    points: &[&crate::directory::PointEntry],
) -> Vec<(String, String, String)> {
    let link = |p: &&crate::directory::PointEntry| {
        let metric = &p.key.metric;
        let href = format!("/facilities/{facility}?device={device}&metric={metric}#chart-card");
        (href, locale.place(&p.point), locale.metric(metric))
    };
    points.iter().map(link).collect()
}

/// A point, and how far its sensor is off.
struct SensorRow {
    metric: String,
    name: String,
    unit: &'static str,
    scale: f64,
    offset: f64,
    /// When it was entered, and by whom; `None` when it never was.
    entered: Option<(String, String)>,
    due: Option<String>,
    overdue: bool,
    /// A yes or no has no calibration.
    fixed: bool,
}

/// The sensors of a device and their calibrations.
async fn sensors(
    app: &App,
    visitor: &Visitor,
    locale: &Locale,
    (facility, device): (&FacilityId, &DeviceId),
    points: &[&crate::directory::PointEntry],
) -> Result<Vec<SensorRow>, Failure> {
    let all = app
        .stores
        .records
        .calibrations(&visitor.scope, Some(facility))
        .await?;
    let row = |point: &&crate::directory::PointEntry| {
        let metric = &point.key.metric;
        let known = all
            .iter()
            .find(|c| c.key.device == *device && c.key.metric == *metric);
        SensorRow {
            metric: metric.to_string(),
            name: locale.metric(metric),
            unit: metric.unit().sign(),
            scale: known.map_or(1.0, |c| c.scale),
            offset: known.map_or(0.0, |c| c.offset),
            entered: known.map(|c| (locale.stamp(c.since).at(), c.by.clone())),
            due: known.and_then(|c| c.due).map(|at| locale.stamp(at).at()),
            overdue: known.and_then(|c| c.due).is_some_and(|at| at <= locale.now),
            fixed: metric.unit() == Unit::Bool,
        }
    };
    Ok(points.iter().map(row).collect())
}

/// How a device fares, for its page and for the stream.
pub(crate) fn card(
    app: &App,
    locale: &Locale,
    scope: &Scope,
    (facility, device): (&FacilityId, &DeviceId),
) -> DeviceCard {
    let status = app
        .stores
        .devices
        .get(scope, facility, device)
        .unwrap_or_default();
    let user = format!("{facility}/{device}");
    let refusals = app.refusals(locale, scope, |r| {
        match &r.identity {
            Some(name) => name.as_str() == user,
            // A name that the broker did not know yet.
            None => r.detail == user,
        }
    });
    let behind = app.stores.devices.readings_behind(scope, facility, device);
    DeviceCard::new(locale, &status, behind, refusals)
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((facility, device_id)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let (facility, device) = device(&facility, &device_id)?;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let identities = app
        .stores
        .records
        .devices(&visitor.scope, Some(&facility))
        .await?;
    let known = identities.iter().find_map(|i| match &i.access {
        Access::Device { device: d, root, .. } if *d == device => Some(root.clone()),
        _ => None,
    });
    let entry = directory.facility(&visitor.scope, &facility);
    let points: Vec<_> = entry
        .map(|e| e.points.iter().filter(|p| p.key.device == device).collect())
        .unwrap_or_default();
    if known.is_none() && points.is_empty() {
        return Err(Failure::not_found("device"));
    }
    let of = (&facility, &device);
    let profile = profile_of(&app, &visitor, of).await?;
    let gateway = match (&known, device.as_str().split_once('.')) {
        (None, Some((gateway, _))) => gateway.to_owned(),
        _ => String::new(),
    };
    let root = known.flatten().map_or_else(
        || domain::address::device_root(&facility, &device),
        |root| format!("{root}/"),
    );
    let registered = entry
        .map(|e| e.points.iter().map(|p| p.key.device.clone()).collect())
        .unwrap_or_default();
    let behind = heard_behind(&app, &visitor.scope, &locale, of, &registered);
    let sensors = sensors(&app, &visitor, &locale, of, &points).await?;
    let path = format!("/devices/{facility}/{device}");
    let page = Page::new(&app, &visitor, Nav::Devices, device.to_string(), &path)
        .following(&format!("page=device&facility={facility}&device={device}"));
    let mqtt_addr = app.site().mqtt_addr.clone();
    let view = DevicePage {
        page,
        facility: facility.to_string(),
        facility_name: entry.map_or_else(
            || facility.to_string(),
            |e| locale.facility(&e.facility).to_owned(),
        ),
        card: card(&app, &locale, &visitor.scope, (&facility, &device)),
        user: format!("{facility}/{device}"),
        root,
        command: snippet(app.site(), &profile, of, ""),
        gateway,
        profile: locale.pick(&profile.title_zh, &profile.title_en).to_owned(),
        setup: locale.pick(&profile.setup_zh, &profile.setup_en).to_owned(),
        sensors,
        behind,
        max_name: MAX_NAME,
        points: point_links(&locale, (&facility, &device), &points),
        device: device.to_string(),
        mqtt_addr,
    };
    view.page.answer(view.render())
}
