//! What the stream says: pieces of pages, each with the place it replaces.

use std::sync::Arc;

use askama::Template as _;
use domain::{Camera, Case, Scope};

use super::{Said, Topic};
use crate::{
    app::App,
    cameras::CameraNow,
    directory::Directory,
    failure::Failure,
    format::Locale,
    i18n::Lang,
    pages,
    picture::FacilityNow,
    view::{
        camera::CameraCard,
        case::CaseTeller,
        facility::FacilityHead,
        kpis::{Figures, Kpis},
        point::Points,
        tile::Tile,
    },
};

/// One text per language. A text that cannot be drawn is left out, and logged: the page keeps what it has.
pub(super) fn in_every_language(app: &App, say: impl Fn(&Locale) -> askama::Result<String>) -> Option<Said> {
    let now = app.stores.clock.now();
    let mut said = Lang::ALL
        .map(|lang| say(&Locale::new(lang, app.zone.clone(), now)))
        .into_iter();
    match (said.next(), said.next()) {
        (Some(Ok(zh)), Some(Ok(en))) => Some([one_line(&zh), one_line(&en)]),
        (first, second) => {
            let error = [first, second].into_iter().flatten().find_map(Result::err);
            tracing::error!(?error, "a live update could not be drawn");
            None
        }
    }
}

/// An event's data is one line; in HTML a space does what a line's end does.
fn one_line(html: &str) -> Arc<str> {
    html.replace(['\r', '\n'], " ").into()
}

fn partial(target: &str, html: &str) -> String {
    format!("<hx-partial hx-target=\"#{target}\" hx-swap=\"outerMorph\">{html}</hx-partial>")
}

pub(super) fn tile(app: &App, facility: &FacilityNow) -> Option<Said> {
    in_every_language(app, |locale| {
        let tile = Tile::new(locale, facility);
        Ok(partial(&tile.dom, &tile.render()?))
    })
}

pub(super) fn kpis(app: &App, figures: &Figures) -> Option<Said> {
    in_every_language(app, |locale| {
        Ok(partial("kpis", &Kpis::new(locale, figures).render()?))
    })
}

pub(super) fn queue(app: &App, directory: &Directory, cases: &[Case]) -> Option<Said> {
    let scope = Scope::everything();
    let rules = app.stores.alerts.rules();
    in_every_language(app, |locale| {
        CaseTeller {
            locale,
            scope: &scope,
            directory,
            rules: &rules,
        }
        .queue(cases)
        .render()
    })
}

pub(super) fn facility(app: &App, facility: &FacilityNow) -> Option<Said> {
    in_every_language(app, |locale| {
        let head = partial("facility-head", &FacilityHead::new(locale, facility).render()?);
        let points = partial("points", &Points::new(locale, facility).render()?);
        Ok(head + &points)
    })
}

pub(super) fn camera_tile(app: &App, directory: &Directory, camera: &CameraNow) -> Option<Said> {
    in_every_language(app, |locale| {
        let tile = app.camera_tile(locale, directory, camera);
        Ok(partial(&tile.dom, &tile.render()?))
    })
}

/// How the camera of `topic` fares; nothing when it is not there, or `topic` is about something else.
pub(super) async fn camera(app: &App, scope: &Scope, topic: &Topic) -> Result<Option<Said>, Failure> {
    let Topic::Camera(facility, device) = topic else {
        return Ok(None);
    };
    let all = app.all_cameras().await?;
    let is_it = |c: &&Camera| c.key.facility == *facility && c.key.camera == *device;
    let Some(camera) = all.iter().find(is_it).filter(|_| scope.allows(facility)) else {
        return Ok(None);
    };
    let now = app.camera_now(scope, camera, 0);
    Ok(in_every_language(app, |locale| {
        Ok(partial("camera-health", &CameraCard::new(locale, &now).render()?))
    }))
}

/// The part of a page that `topic` is about, unless it is made of tiles.
pub(super) fn part(app: &App, scope: &Scope, directory: &Directory, topic: &Topic) -> Option<Said> {
    match topic {
        Topic::Facility(id) => {
            let entry = directory.facility(scope, id)?;
            self::facility(app, &app.facility_now(scope, entry, &app.judgement()))
        }
        Topic::Device(facility, device) => in_every_language(app, |locale| {
            let card = pages::device::card(app, locale, scope, (facility, device));
            Ok(partial("device-status", &card.render()?))
        }),
        // These are made of tiles or figures, or have to be looked up first.
        Topic::Overview
        | Topic::Facilities
        | Topic::Cameras
        | Topic::Camera(..)
        | Topic::Findings
        | Topic::Plain => None,
    }
}
