//! Who asks, how far they may see, and in which language they read. Every handler takes a
//! [`Visitor`], and every read takes its scope: sign-in will change this file and nothing behind it.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use domain::Scope;

use crate::{app::App, format::Locale, i18n::Lang};

/// Somebody who asks for something.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// How far they may see. While there is no sign-in the server answers loopback addresses only,
    /// and whoever sits at its machine sees everything.
    pub(crate) scope: Scope,
    /// The language they read.
    pub(crate) lang: Lang,
    /// Whether they asked for this language in this very request: it is then remembered.
    pub(crate) chose_lang: bool,
}

impl Visitor {
    /// How to say things to this visitor.
    pub(crate) fn locale(&self, app: &App) -> Locale {
        Locale::new(self.lang, app.zone.clone(), app.stores.clock.now())
    }
}

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Visitor, Infallible> {
        let asked = parts
            .uri
            .query()
            .and_then(|q| q.split('&').find_map(|pair| pair.strip_prefix("lang=")))
            .and_then(Lang::parse);
        Ok(Visitor {
            scope: Scope::everything(),
            lang: asked.unwrap_or_else(|| Lang::of(&parts.headers)),
            chose_lang: asked.is_some(),
        })
    }
}
