//! `/profiles`: how devices of which make speak, and an operator's own profiles: copied, tried and changed here.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Form, Path, State, rejection::FormRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Redirect, Response},
};
use domain::{
    Access, Permission, Profile, ProfileError, Scope,
    profile::{MAX_TRIED_BYTES, STANDARD, Tried},
};
use i18n_embed_fl::fl;
use serde::Deserialize;
use store::{
    RecordError,
    records::{OwnProfile, ProfileDraft},
};

use super::onboard::sent;
use crate::{
    app::App,
    failure::{Failure, Kind},
    format::Locale,
    query::Parameters,
    signed,
    view::{
        case::MAX_NAME,
        page::{Nav, Page},
        profile::{FieldRow, KeyRow, TriedRow, fields, keys, remedy, tried_rows},
    },
    visitor::Visitor,
};

/// Names that are addresses of these pages.
const TAKEN: [&str; 2] = ["new", "try"];

struct Row {
    id: String,
    title: String,
    codec: &'static str,
    devices: String,
    origin: String,
}

#[derive(Template)]
#[template(path = "profiles.html")]
struct List {
    page: Page,
    rows: Vec<Row>,
    keys: Vec<KeyRow>,
}

/// How many devices within reach speak by each profile.
async fn users(app: &App, visitor: &Visitor) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for identity in app.stores.records.devices(&visitor.scope, None).await? {
        if let Access::Device { profile, .. } = identity.access {
            users.entry(profile).or_default().push(identity.name.to_string());
        }
    }
    Ok(users)
}

pub(crate) async fn list(State(app): State<Arc<App>>, visitor: Visitor) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let users = users(&app, &visitor).await?;
    let own = app.stores.records.own_profiles().await?;
    let origin = |id: &str| match own.iter().find(|o| o.id == id) {
        Some(own) => fl!(
            locale.l,
            "profile-own",
            version = own.version,
            by = own.by.clone()
        ),
        None => fl!(locale.l, "profile-fixed"),
    };
    let rows = app.stores.profiles.now();
    let rows = rows.iter().map(|profile| Row {
        id: profile.id.clone(),
        title: locale.pick(&profile.title_zh, &profile.title_en).to_owned(),
        codec: profile.codec.code(),
        devices: fl!(
            locale.l,
            "profile-devices",
            n = users.get(&profile.id).map_or(0, Vec::len)
        ),
        origin: origin(&profile.id),
    });
    let title = fl!(locale.l, "profiles-title");
    let view = List {
        page: Page::new(&app, &visitor, Nav::Devices, title, "/profiles"),
        rows: rows.collect(),
        keys: keys(&locale),
    };
    view.page.answer(view.render())
}

struct VersionRow {
    version: u32,
    by: String,
    why: String,
    at: String,
    /// When the log got it; empty for the moment until it does.
    since: String,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct Shown {
    page: Page,
    id: String,
    codec: &'static str,
    source: String,
    interval: String,
    heartbeat: String,
    setup: String,
    fields: Vec<FieldRow>,
    devices: Vec<String>,
    more_devices: usize,
    versions: Vec<VersionRow>,
    text: String,
    may_change: bool,
}

/// The devices of a profile that its page names.
const NAMED: usize = 50;

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let locale = visitor.locale(&app);
    let profile = find(&app, &id)?;
    let mut devices = users(&app, &visitor)
        .await?
        .remove(&profile.id)
        .unwrap_or_default();
    let more_devices = devices.len().saturating_sub(NAMED);
    devices.truncate(NAMED);
    let versions = app.stores.records.profile_versions(&profile.id).await?;
    let seconds = |s: u32| locale.duration(i64::from(s) * 1000);
    let title = locale.pick(&profile.title_zh, &profile.title_en).to_owned();
    let view = Shown {
        page: Page::new(
            &app,
            &visitor,
            Nav::Devices,
            title,
            &format!("/profiles/{}", profile.id),
        ),
        codec: profile.codec.code(),
        source: profile.source.clone(),
        interval: seconds(profile.report_interval_s),
        heartbeat: profile.heartbeat_s.map(seconds).unwrap_or_default(),
        setup: locale.pick(&profile.setup_zh, &profile.setup_en).to_owned(),
        fields: fields(&locale, &profile),
        devices,
        more_devices,
        may_change: !versions.is_empty(),
        versions: versions.iter().map(|own| version_row(&locale, own)).collect(),
        text: profile.text.clone(),
        id: profile.id.clone(),
    };
    view.page.answer(view.render())
}

fn version_row(locale: &Locale, own: &OwnProfile) -> VersionRow {
    VersionRow {
        version: own.version,
        by: own.by.clone(),
        why: own.why.clone(),
        at: locale.stamp(own.at).at(),
        since: own.logged.map(|at| locale.stamp(at).at()).unwrap_or_default(),
    }
}

fn find(app: &App, id: &str) -> Result<Arc<Profile>, Failure> {
    app.stores
        .profiles
        .get(id)
        .ok_or_else(|| Failure::not_found("profile"))
}

/// What the editor's form brings.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EditForm {
    text: String,
    version: u32,
    topic: String,
    payload: String,
    why: String,
    by: String,
    #[serde(rename = "do")]
    action: String,
}

/// What is wrong with the text.
struct Wrong {
    line: usize,
    key: String,
    reason: String,
    remedy: String,
}

/// What became of the sample.
struct Outcome {
    readings: Vec<TriedRow>,
    refused: Vec<String>,
}

#[derive(Template)]
#[template(path = "profile_edit.html")]
struct Editor {
    page: Page,
    form: EditForm,
    wrong: Option<Wrong>,
    outcome: Option<Outcome>,
    keys: Vec<KeyRow>,
    max_name: usize,
}

fn draw(
    app: &Arc<App>,
    visitor: &Visitor,
    form: EditForm,
    (wrong, outcome): (Option<ProfileError>, Option<Tried>),
) -> Result<Response, Failure> {
    let locale = visitor.locale(app);
    let title = fl!(locale.l, "profile-edit");
    let wrong = wrong.map(|error| Wrong {
        remedy: remedy(&locale, &error.key),
        line: error.line,
        key: error.key,
        reason: error.reason,
    });
    let view = Editor {
        page: Page::new(app, visitor, Nav::Devices, title, "/profiles/new"),
        outcome: outcome.map(|tried| Outcome {
            readings: tried_rows(&locale, &tried),
            refused: tried.refused.into_iter().map(|(_, why)| why).collect(),
        }),
        wrong,
        form,
        keys: keys(&locale),
        max_name: MAX_NAME,
    };
    view.page.answer(view.render())
}

/// A copy of another profile, under a name that is free.
pub(crate) async fn blank(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Failure> {
    may_change(&visitor)?;
    let parameters = Parameters::of(&uri)?;
    let from = find(&app, parameters.get("from").unwrap_or("json"))?;
    let profiles = app.stores.profiles.now();
    let mut names = (1..1_000).map(|n| match n {
        1 => format!("my-{}", from.id),
        n => format!("my-{}-{n}", from.id),
    });
    let name = names
        .find(|name| profiles.get(name).is_none())
        .unwrap_or_default();
    let form = EditForm {
        text: from.renamed(&name),
        ..EditForm::default()
    };
    draw(&app, &visitor, form, (None, None))
}

/// An operator's own profile, to be changed.
pub(crate) async fn edit(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    may_change(&visitor)?;
    let versions = app.stores.records.profile_versions(&id).await?;
    let newest = versions
        .into_iter()
        .next()
        .ok_or_else(|| Failure::not_found("profile"))?;
    let form = EditForm {
        text: newest.text,
        version: newest.version,
        ..EditForm::default()
    };
    draw(&app, &visitor, form, (None, None))
}

/// Tries what was written on a sample, or keeps it.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    form: Result<Form<EditForm>, FormRejection>,
) -> Result<Response, Failure> {
    may_change(&visitor)?;
    let mut form = sent(form)?;
    form.text = form.text.replace("\r\n", "\n");
    let profile = match Profile::parse(&form.text) {
        Ok(profile) => profile,
        Err(wrong) => return refused(&app, &visitor, form, wrong),
    };
    if form.action != "save" {
        let tried = try_it(&app, profile, (&form.topic, form.payload.as_bytes()))?;
        return draw(&app, &visitor, form, (None, Some(tried)));
    }
    let kept = save(&app, &visitor, (&form.text, form.version), (&form.by, &form.why)).await?;
    match kept {
        Ok(kept) => Ok(Redirect::to(&format!("/profiles/{}", kept.id)).into_response()),
        Err(wrong) => refused(&app, &visitor, form, wrong),
    }
}

fn refused(
    app: &Arc<App>,
    visitor: &Visitor,
    form: EditForm,
    wrong: ProfileError,
) -> Result<Response, Failure> {
    let mut response = draw(app, visitor, form, (Some(wrong), None))?;
    *response.status_mut() = StatusCode::BAD_REQUEST;
    Ok(response)
}

/// What a sample would come to. A payload that begins with `hex:` is given in hexadecimal.
pub(crate) fn try_it(app: &App, profile: Profile, (topic, payload): (&str, &[u8])) -> Result<Tried, Failure> {
    if topic.trim().is_empty() || topic.len() > 512 {
        return Err(Failure::bad_parameter("topic", "a topic of 1 to 512 bytes"));
    }
    if payload.len() > 2 * MAX_TRIED_BYTES {
        let bound = format!("at most {MAX_TRIED_BYTES} bytes");
        return Err(Failure::bad_parameter("payload", &bound));
    }
    let unpacked;
    let payload = match payload.trim_ascii().strip_prefix(b"hex:") {
        Some(digits) => {
            let digits: Vec<u8> = digits
                .iter()
                .copied()
                .filter(|b| !b.is_ascii_whitespace())
                .collect();
            unpacked = hex::decode(digits)
                .map_err(|_odd| Failure::bad_parameter("payload", "hex: and pairs of hexadecimal digits"))?;
            &unpacked[..]
        }
        None => payload,
    };
    Ok((app.stores.try_profile)(&Arc::new(profile), topic, payload))
}

/// Fails for whoever may not change what all facilities' devices are read by.
pub(crate) fn may_change(visitor: &Visitor) -> Result<(), Failure> {
    visitor.check(Permission::Configure)?;
    if visitor.scope == Scope::everything() {
        return Ok(());
    }
    Err(Failure::new(
        Kind::NotAllowed,
        "a profile is for the devices of all facilities; ask somebody who sees them all",
    ))
}

/// Keeps a version. What is wrong with the text itself is answered apart from other failures.
pub(crate) async fn save(
    app: &App,
    visitor: &Visitor,
    (text, version): (&str, u32),
    (by, why): (&str, &str),
) -> Result<Result<OwnProfile, ProfileError>, Failure> {
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let taken = TAKEN.contains(&profile.id.as_str()) || profile.id == STANDARD;
    if taken || app.stores.profiles.is_fixed(&profile.id) {
        let reason =
            "the name is that of a profile that comes with the product or lies in the folder; choose another";
        let line = text
            .lines()
            .position(|line| line.trim_start().starts_with("profile"));
        return Ok(Err(ProfileError {
            line: line.map_or(1, |at| at + 1),
            key: "profile".to_owned(),
            reason: reason.to_owned(),
        }));
    }
    let draft = ProfileDraft {
        text,
        version,
        by: signed::name(visitor, by)?,
        why: &signed::comment(why)?.replace('\n', " "),
    };
    let kept = match app.stores.records.put_profile(draft).await {
        Err(RecordError::Profile { source }) => return Ok(Err(source)),
        other => other?,
    };
    app.stores.profiles.reload(&app.stores.records).await?;
    Ok(Ok(kept))
}
