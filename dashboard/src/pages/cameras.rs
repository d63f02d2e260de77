//! `/cameras`: every camera at a glance; and the stills that the pages show of them.

use std::sync::Arc;

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderValue, Uri, header},
    response::{IntoResponse as _, Response},
};
use domain::{CameraKey, FacilityId};
use i18n_embed_fl::fl;

use crate::{
    app::App,
    cameras::{CameraNow, CameraState},
    directory::Directory,
    failure::Failure,
    format::{Locale, iso},
    query::{self, Parameters},
    sight::VisionBackend,
    view::{
        camera::CameraTile,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// Cameras on one page of the wall: each is a picture that the browser fetches again and again.
const PER_PAGE: usize = 48;

/// The names of the states that can be asked for.
const STATES: [&str; 5] = ["", "trouble", "online", "offline", "waiting"];

struct Choice {
    value: String,
    label: String,
    current: bool,
}

#[derive(Template)]
#[template(path = "cameras.html")]
struct Wall {
    page: Page,
    tiles: Vec<CameraTile>,
    total: usize,
    found: usize,
    online: usize,
    trouble: usize,
    waiting: u64,
    state: &'static str,
    facility: String,
    states: Vec<Choice>,
    facilities: Vec<Choice>,
    next: Option<String>,
    /// What judges the pictures.
    backend: VisionBackend,
}

impl App {
    /// A camera's tile.
    pub(crate) fn camera_tile(&self, locale: &Locale, directory: &Directory, now: &CameraNow) -> CameraTile {
        let still = (self.stores.sight.still)(&now.camera.key);
        let everything = domain::Scope::everything();
        let entry = directory.facility(&everything, &now.camera.key.facility);
        let facility = entry.map_or_else(
            || now.camera.key.facility.as_str(),
            |e| locale.facility(&e.facility),
        );
        CameraTile::new(locale, now, still.as_ref(), facility)
    }
}

fn is_trouble(now: &CameraNow) -> bool {
    matches!(
        now.state,
        CameraState::Offline | CameraState::Bad(_) | CameraState::Unknown
    )
}

fn in_state(now: &CameraNow, state: &str) -> bool {
    match state {
        "trouble" => is_trouble(now),
        "online" => now.state == CameraState::Online,
        "offline" => now.state == CameraState::Offline,
        "waiting" => now.waiting > 0,
        _ => true,
    }
}

pub(crate) async fn wall(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(&uri)?;
    let asked = parameters.get("state").unwrap_or_default();
    let Some(state) = STATES.into_iter().find(|s| *s == asked) else {
        return Err(Failure::bad_parameter(
            "state",
            "trouble, online, offline or waiting",
        ));
    };
    let facility = parameters.facility()?;
    let from = parameters.number("from", 0, 1_000_000, 0)? as usize;
    let locale = visitor.locale(&app);
    let directory = app.directory().await?;
    let mut all = app.cameras_now(&visitor.scope).await?;
    let facilities = facilities(&locale, &visitor, &directory, &all, facility.as_ref());
    all.retain(|c| facility.as_ref().is_none_or(|f| c.camera.key.facility == *f));
    let found: Vec<&CameraNow> = all.iter().filter(|c| in_state(c, state)).collect();
    let shown = found.iter().skip(from).take(PER_PAGE);
    let facility_name = facility.as_ref().map(ToString::to_string).unwrap_or_default();
    let next = (from + PER_PAGE < found.len()).then(|| {
        format!(
            "/cameras?state={state}&facility={facility_name}&from={}",
            from + PER_PAGE
        )
    });
    let page = Page::new(
        &app,
        &visitor,
        Nav::Cameras,
        fl!(locale.l, "cameras-title"),
        "/cameras",
    );
    let view = Wall {
        page: page.following("page=cameras"),
        tiles: shown.map(|c| app.camera_tile(&locale, &directory, c)).collect(),
        total: all.len(),
        found: found.len(),
        online: all.iter().filter(|c| c.state == CameraState::Online).count(),
        trouble: all.iter().filter(|c| is_trouble(c)).count(),
        waiting: all.iter().map(|c| c.waiting).sum(),
        state,
        facility: facility_name,
        states: states(&locale, state),
        facilities,
        next,
        backend: (app.stores.sight.backend)(),
    };
    view.page.answer(view.render())
}

fn states(locale: &Locale, current: &str) -> Vec<Choice> {
    let label = |state: &str| match state {
        "trouble" => fl!(locale.l, "cams-trouble"),
        "online" => fl!(locale.l, "cams-online"),
        "offline" => fl!(locale.l, "cams-offline"),
        "waiting" => fl!(locale.l, "cams-waiting"),
        _ => fl!(locale.l, "filter-all"),
    };
    STATES
        .into_iter()
        .map(|state| Choice {
            label: label(state),
            value: state.to_owned(),
            current: state == current,
        })
        .collect()
}

/// The facilities that have cameras.
fn facilities(
    locale: &Locale,
    visitor: &Visitor,
    directory: &Directory,
    all: &[CameraNow],
    current: Option<&FacilityId>,
) -> Vec<Choice> {
    let has_one = |id: &FacilityId| all.iter().any(|c| c.camera.key.facility == *id);
    directory
        .facilities(&visitor.scope)
        .filter(|e| has_one(&e.facility.id))
        .map(|e| Choice {
            value: e.facility.id.to_string(),
            label: locale.facility(&e.facility).to_owned(),
            current: current == Some(&e.facility.id),
        })
        .collect()
}

/// The camera of a path, if the visitor may see it.
pub(crate) async fn find(
    app: &App,
    visitor: &Visitor,
    path: (String, String),
) -> Result<domain::Camera, Failure> {
    let (facility, camera) = query::device(&path.0, &path.1)?;
    app.camera(&visitor.scope, &CameraKey { facility, camera }).await
}

/// The newest picture of a camera: masks applied, faces made unrecognisable.
pub(crate) async fn still(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Result<Response, Failure> {
    let camera = find(&app, &visitor, path).await?;
    let still = (app.stores.sight.still)(&camera.key).ok_or_else(|| Failure::not_found("picture"))?;
    let mut response = Body::from(still.jpeg).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(at) = HeaderValue::from_str(&iso(still.at)) {
        headers.insert("x-taken-at", at);
    }
    Ok(response)
}
