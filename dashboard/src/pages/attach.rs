//! `/cameras/new` and `/cameras/{facility}/{camera}/edit`: attaching a camera, as one form that the server draws
//! again with what it found: discovery, the device's streams, a test with a picture to draw on.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    body::Body,
    extract::{Form, Path, State, rejection::FormRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Camera, CameraUrl, Credentials, Permission, sight::StreamProfile};
use i18n_embed_fl::fl;

use super::cameras::find;
use crate::{
    app::App,
    attach::{
        drafts::{self, Draft},
        fields::{Fields, MAX_PLACE, Problem, Reading, Row},
    },
    failure::{Failure, Kind},
    format::Locale,
    sight::ProbeRequest,
    signed,
    view::{
        attach::{CheckFields, Choices, ProbeWords, StreamRow, checks, explain},
        camera::{page_of, still_href},
        case::MAX_NAME,
        page::{Nav, Page},
    },
    visitor::Visitor,
};

#[derive(Template)]
#[template(path = "attach.html")]
struct Attach {
    page: Page,
    /// Where the form is sent.
    action: String,
    /// Where cancelling leads.
    home: String,
    editing: bool,
    fields: Fields,
    draft: String,
    choices: Choices,
    problems: BTreeMap<String, String>,
    /// Whether a password was typed in a moment ago, or is kept already.
    password_typed: bool,
    password_kept: bool,
    discovered: Option<Vec<(String, String)>>,
    streams: Option<Vec<StreamRow>>,
    streams_fault: Option<&'static str>,
    test: Option<ProbeWords>,
    picture: Option<String>,
    checks: Vec<CheckFields>,
    folder: bool,
    max_name: usize,
    max_place: usize,
}

impl Attach {
    /// What a field holds.
    fn v(&self, name: &str) -> &str {
        self.fields.get(name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.fields.get(name) == value
    }

    /// What is wrong with a field, in words; empty when nothing is.
    fn wrong(&self, name: &str) -> &str {
        self.problems.get(name).map_or("", String::as_str)
    }
}

/// One visit to the form.
struct Visit<'a> {
    app: &'a Arc<App>,
    visitor: &'a Visitor,
    before: Option<Camera>,
    fields: Fields,
    token: String,
    problems: BTreeMap<String, Problem>,
}

pub(crate) async fn blank(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let visit = Visit {
        app: &app,
        visitor: &visitor,
        before: None,
        fields: Fields::blank(),
        token: token("")?,
        problems: BTreeMap::new(),
    };
    visit.draw().await
}

pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
) -> Result<Response, Failure> {
    let camera = find(&app, &visitor, path).await?;
    let visit = Visit {
        app: &app,
        visitor: &visitor,
        fields: Fields::of(&camera),
        before: Some(camera),
        token: token("")?,
        problems: BTreeMap::new(),
    };
    visit.draw().await
}

/// The form as it was sent.
type Sent = Result<Form<Vec<(String, String)>>, FormRejection>;

pub(crate) async fn create(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Sent,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    take(&app, &visitor, None, form).await
}

pub(crate) async fn change(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(path): Path<(String, String)>,
    form: Sent,
) -> Result<Response, Failure> {
    visitor.check(Permission::Configure)?;
    let camera = find(&app, &visitor, path).await?;
    take(&app, &visitor, Some(camera), form).await
}

async fn take(
    app: &Arc<App>,
    visitor: &Visitor,
    before: Option<Camera>,
    form: Sent,
) -> Result<Response, Failure> {
    let pairs = match form {
        Ok(Form(pairs)) => pairs,
        Err(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(Failure::new(Kind::TooLarge, "the form is over the limit"));
        }
        Err(_) => return Err(Failure::new(Kind::BadRequest, "the form cannot be read")),
    };
    let (fields, credentials) = Fields::received(pairs);
    let mut visit = Visit {
        app,
        visitor,
        before,
        token: token(fields.get("draft"))?,
        fields,
        problems: BTreeMap::new(),
    };
    if let Some(credentials) = credentials {
        visit.keep(|draft| draft.credentials = Some(credentials));
    }
    visit.pick_streams();
    match visit.fields.get("do") {
        "discover" => visit.discover().await,
        "streams" => visit.streams().await,
        "test" => visit.test().await,
        "save" => return visit.save().await,
        _ => {}
    }
    visit.draw().await
}

/// The token of the draft that goes with the form, or a new one.
fn token(text: &str) -> Result<String, Failure> {
    if drafts::is_token(text) {
        return Ok(text.to_owned());
    }
    drafts::new_token().ok_or_else(|| Failure::internal("the system gives no random numbers"))
}

impl Visit<'_> {
    fn draft(&self) -> Arc<Draft> {
        self.app.drafts.get(&self.token, self.app.stores.clock.now())
    }

    fn keep(&self, change: impl FnOnce(&mut Draft)) {
        let mut draft = Draft::clone(&self.draft());
        change(&mut draft);
        self.app
            .drafts
            .put(&self.token, draft, self.app.stores.clock.now());
    }

    fn credentials(&self) -> Option<Credentials> {
        self.draft().credentials.clone()
    }

    /// Streams that were chosen from the device's list take the place of what was typed.
    fn pick_streams(&mut self) {
        for (picked, field) in [("pick_main", "main"), ("pick_sub", "sub")] {
            let url = self.fields.get(picked).to_owned();
            if !url.is_empty() {
                self.fields.set(field, &url);
            }
        }
    }

    async fn discover(&mut self) {
        let found = (self.app.stores.sight.discover)().await;
        self.keep(|draft| draft.discovered = Some(found));
    }

    /// Asks the device what it offers, and chooses: the largest for evidence, the small one for judgement.
    async fn streams(&mut self) {
        let address = match CameraUrl::new(self.fields.get("address")) {
            Ok(address) => address,
            Err(error) => {
                let problem = match self.fields.get("address") {
                    "" => Problem::Missing,
                    _ => Problem::Camera(error),
                };
                self.problems.insert("address".into(), problem);
                return;
            }
        };
        let offered = (self.app.stores.sight.profiles)(address, self.credentials()).await;
        if let Ok(profiles) = &offered {
            let (main, sub) = choose(profiles);
            self.fields.set("kind", "rtsp");
            self.fields.set("main", main.map_or("", |p| p.url.as_str()));
            self.fields.set("sub", sub.map_or("", |p| p.url.as_str()));
        }
        self.keep(|draft| draft.profiles = Some(offered));
    }

    async fn test(&mut self) {
        let mut reading = Reading::of(&self.fields);
        let source = reading.source(self.before.as_ref());
        self.problems = reading.problems;
        let Some(source) = source else { return };
        let request = ProbeRequest {
            sub: self.fields.is_on("test_sub"),
            source,
            credentials: self.credentials(),
            camera: self.before.as_ref().map(|c| c.key.clone()),
        };
        let tested = (self.app.stores.sight.probe)(request).await;
        self.keep(|draft| draft.tested = Some(tested));
    }

    async fn save(mut self) -> Result<Response, Failure> {
        let mut reading = Reading::of(&self.fields);
        let camera = reading.camera(self.before.as_ref());
        let by = signed::name(self.visitor, self.fields.get("by")).map(str::to_owned);
        if by.is_err() {
            reading.problems.insert("by".into(), Problem::Missing);
        }
        self.problems = reading.problems;
        let Some(camera) = camera.filter(|_| self.problems.is_empty()) else {
            return self.draw().await;
        };
        let records = &self.app.stores.records;
        let scope = &self.visitor.scope;
        if !scope.allows(&camera.key.facility) {
            self.problems.insert("facility".into(), Problem::Choice);
            return self.draw().await;
        }
        if self.before.is_none() && records.camera(scope, &camera.key).await?.is_some() {
            self.problems.insert("camera".into(), Problem::Taken);
            return self.draw().await;
        }
        records.put_camera(&camera, &by?).await?;
        // After the camera: a source that names another host forgets the credentials of the old one.
        if let Some(credentials) = self.credentials() {
            let kept = (self.app.stores.sight.keep_credentials)(camera.key.clone(), credentials).await;
            kept.map_err(Failure::internal)?;
        }
        self.app.drafts.forget(&self.token);
        self.app.cameras_changed();
        let target = format!("{}?new=1", page_of(&camera.key));
        Ok((StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response())
    }

    /// The page's title, where its form is sent, and whether the camera has credentials.
    async fn heading(&self, locale: &Locale) -> Result<(String, String, bool), Failure> {
        let Some(camera) = &self.before else {
            return Ok((fl!(locale.l, "attach-title"), "/cameras/new".to_owned(), false));
        };
        let records = &self.app.stores.records;
        let kept = records.has_credentials(&self.visitor.scope, &camera.key).await?;
        let title = fl!(locale.l, "edit-title", place = locale.camera(camera));
        Ok((title, format!("{}/edit", page_of(&camera.key)), kept))
    }

    /// The picture to draw on: the test's, else the camera's newest.
    fn picture(&self, draft: &Draft) -> Option<String> {
        if draft.picture().is_some() {
            return Some(format!("/attach/{}/picture.jpg", self.token));
        }
        let key = &self.before.as_ref()?.key;
        let still = (self.app.stores.sight.still)(key)?;
        Some(still_href(key, &still))
    }

    async fn draw(self) -> Result<Response, Failure> {
        let locale = self.visitor.locale(self.app);
        let (draft, directory) = (self.draft(), self.app.directory().await?);
        let (title, action, kept) = self.heading(&locale).await?;
        let picture = self.picture(&draft);
        let rows: Vec<Row> = self.fields.rows();
        let wrong = |(name, problem): (&String, &Problem)| (name.clone(), explain(&locale, problem));
        let view = Attach {
            page: Page::new(self.app, self.visitor, Nav::Cameras, title, &action),
            home: self
                .before
                .as_ref()
                .map_or_else(|| "/cameras".to_owned(), |c| page_of(&c.key)),
            editing: self.before.is_some(),
            choices: Choices::of(&locale, self.visitor, &directory, &self.fields),
            problems: self.problems.iter().map(wrong).collect(),
            password_typed: draft.credentials.is_some(),
            password_kept: kept,
            discovered: draft.discovered.as_ref().map(|found| {
                let row = |d: &crate::sight::Discovered| {
                    let name = [d.name.as_str(), d.location.as_str()].join(" ");
                    (d.address.to_string(), name.trim().to_owned())
                };
                found.iter().map(row).collect()
            }),
            streams: draft
                .profiles
                .as_ref()
                .and_then(|p| p.as_ref().ok())
                .map(|found| {
                    let row = |p: &StreamProfile| StreamRow::of(&locale, p, &self.fields);
                    found.iter().map(row).collect()
                }),
            streams_fault: draft
                .profiles
                .as_ref()
                .and_then(|p| p.as_ref().err())
                .map(|f| locale.fault(f.fault)),
            test: draft.tested.as_ref().map(|t| ProbeWords::of(&locale, t)),
            picture,
            checks: checks(&locale, &self.fields, &rows, &self.problems),
            folder: self.fields.get("kind") == "folder",
            draft: self.token,
            fields: self.fields,
            action,
            max_name: MAX_NAME,
            max_place: MAX_PLACE,
        };
        let mut response = view.page.answer(view.render())?;
        if !view.problems.is_empty() {
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        }
        Ok(response)
    }
}

/// The largest stream for evidence; for judgement the smallest that is at least 320 pixels wide, unless it is the
/// same one.
fn choose(profiles: &[StreamProfile]) -> (Option<&StreamProfile>, Option<&StreamProfile>) {
    let area = |p: &&StreamProfile| u64::from(p.width) * u64::from(p.height);
    let main = profiles.iter().max_by_key(area);
    let sub = profiles.iter().filter(|p| p.width >= 320).min_by_key(area);
    (main, sub.filter(|s| main.is_none_or(|m| m.url != s.url)))
}

/// The picture that the test took, to draw on.
pub(crate) async fn picture(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Response, Failure> {
    let draft = app.drafts.get(&token, app.stores.clock.now());
    let picture = draft.picture().ok_or_else(|| Failure::not_found("picture"))?;
    let mut response = Body::from(picture).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, width: u32, height: u32) -> StreamProfile {
        StreamProfile {
            name: name.into(),
            url: CameraUrl::new(&format!("rtsp://192.0.2.1/{name}")).unwrap(),
            codec: "H264".into(),
            width,
            height,
            fps: 25.0,
        }
    }

    #[test]
    fn the_largest_stream_is_for_evidence_and_a_small_one_for_judgement() {
        let all = [
            profile("tiny", 176, 144),
            profile("sub", 640, 360),
            profile("main", 2560, 1440),
            profile("third", 1280, 720),
        ];
        let (main, sub) = choose(&all);
        assert_eq!(
            (main.unwrap().name.as_str(), sub.unwrap().name.as_str()),
            ("main", "sub")
        );
        let (main, sub) = choose(&all[2..3]);
        assert_eq!((main.unwrap().name.as_str(), sub), ("main", None));
        assert_eq!(choose(&[]), (None, None));
    }
}
