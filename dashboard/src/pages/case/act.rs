//! `POST /cases/{id}/{act}`: what a person does to a case, with the picture that comes with it.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, FromRequest as _, Multipart, Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::{
    Case, CaseId, CaseState, UtcMillis,
    case::{Act, Note, PictureId, Plan, Proof, picture::MAX_PICTURE_BYTES},
};
use i18n_embed_fl::fl;
use store::records::{CaseAction, MAX_MEASURE};

use super::{case_id, find};
use crate::{
    app::App,
    failure::{Failure, Kind},
    security::MAX_BODY_BYTES,
    signed,
    view::{
        case::{CaseTeller, CaseWords, MAX_COMMENT, MAX_NAME},
        page::{Nav, Page},
    },
    visitor::Visitor,
};

/// The most parts of a form.
const MAX_PARTS: usize = 16;

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage {
    page: Page,
    case: CaseWords,
    comment: String,
}

/// A name for a form that nobody guesses, so that the form acts once.
pub(crate) fn form_name() -> Result<String, Failure> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(hex::encode(bytes))
}

/// What a person sends about a case.
#[derive(Debug, Default)]
struct ActForm {
    by: String,
    comment: String,
    version: Option<i64>,
    /// The page to go back to: `overview`, or the case's own.
    back: String,
    once: String,
    measure: String,
    responsible: String,
    due: String,
    picture: Option<Bytes>,
}

impl ActForm {
    /// Reads a form of either kind.
    async fn read(request: Request) -> Result<ActForm, Failure> {
        let media = request.headers().get(header::CONTENT_TYPE);
        let media = media.and_then(|value| value.to_str().ok()).unwrap_or_default();
        if media.starts_with("multipart/form-data") {
            return ActForm::of_parts(request).await;
        }
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
        let body = body.map_err(|_longer| Failure::new(Kind::TooLarge, "the form is over the limit"))?;
        let request = Request::from_parts(head, body.into());
        let pairs = Form::<Vec<(String, String)>>::from_request(request, &())
            .await
            .map_err(|_unreadable| unreadable())?
            .0;
        let mut form = ActForm::default();
        for (name, value) in pairs.into_iter().take(MAX_PARTS) {
            form.set(&name, value)?;
        }
        Ok(form)
    }

    async fn of_parts(request: Request) -> Result<ActForm, Failure> {
        let mut parts = Multipart::from_request(request, &())
            .await
            .map_err(|_no_boundary| unreadable())?;
        let mut form = ActForm::default();
        for _ in 0..MAX_PARTS {
            let part = parts.next_field().await.map_err(|error| broken(&error))?;
            let Some(part) = part else { return Ok(form) };
            let name = part.name().unwrap_or_default().to_owned();
            if name == "picture" {
                let bytes = part.bytes().await.map_err(|error| broken(&error))?;
                form.picture = Some(bytes).filter(|bytes| !bytes.is_empty());
            } else {
                let text = part.text().await.map_err(|error| broken(&error))?;
                form.set(&name, text)?;
            }
        }
        Err(unreadable())
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Failure> {
        match name {
            "by" => self.by = value,
            "comment" => self.comment = value,
            "version" => self.version = Some(value.trim().parse().map_err(|_not_a_number| unreadable())?),
            "back" => self.back = value,
            "once" => self.once = value,
            "measure" => self.measure = value,
            "responsible" => self.responsible = value,
            "due" => self.due = value,
            // A browser may send further fields; they mean nothing.
            _ => {}
        }
        Ok(())
    }

    /// The time of the field, in the facilities' zone.
    fn due_at(&self, app: &App) -> Result<Option<UtcMillis>, Failure> {
        let text = self.due.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = || Failure::bad_parameter("due", "a local time such as 2026-11-21T18:00");
        let local: jiff::civil::DateTime = text.parse().map_err(|_unreadable| wrong())?;
        let zoned = local
            .to_zoned(app.zone.clone())
            .map_err(|_no_such_time| wrong())?;
        Ok(Some(UtcMillis(zoned.timestamp().as_millisecond())))
    }
}

fn unreadable() -> Failure {
    Failure::new(
        Kind::BadRequest,
        "the form must have the fields by, comment and version, sent as application/x-www-form-urlencoded or as \
         multipart/form-data",
    )
}

fn broken(error: &axum::extract::multipart::MultipartError) -> Failure {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let most = MAX_PICTURE_BYTES >> 20;
        return Failure::new(Kind::TooLarge, format!("a picture may have {most} MiB"));
    }
    unreadable()
}

pub(crate) async fn act(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((case, act)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let id = case_id(&case)?;
    let act = Act::parse(&act).ok_or_else(|| Failure::not_found("act"))?;
    visitor.check_act(&act)?;
    let form = ActForm::read(request).await?;
    let version = form.version.ok_or_else(unreadable)?;
    let note = Note {
        by: signed::name(&visitor, &form.by)?.to_owned(),
        at: app.stores.clock.now(),
        comment: signed::comment(&form.comment)?,
    };
    let action = CaseAction {
        act: with_picture(&app, &visitor, id, (act, &form)).await?,
        note,
        once: Some(form.once.clone()).filter(|once| !once.is_empty()),
    };
    let done = app.stores.alerts.act(&visitor.scope, id, version, action).await;
    after(&app, &visitor, &form, id, done.map_err(Failure::from)).await
}

/// The act with what it needs: the plan and the picture.
async fn with_picture(
    app: &App,
    visitor: &Visitor,
    id: CaseId,
    (act, form): (Act, &ActForm),
) -> Result<Act, Failure> {
    let picture = match (&act, &form.picture) {
        (Act::Begin(_) | Act::Submit(_), Some(bytes)) => Some(
            app.stores
                .records
                .put_case_picture(&visitor.scope, id, bytes)
                .await?,
        ),
        _ => None,
    };
    Ok(match act {
        Act::Begin(_) => Act::Begin(Plan {
            measure: bounded("measure", &form.measure, MAX_MEASURE)?,
            responsible: bounded("responsible", &form.responsible, MAX_NAME)?,
            due_at: form.due_at(app)?,
            before: picture,
        }),
        Act::Submit(_) => Act::Submit(Proof { after: picture }),
        other => other,
    })
}

fn bounded(name: &str, text: &str, max: usize) -> Result<String, Failure> {
    let text = text.trim().replace("\r\n", "\n");
    if text.chars().count() > max {
        return Err(Failure::bad_parameter(name, &format!("at most {max} characters")));
    }
    Ok(text)
}

/// Leads back to where the form was, or says who was faster.
async fn after(
    app: &Arc<App>,
    visitor: &Visitor,
    form: &ActForm,
    id: CaseId,
    done: Result<Case, Failure>,
) -> Result<Response, Failure> {
    match done {
        Ok(_) => {
            let target = if form.back == "overview" {
                "/".to_owned()
            } else {
                format!("/cases/{id}")
            };
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response())
        }
        Err(failure) if failure.kind == Kind::Conflict => conflict(app, visitor, form, id).await,
        Err(failure) => Err(failure),
    }
}

async fn conflict(
    app: &Arc<App>,
    visitor: &Visitor,
    form: &ActForm,
    id: CaseId,
) -> Result<Response, Failure> {
    let case = find(app, visitor, &id.to_string()).await?;
    let locale = visitor.locale(app);
    let directory = app.directory().await?;
    let rules = app.stores.alerts.rules();
    let teller = CaseTeller {
        locale: &locale,
        scope: &visitor.scope,
        directory: &directory,
        rules: &rules,
    };
    let page = Page::new(
        app,
        visitor,
        Nav::Cases,
        fl!(locale.l, "err-conflict"),
        &format!("/cases/{id}"),
    );
    let by = match case.state {
        CaseState::Closed => case.closed.as_ref(),
        _ => case.acknowledged.as_ref(),
    };
    let mut words = teller.tell(&case);
    words.acknowledged_by = by.map(|n| n.by.clone()).unwrap_or_default();
    let comment = form.comment.chars().take(MAX_COMMENT).collect();
    let view = ConflictPage {
        page,
        case: words,
        comment,
    };
    let mut response = view.page.answer(view.render())?;
    *response.status_mut() = StatusCode::CONFLICT;
    Ok(response)
}

/// A picture of a case. It never changes: its name is its content's.
pub(crate) async fn picture(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((case, picture)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let id = case_id(&case)?;
    let picture = PictureId::parse(&picture).ok_or_else(|| Failure::not_found("picture"))?;
    let jpeg = app
        .stores
        .records
        .case_picture(&visitor.scope, id, picture)
        .await?;
    let jpeg = jpeg.ok_or_else(|| Failure::not_found("picture"))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=3600"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("inline; filename=\"case.jpg\""),
        ),
    ];
    Ok((headers, jpeg).into_response())
}
