//! `/sign-in`: who one is.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::records::{PASSWORD_BYTES, SessionToken, SignIn};

use crate::{
    app::App,
    failure::{Failure, Kind},
    query::Parameters,
    view::page::{Nav, Page},
    visitor::{SESSION_COOKIE, Stranger, Visitor, cookie},
    watcher::{self, own_path},
};

/// Somebody of the demo, who signs in with one press.
struct DemoPerson {
    id: String,
    name: String,
    role: String,
    password: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    back: String,
    account: String,
    /// Why the last attempt failed, in words.
    wrong: Option<String>,
    demo: Vec<DemoPerson>,
    /// Nobody is on record who could sign in.
    nobody: bool,
    max_password: usize,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct SignInForm {
    account: String,
    password: String,
    #[serde(default)]
    back: String,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Stranger(visitor): Stranger,
    uri: Uri,
) -> Result<Response, Failure> {
    let back = Parameters::of(&uri)?.get("back").unwrap_or("/").to_owned();
    draw(&app, &visitor, (&back, ""), None).await
}

pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    Stranger(visitor): Stranger,
    form: Result<Form<SignInForm>, FormRejection>,
) -> Result<Response, Failure> {
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields account and password",
        ));
    };
    // A password costs tens of milliseconds and 19 MiB: no more than a few are looked at together.
    let _turn = app.sign_ins.acquire().await.map_err(Failure::internal)?;
    let locale = visitor.locale(&app);
    let wrong = match app
        .stores
        .records
        .sign_in(form.account.trim(), &form.password)
        .await?
    {
        SignIn::Done(token) => {
            return watcher::lead_back(&form.back, &[session_cookie(&token), watcher::forgotten()]);
        }
        SignIn::Refused => fl!(locale.l, "sign-in-wrong"),
        SignIn::Locked { until } => fl!(locale.l, "sign-in-locked", until = locale.moment(until)),
    };
    let mut response = draw(&app, &visitor, (&form.back, &form.account), Some(wrong)).await?;
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    Ok(response)
}

/// What keeps somebody signed in.
pub(crate) fn session_cookie(token: &SessionToken) -> String {
    format!(
        "{SESSION_COOKIE}={}; Path=/; SameSite=Lax; HttpOnly",
        token.as_str()
    )
}

/// Where to go after signing out.
#[derive(Debug, Deserialize)]
pub(crate) struct SignOutForm {
    #[serde(default)]
    back: String,
}

pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(form): Form<SignOutForm>,
) -> Result<Response, Failure> {
    if let Some(token) = cookie(&headers, SESSION_COOKIE) {
        app.stores.records.sign_out(token).await?;
    }
    let gone = format!("{SESSION_COOKIE}=; Path=/; SameSite=Lax; HttpOnly; Max-Age=0");
    watcher::lead_back(&form.back, &[gone, watcher::forgotten()])
}

async fn draw(
    app: &Arc<App>,
    visitor: &Visitor,
    (back, account): (&str, &str),
    wrong: Option<String>,
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let known = &app.stores.demo_people;
    let mut demo = Vec::new();
    if !known.is_empty() {
        for person in app.stores.records.people().await? {
            let password = known.iter().find(|(id, _)| *id == person.id).map(|(_, p)| p);
            if let Some(password) = password {
                demo.push(DemoPerson {
                    id: person.id.to_string(),
                    name: person.name,
                    role: locale.role(person.role),
                    password: password.clone(),
                });
            }
        }
    }
    let back = own_path(back).to_owned();
    let path = format!("/sign-in?back={back}");
    let view = SignInPage {
        page: Page::new(app, visitor, Nav::None, fl!(locale.l, "sign-in"), &path),
        nobody: demo.is_empty() && !app.stores.records.has_people().await?,
        back,
        account: account.chars().take(64).collect(),
        wrong,
        demo,
        max_password: PASSWORD_BYTES.1,
    };
    view.page.answer(view.render())
}
