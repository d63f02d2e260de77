//! Who looks at people: live pictures, clips and originals. It takes a role that may, and a purpose, which is asked for
//! once per browser session; every look is written to the audit trail under the signed-in name.

use axum::{
    extract::{Form, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use domain::{Permission, Principal, Role};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    failure::{Failure, Kind},
    visitor::{Visitor, cookie},
};

/// The longest purpose, in characters.
pub(crate) const MAX_PURPOSE: usize = 120;
const COOKIE: &str = "watcher";

/// Somebody who may see people, and has said why they look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watcher {
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) role: Role,
    pub(crate) purpose: String,
}

/// How far somebody is from seeing people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watching {
    /// They have not signed in.
    SignedOut,
    /// Their role may not.
    NotAllowed,
    /// They have not said why.
    NoPurpose,
    /// They may look.
    As(Watcher),
}

/// What the cookie holds: a purpose, and whose. Another person at the same browser is asked anew.
#[derive(Serialize, Deserialize)]
struct Purpose {
    account: String,
    purpose: String,
}

impl Watching {
    pub(crate) fn of(visitor: &Visitor, headers: &HeaderMap) -> Watching {
        let Some(principal) = &visitor.principal else {
            return Watching::SignedOut;
        };
        if !principal.role.may(Permission::SeePeople) {
            return Watching::NotAllowed;
        }
        let said = cookie(headers, COOKIE).and_then(|value| purpose_of(value, principal));
        said.map_or(Watching::NoPurpose, |purpose| {
            Watching::As(Watcher {
                name: principal.name.clone(),
                account: principal.person.to_string(),
                role: principal.role,
                purpose,
            })
        })
    }

    /// Whoever may look; for the pages.
    pub(crate) fn watcher(&self) -> Option<&Watcher> {
        match self {
            Watching::As(watcher) => Some(watcher),
            _ => None,
        }
    }

    pub(crate) fn is_signed_out(&self) -> bool {
        *self == Watching::SignedOut
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self == Watching::NoPurpose
    }

    /// Whoever looks, or why nothing is shown.
    pub(crate) fn required(self) -> Result<Watcher, Failure> {
        match self {
            Watching::As(watcher) => Ok(watcher),
            Watching::SignedOut => Err(signed_out()),
            Watching::NotAllowed => Err(Failure::new(
                Kind::NotAllowed,
                "this role may not see people as the camera saw them",
            )),
            Watching::NoPurpose => Err(Failure::new(
                Kind::NotNamed,
                "for which purpose somebody looks has not been said",
            )),
        }
    }
}

fn signed_out() -> Failure {
    Failure::new(Kind::SignedOut, "only somebody who has signed in may see people")
}

fn purpose_of(value: &str, principal: &Principal) -> Option<String> {
    let said: Purpose = serde_json::from_slice(&hex::decode(value).ok()?).ok()?;
    (said.account == principal.person.as_str() && is_purpose(&said.purpose)).then_some(said.purpose)
}

fn is_purpose(text: &str) -> bool {
    let length = text.chars().count();
    (1..=MAX_PURPOSE).contains(&length) && !text.chars().any(char::is_control)
}

impl Watcher {
    /// Writes a look to the audit trail; nothing is shown before that is done.
    pub(crate) async fn write_down(&self, app: &App, action: &str, object: &str) -> Result<(), Failure> {
        let detail = self.reason();
        let line = (self.name.as_str(), action, object, detail.as_str());
        Ok(app.stores.records.audit(line).await?)
    }

    /// In what capacity and why, as the trails have it.
    pub(crate) fn reason(&self) -> String {
        format!("{} {}: {}", self.role.code(), self.account, self.purpose)
    }
}

/// Why somebody looks.
#[derive(Debug, Deserialize)]
pub(crate) struct WatcherForm {
    purpose: String,
    /// The page to go back to.
    #[serde(default)]
    back: String,
}

/// Takes in why somebody looks, and leads back.
pub(crate) async fn name(
    visitor: Visitor,
    form: Result<Form<WatcherForm>, FormRejection>,
) -> Result<Response, Failure> {
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the field purpose",
        ));
    };
    let Some(principal) = &visitor.principal else {
        return Err(signed_out());
    };
    visitor.check(Permission::SeePeople)?;
    let said = Purpose {
        account: principal.person.to_string(),
        purpose: form.purpose.trim().to_owned(),
    };
    if !is_purpose(&said.purpose) {
        return Err(Failure::bad_parameter(
            "purpose",
            &format!("words of 1 to {MAX_PURPOSE} characters"),
        ));
    }
    let json = serde_json::to_vec(&said).map_err(Failure::internal)?;
    // Lasts as long as the browser's session.
    let cookie = format!(
        "{COOKIE}={}; Path=/; SameSite=Strict; HttpOnly",
        hex::encode(json)
    );
    lead_back(&form.back, &[cookie])
}

/// Forgets why somebody looks, and leads back.
pub(crate) async fn forget(Form(form): Form<Forget>) -> Result<Response, Failure> {
    lead_back(&form.back, &[forgotten()])
}

/// The cookie that takes the purpose away.
pub(crate) fn forgotten() -> String {
    format!("{COOKIE}=; Path=/; SameSite=Strict; HttpOnly; Max-Age=0")
}

/// Where to go back to.
#[derive(Debug, Deserialize)]
pub(crate) struct Forget {
    #[serde(default)]
    back: String,
}

/// Leads to a page of ours, and sets cookies.
pub(crate) fn lead_back(back: &str, cookies: &[String]) -> Result<Response, Failure> {
    let target = HeaderValue::from_str(own_path(back)).map_err(Failure::internal)?;
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response();
    for cookie in cookies {
        let value = HeaderValue::from_str(cookie).map_err(Failure::internal)?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}

/// `back` where it is a path of this site, else the overview: nobody is led away to another site.
pub(crate) fn own_path(back: &str) -> &str {
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    let own = back.starts_with('/') && !back.starts_with("//") && back.chars().all(plain);
    if own && back.len() <= 512 { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{PersonId, Scope};

    #[test]
    fn a_purpose_counts_for_the_one_who_said_it() {
        let principal = |id: &str| Principal {
            person: PersonId::new(id).unwrap(),
            name: "王芳".into(),
            role: Role::Inspector,
            scope: Scope::everything(),
            must_choose_password: false,
        };
        let said = Purpose {
            account: "wang".into(),
            purpose: "核查 12 号隐患".into(),
        };
        let value = hex::encode(serde_json::to_vec(&said).unwrap());
        assert_eq!(
            purpose_of(&value, &principal("wang")),
            Some("核查 12 号隐患".into())
        );
        assert_eq!(purpose_of(&value, &principal("li")), None);
        for bad in ["", "zz", "7b7d", "00"] {
            assert_eq!(purpose_of(bad, &principal("wang")), None, "{bad}");
        }
        for bad in ["", "a\nb", &"x".repeat(MAX_PURPOSE + 1)] {
            assert!(!is_purpose(bad), "{bad:?}");
        }
    }

    #[test]
    fn nobody_is_led_to_another_site() {
        for own in ["/cameras/a/b", "/findings?state=waiting", "/"] {
            assert_eq!(own_path(own), own);
        }
        for other in [
            "",
            "//evil.example/",
            "/\\evil.example",
            "https://evil",
            "/a\r\nb",
            "/a b",
        ] {
            assert_eq!(own_path(other), "/", "{other:?}");
        }
    }
}
