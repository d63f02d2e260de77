//! `/findings/{id}`: one finding with everything it rests on: pictures, clip, readings, model, hashes.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use domain::{EvidenceId, Scope};
use i18n_embed_fl::fl;
use store::{
    EvidenceError,
    evidence::{ItemRole, Listed, Package},
    records::Finding,
};

use super::{evidence::MAX_REASON, findings::finding_id};
use crate::{
    app::App,
    failure::Failure,
    format::Locale,
    view::{
        case::{MAX_COMMENT, MAX_NAME},
        finding::{FindingTeller, FindingWords},
        page::{Nav, Page},
    },
    visitor::Visitor,
    watcher::{self, Watching},
};

/// Readings shown beside a finding.
const READINGS: usize = 40;

/// A file of the evidence.
struct ItemRow {
    role: String,
    code: &'static str,
    href: String,
    media_type: String,
    blurred: bool,
    size: String,
    sha256: String,
    /// Whether it may be looked at by whoever looks now.
    open: bool,
}

/// A sensor's reading of the same time.
struct ReadingRow {
    place: String,
    metric: String,
    value: String,
    at: String,
}

/// A package of evidence.
struct PackageRow {
    id: String,
    at: String,
    retention: String,
    amends: bool,
}

/// What is kept of a finding.
#[derive(Default)]
struct Kept {
    packages: Vec<PackageRow>,
    items: Vec<ItemRow>,
    readings: Vec<ReadingRow>,
    held: bool,
    newest: String,
    clock_offset: Option<i64>,
}

#[derive(Template)]
#[template(path = "finding.html")]
struct FindingPage {
    page: Page,
    finding: FindingWords,
    kept: Kept,
    case: Option<(String, String)>,
    watching: Watching,
    now: String,
    back: String,
    max_name: usize,
    max_comment: usize,
    max_purpose: usize,
    max_reason: usize,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(finding): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let id = finding_id(&finding)?;
    let found = app.stores.records.finding(&visitor.scope, id).await?;
    let found = found.ok_or_else(|| Failure::not_found("finding"))?;
    let locale = visitor.locale(&app);
    let watching = Watching::of(&visitor, &headers);
    let kept = kept(&app, &visitor, &locale, &found, watching.watcher().is_some()).await?;
    let (directory, cameras) = (app.directory().await?, app.all_cameras().await?);
    let rules = app.stores.alerts.rules();
    let teller = FindingTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
        cameras: &cameras,
    };
    let case = app.stores.records.case_of_finding(&visitor.scope, &found).await?;
    let back = format!("/findings/{}", id.0);
    let title = fl!(locale.l, "finding-title", id = id.0);
    let view = FindingPage {
        page: Page::new(&app, &visitor, Nav::Findings, title, &back),
        finding: teller.tell(&found),
        kept,
        case: case.map(|c| (c.id.to_string(), locale.case_state(c.state))),
        watching,
        now: locale.moment(locale.now),
        back,
        max_name: MAX_NAME,
        max_comment: MAX_COMMENT,
        max_purpose: watcher::MAX_PURPOSE,
        max_reason: MAX_REASON,
    };
    view.page.answer(view.render())
}

/// A package with its place in the family.
type Member = (Listed, Option<Package>);

/// Reads what is kept of a finding, off the runtime's threads.
async fn kept(
    app: &Arc<App>,
    visitor: &Visitor,
    locale: &Locale,
    finding: &Finding,
    named: bool,
) -> Result<Kept, Failure> {
    let (scope, ids) = (visitor.scope.clone(), finding.evidence.clone());
    let read = app.read_blocking(move |app| family(app, &scope, &ids)).await?;
    let members = read.map_err(Failure::from)?;
    let mut kept = Kept::default();
    for (listed, package) in &members {
        kept.held |= listed.held;
        kept.newest = listed.id.to_string();
        kept.packages.push(PackageRow {
            id: listed.id.to_string(),
            at: locale.stamp(listed.created_at).at(),
            retention: locale.retention(listed.retention),
            amends: listed.amends.is_some(),
        });
        let Some(package) = package else { continue };
        kept.clock_offset = package.about.clock_offset_ms.or(kept.clock_offset);
        kept.items.extend(items(locale, &listed.id, package, named));
    }
    if let Some(package) = members.iter().rev().find_map(|(_, p)| p.as_ref()) {
        let readings = package.about.readings.iter().take(READINGS);
        let directory = app.directory().await?;
        kept.readings = readings
            .map(|r| {
                let point = directory.point(&visitor.scope, &r.point);
                ReadingRow {
                    place: point.map_or_else(|| r.point.device.to_string(), |p| locale.place(&p.point)),
                    metric: locale.metric(&r.point.metric),
                    value: locale.value(&r.point.metric, r.value),
                    at: locale.brief(r.at),
                }
            })
            .collect();
    }
    Ok(kept)
}

/// Every package that belongs to these, the oldest first, each once.
fn family(app: &App, scope: &Scope, ids: &[EvidenceId]) -> Result<Vec<Member>, EvidenceError> {
    let Some(archive) = &app.stores.evidence else {
        return Ok(Vec::new());
    };
    let mut members: Vec<Member> = Vec::new();
    for listed in ids.iter().flat_map(|id| archive.family(scope, id)) {
        if members.iter().any(|(known, _)| known.id == listed.id) {
            continue;
        }
        let package = archive.get(scope, &listed.id)?;
        members.push((listed, package));
    }
    Ok(members)
}

fn items<'a>(
    locale: &'a Locale,
    id: &'a EvidenceId,
    package: &'a Package,
    named: bool,
) -> impl Iterator<Item = ItemRow> + 'a {
    package
        .items
        .iter()
        .enumerate()
        .map(move |(index, item)| ItemRow {
            role: role(locale, item.role),
            code: item.role.code(),
            href: format!("/evidence/{id}/{index}"),
            media_type: item.media_type.clone(),
            blurred: item.blurred,
            size: size(item.size),
            sha256: item.sha256.to_string(),
            open: named || item.blurred,
        })
}

fn role(locale: &Locale, role: ItemRole) -> String {
    match role {
        ItemRole::Before => fl!(locale.l, "item-before"),
        ItemRole::At => fl!(locale.l, "item-at"),
        ItemRole::After => fl!(locale.l, "item-after"),
        ItemRole::Clip => fl!(locale.l, "item-clip"),
        ItemRole::Original => fl!(locale.l, "item-original"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{:.0} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
