//! Who asks, how far they may see, and in which language they read. Every handler takes a [`Visitor`], and every read
//! takes its scope.
//!
//! Whoever has signed in sees what their reach says. Without a session there are two cases: while nobody is on record
//! who could sign in, and in a demo, whoever sits at this machine sees everything but people (see [`crate::security`]:
//! only loopback names are answered); as soon as there is somebody, everybody has to sign in.

use std::{convert::Infallible, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{
    Permission, Principal, Scope,
    case::machine::{Act, Part},
};

use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    i18n::Lang,
};

/// The cookie that keeps somebody signed in.
pub(crate) const SESSION_COOKIE: &str = "session";

/// Somebody who asks for something.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// How far they may see.
    pub(crate) scope: Scope,
    /// Who they are, when they have signed in.
    pub(crate) principal: Option<Principal>,
    /// The language they read.
    pub(crate) lang: Lang,
    /// Whether they asked for this language in this very request: it is then remembered.
    pub(crate) chose_lang: bool,
}

impl Visitor {
    /// Somebody of whom only the language is known, and who sees nothing: for what must be said without asking who
    /// they are.
    pub(crate) fn stranger(parts: &Parts) -> Visitor {
        let asked = parts
            .uri
            .query()
            .and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("lang=")))
            .and_then(Lang::parse);
        Visitor {
            scope: Scope::facilities(std::iter::empty()),
            principal: None,
            lang: asked.unwrap_or_else(|| Lang::of(&parts.headers)),
            chose_lang: asked.is_some(),
        }
    }

    /// How to say things to this visitor.
    pub(crate) fn locale(&self, app: &App) -> Locale {
        Locale::new(self.lang, app.zone.clone(), app.stores.clock.now())
    }

    /// Fails when this visitor's role may not do that. Whoever need not sign in may: they sit at the machine.
    pub(crate) fn check(&self, what: Permission) -> Result<(), Failure> {
        match &self.principal {
            Some(principal) if !principal.role.may(what) => Err(Failure::new(
                Kind::NotAllowed,
                format!("the role {} may not do this", principal.role.code()),
            )),
            _ => Ok(()),
        }
    }

    /// Fails when this visitor's role may not do that to a case: to verify, and to decide on a dispute, is an
    /// inspector's part.
    pub(crate) fn check_act(&self, act: &Act) -> Result<(), Failure> {
        self.check(match act.part() {
            Part::Inspector => Permission::Decide,
            Part::Facility | Part::Either => Permission::DealWithCases,
        })
    }

    /// Whoever holds the request's session; without one, whoever sits at this machine while nobody has to sign in.
    async fn of_session(parts: &Parts, app: &App) -> Result<Visitor, Failure> {
        let stranger = Visitor::stranger(parts);
        let records = &app.stores.records;
        if let Some(token) = cookie(&parts.headers, SESSION_COOKIE)
            && let Some(principal) = records.session(token).await?
        {
            return Ok(Visitor {
                scope: principal.scope.clone(),
                principal: Some(principal),
                ..stranger
            });
        }
        if !app.site().demo && records.has_people().await? {
            return Err(Failure::new(
                Kind::SignedOut,
                "nobody has signed in, or the session has ended",
            ));
        }
        Ok(Visitor {
            scope: Scope::everything(),
            ..stranger
        })
    }
}

/// Lets through what needs nobody to sign in, and whoever may look at all: it stands in front of handlers that would
/// forget to ask.
pub(crate) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    match Visitor::of_session(&parts, &app).await {
        Ok(visitor) if has_to_choose(&visitor, parts.uri.path()) => choose_first(parts.uri.path()),
        Ok(visitor) => {
            // Handlers take it from here: the session is looked up once.
            parts.extensions.insert(visitor);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Whether somebody signed in with a password that another chose, and asks for anything but to choose their own.
fn has_to_choose(visitor: &Visitor, path: &str) -> bool {
    let must = visitor
        .principal
        .as_ref()
        .is_some_and(|me| me.must_choose_password);
    must && path != "/me/password"
}

fn choose_first(path: &str) -> Response {
    if path.starts_with("/api/") || path.starts_with("/live") {
        let words = "the password was chosen by somebody else; choose your own at /me/password first";
        return Failure::new(Kind::NotAllowed, words).into_response();
    }
    Redirect::to("/me/password").into_response()
}

/// What needs nobody to sign in: the way in, what the pages are made of, what watches the server, and the exchange of
/// a claim code, which is a secret itself.
fn is_open(path: &str) -> bool {
    matches!(
        path,
        "/sign-in" | "/sign-out" | "/push.js" | "/livez" | "/readyz" | "/metrics"
    ) || ["/a/", "/claim/", "/api/v1/claims/"]
        .iter()
        .any(|open| path.starts_with(open))
}

/// The value of this cookie.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Visitor, Failure> {
        match parts.extensions.get::<Visitor>() {
            Some(visitor) => Ok(visitor.clone()),
            None => Visitor::of_session(parts, app).await,
        }
    }
}

/// A [`Visitor::stranger`].
pub(crate) struct Stranger(pub(crate) Visitor);

impl FromRequestParts<Arc<App>> for Stranger {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Stranger, Infallible> {
        Ok(Stranger(Visitor::stranger(parts)))
    }
}
