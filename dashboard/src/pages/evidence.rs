//! `/evidence/{id}/…`: the files of a package of evidence. Whoever looks at what is not blurred says who they are
//! and why, and that look is on the chain before the first byte is sent.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Form, Path, State, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{EvidenceId, Permission, Scope};
use serde::Deserialize;
use store::{
    Archive, EvidenceError,
    evidence::{Item, ItemRole},
};

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::iso,
    query::Parameters,
    sight::ToMark,
    signed,
    visitor::Visitor,
    watcher::{Watcher, Watching},
};

fn evidence_id(text: &str) -> Result<EvidenceId, Failure> {
    EvidenceId::parse(text).ok_or_else(|| {
        Failure::new(
            Kind::BadRequest,
            "the evidence is not named by 64 hexadecimal digits",
        )
    })
}

fn archive(app: &App) -> Result<Archive, Failure> {
    let archive = app.stores.evidence.clone();
    archive.ok_or_else(|| Failure::not_found("evidence"))
}

/// The file that is asked for: by its number, or `at.jpg`, the picture of the moment that everybody in scope may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Index(usize),
    Moment,
}

impl Which {
    fn of(text: &str) -> Result<Which, Failure> {
        match text {
            "at.jpg" => Ok(Which::Moment),
            _ => text
                .parse()
                .map(Which::Index)
                .map_err(|_not_a_number| Failure::not_found("file of evidence")),
        }
    }
}

pub(crate) async fn item(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((evidence, which)): Path<(String, String)>,
    (uri, headers): (Uri, HeaderMap),
) -> Result<Response, Failure> {
    let (id, which) = (evidence_id(&evidence)?, Which::of(&which)?);
    let archive = archive(&app)?;
    let watching = Watching::of(&visitor, &headers);
    let watcher = watching.watcher().cloned();
    let scope = visitor.scope;
    let read = app
        .read_blocking(move |_| look(&archive, &scope, (&id, which), watching))
        .await?;
    let (item, bytes) = read?;
    let bytes = match watcher.filter(|_| !item.blurred && is_picture(&item)) {
        Some(watcher) => marked(&app, &watcher, (&id, &item), bytes).await?,
        None => bytes.into(),
    };
    let download = Parameters::of(&uri)?.get("save").is_some();
    Ok(answer(&id, &item, bytes, download))
}

/// Reads a file, after the look has been written down where it must be.
fn look(
    archive: &Archive,
    scope: &Scope,
    (id, which): (&EvidenceId, Which),
    watching: Watching,
) -> Result<(Item, Vec<u8>), Failure> {
    let gone = || Failure::not_found("file of evidence");
    let package = archive.get(scope, id)?.ok_or_else(gone)?;
    let index = match which {
        Which::Index(index) => index,
        Which::Moment => {
            let shown = |i: &Item| i.blurred && matches!(i.role, ItemRole::At | ItemRole::Before);
            let at = package
                .items
                .iter()
                .position(|i| i.role == ItemRole::At && i.blurred);
            at.or(package.items.iter().position(shown)).ok_or_else(gone)?
        }
    };
    let item = package.items.get(index).ok_or_else(gone)?;
    if !item.blurred {
        let watcher = watching.required()?;
        archive.note_view(scope, id, &watcher.name, &watcher.reason())?;
    }
    archive.item(scope, id, index)?.ok_or_else(gone)
}

fn is_picture(item: &Item) -> bool {
    matches!(item.media_type.as_str(), "image/jpeg" | "video/mp4")
}

/// A copy that says in every picture who took it, when and of what.
async fn marked(
    app: &App,
    watcher: &Watcher,
    (id, item): (&EvidenceId, &Item),
    bytes: Vec<u8>,
) -> Result<Bytes, Failure> {
    let at = iso(app.stores.clock.now());
    let mark = format!(
        "{} {} {at} {}/{}",
        watcher.account,
        watcher.role.code(),
        &id.to_string()[..12],
        item.role.code()
    );
    let copy = ToMark {
        media_type: item.media_type.clone(),
        bytes: bytes.into(),
        mark,
    };
    (app.stores.sight.watermark)(copy)
        .await
        .map_err(Failure::internal)
}

fn answer(id: &EvidenceId, item: &Item, bytes: Bytes, download: bool) -> Response {
    // What a package says of its own type is not believed beyond these.
    let (media_type, extension) = match item.media_type.as_str() {
        "image/jpeg" => ("image/jpeg", "jpg"),
        "video/mp4" => ("video/mp4", "mp4"),
        "application/json" => ("application/json", "json"),
        _ => ("application/octet-stream", "bin"),
    };
    let mut response = Body::from(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What is blurred never changes: it is named by its content.
    let keep = match item.blurred {
        true => "private, max-age=86400, immutable",
        false => "no-store",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    let name = format!("{}-{}.{extension}", &id.to_string()[..12], item.role.code());
    let way = if download { "attachment" } else { "inline" };
    if let Ok(value) = HeaderValue::from_str(&format!("{way}; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// The longest reason, in characters.
pub(crate) const MAX_REASON: usize = 500;

/// Why evidence is held, or let go again.
#[derive(Debug, Deserialize)]
pub(crate) struct HoldForm {
    #[serde(default)]
    by: String,
    reason: String,
    /// The finding's page to go back to.
    #[serde(default)]
    finding: i64,
}

type HoldCall = fn(&Archive, &Scope, &EvidenceId, &str, &str) -> Result<(), EvidenceError>;

pub(crate) async fn hold(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(evidence): Path<String>,
    form: Result<Form<HoldForm>, FormRejection>,
) -> Result<Response, Failure> {
    act(&app, visitor, &evidence, form, Archive::hold).await
}

pub(crate) async fn release(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(evidence): Path<String>,
    form: Result<Form<HoldForm>, FormRejection>,
) -> Result<Response, Failure> {
    act(&app, visitor, &evidence, form, Archive::release).await
}

async fn act(
    app: &Arc<App>,
    visitor: Visitor,
    evidence: &str,
    form: Result<Form<HoldForm>, FormRejection>,
    call: HoldCall,
) -> Result<Response, Failure> {
    visitor.check(Permission::HoldEvidence)?;
    let id = evidence_id(evidence)?;
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields by and reason",
        ));
    };
    let fits = |text: &str, most| !text.trim().is_empty() && text.chars().count() <= most;
    let by = signed::name(&visitor, &form.by)?.to_owned();
    if !fits(&form.reason, MAX_REASON) {
        return Err(Failure::bad_parameter("reason", "given"));
    }
    let archive = archive(app)?;
    let back = format!("/findings/{}", form.finding.max(1));
    let done = app
        .read_blocking(move |_| call(&archive, &visitor.scope, &id, &by, form.reason.trim()))
        .await?;
    done?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response())
}
