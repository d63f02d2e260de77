//! Who looks at what is not blurred: live pictures, clips and originals. While there is no sign-in people say
//! who they are and why, once per browser session; every look is written to the audit trail under that name.

use axum::{
    extract::{Form, rejection::FormRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    failure::{Failure, Kind},
};

/// The longest name, in characters.
pub(crate) const MAX_NAME: usize = 60;
/// The longest purpose, in characters.
pub(crate) const MAX_PURPOSE: usize = 120;
const COOKIE: &str = "watcher";

/// In what capacity somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Capacity {
    /// For the market regulation authority.
    Inspector,
    /// For the facility.
    Manager,
}

impl Capacity {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Capacity::Inspector => "inspector",
            Capacity::Manager => "manager",
        }
    }
}

/// Somebody who has said who they are and why they look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watcher {
    pub(crate) name: String,
    pub(crate) role: Capacity,
    pub(crate) purpose: String,
}

impl Watcher {
    /// Whoever the request's cookie names.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Watcher> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let mut pairs = cookies.filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
        let value = pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
        let watcher: Watcher = serde_json::from_slice(&hex::decode(value).ok()?).ok()?;
        watcher.is_valid().then_some(watcher)
    }

    /// Whoever looks, or why nothing is shown.
    pub(crate) fn required(headers: &HeaderMap) -> Result<Watcher, Failure> {
        Watcher::of(headers).ok_or_else(|| {
            Failure::new(
                Kind::NotNamed,
                "who looks, and for which purpose, has not been said",
            )
        })
    }

    /// Writes a look to the audit trail; nothing is shown before that is done.
    pub(crate) async fn write_down(&self, app: &App, action: &str, object: &str) -> Result<(), Failure> {
        let detail = format!("{}: {}", self.role.code(), self.purpose);
        let line = (self.name.as_str(), action, object, detail.as_str());
        Ok(app.stores.records.audit(line).await?)
    }

    fn is_valid(&self) -> bool {
        let fits = |text: &str, most| {
            let length = text.chars().count();
            (1..=most).contains(&length) && !text.chars().any(char::is_control)
        };
        fits(&self.name, MAX_NAME) && fits(&self.purpose, MAX_PURPOSE)
    }

    /// Lasts as long as the browser's session.
    fn cookie(&self) -> Result<HeaderValue, Failure> {
        let json = serde_json::to_vec(self).map_err(Failure::internal)?;
        let cookie = format!(
            "{COOKIE}={}; Path=/; SameSite=Strict; HttpOnly",
            hex::encode(json)
        );
        HeaderValue::from_str(&cookie).map_err(Failure::internal)
    }
}

/// What somebody says of themselves.
#[derive(Debug, Deserialize)]
pub(crate) struct WatcherForm {
    by: String,
    role: Capacity,
    purpose: String,
    /// The page to go back to.
    #[serde(default)]
    back: String,
}

/// Takes in who looks, and leads back.
pub(crate) async fn name(form: Result<Form<WatcherForm>, FormRejection>) -> Result<Response, Failure> {
    let Ok(Form(form)) = form else {
        return Err(Failure::new(
            Kind::BadRequest,
            "the form must have the fields by, role (inspector or manager) and purpose",
        ));
    };
    let watcher = Watcher {
        name: form.by.trim().to_owned(),
        role: form.role,
        purpose: form.purpose.trim().to_owned(),
    };
    if !watcher.is_valid() {
        return Err(Failure::bad_parameter(
            "by",
            &format!("a name of 1 to {MAX_NAME} characters, with a purpose of 1 to {MAX_PURPOSE}"),
        ));
    }
    lead_back(&form.back, watcher.cookie()?)
}

/// Forgets who looks, and leads back.
pub(crate) async fn forget(Form(form): Form<Forget>) -> Result<Response, Failure> {
    let gone = format!("{COOKIE}=; Path=/; SameSite=Strict; HttpOnly; Max-Age=0");
    lead_back(
        &form.back,
        HeaderValue::from_str(&gone).map_err(Failure::internal)?,
    )
}

/// Where to go back to.
#[derive(Debug, Deserialize)]
pub(crate) struct Forget {
    #[serde(default)]
    back: String,
}

fn lead_back(back: &str, cookie: HeaderValue) -> Result<Response, Failure> {
    let target = HeaderValue::from_str(own_path(back)).map_err(Failure::internal)?;
    let headers = [(header::LOCATION, target), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// `back` where it is a path of this site, else the wall of cameras: nobody is led away to another site.
fn own_path(back: &str) -> &str {
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    let own = back.starts_with('/') && !back.starts_with("//") && back.chars().all(plain);
    if own && back.len() <= 512 {
        back
    } else {
        "/cameras"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_back_and_a_forged_one_is_none() {
        let watcher = Watcher {
            name: "王芳".into(),
            role: Capacity::Inspector,
            purpose: "核查 12 号隐患".into(),
        };
        let set = watcher.cookie().unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("lang=en; {pair}").parse().unwrap());
        assert_eq!(Watcher::of(&headers), Some(watcher));
        for bad in ["", "watcher=", "watcher=zz", "watcher=7b7d", "xwatcher=00"] {
            headers.insert(header::COOKIE, bad.parse().unwrap());
            assert_eq!(Watcher::of(&headers), None, "{bad}");
        }
        let nobody = Watcher {
            name: String::new(),
            role: Capacity::Manager,
            purpose: "x".into(),
        };
        assert!(!nobody.is_valid());
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
            assert_eq!(own_path(other), "/cameras", "{other:?}");
        }
    }
}
