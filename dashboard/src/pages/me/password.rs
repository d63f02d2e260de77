//! `/me/password`: a password of one's own choice.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Form, State, rejection::FormRejection},
    http::StatusCode,
    response::Response,
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::records::{PASSWORD_BYTES, SignIn};

use super::principal;
use crate::{
    app::App,
    failure::{Failure, Kind},
    pages::sign_in::session_cookie,
    view::page::{Nav, Page},
    visitor::Visitor,
    watcher,
};

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    page: Page,
    account: String,
    /// Why nothing was changed, in words.
    wrong: Option<String>,
    /// Somebody else chose the present one.
    must: bool,
    least: usize,
    most: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PasswordForm {
    old: String,
    new: String,
    again: String,
}

pub(crate) async fn show(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    draw(&app, &visitor, None)
}

/// Takes a new password in. Every other session of the person ends.
pub(crate) async fn choose(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Result<Form<PasswordForm>, FormRejection>,
) -> Result<Response, Failure> {
    let me = principal(&visitor)?;
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields old, new and again",
        ));
    };
    let locale = visitor.locale(&app);
    let refuse = |words: String| -> Result<Response, Failure> {
        let mut response = draw(&app, &visitor, Some(words))?;
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        Ok(response)
    };
    let (least, most) = PASSWORD_BYTES;
    if form.new.len() < least || form.new.len() > most {
        return refuse(fl!(locale.l, "password-length", least = least, most = most));
    }
    if form.new != form.again {
        return refuse(fl!(locale.l, "password-differs"));
    }
    if form.new == form.old {
        return refuse(fl!(locale.l, "password-same"));
    }
    let _turn = app.sign_ins.acquire().await.map_err(Failure::internal)?;
    let records = &app.stores.records;
    match records.sign_in(me.person.as_str(), &form.old).await? {
        SignIn::Done(_) => {}
        SignIn::Refused => return refuse(fl!(locale.l, "password-wrong")),
        SignIn::Locked { until } => {
            return refuse(fl!(locale.l, "sign-in-locked", until = locale.moment(until)));
        }
    }
    records.set_password(&me.person, &form.new, &me.name).await?;
    match records.sign_in(me.person.as_str(), &form.new).await? {
        SignIn::Done(token) => watcher::lead_back("/me", &[session_cookie(&token)]),
        SignIn::Refused | SignIn::Locked { .. } => watcher::lead_back("/sign-in", &[]),
    }
}

fn draw(app: &App, visitor: &Visitor, wrong: Option<String>) -> Result<Response, Failure> {
    let me = principal(visitor)?;
    let locale = visitor.locale(app);
    let title = fl!(locale.l, "password-title");
    let (least, most) = PASSWORD_BYTES;
    let view = PasswordPage {
        page: Page::new(app, visitor, Nav::None, title, "/me/password"),
        account: me.person.to_string(),
        wrong,
        must: me.must_choose_password,
        least,
        most,
    };
    view.page.answer(view.render())
}
